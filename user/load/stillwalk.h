/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The user stack of a thread that stands still in the kernel: the walk of bpf/unwind/, by the same tables,
 * as ordinary code. Input: the registers that the thread came into the kernel with, and its memory, read
 * from outside. Output: frames as in a record. For waits that nobody can see the end of.
 *
 * Only fixed-size types: the other side of this header knows the kernel's structures, and no library.
 */
#ifndef LOAD_STILLWALK_H
#define LOAD_STILLWALK_H

#include "hp/events.h"
#include "hp/python.h"
#include "hp/tables.h"

struct still_world { /* what the maps hold */
	const struct uw_rule *rules;
	const struct uw_row *rows;
	const struct uw_page *pages;
	const struct uw_map *maps;
	__u32 nrules, nrows, npages, nmaps;
	const struct py_runtime *pythons; /* by uw_proc.python; 0 is none */
	__u32 npythons;
};

/* Memory of the process: 0, or not 0 when it is not there. */
typedef int still_read_fn(void *arg, __u64 at, void *dst, __u32 n);

struct still_stack {
	struct ev_frame frames[HP_STACK_MAX + UW_ENTRIES_MAX]; /* the kernel's first */
	__u32 n;
	__u8 unwind; /* enum hp_unwind */
	__u8 stop; /* enum uw_stop */
};

/* proc: NULL when nothing is known of the process, which leaves the kernel's frames. */
void still_walk(const struct still_world *world, const struct uw_proc *proc,
		const struct still_waiting *thread, still_read_fn *read, void *arg,
		struct still_stack *ret);

#endif
