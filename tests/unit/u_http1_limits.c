/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.x parser: masks, bounds, verdicts and detection. See http1_script.h. */
#include "http1_script.h"

static void test_masks(void **state)
{
	(void)state;
	CHECK_MASKED(0,
		     "POST /users/17/posts?xxxxxxxxxxxxxxxxxxxx HTTP/1.1\r\n"
		     "Host: api.example:8080\r\n"
		     "Authorization: xxxxxxxxxxxxxxx\r\n"
		     "Cookie: xxxxxxxxxxxxxxxxxxx\r\n"
		     "Expect: \r\n"
		     "Connection: keep-alive\r\n"
		     "Content-Type: multipart/form-data;xxxxxxxxxxxxxx\r\n"
		     " xxxxxx\r\n"
		     "X-Empty:\r\n"
		     "Content-Length: 8\r\n\r\nxxxxxxxx"
		     "HTTP/1.1 302 xxxxx\r\n"
		     "Server: xxxxx\r\n"
		     "Location: xxxxxxxxxxxxxxxx\r\n"
		     "Content-Type: text/html\r\n"
		     "Content-Length: 4\r\n\r\nxxxx",
		     "POST /users/17/posts api.example:8080/1.1 302 s90 r100 f200 e200 q269 a113\n",
		     { C, 100, 90,
		       "POST /users/17/posts?token=s3cr3t&q=a%20b HTTP/1.1\r\n"
		       "Host: api.example:8080\r\n"
		       "Authorization: Bearer s3cr3t00\r\n"
		       "Cookie: sid=abcdef; b=\"1 2\"\r\n"
		       "Expect: \r\n"
		       "Connection: keep-alive\r\n"
		       "Content-Type: multipart/form-data; boundary=secr\r\n"
		       " s3cr3t\r\n"
		       "X-Empty:\r\n"
		       "Content-Length: 8\r\n\r\npassword" },
		     { S, 200, 0,
		       "HTTP/1.1 302 Found\r\n"
		       "Server: nginx\r\n"
		       "Location: /login?t=secret1\r\n"
		       "Content-Type: text/html\r\n"
		       "Content-Length: 4\r\n\r\nbody" });
	/* Path segments are kept but for their parameters, and for addresses. */
	CHECK_MASKED(PATH_SHOWN, "GET /a;xxxxx/b=xx/c;xxx/4/0#xxxx HTTP/1.1\n\n",
		     "GET /a;xxxxx/b=xx/c;xxx/4/0 /1.1 0 s90 r100 f0 e0 q43 a0 detach\n",
		     { C, 100, 90, "GET /a;id=9;/b=c=/c;x=%/4/0#frag HTTP/1.1\n\n" },
		     { DETACH, 200, 0, NULL });
	CHECK_MASKED(CUTS_SHOW, "GET /mail/xxxxxxxxx/in/xxxxx/xxxxxx/%4/xxxxxxx HTTP/1.1\n\n",
		     "GET /mail/xxxxxxxxx/in/xxxxx/xxxxxx/%4/xxxxxxx /1.1 0 s90 r100 f0 e0 q57 a0 "
		     "detach\n",
		     { C, 100, 90, "GET /mail/joe@x.org/in/a%40b/;v=a@b/%4/0%%40xx HTTP/1.1\n\n" },
		     { DETACH, 200, 0, NULL });
	/* Names are kept up to a length, whatever stands there. */
	CHECK_MASKED(0,
		     "GET / HTTP/1.1\n"
		     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaxxxxxx\n"
		     "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: x\n\n",
		     "GET / /1.1 0 s90 r100 f0 e0 q155 a0 detach\n",
		     { C, 100, 90,
		       "GET / HTTP/1.1\n"
		       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: bc\n"
		       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa: b\n\n" },
		     { DETACH, 200, 0, NULL });
}

/* The part of an address in front of a cut was given out before the '@' was there to be seen. */
static void test_mask_cut_address(void **state)
{
	u8 first[] = "GET /joe", second[] = "@x.org/a HTTP/1.1\r\n\r\n";
	struct proto_in in = { .data = first, .len = sizeof(first) - 1, .start = true, .ts_ns = 1 };
	struct world w;

	(void)state;
	world_open(&w, 0, 0);
	proto_http1.feed(w.state, &w.ctx, &in);
	assert_string_equal((char *)first, "GET /joe");
	in = (struct proto_in){
		.data = second, .len = sizeof(second) - 1, .end = true, .ts_ns = 1
	};
	proto_http1.feed(w.state, &w.ctx, &in);
	assert_string_equal((char *)second, "xxxxxx/a HTTP/1.1\r\n\r\n");
	proto_http1.finish(w.state, &w.ctx, 2, false);
	assert_true(!strncmp(w.lines.p, "GET /joexxxxxx/a ", 17));
	world_close(&w);
}

static void add_run(struct buf *b, char c, size_t n)
{
	while (n--)
		buf_addch(b, c);
}

/* A long path and a long host are cut, the exchange is not. */
static void test_long_names(void **state)
{
	struct buf text = BUF_INIT;
	struct world w;
	char *p;

	(void)state;
	world_open(&w, 0, 0);
	buf_adds(&text, "GET /");
	add_run(&text, 'p', 3000);
	buf_adds(&text, " HTTP/1.1\r\nHost: ");
	add_run(&text, 'h', 600);
	buf_adds(&text, "\r\n\r\n");
	transfer(&w, C, 100, text.p);
	transfer(&w, S, 200, OK0);
	assert_int_equal(w.drops[DROP_MESSAGE_TOO_LONG], 1);
	p = strchr(w.lines.p + 4, ' ');
	assert_int_equal(p - (w.lines.p + 4), 1024);
	assert_int_equal(strcspn(p + 1, "/"), 255);
	assert_non_null(strstr(p, " 200 s100 r100 f200 e200 q3626 a38"));
	world_close(&w);
	buf_release(&text);
}

/* Past the queue's end requests are counted, and later answers still find theirs. */
static void test_long_queue(void **state)
{
	struct buf text = BUF_INIT;
	struct world w;
	char *p;
	size_t i;

	(void)state;
	world_open(&w, 0, 0);
	for (i = 0; i < 300; i++) {
		buf_clear(&text);
		buf_addf(&text, GET("/%zu"), i);
		transfer(&w, C, 100 + i, text.p);
	}
	assert_int_equal(w.drops[DROP_PIPELINE_FULL], 300 - 256);
	for (i = 0; i < 300; i++)
		transfer(&w, S, 1000 + i, OK0);
	transfer(&w, C, 2000, GET("/last"));
	transfer(&w, S, 3000, OK0);
	proto_http1.finish(w.state, &w.ctx, 4000, true);
	p = w.lines.p;
	for (i = 0; i < 256; i++) {
		buf_clear(&text);
		buf_addf(&text, "GET /%zu h/1.1 200 s%zu r%zu f%zu ", i, 100 + i, 100 + i,
			 1000 + i);
		assert_int_equal(strncmp(p, text.p, text.n), 0);
		p = strchr(p, '\n') + 1;
	}
	assert_string_equal(p, "GET /last h/1.1 200 s2000 r2000 f3000 e3000 q31 a38 no_arrival\n");
	assert_int_equal(w.drops[DROP_PIPELINE_FULL], 300 - 256);
	world_close(&w);
	buf_release(&text);
}

/* The texts of a queue have a budget; past it a request keeps the start of its path. */
static void test_text_budget(void **state)
{
	struct buf text = BUF_INIT, line = BUF_INIT;
	struct world w;
	size_t i, cut;

	(void)state;
	world_open(&w, 0, 0);
	buf_adds(&text, "GET /");
	add_run(&text, 'p', 1000);
	buf_adds(&text, " HTTP/1.1\r\n\r\n");
	for (i = 0; i < 256; i++)
		transfer(&w, C, 100, text.p);
	cut = w.drops[DROP_MESSAGE_TOO_LONG];
	assert_in_range(cut, 256 - 64 * 1024 / 1024, 255);
	proto_http1.finish(w.state, &w.ctx, 4000, false);
	buf_adds(&line, "\nGET /");
	add_run(&line, 'p', 60);
	buf_adds(&line, " /1.1 0 s100 r100 f0 e0 q1018 a0 detach no_arrival\n");
	for (i = 1; i <= cut; i++)
		assert_memory_equal(w.lines.p + w.lines.n - i * (line.n - 1) - 1, line.p, line.n);
	world_close(&w);
	buf_release(&text);
	buf_release(&line);
}

static void assert_limits(const struct world *w, int dir, u32 turn, u32 more, u32 iov, u8 start)
{
	assert_int_equal(w->verdict.capture, HP_CAPTURE_BYTES);
	assert_int_equal(w->verdict.turn_max[dir], turn);
	assert_int_equal(w->verdict.more_max[dir], more);
	assert_int_equal(w->verdict.iov_max[dir], iov);
	assert_int_equal(w->verdict.start_len[dir], start);
	if (start)
		assert_memory_equal(w->verdict.start[dir], "HTTP/", start);
}

static void test_verdicts(void **state)
{
	struct world w;

	(void)state;
	world_open(&w, 0, 0);
	assert_int_equal(w.verdicts, 1);
	assert_limits(&w, HP_RECV, 16384, 4096, 4096, 0);
	assert_limits(&w, HP_SEND, 1024, 0, 512, 5);
	/* Answer heads that do not fit. */
	transfer(&w, C, 100, GET("/a"));
	transfer(&w, S, 200, "HTTP/1.1 200 OK\r\nSet-Cookie: {1000}x");
	assert_int_equal(w.verdicts, 2);
	assert_limits(&w, HP_SEND, 4096, 0, 4096, 5);
	transfer(&w, C, 300, GET("/b"));
	transfer(&w, S, 400, "HTTP/1.1 200 OK\r\nSet-Cookie: {1000}x");
	assert_limits(&w, HP_SEND, 16384, 0, 16384, 5);
	transfer(&w, C, 300, GET("/c"));
	transfer(&w, S, 400, "HTTP/1.1 200 OK\r\nSet-Cookie: {1000}x");
	assert_int_equal(w.verdicts, 3);
	/* Heads in pieces. */
	transfer(&w, C, 300, GET("/d"));
	transfer(&w, S, 400, "HTTP/1.1 200 OK\r\n");
	transfer(&w, S, 410, "{1000}x");
	assert_int_equal(w.verdicts, 4);
	assert_limits(&w, HP_SEND, 16384, 1024, 16384, 5);
	world_close(&w);

	/* Lost bytes are no reason to carry more. */
	world_open(&w, 0, 0);
	transfer(&w, C, 100, GET("/a"));
	transfer(&w, S, 200, "HTTP/1.1 200 OK\r\n{!1000}x");
	transfer(&w, C, 300, GET("/b"));
	transfer(&w, C, 300, GET("/c"));
	assert_int_equal(w.verdicts, 1);
	world_close(&w);

	/* Pipelining, by two requests in a transfer; in the client role directions change places. */
	world_open(&w, CLIENT_ROLE, 0);
	assert_limits(&w, HP_SEND, 16384, 4096, 4096, 0);
	assert_limits(&w, HP_RECV, 1024, 0, 512, 5);
	transfer(&w, C, 100, GET("/a") GET("/b"));
	assert_int_equal(w.verdicts, 2);
	assert_limits(&w, HP_RECV, 16384, 16384, 16384, 5);
	assert_limits(&w, HP_SEND, 16384, 4096, 4096, 0);
	world_close(&w);

	/* Pipelining, by an answer to what was asked before the last answer began. */
	world_open(&w, 0, 0);
	transfer(&w, C, 100, GET("/a"));
	transfer(&w, C, 110, GET("/b"));
	transfer(&w, S, 200, OK0);
	assert_int_equal(w.verdicts, 1);
	transfer(&w, S, 210, OK0);
	assert_int_equal(w.verdicts, 2);
	assert_limits(&w, HP_SEND, 16384, 16384, 16384, 5);
	world_close(&w);

	world_open(&w, 0, 0);
	transfer(&w, C, 100, WS);
	transfer(&w, S, 200, "HTTP/1.1 101 OK\r\n\r\n");
	assert_int_equal(w.verdicts, 2);
	assert_int_equal(w.verdict.capture, HP_CAPTURE_COUNT);
	world_close(&w);
}

static void test_detect(void **state)
{
	static const struct {
		const char *text;
		size_t n;
		enum proto_side side;
		enum proto_match fresh, mid_stream;
	} rows[] = {
#define ROW(side, text, fresh, mid) { text, sizeof(text) - 1, side, fresh, mid }
		ROW(PROTO_CLIENT, "GET / HTTP/1.1\r\n\r\n", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "\r\n\r\nGET / HTTP/1.1\r\n\r\n", PROTO_YES, PROTO_NO),
		ROW(PROTO_CLIENT, "GET /", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "GET /a/b HTT", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "OPTIONS * HTTP/1.1", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "GET http://h/ HTTP/1.0", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "CONNECT h:1 HTTP/1.1", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "CONNECT [::1]:1 HTTP/1.1", PROTO_YES, PROTO_YES),
		ROW(PROTO_CLIENT, "frob!ni-cate /x HTTP/1.1", PROTO_YES, PROTO_NO),
		ROW(PROTO_CLIENT, "", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_CLIENT, "\r\n", PROTO_MORE, PROTO_NO),
		ROW(PROTO_CLIENT, "G", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_CLIENT, "DELETE", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_CLIENT, "DELETE ", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_CLIENT, "GET ht", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_CLIENT, "FROB", PROTO_MORE, PROTO_NO),
		/* Could be a method, and could be a secret. */
		ROW(PROTO_CLIENT, "frob", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "GET / HTTP/2.0\r\n", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "GET /\r\n", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "GET key\r\n", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "GET hello", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "PRI ", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "AUTH secret\r\n", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "*3\r\n$3\r\nSET", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "SSH-2.0-OpenSSH_9.2p1 Debian", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "\x16\x03\x01\x02\x00\x01", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "\0\0\0\x08\x04\xd2\x16\x2f", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "\0", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHI", PROTO_NO, PROTO_NO),
		ROW(PROTO_CLIENT, "HTTP/1.1 200 OK", PROTO_NO, PROTO_NO),
		ROW(PROTO_SERVER, "HTTP/1.1 200 OK", PROTO_YES, PROTO_YES),
		ROW(PROTO_SERVER, "HTTP/1.", PROTO_YES, PROTO_YES),
		ROW(PROTO_SERVER, "HTTP/", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_SERVER, "", PROTO_MORE, PROTO_MORE),
		ROW(PROTO_SERVER, "HTTP/2.0", PROTO_NO, PROTO_NO),
		ROW(PROTO_SERVER, "HTTP/1.x", PROTO_NO, PROTO_NO),
		ROW(PROTO_SERVER, "220 mail", PROTO_NO, PROTO_NO),
#undef ROW
	};
	struct proto_ctx ctx = { .role = HP_ROLE_SERVER };
	size_t i;
	u8 *exact;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		exact = malloc(rows[i].n ? rows[i].n : 1);
		assert_non_null(exact);
		memcpy(exact, rows[i].text, rows[i].n);
		ctx.mid_stream = false;
		if (proto_http1.detect(&ctx, rows[i].side, exact, rows[i].n, rows[i].n) !=
		    rows[i].fresh)
			fail_msg("fresh: %s", rows[i].text);
		ctx.mid_stream = true;
		if (proto_http1.detect(&ctx, rows[i].side, exact, rows[i].n, rows[i].n) !=
		    rows[i].mid_stream)
			fail_msg("mid-stream: %s", rows[i].text);
		free(exact);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_masks),	    cmocka_unit_test(test_mask_cut_address),
		cmocka_unit_test(test_long_names),  cmocka_unit_test(test_long_queue),
		cmocka_unit_test(test_text_budget), cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_detect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
