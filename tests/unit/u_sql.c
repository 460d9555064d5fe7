/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proto/sql: normalised text, cut texts, bounds, statements, operations, the keyword table. Which texts
 * share a fingerprint is the matter of tests/sql/corpus.sql; here it is what they look like, and
 * placeholders that PostgreSQL's grammar does not have.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "proto/sql_lex.h"

static const struct {
	const char *text;
	const char *normal;
} cases[] = {
	{ "", "" },
	{ " \n\t;; ", "" },
	{ "-- nothing", "" },
	{ "SELECT  a,b\n FROM t\tWHERE a=1 ;", "SELECT a, b FROM t WHERE a = ?" },
	{ "Select Count( * ), T.*, max( a ) from T", "Select Count(*), T.*, max(a) from T" },
	{ "SELECT a::int, b [1], c[1:2], d[ : n], (e).f",
	  "SELECT a::int, b[?], c[?:?], d[:n], (e).f" },
	{ "SELECT a /* c */ -- d\n FROM t", "SELECT a FROM t" },
	{ "SELECT a; SELECT b;", "SELECT a; SELECT b" },
	{ "SELECT -1, - 2, a-3, a - -4, (b) -5, -c, - (6)",
	  "SELECT ?, ?, a - ?, a - ?, (b) - ?, - c, - (?)" },
	{ "SELECT f(-1,a=>-2), CASE WHEN -1 THEN -2 ELSE -3 END-4",
	  "SELECT f(?, a => ?), CASE WHEN ? THEN ? ELSE ? END - ?" },
	{ "SELECT E'a\\'b'\n'c', $$d$$, U&'x', B'1', 0x1f", "SELECT ?, ?, ?, ?, ?" },
	{ "SELECT date$1, N$2, BETWEEN$3AND$4", "SELECT date ?, ?, BETWEEN ? AND ?" },
	{ "WHERE a IS NULL AND b IS NOT NULL AND c = NULL AND d IS TRUE AND e = true",
	  "WHERE a IS NULL AND b IS NOT NULL AND c = ? AND d IS TRUE AND e = ?" },
	{ "CREATE TABLE t (a int NOT NULL, b int DEFAULT NULL)",
	  "CREATE TABLE t(a int NOT NULL, b int DEFAULT ?)" },
	{ "SELECT extract(year FROM a), \"extract\"(b)",
	  "SELECT extract(? FROM a), \"extract\"(b)" },
	{ "SELECT t.values (1, 2), t.in (3)", "SELECT t.values(?, ?), t.in(?)" },
	{ "WHERE a IN (1,2) AND b IN ('x') AND c NOT IN ($1)",
	  "WHERE a IN (...) AND b IN (...) AND c NOT IN (...)" },
	{ "WHERE a IN (1, b) AND c IN (SELECT 1) AND d IN (1 + 2)",
	  "WHERE a IN (?, b) AND c IN (SELECT ?) AND d IN (? + ?)" },
	{ "WHERE a IN ((1,'x'),(2,'y')) AND b IN (1::int, '2'::numeric(10,2)[], NULL, -3)",
	  "WHERE a IN (...) AND b IN (...)" },
	{ "WHERE a IN (?, ?) OR b IN (%s, %s) OR c IN (:x, :y)",
	  "WHERE a IN (...) OR b IN (...) OR c IN (...)" },
	{ "WHERE a = ANY (ARRAY[1,2]) AND b = ARRAY[c, 1] AND d = ARRAY[ARRAY[1],ARRAY[2]]",
	  "WHERE a = ANY(ARRAY[...]) AND b = ARRAY[c, ?] AND d = ARRAY[...]" },
	{ "INSERT INTO t (a,b) VALUES (1,2)", "INSERT INTO t(a, b) VALUES (...)" },
	{ "INSERT INTO t VALUES (1,2), (3,4) RETURNING a",
	  "INSERT INTO t VALUES (...) RETURNING a" },
	{ "INSERT INTO t VALUES (1,now()),(2,now()),(3,now()) ON CONFLICT DO NOTHING",
	  "INSERT INTO t VALUES (?, now()) ON CONFLICT DO NOTHING" },
	{ "INSERT INTO t VALUES (1,now()),(2,3),(4,now()),(5,6),(7,f(8))",
	  "INSERT INTO t VALUES (?, now()), (...), (?, f(?))" },
	{ "INSERT INTO t VALUES (1,(SELECT a FROM (VALUES (1),(2)) v)), (2,(SELECT a FROM (VALUES "
	  "(3)) v))",
	  "INSERT INTO t VALUES (?, (SELECT a FROM (VALUES (...)) v))" },
	{ "INSERT INTO t(a) VALUES (a) ON DUPLICATE KEY UPDATE a = VALUES(a), b = 2",
	  "INSERT INTO t(a) VALUES (a) ON DUPLICATE KEY UPDATE a = VALUES (a), b = ?" },
	{ "WHERE a=%s AND b>%(n)s AND c = :foo AND d=? AND e = ?1 AND f=:2",
	  "WHERE a = ? AND b > ? AND c = ? AND d = ? AND e = ? AND f = ?" },
	{ "WHERE a ? 'k' AND b ?| c AND 5 % s AND d % e AND f::int",
	  "WHERE a ? ? AND b ?| c AND ? % s AND d % e AND f::int" },
	{ "SAVEPOINT sa_savepoint_12", "SAVEPOINT sa_savepoint_?" },
	{ "SAVEPOINT \"s1234_x5\"", "SAVEPOINT \"s?_x?\"" },
	{ "ROLLBACK TO SAVEPOINT p7f2", "ROLLBACK TO SAVEPOINT p7f?" },
	{ "DEALLOCATE __asyncpg_stmt_a__", "DEALLOCATE __asyncpg_stmt_?__" },
	{ "DEALLOCATE PREPARE cafe", "DEALLOCATE PREPARE cafe" },
	{ "DECLARE c_7f2b_1 CURSOR FOR SELECT a1 FROM t2",
	  "DECLARE c_?_? CURSOR FOR SELECT a1 FROM t2" },
	{ "EXECUTE s12 (1, a2)", "EXECUTE s?(?, a2)" },
	{ "SELECT a1 FROM t2", "SELECT a1 FROM t2" },
	{ "SET x TO a, 'b', -3", "SET x TO ?" },
	{ "SET x = DEFAULT", "SET x = DEFAULT" },
	{ "SET TRANSACTION READ ONLY", "SET TRANSACTION READ ONLY" },
	{ "SET a = on; UPDATE t SET a = b", "SET a = ?; UPDATE t SET a = b" },
	{ "LIMIT ALL", "LIMIT ?" },
	{ "SELECT '", "SELECT ?" },
	{ "SELECT \\ $ {x}", "SELECT \\ $ { x }" },
};

static void t_text(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		_release_(buf) struct buf b = BUF_INIT;

		sql_normalise(slice_str(cases[i].text), false, 1000, &b);
		assert_string_equal(b.p ? b.p : "", cases[i].normal);
	}
}

static u64 fp(const char *text)
{
	return sql_normalise(slice_str(text), false, 0, NULL);
}

static u64 fp_cut(const char *text, size_t n)
{
	_free_ char *part = strndup(text, n);

	return sql_normalise(slice_of(part, n), true, 0, NULL);
}

static void t_fingerprint(void **state)
{
	static const char *const apart[] = {
		"SELECT a FROM t WHERE b = 1",
		"SELECT a FROM t WHERE b = c",
		"SELECT a FROM t WHERE b IN (1)",
		"SELECT a FROM t WHERE b NOT IN (1)",
		"SELECT \"A\" FROM t",
		"SELECT a FROM t",
		"SELECT ab FROM t",
		"SELECT a b FROM t",
		"SELECT a, b FROM t",
		"SELECT a.b FROM t",
		"SELECT a AND b",
		"SELECT a < b",
		"SELECT a <= b",
		"SELECT a < = b",
		"SELECT a ? b",
		"SELECT a 1 b",
		"SELECT \001",
		"SELECT \002",
		"SELECT \003",
		"SELECT 1",
		"SELECT",
		"",
		"SELECT a IS NULL",
		"SELECT a IS TRUE",
		"SELECT a; SELECT b",
		"SELECT a SELECT b",
		"SET a = 1",
		"SET a TO 1",
		"SELECT user",
		"SELECT \"user\"",
	};
	size_t i, j;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(apart); i++)
		for (j = 0; j < i; j++)
			assert_int_not_equal(fp(apart[i]), fp(apart[j]));
	assert_int_equal(fp("SELECT a != 1"), fp("select A <> $1"));
	assert_int_equal(fp("SELECT \"a\""), fp("SELECT A"));
	/* Part of reports: must not change by accident. */
	assert_int_equal(fp("SELECT * FROM users WHERE id = 1"),
			 fp("SELECT*FROM users WHERE id=$1;"));
	assert_int_equal(fp("SELECT * FROM users WHERE id = 1"), 0xded39b2bd4e7295cULL);
}

/* Where only the tail of a list is gone, the fingerprint is that of the whole. */
static void t_cut_list(void **state)
{
	static const char *const texts[] = {
		"SELECT a FROM t WHERE b = 'x' AND c IN (|1, 'two', $3, -4, NULL, 5::int, (6, 7), "
		"E'\\''|)",
		"INSERT INTO t (a, b) VALUES (|1, 'x'), (2, 'y'), (-3, NULL), (4, 'z')|",
		"INSERT INTO t (a, b) VALUES (1, now())|, (2, now()), (3, now())|",
		"SELECT a FROM t WHERE b = ANY (ARRAY[|1, 2, 'three', 4|",
		"SELECT a FROM t WHERE b IN (|'long literal with IN (1 in it', '''', $$x$$|)",
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(texts); i++) {
		_free_ char *whole = strdup(texts[i]);
		char *from = strchr(whole, '|'), *to;
		size_t cut;
		u64 want;

		memmove(from, from + 1, strlen(from));
		to = strchr(whole, '|');
		memmove(to, to + 1, strlen(to));
		want = sql_normalise(slice_str(whole), true, 0, NULL);
		if (whole[strlen(whole) - 1] == ')')
			assert_int_equal(want, fp(whole));
		for (cut = (size_t)(from - whole); cut <= (size_t)(to - whole); cut++)
			assert_int_equal(fp_cut(whole, cut), want);
	}
}

/* Elsewhere a cut text has a fingerprint of its own: that of its tokens without the cut one. */
static void t_cut_elsewhere(void **state)
{
	static const struct {
		const char *cut;
		const char *same_as;
	} pairs[] = {
		{ "SELECT a FROM us", "SELECT a FROM" },
		{ "SELECT a FROM users", "SELECT a FROM" },
		{ "SELECT a FROM users ", "SELECT a FROM users" },
		{ "SELECT a FROM \"us", "SELECT a FROM" },
		{ "UPDATE t SET a = 'long te", "UPDATE t SET a = ?" },
		{ "UPDATE t SET a = 12", "UPDATE t SET a = ?" },
		{ "UPDATE t SET a = $1", "UPDATE t SET a = ?" },
		{ "UPDATE t SET a = $t$ x", "UPDATE t SET a = ?" },
		{ "UPDATE t SET a = $t", "UPDATE t SET a =" },
		{ "UPDATE t SET a = -", "UPDATE t SET a =" },
		{ "UPDATE t SET a = b -- it", "UPDATE t SET a = b" },
		{ "SELECT a FROM t /* x", "SELECT a FROM t" },
		{ "SELECT a <", "SELECT a" },
		{ "SELECT count(*)", "SELECT count(*)" },
		{ "INSERT INTO t VALUES (1, now()), (2, f(", "INSERT INTO t VALUES (1, now())" },
		{ "INSERT INTO t VALUES (1, now()),", "INSERT INTO t VALUES (1, now())" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(pairs); i++)
		assert_int_equal(fp_cut(pairs[i].cut, strlen(pairs[i].cut)), fp(pairs[i].same_as));
	/* No text, cut anywhere, is the whole one by accident, except at its last byte. */
	assert_int_not_equal(fp_cut("SELECT a FROM users WHERE id = 1", 20),
			     fp("SELECT a FROM users WHERE id = 1"));
}

static void t_bound(void **state)
{
	const char *text =
		"SELECT \"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\", a FROM t WHERE b IN (1)";
	_release_(buf) struct buf whole = BUF_INIT;
	u64 want = sql_normalise(slice_str(text), false, 1000, &whole);
	size_t max;

	(void)state;
	for (max = 0; max <= whole.n + 3; max++) {
		_release_(buf) struct buf b = BUF_INIT;
		size_t n;

		buf_adds(&b, "before:");
		assert_int_equal(sql_normalise(slice_str(text), false, max, &b), want);
		n = b.n - 7;
		assert_true(n <= max && n + 3 >= MIN(max, whole.n));
		assert_memory_equal(b.p, "before:", 7);
		assert_memory_equal(b.p + 7, whole.p, n);
		assert_int_equal(b.p[b.n], 0);
		/* Never a part of a character at the end. */
		assert_true(n == whole.n || (whole.p[n] & 0xc0) != 0x80);
	}
}

/* Text longer than the hash's block, with and without the row that is taken back. */
static void t_long(void **state)
{
	_release_(buf) struct buf one = BUF_INIT;
	_release_(buf) struct buf many = BUF_INIT;
	_release_(buf) struct buf text = BUF_INIT;
	int i;

	(void)state;
	buf_adds(&one, "INSERT INTO t VALUES (f(a_rather_long_column_name");
	for (i = 0; i < 200; i++)
		buf_addf(&one, ", column_%d", i);
	buf_adds(&one, "))");
	buf_add_slice(&many, buf_slice(&one));
	for (i = 0; i < 50; i++) {
		buf_adds(&many, ", ");
		buf_add(&many, one.p + 21, one.n - 21);
	}
	assert_int_equal(fp(one.p), fp(many.p));
	sql_normalise(buf_slice(&many), false, 1 << 20, &text);
	assert_string_equal(text.p, one.p);
	one.p[one.n - 4]++;
	assert_int_not_equal(fp(one.p), fp(many.p));
}

/* Nesting that cannot be folded costs a bounded number of looks ahead: else this takes minutes. */
static void t_hostile(void **state)
{
	static const char *const parts[] = { "ARRAY[1,", "IN(1,", "VALUES(1,", "VALUES(a),(",
					     "IN((",	 "%(",	  "$a",	       ":a?",
					     "/*",	 "$a$" };
	size_t i, k;

	(void)state;
	alarm(60);
	for (i = 0; i < ARRAY_SIZE(parts); i++) {
		_release_(buf) struct buf b = BUF_INIT;
		_release_(buf) struct buf out = BUF_INIT;

		for (k = 0; k < 64000 / strlen(parts[i]); k++)
			buf_adds(&b, parts[i]);
		assert_int_equal(sql_normalise(buf_slice(&b), false, 1 << 20, &out), fp(b.p));
		assert_true(sql_normalise(buf_slice(&b), true, 100, &out));
	}
	alarm(0);
}

static void check_split(const char *text, const char *const *want)
{
	struct slice s;
	size_t off = 0;

	for (; *want; want++) {
		assert_true(sql_next_statement(slice_str(text), &off, &s));
		assert_true(slice_eq(s, slice_str(*want)));
	}
	assert_false(sql_next_statement(slice_str(text), &off, &s));
	assert_false(sql_next_statement(slice_str(text), &off, &s));
}

#define SPLIT(text, ...) check_split(text, (const char *const[]){ __VA_ARGS__, NULL })

static void t_split(void **state)
{
	(void)state;
	check_split("", (const char *const[]){ NULL });
	check_split(" ; ;; -- x\n ; /* ; */", (const char *const[]){ NULL });
	SPLIT("SELECT 1", "SELECT 1");
	SPLIT("SELECT pg_advisory_unlock_all();\nCLOSE ALL;\nUNLISTEN *;\nRESET ALL;",
	      "SELECT pg_advisory_unlock_all()", "CLOSE ALL", "UNLISTEN *", "RESET ALL");
	SPLIT(" SELECT ';' ; ; SELECT \";\", $$;$$ /* ; */ , 1 -- ;\n; x", "SELECT ';'",
	      "SELECT \";\", $$;$$ /* ; */ , 1", "x");
	SPLIT("/* a */ SELECT 1; -- b\nSELECT 2 -- c", "/* a */ SELECT 1", "-- b\nSELECT 2");
	SPLIT("CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b); SELECT 1",
	      "CREATE RULE r AS ON INSERT TO t DO (DELETE FROM a; DELETE FROM b)", "SELECT 1");
	SPLIT("CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 "
	      "END; "
	      "SELECT 2; END; SELECT 3",
	      "CREATE OR REPLACE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT CASE WHEN a THEN 1 "
	      "END; "
	      "SELECT 2; END",
	      "SELECT 3");
	SPLIT("create procedure p() begin atomic end; end", "create procedure p() begin atomic end",
	      "end");
	SPLIT("BEGIN; SELECT 1; END; BEGIN ATOMIC; SELECT 2", "BEGIN", "SELECT 1", "END",
	      "BEGIN ATOMIC", "SELECT 2");
	SPLIT("SELECT a); SELECT 2", "SELECT a)", "SELECT 2");
	SPLIT("SELECT 'open; SELECT 2", "SELECT 'open; SELECT 2");
	SPLIT("SELECT 1;SELECT E'\\';'", "SELECT 1", "SELECT E'\\';'");
}

static void check_operation(const char *text, const char *want)
{
	char out[12];

	memset(out, 'z', sizeof(out));
	sql_operation(slice_str(text), out, sizeof(out));
	assert_string_equal(out, want);
}

static void t_operation(void **state)
{
	char one[1] = { 'z' };

	(void)state;
	check_operation("select 1", "SELECT");
	check_operation(" -- x\n/* y */ With a AS (SELECT 1) SELECT 2", "WITH");
	check_operation("((SELECT 1) UNION SELECT 2)", "SELECT");
	check_operation("; begin", "BEGIN");
	check_operation("", "");
	check_operation("'x'", "");
	check_operation("$1", "");
	check_operation("averyveryverylongword", "AVERYVERYVE");
	sql_operation(SLICE("SELECT"), one, sizeof(one));
	assert_int_equal(one[0], 0);
	sql_operation(SLICE("SELECT"), NULL, 0);
}

static enum sql_word find(const char *text, unsigned int *ret_flags)
{
	struct sql_reader r;
	struct sql_token t;

	sql_reader_init(&r, slice_str(text));
	assert_true(sql_reader_next(&r, &t));
	assert_int_equal(t.kind, SQL_WORD);
	assert_int_equal(t.n, strlen(text));
	return sql_word_find(&t, ret_flags);
}

static void t_words(void **state)
{
	static const char *const words[] = {
		"",
#define WORD(id, text, flags) text,
#include "proto/sql_words.def"
#undef WORD
	};
	static const unsigned int flags_of[] = {
		0,
#define WORD(id, text, flags) flags,
#include "proto/sql_words.def"
#undef WORD
	};
	unsigned int flags;
	size_t i;

	(void)state;
	assert_int_equal(ARRAY_SIZE(words), W_COUNT);
	for (i = 1; i < W_COUNT; i++) {
		/* Once at the end of the text and once in its middle: two ways to read a word. */
		char text[64];
		size_t n = strlen(words[i]), k;

		assert_int_equal(find(words[i], &flags), i);
		assert_int_equal(flags, flags_of[i]);
		for (k = 0; k < n; k++)
			text[k] = k % 2 && words[i][k] != '_' ? (char)(words[i][k] - 0x20)
							      : words[i][k];
		text[n] = '\0';
		assert_int_equal(find(text, &flags), i);
		memcpy(text + n, "_", 2);
		assert_int_equal(find(text, &flags), W_NONE);
		assert_int_equal(flags, 0);
		/* In the middle of words longer than what is compared at once. */
		memcpy(text, words[i], n + 1);
		text[n - 1] = 'q';
		if (find(text, &flags) != W_NONE)
			assert_string_equal(words[find(text, &flags)], text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_text),      cmocka_unit_test(t_fingerprint),
		cmocka_unit_test(t_cut_list),  cmocka_unit_test(t_cut_elsewhere),
		cmocka_unit_test(t_bound),     cmocka_unit_test(t_long),
		cmocka_unit_test(t_split),     cmocka_unit_test(t_hostile),
		cmocka_unit_test(t_operation), cmocka_unit_test(t_words),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
