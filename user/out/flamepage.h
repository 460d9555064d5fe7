/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A call tree, or two to compare, as one HTML file that needs no network: zoom, search, functions with
 * callers and callees, threads, differences. flamepage.js (embedded) draws it; every frame of the tree is
 * in the file.
 *
 * Size: three columns of varints a frame, deflated: 1.9 million frames take 5 MB. The tree is bounded by
 * who made it, names together by FRAME_NAME_CELLS_MAX and some megabytes.
 */
#ifndef OUT_FLAMEPAGE_H
#define OUT_FLAMEPAGE_H

#include "agg/agg.h"
#include "base/buf.h"

/*
 * nodes[0] is the root, depth 1 are threads, children are in order of their text (struct agg_node).
 * depth, parent, total and what text and kind say are used.
 */
struct flamepage_profile {
	const struct agg_node *nodes;
	u32 n;
	double seconds; /* of recording, 0 = not known: nothing can be compared by it */
	double requests; /* served meanwhile, likewise */
};

struct flamepage {
	const char *title;
	const char *detail; /* second line */
	const char *unit; /* of weights: "samples", "µs" */
	double unit_ns; /* what one of them stands for; 0 = not a time */
	bool timed; /* weights are times themselves, not counts of something */
	struct flamepage_profile profile;
	const struct flamepage_profile *before; /* NULL: nothing to compare with */
};

/* 0, -EINVAL (no tree) or -ENOMEM. */
int flamepage_html(const struct flamepage *page, struct buf *out);

#endif
