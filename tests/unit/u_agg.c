/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The aggregates as a whole: endpoints and their edges, outgoing calls, the window's seconds,
 * /proc looks, trust and notes; caps; and that the same input gives the same report.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "agg/core.h"

#define T0 5000000000000ULL
#define MS NSEC_PER_MSEC
#define S NSEC_PER_SEC

static void window(struct agg *a, enum hp_window_what what, u64 ts)
{
	struct ev_window rec = {
		.hdr = { sizeof(rec), EV_WINDOW, 0, 0, 0, ts },
		.unix_ns = 1700000000 * S + (ts - T0),
		.what = what,
		.sample_hz = 99,
		.ncpus = 2,
	};

	agg_record(a, &rec.hdr);
}

static struct agg *agg_with(const struct agg_opts *opts)
{
	struct agg *a;

	assert_int_equal(agg_new(&a, opts), 0);
	window(a, HP_WINDOW_START, T0);
	return a;
}

static const struct agg_report *finish(struct agg *a, u64 ts)
{
	window(a, HP_WINDOW_STOP, ts);
	window(a, HP_WINDOW_END, ts);
	assert_int_equal(agg_finish(a), 0);
	return agg_report(a);
}

static struct http_exchange exchange(const char *method, const char *path, u16 status, u64 start,
				     u64 end)
{
	return (struct http_exchange){
		.conn_id = 1,
		.start_ns = start,
		.end_ns = end,
		.request_bytes = 100,
		.response_bytes = 1000,
		.method = slice_str(method),
		.path = slice_str(path),
		.status = status,
		.role = HP_ROLE_SERVER,
	};
}

static void serve(struct agg *a, const char *method, const char *path, u16 status, u32 flags,
		  u64 start, u64 end)
{
	struct http_exchange x = exchange(method, path, status, start, end);

	x.flags = flags;
	agg_http(a, &x);
}

static const struct agg_endpoint *endpoint(const struct agg_report *r, const char *method,
					   const char *route)
{
	u32 i;

	for (i = 0; i < r->nendpoints; i++)
		if (!strcmp(r->endpoints[i]->method, method) &&
		    !strcmp(r->endpoints[i]->route, route))
			return r->endpoints[i];
	fail_msg("no row for %s %s", method, route);
	return NULL;
}

/* A record with bytes behind it. */
static void record_with(struct agg *a, void *rec, size_t size, u16 kind, u64 ts, const char *tail)
{
	struct ev_hdr *hdr = calloc(1, size + strlen(tail) + 1);

	memcpy(hdr, rec, size);
	memcpy((char *)hdr + size, tail, strlen(tail));
	hdr->kind = kind;
	hdr->ts_ns = ts;
	agg_record(a, hdr);
	free(hdr);
}

static void test_endpoints(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_endpoint *e;
	const struct agg_report *r;
	char path[64];
	u32 i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(path, sizeof(path), "/posts/%u", i);
		serve(a, "GET", path, 200, 0, T0 + i * MS, T0 + i * MS + (i + 1) * 1000);
	}
	serve(a, "GET", "/posts/7", 404, 0, T0 + S, T0 + S + MS);
	serve(a, "GET", "/posts/8", 500, 0, T0 + S, T0 + S + MS);
	serve(a, "GET", "/posts/8", 503, SPAN_ABORTED, T0 + S, T0 + S + MS);
	serve(a, "GET", "/posts/8", 200, SPAN_ABORTED, T0 + S, T0 + S + MS);
	serve(a, "GET", "/posts/9", 200, SPAN_GAP, T0 + S, T0 + 9 * S);
	serve(a, "POST", "/posts/1", 201, 0, T0 + S, T0 + S + MS);
	/* The edges: none of these may leave a trace anywhere else. */
	serve(a, "GET", "/posts/1", 500, SPAN_AT_ATTACH, 0, T0 + S);
	serve(a, "GET", "/posts/1", 0, SPAN_AT_DETACH, T0 + S, T0 + 100 * S);
	serve(a, "", "", 200, SPAN_AT_ATTACH, 0, T0 + S);
	serve(a, "", "", 0, SPAN_AT_ATTACH | SPAN_AT_DETACH, 0, 0);
	r = finish(a, T0 + 10 * S);

	assert_int_equal(r->nendpoints, 3);
	e = r->endpoints[0];
	assert_string_equal(e->method, "GET");
	assert_string_equal(e->route, "/posts/{id}");
	assert_int_equal(e->source, AGG_ROUTE_CLUSTERED);
	assert_int_equal(e->count, 105);
	assert_int_equal(e->errors, 2);
	assert_int_equal(e->aborted, 2);
	assert_int_equal(e->untimed, 1);
	assert_int_equal(e->at_attach, 1);
	assert_int_equal(e->at_detach, 1);
	assert_int_equal(e->request_bytes, 10500);
	assert_int_equal(e->response_bytes, 105000);
	assert_int_equal(e->nstatus, 4);
	assert_int_equal(e->status[0].status, 200);
	assert_int_equal(e->status[0].n, 102);
	assert_int_equal(e->status[3].status, 503);
	assert_int_equal(e->latency.count, 104);
	assert_true(fabs(hist_quantile(&e->latency, 0.5) / 52000 - 1) < 0.02);
	e = endpoint(r, "POST", "/posts/{id}");
	assert_int_equal(e->count, 1);
	assert_int_equal(e->status[0].status, 201);
	e = endpoint(r, "", "(unknown)");
	assert_int_equal(e->count, 0);
	assert_int_equal(e->at_attach, 2);
	assert_int_equal(e->at_detach, 0);
	assert_int_equal(e->nstatus, 0);

	assert_int_equal(r->requests, 106);
	assert_int_equal(r->errors, 2);
	assert_int_equal(r->aborted, 2);
	assert_int_equal(r->at_attach, 3);
	assert_int_equal(r->at_detach, 1);
	assert_int_equal(r->latency.count, 105);
	assert_int_equal(r->ntargets, 1);
	assert_int_equal(r->targets[0].latency.count, 105);
	assert_int_equal(r->targets[0].requests, 106);
	assert_true(r->latency.max == 1.0 * MS);
	assert_true(r->window.duration_s == 10.0);
	agg_free(a);
}

static void assert_route_of(const struct agg *a, const char *method, const char *path,
			    const char *want)
{
	struct buf out = BUF_INIT;

	buf_adds(&out, "");
	agg_route_of(a, 0, slice_str(method), slice_str(path), &out);
	assert_string_equal(out.p, want);
	buf_release(&out);
}

/* The row budget: paths fold harder, then go to "(other)"; the sum stays exact. */
static void test_endpoint_cap(void **state)
{
	struct agg_opts opts = { .max_endpoints = 30 };
	struct agg *a = agg_with(&opts);
	const struct agg_report *r;
	u64 sum = 0;
	u32 i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/s%c%c/t%c%c/%u", 'a' + i % 13, 'a' + i % 17,
			 'a' + i % 19, 'a' + i % 23, i);
		serve(a, i % 5 ? "GET" : "POST", path, 200, 0, T0 + i, T0 + i + MS);
	}
	/* One method each: more methods than are told apart. */
	for (i = 0; i < 100; i++) {
		char method[16];

		snprintf(method, sizeof(method), "M%u", i);
		serve(a, method, "/x", 200, 0, T0 + i, T0 + i + MS);
	}
	r = finish(a, T0 + S);
	assert_true(r->nendpoints <= 31);
	for (i = 0; i < r->nendpoints; i++)
		sum += r->endpoints[i]->count;
	assert_int_equal(sum, 3100);
	assert_int_equal(r->requests, 3100);
	assert_int_equal(r->latency.count, 3100);
	assert_int_equal(endpoint(r, "GET", "/{name}/{name}/{id}")->count, 2400);
	assert_route_of(a, "GET", "/saa/taa/0", "/{name}/{name}/{id}");
	assert_route_of(a, "GET", "/saa/taa/0/more", "(other)");
	assert_route_of(a, "", "", "(unknown)");
	agg_free(a);
}

static struct conn_info conn_of(u64 id, const char *peer, const char *proto, u8 role, u64 open)
{
	return (struct conn_info){
		.conn_id = id,
		.open_ns = open,
		.established_ns = open + 2 * MS,
		.proto = proto,
		.peer = slice_str(peer),
		.local = slice_str("127.0.0.1:8000"),
		.reason = "",
		.role = role,
		.origin = role == HP_ROLE_CLIENT ? HP_ORIGIN_CONNECT : HP_ORIGIN_ACCEPT,
		.family = AF_INET,
	};
}

static void conn_end(struct agg *a, struct conn_info c, u8 status, u64 close, u64 sent, u64 got)
{
	c.status = status;
	c.close_ns = close;
	c.bytes[HP_SEND] = sent;
	c.bytes[HP_RECV] = got;
	c.ended = true;
	agg_conn(a, &c);
}

static void test_external(void **state)
{
	struct agg *a = agg_with(NULL);
	struct conn_info api = conn_of(7, "10.0.0.9:80", "http", HP_ROLE_CLIENT, T0);
	struct conn_info redis = conn_of(8, "10.0.0.10:6379", "", HP_ROLE_CLIENT, T0);
	struct conn_info tls = conn_of(9, "1.2.3.4:443", "", HP_ROLE_CLIENT, T0);
	struct conn_info refused = conn_of(10, "10.0.0.10:6379", "", HP_ROLE_CLIENT, T0);
	struct conn_info idle = conn_of(11, "10.0.0.11:9999", "", HP_ROLE_CLIENT, T0 - S);
	const struct agg_external *e;
	const struct agg_report *r;
	u32 i;

	(void)state;
	agg_conn(a, &api);
	agg_conn(a, &redis);
	agg_conn(a, &tls);
	idle.origin = HP_ORIGIN_SEED;
	agg_conn(a, &idle);
	for (i = 0; i < 10; i++) {
		struct http_exchange x =
			exchange("GET", "/price/1", 200, T0 + i * MS, T0 + i * MS + 500000);

		x.role = HP_ROLE_CLIENT;
		x.conn_id = 7;
		x.status = i == 3 ? 500 : 200;
		x.flags = i == 4 ? SPAN_ABORTED | SPAN_TIMEOUT : i == 5 ? SPAN_AT_DETACH : 0;
		agg_http(a, &x);
	}
	conn_end(a, api, CONN_PARSED, T0 + S, 5, 5);
	conn_end(a, redis, CONN_UNPARSED, T0 + S, 300, 400);
	conn_end(a, tls, CONN_ENCRYPTED, 0, 1000, 2000);
	refused.established_ns = 0;
	refused.err = ECONNREFUSED;
	conn_end(a, refused, CONN_UNDECIDED, T0 + S, 0, 0);
	conn_end(a, idle, CONN_UNDECIDED, 0, 0, 0);
	r = finish(a, T0 + 2 * S);

	assert_int_equal(r->nendpoints, 0);
	assert_int_equal(r->nexternal, 3);
	e = r->external[0];
	assert_string_equal(e->protocol, "http");
	assert_string_equal(e->method, "GET");
	assert_string_equal(e->peer, "10.0.0.9:80");
	assert_string_equal(e->route, "/price/{id}");
	assert_int_equal(e->count, 9);
	assert_int_equal(e->errors, 2);
	assert_int_equal(e->timeouts, 1);
	assert_int_equal(e->at_detach, 1);
	assert_int_equal(e->latency.count, 9);
	assert_int_equal(e->connect.count, 1);
	assert_true(e->connect.max == 2.0 * MS);
	assert_int_equal(e->sent, 900);
	e = r->external[1];
	assert_string_equal(e->protocol, "tcp");
	assert_string_equal(e->peer, "10.0.0.10:6379");
	assert_string_equal(e->route, "");
	assert_int_equal(e->count, 2);
	assert_int_equal(e->errors, 1);
	assert_int_equal(e->sent, 300);
	assert_int_equal(e->received, 400);
	assert_int_equal(e->connect.count, 1);
	e = r->external[2];
	assert_string_equal(e->protocol, "tls");
	assert_int_equal(e->received, 2000);
	/* Not HTTP, so nothing to count against the requests. */
	assert_int_equal(r->requests, 0);
	assert_int_equal(r->trust.conns.seen, 5);
	assert_int_equal(r->trust.conns.undecided, 2);
	assert_int_equal(r->trust.nby_peer, 2);
	agg_free(a);
}

static void test_blocks(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_report *r;
	struct agg_live live;
	u32 i;

	(void)state;
	for (i = 0; i < 100; i++)
		serve(a, "GET", "/", 200, 0, T0 + 10 * MS, T0 + 10 * MS + (i + 1) * MS);
	for (i = 0; i < 50; i++)
		serve(a, "GET", "/", 500, 0, T0 + 2 * S, T0 + 2 * S + 20 * MS);
	serve(a, "GET", "/", 200, SPAN_AT_ATTACH, 0, T0 + 2 * S);
	agg_live(a, &live);
	assert_int_equal(live.requests, 150);
	assert_int_equal(live.errors, 50);
	assert_true(live.rate == 0); /* of second 1 */
	assert_true(fabs(live.p95_ns / (95.0 * MS) - 1) < 0.011);
	window(a, 0, T0 + 3 * S);
	agg_live(a, &live);
	assert_true(live.rate == 50);
	assert_true(fabs(live.p95_ns / (20.0 * MS) - 1) < 0.011);
	r = finish(a, T0 + 5 * S + 20 * MS);
	assert_int_equal(r->window.nblocks, 5); /* the sliver belongs to the fifth */
	assert_int_equal(r->window.block_s, 1);
	assert_int_equal(r->window.blocks[0].requests, 100);
	assert_true(fabs(r->window.blocks[0].p50_ns / (50.0 * MS) - 1) < 0.011);
	assert_true(fabs(r->window.blocks[0].p95_ns / (95.0 * MS) - 1) < 0.011);
	assert_int_equal(r->window.blocks[1].requests, 0);
	assert_true(r->window.blocks[1].p50_ns == 0);
	assert_true(r->window.blocks[1].cpu_ratio == -1);
	assert_int_equal(r->window.blocks[2].requests, 50);
	assert_int_equal(r->window.start_unix_ns, 1700000000 * S);
	assert_true(r->window.complete);
	agg_free(a);
}

/* A window of three hours: blocks of four seconds, and nothing missing. */
static void test_blocks_coarsen(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_report *r;
	u64 sum = 0;
	u32 i;

	(void)state;
	for (i = 0; i < 10800; i++)
		serve(a, "GET", "/", 200, 0, T0 + i * S, T0 + i * S + MS);
	r = finish(a, T0 + 10800 * S);
	assert_int_equal(r->window.block_s, 4);
	assert_int_equal(r->window.nblocks, 2700);
	for (i = 0; i < r->window.nblocks; i++) {
		assert_int_equal(r->window.blocks[i].requests, 4);
		sum += r->window.blocks[i].requests;
	}
	assert_int_equal(sum, 10800);
	assert_int_equal(r->latency.count, 10800);
	agg_free(a);
}

static void look(struct agg *a, u16 target, u64 ts, u64 rss, u64 cpu_ns, u64 faults)
{
	struct ev_resource rec = {
		.hdr = { sizeof(rec), EV_RESOURCE, target, 0, 0, ts },
		.rss_bytes = rss,
		.vms_bytes = rss * 2,
		.cpu_total_ns = cpu_ns,
		.minor_faults_total = faults,
		.read_bytes_total = faults * 2,
		.threads = 4,
		.fds = 10,
		.processes = 1,
		.io_known = 1,
	};

	agg_record(a, &rec.hdr);
}

static void test_resources(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_resources *s;
	const struct agg_report *r;

	(void)state;
	look(a, 0, T0, 100, 50 * S, 1000);
	look(a, 1, T0, 1000, 10 * S, 0);
	look(a, 0, T0 + S, 300, 50 * S + 500 * MS, 1100);
	look(a, 1, T0 + S, 1000, 11 * S, 10);
	/* Late: its use spreads over the seconds it covers. */
	look(a, 0, T0 + 3 * S, 200, 50 * S + 700 * MS, 1200);
	look(a, 1, T0 + 3 * S, 1000, 11 * S, 10);
	r = finish(a, T0 + 3 * S);
	s = &r->resources;
	assert_int_equal(s->samples, 3);
	assert_int_equal(s->nseries, 3);
	assert_true(s->rss_bytes.min == 1100);
	assert_true(s->rss_bytes.max == 1300);
	assert_true(s->rss_bytes.mean == 1200);
	assert_true(s->vms_bytes.max == 2600);
	assert_true(s->threads.mean == 8);
	assert_true(s->processes.max == 2);
	assert_int_equal(s->cpu_ns, 1700 * MS);
	assert_true(fabs(s->cpu_ratio.max - 1.5) < 1e-9);
	assert_true(fabs(s->cpu_ratio.min - 0.1) < 1e-9);
	assert_true(fabs(s->cpu_ratio.mean - 1.7 / 3) < 1e-9);
	assert_int_equal(s->minor_faults, 210);
	assert_int_equal(s->read_bytes, 420);
	assert_true(s->series[1].t_s == 1.0);
	assert_true(fabs(s->series[1].cpu_ratio - 1.5) < 1e-9);
	assert_int_equal(r->window.nblocks, 3);
	assert_true(fabs(r->window.blocks[0].cpu_ratio - 1.5) < 1e-6);
	assert_true(fabs(r->window.blocks[1].cpu_ratio - 0.1) < 1e-6);
	assert_true(fabs(r->window.blocks[2].cpu_ratio - 0.1) < 1e-6);
	agg_free(a);
}

/* Its processes have ended: what they had counted stays, and there is nothing to gauge any more. */
static void test_target_ends(void **state)
{
	struct ev_resource gone = {
		.hdr = { sizeof(gone), EV_RESOURCE, 0, 0, 0, T0 + 2 * S },
		.cpu_total_ns = 52 * S,
	};
	struct agg *a = agg_with(NULL);
	const struct agg_resources *s;

	(void)state;
	look(a, 0, T0, 100, 50 * S, 1000);
	look(a, 0, T0 + S, 300, 51 * S, 1100);
	agg_record(a, &gone.hdr);
	s = &finish(a, T0 + 3 * S)->resources;
	assert_true(s->rss_bytes.min == 100 && s->rss_bytes.mean == 200);
	assert_true(s->vms_bytes.min == 200 && s->threads.min == 4 && s->fds.min == 10);
	assert_true(s->processes.mean == 1);
	assert_int_equal(s->cpu_ns, 2 * S);
	agg_free(a);
}

static void test_series_is_bounded(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_resources *s;
	u32 i;

	(void)state;
	for (i = 0; i < 10000; i++)
		look(a, 0, T0 + i * S, 100, i * MS, 0);
	s = &finish(a, T0 + 10000 * S)->resources;
	assert_int_equal(s->samples, 10000);
	assert_true(s->nseries > 1800 && s->nseries <= 3600);
	for (i = 1; i < s->nseries; i++)
		assert_true(s->series[i].t_s - s->series[i - 1].t_s ==
			    s->series[1].t_s - s->series[0].t_s);
	agg_free(a);
}

static void test_targets(void **state)
{
	struct agg *a = agg_with(NULL);
	struct ev_target t = { .hdr = { .tgid = 500 },
			       .started_unix_ms = 77,
			       .cmdline_len = 5,
			       .exe_len = 4,
			       .runtime_len = 6,
			       .service_len = 3 };
	struct ev_proc p = { .hdr = { .kind = EV_PROC, .tgid = 499, .ts_ns = T0 },
			     .what = HP_PROC_FORK,
			     .parent_tgid = 500 };
	const struct agg_report *r;
	u32 i;

	(void)state;
	record_with(a, &t, sizeof(t), EV_TARGET, T0, "a b\nc/binpythonweb");
	t.hdr.tgid = 501;
	record_with(a, &t, sizeof(t), EV_TARGET, T0, "other/xxxxxxxxxyyy");
	agg_record(a, &p.hdr);
	agg_record(a, &p.hdr);
	t.hdr.target = 3;
	t.hdr.tgid = 9;
	record_with(a, &t, sizeof(t), EV_TARGET, T0, "other/xxxxxxxxxyyy");
	p.hdr.target = 3;
	for (i = 0; i < 5000; i++) {
		p.hdr.tgid = 10000 - i;
		agg_record(a, &p.hdr);
	}
	p.hdr.tgid = 9;
	p.what = HP_PROC_EXIT;
	p.exit_code = 9;
	agg_record(a, &p.hdr);
	p.hdr.target = 60000;
	agg_record(a, &p.hdr);
	r = finish(a, T0 + S);
	assert_int_equal(r->ntargets, 2);
	assert_string_equal(r->targets[0].cmdline, "a b.c");
	assert_string_equal(r->targets[0].exe, "/bin");
	assert_string_equal(r->targets[0].runtime, "python");
	assert_string_equal(r->targets[0].service, "web");
	assert_int_equal(r->targets[0].pid, 500);
	assert_int_equal(r->targets[0].npids, 3);
	assert_int_equal(r->targets[0].pids[0], 499);
	assert_int_equal(r->targets[0].pids[2], 501);
	assert_false(r->targets[0].exited);
	assert_int_equal(r->targets[1].id, 3);
	assert_int_equal(r->targets[1].npids, AGG_PIDS_MAX);
	assert_int_equal(r->targets[1].pids_more, 5001 - AGG_PIDS_MAX);
	assert_true(r->targets[1].exited);
	for (i = 0; i < r->trust.nnotes; i++)
		if (!strcmp(r->trust.notes[i], "process 9 was ended by signal 9 inside the window"))
			break;
	assert_true(i < r->trust.nnotes);
	agg_free(a);
}

static void loss(struct agg *a, u64 events, u64 ring_full)
{
	struct {
		struct ev_loss rec;
		u64 n[DROP_MAX];
	} u = {
		.rec = { .hdr = { .kind = EV_LOSS, .ts_ns = T0 }, .events = events, .n = DROP_MAX }
	};

	u.n[DROP_RING_FULL] = ring_full;
	u.n[DROP_SEGMENTS] = 2;
	agg_record(a, &u.rec.hdr);
}

static void test_trust(void **state)
{
	struct agg *a = agg_with(NULL);
	struct ev_note note = { .len = 5 };
	struct ev_config config = { .len = 3 };
	struct ev_cost cost = { .hdr = { .kind = EV_COST, .ts_ns = T0 }, .method = 1 };
	const struct agg_trust *t;
	const struct agg_report *r;
	u32 i;

	(void)state;
	loss(a, 1000, 3);
	loss(a, 5000, 7);
	loss(a, 5000, 7);
	agg_drop(a, DROP_PIPELINE_FULL, 4);
	agg_drop(a, DROP_RING_FULL, 1);
	agg_drop(a, DROP_MAX, 1);
	cost.bpf_ns = 20 * MS;
	cost.collector_cpu_ns = 30 * MS;
	cost.target_cpu_ns = S;
	agg_record(a, &cost.hdr);
	cost.collector_cpu_ns = 0;
	cost.analyst_cpu_ns = 70 * MS;
	agg_record(a, &cost.hdr);
	record_with(a, &note, sizeof(note), EV_NOTE, T0, "hello");
	record_with(a, &note, sizeof(note), EV_NOTE, T0, "hello");
	record_with(a, &config, sizeof(config), EV_CONFIG, T0, "a=1");
	config.len = 4;
	record_with(a, &config, sizeof(config), EV_CONFIG, T0, "b=2\n");
	r = finish(a, T0 + 2 * S);
	t = &r->trust;
	assert_int_equal(t->events, 5000);
	assert_int_equal(t->lost[DROP_RING_FULL], 8);
	assert_int_equal(t->lost[DROP_PIPELINE_FULL], 4);
	assert_int_equal(t->lost[DROP_SEGMENTS], 2);
	assert_int_equal(t->lost_events, 8);
	assert_true(t->overhead.measured);
	assert_true(fabs(t->overhead.target_ratio - 0.02) < 1e-12);
	assert_int_equal(t->overhead.agent_ns, 100 * MS);
	assert_true(fabs(t->overhead.agent_cores - 0.05) < 1e-12);
	assert_string_equal(r->config, "a=1\nb=2\n");
	assert_string_equal(t->notes[0], "lost: 8 records that did not fit into the ring buffer");
	for (i = 0; i < t->nnotes && strcmp(t->notes[i], "hello"); i++)
		;
	assert_true(i < t->nnotes);
	assert_string_equal(agg_drop_key(DROP_RING_FULL), "ring_full");
	assert_string_equal(agg_drop_key(DROP_MAX), "");
	agg_free(a);
}

/* A stream that is cut, or empty, still gives a report that says so. */
static void test_cut_stream(void **state)
{
	const struct agg_report *r;
	struct agg *a;

	(void)state;
	a = agg_with(NULL);
	serve(a, "GET", "/", 200, 0, T0, T0 + 1500 * MS);
	assert_int_equal(agg_finish(a), 0);
	r = agg_report(a);
	assert_false(r->window.complete);
	assert_true(r->window.duration_s == 1.5);
	assert_string_equal(
		r->trust.notes[0],
		"the stream ends before its last record: the end of the window is missing");
	agg_free(a);

	assert_int_equal(agg_new(&a, NULL), 0);
	assert_int_equal(agg_finish(a), 0);
	r = agg_report(a);
	assert_int_equal(r->nendpoints, 0);
	assert_int_equal(r->window.nblocks, 0);
	assert_string_equal(r->config, "");
	agg_free(a);
}

static u32 rnd(u64 *seed)
{
	*seed = hash_u64(*seed + 0x9e3779b97f4a7c15ULL);
	return (u32)*seed;
}

/* Anything the stages before can send, in any order, with any values. */
static void random_feed(struct agg *a, u64 seed)
{
	static const char *const peers[] = { "a:1", "b:2", "c\x01:3", "" };
	static const char *const protos_[] = { "", "http", "postgresql" };
	u32 i;

	for (i = 0; i < 20000; i++) {
		u64 t = T0 + (rnd(&seed) % 50 ? i * MS : (u64)rnd(&seed) << 20);
		u64 id = rnd(&seed) % 40;
		char text[40];

		snprintf(text, sizeof(text), "/p%u/q%u", rnd(&seed) % 60, rnd(&seed) % 90);
		switch (rnd(&seed) % 5) {
		case 0: {
			struct conn_info c =
				conn_of(id, peers[rnd(&seed) % 4], protos_[rnd(&seed) % 3],
					(u8)(rnd(&seed) % 3), t);

			c.status = (u8)(rnd(&seed) % 4);
			c.origin = (u8)(1 + rnd(&seed) % 4);
			c.ended = rnd(&seed) % 2;
			c.close_ns = c.ended && rnd(&seed) % 2 ? t + MS : 0;
			agg_conn(a, &c);
			break;
		}
		case 1: {
			struct db_event e = { .conn_id = id,
					      .ts_ns = t,
					      .user = slice_str("u"),
					      .database = slice_str(text),
					      .what = (u8)(rnd(&seed) % 7),
					      .txn = (u8) "ITE"[rnd(&seed) % 3] };

			agg_db_event(a, &e);
			break;
		}
		case 2: {
			struct db_call c = { .conn_id = id,
					     .start_ns = rnd(&seed) % 9 ? t : 0,
					     .end_ns = t + rnd(&seed) % (20 * MS) - MS,
					     .first_row_ns = rnd(&seed) % 2 ? t + 5 : 0,
					     .sql = slice_str(text),
					     .flags = rnd(&seed) % 4 ? 0 : rnd(&seed) & 511,
					     .target = (u16)(rnd(&seed) % 3),
					     .error = rnd(&seed) % 7 == 0,
					     .txn = (u8) "ITE\0"[rnd(&seed) % 4] };

			agg_db(a, &c);
			break;
		}
		default: {
			struct http_exchange x = exchange(rnd(&seed) % 5 ? "GET" : "PUT", text,
							  (u16)(rnd(&seed) % 700), t,
							  t + rnd(&seed) % (50 * MS) - MS);

			x.conn_id = id;
			x.role = (u8)(rnd(&seed) % 3);
			x.target = (u16)(rnd(&seed) % 50 ? rnd(&seed) % 3 : rnd(&seed));
			x.flags = rnd(&seed) % 4 ? 0 : rnd(&seed) & 511;
			agg_http(a, &x);
		}
		}
	}
}

static void dump(const struct agg_report *r, struct buf *out)
{
	u32 i;

	for (i = 0; i < r->nendpoints; i++)
		buf_addf(out, "%u %s %s %lu %lu %g\n", r->endpoints[i]->target,
			 r->endpoints[i]->method, r->endpoints[i]->route,
			 (unsigned long)r->endpoints[i]->count,
			 (unsigned long)r->endpoints[i]->at_detach, r->endpoints[i]->latency.sum);
	for (i = 0; i < r->nqueries; i++)
		buf_addf(out, "%s %s %s %s %lu\n", r->queries[i]->peer, r->queries[i]->database,
			 r->queries[i]->statement, r->queries[i]->fingerprint,
			 (unsigned long)r->queries[i]->count);
	for (i = 0; i < r->npools; i++)
		buf_addf(out, "%s %s %u %u %lu\n", r->pools[i]->peer, r->pools[i]->database,
			 r->pools[i]->open_max, r->pools[i]->in_use_max,
			 (unsigned long)r->pools[i]->idle_in_txn_max_ns);
	for (i = 0; i < r->nexternal; i++)
		buf_addf(out, "%s %s %s %lu\n", r->external[i]->peer, r->external[i]->method,
			 r->external[i]->route, (unsigned long)r->external[i]->count);
	for (i = 0; i < r->trust.nby_peer; i++)
		buf_addf(out, "%s %u %lu\n", r->trust.by_peer[i].address,
			 r->trust.by_peer[i].status, (unsigned long)r->trust.by_peer[i].conns);
	for (i = 0; i < r->window.nblocks; i++)
		buf_addf(out, "%lu %g\n", (unsigned long)r->window.blocks[i].requests,
			 r->window.blocks[i].p95_ns);
	for (i = 0; i < r->trust.nnotes; i++)
		buf_addf(out, "%s\n", r->trust.notes[i]);
}

static void test_same_input_same_report(void **state)
{
	struct agg_opts opts = { .max_endpoints = 100, .max_queries = 50, .max_external = 50 };
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 5; seed++) {
		struct buf text[2] = { BUF_INIT, BUF_INIT };
		u32 i, j;

		for (i = 0; i < 2; i++) {
			struct agg *a = agg_with(&opts);
			const struct agg_report *r;
			struct agg_live live;
			u64 calls = 0;

			random_feed(a, seed);
			agg_live(a, &live);
			r = finish(a, T0 + 60 * S);
			dump(r, &text[i]);
			assert_int_equal(r->requests, live.requests);
			assert_int_equal(r->calls, live.calls);
			for (j = 0; j < r->nexternal; j++)
				if (!strcmp(r->external[j]->protocol, "http"))
					calls += r->external[j]->count;
			assert_int_equal(calls, live.external);
			agg_free(a);
		}
		assert_true(text[0].n > 1000);
		assert_string_equal(text[0].p, text[1].p);
		buf_release(&text[0]);
		buf_release(&text[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_endpoints),
		cmocka_unit_test(test_endpoint_cap),
		cmocka_unit_test(test_external),
		cmocka_unit_test(test_blocks),
		cmocka_unit_test(test_blocks_coarsen),
		cmocka_unit_test(test_resources),
		cmocka_unit_test(test_target_ends),
		cmocka_unit_test(test_series_is_bounded),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_trust),
		cmocka_unit_test(test_cut_stream),
		cmocka_unit_test(test_same_input_same_report),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
