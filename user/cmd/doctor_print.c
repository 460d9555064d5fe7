/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor, last part: the checks as text, and as JSON.
 *
 * Input: struct doctor with all checks. Output: bytes for standard output. Both forms say the same;
 * the text leaves out what is only of use to scripts.
 */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cmd/doctor.h"
#include "load/feat.h"

#define KEY_COLUMN 18 /* keys of features are what --without takes */

static const char *const verdict_words[] = { "ok", "warn", "fail" };
static const char *const verdict_colors[] = { "\033[32m", "\033[33m", "\033[31m" };

size_t doctor_failed(const struct doctor *d)
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

void doctor_print_text(const struct doctor *d, const struct utsname *un, bool color,
		       struct buf *out)
{
	const char *group = "";
	size_t i, failed = doctor_failed(d);

	buf_addf(out, "hostprof %s on Linux %s %s\n", HOSTPROF_VERSION, un->release, un->machine);
	lead_with_sudo(d, out);
	for (i = 0; i < d->n; i++) {
		const struct check *c = &d->checks[i];

		if (strcmp(group, c->group))
			buf_addf(out, "\n%s\n", c->group);
		group = c->group;
		buf_addf(out, "  %s%-4s%s  ", color ? verdict_colors[c->verdict] : "",
			 verdict_words[c->verdict], color ? "\033[0m" : "");
		if (c->feat || c->probe)
			buf_addf(out, "%-*s", KEY_COLUMN, c->key);
		buf_addf(out, "%s: %s\n", c->name, c->detail);
		if (*c->fix)
			buf_addf(out, "        fix: %s\n", c->fix);
		if (c->feat)
			buf_addf(out, "        since Linux %s: %s\n", c->feat->since,
				 c->feat->change);
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
	json_bool(j, "io_uring", t->io_uring);
	json_end_obj(j);
}

static void json_probe(struct json *j, const struct doctor *d, const struct check *c)
{
	const struct probe_row *row = c->probe;
	enum probe p = (enum probe)(row - probe_rows), of;
	const struct rung *r = doctor_rung(&d->ladder, p, &of);
	int i;

	json_obj(j, NULL);
	json_cstr(j, "key", row->key);
	json_cstr(j, "name", row->name);
	json_cstr(j, "verdict", verdict_words[c->verdict]);
	json_cstr(j, "rung", r ? r->key : NULL);
	json_cstr(j, "done_by", r && of != p ? probe_rows[of].key : NULL);
	json_cstr(j, "lost", c->lost);
	json_cstr(j, "holds", row->holds);
	json_cstr(j, "fix", *c->fix ? c->fix : NULL);
	json_bool(j, "required", row->required);
	json_arr(j, "rungs");
	for (i = 0; i < RUNGS_MAX && row->rungs[i].key; i++) {
		u32 f;

		json_obj(j, NULL);
		json_cstr(j, "key", row->rungs[i].key);
		json_cstr(j, "name", row->rungs[i].name);
		json_bool(j, "there", c->rungs >> i & 1);
		json_arr(j, "needs");
		for (f = 0; f < FEAT_COUNT; f++)
			if (row->rungs[i].needs & FEAT_BIT(f))
				json_cstr(j, NULL, feat_rows[f].key);
		json_end_arr(j);
		json_end_obj(j);
	}
	json_end_arr(j);
	json_end_obj(j);
}

static void json_probes(struct json *j, const struct doctor *d)
{
	size_t i;

	json_arr(j, "probes");
	for (i = 0; i < d->n; i++)
		if (d->checks[i].probe)
			json_probe(j, d, &d->checks[i]);
	json_end_arr(j);
}

void doctor_print_json(const struct doctor *d, const struct utsname *un, int status,
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

		if (c->probe)
			continue;
		json_obj(&j, NULL);
		json_cstr(&j, "group", c->group);
		json_cstr(&j, "key", c->key);
		json_cstr(&j, "name", c->name);
		json_cstr(&j, "verdict", verdict_words[c->verdict]);
		json_cstr(&j, "detail", c->detail);
		json_cstr(&j, "fix", *c->fix ? c->fix : NULL);
		json_cstr(&j, "since_kernel", c->feat ? c->feat->since : NULL);
		json_cstr(&j, "kernel_change", c->feat ? c->feat->change : NULL);
		json_cstr(&j, "without", c->feat ? c->feat->without : NULL);
		json_end_obj(&j);
	}
	json_end_arr(&j);
	json_probes(&j, d);
	json_target(&j, d);
	json_bool(&j, "attach_works", status == EXIT_OK);
	json_u64(&j, "exit_status", (u64)status);
	json_end_obj(&j);
	buf_addch(out, '\n');
}
