/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers and foreign text for people; see fmt.h. Everything here is independent of the locale:
 * reports of the same capture are the same bytes on every machine.
 */
#include "out/fmt.h"

#include <math.h>
#include <stdio.h>

/* Three significant digits: 0.412, 4.12, 41.2, 412. */
static void fmt_sig(char *s, size_t size, double v, const char *unit)
{
	int decimals = v >= 99.95 ? 0 : v >= 9.995 ? 1 : 2;

	snprintf(s, size, "%.*f%s%s", decimals, v, *unit ? " " : "", unit);
}

const char *fmt_dur(struct fmt *f, double ns)
{
	if (!isfinite(ns) || ns < 0)
		snprintf(f->s, sizeof(f->s), "-");
	else if (ns == 0)
		snprintf(f->s, sizeof(f->s), "0 ms");
	else if (ns < 99500)
		fmt_sig(f->s, sizeof(f->s), ns / 1e3, "µs");
	else if (ns < 999.5e6)
		fmt_sig(f->s, sizeof(f->s), ns / 1e6, "ms");
	else if (ns < 999.5e9)
		fmt_sig(f->s, sizeof(f->s), ns / 1e9, "s");
	else
		fmt_sig(f->s, sizeof(f->s), MIN(ns, 1e24) / 60e9, "min");
	return f->s;
}

const char *fmt_count(struct fmt *f, u64 n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n), i, o = 0;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			f->s[o++] = ',';
		f->s[o++] = digits[i];
	}
	f->s[o] = 0;
	return f->s;
}

const char *fmt_bytes(struct fmt *f, double bytes)
{
	static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB" };
	size_t u = 0;

	if (!isfinite(bytes) || bytes < 0) {
		snprintf(f->s, sizeof(f->s), "-");
		return f->s;
	}
	while (bytes >= 999.5 && u + 1 < ARRAY_SIZE(units)) {
		bytes /= 1024;
		u++;
	}
	if (!u)
		snprintf(f->s, sizeof(f->s), "%.0f B", bytes);
	else
		fmt_sig(f->s, sizeof(f->s), MIN(bytes, 1e12), units[u]);
	return f->s;
}

const char *fmt_rate(struct fmt *f, double per_s)
{
	if (!isfinite(per_s) || per_s < 0)
		snprintf(f->s, sizeof(f->s), "-");
	else if (per_s >= 999.5)
		fmt_count(f, (u64)(MIN(per_s, 1e15) + 0.5));
	else if (per_s == 0)
		snprintf(f->s, sizeof(f->s), "0");
	else
		fmt_sig(f->s, sizeof(f->s), per_s, "");
	return f->s;
}

const char *fmt_pct(struct fmt *f, double ratio)
{
	double p = 100 * ratio;

	if (!isfinite(p))
		snprintf(f->s, sizeof(f->s), "-");
	else if (p == 0)
		snprintf(f->s, sizeof(f->s), "0 %%");
	else if (p > 0 && p < 0.01)
		snprintf(f->s, sizeof(f->s), "< 0.01 %%");
	else
		fmt_sig(f->s, sizeof(f->s), MIN(p, 1e12), "%");
	return f->s;
}

/* Length of the valid UTF-8 sequence at p, 0 when there is none. */
static size_t utf8_len(const unsigned char *p, size_t n, u32 *ret_cp)
{
	static const u32 least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t len = *p < 0x80		   ? 1
		     : (*p & 0xe0) == 0xc0 ? 2
		     : (*p & 0xf0) == 0xe0 ? 3
		     : (*p & 0xf8) == 0xf0 ? 4
					   : 0;
	u32 cp = len == 1 ? *p : *p & (0x7f >> len);
	size_t i;

	if (!len || len > n)
		return 0;
	for (i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		cp = cp << 6 | (p[i] & 0x3f);
	}
	if (cp < least[len] || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
		return 0;
	*ret_cp = cp;
	return len;
}

/* Characters that would break a line, hide, or turn the text around them. */
static bool cp_unsafe(u32 cp)
{
	return cp < 0x20 || (cp >= 0x7f && cp < 0xa0) || cp == 0xad || cp == 0x61c ||
	       (cp >= 0x200b && cp <= 0x200f) || (cp >= 0x2028 && cp <= 0x202e) ||
	       (cp >= 0x2060 && cp <= 0x206f) || cp == 0xfeff || (cp >= 0xfff0 && cp <= 0xfffc) ||
	       (cp & 0xfffe) == 0xfffe || (cp >= 0xe0000 && cp < 0xe1000);
}

size_t text_next(struct slice s, size_t off, u32 *ret_cp)
{
	u32 cp = '.';
	size_t len = utf8_len((const unsigned char *)s.p + off, s.n - off, &cp);

	*ret_cp = !len || cp_unsafe(cp) ? '.' : cp;
	return off + (len ? len : 1);
}

unsigned text_cells(u32 cp)
{
	/* The ellipsis and friends between U+2010 and U+2E7F are narrow. */
	return cp >= 0x1100 && !(cp >= 0x1160 && cp < 0x2e80) ? 2 : 1;
}

void text_add_cp(struct buf *out, u32 cp)
{
	char c[4];

	if (cp < 0x80) {
		buf_addch(out, (char)cp);
	} else if (cp < 0x800) {
		c[0] = (char)(0xc0 | cp >> 6);
		c[1] = (char)(0x80 | (cp & 0x3f));
		buf_add(out, c, 2);
	} else if (cp < 0x10000) {
		c[0] = (char)(0xe0 | cp >> 12);
		c[1] = (char)(0x80 | (cp >> 6 & 0x3f));
		c[2] = (char)(0x80 | (cp & 0x3f));
		buf_add(out, c, 3);
	} else {
		c[0] = (char)(0xf0 | cp >> 18);
		c[1] = (char)(0x80 | (cp >> 12 & 0x3f));
		c[2] = (char)(0x80 | (cp >> 6 & 0x3f));
		c[3] = (char)(0x80 | (cp & 0x3f));
		buf_add(out, c, 4);
	}
}

static void add_plain(struct buf *out, u32 cp)
{
	text_add_cp(out, cp);
}

static void add_xml(struct buf *out, u32 cp)
{
	switch (cp) {
	case '&':
		buf_adds(out, "&amp;");
		break;
	case '<':
		buf_adds(out, "&lt;");
		break;
	case '>':
		buf_adds(out, "&gt;");
		break;
	case '"':
		buf_adds(out, "&quot;");
		break;
	case '\'':
		buf_adds(out, "&#39;");
		break;
	default:
		text_add_cp(out, cp);
	}
}

static void add_md(struct buf *out, u32 cp)
{
	/* Everything that opens a construct inside a line; '&' and '<' would start HTML. */
	if (cp == '&')
		buf_adds(out, "&amp;");
	else if (cp == '<')
		buf_adds(out, "&lt;");
	else if (cp < 0x80 && strchr("\\`*_[]|~>#!", (char)cp) && cp)
		buf_addf(out, "\\%c", (char)cp);
	else
		text_add_cp(out, cp);
}

/* A code span ends at a backtick and a table cell at a bar, and neither can be escaped in both. */
static void add_md_code(struct buf *out, u32 cp)
{
	if (cp == '`')
		buf_addch(out, '\'');
	else if (cp == '|')
		buf_adds(out, "\\|");
	else
		text_add_cp(out, cp);
}

/* Columns that all of s takes, or more than max as soon as that is certain. */
static size_t cells_upto(struct slice s, size_t max)
{
	size_t off = 0, cells = 0;
	u32 cp;

	while (off < s.n && cells <= max) {
		off = text_next(s, off, &cp);
		cells += text_cells(cp);
	}
	return cells;
}

static size_t clip_with(struct buf *out, struct slice s, size_t max,
			void (*add)(struct buf *out, u32 cp))
{
	bool cut = cells_upto(s, max) > max;
	size_t room = cut ? (max ? max - 1 : 0) : max, off = 0, used = 0;
	u32 cp;

	while (off < s.n) {
		off = text_next(s, off, &cp);
		if (used + text_cells(cp) > room)
			break;
		add(out, cp);
		used += text_cells(cp);
	}
	if (cut && max) {
		buf_adds(out, "…");
		used++;
	}
	return used;
}

size_t text_clip(struct buf *out, struct slice s, size_t max_cells)
{
	return clip_with(out, s, max_cells, add_plain);
}

size_t text_columns(struct slice s)
{
	return cells_upto(s, SIZE_MAX);
}

size_t text_clip_middle(struct buf *out, struct slice s, size_t max_cells)
{
	size_t all = text_columns(s), tail = max_cells / 3, off = 0, used;
	u32 cp;

	if (all <= max_cells || !tail)
		return clip_with(out, s, max_cells, add_plain);
	used = clip_with(out, s, max_cells - tail, add_plain); /* with the ellipsis */
	while (all > tail) {
		off = text_next(s, off, &cp);
		all -= text_cells(cp);
	}
	for (; off < s.n; used += text_cells(cp)) {
		off = text_next(s, off, &cp);
		text_add_cp(out, cp);
	}
	return used;
}

void text_xml(struct buf *out, struct slice s, size_t max_cells)
{
	clip_with(out, s, max_cells, add_xml);
}

void text_md(struct buf *out, struct slice s, size_t max_cells, bool code)
{
	if (!code || !s.n) {
		clip_with(out, s, max_cells, add_md);
		return;
	}
	buf_addch(out, '`');
	clip_with(out, s, max_cells, add_md_code);
	buf_addch(out, '`');
}
