/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor, third part: one process, and what of it can be seen.
 *
 * Input: a process id, or a selection as attach takes it. Output: checks of the group "target", and
 * struct inspection for the JSON form.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/runtimes.h"
#include "cmd/doctor.h"
#include "load/feat.h"
#include "unwind/pyversions.h"

/* "WHAT; FIX": messages of target_check() carry both. */
static void add_refused(struct doctor *d, const struct target_error *err)
{
	const char *fix = strstr(err->text, "; ");
	struct check *c = doctor_add(d, "target", "process", "process", FAIL, fix ? fix + 2 : NULL);

	DETAIL(c, "%.*s", fix ? (int)(fix - err->text) : (int)strlen(err->text), err->text);
}

const char *doctor_runtime_note(const struct inspection *t)
{
	unsigned major, minor;

	if (sscanf(t->proc.runtime, "python %u.%u", &major, &minor) != 2 || major > UINT8_MAX ||
	    minor > UINT8_MAX)
		return NULL;
	return py_version_note(major << 24 | minor << 16);
}

static void check_runtime(struct doctor *d)
{
	const struct inspection *t = &d->target;
	const struct runtime *rt = runtime_find(t->proc.runtime);
	bool bare = rt && rt->flag && !strstr(t->proc.cmdline, rt->flag);
	const char *note = doctor_runtime_note(t);
	struct check *c = doctor_add(
		d, "target", "runtime", "runtime", bare || note ? WARN : OK,
		note ? "use a version from 3.8 to 3.14 to have Python functions, files and lines"
		     : "start it with the flag to have whole stacks");

	if (note)
		DETAIL(c,
		       "%s, a version that is %s; its Python frames may be missing: native ones "
		       "stand in their place",
		       t->proc.runtime, note);
	else if (!rt)
		DETAIL(c, "%s", t->proc.runtime);
	else
		DETAIL(c, "%s; frames: %s%s%s; names: %s%s%s%s", t->proc.runtime, rt->frames,
		       bare ? ", which take " : "", bare ? rt->flag : "", rt->names,
		       rt->advice ? " (" : "", rt->advice ? rt->advice : "", rt->advice ? ")" : "");
}

static void check_exe(struct doctor *d)
{
	const struct inspection *t = &d->target;
	const struct elf_facts *f = &t->exe;
	struct check *c;

	if (t->exe_err) {
		c = doctor_add(d, "target", "exe", "program file", WARN, SUDO);
		DETAIL(c, "cannot read it: %s; functions stay unnamed", strerror(-t->exe_err));
		return;
	}
	c = doctor_add(d, "target", "bits", "64-bit", OK, NULL);
	DETAIL(c, "64-bit program");
	c = doctor_add(
		d, "target", "symbols", "function names", f->symtab || f->dynsym ? OK : WARN,
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
		c = doctor_add(d, "target", "sockets", "sockets", WARN, SUDO);
		DETAIL(c, "cannot list its descriptors: %s", strerror(-t->fds_err));
		return;
	}
	for (i = 0; i < t->nports && used < sizeof(ports); i++)
		used += (size_t)snprintf(ports + used, sizeof(ports) - used, "%s%u", i ? ", " : "",
					 t->ports[i]);
	c = doctor_add(d, "target", "listening", "listening", OK, NULL);
	if (t->nports)
		DETAIL(c, "on TCP port %s", ports);
	else
		DETAIL(c, "%s",
		       t->unix_listening ? "on a unix socket"
					 : "on nothing: it serves nobody itself");
	c = doctor_add(d, "target", "connections", "open connections", OK, NULL);
	DETAIL(c, "%u TCP, %u unix", t->tcp_open, t->unix_open);
}

/* What the ring is used for shows only when it is used: files, say, do not concern hostprof. */
static void check_io_uring(struct doctor *d)
{
	const struct inspection *t = &d->target;
	/* In the order of the ladder: tracepoints of system calls go before kprobes. */
	bool seen = feat_has(FEAT_FENTRY) || (!feat_has(FEAT_TRACEPOINT) && feat_has(FEAT_KPROBE));
	struct check *c =
		doctor_add(d, "target", "io_uring", "io_uring", !t->io_uring || seen ? OK : WARN,
			   "use a kernel with fentry, or switch io_uring off in the "
			   "program's settings");

	if (!t->io_uring)
		DETAIL(c, "%s",
		       t->fds_err ? "none is mapped; its descriptors cannot be listed"
				  : "does not use it");
	else if (seen)
		DETAIL(c, "uses it; what goes over sockets that way is seen too");
	else
		DETAIL(c, "uses it: what goes over sockets that way is not seen, requests may be "
			  "missing");
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
		c = doctor_add(d, "target", "process", "process", FAIL, "give a running process");
		DETAIL(c, "process %u ended while it was looked at", pid);
		return;
	}
	d->has_target = true;
	c = doctor_add(d, "target", "process", "process", OK, NULL);
	DETAIL(c, "%u: %.180s", pid, t->proc.cmdline);
	check_runtime(d);
	c = doctor_add(d, "target", "memory", "memory", t->memory_err ? WARN : OK,
		       SUDO ", or grant CAP_SYS_PTRACE");
	if (t->memory_err)
		DETAIL(c, "cannot be read: %s", strerror(-t->memory_err));
	else
		DETAIL(c, "can be read");
	check_exe(d);
	c = doctor_add(d, "target", "namespaces", "namespaces", OK, NULL);
	if (t->proc.other_pid_ns)
		DETAIL(c, "PID namespace of its own, where it is process %u", t->proc.inner_pid);
	else
		DETAIL(c, "same PID namespace as hostprof");
	c = doctor_add(d, "target", "children", "children", OK, NULL);
	DETAIL(c, "%u below it%s", t->children,
	       t->children ? "; --no-children leaves them out" : "");
	check_sockets(d);
	check_io_uring(d);
	c = doctor_add(d, "target", "tls", "TLS", *t->tls ? INFO : OK, NULL);
	if (*t->tls)
		DETAIL(c,
		       "can encrypt, by %s: connections that do are counted by peer, not parsed "
		       "(sslmode=disable leaves those to a database on this host readable)",
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
		c = doctor_add(d, "target", "selection", "selection", WARN,
			       "give a process id to look at another, and to measure one alone");
		targets_name(&t, &names);
		DETAIL(c, "%u match, attach takes them all, here is the first: %.150s", t.ntargets,
		       names.p ? names.p : "");
	}
	check_pid(d, t.v[0].pid);
	targets_release(&t);
}

void doctor_target(struct doctor *d, const struct target_sel *sel)
{
	if (sel->npids)
		check_pid(d, sel->pids[0]);
	else if (sel->port || sel->name || sel->cgroup)
		check_found(d, sel);
}
