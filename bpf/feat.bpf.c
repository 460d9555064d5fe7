/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the running kernel's own types say about it: does this helper, this field exist?
 *
 * Input: the kernel's BTF, which libbpf compares with the flavours below while it loads the program.
 * Output: the has_* booleans, set when user/load/featprobe.c runs the program once. An object of its
 * own, because the probes must not fail to load for a question that may be answered with no. The
 * suffix ___feat is dropped by libbpf when it compares; the numbers here are never looked at.
 */
#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

enum bpf_func_id___feat {
	BPF_FUNC_get_current_task_btf___feat = 1,
	BPF_FUNC_task_pt_regs___feat,
};

struct bpf_prog_info___feat {
	__u64 recursion_misses;
} __attribute__((preserve_access_index));

bool has_task_btf;
bool has_task_pt_regs;
bool has_recursion_misses;

#define HAS_HELPER(name)                                                                           \
	bpf_core_enum_value_exists(enum bpf_func_id___feat, BPF_FUNC_##name##___feat)

SEC("socket")
int feat(void *ctx)
{
	has_task_btf = HAS_HELPER(get_current_task_btf);
	has_task_pt_regs = HAS_HELPER(task_pt_regs);
	has_recursion_misses = bpf_core_field_exists(struct bpf_prog_info___feat, recursion_misses);
	return 0;
}

/* How a kernel that can change its mind preempts: 0 none, 1 voluntary, 2 full, 3 lazy. */
__u64 preempt_mode_at; /* address of the kernel's variable */
int preempt_mode;

SEC("raw_tp")
int read_preempt_mode(void *ctx)
{
	return bpf_probe_read_kernel(&preempt_mode, sizeof(preempt_mode), (void *)preempt_mode_at);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
