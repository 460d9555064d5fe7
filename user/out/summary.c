/* SPDX-License-Identifier: Apache-2.0 */
/*
 * summary.json, schema_version 1. Every key of the schema (schema_summary.c) is there in every
 * report; what was not recorded is null and has a note in trust.notes, what was recorded and empty is
 * empty. Order and spelling never depend on the machine: the same capture gives the same bytes.
 */
#include "out/outs.h"

#include <errno.h>
#include <stdio.h>
#include "base/json.h"
#include "out/facts.h"
#include "out/ledger.h"

static void opt_cstr(struct json *j, const char *key, const char *s)
{
	json_cstr(j, key, *s ? s : NULL);
}

static void opt_ms(struct json *j, const char *key, double ns, bool known)
{
	if (known)
		json_ms(j, key, ns);
	else
		json_null(j, key);
}

static void opt_u64(struct json *j, const char *key, u64 n, bool known)
{
	if (known)
		json_u64(j, key, n);
	else
		json_null(j, key);
}

static void put_hist(struct json *j, const struct hist *h)
{
	s32 i;

	json_obj(j, "hist");
	j->pretty = false; /* hundreds of small things: one line, not one line each */
	json_num(j, "gamma", HIST_GAMMA);
	json_cstr(j, "unit", "ns");
	json_u64(j, "zero", h->zero);
	json_arr(j, "buckets");
	for (i = 0; i < h->n; i++) {
		if (!h->counts[i])
			continue;
		json_arr(j, NULL);
		json_s64(j, NULL, (s64)h->lo + i);
		json_u64(j, NULL, h->counts[i]);
		json_end_arr(j);
	}
	json_end_arr(j);
	json_end_obj(j);
	j->pretty = true;
}

static void put_latency(struct json *j, const char *key, const struct hist *h)
{
	static const struct {
		const char *key;
		double q;
	} quantiles[] = { { "p50", 0.5 }, { "p75", 0.75 }, { "p95", 0.95 }, { "p99", 0.99 } };
	bool known = h->count > 0;
	u32 i;

	json_obj(j, key);
	opt_ms(j, "mean", hist_mean(h), known);
	opt_ms(j, "min", h->min, known);
	opt_ms(j, "max", h->max, known);
	for (i = 0; i < ARRAY_SIZE(quantiles); i++)
		opt_ms(j, quantiles[i].key, hist_quantile(h, quantiles[i].q), known);
	put_hist(j, h);
	json_end_obj(j);
}

static void put_unanswered(struct json *j, const struct agg_report *rep)
{
	const struct agg_stuck *s = &rep->stuck;

	if (*rep->trust.no_http) {
		json_null(j, "unanswered");
		return;
	}
	json_obj(j, "unanswered");
	json_u64(j, "requests", s->requests);
	json_u64(j, "unread", s->unread);
	json_u64(j, "connections_before", s->before);
	if (s->oldest_s >= 0)
		json_num(j, "oldest_s", s->oldest_s);
	else
		json_null(j, "oldest_s");
	opt_cstr(j, "oldest", s->oldest);
	json_end_obj(j);
}

static void put_range(struct json *j, const char *key, const struct agg_range *r)
{
	json_obj(j, key);
	json_num(j, "min", r->min);
	json_num(j, "mean", r->mean);
	json_num(j, "max", r->max);
	json_end_obj(j);
}

static void put_partial(struct json *j, u64 at_attach, u64 at_detach)
{
	json_obj(j, "partial");
	json_u64(j, "at_attach", at_attach);
	json_u64(j, "at_detach", at_detach);
	json_end_obj(j);
}

static void put_status(struct json *j, const struct agg_code *status, u32 n)
{
	char key[8];
	u32 i;

	json_obj(j, "status");
	for (i = 0; i < n; i++) {
		snprintf(key, sizeof(key), "%u", status[i].status);
		json_u64(j, key, status[i].n);
	}
	json_end_obj(j);
}

static void put_bytes(struct json *j, u64 sent, u64 received)
{
	json_obj(j, "bytes");
	json_u64(j, "sent", sent);
	json_u64(j, "received", received);
	json_end_obj(j);
}

static void put_targets(struct json *j, const struct agg_report *rep)
{
	u32 i, k;

	json_arr(j, "targets");
	for (i = 0; i < rep->ntargets; i++) {
		const struct agg_target *t = &rep->targets[i];

		json_obj(j, NULL);
		json_u64(j, "id", t->id);
		json_u64(j, "pid", t->pid);
		json_cstr(j, "cmdline", t->cmdline);
		json_cstr(j, "exe", t->exe);
		json_cstr(j, "runtime", t->runtime);
		json_cstr(j, "service", t->service);
		json_u64(j, "started_unix_ms", t->started_unix_ms);
		json_arr(j, "pids");
		for (k = 0; k < t->npids; k++)
			json_u64(j, NULL, t->pids[k]);
		json_end_arr(j);
		json_u64(j, "pids_more", t->pids_more);
		if (t->exited)
			json_s64(j, "exit_code", t->exit_code);
		else
			json_null(j, "exit_code");
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void put_window(struct json *j, const struct agg_report *rep)
{
	const struct agg_window *w = &rep->window;
	u32 i;

	json_obj(j, "window");
	json_u64(j, "start_unix_ms", w->start_unix_ns / NSEC_PER_MSEC);
	json_u64(j, "start_mono_ns", w->start_ns);
	json_num(j, "duration_s", w->duration_s);
	json_bool(j, "complete", w->complete);
	json_u64(j, "cpus", w->ncpus);
	json_arr(j, "blocks");
	for (i = 0; i < w->nblocks; i++) {
		const struct agg_block *b = &w->blocks[i];

		json_obj(j, NULL);
		j->pretty = false;
		json_u64(j, "t_s", (u64)i * w->block_s);
		opt_u64(j, "requests", b->requests, !*rep->trust.no_http);
		opt_u64(j, "calls", b->calls, !*rep->trust.no_db);
		opt_ms(j, "p50_ms", b->p50_ns, b->p50_ns > 0);
		opt_ms(j, "p95_ms", b->p95_ns, b->p95_ns > 0);
		if (b->cpu_ratio < 0)
			json_null(j, "cpu_ratio");
		else
			json_num(j, "cpu_ratio", b->cpu_ratio);
		json_end_obj(j);
		j->pretty = true;
	}
	json_end_arr(j);
	json_end_obj(j);
}

static void put_per_request(struct json *j, const char *key, const struct agg_endpoint *e, u64 n,
			    u32 max)
{
	if (!e->bound.known) {
		json_null(j, key);
		return;
	}
	json_obj(j, key);
	json_num(j, "mean", (double)n / (double)e->bound.requests);
	json_u64(j, "max", max);
	json_end_obj(j);
}

/* The endpoints whose requests issue a query. */
static void put_users(struct json *j, const struct agg_report *rep, const struct agg_query *q)
{
	u32 i;

	if (!rep->trust.calls_bound && rep->trust.calls_unbound) {
		json_null(j, "endpoints");
		return;
	}
	json_arr(j, "endpoints");
	for (i = 0; i < q->nuses; i++) {
		const struct agg_use *use = q->uses[i];

		json_obj(j, NULL);
		opt_cstr(j, "method", use->endpoint->method);
		json_cstr(j, "route", use->endpoint->route);
		json_u64(j, "count", use->count);
		json_ms(j, "total_ms", (double)use->ns);
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void put_sites(struct json *j, const struct agg_site *sites, u32 n)
{
	u32 i;

	if (!n) {
		json_null(j, "call_sites");
		return;
	}
	json_arr(j, "call_sites");
	for (i = 0; i < n; i++) {
		json_obj(j, NULL);
		json_cstr(j, "function", sites[i].function);
		opt_cstr(j, "file", sites[i].file);
		if (sites[i].line)
			json_u64(j, "line", sites[i].line);
		else
			json_null(j, "line");
		json_u64(j, "count", sites[i].count);
		json_u64(j, "samples", sites[i].samples);
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void put_endpoint(struct json *j, const struct agg_report *rep, u32 i)
{
	const struct agg_endpoint *e = rep->endpoints[i];
	double duration_s = rep->window.duration_s;

	json_obj(j, NULL);
	json_u64(j, "target", e->target);
	opt_cstr(j, "method", e->method);
	json_cstr(j, "route", e->route);
	json_cstr(j, "route_source", e->source == AGG_ROUTE_CLUSTERED ? "clustered" : "literal");
	json_u64(j, "count", e->count);
	json_u64(j, "errors", e->errors);
	json_u64(j, "aborted", e->aborted);
	json_u64(j, "untimed", e->untimed);
	json_num(j, "rate_per_s", duration_s > 0 ? (double)e->count / duration_s : 0);
	put_status(j, e->status, e->nstatus);
	put_latency(j, "latency_ms", &e->latency);
	json_u64(j, "request_bytes", e->request_bytes);
	json_u64(j, "response_bytes", e->response_bytes);
	put_per_request(j, "queries_per_request", e, e->bound.calls, e->bound.calls_max);
	put_per_request(j, "round_trips_per_request", e, e->bound.trips, e->bound.trips_max);
	if (e->bound.known)
		json_ms(j, "db_ms_per_request", (double)e->bound.db_ns / (double)e->bound.requests);
	else
		json_null(j, "db_ms_per_request");
	ledger_json(j, e->ledger);
	put_partial(j, e->at_attach, e->at_detach);
	json_end_obj(j);
}

static void put_query(struct json *j, const struct agg_report *rep, u32 row)
{
	const struct agg_query *q = rep->queries[row];
	u32 i;

	json_obj(j, NULL);
	json_u64(j, "target", q->target);
	json_cstr(j, "system", q->system);
	json_cstr(j, "peer", q->peer);
	json_cstr(j, "database", q->database);
	json_cstr(j, "user", q->user);
	json_cstr(j, "statement", q->statement);
	opt_cstr(j, "fingerprint", q->fingerprint);
	opt_cstr(j, "operation", q->operation);
	json_bool(j, "truncated", q->truncated);
	json_u64(j, "count", q->count);
	json_u64(j, "round_trips", q->round_trips);
	json_u64(j, "errors", q->errors);
	json_obj(j, "error_codes");
	for (i = 0; i < q->ncodes; i++)
		json_u64(j, q->codes[i].code, q->codes[i].n);
	if (q->codes_other)
		json_u64(j, "other", q->codes_other);
	json_end_obj(j);
	json_u64(j, "rows", q->rows);
	json_u64(j, "untimed", q->untimed);
	put_latency(j, "latency_ms", &q->latency);
	put_latency(j, "first_row_ms", &q->first_row);
	put_users(j, rep, q);
	put_sites(j, q->sites, q->nsites);
	put_partial(j, q->at_attach, q->at_detach);
	json_end_obj(j);
}

static void put_pool(struct json *j, const struct agg_report *rep, u32 i)
{
	const struct agg_pool *p = rep->pools[i];

	json_obj(j, NULL);
	json_u64(j, "target", p->target);
	json_cstr(j, "system", p->system);
	json_cstr(j, "peer", p->peer);
	json_null(j, "peer_pid");
	json_cstr(j, "database", p->database);
	json_cstr(j, "user", p->user);
	json_u64(j, "connections", p->conns);
	json_u64(j, "open_max", p->open_max);
	json_u64(j, "in_use_max", p->in_use_max);
	json_num(j, "in_use_mean", p->in_use_mean);
	json_u64(j, "opened", p->opened);
	json_u64(j, "closed", p->closed);
	json_u64(j, "encrypted", p->encrypted);
	json_u64(j, "cancels", p->cancels);
	json_ms(j, "idle_in_transaction_max_ms", (double)p->idle_in_txn_max_ns);
	put_latency(j, "connect_ms", &p->connect);
	json_null(j, "waits");
	json_null(j, "inferred");
	json_end_obj(j);
}

static void put_external(struct json *j, const struct agg_report *rep, u32 i)
{
	const struct agg_external *e = rep->external[i];

	json_obj(j, NULL);
	json_u64(j, "target", e->target);
	json_cstr(j, "protocol", e->protocol);
	opt_cstr(j, "method", e->method);
	json_cstr(j, "peer", e->peer);
	opt_cstr(j, "route", e->route);
	json_u64(j, "count", e->count);
	json_u64(j, "errors", e->errors);
	json_u64(j, "timeouts", e->timeouts);
	json_u64(j, "untimed", e->untimed);
	put_status(j, e->status, e->nstatus);
	put_latency(j, "latency_ms", &e->latency);
	put_latency(j, "connect_ms", &e->connect);
	put_bytes(j, e->sent, e->received);
	json_null(j, "endpoints");
	put_sites(j, e->sites, e->nsites);
	put_partial(j, e->at_attach, e->at_detach);
	json_end_obj(j);
}

static const char *frame_kind(u8 kind)
{
	switch (kind) {
	case HP_FRAME_KERNEL:
		return "kernel";
	case HP_FRAME_NATIVE:
		return "native";
	case HP_FRAME_PYTHON:
		return "python";
	default:
		return "other";
	}
}

static void put_top(struct json *j, const struct agg_top *top, u32 n)
{
	u32 i;

	json_arr(j, "top");
	for (i = 0; i < n; i++) {
		json_obj(j, NULL);
		json_cstr(j, "frame", top[i].text);
		json_cstr(j, "kind", frame_kind(top[i].kind));
		json_num(j, "self_ratio", top[i].self_ratio);
		json_num(j, "total_ratio", top[i].total_ratio);
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void put_cpu(struct json *j, const struct agg_report *rep)
{
	const struct agg_cpu *c = &rep->cpu;

	if (!rep->window.sample_hz) {
		json_null(j, "cpu");
		return;
	}
	json_obj(j, "cpu");
	json_u64(j, "samples", c->samples);
	json_u64(j, "frequency_hz", rep->window.sample_hz);
	json_num(j, "on_cpu_s", c->on_cpu_s);
	put_top(j, c->top, c->ntop);
	json_end_obj(j);
}

static double seconds(u64 ns)
{
	return (double)ns / 1e9;
}

static void put_waits(struct json *j, const struct agg_wait *w)
{
	u32 i;

	json_obj(j, "by_reason");
	for (i = 0; i < HP_WAIT_MAX; i++) {
		if (!w[i].count && !w[i].blocked_ns && !w[i].runqueue_ns)
			continue;
		json_obj(j, agg_wait_key(i));
		j->pretty = false;
		json_u64(j, "count", w[i].count);
		json_num(j, "blocked_s", seconds(w[i].blocked_ns));
		json_num(j, "runqueue_s", seconds(w[i].runqueue_ns));
		json_end_obj(j);
		j->pretty = true;
	}
	json_end_obj(j);
}

static void put_thread(struct json *j, const struct agg_thread *t)
{
	json_obj(j, NULL);
	json_u64(j, "target", t->target);
	json_u64(j, "pid", t->tgid);
	json_u64(j, "tid", t->tid);
	json_cstr(j, "name", t->name);
	json_bool(j, "ended", t->ended);
	json_num(j, "wall_s", seconds(t->wall_ns));
	json_num(j, "on_cpu_s", seconds(t->on_ns));
	json_num(j, "blocked_s", seconds(t->blocked_ns));
	json_num(j, "runqueue_s", seconds(t->runqueue_ns));
	put_waits(j, t->by_reason);
	json_end_obj(j);
}

static void put_wakings(struct json *j, const struct agg_offcpu *o)
{
	u32 i, k;

	json_arr(j, "wakers");
	for (i = 0; i < o->nwakings; i++) {
		const struct agg_waking *w = &o->wakings[i];

		json_obj(j, NULL);
		json_cstr(j, "thread", w->thread);
		json_cstr(j, "reason", agg_wait_key(w->reason));
		json_cstr(j, "waker", w->waker);
		json_num(j, "blocked_s", (double)w->weight_us / 1e6);
		json_arr(j, "top");
		for (k = 0; k < AGG_WAKER_TOP && w->top[k]; k++)
			json_cstr(j, NULL, w->top[k]);
		json_end_arr(j);
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void put_offcpu(struct json *j, const struct agg_offcpu *o)
{
	u32 i;

	if (!o->recorded) {
		json_null(j, "offcpu");
		return;
	}
	json_obj(j, "offcpu");
	json_num(j, "on_cpu_s", seconds(o->on_ns));
	json_num(j, "blocked_s", seconds(o->blocked_ns));
	json_num(j, "runqueue_s", seconds(o->runqueue_ns));
	put_waits(j, o->by_reason);
	json_u64(j, "samples", o->samples);
	put_top(j, o->top, o->ntop);
	json_arr(j, "places");
	for (i = 0; i < o->nplaces; i++) {
		json_obj(j, NULL);
		json_cstr(j, "function", o->places[i].text);
		json_cstr(j, "kind", frame_kind(o->places[i].kind));
		json_cstr(j, "reason", agg_wait_key(o->places[i].reason));
		json_num(j, "ratio", o->places[i].ratio);
		json_end_obj(j);
	}
	json_end_arr(j);
	json_arr(j, "threads");
	for (i = 0; i < o->nthreads; i++)
		put_thread(j, &o->threads[i]);
	json_end_arr(j);
	json_u64(j, "threads_more", o->threads_more);
	put_wakings(j, o);
	json_end_obj(j);
}

static void put_resources(struct json *j, const struct agg_resources *r)
{
	u32 i;

	if (!r->samples) {
		json_null(j, "resources");
		return;
	}
	json_obj(j, "resources");
	put_range(j, "rss_bytes", &r->rss_bytes);
	put_range(j, "vms_bytes", &r->vms_bytes);
	json_obj(j, "cpu_ratio");
	json_num(j, "mean", r->cpu_ratio.mean);
	json_num(j, "max", r->cpu_ratio.max);
	json_end_obj(j);
	json_ms(j, "cpu_ms", (double)r->cpu_ns);
	json_u64(j, "threads", (u64)r->threads.max);
	json_u64(j, "fds", (u64)r->fds.max);
	json_u64(j, "processes", (u64)r->processes.max);
	json_u64(j, "page_faults", r->minor_faults + r->major_faults);
	json_u64(j, "major_page_faults", r->major_faults);
	json_u64(j, "context_switches", r->voluntary_switches + r->involuntary_switches);
	json_u64(j, "involuntary_context_switches", r->involuntary_switches);
	if (r->io_known) {
		json_obj(j, "io_bytes");
		json_u64(j, "read", r->read_bytes);
		json_u64(j, "write", r->write_bytes);
		json_end_obj(j);
	} else {
		json_null(j, "io_bytes");
	}
	json_arr(j, "series");
	for (i = 0; i < r->nseries; i++) {
		const struct agg_tick *t = &r->series[i];

		json_obj(j, NULL);
		j->pretty = false;
		json_num(j, "t_s", t->t_s);
		json_num(j, "rss_bytes", t->rss_bytes);
		json_num(j, "vms_bytes", t->vms_bytes);
		json_num(j, "cpu_ratio", t->cpu_ratio);
		json_num(j, "threads", t->threads);
		json_num(j, "fds", t->fds);
		json_end_obj(j);
		j->pretty = true;
	}
	json_end_arr(j);
	json_end_obj(j);
}

static void put_blind(struct json *j, const struct agg_blind *b)
{
	static const char *const roles[] = { "unknown", "server", "client" };

	json_obj(j, NULL);
	json_u64(j, "target", b->target);
	json_cstr(j, "role", roles[b->role < ARRAY_SIZE(roles) ? b->role : 0]);
	json_cstr(j, "peer", b->address);
	json_cstr(j, "status", b->status == CONN_ENCRYPTED ? "encrypted" : "unparsed");
	opt_cstr(j, "protocol", b->proto);
	opt_cstr(j, "reason", b->reason);
	json_u64(j, "connections", b->conns);
	put_bytes(j, b->sent, b->received);
	json_end_obj(j);
}

static void put_overhead(struct json *j, const struct agg_trust *t)
{
	json_obj(j, "overhead");
	opt_ms(j, "bpf_ms", (double)t->overhead.bpf_ns, t->overhead.measured);
	opt_u64(j, "bpf_runs", t->overhead.bpf_runs, t->overhead.measured);
	json_ms(j, "agent_ms", (double)t->overhead.agent_ns);
	json_u64(j, "agent_rss_bytes", t->overhead.agent_rss_bytes);
	if (t->overhead.measured && t->overhead.target_cpu_ns)
		json_num(j, "target_ratio", t->overhead.target_ratio);
	else
		json_null(j, "target_ratio");
	json_num(j, "agent_cores", t->overhead.agent_cores);
	json_cstr(j, "method",
		  !t->overhead.measured	   ? "none"
		  : t->overhead.self_timed ? "self_timed_sample"
					   : "bpf_run_time_stats");
	json_end_obj(j);
}

static void put_stacks(struct json *j, const char *key, const struct agg_stack_trust *s, bool known)
{
	u32 i;

	if (!known) {
		json_null(j, key);
		return;
	}
	json_obj(j, key);
	json_u64(j, "total", s->total);
	json_u64(j, "complete", s->complete);
	json_u64(j, "truncated", s->truncated);
	json_u64(j, "unnamed_frames", s->unnamed_frames);
	json_u64(j, "frames", s->frames);
	json_num(j, "jit_ratio", s->jit_ratio);
	json_obj(j, "stops");
	for (i = 0; i < UW_STOP_MAX; i++)
		if (agg_stop_key(i) && s->stops[i])
			json_u64(j, agg_stop_key(i), s->stops[i]);
	json_end_obj(j);
	json_end_obj(j);
}

static void put_seen(struct json *j, const struct agg_trust *t)
{
	u32 i;

	if (*t->no_sockets) {
		json_null(j, "connections");
		return;
	}
	json_obj(j, "connections");
	json_u64(j, "seen", t->conns.seen);
	json_u64(j, "parsed", t->conns.parsed);
	json_u64(j, "unparsed", t->conns.unparsed);
	json_u64(j, "encrypted", t->conns.encrypted);
	json_u64(j, "undecided", t->conns.undecided);
	json_arr(j, "by_peer");
	for (i = 0; i < t->nby_peer; i++)
		put_blind(j, &t->by_peer[i]);
	json_end_arr(j);
	json_end_obj(j);
}

static void put_probes(struct json *j, const struct agg_trust *t)
{
	u32 i;

	if (!t->nprobes)
		json_null(j, "probes");
	else
		json_arr(j, "probes");
	for (i = 0; i < t->nprobes; i++) {
		const struct agg_probe *p = &t->probes[i];

		json_obj(j, NULL);
		json_cstr(j, "key", p->key);
		json_cstr(j, "sees", p->name);
		json_cstr(j, "rung", p->rung);
		opt_cstr(j, "name", p->how);
		json_bool(j, "best", !p->lower && *p->how);
		json_end_obj(j);
	}
	if (t->nprobes)
		json_end_arr(j);
	json_arr(j, "without");
	for (i = 0; i < t->nwithout; i++)
		json_cstr(j, NULL, t->without[i]);
	json_end_arr(j);
}

static void put_trust(struct json *j, const struct agg_report *rep)
{
	const struct agg_trust *t = &rep->trust;
	const char *note, *plain;
	u32 i, pos = 0;

	json_obj(j, "trust");
	json_u64(j, "events", t->events);
	json_u64(j, "lost_events", t->lost_events);
	json_obj(j, "lost");
	for (i = 0; i < DROP_MAX; i++)
		json_u64(j, agg_drop_key(i), t->lost[i]);
	json_end_obj(j);
	json_u64(j, "other_rows", t->folded);
	put_seen(j, t);
	put_stacks(j, "stacks", &t->stacks, rep->window.sample_hz);
	put_stacks(j, "wait_stacks", &t->wait_stacks, rep->offcpu.stacks);
	json_obj(j, "calls");
	json_u64(j, "bound", t->calls_bound);
	json_u64(j, "unbound", t->calls_unbound);
	json_end_obj(j);
	json_null(j, "attributed_ratio");
	put_overhead(j, t);
	put_probes(j, t);
	json_arr(j, "notes");
	for (i = 0; i < t->nnotes; i++)
		json_cstr(j, NULL, t->notes[i]);
	while (facts_null_note(rep, &pos, &note, &plain))
		json_cstr(j, NULL, note);
	json_end_arr(j);
	json_end_obj(j);
}

/* Null when it was not measured, for the reason that no gives. */
static void put_rows(struct json *j, const struct agg_report *rep, const char *key, const char *no,
		     void (*put)(struct json *j, const struct agg_report *rep, u32 i), u32 n)
{
	u32 i;

	if (*no) {
		json_null(j, key);
		return;
	}
	json_arr(j, key);
	for (i = 0; i < n; i++)
		put(j, rep, i);
	json_end_arr(j);
}

int out_summary(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	struct json j;

	(void)opts;
	json_init(&j, out, true);
	json_obj(&j, NULL);
	json_u64(&j, "schema_version", 1);
	json_cstr(&j, "hostprof_version", HOSTPROF_VERSION);
	put_targets(&j, rep);
	put_window(&j, rep);
	put_unanswered(&j, rep);
	put_rows(&j, rep, "endpoints", rep->trust.no_http, put_endpoint, rep->nendpoints);
	put_rows(&j, rep, "queries", rep->trust.no_db, put_query, rep->nqueries);
	put_rows(&j, rep, "connections", rep->trust.no_db, put_pool, rep->npools);
	put_rows(&j, rep, "external", rep->trust.no_sockets, put_external, rep->nexternal);
	json_null(&j, "background");
	blame_json(&j, rep);
	put_cpu(&j, rep);
	put_offcpu(&j, &rep->offcpu);
	put_resources(&j, &rep->resources);
	json_null(&j, "allocations");
	json_null(&j, "gc");
	json_null(&j, "startup");
	json_null(&j, "findings");
	put_trust(&j, rep);
	json_end_obj(&j);
	buf_addch(out, '\n');
	return out->oom ? -ENOMEM : 0;
}
