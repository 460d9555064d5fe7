/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernel's word for each executable mapping that any process makes from now on (dlopen, exec, JITs),
 * through one perf event a CPU that samples nothing. It costs a record of about 100 bytes where somebody
 * maps code, and nothing otherwise. Nobody is woken: the collector looks whenever it looks at its ring.
 */
#ifndef LOAD_MMAPS_H
#define LOAD_MMAPS_H

#include "base/slice.h"
#include "base/types.h"

struct mmaps;

struct mmaps_event {
	u32 tgid; /* as this process sees it */
	u64 start;
	u64 end;
	u64 off;
	u64 inode;
	struct slice path; /* as in /proc/PID/maps; "//anon" for memory of no file */
};

/* 0 or -errno: perf events may be refused, and then there is none. */
int mmaps_new(struct mmaps **ret, u32 ncpus);
void mmaps_free(struct mmaps *m);
/*
 * Gives every event that waits. *ret_lost: some did not fit, so that the mappings of every process have to
 * be looked at. 0 or fn's.
 */
int mmaps_drain(struct mmaps *m, int (*fn)(void *arg, const struct mmaps_event *ev), void *arg,
		bool *ret_lost);

#endif
