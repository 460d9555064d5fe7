/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL parser: masking byte by byte, recognition, verdict, caps on memory. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "pgsql_build.h"
#include "proto/pgsql.h"

/* Feeds the message built so far and compares what is left of it. */
static void masks_to(struct pgt *t, enum proto_side side, const char *want, size_t n)
{
	assert_int_equal(wire.n, n);
	t->write_back = true;
	pgt_cut(t, side, (u8 *)wire.p, wire.n, true, true, wire_cut, &wire_seed);
	if (memcmp(wire.p, want, n))
		fprintf(stderr, "want %.*s, got %.*s\n", (int)n - 5, want + 5, (int)n - 5,
			wire.p + 5);
	assert_memory_equal(wire.p, want, n);
	buf_clear(&wire);
}

#define MASKS_TO(side, want) masks_to(&t, side, want, sizeof(want) - 1)

static void masking(void **state)
{
	struct pgt t;

	(void)state;
	for (wire_cut = CUT_WHOLE; wire_cut <= CUT_RANDOM; wire_cut++) {
		pgt_open(&t, 0);
		put(0, "issssssc", 0x30000, "user", "ann", "password", "hunter", "database", "db",
		    0);
		MASKS_TO(PROTO_CLIENT, "\0\0\0\x2e\0\3\0\0user\0ann\0password\0xxxxxx\0"
				       "database\0db\0\0");
		put('R', "ir", 5, "salt", (size_t)4);
		MASKS_TO(PROTO_SERVER, "R\0\0\0\14\0\0\0\5xxxx");
		put('p', "s", "md5hash");
		MASKS_TO(PROTO_CLIENT, "p\0\0\0\14xxxxxxxx");
		put('R', "i", 0);
		put('S', "ss", "server_version", "15.5");
		put('S', "ss", "TimeZone", "Secret/Town");
		put('K', "ii", 1, 2);
		ready('I');
		MASKS_TO(PROTO_SERVER, "R\0\0\0\10\0\0\0\0"
				       "S\0\0\0\30server_version\00015.5\0"
				       "S\0\0\0\31TimeZone\0xxxxxxxxxxx\0"
				       "K\0\0\0\14xxxxxxxx"
				       "Z\0\0\0\5I");
		query("select 'ann', 42");
		MASKS_TO(PROTO_CLIENT, "Q\0\0\0\25select 'xxx', 00\0");
		put('T', "hsihihih", 1, "email", 0, 0, 23, 4, 0xffffffff, 0);
		row("ann@example.org");
		complete("SELECT 1");
		ready('I');
		MASKS_TO(PROTO_SERVER, "T\0\0\0\36\0\1xxxxxxxxxxxxxxxxxxxxxxxx"
				       "D\0\0\0\31\0\1xxxxxxxxxxxxxxxxxxx"
				       "C\0\0\0\15SELECT 1\0Z\0\0\0\5I");
		parse("stmt", "select $1, 'x'");
		bind_value("port", "stmt", "secret");
		describe('P', "port");
		execute("port", 100);
		close_name('S', "stmt");
		sync_msg();
		MASKS_TO(PROTO_CLIENT, "P\0\0\0\32stmt\0select $1, 'x'\0xx"
				       "B\0\0\0\36port\0stmt\0xxxxxxxxxxxxxxxx"
				       "D\0\0\0\12Pport\0"
				       "E\0\0\0\15port\0\0\0\0\144"
				       "C\0\0\0\12Sstmt\0"
				       "S\0\0\0\4");
		put('N', "cscscscscsc", 'S', "NOTICE", 'V', "NOTICE", 'C', "01000", 'M', "secret",
		    'D', "more", 0);
		put('A', "iss", 9, "channel", "secret");
		put('t', "hi", 1, 23);
		put('G', "chh", 0, 1, 0);
		put('d', "s", "1\tann");
		MASKS_TO(PROTO_SERVER, "N\0\0\0\52SNOTICE\0VNOTICE\0C01000\0Mxxxxxx\0Dxxxx\0\0"
				       "A\0\0\0\27xxxxxxxxxxxxxxxxxxx"
				       "t\0\0\0\12xxxxxx"
				       "G\0\0\0\11xxxxx"
				       "d\0\0\0\12xxxxxx");
		put('d', "s", "1\tann");
		put('f', "s", "secret");
		put('F', "ihhirh", 952, 0, 1, 4, "blob", (size_t)4, 0);
		MASKS_TO(PROTO_CLIENT, "d\0\0\0\12xxxxxx"
				       "f\0\0\0\13xxxxxxx"
				       "F\0\0\0\26\0\0\3\270xxxxxxxxxxxxxx");
		put('V', "ir", 4, "blob", (size_t)4);
		buf_adds(&wire, "\xff garbage");
		MASKS_TO(PROTO_SERVER, "V\0\0\0\14xxxxxxxxxxxxxxxxx");
		query("select 'after it'");
		MASKS_TO(PROTO_CLIENT, "xxxxxxxxxxxxxxxxxxxxxxx");
		pgt_close(&t);
	}
	buf_release(&wire);
}

static void literals_stay(void **state)
{
	static const char text[] = "Q\0\0\0\24select 'secret'";
	struct pgt t;

	(void)state;
	wire_cut = CUT_BYTES;
	pgt_open(&t, TRACE_SHOW_LITERALS);
	login(&t);
	query("select 'secret'");
	assert_int_equal(wire.n, sizeof(text));
	masks_to(&t, PROTO_CLIENT, text, sizeof(text));
	complete("SELECT 1");
	ready('I');
	server(&t);
	assert_non_null(memmem(t.out.p, t.out.n, "sql=select 'secret'\n", 20));
	pgt_close(&t);
	buf_release(&wire);
}

/* A mask that runs against the grain of SQL: quotes opened in one message do not reach the next. */
static void quotes_end_with_the_message(void **state)
{
	struct pgt t;

	(void)state;
	wire_cut = CUT_BYTES;
	pgt_open(&t, 0);
	login(&t);
	query("select 'open");
	MASKS_TO(PROTO_CLIENT, "Q\0\0\0\21select 'xxxx\0");
	query("select a from t");
	MASKS_TO(PROTO_CLIENT, "Q\0\0\0\24select a from t\0");
	pgt_close(&t);
	buf_release(&wire);
}

struct sample {
	const char *what;
	enum proto_side side;
	enum proto_match want; /* at a connection's start */
	enum proto_match mid;
	enum proto_match hinted; /* mid-stream, port 5432 */
	size_t n;
	const char *bytes;
};
#define BYTES(s) sizeof(s) - 1, s

static const struct sample samples[] = {
	{ "startup", PROTO_CLIENT, PROTO_YES, PROTO_YES, PROTO_YES,
	  BYTES("\0\0\0\20\0\3\0\0user\0a\0\0") },
	{ "start of a startup", PROTO_CLIENT, PROTO_MORE, PROTO_MORE, PROTO_MORE,
	  BYTES("\0\0\0\20\0\3\0") },
	{ "one zero", PROTO_CLIENT, PROTO_MORE, PROTO_MORE, PROTO_MORE, BYTES("\0") },
	{ "protocol 2", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("\0\0\0\20\0\2\0\0user\0a\0\0") },
	{ "ssl request", PROTO_CLIENT, PROTO_YES, PROTO_YES, PROTO_YES,
	  BYTES("\0\0\0\10\4\322\26\57") },
	{ "gss request", PROTO_CLIENT, PROTO_YES, PROTO_YES, PROTO_YES,
	  BYTES("\0\0\0\10\4\322\26\60") },
	{ "cancel", PROTO_CLIENT, PROTO_YES, PROTO_YES, PROTO_YES,
	  BYTES("\0\0\0\20\4\322\26\56\0\0\0\1\0\0\0\2") },
	{ "query", PROTO_CLIENT, PROTO_NO, PROTO_YES, PROTO_YES, BYTES("Q\0\0\0\15select 1\0") },
	{ "query with more behind", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("Q\0\0\0\15select 1\0garbage") },
	{ "bind, execute, sync", PROTO_CLIENT, PROTO_NO, PROTO_YES, PROTO_YES,
	  BYTES("B\0\0\0\16\0s\0\0\0\0\0\0\0\0E\0\0\0\11\0\0\0\0\0S\0\0\0\4") },
	{ "sync alone", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES, BYTES("S\0\0\0\4") },
	{ "row, complete, ready", PROTO_SERVER, PROTO_NO, PROTO_YES, PROTO_YES,
	  BYTES("D\0\0\0\6\0\0C\0\0\0\15SELECT 1\0Z\0\0\0\5I") },
	{ "ready alone", PROTO_SERVER, PROTO_NO, PROTO_YES, PROTO_YES, BYTES("Z\0\0\0\5T") },
	{ "ready with no such state", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("Z\0\0\0\5x") },
	{ "row tail", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_YES, BYTES("piece of a row") },
	{ "http request", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_NO,
	  BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n") },
	{ "http delete", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_NO,
	  BYTES("DELETE /a HTTP/1.1\r\nHost: a\r\n\r\n") },
	{ "http answer", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_NO,
	  BYTES("HTTP/1.1 200 OK\r\n\r\n") },
	{ "http2", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_NO,
	  BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") },
	{ "tls hello", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_NO,
	  BYTES("\26\3\1\2\0\1\0\1\374\3\3") },
	{ "tls data", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_NO, BYTES("\27\3\3\0\20abcdefgh") },
	{ "redis", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_NO,
	  BYTES("*2\r\n$3\r\nGET\r\n$1\r\na\r\n") },
	{ "redis answer", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_NO, BYTES("$5\r\nhello\r\n") },
	{ "memcached", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES, BYTES("get key\r\n") },
	{ "memcached answer", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("VALUE key 0 5\r\nhello\r\nEND\r\n") },
	{ "mysql greeting", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("J\0\0\0\0125.7.30\0\1\2\3\4") },
	{ "mysql query", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("\11\0\0\0\3select 1") },
	{ "mysql query of 81 bytes", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("Q\0\0\0\3select 1 from a_long_table_name where a = 1 and b = 2 and c = 3 "
		"and d = 4 limit 1") },
	{ "mysql execute of 66 bytes", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("B\0\0\0\27\1\0\0\0\0\1\0\0\0\0\1\10\0\1\2\3\4\5\6\7\10"
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqr") },
	{ "kafka", PROTO_CLIENT, PROTO_NO, PROTO_NO, PROTO_YES,
	  BYTES("\0\0\0\26\0\3\0\1\0\0\0\1\0\4abcd\0\0\0\0") },
	{ "ssh", PROTO_SERVER, PROTO_NO, PROTO_NO, PROTO_NO, BYTES("SSH-2.0-OpenSSH_9\r\n") },
};

static void detection(void **state)
{
	struct proto_ctx start = { .role = HP_ROLE_CLIENT, .peer_port = 25433, .path = "" };
	struct proto_ctx mid = start, hinted, by_path = start;
	size_t i, bad = 0;

	(void)state;
	mid.mid_stream = by_path.mid_stream = true;
	by_path.path = "/run/postgresql/.s.PGSQL.5433";
	hinted = mid;
	hinted.peer_port = 5432;
	for (i = 0; i < ARRAY_SIZE(samples); i++) {
		const struct sample *s = &samples[i];
		const u8 *p = (const u8 *)s->bytes;
		enum proto_match got[4] = {
			proto_pgsql.detect(&start, s->side, p, s->n, s->n),
			proto_pgsql.detect(&mid, s->side, p, s->n, s->n),
			proto_pgsql.detect(&hinted, s->side, p, s->n, s->n),
			proto_pgsql.detect(&by_path, s->side, p, s->n, s->n),
		};

		if (got[0] != s->want || got[1] != s->mid || got[2] != s->hinted ||
		    got[3] != s->hinted) {
			fprintf(stderr, "%s: %d %d %d %d\n", s->what, got[0], got[1], got[2],
				got[3]);
			bad++;
		}
	}
	assert_int_equal(bad, 0);
}

static void first_verdict(void **state)
{
	const struct hp_frames *to, *from;
	struct pgt t;

	(void)state;
	pgt_open(&t, 0);
	to = &t.verdict.frames[HP_SEND];
	from = &t.verdict.frames[HP_RECV];
	assert_int_equal(t.verdicts, 1);
	assert_int_equal(t.verdict.capture, HP_CAPTURE_BYTES);
	assert_int_equal(t.verdict.turn_max[HP_SEND], 64 << 10);
	assert_int_equal(t.verdict.more_max[HP_RECV], 64 << 10);
	assert_true(to->on && from->on);
	assert_int_equal(from->whole_max, 2048);
	assert_int_equal(from->body_max, 1024);
	assert_int_equal(to->whole_max, 64 << 10);
	assert_int_equal(to->head_only_max, 96);
	assert_int_equal(from->hdr_len, 1);
	assert_int_equal(from->len_off, 1);
	assert_int_equal(from->len_size, 4);
	assert_int_equal(from->end_len, 6);
	assert_memory_equal(from->end, "Z\0\0\0\5", 5);
	assert_int_equal(from->end_mask[5], 0);
	assert_true(walk_bit(from->skip, 'D') && walk_bit(from->skip, 'd'));
	assert_false(walk_bit(from->skip, 'C') || walk_bit(to->skip, 'D'));
	assert_true(walk_bit(to->skip, 'd') && walk_bit(to->head_only, 'B'));
	pgt_close(&t);
}

static void bounded(struct pgt *t)
{
	struct pgsql *pg = t->state;

	assert_true(pg->arena <= PG_ARENA_MAX);
	assert_true(pg->cached <= PG_CACHED_MAX);
	assert_true(pg->names.n <= PG_STMTS_MAX);
	assert_true(pg->q_cap <= PG_QUEUE_MAX);
	assert_true(pg->side[PROTO_CLIENT].acc.cap <= 4 * PG_TEXT_MAX);
}

/* More names than are kept: the oldest are forgotten, the newest are known. */
static void many_statements(void **state)
{
	char name[32], sql[64];
	struct pgt t;
	int i;

	(void)state;
	wire_cut = CUT_WHOLE;
	pgt_open(&t, 0);
	login(&t);
	for (i = 0; i < 6000; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		snprintf(sql, sizeof(sql), "select c%d from t", i);
		parse(name, sql);
		sync_msg();
		client(&t);
		put('1', "");
		ready('I');
		server(&t);
		bounded(&t);
	}
	call("s5999");
	call("s0");
	client(&t);
	bound();
	complete("SELECT 1");
	ready('I');
	bound();
	complete("SELECT 1");
	ready('I');
	server(&t);
	assert_non_null(memmem(t.out.p, t.out.n, "sql=select c5999 from t\n", 24));
	assert_non_null(memmem(t.out.p, t.out.n, "sql=<prepared s0>\n", 18));
	pgt_close(&t);
	buf_release(&wire);
}

static void big_texts(void **state)
{
	_free_ char *sql = malloc(100001);
	char name[32];
	struct pgt t;
	int i;

	(void)state;
	assert_non_null(sql);
	memset(sql, 'a', 100000);
	memcpy(sql, "select ", 7);
	sql[100000] = 0;
	for (wire_cut = CUT_WHOLE; wire_cut <= CUT_RANDOM; wire_cut += CUT_RANDOM) {
		pgt_open(&t, 0);
		login(&t);
		for (i = 0; i < 40; i++) {
			snprintf(name, sizeof(name), "s%d", i);
			parse(name, sql);
			call(name);
			client(&t);
			put('1', "");
			bound();
			complete("SELECT 1");
			ready('I');
			server(&t);
			assert_int_equal(t.last.sql.n, PG_TEXT_MAX);
			assert_true(t.last.flags & SPAN_TRUNCATED);
			bounded(&t);
		}
		assert_int_equal(t.calls, 40);
		assert_int_equal(t.drops[DROP_MESSAGE_TOO_LONG], 40);
		/* So many under way that texts cannot be kept: the calls are. */
		for (i = 0; i < 40; i++)
			query(sql);
		client(&t);
		bounded(&t);
		assert_true(t.drops[DROP_MEMORY] > 0);
		for (i = 0; i < 40; i++) {
			complete("SELECT 1");
			ready('I');
		}
		server(&t);
		assert_int_equal(t.calls, 80);
		pgt_close(&t);
	}
	buf_release(&wire);
}

static void many_portals(void **state)
{
	char name[32];
	struct pgt t;
	int i;

	(void)state;
	wire_cut = CUT_WHOLE;
	pgt_open(&t, 0);
	login(&t);
	parse("", "select 1 from t");
	for (i = 0; i < 300; i++) {
		snprintf(name, sizeof(name), "portal%d", i);
		bind_value(name, "", "x");
	}
	execute("portal299", 0);
	execute("portal0", 0);
	sync_msg();
	client(&t);
	put('1', "");
	for (i = 0; i < 300; i++)
		bound();
	complete("SELECT 1");
	complete("SELECT 1");
	ready('I');
	server(&t);
	assert_int_equal(t.calls, 2);
	assert_non_null(memmem(t.out.p, t.out.n, "sql=select 0 from t\n", 20));
	assert_non_null(memmem(t.out.p, t.out.n, "sql=<portal portal0>\n", 21));
	pgt_close(&t);
	buf_release(&wire);
}

/* A queue that overflows: what fits is matched, the rest is counted, afterwards all is well. */
static void full_pipeline(void **state)
{
	const int sent = 3 * PG_QUEUE_MAX;
	struct pgt t;
	int i;

	(void)state;
	wire_cut = CUT_WHOLE;
	pgt_open(&t, 0);
	login(&t);
	for (i = 0; i < sent; i++) {
		call("s");
		client(&t);
	}
	bounded(&t);
	assert_true(t.drops[DROP_PIPELINE_FULL] > 0);
	for (i = 0; i < sent; i++) {
		bound();
		complete("INSERT 0 1");
		ready('I');
	}
	server(&t);
	assert_int_equal(t.calls, sent);
	assert_int_equal(t.rows, sent);
	assert_true(t.last.flags & SPAN_GAP);
	buf_clear(&t.out);
	query("select after");
	client(&t);
	complete("SELECT 1");
	ready('I');
	server(&t);
	assert_non_null(memmem(t.out.p, t.out.n, "flags=- sql=select after\n", 25));
	pgt_close(&t);
	buf_release(&wire);
}

/* The same work again and again takes no more memory than the first time. */
static void steady_state(void **state)
{
	u32 arena = 0, cap = 0, i;
	struct pgsql *pg;
	struct pgt t;

	(void)state;
	wire_cut = CUT_WHOLE;
	pgt_open(&t, 0);
	login(&t);
	pg = t.state;
	for (i = 0; i < 500; i++) {
		parse("", i & 1 ? "select a from t where id = $1" : "select b, c from t");
		call("");
		query("select 'x'; select 2");
		client(&t);
		put('1', "");
		bound();
		complete("SELECT 1");
		ready('I');
		complete("SELECT 1");
		complete("SELECT 1");
		ready('I');
		server(&t);
		if (i == 10) {
			arena = pg->arena;
			cap = pg->q_cap;
		}
	}
	assert_int_equal(t.calls, 1500);
	assert_int_equal(pg->arena, arena);
	assert_int_equal(pg->q_cap, cap);
	assert_true(arena < 4096);
	assert_true(sizeof(*pg) <= 2048);
	pgt_close(&t);
	buf_release(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masking),	cmocka_unit_test(literals_stay),
		cmocka_unit_test(detection),	cmocka_unit_test(first_verdict),
		cmocka_unit_test(many_portals), cmocka_unit_test(many_statements),
		cmocka_unit_test(big_texts),	cmocka_unit_test(full_pipeline),
		cmocka_unit_test(steady_state), cmocka_unit_test(quotes_end_with_the_message),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
