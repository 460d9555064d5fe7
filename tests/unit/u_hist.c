/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/hist: quantiles against the sorted values they stand for, over shapes that latencies have;
 * a merge of parts equals the whole; the bucket of a value is the one that its bounds say.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "base/hist.h"
#include "base/map.h"

#define N 50000

static u64 seed;

static double uniform(void)
{
	seed += 0x9e3779b97f4a7c15ULL;
	return (double)(hash_u64(seed) >> 11) * 0x1p-53 + 0x1p-54;
}

static double normal(void)
{
	return sqrt(-2 * log(uniform())) * cos(2 * M_PI * uniform());
}

static double d_uniform(void)
{
	return floor(uniform() * 1e9);
}

static double d_lognormal(void)
{
	return exp(13 + 1.5 * normal());
}

static double d_exponential(void)
{
	return -log(uniform()) * 2e6;
}

static double d_pareto(void)
{
	return 1e4 / pow(uniform(), 1.2);
}

static double d_two_humps(void)
{
	return uniform() < 0.9 ? 1e5 + 1e3 * normal() : 5e8 + 1e7 * normal();
}

static double d_small_ints(void)
{
	return floor(uniform() * 40);
}

static double d_constant(void)
{
	return 123456789;
}

static int cmp_double(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static void check_quantiles(const struct hist *h, const double *sorted, size_t n)
{
	static const double qs[] = { 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999 };
	size_t i, rank;

	for (i = 0; i < ARRAY_SIZE(qs); i++) {
		double want, got = hist_quantile(h, qs[i]);

		rank = (size_t)ceil(qs[i] * (double)n - 1e-9);
		want = sorted[MAX(rank, (size_t)1) - 1];
		/* The bound itself, plus the rounding of one multiplication. */
		if (fabs(got - want) > want * 0.01 * (1 + 1e-9))
			fail_msg("q%g of %zu: %g, exact %g", qs[i], n, got, want);
	}
	assert_true(hist_quantile(h, 0) == sorted[0]);
	assert_true(hist_quantile(h, 1) == sorted[n - 1]);
}

static void t_error(void **state)
{
	static double (*const shapes[])(void) = { d_uniform, d_lognormal, d_exponential,
						  d_pareto,  d_two_humps, d_small_ints,
						  d_constant };
	double *v = malloc(N * sizeof(*v)), sum;
	size_t s, i, n;

	(void)state;
	assert_non_null(v);
	for (s = 0; s < ARRAY_SIZE(shapes); s++) {
		for (n = 1; n <= N; n *= n < 10 ? 2 : 5) {
			struct hist h = { 0 };

			seed = s * 1000 + n;
			for (i = 0, sum = 0; i < n; i++) {
				v[i] = shapes[s]();
				sum += v[i];
				assert_int_equal(hist_add(&h, v[i]), 0);
			}
			qsort(v, n, sizeof(*v), cmp_double);
			check_quantiles(&h, v, n);
			assert_int_equal(h.count, n);
			assert_true(fabs(hist_mean(&h) - sum / (double)n) <= 1e-9 * sum);
			hist_release(&h);
		}
	}
	free(v);
}

static u64 at(const struct hist *h, s32 i)
{
	return i >= h->lo && i < h->lo + h->n ? h->counts[i - h->lo] : 0;
}

static void t_merge(void **state)
{
	struct hist whole = { 0 }, part[4], sum = { 0 };
	size_t i;

	(void)state;
	seed = 99;
	memset(part, 0, sizeof(part));
	for (i = 0; i < N; i++) {
		double v = i % 4 == 0 ? d_small_ints() : i % 4 == 1 ? d_pareto() : d_lognormal();

		hist_add(&whole, v);
		hist_add(&part[i % 4], v);
	}
	for (i = 0; i < 4; i++)
		assert_int_equal(hist_merge(&sum, &part[3 - i]), 0);
	assert_int_equal(hist_merge(&sum, &(struct hist){ 0 }), 0);
	assert_int_equal(sum.count, whole.count);
	assert_int_equal(sum.zero, whole.zero);
	assert_true(sum.min == whole.min && sum.max == whole.max);
	assert_true(fabs(sum.sum - whole.sum) <= 1e-12 * whole.sum);
	for (i = 0; i < HIST_BUCKETS_MAX; i++)
		assert_int_equal(at(&sum, (s32)i), at(&whole, (s32)i));
	for (i = 0; i < 4; i++)
		hist_release(&part[i]);
	hist_release(&sum);
	hist_release(&whole);
}

/* The correction steps must find the exact bucket over the whole range, bounds included. */
static void t_buckets(void **state)
{
	double bound = 1, below = 0;
	int i;

	(void)state;
	for (i = 0; i < HIST_BUCKETS_MAX; i++) {
		struct hist h = { 0 };

		hist_add(&h, bound);
		assert_int_equal(at(&h, i), 1);
		if (i) {
			hist_add(&h, nextafter(below, INFINITY));
			hist_add(&h, (below + bound) / 2);
			assert_int_equal(at(&h, i), 3);
		}
		hist_release(&h);
		below = bound;
		bound *= HIST_GAMMA;
	}
}

static void t_odd_values(void **state)
{
	struct hist h = { 0 };

	(void)state;
	assert_true(hist_quantile(&h, 0.5) == 0);
	assert_true(hist_mean(&h) == 0);
	hist_add(&h, -5);
	hist_add(&h, NAN);
	hist_add(&h, 0);
	hist_add(&h, 0.5);
	assert_int_equal(h.zero, 4);
	assert_true(h.min == 0);
	hist_add(&h, INFINITY);
	hist_add(&h, 1e300);
	assert_int_equal(h.count, 6);
	assert_true(isfinite(h.sum) && isfinite(hist_quantile(&h, 0.99)));
	assert_true(h.n <= HIST_BUCKETS_MAX);
	hist_release(&h);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_error),
		cmocka_unit_test(t_merge),
		cmocka_unit_test(t_buckets),
		cmocka_unit_test(t_odd_values),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
