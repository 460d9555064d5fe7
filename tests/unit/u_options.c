/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/options with the option table of attach: what is accepted, what each absurd command line is
 * told, and that help lists every row. The command files are not part of the library, so they are
 * compiled into this test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "cmd/attach_opts.c"
#include "cmd/cmd.c"
#include "cmd/common_opts.c"

#define ARGS_MAX 96
#define LINE_MAX_BYTES 512

/* Splits line at spaces and parses it as attach does; '' is an empty argument. */
static int parse(const char *line, struct attach_opts *o, char *err, char *store)
{
	char *argv[ARGS_MAX + 2] = { (char *)"attach" }, *save = NULL, *word;
	int argc = 1, npos, res;

	assert_true(strlen(line) < LINE_MAX_BYTES);
	memcpy(store, line, strlen(line) + 1);
	for (word = strtok_r(store, " ", &save); word; word = strtok_r(NULL, " ", &save))
		argv[argc++] = strcmp(word, "''") ? word : (char *)"";
	*o = (struct attach_opts)ATTACH_OPTS_INIT;
	*err = '\0';
	res = options_parse(attach_opt_rows, o, argc, argv, &npos, err);
	return res ? res : attach_opts_finish(o, npos, argv + 1, err);
}

static void t_accepted(void **state)
{
	char err[OPT_ERR_MAX], store[LINE_MAX_BYTES];
	struct attach_opts o;

	(void)state;
	assert_int_equal(parse("123", &o, err, store), 0);
	assert_int_equal(o.npids, 1);
	assert_int_equal(o.pids[0], 123);
	assert_true(o.children && o.cpu && o.http && o.db && !o.common.json && o.common.progress);
	assert_int_equal(o.duration_ns, 30 * NSEC_PER_SEC);
	assert_null(o.common.output);
	assert_int_equal(o.common.formats, outs_default_formats());

	/* Options before, between and behind, all spellings of a value. */
	assert_int_equal(parse("-d 10s 1 -o out 2 --freq=49 3 -fx", &o, err, store), -EINVAL);
	assert_int_equal(parse("-d10s 1 -oout 2 --freq=49 --no-children 3 -v", &o, err, store), 0);
	assert_int_equal(o.duration_ns, 10 * NSEC_PER_SEC);
	assert_string_equal(o.common.output, "out");
	assert_int_equal(o.npids, 3);
	assert_int_equal(o.pids[2], 3);
	assert_int_equal(o.freq, 49);
	assert_true(!o.children && o.common.verbose);

	assert_int_equal(parse("-d 0 --port 8000 --json -o out --format ndjson,md", &o, err, store),
			 0);
	assert_int_equal(o.duration_ns, 0);
	assert_int_equal(o.port, 8000);
	assert_int_equal(o.npids, 0);
	assert_int_equal(o.common.formats, (OUT_BIT(OUT_MD) | OUT_BIT(OUT_NDJSON)));
	assert_true(o.common.json);

	assert_int_equal(parse("--name uvicorn* --max-capture 1MiB --no-cpu --no-db --force "
			       "--show-literals --no-color --no-progress",
			       &o, err, store),
			 0);
	assert_string_equal(o.name, "uvicorn*");
	assert_int_equal(o.max_capture, 1 << 20);
	assert_true(!o.cpu && o.http && !o.db && o.show_literals && o.common.force);
	assert_false(o.common.color || o.common.progress);

	assert_int_equal(parse("--cgroup /system.slice/app.service -q", &o, err, store), 0);
	assert_string_equal(o.cgroup, "/system.slice/app.service");
	assert_false(o.common.progress);

	assert_int_equal(parse("-v -- 77", &o, err, store), 0);
	assert_int_equal(o.pids[0], 77);
	/* Flags may be repeated: they say the same again. */
	assert_int_equal(parse("1 --no-cpu --no-cpu", &o, err, store), 0);
}

static void t_no_color(void **state)
{
	char err[OPT_ERR_MAX], store[LINE_MAX_BYTES];
	struct attach_opts o;

	(void)state;
	setenv("NO_COLOR", "1", 1);
	assert_int_equal(parse("1", &o, err, store), 0);
	assert_false(o.common.color);
	setenv("NO_COLOR", "", 1);
	assert_int_equal(parse("1", &o, err, store), 0);
	assert_true(o.common.color);
	unsetenv("NO_COLOR");
}

static void t_refused(void **state)
{
	static const struct {
		const char *line, *says;
	} rows[] = {
		{ "", "no target" },
		{ "0", "'0' is not a process id" },
		{ "-5", "'-5' is neither an option nor a process id" },
		{ "abc", "'abc' is not a process id" },
		{ "12x", "'12x' is not a process id" },
		{ "+12", "'+12' is not a process id" },
		{ "99999999999999999999999", "is not a process id" },
		{ "4294967297", "is not a process id" },
		{ "''", "'' is not a process id" },
		{ "7 8 7", "process 7 is named twice" },
		{ "-d -1 1", "--duration: '-1' is not a duration; write it like" },
		{ "-d 1 -d 2 1", "--duration is given twice" },
		{ "-d '' 1", "--duration: '' is not a duration" },
		{ "-d 8d 1", "'8d' is not a duration" },
		{ "-d 169h 1", "is longer than a week; use 0" },
		{ "-d 99999999999999999h 1", "is not a duration" },
		{ "1 -d", "option '-d' needs a value" },
		{ "1 --duration", "option '--duration' needs a value" },
		{ "--freq 0 1", "--freq: '0' is not a whole number from 1 to 1000; --no-cpu" },
		{ "--freq 1e9 1", "--freq: '1e9' is not a whole number" },
		{ "--freq -1 1", "--freq: '-1'" },
		{ "--freq 18446744073709551617 1", "--freq: '18446744073709551617'" },
		{ "--freq 9.5 1", "--freq: '9.5'" },
		{ "--port 0", "--port: '0' is not a whole number from 1 to 65535" },
		{ "--port 65536", "--port: '65536'" },
		{ "--port 80 1", "exclude each other" },
		{ "--name x --cgroup y", "exclude each other" },
		{ "--name ''", "--name: '' is empty" },
		{ "-o '' 1", "--output: '' is empty" },
		{ "--max-capture 1 1", "--max-capture: '1' is out of range" },
		{ "--max-capture big 1", "'big' is not a size" },
		{ "--format md,pdf 1", "--format: 'pdf' is no format; choose from md, json" },
		{ "--format md, 1", "'' is no format" },
		{ "-q -v 1", "contradict each other" },
		{ "--children --no-children 1", "--children and --no-children contradict" },
		{ "--no-cpu --no-offcpu --no-http --no-db 1", "leave nothing to measure" },
		{ "1 --json --format md", "--json without -o writes no files; give -o DIR" },
		{ "--no-cpu=yes 1", "option '--no-cpu' takes no value" },
		{ "--durration 5s 1", "unknown option '--durration'; did you mean --duration?" },
		{ "--dur 5s 1", "unknown option '--dur'" },
		{ "--no-c 1", "unknown option '--no-c'" },
		{ "--help=x 1", "option '--help' takes no value" },
		{ "-Z 1", "unknown option '-Z'" },
		{ "-vZ 1", "unknown option '-Z'" },
		/* Options of the contract that are not built: unknown, not ignored. */
		{ "--alloc 1", "unknown option '--alloc'" },
		{ "--max-overhead 5 1", "unknown option '--max-overhead'" },
		{ "--fail-on medium 1", "unknown option '--fail-on'" },
		{ "1 --without", "option '--without' needs a value" },
	};
	char err[OPT_ERR_MAX], store[LINE_MAX_BYTES];
	struct attach_opts o;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		int res = parse(rows[i].line, &o, err, store);

		if (res != -EINVAL || !strstr(err, rows[i].says))
			fail_msg("'%s': %d '%s', wanted '%s'", rows[i].line, res, err,
				 rows[i].says);
		assert_null(strchr(err, '\n'));
	}
}

static void t_too_many(void **state)
{
	char line[LINE_MAX_BYTES] = "", err[OPT_ERR_MAX], store[LINE_MAX_BYTES];
	struct attach_opts o;
	int i, n = 0;

	(void)state;
	for (i = 1; i <= ATTACH_PIDS_MAX; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, "%d ", i);
	assert_int_equal(parse(line, &o, err, store), 0);
	assert_int_equal(o.npids, ATTACH_PIDS_MAX);
	snprintf(line + n, sizeof(line) - (size_t)n, "1000");
	assert_int_equal(parse(line, &o, err, store), -EINVAL);
	assert_non_null(strstr(err, "more than 64"));
}

/* The only option that takes a value and may be given again: its words are kept in order. */
static void t_without(void **state)
{
	char line[LINE_MAX_BYTES] = "1", err[OPT_ERR_MAX], store[LINE_MAX_BYTES];
	struct attach_opts o;
	int i, n = 1;

	(void)state;
	assert_int_equal(parse("--without fentry 1 --without=uprobe", &o, err, store), 0);
	assert_int_equal(o.without.n, 2);
	assert_string_equal(o.without.keys[0], "fentry");
	assert_string_equal(o.without.keys[1], "uprobe");
	assert_int_equal(parse("1", &o, err, store), 0);
	assert_int_equal(o.without.n, 0);
	for (i = 0; i < WITHOUT_MAX; i++)
		n += snprintf(line + n, sizeof(line) - (size_t)n, " --without x");
	assert_int_equal(parse(line, &o, err, store), 0);
	assert_int_equal(o.without.n, WITHOUT_MAX);
	snprintf(line + n, sizeof(line) - (size_t)n, " --without x");
	assert_int_equal(parse(line, &o, err, store), -EINVAL);
	assert_non_null(strstr(err, "--without: more than 32 features"));
}

static void t_help(void **state)
{
	char err[OPT_ERR_MAX], store[LINE_MAX_BYTES];
	struct buf b = BUF_INIT;
	struct attach_opts o;
	const struct opt *row;

	(void)state;
	assert_int_equal(parse("-h", &o, err, store), OPT_HELP);
	assert_int_equal(parse("1 --help", &o, err, store), OPT_HELP);
	assert_int_equal(parse("--version", &o, err, store), OPT_VERSION);
	options_help(attach_opt_rows, &b);
	for (row = attach_opt_rows; row->name; row++) {
		char name[64];

		snprintf(name, sizeof(name), "--%s", row->name);
		assert_non_null(strstr(b.p, name));
		assert_non_null(row->parse);
		assert_non_null(row->help);
	}
	assert_non_null(strstr(b.p, "  -d, --duration TIME"));
	buf_release(&b);
}

static void t_nearest(void **state)
{
	static const char *const names[] = { "attach", "report", "doctor" };

	(void)state;
	assert_string_equal(options_nearest("atach", names, 3), "attach");
	assert_string_equal(options_nearest("docotr", names, 3), "doctor");
	assert_null(options_nearest("profile", names, 3));
	assert_null(options_nearest("", names, 3));
	assert_null(options_nearest("a-word-of-more-than-thirty-two-letters", names, 3));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_accepted), cmocka_unit_test(t_no_color),
		cmocka_unit_test(t_refused),  cmocka_unit_test(t_too_many),
		cmocka_unit_test(t_without),  cmocka_unit_test(t_help),
		cmocka_unit_test(t_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
