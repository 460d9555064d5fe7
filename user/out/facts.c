/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts that more than one output states. They live here so that the terminal, the Markdown report
 * and summary.json cannot disagree.
 */
#include "out/facts.h"

#include <stdlib.h>
#include "out/fmt.h"
#include "out/ledger.h"

#define IDLE_CORES 0.05
#define TARGET_CELLS 24
#define REPEATED 5 /* times that a request issues one statement, on the average */

u32 facts_rank(const struct agg_report *rep, u32 rows, facts_key key, u32 max, u32 *ret_rows)
{
	u32 i, k, n = 0;

	/* Insertion into a short list: tables have at most some thousand rows, lists some dozen. */
	for (i = 0; i < rows; i++) {
		double v = key(rep, i);

		if (!(v > 0) || (n == max && v <= key(rep, ret_rows[n - 1])))
			continue;
		for (k = n < max ? n++ : n - 1; k && v > key(rep, ret_rows[k - 1]); k--)
			ret_rows[k] = ret_rows[k - 1];
		ret_rows[k] = i;
	}
	return n;
}

double facts_endpoint_time(const struct agg_report *rep, u32 i)
{
	return rep->endpoints[i]->latency.sum;
}

double facts_query_time(const struct agg_report *rep, u32 i)
{
	return rep->queries[i]->latency.sum;
}

double facts_external_time(const struct agg_report *rep, u32 i)
{
	return rep->external[i]->latency.sum;
}

double facts_external_failed(const struct agg_report *rep, u32 i)
{
	const struct agg_external *e = rep->external[i];

	/* A call that was given up is cut off as well: then it is in both. */
	return (double)MAX(e->errors, e->timeouts);
}

u64 facts_all_failed(const struct agg_report *rep)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < rep->nexternal; i++)
		n += (u64)facts_external_failed(rep, i);
	return n;
}

double facts_use_time(const struct agg_report *rep, u32 i)
{
	return (double)rep->uses[i].ns;
}

double facts_use_per_request(const struct agg_use *use)
{
	u64 n = use->endpoint->bound.requests;

	return n ? (double)use->count / (double)n : 0;
}

double facts_repeated_time(const struct agg_report *rep, u32 i)
{
	return facts_use_per_request(&rep->uses[i]) >= REPEATED ? facts_use_time(rep, i) : 0;
}

double facts_all_endpoint_time(const struct agg_report *rep)
{
	double sum = 0;
	u32 i;

	for (i = 0; i < rep->nendpoints; i++)
		sum += facts_endpoint_time(rep, i);
	return sum;
}

double facts_all_query_time(const struct agg_report *rep)
{
	double sum = 0;
	u32 i;

	for (i = 0; i < rep->nqueries; i++)
		sum += facts_query_time(rep, i);
	return sum;
}

double facts_prepared_ratio(const struct agg_report *rep)
{
	double all = facts_all_query_time(rep), sum = 0;
	u32 i;

	for (i = 0; i < rep->nqueries; i++)
		sum += rep->queries[i]->prepared ? facts_query_time(rep, i) : 0;
	return all > 0 ? sum / all : 0;
}

double facts_bpf_cores(const struct agg_report *rep)
{
	double bpf_s = (double)rep->trust.overhead.bpf_ns / NSEC_PER_SEC;

	return rep->window.duration_s > 0 ? bpf_s / rep->window.duration_s : 0;
}

double facts_cost_cores(const struct agg_report *rep)
{
	return rep->trust.overhead.agent_cores + facts_bpf_cores(rep);
}

bool facts_cost_ratio(const struct agg_report *rep, double *ret)
{
	double cpu_s = (double)rep->trust.overhead.target_cpu_ns / NSEC_PER_SEC;

	/* Of a target that idles, any cost is a large part. */
	if (!rep->trust.overhead.measured || rep->trust.overhead.target_ratio < 0 ||
	    cpu_s < IDLE_CORES * rep->window.duration_s)
		return false;
	*ret = rep->trust.overhead.target_ratio;
	return true;
}

bool facts_whole_host(const struct agg_report *rep)
{
	u32 i;

	for (i = 0; i < rep->trust.nprobes; i++) {
		const struct agg_probe *p = &rep->trust.probes[i];

		if (!strcmp(p->key, "transfers"))
			return !strcmp(p->rung, "tracepoint") || !strcmp(p->rung, "raw");
	}
	return false;
}

u64 facts_refused(const struct agg_endpoint *e)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < e->nstatus; i++)
		if (e->status[i].status >= 400 && e->status[i].status < 500)
			n += e->status[i].n;
	return n;
}

u64 facts_all_refused(const struct agg_report *rep)
{
	u64 n = 0;
	u32 i;

	for (i = 0; i < rep->nendpoints; i++)
		n += facts_refused(rep->endpoints[i]);
	return n;
}

static const struct agg_target *target_of(const struct agg_report *rep, u16 id)
{
	u32 i;

	for (i = 0; i < rep->ntargets; i++)
		if (rep->targets[i].id == id)
			return &rep->targets[i];
	return NULL;
}

void facts_target_name(const struct agg_report *rep, u16 id, struct buf *out)
{
	const struct agg_target *t = target_of(rep, id);
	bool alone = t && *t->service;
	u32 i;

	for (i = 0; alone && i < rep->ntargets; i++)
		alone = &rep->targets[i] == t || strcmp(rep->targets[i].service, t->service) != 0;
	if (alone)
		text_clip(out, slice_str(t->service), TARGET_CELLS);
	else if (t)
		buf_addf(out, "pid %u", t->pid);
	else
		buf_addf(out, "target %u", id);
}

void facts_target_tag(const struct agg_report *rep, u16 id, struct buf *out)
{
	if (rep->ntargets < 2)
		return;
	buf_adds(out, " (");
	facts_target_name(rep, id, out);
	buf_adds(out, ")");
}

void facts_endpoint_name(const struct agg_endpoint *e, struct buf *out)
{
	buf_addf(out, "%s%s%s", e->method, *e->method ? " " : "", e->route);
}

/* A route that is no path, "(unknown)", stands apart from the host before it. */
void facts_external_name(const struct agg_external *e, struct buf *out)
{
	buf_addf(out, "%s%s%s%s%s", e->method, *e->method ? " " : "", e->peer,
		 *e->route == '(' ? " " : "", e->route);
}

void facts_pool_name(const struct agg_pool *p, struct buf *out)
{
	if (!*p->database && !*p->user)
		buf_addf(out, "%s (login not seen) at %s", p->system, p->peer);
	else
		buf_addf(out, "%s %s%s%s at %s", p->system, p->user, *p->user ? "@" : "",
			 p->database, p->peer);
}

/* Ports that say what an unreadable connection carries. */
static const struct {
	u16 port;
	const char *system;
} db_ports[] = {
	{ 5432, "PostgreSQL" }, { 6432, "PgBouncer" }, { 3306, "MySQL" },
	{ 6379, "Redis" },	{ 27017, "MongoDB" },  { 1433, "SQL Server" },
};

static const char *db_by_proto(const char *proto)
{
	return !strcmp(proto, "postgresql") ? "PostgreSQL" : NULL;
}

static const char *db_by_address(const char *address)
{
	const char *colon = strrchr(address, ':');
	u32 i;

	for (i = 0; colon && i < ARRAY_SIZE(db_ports); i++)
		if (strtoul(colon + 1, NULL, 10) == db_ports[i].port)
			return db_ports[i].system;
	return NULL;
}

static bool is_local(const char *address)
{
	return !strncmp(address, "127.", 4) || !strncmp(address, "[::1]", 5) ||
	       !strncmp(address, "[::ffff:127.", 12);
}

static void tls_add(struct facts_tls *t, const char *system, const char *peer, u64 conns)
{
	t->peers++;
	if (conns <= t->conns)
		return;
	t->system = system;
	t->peer = peer;
	t->conns = conns;
}

bool facts_encrypted(const struct agg_report *rep, struct facts_tls *ret)
{
	struct facts_tls t = { 0 };
	u32 i;

	for (i = 0; i < rep->trust.nby_peer; i++) {
		const struct agg_blind *b = &rep->trust.by_peer[i];
		const char *system = db_by_proto(b->proto);

		if (b->status != CONN_ENCRYPTED || b->role == HP_ROLE_SERVER)
			continue;
		system = system ? system : db_by_address(b->address);
		if (system)
			tls_add(&t, system, b->address, b->conns);
	}
	/* Seen to turn to TLS, but not listed above. */
	for (i = 0; i < rep->npools && !t.peers; i++)
		if (rep->pools[i]->encrypted)
			tls_add(&t, db_by_proto(rep->pools[i]->system) ?: rep->pools[i]->system,
				rep->pools[i]->peer, rep->pools[i]->encrypted);
	if (!t.peers)
		return false;
	t.fix = is_local(t.peer) ? "connect through its unix socket or with sslmode=disable"
				 : "connect with sslmode=disable where the network is trusted";
	*ret = t;
	return true;
}

static bool always(const struct agg_report *rep)
{
	(void)rep;
	return true;
}

static bool no_cpu(const struct agg_report *rep)
{
	return !rep->window.sample_hz;
}

static bool no_offcpu(const struct agg_report *rep)
{
	return !rep->offcpu.recorded;
}

static bool no_wait_stacks(const struct agg_report *rep)
{
	return rep->offcpu.recorded && !rep->offcpu.stacks;
}

static bool no_resources(const struct agg_report *rep)
{
	return !rep->resources.samples;
}

static bool no_io(const struct agg_report *rep)
{
	return rep->resources.samples && !rep->resources.io_known;
}

static bool no_cost(const struct agg_report *rep)
{
	return !rep->trust.overhead.measured;
}

static bool no_sockets(const struct agg_report *rep)
{
	return *rep->trust.no_sockets;
}

static bool no_http(const struct agg_report *rep)
{
	return *rep->trust.no_http && !no_sockets(rep);
}

static bool no_db(const struct agg_report *rep)
{
	return *rep->trust.no_db && !no_sockets(rep);
}

static bool none_bound(const struct agg_report *rep)
{
	return !rep->trust.calls_bound && rep->trust.calls_unbound;
}

static bool no_ledger(const struct agg_report *rep)
{
	return !ledger_known(rep);
}

static bool no_probes(const struct agg_report *rep)
{
	return !rep->trust.nprobes;
}

void facts_site(const struct agg_site *sites, u32 n, struct buf *out)
{
	const char *base = strrchr(sites->file, '/');
	u64 all = 0;
	u32 i;

	for (i = 0; i < n; i++)
		all += sites[i].count;
	buf_addf(out, "%s %s", sites->function, base ? base + 1 : sites->file);
	if (sites->line)
		buf_addf(out, ":%u", sites->line);
	if (n > 1 && all)
		buf_addf(out, " (%s)", fmt_pct(FMT, (double)sites->count / (double)all));
}

static bool no_sites(const struct agg_report *rep)
{
	u32 i;

	for (i = 0; i < rep->nqueries; i++)
		if (rep->queries[i]->nsites)
			return false;
	for (i = 0; i < rep->nexternal; i++)
		if (rep->external[i]->nsites)
			return false;
	return true;
}

static const struct {
	bool (*holds)(const struct agg_report *rep);
	const char *text; /* names the keys, for programs and whoever reads the file */
	const char *plain;
} null_notes[] = {
	{ always,
	  "not recorded: which request issued an external call (external[].endpoints; "
	  "trust.attributed_ratio)",
	  "which request issued an external call" },
	{ none_bound,
	  "not recorded: which request issued a query (endpoints[].queries_per_request, "
	  "round_trips_per_request and db_ms_per_request, queries[].endpoints: see trust.calls)",
	  "which request issued a query" },
	{ no_ledger,
	  "not recorded: phases of a request (endpoints[].ledger_ms, overlapped_ms, "
	  "cpu_ms_per_request, attributed_ratio), blame",
	  "phases of a request, who held whom up" },
	{ always, "not recorded: background, blame[].frame", "work outside requests" },
	{ no_sites, "not recorded: call sites (queries[] and external[].call_sites)",
	  "call sites" },
	{ always, "not recorded: connections[].peer_pid, waits and inferred",
	  "waits for a free connection" },
	{ always, "not recorded: allocations, gc, startup, findings",
	  "allocations, garbage collection, start-up, findings" },
	{ no_offcpu, "not recorded: offcpu and trust.wait_stacks (waits were not measured)",
	  "time off CPU (not measured)" },
	{ no_wait_stacks, "not recorded: trust.wait_stacks and offcpu.top (waits were not sampled)",
	  "stacks of waits (not sampled)" },
	{ no_sockets,
	  "not recorded: endpoints, queries, connections, external, trust.connections and "
	  "window.blocks[].requests and calls (transfers on sockets were not measured)",
	  "requests, queries and outgoing calls (transfers on sockets were not measured)" },
	{ no_http, "not recorded: endpoints, window.blocks[].requests (switched off by --no-http)",
	  "requests (switched off by --no-http)" },
	{ no_db,
	  "not recorded: queries, connections, window.blocks[].calls (switched off by --no-db)",
	  "queries (switched off by --no-db)" },
	{ no_probes, "not recorded: trust.probes (the capture does not tell how it was measured)",
	  "how it was measured" },
	{ no_cpu, "not recorded: cpu and trust.stacks (CPU was not sampled)", "CPU (not sampled)" },
	{ no_resources, "not recorded: resources (no reading of /proc succeeded)",
	  "resources (no reading of /proc succeeded)" },
	{ no_io, "not recorded: resources.io_bytes (/proc/PID/io was not readable)",
	  "storage I/O (/proc/PID/io was not readable)" },
	{ no_cost,
	  "not recorded: trust.overhead.bpf_ms (the kernel's run-time statistics were off)",
	  "CPU time of the BPF programs (the kernel's run-time statistics were off)" },
};

bool facts_null_note(const struct agg_report *rep, u32 *pos, const char **ret_note,
		     const char **ret_plain)
{
	while (*pos < ARRAY_SIZE(null_notes)) {
		u32 i = (*pos)++;

		if (!null_notes[i].holds(rep))
			continue;
		*ret_note = null_notes[i].text;
		*ret_plain = null_notes[i].plain;
		return true;
	}
	return false;
}

void facts_title(const struct agg_report *rep, struct buf *out)
{
	const struct agg_target *t = rep->targets;

	if (!rep->ntargets) {
		buf_adds(out, "no target");
		return;
	}
	text_clip(out,
		  slice_str(*t->service	  ? t->service
			    : *t->cmdline ? t->cmdline
					  : "process"),
		  60);
	buf_addf(out, " (pid %u)", t->pid);
	if (rep->ntargets > 1)
		buf_addf(out, " and %u more", rep->ntargets - 1);
}
