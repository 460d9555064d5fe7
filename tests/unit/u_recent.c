/* SPDX-License-Identifier: Apache-2.0 */
/* What was used lately stays; what was not goes, and memory is bounded. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/recent.h"

#define MAX_KEYS 100
#define AGO 25

static void test_recent(void **state)
{
	struct recent r;
	u64 val, i;

	(void)state;
	recent_init(&r, MAX_KEYS);
	assert_false(recent_find(&r, 1, &val));
	for (i = 0; i < 10000; i++) {
		recent_put(&r, i, i * 3);
		/* Asked for again and again. */
		assert_true(recent_find(&r, 0, &val));
		assert_int_equal(val, 0);
		assert_true(recent_find(&r, i - MIN(i, AGO), NULL));
		assert_true(r.now.n + r.before.n <= 2 * MAX_KEYS);
	}
	for (i = 10000 - AGO; i < 10000; i++) {
		assert_true(recent_find(&r, i, &val));
		assert_int_equal(val, i * 3);
	}
	assert_false(recent_find(&r, 5000, &val));
	recent_put(&r, 9999, 7);
	assert_true(recent_find(&r, 9999, &val));
	assert_int_equal(val, 7);
	assert_true(recent_del(&r, 9999));
	assert_false(recent_del(&r, 9999));
	assert_false(recent_find(&r, 9999, &val));
	recent_release(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_recent) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
