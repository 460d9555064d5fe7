/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The way of unwind tables from a process's files into the maps, on arrays of a test's own: what the
 * analyst (user/unwind/) and the collector (user/load/) do between them, without either. Then a stopped
 * thread of that process is walked as the programs walk it (uwkernel.h).
 *
 * Nothing here asserts: processes of servers come and go while they are looked at.
 */
#ifndef HOSTBPF_UWWORLD_H
#define HOSTBPF_UWWORLD_H

#include <sys/user.h>

#include "load/unwindprocs.h"
#include "sym/sym.h"
#include "unwind/java.h"
#include "unwind/unwind.h"
#include "uwkernel.h"

struct uwworld {
	struct unwind_tables tables;
	struct unwind_procs procs;
	struct uwk_arrays arrays;
	struct uw_proc proc; /* put last */
	u32 puts, deleted;
	struct unwind *manager;
	struct java *java;
	struct sym *sym;
	u32 pid;
};

/* 0 or -ENOMEM. The caller releases *w whatever is returned. */
int uwworld_init(struct uwworld *w, u32 rows, u32 pages, u32 maps);
void uwworld_release(struct uwworld *w);
/*
 * Makes *w of everything that the process has mapped; again with a world of the same process: what it has
 * mapped since. 0; -ESRCH it is gone; -ENOMEM, -ENOSPC.
 */
int uwworld_learn(struct uwworld *w, u32 pid);
int uwworld_learn_more(struct uwworld *w);

/* Stops a thread and fetches its registers. 0, -ESRCH. uwworld_go() lets it go on. */
int uwworld_stop(pid_t tid, struct user_regs_struct *ret);
void uwworld_go(pid_t tid);
/* Memory of the process as uwk_read_fn; arg is &w->pid. */
int uwworld_read(void *arg, __u64 at, void *dst, __u32 n);
/*
 * The stack of a stopped thread. python: with the frames of an interpreter in place of its loop, without
 * the native frames alone.
 */
void uwworld_walk(struct uwworld *w, const struct user_regs_struct *regs, bool python,
		  struct uwk_stack *ret);

#endif
