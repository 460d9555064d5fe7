/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tokens of SQL text, for the files sql_*.c only.
 *
 * Input: a whole text in memory. Output: its tokens one after the other, without white space and
 * comments. A reader is a small value: a copy of it looks ahead and is thrown away.
 */
#ifndef PROTO_SQL_LEX_H
#define PROTO_SQL_LEX_H

#include <endian.h>
#include <string.h>
#include "proto/sql.h"

enum sql_kind {
	SQL_WORD, /* keyword or identifier */
	SQL_QUOTED, /* "identifier" */
	SQL_NUMBER,
	SQL_STRING, /* of any style, with its prefix */
	SQL_PARAM, /* $1 */
	SQL_OP, /* operator of one or more bytes */
	SQL_PUNCT, /* , ( ) [ ] . ; : :: := and every other byte */
};

struct sql_token {
	enum sql_kind kind;
	bool dollar; /* a word with a '$' in it */
	const u8 *p;
	size_t n;
	/* Of a word: its first 16 bytes, little-endian, in lower case, 0 behind its end. */
	u64 low;
	u64 low2;
};

struct sql_reader {
	const u8 *p;
	const u8 *end;
	const u8 *word_end; /* p is inside a word that ends here */
	struct sql_mask lex;
};

/* Where a reader is, to go back there after looking ahead. */
struct sql_place {
	const u8 *p;
	const u8 *word_end;
	u8 cont;
};

void sql_reader_init(struct sql_reader *r, struct slice text);
bool sql_reader_next(struct sql_reader *r, struct sql_token *t); /* false at the end */

static inline struct sql_place sql_reader_place(const struct sql_reader *r)
{
	return (struct sql_place){ r->p, r->word_end, r->lex.cont };
}

static inline void sql_reader_back(struct sql_reader *r, struct sql_place to)
{
	r->p = to.p;
	r->word_end = to.word_end;
	r->lex.cont = to.cont;
	r->lex.mode = 0;
}

static inline bool sql_is_literal(enum sql_kind kind)
{
	return kind == SQL_NUMBER || kind == SQL_STRING || kind == SQL_PARAM;
}

/* Keywords that change how the text around them is read. W_NONE = any other word. */
enum sql_word {
	W_NONE,
#define WORD(id, text, flags) W_##id,
#include "proto/sql_words.def"
#undef WORD
	W_COUNT
};

#define WF_EXPR 1 /* an expression follows, so a sign after it belongs to the number */
#define WF_SPACE 2 /* a blank stands between it and a '(' */
#define WF_RESERVED 4 /* means something else than the same word in double quotes */
#define WF_QUERY 8 /* first word of a statement whose constants the server replaces */
#define WF_NAMES 16 /* first word of a statement that is about names drivers make up */
#define WF_NAME_NEXT 32 /* the same for the word after it only */
#define WF_LOOK 64 /* may be a constant, or make the statement a query */

/* Id of a word token, case aside; *ret_flags are its WF_* flags. */
enum sql_word sql_word_find(const struct sql_token *t, unsigned int *ret_flags);

#define BYTES(c) (0x0101010101010101ULL * (c))

static inline u64 sql_load8(const u8 *p)
{
	u64 v;

	memcpy(&v, p, 8);
	return le64toh(v);
}

/* High bit of each byte that is a letter of ASCII. */
static inline u64 sql_letters(u64 v)
{
	u64 low = (v | BYTES(0x20)) & BYTES(0x7f);

	return (low + BYTES(0x80 - 'a')) & ~(low + BYTES(0x80 - 'z' - 1)) & ~v & BYTES(0x80);
}

/* The first min(n, 8) bytes as struct sql_token wants them. */
static inline u64 sql_lower8(const u8 *p, size_t n)
{
	u64 v = 0;

	if (n >= 8)
		v = sql_load8(p);
	else
		while (n--)
			v = v << 8 | p[n];
	return v | sql_letters(v) >> 2;
}

#endif
