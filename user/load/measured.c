/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is measured, and how, as lines of the CONFIG record, so that captures keep it and reports can
 * tell "none" from "not measured".
 *
 * Input: the ladder as it is attached. Output, in the order of the table of probes:
 *	probe.KEY=RUNG|PLACE|WHAT THE RUNG IS|WHAT THE PROBE SEES
 *	unmeasured.sockets=WHY
 * RUNG is "none" when there is no way, "off" when nobody asked for it. PLACE is the rung's own,
 * 0 = best.
 */
#include <string.h>

#include "load/probes.h"

/* The rung that does the row's work, its own or the one that covers it. */
static const struct rung *working_rung(const struct ladder *l, enum probe p)
{
	u32 q;

	if (l->taken[p] != RUNG_COVERED)
		return ladder_rung(l, p);
	for (q = 0; q < PROBE_COUNT; q++) {
		const struct rung *r = ladder_rung(l, q);

		if (r && r->covers & PROBE_BIT(p))
			return r;
	}
	return NULL;
}

static void describe_row(const struct ladder *l, enum probe p, u32 asked, struct buf *out)
{
	const struct probe_row *row = &probe_rows[p];
	const struct rung *r = working_rung(l, p);
	bool off = row->group & ~asked;

	buf_addf(out, "probe.%s=%s|%d|%s|%s\n", row->key,
		 r     ? r->key
		 : off ? "off"
		       : "none",
		 MAX(l->taken[p], 0), r ? r->name : "", row->name);
}

/* The table says "… are not measured: WHY". */
static const char *why_lost(const struct ladder *l, u32 asked)
{
	u32 p;

	for (p = 0; p < PROBE_COUNT; p++) {
		const char *note = ladder_note(l, p, asked), *colon;

		if (!note || !probe_rows[p].required || probe_rows[p].group != GROUP_NET)
			continue;
		colon = strstr(note, ": ");
		return colon ? colon + 2 : note;
	}
	return "no probe could be attached";
}

void ladder_describe(const struct ladder *l, u32 asked, struct buf *out)
{
	u32 p;

	for (p = 0; p < PROBE_COUNT; p++)
		describe_row(l, p, asked, out);
	if (asked & ~l->groups & GROUP_NET)
		buf_addf(out, "unmeasured.sockets=%s\n", why_lost(l, asked));
}
