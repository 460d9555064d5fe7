/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See offcpu.h. Records are cumulative since attach; a thread that was there at the window's start has
 * records of that moment, which are taken off. One that began later counts from its beginning, so
 * for each thread on-CPU, run-queue and blocked time add up to the time it was there.
 */
#include "agg/offcpu.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agg/text.h"

void offcpu_init(struct offcpu *o)
{
	memset(o, 0, sizeof(*o));
	map_init(&o->of, OFFCPU_THREADS_MAX);
}

void offcpu_release(struct offcpu *o)
{
	map_release(&o->of);
	free(o->threads);
	free(o->rows);
}

static struct offcpu_thread *thread_new(struct offcpu *o, const struct ev_wait_total *rec, u64 key)
{
	u32 cap = o->cap ? o->cap * 2 : 64;
	struct offcpu_thread *t = o->threads;

	if (o->n == OFFCPU_THREADS_MAX) {
		o->refused++;
		return NULL;
	}
	if (o->n == o->cap) {
		t = realloc(o->threads, cap * sizeof(*t));
		if (!t)
			return NULL;
		o->threads = t;
		o->cap = cap;
	}
	if (map_put(&o->of, key, o->n))
		return NULL;
	t = &o->threads[o->n++];
	memset(t, 0, sizeof(*t));
	t->first_ns = rec->first_ns;
	t->tgid = rec->hdr.tgid;
	t->tid = rec->hdr.tid;
	t->target = rec->hdr.target;
	return t;
}

void offcpu_total(struct offcpu *o, const struct ev_wait_total *rec)
{
	const struct agg_wait now = { rec->count, rec->blocked_ns, rec->runqueue_ns };
	u64 key = (u64)rec->hdr.tgid << 32 | rec->hdr.tid;
	const u64 *at = map_find(&o->of, key);
	struct offcpu_thread *t = at ? &o->threads[*at] : NULL;

	if (rec->reason >= HP_WAIT_MAX)
		return;
	if (!t || t->first_ns != rec->first_ns)
		t = thread_new(o, rec, key);
	if (!t)
		return;
	if (rec->flags & HP_WAIT_BASE) {
		t->base[rec->reason] = now;
		t->base_ns = rec->hdr.ts_ns;
		t->base_on_ns = MAX(t->base_on_ns, rec->on_ns);
	}
	t->last[rec->reason] = now;
	t->last_ns = MAX(t->last_ns, rec->hdr.ts_ns);
	t->on_ns = MAX(t->on_ns, rec->on_ns);
	t->ended |= rec->flags & HP_WAIT_ENDED;
	memcpy(t->comm, rec->comm, sizeof(t->comm));
}

u64 offcpu_weight(struct offcpu *o, const struct window *w, const struct ev_wait *rec)
{
	u64 len = rec->blocked_ns + rec->runqueue_ns, weight = rec->weight_ns;

	if (!w->started || rec->hdr.ts_ns <= w->start_ns)
		return 0;
	/* Drawn for sure: it stands for itself alone, and may have begun before the window. */
	if (weight == len)
		weight = MIN(weight, rec->hdr.ts_ns - w->start_ns);
	weight = MIN(weight, NSEC_PER_SEC * 3600 * 24 * 365) + o->rest_ns;
	o->rest_ns = weight % NSEC_PER_USEC;
	return weight / NSEC_PER_USEC;
}

static u64 grown(u64 from, u64 to)
{
	return to > from ? to - from : 0;
}

static void add_wait(struct agg_wait *to, const struct agg_wait *w)
{
	to->count += w->count;
	to->blocked_ns += w->blocked_ns;
	to->runqueue_ns += w->runqueue_ns;
}

/* Was it there in the window, and is known what it had before? */
static bool counts(const struct offcpu_thread *t, const struct window *w)
{
	return t->base_ns || t->first_ns >= w->start_ns;
}

static void make_row(const struct offcpu_thread *t, struct strpool *texts, struct agg_thread *ret)
{
	u32 i;

	*ret = (struct agg_thread){
		.target = t->target,
		.tgid = t->tgid,
		.tid = t->tid,
		.name = text_add(texts, slice_of(t->comm, strnlen(t->comm, sizeof(t->comm)))),
		.ended = t->ended,
		.wall_ns = grown(t->base_ns ? t->base_ns : t->first_ns, t->last_ns),
		.on_ns = grown(t->base_on_ns, t->on_ns),
	};
	for (i = 0; i < HP_WAIT_MAX; i++) {
		struct agg_wait *w = &ret->by_reason[i];

		w->count = grown(t->base[i].count, t->last[i].count);
		w->blocked_ns = grown(t->base[i].blocked_ns, t->last[i].blocked_ns);
		w->runqueue_ns = grown(t->base[i].runqueue_ns, t->last[i].runqueue_ns);
		ret->blocked_ns += w->blocked_ns;
		ret->runqueue_ns += w->runqueue_ns;
	}
}

static u64 busy_wait(const struct agg_thread *t)
{
	return t->blocked_ns - t->by_reason[HP_WAIT_IDLE].blocked_ns + t->runqueue_ns;
}

static int cmp_thread(const void *pa, const void *pb)
{
	const struct agg_thread *a = pa, *b = pb;
	u64 x = busy_wait(a), y = busy_wait(b);

	if (x != y)
		return x > y ? -1 : 1;
	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	if (a->tid != b->tid)
		return a->tid < b->tid ? -1 : 1;
	return strcmp(a->name, b->name);
}

int offcpu_finish(struct offcpu *o, const struct window *w, const struct stack_tree *t,
		  struct strpool *texts, struct agg_offcpu *ret)
{
	u32 i, r, n = 0;

	*ret = (struct agg_offcpu){
		.recorded = o->recorded & HP_WAITS_TOTALS,
		.stacks = o->recorded & HP_WAITS_STACKS,
		.samples = t->samples,
		.nodes = t->out,
		.nnodes = t->nout,
		.top = t->top,
		.ntop = t->ntop,
	};
	o->rows = calloc(MAX(o->n, 1U), sizeof(*o->rows));
	if (!o->rows)
		return -ENOMEM;
	for (i = 0; i < o->n; i++) {
		struct agg_thread *row = &o->rows[n];

		if (!counts(&o->threads[i], w))
			continue;
		make_row(&o->threads[i], texts, row);
		n++;
		ret->on_ns += row->on_ns;
		ret->blocked_ns += row->blocked_ns;
		ret->runqueue_ns += row->runqueue_ns;
		for (r = 0; r < HP_WAIT_MAX; r++)
			add_wait(&ret->by_reason[r], &row->by_reason[r]);
	}
	qsort(o->rows, n, sizeof(*o->rows), cmp_thread);
	ret->threads = o->rows;
	ret->nthreads = MIN(n, OFFCPU_LISTED_MAX);
	ret->threads_more = n - ret->nthreads;
	return 0;
}
