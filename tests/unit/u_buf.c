/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf: growth, the NUL behind the bytes, formats longer than the room, what oom keeps. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"

static void t_grow(void **state)
{
	struct buf b = BUF_INIT;
	int i;

	(void)state;
	for (i = 0; i < 10000; i++)
		buf_addch(&b, (char)('a' + i % 26));
	assert_int_equal(b.n, 10000);
	assert_int_equal(strlen(b.p), 10000);
	for (i = 0; i < 10000; i++)
		assert_int_equal(b.p[i], 'a' + i % 26);
	buf_clear(&b);
	assert_int_equal(b.n, 0);
	assert_string_equal(b.p, "");
	assert_true(b.cap > 10000);
	buf_release(&b);
	assert_null(b.p);
}

static void t_empty_adds(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_add(&b, NULL, 0);
	assert_string_equal(b.p, "");
	buf_add_slice(&b, (struct slice){ 0 });
	buf_adds(&b, "");
	assert_int_equal(b.n, 0);
	buf_release(&b);
}

static void t_format(void **state)
{
	struct buf b = BUF_INIT;
	char big[5000];
	size_t i;

	(void)state;
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = '\0';
	/* Every length around the first capacity: the byte that just fits and the one that does not. */
	for (i = 0; i < 200; i++) {
		buf_release(&b);
		buf_addf(&b, "%.*s|%d", (int)i, big, 42);
		assert_int_equal(b.n, i + 3);
		assert_string_equal(b.p + i, "|42");
	}
	buf_addf(&b, "%s%s", big, "end");
	assert_int_equal(b.n, 199 + 3 + 4999 + 3);
	assert_string_equal(b.p + b.n - 3, "end");
	assert_false(b.oom);
	buf_release(&b);
}

static void t_drop_front(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_drop_front(&b, 3);
	buf_adds(&b, "hello world");
	buf_drop_front(&b, 6);
	assert_string_equal(b.p, "world");
	buf_drop_front(&b, 99);
	assert_string_equal(b.p, "");
	buf_release(&b);
}

static void t_detach(void **state)
{
	struct buf b = BUF_INIT;
	char *p;

	(void)state;
	assert_null(buf_detach(&b));
	buf_adds(&b, "mine");
	p = buf_detach(&b);
	assert_string_equal(p, "mine");
	free(p);
	assert_null(b.p);
	assert_int_equal(b.cap, 0);
}

static void t_oom(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	buf_adds(&b, "kept");
	assert_int_equal(buf_reserve(&b, SIZE_MAX - 2), -ENOMEM);
	assert_true(b.oom);
	buf_adds(&b, "ignored");
	buf_addf(&b, "%d", 1);
	assert_string_equal(b.p, "kept");
	assert_null(buf_detach(&b));
	assert_false(b.oom);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_grow),   cmocka_unit_test(t_empty_adds),
		cmocka_unit_test(t_format), cmocka_unit_test(t_drop_front),
		cmocka_unit_test(t_detach), cmocka_unit_test(t_oom),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
