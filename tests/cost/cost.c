/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the verifier has to go through for each program, against tests/cost/verified_insns.txt: a
 * program that grew by more than a quarter may not load on a kernel with lower limits, and takes
 * longer to load on every one. `cost --update` writes the file anew.
 *
 * Counts differ between kernels, so the file names the one it was made on; on another one there is
 * nothing to compare with.
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
#include <sys/utsname.h>

#include "base/cleanup.h"
#include "base/types.h"
#include "hostprof.skel.h"

#define BASELINE "tests/cost/verified_insns.txt"
#define PERCENT_MAX 125
#define PROGRAMS_MAX 64

struct row {
	char name[64];
	u32 insns;
};

struct rows {
	struct row v[PROGRAMS_MAX];
	u32 n;
};

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	return level == LIBBPF_WARN ? vfprintf(stderr, fmt, ap) : 0;
}

/* "6.18" of "6.18.44-something" */
static void kernel_series(char *out, size_t size)
{
	struct utsname u;
	unsigned int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%u.%u", &major, &minor);
	snprintf(out, size, "%u.%u", major, minor);
}

/* Every program, also of those of which the loader picks one. 0 insns: this kernel does not say. */
static void measure(struct rows *r)
{
	struct hostprof_bpf *skel = hostprof_bpf__open();
	struct bpf_program *prog;

	r->n = 0;
	assert_non_null(skel);
	assert_int_equal(hostprof_bpf__load(skel), 0);
	bpf_object__for_each_program(prog, skel->obj)
	{
		struct bpf_prog_info info = { 0 };
		u32 len = sizeof(info);
		int fd = bpf_program__fd(prog);

		if (fd < 0)
			continue;
		assert_true(r->n < PROGRAMS_MAX);
		assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
		snprintf(r->v[r->n].name, sizeof(r->v[0].name), "%s", bpf_program__name(prog));
		r->v[r->n++].insns = info.verified_insns;
	}
	hostprof_bpf__destroy(skel);
}

static u32 find(const struct rows *r, const char *name)
{
	u32 i;

	for (i = 0; i < r->n; i++)
		if (!strcmp(r->v[i].name, name))
			return r->v[i].insns;
	return 0;
}

/* The series in the file's first line, and its rows. */
static void read_baseline(struct rows *r, char *series, size_t size)
{
	_fclose_ FILE *f = fopen(BASELINE, "re");
	char line[128];

	r->n = 0;
	assert_non_null(f);
	snprintf(series, size, "?");
	while (fgets(line, sizeof(line), f)) {
		char word[16];

		if (sscanf(line, "# kernel %15s", word) == 1)
			snprintf(series, size, "%s", word);
		else if (r->n < PROGRAMS_MAX &&
			 sscanf(line, "%63s %u", r->v[r->n].name, &r->v[r->n].insns) == 2)
			r->n++;
	}
}

static void verified_insns(void **state)
{
	char series[16], here[16];
	struct rows was, now;
	u32 i, bad = 0;

	(void)state;
	kernel_series(here, sizeof(here));
	read_baseline(&was, series, sizeof(series));
	measure(&now);
	assert_true(now.n > 0);
	if (!now.v[0].insns) {
		print_message("this kernel has no bpf_prog_info.verified_insns (5.16)\n");
		skip();
	}
	if (strcmp(series, here)) {
		print_message("the baseline is of Linux %s, this is %s\n", series, here);
		skip();
	}
	for (i = 0; i < now.n; i++) {
		const struct row *r = &now.v[i];
		u32 before = find(&was, r->name);

		if (before && (u64)r->insns * 100 <= (u64)before * PERCENT_MAX)
			continue;
		print_error("%s: %u verified instructions, %u before\n", r->name, r->insns, before);
		bad++;
	}
	for (i = 0; i < was.n; i++) {
		if (find(&now, was.v[i].name))
			continue;
		print_error("%s: no such program any more\n", was.v[i].name);
		bad++;
	}
	if (bad)
		fail_msg("%u programs; if that is meant: %s", bad, "cost --update");
}

static int update(void)
{
	_fclose_ FILE *f = NULL;
	char series[16];
	struct rows now;
	u32 i;

	measure(&now);
	kernel_series(series, sizeof(series));
	f = fopen(BASELINE, "we");
	if (!f)
		return 1;
	fprintf(f, "# kernel %s\n", series);
	for (i = 0; i < now.n; i++)
		fprintf(f, "%s %u\n", now.v[i].name, now.v[i].insns);
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(verified_insns) };

	libbpf_set_print(quiet);
	if (argc > 1 && !strcmp(argv[1], "--update"))
		return update();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
