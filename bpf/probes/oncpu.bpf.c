/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPU samples: a perf event on every CPU, filtered by process. Kernel frames by the kernel's own unwinder,
 * user frames by unwind tables; by frame pointers alone for a process that has none yet. Whose work
 * the thread did goes out beside the sample, as a step (struct ev_step).
 */
#include "lib/step.bpf.h"
#include "unwind/user.bpf.h"

/* An interrupt may come while this very processor holds a table's lock: tables are only looked at. */
static __always_inline void sampled_step(const struct target_state *target, __u64 pid_tgid,
					 __u64 now)
{
	struct ev_step *ev;
	__u32 token;

	if (!target_serves(target, now))
		return;
	token = (__u32)py_token(WALK_ONCPU, pid_tgid >> 32, PY_LOOK_ONLY);
	ev = token ? step_begin(target->target, pid_tgid >> 32, (__u32)pid_tgid, now) : NULL;
	if (!ev)
		return;
	ev->token = token;
	ev->flags = HP_STEP_SAMPLED;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

static __always_inline int sample(struct bpf_perf_event_data *ctx)
{
	__u64 pid_tgid = current_ids();
	struct target_state *target = target_of(pid_tgid >> 32);
	__u32 slot = walk_slot(WALK_ONCPU), size;
	struct ev_sample *ev;
	struct uw_walk *w;
	__u64 now;
	long k;

	if (!target)
		return 0;
	w = walk_of(slot);
	if (!w)
		return 0;
	walk_begin(w);
	k = bpf_get_stack(ctx, w->words, HP_STACK_MAX * 8, 0);
	walk_add_words(w, k, HP_FRAME_KERNEL);
	walk_user(w, slot, ctx, pid_tgid >> 32, true);
	size = walk_record_size(w, struct ev_sample);
	if (!size)
		return 0;
	ev = walk_record(w, struct ev_sample);
	ev->hdr.size = size;
	ev->hdr.kind = EV_SAMPLE;
	ev->hdr.target = target->target;
	ev->hdr.tgid = pid_tgid >> 32;
	ev->hdr.tid = (__u32)pid_tgid;
	now = bpf_ktime_get_ns();
	ev->hdr.ts_ns = now;
	ev->cpu = bpf_get_smp_processor_id();
	ev->nframes = w->nframes;
	ev->unwind = w->unwind;
	ev->stop = w->stop;
	if (k == HP_STACK_MAX * 8 && w->unwind == HP_UNWIND_FP)
		ev->stop = UW_STOP_DEPTH;
	bpf_get_current_comm(ev->comm, sizeof(ev->comm));
	if (bpf_ringbuf_output(&m_events, ev, size, BPF_RB_NO_WAKEUP))
		drop(DROP_RING_FULL);
	sampled_step(target, pid_tgid, now);
	return 0;
}

SEC("perf_event")
int oncpu_sample(struct bpf_perf_event_data *ctx)
{
	return WHOLE(sample(ctx));
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
