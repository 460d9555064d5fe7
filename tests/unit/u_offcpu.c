/* SPDX-License-Identifier: Apache-2.0 */
/* Wait records into totals by thread and reason, and into the call tree of waits. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include "agg/core.h"
#include "base/cleanup.h"

#define START (100 * NSEC_PER_SEC)
#define STOP (110 * NSEC_PER_SEC)
#define MSEC NSEC_PER_MSEC

static struct agg *begin(u8 waits)
{
	struct ev_window start = { .hdr = { sizeof(start), EV_WINDOW, 0, 0, 0, START },
				   .what = HP_WINDOW_START,
				   .waits = waits };
	struct agg *a;

	assert_int_equal(agg_new(&a, NULL), 0);
	agg_record(a, &start.hdr);
	return a;
}

static const struct agg_report *finish(struct agg *a)
{
	struct ev_window stop = { .hdr = { sizeof(stop), EV_WINDOW, 0, 0, 0, STOP },
				  .what = HP_WINDOW_STOP };

	agg_record(a, &stop.hdr);
	assert_int_equal(agg_finish(a), 0);
	return agg_report(a);
}

struct total {
	u32 tid;
	u64 ts, first, count, blocked, runqueue, on;
	u32 reason, flags;
	const char *comm;
};

static void total(struct agg *a, const struct total *t)
{
	struct ev_wait_total ev = {
		.hdr = { sizeof(ev), EV_WAIT_TOTAL, 0, 10, t->tid, t->ts },
		.first_ns = t->first,
		.count = t->count,
		.blocked_ns = t->blocked,
		.runqueue_ns = t->runqueue,
		.on_ns = t->on,
		.reason = t->reason,
		.flags = t->flags,
	};

	snprintf(ev.comm, sizeof(ev.comm), "%s", t->comm);
	agg_record(a, &ev.hdr);
}

#define TOTAL(a, ...) total(a, &(struct total){ __VA_ARGS__ })

static void wait_of(struct agg *a, u64 ts, u64 blocked, u64 weight, u32 reason, const char *comm)
{
	struct {
		struct ev_wait ev;
		struct ev_frame f[2];
	} r = { .ev = { .hdr = { sizeof(r), EV_WAIT, 0, 10, 11, ts },
			.blocked_ns = blocked,
			.weight_ns = weight,
			.reason = (u8)reason,
			.nframes = 2 },
		.f = { { .addr = 0xfff10, .kind = HP_FRAME_KERNEL },
		       { .addr = 0x1005, .kind = HP_FRAME_NATIVE } } };

	snprintf(r.ev.comm, sizeof(r.ev.comm), "%s", comm);
	agg_record(a, &r.ev.hdr);
}

static void symbol(struct agg *a, u32 tgid, u64 start, const char *name)
{
	struct {
		struct ev_symbol ev;
		char name[32];
	} r = { .ev = { .hdr = { sizeof(r), EV_SYMBOL, 0, tgid, 0, START },
			.start = start,
			.end = start + 0x100,
			.name_len = (u16)strlen(name) } };

	snprintf(r.name, sizeof(r.name), "%s", name);
	agg_record(a, &r.ev.hdr);
}

static const struct agg_thread *thread(const struct agg_report *r, u32 tid)
{
	u32 i;

	for (i = 0; i < r->offcpu.nthreads; i++)
		if (r->offcpu.threads[i].tid == tid)
			return &r->offcpu.threads[i];
	fail_msg("no thread %u", tid);
	return NULL;
}

static void test_totals(void **state)
{
	const u64 before = START - NSEC_PER_SEC, late = START + 4 * NSEC_PER_SEC;
	struct agg *a = begin(HP_WAITS_TOTALS);
	const struct agg_report *r;
	const struct agg_thread *t;

	(void)state;
	/* There before the window: 300 ms of sleep and 200 ms on a processor are none of it. */
	TOTAL(a, 11, START + MSEC, before, 5, 0, 10 * MSEC, 200 * MSEC, HP_WAIT_NONE, HP_WAIT_BASE,
	      "web");
	TOTAL(a, 11, START + MSEC, before, 3, 300 * MSEC, 0, 0, HP_WAIT_SLEEP, HP_WAIT_BASE, "web");
	TOTAL(a, 11, STOP - MSEC, before, 7, 0, 18 * MSEC, 1200 * MSEC, HP_WAIT_NONE, 0, "web");
	TOTAL(a, 11, STOP - MSEC, before, 4, 1300 * MSEC, 40 * MSEC, 0, HP_WAIT_SLEEP, 0, "web");
	TOTAL(a, 11, STOP - MSEC, before, 9, 7950 * MSEC, 0, 0, HP_WAIT_IDLE, 0, "web");
	/* Newer ones count, whatever came between. */
	TOTAL(a, 12, late + MSEC, late, 0, 0, 0, 1 * MSEC, HP_WAIT_NONE, 0, "new");
	TOTAL(a, 12, late + 9 * MSEC, late, 1, 0, 2 * MSEC, 4 * MSEC, HP_WAIT_NONE, HP_WAIT_ENDED,
	      "renamed");
	TOTAL(a, 12, late + 9 * MSEC, late, 1, 3 * MSEC, 0, 0, HP_WAIT_SOCKET, HP_WAIT_ENDED,
	      "renamed");
	/* Its number again: another thread. */
	TOTAL(a, 12, STOP, STOP - 5 * MSEC, 0, 0, 0, 5 * MSEC, HP_WAIT_NONE, 0, "third");
	/* Ended before the window, or so near to its start that nobody knows what to take off. */
	TOTAL(a, 13, START - MSEC, before, 9, 0, 0, 900 * MSEC, HP_WAIT_NONE, HP_WAIT_ENDED, "old");
	r = finish(a);
	assert_true(r->offcpu.recorded);
	assert_false(r->offcpu.stacks);
	assert_int_equal(r->offcpu.nthreads, 3);
	t = thread(r, 11);
	assert_string_equal(t->name, "web");
	assert_int_equal(t->wall_ns, 9998 * MSEC);
	assert_int_equal(t->on_ns, 1000 * MSEC);
	assert_int_equal(t->runqueue_ns, 48 * MSEC);
	assert_int_equal(t->blocked_ns, 8950 * MSEC);
	assert_int_equal(t->on_ns + t->runqueue_ns + t->blocked_ns, t->wall_ns);
	assert_int_equal(t->by_reason[HP_WAIT_SLEEP].count, 1);
	assert_int_equal(t->by_reason[HP_WAIT_SLEEP].blocked_ns, 1000 * MSEC);
	assert_int_equal(t->by_reason[HP_WAIT_NONE].count, 2);
	assert_false(t->ended);
	t = thread(r, 12);
	assert_string_equal(t->name, "renamed");
	assert_true(t->ended);
	assert_int_equal(t->wall_ns, 9 * MSEC);
	assert_int_equal(t->on_ns, 4 * MSEC);
	assert_int_equal(r->offcpu.by_reason[HP_WAIT_IDLE].blocked_ns, 7950 * MSEC);
	assert_int_equal(r->offcpu.on_ns, 1009 * MSEC);
	/* The most waited but for work first. */
	assert_int_equal(r->offcpu.threads[0].tid, 11);
	agg_free(a);
}

static void test_tree(void **state)
{
	struct agg *a = begin(HP_WAITS_TOTALS | HP_WAITS_STACKS);
	const struct agg_report *r;
	struct buf line = BUF_INIT, text = BUF_INIT;
	u32 pos = 0;
	u64 weight;

	(void)state;
	symbol(a, 0, 0xfff00, "futex_wait");
	symbol(a, 10, 0x1000, "_start");
	wait_of(a, START + 50 * MSEC, 1500, 10 * MSEC + 600, HP_WAIT_FUTEX, "web");
	/* Half a microsecond here and there adds up. */
	wait_of(a, START + 60 * MSEC, 1500, 10 * MSEC + 400, HP_WAIT_FUTEX, "web");
	/* Began before the window. */
	wait_of(a, START + 70 * MSEC, 700 * MSEC, 700 * MSEC, HP_WAIT_FUTEX, "web");
	wait_of(a, START + 90 * MSEC, 20 * MSEC, 20 * MSEC, HP_WAIT_IDLE, "web");
	/* Over before it. */
	wait_of(a, START - MSEC, 20 * MSEC, 20 * MSEC, HP_WAIT_FUTEX, "web");
	r = finish(a);
	assert_int_equal(r->offcpu.samples, 4);
	buf_adds(&text, "");
	while (agg_folded_tree(r->offcpu.nodes, r->offcpu.nnodes, &pos, &line, &weight)) {
		buf_add_slice(&text, buf_slice(&line));
		buf_addf(&text, " %lu\n", (unsigned long)weight);
	}
	assert_string_equal(text.p, "web;(idle);_start;futex_wait_[k] 20000\n"
				    "web;_start;futex_wait_[k] 90001\n");
	assert_int_equal(r->trust.wait_stacks.total, 4);
	assert_int_equal(r->trust.wait_stacks.complete, 4);
	assert_int_equal(r->trust.stacks.total, 0);
	/* What is idle is in no ratio. */
	assert_int_equal(r->offcpu.ntop, 2);
	assert_string_equal(r->offcpu.top[0].text, "futex_wait_[k]");
	assert_int_equal(r->offcpu.top[0].self, 90001);
	assert_true(r->offcpu.top[0].self_ratio == 1);
	assert_int_equal(r->offcpu.nplaces, 1);
	assert_string_equal(r->offcpu.places[0].text, "_start");
	assert_int_equal(r->offcpu.places[0].reason, HP_WAIT_FUTEX);
	assert_int_equal(r->offcpu.places[0].weight_us, 90001);
	buf_release(&line);
	buf_release(&text);
	agg_free(a);
}

/* One wait is one bar, wherever its stack was taken; on a processor the scheduler is work as any other. */
static void test_without_the_scheduler(void **state)
{
	const struct ev_frame f[] = { { .addr = 0xffb10, .kind = HP_FRAME_KERNEL },
				      { .addr = 0xffd10, .kind = HP_FRAME_KERNEL },
				      { .addr = 0xfff10, .kind = HP_FRAME_KERNEL },
				      { .addr = 0x1005, .kind = HP_FRAME_NATIVE } };
	struct {
		struct ev_wait ev;
		struct ev_frame f[4];
	} w = { .ev = { .hdr = { sizeof(w), EV_WAIT, 0, 10, 11, START + 50 * MSEC },
			.blocked_ns = MSEC,
			.weight_ns = 10 * MSEC,
			.reason = HP_WAIT_SLEEP,
			.nframes = 4,
			.comm = "web" } };
	struct {
		struct ev_sample ev;
		struct ev_frame f[4];
	} c = { .ev = { .hdr = { sizeof(c), EV_SAMPLE, 0, 10, 11, START + 60 * MSEC },
			.nframes = 4,
			.comm = "web" } };
	struct agg *a = begin(HP_WAITS_TOTALS | HP_WAITS_STACKS);
	_release_(buf) struct buf line = BUF_INIT;
	const struct agg_report *r;
	u32 pos = 0;
	u64 weight;

	(void)state;
	memcpy(w.f, f, sizeof(f));
	memcpy(c.f, f, sizeof(f));
	symbol(a, 0, 0xffb00, "__schedule");
	symbol(a, 0, 0xffd00, "schedule");
	symbol(a, 0, 0xfff00, "do_nanosleep");
	symbol(a, 10, 0x1000, "_start");
	agg_record(a, &w.ev.hdr);
	agg_record(a, &c.ev.hdr);
	wait_of(a, START + 70 * MSEC, MSEC, 10 * MSEC, HP_WAIT_SLEEP, "web");
	r = finish(a);
	assert_true(agg_folded_tree(r->offcpu.nodes, r->offcpu.nnodes, &pos, &line, &weight));
	assert_string_equal(line.p, "web;_start;do_nanosleep_[k]");
	assert_int_equal(weight, 20000);
	assert_false(agg_folded_tree(r->offcpu.nodes, r->offcpu.nnodes, &pos, &line, &weight));
	assert_string_equal(r->offcpu.top[0].text, "do_nanosleep_[k]");
	pos = 0;
	assert_true(agg_folded_tree(r->cpu.nodes, r->cpu.nnodes, &pos, &line, &weight));
	assert_string_equal(line.p, "web;_start;do_nanosleep_[k];schedule_[k];__schedule_[k]");
	agg_free(a);
}

/* 30 ms and then 10 ms in the run queue; the waker's one frame is 0x2005 of process 20, tid 0: an interrupt. */
static void woken_by(struct agg *a, u64 ts, u32 tid, u32 reason, const char *waker, u32 waker_tid)
{
	struct {
		struct ev_wait ev;
		struct ev_frame f[2];
	} r = { .ev = { .hdr = { sizeof(r), EV_WAIT, 0, 10, tid, ts },
			.blocked_ns = 30 * MSEC,
			.runqueue_ns = 10 * MSEC,
			.weight_ns = 40 * MSEC,
			.reason = (u8)reason,
			.waker_tgid = 20,
			.waker_tid = waker_tid,
			.woken_by = waker_tid ? HP_WAKER_THREAD : HP_WAKER_INTERRUPT,
			.unwind = HP_UNWIND_TABLES,
			.stop = UW_STOP_END,
			.comm = "web",
			.nframes = 1,
			.nwaker = 1 },
		.f = { { .addr = 0x1005, .kind = HP_FRAME_NATIVE },
		       { .addr = 0x2005, .kind = HP_FRAME_NATIVE, .extra = HP_FRAME_EXACT } } };

	snprintf(r.ev.waker_comm, sizeof(r.ev.waker_comm), "%s", waker);
	agg_record(a, &r.ev.hdr);
}

static void test_wakers(void **state)
{
	struct agg *a = begin(HP_WAITS_TOTALS | HP_WAITS_STACKS);
	struct buf line = BUF_INIT, text = BUF_INIT;
	const struct agg_report *r;
	u32 pos = 0;
	u64 weight;

	(void)state;
	symbol(a, 10, 0x1000, "_start");
	symbol(a, 20, 0x2000, "unlock");
	woken_by(a, START + 300 * MSEC, 12, HP_WAIT_FUTEX, "job;1", 21);
	woken_by(a, START + 200 * MSEC, 11, HP_WAIT_FUTEX, "job;1", 21);
	woken_by(a, START + 100 * MSEC, 12, HP_WAIT_SOCKET, "stale", 0);
	/* Whoever ran when the timer came did not do it. */
	woken_by(a, START + 400 * MSEC, 12, HP_WAIT_SLEEP, "other", 33);
	r = finish(a);
	buf_adds(&text, "");
	while (agg_folded_tree(r->offcpu.waker_nodes, r->offcpu.nwaker_nodes, &pos, &line,
			       &weight)) {
		buf_add_slice(&text, buf_slice(&line));
		buf_addf(&text, " %lu\n", (unsigned long)weight);
	}
	assert_string_equal(text.p, "web;(futex);by job:1;unlock 60000\n"
				    "web;(sleep);by an interrupt 30000\n"
				    "web;(socket);by an interrupt 30000\n");
	assert_int_equal(r->offcpu.nwakings, 3);
	assert_string_equal(r->offcpu.wakings[0].waker, "job:1");
	assert_int_equal(r->offcpu.wakings[0].reason, HP_WAIT_FUTEX);
	assert_int_equal(r->offcpu.wakings[0].weight_us, 60000);
	assert_string_equal(r->offcpu.wakings[0].top[0], "unlock");
	assert_null(r->offcpu.wakings[0].top[1]);
	assert_int_equal(r->offcpu.nstates, 4);
	assert_int_equal(r->offcpu.states[0].tid, 11);
	assert_int_equal(r->offcpu.states[1].ts_ns, START + 100 * MSEC);
	assert_string_equal(r->offcpu.states[1].waker, "");
	assert_string_equal(r->offcpu.states[2].waker, "job;1");
	assert_string_equal(r->offcpu.states[3].waker, "");
	buf_release(&line);
	buf_release(&text);
	agg_free(a);
}

static void code(struct agg *a, u64 addr, const char *name, const char *file)
{
	struct {
		struct ev_code ev;
		char text[96];
	} r = { .ev = { .hdr = { sizeof(r), EV_CODE, 0, 10, 0, START },
			.addr = addr,
			.line = 7,
			.name_len = (u16)strlen(name),
			.file_len = (u16)strlen(file) } };

	snprintf(r.text, sizeof(r.text), "%s%s", name, file);
	agg_record(a, &r.ev.hdr);
}

/* One function of the application may wait for several things, by way of whatever libraries. */
static void test_places(void **state)
{
	const struct ev_frame f[] = { { .addr = 0xfff10, .kind = HP_FRAME_KERNEL },
				      { .addr = 0x1005, .kind = HP_FRAME_NATIVE },
				      { .addr = 0x5000, .kind = HP_FRAME_PYTHON },
				      { .addr = 0x6000, .kind = HP_FRAME_PYTHON },
				      { .addr = 0x7000, .kind = HP_FRAME_PYTHON } };
	struct {
		struct ev_wait ev;
		struct ev_frame f[5];
	} w = { .ev = { .hdr = { sizeof(w), EV_WAIT, 0, 10, 11, START + 50 * MSEC },
			.blocked_ns = MSEC,
			.nframes = 5,
			.comm = "web" } };
	const u8 reasons[] = { HP_WAIT_FUTEX, HP_WAIT_SOCKET, HP_WAIT_SOCKET, HP_WAIT_IDLE };
	struct agg *a = begin(HP_WAITS_TOTALS | HP_WAITS_STACKS);
	const struct agg_place *p;
	const struct agg_report *r;
	u32 i;

	(void)state;
	memcpy(w.f, f, sizeof(f));
	symbol(a, 0, 0xfff00, "futex_wait");
	symbol(a, 10, 0x1000, "lock_acquire");
	code(a, 0x5000, "wait", "/usr/lib/python3.11/threading.py");
	code(a, 0x6000, "lookup", "/srv/shop/store.py");
	code(a, 0x7000, "main", "/srv/shop/app.py");
	for (i = 0; i < ARRAY_SIZE(reasons); i++) {
		w.ev.reason = reasons[i];
		w.ev.weight_ns = 10 * MSEC;
		agg_record(a, &w.ev.hdr);
	}
	r = finish(a);
	p = r->offcpu.places;
	assert_int_equal(r->offcpu.nplaces, 2);
	assert_string_equal(p[0].text, "lookup (shop/store.py)");
	assert_int_equal(p[0].reason, HP_WAIT_SOCKET);
	assert_true(p[0].weight_us == 20000 && p[0].ratio == 2 / 3.0);
	assert_string_equal(p[1].text, "lookup (shop/store.py)");
	assert_int_equal(p[1].reason, HP_WAIT_FUTEX);
	assert_int_equal(p[1].weight_us, 10000);
	agg_free(a);
}

static void test_not_recorded(void **state)
{
	struct agg *a = begin(0);
	const struct agg_report *r = finish(a);

	(void)state;
	assert_false(r->offcpu.recorded);
	assert_int_equal(r->offcpu.nthreads, 0);
	assert_null(r->offcpu.nodes);
	agg_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_totals),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_without_the_scheduler),
		cmocka_unit_test(test_wakers),
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_not_recorded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
