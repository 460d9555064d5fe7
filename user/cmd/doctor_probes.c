/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor, part of the kernel: which rung of the attach ladder each probe would take.
 *
 * Input: the table of probes, chosen as attach does it, for all that attach can measure. Output:
 * checks of the group "probes", and struct ladder for the JSON form.
 */
#include <stdio.h>

#include "base/cleanup.h"
#include "cmd/doctor.h"
#include "load/probes.h"

#define ALL_GROUPS (GROUP_NET | GROUP_CPU | GROUP_WAITS)

const struct rung *doctor_rung(const struct ladder *l, enum probe p, enum probe *ret_of)
{
	u32 q;

	*ret_of = p;
	if (l->taken[p] != RUNG_COVERED)
		return ladder_rung(l, p);
	for (q = 0; q < PROBE_COUNT; q++) {
		const struct rung *r = ladder_rung(l, (enum probe)q);

		if (r && r->covers & PROBE_BIT(p)) {
			*ret_of = (enum probe)q;
			return r;
		}
	}
	return NULL;
}

/* Bit i: the kernel has what rung i needs. */
static u32 rungs_there(enum probe p)
{
	u32 there = 0;
	int i;

	for (i = 0; i < RUNGS_MAX && probe_rows[p].rungs[i].key; i++)
		if (ladder_there(p, i))
			there |= 1U << i;
	return there;
}

/* What the user can change, if anything; else what the best rung needs and lacks. */
static void name_fix(const struct ladder *l, enum probe p, char *ret, size_t size)
{
	_release_(buf) struct buf b = BUF_INIT;
	int blame = ladder_blame(l, p);
	u32 f;

	if (blame >= 0) {
		feat_fix((enum feat)blame, ret, size);
		return;
	}

	for (f = 0; f < FEAT_COUNT; f++)
		if (probe_rows[p].rungs[0].needs & FEAT_BIT(f) && !feat_has((enum feat)f))
			buf_addf(&b, "%s%s", b.n ? ", " : "", feat_rows[f].key);
	if (b.n)
		snprintf(ret, size, "the best way needs %s: see above", b.p);
	else
		snprintf(ret, size, "the best way needs functions that this kernel does not have");
}

void doctor_probes(struct doctor *d)
{
	int i;

	ladder_choose(&d->ladder, ALL_GROUPS);
	for (i = 0; i < PROBE_COUNT; i++) {
		const enum probe p = (enum probe)i;
		const struct probe_row *row = &probe_rows[p];
		const char *note = ladder_note(&d->ladder, p, ALL_GROUPS);
		bool fatal = row->required && !d->ladder.groups;
		enum verdict verdict = fatal ? FAIL : note ? WARN : OK;
		const struct rung *r;
		struct check *c;
		enum probe of;
		char fix[256];

		name_fix(&d->ladder, p, fix, sizeof(fix));
		r = doctor_rung(&d->ladder, p, &of);
		c = doctor_add(d, "probes", row->key, row->name, verdict, fix);
		c->probe = row;
		c->lost = note || r ? note : row->lost;
		c->rungs = rungs_there(p);
		if (!r && !note)
			c->verdict = ABSENT;
		if (!r && !note)
			DETAIL(c, "not needed: what it belongs to cannot be measured");
		else
			DETAIL(c, "%s%s%s", r ? r->name : "", r && note ? "; " : "",
			       note ? note : "");
	}
}
