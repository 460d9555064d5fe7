/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process is called: program, script, service, runtime, from texts of procfs.
 *
 * Input: comm, executable path, command line, cgroup text. Output: names for reports and for
 * --name. "python3 -m uvicorn app:app" is uvicorn to everybody but the kernel, so the command
 * lines of interpreters are read the way the interpreters read them; each interpreter is a row. On
 * a host with five uvicorns the application tells them apart, so those servers have rows too.
 */
#include <fnmatch.h>
#include <stdio.h>
#include <string.h>
#include "base/procparse.h"

#define CONTAINER_ID_LEN 64 /* hexadecimal digits */

struct slice proc_basename(struct slice path)
{
	const char *slash = path.n ? memrchr(path.p, '/', path.n) : NULL;

	if (!slash)
		return path;
	return slice_of(slash + 1, (size_t)(path.p + path.n - slash - 1));
}

/* One row an interpreter: how its own arguments are told from the script. */
struct interp {
	const char *glob; /* base name of argv[0] or of the executable */
	const char
		*value_letters; /* short options with a value, glued on or in the next argument */
	const char *const *value_words; /* long options with the value in the next argument */
	char module; /* short option that names a module, 0 = none */
	char code; /* short option after which there is no script, 0 = none */
	bool words_only; /* "-jar" is one option and not a cluster of letters */
};

static const char *const python_words[] = { "--check-hash-based-pycs", NULL };
static const char *const node_words[] = { "--require",	  "--import",	"--loader",
					  "--conditions", "--env-file", "--experimental-loader",
					  "--title",	  NULL };
static const char *const java_words[] = { "-cp",	 "-classpath",	  "--class-path",
					  "-p",		 "--module-path", "--add-modules",
					  "--add-opens", "--add-exports", "--add-reads",
					  NULL };
static const char *const no_words[] = { NULL };

static const struct interp interps[] = {
	{ "python*", "WX", python_words, 'm', 'c', false },
	{ "pypy*", "WX", python_words, 'm', 'c', false },
	{ "node*", "rC", node_words, 0, 'e', false },
	{ "java", "", java_words, 'm', 0, true },
	{ "ruby*", "IrCEFxT", no_words, 0, 'e', false },
	{ "perl*", "IMmxF", no_words, 0, 'e', false },
	{ "php*", "dczS", no_words, 0, 'r', false },
	{ "*sh", "oO", no_words, 0, 'c', false },
};

static bool glob_slice(const char *glob, struct slice s)
{
	char text[256];

	if (!s.n || s.n >= sizeof(text))
		return false;
	memcpy(text, s.p, s.n);
	text[s.n] = '\0';
	return fnmatch(glob, text, 0) == 0;
}

static const struct interp *interp_of(struct slice argv0)
{
	struct slice base = proc_basename(argv0);
	size_t i;

	if (slice_starts(base, SLICE("-"))) { /* a login shell */
		base.p++;
		base.n--;
	}
	for (i = 0; i < ARRAY_SIZE(interps); i++)
		if (glob_slice(interps[i].glob, base))
			return &interps[i];
	return NULL;
}

static bool next_arg(struct slice *cmdline, struct slice *ret)
{
	const char *end;

	if (!cmdline->n)
		return false;
	end = memchr(cmdline->p, '\0', cmdline->n);
	ret->p = cmdline->p;
	ret->n = end ? (size_t)(end - cmdline->p) : cmdline->n;
	cmdline->p += ret->n + (end != NULL);
	cmdline->n -= ret->n + (end != NULL);
	return true;
}

enum interp_step {
	STEP_ON, /* an option, its value taken too */
	STEP_FOUND, /* ret->script is set */
	STEP_NONE, /* there is no script */
};

/* A cluster of letters like python's -um: the first that takes a value ends it. */
static enum interp_step interp_letters(const struct interp *in, struct slice arg,
				       struct slice *rest, struct proc_program *ret)
{
	size_t i;

	for (i = 1; i < arg.n; i++) {
		struct slice glued = slice_of(arg.p + i + 1, arg.n - i - 1);
		bool module = in->module && arg.p[i] == in->module;

		if (in->code && arg.p[i] == in->code)
			return STEP_NONE;
		if (!module && !strchr(in->value_letters, arg.p[i]))
			continue;
		if (!glued.n && !next_arg(rest, &glued))
			return STEP_NONE;
		if (!module)
			return STEP_ON;
		ret->script = glued;
		ret->module = true;
		return STEP_FOUND;
	}
	return STEP_ON;
}

static enum interp_step interp_arg(const struct interp *in, struct slice arg, struct slice *rest,
				   struct proc_program *ret)
{
	size_t i;

	if (!arg.n || *arg.p != '-' || arg.n == 1) {
		ret->script = arg;
		return arg.n > 1 || (arg.n && *arg.p != '-') ? STEP_FOUND : STEP_NONE;
	}
	if (slice_eq(arg, SLICE("--")))
		return next_arg(rest, &ret->script) ? STEP_FOUND : STEP_NONE;
	for (i = 0; in->value_words[i]; i++)
		if (slice_eq(arg, slice_str(in->value_words[i])))
			return next_arg(rest, &arg) ? STEP_ON : STEP_NONE;
	if (in->words_only) {
		if (slice_eq(arg, SLICE("-jar")))
			return next_arg(rest, &ret->script) ? STEP_FOUND : STEP_NONE;
		if (!slice_eq(arg, SLICE("-m")) && !slice_eq(arg, SLICE("--module")))
			return STEP_ON;
		ret->module = true;
		return next_arg(rest, &ret->script) ? STEP_FOUND : STEP_NONE;
	}
	if (arg.p[1] == '-')
		return STEP_ON;
	return interp_letters(in, arg, rest, ret);
}

/* Servers that are told which application to run; the others of Python name it by their script. */
static const struct {
	const char *name;
	bool positional; /* as an argument of its own; else behind -A or --app only */
} servers[] = {
	{ "uvicorn", true },	    { "gunicorn", true }, { "hypercorn", true }, { "daphne", true },
	{ "waitress-serve", true }, { "granian", true },  { "celery", false },	 { "flask", false },
};

/* Options of those servers without a value: what follows one may be the application. */
static const char *const server_flags[] = {
	"--reload",	   "--preload",		 "--daemon",	     "-D",
	"--proxy-headers", "--no-access-log",	 "--factory",	     "--use-colors",
	"--no-use-colors", "--capture-output",	 "--reuse-port",     "-R",
	"--no-sendfile",   "--no-server-header", "--no-date-header", "--debug",
	"--spew",	   "--no-proxy-headers",
};

static bool is_name_byte(char c)
{
	return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
	       (c & 0x80);
}

/* "proj.wsgi", "shop:app", "shop.main:make_app()": names joined by dots, one colon at most. */
static bool is_app(struct slice s, bool *ret_colon)
{
	bool start = true;
	size_t i;

	*ret_colon = false;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '(' && *ret_colon && !start)
			return s.p[s.n - 1] == ')';
		if (start ? !is_name_byte(c) || (c >= '0' && c <= '9')
			  : !is_name_byte(c) && c != '.' && (c != ':' || *ret_colon))
			return false;
		*ret_colon |= c == ':';
		start = c == '.' || c == ':';
	}
	/* "unix:shop" is where a server listens. */
	return s.n && !start && !slice_starts(s, SLICE("unix:"));
}

static bool is_flag(struct slice arg)
{
	size_t i;

	if (slice_starts(arg, SLICE("--")) && memchr(arg.p, '=', arg.n))
		return true;
	for (i = 0; i < ARRAY_SIZE(server_flags); i++)
		if (slice_eq(arg, slice_str(server_flags[i])))
			return true;
	return false;
}

/*
 * The application among the arguments behind a server's name. The best is one that cannot be the
 * value of an option; behind an option that is not known here it takes a colon to be believed.
 */
static struct slice app_of(struct slice args, bool positional)
{
	struct slice arg, app = { 0 };
	bool value = false, for_app = false, colon;
	int i;

	for (i = 0; i < PROC_ARGS_MAX && next_arg(&args, &arg); i++) {
		if (for_app)
			return is_app(arg, &colon) ? arg : app;
		if (slice_starts(arg, SLICE("--app=")))
			return slice_of(arg.p + 6, arg.n - 6);
		if (arg.n && *arg.p == '-') {
			for_app = slice_eq(arg, SLICE("-A")) || slice_eq(arg, SLICE("--app"));
			value = !is_flag(arg);
			continue;
		}
		if (positional && is_app(arg, &colon)) {
			if (!value)
				return arg;
			if (colon && !app.n)
				app = arg;
		}
		value = false;
	}
	return app;
}

static struct slice server_app(struct slice script, struct slice args)
{
	struct slice name = proc_basename(script);
	size_t i;

	for (i = 0; i < ARRAY_SIZE(servers); i++)
		if (slice_eq(name, slice_str(servers[i].name)))
			return app_of(args, servers[i].positional);
	return slice_of(NULL, 0);
}

/* gunicorn with setproctitle: "gunicorn: worker [shop:app]" is the whole command line. */
static struct slice title_app(struct slice title)
{
	const char *open;

	if (!slice_starts(title, SLICE("gunicorn: ")))
		return slice_of(NULL, 0);
	while (title.n && title.p[title.n - 1] == ' ')
		title.n--;
	open = memchr(title.p, '[', title.n);
	if (!open || title.p[title.n - 1] != ']')
		return slice_of(NULL, 0);
	return slice_of(open + 1, (size_t)(title.p + title.n - 1 - open) - 1);
}

void proc_parse_cmdline(struct slice cmdline, struct proc_program *ret)
{
	const struct interp *in;
	struct slice arg;
	int i;

	memset(ret, 0, sizeof(*ret));
	if (!next_arg(&cmdline, &ret->argv0))
		return;
	in = interp_of(ret->argv0);
	if (!in) {
		ret->app = title_app(ret->argv0);
		return;
	}
	for (i = 0; i < PROC_ARGS_MAX && next_arg(&cmdline, &arg); i++) {
		enum interp_step step = interp_arg(in, arg, &cmdline, ret);

		if (step == STEP_ON)
			continue;
		if (step == STEP_NONE || !ret->script.n) {
			ret->script = slice_of(NULL, 0);
			ret->module = false;
		} else {
			ret->app = server_app(ret->script, cmdline);
		}
		return;
	}
}

/* "app.py" → "app"; only what interpreters run, so that "postgres.bin" keeps its name. */
static struct slice without_extension(struct slice base)
{
	static const char *const exts[] = { ".py", ".pyc", ".js",  ".mjs", ".cjs", ".ts",
					    ".rb", ".pl",  ".php", ".jar", ".sh" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(exts); i++) {
		struct slice ext = slice_str(exts[i]);

		if (base.n > ext.n && slice_ends(base, ext))
			return slice_of(base.p, base.n - ext.n);
	}
	return base;
}

/* Servers overwrite argv[0] with "nginx: worker process"; the name ends at the colon. */
static struct slice title_name(struct slice argv0)
{
	const char *colon = argv0.n ? memchr(argv0.p, ':', argv0.n) : NULL;

	if (!colon || colon == argv0.p)
		return proc_basename(argv0);
	return proc_basename(slice_of(argv0.p, (size_t)(colon - argv0.p)));
}

/* "shop.main:app" is also "shop.main" and "shop". */
static bool app_matches(const char *glob, struct slice app)
{
	size_t i;

	if (glob_slice(glob, app))
		return true;
	for (i = 0; i < app.n && app.p[i] != ':'; i++)
		;
	if (glob_slice(glob, slice_of(app.p, i)))
		return true;
	for (i = 0; i < app.n && app.p[i] != ':' && app.p[i] != '.'; i++)
		;
	return glob_slice(glob, slice_of(app.p, i));
}

bool proc_name_matches(const char *glob, const char *comm, struct slice exe, struct slice cmdline)
{
	struct proc_program prog;

	proc_parse_cmdline(cmdline, &prog);
	if (strchr(glob, '/'))
		return glob_slice(glob, exe) || glob_slice(glob, prog.argv0) ||
		       (!prog.module && glob_slice(glob, prog.script));
	if (glob_slice(glob, slice_str(comm)) || glob_slice(glob, proc_basename(exe)) ||
	    glob_slice(glob, proc_basename(prog.argv0)) ||
	    glob_slice(glob, title_name(prog.argv0)) || app_matches(glob, prog.app))
		return true;
	if (prog.module)
		return glob_slice(glob, prog.script);
	return glob_slice(glob, proc_basename(prog.script)) ||
	       glob_slice(glob, without_extension(proc_basename(prog.script)));
}

/* Names of containers' cgroups end in the container's id. */
static bool is_container(struct slice part)
{
	size_t i, run = 0;

	for (i = 0; i < part.n && run < CONTAINER_ID_LEN; i++) {
		char c = part.p[i];

		run = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') ? run + 1 : 0;
	}
	return run == CONTAINER_ID_LEN;
}

/*
 * The innermost NAME.service of a cgroup path; user@1000.service only holds a login, and the unit
 * that a container lies in is its runtime's.
 */
static struct slice unit_of(struct slice path)
{
	const struct slice suffix = SLICE(".service");
	struct slice found = { 0 };

	while (path.n) {
		const char *slash = memchr(path.p, '/', path.n);
		size_t n = slash ? (size_t)(slash - path.p) : path.n;
		struct slice part = slice_of(path.p, n);

		if (part.n > suffix.n && slice_ends(part, suffix) &&
		    !slice_starts(part, SLICE("user@")))
			found = slice_of(part.p, part.n - suffix.n);
		else if (is_container(part))
			found.n = 0;
		path.p += n + (slash != NULL);
		path.n -= n + (slash != NULL);
	}
	return found;
}

struct slice proc_service_name(struct slice cgroup, struct slice exe, struct slice cmdline)
{
	struct proc_program prog;
	struct slice line, unit, name;

	while (proc_next_line(&cgroup, &line)) {
		const char *colon = memchr(line.p, ':', line.n);
		struct slice rest;

		if (!colon)
			continue;
		/* "0::/path" of version 2, "N:name=systemd:/path" of version 1 */
		rest = slice_of(colon + 1, (size_t)(line.p + line.n - colon - 1));
		if (slice_starts(rest, SLICE("name=systemd:/")))
			colon = memchr(rest.p, ':', rest.n);
		else if (!slice_starts(rest, SLICE(":/")))
			continue;
		else
			colon = rest.p;
		unit = unit_of(slice_of(colon + 1, (size_t)(line.p + line.n - colon - 1)));
		if (unit.n)
			return unit;
	}
	proc_parse_cmdline(cmdline, &prog);
	/* A shell that reads its script from a descriptor knows no name for it. */
	if (prog.script.n && !slice_starts(prog.script, SLICE("/dev/fd/")))
		return prog.module ? prog.script : without_extension(proc_basename(prog.script));
	name = title_name(prog.argv0);
	return name.n ? name : proc_basename(exe);
}

/* Mapped libraries and executables that tell a runtime. */
static const struct {
	const char *prefix;
	const char *runtime;
	bool version; /* digits and dots behind the prefix belong to the name */
	bool whole; /* nothing else may follow the prefix (and version) */
} runtimes[] = {
	{ "libpython", "python", true, false }, { "python", "python", true, true },
	{ "libnode.so", "node", false, false }, { "node", "node", false, true },
	{ "nodejs", "node", false, true },	{ "libjvm.so", "java", false, true },
	{ "libruby", "ruby", false, false },	{ "ruby", "ruby", true, true },
	{ "libphp", "php", false, false },	{ "php-fpm", "php", true, true },
	{ "php", "php", true, true },		{ "libcoreclr.so", "dotnet", false, true },
	{ "beam.smp", "erlang", false, true },	{ "nginx", "nginx", false, true },
};

bool proc_runtime_of(struct slice base, char *ret, size_t n)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(runtimes); i++) {
		struct slice prefix = slice_str(runtimes[i].prefix), rest, ver;

		if (!slice_starts(base, prefix))
			continue;
		rest = slice_of(base.p + prefix.n, base.n - prefix.n);
		ver = slice_of(rest.p, 0);
		while (runtimes[i].version && ver.n < rest.n &&
		       ((rest.p[ver.n] >= '0' && rest.p[ver.n] <= '9') ||
			(rest.p[ver.n] == '.' && ver.n + 1 < rest.n && rest.p[ver.n + 1] >= '0' &&
			 rest.p[ver.n + 1] <= '9')))
			ver.n++;
		if (runtimes[i].whole && ver.n < rest.n)
			continue;
		/* "libpython3.so" and "python3" name no minor version: say the language only. */
		if (!memchr(rest.p, '.', ver.n))
			ver.n = 0;
		snprintf(ret, n, "%s%s%.*s", runtimes[i].runtime, ver.n ? " " : "", (int)ver.n,
			 rest.p);
		return true;
	}
	return false;
}

const char *proc_tls_library(struct slice base)
{
	static const char *const libs[][2] = {
		{ "libssl.so", "OpenSSL" },	{ "libssl-", "OpenSSL" },
		{ "libgnutls.so", "GnuTLS" },	{ "libssl3.so", "NSS" },
		{ "libmbedtls.so", "mbedTLS" }, { "libwolfssl.so", "wolfSSL" },
		{ "libs2n.so", "s2n" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(libs); i++)
		if (slice_starts(base, slice_str(libs[i][0])))
			return libs[i][1];
	return NULL;
}
