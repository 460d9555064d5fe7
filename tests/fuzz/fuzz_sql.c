/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target for SQL text: any bytes, cut anywhere.
 *
 * The first byte of the input says where it is cut, the rest is the text. Every promise of
 * proto/sql.h is checked against every text: masking in pieces equals masking at once, masking
 * twice equals masking once, a masked text has the tokens, the normalised form, the fingerprint and
 * the statements of the original, bounds are kept.
 */
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "proto/sql_lex.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define CHECK(x)                                                                                   \
	do {                                                                                       \
		if (!(x)) {                                                                        \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                    \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

static u8 *copy(const u8 *p, size_t n)
{
	u8 *c = malloc(n ? n : 1);

	CHECK(c);
	if (n)
		memcpy(c, p, n);
	return c;
}

/* Pieces of a length that changes from one to the next; each is its own block for the sanitizer. */
static void mask_in_pieces(u8 *p, size_t n, u8 seed)
{
	struct sql_mask m = { 0 };
	size_t at = 0, len = seed % 7 + 1;

	while (at < n) {
		size_t part = MIN(len, n - at);
		_free_ u8 *piece = copy(p + at, part);

		sql_mask_feed(&m, piece, part);
		memcpy(p + at, piece, part);
		at += part;
		len = (len * 5 + seed) % 11 + 1;
	}
}

static void check_tokens(const u8 *a, const u8 *b, size_t n)
{
	struct sql_reader ra, rb;
	struct sql_token ta, tb;
	const u8 *before = a;

	sql_reader_init(&ra, slice_of(a, n));
	sql_reader_init(&rb, slice_of(b, n));
	while (sql_reader_next(&ra, &ta)) {
		CHECK(sql_reader_next(&rb, &tb));
		CHECK(ta.kind == tb.kind && ta.n == tb.n && ta.p - a == tb.p - b);
		CHECK(ta.n > 0 && ta.p >= before && ta.p + ta.n <= a + n);
		before = ta.p + ta.n;
	}
	CHECK(!sql_reader_next(&rb, &tb));
}

static void check_normal(const u8 *a, const u8 *b, size_t n, bool truncated, size_t max)
{
	_release_(buf) struct buf ta = BUF_INIT;
	_release_(buf) struct buf tb = BUF_INIT;
	u64 fa, fb;

	buf_adds(&ta, "<");
	fa = sql_normalise(slice_of(a, n), truncated, max, &ta);
	fb = sql_normalise(slice_of(b, n), truncated, max, &tb);
	CHECK(fa && fa == fb);
	CHECK(ta.n - 1 <= max && ta.n - 1 == tb.n);
	CHECK(ta.p[0] == '<' && ta.p[ta.n] == '\0');
	CHECK(!tb.n || memcmp(ta.p + 1, tb.p, tb.n) == 0);
}

static void check_statements(const u8 *a, const u8 *b, size_t n)
{
	size_t off_a = 0, off_b = 0, before = 0;
	struct slice sa, sb;
	char word[8];

	while (sql_next_statement(slice_of(a, n), &off_a, &sa)) {
		CHECK(sql_next_statement(slice_of(b, n), &off_b, &sb));
		CHECK(off_a > before && off_a <= n && off_a == off_b);
		CHECK(sa.n && sa.n == sb.n && sa.p - (const char *)a == sb.p - (const char *)b);
		CHECK((size_t)(sa.p - (const char *)a) >= before &&
		      sa.p + sa.n <= (const char *)a + n);
		before = off_a;
		sql_operation(sa, word, sizeof(word));
		CHECK(strlen(word) < sizeof(word));
	}
	CHECK(!sql_next_statement(slice_of(b, n), &off_b, &sb));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	_free_ u8 *text = NULL;
	_free_ u8 *masked = NULL;
	_free_ u8 *pieces = NULL;
	struct sql_mask m = { 0 };
	u8 seed;

	if (!n)
		return 0;
	seed = data[0];
	n--;
	text = copy(data + 1, n);
	masked = copy(text, n);
	pieces = copy(text, n);

	sql_mask_feed(&m, masked, n);
	mask_in_pieces(pieces, n, seed);
	CHECK(!n || memcmp(masked, pieces, n) == 0);
	memset(&m, 0, sizeof(m));
	sql_mask_feed(&m, pieces, n);
	CHECK(!n || memcmp(masked, pieces, n) == 0);

	check_tokens(text, masked, n);
	check_normal(text, masked, n, false, 4 * n + 16);
	check_normal(text, masked, n, true, 4 * n + 16);
	check_normal(text, masked, n, false, seed);
	check_statements(text, masked, n);
	return 0;
}
