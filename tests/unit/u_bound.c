/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoint issues which query: counts a request, times, rows that become one. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "agg/agg.h"

#define MS NSEC_PER_MSEC

static struct agg *a;

static int setup(void **state)
{
	/* Five different children of a path and they become one. */
	const struct agg_opts opts = { .route_fanout = 5 };
	const struct ev_window start = {
		.hdr = { .size = sizeof(start), .kind = EV_WINDOW, .ts_ns = MS },
		.what = HP_WINDOW_START,
	};

	(void)state;
	assert_int_equal(agg_new(&a, &opts), 0);
	agg_record(a, &start.hdr);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	agg_free(a);
	return 0;
}

static u32 request(const char *path, u32 flags)
{
	const struct http_exchange x = { .start_ns = 2 * MS,
					 .end_ns = 50 * MS,
					 .method = slice_str("GET"),
					 .path = slice_str(path),
					 .status = 200,
					 .flags = flags,
					 .role = HP_ROLE_SERVER };

	return agg_http(a, &x);
}

static const struct agg_query *call(const char *sql)
{
	const struct db_call c = { .conn_id = 1,
				   .start_ns = 3 * MS,
				   .end_ns = 4 * MS,
				   .round_trip = 1,
				   .trips = 1,
				   .sql = slice_str(sql) };

	return agg_db(a, &c);
}

static const struct agg_endpoint *endpoint(const char *route)
{
	const struct agg_report *r = agg_report(a);
	u32 i;

	for (i = 0; i < r->nendpoints; i++)
		if (!strcmp(r->endpoints[i]->route, route))
			return r->endpoints[i];
	fail_msg("no endpoint %s", route);
	return NULL;
}

static bool noted(const char *note)
{
	const struct agg_trust *t = &agg_report(a)->trust;
	u32 i;

	for (i = 0; i < t->nnotes; i++)
		if (!strcmp(t->notes[i], note))
			return true;
	return false;
}

static void t_counts(void **state)
{
	const struct agg_endpoint *e;
	const struct agg_query *q, *once;
	u32 row, i;

	(void)state;
	q = call("SELECT 1 FROM t");
	once = call("SELECT 2 FROM u");
	for (i = 0; i < 3; i++)
		call("SELECT 1 FROM t");
	row = request("/list", 0);
	agg_bound_request(a, row, 50 * MS, false);
	agg_bound_call(a, once, 2 * MS, 3 * MS, 1);
	for (i = 0; i < 3; i++)
		agg_bound_call(a, q, (4 + i) * MS, (5 + i) * MS, 1);
	agg_bound_request(a, request("/list", 0), 50 * MS, false);
	agg_bound_call(a, q, 10 * MS, 12 * MS, 0);
	/* Of a request that was under way already nobody knows how many there were. */
	agg_bound_request(a, request("/list", SPAN_AT_ATTACH), 50 * MS, true);
	agg_bound_call(a, q, 4 * MS, 5 * MS, 1);
	agg_bound_calls(a, 5, 0, 0);
	assert_int_equal(agg_finish(a), 0);

	e = endpoint("/list");
	assert_true(e->bound.known);
	assert_int_equal(e->bound.requests, 2);
	assert_int_equal(e->bound.calls, 5);
	assert_int_equal(e->bound.calls_max, 4);
	assert_int_equal(e->bound.trips, 4);
	assert_int_equal(e->bound.trips_max, 4);
	assert_int_equal(e->bound.db_ns, 6 * MS);
	assert_int_equal(e->bound.nuses, 2);
	assert_ptr_equal(e->bound.uses[0].query, q);
	assert_int_equal(e->bound.uses[0].count, 4);
	assert_int_equal(e->bound.uses[0].ns, 5 * MS);
	assert_int_equal(e->bound.uses[1].count, 1);
	assert_int_equal(once->nuses, 1);
	assert_ptr_equal(once->uses[0]->endpoint, e);
	assert_int_equal(agg_report(a)->nuses, 2);
}

/* gather(): what ran at the same time took that time once. */
static void t_overlap(void **state)
{
	const struct agg_query *q = call("SELECT 1");

	(void)state;
	agg_bound_request(a, request("/g", 0), 50 * MS, false);
	agg_bound_call(a, q, 10 * MS, 20 * MS, 1);
	agg_bound_call(a, q, 11 * MS, 15 * MS, 1);
	agg_bound_call(a, q, 12 * MS, 24 * MS, 1);
	agg_bound_call(a, q, 30 * MS, 31 * MS, 1);
	/* Begun by the handler, ended behind the answer. */
	agg_bound_call(a, q, 49 * MS, 58 * MS, 1);
	agg_bound_call(a, q, 60 * MS, 61 * MS, 1);
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(endpoint("/g")->bound.db_ns, 16 * MS);
	assert_int_equal(endpoint("/g")->bound.uses[0].ns, 37 * MS);
}

/* Paths that fold into one route while they come: what was bound to them adds up there. */
static void t_folded(void **state)
{
	const struct agg_query *q = call("SELECT 1"), *other = call("SELECT x FROM y");
	u32 rows[12], i;

	(void)state;
	for (i = 0; i < 12; i++) {
		char path[32];

		snprintf(path, sizeof(path), "/shop/%c%c%c", 'a' + (char)i, 'k' + (char)i, 'b');
		rows[i] = request(path, 0);
		assert_int_not_equal(rows[i], 0);
	}
	for (i = 0; i < 12; i++) {
		agg_bound_request(a, rows[i], 50 * MS, false);
		agg_bound_call(a, q, 2 * MS, 3 * MS, 1);
		if (i < 4)
			agg_bound_call(a, other, 3 * MS, 4 * MS, 1);
	}
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(agg_report(a)->nendpoints, 1);
	assert_int_equal(agg_report(a)->endpoints[0]->bound.requests, 12);
	assert_int_equal(agg_report(a)->endpoints[0]->bound.calls, 16);
	assert_int_equal(agg_report(a)->nuses, 2);
	assert_int_equal(agg_report(a)->uses[0].count, 12);
	assert_int_equal(agg_report(a)->uses[1].count, 4);
}

/* Calls that belong to nobody may be those of an endpoint that has none. */
static void t_unknown(void **state)
{
	const struct agg_query *q = call("SELECT 1");

	(void)state;
	call("SELECT 1");
	agg_bound_request(a, request("/async", 0), 50 * MS, false);
	agg_bound_call(a, q, 2 * MS, 3 * MS, 1);
	agg_bound_request(a, request("/def", 0), 50 * MS, false);
	agg_bound_calls(a, 1, 1, 1234);
	assert_int_equal(agg_finish(a), 0);
	assert_true(endpoint("/async")->bound.known);
	assert_false(endpoint("/def")->bound.known);
	assert_int_equal(agg_report(a)->trust.calls_unbound, 1);
	assert_true(
		noted("1,234 records of requests and of what they asked for found no room: calls "
		      "that belong to a request may be counted as nobody's"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(t_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(t_overlap, setup, teardown),
		cmocka_unit_test_setup_teardown(t_folded, setup, teardown),
		cmocka_unit_test_setup_teardown(t_unknown, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
