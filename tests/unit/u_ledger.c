/* SPDX-License-Identifier: Apache-2.0 */
/* Where requests' time went: event loops, worker threads, threads of their own, and what is not known. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "bind/bind.h"
#include "ledger/ledger.h"

#define MS NSEC_PER_MSEC
#define LOOP 7
#define WORKER 8
#define RUN 0x1000 /* the kind of task that requests are begun with */
#define START (1000 * MS)

struct got {
	struct ledger_split s[64];
	u32 n;
};

static struct bind b;
static struct ledger l;
static struct got got;

static void on_split(void *arg, const struct ledger_split *s)
{
	struct got *g = arg;
	u64 sum = 0;
	u32 p;

	for (p = 0; p < PHASES; p++)
		sum += s->phase_ns[p];
	assert_int_equal(sum, s->latency_ns);
	if (g->n < 64)
		g->s[g->n++] = *s;
}

static int setup(void **state)
{
	(void)state;
	memset(&got, 0, sizeof(got));
	bind_init(&b);
	return ledger_init(&l, &b.lineage, &b.loops, on_split, &got);
}

static int teardown(void **state)
{
	(void)state;
	ledger_release(&l);
	bind_release(&b);
	return 0;
}

static u64 at(double ms)
{
	return START + (u64)(ms * MS);
}

/* A task that a request begins with, as its response tells. */
static void task(u32 token)
{
	const struct ev_task ev = { .hdr = { .tgid = 1, .tid = LOOP, .ts_ns = at(0) + token },
				    .created_ns = at(0) + token,
				    .code = RUN,
				    .token = token };

	bind_task(&b, &ev);
}

/* Off its processor in [from, to), of which the last runqueue ms runnable. */
static void waits(u32 tid, u32 token, enum hp_wait why, double from, double to, double runqueue)
{
	const struct ev_step ev = {
		.hdr = { .kind = EV_STEP, .tgid = 1, .tid = tid, .ts_ns = at(to) },
		.blocked_ns = at(to) - at(from) - (u64)(runqueue * MS),
		.runqueue_ns = (u64)(runqueue * MS),
		.token = token,
		.reason = why,
	};

	ledger_record(&l, &ev.hdr);
}

static void seen(u32 tid, u32 token, double when, u8 flags)
{
	const struct ev_step ev = {
		.hdr = { .kind = EV_STEP, .tgid = 1, .tid = tid, .ts_ns = at(when) },
		.token = token,
		.flags = flags
	};

	ledger_record(&l, &ev.hdr);
}

static void transfer(u32 tid, u64 conn, enum hp_dir dir, u32 token, double enter, double exit)
{
	const struct ev_data ev = {
		.hdr = { .kind = EV_DATA, .tgid = 1, .tid = tid, .ts_ns = at(exit) },
		.conn_id = conn,
		.enter_ns = dir == HP_SEND ? at(enter) : 0,
		.len = 1,
		.dir = dir,
		.token = token
	};

	ledger_record(&l, &ev.hdr);
}

static void accepted(u64 conn, double when)
{
	const struct ev_conn_open ev = {
		.hdr = { .kind = EV_CONN_OPEN, .tgid = 1, .ts_ns = at(when) },
		.conn_id = conn,
		.role = HP_ROLE_SERVER,
		.origin = HP_ORIGIN_ACCEPT
	};

	ledger_record(&l, &ev.hdr);
}

static void request(u32 row, u64 conn, u32 tid, u32 token, double start, double read, double end)
{
	const struct http_exchange x = { .conn_id = conn,
					 .start_ns = at(start),
					 .read_ns = at(read),
					 .first_ns = at(end),
					 .end_ns = at(end),
					 .tgid = 1,
					 .tid = tid,
					 .sent_tid = tid,
					 .token = token,
					 .role = HP_ROLE_SERVER };

	lineage_learn(&b.lineage, token, at(end));
	ledger_request(&l, &x, row, row);
}

static void call(u64 conn, u32 tid, u32 token, double start, double end, double read)
{
	const struct db_call c = { .conn_id = conn,
				   .start_ns = at(start),
				   .end_ns = at(end),
				   .read_ns = at(read),
				   .tgid = 1,
				   .tid = tid,
				   .token = token };

	ledger_db(&l, &c);
}

static const struct ledger_split *split_of(u32 row)
{
	u32 i;

	for (i = 0; i < got.n; i++)
		if (got.s[i].row == row)
			return &got.s[i];
	fail_msg("no split of row %u", row);
	return NULL;
}

/* Phases of a request in ms, all that are not 0, by pairs, ended by PHASES. */
static void spent(u32 row, ...)
{
	const struct ledger_split *s = split_of(row);
	double want[PHASES] = { 0 };
	va_list ap;
	int p;

	va_start(ap, row);
	while ((p = va_arg(ap, int)) != PHASES)
		want[p] = va_arg(ap, double);
	va_end(ap);
	for (p = 0; p < PHASES; p++)
		if (s->phase_ns[p] != (u64)(want[p] * MS + 0.5))
			fail_msg("row %u: %s %.3f ms, wanted %.3f", row, phase_key(p),
				 (double)s->phase_ns[p] / MS, want[p]);
}

/* One thread serves one request at a time: what it did is the request's. */
static void test_thread(void **state)
{
	(void)state;
	waits(LOOP, 0, HP_WAIT_SOCKET, 0, 10, 0.5); /* for the request, there at 9 */
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 2, HP_SEND, 0, 12, 12.5);
	waits(LOOP, 0, HP_WAIT_SOCKET, 13, 20, 1);
	transfer(LOOP, 2, HP_RECV, 0, 0, 20);
	waits(LOOP, 0, HP_WAIT_SLEEP, 21, 25, 0.5);
	waits(LOOP, 0, HP_WAIT_FUTEX, 26, 28, 0);
	transfer(LOOP, 1, HP_SEND, 0, 29, 30);
	call(2, LOOP, 0, 12, 19, 20);
	request(1, 1, LOOP, 0, 9, 10, 30);
	ledger_finish(&l);
	/* The answer was there at 19, the thread in the run queue from then on. */
	spent(1, PHASE_RECV_QUEUE, 1.0, PHASE_CPU, 2.0 + 1.0 + 1.0 + 1.0 + 2.0, PHASE_DB, 6.0,
	      PHASE_RUNQUEUE, 1.5, PHASE_SLEEP, 3.5, PHASE_LOCK, 2.0, PHASES);
}

/* While one task computes, the request behind it waits, before it is read and after its answer came. */
static void test_loop(void **state)
{
	(void)state;
	task(10);
	task(20);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 5, HP_SEND, 10, 11, 11.5); /* the first one asks */
	waits(LOOP, 0, HP_WAIT_IDLE, 12, 15, 0);
	transfer(LOOP, 2, HP_RECV, 0, 0, 15.5);
	seen(LOOP, 20, 18, HP_STEP_SAMPLED); /* the second one computes until its response */
	transfer(LOOP, 2, HP_SEND, 20, 35, 36);
	transfer(LOOP, 5, HP_RECV, 0, 0, 37);
	transfer(LOOP, 1, HP_SEND, 10, 39, 40);
	call(5, LOOP, 10, 11, 16, 37);
	request(1, 1, LOOP, 10, 8, 10, 40);
	request(2, 2, LOOP, 20, 15, 15.5, 36);
	ledger_finish(&l);
	/* Idle when it came, at 8: a wake-up. The tail of the send, 11.5 to 12, is its own. */
	spent(1, PHASE_RECV_QUEUE, 2.0, PHASE_CPU, 1.0 + 1.0 + 3.0, PHASE_DB, 4.0, PHASE_LOOP_WAIT,
	      21.0, PHASES);
	spent(2, PHASE_LOOP_WAIT, 0.5, PHASE_CPU, 20.5, PHASES);
	assert_int_equal(split_of(1)->nblames, 1);
	assert_int_equal(split_of(1)->blames[0].row, 2);
	assert_int_equal(split_of(1)->blames[0].ns, 21 * MS);
}

/* Two calls at once are one wait; what both took is told beside it. */
static void test_gather(void **state)
{
	(void)state;
	task(10);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 5, HP_SEND, 10, 11, 11);
	transfer(LOOP, 6, HP_SEND, 10, 12, 12);
	waits(LOOP, 0, HP_WAIT_IDLE, 12, 20, 0);
	transfer(LOOP, 5, HP_RECV, 0, 0, 20);
	waits(LOOP, 0, HP_WAIT_IDLE, 20, 30, 0);
	transfer(LOOP, 6, HP_RECV, 0, 0, 30);
	transfer(LOOP, 1, HP_SEND, 10, 32, 32);
	call(5, LOOP, 10, 11, 20, 20);
	call(6, LOOP, 10, 12, 30, 30);
	request(1, 1, LOOP, 10, 10, 10, 32);
	ledger_finish(&l);
	spent(1, PHASE_CPU, 4.0, PHASE_DB, 18.0, PHASES);
	assert_int_equal(split_of(1)->raw_ns[PHASE_DB], 27 * MS);
}

/* A task that sleeps is not held up by others, until the loop has been idle and could have gone on. */
static void test_asleep(void **state)
{
	(void)state;
	task(10);
	task(20);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	seen(LOOP, 10, 11, HP_STEP_SAMPLED);
	waits(LOOP, 0, HP_WAIT_IDLE, 11, 20, 0);
	seen(LOOP, 20, 22, HP_STEP_SAMPLED);
	waits(LOOP, 0, HP_WAIT_IDLE, 22, 30, 0);
	seen(LOOP, 20, 34, HP_STEP_SAMPLED); /* by then its time is up */
	seen(LOOP, 10, 35, HP_STEP_SAMPLED);
	transfer(LOOP, 1, HP_SEND, 10, 36, 36);
	request(1, 1, LOOP, 10, 10, 10, 36);
	ledger_finish(&l);
	spent(1, PHASE_CPU, 3.0, PHASE_OTHER_BLOCKED, 19.0, PHASE_LOOP_WAIT, 4.0, PHASES);
}

/* What a worker thread did is the request's as far as its last mark; its wait for more work is not. */
static void test_worker(void **state)
{
	(void)state;
	task(10);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	waits(WORKER, 0, HP_WAIT_FUTEX, 0, 11, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	seen(LOOP, 10, 11, HP_STEP_SAMPLED);
	transfer(WORKER, 5, HP_SEND, 10, 13, 13);
	waits(WORKER, 10, HP_WAIT_SOCKET, 13, 18, 0);
	transfer(WORKER, 5, HP_RECV, 0, 0, 18);
	waits(WORKER, 10, HP_WAIT_GIL, 19, 21, 0);
	seen(WORKER, 10, 22, HP_STEP_SAMPLED);
	waits(LOOP, 0, HP_WAIT_IDLE, 11, 24, 0);
	transfer(LOOP, 1, HP_SEND, 10, 25, 25);
	waits(WORKER, 10, HP_WAIT_FUTEX, 22, 40, 0);
	call(5, WORKER, 10, 13, 18, 18);
	request(1, 1, LOOP, 10, 10, 10, 25);
	ledger_finish(&l);
	spent(1, PHASE_CPU, 1.0 + 2.0 + 1.0 + 1.0 + 1.0, PHASE_DB, 5.0, PHASE_GIL_LOCK, 2.0,
	      PHASE_OTHER_BLOCKED, 2.0, PHASES);
}

/* The next piece of work is found out about when the worker has the lock; until then it bears the last one's token. */
static void test_next_work(void **state)
{
	(void)state;
	task(10);
	task(20);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 2, HP_RECV, 0, 0, 10);
	waits(WORKER, 0, HP_WAIT_FUTEX, 0, 11, 1); /* woken at 10 */
	waits(WORKER, 10, HP_WAIT_SLEEP, 12, 15, 0);
	waits(WORKER, 10, HP_WAIT_FUTEX, 16, 20, 1); /* woken at 19 */
	waits(WORKER, 10, HP_WAIT_GIL, 20, 22, 0);
	waits(WORKER, 20, HP_WAIT_SLEEP, 23, 25, 0);
	waits(WORKER, 20, HP_WAIT_FUTEX, 26, 60, 0);
	waits(LOOP, 0, HP_WAIT_IDLE, 10, 30, 0);
	transfer(LOOP, 1, HP_SEND, 10, 30, 31);
	transfer(LOOP, 2, HP_SEND, 20, 31, 32);
	request(1, 1, LOOP, 10, 10, 10, 31);
	request(2, 2, LOOP, 20, 10, 10, 32);
	ledger_finish(&l);
	spent(1, PHASE_RUNQUEUE, 1.0, PHASE_CPU, 1.0 + 1.0 + 1.0, PHASE_SLEEP, 3.0,
	      PHASE_OTHER_BLOCKED, 14.0, PHASES);
	spent(2, PHASE_RUNQUEUE, 1.0, PHASE_GIL_LOCK, 2.0, PHASE_SLEEP, 2.0, PHASE_CPU,
	      1.0 + 1.0 + 1.0, PHASE_LOOP_WAIT, 1.0, PHASE_OTHER_BLOCKED, 9.0 + 4.0, PHASES);
}

/* A send of what was queued takes the time of the send alone. */
static void test_queued(void **state)
{
	(void)state;
	task(10);
	task(20);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 2, HP_RECV, 0, 0, 10.5);
	seen(LOOP, 10, 14, HP_STEP_QUEUED);
	seen(LOOP, 20, 20, HP_STEP_QUEUED);
	transfer(LOOP, 1, HP_SEND, 10, 20, 21);
	transfer(LOOP, 2, HP_SEND, 20, 21, 22);
	request(1, 1, LOOP, 10, 10, 10, 21);
	request(2, 2, LOOP, 20, 10, 10.5, 22);
	ledger_finish(&l);
	spent(1, PHASE_CPU, 0.5 + 3.5 + 1.0, PHASE_LOOP_WAIT, 6.0, PHASES);
	spent(2, PHASE_LOOP_WAIT, 0.5 + 3.5 + 1.0, PHASE_CPU, 6.0 + 1.0, PHASES);
	assert_int_equal(split_of(1)->blames[0].row, 2);
}

static void test_accept(void **state)
{
	(void)state;
	accepted(1, 14);
	waits(LOOP, 0, HP_WAIT_SOCKET, 0, 12, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 15);
	transfer(LOOP, 1, HP_SEND, 0, 16, 17);
	request(1, 1, LOOP, 0, 10, 15, 17);
	ledger_finish(&l);
	spent(1, PHASE_ACCEPT_QUEUE, 4.0, PHASE_RECV_QUEUE, 1.0, PHASE_CPU, 2.0, PHASES);
}

/* On an event loop, without a token: nobody knows whose time it was. */
static void test_unknown(void **state)
{
	(void)state;
	task(10);
	waits(LOOP, 0, HP_WAIT_IDLE, 0, 10, 0);
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 1, HP_SEND, 0, 16, 17);
	request(1, 1, LOOP, 0, 10, 10, 17);
	ledger_finish(&l);
	spent(1, PHASE_UNATTRIBUTED, 7.0, PHASES);
}

/* A process whose waits are not told has no ledger. */
static void test_no_steps(void **state)
{
	(void)state;
	transfer(LOOP, 1, HP_RECV, 0, 0, 10);
	transfer(LOOP, 1, HP_SEND, 0, 16, 17);
	request(1, 1, LOOP, 0, 10, 10, 17);
	ledger_finish(&l);
	assert_int_equal(got.n, 0);
	assert_int_equal(l.refused, 1);
}

/* Whatever comes, in whatever order: phases sum to the latency (on_split() looks), and memory is bounded. */
static void test_anything(void **state)
{
	u32 i;

	(void)state;
	srand(5);
	for (i = 1; i < 20; i++)
		task(i);
	for (i = 0; i < 200000; i++) {
		double t = i * 0.05, d = rand() % 100 * 0.1;
		u32 tid = LOOP + rand() % 3, token = rand() % 20;

		switch (rand() % 6) {
		case 0:
			waits(tid, token, rand() % HP_WAIT_MAX, t, t + d, d / 2);
			break;
		case 1:
			seen(tid, token, t, 1 + rand() % 2);
			break;
		case 2:
			transfer(tid, rand() % 9, HP_SEND, token, t, t + d);
			break;
		case 3:
			transfer(tid, rand() % 9, HP_RECV, 0, 0, t);
			break;
		case 4:
			request(1 + rand() % 5, rand() % 9, tid, token, t, t + d, t + 20 * d);
			break;
		case 5:
			call(rand() % 9, tid, token, t, t + d, t + 2 * d);
			break;
		}
	}
	ledger_finish(&l);
	assert_int_equal(got.n, 64);
	assert_true(l.timeline.marks <= TIMELINE_MARKS_MAX);
}

/* Threads come and go; what is over makes room. */
static void test_many_threads(void **state)
{
	u32 i;

	(void)state;
	for (i = 1; i <= 3 * TIMELINE_THREADS_MAX; i++) {
		waits(100 + i, 0, HP_WAIT_SOCKET, i, i + 0.25, 0);
		transfer(100 + i, i, HP_RECV, 0, 0, i + 0.5);
		transfer(100 + i, i, HP_SEND, 0, i + 0.625, i + 0.75);
		request(i, i, 100 + i, 0, i + 0.25, i + 0.5, i + 0.75);
	}
	ledger_finish(&l);
	assert_int_equal(l.refused, 0);
	assert_int_equal(l.timeline.refused, 0);
	assert_true(l.timeline.nthreads <= TIMELINE_THREADS_MAX);
	spent(64, PHASE_RECV_QUEUE, 0.25, PHASE_CPU, 0.25, PHASES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_thread, setup, teardown),
		cmocka_unit_test_setup_teardown(test_loop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_gather, setup, teardown),
		cmocka_unit_test_setup_teardown(test_asleep, setup, teardown),
		cmocka_unit_test_setup_teardown(test_worker, setup, teardown),
		cmocka_unit_test_setup_teardown(test_next_work, setup, teardown),
		cmocka_unit_test_setup_teardown(test_queued, setup, teardown),
		cmocka_unit_test_setup_teardown(test_accept, setup, teardown),
		cmocka_unit_test_setup_teardown(test_unknown, setup, teardown),
		cmocka_unit_test_setup_teardown(test_no_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(test_anything, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_threads, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
