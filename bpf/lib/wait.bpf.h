/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a thread that leaves its processor waits for. Input: its task, whose saved registers still are
 * those of the system call it is in. Output: enum hp_wait, from the call, the kind of file that the
 * call is about, and how the thread sleeps. Not from the call alone: read() waits for a socket, a
 * pipe, a disk or a timer, and a page fault is no call.
 *
 * All of it is read, nothing kept: a descriptor may be another file the next time.
 */
#ifndef BPF_WAIT_H
#define BPF_WAIT_H

#include "lib/arch.bpf.h"
#include "lib/fixes.bpf.h"
#include "lib/maps.bpf.h"
#include "lib/waitcalls.bpf.h"

#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_STOPPED_OR_TRACED 0xc
#define TASK_DEAD 0x80
#define PF_EXITING 0x4
#define S_IFMT 0170000
#define S_IFSOCK 0140000
#define S_IFREG 0100000
#define S_IFBLK 0060000
#define S_IFDIR 0040000
#define S_IFIFO 0010000
#define ANON_INODE_FS_MAGIC 0x09041934
#define F_SETLKW 7
#define F_OFD_SETLKW 38

extern const volatile bool cfg_task_pt_regs;

/* The system call that a task is in; nr < 0: none. */
struct wait_call {
	long nr;
	__u64 a0, a1;
};

/* typed: the verifier knows that task is one. */
static __always_inline void wait_call_of(struct task_struct *task, bool typed,
					 struct wait_call *ret)
{
	struct pt_regs *regs;

	if (typed && cfg_task_pt_regs) {
		regs = (struct pt_regs *)bpf_task_pt_regs(task);
		ret->nr = (int)regs->orig_ax;
		ret->a0 = regs->di;
		ret->a1 = regs->si;
		return;
	}
	regs = BPF_CORE_READ(task, stack) + THREAD_SIZE - bpf_core_type_size(struct pt_regs);
	ret->nr = (int)BPF_CORE_READ(regs, orig_ax);
	ret->a0 = BPF_CORE_READ(regs, di);
	ret->a1 = BPF_CORE_READ(regs, si);
}

/* What waits for connections waits for work, by accept() or by poll() before it. */
static __always_inline __u32 reason_of_socket(struct file *file)
{
	struct socket *sock = BPF_CORE_READ(file, private_data);

	return BPF_CORE_READ(sock, sk, __sk_common.skc_state) == TCP_LISTEN ? HP_WAIT_IDLE
									    : HP_WAIT_SOCKET;
}

static __always_inline __u32 reason_of_fd(struct task_struct *task, __u64 fd)
{
	struct fdtable *fdt = BPF_CORE_READ(task, files, fdt);
	struct file **fds, *file = NULL;
	struct inode *inode;

	if (fd >= NFDBITS_MAX || fd >= BPF_CORE_READ(fdt, max_fds))
		return HP_WAIT_OTHER;
	fds = BPF_CORE_READ(fdt, fd);
	bpf_probe_read_kernel(&file, sizeof(file), fds + fd);
	inode = BPF_CORE_READ(file, f_inode);
	switch (BPF_CORE_READ(inode, i_mode) & S_IFMT) {
	case S_IFSOCK:
		return reason_of_socket(file);
	case S_IFIFO:
		return HP_WAIT_PIPE;
	case S_IFREG:
		/* Since 6.16 eventfd and the like say that they are regular files. */
		if (BPF_CORE_READ(inode, i_sb, s_magic) == ANON_INODE_FS_MAGIC)
			return HP_WAIT_EVENT;
		return HP_WAIT_DISK;
	case S_IFDIR:
	case S_IFBLK:
		return HP_WAIT_DISK;
	case 0:
		return inode ? HP_WAIT_EVENT : HP_WAIT_OTHER;
	default:
		return HP_WAIT_OTHER;
	}
}

/* poll() of a single descriptor is a blocking call on it. Only the current task's memory is there. */
static __always_inline __u32 reason_of_poll(struct task_struct *task, const struct wait_call *call,
					    bool current)
{
	__u32 fd = 0;

	if (!current || call->a1 != 1 ||
	    bpf_probe_read_user(&fd, sizeof(fd), (const void *)call->a0))
		return HP_WAIT_POLL;
	return reason_of_fd(task, fd);
}

static __always_inline __u32 reason_of_call(struct task_struct *task, const struct wait_call *call,
					    bool current)
{
	__u8 class;

	if (call->nr >= WAIT_CALLS)
		return HP_WAIT_OTHER;
	class = wait_calls[call->nr & (WAIT_CALLS - 1)];
	switch (class) {
	case CALL_FD0:
		return reason_of_fd(task, call->a0);
	case CALL_FD1:
		return reason_of_fd(task, call->a1);
	case CALL_POLL:
		return reason_of_poll(task, call, current);
	case CALL_FCNTL:
		return call->a1 == F_SETLKW || call->a1 == F_OFD_SETLKW ? HP_WAIT_LOCK
									: HP_WAIT_OTHER;
	case 0:
		return HP_WAIT_OTHER;
	default:
		return class;
	}
}

static __always_inline __u32 wait_reason(struct task_struct *task, const struct wait_call *call,
					 __u32 state, bool current)
{
	__u32 reason;

	if (state & TASK_STOPPED_OR_TRACED)
		return HP_WAIT_STOPPED;
	if (call->nr < 0)
		return state & TASK_UNINTERRUPTIBLE ? HP_WAIT_FAULT : HP_WAIT_OTHER;
	reason = reason_of_call(task, call, current);
	/* A ring's waits count as waits for a disk, too, whatever it does. */
	if (state & TASK_UNINTERRUPTIBLE && reason != HP_WAIT_RING &&
	    BPF_CORE_READ_BITFIELD_PROBED(task, in_iowait))
		return HP_WAIT_DISK;
	return reason;
}

#endif
