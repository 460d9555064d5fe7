/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates of known content for the tests of the outputs, fed through the same door as a session:
 * records, connections, exchanges and calls. hostile = true puts bytes into every text that try to
 * leave their field in one of the formats.
 */
#ifndef TESTS_OUT_SAMPLE_H
#define TESTS_OUT_SAMPLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agg/agg.h"

#define SAMPLE_START (1000 * NSEC_PER_SEC)
#define SAMPLE_SECONDS 10
#define SAMPLE_TGID 4242

#define EVIL "\x1b[31m|`\n\r\t\"\\<script>&]]>';\xff\xc0\xaf\xe2\x80\xae*_[x](y)#"

struct sample {
	struct agg *agg;
	bool hostile;
};

static struct slice sample_text(const struct sample *s, const char *plain)
{
	static char evil[8][200];
	static unsigned turn;
	char *p = evil[turn++ % 8];

	if (!s->hostile)
		return slice_str(plain);
	return slice_of(p, (size_t)snprintf(p, sizeof(evil[0]), "%s" EVIL, plain));
}

/* A zeroed record of the kind with room for extra bytes behind its struct. */
static void *sample_record(u16 kind, size_t size, size_t extra, u64 ts_ns)
{
	size_t all = (size + extra + 7) & ~(size_t)7;
	struct ev_hdr *h = calloc(1, all);

	h->size = (u32)all;
	h->kind = kind;
	h->tgid = h->tid = SAMPLE_TGID;
	h->ts_ns = ts_ns;
	return h;
}

static void sample_feed(struct sample *s, void *rec)
{
	agg_record(s->agg, rec);
	free(rec);
}

static void sample_window(struct sample *s, u32 what, u64 ts_ns)
{
	struct ev_window *w = sample_record(EV_WINDOW, sizeof(*w), 0, ts_ns);

	w->unix_ns = 1700000000 * NSEC_PER_SEC + (ts_ns - SAMPLE_START);
	w->what = what;
	w->sample_hz = 99;
	w->ncpus = 2;
	w->boot_unix_ns = w->unix_ns - ts_ns;
	sample_feed(s, w);
}

static void sample_target(struct sample *s)
{
	struct slice text[4] = { sample_text(s, "uvicorn app:app --port 8000"),
				 sample_text(s, "/usr/bin/python3.11"),
				 sample_text(s, "python 3.11"), sample_text(s, "uvicorn app:app") };
	size_t n = text[0].n + text[1].n + text[2].n + text[3].n;
	struct ev_target *t = sample_record(EV_TARGET, sizeof(*t), n, SAMPLE_START);
	char *p = (char *)(t + 1);
	int i;

	t->started_unix_ms = 1699999000000;
	t->root_tgid = SAMPLE_TGID;
	t->cmdline_len = (u16)text[0].n;
	t->exe_len = (u16)text[1].n;
	t->runtime_len = (u16)text[2].n;
	t->service_len = (u16)text[3].n;
	for (i = 0; i < 4; i++) {
		memcpy(p, text[i].p, text[i].n);
		p += text[i].n;
	}
	sample_feed(s, t);
}

static void sample_symbol(struct sample *s, u32 tgid, u64 start, const char *name,
			  const char *module)
{
	struct slice n = sample_text(s, name), m = sample_text(s, module);
	struct ev_symbol *e = sample_record(EV_SYMBOL, sizeof(*e), n.n + m.n, SAMPLE_START);

	e->hdr.tgid = tgid;
	e->start = start;
	e->end = start + 0x100;
	e->name_len = (u16)n.n;
	e->module_len = (u16)m.n;
	memcpy((char *)(e + 1), n.p, n.n);
	memcpy((char *)(e + 1) + n.n, m.p, m.n);
	sample_feed(s, e);
}

/* Innermost first; a kernel frame on every third. */
static void sample_stack(struct sample *s, u32 i)
{
	u64 addrs[4] = { 0xffffffff81000010, 0x401010, 0x402020, 0x403030 };
	u16 n = i % 3 ? 3 : 4, k;
	struct ev_sample *e = sample_record(EV_SAMPLE, sizeof(*e), n * sizeof(struct ev_frame),
					    SAMPLE_START + i * 10 * NSEC_PER_MSEC);
	struct ev_frame *f = (struct ev_frame *)(e + 1);

	e->nframes = n;
	e->unwind = HP_UNWIND_FP;
	snprintf(e->comm, sizeof(e->comm), "%s", s->hostile ? "ev;il\x1b[0m<&|" : "uvicorn");
	for (k = 0; k < n; k++) {
		f[k].addr = addrs[k + 4 - n];
		f[k].kind = k + 4 - n ? HP_FRAME_NATIVE : HP_FRAME_KERNEL;
	}
	sample_feed(s, e);
}

/* Delivered when it opens, and once more when the window is over. */
static void sample_conn(struct sample *s, u64 id, u8 role, u8 status, const char *proto,
			const char *peer, const char *reason, bool ended)
{
	struct slice p = sample_text(s, peer);
	struct conn_info c = {
		.conn_id = id,
		.open_ns = SAMPLE_START + NSEC_PER_MSEC,
		.established_ns = SAMPLE_START + 2 * NSEC_PER_MSEC,
		.bytes = { 1000, 2000 },
		.proto = proto,
		.peer = p,
		.local = SLICE("127.0.0.1:8000"),
		.reason = reason,
		.tgid = SAMPLE_TGID,
		.role = role,
		.origin = role == HP_ROLE_SERVER ? HP_ORIGIN_ACCEPT : HP_ORIGIN_CONNECT,
		.status = status,
		.family = 2,
		.ended = ended,
	};

	agg_conn(s->agg, &c);
}

static u32 sample_http(struct sample *s, u64 conn, u8 role, const char *method, const char *path,
		       u16 status, u64 start_ms, double ms, u32 flags)
{
	struct slice p = sample_text(s, path);
	struct http_exchange x = {
		.conn_id = conn,
		.start_ns = SAMPLE_START + start_ms * NSEC_PER_MSEC,
		.request_bytes = 120,
		.response_bytes = 900,
		.method = slice_str(method),
		.path = p,
		.host = sample_text(s, "example.test"),
		.flags = flags,
		.tid = SAMPLE_TGID,
		.tgid = SAMPLE_TGID,
		.status = status,
		.role = role,
		.http_minor = 1,
	};

	x.read_ns = x.start_ns;
	x.end_ns = x.start_ns + (u64)(ms * 1e6);
	x.first_ns = x.end_ns;
	return agg_http(s->agg, &x);
}

static const struct agg_query *sample_db(struct sample *s, u64 conn, const char *sql, u64 trip,
					 u64 start_ms, double ms, u64 rows, const char *sqlstate)
{
	struct slice text = sample_text(s, sql);
	struct db_call c = {
		.conn_id = conn,
		.start_ns = SAMPLE_START + start_ms * NSEC_PER_MSEC,
		.round_trip = trip,
		.rows = rows,
		.sql = text,
		.kind = DB_EXECUTE,
		.txn = 'I',
		.tid = SAMPLE_TGID,
		.tgid = SAMPLE_TGID,
		.error = *sqlstate != 0,
		.first_in_trip = true,
		.trips = 1,
	};

	memcpy(c.sqlstate, sqlstate, strlen(sqlstate) + 1);
	c.end_ns = c.start_ns + (u64)(ms * 1e6);
	c.first_row_ns = rows ? c.end_ns - 1000 : 0;
	return agg_db(s->agg, &c);
}

/* n calls one after the other, of a request. */
static void sample_bound(struct sample *s, u32 row, const struct agg_query *q, u32 n, u64 start_ms)
{
	u64 at = SAMPLE_START + start_ms * NSEC_PER_MSEC;

	agg_bound_request(s->agg, row, UINT64_MAX, false);
	while (n--) {
		agg_bound_call(s->agg, q, at, at + NSEC_PER_MSEC, 1);
		at += 2 * NSEC_PER_MSEC;
	}
}

static void sample_conns(struct sample *s, bool ended)
{
	sample_conn(s, 1, HP_ROLE_SERVER, CONN_PARSED, "http", "127.0.0.1:50000", "", ended);
	sample_conn(s, 2, HP_ROLE_CLIENT, CONN_PARSED, "postgresql", "/run/postgresql/.s.PGSQL", "",
		    ended);
	sample_conn(s, 3, HP_ROLE_CLIENT, CONN_PARSED, "http", "10.0.0.9:80", "", ended);
	sample_conn(s, 4, HP_ROLE_CLIENT, CONN_UNPARSED, "", "10.0.0.9:6000", "no known protocol",
		    ended);
}

static void sample_traffic(struct sample *s)
{
	struct db_event login = { .conn_id = 2,
				  .ts_ns = SAMPLE_START + NSEC_PER_MSEC,
				  .user = sample_text(s, "app"),
				  .database = sample_text(s, "shop"),
				  .what = DB_EVENT_LOGIN };
	const struct agg_query *q;
	u32 i, row;

	sample_conns(s, false);
	agg_db_event(s->agg, &login);
	for (i = 0; i < 400; i++) {
		row = sample_http(s, 1, HP_ROLE_SERVER, "GET", "/items", 200, 20 + i * 20,
				  2 + (i % 10) * 0.5, 0);
		q = sample_db(s, 2, "SELECT id, name FROM items WHERE id = $1", i + 1, 21 + i * 20,
			      0.4 + (i % 7) * 0.1, 1, "");
		sample_bound(s, row, q, i < 280, 21 + i * 20);
	}
	for (i = 0; i < 20; i++) {
		row = sample_http(s, 1, HP_ROLE_SERVER, "POST", "/orders", i % 5 ? 201 : 500,
				  9000 + i * 20, 40 + i, 0);
		sample_bound(s, row, q, 3 + i % 6, 9000 + i * 20);
	}
	agg_bound_calls(s->agg, 390, 11, 0);
	sample_http(s, 1, HP_ROLE_SERVER, "GET", "/slow", 200, 9500, 480, SPAN_ABORTED);
	sample_http(s, 1, HP_ROLE_SERVER, "GET", "/items", 200, 0, 5, SPAN_AT_ATTACH);
	sample_http(s, 1, HP_ROLE_SERVER, "GET", "/items", 0, 9990, 5, SPAN_AT_DETACH);
	sample_db(s, 2, "INSERT INTO orders (id, note) VALUES ($1, $2)", 401, 9100, 3.2, 0,
		  "23505");
	sample_http(s, 3, HP_ROLE_CLIENT, "GET", "/rates", 200, 9200, 30, 0);
	sample_http(s, 3, HP_ROLE_CLIENT, "GET", "/rates", 503, 9300, 31, 0);
	sample_conns(s, true);
}

static void sample_readings(struct sample *s)
{
	struct ev_loss *loss;
	struct ev_cost *cost;
	u64 *drops;
	u32 i;

	for (i = 0; i <= SAMPLE_SECONDS; i++) {
		struct ev_resource *r =
			sample_record(EV_RESOURCE, sizeof(*r), 0, SAMPLE_START + i * NSEC_PER_SEC);

		r->rss_bytes = (50 + i) << 20;
		r->vms_bytes = 400 << 20;
		r->cpu_total_ns = i * 600 * NSEC_PER_MSEC;
		r->minor_faults_total = i * 10;
		r->major_faults_total = i / 5;
		r->voluntary_switches_total = i * 1000;
		r->involuntary_switches_total = i * 3;
		r->write_bytes_total = i * 4096;
		r->threads = 8;
		r->fds = 30 + i;
		r->processes = 1;
		r->io_known = 1;
		sample_feed(s, r);
	}
	loss = sample_record(EV_LOSS, sizeof(*loss), DROP_MAX * 8,
			     SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC - 1);
	loss->events = 5000;
	loss->n = DROP_MAX;
	drops = (u64 *)(loss + 1);
	drops[DROP_RING_FULL] = 7;
	sample_feed(s, loss);
	cost = sample_record(EV_COST, sizeof(*cost), 0,
			     SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC - 1);
	cost->bpf_ns = 12 * NSEC_PER_MSEC;
	cost->bpf_runs = 9000;
	cost->collector_cpu_ns = 20 * NSEC_PER_MSEC;
	cost->analyst_cpu_ns = 30 * NSEC_PER_MSEC;
	cost->agent_rss_bytes = 20 << 20;
	cost->target_cpu_ns = 6 * NSEC_PER_SEC;
	cost->method = 1;
	sample_feed(s, cost);
}

/* The caller frees with agg_free(). */
static struct agg *sample_agg(bool hostile)
{
	struct sample s = { .hostile = hostile };
	struct ev_note *note;
	struct slice text;
	u32 i;

	if (agg_new(&s.agg, NULL))
		return NULL;
	sample_target(&s);
	sample_symbol(&s, 0, 0xffffffff81000000, "tcp_sendmsg", "kernel");
	sample_symbol(&s, SAMPLE_TGID, 0x401000, "json_dumps", "_json.so");
	sample_symbol(&s, SAMPLE_TGID, 0x402000, "handler", "python3.11");
	sample_symbol(&s, SAMPLE_TGID, 0x403000, "main", "python3.11");
	sample_window(&s, HP_WINDOW_START, SAMPLE_START);
	for (i = 0; i < 300; i++)
		sample_stack(&s, i);
	sample_traffic(&s);
	sample_readings(&s);
	text = sample_text(&s, "a note from the collector");
	note = sample_record(EV_NOTE, sizeof(*note), text.n, SAMPLE_START);
	note->len = (u32)text.n;
	memcpy(note + 1, text.p, text.n);
	sample_feed(&s, note);
	sample_window(&s, HP_WINDOW_STOP, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	sample_window(&s, HP_WINDOW_END, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	if (agg_finish(s.agg)) {
		agg_free(s.agg);
		return NULL;
	}
	return s.agg;
}

/* Nothing but a window of given length, whole or cut. */
static inline struct agg *sample_empty(bool cut)
{
	struct sample s = { 0 };

	if (agg_new(&s.agg, NULL))
		return NULL;
	sample_window(&s, HP_WINDOW_START, SAMPLE_START);
	if (!cut)
		sample_window(&s, HP_WINDOW_END, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	if (agg_finish(s.agg)) {
		agg_free(s.agg);
		return NULL;
	}
	return s.agg;
}

#endif
