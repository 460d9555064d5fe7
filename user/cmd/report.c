/* SPDX-License-Identifier: Apache-2.0 */
/* hostprof report: the report again from a capture, by anyone who can read the file. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/analyst.h"
#include "cmd/cmd.h"
#include "decode/capture.h"

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

static void open_error(const char *path, int err)
{
	if (err == -EACCES && geteuid())
		log_err("cannot open '%s': %s; a report belongs to who ran attach, to root without "
			"sudo: use sudo, or 'sudo chown -R \"$USER\" DIR' its directory",
			path, strerror(-err));
	else
		log_err("cannot open '%s': %s", path, strerror(-err));
}

/* A capture, or a directory that holds one. A descriptor or -errno. */
static int open_capture(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), inner;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISDIR(st.st_mode))
		return fd;
	inner = openat(fd, OUT_CAPTURE_FILE, O_RDONLY | O_CLOEXEC);
	if (inner < 0)
		inner = -errno;
	close(fd);
	return inner;
}

static void header_error(const char *path, int err, const struct capture_header *h)
{
	switch (err) {
	case -EINVAL:
		log_err("'%s' is no hostprof capture", path);
		break;
	case -ENODATA:
		log_err("'%s' is too short to be a hostprof capture", path);
		break;
	case -EPROTONOSUPPORT:
		log_err("'%s' was written by hostprof %s in format %u; this one reads format %u",
			path, h->version, h->major, HP_ABI_VERSION);
		break;
	default:
		log_err("cannot read '%s': %s", path, strerror(-err));
	}
}

static int report_run(const struct cmd *c, struct args *a)
{
	struct report_opts o = { .common = COMMON_OPTS_INIT };
	_release_(outs) struct outs outs = { .parent_fd = -1, .tmp_fd = -1 };
	struct capture_header header = { 0 };
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
	fd = open_capture(a->pos[0]);
	if (fd < 0) {
		open_error(a->pos[0], fd);
		return EXIT_FAILED;
	}
	err = capture_read_header(fd, &header);
	if (err) {
		header_error(a->pos[0], err, &header);
		return EXIT_FAILED;
	}
	if (o.common.output) {
		err = outs_begin(&outs, o.common.output, o.common.force);
		if (err) {
			log_err("%s", outs.err);
			return EXIT_FAILED;
		}
		ao.outs = &outs;
	}
	ao.stream_fd = fd;
	ao.show_literals = header.flags & CAPTURE_LITERALS;
	ao.no_http = header.flags & CAPTURE_NO_HTTP;
	ao.no_db = header.flags & CAPTURE_NO_DB;
	return analyst_run(&ao);
}

const struct cmd cmd_report = {
	.name = "report",
	.usage = "CAPTURE|DIR [-o DIR] [options]",
	.help = "make the report again from a capture, without privileges",
	.opts = report_opt_rows,
	.run = report_run,
};
