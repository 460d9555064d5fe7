/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 6 of the flow: a finished struct agg in, files and a terminal summary out.
 *
 * A new output is one file with a write function and one row in outs.c. Outputs read the aggregates
 * and add bytes to a buffer; they ask neither clock nor machine, so that a replay writes the same
 * bytes. Where the bytes go is outdir.c's business: a report directory is filled under a temporary
 * name and renamed when it is whole.
 */
#ifndef OUT_OUTS_H
#define OUT_OUTS_H

#include <sys/types.h>
#include "agg/agg.h"
#include "base/buf.h"

struct out_opts {
	const char *dir; /* report directory as the user named it; NULL: nothing is written */
	u32 formats; /* what is written there, for the files line */
	bool capture; /* and the capture with it */
	unsigned width; /* columns of the terminal summary, 0 = 80 */
	bool color; /* terminal summary only */
};

/* What --format chooses from. The order is that of the table, and of the files line. */
enum out_format {
	OUT_MD,
	OUT_JSON,
	OUT_SVG,
	OUT_FOLDED,
	OUT_HTML,
	OUT_PPROF,
	OUT_SPEEDSCOPE,
	OUT_PERFETTO,
	OUT_NDJSON,
	OUT_OFFCPU_SVG,
	OUT_OFFCPU_FOLDED,
	OUT_OFFCPU_HTML,
	OUT_OFFCPU_PPROF,
	OUT_OFFCPU_SPEEDSCOPE,
	OUT_WAKERS_FOLDED,
	OUT_WAKERS_HTML,
	OUT_FORMATS,
};
#define OUT_BIT(format) (1u << (format))

struct output {
	const char *name; /* in --format; several files may go by one */
	const char *file; /* in the report directory */
	/* 0 or -errno. NULL: the file is written while the window runs, by who has the rows. */
	int (*write)(const struct agg *agg, struct buf *out, const struct out_opts *opts);
	bool (*wanted)(const struct agg_report *rep); /* NULL: always; false: no file this time */
	bool by_default;
};

extern const struct output outputs[OUT_FORMATS];
#define OUT_CAPTURE_FILE "capture.hpcap"

u32 outs_default_formats(void);
/* "md,json" to a mask of OUT_BIT()s; -EINVAL, then *ret_bad is the word that is no format. */
int outs_parse_formats(const char *list, u32 *ret_mask, struct slice *ret_bad);
/* All names, "md, json, …", for help and errors. */
void outs_format_names(struct buf *out);

/* One output each, for callers that want bytes instead of files. */
int out_summary(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_markdown(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_text(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_cpu_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_cpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_cpu_html(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_cpu_pprof(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_cpu_speedscope(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_timeline(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_offcpu_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_offcpu_svg(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_offcpu_html(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_offcpu_pprof(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_offcpu_speedscope(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_wakers_folded(const struct agg *agg, struct buf *out, const struct out_opts *opts);
int out_wakers_html(const struct agg *agg, struct buf *out, const struct out_opts *opts);

/* Colour only on a terminal that can, and not under NO_COLOR or --no-color. */
bool out_use_color(int fd, bool no_color);
unsigned out_width(int fd); /* columns of the terminal, 80 when there is none */

/* JSON Schema of a file of the report, by NAME of `--schema NAME`; -ENOENT when there is none. */
int schema_write(const char *name, struct buf *out);
void schema_names(struct buf *out);

/*
 * A report directory under way. Between begin and commit its files are in `tmp`, where others may
 * add theirs (the capture, requests.ndjson): plain files, no directories. Until commit returns 0
 * nothing appears under a final name. After any failure `err` is the line to print, with the fix,
 * and outs_abort() (also the destructor) removes what was written.
 */
struct outs {
	char *dir; /* final path */
	char *tmp; /* path of the temporary directory; NULL when none */
	int parent_fd; /* directory that holds tmp */
	int tmp_fd;
	const char *tmp_name; /* inside parent_fd */
	const char *name; /* final name inside parent_fd; NULL: parent_fd is the directory itself */
	uid_t uid; /* owner of the result, (uid_t)-1 = unchanged */
	gid_t gid;
	char err[256];
};

/* Zeroes o first. -EEXIST without force when dir exists, else -errno of what was not possible. */
int outs_begin(struct outs *o, const char *dir, bool force);
/* Writes the files of all formats of the mask into tmp. */
int outs_write(struct outs *o, const struct agg *agg, u32 formats, const struct out_opts *opts);
/* Any other file. */
int outs_add(struct outs *o, const char *name, const struct buf *data);
int outs_commit(struct outs *o);
void outs_abort(struct outs *o);

static inline void outs_release(struct outs *o)
{
	outs_abort(o);
}

/* All four in one. err (may be NULL) gets the line to print. */
int outs_write_dir(const struct agg *agg, const char *dir, bool force, u32 formats,
		   const struct out_opts *opts, char *err, size_t err_size);

#endif
