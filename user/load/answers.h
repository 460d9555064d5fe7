/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the analyst asks for over the back channel (decode/channel.h), done with the collector's rights:
 * verdicts, files that a target has mapped, kernel symbols, debug files, unwind tables, target memory.
 */
#ifndef LOAD_ANSWERS_H
#define LOAD_ANSWERS_H

#include "base/types.h"

struct probes;
struct unwinder;

struct answers {
	int chan_fd; /* the collector's end */
	struct probes *probes;
	struct unwinder *unwinder; /* NULL: stacks are not unwound, and no memory is read */
	u32 unhooked; /* functions of processes that still run, and could not be hooked */
	int hook_err; /* of the last of them */
};

/* Answers all requests that are there now. 0, or -EPIPE when the analyst is gone. */
int answers_serve(struct answers *a);
/* The line for trust about functions that could not be hooked; false: there is none. */
bool answers_note(const struct answers *a, char *text, size_t size);

#endif
