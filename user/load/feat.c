/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of kernel features and how each is tried.
 *
 * Input: none but the running kernel. Output: 0 or -errno a feature, for the attach ladder and for
 * doctor. A probe makes the smallest object that needs the feature (a map, a program that returns
 * 0, an event that is never enabled) and lets go of it at once. Attaching is part of the probe where
 * kernels are known to load what they then refuse to attach.
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
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "load/feat.h"

static struct btf *vmlinux_btf; /* loading it takes tens of milliseconds: once for all probes */

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

static int probe_bpf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "hp_probe", 4, 8, 1, NULL);

	return fd < 0 ? -errno : close_ok(fd);
}

static int probe_btf(void)
{
	if (vmlinux_btf)
		return 0;
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		return -errno;
	vmlinux_btf = btf__load_vmlinux_btf();
	return vmlinux_btf ? 0 : errno ? -errno : -EINVAL;
}

static int probe_ringbuf(void)
{
	int fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "hp_probe", 0, 0, (u32)sysconf(_SC_PAGESIZE),
				NULL);

	return fd < 0 ? -errno : close_ok(fd);
}

/* As the loader does: before 5.11 maps are charged to RLIMIT_MEMLOCK, 64 KiB by default. */
static int probe_memlock(void)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY };
	int fd;

	setrlimit(RLIMIT_MEMLOCK, &lim);
	fd = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "hp_probe", 0, 0, 8 << 20, NULL);
	return fd < 0 ? -errno : close_ok(fd);
}

static int probe_raw_tp(void)
{
	_close_ int prog = load_prog(BPF_PROG_TYPE_RAW_TRACEPOINT, NULL);
	int link;

	if (prog < 0)
		return prog;
	link = bpf_raw_tracepoint_open("sched_process_exec", prog);
	return link < 0 ? -errno : close_ok(link);
}

static int find_btf(const char *prefix, const char *name, u32 kind)
{
	char full[96];
	int err = probe_btf(), id;

	if (err)
		return err;
	snprintf(full, sizeof(full), "%s%s", prefix, name);
	id = btf__find_by_name_kind(vmlinux_btf, full, kind);
	return id < 0 ? -ENOENT : id;
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

static int probe_tp_btf(void)
{
	return try_tracing(BPF_TRACE_RAW_TP,
			   find_btf("btf_trace_", "sched_process_exec", BTF_KIND_TYPEDEF));
}

static int probe_sys_tp(void)
{
	return try_tracing(BPF_TRACE_RAW_TP, find_btf("btf_trace_", "sys_exit", BTF_KIND_TYPEDEF));
}

static int probe_data_ready(void)
{
	return try_tracing(BPF_TRACE_RAW_TP,
			   find_btf("btf_trace_", "sk_data_ready", BTF_KIND_TYPEDEF));
}

/* Typed reads, tried in a program of the type that needs them most. */
static int probe_typed_reads(void)
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

static int probe_iter_task_file(void)
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

static int probe_perf_prog(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_SOFTWARE,
					.config = PERF_COUNT_SW_CPU_CLOCK,
					.sample_freq = 99,
					.freq = 1 };
	_close_ int event = open_event(&attr);
	_close_ int prog = -1;

	if (event < 0)
		return event;
	prog = load_prog(BPF_PROG_TYPE_PERF_EVENT, NULL);
	if (prog < 0)
		return prog;
	return ioctl(event, PERF_EVENT_IOC_SET_BPF, prog) ? -errno : 0;
}

static int probe_perf_hw(void)
{
	struct perf_event_attr attr = { .type = PERF_TYPE_HARDWARE,
					.config = PERF_COUNT_HW_CPU_CYCLES,
					.sample_freq = 99,
					.freq = 1 };

	return close_ok(open_event(&attr));
}

static int probe_run_stats(void)
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

static int probe_fentry(void)
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

static int probe_kprobe(void)
{
	struct perf_event_attr attr = { 0 };
	int type = pmu_type("kprobe");

	if (type < 0)
		return type;
	attr.type = (u32)type;
	attr.config1 = (u64)(uintptr_t)PROBED_FUNCTION;
	return close_ok(open_event(&attr));
}

/* Only its address is used. */
__attribute__((noinline, used)) static void uprobe_site(void)
{
	__asm__ volatile("");
}

static int probe_uprobe(void)
{
	struct perf_event_attr attr = { 0 };
	_release_(buf) struct buf maps = BUF_INIT;
	u64 at = (u64)(uintptr_t)uprobe_site, start, end, off;
	int type = pmu_type("uprobe"), err;
	char *line, *rest;

	if (type < 0)
		return type;
	err = file_read("/proc/self/maps", &maps, 4 << 20);
	if (err)
		return err;
	for (rest = maps.p; (line = strsep(&rest, "\n"));) {
		unsigned long long s, e, o;

		if (sscanf(line, "%llx-%llx %*s %llx", &s, &e, &o) != 3)
			continue;
		start = s;
		end = e;
		off = o;
		if (at < start || at >= end)
			continue;
		attr.type = (u32)type;
		attr.config1 = (u64)(uintptr_t) "/proc/self/exe";
		attr.config2 = at - start + off;
		return close_ok(open_event(&attr));
	}
	return -ENOENT;
}

#define FIX_RIGHTS "run with sudo, or grant CAP_BPF and CAP_PERFMON"
#define FIX_BTF "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions ship"
#define NOTHING "nothing can be measured"
#define NOT_NEEDED "nothing is lost: tracepoints do the work"

const struct feat_row feat_rows[FEAT_COUNT] = {
	[FEAT_BPF] = { "bpf", "bpf() system call", "all measuring is done in BPF programs", NOTHING,
		       "4.4", FIX_RIGHTS, FEAT_REQUIRED, probe_bpf },
	[FEAT_BTF] = { "btf", "kernel type information (BTF)", "lets one program fit every kernel",
		       NOTHING, "5.4", FIX_BTF, FEAT_REQUIRED, probe_btf },
	[FEAT_RINGBUF] = { "ringbuf", "BPF ring buffer", "carries records to hostprof", NOTHING,
			   "5.8", "use Linux 5.8 or newer", FEAT_REQUIRED, probe_ringbuf },
	[FEAT_MEMLOCK] = { "memlock", "memory for BPF maps", "8 MiB hold bursts of records",
			   NOTHING, "5.11",
			   "run with sudo, or raise the limit with 'ulimit -l unlimited'",
			   FEAT_REQUIRED, probe_memlock },
	[FEAT_RAW_TP] = { "raw_tp", "raw tracepoints", "what typed tracepoints are built on",
			  NOTHING, "4.17", "use a kernel with CONFIG_BPF_EVENTS=y", FEAT_REQUIRED,
			  probe_raw_tp },
	[FEAT_TP_BTF] = { "tp_btf", "typed tracepoints (tp_btf)", "hook processes and sockets",
			  NOTHING, "5.5", FIX_BTF, FEAT_REQUIRED, probe_tp_btf },
	[FEAT_SYS_TP] = { "sys_tp", "system call tracepoints", "see every transfer on a socket",
			  NOTHING, "5.5", "use a kernel with CONFIG_FTRACE_SYSCALLS=y",
			  FEAT_REQUIRED, probe_sys_tp },
	[FEAT_DATA_READY] = { "data_ready", "tracepoint sk_data_ready",
			      "stamps data when it arrives",
			      "a request's clock starts when the process reads", "6.3",
			      "use Linux 6.3 or newer", FEAT_DEGRADES, probe_data_ready },
	[FEAT_ITER_TASK_FILE] = { "iter_task_file", "iterator over open files",
				  "finds connections that were open before attach",
				  "they appear at their first transfer", "5.8",
				  "use Linux 5.8 or newer", FEAT_DEGRADES, probe_iter_task_file },
	[FEAT_PERF_PROG] = { "perf_prog", "BPF on perf events", "samples CPU stacks",
			     "attach works with --no-cpu only", "4.9",
			     "run with sudo, or grant CAP_PERFMON", FEAT_DEGRADES,
			     probe_perf_prog },
	[FEAT_PERF_HW] = { "perf_hw", "hardware CPU cycles",
			   "samples also where interrupts are off", "the software clock is used",
			   "2.6.31", "in a virtual machine, let the host pass the PMU through",
			   FEAT_DEGRADES, probe_perf_hw },
	[FEAT_TYPED_READS] = { "typed_reads", "typed reads of kernel memory",
			       "reads sockets without a call a field", "a transfer costs more",
			       "6.2", "use Linux 6.2 or newer", FEAT_DEGRADES, probe_typed_reads },
	[FEAT_RUN_STATS] = { "run_stats", "BPF run-time statistics",
			     "measures what hostprof itself costs", "that cost is not reported",
			     "5.8", "grant CAP_SYS_ADMIN, or set kernel.bpf_stats_enabled to 1",
			     FEAT_DEGRADES, probe_run_stats },
	[FEAT_FENTRY] = { "fentry", "function entry hooks (fentry)", "another way to hook sockets",
			  NOT_NEEDED, "5.5", "use a kernel with CONFIG_FUNCTION_TRACER=y",
			  FEAT_UNUSED, probe_fentry },
	[FEAT_KPROBE] = { "kprobe", "kprobes", "another way to hook sockets", NOT_NEEDED, "4.17",
			  "use a kernel with CONFIG_KPROBES=y", FEAT_UNUSED, probe_kprobe },
	[FEAT_UPROBE] = { "uprobe", "uprobes", "hook functions of programs",
			  "nothing is lost for requests, queries and CPU", "4.17",
			  "use a kernel with CONFIG_UPROBES=y", FEAT_UNUSED, probe_uprobe },
};

int feat_probe(enum feat f)
{
	static struct {
		bool known;
		int result;
	} cache[FEAT_COUNT];

	if (!cache[f].known) {
		libbpf_print_fn_t old = libbpf_set_print(NULL); /* failure is an answer here */

		cache[f].result = feat_rows[f].probe();
		cache[f].known = true;
		libbpf_set_print(old);
	}
	return cache[f].result;
}

void feat_release(void)
{
	btf__free(vmlinux_btf);
	vmlinux_btf = NULL;
}
