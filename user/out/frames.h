/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every picture of a call tree shares: the kinds of frames with their colours, names by number,
 * and whether the tree is one. Used by cpu.svg, by the flame page and by the exports.
 *
 * Colours keep apart under the three kinds of colour blindness too (tests/pages/test_colours.py), and
 * dark text is readable on all of them.
 */
#ifndef OUT_FRAMES_H
#define OUT_FRAMES_H

#include "agg/agg.h"
#include "base/map.h"
#include "base/slice.h"

#define FRAME_SHADES 4
#define FRAME_NAME_CELLS_MAX 1024 /* longer names are cut */

enum frame_class {
	FRAME_OTHER, /* names of processes and threads, notes */
	FRAME_KERNEL,
	FRAME_NATIVE,
	FRAME_PYTHON,
	FRAME_JIT, /* code that a runtime made */
	FRAME_UNNAMED, /* only its file is known, or nothing */
	FRAME_CLASSES
};

struct frame_look {
	char letter;
	const char *label;
	const char *shades[FRAME_SHADES];
};
extern const struct frame_look frame_looks[FRAME_CLASSES];

enum frame_class frame_class(const struct agg_node *node);
/* Neighbours get different shades of their kind's colour; the same name always the same. */
unsigned frame_shade(const struct agg_node *node);

/* A frame's text taken apart: "serve (app/main.py:31)" is a function, a file and a line. */
struct frame_text {
	struct slice function;
	struct slice file; /* empty when the text names none */
	u32 line; /* 0 = not known */
};
void frame_text_parse(const struct agg_node *node, struct frame_text *ret);

/* Distinct names, numbered as they come; two frames of one text and different classes are two. */
struct frame_names {
	struct map ids;
	const struct agg_node **nodes; /* by number: a frame that has the name */
	u32 n, cap;
	size_t bytes; /* of all names, each cut at FRAME_NAME_CELLS_MAX */
};

void frame_names_init(struct frame_names *f, u32 max);
void frame_names_release(struct frame_names *f);
int frame_names_add(struct frame_names *f, const struct agg_node *node, u32 *ret); /* or -ENOMEM */
/* Longest name in cells, so that all names together stay within some megabytes. */
size_t frame_names_cells(const struct frame_names *f);

/*
 * 0 when nodes are a call tree in depth-first order whose frames do not weigh more than their caller,
 * else -EINVAL. ret_self (may be NULL) gets what each frame weighs without its callees.
 */
int frame_tree_check(const struct agg_node *nodes, u32 n, u32 *ret_max_depth, u64 *ret_self);

#endif
