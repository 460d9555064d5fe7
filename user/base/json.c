/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming JSON writer: summary.json, ndjson lines and `--json` of every command come from here.
 *
 * Input: keys and values in order. Output: text in a buf, without a newline after the last brace.
 * A streaming writer and not a document tree, because a report of thousands of endpoints is written
 * once and thrown away. Strings hold whatever the target sent, so they are checked byte by byte.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include "base/json.h"

void json_init(struct json *j, struct buf *out, bool pretty)
{
	memset(j, 0, sizeof(*j));
	j->out = out;
	j->pretty = pretty;
	j->first[0] = true;
}

static void json_newline(struct json *j)
{
	int i;

	if (!j->pretty)
		return;
	buf_addch(j->out, '\n');
	for (i = 0; i < j->depth; i++)
		buf_add(j->out, "  ", 2);
}

/* Length of the UTF-8 sequence at s, 0 when the byte starts none (overlong, surrogate, cut). */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	static const struct {
		unsigned char lo, hi, second_lo, second_hi, len;
	} rows[] = {
		{ 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 },
		{ 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 },
		{ 0xf1, 0xf3, 0x80, 0xbf, 4 }, { 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t r, i;

	for (r = 0; r < ARRAY_SIZE(rows); r++)
		if (s[0] >= rows[r].lo && s[0] <= rows[r].hi)
			break;
	if (r == ARRAY_SIZE(rows) || n < rows[r].len)
		return 0;
	if (s[1] < rows[r].second_lo || s[1] > rows[r].second_hi)
		return 0;
	for (i = 2; i < rows[r].len; i++)
		if (s[i] < 0x80 || s[i] > 0xbf)
			return 0;
	return rows[r].len;
}

static void json_escape(struct buf *out, unsigned char c)
{
	static const char from[] = "\"\\\n\r\t\b\f", to[] = "\"\\nrtbf";
	const char *hit = c ? strchr(from, c) : NULL;

	if (hit) {
		buf_addch(out, '\\');
		buf_addch(out, to[hit - from]);
	} else {
		buf_addf(out, "\\u%04x", c);
	}
}

static void json_quoted(struct buf *out, struct slice text)
{
	const unsigned char *s = (const unsigned char *)text.p;
	size_t i = 0, plain = 0, len;

	buf_addch(out, '"');
	while (i < text.n) {
		if (s[i] >= 0x20 && s[i] < 0x80 && s[i] != '"' && s[i] != '\\') {
			i++;
			continue;
		}
		if (s[i] >= 0x80) {
			len = utf8_len(s + i, text.n - i);
			if (len) {
				i += len;
				continue;
			}
		}
		buf_add(out, text.p + plain, i - plain);
		if (s[i] < 0x80)
			json_escape(out, s[i]);
		else
			buf_adds(out, "\xef\xbf\xbd");
		plain = ++i;
	}
	if (text.n > plain)
		buf_add(out, text.p + plain, text.n - plain);
	buf_addch(out, '"');
}

/* Comma, line break, indentation and key: all that stands before a value. */
static void json_lead(struct json *j, const char *key)
{
	if (!j->first[j->depth])
		buf_addch(j->out, ',');
	if (j->depth)
		json_newline(j);
	j->first[j->depth] = false;
	if (key) {
		json_quoted(j->out, slice_str(key));
		buf_adds(j->out, j->pretty ? ": " : ":");
	}
}

static void json_open(struct json *j, const char *key, char brace)
{
	json_lead(j, key);
	buf_addch(j->out, brace);
	/* Nesting is fixed by our own code; past the limit the document is refused as a whole. */
	if (j->depth + 1U >= ARRAY_SIZE(j->first)) {
		j->out->oom = true;
		return;
	}
	j->first[++j->depth] = true;
}

static void json_close(struct json *j, char brace)
{
	bool empty = j->first[j->depth];

	if (j->depth)
		j->depth--;
	if (!empty)
		json_newline(j);
	buf_addch(j->out, brace);
}

void json_obj(struct json *j, const char *key)
{
	json_open(j, key, '{');
}

void json_end_obj(struct json *j)
{
	json_close(j, '}');
}

void json_arr(struct json *j, const char *key)
{
	json_open(j, key, '[');
}

void json_end_arr(struct json *j)
{
	json_close(j, ']');
}

void json_str(struct json *j, const char *key, struct slice s)
{
	json_lead(j, key);
	json_quoted(j->out, s);
}

void json_cstr(struct json *j, const char *key, const char *s)
{
	if (s)
		json_str(j, key, slice_str(s));
	else
		json_null(j, key);
}

void json_u64(struct json *j, const char *key, u64 v)
{
	json_lead(j, key);
	buf_addf(j->out, "%llu", (unsigned long long)v);
}

void json_s64(struct json *j, const char *key, s64 v)
{
	json_lead(j, key);
	buf_addf(j->out, "%lld", (long long)v);
}

void json_num(struct json *j, const char *key, double v)
{
	char text[512]; /* DBL_MAX has 309 digits */
	int n;

	json_lead(j, key);
	if (!isfinite(v)) {
		buf_adds(j->out, "null");
		return;
	}
	n = snprintf(text, sizeof(text), "%.6f", v);
	while (text[n - 1] == '0')
		n--;
	if (text[n - 1] == '.')
		n--;
	if (n == 2 && text[0] == '-' && text[1] == '0')
		buf_addch(j->out, '0');
	else
		buf_add(j->out, text, (size_t)n);
}

void json_bool(struct json *j, const char *key, bool v)
{
	json_lead(j, key);
	buf_adds(j->out, v ? "true" : "false");
}

void json_null(struct json *j, const char *key)
{
	json_lead(j, key);
	buf_adds(j->out, "null");
}

void json_ms(struct json *j, const char *key, double ns)
{
	json_num(j, key, ns / (double)NSEC_PER_MSEC);
}
