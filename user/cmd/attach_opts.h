/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options of `hostprof attach`, parsed and checked: which targets, how long, what to measure.
 * The texts point into argv.
 */
#ifndef CMD_ATTACH_OPTS_H
#define CMD_ATTACH_OPTS_H

#include "cmd/cmd.h"
#include "cmd/common_opts.h"

#define ATTACH_PIDS_MAX 64

struct attach_opts {
	struct common_opts common; /* first: COMMON_OPT_ROWS offsets start here */
	u64 duration_ns; /* 0 = until Ctrl-C */
	u64 max_capture; /* bytes of capture.hpcap */
	u64 ring_bytes; /* kernel buffer; 0 = default */
	u32 freq; /* CPU samples a second and CPU */
	bool cpu;
	bool offcpu;
	bool http;
	bool db;
	bool children; /* follow children of the targets */
	bool show_literals;
	struct without without;
	/* Exactly one of the four is given. */
	u32 pids[ATTACH_PIDS_MAX];
	u32 npids;
	u32 port; /* 0 = not given */
	const char *name; /* NULL = not given */
	const char *cgroup;
};

#define ATTACH_OPTS_INIT                                                                           \
	{                                                                                          \
		.common = COMMON_OPTS_INIT, .duration_ns = 30 * NSEC_PER_SEC,                      \
		.max_capture = 256 << 20, .freq = 99, .cpu = true, .offcpu = true, .http = true,   \
		.db = true, .children = true                                                       \
	}

extern const struct opt attach_opt_rows[];

/* Defaults, options, positional PIDs, checks. False: over with *ret_status. */
bool attach_opts_parse(const struct cmd *c, struct args *a, struct attach_opts *ret,
		       int *ret_status);
/* The part without output, for tests: 0, or -EINVAL with err filled. */
int attach_opts_finish(struct attach_opts *o, int npos, char **pos, char *err);

#endif
