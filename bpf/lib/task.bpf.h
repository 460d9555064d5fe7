/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Process and thread ids as user space counts them. In a PID namespace of its own hostprof sees other
 * numbers than the kernel's first ones; a task has one for each namespace from the first down to its
 * own, and the one of hostprof's is taken everywhere, so that records, tables and /proc agree.
 */
#ifndef BPF_TASK_H
#define BPF_TASK_H

#include "lib/hp.bpf.h"

extern const volatile __u32 cfg_pid_ns_inum; /* of hostprof's PID namespace; 0 = the first one */
/* How deep it lies; set by the first walk over the tasks, which runs in hostprof itself. */
extern __u32 pid_ns_level;

static __always_inline __u32 nr_in_ns(struct task_struct *task)
{
	struct pid *pid = BPF_CORE_READ(task, thread_pid);
	__u32 level = pid_ns_level;
	struct upid *up;

	if (!level || BPF_CORE_READ(pid, level) < level)
		return 0;
	up = (void *)pid + bpf_core_field_offset(((struct pid *)0)->numbers) +
	     level * bpf_core_type_size(struct upid);
	if (BPF_CORE_READ(up, ns, ns.inum) != cfg_pid_ns_inum)
		return 0;
	return BPF_CORE_READ(up, nr);
}

/* tgid in the upper half, 0 for tasks that the namespace does not see. */
static __always_inline __u64 task_ids(struct task_struct *task)
{
	if (!cfg_pid_ns_inum)
		return (__u64)BPF_CORE_READ(task, tgid) << 32 | (__u32)BPF_CORE_READ(task, pid);
	return (__u64)nr_in_ns(BPF_CORE_READ(task, group_leader)) << 32 | nr_in_ns(task);
}

static __always_inline __u64 current_ids(void)
{
	if (!cfg_pid_ns_inum)
		return bpf_get_current_pid_tgid();
	return task_ids((void *)bpf_get_current_task());
}

#endif
