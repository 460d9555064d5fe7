/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL text: one lexer, used for masking, for normalising and for the fingerprint.
 *
 * It is a lexer, not a parser: it knows PostgreSQL's quoting ('…' with standard_conforming_strings,
 * E'…', U&'…', B'…', X'…', $tag$…$tag$, "…", nested comments, numbers, $1 and :name and %s
 * placeholders, operators), nothing of grammar. Right on text cut at any byte.
 */
#ifndef PROTO_SQL_H
#define PROTO_SQL_H

#include "base/buf.h"
#include "base/types.h"

#define SQL_TAG_MAX 63 /* longest $tag$ that can be closed again; a longer one runs to the end */

/*
 * Masking as the text arrives, in any pieces, in place, length kept: the inside of string and
 * dollar-quoted literals and comments becomes 'x', digits of numbers '0'. Idempotent, and the masked
 * text lexes into the same tokens. Zeroed memory is the start state. Kept besides quotes: line ends,
 * '*' and '/' of comments, '$' of dollar-quoted text.
 */
struct sql_mask {
	u8 mode; /* token under way */
	u8 cont; /* an E'…' before: a literal after a line break goes on in its style */
	u8 flags; /* of a number, or the byte before in a comment */
	u8 tag_len; /* of the dollar quote under way */
	u8 tag_seen; /* bytes of its closing $tag$ seen */
	u32 depth; /* of nested comments */
	char tag[SQL_TAG_MAX + 1];
};

void sql_mask_feed(struct sql_mask *m, u8 *p, size_t n);

/*
 * Normalised text: literals and placeholders become '?', lists of them after IN or in VALUES rows
 * fold to "(...)", comments go, white space becomes one blank, keywords and unquoted identifiers
 * keep their case in the text but not in the fingerprint. `truncated`: the text ends early; a last
 * token that is no literal may be cut and is dropped, an open list ends as if it were whole.
 * At most max bytes are added to out.
 * Returns the fingerprint, never 0: equal for texts that differ only in what normalising removes.
 */
u64 sql_normalise(struct slice sql, bool truncated, size_t max, struct buf *out);

/* First keyword in upper case ("SELECT", "WITH", "BEGIN"); "" when there is none. */
void sql_operation(struct slice sql, char *out, size_t out_size);

/*
 * Splits a simple-Query text into its statements (a ';' outside quotes, parentheses and BEGIN ATOMIC
 * bodies is the border; empty ones are skipped, as the server answers them only once). *off moves
 * on; false at the end. A statement keeps the comments before and inside it.
 */
bool sql_next_statement(struct slice text, size_t *off, struct slice *ret_stmt);

#endif
