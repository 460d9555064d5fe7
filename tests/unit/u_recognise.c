/* SPDX-License-Identifier: Apache-2.0 */
/* session: which protocol a connection speaks, and what is left of bytes that nobody reads. */
#include "session_world.h"

/* The record that opens a connection was lost: who connected is what the bytes say. */
static void t_adopted(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	exchange(&b, 1, 0, 0, 1000); /* the target serves */
	put_data(&b, 2, HP_SEND, 0, REQ, REQ_N, 1000); /* the target calls */
	put_data(&b, 2, HP_RECV, 0, RES, RES_N, 1500);
	put_data(&b, 3, HP_SEND, 0, STARTUP, sizeof(STARTUP), 1000);
	put_data(&b, 4, HP_RECV, 700, "tail of a body", 14, 1000); /* lost bytes before */
	put_data(&b, 4, HP_SEND, 0, RES, RES_N, 1010);
	exchange(&b, 4, 714, RES_N, 2000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 served GET /a host=h 200 start=980");
	has(&w.lines, "2 called GET /a host=h 200 start=990 read=1000 first=1480 end=1480");
	has(&w.lines, "1 conn parsed http role=1 ?:0>?:0");
	has(&w.lines, "2 conn parsed http role=2 ?:0>?:0");
	has(&w.lines, "3 conn parsed postgresql role=2 ?:0>?:0");
	has(&w.lines, "4 conn parsed http role=1 ?:0>?:0");
	has(&w.lines, "4 served GET /a host=h 200 start=1980 read=2000 first=2100 end=2100 in=28 "
		      "out=40 flags=0\n");
	world_release(&w);

	/* CONN_OPEN comes late: names; its role too, when the bytes have not told. */
	buf_clear(&b);
	put_data(&b, 1, HP_RECV, 0, "?", 1, 900);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_LAZY, 950);
	put_data(&b, 1, HP_RECV, 1, REQ, REQ_N, 1000);
	put_data(&b, 1, HP_SEND, 0, RES, RES_N, 1100);
	put_open(&b, 1, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 1200)->peer_port = 1; /* a second one */
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn undecided  role=1 127.0.0.1:8000>127.0.0.2:50000");
	has(&w.lines, "1 served GET /a host=h 200 start=980 read=1000");
	has_not(&w.lines, "role=2");
	world_release(&w);

	/* Nothing but its end, and states of what nobody knows. */
	buf_clear(&b);
	put_end(&b, EV_CONN_CLOSE, 1, 5, 5, 1000);
	put_end(&b, EV_CONN_BYTES, 1, 5, 5, 1000);
	put_state(&b, 1, HP_CONN_EOF, 0, 1000);
	run(&w, NULL, &b, 9000);
	assert_int_equal(w.lines.n, 0);
	world_release(&w);
}

/* Bytes that only the kernel moved: nobody can say what they are, and that is said. */
static void t_opaque(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_xfer(&b, 1, HP_RECV, 0, 500, 1000)->flags = HP_DATA_OPAQUE;
	put_end(&b, EV_CONN_CLOSE, 1, 5, 5, 2000);
	/* A body that sendfile moves behind a head that can be read is no such case. */
	put_open(&b, 2, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 2, 0, 0, 1000);
	put_xfer(&b, 2, HP_SEND, RES_N, 500, 2000)->flags = HP_DATA_OPAQUE;
	/* Nor one that is only waited on. */
	put_open(&b, 3, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	run(&w, NULL, &b, 9000);
	has(&w.lines,
	    "1 conn unparsed  role=1 127.0.0.1:8000>127.0.0.2:50000 (its bytes move inside "
	    "the kernel");
	has(&w.lines, "2 conn parsed http");
	has_not(&w.lines, "2 conn unparsed");
	has_not(&w.lines, "3 conn unparsed");
	world_release(&w);
}

/* A head cut at every byte, each piece a transfer of its own: the first byte's times hold. */
static void t_split_prefix(void **state)
{
	size_t cut;

	(void)state;
	for (cut = 1; cut < REQ_N; cut++) {
		_release_(buf) struct buf b = BUF_INIT;
		struct world w;

		put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
		put_data(&b, 1, HP_RECV, 0, REQ, cut, 1000);
		put_data(&b, 1, HP_RECV, cut, &REQ[cut], REQ_N - cut, 2000);
		put_data(&b, 1, HP_SEND, 0, RES, RES_N, 3000);
		run(&w, NULL, &b, 9000);
		has(&w.lines, "1 served GET /a host=h 200 start=980 read=1000 first=3000 end=3000 "
			      "in=28 out=40 flags=0\n");
		world_release(&w);
	}
	for (cut = 0; cut < 2; cut++) { /* byte by byte; the answer too when the target calls */
		_release_(buf) struct buf b = BUF_INIT;
		struct world w;
		size_t i;

		put_open(&b, 1, cut ? HP_ROLE_CLIENT : HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
		for (i = 0; i < REQ_N; i++)
			put_data(&b, 1, cut ? HP_SEND : HP_RECV, i, &REQ[i], 1, 1000 + i);
		for (i = 0; i < RES_N; i++)
			put_data(&b, 1, cut ? HP_RECV : HP_SEND, i, &RES[i], 1, 2000 + i);
		run(&w, NULL, &b, 9000);
		has(&w.lines, cut ? "1 called GET /a host=h 200 start=990"
				  : "1 served GET /a host=h 200 start=980");
		has(&w.lines, "in=28 out=40 flags=0\n");
		world_release(&w);
	}
}

/* PostgreSQL's startup cut at every byte, and pieces that look like a start and are none. */
static void t_split_startup(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;
	size_t cut;

	(void)state;
	for (cut = 1; cut < sizeof(STARTUP); cut++) {
		buf_clear(&b);
		put_open(&b, 1, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
		put_data(&b, 1, HP_SEND, 0, STARTUP, cut, 1000);
		put_data(&b, 1, HP_SEND, cut, &STARTUP[cut], sizeof(STARTUP) - cut, 2000);
		run(&w, NULL, &b, 9000);
		has(&w.lines, "1 conn parsed postgresql role=2");
		world_release(&w);
	}
	/* One to three zeros are the start of a startup packet, or the mask of something else. */
	for (cut = 1; cut <= 12; cut++) {
		buf_clear(&b);
		put_open(&b, 1, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
		put_data(&b, 1, HP_SEND, 0, "~hunter2~hunter2", cut, 1000);
		run(&w, NULL, &b, 9000);
		has(&w.lines, "1 conn unparsed  role=2");
		assert_false(holds(&b, "~"));
		world_release(&w);
	}
	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	put_data(&b, 1, HP_SEND, 0, STARTUP, 3, 1000);
	put_data(&b, 1, HP_SEND, 3, "hunter2", 7, 2000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn unparsed  role=2");
	assert_false(holds(&b, "hunter2"));
	world_release(&w);

	/* A hole between the pieces: they do not belong together. */
	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, "GE", 2, 1000);
	put_data(&b, 1, HP_RECV, 5, "T /hunter2 HTTP/1.1\r\n\r\n", 23, 2000);
	put_data(&b, 1, HP_RECV, 28, REQ, REQ_N, 3000);
	run(&w, NULL, &b, 9000);
	has_not(&w.lines, "hunter2");
	assert_false(holds(&b, "hunter2"));
	has(&w.lines, "1 served GET /a host=h 0 start=2980");
	world_release(&w);
}

/* Open before attach: junk first. Found in the eighth look at the latest, or given up. */
/* junk transfers in the middle of something, then an exchange; turns: in both directions by turns. */
static void mid_stream(u32 junk, bool turns, bool found)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;
	u64 pos[2] = { 0, 0 };
	u32 i;

	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_SEED, 10);
	for (i = 0; i < junk; i++) {
		u8 dir = turns && i % 2 ? HP_SEND : HP_RECV;

		put_data(&b, 1, dir, pos[dir], "hunter2, ", 9, 100 + i);
		pos[dir] += 9;
	}
	exchange(&b, 1, pos[HP_RECV], pos[HP_SEND], 1000);
	run(&w, NULL, &b, 9000);
	assert_false(holds(&b, "hunter2"));
	if (found) {
		has(&w.lines, "1 conn parsed http role=1");
		has(&w.lines, "1 served GET /a host=h 200 start=980 read=1000 first=1100 "
			      "end=1100 in=28 out=40 flags=0\n");
		has_not(&w.verdicts, "1 2\n");
	} else {
		has(&w.lines, "1 conn unparsed  role=1");
		has(&w.lines, "(unknown protocol)");
		assert_int_equal(w.http, 0);
		has(&w.verdicts, "1 2\n");
	}
	world_release(&w);
}

/* A long body is not given up, a connection that speaks something else is. */
static void t_mid_stream(void **state)
{
	u32 junk;

	(void)state;
	for (junk = 0; junk < 12; junk++) {
		mid_stream(junk, true, junk < 8);
		mid_stream(20 * junk, false, true);
	}
}

static const char tls_hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hunter2.example.org";

static void t_tls(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct ev_seg *seg;
	struct ev_data *ev;
	struct world w;
	size_t off = 0, cut;
	u8 *bytes;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, tls_hello, sizeof(tls_hello), 1000);
	put_data(&b, 1, HP_SEND, 0, "\x16\x03\x03\x00\x10hunter2", 12, 1100);
	put_data(&b, 1, HP_RECV, sizeof(tls_hello), REQ, REQ_N, 1200);
	put_end(&b, EV_CONN_CLOSE, 1, 500, 600, 2000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn encrypted  role=1 127.0.0.1:8000>127.0.0.2:50000 (tls)");
	has(&w.lines, "(tls) 500/600 open=10 est=0 close=2000 err=0 ended\n");
	has(&w.verdicts, "1 2\n");
	assert_int_equal(w.http, 0);
	assert_false(holds(&b, "hunter2"));
	assert_false(holds(&b, "GET"));
	ev = (struct ev_data *)(b.p + sizeof(struct ev_conn_open));
	seg = record_seg(ev, &off, &bytes);
	assert_memory_equal(bytes, tls_hello, 5);
	for (cut = 5; cut < seg->len; cut++)
		assert_int_equal(bytes[cut], 0xff);
	world_release(&w);

	/* The middle of a transfer with such bytes is no TLS: the next request is still found. */
	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_SEED, 10);
	ev = put_seg(&b, put_xfer(&b, 1, HP_RECV, 0, 100, 1000), 50, tls_hello, 20, 0);
	put_seg(&b, ev, 80, tls_hello, 20, 0);
	exchange(&b, 1, 100, 0, 2000);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn parsed http");
	assert_int_equal(w.http, 1);
	world_release(&w);
}

static void t_unknown(void **state)
{
	static const struct session_opts no_http = { .no_http = true };
	static const struct session_opts no_db = { .no_db = true };
	static const struct session_opts literals = { .show_literals = true };
	_release_(buf) struct buf b = BUF_INIT;
	struct world w;

	(void)state;
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, "*1\r\n$7\r\nhunter2\r\n", 17, 1000);
	put_data(&b, 1, HP_RECV, 17, REQ, REQ_N, 1000); /* it was decided before */
	put_cont(&b, 1, HP_SEND, 0, 5000, "hunter2", 7, 1200);
	run(&w, NULL, &b, 9000);
	has(&w.lines, "1 conn unparsed  role=1 127.0.0.1:8000>127.0.0.2:50000 (unknown protocol)");
	has(&w.lines, "(unknown protocol) 45/5000 open=10 est=0 close=0 err=0 ended\n");
	assert_string_equal(w.verdicts.p, "1 2\n");
	assert_int_equal(w.http, 0);
	assert_false(holds(&b, "hunter2") || holds(&b, "GET") || holds(&b, "\r\n"));
	world_release(&w);

	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 1, 0, 0, 1000);
	put_open(&b, 2, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	put_data(&b, 2, HP_SEND, 0, STARTUP, sizeof(STARTUP), 1000);
	run(&w, &no_http, &b, 9000);
	has(&w.lines, "1 conn unparsed  role=1 127.0.0.1:8000>127.0.0.2:50000 (not measured)");
	has(&w.lines, "2 conn parsed postgresql");
	assert_int_equal(w.http, 0);
	assert_false(holds(&b, "GET"));
	world_release(&w);

	buf_clear(&b);
	put_open(&b, 2, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	put_data(&b, 2, HP_SEND, 0, STARTUP, sizeof(STARTUP), 1000);
	put_open(&b, 3, HP_ROLE_CLIENT, HP_ORIGIN_CONNECT, 10);
	put_data(&b, 3, HP_SEND, 0, "hunter2", 7, 1000);
	put_open(&b, 4, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	exchange(&b, 4, 0, 0, 1000);
	run(&w, &no_db, &b, 9000);
	has(&w.lines, "2 conn unparsed  role=2 127.0.0.1:40000>127.0.0.2:9000 (not measured)");
	has(&w.lines, "3 conn unparsed  role=2 127.0.0.1:40000>127.0.0.2:9000 (unknown protocol)");
	assert_int_equal(w.http, 1);
	assert_false(holds(&b, "bob") || holds(&b, "hunter2"));
	world_release(&w);

	/* With literals shown nothing is touched but what the kernel left behind the bytes. */
	buf_clear(&b);
	put_open(&b, 1, HP_ROLE_SERVER, HP_ORIGIN_ACCEPT, 10);
	put_data(&b, 1, HP_RECV, 0, "hunter2", 7, 1000);
	put_data(&b, 1, HP_RECV, 0, "HUNTER2", 7, 1000);
	put_cont(&b, 1, HP_SEND, 0, 5000, "hunter3", 7, 1200);
	run(&w, &literals, &b, 9000);
	assert_true(holds(&b, "hunter2") && holds(&b, "HUNTER2") && holds(&b, "hunter3"));
	assert_false(holds(&b, "\xa5"));
	world_release(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_adopted),	  cmocka_unit_test(t_opaque),
		cmocka_unit_test(t_split_prefix), cmocka_unit_test(t_split_startup),
		cmocka_unit_test(t_mid_stream),	  cmocka_unit_test(t_tls),
		cmocka_unit_test(t_unknown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
