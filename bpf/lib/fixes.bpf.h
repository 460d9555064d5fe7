/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One accessor per kernel structure that changed; probes stay free of "if the field exists". */
#ifndef BPF_FIXES_H
#define BPF_FIXES_H

typedef struct {
	long counter;
} atomic_long___hp;

typedef struct {
	atomic_long___hp refcnt;
} file_ref___hp;

struct task_struct___state { /* up to 5.13 */
	volatile long state;
} __attribute__((preserve_access_index));

struct task_struct___now { /* 2f064a59a11f "sched: Change task_struct::state" (5.14) */
	unsigned int __state;
} __attribute__((preserve_access_index));

/* Of a task that leaves its processor, or does not move. */
static __always_inline __u32 task_state(struct task_struct *task)
{
	struct task_struct___now *now = (void *)task;
	struct task_struct___state *before = (void *)task;

	if (bpf_core_field_exists(now->__state))
		return BPF_CORE_READ(now, __state);
	return (__u32)BPF_CORE_READ(before, state);
}

struct file___ref { /* 6.13+, 90ee6ed776c0 "fs: port files to file_ref" */
	file_ref___hp f_ref;
} __attribute__((preserve_access_index));

struct file___count { /* before */
	atomic_long___hp f_count;
} __attribute__((preserve_access_index));

/* Who holds the file open: descriptors (dup, fork), calls under way. Less than 1: it is going. */
static __always_inline long file_holders(struct file *file)
{
	struct file___ref *fr = (void *)file;
	struct file___count *fc = (void *)file;
	long n = 0;

	if (bpf_core_field_exists(fr->f_ref)) {
		/* file_ref counts from zero: one reference reads as 0. */
		bpf_probe_read_kernel(&n, sizeof(n), __builtin_preserve_access_index(&fr->f_ref));
		return n + 1;
	}
	bpf_probe_read_kernel(&n, sizeof(n), __builtin_preserve_access_index(&fc->f_count));
	return n;
}

#endif
