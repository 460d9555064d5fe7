/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fingerprints for check_pgss.py. Input: texts on standard input, each ended by a NUL byte. Output:
 * one line per text, the fingerprints of its statements in order, with blanks between. With
 * --masked, of the masked text.
 */
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include "base/cleanup.h"
#include "proto/sql.h"

int main(int argc, char **argv)
{
	bool masked = argc > 1 && strcmp(argv[1], "--masked") == 0;
	_free_ char *text = NULL;
	size_t cap = 0;
	ssize_t n;

	while ((n = getdelim(&text, &cap, '\0', stdin)) > 0) {
		struct sql_mask m = { 0 };
		struct slice stmt;
		size_t off = 0;

		if (!text[n - 1])
			n--;
		if (masked)
			sql_mask_feed(&m, (u8 *)text, (size_t)n);
		while (sql_next_statement(slice_of(text, (size_t)n), &off, &stmt))
			printf("%016llx ", (unsigned long long)sql_normalise(stmt, false, 0, NULL));
		putchar('\n');
	}
	return 0;
}
