/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One path segment: a word of the program or a value of the caller? Decided by its bytes alone.
 *
 *   {id}     digits, also in groups (42, -7, 12.5, 10:30)
 *   {date}   2024-05-01, 2024-05, 2024-05-01T10:00:00Z
 *   {uuid}   8-4-4-4-12 hexadecimal digits
 *   {hash}   hexadecimal, 8 or more with a digit among them, or 16 or more
 *   {token}  16 or more of letters, digits, - _ = ~ with digits well mixed in (ULID, base64, cuid)
 *   {email}  something@something.something
 *   {text}   longer than 64 bytes
 *   parts    item-{id} (a word, - _ or ., digits), user{id} (letters, then 4 or more digits),
 *            {id}-{name} (2 or more digits, -, words), {name}-{id} (words, -, 4 or more digits),
 *            main.{hash}.js, {id}.json (an extension stays), {id}:cancel (a verb stays)
 * All else is a literal: v1, v2.1, oauth2, sha256, jquery-3.6.0.min.js. From ';' on a segment is
 * dropped (path parameters). Bytes that do not print, and { }, become '.'; nothing is
 * percent-decoded.
 */
#include "agg/route.h"

struct shape {
	u32 digits;
	u32 letters;
	u32 hex; /* letters a-f, A-F */
	u32 others;
	u32 turns; /* changes between letters and digits, other bytes skipped */
	bool token; /* only bytes that tokens are made of */
};

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static struct shape shape_of(struct slice s)
{
	struct shape sh = { .token = true };
	char prev = 0;
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i], now;

		if (is_digit(c)) {
			sh.digits++;
			now = 'd';
		} else if (is_letter(c)) {
			sh.letters++;
			sh.hex += is_hex(c);
			now = 'l';
		} else {
			sh.others++;
			if (c != '-' && c != '_' && c != '=' && c != '~')
				sh.token = false;
			continue;
		}
		sh.turns += prev && now != prev;
		prev = now;
	}
	return sh;
}

/* 'd' digit, 'x' hexadecimal digit, 'T' T or blank, '*' the rest must be of digits and :.+-Z */
static bool fits(struct slice s, const char *pattern)
{
	size_t i;

	for (i = 0; pattern[i]; i++) {
		if (pattern[i] == '*') {
			for (; i < s.n; i++)
				if (!is_digit(s.p[i]) && !memchr(":.+-Z", s.p[i], 5))
					return false;
			return true;
		}
		if (i >= s.n)
			return false;
		if (pattern[i] == 'd'	? !is_digit(s.p[i])
		    : pattern[i] == 'x' ? !is_hex(s.p[i])
		    : pattern[i] == 'T' ? s.p[i] != 'T' && s.p[i] != ' '
					: s.p[i] != pattern[i])
			return false;
	}
	return i == s.n;
}

static bool is_email(struct slice s)
{
	const char *at = memchr(s.p, '@', s.n);
	const char *end = s.p + s.n;

	return at && at > s.p && memchr(at, '.', (size_t)(end - at)) && end[-1] != '.';
}

static bool is_hash(struct slice s, const struct shape *sh)
{
	return !sh->others && sh->hex == sh->letters && s.n >= 8 && (sh->digits || s.n >= 16);
}

static bool is_token(struct slice s, const struct shape *sh)
{
	return sh->token && s.n >= 16 && sh->letters && sh->digits >= 2 && sh->digits * 8 >= s.n &&
	       sh->turns >= 3;
}

/* Digits in groups; the minus of a negative number counts as a group's border. */
static bool is_number(struct slice s, const struct shape *sh)
{
	size_t i;

	if (!sh->digits || sh->letters)
		return false;
	if (!sh->others)
		return true;
	for (i = 0; i < s.n; i++)
		if (!is_digit(s.p[i]) && !memchr("-+.,:_", s.p[i], 6))
			return false;
	return is_digit(s.p[s.n - 1]);
}

/* The whole of s is a value. */
static enum route_class class_of(struct slice s, const struct shape *sh)
{
	if (is_number(s, sh))
		return fits(s, "dddd-dd-dd") || fits(s, "dddd-dd") ? ROUTE_DATE : ROUTE_ID;
	if (s.n == 36 && fits(s, "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"))
		return ROUTE_UUID;
	if (is_hash(s, sh))
		return ROUTE_HASH;
	if (sh->digits >= 8 && fits(s, "dddd-dd-ddTdd*"))
		return ROUTE_DATE;
	return is_token(s, sh) ? ROUTE_TOKEN : ROUTE_LITERAL;
}

static const char *const class_text[] = {
	[ROUTE_LITERAL] = "",	   [ROUTE_ID] = "{id}",
	[ROUTE_UUID] = "{uuid}",   [ROUTE_HASH] = "{hash}",
	[ROUTE_TOKEN] = "{token}", [ROUTE_DATE] = "{date}",
	[ROUTE_EMAIL] = "{email}", [ROUTE_TEXT] = "{text}",
	[ROUTE_NAME] = "{name}",   [ROUTE_UNMATCHED] = "{unmatched}",
	[ROUTE_REST] = "{rest}",
};

const char *route_class_text(enum route_class c)
{
	return class_text[c];
}

struct text {
	char *p;
	size_t n;
};

static void put(struct text *t, const char *p, size_t n)
{
	n = MIN(n, ROUTE_SEG_MAX + 8 - t->n);
	memcpy(t->p + t->n, p, n);
	t->n += n;
}

static void put_class(struct text *t, enum route_class c)
{
	put(t, class_text[c], strlen(class_text[c]));
}

static void put_literal(struct text *t, struct slice s)
{
	size_t i;

	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		put(t, c > ' ' && c < 0x7f && c != '{' && c != '}' ? &c : ".", 1);
	}
}

static bool is_words(struct slice s, bool one)
{
	size_t i;

	for (i = 0; i < s.n; i++)
		if (!is_letter(s.p[i]) && (one || (s.p[i] != '-' && s.p[i] != '_')))
			return false;
	return s.n > 0;
}

/* A value glued to words: item-123, user1042, 123-some-title, some-title-12345. */
static bool put_glued(struct text *t, struct slice s)
{
	size_t head = 0, tail = s.n;
	struct slice word;

	while (head < s.n && is_digit(s.p[head]))
		head++;
	if (head >= 2 && head + 1 < s.n && (s.p[head] == '-' || s.p[head] == '_') &&
	    is_words(slice_of(s.p + head + 1, s.n - head - 1), false)) {
		put_class(t, ROUTE_ID);
		put(t, s.p + head, 1);
		put_class(t, ROUTE_NAME);
		return true;
	}
	while (tail > 0 && is_digit(s.p[tail - 1]))
		tail--;
	if (!tail || tail == s.n)
		return false;
	if (tail >= 2 && memchr("-_.", s.p[tail - 1], 3)) {
		word = slice_of(s.p, tail - 1);
		if (is_words(word, true) && !(word.n == 1 && (*word.p | 0x20) == 'v')) {
			put_literal(t, slice_of(s.p, tail));
			put_class(t, ROUTE_ID);
			return true;
		}
		if (s.n - tail >= 4 && is_words(word, false)) {
			put_class(t, ROUTE_NAME);
			put(t, s.p + tail - 1, 1);
			put_class(t, ROUTE_ID);
			return true;
		}
		return false;
	}
	if (s.n - tail < 4 || !is_words(slice_of(s.p, tail), true))
		return false;
	put_literal(t, slice_of(s.p, tail));
	put_class(t, ROUTE_ID);
	return true;
}

/* main.8f3a2b1c, index-BX3kd92a: what build tools call their files. */
static bool put_hashed(struct text *t, struct slice s)
{
	size_t i = s.n;
	struct slice last;
	struct shape sh;

	while (i > 0 && s.p[i - 1] != '.' && s.p[i - 1] != '-')
		i--;
	last = slice_of(s.p + i, s.n - i);
	if (i < 2 || last.n < 8)
		return false;
	sh = shape_of(last);
	if (!sh.letters || (!is_hash(last, &sh) && (sh.others || sh.digits < 2 || sh.turns < 3)))
		return false;
	put_literal(t, slice_of(s.p, i));
	put_class(t, ROUTE_HASH);
	return true;
}

/* Where an extension or a ":verb" begins, or s.n. */
static size_t suffix_of(struct slice s)
{
	size_t i = s.n;

	while (i > 0 && s.p[i - 1] != '.' && s.p[i - 1] != ':')
		i--;
	if (i < 2 || i == s.n || !is_letter(s.p[i]))
		return s.n;
	if (s.p[i - 1] == ':')
		return is_words(slice_of(s.p + i, s.n - i), false) ? i - 1 : s.n;
	return s.n - i <= 5 && !shape_of(slice_of(s.p + i, s.n - i)).others ? i - 1 : s.n;
}

/* What the look at single bytes could not settle. */
static enum route_class classify_slowly(struct slice seg, struct text *t)
{
	const char *semi = memchr(seg.p, ';', seg.n);
	enum route_class c;
	struct slice stem;
	struct shape sh;

	if (semi)
		seg.n = (size_t)(semi - seg.p);
	if (seg.n > ROUTE_SEG_MAX) {
		/* A signed token is still one; no need to look at all of it. */
		sh = shape_of(slice_of(seg.p, ROUTE_SEG_MAX));
		return is_token(slice_of(seg.p, ROUTE_SEG_MAX), &sh) ? ROUTE_TOKEN : ROUTE_TEXT;
	}
	sh = shape_of(seg);
	c = class_of(seg, &sh);
	if (!c && sh.others && is_email(seg))
		c = ROUTE_EMAIL;
	if (c)
		return c;
	stem = slice_of(seg.p, suffix_of(seg));
	if (stem.n < seg.n) {
		struct shape stem_sh = shape_of(stem);

		c = stem_sh.digits ? class_of(stem, &stem_sh) : ROUTE_LITERAL;
		if (c)
			put_class(t, c);
		else if (!put_hashed(t, stem) && !put_glued(t, stem))
			stem.n = 0;
		put_literal(t, slice_of(seg.p + stem.n, seg.n - stem.n));
	} else if (!put_glued(t, seg)) {
		put_literal(t, seg);
	}
	return ROUTE_LITERAL;
}

enum {
	B_DIGIT = 1,
	B_HEX = 2, /* a-f */
	B_LETTER = 4, /* the others */
	B_PLAIN = 8, /* other bytes that may stand in a literal as they are */
	B_KNOWN = 16, /* none of those that a rule looks for or that must be replaced */
};

/* Every path of every request passes here: one table look-up a byte settles most segments. */
static const u8 byte_bits[256] = {
	['0' ... '9'] = B_DIGIT | B_KNOWN,  ['a' ... 'f'] = B_HEX | B_KNOWN,
	['A' ... 'F'] = B_HEX | B_KNOWN,    ['g' ... 'z'] = B_LETTER | B_KNOWN,
	['G' ... 'Z'] = B_LETTER | B_KNOWN, ['-'] = B_PLAIN | B_KNOWN,
	['_'] = B_PLAIN | B_KNOWN,	    ['.'] = B_PLAIN | B_KNOWN,
	['~'] = B_PLAIN | B_KNOWN,	    ['%'] = B_PLAIN | B_KNOWN,
	['+'] = B_PLAIN | B_KNOWN,	    [','] = B_PLAIN | B_KNOWN,
	['='] = B_PLAIN | B_KNOWN,	    [':'] = B_PLAIN | B_KNOWN,
};

size_t route_segment(struct slice rest, char scratch[ROUTE_SCRATCH], enum route_class *ret,
		     struct slice *ret_text)
{
	struct text t = { scratch, 0 };
	u8 any = 0, all = B_KNOWN;
	struct slice seg;
	size_t i;

	for (i = 0; i < rest.n && rest.p[i] != '/'; i++) {
		any |= byte_bits[(u8)rest.p[i]];
		all &= byte_bits[(u8)rest.p[i]];
	}
	seg = slice_of(rest.p, i);
	if (all && i <= ROUTE_SEG_MAX) {
		if (any == (B_DIGIT | B_KNOWN)) {
			*ret = ROUTE_ID;
			*ret_text = SLICE("{id}");
			return i;
		}
		if (!(any & B_DIGIT) && (i < 16 || any & (B_LETTER | B_PLAIN))) {
			*ret = ROUTE_LITERAL;
			*ret_text = seg;
			return i;
		}
	}
	*ret = classify_slowly(seg, &t);
	*ret_text = *ret ? slice_str(class_text[*ret]) : slice_of(t.p, t.n);
	return i;
}
