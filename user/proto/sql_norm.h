/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of normalising one SQL text, and how it writes; shared by sql_norm.c, which decides what
 * becomes of each token, and sql_fold.c, which reads ahead over lists.
 *
 * Two things are written at once: the text for people, up to its bound, and the hashed form (tokens in
 * lower case without blanks), which goes through a hash block by block.
 */
#ifndef PROTO_SQL_NORM_H
#define PROTO_SQL_NORM_H

#include "base/map.h"
#include "proto/sql_lex.h"

#define SEED 0x68707371 /* changes when fingerprints do */
#define BLOCK 256
#define ROWS_KEPT 8 /* different rows of one VALUES that are told apart */
#define NAME_MAX_FOLDED 128
#define LOOK_FACTOR 4 /* ARRAY[ARRAY[ARRAY[… would be read ahead from every level */

/* Bytes of the hashed form that no token has. */
#define HASH_LITERAL 1
#define HASH_LIST 2
#define HASH_BYTE 3 /* before a byte of no other token */
#define HASH_END ' ' /* of a word or operator */

struct hasher {
	u64 h;
	u32 n;
	u8 block[BLOCK + 32]; /* a token may stand over */
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
	size_t look; /* bytes that reading ahead in vain may still cost */
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

	/* Whatever asks for more than writing the next word or comma down: 0 is the quick way. */
	union {
		u64 odd;
		struct {
			u8 sign; /* '+' or '-' not written yet: part of a number? */
			bool semicolon; /* not written yet: the last one? */
			bool first; /* no word yet */
			u8 names; /* enum names */
			u8 set; /* enum set_state */
		};
	};
	bool operand; /* the token before ends an operand */
	u16 last; /* token before */
	u16 last2; /* and the one before that */
	u16 stmt; /* first word of the statement */
	bool query; /* constants are replaced by the server */

	/* The outermost VALUES with rows that are not all constants. */
	u32 row_depth; /* open parentheses of its row; 0 = none under way */
	char *row_text; /* where the row or the comma before it begins */
	u64 rows[ROWS_KEPT];
	u32 rows_n;
};

static inline void hash_flush(struct hasher *h)
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

/* n of the 8 bytes of low. */
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

static inline u64 hash_end(const struct hasher *h)
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

/* True for the last token of a cut text when more bytes could have made it another one. */
static inline bool sql_is_cut(const struct norm *n, const struct sql_token *t)
{
	return n->truncated && t->p + t->n == n->end && !sql_is_literal(t->kind) &&
	       !(t->kind == SQL_PUNCT && memchr("(),[];", *t->p, 6));
}

enum skipped {
	SKIPPED_NONE, /* other things were found: nothing has moved */
	SKIPPED_ALL,
	SKIPPED_CUT, /* the text ends before the closing bracket */
};

/*
 * A placeholder that is no token of PostgreSQL: '?', '%s', '%(name)s', ':name'. op is the operator or
 * ':' that stands where an operand is due. Returns true and moves on behind it, *ret_op being
 * how many bytes of op come before it. All but '?' must touch what follows.
 */
bool sql_placeholder(struct sql_reader *r, const struct sql_token *op, size_t *ret_op);

/*
 * The opening bracket was read: when nothing but constants, with signs and casts, and tuples of
 * them come up to its end (or to the end of a cut text), moves behind it.
 */
enum skipped sql_skip_constants(struct norm *n);

/* A folded list in the place of the one skipped. */
void sql_write_list(struct norm *n, const char *text, bool tight);

/*
 * Rows of VALUES from behind the '(' of one. Those of constants are dealt with here; at one that
 * needs the ordinary way it returns with that row begun.
 */
void sql_take_rows(struct norm *n);

/* The row written the ordinary way is complete, or as complete as a cut text lets it be. */
void sql_end_row(struct norm *n, bool cut);

/* Groups of digits and of hex digits that drivers count with: sa_savepoint_12, c_7f2b81_1. */
size_t sql_fold_name(const u8 *p, size_t n, u8 *out);

#endif
