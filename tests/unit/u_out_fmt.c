/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and foreign text as people see them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <math.h>
#include <string.h>
#include "base/cleanup.h"
#include "out/fmt.h"

static void durations(void **state)
{
	static const struct {
		double ns;
		const char *text;
	} rows[] = {
		{ 0, "0 ms" },	       { 412, "0.41 µs" },    { 4120, "4.12 µs" },
		{ 41200, "41.2 µs" },  { 99499, "99.5 µs" },  { 99501, "0.10 ms" },
		{ 412000, "0.41 ms" }, { 4.12e6, "4.12 ms" }, { 12.34e6, "12.3 ms" },
		{ 99.96e6, "100 ms" }, { 999.4e6, "999 ms" }, { 999.6e6, "1.00 s" },
		{ 1.84e9, "1.84 s" },  { 120e9, "120 s" },    { 1800e9, "30.0 min" },
		{ -1, "-" },	       { NAN, "-" },	      { INFINITY, "-" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_string_equal(fmt_dur(FMT, rows[i].ns), rows[i].text);
}

static void counts_bytes_ratios(void **state)
{
	(void)state;
	assert_string_equal(fmt_count(FMT, 0), "0");
	assert_string_equal(fmt_count(FMT, 999), "999");
	assert_string_equal(fmt_count(FMT, 1000), "1,000");
	assert_string_equal(fmt_count(FMT, UINT64_MAX), "18,446,744,073,709,551,615");
	assert_string_equal(fmt_bytes(FMT, 0), "0 B");
	assert_string_equal(fmt_bytes(FMT, 999), "999 B");
	assert_string_equal(fmt_bytes(FMT, 1024), "1.00 KiB");
	assert_string_equal(fmt_bytes(FMT, 123.4 * 1024 * 1024), "123 MiB");
	assert_string_equal(fmt_bytes(FMT, NAN), "-");
	assert_string_equal(fmt_rate(FMT, 0), "0");
	assert_string_equal(fmt_rate(FMT, 0.412), "0.41");
	assert_string_equal(fmt_rate(FMT, 1234.4), "1,234");
	assert_string_equal(fmt_pct(FMT, 0), "0 %");
	assert_string_equal(fmt_pct(FMT, 0.123), "12.3 %");
	assert_string_equal(fmt_pct(FMT, 1), "100 %");
	assert_string_equal(fmt_pct(FMT, 0.00001), "< 0.01 %");
}

static const char *clipped(struct buf *b, struct slice s, size_t cells)
{
	buf_clear(b);
	text_clip(b, s, cells);
	buf_addch(b, 0);
	return b->p;
}

static void clipping(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	assert_string_equal(clipped(&b, SLICE("short"), 5), "short");
	assert_string_equal(clipped(&b, SLICE("longer"), 5), "long…");
	assert_string_equal(clipped(&b, SLICE("longer"), 0), "");
	/* Wide characters take two columns and are never split. */
	assert_string_equal(clipped(&b, SLICE("漢字漢字"), 8), "漢字漢字");
	assert_string_equal(clipped(&b, SLICE("漢字漢字"), 7), "漢字漢…");
	assert_string_equal(clipped(&b, SLICE("漢字漢字"), 6), "漢字…");
	buf_release(&b);
}

/* Nothing that steers a terminal, breaks a line or turns the reading direction gets through. */
static void clipping_in_the_middle(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	static const struct {
		const char *text;
		size_t cells;
		const char *want;
		size_t used;
	} rows[] = {
		{ "short", 5, "short", 5 },
		{ "<prepared __asyncpg_stmt_15__>", 18, "<prepared _…_15__>", 18 },
		{ "abcdefghi", 6, "abc…hi", 6 },
		{ "abcdefghi", 2, "a…", 2 },
		{ "abcdefghi", 0, "", 0 },
		{ "漢字漢字漢字", 8, "漢字…字", 7 },
		{ "a\x1b[31mbcdefgh\x7f", 6, "a.[…h.", 6 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_clear(&b);
		assert_int_equal(text_clip_middle(&b, slice_str(rows[i].text), rows[i].cells),
				 rows[i].used);
		buf_addch(&b, 0);
		assert_string_equal(b.p, rows[i].want);
	}
	assert_int_equal(text_columns(SLICE("漢字…a")), 6);
}

static void unsafe_text(void **state)
{
	struct buf b = BUF_INIT;
	size_t i;
	char all[256];

	(void)state;
	assert_string_equal(clipped(&b, SLICE("a\x1b[31mb\r\nc\td\x7f"), 40), "a.[31mb..c.d.");
	assert_string_equal(clipped(&b,
				    SLICE("a\xe2\x80\xae"
					  "b\xc2\x9b"),
				    40),
			    "a.b.");
	assert_string_equal(clipped(&b, SLICE("\xef\xbb\xbfx\xe2\x80\xa8y\xe2\x81\xa6z"), 40),
			    ".x.y.z");
	/* Overlong, surrogate, past the end, cut. */
	assert_string_equal(clipped(&b, SLICE("\xc0\xaf"), 40), "..");
	assert_string_equal(clipped(&b, SLICE("\xed\xa0\x80"), 40), "...");
	assert_string_equal(clipped(&b, SLICE("\xf4\x90\x80\x80"), 40), "....");
	assert_string_equal(clipped(&b, SLICE("\xe6\xbc"), 40), "..");
	assert_string_equal(clipped(&b, slice_of("a\0b", 3), 40), "a.b");
	for (i = 0; i < sizeof(all); i++)
		all[i] = (char)i;
	clipped(&b, slice_of(all, sizeof(all)), 1000);
	for (i = 0; i + 1 < b.n; i++)
		assert_true((unsigned char)b.p[i] >= 0x20 && (unsigned char)b.p[i] < 0x7f);
	buf_release(&b);
}

static void escaping(void **state)
{
	struct buf b = BUF_INIT;

	(void)state;
	text_xml(&b, SLICE("<a href=\"x\">&'"), 100);
	buf_addch(&b, 0);
	assert_string_equal(b.p, "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
	buf_clear(&b);
	text_md(&b, SLICE("a|b`c\n<b>*_[x](y)&"), 100, false);
	buf_addch(&b, 0);
	assert_string_equal(b.p, "a\\|b\\`c.&lt;b\\>\\*\\_\\[x\\](y)&amp;");
	buf_clear(&b);
	text_md(&b, SLICE("a|b`c\n<b>"), 100, true);
	buf_addch(&b, 0);
	assert_string_equal(b.p, "`a\\|b'c.<b>`");
	buf_clear(&b);
	/* An empty code span would swallow what follows. */
	text_md(&b, SLICE(""), 100, true);
	assert_int_equal(b.n, 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(durations),   cmocka_unit_test(counts_bytes_ratios),
		cmocka_unit_test(clipping),    cmocka_unit_test(clipping_in_the_middle),
		cmocka_unit_test(unsafe_text), cmocka_unit_test(escaping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
