/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What differs between processors. The registers come typed from BTF, so reads are plain loads. */
#ifndef BPF_ARCH_H
#define BPF_ARCH_H

#include "lib/hp.bpf.h"

struct sys_args {
	__u64 a0, a1, a2, a3;
};

#if defined(__TARGET_ARCH_x86)

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

#else
#error "this processor is not supported yet"
#endif

#endif
