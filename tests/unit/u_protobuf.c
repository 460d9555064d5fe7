/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of the examples in the encoding's own document, and messages around the length of a length. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <string.h>
#include "base/cleanup.h"
#include "out/protobuf.h"

static void same(struct buf *b, const char *want, size_t n)
{
	assert_int_equal(b->n, n);
	assert_memory_equal(b->p, want, n);
	buf_clear(b);
}
#define SAME(b, lit) same(b, lit, sizeof(lit) - 1)

static void fields(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	const u64 packed[] = { 3, 270, 86942 };
	size_t msg;

	(void)state;
	pb_u64(&b, 1, 150);
	SAME(&b, "\x08\x96\x01");
	pb_bytes(&b, 2, SLICE("testing"));
	SAME(&b, "\x12\x07testing");
	pb_packed(&b, 6, packed, 3);
	SAME(&b, "\x32\x06\x03\x8e\x02\x9e\xa7\x05");
	msg = pb_open(&b, 3);
	pb_u64(&b, 1, 150);
	pb_close(&b, msg);
	SAME(&b, "\x1a\x03\x08\x96\x01");
	pb_u64(&b, 1, UINT64_MAX);
	SAME(&b, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01");
	pb_u64(&b, 100, 1);
	SAME(&b, "\xa0\x06\x01");
}

static void defaults(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	size_t msg;

	(void)state;
	pb_u64(&b, 1, 0);
	assert_int_equal(b.n, 0);
	pb_always(&b, 1, 0);
	SAME(&b, "\x08\x00");
	pb_bytes(&b, 1, SLICE(""));
	SAME(&b, "\x0a\x00");
	msg = pb_open(&b, 1);
	pb_close(&b, msg);
	SAME(&b, "\x0a\x00");
	pb_packed(&b, 1, NULL, 0);
	SAME(&b, "\x0a\x00");
}

/* What is inside moves up by one, two or three bytes of length. */
static void nested_lengths(void **state)
{
	static const size_t sizes[] = { 1, 125, 126, 127, 128, 16381, 16384, 70000 };
	static char text[70000];
	size_t i;

	(void)state;
	memset(text, 'x', sizeof(text));
	text[0] = '<';
	for (i = 0; i < ARRAY_SIZE(sizes); i++) {
		_release_(buf) struct buf b = BUF_INIT;
		size_t outer = pb_open(&b, 1), inner = pb_open(&b, 2), at = 0, n, part;
		unsigned shift;

		buf_add(&b, text, sizes[i]);
		pb_close(&b, inner);
		pb_close(&b, outer);
		for (part = 0; part < 2; part++) {
			assert_int_equal(b.p[at++], (part + 1) << 3 | 2);
			for (n = 0, shift = 0;; shift += 7) {
				n |= (size_t)(b.p[at] & 127) << shift;
				if (!((u8)b.p[at++] & 128))
					break;
			}
			assert_int_equal(n, b.n - at);
		}
		assert_int_equal(n, sizes[i]);
		assert_memory_equal(b.p + at, text, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fields),
		cmocka_unit_test(defaults),
		cmocka_unit_test(nested_lengths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
