/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is a futex that a thread waits on a part of CPython's global lock? Input: the process, the futex's
 * address. Told by the address alone: which condition and mutex the lock is made of is known from the
 * interpreter's file (hp/python.h), so it is told of every wait, and the totals of the reason are exact.
 *
 * With musl a condition's waiters wait on futexes on their own stacks: there only waits for the mutex are
 * recognised, and the rest are waits for other threads.
 */
#ifndef BPF_UNWIND_GIL_H
#define BPF_UNWIND_GIL_H

#include "unwind/python.bpf.h"

/* current: it is the current task's process, whose memory is there. Numbers only: verified once. */
__weak __noinline int python_gil(__u32 tgid, __u64 futex, __u32 current)
{
	const struct uw_proc *proc = bpf_map_lookup_elem(&m_uw_procs, &tgid);
	const struct py_runtime *rt;
	__u32 key, i;
	__u64 interp;

	if (!proc || !proc->python)
		return 0;
	key = proc->python;
	rt = bpf_map_lookup_elem(&m_py_runtimes, &key);
	if (!rt || !rt->off.gil)
		return 0;
	if (!(rt->off.flags & PY_GIL_OWN))
		return futex - (rt->runtime + rt->off.gil) < PY_GIL_BYTES;
	if (!current)
		return 0;
	interp = py_word(rt->runtime + rt->off.rt_interps);
	for (i = 0; i < PY_GILS_MAX && interp; i++) {
		if (futex - py_word(interp + rt->off.gil) < PY_GIL_BYTES)
			return 1;
		interp = py_word(interp + rt->off.interp_next);
	}
	return 0;
}

#endif
