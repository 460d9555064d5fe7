/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostprof compare: what is more, less, new and gone between two recordings. Reads both captures as
 * report does; writes a differential flame page for each profile that both have, and says in a few lines
 * which functions the difference is in.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/capturefile.h"
#include "cmd/cmd.h"
#include "out/compare.h"
#include "out/profiles.h"

struct compare_opts {
	struct common_opts common; /* of it output, force, quiet, verbose */
};

static const struct opt compare_opt_rows[] = {
	{ .name = "output",
	  .letter = 'o',
	  .arg = "DIR",
	  .help = "directory for cpu.html and offcpu.html; refused when it exists (see --force)",
	  .parse = opt_text,
	  .offset = offsetof(struct compare_opts, common.output) },
	{ .name = "force",
	  .help = "write into an existing directory",
	  .parse = opt_true,
	  .offset = offsetof(struct compare_opts, common.force) },
	{ .name = "quiet",
	  .letter = 'q',
	  .help = "only errors",
	  .parse = opt_true,
	  .offset = offsetof(struct compare_opts, common.quiet) },
	{ .name = "verbose",
	  .letter = 'v',
	  .help = "also say what is being done",
	  .parse = opt_true,
	  .offset = offsetof(struct compare_opts, common.verbose) },
	{ .name = NULL },
};

struct pair {
	struct agg *before;
	struct agg *after;
};

static void pair_release(struct pair *p)
{
	agg_free(p->before);
	agg_free(p->after);
}

static int load(const char *path, const struct common_opts *common, struct agg **ret)
{
	struct analyst_opts ao = { .common = common, .chan_fd = -1, .one_process = true };
	_close_ int fd = -1;

	if (capturefile_open(path, &ao))
		return EXIT_FAILED;
	fd = ao.stream_fd;
	return analyst_load(&ao, ret);
}

static int write_page(const struct pair *p, enum profile_kind kind, struct outs *outs)
{
	_release_(buf) struct buf page = BUF_INIT;
	int err = profile_compare(p->before, p->after, kind, &page);

	if (err == -EDOM) {
		log_err("the two were sampled at different frequencies: record both with one "
			"--freq");
		return err;
	}
	if (!err)
		err = outs_add(outs, kind == PROFILE_CPU ? "cpu.html" : "offcpu.html", &page);
	if (err)
		log_err("%s", outs->err[0] ? outs->err : strerror(-err));
	return err;
}

static int write_pages(const struct pair *p, const struct common_opts *common)
{
	_release_(outs) struct outs outs = { .parent_fd = -1, .tmp_fd = -1 };
	u32 kind;

	if (outs_begin(&outs, common->output, common->force)) {
		log_err("%s", outs.err);
		return EXIT_FAILED;
	}
	for (kind = PROFILE_CPU; kind <= PROFILE_WAITS; kind++)
		if (profile_recorded(p->before, kind) && profile_recorded(p->after, kind) &&
		    write_page(p, kind, &outs))
			return EXIT_FAILED;
	if (outs_commit(&outs)) {
		log_err("%s", outs.err);
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static int compare_run(const struct cmd *c, struct args *a)
{
	struct compare_opts o = { .common = COMMON_OPTS_INIT };
	_release_(pair) struct pair p = { 0 };
	_release_(buf) struct buf text = BUF_INIT;
	char err_text[OPT_ERR_MAX];
	int err, status;

	if (!cmd_options(c, a, &o, &status))
		return status;
	if (common_opts_finish(&o.common, err_text))
		return cmd_usage_error(c, "%s", err_text);
	if (a->npos != 2)
		return cmd_usage_error(c, "compare takes two captures or report directories: "
					  "the one before, then the one after");
	/* They are for measuring: a file that setcap made powerful reads no more than its caller. */
	err = caps_drop();
	if (err) {
		log_err("cannot give up capabilities: %s", strerror(-err));
		return EXIT_FAILED;
	}
	status = load(a->pos[0], &o.common, &p.before);
	if (status == EXIT_OK)
		status = load(a->pos[1], &o.common, &p.after);
	if (status != EXIT_OK)
		return status;
	if (compare_text(p.before, p.after, &text)) {
		log_err("out of memory");
		return EXIT_FAILED;
	}
	if (!text.n) {
		log_err("there is no profile that both recordings have");
		return EXIT_INCONCLUSIVE;
	}
	if (o.common.output) {
		status = write_pages(&p, &o.common);
		if (status != EXIT_OK)
			return status;
	}
	return o.common.quiet ? EXIT_OK : cmd_print(&text);
}

const struct cmd cmd_compare = {
	.name = "compare",
	.usage = "BEFORE AFTER [-o DIR] [options]",
	.help = "what differs between the stacks of two captures or report directories",
	.opts = compare_opt_rows,
	.run = compare_run,
};
