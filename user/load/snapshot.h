/* SPDX-License-Identifier: Apache-2.0 */
/* One look at all processes, and the ways to mark some of them. Inside the load stage only. */
#ifndef LOAD_SNAPSHOT_H
#define LOAD_SNAPSHOT_H

#include "base/map.h"
#include "base/procparse.h"

#define SNAPSHOT_PROCS_MAX (1u << 20)

struct snap_proc {
	u32 pid;
	u32 ppid;
	u32 flags;
	char state;
	bool marked;
	char comm[PROC_COMM_LEN + 1];
};

struct snapshot {
	struct snap_proc *v; /* by pid */
	u32 n;
	u32 cap;
	struct map by_pid; /* pid → index */
};

int snapshot_take(struct snapshot *ret);
void snapshot_release(struct snapshot *s);
struct snap_proc *snapshot_find(const struct snapshot *s, u32 pid); /* NULL = absent */

/* Each marks what it finds and returns how many, or -errno. hostprof itself is never marked. */
int snapshot_mark_port(struct snapshot *s, u16 port); /* -EACCES: listened on, owner not visible */
int snapshot_mark_name(struct snapshot *s, const char *glob);
int snapshot_mark_cgroup(struct snapshot *s, const char *path); /* -ENOENT: no such cgroup */

#endif
