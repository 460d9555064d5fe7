/* SPDX-License-Identifier: Apache-2.0 */
/* base/strpool: dense ids, both bounds, bytes that are not text, the fixed entries. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "base/strpool.h"

static void t_ids(void **state)
{
	struct strpool s;
	char text[32];
	u32 i;

	(void)state;
	assert_int_equal(strpool_init(&s, 5000, 1 << 20), 0);
	assert_int_equal(strpool_add(&s, SLICE("")), 0);
	assert_int_equal(strpool_add(&s, (struct slice){ 0 }), 0);
	assert_int_equal(strpool_add(&s, SLICE("(other)")), STRPOOL_OTHER);
	for (i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "name %u", i);
		assert_int_equal(strpool_add(&s, slice_str(text)), i + 2);
	}
	for (i = 0; i < 5000; i++) {
		snprintf(text, sizeof(text), "name %u", i);
		assert_int_equal(strpool_add(&s, slice_str(text)), i + 2);
		assert_string_equal(strpool_get(&s, i + 2).p, text);
	}
	assert_int_equal(s.refused, 0);
	assert_int_equal(strpool_add(&s, SLICE("one more")), STRPOOL_OTHER);
	assert_int_equal(strpool_add(&s, SLICE("name 7")), 9);
	assert_int_equal(s.refused, 1);
	strpool_release(&s);
}

static void t_bytes(void **state)
{
	struct strpool s;
	u32 a, b;

	(void)state;
	assert_int_equal(strpool_init(&s, 100, 10), 0);
	a = strpool_add(&s, slice_of("a\0b", 3));
	b = strpool_add(&s, slice_of("a\0c", 3));
	assert_int_not_equal(a, b);
	assert_true(slice_eq(strpool_get(&s, a), slice_of("a\0b", 3)));
	assert_int_equal(strpool_add(&s, SLICE("12345")), STRPOOL_OTHER);
	assert_int_equal(strpool_add(&s, SLICE("1234")), 4);
	assert_int_equal(strpool_add(&s, SLICE("x")), STRPOOL_OTHER);
	assert_int_equal(s.refused, 2);
	assert_string_equal(strpool_get(&s, STRPOOL_OTHER).p, "(other)");
	assert_string_equal(strpool_get(&s, 999999).p, "(other)");
	strpool_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_ids),
		cmocka_unit_test(t_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
