/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of kernel features: what each is for, what is lost without it, which kernel change
 * brought it, and what it builds on. How they are tried is in featprobe.c.
 *
 * Input: questions of the attach ladder and of doctor, and the keys that were forced off. Output:
 * yes or no with a reason. The version in a row is for the reader; nothing decides by it.
 */
#include "load/feat.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "load/featprobe.h"

#define FIX_POLICY                                                                                 \
	"all capabilities for it are there: look for a security policy, of the kernel or of a "    \
	"container"
#define FIX_ATTACH "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
#define FIX_BTF "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as distributions ship"
#define FIX_EVENTS "use a kernel built with CONFIG_BPF_EVENTS=y"
#define NOTHING "nothing can be measured"
#define NOT_NEEDED "nothing is lost: another way does the same"

#define B(f) FEAT_BIT(FEAT_##f)
#define C(c) CAP_BIT(c)
#define TRACING (C(BPF) | C(PERFMON))

const struct feat_row feat_rows[FEAT_COUNT] = {
	[FEAT_BPF] = { .key = "bpf",
		       .name = "bpf() system call",
		       .why = "all measuring is done in BPF programs",
		       .without = NOTHING,
		       .since = "3.18",
		       .change = "99c55f7d47c0 bpf: introduce BPF syscall and maps",
		       .fix = "use a kernel with CONFIG_BPF_SYSCALL=y",
		       .need = FEAT_REQUIRED,
		       .caps = C(BPF),
		       .probe = featprobe_bpf },
	[FEAT_BTF] = { .key = "btf",
		       .name = "kernel type information (BTF)",
		       .why = "lets one program fit every kernel",
		       .without = NOTHING,
		       .since = "5.4",
		       .change = "341dfcf8d78e btf: expose BTF info through sysfs",
		       .fix = FIX_BTF,
		       .need = FEAT_REQUIRED,
		       .probe = featprobe_btf },
	[FEAT_RINGBUF] = { .key = "ringbuf",
			   .name = "BPF ring buffer",
			   .why = "carries records to hostprof",
			   .without = NOTHING,
			   .since = "5.8",
			   .change = "457f44363a88 bpf: Implement BPF ring buffer and verifier "
				     "support for it",
			   .fix = "use Linux 5.8 or newer",
			   .need = FEAT_REQUIRED,
			   .needs = B(BPF),
			   .caps = C(BPF),
			   .probe = featprobe_ringbuf },
	[FEAT_MEMLOCK] = { .key = "memlock",
			   .name = "memory for BPF maps",
			   .why = "8 MiB hold bursts of records",
			   .without =
				   "a small buffer does: bursts may overflow it, and what is lost "
				   "is counted; unwind tables get small maps: programs with much "
				   "code have incomplete stacks",
			   .since = "5.11",
			   .change = "abbdd0813f34 bpf: Eliminate rlimit-based memory accounting "
				     "for bpf ringbuffer",
			   .fix = "run with sudo, or raise the limit with 'ulimit -l unlimited'",
			   .need = FEAT_DEGRADES,
			   .needs = B(RINGBUF),
			   .probe = featprobe_memlock },
	[FEAT_RAW_TP] = { .key = "raw_tp",
			  .name = "raw tracepoints",
			  .why = "tell when TCP sockets connect and end",
			  .without = "requests, queries and external calls are not measured",
			  .since = "4.17",
			  .change = "c4f6699dfcb8 bpf: introduce BPF_RAW_TRACEPOINT",
			  .fix = FIX_EVENTS,
			  .need = FEAT_DEGRADES,
			  .needs = B(BPF),
			  .caps = TRACING,
			  .probe = featprobe_raw_tp },
	[FEAT_TP_BTF] = { .key = "tp_btf",
			  .name = "typed tracepoints (tp_btf)",
			  .why = "follow processes",
			  .without = "children that start during the measurement are not followed",
			  .since = "5.5",
			  .change =
				  "f1b9509c2fb0 bpf: Replace prog_raw_tp+btf_id with prog_tracing",
			  .fix = FIX_BTF,
			  .need = FEAT_DEGRADES,
			  .needs = B(RAW_TP) | B(BTF),
			  .caps = TRACING,
			  .probe = featprobe_tp_btf },
	[FEAT_SYS_TP] = { .key = "sys_tp",
			  .name = "system call tracepoints, all calls",
			  .why = "see every transfer on a socket",
			  .without = NOT_NEEDED,
			  .since = "5.5",
			  .change = "e8c423fb31fa bpf: Add typecast to raw_tracepoints to help BTF "
				    "generation",
			  .fix = "use a kernel with CONFIG_FTRACE_SYSCALLS=y",
			  .need = FEAT_UNUSED,
			  .needs = B(TP_BTF),
			  .caps = TRACING,
			  .probe = featprobe_sys_tp },
	[FEAT_TRACEPOINT] = { .key = "tracepoint",
			      .name = "system call tracepoints, one by one",
			      .why = "see transfers on sockets, and leave other calls alone",
			      .without = "function hooks see them, or every system call of the "
					 "host is followed",
			      /* tracepoints in 4.7, those of system calls in 4.14: cf5f5cea2706 */
			      .since = "4.14",
			      .change = "98b5c2c65c29 perf, bpf: allow bpf programs attach to "
					"tracepoints",
			      .fix = "use a kernel with CONFIG_FTRACE_SYSCALLS=y and tracefs",
			      .need = FEAT_DEGRADES,
			      .needs = B(BPF),
			      .caps = TRACING,
			      .file = "tracefs",
			      .file_caps = C(DAC_READ_SEARCH),
			      .probe = featprobe_tracepoint },
	[FEAT_DATA_READY] = { .key = "data_ready",
			      .name = "tracepoint sk_data_ready",
			      .why = "stamps data when it arrives",
			      .without = "another hook does it, for TCP at least",
			      .since = "6.3",
			      .change = "40e0b0908142 net/sock: Introduce trace_sk_data_ready()",
			      .fix = "use Linux 6.3 or newer",
			      .need = FEAT_DEGRADES,
			      .needs = B(RAW_TP),
			      .caps = TRACING,
			      .probe = featprobe_data_ready },
	[FEAT_TCP_PROBE] = { .key = "tcp_probe",
			     .name = "tracepoint tcp_probe",
			     .why = "stamps TCP data when it arrives",
			     .without = NOT_NEEDED,
			     /* the tracepoint took the place of that module in the same series */
			     .since = "4.16",
			     .change = "6987990c3e16 net: tcp: Remove TCP probe module",
			     .fix = "use Linux 4.16 or newer",
			     .need = FEAT_UNUSED,
			     .needs = B(RAW_TP),
			     .caps = TRACING,
			     .probe = featprobe_tcp_probe },
	[FEAT_ITER_TASK_FILE] = { .key = "iter_task_file",
				  .name = "iterator over open files",
				  .why = "finds connections that were open before attach",
				  .without = "they appear with their first transfer, and "
					     "hostprof must run in the host's PID namespace",
				  .since = "5.8",
				  .change = "eaaacd23910f bpf: Add task and task/file iterator "
					    "targets",
				  .fix = "use Linux 5.8 or newer",
				  .need = FEAT_DEGRADES,
				  .needs = B(BPF) | B(BTF),
				  .caps = TRACING,
				  .probe = featprobe_iter_task_file },
	[FEAT_PERF_PROG] = { .key = "perf_prog",
			     .name = "BPF on perf events",
			     .why = "samples CPU stacks",
			     .without = "no CPU samples",
			     .since = "4.9",
			     .change = "0515e5999a46 bpf: introduce BPF_PROG_TYPE_PERF_EVENT "
				       "program type",
			     .fix = "use a kernel with CONFIG_PERF_EVENTS=y and "
				    "CONFIG_BPF_EVENTS=y",
			     .refused_fix = "run with sudo, grant CAP_SYS_ADMIN, or set "
					    "kernel.perf_event_paranoid to 2 or less",
			     .need = FEAT_DEGRADES,
			     .needs = B(BPF),
			     .caps = TRACING,
			     .probe = featprobe_perf_prog },
	[FEAT_PERF_HW] = { .key = "perf_hw",
			   .name = "hardware CPU cycles",
			   .why = "samples also where interrupts are off",
			   .without = "the software clock is used",
			   .since = "2.6.31",
			   .change = "0793a61d4df8 performance counters: core code",
			   .fix = "in a virtual machine, let the host pass the PMU through",
			   .need = FEAT_DEGRADES,
			   .needs = B(PERF_PROG),
			   .caps = C(PERFMON),
			   .probe = featprobe_perf_hw },
	[FEAT_TYPED_READS] = { .key = "typed_reads",
			       .name = "typed reads of kernel memory",
			       .why = "reads sockets without a call a field",
			       .without = "a transfer costs more",
			       .since = "6.2",
			       .change = "a35b9af4ec2c bpf: Add a kfunc for generic type cast",
			       .fix = "use Linux 6.2 or newer",
			       .need = FEAT_DEGRADES,
			       .needs = B(BPF) | B(BTF),
			       .caps = TRACING,
			       .probe = featprobe_typed_reads },
	[FEAT_TASK_BTF] = { .key = "task_btf",
			    .name = "typed access to the running task",
			    .why = "finds the socket of a descriptor",
			    .without = "a transfer costs a little more",
			    .since = "5.11",
			    .change = "3ca1032ab7ab bpf: Implement get_current_task_btf and "
				      "RET_PTR_TO_BTF_ID",
			    .fix = "use Linux 5.15 or newer, which also has task_pt_regs",
			    .need = FEAT_DEGRADES,
			    .needs = B(BPF) | B(BTF),
			    .caps = TRACING,
			    .probe = featprobe_task_btf },
	[FEAT_TASK_PT_REGS] = { .key = "task_pt_regs",
				.name = "registers of the running task",
				.why = "the exit of a system call learns its arguments",
				.without =
					"entries of system calls are hooked too, which costs more",
				.since = "5.15",
				.change = "dd6e10fbd9fb bpf: Add bpf_task_pt_regs() helper",
				.fix = "use Linux 5.15 or newer",
				.need = FEAT_DEGRADES,
				.needs = B(TASK_BTF),
				.caps = TRACING,
				.probe = featprobe_task_pt_regs },
	[FEAT_RUN_STATS] = { .key = "run_stats",
			     .name = "BPF run-time statistics",
			     .why = "measures what hostprof itself costs",
			     .without = "programs time a part of their runs themselves",
			     .since = "5.8",
			     .change = "d46edd671a14 bpf: Sharing bpf runtime stats with "
				       "BPF_ENABLE_STATS",
			     .fix = "use Linux 5.8 or newer",
			     .refused_fix = "run with sudo, grant CAP_SYS_ADMIN, or set "
					    "kernel.bpf_stats_enabled to 1",
			     .need = FEAT_DEGRADES,
			     .needs = B(BPF),
			     .caps = C(SYS_ADMIN),
			     .probe = featprobe_run_stats },
	[FEAT_RECURSION_MISSES] = { .key = "recursion_misses",
				    .name = "count of skipped program runs",
				    .why = "tells when the kernel skipped a probe",
				    .without = "such skips stay unknown",
				    .since = "5.12",
				    .change = "9ed9e9ba2337 bpf: Count the number of times "
					      "recursion was prevented",
				    .fix = "use Linux 5.12 or newer",
				    .need = FEAT_DEGRADES,
				    .needs = B(BPF) | B(BTF),
				    .caps = TRACING,
				    .probe = featprobe_recursion_misses },
	/* The one row that newer kernels lack: its change is the one that took it away. */
	[FEAT_WHOLE_PROGRAMS] = { .key = "whole_programs",
				  .name = "BPF programs that are not preempted",
				  .why = "every transfer runs its program",
				  .without =
					  "kprobes, which run in one piece and cost more, come "
					  "first: "
					  "while another program is off the processor the kernel "
					  "skips it for others",
				  .since = "7.0",
				  .change = "7dadeaa6e851 sched: Further restrict the preemption "
					    "modes",
				  .fix = "boot with preempt=voluntary where the kernel has that "
					 "choice (before 7.0)",
				  .need = FEAT_DEGRADES,
				  .needs = B(BPF) | B(BTF),
				  .caps = TRACING,
				  .refused_fix = "set kernel.kptr_restrict to 1 or 0",
				  .file = "the address of preempt_dynamic_mode in /proc/kallsyms",
				  .file_caps = C(SYSLOG),
				  .gone = true,
				  .probe = featprobe_whole_programs },
	[FEAT_FENTRY] = { .key = "fentry",
			  .name = "function entry and exit hooks (fentry, fexit)",
			  .why = "see transfers at the socket, io_uring's and sendfile's too",
			  .without = "another way sees them; system calls do not show io_uring",
			  .since = "5.5",
			  .change = "fec56f5890d9 bpf: Introduce BPF trampoline",
			  .fix = "use a kernel with CONFIG_FUNCTION_TRACER=y",
			  .need = FEAT_DEGRADES,
			  .needs = B(BPF) | B(BTF),
			  .caps = TRACING,
			  .probe = featprobe_fentry },
	[FEAT_MODULE_BTF] = { .key = "module_btf",
			      .name = "type information of modules",
			      .why = "lets function hooks reach unix sockets built as a module",
			      .without = "unix sockets in a module are seen through system calls",
			      .since = "5.11",
			      .change = "290248a5b7d8 bpf: Allow to specify kernel module BTFs "
					"when attaching BPF programs",
			      .fix = "use a kernel with CONFIG_DEBUG_INFO_BTF_MODULES=y",
			      .need = FEAT_UNUSED,
			      .needs = B(BTF),
			      .probe = featprobe_module_btf },
	[FEAT_KPROBE] = { .key = "kprobe",
			  .name = "kprobes and kretprobes",
			  .why = "see transfers at the socket where fentry is missing",
			  .without = NOT_NEEDED,
			  .since = "4.17",
			  .change = "e12f03d7031a perf/core: Implement the 'perf_kprobe' PMU",
			  .fix = "use a kernel with CONFIG_KPROBES=y",
			  .need = FEAT_UNUSED,
			  .needs = B(BPF),
			  .caps = TRACING,
			  .probe = featprobe_kprobe },
	[FEAT_RETURN_ROOM] = { .key = "kretprobe_room",
			       .name = "room for many returns under way in a kretprobe",
			       .why = "a call that waits in a function does not hide the others",
			       .without = "system calls are followed instead of kretprobes",
			       .since = "6.2",
			       .change = "3b7ddab8a19a kprobes: kretprobe events missing on 2-core "
					 "KVM "
					 "guest",
			       .fix = "use a newer kernel, or one with CONFIG_PREEMPTION=y",
			       .need = FEAT_UNUSED,
			       .needs = B(KPROBE),
			       .probe = featprobe_return_room },
	[FEAT_UPROBE] = { .key = "uprobe",
			  .name = "uprobes",
			  .why = "follow the tasks of asyncio servers",
			  .without = "calls of asyncio servers are not bound to requests",
			  .since = "4.17",
			  .change = "33ea4b24277b perf/core: Implement the 'perf_uprobe' PMU",
			  .fix = "use a kernel with CONFIG_UPROBES=y",
			  .need = FEAT_DEGRADES,
			  .needs = B(BPF),
			  .caps = TRACING,
			  .probe = featprobe_uprobe },
	[FEAT_SCHED_SWITCH] = { .key = "sched_switch",
				.name = "tracepoint sched_switch",
				.why = "tells where threads wait",
				.without = "no off-CPU times",
				.since = "4.17",
				/* 5.18.0 to 5.18.5 had another order of its arguments: fa2c3254d7cf */
				.change =
					"9c2136be0878 sched/tracing: Append prev_state to tp args "
					"instead",
				.fix = "use another kernel than 5.18.0 to 5.18.5",
				.need = FEAT_DEGRADES,
				.needs = B(RAW_TP) | B(BTF),
				.probe = featprobe_sched_switch },
	[FEAT_SCHED_EXIT] = { .key = "sched_exit",
			      .name = "tracepoint sched_exit_tp",
			      .why = "takes the stacks of waits where the thread is back",
			      .without = "another hook does it",
			      .since = "6.15",
			      .change =
				      "26f80681a09b sched: Add sched tracepoints for RV task model",
			      .fix = "use Linux 6.15 or newer",
			      .need = FEAT_UNUSED,
			      .needs = B(RAW_TP),
			      .probe = featprobe_sched_exit },
};
_Static_assert(FEAT_COUNT <= 64, "a bit each");

static u64 forced_off; /* FEAT_BIT()s; set by options before anything is probed for use */

static struct {
	bool known;
	int result;
} cache[FEAT_COUNT];

#define FORCED_OFF (-ENODATA) /* no probe gives this */
#define KERNEL_ENOTSUPP 524 /* the kernel's own, which strerror() does not know */

int feat_find(const char *key)
{
	int i;

	for (i = 0; i < FEAT_COUNT; i++)
		if (!strcmp(feat_rows[i].key, key))
			return i;
	return -ENOENT;
}

int feat_force_off(const char *key)
{
	int f = feat_find(key);

	if (f < 0)
		return f;
	forced_off |= FEAT_BIT(f);
	return 0;
}

bool feat_is_off(enum feat f)
{
	return forced_off & FEAT_BIT(f);
}

static int probe_once(enum feat f)
{
	if (!cache[f].known) {
		libbpf_print_fn_t old = libbpf_set_print(NULL); /* failure is an answer here */

		cache[f].result = feat_rows[f].probe();
		cache[f].known = true;
		libbpf_set_print(old);
	}
	return cache[f].result;
}

/* The result, and in *blame whose it is. Rows only need rows, never each other in a circle. */
static int find_out(enum feat f, enum feat *blame)
{
	u64 needs = feat_rows[f].needs;
	int i, err;

	*blame = f;
	if (forced_off & FEAT_BIT(f))
		return FORCED_OFF;
	for (i = 0; needs; needs &= needs - 1) {
		i = __builtin_ctzll(needs);
		err = find_out((enum feat)i, blame);
		if (err)
			return err;
	}
	*blame = f;
	return probe_once(f);
}

int feat_probe(enum feat f)
{
	enum feat blame;

	return find_out(f, &blame);
}

enum feat feat_blame(enum feat f)
{
	enum feat blame;

	find_out(f, &blame);
	return blame;
}

u64 feat_lacks(enum feat f)
{
	enum feat blame;
	int err = find_out(f, &blame);
	const struct feat_row *row = &feat_rows[blame];
	u64 wanted = row->caps;

	if (err != -EPERM && err != -EACCES)
		return 0;
	if (err == -EACCES && row->file)
		wanted = row->file_caps;
	return caps_lacking(featprobe_caps(), wanted);
}

bool feat_off_in_vain(enum feat f)
{
	u64 needs;

	for (needs = feat_rows[f].needs; needs; needs &= needs - 1)
		if (!feat_has((enum feat)__builtin_ctzll(needs)))
			return true;
	return probe_once(f) != 0;
}

void feat_missing_text(enum feat f, struct buf *out)
{
	u64 lacks = feat_lacks(f);
	enum feat blame;
	int err = find_out(f, &blame);
	const struct feat_row *row = &feat_rows[blame];

	if (blame != f)
		buf_addf(out, "it needs %s, and that is ", row->key);
	if (err == FORCED_OFF)
		buf_adds(out, "switched off with --without");
	else if (err == -EACCES && row->file)
		buf_addf(out, "not to be found out: %s cannot be read (%s)", row->file,
			 strerror(-err));
	else if (err == -EPERM || err == -EACCES)
		buf_addf(out, "refused (%s)", strerror(-err));
	else if (err == -ENOENT || err == -ENOSYS || err == -KERNEL_ENOTSUPP)
		buf_adds(out, "not in this kernel");
	else if (err == -EOPNOTSUPP || err == -EINVAL)
		buf_addf(out, "not in this kernel (%s)", strerror(-err));
	else
		buf_adds(out, strerror(-err));
	if (lacks) {
		buf_adds(out, " without ");
		caps_name(lacks, out);
	}
}

void feat_fix(enum feat f, char *ret, size_t size)
{
	_release_(buf) struct buf names = BUF_INIT;
	enum feat blame;
	int err = find_out(f, &blame);
	const struct feat_row *row = &feat_rows[blame];
	u64 lacks = feat_lacks(f);

	caps_name(lacks, &names);
	if (err == FORCED_OFF)
		snprintf(ret, size, "leave out --without %s", row->key);
	else if ((err == -EPERM || err == -EACCES) && row->refused_fix && !(lacks & ~C(SYS_ADMIN)))
		snprintf(ret, size, "%s", row->refused_fix);
	else if (lacks)
		snprintf(ret, size, "run with sudo, or grant %s", names.p ? names.p : "");
	else if (err == -EACCES && row->file)
		snprintf(ret, size, "make %s readable", row->file);
	else if ((err == -EPERM || err == -EACCES) && row->caps)
		snprintf(ret, size, "%s", FIX_POLICY);
	else
		snprintf(ret, size, "%s", row->fix);
}

void feat_keys(struct buf *out)
{
	int i;

	for (i = 0; i < FEAT_COUNT; i++)
		buf_addf(out, "%s%s", i ? ", " : "", feat_rows[i].key);
}

const struct feat_row *feat_missing_required(int *ret_err, char *ret_text, size_t text_size,
					     char *ret_fix, size_t fix_size)
{
	int i;

	for (i = 0; i < FEAT_COUNT; i++) {
		const struct feat_row *row = &feat_rows[i];
		int err = row->need == FEAT_REQUIRED ? feat_probe((enum feat)i) : 0;
		bool right = err == -EPERM || err == -EACCES;

		if (!err)
			continue;
		*ret_err = right ? -EPERM : -EOPNOTSUPP;
		if (right && feat_lacks((enum feat)i)) {
			snprintf(ret_text, text_size, "the kernel refused the BPF programs: %s",
				 strerror(-err));
			snprintf(ret_fix, fix_size, "%s", FIX_ATTACH);
		} else {
			_release_(buf) struct buf why = BUF_INIT;

			feat_missing_text((enum feat)i, &why);
			snprintf(ret_text, text_size, "%s %s%s", row->name,
				 why.p ? why.p : "missing",
				 right ? "" : ": hostprof needs Linux 5.8 or newer with BTF");
			feat_fix((enum feat)i, ret_fix, fix_size);
		}
		return row;
	}
	return NULL;
}

void feat_release(void)
{
	featprobe_release();
}
