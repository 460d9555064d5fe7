/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose work the current thread does, in Python, and where work is handed on:
 *
 *   py_token()      the thread's current context; asked for each transfer that sends, for samples and
 *                   when a thread leaves its processor
 *   py_task_begin   a task of asyncio is made: its context descends from its maker's
 *   py_write        uvloop queues bytes: the system call comes later, outside of any task
 *
 * Worker threads have no task; what they do is the task's that waits for their future (py_worker).
 *
 * The two probes are uprobes on functions that user space found (user/unwind/pysites.h).
 */
#include "unwind/python.bpf.h"
#include "lib/site.bpf.h"
#include "lib/sock.bpf.h"
#include "lib/step.bpf.h"

/* A task that has no context yet: __init__ gives it one after the probe at its beginning. */
struct py_task {
	__u64 task; /* 0: none */
	__u64 coro;
	__u64 code;
	__u64 created_ns;
	__u32 parent;
	__u32 target;
	__u32 number;
	__u32 pad0;
};

/* Set by user space when the first process has its py_task_begin: before that no thread has a token. */
__u32 tasks_hooked;

/* The task that each thread made last. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct py_task);
} m_py_tasks __weak SEC(".maps");

/* The thread of a process that made a task last. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, __u32);
} m_py_loops __weak SEC(".maps");

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
	__u32 tid; /* of the thread that made it */
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 65536);
	__type(key, struct py_context);
	__type(value, struct py_owner);
} m_py_contexts __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, PY_WORKERS_MAX);
	__type(key, struct py_worker_key);
	__type(value, struct py_worker);
} m_py_workers __weak SEC(".maps");

/* Where a thread has the frame of its worker function: for as long as it lives, once it was found. */
struct py_worker_frame {
	__u64 frame; /* 0: it has none */
	__u64 code;
	__u64 until_ns; /* if none: as far as is known until then */
	__u32 tgid;
	__u16 local; /* at most PY_WORKER_LOCAL_MAX */
	__u16 kind;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8192);
	__type(key, __u32);
	__type(value, struct py_worker_frame);
} m_py_worker_frames __weak SEC(".maps");

#define WORKER_AGAIN_NS 200000000ULL
#define WORKER_STEPS 8 /* frames that a function looks at, see LOOP_SLOT */
#define WORKER_FRAMES 256

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} m_py_numbers __weak SEC(".maps");

/* Instead of the stack, which the caller's callers have filled: in the walk's memory for a record. */
struct py_scratch {
	struct py_task task;
	struct py_owner owner;
	struct py_context context;
	struct py_worker_frame frame;
	struct py_worker_key key;
};

static __always_inline struct py_scratch *scratch_of_walk(struct uw_walk *w)
{
	_Static_assert(sizeof(struct py_scratch) <= sizeof(w->head), "no room");
	return (struct py_scratch *)w->head;
}

/* Never 0 in 2^32 / processors tasks on one of them. */
static __always_inline __u32 number_next(void)
{
	__u32 key = 0, *n = bpf_map_lookup_elem(&m_py_numbers, &key);

	return n ? (*n)++ * cfg_ncpus + bpf_get_smp_processor_id() + 1 : 0;
}

enum py_maker {
	MAKER_OTHER, /* another thread asks, and may do so again */
	MAKER_SELF, /* behind __init__: it is done with, whatever is found */
	MAKER_LEAVES, /* the thread leaves its processor, maybe inside __init__ */
};

/*
 * What is known by now of the task that a thread made last. Worker threads ask for it too, since the loop
 * may have gone to sleep right after: it is told twice then, under one number. __init__ gives a task its
 * context before its coroutine, and its memory was cleared.
 */
__weak __noinline int py_task_settle(__u32 slot, __u32 tid, __u32 maker)
{
	struct py_task *t = bpf_map_lookup_elem(&m_py_tasks, &tid);
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	struct py_scratch *c;
	struct ev_task *ev;

	if (!t || !t->task || !w)
		return 0;
	rt = py_runtime_of(w);
	if (!rt)
		return 0;
	c = scratch_of_walk(w);
	c->task = *t;
	if (maker == MAKER_SELF) {
		t->task = 0;
	} else if (maker == MAKER_OTHER) {
		/* Written to meanwhile by the thread it belongs to. */
		t = bpf_map_lookup_elem(&m_py_tasks, &tid);
		if (!t || t->task != c->task.task || t->number != c->task.number)
			return 0;
	}
	c->context.context = py_word(c->task.task + rt->off.task_context);
	c->context.tgid = current_ids() >> 32;
	c->context.pad0 = 0;
	/* Over already, and it did nothing that bears its number. */
	if (py_word(c->task.task + rt->off.task_coro) != c->task.coro || !c->context.context)
		return 0;
	if (maker == MAKER_LEAVES)
		t->task = 0;
	c->owner.task = c->task.task;
	c->owner.coro = c->task.coro;
	c->owner.number = c->task.number;
	c->owner.tid = tid;
	ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);
	if (!ev) {
		/* Not the one before it in that memory. */
		bpf_map_delete_elem(&m_py_contexts, &c->context);
		drop(DROP_RING_FULL);
		return 0;
	}
	ev->hdr.size = sizeof(*ev);
	ev->hdr.kind = EV_TASK;
	ev->hdr.target = c->task.target;
	ev->hdr.tgid = c->context.tgid;
	ev->hdr.tid = tid;
	ev->hdr.ts_ns = bpf_ktime_get_ns();
	ev->created_ns = c->task.created_ns;
	ev->code = c->task.code;
	ev->token = c->task.number;
	ev->parent = c->task.parent;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	bpf_map_update_elem(&m_py_contexts, &c->context, &c->owner, BPF_ANY);
	return 0;
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

static __always_inline const struct py_owner *
owner_of(struct uw_walk *w, const struct py_runtime *rt, __u64 context, __u32 tgid)
{
	struct py_context *key = &scratch_of_walk(w)->context;
	const struct py_owner *owner;

	key->context = context;
	key->tgid = tgid;
	key->pad0 = 0;
	owner = context ? bpf_map_lookup_elem(&m_py_contexts, key) : NULL;
	if (!owner || py_word(owner->task + rt->off.task_coro) != owner->coro ||
	    py_word(owner->task + rt->off.task_context) != context)
		return NULL;
	return owner;
}

/* The task that a thread made last, if this is its context, which nobody has settled yet. */
static __always_inline __u32 pending_token(const struct py_runtime *rt, __u64 context, __u32 tid)
{
	const struct py_task *t = bpf_map_lookup_elem(&m_py_tasks, &tid);

	if (!t || !t->task || !context || py_word(t->task + rt->off.task_context) != context ||
	    py_word(t->task + rt->off.task_coro) != t->coro)
		return 0;
	return t->number;
}

static __always_inline __u32 context_token(__u32 slot, struct uw_walk *w,
					   const struct py_runtime *rt, __u32 tgid, __u32 look)
{
	const struct py_owner *owner;
	__u64 context;
	__u32 token;

	py_thread_find(slot, w, rt, look == PY_LOOK_SEARCH);
	if (!w->py.nstates)
		return 0;
	context = py_word(w->py.states[0] + rt->off.ts_context);
	token = look == PY_LOOK_ONLY ? pending_token(rt, context, (__u32)current_ids()) : 0;
	if (token)
		return token;
	owner = owner_of(w, rt, context, tgid);
	return owner ? owner->number : 0;
}

static __always_inline __u64 frame_code(const struct py_runtime *rt, __u64 word)
{
	return rt->off.flags & PY_TAGGED ? word & ~3ULL : word;
}

/* Some of the thread's frames, from w->py.frame outwards. Not 0: the search is over. */
__weak __noinline int py_worker_search(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	const struct py_worker *worker;
	struct py_worker_frame *found;
	struct py_worker_key *key;
	const struct py_runtime *rt;
	__u32 i, tid;

	if (!w)
		return 1;
	rt = py_runtime_of(w);
	if (!rt)
		return 1;
	found = &scratch_of_walk(w)->frame;
	key = &scratch_of_walk(w)->key;
	key->tgid = current_ids() >> 32;
	key->pad0 = 0;
	for (i = 0; i < WORKER_STEPS; i++) {
		__u64 at = w->py.frame;

		if (!at || !py_read(&w->py, at, rt->off.f_bytes))
			return 1;
		w->py.frame = py_u64(&w->py, rt->off.f_prev);
		key->code = frame_code(rt, py_u64(&w->py, rt->off.f_code));
		worker = key->code ? bpf_map_lookup_elem(&m_py_workers, key) : NULL;
		if (!worker)
			continue;
		found->frame = at;
		found->code = key->code;
		found->until_ns = 0;
		found->tgid = key->tgid;
		found->local = worker->local;
		found->kind = worker->kind;
		tid = (__u32)current_ids();
		bpf_map_update_elem(&m_py_worker_frames, &tid, found, BPF_ANY);
		return 1;
	}
	return 0;
}

/* Looks for the thread's worker function among its frames, and remembers what it found. */
static __always_inline void worker_find(__u32 slot, struct uw_walk *w, const struct py_runtime *rt,
					__u64 now)
{
	struct py_worker_frame *none = &scratch_of_walk(w)->frame;
	__u32 i, tid = (__u32)current_ids();
	__u64 at;

	none->frame = 0;
	none->code = 0;
	none->until_ns = now + WORKER_AGAIN_NS;
	none->tgid = current_ids() >> 32;
	none->local = 0;
	none->kind = 0;
	bpf_map_update_elem(&m_py_worker_frames, &tid, none, BPF_ANY);
	if (!w->py.nstates)
		return;
	at = py_word(w->py.states[0] + rt->off.ts_frame);
	if (at && rt->off.flags & PY_CFRAME)
		at = py_word(at + rt->off.cframe_frame);
	w->py.frame = at;
	for (i = 0; i < WORKER_FRAMES; i += WORKER_STEPS)
		if (py_worker_search(slot))
			break;
}

static __always_inline const struct py_worker_frame *worker_known(const struct py_runtime *rt,
								  __u32 tgid, __u64 now)
{
	__u32 tid = (__u32)current_ids();
	const struct py_worker_frame *f = bpf_map_lookup_elem(&m_py_worker_frames, &tid);

	if (!f || f->tgid != tgid)
		return NULL;
	if (!f->frame)
		return now < f->until_ns ? f : NULL;
	return frame_code(rt, py_word(f->frame + rt->off.f_code)) == f->code ? f : NULL;
}

/*
 * The task that waits with this context. Its thread may have made it a moment ago, in the memory of one
 * that is known; so what that made last comes first.
 */
static __always_inline __u32 awaited_by(__u32 slot, struct uw_walk *w, const struct py_runtime *rt,
					__u64 context, __u32 tgid, __u32 look)
{
	const __u32 *last = bpf_map_lookup_elem(&m_py_loops, &tgid);
	const struct py_owner *owner;
	__u32 loop = last ? *last : 0, token;

	if (look == PY_LOOK_ONLY) {
		token = pending_token(rt, context, loop);
		owner = token ? NULL : owner_of(w, rt, context, tgid);
		return owner ? owner->number : token;
	}
	if (loop)
		py_task_settle(slot, loop, MAKER_OTHER);
	owner = owner_of(w, rt, context, tgid);
	if (!owner || owner->tid == loop)
		return owner ? owner->number : 0;
	py_task_settle(slot, owner->tid, MAKER_OTHER);
	owner = owner_of(w, rt, context, tgid);
	return owner ? owner->number : 0;
}

/* A value of a plain object; 0: it is not where it usually is. */
static __always_inline __u64 attr_of(const struct py_runtime *rt, __u64 object, __u32 i)
{
	__u64 at = 0;

	switch (rt->off.attrs) {
	case PY_ATTRS_DICT:
		at = py_word(py_word(object + 16) + 40); /* __dict__, ma_values */
		break;
	case PY_ATTRS_BEFORE:
		at = py_word(object - 32);
		break;
	case PY_ATTRS_MARKED:
		at = py_word(object - 24);
		at = at & 1 ? at + 1 : 0;
		break;
	case PY_ATTRS_INSIDE:
	case PY_ATTRS_SORTED:
		/* Four bytes: how many have room, how many are set, embedded, valid. */
		at = py_word(object + 16) >> 24 & 0xff ? object + 24 : 0;
		break;
	}
	return at ? py_word(at + 8 * i) : 0;
}

static __always_inline __u64 list_first(__u64 list)
{
	return list ? py_word(py_word(list + PY_LIST_ITEMS)) : 0;
}

/*
 * The context of who awaits what a thread of an executor does, into w->py.frame; 0: nobody. The awaited
 * future's first callback is the one that passes a cancellation on; the one behind it wakes the task. Whatever of
 * this is something else leads to no context of a task. Not inline: its caller's stack has no room.
 */
__weak __noinline int py_item_context(__u32 slot, __u64 item)
{
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	__u64 at;

	if (!w)
		return 0;
	w->py.frame = 0;
	rt = py_runtime_of(w);
	if (!rt)
		return 0;
	at = attr_of(rt, item, PY_ITEM_FUTURE);
	at = at ? list_first(attr_of(rt, at, PY_DONE_CALLBACKS(rt->off.attrs))) : 0;
	if (!at)
		return 0;
	at = py_word(at + rt->off.func_closure);
	at = py_word(at + rt->off.tuple_items + 8 * PY_CLOSURE_AWAITED);
	at = py_word(at + PY_CELL_VALUE);
	at = at ? list_first(py_word(at + PY_FUTURE_CALLBACKS)) : 0;
	if (at)
		w->py.frame = py_word(at + rt->off.tuple_items + 8);
	return 0;
}

static __always_inline __u32 worker_token(__u32 slot, struct uw_walk *w,
					  const struct py_runtime *rt, __u32 tgid, __u32 look)
{
	struct py_worker_key *any = &scratch_of_walk(w)->key;
	const struct py_worker_frame *f;
	__u64 now, at;

	any->code = 0;
	any->tgid = tgid;
	any->pad0 = 0;
	if (!bpf_map_lookup_elem(&m_py_workers, any))
		return 0;
	now = bpf_ktime_get_ns();
	f = worker_known(rt, tgid, now);
	if (!f && look != PY_LOOK_ONLY) {
		worker_find(slot, w, rt, now);
		f = worker_known(rt, tgid, now);
	}
	if (!f || !f->frame)
		return 0;
	at = py_word(f->frame + f->local) & ~3ULL;
	if (at && f->kind == PY_WORKER_ITEM) {
		py_item_context(slot, at);
		at = w->py.frame;
	} else if (at) {
		at = py_word(at + PY_FUTURE_CONTEXT);
	}
	return at ? awaited_by(slot, w, rt, at, tgid, look) : 0;
}

int py_token(__u32 use, __u32 tgid, __u32 look)
{
	__u32 token, slot = walk_slot(use);
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;

	if (!tasks_hooked || !w)
		return 0;
	w->py.nstates = 0;
	rt = python_of(tgid, w);
	if (!rt)
		return 0;
	if (look != PY_LOOK_ONLY)
		py_task_settle(slot, (__u32)current_ids(),
			       use == WALK_SWITCH ? MAKER_LEAVES : MAKER_SELF);
	token = context_token(slot, w, rt, tgid, look);
	return (int)(token ? token : worker_token(slot, w, rt, tgid, look));
}

static __always_inline int task_begin(struct pt_regs *ctx)
{
	__u64 pid_tgid = current_ids();
	struct target_state *target = target_of(pid_tgid >> 32);
	__u32 slot = walk_slot(WALK_UPROBE), tid = (__u32)pid_tgid, tgid = pid_tgid >> 32;
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	struct py_task t = {};

	if (!live || !target || !w)
		return 0;
	rt = python_of(tgid, w);
	if (!rt || !rt->off.task_context)
		return 0;
	py_task_settle(slot, tid, MAKER_SELF);
	t.number = number_next();
	t.task = PT_REGS_PARM1(ctx);
	t.coro = py_word(PT_REGS_PARM2(ctx) + rt->off.tuple_items);
	t.code = py_word(t.coro + rt->off.coro_code) & ~3ULL;
	t.created_ns = bpf_ktime_get_ns();
	t.target = target->target;
	t.parent = context_token(slot, w, rt, tgid, PY_LOOK_SEARCH);
	if (bpf_map_update_elem(&m_py_tasks, &tid, &t, BPF_ANY) ||
	    bpf_map_update_elem(&m_py_loops, &tgid, &tid, BPF_ANY))
		drop(DROP_THREAD_TABLE_FULL);
	return 0;
}

SEC("uprobe")
int py_task_begin(struct pt_regs *ctx)
{
	return WHOLE(task_begin(ctx));
}

/* Its work ends here as far as the transfer goes, which comes when other tasks have had their turn. */
static __always_inline void queued_step(const struct target_state *target, __u64 pid_tgid,
					__u32 token)
{
	__u64 now = bpf_ktime_get_ns();
	struct ev_step *ev;

	if (!token || !target_serves(target, now))
		return;
	ev = step_begin(target->target, pid_tgid >> 32, (__u32)pid_tgid, now);
	if (!ev)
		return;
	ev->token = token;
	ev->flags = HP_STEP_QUEUED;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

/* self → its libuv handle, which points back → the descriptor. */
static __always_inline int stream_write(struct pt_regs *ctx)
{
	__u64 pid_tgid = current_ids(), self = PT_REGS_PARM1(ctx), handle;
	__u32 slot = walk_slot(WALK_UPROBE);
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	struct target_state *target = target_of(pid_tgid >> 32);
	struct sock_state *ss;
	struct sock_ref ref;

	if (!live || !w || !target)
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
	py_task_settle(slot, (__u32)pid_tgid, MAKER_SELF);
	ss->token = context_token(slot, w, rt, pid_tgid >> 32, PY_LOOK_SEARCH);
	queued_step(target, pid_tgid, ss->token);
	/* More of it before the send is the same call, or one whose place in the stream is not known. */
	if (ss->role == HP_ROLE_CLIENT && !ss->written) {
		ss->written = 1;
		if (site_written(ss->conn_id, ss->pos[HP_SEND], PT_REGS_PARM2(ctx), ss->target))
			site_take();
	}
	return 0;
}

SEC("uprobe")
int py_write(struct pt_regs *ctx)
{
	return WHOLE(stream_write(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
