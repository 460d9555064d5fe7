/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From addresses to functions, once, at the end of the window. Input: the call tree of addresses
 * with symbols and mappings. Output: the tree merged by name in depth-first order, the top list,
 * and how many stacks and frames can be trusted.
 *
 * Merging by name makes one function of all its addresses, of all processes that run it. The
 * order is that of the texts, so it does not depend on the order in which samples came.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agg/stacks.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/map.h"

#define DEPTH_MAX (STACK_DEPTH_MAX + 4) /* root, thread, "(truncated)", one past the leaf */

struct named {
	u32 text;
	u8 kind;
	bool unnamed;
};

struct merged {
	u32 parent;
	u32 text;
	u8 kind;
	bool unnamed;
	u64 self;
	u64 total;
	u32 first; /* children in struct tree.order */
	u32 n;
};

struct tree {
	const struct stacks *s;
	struct merged *nodes;
	u32 n;
	u32 *order; /* nodes sorted by parent, then text */
};

/* Where threads begin: a stack that reaches one of these is whole. */
static const char *const entries[] = {
	"_start",
	"start_thread",
	"clone",
	"clone3",
	"__clone",
	"__clone3",
	"__clone_internal",
	"__libc_start_main",
	"__libc_start_main_impl",
	"__libc_start_call_main",
	"runtime.goexit",
	"runtime.goexit.abi0",
	"runtime.mstart",
	"runtime.mstart.abi0",
	"_rt0_amd64_linux",
	"_rt0_arm64_linux",
	"ret_from_fork_[k]",
	"ret_from_fork_asm_[k]",
};

static bool is_entry(const char *text)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(entries); i++)
		if (!strcmp(text, entries[i]))
			return true;
	return false;
}

/* What separates frames in folded stacks may not be in a name. */
static void add_name(struct buf *out, struct slice name)
{
	size_t i;

	for (i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		buf_addch(out, c < ' ' || c == 0x7f ? '.' : c == ';' ? ':' : (char)c);
	}
}

static void add_unnamed(struct buf *out, const struct stacks *s, const struct stack_frame *f)
{
	const struct stack_mapping *m = NULL;
	const char *base;
	struct slice path, deleted = SLICE(" (deleted)");

	if (f->kind == HP_FRAME_NATIVE)
		m = stacks_mapping_at(s, f->tgid, f->addr);
	if (!m) {
		buf_adds(out, "[unknown]");
		return;
	}
	path = slice_str(m->at.path);
	if (slice_ends(path, deleted))
		path.n -= deleted.n;
	base = path.n ? memrchr(path.p, '/', path.n) : NULL;
	if (base)
		path = slice_of(base + 1, (size_t)(path.p + path.n - base - 1));
	if (!path.n || slice_starts(slice_str(m->at.path), SLICE("//anon"))) {
		buf_adds(out, "[anon]");
		return;
	}
	add_name(out, path);
	if (path.p[0] != '[')
		buf_addf(out, "+0x%" PRIx64, f->addr - m->at.start + m->at.file_off);
}

static int name_frames(struct stacks *s, struct named *names, struct agg_trust *trust)
{
	struct buf text = BUF_INIT;
	u32 i;

	for (i = 0; i < s->nframes; i++) {
		const struct stack_frame *f = &s->frames[i];
		const struct stack_symbol *y;

		names[i] = (struct named){ .text = (u32)f->addr, .kind = f->kind };
		if (!f->kind)
			continue;
		y = stacks_symbol_at(s, f->tgid, f->addr);
		buf_clear(&text);
		if (y)
			add_name(&text, strpool_get(&s->texts, y->name));
		else
			add_unnamed(&text, s, f);
		if (f->kind == HP_FRAME_KERNEL)
			buf_adds(&text, "_[k]");
		names[i].text = strpool_add(&s->texts, buf_slice(&text));
		names[i].unnamed = !y || y->unnamed;
		trust->stacks.frames++;
		trust->stacks.unnamed_frames += names[i].unnamed;
	}
	i = text.oom;
	buf_release(&text);
	return i ? -ENOMEM : 0;
}

static int merge_nodes(const struct stacks *s, const struct named *names, struct tree *t,
		       struct agg_trust *trust)
{
	_free_ u32 *at = calloc(s->nnodes, sizeof(*at));
	_free_ bool *whole = calloc(s->nnodes, sizeof(*whole));
	struct merged *up;
	struct map of;
	u32 i;
	int err = 0;

	t->nodes = calloc(s->nnodes, sizeof(*t->nodes));
	if (!at || !whole || !t->nodes)
		return -ENOMEM;
	map_init(&of, s->nnodes);
	t->nodes[0].self = s->nodes[0].self;
	t->n = 1;
	for (i = 1; i < s->nnodes; i++) {
		const struct stack_node *n = &s->nodes[i];
		const struct named *name = &names[n->frame];
		u64 key = (u64)at[n->parent] << 32 | name->text;
		const u64 *hit = map_find(&of, key);

		up = &t->nodes[at[n->parent]];
		if (name->unnamed && name->text == up->text && name->kind == up->kind &&
		    *strpool_get(&s->texts, name->text).p == '[') {
			/* A walk through code without frame pointers can go on like this. */
			at[i] = at[n->parent];
			trust->stacks.joined++;
		} else if (hit) {
			at[i] = (u32)*hit;
		} else {
			err = map_put(&of, key, t->n);
			if (err)
				break;
			at[i] = t->n++;
			t->nodes[at[i]] = (struct merged){
				.parent = at[n->parent],
				.text = name->text,
				.kind = name->kind,
				.unnamed = name->unnamed,
			};
		}
		t->nodes[at[i]].self += n->self;
		/* The thread's name is no frame; the one below it decides for all below. */
		if (n->parent && s->nodes[n->parent].parent)
			whole[i] = whole[n->parent];
		else
			whole[i] = n->parent && name->kind &&
				   is_entry(strpool_get(&s->texts, name->text).p);
		trust->stacks.complete += whole[i] ? n->self : 0;
	}
	map_release(&of);
	for (i = t->n; i-- > 0;) {
		t->nodes[i].total += t->nodes[i].self;
		if (i)
			t->nodes[t->nodes[i].parent].total += t->nodes[i].total;
	}
	return err;
}

static int cmp_sibling(const void *pa, const void *pb, void *arg)
{
	const struct tree *t = arg;
	const struct merged *a = &t->nodes[*(const u32 *)pa], *b = &t->nodes[*(const u32 *)pb];

	if (a->parent != b->parent)
		return a->parent < b->parent ? -1 : 1;
	return strcmp(strpool_get(&t->s->texts, a->text).p, strpool_get(&t->s->texts, b->text).p);
}

static int order_nodes(struct tree *t)
{
	u32 i;

	t->order = calloc(t->n, sizeof(*t->order));
	if (!t->order)
		return -ENOMEM;
	for (i = 1; i < t->n; i++)
		t->order[i - 1] = i;
	qsort_r(t->order, t->n - 1, sizeof(*t->order), cmp_sibling, t);
	for (i = 0; i + 1 < t->n; i++) {
		struct merged *p = &t->nodes[t->nodes[t->order[i]].parent];

		if (!p->n++)
			p->first = i;
	}
	return 0;
}

static int lay_out(struct stacks *s, const struct tree *t)
{
	struct {
		u32 node;
		u32 out;
		u32 child;
	} up[DEPTH_MAX];
	u32 depth = 0;

	s->out = calloc(t->n, sizeof(*s->out));
	if (!s->out)
		return -ENOMEM;
	s->out[0] = (struct agg_node){ .text = "all",
				       .self = t->nodes[0].self,
				       .total = t->nodes[0].total };
	s->nout = 1;
	up[0].node = up[0].out = up[0].child = 0;
	for (;;) {
		const struct merged *m = &t->nodes[up[depth].node], *c;

		if (up[depth].child == m->n) {
			if (!depth--)
				return 0;
			continue;
		}
		up[depth + 1].node = t->order[m->first + up[depth].child++];
		up[depth + 1].out = s->nout;
		up[depth + 1].child = 0;
		c = &t->nodes[up[depth + 1].node];
		s->out[s->nout++] = (struct agg_node){
			.text = strpool_get(&s->texts, c->text).p,
			.parent = up[depth].out,
			.depth = (u16)(depth + 1),
			.kind = c->kind,
			.unnamed = c->unnamed,
			.self = c->self,
			.total = c->total,
		};
		depth++;
	}
}

static int cmp_top(const void *pa, const void *pb)
{
	const struct agg_top *a = pa, *b = pb;

	if (a->self != b->self)
		return a->self > b->self ? -1 : 1;
	if (a->total != b->total)
		return a->total > b->total ? -1 : 1;
	return strcmp(a->text, b->text);
}

static int cmp_node_text(const void *pa, const void *pb)
{
	const struct agg_node *const *a = pa, *const *b = pb;

	return strcmp((*a)->text, (*b)->text);
}

/* Is a node of the same text above this one? */
static bool is_recursion(const struct stacks *s, const struct agg_node *n)
{
	const struct agg_node *p = n;

	while (p->depth > 2) {
		p = &s->out[p->parent];
		if (p->text == n->text)
			return true;
	}
	return false;
}

static int make_top(struct stacks *s)
{
	_free_ const struct agg_node **by_text = calloc(MAX(s->nout, 1U), sizeof(*by_text));
	_free_ struct agg_top *all = NULL;
	u32 i, n = 0, rows = 0;

	if (!by_text)
		return -ENOMEM;
	for (i = 1; i < s->nout; i++)
		if (s->out[i].kind)
			by_text[n++] = &s->out[i];
	all = calloc(MAX(n, 1U), sizeof(*all));
	if (!all)
		return -ENOMEM;
	qsort(by_text, n, sizeof(*by_text), cmp_node_text);
	for (i = 0; i < n; i++) {
		struct agg_top *t;

		/* Texts are interned. */
		if (!rows || all[rows - 1].text != by_text[i]->text)
			all[rows++] = (struct agg_top){ .text = by_text[i]->text,
							.kind = by_text[i]->kind };
		t = &all[rows - 1];
		t->self += by_text[i]->self;
		if (!is_recursion(s, by_text[i]))
			t->total += by_text[i]->total;
	}
	qsort(all, rows, sizeof(*all), cmp_top);
	s->ntop = MIN(rows, STACK_TOP_MAX);
	s->top = calloc(MAX(s->ntop, 1U), sizeof(*s->top));
	if (!s->top)
		return -ENOMEM;
	memcpy(s->top, all, s->ntop * sizeof(*s->top));
	for (i = 0; i < s->ntop; i++) {
		s->top[i].self_ratio = (double)s->top[i].self / (double)s->samples;
		s->top[i].total_ratio = (double)s->top[i].total / (double)s->samples;
	}
	return 0;
}

int stacks_finish(struct stacks *s, struct agg_cpu *ret, struct agg_trust *ret_trust)
{
	_free_ struct named *names = NULL;
	struct tree t = { .s = s };
	int err;

	memset(ret, 0, sizeof(*ret));
	ret_trust->stacks.total = s->samples;
	ret_trust->stacks.truncated = s->truncated;
	if (!s->samples)
		return 0;
	names = calloc(MAX(s->nframes, 1U), sizeof(*names));
	if (!names)
		return -ENOMEM;
	stacks_sort(s);
	err = name_frames(s, names, ret_trust);
	if (!err)
		err = merge_nodes(s, names, &t, ret_trust);
	if (!err)
		err = order_nodes(&t);
	if (!err)
		err = lay_out(s, &t);
	if (!err)
		err = make_top(s);
	free(t.nodes);
	free(t.order);
	if (err)
		return err;
	ret->samples = s->samples;
	ret->nodes = s->out;
	ret->nnodes = s->nout;
	ret->top = s->top;
	ret->ntop = s->ntop;
	return 0;
}
