/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Options that attach and report share: what is written, where, and how loud. A command embeds
 * struct common_opts as the first member of its own options and puts COMMON_OPT_ROWS in its table.
 */
#ifndef CMD_COMMON_OPTS_H
#define CMD_COMMON_OPTS_H

#include "base/options.h"

struct common_opts {
	const char *output; /* directory; NULL = the default name */
	u32 formats; /* mask of OUT_BIT()s */
	bool force; /* an existing directory may be written to */
	bool json; /* standard output carries summary.json and nothing else */
	bool quiet;
	bool verbose;
	bool color; /* allowed by options and NO_COLOR; the writer also asks isatty() */
	bool progress;
};

#define COMMON_OPTS_INIT                                                                           \
	{                                                                                          \
		.color = true, .progress = true                                                    \
	}

/* Features that --without names, one or A,B a key. The words are looked up by without_apply() (cmd/without.h). */
#define WITHOUT_MAX 32
struct without {
	const char *keys[WITHOUT_MAX];
	u32 n;
};

int opt_without(const struct opt *o, void *field, const char *text, char *err);

/* For commands whose options S have a field `without`. */
#define WITHOUT_OPT_ROW(S)                                                                         \
	{                                                                                          \
		.name = "without", .arg = "FEATURE",                                               \
		.help = "as on a kernel that lacks FEATURE; repeatable or A,B; doctor lists them", \
		.parse = opt_without, .offset = offsetof(S, without), .repeats = true              \
	}

/* Parse function of --format. */
int common_opt_formats(const struct opt *o, void *field, const char *text, char *err);

#define COMMON_OPT_ROWS                                                                            \
	{ .name = "output",                                                                        \
	  .letter = 'o',                                                                           \
	  .arg = "DIR",                                                                            \
	  .help = "directory for the report; refused when it exists (see --force)",                \
	  .parse = opt_text,                                                                       \
	  .offset = offsetof(struct common_opts, output) },                                        \
		{ .name = "force",                                                                 \
		  .help = "write into an existing directory",                                      \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct common_opts, force) },                                 \
		{ .name = "format",                                                                \
		  .arg = "LIST",                                                                   \
		  .help = "of md,json,svg,folded,html,pprof,speedscope,perfetto,ndjson (default: " \
			  "all but "                                                               \
			  "ndjson)",                                                               \
		  .parse = common_opt_formats,                                                     \
		  .offset = offsetof(struct common_opts, formats) },                               \
		{ .name = "json",                                                                  \
		  .help = "summary.json on standard output; no files unless -o is given",          \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct common_opts, json) },                                  \
		{ .name = "quiet",                                                                 \
		  .letter = 'q',                                                                   \
		  .help = "only errors",                                                           \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct common_opts, quiet) },                                 \
		{ .name = "verbose",                                                               \
		  .letter = 'v',                                                                   \
		  .help = "also say what is being done",                                           \
		  .parse = opt_true,                                                               \
		  .offset = offsetof(struct common_opts, verbose) },                               \
		{ .name = "no-color",                                                              \
		  .help = "no colours; NO_COLOR in the environment does the same",                 \
		  .parse = opt_false,                                                              \
		  .offset = offsetof(struct common_opts, color) },                                 \
	{                                                                                          \
		.name = "no-progress", .help = "no progress line", .parse = opt_false,             \
		.offset = offsetof(struct common_opts, progress)                                   \
	}

/* Ways to name a target, for commands whose options S have fields port, name and cgroup. */
#define TARGET_OPT_ROWS(S)                                                                         \
	{ .name = "port",                                                                          \
	  .arg = "N",                                                                              \
	  .help = "the processes that listen on TCP port N",                                       \
	  .parse = opt_u32,                                                                        \
	  .offset = offsetof(S, port),                                                             \
	  .min = 1,                                                                                \
	  .max = 65535 },                                                                          \
		{ .name = "name",                                                                  \
		  .arg = "GLOB",                                                                   \
		  .help = "the processes of that name: program, script, module, or MODULE:APP",    \
		  .parse = opt_text,                                                               \
		  .offset = offsetof(S, name) },                                                   \
	{                                                                                          \
		.name = "cgroup", .arg = "PATH", .help = "the processes in that cgroup and below", \
		.parse = opt_text, .offset = offsetof(S, cgroup)                                   \
	}

/* Default formats, -q against -v, NO_COLOR, log level. 0, or -EINVAL with err filled. */
int common_opts_finish(struct common_opts *o, char *err);

#endif
