/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The profiles of a report as files: where the processor's time went (cpu.*, in samples), where threads
 * waited (offcpu.*, in microseconds), and who ended their waits (wakers.*, likewise). Folded stacks, flame graph, interactive page, profiles for
 * other tools, and a page that compares two reports. All that differs between the kinds is what
 * profile_init() says.
 */
#include "out/profiles.h"

#include <errno.h>
#include "base/cleanup.h"
#include "out/exports.h"
#include "out/facts.h"
#include "out/flame.h"
#include "out/flamepage.h"
#include "out/fmt.h"
#include "out/outs.h"

struct profile {
	const struct agg_report *rep;
	const struct agg_node *nodes;
	u32 n;
	const char *what; /* of times in exports */
	const char *heading;
	const char *unit; /* of counts; NULL: weights are times themselves */
	double unit_ns; /* what a weight of one stands for */
	struct buf name; /* of what was profiled */
	struct buf title;
	struct buf detail; /* the second line */
};

static void profile_release(struct profile *p)
{
	buf_release(&p->name);
	buf_release(&p->title);
	buf_release(&p->detail);
}

static void say_samples(const struct agg_report *rep, struct buf *out)
{
	buf_addf(out, "%s samples at %u Hz over %s, %.2f cores", fmt_count(FMT, rep->cpu.samples),
		 rep->window.sample_hz, fmt_dur(FMT, rep->window.duration_s * 1e9),
		 rep->window.duration_s > 0 ? rep->cpu.on_cpu_s / rep->window.duration_s : 0);
}

static void say_waits(const struct agg_report *rep, struct buf *out)
{
	const struct agg_offcpu *o = &rep->offcpu;
	const struct agg_wait *pushed = &o->by_reason[HP_WAIT_NONE];

	buf_addf(out,
		 "%s sampled waits over %s; all threads: %s blocked (%s idle), %s then in the run "
		 "queue; not drawn: %s preempted",
		 fmt_count(FMT, o->samples), fmt_dur(FMT, rep->window.duration_s * 1e9),
		 fmt_dur(FMT, (double)o->blocked_ns),
		 fmt_dur(FMT, (double)o->by_reason[HP_WAIT_IDLE].blocked_ns),
		 fmt_dur(FMT, (double)(o->runqueue_ns - pushed->runqueue_ns)),
		 fmt_dur(FMT, (double)pushed->runqueue_ns));
}

static int profile_init(struct profile *p, const struct agg *agg, enum profile_kind kind)
{
	const struct agg_report *rep = agg_report(agg);

	*p = (struct profile){ .rep = rep };
	if (kind == PROFILE_CPU) {
		p->nodes = rep->cpu.nodes;
		p->n = rep->cpu.nnodes;
		p->what = "cpu";
		p->heading = "CPU";
		p->unit = "samples";
		p->unit_ns = rep->window.sample_hz ? 1e9 / rep->window.sample_hz : 0;
		say_samples(rep, &p->detail);
	} else if (kind == PROFILE_WAKERS) {
		p->nodes = rep->offcpu.waker_nodes;
		p->n = rep->offcpu.nwaker_nodes;
		p->what = "wakers";
		p->heading = "Wakers";
		p->unit_ns = NSEC_PER_USEC;
		buf_adds(&p->detail, "time that threads waited, by thread, what for, and who woke "
				     "them, with the innermost frames of the waker");
	} else {
		p->nodes = rep->offcpu.nodes;
		p->n = rep->offcpu.nnodes;
		p->what = "offcpu";
		p->heading = "Off-CPU";
		p->unit_ns = NSEC_PER_USEC;
		say_waits(rep, &p->detail);
	}
	facts_title(rep, &p->name);
	buf_addf(&p->title, "%s flame graph: %s", p->heading, p->name.p ? p->name.p : "");
	return p->name.oom || p->title.oom || p->detail.oom ? -ENOMEM : 0;
}

static int folded(const struct agg *agg, enum profile_kind kind, struct buf *out)
{
	_release_(profile) struct profile p;
	_release_(buf) struct buf line = BUF_INIT;
	int err = profile_init(&p, agg, kind);
	u32 pos = 0;
	u64 weight;

	while (!err && agg_folded_tree(p.nodes, p.n, &pos, &line, &weight)) {
		text_clip(out, buf_slice(&line), SIZE_MAX);
		buf_addf(out, " %llu\n", (unsigned long long)weight);
	}
	return out->oom || line.oom ? -ENOMEM : err;
}

static int svg(const struct agg *agg, enum profile_kind kind, struct buf *out)
{
	_release_(profile) struct profile p;

	if (profile_init(&p, agg, kind))
		return -ENOMEM;
	return flame_svg(p.nodes, p.n,
			 &(struct flame_head){ p.title.p, p.detail.p, p.unit ? p.unit : "us" },
			 out);
}

static struct flamepage_profile side_of(const struct profile *p)
{
	return (struct flamepage_profile){ .nodes = p->nodes,
					   .n = p->n,
					   .seconds = p->rep->window.duration_s,
					   .requests = (double)p->rep->requests };
}

static int page(const struct profile *p, const struct flamepage_profile *before, const char *title,
		const char *detail, struct buf *out)
{
	return flamepage_html(&(struct flamepage){ .title = title,
						   .detail = detail,
						   .unit = p->unit ? p->unit : "µs",
						   .unit_ns = p->unit_ns,
						   .timed = !p->unit,
						   .profile = side_of(p),
						   .before = before },
			      out);
}

static int html(const struct agg *agg, enum profile_kind kind, struct buf *out)
{
	_release_(profile) struct profile p;

	if (profile_init(&p, agg, kind))
		return -ENOMEM;
	return page(&p, NULL, p.title.p, p.detail.p, out);
}

static int exported(const struct agg *agg, enum profile_kind kind, struct buf *out,
		    int (*export)(const struct export_tree *tree, struct buf *out))
{
	_release_(profile) struct profile p;

	if (profile_init(&p, agg, kind))
		return -ENOMEM;
	return export(
		&(struct export_tree){
			.nodes = p.nodes,
			.n = p.n,
			.title = p.name.p ? p.name.p : "",
			.exe = p.rep->ntargets ? p.rep->targets[0].exe : "",
			.what = p.what,
			.unit = p.unit,
			.unit_ns = p.unit_ns,
			.start_unix_ns = p.rep->window.start_unix_ns,
			.duration_ns = p.rep->window.stop_ns - p.rep->window.start_ns,
		},
		out);
}

int out_cpu_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return folded(agg, PROFILE_CPU, out);
}

int out_cpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return svg(agg, PROFILE_CPU, out);
}

int out_cpu_html(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return html(agg, PROFILE_CPU, out);
}

int out_cpu_pprof(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return exported(agg, PROFILE_CPU, out, export_pprof);
}

int out_cpu_speedscope(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return exported(agg, PROFILE_CPU, out, export_speedscope);
}

int out_offcpu_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return folded(agg, PROFILE_WAITS, out);
}

int out_offcpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return svg(agg, PROFILE_WAITS, out);
}

int out_offcpu_html(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return html(agg, PROFILE_WAITS, out);
}

int out_offcpu_pprof(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return exported(agg, PROFILE_WAITS, out, export_pprof);
}

int out_offcpu_speedscope(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return exported(agg, PROFILE_WAITS, out, export_speedscope);
}

int out_wakers_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return folded(agg, PROFILE_WAKERS, out);
}

int out_wakers_html(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	(void)opts;
	return html(agg, PROFILE_WAKERS, out);
}

bool profile_recorded(const struct agg *agg, enum profile_kind kind)
{
	const struct agg_report *rep = agg_report(agg);

	return kind == PROFILE_CPU ? rep->window.sample_hz != 0 : rep->offcpu.stacks;
}

int profile_compare(const struct agg *before, const struct agg *after, enum profile_kind kind,
		    struct buf *out)
{
	_release_(profile) struct profile a, b = { 0 };
	_release_(buf) struct buf title = BUF_INIT, detail = BUF_INIT;
	struct flamepage_profile side;

	if (profile_init(&a, before, kind) || profile_init(&b, after, kind))
		return -ENOMEM;
	buf_addf(&title, "%s difference: %s", b.heading, b.name.p ? b.name.p : "");
	buf_addf(&detail, "before: %s · after: %s", a.detail.p, b.detail.p);
	if (title.oom || detail.oom)
		return -ENOMEM;
	side = side_of(&a);
	/* Samples at another frequency weigh another time. */
	if (a.unit_ns != b.unit_ns)
		return -EDOM;
	return page(&b, &side, title.p, detail.p, out);
}
