/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attached programs. A hook is held by a descriptor of this process, so the kernel takes all of them
 * away however the process ends.
 */
#ifndef LOAD_HOOKS_H
#define LOAD_HOOKS_H

#include "load/sysprobes.h"

struct bpf_program;
struct bpf_link;

#define HOOKS_MAX 1024

struct hooks {
	struct bpf_link *links[HOOKS_MAX];
	u32 n;
	struct sysprobes sys;
	struct bpf_link **samplers; /* one a CPU */
	u32 nsamplers;
};

/* Each 0 or -errno; what is attached stays attached. */
int hooks_auto(struct hooks *h, struct bpf_program *prog); /* where its section says */
int hooks_kprobe(struct hooks *h, struct bpf_program *prog, const char *func, bool at_return);
/* In one process's memory, wherever it has the file mapped. */
int hooks_uprobe(struct hooks *h, struct bpf_program *prog, u32 tgid, int fd, u64 off);
/* hz samples a second on each of ncpus processors, by the cycle counter (hw) or a clock. */
int hooks_sample(struct hooks *h, struct bpf_program *prog, u32 hz, bool hw, u32 ncpus);
void hooks_release(struct hooks *h); /* detaches all; may be used again */

#endif
