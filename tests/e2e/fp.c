/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints for the end-to-end tests, by the product's own lexer.
 *
 * Input: SQL texts on standard input, each ended by a NUL. Output: a line each, the fingerprint in 16
 * hex digits and the operation. Lets a test group pg_stat_statements' texts as hostprof groups calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "proto/sql.h"

#define TEXT_MAX (1 << 20)

int main(void)
{
	_release_(buf) struct buf out = BUF_INIT;
	_free_ char *text = NULL;
	size_t cap = 0;
	ssize_t n;
	char op[32];

	while ((n = getdelim(&text, &cap, 0, stdin)) > 0) {
		struct slice sql = { text, text[n - 1] ? (size_t)n : (size_t)n - 1 };

		buf_clear(&out);
		sql_operation(sql, op, sizeof(op));
		printf("%016llx %s\n",
		       (unsigned long long)sql_normalise(sql, false, TEXT_MAX, &out), op);
	}
	return 0;
}
