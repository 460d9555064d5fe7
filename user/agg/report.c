/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From tables to the report. Input: struct agg when the stream has ended. Output: struct
 * agg_report, whose rows are in an order that depends on nothing but their contents.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agg/core.h"
#include "agg/text.h"
#include "base/cleanup.h"

/* Losses of whole records, not of parts or of what was kept beside. */
static const enum hp_drop whole_records[] = {
	DROP_RING_FULL,	  DROP_SCRATCH_BUSY, DROP_THREAD_TABLE_FULL,
	DROP_PROG_MISSED, DROP_BAD_RECORD,
};

void report_release(struct agg *a)
{
	u32 i;

	for (i = 0; i < a->report.ntargets; i++)
		hist_release(&a->target_rows[i].latency);
	hist_release(&a->report.latency);
	free(a->target_rows);
	free(a->endpoints);
	free(a->endpoint_list);
	free(a->query_list);
	free(a->pool_list);
	free(a->external_list);
}

static int cmp_u64_desc(u64 a, u64 b)
{
	return a > b ? -1 : a < b;
}

/* The first that differs decides. */
static int cmp_texts(const char *const a[], const char *const b[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		int order = strcmp(a[i], b[i]);

		if (order)
			return order;
	}
	return 0;
}

static int cmp_endpoint(const void *pa, const void *pb)
{
	const struct agg_endpoint *a = *(const struct agg_endpoint *const *)pa;
	const struct agg_endpoint *b = *(const struct agg_endpoint *const *)pb;
	int order = cmp_u64_desc(a->count, b->count);

	if (!order)
		order = a->target - b->target;
	return order ? order
		     : cmp_texts((const char *[]){ a->method, a->route },
				 (const char *[]){ b->method, b->route }, 2);
}

static int cmp_query(const void *pa, const void *pb)
{
	const struct agg_query *a = *(const struct agg_query *const *)pa;
	const struct agg_query *b = *(const struct agg_query *const *)pb;
	int order = cmp_u64_desc(a->count, b->count);

	if (!order)
		order = a->target - b->target;
	return order ? order
		     : cmp_texts((const char *[]){ a->system, a->peer, a->database, a->user,
						   a->statement, a->fingerprint },
				 (const char *[]){ b->system, b->peer, b->database, b->user,
						   b->statement, b->fingerprint },
				 6);
}

static int cmp_pool(const void *pa, const void *pb)
{
	const struct agg_pool *a = *(const struct agg_pool *const *)pa;
	const struct agg_pool *b = *(const struct agg_pool *const *)pb;
	int order = cmp_u64_desc(a->conns, b->conns);

	if (!order)
		order = a->target - b->target;
	return order ? order
		     : cmp_texts((const char *[]){ a->system, a->peer, a->database, a->user },
				 (const char *[]){ b->system, b->peer, b->database, b->user }, 4);
}

static int cmp_external(const void *pa, const void *pb)
{
	const struct agg_external *a = *(const struct agg_external *const *)pa;
	const struct agg_external *b = *(const struct agg_external *const *)pb;
	int order = cmp_u64_desc(a->count, b->count);

	if (!order)
		order = a->target - b->target;
	return order ? order
		     : cmp_texts((const char *[]){ a->protocol, a->peer, a->method, a->route },
				 (const char *[]){ b->protocol, b->peer, b->method, b->route }, 4);
}

static int cmp_blind(const void *pa, const void *pb)
{
	const struct agg_blind *a = pa, *b = pb;
	int order = cmp_u64_desc(a->conns, b->conns);

	if (!order)
		order = a->target - b->target;
	if (!order)
		order = a->role - b->role;
	if (!order)
		order = a->status - b->status;
	return order ? order
		     : cmp_texts((const char *[]){ a->address, a->proto, a->reason },
				 (const char *[]){ b->address, b->proto, b->reason }, 3);
}

struct collect {
	struct agg *a;
	struct target *t;
	u32 n;
};

static void collect_endpoint(void *arg, struct http_row *row, const struct buf *route,
			     bool replaced)
{
	struct collect *to = arg;
	struct agg_target *t = &to->t->pub;

	to->a->endpoints[to->n++] = (struct agg_endpoint){
		.target = t->id,
		.source = replaced ? AGG_ROUTE_CLUSTERED : AGG_ROUTE_LITERAL,
		.method = row->method,
		.row = row->number,
		.route = text_add(&to->a->texts, buf_slice(route)),
		.count = row->count,
		.errors = row->errors,
		.aborted = row->aborted,
		.untimed = row->untimed,
		.at_attach = row->at_attach,
		.at_detach = row->at_detach,
		.request_bytes = row->request_bytes,
		.response_bytes = row->response_bytes,
		.status = row->codes,
		.nstatus = row->ncodes,
		.latency = row->latency,
	};
	t->requests += row->count;
	t->errors += row->errors;
	t->aborted += row->aborted;
	t->at_attach += row->at_attach;
	t->at_detach += row->at_detach;
	hist_merge(&t->latency, &row->latency);
}

static void report_stuck(struct agg *a)
{
	_release_(buf) struct buf route = BUF_INIT, text = BUF_INIT;
	const struct stuck *s = &a->stuck;
	u64 end_ns = window_end_ns(&a->window);

	a->report.stuck = (struct agg_stuck){ .requests = s->requests,
					      .unread = s->unread,
					      .before = s->before,
					      .oldest_s = -1,
					      .oldest = "" };
	if (s->oldest_ns && s->oldest_ns <= end_ns)
		a->report.stuck.oldest_s = (double)(end_ns - s->oldest_ns) / 1e9;
	if (!*s->path)
		return;
	agg_route_of(a, s->target, slice_str(s->method), slice_str(s->path), &route);
	buf_addf(&text, "%s ", s->method);
	buf_add_slice(&text, buf_slice(&route));
	a->report.stuck.oldest = text_add(&a->texts, buf_slice(&text));
}

static int report_targets(struct agg *a)
{
	struct agg_report *r = &a->report;
	struct collect to = { .a = a };
	u32 i, rows = 0, n = 0;

	for (i = 0; i < AGG_TARGETS_MAX; i++) {
		if (!a->targets[i])
			continue;
		rows += http_tree_rows(&a->targets[i]->tree);
		n++;
	}
	a->target_rows = calloc(MAX(n, 1U), sizeof(*a->target_rows));
	a->endpoints = calloc(MAX(rows, 1U), sizeof(*a->endpoints));
	a->endpoint_list = calloc(MAX(rows, 1U), sizeof(*a->endpoint_list));
	if (!a->target_rows || !a->endpoints || !a->endpoint_list)
		return -ENOMEM;
	for (i = 0; i < AGG_TARGETS_MAX; i++) {
		struct agg_target *t;

		if (!a->targets[i])
			continue;
		t = &a->targets[i]->pub;
		to.t = a->targets[i];
		http_tree_each(&to.t->tree, collect_endpoint, &to);
		t->pids = to.t->pids;
		r->requests += t->requests;
		r->errors += t->errors;
		r->aborted += t->aborted;
		r->at_attach += t->at_attach;
		r->at_detach += t->at_detach;
		r->trust.folded += to.t->budget.folded;
		a->target_rows[r->ntargets++] = *t;
	}
	for (i = 0; i < to.n; i++)
		a->endpoint_list[i] = &a->endpoints[i];
	qsort(a->endpoint_list, to.n, sizeof(*a->endpoint_list), cmp_endpoint);
	r->targets = a->target_rows;
	r->endpoints = a->endpoint_list;
	r->nendpoints = to.n;
	return 0;
}

static int report_queries(struct agg *a)
{
	struct agg_report *r = &a->report;
	u32 i;

	a->adopted = queries_adopt(a);
	a->query_list = calloc(MAX(a->queries.n, 1U), sizeof(*a->query_list));
	if (!a->query_list)
		return -ENOMEM;
	for (i = 0; i < a->queries.n; i++) {
		const struct agg_query *q = a->queries.rows[i];

		a->query_list[i] = q;
		r->calls += q->count;
		r->call_errors += q->errors;
		r->round_trips += q->round_trips;
	}
	qsort(a->query_list, a->queries.n, sizeof(*a->query_list), cmp_query);
	r->queries = a->query_list;
	r->nqueries = a->queries.n;
	r->trust.folded += a->queries.folded;
	return 0;
}

/*
 * What a few calls that no request is known for would add to a mean is left out of it; past that, an
 * endpoint without any call may be the one that made them.
 */
#define UNBOUND_FEW 0.01

static int report_bound(struct agg *a)
{
	u64 calls[AGG_TARGETS_MAX] = {}, bound[AGG_TARGETS_MAX] = {};
	u32 i, k, n = a->queries.n + a->queries.nmerged;
	struct agg_report *r = &a->report;
	_free_ struct agg_query **queries = calloc(MAX(n, 1U), sizeof(*queries));
	int err;

	if (!queries)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct agg_query *q = a->queries.rows[i];

		queries[q->number] = q->into ? q->into : q;
	}
	err = bound_finish(&a->bound, a->endpoints, r->nendpoints, queries, n);
	if (err)
		return err;
	for (i = 0; i < r->nqueries; i++) {
		const struct agg_query *q = r->queries[i];

		if (q->target >= AGG_TARGETS_MAX)
			continue;
		calls[q->target] += q->count;
		for (k = 0; k < q->nuses; k++)
			bound[q->target] += q->uses[k]->count;
	}
	for (i = 0; i < r->nendpoints; i++) {
		struct agg_endpoint *e = &a->endpoints[i];
		u64 all = calls[e->target], unbound = all - MIN(bound[e->target], all);

		e->bound.known = e->bound.requests && (e->bound.calls || !unbound ||
						       (double)unbound < UNBOUND_FEW * (double)all);
	}
	err = ledgers_finish(&a->ledgers, &a->bound, a->endpoints, r->nendpoints);
	if (err)
		return err;
	r->blames = a->ledgers.out_blames;
	r->nblames = a->ledgers.nout_blames;
	r->uses = a->bound.out;
	r->nuses = a->bound.nout;
	r->trust.calls_bound = a->calls_bound;
	r->trust.calls_unbound = a->calls_unbound;
	r->trust.bind_refused = a->bind_refused + a->bound.refused;
	return 0;
}

static int report_pools(struct agg *a)
{
	struct agg_report *r = &a->report;
	u32 i;

	conns_finish(&a->conns, r->window.stop_ns - r->window.start_ns);
	a->pool_list = calloc(a->conns.npools, sizeof(*a->pool_list));
	if (!a->pool_list)
		return -ENOMEM;
	for (i = 0; i < a->conns.npools; i++)
		if (a->conns.pools[i]->pub.conns)
			a->pool_list[r->npools++] = &a->conns.pools[i]->pub;
	qsort(a->pool_list, r->npools, sizeof(*a->pool_list), cmp_pool);
	r->pools = a->pool_list;
	r->trust.folded += a->conns.folded;
	return 0;
}

static int report_external(struct agg *a)
{
	struct agg_report *r = &a->report;
	u32 i;
	int err = externals_finish(&a->externals);

	if (err)
		return err;
	a->external_list = calloc(MAX(a->externals.nout, 1U), sizeof(*a->external_list));
	if (!a->external_list)
		return -ENOMEM;
	for (i = 0; i < a->externals.nout; i++)
		a->external_list[i] = &a->externals.out[i];
	qsort(a->external_list, a->externals.nout, sizeof(*a->external_list), cmp_external);
	r->external = a->external_list;
	r->nexternal = a->externals.nout;
	r->trust.folded += a->externals.folded + a->externals.budget.folded;
	return 0;
}

/* The rows that calls were counted in, by their numbers. */
struct site_tables {
	struct agg *a;
	struct agg_query **queries;
	u32 nqueries;
	struct agg_external **external;
};

static bool site_row_now(void *arg, enum site_of of, u32 row, u32 *ret_now, u64 *ret_calls)
{
	const struct site_tables *t = arg;
	struct bound *rows = &t->a->externals.rows;

	if (of == SITE_OF_QUERY) {
		if (row >= t->nqueries)
			return false;
		*ret_now = t->queries[row]->number;
		*ret_calls = t->queries[row]->count;
		return true;
	}
	if (!row || row > rows->nrows)
		return false;
	*ret_now = bound_row_now(rows, row);
	if (!t->external[*ret_now])
		return false;
	*ret_calls = t->external[*ret_now]->count;
	return true;
}

static void site_deal(void *arg, enum site_of of, u32 row, const struct agg_site *sites, u32 n)
{
	const struct site_tables *t = arg;

	if (of == SITE_OF_QUERY) {
		t->queries[row]->sites = sites;
		t->queries[row]->nsites = n;
	} else {
		t->external[row]->sites = sites;
		t->external[row]->nsites = n;
	}
}

static int report_sites(struct agg *a)
{
	u32 i, n = a->queries.n + a->queries.nmerged;
	_free_ struct agg_query **queries = calloc(MAX(n, 1U), sizeof(*queries));
	_free_ struct agg_external **external =
		calloc(a->externals.rows.nrows + 1, sizeof(*external));
	struct site_tables t = { .a = a, .queries = queries, .nqueries = n, .external = external };
	const struct sites_rows rows = { &t, site_row_now, site_deal };

	if (!queries || !external)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct agg_query *q = a->queries.rows[i];

		queries[q->number] = q->into ? q->into : q;
	}
	for (i = 0; i < a->externals.nout; i++)
		external[a->externals.out[i].row] = &a->externals.out[i];
	return sites_finish(&a->sites, &a->stacks, &rows);
}

static void report_cpu(struct agg *a)
{
	const struct stack_tree *t = &a->stacks.cpu;
	struct agg_report *r = &a->report;

	r->cpu = (struct agg_cpu){
		.samples = t->samples,
		.nodes = t->out,
		.nnodes = t->nout,
		.top = t->top,
		.ntop = t->ntop,
		.moments = a->stacks.moments,
		.nmoments = a->stacks.nmoments,
		.moments_more = a->stacks.moments_more,
	};
	if (r->window.sample_hz)
		r->cpu.on_cpu_s = (double)t->samples / r->window.sample_hz;
	r->trust.stacks = t->trust;
}

static void report_trust(struct agg *a)
{
	struct agg_trust *t = &a->report.trust;
	struct agg_blind *blind = a->conns.blind;
	size_t i;

	t->events = a->events;
	for (i = 0; i < DROP_MAX; i++)
		t->lost[i] = a->lost[i] + a->dropped[i];
	for (i = 0; i < ARRAY_SIZE(whole_records); i++)
		t->lost_events += t->lost[whole_records[i]];
	t->conns.seen = a->conns.seen;
	t->conns.parsed = a->conns.parsed;
	t->conns.unparsed = a->conns.unparsed;
	t->conns.encrypted = a->conns.encrypted;
	t->conns.undecided = a->conns.undecided;
	t->folded += a->refused;
	/* "(other)" is the first row; it is listed only when something went there. */
	t->nby_peer = a->conns.nblind;
	if (!blind[0].conns) {
		blind++;
		t->nby_peer--;
	}
	qsort(blind, t->nby_peer, sizeof(*blind), cmp_blind);
	t->by_peer = blind;

	t->overhead.measured = a->cost.method != HP_COST_NONE;
	t->overhead.self_timed = a->cost.method == HP_COST_SELF_TIMED;
	t->overhead.bpf_ns = a->cost.bpf_ns;
	t->overhead.bpf_runs = a->cost.bpf_runs;
	t->overhead.agent_ns = a->cost.collector_cpu_ns + a->cost.analyst_cpu_ns;
	t->overhead.agent_rss_bytes = a->cost.agent_rss_bytes;
	t->overhead.target_cpu_ns =
		a->cost.target_cpu_ns ? a->cost.target_cpu_ns : a->report.resources.cpu_ns;
	t->overhead.target_ratio = -1;
	if (t->overhead.measured && t->overhead.target_cpu_ns)
		t->overhead.target_ratio =
			(double)a->cost.bpf_ns / (double)t->overhead.target_cpu_ns;
	if (a->report.window.duration_s > 0)
		t->overhead.agent_cores =
			(double)t->overhead.agent_ns / 1e9 / a->report.window.duration_s;
}

int agg_finish(struct agg *a)
{
	struct agg_report *r = &a->report;
	int err;

	if (a->finished)
		return 0;
	/* Looks at /proc fill blocks, so they come before the blocks are read. */
	resources_finish(&a->resources, &a->window, &r->resources);
	err = window_finish(&a->window, &r->window, &r->latency);
	if (!err)
		err = report_targets(a);
	if (!err)
		err = report_queries(a);
	if (!err)
		err = report_bound(a);
	if (!err)
		err = report_pools(a);
	if (!err)
		err = report_external(a);
	if (!err)
		err = stacks_finish(&a->stacks);
	if (!err)
		err = report_sites(a);
	if (err)
		return err;
	err = offcpu_finish(&a->offcpu, &a->window, &a->stacks, &a->texts, &r->offcpu);
	if (err)
		return err;
	r->trust.wait_stacks = a->stacks.waits.trust;
	report_cpu(a);
	report_trust(a);
	report_stuck(a);
	measured_read(a);
	notes_make(a);
	buf_reserve(&a->config, 1);
	r->config = a->config.n && !a->config.oom ? a->config.p : "";
	a->finished = true;
	return 0;
}

const struct agg_report *agg_report(const struct agg *a)
{
	return &a->report;
}

void agg_route_of(const struct agg *a, u16 target, struct slice method, struct slice path,
		  struct buf *out)
{
	if (target < AGG_TARGETS_MAX && a->targets[target])
		http_tree_route(&a->targets[target]->tree, method, path, out);
}

bool agg_folded_tree(const struct agg_node *nodes, u32 count, u32 *pos, struct buf *line,
		     u64 *ret_weight)
{
	u32 up[STACK_TREE_DEPTH_MAX + 8], n, i;

	for (i = *pos; i < count; i++)
		if (nodes[i].self)
			break;
	if (i >= count)
		return false;
	*pos = i + 1;
	*ret_weight = nodes[i].self;
	buf_clear(line);
	if (!i) /* samples that found no room under any thread */
		buf_adds(line, STACK_TRUNCATED);
	for (n = 0; i && n < ARRAY_SIZE(up); i = nodes[i].parent)
		up[n++] = i;
	while (n--) {
		buf_adds(line, nodes[up[n]].text);
		if (n)
			buf_addch(line, ';');
	}
	return true;
}

bool agg_folded_next(const struct agg *a, u32 *pos, struct buf *line, u64 *ret_count)
{
	return agg_folded_tree(a->report.cpu.nodes, a->report.cpu.nnodes, pos, line, ret_count);
}
