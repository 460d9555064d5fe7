/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How each kernel feature is tried; the table that says why is in feat.c.
 *
 * Input: none but the running kernel. Output: 0 or -errno. A probe makes the smallest object that
 * needs the feature (a map, a program that returns 0, an event that is never enabled) and lets go of
 * it at once. Attaching is part of the probe where kernels are known to load what they then refuse
 * to attach. Helpers and fields are looked up in the kernel's BTF by bpf/feat.bpf.c.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/caps.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "feat.skel.h"
#include "load/featprobe.h"
#include "load/kfuncs.h"
#include "load/sysprobes.h"

static int held_event = -1; /* see featprobe_tracepoint() */

/* r0 = 0; exit */
static const struct bpf_insn prog_return_0[] = {
	{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
	{ .code = BPF_JMP | BPF_EXIT },
};

static int load_prog(enum bpf_prog_type type, const struct bpf_prog_load_opts *opts)
{
	int fd = bpf_prog_load(type, "hp_probe", "GPL", prog_return_0, ARRAY_SIZE(prog_return_0),
			       opts);

	return fd < 0 ? -errno : fd;
}

static int close_ok(int fd)
{
	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

int featprobe_bpf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hp_probe", 4, 8, 1, NULL);

	return fd < 0 ? -errno : close_ok(fd);
}

int featprobe_btf(void)
{
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return -errno;
	return kernel_btf() ? 0 : errno ? -errno : -EINVAL;
}

int featprobe_ringbuf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "hp_probe", 0, 0, (u32)sysconf(_SC_PAGESIZE),
				NULL);

	return fd < 0 ? -errno : close_ok(fd);
}

/* As the loader does: before 5.11 maps are charged to RLIMIT_MEMLOCK, 64 KiB by default. */
int featprobe_memlock(void)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY };
	int fd;

	setrlimit(RLIMIT_MEMLOCK, &lim);
	fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "hp_probe", 0, 0, 8 << 20, NULL);
	return fd < 0 ? -errno : close_ok(fd);
}

static int try_raw_tp(const char *name)
{
	_close_ int prog = load_prog(BPF_PROG_TYPE_RAW_TRACEPOINT, NULL);
	int link;

	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open(name, prog);
	return link < 0 ? -errno : close_ok(link);
}

int featprobe_raw_tp(void)
{
	return try_raw_tp("sched_process_exec");
}

int featprobe_data_ready(void)
{
	return try_raw_tp("sk_data_ready");
}

int featprobe_tcp_probe(void)
{
	return try_raw_tp("tcp_probe");
}

int featprobe_sched_exit(void)
{
	return try_raw_tp("sched_exit_tp");
}

static int find_btf(const char *prefix, const char *name, u32 kind)
{
	char full[96];
	int err = featprobe_btf(), id;

	if (err)
		return err;
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	id = btf__find_by_name_kind(kernel_btf(), full, kind);
	return id < 0 ? -ENOENT : id;
}

/* The task that leaves comes right behind whether it was preempted. */
int featprobe_sched_switch(void)
{
	const struct btf *btf = kernel_btf();
	int id = find_btf("btf_trace_", "sched_switch", BTF_KIND_TYPEDEF);
	const struct btf_type *t = id < 0 ? NULL : btf__type_by_id(btf, (u32)id);

	if (id < 0)
		return id;
	t = t ? btf__type_by_id(btf, t->type) : NULL; /* a pointer to a function */
	t = t ? btf__type_by_id(btf, t->type) : NULL;
	if (!t || !btf_is_func_proto(t) || btf_vlen(t) < 4)
		return -ENOENT;
	/* The first one is the tracepoint's own. */
	t = btf__type_by_id(btf, btf_params(t)[2].type);
	if (!t || !btf_is_ptr(t))
		return -ENOENT;
	return try_raw_tp("sched_switch");
}

/* Loads and attaches a tracing program to the BTF type with this id. */
static int try_tracing(enum bpf_attach_type type, int btf_id)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = type,
		    .attach_btf_id = (u32)btf_id);
	_close_ int prog = -1;
	int link;

	if (btf_id < 0)
		return btf_id;
	prog = load_prog(BPF_PROG_TYPE_TRACING, &opts);
	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open(NULL, prog);
	return link < 0 ? -errno : close_ok(link);
}

int featprobe_tp_btf(void)
{
	return try_tracing(BPF_TRACE_RAW_TP,
			   find_btf("btf_trace_", "sched_process_exec", BTF_KIND_TYPEDEF));
}

int featprobe_sys_tp(void)
{
	return try_tracing(BPF_TRACE_RAW_TP, find_btf("btf_trace_", "sys_exit", BTF_KIND_TYPEDEF));
}

/* Typed reads, tried in a program of the type that needs them most. */
int featprobe_typed_reads(void)
{
	int func = find_btf("", "bpf_rdonly_cast", BTF_KIND_FUNC);
	int type = find_btf("", "timespec64", BTF_KIND_STRUCT);
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_1 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_2, .imm = type },
		{ .code = BPF_JMP | BPF_CALL, .src_reg = BPF_PSEUDO_KFUNC_CALL, .imm = func },
		{ .code = BPF_LDX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_0, .src_reg = BPF_REG_0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd;

	if (func < 0 || type < 0)
		return func < 0 ? func : type;
	fd = bpf_prog_load(BPF_PROG_TYPE_TRACEPOINT, "hp_probe", "GPL", insns, ARRAY_SIZE(insns),
			   NULL);
	return fd < 0 ? -errno : close_ok(fd);
}

int featprobe_iter_task_file(void)
{
	int id = find_btf("bpf_iter_", "task_file", BTF_KIND_FUNC);
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = BPF_TRACE_ITER,
		    .attach_btf_id = (u32)id);

	if (id < 0)
		return id;
	return close_ok(load_prog(BPF_PROG_TYPE_TRACING, &opts));
}

static int open_event(struct perf_event_attr *attr)
{
	int fd;

	attr->size = sizeof(*attr);
	attr->disabled = 1;
	fd = (int)syscall(SYS_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Attaches a program of this type to the event. Returns the event or -errno. */
static int attach_event(struct perf_event_attr *attr, enum bpf_prog_type type)
{
	_close_ int event = open_event(attr);
	_close_ int prog = -1;

	if (event < 0)
		return event;
	prog = load_prog(type, NULL);
	if (prog < 0)
		return prog;
	return ioctl(event, PERF_EVENT_IOC_SET_BPF, prog) ? -errno : take_fd(event);
}

static int try_event(struct perf_event_attr *attr, enum bpf_prog_type type)
{
	return close_ok(attach_event(attr, type));
}

int featprobe_perf_prog(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.sample_freq = 99,
					.freq = 1 };

	return try_event(&attr, BPF_PROG_TYPE_PERF_EVENT);
}

int featprobe_perf_hw(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
					.config = PERF_COUNT_HW_CPU_CYCLES,
					.sample_freq = 99,
					.freq = 1 };

	return close_ok(open_event(&attr));
}

/*
 * To let go of the last event of a tracepoint takes the kernel 90 ms, a third of an attach. So this
 * one stays until featprobe_release(): by then the loader has events of its own on it.
 */
int featprobe_tracepoint(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_TRACEPOINT, .sample_period = 1 };
	struct sysprobe_ids ids;
	int err = sysprobe_ids_read(&ids);
	size_t i;

	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(ids.id) && ids.id[i] <= 0; i++)
		;
	if (i == ARRAY_SIZE(ids.id))
		return -ENOENT;
	attr.config = (u64)ids.id[i];
	held_event = attach_event(&attr, BPF_PROG_TYPE_TRACEPOINT);
	if (held_event == -EACCES)
		return -EPERM; /* -EACCES says that tracefs cannot be read */
	return held_event < 0 ? held_event : 0;
}

int featprobe_run_stats(void)
{
	_release_(buf) struct buf b = BUF_INIT;
	int fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	int err = fd < 0 ? -errno : close_ok(fd);

	/* Somebody may have switched them on for good. */
	if (err && !file_read("/proc/sys/kernel/bpf_stats_enabled", &b, 16) && b.n && *b.p == '1')
		err = 0;
	return err;
}

/* An empty function that kernels keep for tests of this very mechanism; never called otherwise. */
#define PROBED_FUNCTION "bpf_fentry_test1"

int featprobe_fentry(void)
{
	return try_tracing(BPF_TRACE_FENTRY, find_btf("", PROBED_FUNCTION, BTF_KIND_FUNC));
}

static int pmu_type(const char *name)
{
	_release_(buf) struct buf b = BUF_INIT;
	char path[96];
	int err;

	snprintf(path, sizeof(path), "/sys/bus/event_source/devices/%s/type", name);
	err = file_read(path, &b, 32);
	return err ? err : (int)strtol(b.p, NULL, 10);
}

int featprobe_kprobe(void)
{
	struct perf_event_attr attr = { 0 };
	int type = pmu_type("kprobe");

	if (type < 0)
		return type;
	attr.type = (u32)type;
	attr.config1 = (u64)(uintptr_t)PROBED_FUNCTION;
	return try_event(&attr, BPF_PROG_TYPE_KPROBE);
}

/*
 * Kernels without CONFIG_PREEMPTION gave a kretprobe as many slots as there are processors, and a call
 * that waits holds one. Of that change itself nothing is to be seen; a kernel that is preemptible never
 * was so, and one with struct objpool_head (4bbd93455659, 6.7) is newer.
 */
int featprobe_return_room(void)
{
	struct utsname un;

	if (!uname(&un) && strstr(un.version, "PREEMPT"))
		return 0;
	return find_btf("", "objpool_head", BTF_KIND_STRUCT) > 0 ? 0 : -ENOENT;
}

/* To hook one takes as long as all the rest; where that fails, it says so when there is one to hook. */
int featprobe_uprobe(void)
{
	int type = pmu_type("uprobe");

	return type < 0 ? type : 0;
}

/* The object with one of its two programs: not every kernel runs the second one by itself. */
static int open_feat(struct feat_bpf **ret, bool preempt)
{
	struct feat_bpf *skel = feat_bpf__open();
	int err;

	if (!skel)
		return -errno;
	bpf_program__set_autoload(skel->progs.feat, !preempt);
	bpf_program__set_autoload(skel->progs.read_preempt_mode, preempt);
	err = feat_bpf__load(skel);
	if (err)
		feat_bpf__destroy(skel);
	else
		*ret = skel;
	return err;
}

/* 0 and the address of a variable of the kernel, which may be hidden: 0. -ENOENT: there is none. */
static int kernel_variable(const char *name, u64 *ret_at)
{
	_fclose_ FILE *f = fopen("/proc/kallsyms", "re");
	char line[256], sym[128];
	unsigned long long at;

	while (f && fgets(line, sizeof(line), f)) {
		if (!strstr(line, name) || sscanf(line, "%llx %*c %127s", &at, sym) != 2 ||
		    strcmp(sym, name))
			continue;
		*ret_at = at;
		return 0;
	}
	return -ENOENT;
}

/* The kernel's own word for it, where debugfs is there: 0, 1 or 2 as preempt_dynamic_mode, or -ENOENT. */
static int preempt_mode_said(void)
{
	_release_(buf) struct buf b = BUF_INIT;

	if (file_read("/sys/kernel/debug/sched/preempt", &b, 256))
		return -ENOENT;
	if (strstr(b.p, "(none)"))
		return 0;
	if (strstr(b.p, "(voluntary)"))
		return 1;
	return strchr(b.p, '(') ? 2 : -ENOENT;
}

/*
 * How a kernel preempts itself is in how it was built, which uname tells, or in a variable that can be
 * set at boot and later; to find that one by name takes 65 ms. One whose value is hidden is taken to preempt: the rung that is exact either
 * way is only dearer. Without the variable's name nothing is known: what was skipped is counted.
 */
int featprobe_whole_programs(void)
{
	LIBBPF_OPTS(bpf_test_run_opts, run);
	struct feat_bpf *skel = NULL;
	struct utsname un;
	int mode = -1, err;
	u64 at = 0;

	if (uname(&un) || !strstr(un.version, "PREEMPT"))
		return 0;
	if (!strstr(un.version, "PREEMPT_DYNAMIC"))
		return -ENOENT;
	mode = preempt_mode_said();
	if (mode >= 0)
		return mode <= 1 ? 0 : -ENOENT;
	if (kernel_variable("preempt_dynamic_mode", &at))
		return 0;
	if (!at)
		return -EACCES;
	err = open_feat(&skel, true);
	if (err)
		return err == -EACCES ? -EPERM : err;
	skel->bss->preempt_mode_at = at;
	if (!bpf_prog_test_run_opts(bpf_program__fd(skel->progs.read_preempt_mode), &run))
		mode = skel->bss->preempt_mode;
	feat_bpf__destroy(skel);
	return mode == 0 || mode == 1 ? 0 : -ENOENT;
}

/*
 * What only the kernel's BTF tells. Loading and running one program answers for all of these rows;
 * it is done when the first of them is asked for.
 */
static int types_say(size_t offset)
{
	static bool known;
	static int result;
	static typeof(*(struct feat_bpf){ 0 }.bss) said;

	if (!known) {
		const char packet[64] = { 0 }; /* the least that a socket filter runs on */
		LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = packet,
			    .data_size_in = sizeof(packet));
		struct feat_bpf *skel = NULL;

		result = open_feat(&skel, false);
		if (!result)
			result = bpf_prog_test_run_opts(bpf_program__fd(skel->progs.feat), &run);
		if (!result)
			said = *skel->bss;
		feat_bpf__destroy(skel);
		known = true;
	}
	if (result)
		return result;
	return *((const bool *)&said + offset) ? 0 : -ENOENT;
}

#define TYPES_SAY(field) types_say(offsetof(typeof(*(struct feat_bpf){ 0 }.bss), field))

int featprobe_task_btf(void)
{
	return TYPES_SAY(has_task_btf);
}

int featprobe_task_pt_regs(void)
{
	return TYPES_SAY(has_task_pt_regs);
}

int featprobe_recursion_misses(void)
{
	return TYPES_SAY(has_recursion_misses);
}

/* Where nothing is a module, the kernel's own BTF has it all. */
int featprobe_module_btf(void)
{
	_release_(buf) struct buf modules = BUF_INIT;
	char path[96], name[64];
	char *line, *rest;

	if (file_read("/proc/modules", &modules, 1 << 20) || !modules.n)
		return 0;
	for (rest = modules.p; (line = strsep(&rest, "\n"));) {
		if (sscanf(line, "%63s", name) != 1)
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/btf/%s", name);
		if (!access(path, R_OK))
			return 0;
	}
	return -ENOENT;
}

u64 featprobe_caps(void)
{
	return caps_effective();
}

void featprobe_release(void)
{
	kfuncs_release();
	if (held_event >= 0)
		close(held_event);
	held_event = -1;
}
