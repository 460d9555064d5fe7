/* SPDX-License-Identifier: Apache-2.0 */
/*
 * session: random traffic, live and replayed.
 *
 * HTTP, PostgreSQL, TLS and unknown conversations, interleaved, cut into transfers and runs at any
 * byte, with holes, counted rows, continuations, lost, doubled and swapped records. Whatever came:
 * the masked records give the same lines and the same bytes again, and no secret is left.
 * Secrets are runs of a byte that nothing else here contains (no length field either).
 */
#include "session_world.h"

#define SECRET 0xfd
#define SEEDS 600
#define FIRST_ID 1000
#define CONNS_MAX 5

_Static_assert(offsetof(struct ev_data, pos) == offsetof(struct ev_cont, pos),
	       "put_turn() uses it");

struct gen {
	u32 rng;
	u64 clock;
	struct buf records;
	bool damage; /* lose, double, swap */
	bool holes;
	bool lies; /* a record says it was somewhere else: text and literals change places */
};

static u32 rnd(struct gen *g, u32 below)
{
	g->rng = g->rng * 1664525u + 1013904223u;
	return (g->rng >> 8) % below;
}

static void secret(struct gen *g, struct buf *b, u32 max)
{
	u32 n = 1 + rnd(g, max);

	while (n--)
		buf_addch(b, SECRET);
}

/* ---- what the two sides say: a turn is all that one says before the other answers ---- */

static void http_head_rest(struct gen *g, struct buf *b)
{
	static const char *const names[] = { "Authorization: Bearer ",
					     "Cookie: id=", "X-Api-Key: ", "Accept: " };

	if (rnd(g, 2)) {
		buf_adds(b, names[rnd(g, 4)]);
		secret(g, b, 40);
		buf_adds(b, "\r\n");
	}
}

static void http_body(struct gen *g, struct buf *b)
{
	u32 n = 1 + rnd(g, rnd(g, 8) ? 200 : 9000), k;

	if (rnd(g, 2)) {
		buf_addf(b, "Content-Length: %u\r\n\r\n", n);
		while (n--)
			buf_addch(b, SECRET);
		return;
	}
	buf_adds(b, "Transfer-Encoding: chunked\r\n\r\n");
	for (; n; n -= k) {
		k = 1 + rnd(g, n);
		buf_addf(b, "%x\r\n", k);
		for (u32 i = 0; i < k; i++)
			buf_addch(b, SECRET);
		buf_adds(b, "\r\n");
	}
	buf_adds(b, "0\r\n\r\n");
}

static void http_request(struct gen *g, struct buf *b)
{
	static const char *const methods[] = { "GET", "POST", "PUT", "HEAD" };
	u32 m = rnd(g, 4);

	buf_addf(b, "%s /items/%u?token=", methods[m], rnd(g, 100));
	secret(g, b, 20);
	buf_adds(b, " HTTP/1.1\r\nHost: shop\r\n");
	http_head_rest(g, b);
	if (m == 1 || m == 2)
		http_body(g, b);
	else
		buf_adds(b, "\r\n");
}

static void http_answer(struct gen *g, struct buf *b)
{
	static const u32 codes[] = { 200, 404, 500 };

	buf_addf(b, "HTTP/1.1 %u Fine\r\n", codes[rnd(g, 3)]);
	http_head_rest(g, b);
	http_body(g, b);
}

/* A message; false, and nothing added, when its length would look like a secret. */
static bool pg(struct buf *b, char type, const void *p, size_t n)
{
	u32 len = htonl(n + 4);

	if (memchr(&len, SECRET, sizeof(len)))
		return false;
	if (type)
		buf_addch(b, type);
	buf_add(b, &len, 4);
	buf_add(b, p, n);
	return true;
}

static void pg_sql(struct gen *g, struct buf *b)
{
	switch (rnd(g, 4)) {
	case 0:
		buf_adds(b, "SELECT a FROM t WHERE b = '");
		secret(g, b, 50);
		buf_adds(b, "'");
		break;
	case 1:
		buf_adds(b, "INSERT INTO t VALUES ('");
		secret(g, b, 500);
		buf_adds(b, "', $$");
		secret(g, b, 9);
		buf_adds(b, "$$)");
		break;
	case 2:
		buf_adds(b, "SELECT 1 /* ");
		secret(g, b, 9);
		buf_adds(b, " */; COMMIT");
		break;
	default:
		buf_adds(b, "BEGIN");
	}
	buf_addch(b, 0);
}

static void pg_request(struct gen *g, struct buf *b, bool *ret_extended)
{
	_release_(buf) struct buf body = BUF_INIT;
	u32 n = 1 + rnd(g, 3);

	*ret_extended = rnd(g, 2);
	if (!*ret_extended) {
		do {
			buf_clear(&body);
			pg_sql(g, &body);
		} while (!pg(b, 'Q', body.p, body.n));
		return;
	}
	while (n--) {
		do {
			buf_clear(&body);
			buf_addch(&body, 0);
			pg_sql(g, &body);
			buf_add(&body, "\0\0", 2);
		} while (!pg(b, 'P', body.p, body.n));
		buf_clear(&body);
		buf_add(&body, "\0\0\0\0\0\1\0\0\0\x10", 10);
		for (u32 i = 0; i < 16; i++)
			buf_addch(&body, SECRET);
		buf_add(&body, "\0\0", 2);
		pg(b, 'B', body.p, body.n);
		pg(b, 'E', "\0\0\0\0\0", 5);
	}
	pg(b, 'S', "", 0);
}

static void pg_answer(struct gen *g, struct buf *b, bool extended)
{
	_release_(buf) struct buf body = BUF_INIT;
	u32 rows = rnd(g, 20), i;

	if (extended) {
		pg(b, '1', "", 0);
		pg(b, '2', "", 0);
	}
	if (!rnd(g, 5)) {
		buf_add(&body, "SERROR\0C42601\0M", 15);
		secret(g, &body, 30);
		buf_add(&body, "\0\0", 2);
		pg(b, 'E', body.p, body.n);
	} else {
		for (i = 0; i < rows; i++) {
			buf_clear(&body);
			buf_add(&body, "\0\1\0\0\0\x20", 6);
			for (u32 k = 0; k < 32; k++)
				buf_addch(&body, SECRET);
			pg(b, 'D', body.p, body.n);
		}
		buf_clear(&body);
		buf_addf(&body, "SELECT %u", rows);
		pg(b, 'C', body.p, body.n + 1);
	}
	pg(b, 'Z', rnd(g, 3) ? "I" : "T", 1);
}

enum kind {
	HTTP,
	PG,
	TLS,
	OTHER,
	KINDS,
};

/* One conversation; the client's turns are even. */
struct talk {
	enum kind kind;
	u8 client_dir; /* enum hp_dir of the client's bytes */
	bool extended;
	u32 turn;
	u64 conn_id;
	u64 pos[2];
};

static void say(struct gen *g, struct talk *t, struct buf *b)
{
	bool client = t->turn++ % 2 == 0;

	switch (t->kind) {
	case HTTP:
		do {
			client ? http_request(g, b) : http_answer(g, b);
		} while (!rnd(g, 6)); /* pipelined, or too many answers */
		break;
	case PG:
		if (client)
			pg_request(g, b, &t->extended);
		else
			pg_answer(g, b, t->extended);
		break;
	case TLS:
		buf_add(b, "\x17\x03\x03\x01\x00", 5);
		secret(g, b, 600);
		break;
	default:
		secret(g, b, 1 + rnd(g, 100));
		buf_adds(b, "\r\n");
	}
}

/* ---- how the kernel side would tell it ---- */

static void put_run(struct gen *g, struct talk *t, u8 dir, const char *p, u32 n)
{
	struct buf *b = &g->records;
	struct ev_data *ev;
	u32 off = 0, k;

	g->clock += 1 + rnd(g, 50);
	if (g->holes && n > 100 && !rnd(g, 6)) {
		put_cont(b, t->conn_id, dir, t->pos[dir], n, p + n - 40, 40, g->clock)->frames =
			rnd(g, 4);
		return;
	}
	ev = put_xfer(b, t->conn_id, dir, t->pos[dir], n, g->clock);
	ev->flags = rnd(g, 2) ? HP_DATA_NONBLOCK : 0;
	if (rnd(g, 3) == 0)
		ev->wire_ns = 0;
	if (!g->holes || rnd(g, 3)) {
		put_seg(b, ev, 0, p, n, 0);
		return;
	}
	while (off < n) {
		k = 1 + rnd(g, n - off);
		if (rnd(g, 3))
			ev = put_seg(b, ev, off, p + off, k, off ? rnd(g, 3) : 0);
		off += k;
	}
	ev->frames_after = rnd(g, 3);
}

static void put_turn(struct gen *g, struct talk *t)
{
	_release_(buf) struct buf text = BUF_INIT;
	u8 dir = t->turn % 2 ? !t->client_dir : t->client_dir;
	u32 piece = 1 << rnd(g, 14), k;
	size_t off, before;

	say(g, t, &text);
	for (off = 0; off < text.n; off += k) {
		k = 1 + rnd(g, piece);
		k = MIN(k, text.n - off);
		before = g->records.n;
		put_run(g, t, dir, text.p + off, k);
		t->pos[dir] += k;
		if (!g->damage)
			continue;
		if (!rnd(g, 40)) { /* lost */
			g->records.n = before;
		} else if (!rnd(g, 60)) { /* told twice */
			_release_(buf) struct buf again = BUF_INIT;

			buf_add(&again, g->records.p + before, g->records.n - before);
			buf_add(&g->records, again.p, again.n);
		} else if (!rnd(g, 60)) { /* of somewhere else */
			struct ev_data *ev = (struct ev_data *)(g->records.p + before);

			ev->pos += (s64)rnd(g, 300) - 150;
			g->lies = true;
		}
	}
}

static void generate(struct gen *g, u32 seed)
{
	struct talk talks[CONNS_MAX] = { 0 };
	u32 i, turns = 2 + seed % 12, n = 1 + seed % CONNS_MAX;

	*g = (struct gen){ .rng = seed * 2654435761u + 1, .clock = 1000 };
	g->damage = seed % 3 == 2;
	g->holes = seed % 3 >= 1;
	for (i = 0; i < n; i++) {
		struct talk *t = &talks[i];
		bool serves = rnd(g, 2);
		struct ev_conn_open *ev;
		u8 origin;

		t->conn_id = FIRST_ID + i;
		t->kind = rnd(g, 4) ? rnd(g, 2) : rnd(g, KINDS);
		if (t->kind == PG)
			serves = false;
		t->client_dir = serves ? HP_RECV : HP_SEND;
		if (g->damage && !rnd(g, 6))
			continue; /* its opening is lost */
		origin = rnd(g, 2) ? HP_ORIGIN_SEED : HP_ORIGIN_ACCEPT;
		ev = put_open(&g->records, t->conn_id, serves ? HP_ROLE_SERVER : HP_ROLE_CLIENT,
			      origin, g->clock);
		if (t->kind == PG && rnd(g, 2))
			ev->peer_port = 5432;
		if (t->kind == PG && origin == HP_ORIGIN_ACCEPT) {
			static const char startup[] = "\0\0\0\x1d\0\3\0\0user\0ann\0database\0s\0";

			put_data(&g->records, t->conn_id, HP_SEND, 0, startup, sizeof(startup),
				 g->clock);
			t->pos[HP_SEND] = sizeof(startup);
			put_data(&g->records, t->conn_id, HP_RECV, 0,
				 "R\0\0\0\x8\0\0\0\0Z\0\0\0\5I", 15, g->clock);
			t->pos[HP_RECV] = 15;
		}
	}
	while (turns--) {
		struct talk *t = &talks[rnd(g, n)];

		put_turn(g, t);
		if (!rnd(g, 25))
			put_state(&g->records, t->conn_id, 3 + rnd(g, 3), rnd(g, 2) ? 104 : 0,
				  g->clock);
		if (!rnd(g, 40))
			put_end(&g->records, EV_CONN_CLOSE, t->conn_id, t->pos[HP_RECV],
				t->pos[HP_SEND], g->clock);
	}
	for (i = 0; i < n; i++)
		if (rnd(g, 2))
			put_end(&g->records, EV_CONN_BYTES, talks[i].conn_id, talks[i].pos[HP_RECV],
				talks[i].pos[HP_SEND], g->clock);
	assert_false(g->records.oom);
}

struct leak {
	u64 next[CONNS_MAX][2]; /* position behind the last secret byte */
	u32 run[CONNS_MAX][2]; /* how many there are in a row */
	u32 longest;
};

static void look(struct leak *l, u64 conn_id, u8 dir, u64 pos, const u8 *p, u64 n)
{
	u64 i, c = (conn_id - FIRST_ID) % CONNS_MAX;

	for (i = 0; i < n; i++) {
		if (p[i] != SECRET)
			continue;
		l->run[c][dir] = l->next[c][dir] == pos + i ? l->run[c][dir] + 1 : 1;
		l->next[c][dir] = pos + i + 1;
		l->longest = MAX(l->longest, l->run[c][dir]);
	}
}

/* The longest run of a secret that is left. */
static u32 longest_leak(const struct buf *b)
{
	struct leak l = { 0 };
	size_t at, off;

	for (at = 0; at < b->n; at += ((struct ev_hdr *)(b->p + at))->size) {
		struct ev_data *ev = (struct ev_data *)(b->p + at);
		struct ev_cont *cont = (struct ev_cont *)ev;
		struct ev_seg *seg;
		u8 *bytes;

		if (ev->hdr.kind == EV_CONT)
			look(&l, cont->conn_id, cont->dir, cont->pos + cont->len - cont->tail_len,
			     cont->tail, cont->tail_len);
		off = 0;
		while (ev->hdr.kind == EV_DATA && (seg = record_seg(ev, &off, &bytes)))
			look(&l, ev->conn_id, ev->dir, ev->pos + seg->off, bytes, seg->len);
	}
	return l.longest;
}

static void t_replay(void **state)
{
	static const struct session_opts variants[] = {
		{ 0 }, { 0 }, { 0 }, { .no_http = true }, { .no_db = true }, { .conns_max = 2 }
	};
	u64 http = 0, db = 0, checked = 0;
	u32 seed;

	(void)state;
	for (seed = 0; seed < SEEDS; seed++) {
		const struct session_opts *opts = &variants[seed % ARRAY_SIZE(variants)];
		_release_(buf) struct buf masked = BUF_INIT;
		struct world live, again;
		u32 left;
		struct gen g;

		generate(&g, seed);
		world_run(&live, opts, &g.records, g.clock + 1000);
		buf_add(&masked, g.records.p, g.records.n);
		world_run(&again, opts, &masked, g.clock + 1000);
		if (live.lines.n != again.lines.n ||
		    (live.lines.n && memcmp(live.lines.p, again.lines.p, live.lines.n))) {
			fprintf(stderr, "seed %u, live:\n%s\nreplay:\n%s\n", seed, live.lines.p,
				again.lines.p);
			fail();
		}
		assert_true(slice_eq(buf_slice(&live.verdicts), buf_slice(&again.verdicts)));
		assert_memory_equal(masked.p, g.records.p, masked.n);
		/* Behind a hole PostgreSQL's next header is a guess: its length may be anything. */
		left = longest_leak(&masked);
		if (!g.lies && left > (g.holes ? 4U : 0U)) {
			fprintf(stderr, "seed %u: %u bytes of a secret, lines:\n%s\n", seed, left,
				live.lines.p);
			fail();
		}
		if (!g.lies && live.lines.n && memchr(live.lines.p, SECRET, live.lines.n)) {
			fprintf(stderr, "seed %u: a secret in:\n%s\n", seed, live.lines.p);
			fail();
		}
		http += live.http;
		db += live.db;
		checked += !g.lies;
		world_release(&live);
		world_release(&again);
		buf_release(&g.records);
	}
	/* The traffic is real enough to be understood. */
	assert_true(http > SEEDS && db > SEEDS && checked > SEEDS / 2);
}

/* With literals shown not a byte changes, and what is seen is the same. */
static void t_literals(void **state)
{
	static const struct session_opts shown = { .show_literals = true };
	u32 seed;

	(void)state;
	for (seed = 0; seed < SEEDS / 4; seed++) {
		_release_(buf) struct buf raw = BUF_INIT, records = BUF_INIT;
		struct world masked, open;
		struct gen g;
		size_t at;

		generate(&g, seed);
		buf_add(&records, g.records.p, g.records.n);
		/* All but the padding, which is cleared in any case. */
		world_run(&open, &shown, &records, g.clock + 1000);
		buf_add(&raw, records.p, records.n);
		assert_int_equal(records.n, g.records.n);
		for (at = 0; at < raw.n; at++)
			if ((u8)g.records.p[at] != 0xa5)
				assert_int_equal(raw.p[at], g.records.p[at]);
		world_run(&masked, NULL, &g.records, g.clock + 1000);
		assert_int_equal(open.http, masked.http);
		assert_int_equal(open.db, masked.db);
		assert_int_equal(open.ended, masked.ended);
		assert_memory_equal(open.drops, masked.drops, sizeof(open.drops));
		world_release(&open);
		world_release(&masked);
		buf_release(&g.records);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_replay),
		cmocka_unit_test(t_literals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
