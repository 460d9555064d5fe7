/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the process is and what it was doing: threads, children, programs that it becomes, another
 * network, calls that were under way when the probes came.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lab.h"

#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "load/probes.h"

#define THREADS 4
#define ROUNDS 300

static int served, called, listener;

static void say(int fd, size_t n, u64 *pos)
{
	u8 buf[4096];

	lab_fill(buf, n, pos);
	MUST(send(fd, buf, n, 0) == (ssize_t)n);
}

static void hear(int fd, size_t n)
{
	u8 buf[4096];

	MUST(recv(fd, buf, n, MSG_WAITALL) == (ssize_t)n);
}

static const struct seen *conn(struct lab *lab, u8 role, u32 n)
{
	const struct seen *s = lab_conn(lab, role, 0, n);

	assert_non_null(s);
	return s;
}

static void bytes_are(const struct seen *s, u64 in, u64 out)
{
	assert_int_equal(s->moved[HP_RECV], in);
	assert_int_equal(s->moved[HP_SEND], out);
}

static void *one_thread(void *arg)
{
	int *ends = arg;
	u64 up = 0, down = 0;

	for (u32 i = 0; i < ROUNDS; i++) {
		say(ends[0], 50, &up);
		hear(ends[1], 50);
		say(ends[1], 70, &down);
		hear(ends[0], 70);
	}
	close(ends[0]);
	close(ends[1]);
	return NULL;
}

static void threads(void)
{
	pthread_t ids[THREADS];
	int ends[THREADS][2];

	for (u32 i = 0; i < THREADS; i++) {
		ends[i][0] = lab_pair(i % 2 ? AF_INET : AF_UNIX, &ends[i][1]);
		MUST(!pthread_create(&ids[i], NULL, one_thread, ends[i]));
	}
	for (u32 i = 0; i < THREADS; i++)
		pthread_join(ids[i], NULL);
}

static void with_threads(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = threads });
	lab_no_drops(&lab);
	assert_int_equal(lab.n, 2 * THREADS);
	for (u32 i = 0; i < THREADS; i++) {
		bytes_are(conn(&lab, HP_ROLE_SERVER, i), 50 * ROUNDS, 70 * ROUNDS);
		bytes_are(conn(&lab, HP_ROLE_CLIENT, i), 70 * ROUNDS, 50 * ROUNDS);
		assert_int_equal(conn(&lab, HP_ROLE_SERVER, i)->closes, 1);
	}
	assert_int_equal(lab.ntargets, 1);
	assert_int_equal(lab.procs[HP_PROC_EXIT], 1);
	lab_free(&lab);
}

static void other_network(void)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	u64 up = 0;
	int fd;

	MUST(unshare(CLONE_NEWNET) == 0);
	fd = socket(AF_INET, SOCK_DGRAM, 0);
	MUST(ioctl(fd, SIOCSIFFLAGS, &lo) == 0);
	called = lab_pair(AF_INET, &served);
	say(called, 100, &up);
	hear(served, 100);
	close(called);
	close(served);
}

static void in_a_network(void **state)
{
	struct lab lab = { 0 };
	struct stat here;

	(void)state;
	assert_int_equal(stat("/proc/self/ns/net", &here), 0);
	lab_run(&lab, &(struct lab_opts){ .act = other_network });
	assert_int_equal(lab.n, 2);
	bytes_are(conn(&lab, HP_ROLE_SERVER, 0), 100, 0);
	bytes_are(conn(&lab, HP_ROLE_CLIENT, 0), 0, 100);
	assert_int_equal(lab.conns[0].open.netns, lab.conns[1].open.netns);
	assert_int_not_equal(lab.conns[0].open.netns, here.st_ino);
	lab_no_drops(&lab);
	lab_free(&lab);
}

static void becomes(void)
{
	int status;

	called = lab_pair(AF_INET, &served);
	MUST(send(served, "hello", 5, 0) == 5);
	fflush(NULL);
	if (!fork()) {
		MUST(dup2(called, 3) == 3);
		execl("/bin/sh", "sh", "-c",
		      "printf 0123456789 >&3; exec dd bs=5 count=1 <&3 >/dev/null 2>&1", NULL);
		_exit(1);
	}
	MUST(wait(&status) > 0);
	hear(served, 10);
	close(called);
	close(served);
}

static void another_program(void **state)
{
	struct lab lab = { .unchecked = true };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = becomes });
	s = conn(&lab, HP_ROLE_CLIENT, 0);
	bytes_are(s, 5, 10);
	assert_int_equal(s->closes, 1);
	bytes_are(conn(&lab, HP_ROLE_SERVER, 0), 10, 5);
	assert_int_equal(lab.procs[HP_PROC_EXEC], 2);
	assert_int_equal(lab.procs[HP_PROC_FORK], 1);
	assert_int_equal(lab.procs[HP_PROC_EXIT], 2);
	lab_no_drops(&lab);
	lab_free(&lab);
}

static pthread_t waiting[2];

static void *hears(void *arg)
{
	(void)arg;
	hear(served, 100);
	return NULL;
}

static void *says(void *arg)
{
	static u8 much[1 << 20];
	u64 pos = 0;

	(void)arg;
	lab_fill(much, sizeof(much), &pos);
	MUST(send(served, much, sizeof(much), 0) == sizeof(much));
	return NULL;
}

/* A receive that waits, and a send that waits for room. */
static void under_way(void)
{
	int room = 4096;

	listener = lab_listen(AF_INET);
	called = lab_connect(AF_INET);
	served = accept(listener, NULL, NULL);
	setsockopt(served, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	MUST(!pthread_create(&waiting[0], NULL, hears, NULL));
	MUST(!pthread_create(&waiting[1], NULL, says, NULL));
	usleep(50000);
}

static void finish(void)
{
	u64 up = 0;

	say(called, 100, &up);
	pthread_join(waiting[0], NULL);
	for (u32 i = 0; i < (1 << 20) / 4096; i++)
		hear(called, 4096);
	pthread_join(waiting[1], NULL);
	usleep(1000);
	close(called);
	close(served);
}

static void in_flight(void **state)
{
	struct lab lab = { .unchecked = true };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .before = under_way, .act = finish });
	s = conn(&lab, HP_ROLE_SERVER, 0);
	assert_int_equal(s->open.origin, HP_ORIGIN_SEED);
	if (lab_on_functions(&lab)) {
		/* A function that was entered before ends unseen. It is no secret: the sockets' own counts. */
		bytes_are(s, 0, 0);
		assert_true(lab.drops[DROP_UNSEEN] >= 2);
	} else {
		bytes_are(s, 100, 1 << 20);
		assert_int_equal(s->transfers[HP_SEND], 1);
		assert_int_equal(s->entered[HP_SEND], 0); /* nobody saw it begin */
		assert_int_equal(s->wire[HP_RECV],
				 ladder_has(probes_ladder(lab.p), PROBE_ARRIVALS));
		bytes_are(conn(&lab, HP_ROLE_CLIENT, 0), 1 << 20, 100);
		lab_no_drops(&lab);
	}
	lab_free(&lab);
}

static void listen_early(void)
{
	listener = lab_listen(AF_INET);
}

/* Workers that share an inherited listener; one of them is killed. */
static void workers(void)
{
	int status;

	for (u32 i = 0; i < 4; i++) {
		pid_t pid;
		u64 up = 0, down = 0;

		fflush(NULL);
		pid = fork();
		if (!pid) {
			served = accept(listener, NULL, NULL);
			hear(served, 10);
			say(served, 20, &down);
			pause();
		}
		called = lab_connect(AF_INET);
		say(called, 10, &up);
		hear(called, 20);
		kill(pid, SIGKILL);
		MUST(waitpid(pid, &status, 0) == pid);
		MUST(recv(called, &status, 1, 0) == 0);
		close(called);
	}
}

static void prefork(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .before = listen_early, .act = workers });
	lab_no_drops(&lab);
	assert_int_equal(lab.n, 8);
	for (u32 i = 0; i < 4; i++) {
		const struct seen *s = conn(&lab, HP_ROLE_SERVER, i);

		bytes_are(s, 10, 20);
		assert_int_equal(s->open.origin, HP_ORIGIN_ACCEPT);
		assert_int_equal(s->closes, 1);
		s = conn(&lab, HP_ROLE_CLIENT, i);
		bytes_are(s, 20, 10);
		assert_int_equal(s->eof, 1);
		assert_int_equal(s->closes, 1);
	}
	assert_int_equal(lab.ntargets, 5);
	assert_int_equal(lab.procs[HP_PROC_EXIT], 5);
	lab_free(&lab);
}

/* Children are nobody's business when nobody asked for them. */
static void prefork_alone(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	lab_run(&lab,
		&(struct lab_opts){ .before = listen_early, .act = workers, .no_children = true });
	assert_int_equal(lab.n, 4);
	assert_int_equal(lab_count(&lab, HP_ROLE_SERVER), 0);
	assert_int_equal(lab.ntargets, 1);
	lab_free(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(with_threads),	   cmocka_unit_test(in_a_network),
		cmocka_unit_test(another_program), cmocka_unit_test(in_flight),
		cmocka_unit_test(prefork),	   cmocka_unit_test(prefork_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
