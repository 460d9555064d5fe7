/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Goes over message bodies piece by piece and overwrites what is private, in place.
 *
 * Everything that later code decides on (names, SQL, tags, SQLSTATE, NUL bytes between them) stays;
 * so feeding the masked bytes again gives the same calls. Names keep the length that the server
 * compares; what a peer adds behind it could be anything and is masked too.
 */
#include "proto/pgsql.h"

#define TAG_MAX 60

void pg_hide(const struct proto_ctx *ctx, u8 *p, size_t n)
{
	if (!ctx->show_literals)
		memset(p, 'x', n);
}

void pg_scan_begin(struct pg_scan *s, u8 how)
{
	s->how = how;
	s->step = 0;
	s->at = 0;
	s->field = 0;
	s->key_n = 0;
	s->keep_value = false;
	if (how == PG_SCAN_QUERY || how == PG_SCAN_PARSE)
		memset(&s->sql, 0, sizeof(s->sql));
	if (how == PG_SCAN_FIELDS) {
		s->severity = 0;
		memset(s->sqlstate, 0, sizeof(s->sqlstate));
	}
}

static void cover(u8 *p, size_t n, bool hide)
{
	if (hide && n)
		memset(p, 'x', n);
}

/* Bytes before the next NUL; *ret_end: it was there. */
static size_t string_piece(const u8 *p, size_t n, bool *ret_end)
{
	const u8 *nul = memchr(p, 0, n);

	*ret_end = nul != NULL;
	return nul ? (size_t)(nul - p) : n;
}

/* Keeps the first max bytes of the string under way. Returns bytes passed, NUL included. */
static size_t keep_string(struct pg_scan *s, u8 *p, size_t n, size_t max, bool hide)
{
	bool end;
	size_t k = string_piece(p, n, &end), keep;

	keep = s->at < max ? MIN(k, max - s->at) : 0;
	cover(p + keep, k - keep, hide);
	s->at += k;
	if (end) {
		s->step++;
		s->at = 0;
	}
	return k + end;
}

static size_t sql_string(struct pg_scan *s, u8 *p, size_t n, bool hide)
{
	bool end;
	size_t k = string_piece(p, n, &end);

	if (hide)
		sql_mask_feed(&s->sql, p, k);
	if (end)
		s->step++;
	return k + end;
}

static void keep_first(struct pg_scan *s, u8 *p, size_t n, size_t max, bool hide)
{
	size_t keep = s->at < max ? MIN(n, max - s->at) : 0;

	cover(p + keep, n - keep, hide);
	s->at += n;
}

/* Field: a code byte, a string. A zero code ends them. */
static size_t scan_field(struct pg_scan *s, u8 *p, size_t n, bool hide)
{
	size_t i, k;
	bool end;

	if (s->step == 0) {
		s->field = *p;
		s->at = 0;
		s->step = *p ? 1 : 2;
		return 1;
	}
	k = string_piece(p, n, &end);
	for (i = 0; i < k; i++, s->at++) {
		if (s->field == 'C' && s->at < sizeof(s->sqlstate) - 1) {
			bool ok = (p[i] >= '0' && p[i] <= '9') || (p[i] >= 'A' && p[i] <= 'Z');

			if (!ok && hide)
				p[i] = 'x';
			s->sqlstate[s->at] = ok ? (char)p[i] : 'x';
		} else if ((s->field == 'V' || s->field == 'S') && s->at < 7) {
			/* S is translated, V is not and comes after it. */
			if (!s->at)
				s->severity = (char)p[i];
		} else {
			cover(p + i, k - i, hide);
			s->at += k - i;
			break;
		}
	}
	if (end)
		s->step = 0;
	return k + end;
}

static void scan_tag(struct pg_scan *s, u8 *p, size_t n, bool hide)
{
	size_t i;

	for (i = 0; i < n; i++, s->at++) {
		bool ok =
			(p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= '0' && p[i] <= '9') || p[i] == ' ';

		if (s->step == 0 && p[i] == 0)
			s->step = 1;
		else if (hide && (s->step || s->at >= TAG_MAX || !ok))
			p[i] = 'x';
	}
}

static bool value_is_public(const struct pg_scan *s)
{
	struct slice key = { s->key, s->key_n };

	if (s->how == PG_SCAN_PARAM)
		return slice_eq(key, SLICE("server_version"));
	return slice_eq(key, SLICE("user")) || slice_eq(key, SLICE("database"));
}

/* Keys and values in turn. Keys stay when they are words; an empty key ends the list. */
static size_t scan_pair(struct pg_scan *s, u8 *p, size_t n, bool hide)
{
	bool end;
	size_t k = string_piece(p, n, &end), i;

	if (s->step & 1) {
		if (!s->keep_value)
			cover(p, k, hide);
		else
			for (i = 0; i < k; i++)
				if (s->at + i >= PG_NAME_MAX && hide)
					p[i] = 'x';
		s->at += k;
	} else {
		for (i = 0; i < k; i++, s->at++) {
			bool ok = s->at < 40 && ((p[i] >= 'a' && p[i] <= 'z') || p[i] == '_' ||
						 p[i] == '.' || (p[i] >= 'A' && p[i] <= 'Z'));

			if (!ok && hide)
				p[i] = 'x';
			if (s->at < sizeof(s->key))
				s->key[s->at] = ok ? (char)p[i] : 'x';
		}
		s->key_n = MIN(s->at, sizeof(s->key));
		/* A longer key is none of the known ones. */
		if (end)
			s->keep_value = s->at <= sizeof(s->key) && value_is_public(s);
	}
	if (end) {
		if (!(s->step & 1) && s->at == 0)
			s->how = PG_SCAN_ALL;
		s->step ^= 1;
		s->at = 0;
	}
	return k + end;
}

/* One step of it: at least one byte. */
static size_t scan_some(struct pg_scan *s, u8 *p, size_t n, bool hide)
{
	switch (s->how) {
	case PG_SCAN_QUERY:
		if (s->step < 1)
			return sql_string(s, p, n, hide);
		break;
	case PG_SCAN_PARSE:
		if (s->step == 0)
			return keep_string(s, p, n, PG_NAME_MAX, hide);
		if (s->step == 1)
			return sql_string(s, p, n, hide);
		break;
	case PG_SCAN_BIND:
		if (s->step < 2)
			return keep_string(s, p, n, PG_NAME_MAX, hide);
		break;
	case PG_SCAN_NAMED:
		if (s->step == 0) {
			s->step = 1;
			return 1;
		}
		if (s->step == 1)
			return keep_string(s, p, n, PG_NAME_MAX, hide);
		break;
	case PG_SCAN_EXECUTE:
		if (s->step == 0)
			return keep_string(s, p, n, PG_NAME_MAX, hide);
		keep_first(s, p, n, 4, hide);
		return n;
	case PG_SCAN_FIELDS:
		if (s->step < 2)
			return scan_field(s, p, n, hide);
		break;
	case PG_SCAN_PARAM:
	case PG_SCAN_STARTUP:
		return scan_pair(s, p, n, hide);
	case PG_SCAN_TAG:
		scan_tag(s, p, n, hide);
		return n;
	case PG_SCAN_KEEP4:
		keep_first(s, p, n, 4, hide);
		return n;
	case PG_SCAN_KEEP2:
		keep_first(s, p, n, 2, hide);
		return n;
	}
	cover(p, n, hide);
	return n;
}

void pg_scan(struct pg_scan *s, u8 *p, size_t n, bool hide)
{
	while (n) {
		size_t k = scan_some(s, p, n, hide);

		p += k;
		n -= k;
	}
}
