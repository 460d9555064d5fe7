/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Histogram with a bounded relative error: all latencies of a report pass through it.
 *
 * Input: values one by one or another histogram. Output: quantiles, mean, and the bucket array that
 * reports carry. The bucket of a value comes from a rough logarithm that is then corrected against
 * a table of the exact bounds: faster than log(), and the same on every machine and C library,
 * which byte-identical replays need (the last bit of log() differs between them).
 */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hist.h"

#define HIST_GROW 32 /* spare entries on the side that grows: few reallocations while it warms up */

/* bound[i] = gamma^i, the largest value of bucket i. Filled before main, only read afterwards. */
static double bound[HIST_BUCKETS_MAX];

__attribute__((constructor)) static void hist_bounds(void)
{
	double v = HIST_MIN;
	int i;

	for (i = 0; i < HIST_BUCKETS_MAX; i++, v *= HIST_GAMMA)
		bound[i] = v;
}

/* v in [HIST_MIN, last bound] */
static s32 hist_index(double v)
{
	const double per_octave = 34.656203751888; /* 1 / log2(gamma) */
	double f;
	u64 bits;
	s32 e, i;

	memcpy(&bits, &v, sizeof(bits));
	e = (s32)(bits >> 52 & 0x7ff) - 1023;
	bits = (bits & 0xfffffffffffffULL) | 0x3ff0000000000000ULL;
	memcpy(&f, &bits, sizeof(f));
	f -= 1;
	/* log2(1 + f) within 0.0006: a fiftieth of a bucket, so one step either way is enough. */
	f += f * (1 - f) * (0.4427 + f * (f * 0.0835 - 0.2475));
	i = (s32)((e + f) * per_octave) + 1;
	i = MIN(i, HIST_BUCKETS_MAX - 1);
	i += (v > bound[i]) - (v <= bound[i - 1]);
	return i;
}

void hist_init(struct hist *h)
{
	memset(h, 0, sizeof(*h));
}

void hist_release(struct hist *h)
{
	free(h->counts);
	memset(h, 0, sizeof(*h));
}

/* Makes counts[] span at least [from, to]. */
static int hist_span(struct hist *h, s32 from, s32 to)
{
	s32 lo = from, hi = to;
	u64 *counts;

	if (h->n) {
		if (from >= h->lo && to < h->lo + h->n)
			return 0;
		lo = from < h->lo ? MAX(from - HIST_GROW, 0) : h->lo;
		hi = to >= h->lo + h->n ? MIN(to + HIST_GROW, HIST_BUCKETS_MAX - 1)
					: h->lo + h->n - 1;
	}
	counts = calloc((size_t)(hi - lo + 1), sizeof(*counts));
	if (!counts)
		return -ENOMEM;
	if (h->n)
		memcpy(counts + (h->lo - lo), h->counts, (size_t)h->n * sizeof(*counts));
	free(h->counts);
	h->counts = counts;
	h->lo = lo;
	h->n = hi - lo + 1;
	return 0;
}

int hist_add(struct hist *h, double v)
{
	s32 i;

	if (!(v > 0)) /* NaN too */
		v = 0;
	v = MIN(v, bound[HIST_BUCKETS_MAX - 1]);
	h->min = h->count ? MIN(h->min, v) : v;
	h->max = h->count ? MAX(h->max, v) : v;
	h->sum += v;
	h->count++;
	if (v < HIST_MIN) {
		h->zero++;
		return 0;
	}
	i = hist_index(v);
	if (hist_span(h, i, i))
		return -ENOMEM;
	h->counts[i - h->lo]++;
	return 0;
}

int hist_merge(struct hist *to, const struct hist *from)
{
	s32 i;

	if (!from->count)
		return 0;
	to->min = to->count ? MIN(to->min, from->min) : from->min;
	to->max = to->count ? MAX(to->max, from->max) : from->max;
	to->sum += from->sum;
	to->count += from->count;
	to->zero += from->zero;
	if (!from->n)
		return 0;
	if (hist_span(to, from->lo, from->lo + from->n - 1))
		return -ENOMEM;
	for (i = 0; i < from->n; i++)
		to->counts[from->lo - to->lo + i] += from->counts[i];
	return 0;
}

double hist_quantile(const struct hist *h, double q)
{
	double rank, v;
	u64 seen;
	s32 i;

	if (!h->count)
		return 0;
	if (!(q > 0))
		return h->min;
	if (q >= 1)
		return h->max;
	/* Nearest rank; the small term keeps 0.95 × 20 at 19 in binary fractions. */
	rank = ceil(q * (double)h->count - 1e-9);
	seen = h->zero;
	if ((double)seen >= rank)
		return h->min;
	for (i = 0; i < h->n; i++) {
		seen += h->counts[i];
		if ((double)seen >= rank)
			break;
	}
	if (i == h->n)
		return h->max;
	v = bound[h->lo + i] * (2 / (1 + HIST_GAMMA));
	return MIN(MAX(v, h->min), h->max);
}

double hist_mean(const struct hist *h)
{
	return h->count ? h->sum / (double)h->count : 0;
}
