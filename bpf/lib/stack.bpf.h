/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A stack under construction, and the maps that walking it takes. Each use of the walk has a slot of its
 * own on every CPU: a sample's interrupt may come in the middle of another program's walk.
 *
 *   w = walk_of(slot) … walk_begin(w), walk_kernel(w, ctx), then user_stack(slot) of unwind/native.bpf.h
 *   → frames[0 … nframes), stop, unwind
 *
 * A record is put right in front of the frames (walk_record), so that it goes out in one piece.
 */
#ifndef BPF_STACK_H
#define BPF_STACK_H

#include "lib/maps.bpf.h"
#include "lib/token.bpf.h"
#include "hp/python.h"

#define STACK_FRAMES (HP_STACK_MAX + UW_ENTRIES_MAX)
#define STACK_HEAD 160 /* bytes of the largest record in front of frames */

/* Numbers of registers as DWARF has them (System V ABI, AMD64 supplement, figure 3.36). */
enum walk_reg {
	WALK_RAX,
	WALK_RDX,
	WALK_RCX,
	WALK_RBX,
	WALK_RSI,
	WALK_RDI,
	WALK_RBP,
	WALK_RSP,
	WALK_R8,
	WALK_R9,
	WALK_R10,
	WALK_R11,
	WALK_R12,
	WALK_R13,
	WALK_R14,
	WALK_R15,
	WALK_REGS,
};

/*
 * What was found for an address: consecutive samples go through the same calls. It holds as long as the
 * process's row has that epoch, which no other row has or had.
 */
struct uw_known {
	__u64 pc;
	__u32 epoch; /* 0 = nothing */
	__u16 rule; /* with a table; else the mapping's `word`, and `through` in the upper half */
	__u8 kind; /* enum uw_map_kind */
	__u8 python; /* in the interpreter's loop */
};

#define UW_KNOWN 512

/* What an interpreter's frame says of itself, from its frame pointer: see UW_CFA_FP. */
struct uw_own {
	__s32 word;
	__s32 extra;
	__s32 sp;
	__u32 through;
};

/*
 * The part of the C stack that the walk is in, read in one piece: a read costs 75 ns and more, however
 * little it brings. It begins some way below what was asked for, where more of the same frame is saved.
 */
#define UW_WINDOW 128 /* words */
#define UW_WINDOW_BELOW 192 /* bytes */

struct uw_walk {
	__u64 ip; /* of the frame under way, */
	__u64 sp; /* with its stack pointer */
	__u64 bp; /* and frame pointer register */
	__u64 pc; /* what is looked up: ip, or the call before it */
	__u64 reg[WALK_REGS]; /* valid while `regs` is */
	struct uw_proc proc;
	struct py_walk py;
	struct uw_map map; /* the one found last; consecutive frames are often in the same */
	struct uw_known at; /* of pc */
	__u64 two[2]; /* words of the stack */
	struct uw_own own; /* of the frame under way, while the step to its caller is made */
	__u64 window_at; /* 0 = nowhere */
	__u32 lo; /* of the search under way: in map memory, so that the verifier does not */
	__u32 n; /* follow every way through it */
	__u32 nframes; /* all so far, kernel ones first */
	__u32 nuser; /* of these, of the process */
	__u8 unwind; /* enum hp_unwind */
	__u8 stop; /* enum uw_stop */
	__u8 exact; /* ip is where the thread stood, not a return address */
	__u8 regs; /* reg[] holds this frame's registers */
	__u8 bp_lost;
	__u8 pending; /* went through a mapping whose table is not there yet */
	__u8 jumps; /* to another stack */
	__u8 pad0;
	__u8 head[STACK_HEAD];
	struct ev_frame frames[STACK_FRAMES + 1];
	__u64 words[HP_STACK_MAX + 1]; /* what helpers fill in */
	struct uw_known known[UW_KNOWN]; /* by a hash of pc */
	__u64 window[UW_WINDOW];
};

/* WALK_USES a CPU, set before load: use * cfg_ncpus + cpu. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct uw_walk);
} m_walks __weak SEC(".maps");

/*
 * Tables of all files, processes and their mappings: written by user/load/unwinder.c, which gives ranges
 * that were in use to nobody before a second has passed, so no walk sees one change.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, UW_RULES_MAX);
	__type(key, __u32);
	__type(value, struct uw_rule);
} m_uw_rules __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct uw_leaf);
} m_uw_leaves __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct uw_page);
} m_uw_pages __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct uw_map);
} m_uw_maps __weak SEC(".maps");

static __always_inline __u32 walk_slot(enum walk_use use)
{
	return use * cfg_ncpus + bpf_get_smp_processor_id();
}

static __always_inline struct uw_walk *walk_of(__u32 slot)
{
	return bpf_map_lookup_elem(&m_walks, &slot);
}

/* Room for a record of `type` whose variable part are the frames. */
#define walk_record(w, type) ((type *)((w)->head + STACK_HEAD - sizeof(type)))
/* The whole record's size, 0 = never: for the verifier, which must see the bound. */
#define walk_record_size(w, type)                                                                  \
	({                                                                                         \
		__u32 walk_n = (w)->nframes;                                                       \
                                                                                                   \
		walk_n <= STACK_FRAMES ? sizeof(type) + walk_n * sizeof(struct ev_frame) : 0;      \
	})

static __always_inline void walk_begin(struct uw_walk *w)
{
	w->nframes = 0;
	w->nuser = 0;
	w->py.begun = 0;
	w->window_at = 0;
	w->unwind = HP_UNWIND_FP;
	w->stop = UW_STOP_NONE;
}

/* False: no room is left. */
static __always_inline bool walk_add(struct uw_walk *w, __u64 addr, __u32 extra, __u8 kind)
{
	__u32 n = *(volatile __u32 *)&w->nframes;
	struct ev_frame *f;

	if (n >= STACK_FRAMES)
		return false;
	f = &w->frames[n];
	f->addr = addr;
	f->extra = extra;
	f->kind = kind;
	f->check[0] = 0;
	f->check[1] = 0;
	f->check[2] = 0;
	*(volatile __u32 *)&w->nframes = n + 1;
	return true;
}

/* As it is. False: no room is left. */
static __always_inline bool walk_add_frame(struct uw_walk *w, const struct ev_frame *f)
{
	__u32 n = *(volatile __u32 *)&w->nframes;

	if (n >= STACK_FRAMES)
		return false;
	w->frames[n] = *f;
	*(volatile __u32 *)&w->nframes = n + 1;
	return true;
}

/* A frame of the process, or what the last one runs. False: the walk is deep enough. */
static __always_inline bool walk_add_user(struct uw_walk *w, __u64 addr, __u32 extra, __u8 kind)
{
	__u32 n = *(volatile __u32 *)&w->nuser;

	if (kind == HP_FRAME_METHOD)
		return walk_add(w, addr, extra, kind);
	if (n >= UW_FRAMES_MAX || !walk_add(w, addr, extra, kind))
		return false;
	*(volatile __u32 *)&w->nuser = n + 1;
	return true;
}

/* What bpf_get_stack() wrote to w->words. */
static __always_inline void walk_add_words(struct uw_walk *w, long bytes, __u8 kind)
{
	__u32 i, count = bytes > 0 ? (__u32)bytes / 8 : 0;

	for (i = 0; i < HP_STACK_MAX; i++) {
		if (i >= count || !walk_add(w, w->words[i], 0, kind))
			break;
	}
}

#endif
