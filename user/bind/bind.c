/* SPDX-License-Identifier: Apache-2.0 */
/* See bind.h. */
#include "bind/bind.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

/*
 * A call's root is looked for when its tasks are known and kinds of tasks have been learned, and before
 * the tasks are forgotten.
 */
#define SETTLE_NS (2 * NSEC_PER_SEC)
#define THREADS_MAX (1U << 16)
#define PROCESSES_MAX (1U << 16)
#define IDLE_NO_MORE (BIND_IDLE_MAX + 1)

void bind_init(struct bind *b)
{
	memset(b, 0, sizeof(*b));
	lineage_init(&b->lineage);
	map_init(&b->by_root, BIND_REQUESTS_MAX);
	map_init(&b->by_thread, THREADS_MAX);
	map_init(&b->loops, THREADS_MAX);
	map_init(&b->idle, PROCESSES_MAX);
}

void bind_release(struct bind *b)
{
	lineage_release(&b->lineage);
	map_release(&b->by_root);
	map_release(&b->by_thread);
	map_release(&b->loops);
	map_release(&b->idle);
	free(b->requests);
	free(b->calls);
	memset(b, 0, sizeof(*b));
}

static u64 thread_key(u32 tgid, u32 tid)
{
	return (u64)tgid << 32 | tid;
}

/* Requests of one thread that overlap: it serves several at a time. */
static void share(struct bind *b, struct bind_request *r)
{
	struct bind_request *other = r->before ? &b->requests[r->before - 1] : NULL;

	if (!other || other->end_ns <= r->read_ns)
		return;
	other->shared = true;
	r->shared = true;
}

static void settle_request(struct bind *b, u32 number)
{
	struct bind_request *r = &b->requests[number - 1];
	u64 key = thread_key(r->tgid, r->read_tid), *at;
	struct map *by = &b->by_thread;

	r->root = lineage_root(&b->lineage, r->root);
	if (r->root) {
		by = &b->by_root;
		key = r->root;
	}
	at = map_find(by, key);
	r->before = at ? (u32)*at : 0;
	if (map_put(by, key, number))
		b->refused++;
	if (!r->root)
		share(b, r);
}

static void settle(struct bind *b, u64 until_ns)
{
	while (b->settled_requests < b->nrequests &&
	       b->requests[b->settled_requests].end_ns <= until_ns)
		settle_request(b, ++b->settled_requests);
	for (; b->settled < b->ncalls; b->settled++) {
		struct bind_call *c = &b->calls[b->settled];

		if (c->end_ns > until_ns)
			break;
		c->token = lineage_root(&b->lineage, c->token);
	}
}

static void advance(struct bind *b, u64 now_ns)
{
	b->now_ns = MAX(b->now_ns, now_ns);
	if (b->now_ns > SETTLE_NS)
		settle(b, b->now_ns - SETTLE_NS);
}

void bind_task(struct bind *b, const struct ev_task *ev)
{
	if (map_put(&b->loops, thread_key(ev->hdr.tgid, ev->hdr.tid), 1))
		b->refused++;
	lineage_add(&b->lineage, ev);
	advance(b, ev->hdr.ts_ns);
}

/* A process of which there is no record counts as one that makes calls. */
static bool keeps(struct bind *b, u32 tgid)
{
	u64 *kept = map_find(&b->idle, tgid);

	if (!kept)
		map_put(&b->idle, tgid, 1);
	else if (*kept < BIND_IDLE_MAX)
		++*kept;
	else
		return *kept == IDLE_NO_MORE;
	return true;
}

u32 bind_request(struct bind *b, const struct http_exchange *x, u32 row)
{
	if (!keeps(b, x->tgid)) {
		lineage_learn(&b->lineage, x->token, x->end_ns);
		advance(b, x->end_ns);
		return BIND_IDLE;
	}
	if (!array_room(&b->requests, b->nrequests, &b->requests_cap, BIND_REQUESTS_MAX,
			sizeof(*b->requests))) {
		b->refused++;
		return 0;
	}
	lineage_learn(&b->lineage, x->token, x->end_ns);
	b->requests[b->nrequests++] =
		(struct bind_request){ .read_ns = x->read_ns ? x->read_ns : x->start_ns,
				       .end_ns = x->end_ns,
				       .tgid = x->tgid,
				       .read_tid = x->tid,
				       .tid = x->sent_tid == x->tid ? x->tid : 0,
				       .root = x->token,
				       .row = row,
				       .partial = span_partial(x->flags) };
	advance(b, x->end_ns);
	return b->nrequests;
}

void bind_call(struct bind *b, const struct db_call *c, const void *query)
{
	map_put(&b->idle, c->tgid, IDLE_NO_MORE);
	/* Whose request is not known any more. */
	if (b->nrequests == BIND_REQUESTS_MAX ||
	    !array_room(&b->calls, b->ncalls, &b->calls_cap, BIND_CALLS_MAX, sizeof(*b->calls))) {
		b->refused++;
		b->bound[BIND_NONE] += !span_partial(c->flags);
		return;
	}
	b->calls[b->ncalls++] = (struct bind_call){ .start_ns = c->start_ns,
						    .end_ns = c->end_ns,
						    .tgid = c->tgid,
						    .tid = c->tid,
						    .token = c->token,
						    .query = query,
						    .trips = c->trips,
						    .partial = span_partial(c->flags) };
	advance(b, c->end_ns);
}

/* The request of a root, or thread, that was read last before the call. */
static u32 read_before(const struct bind *b, const struct map *by, u64 key, u64 start_ns)
{
	const u64 *at = map_find(by, key);
	u32 n = at ? (u32)*at : 0;

	while (n && b->requests[n - 1].read_ns > start_ns)
		n = b->requests[n - 1].before;
	return n;
}

static void bind_one(const struct bind *b, struct bind_call *c)
{
	u64 thread = thread_key(c->tgid, c->tid);
	const struct bind_request *r;
	u32 n;

	if (c->token) {
		n = read_before(b, &b->by_root, c->token, c->start_ns);
		if (n) {
			c->request = n;
			c->kind = BIND_TASK;
		}
		return;
	}
	if (map_find(&b->loops, thread))
		return;
	n = read_before(b, &b->by_thread, thread, c->start_ns);
	r = n ? &b->requests[n - 1] : NULL;
	if (r && r->tid && !r->shared && c->start_ns <= r->end_ns) {
		c->request = n;
		c->kind = BIND_THREAD;
	}
}

static int cmp_call(const void *pa, const void *pb)
{
	const struct bind_call *a = pa, *b = pb;

	if (a->request != b->request)
		return a->request < b->request ? -1 : 1;
	return (a->start_ns > b->start_ns) - (a->start_ns < b->start_ns);
}

void bind_finish(struct bind *b)
{
	u32 i;

	settle(b, UINT64_MAX);
	for (i = 0; i < b->ncalls; i++) {
		bind_one(b, &b->calls[i]);
		b->bound[b->calls[i].kind] += !b->calls[i].partial;
	}
	if (b->ncalls)
		qsort(b->calls, b->ncalls, sizeof(*b->calls), cmp_call);
	for (i = 0; i < b->ncalls; i++) {
		struct bind_request *r;

		if (!b->calls[i].request)
			continue;
		r = &b->requests[b->calls[i].request - 1];
		if (!r->n++)
			r->first = i;
	}
}

const struct bind_call *bind_calls_of(const struct bind *b, u32 request, u32 *ret_n)
{
	const struct bind_request *r = request ? &b->requests[request - 1] : NULL;

	*ret_n = r ? r->n : 0;
	return *ret_n ? &b->calls[r->first] : NULL;
}
