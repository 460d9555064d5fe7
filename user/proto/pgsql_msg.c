/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What whole messages mean: the client's go into the queue of expected answers and into the
 * statement maps, the server's are answers. Bodies are masked already.
 *
 * Start of a call: the send of the first message of its unit. When its Parse was sent alone and
 * awaited (asyncpg, and psycopg's prepare), the call starts with that Parse if the client went on
 * at once, within PREPARE_PAUSE_NS; a client that waited longer had prepared for later use.
 */
#include <stdio.h>
#include "proto/pgsql.h"

#define PREPARE_PAUSE_NS NSEC_PER_MSEC

void pg_event(struct pgsql *pg, u8 what, u64 ts_ns)
{
	struct db_event e = {
		.conn_id = pg->ctx->conn_id,
		.ts_ns = ts_ns,
		.user = slice_str(pg->user),
		.database = slice_str(pg->database),
		.what = what,
		.txn = pg->txn,
	};

	pg->ctx->sink->db_event(pg->ctx->sink->arg, &e);
}

void pg_stop(struct pgsql *pg, u8 event)
{
	struct hp_verdict v = { .capture = HP_CAPTURE_COUNT };

	if (pg->phase == PG_PHASE_STOPPED)
		return;
	pg_q_abort(pg, SPAN_GAP, pg->now_ns);
	pg->phase = PG_PHASE_STOPPED;
	pg->side[PROTO_CLIENT].framing = PG_FRAME_STOP;
	pg->side[PROTO_SERVER].framing = PG_FRAME_STOP;
	if (event)
		pg_event(pg, event, pg->now_ns);
	pg->ctx->sink->verdict(pg->ctx->sink->arg, &v);
}

/* Next string of the body. False: its NUL is not there. */
static bool next_string(const struct pg_msg *m, size_t *at, struct slice *ret_s)
{
	const u8 *p = m->p + *at, *nul;
	size_t n = m->n > *at ? m->n - *at : 0;

	nul = n ? memchr(p, 0, n) : NULL;
	*ret_s = slice_of(p, nul ? (size_t)(nul - p) : n);
	*at += ret_s->n + (nul != NULL);
	return nul != NULL;
}

static void copy_text(char *out, size_t size, struct slice s)
{
	size_t n = MIN(s.n, size - 1);

	if (n)
		memcpy(out, s.p, n);
	out[n] = 0;
}

static void startup_params(struct pgsql *pg, const struct pg_msg *m)
{
	struct slice key, value;
	size_t at = 0;

	while (next_string(m, &at, &key) && key.n && next_string(m, &at, &value)) {
		if (slice_eq(key, SLICE("user")))
			copy_text(pg->user, sizeof(pg->user), value);
		else if (slice_eq(key, SLICE("database")))
			copy_text(pg->database, sizeof(pg->database), value);
	}
	if (!pg->database[0])
		copy_text(pg->database, sizeof(pg->database), slice_str(pg->user));
}

void pg_client_startup(struct pgsql *pg, struct pg_side *s, const struct pg_msg *m)
{
	switch (pg_be32(s->hdr + 4)) {
	case PG_CODE_SSL:
	case PG_CODE_GSS:
		pg->side[PROTO_SERVER].framing = PG_FRAME_REPLY;
		break;
	case PG_CODE_CANCEL:
		pg_stop(pg, DB_EVENT_CANCEL);
		break;
	default:
		startup_params(pg, m);
		pg->phase = PG_PHASE_AUTH;
		s->framing = PG_FRAME_TYPED;
	}
}

void pg_server_reply(struct pgsql *pg, u8 answer)
{
	if (answer == 'S' || answer == 'G')
		pg_stop(pg, DB_EVENT_TLS);
	else
		pg->side[PROTO_SERVER].framing = PG_FRAME_TYPED;
}

static struct pg_pend *push(struct pgsql *pg, u8 what, const struct pg_side *s)
{
	/* A client that sends again has read its answers, seen or not. */
	if (pg->doubt && pg->doubt_old)
		pg_q_settle(pg);
	return pg_q_push(pg, what, s);
}

static void set_group(struct pgsql *pg, struct pg_stmt *s, u64 ns, u64 pos)
{
	pg_stmt_get(s);
	pg_stmt_put(pg, pg->group_stmt);
	pg->group_stmt = s;
	pg->group_ns = ns;
	pg->group_pos = pos;
}

/* The unit under construction, when the next message can be part of it. */
static struct pg_pend *open_unit(struct pgsql *pg, struct pg_stmt *stmt, u8 bits_not_yet)
{
	u32 n = pg_q_len(pg);
	struct pg_pend *e;

	if (!n || pg->overflow || pg->doubt >= n)
		return NULL;
	e = pg_q_at(pg, n - 1);
	if (e->what != PG_UNIT || e->stmt != stmt || e->repeat != 1 ||
	    (e->want & (bits_not_yet | PG_BIT_EXECUTE)))
		return NULL;
	return e;
}

static struct pg_pend *new_unit(struct pgsql *pg, const struct pg_side *s, struct pg_stmt *stmt)
{
	struct pg_pend *e = push(pg, PG_UNIT, s);

	if (!e)
		return NULL;
	e->stmt = pg_stmt_get(stmt);
	/* Went on at once with what it had prepared? */
	if (stmt && stmt == pg->group_stmt &&
	    e->start_ns <= MAX(pg->answer_ns, pg->group_ns) + PREPARE_PAUSE_NS) {
		e->start_ns = pg->group_ns;
		e->pos = pg->group_pos;
	}
	return e;
}

static void unit_add(struct pg_pend *e, u8 bit)
{
	e->want |= bit;
	e->left |= bit;
}

static void client_parse(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct slice name, sql;
	struct pg_stmt *stmt, *old;
	struct pg_pend *e;
	size_t at = 0;
	bool whole;

	if (!next_string(m, &at, &name))
		return;
	whole = next_string(m, &at, &sql);
	stmt = pg_stmt_define(pg, name, sql, !whole, &old);
	set_group(pg, NULL, 0, 0);
	e = new_unit(pg, s, stmt);
	if (!e) {
		pg_stmt_put(pg, old);
		return;
	}
	e->old = old;
	unit_add(e, PG_BIT_PARSE);
	set_group(pg, stmt, e->start_ns, e->pos);
	pg_stmt_get(stmt);
	pg_stmt_put(pg, pg->trip_stmt);
	pg->trip_stmt = stmt;
}

static void client_bind(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct slice portal, name;
	struct pg_stmt *stmt = NULL;
	struct pg_pend *e;
	size_t at = 0;

	if (next_string(m, &at, &portal) && next_string(m, &at, &name))
		stmt = pg_stmt_find(pg, name);
	pg_portal_bind(pg, portal, stmt);
	e = open_unit(pg, stmt, PG_BIT_BIND);
	if (!e)
		e = new_unit(pg, s, stmt);
	if (!e)
		return;
	e->portal = pg_name_hash(portal);
	unit_add(e, PG_BIT_BIND);
}

/* What a portal or statement name stands for; *ret_made: a reference that the caller has to put. */
static struct pg_stmt *portal_stmt(struct pgsql *pg, struct slice name, struct pg_stmt **ret_made)
{
	struct pg_portal *po = pg_portal_find(pg, pg_name_hash(name));
	char text[PG_NAME_MAX + 16];
	int n;

	*ret_made = NULL;
	if (po)
		return po->stmt;
	n = snprintf(text, sizeof(text), name.n ? "<portal %.*s>" : "<portal>",
		     (int)MIN(name.n, (size_t)PG_NAME_MAX), name.p);
	*ret_made = pg_stmt_new(pg, SLICE(""), slice_of(text, (size_t)n), PG_STMT_UNKNOWN);
	return *ret_made;
}

static void client_describe(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct pg_stmt *stmt, *made = NULL;
	struct slice name;
	struct pg_pend *e;
	size_t at = 1;

	if (!m->n)
		return;
	next_string(m, &at, &name);
	stmt = m->p[0] == 'S' ? pg_stmt_find(pg, name) : portal_stmt(pg, name, &made);
	e = open_unit(pg, stmt, PG_BIT_DESCRIBE);
	if (!e)
		e = new_unit(pg, s, stmt);
	if (e)
		unit_add(e, PG_BIT_DESCRIBE);
	pg_stmt_put(pg, made);
}

static void client_execute(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct pg_stmt *stmt, *made;
	struct pg_portal *po;
	struct slice portal;
	struct pg_pend *e;
	size_t at = 0;
	u64 hash;

	next_string(m, &at, &portal);
	hash = pg_name_hash(portal);
	po = pg_portal_find(pg, hash);
	stmt = portal_stmt(pg, portal, &made);
	/* Bound out of sight: kept, so that its further pieces are known to go on with it. */
	if (made)
		po = pg_portal_bind(pg, portal, made);
	e = open_unit(pg, stmt, 0);
	if (e && (e->want & PG_BIT_BIND) && e->portal != hash)
		e = NULL;
	if (!e)
		e = new_unit(pg, s, stmt);
	pg_stmt_put(pg, made);
	set_group(pg, NULL, 0, 0);
	if (!e)
		return;
	e->portal = hash;
	if (po && po->suspended)
		e->flags |= PG_PEND_CONTINUED;
	unit_add(e, PG_BIT_EXECUTE);
	pg_q_merge(pg);
}

static void client_close(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct pg_stmt *old = NULL;
	struct slice name;
	struct pg_pend *e;
	size_t at = 1;

	if (!m->n)
		return;
	next_string(m, &at, &name);
	if (m->p[0] == 'S')
		old = pg_stmt_forget(pg, name);
	else
		pg_portal_close(pg, pg_name_hash(name));
	e = push(pg, PG_CLOSE, s);
	if (e)
		e->old = old;
	else
		pg_stmt_put(pg, old);
}

static void client_query(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct pg_pend *e = push(pg, PG_QUERY, s);
	struct slice sql;
	size_t at = 0;
	bool whole;

	set_group(pg, NULL, 0, 0);
	if (!e)
		return;
	whole = next_string(m, &at, &sql);
	e->kind = DB_SIMPLE;
	e->stmt = pg_stmt_new(pg, SLICE(""), sql, whole ? 0 : PG_STMT_TRUNCATED);
}

static void client_function(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	struct pg_pend *e = push(pg, PG_FUNC, s);
	char text[40];
	int n;

	set_group(pg, NULL, 0, 0);
	if (!e)
		return;
	if (m->n >= 4)
		n = snprintf(text, sizeof(text), "<function %u>", pg_be32(m->p));
	else
		n = snprintf(text, sizeof(text), "<function>");
	e->kind = DB_FUNCTION;
	e->want = e->left = PG_BIT_EXECUTE;
	e->stmt = pg_stmt_new(pg, SLICE(""), slice_of(text, (size_t)n), 0);
}

/* CopyDone or CopyFail. */
static void client_copy_end(struct pgsql *pg)
{
	struct pg_pend *e;

	if (!pg->copy_in) {
		pg->copy_done_early = true;
		pg->copy_done_at = pg->q_tail;
		return;
	}
	pg->copy_in = false;
	/* It had waited for CopyInResponse; now it waits for the end. */
	e = pg_q_len(pg) ? pg_q_at(pg, 0) : NULL;
	if (e && e->stmt)
		e->stmt->extra_trips++;
}

void pg_client_msg(struct pgsql *pg, struct pg_side *s, const struct pg_msg *m)
{
	pg->client_seen = true;
	/* After an error the server reads on to the next Sync without a look. */
	if (pg->skip_to_sync && strchr("BCDEFPQ", m->type))
		return;
	switch (m->type) {
	case 'B':
		client_bind(pg, s, m);
		break;
	case 'C':
		client_close(pg, s, m);
		break;
	case 'D':
		client_describe(pg, s, m);
		break;
	case 'E':
		client_execute(pg, s, m);
		break;
	case 'F':
		client_function(pg, s, m);
		break;
	case 'P':
		client_parse(pg, s, m);
		break;
	case 'Q':
		client_query(pg, s, m);
		break;
	case 'S':
		/* In COPY the server throws a Sync away; the one after CopyDone counts. */
		if (pg->copy_in)
			break;
		pg->skip_to_sync = false;
		push(pg, PG_SYNC, s);
		break;
	case 'c':
	case 'f':
		client_copy_end(pg);
		break;
	}
}

static void server_auth(struct pgsql *pg, const struct pg_msg *m)
{
	if (m->n < 4 || pg_be32(m->p) != 0 || pg->phase != PG_PHASE_AUTH || pg->logged_in)
		return;
	pg->logged_in = true;
	pg_event(pg, DB_EVENT_LOGIN, pg->now_ns);
}

static void server_ready(struct pgsql *pg, const struct pg_side *s, const struct pg_msg *m)
{
	u8 txn = m->n ? m->p[0] : 0;

	if (m->n && txn != 'I' && txn != 'T' && txn != 'E') {
		if (!s->soft)
			pg_stop(pg, DB_EVENT_PROTOCOL_ERROR);
		return;
	}
	if (pg->phase == PG_PHASE_AUTH) {
		/* Ends the login; it answers nothing that is in the queue. */
		pg->phase = PG_PHASE_READY;
		if (txn && txn != pg->txn) {
			pg->txn = txn;
			pg_event(pg, DB_EVENT_TXN, pg->now_ns);
		}
		return;
	}
	pg_q_ready(pg, txn ? txn : pg->txn);
}

static void server_copy(struct pgsql *pg, u8 kind)
{
	struct pg_pend *e = pg_q_running(pg);
	bool early = pg->copy_done_early && (s32)(pg->copy_done_at - pg->q_head) > 0;
	bool again = e && e->kind == kind;

	if (e)
		e->kind = kind;
	if (kind != DB_COPY_IN || again)
		return;
	/* Syncs that the server finds while it waits for data are thrown away. */
	if (e)
		pg_q_swallow_syncs(pg, early ? pg->copy_done_at : pg->q_tail);
	pg->copy_in = !early;
	pg->copy_done_early = false;
}

void pg_server_msg(struct pgsql *pg, struct pg_side *s, const struct pg_msg *m)
{
	struct slice tag;
	size_t at = 0;

	pg->answer_ns = pg->now_ns;
	switch (m->type) {
	case 'D':
	case 'd':
		pg->rows++;
		if (!pg->first_row_ns)
			pg->first_row_ns = pg->now_ns;
		return;
	case 'R':
		server_auth(pg, m);
		return;
	case 'Z':
		server_ready(pg, s, m);
		return;
	}
	if (pg->phase == PG_PHASE_AUTH || pg->phase == PG_PHASE_STARTUP)
		return;
	switch (m->type) {
	case '1':
		pg_q_answer(pg, PG_BIT_PARSE);
		break;
	case '2':
		pg_q_answer(pg, PG_BIT_BIND);
		break;
	case '3':
		pg_q_closed(pg);
		break;
	case 'T':
	case 'n':
		pg_q_answer(pg, PG_BIT_DESCRIBE);
		break;
	case 'C':
		next_string(m, &at, &tag);
		pg_q_complete(pg, tag, false);
		break;
	case 'I':
	case 'V':
		pg_q_complete(pg, SLICE(""), false);
		break;
	case 's':
		pg_q_complete(pg, SLICE(""), true);
		break;
	case 'E':
		pg_q_fail(pg, s->scan.sqlstate, s->scan.severity == 'F' || s->scan.severity == 'P');
		break;
	case 'G':
		server_copy(pg, DB_COPY_IN);
		break;
	case 'H':
		server_copy(pg, DB_COPY_OUT);
		break;
	case 'W':
		/* Replication from here on: both ways, without an end. */
		pg_q_complete(pg, SLICE(""), false);
		pg_stop(pg, 0);
		break;
	}
}
