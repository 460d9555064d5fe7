/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor, first part: what this kernel can do, from the feature table.
 *
 * Input: the feature table, probed here, and two facts about the kernel that are no feature of it.
 * Output: checks of the group "kernel".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/doctor.h"
#include "load/feat.h"

static void check_feature(struct doctor *d, enum feat f)
{
	static const enum verdict missing[] = {
		[FEAT_REQUIRED] = FAIL, [FEAT_DEGRADES] = WARN, [FEAT_UNUSED] = OK
	};
	_release_(buf) struct buf why = BUF_INIT;
	const struct feat_row *row = &feat_rows[f];
	char fix[128];
	struct check *c;
	int err = feat_probe(f);
	bool right;

	if (!err) {
		c = doctor_add(d, "kernel", row->key, row->name, OK, NULL);
		c->feat = row;
		DETAIL(c, "%s", row->why);
		return;
	}
	right = (err == -EPERM || err == -EACCES) && !feat_has(FEAT_BPF);
	if (right)
		snprintf(fix, sizeof(fix), SUDO "; it cannot be tried without");
	else
		feat_fix(f, fix, sizeof(fix));
	c = doctor_add(d, "kernel", row->key, row->name, missing[row->need], fix);
	c->feat = row;
	feat_missing_text(f, &why);
	DETAIL(c, "%s; without it %s", why.p ? why.p : "", row->without);
}

static void check_lockdown(struct doctor *d)
{
	_release_(buf) struct buf b = BUF_INIT;
	bool full;
	struct check *c;

	if (file_read("/sys/kernel/security/lockdown", &b, 128) || !b.p)
		return; /* no lockdown in this kernel, or securityfs is not mounted */
	full = strstr(b.p, "[confidentiality]");
	c = doctor_add(d, "kernel", "lockdown", "kernel lockdown", full ? FAIL : OK,
		       "boot without lockdown=confidentiality; integrity is fine");
	DETAIL(c, "%s",
	       full			    ? "confidentiality: BPF may not read kernel memory"
	       : strstr(b.p, "[integrity]") ? "integrity: does not hold BPF back"
					    : "off");
}

static void check_kallsyms(struct doctor *d)
{
	_release_(buf) struct buf b = BUF_INIT;
	int err = file_read("/proc/kallsyms", &b, 4096);
	char *line, *rest = b.p;
	bool shown = false;
	struct check *c;

	/* Hidden addresses read as zeros. Many kernels begin with areas of CPUs: a true zero. */
	while ((!err || err == -EFBIG) && !shown && (line = strsep(&rest, "\n")))
		shown = strspn(line, "0") < strcspn(line, " ");
	c = doctor_add(d, "kernel", "kallsyms", "kernel symbol addresses", shown ? OK : WARN,
		       SUDO ", or set kernel.kptr_restrict to 1 or 0");

	DETAIL(c, "%s",
	       shown ? "name kernel functions in stacks"
		     : "hidden; kernel functions stay unnamed in stacks");
}

void doctor_kernel(struct doctor *d)
{
	int i;

	for (i = 0; i < FEAT_COUNT; i++)
		check_feature(d, (enum feat)i);
	check_lockdown(d);
	check_kallsyms(d);
}
