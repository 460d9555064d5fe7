/* SPDX-License-Identifier: Apache-2.0 */
/* offcpu.folded and offcpu.svg: where threads waited, by stack, in microseconds. */
#include "out/outs.h"

#include <errno.h>
#include "base/cleanup.h"
#include "out/facts.h"
#include "out/flame.h"
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

int out_offcpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	const struct agg_offcpu *o = &rep->offcpu;
	_release_(buf) struct buf title = BUF_INIT;
	_release_(buf) struct buf detail = BUF_INIT;

	(void)opts;
	buf_adds(&title, "Off-CPU flame graph: ");
	facts_title(rep, &title);
	buf_addf(&detail,
		 "%s sampled waits over %s; of all threads: %s blocked, %s of it idle, %s "
		 "in the run queue",
		 fmt_count(FMT, o->samples), fmt_dur(FMT, rep->window.duration_s * 1e9),
		 fmt_dur(FMT, (double)o->blocked_ns),
		 fmt_dur(FMT, (double)o->by_reason[HP_WAIT_IDLE].blocked_ns),
		 fmt_dur(FMT, (double)o->runqueue_ns));
	if (title.oom || detail.oom)
		return -ENOMEM;
	return flame_svg(o->nodes, o->nnodes, &(struct flame_head){ title.p, detail.p, "us" }, out);
}
