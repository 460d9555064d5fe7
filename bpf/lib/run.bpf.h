/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a program runs: its scratch memory its own, and timed.
 *
 * Its own: kernels that may preempt in the kernel (on x86 since 7.0 all of them) do so in a BPF program,
 * too, and another program that runs meanwhile must not be given the same scratch slot. Where the
 * kernel has bpf_preempt_disable() (fc7566ad0a82, 6.10) a program calls it first thing. It does not keep
 * the kernel from skipping runs: a preemption that is due comes when the program allows it again, still
 * inside it, and runs of the same program on that processor are skipped until it is back. They are
 * counted (program_missed), and the ladder prefers kprobes there (feature whole_programs).
 *
 * Timed: what the programs cost, for when the kernel's own statistics may not be switched on (they take
 * CAP_SYS_ADMIN): one run in COST_EVERY, drawn at random, is timed and counts for so many. Random,
 * because the programs take turns in patterns, and every 64th run might always be the same one's.
 */
#ifndef BPF_RUN_H
#define BPF_RUN_H

#include "lib/hp.bpf.h"
#include "hp/tables.h"

extern const volatile bool cfg_self_timed;
extern const volatile bool cfg_in_one_piece; /* the loader put the kernel's functions in */

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct run_cost);
} m_cost __weak SEC(".maps");

static __always_inline __u64 cost_begin(void)
{
	if (!cfg_self_timed || bpf_get_prandom_u32() & (COST_EVERY - 1))
		return 0;
	return bpf_ktime_get_ns();
}

static __always_inline void cost_end(__u64 begun_ns)
{
	struct run_cost *c;
	__u32 key = 0;

	if (!cfg_self_timed || !begun_ns)
		return;
	c = bpf_map_lookup_elem(&m_cost, &key);
	if (!c)
		return;
	c->timed++;
	c->ns += bpf_ktime_get_ns() - begun_ns;
}

/* The value of body, which is the whole of a program. */
#define WHOLE(body)                                                                                \
	({                                                                                         \
		__u64 whole_ns;                                                                    \
		int whole_ret;                                                                     \
                                                                                                   \
		if (cfg_in_one_piece)                                                              \
			kernel_call(HP_CALL_PREEMPT_DISABLE);                                      \
		whole_ns = cost_begin();                                                           \
		whole_ret = (body);                                                                \
		cost_end(whole_ns);                                                                \
		if (cfg_in_one_piece)                                                              \
			kernel_call(HP_CALL_PREEMPT_ENABLE);                                       \
		whole_ret;                                                                         \
	})

#endif
