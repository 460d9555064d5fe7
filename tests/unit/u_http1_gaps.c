/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1.x parser: bytes that were not carried or were lost, and exchanges across the window's
 * edges. See http1_script.h.
 */
#include "http1_script.h"

/* Bytes that were moved but not carried: times are those of the transfer with the last byte. */
static void test_holes(void **state)
{
	(void)state;
	/* A known length is skipped to the byte, in both directions and past the transfer's end. */
	CHECK(0,
	      "POST /u /1.1 200 s90 r100 f200 e220 q1000045 a100041\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, "POST /u HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n" },
	      { C, 110, 105, "{999900}" },
	      { C, 120, 115,
		"{40}"
		"some tail, sixty bytes or so ..."
		"................"
		"............" },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n" },
	      { S, 210, 0, "{50000}" }, { S, 220, 0, "{49989}last bytes" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	/* A chunk that reaches over the hole keeps its framing. */
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e210 q28 a65597\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, CHUNKED "10000\r\nstart of it{65000}" },
	      { S, 210, 0, "{525}\r\n0\r\n\r\n" });
	/* So does one whose end, and at most its line end, lies in it. */
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e210 q28 a76\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, CHUNKED "5\r\nab{3}\r\n3\r\n{4}\n" },
	      { S, 210, 0, "1\r\n{3}0\r\n\r\n" });
	/* Chunk framing lost: a last chunk at the end of a transfer is the end. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e230 q28 a3072\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, CHUNKED "3e8\r\nabcd{1000}" },
	      { S, 210, 0, "{1000}\r\n0\r\n\r\nnot yet" }, { S, 230, 0, "{995}\r\n0\r\n\r\n" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e230 q28 a1062\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, CHUNKED "8\r\n12{1000}34567" }, { S, 230, 0, "0\r\n\r\n" },
	      { DETACH, 300, 0, NULL });
	/* No such sign: until the next answer, and its end is that of the transfer before. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e210 q28 a2052\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, CHUNKED "8\r\n12{1000}" },
	      { S, 210, 0, "{1000}" }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	/* At the end of the window the next request is the sign. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e210 q28 a2052\n"
	      "GET /b h/1.1 0 s290 r300 f0 e0 q28 a0 detach\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, CHUNKED "8\r\n12{1000}" },
	      { S, 210, 0, "{1000}" }, { C, 300, 290, GET("/b") }, { DETACH, 400, 0, NULL });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e0 q28 a2052 detach\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, CHUNKED "8\r\n12{1000}" }, { S, 210, 0, "{1000}" },
	      { DETACH, 400, 0, NULL });
	/* Closed: with a carried tail that is no last chunk it was cut off, without one who knows. */
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e400 q28 a2056 aborted\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, CHUNKED "8\r\n12{1000}" },
	      { S, 210, 0, "{1000}tail" }, { CLOSE, 400, 0, NULL });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e210 q28 a2052 gap\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, CHUNKED "8\r\n12{1000}" }, { S, 210, 0, "{1000}" },
	      { CLOSE, 400, 0, NULL });
	/* Uploads: the same signs; two bytes are still taken for a request when the answer comes. */
	CHECK(0,
	      "POST /u /1.1 200 s90 r100 f200 e200 q2069 a38\n"
	      "POST /v /1.1 200 s290 r300 f400 e400 q1050 a38\n"
	      "GET /b h/1.1 200 s490 r500 f600 e600 q28 a38\n",
	      { C, 100, 90, "POST /u HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{1000}" },
	      { C, 110, 105, "{1011}PUT\r\n0\r\n\r\n" }, { S, 200, 0, OK0 },
	      { C, 300, 290, "POST /v HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{1000}" },
	      { C, 310, 305, "GE" }, { C, 320, 315, "GE" }, { S, 400, 0, OK0 },
	      { C, 500, 490, GET("/b") }, { S, 600, 0, OK0 });
}

/* A continuation is reported when the connection turns, long after it happened. */
static void test_late_continuations(void **state)
{
	(void)state;
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e250 q28 a10042\n"
	      "GET /b h/1.1 200 s290 r300 f400 e450 q28 a1059\n",
	      { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n{1000}" },
	      { C, 300, 290, GET("/b") },
	      { S, 250, 0,
		"{8959}0123456789012345678901234567890"
		"1234567890" },
	      { S, 400, 0, CHUNKED "3e8\r\n{500}" }, { C_EOF, 500, 0, NULL },
	      { S, 450, 0, "{498}xx\r\n0\r\n\r\n" }, { CLOSE, 600, 0, NULL });
}

static void test_hole_in_head(void **state)
{
	(void)state;
	/* What is known is kept; without a length the next head is the end. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e210 q28 a2035\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Le{1000}tail" },
	      { S, 210, 0, "{1000}tail" }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(0,
	      "GET /a /1.1 200 s90 r100 f200 e200 q20022 a38\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, "GET /a HTTP/1.1\r\nCook{20000}\r" }, { S, 200, 0, OK0 },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(0, "GET /a /1.1 0 s90 r100 f0 e0 q20021 a0 detach\n",
	      { C, 100, 90, "GET /a HTTP/1.1\r\nCook{20000}" }, { DETACH, 300, 0, NULL });
	/* The status line itself comes in pieces that are not carried. */
	CHECK(0,
	      "GET /a h/1.1 0 s90 r100 f200 e220 q28 a49\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, "HTTP/1.1 " }, { S, 220, 0, "{40}" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	/* Whole messages inside a hole: no more than one is known of, and no time is. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /b h/1.1 0 s90 r100 f200 e200 q28 a500 gap\n"
	      "GET /c h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") GET("/b") }, { S, 200, 0, OK0 "{500}" },
	      { C, 300, 290, GET("/c") }, { S, 400, 0, OK0 });
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "  /1.0 200 s90 r100 f200 e200 q500 a38 gap\n"
	      "GET /c h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") "{500}" }, { S, 200, 0, OK0 OK0 }, { C, 300, 290, GET("/c") },
	      { S, 400, 0, OK0 });
}

/* Lost bytes: everything in flight is out of the latencies, and the next exchange is in again. */
static void test_lost(void **state)
{
	(void)state;
	/* Inside a body of known length: only this exchange. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e220 q28 a10042 gap\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n" },
	      { S, 220, 0, "{!9990}" }, { S, 220, 0, "0123456789" }, { C, 300, 290, GET("/b") },
	      { S, 400, 0, OK0 });
	/* A whole answer, seen only when the next one comes: the newest request is the one answered. */
	CHECK(0,
	      "GET /a h/1.1 0 s90 r100 f0 e0 q28 a0 gap\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38 gap\n"
	      "GET /c h/1.1 200 s490 r500 f600 e600 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { C, 300, 290, GET("/b") }, { S, 400, 0, "{!38}" },
	      { S, 400, 0, OK0 }, { C, 500, 490, GET("/c") }, { S, 600, 0, OK0 });
	/* A whole request: its answer is nobody's. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "  /1.1 200 s0 r0 f400 e400 q0 a38 gap\n"
	      "GET /c h/1.1 200 s490 r500 f600 e600 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, OK0 }, { S, 400, 0, OK0 },
	      { C, 500, 490, "{!28}" }, { C, 500, 490, GET("/c") }, { S, 600, 0, OK0 });
	/* An answer's head, and its body seen. */
	CHECK(0,
	      "GET /a h/1.1 0 s90 r100 f0 e0 q28 a0 gap\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, GET("/a") }, { S, 210, 0, "{!30}" }, { S, 210, 0, "body" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	/* A request's first half. */
	CHECK(0,
	      "GET /a /1.1 200 s90 r100 f200 e200 q47 a38 gap\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, "GET /a HTTP/1.1\r\n" }, { C, 110, 0, "{!20}" },
	      { C, 110, 0,
		"X: y\r\n\r\n"
		"12" },
	      { S, 200, 0, OK0 }, { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	/* Nothing is made of what may be among the lost. */
	CHECK(0, "GET /a h/1.1 0 s90 r100 f0 e0 q28 a0 gap\n", { C, 100, 90, GET("/a") },
	      { S, 300, 0, "{!38}" }, { CLOSE, 400, 0, NULL });
	/* In the middle of a pipeline: no order is certain until all is answered. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /b h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /c h/1.1 200 s290 r300 f400 e400 q28 a38 gap\n"
	      "GET /d h/1.1 200 s290 r300 f400 e400 q28 a38 gap\n"
	      "GET /e h/1.1 200 s490 r500 f600 e600 q28 a38\n",
	      { C, 100, 90, GET("/a") GET("/b") }, { S, 200, 0, OK0 OK0 },
	      { C, 300, 290, GET("/c") GET("/d") }, { S, 400, 0, "{!20}" }, { S, 400, 0, OK0 OK0 },
	      { C, 500, 490, GET("/e") }, { S, 600, 0, OK0 });
}

/* Pipelining in batches: with the next batch the pairing is right again. */
static void test_lost_batch(void **state)
{
	(void)state;
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /b h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /c h/1.1 200 s290 r300 f400 e400 q28 a38 gap\n"
	      "GET /d h/1.1 0 s290 r300 f0 e0 q28 a0 gap\n"
	      "GET /e h/1.1 200 s490 r500 f600 e600 q28 a38\n"
	      "GET /f h/1.1 200 s490 r500 f600 e600 q28 a38\n",
	      { C, 100, 90, GET("/a") GET("/b") }, { S, 200, 0, OK0 OK0 },
	      { C, 300, 290, GET("/c") GET("/d") }, { S, 390, 0, "{!38}" }, { S, 400, 0, OK0 },
	      { C, 500, 490, GET("/e") GET("/f") }, { S, 600, 0, OK0 OK0 });
	/* Requests that follow each other unasked: in doubt to the end. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /b h/1.1 200 s100 r110 f210 e210 q28 a38\n"
	      "GET /c h/1.1 200 s290 r300 f400 e400 q28 a38 gap\n"
	      "GET /d h/1.1 200 s300 r310 f420 e420 q28 a38 gap\n"
	      "GET /e h/1.1 0 s400 r410 f0 e0 q28 a0 detach gap\n",
	      { C, 100, 90, GET("/a") }, { C, 110, 100, GET("/b") }, { S, 200, 0, OK0 },
	      { S, 210, 0, OK0 }, { C, 300, 290, GET("/c") }, { C, 310, 300, GET("/d") },
	      { S, 390, 0, "{!38}" }, { S, 400, 0, OK0 }, { C, 410, 400, GET("/e") },
	      { S, 420, 0, OK0 }, { DETACH, 500, 0, NULL });
}

static void test_attach(void **state)
{
	(void)state;
	/* Idle when attached. */
	CHECK(MID_STREAM, "GET /a h/1.1 200 s90 r100 f200 e200 q28 a43\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, OK5 }, { DETACH, 300, 0, NULL });
	/* Under way: once, whatever of it is seen. */
	CHECK(MID_STREAM,
	      "  /1.1 500 s0 r0 f200 e210 q0 a43 attach\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { S, 200, 0, "HTTP/1.1 500 OK\r\nContent-Length: 5\r\n\r\nhe" }, { S, 210, 0, "llo" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(MID_STREAM,
	      "  /1.1 200 s0 r0 f200 e200 q0 a38 attach\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 100, 90, "GEneral rest of a body{500}PUT /x" }, { S, 200, 0, OK0 },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(MID_STREAM,
	      "  /1.0 0 s0 r0 f0 e220 q0 a1024 attach\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { S, 210, 0, "rest of an answer" }, { S, 220, 0, "{1000}\r\n0\r\n\r\n" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(MID_STREAM,
	      "  /1.0 0 s0 r0 f0 e220 q0 a1005 attach\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { C, 300, 290, GET("/b") }, { S, 220, 0, "{1000}HTTP/" }, { S, 400, 0, OK0 });
	/* An answer to HEAD, as it turns out. */
	CHECK(MID_STREAM,
	      "  /1.1 200 s0 r0 f200 e200 q0 a41 attach\n"
	      "GET /b h/1.1 200 s290 r300 f400 e400 q28 a38\n",
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" },
	      { C, 300, 290, GET("/b") }, { S, 400, 0, OK0 });
	CHECK(MID_STREAM, "  /1.1 200 s0 r0 f200 e0 q0 a40 attach\n",
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" },
	      { DETACH, 300, 0, NULL });
	CHECK(MID_STREAM, "  /1.1 200 s0 r0 f200 e300 q0 a40 attach aborted\n",
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" },
	      { CLOSE, 300, 0, NULL });
	/* Nothing of a body looks like a request in the middle of a transfer, or by its first word. */
	CHECK_MASKED(MID_STREAM, "xxxxxxxxxxxxxxxxxxxxxxGET xxxxxxxxxxPUT xxGET /a HTTP/1.1\n\n",
		     "", { C, 100, 90, "xx GET / HTTP/1.1\r\n\r\nx" },
		     { C, 110, 100, "GET me a cup" }, { C, 120, 0, "xx" },
		     { C, 120, 110, "PUT it" }, { C, 130, 120, "GET /a HTTP/1.1\n\n" });
}

static void test_detach(void **state)
{
	(void)state;
	CHECK(0, "GET /a h/1.1 0 s90 r100 f0 e0 q28 a0 detach\n", { C, 100, 90, GET("/a") },
	      { DETACH, 300, 0, NULL });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e0 q28 a40 detach\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" },
	      { DETACH, 300, 0, NULL });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e0 q28 a22 detach\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nConte" }, { DETACH, 300, 0, NULL });
	CHECK(0, "POST /u /1.1 0 s90 r100 f0 e0 q40 a0 detach\n",
	      { C, 100, 90, "POST /u HTTP/1.1\r\nContent-Length: 5\r\n\r\nb" },
	      { DETACH, 300, 0, NULL });
	CHECK(0, "POST /u /1.1 0 s90 r100 f110 e0 q61 a25 i1 detach\n",
	      { C, 100, 90,
		"POST /u HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n" },
	      { S, 110, 0, "HTTP/1.1 100 Continue\r\n\r\n" }, { DETACH, 300, 0, NULL });
	CHECK(0, "GET /a /1.1 0 s90 r100 f0 e0 q22 a0 detach\n",
	      { C, 100, 90, "GET /a HTTP/1.1\r\nHost:" }, { DETACH, 300, 0, NULL });
	CHECK(0, "", { C, 100, 90, "GET /a HTTP/1." }, { DETACH, 300, 0, NULL });
	CHECK(0, "", { DETACH, 300, 0, NULL });
}

static void test_aborted(void **state)
{
	(void)state;
	CHECK(0, "GET /a h/1.1 0 s90 r100 f0 e300 q28 a0 aborted\n", { C, 100, 90, GET("/a") },
	      { C_EOF, 250, 0, NULL }, { CLOSE, 300, 0, NULL });
	CHECK(0, "GET /a h/1.1 0 s90 r100 f0 e250 q28 a0 aborted\n", { C, 100, 90, GET("/a") },
	      { C_ERR, 250, ECONNRESET, NULL }, { CLOSE, 300, 0, NULL });
	/* Reset and never closed. */
	CHECK(0, "GET /a h/1.1 0 s90 r100 f0 e250 q28 a0 aborted\n", { C, 100, 90, GET("/a") },
	      { S_ERR, 250, EPIPE, NULL }, { DETACH, 300, 0, NULL });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e300 q28 a40 aborted\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" },
	      { CLOSE, 300, 0, NULL });
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e300 q28 a52 aborted\n", { C, 100, 90, GET("/a") },
	      { S, 200, 0, CHUNKED "9\r\nhe" }, { CLOSE, 300, 0, NULL });
	/* All of a pipeline. */
	CHECK(0,
	      "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n"
	      "GET /b h/1.1 200 s90 r100 f200 e300 q28 a15 aborted\n"
	      "GET /c h/1.1 0 s90 r100 f0 e300 q28 a0 aborted\n",
	      { C, 100, 90, GET("/a") GET("/b") GET("/c") "GET /d HTTP/1.1\r\n" },
	      { S, 200, 0, OK0 "HTTP/1.1 200 OK" }, { CLOSE, 300, 0, NULL });
	/* Half a request is none. */
	CHECK(0, "", { C, 100, 90, "GET /a HTTP/1.1\r\nHost: h\r\n" }, { CLOSE, 300, 0, NULL });
	/* The client closes its half and waits. */
	CHECK(0, "GET /a h/1.1 200 s90 r100 f200 e200 q28 a38\n", { C, 100, 90, GET("/a") },
	      { C_EOF, 150, 0, NULL }, { S, 200, 0, OK0 }, { CLOSE, 300, 0, NULL });
}

static void test_timeout(void **state)
{
	(void)state;
	CHECK(CLIENT_ROLE, "GET /a h/1.1 0 s90 r100 f0 e300 q28 a0 aborted timeout\n",
	      { C, 100, 90, GET("/a") }, { CLOSE, 300, 0, NULL });
	CHECK(CLIENT_ROLE, "GET /a h/1.1 0 s90 r100 f0 e250 q28 a0 aborted\n",
	      { C, 100, 90, GET("/a") }, { S_EOF, 250, 0, NULL }, { CLOSE, 300, 0, NULL });
	CHECK(CLIENT_ROLE, "GET /a h/1.1 0 s90 r100 f0 e250 q28 a0 aborted\n",
	      { C, 100, 90, GET("/a") }, { S_ERR, 250, ECONNRESET, NULL }, { CLOSE, 300, 0, NULL });
	CHECK(CLIENT_ROLE, "GET /a h/1.1 0 s90 r100 f0 e250 q28 a0 aborted timeout\n",
	      { C, 100, 90, GET("/a") }, { S_ERR, 250, ETIMEDOUT, NULL }, { CLOSE, 300, 0, NULL });
	CHECK(CLIENT_ROLE, "GET /a h/1.1 200 s90 r100 f200 e300 q28 a40 aborted timeout\n",
	      { C, 100, 90, GET("/a") },
	      { S, 200, 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe" },
	      { CLOSE, 300, 0, NULL });
	/* A server that closes after its answer is no failure. */
	CHECK(CLIENT_ROLE, "GET /a h/1.1 200 s90 r100 f200 e220 q28 a24\n",
	      { C, 100, 90, GET("/a") }, { S, 200, 0, "HTTP/1.0 200 OK\r\n\r\n" },
	      { S, 220, 0, "hello" }, { S_EOF, 250, 0, NULL }, { CLOSE, 300, 0, NULL });
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_holes),	     cmocka_unit_test(test_late_continuations),
		cmocka_unit_test(test_hole_in_head), cmocka_unit_test(test_lost),
		cmocka_unit_test(test_lost_batch),   cmocka_unit_test(test_attach),
		cmocka_unit_test(test_detach),	     cmocka_unit_test(test_aborted),
		cmocka_unit_test(test_timeout),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
