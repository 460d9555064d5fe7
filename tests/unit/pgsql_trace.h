/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the PostgreSQL tests and the fuzz target share: a parser with a sink that writes every span
 * as one line of text, transfers to feed it, and the trace format of the corpus.
 *
 * Trace: a byte of flags (enum trace_flags), then records: a byte of enum rec_op, four bytes of
 * length (little endian), then that many bytes; a hole has two bytes instead, its frame count.
 * Each record is one microsecond after the one before.
 */
#ifndef TEST_PGSQL_TRACE_H
#define TEST_PGSQL_TRACE_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "proto/proto.h"

enum trace_flags {
	TRACE_MID_STREAM = 1,
	TRACE_SHOW_LITERALS = 2,
	TRACE_CLOSED = 4,
	TRACE_EOF = 8,
	TRACE_PORT_5432 = 16,
};

enum rec_op {
	REC_SERVER = 1,
	REC_HOLE = 2,
	REC_START = 4,
	REC_END = 8,
	REC_LOST = 16,
};

struct pgt {
	struct proto_ctx ctx;
	struct proto_sink sink;
	void *state;
	u64 clock;
	u64 pos[2];
	u32 flags;
	struct buf out; /* spans as text */
	bool with_times;
	bool write_back; /* puts what feed() left into the caller's bytes */
	u32 calls;
	u32 errors;
	u32 trips;
	u64 rows;
	u32 drops[DROP_MAX];
	u64 verdicts;
	struct hp_verdict verdict;
	struct db_call last; /* slices are not valid any more */
};

static void pgt_on_http(void *arg, const struct http_exchange *x)
{
	(void)arg;
	(void)x;
	abort();
}

static const char *pgt_flags(u32 flags, char *out, size_t size)
{
	static const struct {
		u32 bit;
		const char *name;
	} names[] = {
		{ SPAN_AT_ATTACH, "attach" },	 { SPAN_AT_DETACH, "detach" },
		{ SPAN_ABORTED, "aborted" },	 { SPAN_GAP, "gap" },
		{ SPAN_TRUNCATED, "truncated" }, { SPAN_UNKNOWN_TEXT, "unknown" },
		{ SPAN_CONTINUED, "continued" },
	};
	size_t i, n = 0;

	out[0] = 0;
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (flags & names[i].bit)
			n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "+" : "",
					      names[i].name);
	return n ? out : "-";
}

static void pgt_on_db(void *arg, const struct db_call *c)
{
	static const char *const kinds[] = { "?",	"simple",   "execute",
					     "copy-in", "copy-out", "function" };
	struct pgt *t = arg;
	char flags[128];

	t->calls++;
	t->errors += c->error;
	t->trips += c->trips;
	t->rows += c->rows;
	t->last = *c;
	/* True of every call, whatever the bytes were. */
	if (!c->conn_id || !c->kind || c->kind > DB_FUNCTION || !c->round_trip)
		abort();
	if (c->end_ns && c->start_ns > c->end_ns)
		abort();
	if (c->first_in_trip && !c->trips)
		abort();
	if (!memchr(c->sqlstate, 0, sizeof(c->sqlstate)))
		abort();
	buf_addf(&t->out, "call %s trip=%" PRIu64 " trips=%u%s rows=%" PRIu64 " txn=%c flags=%s",
		 kinds[c->kind], c->round_trip, c->trips, c->first_in_trip ? " first" : "", c->rows,
		 c->txn ? c->txn : '-', pgt_flags(c->flags, flags, sizeof(flags)));
	if (t->with_times)
		buf_addf(&t->out,
			 " start=%" PRIu64 " row=%" PRIu64 " end=%" PRIu64 " read=%" PRIu64,
			 c->start_ns, c->first_row_ns, c->end_ns, c->read_ns);
	if (c->error)
		buf_addf(&t->out, " error=%s", c->sqlstate);
	buf_adds(&t->out, " sql=");
	buf_add_slice(&t->out, c->sql);
	buf_addch(&t->out, '\n');
}

static void pgt_on_event(void *arg, const struct db_event *e)
{
	static const char *const what[] = {
		"?", "login", "txn", "tls", "cancel", "protocol-error"
	};
	struct pgt *t = arg;

	buf_addf(&t->out, "event %s", what[e->what]);
	if (e->what == DB_EVENT_LOGIN) {
		buf_adds(&t->out, " user=");
		buf_add_slice(&t->out, e->user);
		buf_adds(&t->out, " database=");
		buf_add_slice(&t->out, e->database);
	}
	if (e->what == DB_EVENT_TXN)
		buf_addf(&t->out, " %c", e->txn);
	if (t->with_times)
		buf_addf(&t->out, " at=%" PRIu64, e->ts_ns);
	buf_addch(&t->out, '\n');
}

static void pgt_on_verdict(void *arg, const struct hp_verdict *v)
{
	struct pgt *t = arg;

	t->verdicts++;
	t->verdict = *v;
}

static void pgt_on_drop(void *arg, enum hp_drop why)
{
	struct pgt *t = arg;

	if (why >= DROP_MAX)
		abort();
	t->drops[why]++;
}

static void pgt_open(struct pgt *t, u32 flags)
{
	memset(t, 0, sizeof(*t));
	t->flags = flags;
	t->clock = 1000000;
	t->sink = (struct proto_sink){
		t, pgt_on_http, pgt_on_db, pgt_on_event, pgt_on_verdict, pgt_on_drop
	};
	t->ctx = (struct proto_ctx){
		.sink = &t->sink,
		.conn_id = 7,
		.role = HP_ROLE_CLIENT,
		.mid_stream = flags & TRACE_MID_STREAM,
		.show_literals = flags & TRACE_SHOW_LITERALS,
		.peer_port = flags & TRACE_PORT_5432 ? 5432 : 25433,
		.path = "",
	};
	t->state = calloc(1, proto_pgsql.state_size);
	if (!t->state || proto_pgsql.init(t->state, &t->ctx))
		abort();
}

/* One run or hole of a transfer at the current time. */
static void pgt_run(struct pgt *t, enum proto_side side, void *data, size_t n, bool start, bool end)
{
	_free_ u8 *copy = malloc(n ? n : 1); /* exact size: reads past it are found */
	struct proto_in in = {
		.side = side,
		.data = copy,
		.len = n,
		.pos = t->pos[side],
		.start = start,
		.end = end,
		.enter_ns = side == PROTO_CLIENT ? t->clock - 100 : 0,
		.ts_ns = t->clock,
		.read_ns = t->clock + (side == PROTO_SERVER ? 300 : 0),
		.tgid = 100,
		.tid = 101,
	};

	if (!copy)
		abort();
	memcpy(copy, data, n);
	proto_pgsql.feed(t->state, &t->ctx, &in);
	t->pos[side] += n;
	if (t->write_back)
		memcpy(data, copy, n);
}

static inline void pgt_hole(struct pgt *t, enum proto_side side, u64 n, u32 frames, bool lost,
			    bool start, bool end)
{
	struct proto_in in = {
		.side = side,
		.len = n,
		.pos = t->pos[side],
		.frames = frames,
		.lost = lost,
		.start = start,
		.end = end,
		.enter_ns = side == PROTO_CLIENT ? t->clock - 100 : 0,
		.ts_ns = t->clock,
		.read_ns = t->clock + (side == PROTO_SERVER ? 300 : 0),
		.tgid = 100,
		.tid = 101,
	};

	proto_pgsql.feed(t->state, &t->ctx, &in);
	t->pos[side] += n;
}

static void pgt_finish(struct pgt *t, bool closed)
{
	t->clock += 1000;
	proto_pgsql.finish(t->state, &t->ctx, t->clock, closed);
}

static void pgt_close(struct pgt *t)
{
	proto_pgsql.release(t->state);
	free(t->state);
	buf_release(&t->out);
}

/* How the bytes of a record are cut. */
enum cut {
	CUT_WHOLE,
	CUT_BYTES,
	CUT_RANDOM,
	CUT_WALK, /* as the kernel's frame walker carries them */
};

static inline u32 pgt_random(u32 *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	return *seed >> 8;
}

static inline void pgt_cut(struct pgt *t, enum proto_side side, u8 *p, size_t n, bool start,
			   bool end, enum cut cut, u32 *seed)
{
	size_t at = 0, k;

	while (at < n) {
		k = cut == CUT_WHOLE   ? n
		    : cut == CUT_BYTES ? 1
				       : 1 + pgt_random(seed) % (pgt_random(seed) % 4 ? 9 : 900);
		k = MIN(k, n - at);
		pgt_run(t, side, p + at, k, start && !at, end && at + k == n);
		at += k;
	}
}

/* The kernel's walk over the server's transfers; see struct hp_frames. */
struct walk_state {
	u64 left; /* of a frame from the transfer before */
	u8 part[4]; /* start of a header that the transfer before ended in */
	u32 part_n;
	bool carry; /* what came of that frame was carried: so is the rest */
	bool typed; /* past the one-byte answers of the login */
};

static inline bool walk_bit(const __u32 *map, u8 type)
{
	return map[type >> 5] >> (type & 31) & 1;
}

static inline void pgt_walk(struct pgt *t, const u8 *data, size_t data_n, struct walk_state *w)
{
	const struct hp_frames *f = &t->verdict.frames[HP_RECV];
	size_t n = data_n + w->part_n, at, hole;
	_free_ u8 *p = malloc(n);
	bool start = true;
	u32 frames = 0;

	if (!p)
		abort();
	memcpy(p, w->part, w->part_n);
	memcpy(p + w->part_n, data, data_n);
	w->part_n = 0;
	at = hole = MIN(w->left, n);
	w->left -= at;
	if (w->carry && at) {
		hole -= MIN(at, f->body_max);
		pgt_run(t, PROTO_SERVER, p, at - hole, true, at == n && !hole);
		start = false;
	}
	w->carry &= w->left > 0;
	while (at < n) {
		u32 len, take;
		u64 size;

		if (n - at < 5) {
			w->part_n = n - at;
			memcpy(w->part, p + at, n - at);
			break;
		}
		len = (u32)p[at + 1] << 24 | p[at + 2] << 16 | p[at + 3] << 8 | p[at + 4];
		size = 1 + (u64)len;
		take = walk_bit(f->skip, p[at]) ? 0 : f->body_max;
		take = MIN(take, MIN(size, n - at));
		if (take) {
			if (hole)
				pgt_hole(t, PROTO_SERVER, hole, frames, false, start, false);
			start &= !hole;
			pgt_run(t, PROTO_SERVER, p + at, take, start, at + take == n);
			start = false;
			hole = frames = 0;
		} else {
			frames++;
		}
		if (size > n - at) {
			hole += n - at - take;
			w->left = size - (n - at);
			w->carry = take == n - at;
			break;
		}
		hole += size - take;
		at += size;
	}
	if (hole)
		pgt_hole(t, PROTO_SERVER, hole, frames, false, start, true);
}

/* Feeds a trace; returns false where it is malformed (the records before count). */
static inline bool pgt_trace(struct pgt *t, u8 *p, size_t n, enum cut cut, u32 seed)
{
	struct walk_state walk = { 0 };
	bool ok = true;
	size_t at = 1;

	while (at < n) {
		u8 op = p[at];
		enum proto_side side = op & REC_SERVER ? PROTO_SERVER : PROTO_CLIENT;
		u32 len;

		if (n - at < 5) {
			ok = false;
			break;
		}
		len = p[at + 1] | p[at + 2] << 8 | p[at + 3] << 16 | (u32)p[at + 4] << 24;
		at += 5;
		t->clock += 1000;
		if (op & REC_HOLE) {
			if (n - at < 2) {
				ok = false;
				break;
			}
			pgt_hole(t, side, len, p[at] | p[at + 1] << 8, op & REC_LOST,
				 op & REC_START, op & REC_END);
			at += 2;
			continue;
		}
		if (len > n - at) {
			len = n - at;
			ok = false;
		}
		walk.typed |= side == PROTO_SERVER && len > 1;
		if (cut == CUT_WALK && side == PROTO_SERVER && walk.typed)
			pgt_walk(t, p + at, len, &walk);
		else
			pgt_cut(t, side, p + at, len, op & REC_START, op & REC_END,
				cut == CUT_WALK ? CUT_WHOLE : cut, &seed);
		at += len;
	}
	if (t->flags & TRACE_EOF)
		proto_pgsql.eof(t->state, &t->ctx, PROTO_SERVER, t->clock + 500, 0);
	pgt_finish(t, t->flags & TRACE_CLOSED);
	return ok;
}

#endif
