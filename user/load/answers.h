/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the analyst asks for over the back channel (decode/channel.h), done with the collector's rights:
 * verdicts, files that a target has mapped, kernel symbols, debug files, unwind tables, target memory.
 */
#ifndef LOAD_ANSWERS_H
#define LOAD_ANSWERS_H

struct probes;
struct unwinder;

struct answers {
	int chan_fd; /* the collector's end */
	struct probes *probes;
	struct unwinder *unwinder; /* NULL: stacks are not unwound, and no memory is read */
};

/* Answers all requests that are there now. 0, or -EPIPE when the analyst is gone. */
int answers_serve(const struct answers *a);

#endif
