/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket table: how connections are found, named, told apart and ended. Each test is one way in
 * which descriptors, sockets and system calls have been mixed up before.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/types.h"
#include "machine.h"

enum tcp_state {
	ESTABLISHED = 1,
	SYN_SENT = 2,
	SYN_RECV = 3,
	FIN_WAIT1 = 4,
	CLOSED = 7,
	LISTEN = 10
};
#define O_NONBLOCK_BIT 04000
#define RESTARTSYS 512

static const struct hp_verdict by_default = {
	.capture = HP_CAPTURE_DEFAULT,
	.turn_max = { HP_HEAD_MAX, HP_HEAD_MAX },
	.more_max = { HP_HEAD_MAX, HP_HEAD_MAX },
	.iov_max = { 1024, 1024 },
};

static u8 page[4096];

static void begin(void)
{
	mach_reset(0);
	mach_profile(0, &by_default);
	mach_user(page, sizeof(page));
}

static u32 count(u16 kind)
{
	u32 i, n = 0;

	for (i = 0; i < mach_records(); i++)
		n += mach_record(i)->kind == kind;
	return n;
}

/* The nth record of that kind, from 0. */
static void *nth(u16 kind, u32 n)
{
	u32 i;

	for (i = 0; i < mach_records(); i++)
		if (mach_record(i)->kind == kind && !n--)
			return mach_record(i);
	fail_msg("no such record");
	return NULL;
}

static void send_bytes(int fd, u32 n)
{
	mach_call(NR_WRITE, n, fd, (u64)page, n, 0);
}

static void recv_bytes(int fd, u32 n)
{
	mach_arrive(fd, n);
	mach_taken(fd, n);
	mach_call(NR_READ, n, fd, (u64)page, sizeof(page), 0);
}

static int tcp_pair(void)
{
	int fd = mach_socket(AF_INET, ESTABLISHED);

	mach_addr(fd, 40000, 5432);
	return fd;
}

static int unix_client(const char *name)
{
	int fd = mach_socket(AF_UNIX, ESTABLISHED), peer = mach_socket(AF_UNIX, ESTABLISHED);

	mach_bind_name(peer, name, strlen(name) + 1);
	mach_peer(fd, peer);
	return fd;
}

static void state_is(u32 n, u8 what, s32 err)
{
	const struct ev_conn_state *ev = nth(EV_CONN_STATE, n);

	assert_int_equal(ev->what, what);
	assert_int_equal(ev->err, err);
}

/* Found at the first transfer: open, then the bytes from position 0 on. */
static void lazy(void **state)
{
	int fd;
	const struct ev_conn_open *open;
	const struct ev_data *data;

	(void)state;
	begin();
	fd = tcp_pair();
	recv_bytes(fd, 10);
	send_bytes(fd, 20);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	open = nth(EV_CONN_OPEN, 0);
	assert_int_equal(open->origin, HP_ORIGIN_LAZY);
	assert_int_equal(open->role, HP_ROLE_CLIENT);
	assert_int_equal(open->local_port, 40000);
	assert_int_equal(open->peer_port, 5432);
	assert_int_equal(open->hdr.tgid, MACH_TGID);
	assert_int_equal(open->hdr.tid, MACH_TID);
	assert_true(open->inode > 0);
	assert_int_equal(count(EV_DATA), 2);
	data = nth(EV_DATA, 1);
	assert_int_equal(data->pos, 0);
	assert_int_equal(data->len, 20);
	assert_int_equal(data->dir, HP_SEND);
}

static void left_alone(void **state)
{
	int pair[2], dgram, file;

	(void)state;
	begin();
	pair[0] = mach_socket(AF_UNIX, ESTABLISHED);
	pair[1] = mach_socket(AF_UNIX, ESTABLISHED);
	mach_peer(pair[0], pair[1]);
	dgram = mach_dgram();
	file = mach_file();
	mach_seed();
	send_bytes(pair[0], 10);
	recv_bytes(pair[1], 10);
	send_bytes(dgram, 10);
	mach_call(NR_CONNECT, 0, dgram, (u64)page, 16, 0);
	send_bytes(file, 10);
	mach_call(NR_READ, 10, 90, (u64)page, 10, 0); /* a descriptor that is none */
	mach_call(NR_CLOSE, 0, pair[0], 0, 0, 0);
	mach_call(NR_CLOSE, 0, dgram, 0, 0, 0);
	mach_call(NR_CLOSE, 0, file, 0, 0, 0);
	assert_int_equal(mach_records(), 0);
	assert_int_equal(mach_socks(), 1); /* the other end of the pair */
}

static void others_are_not_seen(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	mach_task(999, 999);
	recv_bytes(fd, 10);
	mach_call(NR_CONNECT, 0, fd, (u64)page, 16, 0);
	mach_call(NR_CLOSE, 0, fd, 0, 0, 0);
	assert_int_equal(mach_records(), 0);
	assert_int_equal(mach_socks(), 0);
}

static void tcp_close(int fd, u8 state)
{
	mach_release(fd);
	mach_shut(fd, 3);
	mach_tcp_state(fd, ESTABLISHED, state);
}

/* A listener that opens after attach gives its connections their role and their handshake time. */
static void accepted(void **state)
{
	int lfd, fd;
	const struct ev_conn_open *open;
	u64 before;

	(void)state;
	begin();
	lfd = mach_socket(AF_INET6, CLOSED);
	mach_addr(lfd, 8080, 0);
	mach_tcp_state(lfd, CLOSED, LISTEN);
	fd = mach_socket(AF_INET6, SYN_RECV);
	mach_addr(fd, 8080, 50000);
	before = mach_clock();
	mach_tcp_state(fd, SYN_RECV, ESTABLISHED);
	mach_arrive(fd, 5);
	assert_int_equal(mach_records(), 0);
	mach_sleep(1000000);
	mach_call(NR_ACCEPT4, fd, lfd, 0, 0, 0);
	open = nth(EV_CONN_OPEN, 0);
	assert_int_equal(open->role, HP_ROLE_SERVER);
	assert_int_equal(open->origin, HP_ORIGIN_ACCEPT);
	assert_int_equal(open->family, AF_INET6);
	assert_true(open->established_ns > before && open->established_ns < before + 1000);
	assert_int_equal(open->local_addr[15], 1);
	assert_int_equal(open->peer_addr[15], 2);
	mach_taken(fd, 5);
	mach_call(NR_RECVFROM, 5, fd, (u64)page, 100, 0);
	/* What came before accept() arrived when it came. */
	assert_true(((struct ev_data *)nth(EV_DATA, 0))->wire_ns < before + 2000);
}

static void never_accepted(void **state)
{
	int lfd, fd;

	(void)state;
	begin();
	lfd = mach_socket(AF_INET, CLOSED);
	mach_addr(lfd, 8080, 0);
	mach_tcp_state(lfd, CLOSED, LISTEN);
	fd = mach_socket(AF_INET, SYN_RECV);
	mach_addr(fd, 8080, 50000);
	mach_tcp_state(fd, SYN_RECV, ESTABLISHED);
	assert_int_equal(mach_socks(), 1);
	mach_release(fd);
	mach_tcp_state(fd, ESTABLISHED, CLOSED);
	assert_int_equal(mach_socks(), 0);
	assert_int_equal(mach_records(), 0);
}

static void seeded(void **state)
{
	int served, called, named, lfd;
	const struct ev_conn_open *open;

	(void)state;
	begin();
	served = mach_socket(AF_INET, ESTABLISHED);
	mach_addr(served, 8080, 50000);
	called = tcp_pair();
	named = unix_client("/run/db.sock");
	lfd = mach_socket(AF_INET, LISTEN); /* after the connections: two passes */
	mach_addr(lfd, 8080, 0);
	mach_seed();
	assert_int_equal(count(EV_CONN_OPEN), 4);
	open = nth(EV_CONN_OPEN, 0);
	assert_int_equal(open->role, HP_ROLE_SERVER);
	assert_int_equal(open->origin, HP_ORIGIN_SEED);
	open = nth(EV_CONN_OPEN, 1);
	assert_int_equal(open->role, HP_ROLE_CLIENT);
	open = nth(EV_CONN_OPEN, 2);
	assert_int_equal(open->role, HP_ROLE_CLIENT);
	assert_string_equal(open->path, "/run/db.sock");
	open = nth(EV_CONN_OPEN, 3); /* its other end, in the same process */
	assert_int_equal(open->role, HP_ROLE_SERVER);
	mach_seed();
	recv_bytes(served, 3);
	send_bytes(called, 3);
	send_bytes(named, 3);
	assert_int_equal(count(EV_CONN_OPEN), 4);
}

static void unix_names(void **state)
{
	char longest[HP_PATH_MAX];
	int fd;

	(void)state;
	begin();
	fd = mach_socket(AF_UNIX, ESTABLISHED);
	mach_bind_name(fd, "\0hidden", 7);
	recv_bytes(fd, 1);
	assert_memory_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->path, "@hidden\0", 8);
	memset(longest, 'p', sizeof(longest));
	fd = mach_socket(AF_UNIX, ESTABLISHED);
	mach_bind_name(fd, longest, sizeof(longest));
	recv_bytes(fd, 1);
	assert_memory_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 1))->path, longest,
			    sizeof(longest));
}

static void netns_of_listener(void **state)
{
	int here, there;

	(void)state;
	begin();
	here = mach_socket(AF_INET, LISTEN);
	mach_addr(here, 8080, 0);
	mach_netns(here, 7);
	mach_seed();
	there = mach_socket(AF_INET, ESTABLISHED);
	mach_addr(there, 8080, 1);
	mach_netns(there, 8);
	recv_bytes(there, 1);
	/* Port 8080 of another network is nobody's listener. */
	assert_int_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->role, HP_ROLE_CLIENT);
	assert_int_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->netns, 8);
}

static void connected(void **state)
{
	int fd;
	const struct ev_conn_open *open;

	(void)state;
	begin();
	fd = mach_socket(AF_INET, CLOSED);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_addr(fd, 40000, 5432);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_sleep(500000);
	mach_tcp_state(fd, SYN_SENT, ESTABLISHED);
	mach_exit(NR_CONNECT, 0, fd, (u64)page, 16, 0);
	assert_int_equal(mach_records(), 1);
	open = nth(EV_CONN_OPEN, 0);
	assert_int_equal(open->origin, HP_ORIGIN_CONNECT);
	assert_int_equal(open->role, HP_ROLE_CLIENT);
	assert_true(open->established_ns >= open->hdr.ts_ns + 500000);
	/* Asking again changes nothing. */
	mach_call(NR_CONNECT, -EISCONN, fd, (u64)page, 16, 0);
	assert_int_equal(mach_records(), 1);
}

static void connected_later(void **state)
{
	const int ways[] = { -EINPROGRESS, -EINTR, -RESTARTSYS };
	int fd;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(ways); i++) {
		begin();
		fd = mach_socket(AF_INET, CLOSED);
		mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
		mach_addr(fd, 40000, 5432);
		mach_tcp_state(fd, CLOSED, SYN_SENT);
		mach_exit(NR_CONNECT, ways[i], fd, (u64)page, 16, 0);
		mach_call(NR_CONNECT, -EALREADY, fd, (u64)page, 16, 0);
		mach_tcp_state(fd, SYN_SENT, ESTABLISHED);
		mach_call(NR_CONNECT, 0, fd, (u64)page, 16, 0);
		send_bytes(fd, 4);
		assert_int_equal(count(EV_CONN_OPEN), 1);
		assert_int_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->origin,
				 HP_ORIGIN_CONNECT);
		assert_int_equal(count(EV_CONN_STATE), 1);
		state_is(0, HP_CONN_ESTABLISHED, 0);
		assert_int_equal(count(EV_DATA), 1);
	}
}

static void refused_and_again(void **state)
{
	int fd;
	u64 first;

	(void)state;
	begin();
	fd = mach_socket(AF_INET, CLOSED);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_addr(fd, 40000, 5432);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_tcp_state(fd, SYN_SENT, CLOSED);
	mach_exit(NR_CONNECT, -ECONNREFUSED, fd, (u64)page, 16, 0);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	state_is(0, HP_CONN_FAILED, ECONNREFUSED);
	first = ((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->conn_id;
	assert_int_equal(mach_socks(), 0);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_tcp_state(fd, SYN_SENT, ESTABLISHED);
	mach_exit(NR_CONNECT, 0, fd, (u64)page, 16, 0);
	assert_int_equal(count(EV_CONN_OPEN), 2);
	assert_int_not_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 1))->conn_id, first);
}

static void refused_later(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = mach_socket(AF_INET, CLOSED);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_addr(fd, 40000, 5432);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_exit(NR_CONNECT, -EINPROGRESS, fd, (u64)page, 16, 0);
	mach_connecting(fd);
	mach_sk_err(fd, ECONNREFUSED);
	mach_tcp_state(fd, SYN_SENT, CLOSED);
	state_is(0, HP_CONN_FAILED, ECONNREFUSED);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	/* How did it go? That is no new attempt. */
	mach_call(NR_CONNECT, -ECONNREFUSED, fd, (u64)page, 16, 0);
	mach_destroy(fd);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
}

/* Refused before connect() says that it is under way: loopback is that fast. */
static void refused_at_once(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = mach_socket(AF_INET, CLOSED);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_addr(fd, 40000, 5432);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_sk_err(fd, ECONNREFUSED);
	mach_tcp_state(fd, SYN_SENT, CLOSED);
	mach_addr(fd, 0, 0);
	mach_exit(NR_CONNECT, -EINPROGRESS, fd, (u64)page, 16, 0);
	assert_int_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->peer_port, 5432);
	state_is(0, HP_CONN_FAILED, ECONNREFUSED);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_equal(mach_socks(), 0);
}

/* Closed while the handshake was waited for: nobody refused anything. */
static void given_up(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = mach_socket(AF_INET, CLOSED);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_addr(fd, 40000, 5432);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_exit(NR_CONNECT, -EINPROGRESS, fd, (u64)page, 16, 0);
	mach_release(fd);
	mach_tcp_state(fd, SYN_SENT, CLOSED);
	assert_int_equal(count(EV_CONN_STATE), 0);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
}

/* connect(AF_UNSPEC) ends a connection and leaves the socket: the next one is another connection. */
static void dissolved(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 10);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_tcp_state(fd, ESTABLISHED, CLOSED);
	mach_exit(NR_CONNECT, 0, fd, (u64)page, 16, 0);
	mach_enter(NR_CONNECT, fd, (u64)page, 16, 0);
	mach_tcp_state(fd, CLOSED, SYN_SENT);
	mach_tcp_state(fd, SYN_SENT, ESTABLISHED);
	mach_exit(NR_CONNECT, 0, fd, (u64)page, 16, 0);
	send_bytes(fd, 10);
	assert_int_equal(count(EV_CONN_OPEN), 2);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->pos, 0);
}

static void closed_once_by_the_last(void **state)
{
	int fd, copy;
	const struct ev_conn_close *close;

	(void)state;
	begin();
	fd = unix_client("/run/a");
	send_bytes(fd, 10);
	copy = mach_dup(fd);
	mach_call(NR_CLOSE, 0, fd, 0, 0, 0);
	assert_int_equal(count(EV_CONN_CLOSE), 0);
	send_bytes(copy, 5);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	mach_call(NR_CLOSE, 0, copy, 0, 0, 0);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	close = nth(EV_CONN_CLOSE, 0);
	assert_int_equal(close->bytes[HP_SEND], 15);
	assert_int_equal(close->bytes[HP_RECV], 0);
	assert_int_equal(mach_socks(), 0);
}

static void closed_by_tcp(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 10);
	tcp_close(fd, FIN_WAIT1);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	mach_tcp_state(fd, FIN_WAIT1, CLOSED);
	mach_destroy(fd);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_equal(mach_socks(), 0);
}

/* shutdown() of both ends leaves a descriptor, and what had come can be read. */
static void shut_but_open(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 10);
	mach_shut(fd, 3);
	mach_tcp_state(fd, ESTABLISHED, FIN_WAIT1);
	mach_call(NR_SHUTDOWN, 0, fd, 2, 0, 0);
	state_is(0, HP_CONN_SHUT_WR, 0);
	recv_bytes(fd, 4);
	mach_tcp_state(fd, FIN_WAIT1, CLOSED);
	assert_int_equal(count(EV_CONN_CLOSE), 0);
	mach_call(NR_READ, 0, fd, (u64)page, 10, 0);
	mach_release(fd);
	mach_destroy(fd);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_equal(count(EV_DATA), 2);
	assert_int_equal(((struct ev_conn_close *)nth(EV_CONN_CLOSE, 0))->bytes[HP_RECV], 4);
}

/* The peer's reset closes for TCP; the process reads on, then learns of it. */
static void reset_with_unread(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 10);
	mach_sk_err(fd, ECONNRESET);
	mach_tcp_state(fd, ESTABLISHED, CLOSED);
	recv_bytes(fd, 7);
	mach_call(NR_READ, -ECONNRESET, fd, (u64)page, 10, 0);
	mach_sk_err(fd, 0);
	mach_call(NR_WRITE, -EPIPE, fd, (u64)page, 10, 0);
	mach_release(fd);
	mach_destroy(fd);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	assert_int_equal(count(EV_CONN_STATE), 1);
	state_is(0, HP_CONN_ERROR, ECONNRESET);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_equal(((struct ev_conn_close *)nth(EV_CONN_CLOSE, 0))->bytes[HP_RECV], 7);
}

/* Closed without another call: nobody but the socket itself knows that it was reset. */
static void reset_unnoticed(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 10);
	mach_sk_err(fd, ECONNRESET);
	mach_tcp_state(fd, ESTABLISHED, CLOSED);
	mach_release(fd);
	mach_destroy(fd);
	state_is(0, HP_CONN_ERROR, ECONNRESET);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
}

static void end_of_file_then_error(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	recv_bytes(fd, 10);
	mach_call(NR_READ, 0, fd, (u64)page, 10, 0);
	mach_call(NR_READ, 0, fd, (u64)page, 10, 0);
	mach_call(NR_SENDTO, -ECONNRESET, fd, (u64)page, 10, 0);
	mach_call(NR_SENDTO, -EPIPE, fd, (u64)page, 10, 0);
	assert_int_equal(count(EV_CONN_STATE), 2);
	state_is(0, HP_CONN_EOF, 0);
	state_is(1, HP_CONN_ERROR, ECONNRESET);
}

/* Calls that fail without the connection being any worse for it. */
static void harmless_errors(void **state)
{
	const long errs[] = { EAGAIN, EINTR,   RESTARTSYS, 514,	     EFAULT,	EMSGSIZE,
			      ENOMEM, ENOBUFS, EINVAL,	   ENOTCONN, EOPNOTSUPP };
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	recv_bytes(fd, 10);
	for (size_t i = 0; i < ARRAY_SIZE(errs); i++) {
		mach_call(NR_READ, -errs[i], fd, (u64)page, 10, 0);
		mach_call(NR_WRITE, -errs[i], fd, (u64)page, 10, 0);
	}
	mach_call(NR_READ, 0, fd, (u64)page, 0, 0); /* no room asked for */
	mach_call(NR_WRITE, 0, fd, (u64)page, 0, 0);
	assert_int_equal(count(EV_CONN_STATE), 0);
}

/* The next socket gets the memory of one that ended with nobody noticing. */
static void same_memory(void **state)
{
	int fd, next;

	(void)state;
	begin();
	fd = unix_client("/run/a");
	send_bytes(fd, 10);
	next = mach_reuse(fd);
	mach_bind_name(next, "/run/b", 7);
	recv_bytes(next, 4);
	assert_int_equal(count(EV_CONN_OPEN), 2);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_string_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 1))->path, "/run/b");
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->pos, 0);
	/* The same by connect() and by accept(). */
	next = mach_reuse(next);
	mach_call(NR_CONNECT, 0, next, (u64)page, 16, 0);
	assert_int_equal(count(EV_CONN_OPEN), 3);
	assert_int_equal(count(EV_CONN_CLOSE), 2);
	next = mach_reuse(next);
	mach_call(NR_ACCEPT, next, 0, 0, 0, 0);
	assert_int_equal(count(EV_CONN_OPEN), 4);
	assert_int_equal(count(EV_CONN_CLOSE), 3);
	assert_int_equal(mach_socks(), 1);
}

/* A deaf pair's memory must not make the next connection deaf. */
static void deaf_memory(void **state)
{
	int fd, peer;

	(void)state;
	begin();
	fd = mach_socket(AF_UNIX, ESTABLISHED);
	peer = mach_socket(AF_UNIX, ESTABLISHED);
	mach_peer(fd, peer);
	send_bytes(fd, 10);
	assert_int_equal(mach_records(), 0);
	fd = mach_reuse(fd);
	mach_call(NR_CONNECT, 0, fd, (u64)page, 16, 0);
	send_bytes(fd, 10);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	assert_int_equal(count(EV_DATA), 1);
	assert_int_equal(count(EV_CONN_CLOSE), 0);
}

/* The descriptor number of a closed connection is another one's at once. */
static void same_descriptor(void **state)
{
	int fd, next;

	(void)state;
	begin();
	fd = unix_client("/run/a");
	send_bytes(fd, 10);
	mach_call(NR_CLOSE, 0, fd, 0, 0, 0);
	next = mach_socket(AF_UNIX, ESTABLISHED);
	mach_bind_name(next, "/run/b", 7);
	assert_int_equal(next, fd);
	send_bytes(next, 3);
	assert_int_equal(count(EV_CONN_OPEN), 2);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_not_equal(((struct ev_data *)nth(EV_DATA, 0))->conn_id,
			     ((struct ev_data *)nth(EV_DATA, 1))->conn_id);
}

/* No room for CONN_OPEN: nothing goes out that could not be understood, and it is made up for. */
static void open_dropped(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	mach_ring_room(sizeof(struct ev_conn_open) - 8);
	recv_bytes(fd, 10);
	assert_int_equal(mach_records(), 0);
	assert_int_equal(mach_drops(DROP_RING_FULL), 1);
	mach_ring_room(1 << 20);
	recv_bytes(fd, 5);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	assert_int_equal(count(EV_DATA), 1);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->pos, 10);
}

/* Receives that move nothing out of the stream. */
static void peeks(void **state)
{
	const u32 flags[] = { 2 /* MSG_PEEK */, 0x2000 /* MSG_ERRQUEUE */ };
	struct mach_iov iov = { page, 10 };
	struct mach_msg msg = { .iov = &iov, .niov = 1 };
	struct mach_mmsg mmsg = { .hdr = msg, .len = 10 };
	int fd;

	(void)state;
	begin();
	mach_user(&iov, sizeof(iov));
	mach_user(&msg, sizeof(msg));
	mach_user(&mmsg, sizeof(mmsg));
	fd = tcp_pair();
	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		mach_call(NR_RECVFROM, 10, fd, (u64)page, 10, flags[i]);
		mach_call(NR_RECVMSG, 10, fd, (u64)&msg, flags[i], 0);
		mach_call(NR_RECVMMSG, 1, fd, (u64)&mmsg, 1, flags[i]);
	}
	mach_call(NR_RECVMSG, 0, fd, (u64)&msg, 0x2000, 0); /* a send's time stamp */
	assert_int_equal(count(EV_DATA) + count(EV_CONT) + count(EV_CONN_STATE), 0);
	recv_bytes(fd, 10);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->pos, 0);
}

/* MSG_TRUNC throws the bytes away: the buffer holds something else. */
static void truncs(void **state)
{
	struct mach_iov iov = { page, 10 };
	struct mach_msg msg = { .iov = &iov, .niov = 1 };
	int fd;

	(void)state;
	begin();
	mach_user(&iov, sizeof(iov));
	mach_user(&msg, sizeof(msg));
	fd = tcp_pair();
	mach_call(NR_RECVFROM, 10, fd, (u64)page, 10, 0x20);
	mach_call(NR_RECVMSG, 10, fd, (u64)&msg, 0x20, 0);
	recv_bytes(fd, 3);
	assert_int_equal(count(EV_DATA), 3);
	for (u32 i = 0; i < 2; i++) {
		const struct ev_data *ev = nth(EV_DATA, i);

		assert_int_equal(ev->nsegs, 0);
		assert_int_equal(ev->len, 10);
		assert_int_equal(ev->flags & HP_DATA_OPAQUE, HP_DATA_OPAQUE);
	}
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->pos, 20);
}

static void moved_inside(void **state)
{
	int sock, pipe, file;

	(void)state;
	begin();
	sock = tcp_pair();
	pipe = mach_file();
	file = mach_file();
	mach_call(NR_SPLICE, 100, sock, 0, pipe, 0);
	mach_call(NR_SPLICE, 200, pipe, 0, sock, 0);
	mach_call(NR_SENDFILE, 300, sock, file, 0, 300);
	mach_call(NR_SENDFILE, 400, file, pipe, 0, 400);
	mach_call(NR_SPLICE, 500, pipe, 0, file, 0);
	assert_int_equal(count(EV_DATA), 3);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->dir, HP_RECV);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->len, 100);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->dir, HP_SEND);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->pos, 200);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->flags & HP_DATA_OPAQUE,
			 HP_DATA_OPAQUE);
}

/* Each message of sendmmsg is a transfer; of recvmmsg, too, and an empty one is the end. */
static void many_messages(void **state)
{
	struct mach_iov iov[3] = { { page, 10 }, { page, 20 }, { page, 30 } };
	struct mach_mmsg m[3];
	int fd;

	(void)state;
	begin();
	for (u32 i = 0; i < 3; i++)
		m[i] = (struct mach_mmsg){ .hdr = { .iov = &iov[i], .niov = 1 },
					   .len = iov[i].len };
	mach_user(iov, sizeof(iov));
	mach_user(m, sizeof(m));
	fd = tcp_pair();
	mach_call(NR_SENDMMSG, 3, fd, (u64)m, 3, 0);
	assert_int_equal(count(EV_DATA), 3);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->pos, 30);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->len, 30);
	m[1].len = 0;
	mach_call(NR_RECVMMSG, 2, fd, (u64)m, 3, 0);
	assert_int_equal(count(EV_DATA), 4);
	state_is(0, HP_CONN_EOF, 0);
}

/* The clock of what is left after a partial read. */
static void arrivals(void **state)
{
	u64 first, second;
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 1);
	first = mach_clock();
	mach_arrive(fd, 10);
	mach_sleep(1000000);
	mach_taken(fd, 4);
	mach_call(NR_READ, 4, fd, (u64)page, 4, 0);
	mach_sleep(1000000);
	second = mach_clock();
	mach_arrive(fd, 10);
	mach_taken(fd, 6);
	mach_call(NR_READ, 6, fd, (u64)page, 6, 0);
	mach_taken(fd, 10);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	assert_true(((struct ev_data *)nth(EV_DATA, 1))->wire_ns - first < 1000);
	assert_true(((struct ev_data *)nth(EV_DATA, 2))->wire_ns - first < 1000);
	assert_true(((struct ev_data *)nth(EV_DATA, 3))->wire_ns - second < 1000);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 4))->wire_ns, 0);
}

/* Read on another processor before the kernel says that it came: no stamp for the next transfer. */
static void arrival_told_late(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 1);
	mach_taken(fd, 10);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	mach_arrive(fd, 10);
	mach_sleep(1000000);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->wire_ns, 0);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->wire_ns, 0);
}

static void arrivals_unix(void **state)
{
	u64 first;
	int fd;

	(void)state;
	begin();
	fd = unix_client("/run/a");
	send_bytes(fd, 1);
	first = mach_clock();
	mach_queue(fd, 1);
	mach_arrive(fd, 10);
	mach_sleep(1000000);
	mach_call(NR_READ, 4, fd, (u64)page, 4, 0);
	mach_queue(fd, 0);
	mach_call(NR_READ, 6, fd, (u64)page, 6, 0);
	mach_call(NR_READ, 6, fd, (u64)page, 6, 0);
	assert_true(((struct ev_data *)nth(EV_DATA, 1))->wire_ns - first < 1000);
	assert_true(((struct ev_data *)nth(EV_DATA, 2))->wire_ns - first < 1000);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 3))->wire_ns, 0);
}

/* A verdict holds from the next transfer on, for its connection only. */
static void verdicts(void **state)
{
	static const struct hp_verdict count_only = { .capture = HP_CAPTURE_COUNT };
	int a, b;
	u64 a_id;

	(void)state;
	begin();
	mach_profile(1, &count_only);
	a = tcp_pair();
	b = tcp_pair();
	send_bytes(a, 10);
	send_bytes(b, 10);
	a_id = ((struct ev_data *)nth(EV_DATA, 0))->conn_id;
	mach_verdict(a_id, 1);
	send_bytes(a, 100);
	send_bytes(b, 100);
	mach_verdict(12345, 1); /* of a connection that has gone */
	send_bytes(a, 100);
	send_bytes(b, 100);
	assert_int_equal(count(EV_DATA), 4);
	tcp_close(a, FIN_WAIT1);
	assert_int_equal(((struct ev_conn_close *)nth(EV_CONN_CLOSE, 0))->bytes[HP_SEND], 210);
}

/* Entry times belong to their own call. */
static void entries(void **state)
{
	const struct ev_data *ev;
	u64 before;
	int fd;

	(void)state;
	begin();
	fd = unix_client("/run/a");
	mach_exit(NR_WRITE, 10, fd, (u64)page, 10, 0); /* under way when the probes came */
	ev = nth(EV_DATA, 0);
	assert_int_equal(ev->enter_ns, 0);
	before = mach_clock();
	mach_enter(NR_SENDTO, fd, (u64)page, 10, 0);
	mach_sleep(5000);
	mach_exit(NR_SENDTO, 10, fd, (u64)page, 10, 0);
	ev = nth(EV_DATA, 1);
	assert_true(ev->enter_ns > before && ev->enter_ns < before + 1000);
	assert_int_equal(ev->flags, 0);
	mach_exit(NR_WRITE, 10, fd, (u64)page, 10, 0);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->enter_ns, 0);
	mach_flags(fd, O_NONBLOCK_BIT);
	send_bytes(fd, 10);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 3))->flags, HP_DATA_NONBLOCK);
}

static void children(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	mach_fork(200);
	assert_int_equal(count(EV_PROC), 1);
	mach_task(200, 200);
	send_bytes(fd, 10);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->hdr.tgid, 200);
	mach_task(200, 201);
	mach_end(1); /* one thread of it */
	send_bytes(fd, 10);
	assert_int_equal(count(EV_DATA), 2);
	mach_end(0);
	send_bytes(fd, 10);
	assert_int_equal(count(EV_DATA), 2);
	mach_task(300, 300);
	mach_fork(301); /* no target's child */
	assert_int_equal(count(EV_PROC), 2);
}

/* While only some probes are there nothing is told: what the others see would be missing. */
static void not_yet(void **state)
{
	int fd;

	(void)state;
	begin();
	mach_live(0);
	fd = tcp_pair();
	mach_seed();
	send_bytes(fd, 10);
	recv_bytes(fd, 10);
	assert_int_equal(mach_records(), 1);
	mach_live(1);
	send_bytes(fd, 10);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->pos, 0);
}

/* Without the helpers of newer kernels the same records come. */
static void old_kernel(void **state)
{
	struct mach_iov iov[3] = { { page, 10 }, { page, 20 }, { page, 30 } };
	int fd;

	(void)state;
	mach_reset(1);
	mach_profile(0, &by_default);
	mach_user(page, sizeof(page));
	mach_user(iov, sizeof(iov));
	fd = unix_client("/run/a");
	send_bytes(fd, 10);
	mach_call(NR_WRITEV, 60, fd, (u64)iov, 3, 0);
	mach_call(NR_CLOSE, 0, fd, 0, 0, 0);
	assert_int_equal(count(EV_DATA), 2);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->nsegs, 1);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->len, 60);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lazy),
		cmocka_unit_test(left_alone),
		cmocka_unit_test(others_are_not_seen),
		cmocka_unit_test(accepted),
		cmocka_unit_test(never_accepted),
		cmocka_unit_test(seeded),
		cmocka_unit_test(unix_names),
		cmocka_unit_test(netns_of_listener),
		cmocka_unit_test(connected),
		cmocka_unit_test(connected_later),
		cmocka_unit_test(refused_and_again),
		cmocka_unit_test(refused_later),
		cmocka_unit_test(refused_at_once),
		cmocka_unit_test(given_up),
		cmocka_unit_test(dissolved),
		cmocka_unit_test(closed_once_by_the_last),
		cmocka_unit_test(closed_by_tcp),
		cmocka_unit_test(shut_but_open),
		cmocka_unit_test(reset_with_unread),
		cmocka_unit_test(reset_unnoticed),
		cmocka_unit_test(end_of_file_then_error),
		cmocka_unit_test(harmless_errors),
		cmocka_unit_test(same_memory),
		cmocka_unit_test(deaf_memory),
		cmocka_unit_test(same_descriptor),
		cmocka_unit_test(open_dropped),
		cmocka_unit_test(peeks),
		cmocka_unit_test(truncs),
		cmocka_unit_test(moved_inside),
		cmocka_unit_test(many_messages),
		cmocka_unit_test(arrivals),
		cmocka_unit_test(arrival_told_late),
		cmocka_unit_test(arrivals_unix),
		cmocka_unit_test(verdicts),
		cmocka_unit_test(entries),
		cmocka_unit_test(children),
		cmocka_unit_test(not_yet),
		cmocka_unit_test(old_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
