/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The measured window. Input: its edge records and the end times of requests and calls. Output:
 * start, stop and what happened in each second, for timelines and for the progress line.
 *
 * A window longer than the block table doubles the length of its blocks: pairs add up, so nothing
 * is lost but resolution.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agg/window.h"

void window_init(struct window *w)
{
	memset(w, 0, sizeof(*w));
	w->block_s = 1;
}

void window_release(struct window *w)
{
	u32 i;

	for (i = 0; i < w->n; i++)
		hist_release(&w->blocks[i].latency);
	free(w->blocks);
	free(w->out);
	memset(w, 0, sizeof(*w));
}

void window_record(struct window *w, const struct ev_window *rec)
{
	switch (rec->what) {
	case HP_WINDOW_START:
		w->started = true;
		w->start_ns = rec->hdr.ts_ns;
		w->start_unix_ns = rec->unix_ns;
		w->sample_hz = rec->sample_hz;
		w->sample_hw = rec->sample_hw;
		w->ncpus = rec->ncpus;
		w->boot_unix_ns = rec->boot_unix_ns;
		break;
	case HP_WINDOW_STOP:
		w->stop_ns = rec->hdr.ts_ns;
		break;
	case HP_WINDOW_END:
		w->complete = true;
		break;
	}
}

static void block_add(struct window_block *to, struct window_block *from)
{
	to->requests += from->requests;
	to->calls += from->calls;
	to->cpu_ns += from->cpu_ns;
	to->cpu_span_ns += from->cpu_span_ns;
	hist_merge(&to->latency, &from->latency);
	hist_release(&from->latency);
	memset(from, 0, sizeof(*from));
}

static void window_coarsen(struct window *w)
{
	u32 i;

	for (i = 1; i < w->n; i++) {
		if (i & 1) {
			block_add(&w->blocks[i / 2], &w->blocks[i]);
		} else {
			w->blocks[i / 2] = w->blocks[i];
			memset(&w->blocks[i], 0, sizeof(w->blocks[i]));
		}
	}
	w->n = (w->n + 1) / 2;
	w->block_s *= 2;
}

/* The block of a time; what lies before the start belongs to the first. */
static struct window_block *window_at(struct window *w, u64 ts_ns)
{
	u64 rel, i;

	if (!w->start_ns)
		w->start_ns = ts_ns;
	rel = ts_ns > w->start_ns ? ts_ns - w->start_ns : 0;
	while ((i = rel / (w->block_s * NSEC_PER_SEC)) >= WINDOW_BLOCKS_MAX)
		window_coarsen(w);
	if (i >= w->cap) {
		u32 cap = MIN(MAX((u32)i + 1, w->cap ? w->cap * 2 : 16), WINDOW_BLOCKS_MAX);
		struct window_block *p = realloc(w->blocks, cap * sizeof(*p));

		if (!p)
			return NULL;
		memset(p + w->cap, 0, (cap - w->cap) * sizeof(*p));
		w->blocks = p;
		w->cap = cap;
	}
	w->n = MAX(w->n, (u32)i + 1);
	return &w->blocks[i];
}

void window_request(struct window *w, u64 end_ns, double latency_ns)
{
	struct window_block *b = window_at(w, end_ns);

	if (!b)
		return;
	b->requests++;
	if (latency_ns >= 0)
		hist_add(&b->latency, latency_ns);
}

void window_call(struct window *w, u64 end_ns)
{
	struct window_block *b = window_at(w, end_ns);

	if (b)
		b->calls++;
}

/* What of cpu_ns falls on part of span, by time. */
static u64 share(u64 cpu_ns, u64 part_ns, u64 span_ns)
{
	double v = (double)cpu_ns * (double)part_ns / (double)span_ns;

	return v < 0x1p64 ? (u64)v : UINT64_MAX;
}

void window_cpu(struct window *w, u64 from_ns, u64 to_ns, u64 cpu_ns)
{
	u64 span = to_ns - from_ns, at, done = 0;

	if (to_ns <= from_ns || !window_at(w, to_ns) || to_ns <= w->start_ns)
		return;
	for (at = MAX(from_ns, w->start_ns); at < to_ns;) {
		struct window_block *b = window_at(w, at);
		u64 block_ns = w->block_s * NSEC_PER_SEC;
		u64 left = block_ns - (at - w->start_ns) % block_ns;
		/* Compared as lengths: times of a damaged capture may lie near the end of u64. */
		u64 end = to_ns - at <= left ? to_ns : at + left;
		u64 part;

		part = share(cpu_ns, end - from_ns, span);
		if (at != from_ns && !done) /* the part before the start */
			done = share(cpu_ns, at - from_ns, span);
		b->cpu_ns += part - MIN(part, done);
		b->cpu_span_ns += end - at;
		done = MAX(part, done);
		at = end;
	}
}

u64 window_end_ns(const struct window *w)
{
	u64 end = w->stop_ns ? w->stop_ns : w->last_ns;

	return MAX(end, w->start_ns);
}

void window_live(const struct window *w, struct agg_live *ret)
{
	u64 now = w->last_ns > w->start_ns ? w->last_ns - w->start_ns : 0;
	u32 i = (u32)MIN(now / (w->block_s * NSEC_PER_SEC), WINDOW_BLOCKS_MAX), back;

	if (i && i - 1 < w->n) {
		ret->rate = (double)w->blocks[i - 1].requests / w->block_s;
		ret->calls_rate = (double)w->blocks[i - 1].calls / w->block_s;
	}
	for (back = i ? 1 : 0; back <= 5 && back <= i; back++)
		if (i - back < w->n && w->blocks[i - back].latency.count) {
			ret->p95_ns = hist_quantile(&w->blocks[i - back].latency, 0.95);
			break;
		}
}

int window_finish(struct window *w, struct agg_window *ret, struct hist *ret_latency)
{
	u64 end = window_end_ns(w), block_ns = w->block_s * NSEC_PER_SEC;
	u64 duration = end - w->start_ns, last;
	u32 i, n;

	if (duration)
		window_at(w, end - 1);
	/* A sliver at the end makes no row of its own. */
	last = duration % block_ns;
	n = w->n;
	if (n > 1 && n - 1 == duration / block_ns && last * 10 < block_ns) {
		block_add(&w->blocks[n - 2], &w->blocks[n - 1]);
		w->n = --n;
	}
	w->out = calloc(MAX(n, 1U), sizeof(*w->out));
	if (!w->out)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		const struct window_block *b = &w->blocks[i];

		w->out[i] = (struct agg_block){
			.requests = b->requests,
			.calls = b->calls,
			.p50_ns = hist_quantile(&b->latency, 0.5),
			.p95_ns = hist_quantile(&b->latency, 0.95),
			.cpu_ratio =
				b->cpu_span_ns ? (double)b->cpu_ns / (double)b->cpu_span_ns : -1,
		};
		hist_merge(ret_latency, &b->latency);
	}
	*ret = (struct agg_window){
		.started = w->started,
		.complete = w->complete,
		.start_ns = w->start_ns,
		.stop_ns = end,
		.start_unix_ns = w->start_unix_ns,
		.duration_s = (double)duration / 1e9,
		.sample_hz = w->sample_hz,
		.sample_hw = w->sample_hw,
		.ncpus = w->ncpus,
		.boot_unix_ns = w->boot_unix_ns,
		.block_s = w->block_s,
		.blocks = w->out,
		.nblocks = n,
	};
	return 0;
}
