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
#include "proto/sql_scan.h"

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

/* A word, or the literal that it is the prefix of. */
ALWAYS_INLINE u8 *lex_word(struct sql_mask *m, u8 *p, u8 *end, bool mask, struct sql_token *t)
{
	u8 *start = p, first = *p | 0x20;

	t->kind = SQL_WORD;
	p = scan_word(p, end, t);
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

		if (mask && cont == CONT_NONE && end - p >= 16) {
			p += dull_run(p);
			if (p == end)
				break;
			start = p;
		}
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
	t->low2 = t->n > 8 ? sql_lower8(t->p + 8, t->n - 8) : 0;
	r->p = p;
	return true;
}

static __attribute__((noinline)) bool next_any(struct sql_reader *r, struct sql_token *t)
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

/* Words and brackets are nine tokens of ten: found here, far from the end of the text, in one step. */
bool sql_reader_next(struct sql_reader *r, struct sql_token *t)
{
	const u8 *p = r->p;
	u8 c;

	if (r->end - p < 18 || p < r->word_end)
		return next_any(r, t);
	p += *p == ' ';
	c = class(*p);
	if (c == C_LETTER) {
		size_t n = word_run(p, &t->low, &t->low2);

		/* 'a$' and the prefixes of literals need a closer look. */
		if (n == 16 || p[n] == '$' || (n == 1 && (p[1] == '\'' || p[1] == '&')))
			return next_any(r, t);
		t->kind = SQL_WORD;
		t->n = n;
	} else if ((c == C_OTHER && *p != ':') || (c == C_DOT && class(p[1]) != C_DIGIT)) {
		t->kind = SQL_PUNCT;
		t->n = 1;
	} else {
		return next_any(r, t);
	}
	t->dollar = false;
	t->p = p;
	r->p = p + t->n;
	r->lex.cont = CONT_NONE;
	return true;
}
