/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What procfs says about processes while they are measured: resources every second, executable
 * mappings when asked.
 *
 * A process that vanishes while it is read is dropped and is no error; what it had used by then
 * stays in the totals, so that totals never go down. Descriptors of the files that are read again
 * and again are kept open up to a bound.
 */
#ifndef LOAD_PROCFS_H
#define LOAD_PROCFS_H

#include "base/buf.h"
#include "hp/events.h"

#define PROCFS_PROCS_MAX 4096
#define PROCFS_TASKS_MAX 1024 /* threads of a process whose context switches are counted */
#define PROCFS_FDS_KEPT 256

struct procfs;

int procfs_new(struct procfs **ret);
void procfs_free(struct procfs *p);
/* 0; -ESRCH: gone already; -ENOSPC over the bound; -EEXIST. */
int procfs_add(struct procfs *p, u32 pid, u16 target);
/*
 * What a process or thread had used when it ended, also of one that nobody looked at. A process is dropped
 * by it; until it comes, what was seen of it last counts.
 */
void procfs_used(struct procfs *p, const struct ev_used *ev);
void procfs_remove(struct procfs *p, u32 pid);
u16 procfs_target(const struct procfs *p, u32 pid); /* 0 also when it is not known */
/*
 * Sums over the processes of a target, header included (kind, size, target, time). `whole` reads
 * every thread's switches; without it at most 16 threads a process are read and the others count
 * with what they had last, which keeps the price of a sample flat. Ask for `whole` at both ends of
 * a window. -ESRCH when none of its processes is left (the totals are filled nevertheless).
 */
int procfs_sample(struct procfs *p, u16 target, bool whole, struct ev_resource *ret);

/* m->path_len bytes of path follow in `path`; the header is filled. Non-zero stops the walk. */
typedef int procfs_mapping_fn(void *arg, const struct ev_mapping *m, struct slice path);
/* The executable mappings of a process, with build ids where they can be read. 0, fn's, -errno. */
int procfs_exec_mappings(u32 pid, u16 target, procfs_mapping_fn *fn, void *arg);
/* The same of one mapping that is known otherwise. */
int procfs_mapping(u32 pid, u16 target, u64 start, u64 end, u64 off, u64 inode, struct slice path,
		   procfs_mapping_fn *fn, void *arg);
/*
 * Whether the process has an io_uring: a descriptor of one, or the mapping of one whose descriptor is
 * closed. False also when neither may be looked at. What a ring is used for cannot be told from here.
 */
bool procfs_uses_io_uring(u32 pid);
/* The first of the processes added that has one and still runs, 0 = none. */
u32 procfs_find_io_uring(const struct procfs *p);
/*
 * The file behind a mapping, read-only, also when it is deleted or in another mount namespace; of "[vdso]" a
 * copy of its memory.
 */
int procfs_open_mapping(u32 pid, u64 start, u64 end, struct slice path, u64 inode);
/*
 * /tmp/perf-PID.map as the process sees it, by the number that it knows itself under. -EPERM when it is
 * neither the process's own user's nor root's, or not the only name of that file.
 */
int procfs_open_perf_map(u32 pid);

#endif
