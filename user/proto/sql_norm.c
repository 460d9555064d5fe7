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
#include "base/map.h"
#include "proto/sql_lex.h"

#define SEED 0x68707371 /* changes when fingerprints do */
#define BLOCK 256
#define ROWS_KEPT 8 /* different rows of one VALUES that are told apart */
#define NAME_MAX_FOLDED 128

/* Bytes of the hashed form that no token has. */
#define HASH_LITERAL 1
#define HASH_LIST 2
#define HASH_BYTE 3 /* before a byte of no other token */
#define HASH_END ' ' /* of a word or operator */

struct hasher {
	u64 h;
	u32 n;
	u8 block[BLOCK + 16];
};

/* Tokens before, as far as they matter: a W_* id or one of these. */
enum {
	T_OPEN = W_COUNT,
	T_CLOSE,
	T_COMMA,
	T_LITERAL,
	T_STRING,
	T_OP,
	T_DOT,
	T_BRACKET, /* '[' */
	T_OTHER,
};

enum set_state {
	SET_NO, /* not in a SET statement */
	SET_NAME, /* before its '=' or TO */
	SET_VALUE,
	SET_DONE, /* value written: what follows is part of it */
};

/* Identifiers of a statement that are names which drivers make up. */
enum names {
	NAMES_NO,
	NAMES_NEXT,
	NAMES_ALL,
};

struct norm {
	struct sql_reader r;
	const u8 *end;
	bool truncated;

	struct hasher *hash; /* &whole or &row */
	struct hasher whole;
	struct hasher row;
	char *text;
	char *text_start;
	char *text_limit;
	bool text_full;
	bool glue; /* no blank before the next token */
	bool call; /* nor before '(' */

	bool operand; /* the token before ends an operand */
	u8 sign; /* '+' or '-' not written yet: part of a number? */
	bool semicolon; /* not written yet: the last one? */
	u16 last; /* token before */
	u16 last2; /* and the one before that */
	u16 stmt; /* first word of the statement */
	bool first; /* no word yet */
	bool query; /* constants are replaced by the server */
	u8 names; /* enum names */
	u8 set; /* enum set_state */

	/* The outermost VALUES with rows that are not all constants. */
	u32 row_depth; /* open parentheses of its row; 0 = none under way */
	char *row_text; /* where the row or the comma before it begins */
	u64 rows[ROWS_KEPT];
	u32 rows_n;
};

static void hash_flush(struct hasher *h)
{
	h->h = hash_bytes(h->block, BLOCK, h->h);
	h->n -= BLOCK;
	memcpy(h->block, h->block + BLOCK, h->n);
}

static inline void hash_add(struct hasher *h, const void *p, size_t n)
{
	const u8 *s = p;

	while (n) {
		size_t part = MIN(n, (size_t)8);

		memcpy(h->block + h->n, s, part);
		h->n += part;
		if (h->n >= BLOCK)
			hash_flush(h);
		s += part;
		n -= part;
	}
}

static inline void hash_byte(struct hasher *h, u8 c)
{
	h->block[h->n++] = c;
	if (h->n >= BLOCK)
		hash_flush(h);
}

static inline void hash_low8(struct hasher *h, u64 low, size_t n)
{
	low = htole64(low);
	memcpy(h->block + h->n, &low, 8);
	h->n += (u32)n;
	if (h->n >= BLOCK)
		hash_flush(h);
}

/* A word in lower case; low is its sql_lower8(). */
static inline void hash_word(struct hasher *h, const u8 *p, size_t n, u64 low)
{
	hash_low8(h, low, MIN(n, (size_t)8));
	while (n > 8) {
		p += 8;
		n -= 8;
		hash_low8(h, sql_lower8(p, n), MIN(n, (size_t)8));
	}
	hash_byte(h, HASH_END);
}

static u64 hash_end(const struct hasher *h)
{
	return hash_bytes(h->block, h->n, h->h);
}

static inline void text_add(struct norm *n, const void *p, size_t len)
{
	if (len > (size_t)(n->text_limit - n->text)) {
		len = (size_t)(n->text_limit - n->text);
		n->text_full = true;
	}
	memcpy(n->text, p, len);
	n->text += len;
}

static inline void text_token(struct norm *n, const void *p, size_t len, bool tight)
{
	if (!n->glue && !tight)
		text_add(n, " ", 1);
	n->glue = false;
	n->call = false;
	text_add(n, p, len);
}

static inline void took(struct norm *n, u16 what, bool operand)
{
	n->last2 = n->last;
	n->last = what;
	n->operand = operand;
}

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

/* Writes what was held back because it could have been the start of a number or the end of all. */
static inline void write_held(struct norm *n)
{
	if (n->semicolon) {
		n->semicolon = false;
		text_token(n, ";", 1, true);
		hash_byte(n->hash, ';');
	}
	if (n->sign) {
		text_token(n, &n->sign, 1, false);
		hash_byte(n->hash, n->sign);
		hash_byte(n->hash, HASH_END);
		n->sign = 0;
		took(n, T_OP, false);
	}
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

/*
 * A placeholder that is no token of PostgreSQL: '?', '%s', '%(name)s', ':name'. op is the operator or
 * ':' that stands where an operand is due. Returns true and moves on behind it, *ret_op being
 * how many bytes of op come before it. All but '?' must touch what follows.
 */
static bool take_placeholder(struct sql_reader *r, const struct sql_token *op, size_t *ret_op)
{
	struct sql_place back = sql_reader_place(r);
	struct sql_token t;
	const u8 *at = op->p + op->n;

	*ret_op = op->n - 1;
	if (at[-1] == '?') {
		/* ?1 */
		if (!sql_reader_next(r, &t) || t.kind != SQL_NUMBER || t.p != at)
			sql_reader_back(r, back);
		return true;
	}
	if (at[-1] == ':' && op->n == 1) {
		if (sql_reader_next(r, &t) && t.p == at &&
		    (t.kind == SQL_WORD || t.kind == SQL_NUMBER))
			return true;
	} else if (at[-1] == '%' && sql_reader_next(r, &t) && t.p == at) {
		if (t.kind == SQL_WORD && t.n == 1 && *t.p == 's')
			return true;
		if (t.kind == SQL_PUNCT && *t.p == '(' && sql_reader_next(r, &t) &&
		    t.kind == SQL_WORD && sql_reader_next(r, &t) && *t.p == ')') {
			at = t.p + 1;
			if (sql_reader_next(r, &t) && t.kind == SQL_WORD && t.p == at && t.n == 1 &&
			    *t.p == 's')
				return true;
		}
	}
	sql_reader_back(r, back);
	return false;
}

/* True for the last token of a cut text when more bytes could have made it another one. */
static bool is_cut(const struct norm *n, const struct sql_token *t)
{
	return n->truncated && t->p + t->n == n->end && !sql_is_literal(t->kind) &&
	       !(t->kind == SQL_PUNCT && memchr("(),[];", *t->p, 6));
}

/* The type after '::': names, dots, (10, 2), []. Stands behind it on return. */
static void skip_type(struct sql_reader *r)
{
	struct sql_place back = sql_reader_place(r);
	struct sql_token t;
	unsigned int flags;
	bool inside = false;

	while (sql_reader_next(r, &t)) {
		if (t.kind == SQL_WORD) {
			enum sql_word w = sql_word_find(&t, &flags);

			if (inside ||
			    (flags && w != W_WITH && w != W_ZONE && w != W_CHAR && w != W_TIME))
				break;
		} else if (t.kind == SQL_PUNCT && (*t.p == '(' || *t.p == '[')) {
			if (inside)
				break;
			inside = true;
		} else if (t.kind == SQL_PUNCT && (*t.p == ')' || *t.p == ']')) {
			if (!inside)
				break;
			inside = false;
		} else if (t.kind == SQL_PUNCT && *t.p == ',') {
			if (!inside)
				break;
		} else if (t.kind == SQL_NUMBER || t.kind == SQL_PARAM) {
			if (!inside)
				break;
		} else if (t.kind != SQL_QUOTED && !(t.kind == SQL_PUNCT && *t.p == '.')) {
			break;
		}
		back = sql_reader_place(r);
	}
	sql_reader_back(r, back);
}

enum skipped {
	SKIPPED_NONE, /* other things were found: nothing has moved */
	SKIPPED_ALL,
	SKIPPED_CUT, /* the text ends before the closing bracket */
};

/*
 * The opening bracket was read: when nothing but constants, with signs and casts, and tuples of
 * them come up to its end (or to the end of a cut text), moves behind it.
 */
static enum skipped skip_constants(struct norm *n)
{
	struct sql_reader *r = &n->r;
	struct sql_place back = sql_reader_place(r);
	struct sql_token t, before = { 0 };
	bool operand = false, string = false;
	u32 depth = 1;
	unsigned int flags;
	size_t skip;

	for (;;) {
		if (!sql_reader_next(r, &t) || is_cut(n, &t)) {
			if (!n->truncated)
				break;
			n->r.p = n->r.word_end = n->r.end;
			return SKIPPED_CUT;
		}
		if (sql_is_literal(t.kind)) {
			if (operand && !(string && t.kind == SQL_STRING))
				break;
			operand = true;
			string = t.kind == SQL_STRING;
			continue;
		}
		string = false;
		if (t.kind == SQL_PUNCT && *t.p == ',') {
			operand = false;
		} else if (t.kind == SQL_PUNCT && (*t.p == '(' || *t.p == '[')) {
			if (operand)
				break;
			depth++;
		} else if (t.kind == SQL_PUNCT && (*t.p == ')' || *t.p == ']')) {
			if (!--depth)
				return SKIPPED_ALL;
			operand = true;
		} else if (t.kind == SQL_PUNCT && t.n == 2 && t.p[1] == ':') {
			if (!operand)
				break;
			skip_type(r);
		} else if (operand) {
			break;
		} else if (t.kind == SQL_WORD) {
			enum sql_word w = sql_word_find(&t, &flags);

			if (w == W_NULL || w == W_TRUE || w == W_FALSE)
				operand = true;
			else if (w != W_ROW && w != W_ARRAY)
				break;
		} else if (t.kind == SQL_OP && t.n == 1 && (*t.p == '-' || *t.p == '+')) {
			if (before.kind == SQL_OP && before.p)
				break;
			before = t;
			continue;
		} else if (take_placeholder(r, &t, &skip) && !skip) {
			operand = true;
		} else {
			break;
		}
		before.p = NULL;
	}
	sql_reader_back(r, back);
	return SKIPPED_NONE;
}

/* True when ',' and '(' come next, or a cut text ends on the way there; moves behind them then. */
static bool next_row(struct norm *n)
{
	struct sql_place back = sql_reader_place(&n->r);
	struct sql_token t;

	if (!sql_reader_next(&n->r, &t) || *t.p != ',')
		goto no;
	if (!sql_reader_next(&n->r, &t))
		return n->truncated;
	if (*t.p == '(')
		return true;
no:
	sql_reader_back(&n->r, back);
	return false;
}

/* Adds a row to those seen; false when it was there. */
static bool row_is_new(struct norm *n, u64 h)
{
	u32 i;

	for (i = 0; i < MIN(n->rows_n, ROWS_KEPT); i++)
		if (n->rows[i] == h)
			return false;
	if (n->rows_n < ROWS_KEPT)
		n->rows[n->rows_n] = h;
	n->rows_n++;
	return true;
}

static void write_list(struct norm *n, const char *text, bool tight)
{
	text_token(n, text, strlen(text), tight);
	hash_byte(n->hash, HASH_LIST);
	took(n, T_CLOSE, true);
}

/*
 * Rows of VALUES from behind the '(' of one. Those of constants are dealt with here; at one that
 * needs the ordinary way it returns with that row begun.
 */
static void take_rows(struct norm *n)
{
	/* Rows inside rows: only constants fold, one level keeps the books. */
	bool outermost = !n->row_depth;
	bool first = n->last == W_VALUES;

	if (first && outermost)
		n->rows_n = 0;
	do {
		enum skipped skipped = skip_constants(n);

		if (skipped == SKIPPED_NONE) {
			n->row_text = n->text;
			if (!first) {
				text_token(n, ",", 1, true);
				if (!outermost)
					hash_byte(n->hash, ',');
			}
			text_token(n, "(", 1, false);
			n->glue = true;
			if (outermost) {
				n->row_depth = 1;
				n->hash = &n->row;
				n->row = (struct hasher){ .h = SEED };
			}
			hash_byte(n->hash, '(');
			took(n, T_OPEN, false);
			return;
		}
		/* A row cut short is taken for one like those before. */
		if (skipped == SKIPPED_CUT && !first)
			return;
		if (outermost ? row_is_new(n, HASH_LITERAL) : first) {
			if (!first)
				text_token(n, ",", 1, true);
			write_list(n, "(...)", false);
		}
		first = false;
	} while (next_row(n));
}

/* The row written the ordinary way is complete, or as complete as a cut text lets it be. */
static void end_row(struct norm *n, bool cut)
{
	u64 h = hash_end(&n->row);

	n->row_depth = 0;
	n->hash = &n->whole;
	if ((cut && n->rows_n) || !row_is_new(n, h)) {
		n->text = n->row_text;
		n->glue = false;
	} else {
		hash_add(n->hash, &h, sizeof(h));
	}
	if (!cut && next_row(n))
		take_rows(n);
}

/* Groups of digits and of hex digits that drivers count with: sa_savepoint_12, c_7f2b81_1. */
static size_t fold_name(const u8 *p, size_t n, u8 *out)
{
	bool asyncpg = n > 10 && memcmp(p, "__asyncpg_", 10) == 0;
	size_t i = 0, m = 0;

	while (i < n) {
		size_t start = i, digits = 0, tail = 0;
		bool hex = true;

		for (; i < n; i++) {
			u8 c = p[i], low = c | 0x20;

			if (c >= '0' && c <= '9') {
				digits++;
				tail++;
			} else if ((low >= 'a' && low <= 'z') || c >= 0x80) {
				tail = 0;
				hex = hex && low <= 'f';
			} else {
				break;
			}
		}
		if (i > start && hex && (digits || asyncpg))
			tail = i - start;
		memcpy(out + m, p + start, i - start - tail);
		m += i - start - tail;
		if (tail)
			out[m++] = '?';
		if (i < n)
			out[m++] = p[i++];
	}
	return m;
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
		len = fold_name(p, len, name);
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
	    take_placeholder(&n->r, t, &before)) {
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
		take_rows(n);
		return;
	}
	if (n->last == W_IN && skip_constants(n) != SKIPPED_NONE) {
		write_list(n, "(...)", false);
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
		end_row(n, false);
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
	    take_placeholder(&n->r, t, &before)) {
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
		if (n->last == W_ARRAY && skip_constants(n) != SKIPPED_NONE) {
			write_list(n, "[...]", true);
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
	n.truncated = truncated;
	n.whole.h = SEED;
	n.whole.n = 0;
	n.hash = &n.whole;
	n.text = n.text_start = room ? out->p + out->n : &none;
	n.text_limit = n.text + room;
	n.text_full = n.call = n.semicolon = false;
	n.glue = true;
	n.sign = 0;
	n.row_depth = 0;
	new_statement(&n);

	while (sql_reader_next(&n.r, &t) && !is_cut(&n, &t))
		take(&n, &t);

	if (n.sign && !truncated)
		write_held(&n);
	if (n.row_depth)
		end_row(&n, truncated);
	if (room) {
		size_t len = (size_t)(n.text - n.text_start);

		out->n += n.text_full ? whole_characters(n.text_start, len) : len;
		out->p[out->n] = '\0';
	}
	h = hash_end(&n.whole);
	return h ? h : 1;
}
