/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads corpus.sql for the tests in this directory: statements in groups, a group being what must
 * have one fingerprint. Lines "# group NAME" begin one, a line that begins with a tab goes on with
 * the statement before it. Ends the program when the file cannot be read or is not of that form.
 */
#ifndef TESTS_SQL_CORPUS_H
#define TESTS_SQL_CORPUS_H

#include "base/buf.h"

struct corpus_stmt {
	char *text;
	u32 group;
	u32 line;
};

struct corpus {
	struct corpus_stmt *stmts;
	size_t n;
	char **groups;
	size_t groups_n;
};

void corpus_read(struct corpus *c, const char *path);
void corpus_release(struct corpus *c);

#endif
