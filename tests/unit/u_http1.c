/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.x parser: messages of all framings, seen whole. See http1_script.h. */
#include "http1_script.h"

static void test_plain(void **state)
{
	(void)state;
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e200 q28 a43\n", { C, 100, 90, GET("/a") },
	      { S, 200, 190, OK5 }, { CLOSE, 300, 0, NULL });
	/* Times of the client role: entry of the send, exits of the receives. */
	CHECK(CLIENT_ROLE, "GET /a h/1.1 200 s90 r100 f200 e200 q28 a43\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 190, OK5 }, { CLOSE, 300, 0, NULL });
	CHECK(CLIENT_ROLE, "GET /a h/1.1 200 s100 r100 f200 e200 q28 a43\n",
	      { C, 100, 0, GET("/a") }, { S, 200, 190, OK5 }, { CLOSE, 300, 0, NULL });
	/* An arrival after the read cannot be. */
	CHECK(0, "GET /a h/1.1 200 s100 r100 f200 e200 q28 a43 no_arrival\n",
	      { C, 100, 101, GET("/a") }, { S, 200, 190, OK5 });
	CHECK(0, "GET /a h/1.1 200 s100 r100 f200 e200 q28 a43 no_arrival\n",
	      { C, 100, 0, GET("/a") }, { S, 200, 190, OK5 });
	/* Head and body in several transfers each. */
	CHECK(0, "POST /u h/1.1 201 s90 r100 f200 e230 q55 a48\n", { C, 100, 90, "POST /u HT" },
	      { C, 110, 105, "TP/1.1\r\nHost: h\r\nContent-Le" }, { C, 120, 115, "ngth: 7\r\n\r" },
	      { C, 130, 125, "\nbod" }, { C, 140, 135, "ybod" }, { S, 200, 0, "HTTP/1.1 201 Cre" },
	      { S, 210, 0, "ated\r\nContent-Length: 5\r\n\r\n" }, { S, 220, 0, "h" },
	      { S, 230, 0, "ello" }, { DETACH, 300, 0, NULL });
}

static void test_keep_alive(void **state)
{
	(void)state;
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a43\n"
	      "PUT /b h/1.1 200 s290 r300 f400 e400 q50 a38\n"
	      "GET /c h/1.1 200 s490 r500 f600 e600 q28 a43\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, OK5 },
	      { C, 300, 290, "PUT /b HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc" },
	      { S, 400, 0, OK0 }, { C, 500, 490, GET("/c") }, { S, 600, 0, OK5 },
	      { DETACH, 700, 0, NULL });
	/* Empty lines before a request are nobody's. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a43\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, "\r\n\n" GET("/a") "\r\n" }, { S, 200, 0, OK5 },
	      { C, 250, 240, "\r\n" }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
}

static void test_pipelining(void **state)
{
	(void)state;
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a43\n"
	      "HEAD /b h/1.1 200 s90 r100 f200 e200 q29 a38\n"
	      "GET /c h/1.1 200 s90 r100 f200 e210 q28 a43\n"
	      "GET /d h/1.1 200 s90 r100 f210 e210 q28 a38\n",
	      { C, 100, 90, GET("/a") "HEAD /b HTTP/1.1\r\nHost: h\r\n\r\n" GET("/c") "GET " },
	      { C, 110, 109, "/d HTTP/1.1\r\nHost: h\r\n\r\n" },
	      { S, 200, 0,
		OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
		    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel" },
	      { S, 210, 0, "lo" OK0 });
}

static void test_pipelining_first_byte(void **state)
{
	(void)state;
	/* "GET " of /d came with the transfer before: that one's times count. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /d h/1.1 200 s90 r100 f300 e300 q28 a38\n",
	      { C, 100, 90, GET("/a") "G" }, { C, 110, 109, "ET /d HTTP/1.1\r\nHost: h\r\n\r\n" },
	      { S, 200, 0, OK0 }, { S, 300, 0, OK0 });
}

static void test_chunked(void **state)
{
	(void)state;
	CHECK_MASKED(0,
		     "POST /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		     "5;xxxxxxxxx\r\nxxxxx\r\n00a \r\nxxxxxxxxxx\r\n0\r\nX-Sum: xxx\r\n\r\n"
		     "HTTP/1.1 200 xx\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n"
		     "3\nxxx\n0\n\n",
		     "POST /u /1.1 200 s90 r100 f200 e220 q103 a62\n",
		     { C, 100, 90,
		       "POST /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
		       "5;ext=\"s3c\"\r\nhello\r\n00a \r\n0123456789\r\n0\r\nX-Sum: abc\r\n\r\n" },
		     { S, 200, 0, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n" },
		     { S, 210, 0, "3\nab" }, { S, 220, 0, "c\n0\n\n" });
	/* An allow-listed name in a trailer is no head any more. */
	CHECK_MASKED(
		0,
		"GET / HTTP/1.0\n\nHTTP/1.1 200 xx\r\n"
		"Transfer-Encoding: chunked\r\n\r\n0\r\nHost: xxx\r\nContent-Length: x\r\n\r\n",
		"GET / /1.0 200 s90 r100 f200 e200 q16 a82\n", { C, 100, 90, "GET / HTTP/1.0\n\n" },
		{ S, 200, 0, CHUNKED "0\r\nHost: abc\r\nContent-Length: 9\r\n\r\n" });
}

static void test_answers_without_body(void **state)
{
	(void)state;
	CHECK(0,
	      "HEAD /a /1.1 200 s90 r100 f200 e200 q20 a47\n"
	      "GET /b h/1.1 304 s290 r300 f400 e400 q28 a48\n"
	      "DELETE /c /1.1 204 s490 r500 f600 e600 q22 a27\n"
	      "GET /d h/1.1 200 s690 r700 f800 e800 q28 a43\n",
	      { C, 100, 90, "HEAD /a HTTP/1.1\r\n\r\n" }, { S, 200, 0, CHUNKED },
	      { C, 300, 290, GET("/b") },
	      { S, 400, 0, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" },
	      { C, 500, 490, "DELETE /c HTTP/1.1\r\n\r\n" },
	      { S, 600, 0, "HTTP/1.1 204 No Content\r\n\r\n" }, { C, 700, 690, GET("/d") },
	      { S, 800, 0, OK5 });
}

static void test_interim(void **state)
{
	(void)state;
	CHECK(0, "POST /u /1.1 200 s90 r100 f300 e300 q64 a63 i1\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" },
	      { S, 150, 0, "HTTP/1.1 100 Continue\r\n\r\n" }, { C, 200, 190, "abc" },
	      { S, 300, 0, OK0 });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f300 e310 q28 a99 i2\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" },
	      { S, 300, 0,
		"HTTP/1.1 102\r\n\r\n"
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" },
	      { S, 310, 0, "llo" });
	/* Refused: the body never comes, the next request does. */
	CHECK(0,
	      "POST /u /1.1 417 s90 r100 f150 e150 q61 a40\n"
	      "GET /b h/1.1 200 s190 r200 f300 e300 q28 a38\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" },
	      { S, 150, 0, "HTTP/1.1 417 Nope\r\nContent-Length: 0\r\n\r\n" },
	      { C, 200, 190, GET("/b") }, { S, 300, 0, OK0 });
	/* Refused, and the body comes all the same. */
	CHECK(0,
	      "POST /u /1.1 417 s90 r100 f150 e150 q64 a40\n"
	      "GET /b h/1.1 200 s190 r200 f300 e300 q28 a38\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" },
	      { S, 150, 0, "HTTP/1.1 417 Nope\r\nContent-Length: 0\r\n\r\n" },
	      { C, 180, 170, "GEX" }, { C, 200, 190, GET("/b") }, { S, 300, 0, OK0 });
}

static void test_early_answer(void **state)
{
	(void)state;
	/* Answered before the upload ended: all of the request counts, the time does not wait. */
	CHECK(0,
	      "POST /u /1.1 200 s90 r100 f150 e150 q50 a38\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, "POST /u HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc" },
	      { S, 150, 0, OK0 }, { C, 200, 190, "{7}" }, { C, 300, 290, GET("/b") },
	      { S, 400, 0, OK0 });
	CHECK(0, "POST /u /1.1 200 s90 r100 f150 e150 q43 a38\n",
	      { C, 100, 90, "POST /u HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc" },
	      { S, 150, 0, OK0 }, { CLOSE, 200, 0, NULL });
	/* Answered before its head ended. */
	CHECK(0, "GET /long /1.1 431 s90 r100 f150 e150 q26 a35\n",
	      { C, 100, 90, "GET /long HTTP/1.1\r\nCookie" },
	      { S, 150, 0, "HTTP/1.1 431\r\nContent-Length: 0\r\n\r\n" }, { CLOSE, 200, 0, NULL });
}

static void test_close_delimited(void **state)
{
	(void)state;
	CHECK(0, "GET /a /1.0 200 s90 r100 f200 e300 q19 a34\n",
	      { C, 100, 90, "GET /a HTTP/1.0\r\n\r\n" }, { C_EOF, 110, 0, NULL },
	      { S, 200, 0, "HTTP/1.0 200 OK\r\n\r\nsome " }, { S, 300, 0, "words\r\n0\r\n" },
	      { S_EOF, 400, 0, NULL }, { CLOSE, 500, 0, NULL });
	/* Nobody shut it down before the close. */
	CHECK(0, "GET /a /1.0 200 s90 r100 f200 e300 q19 a1024\n",
	      { C, 100, 90, "GET /a HTTP/1.0\r\n\r\n" },
	      { S, 200, 0, "HTTP/1.0 200 OK\r\n\r\nsome " }, { S, 300, 0, "{1000}" },
	      { CLOSE, 500, 0, NULL });
	/* Reset, or still open at the end. */
	CHECK(0, "GET /a /1.0 200 s90 r100 f200 e400 q19 a24 aborted\n",
	      { C, 100, 90, "GET /a HTTP/1.0\r\n\r\n" },
	      { S, 200, 0, "HTTP/1.0 200 OK\r\n\r\nsome " }, { C_ERR, 400, ECONNRESET, NULL },
	      { CLOSE, 500, 0, NULL });
	CHECK(0, "GET /a /1.0 200 s90 r100 f200 e0 q19 a24 detach\n",
	      { C, 100, 90, "GET /a HTTP/1.0\r\n\r\n" },
	      { S, 200, 0, "HTTP/1.0 200 OK\r\n\r\nsome " }, { DETACH, 500, 0, NULL });
}

static void test_tolerance(void **state)
{
	(void)state;
	/* Bare LF, folded lines, blanks around the colon, lines that are no headers. */
	CHECK_MASKED(0,
		     "GET /a HTTP/1.1 \nX: x\n xxxx\n\txx\r\nHost : \n  h.example\n"
		     "xxxxxxxxxx\r\nno-colon\nxxxx\nAxxx\n\rxx\n\n"
		     "HTTP/1.1 200 xx\ncontent-LENGTH:\t5 \n\nxxxxx",
		     "GET /a h.example/1.1 200 s90 r100 f200 e200 q89 a41\n",
		     { C, 100, 90,
		       "GET /a HTTP/1.1 \nX: 1\n fold\n\tad\r\nHost : \n  h.example\n"
		       "(no line)!\r\nno-colon\n: xy\nA\x7f\x7f?\n\rab\n\n" },
		     { S, 200, 0, "HTTP/1.1 200 OK\ncontent-LENGTH:\t5 \n\nhello" });
	/* Targets: absolute, asterisk, authority, and forms that do not exist. */
	CHECK_MASKED(0,
		     "GET HTTPS://xxxxxxxxx/p/q?xxx HTTP/1.1\r\n\r\n"
		     "HTTP/1.1 200 xx\r\nContent-Length: 0\r\n\r\n"
		     "GET http://xxxx?xxx HTTP/1.1\r\n\r\n"
		     "HTTP/1.1 200 xx\r\nContent-Length: 0\r\n\r\n"
		     "OPTIONS * HTTP/1.1\r\n\r\n"
		     "HTTP/1.1 200 xx\r\nContent-Length: 0\r\n\r\n"
		     "M-SEARCH  xxxxxxxx HTTP/1.1\r\n\r\n"
		     "HTTP/1.1 200 xx\r\nContent-Length: 0\r\n\r\n"
		     "CONNECT a.b:443 HTTP/1.1\r\n\r\n"
		     "HTTP/1.1 502 xx\r\nContent-Length: 0\r\n\r\n",
		     "GET /p/q /1.1 200 s90 r100 f200 e200 q42 a38\n"
		     "GET / /1.1 200 s290 r300 f400 e400 q32 a38\n"
		     "OPTIONS * /1.1 200 s490 r500 f600 e600 q22 a38\n"
		     "M-SEARCH  /1.1 200 s690 r700 f800 e800 q31 a38\n"
		     "CONNECT a.b:443 /1.1 502 s890 r900 f950 e950 q28 a38\n",
		     { C, 100, 90, "GET HTTPS://u:pw@h:80/p/q?a=b HTTP/1.1\r\n\r\n" },
		     { S, 200, 0, OK0 }, { C, 300, 290, "GET http://host?a=b HTTP/1.1\r\n\r\n" },
		     { S, 400, 0, OK0 }, { C, 500, 490, "OPTIONS * HTTP/1.1\r\n\r\n" },
		     { S, 600, 0, OK0 }, { C, 700, 690, "M-SEARCH  foo:host HTTP/1.1\r\n\r\n" },
		     { S, 800, 0, OK0 }, { C, 900, 890, "CONNECT a.b:443 HTTP/1.1\r\n\r\n" },
		     { S, 950, 0, "HTTP/1.1 502 no\r\nContent-Length: 0\r\n\r\n" });
}

/* No request of HTTP/1.x: it counts if it is answered, and all of it is masked. */
static void test_bad_requests(void **state)
{
	(void)state;
	CHECK_MASKED(0,
		     "GET /a HTTP/?xxxxxxxxxxxxxxxxxxxx"
		     "HTTP/1.1 400 xxx\r\nContent-Length: 0\r\n\r\n",
		     "GET /a /1.0 400 s90 r100 f200 e200 q33 a39\n",
		     { C, 100, 90, "GET /a HTTP/2.0 x\r\nkey: value\r\n\r\n" },
		     { S, 200, 0, "HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n" },
		     { CLOSE, 300, 0, NULL });
}

/* Bytes behind a body that are no request; each row's last byte kept is the one that shows it. */
static void test_bad_bytes(void **state)
{
	(void)state;
	CHECK_MASKED(
		0,
		"POST /u HTTP/1.1\r\nContent-Length: 2\r\n\r\nxxno?xxxxxxxx"
		"HTTP/1.1 200 xx\r\nContent-Length: 0\r\n\r\n"
		"HTTP/1.1 400 xxx\r\n\r\n",
		"POST /u /1.1 200 s90 r100 f200 e200 q41 a38\n"
		"  /1.0 400 s90 r100 f210 e210 q11 a20\n",
		{ C, 100, 90, "POST /u HTTP/1.1\r\nContent-Length: 2\r\n\r\nabno: way\r\n\r\n" },
		{ S, 200, 0, OK0 }, { S, 210, 0, "HTTP/1.1 400 Bad\r\n\r\n" },
		{ CLOSE, 300, 0, NULL });
	CHECK_MASKED(0, "?xxx", "", { C, 100, 90, "\x16\x03\x01\x02" }, { CLOSE, 300, 0, NULL });
	CHECK_MASKED(0, "GET \rx", "", { C, 100, 90, "GET \r\n" }, { CLOSE, 300, 0, NULL });
	CHECK_MASKED(0, "GET /a?x\rx", "", { C, 100, 90, "GET /a?b\r\n" }, { CLOSE, 300, 0, NULL });
	CHECK_MASKED(0, "GET / HTTP/1.1 ?xx", "", { C, 100, 90, "GET / HTTP/1.1 x\r\n" },
		     { CLOSE, 300, 0, NULL });
	CHECK_MASKED(0, "GET / HTTP/1.?xx", "", { C, 100, 90, "GET / HTTP/1.x\r\n" },
		     { CLOSE, 300, 0, NULL });
	CHECK_MASKED(0, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF?xxx", "",
		     { C, 100, 90, "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJ" },
		     { CLOSE, 300, 0, NULL });
	/* A method that is only known by name, and a target that no method has. */
	CHECK_MASKED(MID_STREAM, "CONNECT ?x HTTP/1.1\r\n\r\n",
		     "CONNECT  /1.1 0 s90 r100 f0 e0 q23 a0 detach\n",
		     { C, 100, 90, "CONNECT ?x HTTP/1.1\r\n\r\n" }, { DETACH, 300, 0, NULL });
}

/* A request whose lengths disagree ends where the next one begins. */
static void test_smuggling(void **state)
{
	(void)state;
	CHECK(0,
	      "POST /u /1.1 200 s90 r100 f200 e200 q79 a38\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"
		"1\r\na\r\n0\r\n\r\n" },
	      { S, 200, 0, OK0 }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(0,
	      "POST /u /1.1 200 s90 r100 f200 e200 q61 a38\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc" },
	      { S, 200, 0, OK0 }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	/* The same length twice is one length. */
	CHECK(0,
	      "POST /u /1.1 200 s90 r100 f200 e200 q64 a38\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nContent-Length: 3, 3\r\nContent-Length: 3\r\n\r\nabc" },
	      { S, 200, 0, OK0 }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
}

static void test_upgrade(void **state)
{
	(void)state;
	CHECK_MASKED(0,
		     WS "HTTP/1.1 101 xx\r\nUpgrade: websocket\r\n\r\nxxxxx"
			"xxxxxxxxxxxxxxxxxxxxxxxxxxxx",
		     "GET /ws /1.1 101 s90 r100 f200 e200 q61 a39 upgraded\n", { C, 100, 90, WS },
		     { S, 200, 0, "HTTP/1.1 101 SP\r\nUpgrade: websocket\r\n\r\nframe" },
		     { C, 300, 290, GET("/b") }, { S, 400, 0, "{77}" }, { CLOSE, 500, 0, NULL });
	/* Declined: an exchange like any other. */
	CHECK(0,
	      "GET /ws /1.1 200 s90 r100 f200 e200 q61 a38\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, WS }, { S, 200, 0, OK0 }, { C, 300, 290, GET("/b") },
	      { S, 400, 0, OK0 });
	CHECK(CLIENT_ROLE, "CONNECT a:443 /1.1 200 s90 r100 f200 e200 q26 a19 upgraded\n",
	      { C, 100, 90, "CONNECT a:443 HTTP/1.1\r\n\r\n" },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\n\r\n" }, { C, 300, 290, "\x16\x03\x01{500}" },
	      { CLOSE, 500, 0, NULL });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_keep_alive),
		cmocka_unit_test(test_pipelining),
		cmocka_unit_test(test_pipelining_first_byte),
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_answers_without_body),
		cmocka_unit_test(test_interim),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_close_delimited),
		cmocka_unit_test(test_tolerance),
		cmocka_unit_test(test_bad_requests),
		cmocka_unit_test(test_bad_bytes),
		cmocka_unit_test(test_smuggling),
		cmocka_unit_test(test_upgrade),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
