/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a subcommand is. Each has one file that defines one `const struct cmd cmd_NAME`; main.c
 * holds the table of them and knows nothing else about any.
 *
 * run() gets the arguments behind its name and calls cmd_options() first:
 *
 *	static int foo_run(const struct cmd *c, struct args *a)
 *	{
 *		struct foo_opts o = { defaults };
 *		int status;
 *
 *		if (!cmd_options(c, a, &o, &status))
 *			return status;
 */
#ifndef CMD_CMD_H
#define CMD_CMD_H

#include "base/exit.h"
#include "base/options.h"

struct args {
	int argc;
	char **argv; /* argv[0] is the command's name */
	int npos; /* positional arguments, after cmd_options() */
	char **pos;
};

struct cmd {
	const char *name;
	const char *usage; /* what follows the name: "PID… [options]" */
	const char *help; /* one line */
	const struct opt *opts; /* ends with a row without a name */
	int (*run)(const struct cmd *c, struct args *a); /* returns the exit status */
};

/* False: the command is over with *ret_status (help or version printed, or an error logged). */
bool cmd_options(const struct cmd *c, struct args *a, void *store, int *ret_status);
/* Logs "… ; see 'hostprof NAME --help'" and gives EXIT_USAGE. */
int cmd_usage_error(const struct cmd *c, const char *fmt, ...) PRINTF(2, 3);
/* Writes to standard output; EXIT_OK or EXIT_FAILED (logged) on a full disk or closed pipe. */
int cmd_print(const struct buf *out);

#endif
