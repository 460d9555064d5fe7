/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How connections are found, named and told apart: at their first transfer, by accept() and
 * connect() in every outcome, by the walk over open descriptors, in memory of one that ended.
 */
#include "events.h"

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

/* TCP Fast Open: the request comes with the SYN, and is read and answered before the handshake is over. */
static void accepted_early(void **state)
{
	const struct ev_data *first, *second;
	int lfd, fd;

	(void)state;
	begin();
	lfd = mach_socket(AF_INET, CLOSED);
	mach_addr(lfd, 8080, 0);
	mach_tcp_state(lfd, CLOSED, LISTEN);
	fd = mach_socket(AF_INET, SYN_RECV);
	mach_addr(fd, 8080, 50000);
	mach_call(NR_ACCEPT4, fd, lfd, 0, 0, 0);
	recv_bytes(fd, 10);
	mach_tcp_state(fd, SYN_RECV, ESTABLISHED);
	recv_bytes(fd, 20);
	first = nth(EV_DATA, 0);
	second = nth(EV_DATA, 1);
	assert_int_equal(first->conn_id, second->conn_id);
	assert_int_equal(second->pos, 10);
	assert_int_equal(mach_records(), 3);
	assert_int_equal(mach_socks(), 1);
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

/* Whose work a send is: of the thread, or of who queued its bytes. */
static void tokens(void **state)
{
	int fd;

	(void)state;
	begin();
	fd = tcp_pair();
	mach_seed();
	mach_records_clear();
	mach_token(5);
	recv_bytes(fd, 10);
	send_bytes(fd, 10);
	mach_state(fd)->token = 7;
	send_bytes(fd, 10);
	send_bytes(fd, 10);
	mach_token(0);
	send_bytes(fd, 10);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->token, 0);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 1))->token, 5);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->token, 7);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 3))->token, 5);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 4))->token, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lazy),
		cmocka_unit_test(left_alone),
		cmocka_unit_test(others_are_not_seen),
		cmocka_unit_test(accepted),
		cmocka_unit_test(accepted_early),
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
		cmocka_unit_test(same_memory),
		cmocka_unit_test(deaf_memory),
		cmocka_unit_test(same_descriptor),
		cmocka_unit_test(open_dropped),
		cmocka_unit_test(not_yet),
		cmocka_unit_test(tokens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
