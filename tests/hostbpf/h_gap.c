/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes that moved where no probe looked: io_uring's, say, while system calls are what is watched. TCP
 * counts every byte, so they leave a hole of exactly their size before the next transfer that is seen,
 * and nothing is taken for a hole that is none.
 */
#include "events.h"
#include "link.h"

#define NEAR_WRAP 0xffffff00U

static struct hp_verdict verdict(u32 capture, u32 limit)
{
	return (struct hp_verdict){ .capture = capture,
				    .turn_max = { limit, limit },
				    .more_max = { limit, limit },
				    .iov_max = { 64, 64 } };
}

static void start(struct link *l, u64 seed, u32 limit, int old)
{
	const struct hp_verdict v = verdict(HP_CAPTURE_BYTES, limit);

	mach_reset(old);
	mach_profile(0, &v);
	link_open(l, seed);
	l->lossy = true;
}

static void put(struct link *l, u32 dir, u32 n)
{
	u8 p[4096];
	u32 i;

	assert_true(n <= sizeof(p));
	for (i = 0; i < n; i++)
		p[i] = link_random(l, 256);
	link_add(l, dir, p, n);
}

static void seen(struct link *l, u32 dir, u32 n)
{
	put(l, dir, n);
	link_move(l, dir, n, dir == HP_RECV ? NR_READ : NR_WRITE, 1);
	link_collect(l);
}

static void unseen(struct link *l, u32 dir, u32 n)
{
	put(l, dir, n);
	if (dir == HP_RECV) {
		mach_arrive(l->fd, n);
		mach_taken(l->fd, n);
	} else {
		mach_written(l->fd, n);
	}
	l->way[dir].moved += n;
}

static void hole_is(const struct way *w, u32 n, u64 pos, u64 len)
{
	assert_true(n < w->nholes);
	assert_int_equal(w->holes[n].pos, pos);
	assert_int_equal(w->holes[n].len, len);
}

static void end(struct link *l)
{
	u32 dir;

	link_end(l);
	for (dir = 0; dir < 2; dir++)
		assert_int_equal(mach_state(l->fd)->pos[dir], l->way[dir].moved);
	link_close(l);
}

static void both_ways(void **state)
{
	struct link l;
	u32 dir, old;

	(void)state;
	for (old = 0; old < 2; old++)
		for (dir = 0; dir < 2; dir++) {
			struct way *w = &l.way[dir];

			start(&l, 1, 4096, old);
			seen(&l, dir, 10);
			unseen(&l, dir, 50);
			seen(&l, !dir, 5); /* the other direction has no hole of it */
			unseen(&l, dir, 1);
			assert_int_equal(mach_drops(DROP_UNSEEN), 0);
			seen(&l, dir, 20);
			assert_int_equal(mach_drops(DROP_UNSEEN), 1);
			seen(&l, dir, 30); /* told once */
			assert_int_equal(mach_drops(DROP_UNSEEN), 1);
			assert_int_equal(w->nholes, 1);
			hole_is(w, 0, 10, 51);
			assert_true(link_carried(w, 0, 10));
			assert_true(link_carried(w, 61, 50));
			assert_int_equal(l.way[!dir].nholes, 0);
			end(&l);
		}
}

/* A run that is held back ends where the hole begins. */
static void held_back(void **state)
{
	struct link l;
	u32 dir;

	(void)state;
	for (dir = 0; dir < 2; dir++) {
		struct way *w = &l.way[dir];

		start(&l, 2, 0, 0);
		seen(&l, dir, 100);
		seen(&l, dir, 100);
		unseen(&l, dir, 7);
		seen(&l, dir, 100);
		link_collect(&l);
		mach_flush(l.fd);
		link_collect(&l);
		assert_int_equal(w->conts, 2);
		assert_int_equal(w->calls, 3);
		assert_int_equal(w->seen, 307);
		assert_false(link_carried(w, 200, 1));
		assert_true(link_carried(w, 200 - HP_TAIL_MAX, HP_TAIL_MAX));
		end(&l);
	}
}

/* Only counted: the bytes of the connection are all of them. */
static void counted(void **state)
{
	const struct hp_verdict v = verdict(HP_CAPTURE_COUNT, 0);
	struct link l;

	(void)state;
	start(&l, 3, 0, 0);
	mach_profile(0, &v);
	seen(&l, HP_SEND, 10);
	unseen(&l, HP_SEND, 20);
	unseen(&l, HP_RECV, 3);
	seen(&l, HP_SEND, 30);
	seen(&l, HP_RECV, 40);
	assert_int_equal(mach_drops(DROP_UNSEEN), 2);
	end(&l);
}

/* The end of what the peer sends takes a number, too; only there is it no byte. */
static void fin(void **state)
{
	struct link l;
	struct way *w = &l.way[HP_RECV];
	u32 shut;

	(void)state;
	for (shut = 0; shut < 2; shut++) {
		start(&l, 4, 4096, 0);
		seen(&l, HP_RECV, 10);
		if (shut)
			mach_shut(l.fd, 1);
		mach_taken(l.fd, 1);
		if (!shut)
			put(&l, HP_RECV, 1);
		w->moved += !shut;
		seen(&l, HP_RECV, 20);
		assert_int_equal(mach_drops(DROP_UNSEEN), !shut);
		assert_int_equal(w->nholes, !shut);
		if (!shut)
			hole_is(w, 0, 10, 1);
		mach_call(NR_READ, 0, l.fd, (u64)page, 10, 0);
		state_is(0, HP_CONN_EOF, 0);
		end(&l);
	}
}

/* What a connection moved before it was known is no hole in it; unix sockets count nothing. */
static void no_hole(void **state)
{
	const struct ev_data *ev;
	int fd, i;

	(void)state;
	for (i = 0; i < 2; i++) {
		begin();
		fd = i ? unix_client("/run/a") : tcp_pair();
		mach_written(fd, 1000);
		mach_taken(fd, 1000);
		send_bytes(fd, 10); /* known by this very one */
		mach_written(fd, i ? 500 : 10);
		send_bytes(fd, 10);
		recv_bytes(fd, 5);
		if (i)
			mach_taken(fd, 500);
		recv_bytes(fd, 5);
		assert_int_equal(count(EV_DATA), 4);
		ev = nth(EV_DATA, 1);
		assert_int_equal(ev->pos, 10);
		ev = nth(EV_DATA, 3);
		assert_int_equal(ev->pos, 5);
		assert_int_equal(mach_drops(DROP_UNSEEN), 0);
	}
}

/* Many messages in one call, seen or not for want of a slot: the bytes of all of them count. */
static void messages(void **state)
{
	static const u32 lens[] = { 10, 1, 300 };
	struct mach_iov iov[3];
	struct mach_mmsg mmsg[3];
	struct link l;
	u32 i, dir, busy;

	(void)state;
	for (dir = 0; dir < 2; dir++)
		for (busy = 0; busy < 2; busy++) {
			struct way *w = &l.way[dir];
			u32 total = 0;

			start(&l, 5, 4096, 0);
			seen(&l, dir, 7);
			unseen(&l, dir, 4);
			put(&l, dir, 311);
			mach_user(w->bytes, w->n);
			memset(mmsg, 0, sizeof(mmsg));
			for (i = 0; i < 3; i++) {
				iov[i] = (struct mach_iov){ w->bytes + w->moved + total,
							    lens[i] + 5 };
				mmsg[i].hdr.iov = &iov[i];
				mmsg[i].hdr.niov = 1;
				mmsg[i].len = lens[i];
				total += lens[i];
			}
			mach_user(iov, sizeof(iov));
			mach_user(mmsg, sizeof(mmsg));
			if (dir == HP_RECV)
				mach_taken(l.fd, total);
			else
				mach_written(l.fd, total);
			w->moved += total;
			mach_scratch(busy);
			mach_call(dir == HP_RECV ? NR_RECVMMSG : NR_SENDMMSG, 3, l.fd, (u64)mmsg, 3,
				  0);
			mach_scratch(0);
			mach_user_clear();
			link_collect(&l);
			assert_int_equal(mach_drops(DROP_SCRATCH_BUSY), busy);
			seen(&l, dir, 9);
			assert_int_equal(mach_drops(DROP_UNSEEN), 1); /* the four */
			assert_int_equal(w->nholes, 1);
			hole_is(w, 0, 7, busy ? 4 + 311 : 4);
			assert_true(link_carried(w, 4 + 7 + 311, 9));
			assert_int_equal(link_carried(w, 4 + 7, 311), !busy);
			end(&l);
		}
}

/* Anything in any order, over the end of TCP's numbers: holes are what was not seen, to the byte. */
static void random_mix(void **state)
{
	const struct hp_verdict v = verdict(HP_CAPTURE_BYTES, 4096);
	struct link l;
	u32 i, k;

	(void)state;
	for (i = 0; i < 2000; i++) {
		u64 hidden[2] = { 0, 0 }, late[2] = { 0, 0 };
		u32 dir, n, h;

		mach_reset(i & 1);
		mach_profile(0, &v);
		memset(&l, 0, sizeof(l));
		l.seed = (i + 1) * 0x9e3779b97f4a7c15ULL;
		l.fd = mach_socket(AF_INET, ESTABLISHED);
		mach_addr(l.fd, 40000, 5432);
		mach_written(l.fd, NEAR_WRAP);
		mach_arrive(l.fd, NEAR_WRAP);
		mach_taken(l.fd, NEAR_WRAP);
		mach_seed();
		link_collect(&l);
		l.lossy = true;
		for (k = 0; k < 20; k++) {
			dir = link_random(&l, 2);
			n = 1 + link_random(&l, 200);
			if (link_random(&l, 3)) {
				u64 from = l.way[dir].moved;

				seen(&l, dir, n);
				assert_true(link_carried(&l.way[dir], from, n));
				hidden[dir] += late[dir];
				late[dir] = 0;
			} else {
				unseen(&l, dir, n);
				late[dir] += n; /* until something is seen again */
			}
		}
		for (dir = 0; dir < 2; dir++) {
			u64 sum = 0;

			for (h = 0; h < l.way[dir].nholes; h++)
				sum += l.way[dir].holes[h].len;
			assert_int_equal(sum, hidden[dir]);
			assert_int_equal(mach_state(l.fd)->pos[dir] + late[dir], l.way[dir].moved);
		}
		link_close(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(both_ways),  cmocka_unit_test(held_back),
		cmocka_unit_test(counted),    cmocka_unit_test(fin),
		cmocka_unit_test(no_hole),    cmocka_unit_test(messages),
		cmocka_unit_test(random_mix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
