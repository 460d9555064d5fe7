/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The user part of a stack, for every program that takes one: by unwind tables, or by frame pointers for a
 * process that has none yet.
 */
#ifndef BPF_UNWIND_USER_H
#define BPF_UNWIND_USER_H

#include "unwind/native.bpf.h"

/* By frame pointers, as the kernel does it: for a process that has no tables yet. */
static __always_inline void walk_fp(struct uw_walk *w, void *ctx)
{
	long u = bpf_get_stack(ctx, w->words, HP_STACK_MAX * 8, BPF_F_USER_STACK);

	walk_add_words(w, u, HP_FRAME_NATIVE);
	if (u < 0)
		drop(DROP_STACK_FAULT);
	if (u == HP_STACK_MAX * 8)
		w->stop = UW_STOP_DEPTH;
}

/*
 * The frames of the current task's process, behind those of the kernel. sampled: ctx has the registers of a
 * perf event; else it is where the task came into the kernel. A constant.
 */
static __always_inline void walk_user(struct uw_walk *w, __u32 slot, void *ctx, __u32 tgid,
				      bool sampled)
{
	if (walk_process(w, tgid)) {
		if (sampled ? walk_sampled(w, ctx) : regs_of_task(w))
			user_stack(slot);
		return;
	}
	walk_fp(w, ctx);
}

#endif
