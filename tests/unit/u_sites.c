/* SPDX-License-Identifier: Apache-2.0 */
/* Call sites: which call a sampled send was, the application's frame, how calls are shared out, rows that merge. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "agg/core.h"

#define APP 0x1000 /* code objects */
#define APP_LINE2 1 /* another instruction of it */
#define LIB 0x2000

static struct agg *agg_begun(void)
{
	struct ev_window start = { .hdr = { sizeof(start), EV_WINDOW, 0, 0, 0, 1000 },
				   .what = HP_WINDOW_START };
	struct agg *a;

	assert_int_equal(agg_new(&a, NULL), 0);
	agg_record(a, &start.hdr);
	return a;
}

/* The frames are those of a library's function, called by the application's with that instruction. */
static void sent(struct agg *a, u64 conn_id, u64 pos, u32 len, u32 weight, u64 code, u32 instr)
{
	struct {
		struct ev_site rec;
		struct ev_frame frames[2];
	} u = {
		.rec = { .hdr = { sizeof(u), EV_SITE, 0, 7, 7, 2000 },
			 .conn_id = conn_id,
			 .pos = pos,
			 .len = len,
			 .weight = weight,
			 .nframes = 2 },
		.frames = { { .addr = LIB, .kind = HP_FRAME_PYTHON },
			    { .addr = code, .extra = instr, .kind = HP_FRAME_PYTHON } },
	};

	agg_record(a, &u.rec.hdr);
}

static void code(struct agg *a, u64 addr, u32 instr, const char *name, const char *file, u32 line)
{
	static union {
		struct ev_code rec;
		u8 mem[1024];
	} u;

	memset(&u, 0, sizeof(u));
	u.rec.hdr.kind = EV_CODE;
	u.rec.hdr.tgid = 7;
	u.rec.addr = addr;
	u.rec.extra = instr;
	u.rec.line = line;
	u.rec.name_len = (u16)strlen(name);
	u.rec.file_len = (u16)strlen(file);
	memcpy(u.mem + sizeof(u.rec), name, strlen(name));
	memcpy(u.mem + sizeof(u.rec) + strlen(name), file, strlen(file));
	agg_record(a, &u.rec.hdr);
}

static void names(struct agg *a)
{
	code(a, APP, 0, "list_orders", "/srv/shop/app.py", 83);
	code(a, APP, APP_LINE2, "list_orders", "/srv/shop/app.py", 90);
	code(a, LIB, 0, "Connection.fetch", "/usr/lib/python3/dist-packages/asyncpg/connection.py",
	     5);
}

static void call(struct agg *a, u64 conn_id, u64 pos, const char *sql, u32 flags)
{
	const struct db_call c = { .conn_id = conn_id,
				   .pos = pos,
				   .start_ns = 2000,
				   .end_ns = 3000,
				   .sql = slice_str(sql),
				   .trips = 1,
				   .flags = flags };

	agg_db(a, &c);
}

static void outside(struct agg *a, u64 conn_id, u64 pos, const char *path)
{
	const struct http_exchange x = { .conn_id = conn_id,
					 .pos = pos,
					 .start_ns = 2000,
					 .end_ns = 3000,
					 .method = SLICE("GET"),
					 .path = slice_str(path),
					 .status = 200,
					 .role = HP_ROLE_CLIENT };

	agg_http(a, &x);
}

static const struct agg_report *done(struct agg *a)
{
	assert_int_equal(agg_finish(a), 0);
	return agg_report(a);
}

static void is_site(const struct agg_site *s, const char *function, const char *file, u32 line,
		    u64 count, u64 samples)
{
	assert_string_equal(s->function, function);
	assert_string_equal(s->file, file);
	assert_int_equal(s->line, line);
	assert_int_equal(s->count, count);
	assert_int_equal(s->samples, samples);
}

static void joins_by_position(void **state)
{
	struct agg *a = agg_begun();
	const struct agg_query *q;

	(void)state;
	sent(a, 1, 100, 50, 1, APP, 0);
	sent(a, 1, 150, 0, 1, APP, APP_LINE2); /* what uvloop was given: how much is not known */
	call(a, 1, 99, "SELECT 1", 0);
	call(a, 1, 100, "SELECT 1", 0);
	call(a, 1, 149, "SELECT 1", 0);
	call(a, 1, 150, "SELECT 1", 0);
	call(a, 1, 151, "SELECT 1", 0);
	call(a, 2, 100, "SELECT 1", 0); /* another connection */
	call(a, 1, 100, "SELECT 1", SPAN_AT_DETACH);
	call(a, 1, 100, "SELECT 1", SPAN_CONTINUED);
	names(a);
	q = done(a)->queries[0];
	assert_int_equal(q->count, 6);
	assert_int_equal(q->nsites, 2);
	is_site(&q->sites[0], "list_orders", "shop/app.py", 83, 4, 2);
	is_site(&q->sites[1], "list_orders", "shop/app.py", 90, 2, 1);
	agg_free(a);
}

/* 4 for sure and 2 drawn that stand for 16 each: 20 of 36 and 16 of 36. */
static void shares_by_weight(void **state)
{
	struct agg *a = agg_begun();
	const struct agg_query *q;
	u64 i;

	(void)state;
	for (i = 0; i < 4; i++) {
		sent(a, 1, i, 1, 1, APP, 0);
		call(a, 1, i, "SELECT 1", 0);
	}
	sent(a, 1, 4, 1, 16, APP, 0);
	call(a, 1, 4, "SELECT 1", 0);
	sent(a, 1, 5, 1, 16, APP, APP_LINE2);
	for (i = 5; i < 36; i++)
		call(a, 1, i, "SELECT 1", 0);
	names(a);
	q = done(a)->queries[0];
	assert_int_equal(q->nsites, 2);
	is_site(&q->sites[0], "list_orders", "shop/app.py", 83, 20, 5);
	is_site(&q->sites[1], "list_orders", "shop/app.py", 90, 16, 1);
	agg_free(a);
}

static void library_when_there_is_nothing_else(void **state)
{
	struct agg *a = agg_begun();
	const struct agg_query *q;

	(void)state;
	sent(a, 1, 0, 1, 1, LIB, 0);
	call(a, 1, 0, "SELECT 1", 0);
	call(a, 1, 1, "SELECT 2 AS other", 0);
	names(a);
	q = done(a)->queries[0];
	assert_int_equal(q->nsites, 1);
	is_site(&q->sites[0], "Connection.fetch", "asyncpg/connection.py", 5, 1, 1);
	assert_int_equal(done(a)->queries[1]->nsites, 0);
	agg_free(a);
}

/* Only the newest sends of a connection are remembered, and none of one that ended. */
static void forgets(void **state)
{
	struct conn_info gone = { .conn_id = 2,
				  .proto = "",
				  .peer = SLICE("p"),
				  .local = SLICE("l"),
				  .reason = "",
				  .role = HP_ROLE_CLIENT,
				  .ended = true };
	struct agg *a = agg_begun();
	u64 i;

	(void)state;
	for (i = 0; i <= SITES_SENDS; i++)
		sent(a, 1, i, 1, 1, APP, 0);
	sent(a, 2, 0, 1, 1, APP, 0);
	agg_conn(a, &gone);
	call(a, 1, 0, "SELECT 1", 0);
	call(a, 2, 0, "SELECT 1", 0);
	sent(a, 3, 0, 1, 0, APP, 0); /* stands for nothing: no such record is made */
	call(a, 3, 0, "SELECT 1", 0);
	names(a);
	assert_int_equal(done(a)->queries[0]->nsites, 0);
	assert_int_equal(a->sites.refused, 1);
	agg_free(a);
}

/* Paths that fold into one route bring their places along. */
static void outside_calls(void **state)
{
	struct agg *a = agg_begun();
	const struct agg_report *r;
	char path[32];
	u64 i;

	(void)state;
	for (i = 0; i < 60; i++) {
		snprintf(path, sizeof(path), "/rates/%u", 1000 + (u32)i);
		sent(a, 1, i, 1, 1, APP, i % 3 ? 0 : APP_LINE2);
		outside(a, 1, i, path);
	}
	names(a);
	r = done(a);
	assert_int_equal(r->nexternal, 1);
	assert_int_equal(r->external[0]->nsites, 2);
	is_site(&r->external[0]->sites[0], "list_orders", "shop/app.py", 83, 40, 40);
	is_site(&r->external[0]->sites[1], "list_orders", "shop/app.py", 90, 20, 20);
	agg_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(joins_by_position),
		cmocka_unit_test(shares_by_weight),
		cmocka_unit_test(library_when_there_is_nothing_else),
		cmocka_unit_test(forgets),
		cmocka_unit_test(outside_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
