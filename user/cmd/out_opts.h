/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that attach and report share: what is written, where, and how loud. A command embeds
 * struct out_opts as the first member of its own options and begins its table with OUT_OPT_ROWS.
 */
#ifndef CMD_OUT_OPTS_H
#define CMD_OUT_OPTS_H

#include "base/options.h"

/* Bits of out_opts.formats, in the order of out_format_words. */
enum out_format {
	OUT_MD = 1 << 0,
	OUT_JSON = 1 << 1,
	OUT_NDJSON = 1 << 2,
	OUT_SVG = 1 << 3,
	OUT_FOLDED = 1 << 4,
};

struct out_opts {
	const char *output; /* directory; NULL = the default name */
	u32 formats; /* enum out_format */
	bool force; /* an existing directory may be written to */
	bool json; /* standard output carries summary.json and nothing else */
	bool quiet;
	bool verbose;
	bool color; /* allowed by options and NO_COLOR; the writer also asks isatty() */
	bool progress;
};

#define OUT_OPTS_INIT                                                                              \
	{                                                                                          \
		.formats = OUT_MD | OUT_JSON | OUT_SVG | OUT_FOLDED, .color = true,                \
		.progress = true                                                                   \
	}

extern const char *const out_format_words[]; /* ends with NULL */

#define OUT_OPT_ROWS                                                                               \
	{ .name = "output",                                                                        \
	  .letter = 'o',                                                                           \
	  .arg = "DIR",                                                                            \
	  .help = "directory for the report; refused when it exists",                              \
	  .parse = opt_text,                                                                       \
	  .offset = offsetof(struct out_opts, output) },                                           \
		{ .name = "force",                                                                 \
		  .help = "write into an existing directory",                                      \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct out_opts, force) },                                    \
		{ .name = "format",                                                                \
		  .arg = "LIST",                                                                   \
		  .help = "of md,json,ndjson,svg,folded (default: all but ndjson)",                \
		  .parse = opt_set,                                                                \
		  .offset = offsetof(struct out_opts, formats),                                    \
		  .data = out_format_words },                                                      \
		{ .name = "json",                                                                  \
		  .help = "print summary.json on standard output, nothing else",                   \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct out_opts, json) },                                     \
		{ .name = "quiet",                                                                 \
		  .letter = 'q',                                                                   \
		  .help = "only errors",                                                           \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct out_opts, quiet) },                                    \
		{ .name = "verbose",                                                               \
		  .letter = 'v',                                                                   \
		  .help = "also say what is being done",                                           \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct out_opts, verbose) },                                  \
		{ .name = "no-color",                                                              \
		  .help = "no colours; NO_COLOR in the environment does the same",                 \
		  .parse = opt_false,                                                              \
		  .offset = offsetof(struct out_opts, color) },                                    \
	{                                                                                          \
		.name = "no-progress", .help = "no progress line", .parse = opt_false,             \
		.offset = offsetof(struct out_opts, progress)                                      \
	}

/* After parsing: -q against -v, NO_COLOR, the log level. 0, or -EINVAL with err filled. */
int out_opts_finish(struct out_opts *o, char *err);

#endif
