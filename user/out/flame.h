/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flame graph as one self-contained SVG: a picture for any viewer, and zoom, search and flip in a
 * browser (flame.js, embedded). Knows a call tree and its names only, not what was sampled.
 */
#ifndef OUT_FLAME_H
#define OUT_FLAME_H

#include "agg/agg.h"
#include "base/buf.h"

#define FLAME_KEPT_MAX (150 * 1000) /* frames in the file, heaviest first */
#define FLAME_DRAWN_MAX 6000 /* of them drawn for viewers without scripts */

struct flame_head {
	const char *title;
	const char *detail; /* second line */
	const char *unit; /* "samples" */
};

/*
 * Adds the SVG of a call tree in depth-first order, nodes[0] the root (as in struct agg_cpu; depth and
 * total are used). n = 0 draws an empty root. 0, -EINVAL (no such order) or -ENOMEM.
 */
int flame_svg(const struct agg_node *nodes, u32 n, const struct flame_head *head, struct buf *out);

#endif
