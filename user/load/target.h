/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what the user named to processes, and from a process to its description.
 *
 * A target is a process that was named (or found by port, name or cgroup) and has no ancestor that
 * was; it and those below it that belong to it share one target number. Targets may live in other
 * PID, mount and network namespaces: everything is read through /proc/PID of our own procfs, and
 * every pid here is a number of our own PID namespace.
 */
#ifndef LOAD_TARGET_H
#define LOAD_TARGET_H

#include "base/buf.h"
#include "base/exit.h"

#define TARGET_PROCS_MAX 4096
#define TARGETS_NAMED 3 /* by targets_name() */

/* Exactly one of pids, port, name, cgroup. */
struct target_sel {
	const u32 *pids;
	u32 npids;
	u32 port; /* TCP, listening, in any network namespace */
	const char *name; /* glob, see proc_name_matches() */
	const char *cgroup; /* directory, or a path below the cgroup mount */
	bool children; /* processes below the named ones belong to them */
};

struct target_proc {
	u32 pid;
	u32 ppid;
	u32 root_pid; /* the first process of its target */
	u16 target;
	u32 inner_pid; /* its number in its own PID namespace */
	u64 started_unix_ms;
	char *cmdline; /* arguments separated by spaces */
	char *exe; /* "" when not readable */
	char *service;
	char runtime[32]; /* "python 3.11", "node", "go", "nginx", "native", "unknown" */
	/* Inode numbers of its namespaces, 0 = not readable, and whether they differ from ours. */
	u32 pid_ns, mnt_ns, net_ns;
	bool other_pid_ns, other_mnt_ns, other_net_ns;
};

struct targets {
	struct target_proc *v; /* by target number, the root first, then by pid */
	u32 n;
	u32 ntargets;
	u32 left_out; /* over TARGET_PROCS_MAX */
};

/* One line with the fix, and what the command exits with. */
struct target_error {
	enum exit_status status;
	char text[320];
};

/* 0, or -errno with err filled; ret then needs no release. */
int targets_find(struct targets *ret, const struct target_sel *sel, struct target_error *err);
/* "12 (python3 app.py), 34 (…), 56 (…), 2 more and 7 processes below them" */
void targets_name(const struct targets *t, struct buf *out);
void targets_release(struct targets *t);

/* Whether attaching to this one process makes sense; as targets_find() does for named ones. */
int target_check(u32 pid, struct target_error *err);
/*
 * Fills all but target and root_pid; for processes that appear later. -ESRCH when it is gone.
 * What cannot be read is left empty and is no error.
 */
int target_describe(u32 pid, struct target_proc *ret);
void target_proc_release(struct target_proc *p);
/* Appends its EV_TARGET record. */
void target_record(const struct target_proc *p, u64 ts_ns, struct buf *out);

#endif
