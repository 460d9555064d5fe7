/* SPDX-License-Identifier: Apache-2.0 */
/* See split.h and the order of evidence in ledger.h. */
#include "ledger/split.h"

#include <errno.h>
#include <string.h>

#define CALLS_MAX 10000 /* of one request */
#define THREADS_MAX 1024 /* of a process that are looked at for work of a request */

/* How a request's own work is told. */
enum own {
	OWN_ROOT, /* by the root of its lineage, on any thread */
	OWN_THREAD, /* its thread served nothing else meanwhile: all of it */
	OWN_CONN, /* its thread served others too: what stands between its transfers */
	OWN_UNKNOWN,
};

struct split {
	struct ledger *l;
	const struct ledger_request *r;
	struct ledger_split out;
	enum own own;
	enum phase idle; /* what an idle thread means at the moment */
	bool ready; /* it could go on even if the thread is idle */
	u32 at; /* in l->on_thread */
};

static const struct {
	u8 rank;
	u8 phase;
} by_reason[HP_WAIT_MAX] = {
	[HP_WAIT_NONE] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_SOCKET] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_PIPE] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_DISK] = { COVER_WAIT, PHASE_DISK },
	[HP_WAIT_FUTEX] = { COVER_WAIT, PHASE_LOCK },
	[HP_WAIT_IDLE] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_POLL] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_SLEEP] = { COVER_WAIT, PHASE_SLEEP },
	[HP_WAIT_FAULT] = { COVER_WAIT, PHASE_PAGE_FAULT },
	[HP_WAIT_GIL] = { COVER_WAIT, PHASE_GIL_LOCK },
	[HP_WAIT_EVENT] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_CHILD] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_LOCK] = { COVER_WAIT, PHASE_LOCK },
	[HP_WAIT_RING] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_STOPPED] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
	[HP_WAIT_OTHER] = { COVER_OTHER, PHASE_OTHER_BLOCKED },
};

static void cover_piece(struct split *s, const struct piece *p)
{
	struct covers *c = &s->l->covers;
	u64 from = MAX(p->from_ns, s->r->read_ns);

	switch (p->state) {
	case PIECE_RUN:
		covers_add(c, COVER_RUN, PHASE_CPU, from, p->to_ns);
		return;
	case PIECE_RUNQUEUE:
		covers_add(c, COVER_WAIT, PHASE_RUNQUEUE, from, p->to_ns);
		return;
	default:
		if (p->sending)
			covers_add(c, COVER_WAIT, PHASE_CLIENT_WAIT, from, p->to_ns);
		else
			covers_add(c, by_reason[p->reason].rank, by_reason[p->reason].phase, from,
				   p->to_ns);
	}
}

static void cover_own_thread(struct split *s)
{
	const struct pieces *p = &s->l->on_thread;
	u32 i;

	for (i = 0; i < p->n; i++)
		if (p->v[i].asked || s->own == OWN_THREAD)
			cover_piece(s, &p->v[i]);
}

/* Its thread was woken for it, and had no processor yet. */
static bool is_woken(const struct pieces *p, u32 i)
{
	return p->v[i].state == PIECE_RUNQUEUE && i + 1 < p->n && p->v[i + 1].asked;
}

/* On another thread: up to where it did its work last, then it waits in a queue for work of anybody's. */
static void cover_worker(struct split *s, const struct timeline_thread *th)
{
	const struct piece_owner of = { s->r->conn_id, s->r->root };
	struct pieces *p = &s->l->of_worker;
	u32 i, last = 0;

	timeline_pieces(th, s->r->read_ns, s->r->end_ns, &of, p);
	for (i = 0; i < p->n; i++)
		if (p->v[i].asked &&
		    (p->v[i].state == PIECE_RUN || p->v[i].reason != HP_WAIT_FUTEX))
			last = i + 1;
	for (i = 0; i < last; i++)
		if (p->v[i].asked || is_woken(p, i))
			cover_piece(s, &p->v[i]);
}

static void cover_workers(struct split *s)
{
	const struct ledger_request *r = s->r;
	const struct timeline_thread *th;
	u32 next = 0, n = 0;

	if (s->own != OWN_ROOT && (s->own != OWN_CONN || r->sent_tid == r->tid))
		return;
	while (n++ < THREADS_MAX && (th = timeline_each(&s->l->timeline, r->tgid, &next)))
		if (th->tid != r->tid && (s->own == OWN_ROOT || th->tid == r->sent_tid))
			cover_worker(s, th);
}

static const struct ledger_call *call_of(const struct ledger *l, u32 number)
{
	/* Its place has another's, or it has none. */
	if (!number || l->ncalls - number >= LEDGER_CALLS_MAX)
		return NULL;
	return &l->calls[(number - 1) % LEDGER_CALLS_MAX];
}

static void cover_calls(struct split *s)
{
	const struct ledger_request *r = s->r;
	u64 key = s->own == OWN_ROOT ? r->root : ledger_thread_key(r->tgid, r->tid);
	const struct ledger_call *c;
	u64 last = 0;
	u32 number, n = 0;

	if (s->own != OWN_ROOT && s->own != OWN_THREAD)
		return;
	recent_find(&s->l->last_call, key, &last);
	number = (u32)last;
	for (; n < CALLS_MAX && (c = call_of(s->l, number)); n++, number = c->before) {
		u64 end = MIN(c->end_ns, r->end_ns);

		if (c->read_ns < r->read_ns)
			break;
		if (c->start_ns < r->read_ns || c->start_ns >= r->end_ns)
			continue;
		covers_add(&s->l->covers, COVER_CALL, c->phase, c->start_ns, end);
		covers_add(&s->l->covers, COVER_ANSWER,
			   c->tid == r->tid ? PHASE_LOOP_WAIT : c->phase, end,
			   MIN(c->read_ns, r->end_ns));
		s->out.raw_ns[c->phase] += end - c->start_ns;
	}
}

static void blame(struct split *s, u32 owner, u64 ns)
{
	u64 row = 0;
	u32 i;

	if (owner)
		recent_find(&s->l->rows, owner, &row);
	for (i = 0; i < s->out.nblames; i++)
		if (s->out.blames[i].row == row || i == LEDGER_BLAMES - 1)
			break;
	if (i == s->out.nblames)
		s->out.blames[s->out.nblames++].row = (u32)row;
	s->out.blames[i].ns += ns;
}

static void put(struct split *s, enum phase phase, u64 ns)
{
	s->out.phase_ns[phase] += ns;
}

/* While its thread did this, the request waited. */
static void put_piece(struct split *s, const struct piece *p, bool ready, u64 ns)
{
	switch (p->state) {
	case PIECE_IDLE:
		put(s, s->idle, ns);
		return;
	case PIECE_RUNQUEUE:
		put(s, ready ? PHASE_RUNQUEUE : s->idle, ns);
		return;
	case PIECE_WAIT:
		if (p->reason == HP_WAIT_GIL && !p->owner) {
			put(s, ready ? PHASE_GIL_LOCK : s->idle, ns);
			return;
		}
		break;
	}
	if (!ready) {
		put(s, s->idle, ns);
		return;
	}
	put(s, PHASE_LOOP_WAIT, ns);
	blame(s, p->owner, ns);
}

/*
 * Nothing of its own went on: what did its thread do? Unless it was ready from the beginning, it was so
 * only since its thread was idle last.
 */
static void put_waiting(struct split *s, u64 from_ns, u64 to_ns)
{
	const struct pieces *p = &s->l->on_thread;
	u64 since = from_ns, now = from_ns;
	u32 i;

	while (s->at < p->n && p->v[s->at].to_ns <= from_ns)
		s->at++;
	for (i = s->at; i < p->n && !s->ready && p->v[i].from_ns < to_ns; i++)
		if (p->v[i].state == PIECE_IDLE)
			since = p->v[i].to_ns;
	for (i = s->at; i < p->n && p->v[i].from_ns < to_ns; i++) {
		u64 from = MAX(p->v[i].from_ns, now), to = MIN(p->v[i].to_ns, to_ns);

		if (from >= to)
			continue;
		put(s, PHASE_UNATTRIBUTED, from - now);
		put_piece(s, &p->v[i], s->ready || from >= since, to - from);
		now = to;
	}
	put(s, PHASE_UNATTRIBUTED, to_ns - now);
}

static void on_span(void *arg, const struct cover *c, u64 from_ns, u64 to_ns)
{
	struct split *s = arg;

	if (c && c->phase != PHASE_LOOP_WAIT) {
		put(s, c->phase, to_ns - from_ns);
		return;
	}
	if (s->own == OWN_UNKNOWN) {
		put(s, PHASE_UNATTRIBUTED, to_ns - from_ns);
		return;
	}
	s->ready = c != NULL;
	s->idle = c ? PHASE_DB : PHASE_OTHER_BLOCKED;
	put_waiting(s, from_ns, to_ns);
}

/* From its arrival to when it was read. */
static void put_queue(struct split *s)
{
	const struct ledger_request *r = s->r;
	u64 accepted = 0;

	recent_find(&s->l->served, r->conn_id, &accepted);
	accepted = MIN(MAX(accepted, r->start_ns), r->read_ns);
	put(s, PHASE_ACCEPT_QUEUE, accepted - r->start_ns);
	s->ready = true;
	s->idle = PHASE_RECV_QUEUE;
	/* Any thread of its kind might have read it. */
	if (s->own == OWN_THREAD)
		put(s, PHASE_RECV_QUEUE, r->read_ns - accepted);
	else if (accepted < r->read_ns)
		put_waiting(s, accepted, r->read_ns);
}

static enum own own_of(struct ledger *l, const struct ledger_request *r,
		       const struct timeline_thread *th)
{
	if (r->root)
		return OWN_ROOT;
	if (map_find(l->loops, ledger_thread_key(r->tgid, r->tid)))
		return OWN_UNKNOWN;
	if (r->sent_tid == r->tid &&
	    !timeline_received(th, r->read_ns, r->end_ns, r->conn_id, &l->served))
		return OWN_THREAD;
	return OWN_CONN;
}

int split_request(struct ledger *l, const struct ledger_request *r)
{
	const struct timeline_thread *th = timeline_find(&l->timeline, r->tgid, r->tid);
	const struct piece_owner of = { r->conn_id, r->root };
	struct split s = {
		.l = l,
		.r = r,
		.out = { .row = r->row, .number = r->number, .latency_ns = r->end_ns - r->start_ns }
	};

	if (!th || !recent_find(&l->stepping, r->tgid, NULL))
		return -ENODATA;
	s.own = own_of(l, r, th);
	l->covers.n = 0;
	l->covers.failed = false;
	timeline_pieces(th, r->start_ns, r->end_ns, &of, &l->on_thread);
	if (s.own != OWN_UNKNOWN) {
		cover_own_thread(&s);
		cover_workers(&s);
		cover_calls(&s);
	}
	if (l->on_thread.failed || l->covers.failed)
		return -ENOMEM;
	covers_sort(&l->covers);
	put_queue(&s);
	covers_walk(&l->covers, r->read_ns, r->end_ns, on_span, &s);
	l->fn(l->arg, &s.out);
	return 0;
}
