/* SPDX-License-Identifier: Apache-2.0 */
/* The corpus file: text in, statements with their groups out. Head comment in corpus.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "corpus.h"

#define CORPUS_MAX (1u << 20)
#define GROUP "# group "

static void die(const char *path, u32 line, const char *why)
{
	fprintf(stderr, "%s:%u: %s\n", path, line, why);
	exit(1);
}

static void *grown(void *p, size_t n, size_t size)
{
	void *q = reallocarray(p, n + 1, size);

	if (!q)
		die("corpus", 0, strerror(ENOMEM));
	return q;
}

static void add_group(struct corpus *c, const char *name)
{
	c->groups = grown(c->groups, c->groups_n, sizeof(*c->groups));
	c->groups[c->groups_n++] = strdup(name);
}

static void add_line(struct corpus *c, const char *text, u32 line)
{
	struct corpus_stmt *s;
	char *joined;

	if (*text != '\t') {
		c->stmts = grown(c->stmts, c->n, sizeof(*c->stmts));
		c->stmts[c->n++] = (struct corpus_stmt){ strdup(text), (u32)c->groups_n - 1, line };
		return;
	}
	s = &c->stmts[c->n - 1];
	if (asprintf(&joined, "%s\n%s", s->text, text + 1) < 0)
		die("corpus", line, strerror(ENOMEM));
	free(s->text);
	s->text = joined;
}

void corpus_read(struct corpus *c, const char *path)
{
	_release_(buf) struct buf b = BUF_INIT;
	u32 number = 0;
	char *line, *rest;
	int err = file_read(path, &b, CORPUS_MAX);

	memset(c, 0, sizeof(*c));
	if (err)
		die(path, 0, strerror(-err));
	for (rest = b.p; rest && (line = strsep(&rest, "\n"));) {
		number++;
		if (strncmp(line, GROUP, strlen(GROUP)) == 0)
			add_group(c, line + strlen(GROUP));
		else if (!*line || *line == '#')
			continue;
		else if (!c->groups_n || (*line == '\t' && !c->n))
			die(path, number, "outside a group");
		else
			add_line(c, line, number);
	}
	if (!c->n)
		die(path, number, "no statement");
}

void corpus_release(struct corpus *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		free(c->stmts[i].text);
	for (i = 0; i < c->groups_n; i++)
		free(c->groups[i]);
	free(c->stmts);
	free(c->groups);
}
