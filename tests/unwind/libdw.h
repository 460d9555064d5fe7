/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stack of a stopped thread as elfutils' libdw sees it: an unwinder that shares nothing with this
 * project but the bytes of the files. See oracle.c.
 */
#ifndef TESTS_UNWIND_LIBDW_H
#define TESTS_UNWIND_LIBDW_H

#include <sys/user.h>

#include "base/types.h"
#include "uwkernel.h"

struct dwstacks; /* of one process */

struct dwstack {
	u64 pc[UW_FRAMES_MAX + 1];
	u32 n;
	/*
	 * How many of them libdw had call frame information for, one after the other from the first on: behind
	 * these it guesses by frame pointers, as in code that was compiled at run time.
	 */
	u32 by_cfi;
	bool whole; /* the outermost frame was reached */
	const char *why; /* else: what libdw says */
};

/*
 * debug: a file with the debug information of the program itself, which is of Go, NULL = none. Other
 * debug files are not looked for: what is on disk is what hostprof has too. -ESRCH, -ENOMEM.
 */
int dwstacks_new(struct dwstacks **ret, u32 pid, const char *debug);
void dwstacks_free(struct dwstacks *d);
/* Memory is read by read(arg, …). */
void dwstacks_walk(struct dwstacks *d, const struct user_regs_struct *regs, uwk_read_fn *read,
		   void *arg, struct dwstack *ret);

#endif
