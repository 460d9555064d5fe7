/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for their answer, first come first served, and the exchanges made from them.
 *
 * Input: message borders from the head and body files. Output: sink->http(). A request enters at
 * its first byte and leaves when both it and its answer are whole (a server may answer before an
 * upload has ended). Slots and their text are reused, so a settled connection allocates nothing.
 *
 * After a loss the pairing is in doubt. Clients that do not pipeline have one request under way, so
 * the next answer seen is for the newest request and older ones are reported with SPAN_GAP. On a
 * connection proven to pipeline, pairs stay in order but all carry SPAN_GAP until the queue drains,
 * or until a client that sends whole batches begins the next one.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "proto/http1.h"

static int queue_grow(struct http1 *st)
{
	u32 i, cap = st->cap ? st->cap * 2 : 2;
	struct http1_req *v = calloc(cap, sizeof(*v));

	if (!v)
		return -ENOMEM;
	for (i = 0; i < st->count; i++)
		v[i] = *http1_queue_at(st, i);
	free(st->queue);
	st->queue = v;
	st->cap = cap;
	st->head = 0;
	return 0;
}

void http1_queue_pop(struct http1 *st)
{
	struct http1_side *c = &st->side[PROTO_CLIENT];

	if (st->count == 1)
		c->entry = false;
	st->head = (st->head + 1) & (st->cap - 1);
	st->popped++;
	if (!--st->count)
		st->unsure = false;
}

void http1_emit(struct http1 *st, const struct proto_ctx *ctx, struct http1_req *e)
{
	const char *text = e->text ? e->text : "";
	struct http_exchange x = {
		.conn_id = ctx->conn_id,
		.start_ns = e->start_ns,
		.pos = e->pos,
		.read_ns = e->read_ns,
		.first_ns = e->first_ns,
		.end_ns = e->end_ns,
		.request_bytes = e->request_bytes,
		.response_bytes = e->response_bytes,
		.method = { text, e->method_len },
		.path = { text + e->method_len, e->path_len },
		.host = { text + e->method_len + e->path_len, e->host_len },
		.flags = e->flags,
		.tid = e->tid,
		.tgid = e->tgid,
		.sent_tid = e->sent_tid,
		.token = e->token,
		.status = e->status,
		.target = ctx->target,
		.role = ctx->role,
		.http_minor = e->minor,
		.interim = e->interim,
	};

	/* An answer that ended before its request began is somebody else's. */
	if (st->unsure || (x.start_ns && x.end_ns && x.end_ns < x.start_ns))
		x.flags |= SPAN_GAP;
	ctx->sink->http(ctx->sink->arg, &x);
}

static void emit_front(struct http1 *st, const struct proto_ctx *ctx)
{
	http1_emit(st, ctx, http1_queue_at(st, 0));
	http1_queue_pop(st);
}

/* Reports what waits, but for the newest `keep`, as answered out of sight. */
static void give_up(struct http1 *st, const struct proto_ctx *ctx, u32 keep)
{
	bool unsure = st->unsure;

	struct http1_req *e;

	while (st->count > keep) {
		e = http1_queue_at(st, 0);
		e->flags |= SPAN_GAP;
		if (e->resp_done || (e->head_done && !e->bad))
			http1_emit(st, ctx, e);
		http1_queue_pop(st);
	}
	st->unsure = unsure;
	st->overflow = 0;
}

/* Zeroed but for its text memory; NULL when the request can only be counted. */
static struct http1_req *queue_push(struct http1 *st, const struct proto_ctx *ctx)
{
	struct http1_req *e;
	char *text;
	u32 cap;

	/* Those whose answers were lost would fill it for good. */
	if (st->count == HTTP1_QUEUE_MAX && st->unsure && !st->side[PROTO_SERVER].cur)
		give_up(st, ctx, 0);
	/* Order decides whose answer is whose: once one was left out, so are those behind it. */
	if (st->overflow || st->count == HTTP1_QUEUE_MAX) {
		ctx->sink->drop(ctx->sink->arg, DROP_PIPELINE_FULL);
		st->overflow++;
		return NULL;
	}
	if (st->count == st->cap && queue_grow(st)) {
		ctx->sink->drop(ctx->sink->arg, DROP_MEMORY);
		st->overflow++;
		return NULL;
	}
	e = http1_queue_at(st, st->count++);
	text = e->text;
	cap = e->text_cap;
	memset(e, 0, sizeof(*e));
	e->text = text;
	e->text_cap = cap;
	return e;
}

/* Room for need bytes, or for as many as the budget has; the first few are each slot's own. */
static int text_reserve(struct http1 *st, struct http1_req *e, size_t need)
{
	u32 cap = MAX(e->text_cap, HTTP1_TEXT_MIN);
	char *p;

	while (cap < need && st->text_bytes + cap * 2 - e->text_cap <= HTTP1_TEXT_BUDGET)
		cap *= 2;
	if (cap == e->text_cap)
		return 0;
	p = realloc(e->text, cap);
	if (!p)
		return -ENOMEM;
	st->text_bytes += cap - e->text_cap;
	e->text = p;
	e->text_cap = cap;
	return 0;
}

/* Adds to a text of the request under way; what is past its limit is cut off and counted. */
void http1_text_add(struct http1_feed *f, enum http1_part part, const void *p, size_t n)
{
	static const u16 part_max[] = { HTTP1_METHOD_MAX, HTTP1_PATH_MAX, HTTP1_HOST_MAX };
	struct http1_req *e = http1_req_cur(f->st);
	size_t have, part_len, room;

	if (!e || !n)
		return;
	part_len = part == HTTP1_P_METHOD ? e->method_len
		   : part == HTTP1_P_PATH ? e->path_len
					  : e->host_len;
	room = part_max[part] - part_len;
	have = (size_t)e->method_len + e->path_len + e->host_len;
	if (have + MIN(n, room) > e->text_cap && text_reserve(f->st, e, have + MIN(n, room))) {
		f->ctx->sink->drop(f->ctx->sink->arg, DROP_MEMORY);
		return;
	}
	room = MIN(room, e->text_cap - have);
	if (n > room) {
		if (!e->text_cut)
			f->ctx->sink->drop(f->ctx->sink->arg, DROP_MESSAGE_TOO_LONG);
		e->text_cut = true;
		n = room;
	}
	memcpy(e->text + have, p, n);
	if (part == HTTP1_P_METHOD)
		e->method_len = (u8)(e->method_len + n);
	else if (part == HTTP1_P_PATH)
		e->path_len = (u16)(e->path_len + n);
	else
		e->host_len = (u8)(e->host_len + n);
}

void http1_count_n(struct http1_feed *f, u64 n)
{
	struct http1_req *e;

	if (!f->s->cur || !n)
		return;
	if (f->s->side == PROTO_CLIENT) {
		e = http1_req_cur(f->st);
		if (e)
			e->request_bytes += n;
	} else {
		http1_resp_cur(f->st)->response_bytes += n;
	}
}

void http1_count(struct http1_feed *f, u8 *p)
{
	http1_count_n(f, (u64)(p - f->mark));
	f->mark = p;
}

void http1_req_begin(struct http1_feed *f, const struct http1_run *run, bool at_start)
{
	struct http1 *st = f->st;
	struct http1_side *s = f->s;
	struct http1_req *e;

	if (s->cur)
		http1_req_end(st, f->ctx);
	/* A client that sends batches has seen all answers when it sends the next one. */
	if (at_start && st->unsure && !st->sliding && st->count &&
	    st->side[PROTO_SERVER].state == HTTP1_IDLE && !http1_queue_at(st, 0)->resp_done) {
		give_up(st, f->ctx, 0);
		st->unsure = false;
	}
	s->cur = true;
	s->head_here = true;
	st->seen_request = true;
	e = queue_push(st, f->ctx);
	s->entry = e != NULL;
	if (!e)
		return;
	e->at_start = at_start;
	e->start_ns = run->start_ns;
	e->pos = run->pos;
	e->read_ns = run->ts_ns;
	e->flags = run->flags;
	e->tid = run->tid;
	e->tgid = run->tgid;
	e->token = run->token;
	/*
	 * Two to a transfer: so may the answers be. Requests in transfers of their own prove nothing
	 * here, the answer between them may have been lost, and a loss must not raise the load.
	 */
	if (!at_start && st->count > 1 && !http1_queue_at(st, st->count - 2)->begun)
		http1_raise_pipelined(st, f->ctx);
}

void http1_req_end(struct http1 *st, const struct proto_ctx *ctx)
{
	struct http1_side *s = &st->side[PROTO_CLIENT];
	struct http1_req *e = http1_req_cur(st);

	s->cur = false;
	s->entry = false;
	s->soft = false;
	s->state = HTTP1_IDLE;
	if (!e)
		return;
	e->req_done = true;
	if (e->resp_done)
		emit_front(st, ctx);
}

void http1_orphan_begin(struct http1 *st, const struct http1_run *run, u32 flags)
{
	st->orphan = (struct http1_req){ .flags = flags, .tgid = run->tgid, .req_done = true };
	st->orphan_open = true;
	st->orphan_mute = false;
	st->attach_open = false;
}

/* side->match_run says where its first byte was. */
void http1_resp_begin(struct http1_feed *f)
{
	struct http1 *st = f->st;
	struct http1_side *s = f->s;
	struct http1_req *e;

	if (s->cur)
		http1_resp_end(st, f->ctx, s->seek_prev_ns);
	if (st->count && http1_queue_at(st, 0)->resp_done)
		emit_front(st, f->ctx);
	if (s->lost && st->pipelined)
		st->unsure = st->count > 0;
	else if (s->lost)
		give_up(st, f->ctx, st->overflow ? 0 : 1);
	s->lost = false;
	if (!st->orphan_open && !st->count) {
		http1_orphan_begin(st, &s->match_run,
				   f->ctx->mid_stream && !st->seen_request ? SPAN_AT_ATTACH
									   : SPAN_GAP);
		st->orphan_mute = st->overflow > 0;
	}
	s->cur = true;
	s->head_here = true;
	st->attach_open = false;
	e = http1_resp_cur(st);
	if (!st->orphan_open && !e->begun) {
		if (st->popped < st->pushed_at_answer) {
			st->pipelined = true;
			st->sliding |= e->at_start && !st->unsure;
			http1_raise_pipelined(st, f->ctx);
		}
		st->pushed_at_answer = st->popped + st->count;
	}
	e->begun = true;
	e->first_ns = s->match_run.ts_ns;
	if (f->ctx->role == HP_ROLE_SERVER) {
		e->sent_tid = s->match_run.tid;
		e->token = s->match_run.token;
	}
}

void http1_resp_end(struct http1 *st, const struct proto_ctx *ctx, u64 ns)
{
	struct http1_side *s = &st->side[PROTO_SERVER];
	struct http1_side *c = &st->side[PROTO_CLIENT];
	struct http1_req *e = http1_resp_cur(st);

	s->cur = false;
	s->soft = false;
	s->state = HTTP1_IDLE;
	e->end_ns = ns;
	e->resp_done = true;
	if (st->orphan_open) {
		st->orphan_open = false;
		if (!st->orphan_mute)
			http1_emit(st, ctx, e);
		else if (st->overflow)
			st->overflow--;
		return;
	}
	/* Without framing nothing will ever say that this request has ended: do not wait. */
	if (st->count == 1 && c->entry && c->state == HTTP1_SEEK)
		c->cur = false;
	else if (!e->req_done)
		return;
	emit_front(st, ctx);
}

void http1_upgraded(struct http1_feed *f)
{
	struct http1 *st = f->st;
	struct http1_req *e = http1_resp_cur(st);

	e->flags |= SPAN_UPGRADED;
	e->req_done = true;
	http1_resp_end(st, f->ctx, f->in->ts_ns);
	/* What was taken for further requests was the other protocol already. */
	while (st->count)
		http1_queue_pop(st);
	st->overflow = 0;
	st->side[PROTO_CLIENT].cur = false;
	st->tunnel = true;
	http1_verdict_tunnel(f->ctx);
}

void http1_lost(struct http1 *st)
{
	u32 i;

	for (i = 0; i < st->count; i++)
		http1_queue_at(st, i)->flags |= SPAN_GAP;
	if (st->orphan_open)
		st->orphan.flags |= SPAN_GAP;
	if (st->pipelined && st->count)
		st->unsure = true;
}
