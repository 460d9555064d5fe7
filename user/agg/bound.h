/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which endpoint asks what of the database. Input: requests with the calls that were bound to them, as
 * rows of endpoints and queries; output, once these rows are final: the uses of each endpoint and query.
 *
 * Rows of endpoints become one while paths fold, so a row has a number here that stays, and what it became.
 */
#ifndef AGG_BOUND_H
#define AGG_BOUND_H

#include "agg/agg.h"
#include "base/map.h"

#define BOUND_ROWS_MAX (1U << 20)
#define BOUND_USES_MAX (1U << 18) /* pairs of an endpoint's row and a query */

/* Of the requests of a row of endpoints. */
struct bound_row {
	u32 into; /* the row it went into; its own number: none */
	u32 calls_max;
	u32 trips_max;
	u64 requests;
	u64 calls;
	u64 trips;
	u64 db_ns;
};

struct bound_use {
	u32 row;
	u32 query;
	u64 count;
	u64 ns;
};

struct bound {
	struct bound_row *rows; /* number n is at n - 1 */
	u32 nrows, rows_cap;
	struct bound_use *uses;
	u32 nuses, uses_cap;
	struct map by_pair; /* row and query → index in uses */
	struct {
		u32 row; /* 0: none, or one that is not wholly inside the window */
		u32 calls;
		u32 trips;
		u64 until_ns; /* end of the calls so far */
		u64 end_ns; /* of the request: what goes on behind it delays no answer */
		u64 db_ns;
	} now; /* the request that calls are given for */
	u64 refused;
	/* made by bound_finish() */
	u32 *at; /* row → endpoint's index + 1 */
	struct agg_use *out; /* by endpoint, then count */
	u32 nout;
	const struct agg_use **out_by_query;
};

void bound_init(struct bound *b);
void bound_release(struct bound *b);
/* A row's number; 0 = no room, and nothing is bound to it. */
u32 bound_row_new(struct bound *b);
void bound_row_merge(struct bound *b, u32 to, u32 from);
/* What a row (not 0) has become. */
u32 bound_row_now(struct bound *b, u32 row);
/* The calls given next are this request's, by their start. */
void bound_request(struct bound *b, u32 row, u64 end_ns, bool partial);
void bound_call(struct bound *b, const struct agg_query *query, u64 start_ns, u64 end_ns,
		u32 trips);
/* queries[number] is where the query of that number is now. 0 or -ENOMEM. */
int bound_finish(struct bound *b, struct agg_endpoint *endpoints, u32 nendpoints,
		 struct agg_query *const *queries, u32 nqueries);
/* What a row has become; NULL: nothing. After bound_finish(). */
struct agg_endpoint *bound_endpoint(const struct bound *b, struct agg_endpoint *endpoints, u32 row);

#endif
