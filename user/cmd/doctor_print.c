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

static const struct {
	const char *word;
	const char *json;
	const char *color;
} verdicts[] = {
	[OK] = { "ok", "ok", "\033[32m" },	 [WARN] = { "warn", "warn", "\033[33m" },
	[FAIL] = { "fail", "fail", "\033[31m" }, [ABSENT] = { "--", "ok", "\033[2m" },
	[INFO] = { "info", "ok", "\033[36m" },
};

/* In the order of print; the checks come in the order in which they can be made. */
static const char *const groups[] = { "kernel", "probes", "privileges", "target" };

static size_t count(const struct doctor *d, enum verdict v)
{
	size_t i, n = 0;

	for (i = 0; i < d->n; i++)
		n += d->checks[i].verdict == v;
	return n;
}

size_t doctor_failed(const struct doctor *d)
{
	return count(d, FAIL);
}

struct paper {
	const struct doctor *d;
	struct buf *out;
	bool color;
	bool verbose;
};

/* One line instead of the same advice nine times. */
static void lead_with_sudo(const struct paper *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->d->n; i++)
		n += slice_starts(slice_str(p->d->checks[i].fix), SLICE(SUDO));
	if (n > 1)
		buf_addf(p->out,
			 "run it with sudo: %zu of the points below only say that this user has no "
			 "privileges\n",
			 n);
}

static void print_check(const struct paper *p, const struct check *c)
{
	buf_addf(p->out, "  %s%-4s%s  ", p->color ? verdicts[c->verdict].color : "",
		 verdicts[c->verdict].word, p->color ? "\033[0m" : "");
	if (c->feat || c->probe || !strcmp(c->group, "kernel"))
		buf_addf(p->out, "%-*s", KEY_COLUMN, c->key);
	buf_addf(p->out, "%s: %s\n", c->name, c->detail);
	if (*c->fix)
		buf_addf(p->out, "        fix: %s\n", c->fix);
	if (p->verbose && c->feat)
		buf_addf(p->out, "        %s Linux %s: %s\n", c->feat->gone ? "until" : "since",
			 c->feat->since, c->feat->change);
}

/* The checks of a group whose verdict is among these, a bit each. */
static void print_group(const struct paper *p, const char *group, const char *head, u32 which)
{
	bool begun = !head;
	size_t i;

	for (i = 0; i < p->d->n; i++) {
		const struct check *c = &p->d->checks[i];

		if (strcmp(c->group, group) || !(which >> c->verdict & 1))
			continue;
		if (!begun)
			buf_addf(p->out, "\n%s\n", head);
		begun = true;
		print_check(p, c);
	}
}

static void print_verdict(const struct paper *p)
{
	size_t failed = doctor_failed(p->d), warned = count(p->d, WARN);

	if (failed)
		buf_addf(p->out, "attach will not work: %zu problem%s\n", failed,
			 failed == 1 ? "" : "s");
	else if (warned)
		buf_addf(p->out, "attach will work; %zu thing%s could be better\n", warned,
			 warned == 1 ? "" : "s");
	else
		buf_adds(p->out, "attach will work\n");
}

/* What matters first: the verdict, what is behind it, then the rest, a line each. */
void doctor_print_text(const struct doctor *d, const struct utsname *un, bool color, bool verbose,
		       struct buf *out)
{
	const struct paper p = { .d = d, .out = out, .color = color, .verbose = verbose };
	const u32 bad[] = { 1U << FAIL, 1U << WARN };
	size_t i, k;

	buf_addf(out, "hostprof %s on Linux %s %s\n", HOSTPROF_VERSION, un->release, un->machine);
	print_verdict(&p);
	lead_with_sudo(&p);
	if (doctor_failed(d) || count(d, WARN))
		buf_addch(out, '\n');
	for (k = 0; k < ARRAY_SIZE(bad); k++)
		for (i = 0; i < ARRAY_SIZE(groups); i++)
			print_group(&p, groups[i], NULL, bad[k]);
	for (i = 0; i < ARRAY_SIZE(groups); i++)
		print_group(&p, groups[i], groups[i], ~(bad[0] | bad[1]));
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
	json_cstr(j, "runtime_note", doctor_runtime_note(t));
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
	json_cstr(j, "verdict", verdicts[c->verdict].json);
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

static void json_checks(struct json *j, const struct doctor *d, const char *group)
{
	size_t i;

	for (i = 0; i < d->n; i++) {
		const struct check *c = &d->checks[i];

		if (c->probe || strcmp(c->group, group))
			continue;
		json_obj(j, NULL);
		json_cstr(j, "group", c->group);
		json_cstr(j, "key", c->key);
		json_cstr(j, "name", c->name);
		json_cstr(j, "verdict", verdicts[c->verdict].json);
		json_cstr(j, "detail", c->detail);
		json_cstr(j, "fix", *c->fix ? c->fix : NULL);
		if (c->feat)
			json_bool(j, "there", feat_has(c->feat - feat_rows));
		json_cstr(j, "since_kernel", c->feat ? c->feat->since : NULL);
		json_cstr(j, "kernel_change", c->feat ? c->feat->change : NULL);
		json_cstr(j, "without", c->feat ? c->feat->without : NULL);
		json_end_obj(j);
	}
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
	for (i = 0; i < ARRAY_SIZE(groups); i++)
		json_checks(&j, d, groups[i]);
	json_end_arr(&j);
	json_probes(&j, d);
	json_target(&j, d);
	json_bool(&j, "attach_works", status == EXIT_OK);
	json_u64(&j, "exit_status", (u64)status);
	json_end_obj(&j);
	buf_addch(out, '\n');
}
