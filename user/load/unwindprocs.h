/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executable mappings of the targets' processes, as the programs search them: struct uw_proc of a process
 * names a range of struct uw_map, sorted, which is written anew and then exchanged as a whole.
 *
 * Where mappings come from: /proc/PID/maps when a process is first seen, the kernel's own word for each
 * one after that (mmaps.h), the parent's for a child. They are pending until the analyst says by which
 * table each is to be walked. A child shares its parent's list until one of them changes.
 */
#ifndef LOAD_UNWINDPROCS_H
#define LOAD_UNWINDPROCS_H

#include "base/map.h"
#include "load/unwindtables.h"

#define UNWIND_PROCS_MAX 8192 /* TARGETS_MAX in bpf/lib/maps.bpf.h */
#define UNWIND_PUBLISH_NS (20 * NSEC_PER_MSEC) /* at most so often, while nobody waits */

struct unwind_mapping {
	u64 start;
	u64 end;
	u64 off; /* in the file */
	u64 inode;
	u64 bias; /* see struct uw_map */
	u32 table; /* its number, 0 = none */
	u8 kind; /* enum uw_map_kind */
	u8 flags; /* enum uw_map_flags */
	s8 word; /* see struct uw_map */
	u8 through;
};

struct unwind_maps; /* the mappings that one or more processes have */

struct unwind_proc {
	u32 tgid;
	u32 python; /* see struct uw_proc */
	struct unwind_maps *maps;
};

struct unwind_procs {
	struct unwind_tables *tables;
	struct ranges slots; /* of the array of maps */
	struct map by_tgid; /* → index in v */
	struct unwind_proc *v;
	u32 n;
	u32 epoch; /* of the row written last */
	u64 published_ns;
	u64 round; /* of publishing */
	bool dirty;
	u64 refused; /* mappings and processes past a bound */
	/* Writes, or with NULL deletes, the row of a process. 0 or -errno. */
	int (*put)(void *arg, u32 tgid, const struct uw_proc *proc);
	void *arg;
};

int unwind_procs_init(struct unwind_procs *p, struct unwind_tables *tables,
		      int (*put)(void *arg, u32 tgid, const struct uw_proc *proc), void *arg);
void unwind_procs_release(struct unwind_procs *p);

/*
 * The process has this mapping now; it replaces what it overlaps. A part of one that is known changes
 * nothing. m->kind is UW_MAP_PENDING or UW_MAP_FP, table, bias and flags are 0. -ENOSPC, -ENOMEM.
 */
int unwind_procs_map(struct unwind_procs *p, u32 tgid, const struct unwind_mapping *m, u64 now_ns);
/*
 * How the mappings in [m->start, m->end) of that file are to be walked. -ENOENT: there is no such
 * mapping, -ESTALE: no such table (any more); -EINVAL. UW_MAP_FP does not replace a file's table.
 */
int unwind_procs_bind(struct unwind_procs *p, u32 tgid, const struct unwind_mapping *m, u64 now_ns);
/* What frames of code that has no file say of themselves, now and later: see struct uw_map. */
void unwind_procs_code(struct unwind_procs *p, u32 tgid, s8 word, u8 through);
void unwind_procs_python(struct unwind_procs *p, u32 tgid, u32 key);
void unwind_procs_fork(struct unwind_procs *p, u32 parent, u32 child, u64 now_ns);
void unwind_procs_forget(struct unwind_procs *p, u32 tgid, u64 now_ns); /* exec, exit */
bool unwind_procs_known(const struct unwind_procs *p, u32 tgid);
/* Mappings without a word on how they are walked. */
u32 unwind_procs_pending(const struct unwind_procs *p);
/* Gives the programs what changed; now: without waiting for more. */
void unwind_procs_publish(struct unwind_procs *p, u64 now_ns, bool now);

#endif
