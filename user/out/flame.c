/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the flame graph: head, frames drawn for viewers without scripts, the tree as JSON, and the
 * script that takes over in a browser. Root at the top, the callee below its caller.
 *
 * Size is bounded whatever the profile: FLAME_DRAWN_MAX frames are drawn, FLAME_KEPT_MAX are in the
 * tree that the script draws from when zooming, names share NAMES_BYTES_MAX. Names come from foreign
 * binaries and scripts: they are shown as text_next() allows and escaped for where they stand.
 */
#include "out/flame.h"

#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "out/fmt.h"
#include "out/frames.h"

#define WIDTH 1200
#define DETAIL_CELLS 130 /* up to what the search matched, which stands behind */
#define ROW 17
#define HEAD 66
#define CHAR_PX 6.6 /* advance of the 11 px monospace font; flame.js has the same */
#define TEXT_MIN 24

/* flame.js as it is, NUL-terminated: kept as a file of its own so that editors and linters see it. */
extern const char flame_js[];
__asm__(".pushsection .rodata\n"
	".globl flame_js\n"
	"flame_js:\n"
	".incbin \"user/out/flame.js\"\n"
	".byte 0\n"
	".popsection\n");

static const char style[] =
	"text{font:11px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#1a1a1a}\n"
	"#hp-frames text{pointer-events:none}\n"
	"#hp-frames g{cursor:pointer}\n"
	"#hp-frames g:hover rect{stroke:#1a1a1a}\n"
	".back{fill:#fff}.title{font-weight:bold;font-size:14px}.dim{fill:#5c5c5c}\n"
	".up{opacity:.55}.hit rect{fill:#b0005e}.hit text{fill:#fff}\n"
	".tool{display:none;cursor:pointer}.live .tool{display:inline}.live .hint{display:none}\n"
	".tool.off{display:none}.tool rect{fill:#eceff3;stroke:#9aa3ad}\n"
	".tool:focus rect,.tool:hover rect{stroke:#1a1a1a}\n"
	"input{box-sizing:border-box;width:100%;height:22px;font:12px monospace}\n"
	"@media (prefers-color-scheme:dark){.back{fill:#16181d}#hp-head text{fill:#e8e8e8}\n"
	"#hp-head text.dim{fill:#a5acb5}#hp-head .tool text{fill:#1a1a1a}\n"
	"#hp-frames g:hover rect{stroke:#fff}}\n";

/* The frames that go into the file. Pre-order is kept: a frame is followed by all that it calls. */
struct kept {
	const struct agg_node *node;
	u64 start; /* left edge, in weight */
	u32 name; /* number in the name list */
};

struct flame {
	struct kept *kept;
	u32 n;
	u32 light; /* frames left out */
	u64 light_below; /* their weight is less than this */
	u32 max_depth;
	struct frame_names names;
	u64 all;
};

static void flame_release(struct flame *f)
{
	free(f->kept);
	frame_names_release(&f->names);
}

/* The least weight such that at most max nodes have it or more. */
static u64 threshold(const struct agg_node *nodes, u32 n, u32 max)
{
	u64 lo = 1, hi = nodes[0].total + 1;

	while (lo < hi) {
		u64 mid = lo + (hi - lo) / 2;
		u32 i, heavy = 0;

		for (i = 0; i < n; i++)
			heavy += nodes[i].total >= mid;
		if (heavy <= max)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/*
 * Weights only shrink away from the root, so whatever is heavy enough is a whole tree. Left edges are
 * counted over what is kept, as flame.js does, so that the picture does not jump when it takes over.
 */
static int flame_keep(struct flame *f, const struct agg_node *nodes, u32 n)
{
	u64 least = threshold(nodes, n, FLAME_KEPT_MAX);
	_free_ u64 *edge = NULL; /* where the next frame of that depth begins */
	u32 i, heavy = 1, depth = 0, max_depth = 0;
	int err = frame_tree_check(nodes, n, &max_depth, NULL);

	if (err)
		return err;
	for (i = 1; i < n; i++)
		heavy += nodes[i].total >= least;
	edge = calloc(max_depth + 2, sizeof(*edge));
	f->kept = malloc(heavy * sizeof(*f->kept));
	if (!edge || !f->kept)
		return -ENOMEM;
	frame_names_init(&f->names, heavy);
	f->all = nodes[0].total;
	f->light = n - heavy;
	f->light_below = least;
	for (i = 0; i < n; i++) {
		struct kept *k = &f->kept[f->n];

		if (i && nodes[i].total < least)
			continue;
		depth = nodes[i].depth;
		*k = (struct kept){ .node = &nodes[i], .start = edge[depth] };
		err = frame_names_add(&f->names, &nodes[i], &k->name);
		if (err)
			return err;
		edge[depth] += nodes[i].total;
		edge[depth + 1] = k->start;
		f->max_depth = MAX(f->max_depth, depth);
		f->n++;
	}
	return 0;
}

static void add_class(struct buf *out, const struct agg_node *node)
{
	buf_addf(out, "%c%u", frame_looks[frame_class(node)].letter, frame_shade(node));
}

static void add_style(struct buf *out)
{
	u32 i, k;

	buf_addf(out, "<style>%s", style);
	for (i = 0; i < FRAME_CLASSES; i++)
		for (k = 0; k < FRAME_SHADES; k++)
			buf_addf(out, ".%c%u{fill:%s}%s", frame_looks[i].letter, k,
				 frame_looks[i].shades[k], k + 1 < FRAME_SHADES ? "" : "\n");
	buf_adds(out, "</style>\n");
}

static void add_legend(struct buf *out, const struct flame *f)
{
	static const u8 order[] = { FRAME_PYTHON, FRAME_NATIVE, FRAME_KERNEL, FRAME_JIT,
				    FRAME_UNNAMED };
	bool seen[FRAME_CLASSES] = { false };
	unsigned x = 8, k;
	u32 i;

	for (i = 0; i < f->n; i++)
		seen[frame_class(f->kept[i].node)] = true;
	for (k = 0; k < ARRAY_SIZE(order); k++) {
		if (!seen[order[k]])
			continue;
		buf_addf(out,
			 "<rect class=\"%c0\" x=\"%u\" y=\"47\" width=\"10\" height=\"10\"/>"
			 "<text class=\"dim\" x=\"%u\" y=\"56\">%s</text>\n",
			 frame_looks[order[k]].letter, x, x + 14, frame_looks[order[k]].label);
		x += 70;
	}
	buf_addf(out, "<text id=\"hp-details\" x=\"%u\" y=\"56\"></text>\n", x + 6);
	buf_addf(out,
		 "<text class=\"dim hint\" x=\"%u\" y=\"56\">open in a browser to zoom and search"
		 "</text>\n",
		 x + 6);
}

static void add_head(struct buf *out, const struct flame *f, const struct flame_head *head)
{
	buf_addf(out,
		 "<g id=\"hp-head\" data-height=\"%u\">\n<rect class=\"back wide\" width=\"%u\" "
		 "height=\"%u\"/>\n<text class=\"title\" x=\"8\" y=\"20\">",
		 HEAD, WIDTH, HEAD - 2);
	text_xml(out, slice_str(head->title), 80);
	buf_adds(out, "</text>\n<text class=\"dim\" x=\"8\" y=\"38\">");
	text_xml(out, slice_str(head->detail), DETAIL_CELLS);
	if (f->light)
		buf_addf(out, " · %s frames under %s %s left out", fmt_count(FMT, f->light),
			 fmt_count(FMT, f->light_below), head->unit);
	buf_adds(out, "</text>\n");
	add_legend(out, f);
	buf_addf(out,
		 "<g id=\"hp-tools\" transform=\"translate(%u,0)\">\n"
		 "<g id=\"hp-reset\" class=\"tool off\" role=\"button\" tabindex=\"0\"><rect "
		 "x=\"10\" y=\"6\" width=\"92\" height=\"22\" rx=\"3\"/><text x=\"20\" y=\"21\">"
		 "Reset zoom</text></g>\n"
		 "<g id=\"hp-flip\" class=\"tool\" role=\"button\" tabindex=\"0\"><rect x=\"112\" "
		 "y=\"6\" width=\"46\" height=\"22\" rx=\"3\"/><text x=\"122\" y=\"21\">Flip</text>"
		 "</g>\n"
		 "<foreignObject class=\"tool\" x=\"168\" y=\"6\" width=\"294\" height=\"24\">"
		 "<input xmlns=\"http://www.w3.org/1999/xhtml\" id=\"hp-input\" type=\"text\" "
		 "spellcheck=\"false\" aria-label=\"search\" placeholder=\"search (regular "
		 "expression): press /\"/></foreignObject>\n"
		 "<text id=\"hp-matched\" x=\"168\" y=\"44\"></text>\n</g>\n</g>\n",
		 WIDTH - 470);
}

static void add_frame(struct buf *out, const struct kept *k, double scale, u64 all,
		      const char *unit)
{
	struct slice text = slice_str(k->node->text);
	double x = (double)k->start * scale, w = (double)k->node->total * scale;
	unsigned y = HEAD + k->node->depth * ROW;

	buf_adds(out, "<g class=\"");
	add_class(out, k->node);
	buf_adds(out, "\"><title>");
	text_xml(out, text, FRAME_NAME_CELLS_MAX);
	buf_addf(out,
		 " · %s %s, %s</title><rect x=\"%.1f\" y=\"%u\" width=\"%.1f\" height=\"%u\" "
		 "rx=\"1\"/>",
		 fmt_count(FMT, k->node->total), unit,
		 fmt_pct(FMT, (double)k->node->total / (double)all), x, y, MAX(w - 0.4, 0.3),
		 ROW - 1);
	if (w >= TEXT_MIN) {
		buf_addf(out, "<text x=\"%.1f\" y=\"%u\">", x + 3, y + 12);
		text_xml(out, text, (size_t)((w - 6) / CHAR_PX));
		buf_adds(out, "</text>");
	}
	buf_adds(out, "</g>\n");
}

static void add_frames(struct buf *out, const struct flame *f, u64 least, const char *unit)
{
	double scale = f->all ? (double)WIDTH / (double)f->all : 0;
	u32 i;

	buf_adds(out, "<g id=\"hp-frames\">\n");
	for (i = 0; i < f->n && f->all; i++) {
		u64 weight = f->kept[i].node->total;

		if (weight >= least && (double)weight * scale >= 0.5)
			add_frame(out, &f->kept[i], scale, f->all, unit);
	}
	buf_adds(out, "</g>\n");
}

/* A JSON string that may stand in XML and HTML text alike. */
static void add_json_name(struct buf *out, struct slice s, size_t max_cells)
{
	size_t off = 0, cells = 0;
	u32 cp;

	buf_addch(out, '"');
	while (off < s.n) {
		off = text_next(s, off, &cp);
		if (++cells > max_cells) {
			buf_adds(out, "…");
			break;
		}
		if (cp == '"' || cp == '\\' || cp == '<' || cp == '>' || cp == '&')
			buf_addf(out, "\\u%04x", cp);
		else
			text_add_cp(out, cp);
	}
	buf_addch(out, '"');
}

static void add_data(struct buf *out, const struct flame *f, const char *unit)
{
	size_t cells = frame_names_cells(&f->names);
	u32 i;

	buf_adds(out, "<script type=\"application/json\" id=\"hp-data\">{\"unit\":");
	add_json_name(out, slice_str(unit), 32);
	buf_adds(out, ",\n\"names\":[");
	for (i = 0; i < f->names.n; i++) {
		buf_adds(out, i ? "," : "");
		add_json_name(out, slice_str(f->names.nodes[i]->text), cells);
	}
	buf_adds(out, "],\n\"kinds\":[");
	for (i = 0; i < f->names.n; i++) {
		buf_adds(out, i ? ",\"" : "\"");
		add_class(out, f->names.nodes[i]);
		buf_addch(out, '"');
	}
	buf_adds(out, "],\n\"nodes\":[");
	for (i = 0; i < f->n; i++)
		buf_addf(out, "%s%u,%llu,%u",
			 !i	  ? ""
			 : i % 32 ? ","
				  : ",\n",
			 f->kept[i].name, (unsigned long long)f->kept[i].node->total,
			 f->kept[i].node->depth);
	buf_adds(out, "]}</script>\n");
}

int flame_svg(const struct agg_node *nodes, u32 n, const struct flame_head *head, struct buf *out)
{
	static const struct agg_node empty = { .text = "all" };
	_release_(flame) struct flame f = { 0 };
	unsigned height;
	int err;

	if (!n) {
		nodes = &empty;
		n = 1;
	}
	err = flame_keep(&f, nodes, n);
	if (err)
		return err;
	height = HEAD + (f.max_depth + 1) * ROW + 8;
	buf_addf(out,
		 "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		 "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
		 "viewBox=\"0 0 %u %u\" role=\"img\">\n<title>",
		 WIDTH, height, WIDTH, height);
	text_xml(out, slice_str(head->title), 200);
	buf_addf(out, "</title>\n<rect class=\"back wide\" width=\"%u\" height=\"%u\"/>\n", WIDTH,
		 height);
	add_style(out);
	add_frames(out, &f, threshold(nodes, n, FLAME_DRAWN_MAX), head->unit);
	add_head(out, &f, head);
	add_data(out, &f, head->unit);
	buf_adds(out, "<script><![CDATA[\n");
	buf_adds(out, flame_js);
	buf_adds(out, "]]></script>\n</svg>\n");
	return out->oom ? -ENOMEM : 0;
}
