/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of HTTP exchanges by (method, route); served and outgoing ones alike. */
#ifndef AGG_HTTPROW_H
#define AGG_HTTPROW_H

#include "agg/agg.h"
#include "agg/bound.h"
#include "agg/route.h"
#include "base/strpool.h"

#define HTTP_METHODS_MAX 16
#define HTTP_CODES_MAX 64

struct http_row {
	struct http_row *next; /* other methods of the same leaf */
	const char *method;
	u32 number; /* of its row in struct bound; 0 = none */
	u64 count;
	u64 errors; /* status >= 500 */
	u64 aborted;
	u64 failed; /* either of them */
	u64 timeouts;
	u64 untimed;
	u64 at_attach;
	u64 at_detach;
	u64 request_bytes;
	u64 response_bytes;
	struct agg_code *codes; /* ascending */
	u32 ncodes;
	struct hist latency;
	struct hist connect;
};

/* Rows that several trees share the budget of. */
struct http_budget {
	u32 rows;
	u32 max;
	u64 folded; /* exchanges counted under "(other)" */
	struct bound *bound; /* who gives rows their numbers */
};

struct http_tree {
	struct routes routes; /* data: list of struct http_row */
	struct strpool *texts;
	struct http_budget *budget;
	struct http_row *unknown; /* head not seen */
	struct http_row *other; /* no room */
	const char *methods[HTTP_METHODS_MAX];
	u8 method_n[HTTP_METHODS_MAX];
	u32 nmethods;
};

int http_tree_init(struct http_tree *t, struct strpool *texts, struct http_budget *budget,
		   u32 fanout);
void http_tree_release(struct http_tree *t);
/* Counts x; the row that it went to, NULL when memory is short. */
struct http_row *http_tree_add(struct http_tree *t, const struct http_exchange *x);
u32 http_tree_rows(const struct http_tree *t);
/* Every row, unordered. The text is valid during the call. */
void http_tree_each(const struct http_tree *t,
		    void (*fn)(void *arg, struct http_row *row, const struct buf *route,
			       bool replaced),
		    void *arg);
/* Appends the route of a path that was counted. */
void http_tree_route(const struct http_tree *t, struct slice method, struct slice path,
		     struct buf *out);

#endif
