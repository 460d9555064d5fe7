/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compares the fingerprint with the one of libpg-query, which has PostgreSQL's own parser.
 *
 * Input: corpus.sql and disagreements.txt. Every pair of statements of the corpus is a question: the
 * same kind of statement or not? The corpus says what is wanted (same group or not), and the
 * fingerprint must say exactly that. Where libpg-query says otherwise, disagreements.txt must have
 * a line for it: "split GROUP N: why" when libpg-query tells N pairs of that group apart, "same
 * GROUP GROUP N: why" when it holds N pairs across two groups for equal. A line too many fails as
 * a line too few does, so the list is the set of disagreements. Output: figures; status 1 on a
 * difference. With --list the lines as they should be.
 */
#include <pg_query.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "corpus.h"
#include "proto/sql.h"

#define LIST_MAX (1u << 20)
#define PAIRS_MIN 250 /* statements: below that the comparison says nothing */

struct prints {
	u64 ours;
	u64 theirs;
};

struct list {
	char **lines;
	size_t n;
};

static void list_add(struct list *l, const char *line)
{
	l->lines = reallocarray(l->lines, l->n + 1, sizeof(*l->lines));
	if (!l->lines || !(l->lines[l->n++] = strdup(line)))
		exit(1);
}

static void list_release(struct list *l)
{
	while (l->n)
		free(l->lines[--l->n]);
	free(l->lines);
}

static bool list_has(const struct list *l, const char *line)
{
	size_t i;

	for (i = 0; i < l->n; i++)
		if (strcmp(l->lines[i], line) == 0)
			return true;
	return false;
}

static int fingerprint(const struct corpus *c, struct prints *p)
{
	int bad = 0;
	size_t i;

	for (i = 0; i < c->n; i++) {
		struct corpus_stmt *s = &c->stmts[i];
		PgQueryFingerprintResult r = pg_query_fingerprint(s->text);

		p[i].ours = sql_normalise(slice_str(s->text), false, 0, NULL);
		p[i].theirs = r.fingerprint;
		if (r.error) {
			fprintf(stderr, "corpus.sql:%u: not PostgreSQL: %s\n", s->line,
				r.error->message);
			bad++;
		}
		pg_query_free_fingerprint_result(r);
	}
	return bad;
}

/* Our answer against the groups. */
static int check_ours(const struct corpus *c, const struct prints *p)
{
	int bad = 0;
	size_t i, j;

	for (i = 0; i < c->n; i++) {
		for (j = 0; j < i; j++) {
			bool want = c->stmts[i].group == c->stmts[j].group;

			if ((p[i].ours == p[j].ours) == want)
				continue;
			fprintf(stderr, "corpus.sql: lines %u and %u must %s one fingerprint\n",
				c->stmts[j].line, c->stmts[i].line, want ? "have" : "not have");
			bad++;
		}
	}
	return bad;
}

/* Their answer against ours: the disagreements, in order of the corpus. */
static size_t compare(const struct corpus *c, const struct prints *p, struct list *found)
{
	_free_ u32 *count = calloc(c->groups_n * c->groups_n, sizeof(*count));
	size_t i, j, pairs = 0;
	char line[256];

	if (!count)
		exit(1);
	for (i = 0; i < c->n; i++)
		for (j = 0; j < i; j++)
			if ((p[i].ours == p[j].ours) != (p[i].theirs == p[j].theirs)) {
				count[c->stmts[j].group * c->groups_n + c->stmts[i].group]++;
				pairs++;
			}
	for (i = 0; i < c->groups_n; i++) {
		for (j = i; j < c->groups_n; j++) {
			u32 n = count[i * c->groups_n + j];

			if (!n)
				continue;
			if (i == j)
				snprintf(line, sizeof(line), "split %s %u", c->groups[i], n);
			else
				snprintf(line, sizeof(line), "same %s %s %u", c->groups[i],
					 c->groups[j], n);
			list_add(found, line);
		}
	}
	return pairs;
}

/* Lines up to their ':'; each must have a reason behind it. */
static void read_list(struct list *l, const char *path)
{
	_release_(buf) struct buf b = BUF_INIT;
	char *line, *rest, *colon;

	if (file_read(path, &b, LIST_MAX)) {
		fprintf(stderr, "%s: cannot be read\n", path);
		exit(1);
	}
	for (rest = b.p; rest && (line = strsep(&rest, "\n"));) {
		if (!*line || *line == '#')
			continue;
		colon = strchr(line, ':');
		if (!colon || strlen(colon) < 10) {
			fprintf(stderr, "%s: no reason given: %s\n", path, line);
			exit(1);
		}
		*colon = '\0';
		list_add(l, line);
	}
}

int main(int argc, char **argv)
{
	struct corpus c;
	struct list found = { 0 }, listed = { 0 };
	_free_ struct prints *p = NULL;
	size_t i, pairs;
	int bad;

	if (argc < 3) {
		fprintf(stderr, "usage: %s CORPUS DISAGREEMENTS [--list]\n", argv[0]);
		return 2;
	}
	corpus_read(&c, argv[1]);
	p = calloc(c.n, sizeof(*p));
	if (!p)
		return 1;
	bad = fingerprint(&c, p);
	bad += check_ours(&c, p);
	pairs = compare(&c, p, &found);
	if (argc > 3) {
		for (i = 0; i < found.n; i++)
			printf("%s:\n", found.lines[i]);
	} else {
		read_list(&listed, argv[2]);
		for (i = 0; i < found.n; i++) {
			if (!list_has(&listed, found.lines[i])) {
				fprintf(stderr, "not listed: %s\n", found.lines[i]);
				bad++;
			}
		}
		for (i = 0; i < listed.n; i++) {
			if (!list_has(&found, listed.lines[i])) {
				fprintf(stderr, "listed, but not so: %s\n", listed.lines[i]);
				bad++;
			}
		}
	}
	if (c.n < PAIRS_MIN) {
		fprintf(stderr, "only %zu statements\n", c.n);
		bad++;
	}
	fprintf(stderr,
		"%zu statements in %zu groups: %zu pairs, %zu of them judged otherwise by "
		"libpg-query (%zu lines), %d wrong\n",
		c.n, c.groups_n, c.n * (c.n - 1) / 2, pairs, found.n, bad);
	list_release(&found);
	list_release(&listed);
	corpus_release(&c);
	return bad ? 1 : 0;
}
