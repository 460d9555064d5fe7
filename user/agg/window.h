/* SPDX-License-Identifier: Apache-2.0 */
/* The measured window: its edges, one block a second, and the looks at /proc. */
#ifndef AGG_WINDOW_H
#define AGG_WINDOW_H

#include "agg/agg.h"

#define WINDOW_BLOCKS_MAX 3600
#define RESOURCE_TARGETS_MAX 256

struct window_block {
	u64 requests;
	u64 calls;
	u64 cpu_ns;
	u64 cpu_span_ns; /* time of the block that cpu_ns covers */
	struct hist latency;
};

struct window {
	u64 start_ns; /* 0 = not known yet */
	u64 stop_ns;
	u64 last_ns; /* newest time in the stream */
	u64 start_unix_ns;
	u64 boot_unix_ns;
	u32 sample_hz;
	u32 ncpus;
	bool sample_hw;
	bool started;
	bool complete;
	u32 block_s;
	struct window_block *blocks;
	u32 n;
	u32 cap;
	struct agg_block *out;
};

void window_init(struct window *w);
void window_release(struct window *w);
void window_record(struct window *w, const struct ev_window *rec);
/* latency_ns < 0: the request was not timed. */
void window_request(struct window *w, u64 end_ns, double latency_ns);
void window_call(struct window *w, u64 end_ns);
/* All targets used cpu_ns between the two times. */
void window_cpu(struct window *w, u64 from_ns, u64 to_ns, u64 cpu_ns);
u64 window_end_ns(const struct window *w); /* the stop, or the newest time when there is none */
void window_live(const struct window *w, struct agg_live *ret);
int window_finish(struct window *w, struct agg_window *ret, struct hist *ret_latency);

static inline void window_seen(struct window *w, u64 ts_ns)
{
	if (ts_ns > w->last_ns)
		w->last_ns = ts_ns;
}

struct resource_state {
	struct ev_resource last;
	bool known;
	bool in_tick;
};

struct resources {
	struct resource_state *targets;
	u32 ntargets;
	struct agg_resources sum;
	struct agg_tick *series;
	u32 nseries;
	u32 cap;
	u32 stride; /* looks for each row of series */
	u64 tick_ns; /* newest record of the look under way; 0 = none */
	u64 first_ns;
	u64 prev_ns;
	u64 tick_cpu_ns; /* used since the look before */
	u32 cpu_intervals;
	double totals[6]; /* of the gauges, for their means */
	u32 gauged; /* looks in them: those that found a process */
};

void resources_release(struct resources *r);
void resources_record(struct resources *r, struct window *w, const struct ev_resource *rec);
void resources_finish(struct resources *r, struct window *w, struct agg_resources *ret);

#endif
