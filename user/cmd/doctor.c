/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostprof doctor [PID|--port|--name|--cgroup]: what this kernel, these rights and this target allow.
 *
 * Input: the feature table, facts of the host, and one process looked into. Output: one line a
 * check with verdict, meaning and fix, or the same as JSON. The exit status says whether attach
 * would work, so that a script can ask before it measures. The checks are collected first and
 * printed afterwards, because both forms print the same list.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/procparse.h"
#include "cmd/cmd.h"
#include "cmd/common_opts.h"
#include "load/feat.h"
#include "load/inspect.h"

#define CHECKS_MAX 64
#define SUDO "run with sudo" /* fixes that begin so are summed up in one line */
#define INIT_PID_NS 0xEFFFFFFCU /* PROC_PID_INIT_INO: fixed since namespaces have inodes */

enum verdict {
	OK,
	WARN,
	FAIL,
};

static const char *const verdict_words[] = { "ok", "warn", "fail" };
static const char *const verdict_colors[] = { "\033[32m", "\033[33m", "\033[31m" };

struct check {
	const char *group; /* kernel, privileges, target */
	const char *key;
	const char *name;
	const char *since; /* NULL = does not apply */
	enum verdict verdict;
	char detail[256];
	char fix[256]; /* "" when there is nothing to fix */
};

struct doctor_opts {
	bool json;
	bool color;
	u32 port; /* 0 = not given */
	const char *name; /* NULL = not given */
	const char *cgroup;
};

struct doctor {
	struct check checks[CHECKS_MAX];
	size_t n;
	u64 caps;
	struct inspection target;
	bool has_target;
	enum exit_status target_status;
};

static const struct opt doctor_opt_rows[] = {
	TARGET_OPT_ROWS(struct doctor_opts),
	{ .name = "json",
	  .help = "print JSON",
	  .parse = opt_true,
	  .offset = offsetof(struct doctor_opts, json) },
	{ .name = "no-color",
	  .help = "no colours; NO_COLOR in the environment does the same",
	  .parse = opt_false,
	  .offset = offsetof(struct doctor_opts, color) },
	{ 0 },
};

static struct check *add(struct doctor *d, const char *group, const char *key, const char *name,
			 enum verdict verdict, const char *fix)
{
	struct check *c = &d->checks[MIN(d->n, (size_t)CHECKS_MAX - 1)];

	d->n = MIN(d->n + 1, (size_t)CHECKS_MAX);
	*c = (struct check){ .group = group, .key = key, .name = name, .verdict = verdict };
	if (verdict == OK || !fix)
		return c;
	/* Of no use to who has done it: root without rights is root of a container. */
	if (!geteuid() && slice_starts(slice_str(fix), SLICE(SUDO)))
		fix = "root lacks rights here: run it on the host, or in a container with "
		      "--privileged --pid=host";
	snprintf(c->fix, sizeof(c->fix), "%s", fix);
	return c;
}

#define DETAIL(c, ...) snprintf((c)->detail, sizeof((c)->detail), __VA_ARGS__)

static const char *plain_error(int err)
{
	if (err == -ENOENT || err == -EOPNOTSUPP || err == -EINVAL)
		return "this kernel does not have it";
	return err == -EPERM || err == -EACCES ? "refused" : strerror(-err);
}

static void check_features(struct doctor *d)
{
	static const enum verdict missing[] = {
		[FEAT_REQUIRED] = FAIL, [FEAT_DEGRADES] = WARN, [FEAT_UNUSED] = OK
	};
	int i;

	for (i = 0; i < FEAT_COUNT; i++) {
		const struct feat_row *row = &feat_rows[i];
		int err = feat_probe((enum feat)i);
		bool right = (err == -EPERM || err == -EACCES) && feat_probe(FEAT_BPF);
		struct check *c =
			add(d, "kernel", row->key, row->name, err ? missing[row->need] : OK,
			    right ? SUDO "; it cannot be tried without" : row->fix);

		c->since = row->since;
		if (err)
			DETAIL(c, "%s; without it %s", plain_error(err), row->without);
		else
			DETAIL(c, "%s", row->why);
	}
	feat_release();
}

static int read_number(const char *path, long *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	int err = file_read(path, &b, 64);
	char *end;

	if (err)
		return err;
	*ret = strtol(b.p ? b.p : "", &end, 10);
	return b.p && end != b.p ? 0 : -EINVAL;
}

/* Capabilities by number; the ones that matter here. */
enum cap {
	CAP_DAC_READ_SEARCH_NR = 2,
	CAP_SYS_PTRACE_NR = 19,
	CAP_SYS_ADMIN_NR = 21,
	CAP_PERFMON_NR = 38,
	CAP_BPF_NR = 39,
	CAP_CHECKPOINT_RESTORE_NR = 40,
};

static const struct cap_row {
	enum cap nr;
	const char *name;
	const char *why;
	enum verdict missing;
	bool admin_does; /* CAP_SYS_ADMIN includes it */
} cap_rows[] = {
	{ CAP_BPF_NR, "CAP_BPF", "load BPF programs", FAIL, true },
	{ CAP_PERFMON_NR, "CAP_PERFMON", "let them see the whole host", FAIL, true },
	{ CAP_SYS_PTRACE_NR, "CAP_SYS_PTRACE", "look into processes of other users", FAIL, false },
	{ CAP_DAC_READ_SEARCH_NR, "CAP_DAC_READ_SEARCH", "read program files of other users", WARN,
	  false },
	{ CAP_CHECKPOINT_RESTORE_NR, "CAP_CHECKPOINT_RESTORE",
	  "name functions of files that were replaced since", WARN, true },
};

static bool has_cap(const struct doctor *d, enum cap nr)
{
	return d->caps >> nr & 1;
}

static void check_caps(struct doctor *d)
{
	_release_(buf) struct buf b = BUF_INIT;
	size_t i;

	if (!file_read("/proc/self/status", &b, 1 << 16))
		proc_field_hex(buf_slice(&b), "CapEff", &d->caps);
	for (i = 0; i < ARRAY_SIZE(cap_rows); i++) {
		const struct cap_row *row = &cap_rows[i];
		bool there =
			has_cap(d, row->nr) || (row->admin_does && has_cap(d, CAP_SYS_ADMIN_NR));
		struct check *c =
			add(d, "privileges", row->name, row->name, there ? OK : row->missing,
			    SUDO ", or give the binary the capability with setcap");

		DETAIL(c, "%sto %s", there ? "" : "missing; needed ", row->why);
	}
}

static void check_pid_ns(struct doctor *d)
{
	struct stat st;
	char self[32] = "";
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);
	struct check *c;

	if (stat("/proc/self/ns/pid", &st) || n <= 0 || strtol(self, NULL, 10) != getpid()) {
		c = add(d, "privileges", "procfs", "process numbers", FAIL,
			"mount a procfs of this PID namespace at /proc");
		DETAIL(c, "/proc shows another PID namespace than hostprof's own");
		return;
	}
	c = add(d, "privileges", "pid_namespace", "process numbers",
		st.st_ino == INIT_PID_NS ? OK : FAIL,
		"run hostprof on the host, or in a container with --pid=host");
	DETAIL(c, st.st_ino == INIT_PID_NS ? "hostprof and kernel count processes alike"
					   : "hostprof runs in a PID namespace of its own: the "
					     "kernel's numbers differ");
}

static void check_sysctls(struct doctor *d)
{
	struct check *c;
	long v;

	if (!read_number("/proc/sys/kernel/unprivileged_bpf_disabled", &v)) {
		bool refused = v && !feat_has(FEAT_BPF);

		c = add(d, "privileges", "unprivileged_bpf_disabled",
			"kernel.unprivileged_bpf_disabled", refused ? WARN : OK, SUDO);
		DETAIL(c, "%ld: %s", v,
		       v ? "BPF for privileged processes only"
			 : "BPF for everybody, within limits");
	}
	if (!read_number("/proc/sys/kernel/perf_event_paranoid", &v)) {
		bool refused =
			v > 0 && !has_cap(d, CAP_PERFMON_NR) && !has_cap(d, CAP_SYS_ADMIN_NR);

		c = add(d, "privileges", "perf_event_paranoid", "kernel.perf_event_paranoid",
			refused ? WARN : OK, SUDO ", or use --no-cpu");
		DETAIL(c, "%ld: %s", v,
		       refused ? "no CPU sampling of the whole host without CAP_PERFMON"
			       : "does not hold this process back");
	}
	if (!read_number("/proc/sys/kernel/yama/ptrace_scope", &v)) {
		bool refused = v >= 3 || (v > 0 && !has_cap(d, CAP_SYS_PTRACE_NR));

		c = add(d, "privileges", "ptrace_scope", "kernel.yama.ptrace_scope",
			refused ? WARN : OK, v >= 3 ? "it can only be lowered by a reboot" : SUDO);
		DETAIL(c, "%ld: %s", v,
		       refused ? "memory of other processes cannot be read"
			       : "does not hold this process back");
	}
}

static void check_lockdown(struct doctor *d)
{
	_release_(buf) struct buf b = BUF_INIT;
	bool full;
	struct check *c;

	if (file_read("/sys/kernel/security/lockdown", &b, 128) || !b.p)
		return; /* no lockdown in this kernel, or securityfs is not mounted */
	full = strstr(b.p, "[confidentiality]");
	c = add(d, "kernel", "lockdown", "kernel lockdown", full ? FAIL : OK,
		"boot without lockdown=confidentiality; integrity is fine");
	DETAIL(c, "%s",
	       full			    ? "confidentiality: BPF may not read kernel memory"
	       : strstr(b.p, "[integrity]") ? "integrity: does not hold BPF back"
					    : "off");
}

static void check_kallsyms(struct doctor *d)
{
	_release_(buf) struct buf b = BUF_INIT;
	int err = file_read("/proc/kallsyms", &b, 64);
	/* Hidden addresses read as zeros. */
	bool shown = (!err || err == -EFBIG) && b.n && strspn(b.p, "0") < strcspn(b.p, " ");
	struct check *c = add(d, "kernel", "kallsyms", "kernel symbol addresses", shown ? OK : WARN,
			      SUDO ", or set kernel.kptr_restrict to 1 or 0");

	DETAIL(c, "%s",
	       shown ? "name kernel functions in stacks"
		     : "hidden; kernel functions stay unnamed in stacks");
}

/* "WHAT; FIX": messages of target_check() carry both. */
static void add_refused(struct doctor *d, const struct target_error *err)
{
	const char *fix = strstr(err->text, "; ");
	struct check *c = add(d, "target", "process", "process", FAIL, fix ? fix + 2 : NULL);

	DETAIL(c, "%.*s", fix ? (int)(fix - err->text) : (int)strlen(err->text), err->text);
}

static void check_exe(struct doctor *d)
{
	const struct inspection *t = &d->target;
	const struct elf_facts *f = &t->exe;
	struct check *c;

	if (t->exe_err) {
		c = add(d, "target", "exe", "program file", WARN, SUDO);
		DETAIL(c, "cannot read it: %s; functions stay unnamed", strerror(-t->exe_err));
		return;
	}
	c = add(d, "target", "bits", "64-bit", OK, NULL);
	DETAIL(c, "64-bit program");
	c = add(d, "target", "symbols", "function names", f->symtab || f->dynsym ? OK : WARN,
		"install the debug symbols package of the program, or keep an unstripped build");
	DETAIL(c, "%s%s",
	       f->symtab   ? "has all its symbols"
	       : f->dynsym ? "stripped; exported functions keep their names"
			   : "stripped; functions are named by address",
	       f->build_id_len ? "" : "; no build id");
}

static void check_sockets(struct doctor *d)
{
	const struct inspection *t = &d->target;
	char ports[200] = "";
	size_t used = 0;
	struct check *c;
	u32 i;

	if (t->fds_err) {
		c = add(d, "target", "sockets", "sockets", WARN, SUDO);
		DETAIL(c, "cannot list its descriptors: %s", strerror(-t->fds_err));
		return;
	}
	for (i = 0; i < t->nports && used < sizeof(ports); i++)
		used += (size_t)snprintf(ports + used, sizeof(ports) - used, "%s%u", i ? ", " : "",
					 t->ports[i]);
	c = add(d, "target", "listening", "listening", OK, NULL);
	if (t->nports)
		DETAIL(c, "on TCP port %s", ports);
	else
		DETAIL(c, "%s",
		       t->unix_listening ? "on a unix socket"
					 : "on nothing: it serves nobody itself");
	c = add(d, "target", "connections", "open connections", OK, NULL);
	DETAIL(c, "%u TCP, %u unix", t->tcp_open, t->unix_open);
}

static void check_pid(struct doctor *d, u32 pid)
{
	struct target_error err = { .status = EXIT_OK };
	struct inspection *t = &d->target;
	struct check *c;

	if (target_check(pid, &err)) {
		d->target_status = err.status;
		add_refused(d, &err);
		return;
	}
	if (inspect(pid, t)) {
		d->target_status = EXIT_NO_TARGET;
		c = add(d, "target", "process", "process", FAIL, "give a running process");
		DETAIL(c, "process %u ended while it was looked at", pid);
		return;
	}
	d->has_target = true;
	c = add(d, "target", "process", "process", OK, NULL);
	DETAIL(c, "%u: %.180s", pid, t->proc.cmdline);
	c = add(d, "target", "runtime", "runtime", OK, NULL);
	DETAIL(c, "%s", t->proc.runtime);
	c = add(d, "target", "memory", "memory", t->memory_err ? WARN : OK,
		SUDO ", or grant CAP_SYS_PTRACE");
	if (t->memory_err)
		DETAIL(c, "cannot be read: %s", strerror(-t->memory_err));
	else
		DETAIL(c, "can be read");
	check_exe(d);
	c = add(d, "target", "namespaces", "namespaces", OK, NULL);
	if (t->proc.other_pid_ns)
		DETAIL(c, "PID namespace of its own, where it is process %u", t->proc.inner_pid);
	else
		DETAIL(c, "same PID namespace as hostprof");
	c = add(d, "target", "children", "children", OK, NULL);
	DETAIL(c, "%u below it%s", t->children,
	       t->children ? "; --no-children leaves them out" : "");
	check_sockets(d);
	c = add(d, "target", "tls", "TLS", *t->tls ? WARN : OK,
		"measure behind the TLS proxy, or set sslmode=disable for a database on this host");
	if (*t->tls)
		DETAIL(c, "%s is loaded: connections that it encrypts are counted, not parsed",
		       t->tls);
	else
		DETAIL(c, "no TLS library is loaded");
}

/* As attach finds it. Of several the first is looked at, and the others are named. */
static void check_found(struct doctor *d, const struct target_sel *sel)
{
	struct target_error err = { .status = EXIT_OK };
	_release_(buf) struct buf names = BUF_INIT;
	struct targets t;
	struct check *c;

	if (targets_find(&t, sel, &err)) {
		d->target_status = err.status;
		add_refused(d, &err);
		return;
	}
	if (t.ntargets > 1) {
		c = add(d, "target", "selection", "selection", WARN,
			"give a process id to look at another, and to measure one alone");
		targets_name(&t, &names);
		DETAIL(c, "%u match, attach takes them all, here is the first: %.150s", t.ntargets,
		       names.p ? names.p : "");
	}
	check_pid(d, t.v[0].pid);
	targets_release(&t);
}

static void check_target(struct doctor *d, const struct target_sel *sel)
{
	if (sel->npids)
		check_pid(d, sel->pids[0]);
	else if (sel->port || sel->name || sel->cgroup)
		check_found(d, sel);
}

static size_t count_failed(const struct doctor *d)
{
	size_t i, n = 0;

	for (i = 0; i < d->n; i++)
		n += d->checks[i].verdict == FAIL;
	return n;
}

/* One line instead of the same advice nine times. */
static void lead_with_sudo(const struct doctor *d, struct buf *out)
{
	size_t i, n = 0;

	for (i = 0; i < d->n; i++)
		n += slice_starts(slice_str(d->checks[i].fix), SLICE(SUDO));
	if (n > 1)
		buf_addf(out,
			 "\nrun it with sudo: %zu of the points below only say that this user "
			 "has no privileges\n",
			 n);
}

static void print_text(const struct doctor *d, const struct utsname *un, bool color,
		       struct buf *out)
{
	const char *group = "";
	size_t i, failed = count_failed(d);

	buf_addf(out, "hostprof %s on Linux %s %s\n", HOSTPROF_VERSION, un->release, un->machine);
	lead_with_sudo(d, out);
	for (i = 0; i < d->n; i++) {
		const struct check *c = &d->checks[i];

		if (strcmp(group, c->group))
			buf_addf(out, "\n%s\n", c->group);
		group = c->group;
		buf_addf(out, "  %s%-4s%s  %s: %s\n", color ? verdict_colors[c->verdict] : "",
			 verdict_words[c->verdict], color ? "\033[0m" : "", c->name, c->detail);
		if (*c->fix)
			buf_addf(out, "        fix: %s\n", c->fix);
	}
	if (failed)
		buf_addf(out, "\nattach will not work: %zu problem%s above\n", failed,
			 failed == 1 ? "" : "s");
	else
		buf_adds(out, "\nattach will work\n");
}

static void json_target(struct json *j, const struct doctor *d)
{
	const struct inspection *t = &d->target;
	u32 i;

	if (!d->has_target) {
		json_null(j, "target");
		return;
	}
	json_obj(j, "target");
	json_u64(j, "pid", t->proc.pid);
	json_u64(j, "inner_pid", t->proc.inner_pid);
	json_cstr(j, "cmdline", t->proc.cmdline);
	json_cstr(j, "exe", t->proc.exe);
	json_cstr(j, "runtime", t->proc.runtime);
	json_cstr(j, "service", t->proc.service);
	json_u64(j, "started_unix_ms", t->proc.started_unix_ms);
	json_bool(j, "memory_readable", !t->memory_err);
	json_bool(j, "stripped", !t->exe_err && !t->exe.symtab);
	json_bool(j, "same_pid_namespace", !t->proc.other_pid_ns);
	json_u64(j, "children", t->children);
	json_arr(j, "listening_ports");
	for (i = 0; i < t->nports; i++)
		json_u64(j, NULL, t->ports[i]);
	json_end_arr(j);
	json_u64(j, "tcp_connections", t->tcp_open);
	json_u64(j, "unix_connections", t->unix_open);
	json_cstr(j, "tls_library", *t->tls ? t->tls : NULL);
	json_end_obj(j);
}

static void print_json(const struct doctor *d, const struct utsname *un, int status,
		       struct buf *out)
{
	struct json j;
	size_t i;

	json_init(&j, out, true);
	json_obj(&j, NULL);
	json_u64(&j, "schema_version", 1);
	json_cstr(&j, "hostprof_version", HOSTPROF_VERSION);
	json_obj(&j, "kernel");
	json_cstr(&j, "release", un->release);
	json_cstr(&j, "machine", un->machine);
	json_end_obj(&j);
	json_arr(&j, "checks");
	for (i = 0; i < d->n; i++) {
		const struct check *c = &d->checks[i];

		json_obj(&j, NULL);
		json_cstr(&j, "group", c->group);
		json_cstr(&j, "key", c->key);
		json_cstr(&j, "name", c->name);
		json_cstr(&j, "verdict", verdict_words[c->verdict]);
		json_cstr(&j, "detail", c->detail);
		json_cstr(&j, "fix", *c->fix ? c->fix : NULL);
		json_cstr(&j, "since_kernel", c->since);
		json_end_obj(&j);
	}
	json_end_arr(&j);
	json_target(&j, d);
	json_bool(&j, "attach_works", status == EXIT_OK);
	json_u64(&j, "exit_status", (u64)status);
	json_end_obj(&j);
	buf_addch(out, '\n');
}

static int examine(struct doctor *d, const struct target_sel *sel, const struct doctor_opts *o)
{
	_release_(buf) struct buf out = BUF_INIT;
	const char *no_color = getenv("NO_COLOR");
	struct utsname un;
	int status, printed;

	uname(&un);
	check_features(d);
	check_lockdown(d);
	check_kallsyms(d);
	check_caps(d);
	check_pid_ns(d);
	check_sysctls(d);
	check_target(d, sel);
	status = d->target_status  ? (int)d->target_status
		 : count_failed(d) ? EXIT_PRIVILEGE
				   : EXIT_OK;
	if (o->json)
		print_json(d, &un, status, &out);
	else
		print_text(d, &un, o->color && !(no_color && *no_color) && isatty(STDOUT_FILENO),
			   &out);
	printed = cmd_print(&out);
	return printed ? printed : status;
}

static int doctor_run(const struct cmd *c, struct args *a)
{
	struct doctor_opts o = { .color = true };
	_free_ struct doctor *d = calloc(1, sizeof(*d));
	struct target_sel sel = { 0 };
	u64 pid = 0;
	u32 pid32;
	int status;

	if (!d) {
		log_err("out of memory");
		return EXIT_FAILED;
	}
	if (!cmd_options(c, a, &o, &status))
		return status;
	if (a->npos > 1)
		return cmd_usage_error(c, "doctor looks at one process at a time");
	if (a->npos && parse_uint(a->pos[0], 1, INT32_MAX, &pid))
		return cmd_usage_error(c, "'%.80s' is not a process id", a->pos[0]);
	pid32 = (u32)pid;
	sel = (struct target_sel){
		.pids = &pid32, .npids = !!pid, .port = o.port, .name = o.name, .cgroup = o.cgroup
	};
	if (!!sel.npids + !!sel.port + !!sel.name + !!sel.cgroup > 1)
		return cmd_usage_error(
			c,
			"a process id, --port, --name and --cgroup exclude each other; give one");
	status = examine(d, &sel, &o);
	inspection_release(&d->target);
	return status;
}

const struct cmd cmd_doctor = {
	.name = "doctor",
	.usage = "[PID | --port N | --name GLOB | --cgroup PATH] [options]",
	.help = "say what this kernel, these rights and this target allow",
	.opts = doctor_opt_rows,
	.run = doctor_run,
};
