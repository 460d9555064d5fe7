/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scripts of transfers for the HTTP/1.x parser, and the exact exchanges that must come out.
 *
 * A script is a list of transfers; "{1000}" in a text is a hole of 1000 bytes by verdict, "{!1000}"
 * one by loss. Every script is fed whole, byte by byte and in random cuts; each of these runs is
 * then fed again with its own masked bytes, and once more with literals shown. Exchanges must be the
 * same in all of them, masked bytes too, and shown bytes must be untouched.
 *
 * An exchange prints as "METHOD PATH HOST/1.MINOR STATUS s r f e q a [iN] flags": start, read, first
 * and end time, bytes of request and answer, interim answers.
 */
#ifndef TESTS_HTTP1_SCRIPT_H
#define TESTS_HTTP1_SCRIPT_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "proto/proto.h"

enum what {
	C, /* transfer of client bytes */
	S,
	C_EOF,
	S_EOF,
	C_ERR, /* aux is errno */
	S_ERR,
	CLOSE,
	DETACH,
};

struct step {
	enum what what;
	u64 ts_ns;
	u64 aux; /* arrival_ns of what the target received, enter_ns of what it sent; 0 = not known */
	const char *text;
};

enum opts {
	CLIENT_ROLE = 1,
	MID_STREAM = 2,
	LITERALS = 4,
	CUTS_SHOW = 8, /* masks depend on the cut: compare nothing between cuts */
	PATH_SHOWN = 16, /* the path is another one when literals are shown */
};

struct world {
	struct proto_ctx ctx;
	struct proto_sink sink;
	void *state;
	struct buf lines; /* an exchange a line */
	struct buf bytes; /* what feed() left, in order */
	struct hp_verdict verdict;
	u32 verdicts;
	u32 drops[DROP_MAX];
	u32 rng;
};

static inline u32 rnd(struct world *w)
{
	w->rng = w->rng * 1664525u + 1013904223u;
	return w->rng >> 8;
}

static inline void on_http(void *arg, const struct http_exchange *x)
{
	static const char *const names[] = { "attach",	   "detach",	"aborted",
					     "gap",	   "timeout",	"upgraded",
					     "no_arrival", "truncated", "unknown" };
	struct world *w = arg;
	size_t i;

	assert_int_equal(x->conn_id, 7);
	assert_int_equal(x->target, 3);
	buf_addf(&w->lines, "%.*s %.*s %.*s/1.%u %u s%llu r%llu f%llu e%llu q%llu a%llu",
		 (int)x->method.n, x->method.p, (int)x->path.n, x->path.p, (int)x->host.n,
		 x->host.p, x->http_minor, x->status, (unsigned long long)x->start_ns,
		 (unsigned long long)x->read_ns, (unsigned long long)x->first_ns,
		 (unsigned long long)x->end_ns, (unsigned long long)x->request_bytes,
		 (unsigned long long)x->response_bytes);
	if (x->interim)
		buf_addf(&w->lines, " i%u", x->interim);
	for (i = 0; i < ARRAY_SIZE(names); i++)
		if (x->flags & 1u << i)
			buf_addf(&w->lines, " %s", names[i]);
	buf_addch(&w->lines, '\n');
}

static inline void on_db(void *arg, const struct db_call *c)
{
	(void)arg;
	(void)c;
	fail();
}

static inline void on_db_event(void *arg, const struct db_event *e)
{
	(void)arg;
	(void)e;
	fail();
}

static inline void on_verdict(void *arg, const struct hp_verdict *v)
{
	struct world *w = arg;

	w->verdict = *v;
	w->verdicts++;
}

static inline void on_drop(void *arg, enum hp_drop why)
{
	((struct world *)arg)->drops[why]++;
}

static inline void world_open(struct world *w, unsigned opts, u32 seed)
{
	memset(w, 0, sizeof(*w));
	w->rng = seed;
	w->sink = (struct proto_sink){ w, on_http, on_db, on_db_event, on_verdict, on_drop };
	w->ctx = (struct proto_ctx){
		.sink = &w->sink,
		.conn_id = 7,
		.role = opts & CLIENT_ROLE ? HP_ROLE_CLIENT : HP_ROLE_SERVER,
		.mid_stream = (opts & MID_STREAM) != 0,
		.show_literals = (opts & LITERALS) != 0,
		.target = 3,
		.path = "",
	};
	w->state = calloc(1, proto_http1.state_size);
	assert_non_null(w->state);
	assert_int_equal(proto_http1.init(w->state, &w->ctx), 0);
}

static inline void world_close(struct world *w)
{
	proto_http1.release(w->state);
	free(w->state);
	buf_release(&w->lines);
	buf_release(&w->bytes);
}

static inline void feed(struct world *w, struct proto_in *in)
{
	u8 *copy = NULL;

	if (in->data) {
		/* Its own block, so that a byte read or written outside is found. */
		copy = malloc(in->len ? in->len : 1);
		assert_non_null(copy);
		memcpy(copy, in->data, in->len);
		in->data = copy;
	}
	proto_http1.feed(w->state, &w->ctx, in);
	if (copy)
		buf_add(&w->bytes, copy, in->len);
	free(copy);
}

/* cut 0: as few runs as can be; 1: single bytes; 2..: random. */
static inline size_t cut_len(struct world *w, u32 cut, size_t n)
{
	if (!cut || n < 2)
		return n;
	if (cut == 1)
		return 1;
	return 1 + rnd(w) % (rnd(w) % 3 ? MIN(n, 12u) : n);
}

static inline void feed_transfer(struct world *w, const struct step *t, const char *text, size_t n,
				 const u8 *bytes, u32 cut)
{
	struct proto_in in = {
		.side = t->what == C ? PROTO_CLIENT : PROTO_SERVER,
		.start = true,
		.ts_ns = t->ts_ns,
		.tgid = 11,
		.tid = 12,
	};
	const char *p = text, *end = text + n, *q;
	u64 hole;
	size_t k;

	if ((in.side == PROTO_CLIENT) == (w->ctx.role == HP_ROLE_SERVER))
		in.arrival_ns = t->aux;
	else
		in.enter_ns = t->aux;
	while (p < end) {
		if (*p == '{') {
			in.lost = p[1] == '!';
			hole = strtoull(p + 1 + in.lost, (char **)&q, 10);
			assert_int_equal(*q, '}');
			p = q + 1;
			/* Holes come in several pieces too. */
			k = cut > 1 && hole > 1 ? 1 + rnd(w) % (hole - 1) : 0;
			in.data = NULL;
			if (k) {
				in.len = k;
				feed(w, &in);
				in.start = false;
			}
			in.len = hole - k;
			in.end = p == end;
			feed(w, &in);
			in.lost = false;
			in.start = false;
			continue;
		}
		q = memchr(p, '{', (size_t)(end - p));
		k = cut_len(w, cut, (size_t)((q ? q : end) - p));
		in.data = (u8 *)(bytes ? bytes : (const u8 *)p);
		in.len = k;
		in.end = p + k == end;
		feed(w, &in);
		in.start = false;
		p += k;
		if (bytes)
			bytes += k;
	}
}

static inline void run(struct world *w, const struct step *t, size_t n, const u8 *bytes, u32 cut)
{
	const char *p;
	size_t i;

	for (i = 0; i < n; i++, t++) {
		switch (t->what) {
		case C:
		case S:
			feed_transfer(w, t, t->text, strlen(t->text), bytes, cut);
			for (p = t->text; bytes && *p; p++) {
				if (*p == '{')
					p = strchr(p, '}');
				else
					bytes++;
			}
			break;
		case C_EOF:
		case S_EOF:
			proto_http1.eof(w->state, &w->ctx,
					t->what == C_EOF ? PROTO_CLIENT : PROTO_SERVER, t->ts_ns,
					0);
			break;
		case C_ERR:
		case S_ERR:
			proto_http1.eof(w->state, &w->ctx,
					t->what == C_ERR ? PROTO_CLIENT : PROTO_SERVER, t->ts_ns,
					(int)t->aux);
			break;
		case CLOSE:
		case DETACH:
			proto_http1.finish(w->state, &w->ctx, t->ts_ns, t->what == CLOSE);
			break;
		}
	}
}

/* A transfer outside a script. */
static inline void transfer(struct world *w, enum what what, u64 ts_ns, const char *text)
{
	const struct step t = { what, ts_ns, 0, text };

	feed_transfer(w, &t, text, strlen(text), NULL, 0);
}

#define assert_buf(b, want, want_n)                                                                \
	do {                                                                                       \
		assert_string_equal((b).p ? (b).p : "", want);                                     \
		assert_int_equal((b).n, want_n);                                                   \
	} while (0)

/* want_masked: what is left of all carried bytes; NULL = not compared. */
static inline void check_masked(const struct step *t, size_t n, unsigned opts, const char *want,
				const char *want_masked)
{
	struct buf first = BUF_INIT, raw = BUF_INIT;
	struct world w, again;
	const char *p;
	size_t i;
	u32 cut;

	for (i = 0; i < n; i++) {
		for (p = t[i].text; p && *p; p++) {
			if (*p == '{')
				p = strchr(p, '}');
			else
				buf_addch(&raw, *p);
		}
	}
	for (cut = 0; cut < 40; cut++) {
		world_open(&w, opts, cut);
		run(&w, t, n, NULL, cut);
		if (!cut) {
			buf_add_slice(&first, buf_slice(&w.bytes));
			if (want_masked)
				assert_buf(w.bytes, want_masked, strlen(want_masked));
		}
		if (!cut || !(opts & CUTS_SHOW)) {
			assert_buf(w.lines, want, strlen(want));
			assert_buf(w.bytes, first.p ? first.p : "", first.n);
		}

		world_open(&again, opts, cut);
		run(&again, t, n, (const u8 *)(w.bytes.p ? w.bytes.p : ""), cut);
		assert_buf(again.lines, w.lines.p ? w.lines.p : "", w.lines.n);
		assert_buf(again.bytes, w.bytes.p ? w.bytes.p : "", w.bytes.n);
		world_close(&again);
		world_close(&w);

		world_open(&w, opts | LITERALS, cut);
		run(&w, t, n, NULL, cut);
		if (!(opts & (CUTS_SHOW | PATH_SHOWN)))
			assert_buf(w.lines, want, strlen(want));
		assert_buf(w.bytes, raw.p ? raw.p : "", raw.n);
		world_close(&w);
	}
	buf_release(&first);
	buf_release(&raw);
}

#define CHECK(opts, want, ...)                                                                     \
	do {                                                                                       \
		const struct step steps_[] = { __VA_ARGS__ };                                      \
		check_masked(steps_, ARRAY_SIZE(steps_), opts, want, NULL);                        \
	} while (0)

#define CHECK_MASKED(opts, masked, want, ...)                                                      \
	do {                                                                                       \
		const struct step steps_[] = { __VA_ARGS__ };                                      \
		check_masked(steps_, ARRAY_SIZE(steps_), opts, want, masked);                      \
	} while (0)

#define GET(path) "GET " path " HTTP/1.1\r\nHost: h\r\n\r\n" /* 26 bytes and the path */
#define OK0 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" /* 38 bytes */
#define OK5 "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello" /* 43 bytes */
#define WS "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" /* 61 */
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" /* 47 bytes */

#endif
