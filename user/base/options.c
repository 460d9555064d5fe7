/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Table-driven options over getopt_long().
 *
 * Input: a table of rows and argv. Output: fields of the command's options, positional arguments,
 * or one line that says what is wrong and how to put it right. getopt_long() does the splitting
 * (clusters of short letters, `--name=value`); what it leaves to luck is checked here: abbreviated
 * names, options given twice, and numbers that a C library would take for something else.
 */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <string.h>
#include "base/file.h"
#include "base/options.h"

#define HELP_COLUMN 28
#define LONG_CODE 256 /* codes of long options start here: no letter has them */

int parse_uint(const char *s, u64 min, u64 max, u64 *ret)
{
	u64 v = 0;

	if (!*s)
		return -EINVAL;
	for (; *s; s++)
		if (*s < '0' || *s > '9' || __builtin_mul_overflow(v, 10, &v) ||
		    __builtin_add_overflow(v, (u64)(*s - '0'), &v))
			return -EINVAL;
	if (v < min || v > max)
		return -EINVAL;
	*ret = v;
	return 0;
}

static int opt_bad(const struct opt *o, char *err, const char *text, const char *want)
{
	snprintf(err, OPT_ERR_MAX, "--%s: '%.80s' %s", o->name, text, want);
	return -EINVAL;
}

static int opt_range(const struct opt *o, char *err, const char *text, const char *range)
{
	if (o->fix)
		return opt_bad(o, err, text, o->fix);
	return opt_bad(o, err, text, range);
}

int opt_true(const struct opt *o, void *field, const char *text, char *err)
{
	(void)o;
	(void)text;
	(void)err;
	*(bool *)field = true;
	return 0;
}

int opt_false(const struct opt *o, void *field, const char *text, char *err)
{
	(void)o;
	(void)text;
	(void)err;
	*(bool *)field = false;
	return 0;
}

int opt_text(const struct opt *o, void *field, const char *text, char *err)
{
	if (!*text)
		return opt_bad(o, err, text, "is empty; give a value");
	*(const char **)field = text;
	return 0;
}

int opt_u32(const struct opt *o, void *field, const char *text, char *err)
{
	char range[96];
	u64 v;

	snprintf(range, sizeof(range), "is not a whole number from %llu to %llu",
		 (unsigned long long)o->min, (unsigned long long)o->max);
	if (parse_uint(text, o->min, MIN(o->max, UINT32_MAX), &v))
		return opt_range(o, err, text, range);
	*(u32 *)field = (u32)v;
	return 0;
}

int opt_duration(const struct opt *o, void *field, const char *text, char *err)
{
	u64 ns;

	if (parse_duration(text, &ns))
		return opt_bad(o, err, text,
			       "is not a duration; write it like 500ms, 30s, 5m or 2h");
	if (ns < o->min || ns > o->max)
		return opt_range(o, err, text, "is out of range");
	*(u64 *)field = ns;
	return 0;
}

int opt_bytes(const struct opt *o, void *field, const char *text, char *err)
{
	u64 n;

	if (parse_bytes(text, &n))
		return opt_bad(o, err, text, "is not a size; write it like 512, 10k or 64MiB");
	if (n < o->min || n > o->max)
		return opt_range(o, err, text, "is out of range");
	*(u64 *)field = n;
	return 0;
}

/* Edit distance, at most 32 letters: "--durration" is 1 from "--duration". */
static size_t distance(const char *a, const char *b)
{
	size_t n = strlen(a), m = strlen(b), row[33], i, j;

	if (n > 32 || m > 32)
		return 33;
	for (j = 0; j <= m; j++)
		row[j] = j;
	for (i = 1; i <= n; i++) {
		size_t diag = row[0], up;

		row[0] = i;
		for (j = 1; j <= m; j++) {
			up = row[j];
			row[j] = MIN(MIN(row[j], row[j - 1]) + 1, diag + (a[i - 1] != b[j - 1]));
			diag = up;
		}
	}
	return row[m];
}

const char *options_nearest(const char *word, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t i, best_d = 3; /* more than two slips is another word */

	for (i = 0; i < n; i++) {
		size_t d = distance(word, names[i]);

		if (d < best_d && d < strlen(names[i])) {
			best = names[i];
			best_d = d;
		}
	}
	return best;
}

static int unknown_option(const struct opt *opts, const char *arg, int letter, char *err)
{
	const char *names[OPT_ROWS_MAX + 2] = { "help", "version" }, *near;
	char word[64];
	size_t n = 2;

	if (arg[0] != '-' || arg[1] != '-') {
		if (letter >= '0' && letter <= '9')
			snprintf(err, OPT_ERR_MAX,
				 "'%.80s' is neither an option nor a process id; ids are positive",
				 arg);
		else
			snprintf(err, OPT_ERR_MAX, "unknown option '-%c'; see --help", letter);
		return -EINVAL;
	}
	for (; opts->name && n < ARRAY_SIZE(names); opts++)
		names[n++] = opts->name;
	snprintf(word, sizeof(word), "%.*s", (int)strcspn(arg + 2, "="), arg + 2);
	near = options_nearest(word, names, n);
	if (near)
		snprintf(err, OPT_ERR_MAX, "unknown option '--%s'; did you mean --%s?", word, near);
	else
		snprintf(err, OPT_ERR_MAX, "unknown option '--%s'; see --help", word);
	return -EINVAL;
}

/* seen[i]: row i was given. */
static int take_row(const struct opt *opts, size_t i, const char *text, bool *seen, void *store,
		    char *err)
{
	const struct opt *o = &opts[i];
	size_t k;

	if (seen[i] && o->arg && !o->repeats) {
		snprintf(err, OPT_ERR_MAX, "--%s is given twice; give it once", o->name);
		return -EINVAL;
	}
	for (k = 0; opts[k].name; k++) {
		if (k != i && seen[k] && opts[k].offset == o->offset) {
			snprintf(err, OPT_ERR_MAX, "--%s and --%s contradict each other; give one",
				 opts[k].name, o->name);
			return -EINVAL;
		}
	}
	seen[i] = true;
	return o->parse(o, (char *)store + o->offset, text, err);
}

int options_parse(const struct opt *opts, void *store, int argc, char **argv, int *ret_npos,
		  char *err)
{
	struct option longs[OPT_ROWS_MAX + 3] = { 0 };
	char shorts[2 * OPT_ROWS_MAX + 8] = "-:h"; /* '-': positionals come as code 1, in order */
	bool seen[OPT_ROWS_MAX] = { false };
	size_t n, ns = strlen(shorts), i;
	int npos = 0;

	for (n = 0; opts[n].name; n++) {
		if (n == OPT_ROWS_MAX)
			return -E2BIG;
		longs[n] = (struct option){ opts[n].name,
					    opts[n].arg ? required_argument : no_argument, NULL,
					    LONG_CODE + (int)n };
		if (opts[n].letter) {
			shorts[ns++] = opts[n].letter;
			if (opts[n].arg)
				shorts[ns++] = ':';
		}
	}
	longs[n] = (struct option){ "help", no_argument, NULL, 'h' };
	longs[n + 1] = (struct option){ "version", no_argument, NULL, LONG_CODE + OPT_ROWS_MAX };
	*ret_npos = 0;
	opterr = 0;
	optind = 0; /* glibc: start afresh */
	for (;;) {
		int at = optind ? optind : 1, longindex = -1, c, res;
		const char *arg = at < argc ? argv[at] : "";

		c = getopt_long(argc, argv, shorts, longs, &longindex);
		if (c == -1)
			break;
		if (c == 1) {
			argv[++npos] = optarg;
			continue;
		}
		if (longindex >= 0 && strcspn(arg + 2, "=") != strlen(longs[longindex].name))
			return unknown_option(opts, arg, 0, err);
		if (c == 'h')
			return OPT_HELP;
		if (c == LONG_CODE + OPT_ROWS_MAX)
			return OPT_VERSION;
		if (c == ':') {
			snprintf(err, OPT_ERR_MAX, "option '%.80s' needs a value; see --help", arg);
			return -EINVAL;
		}
		if (c == '?') {
			/* optopt of a known long option: it was given a value that it does not take. */
			if (optopt >= LONG_CODE || (optopt == 'h' && strchr(arg, '='))) {
				snprintf(err, OPT_ERR_MAX, "option '%.*s' takes no value",
					 (int)strcspn(arg, "="), arg);
				return -EINVAL;
			}
			return unknown_option(opts, arg, optopt, err);
		}
		for (i = 0; i < n; i++)
			if (c == LONG_CODE + (int)i || (opts[i].letter && c == opts[i].letter))
				break;
		res = take_row(opts, i, optarg, seen, store, err);
		if (res)
			return res;
	}
	/* After "--": npos + 1 never passes optind, so nothing is overwritten before it is read. */
	while (optind < argc)
		argv[++npos] = argv[optind++];
	*ret_npos = npos;
	return OPT_GO;
}

static void help_row(struct buf *out, char letter, const char *name, const char *arg,
		     const char *help)
{
	size_t start = out->n;

	if (letter)
		buf_addf(out, "  -%c, ", letter);
	else
		buf_adds(out, "      ");
	buf_addf(out, "--%s%s%s", name, arg ? " " : "", arg ? arg : "");
	if (out->n - start >= HELP_COLUMN) {
		buf_addch(out, '\n');
		start = out->n;
	}
	while (!out->oom && out->n - start < HELP_COLUMN)
		buf_addch(out, ' ');
	buf_addf(out, "%s\n", help);
}

void options_help(const struct opt *opts, struct buf *out)
{
	for (; opts->name; opts++)
		help_row(out, opts->letter, opts->name, opts->arg, opts->help);
	help_row(out, 'h', "help", NULL, "this text");
	help_row(out, 0, "version", NULL, "version of hostprof");
}
