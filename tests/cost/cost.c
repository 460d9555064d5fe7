/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verifier has to go through for each program, against tests/cost/verifier.txt: instructions
 * and states. A program that grew by more than a tenth may not load on a kernel with lower limits, and
 * takes longer to load on every one.
 *
 * Counts differ between kernels, so the file has rows for each that was measured; on another one there
 * is nothing to compare with. The test and `cost --print` print the rows of this kernel, `cost --update`
 * puts them into the file. What this kernel does not take has no row.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/types.h"
#include "hostprof.skel.h"
#include "load/feat.h"
#include "load/kfuncs.h"

#define BASELINE "tests/cost/verifier.txt"
#define PERCENT_MAX 110
#define ROWS_MAX 512
#define LOG_BYTES (64U << 10)
#define LOG_TAIL 400 /* of what the verifier said last */

struct row {
	char kernel[16];
	char name[64];
	u32 insns;
	u32 states;
};

struct rows {
	struct row v[ROWS_MAX];
	u32 n;
};

/* "6.18" of "6.18.44-something" */
static void kernel_series(char *out, size_t size)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	snprintf(out, size, "%u.%u", major, minor);
}

/* "12+34+5": newer kernels count each function by itself. */
static u32 sum(const char *p)
{
	char *end;
	u32 n = 0;

	for (;; p = end + 1) {
		n += strtoul(p, &end, 10);
		if (end == p || *end != '+')
			return n;
	}
}

static bool stat_of(const char *log, struct row *row)
{
	const char *insns = strstr(log, "processed "), *states = strstr(log, "total_states ");

	if (!insns || !states)
		return false;
	row->insns = sum(insns + strlen("processed "));
	row->states = sum(states + strlen("total_states "));
	return true;
}

/* What libbpf says last of a load that failed: the program's name stands between the quotes. */
static char refused[64];

static int listen_to(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char line[512];
	va_list copy;

	(void)level;
	va_copy(copy, ap);
	vsnprintf(line, sizeof(line), fmt, copy);
	va_end(copy);
	if (strstr(line, "': failed to load: "))
		sscanf(line, "libbpf: prog '%63[^']'", refused);
	return 0;
}

/* All programs but those of `out`; logs: LOG_BYTES for each program, in their order. */
static struct hostprof_bpf *open_but(const bool *out, char *logs)
{
	struct hostprof_bpf *skel = hostprof_bpf__open();
	struct bpf_program *prog;
	int nargs = kfunc_nargs("tcp_recvmsg");
	u32 i = 0;

	assert_non_null(skel);
	skel->rodata->cfg_typed_reads = feat_has(FEAT_TYPED_READS);
	skel->rodata->cfg_task_btf = feat_has(FEAT_TASK_BTF);
	skel->rodata->cfg_task_pt_regs = feat_has(FEAT_TASK_PT_REGS);
	if (nargs > 0)
		skel->rodata->cfg_tcp_recv_args = nargs;
	nargs = kfunc_nargs("inet_accept");
	if (nargs > 0)
		skel->rodata->cfg_accept_args = nargs;
	bpf_object__for_each_program(prog, skel->obj)
	{
		assert_true(i < ROWS_MAX);
		logs[(size_t)i * LOG_BYTES] = '\0';
		bpf_program__set_autoload(prog, !out[i]);
		bpf_program__set_log_buf(prog, logs + (size_t)i * LOG_BYTES, LOG_BYTES);
		bpf_program__set_log_level(prog, 4); /* statistics alone */
		i++;
	}
	return skel;
}

/* Its number among the programs. */
static u32 number_of(const struct hostprof_bpf *skel, const char *name)
{
	struct bpf_program *prog;
	u32 i = 0;

	bpf_object__for_each_program(prog, skel->obj)
	{
		if (!strcmp(bpf_program__name(prog), name))
			return i;
		i++;
	}
	fail_msg("libbpf does not say which program fails: '%s'", name);
	return 0;
}

/* All together, and again without the one that this kernel did not take, until the rest is loaded. */
static void measure(struct rows *r)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY };
	_free_ char *logs = malloc((size_t)ROWS_MAX * LOG_BYTES);
	bool out[ROWS_MAX] = {};
	struct hostprof_bpf *skel;
	struct bpf_program *prog;
	const char *log;
	u32 i = 0;
	int err;

	assert_non_null(logs);
	setrlimit(RLIMIT_MEMLOCK, &lim);
	r->n = 0;
	for (;;) {
		skel = open_but(out, logs);
		*refused = '\0';
		err = hostprof_bpf__load(skel);
		if (!err)
			break;
		i = number_of(skel, refused);
		hostprof_bpf__destroy(skel);
		assert_false(out[i]);
		out[i] = true;
		log = logs + (size_t)i * LOG_BYTES;
		if (*log)
			print_message("# %s: %s: %s\n", refused, strerror(-err),
				      log + MAX((ssize_t)strlen(log) - LOG_TAIL, 0));
	}
	i = 0;
	bpf_object__for_each_program(prog, skel->obj)
	{
		struct row *row = &r->v[r->n];

		if (!out[i] && stat_of(logs + (size_t)i * LOG_BYTES, row)) {
			kernel_series(row->kernel, sizeof(row->kernel));
			snprintf(row->name, sizeof(row->name), "%s", bpf_program__name(prog));
			r->n++;
		}
		i++;
	}
	hostprof_bpf__destroy(skel);
	assert_true(r->n > 0);
}

static const struct row *find(const struct rows *r, const char *kernel, const char *name)
{
	u32 i;

	for (i = 0; i < r->n; i++)
		if (!strcmp(r->v[i].name, name) && !strcmp(r->v[i].kernel, kernel))
			return &r->v[i];
	return NULL;
}

static void read_baseline(struct rows *r)
{
	_fclose_ FILE *f = fopen(BASELINE, "re");
	char line[128];

	r->n = 0;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		struct row *row = &r->v[r->n];

		assert_true(r->n < ROWS_MAX);
		if (*line != '#' && sscanf(line, "%15s %63s %u %u", row->kernel, row->name,
					   &row->insns, &row->states) == 4)
			r->n++;
	}
}

static bool grew(u32 now, u32 was)
{
	return (u64)now * 100 > (u64)was * PERCENT_MAX;
}

static void verifier_budget(void **state)
{
	static struct rows was, now;
	u32 i, bad = 0, known = 0;
	char here[16];

	(void)state;
	kernel_series(here, sizeof(here));
	read_baseline(&was);
	for (i = 0; i < was.n; i++)
		known += !strcmp(was.v[i].kernel, here);
	measure(&now);
	for (i = 0; i < now.n; i++)
		print_message("# row %s %s %u %u\n", now.v[i].kernel, now.v[i].name, now.v[i].insns,
			      now.v[i].states);
	if (!known) {
		print_message("%s has no rows for Linux %s\n", BASELINE, here);
		skip();
	}
	for (i = 0; i < now.n; i++) {
		const struct row *r = &now.v[i], *before = find(&was, here, r->name);

		if (before && !grew(r->insns, before->insns) && !grew(r->states, before->states))
			continue;
		print_error("%s %s: %u instructions, %u states; %u, %u before\n", here, r->name,
			    r->insns, r->states, before ? before->insns : 0,
			    before ? before->states : 0);
		bad++;
	}
	for (i = 0; i < was.n; i++) {
		if (strcmp(was.v[i].kernel, here) || find(&now, here, was.v[i].name))
			continue;
		print_error("%s %s: does not load any more\n", here, was.v[i].name);
		bad++;
	}
	if (bad)
		fail_msg("%u programs; if that is meant: %s", bad, "cost --update");
}

static void put(FILE *f, const struct row *r)
{
	fprintf(f, "%s %s %u %u\n", r->kernel, r->name, r->insns, r->states);
}

static int print(void)
{
	static struct rows now;
	u32 i;

	measure(&now);
	for (i = 0; i < now.n; i++)
		put(stdout, &now.v[i]);
	return 0;
}

/* The rows of other kernels stay where they are. */
static int update(void)
{
	static struct rows was, now;
	_fclose_ FILE *f = NULL;
	char here[16];
	u32 i;

	kernel_series(here, sizeof(here));
	read_baseline(&was);
	measure(&now);
	f = fopen(BASELINE, "we");
	if (!f)
		return 1;
	fprintf(f, "# kernel program instructions states: see cost.c\n");
	for (i = 0; i < was.n; i++)
		if (strcmp(was.v[i].kernel, here))
			put(f, &was.v[i]);
	for (i = 0; i < now.n; i++)
		put(f, &now.v[i]);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(verifier_budget) };

	libbpf_set_print(listen_to);
	if (argc > 1 && !strcmp(argv[1], "--print"))
		return print();
	if (argc > 1 && !strcmp(argv[1], "--update"))
		return update();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
