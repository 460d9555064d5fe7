/* SPDX-License-Identifier: Apache-2.0 */
/* See unwindprocs.h. */
#include "load/unwindprocs.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_STEP 16 /* ranges are multiples, so that they fit again where one was */

struct unwind_maps {
	u32 refs; /* processes */
	u32 n, cap;
	u32 first, shown; /* what the programs see */
	u32 slots; /* of the array, taken for it; 0 = they see nothing yet */
	u64 round; /* in which that was written */
	bool dirty;
	s8 word; /* of code that has no file */
	u8 through;
	struct unwind_mapping *v; /* sorted, disjoint */
};

int unwind_procs_init(struct unwind_procs *p, struct unwind_tables *tables,
		      int (*put)(void *arg, u32 tgid, const struct uw_proc *proc), void *arg)
{
	memset(p, 0, sizeof(*p));
	p->tables = tables;
	p->put = put;
	p->arg = arg;
	map_init(&p->by_tgid, UNWIND_PROCS_MAX);
	p->v = calloc(UNWIND_PROCS_MAX, sizeof(*p->v));
	if (!p->v)
		return -ENOMEM;
	return ranges_init(&p->slots, tables->arrays.nmaps);
}

static void maps_put(struct unwind_procs *p, struct unwind_maps *m, u64 now_ns)
{
	u32 i;

	if (!m || --m->refs)
		return;
	for (i = 0; i < m->n; i++)
		unwind_tables_put(p->tables, m->v[i].table, now_ns);
	if (m->slots)
		ranges_give(&p->slots, m->first, m->slots, now_ns);
	free(m->v);
	free(m);
}

void unwind_procs_release(struct unwind_procs *p)
{
	u32 i;

	for (i = 0; p->v && i < p->n; i++)
		maps_put(p, p->v[i].maps, 0);
	free(p->v);
	p->v = NULL;
	p->n = 0;
	map_release(&p->by_tgid);
	ranges_release(&p->slots);
}

static struct unwind_proc *proc_find(const struct unwind_procs *p, u32 tgid)
{
	const u64 *at = map_find(&p->by_tgid, tgid);

	return at ? &p->v[*at] : NULL;
}

bool unwind_procs_known(const struct unwind_procs *p, u32 tgid)
{
	return proc_find(p, tgid) != NULL;
}

static struct unwind_proc *proc_new(struct unwind_procs *p, u32 tgid)
{
	struct unwind_proc *x;

	if (p->n == UNWIND_PROCS_MAX || map_put(&p->by_tgid, tgid, p->n)) {
		p->refused++;
		return NULL;
	}
	x = &p->v[p->n++];
	*x = (struct unwind_proc){ .tgid = tgid };
	return x;
}

void unwind_procs_forget(struct unwind_procs *p, u32 tgid, u64 now_ns)
{
	struct unwind_proc *x = proc_find(p, tgid), *last;

	if (!x)
		return;
	p->put(p->arg, tgid, NULL);
	maps_put(p, x->maps, now_ns);
	map_del(&p->by_tgid, tgid);
	last = &p->v[--p->n];
	if (last != x) {
		*x = *last;
		map_put(&p->by_tgid, x->tgid, (u64)(x - p->v));
	}
}

/* The list of a process, its own: about to be changed. */
static struct unwind_maps *own_maps(struct unwind_procs *p, struct unwind_proc *x)
{
	struct unwind_maps *m = x->maps, *copy;
	u32 i;

	if (m && m->refs == 1)
		return m;
	copy = calloc(1, sizeof(*copy));
	if (!copy)
		return NULL;
	copy->refs = 1;
	if (!m) {
		x->maps = copy;
		return copy;
	}
	copy->cap = MAX(m->n, 1U);
	copy->v = calloc(copy->cap, sizeof(*copy->v));
	if (!copy->v) {
		free(copy);
		return NULL;
	}
	copy->n = m->n;
	copy->word = m->word;
	copy->through = m->through;
	if (m->n)
		memcpy(copy->v, m->v, m->n * sizeof(*m->v));
	for (i = 0; i < m->n; i++) {
		struct unwind_table *t = unwind_tables_find(p->tables, m->v[i].table);

		if (t)
			unwind_table_get(t);
	}
	m->refs--;
	x->maps = copy;
	return copy;
}

/* First mapping that ends behind addr. */
static u32 lower(const struct unwind_maps *m, u64 addr)
{
	u32 lo = 0, hi = m->n;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (m->v[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool room_for(struct unwind_maps *m, u32 more)
{
	struct unwind_mapping *v;
	u32 cap;

	if (m->n + more > UW_MAPS_MAX)
		return false;
	if (m->n + more <= m->cap)
		return true;
	cap = MAX(2 * m->cap, m->n + more);
	v = realloc(m->v, cap * sizeof(*v));
	if (!v)
		return false;
	m->v = v;
	m->cap = cap;
	return true;
}

static void insert_at(struct unwind_maps *m, u32 at, const struct unwind_mapping *x)
{
	memmove(&m->v[at + 1], &m->v[at], (m->n - at) * sizeof(*m->v));
	m->v[at] = *x;
	m->n++;
}

/* Cuts [start, end) out of the mapping at `at`; there is room for one more. Where the next one is. */
static u32 cut(struct unwind_procs *p, struct unwind_maps *m, u32 at, u64 start, u64 end,
	       u64 now_ns)
{
	struct unwind_mapping *x = &m->v[at], right = *x;
	bool has_left = x->start<start, has_right = x->end> end;
	struct unwind_table *t;

	right.start = end;
	right.off += end - x->start;
	if (has_left && has_right) {
		t = unwind_tables_find(p->tables, x->table);
		if (t)
			unwind_table_get(t);
		x->end = start;
		insert_at(m, at + 1, &right);
		return at + 1;
	}
	if (has_left) {
		x->end = start;
		return at + 1;
	}
	if (has_right) {
		*x = right;
		return at;
	}
	unwind_tables_put(p->tables, x->table, now_ns);
	memmove(x, x + 1, (m->n - at - 1) * sizeof(*x));
	m->n--;
	return at;
}

static bool same_file(const struct unwind_mapping *a, const struct unwind_mapping *b)
{
	return a->inode == b->inode && a->start - a->off == b->start - b->off;
}

/* Is this a word about something that is known, of a file's mapping or of one without? */
static bool is_known(const struct unwind_mapping *e, const struct unwind_mapping *m)
{
	if (e->start > m->start || e->end < m->end)
		return false;
	if (m->inode || e->inode)
		return same_file(e, m);
	return m->kind == UW_MAP_FP ? e->kind != UW_MAP_PENDING
				    : e->start == m->start && e->end == m->end;
}

static void mark(struct unwind_procs *p, struct unwind_maps *m)
{
	m->dirty = true;
	p->dirty = true;
}

/*
 * Puts a mapping in the place of what it overlaps. Generated code keeps its tables: that is how the rest of
 * a growing heap of it comes to be known.
 */
static int replace(struct unwind_procs *p, struct unwind_maps *list, const struct unwind_mapping *m,
		   u64 now_ns)
{
	bool keeps = !m->inode && m->kind == UW_MAP_FP;
	struct unwind_mapping part = *m;
	u64 next;
	u32 at;

	while (part.start < m->end) {
		if (!room_for(list, 2)) {
			p->refused++;
			return -ENOSPC;
		}
		part.end = next = m->end;
		at = lower(list, part.start);
		for (; keeps && at < list->n && list->v[at].start < m->end; at++) {
			const struct unwind_mapping *e = &list->v[at];

			if (e->inode || e->kind != UW_MAP_TABLE)
				continue;
			part.end = MAX(e->start, part.start);
			next = MIN(e->end, m->end);
			break;
		}
		if (part.start < part.end) {
			at = lower(list, part.start);
			while (at < list->n && list->v[at].start < part.end)
				at = cut(p, list, at, part.start, part.end, now_ns);
			insert_at(list, at, &part);
			mark(p, list);
		}
		part.off += next - part.start;
		part.start = next;
	}
	return 0;
}

int unwind_procs_map(struct unwind_procs *p, u32 tgid, const struct unwind_mapping *m, u64 now_ns)
{
	struct unwind_proc *x = proc_find(p, tgid);
	struct unwind_maps *list;
	u32 at;

	if (m->start >= m->end || m->table || (m->kind != UW_MAP_PENDING && m->kind != UW_MAP_FP))
		return -EINVAL;
	if (!x)
		x = proc_new(p, tgid);
	if (!x)
		return -ENOSPC;
	if (x->maps) {
		at = lower(x->maps, m->start);
		if (at < x->maps->n && is_known(&x->maps->v[at], m))
			return 0;
	}
	list = own_maps(p, x);
	if (!list)
		return -ENOMEM;
	return replace(p, list, m, now_ns);
}

/* Makes a mapping without a file two at addr, if that is inside. */
static void split(struct unwind_procs *p, struct unwind_maps *m, u64 addr)
{
	u32 at = lower(m, addr);
	struct unwind_mapping right;
	struct unwind_table *t;

	if (at == m->n || m->v[at].start >= addr || m->v[at].inode)
		return;
	t = unwind_tables_find(p->tables, m->v[at].table);
	if (t)
		unwind_table_get(t);
	right = m->v[at];
	right.start = addr;
	right.off += addr - m->v[at].start;
	m->v[at].end = addr;
	insert_at(m, at + 1, &right);
	mark(p, m);
}

int unwind_procs_bind(struct unwind_procs *p, u32 tgid, const struct unwind_mapping *m, u64 now_ns)
{
	struct unwind_proc *x = proc_find(p, tgid);
	struct unwind_table *t = unwind_tables_find(p->tables, m->table);
	bool found = false;
	u32 at;

	if ((m->kind != UW_MAP_TABLE && m->kind != UW_MAP_FP) || m->flags & ~UW_MAP_PYTHON ||
	    (m->word && m->kind != UW_MAP_FP))
		return -EINVAL;
	if (!x || !x->maps)
		return -ENOENT;
	if (m->kind == UW_MAP_TABLE && !t)
		return -ESTALE;
	/* Generated code has its table for itself, whatever else is mapped beside it. */
	if (!m->inode && room_for(x->maps, 2)) {
		split(p, x->maps, m->start);
		split(p, x->maps, m->end);
	}
	/*
	 * All that share the list have this mapping, so a table is right for all of them. That a file has
	 * none may only mean that one of them has ended: it takes none away.
	 */
	for (at = lower(x->maps, m->start); at < x->maps->n && x->maps->v[at].start < m->end;
	     at++) {
		struct unwind_mapping *e = &x->maps->v[at];

		if (e->start < m->start || e->end > m->end || e->inode != m->inode)
			continue;
		found = true;
		if (m->kind == UW_MAP_FP && e->kind == UW_MAP_TABLE && m->inode)
			continue;
		if (e->kind == m->kind && e->table == m->table && e->bias == m->bias &&
		    e->flags == m->flags && e->word == m->word)
			continue;
		if (m->kind == UW_MAP_TABLE)
			unwind_table_get(t);
		unwind_tables_put(p->tables, e->table, now_ns);
		e->kind = m->kind;
		e->table = m->kind == UW_MAP_TABLE ? m->table : 0;
		e->bias = m->bias;
		e->flags = m->flags;
		e->word = m->word;
		mark(p, x->maps);
	}
	return found ? 0 : -ENOENT;
}

void unwind_procs_code(struct unwind_procs *p, u32 tgid, s8 word, u8 through)
{
	struct unwind_proc *x = proc_find(p, tgid);
	struct unwind_maps *m;

	if (!x || !x->maps || (x->maps->word == word && x->maps->through == through))
		return;
	m = own_maps(p, x);
	if (!m)
		return;
	m->word = word;
	m->through = through;
	mark(p, m);
}

void unwind_procs_python(struct unwind_procs *p, u32 tgid, u32 key)
{
	struct unwind_proc *x = proc_find(p, tgid);

	if (!x || x->python == key)
		return;
	x->python = key;
	if (x->maps)
		mark(p, x->maps);
}

static void put_proc(struct unwind_procs *p, struct unwind_proc *x)
{
	const struct uw_proc proc = {
		.first = x->maps->first,
		.n = x->maps->shown,
		.epoch = ++p->epoch,
		.python = x->python,
	};

	p->put(p->arg, x->tgid, &proc);
}

void unwind_procs_fork(struct unwind_procs *p, u32 parent, u32 child, u64 now_ns)
{
	struct unwind_proc *from, *to;

	if (!proc_find(p, parent) || parent == child)
		return;
	unwind_procs_forget(p, child, now_ns);
	to = proc_new(p, child);
	from = proc_find(p, parent);
	if (!to || !from->maps)
		return;
	from->maps->refs++;
	to->maps = from->maps;
	to->python = from->python;
	if (to->maps->slots)
		put_proc(p, to);
}

u32 unwind_procs_pending(const struct unwind_procs *p)
{
	u32 i, j, n = 0;

	for (i = 0; i < p->n; i++)
		for (j = 0; p->v[i].maps && j < p->v[i].maps->n; j++)
			n += p->v[i].maps->v[j].kind == UW_MAP_PENDING;
	return n;
}

static int write_maps(struct unwind_procs *p, struct unwind_maps *m, u64 now_ns)
{
	u32 i, first, slots = (MAX(m->n, 1U) + SLOTS_STEP - 1) / SLOTS_STEP * SLOTS_STEP;
	int err = ranges_take(&p->slots, slots, now_ns, &first);
	struct uw_map *out;

	if (err)
		return err;
	out = &p->tables->arrays.maps[first];
	for (i = 0; i < m->n; i++) {
		const struct unwind_mapping *x = &m->v[i];
		const struct unwind_table *t = unwind_tables_find(p->tables, x->table);
		bool code = x->kind == UW_MAP_FP && !x->inode && !x->word;

		out[i] = (struct uw_map){ .start = x->start,
					  .end = x->end,
					  .bias = x->bias,
					  .page = t ? t->page : 0,
					  .npages = t ? t->npages : 0,
					  .kind = x->kind,
					  .flags = x->flags,
					  .word = code ? m->word : x->word,
					  .through = code ? m->through : 0 };
	}
	if (m->slots)
		ranges_give(&p->slots, m->first, m->slots, now_ns);
	m->first = first;
	m->shown = m->n;
	m->slots = slots;
	m->round = p->round;
	m->dirty = false;
	return 0;
}

/* Lists first, then the processes that have one: a list that many share is written once. */
void unwind_procs_publish(struct unwind_procs *p, u64 now_ns, bool now)
{
	u32 i;

	if (!p->dirty || (!now && now_ns < p->published_ns + UNWIND_PUBLISH_NS))
		return;
	p->published_ns = now_ns;
	p->dirty = false;
	p->round++;
	/* What finds no room does so when ranges have rested. */
	for (i = 0; i < p->n; i++)
		if (p->v[i].maps && p->v[i].maps->dirty && write_maps(p, p->v[i].maps, now_ns))
			p->dirty = true;
	for (i = 0; i < p->n; i++)
		if (p->v[i].maps && p->v[i].maps->round == p->round)
			put_proc(p, &p->v[i]);
}
