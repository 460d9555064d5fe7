/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From addresses to functions, once, at the end of the window. Input: the call trees of addresses
 * with symbols and mappings. Output: each tree merged by name in depth-first order, its top list,
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

#define DEPTH_MAX                                                                                  \
	(STACK_TREE_DEPTH_MAX +                                                                    \
	 7) /* root, process, thread, groups, "(truncated)", one past the leaf */

struct named {
	u32 text;
	u32 func; /* without the line */
	bool hidden;
	bool scheduler;
	u8 kind;
	bool unnamed;
	bool jit;
	bool method; /* named: it stands for the native frame that is its only child */
	u32 inlined; /* what was inlined there, outermost first: n in struct names.inlined */
	u32 ninlined;
	bool library;
	bool process;
	u32 pid; /* of a process, 0 = several */
};

/* Names of a function that was inlined: as in struct named. */
struct inlined {
	u32 text;
	u32 func;
};

struct names {
	struct named *of; /* by frame */
	struct inlined *inlined;
	u32 ninlined;
};

struct merged {
	u32 parent;
	u32 text;
	u32 func;
	u8 kind;
	bool unnamed;
	bool jit;
	u16 inlined; /* on the way here */
	bool library;
	bool process;
	u32 pid;
	u64 self;
	u64 total;
	u32 first; /* children in struct tree.order */
	u32 n;
	u32 out; /* where it ended up */
};

struct tree {
	const struct stacks *s;
	struct stack_tree *of;
	struct merged *nodes;
	u32 n;
	u32 *at; /* by node of the tree of addresses: the one that it became */
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

/*
 * How a thread leaves its processor, whatever it waits for. Which of them a wait's stack holds depends on
 * where it was taken and on what the compiler made one function: a wait ends in the function that waits.
 */
static bool is_scheduler(struct slice name)
{
	static const char *const names[] = {
		"schedule",
		"__schedule",
		"schedule_preempt_disabled",
		"io_schedule",
		"preempt_schedule",
		"preempt_schedule_common",
		"preempt_schedule_irq",
		"preempt_schedule_notrace",
		"preempt_schedule_thunk",
		"preempt_schedule_notrace_thunk",
		"__cond_resched",
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (slice_eq(name, slice_str(names[i])))
			return true;
	return false;
}

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

/*
 * Code without a file, or in one that exists only to share memory: a runtime made it. *ret: what the
 * mapping is called, "" = nothing.
 */
static bool is_generated(struct slice path, struct slice *ret)
{
	static const struct slice shared[] = { { "/memfd:", 7 }, { "/dev/shm/", 9 } };
	struct slice anon = SLICE("[anon:");
	size_t i;

	*ret = SLICE("");
	if (!path.n || slice_starts(path, SLICE("//anon")) || slice_eq(path, SLICE("[anon]")) ||
	    slice_starts(path, SLICE("/dev/zero")) || slice_starts(path, SLICE("/SYSV")))
		return true;
	if (slice_starts(path, anon)) {
		*ret = slice_of(path.p + anon.n, path.n - anon.n);
		ret->n -= slice_ends(*ret, SLICE("]"));
		return true;
	}
	for (i = 0; i < ARRAY_SIZE(shared); i++)
		if (slice_starts(path, shared[i])) {
			*ret = slice_of(path.p + shared[i].n, path.n - shared[i].n);
			return true;
		}
	return false;
}

/* True: it is generated code. */
static bool add_unnamed(struct buf *out, const struct stacks *s, const struct stack_frame *f)
{
	const struct stack_mapping *m = NULL;
	const char *base;
	struct slice path, name, deleted = SLICE(" (deleted)");

	if (f->kind == HP_FRAME_NATIVE)
		m = stacks_mapping_at(s, f->tgid, f->addr);
	if (!m) {
		buf_adds(out, "[unknown]");
		return false;
	}
	path = slice_str(m->at.path);
	if (slice_ends(path, deleted))
		path.n -= deleted.n;
	if (is_generated(path, &name)) {
		buf_adds(out, "[jit]");
		if (name.n) {
			buf_addch(out, ' ');
			add_name(out, name);
		}
		return true;
	}
	base = memrchr(path.p, '/', path.n);
	if (base)
		path = slice_of(base + 1, (size_t)(path.p + path.n - base - 1));
	add_name(out, path);
	if (!path.n || path.p[0] != '[')
		buf_addf(out, "+0x%" PRIx64, f->addr - m->at.start + m->at.file_off);
	return false;
}

static u32 clean_buf(struct stacks *s, const struct buf *raw)
{
	_release_(buf) struct buf text = BUF_INIT;

	add_name(&text, buf_slice(raw));
	return strpool_add(&s->texts, buf_slice(&text));
}

static u32 clean_text(struct stacks *s, u32 id)
{
	struct buf text = BUF_INIT;

	add_name(&text, strpool_get(&s->texts, id));
	id = strpool_add(&s->texts, buf_slice(&text));
	buf_release(&text);
	return id;
}

static void name_python(struct stacks *s, const struct stack_frame *f, struct named *ret)
{
	ret->hidden = f->hidden;
	ret->library = f->library;
	ret->unnamed = !f->name && !f->hidden;
	ret->text = f->name ? clean_text(s, f->name) : strpool_add(&s->texts, SLICE("[python]"));
	ret->func = f->func ? clean_text(s, f->func) : ret->text;
}

/* Without a name the native frame speaks for itself. */
static void name_method(struct stacks *s, const struct stack_frame *f, struct named *ret)
{
	ret->kind = HP_FRAME_NATIVE;
	ret->jit = true;
	ret->method = f->name;
	ret->hidden = !f->name;
	ret->text = f->name ? clean_text(s, f->name) : 0;
	ret->func = f->func ? clean_text(s, f->func) : ret->text;
}

/* The function's own place goes behind its name; text has the name. */
static void name_lines(struct stacks *s, const struct stack_frame *f, struct names *names,
		       struct named *of, struct buf *text)
{
	u32 i;

	if (!f->nlines)
		return;
	buf_add_slice(text, strpool_get(&s->texts, s->lines[f->lines + f->nlines - 1].place));
	of->text = clean_buf(s, text);
	of->inlined = names->ninlined;
	for (i = f->nlines - 1; i-- > 0;) {
		const struct stack_line *l = &s->lines[f->lines + i];
		struct inlined *in = &names->inlined[names->ninlined++];

		buf_clear(text);
		buf_add_slice(text, strpool_get(&s->texts, l->name));
		in->func = clean_buf(s, text);
		buf_add_slice(text, strpool_get(&s->texts, l->place));
		in->text = clean_buf(s, text);
	}
	of->ninlined = f->nlines - 1u;
}

/* What every program has: the C library, the loader, and Go's runtime, which is in the program itself. */
static bool is_runtime(const struct stacks *s, const struct stack_frame *f, struct slice name)
{
	static const char *const files[] = { "libc.so", "libc-2",  "libpthread", "ld-linux",
					     "ld-2",	"ld-musl", "[vdso]" };
	static const char *const names[] = { "runtime.", "internal/", "syscall." };
	const struct stack_mapping *m = stacks_mapping_at(s, f->tgid, f->addr);
	const char *base = m ? strrchr(m->at.path, '/') : NULL;
	struct slice file = slice_str(base ? base + 1 : m ? m->at.path : "");
	size_t i;

	for (i = 0; i < ARRAY_SIZE(files); i++)
		if (slice_starts(file, slice_str(files[i])))
			return true;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (slice_starts(name, slice_str(names[i])))
			return true;
	return false;
}

static void name_process(const struct stack_frame *f, struct named *ret)
{
	if (!f->tgid)
		return;
	ret->hidden = f->hidden;
	ret->process = true;
	ret->pid = f->listed ? f->tgid : 0;
	ret->text = ret->func = f->name;
}

static int name_frames(struct stacks *s, struct names *to)
{
	struct buf text = BUF_INIT;
	u32 i;

	for (i = 0; i < s->nframes; i++) {
		const struct stack_frame *f = &s->frames[i];
		struct named *name = &to->of[i];
		const struct stack_symbol *y;

		*name = (struct named){ .text = (u32)f->addr, .kind = f->kind };
		name->func = name->text;
		if (!f->kind) {
			name_process(f, name);
			continue;
		}
		if (f->kind == HP_FRAME_PYTHON) {
			name_python(s, f, name);
			continue;
		}
		if (f->kind == HP_FRAME_METHOD) {
			name_method(s, f, name);
			continue;
		}
		y = stacks_symbol_at(s, f->tgid, f->addr);
		buf_clear(&text);
		if (y)
			add_name(&text, strpool_get(&s->texts, y->name));
		name->jit = y ? y->jit : add_unnamed(&text, s, f);
		if (f->kind == HP_FRAME_KERNEL) {
			name->scheduler = is_scheduler(buf_slice(&text));
			buf_adds(&text, "_[k]");
		} else {
			name->library = is_runtime(s, f, buf_slice(&text));
		}
		name->text = strpool_add(&s->texts, buf_slice(&text));
		name->func = name->text;
		name->unnamed = !y || y->unnamed;
		name_lines(s, f, to, name, &text);
	}
	i = text.oom;
	buf_release(&text);
	return i ? -ENOMEM : 0;
}

/* Has the method that the frame runs a name, so that it is not shown? */
static bool is_stood_for(const struct named *names, const struct stack_tree *of, u32 node)
{
	u32 up = of->nodes[node].parent;

	return up && names[of->nodes[up].frame].method;
}

/* Frames of this tree; another tree may have them, too. */
static int count_frames(const struct stacks *s, const struct named *names, struct stack_tree *of)
{
	_free_ bool *seen = calloc(MAX(s->nframes, 1U), sizeof(*seen));
	u32 i;

	if (!seen)
		return -ENOMEM;
	for (i = 1; i < of->nnodes; i++) {
		u32 f = of->nodes[i].frame;

		if (seen[f] || !names[f].kind || is_stood_for(names, of, i) ||
		    (s->frames[f].kind == HP_FRAME_METHOD && names[f].hidden))
			continue;
		seen[f] = true;
		of->trust.frames++;
		of->trust.unnamed_frames += names[f].unnamed;
		of->trust.remapped += s->frames[f].kind == HP_FRAME_NATIVE &&
				      stacks_remapped(s, s->frames[f].tgid, s->frames[f].addr);
	}
	return 0;
}

/* Threads' names and groups are no frames: whether a stack is whole is for the first one below to say. */
static bool is_first(const struct stacks *s, const struct named *names, const struct stack_tree *of,
		     u32 node)
{
	u32 up = of->nodes[node].parent;
	const struct named *above = &names[of->nodes[up].frame];

	return up && names[of->nodes[node].frame].kind && !above->kind &&
	       strcmp(strpool_get(&s->texts, above->text).p, STACK_TRUNCATED) != 0;
}

/* The node below `parent` of that name; -1: no memory. */
static s64 merged_get(struct tree *t, struct map *map, u32 parent, u32 text, u32 func,
		      const struct named *name)
{
	u64 key = (u64)parent << 32 | text;
	const u64 *hit = map_find(map, key);

	if (hit)
		return (s64)*hit;
	if (map_put(map, key, t->n))
		return -1;
	t->nodes[t->n] = (struct merged){
		.parent = parent,
		.text = text,
		.func = func,
		.kind = name->kind,
		.unnamed = name->unnamed,
		.jit = name->jit,
		.library = name->library,
		.process = name->process,
		.pid = name->pid,
		.inlined = t->nodes[parent].inlined,
	};
	return t->n++;
}

/* The nodes of one frame below `parent`: the function, and what was inlined in it. The last one, or -1. */
static s64 merged_frame(struct tree *t, struct map *map, u32 parent, const struct named *name,
			const struct inlined *inlined)
{
	s64 at = merged_get(t, map, parent, name->text, name->func, name);
	u32 i;

	for (i = 0; i < name->ninlined && at >= 0; i++) {
		u16 above = t->nodes[at].inlined;

		if (above == STACK_DEPTH_MAX)
			break;
		at = merged_get(t, map, (u32)at, inlined[i].text, inlined[i].func, name);
		if (at >= 0)
			t->nodes[at].inlined = above + 1;
	}
	return at;
}

static int merge_nodes(const struct names *all, struct tree *t)
{
	const struct named *names = all->of;
	const struct stacks *s = t->s;
	struct stack_tree *of = t->of;
	u32 *at = t->at = calloc(of->nnodes, sizeof(*at));
	_free_ bool *whole = calloc(of->nnodes, sizeof(*whole));
	_free_ bool *jit = calloc(of->nnodes, sizeof(*jit));
	struct merged *up;
	struct map map;
	u64 through_jit = 0;
	size_t room = of->nnodes;
	u32 i;
	int err = 0;

	for (i = 1; i < of->nnodes; i++)
		room += names[of->nodes[i].frame].ninlined;
	t->nodes = calloc(room, sizeof(*t->nodes));
	if (!at || !whole || !jit || !t->nodes)
		return -ENOMEM;
	map_init(&map, room);
	t->nodes[0].self = of->nodes[0].self;
	t->n = 1;
	for (i = 1; i < of->nnodes; i++) {
		const struct stack_node *n = &of->nodes[i];
		const struct named *name = &names[n->frame];
		s64 down;

		up = &t->nodes[at[n->parent]];
		bool stood_for = is_stood_for(names, of, i);

		if (name->hidden || stood_for || (name->scheduler && of == &s->waits)) {
			at[i] = at[n->parent];
		} else if (name->unnamed && name->text == up->text && name->kind == up->kind &&
			   *strpool_get(&s->texts, name->text).p == '[') {
			/* A walk through code without frame pointers can go on like this. */
			at[i] = at[n->parent];
			of->trust.joined++;
		} else {
			down = merged_frame(t, &map, at[n->parent], name,
					    all->inlined + name->inlined);
			if (down < 0) {
				err = -ENOMEM;
				break;
			}
			at[i] = (u32)down;
		}
		t->nodes[at[i]].self += n->self;
		whole[i] = is_first(s, names, of, i)
				   ? is_entry(strpool_get(&s->texts, name->func).p)
				   : whole[n->parent];
		of->trust.complete += whole[i] ? n->by_name : 0;
		of->trust.stops[UW_STOP_FP] += whole[i] ? 0 : n->by_name;
		jit[i] = jit[n->parent] || (name->jit && name->unnamed && !stood_for);
		through_jit += jit[i] ? n->self : 0;
	}
	of->trust.jit_ratio = of->weight ? (double)through_jit / (double)of->weight : 0;
	map_release(&map);
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

static int lay_out(const struct tree *t)
{
	const struct stacks *s = t->s;
	struct stack_tree *of = t->of;
	struct {
		u32 node;
		u32 out;
		u32 child;
	} up[DEPTH_MAX];
	u32 depth = 0;

	of->out = calloc(t->n, sizeof(*of->out));
	if (!of->out)
		return -ENOMEM;
	of->out[0] = (struct agg_node){ .text = "all",
					.func = "all",
					.self = t->nodes[0].self,
					.total = t->nodes[0].total,
					.pid = s->only_pid };
	of->nout = 1;
	up[0].node = up[0].out = up[0].child = 0;
	for (;;) {
		const struct merged *m = &t->nodes[up[depth].node], *c;

		if (up[depth].child == m->n) {
			if (!depth--)
				return 0;
			continue;
		}
		up[depth + 1].node = t->order[m->first + up[depth].child++];
		up[depth + 1].out = t->nodes[up[depth + 1].node].out = of->nout;
		up[depth + 1].child = 0;
		c = &t->nodes[up[depth + 1].node];
		of->out[of->nout++] = (struct agg_node){
			.text = strpool_get(&s->texts, c->text).p,
			.func = strpool_get(&s->texts, c->func).p,
			.parent = up[depth].out,
			.depth = (u16)(depth + 1),
			.kind = c->kind,
			.unnamed = c->unnamed,
			.jit = c->jit,
			.library = c->library,
			.process = c->process,
			.pid = c->pid,
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

static int cmp_node_func(const void *pa, const void *pb)
{
	const struct agg_node *const *a = pa, *const *b = pb;

	return strcmp((*a)->func, (*b)->func);
}

/* Is a node of the same function above this one? */
static bool is_recursion(const struct stack_tree *of, const struct agg_node *n)
{
	const struct agg_node *p = n;

	while (p->depth > 2) {
		p = &of->out[p->parent];
		if (p->func == n->func)
			return true;
	}
	return false;
}

/* All frames but those of idle groups; returns how many, and their weight. */
static u32 top_nodes(const struct stack_tree *of, const struct agg_node **ret, u64 *ret_weight)
{
	u32 i, n = 0, idle = UINT32_MAX; /* depth of the idle group that we are in */

	*ret_weight = of->weight;
	for (i = 1; i < of->nout; i++) {
		const struct agg_node *node = &of->out[i];

		if (node->depth > idle)
			continue;
		idle = UINT32_MAX;
		if (node->kind) {
			ret[n++] = node;
		} else if (!strcmp(node->text, STACK_IDLE)) {
			idle = node->depth;
			*ret_weight -= node->total;
		}
	}
	return n;
}

static int make_top(struct stack_tree *of)
{
	_free_ const struct agg_node **by_func = calloc(MAX(of->nout, 1U), sizeof(*by_func));
	_free_ struct agg_top *all = NULL;
	u32 i, n, rows = 0;
	u64 weight;

	if (!by_func)
		return -ENOMEM;
	n = top_nodes(of, by_func, &weight);
	all = calloc(MAX(n, 1U), sizeof(*all));
	if (!all)
		return -ENOMEM;
	qsort(by_func, n, sizeof(*by_func), cmp_node_func);
	for (i = 0; i < n; i++) {
		struct agg_top *t;

		/* Texts are interned. */
		if (!rows || all[rows - 1].text != by_func[i]->func)
			all[rows++] = (struct agg_top){ .text = by_func[i]->func,
							.kind = by_func[i]->kind };
		t = &all[rows - 1];
		t->self += by_func[i]->self;
		if (!is_recursion(of, by_func[i]))
			t->total += by_func[i]->total;
	}
	qsort(all, rows, sizeof(*all), cmp_top);
	of->ntop = MIN(rows, STACK_TOP_MAX);
	of->top = calloc(MAX(of->ntop, 1U), sizeof(*of->top));
	if (!of->top)
		return -ENOMEM;
	memcpy(of->top, all, of->ntop * sizeof(*of->top));
	for (i = 0; i < of->ntop && weight; i++) {
		of->top[i].self_ratio = (double)of->top[i].self / (double)weight;
		of->top[i].total_ratio = (double)of->top[i].total / (double)weight;
	}
	return 0;
}

static int keep_named(const struct tree *t)
{
	struct stack_tree *of = t->of;
	u32 i;

	of->named = calloc(of->nnodes, sizeof(*of->named));
	if (!of->named)
		return -ENOMEM;
	for (i = 0; i < of->nnodes; i++)
		of->named[i] = t->nodes[t->at[i]].out;
	return 0;
}

/* Samples know their node by addresses; from here on by names. */
static void place_moments(struct stacks *s, const struct tree *t)
{
	u32 i;

	for (i = 0; i < s->nmoments; i++)
		s->moments[i].node = t->nodes[t->at[s->moments[i].node]].out;
}

static int finish_tree(struct stacks *s, const struct names *names, struct stack_tree *of)
{
	struct tree t = { .s = s, .of = of };
	int err;

	of->trust.total = of->samples;
	of->trust.stops[UW_STOP_FP] += of->nodes[0].by_name;
	of->trust.truncated = of->truncated;
	if (!of->samples)
		return 0;
	err = count_frames(s, names->of, of);
	if (!err)
		err = merge_nodes(names, &t);
	if (!err)
		err = order_nodes(&t);
	if (!err)
		err = lay_out(&t);
	if (!err)
		err = make_top(of);
	if (!err && of == &s->cpu)
		place_moments(s, &t);
	if (!err && (of == &s->waits || of == &s->sites))
		err = keep_named(&t);
	if (!err && of == &s->waits)
		err = places_finish(of);
	free(t.nodes);
	free(t.at);
	free(t.order);
	return err;
}

int stacks_finish(struct stacks *s)
{
	_free_ struct named *of = calloc(MAX(s->nframes, 1U), sizeof(*of));
	_free_ struct inlined *inlined = calloc(MAX(s->nlines, 1U), sizeof(*inlined));
	struct names names = { .of = of, .inlined = inlined };
	int err;

	if (!of || !inlined)
		return -ENOMEM;
	stacks_sort(s);
	err = processes_finish(s);
	if (!err)
		err = name_frames(s, &names);
	if (!err)
		err = finish_tree(s, &names, &s->cpu);
	if (!err)
		err = finish_tree(s, &names, &s->waits);
	if (!err)
		err = finish_tree(s, &names, &s->wakers);
	if (!err)
		err = finish_tree(s, &names, &s->sites);
	return err;
}
