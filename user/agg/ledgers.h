/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the requests of each endpoint spent their time on. Input: splits of requests, as rows of endpoints;
 * output, once these rows are final: the ledger of each endpoint, on average and at its percentiles, and who
 * held up whom.
 *
 * Requests past LEDGERS_MAX are thinned evenly: then one of two, of four, ... in the order they came.
 */
#ifndef AGG_LEDGERS_H
#define AGG_LEDGERS_H

#include "agg/agg.h"
#include "agg/bound.h"
#include "base/map.h"
#include "ledger/ledger.h"

#define LEDGERS_MAX (1U << 15) /* requests; 3 MiB with eight phases each */
#define LEDGERS_BLAMES_MAX (1U << 16) /* pairs of rows */

/* A request; what it spent is entries [first, first + n). */
struct ledgers_request {
	u64 latency_ns;
	u32 row; /* of endpoints; after ledgers_finish() the endpoint's index */
	u32 number;
	u32 first;
	u32 n;
};

struct ledgers_blame {
	u32 victim, holder; /* rows; holder 0 = background */
	u64 ns;
	u64 count;
};

struct ledgers {
	struct ledgers_request *requests;
	u64 *entries; /* phase in the upper bits, see entry() */
	u32 nrequests, requests_cap;
	u32 nentries, entries_cap;
	u64 seen;
	u32 stride; /* one of so many is kept */
	struct ledgers_blame *blames;
	u32 nblames, blames_cap;
	struct map by_pair; /* victim and holder → index in blames */
	u64 refused;
	/* made by ledgers_finish() */
	struct agg_ledger *out;
	struct agg_blame *out_blames;
	u32 nout_blames;
};

void ledgers_init(struct ledgers *l);
void ledgers_release(struct ledgers *l);
void ledgers_add(struct ledgers *l, const struct ledger_split *s);
/* After bound_finish(). 0 or -ENOMEM. */
int ledgers_finish(struct ledgers *l, const struct bound *b, struct agg_endpoint *endpoints,
		   u32 nendpoints);
/* What the request of that number spent; false: not known. After ledgers_finish(). */
bool ledgers_find(const struct ledgers *l, u32 number, u64 ret_ns[PHASES]);

#endif
