/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The SQL lexer, in two shapes made from one function: the reader of a whole text (sql_reader_next)
 * and the masker of text in pieces (sql_mask_feed).
 *
 * lex() is compiled twice with `mask` constant. As a masker it runs to the end of the piece, writes
 * over what is private and leaves what it needs in struct sql_mask; as a reader it stops after each
 * token and never has to resume. Sharing the code is what makes the promise cheap to keep that a
 * masked text has the tokens of the original: there is no second set of quoting rules.
 *
 * Rules are those of PostgreSQL's scanner; where a byte is masked, no later decision looks at it.
 */
#include <string.h>
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

/* Goes on with the token that the piece before ended in; *ret_p is where the next one begins. */
static u8 *resume(struct sql_mask *m, u8 *p, u8 *end)
{
	u8 mode = m->mode;
	bool open;

	m->mode = M_NONE;
	switch (mode) {
	case M_WORD_E:
		if (*p == '\'')
			return scan_escape(m, p + 1, end, true);
		/* fall through */
	case M_WORD:
		while (p < end && (class_of[*p] & C_IN_WORD))
			p++;
		m->mode = p < end ? M_NONE : M_WORD;
		return p;
	case M_DOT:
		m->flags = NUM_DOT;
		return class(*p) == C_DIGIT ? scan_number(m, p, end, true) : p;
	case M_NUMBER:
		return scan_number(m, p, end, true);
	case M_PARAM:
		while (p < end && class(*p) == C_DIGIT)
			p++;
		m->mode = p < end ? M_NONE : M_PARAM;
		return p;
	case M_TAG:
		if (!m->tag_len && class(*p) == C_DIGIT) {
			m->mode = M_PARAM;
			return p;
		}
		p = scan_tag(m, p, end, &open);
		if (open)
			return scan_dollar(m, p, end, true);
		if (p < end && m->tag_len)
			m->mode = m->tag_len == 1 && (m->tag[0] | 0x20) == 'e' ? M_WORD_E : M_WORD;
		return p;
	case M_DOLLAR:
		return scan_dollar(m, p, end, true);
	case M_STRING_QUOTE:
		return *p == '\'' ? scan_string(m, p + 1, end, true) : p;
	case M_STRING:
		return scan_string(m, p, end, true);
	case M_ESCAPE_QUOTE:
		if (*p == '\'')
			return scan_escape(m, p + 1, end, true);
		m->cont = CONT_CLOSED;
		return p;
	case M_ESCAPE_BACKSLASH:
		*p++ = 'x';
		/* fall through */
	case M_ESCAPE:
		return scan_escape(m, p, end, true);
	case M_QUOTED_QUOTE:
		return *p == '"' ? scan_identifier(m, p + 1, end) : p;
	case M_QUOTED:
		return scan_identifier(m, p, end);
	case M_LINE:
		return scan_line(m, p, end, true);
	case M_BLOCK:
		return scan_block(m, p, end, true);
	case M_DASH:
		if (*p == '-')
			return scan_line(m, p + 1, end, true);
		m->cont = CONT_NONE;
		return p;
	case M_SLASH:
		if (*p != '*')
			return p;
		m->depth = 1;
		m->flags = 0;
		return scan_block(m, p + 1, end, true);
	default:
		return p;
	}
}

/*
 * Behind the word at p, eight bytes at a time: the length of most words then costs no branch that
 * depends on it. A '$' is left to the caller.
 */
ALWAYS_INLINE u8 *scan_word(u8 *p, u8 *end, u64 *ret_low)
{
	u8 *start = p;

	do {
		u64 v = sql_load8(p), low7 = v & BYTES(0x7f), letters = sql_letters(v);
		u64 digits = (low7 + BYTES(0x80 - '0')) & ~(low7 + BYTES(0x80 - '9' - 1));
		u64 other = ~((low7 ^ BYTES('_')) + BYTES(0x7f));
		u64 stop = ~(((digits | other) & ~v) | letters | v) & BYTES(0x80);
		unsigned int bits = stop ? (unsigned int)__builtin_ctzll(stop) & ~7u : 64;

		if (p == start) {
			*ret_low = v | letters >> 2;
			if (stop)
				*ret_low &= (1ULL << bits) - 1;
		}
		p += bits / 8;
		if (stop)
			return p;
	} while (end - p >= 8);
	while (p < end && (class_of[*p] & C_IN_TAG))
		p++;
	return p;
}

/* The same where fewer than eight bytes are left. */
ALWAYS_INLINE u8 *scan_word_end(u8 *p, u8 *end, u64 *ret_low)
{
	u8 *start = p;

	while (p < end && (class_of[*p] & C_IN_TAG))
		p++;
	*ret_low = sql_lower8(start, (size_t)(p - start));
	return p;
}

/* A word, or the literal that it is the prefix of. */
ALWAYS_INLINE u8 *lex_word(struct sql_mask *m, u8 *p, u8 *end, bool mask, struct sql_token *t)
{
	u8 *start = p, first = *p | 0x20;

	t->kind = SQL_WORD;
	p = end - p >= 8 ? scan_word(p, end, &t->low) : scan_word_end(p, end, &t->low);
	if (p < end && *p == '$') {
		t->dollar = true;
		while (p < end && (class_of[*p] & C_IN_WORD))
			p++;
	}
	if (p == end) {
		m->mode = p - start == 1 && first == 'e' ? M_WORD_E : M_WORD;
		return p;
	}
	if (p - start != 1)
		return p;
	if (*p == '\'') {
		if (first == 'e') {
			t->kind = SQL_STRING;
			return scan_escape(m, p + 1, end, mask);
		}
		if (first == 'b' || first == 'x' || first == 'n') {
			t->kind = SQL_STRING;
			return scan_string(m, p + 1, end, mask);
		}
	} else if (*p == '&' && first == 'u' && p + 1 < end) {
		if (p[1] == '\'') {
			t->kind = SQL_STRING;
			return scan_string(m, p + 2, end, mask);
		}
		if (p[1] == '"') {
			t->kind = SQL_QUOTED;
			return scan_identifier(m, p + 2, end);
		}
	}
	return p;
}

/* What begins with '$': a parameter, a dollar quote, or nothing known. */
ALWAYS_INLINE u8 *lex_dollar(struct sql_mask *m, u8 *p, u8 *end, bool mask, enum sql_kind *ret_kind)
{
	u8 *start = p++;
	bool open;

	m->tag_len = 0;
	if (p < end && class(*p) == C_DIGIT) {
		*ret_kind = SQL_PARAM;
		while (p < end && class(*p) == C_DIGIT)
			p++;
		if (p == end)
			m->mode = M_PARAM;
		return p;
	}
	*ret_kind = SQL_STRING;
	p = scan_tag(m, p, end, &open);
	if (open)
		return scan_dollar(m, p, end, mask);
	*ret_kind = SQL_PUNCT;
	return p < end ? start + 1 : end;
}

ALWAYS_INLINE u8 *lex(struct sql_mask *m, u8 *p, u8 *end, bool mask, struct sql_token *t)
{
	while (p < end) {
		enum sql_kind kind = SQL_PUNCT;
		u8 *start = p, cont = m->cont;
		struct sql_token unused;

		switch (class(*p)) {
		case C_SPACE:
			if (cont == CONT_CLOSED && (class_of[*p] & C_LINE_END))
				m->cont = CONT_LINE;
			p++;
			continue;
		case C_OP:
			if (*p == '-') {
				if (p + 1 < end && p[1] == '-') {
					p = scan_line(m, p + 2, end, mask);
					continue;
				}
				/* A comment, cut between its dashes, must leave cont alone. */
				if (!mask || p + 1 < end)
					m->cont = CONT_NONE;
			} else {
				m->cont = CONT_NONE;
			}
			if (*p == '/' && p + 1 < end && p[1] == '*') {
				m->depth = 1;
				m->flags = 0;
				p = scan_block(m, p + 2, end, mask);
				continue;
			}
			kind = SQL_OP;
			p = scan_op(m, p, end);
			break;
		case C_LETTER:
			m->cont = CONT_NONE;
			if (mask)
				t = &unused;
			t->dollar = false;
			p = lex_word(m, p, end, mask, t);
			if (!mask) {
				t->p = start;
				t->n = (size_t)(p - start);
				return p;
			}
			break;
		case C_DIGIT:
			m->cont = CONT_NONE;
			kind = SQL_NUMBER;
			m->flags = 0;
			p = scan_number(m, p, end, mask);
			break;
		case C_DOT:
			m->cont = CONT_NONE;
			if (++p == end) {
				m->mode = M_DOT;
			} else if (class(*p) == C_DIGIT) {
				kind = SQL_NUMBER;
				m->flags = NUM_DOT;
				p = scan_number(m, p, end, mask);
			}
			break;
		case C_QUOTE:
			m->cont = CONT_NONE;
			kind = SQL_STRING;
			p = cont == CONT_LINE ? scan_escape(m, p + 1, end, mask)
					      : scan_string(m, p + 1, end, mask);
			break;
		case C_DQUOTE:
			m->cont = CONT_NONE;
			kind = SQL_QUOTED;
			p = scan_identifier(m, p + 1, end);
			break;
		case C_DOLLAR:
			m->cont = CONT_NONE;
			p = lex_dollar(m, p, end, mask, &kind);
			break;
		default:
			m->cont = CONT_NONE;
			p++;
			if (p[-1] == ':' && p < end && (*p == ':' || *p == '='))
				p++;
		}
		if (!mask) {
			t->kind = kind;
			t->dollar = false;
			t->p = start;
			t->n = (size_t)(p - start);
			return p;
		}
	}
	return mask ? p : NULL;
}

void sql_mask_feed(struct sql_mask *m, u8 *p, size_t n)
{
	u8 *end = p + n;

	while (p < end && m->mode != M_NONE)
		p = resume(m, p, end);
	if (p < end)
		lex(m, p, end, true, NULL);
}

void sql_reader_init(struct sql_reader *r, struct slice text)
{
	memset(&r->lex, 0, offsetof(struct sql_mask, tag));
	r->p = (const u8 *)(text.n ? text.p : "");
	r->end = r->p + text.n;
	r->word_end = r->p;
}

/*
 * The server's statistics put $1 where a constant stood and add no blank: date'2024-01-01' turns into
 * date$1, which is one word to the scanner. Such words are read as the pieces they were made of.
 */
static bool next_in_word(struct sql_reader *r, struct sql_token *t)
{
	const u8 *p = r->p, *end = r->word_end;

	if (*p == '$' && p + 1 < end && class(p[1]) == C_DIGIT) {
		t->kind = SQL_PARAM;
		for (p++; p < end && class(*p) == C_DIGIT; p++)
			;
	} else {
		t->kind = SQL_WORD;
		for (p++; p < end && !(*p == '$' && p + 1 < end && class(p[1]) == C_DIGIT); p++)
			;
		/* N'…' becomes N$1. */
		if (p == r->p + 1 && (*r->p | 0x20) == 'n' && p < end) {
			t->kind = SQL_PARAM;
			for (p++; p < end && class(*p) == C_DIGIT; p++)
				;
		}
	}
	t->dollar = false;
	t->p = r->p;
	t->n = (size_t)(p - r->p);
	t->low = sql_lower8(t->p, t->n);
	r->p = p;
	return true;
}

bool sql_reader_next(struct sql_reader *r, struct sql_token *t)
{
	u8 *p;

	if (r->p < r->word_end)
		return next_in_word(r, t);
	p = lex(&r->lex, (u8 *)r->p, (u8 *)r->end, false, t);
	if (!p) {
		r->p = r->end;
		return false;
	}
	r->p = p;
	if (!t->dollar)
		return true;
	r->p = t->p;
	r->word_end = p;
	return next_in_word(r, t);
}
