/* SPDX-License-Identifier: Apache-2.0 */
/* The table of protocols: every row whole, and every parser able to live and die on nothing. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "proto/proto.h"

static void rows(void **state)
{
	size_t i, k;

	(void)state;
	for (i = 0; protos[i]; i++) {
		const struct proto *p = protos[i];

		assert_non_null(p->name);
		assert_true(p->name[0] != 0);
		assert_true(p->roles & (1 << HP_ROLE_SERVER | 1 << HP_ROLE_CLIENT));
		assert_int_equal(p->roles & ~(1 << HP_ROLE_SERVER | 1 << HP_ROLE_CLIENT), 0);
		assert_true(p->state_size > 0 && p->state_size <= 16 << 10);
		assert_non_null(p->detect);
		assert_non_null(p->init);
		assert_non_null(p->release);
		assert_non_null(p->feed);
		assert_non_null(p->eof);
		assert_non_null(p->finish);
		for (k = 0; k < i; k++)
			assert_string_not_equal(p->name, protos[k]->name);
	}
	assert_ptr_equal(protos[0], &proto_http1);
	assert_ptr_equal(protos[1], &proto_pgsql);
	assert_int_equal(i, 2);
}

struct seen {
	u32 spans;
	u32 verdicts;
};

static void on_http(void *arg, const struct http_exchange *x)
{
	(void)x;
	((struct seen *)arg)->spans++;
}

static void on_db(void *arg, const struct db_call *c)
{
	(void)c;
	((struct seen *)arg)->spans++;
}

static void on_db_event(void *arg, const struct db_event *e)
{
	(void)e;
	((struct seen *)arg)->spans++;
}

static void on_verdict(void *arg, const struct hp_verdict *v)
{
	assert_int_equal(v->capture, HP_CAPTURE_BYTES);
	((struct seen *)arg)->verdicts++;
}

static void on_drop(void *arg, enum hp_drop why)
{
	(void)arg;
	fail_msg("drop %d of nothing", why);
}

static void nothing_gives_nothing(void **state)
{
	struct seen seen = { 0, 0 };
	const struct proto_sink sink = { &seen, on_http, on_db, on_db_event, on_verdict, on_drop };
	size_t i, mid, closed;

	(void)state;
	for (i = 0; protos[i]; i++) {
		for (mid = 0; mid < 2; mid++) {
			for (closed = 0; closed < 2; closed++) {
				const struct proto_ctx ctx = {
					.sink = &sink,
					.conn_id = 1,
					.role = HP_ROLE_UNKNOWN,
					.mid_stream = mid,
					.path = "",
				};
				void *s = calloc(1, protos[i]->state_size);

				assert_non_null(s);
				assert_int_equal(protos[i]->init(s, &ctx), 0);
				protos[i]->eof(s, &ctx, PROTO_CLIENT, 1000, 0);
				protos[i]->finish(s, &ctx, 2000, closed);
				protos[i]->release(s);
				free(s);
			}
		}
	}
	assert_int_equal(seen.spans, 0);
	assert_int_equal(seen.verdicts, 8);
}

/* Each byte sequence is at most one protocol's. */
static void one_protocol_each(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
		const struct proto *want;
	} all[] = {
		{ "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27, &proto_http1 },
		{ "\0\0\0\20\0\3\0\0user\0a\0\0", 16, &proto_pgsql },
		{ "\0\0\0\10\4\322\26\57", 8, &proto_pgsql },
		{ "\26\3\1\2\0\1\0\1\374\3\3", 11, NULL },
	};
	const struct proto_sink sink = { NULL, on_http, on_db, on_db_event, on_verdict, on_drop };
	const struct proto_ctx ctx = { .sink = &sink, .path = "" };
	size_t i, k;

	(void)state;
	for (i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct proto *found = NULL;

		for (k = 0; protos[k]; k++) {
			if (protos[k]->detect(&ctx, PROTO_CLIENT, (const u8 *)all[i].bytes,
					      all[i].n, all[i].n) != PROTO_YES)
				continue;
			assert_null(found);
			found = protos[k];
		}
		assert_ptr_equal(found, all[i].want);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rows),
		cmocka_unit_test(nothing_gives_nothing),
		cmocka_unit_test(one_protocol_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
