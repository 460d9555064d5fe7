/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The queue of answers that the server still owes, and the calls that come out of it.
 *
 * The server answers strictly in order, so the head of the queue says what the next message
 * belongs to. Parse, Describe, Bind and Execute of one statement are one entry (a unit) with a bit
 * for each; equal units that were sent by one send become one entry with a count, so the thousand
 * inserts of an executemany take one. Sync, Query and FunctionCall end with a ReadyForQuery.
 *
 * Times. A call starts with the send that carried the first byte of its messages, but not before
 * the call in front of it on this connection has ended: the server runs one at a time, so in a
 * pipeline the wait of each statement begins where that of the one before ends. Calls of a
 * connection thus never overlap, their latencies never count one wait twice, and their sum covers
 * all the time in which the server worked for them.
 *
 * A finished call is kept until the next one finishes or ReadyForQuery tells the transaction state;
 * calls inside a pipeline have none (0).
 *
 * Loss. Answers are matched by what they can belong to; entries that were passed over are reported
 * with SPAN_GAP, answers that belong to nothing as calls of unknown text. What cannot be seen: at an
 * attach between two sends of a client that pipelines, that the first answers belong to the former.
 */
#include <stdlib.h>
#include "proto/pgsql.h"

#define LOOK_AHEAD 64 /* entries; only after loss is the answer not the head's */

static void drop(struct pgsql *pg, enum hp_drop why)
{
	pg->ctx->sink->drop(pg->ctx->sink->arg, why);
}

struct pg_pend *pg_q_at(struct pgsql *pg, u32 i)
{
	return &pg->q[(pg->q_head + i) & (pg->q_cap - 1)];
}

static bool q_grow(struct pgsql *pg)
{
	u32 cap = pg->q_cap ? pg->q_cap * 2 : 16, n = pg_q_len(pg), i;
	struct pg_pend *q;

	if (cap > PG_QUEUE_MAX)
		return false;
	q = calloc(cap, sizeof(*q));
	if (!q)
		return false;
	for (i = 0; i < n; i++)
		q[(pg->q_head + i) & (cap - 1)] = *pg_q_at(pg, i);
	free(pg->q);
	pg->q = q;
	pg->q_cap = cap;
	return true;
}

static bool is_terminal(u8 what)
{
	return what == PG_SYNC || what == PG_QUERY || what == PG_FUNC;
}

static void trip_begin(struct pgsql *pg)
{
	if (pg->trip_open)
		return;
	pg->trip_open = true;
	pg->trip++;
	pg->trip_calls = 0;
}

/* Nothing is owed any more. A wait without a call belongs to the statement that it prepared. */
static void trip_end(struct pgsql *pg)
{
	if (pg->trip_open && !pg->trip_calls) {
		if (pg->trip_stmt)
			pg->trip_stmt->extra_trips++;
		else
			pg->loose_trips++;
	}
	pg->trip_open = false;
	pg_stmt_put(pg, pg->trip_stmt);
	pg->trip_stmt = NULL;
}

struct pg_pend *pg_q_push(struct pgsql *pg, u8 what, const struct pg_side *s)
{
	struct pg_pend *e;

	if (pg->overflow || (pg_q_len(pg) == pg->q_cap && !q_grow(pg))) {
		pg->overflow = true;
		pg->overflow_syncs += is_terminal(what);
		drop(pg, DROP_PIPELINE_FULL);
		return NULL;
	}
	trip_begin(pg);
	e = &pg->q[pg->q_tail++ & (pg->q_cap - 1)];
	memset(e, 0, sizeof(*e));
	e->what = what;
	e->start_ns = s->first_ns;
	e->pos = s->pos;
	e->tid = s->tid;
	e->token = s->token;
	e->tgid = s->tgid;
	e->repeat = 1;
	e->kind = DB_EXECUTE;
	if (pg->client_gap)
		e->flags |= PG_PEND_GAP;
	pg->terminals += is_terminal(what);
	return e;
}

static void entry_release(struct pgsql *pg, struct pg_pend *e)
{
	pg->terminals -= is_terminal(e->what);
	pg_stmt_put(pg, e->stmt);
	pg_stmt_put(pg, e->old);
	e->stmt = e->old = NULL;
}

static void q_pop(struct pgsql *pg)
{
	entry_release(pg, pg_q_at(pg, 0));
	pg->q_head++;
	if (pg->doubt)
		pg->doubt--;
	if (!pg_q_len(pg))
		trip_end(pg);
}

void pg_q_merge(struct pgsql *pg)
{
	u32 n = pg_q_len(pg);
	struct pg_pend *a, *b;

	if (n < 2)
		return;
	a = pg_q_at(pg, n - 2);
	b = pg_q_at(pg, n - 1);
	if (a->what != PG_UNIT || a->want != b->want || a->stmt != b->stmt || !a->stmt ||
	    a->portal != b->portal || a->start_ns != b->start_ns || a->flags != b->flags ||
	    a->tid != b->tid || a->token != b->token || a->old || b->old ||
	    a->repeat == UINT32_MAX || pg->doubt >= n - 1)
		return;
	a->repeat++;
	entry_release(pg, b);
	pg->q_tail--;
}

/* One answer of a unit's current repetition set is complete. */
static void unit_done(struct pgsql *pg, struct pg_pend *e)
{
	if (e->left)
		return;
	if (--e->repeat)
		e->left = e->want;
	else
		q_pop(pg);
}

void pg_call_flush(struct pgsql *pg, u8 txn)
{
	struct pg_stmt *s = pg->held_stmt;

	if (!pg->is_held)
		return;
	pg->is_held = false;
	pg->held_stmt = NULL;
	pg->held.txn = txn;
	pg->ctx->sink->db(pg->ctx->sink->arg, &pg->held);
	pg_stmt_put(pg, s);
}

/* e NULL: a call whose request was not seen. */
static struct db_call *call_end(struct pgsql *pg, struct pg_pend *e, struct slice sql, u32 flags)
{
	struct db_call *c = &pg->held;
	struct pg_stmt *s = e ? e->stmt : NULL;

	pg_call_flush(pg, 0);
	trip_begin(pg);
	memset(c, 0, sizeof(*c));
	c->conn_id = pg->ctx->conn_id;
	c->target = pg->ctx->target;
	c->round_trip = pg->trip;
	c->sql = sql;
	c->flags = flags;
	c->kind = DB_EXECUTE;
	c->tid = pg->run_tid;
	c->tgid = pg->run_tgid;
	if (e) {
		c->start_ns = MAX(e->start_ns, pg->last_end_ns);
		c->pos = e->pos;
		c->kind = e->kind;
		c->tid = e->tid;
		c->token = e->token;
		c->tgid = e->tgid;
		if (e->flags & PG_PEND_GAP)
			c->flags |= SPAN_GAP;
		if (e->flags & PG_PEND_CONTINUED)
			c->flags |= SPAN_CONTINUED;
		if (!s)
			c->flags |= SPAN_UNKNOWN_TEXT | SPAN_TRUNCATED;
	}
	if (s) {
		if (s->flags & PG_STMT_UNKNOWN)
			c->flags |= SPAN_UNKNOWN_TEXT;
		if ((s->flags & PG_STMT_TRUNCATED) &&
		    sql.p + sql.n == s->data + s->name_len + s->sql_len)
			c->flags |= SPAN_TRUNCATED;
		if (e->what == PG_UNIT)
			c->sql_hash = s->sql_hash;
		c->trips = s->extra_trips;
		s->extra_trips = 0;
	}
	if (!pg->trip_calls++) {
		c->first_in_trip = true;
		c->trips += 1 + pg->loose_trips;
		pg->loose_trips = 0;
	}
	c->rows = pg->rows;
	if (pg->first_row_ns)
		c->first_row_ns = MAX(pg->first_row_ns, c->start_ns);
	pg->rows = 0;
	pg->first_row_ns = 0;
	pg->held_stmt = pg_stmt_get(s);
	pg->is_held = true;
	return c;
}

static void call_at(struct pgsql *pg, struct db_call *c, u64 end_ns, u64 read_ns)
{
	c->end_ns = end_ns;
	c->read_ns = read_ns;
	if (end_ns > pg->last_end_ns)
		pg->last_end_ns = end_ns;
}

/* An answer cannot be there before its question: such a stamp is of something else. */
static void call_done(struct pgsql *pg, struct db_call *c)
{
	call_at(pg, c, pg->now_ns < c->start_ns ? pg->read_ns : pg->now_ns, pg->read_ns);
}

/*
 * The statement of a Query that the next completion belongs to. False: all have been reported.
 * A text without a statement (";", a comment) is answered once and is itself the statement.
 */
static bool query_next(struct pg_pend *e, struct slice *ret_sql)
{
	struct slice text = pg_stmt_sql(e->stmt);
	size_t off = e->off;

	if (sql_next_statement(text, &off, ret_sql)) {
		e->off = off;
		return true;
	}
	if (e->flags & PG_PEND_SOME)
		return false;
	e->off = text.n;
	*ret_sql = text;
	return true;
}

/* Statements that the server ran but the text does not show: it was longer than what is kept. */
static struct slice query_statement(struct pg_pend *e, u32 *flags)
{
	struct slice sql;

	if (query_next(e, &sql))
		return sql;
	*flags |= SPAN_UNKNOWN_TEXT;
	return SLICE("");
}

/* Reports what an entry would have given: its answers will not be seen. */
static void entry_lost(struct pgsql *pg, struct pg_pend *e, u32 flags, u64 end_ns)
{
	struct slice sql;

	if (e->what == PG_QUERY) {
		if ((e->flags & PG_PEND_FAILED) || !query_next(e, &sql))
			return;
		e->flags |= PG_PEND_SOME;
		call_at(pg, call_end(pg, e, sql, flags), end_ns, 0);
		return;
	}
	if (!(e->left & PG_BIT_EXECUTE) || (e->flags & PG_PEND_FAILED))
		return;
	for (; e->repeat; e->repeat--)
		call_at(pg, call_end(pg, e, pg_stmt_sql(e->stmt), flags), end_ns, 0);
}

static void pop_lost(struct pgsql *pg, u32 flags, u64 end_ns)
{
	struct pg_pend *e = pg_q_at(pg, 0);

	/* A Query that reported one of its statements only owes its ReadyForQuery. */
	if (e->what != PG_QUERY || !(e->flags & PG_PEND_SOME))
		entry_lost(pg, e, flags, end_ns);
	q_pop(pg);
}

static void pop_nothing(struct pgsql *pg)
{
	while (pg_q_len(pg) && pg_q_at(pg, 0)->what == PG_NOTHING)
		q_pop(pg);
}

/*
 * Index of the first entry that takes the answer, or -1. Nothing behind a Sync can: before its
 * ReadyForQuery the server does not go on.
 */
static int q_find(struct pgsql *pg, u8 bit, bool query_too)
{
	u32 i, n = MIN(pg_q_len(pg), (u32)LOOK_AHEAD);

	for (i = 0; i < n; i++) {
		struct pg_pend *e = pg_q_at(pg, i);

		if (e->what == PG_UNIT && (e->left & bit))
			return (int)i;
		if (e->what == PG_QUERY && query_too && !(e->flags & PG_PEND_FAILED))
			return (int)i;
		if (e->what == PG_FUNC && query_too && e->left)
			return (int)i;
		if (is_terminal(e->what))
			return -1;
	}
	return -1;
}

struct pg_pend *pg_q_running(struct pgsql *pg)
{
	int i;

	pop_nothing(pg);
	i = q_find(pg, PG_BIT_EXECUTE, true);
	if (i < 0)
		return NULL;
	while (i--)
		pop_lost(pg, SPAN_GAP, pg->now_ns);
	return pg_q_at(pg, 0);
}

bool pg_q_answer(struct pgsql *pg, u8 bit)
{
	struct pg_pend *e;
	int i;

	pop_nothing(pg);
	i = q_find(pg, bit, false);
	if (i < 0)
		return false;
	while (i--)
		pop_lost(pg, SPAN_GAP, pg->now_ns);
	e = pg_q_at(pg, 0);
	e->left &= ~bit;
	unit_done(pg, e);
	return true;
}

void pg_q_closed(struct pgsql *pg)
{
	pop_nothing(pg);
	if (pg_q_len(pg) && pg_q_at(pg, 0)->what == PG_CLOSE)
		q_pop(pg);
}

/* Last number of "INSERT 0 5", "SELECT 3". False: the tag has none. */
static bool tag_rows(struct slice tag, u64 *ret_rows)
{
	size_t i = tag.n;
	u64 v = 0, scale = 1;

	while (i && tag.p[i - 1] >= '0' && tag.p[i - 1] <= '9' && tag.n - i < 19) {
		v += (u64)(tag.p[--i] - '0') * scale;
		scale *= 10;
	}
	if (i == tag.n || !i || tag.p[i - 1] != ' ')
		return false;
	*ret_rows = v;
	return true;
}

static u32 orphan_flags(const struct pgsql *pg)
{
	bool seen = pg->client_seen || !pg->ctx->mid_stream;

	return SPAN_UNKNOWN_TEXT | (seen ? SPAN_GAP : SPAN_AT_ATTACH);
}

/* Statements that never count rows, however their portal ends. */
static bool tag_has_no_rows(struct slice sql)
{
	char op[16];

	sql_operation(sql, op, sizeof(op));
	return !strcmp(op, "SHOW") || !strcmp(op, "EXPLAIN");
}

void pg_q_complete(struct pgsql *pg, struct slice tag, bool suspended)
{
	struct pg_pend *e = pg_q_running(pg);
	struct slice sql = SLICE("<unknown>");
	struct db_call *c;
	u64 rows = suspended ? pg->rows : 0;
	u32 flags = 0;

	/*
	 * The tag knows best; where it has no count (SHOW, EXPLAIN) the server counts none either.
	 * MOVE passes over rows, none of them reaches anybody.
	 */
	if (!slice_starts(tag, SLICE("MOVE ")))
		tag_rows(tag, &rows);
	pg->copy_in = false;
	if (!e) {
		c = call_end(pg, NULL, sql, orphan_flags(pg));
	} else {
		sql = e->what == PG_QUERY ? query_statement(e, &flags) : pg_stmt_sql(e->stmt);
		c = call_end(pg, e, sql, flags);
	}
	c->rows = suspended && tag_has_no_rows(sql) ? 0 : rows;
	call_done(pg, c);
	if (!e)
		return;
	if (suspended) {
		struct pg_portal *po = pg_portal_find(pg, e->portal);

		if (po)
			po->suspended = true;
	} else if (tag.n && (*tag.p == 'D' || *tag.p == 'P')) {
		pg_stmt_effect(pg, tag, sql);
	}
	e->flags |= PG_PEND_SOME;
	if (e->what == PG_UNIT) {
		e->kind = DB_EXECUTE;
		e->left = 0;
		unit_done(pg, e);
	} else if (e->what == PG_FUNC) {
		e->left = 0;
	} else {
		e->kind = DB_SIMPLE;
	}
}

/* Drops what the server skips after an error: all before the next Sync. None of it has run. */
static void q_skip(struct pgsql *pg)
{
	u32 n = pg_q_len(pg), i;

	for (i = 0; i < n && pg_q_at(pg, i)->what != PG_SYNC; i++)
		;
	pg->skip_to_sync = i == n && !pg->overflow_syncs;
	/* Backwards, so that a name defined twice ends up as what it was at first. */
	for (n = i; n--;) {
		struct pg_pend *e = pg_q_at(pg, n);

		if (e->what == PG_UNIT && (e->left & PG_BIT_PARSE))
			pg_stmt_undo(pg, e->stmt, e->old);
		else if (e->what == PG_CLOSE)
			pg_stmt_undo(pg, NULL, e->old);
	}
	while (i--)
		q_pop(pg);
}

static void call_fail(struct db_call *c, const char *sqlstate)
{
	c->error = true;
	memcpy(c->sqlstate, sqlstate, sizeof(c->sqlstate));
}

void pg_q_fail(struct pgsql *pg, const char *sqlstate, bool fatal)
{
	struct pg_pend *e;
	struct db_call *c;
	u32 flags = 0;

	pg->copy_in = false;
	pop_nothing(pg);
	if (!pg_q_len(pg)) {
		/* The server may say why it closes an idle connection; that is no call. */
		if (fatal || (!pg->ctx->mid_stream && !pg->client_gap && !pg->overflow))
			return;
		c = call_end(pg, NULL, SLICE("<unknown>"), orphan_flags(pg));
		call_fail(c, sqlstate);
		call_done(pg, c);
		return;
	}
	e = pg_q_at(pg, 0);
	if (e->what == PG_SYNC) {
		/* The commit at a Sync failed (a deferred constraint): so did the call before it. */
		if (pg->is_held && !pg->held.error)
			call_fail(&pg->held, sqlstate);
	} else if (e->what == PG_CLOSE) {
		q_skip(pg);
	} else if (!(e->flags & PG_PEND_FAILED)) {
		struct slice sql =
			e->what == PG_QUERY ? query_statement(e, &flags) : pg_stmt_sql(e->stmt);

		c = call_end(pg, e, sql, flags);
		call_fail(c, sqlstate);
		call_done(pg, c);
		e->flags |= PG_PEND_FAILED;
		if (e->what == PG_UNIT)
			q_skip(pg);
	}
	if (fatal)
		while (pg_q_len(pg))
			q_pop(pg);
}

void pg_q_ready(struct pgsql *pg, u8 txn)
{
	bool ended = false;

	if (pg->terminals) {
		while (pg_q_len(pg) && !ended) {
			ended = is_terminal(pg_q_at(pg, 0)->what);
			pop_lost(pg, SPAN_GAP, pg->now_ns);
		}
	} else if (pg->client_gap) {
		/* The Sync was lost; ready means that nothing before it is owed. */
		while (pg_q_len(pg))
			pop_lost(pg, SPAN_GAP, pg->now_ns);
	}
	if (pg->overflow && !pg_q_len(pg)) {
		if (!ended && pg->overflow_syncs)
			pg->overflow_syncs--;
		if (!pg->overflow_syncs)
			pg->overflow = false;
	}
	pg_call_flush(pg, txn);
	if (txn != pg->txn) {
		pg->txn = txn;
		pg_event(pg, DB_EVENT_TXN, pg->now_ns);
	}
	if (pg_q_len(pg))
		return;
	trip_end(pg);
	pg->client_gap = false;
	pg->skip_to_sync = false;
	if (txn == 'I')
		pg_portals_close_named(pg);
}

static void mark_gap(struct pgsql *pg)
{
	u32 i, n = pg_q_len(pg);

	for (i = 0; i < n; i++)
		pg_q_at(pg, i)->flags |= PG_PEND_GAP;
}

void pg_q_doubt(struct pgsql *pg)
{
	mark_gap(pg);
	pg->doubt = pg_q_len(pg);
	pg->doubt_old = false;
}

void pg_q_settle(struct pgsql *pg)
{
	while (pg->doubt && pg_q_len(pg))
		pop_lost(pg, SPAN_GAP, 0);
	pg->doubt = 0;
}

void pg_q_client_lost(struct pgsql *pg)
{
	mark_gap(pg);
	pg->client_gap = true;
	pg->skip_to_sync = false;
	pg_stmts_lost(pg);
	pg_stmt_put(pg, pg->group_stmt);
	pg->group_stmt = NULL;
}

void pg_q_swallow_syncs(struct pgsql *pg, u32 before)
{
	u32 i, n = MIN(pg_q_len(pg), before - pg->q_head);

	for (i = 0; i < n; i++) {
		struct pg_pend *e = pg_q_at(pg, i);

		if (e->what == PG_SYNC) {
			e->what = PG_NOTHING;
			pg->terminals--;
		}
	}
}

void pg_q_abort(struct pgsql *pg, u32 span_flags, u64 end_ns)
{
	pg_call_flush(pg, 0);
	while (pg_q_len(pg)) {
		struct pg_pend *e = pg_q_at(pg, 0);

		entry_lost(pg, e, span_flags, end_ns);
		q_pop(pg);
	}
	pg_call_flush(pg, 0);
	pg->doubt = 0;
}

void pg_q_release(struct pgsql *pg)
{
	while (pg_q_len(pg))
		q_pop(pg);
	trip_end(pg);
	pg_stmt_put(pg, pg->held_stmt);
	pg_stmt_put(pg, pg->group_stmt);
	pg->held_stmt = pg->group_stmt = NULL;
	free(pg->q);
	pg->q = NULL;
	pg->q_cap = 0;
}
