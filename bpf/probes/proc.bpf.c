/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Processes of the targets: children join, exits leave, threads' state is cleaned up. */
#include "lib/sock.bpf.h"

#define EXIT_FDS_MAX 16384
#define EXIT_STEPS 64 /* max_fds is a multiple of 64 */
#define ENDING_MAX 16384

struct ending {
	__u32 tgid;
	__u32 tid;
	__u16 target;
};

/* Targets' tasks on their way out, by address: a task that is freed has no number any more. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, ENDING_MAX);
	__type(key, __u64);
	__type(value, struct ending);
} m_ending SEC(".maps");

__u32 target_filter[TARGET_FILTER_SLOTS];

static __always_inline void emit_proc(__u16 target, __u32 tgid, __u32 what, __u32 parent, int code)
{
	struct ev_proc *ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);

	if (!ev) {
		drop(DROP_RING_FULL);
		return;
	}
	ev->hdr.size = sizeof(*ev);
	ev->hdr.kind = EV_PROC;
	ev->hdr.target = target;
	ev->hdr.tgid = tgid;
	ev->hdr.tid = tgid;
	ev->hdr.ts_ns = bpf_ktime_get_ns();
	ev->what = what;
	ev->parent_tgid = parent;
	ev->exit_code = code;
	ev->pad0 = 0;
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

/* A child has its parent's mappings, until it says otherwise; user space hears of it later. */
static __always_inline void inherit_maps(__u32 parent, __u32 child)
{
	const struct uw_proc *proc = bpf_map_lookup_elem(&m_uw_procs, &parent);
	struct uw_proc copy;

	if (!proc)
		return;
	copy = *proc;
	bpf_map_update_elem(&m_uw_procs, &child, &copy, BPF_ANY);
}

SEC("tp_btf/sched_process_fork")
int BPF_PROG(proc_fork, struct task_struct *parent, struct task_struct *child)
{
	struct target_state *target, copy;
	__u32 tgid, parent_tgid;

	if (!cfg_follow_children || child->pid != child->tgid)
		return 0;
	tgid = task_ids(child) >> 32;
	parent_tgid = task_ids(parent) >> 32;
	target = target_of(parent_tgid);
	if (!target)
		return 0;
	copy = *target;
	copy.served_ns = 0;
	/* Not new: its end was missed, and its id came round. */
	if (!bpf_map_update_elem(&m_targets, &tgid, &copy, BPF_NOEXIST))
		__sync_fetch_and_add(&target_filter[tgid & (TARGET_FILTER_SLOTS - 1)], 1);
	else if (bpf_map_update_elem(&m_targets, &tgid, &copy, BPF_EXIST))
		return 0;
	inherit_maps(parent_tgid, tgid);
	emit_proc(copy.target, tgid, HP_PROC_FORK, parent_tgid, 0);
	return 0;
}

SEC("tp_btf/sched_process_exec")
int BPF_PROG(proc_exec, struct task_struct *task)
{
	__u32 tgid = task_ids(task) >> 32, key = BPF_CORE_READ(task, pid);
	struct target_state *target = target_of(tgid);
	struct wait_state *st;

	if (!target)
		return 0;
	bpf_map_delete_elem(&m_uw_procs, &tgid);
	st = bpf_map_lookup_elem(&m_waits, &key);
	if (st)
		st->comm_ns = 0; /* it has another name by now */
	emit_proc(target->target, tgid, HP_PROC_EXEC, 0, 0);
	return 0;
}

/* A descriptor of a process that exits: nobody else tells of the end of a unix socket. */
__noinline int exit_fd(__u32 fd)
{
	struct sock_state *ss;
	struct sock_ref ref;

	if (!sock_of_fd(fd, &ref) || !sock_maybe(ref.sk))
		return 0;
	ss = sock_find(ref.sk);
	if (ss && ss->family == AF_UNIX && file_holders(ref.file) == 1)
		sock_end(ref.sk, ss, current_ids(), bpf_ktime_get_ns());
	return 0;
}

/* For the verifier's sake in pieces; see LOOP_SLOT. */
__noinline int exit_fds(__u32 from)
{
	__u32 i;

	for (i = 0; i < EXIT_STEPS; i++)
		exit_fd(from + i);
	return 0;
}

static __always_inline void close_all(struct task_struct *task)
{
	__u32 max = BPF_CORE_READ(task, files, fdt, max_fds), fd;

	if (BPF_CORE_READ(task, files, count.counter) != 1)
		return; /* another process goes on with them */
	for (fd = 0; fd < EXIT_FDS_MAX && fd < max; fd += EXIT_STEPS)
		exit_fds(fd);
}

static __always_inline void remember_ending(struct task_struct *task, __u16 target, __u32 tgid,
					    __u32 tid)
{
	struct ending ending = { .tgid = tgid, .tid = tid, .target = target };
	__u64 key = (__u64)task;

	bpf_map_update_elem(&m_ending, &key, &ending, BPF_ANY);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(proc_exit, struct task_struct *task)
{
	__u64 ids = task_ids(task);
	__u32 tgid = ids >> 32, tid = (__u32)ids;
	struct target_state *target = target_of(tgid);

	if (!target)
		return 0;
	bpf_map_delete_elem(&m_threads, &tid);
	bpf_map_delete_elem(&m_fn_calls, &tid);
	remember_ending(task, target->target, tgid, tid);
	if (BPF_CORE_READ(task, signal, live.counter) > 0)
		return 0;
	close_all(task);
	bpf_map_delete_elem(&m_uw_procs, &tgid);
	emit_proc(target->target, tgid, HP_PROC_EXIT, 0, BPF_CORE_READ(task, exit_code));
	if (!bpf_map_delete_elem(&m_targets, &tgid))
		__sync_fetch_and_sub(&target_filter[tgid & (TARGET_FILTER_SLOTS - 1)], 1);
	return 0;
}

/*
 * The account is closed only here: at its exit a task's time is that of the scheduler's last look, up to
 * a tick ago, and its end takes time too. The group's leader goes last, when the sums of the process
 * (__exit_signal()) hold all its threads and itself.
 */
SEC("tp_btf/sched_process_free")
int BPF_PROG(proc_free, struct task_struct *task)
{
	__u64 key = (__u64)task;
	struct ending *ending = bpf_map_lookup_elem(&m_ending, &key), was;
	struct ev_used *ev;

	if (!ending)
		return 0;
	was = *ending;
	bpf_map_delete_elem(&m_ending, &key);
	ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);
	if (!ev) {
		drop(DROP_RING_FULL);
		return 0;
	}
	__builtin_memset(ev, 0, sizeof(*ev));
	ev->hdr.size = sizeof(*ev);
	ev->hdr.kind = EV_USED;
	ev->hdr.target = was.target;
	ev->hdr.tgid = was.tgid;
	ev->hdr.tid = was.tid;
	ev->hdr.ts_ns = bpf_ktime_get_ns();
	ev->whole = was.tid == was.tgid;
	if (ev->whole) {
		struct signal_struct *signal = BPF_CORE_READ(task, signal);

		ev->cpu_ns = BPF_CORE_READ(signal, sum_sched_runtime);
		ev->minor_faults = BPF_CORE_READ(signal, min_flt);
		ev->major_faults = BPF_CORE_READ(signal, maj_flt);
		ev->read_bytes = BPF_CORE_READ(signal, ioac.read_bytes);
		ev->write_bytes = BPF_CORE_READ(signal, ioac.write_bytes);
		ev->voluntary_switches = BPF_CORE_READ(signal, nvcsw);
		ev->involuntary_switches = BPF_CORE_READ(signal, nivcsw);
	} else {
		ev->voluntary_switches = BPF_CORE_READ(task, nvcsw);
		ev->involuntary_switches = BPF_CORE_READ(task, nivcsw);
	}
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
