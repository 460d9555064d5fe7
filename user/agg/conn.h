/* SPDX-License-Identifier: Apache-2.0 */
/* What is kept of a connection while it is open, and the database pools that connections form. */
#ifndef AGG_CONN_H
#define AGG_CONN_H

#include "agg/agg.h"
#include "agg/httprow.h"
#include "base/map.h"

#define POOLS_MAX 256
#define POOL_RING 2048 /* calls that may end while one call is under way and still be counted */
#define BLIND_MAX 128

struct pool {
	struct agg_pool pub;
	u32 id; /* index in conns.pools */
	u32 open;
	double busy_ns; /* time with a call under way, added over connections */
	/* in_use_max: see pool_busy() */
	u64 *ends;
	u32 *starts;
	u64 calls;
	u64 reached;
	u64 last_end;
};

struct conn {
	u64 open_ns;
	u64 connect_ns; /* connect() to established, until an exchange or pool took it; 0 = none */
	u64 busy_until;
	u64 idle_since; /* in a transaction with no call under way; 0 = not */
	const char *proto; /* interned from here on */
	const char *peer;
	const char *database;
	const char *user;
	struct pool *pool;
	struct http_tree *tree; /* of the peer, when it is called over HTTP */
	u16 target;
	u8 role;
	u8 family;
	bool opened; /* inside the window */
	bool encrypted;
	bool cancel;
	bool stuck; /* with a request that was read, and not answered */
	bool used; /* in the table, not on the free list */
};

struct conns {
	struct strpool *texts;
	struct map by_id;
	struct conn *all;
	u32 n;
	u32 cap;
	u32 max;
	u32 *free;
	u32 nfree;
	struct map pool_of; /* hash of the pool's key -> index in pools */
	struct pool *pools[POOLS_MAX +
			   1]; /* pools[0]: "(other)", also for calls of no known connection */
	u32 npools;
	struct map blind_of;
	struct agg_blind *blind; /* blind[0]: "(other)" */
	u32 nblind;
	u64 seen, parsed, unparsed, encrypted, undecided;
	u64 folded;
};

int conns_init(struct conns *cs, struct strpool *texts, u32 max);
void conns_release(struct conns *cs);
struct conn *conns_find(const struct conns *cs, u64 conn_id); /* valid until the next update */
/* Makes or updates the connection; NULL when the table is full. */
struct conn *conns_update(struct conns *cs, const struct conn_info *info, u64 window_start_ns);
/* After the last word about it: counts what it was and forgets it. */
void conns_end(struct conns *cs, const struct conn_info *info, u64 end_ns);
/* The pool that a call or event of the connection belongs to. conn may be NULL. */
struct pool *conns_pool(struct conns *cs, struct conn *conn);
void conns_db_event(struct conns *cs, const struct db_event *e);
/* A call ended: the connection was busy, and is or is not inside a transaction now. */
void conns_db_call(struct conns *cs, struct conn *conn, struct pool *pool, const struct db_call *c);
/* Closes the figures of the pools. */
void conns_finish(struct conns *cs, u64 window_ns);

#endif
