/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sampled stacks. Input: stacks, mapping and symbol records in any order. Output: call trees of
 * addresses (a node for each distinct way from a thread's first function to a leaf), and the list
 * of addresses that still want a name. stacktree.c merges the trees by name at the end.
 *
 * Addresses above the leaf are return addresses; one less lies inside the call, which is what a
 * name or a line must be looked up for, also when the call is a function's last instruction.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agg/stacks.h"
#include "agg/text.h"
#include "base/array.h"
#include "base/cleanup.h"

/* How far back a lookup looks when ranges overlap, as after an unmap and a new map. */
#define STACK_OVERLAP_MAX 16

static int tree_init(struct stack_tree *t, u32 max_nodes)
{
	t->nodes_max = MAX(max_nodes, 16U);
	t->nodes_cap = 16;
	t->nodes = calloc(t->nodes_cap, sizeof(*t->nodes));
	if (!t->nodes)
		return -ENOMEM;
	t->nnodes = 1;
	map_init(&t->reasons, 2 * t->nodes_max);
	return 0;
}

static void tree_release(struct stack_tree *t)
{
	free(t->nodes);
	free(t->node_of.slots);
	free(t->out);
	free(t->top);
	free(t->places);
	free(t->named);
	map_release(&t->reasons);
}

int stacks_init(struct stacks *s, u32 max_nodes)
{
	memset(s, 0, sizeof(*s));
	if (strpool_init(&s->texts, STACK_SYMBOLS_MAX, STACK_TEXT_MAX))
		return -ENOMEM;
	map_init(&s->processes, STACK_PROCESSES_MAX);
	if (tree_init(&s->cpu, max_nodes) || tree_init(&s->waits, max_nodes) ||
	    tree_init(&s->wakers, max_nodes) || tree_init(&s->sites, max_nodes)) {
		stacks_release(s);
		return -ENOMEM;
	}
	return 0;
}

void stacks_release(struct stacks *s)
{
	strpool_release(&s->texts);
	map_release(&s->processes);
	free(s->frames);
	free(s->frame_of.slots);
	free(s->lines);
	free(s->symbols);
	free(s->mappings);
	free(s->moments);
	tree_release(&s->cpu);
	tree_release(&s->waits);
	tree_release(&s->wakers);
	tree_release(&s->sites);
	memset(s, 0, sizeof(*s));
}

/* Room for one more entry; entries move to their places by hash(). */
static bool index_room(const void *of, struct stack_index *ix, u64 (*hash)(const void *of, u32 i))
{
	u32 cap, i, at, *slots;

	if ((u64)(ix->n + 1) * 4 <= (u64)ix->cap * 3)
		return true;
	cap = ix->cap ? ix->cap * 2 : 256;
	slots = calloc(cap, sizeof(*slots));
	if (!slots)
		return false;
	for (i = 0; i < ix->cap; i++) {
		if (!ix->slots[i])
			continue;
		at = (u32)hash(of, ix->slots[i] - 1) & (cap - 1);
		while (slots[at])
			at = (at + 1) & (cap - 1);
		slots[at] = ix->slots[i];
	}
	free(ix->slots);
	ix->slots = slots;
	ix->cap = cap;
	return true;
}

static u64 frame_key(const struct stack_frame *f)
{
	u64 code = f->extra || f->check ? hash_u64((u64)f->extra << 32 | f->check) : 0;

	return hash_u64(f->addr ^ code ^ hash_u64((u64)f->tgid << 8 | f->kind));
}

static u64 frame_hash(const void *of, u32 i)
{
	const struct stacks *s = of;

	return frame_key(&s->frames[i]);
}

/* -1: no room */
static s64 frame_get(struct stacks *s, const struct stack_frame *want)
{
	u32 at;

	if (!index_room(s, &s->frame_of, frame_hash))
		return -1;
	at = (u32)frame_key(want) & (s->frame_of.cap - 1);
	for (; s->frame_of.slots[at]; at = (at + 1) & (s->frame_of.cap - 1)) {
		u32 i = s->frame_of.slots[at] - 1;
		const struct stack_frame *f = &s->frames[i];

		if (f->addr == want->addr && f->tgid == want->tgid && f->kind == want->kind &&
		    f->extra == want->extra && f->check == want->check)
			return i;
	}
	if (!array_room(&s->frames, s->nframes, &s->frames_cap, STACK_FRAMES_MAX,
			sizeof(*s->frames)))
		return -1;
	s->frames[s->nframes] = *want;
	s->frame_of.slots[at] = ++s->nframes;
	s->frame_of.n++;
	return s->nframes - 1;
}

static u64 node_key(u32 parent, u32 frame)
{
	return hash_u64((u64)parent << 32 | frame);
}

static u64 node_hash(const void *of, u32 i)
{
	const struct stack_tree *t = of;

	return node_key(t->nodes[i].parent, t->nodes[i].frame);
}

/* force: past the cap, for the few nodes that hold what did not fit. */
static s64 node_get(struct stack_tree *t, u32 parent, u32 frame, bool force)
{
	u32 at;

	if (!index_room(t, &t->node_of, node_hash))
		return -1;
	at = (u32)node_key(parent, frame) & (t->node_of.cap - 1);
	for (; t->node_of.slots[at]; at = (at + 1) & (t->node_of.cap - 1)) {
		u32 i = t->node_of.slots[at] - 1;

		if (t->nodes[i].parent == parent && t->nodes[i].frame == frame)
			return i;
	}
	if ((t->nnodes >= t->nodes_max && !force) ||
	    !array_room(&t->nodes, t->nnodes, &t->nodes_cap, UINT32_MAX, sizeof(*t->nodes)))
		return -1;
	t->nodes[t->nnodes] = (struct stack_node){ .parent = parent, .frame = frame };
	t->node_of.slots[at] = ++t->nnodes;
	t->node_of.n++;
	return t->nnodes - 1;
}

static s64 text_frame(struct stacks *s, struct slice text)
{
	const struct stack_frame f = { .addr = strpool_add(&s->texts, text) };

	return frame_get(s, &f);
}

struct slice stacks_comm(const char comm[HP_COMM_LEN], char out[HP_COMM_LEN])
{
	size_t i, n = strnlen(comm, HP_COMM_LEN - 1);

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)comm[i];

		out[i] = c < ' ' || c == 0x7f ? '.' : c == ';' ? ':' : (char)c;
	}
	return n ? slice_of(out, n) : SLICE("[unknown]");
}

/* The node below, or the caller itself when there is no room. */
static u32 text_node(struct stacks *s, struct stack_tree *t, u32 at, struct slice text, bool force)
{
	s64 frame = text_frame(s, text);
	s64 next = frame < 0 ? -1 : node_get(t, at, (u32)frame, force);

	return next < 0 ? at : (u32)next;
}

/* Is it where the thread stood, or a return address? Walks by tables say; they also pass signal frames. */
static bool is_exact(const struct stack_sample *in, u32 i)
{
	const struct ev_frame *f = in->frames;

	if (in->unwind == HP_UNWIND_TABLES && f[i].kind == HP_FRAME_NATIVE)
		return f[i].extra & HP_FRAME_EXACT;
	return !i || (f[i].kind != f[i - 1].kind && f[i - 1].kind == HP_FRAME_KERNEL);
}

/* The thread's process, or the root when there is no room. */
static u32 process_node(struct stacks *s, struct stack_tree *t, const struct stack_sample *in)
{
	const struct stack_frame want = { .tgid = in->tgid };
	s64 frame = frame_get(s, &want);
	s64 node = frame < 0 ? -1 : node_get(t, 0, (u32)frame, t->nnodes < t->nodes_max + 64);

	stacks_process(s, in->tgid, in->comm, in->tid == in->tgid);
	return node < 0 ? 0 : (u32)node;
}

u32 stacks_add(struct stacks *s, struct stack_tree *t, const struct stack_sample *in)
{
	const struct ev_frame *f = in->frames;
	u32 i, n = MIN(in->nframes, STACK_DEPTH_MAX), at; /* the innermost ones */
	bool truncated = in->truncated || in->nframes > n;
	char comm[HP_COMM_LEN];

	t->samples++;
	t->weight += in->weight;
	/* A process that sets thread names at random must not fill the tree with them. */
	at = in->tid ? process_node(s, t, in) : 0;
	at = text_node(s, t, at, stacks_comm(in->comm, comm), t->nnodes < t->nodes_max + 64);
	for (i = 0; i < ARRAY_SIZE(in->groups) && in->groups[i]; i++)
		at = text_node(s, t, at, slice_str(in->groups[i]), t->nnodes < t->nodes_max + 64);
	if (truncated)
		at = text_node(s, t, at, SLICE(STACK_TRUNCATED), false);
	for (i = n; i-- > 0;) {
		struct stack_frame want = {
			.addr = f[i].addr,
			.tgid = f[i].kind == HP_FRAME_KERNEL ? 0 : in->tgid,
			.kind = f[i].kind,
		};
		s64 frame, next;

		/* It stands in for the native frame in front of it, or not at all. */
		if (want.kind == HP_FRAME_METHOD && (!i || f[i - 1].kind != HP_FRAME_NATIVE))
			continue;
		if (want.kind == HP_FRAME_PYTHON || want.kind == HP_FRAME_METHOD) {
			want.extra = f[i].extra;
			want.check = f[i].check[0] | f[i].check[1] << 8 | (u32)f[i].check[2] << 16;
		} else if (want.addr && !is_exact(in, i)) {
			want.addr--;
		}
		frame = frame_get(s, &want);
		next = frame < 0 ? -1 : node_get(t, at, (u32)frame, false);
		if (next < 0) {
			truncated = true; /* cut here: what is left belongs to this caller */
			break;
		}
		at = (u32)next;
	}
	t->truncated += truncated;
	/* Where frame pointers end, only names can tell whether that is a first function. */
	if (in->unwind == HP_UNWIND_TABLES && in->stop != UW_STOP_FP) {
		t->trust.complete += in->stop == UW_STOP_END && !truncated;
		t->trust.stops[MIN(in->stop, UW_STOP_MAX - 1)]++;
	} else {
		t->nodes[at].by_name++;
	}
	t->nodes[at].self += in->weight;
	return at;
}

void stacks_moment(struct stacks *s, const struct agg_moment *m)
{
	if (!array_room(&s->moments, s->nmoments, &s->moments_cap, AGG_MOMENTS_MAX,
			sizeof(*s->moments)))
		s->moments_more++;
	else
		s->moments[s->nmoments++] = *m;
}

void stacks_symbol(struct stacks *s, const struct ev_symbol *rec)
{
	const char *p = (const char *)(rec + 1);
	struct slice name = slice_of(p, rec->name_len);
	struct slice module = slice_of(p + rec->name_len, rec->module_len);
	bool by_start = name.n > module.n + 3 && slice_starts(name, module) &&
			!memcmp(name.p + module.n, "@0x", 3);

	if (!name.n || !array_room(&s->symbols, s->nsymbols, &s->symbols_cap, STACK_SYMBOLS_MAX,
				   sizeof(*s->symbols))) {
		s->symbols_refused++;
		return;
	}
	s->symbols[s->nsymbols] = (struct stack_symbol){
		.start = rec->start,
		.end = rec->end,
		.tgid = rec->hdr.tgid,
		.seq = s->nsymbols,
		.name = strpool_add(&s->texts, name),
		.unnamed = name.p[0] == '[' || by_start,
		.jit = slice_eq(module, SLICE("[jit]")),
	};
	s->nsymbols++;
	s->symbols_sorted = false;
}

/* The file's name with its directory, which tells one __init__.py from another. */
static struct slice short_path(struct slice path)
{
	size_t i, slashes = 0;

	if (slice_starts(path, SLICE("node:")))
		return path; /* no path: what Node calls the modules that it brings along */
	for (i = path.n; i-- > 0;)
		if (path.p[i] == '/' && ++slashes == 2)
			return slice_of(path.p + i + 1, path.n - i - 1);
	return path;
}

/* Installed, and not written for this application: by where it lies. */
static bool is_library(struct slice path)
{
	static const char *const marks[] = { "/lib/python", "/lib64/python", "/site-packages/",
					     "/dist-packages/" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(marks); i++)
		if (memmem(path.p, path.n, marks[i], strlen(marks[i])))
			return true;
	return path.n && path.p[0] == '<'; /* <frozen importlib._bootstrap> */
}

void stacks_code(struct stacks *s, const struct ev_code *rec)
{
	const struct stack_frame want = {
		.addr = rec->addr,
		.tgid = rec->hdr.tgid,
		.extra = rec->extra,
		.check = rec->check,
		.kind = rec->kind == HP_FRAME_METHOD ? HP_FRAME_METHOD : HP_FRAME_PYTHON,
	};
	const char *p = (const char *)(rec + 1);
	_release_(buf) struct buf text = BUF_INIT;
	s64 frame = frame_get(s, &want);
	struct stack_frame *f;

	if (frame < 0)
		return;
	f = &s->frames[frame];
	if (!rec->name_len) {
		f->hidden = true;
		return;
	}
	buf_add(&text, p, rec->name_len);
	if (rec->file_len || want.kind == HP_FRAME_PYTHON) {
		buf_adds(&text, " (");
		buf_add_slice(&text, short_path(slice_of(p + rec->name_len, rec->file_len)));
		buf_addch(&text, ')');
	}
	f->func = strpool_add(&s->texts, buf_slice(&text));
	f->name = f->func;
	f->library = is_library(slice_of(p + rec->name_len, rec->file_len));
	if (!rec->line || (!rec->file_len && want.kind != HP_FRAME_PYTHON))
		return;
	text.n--;
	buf_addf(&text, ":%u)", rec->line);
	f->name = strpool_add(&s->texts, buf_slice(&text));
}

static u32 place_text(struct stacks *s, struct slice file, u32 line)
{
	_release_(buf) struct buf text = BUF_INIT;

	if (!file.n)
		return 0;
	buf_adds(&text, " (");
	buf_add_slice(&text, short_path(file));
	if (line)
		buf_addf(&text, ":%u", line);
	buf_addch(&text, ')');
	return strpool_add(&s->texts, buf_slice(&text));
}

void stacks_lines(struct stacks *s, const struct ev_lines *rec)
{
	const struct stack_frame want = {
		.addr = rec->addr,
		.tgid = rec->hdr.tgid,
		.kind = HP_FRAME_NATIVE,
	};
	const struct ev_line *line = (const struct ev_line *)(rec + 1);
	const char *p = (const char *)(line + rec->n);
	s64 frame = frame_get(s, &want);
	struct stack_frame *f;
	u32 i;

	if (frame < 0)
		return;
	f = &s->frames[frame];
	f->lined = true;
	f->lines = s->nlines;
	f->nlines = 0;
	for (i = 0; i < rec->n; i++) {
		struct slice name = slice_of(p, line[i].name_len);
		struct slice file = slice_of(p + name.n, line[i].file_len);

		p += name.n + file.n;
		if (!array_room(&s->lines, s->nlines, &s->lines_cap, STACK_LINES_MAX,
				sizeof(*s->lines))) {
			f->nlines = 0; /* part of them would say something else */
			return;
		}
		s->lines[s->nlines++] = (struct stack_line){
			.name = name.n ? strpool_add(&s->texts, name) : 0,
			.place = place_text(s, file, line[i].line),
		};
		f->nlines++;
	}
}

void stacks_mapping(struct stacks *s, const struct ev_mapping *rec)
{
	struct slice path = slice_of(rec + 1, rec->path_len);
	struct stack_mapping *m;

	if (!array_room(&s->mappings, s->nmappings, &s->mappings_cap, STACK_MAPPINGS_MAX,
			sizeof(*s->mappings)))
		return;
	m = &s->mappings[s->nmappings];
	memset(m, 0, sizeof(*m));
	m->at.tgid = rec->hdr.tgid;
	m->at.mapped = true;
	m->at.start = rec->start;
	m->at.end = rec->end;
	m->at.file_off = rec->file_off;
	m->at.inode = rec->inode;
	m->at.build_id_len = MIN(rec->build_id_len, sizeof(m->at.build_id));
	memcpy(m->at.build_id, rec->build_id, m->at.build_id_len);
	/* Not made printable: the symboliser opens files by it. */
	m->at.path = strpool_get(&s->texts, strpool_add(&s->texts, path)).p;
	m->seq = s->nmappings++;
	s->mappings_sorted = false;
}

static int cmp_symbol(const void *pa, const void *pb)
{
	const struct stack_symbol *a = pa, *b = pb;

	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

static int cmp_mapping(const void *pa, const void *pb)
{
	const struct stack_mapping *a = pa, *b = pb;

	if (a->at.tgid != b->at.tgid)
		return a->at.tgid < b->at.tgid ? -1 : 1;
	if (a->at.start != b->at.start)
		return a->at.start < b->at.start ? -1 : 1;
	return a->seq < b->seq ? -1 : a->seq > b->seq;
}

void stacks_sort(struct stacks *s)
{
	if (!s->symbols_sorted && s->nsymbols)
		qsort(s->symbols, s->nsymbols, sizeof(*s->symbols), cmp_symbol);
	if (!s->mappings_sorted && s->nmappings)
		qsort(s->mappings, s->nmappings, sizeof(*s->mappings), cmp_mapping);
	s->symbols_sorted = true;
	s->mappings_sorted = true;
}

const struct stack_symbol *stacks_symbol_at(const struct stacks *s, u32 tgid, u64 addr)
{
	u32 lo = 0, hi = s->nsymbols, back;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		const struct stack_symbol *y = &s->symbols[mid];

		if (y->tgid < tgid || (y->tgid == tgid && y->start <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	for (back = 0; back < STACK_OVERLAP_MAX && lo > 0; back++) {
		const struct stack_symbol *y = &s->symbols[--lo];

		if (y->tgid != tgid)
			break;
		if (addr < y->end)
			return y;
	}
	return NULL;
}

/* Where those end that begin at or before the address: the ones that may cover it are below. */
static u32 mappings_up_to(const struct stacks *s, u32 tgid, u64 addr)
{
	u32 lo = 0, hi = s->nmappings;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		const struct agg_addr *m = &s->mappings[mid].at;

		if (m->tgid < tgid || (m->tgid == tgid && m->start <= addr))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The newest of those that cover the address. */
const struct stack_mapping *stacks_mapping_at(const struct stacks *s, u32 tgid, u64 addr)
{
	const struct stack_mapping *best = NULL;
	u32 lo = mappings_up_to(s, tgid, addr), back;

	for (back = 0; back < STACK_OVERLAP_MAX && lo > 0; back++) {
		const struct stack_mapping *m = &s->mappings[--lo];

		if (m->at.tgid != tgid)
			break;
		if (addr < m->at.end && (!best || m->seq > best->seq))
			best = m;
	}
	return best;
}

bool stacks_remapped(const struct stacks *s, u32 tgid, u64 addr)
{
	const struct agg_addr *first = NULL;
	u32 lo = mappings_up_to(s, tgid, addr), back;

	for (back = 0; back < STACK_OVERLAP_MAX && lo > 0; back++) {
		const struct agg_addr *m = &s->mappings[--lo].at;

		if (m->tgid != tgid)
			break;
		if (addr >= m->end || m->path[0] != '/')
			continue;
		if (!first)
			first = m;
		else if (m->inode != first->inode ||
			 m->start - m->file_off != first->start - first->file_off)
			return true;
	}
	return false;
}

static int cmp_addr(const void *pa, const void *pb)
{
	const struct agg_addr *a = pa, *b = pb;

	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return a->kind - b->kind;
}

/* Frames of an interpreter are not found by their address. */
static bool wants_name(const struct stack_frame *f)
{
	return f->kind && f->kind != HP_FRAME_PYTHON && f->kind != HP_FRAME_METHOD && !f->listed;
}

void stacks_ask_again(struct stacks *s)
{
	u32 i;

	for (i = 0; i < s->nframes; i++)
		s->frames[i].listed = false;
}

/* Calls fn for all frames that are marked, in order. */
static size_t list_frames(struct stacks *s, const bool *marked, size_t n,
			  void (*fn)(void *arg, const struct agg_addr *a), void *arg)
{
	struct agg_addr *list = calloc(MAX(n, (size_t)1), sizeof(*list));
	size_t j;
	u32 i;

	if (!list)
		return 0;
	for (i = 0, n = 0; i < s->nframes; i++) {
		const struct stack_frame *f = &s->frames[i];
		const struct stack_mapping *m;

		if (!marked[i])
			continue;
		m = f->kind == HP_FRAME_NATIVE ? stacks_mapping_at(s, f->tgid, f->addr) : NULL;
		if (m)
			list[n] = m->at;
		list[n].tgid = f->tgid;
		list[n].addr = f->addr;
		list[n++].kind = f->kind;
	}
	qsort(list, n, sizeof(*list), cmp_addr);
	for (j = 0; j < n; j++)
		fn(arg, &list[j]);
	free(list);
	return n;
}

size_t stacks_unnamed(struct stacks *s, void (*fn)(void *arg, const struct agg_addr *a), void *arg)
{
	_free_ bool *marked = calloc(MAX(s->nframes, 1U), sizeof(*marked));
	size_t n = 0;
	u32 i;

	stacks_sort(s);
	for (i = 0; marked && i < s->nframes; i++) {
		struct stack_frame *f = &s->frames[i];

		if (!wants_name(f))
			continue;
		f->listed = true;
		marked[i] = !stacks_symbol_at(s, f->tgid, f->addr);
		n += marked[i];
	}
	return n ? list_frames(s, marked, n, fn, arg) : 0;
}

size_t stacks_unlined(struct stacks *s, void (*fn)(void *arg, const struct agg_addr *a), void *arg)
{
	_free_ bool *marked = calloc(MAX(s->nframes, 1U), sizeof(*marked));
	size_t n = 0;
	u32 i;

	stacks_sort(s);
	for (i = 0; marked && i < s->nframes; i++) {
		struct stack_frame *f = &s->frames[i];

		marked[i] = f->kind == HP_FRAME_NATIVE && !f->lined;
		f->lined |= marked[i];
		n += marked[i];
	}
	return n ? list_frames(s, marked, n, fn, arg) : 0;
}
