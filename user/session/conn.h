/* SPDX-License-Identifier: Apache-2.0 */
/* The session stage's own state and one connection of it; private to user/session. */
#ifndef SESSION_CONN_H
#define SESSION_CONN_H

#include <string.h>

#include "base/map.h"
#include "proto/proto.h"
#include "session/session.h"

#define CONN_NAME_MAX 128
#define CONN_PREFIX_MAX 64 /* bytes kept while the protocol is undecided */
#define CONN_TRIES_MAX 8 /* turns looked at before a connection is given up */
#define CONN_UNWANTED 0xff /* overwrites bytes of no known protocol; begins none */
#define CONN_SWITCHED_OFF 0xfe /* … of one that is not to be measured */

struct session {
	struct session_opts opts;
	struct session_sink sink;
	struct proto_sink proto_sink;
	struct map conns; /* conn_id → struct conn * */
	size_t held; /* sum of the connections' */
	struct conn *current; /* whose bytes are being parsed */
};

struct conn {
	struct proto_ctx ctx;
	struct conn_info info;
	const struct proto *proto; /* NULL until recognised */
	void *state; /* of the parser */
	size_t held; /* what the parser had allocated when last asked */
	u64 expected[2]; /* next stream position per enum hp_dir */
	u64 last_ns; /* exit of the newest transfer, either direction */
	u8 prefix[2][CONN_PREFIX_MAX];
	u8 prefix_len[2];
	struct proto_in prefix_in[2]; /* times and position of prefix[][0] */
	struct proto_in passed
		[2]; /* the hole of what went by before the protocol was known, by enum hp_dir */
	u64 transfer_end; /* of the transfer at hand: position behind its last byte */
	u8 tries; /* turns in which nobody knew the beginning */
	u8 tried_dir; /* enum hp_dir + 1 of the last of them */
	bool opaque; /* bytes moved that nobody can read, before the protocol was known */
	bool adopted; /* its CONN_OPEN has not come */
	bool finished;
	char peer[CONN_NAME_MAX];
	char local[CONN_NAME_MAX];
	char path[HP_PATH_MAX + 1];
};

/* Fills names, role and origin from the record. */
void conn_init(struct conn *c, const struct ev_conn_open *ev);
/* The CONN_OPEN of an adopted connection comes late: names, and the role if none was inferred. */
void conn_learn(struct conn *c, const struct ev_conn_open *ev);
void conn_free(struct conn *c); /* NULL is fine */

static inline enum proto_side role_side(u8 role, u32 dir)
{
	return (dir == HP_RECV) == (role == HP_ROLE_SERVER) ? PROTO_CLIENT : PROTO_SERVER;
}

static inline enum proto_side conn_side(const struct conn *c, u32 dir)
{
	return role_side(c->ctx.role, dir);
}

/*
 * Bytes or a hole of a connection whose protocol is not known. True: it is known now, and the run
 * is the parser's (what was kept before it has been fed).
 */
bool conn_recognise(struct session *s, struct conn *c, struct proto_in *in, u32 dir);

/* No parser follows it, or none does from here on: its bytes are only counted. */
void conn_ignore(struct session *s, struct conn *c, enum conn_status status, const char *reason);

static inline void session_tell(struct session *s, struct conn *c)
{
	s->sink.conn(s->sink.arg, &c->info);
}

static inline void session_overwrite(struct session *s, u8 *p, size_t n)
{
	if (!s->opts.show_literals)
		memset(p, CONN_UNWANTED, n);
}

#endif
