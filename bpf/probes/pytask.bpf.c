/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose work the current thread does, in Python, and where work is handed on:
 *
 *   py_token()      the thread's current context; asked for each transfer that sends
 *   py_task_begin   a task of asyncio is made: its context descends from its maker's
 *   py_write        uvloop queues bytes: the system call comes later, outside of any task
 *
 * The two probes are uprobes on functions that user space found (user/unwind/pysites.h).
 */
#include "unwind/python.bpf.h"
#include "lib/sock.bpf.h"

/* A task that has no context yet: __init__ gives it one after the probe at its beginning. */
struct py_task {
	__u64 task; /* 0: none */
	__u64 coro;
	__u64 code;
	__u64 created_ns;
	__u32 parent;
	__u32 target;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct py_task);
} m_py_tasks __weak SEC(".maps");

/*
 * Contexts of tasks, and the newest task that had each. A context lives at least as long as its task, and
 * memory of one that is gone may become that of a copy, which worker threads and callbacks run in: what
 * is found here holds only while the task has its coroutine and this context still.
 */
struct py_context {
	__u64 context;
	__u32 tgid;
	__u32 pad0;
};

struct py_owner {
	__u64 task;
	__u64 coro;
	__u32 number;
	__u32 pad0;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct py_context);
	__type(value, struct py_owner);
} m_py_contexts __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} m_py_numbers __weak SEC(".maps");

/* Never 0 in 2^32 / processors tasks on one of them. */
static __always_inline __u32 number_next(void)
{
	__u32 key = 0, *n = bpf_map_lookup_elem(&m_py_numbers, &key);

	return n ? (*n)++ * cfg_ncpus + bpf_get_smp_processor_id() + 1 : 0;
}

/* What is known by now of the task that this thread made last. */
static __always_inline void task_settle(const struct py_runtime *rt, __u64 pid_tgid)
{
	__u32 tid = (__u32)pid_tgid;
	struct py_task *t = bpf_map_lookup_elem(&m_py_tasks, &tid);
	struct py_context key = {};
	struct py_owner owner = {};
	struct ev_task *ev;

	if (!t || !t->task)
		return;
	key.context = py_word(t->task + rt->off.task_context);
	key.tgid = pid_tgid >> 32;
	/* Over already, and it did nothing that bears its number. */
	if (py_word(t->task + rt->off.task_coro) != t->coro || !key.context) {
		t->task = 0;
		return;
	}
	owner.task = t->task;
	owner.coro = t->coro;
	owner.number = number_next();
	ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);
	if (!ev) {
		/* Not the one before it in that memory. */
		bpf_map_delete_elem(&m_py_contexts, &key);
		t->task = 0;
		drop(DROP_RING_FULL);
		return;
	}
	ev->hdr.size = sizeof(*ev);
	ev->hdr.kind = EV_TASK;
	ev->hdr.target = t->target;
	ev->hdr.tgid = pid_tgid >> 32;
	ev->hdr.tid = tid;
	ev->hdr.ts_ns = bpf_ktime_get_ns();
	ev->created_ns = t->created_ns;
	ev->code = t->code;
	ev->token = owner.number;
	ev->parent = t->parent;
	t->task = 0;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	bpf_map_update_elem(&m_py_contexts, &key, &owner, BPF_ANY);
}

/* The interpreter of a process, and the walk's scratch memory set up for it. */
static __always_inline const struct py_runtime *python_of(__u32 tgid, struct uw_walk *w)
{
	const struct uw_proc *proc = bpf_map_lookup_elem(&m_uw_procs, &tgid);
	const struct py_runtime *rt;

	if (!proc || !proc->python)
		return NULL;
	w->proc = *proc;
	rt = py_runtime_of(w);
	return rt && rt->off.ts_context ? rt : NULL;
}

static __always_inline __u32 context_token(__u32 slot, struct uw_walk *w,
					   const struct py_runtime *rt, __u32 tgid)
{
	struct py_context key = { .tgid = tgid };
	const struct py_owner *owner;

	py_thread_find(slot, w, rt);
	if (!w->py.nstates)
		return 0;
	key.context = py_word(w->py.states[0] + rt->off.ts_context);
	if (!key.context)
		return 0;
	owner = bpf_map_lookup_elem(&m_py_contexts, &key);
	if (!owner || py_word(owner->task + rt->off.task_coro) != owner->coro ||
	    py_word(owner->task + rt->off.task_context) != key.context)
		return 0;
	return owner->number;
}

int py_token(__u32 tgid)
{
	__u32 slot = walk_slot(WALK_UPROBE);
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;

	if (!w)
		return 0;
	rt = python_of(tgid, w);
	if (!rt)
		return 0;
	task_settle(rt, current_ids());
	return (int)context_token(slot, w, rt, tgid);
}

static __always_inline int task_begin(struct pt_regs *ctx)
{
	__u64 pid_tgid = current_ids();
	struct target_state *target = target_of(pid_tgid >> 32);
	__u32 slot = walk_slot(WALK_UPROBE), tid = (__u32)pid_tgid;
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	struct py_task t = {};

	if (!live || !target || !w)
		return 0;
	rt = python_of(pid_tgid >> 32, w);
	if (!rt || !rt->off.task_context)
		return 0;
	task_settle(rt, pid_tgid);
	t.task = PT_REGS_PARM1(ctx);
	t.coro = py_word(PT_REGS_PARM2(ctx) + PY_TUPLE_ITEMS);
	t.code = py_word(t.coro + rt->off.coro_code) & ~3ULL;
	t.created_ns = bpf_ktime_get_ns();
	t.target = target->target;
	t.parent = context_token(slot, w, rt, pid_tgid >> 32);
	if (bpf_map_update_elem(&m_py_tasks, &tid, &t, BPF_ANY))
		drop(DROP_THREAD_TABLE_FULL);
	return 0;
}

SEC("uprobe")
int py_task_begin(struct pt_regs *ctx)
{
	return WHOLE(task_begin(ctx));
}

/* self → its libuv handle, which points back → the descriptor. */
static __always_inline int stream_write(struct pt_regs *ctx)
{
	__u64 pid_tgid = current_ids(), self = PT_REGS_PARM1(ctx), handle;
	__u32 slot = walk_slot(WALK_UPROBE);
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	struct sock_state *ss;
	struct sock_ref ref;

	if (!live || !w || !target_of(pid_tgid >> 32))
		return 0;
	rt = python_of(pid_tgid >> 32, w);
	if (!rt)
		return 0;
	handle = py_word(self + UV_STREAM_HANDLE);
	if (!handle || py_word(handle) != self)
		return 0;
	if (!sock_of_fd((__u32)py_word(handle + UV_STREAM_FD), &ref))
		return 0;
	ss = sock_find(ref.sk);
	if (!ss || !sock_same(ss, &ref))
		return 0;
	task_settle(rt, pid_tgid);
	ss->token = context_token(slot, w, rt, pid_tgid >> 32);
	return 0;
}

SEC("uprobe")
int py_write(struct pt_regs *ctx)
{
	return WHOLE(stream_write(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
