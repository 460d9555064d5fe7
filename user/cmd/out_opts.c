/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Second half of the shared output options: what no single row can check.
 *
 * Input: parsed struct out_opts and the environment. Output: the same, settled, and the log level.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/log.h"
#include "cmd/out_opts.h"

const char *const out_format_words[] = { "md", "json", "ndjson", "svg", "folded", NULL };

int out_opts_finish(struct out_opts *o, char *err)
{
	const char *no_color = getenv("NO_COLOR");

	if (o->quiet && o->verbose) {
		snprintf(err, OPT_ERR_MAX, "--quiet and --verbose contradict each other; give one");
		return -EINVAL;
	}
	if (no_color && *no_color)
		o->color = false;
	if (o->quiet)
		o->progress = false;
	log_set_level(o->quiet ? LOG_ERR : o->verbose ? LOG_DEBUG : LOG_INFO);
	return 0;
}
