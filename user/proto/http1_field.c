/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Header fields and trailers, parsed and masked as they pass.
 *
 * Input: runs of a side that is between the first line of a head and its end. Output: the host of
 * the request in the queue, and length, coding and expectation in struct http1_side. Kept are line
 * structure, names, and the values of a short allow-list; in trailers no value at all.
 *
 * A line that is whole in its run is taken at once, any other byte by byte, to the same effect.
 */
#include <string.h>

#include "proto/http1.h"

/* Masks part of a line; CR stays because it may turn out to belong to the line's end. */
static void mask_line(const struct proto_ctx *ctx, u8 *p, u8 *end)
{
	u8 *cr;

	for (; p < end; p = cr + 1) {
		cr = memchr(p, '\r', (size_t)(end - p));
		if (!cr)
			cr = end;
		http1_mask(ctx, p, (size_t)(cr - p));
	}
}

static u8 kind_of(const struct http1_side *s, const char *name, size_t n)
{
	/* Both usual spellings, so that comparing letter by letter is the exception. */
	static const struct {
		const char *name, *lower;
		u8 kind;
	} kept[] = {
		{ "Host", "host", HTTP1_K_HOST },
		{ "Expect", "expect", HTTP1_K_EXPECT },
		{ "Upgrade", "upgrade", HTTP1_K_KEEP },
		{ "Connection", "connection", HTTP1_K_KEEP },
		{ "Content-Type", "content-type", HTTP1_K_TYPE },
		{ "Content-Length", "content-length", HTTP1_K_LENGTH },
		{ "Transfer-Encoding", "transfer-encoding", HTTP1_K_CODING },
	};
	static const u8 by_length[] = {
		[4] = 1, [6] = 2, [7] = 3, [10] = 4, [12] = 5, [14] = 6, [17] = 7
	};
	u8 i = n < sizeof(by_length) ? by_length[n] : 0;

	if (!i || s->trailer || http1_lower((u8)*name) != (u8)*kept[--i].lower)
		return HTTP1_K_MASK;
	if (memcmp(name, kept[i].name, n) && memcmp(name, kept[i].lower, n) &&
	    !slice_eq_nocase(slice_of(name, n), slice_of(kept[i].lower, n)))
		return HTTP1_K_MASK;
	return kept[i].kind;
}

static void value_start(struct http1_side *s, u8 kind)
{
	s->kind = kind;
	s->type_masked = false;
	s->state = HTTP1_VALUE_START;
}

static u8 *name(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	u8 n = s->name_len;

	for (; p < end && http1_token[*p] && n < HTTP1_NAME_MAX; p++, n++)
		if (n < sizeof(s->name))
			s->name[n] = (char)*p;
	s->name_len = n;
	if (p == end)
		return p;
	if (*p == ':') {
		value_start(s, kind_of(s, s->name, n));
		return p + 1;
	}
	if (http1_is_blank(*p)) {
		s->state = HTTP1_NAME_BLANK;
		return p + 1;
	}
	s->state = HTTP1_NOISE;
	return p;
}

static u8 *name_blank(struct http1_feed *f, u8 *p)
{
	struct http1_side *s = f->s;

	if (http1_is_blank(*p))
		return p + 1;
	if (*p != ':') {
		s->state = HTTP1_NOISE;
		return p;
	}
	value_start(s, kind_of(s, s->name, s->name_len));
	return p + 1;
}

static void value_add(struct http1_side *s, const u8 *p, const u8 *end)
{
	const u8 *cr;
	size_t n, room;

	for (; p < end; p = cr + 1) {
		cr = memchr(p, '\r', (size_t)(end - p));
		if (!cr)
			cr = end;
		n = (size_t)(cr - p);
		room = HTTP1_VALUE_MAX - s->value_len;
		if (n > room) {
			s->value_over = true;
			n = room;
		}
		memcpy(s->value + s->value_len, p, n);
		s->value_len = (u16)(s->value_len + n);
	}
}

/* Part of a value, without the line feed that ends it. */
static void value_part(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	u8 *semi;

	switch (s->kind) {
	case HTTP1_K_MASK:
		mask_line(f->ctx, p, end);
		break;
	case HTTP1_K_KEEP:
		break;
	case HTTP1_K_TYPE:
		semi = s->type_masked ? p - 1 : memchr(p, ';', (size_t)(end - p));
		if (semi) {
			mask_line(f->ctx, semi + 1, end);
			s->type_masked = true;
		}
		break;
	default:
		value_add(s, p, end);
	}
}

static u8 *value(struct http1_feed *f, u8 *p, u8 *end)
{
	u8 *nl = memchr(p, '\n', (size_t)(end - p));

	value_part(f, p, nl ? nl : end);
	if (!nl)
		return end;
	f->s->state = HTTP1_FIELD;
	return nl + 1;
}

/* "5", or "5, 5" from a proxy that joined equal lines; anything else makes the length unknown. */
static void length_done(struct http1_side *s, struct slice v)
{
	struct slice one;
	const char *comma;
	u64 n;
	size_t i;

	do {
		comma = memchr(v.p, ',', v.n);
		one = slice_trim(slice_of(v.p, comma ? (size_t)(comma - v.p) : v.n));
		n = 0;
		for (i = 0; i < one.n && one.p[i] >= '0' && one.p[i] <= '9'; i++)
			n = n * 10 + (u64)(one.p[i] - '0');
		if (!one.n || one.n > 18 || i < one.n || (s->cl_seen && n != s->length))
			s->cl_bad = true;
		s->cl_seen = true;
		s->length = n;
		if (comma) {
			v.n -= (size_t)(comma + 1 - v.p);
			v.p = comma + 1;
		}
	} while (comma);
}

/* The last coding named decides. */
static void coding_done(struct http1_side *s, struct slice v)
{
	const char *comma = memrchr(v.p, ',', v.n);

	if (comma)
		v = slice_trim(slice_of(comma + 1, (size_t)(v.p + v.n - comma - 1)));
	if (slice_eq_nocase(v, SLICE("identity")) && !s->te_seen)
		return;
	s->te_seen = true;
	s->te_chunked = !s->value_over && slice_eq_nocase(v, SLICE("chunked"));
}

/* A header line is over once the next one is seen not to continue it. */
static void value_done(struct http1_feed *f)
{
	struct http1_side *s = f->s;
	struct slice v = slice_trim(slice_of(s->value, s->value_len));
	struct http1_req *e = s->side == PROTO_CLIENT ? http1_req_cur(f->st) : NULL;

	switch (s->kind) {
	case HTTP1_K_HOST:
		if (e && !e->host_len)
			http1_text_add(f, HTTP1_P_HOST, v.p, v.n);
		break;
	case HTTP1_K_LENGTH:
		length_done(s, v);
		s->cl_bad |= s->value_over;
		break;
	case HTTP1_K_CODING:
		coding_done(s, v);
		break;
	case HTTP1_K_EXPECT:
		if (e)
			e->expect = slice_eq_nocase(v, SLICE("100-continue"));
		break;
	}
	s->kind = HTTP1_K_MASK;
	s->value_len = 0;
	s->value_over = false;
}

/*
 * A whole line at once, to the same effect as byte by byte. Returns p when that is not possible.
 * The line feed stops the walk over the name.
 */
static u8 *whole_line(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	u8 *nl = memchr(p, '\n', (size_t)(end - p)), *q = p;

	if (!nl)
		return p;
	while (http1_token[*q])
		q++;
	if (*q != ':' || q == p || q - p > HTTP1_NAME_MAX)
		return p;
	s->kind = kind_of(s, (const char *)p, (size_t)(q - p));
	s->type_masked = false;
	for (q++; http1_is_blank(*q); q++)
		;
	value_part(f, q, nl);
	return nl + 1;
}

static u8 *field(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	u8 *q;

	for (; p < end; p = q) {
		if (http1_is_blank(*p)) {
			/* Folded: the line goes on with the value before it, under the same mask. */
			if (s->value_len)
				value_add(s, p, p + 1);
			s->state = HTTP1_VALUE_START;
			return p + 1;
		}
		if (s->kind)
			value_done(f);
		if (*p == '\n')
			return http1_head_end(f, p + 1);
		if (*p == '\r') {
			s->state = HTTP1_HEAD_CR;
			return p + 1;
		}
		q = whole_line(f, p, end);
		if (q == p) {
			s->name_len = 0;
			s->state = http1_token[*p] ? HTTP1_NAME : HTTP1_NOISE;
			return p;
		}
	}
	return p;
}

static u8 *noise(struct http1_feed *f, u8 *p, u8 *end)
{
	u8 *nl = memchr(p, '\n', (size_t)(end - p));

	mask_line(f->ctx, p, nl ? nl : end);
	if (!nl)
		return end;
	f->s->state = HTTP1_FIELD;
	return nl + 1;
}

u8 *http1_field(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;

	switch (s->state) {
	case HTTP1_FIELD:
		return field(f, p, end);
	case HTTP1_HEAD_CR:
		if (*p == '\n')
			return http1_head_end(f, p + 1);
		s->state = HTTP1_NOISE;
		return p;
	case HTTP1_NAME:
		return name(f, p, end);
	case HTTP1_NAME_BLANK:
		return name_blank(f, p);
	case HTTP1_VALUE_START:
		if (http1_is_blank(*p))
			return p + 1;
		s->state = HTTP1_VALUE;
		return p;
	case HTTP1_VALUE:
		return value(f, p, end);
	default:
		return noise(f, p, end);
	}
}
