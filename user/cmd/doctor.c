/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostprof doctor [PID|--port|--name|--cgroup]: what this kernel, these rights and this target allow.
 *
 * Input: the feature table, facts of the host, and one process looked into. Output: one line a
 * check with verdict, meaning and fix, or the same as JSON. The exit status says whether attach
 * would work, so that a script can ask before it measures; with --without, on a kernel that lacks a
 * feature. The checks are collected first (the other doctor_*.c) and
 * printed afterwards (doctor_print.c), because both forms print the same list.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/common_opts.h"
#include "cmd/doctor.h"
#include "cmd/without.h"

struct doctor_opts {
	bool json;
	bool color;
	bool verbose;
	u32 port; /* 0 = not given */
	const char *name; /* NULL = not given */
	const char *cgroup;
	struct without without;
};

static const struct opt doctor_opt_rows[] = {
	TARGET_OPT_ROWS(struct doctor_opts),
	WITHOUT_OPT_ROW(struct doctor_opts),
	{ .name = "json",
	  .help = "print JSON",
	  .parse = opt_true,
	  .offset = offsetof(struct doctor_opts, json) },
	{ .name = "verbose",
	  .letter = 'v',
	  .help = "name the kernel change behind each feature",
	  .parse = opt_true,
	  .offset = offsetof(struct doctor_opts, verbose) },
	{ .name = "no-color",
	  .help = "no colours; NO_COLOR in the environment does the same",
	  .parse = opt_false,
	  .offset = offsetof(struct doctor_opts, color) },
	{ 0 },
};

struct check *doctor_add(struct doctor *d, const char *group, const char *key, const char *name,
			 enum verdict verdict, const char *fix)
{
	struct check *c = &d->checks[MIN(d->n, (size_t)CHECKS_MAX - 1)];

	d->n = MIN(d->n + 1, (size_t)CHECKS_MAX);
	*c = (struct check){ .group = group, .key = key, .name = name, .verdict = verdict };
	if ((verdict != WARN && verdict != FAIL) || !fix)
		return c;
	/* Of no use to who has done it: root without rights is root of a container. */
	if (!geteuid() && slice_starts(slice_str(fix), SLICE(SUDO)))
		fix = "root lacks rights here: run it on the host, or in a container with "
		      "--privileged --pid=host";
	snprintf(c->fix, sizeof(c->fix), "%s", fix);
	return c;
}

static int examine(struct doctor *d, const struct target_sel *sel, const struct doctor_opts *o)
{
	_release_(buf) struct buf out = BUF_INIT;
	const char *no_color = getenv("NO_COLOR");
	struct utsname un;
	int status, printed;

	uname(&un);
	doctor_target(d, sel);
	/* Who gave a wrong number wants to know that. Scripts get the same shape each time. */
	if (d->target_status != EXIT_NO_TARGET || o->json) {
		doctor_probes(d);
		doctor_kernel(d);
		feat_release();
		doctor_rights(d);
	}
	status = d->target_status   ? (int)d->target_status
		 : doctor_failed(d) ? EXIT_PRIVILEGE
				    : EXIT_OK;
	if (o->json)
		doctor_print_json(d, &un, status, &out);
	else
		doctor_print_text(d, &un,
				  o->color && !(no_color && *no_color) && isatty(STDOUT_FILENO),
				  o->verbose, &out);
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
	if (!cmd_options(c, a, &o, &status) || !without_apply(&o.without, &status))
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
