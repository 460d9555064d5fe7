/* SPDX-License-Identifier: Apache-2.0 */
/*
 * speedscope's own format (its file-format-schema.json): frames by number, then a "sampled" profile with a
 * stack for each frame of the tree that has weight of its own, outermost first. Weights are nanoseconds.
 * Stacks are in the order of the tree and not of time: its "Left Heavy" and "Sandwich" views are what
 * they are for.
 */
#include "out/exports.h"

#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/json.h"
#include "out/fmt.h"
#include "out/frames.h"

#define TITLE_CELLS_MAX 400

static void add_text(struct json *j, const char *key, struct slice text, size_t cells)
{
	_release_(buf) struct buf clean = BUF_INIT;

	text_clip(&clean, text, cells);
	json_str(j, key, buf_slice(&clean));
}

static void add_frames(struct json *j, const struct frame_names *names)
{
	size_t cells = frame_names_cells(names);
	u32 i;

	json_obj(j, "shared");
	json_arr(j, "frames");
	for (i = 0; i < names->n; i++) {
		struct frame_text text;

		frame_text_parse(names->nodes[i], &text);
		json_obj(j, NULL);
		add_text(j, "name", text.function, cells);
		if (text.file.n)
			add_text(j, "file", text.file, cells);
		if (text.line)
			json_u64(j, "line", text.line);
		json_end_obj(j);
	}
	json_end_arr(j);
	json_end_obj(j);
}

static u64 weight_ns(const struct export_tree *t, u64 own)
{
	return (u64)((double)own * t->unit_ns + 0.5);
}

/* Stacks, then their weights in the same order. */
static void add_profile(struct json *j, const struct export_tree *t, const u64 *own,
			const u32 *name, u32 *stack)
{
	u64 all = 0;
	u32 i, k;

	for (i = 0; i < t->n; i++)
		all += weight_ns(t, own[i]);
	json_obj(j, NULL);
	json_cstr(j, "type", "sampled");
	add_text(j, "name", slice_str(t->title), TITLE_CELLS_MAX);
	json_cstr(j, "unit", "nanoseconds");
	json_u64(j, "startValue", 0);
	json_u64(j, "endValue", all);
	json_arr(j, "samples");
	for (i = 0; i < t->n; i++) {
		u32 depth = t->nodes[i].depth;

		stack[depth] = name[i];
		if (!own[i])
			continue;
		json_arr(j, NULL);
		for (k = 1; k <= depth; k++)
			json_u64(j, NULL, stack[k]);
		json_end_arr(j);
	}
	json_end_arr(j);
	json_arr(j, "weights");
	for (i = 0; i < t->n; i++)
		if (own[i])
			json_u64(j, NULL, weight_ns(t, own[i]));
	json_end_arr(j);
	json_end_obj(j);
}

int export_speedscope(const struct export_tree *t, struct buf *out)
{
	_release_(frame_names) struct frame_names names;
	_free_ u64 *own = malloc(MAX(t->n, 1U) * sizeof(*own));
	_free_ u32 *name = calloc(MAX(t->n, 1U), sizeof(*name));
	_free_ u32 *stack = NULL;
	struct json j;
	u32 i, max_depth;
	int err = 0;

	frame_names_init(&names, t->n);
	if (!own || !name)
		return -ENOMEM;
	if (frame_tree_check(t->nodes, t->n, &max_depth, own))
		return -EINVAL;
	stack = calloc(max_depth + 1, sizeof(*stack));
	if (!stack)
		return -ENOMEM;
	for (i = 1; i < t->n && !err; i++)
		err = frame_names_add(&names, &t->nodes[i], &name[i]);
	if (err)
		return err;
	json_init(&j, out, false);
	json_obj(&j, NULL);
	json_cstr(&j, "$schema", "https://www.speedscope.app/file-format-schema.json");
	json_cstr(&j, "exporter", "hostprof " HOSTPROF_VERSION);
	add_text(&j, "name", slice_str(t->title), TITLE_CELLS_MAX);
	json_u64(&j, "activeProfileIndex", 0);
	add_frames(&j, &names);
	json_arr(&j, "profiles");
	add_profile(&j, t, own, name, stack);
	json_end_arr(&j);
	json_end_obj(&j);
	buf_addch(out, '\n');
	return out->oom ? -ENOMEM : 0;
}
