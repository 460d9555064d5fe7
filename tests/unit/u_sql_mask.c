/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto/sql, masking: what is overwritten and what stays, for every way to cut the text in two and
 * for single bytes; masking twice; tokens and fingerprint of the masked text.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "proto/sql_lex.h"

static const struct {
	const char *text;
	const char *masked;
} cases[] = {
	{ "SELECT 'secret'", "SELECT 'xxxxxx'" },
	{ "SELECT ''", "SELECT ''" },
	{ "SELECT 'it''s' , 'b'", "SELECT 'xx''x' , 'x'" },
	{ "SELECT 'C:\\', 'b'", "SELECT 'xxx', 'x'" },
	{ "SELECT E'it\\'s' , 'b'", "SELECT E'xxxxx' , 'x'" },
	{ "SELECT e'\\\\', 'b'", "SELECT e'xx', 'x'" },
	{ "SELECT E'a''b\\''", "SELECT E'x''xxx'" },
	{ "SELECT name'\\', 1", "SELECT name'x', 0" },
	{ "SELECT E 'a\\', 1", "SELECT E 'xx', 0" },
	{ "SELECT E'a'\n  'b\\'c', 1", "SELECT E'x'\n  'xxxx', 0" },
	{ "SELECT E'a' -- it's\n 'b\\'c'", "SELECT E'x' --xxxxx\n 'xxxx'" },
	{ "SELECT E'a' 'b\\', 1", "SELECT E'x' 'xx', 0" },
	{ "SELECT E'a' /* c */\n'b\\', 1", "SELECT E'x' /*xxx*/\n'xx', 0" },
	{ "SELECT 'a'\n'b\\', 1", "SELECT 'x'\n'xx', 0" },
	{ "SELECT U&'d\\0061' UESCAPE '!'", "SELECT U&'xxxxxx' UESCAPE 'x'" },
	{ "SELECT B'0101', X'1fF', N'n'", "SELECT B'xxxx', X'xxx', N'x'" },
	{ "SELECT $$it's $1$$, 'b'", "SELECT $$xxxxx$x$$, 'x'" },
	{ "SELECT $t$ $$ $ta$ $t $t$, 1", "SELECT $t$x$$x$tx$x$tx$t$, 0" },
	{ "SELECT $tax$ $taz $tay$ $tax$, 1", "SELECT $tax$x$tayx$tay$x$tax$, 0" },
	{ "SELECT $e'a\\'b', 1", "SELECT $e'xxxx', 0" },
	{ "SELECT $1 + $23, a$1, $1a", "SELECT $1 + $23, a$1, $1a" },
	{ "SELECT a$b$c, 'd'", "SELECT a$b$c, 'x'" },
	{ "SELECT \"it's 12\", \"a\"\"b'\", 'c'", "SELECT \"it's 12\", \"a\"\"b'\", 'x'" },
	{ "SELECT U&\"d\\0061\" , 'c'", "SELECT U&\"d\\0061\" , 'x'" },
	{ "SELECT 1 -- my 'secret'\n, 2", "SELECT 0 --xxxxxxxxxxxx\n, 0" },
	{ "SELECT 1 -- a\r, 2", "SELECT 0 --xx\r, 0" },
	{ "SELECT 1 - -1 --1", "SELECT 0 - -0 --x" },
	{ "SELECT 5-- 6\n- 7", "SELECT 0--xx\n- 0" },
	{ "/* a /* b 'c' */ d\n*/ SELECT 'e'", "/*xxx/*xxxxxxx*/xx\n*/ SELECT 'x'" },
	{ "/*/ 'a' /*/ b */*/ 1", "/*/xxxxx/*/xxx*/*/ 0" },
	{ "/***/ 1 /**/ + 2 **/ 3", "/***/ 0 /**/ + 0 **/ 0" },
	{ "SELECT 1234, .5, 1.5, 1., 0.1e-12, 7E+3", "SELECT 0000, .0, 0.0, 0., 0.0e-00, 0E+0" },
	{ "SELECT 0x1Fe, 0b11, 0o17, 1_000", "SELECT 0x000, 0b00, 0o00, 0_000" },
	{ "SELECT 12ab34, 1..2, 1.2.3", "SELECT 00x000, 0..0, 0.0.0" },
	{ "SELECT t1.c2, x_3, \xc3\xa9"
	  "4, a.5",
	  "SELECT t1.c2, x_3, \xc3\xa9"
	  "4, a.0" },
	{ "SELECT 'Z\xc3\xbcrich'", "SELECT 'xxxxxxx'" },
	{ "WHERE a = %s AND b = %(n1)s AND c = :n2 AND d = ?",
	  "WHERE a = %s AND b = %(n1)s AND c = :n2 AND d = ?" },
	{ "SELECT 'never ends; DROP 12", "SELECT 'xxxxxxxxxxxxxxxxxxx" },
	{ "SELECT E'never \\", "SELECT E'xxxxxxx" },
	{ "SELECT $a$ never $a", "SELECT $a$xxxxxxx$a" },
	{ "SELECT /* never * 'a", "SELECT /*xxxxxxx*xxx" },
	{ "SELECT -- never", "SELECT --xxxxxx" },
	{ "SELECT 'a';INSERT INTO t VALUES('b',-2)", "SELECT 'x';INSERT INTO t VALUES('x',-0)" },
};

static void mask_cut(const char *text, size_t cut, char *out)
{
	size_t n = strlen(text);
	_free_ char *a = strndup(text, cut);
	_free_ char *b = strdup(text + cut);
	struct sql_mask m = { 0 };

	sql_mask_feed(&m, (u8 *)a, cut);
	sql_mask_feed(&m, (u8 *)b, n - cut);
	memcpy(out, a, cut);
	memcpy(out + cut, b, n - cut + 1);
}

static void t_cases(void **state)
{
	char out[256];
	size_t i, cut;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = strlen(cases[i].text);
		struct sql_mask m = { 0 };

		assert_true(n < sizeof(out));
		assert_int_equal(n, strlen(cases[i].masked));
		for (cut = 0; cut <= n; cut++) {
			mask_cut(cases[i].text, cut, out);
			assert_string_equal(out, cases[i].masked);
		}
		memcpy(out, cases[i].text, n + 1);
		for (cut = 0; cut < n; cut++)
			sql_mask_feed(&m, (u8 *)out + cut, 1);
		assert_string_equal(out, cases[i].masked);
		memset(&m, 0, sizeof(m));
		sql_mask_feed(&m, (u8 *)out, n);
		assert_string_equal(out, cases[i].masked);
	}
}

/* Tokens of a text and of its masked form have the same kinds and the same places. */
static void t_tokens(void **state)
{
	size_t i, tokens = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct sql_reader a, b;
		struct sql_token ta, tb;

		sql_reader_init(&a, slice_str(cases[i].text));
		sql_reader_init(&b, slice_str(cases[i].masked));
		while (sql_reader_next(&a, &ta)) {
			assert_true(sql_reader_next(&b, &tb));
			assert_int_equal(ta.kind, tb.kind);
			assert_int_equal(ta.n, tb.n);
			assert_int_equal(ta.p - (const u8 *)cases[i].text,
					 tb.p - (const u8 *)cases[i].masked);
			tokens++;
		}
		assert_false(sql_reader_next(&b, &tb));
	}
	assert_true(tokens > 200);
}

static void t_fingerprint(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_release_(buf) struct buf a = BUF_INIT;
		_release_(buf) struct buf b = BUF_INIT;
		int cut;

		for (cut = 0; cut < 2; cut++) {
			buf_clear(&a);
			buf_clear(&b);
			assert_int_equal(sql_normalise(slice_str(cases[i].text), cut, 1000, &a),
					 sql_normalise(slice_str(cases[i].masked), cut, 1000, &b));
			buf_addch(&a, '|');
			buf_addch(&b, '|');
			assert_string_equal(a.p, b.p);
		}
	}
}

/* A tag that does not fit is never closed: nothing behind it can come out. */
static void t_long_tag(void **state)
{
	char tag[SQL_TAG_MAX + 2], text[512], out[512];
	size_t n, cut;

	(void)state;
	for (n = SQL_TAG_MAX - 1; n <= SQL_TAG_MAX + 1; n++) {
		memset(tag, 't', n);
		tag[n] = '\0';
		snprintf(text, sizeof(text), "SELECT $%s$ secret $%s$, 'hidden'", tag, tag);
		for (cut = 0; cut <= strlen(text); cut += 7) {
			mask_cut(text, cut, out);
			assert_null(strstr(out, "secret"));
			assert_null(strstr(out, "hidden"));
			assert_int_equal(!!strstr(out, ", 'xxxxxx'"), n <= SQL_TAG_MAX);
		}
	}
}

/* Comments nest deeper than a byte counts. */
static void t_deep(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct sql_mask m = { 0 };
	int i;

	(void)state;
	for (i = 0; i < 1000; i++)
		buf_adds(&b, "/*");
	for (i = 0; i < 999; i++)
		buf_adds(&b, "*/");
	buf_adds(&b, "deep*/out'in'");
	sql_mask_feed(&m, (u8 *)b.p, b.n);
	assert_non_null(strstr(b.p, "xxxx*/out'xx'"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_cases),	 cmocka_unit_test(t_tokens),
		cmocka_unit_test(t_fingerprint), cmocka_unit_test(t_long_tag),
		cmocka_unit_test(t_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
