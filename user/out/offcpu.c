/* SPDX-License-Identifier: Apache-2.0 */
/* offcpu.folded, offcpu.svg, offcpu.html: where threads waited, by stack, in microseconds. */
#include "out/outs.h"

#include <errno.h>
#include "base/cleanup.h"
#include "out/facts.h"
#include "out/flame.h"
#include "out/flamepage.h"
#include "out/fmt.h"

int out_offcpu_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_offcpu *o = &agg_report(agg)->offcpu;
	_release_(buf) struct buf line = BUF_INIT;
	u32 pos = 0;
	u64 weight;

	(void)opts;
	while (agg_folded_tree(o->nodes, o->nnodes, &pos, &line, &weight)) {
		text_clip(out, buf_slice(&line), SIZE_MAX);
		buf_addf(out, " %llu\n", (unsigned long long)weight);
	}
	return out->oom || line.oom ? -ENOMEM : 0;
}

static int describe(const struct agg_report *rep, struct buf *title, struct buf *detail)
{
	const struct agg_offcpu *o = &rep->offcpu;

	buf_adds(title, "Off-CPU flame graph: ");
	facts_title(rep, title);
	buf_addf(detail,
		 "%s sampled waits over %s; of all threads: %s blocked, %s of it idle, %s "
		 "in the run queue",
		 fmt_count(FMT, o->samples), fmt_dur(FMT, rep->window.duration_s * 1e9),
		 fmt_dur(FMT, (double)o->blocked_ns),
		 fmt_dur(FMT, (double)o->by_reason[HP_WAIT_IDLE].blocked_ns),
		 fmt_dur(FMT, (double)o->runqueue_ns));
	return title->oom || detail->oom ? -ENOMEM : 0;
}

int out_offcpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	_release_(buf) struct buf title = BUF_INIT;
	_release_(buf) struct buf detail = BUF_INIT;

	(void)opts;
	if (describe(rep, &title, &detail))
		return -ENOMEM;
	return flame_svg(rep->offcpu.nodes, rep->offcpu.nnodes,
			 &(struct flame_head){ title.p, detail.p, "us" }, out);
}

int out_offcpu_html(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	_release_(buf) struct buf title = BUF_INIT;
	_release_(buf) struct buf detail = BUF_INIT;

	(void)opts;
	if (describe(rep, &title, &detail))
		return -ENOMEM;
	return flamepage_html(
		&(struct flamepage){
			.title = title.p,
			.detail = detail.p,
			.unit = "µs",
			.unit_ns = 1000,
			.timed = true,
			.profile = { .nodes = rep->offcpu.nodes,
				     .n = rep->offcpu.nnodes,
				     .seconds = rep->window.duration_s,
				     .requests = (double)rep->requests },
		},
		out);
}
