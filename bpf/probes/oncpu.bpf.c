/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPU samples: a perf event on every CPU, filtered by process. Kernel stack and user stack by frame
 * pointers; struct ev_frame leaves room for other unwinders' frames.
 */
#include "lib/maps.bpf.h"

/* s->n lives in the map, so that the verifier does not follow its every value through the loop. */
static __always_inline void add_frames(struct stack_scratch *s, long bytes, __u8 kind)
{
	__u32 i, n, count = bytes > 0 ? (__u32)bytes / 8 : 0;

	for (i = 0; i < HP_STACK_MAX; i++) {
		if (i >= count)
			break;
		n = *(volatile __u32 *)&s->n;
		if (n >= 2 * HP_STACK_MAX)
			break;
		s->frames[n].addr = s->ips[i];
		s->frames[n].extra = 0;
		s->frames[n].kind = kind;
		*(volatile __u32 *)&s->n = n + 1;
	}
}

static __always_inline int sample(struct bpf_perf_event_data *ctx)
{
	__u64 pid_tgid = current_ids();
	struct target_state *target = target_of(pid_tgid >> 32);
	struct stack_scratch *s;
	__u32 zero = 0, n, size;
	long k, u;

	if (!target)
		return 0;
	s = bpf_map_lookup_elem(&m_stack, &zero);
	if (!s)
		return 0;
	s->n = 0;
	k = bpf_get_stack(ctx, s->ips, HP_STACK_MAX * 8, 0);
	add_frames(s, k, HP_FRAME_KERNEL);
	u = bpf_get_stack(ctx, s->ips, HP_STACK_MAX * 8, BPF_F_USER_STACK);
	add_frames(s, u, HP_FRAME_NATIVE);
	if (u < 0)
		drop(DROP_STACK_FAULT);
	n = s->n;
	if (n > 2 * HP_STACK_MAX)
		return 0;
	size = sizeof(struct ev_sample) + n * sizeof(struct ev_frame);
	s->ev.hdr.size = size;
	s->ev.hdr.kind = EV_SAMPLE;
	s->ev.hdr.target = target->target;
	s->ev.hdr.tgid = pid_tgid >> 32;
	s->ev.hdr.tid = (__u32)pid_tgid;
	s->ev.hdr.ts_ns = bpf_ktime_get_ns();
	s->ev.cpu = bpf_get_smp_processor_id();
	s->ev.nframes = n;
	s->ev.unwind = HP_UNWIND_FP;
	s->ev.stop = k == HP_STACK_MAX * 8 || u == HP_STACK_MAX * 8 ? UW_STOP_DEPTH : UW_STOP_NONE;
	bpf_get_current_comm(s->ev.comm, sizeof(s->ev.comm));
	if (bpf_ringbuf_output(&m_events, &s->ev, size, BPF_RB_NO_WAKEUP))
		drop(DROP_RING_FULL);
	return 0;
}

SEC("perf_event")
int oncpu_sample(struct bpf_perf_event_data *ctx)
{
	return WHOLE(sample(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
