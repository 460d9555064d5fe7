/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where threads waited. Input: exact totals by thread and reason, cumulative, each record newer than
 * the one before; and sampled waits, which go into the call tree of waits (agg/stacks.h). Output:
 * struct agg_offcpu.
 */
#ifndef AGG_OFFCPU_H
#define AGG_OFFCPU_H

#include "agg/stacks.h"
#include "agg/window.h"
#include "base/map.h"

#define OFFCPU_THREADS_MAX 32768
#define OFFCPU_LISTED_MAX 200 /* threads in the report */
#define OFFCPU_WAKINGS_MAX 100

/* Nodes of the tree of wakers, below the reason. */
#define WAKER_PREFIX "by "
#define WAKER_INTERRUPT "by an interrupt"

struct offcpu_thread {
	u64 first_ns;
	u64 base_ns; /* the window's start for it; 0 = it began later */
	u64 last_ns;
	u64 base_on_ns;
	u64 on_ns;
	u32 tgid;
	u32 tid;
	u16 target;
	bool ended;
	char comm[HP_COMM_LEN];
	struct agg_wait base[HP_WAIT_MAX];
	struct agg_wait last[HP_WAIT_MAX];
};

struct offcpu {
	struct offcpu_thread *threads;
	u32 n, cap;
	struct map of; /* thread → its row, the newest of that number */
	u8 recorded; /* enum hp_window_waits */
	u64 rest_ns; /* of weights, below a microsecond */
	u64 refused; /* threads past the limit */
	struct agg_thread *rows;
	struct agg_waking *wakings;
	struct agg_state *states;
	u32 nstates, states_cap;
	u64 states_more;
};

void offcpu_init(struct offcpu *o);
void offcpu_release(struct offcpu *o);
void offcpu_total(struct offcpu *o, const struct ev_wait_total *rec);
/* Keeps when it was. */
void offcpu_state(struct offcpu *o, const struct ev_wait *rec);
/* A sampled wait: what of its weight lies in the window, in microseconds. */
u64 offcpu_weight(struct offcpu *o, const struct window *w, const struct ev_wait *rec);
/* After stacks_finish(). Texts go into the pool. 0 or -ENOMEM. */
int offcpu_finish(struct offcpu *o, const struct window *w, const struct stacks *s,
		  struct strpool *texts, struct agg_offcpu *ret);

#endif
