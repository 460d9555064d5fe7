/* SPDX-License-Identifier: Apache-2.0 */
#include "out/frames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define NAMES_BYTES_MAX (8 * 1024 * 1024)
#define LINE_DIGITS_MAX 9

const struct frame_look frame_looks[FRAME_CLASSES] = {
	[FRAME_OTHER] = { 'o', "other", { "#d5d8dc", "#d5d8dc", "#d5d8dc", "#d5d8dc" } },
	[FRAME_KERNEL] = { 'k', "kernel", { "#a976c0", "#a674be", "#ad79c3", "#ab78c1" } },
	[FRAME_NATIVE] = { 'n', "native", { "#ffd166", "#ffc94d", "#f9c04a", "#ffdd85" } },
	[FRAME_PYTHON] = { 'p', "python", { "#8ecae6", "#a3d3ea", "#85c6e4", "#95c9f0" } },
	[FRAME_JIT] = { 'j', "jit", { "#4fae74", "#49a66d", "#55b379", "#43a067" } },
	[FRAME_UNNAMED] = { 'u', "unnamed", { "#9a948a", "#938d83", "#a09a90", "#8c867c" } },
};

enum frame_class frame_class(const struct agg_node *node)
{
	switch (node->kind) {
	case HP_FRAME_KERNEL:
		return FRAME_KERNEL;
	case HP_FRAME_PYTHON:
		return FRAME_PYTHON;
	case HP_FRAME_NATIVE:
		if (node->jit || !strncmp(node->text, "[jit]", 5))
			return FRAME_JIT;
		return node->unnamed ? FRAME_UNNAMED : FRAME_NATIVE;
	default:
		return FRAME_OTHER;
	}
}

unsigned frame_shade(const struct agg_node *node)
{
	return (unsigned)(hash_bytes(node->text, strlen(node->text), 0) % FRAME_SHADES);
}

void frame_text_parse(const struct agg_node *node, struct frame_text *ret)
{
	struct slice s = slice_str(node->text), in;
	const char *paren = strstr(node->text, " (");
	size_t open, colon;
	u32 line = 0;

	*ret = (struct frame_text){ .function = s };
	/* Native code: what the text has beyond the function. */
	if (node->kind == HP_FRAME_NATIVE) {
		size_t n = node->func ? strlen(node->func) : 0;

		paren = n && n < s.n && !memcmp(s.p, node->func, n) ? s.p + n : NULL;
		if (!paren || strncmp(paren, " (", 2))
			return;
	}
	/* Parentheses of other languages are arguments; file names may have some too. */
	if ((node->kind != HP_FRAME_PYTHON && node->kind != HP_FRAME_NATIVE) || !paren ||
	    paren == s.p || s.p[s.n - 1] != ')')
		return;
	open = (size_t)(paren - s.p) + 2;
	if (open == s.n - 1)
		return;
	in = slice_of(s.p + open, s.n - 1 - open);
	for (colon = in.n; colon > 0 && in.p[colon - 1] >= '0' && in.p[colon - 1] <= '9'; colon--)
		;
	if (colon > 1 && colon < in.n && in.p[colon - 1] == ':' &&
	    in.n - colon <= LINE_DIGITS_MAX) {
		size_t i;

		for (i = colon; i < in.n; i++)
			line = line * 10 + (u32)(in.p[i] - '0');
		in.n = colon - 1;
	}
	ret->function.n = open - 2;
	ret->file = in;
	ret->line = line;
}

void frame_names_init(struct frame_names *f, u32 max)
{
	memset(f, 0, sizeof(*f));
	map_init(&f->ids, max);
}

void frame_names_release(struct frame_names *f)
{
	map_release(&f->ids);
	free(f->nodes);
	f->nodes = NULL;
}

int frame_names_add(struct frame_names *f, const struct agg_node *node, u32 *ret)
{
	struct slice text = slice_str(node->text);
	enum frame_class class = frame_class(node);
	u64 hash = hash_bytes(text.p, text.n, class);
	u64 *found = map_find(&f->ids, hash);
	int err;

	if (found && frame_class(f->nodes[*found]) == class &&
	    slice_eq(slice_str(f->nodes[*found]->text), text)) {
		*ret = (u32)*found;
		return 0;
	}
	if (!array_room(&f->nodes, f->n, &f->cap, UINT32_MAX, sizeof(*f->nodes)))
		return -ENOMEM;
	/* Of two names with one hash the second gets a number each time: more numbers, same picture. */
	if (!found) {
		err = map_put(&f->ids, hash, f->n);
		if (err)
			return -ENOMEM;
	}
	f->bytes += MIN(text.n, FRAME_NAME_CELLS_MAX);
	f->nodes[f->n] = node;
	*ret = f->n++;
	return 0;
}

size_t frame_names_cells(const struct frame_names *f)
{
	return f->bytes <= NAMES_BYTES_MAX ? FRAME_NAME_CELLS_MAX
					   : MAX(NAMES_BYTES_MAX / f->n, (size_t)16);
}

int frame_tree_check(const struct agg_node *nodes, u32 n, u32 *ret_max_depth, u64 *ret_self)
{
	u32 i, max_depth = 0;

	for (i = 1; i < n; i++) {
		/* A frame is at most one deeper than the one before, and not heavier than its caller. */
		if (!nodes[i].depth || nodes[i].depth > nodes[i - 1].depth + 1 ||
		    nodes[i].parent >= i || nodes[nodes[i].parent].depth != nodes[i].depth - 1 ||
		    nodes[i].total > nodes[nodes[i].parent].total)
			return -EINVAL;
		max_depth = MAX(max_depth, nodes[i].depth);
	}
	for (i = 0; ret_self && i < n; i++)
		ret_self[i] = nodes[i].total;
	for (i = 1; ret_self && i < n; i++) {
		if (ret_self[nodes[i].parent] < nodes[i].total)
			return -EINVAL;
		ret_self[nodes[i].parent] -= nodes[i].total;
	}
	*ret_max_depth = max_depth;
	return 0;
}
