/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between processors. The registers come typed from BTF, so reads are plain loads. */
#ifndef BPF_ARCH_H
#define BPF_ARCH_H

#include "lib/hp.bpf.h"

struct sys_args {
	__u64 a0, a1, a2, a3;
};

#if defined(__TARGET_ARCH_x86)

#define THREAD_SIZE 16384 /* of a kernel stack */

/* All argument registers but rax survive until system call exit. */
static __always_inline void sys_args_read(struct pt_regs *regs, struct sys_args *ret)
{
	ret->a0 = regs->di;
	ret->a1 = regs->si;
	ret->a2 = regs->dx;
	ret->a3 = regs->r10;
}

static __always_inline long sys_nr(struct pt_regs *regs)
{
	return (long)regs->orig_ax;
}

/*
 * The same of the current task, by hand: before bpf_task_pt_regs (5.15) nothing stands between the saved
 * registers and the end of the kernel stack. False when they are not those of call nr.
 */
static __always_inline bool sys_args_find(long nr, struct sys_args *ret)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct pt_regs *regs =
		BPF_CORE_READ(task, stack) + THREAD_SIZE - bpf_core_type_size(struct pt_regs);

	if (nr != (long)BPF_CORE_READ(regs, orig_ax))
		return false;
	ret->a0 = BPF_CORE_READ(regs, di);
	ret->a1 = BPF_CORE_READ(regs, si);
	ret->a2 = BPF_CORE_READ(regs, dx);
	ret->a3 = BPF_CORE_READ(regs, r10);
	return true;
}

/* What distinguishes the threads of a process in user space: pthread_self() of glibc and musl. */
static __always_inline __u64 thread_pointer(struct task_struct *task)
{
	return BPF_CORE_READ(task, thread.fsbase);
}

#else
#error "this processor is not supported yet"
#endif

#endif
