/* SPDX-License-Identifier: Apache-2.0 */
/* base/array: what is in it stays, the bound holds, and a refusal changes nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include "base/array.h"

/* What no machine has is refused, as without the sanitizer. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

struct item {
	u64 a;
	u32 b;
};

/* Filled to its bound: how often it was moved to larger room. */
static u32 fill(u32 max)
{
	struct item *v = NULL, *was;
	u32 n = 0, cap = 0, had = 0, grown = 0, i;

	while (array_room(&v, n, &cap, max, sizeof(*v))) {
		assert_true(n < max);
		assert_in_range(cap, n + 1, max);
		if (cap != had) {
			assert_int_equal(n, had); /* not before it was full */
			had = cap;
			grown++;
		}
		v[n] = (struct item){ .a = n * 3ULL, .b = ~n };
		n++;
	}
	assert_int_equal(n, max);
	assert_int_equal(cap, max);
	was = v;
	assert_false(array_room(&v, n, &cap, max, sizeof(*v)));
	assert_ptr_equal(v, was);
	assert_int_equal(cap, max);
	for (i = 0; i < n; i++) {
		assert_int_equal(v[i].a, i * 3ULL);
		assert_int_equal(v[i].b, ~i);
	}
	free(v);
	return grown;
}

static void t_bound(void **state)
{
	u32 max;

	(void)state;
	for (max = 1; max <= 3 * ARRAY_FIRST; max++)
		fill(max);
}

static void t_doubles(void **state)
{
	(void)state;
	assert_int_equal(fill(ARRAY_FIRST), 1);
	assert_int_equal(fill(ARRAY_FIRST + 1), 2);
	assert_int_equal(fill(ARRAY_FIRST << 10), 11);
	assert_int_equal(fill((ARRAY_FIRST << 10) + 1), 12);
}

static void t_none(void **state)
{
	struct item *v = NULL;
	u32 cap = 0;

	(void)state;
	assert_false(array_room(&v, 0, &cap, 0, sizeof(*v)));
	assert_null(v);
	assert_int_equal(cap, 0);
}

/* The array is as it was, also where the product would wrap round. */
static void t_no_memory(void **state)
{
	struct item one = { 1, 2 }, *v = malloc(sizeof(*v));
	u32 cap = 1;

	(void)state;
	assert_non_null(v);
	*v = one;
	assert_false(array_room(&v, 1, &cap, 2, SIZE_MAX / 4));
	assert_false(array_room(&v, 1, &cap, 2, SIZE_MAX / 2 + 9));
	assert_int_equal(cap, 1);
	assert_int_equal(v->b, 2);
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_bound),
		cmocka_unit_test(t_doubles),
		cmocka_unit_test(t_none),
		cmocka_unit_test(t_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
