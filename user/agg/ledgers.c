/* SPDX-License-Identifier: Apache-2.0 */
/* See ledgers.h. */
#include "agg/ledgers.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

#define PHASE_SHIFT 58
#define NS_MAX ((1ULL << PHASE_SHIFT) - 1) /* nine years */
#define RAW 32 /* added to a phase: its raw_ns */
_Static_assert(PHASES <= RAW, "a phase and RAW have six bits");
#define ENTRIES_MAX ((LEDGERS_MAX + 1) * 2 * PHASES)
#define RANK_WIDTH 0.01 /* to either side: "within one percentile rank" */

static const double quantiles[AGG_LEDGER_QUANTILES] = { 0.50, 0.95, 0.99 };

static u64 entry(u32 phase, u64 ns)
{
	return (u64)phase << PHASE_SHIFT | MIN(ns, NS_MAX);
}

void ledgers_init(struct ledgers *l)
{
	memset(l, 0, sizeof(*l));
	l->stride = 1;
	map_init(&l->by_pair, LEDGERS_BLAMES_MAX);
}

void ledgers_release(struct ledgers *l)
{
	free(l->requests);
	free(l->entries);
	free(l->blames);
	free(l->out);
	free(l->out_blames);
	map_release(&l->by_pair);
	memset(l, 0, sizeof(*l));
}

/* Every other one goes. */
static void thin(struct ledgers *l)
{
	u32 i, n = 0, entries = 0;

	for (i = 0; i < l->nrequests; i += 2) {
		struct ledgers_request r = l->requests[i];

		memmove(&l->entries[entries], &l->entries[r.first], r.n * sizeof(*l->entries));
		r.first = entries;
		entries += r.n;
		l->requests[n++] = r;
	}
	l->nrequests = n;
	l->nentries = entries;
	l->stride *= 2;
}

static void add_request(struct ledgers *l, const struct ledger_split *s)
{
	struct ledgers_request r = { .latency_ns = s->latency_ns,
				     .row = s->row,
				     .number = s->number,
				     .first = l->nentries };
	u32 p;

	if (!array_room(&l->requests, l->nrequests, &l->requests_cap, LEDGERS_MAX,
			sizeof(*l->requests)) ||
	    !array_room(&l->entries, l->nentries + 2 * PHASES, &l->entries_cap, ENTRIES_MAX,
			sizeof(*l->entries))) {
		l->refused++;
		return;
	}
	for (p = 0; p < PHASES; p++) {
		if (s->phase_ns[p])
			l->entries[l->nentries++] = entry(p, s->phase_ns[p]);
		if (s->raw_ns[p])
			l->entries[l->nentries++] = entry(p + RAW, s->raw_ns[p]);
	}
	r.n = l->nentries - r.first;
	l->requests[l->nrequests++] = r;
}

static void add_blame(struct ledgers *l, u32 victim, const struct ledger_blame *b)
{
	u64 key = (u64)victim << 32 | b->row, *at = map_find(&l->by_pair, key);
	struct ledgers_blame *to;

	if (!at) {
		if (!array_room(&l->blames, l->nblames, &l->blames_cap, LEDGERS_BLAMES_MAX,
				sizeof(*l->blames)) ||
		    map_put(&l->by_pair, key, l->nblames)) {
			l->refused++;
			return;
		}
		l->blames[l->nblames] =
			(struct ledgers_blame){ .victim = victim, .holder = b->row };
		to = &l->blames[l->nblames++];
	} else {
		to = &l->blames[*at];
	}
	to->ns += b->ns;
	to->count++;
}

void ledgers_add(struct ledgers *l, const struct ledger_split *s)
{
	u32 i;

	for (i = 0; i < s->nblames; i++)
		add_blame(l, s->row, &s->blames[i]);
	if (l->seen++ % l->stride)
		return;
	if (l->nrequests == LEDGERS_MAX)
		thin(l);
	add_request(l, s);
}

static int cmp_endpoint(const void *pa, const void *pb)
{
	const struct ledgers_request *a = pa, *b = pb;

	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	if (a->latency_ns != b->latency_ns)
		return a->latency_ns < b->latency_ns ? -1 : 1;
	return (a->number > b->number) - (a->number < b->number);
}

static int cmp_number(const void *pa, const void *pb)
{
	const struct ledgers_request *a = pa, *b = pb;

	return (a->number > b->number) - (a->number < b->number);
}

/* The mean of requests [from, to), sorted by latency. */
static void slice_mean(const struct ledgers *l, const struct ledgers_request *r, u32 from, u32 to,
		       struct agg_ledger_slice *out)
{
	double n = to - from;
	u32 i, k;

	*out = (struct agg_ledger_slice){ .n = to - from };
	for (i = from; i < to; i++) {
		out->latency_ns += (double)r[i].latency_ns / n;
		for (k = 0; k < r[i].n; k++) {
			u64 e = l->entries[r[i].first + k];

			u32 phase = e >> PHASE_SHIFT;

			*(phase < RAW ? &out->phase_ns[phase] : &out->raw_ns[phase - RAW]) +=
				(double)(e & NS_MAX) / n;
		}
	}
}

static void endpoint_finish(const struct ledgers *l, const struct ledgers_request *r, u32 n,
			    struct agg_ledger *out)
{
	u32 i;

	slice_mean(l, r, 0, n, &out->mean);
	for (i = 0; i < AGG_LEDGER_QUANTILES; i++) {
		double low = (quantiles[i] - RANK_WIDTH) * n,
		       high = (quantiles[i] + RANK_WIDTH) * n;
		u32 from = (u32)floor(low), to = MIN((u32)ceil(high), n);

		slice_mean(l, r, MIN(from, n - 1), MAX(to, from + 1), &out->at[i]);
	}
}

static int cmp_pair(const void *pa, const void *pb)
{
	const struct agg_blame *a = pa, *b = pb;

	if (a->victim != b->victim)
		return a->victim < b->victim ? -1 : 1;
	return (a->holder > b->holder) - (a->holder < b->holder);
}

static int cmp_blame(const void *pa, const void *pb)
{
	const struct agg_blame *a = pa, *b = pb;

	if (a->ns != b->ns)
		return a->ns > b->ns ? -1 : 1;
	return cmp_pair(pa, pb);
}

static int finish_blames(struct ledgers *l, const struct bound *b, struct agg_endpoint *endpoints)
{
	u32 i, n = 0, kept = 0;

	l->out_blames = calloc(MAX(l->nblames, 1U), sizeof(*l->out_blames));
	if (!l->out_blames)
		return -ENOMEM;
	for (i = 0; i < l->nblames; i++) {
		const struct ledgers_blame *from = &l->blames[i];
		const struct agg_endpoint *victim = bound_endpoint(b, endpoints, from->victim);

		if (victim)
			l->out_blames[n++] = (struct agg_blame){
				.victim = victim,
				.holder = bound_endpoint(b, endpoints, from->holder),
				.ns = from->ns,
				.count = from->count,
			};
	}
	qsort(l->out_blames, n, sizeof(*l->out_blames), cmp_pair);
	for (i = 0; i < n; i++) {
		struct agg_blame *last = kept ? &l->out_blames[kept - 1] : NULL;

		if (last && !cmp_pair(last, &l->out_blames[i])) {
			last->ns += l->out_blames[i].ns;
			last->count += l->out_blames[i].count;
		} else {
			l->out_blames[kept++] = l->out_blames[i];
		}
	}
	qsort(l->out_blames, kept, sizeof(*l->out_blames), cmp_blame);
	l->nout_blames = kept;
	return 0;
}

int ledgers_finish(struct ledgers *l, const struct bound *b, struct agg_endpoint *endpoints,
		   u32 nendpoints)
{
	_free_ struct ledgers_request *sorted = calloc(MAX(l->nrequests, 1U), sizeof(*sorted));
	u32 i, from, n = 0;

	l->out = calloc(MAX(nendpoints, 1U), sizeof(*l->out));
	if (!sorted || !l->out)
		return -ENOMEM;
	for (i = 0; i < l->nrequests; i++) {
		const struct agg_endpoint *e = bound_endpoint(b, endpoints, l->requests[i].row);

		if (!e)
			continue;
		sorted[n] = l->requests[i];
		sorted[n++].row = (u32)(e - endpoints);
	}
	qsort(sorted, n, sizeof(*sorted), cmp_endpoint);
	for (from = 0; from < n; from = i) {
		u32 row = sorted[from].row;

		for (i = from; i < n && sorted[i].row == row; i++)
			;
		endpoint_finish(l, &sorted[from], i - from, &l->out[row]);
		endpoints[row].ledger = &l->out[row];
	}
	if (l->nrequests)
		qsort(l->requests, l->nrequests, sizeof(*l->requests), cmp_number);
	return finish_blames(l, b, endpoints);
}

bool ledgers_find(const struct ledgers *l, u32 number, u64 ret_ns[PHASES])
{
	const struct ledgers_request key = { .number = number }, *r;
	u32 k;

	if (!number || !l->nrequests)
		return false;
	r = bsearch(&key, l->requests, l->nrequests, sizeof(*l->requests), cmp_number);
	if (!r)
		return false;
	memset(ret_ns, 0, PHASES * sizeof(*ret_ns));
	for (k = 0; k < r->n; k++) {
		u64 e = l->entries[r->first + k];

		if (e >> PHASE_SHIFT < PHASES)
			ret_ns[e >> PHASE_SHIFT] += e & NS_MAX;
	}
	return true;
}
