/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pprof: github.com/google/pprof, proto/profile.proto, field numbers as there. A sample for each frame of
 * the tree that has weight of its own; a location for each distinct frame text, because that is where the
 * line is; a function for each distinct name and file. There are no addresses: names are found already,
 * and one mapping that says so keeps pprof from looking for them.
 */
#include "out/exports.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>
#include "base/cleanup.h"
#include "base/strpool.h"
#include "out/fmt.h"
#include "out/frames.h"
#include "out/protobuf.h"

#define TEXT_BYTES_MAX (64u << 20)
#define MAPPING 1
#define GZIP_WINDOW (15 + 16)

enum profile_field {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING = 6,
	PROFILE_TIME = 9,
	PROFILE_DURATION = 10,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_DEFAULT_TYPE = 14,
};

struct pprof {
	const struct export_tree *tree;
	struct buf *out;
	struct strpool strings; /* ids are those of the string table: 0 is "" there too */
	struct frame_names names; /* location = number + 1 */
	struct map functions; /* name and file -> id */
	u64 *own;
	u64 *stack; /* locations from the thread on, by depth - 1 */
	u64 *leaf_first;
	u32 max_depth;
};

static void pprof_release(struct pprof *p)
{
	strpool_release(&p->strings);
	frame_names_release(&p->names);
	map_release(&p->functions);
	free(p->own);
	free(p->stack);
	free(p->leaf_first);
}

static u64 string(struct pprof *p, struct slice text)
{
	_release_(buf) struct buf clean = BUF_INIT;

	text_clip(&clean, text, FRAME_NAME_CELLS_MAX);
	return strpool_add(&p->strings, buf_slice(&clean));
}

static void add_value_type(struct pprof *p, u32 field, const char *type, const char *unit)
{
	size_t msg = pb_open(p->out, field);

	pb_u64(p->out, 1, string(p, slice_str(type)));
	pb_u64(p->out, 2, string(p, slice_str(unit)));
	pb_close(p->out, msg);
}

static u64 add_function(struct pprof *p, const struct frame_text *text, int *err)
{
	u64 name = string(p, text->function), file = string(p, text->file), key = name << 32 | file;
	const u64 *found = map_find(&p->functions, key);
	u64 id = p->functions.n + 1;
	size_t msg;

	if (found)
		return *found;
	*err = map_put(&p->functions, key, id);
	msg = pb_open(p->out, PROFILE_FUNCTION);
	pb_u64(p->out, 1, id);
	pb_u64(p->out, 2, name);
	pb_u64(p->out, 3, name);
	pb_u64(p->out, 4, file);
	pb_close(p->out, msg);
	return id;
}

static int add_location(struct pprof *p, const struct agg_node *node, u64 id)
{
	struct frame_text text;
	size_t msg, line;
	u64 function;
	int err = 0;

	frame_text_parse(node, &text);
	function = add_function(p, &text, &err);
	msg = pb_open(p->out, PROFILE_LOCATION);
	pb_u64(p->out, 1, id);
	pb_u64(p->out, 2, MAPPING);
	line = pb_open(p->out, 4);
	pb_u64(p->out, 1, function);
	pb_u64(p->out, 2, text.line);
	pb_close(p->out, line);
	pb_close(p->out, msg);
	return err;
}

/* Where a sample belongs; NULL and 0 = not known. */
struct place {
	const char *process; /* when there are several */
	const char *thread;
	u32 pid;
	u32 depth; /* of the thread */
};

static void add_label(struct pprof *p, const char *key, struct slice text)
{
	size_t label = pb_open(p->out, 3);

	pb_u64(p->out, 1, string(p, slice_str(key)));
	pb_u64(p->out, 2, string(p, text));
	pb_close(p->out, label);
}

static void add_number(struct pprof *p, const char *key, u64 n)
{
	size_t label = pb_open(p->out, 3);

	pb_u64(p->out, 1, string(p, slice_str(key)));
	pb_u64(p->out, 3, n);
	pb_close(p->out, label);
}

/*
 * stack[at.depth … depth - 1] are the locations below the thread. Where nothing is known below it, its own name is
 * the location: pprof leaves samples without one out of its totals.
 */
static void add_sample(struct pprof *p, u32 depth, u64 own, const struct place *at)
{
	const struct export_tree *t = p->tree;
	u64 values[2] = { own, (u64)((double)own * t->unit_ns + 0.5) };
	size_t msg = pb_open(p->out, PROFILE_SAMPLE);
	u32 i, n = 0;

	for (i = depth; i-- > at->depth;)
		p->leaf_first[n++] = p->stack[i];
	if (!n)
		p->leaf_first[n++] = p->stack[MAX(depth, 1) - 1];
	pb_packed(p->out, 1, p->leaf_first, n);
	if (t->unit)
		pb_packed(p->out, 2, values, 2);
	else
		pb_packed(p->out, 2, values + 1, 1);
	if (at->process)
		add_label(p, "process", slice_str(at->process));
	if (at->pid)
		add_number(p, "pid", at->pid);
	if (at->thread)
		add_label(p, "thread", slice_str(at->thread));
	pb_close(p->out, msg);
}

static int add_samples(struct pprof *p)
{
	const struct export_tree *t = p->tree;
	struct place at = { .depth = 1, .pid = t->n ? t->nodes[0].pid : 0 };
	u32 i, known, name;
	int err = 0;

	for (i = 0; i < t->n && !err; i++) {
		const struct agg_node *node = &t->nodes[i];

		if (node->process)
			at = (struct place){ .process = node->text, .pid = node->pid };
		if (agg_is_thread(t->nodes, node)) {
			at.thread = node->text;
			at.depth = node->depth;
		}
		if (node->depth > at.depth || p->own[i]) {
			known = p->names.n;
			err = frame_names_add(&p->names, node, &name);
			if (!err && p->names.n > known)
				err = add_location(p, node, name + 1);
			p->stack[MAX(node->depth, 1) - 1] = name + 1;
		}
		if (!err && p->own[i])
			add_sample(p, node->depth, p->own[i], &at);
	}
	return err;
}

static void add_profile(struct pprof *p, int *err)
{
	const struct export_tree *t = p->tree;
	size_t msg;
	u32 i;

	if (t->unit)
		add_value_type(p, PROFILE_SAMPLE_TYPE, t->unit, "count");
	add_value_type(p, PROFILE_SAMPLE_TYPE, t->what, "nanoseconds");
	*err = add_samples(p);
	msg = pb_open(p->out, PROFILE_MAPPING);
	pb_u64(p->out, 1, MAPPING);
	pb_u64(p->out, 5, string(p, slice_str(t->exe)));
	for (i = 7; i <= 9; i++) /* has functions, file names, line numbers */
		pb_u64(p->out, i, 1);
	pb_close(p->out, msg);
	pb_u64(p->out, PROFILE_TIME, t->start_unix_ns);
	pb_u64(p->out, PROFILE_DURATION, t->duration_ns);
	if (t->unit) {
		add_value_type(p, PROFILE_PERIOD_TYPE, t->what, "nanoseconds");
		pb_u64(p->out, PROFILE_PERIOD, (u64)(t->unit_ns + 0.5));
	}
	pb_u64(p->out, PROFILE_DEFAULT_TYPE, string(p, slice_str(t->what)));
	pb_bytes(p->out, PROFILE_STRING, SLICE(""));
	for (i = 1; i < p->strings.n; i++)
		pb_bytes(p->out, PROFILE_STRING, strpool_get(&p->strings, i));
}

/* With no time and no name in its header, so that the same profile gives the same bytes. */
static int gzip(const struct buf *in, struct buf *out)
{
	z_stream z = { .next_in = (Bytef *)in->p, .avail_in = (uInt)in->n };
	int rc = Z_MEM_ERROR;

	if (in->n > UINT32_MAX / 2)
		return -EINVAL;
	if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, GZIP_WINDOW, MAX_MEM_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	if (!buf_reserve(out, deflateBound(&z, in->n) + 1)) {
		z.next_out = (Bytef *)out->p + out->n;
		z.avail_out = (uInt)(out->cap - out->n - 1);
		rc = deflate(&z, Z_FINISH);
		out->n += z.total_out;
		out->p[out->n] = 0;
	}
	deflateEnd(&z);
	return rc == Z_STREAM_END ? 0 : -ENOMEM;
}

int export_pprof(const struct export_tree *tree, struct buf *out)
{
	static const struct agg_node empty = { .text = "all" };
	struct export_tree t = *tree;
	_release_(buf) struct buf raw = BUF_INIT;
	_release_(pprof) struct pprof p = { .tree = &t, .out = &raw };
	int err;

	if (!t.n) {
		t.nodes = &empty;
		t.n = 1;
	}
	p.own = malloc(t.n * sizeof(*p.own));
	if (!p.own)
		return -ENOMEM;
	if (frame_tree_check(t.nodes, t.n, &p.max_depth, p.own))
		return -EINVAL;
	p.stack = calloc(p.max_depth + 1, sizeof(*p.stack));
	p.leaf_first = calloc(p.max_depth + 1, sizeof(*p.leaf_first));
	if (!p.stack || !p.leaf_first || strpool_init(&p.strings, UINT32_MAX / 2, TEXT_BYTES_MAX))
		return -ENOMEM;
	frame_names_init(&p.names, t.n);
	map_init(&p.functions, t.n);
	add_profile(&p, &err);
	if (raw.oom)
		return -ENOMEM;
	return err ? err : gzip(&raw, out);
}
