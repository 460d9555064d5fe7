/* SPDX-License-Identifier: Apache-2.0 */
/* session: positions and losses, times of sends, ends of connections, the table's limit. */
#include <errno.h>

#include "session_world.h"

static void t_exchange(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 5, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10)->established_ns = 9;
	exchange(&b, 5, 0, 0, 1000);
	exchange(&b, 5, REQ_N, RES_N, 2000);
	put_end(&b, EV_CONN_CLOSE, 5, 2 * REQ_N, 2 * RES_N, 3000);
	run(&w, NULL, &b, 9000);
	assert_int_equal(w.http, 2);
	has(&w.lines,
	    "5 conn undecided  role=1 127.0.0.1:8000>127.0.0.2:50000 () 0/0 open=10 est=9");
	has(&w.lines, "5 served GET /a host=h 200 start=980 read=1000 first=1100 end=1100 "
		      "in=28 out=40 flags=0\n");
	has(&w.lines, "start=1980 read=2000 first=2100 end=2100 in=28 out=40 flags=0\n");
	has(&w.lines, "conn parsed http role=1 127.0.0.1:8000>127.0.0.2:50000 () 56/80 open=10 "
		      "est=9 close=3000 err=0 ended\n");
	assert_int_equal(w.ended, 1);
	world_release(&w);
}

/* What went by before the protocol was known was the answer to a request from before attach. */
static void t_passed(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 3, HP_ROLE_SERVER, HP_ORIGIN_SEED, 10);
	put_data(&b, 3, HP_SEND, 0, "eight by", 8, 400);
	put_data(&b, 3, HP_SEND, 8, "te lines", 8, 500);
	exchange(&b, 3, 0, 16, 1000);
	put_end(&b, EV_CONN_CLOSE, 3, REQ_N, 16 + RES_N, 3000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "3 served   host= 0 start=0 read=0 first=0 end=500 in=0 out=16 flags=1\n");
	has(&w.lines, "start=980 read=1000 first=1100 end=1100 in=28 out=40 flags=0\n");
	assert_int_equal(w.http, 2);
	world_release(&w);
}

/* A position past the expected one is a loss; what was under way is not timed. */
static void t_lost(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 1, 0, 0, 1000);
	/* The answer of this one never came here. */
	put_data(&b, 1, HP_RECV, REQ_N, REQ, REQ_N, 2000);
	exchange(&b, 1, 2 * REQ_N, 2 * RES_N, 3000);
	exchange(&b, 1, 3 * REQ_N, 3 * RES_N, 4000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "start=980 read=1000 first=1100 end=1100 in=28 out=40 flags=0\n");
	has(&w.lines, "start=3980 read=4000 first=4100 end=4100 in=28 out=40 flags=0\n");
	/* No latency is made from the loss: the two that may have to do with it are flagged. */
	has(&w.lines, "start=1980 read=2000 first=0 end=0 in=28 out=0 flags=8\n");
	has(&w.lines, "start=2980 read=3000 first=3100 end=3100 in=28 out=40 flags=8\n");
	assert_int_equal(count(&w.lines, "flags=0\n"), 2);
	assert_int_equal(w.http, 4);
	assert_int_equal(w.drops[DROP_BAD_RECORD], 0);
	world_release(&w);
}

static void t_lost_at_close(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, REQ, REQ_N, 1000);
	put_end(&b, EV_CONN_CLOSE, 1, REQ_N, RES_N, 3000); /* it was answered, unseen */
	run(&w, NULL, &b, 9000);
	assert_int_equal(w.http, 1);
	assert_int_equal(count(&w.lines, "flags=0\n"), 0);
	has(&w.lines, "28/40 open=10 est=0 close=3000 err=0 ended\n");
	world_release(&w);
}

/* Two threads on one socket: a record of older bytes cannot be used, and says nothing. */
static void t_reordered(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;
	u64 left;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 1, 0, 0, 1000);
	put_data(&b, 1, HP_RECV, 0, "password=hunter2", 16, 1200); /* again */
	put_data(&b, 1, HP_RECV, REQ_N - 1, "hunter2", 7, 1300); /* half of it again */
	put_cont(&b, 1, HP_RECV, 3, 30, "hunter2", 7, 1400);
	exchange(&b, 1, REQ_N, RES_N, 2000);
	run(&w, NULL, &b, 9000);
	assert_int_equal(w.http, 2);
	assert_int_equal(count(&w.lines, "flags=0\n"), 2);
	assert_int_equal(w.drops[DROP_BAD_RECORD], 3);
	assert_false(holds(&b, "hunter2"));
	assert_false(holds(&b, "password"));
	world_release(&w);

	/* Positions at the end of the number range: nothing hangs, nothing wraps into sense. */
	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 1, 0, 0, 1000);
	for (left = 0; left < 40; left++)
		put_data(&b, 1, left % 2, UINT64_MAX - 40 + left, REQ, REQ_N, 2000 + left);
	put_end(&b, EV_CONN_CLOSE, 1, UINT64_MAX, UINT64_MAX, 3000);
	run(&w, NULL, &b, UINT64_MAX);
	assert_int_equal(count(&w.lines, "flags=0\n"), 1);
	assert_int_equal(w.ended, 1);
	world_release(&w);
}

static void t_padding(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;
	struct ev_data *ev;
	u32 n;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, REQ, REQ_N, 1000);
	for (n = 1; n < 20; n++) {
		ev = put_xfer(&b, 1, HP_SEND, (n - 1) * 100, 100, 2000 + n);
		ev = put_seg(&b, ev, 0, RES, n, 0);
		put_seg(&b, ev, 50, RES, n, 0);
	}
	put_data(&b, 1, HP_SEND, 3, RES, 3, 3000); /* not used */
	put_cont(&b, 1, HP_SEND, 1900, 100, RES, 9, 4000);
	put_cont(&b, 1, HP_SEND, 3, 100, RES, 9, 4000); /* not used */
	assert_true(holds(&b, "\xa5"));
	run(&w, NULL, &b, 9000);
	assert_false(holds(&b, "\xa5"));
	world_release(&w);
}

/* A body of which nothing but its size and end came. */
static void t_cont(void **state)
{
	static const char head[] = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9c40\r\n";
	_release_(buf) struct buf b = BUF_INIT;
	struct ev_cont *ev;
	struct world w;
	u32 n = sizeof(head) - 1;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, REQ, REQ_N, 1000);
	put_data(&b, 1, HP_SEND, 0, head, n, 2000);
	ev = put_cont(&b, 1, HP_SEND, n, 40000 + 7, "hunter2\r\n0\r\n\r\n", 14, 3000);
	ev->first_ns = 2100;
	exchange(&b, 1, REQ_N, n + 40007, 4000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 served GET /a host=h 200 start=980 read=1000 first=2000 end=3000 in=28 "
		      "out=40060 flags=0\n");
	assert_int_equal(count(&w.lines, "flags=0\n"), 2);
	assert_false(holds(&b, "hunter2"));
	world_release(&w);

	/* All of it tail: still the beginning of a transfer. */
	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_SEED, 10);
	put_cont(&b, 1, HP_RECV, 0, REQ_N, REQ, REQ_N, 1000);
	put_cont(&b, 1, HP_SEND, 0, 0, "", 0, 1100);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn parsed http");
	assert_int_equal(w.http, 1);
	world_release(&w);
}

static void t_bytes(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 1, 0, 0, 1000);
	put_end(&b, EV_CONN_BYTES, 1, 9999, 9999, 5000); /* its parser has counted: no loss */
	put_open(&b, 2, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	put_data(&b, 2, HP_SEND, 0, "?", 1, 1000);
	put_end(&b, EV_CONN_BYTES, 2, 7000, 8000, 5000);
	put_open(&b, 3, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10); /* idle */
	put_end(&b, EV_CONN_BYTES, 3, 0, 0, 5000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn parsed http role=1 127.0.0.1:8000>127.0.0.2:50000 () 28/40 ");
	has(&w.lines, "(unknown protocol) 7000/8000 open=10 est=0 close=0 err=0 ended\n");
	has(&w.lines,
	    "3 conn undecided  role=2 127.0.0.1:40000>127.0.0.2:9000 () 0/0 open=10 est=0 "
	    "close=0 err=0 ended\n");
	assert_int_equal(count(&w.lines, "flags=0\n"), 1);
	assert_int_equal(w.ended, 3);
	world_release(&w);
}

static void t_states(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	/* Connect, seen through; refused; reset in the answer; end of the peer's half; unknown. */
	put_open(&b, 1, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10)->local_port = 0;
	put_state(&b, 1, HP_CONN_ESTABLISHED, 0, 50)->local_port = 4711;
	put_open(&b, 2, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	put_state(&b, 2, HP_CONN_FAILED, EHOSTUNREACH, 60);
	put_state(&b, 2, HP_CONN_FAILED, 0, 60);
	put_open(&b, 3, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 3, HP_RECV, 0, REQ, REQ_N, 1000);
	put_data(&b, 3, HP_SEND, 0, RES, RES_N - 1, 1100);
	put_state(&b, 3, HP_CONN_ERROR, EPIPE, 1200);
	put_end(&b, EV_CONN_CLOSE, 3, REQ_N, RES_N - 1, 1300);
	put_open(&b, 4, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 4, HP_RECV, 0, REQ, REQ_N, 2000);
	put_state(&b, 4, HP_CONN_EOF, 0, 2010);
	put_data(&b, 4, HP_SEND, 0, RES, RES_N, 2100); /* half-closed: still answered */
	put_state(&b, 4, HP_CONN_SHUT_WR, 0, 2110);
	put_state(&b, 4, 99, 0, 2120);
	put_state(&b, 77, HP_CONN_EOF, 0, 2130);
	put_end(&b, EV_CONN_CLOSE, 4, REQ_N, RES_N, 2200);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn undecided  role=2 127.0.0.1:0>127.0.0.2:9000 () 0/0 open=10 est=50");
	has(&w.lines, "close=0 err=113\n");
	has(&w.lines, "close=0 err=111\n");
	has(&w.lines, "3 served GET /a host=h 200 start=980 read=1000 first=1100 end=1200 in=28 "
		      "out=39 flags=4\n");
	has(&w.lines, "close=1300 err=32 ended\n");
	has(&w.lines, "4 served GET /a host=h 200 start=1980 read=2000 first=2100 end=2100 in=28 "
		      "out=40 flags=0\n");
	assert_int_equal(w.http, 2);
	world_release(&w);
}

static void t_names(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct ev_conn_open *ev;
	struct world w;

	(void)state;
	ev = put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	ev->family = AF_INET6;
	inet_pton(AF_INET6, "::1", ev->peer_addr);
	inet_pton(AF_INET6, "::ffff:10.1.2.3", ev->local_addr); /* as on a v4 socket */
	ev = put_open(&b, 2, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	ev->family = AF_UNIX;
	memset(ev->path, '/', sizeof(ev->path)); /* the longest, without a NUL */
	ev = put_open(&b, 3, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	ev->family = AF_UNIX;
	memcpy(ev->path, "@a\nb\x1b[31m\x7f", 11);
	ev = put_open(&b, 4, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	ev->family = AF_UNIX;
	ev = put_open(&b, 5, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	ev->family = 4242;
	put_open(&b, 6, HP_ROLE_SERVER, HP_ORIGIN_SEED, 10)->listening = 1;
	run(&w, NULL, &b, 9000);
	has(&w.lines, "10.1.2.3:8000>[::1]:50000 ");
	assert_int_equal(count(&w.lines, "/"), 2 * (2 * HP_PATH_MAX + 1) + 8);
	has(&w.lines, "@a.b.[31m.>@a.b.[31m. ");
	has(&w.lines, "4 conn undecided  role=2 unix>unix ");
	has(&w.lines, "5 conn undecided  role=2 ?:40000>?:9000 ");
	assert_int_equal(w.ended, 5);
	world_release(&w);
}

static void t_table_full(void **state)
{
	static const struct session_opts few = { .conns_max = 3 };
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;
	u64 i;

	(void)state;
	for (i = 1; i <= 5; i++)
		put_open(&b, i, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, i);
	for (i = 1; i <= 5; i++)
		exchange(&b, i, 0, 0, 1000 * i);
	put_end(&b, EV_CONN_CLOSE, 2, REQ_N, RES_N, 7000);
	put_open(&b, 6, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 7100); /* room again */
	exchange(&b, 6, 0, 0, 8000);
	run(&w, &few, &b, 9000);
	assert_int_equal(w.http, 4);
	/* Two at their opening, and each of their transfers tried again. */
	assert_int_equal(w.drops[DROP_CONN_TABLE_FULL], 6);
	assert_int_equal(w.ended, 4);
	has(&w.lines, "6 served GET /a");
	world_release(&w);

	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 1);
	put_open(&b, 2, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 1);
	put_data(&b, 3, HP_RECV, 0, "hunter2", 7, 1000);
	put_cont(&b, 4, HP_RECV, 0, 100, "hunter2", 7, 1000);
	run(&w, &(struct session_opts){ .conns_max = 2 }, &b, 9000);
	assert_false(holds(&b, "hunter2"));
	assert_int_equal(w.drops[DROP_CONN_TABLE_FULL], 2);
	world_release(&w);
}

/* At the window's end the connections are told in the order of their ids, however they came. */
static void t_finish_order(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;
	u64 id = 1, last = 0, n = 0;
	char *line;
	u32 i;

	(void)state;
	for (i = 0; i < 300; i++) {
		id = id * 6364136223846793005ULL + 1442695040888963407ULL;
		put_open(&b, id, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, i);
		put_data(&b, id, HP_RECV, 0, REQ, REQ_N, 1000 + i);
	}
	world_new(&w, NULL);
	world_feed(&w, &b);
	assert_int_equal(w.http, 0);
	buf_clear(&w.lines);
	session_finish(w.s, 5000);
	assert_int_equal(w.http, 300);
	assert_int_equal(w.ended, 300);
	for (line = w.lines.p; line && *line; line = strchr(line, '\n') + 1) {
		u64 at = strtoull(line, NULL, 10);

		/* Its request under way, then its end. */
		assert_true(n % 2 ? at == last : at > last);
		last = at;
		n++;
	}
	assert_int_equal(n, 600);
	session_finish(w.s, 6000);
	assert_int_equal(w.ended, 300);
	world_release(&w);
}

/* When a send's last byte was handed over. */
static void t_sent_ns(void **state)
{
	static const struct {
		u64 enter, wire, exit;
		u8 flags;
		u64 want;
	} rows[] = {
		{ 50000, 50700, 950000, 0, 50700 }, /* TCP says when */
		{ 50000, 50700, 950000, HP_DATA_NONBLOCK, 50700 },
		{ 50000, 50000, 950000, 0, 950000 }, /* of the call before, at the latest */
		{ 50000, 950000, 950000, 0, 950000 },
		{ 50000, 49999, 950000, 0, 950000 }, /* not of this call */
		{ 50000, 950001, 950000, 0, 950000 },
		{ 50000, 0, 950000, 0, 950000 }, /* it may have waited for room */
		{ 50000, 0, 950000, HP_DATA_NONBLOCK, 90040 }, /* it did not: 40 us and copying */
		{ 50000, 0, 60000, HP_DATA_NONBLOCK, 60000 },
		/* No entry taken: TCP's note is of this call if newer than the transfer before. */
		{ 0, 50700, 950000, 0, 50700 },
		{ 0, 2001, 950000, HP_DATA_NONBLOCK, 2001 },
		{ 0, 950001, 950000, HP_DATA_NONBLOCK, 950000 },
		{ 0, 1000, 950000, 0, 950000 },
		{ 0, 0, 950000, HP_DATA_NONBLOCK, 950000 },
	};
	size_t i;
	int cont;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		for (cont = 0; cont < 2; cont++) {
			_release_(buf) struct buf b = BUF_INIT;
			struct world w;
			char want[64];

			put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
			put_data(&b, 1, HP_RECV, 0, REQ, REQ_N, 1000);
			if (cont) {
				struct ev_cont *ev;

				put_data(&b, 1, HP_SEND, 0, RES, RES_N - 2, 2000);
				ev = put_cont(&b, 1, HP_SEND, RES_N - 2, 2, "", 0, rows[i].exit);
				ev->enter_ns = rows[i].enter;
				ev->wire_ns = rows[i].wire;
				ev->flags = rows[i].flags;
				ev->last_len = RES_N;
			} else {
				struct ev_data *ev =
					put_data(&b, 1, HP_SEND, 0, RES, RES_N, rows[i].exit);

				ev->enter_ns = rows[i].enter;
				ev->wire_ns = rows[i].wire;
				ev->flags = rows[i].flags;
			}
			run(&w, NULL, &b, 9000000);
			snprintf(want, sizeof(want), " end=%" PRIu64 " ", rows[i].want);
			has(&w.lines, want);
			assert_int_equal(w.http, 1);
			world_release(&w);
		}
	}
}

/* All parsers together keep to a limit: the connection that grows past it is given up, no other. */
static void t_memory(void **state)
{
	static const struct session_opts small = { .memory_max = 32 * 1024 };
	static const char ready[] = "R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
	static const char query[] = "Q\0\0\0\x0dselect 1";
	_release_(buf) struct buf b = BUF_INIT, queries = BUF_INIT, requests = BUF_INIT;
	struct world w;
	u32 i;

	(void)state;
	for (i = 0; i < 200; i++) {
		buf_add(&requests, REQ, REQ_N);
		buf_add(&queries, query, sizeof(query));
	}
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 1, 0, 0, 1000);
	put_open(&b, 2, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 1100);
	put_data(&b, 2, HP_RECV, 0, requests.p, requests.n, 1200);
	put_data(&b, 2, HP_RECV, requests.n, "GET /hunter2 HTTP/1.1\r\n\r\n", 25, 1300);
	put_open(&b, 3, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 2000);
	put_data(&b, 3, HP_SEND, 0, STARTUP, sizeof(STARTUP), 2100);
	put_data(&b, 3, HP_RECV, 0, ready, sizeof(ready) - 1, 2200);
	put_data(&b, 3, HP_SEND, sizeof(STARTUP), queries.p, queries.n, 2300);
	exchange(&b, 1, REQ_N, RES_N, 3000);
	put_end(&b, EV_CONN_CLOSE, 1, 2 * REQ_N, 2 * RES_N, 3200);
	put_open(&b, 4, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 3300);
	exchange(&b, 4, 0, 0, 4000);
	run(&w, &small, &b, 9000);
	assert_int_equal(w.drops[DROP_MEMORY], 2);
	assert_int_equal(w.http, 3);
	has(&w.lines, "2 conn unparsed http role=1 127.0.0.1:8000>127.0.0.2:50000 (out of memory)");
	has(&w.lines, "3 conn unparsed postgresql role=2");
	assert_int_equal(w.ended, 4);
	assert_false(holds(&b, "hunter2"));
	world_release(&w);

	/* What ends gives back: one after the other they all fit. */
	buf_clear(&b);
	for (i = 1; i <= 100; i++) {
		put_open(&b, i, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, i * 1000);
		put_data(&b, i, HP_RECV, 0, requests.p, 20 * REQ_N, i * 1000 + 1);
		put_end(&b, EV_CONN_CLOSE, i, 20 * REQ_N, 0, i * 1000 + 2);
	}
	run(&w, &small, &b, 900000);
	assert_int_equal(w.drops[DROP_MEMORY], 0);
	assert_int_equal(w.http, 2000);
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_exchange),	cmocka_unit_test(t_passed),
		cmocka_unit_test(t_lost),	cmocka_unit_test(t_lost_at_close),
		cmocka_unit_test(t_reordered),	cmocka_unit_test(t_padding),
		cmocka_unit_test(t_cont),	cmocka_unit_test(t_bytes),
		cmocka_unit_test(t_states),	cmocka_unit_test(t_names),
		cmocka_unit_test(t_table_full), cmocka_unit_test(t_finish_order),
		cmocka_unit_test(t_sent_ns),	cmocka_unit_test(t_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
