/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections end: by their last descriptor, by TCP, half by half, by a reset that somebody or
 * nobody notices; and which failing calls are no end at all.
 */
#include "events.h"

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

/* A process that ends closes what nobody else holds, and no close() is seen. */
static void closed_by_exit(void **state)
{
	int only, copied, tcp;

	(void)state;
	begin();
	only = unix_client("/run/a");
	copied = unix_client("/run/b");
	tcp = tcp_pair();
	send_bytes(only, 10);
	send_bytes(copied, 10);
	send_bytes(tcp, 10);
	mach_dup(copied); /* in another process, say */
	mach_end(3);
	assert_int_equal(count(EV_CONN_CLOSE), 0);
	mach_share_files(2);
	mach_end(0);
	assert_int_equal(count(EV_CONN_CLOSE), 0);
	mach_target(MACH_TGID, 0);
	mach_share_files(1);
	mach_end(0);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	assert_int_equal(((struct ev_conn_close *)nth(EV_CONN_CLOSE, 0))->conn_id,
			 ((struct ev_data *)nth(EV_DATA, 0))->conn_id);
	assert_int_equal(mach_socks(), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closed_once_by_the_last), cmocka_unit_test(closed_by_tcp),
		cmocka_unit_test(shut_but_open),	   cmocka_unit_test(reset_with_unread),
		cmocka_unit_test(reset_unnoticed),	   cmocka_unit_test(end_of_file_then_error),
		cmocka_unit_test(closed_by_exit),	   cmocka_unit_test(harmless_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
