/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in the application statements and outside calls were issued. Input: the sampled sends with their
 * stacks (hp/ev_site.h), and every call with the row that it went to and its place in its connection's
 * stream; output, once rows and names are final: the places of each row.
 *
 * The place is the innermost function of the application's own (agg/places.c). When a stack has none, it
 * is the innermost one of a library; nothing is guessed.
 */
#ifndef AGG_SITES_H
#define AGG_SITES_H

#include "agg/agg.h"
#include "agg/stacks.h"
#include "base/map.h"

#define SITES_CONNS_MAX 65536
#define SITES_SENDS 8 /* sampled sends of a connection that are remembered: their calls end later */
#define SITES_USES_MAX (1U << 17)

enum site_of {
	SITE_OF_QUERY, /* row: agg_query.number */
	SITE_OF_EXTERNAL, /* agg_external.row */
	SITE_OF_KINDS,
};

struct site_send {
	u64 pos;
	u32 len; /* 0: of the call that begins at pos alone */
	u32 node; /* in stacks.sites */
	u32 weight; /* 0 = none */
};

struct site_conn {
	struct site_send sends[SITES_SENDS];
	u32 next;
};

struct site_use {
	u32 row;
	u32 node;
	u8 of; /* enum site_of */
	u64 weight; /* calls that the sampled ones stand for */
	u64 samples;
};

struct sites {
	struct strpool *texts;
	struct map by_conn; /* conn_id → index in conns */
	struct site_conn *conns;
	u32 nconns, conns_cap;
	u32 *free; /* indices of connections that ended */
	u32 nfree, free_cap;
	struct map by_use; /* hash of kind, row and node → index in uses */
	struct site_use *uses;
	u32 nuses, uses_cap;
	u64 refused; /* past a bound, or for lack of memory */
	/* made by sites_finish() */
	struct agg_site *out;
	u32 nout;
};

void sites_init(struct sites *s, struct strpool *texts);
void sites_release(struct sites *s);
/* A sampled send; node: of its stack. */
void sites_sent(struct sites *s, const struct ev_site *rec, u32 node);
void sites_conn_end(struct sites *s, u64 conn_id);
/* A call that counts in that row. */
void sites_call(struct sites *s, enum site_of of, u32 row, u64 conn_id, u64 pos);
/*
 * After stacks_finish(). row_now(arg, of, row): what the row has become; calls: how many are in it. False: it is no
 * more. deal(arg, of, row, sites, n): those of a row, the most first, each with its part of the calls.
 */
struct sites_rows {
	void *arg;
	bool (*row_now)(void *arg, enum site_of of, u32 row, u32 *ret_now, u64 *ret_calls);
	void (*deal)(void *arg, enum site_of of, u32 row, const struct agg_site *sites, u32 n);
};
int sites_finish(struct sites *s, const struct stacks *stacks, const struct sites_rows *rows);

#endif
