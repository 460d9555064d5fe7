/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/feat without a kernel: the table is complete and free of circles, a row is tried once and
 * only when what it needs is there, a row that is forced off takes along what builds on it, and the
 * sentence for the user fits the reason. The probes are replaced by a script of results, so every
 * kernel can be played.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "load/feat.c"

static int results[FEAT_COUNT]; /* what the probe of a row gives */
static u32 tried[FEAT_COUNT]; /* how often it was asked */
static u32 released;
static u64 capabilities;

#define FAKE(name, f)                                                                              \
	int featprobe_##name(void)                                                                 \
	{                                                                                          \
		tried[f]++;                                                                        \
		return results[f];                                                                 \
	}

FAKE(bpf, FEAT_BPF)
FAKE(btf, FEAT_BTF)
FAKE(ringbuf, FEAT_RINGBUF)
FAKE(memlock, FEAT_MEMLOCK)
FAKE(raw_tp, FEAT_RAW_TP)
FAKE(tp_btf, FEAT_TP_BTF)
FAKE(sys_tp, FEAT_SYS_TP)
FAKE(tracepoint, FEAT_TRACEPOINT)
FAKE(data_ready, FEAT_DATA_READY)
FAKE(tcp_probe, FEAT_TCP_PROBE)
FAKE(iter_task_file, FEAT_ITER_TASK_FILE)
FAKE(perf_prog, FEAT_PERF_PROG)
FAKE(perf_hw, FEAT_PERF_HW)
FAKE(typed_reads, FEAT_TYPED_READS)
FAKE(task_btf, FEAT_TASK_BTF)
FAKE(task_pt_regs, FEAT_TASK_PT_REGS)
FAKE(run_stats, FEAT_RUN_STATS)
FAKE(recursion_misses, FEAT_RECURSION_MISSES)
FAKE(whole_programs, FEAT_WHOLE_PROGRAMS)
FAKE(return_room, FEAT_RETURN_ROOM)
FAKE(fentry, FEAT_FENTRY)
FAKE(module_btf, FEAT_MODULE_BTF)
FAKE(kprobe, FEAT_KPROBE)
FAKE(uprobe, FEAT_UPROBE)
FAKE(sched_switch, FEAT_SCHED_SWITCH)
FAKE(sched_exit, FEAT_SCHED_EXIT)

u64 featprobe_caps(void)
{
	return capabilities;
}

void featprobe_release(void)
{
	released++;
}

/* A fresh process on a kernel that has everything. */
static int setup(void **state)
{
	(void)state;
	memset(results, 0, sizeof(results));
	memset(tried, 0, sizeof(tried));
	memset(cache, 0, sizeof(cache));
	forced_off = 0;
	capabilities = 0;
	return 0;
}

static void missing_is(enum feat f, const char *want)
{
	_release_(buf) struct buf b = BUF_INIT;

	feat_missing_text(f, &b);
	assert_string_equal(b.p, want);
}

/* "5.8" and the like; "2.6.31" has three numbers. */
static bool is_version(const char *s)
{
	int parts = 0;

	for (; parts < 3; parts++) {
		size_t n = strspn(s, "0123456789");

		if (!n || n > 3)
			return false;
		s += n;
		if (!*s)
			return parts >= 1;
		if (*s++ != '.')
			return false;
	}
	return false;
}

static void t_rows(void **state)
{
	int i, k;

	(void)state;
	for (i = 0; i < FEAT_COUNT; i++) {
		const struct feat_row *r = &feat_rows[i];

		assert_non_null(r->key);
		assert_int_equal(strspn(r->key, "abcdefghijklmnopqrstuvwxyz_"), strlen(r->key));
		assert_true(strlen(r->key) >= 3 && strlen(r->key) <= 16);
		assert_int_equal(feat_find(r->key), i);
		assert_true(strlen(r->name) > 5 && strlen(r->why) > 5);
		assert_true(strlen(r->without) > 5 && strlen(r->fix) > 5);
		assert_true(r->need <= FEAT_UNUSED);
		assert_true(is_version(r->since));
		/* Twelve digits of a commit, a blank, its subject. */
		assert_int_equal(strspn(r->change, "0123456789abcdef"), 12);
		assert_int_equal(r->change[12], ' ');
		assert_true(strlen(r->change) > 20);
		assert_non_null(r->probe);
		for (k = 0; k < i; k++) {
			assert_string_not_equal(r->key, feat_rows[k].key);
			assert_string_not_equal(r->name, feat_rows[k].name);
			assert_string_not_equal(r->change, feat_rows[k].change);
			assert_ptr_not_equal(r->probe, feat_rows[k].probe);
		}
	}
	assert_int_equal(feat_find("fentr"), -ENOENT);
	assert_int_equal(feat_find(""), -ENOENT);
}

static void t_needs_have_no_circle(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < FEAT_COUNT; i++) {
		u64 reached = feat_rows[i].needs, before;
		int k;

		assert_int_equal(reached & ~(FEAT_BIT(FEAT_COUNT) - 1), 0);
		do {
			before = reached;
			for (k = 0; k < FEAT_COUNT; k++)
				if (reached & FEAT_BIT(k))
					reached |= feat_rows[k].needs;
		} while (reached != before);
		assert_int_equal(reached & FEAT_BIT(i), 0);
		/* What is required is not built on what is not. */
		for (k = 0; k < FEAT_COUNT; k++)
			if (feat_rows[i].need == FEAT_REQUIRED && reached & FEAT_BIT(k))
				assert_int_equal(feat_rows[k].need, FEAT_REQUIRED);
	}
}

static void t_tried_once_and_late(void **state)
{
	(void)state;
	assert_true(feat_has(FEAT_SYS_TP));
	assert_true(feat_has(FEAT_SYS_TP));
	assert_int_equal(tried[FEAT_SYS_TP], 1);
	assert_int_equal(tried[FEAT_TP_BTF], 1); /* it needs that, and that needs raw_tp */
	assert_int_equal(tried[FEAT_RAW_TP], 1);
	assert_int_equal(tried[FEAT_TYPED_READS], 0); /* nobody asked */
	feat_release();
	assert_int_equal(released, 1);
	assert_true(feat_has(FEAT_SYS_TP));
	assert_int_equal(tried[FEAT_SYS_TP], 1);
}

static void t_missing(void **state)
{
	(void)state;
	results[FEAT_TP_BTF] = -EINVAL;
	results[FEAT_RUN_STATS] = -EPERM;
	results[FEAT_MEMLOCK] = -ENOMEM;
	assert_int_equal(feat_probe(FEAT_TP_BTF), -EINVAL);
	assert_int_equal(feat_blame(FEAT_TP_BTF), FEAT_TP_BTF);
	missing_is(FEAT_TP_BTF, "not in this kernel (Invalid argument)");
	assert_int_equal(feat_probe(FEAT_SYS_TP), -EINVAL);
	assert_int_equal(tried[FEAT_SYS_TP], 0); /* in vain */
	assert_int_equal(feat_blame(FEAT_SYS_TP), FEAT_TP_BTF);
	missing_is(FEAT_SYS_TP,
		   "it needs tp_btf, and that is not in this kernel (Invalid argument)");
	missing_is(FEAT_RUN_STATS, "refused (Operation not permitted) without CAP_SYS_ADMIN");
	missing_is(FEAT_MEMLOCK, "Cannot allocate memory");
	assert_true(feat_has(FEAT_RAW_TP));
}

static void fix_is(enum feat f, const char *want)
{
	char fix[256];

	feat_fix(f, fix, sizeof(fix));
	assert_string_equal(fix, want);
}

/* Refused is not absent: what is missing is named, and only what is missing. */
static void t_refused(void **state)
{
	(void)state;
	results[FEAT_RAW_TP] = results[FEAT_FENTRY] = -EPERM;
	results[FEAT_TRACEPOINT] = results[FEAT_WHOLE_PROGRAMS] = -EACCES;
	results[FEAT_PERF_PROG] = -EACCES;
	capabilities = CAP_BIT(BPF);
	assert_int_equal(feat_lacks(FEAT_SYS_TP), CAP_BIT(PERFMON));
	missing_is(FEAT_RAW_TP, "refused (Operation not permitted) without CAP_PERFMON");
	fix_is(FEAT_SYS_TP, "run with sudo, or grant CAP_PERFMON");
	fix_is(FEAT_FENTRY, "run with sudo, or grant CAP_PERFMON");
	missing_is(FEAT_PERF_PROG, "refused (Permission denied) without CAP_PERFMON");
	fix_is(FEAT_PERF_PROG, "run with sudo, or grant CAP_PERFMON");
	missing_is(FEAT_TRACEPOINT,
		   "not to be found out: tracefs cannot be read (Permission denied) "
		   "without CAP_DAC_READ_SEARCH");
	fix_is(FEAT_TRACEPOINT, "run with sudo, or grant CAP_DAC_READ_SEARCH");
	fix_is(FEAT_WHOLE_PROGRAMS, "run with sudo, or grant CAP_SYSLOG");
	capabilities = 0;
	fix_is(FEAT_RAW_TP, "run with sudo, or grant CAP_BPF and CAP_PERFMON");
	/* CAP_SYS_ADMIN includes these two, but not the others. */
	capabilities = CAP_BIT(SYS_ADMIN);
	assert_int_equal(feat_lacks(FEAT_RAW_TP), 0);
	assert_int_equal(feat_lacks(FEAT_TRACEPOINT), CAP_BIT(DAC_READ_SEARCH));
	capabilities = ~0ULL;
	missing_is(FEAT_FENTRY, "refused (Operation not permitted)");
	fix_is(FEAT_FENTRY, FIX_POLICY);
	fix_is(FEAT_TRACEPOINT, "make tracefs readable");
	fix_is(FEAT_WHOLE_PROGRAMS, "set kernel.kptr_restrict to 1 or 0");
	fix_is(FEAT_PERF_PROG, feat_rows[FEAT_PERF_PROG].refused_fix);
	assert_int_equal(feat_lacks(FEAT_BPF), 0); /* it is there */
}

/* To leave out --without gives nothing where the kernel lacks it anyway. */
static void t_off_in_vain(void **state)
{
	(void)state;
	results[FEAT_FENTRY] = -ENOENT;
	results[FEAT_TP_BTF] = -ENOENT;
	assert_int_equal(feat_force_off("fentry"), 0);
	assert_int_equal(feat_force_off("kprobe"), 0);
	assert_int_equal(feat_force_off("sys_tp"), 0);
	assert_true(feat_off_in_vain(FEAT_FENTRY));
	assert_false(feat_off_in_vain(FEAT_KPROBE));
	assert_true(feat_off_in_vain(FEAT_SYS_TP)); /* it needs tp_btf */
}

static void t_forced_off(void **state)
{
	(void)state;
	assert_int_equal(feat_force_off("nonsense"), -ENOENT);
	assert_int_equal(feat_force_off(""), -ENOENT);
	assert_true(feat_has(FEAT_TYPED_READS));
	assert_int_equal(feat_force_off("typed_reads"), 0); /* also after it was asked for */
	assert_int_equal(feat_probe(FEAT_TYPED_READS), -ENODATA);
	assert_true(feat_is_off(FEAT_TYPED_READS));
	missing_is(FEAT_TYPED_READS, "switched off with --without");
	assert_int_equal(feat_force_off("typed_reads"), 0);
	assert_int_equal(feat_force_off("raw_tp"), 0);
	assert_int_equal(feat_probe(FEAT_SYS_TP), -ENODATA);
	assert_false(feat_is_off(FEAT_SYS_TP));
	assert_int_equal(feat_blame(FEAT_SYS_TP), FEAT_RAW_TP);
	missing_is(FEAT_SYS_TP, "it needs raw_tp, and that is switched off with --without");
	assert_int_equal(tried[FEAT_RAW_TP], 0);
	assert_true(feat_has(FEAT_TRACEPOINT)); /* does not build on it */
}

/* Each row off in turn: gone are it and what reaches it over needs, and nothing else. */
static void t_each_forced_off(void **state)
{
	int off, i;

	for (off = 0; off < FEAT_COUNT; off++) {
		setup(state);
		assert_int_equal(feat_force_off(feat_rows[off].key), 0);
		for (i = 0; i < FEAT_COUNT; i++) {
			u64 reached = feat_rows[i].needs;
			int k;

			for (k = FEAT_COUNT * FEAT_COUNT; k--;)
				if (reached & FEAT_BIT(k % FEAT_COUNT))
					reached |= feat_rows[k % FEAT_COUNT].needs;
			assert_int_equal(feat_has((enum feat)i),
					 !((reached | FEAT_BIT(i)) & FEAT_BIT(off)));
		}
	}
}

static void t_keys(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	size_t commas = 0;
	const char *p;

	(void)state;
	feat_keys(&b);
	for (p = b.p; *p; p++)
		commas += *p == ',';
	assert_int_equal(commas, FEAT_COUNT - 1);
	assert_ptr_equal(strstr(b.p, "bpf, btf, ringbuf, "), b.p);
	assert_non_null(strstr(b.p, ", fentry, "));
}

static void t_required(void **state)
{
	static const struct {
		enum feat f;
		int result, err;
		const char *says, *fix;
	} rows[] = {
		{ FEAT_BPF, -EPERM, -EPERM, "Operation not permitted", "CAP_BPF, CAP_PERFMON" },
		{ FEAT_BPF, -ENOSYS, -EOPNOTSUPP, "hostprof needs Linux 5.8 or newer with BTF",
		  "" },
		{ FEAT_BTF, -ENOENT, -EOPNOTSUPP, "(BTF) not in this kernel: hostprof needs",
		  "CONFIG_DEBUG_INFO_BTF" },
		{ FEAT_RINGBUF, -EINVAL, -EOPNOTSUPP,
		  "BPF ring buffer not in this kernel (Invalid argument): hostprof needs Linux",
		  "5.8 or newer" },
	};
	char text[256], fix[256];
	int err;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		setup(state);
		results[rows[i].f] = rows[i].result;
		assert_ptr_equal(feat_missing_required(&err, text, sizeof(text), fix, sizeof(fix)),
				 &feat_rows[rows[i].f]);
		assert_int_equal(err, rows[i].err);
		assert_non_null(strstr(text, rows[i].says));
		assert_non_null(strstr(fix, rows[i].fix));
	}
	setup(state);
	assert_int_equal(feat_force_off("ringbuf"), 0);
	assert_ptr_equal(feat_missing_required(&err, text, sizeof(text), fix, sizeof(fix)),
			 &feat_rows[FEAT_RINGBUF]);
	assert_int_equal(err, -EOPNOTSUPP);
	assert_non_null(strstr(text, "BPF ring buffer switched off with --without"));
	assert_non_null(strstr(fix, "leave out --without ringbuf"));
}

/* Whatever is not required may be missing all at once. */
static void t_the_rest_degrades(void **state)
{
	char text[256], fix[256];
	int i, err;

	(void)state;
	for (i = 0; i < FEAT_COUNT; i++)
		results[i] = feat_rows[i].need == FEAT_REQUIRED ? 0 : -ENOENT;
	assert_null(feat_missing_required(&err, text, sizeof(text), fix, sizeof(fix)));
	assert_int_equal(tried[FEAT_BPF], 1);
	assert_int_equal(tried[FEAT_FENTRY], 0); /* nor asked for here */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(t_rows, setup),
		cmocka_unit_test_setup(t_needs_have_no_circle, setup),
		cmocka_unit_test_setup(t_tried_once_and_late, setup),
		cmocka_unit_test_setup(t_missing, setup),
		cmocka_unit_test_setup(t_refused, setup),
		cmocka_unit_test_setup(t_off_in_vain, setup),
		cmocka_unit_test_setup(t_forced_off, setup),
		cmocka_unit_test(t_each_forced_off),
		cmocka_unit_test_setup(t_keys, setup),
		cmocka_unit_test(t_required),
		cmocka_unit_test_setup(t_the_rest_degrades, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
