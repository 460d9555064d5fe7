/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of probes; see probes.h. The order of the rungs of transfers is that of their cost, measured
 * on stock kernels (README, "What it costs"), but for kprobes: a kretprobe is lost when too many calls
 * wait at the same time, so system calls, which lose nothing, go before them.
 */
#include "load/probes.h"

#include <errno.h>
#include <string.h>

#include "base/buf.h"
#include "load/kfuncs.h"

static const struct rung_prog fentry_transfers[] = {
	{ .name = "fexit_tcp_sendmsg", .hook = HOOK_AUTO, .func = "tcp_sendmsg", .nargs = 3 },
	{ .name = "fexit_tcp_recvmsg", .hook = HOOK_AUTO, .func = "tcp_recvmsg" },
	{ .name = "fexit_unix_sendmsg",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_sendmsg",
	  .nargs = 3 },
	{ .name = "fexit_unix_recvmsg",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_recvmsg",
	  .nargs = 4 },
	{ .name = "fentry_unix_release", .hook = HOOK_AUTO, .func = "unix_release", .nargs = 1 },
	{ .name = "fexit_tcp_splice",
	  .hook = HOOK_AUTO,
	  .func = "tcp_splice_read",
	  .nargs = 5,
	  .optional = true },
	{ .name = "fexit_unix_splice",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_splice_read",
	  .nargs = 5,
	  .optional = true },
	{ .name = "fexit_tcp_sendpage",
	  .hook = HOOK_AUTO,
	  .func = "tcp_sendpage",
	  .nargs = 5,
	  .optional = true },
	{ .name = "fexit_unix_sendpage",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_sendpage",
	  .nargs = 5,
	  .optional = true },
	{ .name = "fentry_unix_sendmsg",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_sendmsg",
	  .nargs = 3,
	  .on_unix = true },
	{ 0 },
};

static const struct rung_prog kprobe_transfers[] = {
	{ .name = "kretprobe_done", .hook = HOOK_KRETPROBE, .func = "tcp_sendmsg" },
	{ .name = "kretprobe_done", .hook = HOOK_KRETPROBE, .func = "tcp_recvmsg" },
	{ .name = "kretprobe_done", .hook = HOOK_KRETPROBE, .func = "unix_stream_sendmsg" },
	{ .name = "kretprobe_done", .hook = HOOK_KRETPROBE, .func = "unix_stream_recvmsg" },
	{ .name = "kretprobe_done",
	  .hook = HOOK_KRETPROBE,
	  .func = "tcp_splice_read",
	  .optional = true },
	{ .name = "kretprobe_done",
	  .hook = HOOK_KRETPROBE,
	  .func = "unix_stream_splice_read",
	  .optional = true },
	{ .name = "kretprobe_done",
	  .hook = HOOK_KRETPROBE,
	  .func = "tcp_sendpage",
	  .optional = true },
	{ .name = "kretprobe_done",
	  .hook = HOOK_KRETPROBE,
	  .func = "unix_stream_sendpage",
	  .optional = true },
	{ .name = "kprobe_tcp_sendmsg", .hook = HOOK_KPROBE, .func = "tcp_sendmsg", .nargs = 3 },
	{ .name = "kprobe_tcp_recvmsg", .hook = HOOK_KPROBE, .func = "tcp_recvmsg" },
	{ .name = "kprobe_unix_sendmsg",
	  .hook = HOOK_KPROBE,
	  .func = "unix_stream_sendmsg",
	  .nargs = 3 },
	{ .name = "kprobe_unix_recvmsg",
	  .hook = HOOK_KPROBE,
	  .func = "unix_stream_recvmsg",
	  .nargs = 4 },
	{ .name = "kprobe_splice_read",
	  .hook = HOOK_KPROBE,
	  .func = "tcp_splice_read",
	  .nargs = 5,
	  .optional = true },
	{ .name = "kprobe_splice_read",
	  .hook = HOOK_KPROBE,
	  .func = "unix_stream_splice_read",
	  .nargs = 5,
	  .optional = true },
	{ .name = "kprobe_tcp_sendpage",
	  .hook = HOOK_KPROBE,
	  .func = "tcp_sendpage",
	  .nargs = 5,
	  .optional = true },
	{ .name = "kprobe_unix_sendpage",
	  .hook = HOOK_KPROBE,
	  .func = "unix_stream_sendpage",
	  .nargs = 5,
	  .optional = true },
	{ .name = "kprobe_unix_release", .hook = HOOK_KPROBE, .func = "unix_release", .nargs = 1 },
	{ 0 },
};

static const struct rung_prog each_transfers[] = {
	{ .name = "sys_enter_each", .hook = HOOK_SYSCALLS },
	{ .name = "sys_exit_each", .hook = HOOK_SYSCALLS },
	{ 0 },
};

static const struct rung_prog raw_transfers[] = {
	{ .name = "sys_enter_all", .hook = HOOK_AUTO },
	{ .name = "sys_exit_all", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog calls[] = {
	{ .name = "sys_enter_each", .hook = HOOK_SYSCALLS },
	{ .name = "sys_exit_calls", .hook = HOOK_SYSCALLS },
	{ 0 },
};

static const struct rung_prog fentry_calls[] = {
	{ .name = "fexit_inet_accept", .hook = HOOK_AUTO, .func = "inet_accept" },
	{ .name = "fexit_unix_accept", .hook = HOOK_AUTO, .func = "unix_accept" },
	{ .name = "fentry_inet_connect",
	  .hook = HOOK_AUTO,
	  .func = "inet_stream_connect",
	  .nargs = 4 },
	{ .name = "fentry_unix_connect",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_connect",
	  .nargs = 4 },
	{ .name = "fexit_inet_connect",
	  .hook = HOOK_AUTO,
	  .func = "inet_stream_connect",
	  .nargs = 4 },
	{ .name = "fexit_unix_connect",
	  .hook = HOOK_AUTO,
	  .func = "unix_stream_connect",
	  .nargs = 4 },
	{ .name = "fexit_inet_shutdown", .hook = HOOK_AUTO, .func = "inet_shutdown", .nargs = 2 },
	{ .name = "fexit_unix_shutdown", .hook = HOOK_AUTO, .func = "unix_shutdown", .nargs = 2 },
	{ 0 },
};

static const struct rung_prog sockets[] = {
	{ .name = "tcp_destroy_sock", .hook = HOOK_AUTO },
	{ .name = "inet_sock_set_state", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog ready_tracepoint[] = {
	{ .name = "sk_data_ready", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog ready_fentry[] = {
	{ .name = "sock_readable_fentry",
	  .hook = HOOK_AUTO,
	  .func = "sock_def_readable",
	  .nargs = 1 },
	{ 0 },
};

static const struct rung_prog ready_kprobe[] = {
	{ .name = "sock_readable_kprobe",
	  .hook = HOOK_KPROBE,
	  .func = "sock_def_readable",
	  .nargs = 1 },
	{ 0 },
};

static const struct rung_prog ready_segment[] = {
	{ .name = "tcp_segment", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog seed[] = {
	{ .name = "seed_sockets", .hook = HOOK_ITER },
	{ 0 },
};

static const struct rung_prog processes[] = {
	{ .name = "proc_free", .hook = HOOK_AUTO },
	{ .name = "proc_exit", .hook = HOOK_AUTO },
	{ .name = "proc_exec", .hook = HOOK_AUTO },
	{ .name = "proc_fork", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog samples[] = {
	{ .name = "oncpu_sample", .hook = HOOK_PERF },
	{ 0 },
};

static const struct rung_prog waits[] = {
	{ .name = "wait_waking", .hook = HOOK_AUTO },
	{ .name = "wait_new", .hook = HOOK_AUTO },
	{ .name = "wait_switch", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog raw_waits[] = {
	{ .name = "wait_waking_raw", .hook = HOOK_AUTO },
	{ .name = "wait_new_raw", .hook = HOOK_AUTO },
	{ .name = "wait_switch_raw", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog wait_seed[] = {
	{ .name = "wait_seed", .hook = HOOK_ITER },
	{ .name = "wait_still", .hook = HOOK_ITER },
	{ 0 },
};

static const struct rung_prog back_tracepoint[] = {
	{ .name = "wait_back", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog back_syscall[] = {
	{ .name = "wait_return", .hook = HOOK_AUTO },
	{ 0 },
};

static const struct rung_prog tasks[] = {
	{ .name = "py_task_begin", .hook = HOOK_UPROBE },
	{ .name = "py_write", .hook = HOOK_UPROBE },
	{ 0 },
};

static const struct rung_prog nothing[] = { { 0 } };

#define SKIPPED                                                                                    \
	"skips others on the same processor meanwhile: some transfers are lost (program_missed "   \
	"counts the skips, unseen_transfers the holes)"
#define PREEMPTED "this kernel preempts BPF programs, and " SKIPPED
#define MAYBE_PREEMPTED                                                                            \
	"whole_programs is switched off with --without: programs are taken as on a kernel that "   \
	"preempts them, and " SKIPPED

const struct probe_row probe_rows[PROBE_COUNT] = {
	[PROBE_TRANSFERS] = {
		.key = "transfers",
		.name = "bytes sent and received on sockets",
		.lost = "requests, queries and external calls are not measured: this kernel or "
			"--without leaves no way to see transfers on sockets",
		.holds = "CPU samples and resources",
		.group = GROUP_NET,
		.required = true,
		.rungs = {
			{ .key = "fentry",
			  .name = "functions of TCP and unix sockets, by fentry and fexit",
			  .needs = FEAT_BIT(FEAT_FENTRY) | FEAT_BIT(FEAT_RAW_TP) |
				   FEAT_BIT(FEAT_WHOLE_PROGRAMS),
			  .progs = fentry_transfers },
			{ .key = "tracepoint",
			  .name = "tracepoints of single system calls",
			  .needs = FEAT_BIT(FEAT_TRACEPOINT) | FEAT_BIT(FEAT_RAW_TP) |
				   FEAT_BIT(FEAT_WHOLE_PROGRAMS),
			  .progs = each_transfers,
			  .covers = PROBE_BIT(PROBE_CALLS),
			  .no_rings = true },
			{ .key = "kprobe",
			  .name = "functions of TCP and unix sockets, by kprobe and kretprobe",
			  .needs = FEAT_BIT(FEAT_KPROBE) | FEAT_BIT(FEAT_RETURN_ROOM) |
				   FEAT_BIT(FEAT_RAW_TP),
			  .progs = kprobe_transfers,
			  .less = "transfers are seen by kretprobes: when very many calls wait at the "
				  "same time some are lost (return_missed counts them)" },
			{ .key = "fentry",
			  .name = "functions of TCP and unix sockets, by programs that may be preempted",
			  .needs = FEAT_BIT(FEAT_FENTRY) | FEAT_BIT(FEAT_RAW_TP),
			  .progs = fentry_transfers,
			  .less = PREEMPTED },
			{ .key = "tracepoint",
			  .name = "tracepoints of single system calls, by programs that may be preempted",
			  .needs = FEAT_BIT(FEAT_TRACEPOINT) | FEAT_BIT(FEAT_RAW_TP),
			  .progs = each_transfers,
			  .covers = PROBE_BIT(PROBE_CALLS),
			  .no_rings = true,
			  .less = PREEMPTED },
			{ .key = "raw",
			  .name = "every system call of the host",
			  .needs = FEAT_BIT(FEAT_SYS_TP) | FEAT_BIT(FEAT_RAW_TP),
			  .progs = raw_transfers,
			  .less = "transfers are seen among all system calls of the host: meanwhile "
				  "each of them, in every process, takes longer, a short one two to "
				  "three times as long",
			  .entries = true,
			  .covers = PROBE_BIT(PROBE_CALLS),
			  .no_rings = true },
		},
	},
	[PROBE_CALLS] = {
		.key = "calls",
		.name = "accept, connect and shutdown",
		.lost = "connects that fail are not seen, and connections appear with their first "
			"transfer",
		.holds = "requests, queries, times",
		.group = GROUP_NET,
		.rungs = {
			{ .key = "fentry",
			  .name = "functions of TCP and unix sockets, by fentry and fexit",
			  .needs = FEAT_BIT(FEAT_FENTRY),
			  .progs = fentry_calls },
			{ .key = "tracepoint",
			  .name = "tracepoints of single system calls",
			  .needs = FEAT_BIT(FEAT_TRACEPOINT),
			  .progs = calls },
		},
	},
	[PROBE_SOCKETS] = {
		.key = "sockets",
		.name = "states of TCP sockets",
		.lost = "requests, queries and external calls are not measured: without raw "
			"tracepoints nobody tells when a socket ends",
		.holds = "CPU samples and resources",
		.group = GROUP_NET,
		.required = true,
		.rungs = {
			{ .key = "raw_tp",
			  .name = "raw tracepoints of TCP",
			  .needs = FEAT_BIT(FEAT_RAW_TP),
			  .progs = sockets },
		},
	},
	[PROBE_ARRIVALS] = {
		.key = "arrivals",
		.name = "data that becomes readable",
		.lost = "nobody tells when data arrives: a request's time starts when the process "
			"reads it, and a call ends when the process reads the answer",
		.holds = "counts, and times from the read on",
		.group = GROUP_NET,
		.rungs = {
			{ .key = "sk_data_ready",
			  .name = "tracepoint sk_data_ready",
			  .needs = FEAT_BIT(FEAT_DATA_READY),
			  .progs = ready_tracepoint },
			{ .key = "fentry",
			  .name = "sock_def_readable, by fentry",
			  .needs = FEAT_BIT(FEAT_FENTRY),
			  .progs = ready_fentry },
			{ .key = "kprobe",
			  .name = "sock_def_readable, by kprobe",
			  .needs = FEAT_BIT(FEAT_KPROBE),
			  .progs = ready_kprobe },
			{ .key = "tcp_probe",
			  .name = "tracepoint tcp_probe",
			  .needs = FEAT_BIT(FEAT_TCP_PROBE),
			  .progs = ready_segment,
			  .less = "arrivals on unix sockets are not seen: there a request's time starts "
				  "when the process reads it" },
		},
	},
	[PROBE_SEED] = {
		.key = "seed",
		.name = "connections that are open at attach",
		.lost = "connections open before attach appear with their first transfer: a request "
			"under way on them is missed, and the first one's time starts with its read",
		.holds = "requests on connections made after attach",
		.group = GROUP_NET,
		.rungs = {
			{ .key = "iter_task_file",
			  .name = "iterator over open files",
			  .needs = FEAT_BIT(FEAT_ITER_TASK_FILE),
			  .progs = seed },
		},
	},
	[PROBE_PROCESSES] = {
		.key = "processes",
		.name = "fork, exec and exit",
		.lost = "children that the targets start during the window are not followed",
		.holds = "all of the processes that were there at attach",
		.rungs = {
			{ .key = "tp_btf",
			  .name = "typed tracepoints of the scheduler",
			  .needs = FEAT_BIT(FEAT_TP_BTF),
			  .progs = processes },
		},
	},
	[PROBE_CPU] = {
		.key = "cpu",
		.name = "CPU samples",
		.lost = "no CPU samples: perf events are refused (on Debian and Ubuntu they need "
			"CAP_SYS_ADMIN while kernel.perf_event_paranoid is 3 or more) or switched off",
		.holds = "requests, queries, resources",
		.group = GROUP_CPU,
		.required = true,
		.rungs = {
			{ .key = "perf_hw",
			  .name = "the processor's cycle counter",
			  .needs = FEAT_BIT(FEAT_PERF_PROG) | FEAT_BIT(FEAT_PERF_HW),
			  .progs = samples },
			{ .key = "perf_sw",
			  .name = "the software clock",
			  .needs = FEAT_BIT(FEAT_PERF_PROG),
			  .progs = samples },
		},
	},
	[PROBE_WAITS] = {
		.key = "waits",
		.name = "where threads wait",
		.lost = "off-CPU times are not measured: this kernel or --without leaves no way to "
			"see threads switch",
		.holds = "CPU samples, requests, queries, resources",
		.group = GROUP_WAITS,
		.required = true,
		.rungs = {
			{ .key = "tp_btf",
			  .name = "typed tracepoints of the scheduler",
			  .needs = FEAT_BIT(FEAT_TP_BTF) | FEAT_BIT(FEAT_SCHED_SWITCH),
			  .progs = waits },
			{ .key = "raw_tp",
			  .name = "raw tracepoints of the scheduler",
			  .needs = FEAT_BIT(FEAT_SCHED_SWITCH),
			  .progs = raw_waits },
		},
	},
	[PROBE_WAIT_SEED] = {
		.key = "wait_seed",
		.name = "threads that wait at attach",
		.lost = "threads that neither ran nor were woken during the window are missing "
			"from the off-CPU times",
		.holds = "the times of all other threads",
		.group = GROUP_WAITS,
		.rungs = {
			{ .key = "iter_task",
			  .name = "iterator over threads",
			  .needs = FEAT_BIT(FEAT_ITER_TASK_FILE),
			  .progs = wait_seed },
		},
	},
	[PROBE_WAIT_STACKS] = {
		.key = "wait_stacks",
		.name = "stacks of waits",
		.lost = "off-CPU times come without stacks: no offcpu.svg and offcpu.folded",
		.holds = "off-CPU times by thread and reason",
		.group = GROUP_WAITS,
		.rungs = {
			{ .key = "sched_exit",
			  .name = "tracepoint behind the switch of threads",
			  .needs = FEAT_BIT(FEAT_SCHED_EXIT),
			  .progs = back_tracepoint },
			{ .key = "sys_exit",
			  .name = "exit of every system call of the host",
			  .needs = FEAT_BIT(FEAT_SYS_TP) | FEAT_BIT(FEAT_RAW_TP),
			  .progs = back_syscall,
			  .less = "stacks of waits are taken at the end of the system call that "
				  "waited: page faults have none, and kernel frames are missing" },
		},
	},
	[PROBE_TASKS] = {
		.key = "tasks",
		.name = "tasks of asyncio",
		.lost = "calls of asyncio servers are not bound to requests: functions of programs "
			"cannot be hooked",
		.holds = "requests, queries, times",
		.group = GROUP_NET,
		.rungs = {
			{ .key = "uprobe",
			  .name = "functions of _asyncio and uvloop, by uprobes",
			  .needs = FEAT_BIT(FEAT_UPROBE),
			  .progs = tasks },
		},
	},
	[PROBE_COST] = {
		.key = "cost",
		.name = "run time of hostprof's own programs",
		.lost = "",
		.holds = "everything else",
		.rungs = {
			{ .key = "run_stats",
			  .name = "the kernel's run-time statistics",
			  .needs = FEAT_BIT(FEAT_RUN_STATS),
			  .progs = nothing },
			{ .key = "self_timed",
			  .name = "programs that time one run in 64 themselves",
			  .needs = FEAT_BIT(FEAT_BPF),
			  .progs = nothing },
		},
	},
};

static bool has_features(u64 needs)
{
	u32 f;

	for (f = 0; f < FEAT_COUNT; f++)
		if (needs & FEAT_BIT(f) && !feat_has(f))
			return false;
	return true;
}

/* The functions that a rung cannot do without are there, as its programs expect them. */
static bool has_functions(const struct rung *r)
{
	const struct rung_prog *p;

	for (p = r->progs; p->name; p++)
		if (p->func && !p->optional && !kfunc_known(p->func, p->nargs))
			return false;
	return true;
}

bool ladder_there(enum probe p, int rung)
{
	const struct rung *r = &probe_rows[p].rungs[rung];

	return has_features(r->needs) && has_functions(r);
}

static int choose(enum probe p, u32 refused)
{
	int i;

	for (i = 0; i < RUNGS_MAX && probe_rows[p].rungs[i].key; i++)
		if (!(refused >> i & 1) && ladder_there(p, i))
			return i;
	return RUNG_NONE;
}

static void drop_group(struct ladder *l, u32 group)
{
	u32 p;

	l->groups &= ~group;
	for (p = 0; p < PROBE_COUNT; p++)
		if (probe_rows[p].group == group)
			l->taken[p] = RUNG_NONE;
}

void ladder_choose(struct ladder *l, u32 groups)
{
	const struct rung *r;
	u32 p, q;

	l->groups = groups;
	for (p = 0; p < PROBE_COUNT; p++) {
		const struct probe_row *row = &probe_rows[p];

		l->taken[p] = row->group & ~groups ? RUNG_NONE : choose(p, l->refused[p]);
	}
	for (p = 0; p < PROBE_COUNT; p++) {
		r = ladder_rung(l, p);
		for (q = 0; r && q < PROBE_COUNT; q++)
			if (r->covers & PROBE_BIT(q))
				l->taken[q] = RUNG_COVERED;
	}
	for (p = 0; p < PROBE_COUNT; p++)
		if (probe_rows[p].required && probe_rows[p].group & groups &&
		    l->taken[p] == RUNG_NONE)
			drop_group(l, probe_rows[p].group);
}

/* What keeps p from this rung: -ENOENT when nothing does, or nothing that can be changed. */
static int rung_blame(const struct rung *r, u64 *ret_rank)
{
	int blame = -ENOENT;
	u32 f;

	*ret_rank = 0;
	for (f = 0; f < FEAT_COUNT; f++) {
		enum feat at;

		if (!(r->needs & FEAT_BIT(f)) || feat_has(f))
			continue;
		at = feat_blame(f);
		if (!feat_is_off(at) && !feat_lacks(f))
			return -ENOENT;
		*ret_rank += feat_is_off(at) ? 1 : FEAT_COUNT;
		if (blame < 0)
			blame = (int)at;
	}
	return blame;
}

int ladder_blame(const struct ladder *l, enum probe p)
{
	u64 least = 0, rank;
	int i, best = -ENOENT;

	for (i = 0; i < RUNGS_MAX && probe_rows[p].rungs[i].key; i++) {
		int blame;

		if (l->taken[p] == i)
			break;
		if (l->refused[p] >> i & 1 || !has_functions(&probe_rows[p].rungs[i]))
			continue;
		/* What was switched off before what is refused, and few before many. */
		blame = rung_blame(&probe_rows[p].rungs[i], &rank);
		if (blame < 0 || (best >= 0 && rank >= least))
			continue;
		best = blame;
		least = rank;
	}
	return best;
}

void ladder_cause(const struct ladder *l, enum probe p, struct buf *out)
{
	int f = ladder_blame(l, p);

	if (f < 0)
		return;
	buf_addf(out, "%s: ", feat_rows[f].key);
	feat_missing_text((enum feat)f, out);
}

int ladder_error(const struct ladder *l, u32 asked, struct buf *text, struct buf *fix)
{
	int err = -EOPNOTSUPP, f;
	u64 told = 0;
	char one[160];
	u32 p;

	for (p = 0; p < PROBE_COUNT; p++) {
		if (!probe_rows[p].required || !(probe_rows[p].group & asked) ||
		    choose(p, l->refused[p]) != RUNG_NONE)
			continue;
		f = ladder_blame(l, p);
		if (f < 0 || told & FEAT_BIT(f))
			continue;
		if (told)
			buf_adds(text, ", ");
		buf_addf(text, "%s is ", feat_rows[f].key);
		feat_missing_text((enum feat)f, text);
		feat_fix((enum feat)f, one, sizeof(one));
		/* One right is behind many refusals. */
		if (!fix->n || !strstr(fix->p, one))
			buf_addf(fix, "%s%s", fix->n ? ", and " : "", one);
		told |= FEAT_BIT(f);
		if (feat_lacks((enum feat)f))
			err = -EPERM;
	}
	return err;
}

const struct rung *ladder_rung(const struct ladder *l, enum probe p)
{
	return l->taken[p] < 0 ? NULL : &probe_rows[p].rungs[l->taken[p]];
}

const struct rung_prog *ladder_prog(const struct ladder *l, const char *name, enum probe *ret_probe)
{
	const struct rung_prog *rp;
	const struct rung *r;
	u32 p;

	for (p = 0; p < PROBE_COUNT; p++) {
		r = ladder_rung(l, p);
		for (rp = r ? r->progs : nothing; rp->name; rp++) {
			if (strcmp(rp->name, name) ||
			    (rp->func && !kfunc_known(rp->func, rp->nargs)))
				continue;
			*ret_probe = p;
			return rp;
		}
	}
	return NULL;
}

const char *ladder_note(const struct ladder *l, enum probe p, u32 asked)
{
	const struct probe_row *row = &probe_rows[p];
	const struct rung *r = ladder_rung(l, p);

	if (row->group & ~asked)
		return NULL;
	/* Of a group that is gone only what made it so. */
	if (row->group & ~l->groups && (!row->required || choose(p, l->refused[p]) != RUNG_NONE))
		return NULL;
	if (l->taken[p] == RUNG_NONE)
		return *row->lost ? row->lost : NULL;
	if (r && r->less && !strcmp(r->less, PREEMPTED) && feat_is_off(FEAT_WHOLE_PROGRAMS))
		return MAYBE_PREEMPTED;
	return r ? r->less : NULL;
}
