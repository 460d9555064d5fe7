/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all subcommands share: their options, help, version and how they print.
 *
 * Input: the command's row and its arguments. Output: filled options, or an exit status. Kept away
 * from main.c so that a command never needs to know the table it stands in.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "cmd/cmd.h"

int cmd_print(const struct buf *out)
{
	int err = out->oom ? -ENOMEM : fd_write_all(STDOUT_FILENO, out->p, out->n);

	if (!err)
		return EXIT_OK;
	log_err("cannot write to standard output: %s", strerror(-err));
	return EXIT_FAILED;
}

int cmd_usage_error(const struct cmd *c, const char *fmt, ...)
{
	_release_(buf) struct buf b = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&b, fmt, ap);
	va_end(ap);
	log_err("%s; see 'hostprof %s --help'", b.p ? b.p : "out of memory", c->name);
	return EXIT_USAGE;
}

static int cmd_help(const struct cmd *c)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_addf(&b, "Usage: hostprof %s %s\n\n%s\n\nOptions:\n", c->name, c->usage, c->help);
	options_help(c->opts, &b);
	return cmd_print(&b);
}

static int cmd_version(void)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_addf(&b, "hostprof %s\n", HOSTPROF_VERSION);
	return cmd_print(&b);
}

bool cmd_options(const struct cmd *c, struct args *a, void *store, int *ret_status)
{
	char err[OPT_ERR_MAX] = "";
	int res = options_parse(c->opts, store, a->argc, a->argv, &a->npos, err);

	a->pos = a->argv + 1;
	switch (res) {
	case OPT_GO:
		return true;
	case OPT_HELP:
		*ret_status = cmd_help(c);
		return false;
	case OPT_VERSION:
		*ret_status = cmd_version();
		return false;
	}
	log_err("%s", err);
	*ret_status = EXIT_USAGE;
	return false;
}
