/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of user stacks (bpf/unwind/) as an ordinary function under sanitizers: registers and memory come
 * from a stopped thread, an image of one, or a test's own. Include the fixed-size types before this.
 */
#ifndef HOSTBPF_UWKERNEL_H
#define HOSTBPF_UWKERNEL_H

#include "hp/events.h"
#include "hp/python.h"

struct uwk_arrays { /* what the maps hold */
	struct uw_rule *rules;
	struct uw_row *rows;
	struct uw_page *pages;
	struct uw_map *maps;
	__u32 nrules, nrows, npages, nmaps;
	struct py_runtime python; /* of processes whose uw_proc.python is 1 */
};

#define UWK_REGS 22 /* of struct user_regs_struct: up to the thread pointer */

/* Memory of the process: 0, or what is not there. */
typedef int uwk_read_fn(void *arg, __u64 at, void *dst, __u32 n);

struct uwk_stack {
	struct ev_frame frames[UW_ENTRIES_MAX + 1];
	__u32 n;
	__u8 stop; /* enum uw_stop */
};

/*
 * The stack of a thread of the process that came into the kernel with these registers, in the order of
 * struct user_regs_struct.
 */
void uwk_walk(const struct uwk_arrays *arrays, const struct uw_proc *proc,
	      const unsigned long regs[UWK_REGS], uwk_read_fn *read, void *arg,
	      struct uwk_stack *ret);

#endif
