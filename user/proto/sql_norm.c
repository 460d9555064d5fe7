/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Normalised SQL text and its fingerprint.
 *
 * Input: a statement, masked or not, whole or cut. Output: its text for people and a 64-bit
 * fingerprint, both made in one pass over the tokens. Two rules shape it:
 *  - What the server's statistics view shows as $1 must end as '?' here, as must the constant it
 *    stood for, wherever the grammar allows one; that makes the two sides comparable without
 *    a parser. Words that the server turns into constants (TRUE, NULL, the field of EXTRACT, the ALL
 *    of LIMIT ALL) are therefore '?' exactly where the server does so, and in places that the
 *    server never rewrites the choice is free.
 *  - Lists are folded by reading ahead: a list of nothing but constants is skipped before a byte of it
 *    is written. Rows of VALUES with other things in them are written, compared by hash with the
 *    rows before, and taken back when they say nothing new.
 */
#include <endian.h>
#include <string.h>
#include "proto/sql_norm.h"

static void new_statement(struct norm *n)
{
	n->operand = false;
	n->last = n->last2 = T_OTHER;
	n->stmt = W_NONE;
	n->first = true;
	n->query = false;
	n->names = NAMES_NO;
	n->set = SET_NO;
}

static void take_literal(struct norm *n, bool string)
{
	n->sign = 0;
	if (n->set >= SET_VALUE) {
		if (n->set == SET_DONE)
			return;
		n->set = SET_DONE;
	}
	/* A literal that goes on after a line break is one literal. */
	if (string && n->last == T_STRING)
		return;
	write_held(n);
	text_token(n, "?", 1, false);
	hash_byte(n->hash, HASH_LITERAL);
	took(n, string ? T_STRING : T_LITERAL, true);
}

/* Constants that are words. In utility statements NULL is mostly part of the syntax. */
static bool is_constant_word(const struct norm *n, enum sql_word w)
{
	bool after_is = n->last == W_IS || (n->last == W_NOT && n->last2 == W_IS);
	struct sql_reader r;
	struct sql_token t;

	switch (w) {
	case W_TRUE:
	case W_FALSE:
		return !after_is;
	case W_NULL:
		return !after_is && (n->query || n->last == T_OP || n->last == W_DEFAULT);
	case W_ALL:
		return n->last == W_LIMIT;
	case W_NFC:
	case W_NFD:
	case W_NFKC:
	case W_NFKD:
		if (after_is)
			return true;
		if (n->last != T_COMMA)
			return false;
		r = n->r;
		return sql_reader_next(&r, &t) && *t.p == ')';
	default:
		return false;
	}
}

static void first_word(struct norm *n, enum sql_word w, unsigned int flags)
{
	n->first = false;
	n->stmt = w;
	n->query = flags & WF_QUERY;
	n->set = w == W_SET ? SET_NAME : SET_NO;
	n->names = flags & WF_NAMES ? NAMES_ALL : flags & WF_NAME_NEXT ? NAMES_NEXT : NAMES_NO;
}

static void write_name(struct norm *n, const struct sql_token *t)
{
	u8 name[NAME_MAX_FOLDED + 1];
	size_t len = t->n;
	const u8 *p = t->p;

	if (len <= NAME_MAX_FOLDED) {
		len = sql_fold_name(p, len, name);
		p = name;
	}
	text_token(n, p, len, false);
	n->call = true;
	if (n->names == NAMES_NEXT)
		n->names = NAMES_NO;
	/* "name" and name are the same to these statements as long as it is in lower case. */
	if (len >= 2 && *p == '"') {
		p++;
		len -= 2;
	}
	hash_word(n->hash, p, len, sql_lower8(p, len));
	took(n, W_NONE, true);
}

static void take_word(struct norm *n, const struct sql_token *t)
{
	unsigned int flags;
	enum sql_word w = sql_word_find(t, &flags);

	if (n->last == T_DOT) {
		w = W_NONE;
		flags = 0;
	}
	/* EXTRACT(field FROM x): the field is a constant to the server. */
	if (n->last == T_OPEN && n->last2 == W_EXTRACT) {
		take_literal(n, false);
		return;
	}
	if (n->set >= SET_VALUE && (w != W_DEFAULT || n->set == SET_DONE)) {
		take_literal(n, false);
		return;
	}
	if (w != W_NONE && is_constant_word(n, w)) {
		take_literal(n, false);
		return;
	}
	write_held(n);
	if (n->first) {
		first_word(n, w, flags);
	} else if (n->names && w == W_NONE) {
		write_name(n, t);
		return;
	} else if (!n->query) {
		n->query = w == W_SELECT || w == W_VALUES ||
			   ((flags & WF_QUERY) && (n->stmt == W_EXPLAIN || n->stmt == W_PREPARE));
	}
	text_token(n, t->p, t->n, false);
	n->call = !(flags & WF_SPACE);
	hash_word(n->hash, t->p, t->n, t->low);
	if (n->set == SET_NAME && w == W_TO)
		n->set = SET_VALUE;
	took(n, w, !(flags & WF_EXPR));
}

/* "name" means the same as name when it is in lower case and no reserved word. */
static bool is_plain(const u8 *p, size_t n)
{
	struct sql_token t = { .p = p, .n = n, .low = sql_lower8(p, n) };
	unsigned int flags;
	size_t i;

	if (!n || (*p >= '0' && *p <= '9'))
		return false;
	for (i = 0; i < n; i++)
		if (!((p[i] >= 'a' && p[i] <= 'z') || (p[i] >= '0' && p[i] <= '9') || p[i] == '_'))
			return false;
	t.low2 = n > 8 ? sql_lower8(p + 8, n - 8) : 0;
	sql_word_find(&t, &flags);
	return !(flags & WF_RESERVED);
}

static void take_quoted(struct norm *n, const struct sql_token *t)
{
	const u8 *p = t->p + 1;
	size_t len = t->n - 1;

	if (n->set >= SET_VALUE || (n->last == T_OPEN && n->last2 == W_EXTRACT)) {
		take_literal(n, false);
		return;
	}
	write_held(n);
	if (n->names) {
		write_name(n, t);
		return;
	}
	text_token(n, t->p, t->n, false);
	n->call = true;
	if (*t->p == '"' && len && is_plain(p, len - 1)) {
		hash_word(n->hash, p, len - 1, sql_lower8(p, len - 1));
	} else {
		hash_add(n->hash, t->p, t->n);
		hash_byte(n->hash, HASH_END);
	}
	took(n, W_NONE, true);
}

/* The text before a placeholder that was lexed into one operator with it: the '=' of "a=?". */
static bool may_touch_placeholder(const struct norm *n, const struct sql_token *t)
{
	size_t i;

	if (t->n == 1)
		return !n->operand;
	for (i = 0; i + 1 < t->n; i++)
		if (!memchr("=<>!+-*/%", t->p[i], 9))
			return false;
	return true;
}

static void write_op(struct norm *n, const u8 *p, size_t len)
{
	write_held(n);
	text_token(n, p, len, false);
	if (len == 2 && p[0] == '!' && p[1] == '=')
		p = (const u8 *)"<>";
	hash_add(n->hash, p, len);
	hash_byte(n->hash, HASH_END);
	if (n->set == SET_NAME && len == 1 && *p == '=')
		n->set = SET_VALUE;
	took(n, T_OP, false);
}

static void take_op(struct norm *n, const struct sql_token *t)
{
	u8 last = t->p[t->n - 1];
	size_t before;

	if (n->set >= SET_VALUE)
		return;
	if (t->n == 1 && (last == '-' || last == '+') && !n->operand) {
		write_held(n);
		n->sign = last;
		return;
	}
	if ((last == '?' || last == '%') && may_touch_placeholder(n, t) &&
	    sql_placeholder(&n->r, t, &before)) {
		if (before)
			write_op(n, t->p, before);
		take_literal(n, false);
		return;
	}
	write_op(n, t->p, t->n);
}

static void take_open(struct norm *n)
{
	if (n->last == W_VALUES) {
		sql_take_rows(n);
		return;
	}
	if (n->last == W_IN && sql_skip_constants(n) != SKIPPED_NONE) {
		sql_write_list(n, "(...)", false);
		return;
	}
	if (n->row_depth)
		n->row_depth++;
	text_token(n, "(", 1, n->call);
	n->glue = true;
	hash_byte(n->hash, '(');
	took(n, T_OPEN, false);
}

static void take_close(struct norm *n)
{
	text_token(n, ")", 1, true);
	hash_byte(n->hash, ')');
	took(n, T_CLOSE, true);
	if (n->row_depth && !--n->row_depth)
		sql_end_row(n, false);
}

static void take_punct(struct norm *n, const struct sql_token *t)
{
	u8 c = *t->p;
	size_t before;

	if (c == ';') {
		n->semicolon = n->semicolon || !n->first;
		new_statement(n);
		return;
	}
	if (n->set == SET_DONE)
		return;
	/* a[:n] is a slice. */
	if (c == ':' && t->n == 1 && !n->operand && n->last != T_BRACKET &&
	    sql_placeholder(&n->r, t, &before)) {
		take_literal(n, false);
		return;
	}
	write_held(n);
	switch (c) {
	case '(':
		take_open(n);
		return;
	case ')':
		take_close(n);
		return;
	case '[':
		if (n->last == W_ARRAY && sql_skip_constants(n) != SKIPPED_NONE) {
			sql_write_list(n, "[...]", true);
			return;
		}
		text_token(n, "[", 1, n->operand);
		n->glue = true;
		break;
	case ']':
	case ',':
		text_token(n, t->p, 1, true);
		break;
	case '.':
		text_token(n, ".", 1, true);
		n->glue = true;
		break;
	case ':':
		if (t->n == 2 && t->p[1] == '=') {
			text_token(n, ":=", 2, false);
		} else {
			text_token(n, t->p, t->n, true);
			n->glue = true;
		}
		break;
	default:
		text_token(n, t->p, t->n, false);
		hash_byte(n->hash, HASH_BYTE);
	}
	hash_add(n->hash, t->p, t->n);
	took(n, c == '.' ? T_DOT : c == ',' ? T_COMMA : c == '[' ? T_BRACKET : T_OTHER, c == ']');
}

/* A word that is just written down; false when it may be more than that, or the text is full. */
static inline bool take_plain_word(struct norm *n, const struct sql_token *t)
{
	struct hasher *h = n->hash;
	unsigned int flags = 0;
	enum sql_word w = W_NONE;
	u64 low;

	if (n->odd || t->n > 16 || n->end - t->p < 16 ||
	    (n->last == T_OPEN && n->last2 == W_EXTRACT))
		return false;
	if (n->last != T_DOT)
		w = sql_word_find(t, &flags);
	if (flags & WF_LOOK)
		return false;
	if (n->text_limit - n->text >= 17) {
		*n->text = ' ';
		n->text += !n->glue;
		memcpy(n->text, t->p, 16);
		n->text += t->n;
		n->glue = false;
	} else {
		text_token(n, t->p, t->n, false);
	}
	n->call = !(flags & WF_SPACE);
	low = htole64(t->low);
	memcpy(h->block + h->n, &low, 8);
	low = htole64(t->low2);
	memcpy(h->block + h->n + 8, &low, 8);
	h->n += (u32)t->n;
	hash_byte(h, HASH_END);
	took(n, w, !(flags & WF_EXPR));
	return true;
}

/* The same for the commas and dots between words. */
static inline bool take_plain_punct(struct norm *n, const struct sql_token *t)
{
	if (n->odd || n->text == n->text_limit || (*t->p != ',' && *t->p != '.'))
		return false;
	*n->text++ = (char)*t->p;
	n->glue = *t->p == '.';
	n->call = false;
	hash_byte(n->hash, *t->p);
	took(n, *t->p == '.' ? T_DOT : T_COMMA, false);
	return true;
}

static void take(struct norm *n, const struct sql_token *t)
{
	switch (t->kind) {
	case SQL_WORD:
		take_word(n, t);
		break;
	case SQL_QUOTED:
		take_quoted(n, t);
		break;
	case SQL_NUMBER:
	case SQL_PARAM:
		take_literal(n, false);
		break;
	case SQL_STRING:
		take_literal(n, true);
		break;
	case SQL_OP:
		take_op(n, t);
		break;
	case SQL_PUNCT:
		take_punct(n, t);
		break;
	}
}

/* The end of the text, cut to its bound: not in the middle of a character. */
static size_t whole_characters(const char *p, size_t n)
{
	size_t i, len;

	for (i = 1; i <= MIN(n, (size_t)3); i++) {
		u8 c = (u8)p[n - i];

		if (c < 0x80)
			break;
		if (c < 0xc0)
			continue;
		len = c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
		return i < len ? n - i : n;
	}
	return n;
}

u64 sql_normalise(struct slice sql, bool truncated, size_t max, struct buf *out)
{
	/* A token grows by two blanks at most; "()" to "(...)" is the worst of the rest. */
	size_t room = sql.n < SIZE_MAX / 4 ? MIN(max, 3 * sql.n + 8) : 0;
	struct sql_token t;
	struct norm n;
	char none;
	u64 h;

	if (room && buf_reserve(out, room))
		room = 0;
	sql_reader_init(&n.r, sql);
	n.end = n.r.end;
	n.look = LOOK_FACTOR * sql.n;
	n.truncated = truncated;
	n.whole.h = SEED;
	n.whole.n = 0;
	n.hash = &n.whole;
	n.text = n.text_start = room ? out->p + out->n : &none;
	n.text_limit = n.text + room;
	n.text_full = n.call = false;
	n.glue = true;
	n.odd = 0;
	n.row_depth = 0;
	new_statement(&n);

	while (sql_reader_next(&n.r, &t) && !sql_is_cut(&n, &t))
		if (!(t.kind == SQL_WORD && take_plain_word(&n, &t)) &&
		    !(t.kind == SQL_PUNCT && take_plain_punct(&n, &t)))
			take(&n, &t);

	if (n.sign && !truncated)
		write_held(&n);
	if (n.row_depth)
		sql_end_row(&n, truncated);
	if (room) {
		size_t len = (size_t)(n.text - n.text_start);

		out->n += n.text_full ? whole_characters(n.text_start, len) : len;
		out->p[out->n] = '\0';
	}
	h = hash_end(&n.whole);
	return h ? h : 1;
}
