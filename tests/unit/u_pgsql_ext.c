/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL parser: extended protocol, pipelines, statement and portal names, in any cut. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "pgsql_build.h"

static void two_trips(struct pgt *t)
{
	parse("__asyncpg_stmt_1__", "select $1");
	describe('S', "__asyncpg_stmt_1__");
	flush_msg();
	client(t);
	put('1', "");
	put('t', "hi", 1, 23);
	columns();
	server(t);
	call("__asyncpg_stmt_1__");
	client(t);
	bound();
	row("1");
	complete("SELECT 1");
	ready('I');
	server(t);
	call("__asyncpg_stmt_1__");
	client(t);
	bound();
	complete("SELECT 0");
	ready('I');
	server(t);
}

/* Prepared for later: the pause before the first Bind is the application's. */
static void prepared_early(struct pgt *t)
{
	parse("p", "select 7");
	sync_msg();
	client(t);
	put('1', "");
	ready('I');
	server(t);
	t->clock += 50 * NSEC_PER_MSEC;
	call("p");
	client(t);
	bound();
	complete("SELECT 0");
	ready('I');
	server(t);
}

static void unnamed(struct pgt *t)
{
	int i;

	for (i = 0; i < 2; i++) {
		parse("", i ? "select b" : "select a");
		bind_msg("");
		describe('P', "");
		execute("", 0);
		sync_msg();
		client(t);
		put('1', "");
		bound();
		columns();
		row("1");
		complete("SELECT 1");
		ready('I');
		server(t);
	}
	call("");
	client(t);
	bound();
	complete("SELECT 0");
	ready('I');
	server(t);
}

static void parse_error(struct pgt *t)
{
	parse("bad", "selekt");
	bind_msg("bad");
	execute("", 0);
	sync_msg();
	client(t);
	failure("ERROR", "42601");
	ready('I');
	server(t);
	call("bad");
	client(t);
	failure("ERROR", "26000");
	ready('I');
	server(t);
}

static void bind_error(struct pgt *t)
{
	parse("s", "select $1::int");
	call("s");
	client(t);
	put('1', "");
	failure("ERROR", "22P02");
	ready('I');
	server(t);
	call("s");
	client(t);
	bound();
	complete("SELECT 1");
	ready('I');
	server(t);
}

static void batch(struct pgt *t)
{
	int i;

	parse("ins", "insert into t values ($1)");
	for (i = 0; i < 3; i++) {
		bind_msg("ins");
		execute("", 0);
	}
	sync_msg();
	client(t);
	put('1', "");
	for (i = 0; i < 3; i++) {
		bound();
		complete("INSERT 0 1");
	}
	ready('T');
	server(t);
}

static void batch_error(struct pgt *t)
{
	int i;

	parse("ins", "insert into t values ($1)");
	for (i = 0; i < 5; i++) {
		bind_msg("ins");
		execute("", 0);
	}
	close_name('S', "ins");
	sync_msg();
	call("ins");
	client(t);
	put('1', "");
	bound();
	complete("INSERT 0 1");
	bound();
	failure("ERROR", "23505");
	ready('I');
	server(t);
	bound();
	complete("INSERT 0 1");
	ready('I');
	server(t);
}

/* Sent after the error, before the client knew: skipped up to its Sync. */
static void skipped_late(struct pgt *t)
{
	parse("", "boom");
	bind_msg("");
	execute("", 0);
	flush_msg();
	client(t);
	failure("ERROR", "XX000");
	server(t);
	parse("", "never");
	bind_msg("");
	execute("", 0);
	query("neither");
	sync_msg();
	client(t);
	ready('I');
	server(t);
	query("again");
	client(t);
	complete("SELECT 0");
	ready('I');
	server(t);
}

static void pipeline(struct pgt *t)
{
	int i;

	for (i = 0; i < 3; i++) {
		parse("", i == 1 ? "second" : "other");
		call("");
	}
	client(t);
	put('1', "");
	bound();
	row("1");
	complete("SELECT 1");
	ready('I');
	server(t);
	put('1', "");
	bound();
	row("1");
	server(t);
	complete("SELECT 1");
	ready('I');
	put('1', "");
	bound();
	complete("SELECT 0");
	ready('I');
	server(t);
}

static void portal(struct pgt *t)
{
	parse("q", "select * from big");
	bind_value("c1", "q", "x");
	execute("c1", 2);
	sync_msg();
	client(t);
	put('1', "");
	bound();
	row("1");
	row("2");
	put('s', "");
	ready('T');
	server(t);
	execute("c1", 2);
	sync_msg();
	client(t);
	row("3");
	complete("SELECT 1");
	ready('T');
	server(t);
	close_name('P', "c1");
	sync_msg();
	client(t);
	put('3', "");
	ready('T');
	server(t);
	execute("c1", 2);
	sync_msg();
	client(t);
	failure("ERROR", "34000");
	ready('E');
	server(t);
}

static void close_named(struct pgt *t)
{
	parse("a", "select a");
	call("a");
	close_name('S', "a");
	parse("a", "select b");
	call("a");
	client(t);
	put('1', "");
	bound();
	complete("SELECT 0");
	ready('I');
	put('3', "");
	put('1', "");
	bound();
	complete("SELECT 0");
	ready('I');
	server(t);
	/* Refused, as the name is taken: it still means what it did. */
	parse("a", "select c");
	sync_msg();
	client(t);
	failure("ERROR", "42P05");
	ready('I');
	server(t);
	call("a");
	client(t);
	bound();
	complete("SELECT 0");
	ready('I');
	server(t);
}

/* libpq sends Sync with the Execute and again after CopyDone; the server throws the first away. */
static void copy_extended(struct pgt *t)
{
	parse("", "copy t from stdin");
	call("");
	client(t);
	put('1', "");
	bound();
	put('G', "ch", 0, 0);
	server(t);
	put('d', "s", "1\tann");
	put('c', "");
	sync_msg();
	client(t);
	complete("COPY 1");
	ready('I');
	server(t);
	/* Without waiting for the server. */
	parse("", "copy u from stdin");
	call("");
	put('d', "s", "1\tann");
	put('c', "");
	sync_msg();
	client(t);
	put('1', "");
	bound();
	put('G', "ch", 0, 0);
	complete("COPY 1");
	ready('I');
	server(t);
	query("after");
	client(t);
	complete("SELECT 0");
	ready('I');
	server(t);
}

/* A deferred constraint fails at the commit that Sync brings. */
static void commit_error(struct pgt *t)
{
	parse("", "insert deferred");
	call("");
	client(t);
	put('1', "");
	bound();
	complete("INSERT 0 1");
	failure("ERROR", "23503");
	ready('I');
	server(t);
}

static void cut_off(struct pgt *t)
{
	parse("", "select a");
	bind_msg("");
	execute("", 0);
	execute("", 0);
	sync_msg();
	client(t);
	put('1', "");
	bound();
	row("x");
	server(t);
	proto_pgsql.eof(t->state, &t->ctx, PROTO_SERVER, t->clock, 104);
}

/* A Close alone is a wait that belongs to nobody; the next call carries it. */
static void loose_trip(struct pgt *t)
{
	close_name('S', "old");
	sync_msg();
	client(t);
	put('3', "");
	ready('I');
	server(t);
	query("select 1");
	client(t);
	complete("SELECT 1");
	ready('I');
	server(t);
}

#define SIMPLE(trip, rows, txn, sql)                                                               \
	"call simple trip=" trip " trips=1 first rows=" rows " txn=" txn " flags=- sql=" sql "\n"
#define EXEC(trip, trips, rows, txn, sql)                                                          \
	"call execute trip=" trip " trips=" trips " rows=" rows " txn=" txn " flags=- sql=" sql "\n"

static const struct scenario scenarios[] = {
	{ .name = "asyncpg first execution",
	  .run = two_trips,
	  .want = "call execute trip=2 trips=2 first rows=1 txn=I flags=- start=1002900 "
		  "row=1006000 "
		  "end=1006000 read=1006300 sql=select $1\n"
		  "call execute trip=3 trips=1 first rows=0 txn=I flags=- start=1006900 row=0 "
		  "end=1008000 read=1008300 sql=select $1\n",
	  .times = true },
	{ .name = "prepared early",
	  .run = prepared_early,
	  .want = "call execute trip=2 trips=2 first rows=0 txn=I flags=- start=51004900 row=0 "
		  "end=51006000 read=51006300 sql=select 0\n",
	  .times = true },
	{ .name = "unnamed",
	  .run = unnamed,
	  .want = EXEC("1", "1 first", "1", "I", "select a")
		  EXEC("2", "1 first", "1", "I", "select b")
			  EXEC("3", "1 first", "0", "I", "select b") },
	{ .name = "error in Parse",
	  .run = parse_error,
	  .want = "call execute trip=1 trips=1 first rows=0 txn=I flags=- error=42601 sql=selekt\n"
		  "call execute trip=2 trips=1 first rows=0 txn=I flags=unknown error=26000 "
		  "sql=<prepared bad>\n" },
	{ .name = "error in Bind",
	  .run = bind_error,
	  .want = "call execute trip=1 trips=1 first rows=0 txn=I flags=- error=22P02 sql=select "
		  "$1::int\n" EXEC("2", "1 first", "1", "I", "select $1::int") },
	{ .name = "batch",
	  .run = batch,
	  .want = EXEC("1", "1 first", "1", "-", "insert into t values ($1)")
		  EXEC("1", "0", "1", "-", "insert into t values ($1)")
			  EXEC("1", "0", "1", "T", "insert into t values ($1)") "event txn T\n" },
	{ .name = "error in a batch",
	  .run = batch_error,
	  .want = EXEC(
		  "1", "1 first", "1", "-",
		  "insert into t values ($1)") "call execute trip=1 trips=0 rows=0 txn=I flags=- "
					       "error=23505 "
					       "sql=insert into t values ($1)\n"
					       /* Named again before the Close was skipped: only the name is left of it. */
					       "call execute trip=1 trips=0 rows=1 txn=I "
					       "flags=unknown sql=<prepared ins>\n" },
	{ .name = "skipped after the error",
	  .run = skipped_late,
	  .want = "call execute trip=1 trips=1 first rows=0 txn=I flags=- error=XX000 sql=boom\n"
		  "call simple trip=3 trips=2 first rows=0 txn=I flags=- sql=again\n" },
	{ .name = "pipeline",
	  .run = pipeline,
	  .want = "call execute trip=1 trips=1 first rows=1 txn=I flags=- start=1002900 "
		  "row=1004000 "
		  "end=1004000 read=1004300 sql=other\n"
		  "call execute trip=1 trips=0 rows=1 txn=I flags=- start=1004000 row=1005000 "
		  "end=1006000 read=1006300 sql=second\n"
		  "call execute trip=1 trips=0 rows=0 txn=I flags=- start=1006000 row=0 "
		  "end=1006000 read=1006300 sql=other\n",
	  .times = true },
	{ .name = "portal",
	  .run = portal,
	  .want = EXEC("1", "1 first", "2", "T",
		       "select * from big") "event txn T\n"
					    "call execute trip=2 trips=1 first rows=1 txn=T "
					    "flags=continued sql=select * from big\n"
					    "call execute trip=4 trips=2 first rows=0 txn=E "
					    "flags=unknown error=34000 "
					    "sql=<portal c1>\n"
					    "event txn E\n" },
	{ .name = "close",
	  .run = close_named,
	  .want = EXEC("1", "1 first", "0", "I", "select a") EXEC(
		  "1", "0", "0", "I",
		  "select b") "call execute trip=2 trips=1 first rows=0 txn=I flags=- error=42P05 "
			      "sql=select c\n" EXEC("3", "1 first", "0", "I", "select b") },
	{ .name = "copy, extended",
	  .run = copy_extended,
	  .want = "call copy-in trip=1 trips=2 first rows=1 txn=I flags=- sql=copy t from stdin\n"
		  "call copy-in trip=2 trips=1 first rows=1 txn=I flags=- sql=copy u from "
		  "stdin\n" SIMPLE("3", "0", "I", "after") },
	{ .name = "error at Sync",
	  .run = commit_error,
	  .want = "call execute trip=1 trips=1 first rows=1 txn=I flags=- error=23503 "
		  "sql=insert deferred\n" },
	{ .name = "cut off",
	  .run = cut_off,
	  .want = "call execute trip=1 trips=1 first rows=1 txn=- flags=aborted sql=select a\n"
		  "call execute trip=1 trips=0 rows=0 txn=- flags=aborted sql=select a\n" },
	{ .name = "trip of a Close",
	  .run = loose_trip,
	  .want = "call simple trip=2 trips=2 first rows=1 txn=I flags=- sql=select 0\n" },
};

static void exchanges(void **state)
{
	size_t i, bad = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		bad += !scenario_ok(&scenarios[i]);
	assert_int_equal(bad, 0);
}

/* A thousand inserts in one send are a thousand calls in one round trip. */
static void executemany(void **state)
{
	struct pgt t;
	int i;

	(void)state;
	for (wire_cut = CUT_WHOLE; wire_cut <= CUT_RANDOM; wire_cut++) {
		pgt_open(&t, 0);
		login(&t);
		parse("i", "insert into t values ($1, $2)");
		for (i = 0; i < 1000; i++) {
			bind_msg("i");
			execute("", 0);
		}
		sync_msg();
		client(&t);
		put('1', "");
		for (i = 0; i < 1000; i++) {
			bound();
			complete("INSERT 0 1");
		}
		ready('I');
		server(&t);
		assert_int_equal(t.calls, 1000);
		assert_int_equal(t.rows, 1000);
		assert_int_equal(t.trips, 1);
		assert_int_equal(t.errors, 0);
		assert_int_equal(t.last.round_trip, 1);
		assert_int_equal(t.drops[DROP_PIPELINE_FULL], 0);
		pgt_close(&t);
	}
	buf_release(&wire);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanges),
		cmocka_unit_test(executemany),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
