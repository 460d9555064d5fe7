/* SPDX-License-Identifier: Apache-2.0 */
/* See bound.h. */
#include "agg/bound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

void bound_init(struct bound *b)
{
	memset(b, 0, sizeof(*b));
	map_init(&b->by_pair, BOUND_USES_MAX);
}

void bound_release(struct bound *b)
{
	free(b->rows);
	free(b->uses);
	free(b->at);
	free(b->out);
	free(b->out_by_query);
	map_release(&b->by_pair);
	memset(b, 0, sizeof(*b));
}

u32 bound_row_new(struct bound *b)
{
	if (!array_room(&b->rows, b->nrows, &b->rows_cap, BOUND_ROWS_MAX, sizeof(*b->rows))) {
		b->refused++;
		return 0;
	}
	b->rows[b->nrows] = (struct bound_row){ .into = b->nrows + 1 };
	return ++b->nrows;
}

u32 bound_row_now(struct bound *b, u32 row)
{
	while (b->rows[row - 1].into != row) {
		u32 next = b->rows[row - 1].into;

		/* The way gets shorter each time, or chains of folded rows would be walked again and again. */
		b->rows[row - 1].into = b->rows[next - 1].into;
		row = next;
	}
	return row;
}

void bound_row_merge(struct bound *b, u32 to, u32 from)
{
	if (to && from)
		b->rows[bound_row_now(b, from) - 1].into = bound_row_now(b, to);
}

void bound_request(struct bound *b, u32 row, u64 end_ns, bool partial)
{
	memset(&b->now, 0, sizeof(b->now));
	if (!row || partial)
		return;
	b->now.row = bound_row_now(b, row);
	b->now.end_ns = end_ns;
	b->rows[b->now.row - 1].requests++;
}

static struct bound_use *use_of(struct bound *b, u32 row, u32 query)
{
	u64 key = (u64)row << 32 | query, *at = map_find(&b->by_pair, key);

	if (at)
		return &b->uses[*at];
	if (!array_room(&b->uses, b->nuses, &b->uses_cap, BOUND_USES_MAX, sizeof(*b->uses)) ||
	    map_put(&b->by_pair, key, b->nuses)) {
		b->refused++;
		return NULL;
	}
	b->uses[b->nuses] = (struct bound_use){ .row = row, .query = query };
	return &b->uses[b->nuses++];
}

void bound_call(struct bound *b, const struct agg_query *query, u64 start_ns, u64 end_ns, u32 trips)
{
	struct bound_row *row = b->now.row ? &b->rows[b->now.row - 1] : NULL;
	u64 from = MAX(start_ns, b->now.until_ns), to = MIN(end_ns, b->now.end_ns);
	struct bound_use *use;

	if (!row || !query)
		return;
	b->now.until_ns = MAX(b->now.until_ns, end_ns);
	row->db_ns += to > from ? to - from : 0;
	row->calls++;
	row->trips += trips;
	b->now.calls++;
	b->now.trips += trips;
	row->calls_max = MAX(row->calls_max, b->now.calls);
	row->trips_max = MAX(row->trips_max, b->now.trips);
	use = use_of(b, b->now.row, query->number);
	if (!use)
		return;
	use->count++;
	use->ns += end_ns > start_ns ? end_ns - start_ns : 0;
}

static int cmp_use(const void *pa, const void *pb)
{
	const struct agg_use *a = pa, *b = pb;

	if (a->endpoint != b->endpoint)
		return a->endpoint < b->endpoint ? -1 : 1;
	if (a->query != b->query)
		return a->query->number < b->query->number ? -1 : 1;
	return 0;
}

static int cmp_use_of_endpoint(const void *pa, const void *pb)
{
	const struct agg_use *a = pa, *b = pb;

	if (a->endpoint != b->endpoint)
		return a->endpoint < b->endpoint ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->query->number < b->query->number ? -1 : 1;
}

static int cmp_use_of_query(const void *pa, const void *pb)
{
	const struct agg_use *a = *(const struct agg_use *const *)pa;
	const struct agg_use *b = *(const struct agg_use *const *)pb;

	if (a->query != b->query)
		return a->query->number < b->query->number ? -1 : 1;
	if (a->count != b->count)
		return a->count > b->count ? -1 : 1;
	return a->endpoint < b->endpoint ? -1 : 1;
}

struct agg_endpoint *bound_endpoint(const struct bound *b, struct agg_endpoint *endpoints, u32 row)
{
	while (row && row <= b->nrows && b->rows[row - 1].into != row)
		row = b->rows[row - 1].into;
	return row && row <= b->nrows && b->at[row - 1] ? &endpoints[b->at[row - 1] - 1] : NULL;
}

/* Uses by what the rows have become; those that are the same by now are one. */
static u32 uses_settle(struct bound *b, struct agg_endpoint *endpoints,
		       struct agg_query *const *queries, u32 nqueries)
{
	u32 i, n = 0, kept = 0;

	for (i = 0; i < b->nuses; i++) {
		const struct bound_use *use = &b->uses[i];
		struct agg_endpoint *e = bound_endpoint(b, endpoints, use->row);

		if (e && use->query < nqueries && queries[use->query])
			b->out[n++] = (struct agg_use){ .endpoint = e,
							.query = queries[use->query],
							.count = use->count,
							.ns = use->ns };
	}
	qsort(b->out, n, sizeof(*b->out), cmp_use);
	for (i = 0; i < n; i++) {
		struct agg_use *last = kept ? &b->out[kept - 1] : NULL;

		if (last && !cmp_use(last, &b->out[i])) {
			last->count += b->out[i].count;
			last->ns += b->out[i].ns;
		} else {
			b->out[kept++] = b->out[i];
		}
	}
	return kept;
}

/* Each endpoint and query gets its part of the uses. */
static void uses_deal(struct bound *b, u32 n, struct agg_endpoint *endpoints)
{
	u32 i;

	qsort(b->out, n, sizeof(*b->out), cmp_use_of_endpoint);
	for (i = 0; i < n; i++) {
		struct agg_endpoint *e = &endpoints[b->out[i].endpoint - endpoints];

		if (!e->bound.nuses++)
			e->bound.uses = &b->out[i];
		b->out_by_query[i] = &b->out[i];
	}
	qsort(b->out_by_query, n, sizeof(*b->out_by_query), cmp_use_of_query);
}

static void queries_deal(struct bound *b, u32 n, struct agg_query *const *queries, u32 nqueries)
{
	u32 i;

	for (i = 0; i < n; i++) {
		u32 number = b->out_by_query[i]->query->number;
		struct agg_query *q = number < nqueries ? queries[number] : NULL;

		if (q && !q->nuses++)
			q->uses = &b->out_by_query[i];
	}
}

static void rows_deal(struct bound *b, struct agg_endpoint *endpoints)
{
	u32 i;

	for (i = 0; i < b->nrows; i++) {
		const struct bound_row *row = &b->rows[i];
		struct agg_endpoint *e = bound_endpoint(b, endpoints, i + 1);

		if (!e)
			continue;
		e->bound.requests += row->requests;
		e->bound.calls += row->calls;
		e->bound.trips += row->trips;
		e->bound.db_ns += row->db_ns;
		e->bound.calls_max = MAX(e->bound.calls_max, row->calls_max);
		e->bound.trips_max = MAX(e->bound.trips_max, row->trips_max);
	}
}

int bound_finish(struct bound *b, struct agg_endpoint *endpoints, u32 nendpoints,
		 struct agg_query *const *queries, u32 nqueries)
{
	u32 i, n;

	b->at = calloc(MAX(b->nrows, 1U), sizeof(*b->at));
	b->out = calloc(MAX(b->nuses, 1U), sizeof(*b->out));
	b->out_by_query = calloc(MAX(b->nuses, 1U), sizeof(*b->out_by_query));
	if (!b->at || !b->out || !b->out_by_query)
		return -ENOMEM;
	for (i = 0; i < nendpoints; i++)
		if (endpoints[i].row)
			b->at[bound_row_now(b, endpoints[i].row) - 1] = i + 1;
	rows_deal(b, endpoints);
	n = uses_settle(b, endpoints, queries, nqueries);
	b->nout = n;
	uses_deal(b, n, endpoints);
	queries_deal(b, n, queries, nqueries);
	return 0;
}
