/* SPDX-License-Identifier: Apache-2.0 */
/* PostgreSQL parser: what exchanges with nothing missing give, in any cut. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "pgsql_build.h"

static void simple(struct pgt *t)
{
	query("select * from t where name = 'ann'");
	client(t);
	columns();
	row("a");
	row("b");
	complete("SELECT 2");
	ready('I');
	server(t);
}

static void multi(struct pgt *t)
{
	query("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;");
	client(t);
	columns();
	row("");
	complete("SELECT 1");
	complete("CLOSE CURSOR ALL");
	complete("UNLISTEN");
	complete("RESET");
	ready('I');
	server(t);
}

static void multi_error(struct pgt *t)
{
	query("select 1; select 1/0; select 3");
	client(t);
	columns();
	row("1");
	complete("SELECT 1");
	failure("ERROR", "22012");
	ready('I');
	server(t);
	query("select 4");
	client(t);
	columns();
	row("4");
	complete("SELECT 1");
	ready('I');
	server(t);
}

static void empty(struct pgt *t)
{
	query("");
	client(t);
	put('I', "");
	ready('I');
	server(t);
	query("-- ping");
	client(t);
	put('I', "");
	ready('I');
	server(t);
}

static void tags(struct pgt *t)
{
	static const char *const all[] = { "INSERT 0 5",
					   "UPDATE 2",
					   "DELETE 4",
					   "MERGE 6",
					   "FETCH 7",
					   "MOVE 8",
					   "COPY 9",
					   "SHOW",
					   "BEGIN",
					   "CREATE TABLE",
					   "SELECT 18446744073709551616" };
	size_t i;

	for (i = 0; i < ARRAY_SIZE(all); i++) {
		query("x");
		client(t);
		if (strcmp(all[i], "SHOW") == 0) {
			columns();
			row("on");
		}
		complete(all[i]);
		ready('I');
		server(t);
	}
}

static void sql_names(struct pgt *t)
{
	static const char *const sql[][2] = {
		{ "prepare \"My Stmt\" (int) as select 1 where $1", "PREPARE" },
		{ "PREPARE Two AS update t set a = 'x'", "PREPARE" },
		{ "execute two", "UPDATE 3" },
		{ "deallocate prepare two", "DEALLOCATE" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(sql); i++) {
		query(sql[i][0]);
		client(t);
		complete(sql[i][1]);
		ready('I');
		server(t);
	}
	call("My Stmt");
	call("two");
	client(t);
	bound();
	complete("SELECT 1");
	ready('I');
	failure("ERROR", "26000");
	ready('I');
	server(t);
	query("/* all */ discard all");
	client(t);
	complete("DISCARD ALL");
	ready('I');
	server(t);
	call("My Stmt");
	client(t);
	failure("ERROR", "26000");
	ready('I');
	server(t);
}

static void copy_simple(struct pgt *t)
{
	query("copy t from stdin");
	client(t);
	put('G', "ch", 0, 0);
	server(t);
	put('d', "s", "1\tann");
	put('d', "s", "2\tbob");
	put('c', "");
	client(t);
	complete("COPY 2");
	ready('I');
	server(t);
	query("copy t to stdout");
	client(t);
	put('H', "ch", 0, 0);
	put('d', "s", "1\tann");
	put('c', "");
	complete("COPY 1");
	ready('I');
	server(t);
	query("copy t from stdin");
	client(t);
	put('G', "ch", 0, 0);
	server(t);
	put('f', "s", "changed my mind");
	client(t);
	failure("ERROR", "57014");
	ready('I');
	server(t);
}

static void replication(struct pgt *t)
{
	query("START_REPLICATION 0/1");
	client(t);
	put('W', "ch", 0, 0);
	put('d', "s", "wal");
	server(t);
	put('d', "s", "status");
	client(t);
}

static void function(struct pgt *t)
{
	put('F', "ihhirh", 952, 0, 1, 4, "blob", (size_t)4, 0);
	client(t);
	put('V', "ir", 4, "blob", (size_t)4);
	ready('T');
	server(t);
	put('F', "ihhirh", 953, 0, 1, 4, "blob", (size_t)4, 0);
	client(t);
	failure("ERROR", "42501");
	ready('E');
	server(t);
}

static void any_time(struct pgt *t)
{
	query("select 1");
	client(t);
	put('N', "cscscsc", 'S', "NOTICE", 'C', "00000", 'M', "secret", 0);
	columns();
	put('A', "iss", 77, "channel", "payload");
	row("1");
	put('S', "ss", "TimeZone", "UTC");
	complete("SELECT 1");
	put('N', "cscsc", 'S', "WARNING", 'C', "01000", 0);
	ready('I');
	server(t);
	put('A', "iss", 77, "channel", "payload");
	server(t);
}

static void fatal(struct pgt *t)
{
	query("select pg_sleep(9)");
	client(t);
	failure("FATAL", "57P01");
	server(t);
	proto_pgsql.eof(t->state, &t->ctx, PROTO_SERVER, t->clock, 0);
}

/* Says why it closes: nothing was asked, so no call. */
static void fatal_idle(struct pgt *t)
{
	failure("FATAL", "57P05");
	server(t);
	proto_pgsql.eof(t->state, &t->ctx, PROTO_SERVER, t->clock, 0);
}

static void at_detach(struct pgt *t)
{
	query("select 1; select 2");
	client(t);
	columns();
	row("1");
	complete("SELECT 1");
	server(t);
}

static void transactions(struct pgt *t)
{
	static const struct {
		const char *sql, *tag;
		char txn;
	} steps[] = {
		{ "begin", "BEGIN", 'T' },
		{ "select 1", "SELECT 1", 'T' },
		{ "boom", NULL, 'E' },
		{ "rollback", "ROLLBACK", 'I' },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(steps); i++) {
		query(steps[i].sql);
		client(t);
		if (steps[i].tag)
			complete(steps[i].tag);
		else
			failure("ERROR", "XX000");
		ready(steps[i].txn);
		server(t);
	}
}

#define SIMPLE(trip, rows, txn, sql)                                                               \
	"call simple trip=" trip " trips=1 first rows=" rows " txn=" txn " flags=- sql=" sql "\n"
#define EXEC(trip, trips, rows, txn, sql)                                                          \
	"call execute trip=" trip " trips=" trips " rows=" rows " txn=" txn " flags=- sql=" sql "\n"

static const struct scenario scenarios[] = {
	{ .name = "simple",
	  .run = simple,
	  .want = SIMPLE("1", "2", "I", "select * from t where name = 'xxx'") },
	{ .name = "asyncpg reset",
	  .run = multi,
	  .want = SIMPLE("1", "1", "-",
			 "SELECT pg_advisory_unlock_all()") "call simple trip=1 trips=0 rows=0 "
							    "txn=- flags=- sql=CLOSE ALL\n"
							    "call simple trip=1 trips=0 rows=0 "
							    "txn=- flags=- sql=UNLISTEN *\n"
							    "call simple trip=1 trips=0 rows=0 "
							    "txn=I flags=- sql=RESET ALL\n" },
	{ .name = "error inside a query",
	  .run = multi_error,
	  .want = SIMPLE("1", "1", "-",
			 "select 0") "call simple trip=1 trips=0 rows=0 txn=I flags=- error=22012 "
				     "sql=select 0/0\n" SIMPLE("2", "1", "I", "select 0") },
	{ .name = "empty",
	  .run = empty,
	  .want = SIMPLE("1", "0", "I", "") SIMPLE("2", "0", "I", "--xxxxx") },
	{ .name = "tags",
	  .run = tags,
	  .want = SIMPLE("1", "5", "I", "x") SIMPLE("2", "2", "I", "x") SIMPLE("3", "4", "I", "x")
		  SIMPLE("4", "6", "I", "x") SIMPLE("5", "7", "I", "x") SIMPLE("6", "0", "I", "x")
			  SIMPLE("7", "9", "I", "x") SIMPLE("8", "0", "I", "x")
				  SIMPLE("9", "0", "I", "x") SIMPLE("10", "0", "I", "x")
					  SIMPLE("11", "0", "I", "x") },
	{ .name = "names in SQL",
	  .run = sql_names,
	  .want = SIMPLE("1", "0", "I", "prepare \"My Stmt\" (int) as select 0 where $1")
		  SIMPLE("2", "0", "I", "PREPARE Two AS update t set a = 'x'") SIMPLE(
			  "3", "3", "I", "execute two") SIMPLE("4", "0", "I",
							       "deallocate prepare two")
			  EXEC("5", "1 first", "1", "I",
			       "select 0 where $1") "call execute trip=5 trips=0 rows=0 txn=I "
						    "flags=unknown error=26000 sql=<prepared "
						    "two>\n" SIMPLE(
							    "6", "0", "I",
							    "/*xxxxx*/ discard all") "call "
										     "execute "
										     "trip=7 "
										     "trips=1 "
										     "first "
										     "rows=0 "
										     "txn=I "
										     "flags="
										     "unknown "
										     "error="
										     "26000 "
										     "sql=<"
										     "prepared "
										     "My "
										     "Stmt>\n" },
	{ .name = "copy",
	  .run = copy_simple,
	  .want = "call copy-in trip=1 trips=2 first rows=2 txn=I flags=- sql=copy t from stdin\n"
		  "call copy-out trip=2 trips=1 first rows=1 txn=I flags=- sql=copy t to stdout\n"
		  "call copy-in trip=3 trips=2 first rows=0 txn=I flags=- error=57014 "
		  "sql=copy t from stdin\n" },
	{ .name = "replication",
	  .run = replication,
	  .want = SIMPLE("1", "0", "-", "START_REPLICATION 0/0") },
	{ .name = "function",
	  .run = function,
	  .want = "call function trip=1 trips=1 first rows=0 txn=T flags=- sql=<function 952>\n"
		  "event txn T\n"
		  "call function trip=2 trips=1 first rows=0 txn=E flags=- error=42501 "
		  "sql=<function 953>\n"
		  "event txn E\n" },
	{ .name = "messages at any time",
	  .run = any_time,
	  .want = SIMPLE("1", "1", "I", "select 0") },
	{ .name = "FATAL",
	  .run = fatal,
	  .want = "call simple trip=1 trips=1 first rows=0 txn=- flags=- error=57P01 "
		  "sql=select pg_sleep(0)\n" },
	{ .name = "FATAL while idle", .run = fatal_idle, .want = "" },
	{ .name = "detach",
	  .run = at_detach,
	  .want = SIMPLE("1", "1", "-", "select 0") "call simple trip=1 trips=0 rows=0 txn=- "
						    "flags=detach sql=select 0\n" },
	{ .name = "transactions",
	  .run = transactions,
	  .want = SIMPLE("1", "0", "T", "begin") "event txn T\n" SIMPLE(
		  "2", "1", "T", "select 0") "call simple trip=3 trips=1 first rows=0 txn=E "
					     "flags=- error=XX000 sql=boom\n"
					     "event txn E\n" SIMPLE("4", "0", "I",
								    "rollback") "event txn I\n" },
};

static void exchanges(void **state)
{
	size_t i, bad = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(scenarios); i++)
		bad += !scenario_ok(&scenarios[i]);
	assert_int_equal(bad, 0);
}

static void startup(struct pgt *t)
{
	put(0, "i", 80877104);
	client(t);
	buf_addch(&wire, 'N');
	server(t);
	put(0, "i", 80877103);
	client(t);
	buf_addch(&wire, 'N');
	server(t);
	put(0, "issssc", 0x30000, "user", "ann", "options", "-c secret=1", 0);
	client(t);
	put('R', "is", 10, "SCRAM-SHA-256");
	server(t);
	put('p', "s", "n,,n=,r=nonce");
	client(t);
	put('R', "ir", 12, "v=...", (size_t)5);
	put('R', "i", 0);
	ready('I');
	server(t);
}

static void tls(struct pgt *t)
{
	put(0, "i", 80877103);
	client(t);
	buf_addch(&wire, 'S');
	server(t);
	buf_adds(&wire, "\x16\x03\x01 client hello");
	client(t);
	assert_int_equal(t->verdict.capture, HP_CAPTURE_COUNT);
}

static void gss(struct pgt *t)
{
	put(0, "i", 80877104);
	client(t);
	buf_addch(&wire, 'G');
	server(t);
	assert_int_equal(t->verdict.capture, HP_CAPTURE_COUNT);
}

static void cancel(struct pgt *t)
{
	put(0, "iii", 80877102, 4242, 99);
	client(t);
	assert_int_equal(t->verdict.capture, HP_CAPTURE_COUNT);
}

static void refused(struct pgt *t)
{
	put(0, "i", 80877103);
	client(t);
	failure("FATAL", "28000");
	server(t);
	put(0, "issc", 0x30000, "user", "ann", 0);
	client(t);
	put('R', "i", 3);
	server(t);
	put('p', "s", "planted password");
	client(t);
	failure("FATAL", "28P01");
	server(t);
}

static void garbage(struct pgt *t)
{
	put(0, "issc", 0x30000, "user", "ann", 0);
	client(t);
	put('R', "i", 0);
	ready('I');
	server(t);
	query("select 1");
	client(t);
	buf_adds(&wire, "\xff\xfe");
	server(t);
	assert_int_equal(t->verdict.capture, HP_CAPTURE_COUNT);
	query("not looked at");
	client(t);
}

static void logins(void **state)
{
	static const struct scenario all[] = {
		{ .name = "startup",
		  .run = startup,
		  .want = "event login user=ann database=ann\nevent txn I\n",
		  .bare = true },
		{ .name = "tls", .run = tls, .want = "event tls\n", .bare = true },
		{ .name = "gss", .run = gss, .want = "event tls\n", .bare = true },
		{ .name = "cancel", .run = cancel, .want = "event cancel\n", .bare = true },
		{ .name = "refused", .run = refused, .want = "", .bare = true },
		{ .name = "garbage",
		  .run = garbage,
		  .want = "event login user=ann database=ann\nevent txn I\n"
			  "call simple trip=1 trips=1 first rows=0 txn=- flags=gap sql=select 0\n"
			  "event protocol-error\n",
		  .bare = true },
	};
	size_t i, bad = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(all); i++)
		bad += !scenario_ok(&all[i]);
	assert_int_equal(bad, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(exchanges),
		cmocka_unit_test(logins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
