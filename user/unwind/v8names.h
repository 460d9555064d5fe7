/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of sampled JavaScript functions. Input: samples with entries of kind HP_FRAME_METHOD, whose address is
 * what the programs found where the frame of a function of V8 has its SharedFunctionInfo. Output: the same
 * samples, with a number of the function instead, and records (EV_CODE) that name the numbers. Addresses
 * alone would not do: the garbage collector moves the objects, and puts others where they were.
 *
 * A frame of other code has anything there: it gets 0, which nothing names, and its native frame speaks for
 * itself. Runs in the analyst, which has no rights: memory is read through the caller.
 */
#ifndef UNWIND_V8NAMES_H
#define UNWIND_V8NAMES_H

#include "base/types.h"
#include "unwind/v8.h"

#define V8NAMES_WORDS_MAX (256u << 10) /* addresses that were looked at, kept at a time */
#define V8NAMES_FUNCTIONS_MAX (64u << 10) /* that get a record */
#define V8NAMES_PROCS_MAX 1024

struct ev_code;
struct ev_frame;
struct v8names;

struct v8names_ops {
	/* Exactly n bytes (at most 4096) of the process's memory: 0 or -errno. */
	int (*read)(void *arg, u32 tgid, u64 addr, void *buf, size_t n);
	/* A record with all but its time; valid during the call. */
	void (*put)(void *arg, struct ev_code *rec);
};

struct v8names_stats {
	u64 named; /* functions */
	u64 failed; /* that could not be read, or were changed while they were */
	u64 refused; /* past the bound */
	u64 others; /* words that were no function, or one of V8's own */
	u64 reads;
};

/* ops must outlive the result. */
int v8names_new(struct v8names **ret, const struct v8names_ops *ops, void *arg);
void v8names_free(struct v8names *p);

/* The process runs a V8 with this layout. */
void v8names_process(struct v8names *p, u32 tgid, const struct v8_layout *layout);
/* It has called exec, or ended. */
void v8names_forget(struct v8names *p, u32 tgid);
/* Changes the frames, of a sample that was taken at about now_ns. */
void v8names_sample(struct v8names *p, u32 tgid, struct ev_frame *frames, u32 n, u64 now_ns);

void v8names_get_stats(const struct v8names *p, struct v8names_stats *ret);

#endif
