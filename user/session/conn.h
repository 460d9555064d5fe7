/* SPDX-License-Identifier: Apache-2.0 */
/* A connection as the session stage keeps it; private to user/session. */
#ifndef SESSION_CONN_H
#define SESSION_CONN_H

#include "proto/proto.h"
#include "session/session.h"

#define CONN_NAME_MAX 128
#define CONN_PREFIX_MAX 64 /* bytes kept while the protocol is undecided */
#define CONN_TRIES_MAX 8 /* transfers looked at before a connection is given up */

struct conn {
	struct proto_ctx ctx;
	struct conn_info info;
	const struct proto *proto; /* NULL until recognised */
	void *state; /* of the parser */
	u64 expected[2]; /* next stream position per enum hp_dir */
	u8 prefix[2][CONN_PREFIX_MAX];
	u8 prefix_len[2];
	u8 tries;
	bool finished;
	char peer[CONN_NAME_MAX];
	char local[CONN_NAME_MAX];
	char path[HP_PATH_MAX + 1];
};

/* Fills names, role and origin from the record. */
void conn_init(struct conn *c, const struct ev_conn_open *ev);
void conn_free(struct conn *c); /* NULL is fine */

static inline enum proto_side conn_side(const struct conn *c, u32 dir)
{
	bool serves = c->ctx.role == HP_ROLE_SERVER;

	return (dir == HP_RECV) == serves ? PROTO_CLIENT : PROTO_SERVER;
}

#endif
