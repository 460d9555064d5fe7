/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the flame page: trees to columns, columns through deflate and base64 into the HTML around
 * flamepage.html, flamepage.css and flamepage.js, which are embedded.
 *
 * Two trees become one by walking both in step: children of one caller are in order of their texts, so
 * equal ones meet. A frame that one of the trees lacks weighs nothing there.
 *
 * Own weights are stored and not totals: most frames have callees and own nothing, and a zero is a byte
 * that deflate makes a few bits of. Names come from foreign binaries: they pass text_next(), which leaves
 * neither controls nor line ends, so lines can hold them; in the file they are deflated and in base64, so
 * no byte of theirs is markup. The policy in the head allows this one script, by its hash, and no network.
 */
#include "out/flamepage.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "base/cleanup.h"
#include "base/sha256.h"
#include "out/fmt.h"
#include "out/frames.h"
#include "out/protobuf.h"

#define META_CELLS_MAX 400
#define COLUMNS 6
#define COMPRESSION 6 /* 9 takes three times as long and saves a hundredth */

/* The files as they are, NUL-terminated: kept apart so that editors and linters see them. */
#define EMBED(name, file)                                                                          \
	extern const char name[];                                                                  \
	__asm__(".pushsection .rodata\n"                                                           \
		".globl " #name "\n" #name ":\n"                                                   \
		".incbin \"user/out/" file "\"\n"                                                  \
		".byte 0\n"                                                                        \
		".popsection\n")

EMBED(flamepage_js, "flamepage.js");
EMBED(flamepage_css, "flamepage.css");
EMBED(flamepage_body, "flamepage.html");

/* One of the trees while both are walked. */
struct side {
	const struct agg_node *nodes;
	u64 *own;
	u32 *end; /* of the subtree, by frame */
	u32 n;
	u32 max_depth;
	double seconds;
	double requests;
};

/* Children that are still to come on one level, in both trees. */
struct level {
	u32 at[2];
	u32 end[2];
};

enum column {
	COL_NAMES,
	COL_LOOKS,
	COL_NAME,
	COL_UP,
	COL_OWN,
	COL_OWN_AFTER,
};

struct pack {
	struct side sides[2]; /* with one profile the first; with two the one before comes first */
	u32 nsides;
	struct frame_names names;
	struct buf columns[COLUMNS];
	u32 nframes;
	u32 last_depth;
};

static void pack_release(struct pack *p)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(p->sides); i++) {
		free(p->sides[i].own);
		free(p->sides[i].end);
	}
	for (i = 0; i < COLUMNS; i++)
		buf_release(&p->columns[i]);
	frame_names_release(&p->names);
}

static int side_init(struct side *s, const struct flamepage_profile *profile)
{
	static const struct agg_node empty = { .text = "all" };
	u32 i;

	s->nodes = profile->n ? profile->nodes : &empty;
	s->n = MAX(profile->n, 1U);
	s->seconds = profile->seconds;
	s->requests = profile->requests;
	s->own = malloc(s->n * sizeof(*s->own));
	s->end = malloc(s->n * sizeof(*s->end));
	if (!s->own || !s->end)
		return -ENOMEM;
	/* From the back: a frame's subtree ends where that of its last child does. */
	for (i = 0; i < s->n; i++)
		s->end[i] = i + 1;
	if (frame_tree_check(s->nodes, s->n, &s->max_depth, s->own))
		return -EINVAL;
	for (i = s->n; i-- > 1;)
		s->end[s->nodes[i].parent] = MAX(s->end[s->nodes[i].parent], s->end[i]);
	return 0;
}

static int add_frame(struct pack *p, const struct agg_node *node, u32 depth, const u64 *own)
{
	u32 name, i;
	int err = frame_names_add(&p->names, node, &name);

	if (err)
		return err;
	pb_varint(&p->columns[COL_NAME], name);
	pb_varint(&p->columns[COL_UP], p->nframes ? p->last_depth + 1 - depth : 0);
	for (i = 0; i < p->nsides; i++)
		pb_varint(&p->columns[COL_OWN + i], own[i]);
	p->last_depth = depth;
	p->nframes++;
	return 0;
}

/* Which of two siblings comes first; 0: they are the same function. */
static int cmp_frames(const struct agg_node *a, const struct agg_node *b)
{
	int order = strcmp(a->text, b->text);

	return order ? order : (int)frame_class(a) - (int)frame_class(b);
}

/* Takes the next frame of a level and opens the level below it; false at the level's end. */
static bool level_next(struct pack *p, struct level *l, struct level *below,
		       const struct agg_node **ret_node, u64 own[2])
{
	int order = 0;
	u32 i;
	bool left[2];

	for (i = 0; i < 2; i++)
		left[i] = l->at[i] < l->end[i];
	if (!left[0] && !left[1])
		return false;
	if (left[0] && left[1])
		order = cmp_frames(&p->sides[0].nodes[l->at[0]], &p->sides[1].nodes[l->at[1]]);
	else
		order = left[0] ? -1 : 1;
	for (i = 0; i < 2; i++) {
		const struct side *s = &p->sides[i];
		u32 at = l->at[i];

		own[i] = 0;
		below->at[i] = below->end[i] = 0;
		if (order && (order < 0) != (i == 0))
			continue;
		*ret_node = &s->nodes[at];
		own[i] = s->own[at];
		below->at[i] = at + 1;
		below->end[i] = l->at[i] = s->end[at];
	}
	return true;
}

static int add_tree(struct pack *p)
{
	u32 levels = MAX(p->sides[0].max_depth, p->sides[1].max_depth) + 2, depth = 0;
	_free_ struct level *open = calloc(levels, sizeof(*open));
	const struct agg_node *node = p->sides[0].nodes;
	u64 own[2] = { 0 };
	u32 i;
	int err;

	if (!open)
		return -ENOMEM;
	for (i = 0; i < p->nsides; i++) {
		own[i] = p->sides[i].own[0];
		open[0].at[i] = 1;
		open[0].end[i] = p->sides[i].n;
	}
	err = add_frame(p, node, 0, own);
	while (!err) {
		if (level_next(p, &open[depth], &open[depth + 1], &node, own))
			err = add_frame(p, node, ++depth, own);
		else if (!depth--)
			break;
	}
	return err;
}

static void add_names(struct pack *p)
{
	size_t cells = frame_names_cells(&p->names);
	u32 i;

	for (i = 0; i < p->names.n; i++) {
		const struct agg_node *node = p->names.nodes[i];

		if (i)
			buf_addch(&p->columns[COL_NAMES], '\n');
		text_clip(&p->columns[COL_NAMES], slice_str(node->text), cells);
		buf_addch(&p->columns[COL_LOOKS],
			  (char)(frame_class(node) | frame_shade(node) << 4));
	}
}

static void add_base64(struct buf *out, const u8 *p, size_t n)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *to;
	size_t i;

	if (buf_reserve(out, (n + 2) / 3 * 4 + 1))
		return;
	to = out->p + out->n;
	for (i = 0; i < n; i += 3) {
		u32 v = (u32)p[i] << 16 | (i + 1 < n ? (u32)p[i + 1] << 8 : 0) |
			(i + 2 < n ? p[i + 2] : 0);

		*to++ = digits[v >> 18];
		*to++ = digits[v >> 12 & 63];
		*to++ = i + 1 < n ? digits[v >> 6 & 63] : '=';
		*to++ = i + 2 < n ? digits[v & 63] : '=';
	}
	*to = 0;
	out->n = (size_t)(to - out->p);
}

/* All columns as one raw deflate stream in base64. */
static int add_data(const struct pack *p, struct buf *out)
{
	_release_(buf) struct buf packed = BUF_INIT;
	z_stream z = { 0 };
	size_t all = 0;
	u32 i;
	int rc = Z_OK;

	for (i = 0; i < COLUMNS; i++)
		all += p->columns[i].n;
	if (all > UINT32_MAX / 2)
		return -EINVAL;
	if (deflateInit2(&z, COMPRESSION, Z_DEFLATED, -MAX_WBITS, MAX_MEM_LEVEL,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	if (!buf_reserve(&packed, deflateBound(&z, all))) {
		z.next_out = (Bytef *)packed.p;
		z.avail_out = (uInt)packed.cap;
		for (i = 0; i < COLUMNS && rc == Z_OK; i++) {
			z.next_in = (Bytef *)p->columns[i].p;
			z.avail_in = (uInt)p->columns[i].n;
			rc = deflate(&z, i + 1 == COLUMNS ? Z_FINISH : Z_NO_FLUSH);
			/* An empty column is no progress, which zlib calls an error. */
			rc = rc == Z_BUF_ERROR && !p->columns[i].n ? Z_OK : rc;
		}
		packed.n = z.total_out;
	}
	deflateEnd(&z);
	if (rc != Z_STREAM_END)
		return -ENOMEM;
	add_base64(out, (const u8 *)packed.p, packed.n);
	return 0;
}

/* A JSON string that may stand in HTML: nothing in it can end the element around it. */
static void add_json_text(struct buf *out, const char *text)
{
	struct slice s = slice_str(text);
	size_t off = 0, cells = 0;
	u32 cp;

	buf_addch(out, '"');
	while (off < s.n && cells++ < META_CELLS_MAX) {
		off = text_next(s, off, &cp);
		if (cp == '"' || cp == '\\' || cp == '<' || cp == '>' || cp == '&')
			buf_addf(out, "\\u%04x", cp);
		else
			text_add_cp(out, cp);
	}
	buf_addch(out, '"');
}

static void add_number(struct buf *out, const char *key, double v)
{
	buf_addf(out, "\"%s\":%.9g", key, isfinite(v) && v > 0 ? v : 0);
}

/* Shades from a small change to a large one. */
static const struct {
	const char *name;
	const char *shades;
} changes[] = {
	{ "more", "\"#fdae6b\",\"#f1803c\",\"#e2631f\"" },
	{ "less", "\"#b5cfee\",\"#7fabe0\",\"#4a86cf\"" },
	{ "new", "\"#ffee58\"" },
	{ "gone", "\"#3c3c46\"" },
	{ "same", "\"#d5d8dc\"" },
};

/* Are the root's callees processes, and theirs threads? */
static bool has_processes(const struct flamepage_profile *p)
{
	return p->n > 1 && p->nodes[1].process;
}

static void add_meta(const struct pack *p, const struct flamepage *page, struct buf *out)
{
	u32 i, k;

	buf_adds(out, "<script type=\"application/json\" id=\"meta\">{\"unit\":");
	add_json_text(out, page->unit);
	buf_addch(out, ',');
	add_number(out, "unit_ns", page->unit_ns);
	buf_addf(out, ",\"timed\":%s,\"processes\":%s,\"frames\":%u,\"bytes\":[",
		 page->timed ? "true" : "false", has_processes(&page->profile) ? "true" : "false",
		 p->nframes);
	for (i = 0; i < COL_OWN + p->nsides; i++)
		buf_addf(out, "%s%zu", i ? "," : "", p->columns[i].n);
	buf_adds(out, "],\n\"sides\":[");
	for (i = 0; i < p->nsides; i++) {
		buf_adds(out, i ? ",{" : "{");
		add_number(out, "seconds", p->sides[i].seconds);
		buf_addch(out, ',');
		add_number(out, "requests", p->sides[i].requests);
		buf_addch(out, '}');
	}
	buf_adds(out, "],\n\"looks\":[");
	for (i = 0; i < FRAME_CLASSES; i++) {
		buf_addf(out, "%s{\"label\":\"%s\",\"shades\":[", i ? ",\n" : "",
			 frame_looks[i].label);
		for (k = 0; k < FRAME_SHADES; k++)
			buf_addf(out, "%s\"%s\"", k ? "," : "", frame_looks[i].shades[k]);
		buf_adds(out, "]}");
	}
	buf_adds(out, "],\n\"changes\":{");
	for (i = 0; i < ARRAY_SIZE(changes); i++)
		buf_addf(out, "%s\"%s\":[%s]", i ? "," : "", changes[i].name, changes[i].shades);
	buf_adds(out, "}}</script>\n");
}

static void add_hash(struct buf *out, const char *directive, const char *text)
{
	u8 hash[SHA256_BYTES];

	sha256(text, strlen(text), hash);
	buf_addf(out, "%s 'sha256-", directive);
	add_base64(out, hash, sizeof(hash));
	buf_adds(out, "'; ");
}

static void add_head(const struct flamepage *page, struct buf *out)
{
	buf_adds(out,
		 "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
		 "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; ");
	add_hash(out, "script-src", flamepage_js);
	add_hash(out, "style-src", flamepage_css);
	buf_adds(out, "base-uri 'none'; form-action 'none'\">\n"
		      "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
	text_xml(out, slice_str(page->title), META_CELLS_MAX);
	buf_adds(out, "</title>\n<style>");
	buf_adds(out, flamepage_css);
	buf_adds(out, "</style>\n</head>\n<body>\n");
}

/* The page's own markup, with the two texts that stand in it. */
static void add_body(const struct flamepage *page, struct buf *out)
{
	static const char title[] = "<h1 id=\"title\">", detail[] = "<p id=\"detail\">";
	const char *at = flamepage_body, *to = strstr(at, title) + sizeof(title) - 1;

	buf_add(out, at, (size_t)(to - at));
	text_xml(out, slice_str(page->title), META_CELLS_MAX);
	at = to;
	to = strstr(at, detail) + sizeof(detail) - 1;
	buf_add(out, at, (size_t)(to - at));
	text_xml(out, slice_str(page->detail), META_CELLS_MAX);
	buf_adds(out, to);
}

int flamepage_html(const struct flamepage *page, struct buf *out)
{
	_release_(pack) struct pack p = { .nsides = page->before ? 2 : 1 };
	u32 i;
	int err = 0;

	if (page->before)
		err = side_init(&p.sides[0], page->before);
	if (!err)
		err = side_init(&p.sides[p.nsides - 1], &page->profile);
	if (err)
		return err;
	frame_names_init(&p.names, p.sides[0].n + p.sides[1].n);
	err = add_tree(&p);
	if (err)
		return err;
	add_names(&p);
	for (i = 0; i < COLUMNS; i++)
		if (p.columns[i].oom)
			return -ENOMEM;
	add_head(page, out);
	add_body(page, out);
	add_meta(&p, page, out);
	/* A type that is no script: browsers keep it as it is. */
	buf_adds(out, "<script type=\"application/octet-stream\" id=\"data\">");
	err = add_data(&p, out);
	buf_adds(out, "</script>\n<script>");
	buf_adds(out, flamepage_js);
	buf_adds(out, "</script>\n</body>\n</html>\n");
	return out->oom ? -ENOMEM : err;
}
