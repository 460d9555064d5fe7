/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of the aggregates. Input: records, connections, exchanges and calls, in stream order.
 * Output: the tables of struct agg, which report.c sorts at the end.
 *
 * Each feeding function finds the row and counts; only a row that is new allocates.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agg/core.h"
#include "agg/text.h"

#define TEXTS_MAX 65536
#define TEXTS_BYTES (8u << 20)

static u32 or_default(u32 v, u32 def)
{
	return v ? v : def;
}

int agg_new(struct agg **ret, const struct agg_opts *opts)
{
	struct agg *a = calloc(1, sizeof(*a));
	int err = -ENOMEM;

	if (!a)
		return -ENOMEM;
	if (opts)
		a->opts = *opts;
	a->opts.max_endpoints = or_default(a->opts.max_endpoints, 500);
	a->opts.max_queries = or_default(a->opts.max_queries, 1000);
	a->opts.max_external = or_default(a->opts.max_external, 500);
	a->opts.max_conns = or_default(a->opts.max_conns, 65536);
	a->opts.max_stack_nodes = or_default(a->opts.max_stack_nodes, 200000);
	a->opts.route_fanout = or_default(a->opts.route_fanout, ROUTE_FANOUT);
	window_init(&a->window);
	offcpu_init(&a->offcpu);
	if (strpool_init(&a->texts, TEXTS_MAX, TEXTS_BYTES))
		goto fail;
	queries_init(&a->queries, &a->texts, a->opts.max_queries);
	bound_init(&a->bound);
	ledgers_init(&a->ledgers);
	sites_init(&a->sites, &a->texts);
	err = conns_init(&a->conns, &a->texts, a->opts.max_conns);
	if (err)
		goto fail;
	err = externals_init(&a->externals, &a->texts, a->opts.max_external, a->opts.route_fanout);
	if (err)
		goto fail;
	err = stacks_init(&a->stacks, a->opts.max_stack_nodes);
	if (err)
		goto fail;
	a->stacks.one_process = a->opts.one_process;
	*ret = a;
	return 0;
fail:
	agg_free(a);
	return err;
}

void agg_free(struct agg *a)
{
	u32 i;

	if (!a)
		return;
	report_release(a);
	for (i = 0; i < AGG_TARGETS_MAX; i++) {
		if (!a->targets[i])
			continue;
		http_tree_release(&a->targets[i]->tree);
		free(a->targets[i]->pids);
		free(a->targets[i]);
	}
	window_release(&a->window);
	resources_release(&a->resources);
	externals_release(&a->externals);
	queries_release(&a->queries);
	bound_release(&a->bound);
	ledgers_release(&a->ledgers);
	sites_release(&a->sites);
	conns_release(&a->conns);
	stacks_release(&a->stacks);
	offcpu_release(&a->offcpu);
	buf_release(&a->config);
	strpool_release(&a->texts);
	free(a);
}

static struct target *target_get(struct agg *a, u16 id)
{
	struct target *t;

	if (id >= AGG_TARGETS_MAX)
		return NULL;
	if (a->targets[id])
		return a->targets[id];
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->budget.max = a->opts.max_endpoints;
	t->budget.bound = &a->bound;
	if (http_tree_init(&t->tree, &a->texts, &t->budget, a->opts.route_fanout)) {
		free(t);
		return NULL;
	}
	t->pub.id = id;
	t->pub.cmdline = t->pub.exe = t->pub.runtime = t->pub.service = strpool_get(&a->texts, 0).p;
	a->targets[id] = t;
	return t;
}

/* Ascending, each once. */
static void target_pid(struct target *t, u32 pid)
{
	u32 i = t->pub.npids;

	while (i > 0 && t->pids[i - 1] > pid)
		i--;
	if (i > 0 && t->pids[i - 1] == pid)
		return;
	if (t->pub.npids == AGG_PIDS_MAX) {
		t->pub.pids_more++;
		return;
	}
	if (t->pub.npids == t->pids_cap) {
		u32 cap = t->pids_cap ? t->pids_cap * 2 : 8;
		u32 *p = realloc(t->pids, cap * sizeof(*p));

		if (!p)
			return;
		t->pids = p;
		t->pids_cap = cap;
	}
	memmove(&t->pids[i + 1], &t->pids[i], (t->pub.npids - i) * sizeof(*t->pids));
	t->pids[i] = pid;
	t->pub.npids++;
}

static void record_target(struct agg *a, const struct ev_target *rec)
{
	struct target *t = target_get(a, rec->hdr.target);
	const char *p = (const char *)(rec + 1);
	bool root;

	if (!t)
		return;
	root = !t->pub.pid;
	target_pid(t, rec->hdr.tgid);
	if (!root)
		return;
	t->pub.pid = rec->hdr.tgid;
	t->pub.started_unix_ms = rec->started_unix_ms;
	t->pub.cmdline = text_add(&a->texts, slice_of(p, rec->cmdline_len));
	p += rec->cmdline_len;
	t->pub.exe = text_add(&a->texts, slice_of(p, rec->exe_len));
	p += rec->exe_len;
	t->pub.runtime = text_add(&a->texts, slice_of(p, rec->runtime_len));
	p += rec->runtime_len;
	t->pub.service = text_add(&a->texts, slice_of(p, rec->service_len));
}

static void record_proc(struct agg *a, const struct ev_proc *rec)
{
	struct target *t = target_get(a, rec->hdr.target);

	if (!t)
		return;
	if (rec->what == HP_PROC_FORK) {
		target_pid(t, rec->hdr.tgid);
	} else if (rec->what == HP_PROC_EXIT && rec->hdr.tgid == t->pub.pid && t->pub.pid) {
		t->pub.exited = true;
		t->pub.exit_code = rec->exit_code;
		t->pub.exit_ns = rec->hdr.ts_ns;
	}
}

/* Cumulative counters: the highest is the newest, in whatever order records come. */
static void record_loss(struct agg *a, const struct ev_loss *rec)
{
	const u64 *n = (const u64 *)(rec + 1);
	u32 i;

	a->events = MAX(a->events, rec->events);
	for (i = 0; i < MIN(rec->n, DROP_MAX); i++)
		a->lost[i] = MAX(a->lost[i], n[i]);
}

static void record_cost(struct agg *a, const struct ev_cost *rec)
{
	struct ev_cost *c = &a->cost;

	c->bpf_ns = MAX(c->bpf_ns, rec->bpf_ns);
	c->bpf_runs = MAX(c->bpf_runs, rec->bpf_runs);
	c->collector_cpu_ns = MAX(c->collector_cpu_ns, rec->collector_cpu_ns);
	c->analyst_cpu_ns = MAX(c->analyst_cpu_ns, rec->analyst_cpu_ns);
	c->agent_rss_bytes = MAX(c->agent_rss_bytes, rec->agent_rss_bytes);
	c->target_cpu_ns = MAX(c->target_cpu_ns, rec->target_cpu_ns);
	c->method = MAX(c->method, rec->method);
}

static void record_config(struct agg *a, const struct ev_config *rec)
{
	if (a->config.n + rec->len > AGG_CONFIG_MAX)
		return;
	buf_add(&a->config, rec + 1, rec->len);
	if (rec->len && a->config.n && a->config.p[a->config.n - 1] != '\n')
		buf_addch(&a->config, '\n');
}

static void record_sample(struct agg *a, const struct ev_sample *rec)
{
	const struct stack_sample in = {
		.tgid = rec->hdr.tgid,
		.tid = rec->hdr.tid,
		.comm = rec->comm,
		.frames = (const void *)(rec + 1),
		.nframes = rec->nframes,
		.truncated = rec->stop == UW_STOP_DEPTH,
		.unwind = rec->unwind,
		.stop = rec->stop,
		.weight = 1,
	};

	a->live.samples++;
	stacks_moment(&a->stacks, &(struct agg_moment){
					  .ts_ns = rec->hdr.ts_ns,
					  .tgid = rec->hdr.tgid,
					  .tid = rec->hdr.tid,
					  .cpu = rec->cpu,
					  .node = stacks_add(&a->stacks, &a->stacks.cpu, &in),
				  });
}

/* Of a wait that stands for weight_us, the part that ended when it was woken. */
static void record_waker(struct agg *a, const struct ev_wait *rec, u64 weight_us)
{
	char reason[32], waker[HP_COMM_LEN + sizeof(WAKER_PREFIX)] = WAKER_INTERRUPT;
	double blocked = (double)rec->blocked_ns, all = blocked + (double)rec->runqueue_ns;
	char comm[HP_COMM_LEN];
	struct slice name = stacks_comm(rec->waker_comm, comm);
	/* A timer ends a sleep, on top of whatever runs there then. */
	bool known = rec->woken_by == HP_WAKER_THREAD && rec->reason != HP_WAIT_SLEEP;
	const struct stack_sample in = {
		.tgid = rec->waker_tgid,
		.comm = rec->comm,
		.groups = { reason, waker },
		.frames = (const struct ev_frame *)(rec + 1) + rec->nframes,
		.nframes = known ? rec->nwaker : 0,
		.truncated = known && rec->nwaker == HP_WAKER_FRAMES,
		.unwind = HP_UNWIND_TABLES,
		.stop = UW_STOP_DEPTH,
		.weight = (u64)((double)weight_us * blocked / all),
	};

	snprintf(reason, sizeof(reason), "(%s)", agg_wait_key(rec->reason));
	if (known)
		snprintf(waker, sizeof(waker), WAKER_PREFIX "%.*s", (int)name.n, name.p);
	stacks_add(&a->stacks, &a->stacks.wakers, &in);
}

static void record_wait(struct agg *a, const struct ev_wait *rec)
{
	const struct stack_sample in = {
		.tgid = rec->hdr.tgid,
		.tid = rec->hdr.tid,
		.comm = rec->comm,
		.groups = { rec->reason == HP_WAIT_IDLE ? STACK_IDLE : NULL },
		.frames = (const void *)(rec + 1),
		.nframes = rec->nframes,
		.truncated = rec->stop == UW_STOP_DEPTH,
		.unwind = rec->unwind,
		.stop = rec->stop,
		.weight = offcpu_weight(&a->offcpu, &a->window, rec),
	};

	if (!in.weight)
		return;
	places_add(&a->stacks.waits, stacks_add(&a->stacks, &a->stacks.waits, &in), rec->reason,
		   in.weight);
	offcpu_state(&a->offcpu, rec);
	if (rec->blocked_ns && rec->woken_by != HP_WAKER_UNKNOWN)
		record_waker(a, rec, in.weight);
}

static void record_total(struct agg *a, const struct ev_wait_total *rec)
{
	if (rec->hdr.tid == rec->hdr.tgid)
		stacks_process(&a->stacks, rec->hdr.tgid, rec->comm, true);
	offcpu_total(&a->offcpu, rec);
}

static void record_site(struct agg *a, const struct ev_site *rec)
{
	static const char nobody[HP_COMM_LEN];
	const struct stack_sample in = {
		.tgid = rec->hdr.tgid,
		.comm = nobody,
		.frames = (const void *)(rec + 1),
		.nframes = rec->nframes,
		.unwind = HP_UNWIND_TABLES,
		.stop = UW_STOP_DEPTH,
		.weight = rec->weight,
	};

	sites_sent(&a->sites, rec, stacks_add(&a->stacks, &a->stacks.sites, &in));
}

void agg_record(struct agg *a, const struct ev_hdr *hdr)
{
	const void *rec = hdr;
	const struct ev_note *note = rec;

	switch (hdr->kind) {
	case EV_TARGET:
		record_target(a, rec);
		break;
	case EV_PROC:
		record_proc(a, rec);
		break;
	case EV_RESOURCE:
		resources_record(&a->resources, &a->window, rec);
		break;
	case EV_LOSS:
		record_loss(a, rec);
		break;
	case EV_WINDOW:
		window_record(&a->window, rec);
		a->offcpu.recorded |= ((const struct ev_window *)rec)->waits;
		break;
	case EV_COST:
		record_cost(a, rec);
		break;
	case EV_NOTE:
		notes_add(&a->stream_notes, text_add(&a->texts, slice_of(note + 1, note->len)));
		break;
	case EV_CONFIG:
		record_config(a, rec);
		break;
	case EV_SAMPLE:
		record_sample(a, rec);
		break;
	case EV_WAIT:
		record_wait(a, rec);
		break;
	case EV_SITE:
		record_site(a, rec);
		break;
	case EV_WAIT_TOTAL:
		record_total(a, rec);
		break;
	case EV_MAPPING:
		stacks_mapping(&a->stacks, rec);
		return;
	case EV_SYMBOL:
		/* Made when a name was asked for: its time says nothing about the window. */
		stacks_symbol(&a->stacks, rec);
		return;
	case EV_LINES:
		stacks_lines(&a->stacks, rec);
		break;
	case EV_CODE:
		stacks_code(&a->stacks, rec);
		return;
	default:
		return;
	}
	window_seen(&a->window, hdr->ts_ns);
}

/* A request that came then, and was not answered; x is NULL when it was not even read. */
static void stuck_add(struct stuck *s, u64 ts_ns, const struct http_exchange *x)
{
	s->requests++;
	s->unread += !x;
	if (!ts_ns || (s->oldest_ns && s->oldest_ns <= ts_ns))
		return;
	s->oldest_ns = ts_ns;
	s->target = x ? x->target : 0;
	snprintf(s->method, sizeof(s->method), "%.*s", x ? (int)x->method.n : 0,
		 x ? x->method.p : "");
	snprintf(s->path, sizeof(s->path), "%.*s", x ? (int)x->path.n : 0, x ? x->path.p : "");
}

static void conn_stuck(struct agg *a, const struct conn *c, const struct conn_info *info)
{
	bool old = info->unread_ns && info->unread_ns < a->window.start_ns;

	if (info->role != HP_ROLE_SERVER || info->close_ns || (c && c->stuck))
		return;
	if (info->unread_ns && !old)
		stuck_add(&a->stuck, info->unread_ns, NULL);
	else if (info->owes && !info->bytes[HP_SEND] && !info->bytes[HP_RECV])
		a->stuck.before++;
}

void agg_conn(struct agg *a, const struct conn_info *info)
{
	struct conn *c = conns_update(&a->conns, info, a->window.start_ns);

	if (!info->ended)
		return;
	conn_stuck(a, c, info);
	sites_conn_end(&a->sites, info->conn_id);
	if (c)
		externals_conn(&a->externals, c, info);
	conns_end(&a->conns, info, window_end_ns(&a->window));
}

u32 agg_http(struct agg *a, const struct http_exchange *x)
{
	bool partial = x->flags & (SPAN_AT_ATTACH | SPAN_AT_DETACH);
	bool timed = span_timed(x->flags) && x->start_ns && x->end_ns >= x->start_ns;
	const struct http_row *row;
	struct target *t;

	window_seen(&a->window, x->end_ns);
	if (x->role == HP_ROLE_CLIENT) {
		row = externals_http(&a->externals, conns_find(&a->conns, x->conn_id), x);
		if (row && !partial)
			sites_call(&a->sites, SITE_OF_EXTERNAL, row->number, x->conn_id, x->pos);
		a->live.external += !partial;
		return 0;
	}
	if (x->flags & SPAN_AT_DETACH && !(x->flags & SPAN_AT_ATTACH) && !x->status) {
		struct conn *c = conns_find(&a->conns, x->conn_id);

		stuck_add(&a->stuck, x->start_ns, x);
		if (c)
			c->stuck = true;
	}
	t = target_get(a, x->target);
	row = t ? http_tree_add(&t->tree, x) : NULL;
	if (!row) {
		a->refused++;
		return 0;
	}
	if (partial)
		return row->number;
	a->live.requests++;
	a->live.errors += x->status >= 500 || (x->flags & SPAN_ABORTED);
	window_request(&a->window, x->end_ns, timed ? (double)(x->end_ns - x->start_ns) : -1);
	return row->number;
}

void agg_bound_request(struct agg *a, u32 row, u64 end_ns, bool partial)
{
	bound_request(&a->bound, row, end_ns, partial);
}

void agg_bound_call(struct agg *a, const struct agg_query *query, u64 start_ns, u64 end_ns,
		    u32 trips)
{
	bound_call(&a->bound, query, start_ns, end_ns, trips);
}

void agg_ledger(struct agg *a, const struct ledger_split *s)
{
	ledgers_add(&a->ledgers, s);
}

bool agg_ledger_of(const struct agg *a, u32 number, u64 ret_ns[PHASES])
{
	return ledgers_find(&a->ledgers, number, ret_ns);
}

void agg_bound_calls(struct agg *a, u64 bound, u64 unbound, u64 refused)
{
	a->calls_bound = bound;
	a->calls_unbound = unbound;
	a->bind_refused = refused;
}

const struct agg_query *agg_db(struct agg *a, const struct db_call *call)
{
	const struct agg_query *row;
	struct conn *c = conns_find(&a->conns, call->conn_id);
	struct pool *p = conns_pool(&a->conns, c);

	window_seen(&a->window, call->end_ns);
	row = queries_add(&a->queries, p, call);
	if (!row)
		a->refused++;
	conns_db_call(&a->conns, c, p, call);
	if (call->flags & (SPAN_AT_ATTACH | SPAN_AT_DETACH))
		return row;
	if (row && !(call->flags & SPAN_CONTINUED))
		sites_call(&a->sites, SITE_OF_QUERY, row->number, call->conn_id, call->pos);
	a->live.calls++;
	a->live.round_trips += call->trips;
	window_call(&a->window, call->end_ns);
	return row;
}

void agg_db_event(struct agg *a, const struct db_event *e)
{
	window_seen(&a->window, e->ts_ns);
	conns_db_event(&a->conns, e);
}

void agg_drop(struct agg *a, enum hp_drop why, u64 n)
{
	if ((unsigned int)why < DROP_MAX)
		a->dropped[why] += n;
}

void agg_live(const struct agg *a, struct agg_live *ret)
{
	*ret = a->live;
	window_live(&a->window, ret);
}

size_t agg_unnamed(struct agg *a, void (*fn)(void *arg, const struct agg_addr *addr), void *arg)
{
	return stacks_unnamed(&a->stacks, fn, arg);
}

size_t agg_unlined(struct agg *a, void (*fn)(void *arg, const struct agg_addr *addr), void *arg)
{
	return stacks_unlined(&a->stacks, fn, arg);
}

void agg_ask_again(struct agg *a)
{
	stacks_ask_again(&a->stacks);
}

static const char *const wait_keys[HP_WAIT_MAX] = {
	[HP_WAIT_NONE] = "preempted", [HP_WAIT_SOCKET] = "socket", [HP_WAIT_PIPE] = "pipe",
	[HP_WAIT_DISK] = "disk",      [HP_WAIT_FUTEX] = "futex",   [HP_WAIT_IDLE] = "idle",
	[HP_WAIT_POLL] = "poll",      [HP_WAIT_SLEEP] = "sleep",   [HP_WAIT_FAULT] = "page_fault",
	[HP_WAIT_GIL] = "gil",	      [HP_WAIT_EVENT] = "event",   [HP_WAIT_CHILD] = "child",
	[HP_WAIT_LOCK] = "file_lock", [HP_WAIT_RING] = "io_uring", [HP_WAIT_STOPPED] = "stopped",
	[HP_WAIT_OTHER] = "other",
};

const char *agg_wait_key(enum hp_wait reason)
{
	return (unsigned int)reason < HP_WAIT_MAX ? wait_keys[reason] : "";
}

static const char *const drop_keys[] = {
#define DROP(name, key, text) key,
#include "hp/drops.def"
#undef DROP
};

static const char *const drop_texts[] = {
#define DROP(name, key, text) text,
#include "hp/drops.def"
#undef DROP
};

const char *agg_stop_key(enum uw_stop why)
{
	static const char *const keys[UW_STOP_MAX] = {
		[UW_STOP_NONE] = "no_user_part",     [UW_STOP_DEPTH] = "too_deep",
		[UW_STOP_NO_MAPPING] = "no_mapping", [UW_STOP_NO_ROW] = "no_row",
		[UW_STOP_PENDING] = "table_pending", [UW_STOP_READ] = "unreadable",
		[UW_STOP_STUCK] = "stuck",	     [UW_STOP_REGISTER] = "register_lost",
		[UW_STOP_PYTHON] = "python",	     [UW_STOP_FP] = "frame_pointers",
	};

	return (unsigned int)why < UW_STOP_MAX ? keys[why] : NULL;
}

const char *agg_stop_text(enum uw_stop why)
{
	static const char *const texts[UW_STOP_MAX] = {
		[UW_STOP_NONE] = "no user stack (kernel thread, or ending)",
		[UW_STOP_DEPTH] = "deeper than a record holds",
		[UW_STOP_NO_MAPPING] = "code in no known file (generated, or unloaded)",
		[UW_STOP_NO_ROW] = "code whose file does not tell how to find its caller",
		[UW_STOP_PENDING] = "taken before the file's unwind table was loaded",
		[UW_STOP_READ] = "stack memory that could not be read",
		[UW_STOP_STUCK] = "a caller that is not further out (broken stack)",
		[UW_STOP_REGISTER] = "the caller's place was in a register that is lost",
		[UW_STOP_PYTHON] = "Python frames that could not be read",
		[UW_STOP_FP] = "walked by frame pointers, perhaps not to the end",
	};

	return (unsigned int)why < UW_STOP_MAX ? texts[why] : NULL;
}

const char *agg_drop_key(enum hp_drop why)
{
	return (unsigned int)why < DROP_MAX ? drop_keys[why] : "";
}

const char *agg_drop_text(enum hp_drop why)
{
	return (unsigned int)why < DROP_MAX ? drop_texts[why] : "";
}
