/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf/unwind/python.bpf.h compiled natively, over the memory of a stopped process. Include the
 * fixed-size types before this header.
 */
#ifndef TESTS_PYTHON_WALK_H
#define TESTS_PYTHON_WALK_H

#include "hp/events.h"
#include "hp/python.h"

#define WALK_FRAMES (HP_STACK_MAX + UW_FRAMES_MAX)

/* Forgets what was found of another process. */
void pywalk_process(__u32 tgid, const struct py_runtime *rt);
/*
 * Python frames of the thread with that thread pointer, innermost first; how many. *ret_loops: native
 * frames of the loop that they stand for; *ret_lost: what the programs would have counted as lost.
 */
__u32 pywalk_thread(__u64 thread, struct ev_frame *ret, __u32 *ret_loops, __u64 *ret_lost);

/* The same step by step: a walk, each native frame [lo, hi) of the loop, what came of it. */
void pywalk_begin(__u64 thread);
/* python_frames(); exact: the thread stands in this native frame itself. */
int pywalk_loop(__u64 lo, __u64 hi, int exact);
__u32 pywalk_frames(struct ev_frame *ret, __u64 *ret_lost);
/* What the programs have learned of the interpreter so far. */
const struct py_runtime *pywalk_learned(void);

/* Brought by the other side: n bytes of the process, 0 or -errno. */
long pywalk_read_user(__u32 tgid, void *dst, __u32 n, __u64 src);

#endif
