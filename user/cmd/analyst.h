/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The analyst: stream in, report directory out. The same code for a live window (a process of its
 * own behind the socket from the collector) and for a capture file.
 */
#ifndef CMD_ANALYST_H
#define CMD_ANALYST_H

#include "cmd/cmd.h"
#include "cmd/common_opts.h"
#include "out/outs.h"

struct analyst_opts {
	const struct common_opts *common;
	struct outs *outs; /* begun by the caller; NULL: no directory is written */
	int stream_fd; /* records, capture header already read */
	int chan_fd; /* back channel; -1 for a replay */
	u64 max_capture; /* live only */
	bool live;
	bool show_literals; /* live: as asked; replay: as the capture says */
	bool no_http;
	bool no_db;
	bool one_process; /* call trees do not tell processes apart: their ids differ from run to run */
	volatile const int *aborted; /* non-zero: commit nothing; may be NULL */
};

/* Returns the exit status; errors are logged. */
int analyst_run(const struct analyst_opts *opts);
/* The finished aggregates of a capture instead of a report of it: *ret is the caller's to agg_free(). */
int analyst_load(const struct analyst_opts *opts, struct agg **ret);

#endif
