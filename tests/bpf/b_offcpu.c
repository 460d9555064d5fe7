/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where threads wait, on the running kernel: totals by thread and reason against the threads' own
 * clocks and against the scheduler's, the sample of waits and the single steps against the totals.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lab.h"
#include "hp/tables.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../workloads/waits.h"
#define WAITS_PART
#include "../workloads/waits.c"

#define ROWS_MAX 256
#define MS 1000000.0
#define SWITCH_NS 15000.0

struct row { /* a thread */
	struct ev_wait_total base[HP_WAIT_MAX];
	struct ev_wait_total last[HP_WAIT_MAX];
	struct wait_total step[HP_WAIT_MAX]; /* sums of them */
	double weight[HP_WAIT_MAX]; /* of sampled waits */
	u32 stacks;
	u32 deep; /* of them with kernel and user frames */
	u32 woken[HP_WAIT_MAX]; /* of them ended by somebody, */
	u32 by_waker[HP_WAIT_MAX]; /* and that was the workload's waker */
	u32 tid;
	char comm[16];
	bool ended;
};

struct seen_waits {
	struct row row[ROWS_MAX];
	u32 n;
};

static double taken_ns; /* by interrupts and the hypervisor, of all processors, while measured */
static struct waits_thread *told; /* shared with the child */
static u32 *ntold;

static u64 *served_ns; /* when the child read a request; shared with it */

static struct row *row_of(struct seen_waits *s, u32 tid)
{
	u32 i;

	for (i = 0; i < s->n; i++)
		if (s->row[i].tid == tid)
			return &s->row[i];
	assert_true(s->n < ROWS_MAX);
	s->row[s->n].tid = tid;
	return &s->row[s->n++];
}

static void on_wait_record(void *arg, const struct ev_hdr *rec)
{
	struct seen_waits *s = arg;
	struct row *r = row_of(s, rec->tid);

	if (rec->kind == EV_WAIT_TOTAL) {
		const struct ev_wait_total *ev = (const void *)rec;

		assert_true(rec->ts_ns >= ev->first_ns);
		memcpy(r->comm, ev->comm, sizeof(r->comm));
		if (ev->flags & HP_WAIT_BASE)
			r->base[ev->reason] = *ev;
		assert_false(r->ended && !(ev->flags & HP_WAIT_ENDED));
		r->last[ev->reason] = *ev;
		r->ended = ev->flags & HP_WAIT_ENDED;
	} else if (rec->kind == EV_STEP) {
		const struct ev_step *ev = (const void *)rec;

		assert_int_equal(ev->flags, 0);
		assert_int_equal(ev->token, 0); /* no Python */
		assert_true(ev->hdr.ts_ns - ev->blocked_ns - ev->runqueue_ns >= *served_ns);
		r->step[ev->reason].count++;
		r->step[ev->reason].blocked_ns += ev->blocked_ns;
		r->step[ev->reason].runqueue_ns += ev->runqueue_ns;
	} else if (rec->kind == EV_WAIT) {
		const struct ev_wait *ev = (const void *)rec;
		const struct ev_frame *f = (const void *)(ev + 1);

		r->weight[ev->reason] += (double)ev->weight_ns;
		r->stacks++;
		assert_true(ev->weight_ns >= ev->blocked_ns + ev->runqueue_ns);
		r->deep += ev->nframes && f[ev->nframes - 1].kind == HP_FRAME_NATIVE;
		r->woken[ev->reason] += ev->woken_by != HP_WAKER_UNKNOWN;
		r->by_waker[ev->reason] +=
			ev->woken_by == HP_WAKER_THREAD && !strcmp(ev->waker_comm, "w_waker");
	}
}

static double blocked(const struct row *r, u32 reason)
{
	return (double)(r->last[reason].blocked_ns - r->base[reason].blocked_ns);
}

static double queued(const struct row *r, u32 reason)
{
	return (double)(r->last[reason].runqueue_ns - r->base[reason].runqueue_ns);
}

static double all_blocked(const struct row *r)
{
	double sum = 0;
	u32 i;

	for (i = 0; i < HP_WAIT_MAX; i++)
		sum += blocked(r, i);
	return sum;
}

static double all_queued(const struct row *r)
{
	double sum = 0;
	u32 i;

	for (i = 0; i < HP_WAIT_MAX; i++)
		sum += queued(r, i);
	return sum;
}

static double on_cpu(const struct row *r)
{
	return (double)(r->last[0].on_ns - r->base[0].on_ns);
}

static double wall(const struct row *r)
{
	return (double)(r->last[0].hdr.ts_ns -
			(r->base[0].hdr.ts_ns ? r->base[0].hdr.ts_ns : r->last[0].first_ns));
}

/* Within that share, or that many milliseconds, of what it should be. */
static void near_to(const char *what, const char *who, double is, double should, double share,
		    double ms)
{
	if (fabs(is - should) > MAX(share * should, ms * MS))
		fail_msg("%s of %s: %.3f ms, not %.3f", what, who, is / MS, should / MS);
}

static void adds_up(const struct row *r)
{
	double sum = on_cpu(r) + all_queued(r) + all_blocked(r);
	u32 i;

	/* Said whole when it does not: which part went wrong is not seen in the sum. */
	for (i = 0; i < HP_WAIT_MAX && fabs(sum - wall(r)) > 0.005 * wall(r); i++)
		if (r->last[i].count || r->last[i].blocked_ns || r->last[i].runqueue_ns || !i)
			print_message("%u: reason %u, %llu waits, blocked %llu to %llu, runnable "
				      "%llu to %llu, on %llu to %llu, at %llu to %llu\n",
				      r->tid, i, r->last[i].count, r->base[i].blocked_ns,
				      r->last[i].blocked_ns, r->base[i].runqueue_ns,
				      r->last[i].runqueue_ns, r->base[i].on_ns, r->last[i].on_ns,
				      r->base[i].hdr.ts_ns, r->last[i].hdr.ts_ns);
	near_to("on, runnable and blocked", r->comm, on_cpu(r) + all_queued(r) + all_blocked(r),
		wall(r), 0.005, 0);
}

static void run_waits(void)
{
	*ntold = waits_run(".", 2000, 0, told);
	MUST(*ntold);
}

static void run_spinners(void)
{
	*ntold = waits_run(".", 2000, 5, told);
	MUST(*ntold);
}

/* Since boot. */
static double taken(void)
{
	unsigned long long v[8] = { 0 };
	FILE *f = fopen("/proc/stat", "r");

	assert_non_null(f);
	assert_int_equal(fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &v[0], &v[1],
				&v[2], &v[3], &v[4], &v[5], &v[6], &v[7]),
			 8);
	fclose(f);
	return (double)(v[5] + v[6] + v[7]) * 1e9 / (double)sysconf(_SC_CLK_TCK);
}

static void *make_shared(size_t size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(p, MAP_FAILED);
	return p;
}

static struct seen_waits *measure(struct lab *lab, lab_fn *before, lab_fn *act, bool keep)
{
	struct seen_waits *s = calloc(1, sizeof(*s));

	double before_ns = taken();

	assert_non_null(s);
	told = make_shared(WAITS_THREADS_MAX * sizeof(*told));
	ntold = make_shared(sizeof(*ntold));
	lab_run(lab, &(struct lab_opts){ .before = before,
					 .act = act,
					 .waits = true,
					 .record = on_wait_record,
					 .arg = s,
					 .keep = keep });
	lab_no_drops(lab);
	taken_ns = taken() - before_ns;
	return s;
}

static const u32 reasons[WAITS_KINDS] = {
	[WAITS_SLEEP] = HP_WAIT_SLEEP,	   [WAITS_PIPE] = HP_WAIT_PIPE,
	[WAITS_FUTEX] = HP_WAIT_FUTEX,	   [WAITS_SOCKET] = HP_WAIT_SOCKET,
	[WAITS_POLL_ONE] = HP_WAIT_SOCKET, [WAITS_EPOLL] = HP_WAIT_IDLE,
	[WAITS_EVENTFD] = HP_WAIT_EVENT,   [WAITS_DISK] = HP_WAIT_DISK,
	[WAITS_FAULT] = HP_WAIT_FAULT,	   [WAITS_SPIN] = HP_WAIT_NONE,
};

static void check_thread(struct seen_waits *s, const struct waits_thread *t)
{
	const struct row *r = row_of(s, (u32)t->tid);
	u32 why = reasons[t->kind];
	double own = (double)t->waited_ns, is = blocked(r, why) + queued(r, why);
	/*
	 * Of what is small itself: half a percent of the thread's life. And a switch takes the
	 * scheduler some microseconds, which the clocks count to one side or the other; what
	 * interrupts and the hypervisor took the scheduler's clock leaves out, and ours does not.
	 * The thread does not see its own first and last moments.
	 */
	double switches = (double)t->waits + (double)r->last[HP_WAIT_NONE].count;
	double slack = SWITCH_NS * switches + taken_ns + wall(r) - (double)t->wall_ns;
	double small = (0.005 * (double)t->wall_ns + slack) / MS;

	print_message("%-9s on %8.2f (own %.2f) runnable %8.2f (schedstat %8.2f) blocked %8.2f  "
		      "reason %7.2f "
		      "(own clock %7.2f, preempted %.2f) stacks %u weight %.2f\n",
		      t->name, on_cpu(r) / MS, (double)t->cpu_ns / MS, all_queued(r) / MS,
		      (double)t->runqueue_ns / MS, all_blocked(r) / MS, is / MS, own / MS,
		      queued(r, 0) / MS, r->stacks, r->weight[why] / MS);
	assert_string_equal(r->comm, t->name);
	adds_up(r);
	near_to("time on a processor", t->name, on_cpu(r), (double)t->cpu_ns, 0.01, small);
	near_to("run queue", t->name, all_queued(r), (double)t->runqueue_ns, 0.01, small);
	if (t->kind == WAITS_SPIN)
		return;
	/* Its own clock cannot tell being preempted in a call that waits from waiting. */
	if (is > own * 1.01 + MS + slack || is + queued(r, 0) < own * 0.99 - MS - slack)
		fail_msg("%s waited %.3f ms (and was preempted for %.3f), not %.3f", t->name,
			 is / MS, queued(r, 0) / MS, own / MS);
	/* Inside a call a thread may also wait for another one's change of the address space. */
	if (t->kind >= WAITS_PIPE && t->kind <= WAITS_EVENTFD)
		assert_true(r->by_waker[why] + 2 >= r->woken[why]);
	/* Where files are in memory nobody waits for them. */
	if (own - queued(r, 0) > 5 * MS + slack)
		assert_true(r->last[why].count > 0);
	assert_true(r->last[why].count <= t->waits + 100);
}

static void known_waits(void **state)
{
	struct lab lab = { 0 };
	struct seen_waits *s = measure(&lab, NULL, run_waits, false);
	u32 i, ended = 0;

	(void)state;
	assert_int_equal(*ntold, WAITS_SPIN);
	for (i = 0; i < s->n; i++)
		ended += s->row[i].ended;
	/* The last one may not have left its processor for good yet. */
	assert_true(ended >= *ntold);
	print_message("%.0f ms taken by interrupts and the hypervisor\n", taken_ns / MS);
	for (i = 0; i < *ntold; i++)
		check_thread(s, &told[i]);
	lab_free(&lab);
	free(s);
}

static void known_run_queue(void **state)
{
	struct lab lab = { 0 };
	struct seen_waits *s = measure(&lab, NULL, run_spinners, false);
	u32 i;

	(void)state;
	assert_int_equal(*ntold, WAITS_SPIN + 5);
	for (i = 0; i < *ntold; i++)
		check_thread(s, &told[i]);
	lab_free(&lab);
	free(s);
}

static int still[2];
static pthread_t sleeper, spinner;
static u32 *stop_spinning;

static void *sleep_on(void *arg)
{
	char c;

	MUST(read(still[0], &c, 1) == 1);
	return arg;
}

static void *spin_on(void *arg)
{
	while (!__atomic_load_n(stop_spinning, __ATOMIC_ACQUIRE))
		;
	return arg;
}

static void before_edges(void)
{
	MUST(pipe(still) == 0);
	MUST(pthread_create(&sleeper, NULL, sleep_on, NULL) == 0);
	MUST(pthread_create(&spinner, NULL, spin_on, NULL) == 0);
	pause_ms(300);
}

static void through_edges(void)
{
	pause_ms(700);
	__atomic_store_n(stop_spinning, 1, __ATOMIC_RELEASE);
}

/* Nothing happens to a thread: blocked from before the window's start to behind its end. */
static void edges(void **state)
{
	struct lab lab = { 0 };
	struct seen_waits *s;
	u32 i, sleeping = 0;

	(void)state;
	stop_spinning = make_shared(sizeof(*stop_spinning));
	s = measure(&lab, before_edges, through_edges, true);
	for (i = 0; i < s->n; i++) {
		const struct row *r = &s->row[i];

		adds_up(r);
		assert_true(wall(r) >= 700 * MS || r->ended);
		if (blocked(r, HP_WAIT_PIPE) < 600 * MS)
			continue;
		sleeping++;
		near_to("blocked all the time", r->comm, blocked(r, HP_WAIT_PIPE), wall(r), 0.001,
			0);
		assert_int_equal(r->last[HP_WAIT_PIPE].count, 0);
	}
	assert_int_equal(sleeping, 1);
	assert_int_equal(s->n, 3);
	lab_free(&lab);
	free(s);
}

static void many_short(void)
{
	const struct timespec t = { 0, 200000 };
	u32 i;

	for (i = 0; i < 8000; i++)
		nanosleep(&t, NULL);
}

#define CHILDREN 8

static void short_children(void)
{
	u32 i;

	for (i = 0; i < CHILDREN; i++) {
		pid_t pid = fork();

		MUST(pid >= 0);
		if (!pid) {
			pause_ms(20);
			_exit(0);
		}
		MUST(waitpid(pid, NULL, 0) == pid);
	}
	pause_ms(300);
}

/* The end of a process's last thread is seen, though its process is no target any more by then. */
static void ended_processes(void **state)
{
	struct lab lab = { 0 };
	struct seen_waits *s = measure(&lab, NULL, short_children, true);
	u32 i, ended = 0;

	(void)state;
	for (i = 0; i < s->n; i++) {
		const struct row *r = &s->row[i];

		if (!r->ended)
			continue;
		ended++;
		adds_up(r);
		near_to("sleep", r->comm, blocked(r, HP_WAIT_SLEEP) + queued(r, HP_WAIT_SLEEP),
			20 * MS, 0, wall(r) / MS - 20);
		assert_true(blocked(r, HP_WAIT_SLEEP) + queued(r, HP_WAIT_SLEEP) >= 19.9 * MS);
	}
	assert_int_equal(ended, CHILDREN);
	assert_int_equal(s->n, CHILDREN + 1);
	lab_free(&lab);
	free(s);
}

static bool asleep_as(pid_t pid, const char *comm)
{
	char path[32], line[128], want[32];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	snprintf(want, sizeof(want), "(%s) S", comm);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(line, sizeof(line), f))
		*line = 0;
	fclose(f);
	return strstr(line, want);
}

/* Leaves its processor, so that its name is read, and is another program right behind that. */
static void one_program(void)
{
	u32 i;
	pid_t pid = fork();

	MUST(pid >= 0);
	if (!pid) {
		pause_ms(1);
		execl("/bin/sleep", "sleep", "20", NULL);
		_exit(127);
	}
	for (i = 0; i < 1000 && !asleep_as(pid, "sleep"); i++)
		pause_ms(10);
	MUST(waitpid(pid, NULL, WNOHANG) == 0);
}

static void name_after_exec(void **state)
{
	struct lab lab = { 0 };
	struct seen_waits *s = measure(&lab, NULL, one_program, true);
	u32 i, named = 0;

	(void)state;
	assert_int_equal(s->n, 2);
	for (i = 0; i < s->n; i++)
		named += !strcmp(s->row[i].comm, "sleep") && !s->row[i].ended;
	assert_int_equal(named, 1);
	lab_free(&lab);
	free(s);
}

/*
 * Waits far below what is drawn for sure: the weights' sum is that of the waits within the sampling
 * error. n draws of weight T estimate n * T with a standard error of T * sqrt(n).
 */
static void weights(void **state)
{
	struct lab lab = { 0 };
	struct seen_waits *s = measure(&lab, NULL, many_short, false);
	const struct row *r = NULL;
	double is, should;
	u32 i;

	(void)state;
	for (i = 0; i < s->n; i++)
		if (s->row[i].last[HP_WAIT_SLEEP].count)
			r = &s->row[i];
	assert_non_null(r);
	/* Fewer only when a timer was quicker than the thread that set it. */
	assert_in_range(r->last[HP_WAIT_SLEEP].count, 7200, 8000);
	is = r->weight[HP_WAIT_SLEEP];
	should = blocked(r, HP_WAIT_SLEEP) + queued(r, HP_WAIT_SLEEP);
	print_message("8000 waits, %.1f ms, %u stacks stand for %.1f ms\n", should / MS, r->stacks,
		      is / MS);
	if (probes_waits_what(lab.p) & HP_WAITS_STACKS) {
		near_to("weights", r->comm, is, should, 0, 10 * 4 * sqrt(should / MS / 10));
		assert_int_equal(r->deep, r->stacks);
		assert_true(r->stacks < 120 * wall(r) / 1e9);
	}
	lab_free(&lab);
	free(s);
}

static void serve(void)
{
	int answers, asks = lab_pair(AF_INET, &answers);
	struct timespec now;
	u64 pos = 0;
	char c[8];

	pause_ms(20); /* before the first request: nobody's */
	clock_gettime(CLOCK_MONOTONIC, &now);
	*served_ns = (u64)now.tv_sec * NSEC_PER_SEC + (u64)now.tv_nsec;
	lab_fill(c, sizeof(c), &pos);
	MUST(write(asks, c, sizeof(c)) == sizeof(c));
	MUST(read(answers, c, sizeof(c)) == sizeof(c));
	*ntold = waits_run(".", 500, 5, told);
	MUST(*ntold);
}

/*
 * Each wait of a process that serves is told: of threads that began after its first request, the sums are the
 * totals, to the nanosecond. The first time in the run queue belongs to no step.
 */
static void steps(void **state)
{
	struct lab lab = { .unchecked = true };
	struct seen_waits *s = calloc(1, sizeof(*s));
	u32 i, why;

	(void)state;
	assert_non_null(s);
	told = make_shared(WAITS_THREADS_MAX * sizeof(*told));
	ntold = make_shared(sizeof(*ntold));
	served_ns = make_shared(sizeof(*served_ns));
	lab_run(&lab, &(struct lab_opts){
			      .act = serve, .steps = true, .record = on_wait_record, .arg = s });
	lab_no_drops(&lab);
	assert_int_equal(*ntold, WAITS_SPIN + 5);
	for (i = 0; i < *ntold; i++) {
		const struct row *r = row_of(s, (u32)told[i].tid);

		assert_true(r->ended);
		for (why = 0; why < HP_WAIT_MAX; why++) {
			const struct wait_total *step = &r->step[why];

			assert_int_equal(step->count + !why, r->last[why].count);
			assert_int_equal(step->blocked_ns, r->last[why].blocked_ns);
			if (why)
				assert_int_equal(step->runqueue_ns, r->last[why].runqueue_ns);
			else
				assert_true(step->runqueue_ns <= r->last[why].runqueue_ns);
		}
		if (told[i].kind == WAITS_SPIN) {
			assert_true(r->step[HP_WAIT_NONE].runqueue_ns > 100 * MS);
			assert_true(r->step[HP_WAIT_NONE].count > 2);
		} else if (told[i].kind <= WAITS_EVENTFD) {
			assert_true(r->step[reasons[told[i].kind]].count > 2);
		}
	}
	lab_free(&lab);
	free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_waits),	   cmocka_unit_test(known_run_queue),
		cmocka_unit_test(edges),	   cmocka_unit_test(weights),
		cmocka_unit_test(ended_processes), cmocka_unit_test(name_after_exec),
		cmocka_unit_test(steps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
