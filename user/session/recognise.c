/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which protocol a connection speaks. Its first bytes are offered to each parser's detect(), and
 * leave here overwritten, except a short prefix that a parser called harmless (PROTO_MORE) and the
 * record header of TLS.
 *
 * A replay sees what was left and has to decide the same way. So bytes that nobody wanted become
 * CONN_UNWANTED, those that only a parser wanted that is switched off CONN_SWITCHED_OFF, and a run that
 * begins with either is what it says without asking anybody: what a parser thinks of the overwritten
 * bytes does not matter. TLS is looked for first, by bytes that stay.
 */
#include "session/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define TLS_HEADER_BYTES 5

static bool proto_wanted(const struct session *s, const struct proto *p)
{
	return p == &proto_http1 ? !s->opts.no_http : !s->opts.no_db;
}

static bool some_off(const struct session *s)
{
	return s->opts.no_http || s->opts.no_db;
}

void conn_ignore(struct session *s, struct conn *c, enum conn_status status, const char *reason)
{
	static const struct hp_verdict count = { .capture = HP_CAPTURE_COUNT };

	c->info.status = status;
	c->info.reason = reason;
	s->sink.verdict(s->sink.arg, c->ctx.conn_id, &count);
	session_tell(s, c);
}

static bool looks_like_tls(const u8 *p, size_t n)
{
	/* RFC 8446 5.1: content type, legacy version 3.1 to 3.4. */
	return n >= 3 && p[0] >= 0x14 && p[0] <= 0x17 && p[1] == 0x03 && p[2] <= 0x04;
}

static int conn_start(struct session *s, struct conn *c, const struct proto *p)
{
	c->state = calloc(1, p->state_size);
	if (!c->state) {
		s->sink.drop(s->sink.arg, DROP_MEMORY, 1);
		return -ENOMEM;
	}
	c->proto = p;
	if (p->init(c->state, &c->ctx)) {
		c->proto = NULL;
		free(c->state);
		c->state = NULL;
		s->sink.drop(s->sink.arg, DROP_MEMORY, 1);
		return -ENOMEM;
	}
	c->info.status = CONN_PARSED;
	c->info.proto = p->name;
	session_tell(s, c);
	return 0;
}

/* What the parsers say to the first bytes of one direction. */
struct guess {
	const struct proto *found; /* PROTO_YES */
	enum proto_match best;
	u8 role; /* in which it was found */
	u8 mask; /* what overwrites the bytes when nobody gets them */
};

static struct guess guess_proto(const struct session *s, const struct conn *c, u32 dir,
				const u8 *text, size_t n, size_t total)
{
	struct guess g = { .best = PROTO_NO, .mask = text[c->prefix_len[dir]] };
	enum proto_match match;
	size_t i;
	u8 role;

	if (g.mask == CONN_UNWANTED || (g.mask == CONN_SWITCHED_OFF && some_off(s)))
		return g;
	g.mask = CONN_UNWANTED;
	for (i = 0; protos[i]; i++) {
		for (role = HP_ROLE_SERVER; role <= HP_ROLE_CLIENT; role++) {
			if (!(protos[i]->roles >> role & 1) ||
			    (c->ctx.role != HP_ROLE_UNKNOWN && c->ctx.role != role))
				continue;
			match = protos[i]->detect(&c->ctx, role_side(role, dir), text, n, total);
			g.best = MAX(g.best, match);
			if (match != PROTO_YES)
				continue;
			if (!proto_wanted(s, protos[i])) {
				g.mask = CONN_SWITCHED_OFF;
				g.best = PROTO_NO;
				return g;
			}
			g.found = protos[i];
			g.role = role;
			return g;
		}
	}
	return g;
}

static void feed_prefix(struct conn *c, u32 dir)
{
	struct proto_in early = c->prefix_in[dir];

	if (!c->prefix_len[dir])
		return;
	early.side = conn_side(c, dir);
	early.data = c->prefix[dir];
	early.len = c->prefix_len[dir];
	c->proto->feed(c->state, &c->ctx, &early);
	c->prefix_len[dir] = 0;
}

/* In the middle of a stream an answer may have been under way: its parser hears that bytes went by. */
static void pass_over(struct conn *c, const struct proto_in *in, u32 dir)
{
	struct proto_in *p = &c->passed[dir];
	u64 len = p->len;

	if (!c->ctx.mid_stream || in->lost || c->info.status != CONN_UNDECIDED)
		return;
	if (!len)
		*p = *in;
	p->data = NULL;
	p->len = len + in->len;
	p->ts_ns = in->ts_ns;
	p->frames = 0;
	p->lost = false;
	p->start = true;
	p->end = true;
}

static void feed_passed(struct conn *c, u32 dir)
{
	struct proto_in *p = &c->passed[dir];

	if (!p->len)
		return;
	p->side = conn_side(c, dir);
	c->proto->feed(c->state, &c->ctx, p);
	p->len = 0;
}

/* The parser is found: what went by and what was kept for it goes first, as it came. */
static int begin_parsing(struct session *s, struct conn *c, struct proto_in *in,
			 const struct guess *g, u32 dir)
{
	c->ctx.role = c->info.role = g->role;
	if (conn_start(s, c, g->found))
		return -ENOMEM;
	feed_passed(c, !dir);
	feed_passed(c, dir);
	feed_prefix(c, !dir);
	feed_prefix(c, dir);
	in->side = conn_side(c, dir);
	return 0;
}

/* No parser wants these bytes, or none is sure in time. */
static void reject(struct session *s, struct conn *c, struct proto_in *in, u32 dir,
		   const struct guess *g)
{
	if (!s->opts.show_literals)
		memset(in->data, g->mask, in->len);
	c->prefix_len[dir] = 0;
	/* A long body is one try, however many transfers it takes. */
	if (c->tried_dir != dir + 1)
		c->tries++;
	c->tried_dir = dir + 1;
	if (g->mask == CONN_SWITCHED_OFF)
		conn_ignore(s, c, CONN_UNPARSED, "not measured");
	else if (!c->ctx.mid_stream || c->tries >= CONN_TRIES_MAX)
		conn_ignore(s, c, CONN_UNPARSED, "unknown protocol");
	/* Else the first transfers may be the middle of a message: wait for a beginning. */
}

static void reject_tls(struct session *s, struct conn *c, struct proto_in *in, size_t had)
{
	size_t keep = MIN(in->len, TLS_HEADER_BYTES - MIN(had, TLS_HEADER_BYTES));

	session_overwrite(s, in->data + keep, in->len - keep);
	conn_ignore(s, c, CONN_ENCRYPTED, "tls");
}

bool conn_recognise(struct session *s, struct conn *c, struct proto_in *in, u32 dir)
{
	u8 text[4096];
	size_t had = c->prefix_len[dir], n;
	struct guess g;

	if (!in->data) {
		/* What was kept does not go on here; after a loss nor does the beginning. */
		c->prefix_len[dir] = 0;
		c->ctx.mid_stream |= in->lost;
		pass_over(c, in, dir);
		return false;
	}
	/* The middle of a transfer tells nothing. */
	if (c->info.status != CONN_UNDECIDED || (!had && !in->start)) {
		session_overwrite(s, in->data, in->len);
		pass_over(c, in, dir);
		return false;
	}
	memcpy(text, c->prefix[dir], had);
	n = MIN(sizeof(text) - had, in->len);
	memcpy(text + had, in->data, n);
	n += had;
	if (looks_like_tls(text, n)) {
		reject_tls(s, c, in, had);
		return false;
	}
	g = guess_proto(s, c, dir, text, n, had + (c->transfer_end - in->pos));
	if (g.found) {
		if (!begin_parsing(s, c, in, &g, dir))
			return true;
		session_overwrite(s, in->data, in->len);
		return false;
	}
	/* In the middle of a stream parsers take no half message for a beginning, so none is kept. */
	if (g.best == PROTO_MORE && !c->ctx.mid_stream && had + in->len <= CONN_PREFIX_MAX) {
		if (!had)
			c->prefix_in[dir] = *in;
		memcpy(c->prefix[dir] + had, in->data, in->len);
		c->prefix_len[dir] = had + in->len;
		c->prefix_in[dir].end = in->end;
		return false;
	}
	reject(s, c, in, dir, &g);
	pass_over(c, in, dir);
	return false;
}
