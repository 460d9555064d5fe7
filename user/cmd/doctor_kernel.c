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

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/doctor.h"
#include "load/feat.h"

/* What is lost: for the ways to see transfers it depends on which of them is left. */
static void add_lost(const struct doctor *d, enum feat f, struct buf *out)
{
	const struct rung *r = ladder_rung(&d->ladder, PROBE_TRANSFERS);

	if ((f != FEAT_FENTRY && f != FEAT_TRACEPOINT) || !r) {
		buf_adds(out, feat_rows[f].without);
		return;
	}
	buf_addf(out, "transfers are seen by another way: %s", r->name);
	if (f == FEAT_FENTRY && r->no_rings)
		buf_adds(out, ", which do not show io_uring");
	if (f == FEAT_TRACEPOINT && r->less)
		buf_adds(out, ", at a price (see below)");
	if (d->ladder.taken[PROBE_CALLS] == RUNG_NONE)
		buf_adds(out, "; connects that fail are not seen");
}

static void check_feature(struct doctor *d, enum feat f)
{
	static const enum verdict missing[] = {
		[FEAT_REQUIRED] = FAIL, [FEAT_DEGRADES] = WARN, [FEAT_UNUSED] = ABSENT
	};
	_release_(buf) struct buf why = BUF_INIT;
	const struct feat_row *row = &feat_rows[f];
	bool in_vain = feat_is_off(f) && feat_off_in_vain(f);
	char fix[256];
	struct check *c;

	if (feat_has(f)) {
		c = doctor_add(d, "kernel", row->key, row->name, OK, NULL);
		c->feat = row;
		DETAIL(c, "%s", row->why);
		return;
	}
	if (in_vain)
		snprintf(fix, sizeof(fix), "%s", row->fix);
	else
		feat_fix(f, fix, sizeof(fix));
	c = doctor_add(d, "kernel", row->key, row->name, missing[row->need], fix);
	c->feat = row;
	feat_missing_text(f, &why);
	if (in_vain)
		buf_adds(&why, ", and not to be had here anyway");
	buf_adds(&why, "; without it ");
	add_lost(d, f, &why);
	DETAIL(c, "%s", why.p ? why.p : "");
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
	_release_(buf) struct buf b = BUF_INIT, kptr = BUF_INIT;
	int err = file_read("/proc/kallsyms", &b, 4096);
	bool everybody, right;
	char *line, *rest = b.p;
	bool shown = false;
	struct check *c;

	/* Hidden addresses read as zeros. Many kernels begin with areas of CPUs: a true zero. */
	while ((!err || err == -EFBIG) && !shown && (line = strsep(&rest, "\n")))
		shown = strspn(line, "0") < strcspn(line, " ");
	everybody =
		!file_read("/proc/sys/kernel/kptr_restrict", &kptr, 16) && kptr.n && *kptr.p == '2';
	right = caps_lacking(caps_effective(), CAP_BIT(SYSLOG)) != 0;
	c = doctor_add(d, "kernel", "kallsyms", "kernel symbol addresses", shown ? OK : WARN,
		       !everybody ? SUDO ", or grant CAP_SYSLOG"
		       : right	  ? "set kernel.kptr_restrict to 1 or 0, and run with sudo or "
				    "grant CAP_SYSLOG"
				  : "set kernel.kptr_restrict to 1 or 0");
	if (shown)
		DETAIL(c, "name kernel functions in stacks");
	else
		DETAIL(c, "hidden %s; kernel functions stay unnamed in stacks",
		       everybody ? "from everybody: kernel.kptr_restrict is 2"
		       : right	 ? "without CAP_SYSLOG"
				 : "by a policy of this kernel");
}

void doctor_kernel(struct doctor *d)
{
	int i;

	for (i = 0; i < FEAT_COUNT; i++)
		check_feature(d, (enum feat)i);
	check_lockdown(d);
	check_kallsyms(d);
}
