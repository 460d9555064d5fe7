/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PERFORMANCE_REPORT.md: what an engineer in an incident reads in a minute. Facts with figures, the
 * most expensive first, then what the report could not see. Nothing is advised here.
 *
 * Tables are cut at some dozen rows and say so; summary.json has them all. Names come from requests,
 * statements and binaries of others: text_md() makes them plain cells.
 */
#include "out/outs.h"

#include <errno.h>
#include <time.h>
#include "base/cleanup.h"
#include "out/facts.h"
#include "out/fmt.h"
#include "out/ledger.h"

#define ROWS_MAX 20
#define NAME_CELLS 80
#define SQL_CELLS 300
#define CODES_MAX 4

static void put_cell(struct buf *out, const char *s, size_t cells, bool code)
{
	buf_adds(out, " ");
	text_md(out, slice_str(s), cells, code);
	buf_adds(out, " |");
}

/* Rows without a count only stand for what crosses the window's edges: nobody misses them. */
static void put_more(struct buf *out, const struct agg_report *rep, u32 rows, facts_key count,
		     u32 shown)
{
	u32 i, counted = 0;

	for (i = 0; i < rows; i++)
		counted += count(rep, i) > 0;
	if (counted > shown)
		buf_addf(out, "\n%u more in summary.json.\n", counted - shown);
}

static double endpoint_count(const struct agg_report *rep, u32 i)
{
	return (double)rep->endpoints[i]->count;
}

static double query_count(const struct agg_report *rep, u32 i)
{
	return (double)rep->queries[i]->count;
}

static double pool_count(const struct agg_report *rep, u32 i)
{
	return (double)rep->pools[i]->conns;
}

static double external_count(const struct agg_report *rep, u32 i)
{
	return (double)rep->external[i]->count;
}

static const char *plural(u64 n)
{
	return n == 1 ? "" : "s";
}

/* How many codes are more frequent. */
static u32 code_rank(const struct agg_code *status, u32 n, u32 i)
{
	u32 k, above = 0;

	for (k = 0; k < n; k++)
		above += status[k].n > status[i].n || (status[k].n == status[i].n && k < i);
	return above;
}

/* "200 ×610, 404 ×98": the most frequent ones, ascending, and the others together. */
static void put_status(struct buf *out, const struct agg_code *status, u32 n)
{
	const char *sep = " ";
	u64 rest = 0;
	u32 i;

	for (i = 0; i < n; i++) {
		if (code_rank(status, n, i) >= CODES_MAX) {
			rest += status[i].n;
			continue;
		}
		buf_adds(out, sep);
		if (status[i].status)
			buf_addf(out, "%u", status[i].status);
		else
			buf_adds(out, "none");
		buf_addf(out, " ×%s", fmt_count(FMT, status[i].n));
		sep = ", ";
	}
	if (rest)
		buf_addf(out, ", others ×%s", fmt_count(FMT, rest));
	buf_adds(out, n ? " |" : " – |");
}

/* What a row is about, and with several targets whose it is. */
static void put_name(struct buf *out, const struct agg_report *rep, u16 target, const char *name,
		     size_t cells)
{
	_release_(buf) struct buf tag = BUF_INIT;

	facts_target_tag(rep, target, &tag);
	buf_adds(out, "| ");
	text_md(out, slice_str(name), cells, true);
	text_md(out, buf_slice(&tag), NAME_CELLS, false);
	buf_adds(out, " |");
}

static const char *quantile(struct fmt *f, const struct hist *h, double q)
{
	return h->count ? fmt_dur(f, hist_quantile(h, q)) : "–";
}

static const char *share(struct fmt *f, double part, double all)
{
	return all > 0 ? fmt_pct(f, part / all) : "–";
}

static void put_head(struct buf *out, const struct agg_report *rep)
{
	_release_(buf) struct buf title = BUF_INIT;
	time_t start = (time_t)(rep->window.start_unix_ns / NSEC_PER_SEC);
	struct tm tm = { 0 };
	char when[40] = "";
	u32 i;

	facts_title(rep, &title);
	buf_adds(out, "# Performance report: ");
	text_md(out, buf_slice(&title), 100, false);
	buf_adds(out, "\n\n");
	if (gmtime_r(&start, &tm))
		strftime(when, sizeof(when), " from %Y-%m-%d %H:%M:%S UTC", &tm);
	buf_addf(out, "%s%s, hostprof %s.\n\n", fmt_dur(FMT, rep->window.duration_s * 1e9), when,
		 HOSTPROF_VERSION);
	for (i = 0; i < MIN(rep->ntargets, ROWS_MAX); i++) {
		const struct agg_target *t = &rep->targets[i];

		buf_addf(out, "- pid %u: ", t->pid);
		text_md(out, slice_str(t->cmdline), 200, true);
		buf_adds(out, *t->runtime ? ", " : "");
		text_md(out, slice_str(t->runtime), 40, false);
		if (t->npids + t->pids_more > 1)
			buf_addf(out, ", %u processes", t->npids + t->pids_more);
		if (t->exited)
			buf_addf(out, ", **ended inside the window** (wait status %d)",
				 t->exit_code);
		buf_adds(out, "\n");
	}
	if (!rep->window.complete)
		buf_adds(out,
			 "- **The capture was cut: what follows is the part that is whole.**\n");
	buf_adds(out, "\n");
}

static void put_load(struct buf *out, const struct agg_report *rep)
{
	if (rep->resources.samples)
		buf_addf(out, "- CPU %.2f cores of %u (%.2f at most), memory %s.\n",
			 rep->resources.cpu_ratio.mean, rep->window.ncpus,
			 rep->resources.cpu_ratio.max,
			 fmt_bytes(FMT, rep->resources.rss_bytes.max));
	buf_adds(out, "\n");
}

static void put_stuck(struct buf *out, const struct agg_stuck *s)
{
	if (s->requests) {
		buf_addf(out, "- Requests that came and were not answered by the end: %s",
			 fmt_count(FMT, s->requests));
		if (s->unread)
			buf_addf(out, ", %s of them not even read", fmt_count(FMT, s->unread));
		if (s->oldest_s >= 0)
			buf_addf(out, "; the first had waited for %s",
				 fmt_dur(FMT, s->oldest_s * 1e9));
		if (*s->oldest) {
			buf_adds(out, " (");
			text_md(out, slice_str(s->oldest), NAME_CELLS, false);
			buf_adds(out, ")");
		}
		buf_adds(out, ".\n");
	}
	if (s->before)
		buf_addf(out,
			 "- Connections on which the client had spoken last before the window, and "
			 "nothing came or went in it: %s.\n",
			 fmt_count(FMT, s->before));
}

static void put_requests(struct buf *out, const struct agg_report *rep)
{
	double s = rep->window.duration_s;
	u32 top;

	buf_addf(out, "- **%s requests, %s/s", fmt_count(FMT, rep->requests),
		 fmt_rate(FMT, s > 0 ? (double)rep->requests / s : 0));
	if (rep->latency.count)
		buf_addf(out, "; p50 %s, p95 %s, p99 %s", quantile(FMT, &rep->latency, 0.5),
			 quantile(FMT, &rep->latency, 0.95), quantile(FMT, &rep->latency, 0.99));
	buf_addf(out, "; %s error%s (status ≥ 500), %s answered 4xx, %s cut off.**",
		 fmt_count(FMT, rep->errors), plural(rep->errors),
		 fmt_count(FMT, facts_all_refused(rep)), fmt_count(FMT, rep->aborted));
	if (rep->at_attach || rep->at_detach)
		buf_addf(out, " %s more under way at the window's start, %s at its end.",
			 fmt_count(FMT, rep->at_attach), fmt_count(FMT, rep->at_detach));
	buf_adds(out, "\n");
	put_stuck(out, &rep->stuck);
	if (facts_rank(rep, rep->nendpoints, facts_endpoint_time, 1, &top)) {
		const struct agg_endpoint *e = rep->endpoints[top];
		_release_(buf) struct buf tag = BUF_INIT;

		buf_adds(out, "- ");
		text_md(out, slice_str(e->method), 20, false);
		buf_adds(out, *e->method ? " " : "");
		text_md(out, slice_str(e->route), NAME_CELLS, false);
		facts_target_tag(rep, e->target, &tag);
		text_md(out, buf_slice(&tag), NAME_CELLS, false);
		buf_addf(out, " takes %s of all request time, p95 %s.\n",
			 share(FMT, e->latency.sum, facts_all_endpoint_time(rep)),
			 quantile(FMT, &e->latency, 0.95));
	}
}

static void put_verdict(struct buf *out, const struct agg_report *rep)
{
	double s = rep->window.duration_s;
	u64 failed = facts_all_failed(rep);
	struct facts_tls tls;
	u32 top;

	if (facts_encrypted(rep, &tls)) {
		buf_addf(out, "- **%s to ", tls.system);
		text_md(out, slice_str(tls.peer), NAME_CELLS, false);
		buf_addf(out, " encrypts %s connection%s: its queries are not in this report.** ",
			 fmt_count(FMT, tls.conns), tls.conns == 1 ? "" : "s");
		buf_addf(out, "To see them, %s.\n", tls.fix);
	}
	if (*rep->trust.no_sockets) {
		buf_adds(out, "- **Requests, queries and outgoing calls are not measured: ");
		text_md(out, slice_str(rep->trust.no_sockets), 300, false);
		buf_adds(out, ".**\n");
		put_load(out, rep);
		return;
	}
	if (*rep->trust.no_http)
		buf_addf(out, "- **Requests are not measured: %s.**\n", rep->trust.no_http);
	else
		put_requests(out, rep);
	if (*rep->trust.no_db)
		buf_addf(out, "- **Queries are not measured: %s.**\n", rep->trust.no_db);
	if (rep->calls)
		buf_addf(out,
			 "- %s database calls, %s/s, in %s round trip%s, %s in total; %s failed.\n",
			 fmt_count(FMT, rep->calls),
			 fmt_rate(FMT, s > 0 ? (double)rep->calls / s : 0),
			 fmt_count(FMT, rep->round_trips), plural(rep->round_trips),
			 fmt_dur(FMT, facts_all_query_time(rep)), fmt_count(FMT, rep->call_errors));
	if (failed && facts_rank(rep, rep->nexternal, facts_external_failed, 1, &top)) {
		_release_(buf) struct buf name = BUF_INIT;

		facts_external_name(rep->external[top], &name);
		facts_target_tag(rep, rep->external[top]->target, &name);
		buf_addf(out, "- %s outgoing call%s failed, most to", fmt_count(FMT, failed),
			 plural(failed));
		buf_adds(out, " ");
		text_md(out, buf_slice(&name), NAME_CELLS, false);
		buf_addf(out, " (%s).\n", fmt_count(FMT, (u64)facts_external_failed(rep, top)));
	}
	put_load(out, rep);
}

/* Of the mean request: its queries, and the time in which one was under way. */
static void put_asked(struct buf *out, const struct agg_report *rep, const struct agg_endpoint *e)
{
	double n = (double)e->bound.requests;

	if (*rep->trust.no_db || !e->bound.known)
		buf_adds(out, " ? | ? |");
	else if (!e->bound.calls)
		buf_adds(out, " 0 | |");
	else
		buf_addf(out, " %s (%s) | %s |", fmt_rate(FMT, (double)e->bound.calls / n),
			 fmt_count(FMT, e->bound.calls_max),
			 fmt_dur(FMT, (double)e->bound.db_ns / n));
}

static void put_endpoints(struct buf *out, const struct agg_report *rep)
{
	double all = facts_all_endpoint_time(rep), s = rep->window.duration_s;
	u32 rows[ROWS_MAX], n, i;

	if (*rep->trust.no_http)
		return;
	buf_adds(out, "## Endpoints\n\n");
	n = facts_rank(rep, rep->nendpoints, facts_endpoint_time, ROWS_MAX, rows);
	if (!n) {
		buf_adds(out, "No request was timed.\n\n");
		return;
	}
	buf_adds(out, "| Endpoint | Requests | per s | p50 | p95 | p99 | max | Share of request "
		      "time | Queries (max) | DB wait | Status | Errors | Cut off | In | Out |\n"
		      "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_endpoint *e = rep->endpoints[rows[i]];
		_release_(buf) struct buf name = BUF_INIT;

		facts_endpoint_name(e, &name);
		put_name(out, rep, e->target, name.p, NAME_CELLS);
		buf_addf(out, " %s | %s | %s | %s | %s | %s | %s |", fmt_count(FMT, e->count),
			 fmt_rate(FMT, s > 0 ? (double)e->count / s : 0),
			 quantile(FMT, &e->latency, 0.5), quantile(FMT, &e->latency, 0.95),
			 quantile(FMT, &e->latency, 0.99), fmt_dur(FMT, e->latency.max),
			 share(FMT, e->latency.sum, all));
		put_asked(out, rep, e);
		put_status(out, e->status, e->nstatus);
		buf_addf(out, " %s | %s | %s | %s |\n", fmt_count(FMT, e->errors),
			 fmt_count(FMT, e->aborted), fmt_bytes(FMT, (double)e->request_bytes),
			 fmt_bytes(FMT, (double)e->response_bytes));
	}
	put_more(out, rep, rep->nendpoints, endpoint_count, n);
	buf_adds(out, "\n");
}

#define PHASES_SAID 6
#define BLAMES_SAID 10

static void put_blames(struct buf *out, const struct agg_report *rep)
{
	u32 rows[BLAMES_SAID], n, i;

	n = facts_rank(rep, rep->nblames, ledger_blame_time, BLAMES_SAID, rows);
	if (!n)
		return;
	buf_adds(out, "| Waited for the event loop | which worked for | in total | Requests |\n"
		      "|---|---|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_blame *b = &rep->blames[rows[i]];
		_release_(buf) struct buf victim = BUF_INIT, holder = BUF_INIT;

		facts_endpoint_name(b->victim, &victim);
		put_name(out, rep, b->victim->target, victim.p, NAME_CELLS);
		if (b->holder) {
			facts_endpoint_name(b->holder, &holder);
			put_cell(out, holder.p, NAME_CELLS, true);
		} else {
			buf_adds(out, " none that is known |");
		}
		buf_addf(out, " %s | %s |\n", fmt_dur(FMT, (double)b->ns),
			 fmt_count(FMT, b->count));
	}
	if (rep->nblames > n)
		buf_addf(out, "\n%u more in summary.json.\n", rep->nblames - n);
	buf_adds(out, "\n");
}

/* What the mean request and the slow one spend their time on. */
static void put_ledgers(struct buf *out, const struct agg_report *rep)
{
	u32 rows[ROWS_MAX], n, i;

	if (*rep->trust.no_http || !ledger_known(rep))
		return;
	buf_adds(out, "## Where the time of a request goes\n\n"
		      "| Endpoint | mean | of it | p99 | of it |\n|---|--:|---|--:|---|\n");
	n = facts_rank(rep, rep->nendpoints, facts_endpoint_time, ROWS_MAX, rows);
	for (i = 0; i < n; i++) {
		const struct agg_endpoint *e = rep->endpoints[rows[i]];
		const struct agg_ledger_slice *slow;
		_release_(buf) struct buf name = BUF_INIT;

		if (!e->ledger)
			continue;
		slow = &e->ledger->at[AGG_LEDGER_QUANTILES - 1];
		facts_endpoint_name(e, &name);
		put_name(out, rep, e->target, name.p, NAME_CELLS);
		buf_addf(out, " %s | ", fmt_dur(FMT, e->ledger->mean.latency_ns));
		ledger_words(out, &e->ledger->mean, PHASES_SAID);
		buf_addf(out, " | %s | ", fmt_dur(FMT, slow->latency_ns));
		ledger_words(out, slow, PHASES_SAID);
		buf_adds(out, " |\n");
	}
	buf_adds(out, "\n");
	put_blames(out, rep);
}

static void put_codes(struct buf *out, const struct agg_query *q)
{
	u32 i;

	buf_addf(out, " %s", fmt_count(FMT, q->errors));
	for (i = 0; i < MIN(q->ncodes, 3); i++) {
		buf_adds(out, i ? ", " : " (");
		text_md(out, slice_str(q->codes[i].code), 5, false);
		buf_addf(out, " ×%s", fmt_count(FMT, q->codes[i].n));
	}
	buf_adds(out, q->ncodes > 3 ? ", …) |" : q->ncodes ? ") |" : " |");
}

static void put_queries(struct buf *out, const struct agg_report *rep)
{
	double all = facts_all_query_time(rep);
	u32 rows[ROWS_MAX], n, i;

	n = facts_rank(rep, rep->nqueries, facts_query_time, ROWS_MAX, rows);
	if (!rep->nqueries)
		return;
	buf_adds(out, "## Queries\n\n"
		      "| Statement | Calls | p50 | p95 | max | DB wait (share) | Rows | Errors | "
		      "Round trips |\n"
		      "|---|--:|--:|--:|--:|--:|--:|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_query *q = rep->queries[rows[i]];

		put_name(out, rep, q->target, q->statement, SQL_CELLS);
		buf_addf(out, " %s | %s | %s | %s | %s (%s) | %s |", fmt_count(FMT, q->count),
			 quantile(FMT, &q->latency, 0.5), quantile(FMT, &q->latency, 0.95),
			 fmt_dur(FMT, q->latency.max), fmt_dur(FMT, q->latency.sum),
			 share(FMT, q->latency.sum, all), fmt_count(FMT, q->rows));
		put_codes(out, q);
		buf_addf(out, " %s |\n", fmt_count(FMT, q->round_trips));
	}
	put_more(out, rep, rep->nqueries, query_count, n);
	buf_adds(out, "\n");
}

/* Which endpoint spends its time on which statement. */
static void put_uses(struct buf *out, const struct agg_report *rep)
{
	u32 rows[ROWS_MAX], n, i;

	n = facts_rank(rep, rep->nuses, facts_use_time, ROWS_MAX, rows);
	if (!n)
		return;
	buf_adds(out, "## Queries by endpoint\n\n"
		      "| Endpoint | Statement | Calls a request | DB wait a request | Calls |\n"
		      "|---|---|--:|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_use *use = &rep->uses[rows[i]];
		_release_(buf) struct buf name = BUF_INIT;

		facts_endpoint_name(use->endpoint, &name);
		put_name(out, rep, use->endpoint->target, name.p, NAME_CELLS);
		put_cell(out, use->query->statement, SQL_CELLS, true);
		buf_addf(out, " %s | %s | %s |\n", fmt_rate(FMT, facts_use_per_request(use)),
			 fmt_dur(FMT, (double)use->ns / (double)use->endpoint->bound.requests),
			 fmt_count(FMT, use->count));
	}
	if (rep->nuses > n)
		buf_addf(out, "\n%u more in summary.json.\n", rep->nuses - n);
	if (rep->trust.calls_unbound)
		buf_addf(out,
			 "\n%s of %s calls belong to no request that is known, and are not here.\n",
			 fmt_count(FMT, rep->trust.calls_unbound),
			 fmt_count(FMT, rep->trust.calls_unbound + rep->trust.calls_bound));
	buf_adds(out, "\n");
}

#define SITES_MAX 3 /* of one statement or outside call */

static void put_call_sites(struct buf *out, const struct agg_report *rep, u16 target,
			   const char *name, const struct agg_site *sites, u32 n)
{
	u32 i;

	for (i = 0; i < MIN(n, SITES_MAX); i++) {
		_release_(buf) struct buf place = BUF_INIT;

		buf_adds(&place, sites[i].file);
		if (sites[i].line)
			buf_addf(&place, ":%u", sites[i].line);
		put_name(out, rep, target, i ? "″" : name, SQL_CELLS);
		put_cell(out, sites[i].function, NAME_CELLS, true);
		put_cell(out, buf_slice(&place).n ? place.p : "–", NAME_CELLS, place.n > 0);
		buf_addf(out, " %s | %s |\n", fmt_count(FMT, sites[i].count),
			 fmt_count(FMT, sites[i].samples));
	}
	if (n > SITES_MAX)
		buf_addf(out, "| … | %u more | – | – | – |\n", n - SITES_MAX);
}

static double sites_of_query(const struct agg_report *rep, u32 i)
{
	return rep->queries[i]->nsites ? facts_query_time(rep, i) : 0;
}

static double sites_of_external(const struct agg_report *rep, u32 i)
{
	return rep->external[i]->nsites ? facts_external_time(rep, i) : 0;
}

/* Which function of the application issues what. */
static void put_sites(struct buf *out, const struct agg_report *rep)
{
	u32 queries[ROWS_MAX], external[ROWS_MAX], nqueries, nexternal, i;

	nqueries = facts_rank(rep, rep->nqueries, sites_of_query, ROWS_MAX, queries);
	nexternal = facts_rank(rep, rep->nexternal, sites_of_external, ROWS_MAX, external);
	if (!nqueries && !nexternal)
		return;
	buf_adds(out, "## Call sites\n\n"
		      "| Statement or call | Function | Place | Calls | Sampled |\n"
		      "|---|---|---|--:|--:|\n");
	for (i = 0; i < nqueries; i++) {
		const struct agg_query *q = rep->queries[queries[i]];

		put_call_sites(out, rep, q->target, q->statement, q->sites, q->nsites);
	}
	for (i = 0; i < nexternal; i++) {
		const struct agg_external *e = rep->external[external[i]];
		_release_(buf) struct buf name = BUF_INIT;

		facts_external_name(e, &name);
		put_call_sites(out, rep, e->target, name.p, e->sites, e->nsites);
	}
	buf_adds(out, "\nThe innermost function of the application; of a library when the stack "
		      "has none. "
		      "Calls are shared out as the sampled ones were.\n\n");
}

static void put_connections(struct buf *out, const struct agg_report *rep)
{
	u32 n = MIN(rep->npools, ROWS_MAX), i;

	if (!n)
		return;
	buf_adds(out, "## Database connections\n\n"
		      "| Database | Seen | Open at most | In use, mean | In use, most | Opened | "
		      "Closed | "
		      "Connect p95 | Longest idle in transaction | Encrypted |\n"
		      "|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_pool *p = rep->pools[i];
		_release_(buf) struct buf name = BUF_INIT;

		facts_pool_name(p, &name);
		put_name(out, rep, p->target, name.p, NAME_CELLS);
		buf_addf(out, " %s | %u | %.2f | %u | %s | %s | %s | %s | %s |\n",
			 fmt_count(FMT, p->conns), p->open_max, p->in_use_mean, p->in_use_max,
			 fmt_count(FMT, p->opened), fmt_count(FMT, p->closed),
			 quantile(FMT, &p->connect, 0.95),
			 fmt_dur(FMT, (double)p->idle_in_txn_max_ns), fmt_count(FMT, p->encrypted));
	}
	put_more(out, rep, rep->npools, pool_count, n);
	buf_adds(out, "\nIn use: connections with a call under way at one time.\n\n");
}

static double external_key(const struct agg_report *rep, u32 i)
{
	const struct agg_external *e = rep->external[i];

	if (!e->count)
		return 0;
	/* What was not timed still has a place, after everything that was. */
	return e->latency.sum > 0 ? e->latency.sum : 1e-9 * (double)(e->count + 1);
}

static void put_external(struct buf *out, const struct agg_report *rep)
{
	u32 rows[ROWS_MAX], n, i;

	n = facts_rank(rep, rep->nexternal, external_key, ROWS_MAX, rows);
	if (!n)
		return;
	buf_adds(out,
		 "## External calls\n\n"
		 "| Call | Count | p50 | p95 | max | Connect p95 | Status | Errors | Timeouts | "
		 "Sent | Received |\n"
		 "|---|--:|--:|--:|--:|--:|---|--:|--:|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_external *e = rep->external[rows[i]];
		_release_(buf) struct buf name = BUF_INIT;

		buf_addf(&name, "%s ", e->protocol);
		facts_external_name(e, &name);
		put_name(out, rep, e->target, name.p, NAME_CELLS);
		buf_addf(out, " %s | %s | %s | %s | %s |", fmt_count(FMT, e->count),
			 quantile(FMT, &e->latency, 0.5), quantile(FMT, &e->latency, 0.95),
			 e->latency.count ? fmt_dur(FMT, e->latency.max) : "–",
			 quantile(FMT, &e->connect, 0.95));
		put_status(out, e->status, e->nstatus);
		buf_addf(out, " %s | %s | %s | %s |\n", fmt_count(FMT, e->errors),
			 fmt_count(FMT, e->timeouts), fmt_bytes(FMT, (double)e->sent),
			 fmt_bytes(FMT, (double)e->received));
	}
	put_more(out, rep, rep->nexternal, external_count, n);
	buf_adds(out, "\n");
}

static void put_cpu(struct buf *out, const struct agg_report *rep)
{
	bool kernel = false, by_start = false, by_offset = false, own = false;
	u32 n = MIN(rep->cpu.ntop, ROWS_MAX), i;

	if (!rep->window.sample_hz)
		return;
	buf_addf(out, "## CPU\n\n%s samples at %u Hz (%s), %s on CPU.\n\n",
		 fmt_count(FMT, rep->cpu.samples), rep->window.sample_hz,
		 rep->window.sample_hw ? "hardware cycles" : "software clock",
		 fmt_dur(FMT, rep->cpu.on_cpu_s * 1e9));
	if (!n)
		return;
	buf_adds(out, "| Frame | Self | Total |\n|---|--:|--:|\n");
	for (i = 0; i < n; i++) {
		buf_adds(out, "|");
		put_cell(out, rep->cpu.top[i].text, NAME_CELLS, true);
		buf_addf(out, " %s | %s |\n", fmt_pct(FMT, rep->cpu.top[i].self_ratio),
			 fmt_pct(FMT, rep->cpu.top[i].total_ratio));
		kernel |= rep->cpu.top[i].kind == HP_FRAME_KERNEL;
		own |= !strncmp(rep->cpu.top[i].text, "bpf_", 4);
		by_start |= strstr(rep->cpu.top[i].text, "@0x") != NULL;
		by_offset |= strstr(rep->cpu.top[i].text, "+0x") != NULL;
	}
	buf_adds(out, "\nShares of all samples; total: with what it calls.");
	if (own)
		buf_adds(out, " `bpf_…`: hostprof's own probes.");
	if (kernel)
		buf_adds(out, " `_[k]` ends the names of kernel functions.");
	if (by_start)
		buf_adds(out, " `FILE@0xADDRESS`: a function whose name FILE does not have, by "
			      "where it begins in it.");
	if (by_offset)
		buf_adds(out, " `FILE+0xOFFSET`: code of FILE that no function is known for.");
	buf_adds(out, "\n\n");
}

static void put_waits(struct buf *out, const struct agg_offcpu *o)
{
	u32 order[HP_WAIT_MAX], n = 0, i, k;

	for (i = 0; i < HP_WAIT_MAX; i++) {
		const struct agg_wait *w = &o->by_reason[i];

		if (!w->count && !w->blocked_ns)
			continue;
		for (k = n++; k && o->by_reason[order[k - 1]].blocked_ns < w->blocked_ns; k--)
			order[k] = order[k - 1];
		order[k] = i;
	}
	buf_adds(out, "| Waiting for | Waits | Blocked | Then in the run queue |\n"
		      "|---|--:|--:|--:|\n");
	for (i = 0; i < n; i++) {
		const struct agg_wait *w = &o->by_reason[order[i]];

		buf_addf(out, "| %s | %s | %s | %s |\n", agg_wait_key(order[i]),
			 fmt_count(FMT, w->count), fmt_dur(FMT, (double)w->blocked_ns),
			 fmt_dur(FMT, (double)w->runqueue_ns));
	}
	buf_adds(out, "\nidle: waiting for work, where the system call says so (epoll, accept, "
		      "poll of one listening socket): threads of a pool that wait for a job are "
		      "under futex or pipe; preempted: pushed off the processor by another "
		      "thread, which `offcpu.*` do not draw.\n\n");
}

/* Timers and devices end most waits of a quiet process and tell nothing. */
static void put_wakings(struct buf *out, const struct agg_offcpu *o)
{
	u32 i, k, n = 0;

	for (i = 0; i < o->nwakings && n < (u32)ROWS_MAX; i++) {
		const struct agg_waking *w = &o->wakings[i];

		if (!strcmp(w->waker, "an interrupt") || w->reason == HP_WAIT_IDLE)
			continue;
		if (!n++)
			buf_adds(out, "| Thread | Waited for | Until woken by | In | Time |\n"
				      "|---|---|---|---|--:|\n");
		buf_adds(out, "|");
		put_cell(out, w->thread, NAME_CELLS, true);
		buf_addf(out, " %s |", agg_wait_key(w->reason));
		put_cell(out, w->waker, NAME_CELLS, true);
		for (k = 0; k < 1 && w->top[k]; k++)
			put_cell(out, w->top[k], NAME_CELLS, true);
		if (!w->top[0])
			buf_adds(out, " |");
		buf_addf(out, " %s |\n", fmt_dur(FMT, (double)w->weight_us * 1e3));
	}
	if (n)
		buf_adds(out, "\n");
}

static void put_offcpu(struct buf *out, const struct agg_report *rep)
{
	const struct agg_offcpu *o = &rep->offcpu;
	u32 i;

	if (!o->recorded)
		return;
	buf_addf(out,
		 "## Off CPU\n\nAll threads: %s on a processor, %s blocked, %s in the run "
		 "queue.\n\n",
		 fmt_dur(FMT, (double)o->on_ns), fmt_dur(FMT, (double)o->blocked_ns),
		 fmt_dur(FMT, (double)o->runqueue_ns));
	put_waits(out, o);
	if (o->nthreads)
		buf_adds(out, "| Thread | Number | On CPU | Run queue | Blocked | Idle of that |\n"
			      "|---|--:|--:|--:|--:|--:|\n");
	for (i = 0; i < MIN(o->nthreads, (u32)ROWS_MAX); i++) {
		const struct agg_thread *t = &o->threads[i];

		buf_adds(out, "|");
		put_cell(out, t->name, NAME_CELLS, true);
		buf_addf(out, " %u | %s | %s | %s | %s |\n", t->tid, fmt_dur(FMT, (double)t->on_ns),
			 fmt_dur(FMT, (double)t->runqueue_ns), fmt_dur(FMT, (double)t->blocked_ns),
			 fmt_dur(FMT, (double)t->by_reason[HP_WAIT_IDLE].blocked_ns));
	}
	if (o->nthreads)
		buf_adds(out, "\n");
	put_wakings(out, o);
	if (!o->nplaces)
		return;
	buf_addf(out,
		 "%s waits were sampled. By the innermost function of the application's own, "
		 "without "
		 "what waits for work:\n\n"
		 "| Function | Waiting for | Share |\n|---|---|--:|\n",
		 fmt_count(FMT, o->samples));
	for (i = 0; i < MIN(o->nplaces, (u32)ROWS_MAX); i++) {
		const struct agg_place *p = &o->places[i];

		buf_adds(out, "|");
		put_cell(out, p->text, NAME_CELLS, true);
		buf_addf(out, " %s | %s |\n", agg_wait_key(p->reason), fmt_pct(FMT, p->ratio));
	}
	buf_adds(out, "\n");
}

static void put_resources(struct buf *out, const struct agg_report *rep)
{
	const struct agg_resources *r = &rep->resources;

	if (!r->samples)
		return;
	buf_adds(out, "## Resources\n\n| | min | mean | max |\n|---|--:|--:|--:|\n");
	buf_addf(out, "| Memory (RSS) | %s | %s | %s |\n", fmt_bytes(FMT, r->rss_bytes.min),
		 fmt_bytes(FMT, r->rss_bytes.mean), fmt_bytes(FMT, r->rss_bytes.max));
	buf_addf(out, "| Address space | %s | %s | %s |\n", fmt_bytes(FMT, r->vms_bytes.min),
		 fmt_bytes(FMT, r->vms_bytes.mean), fmt_bytes(FMT, r->vms_bytes.max));
	buf_addf(out, "| CPU, cores | %.2f | %.2f | %.2f |\n", r->cpu_ratio.min, r->cpu_ratio.mean,
		 r->cpu_ratio.max);
	buf_addf(out, "| Threads | %.0f | %.1f | %.0f |\n", r->threads.min, r->threads.mean,
		 r->threads.max);
	buf_addf(out, "| File descriptors | %.0f | %.1f | %.0f |\n", r->fds.min, r->fds.mean,
		 r->fds.max);
	buf_addf(out,
		 "\nPage faults %s, %s of them from disk; context switches %s, %s of them "
		 "involuntary",
		 fmt_count(FMT, r->minor_faults + r->major_faults), fmt_count(FMT, r->major_faults),
		 fmt_count(FMT, r->voluntary_switches + r->involuntary_switches),
		 fmt_count(FMT, r->involuntary_switches));
	if (r->io_known)
		buf_addf(out, "; storage: %s read, %s written",
			 fmt_bytes(FMT, (double)r->read_bytes),
			 fmt_bytes(FMT, (double)r->write_bytes));
	buf_adds(out, ".\n\n");
}

/* In cores first: a share of next to nothing is a large number that says nothing. */
static void put_cost(struct buf *out, const struct agg_report *rep)
{
	const struct agg_trust *t = &rep->trust;
	double ratio;

	if (t->overhead.measured) {
		buf_addf(out, "- Own cost: BPF programs %.3f cores (%s in %s runs%s)",
			 facts_bpf_cores(rep), fmt_dur(FMT, (double)t->overhead.bpf_ns),
			 fmt_count(FMT, t->overhead.bpf_runs),
			 t->overhead.self_timed ? ", estimated: one run in 64 was timed" : "");
		if (facts_cost_ratio(rep, &ratio))
			buf_addf(out, ", %s of the target's CPU time (%s)", fmt_pct(FMT, ratio),
				 fmt_dur(FMT, (double)t->overhead.target_cpu_ns));
		else if (t->overhead.target_cpu_ns)
			buf_addf(out, ", while the target was nearly idle (%s of CPU time)",
				 fmt_dur(FMT, (double)t->overhead.target_cpu_ns));
	} else {
		buf_adds(out, "- Own cost: BPF programs not measured");
	}
	buf_addf(out, "; hostprof itself %.3f cores, %s.", t->overhead.agent_cores,
		 fmt_bytes(FMT, (double)t->overhead.agent_rss_bytes));
	if (facts_whole_host(rep))
		buf_adds(out, " The programs on system calls run for every process of the host: "
			      "what others call is in their cost.");
	buf_adds(out, "\n");
}

static void put_probes(struct buf *out, const struct agg_report *rep)
{
	const struct agg_trust *t = &rep->trust;
	u32 i;

	if (!t->nprobes && !t->nwithout)
		return;
	buf_adds(out, "\n## How it was measured\n\n");
	if (t->nprobes)
		buf_adds(out, "| What | Rung | How | A better rung exists |\n|---|---|---|---|\n");
	for (i = 0; i < t->nprobes; i++) {
		const struct agg_probe *p = &t->probes[i];

		buf_adds(out, "|");
		put_cell(out, p->name, NAME_CELLS, false);
		put_cell(out, p->rung, NAME_CELLS, true);
		put_cell(out,
			 *p->how		   ? p->how
			 : !strcmp(p->rung, "off") ? "not asked for"
						   : "not measured: nothing here allows it",
			 NAME_CELLS, false);
		put_cell(out, p->lower ? "yes" : "", 3, false);
		buf_adds(out, "\n");
	}
	for (i = 0; i < t->nwithout; i++) {
		buf_adds(out, i ? ", " : "\nSwitched off by `--without`: ");
		text_md(out, slice_str(t->without[i]), 40, true);
	}
	buf_adds(out, t->nwithout ? ".\n" : "");
}

/* Why stacks are not complete. */
static void stops(struct buf *out, const struct agg_stack_trust *s)
{
	u32 i, n = 0;

	for (i = 0; i < UW_STOP_MAX; i++)
		if (agg_stop_key(i) && s->stops[i])
			buf_addf(out, "%s%s ×%s",
				 n++ ? "; " : "- Incomplete stacks: ", agg_stop_text(i),
				 fmt_count(FMT, s->stops[i]));
	if (n)
		buf_adds(out, ".\n");
}

static void put_trust(struct buf *out, const struct agg_report *rep)
{
	const struct agg_trust *t = &rep->trust;
	const char *note, *plain;
	u32 i, pos = 0, nulls = 0;

	buf_addf(out, "## What this report could see\n\n- Events: %s delivered, %s lost.\n",
		 fmt_count(FMT, t->events), fmt_count(FMT, t->lost_events));
	if (*t->no_sockets)
		buf_adds(out, "- Connections: not measured.\n");
	else
		buf_addf(out,
			 "- Connections: %s seen, %s understood, %s of unknown protocol, %s "
			 "encrypted, %s "
			 "with too few bytes to tell.\n",
			 fmt_count(FMT, t->conns.seen), fmt_count(FMT, t->conns.parsed),
			 fmt_count(FMT, t->conns.unparsed), fmt_count(FMT, t->conns.encrypted),
			 fmt_count(FMT, t->conns.undecided));
	if (rep->window.sample_hz)
		buf_addf(out,
			 "- Stacks: %s of %s complete, %s cut at the depth limit; %s of %s frames "
			 "without a name.\n",
			 fmt_count(FMT, t->stacks.complete), fmt_count(FMT, t->stacks.total),
			 fmt_count(FMT, t->stacks.truncated),
			 fmt_count(FMT, t->stacks.unnamed_frames),
			 fmt_count(FMT, t->stacks.frames));
	if (rep->window.sample_hz)
		stops(out, &t->stacks);
	put_cost(out, rep);
	for (i = 0; i < t->nnotes; i++) {
		buf_adds(out, "- ");
		text_md(out, slice_str(t->notes[i]), 500, false);
		buf_adds(out, "\n");
	}
	while (facts_null_note(rep, &pos, &note, &plain))
		buf_addf(out, "%s%s", nulls++ ? "; " : "- Not recorded: ", plain);
	buf_adds(out, nulls ? ".\n" : "");
}

int out_markdown(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);

	(void)opts;
	put_head(out, rep);
	put_verdict(out, rep);
	put_endpoints(out, rep);
	put_ledgers(out, rep);
	put_queries(out, rep);
	put_uses(out, rep);
	put_sites(out, rep);
	put_connections(out, rep);
	put_external(out, rep);
	put_cpu(out, rep);
	put_offcpu(out, rep);
	put_resources(out, rep);
	put_trust(out, rep);
	put_probes(out, rep);
	return out->oom ? -ENOMEM : 0;
}
