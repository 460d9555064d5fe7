/* SPDX-License-Identifier: Apache-2.0 */
/* base/json: layout, escaping of hostile bytes, numbers; cJSON reads back what was written. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "base/json.h"

static void sample(struct json *j)
{
	json_obj(j, NULL);
	json_u64(j, "n", 18446744073709551615ULL);
	json_s64(j, "s", -9223372036854775807LL - 1);
	json_arr(j, "a");
	json_num(j, NULL, 1.5);
	json_bool(j, NULL, true);
	json_null(j, NULL);
	json_end_arr(j);
	json_arr(j, "e");
	json_end_arr(j);
	json_obj(j, "o");
	json_cstr(j, "k", "v");
	json_cstr(j, "none", NULL);
	json_end_obj(j);
	json_end_obj(j);
}

static void t_layout(void **state)
{
	struct buf b = BUF_INIT;
	struct json j;

	(void)state;
	json_init(&j, &b, false);
	sample(&j);
	assert_string_equal(b.p, "{\"n\":18446744073709551615,\"s\":-9223372036854775808,"
				 "\"a\":[1.5,true,null],\"e\":[],"
				 "\"o\":{\"k\":\"v\",\"none\":null}}");
	buf_clear(&b);
	json_init(&j, &b, true);
	sample(&j);
	assert_string_equal(b.p, "{\n  \"n\": 18446744073709551615,\n"
				 "  \"s\": -9223372036854775808,\n"
				 "  \"a\": [\n    1.5,\n    true,\n    null\n  ],\n"
				 "  \"e\": [],\n"
				 "  \"o\": {\n    \"k\": \"v\",\n    \"none\": null\n  }\n}");
	buf_release(&b);
}

static void check_str(const char *in, size_t n, const char *want)
{
	struct buf b = BUF_INIT;
	struct json j;

	json_init(&j, &b, false);
	json_str(&j, NULL, slice_of(in, n));
	assert_string_equal(b.p, want);
	buf_release(&b);
}

static void t_strings(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		const char *want;
	} rows[] = {
		{ "", 0, "\"\"" },
		{ NULL, 0, "\"\"" },
		{ "a\"b\\c/d", 7, "\"a\\\"b\\\\c/d\"" },
		{ "\n\r\t\b\f\x01\x1f\0", 8, "\"\\n\\r\\t\\b\\f\\u0001\\u001f\\u0000\"" },
		{ "\x7f", 1, "\"\x7f\"" },
		{ "h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", 12,
		  "\"h\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"" },
		/* lone continuation, overlong, surrogate, beyond U+10FFFF, cut at the end */
		{ "\x80", 1, "\"\xef\xbf\xbd\"" },
		{ "\xc0\xaf", 2, "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xed\xa0\x80", 3, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xf4\x90\x80\x80", 4, "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "x\xe2\x82", 3, "\"x\xef\xbf\xbd\xef\xbf\xbd\"" },
		{ "\xff"
		  "ok",
		  3, "\"\xef\xbf\xbdok\"" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		check_str(rows[i].in, rows[i].n, rows[i].want);
}

static void t_numbers(void **state)
{
	static const struct {
		double v;
		const char *want;
	} rows[] = {
		{ 0, "0" },
		{ -0.0, "0" },
		{ -0.0000001, "0" },
		{ 1, "1" },
		{ -100, "-100" },
		{ 0.1, "0.1" },
		{ 12.3400001, "12.34" },
		{ 0.000001, "0.000001" },
		{ 1e15, "1000000000000000" },
		{ NAN, "null" },
		{ INFINITY, "null" },
		{ -INFINITY, "null" },
	};
	struct buf b = BUF_INIT;
	struct json j;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		buf_clear(&b);
		json_init(&j, &b, false);
		json_num(&j, NULL, rows[i].v);
		assert_string_equal(b.p, rows[i].want);
	}
	buf_clear(&b);
	json_init(&j, &b, false);
	json_num(&j, NULL, -1.7e308);
	assert_int_equal(b.n, 310);
	buf_clear(&b);
	json_init(&j, &b, false);
	json_ms(&j, NULL, 1234567);
	assert_string_equal(b.p, "1.234567");
	buf_release(&b);
}

/* Every pair of bytes as key and value gives a document that a foreign parser accepts. */
static void t_any_bytes_parse(void **state)
{
	struct buf b = BUF_INIT;
	struct json j;
	int a, c;

	(void)state;
	for (a = 1; a < 256; a++) {
		buf_clear(&b);
		json_init(&j, &b, a & 1);
		json_arr(&j, NULL);
		for (c = 1; c < 256; c++) {
			char text[3] = { (char)a, (char)c, 0 };

			json_obj(&j, NULL);
			json_cstr(&j, text, text);
			json_end_obj(&j);
		}
		json_end_arr(&j);
		{
			cJSON *doc = cJSON_ParseWithLength(b.p, b.n);
			cJSON *item;

			assert_non_null(doc);
			assert_int_equal(cJSON_GetArraySize(doc), 255);
			cJSON_ArrayForEach(item, doc)
			{
				assert_string_equal(item->child->string, item->child->valuestring);
			}
			cJSON_Delete(doc);
		}
	}
	buf_release(&b);
}

static void t_too_deep(void **state)
{
	struct buf b = BUF_INIT;
	struct json j;
	int i;

	(void)state;
	json_init(&j, &b, true);
	for (i = 0; i < 31; i++)
		json_arr(&j, NULL);
	assert_false(b.oom);
	json_arr(&j, NULL);
	assert_true(b.oom);
	for (i = 0; i < 40; i++)
		json_end_arr(&j);
	assert_int_equal(j.depth, 0);
	buf_release(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_layout),   cmocka_unit_test(t_strings),
		cmocka_unit_test(t_numbers),  cmocka_unit_test(t_any_bytes_parse),
		cmocka_unit_test(t_too_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
