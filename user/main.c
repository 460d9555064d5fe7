/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of subcommands and the choice between them; nothing else happens here.
 *
 * `hostprof PID …`, and options without a command, are the short form of `hostprof attach …`.
 */
#include <signal.h>
#include <string.h>
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/cmd.h"

extern const struct cmd cmd_attach, cmd_report, cmd_doctor;

static const struct cmd *const cmds[] = { &cmd_attach, &cmd_report, &cmd_doctor };

static void add_usage(struct buf *b)
{
	size_t i;

	buf_adds(b, "Usage: hostprof COMMAND [options]\n"
		    "       hostprof PID [options]        the same as hostprof attach PID\n\n"
		    "Commands:\n");
	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		buf_addf(b, "  %-10s %s\n", cmds[i]->name, cmds[i]->help);
	buf_adds(b, "\n'hostprof COMMAND --help' lists the options of a command.\n");
}

static int unknown_command(const char *word)
{
	const char *names[ARRAY_SIZE(cmds)], *near;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		names[i] = cmds[i]->name;
	near = options_nearest(word, names, ARRAY_SIZE(names));
	if (near)
		log_err("unknown command '%.80s'; did you mean '%s'?", word, near);
	else
		log_err("unknown command '%.80s'; see 'hostprof --help'", word);
	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct args a = { .argc = argc, .argv = argv };
	const char *word = argc > 1 ? argv[1] : NULL;
	size_t i;

	/* A file size limit is an error to report like a full disk, not a reason to die. */
	signal(SIGXFSZ, SIG_IGN);
	if (!word) {
		log_err("no command; 'hostprof PID' profiles a process, 'hostprof --help' lists "
			"all");
		return EXIT_USAGE;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h")) {
		add_usage(&b);
		return cmd_print(&b);
	}
	for (i = 0; i < ARRAY_SIZE(cmds); i++) {
		if (strcmp(word, cmds[i]->name))
			continue;
		a.argc--;
		a.argv++;
		return cmds[i]->run(cmds[i], &a);
	}
	if (*word == '-' || (*word >= '0' && *word <= '9'))
		return cmd_attach.run(&cmd_attach, &a);
	return unknown_command(word);
}
