/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector: the privileged half. Attaches the probes, copies records from the ring buffer into
 * the stream to the analyst, adds what procfs knows, and answers the analyst's bounded requests. It
 * never looks inside what a target sent or received.
 */
#ifndef LOAD_COLLECTOR_H
#define LOAD_COLLECTOR_H

#include "load/load.h"
#include "load/target.h"

struct collector_opts {
	const struct targets *targets;
	u64 duration_ns; /* 0 = until stopped */
	u32 sample_hz; /* 0 = no CPU samples */
	u32 ring_bytes; /* 0 = default */
	bool net;
	bool waits; /* where threads wait */
	bool children;
	int stream_fd; /* to the analyst */
	int chan_fd;
	const char *config; /* "key=value\n" lines for the CONFIG record */
	volatile const int *stop; /* non-zero ends the window; set by a signal handler */
	void (*attached)(void *arg); /* every probe is live */
	void *arg;
};

struct collector_error {
	enum exit_status status;
	char text[512];
};

/*
 * Runs the whole window; returns when the analyst has been told everything and has closed its end.
 * 0 or -errno with ret_err filled.
 */
int collector_run(const struct collector_opts *opts, struct collector_error *ret_err);

#endif
