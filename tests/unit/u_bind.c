/* SPDX-License-Identifier: Apache-2.0 */
/* Calls bound to requests: by lineages of tasks, by threads, and what must stay unbound. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

#include "bind/bind.h"

#define MS NSEC_PER_MSEC
#define LOOP 7 /* a thread that runs an event loop */
#define RUN 0x1000 /* kinds of tasks: begins requests, */
#define CHILD 0x2000 /* is made by their handlers, */
#define OTHER 0x3000 /* has nothing to do with requests */

static struct bind b;
static u64 now;
static char queries[64];

static int setup(void **state)
{
	(void)state;
	bind_init(&b);
	now = 1000 * MS;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bind_release(&b);
	return 0;
}

static void task(u32 token, u32 parent, u64 code)
{
	const struct ev_task ev = { .hdr = { .tgid = 1, .tid = LOOP, .ts_ns = now + 1 },
				    .created_ns = now,
				    .code = code,
				    .token = token,
				    .parent = parent };

	now += MS;
	bind_task(&b, &ev);
}

static u32 request(u64 read_ns, u32 tid, u32 token)
{
	const struct http_exchange x = { .start_ns = read_ns - MS,
					 .read_ns = read_ns,
					 .first_ns = now,
					 .end_ns = now,
					 .tgid = 1,
					 .tid = tid,
					 .sent_tid = tid,
					 .token = token,
					 .role = HP_ROLE_SERVER };

	now += MS;
	return bind_request(&b, &x, 0);
}

static void call(u32 query, u32 tid, u32 token)
{
	const struct db_call c = {
		.start_ns = now, .end_ns = now + MS / 2, .tgid = 1, .tid = tid, .token = token
	};

	now += MS;
	bind_call(&b, &c, &queries[query]);
}

/* The request has exactly these calls, in this order. */
static void has(u32 req, enum bind_kind kind, const char *want)
{
	u32 n, i;
	const struct bind_call *c = bind_calls_of(&b, req, &n);

	assert_int_equal(n, strlen(want));
	for (i = 0; i < n; i++) {
		assert_ptr_equal(c[i].query, &queries[want[i] - '0']);
		assert_int_equal(c[i].kind, kind);
	}
}

static void two_at_a_time(void **state)
{
	u32 one, two;
	u64 read = now;

	(void)state;
	task(1, 0, RUN);
	task(2, 0, RUN);
	call(1, LOOP, 1);
	call(2, LOOP, 2);
	call(3, LOOP, 1);
	two = request(read, LOOP, 2);
	call(4, LOOP, 1);
	one = request(read, LOOP, 1);
	bind_finish(&b);
	has(one, BIND_TASK, "134");
	has(two, BIND_TASK, "2");
	assert_int_equal(b.bound[BIND_NONE], 0);
}

/* A response may come from a child, and work goes on after it. */
static void children(void **state)
{
	u32 req;
	u64 read = now;

	(void)state;
	task(1, 0, RUN);
	task(2, 1, CHILD);
	task(3, 2, CHILD);
	call(1, LOOP, 3);
	call(2, LOOP, 1);
	req = request(read, LOOP, 2);
	call(3, LOOP, 3);
	bind_finish(&b);
	has(req, BIND_TASK, "123");
}

/* Each request's task is made from the work of the one before, its response written by a child. */
static void made_by_the_one_before(void **state)
{
	u32 reqs[40], i, token = 1;

	(void)state;
	for (i = 0; i < 40; i++, token += 2) {
		u64 read = now;

		task(token, i % 10 ? token - 1 : 0, RUN);
		call(1, LOOP, token);
		task(token + 1, token, CHILD);
		call(2, LOOP, token + 1);
		reqs[i] = request(read, LOOP, token + 1);
	}
	bind_finish(&b);
	for (i = 0; i < 40; i++)
		has(reqs[i], BIND_TASK, "12");
}

static void not_a_request(void **state)
{
	u32 req;
	u64 read = now;

	(void)state;
	task(1, 0, OTHER);
	task(2, 0, RUN);
	call(1, LOOP, 1); /* work of its own */
	call(2, LOOP, 99); /* begun before anybody looked */
	call(3, LOOP, 0); /* outside of all tasks, on the loop's thread */
	req = request(read, LOOP, 2);
	bind_finish(&b);
	has(req, BIND_TASK, "");
	assert_int_equal(b.bound[BIND_NONE], 3);
}

/* One task serves a connection, request after request. */
static void long_task(void **state)
{
	u32 one, two;
	u64 read;

	(void)state;
	task(1, 0, RUN);
	read = now;
	call(1, LOOP, 1);
	one = request(read, LOOP, 1);
	read = now++;
	call(2, LOOP, 1);
	call(3, LOOP, 1);
	two = request(read, LOOP, 1);
	bind_finish(&b);
	has(one, BIND_TASK, "1");
	has(two, BIND_TASK, "23");
}

static void threads(void **state)
{
	u32 one, two;
	u64 read = now;

	(void)state;
	call(1, 20, 0);
	call(2, 21, 0);
	call(3, 22, 0); /* a thread that serves nothing */
	one = request(read, 20, 0);
	two = request(read, 21, 0);
	call(4, 20, 0); /* after its response */
	bind_finish(&b);
	has(one, BIND_THREAD, "1");
	has(two, BIND_THREAD, "2");
	assert_int_equal(b.bound[BIND_NONE], 2);
}

/* A thread that serves several at a time says nothing. */
static void shared_thread(void **state)
{
	u32 one, two;
	u64 read = now;

	(void)state;
	call(1, 20, 0);
	one = request(read, 20, 0);
	two = request(read + 1, 20, 0);
	bind_finish(&b);
	has(one, BIND_THREAD, "");
	has(two, BIND_THREAD, "");
}

/* More tasks than are kept: the newest bind, the oldest are unknown, nothing is wrong. */
static void many(void **state)
{
	u32 i, req, token = 1;

	(void)state;
	task(token, 0, RUN);
	for (i = 0; i < LINEAGE_TASKS + 100; i++)
		task(++token, 0, CHILD);
	call(1, LOOP, 1);
	call(2, LOOP, token);
	req = request(now - 5 * MS, LOOP, token);
	bind_finish(&b);
	has(req, BIND_TASK, "2");
	assert_int_equal(b.bound[BIND_NONE], 1);
	assert_null(lineage_find(&b.lineage, 1));
	assert_non_null(lineage_find(&b.lineage, token));
}

/* Of who asks nobody anything, no more requests are kept; from the first call on they are, to the bound. */
static void idle(void **state)
{
	u32 i, n, first, last, req;
	u64 read;

	(void)state;
	for (i = 0; i < BIND_IDLE_MAX; i++)
		assert_int_equal(request(now, 20, 0), i + 1);
	for (i = 0; i < 1000; i++)
		assert_int_equal(request(now, 20, 0), BIND_IDLE);
	assert_int_equal(b.refused, 0);
	read = now;
	call(1, 20, 0);
	first = req = request(read, 20, 0);
	assert_int_equal(first, BIND_IDLE_MAX + 1);
	for (n = first; n < BIND_REQUESTS_MAX; n++)
		req = request(now, 20, 0);
	assert_int_equal(req, BIND_REQUESTS_MAX);
	last = request(now, 20, 0);
	assert_int_equal(last, 0);
	assert_int_equal(b.refused, 1);
	call(2, 20, 0);
	assert_int_equal(b.refused, 2);
	bind_finish(&b);
	has(first, BIND_THREAD, "1");
	assert_int_equal(b.bound[BIND_NONE], 1);
}

/* A stream may claim anything: tasks that made each other, themselves, or bear no number. */
static void hostile(void **state)
{
	(void)state;
	task(1, 2, RUN);
	task(2, 1, RUN);
	task(3, 3, RUN);
	task(0, 3, RUN);
	task(3, 2, CHILD);
	call(1, LOOP, 1);
	call(2, LOOP, 3);
	request(now, LOOP, 2);
	request(now, 0, 0);
	bind_finish(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(two_at_a_time, setup, teardown),
		cmocka_unit_test_setup_teardown(children, setup, teardown),
		cmocka_unit_test_setup_teardown(made_by_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(not_a_request, setup, teardown),
		cmocka_unit_test_setup_teardown(long_task, setup, teardown),
		cmocka_unit_test_setup_teardown(threads, setup, teardown),
		cmocka_unit_test_setup_teardown(shared_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(many, setup, teardown),
		cmocka_unit_test_setup_teardown(idle, setup, teardown),
		cmocka_unit_test_setup_teardown(hostile, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
