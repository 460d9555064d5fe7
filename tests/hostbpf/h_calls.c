/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which calls move bytes and which only look like it, when the bytes had come, whose calls count.
 */
#include "events.h"

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

/* Stamps of three reads, the second of which leaves what a later arrival brought. */
static void arrivals_read(int fd, const struct ev_data *ret[4], u64 at[2])
{
	u32 n = count(EV_DATA), i;

	at[0] = mach_clock();
	mach_arrive(fd, 10);
	mach_sleep(1000000);
	mach_taken(fd, 4);
	mach_call(NR_READ, 4, fd, (u64)page, 4, 0);
	mach_sleep(1000000);
	at[1] = mach_clock();
	mach_arrive(fd, 10);
	mach_taken(fd, 6);
	mach_call(NR_READ, 6, fd, (u64)page, 6, 0);
	mach_taken(fd, 10);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	for (i = 0; i < 4; i++)
		ret[i] = nth(EV_DATA, n + i);
}

/* The clock of what is left after a partial read: a request's first byte counts, an answer's last. */
static void arrivals(void **state)
{
	const struct ev_data *ev[4];
	u64 at[2];
	int fd, lfd;

	(void)state;
	begin();
	lfd = mach_socket(AF_INET, CLOSED);
	mach_addr(lfd, 40000, 0);
	mach_tcp_state(lfd, CLOSED, LISTEN);
	fd = tcp_pair();
	send_bytes(fd, 1);
	assert_int_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->role, HP_ROLE_SERVER);
	arrivals_read(fd, ev, at);
	assert_true(ev[0]->wire_ns - at[0] < 1000);
	assert_true(ev[1]->wire_ns - at[0] < 1000);
	assert_true(ev[2]->wire_ns - at[1] < 1000);
	assert_int_equal(ev[3]->wire_ns, 0);

	begin();
	fd = tcp_pair();
	send_bytes(fd, 1);
	assert_int_equal(((struct ev_conn_open *)nth(EV_CONN_OPEN, 0))->role, HP_ROLE_CLIENT);
	arrivals_read(fd, ev, at);
	assert_true(ev[0]->wire_ns - at[0] < 1000);
	assert_true(ev[1]->wire_ns - at[1] < 1000);
	assert_true(ev[2]->wire_ns - at[1] < 1000);
	assert_int_equal(ev[3]->wire_ns, 0);
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

/* A read that no probe saw leaves its stamp: the next request does not begin with it. */
static void arrival_read_unseen(void **state)
{
	const struct ev_data *ev;
	int fd, family;
	u64 at;

	(void)state;
	for (family = 0; family < 2; family++) {
		begin();
		fd = family ? unix_client("/run/a") : tcp_pair();
		send_bytes(fd, 1);
		mach_queue(fd, 1);
		mach_arrive(fd, 10);
		mach_queue(fd, 0);
		mach_taken(fd, 10);
		mach_sleep(1000000);
		send_bytes(fd, 1);
		mach_sleep(1000000);
		at = mach_clock();
		mach_queue(fd, 1);
		mach_arrive(fd, 10);
		mach_queue(fd, 0);
		mach_taken(fd, 10);
		mach_sleep(1000000);
		mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
		ev = nth(EV_DATA, 2);
		assert_int_equal(ev->dir, HP_RECV);
		assert_true(ev->wire_ns - at < 1000);
	}
	/* Nothing was sent in between: the stamp may be of either. */
	begin();
	fd = tcp_pair();
	send_bytes(fd, 1);
	mach_arrive(fd, 10);
	mach_taken(fd, 10);
	mach_sleep(1000000);
	mach_arrive(fd, 10);
	mach_taken(fd, 10);
	mach_call(NR_READ, 10, fd, (u64)page, 10, 0);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->wire_ns, 0);
}

/* A head that comes in pieces too short to tell is carried until it can be told. */
static void cut_start(void **state)
{
	static const struct hp_verdict http = { .capture = HP_CAPTURE_BYTES,
						.turn_max = { 4096, 4096 },
						.iov_max = { 4, 4 },
						.start_len = { 7, 7 },
						.start = { "HTTP/1.", "HTTP/1." } };
	int fd;

	(void)state;
	begin();
	mach_profile(0, &http);
	fd = tcp_pair();
	send_bytes(fd, 4);
	send_bytes(fd, 1);
	send_bytes(fd, 400);
	send_bytes(fd, 500);
	assert_int_equal(count(EV_DATA), 3);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->len, 400);
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

/* A process that is no target and holds the same socket; its id has the low bits of a target's. */
static void strangers(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	send_bytes(fd, 10);
	mach_task(MACH_TGID + TARGET_FILTER_SLOTS, 9);
	send_bytes(fd, 20);
	assert_int_equal(count(EV_DATA), 1);
	mach_task(MACH_TGID, MACH_TID);
	send_bytes(fd, 30);
	assert_int_equal(count(EV_DATA), 2);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->len, 30);
}

/* No room in the tables: counted, and what is known already goes on. */
static void full_tables(void **state)
{
	int known, fresh;

	(void)state;
	begin();
	known = unix_client("/run/a");
	mach_exit(NR_WRITE, 10, known, (u64)page, 10, 0);
	mach_full(1);
	send_bytes(known, 10);
	assert_int_equal(mach_drops(DROP_THREAD_TABLE_FULL), 1);
	assert_int_equal(count(EV_DATA), 2);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->pos, 10);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->enter_ns, 0);
	fresh = tcp_pair();
	recv_bytes(fresh, 10);
	assert_int_equal(mach_drops(DROP_SOCK_TABLE_FULL), 1);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	mach_full(0);
	recv_bytes(fresh, 10);
	assert_int_equal(count(EV_CONN_OPEN), 2);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->pos, 0);
	assert_int_equal(mach_socks(), 2);
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

/* Without the helpers of newer kernels the same records come. */
static void old_kernel(void **state)
{
	struct mach_iov iov[3] = { { page, 10 }, { page, 20 }, { page, 30 } };
	int fd;

	(void)state;
	mach_reset(1);
	mach_profile(0, &verdict_default);
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
		cmocka_unit_test(peeks),	 cmocka_unit_test(truncs),
		cmocka_unit_test(moved_inside),	 cmocka_unit_test(many_messages),
		cmocka_unit_test(arrivals),	 cmocka_unit_test(arrival_told_late),
		cmocka_unit_test(arrivals_unix), cmocka_unit_test(arrival_read_unseen),
		cmocka_unit_test(cut_start),	 cmocka_unit_test(verdicts),
		cmocka_unit_test(entries),	 cmocka_unit_test(strangers),
		cmocka_unit_test(full_tables),	 cmocka_unit_test(children),
		cmocka_unit_test(old_kernel),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
