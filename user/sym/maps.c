/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See maps.h. Mappings arrive when a process is first seen and whenever it maps more code; the
 * latest word about an address holds, as in the kernel.
 */
#include <errno.h>
#include <stdlib.h>
#include "sym/maps.h"

void maps_init(struct maps *t)
{
	*t = (struct maps){ 0 };
	map_init(&t->by_tgid, MAPS_PROCS_MAX);
}

static void entry_release(struct maps *t, struct maps_entry *e)
{
	t->path_bytes -= e->m.path.n;
	t->total--;
	free((char *)e->m.path.p);
}

static void proc_free(struct maps *t, struct maps_proc *p)
{
	u32 i;

	if (!p)
		return;
	for (i = 0; i < p->n; i++)
		entry_release(t, &p->e[i]);
	free(p->e);
	free(p);
}

void maps_release(struct maps *t)
{
	size_t i;

	for (i = 0; i < MAPS_PROCS_MAX; i++) {
		proc_free(t, t->procs[i]);
		t->procs[i] = NULL;
	}
	map_release(&t->by_tgid);
}

void maps_forget(struct maps *t, u32 tgid)
{
	u64 *slot = map_find(&t->by_tgid, tgid);

	if (!slot)
		return;
	proc_free(t, t->procs[*slot]);
	t->procs[*slot] = NULL;
	map_del(&t->by_tgid, tgid);
}

static struct maps_proc *proc_find(struct maps *t, u32 tgid)
{
	u64 *slot = map_find(&t->by_tgid, tgid);

	if (!slot)
		return NULL;
	t->procs[*slot]->used = ++t->clock;
	return t->procs[*slot];
}

/* The free slot, or that of the process that was not asked about for longest. */
static size_t proc_slot(struct maps *t)
{
	size_t i, oldest = 0;

	for (i = 0; i < MAPS_PROCS_MAX; i++) {
		if (!t->procs[i])
			return i;
		if (t->procs[i]->used < t->procs[oldest]->used)
			oldest = i;
	}
	maps_forget(t, t->procs[oldest]->tgid);
	t->evicted++;
	return oldest;
}

static struct maps_proc *proc_get(struct maps *t, u32 tgid)
{
	struct maps_proc *p = proc_find(t, tgid);
	size_t slot;

	if (p)
		return p;
	slot = proc_slot(t);
	p = calloc(1, sizeof(*p));
	if (!p || map_put(&t->by_tgid, tgid, slot) < 0) {
		free(p);
		return NULL;
	}
	p->tgid = tgid;
	p->used = ++t->clock;
	t->procs[slot] = p;
	return p;
}

/* First entry that ends behind addr. */
static u32 lower(const struct maps_proc *p, u64 addr)
{
	u32 lo = 0, hi = p->n;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (p->e[mid].m.end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static int copy_path(struct maps *t, struct slice path, struct slice *ret)
{
	char *p;

	path.n = MIN(path.n, (size_t)MAPS_PATH_MAX);
	if (t->path_bytes + path.n > MAPS_PATH_BYTES)
		return -ENOSPC;
	p = malloc(path.n + 1);
	if (!p)
		return -ENOMEM;
	if (path.n)
		memcpy(p, path.p, path.n);
	p[path.n] = 0;
	*ret = slice_of(p, path.n);
	t->path_bytes += path.n;
	return 0;
}

static int reserve(struct maps *t, struct maps_proc *p, u32 more)
{
	struct maps_entry *q;
	u32 cap;

	if (p->n + more > MAPS_PER_PROC || t->total + more > MAPS_TOTAL_MAX)
		return -ENOSPC;
	if (p->n + more <= p->cap)
		return 0;
	cap = MAX(p->cap * 2, p->n + more);
	cap = MAX(cap, 16u);
	q = realloc(p->e, cap * sizeof(*q));
	if (!q)
		return -ENOMEM;
	p->e = q;
	p->cap = cap;
	return 0;
}

static void open_gap(struct maps *t, struct maps_proc *p, u32 at)
{
	memmove(&p->e[at + 1], &p->e[at], (p->n - at) * sizeof(*p->e));
	p->n++;
	t->total++;
}

/* Cuts [start, end) out of entry at; there is room for one more entry. */
static int cut(struct maps *t, struct maps_proc *p, u32 at, u64 start, u64 end)
{
	struct maps_entry *e = &p->e[at];
	int r;

	if (e->m.start < start && e->m.end > end) {
		struct slice path;

		r = copy_path(t, e->m.path, &path);
		if (r < 0)
			return r;
		open_gap(t, p, at + 1);
		p->e[at + 1] = *e;
		p->e[at + 1].m.path = path;
		p->e[at + 1].m.start = end;
		p->e[at + 1].m.file_off += end - e->m.start;
		e->m.end = start;
	} else if (e->m.start < start) {
		e->m.end = start;
	} else if (e->m.end > end) {
		e->m.file_off += end - e->m.start;
		e->m.start = end;
	} else {
		entry_release(t, e);
		memmove(e, e + 1, (p->n - at - 1) * sizeof(*e));
		p->n--;
	}
	return 0;
}

int maps_add(struct maps *t, u32 tgid, const struct sym_mapping *m)
{
	struct maps_entry add = { .m = *m };
	struct maps_proc *p;
	u32 at;
	int r;

	if (m->start >= m->end)
		return -EINVAL;
	p = proc_get(t, tgid);
	if (!p)
		return -ENOMEM;
	r = reserve(t, p, 2);
	if (r == 0)
		r = copy_path(t, m->path, &add.m.path);
	if (r < 0)
		return r;
	at = lower(p, m->start);
	while (r == 0 && at < p->n && p->e[at].m.start < m->end) {
		bool left = p->e[at].m.start < m->start;

		r = cut(t, p, at, m->start, m->end);
		at += left;
	}
	if (r < 0) {
		t->path_bytes -= add.m.path.n;
		free((char *)add.m.path.p);
		return r;
	}
	open_gap(t, p, at);
	p->e[at] = add;
	return 0;
}

struct maps_entry *maps_find(struct maps *t, u32 tgid, u64 addr)
{
	struct maps_proc *p = proc_find(t, tgid);
	u32 at;

	if (!p)
		return NULL;
	at = lower(p, addr);
	return at < p->n && p->e[at].m.start <= addr ? &p->e[at] : NULL;
}
