/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU samples as files: folded stacks, flame graph, interactive page, profiles for other tools. */
#include "out/outs.h"

#include <errno.h>
#include "base/cleanup.h"
#include "out/exports.h"
#include "out/facts.h"
#include "out/flame.h"
#include "out/flamepage.h"
#include "out/fmt.h"

int out_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	_release_(buf) struct buf line = BUF_INIT;
	u32 pos = 0;
	u64 count;

	(void)opts;
	while (agg_folded_next(agg, &pos, &line, &count)) {
		text_clip(out, buf_slice(&line), SIZE_MAX);
		buf_addf(out, " %llu\n", (unsigned long long)count);
	}
	return out->oom || line.oom ? -ENOMEM : 0;
}

/* Title and second line of the pictures. */
static int describe(const struct agg_report *rep, struct buf *title, struct buf *detail)
{
	buf_adds(title, "CPU flame graph: ");
	facts_title(rep, title);
	buf_addf(detail, "%s samples at %u Hz over %s, %.2f cores",
		 fmt_count(FMT, rep->cpu.samples), rep->window.sample_hz,
		 fmt_dur(FMT, rep->window.duration_s * 1e9),
		 rep->window.duration_s > 0 ? rep->cpu.on_cpu_s / rep->window.duration_s : 0);
	return title->oom || detail->oom ? -ENOMEM : 0;
}

int out_cpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	_release_(buf) struct buf title = BUF_INIT;
	_release_(buf) struct buf detail = BUF_INIT;

	(void)opts;
	if (describe(rep, &title, &detail))
		return -ENOMEM;
	return flame_svg(rep->cpu.nodes, rep->cpu.nnodes,
			 &(struct flame_head){ title.p, detail.p, "samples" }, out);
}

int out_cpu_html(const struct agg *agg, struct buf *out, const struct out_opts *opts)
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
			.unit = "samples",
			.unit_ns = rep->window.sample_hz ? 1e9 / rep->window.sample_hz : 0,
			.profile = { .nodes = rep->cpu.nodes,
				     .n = rep->cpu.nnodes,
				     .seconds = rep->window.duration_s,
				     .requests = (double)rep->requests },
		},
		out);
}

/* Text of all exports' title goes to *title, which outlives the tree. */
static int export_tree(const struct agg_report *rep, struct buf *title, struct export_tree *ret)
{
	facts_title(rep, title);
	*ret = (struct export_tree){
		.nodes = rep->cpu.nodes,
		.n = rep->cpu.nnodes,
		.title = title->p ? title->p : "",
		.exe = rep->ntargets ? rep->targets[0].exe : "",
		.what = "cpu",
		.unit = "samples",
		.unit_ns = rep->window.sample_hz ? 1e9 / rep->window.sample_hz : 0,
		.start_unix_ns = rep->window.start_unix_ns,
		.duration_ns = rep->window.stop_ns - rep->window.start_ns,
	};
	return title->oom ? -ENOMEM : 0;
}

int out_cpu_pprof(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	_release_(buf) struct buf title = BUF_INIT;
	struct export_tree tree;
	int err = export_tree(agg_report(agg), &title, &tree);

	(void)opts;
	return err ? err : export_pprof(&tree, out);
}

int out_cpu_speedscope(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	_release_(buf) struct buf title = BUF_INIT;
	struct export_tree tree;
	int err = export_tree(agg_report(agg), &title, &tree);

	(void)opts;
	return err ? err : export_speedscope(&tree, out);
}
