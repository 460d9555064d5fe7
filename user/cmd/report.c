/* SPDX-License-Identifier: Apache-2.0 */
/* hostprof report: the report again from a capture, by anyone who can read the file. */
#include <errno.h>
#include <string.h>

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/capturefile.h"
#include "cmd/cmd.h"

struct report_opts {
	struct common_opts common; /* first: COMMON_OPT_ROWS offsets start here */
	const char *schema;
};

static const struct opt report_opt_rows[] = {
	COMMON_OPT_ROWS,
	{ .name = "schema",
	  .arg = "NAME",
	  .help = "print the JSON Schema of a report file (summary) and exit",
	  .parse = opt_text,
	  .offset = offsetof(struct report_opts, schema) },
	{ .name = NULL },
};

static int print_schema(const struct cmd *c, const char *name)
{
	_release_(buf) struct buf out = BUF_INIT, names = BUF_INIT;

	if (schema_write(name, &out)) {
		schema_names(&names);
		return cmd_usage_error(c, "no schema is named '%s': there is %s", name,
				       names.p ? names.p : "none");
	}
	return cmd_print(&out);
}

static int report_run(const struct cmd *c, struct args *a)
{
	struct report_opts o = { .common = COMMON_OPTS_INIT };
	_release_(outs) struct outs outs = { .parent_fd = -1, .tmp_fd = -1 };
	struct analyst_opts ao = { .common = &o.common, .chan_fd = -1 };
	_close_ int fd = -1;
	char err_text[OPT_ERR_MAX];
	int err, status;

	if (!cmd_options(c, a, &o, &status))
		return status;
	if (common_opts_finish(&o.common, err_text))
		return cmd_usage_error(c, "%s", err_text);
	if (o.schema)
		return print_schema(c, o.schema);
	/* They are for measuring: a file that setcap made powerful reads no more than its caller. */
	err = caps_drop();
	if (err) {
		log_err("cannot give up capabilities: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (a->npos != 1)
		return cmd_usage_error(c, "report takes one capture or report directory");
	if (capturefile_open(a->pos[0], &ao))
		return EXIT_FAILED;
	fd = ao.stream_fd;
	if (o.common.output) {
		err = outs_begin(&outs, o.common.output, o.common.force);
		if (err) {
			log_err("%s", outs.err);
			return EXIT_FAILED;
		}
		ao.outs = &outs;
	}
	return analyst_run(&ao);
}

const struct cmd cmd_report = {
	.name = "report",
	.usage = "CAPTURE|DIR [-o DIR] [options]",
	.help = "make the report again from a capture, without privileges",
	.opts = report_opt_rows,
	.run = report_run,
};
