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

/* Brought by the other side: n bytes of the process, 0 or -errno. */
long pywalk_read_user(__u32 tgid, void *dst, __u32 n, __u64 src);

#endif
