/* SPDX-License-Identifier: Apache-2.0 */
/*
 * /proc counters of all targets together. Input: one record a target and look. Output: ranges of
 * the gauges, growth of the counters, and a series for charts.
 *
 * Records of one look come one after the other, a target each; a target that comes again begins
 * the next look. A target that is gone leaves the gauges but what it had counted stays.
 */
#include <stdlib.h>
#include <string.h>
#include "agg/window.h"

enum {
	RSS,
	VMS,
	CPU,
	THREADS,
	FDS,
	PROCESSES,
};

void resources_release(struct resources *r)
{
	free(r->targets);
	free(r->series);
	memset(r, 0, sizeof(*r));
}

static struct resource_state *resources_target(struct resources *r, u16 id)
{
	struct resource_state *p;

	if (id < r->ntargets)
		return &r->targets[id];
	if (id >= RESOURCE_TARGETS_MAX)
		return NULL;
	p = realloc(r->targets, (id + 1U) * sizeof(*p));
	if (!p)
		return NULL;
	memset(p + r->ntargets, 0, (id + 1U - r->ntargets) * sizeof(*p));
	r->targets = p;
	r->ntargets = id + 1U;
	return &p[id];
}

static void range_add(struct resources *r, int which, struct agg_range *g, bool first, double v)
{
	g->min = first ? v : MIN(g->min, v);
	g->max = first ? v : MAX(g->max, v);
	r->totals[which] += v;
}

/* Every second row goes; rows stay evenly spaced. */
static void series_thin(struct resources *r)
{
	u32 i;

	for (i = 0; i * 2 < r->nseries; i++)
		r->series[i] = r->series[i * 2];
	r->nseries = i;
	r->stride *= 2;
}

static void series_add(struct resources *r, const struct agg_tick *tick)
{
	if (r->nseries == WINDOW_BLOCKS_MAX)
		series_thin(r);
	if (r->nseries == r->cap) {
		u32 cap = r->cap ? r->cap * 2 : 64;
		struct agg_tick *p = realloc(r->series, cap * sizeof(*p));

		if (!p)
			return;
		r->series = p;
		r->cap = cap;
	}
	r->series[r->nseries++] = *tick;
}

static void tick_close(struct resources *r, struct window *w)
{
	struct agg_resources *s = &r->sum;
	struct agg_tick tick = { 0 };
	double processes = 0;
	bool first = !s->samples;
	u32 i;

	if (!r->tick_ns)
		return;
	for (i = 0; i < r->ntargets; i++) {
		const struct resource_state *t = &r->targets[i];

		if (!t->in_tick)
			continue;
		r->targets[i].in_tick = false;
		tick.rss_bytes += (double)t->last.rss_bytes;
		tick.vms_bytes += (double)t->last.vms_bytes;
		tick.threads += t->last.threads;
		tick.fds += t->last.fds;
		processes += t->last.processes;
	}
	/* When all have ended there is nothing to gauge. */
	if (processes > 0 || first) {
		range_add(r, RSS, &s->rss_bytes, first, tick.rss_bytes);
		range_add(r, VMS, &s->vms_bytes, first, tick.vms_bytes);
		range_add(r, THREADS, &s->threads, first, tick.threads);
		range_add(r, FDS, &s->fds, first, tick.fds);
		range_add(r, PROCESSES, &s->processes, first, processes);
		r->gauged++;
	}
	if (!first && r->tick_ns > r->prev_ns) {
		double span = (double)(r->tick_ns - r->prev_ns);

		tick.cpu_ratio = (double)r->tick_cpu_ns / span;
		range_add(r, CPU, &s->cpu_ratio, !r->cpu_intervals, tick.cpu_ratio);
		r->cpu_intervals++;
		window_cpu(w, r->prev_ns, r->tick_ns, r->tick_cpu_ns);
	}
	tick.t_s = r->tick_ns > w->start_ns ? (double)(r->tick_ns - w->start_ns) / 1e9 : 0;
	if (s->samples % MAX(r->stride, 1U) == 0)
		series_add(r, &tick);
	if (first)
		r->first_ns = r->tick_ns;
	s->samples++;
	r->prev_ns = r->tick_ns;
	r->tick_ns = 0;
	r->tick_cpu_ns = 0;
}

static u64 grown(u64 from, u64 to)
{
	return to > from ? to - from : 0;
}

void resources_record(struct resources *r, struct window *w, const struct ev_resource *rec)
{
	struct resource_state *t = resources_target(r, rec->hdr.target);
	struct agg_resources *s = &r->sum;

	if (!t)
		return;
	if (!r->stride)
		r->stride = 1;
	if (t->in_tick)
		tick_close(r, w);
	if (t->known) {
		u64 cpu = grown(t->last.cpu_total_ns, rec->cpu_total_ns);

		r->tick_cpu_ns += cpu;
		s->cpu_ns += cpu;
		s->minor_faults += grown(t->last.minor_faults_total, rec->minor_faults_total);
		s->major_faults += grown(t->last.major_faults_total, rec->major_faults_total);
		s->voluntary_switches +=
			grown(t->last.voluntary_switches_total, rec->voluntary_switches_total);
		s->involuntary_switches +=
			grown(t->last.involuntary_switches_total, rec->involuntary_switches_total);
		if (t->last.io_known && rec->io_known) {
			s->read_bytes += grown(t->last.read_bytes_total, rec->read_bytes_total);
			s->write_bytes += grown(t->last.write_bytes_total, rec->write_bytes_total);
		}
	}
	s->io_known |= rec->io_known == 1;
	t->last = *rec;
	t->known = true;
	t->in_tick = true;
	r->tick_ns = MAX(r->tick_ns, rec->hdr.ts_ns);
}

void resources_finish(struct resources *r, struct window *w, struct agg_resources *ret)
{
	struct agg_resources *s = &r->sum;

	tick_close(r, w);
	if (s->samples) {
		s->rss_bytes.mean = r->totals[RSS] / r->gauged;
		s->vms_bytes.mean = r->totals[VMS] / r->gauged;
		s->threads.mean = r->totals[THREADS] / r->gauged;
		s->fds.mean = r->totals[FDS] / r->gauged;
		s->processes.mean = r->totals[PROCESSES] / r->gauged;
	}
	/* By time, not by look: looks may be late. */
	if (r->prev_ns > r->first_ns)
		s->cpu_ratio.mean = (double)s->cpu_ns / (double)(r->prev_ns - r->first_ns);
	s->series = r->series;
	s->nseries = r->nseries;
	*ret = *s;
}
