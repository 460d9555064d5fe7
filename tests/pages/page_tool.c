/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Makes a page or an export of stacks given as text, for the tests of pages and for the bench:
 * page_tool FORMAT STACKS [STACKS-BEFORE] > FILE. Prints "seconds kilobytes frames" to standard error: the CPU
 * time that writing took, the memory that it took more than the tree, frames of the tree.
 *
 * STACKS: records that end in a zero byte: frames from the thread on, byte 1 between them, each a text,
 * byte 2 and a letter (o k n p, u = unnamed); then byte 3 and a count. These bytes sort below all others,
 * so sorting records sorts frames by their texts, as struct agg_node wants them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "out/exports.h"
#include "out/flamepage.h"

#define DEPTH_MAX 4096

struct profile {
	struct buf text;
	struct agg_node *nodes;
	u32 n, cap;
};

static void die(const char *what)
{
	fprintf(stderr, "page_tool: %s\n", what);
	exit(1);
}

static int cmp_record(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static u32 node_add(struct profile *p, u32 parent, u16 depth, char *text, char letter)
{
	static const u8 kinds[] = { ['k'] = HP_FRAME_KERNEL,
				    ['n'] = HP_FRAME_NATIVE,
				    ['p'] = HP_FRAME_PYTHON,
				    ['u'] = HP_FRAME_NATIVE };

	if (p->n == p->cap) {
		p->cap = p->cap ? p->cap * 2 : 1024;
		p->nodes = realloc(p->nodes, p->cap * sizeof(*p->nodes));
		if (!p->nodes)
			die("no memory");
	}
	p->nodes[p->n] = (struct agg_node){
		.text = text,
		.parent = parent,
		.depth = depth,
		.kind = letter > 0 && letter < (int)sizeof(kinds) ? kinds[(int)letter] : 0,
		.process = letter == 'P',
		.pid = letter == 'P' && strrchr(text, '(')
			       ? (u32)strtoul(strrchr(text, '(') + 1, NULL, 10)
			       : 0,
		.unnamed = letter == 'u'
	};
	return p->n++;
}

static void add_stack(struct profile *p, char *stack, u64 count, u32 open[DEPTH_MAX], u32 *depth)
{
	u32 at = 0;
	bool same = true;
	char *frame, *rest = stack;

	while ((frame = strsep(&rest, "\1"))) {
		char *mark = strchr(frame, 2), letter = mark ? mark[1] : 'n';

		if (mark)
			*mark = 0;
		if (++at == DEPTH_MAX)
			die("too deep");
		same = same && at <= *depth && !strcmp(p->nodes[open[at]].text, frame) &&
		       p->nodes[open[at]].unnamed == (letter == 'u');
		if (!same) {
			open[at] = node_add(p, open[at - 1], (u16)at, frame, letter);
			*depth = at;
		}
	}
	*depth = at;
	p->nodes[open[at]].self += count;
}

static void load(struct profile *p, const char *path)
{
	u32 open[DEPTH_MAX] = { 0 }, depth = 0, n = 0, i;
	_free_ char **records = NULL;
	size_t off;

	if (file_read(path, &p->text, 1u << 30))
		die("cannot read the stacks");
	for (off = 0; off < p->text.n; off++)
		n += !p->text.p[off];
	records = calloc(MAX(n, 1U), sizeof(*records));
	if (!records)
		die("no memory");
	for (off = 0, i = 0; i < n; i++, off += strlen(p->text.p + off) + 1)
		records[i] = p->text.p + off;
	qsort(records, n, sizeof(*records), cmp_record);
	node_add(p, 0, 0, (char *)"all", 'o');
	for (i = 0; i < n; i++) {
		char *count = strchr(records[i], 3);

		if (!count)
			die("a record without a count");
		*count = 0;
		add_stack(p, records[i], strtoull(count + 1, NULL, 10), open, &depth);
	}
	for (i = p->n; i-- > 0;) {
		p->nodes[i].total += p->nodes[i].self;
		if (i)
			p->nodes[p->nodes[i].parent].total += p->nodes[i].total;
	}
}

static int write_html(const struct profile *p, const struct profile *before, struct buf *out)
{
	struct flamepage_profile old = {
		.nodes = before->nodes, .n = before->n, .seconds = 10, .requests = 100
	};
	struct flamepage page = {
		.title = "CPU flame graph: <b>sample</b> & \"co\" (pid 1)",
		.detail = "a detail",
		.unit = "samples",
		.unit_ns = 1e7,
		.profile = { .nodes = p->nodes, .n = p->n, .seconds = 20, .requests = 400 },
		.before = before->n ? &old : NULL,
	};

	return flamepage_html(&page, out);
}

/* The same weights as microseconds of waiting. */
static int write_offcpu(const struct profile *p, const struct profile *before, struct buf *out)
{
	struct flamepage page = {
		.title = "Off-CPU flame graph: sample",
		.detail = "",
		.unit = "µs",
		.unit_ns = 1000,
		.timed = true,
		.profile = { .nodes = p->nodes, .n = p->n, .seconds = 20 },
	};

	(void)before;
	return flamepage_html(&page, out);
}

static struct export_tree tree_of(const struct profile *p)
{
	return (struct export_tree){ .nodes = p->nodes,
				     .n = p->n,
				     .title = "sample \x1b\"</script>",
				     .exe = "/usr/bin/sample",
				     .what = "cpu",
				     .unit = "samples",
				     .unit_ns = 1e7,
				     .start_unix_ns = 1700000000ULL * NSEC_PER_SEC,
				     .duration_ns = 20 * NSEC_PER_SEC };
}

static int write_pprof(const struct profile *p, const struct profile *before, struct buf *out)
{
	struct export_tree tree = tree_of(p);

	(void)before;
	return export_pprof(&tree, out);
}

static int write_pprof_waits(const struct profile *p, const struct profile *before, struct buf *out)
{
	struct export_tree tree = tree_of(p);

	(void)before;
	tree.what = "offcpu";
	tree.unit = NULL;
	tree.unit_ns = 1000;
	return export_pprof(&tree, out);
}

static int write_speedscope(const struct profile *p, const struct profile *before, struct buf *out)
{
	struct export_tree tree = tree_of(p);

	(void)before;
	return export_speedscope(&tree, out);
}

static const struct {
	const char *name;
	int (*write)(const struct profile *p, const struct profile *before, struct buf *out);
} formats[] = {
	{ "html", write_html },
	{ "offcpu", write_offcpu },
	{ "pprof", write_pprof },
	{ "pprof-waits", write_pprof_waits },
	{ "speedscope", write_speedscope },
};

int main(int argc, char **argv)
{
	struct profile p = { 0 }, before = { 0 };
	_release_(buf) struct buf out = BUF_INIT;
	struct timespec from, to;
	struct rusage use;
	u32 i;
	int err = -EINVAL;

	if (argc < 3)
		die("page_tool FORMAT STACKS [STACKS-BEFORE]");
	load(&p, argv[2]);
	if (argc > 3)
		load(&before, argv[3]);
	getrusage(RUSAGE_SELF, &use);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
	for (i = 0; i < ARRAY_SIZE(formats); i++)
		if (!strcmp(formats[i].name, argv[1]))
			err = formats[i].write(&p, &before, &out);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	if (err)
		die("this tree cannot be written so");
	i = (u32)use.ru_maxrss;
	getrusage(RUSAGE_SELF, &use);
	fprintf(stderr, "%.3f %ld %u\n",
		(double)(to.tv_sec - from.tv_sec) + (double)(to.tv_nsec - from.tv_nsec) / 1e9,
		use.ru_maxrss - (long)i, p.n);
	return fwrite(out.p, 1, out.n, stdout) != out.n;
}
