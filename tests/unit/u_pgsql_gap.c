/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL parser: attached in mid-stream, bytes not carried, bytes lost. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "pgsql_build.h"

static void answer(struct pgt *t, const char *tag)
{
	complete(tag);
	ready('I');
	server(t);
}

static void ask(struct pgt *t, const char *sql, const char *tag)
{
	query(sql);
	client(t);
	answer(t, tag);
}

/* Rows are counted by the kernel, what follows them is carried. */
static void row_hole(struct pgt *t)
{
	query("select big");
	client(t);
	columns();
	run(t, PROTO_SERVER, true, false);
	pgt_hole(t, PROTO_SERVER, 60000, 1500, false, false, false);
	put('N', "cscsc", 'S', "NOTICE", 'C', "00000", 0);
	run(t, PROTO_SERVER, false, false);
	pgt_hole(t, PROTO_SERVER, 5000, 100, false, false, true);
	t->clock += 1000;
	pgt_hole(t, PROTO_SERVER, 100, 0, false, true, false); /* rest of a row */
	complete("SELECT 1600");
	ready('I');
	run(t, PROTO_SERVER, false, true);
}

/* A suspended portal has no count in a tag. */
static void counted_rows(struct pgt *t)
{
	parse("", "select big");
	bind_msg("");
	execute("", 1000);
	sync_msg();
	client(t);
	put('1', "");
	bound();
	row("seen");
	run(t, PROTO_SERVER, true, false);
	pgt_hole(t, PROTO_SERVER, 60000, 999, false, false, false);
	put('s', "");
	ready('T');
	run(t, PROTO_SERVER, false, true);
}

/* Only the last bytes of the transfer came, from the middle of a row on. */
static void tail_search(struct pgt *t)
{
	query("select big");
	client(t);
	t->clock += 1000;
	pgt_hole(t, PROTO_SERVER, 60000, 1500, false, true, false);
	buf_add(&wire, "D\0\0\0 row rest \0 Z\0\0\0\5 ", 22);
	complete("SELECT 1501");
	ready('I');
	run(t, PROTO_SERVER, false, true);
	ask(t, "next", "SELECT 0");
}

/* A whole transfer that begins in the middle of a row whose start was not carried. */
static void cut_row(struct pgt *t)
{
	query("select big");
	client(t);
	columns();
	run(t, PROTO_SERVER, true, false);
	pgt_hole(t, PROTO_SERVER, 6000, 100, false, false, true);
	buf_adds(&wire, "the rest of the row");
	complete("SELECT 100");
	ready('I');
	run(t, PROTO_SERVER, true, true);
	ask(t, "next", "SELECT 0");
}

/* Nothing but rows: unaligned until the next answer begins. */
static void rows_only_then_next(struct pgt *t)
{
	query("select big");
	client(t);
	t->clock += 1000;
	pgt_hole(t, PROTO_SERVER, 60000, 1500, false, true, false);
	buf_adds(&wire, "only a piece of a row");
	run(t, PROTO_SERVER, false, true);
	t->clock += 1000;
	pgt_hole(t, PROTO_SERVER, 60000, 0, false, true, true);
	ask(t, "next", "SELECT 0");
}

/* Values of a long Bind are not carried; its names are, and the Execute after it. */
static void bind_head(struct pgt *t)
{
	char value[500];
	size_t n;

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = 0;
	parse("p", "insert into t values ($1)");
	bind_value("", "p", value);
	n = wire.n - 200;
	wire.n = n;
	run(t, PROTO_CLIENT, true, false);
	pgt_hole(t, PROTO_CLIENT, 200, 0, false, false, false);
	execute("", 0);
	sync_msg();
	run(t, PROTO_CLIENT, false, true);
	put('1', "");
	bound();
	answer(t, "INSERT 0 1");
}

/* The portal before it must not stand in for a Bind that went by. */
static void bind_passed(struct pgt *t)
{
	parse("", "select before");
	call("");
	client(t);
	put('1', "");
	bound();
	answer(t, "SELECT 1");
	parse("", "update after");
	run(t, PROTO_CLIENT, true, false);
	pgt_hole(t, PROTO_CLIENT, 70000, 0, false, false, false);
	execute("", 0);
	sync_msg();
	run(t, PROTO_CLIENT, false, true);
	put('1', "");
	bound();
	answer(t, "UPDATE 7");
	ask(t, "select next", "SELECT 5");
}

/* A cursor that was opened out of sight is one call, however many pieces it is fetched in. */
static void attach_in_cursor(struct pgt *t)
{
	int i;

	for (i = 0; i < 3; i++) {
		execute("C_1", 100);
		sync_msg();
		client(t);
		row("1");
		if (i < 2)
			put('s', "");
		else
			complete("SELECT 30");
		ready('T');
		server(t);
	}
}

static void long_query(struct pgt *t)
{
	query("select 1, 'a text that goes on and on', 2; select 3");
	wire.n -= 20;
	run(t, PROTO_CLIENT, true, false);
	pgt_hole(t, PROTO_CLIENT, 20, 0, false, false, true);
	complete("SELECT 1");
	complete("SELECT 1");
	ready('I');
	server(t);
}

/* Lost answers: the call is there, untimed, and the next one is not taken for it. */
static void lost_answer(struct pgt *t)
{
	query("select lost");
	client(t);
	pgt_hole(t, PROTO_SERVER, 60, 0, true, true, true);
	ask(t, "select next", "SELECT 5");
	ask(t, "select last", "SELECT 6");
}

/* The end of the answer came: the call has its end. */
static void lost_start_of_answer(struct pgt *t)
{
	query("select lost");
	client(t);
	pgt_hole(t, PROTO_SERVER, 60, 0, true, true, true);
	row("1");
	answer(t, "SELECT 3");
	ask(t, "select next", "SELECT 5");
}

static void lost_inside_row(struct pgt *t)
{
	query("select lost");
	client(t);
	row("a row of some length");
	wire.n -= 10;
	run(t, PROTO_SERVER, true, true);
	pgt_hole(t, PROTO_SERVER, 10, 0, true, true, true);
	answer(t, "SELECT 1");
	ask(t, "select next", "SELECT 5");
}

static void lost_request(struct pgt *t)
{
	pgt_hole(t, PROTO_CLIENT, 40, 0, true, true, true);
	columns();
	answer(t, "SELECT 2");
	ask(t, "select next", "SELECT 5");
}

static void lost_parse(struct pgt *t)
{
	parse("", "select before");
	parse("named", "select named");
	sync_msg();
	client(t);
	put('1', "");
	put('1', "");
	ready('I');
	server(t);
	pgt_hole(t, PROTO_CLIENT, 40, 0, true, true, true);
	call("");
	client(t);
	put('1', "");
	bound();
	answer(t, "SELECT 1");
	call("named");
	client(t);
	bound();
	answer(t, "SELECT 1");
}

static void lost_pipeline(struct pgt *t)
{
	int i;

	for (i = 0; i < 3; i++)
		call("s");
	client(t);
	bound();
	complete("SELECT 1");
	ready('I');
	run(t, PROTO_SERVER, true, true);
	pgt_hole(t, PROTO_SERVER, 30, 0, true, true, true);
	bound();
	answer(t, "SELECT 3");
	ask(t, "select next", "SELECT 5");
}

/* The server's messages of the login were lost: the first answer still belongs to the first call. */
static void lost_login(struct pgt *t)
{
	put(0, "issc", 0x30000, "user", "ann", 0);
	client(t);
	pgt_hole(t, PROTO_SERVER, 300, 0, true, true, true);
	ask(t, "select 1", "SELECT 1");
}

static void attach_in_answer(struct pgt *t)
{
	row("1");
	answer(t, "SELECT 9");
	call("stmt_3");
	client(t);
	bound();
	answer(t, "SELECT 1");
	call("stmt_3");
	client(t);
	bound();
	answer(t, "SELECT 2");
	execute("cursor", 10);
	sync_msg();
	client(t);
	answer(t, "SELECT 4");
}

static void attach_in_row(struct pgt *t)
{
	buf_adds(&wire, "the middle of a row, then the rest");
	server(t);
	buf_adds(&wire, "and the end");
	answer(t, "SELECT 9");
	ask(t, "select 1", "SELECT 1");
}

static void attach_in_values(struct pgt *t)
{
	buf_adds(&wire, "the middle of a value");
	execute("", 0);
	sync_msg();
	client(t);
	bound();
	answer(t, "INSERT 0 1");
	ask(t, "select 1", "SELECT 1");
}

static void attach_in_error(struct pgt *t)
{
	failure("ERROR", "42P01");
	ready('E');
	server(t);
	query("rollback");
	client(t);
	answer(t, "ROLLBACK");
}

static void attach_before_login(struct pgt *t)
{
	put(0, "issc", 0x30000, "user", "ann", 0);
	client(t);
	put('R', "i", 0);
	ready('I');
	server(t);
	ask(t, "select 1", "SELECT 1");
}

/* Never in step: given up in the end. */
static void never_aligned(struct pgt *t)
{
	int i;

	for (i = 0; i < 5000; i++) {
		buf_adds(&wire, "not a message");
		run(t, PROTO_SERVER, true, true);
	}
	assert_int_equal(t->verdict.capture, HP_CAPTURE_COUNT);
}

#define ONE(kind, trip, rows, txn, flags, sql)                                                     \
	"call " kind " trip=" trip " trips=1 first rows=" rows " txn=" txn " flags=" flags         \
	" sql=" sql "\n"
#define NEXT(trip) ONE("simple", trip, "5", "I", "-", "select next")

static const struct scenario scenarios[] = {
	{ .name = "rows not carried",
	  .run = row_hole,
	  .whole = true,
	  .want = ONE("simple", "1", "1600", "I", "-", "select big") },
	{ .name = "rows counted",
	  .run = counted_rows,
	  .whole = true,
	  .want = ONE("execute", "1", "1000", "T", "-", "select big") "event txn T\n" },
	{ .name = "tail",
	  .run = tail_search,
	  .whole = true,
	  .want = ONE("simple", "1", "1501", "I", "-", "select big")
		  ONE("simple", "2", "0", "I", "-", "next") },
	{ .name = "cut row",
	  .run = cut_row,
	  .whole = true,
	  .want = ONE("simple", "1", "100", "I", "-", "select big")
		  ONE("simple", "2", "0", "I", "-", "next") },
	{ .name = "only rows",
	  .run = rows_only_then_next,
	  .whole = true,
	  .want = ONE("simple", "1", "1500", "-", "gap", "select big")
		  ONE("simple", "2", "0", "I", "-", "next") },
	{ .name = "head of Bind",
	  .run = bind_head,
	  .whole = true,
	  .want = ONE("execute", "1", "1", "I", "-", "insert into t values ($1)") },
	{ .name = "head of Query",
	  .run = long_query,
	  .whole = true,
	  .want = "call simple trip=1 trips=1 first rows=1 txn=- flags=truncated "
		  "sql=select 0, 'xxxxxxxxxxxxxxxxxxxxx\n"
		  "call simple trip=1 trips=0 rows=1 txn=I flags=unknown sql=\n" },
	{ .name = "lost answer",
	  .run = lost_answer,
	  .want = ONE("simple", "1", "0", "-", "gap", "select lost") NEXT("2")
		  ONE("simple", "3", "6", "I", "-", "select last") },
	{ .name = "lost start of an answer",
	  .run = lost_start_of_answer,
	  .want = ONE("simple", "1", "3", "I", "gap", "select lost") NEXT("2") },
	{ .name = "lost inside a row",
	  .run = lost_inside_row,
	  .whole = true,
	  .want = ONE("simple", "1", "1", "I", "gap", "select lost") NEXT("2") },
	{ .name = "lost request",
	  .run = lost_request,
	  .want = ONE("execute", "1", "2", "I", "gap+unknown", "<unknown>") NEXT("2") },
	{ .name = "lost Parse",
	  .run = lost_parse,
	  .want = "call execute trip=2 trips=1 first rows=1 txn=I flags=gap+unknown "
		  "sql=<prepared>\n"
		  "call execute trip=3 trips=2 first rows=1 txn=I flags=- sql=select named\n" },
	{ .name = "lost in a pipeline",
	  .run = lost_pipeline,
	  .whole = true,
	  .want = ONE("execute", "1", "1", "I", "unknown",
		      "<prepared s>") "call execute trip=1 trips=0 rows=3 txn=I flags=gap+unknown "
				      "sql=<prepared s>\n"
				      "call execute trip=1 trips=0 rows=0 txn=- flags=gap+unknown "
				      "sql=<prepared s>\n" NEXT("2") },
	{ .name = "lost login",
	  .run = lost_login,
	  .bare = true,
	  .want = ONE("simple", "1", "1", "I", "-", "select 0") "event txn I\n" },
	{ .name = "attach in an answer",
	  .run = attach_in_answer,
	  .flags = TRACE_MID_STREAM,
	  .want = ONE("execute", "1", "9", "I", "attach+unknown", "<unknown>") "event txn I\n" ONE(
		  "execute", "2", "1", "I", "unknown", "<prepared stmt_3>")
		  ONE("execute", "3", "2", "I", "unknown", "<prepared stmt_3>")
			  ONE("execute", "4", "4", "I", "unknown", "<portal cursor>") },
	{ .name = "attach in a row",
	  .run = attach_in_row,
	  .flags = TRACE_MID_STREAM,
	  .whole = true,
	  .want = ONE("execute", "1", "9", "I", "attach+unknown",
		      "<unknown>") "event txn I\n" ONE("simple", "2", "1", "I", "-", "select 0") },
	{ .name = "attach in values",
	  .run = attach_in_values,
	  .flags = TRACE_MID_STREAM,
	  .whole = true,
	  .want = ONE("execute", "1", "1", "I", "unknown",
		      "<portal>") "event txn I\n" ONE("simple", "2", "1", "I", "-", "select 0") },
	{ .name = "attach in an error",
	  .run = attach_in_error,
	  .flags = TRACE_MID_STREAM,
	  .want = "call execute trip=1 trips=1 first rows=0 txn=E flags=attach+unknown "
		  "error=42P01 sql=<unknown>\nevent txn E\n" ONE("simple", "2", "0", "I", "-",
								 "rollback") "event txn I\n" },
	{ .name = "attach before the login",
	  .run = attach_before_login,
	  .flags = TRACE_MID_STREAM,
	  .want = "event login user=ann database=ann\nevent txn I\n" ONE("simple", "1", "1", "I",
									 "-", "select 0") },
	{ .name = "a Bind that went by",
	  .run = bind_passed,
	  .want = ONE("execute", "1", "1", "I", "-", "select before")
		  ONE("execute", "2", "7", "I", "gap+unknown", "<portal>")
			  ONE("simple", "3", "5", "I", "-", "select next") },
	{ .name = "attach in a cursor",
	  .run = attach_in_cursor,
	  .flags = TRACE_MID_STREAM,
	  .want = ONE("execute", "1", "1", "T", "unknown", "<portal C_1>") "event txn T\n" ONE(
		  "execute", "2", "1", "T", "unknown+continued", "<portal C_1>")
		  ONE("execute", "3", "30", "T", "unknown+continued", "<portal C_1>") },
	{ .name = "never aligned",
	  .run = never_aligned,
	  .flags = TRACE_MID_STREAM,
	  .whole = true,
	  .want = "event protocol-error\n" },
};

static void gaps(void **state)
{
	size_t i, bad = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		bad += !scenario_ok(&scenarios[i]);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(gaps) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
