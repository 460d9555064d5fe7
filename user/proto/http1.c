/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.x, server and client role: struct proto proto_http1.
 *
 * Input: the two byte streams of a connection as runs and holes (proto.h). Output: one
 * struct http_exchange a request, and verdicts that tell the kernel side how much to carry: request
 * heads whole, of answers the first kilobyte of each turn and the last bytes of every transfer.
 *
 * What the parser can rely on: answers come in the order of the requests; a head starts a transfer
 * unless messages are pipelined; a transfer's runs carry its times. What it must not rely on: that
 * the runs come in time. Bytes that were only counted are reported when the connection turns, or at
 * the end, so nothing is decided by the moment of feed() or eof(): end times are those of the run
 * that held the last byte, and cut-off answers are told from whole ones in finish() alone.
 *
 * Partial ones: an answer that was not requested in sight is SPAN_AT_ATTACH on a connection older
 * than the window, else SPAN_GAP. What is under way at the end is SPAN_AT_DETACH, or SPAN_ABORTED if
 * the connection is gone. After lost bytes all that was in flight carries SPAN_GAP.
 *
 * http1.h lists the other files.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http1.h"

#define DETECT_EMPTY_MAX 16 /* bytes of empty lines before a request */

/* The only place that says which clock of a transfer counts. */
struct http1_run http1_run_of(const struct http1_feed *f)
{
	const struct proto_in *in = f->in;
	struct http1_run r = {
		.start_ns = in->ts_ns,
		.pos = in->pos,
		.ts_ns = in->ts_ns,
		.tid = in->tid,
		.tgid = in->tgid,
		.token = in->token,
	};

	if (f->ctx->role != HP_ROLE_SERVER) {
		if (in->enter_ns && in->enter_ns <= in->ts_ns)
			r.start_ns = in->enter_ns;
	} else if (in->arrival_ns && in->arrival_ns <= in->ts_ns) {
		r.start_ns = in->arrival_ns;
	} else {
		r.flags = SPAN_NO_ARRIVAL;
	}
	return r;
}

static enum proto_match detect_response(const u8 *data, size_t n)
{
	static const char lit[] = "HTTP/1.";
	size_t k = MIN(n, sizeof(lit) - 1);

	if (memcmp(data, lit, k))
		return PROTO_NO;
	if (k < sizeof(lit) - 1)
		return PROTO_MORE;
	return n == k || (data[k] >= '0' && data[k] <= '9') ? PROTO_YES : PROTO_NO;
}

/* p..end is the target and what follows, at least one byte. */
static enum proto_match detect_target(bool connect, const u8 *p, const u8 *end)
{
	static const char scheme[] = "http";
	const u8 *nl, *sp;
	size_t k;

	if (connect) {
		if (!http1_token[*p] && *p != '[')
			return PROTO_NO;
	} else if (*p != '/' && *p != '*') {
		for (k = 0; k < 4 && p + k < end; k++)
			if ((p[k] | 0x20) != (u8)scheme[k])
				return PROTO_NO;
		if (k < 4)
			return PROTO_MORE;
	}
	/* The rest of the line must agree as far as it is here. */
	nl = memchr(p, '\n', (size_t)(end - p));
	sp = memchr(p, ' ', (size_t)((nl ? nl : end) - p));
	if (!sp)
		return nl ? PROTO_NO : PROTO_YES;
	k = MIN((size_t)(end - sp - 1), sizeof("HTTP/1.") - 1);
	return memcmp(sp + 1, "HTTP/1.", k) ? PROTO_NO : PROTO_YES;
}

/*
 * Bytes for which the answer is MORE stay unmasked until there are more of them: they are only ever
 * capitals that may be a method, or the start of "http". In the middle of a stream, where a body
 * could be taken for a request, only methods of the table count.
 */
static enum proto_match http1_detect(const struct proto_ctx *ctx, enum proto_side side,
				     const u8 *data, size_t n, size_t total)
{
	const u8 *p = data, *end = data + n;
	bool connect, known;
	size_t len, i;

	(void)total;
	if (side == PROTO_SERVER)
		return detect_response(data, n);
	/* Empty lines before the first request; in the middle of a stream nothing begins with them. */
	while (!ctx->mid_stream && p < end && p - data < DETECT_EMPTY_MAX &&
	       (*p == '\r' || *p == '\n'))
		p++;
	data = p;
	while (p < end && p - data < HTTP1_METHOD_MAX && http1_token[*p])
		p++;
	len = (size_t)(p - data);
	known = http1_known_method((const char *)data, len, p < end);
	if (ctx->mid_stream && !known)
		return PROTO_NO;
	if (p == end) {
		for (i = 0; i < len && !known; i++)
			if (data[i] < 'A' || data[i] > 'Z')
				return PROTO_NO;
		return PROTO_MORE;
	}
	/* "PRI * HTTP/2.0" is the preface of HTTP/2. */
	if (!len || *p != ' ' || (len == 3 && !memcmp(data, "PRI", 3)))
		return PROTO_NO;
	connect = len == 7 && !memcmp(data, "CONNECT", 7);
	while (p < end && *p == ' ')
		p++;
	return p == end ? PROTO_MORE : detect_target(connect, p, end);
}

static void send_verdict(const struct http1 *st, const struct proto_ctx *ctx)
{
	struct hp_verdict v = { .capture = HP_CAPTURE_BYTES };
	int side, dir;

	for (side = 0; side < 2; side++) {
		dir = (side == PROTO_SERVER) == (ctx->role == HP_ROLE_SERVER) ? HP_SEND : HP_RECV;
		v.turn_max[dir] = st->limits[side].turn_max;
		v.more_max[dir] = st->limits[side].more_max;
		v.iov_max[dir] = st->limits[side].iov_max;
		if (side == PROTO_SERVER || ctx->role == HP_ROLE_UNKNOWN) {
			memcpy(v.start[dir], "HTTP/", 5);
			v.start_len[dir] = 5;
		}
	}
	ctx->sink->verdict(ctx->sink->arg, &v);
}

void http1_verdict_tunnel(const struct proto_ctx *ctx)
{
	struct hp_verdict v = { .capture = HP_CAPTURE_COUNT };

	ctx->sink->verdict(ctx->sink->arg, &v);
}

/* Few steps: the kernel side keeps a table of all different verdicts. */
static const struct http1_limits request_limits = { HTTP1_CARRY_MAX, 4096, 4096 };
static const struct http1_limits answer_limits = { 1024, 0, 512 };
static const struct http1_limits all_limits = { HTTP1_CARRY_MAX, HTTP1_CARRY_MAX, HTTP1_CARRY_MAX };

static u32 raised(u32 v)
{
	return v < 1024 ? 1024 : MIN(v * 4, HTTP1_CARRY_MAX);
}

void http1_raise_head(struct http1_feed *f)
{
	struct http1_limits *l = &f->st->limits[f->s->side], was = *l;

	if (f->s->head_here) {
		l->turn_max = raised(l->turn_max);
		l->iov_max = l->turn_max;
	} else {
		l->more_max = raised(l->more_max); /* heads come in pieces here */
	}
	if (memcmp(&was, l, sizeof(was)))
		send_verdict(f->st, f->ctx);
}

void http1_raise_pipelined(struct http1 *st, const struct proto_ctx *ctx)
{
	if (!memcmp(&st->limits[PROTO_SERVER], &all_limits, sizeof(all_limits)))
		return;
	st->limits[PROTO_SERVER] = all_limits;
	send_verdict(st, ctx);
}

static int http1_init(void *state, const struct proto_ctx *ctx)
{
	struct http1 *st = state;
	int i;

	for (i = 0; i < 2; i++) {
		st->side[i].side = (u8)i;
		if (ctx->mid_stream)
			st->side[i].state = HTTP1_SEEK;
	}
	st->attach_open = ctx->mid_stream;
	st->limits[PROTO_CLIENT] = request_limits;
	/* Without a role either direction may turn out to carry the requests. */
	st->limits[PROTO_SERVER] = ctx->role == HP_ROLE_UNKNOWN ? request_limits : answer_limits;
	send_verdict(st, ctx);
	return 0;
}

static void http1_release(void *state)
{
	struct http1 *st = state;
	u32 i;

	for (i = 0; i < st->cap; i++)
		free(st->queue[i].text);
	free(st->queue);
	st->queue = NULL;
	st->cap = st->count = 0;
}

static void http1_bytes(struct http1_feed *f)
{
	u8 *p = f->in->data, *end = p + f->in->len;

	f->mark = p;
	while (p < end && !f->st->tunnel) {
		if (f->s->state == HTTP1_IDLE)
			p = http1_idle(f, p, end);
		else if (f->s->state < HTTP1_LENGTH)
			p = http1_head(f, p, end);
		else
			p = http1_body(f, p, end);
	}
	if (f->st->tunnel)
		http1_mask(f->ctx, p, (size_t)(end - p));
	else
		http1_count(f, p);
}

static void http1_feed(void *state, const struct proto_ctx *ctx, struct proto_in *in)
{
	struct http1 *st = state;
	struct http1_feed f = { .st = st, .s = &st->side[in->side], .ctx = ctx, .in = in };

	if (in->start && !st->tunnel)
		http1_transfer_start(&f);
	if (in->data)
		http1_bytes(&f);
	else if (!st->tunnel)
		http1_hole(&f);
	if (in->ts_ns && !in->lost)
		f.s->last_ns = in->ts_ns;
	if (in->len)
		f.s->hole_last = !in->data;
}

/* Only noted: bytes sent before it may still be reported, so finish() draws the conclusions. */
static void http1_eof(void *state, const struct proto_ctx *ctx, enum proto_side side, u64 ts_ns,
		      int err)
{
	struct http1 *st = state;

	(void)ctx;
	if (err > 0 && !st->err) {
		st->err = err;
		st->err_ns = ts_ns;
	} else if (!err && !st->side[side].eof) {
		st->side[side].eof = true;
		st->side[side].eof_ns = ts_ns;
	}
}

/* What became of the connection, for the exchanges that it leaves behind. */
struct http1_end {
	u64 ts_ns; /* of the failure that ended it */
	bool dead;
	u32 flags; /* of an exchange without its whole answer */
};

static struct http1_end end_of(const struct http1 *st, const struct proto_ctx *ctx, u64 ts_ns,
			       bool closed)
{
	const struct http1_side *srv = &st->side[PROTO_SERVER];
	struct http1_end end = { .ts_ns = ts_ns, .dead = closed || srv->eof || st->err };

	if (st->err)
		end.ts_ns = st->err_ns;
	else if (srv->eof)
		end.ts_ns = srv->eof_ns;
	end.flags = end.dead ? SPAN_ABORTED : SPAN_AT_DETACH;
	/* The peer neither closed nor reset it, so the target did not want to wait any longer. */
	if (end.dead && ctx->role == HP_ROLE_CLIENT &&
	    (st->err == ETIMEDOUT || (!st->err && !srv->eof)))
		end.flags |= SPAN_TIMEOUT;
	return end;
}

/* The answer under way has no framing: may it count as whole? */
static bool open_end_whole(const struct http1 *st, const struct http1_end *end, struct http1_req *e)
{
	const struct http1_side *srv = &st->side[PROTO_SERVER];

	/* Another request followed, so the client had seen its end. */
	if (!end->dead)
		return st->count > (st->orphan_open ? 0u : 1u);
	if (st->err)
		return false;
	if (srv->chunks_lost && !srv->hole_last)
		return (e->flags & SPAN_GAP) != 0;
	/* The bytes that would tell were not carried. */
	if (srv->chunks_lost)
		e->flags |= SPAN_GAP;
	return true;
}

static void finish_answer(struct http1 *st, const struct proto_ctx *ctx,
			  const struct http1_end *end)
{
	struct http1_side *srv = &st->side[PROTO_SERVER];
	struct http1_req *e = http1_resp_cur(st);

	if (!e)
		return;
	e->req_done = true;
	if (srv->state == HTTP1_SEEK && open_end_whole(st, end, e)) {
		http1_resp_end(st, ctx, srv->last_ns);
		return;
	}
	/* An answer is counted under one of its edges only. */
	if (!(e->flags & SPAN_AT_ATTACH) || end->dead)
		e->flags |= end->flags;
	http1_resp_end(st, ctx, end->dead ? MAX(end->ts_ns, srv->last_ns) : 0);
}

static void finish_front(struct http1 *st, const struct proto_ctx *ctx, const struct http1_end *end)
{
	const struct http1_side *srv = &st->side[PROTO_SERVER];
	struct http1_req *e = http1_queue_at(st, 0);
	bool counts = end->dead ? e->head_done : e->head_done || e->line_done;

	if (e->resp_done) {
		http1_emit(st, ctx, e);
	} else if (counts && !e->bad) {
		/* Its answer may be among what was lost. */
		if (!(srv->lost && (e->flags & SPAN_GAP))) {
			e->flags |= end->flags;
			e->end_ns = end->dead ? end->ts_ns : 0;
		}
		http1_emit(st, ctx, e);
	}
	http1_queue_pop(st);
}

static void http1_finish(void *state, const struct proto_ctx *ctx, u64 ts_ns, bool closed)
{
	struct http1 *st = state;
	struct http1_end end = end_of(st, ctx, ts_ns, closed);
	struct http1_feed f = { .st = st, .ctx = ctx };

	/* What was held back as the start of a head was part of a body. */
	for (f.s = st->side; f.s < st->side + 2; f.s++)
		if (f.s->matching)
			http1_count_n(&f, f.s->lit);
	if (st->count && http1_queue_at(st, 0)->resp_done)
		finish_front(st, ctx, &end);
	finish_answer(st, ctx, &end);
	while (st->count)
		finish_front(st, ctx, &end);
	st->overflow = 0;
	st->tunnel = true;
}

static size_t http1_held(const void *state)
{
	const struct http1 *st = state;

	return st->cap * sizeof(*st->queue) + st->text_bytes;
}

const struct proto proto_http1 = {
	.name = "http",
	.roles = 1 << HP_ROLE_SERVER | 1 << HP_ROLE_CLIENT,
	.state_size = sizeof(struct http1),
	.detect = http1_detect,
	.init = http1_init,
	.release = http1_release,
	.held = http1_held,
	.feed = http1_feed,
	.eof = http1_eof,
	.finish = http1_finish,
};
