/* SPDX-License-Identifier: Apache-2.0 */
/* The table of outputs, and the choice among them. */
#include "out/outs.h"

#include <errno.h>
#include <string.h>

static bool has_cpu(const struct agg_report *rep)
{
	return rep->window.sample_hz != 0;
}

static bool has_wait_stacks(const struct agg_report *rep)
{
	return rep->offcpu.stacks;
}

static bool has_times(const struct agg_report *rep)
{
	return has_cpu(rep) || has_wait_stacks(rep);
}

const struct output outputs[OUT_FORMATS] = {
	[OUT_MD] = { "md", "PERFORMANCE_REPORT.md", out_markdown, NULL, true },
	[OUT_JSON] = { "json", "summary.json", out_summary, NULL, true },
	[OUT_SVG] = { "svg", "cpu.svg", out_cpu_svg, has_cpu, true },
	[OUT_FOLDED] = { "folded", "cpu.folded", out_cpu_folded, has_cpu, true },
	[OUT_HTML] = { "html", "cpu.html", out_cpu_html, has_cpu, true },
	[OUT_PPROF] = { "pprof", "cpu.pb.gz", out_cpu_pprof, has_cpu, true },
	[OUT_SPEEDSCOPE] = { "speedscope", "cpu.speedscope.json", out_cpu_speedscope, has_cpu,
			     true },
	[OUT_PERFETTO] = { "perfetto", "timeline.pftrace", out_timeline, has_times, true },
	[OUT_NDJSON] = { "ndjson", "requests.ndjson", NULL, NULL, false },
	[OUT_OFFCPU_SVG] = { "svg", "offcpu.svg", out_offcpu_svg, has_wait_stacks, true },
	[OUT_OFFCPU_FOLDED] = { "folded", "offcpu.folded", out_offcpu_folded, has_wait_stacks,
				true },
	[OUT_OFFCPU_HTML] = { "html", "offcpu.html", out_offcpu_html, has_wait_stacks, true },
	[OUT_OFFCPU_PPROF] = { "pprof", "offcpu.pb.gz", out_offcpu_pprof, has_wait_stacks, true },
	[OUT_OFFCPU_SPEEDSCOPE] = { "speedscope", "offcpu.speedscope.json", out_offcpu_speedscope,
				    has_wait_stacks, true },
	[OUT_WAKERS_FOLDED] = { "folded", "wakers.folded", out_wakers_folded, has_wait_stacks,
				true },
	[OUT_WAKERS_HTML] = { "html", "wakers.html", out_wakers_html, has_wait_stacks, true },
};

u32 outs_default_formats(void)
{
	u32 mask = 0, i;

	for (i = 0; i < OUT_FORMATS; i++)
		mask |= outputs[i].by_default ? OUT_BIT(i) : 0;
	return mask;
}

int outs_parse_formats(const char *list, u32 *ret_mask, struct slice *ret_bad)
{
	u32 mask = 0, i;

	for (;;) {
		struct slice word = slice_of(list, strcspn(list, ","));
		u32 named = 0;

		for (i = 0; i < OUT_FORMATS; i++)
			if (slice_eq(word, slice_str(outputs[i].name)))
				named |= OUT_BIT(i);
		if (!named) {
			*ret_bad = word;
			return -EINVAL;
		}
		mask |= named;
		if (!list[word.n])
			break;
		list += word.n + 1;
	}
	*ret_mask = mask;
	return 0;
}

void outs_format_names(struct buf *out)
{
	u32 i, k;

	for (i = 0; i < OUT_FORMATS; i++) {
		for (k = 0; k < i && strcmp(outputs[k].name, outputs[i].name) != 0; k++)
			;
		if (k == i)
			buf_addf(out, "%s%s", i ? ", " : "", outputs[i].name);
	}
}
