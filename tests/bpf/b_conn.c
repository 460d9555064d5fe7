/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lives of connections on the running kernel: how each begins, is shared, breaks and ends; which
 * descriptors and processes it goes through.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static int served, called;
static u64 up, down;

/* n bytes from the client's end to the server's, m back. */
static void talk(int client, int server, size_t n, size_t m)
{
	u8 buf[4096];

	lab_fill(buf, n, &up);
	MUST(send(client, buf, n, 0) == (ssize_t)n);
	MUST(recv(server, buf, n, MSG_WAITALL) == (ssize_t)n);
	lab_fill(buf, m, &down);
	MUST(send(server, buf, m, 0) == (ssize_t)m);
	MUST(recv(client, buf, m, MSG_WAITALL) == (ssize_t)m);
}

static void pair_of(int family)
{
	up = down = 0;
	called = lab_pair(family, &served);
}

static void end_pair(void)
{
	close(called);
	close(served);
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
	if (s->closes || s->still) {
		assert_int_equal(s->close_bytes[HP_RECV], in);
		assert_int_equal(s->close_bytes[HP_SEND], out);
	}
}

static void short_lives(int family)
{
	int lfd = lab_listen(family);

	for (u32 i = 0; i < 1000; i++) {
		up = down = 0;
		called = lab_connect(family);
		served = accept4(lfd, NULL, NULL, SOCK_CLOEXEC);
		MUST(served >= 0);
		talk(called, served, 10 + i % 50, 20);
		end_pair();
	}
	close(lfd);
}

static void short_tcp(void)
{
	short_lives(AF_INET);
}

static void short_unix(void)
{
	short_lives(AF_UNIX);
}

/* Descriptor numbers, and the kernel's memory, are reused all the time: no two lives are mixed. */
static void thousand(void **state)
{
	lab_fn *const acts[] = { short_tcp, short_unix };

	(void)state;
	for (size_t a = 0; a < ARRAY_SIZE(acts); a++) {
		struct lab lab = { 0 };

		lab_run(&lab, &(struct lab_opts){ .act = acts[a] });
		lab_no_drops(&lab);
		assert_int_equal(lab.n, 2000);
		for (u32 i = 0; i < 1000; i++) {
			const struct seen *s = conn(&lab, HP_ROLE_SERVER, i);

			bytes_are(s, 10 + i % 50, 20);
			assert_int_equal(s->closes, 1);
			s = conn(&lab, HP_ROLE_CLIENT, i);
			bytes_are(s, 20, 10 + i % 50);
			assert_int_equal(s->closes, 1);
			assert_int_equal(s->open.origin, HP_ORIGIN_CONNECT);
		}
		lab_free(&lab);
	}
}

static void no_streams(void)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int pair[2], packets[2], udp = socket(AF_INET, SOCK_DGRAM, 0), pipes[2];
	socklen_t len = sizeof(in);
	u8 buf[100] = { 0 };

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	MUST(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packets) == 0);
	MUST(pipe(pipes) == 0);
	MUST(bind(udp, (struct sockaddr *)&in, len) == 0);
	MUST(getsockname(udp, (struct sockaddr *)&in, &len) == 0);
	MUST(connect(udp, (struct sockaddr *)&in, len) == 0);
	for (u32 i = 0; i < 50; i++) {
		MUST(write(pair[0], buf, 100) == 100 && read(pair[1], buf, 100) == 100);
		MUST(write(packets[0], buf, 100) == 100 && read(packets[1], buf, 100) == 100);
		MUST(send(udp, buf, 100, 0) == 100 && recv(udp, buf, 100, 0) == 100);
		MUST(write(pipes[1], buf, 100) == 100 && read(pipes[0], buf, 100) == 100);
	}
	close(pair[0]);
	close(udp);
}

static void left_alone(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = no_streams });
	assert_int_equal(lab.n, 0);
	lab_no_drops(&lab);
	lab_free(&lab);
}

static int old_listener;

static void open_early(void)
{
	old_listener = lab_listen(AF_INET);
	called = lab_connect(AF_INET);
	served = accept(old_listener, NULL, NULL);
	talk(called, served, 100, 200); /* nobody sees these */
}

static void go_on(void)
{
	int late;

	up = down = 0;
	talk(called, served, 30, 40);
	up = down = 0;
	late = lab_connect(AF_INET);
	close(served);
	close(called);
	served = accept(old_listener, NULL, NULL);
	talk(late, served, 5, 6);
	close(late);
	close(served);
}

/* Open before attach: found with the right role, positions from there on. */
static void before_attach(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .before = open_early, .act = go_on });
	lab_no_drops(&lab);
	assert_int_equal(lab.n, 4);
	assert_int_equal(conn(&lab, HP_ROLE_SERVER, 0)->open.origin, HP_ORIGIN_SEED);
	assert_int_equal(conn(&lab, HP_ROLE_CLIENT, 0)->open.origin, HP_ORIGIN_SEED);
	bytes_are(conn(&lab, HP_ROLE_SERVER, 0), 30, 40);
	bytes_are(conn(&lab, HP_ROLE_CLIENT, 0), 40, 30);
	assert_int_equal(conn(&lab, HP_ROLE_SERVER, 1)->open.origin, HP_ORIGIN_ACCEPT);
	bytes_are(conn(&lab, HP_ROLE_SERVER, 1), 5, 6);
	for (u32 i = 0; i < lab.n; i++)
		assert_int_equal(lab.conns[i].closes, 1);
	lab_free(&lab);
}

static void open_early_unix(void)
{
	pair_of(AF_UNIX);
	talk(called, served, 100, 200);
}

static void go_on_unix(void)
{
	up = down = 0;
	talk(called, served, 30, 40);
	end_pair();
}

static void before_attach_unix(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .before = open_early_unix, .act = go_on_unix });
	assert_int_equal(lab.n, 2);
	bytes_are(conn(&lab, HP_ROLE_SERVER, 0), 30, 40);
	bytes_are(conn(&lab, HP_ROLE_CLIENT, 0), 40, 30);
	assert_memory_equal(lab.conns[0].open.path, "@hp-lab-", 8);
	lab_free(&lab);
}

static void path_socket(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX, .sun_path = "/tmp/hp-lab-test.sock" };
	int lfd = socket(AF_UNIX, SOCK_STREAM, 0);

	unlink(un.sun_path);
	up = down = 0;
	called = socket(AF_UNIX, SOCK_STREAM, 0);
	MUST(bind(lfd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(lfd, 5) == 0);
	MUST(connect(called, (struct sockaddr *)&un, sizeof(un)) == 0);
	served = accept(lfd, NULL, NULL);
	talk(called, served, 10, 10);
	end_pair();
	close(lfd);
	unlink(un.sun_path);
}

static void unix_path(void **state)
{
	struct lab lab = { 0 };

	(void)state;
	/* Without the entry probes, too. */
	for (int no_unix = 0; no_unix < 2; no_unix++) {
		lab_run(&lab, &(struct lab_opts){ .act = path_socket, .no_unix = no_unix });
		assert_int_equal(lab.n, 2);
		assert_string_equal(conn(&lab, HP_ROLE_CLIENT, 0)->open.path,
				    "/tmp/hp-lab-test.sock");
		assert_string_equal(conn(&lab, HP_ROLE_SERVER, 0)->open.path,
				    "/tmp/hp-lab-test.sock");
		bytes_are(conn(&lab, HP_ROLE_SERVER, 0), 10, 10);
		lab_no_drops(&lab);
		lab_free(&lab);
	}
}

static void wait_for(int fd, short what)
{
	struct pollfd p = { .fd = fd, .events = what };

	MUST(poll(&p, 1, 5000) == 1);
}

/* Connects without waiting, and to nobody, waiting and not, and then to somebody. */
static void connects(void)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int lfd = lab_listen(AF_INET), fd, err = 0;
	socklen_t len = sizeof(err);
	u16 open_port = lab_port(), dead_port;

	close(lab_listen(AF_INET)); /* a port that was free a moment ago */
	dead_port = lab_port();
	/* 0: at once, without waiting */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	to.sin_port = htons(open_port);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EINPROGRESS);
	wait_for(fd, POLLOUT);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EISCONN);
	served = accept(lfd, NULL, NULL);
	MUST(fcntl(fd, F_SETFL, 0) == 0);
	up = down = 0;
	talk(fd, served, 10, 10);
	close(fd);
	close(served);
	/* 1: refused; 2: the same descriptor again, with luck */
	fd = socket(AF_INET, SOCK_STREAM, 0);
	to.sin_port = htons(dead_port);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == ECONNREFUSED);
	to.sin_port = htons(open_port);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
	served = accept(lfd, NULL, NULL);
	up = down = 0;
	talk(fd, served, 20, 20);
	close(fd);
	close(served);
	/* 3: refused without waiting */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	to.sin_port = htons(dead_port);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EINPROGRESS);
	wait_for(fd, POLLOUT);
	MUST(getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) == 0 && err == ECONNREFUSED);
	close(fd);
	/* 4: the same, asked by a second connect() */
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == EINPROGRESS);
	wait_for(fd, POLLOUT);
	MUST(connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0 && errno == ECONNREFUSED);
	close(fd);
	close(lfd);
}

static void connecting(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = connects });
	lab_no_drops(&lab);
	assert_int_equal(lab_count(&lab, HP_ROLE_SERVER), 2);
	assert_int_equal(lab_count(&lab, HP_ROLE_CLIENT), 5);
	s = conn(&lab, HP_ROLE_CLIENT, 0);
	bytes_are(s, 10, 10);
	assert_true(s->established || s->open.established_ns);
	assert_int_equal(s->failed, 0);
	for (u32 i = 1; i < 5; i++) {
		s = conn(&lab, HP_ROLE_CLIENT, i);
		assert_int_equal(s->closes, 1);
		/* Who could not be reached is told in every case. */
		assert_memory_equal(s->open.peer_addr, "\x7f\0\0\1", 4);
		assert_int_not_equal(s->open.peer_port, 0);
		if (i == 2) {
			bytes_are(s, 20, 20);
			continue;
		}
		assert_int_equal(s->failed, 1);
		assert_int_equal(s->err, ECONNREFUSED);
		assert_int_equal(s->open.peer_port, conn(&lab, HP_ROLE_CLIENT, 1)->open.peer_port);
	}
	lab_free(&lab);
}

static void nothing_on(int sig)
{
	(void)sig;
}

static void alarm_in(long usec, int flags)
{
	struct sigaction sa = { .sa_handler = nothing_on, .sa_flags = flags };

	MUST(sigaction(SIGALRM, &sa, NULL) == 0);
	ualarm(usec, 0);
}

/* The accept queue is full, so the handshake waits for its second SYN; a signal comes first. */
static void interrupted(void)
{
	int lfd = socket(AF_INET, SOCK_STREAM, 0), fill[2], fd;
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(to);
	u8 buf[8];

	MUST(bind(lfd, (struct sockaddr *)&to, len) == 0 && listen(lfd, 0) == 0);
	MUST(getsockname(lfd, (struct sockaddr *)&to, &len) == 0);
	fill[0] = socket(AF_INET, SOCK_STREAM, 0);
	MUST(connect(fill[0], (struct sockaddr *)&to, len) == 0);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	alarm_in(100000, 0);
	MUST(connect(fd, (struct sockaddr *)&to, len) < 0 && errno == EINTR);
	close(accept(lfd, NULL, NULL));
	wait_for(fd, POLLOUT);
	served = accept(lfd, NULL, NULL);
	up = down = 0;
	talk(fd, served, 10, 10);
	/* A receive that a signal ends, and one that goes on after it. */
	alarm_in(50000, 0);
	MUST(recv(fd, buf, 8, 0) < 0 && errno == EINTR);
	alarm_in(50000, SA_RESTART);
	if (!fork()) {
		usleep(150000);
		lab_fill(buf, 8, &down);
		MUST(send(served, buf, 8, 0) == 8);
		_exit(0);
	}
	MUST(recv(fd, buf, 8, 0) == 8);
	close(fd);
	close(served);
}

static void signals(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = interrupted });
	s = conn(&lab, HP_ROLE_CLIENT, 1);
	assert_int_equal(s->open.origin, HP_ORIGIN_CONNECT);
	assert_int_equal(s->failed, 0);
	assert_int_equal(s->errors, 0);
	assert_int_equal(s->established, 1);
	bytes_are(s, 18, 10);
	s = conn(&lab, HP_ROLE_SERVER, 1);
	bytes_are(s, 10, 18); /* eight of them by the child of the child */
	lab_no_drops(&lab);
	lab_free(&lab);
}

static void half_closed(void)
{
	u8 buf[64];

	pair_of(AF_INET);
	talk(called, served, 10, 10);
	MUST(shutdown(called, SHUT_WR) == 0);
	MUST(recv(served, buf, sizeof(buf), 0) == 0);
	MUST(recv(served, buf, sizeof(buf), 0) == 0);
	lab_fill(buf, 64, &down);
	MUST(send(served, buf, 64, 0) == 64);
	MUST(recv(called, buf, 64, MSG_WAITALL) == 64);
	/* Both halves shut, the descriptor still there, bytes still to be read. */
	lab_fill(buf, 30, &down);
	MUST(send(served, buf, 30, 0) == 30);
	MUST(shutdown(served, SHUT_RDWR) == 0);
	wait_for(called, POLLRDHUP | POLLHUP | POLLIN);
	usleep(10000);
	MUST(recv(called, buf, 64, 0) == 30);
	MUST(recv(called, buf, 64, 0) == 0);
	end_pair();
}

static void half_close(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = half_closed });
	assert_int_equal(lab.n, 2);
	s = conn(&lab, HP_ROLE_CLIENT, 0);
	bytes_are(s, 104, 10);
	assert_int_equal(s->shut, 1);
	assert_int_equal(s->eof, 1);
	assert_int_equal(s->closes, 1);
	s = conn(&lab, HP_ROLE_SERVER, 0);
	bytes_are(s, 10, 104);
	assert_int_equal(s->eof, 1);
	assert_int_equal(s->shut, 1);
	assert_int_equal(s->closes, 1);
	assert_int_equal(s->errors, 0);
	lab_no_drops(&lab);
	lab_free(&lab);
}

static void reset(int fd)
{
	struct linger now = { .l_onoff = 1 };

	MUST(setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now)) == 0);
	MUST(close(fd) == 0);
}

static void resets(void)
{
	u8 buf[64];

	/* 0: the next receive learns of it, a send after that fails, too */
	pair_of(AF_INET);
	talk(called, served, 10, 10);
	reset(served);
	wait_for(called, POLLIN);
	MUST(recv(called, buf, 64, 0) < 0 && errno == ECONNRESET);
	MUST(send(called, buf, 64, 0) < 0 && errno == EPIPE);
	close(called);
	/* 1: only the close */
	pair_of(AF_INET);
	talk(called, served, 10, 10);
	reset(served);
	wait_for(called, POLLIN);
	close(called);
	/* 2: closed with bytes unread, which resets the peer as well */
	pair_of(AF_INET);
	talk(called, served, 10, 10);
	lab_fill(buf, 5, &up);
	MUST(send(called, buf, 5, 0) == 5);
	wait_for(served, POLLIN);
	close(served);
	wait_for(called, POLLIN);
	MUST(recv(called, buf, 64, 0) < 0 && errno == ECONNRESET);
	close(called);
}

static void resetting(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = resets });
	assert_int_equal(lab.n, 6);
	for (u32 i = 0; i < 3; i++) {
		s = conn(&lab, HP_ROLE_CLIENT, i);
		bytes_are(s, 10, i == 2 ? 15 : 10);
		if (s->errors != 1)
			fail_msg("connection %u: %u errors", i, s->errors);
		assert_int_equal(s->err, ECONNRESET);
		assert_int_equal(s->eof, 0);
		assert_int_equal(s->closes, 1);
		s = conn(&lab, HP_ROLE_SERVER, i);
		bytes_are(s, 10, 10);
		assert_int_equal(s->errors, 0);
		assert_int_equal(s->closes, 1);
	}
	lab_no_drops(&lab);
	lab_free(&lab);
}

static void send_fd(int over, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 }, c = 'x';
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	struct cmsghdr *cm = CMSG_FIRSTHDR(&msg);

	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(cm), &fd, sizeof(fd));
	MUST(sendmsg(over, &msg, 0) == 1);
}

static int recv_fd(int over)
{
	char control[CMSG_SPACE(sizeof(int))], c;
	struct iovec iov = { &c, 1 };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control,
			      .msg_controllen = sizeof(control) };
	int fd;

	MUST(recvmsg(over, &msg, 0) == 1 && CMSG_FIRSTHDR(&msg));
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	return fd;
}

/* One connection through copies of its descriptor: dup, dup2, a child, a message. */
static int shared_family;

static void shared(void)
{
	int copy, over[2], passed, status;

	pair_of(shared_family);
	talk(called, served, 10, 10);
	copy = dup(called);
	close(called);
	talk(copy, served, 10, 10);
	MUST(dup2(copy, called) == called);
	close(copy);
	talk(called, served, 10, 10);
	fflush(NULL);
	if (!fork()) {
		talk(called, served, 10, 10);
		_exit(0);
	}
	MUST(wait(&status) > 0 && status == 0);
	up += 10;
	down += 10;
	talk(called, served, 10, 10);
	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, over) == 0);
	send_fd(over[0], called);
	close(called);
	passed = recv_fd(over[1]);
	talk(passed, served, 10, 10);
	close(passed);
	close(served);
}

static void sharing(void **state)
{
	const int families[] = { AF_INET, AF_UNIX };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(families); i++) {
		struct lab lab = { 0 };

		shared_family = families[i];
		lab_run(&lab, &(struct lab_opts){ .act = shared });
		assert_int_equal(lab.n, 2);
		for (u32 k = 0; k < 2; k++) {
			bytes_are(&lab.conns[k], 60, 60);
			assert_int_equal(lab.conns[k].closes, 1);
		}
		assert_int_equal(lab.ntargets, 2);
		assert_int_equal(lab.procs[HP_PROC_FORK], 1);
		/* The child's, and that of the target itself. */
		assert_int_equal(lab.procs[HP_PROC_EXIT], 2);
		lab_no_drops(&lab);
		lab_free(&lab);
	}
}

/* A connection that another process opened and handed over. */
static void handed_over(void)
{
	int over[2], status;

	MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, over) == 0);
	lab_listen(AF_INET);
	fflush(NULL);
	if (!fork()) {
		send_fd(over[0], lab_connect(AF_INET));
		_exit(0);
	}
	called = recv_fd(over[1]);
	MUST(wait(&status) > 0 && status == 0);
	up = down = 0;
	served = -1;
	lab_fill(&status, 4, &up);
	MUST(send(called, &status, 4, 0) == 4);
	close(called);
}

static void handing_over(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = handed_over, .no_children = true });
	s = conn(&lab, HP_ROLE_CLIENT, 0);
	assert_int_equal(s->open.origin, HP_ORIGIN_LAZY);
	bytes_are(s, 0, 4);
	assert_int_equal(s->closes, 1);
	lab_free(&lab);
}

/* A new connection in a descriptor, and in kernel memory, that had another one a moment before. */
static void taken_over(void)
{
	int lfd = lab_listen(AF_UNIX), other, status;

	for (u32 i = 0; i < 20; i++) {
		up = down = 0;
		called = lab_connect(AF_UNIX);
		served = accept(lfd, NULL, NULL);
		talk(called, served, 10 + i, 5);
		if (i % 2) { /* ends with nobody calling close() */
			up = down = 0;
			other = lab_connect(AF_UNIX);
			MUST(dup2(other, called) == called);
			close(other);
			close(served);
			served = accept(lfd, NULL, NULL);
			talk(called, served, 3, 2);
		}
		end_pair();
		fflush(NULL);
		if (!fork()) { /* so does this one */
			up = down = 0;
			called = lab_connect(AF_UNIX);
			served = accept(lfd, NULL, NULL);
			talk(called, served, 7, 7);
			_exit(0);
		}
		MUST(wait(&status) > 0 && status == 0);
	}
}

static void taking_over(void **state)
{
	struct lab lab = { 0 };
	u64 in = 0, out = 0, closed = 0;

	(void)state;
	lab_run(&lab, &(struct lab_opts){ .act = taken_over });
	lab_no_drops(&lab);
	/* Those that dup2() took are noticed when their memory is used again, or not. */
	for (u32 i = 0; i < lab.n; i++)
		closed += lab.conns[i].closes;
	assert_in_range(closed, lab.n - 10, lab.n);
	assert_int_equal(lab_count(&lab, HP_ROLE_SERVER), 20 + 10 + 20);
	assert_int_equal(lab_count(&lab, HP_ROLE_CLIENT), 20 + 10 + 20);
	for (u32 i = 0; i < 50; i++) {
		in += conn(&lab, HP_ROLE_SERVER, i)->moved[HP_RECV];
		out += conn(&lab, HP_ROLE_SERVER, i)->moved[HP_SEND];
	}
	assert_int_equal(in, 20 * 10 + 190 + 10 * 3 + 20 * 7);
	assert_int_equal(out, 20 * 5 + 10 * 2 + 20 * 7);
	lab_free(&lab);
}

/* More verdicts than the table has rows, all for connections that have gone: still room. */
static void late_verdicts(void **state)
{
	const struct probes_opts opts = { .net = true };
	const struct hp_verdict v = { .capture = HP_CAPTURE_COUNT };
	struct probes_error err;
	struct probes *p;

	(void)state;
	assert_int_equal(probes_open(&p, &opts, &err), 0);
	for (u64 id = 1; id <= 40000; id++)
		assert_int_equal(probes_verdict(p, id << 6, &v), 0);
	probes_free(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(thousand),	 cmocka_unit_test(left_alone),
		cmocka_unit_test(before_attach), cmocka_unit_test(before_attach_unix),
		cmocka_unit_test(unix_path),	 cmocka_unit_test(connecting),
		cmocka_unit_test(signals),	 cmocka_unit_test(half_close),
		cmocka_unit_test(resetting),	 cmocka_unit_test(sharing),
		cmocka_unit_test(handing_over),	 cmocka_unit_test(taking_over),
		cmocka_unit_test(late_verdicts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
