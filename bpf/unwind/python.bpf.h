/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Python frames of the current thread, in place of the native frames of the interpreter loop.
 *
 *   thread pointer → PyThreadState (m_py_threads, or a search of the interpreters' lists) → frames
 *
 * The walk of the native stack calls python_frames() for each frame that it finds in the loop. That
 * adds the Python frames which this native frame runs: from 3.11 on one runs a whole chain of Python
 * calls, and a call through C (a key function of sorted(), a generator advanced by a C function) begins
 * the next. A chain ends at the shim (3.12 on), or where the next one begins (3.11; the entry mark in a
 * frame is no help: coroutine.throw() puts frames on top that are run by nobody, marks and all). The
 * target's memory is hostile and changes meanwhile: every loop is bounded, and what is broken is counted.
 *
 * In which native frame a chain ends is told by an address in it: of the _PyCFrame (3.11, 3.12) or of the
 * shim (3.12 on), both of which are on the C stack. So a loop that has just been entered, or is about
 * to return, and runs nothing yet or any more, does not get its caller's frames; and frames that do not
 * end where the next native frame's begin are none.
 */
#ifndef BPF_UNWIND_PYTHON_H
#define BPF_UNWIND_PYTHON_H

#include "lib/arch.bpf.h"
#include "lib/stack.bpf.h"

#define PY_SEARCH_STEPS 16 /* thread states that a function looks at, see LOOP_SLOT */
#define PY_FRAME_STEPS 4
#define PY_CFRAME_BYTES 24 /* in which its fields are */
#define PY_THREAD_MAX 1024 /* a thread state is smaller, where it holds a _PyCFrame */
#define PY_NOWHERE 1 /* where neither a frame nor a _PyCFrame can be */

/* Interpreters; a process says by uw_proc.python which is its own. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PY_RUNTIMES_MAX);
	__type(key, __u32);
	__type(value, struct py_runtime);
} m_py_runtimes __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PY_THREADS_SLOTS);
	__type(key, __u32);
	__type(value, struct py_thread);
} m_py_threads __weak SEC(".maps");

#define PY_BUF_BYTES sizeof(((struct py_walk *)0)->buf)
/* A field in what was read: masks keep it inside for the verifier, user space checked the offset. */
#define py_u64(p, off) (*(__u64 *)((__u8 *)(p)->buf + ((off) & (PY_BUF_BYTES - 8))))
#define py_u32(p, off) (*(__u32 *)((__u8 *)(p)->buf + ((off) & (PY_BUF_BYTES - 4))))
#define py_u8(p, off) (*((__u8 *)(p)->buf + ((off) & (PY_BUF_BYTES - 1))))

/* n bytes of the process into the buffer. */
static __always_inline bool py_read(struct py_walk *p, __u64 at, __u32 n)
{
	/* One test alone: clang makes one of two by another register, which 5.10 cannot follow. */
	barrier_var(n);
	if (n > PY_BUF_BYTES)
		return false;
	return !bpf_probe_read_user(p->buf, n, (const void *)at);
}

static __always_inline __u64 py_word(__u64 at)
{
	__u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (const void *)at);
	return word;
}

static __always_inline struct py_runtime *py_runtime_of(const struct uw_walk *w)
{
	__u32 key = w->proc.python;

	return key ? bpf_map_lookup_elem(&m_py_runtimes, &key) : NULL;
}

static __always_inline struct py_thread *py_slot(__u64 thread, __u32 tgid, __u32 which)
{
	__u64 h = (thread ^ (__u64)tgid << 40) * 0x9e3779b97f4a7c15ULL;
	__u32 key = ((__u32)(h >> 40) ^ which) & (PY_THREADS_SLOTS - 1);

	return bpf_map_lookup_elem(&m_py_threads, &key);
}

static __always_inline void py_remember(__u64 thread, __u32 tgid, __u64 tstate, __u32 head)
{
	struct py_thread *t = py_slot(thread, tgid, 0), *other = py_slot(thread, tgid, 1);

	if (!t || !other)
		return;
	/* The place of its own, unless another thread of a process has it and the second is free. */
	if (t->thread && (t->thread != thread || t->tgid != tgid) &&
	    (!other->thread || (other->thread == thread && other->tgid == tgid)))
		t = other;
	t->thread = thread;
	t->tgid = tgid;
	t->head = head;
	t->tstate = tstate;
}

/* Is it that thread's state, and alive? Those that ended stay in memory, but no list leads to them. */
static __always_inline bool py_alive(struct py_walk *p, const struct py_runtime *rt, __u64 tstate)
{
	__u64 prev;

	if (!py_read(p, tstate, rt->off.ts_bytes) || py_u64(p, rt->off.ts_thread_id) != p->thread)
		return false;
	prev = py_u64(p, rt->off.ts_prev);
	return tstate == py_word(prev ? prev + rt->off.ts_next : p->head + rt->off.interp_threads);
}

static __always_inline __u64 py_known(struct py_walk *p, const struct py_runtime *rt, __u32 tgid)
{
	struct py_thread *t;
	__u64 tstate;
	__u32 i;

	for (i = 0; i < 2; i++) {
		t = py_slot(p->thread, tgid, i);
		if (!t || t->thread != p->thread || t->tgid != tgid || t->head != (__u32)p->head)
			continue;
		tstate = t->tstate;
		if (py_alive(p, rt, tstate))
			return tstate;
	}
	return 0;
}

/* Goes through some thread states, remembering all of them. Not 0: the search is over. */
__weak __noinline int py_search(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	struct py_walk *p;
	__u32 i, tgid;

	if (!w)
		return 1;
	rt = py_runtime_of(w);
	if (!rt)
		return 1;
	p = &w->py;
	tgid = current_ids() >> 32;
	for (i = 0; i < PY_SEARCH_STEPS; i++) {
		__u64 at = p->tstate, id;
		__u32 n;

		if (!at) {
			at = p->interp;
			if (!at)
				return 1;
			p->tstate = py_word(at + rt->off.interp_threads);
			p->interp = py_word(at + rt->off.interp_next);
			if (p->interp)
				p->head = 0;
			continue;
		}
		if (!py_read(p, at, rt->off.ts_bytes))
			return 1;
		id = py_u64(p, rt->off.ts_thread_id);
		p->tstate = py_u64(p, rt->off.ts_next);
		if (p->head)
			py_remember(id, tgid, at, (__u32)p->head);
		if (id != p->thread)
			continue;
		n = *(volatile __u8 *)&p->nstates;
		if (n >= PY_STATES_MAX)
			return 1;
		p->states[n & (PY_STATES_MAX - 1)] = at;
		p->nstates = n + 1;
		if (p->head)
			return 1; /* with one interpreter a thread has one state */
	}
	return 0;
}

/* All thread states of this thread into p->states. search: also when it is not known yet. */
static __always_inline void py_thread_find(__u32 slot, struct uw_walk *w,
					   const struct py_runtime *rt, bool search)
{
	struct py_walk *p = &w->py;
	__u64 known;
	__u32 i;

	p->nstates = 0;
	p->state = 0;
	p->thread = thread_pointer((void *)bpf_get_current_task());
	if (!p->thread)
		return;
	p->head = py_word(rt->runtime + rt->off.rt_interps);
	known = py_known(p, rt, current_ids() >> 32);
	if (known) {
		p->states[0] = known;
		p->nstates = 1;
		return;
	}
	if (!search)
		return;
	p->interp = p->head;
	p->tstate = 0;
	for (i = 0; i < PY_SEARCH_MAX; i += PY_SEARCH_STEPS)
		if (py_search(slot))
			break;
}

/* The next thread state that has frames: a thread in two interpreters has the newer one's inside. */
static __always_inline bool py_state_next(struct py_walk *p, const struct py_runtime *rt)
{
	__u32 i;

	for (i = 0; i < PY_STATES_MAX; i++) {
		__u32 n = *(volatile __u8 *)&p->state;
		__u64 at;

		if (n >= p->nstates)
			return false;
		p->state = n + 1;
		at = py_word(p->states[n & (PY_STATES_MAX - 1)] + rt->off.ts_frame);
		if (rt->off.flags & PY_CFRAME)
			p->cframe = at;
		else
			p->frame = at;
		if (at)
			return true;
	}
	return false;
}

/* The index of the instruction in code units. */
static __always_inline __u32 py_index(const struct py_walk *p, const struct py_runtime *rt,
				      __u64 code)
{
	__u64 at = code + rt->off.code_instrs, instr;
	__s32 lasti;

	if (rt->off.flags & PY_LASTI) {
		lasti = (__s32)py_u32(p, rt->off.f_instr);
		if (lasti < 0)
			return PY_INDEX_NONE;
		return rt->off.flags & PY_LASTI_BYTES ? (__u32)lasti / 2 : (__u32)lasti;
	}
	instr = py_u64(p, rt->off.f_instr);
	/* Not yet begun, or (without the GIL) in a thread's own copy of the code. */
	if (instr < at || instr - at > PY_INDEX_MAX * 2ULL)
		return PY_INDEX_NONE;
	return (__u32)((instr - at) / 2);
}

static __always_inline __u32 py_code_check(struct py_walk *p, const struct py_runtime *rt)
{
	return py_check(py_u32(p, rt->off.code_argcount), py_u32(p, rt->off.code_kwonly),
			py_u32(p, rt->off.code_flags), py_u32(p, rt->off.code_firstline));
}

/* One frame. Not 0: these are all, and p->end says why. */
static __always_inline int py_frame(struct uw_walk *w, const struct py_runtime *rt)
{
	struct py_walk *p = &w->py;
	__u32 flags = rt->off.flags, check, index, n;
	__u64 at = p->frame, code;

	p->end = PY_END_TOP;
	if (!at || at == p->want)
		return 1;
	p->end = PY_END_BROKEN;
	if (!py_read(p, at, rt->off.f_bytes))
		return 1;
	p->frame = py_u64(p, rt->off.f_prev);
	if (flags & PY_SHIM && py_u8(p, rt->off.f_owner) >= rt->off.shim_owner) {
		p->shim = at;
		p->end = PY_END_MARK;
		return 1;
	}
	code = py_u64(p, rt->off.f_code);
	if (flags & PY_TAGGED)
		code &= ~3ULL;
	index = py_index(p, rt, code);
	if (!py_read(p, code, rt->off.code_bytes))
		return 1;
	if (rt->code_type && rt->code_type != py_u64(p, rt->off.ob_type))
		return 1;
	p->type = py_u64(p, rt->off.ob_type);
	check = py_code_check(p, rt);
	n = *(volatile __u32 *)&w->nframes;
	p->end = PY_END_ROOM;
	if (!walk_add_user(w, code, index, HP_FRAME_PYTHON) || n >= STACK_FRAMES)
		return 1;
	w->frames[n].check[0] = check;
	w->frames[n].check[1] = check >> 8;
	w->frames[n].check[2] = check >> 16;
	p->end = PY_END_MARK;
	return flags & PY_ONE_A_LOOP;
}

__weak __noinline int py_some_frames(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	__u32 i;

	if (!w)
		return 1;
	rt = py_runtime_of(w);
	if (!rt)
		return 1;
	for (i = 0; i < PY_FRAME_STEPS; i++)
		if (py_frame(w, rt))
			return 1;
	return 0;
}

/* Is w->pc in the interpreter's loop? Asked only where w->map.flags has UW_MAP_PYTHON. */
static __always_inline bool python_loop(const struct uw_walk *w)
{
	const struct py_runtime *rt = py_runtime_of(w);

	return rt && ((w->pc >= rt->loop[0].start && w->pc < rt->loop[0].end) ||
		      (w->pc >= rt->loop[1].start && w->pc < rt->loop[1].end));
}

static __always_inline bool py_within(__u64 at, __u64 lo, __u64 hi)
{
	return !hi || (at >= lo && at < hi);
}

/*
 * The frame of a _PyCFrame, and the one behind it; PY_NOWHERE where there is none. It is on the stack, and
 * so more often than not in what the native walk has at hand.
 */
static __always_inline void py_cframe(struct uw_walk *w, const struct py_runtime *rt, __u64 at,
				      __u64 *ret_frame, __u64 *ret_prev)
{
	__u64 off = at - w->window_at;
	struct py_walk *p = &w->py;

	*ret_frame = PY_NOWHERE;
	*ret_prev = 0;
	if (w->window_at && off <= UW_WINDOW * 8 - PY_CFRAME_BYTES && !(off & 7)) {
		*ret_frame = w->window[(off + rt->off.cframe_frame) >> 3 & (UW_WINDOW - 1)];
		*ret_prev = w->window[(off + rt->off.cframe_prev) >> 3 & (UW_WINDOW - 1)];
	} else if (at && py_read(p, at, PY_CFRAME_BYTES)) {
		*ret_frame = py_u64(p, rt->off.cframe_frame);
		*ret_prev = py_u64(p, rt->off.cframe_prev);
	}
}

/*
 * The first frame of a native one by its _PyCFrame, and the frame that its own end before. The
 * _PyCFrame is where the chain of them says; where the chain was found broken, or goes on in the
 * thread's state in another interpreter, in the place where it always is. False: this native frame
 * has none, yet or any more.
 */
static __always_inline bool py_enter(struct uw_walk *w, const struct py_runtime *rt, __u64 lo,
				     __u64 hi)
{
	struct py_walk *p = &w->py;
	__u64 at;

	if (!p->cframe && !py_state_next(p, rt))
		return false;
	at = p->cframe;
	if (!py_within(at, lo, hi)) {
		if (p->exact || !rt->mark_down)
			return false;
		at = hi - rt->mark_down;
		p->cframe = at;
	} else if (at == p->prev) {
		p->frame = p->want;
		p->prev = p->want_prev;
		py_cframe(w, rt, p->prev, &p->want, &p->want_prev);
		return true;
	}
	py_cframe(w, rt, at, &p->frame, &p->prev);
	py_cframe(w, rt, p->prev, &p->want, &p->want_prev);
	return true;
}

/* The _PyCFrame of a frame further out: on the C stack, or the outermost one of a thread state. */
static __always_inline bool py_outward(const struct py_walk *p, __u64 hi)
{
	__u32 i;

	for (i = 0; i < PY_STATES_MAX; i++)
		if (i < p->nstates && p->prev - p->states[i] < PY_THREAD_MAX)
			return true;
	return p->prev >= hi;
}

/* Are the n frames just added, of the native frame [lo, hi), what that runs? */
static __always_inline bool py_right(const struct py_walk *p, const struct py_runtime *rt, __u32 n,
				     __u64 lo, __u64 hi)
{
	if (p->end == PY_END_ROOM)
		return true;
	if (p->end == PY_END_BROKEN || (p->shim && !py_within(p->shim, lo, hi)))
		return false;
	if (rt->off.flags & PY_CFRAME)
		return n && p->frame == p->want && py_outward(p, hi);
	return p->end == PY_END_MARK || !(rt->off.flags & PY_SHIM);
}

/* From a native frame that is no longer innermost, so that nothing in it is half done. */
static __always_inline void py_learn(const struct py_walk *p, struct py_runtime *rt, __u64 mark,
				     __u64 hi)
{
	if (rt->mark_down || !hi || !mark || p->exact || p->end == PY_END_ROOM)
		return;
	rt->code_type = p->type;
	rt->mark_down = hi - mark;
}

/*
 * Frames that were none, or not this native frame's. In the few instructions in which the loop makes its
 * _PyCFrame this is in the thread state and says nothing yet (3.11.2: 1 sample in 6,600 of
 * a server at full load); then no frame of it runs. Otherwise frames are missing.
 */
static __always_inline void py_wrong(struct py_walk *p, struct py_runtime *rt, __u64 hi)
{
	__u64 shim;

	if (rt->off.flags & PY_CFRAME) {
		if (p->exact && rt->mark_down) {
			p->cframe = PY_NOWHERE;
			return;
		}
		p->cframe = p->prev;
		rt->mark_down = 0;
		rt->code_type = 0;
	} else if (p->end != PY_END_BROKEN) {
		return;
	} else if (hi && rt->mark_down) {
		shim = hi - rt->mark_down;
		p->frame = 0;
		if (py_read(p, shim, rt->off.f_bytes) &&
		    py_u8(p, rt->off.f_owner) >= rt->off.shim_owner)
			p->frame = py_u64(p, rt->off.f_prev);
	} else {
		p->nstates = 0;
	}
	if (!p->lost)
		drop(DROP_PYTHON_FRAME);
	p->lost = 1;
}

/*
 * Adds the frames of one native frame of the loop, whose part of the C stack is [lo, hi); hi 0: not
 * known. How many; 0: it runs none, so that itself is what there is to show. When there is no more
 * room, w->stop is UW_STOP_DEPTH.
 */
__weak __noinline int python_frames(__u32 slot, __u64 lo, __u64 hi)
{
	struct uw_walk *w = walk_of(slot);
	struct py_runtime *rt;
	__u32 i, nframes, nuser;
	struct py_walk *p;
	bool cframes;
	__u64 frame;

	if (!w)
		return 0;
	rt = py_runtime_of(w);
	if (!rt)
		return 0;
	p = &w->py;
	if (!p->begun) {
		p->begun = 1;
		p->lost = 0;
		p->frame = 0;
		p->cframe = 0;
		p->prev = 0;
		p->want = 0;
		py_thread_find(slot, w, rt, true);
		if (!p->nstates) {
			p->lost = 1;
			drop(DROP_PYTHON_THREAD);
		}
	}
	cframes = rt->off.flags & PY_CFRAME;
	if (!p->nstates || !(cframes ? py_enter(w, rt, lo, hi) : p->frame || py_state_next(p, rt)))
		return 0;
	frame = p->frame;
	nframes = w->nframes;
	nuser = w->nuser;
	p->shim = 0;
	p->end = PY_END_NONE;
	for (i = 0; i <= UW_FRAMES_MAX; i += PY_FRAME_STEPS)
		if (py_some_frames(slot))
			break;
	if (!py_right(p, rt, w->nuser - nuser, lo, hi)) {
		p->frame = frame;
		w->nframes = nframes;
		w->nuser = nuser;
		py_wrong(p, rt, hi);
		return 0;
	}
	if (p->end == PY_END_ROOM)
		w->stop = UW_STOP_DEPTH;
	if (w->nuser > nuser)
		py_learn(p, rt, cframes ? p->cframe : p->shim, hi);
	/* The outermost _PyCFrame is in the thread state, and runs nothing. */
	if (cframes)
		p->cframe = p->want ? p->prev : 0;
	return w->nuser - nuser;
}

#endif
