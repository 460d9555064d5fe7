/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: HTTP/1.x parser.
 *
 * Input: a byte of flags (1 client role, 2 open before attach), then steps of three bytes (what, u16
 * little-endian length) and, for runs, that many bytes. `what`: bit 0 side, bits 1-2 kind (run, hole,
 * lost hole, end of a side), bit 3 starts a transfer, bit 4 ends it, bit 5 sets an error.
 *
 * Checked beyond memory safety: masked bytes fed again give the same exchanges and bytes; so does
 * any other cut of the runs; with literals shown no byte changes; exchanges are bounded in size and
 * number. A segment with '@' may be masked otherwise in another cut, so such inputs are not recut.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "proto/proto.h"

#define STEPS_MAX 512
#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum kind {
	RUN,
	HOLE,
	LOST,
	END,
};

struct step {
	u8 what;
	u64 len;
	u64 ts_ns;
	const u8 *data;
};

struct world {
	struct buf seen; /* exchanges as text */
	struct buf bytes; /* what the parser left */
	u64 exchanges;
};

static void on_http(void *arg, const struct http_exchange *x)
{
	struct world *w = arg;

	CHECK(x->method.n <= 32 && x->path.n <= 1024 && x->host.n <= 255);
	CHECK(!(x->end_ns && x->start_ns && x->end_ns < x->start_ns) || (x->flags & SPAN_GAP));
	w->exchanges++;
	buf_add_slice(&w->seen, x->method);
	buf_addch(&w->seen, ' ');
	buf_add_slice(&w->seen, x->path);
	buf_addch(&w->seen, ' ');
	buf_add_slice(&w->seen, x->host);
	buf_addf(&w->seen, " %u.%u %llu %llu %llu %llu %llu %llu %x %u %u\n", x->http_minor,
		 x->status, (unsigned long long)x->start_ns, (unsigned long long)x->read_ns,
		 (unsigned long long)x->first_ns, (unsigned long long)x->end_ns,
		 (unsigned long long)x->request_bytes, (unsigned long long)x->response_bytes,
		 x->flags, x->interim, x->tid);
}

static void on_db(void *arg, const struct db_call *c)
{
	(void)arg;
	(void)c;
	abort();
}

static void on_db_event(void *arg, const struct db_event *e)
{
	(void)arg;
	(void)e;
	abort();
}

static void on_verdict(void *arg, const struct hp_verdict *v)
{
	(void)arg;
	CHECK(v->capture == HP_CAPTURE_BYTES || v->capture == HP_CAPTURE_COUNT);
	CHECK(v->turn_max[0] <= HP_HEAD_MAX && v->turn_max[1] <= HP_HEAD_MAX);
}

static void on_drop(void *arg, enum hp_drop why)
{
	(void)arg;
	CHECK(why < DROP_MAX);
}

static size_t read_steps(const u8 *p, size_t n, struct step *steps)
{
	u64 ts[2] = { 1, 1 };
	size_t count = 0;
	struct step *s;

	while (n >= 3 && count < STEPS_MAX) {
		s = &steps[count++];
		s->what = p[0];
		s->len = (u64)p[1] | (u64)p[2] << 8;
		p += 3;
		n -= 3;
		if ((s->what >> 1 & 3) == RUN) {
			s->len = MIN(s->len, n);
			s->data = p;
			p += s->len;
			n -= s->len;
		}
		if (s->what & 8)
			ts[s->what & 1] = count * 100;
		s->ts_ns = ts[s->what & 1];
	}
	return count;
}

/* Each piece in a block of its own, so that a byte read past it is found. */
static void feed_piece(struct world *w, void *state, const struct proto_ctx *ctx,
		       struct proto_in in)
{
	u8 *copy = NULL;

	if (in.data) {
		copy = malloc(in.len ? in.len : 1);
		CHECK(copy);
		memcpy(copy, in.data, in.len);
		in.data = copy;
	}
	proto_http1.feed(state, ctx, &in);
	if (copy)
		buf_add(&w->bytes, copy, in.len);
	free(copy);
}

static void feed_step(struct world *w, void *state, const struct proto_ctx *ctx,
		      const struct step *s, const u8 *data, u32 *rng)
{
	enum kind kind = s->what >> 1 & 3;
	u64 left = s->len, k;
	struct proto_in in = {
		.side = s->what & 1,
		.lost = kind == LOST,
		.start = s->what >> 3 & 1,
		.ts_ns = s->ts_ns,
		.enter_ns = s->ts_ns - 1,
		.arrival_ns = s->what & 64 ? 0 : s->ts_ns - 1,
		.tid = 5,
	};

	while (left) {
		k = left;
		if (rng) {
			*rng = *rng * 1664525u + 1013904223u;
			k = 1 + (*rng >> 16) % MIN(left, kind == RUN ? 24u : 40000u);
		}
		in.data = kind == RUN ? (u8 *)data + (s->len - left) : NULL;
		in.len = k;
		in.end = k == left && (s->what & 16);
		feed_piece(w, state, ctx, in);
		in.start = false;
		left -= k;
	}
}

/* masked: bytes to feed instead of the steps' own; NULL = none. rng: cut at random; NULL = not. */
static void run(struct world *w, u8 flags, bool literals, const struct step *steps, size_t count,
		const u8 *masked, u32 *rng)
{
	struct proto_sink sink = { w, on_http, on_db, on_db_event, on_verdict, on_drop };
	struct proto_ctx ctx = {
		.sink = &sink,
		.role = flags & 1 ? HP_ROLE_CLIENT : HP_ROLE_SERVER,
		.mid_stream = flags >> 1 & 1,
		.show_literals = literals,
		.path = "",
	};
	void *state = calloc(1, proto_http1.state_size);
	u64 bytes = 0;
	size_t i;

	CHECK(state && !proto_http1.init(state, &ctx));
	*w = (struct world){ 0 };
	for (i = 0; i < count; i++) {
		const struct step *s = &steps[i];

		if ((s->what >> 1 & 3) == END) {
			proto_http1.eof(state, &ctx, s->what & 1, s->ts_ns, s->what & 32 ? 104 : 0);
			continue;
		}
		feed_step(w, state, &ctx, s, masked ? masked : s->data, rng);
		if (masked && s->data)
			masked += s->len;
		bytes += s->len;
	}
	proto_http1.finish(state, &ctx, count * 100 + 100, flags >> 2 & 1);
	/* Nothing is made of no bytes. */
	CHECK(w->exchanges <= bytes);
	proto_http1.release(state);
	free(state);
}

static bool same(const struct buf *a, const struct buf *b)
{
	return a->n == b->n && (!a->n || !memcmp(a->p, b->p, a->n));
}

static void world_release(struct world *w)
{
	buf_release(&w->seen);
	buf_release(&w->bytes);
}

static void try_detect(const u8 *data, size_t n)
{
	struct proto_ctx ctx = { .role = HP_ROLE_SERVER };
	size_t k = MIN(n, 4096u);
	u8 *exact = malloc(k ? k : 1);
	int i;

	CHECK(exact);
	memcpy(exact, data, k);
	for (i = 0; i < 4; i++) {
		ctx.mid_stream = i & 1;
		proto_http1.detect(&ctx, i >> 1, exact, k, n);
	}
	free(exact);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct step steps[STEPS_MAX];
	struct world first, other;
	bool address = false;
	struct buf raw = { 0 };
	size_t count, i;
	u32 rng = 1;
	u8 flags;

	if (n < 1 || n > 65536)
		return 0;
	flags = data[0];
	memset(steps, 0, sizeof(steps));
	count = read_steps(data + 1, n - 1, steps);
	for (i = 0; i < count; i++) {
		if (!steps[i].data)
			continue;
		try_detect(steps[i].data, steps[i].len);
		buf_add(&raw, steps[i].data, steps[i].len);
	}
	for (i = 0; i < raw.n; i++) {
		address |= raw.p[i] == '@' || raw.p[i] == '%';
		rng = rng * 31 + (u8)raw.p[i];
	}

	run(&first, flags, false, steps, count, NULL, NULL);
	run(&other, flags, false, steps, count, (u8 *)first.bytes.p, NULL);
	CHECK(same(&first.bytes, &other.bytes) && same(&first.seen, &other.seen));
	world_release(&other);
	if (!address) {
		run(&other, flags, false, steps, count, NULL, &rng);
		CHECK(same(&first.bytes, &other.bytes) && same(&first.seen, &other.seen));
		world_release(&other);
	}
	run(&other, flags, true, steps, count, NULL, NULL);
	CHECK(same(&raw, &other.bytes));
	CHECK(first.exchanges == other.exchanges);
	world_release(&other);
	world_release(&first);
	buf_release(&raw);
	return 0;
}
