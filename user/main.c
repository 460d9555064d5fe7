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

extern const struct cmd cmd_attach, cmd_report, cmd_compare, cmd_doctor;

static const struct cmd *const cmds[] = { &cmd_attach, &cmd_report, &cmd_compare, &cmd_doctor };

static void add_usage(struct buf *b)
{
	size_t i;

	buf_adds(b, "Usage: hostprof COMMAND [options]\n"
		    "       hostprof PID [options]        the same as hostprof attach PID\n\n"
		    "Commands:\n");
	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		buf_addf(b, "  %-10s %s\n", cmds[i]->name, cmds[i]->help);
	buf_addf(b, "  %-10s %s\n", "help", "this text, or with a command its options");
	buf_adds(b, "\n'hostprof COMMAND --help' lists the options of a command.\n");
}

static int usage(void)
{
	_release_(buf) struct buf b = BUF_INIT;

	add_usage(&b);
	return cmd_print(&b);
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

static const struct cmd *find_command(const char *word)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cmds); i++)
		if (!strcmp(word, cmds[i]->name))
			return cmds[i];
	return NULL;
}

/* "hostprof help attach" is "hostprof attach --help". */
static int help(int nwords, char **words)
{
	char option[] = "--help";
	char *argv[] = { words[0], option, NULL };
	struct args a = { .argc = 2, .argv = argv };
	const struct cmd *c;

	if (!nwords)
		return usage();
	c = find_command(words[0]);
	if (!c)
		return unknown_command(words[0]);
	if (nwords > 1) {
		log_err("help takes one command; see 'hostprof help'");
		return EXIT_USAGE;
	}
	return c->run(c, &a);
}

int main(int argc, char **argv)
{
	struct args a = { .argc = argc, .argv = argv };
	const char *word = argc > 1 ? argv[1] : NULL;
	const struct cmd *c;

	/* A file size limit is an error to report like a full disk, not a reason to die. */
	signal(SIGXFSZ, SIG_IGN);
	if (!word) {
		log_err("no command; 'hostprof PID' profiles a process, 'hostprof --help' lists "
			"all");
		return EXIT_USAGE;
	}
	if (!strcmp(word, "--help") || !strcmp(word, "-h"))
		return usage();
	if (!strcmp(word, "help"))
		return help(argc - 2, argv + 2);
	c = find_command(word);
	if (c) {
		a.argc--;
		a.argv++;
		return c->run(c, &a);
	}
	if (*word == '-' || (*word >= '0' && *word <= '9'))
		return cmd_attach.run(&cmd_attach, &a);
	return unknown_command(word);
}
