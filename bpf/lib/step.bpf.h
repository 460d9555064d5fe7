/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Steps of threads, told of processes that serve requests: waits (probes/offcpu.bpf.c) and CPU samples
 * (probes/oncpu.bpf.c). See struct ev_step.
 */
#ifndef BPF_STEP_H
#define BPF_STEP_H

#include "lib/maps.bpf.h"

/* Has the process read a request lately? */
static __always_inline bool target_serves(const struct target_state *target, __u64 now)
{
	__u64 at = target->served_ns;

	return at && (__s64)(now - at) < (__s64)SERVES_NS;
}

/* A record to fill in; its submission is the caller's. NULL: no room, which is counted. */
static __always_inline struct ev_step *step_begin(__u16 target, __u32 tgid, __u32 tid, __u64 now)
{
	struct ev_step *ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);

	if (!ev) {
		drop(DROP_RING_FULL);
		return NULL;
	}
	__builtin_memset(ev, 0, sizeof(*ev));
	ev->hdr.size = sizeof(*ev);
	ev->hdr.kind = EV_STEP;
	ev->hdr.target = target;
	ev->hdr.tgid = tgid;
	ev->hdr.tid = tid;
	ev->hdr.ts_ns = now;
	return ev;
}

#endif
