/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The step out of code that HotSpot has generated since its table was made (UW_CFA_HEAP): the virtual machine
 * keeps beside each piece how large its frame is, and that is all that a return address needs.
 *
 *   address → segment → the piece's first segment → words of its frame → caller
 *
 * Where the thread itself stands the frame may be half made or half gone: then the instructions there are
 * looked at, which are always the same few (user/unwind/jvmrows.c has all of them; what is not here is rare,
 * and known after the next look). Of stubs, which have no size of a frame, nothing is known.
 */
#ifndef BPF_UNWIND_HEAP_H
#define BPF_UNWIND_HEAP_H

#include "lib/stack.bpf.h"

enum heap_frame {
	HEAP_WHOLE,
	HEAP_ENTRY, /* none: the return address is at rsp */
	HEAP_PUSHED, /* and the caller's rbp above it */
	HEAP_MOVED, /* rsp has been moved, rbp is the caller's */
};

/* What of its frame a method has made, by the instruction that it is at, before the frame is complete. */
static __always_inline enum heap_frame heap_prologue(__u64 code, __u32 bytes)
{
	__u32 moves = (__u32)(code >> 24);

	if ((code & 0xfffdff) == 0xec8148) { /* sub $n,%rsp: one byte or four */
		if (code & 0x200)
			moves = (__u8)moves;
		return moves + 16 == bytes ? HEAP_PUSHED : HEAP_ENTRY;
	}
	switch (code & 0xffffff) {
	case 0xec8b48: /* mov %rsp,%rbp */
		return HEAP_PUSHED;
	case 0x2c8948: /* mov %rbp,n(%rsp) */
	case 0x6c8948:
	case 0xac8948:
		return HEAP_MOVED;
	}
	return HEAP_ENTRY;
}

/* And what is left of it, later on. before: the bytes in front of the instruction. */
static __always_inline enum heap_frame heap_epilogue(__u64 code, __u64 before)
{
	__u32 polls = code & 0xffffff;

	if ((__u8)code == 0x5d) /* pop %rbp */
		return HEAP_PUSHED;
	/* ret; vzeroupper, ret; cmp n(%r15),%rsp: only looks for a safepoint compare that. */
	if ((__u8)code == 0xc3 || (__u32)code == 0xc377f8c5 || polls == 0x673b49 ||
	    polls == 0xa73b49)
		return HEAP_ENTRY;
	/* ja behind it */
	if ((code & 0xffff) == 0x870f &&
	    ((before >> 32 & 0xffffff) == 0x673b49 || (before >> 8 & 0xffffff) == 0xa73b49))
		return HEAP_ENTRY;
	return HEAP_WHOLE;
}

/* The piece that w->pc is in: w->n is its first segment. False: there is none. */
static __always_inline bool heap_piece(struct uw_walk *w, const struct uw_heap *h, __u32 shift)
{
	__u64 map = h->segments[0] | (__u64)h->segments[1] << 32;
	__u32 i, at;
	__u8 back;

	w->n = (__u32)((w->pc - w->map.bias) >> shift);
	for (i = 0; i < UW_HEAP_HOPS; i++) {
		at = *(volatile __u32 *)&w->n;
		if (bpf_probe_read_user(&back, 1, (const void *)(map + at)))
			return false;
		if (!back)
			return true;
		if (back == UW_HEAP_FREE || back > at)
			return false;
		*(volatile __u32 *)&w->n = at - back;
	}
	return false;
}

/* As heap_prologue() and heap_epilogue() say, by what is at w->pc. */
static __always_inline enum heap_frame heap_now(struct uw_walk *w, __u64 code, __u32 complete,
						__u32 bytes)
{
	if (!w->exact || bpf_probe_read_user(w->two, 16, (const void *)(w->pc - 8)))
		return HEAP_WHOLE;
	return w->pc - code < complete ? heap_prologue(w->two[1], bytes)
				       : heap_epilogue(w->two[1], w->two[0]);
}

/* How far the caller's stack pointer is, from w->sp: 0 = not known. *ret_saved: its rbp is in the frame. */
static __always_inline __u32 heap_bytes(struct uw_walk *w, const struct uw_rule *r, bool *ret_saved)
{
	const struct uw_heap *h = (const void *)&r->cfa_off;
	__u32 shift = r->reg & 31, words, complete;
	enum heap_frame frame;
	__u64 at, code;

	if (!heap_piece(w, h, shift))
		return 0;
	at = w->map.bias + ((__u64)w->n << shift) + 8 * h->block;
	if (bpf_probe_read_user(&words, 4, (const void *)(at + 4 * h->frame)) ||
	    bpf_probe_read_user(&complete, 4, (const void *)(at + 4 * h->complete)) ||
	    bpf_probe_read_user(&code, 8, (const void *)(at + 8 * h->code)))
		return 0;
	if (words < 2 || words > UW_HEAP_FRAME_MAX || w->pc < code)
		return 0;
	frame = heap_now(w, code, complete, 8 * words);
	*ret_saved = frame == HEAP_WHOLE || frame == HEAP_PUSHED;
	if (frame == HEAP_ENTRY)
		return 8;
	return frame == HEAP_PUSHED ? 16 : 8 * words;
}

#endif
