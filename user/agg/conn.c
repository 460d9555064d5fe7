/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open connections and database pools. Input: what the session stage says of connections, and the
 * calls on them. Output: who is behind a conn_id, pool figures, and what could not be read.
 *
 * A pool is all connections of one target to one (system, peer, database, user). A connection
 * joins when its login or first call is seen, so that none is counted under a name it does not
 * have.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "agg/conn.h"
#include "agg/text.h"

int conns_init(struct conns *cs, struct strpool *texts, u32 max)
{
	memset(cs, 0, sizeof(*cs));
	cs->texts = texts;
	cs->max = max;
	map_init(&cs->by_id, max);
	map_init(&cs->pool_of, POOLS_MAX);
	map_init(&cs->blind_of, BLIND_MAX);
	cs->blind = calloc(BLIND_MAX + 1, sizeof(*cs->blind));
	cs->pools[0] = calloc(1, sizeof(*cs->pools[0]));
	if (!cs->blind || !cs->pools[0]) {
		conns_release(cs);
		return -ENOMEM;
	}
	cs->pools[0]->pub.system = cs->pools[0]->pub.peer = cs->pools[0]->pub.database =
		cs->pools[0]->pub.user = strpool_get(texts, STRPOOL_OTHER).p;
	cs->blind[0].address = cs->blind[0].proto = cs->blind[0].reason =
		strpool_get(texts, STRPOOL_OTHER).p;
	cs->npools = 1;
	cs->nblind = 1;
	return 0;
}

void conns_release(struct conns *cs)
{
	u32 i;

	for (i = 0; i < MAX(cs->npools, 1U); i++) {
		if (!cs->pools[i])
			continue;
		free(cs->pools[i]->ends);
		free(cs->pools[i]->starts);
		hist_release(&cs->pools[i]->pub.connect);
		free(cs->pools[i]);
	}
	free(cs->all);
	free(cs->free);
	free(cs->blind);
	map_release(&cs->by_id);
	map_release(&cs->pool_of);
	map_release(&cs->blind_of);
	memset(cs, 0, sizeof(*cs));
}

struct conn *conns_find(const struct conns *cs, u64 conn_id)
{
	const u64 *i = map_find(&cs->by_id, conn_id);

	return i ? &cs->all[*i] : NULL;
}

static struct conn *conn_new(struct conns *cs, u64 conn_id)
{
	u32 i;

	if (cs->nfree) {
		i = cs->free[cs->nfree - 1];
	} else {
		if (cs->n == cs->max)
			return NULL;
		if (cs->n == cs->cap) {
			u32 cap = cs->cap ? cs->cap * 2 : 64;
			struct conn *all = realloc(cs->all, cap * sizeof(*all));
			u32 *list;

			if (!all)
				return NULL;
			cs->all = all;
			list = realloc(cs->free, cap * sizeof(*list));
			if (!list)
				return NULL;
			cs->free = list;
			cs->cap = cap;
		}
		i = cs->n;
	}
	if (map_put(&cs->by_id, conn_id, i))
		return NULL;
	if (cs->nfree)
		cs->nfree--;
	else
		cs->n++;
	memset(&cs->all[i], 0, sizeof(cs->all[i]));
	cs->all[i].used = true;
	cs->all[i].proto = cs->all[i].peer = cs->all[i].database = cs->all[i].user =
		strpool_get(cs->texts, 0).p;
	return &cs->all[i];
}

struct conn *conns_update(struct conns *cs, const struct conn_info *info, u64 window_start_ns)
{
	struct conn *c = conns_find(cs, info->conn_id);

	if (!c) {
		c = conn_new(cs, info->conn_id);
		if (!c)
			return NULL;
		c->open_ns = info->open_ns;
		c->target = info->target;
		c->opened =
			(info->origin == HP_ORIGIN_ACCEPT || info->origin == HP_ORIGIN_CONNECT) &&
			info->open_ns >= window_start_ns;
	}
	c->role = info->role;
	c->family = info->family;
	c->encrypted |= info->status == CONN_ENCRYPTED;
	/* Peers of served connections are as many as there are clients: not worth keeping. */
	if (info->role != HP_ROLE_SERVER)
		c->peer = text_add(cs->texts, info->peer);
	if (info->proto[0] && strcmp(c->proto, info->proto))
		c->proto = text_addz(cs->texts, info->proto);
	if (info->origin == HP_ORIGIN_CONNECT && !c->connect_ns &&
	    info->established_ns > info->open_ns && !c->pool && !c->tree)
		c->connect_ns = info->established_ns - info->open_ns;
	return c;
}

static struct pool *pool_get(struct conns *cs, const struct conn *c)
{
	const char *const key[] = { c->proto, c->peer, c->database, c->user };
	u64 h = hash_bytes(key, sizeof(key), c->target), *i = map_find(&cs->pool_of, h);
	struct pool *p;

	if (i)
		return cs->pools[*i];
	if (cs->npools > POOLS_MAX || map_put(&cs->pool_of, h, cs->npools))
		return cs->pools[0];
	p = calloc(1, sizeof(*p));
	if (!p) {
		map_del(&cs->pool_of, h);
		return cs->pools[0];
	}
	p->id = cs->npools;
	p->pub.target = c->target;
	p->pub.system = c->proto;
	p->pub.peer = c->peer;
	p->pub.database = c->database;
	p->pub.user = c->user;
	cs->pools[cs->npools++] = p;
	return p;
}

static void pool_join(struct conns *cs, struct conn *c)
{
	struct pool *p = pool_get(cs, c);

	if (p == cs->pools[0])
		cs->folded++;
	c->pool = p;
	p->pub.conns++;
	p->open++;
	if (c->opened) {
		p->pub.opened++;
		p->pub.open_max = MAX(p->pub.open_max, p->open);
	} else {
		p->pub.open_max++; /* was there at every time before */
	}
	if (c->connect_ns)
		hist_add(&p->pub.connect, (double)c->connect_ns);
	c->connect_ns = 0;
}

struct pool *conns_pool(struct conns *cs, struct conn *conn)
{
	if (!conn)
		return cs->pools[0];
	if (!conn->pool)
		pool_join(cs, conn);
	return conn->pool;
}

static void txn_idle_until(struct conn *c, u64 ts_ns)
{
	if (c->idle_since && ts_ns > c->idle_since && c->pool)
		c->pool->pub.idle_in_txn_max_ns =
			MAX(c->pool->pub.idle_in_txn_max_ns, ts_ns - c->idle_since);
}

static void txn_state(struct conn *c, u8 txn, u64 ts_ns)
{
	if (txn == 'T' || txn == 'E')
		c->idle_since = MAX(c->idle_since, ts_ns);
	else if (txn)
		c->idle_since = 0;
}

void conns_db_event(struct conns *cs, const struct db_event *e)
{
	struct conn *c = conns_find(cs, e->conn_id);

	if (!c)
		return;
	switch (e->what) {
	case DB_EVENT_LOGIN:
		c->database = text_add(cs->texts, e->database);
		c->user = text_add(cs->texts, e->user);
		if (c->proto[0])
			conns_pool(cs, c);
		break;
	case DB_EVENT_TXN:
		txn_state(c, e->txn, e->ts_ns);
		break;
	case DB_EVENT_TLS:
		c->encrypted = true;
		break;
	case DB_EVENT_CANCEL:
		c->cancel = true;
		break;
	}
}

/*
 * The most connections with a call under way at one time, from calls that come in order of their
 * end. The most is reached just before some call's end e, and equals the number of calls with
 * start < e that end no earlier. So each call adds one to all ends after its start: one count at
 * the first such end, summed up when that end leaves the ring. reached is that running sum.
 */
static void pool_leave(struct pool *p, u64 i)
{
	p->reached += p->starts[i % POOL_RING];
	p->pub.in_use_max = MAX(p->pub.in_use_max, (u32)(p->reached - i));
}

static void pool_busy(struct pool *p, u64 start, u64 end)
{
	u64 lo, hi = p->calls;

	p->busy_ns += (double)(end - start);
	if (!p->ends) {
		p->ends = calloc(POOL_RING, sizeof(*p->ends));
		p->starts = calloc(POOL_RING, sizeof(*p->starts));
		if (!p->ends || !p->starts) {
			free(p->ends);
			free(p->starts);
			p->ends = NULL;
			p->starts = NULL;
			return;
		}
	}
	if (p->calls >= POOL_RING)
		pool_leave(p, p->calls - POOL_RING);
	p->last_end = MAX(p->last_end, end);
	p->ends[p->calls % POOL_RING] = p->last_end;
	p->starts[p->calls % POOL_RING] = 0;
	lo = p->calls >= POOL_RING ? p->calls - POOL_RING + 1 : 0;
	while (lo < hi) {
		u64 mid = lo + (hi - lo) / 2;

		if (p->ends[mid % POOL_RING] > start)
			hi = mid;
		else
			lo = mid + 1;
	}
	p->starts[lo % POOL_RING]++;
	p->calls++;
}

void conns_db_call(struct conns *cs, struct conn *c, struct pool *p, const struct db_call *call)
{
	u64 start = call->start_ns, end = call->end_ns;

	if (!c || p == cs->pools[0])
		return;
	if (start)
		txn_idle_until(c, start);
	c->idle_since = 0;
	txn_state(c, call->txn, end);
	/* Calls of one pipeline keep one connection busy, once. */
	start = MAX(start, c->busy_until);
	if (!call->start_ns || !end || start >= end)
		return;
	c->busy_until = end;
	pool_busy(p, start, end);
}

static void blind_add(struct conns *cs, const struct conn_info *info)
{
	struct agg_blind key = {
		.target = info->target,
		.role = info->role,
		.status = info->status,
		.proto = text_addz(cs->texts, info->proto),
		.reason = text_addz(cs->texts, info->reason),
	};
	const char *texts[3];
	struct agg_blind *b;
	u64 h, *i;

	key.address = text_add(cs->texts, info->role == HP_ROLE_SERVER ? info->local : info->peer);
	texts[0] = key.address;
	texts[1] = key.proto;
	texts[2] = key.reason;
	h = hash_bytes(texts, sizeof(texts),
		       (u64)info->target << 16 | (u64)info->role << 8 | info->status);
	i = map_find(&cs->blind_of, h);
	if (i) {
		b = &cs->blind[*i];
	} else if (cs->nblind > BLIND_MAX || map_put(&cs->blind_of, h, cs->nblind)) {
		b = &cs->blind[0];
		b->status = info->status;
		cs->folded++;
	} else {
		b = &cs->blind[cs->nblind++];
		*b = key;
	}
	b->conns++;
	b->sent += info->bytes[HP_SEND];
	b->received += info->bytes[HP_RECV];
}

/* A cancel request names no database: it counts for the first pool of that server. */
static void cancel_count(struct conns *cs, const struct conn *c)
{
	u32 i;

	for (i = 1; i < cs->npools; i++) {
		struct agg_pool *p = &cs->pools[i]->pub;

		if (p->target == c->target && p->system == c->proto && p->peer == c->peer) {
			p->cancels++;
			return;
		}
	}
}

void conns_end(struct conns *cs, const struct conn_info *info, u64 end_ns)
{
	struct conn *c = conns_find(cs, info->conn_id);

	cs->seen++;
	switch (info->status) {
	case CONN_PARSED:
		cs->parsed++;
		break;
	case CONN_UNPARSED:
		cs->unparsed++;
		break;
	case CONN_ENCRYPTED:
		cs->encrypted++;
		break;
	default:
		cs->undecided++;
	}
	if (info->status == CONN_UNPARSED || info->status == CONN_ENCRYPTED)
		blind_add(cs, info);
	if (!c)
		return;
	if (c->cancel && !c->pool)
		cancel_count(cs, c);
	/* A database connection that never logged in or called still is one of its pool. */
	else if (!c->pool && c->proto[0] && strcmp(c->proto, "http") && c->role == HP_ROLE_CLIENT)
		conns_pool(cs, c);
	if (c->pool) {
		struct agg_pool *p = &c->pool->pub;

		txn_idle_until(c, info->close_ns ? info->close_ns : end_ns);
		p->encrypted += c->encrypted;
		if (info->close_ns) {
			p->closed++;
			c->pool->open--;
		}
	}
	c->used = false;
	cs->free[cs->nfree++] = (u32)(c - cs->all);
	map_del(&cs->by_id, info->conn_id);
}

void conns_finish(struct conns *cs, u64 window_ns)
{
	u32 i;

	for (i = 0; i < cs->npools; i++) {
		struct pool *p = cs->pools[i];
		u64 at = p->calls > POOL_RING ? p->calls - POOL_RING : 0;

		for (; p->ends && at < p->calls; at++)
			pool_leave(p, at);
		/* Calls that came out of the order of their ends seem to overlap. */
		p->pub.in_use_max = MIN(p->pub.in_use_max, p->pub.open_max);
		if (window_ns)
			p->pub.in_use_mean = p->busy_ns / (double)window_ns;
	}
}
