/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A session whose every output becomes a line of text: what the session tests compare.
 *
 * world_run() masks the records in place, as the analyst does; running the masked records in a
 * second world is a replay and has to write the same lines.
 */
#ifndef TESTS_SESSION_WORLD_H
#define TESTS_SESSION_WORLD_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/cleanup.h"

#include "decode/record.h"
#include "records.h"
#include "session/session.h"

struct world {
	struct session *s;
	struct buf lines; /* a line for every callback but verdicts */
	struct buf verdicts; /* "conn capture" a line */
	u64 drops[DROP_MAX];
	u32 http;
	u32 db;
	u32 ended;
};

static inline void world_http(void *arg, const struct http_exchange *x)
{
	struct world *w = arg;

	w->http++;
	buf_addf(&w->lines, "%" PRIu64 " %s %.*s %.*s host=%.*s %u", x->conn_id,
		 x->role == HP_ROLE_SERVER ? "served" : "called", (int)x->method.n, x->method.p,
		 (int)x->path.n, x->path.p, (int)x->host.n, x->host.p, x->status);
	buf_addf(&w->lines,
		 " start=%" PRIu64 " read=%" PRIu64 " first=%" PRIu64 " end=%" PRIu64 " in=%" PRIu64
		 " out=%" PRIu64 " flags=%x\n",
		 x->start_ns, x->read_ns, x->first_ns, x->end_ns, x->request_bytes,
		 x->response_bytes, x->flags);
}

static inline void world_db(void *arg, const struct db_call *c)
{
	struct world *w = arg;

	w->db++;
	buf_addf(&w->lines,
		 "%" PRIu64 " call %u rows=%" PRIu64 " [%s] trip=%" PRIu64 "/%u start=%" PRIu64
		 " row=%" PRIu64 " end=%" PRIu64 " flags=%x txn=%c ",
		 c->conn_id, c->kind, c->rows, c->sqlstate, c->round_trip, c->trips, c->start_ns,
		 c->first_row_ns, c->end_ns, c->flags, c->txn ? c->txn : '-');
	buf_add_slice(&w->lines, c->sql);
	buf_addch(&w->lines, '\n');
}

static inline void world_db_event(void *arg, const struct db_event *e)
{
	struct world *w = arg;

	buf_addf(&w->lines, "%" PRIu64 " event %u %.*s@%.*s %c ts=%" PRIu64 "\n", e->conn_id,
		 e->what, (int)e->user.n, e->user.p, (int)e->database.n, e->database.p,
		 e->txn ? e->txn : '-', e->ts_ns);
}

static inline void world_conn(void *arg, const struct conn_info *c)
{
	static const char *const names[] = { "undecided", "parsed", "unparsed", "encrypted" };
	struct world *w = arg;

	if (c->status > CONN_ENCRYPTED)
		abort();
	w->ended += c->ended;
	buf_addf(&w->lines, "%" PRIu64 " conn %s %s role=%u %.*s>%.*s (%s) %" PRIu64 "/%" PRIu64,
		 c->conn_id, names[c->status], c->proto, c->role, (int)c->local.n, c->local.p,
		 (int)c->peer.n, c->peer.p, c->reason, c->bytes[HP_RECV], c->bytes[HP_SEND]);
	buf_addf(&w->lines, " open=%" PRIu64 " est=%" PRIu64 " close=%" PRIu64 " err=%d%s\n",
		 c->open_ns, c->established_ns, c->close_ns, c->err, c->ended ? " ended" : "");
}

static inline void world_drop(void *arg, enum hp_drop why, u64 n)
{
	struct world *w = arg;

	if (why >= DROP_MAX)
		abort();
	w->drops[why] += n;
	buf_addf(&w->lines, "drop %u %" PRIu64 "\n", why, n);
}

static inline void world_verdict(void *arg, u64 conn_id, const struct hp_verdict *v)
{
	struct world *w = arg;

	buf_addf(&w->verdicts, "%" PRIu64 " %u\n", conn_id, v->capture);
}

static inline void world_new(struct world *w, const struct session_opts *opts)
{
	static const struct session_opts none;
	const struct session_sink sink = {
		.arg = w,
		.http = world_http,
		.db = world_db,
		.db_event = world_db_event,
		.conn = world_conn,
		.drop = world_drop,
		.verdict = world_verdict,
	};

	memset(w, 0, sizeof(*w));
	if (session_new(&w->s, opts ? opts : &none, &sink))
		abort();
}

static inline void world_release(struct world *w)
{
	session_free(w->s);
	buf_release(&w->lines);
	buf_release(&w->verdicts);
}

/*
 * Every record of b, each checked and given in a block of its exact size; what the session leaves
 * goes back into b.
 */
static inline void world_feed(struct world *w, struct buf *b)
{
	size_t at = 0, size;

	while (at < b->n) {
		int err = record_check(b->p + at, b->n - at, &size);
		void *exact;

		if (err)
			abort();
		exact = malloc(size);
		if (!exact)
			abort();
		memcpy(exact, b->p + at, size);
		session_record(w->s, exact);
		memcpy(b->p + at, exact, size);
		free(exact);
		at += size;
	}
}

static inline void world_run(struct world *w, const struct session_opts *opts, struct buf *b,
			     u64 end_ns)
{
	world_new(w, opts);
	world_feed(w, b);
	session_finish(w->s, end_ns);
}

/* ---- for tests of single cases ---- */

#define REQ "GET /a HTTP/1.1\r\nHost: h\r\n\r\n"
#define RES "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
#define REQ_N (sizeof(REQ) - 1)
#define RES_N (sizeof(RES) - 1)
#define STARTUP "\0\0\0\x13\0\3\0\0user\0bob\0\0"

static inline void has(const struct buf *text, const char *what)
{
	if (text->p && strstr(text->p, what))
		return;
	fprintf(stderr, "no \"%s\" in:\n%s\n", what, text->p ? text->p : "");
	fail();
}

static inline void has_not(const struct buf *text, const char *what)
{
	if (!text->p || !strstr(text->p, what))
		return;
	fprintf(stderr, "\"%s\" in:\n%s\n", what, text->p);
	fail();
}

static inline u32 count(const struct buf *text, const char *what)
{
	const char *p = text->p;
	u32 n = 0;

	while (p && (p = strstr(p, what))) {
		n++;
		p++;
	}
	return n;
}

static inline bool holds(const struct buf *b, const char *bytes)
{
	return memmem(b->p, b->n, bytes, strlen(bytes)) != NULL;
}

static inline void same_text(const struct buf *a, const struct buf *b)
{
	if (a->n == b->n && (!a->n || !memcmp(a->p, b->p, a->n)))
		return;
	fprintf(stderr, "first:\n%s\nsecond:\n%s\n", a->p ? a->p : "", b->p ? b->p : "");
	fail();
}

/* Runs b, then runs what it left: lines and bytes must be the same again. */
static inline void run(struct world *w, const struct session_opts *opts, struct buf *b, u64 end_ns)
{
	_release_(buf) struct buf masked = BUF_INIT;
	struct world again;

	world_run(w, opts, b, end_ns);
	buf_add(&masked, b->p, b->n);
	world_run(&again, opts, &masked, end_ns);
	same_text(&w->lines, &again.lines);
	same_text(&w->verdicts, &again.verdicts);
	assert_memory_equal(masked.p, b->p, b->n);
	world_release(&again);
}

/* A request and its answer on conn at these positions and times. */
static inline void exchange(struct buf *b, u64 conn, u64 in, u64 out, u64 ts)
{
	put_data(b, conn, HP_RECV, in, REQ, REQ_N, ts);
	put_data(b, conn, HP_SEND, out, RES, RES_N, ts + 100);
}

#endif
