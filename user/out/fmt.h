/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How numbers and foreign text look in everything hostprof prints for people. One set of rules for
 * terminal, Markdown and SVG, so that the same figure reads the same everywhere.
 *
 * Numbers: durations with three significant digits and the unit that keeps them between 1 and 1000
 * ("0.41 ms", "12.3 ms", "1.84 s"; milliseconds down to 0.01 ms, then "4.1 µs"), counts grouped by
 * commas, bytes in binary units. Each fmt_* writes into the caller's struct fmt and returns its text, so calls
 * can stand in an argument list: fmt_dur(&(struct fmt){ 0 }, ns).
 *
 * Text: bytes from outside may be anything. text_next() walks them as characters that are safe to
 * show: whatever is no valid UTF-8, a control, or steers the direction of text comes out as '.'.
 */
#ifndef OUT_FMT_H
#define OUT_FMT_H

#include "base/buf.h"
#include "base/slice.h"
#include "base/types.h"

struct fmt {
	char s[32];
};

/* A scratch struct for one call; lives to the end of the enclosing block. */
#define FMT (&(struct fmt){ "" })

const char *fmt_dur(struct fmt *f, double ns);
const char *fmt_count(struct fmt *f, u64 n);
const char *fmt_bytes(struct fmt *f, double bytes);
const char *fmt_rate(struct fmt *f, double per_s); /* "1,234" or "12.3" or "0.41" */
const char *fmt_pct(struct fmt *f, double ratio); /* "12.3 %" */

/* One character: code point in *ret_cp ('.' for what must not be shown), next offset returned. */
size_t text_next(struct slice s, size_t off, u32 *ret_cp);
unsigned text_cells(u32 cp); /* columns on a terminal: 2 from U+1100 on (over-estimates), else 1 */
void text_add_cp(struct buf *out, u32 cp);

/*
 * Adds at most max_cells columns of s with unsafe characters as '.', ending in "…" when cut.
 * Returns the columns used.
 */
size_t text_clip(struct buf *out, struct slice s, size_t max_cells);
/* The same, but what is cut is in the middle: names of one family differ at their end. */
size_t text_clip_middle(struct buf *out, struct slice s, size_t max_cells);
size_t text_columns(struct slice s); /* columns that all of s takes */
void text_xml(struct buf *out, struct slice s, size_t max_cells); /* the same, escaped for XML */
/* The same for one Markdown table cell; code = true wraps it in backticks. */
void text_md(struct buf *out, struct slice s, size_t max_cells, bool code);

#endif
