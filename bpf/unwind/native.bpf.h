/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user stack of the current task by unwind tables (hp/unwind.h), frame by frame:
 *
 *   ip → mapping → page → row → rule → CFA, return address, caller's rbp
 *
 * Input: a slot whose walk has been begun, and registers. Output: frames, and why the walk ended.
 * Each loop calls a function that takes the slot's number alone: the verifier goes through such a
 * function once, whatever is called with, and the calls fit the 512 bytes of stack that older kernels give
 * a whole chain. Weak, because several programs include this and are linked together.
 *
 * The rules are those of DWARF 5, 6.4; the registers those of the System V ABI for AMD64. What a walk
 * cannot know it does not guess: a register that is lost ends it, and so does a caller that is not
 * further out.
 */
#ifndef BPF_UNWIND_NATIVE_H
#define BPF_UNWIND_NATIVE_H

#include "unwind/heap.bpf.h"
#include "unwind/python.bpf.h"
#include "unwind/regs.bpf.h"

#define WALK_JUMPS_MAX 8 /* to other stacks by frame pointer, as Go's runtime does */

static __always_inline __u32 uw_hash(__u64 pc)
{
	return (__u32)((pc * 0x9e3779b97f4a7c15ULL) >> 40) & (UW_KNOWN - 1);
}

/* w->map: the mapping that w->pc is in; 0 = none that is known. */
__weak __noinline int uw_map_find(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	__u32 i;

	if (!w)
		return 0;
	if (w->pc >= w->map.start && w->pc < w->map.end)
		return 1;
	w->lo = w->proc.first;
	w->n = w->proc.n;
	for (i = 0; i < UW_MAPS_STEPS; i++) {
		__u32 n = *(volatile __u32 *)&w->n, half = n / 2;
		__u32 key = *(volatile __u32 *)&w->lo + half;
		const struct uw_map *m;

		if (!n)
			break;
		m = bpf_map_lookup_elem(&m_uw_maps, &key);
		if (!m)
			break;
		if (w->pc < m->start) {
			*(volatile __u32 *)&w->n = half;
		} else if (w->pc >= m->end) {
			*(volatile __u32 *)&w->lo = key + 1;
			*(volatile __u32 *)&w->n = n - half - 1;
		} else {
			w->map = *m;
			return 1;
		}
	}
	return 0;
}

/* The number of w->pc's rule, by the table of w->map. */
__weak __noinline int uw_rule_find(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	const struct uw_page *p;
	__u32 i, key, rule = UW_RULE_NONE;
	__u64 off;
	__u16 at;

	if (!w)
		return UW_RULE_NONE;
	off = w->pc - w->map.bias;
	if (off >> UW_PAGE_SHIFT >= w->map.npages)
		return UW_RULE_NONE;
	at = off & (UW_PAGE_BYTES - 1);
	key = w->map.page + (__u32)(off >> UW_PAGE_SHIFT);
	p = bpf_map_lookup_elem(&m_uw_pages, &key);
	if (!p)
		return UW_RULE_NONE;
	w->lo = p->first;
	w->n = p->n;
	for (i = 0; i < UW_PAGE_STEPS; i++) {
		__u32 n = *(volatile __u32 *)&w->n, half = n / 2;
		__u32 row = *(volatile __u32 *)&w->lo + half;
		const struct uw_leaf *leaf;
		const struct uw_row *r;

		if (!n)
			break;
		key = row / UW_LEAF_ROWS;
		leaf = bpf_map_lookup_elem(&m_uw_leaves, &key);
		if (!leaf)
			break;
		r = &leaf->rows[row % UW_LEAF_ROWS];
		if (r->at <= at) {
			rule = r->rule;
			*(volatile __u32 *)&w->lo = row + 1;
			*(volatile __u32 *)&w->n = n - half - 1;
		} else {
			*(volatile __u32 *)&w->n = half;
		}
	}
	return rule;
}

/* w->at: of w->pc, from the maps. 0: it is in no mapping that is known. */
__weak __noinline int uw_look_up(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);

	if (!w || !uw_map_find(slot))
		return 0;
	w->at.pc = w->pc;
	w->at.epoch = w->proc.epoch;
	w->at.kind = w->map.kind;
	w->at.rule = w->map.kind == UW_MAP_TABLE ? uw_rule_find(slot)
						 : (__u8)w->map.word | (__u16)w->map.through << 8;
	w->at.python = w->map.flags & UW_MAP_PYTHON && python_loop(w);
	w->known[uw_hash(w->pc)] = w->at;
	return 1;
}

/* The same, from what was found before where that is possible. */
static __always_inline bool uw_find(__u32 slot, struct uw_walk *w)
{
	const struct uw_known *k = &w->known[uw_hash(w->pc)];

	if (k->pc != w->pc || k->epoch != w->proc.epoch || !k->epoch)
		return uw_look_up(slot);
	w->at = *k;
	return true;
}

/* w->two: two words of the stack, the second 0 where it is no memory. Not 0: neither is any. */
__weak __noinline int uw_read(__u32 slot, __u64 at)
{
	struct uw_walk *w = walk_of(slot);
	__u64 off, from;

	if (!w)
		return 1;
	off = at - w->window_at;
	if (!w->window_at || off > (UW_WINDOW - 2) * 8 || off & 7) {
		from = at - UW_WINDOW_BELOW;
		off = UW_WINDOW_BELOW;
		w->window_at = from;
		if (bpf_probe_read_user(w->window, sizeof(w->window), (const void *)from)) {
			w->window_at = 0;
			w->two[1] = 0;
			return bpf_probe_read_user(w->two, 16, (const void *)at) &&
			       bpf_probe_read_user(w->two, 8, (const void *)at);
		}
	}
	w->two[0] = w->window[off >> 3 & (UW_WINDOW - 1)];
	w->two[1] = w->window[((off >> 3) + 1) & (UW_WINDOW - 1)];
	return 0;
}

/* Everything from the ucontext that the kernel laid down for a signal's handler. */
__weak __noinline int uw_signal(__u32 slot, __u64 ucontext)
{
	struct uw_walk *w = walk_of(slot);

	if (!w)
		return UW_STOP_READ;
	if (!regs_of_ucontext(w, ucontext))
		return UW_STOP_READ;
	w->regs = 1;
	w->bp_lost = 0;
	return UW_STOP_NONE;
}

/* V8's pointers to objects in its heap. */
static __always_inline bool is_tagged(__u64 word)
{
	return (word & 3) == 1;
}

/* What the frame runs, behind its own entry. Not 0: no room is left. */
__weak __noinline int uw_method(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	__u32 extra = 0;
	__u64 word;

	if (!w)
		return 1;
	if (w->own.extra && !uw_read(slot, w->bp + w->own.extra))
		extra = (__u32)w->two[0];
	if (uw_read(slot, w->bp + w->own.word))
		return 0;
	word = w->two[0];
	if (w->own.through) {
		const void *at = (const void *)((word & ~7ULL) + 8 * w->own.through);

		/* Frames of other code have a number where these have their context. */
		if (!is_tagged(word) || !is_tagged(w->two[1]) ||
		    bpf_probe_read_user(w->two, 8, at) || !is_tagged(w->two[0]))
			return 0;
		word = w->two[0];
	}
	return !walk_add_user(w, word, extra, HP_FRAME_METHOD);
}

/* The caller's stack pointer where the frame has kept it: w->bp + 16, or further out. */
__weak __noinline int uw_sender(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);

	if (!w)
		return 0;
	if (!uw_read(slot, w->bp + w->own.sp) && w->two[0] > w->sp)
		w->sp = w->two[0];
	return 0;
}

/* The caller's state, by frame pointer. */
static __always_inline enum uw_stop step_fp(__u32 slot, struct uw_walk *w)
{
	__u64 bp, ip;

	if (w->bp_lost)
		return UW_STOP_REGISTER;
	if (!w->bp || uw_read(slot, w->bp))
		return UW_STOP_FP;
	if (w->bp + 16 <= w->sp && w->jumps++ >= WALK_JUMPS_MAX)
		return UW_STOP_STUCK;
	bp = w->two[0];
	ip = w->two[1];
	if (w->own.word && uw_method(slot))
		return UW_STOP_DEPTH;
	w->sp = w->bp + 16;
	if (w->own.sp)
		uw_sender(slot);
	w->bp = bp;
	w->ip = ip;
	return UW_STOP_NONE;
}

/* The caller's state, by what generated code says of itself. */
__weak __noinline int uw_heap(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	const struct uw_rule *r;
	bool saved = false;
	__u32 key, bytes;

	if (!w || !uw_map_find(slot))
		return UW_STOP_NO_MAPPING;
	key = w->at.rule;
	r = bpf_map_lookup_elem(&m_uw_rules, &key);
	bytes = r ? heap_bytes(w, r, &saved) : 0;
	if (!bytes)
		return UW_STOP_NO_ROW;
	if (uw_read(slot, w->sp + bytes - 16))
		return UW_STOP_READ;
	w->sp += bytes;
	w->ip = w->two[1];
	if (saved) {
		w->bp = w->two[0];
		w->bp_lost = 0;
	}
	return UW_STOP_NONE;
}

/* Why the frame's CFA cannot be said, or UW_STOP_NONE and *ret. */
static __always_inline enum uw_stop rule_cfa(__u32 slot, const struct uw_walk *w,
					     const struct uw_rule *r, __u64 *ret)
{
	__u64 base = w->sp;

	switch (r->cfa) {
	case UW_CFA_PLT:
		*ret = base + 8 + ((w->pc & 15) >= (__u64)r->cfa_off ? 8 : 0);
		return UW_STOP_NONE;
	case UW_CFA_REG:
		if (!w->regs || r->reg >= WALK_REGS)
			return UW_STOP_REGISTER;
		*ret = w->reg[r->reg & (WALK_REGS - 1)] + r->cfa_off;
		return UW_STOP_NONE;
	case UW_CFA_CLONE:
		if (!w->regs)
			return UW_STOP_REGISTER;
		if (!w->reg[WALK_RAX])
			return UW_STOP_END;
		break;
	case UW_CFA_RBP:
	case UW_CFA_RBP_DEREF:
		if (w->bp_lost)
			return UW_STOP_REGISTER;
		base = w->bp;
		break;
	}
	base += r->cfa_off;
	if (r->cfa == UW_CFA_RSP_DEREF || r->cfa == UW_CFA_RBP_DEREF) {
		if (uw_read(slot, base))
			return UW_STOP_READ;
		base = w->two[0] + r->cfa_add;
	}
	*ret = base;
	return UW_STOP_NONE;
}

/* The caller's rbp, when it is not the word below the return address. */
static __always_inline enum uw_stop rule_rbp(__u32 slot, struct uw_walk *w, const struct uw_rule *r,
					     __u64 cfa)
{
	__u64 at = cfa;

	switch (r->rbp) {
	case UW_RBP_SAME:
		return UW_STOP_NONE;
	case UW_RBP_CFA:
		break;
	case UW_RBP_RBP:
		if (w->bp_lost)
			return UW_STOP_NONE;
		at = w->bp;
		break;
	default:
		w->bp_lost = 1;
		return UW_STOP_NONE;
	}
	if (uw_read(slot, at + r->rbp_off))
		return UW_STOP_READ;
	w->bp = w->two[0];
	w->bp_lost = 0;
	return UW_STOP_NONE;
}

static __always_inline enum uw_stop step_rule(__u32 slot, struct uw_walk *w,
					      const struct uw_rule *r)
{
	__u64 cfa = 0, ra;
	enum uw_stop stop = rule_cfa(slot, w, r, &cfa);

	if (stop)
		return stop;
	if (r->ra == UW_RA_REG) {
		if (!w->regs || r->reg >= WALK_REGS)
			return UW_STOP_REGISTER;
		if (cfa < w->sp)
			return UW_STOP_STUCK;
		ra = w->reg[r->reg & (WALK_REGS - 1)];
		stop = rule_rbp(slot, w, r, cfa);
	} else if (cfa <= w->sp) {
		return UW_STOP_STUCK;
	} else if (r->rbp == UW_RBP_CFA && r->rbp_off == -16) {
		/* The most frequent of all: one read instead of two. */
		if (uw_read(slot, cfa - 16))
			return UW_STOP_READ;
		w->bp = w->two[0];
		ra = w->two[1];
		w->bp_lost = 0;
	} else {
		if (uw_read(slot, cfa - 8))
			return UW_STOP_READ;
		ra = w->two[0];
		stop = rule_rbp(slot, w, r, cfa);
	}
	w->sp = cfa;
	w->ip = ra;
	return stop;
}

/* To the caller of the frame in w, by w->at. */
static __always_inline enum uw_stop step_out(__u32 slot, struct uw_walk *w)
{
	const struct uw_rule *r;
	enum uw_stop stop;
	__u32 key;

	if (w->at.kind != UW_MAP_TABLE) {
		if (w->at.kind == UW_MAP_PENDING)
			w->pending = 1;
		w->own.word = (__s8)w->at.rule * 8;
		w->own.through = w->at.rule >> 8;
		w->own.extra = 0;
		w->own.sp = 0;
		stop = step_fp(slot, w);
	} else {
		key = w->at.rule;
		r = bpf_map_lookup_elem(&m_uw_rules, &key);
		if (!r)
			return UW_STOP_NO_ROW;
		switch (r->cfa) {
		case UW_CFA_NONE:
			return UW_STOP_NO_ROW;
		case UW_CFA_END:
			return UW_STOP_END;
		case UW_CFA_SIGNAL:
			return uw_signal(slot, w->sp + r->cfa_off);
		case UW_CFA_FP_END:
		case UW_CFA_FP:
			if (r->cfa == UW_CFA_FP_END && !w->bp_lost && !w->bp)
				return UW_STOP_END;
			w->own.word = r->cfa_off;
			w->own.through = r->reg;
			w->own.extra = r->rbp_off;
			w->own.sp = r->cfa_add;
			stop = step_fp(slot, w);
			break;
		case UW_CFA_HEAP:
			stop = uw_heap(slot);
			break;
		default:
			stop = step_rule(slot, w, r);
		}
	}
	w->exact = 0;
	w->regs = 0;
	return stop;
}

/*
 * In place of a frame of the interpreter's loop: the frames of what it runs. After the step to its
 * caller, which tells how far the frame reaches on the C stack.
 */
static __always_inline void step_python(__u32 slot, struct uw_walk *w, __u64 ip, __u32 extra,
					__u64 sp)
{
	__u64 end = w->stop ? 0 : w->sp;

	w->py.exact = extra & HP_FRAME_EXACT;
	if (!python_frames(slot, sp, end) && w->stop != UW_STOP_DEPTH &&
	    !walk_add_user(w, ip, extra, HP_FRAME_NATIVE))
		w->stop = UW_STOP_DEPTH;
}

/* One frame. Not 0: the walk is over. */
__weak __noinline int uw_step(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	bool known, python;
	__u64 ip, sp;
	__u32 extra;

	if (!w)
		return 1;
	ip = w->ip;
	sp = w->sp;
	extra = w->exact ? HP_FRAME_EXACT : 0;
	w->pc = w->exact ? ip : ip - 1;
	known = uw_find(slot, w);
	python = known && w->at.python;
	if (!python && !walk_add_user(w, ip, extra, HP_FRAME_NATIVE))
		w->stop = UW_STOP_DEPTH;
	else if (!known)
		w->stop = UW_STOP_NO_MAPPING;
	else
		w->stop = step_out(slot, w);
	if (python)
		step_python(slot, w, ip, extra, sp);
	return w->stop;
}

/* The frames of the process, with the registers in w. */
__weak __noinline int user_stack(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	__u32 i;

	if (!w)
		return 0;
	w->map.start = 0;
	w->map.end = 0;
	w->window_at = 0;
	w->bp_lost = 0;
	w->pending = 0;
	w->jumps = 0;
	w->regs = 1;
	for (i = 0; i <= UW_FRAMES_MAX; i++)
		if (uw_step(slot))
			break;
	if (w->pending && w->stop != UW_STOP_DEPTH)
		w->stop = UW_STOP_PENDING;
	if (w->py.begun && w->py.lost && w->stop == UW_STOP_END)
		w->stop = UW_STOP_PYTHON;
	return 0;
}

/* Is there anything to walk by? */
static __always_inline bool walk_process(struct uw_walk *w, __u32 tgid)
{
	const struct uw_proc *proc = bpf_map_lookup_elem(&m_uw_procs, &tgid);

	if (!proc)
		return false;
	w->proc = *proc;
	w->unwind =
		HP_UNWIND_TABLES; /* also of a task that is ending, and has no user part any more */
	return true;
}

/* With a sample's registers. False: the task has no user mode. */
static __always_inline bool walk_sampled(struct uw_walk *w, void *ctx)
{
	struct task_struct *task = (void *)bpf_get_current_task();

	return regs_of_perf(w, ctx) || (BPF_CORE_READ(task, mm) && regs_of_task(w));
}

#endif
