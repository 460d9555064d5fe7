/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL protocol 3: framing of both sides, life of a connection. See pgsql.h for the files.
 *
 * Each side is a state machine over runs, holes and losses. A hole inside a known message is just
 * skipped; one that covers whole frames (rows that the kernel walker counted) leaves the next run
 * at a frame's start, which is checked; after a loss, or at attach, alignment is found again at the
 * start of a transfer or, in an unaligned tail, at the first byte from which frames chain to a
 * ReadyForQuery or Sync at the very end. Until then all bytes are masked.
 *
 * Garbage where alignment was certain ends the parsing of the connection; where it was a guess, the
 * guess is dropped, and only GUESSES_MAX wrong ones in a row end it.
 */
#include "proto/pgsql.h"

#define GUESSES_MAX 64
#define BLIND_MAX 4096 /* transfers without one message: a long result has many */

static enum proto_match pgsql_detect(const struct proto_ctx *ctx, enum proto_side side,
				     const u8 *data, size_t n, size_t total)
{
	return pg_detect(ctx, side, data, n, total);
}

static void type_set(__u32 *map, u8 type)
{
	map[type >> 5] |= 1U << (type & 31);
}

static void first_verdict(const struct proto_ctx *ctx)
{
	static const u8 ready[6] = { 'Z', 0, 0, 0, 5, 0 }, mask[6] = { 255, 255, 255, 255, 255, 0 };
	struct hp_verdict v = { .capture = HP_CAPTURE_BYTES };
	/* The target is the client, also where nobody saw who connected. */
	u32 to_server = ctx->role == HP_ROLE_SERVER ? HP_RECV : HP_SEND, i;
	struct hp_frames *f;

	for (i = 0; i < 2; i++) {
		v.turn_max[i] = HP_PAYLOAD_MAX;
		v.more_max[i] = HP_PAYLOAD_MAX;
		v.iov_max[i] = HP_PAYLOAD_MAX;
		f = &v.frames[i];
		f->on = 1;
		f->len_off = 1;
		f->len_size = 4;
		f->hdr_len = 1;
		type_set(f->skip, 'd');
	}
	f = &v.frames[to_server];
	f->whole_max = HP_PAYLOAD_MAX;
	f->body_max = HP_PAYLOAD_MAX;
	f->head_only_max = 96;
	type_set(f->head_only, 'B');
	f = &v.frames[!to_server];
	f->whole_max = 2048;
	f->body_max = 1024;
	f->head_only_max = 1024;
	f->end_len = sizeof(ready);
	memcpy(f->end, ready, sizeof(ready));
	memcpy(f->end_mask, mask, sizeof(mask));
	type_set(f->skip, 'D');
	ctx->sink->verdict(ctx->sink->arg, &v);
}

static int pgsql_init(void *state, const struct proto_ctx *ctx)
{
	struct pgsql *pg = state;
	int i;

	pg->ctx = ctx;
	pg_stmts_init(pg);
	pg->side[PROTO_CLIENT].framing = PG_FRAME_STARTUP;
	if (ctx->mid_stream) {
		pg->phase = PG_PHASE_READY;
		for (i = 0; i < 2; i++) {
			pg->side[i].framing = PG_FRAME_UNALIGNED;
			pg->side[i].soft = true;
		}
	}
	first_verdict(ctx);
	return 0;
}

static void pgsql_release(void *state)
{
	struct pgsql *pg = state;

	pg_q_release(pg);
	pg_stmts_release(pg);
	buf_release(&pg->side[PROTO_CLIENT].acc);
	buf_release(&pg->side[PROTO_SERVER].acc);
}

/* Forgets the message under way; the next run may be tried for a start. */
static void unalign(struct pgsql *pg, struct pg_side *s)
{
	/* The ReadyForQuery that ends a login may be among what is missed. */
	if (s == &pg->side[PROTO_SERVER] && pg->phase == PG_PHASE_AUTH)
		pg->phase = PG_PHASE_READY;
	s->framing = PG_FRAME_UNALIGNED;
	s->soft = true;
	s->in_body = false;
	s->hdr_n = 0;
	buf_clear(&s->acc);
}

/* What came cannot be a message. */
static void bad_frame(struct pgsql *pg, struct pg_side *s)
{
	if (!s->soft || ++s->misses >= GUESSES_MAX) {
		pg_stop(pg, DB_EVENT_PROTOCOL_ERROR);
		return;
	}
	unalign(pg, s);
	s->after_hole = false;
	if (s == &pg->side[PROTO_SERVER])
		pg_q_doubt(pg);
	else
		pg_q_client_lost(pg);
}

/* p[0..n) is the masked body, or as much of its start as is wanted and was seen. */
static void message_end(struct pgsql *pg, struct pg_side *s, const u8 *p, size_t n)
{
	struct pg_msg m = { .p = p, .n = MIN(n, (size_t)s->want), .type = s->type };

	s->in_body = false;
	if (s->framing == PG_FRAME_STARTUP)
		pg_client_startup(pg, s, &m);
	else if (s == &pg->side[PROTO_CLIENT])
		pg_client_msg(pg, s, &m);
	else
		pg_server_msg(pg, s, &m);
	s->misses = 0;
	s->blind = 0;
}

static void collected_end(struct pgsql *pg, struct pg_side *s)
{
	message_end(pg, s, s->acc.n ? (const u8 *)s->acc.p : s->hdr, s->acc.n);
}

static void body_begin(struct pgsql *pg, struct pg_side *s, u32 len, u8 how, u32 want)
{
	s->hdr_n = 0;
	s->in_body = true;
	s->holed = false;
	s->len = s->left = len;
	s->want = want;
	buf_clear(&s->acc);
	pg_scan_begin(&s->scan, how);
	if (!len)
		message_end(pg, s, s->hdr, 0);
}

/* Takes bytes of a body; returns how many. */
static size_t feed_body(struct pgsql *pg, struct pg_side *s, u8 *p, size_t n)
{
	size_t k = MIN(n, (size_t)s->left), keep;

	if (s->holed)
		pg_hide(pg->ctx, p, k);
	else
		pg_scan(&s->scan, p, k, !pg->ctx->show_literals);
	s->left -= k;
	if (!s->left && !s->acc.n && !s->holed) {
		message_end(pg, s, p, k);
		return k;
	}
	if (!s->holed && s->acc.n < s->want) {
		keep = MIN(k, s->want - s->acc.n);
		buf_add(&s->acc, p, keep);
		if (s->acc.oom) {
			pg->ctx->sink->drop(pg->ctx->sink->arg, DROP_MEMORY);
			s->acc.oom = false;
			s->holed = true;
		}
	}
	if (!s->left)
		collected_end(pg, s);
	return k;
}

/* p: its first byte, in in->data. */
static void header_started(struct pg_side *s, const struct proto_in *in, const u8 *p)
{
	s->pos = in->pos + (u64)(p - in->data);
	s->first_ns = in->enter_ns ? in->enter_ns : in->ts_ns;
	s->tid = in->tid;
	s->token = in->token;
	s->tgid = in->tgid;
}

/* Whatever comes behind byte `at` of the header, the length is too large; so it is when masked. */
static bool hopeless(const struct pg_type *t, const u8 *hdr, u32 at)
{
	u32 shift = 8 * (PG_HDR - 1 - at), len = 0, i;

	for (i = 1; i < at; i++)
		len |= (u32)hdr[i] << 8 * (PG_HDR - 1 - i);
	return (len | (u32)hdr[at] << shift) > t->max && (len | (u32)'x' << shift) > t->max;
}

/* Takes bytes of a five-byte header; returns how many. */
static size_t feed_header(struct pgsql *pg, struct pg_side *s, const u8 *p, size_t n,
			  const struct proto_in *in)
{
	size_t k = MIN(n, (size_t)(PG_HDR - s->hdr_n)), i;
	const struct pg_type *t;
	u32 len;

	if (!s->hdr_n) {
		header_started(s, in, p);
		/* Found wrong on its first byte, none of what follows stays readable. */
		if (!pg_type(in->side, *p)) {
			bad_frame(pg, s);
			return 0;
		}
	}
	t = pg_type(in->side, s->hdr_n ? s->hdr[0] : *p);
	for (i = 0; i < k; i++) {
		s->hdr[s->hdr_n] = p[i];
		/* Nor does the rest of a length that cannot be one. */
		if (s->hdr_n && hopeless(t, s->hdr, s->hdr_n)) {
			bad_frame(pg, s);
			return i;
		}
		s->hdr_n++;
	}
	if (s->hdr_n < PG_HDR)
		return k;
	len = pg_be32(s->hdr + 1);
	if (len < t->min || len > t->max) {
		bad_frame(pg, s);
		return k;
	}
	s->type = s->hdr[0];
	body_begin(pg, s, len - 4, t->how, t->want);
	return k;
}

/* Startup packets: length and code, eight bytes that are checked one by one. */
static size_t feed_startup(struct pgsql *pg, struct pg_side *s, const u8 *p, size_t n,
			   const struct proto_in *in)
{
	size_t i;

	if (!s->hdr_n)
		header_started(s, in, p);
	for (i = 0; i < n && s->hdr_n < 8; i++) {
		s->hdr[s->hdr_n] = p[i];
		if (pg_startup_match(s->hdr, s->hdr_n + 1U) < 0) {
			/* A length that is too short must stay so; masked it would be longer. */
			i += s->hdr_n == 3;
			bad_frame(pg, s);
			return i;
		}
		s->hdr_n++;
	}
	if (s->hdr_n == 8) {
		bool login = pg_be32(s->hdr + 4) >> 16 == PG_CODE_V3 >> 16;

		body_begin(pg, s, pg_be32(s->hdr) - 8, login ? PG_SCAN_STARTUP : PG_SCAN_ALL,
			   login ? PG_STARTUP_MAX : 0);
	}
	return i;
}

static size_t feed_reply(struct pgsql *pg, struct pg_side *s, u8 c)
{
	/* A server that knows neither request answers with an error message. */
	if (c == 'E') {
		s->framing = PG_FRAME_TYPED;
		return 0;
	}
	if (c != 'S' && c != 'N' && c != 'G') {
		s->soft = false;
		bad_frame(pg, s);
		return 0;
	}
	pg_server_reply(pg, c);
	return 1;
}

/* Alignment is found: a login whose start was lost is over, or passes unnoticed. */
static void aligned(struct pgsql *pg, struct pg_side *s)
{
	s->framing = PG_FRAME_TYPED;
	if (pg->phase == PG_PHASE_STARTUP)
		pg->phase = PG_PHASE_READY;
}

/*
 * Looks for a message's start in an unaligned run; returns the offset, in->len when there is none.
 * Tried where a start is likely: first run of a transfer, run behind a hole.
 */
static size_t realign(struct pgsql *pg, struct pg_side *s, const struct proto_in *in)
{
	bool try = in->start || s->after_hole;
	struct pg_chain c;
	size_t at;

	s->after_hole = false;
	if (!try)
		return in->len;
	if (in->side == PROTO_CLIENT && in->start && !pg->client_seen &&
	    pg_startup_match(in->data, in->len) >= 0) {
		s->framing = PG_FRAME_STARTUP;
		pg->phase = PG_PHASE_STARTUP;
		return 0;
	}
	if (pg_chain(in->side, in->data, in->len, &c)) {
		aligned(pg, s);
		return 0;
	}
	at = in->end ? pg_chain_search(in->side, in->data, in->len) : in->len;
	if (at < in->len) {
		aligned(pg, s);
	} else if (++s->blind >= BLIND_MAX) {
		pg_stop(pg, DB_EVENT_PROTOCOL_ERROR);
	} else if (in->side == PROTO_SERVER) {
		pg_q_doubt(pg);
	}
	return at;
}

static void feed_bytes(struct pgsql *pg, struct pg_side *s, struct proto_in *in)
{
	size_t n = in->len, k;
	u8 *p = in->data;

	if (s->framing == PG_FRAME_UNALIGNED) {
		k = realign(pg, s, in);
		pg_hide(pg->ctx, p, k);
		p += k;
		n -= k;
	}
	while (n) {
		if (s->framing == PG_FRAME_STOP || s->framing == PG_FRAME_UNALIGNED) {
			pg_hide(pg->ctx, p, n);
			return;
		}
		if (s->in_body)
			k = feed_body(pg, s, p, n);
		else if (s->framing == PG_FRAME_STARTUP)
			k = feed_startup(pg, s, p, n, in);
		else if (s->framing == PG_FRAME_REPLY)
			k = feed_reply(pg, s, *p);
		else
			k = feed_header(pg, s, p, n, in);
		p += k;
		n -= k;
	}
}

static void feed_hole(struct pgsql *pg, struct pg_side *s, const struct proto_in *in)
{
	bool client = s == &pg->side[PROTO_CLIENT];
	u64 len = in->len, k;

	if (s->framing == PG_FRAME_STOP)
		return;
	if (s->in_body && s->left && len <= s->left && in->lost) {
		/* Lost, but all of it inside this message: the next one is where it was. */
		if (client)
			pg_q_client_lost(pg);
		else
			pg_q_doubt(pg);
	} else if (in->lost) {
		unalign(pg, s);
		if (client)
			pg_q_client_lost(pg);
		else
			pg_q_doubt(pg);
		return;
	}
	if (s->in_body) {
		k = MIN(len, (u64)s->left);
		s->holed |= k > 0;
		s->left -= k;
		len -= k;
		if (!s->left)
			collected_end(pg, s);
	}
	if (!client && in->frames) {
		pg->rows += in->frames;
		if (!pg->first_row_ns)
			pg->first_row_ns = in->ts_ns;
	}
	if (s->framing == PG_FRAME_STOP)
		return;
	if (len) {
		/* Messages of the client went by, whatever they were: what comes may build on them. */
		if (client && !in->frames && s->framing != PG_FRAME_UNALIGNED)
			pg_q_client_lost(pg);
		unalign(pg, s);
	}
	s->after_hole = true;
}

static void run_times(struct pgsql *pg, const struct proto_ctx *ctx, const struct proto_in *in)
{
	pg->ctx = ctx;
	pg->now_ns = in->ts_ns;
	pg->read_ns = in->read_ns;
	pg->run_tid = in->tid;
	pg->run_tgid = in->tgid;
}

static void pgsql_feed(void *state, const struct proto_ctx *ctx, struct proto_in *in)
{
	struct pgsql *pg = state;
	struct pg_side *s = &pg->side[in->side & 1];

	if (!in->len)
		return;
	run_times(pg, ctx, in);
	if (in->side == PROTO_CLIENT && in->start)
		pg->doubt_old = true;
	if (in->data)
		feed_bytes(pg, s, in);
	else
		feed_hole(pg, s, in);
}

static void pgsql_eof(void *state, const struct proto_ctx *ctx, enum proto_side side, u64 ts_ns,
		      int err)
{
	struct pgsql *pg = state;

	pg->ctx = ctx;
	pg->now_ns = ts_ns;
	/* A client that only shut its sending half still gets its answers. */
	if (side == PROTO_CLIENT && !err)
		return;
	pg_q_abort(pg, SPAN_ABORTED, ts_ns);
}

static void pgsql_finish(void *state, const struct proto_ctx *ctx, u64 ts_ns, bool closed)
{
	struct pgsql *pg = state;

	pg->ctx = ctx;
	pg->now_ns = ts_ns;
	pg_q_abort(pg, closed ? SPAN_ABORTED : SPAN_AT_DETACH, closed ? ts_ns : 0);
}

static size_t pgsql_held(const void *state)
{
	const struct pgsql *pg = state;

	return pg->q_cap * sizeof(*pg->q) + pg->arena + pg->names.cap * sizeof(*pg->names.slots) +
	       pg->side[PROTO_CLIENT].acc.cap + pg->side[PROTO_SERVER].acc.cap +
	       (pg->portals ? PG_PORTALS_MAX * sizeof(*pg->portals) : 0);
}

const struct proto proto_pgsql = {
	.name = "postgresql",
	.roles = 1 << HP_ROLE_CLIENT,
	.state_size = sizeof(struct pgsql),
	.detect = pgsql_detect,
	.init = pgsql_init,
	.release = pgsql_release,
	.held = pgsql_held,
	.feed = pgsql_feed,
	.eof = pgsql_eof,
	.finish = pgsql_finish,
};
