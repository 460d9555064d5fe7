/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Statements by fingerprint: keys, errors, partial calls, the cache and the caps; and the pools
 * that the connections form: who is open, who is busy, who idles inside a transaction.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "agg/core.h"

#define T0 1000000000000ULL
#define MS NSEC_PER_MSEC

static struct agg *agg_with(const struct agg_opts *opts)
{
	struct ev_window start = {
		.hdr = { sizeof(start), EV_WINDOW, 0, 0, 0, T0 },
		.what = HP_WINDOW_START,
	};
	struct agg *a;

	assert_int_equal(agg_new(&a, opts), 0);
	agg_record(a, &start.hdr);
	return a;
}

static void stop(struct agg *a, u64 ts)
{
	struct ev_window rec = { .hdr = { sizeof(rec), EV_WINDOW, 0, 0, 0, ts } };

	rec.what = HP_WINDOW_STOP;
	agg_record(a, &rec.hdr);
	rec.what = HP_WINDOW_END;
	agg_record(a, &rec.hdr);
	assert_int_equal(agg_finish(a), 0);
}

static void conn_ex(struct agg *a, u64 id, enum hp_origin origin, const char *peer, u8 status,
		    u64 open, u64 close, bool ended)
{
	struct conn_info info = {
		.conn_id = id,
		.open_ns = open,
		.established_ns = origin == HP_ORIGIN_CONNECT ? open + MS : 0,
		.close_ns = close,
		.proto = "postgresql",
		.peer = slice_str(peer),
		.reason = "",
		.role = HP_ROLE_CLIENT,
		.origin = (u8)origin,
		.status = status,
		.family = AF_INET,
		.ended = ended,
	};

	agg_conn(a, &info);
}

static void conn(struct agg *a, u64 id)
{
	conn_ex(a, id, HP_ORIGIN_CONNECT, "127.0.0.1:5432", CONN_PARSED, T0, 0, false);
}

static void login(struct agg *a, u64 id, const char *user, const char *database)
{
	struct db_event e = { .conn_id = id,
			      .ts_ns = T0 + 2 * MS,
			      .user = slice_str(user),
			      .database = slice_str(database),
			      .what = DB_EVENT_LOGIN };

	agg_db_event(a, &e);
}

static struct db_call call_of(u64 id, const char *sql, u64 start, u64 end)
{
	struct db_call c = {
		.conn_id = id,
		.start_ns = start,
		.end_ns = end,
		.sql = slice_str(sql),
		.kind = DB_EXECUTE,
		.first_in_trip = true,
		.trips = 1,
	};

	c.sql_hash = hash_bytes(c.sql.p, c.sql.n, 0);
	return c;
}

static void call(struct agg *a, u64 id, const char *sql, u64 start, u64 end)
{
	struct db_call c = call_of(id, sql, start, end);

	agg_db(a, &c);
}

static const struct agg_query *query_named(const struct agg *a, const char *prefix)
{
	const struct agg_report *r = agg_report(a);
	const struct agg_query *hit = NULL;
	u32 i;

	for (i = 0; i < r->nqueries; i++)
		if (!strncmp(r->queries[i]->statement, prefix, strlen(prefix))) {
			assert_null(hit);
			hit = r->queries[i];
		}
	assert_non_null(hit);
	return hit;
}

static void test_rows_and_figures(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_report *r;
	const struct agg_query *q;
	struct db_call c;
	u64 t = T0 + 10 * MS;
	u32 i;

	(void)state;
	conn(a, 1);
	login(a, 1, "app", "shop");
	for (i = 0; i < 10; i++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "SELECT * FROM orders WHERE id = %u", i);
		c = call_of(1, sql, t, t + (i + 1) * MS);
		c.rows = 3;
		c.first_row_ns = t + MS / 2;
		c.first_in_trip = i % 2 == 0;
		c.trips = c.first_in_trip;
		agg_db(a, &c);
		t += 20 * MS;
	}
	c = call_of(1, "SELECT * FROM orders WHERE id = 5", t, t + MS);
	c.error = true;
	memcpy(c.sqlstate, "57014", 6);
	agg_db(a, &c);
	memcpy(c.sqlstate, "40001", 6);
	agg_db(a, &c);
	agg_db(a, &c);
	c = call_of(1, "BEGIN", t, t + MS);
	agg_db(a, &c);
	c = call_of(1, "BEGIN", t, t + 500 * MS);
	c.flags = SPAN_AT_DETACH;
	agg_db(a, &c);
	c.flags = SPAN_AT_ATTACH;
	agg_db(a, &c);
	c.flags = SPAN_GAP;
	agg_db(a, &c);
	stop(a, T0 + 10 * NSEC_PER_SEC);
	r = agg_report(a);

	assert_int_equal(r->nqueries, 2);
	q = query_named(a, "SELECT");
	assert_int_equal(q->count, 13);
	assert_int_equal(q->errors, 3);
	assert_int_equal(q->rows, 30);
	assert_int_equal(q->round_trips, 8);
	assert_int_equal(q->ncodes, 2);
	assert_string_equal(q->codes[0].code, "40001");
	assert_int_equal(q->codes[0].n, 2);
	assert_string_equal(q->codes[1].code, "57014");
	assert_int_equal(q->codes[1].n, 1);
	assert_int_equal(q->latency.count, 13);
	assert_int_equal(q->first_row.count, 10);
	assert_true(q->latency.max == 10.0 * MS);
	assert_string_equal(q->system, "postgresql");
	assert_string_equal(q->peer, "127.0.0.1:5432");
	assert_string_equal(q->database, "shop");
	assert_string_equal(q->user, "app");
	assert_string_equal(q->operation, "SELECT");
	assert_int_equal(strlen(q->fingerprint), 16);
	assert_null(strchr(q->statement, '5'));

	q = query_named(a, "BEGIN");
	assert_int_equal(q->count, 2);
	assert_int_equal(q->untimed, 1);
	assert_int_equal(q->latency.count, 1);
	assert_int_equal(q->at_attach, 1);
	assert_int_equal(q->at_detach, 1);
	assert_int_equal(r->calls, 15);
	assert_int_equal(r->call_errors, 3);
	assert_int_equal(r->queries[0]->count, 13);
	agg_free(a);
}

/* The same text on another server, database or user is another row; another text of it is not. */
static void test_keys(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_report *r;

	(void)state;
	conn(a, 1);
	login(a, 1, "app", "shop");
	conn(a, 2);
	login(a, 2, "app", "stats");
	conn(a, 3);
	login(a, 3, "admin", "shop");
	conn_ex(a, 4, HP_ORIGIN_CONNECT, "10.0.0.2:5432", CONN_PARSED, T0, 0, false);
	login(a, 4, "app", "shop");
	conn(a, 5);
	login(a, 5, "app", "shop");
	call(a, 1, "SELECT 1", T0 + 10 * MS, T0 + 11 * MS);
	call(a, 2, "SELECT 1", T0 + 10 * MS, T0 + 11 * MS);
	call(a, 3, "SELECT 1", T0 + 10 * MS, T0 + 11 * MS);
	call(a, 4, "SELECT 1", T0 + 10 * MS, T0 + 11 * MS);
	call(a, 5, "select  2 -- other", T0 + 10 * MS, T0 + 11 * MS);
	call(a, 99, "SELECT 1", T0 + 10 * MS, T0 + 11 * MS);
	stop(a, T0 + NSEC_PER_SEC);
	r = agg_report(a);
	assert_int_equal(r->nqueries, 5);
	assert_int_equal(r->queries[0]->count, 2);
	assert_string_equal(r->queries[0]->database, "shop");
	assert_string_equal(r->queries[0]->user, "app");
	assert_string_equal(r->queries[0]->peer, "127.0.0.1:5432");
	/* Ties: by text. The unknown connection's row is "(other)". */
	assert_string_equal(r->queries[1]->system, "(other)");
	assert_string_equal(r->queries[2]->peer, "10.0.0.2:5432");
	assert_string_equal(r->queries[3]->user, "admin");
	assert_string_equal(r->queries[4]->database, "stats");
	agg_free(a);
}

/* Two connections of a pool, one of them open before attach; a third may log in as someone else. */
static void adopt_case(bool second_user, u32 want_rows, u64 want_count)
{
	struct agg *a = agg_with(NULL);
	const struct agg_query *q;

	conn(a, 1);
	login(a, 1, "app", "shop");
	conn_ex(a, 2, HP_ORIGIN_SEED, "127.0.0.1:5432", CONN_PARSED, T0, 0, false);
	if (second_user) {
		conn(a, 3);
		login(a, 3, "report", "shop");
		call(a, 3, "SELECT 1", T0 + 10 * MS, T0 + 11 * MS);
	}
	call(a, 1, "SELECT 1", T0 + 12 * MS, T0 + 13 * MS);
	call(a, 2, "SELECT 1", T0 + 14 * MS, T0 + 15 * MS);
	call(a, 2, "SELECT 1", T0 + 16 * MS, T0 + 17 * MS);
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(agg_report(a)->nqueries, want_rows);
	q = agg_report(a)->queries[0];
	assert_int_equal(q->count, want_count);
	assert_int_equal(q->latency.count, want_count);
	assert_string_equal(q->user, second_user ? "" : "app");
	assert_string_equal(q->database, second_user ? "" : "shop");
	agg_free(a);
}

static void test_identity_of_old_connections(void **state)
{
	(void)state;
	adopt_case(false, 1, 3);
	adopt_case(true, 3, 2);
}

static void test_unknown_and_cut_texts(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_query *q;
	struct db_call c;

	(void)state;
	conn(a, 1);
	c = call_of(1, "<prepared __asyncpg_7__>", T0 + MS, T0 + 2 * MS);
	c.flags = SPAN_UNKNOWN_TEXT;
	agg_db(a, &c);
	agg_db(a, &c);
	c = call_of(1, "<prepared s2>", T0 + MS, T0 + 2 * MS);
	c.flags = SPAN_UNKNOWN_TEXT;
	agg_db(a, &c);
	c = call_of(1, "SELECT a FROM t WHERE b = 'x\n", T0 + MS, T0 + 2 * MS);
	c.flags = SPAN_TRUNCATED;
	agg_db(a, &c);
	stop(a, T0 + NSEC_PER_SEC);
	q = query_named(a, "<prepared __asyncpg_7__>");
	assert_int_equal(q->count, 2);
	assert_string_equal(q->operation, "");
	assert_int_equal(query_named(a, "<prepared s2>")->count, 1);
	q = query_named(a, "SELECT a FROM t WHERE b =");
	assert_true(q->truncated);
	assert_null(strchr(q->statement, '\n'));
	agg_free(a);
}

/* Past the cap calls go to "(other)", and none is lost. */
static void test_cap(void **state)
{
	struct agg_opts opts = { .max_queries = 20 };
	struct agg *a = agg_with(&opts);
	const struct agg_report *r;
	u32 i, kept = 0;

	(void)state;
	conn(a, 1);
	for (i = 0; i < 500; i++) {
		char sql[64];

		snprintf(sql, sizeof(sql), "SELECT c%u FROM t", i % 100);
		call(a, 1, sql, T0 + i * MS, T0 + i * MS + 100);
	}
	stop(a, T0 + NSEC_PER_SEC);
	r = agg_report(a);
	assert_int_equal(r->nqueries, 21);
	assert_int_equal(r->calls, 500);
	assert_string_equal(r->queries[0]->statement, "(other)");
	assert_string_equal(r->queries[0]->fingerprint, "");
	assert_int_equal(r->queries[0]->count, 400);
	assert_int_equal(r->trust.folded, 400);
	for (i = 1; i < r->nqueries; i++)
		kept += r->queries[i]->count == 5;
	assert_int_equal(kept, 20);
	agg_free(a);
}

/* Each text is normalised once, also when more texts than the cache holds lead to one row. */
static void test_cache(void **state)
{
	struct agg *a = agg_with(NULL);
	char sql[64];
	u32 i, round;

	(void)state;
	conn(a, 1);
	for (i = 0; i < 1000; i++)
		call(a, 1, "SELECT 1", T0 + MS, T0 + 2 * MS);
	assert_int_equal(a->queries.normalised, 1);
	for (round = 0; round < 2; round++)
		for (i = 0; i < 20000; i++) {
			snprintf(sql, sizeof(sql), "SELECT %u", i);
			call(a, 1, sql, T0 + MS, T0 + 2 * MS);
		}
	assert_true(a->queries.cache.n <= QUERY_CACHE_MAX);
	assert_int_equal(a->queries.n, 1);
	/* A full cache still learns. */
	assert_int_equal(a->queries.normalised, 40000);
	for (i = 0; i < 100; i++)
		call(a, 1, "SELECT 'new'", T0 + MS, T0 + 2 * MS);
	assert_int_equal(a->queries.normalised, 40001);
	stop(a, T0 + NSEC_PER_SEC);
	assert_int_equal(agg_report(a)->queries[0]->count, 41100);
	agg_free(a);
}

static void test_many_error_codes(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_query *q;
	u64 n = 0;
	u32 i;

	(void)state;
	conn(a, 1);
	for (i = 0; i < 100; i++) {
		struct db_call c = call_of(1, "SELECT 1", T0 + MS, T0 + 2 * MS);

		c.error = true;
		snprintf(c.sqlstate, sizeof(c.sqlstate), "%05u", i * 37 % 50);
		agg_db(a, &c);
	}
	stop(a, T0 + NSEC_PER_SEC);
	q = agg_report(a)->queries[0];
	assert_int_equal(q->errors, 100);
	assert_int_equal(q->ncodes, QUERY_CODES_MAX);
	for (i = 0; i < q->ncodes; i++) {
		n += q->codes[i].n;
		assert_true(!i || strcmp(q->codes[i - 1].code, q->codes[i].code) < 0);
	}
	assert_int_equal(n + q->codes_other, 100);
	agg_free(a);
}

/* ---- pools ---- */

static void test_pool_open_and_closed(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_report *r;
	u64 i;

	(void)state;
	/* Three open before attach, two of them closed soon; four opened one after the other. */
	conn_ex(a, 3, HP_ORIGIN_SEED, "db:5432", CONN_PARSED, T0 - 5, 0, false);
	call(a, 3, "SELECT 1", T0 + MS / 4, T0 + MS / 2);
	conn_ex(a, 3, HP_ORIGIN_SEED, "db:5432", CONN_PARSED, T0 - 5, T0 + MS, true);
	conn_ex(a, 1, HP_ORIGIN_SEED, "db:5432", CONN_PARSED, T0 - 5, 0, false);
	conn_ex(a, 2, HP_ORIGIN_SEED, "db:5432", CONN_PARSED, T0 - 5, 0, false);
	call(a, 1, "SELECT 1", T0 + MS, T0 + 2 * MS);
	conn_ex(a, 1, HP_ORIGIN_SEED, "db:5432", CONN_PARSED, T0 - 5, T0 + 3 * MS, true);
	call(a, 2, "SELECT 1", T0 + 4 * MS, T0 + 5 * MS);
	for (i = 10; i < 14; i++) {
		u64 t = T0 + i * 10 * MS;

		conn_ex(a, i, HP_ORIGIN_CONNECT, "db:5432", CONN_PARSED, t, 0, false);
		call(a, i, "SELECT 1", t + 2 * MS, t + 3 * MS);
		conn_ex(a, i, HP_ORIGIN_CONNECT, "db:5432", CONN_PARSED, t, t + 4 * MS, true);
	}
	conn_ex(a, 2, HP_ORIGIN_SEED, "db:5432", CONN_PARSED, T0 - 5, 0, true);
	stop(a, T0 + NSEC_PER_SEC);
	r = agg_report(a);
	assert_int_equal(r->npools, 1);
	assert_int_equal(r->pools[0]->conns, 7);
	assert_int_equal(r->pools[0]->opened, 4);
	assert_int_equal(r->pools[0]->closed, 6);
	assert_int_equal(r->pools[0]->open_max, 3);
	assert_int_equal(r->pools[0]->in_use_max, 1);
	assert_int_equal(r->pools[0]->connect.count, 4);
	assert_true(r->pools[0]->connect.max == 1.0 * MS);
	assert_true(r->pools[0]->in_use_mean > 0.00624 && r->pools[0]->in_use_mean < 0.00626);
	assert_int_equal(r->trust.conns.seen, 7);
	assert_int_equal(r->trust.conns.parsed, 7);
	agg_free(a);
}

struct span {
	u64 start;
	u64 end;
};

static int cmp_end(const void *pa, const void *pb)
{
	const struct span *a = pa, *b = pb;

	return a->end < b->end ? -1 : a->end > b->end;
}

/* Against counting by brute force. */
static void test_in_use_max(void **state)
{
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 20; seed++) {
		struct agg *a = agg_with(NULL);
		struct span s[400];
		u32 i, j, want = 0;
		u64 x = seed;

		for (i = 0; i < ARRAY_SIZE(s); i++) {
			x = hash_u64(x + 1);
			s[i].start = T0 + x % (2000 * MS);
			x = hash_u64(x + 1);
			s[i].end = s[i].start + 1 + x % (x & 64 ? 100 * MS : MS);
		}
		qsort(s, ARRAY_SIZE(s), sizeof(s[0]), cmp_end);
		for (i = 0; i < ARRAY_SIZE(s); i++) {
			u32 n = 0;

			for (j = 0; j < ARRAY_SIZE(s); j++)
				n += s[j].start < s[i].end && s[j].end >= s[i].end;
			want = MAX(want, n);
			conn(a, i + 1);
			call(a, i + 1, "SELECT 1", s[i].start, s[i].end);
		}
		stop(a, T0 + 3 * NSEC_PER_SEC);
		assert_int_equal(agg_report(a)->pools[0]->in_use_max, want);
		agg_free(a);
	}
}

/* More calls than the ring holds, eight at a time; a pipeline keeps one connection busy. */
static void test_in_use_long_and_pipelined(void **state)
{
	struct agg *a = agg_with(NULL);
	u64 i, t;

	(void)state;
	for (i = 1; i <= 8; i++)
		conn(a, i);
	for (i = 0; i < 3 * POOL_RING; i++) {
		t = T0 + i * 1000;
		call(a, i % 8 + 1, "SELECT 1", t, t + 7500);
	}
	stop(a, T0 + NSEC_PER_SEC);
	assert_int_equal(agg_report(a)->pools[0]->in_use_max, 8);
	agg_free(a);

	a = agg_with(NULL);
	conn(a, 1);
	for (i = 0; i < 1000; i++)
		call(a, 1, "INSERT INTO t VALUES (1)", T0 + MS, T0 + 2 * MS + i);
	stop(a, T0 + NSEC_PER_SEC);
	assert_int_equal(agg_report(a)->pools[0]->in_use_max, 1);
	agg_free(a);
}

static void test_idle_in_transaction(void **state)
{
	struct agg *a = agg_with(NULL);
	struct db_call c;
	struct db_event e = { .conn_id = 1, .what = DB_EVENT_TXN };

	(void)state;
	conn(a, 1);
	c = call_of(1, "BEGIN", T0 + MS, T0 + 2 * MS);
	c.txn = 'T';
	agg_db(a, &c);
	c = call_of(1, "SELECT 1", T0 + 32 * MS, T0 + 33 * MS); /* 30 ms later */
	c.txn = 'T';
	agg_db(a, &c);
	c = call_of(1, "COMMIT", T0 + 34 * MS, T0 + 35 * MS);
	c.txn = 'I';
	agg_db(a, &c);
	c = call_of(1, "SELECT 1", T0 + 500 * MS, T0 + 501 * MS); /* idle, but in no transaction */
	agg_db(a, &c);
	e.ts_ns = T0 + 501 * MS;
	e.txn = 'E';
	agg_db_event(a, &e);
	/* Until the connection closes: 40 ms. */
	conn_ex(a, 1, HP_ORIGIN_CONNECT, "127.0.0.1:5432", CONN_PARSED, T0, T0 + 541 * MS, true);
	stop(a, T0 + NSEC_PER_SEC);
	assert_int_equal(agg_report(a)->pools[0]->idle_in_txn_max_ns, 40 * MS);
	agg_free(a);
}

static void test_encrypted_and_cancel(void **state)
{
	struct agg *a = agg_with(NULL);
	const struct agg_report *r;
	struct db_event tls = { .conn_id = 2, .ts_ns = T0 + MS, .what = DB_EVENT_TLS };
	struct db_event cancel = { .conn_id = 3, .ts_ns = T0 + MS, .what = DB_EVENT_CANCEL };

	(void)state;
	conn(a, 1);
	login(a, 1, "app", "shop");
	conn(a, 2);
	agg_db_event(a, &tls);
	conn(a, 3);
	agg_db_event(a, &cancel);
	conn_ex(a, 1, HP_ORIGIN_CONNECT, "127.0.0.1:5432", CONN_PARSED, T0, T0 + 9 * MS, true);
	conn_ex(a, 2, HP_ORIGIN_CONNECT, "127.0.0.1:5432", CONN_ENCRYPTED, T0, 0, true);
	conn_ex(a, 3, HP_ORIGIN_CONNECT, "127.0.0.1:5432", CONN_PARSED, T0, T0 + 2 * MS, true);
	stop(a, T0 + NSEC_PER_SEC);
	r = agg_report(a);
	assert_int_equal(r->npools, 2);
	/* Ties: the one without names first. */
	assert_string_equal(r->pools[0]->database, "");
	assert_int_equal(r->pools[0]->encrypted, 1);
	assert_int_equal(r->pools[1]->conns, 1);
	assert_int_equal(r->pools[1]->cancels, 1);
	assert_int_equal(r->trust.conns.encrypted, 1);
	assert_int_equal(r->trust.nby_peer, 1);
	assert_string_equal(r->trust.by_peer[0].address, "127.0.0.1:5432");
	assert_true(r->trust.nnotes > 0);
	assert_non_null(strstr(r->trust.notes[0], "1 of 1 postgresql connection to 127.0.0.1:5432 "
						  "is encrypted"));
	agg_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows_and_figures),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_identity_of_old_connections),
		cmocka_unit_test(test_unknown_and_cut_texts),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_cache),
		cmocka_unit_test(test_many_error_codes),
		cmocka_unit_test(test_pool_open_and_closed),
		cmocka_unit_test(test_in_use_max),
		cmocka_unit_test(test_in_use_long_and_pipelined),
		cmocka_unit_test(test_idle_in_transaction),
		cmocka_unit_test(test_encrypted_and_cancel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
