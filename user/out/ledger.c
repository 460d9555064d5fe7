/* SPDX-License-Identifier: Apache-2.0 */
/* See ledger.h. */
#include "out/ledger.h"

#include "out/facts.h"
#include "out/fmt.h"

#define SMALL 0.01 /* phases below that share are not worth a word */

void phases_json(struct json *j, const char *key, const u64 phase_ns[PHASES])
{
	u32 p;

	json_obj(j, key);
	for (p = 0; p < PHASES; p++)
		if (phase_ns[p])
			json_ms(j, phase_key(p), (double)phase_ns[p]);
	json_end_obj(j);
}

static void put_phases(struct json *j, const char *key, const double phase_ns[PHASES])
{
	u32 p;

	json_obj(j, key);
	for (p = 0; p < PHASES; p++)
		if (phase_ns[p] > 0)
			json_ms(j, phase_key(p), phase_ns[p]);
	json_end_obj(j);
}

void ledger_json(struct json *j, const struct agg_ledger *l)
{
	static const char *const keys[AGG_LEDGER_QUANTILES] = { "p50", "p95", "p99" };
	double all;
	u32 i;

	if (!l) {
		json_null(j, "ledger_ms");
		json_null(j, "overlapped_ms");
		json_null(j, "cpu_ms_per_request");
		json_null(j, "attributed_ratio");
		return;
	}
	json_obj(j, "ledger_ms");
	put_phases(j, "mean", l->mean.phase_ns);
	for (i = 0; i < AGG_LEDGER_QUANTILES; i++)
		put_phases(j, keys[i], l->at[i].phase_ns);
	json_end_obj(j);
	put_phases(j, "overlapped_ms", l->mean.raw_ns);
	json_ms(j, "cpu_ms_per_request", l->mean.phase_ns[PHASE_CPU]);
	all = l->mean.latency_ns;
	json_num(j, "attributed_ratio",
		 all > 0 ? 1 - l->mean.phase_ns[PHASE_UNATTRIBUTED] / all : 1);
}

bool ledger_known(const struct agg_report *rep)
{
	u32 i;

	for (i = 0; i < rep->nendpoints; i++)
		if (rep->endpoints[i]->ledger)
			return true;
	return false;
}

static void put_endpoint(struct json *j, const char *key, const struct agg_endpoint *e)
{
	json_obj(j, key);
	json_cstr(j, "method", e->method);
	json_cstr(j, "route", e->route);
	json_end_obj(j);
}

void blame_json(struct json *j, const struct agg_report *rep)
{
	u32 i;

	if (!ledger_known(rep)) {
		json_null(j, "blame");
		return;
	}
	json_arr(j, "blame");
	for (i = 0; i < rep->nblames; i++) {
		const struct agg_blame *b = &rep->blames[i];

		json_obj(j, NULL);
		put_endpoint(j, "victim", b->victim);
		if (b->holder)
			put_endpoint(j, "holder", b->holder);
		else
			json_cstr(j, "holder", "background");
		json_cstr(j, "kind", "loop");
		json_null(j, "frame");
		json_ms(j, "ms", (double)b->ns);
		json_u64(j, "count", b->count);
		json_end_obj(j);
	}
	json_end_arr(j);
}

void ledger_words(struct buf *out, const struct agg_ledger_slice *s, u32 max)
{
	bool said[PHASES] = { false };
	u32 n, p, most;

	for (n = 0; n < max; n++) {
		most = PHASES;
		for (p = 0; p < PHASES; p++)
			if (!said[p] && s->phase_ns[p] >= SMALL * s->latency_ns &&
			    s->phase_ns[p] > 0 &&
			    (most == PHASES || s->phase_ns[p] > s->phase_ns[most]))
				most = p;
		if (most == PHASES)
			return;
		said[most] = true;
		buf_addf(out, "%s%s %s (%s)", n ? ", " : "", phase_key(most),
			 fmt_dur(FMT, s->phase_ns[most]),
			 fmt_pct(FMT, s->phase_ns[most] / s->latency_ns));
	}
}

double ledger_blame_time(const struct agg_report *rep, u32 i)
{
	return (double)rep->blames[i].ns;
}
