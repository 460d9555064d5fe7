/* SPDX-License-Identifier: Apache-2.0 */
/* See timeline.h. */
#include "ledger/timeline.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define FIRST_CAP 8
#define BACK_MAX 256 /* marks before a span that are looked at for whose work it began with */
#define SENDERS_MAX 65536
#define TAKEN_MAX 32 /* marks between a worker's taking work and its knowing whose */

void timeline_init(struct timeline *t)
{
	memset(t, 0, sizeof(*t));
	map_init(&t->by_thread, TIMELINE_THREADS_MAX);
	map_init(&t->by_process, TIMELINE_THREADS_MAX);
	recent_init(&t->senders, SENDERS_MAX);
	recent_init(&t->queued, SENDERS_MAX);
}

void timeline_release(struct timeline *t)
{
	u32 i;

	for (i = 0; i < t->nthreads; i++)
		free(t->threads[i].v);
	free(t->threads);
	map_release(&t->by_thread);
	map_release(&t->by_process);
	recent_release(&t->senders);
	recent_release(&t->queued);
	memset(t, 0, sizeof(*t));
}

static u64 thread_key(u32 tgid, u32 tid)
{
	return (u64)tgid << 32 | tid;
}

static struct mark *mark_at(const struct timeline_thread *th, u32 i)
{
	return &th->v[(th->first + i) & (th->cap - 1)];
}

const struct timeline_thread *timeline_find(const struct timeline *t, u32 tgid, u32 tid)
{
	const u64 *at = map_find(&t->by_thread, thread_key(tgid, tid));

	return at ? &t->threads[*at] : NULL;
}

const struct timeline_thread *timeline_each(const struct timeline *t, u32 tgid, u32 *next)
{
	const struct timeline_thread *th;

	if (!*next) {
		const u64 *at = map_find(&t->by_process, tgid);

		*next = at ? (u32)*at : 0;
	} else {
		*next = t->threads[*next - 1].next;
	}
	th = *next ? &t->threads[*next - 1] : NULL;
	return th;
}

/* Index of a place; TIMELINE_THREADS_MAX: there is none. */
static u32 place_get(struct timeline *t)
{
	u32 place = t->unused;

	if (place) {
		t->unused = t->threads[place - 1].next;
		return place - 1;
	}
	if (!array_room(&t->threads, t->nthreads, &t->threads_cap, TIMELINE_THREADS_MAX,
			sizeof(*t->threads)))
		return TIMELINE_THREADS_MAX;
	return t->nthreads++;
}

static void place_put(struct timeline *t, u32 place)
{
	free(t->threads[place].v);
	t->threads[place] = (struct timeline_thread){ .next = t->unused };
	t->unused = place + 1;
}

static struct timeline_thread *thread_get(struct timeline *t, u32 tgid, u32 tid)
{
	const u64 *at = map_find(&t->by_thread, thread_key(tgid, tid));
	struct timeline_thread *th;
	u32 place;

	if (at)
		return &t->threads[*at];
	place = place_get(t);
	if (place == TIMELINE_THREADS_MAX)
		return NULL;
	th = &t->threads[place];
	at = map_find(&t->by_process, tgid);
	*th = (struct timeline_thread){ .tgid = tgid, .tid = tid, .next = at ? (u32)*at : 0 };
	if (map_put(&t->by_thread, thread_key(tgid, tid), place) ||
	    map_put(&t->by_process, tgid, place + 1)) {
		map_del(&t->by_thread, thread_key(tgid, tid));
		place_put(t, place);
		return NULL;
	}
	return th;
}

/* A thread of which nothing is left: it ended, or did nothing for long. */
static void thread_drop(struct timeline *t, u32 place)
{
	struct timeline_thread *th = &t->threads[place];
	u64 *first = map_find(&t->by_process, th->tgid);
	u32 *at = NULL, n;

	map_del(&t->by_thread, thread_key(th->tgid, th->tid));
	if (first && *first == place + 1) {
		if (th->next)
			*first = th->next;
		else
			map_del(&t->by_process, th->tgid);
	} else if (first) {
		at = &t->threads[*first - 1].next;
		for (n = 0; *at && *at != place + 1 && n < TIMELINE_THREADS_MAX; n++)
			at = &t->threads[*at - 1].next;
		if (*at)
			*at = th->next;
	}
	place_put(t, place);
}

static bool thread_grow(struct timeline_thread *th)
{
	u32 cap = th->cap ? 2 * th->cap : FIRST_CAP, i;
	struct mark *v;

	if (th->n < th->cap)
		return true;
	v = malloc(cap * sizeof(*v));
	if (!v)
		return false;
	for (i = 0; i < th->n; i++)
		v[i] = *mark_at(th, i);
	free(th->v);
	th->v = v;
	th->cap = cap;
	th->first = 0;
	return true;
}

static void thread_trim(struct timeline *t, struct timeline_thread *th, u64 floor_ns)
{
	while (th->n && mark_at(th, 0)->ts_ns < floor_ns) {
		th->since_ns = mark_at(th, 0)->ts_ns;
		th->first = (th->first + 1) & (th->cap - 1);
		th->n--;
		th->settled -= th->settled > 0;
		t->marks--;
	}
}

/* The older half of the time that is kept goes, if it may or must. */
static void trim(struct timeline *t, u64 now_ns)
{
	u64 oldest = now_ns, floor;
	u32 i;

	for (i = 0; i < t->nthreads; i++)
		if (t->threads[i].n)
			oldest = MIN(oldest, mark_at(&t->threads[i], 0)->ts_ns);
	floor = oldest + (now_ns - oldest) / 2 + 1;
	if (t->marks >= TIMELINE_MARKS_MAX || now_ns - oldest >= 2 * t->keep_ns ||
	    t->by_thread.n >= TIMELINE_THREADS_MAX)
		for (i = 0; i < t->nthreads; i++) {
			thread_trim(t, &t->threads[i], floor);
			if (t->threads[i].tgid && !t->threads[i].n)
				thread_drop(t, i);
		}
	t->looked = t->marks;
}

void timeline_add(struct timeline *t, u32 tgid, u32 tid, const struct mark *m)
{
	struct timeline_thread *th;
	u64 last;

	if (t->marks >= MIN(t->looked + TIMELINE_MARKS, TIMELINE_MARKS_MAX) ||
	    (t->by_thread.n >= TIMELINE_THREADS_MAX && !timeline_find(t, tgid, tid)))
		trim(t, m->ts_ns);
	th = thread_get(t, tgid, tid);
	if (!th) {
		t->refused++;
		return;
	}
	last = th->n ? mark_at(th, th->n - 1)->ts_ns : th->since_ns;
	if (m->ts_ns < last || m->from_ns > m->ts_ns) {
		t->refused++;
		return;
	}
	if (!thread_grow(th)) {
		t->refused++;
		return;
	}
	if (!th->since_ns)
		th->since_ns = m->from_ns;
	*mark_at(th, th->n++) = *m;
	t->marks++;
}

static void settle_mark(struct timeline *t, const struct timeline_thread *th, struct mark *m)
{
	u64 queued = hash_u64(thread_key(th->tgid, th->tid)) ^ m->owner, sender = 0;

	switch (m->kind) {
	case MARK_QUEUED:
		if (m->owner)
			recent_put(&t->queued, queued, 1);
		break;
	case MARK_SEND:
		if (m->owner) {
			m->deferred = recent_del(&t->queued, queued);
			recent_put(&t->senders, m->conn_id, m->owner);
		}
		break;
	case MARK_RECV:
		recent_find(&t->senders, m->conn_id, &sender);
		m->owner = (u32)sender;
		break;
	}
}

/* Between taking work and knowing whose it is a thread does nothing but get hold of Python's lock. */
static bool may_be_stale(const struct mark *m)
{
	if (m->kind == MARK_WAIT)
		return m->reason == HP_WAIT_FUTEX || m->reason == HP_WAIT_GIL ||
		       m->reason == HP_WAIT_NONE;
	return m->kind == MARK_SEEN;
}

/* Mark i is the first of another owner. */
static void take_over(struct timeline_thread *th, u32 i)
{
	u32 owner = mark_at(th, i)->owner, k = i, j;
	struct mark *m;

	while (k && i - k < TAKEN_MAX) {
		m = mark_at(th, --k);
		if (!may_be_stale(m))
			return;
		if (m->kind != MARK_WAIT || m->reason != HP_WAIT_FUTEX)
			continue;
		m->reason = HP_WAIT_IDLE;
		m->owner = 0;
		for (j = k + 1; j < i; j++)
			mark_at(th, j)->owner = owner;
		return;
	}
}

static void settle_thread(struct timeline *t, const struct lineage *l, struct timeline_thread *th,
			  bool worker, u64 until_ns)
{
	for (; th->settled < th->n; th->settled++) {
		struct mark *m = mark_at(th, th->settled);

		if (m->ts_ns > until_ns)
			return;
		if (m->owner)
			m->owner = lineage_root(l, m->owner);
		settle_mark(t, th, m);
		if (!m->owner || m->kind == MARK_RECV)
			continue;
		if (worker && m->owner != th->owner)
			take_over(th, th->settled);
		th->owner = m->owner;
	}
}

void timeline_settle(struct timeline *t, const struct lineage *l, const struct map *loops,
		     u64 until_ns)
{
	u32 i;

	for (i = 0; i < t->nthreads; i++) {
		struct timeline_thread *th = &t->threads[i];

		settle_thread(t, l, th, !map_find(loops, thread_key(th->tgid, th->tid)), until_ns);
	}
}

/* The first mark that ends after then; n: none. */
static u32 mark_after(const struct timeline_thread *th, u64 ts_ns)
{
	u32 low = 0, high = th->n;

	while (low < high) {
		u32 mid = low + (high - low) / 2;

		if (mark_at(th, mid)->ts_ns > ts_ns)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

bool timeline_received(const struct timeline_thread *th, u64 from_ns, u64 to_ns, u64 conn_id,
		       struct recent *of)
{
	u32 i;

	for (i = mark_after(th, from_ns); i < th->n; i++) {
		const struct mark *m = mark_at(th, i);

		if (m->ts_ns >= to_ns)
			break;
		if (m->kind == MARK_RECV && m->conn_id != conn_id &&
		    recent_find(of, m->conn_id, NULL))
			return true;
	}
	return false;
}

static bool waits_for_work(const struct mark *m)
{
	return m->kind == MARK_WAIT && !m->owner &&
	       (m->reason == HP_WAIT_IDLE || m->reason == HP_WAIT_POLL);
}

struct walk {
	const struct piece_owner *of;
	struct pieces *out;
	u64 from_ns, to_ns; /* what is wanted */
	u64 at_ns; /* so far */
	u32 owner; /* of what comes next */
	bool asked;
};

static void emit(struct walk *w, u64 to_ns, u8 state, u8 reason, u32 owner, bool asked)
{
	u64 from = MAX(w->at_ns, w->from_ns), to = MIN(to_ns, w->to_ns);
	struct pieces *out = w->out;

	if (to_ns > w->at_ns)
		w->at_ns = to_ns;
	if (from >= to)
		return;
	if (!array_room(&out->v, out->n, &out->cap, PIECES_MAX, sizeof(*out->v))) {
		out->failed = true;
		return;
	}
	out->v[out->n++] = (struct piece){ .from_ns = from,
					   .to_ns = to,
					   .owner = owner,
					   .state = state,
					   .reason = reason,
					   .asked = asked };
}

static void walk_owner(struct walk *w, u32 owner, bool asked)
{
	w->owner = owner;
	w->asked = asked || (owner && owner == w->of->root);
}

static void walk_wait(struct walk *w, const struct mark *m)
{
	bool idle = waits_for_work(m);

	if (m->owner)
		walk_owner(w, m->owner, false);
	emit(w, m->from_ns, PIECE_RUN, 0, w->owner, w->asked);
	if (idle) {
		w->owner = 0;
		w->asked = false;
	}
	emit(w, m->woken_ns, idle ? PIECE_IDLE : PIECE_WAIT, m->reason, w->owner, w->asked);
	emit(w, m->ts_ns, PIECE_RUNQUEUE, m->reason, w->owner, w->asked);
}

static void walk_send(struct walk *w, const struct mark *m)
{
	bool by_conn = m->conn_id == w->of->conn_id;
	u32 i;

	if (m->deferred)
		emit(w, m->from_ns, PIECE_RUN, 0, w->owner, w->asked);
	if (m->owner || by_conn)
		walk_owner(w, m->owner, by_conn);
	emit(w, m->ts_ns, PIECE_RUN, 0, w->owner, w->asked);
	for (i = w->out->n; i-- && w->out->v[i].from_ns >= m->from_ns;) {
		w->out->v[i].owner = w->owner;
		w->out->v[i].asked = w->asked;
		w->out->v[i].sending = true;
	}
	if (m->deferred)
		walk_owner(w, 0, false);
}

static void walk_mark(struct walk *w, const struct mark *m)
{
	switch (m->kind) {
	case MARK_WAIT:
		walk_wait(w, m);
		return;
	case MARK_SEEN:
	case MARK_QUEUED:
		if (m->owner)
			walk_owner(w, m->owner, false);
		emit(w, m->ts_ns, PIECE_RUN, 0, w->owner, w->asked);
		return;
	case MARK_SEND:
		walk_send(w, m);
		return;
	case MARK_RECV:
		emit(w, m->ts_ns, PIECE_RUN, 0, w->owner, w->asked);
		walk_owner(w, m->owner, m->conn_id == w->of->conn_id);
		return;
	}
}

void timeline_pieces(const struct timeline_thread *th, u64 from_ns, u64 to_ns,
		     const struct piece_owner *of, struct pieces *out)
{
	struct walk w = { .of = of, .out = out, .from_ns = from_ns, .to_ns = to_ns };
	u32 i = mark_after(th, from_ns), back;

	out->n = 0;
	out->failed = false;
	for (back = 0; i && back < BACK_MAX && !waits_for_work(mark_at(th, i - 1)); back++)
		i--;
	w.at_ns = i ? mark_at(th, i - 1)->ts_ns : th->since_ns;
	for (; i < th->n && w.at_ns < to_ns; i++)
		walk_mark(&w, mark_at(th, i));
}

void pieces_release(struct pieces *p)
{
	free(p->v);
	memset(p, 0, sizeof(*p));
}
