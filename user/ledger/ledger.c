/* SPDX-License-Identifier: Apache-2.0 */
/* See ledger.h: what comes in, and when it is looked at. What a request's time went into: split.c. */
#include "ledger/ledger.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/split.h"

#define ROWS_MAX (1U << 16)
#define PROCESSES_MAX 16384
#define TICK_NS (20 * NSEC_PER_MSEC) /* between two looks at what may be split */

int ledger_init(struct ledger *l, const struct lineage *lineage, const struct map *loops,
		ledger_fn fn, void *arg)
{
	memset(l, 0, sizeof(*l));
	l->lineage = lineage;
	l->loops = loops;
	l->fn = fn;
	l->arg = arg;
	timeline_init(&l->timeline);
	recent_init(&l->last_call, LEDGER_CALLS_MAX);
	recent_init(&l->rows, ROWS_MAX);
	recent_init(&l->served, LEDGER_CONNS_MAX);
	recent_init(&l->stepping, PROCESSES_MAX);
	l->calls = malloc(LEDGER_CALLS_MAX * sizeof(*l->calls));
	return l->calls ? 0 : -ENOMEM;
}

void ledger_release(struct ledger *l)
{
	timeline_release(&l->timeline);
	recent_release(&l->last_call);
	recent_release(&l->rows);
	recent_release(&l->served);
	recent_release(&l->stepping);
	pieces_release(&l->on_thread);
	pieces_release(&l->of_worker);
	covers_release(&l->covers);
	free(l->requests);
	free(l->calls);
	memset(l, 0, sizeof(*l));
}

static struct ledger_request *request_at(const struct ledger *l, u32 i)
{
	return &l->requests[(l->first + i) & (l->requests_cap - 1)];
}

/* Calls have their roots, and can be found by them. */
static void settle_calls(struct ledger *l, u64 until_ns)
{
	for (; l->calls_settled < l->ncalls; l->calls_settled++) {
		struct ledger_call *c = &l->calls[l->calls_settled % LEDGER_CALLS_MAX];
		u64 key, last = 0;

		if (c->read_ns > until_ns && until_ns != UINT64_MAX)
			return;
		if (c->root)
			c->root = lineage_root(l->lineage, c->root);
		key = c->root ? c->root : ledger_thread_key(c->tgid, c->tid);
		recent_find(&l->last_call, key, &last);
		c->before = (u32)last;
		recent_put(&l->last_call, key, l->calls_settled + 1);
	}
}

static void settle(struct ledger *l, u64 until_ns)
{
	timeline_settle(&l->timeline, l->lineage, l->loops, until_ns);
	settle_calls(l, until_ns);
	for (; l->settled < l->nrequests; l->settled++) {
		struct ledger_request *r = request_at(l, l->settled);

		if (r->end_ns > until_ns)
			return;
		if (r->root)
			r->root = lineage_root(l->lineage, r->root);
		if (r->root)
			recent_put(&l->rows, r->root, r->row);
	}
}

static void split_until(struct ledger *l, u64 until_ns)
{
	while (l->nrequests && l->settled && request_at(l, 0)->end_ns <= until_ns) {
		if (split_request(l, request_at(l, 0)))
			l->refused++;
		l->first = (l->first + 1) & (l->requests_cap - 1);
		l->nrequests--;
		l->settled--;
	}
}

static void advance(struct ledger *l, u64 now_ns)
{
	u64 delay;

	if (now_ns < l->now_ns + TICK_NS)
		return;
	l->now_ns = now_ns;
	delay = LEDGER_LATE_NS + (l->loops->n ? LEDGER_LEARN_NS : 0);
	l->timeline.keep_ns = delay + 2 * LEDGER_LATE_NS;
	if (now_ns > delay + LEDGER_LATE_NS) {
		settle(l, now_ns - delay);
		split_until(l, now_ns - delay - LEDGER_LATE_NS);
	}
}

static void on_step(struct ledger *l, const struct ev_step *ev)
{
	bool seen = ev->flags & HP_STEP_SAMPLED;
	u64 waited = ev->blocked_ns + ev->runqueue_ns;
	struct mark m = {
		.ts_ns = ev->hdr.ts_ns,
		.owner = ev->token,
		.kind = seen			     ? MARK_SEEN
			: ev->flags & HP_STEP_QUEUED ? MARK_QUEUED
						     : MARK_WAIT,
		.reason = ev->reason,
	};

	m.from_ns = m.kind == MARK_WAIT && waited < m.ts_ns ? m.ts_ns - waited : m.ts_ns;
	m.woken_ns = m.kind == MARK_WAIT ? m.from_ns + MIN(ev->blocked_ns, waited) : 0;
	timeline_add(&l->timeline, ev->hdr.tgid, ev->hdr.tid, &m);
	if (m.kind == MARK_WAIT)
		recent_put(&l->stepping, ev->hdr.tgid, 1);
}

static void on_data(struct ledger *l, const struct ev_data *ev)
{
	bool send = ev->dir == HP_SEND;
	struct mark m = {
		.ts_ns = ev->hdr.ts_ns,
		.from_ns = send && ev->enter_ns ? MIN(ev->enter_ns, ev->hdr.ts_ns) : ev->hdr.ts_ns,
		.conn_id = ev->conn_id,
		.owner = send ? ev->token : 0,
		.kind = send ? MARK_SEND : MARK_RECV,
	};

	timeline_add(&l->timeline, ev->hdr.tgid, ev->hdr.tid, &m);
}

void ledger_record(struct ledger *l, const struct ev_hdr *rec)
{
	const struct ev_conn_open *open = (const struct ev_conn_open *)rec;

	switch (rec->kind) {
	case EV_STEP:
		on_step(l, (const struct ev_step *)rec);
		break;
	case EV_DATA:
		on_data(l, (const struct ev_data *)rec);
		break;
	case EV_CONN_OPEN:
		if (open->role == HP_ROLE_SERVER)
			recent_put(&l->served, open->conn_id,
				   open->origin == HP_ORIGIN_ACCEPT ? rec->ts_ns : 0);
		return;
	case EV_CONN_CLOSE:
		return;
	default:
		return;
	}
	advance(l, rec->ts_ns);
}

static bool make_room(struct ledger *l)
{
	u32 cap = l->requests_cap ? 2 * l->requests_cap : 256, i;
	struct ledger_request *v;

	if (l->nrequests < l->requests_cap)
		return true;
	v = cap <= LEDGER_REQUESTS_MAX ? malloc(cap * sizeof(*v)) : NULL;
	if (!v)
		return false;
	for (i = 0; i < l->nrequests; i++)
		v[i] = *request_at(l, i);
	free(l->requests);
	l->requests = v;
	l->requests_cap = cap;
	l->first = 0;
	return true;
}

void ledger_request(struct ledger *l, const struct http_exchange *x, u32 row, u32 number)
{
	struct ledger_request r = {
		.start_ns = x->start_ns,
		.read_ns = x->read_ns ? x->read_ns : x->start_ns,
		.end_ns = x->end_ns,
		.conn_id = x->conn_id,
		.tgid = x->tgid,
		.tid = x->tid,
		.sent_tid = x->sent_tid,
		.root = x->token,
		.row = row,
		.number = number,
	};

	if (!row || !span_timed(x->flags) || r.read_ns < r.start_ns || r.end_ns < r.read_ns)
		return;
	if (!make_room(l)) {
		l->refused++;
		return;
	}
	*request_at(l, l->nrequests++) = r;
}

static void add_call(struct ledger *l, const struct ledger_call *c)
{
	if (c->end_ns <= c->start_ns)
		return;
	l->calls[l->ncalls++ % LEDGER_CALLS_MAX] = *c;
	/* Those that were never settled are gone with their places. */
	if (l->ncalls - l->calls_settled > LEDGER_CALLS_MAX)
		l->calls_settled = l->ncalls - LEDGER_CALLS_MAX;
}

void ledger_db(struct ledger *l, const struct db_call *c)
{
	if (span_timed(c->flags))
		add_call(l, &(struct ledger_call){ .start_ns = c->start_ns,
						   .end_ns = c->end_ns,
						   .read_ns = MAX(c->read_ns, c->end_ns),
						   .tgid = c->tgid,
						   .tid = c->tid,
						   .root = c->token,
						   .phase = PHASE_DB });
}

void ledger_external(struct ledger *l, const struct http_exchange *x)
{
	if (span_timed(x->flags))
		add_call(l, &(struct ledger_call){ .start_ns = x->start_ns,
						   .end_ns = x->end_ns,
						   .read_ns = x->end_ns,
						   .tgid = x->tgid,
						   .tid = x->tid,
						   .root = x->token,
						   .phase = PHASE_EXTERNAL });
}

void ledger_finish(struct ledger *l)
{
	settle(l, UINT64_MAX);
	split_until(l, UINT64_MAX);
}
