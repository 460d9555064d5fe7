/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements of a simple-Query text, and what a statement does.
 *
 * Input: the text of one Query message. Output: its statements, one for each answer of the server.
 * The borders are found with the lexer alone: a ';' outside parentheses (CREATE RULE … DO (…; …)) and
 * outside the body of CREATE FUNCTION … BEGIN ATOMIC …; …; END. In such a body CASE has an END of
 * its own.
 */
#include "proto/sql_lex.h"

static bool is_word(const struct sql_token *t, struct slice text)
{
	return t->kind == SQL_WORD && t->n == text.n && slice_eq_nocase(slice_of(t->p, t->n), text);
}

bool sql_next_statement(struct slice text, size_t *off, struct slice *ret_stmt)
{
	const u8 *start, *last = NULL;
	struct sql_reader r;
	struct sql_token t;
	u32 parens = 0, blocks = 0;
	bool create = false, begin = false;

	if (*off >= text.n)
		return false;
	sql_reader_init(&r, slice_of(text.p + *off, text.n - *off));
	start = r.p;
	while (sql_reader_next(&r, &t)) {
		if (t.kind == SQL_PUNCT && *t.p == ';' && !parens && !blocks) {
			if (last)
				break;
			start = t.p + 1;
			continue;
		}
		if (!last)
			create = is_word(&t, SLICE("CREATE"));
		last = t.p + t.n;
		if (t.kind == SQL_PUNCT && *t.p == '(')
			parens++;
		else if (t.kind == SQL_PUNCT && *t.p == ')' && parens)
			parens--;
		else if (create && begin && is_word(&t, SLICE("ATOMIC")))
			blocks++;
		else if (blocks && is_word(&t, SLICE("CASE")))
			blocks++;
		else if (blocks && is_word(&t, SLICE("END")))
			blocks--;
		begin = create && is_word(&t, SLICE("BEGIN"));
	}
	*off = (size_t)((const char *)r.p - text.p);
	if (!last)
		return false;
	while (*start == ' ' || (*start >= '\t' && *start <= '\r'))
		start++;
	*ret_stmt = slice_of(start, (size_t)(last - start));
	return true;
}

void sql_operation(struct slice sql, char *out, size_t out_size)
{
	struct sql_reader r;
	struct sql_token t;
	size_t i, n = 0;

	if (!out_size)
		return;
	sql_reader_init(&r, sql);
	while (sql_reader_next(&r, &t)) {
		if (t.kind == SQL_WORD) {
			n = MIN(t.n, out_size - 1);
			break;
		}
		if (t.kind != SQL_PUNCT || (*t.p != '(' && *t.p != ';'))
			break;
	}
	for (i = 0; i < n; i++) {
		char c = (char)t.p[i];

		out[i] = c >= 'a' && c <= 'z' ? (char)(c - 0x20) : c;
	}
	out[n] = '\0';
}
