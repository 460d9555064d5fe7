/* SPDX-License-Identifier: Apache-2.0 */
/* The table of outputs, and the choice among them. */
#include "out/outs.h"

#include <errno.h>

static bool has_cpu(const struct agg_report *rep)
{
	return rep->window.sample_hz != 0;
}

const struct output outputs[OUT_FORMATS] = {
	[OUT_MD] = { "md", "PERFORMANCE_REPORT.md", out_markdown, NULL, true },
	[OUT_JSON] = { "json", "summary.json", out_summary, NULL, true },
	[OUT_SVG] = { "svg", "cpu.svg", out_cpu_svg, has_cpu, true },
	[OUT_FOLDED] = { "folded", "cpu.folded", out_folded, has_cpu, true },
	[OUT_HTML] = { "html", "cpu.html", out_cpu_html, has_cpu, true },
	[OUT_PPROF] = { "pprof", "cpu.pb.gz", out_cpu_pprof, has_cpu, true },
	[OUT_SPEEDSCOPE] = { "speedscope", "cpu.speedscope.json", out_cpu_speedscope, has_cpu,
			     true },
	[OUT_PERFETTO] = { "perfetto", "timeline.pftrace", out_timeline, has_cpu, true },
	[OUT_NDJSON] = { "ndjson", "requests.ndjson", NULL, NULL, false },
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

		for (i = 0; i < OUT_FORMATS; i++)
			if (slice_eq(word, slice_str(outputs[i].name)))
				break;
		if (i == OUT_FORMATS) {
			*ret_bad = word;
			return -EINVAL;
		}
		mask |= OUT_BIT(i);
		if (!list[word.n])
			break;
		list += word.n + 1;
	}
	*ret_mask = mask;
	return 0;
}

void outs_format_names(struct buf *out)
{
	u32 i;

	for (i = 0; i < OUT_FORMATS; i++)
		buf_addf(out, "%s%s", i ? ", " : "", outputs[i].name);
}
