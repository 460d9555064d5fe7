/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL parser over recorded traffic of PostgreSQL 15 with asyncpg, psycopg2, psycopg3,
 * SQLAlchemy, psql and pgbench. The spans of each trace are in pgsql/NAME.want; their calls and
 * rows were compared with pg_stat_statements when they were recorded.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include "pgsql_trace.h"

#define TRACES "tests/fuzz/corpus/pgsql/"
#define WANTS "tests/unit/pgsql/"

static const char *const names[] = {
	"asyncpg_basic",   "asyncpg_cancel",	"asyncpg_copy",	      "asyncpg_cursor",
	"asyncpg_errors",  "asyncpg_many",	"asyncpg_nocache",    "asyncpg_types",
	"psycopg2",	   "psycopg2_copy",	"psycopg2_scram",     "psycopg3",
	"psycopg3_many",   "psycopg3_prepared", "sqlalchemy_asyncpg", "sqlalchemy_psycopg2",
	"pgbench_simple",  "pgbench_extended",	"pgbench_prepared",   "psql",
	"cancel_request",  "libpq_ssl_refused", "login_refused",      "backend_terminated",
	"walsender_error",
};

static void load(const char *dir, const char *name, const char *ext, struct buf *out)
{
	char path[256];

	snprintf(path, sizeof(path), "%s%s%s", dir, name, ext);
	if (file_read(path, out, 1 << 20))
		fail_msg("%s: cannot be read; run from the top directory", path);
}

static void same_in_any_cut(void **state)
{
	static const enum cut cuts[] = { CUT_WHOLE,  CUT_BYTES,	 CUT_RANDOM,
					 CUT_RANDOM, CUT_RANDOM, CUT_WALK };
	size_t i, k, bad = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_release_(buf) struct buf trace = BUF_INIT, want = BUF_INIT;

		load(TRACES, names[i], ".trace", &trace);
		load(WANTS, names[i], ".want", &want);
		for (k = 0; k < ARRAY_SIZE(cuts); k++) {
			struct pgt t;

			pgt_open(&t, (u8)trace.p[0]);
			assert_true(pgt_trace(&t, (u8 *)trace.p, trace.n, cuts[k], k));
			if (!slice_eq(buf_slice(&t.out), buf_slice(&want))) {
				fprintf(stderr, "%s, cut %zu:\n%.*s", names[i], k, (int)t.out.n,
					t.out.p);
				bad++;
			}
			pgt_close(&t);
		}
	}
	assert_int_equal(bad, 0);
}

/* Values, notices and payloads of the recorded sessions have this word in them. */
static void private_bytes_go(void **state)
{
	size_t i, found = 0;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_release_(buf) struct buf trace = BUF_INIT, first = BUF_INIT, masked = BUF_INIT;
		struct pgt t;

		load(TRACES, names[i], ".trace", &trace);
		found += memmem(trace.p, trace.n, "secret", 6) != NULL;
		pgt_open(&t, (u8)trace.p[0]);
		t.write_back = true;
		pgt_trace(&t, (u8 *)trace.p, trace.n, CUT_RANDOM, 1);
		buf_add_slice(&first, buf_slice(&t.out));
		pgt_close(&t);
		assert_null(memmem(trace.p, trace.n, "secret", 6));
		assert_null(memmem(trace.p, trace.n, "value ", 6));
		buf_add_slice(&masked, buf_slice(&trace));
		/* A replay sees the masked bytes: same spans, same bytes. */
		pgt_open(&t, (u8)trace.p[0]);
		t.write_back = true;
		pgt_trace(&t, (u8 *)trace.p, trace.n, CUT_RANDOM, 1);
		assert_true(slice_eq(buf_slice(&first), buf_slice(&t.out)));
		assert_memory_equal(masked.p, trace.p, trace.n);
		pgt_close(&t);
	}
	assert_true(found >= 3); /* the recordings do hold it */
}

/* Takes the last line that is a call off s: its text behind "sql=", and whether it is known. */
static bool last_call(struct slice *s, struct slice *ret_sql, bool *ret_known)
{
	static const struct slice start = { "call ", 5 };
	size_t end = s->n, i;

	for (i = s->n; i-- > 0;) {
		struct slice line = { s->p + i, end - i };
		const char *sql, *unknown;

		if ((i && s->p[i - 1] != '\n') ||
		    !(slice_starts(line, start) || slice_starts(line, SLICE("event "))))
			continue;
		s->n = i;
		end = i;
		if (!slice_starts(line, start))
			continue;
		sql = memmem(line.p, line.n, " sql=", 5);
		assert_non_null(sql);
		unknown = memmem(line.p, (size_t)(sql - line.p), "unknown", 7);
		*ret_known = !unknown;
		*ret_sql = slice_of(sql + 5, (size_t)(line.p + line.n - sql) - 5);
		return true;
	}
	return false;
}

/*
 * Attached before any of the records: the calls from there on are the same ones, in the same order,
 * with their own text or none. Not so between two sends of a client that does not wait for answers:
 * that the first answers belong to a request from before cannot be seen.
 */
static void attached_anywhere(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		_release_(buf) struct buf trace = BUF_INIT, want = BUF_INIT;
		size_t at = 1, missing_max = 0, attaches = 0;

		load(TRACES, names[i], ".trace", &trace);
		load(WANTS, names[i], ".want", &want);
		while (at < trace.n) {
			u8 *p = (u8 *)trace.p, flags = p[0];
			struct slice all = buf_slice(&want), got, a, b;
			struct pgt before, after;
			size_t missing;
			bool known, pipelined;

			pgt_open(&before, flags);
			pgt_trace(&before, p, at, CUT_WHOLE, 0);
			pipelined = !(p[at] & REC_SERVER) && before.out.n &&
				    memmem(before.out.p, before.out.n, "detach", 6);
			pgt_open(&after, flags | TRACE_MID_STREAM);
			pgt_trace(&after, p + at - 1, trace.n - at + 1, CUT_WHOLE, 0);
			got = buf_slice(&after.out);
			while (last_call(&got, &b, &known)) {
				bool ignored;

				assert_true(last_call(&all, &a, &ignored));
				if (known && !pipelined && !slice_eq(a, b))
					fail_msg("%s at %zu: %.*s instead of %.*s", names[i], at,
						 (int)b.n, b.p, (int)a.n, a.p);
			}
			for (missing = 0; last_call(&all, &a, &known);)
				missing++;
			missing -= MIN(missing, before.calls);
			missing_max = MAX(missing_max, missing);
			pgt_close(&before);
			pgt_close(&after);
			attaches++;
			at += 5 +
			      (p[at + 1] | p[at + 2] << 8 | p[at + 3] << 16 | (u32)p[at + 4] << 24);
		}
		assert_true(attaches > 0);
		assert_true(missing_max <= 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(same_in_any_cut),
		cmocka_unit_test(private_bytes_go),
		cmocka_unit_test(attached_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
