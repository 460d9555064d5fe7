/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call tree as a file for other programs: pprof (`go tool pprof`, Pyroscope, Parca) and speedscope.
 * Knows the tree and what its weights are, not what was sampled.
 *
 * Depth 1 of the tree are threads. In pprof they are the label "thread" of samples, in speedscope the
 * outermost frame. Names pass text_next(), as everywhere.
 */
#ifndef OUT_EXPORTS_H
#define OUT_EXPORTS_H

#include "agg/agg.h"
#include "base/buf.h"

struct export_tree {
	const struct agg_node *nodes; /* nodes[0] the root, depth-first (struct agg_node) */
	u32 n;
	const char *title;
	const char *exe; /* path of the target's program, "" = not known */
	const char *what; /* of times: "cpu", "offcpu" */
	const char *unit; /* of counts: "samples"; NULL when weights are times themselves */
	double unit_ns; /* what a weight of one stands for */
	u64 start_unix_ns;
	u64 duration_ns;
};

/* Both: 0, -EINVAL (no tree) or -ENOMEM. */
int export_pprof(const struct export_tree *tree,
		 struct buf *out); /* gzip of a profile.proto Profile */
int export_speedscope(const struct export_tree *tree,
		      struct buf *out); /* its own JSON, "sampled" */

#endif
