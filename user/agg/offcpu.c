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
#include "base/array.h"

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
	free(o->wakings);
	free(o->states);
}

static struct offcpu_thread *thread_new(struct offcpu *o, const struct ev_wait_total *rec, u64 key)
{
	struct offcpu_thread *t;

	if (!array_room(&o->threads, o->n, &o->cap, OFFCPU_THREADS_MAX, sizeof(*o->threads))) {
		o->refused++;
		return NULL;
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

void offcpu_state(struct offcpu *o, const struct ev_wait *rec)
{
	struct agg_state *s;

	if (!array_room(&o->states, o->nstates, &o->states_cap, AGG_STATES_MAX,
			sizeof(*o->states))) {
		o->states_more++;
		return;
	}
	s = &o->states[o->nstates++];
	*s = (struct agg_state){ .ts_ns = rec->hdr.ts_ns,
				 .blocked_ns = rec->blocked_ns,
				 .runqueue_ns = rec->runqueue_ns,
				 .on_ns = rec->on_ns,
				 .before = rec->before,
				 .tgid = rec->hdr.tgid,
				 .tid = rec->hdr.tid,
				 .reason = rec->reason };
	memcpy(s->name, rec->comm, sizeof(s->name) - 1);
	if (rec->woken_by == HP_WAKER_THREAD && rec->reason != HP_WAIT_SLEEP)
		memcpy(s->waker, rec->waker_comm, sizeof(s->waker) - 1);
}

static int cmp_state(const void *pa, const void *pb)
{
	const struct agg_state *a = pa, *b = pb;

	if (a->tgid != b->tgid)
		return a->tgid < b->tgid ? -1 : 1;
	if (a->tid != b->tid)
		return a->tid < b->tid ? -1 : 1;
	if (a->ts_ns != b->ts_ns)
		return a->ts_ns < b->ts_ns ? -1 : 1;
	return a->before < b->before ? -1 : a->before > b->before;
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

static int cmp_waking(const void *pa, const void *pb)
{
	const struct agg_waking *a = pa, *b = pb;
	int c;

	if (a->weight_us != b->weight_us)
		return a->weight_us > b->weight_us ? -1 : 1;
	c = strcmp(a->thread, b->thread);
	if (!c)
		c = (int)a->reason - (int)b->reason;
	return c ? c : strcmp(a->waker, b->waker);
}

static u8 reason_of(const char *group)
{
	u8 i;

	for (i = 0; i < HP_WAIT_MAX; i++) {
		const char *key = agg_wait_key(i);
		size_t n = strlen(key);

		if (!strncmp(group + 1, key, n) && !strcmp(group + 1 + n, ")"))
			return i;
	}
	return HP_WAIT_OTHER;
}

/* A waker's node, and where below it most of the weight is. */
static void make_waking(const struct stack_tree *t, u32 node, struct agg_waking *ret)
{
	const struct agg_node *n = t->out, *reason = &n[n[node].parent];
	u32 i, best = node;

	for (i = node + 1; i < t->nout && n[i].depth > n[node].depth; i++)
		if (n[i].kind && (best == node || n[i].self > n[best].self))
			best = i;
	*ret = (struct agg_waking){
		.thread = n[reason->parent].text,
		.waker = n[node].text + strlen(WAKER_PREFIX),
		.reason = reason_of(reason->text),
		.weight_us = n[node].total,
	};
	for (i = 0; i < AGG_WAKER_TOP && best > node && n[best].kind; i++) {
		ret->top[i] = n[best].text;
		best = n[best].parent;
	}
}

/* The rows of the tree of wakers: thread, reason, waker are its depths 1 to 3. */
static int make_wakings(struct offcpu *o, const struct stack_tree *t, struct agg_offcpu *ret)
{
	u32 i, n = 0;

	for (i = 0; i < t->nout; i++)
		n += t->out[i].depth == 3;
	o->wakings = calloc(MAX(n, 1U), sizeof(*o->wakings));
	if (!o->wakings)
		return -ENOMEM;
	for (i = 0, n = 0; i < t->nout; i++)
		if (t->out[i].depth == 3 && t->out[i].text[0] == WAKER_PREFIX[0])
			make_waking(t, i, &o->wakings[n++]);
	qsort(o->wakings, n, sizeof(*o->wakings), cmp_waking);
	ret->waker_nodes = t->out;
	ret->nwaker_nodes = t->nout;
	ret->wakings = o->wakings;
	ret->nwakings = MIN(n, OFFCPU_WAKINGS_MAX);
	return 0;
}

int offcpu_finish(struct offcpu *o, const struct window *w, const struct stacks *s,
		  struct strpool *texts, struct agg_offcpu *ret)
{
	const struct stack_tree *t = &s->waits;
	u32 i, r, n = 0;

	*ret = (struct agg_offcpu){
		.recorded = o->recorded & HP_WAITS_TOTALS,
		.stacks = o->recorded & HP_WAITS_STACKS,
		.samples = t->samples,
		.nodes = t->out,
		.nnodes = t->nout,
		.top = t->top,
		.ntop = t->ntop,
		.places = t->places,
		.nplaces = t->nplaces,
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
	if (o->nstates)
		qsort(o->states, o->nstates, sizeof(*o->states), cmp_state);
	ret->states = o->states;
	ret->nstates = o->nstates;
	ret->states_more = o->states_more;
	return make_wakings(o, &s->wakers, ret);
}
