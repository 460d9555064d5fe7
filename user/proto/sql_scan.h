/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scanning of single SQL tokens, for sql_lex.c only: what a byte may be, and where a string, comment,
 * number, word or operator ends.
 *
 * Input: the first byte behind the opening of a token. Output: the byte behind its end, and in
 * struct sql_mask what is needed to go on when the piece of text ends first. With `mask` the bytes
 * to hide are overwritten on the way; it is a constant at every call, so each function is compiled
 * once as a masker and once as a reader.
 */
#ifndef PROTO_SQL_SCAN_H
#define PROTO_SQL_SCAN_H

#ifdef __SSE2__
#include <emmintrin.h>
#endif
#include "proto/sql_lex.h"

enum mode {
	M_NONE,
	M_WORD,
	M_WORD_E, /* the word so far is "e": a quote makes it E'…' */
	M_NUMBER,
	M_DOT, /* '.': a digit makes it a number */
	M_PARAM,
	M_TAG, /* '$' and what may become a tag */
	M_DOLLAR,
	M_STRING,
	M_STRING_QUOTE, /* a quote in it: closed unless another follows */
	M_ESCAPE, /* E'…' */
	M_ESCAPE_QUOTE,
	M_ESCAPE_BACKSLASH,
	M_QUOTED,
	M_QUOTED_QUOTE,
	M_LINE, /* -- comment */
	M_BLOCK,
	M_DASH, /* '-': another makes it a comment */
	M_SLASH, /* '/': a '*' makes it a comment */
};

enum {
	NUM_ALPHA = 1, /* a letter was there: no '.' any more */
	NUM_EXP = 2, /* the byte before was the e of an exponent: a sign may follow */
	NUM_DOT = 4,
};

enum {
	CONT_NONE,
	CONT_CLOSED, /* E'…' has ended */
	CONT_LINE, /* and a line break came after it */
};

#define TAG_TOO_LONG 0xff

enum {
	C_OTHER,
	C_SPACE,
	C_LETTER,
	C_DIGIT,
	C_QUOTE,
	C_DQUOTE,
	C_DOLLAR,
	C_DOT,
	C_OP,
};

#define C_CLASS 15
#define C_IN_WORD 16 /* may stand in a word after its first byte */
#define C_IN_TAG 32 /* the same without '$' */
#define C_LINE_END 64
#define C_SPECIAL 128 /* lets an operator end in '+' or '-' */

#define L (C_LETTER | C_IN_WORD | C_IN_TAG)
#define D (C_DIGIT | C_IN_WORD | C_IN_TAG)

static const u8 class_of[256] = {
	['\t'] = C_SPACE,
	['\n'] = C_SPACE | C_LINE_END,
	['\v'] = C_SPACE,
	['\f'] = C_SPACE,
	['\r'] = C_SPACE | C_LINE_END,
	[' '] = C_SPACE,
	['a' ... 'z'] = L,
	['A' ... 'Z'] = L,
	['_'] = L,
	[0x80 ... 0xff] = L,
	['0' ... '9'] = D,
	['\''] = C_QUOTE,
	['"'] = C_DQUOTE,
	['$'] = C_DOLLAR | C_IN_WORD,
	['.'] = C_DOT,
	['+'] = C_OP,
	['-'] = C_OP,
	['*'] = C_OP,
	['/'] = C_OP,
	['<'] = C_OP,
	['>'] = C_OP,
	['='] = C_OP,
	['~'] = C_OP | C_SPECIAL,
	['!'] = C_OP | C_SPECIAL,
	['@'] = C_OP | C_SPECIAL,
	['#'] = C_OP | C_SPECIAL,
	['%'] = C_OP | C_SPECIAL,
	['^'] = C_OP | C_SPECIAL,
	['&'] = C_OP | C_SPECIAL,
	['|'] = C_OP | C_SPECIAL,
	['`'] = C_OP | C_SPECIAL,
	['?'] = C_OP | C_SPECIAL,
};

#undef L
#undef D

#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline u8 class(u8 c)
{
	return class_of[c] & C_CLASS;
}

ALWAYS_INLINE void hide(u8 *p, const u8 *end, bool mask)
{
	if (mask)
		memset(p, 'x', (size_t)(end - p));
}

/*
 * Text between quotes of which a doubled one is part of the text. inside and quote_seen are the
 * modes to stay in at the end of the piece.
 */
ALWAYS_INLINE u8 *scan_quoted(struct sql_mask *m, u8 *p, u8 *end, u8 quote, u8 inside,
			      u8 quote_seen, bool mask)
{
	for (;;) {
		u8 *q = p < end ? memchr(p, quote, (size_t)(end - p)) : NULL;

		if (!q) {
			hide(p, end, mask);
			m->mode = inside;
			return end;
		}
		hide(p, q, mask);
		p = q + 1;
		if (p == end) {
			m->mode = quote_seen;
			return end;
		}
		if (*p != quote) {
			m->mode = M_NONE;
			return p;
		}
		p++;
	}
}

ALWAYS_INLINE u8 *scan_string(struct sql_mask *m, u8 *p, u8 *end, bool mask)
{
	return scan_quoted(m, p, end, '\'', M_STRING, M_STRING_QUOTE, mask);
}

ALWAYS_INLINE u8 *scan_identifier(struct sql_mask *m, u8 *p, u8 *end)
{
	return scan_quoted(m, p, end, '"', M_QUOTED, M_QUOTED_QUOTE, false);
}

/* E'…'. A backslash and the byte it escapes are both masked, so that the masked text has neither. */
ALWAYS_INLINE u8 *scan_escape(struct sql_mask *m, u8 *p, u8 *end, bool mask)
{
	for (; p < end; p++) {
		if (*p == '\\') {
			hide(p, p + 1, mask);
			if (++p == end) {
				m->mode = M_ESCAPE_BACKSLASH;
				return end;
			}
		} else if (*p == '\'') {
			if (++p == end) {
				m->mode = M_ESCAPE_QUOTE;
				return end;
			}
			if (*p != '\'') {
				m->mode = M_NONE;
				m->cont = CONT_CLOSED;
				return p;
			}
			continue;
		}
		hide(p, p + 1, mask);
	}
	m->mode = M_ESCAPE;
	return end;
}

/*
 * Text of a dollar quote. Bytes that could begin its closing $tag$ are already out of hand when the
 * next one shows that they did not, so they stay: they are a copy of the tag. The byte that breaks
 * the match is masked with one that breaks it as well.
 */
ALWAYS_INLINE u8 *scan_dollar(struct sql_mask *m, u8 *p, u8 *end, bool mask)
{
	m->mode = M_DOLLAR;
	if (m->tag_len == TAG_TOO_LONG) {
		hide(p, end, mask);
		return end;
	}
	while (p < end) {
		u8 expect;

		if (!m->tag_seen) {
			u8 *q = memchr(p, '$', (size_t)(end - p));

			hide(p, q ? q : end, mask);
			if (!q)
				return end;
			m->tag_seen = 1;
			p = q + 1;
			continue;
		}
		expect = m->tag_seen > m->tag_len ? '$' : (u8)m->tag[m->tag_seen - 1];
		if (*p == expect) {
			p++;
			if (m->tag_seen++ > m->tag_len) {
				m->mode = M_NONE;
				return p;
			}
		} else if (*p == '$') {
			m->tag_seen = 1;
			p++;
		} else {
			m->tag_seen = 0;
			if (mask)
				*p = expect == 'x' ? 'y' : 'x';
			p++;
		}
	}
	return end;
}

/* The byte after '$' or a later one of the tag. Ends after the opening $tag$ or where it fails. */
ALWAYS_INLINE u8 *scan_tag(struct sql_mask *m, u8 *p, u8 *end, bool *ret_open)
{
	*ret_open = false;
	for (; p < end; p++) {
		if (*p == '$') {
			*ret_open = true;
			m->tag_seen = 0;
			return p + 1;
		}
		if (!(class_of[*p] & C_IN_TAG))
			return p;
		if (m->tag_len < SQL_TAG_MAX)
			m->tag[m->tag_len++] = (char)*p;
		else
			m->tag_len = TAG_TOO_LONG;
	}
	m->mode = M_TAG;
	return end;
}

ALWAYS_INLINE u8 *scan_line(struct sql_mask *m, u8 *p, u8 *end, bool mask)
{
	u8 *start = p;

	while (p < end && !(class_of[*p] & C_LINE_END))
		p++;
	hide(start, p, mask);
	m->mode = p < end ? M_NONE : M_LINE;
	return p;
}

/* The '*' and '/' are kept whether or not they nest: which they do is known one byte too late. */
ALWAYS_INLINE u8 *scan_block(struct sql_mask *m, u8 *p, u8 *end, bool mask)
{
	u8 before = m->flags;

	for (; p < end; p++) {
		u8 c = *p;

		if (c == '*') {
			if (before == '/') {
				m->depth++;
				c = 0;
			}
		} else if (c == '/') {
			if (before == '*') {
				c = 0;
				if (!--m->depth) {
					m->mode = M_NONE;
					return p + 1;
				}
			}
		} else if (mask && !(class_of[c] & C_LINE_END)) {
			*p = 'x';
		}
		before = c;
	}
	m->flags = before;
	m->mode = M_BLOCK;
	return end;
}

/*
 * A number takes everything that a word could hold: 1_000, 1.5e-3, 0xff, and 12ab, which no server
 * since PostgreSQL 15 accepts. The first letter decides what may follow, so the ones with a meaning
 * are kept.
 */
ALWAYS_INLINE u8 *scan_number(struct sql_mask *m, u8 *p, u8 *end, bool mask)
{
	u8 flags = m->flags;

	for (; p < end; p++) {
		u8 c = *p, to = '0';

		if (class(c) == C_DIGIT || c == '_') {
			flags &= ~NUM_EXP;
			to = c == '_' ? '_' : '0';
		} else if (class(c) == C_LETTER) {
			if (!(flags & NUM_ALPHA)) {
				u8 low = c | 0x20;

				flags |= NUM_ALPHA | (low == 'e' ? NUM_EXP : 0);
				to = low == 'e' || low == 'x' || low == 'o' || low == 'b' ? c : 'x';
			} else {
				flags &= ~NUM_EXP;
			}
		} else if (c == '.' && !(flags & (NUM_ALPHA | NUM_DOT))) {
			flags |= NUM_DOT;
			to = c;
		} else if ((c == '+' || c == '-') && (flags & NUM_EXP)) {
			flags &= ~NUM_EXP;
			to = c;
		} else {
			m->mode = M_NONE;
			return p;
		}
		if (mask)
			*p = to;
	}
	m->flags = flags;
	m->mode = M_NUMBER;
	return end;
}

/* Operator bytes up to a comment. PostgreSQL's rule: only some operators may end in '+' or '-'. */
ALWAYS_INLINE u8 *scan_op(struct sql_mask *m, u8 *p, u8 *end)
{
	u8 *start = p, *q;
	bool special = false;

	for (; p < end && class(*p) == C_OP; p++) {
		if ((*p == '-' || *p == '/') && p + 1 == end) {
			m->mode = *p == '-' ? M_DASH : M_SLASH;
			p++;
			break;
		}
		if ((*p == '-' && p[1] == '-') || (*p == '/' && p[1] == '*'))
			break;
		special = special || (class_of[*p] & C_SPECIAL);
	}
	if (!special && (p[-1] == '-' || p[-1] == '+')) {
		for (q = p; q > start + 1 && (q[-1] == '-' || q[-1] == '+'); q--)
			;
		if (q < p)
			m->mode = M_NONE;
		return q;
	}
	return p;
}

#ifdef __SSE2__
static inline __m128i any_of(__m128i v, char c)
{
	return _mm_cmpeq_epi8(v, _mm_set1_epi8(c));
}

static inline __m128i letters(__m128i v)
{
	__m128i x = _mm_sub_epi8(_mm_or_si128(v, _mm_set1_epi8(0x20)), _mm_set1_epi8('a'));

	return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(25)), x);
}

static inline __m128i digits(__m128i v)
{
	__m128i x = _mm_sub_epi8(v, _mm_set1_epi8('0'));

	return _mm_cmpeq_epi8(_mm_min_epu8(x, _mm_set1_epi8(9)), x);
}

/*
 * For the masker: how many of the 16 bytes at p are whole tokens with nothing to mask in them and
 * nothing that begins what is masked.
 */
static inline size_t dull_run(const u8 *p)
{
	__m128i v = _mm_loadu_si128((const __m128i *)p), digit = digits(v);
	__m128i stop = _mm_or_si128(_mm_or_si128(any_of(v, '\''), any_of(v, '"')),
				    _mm_or_si128(any_of(v, '-'), any_of(v, '/')));
	__m128i word = _mm_or_si128(_mm_or_si128(letters(v), any_of(v, '_')),
				    _mm_or_si128(any_of(v, '.'), v));
	unsigned int stops, borders;

	stop = _mm_or_si128(_mm_or_si128(stop, any_of(v, '$')), digit);
	stops = (unsigned int)_mm_movemask_epi8(stop) | 1u << 16;
	borders = ~(unsigned int)_mm_movemask_epi8(word) & ((stops & -stops) - 1);
	return borders ? 32 - (size_t)__builtin_clz(borders) : 0;
}

/*
 * How many of the 16 bytes at p are of one word ('$' left out), and what struct sql_token wants to
 * know of them. No branch depends on the length, which is as good as random.
 */
static inline size_t word_run(const u8 *p, u64 *ret_low, u64 *ret_low2)
{
	static const u8 keep[32] = {
		[0 ... 15] = 0xff,
	};
	__m128i v = _mm_loadu_si128((const __m128i *)p), letter = letters(v);
	__m128i other = _mm_or_si128(any_of(v, '_'), v);
	int in = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, digits(v)), other));
	size_t n = (size_t)__builtin_ctz(~(unsigned int)in);

	v = _mm_or_si128(v, _mm_and_si128(letter, _mm_set1_epi8(0x20)));
	v = _mm_and_si128(v, _mm_loadu_si128((const __m128i *)(keep + 16 - n)));
	*ret_low = (u64)_mm_cvtsi128_si64(v);
	*ret_low2 = (u64)_mm_cvtsi128_si64(_mm_unpackhi_epi64(v, v));
	return n;
}
#else
static inline size_t dull_run(const u8 *p)
{
	(void)p;
	return 0;
}

static inline size_t word_run(const u8 *p, u64 *ret_low, u64 *ret_low2)
{
	size_t n = 0;

	while (n < 16 && (class_of[p[n]] & C_IN_TAG))
		n++;
	*ret_low = sql_lower8(p, n);
	*ret_low2 = n > 8 ? sql_lower8(p + 8, n - 8) : 0;
	return n;
}
#endif

/* Behind the word at p. A '$' is left to the caller. */
ALWAYS_INLINE u8 *scan_word(u8 *p, u8 *end, struct sql_token *t)
{
	u8 *start = p;
	u64 more[2];

	if (end - p >= 16) {
		size_t n = word_run(p, &t->low, &t->low2);

		for (p += n; n == 16 && end - p >= 16; p += n)
			n = word_run(p, &more[0], &more[1]);
		if (n < 16)
			return p;
	}
	while (p < end && (class_of[*p] & C_IN_TAG))
		p++;
	if (end - start < 16) {
		size_t n = (size_t)(p - start);

		t->low = sql_lower8(start, n);
		t->low2 = n > 8 ? sql_lower8(start + 8, n - 8) : 0;
	}
	return p;
}

#endif
