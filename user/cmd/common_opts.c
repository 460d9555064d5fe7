/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second half of the options that attach and report share: what no row can check by itself.
 *
 * Input: parsed struct common_opts and the environment. Output: the same, settled, and the log level.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/common_opts.h"
#include "out/outs.h"

int common_opt_formats(const struct opt *o, void *field, const char *text, char *err)
{
	_release_(buf) struct buf names = BUF_INIT;
	struct slice bad = { 0 };

	if (!outs_parse_formats(text, field, &bad))
		return 0;
	outs_format_names(&names);
	snprintf(err, OPT_ERR_MAX, "--%s: '%.*s' is no format; choose from %s", o->name,
		 (int)MIN(bad.n, (size_t)40), bad.n ? bad.p : "", names.p ? names.p : "");
	return -EINVAL;
}

int opt_without(const struct opt *o, void *field, const char *text, char *err)
{
	struct without *w = field;

	if (w->n == WITHOUT_MAX) {
		snprintf(err, OPT_ERR_MAX, "--%s: more than %d features; name each once", o->name,
			 WITHOUT_MAX);
		return -EINVAL;
	}
	w->keys[w->n++] = text;
	return 0;
}

int common_opts_finish(struct common_opts *o, char *err)
{
	const char *no_color = getenv("NO_COLOR");

	if (o->quiet && o->verbose) {
		snprintf(err, OPT_ERR_MAX, "--quiet and --verbose contradict each other; give one");
		return -EINVAL;
	}
	if (!o->formats)
		o->formats = outs_default_formats();
	if (no_color && *no_color)
		o->color = false;
	if (o->quiet)
		o->progress = false;
	log_set_level(o->quiet ? LOG_ERR : o->verbose ? LOG_DEBUG : LOG_INFO);
	return 0;
}
