/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The feature probes on the running kernel, each against a second source that they do not use:
 * libbpf's own probes, the kernel's symbol table, the size of what bpf() gives out. And that
 * probing leaves nothing behind.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "load/feat.h"

#define KALLSYMS_MAX (64 << 20)

static bool symbol(const char *name)
{
	static struct buf all; /* for the life of the test */
	char line[96];

	if (!all.p)
		assert_int_equal(file_read("/proc/kallsyms", &all, KALLSYMS_MAX), 0);
	snprintf(line, sizeof(line), " %s\n", name);
	return strstr(all.p, line) != NULL;
}

static u32 count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	u32 n = 0;

	assert_non_null(dir);
	while (readdir(dir))
		n++;
	closedir(dir);
	return n;
}

/* Programs and maps of feature probes that the kernel still holds. */
static u32 count_left(void)
{
	u32 id = 0, n = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		struct bpf_prog_info info = { 0 };
		u32 len = sizeof(info);
		_close_ int fd = bpf_prog_get_fd_by_id(id);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len))
			n += !strcmp(info.name, "hp_probe") || !strcmp(info.name, "feat");
	}
	for (id = 0; !bpf_map_get_next_id(id, &id);) {
		struct bpf_map_info info = { 0 };
		u32 len = sizeof(info);
		_close_ int fd = bpf_map_get_fd_by_id(id);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len))
			n += !strcmp(info.name, "hp_probe") || !strcmp(info.name, "feat_bpf.bss");
	}
	return n;
}

static void t_nothing_is_left(void **state)
{
	u32 fds = count_fds();
	int i, first[FEAT_COUNT];

	(void)state;
	for (i = 0; i < FEAT_COUNT; i++) {
		first[i] = feat_probe((enum feat)i);
		assert_true(first[i] <= 0 && first[i] > -4096);
	}
	feat_release();
	assert_int_equal(count_fds(), fds);
	/* The kernel frees after a grace period. */
	for (i = 0; i < 1000 && count_left(); i++)
		usleep(10000);
	assert_int_equal(count_left(), 0);
	for (i = 0; i < FEAT_COUNT; i++)
		assert_int_equal(feat_probe((enum feat)i), first[i]);
}

static void t_required_here(void **state)
{
	char text[256], fix[256];
	int err;

	(void)state;
	assert_null(feat_missing_required(&err, text, sizeof(text), fix, sizeof(fix)));
}

static void t_helpers(void **state)
{
	static const struct {
		enum feat f;
		enum bpf_func_id id;
	} rows[] = {
		{ FEAT_TASK_BTF, BPF_FUNC_get_current_task_btf },
		{ FEAT_TASK_PT_REGS, BPF_FUNC_task_pt_regs },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int res = libbpf_probe_bpf_helper(BPF_PROG_TYPE_TRACEPOINT, rows[i].id, NULL);

		if (feat_has(rows[i].f) != (res == 1))
			fail_msg("%s: %d, libbpf says %d", feat_rows[rows[i].f].key,
				 feat_probe(rows[i].f), res);
	}
}

/* A tracepoint that is compiled in has a function that calls its probes. */
static void t_tracepoints(void **state)
{
	(void)state;
	assert_int_equal(feat_has(FEAT_DATA_READY), symbol("__traceiter_sk_data_ready"));
	assert_int_equal(feat_has(FEAT_TCP_PROBE), symbol("__traceiter_tcp_probe"));
	assert_int_equal(feat_has(FEAT_SYS_TP), symbol("__traceiter_sys_exit"));
	assert_int_equal(feat_has(FEAT_TRACEPOINT), symbol("perf_syscall_exit"));
	assert_int_equal(feat_has(FEAT_RAW_TP), symbol("__traceiter_sched_process_exec"));
}

static void t_functions(void **state)
{
	(void)state;
	assert_int_equal(feat_has(FEAT_TYPED_READS), symbol("bpf_rdonly_cast"));
	assert_int_equal(feat_has(FEAT_KPROBE), symbol("register_kprobe"));
	assert_int_equal(feat_has(FEAT_UPROBE), symbol("uprobe_register"));
	/* A kernel may have it and still forbid it to everybody. */
	if (feat_probe(FEAT_FENTRY) != -EPERM)
		assert_int_equal(feat_has(FEAT_FENTRY), symbol("bpf_trampoline_link_prog") &&
								symbol("ftrace_set_filter_ip"));
}

/* How much the kernel writes tells which fields it knows. */
static void t_fields(void **state)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	struct bpf_prog_info info = { 0 };
	u32 len = sizeof(info);
	_close_ int fd = bpf_prog_load(BPF_PROG_TYPE_SOCKET_FILTER, "two", "GPL", insns,
				       ARRAY_SIZE(insns), NULL);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	assert_int_equal(feat_has(FEAT_RECURSION_MISSES),
			 len >= offsetof(struct bpf_prog_info, recursion_misses) +
					 sizeof(info.recursion_misses));
}

static void t_types(void **state)
{
	(void)state;
	assert_int_equal(feat_has(FEAT_RINGBUF),
			 libbpf_probe_bpf_map_type(BPF_MAP_TYPE_RINGBUF, NULL) == 1);
	assert_int_equal(feat_has(FEAT_PERF_PROG),
			 libbpf_probe_bpf_prog_type(BPF_PROG_TYPE_PERF_EVENT, NULL) == 1);
	assert_int_equal(feat_has(FEAT_BTF), !access("/sys/kernel/btf/vmlinux", R_OK));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_nothing_is_left), cmocka_unit_test(t_required_here),
		cmocka_unit_test(t_helpers),	     cmocka_unit_test(t_tracepoints),
		cmocka_unit_test(t_functions),	     cmocka_unit_test(t_fields),
		cmocka_unit_test(t_types),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
