/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and lines of sampled Python frames. Code objects are read as soon as the first sample brings
 * one, because they may be freed any time after; what is found is a record of the stream, so a replay
 * needs no process. Runs in the analyst, which has no rights: memory is read through the caller.
 */
#ifndef UNWIND_PYNAMES_H
#define UNWIND_PYNAMES_H

#include "base/types.h"
#include "unwind/pyversions.h"

#define PYNAMES_FRAMES_MAX 200000 /* code objects and instructions that get a record */
#define PYNAMES_CODES_MAX 65536 /* code objects kept, with at most so many bytes: */
#define PYNAMES_BYTES_MAX (64u << 20)
#define PYNAMES_PROCS_MAX 8192

struct ev_code;
struct ev_frame;
struct pynames;

struct pynames_ops {
	/* Exactly n bytes (at most 4096) of the process's memory: 0 or -errno. */
	int (*read)(void *arg, u32 tgid, u64 addr, void *buf, size_t n);
	/* A record with all but its time; valid during the call. */
	void (*put)(void *arg, struct ev_code *rec);
	/* Worker threads run this code. */
	void (*worker)(void *arg, u32 tgid, u64 code, const struct py_worker *how);
};

struct pynames_stats {
	u64 named;
	u64 failed; /* code objects that were gone, or none */
	u64 refused; /* frames past the bound */
};

/* ops must outlive the result. */
int pynames_new(struct pynames **ret, const struct pynames_ops *ops, void *arg);
void pynames_free(struct pynames *p);

/* The process runs an interpreter with this layout. */
void pynames_process(struct pynames *p, u32 tgid, const struct py_layout *layout);
/* It has called exec, or ended. */
void pynames_forget(struct pynames *p, u32 tgid);
/* Gives records for the frames that have none yet. */
void pynames_sample(struct pynames *p, u32 tgid, const struct ev_frame *frames, u32 n);

void pynames_get_stats(const struct pynames *p, struct pynames_stats *ret);

#endif
