/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From system calls to calls of the database: PostgreSQL traffic through the probes, the record
 * checks, the session and its parser, verdicts going back as they do in life. Recorded traffic gives
 * the spans that the parser alone gives; generated traffic the number of calls, rows and errors that
 * was put in, wherever the process's reads and writes cut it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include "../unit/pgsql_build.h"
#include "decode/record.h"
#include "load/verdicts.h"
#include "machine.h"
#include "session/session.h"

enum tcp_state {
	ESTABLISHED = 1,
	SYN_SENT = 2,
	FIN_WAIT1 = 4,
	CLOSED = 7
};

/* A client process with one connection to a server, watched. */
struct life {
	struct pgt t; /* collects the spans as text and counts them */
	struct session *s;
	u64 conn_id;
	int fd;
	u32 seed;
	u32 verdict_after; /* transfers until an answer of the analyst takes effect */
	u32 delay;
	bool waiting;
	u32 unparsed;
	u32 profiles;
	u64 lost;
};

static void on_conn(void *arg, const struct conn_info *c)
{
	struct life *f = arg;

	f->unparsed += c->status == CONN_UNPARSED;
}

static void on_http(void *arg, const struct http_exchange *x)
{
	(void)arg;
	(void)x;
	abort();
}

static void on_db(void *arg, const struct db_call *c)
{
	pgt_on_db(&((struct life *)arg)->t, c);
}

static void on_event(void *arg, const struct db_event *e)
{
	pgt_on_event(&((struct life *)arg)->t, e);
}

static void on_drop(void *arg, enum hp_drop why, u64 n)
{
	(void)why;
	((struct life *)arg)->lost += n;
}

static void on_verdict(void *arg, u64 conn_id, const struct hp_verdict *v)
{
	struct life *f = arg;

	f->conn_id = conn_id;
	mach_profile(++f->profiles, v);
	f->waiting = true;
	f->delay = f->verdict_after;
}

static void deliver(struct life *f)
{
	u32 i;

	for (i = 0; i < mach_records(); i++) {
		struct ev_hdr *rec = mach_record(i);
		size_t size;

		assert_int_equal(record_check(rec, rec->size, &size), 0);
		session_record(f->s, rec);
	}
	mach_records_clear();
	if (f->waiting && !f->delay--) {
		f->waiting = false;
		mach_verdict(f->conn_id, f->profiles);
	}
}

static void life_start(struct life *f, u32 seed, u32 flags)
{
	const struct session_opts opts = { .show_literals = flags & TRACE_SHOW_LITERALS };
	const struct session_sink sink = {
		f, on_http, on_db, on_event, on_conn, on_drop, on_verdict
	};

	memset(f, 0, sizeof(*f));
	f->seed = seed;
	mach_reset(0);
	mach_profile(0, &verdict_default);
	assert_int_equal(session_new(&f->s, &opts, &sink), 0);
	f->fd = mach_socket(AF_INET, flags & TRACE_MID_STREAM ? ESTABLISHED : CLOSED);
	mach_addr(f->fd, 40000, flags & TRACE_PORT_5432 ? 5432 : 25433);
	if (flags & TRACE_MID_STREAM) {
		mach_seed();
	} else {
		mach_enter(NR_CONNECT, f->fd, 0, 16, 0);
		mach_tcp_state(f->fd, CLOSED, SYN_SENT);
		mach_tcp_state(f->fd, SYN_SENT, ESTABLISHED);
		mach_exit(NR_CONNECT, 0, f->fd, 0, 16, 0);
	}
	deliver(f);
}

/* One call that moves n bytes. */
static void move(struct life *f, enum proto_side side, const u8 *p, u32 n)
{
	_free_ u8 *copy = malloc(n);

	assert_non_null(copy);
	memcpy(copy, p, n);
	mach_user(copy, n);
	mach_sleep(1000);
	if (side == PROTO_SERVER) {
		mach_arrive(f->fd, n);
		mach_taken(f->fd, n);
		mach_call(NR_RECVFROM, n, f->fd, (u64)copy, n, 0);
	} else {
		mach_call(NR_SENDTO, n, f->fd, (u64)copy, n, 0);
	}
	mach_user_clear();
	deliver(f);
}

/* All of it, in calls of at most that many bytes. */
static void move_cut(struct life *f, enum proto_side side, const u8 *p, size_t n, u32 most)
{
	u32 style = pgt_random(&f->seed) % 4, k;

	while (n) {
		k = style == 0	 ? most
		    : style == 1 ? 1 + pgt_random(&f->seed) % MIN(most, 9u + n / 64)
				 : 1 + pgt_random(&f->seed) % most;
		k = MIN(k, n);
		move(f, side, p, k);
		p += k;
		n -= k;
	}
}

static void life_end(struct life *f, u32 flags)
{
	if (flags & TRACE_EOF)
		mach_call(NR_RECVFROM, 0, f->fd, 0, 10, 0);
	if (flags & TRACE_CLOSED) {
		mach_release(f->fd);
		mach_shut(f->fd, 3);
		mach_tcp_state(f->fd, ESTABLISHED, FIN_WAIT1);
	}
	mach_flush(f->fd == -1 ? 0 : f->fd);
	deliver(f);
	session_finish(f->s, mach_clock());
	assert_int_equal(f->lost, 0);
	assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
	assert_int_equal(mach_drops(DROP_READ_FAULT), 0);
}

static void life_free(struct life *f)
{
	session_free(f->s);
	buf_release(&f->t.out);
}

static const char *const recorded[] = {
	"asyncpg_basic",   "asyncpg_cursor",	"asyncpg_errors",     "asyncpg_many",
	"asyncpg_nocache", "asyncpg_types",	"psycopg2",	      "psycopg3",
	"psycopg3_many",   "psycopg3_prepared", "sqlalchemy_asyncpg", "sqlalchemy_psycopg2",
	"pgbench_simple",  "pgbench_extended",	"pgbench_prepared",   "psql",
	"asyncpg_copy",	   "psycopg2_copy",	"psycopg2_scram",
};

/* The records of a trace as transfers; runs of one transfer belong together. */
static void replay(struct life *f, const struct buf *trace)
{
	_release_(buf) struct buf one = BUF_INIT;
	const u8 *p = (const u8 *)trace->p;
	size_t at = 1;

	while (at + 5 <= trace->n) {
		u8 op = p[at];
		u32 len = p[at + 1] | p[at + 2] << 8 | p[at + 3] << 16 | (u32)p[at + 4] << 24;

		assert_false(op & REC_HOLE);
		assert_true(len <= trace->n - at - 5);
		buf_add(&one, p + at + 5, len);
		at += 5 + len;
		if (!(op & REC_END))
			continue;
		if (op & REC_SERVER)
			move_cut(f, PROTO_SERVER, (u8 *)one.p, one.n, 16384);
		else
			move(f, PROTO_CLIENT, (u8 *)one.p, one.n);
		buf_clear(&one);
	}
}

static void recorded_traffic(void **state)
{
	size_t i, bad = 0;
	u32 seed;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(recorded); i++) {
		_release_(buf) struct buf trace = BUF_INIT, want = BUF_INIT;
		char path[128];

		snprintf(path, sizeof(path), "tests/fuzz/corpus/pgsql/%s.trace", recorded[i]);
		assert_int_equal(file_read(path, &trace, 1 << 20), 0);
		snprintf(path, sizeof(path), "tests/unit/pgsql/%s.want", recorded[i]);
		assert_int_equal(file_read(path, &want, 1 << 20), 0);
		for (seed = 1; seed <= 12; seed++) {
			struct life f;

			life_start(&f, seed, (u8)trace.p[0]);
			f.verdict_after = seed % 3;
			replay(&f, &trace);
			life_end(&f, (u8)trace.p[0]);
			if (!slice_eq(buf_slice(&f.t.out), buf_slice(&want))) {
				fprintf(stderr, "%s, seed %u, got:\n%.*s", recorded[i], seed,
					(int)f.t.out.n, f.t.out.p);
				bad++;
			}
			life_free(&f);
		}
	}
	assert_int_equal(bad, 0);
}

struct truth {
	u32 calls;
	u32 errors;
	u64 rows;
};

static struct buf reply;

/* Answers go to a buffer of their own while requests are written. */
static void to_reply(void)
{
	buf_add(&reply, wire.p, wire.n);
	buf_clear(&wire);
}

static void some_rows(struct life *f, struct truth *t, u32 n)
{
	static const char text[] = "value value value value value value value value value value";
	u32 width = pgt_random(&f->seed) % 5 ? sizeof(text) - 1 : 3000;
	_free_ char *wide = malloc(width);
	u32 i, k;

	assert_non_null(wide);
	for (i = 0; i < n; i++) {
		k = pgt_random(&f->seed) % width;
		memset(wide, 'v', width);
		put('D', "hir", 1, k, wide, (size_t)k);
	}
	t->rows += n;
}

static u32 how_many(struct life *f)
{
	u32 r = pgt_random(&f->seed) % 10;

	return r < 4 ? r : r < 8 ? pgt_random(&f->seed) % 40 : pgt_random(&f->seed) % 900;
}

static void exchange(struct life *f, struct truth *t)
{
	_release_(buf) struct buf ask = BUF_INIT;
	u32 kind = pgt_random(&f->seed) % 6, n = how_many(f), k, parts;
	char tag[32];

	buf_clear(&reply);
	snprintf(tag, sizeof(tag), "SELECT %u", n);
	switch (kind) {
	case 0: /* simple */
		query("select one from two");
		buf_add(&ask, wire.p, wire.n);
		buf_clear(&wire);
		columns();
		some_rows(f, t, n);
		complete(tag);
		t->calls++;
		break;
	case 1: /* several statements */
		query("insert into a values (1); select b from c; update d set e = 1");
		buf_add(&ask, wire.p, wire.n);
		buf_clear(&wire);
		complete("INSERT 0 1");
		columns();
		some_rows(f, t, n);
		complete(tag);
		complete("UPDATE 7");
		t->calls += 3;
		t->rows += 8;
		break;
	case 2: /* extended */
		parse("", "select one from three where x = $1");
		describe('S', "");
		call("");
		buf_add(&ask, wire.p, wire.n);
		buf_clear(&wire);
		put('1', "");
		put('t', "hi", 1, 23);
		columns();
		bound();
		some_rows(f, t, n);
		complete(tag);
		t->calls++;
		break;
	case 3: /* a batch */
		parts = 1 + pgt_random(&f->seed) % 300;
		parse("", "insert into a values ($1) returning b");
		for (k = 0; k < parts; k++) {
			bind_msg("");
			execute("", 0);
		}
		sync_msg();
		buf_add(&ask, wire.p, wire.n);
		buf_clear(&wire);
		put('1', "");
		for (k = 0; k < parts; k++) {
			bound();
			some_rows(f, t, n % 2);
			complete(n % 2 ? "INSERT 0 1" : "INSERT 0 0");
		}
		t->calls += parts;
		break;
	case 4: /* a cursor by portal: nobody but the rows themselves says how many */
		parse("", "select many from four");
		bind_msg("");
		execute("", 50);
		sync_msg();
		buf_add(&ask, wire.p, wire.n);
		buf_clear(&wire);
		put('1', "");
		bound();
		some_rows(f, t, 50);
		put('s', "");
		t->calls++;
		break;
	default:
		query("select oops");
		buf_add(&ask, wire.p, wire.n);
		buf_clear(&wire);
		failure("ERROR", "42703");
		t->calls++;
		t->errors++;
	}
	ready('I');
	to_reply();
	assert_false(ask.oom || reply.oom);
	if (pgt_random(&f->seed) % 3)
		move_cut(f, PROTO_CLIENT, (u8 *)ask.p, ask.n, 65536);
	else
		move(f, PROTO_CLIENT, (u8 *)ask.p, MIN(ask.n, 65536u)),
			ask.n > 65536 ? move(f, PROTO_CLIENT, (u8 *)ask.p + 65536, ask.n - 65536)
				      : (void)0;
	move_cut(f, PROTO_SERVER, (u8 *)reply.p, reply.n,
		 pgt_random(&f->seed) % 2 ? 16384 : 200000);
}

static void log_in(struct life *f)
{
	put(0, "issssc", 0x30000, "user", "ann", "database", "shop", 0);
	move(f, PROTO_CLIENT, (u8 *)wire.p, wire.n);
	buf_clear(&wire);
	put('R', "i", 0);
	put('S', "ss", "server_version", "15.5");
	put('K', "ii", 4242, 0x5ec2e7);
	ready('I');
	move(f, PROTO_SERVER, (u8 *)wire.p, wire.n);
	buf_clear(&wire);
}

static void generated_traffic(void **state)
{
	u32 seed, k;

	(void)state;
	for (seed = 1; seed <= 1500; seed++) {
		struct truth truth = { 0 };
		struct life f;

		life_start(&f, seed, 0);
		log_in(&f);
		for (k = 0; k < 8; k++)
			exchange(&f, &truth);
		life_end(&f, TRACE_CLOSED);
		if (f.t.calls != truth.calls || f.t.rows != truth.rows ||
		    f.t.errors != truth.errors || f.unparsed)
			fail_msg("seed %u: %u calls of %u, %llu rows of %llu, %u errors of %u",
				 seed, f.t.calls, truth.calls, (unsigned long long)f.t.rows,
				 (unsigned long long)truth.rows, f.t.errors, truth.errors);
		life_free(&f);
	}
	buf_release(&wire);
	buf_release(&reply);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(recorded_traffic),
		cmocka_unit_test(generated_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
