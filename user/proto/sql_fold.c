/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folding: lists of constants, rows of VALUES, names with counters in them, placeholders of drivers.
 *
 * Input: the reader behind an opening bracket. Output: the reader behind the closing one, and one
 * "(...)" written, or nothing moved. Reading ahead costs each byte at most one more look: a list
 * that does not fold ends the look at its first token that is no constant, and the next look
 * begins behind that.
 */
#include <string.h>
#include "proto/sql_norm.h"

bool sql_placeholder(struct sql_reader *r, const struct sql_token *op, size_t *ret_op)
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

enum skipped sql_skip_constants(struct norm *n)
{
	struct sql_reader *r = &n->r;
	struct sql_place back = sql_reader_place(r);
	struct sql_token t, before = { 0 };
	bool operand = false, string = false;
	u32 depth = 1;
	unsigned int flags;
	size_t skip;

	if (!n->look)
		return SKIPPED_NONE;
	for (;;) {
		if (!sql_reader_next(r, &t) || sql_is_cut(n, &t)) {
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
		} else if (sql_placeholder(r, &t, &skip) && !skip) {
			operand = true;
		} else {
			break;
		}
		before.p = NULL;
	}
	n->look -= MIN(n->look, (size_t)(r->p - back.p));
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

void sql_write_list(struct norm *n, const char *text, bool tight)
{
	text_token(n, text, strlen(text), tight);
	hash_byte(n->hash, HASH_LIST);
	took(n, T_CLOSE, true);
}

void sql_take_rows(struct norm *n)
{
	/* Rows inside rows: only constants fold, one level keeps the books. */
	bool outermost = !n->row_depth;
	bool first = n->last == W_VALUES;

	if (first && outermost)
		n->rows_n = 0;
	do {
		enum skipped skipped = sql_skip_constants(n);

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
			sql_write_list(n, "(...)", false);
		}
		first = false;
	} while (next_row(n));
}

void sql_end_row(struct norm *n, bool cut)
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
		sql_take_rows(n);
}

size_t sql_fold_name(const u8 *p, size_t n, u8 *out)
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
