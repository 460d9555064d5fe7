/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was measured, and how. Input: the lines of the CONFIG records ("probe.KEY=…",
 * "unmeasured.sockets=…", "option.…=…"; user/load/measured.c writes them). Output: the probes, the
 * features switched off, and why a part was not measured, for struct agg_trust.
 *
 * Captures of before these lines have none of it: then everything counts as measured and no probe is
 * known. Lines that are no such thing are passed over.
 */
#include <string.h>
#include "agg/core.h"
#include "agg/text.h"

/* Takes what stands before the first sep, and sep, off s. */
static struct slice cut(struct slice *s, char sep)
{
	const char *at = s->n ? memchr(s->p, sep, s->n) : NULL;
	struct slice part = slice_of(s->p, at ? (size_t)(at - s->p) : s->n);

	*s = at ? slice_of(at + 1, s->n - part.n - 1) : slice_of(s->p + s->n, 0);
	return part;
}

static void add_probe(struct agg *a, struct slice key, struct slice value)
{
	struct measured *m = &a->measured;
	struct agg_probe *p = &m->probes[m->nprobes];

	if (m->nprobes == ARRAY_SIZE(m->probes))
		return;
	m->nprobes++;
	p->key = text_add(&a->texts, key);
	p->rung = text_add(&a->texts, cut(&value, '|'));
	p->lower = !slice_eq(cut(&value, '|'), SLICE("0"));
	p->how = text_add(&a->texts, cut(&value, '|'));
	p->name = text_add(&a->texts, value);
}

static void add_without(struct agg *a, struct slice key)
{
	struct measured *m = &a->measured;

	if (m->nwithout < ARRAY_SIZE(m->without))
		m->without[m->nwithout++] = text_add(&a->texts, key);
}

void measured_read(struct agg *a)
{
	static const struct slice probe = { "probe.", 6 };
	struct agg_trust *t = &a->report.trust;
	struct slice rest = buf_slice(&a->config), line, key;
	bool http = true, db = true;

	t->no_sockets = "";
	while (rest.n) {
		line = cut(&rest, '\n');
		key = cut(&line, '=');
		if (slice_starts(key, probe))
			add_probe(a, slice_of(key.p + probe.n, key.n - probe.n), line);
		else if (slice_eq(key, SLICE("unmeasured.sockets")) && line.n)
			t->no_sockets = text_add(&a->texts, line);
		else if (slice_eq(key, SLICE("option.without")) && line.n)
			add_without(a, line);
		else if (slice_eq(key, SLICE("option.http")))
			http = !slice_eq(line, SLICE("0"));
		else if (slice_eq(key, SLICE("option.db")))
			db = !slice_eq(line, SLICE("0"));
	}
	if (!http && !db && !*t->no_sockets)
		t->no_sockets = "switched off by --no-http and --no-db";
	t->no_http = *t->no_sockets ? t->no_sockets : http ? "" : "switched off by --no-http";
	t->no_db = *t->no_sockets ? t->no_sockets : db ? "" : "switched off by --no-db";
	t->probes = a->measured.probes;
	t->nprobes = a->measured.nprobes;
	t->without = a->measured.without;
	t->nwithout = a->measured.nwithout;
}
