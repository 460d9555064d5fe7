/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpf() calls on maps that must not be preempted. While one runs, the kernel runs no kprobe's program on
 * that processor, so that a program cannot wait for what the call holds. On a kernel that preempts in the
 * kernel, the caller may lose the processor in the middle of it, and whoever runs there instead goes
 * unmeasured until it is back: measured on 7.2, up to 39 hits at a time. A caller of real-time
 * priority is not taken off for ordinary processes. It lasts for single calls only, of about a
 * microsecond. Without CAP_SYS_NICE nothing is changed, and what is missed is counted as always.
 */
#ifndef LOAD_UNPREEMPTED_H
#define LOAD_UNPREEMPTED_H

#include "base/types.h"

struct unpreempted {
	int policy; /* to go back to; -1 = was not left */
};

/* wanted false: does nothing. Ended by _release_(unpreempted). */
struct unpreempted unpreempted_begin(bool wanted);
void unpreempted_release(struct unpreempted *u);

#endif
