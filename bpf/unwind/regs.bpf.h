/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Registers of a user-mode frame, from wherever they lie, into struct uw_walk: of a sample's interrupt,
 * of a task that is in the kernel, of a signal's frame. What differs between processors is here.
 */
#ifndef BPF_UNWIND_REGS_H
#define BPF_UNWIND_REGS_H

#include "lib/arch.bpf.h"
#include "lib/stack.bpf.h"

#if defined(__TARGET_ARCH_x86)

#define USER_CS_32 0x23 /* __USER32_CS: a 32-bit program, whose frames are others */
#define SIGCONTEXT_AT 40 /* uc_mcontext in struct ucontext */
#define SIGCONTEXT_WORDS 17

/* As the kernel saves them and perf hands them out; fixed by ptrace's ABI. */
struct user_regs {
	unsigned long r15, r14, r13, r12, bp, bx;
	unsigned long r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

/* False: they are not those of 64-bit user mode. */
#define regs_put(w, r)                                                                             \
	({                                                                                         \
		unsigned long regs_cs = (r)->cs & 0xffff;                                          \
                                                                                                   \
		(w)->ip = (r)->ip;                                                                 \
		(w)->sp = (r)->sp;                                                                 \
		(w)->bp = (r)->bp;                                                                 \
		(w)->reg[WALK_RAX] = (r)->ax;                                                      \
		(w)->reg[WALK_RDX] = (r)->dx;                                                      \
		(w)->reg[WALK_RCX] = (r)->cx;                                                      \
		(w)->reg[WALK_RBX] = (r)->bx;                                                      \
		(w)->reg[WALK_RSI] = (r)->si;                                                      \
		(w)->reg[WALK_RDI] = (r)->di;                                                      \
		(w)->reg[WALK_RBP] = (r)->bp;                                                      \
		(w)->reg[WALK_RSP] = (r)->sp;                                                      \
		(w)->reg[WALK_R8] = (r)->r8;                                                       \
		(w)->reg[WALK_R9] = (r)->r9;                                                       \
		(w)->reg[WALK_R10] = (r)->r10;                                                     \
		(w)->reg[WALK_R11] = (r)->r11;                                                     \
		(w)->reg[WALK_R12] = (r)->r12;                                                     \
		(w)->reg[WALK_R13] = (r)->r13;                                                     \
		(w)->reg[WALK_R14] = (r)->r14;                                                     \
		(w)->reg[WALK_R15] = (r)->r15;                                                     \
		(regs_cs & 3) == 3 && regs_cs != USER_CS_32;                                       \
	})

/* Of the interrupt: false when it came in the kernel. */
static __always_inline bool regs_of_perf(struct uw_walk *w, void *ctx)
{
	struct user_regs *r = ctx;

	if ((r->cs & 3) != 3)
		return false;
	w->exact = 1;
	return regs_put(w, r);
}

/*
 * What the current task came into the kernel with. It stands behind a system call's instruction, or on the
 * one that an exception or interrupt came at (orig_ax is -1 then).
 */
static __always_inline bool regs_of_task(struct uw_walk *w)
{
	struct user_regs *r = (void *)w->words;
	const void *at;

	_Static_assert(sizeof(*r) <= sizeof(w->words), "registers fit");
	if (cfg_task_pt_regs)
		at = (const void *)bpf_task_pt_regs(bpf_get_current_task_btf());
	else
		at = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(), stack) +
		     THREAD_SIZE - sizeof(*r);
	if (bpf_probe_read_kernel(r, sizeof(*r), at))
		return false;
	w->exact = r->orig_ax == (unsigned long)-1;
	return regs_put(w, r);
}

/* struct sigcontext: r8 … r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip. */
static __always_inline bool regs_of_ucontext(struct uw_walk *w, __u64 ucontext)
{
	__u64 *r = w->words;

	if (bpf_probe_read_user(r, SIGCONTEXT_WORDS * 8, (const void *)(ucontext + SIGCONTEXT_AT)))
		return false;
	w->reg[WALK_R8] = r[0];
	w->reg[WALK_R9] = r[1];
	w->reg[WALK_R10] = r[2];
	w->reg[WALK_R11] = r[3];
	w->reg[WALK_R12] = r[4];
	w->reg[WALK_R13] = r[5];
	w->reg[WALK_R14] = r[6];
	w->reg[WALK_R15] = r[7];
	w->reg[WALK_RDI] = r[8];
	w->reg[WALK_RSI] = r[9];
	w->reg[WALK_RBP] = r[10];
	w->reg[WALK_RBX] = r[11];
	w->reg[WALK_RDX] = r[12];
	w->reg[WALK_RAX] = r[13];
	w->reg[WALK_RCX] = r[14];
	w->reg[WALK_RSP] = r[15];
	w->ip = r[16];
	w->sp = r[15];
	w->bp = r[10];
	w->exact = 1;
	return true;
}

#else
#error "this processor is not supported yet"
#endif

#endif
