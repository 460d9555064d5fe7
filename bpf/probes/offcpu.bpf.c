/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the targets' threads wait. At each switch the one that leaves is given a state and a reason,
 * and the one that comes has its wait added to its totals, which are exact: no wait is skipped,
 * whatever is sampled. A wait that is drawn has its stack taken where the thread is itself again: at
 * the switch its memory is not there yet. That is the end of __schedule() (tracepoint sched_exit_tp),
 * or the exit of the system call that waited.
 *
 * Whoever wakes a thread leaves its name in the thread's row; when the wait is long enough already to be
 * drawn for sure, the innermost frames of its stack, too.
 *
 * Of a process that serves requests every wait is told besides (struct ev_step), with whose work the
 * thread did until then. That is read as it leaves: it still is the current thread, in its own memory.
 *
 * The rows of m_waits are the threads' own: only the processor that a thread leaves or comes to writes
 * its row, under the run queue's lock, and wakers write what is theirs in it under the thread's. Rows are made ahead, because
 * here nothing may be allocated.
 *
 * The stack is not taken on leaving, where it could be read as well: an unwind takes 5 to 15 us, and
 * how long a wait is going to be is not known then, so all or none would have to be taken.
 */
#include "lib/step.bpf.h"
#include "lib/wait.bpf.h"
#include "unwind/gil.bpf.h"
#include "unwind/user.bpf.h"

#define WAIT_RECORD_MAX (sizeof(struct ev_wait) + STACK_FRAMES * sizeof(struct ev_frame))
#define WAKER_SLACK_NS (1000 * 1000)
#define SEARCH_NS (50 * 1000 * 1000) /* a thread that is none of Python's is looked for so often */
#define COMM_NS (100 * 1000 * 1000) /* a thread's name is read again after so long */

extern __u32 live;

__u64 waits_since; /* when everything was attached */
volatile __u64 wait_draw_ns; /* waits of this length and longer are all drawn; 0 = no stacks */
__u32 waits_drawn;

/* What a new row begins as: a stack has no room for it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct wait_state);
} m_wait_new SEC(".maps");

static __always_inline void change_begin(struct wait_state *st)
{
	st->changing++;
	barrier();
}

static __always_inline void change_end(struct wait_state *st)
{
	barrier();
	st->changed = st->changing;
}

static __always_inline __u32 tgid_of(struct task_struct *task, bool typed)
{
	if (cfg_pid_ns_inum)
		return task_ids(task) >> 32;
	return typed ? (__u32)task->tgid : (__u32)BPF_CORE_READ(task, tgid);
}

static __always_inline __u32 key_of(struct task_struct *task, bool typed)
{
	return typed ? (__u32)task->pid : (__u32)BPF_CORE_READ(task, pid);
}

/*
 * A process stops being a target when its last thread begins to end; the thread itself goes on for a
 * while, and its row with it, until it leaves its processor for good.
 */
static __always_inline bool wait_maybe(struct task_struct *task, bool typed, __u32 tgid)
{
	__u32 flags = typed ? task->flags : BPF_CORE_READ(task, flags);

	return target_maybe(tgid) || flags & PF_EXITING;
}

/* What it has been, as far as anybody knows, since everything was attached. */
static __always_inline void wait_init(struct wait_state *st, struct task_struct *task, __u16 target,
				      __u32 what, __u64 since)
{
	__u64 ids = task_ids(task);

	change_begin(st);
	st->task = (__u64)task;
	st->tgid = ids >> 32;
	st->tid = (__u32)ids;
	st->target = target;
	st->what = what;
	st->since_ns = since;
	st->first_ns = since;
	bpf_probe_read_kernel(st->comm, sizeof(st->comm),
			      __builtin_preserve_access_index(&task->comm));
	change_end(st);
}

/* The row of a thread; a new one says what the thread was until now. NULL: not a target's. */
static __always_inline struct wait_state *wait_of(struct task_struct *task, __u32 tgid, __u32 key,
						  __u32 what, __u64 since)
{
	struct wait_state *st = bpf_map_lookup_elem(&m_waits, &key), *fresh;
	struct target_state *target;
	__u32 zero = 0;

	if (st && st->task == (__u64)task)
		return st;
	target = bpf_map_lookup_elem(&m_targets, &tgid);
	if (!target)
		return NULL;
	if (st)
		bpf_map_delete_elem(&m_waits, &key);
	fresh = bpf_map_lookup_elem(&m_wait_new, &zero);
	if (!fresh)
		return NULL;
	if (bpf_map_update_elem(&m_waits, &key, fresh, BPF_NOEXIST)) {
		drop(DROP_WAIT_TABLE_FULL);
		return NULL;
	}
	st = bpf_map_lookup_elem(&m_waits, &key);
	if (st)
		wait_init(st, task, target->target, what, since);
	return st;
}

/* One row of a thread that is no more. Numbers only, so that it is verified once. */
__noinline int wait_end_reason(__u32 key, __u32 reason)
{
	struct wait_state *st = bpf_map_lookup_elem(&m_waits, &key);
	struct ev_wait_total *ev;
	struct wait_total *total;

	if (!st || reason >= HP_WAIT_MAX)
		return 0;
	total = &st->total[reason & (HP_WAIT_MAX - 1)];
	if (reason && !total->count)
		return 0;
	ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);
	if (!ev) {
		drop(DROP_RING_FULL);
		return 0;
	}
	__builtin_memset(ev, 0, sizeof(*ev));
	ev->hdr.size = sizeof(*ev);
	ev->hdr.kind = EV_WAIT_TOTAL;
	ev->hdr.target = st->target;
	ev->hdr.tgid = st->tgid;
	ev->hdr.tid = st->tid;
	ev->hdr.ts_ns = st->since_ns;
	ev->first_ns = st->first_ns;
	ev->count = total->count;
	ev->blocked_ns = total->blocked_ns;
	ev->runqueue_ns = total->runqueue_ns;
	ev->on_ns = reason ? 0 : st->on_ns;
	ev->reason = reason;
	ev->flags = HP_WAIT_ENDED;
	__builtin_memcpy(ev->comm, st->comm, sizeof(ev->comm));
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	return 0;
}

__noinline int wait_end(__u32 key)
{
	__u32 reason;

	for (reason = 0; reason < HP_WAIT_MAX; reason++)
		wait_end_reason(key, reason);
	bpf_map_delete_elem(&m_waits, &key);
	return 0;
}

static __always_inline void read_comm(struct wait_state *st, struct task_struct *task, __u64 now)
{
	bpf_probe_read_kernel(st->comm, sizeof(st->comm),
			      __builtin_preserve_access_index(&task->comm));
	st->comm_ns = now;
}

static __always_inline void wait_step(const struct wait_state *st)
{
	struct ev_step *ev = step_begin(st->target, st->tgid, st->tid, st->since_ns);

	if (!ev)
		return;
	ev->blocked_ns = st->blocked_ns;
	ev->runqueue_ns = st->runqueue_ns;
	ev->token = st->token;
	ev->reason = st->reason;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

/* A wait is over, whatever it was. Its length. */
static __always_inline __u64 wait_over(struct wait_state *st, __u64 now)
{
	__u64 blocked = 0, woken = st->since_ns, since = st->since_ns;
	struct wait_total *total = &st->total[st->reason & (HP_WAIT_MAX - 1)];

	if (st->what == WAIT_BLOCKED) {
		/*
		 * A waker on another processor may be quicker than the thread itself: then it was woken
		 * before it left. A time from before it came is that of another wait, and this one's
		 * waker was not seen.
		 */
		if (st->wake_ns > woken)
			woken = st->wake_ns;
		else if (st->wake_ns < st->came_ns)
			woken = now;
		if (woken > now)
			woken = now;
		blocked = woken - since;
	}
	total->count++;
	st->waits++;
	total->blocked_ns += blocked;
	total->runqueue_ns += now - woken;
	st->blocked_ns = blocked;
	st->runqueue_ns = now - woken;
	st->since_ns = now;
	if (st->serves)
		wait_step(st);
	st->serves = 0;
	return now - since;
}

/* What a thread that is not runnable waits for. */
static __always_inline void wait_why(struct wait_state *st, struct task_struct *task, bool typed,
				     __u32 tgid, __u32 state, bool current)
{
	struct wait_call call;
	__u32 reason;

	wait_call_of(task, typed, &call);
	reason = wait_reason(task, &call, state, current);
	if (reason == HP_WAIT_FUTEX && python_gil(tgid, call.a0, current))
		reason = HP_WAIT_GIL;
	st->nr = call.nr;
	st->reason = reason & (HP_WAIT_MAX - 1);
}

/* Whose work the current thread did, which is about to wait. */
static __always_inline void wait_whose(struct wait_state *st, __u32 tgid, __u64 now)
{
	const struct target_state *target = bpf_map_lookup_elem(&m_targets, &tgid);
	bool search = now >= st->search_ns;

	st->token = 0;
	if (!target || !target_serves(target, now))
		return;
	st->serves = 1;
	st->token = (__u32)py_token(WALK_SWITCH, tgid, search ? PY_LOOK_SEARCH : PY_LOOK_KNOWN);
	if (search)
		st->search_ns = now + SEARCH_NS;
}

/* A thread leaves its processor. */
static __always_inline void wait_leave(struct task_struct *task, bool typed, __u32 tgid,
				       bool preempted, __u64 now)
{
	__u32 key = key_of(task, typed), state = preempted ? 0 : task_state(task);
	struct wait_state *st = wait_of(task, tgid, key, WAIT_RUNNING, waits_since);

	if (!st)
		return;
	change_begin(st);
	if (st->what != WAIT_RUNNING)
		wait_over(st, now); /* its coming was not seen */
	st->on_ns += now - st->since_ns;
	st->came_ns = st->since_ns;
	st->since_ns = now;
	st->what = state ? WAIT_BLOCKED : WAIT_RUNNABLE;
	st->reason = HP_WAIT_NONE;
	st->weight_ns = 0; /* a stack that nobody came to take */
	st->woken_by = HP_WAKER_UNKNOWN;
	st->nwaker = 0;
	st->draw = bpf_get_prandom_u32();
	if (state && !(state & TASK_DEAD))
		wait_why(st, task, typed, tgid, state, true);
	wait_whose(st, tgid, now);
	if (now - st->comm_ns > COMM_NS || state & TASK_DEAD)
		read_comm(st, task, now);
	change_end(st);
	if (state & TASK_DEAD)
		wait_end(key);
}

/*
 * Is this wait to have its stack taken? Its weight, 0 = no. The lot is drawn when it begins, so one that
 * is drawn by its length so far is drawn in the end.
 */
static __always_inline __u64 wait_draw(const struct wait_state *st, __u64 len)
{
	__u64 all = wait_draw_ns;

	if (!all)
		return 0;
	if (len >= all)
		return len;
	return st->draw % (__u32)all < len ? all : 0;
}

static __always_inline void wait_came(struct wait_state *st, __u64 now)
{
	bool blocked = st->what == WAIT_BLOCKED;
	__u64 len;

	change_begin(st);
	len = wait_over(st, now);
	st->what = WAIT_RUNNING;
	st->weight_ns = blocked ? wait_draw(st, len) : 0;
	change_end(st);
}

/* A thread comes to this processor. */
static __always_inline void wait_come(struct task_struct *task, bool typed, __u32 tgid, __u64 now)
{
	struct wait_state *st =
		wait_of(task, tgid, key_of(task, typed), WAIT_RUNNABLE, waits_since);

	if (st)
		wait_came(st, now);
}

static __always_inline int on_switch(bool typed, bool preempted, struct task_struct *prev,
				     struct task_struct *next)
{
	bool leaves, comes;
	__u32 from, to;
	__u64 now;

	if (!live)
		return 0;
	from = tgid_of(prev, typed);
	to = tgid_of(next, typed);
	leaves = wait_maybe(prev, typed, from);
	comes = wait_maybe(next, typed, to);
	if (!leaves && !comes)
		return 0;
	now = bpf_ktime_get_ns();
	if (leaves)
		wait_leave(prev, typed, from, preempted, now);
	if (comes)
		wait_come(next, typed, to, now);
	return 0;
}

/* The innermost frames of the current thread, of a target. */
static __always_inline void waker_stack(struct wait_state *st, __u32 tgid)
{
	__u32 slot = walk_slot(WALK_WAKER), i, n;
	struct uw_walk *w = walk_of(slot);

	if (!w)
		return;
	walk_begin(w);
	if (!walk_process(w, tgid) || !regs_of_task(w))
		return;
	w->nuser = UW_FRAMES_MAX - HP_WAKER_FRAMES;
	user_stack(slot);
	n = *(volatile __u32 *)&w->nframes;
	for (i = 0; i < HP_WAKER_FRAMES && i < n; i++)
		st->waker[i] = w->frames[i];
	st->nwaker = i;
}

/*
 * Says who wakes st's thread: the current task, or an interrupt on top of it. Only of waits that may be
 * drawn: those that are long enough by now, or may be with as much time in the run queue and some more.
 */
static __always_inline void wait_waker(struct wait_state *st, __u64 now)
{
	__u64 len = now - st->since_ns, ids;
	struct wait_call call;

	st->nwaker = 0;
	st->woken_by = HP_WAKER_UNKNOWN;
	if (st->what != WAIT_BLOCKED || !wait_draw(st, 2 * len + WAKER_SLACK_NS))
		return;
	if (cfg_task_pt_regs)
		wait_call_of(bpf_get_current_task_btf(), true, &call);
	else
		wait_call_of((struct task_struct *)bpf_get_current_task(), false, &call);
	ids = current_ids();
	if (call.nr < 0 || !(__u32)bpf_get_current_pid_tgid()) { /* the idle task */
		st->woken_by = HP_WAKER_INTERRUPT;
		return;
	}
	st->woken_by = HP_WAKER_THREAD;
	st->waker_tgid = ids >> 32;
	st->waker_tid = (__u32)ids;
	bpf_get_current_comm(st->waker_comm, sizeof(st->waker_comm));
	if (wait_draw(st, len))
		waker_stack(st, ids >> 32);
}

/* Something is about to make a thread runnable: the current task, or an interrupt on top of it. */
static __always_inline int on_waking(bool typed, struct task_struct *task)
{
	__u32 tgid, key;
	struct wait_state *st;
	__u64 now;

	if (!live)
		return 0;
	tgid = tgid_of(task, typed);
	if (!wait_maybe(task, typed, tgid))
		return 0;
	key = key_of(task, typed);
	st = bpf_map_lookup_elem(&m_waits, &key);
	if (!st)
		return 0; /* seeding makes it, or the thread itself when it comes */
	now = bpf_ktime_get_ns();
	wait_waker(st, now);
	st->wake_ns = now;
	return 0;
}

static __always_inline int on_new(bool typed, struct task_struct *task)
{
	__u32 tgid;

	if (!live)
		return 0;
	tgid = tgid_of(task, typed);
	if (target_maybe(tgid))
		wait_of(task, tgid, key_of(task, typed), WAIT_RUNNABLE, bpf_ktime_get_ns());
	return 0;
}

/* Arguments as they are but in 5.18.0 to 5.18.5, see feature sched_switch; later ones have one more. */
SEC("tp_btf/sched_switch")
int BPF_PROG(wait_switch, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return WHOLE(on_switch(true, preempted, prev, next));
}

SEC("tp_btf/sched_waking")
int BPF_PROG(wait_waking, struct task_struct *task)
{
	return WHOLE(on_waking(true, task));
}

SEC("tp_btf/sched_wakeup_new")
int BPF_PROG(wait_new, struct task_struct *task)
{
	return WHOLE(on_new(true, task));
}

SEC("raw_tp/sched_switch")
int BPF_PROG(wait_switch_raw, bool preempted, struct task_struct *prev, struct task_struct *next)
{
	return WHOLE(on_switch(false, preempted, prev, next));
}

SEC("raw_tp/sched_waking")
int BPF_PROG(wait_waking_raw, struct task_struct *task)
{
	return WHOLE(on_waking(false, task));
}

SEC("raw_tp/sched_wakeup_new")
int BPF_PROG(wait_new_raw, struct task_struct *task)
{
	return WHOLE(on_new(false, task));
}

/*
 * Once, when everything is attached: threads that nothing happens to. Whatever has happened to one in
 * the meantime made its row, which stays.
 */
SEC("iter/task")
int wait_seed(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct wait_state *st;
	__u32 tgid, what, state;

	if (!task)
		return 0;
	if (cfg_pid_ns_inum && !pid_ns_level)
		pid_ns_level = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(),
					     thread_pid, level);
	tgid = task_ids(task) >> 32;
	if (!target_maybe(tgid))
		return 0;
	state = task_state(task);
	if (state & TASK_DEAD)
		return 0;
	what = BPF_CORE_READ_BITFIELD_PROBED(task, on_cpu) ? WAIT_RUNNING
	       : state					   ? WAIT_BLOCKED
							   : WAIT_RUNNABLE;
	st = wait_of(task, tgid, key_of(task, true), what, waits_since);
	if (!st || st->what != WAIT_BLOCKED || st->reason || st->on_ns)
		return 0;
	wait_why(st, task, true, tgid, state, false);
	return 0;
}

/*
 * Once, when the window ends: what the threads that still wait wait in. Their user stacks are walked from
 * outside (load/stillwaiting.c): here it is another process's memory.
 */
SEC("iter/task")
int wait_still(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	struct still_waiting w = {};
	struct wait_state *st;
	const void *regs;
	__u64 ids;
	long n;

	if (!task)
		return 0;
	ids = task_ids(task);
	if (!target_maybe(ids >> 32))
		return 0;
	w.key = key_of(task, true);
	st = bpf_map_lookup_elem(&m_waits, &w.key);
	if (!st || st->task != (__u64)task || st->what != WAIT_BLOCKED)
		return 0;
	w.changed = st->changed;
	w.tgid = ids >> 32;
	w.tid = (__u32)ids;
	n = bpf_get_task_stack(task, w.kernel, sizeof(w.kernel), 0);
	w.nkernel = n > 0 ? n / sizeof(w.kernel[0]) : 0;
	if (cfg_task_pt_regs)
		regs = (const void *)bpf_task_pt_regs(task);
	else
		regs = BPF_CORE_READ(task, stack) + THREAD_SIZE - sizeof(w.regs);
	bpf_probe_read_kernel(w.regs, sizeof(w.regs), regs);
	w.fsbase = BPF_CORE_READ(task, thread.fsbase);
	bpf_seq_write(ctx->meta->seq, &w, sizeof(w));
	return 0;
}

/* The innermost kernel frames say how this program came to run, and that threads wait by schedule(). */
enum wait_frames {
	FRAMES_TRACEPOINT = 4, /* the program, bpf_trace_run1, __schedule, schedule */
	FRAMES_ALL = 1000, /* the wait is over and its frames are gone */
};

/* The stack of the current thread, whose wait was drawn. */
static __always_inline int take_stack(void *ctx, struct wait_state *st, enum wait_frames skip)
{
	__u32 slot = walk_slot(WALK_OFFCPU);
	__u64 size; /* 5.10 follows bounds of whole registers only */
	struct ev_wait *ev;
	struct uw_walk *w;
	__u32 nframes, i;
	long k = 0;

	w = walk_of(slot);
	if (!w)
		return 0;
	walk_begin(w);
	if (skip != FRAMES_ALL)
		k = bpf_get_stack(ctx, w->words, HP_STACK_MAX * 8, skip);
	walk_add_words(w, k, HP_FRAME_KERNEL);
	walk_user(w, slot, ctx, st->tgid, false);
	nframes = *(volatile __u32 *)&w->nframes;
	for (i = 0; i < HP_WAKER_FRAMES && i < st->nwaker; i++)
		if (!walk_add_frame(w, &st->waker[i]))
			break;
	size = walk_record_size(w, struct ev_wait);
	barrier_var(size); /* the verifier must see the bound, and the compiler knows it already */
	if (!size || size > WAIT_RECORD_MAX)
		return 0;
	ev = walk_record(w, struct ev_wait);
	ev->hdr.size = size;
	ev->hdr.kind = EV_WAIT;
	ev->hdr.target = st->target;
	ev->hdr.tgid = st->tgid;
	ev->hdr.tid = st->tid;
	ev->hdr.ts_ns = st->since_ns;
	ev->blocked_ns = st->blocked_ns;
	ev->runqueue_ns = st->runqueue_ns;
	ev->weight_ns = st->weight_ns;
	ev->cpu = bpf_get_smp_processor_id();
	ev->on_ns = st->on_ns;
	ev->before = st->waits - 1;
	ev->waker_tgid = st->waker_tgid;
	ev->waker_tid = st->waker_tid;
	ev->woken_by = st->woken_by;
	ev->nr = st->nr;
	ev->token = st->token;
	ev->reason = st->reason;
	ev->nframes = nframes;
	ev->nwaker = w->nframes - nframes;
	ev->unwind = w->unwind;
	ev->stop = w->stop;
	if (k == HP_STACK_MAX * 8 && w->unwind == HP_UNWIND_FP)
		ev->stop = UW_STOP_DEPTH;
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
	__builtin_memcpy(ev->waker_comm, st->waker_comm, sizeof(ev->waker_comm));
	if (bpf_ringbuf_output(&m_events, ev, size, BPF_RB_NO_WAKEUP))
		drop(DROP_RING_FULL);
	st->weight_ns = 0;
	waits_drawn++;
	return 0;
}

static __always_inline struct wait_state *current_wait(void)
{
	__u64 ids = bpf_get_current_pid_tgid();
	__u32 key = (__u32)ids;

	if (!live || !target_maybe(cfg_pid_ns_inum ? current_ids() >> 32 : ids >> 32))
		return NULL;
	return bpf_map_lookup_elem(&m_waits, &key);
}

/*
 * Right behind the switch, as the thread that came. Switches away from some tasks go untraced (seen
 * with tasks of a hypervisor's guest agent): what came by one is noticed here.
 */
static __always_inline int on_back(void *ctx)
{
	struct wait_state *st = current_wait();

	if (!st)
		return 0;
	if (st->what != WAIT_RUNNING)
		wait_came(st, bpf_ktime_get_ns());
	return st->weight_ns ? take_stack(ctx, st, FRAMES_TRACEPOINT) : 0;
}

/* The system call that waited is over. */
static __always_inline int on_return(void *ctx)
{
	struct wait_state *st = current_wait();

	if (!st || !st->weight_ns)
		return 0;
	if (st->nr < 0) {
		st->weight_ns = 0; /* a page fault, and not in this call */
		return 0;
	}
	return take_stack(ctx, st, FRAMES_ALL);
}

SEC("raw_tp/sched_exit_tp")
int wait_back(void *ctx)
{
	return WHOLE(on_back(ctx));
}

SEC("raw_tp/sys_exit")
int wait_return(void *ctx)
{
	return WHOLE(on_return(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
