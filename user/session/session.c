/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See session.h. A DATA record becomes runs and holes in stream order; a position past the expected
 * one means that records between were lost. Runs go to the connection's parser, or to recognise.c
 * while it has none.
 *
 * When the record that opens a connection was lost, its first transfer opens it here ("adopted"); who
 * connected is then what the bytes say: a request that was received makes the target the server.
 */
#include "session/session.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "decode/record.h"
#include "session/conn.h"

#define CONNS_MAX_DEFAULT 65536
#define MEMORY_MAX_DEFAULT (128u << 20)

static void on_http(void *arg, const struct http_exchange *x)
{
	struct session *s = arg;

	s->sink.http(s->sink.arg, x);
}

static void on_db(void *arg, const struct db_call *c)
{
	struct session *s = arg;

	s->sink.db(s->sink.arg, c);
}

static void on_db_event(void *arg, const struct db_event *e)
{
	struct session *s = arg;
	struct conn *c = s->current;

	s->sink.db_event(s->sink.arg, e);
	if (!c || (e->what != DB_EVENT_TLS && e->what != DB_EVENT_PROTOCOL_ERROR))
		return;
	c->info.status = e->what == DB_EVENT_TLS ? CONN_ENCRYPTED : CONN_UNPARSED;
	c->info.reason = e->what == DB_EVENT_TLS ? "tls" : "protocol error";
	session_tell(s, c);
}

static void on_verdict(void *arg, const struct hp_verdict *v)
{
	struct session *s = arg;

	if (s->current)
		s->sink.verdict(s->sink.arg, s->current->ctx.conn_id, v);
}

static void on_drop(void *arg, enum hp_drop why)
{
	struct session *s = arg;

	s->sink.drop(s->sink.arg, why, 1);
}

int session_new(struct session **ret, const struct session_opts *opts,
		const struct session_sink *sink)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->opts = *opts;
	s->sink = *sink;
	s->proto_sink = (struct proto_sink){
		.arg = s,
		.http = on_http,
		.db = on_db,
		.db_event = on_db_event,
		.verdict = on_verdict,
		.drop = on_drop,
	};
	if (!s->opts.memory_max)
		s->opts.memory_max = MEMORY_MAX_DEFAULT;
	map_init(&s->conns, opts->conns_max ? opts->conns_max : CONNS_MAX_DEFAULT);
	*ret = s;
	return 0;
}

void session_free(struct session *s)
{
	struct map_slot *slot;
	size_t i = 0;

	if (!s)
		return;
	while ((slot = map_each(&s->conns, &i)))
		conn_free((struct conn *)(uintptr_t)slot->val);
	map_release(&s->conns);
	free(s);
}

static struct conn *conn_find(struct session *s, u64 conn_id)
{
	u64 *val = map_find(&s->conns, conn_id);

	return val ? (struct conn *)(uintptr_t)*val : NULL;
}

static struct conn *conn_add(struct session *s, const struct ev_conn_open *ev)
{
	struct conn *c = malloc(sizeof(*c));
	int err;

	if (!c) {
		s->sink.drop(s->sink.arg, DROP_MEMORY, 1);
		return NULL;
	}
	conn_init(c, ev);
	c->ctx.sink = &s->proto_sink;
	c->ctx.show_literals = s->opts.show_literals;
	err = map_put(&s->conns, ev->conn_id, (uintptr_t)c);
	if (err) {
		s->sink.drop(s->sink.arg, err == -ENOSPC ? DROP_CONN_TABLE_FULL : DROP_MEMORY, 1);
		conn_free(c);
		return NULL;
	}
	session_tell(s, c);
	return c;
}

/* The connection of a transfer whose CONN_OPEN was lost: only what the transfer tells is known. */
static struct conn *conn_adopt(struct session *s, const struct ev_hdr *hdr, u64 conn_id)
{
	struct ev_conn_open ev = { .hdr = *hdr, .conn_id = conn_id, .origin = HP_ORIGIN_LAZY };
	struct conn *c = conn_add(s, &ev);

	if (c)
		c->adopted = true;
	return c;
}

static void on_open(struct session *s, const struct ev_conn_open *ev)
{
	struct conn *c = conn_find(s, ev->conn_id);

	if (ev->listening)
		return;
	if (!c) {
		conn_add(s, ev);
	} else if (c->adopted) {
		conn_learn(c, ev);
		session_tell(s, c);
	}
}

static void set_held(struct session *s, struct conn *c, size_t held)
{
	s->held += held - c->held;
	c->held = held;
}

/*
 * Each parser keeps to its caps, but a few bytes a queue entry on many connections add up to
 * gigabytes. Past the limit the connection that grew is given up, with what it had under way, rather
 * than a quiet one. A replay sees the same sizes in the same order and gives up the same one.
 */
static void limit_memory(struct session *s, struct conn *c)
{
	size_t held = c->proto->held(c->state);
	bool grew = held > c->held;

	set_held(s, c, held);
	if (!grew || s->held <= s->opts.memory_max)
		return;
	s->sink.drop(s->sink.arg, DROP_MEMORY, 1);
	c->proto->release(c->state);
	free(c->state);
	c->state = NULL;
	c->proto = NULL;
	set_held(s, c, 0);
	conn_ignore(s, c, CONN_UNPARSED, "out of memory");
}

static void give(struct session *s, struct conn *c, struct proto_in *in, u32 dir)
{
	if (!in->len)
		return;
	if (!c->proto && !conn_recognise(s, c, in, dir))
		return;
	c->proto->feed(c->state, &c->ctx, in);
	limit_memory(s, c);
}

static void give_hole(struct session *s, struct conn *c, struct proto_in *in, u32 dir, u64 len,
		      u32 frames, bool lost)
{
	in->data = NULL;
	in->len = len;
	in->frames = frames;
	in->lost = lost;
	give(s, c, in, dir);
	in->pos += len;
	in->frames = 0;
	in->lost = false;
}

/*
 * Lines the transfer up with the stream. False: it is older than what was seen already (two threads
 * on one socket) and cannot be used.
 */
static bool line_up(struct session *s, struct conn *c, u32 dir, u64 pos, u64 len,
		    struct proto_in *in)
{
	if (pos < c->expected[dir]) {
		s->sink.drop(s->sink.arg, DROP_BAD_RECORD, 1);
		return false;
	}
	if (pos > c->expected[dir]) {
		struct proto_in hole = *in;

		hole.pos = c->expected[dir];
		hole.start = true;
		hole.end = true;
		give_hole(s, c, &hole, dir, pos - c->expected[dir], 0, true);
	}
	c->expected[dir] = pos + len;
	c->transfer_end = pos + len;
	c->info.bytes[dir] = pos + len;
	return true;
}

/*
 * When the last byte of a send was handed over. The exit of the call may be much later: on loopback
 * the receiver is woken inside it and often takes the processor (seen 0.66 ms on two busy cores). TCP
 * itself notes when it passed a segment on; that note is of this call if it is newer than the
 * connection's transfer before. Without it, a call that cannot sleep has done its work within copying
 * time of its entry; one that can may have waited for buffer space.
 */
static u64 sent_ns(const struct conn *c, u8 flags, u64 enter_ns, u64 wire_ns, u64 exit_ns, u64 len)
{
	u64 floor_ns = enter_ns ? enter_ns : c ? c->last_ns : exit_ns;

	if (wire_ns > floor_ns && wire_ns <= exit_ns)
		return wire_ns;
	if (enter_ns && flags & HP_DATA_NONBLOCK)
		return MIN(exit_ns, enter_ns + 40 * NSEC_PER_USEC + len);
	return exit_ns;
}

/* Times of one transfer, or of the last one of a CONT run. */
static void set_times(struct conn *c, struct proto_in *in, u8 dir, u8 flags, u64 enter_ns,
		      u64 wire_ns, u64 exit_ns, u64 len)
{
	in->ts_ns = exit_ns;
	if (c && !c->proto && flags & HP_DATA_OPAQUE)
		c->opaque = true;
	if (dir == HP_RECV) {
		in->read_ns = exit_ns;
		if (!c || c->ctx.role != HP_ROLE_CLIENT)
			in->arrival_ns = wire_ns;
		else if (wire_ns && wire_ns < exit_ns)
			in->ts_ns = wire_ns;
	} else {
		in->ts_ns = sent_ns(c, flags, enter_ns, wire_ns, exit_ns, len);
		in->enter_ns = enter_ns ? enter_ns : in->ts_ns;
	}
	if (c && exit_ns > c->last_ns)
		c->last_ns = exit_ns;
}

/* The bytes between a run's end and the next multiple of 8 are whatever the kernel side had there. */
static void clear_padding(u8 *bytes, u32 len)
{
	memset(bytes + len, 0, (8 - len % 8) % 8);
}

static void on_data(struct session *s, struct ev_data *ev)
{
	struct conn *c = conn_find(s, ev->conn_id);
	struct proto_in in = {
		.pos = ev->pos,
		.start = true,
		.tgid = ev->hdr.tgid,
		.tid = ev->hdr.tid,
		.token = ev->token,
	};
	size_t at = 0;
	u64 off = 0;
	u8 *bytes;
	u32 i;

	if (!c)
		c = conn_adopt(s, &ev->hdr, ev->conn_id);
	if (c)
		in.side = conn_side(c, ev->dir);
	set_times(c, &in, ev->dir, ev->flags, ev->enter_ns, ev->wire_ns, ev->hdr.ts_ns, ev->len);
	s->current = c;
	if (!c || !line_up(s, c, ev->dir, ev->pos, ev->len, &in)) {
		for (i = 0; i < ev->nsegs; i++) {
			struct ev_seg *seg = record_seg(ev, &at, &bytes);

			session_overwrite(s, bytes, seg->len);
			clear_padding(bytes, seg->len);
		}
		s->current = NULL;
		return;
	}
	for (i = 0; i < ev->nsegs; i++) {
		struct ev_seg *seg = record_seg(ev, &at, &bytes);

		if (seg->off > off || seg->frames_before) {
			give_hole(s, c, &in, ev->dir, seg->off - off, seg->frames_before, false);
			in.start = false;
		}
		off = (u64)seg->off + seg->len;
		clear_padding(bytes, seg->len);
		in.data = bytes;
		in.len = seg->len;
		in.end = off == ev->len;
		give(s, c, &in, ev->dir);
		in.pos += seg->len;
		in.start = false;
	}
	if (off < ev->len || ev->frames_after) {
		in.end = true;
		give_hole(s, c, &in, ev->dir, ev->len - off, ev->frames_after, false);
	}
	s->current = NULL;
}

static void on_cont(struct session *s, struct ev_cont *ev)
{
	struct conn *c = conn_find(s, ev->conn_id);
	struct proto_in in = {
		.pos = ev->pos,
		.start = true,
		.tgid = ev->hdr.tgid,
		.tid = ev->hdr.tid,
	};

	if (!c)
		c = conn_adopt(s, &ev->hdr, ev->conn_id);
	if (c)
		in.side = conn_side(c, ev->dir);
	set_times(c, &in, ev->dir, ev->flags, ev->enter_ns, ev->wire_ns, ev->hdr.ts_ns,
		  ev->last_len);
	s->current = c;
	/* What lies behind the tail in the fixed array is old kernel scratch. */
	memset(ev->tail + ev->tail_len, 0, sizeof(ev->tail) - ev->tail_len);
	if (!c || !line_up(s, c, ev->dir, ev->pos, ev->len, &in)) {
		session_overwrite(s, ev->tail, ev->tail_len);
		s->current = NULL;
		return;
	}
	in.end = !ev->tail_len;
	give_hole(s, c, &in, ev->dir, ev->len - ev->tail_len, ev->frames, false);
	in.start = ev->len == ev->tail_len;
	in.end = true;
	in.data = ev->tail;
	in.len = ev->tail_len;
	give(s, c, &in, ev->dir);
	s->current = NULL;
}

static void conn_end(struct session *s, struct conn *c, u64 ts_ns, bool closed)
{
	s->current = c;
	if (c->proto)
		c->proto->finish(c->state, &c->ctx, ts_ns, closed);
	s->current = NULL;
	if (c->info.status == CONN_UNDECIDED && c->opaque)
		conn_ignore(
			s, c, CONN_UNPARSED,
			"its bytes move inside the kernel (splice, sendfile, registered buffers)");
	if (closed)
		c->info.close_ns = ts_ns;
	c->info.ended = true;
	session_tell(s, c);
}

static void on_close(struct session *s, const struct ev_conn_close *ev)
{
	struct conn *c = conn_find(s, ev->conn_id);
	u32 dir;

	if (!c)
		return;
	for (dir = HP_RECV; dir <= HP_SEND; dir++) {
		struct proto_in in = { .side = conn_side(c, dir), .ts_ns = ev->hdr.ts_ns };

		/* Counted connections carry nothing: there the difference is no loss. */
		if (c->proto && c->info.status == CONN_PARSED &&
		    ev->bytes[dir] > c->expected[dir]) {
			s->current = c;
			line_up(s, c, dir, ev->bytes[dir], 0, &in);
		}
		c->info.bytes[dir] = MAX(c->info.bytes[dir], ev->bytes[dir]);
	}
	conn_end(s, c, ev->hdr.ts_ns, true);
	map_del(&s->conns, ev->conn_id);
	set_held(s, c, 0);
	conn_free(c);
}

/* Still open at the end. What a parser follows it has counted itself. */
static void on_bytes(struct session *s, const struct ev_conn_close *ev)
{
	struct conn *c = conn_find(s, ev->conn_id);
	u32 dir;

	for (dir = HP_RECV; c && dir <= HP_SEND; dir++)
		if (c->info.status != CONN_PARSED)
			c->info.bytes[dir] = MAX(c->info.bytes[dir], ev->bytes[dir]);
}

static void on_state(struct session *s, const struct ev_conn_state *ev)
{
	struct conn *c = conn_find(s, ev->conn_id);
	enum proto_side side;

	if (!c)
		return;
	switch (ev->what) {
	case HP_CONN_ESTABLISHED:
		c->info.established_ns = ev->hdr.ts_ns;
		if (ev->local_port)
			c->ctx.local_port = ev->local_port;
		session_tell(s, c);
		return;
	case HP_CONN_FAILED:
		c->info.err = ev->err ? ev->err : ECONNREFUSED;
		session_tell(s, c);
		return;
	case HP_CONN_UNREAD:
		c->info.unread_ns = ev->hdr.ts_ns;
		return;
	case HP_CONN_ERROR:
		c->info.err = ev->err;
		/* fallthrough */
	case HP_CONN_EOF:
		side = conn_side(c, HP_RECV);
		break;
	case HP_CONN_SHUT_WR:
		side = conn_side(c, HP_SEND);
		break;
	default:
		return;
	}
	if (!c->proto)
		return;
	s->current = c;
	c->proto->eof(c->state, &c->ctx, side, ev->hdr.ts_ns, ev->err);
	s->current = NULL;
}

void session_record(struct session *s, struct ev_hdr *rec)
{
	switch (rec->kind) {
	case EV_CONN_OPEN:
		on_open(s, (const struct ev_conn_open *)rec);
		break;
	case EV_CONN_STATE:
		on_state(s, (const struct ev_conn_state *)rec);
		break;
	case EV_CONN_CLOSE:
		on_close(s, (const struct ev_conn_close *)rec);
		break;
	case EV_CONN_BYTES:
		on_bytes(s, (const struct ev_conn_close *)rec);
		break;
	case EV_DATA:
		on_data(s, (struct ev_data *)rec);
		break;
	case EV_CONT:
		on_cont(s, (struct ev_cont *)rec);
		break;
	}
}

static int by_conn_id(const void *a, const void *b)
{
	const struct conn *x = *(struct conn *const *)a, *y = *(struct conn *const *)b;

	return x->ctx.conn_id < y->ctx.conn_id ? -1 : x->ctx.conn_id > y->ctx.conn_id;
}

/* In the order of their ids, so that the report does not depend on the hash table. */
void session_finish(struct session *s, u64 ts_ns)
{
	struct conn **all = calloc(s->conns.n ? s->conns.n : 1, sizeof(*all));
	struct map_slot *slot;
	size_t i = 0, n = 0;

	if (!all) {
		s->sink.drop(s->sink.arg, DROP_MEMORY, s->conns.n);
		return;
	}
	while ((slot = map_each(&s->conns, &i)))
		all[n++] = (struct conn *)(uintptr_t)slot->val;
	qsort(all, n, sizeof(*all), by_conn_id);
	for (i = 0; i < n; i++) {
		if (!all[i]->finished)
			conn_end(s, all[i], ts_ns, false);
		all[i]->finished = true;
	}
	free(all);
}
