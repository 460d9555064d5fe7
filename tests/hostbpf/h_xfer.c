/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much of a transfer is carried: whole, heads and tail, or only counted, by the connection's
 * verdict; buffers in many pieces, unreadable ones, records at their limits, a full ring.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "link.h"

#define BUDGET (256u * 1024) /* DEFAULT_BUDGET_BYTES in bpf/lib/xfer.bpf.h */

static struct hp_verdict verdict(u32 turn, u32 more, u32 iov)
{
	return (struct hp_verdict){ .capture = HP_CAPTURE_BYTES,
				    .turn_max = { turn, turn },
				    .more_max = { more, more },
				    .iov_max = { iov, iov } };
}

static void start(struct link *l, u64 seed, const struct hp_verdict *v, int old)
{
	mach_reset(old);
	mach_profile(0, v);
	link_open(l, seed);
}

static void put(struct link *l, u32 dir, u32 n)
{
	u8 *p = malloc(n ? n : 1);

	assert_non_null(p);
	for (u32 i = 0; i < n; i++)
		p[i] = link_random(l, 256);
	link_add(l, dir, p, n);
	free(p);
}

static void move(struct link *l, u32 dir, u32 n)
{
	put(l, dir, n);
	link_move(l, dir, n, dir == HP_RECV ? NR_READ : NR_WRITE, 1);
}

static void whole_then_heads(void **state)
{
	const struct hp_verdict v = verdict(4096, 100, 64);
	struct way *w;
	struct link l;

	(void)state;
	start(&l, 1, &v, 0);
	w = &l.way[HP_RECV];
	move(&l, HP_RECV, 4096); /* first of a turn, just fits */
	move(&l, HP_SEND, 10);
	move(&l, HP_RECV, 5000); /* first of a turn, too long */
	move(&l, HP_RECV, 100); /* goes on, fits */
	move(&l, HP_RECV, 101); /* goes on, too long: held back */
	move(&l, HP_RECV, 1000);
	link_collect(&l);
	assert_int_equal(w->datas, 3);
	assert_int_equal(w->conts, 0);
	assert_true(link_carried(w, 0, 4096));
	assert_true(link_carried(w, 4096, 4096));
	assert_false(link_carried(w, 4096 + 4096, 1));
	assert_true(link_carried(w, 9096 - HP_TAIL_MAX, HP_TAIL_MAX));
	assert_true(link_carried(w, 9096, 100));
	move(&l, HP_SEND, 10); /* the direction turns: what is held back stays so */
	move(&l, HP_RECV, 5); /* until the direction carries again */
	link_collect(&l);
	assert_int_equal(w->conts, 1);
	assert_int_equal(w->calls, 2);
	assert_int_equal(w->datas, 4);
	assert_true(link_carried(w, w->n - 5 - HP_TAIL_MAX, HP_TAIL_MAX + 5));
	link_end(&l);
	link_close(&l);
}

/* Held-back runs of both directions come out in the order in which they went. */
static void conts_of_both_ways(void **state)
{
	const struct hp_verdict v = verdict(100, 0, 0);
	struct link l;

	(void)state;
	start(&l, 2, &v, 0);
	for (u32 i = 0; i < 20; i++) {
		move(&l, i & 1, 50);
		move(&l, i & 1, 500);
		move(&l, i & 1, 300);
	}
	link_end(&l);
	assert_int_equal(l.way[0].datas, 10);
	assert_int_equal(l.way[0].conts, 10);
	assert_int_equal(l.way[0].calls, 20);
	assert_int_equal(l.way[1].conts, 10);
	assert_int_equal(l.way[1].n, 8500);
	link_close(&l);
}

/* Nothing is carried at all: a run ends where the direction turns. */
static void counted_turns(void **state)
{
	const struct hp_verdict v = verdict(0, 0, 0);
	struct link l;

	(void)state;
	start(&l, 12, &v, 0);
	for (u32 i = 0; i < 9; i++)
		move(&l, i & 1, 100);
	move(&l, 0, 100);
	link_end(&l);
	assert_int_equal(l.way[0].conts, 5);
	assert_int_equal(l.way[0].calls, 6);
	assert_int_equal(l.way[1].conts, 4);
	link_close(&l);
}

/* What no slot was free for is a hole, and no held-back run hides it. */
static void no_slot(void **state)
{
	const struct hp_verdict v = verdict(100, 0, 0);
	struct link l;
	struct way *w;

	(void)state;
	start(&l, 13, &v, 0);
	w = &l.way[HP_RECV];
	move(&l, HP_RECV, 10);
	move(&l, HP_RECV, 200);
	mach_scratch(1);
	move(&l, HP_RECV, 300);
	mach_scratch(0);
	move(&l, HP_RECV, 400);
	assert_int_equal(mach_drops(DROP_SCRATCH_BUSY), 1);
	l.lossy = true;
	link_end(&l);
	assert_int_equal(w->conts, 2);
	assert_int_equal(w->calls, 2);
	assert_true(link_carried(w, 210 - HP_TAIL_MAX, HP_TAIL_MAX));
	assert_true(link_carried(w, 910 - HP_TAIL_MAX, HP_TAIL_MAX));
	link_close(&l);
}

/* A transfer that begins with a known start counts as the first of a turn. */
static void known_start(void **state)
{
	struct hp_verdict v = verdict(1000, 0, 0);
	struct way *w;
	struct link l;

	(void)state;
	v.start_len[HP_SEND] = 5;
	memcpy(v.start[HP_SEND], "HTTP/", 5);
	start(&l, 3, &v, 0);
	w = &l.way[HP_SEND];
	link_add(&l, HP_SEND, "HTTP/1.1 200 OK", 15);
	link_move(&l, HP_SEND, 15, NR_WRITE, 1);
	link_add(&l, HP_SEND, "HTTP/1.1 204 No", 15);
	link_move(&l, HP_SEND, 15, NR_WRITE, 1);
	link_add(&l, HP_SEND, "HTTP/", 5);
	link_move(&l, HP_SEND, 5, NR_SENDMSG, 1);
	link_add(&l, HP_SEND, "HTTPS", 5);
	link_move(&l, HP_SEND, 5, NR_WRITE, 1);
	link_add(&l, HP_SEND, "HTT", 3);
	link_move(&l, HP_SEND, 3, NR_WRITE, 1);
	link_end(&l);
	/* What follows five bytes of a start is of that head. */
	assert_int_equal(w->datas, 5);
	assert_int_equal(w->conts, 0);
	link_close(&l);
}

/* Without a verdict: whole up to a budget, then heads of turns only. */
static void budget(void **state)
{
	struct hp_verdict v = verdict(HP_HEAD_MAX, HP_HEAD_MAX, 1024);
	struct link l;
	struct way *w;

	(void)state;
	v.capture = HP_CAPTURE_DEFAULT;
	start(&l, 4, &v, 0);
	w = &l.way[HP_RECV];
	while (w->n <= BUDGET)
		move(&l, HP_RECV, 10000);
	link_collect(&l);
	assert_true(link_carried(w, 0, w->n));
	move(&l, HP_RECV, 10000);
	move(&l, HP_RECV, 20);
	link_end(&l);
	assert_false(link_carried(w, w->n - 10000, 1));
	assert_int_equal(w->calls, 2);
	link_close(&l);
}

/* Random verdicts, sizes and pieces: the promised bytes are there. */
static void random_pieces(void **state)
{
	static const long recv[] = { NR_READV, NR_RECVMSG, NR_RECVMMSG },
			  send[] = { NR_WRITEV, NR_SENDMSG, NR_SENDMMSG };
	u32 i, k, n, dir, last, niov, limit;
	struct hp_verdict v;
	struct link l;

	(void)state;
	for (i = 0; i < 3000; i++) {
		mach_reset(0);
		link_open(&l, 100 + i);
		v = verdict(link_random(&l, 6000), link_random(&l, 6000), link_random(&l, 600));
		mach_profile(0, &v);
		last = 2;
		for (k = 0; k < 12; k++) {
			struct way *w;
			u64 from;

			dir = link_random(&l, 2);
			w = &l.way[dir];
			from = w->n;
			n = 1 + link_random(&l, link_random(&l, 4) ? 2000 : 60000);
			niov = link_random(&l, 3) ? 1 : 1 + link_random(&l, 40);
			put(&l, dir, n);
			link_move(&l, dir, n, (dir ? send : recv)[link_random(&l, 3)], niov);
			link_collect(&l);
			limit = dir == last ? v.more_max[dir] : v.turn_max[dir];
			if (n <= limit) {
				assert_true(link_carried(w, from, n));
			} else if (dir != last && limit && niov == 1) {
				assert_true(link_carried(w, from, limit));
				assert_true(link_carried(w, w->n - MIN(n, HP_TAIL_MAX),
							 MIN(n, HP_TAIL_MAX)));
			}
			last = dir;
		}
		link_end(&l);
		assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
		link_close(&l);
	}
}

/* Four entries of 1,500 bytes; of each but the first, `taken` are carried. */
static void four_entries(u32 iov_max, u32 taken)
{
	const struct hp_verdict v = verdict(2000, 0, iov_max);
	struct mach_iov iov[4];
	u8 bytes[6000];
	struct link l;
	struct way *w;
	u32 i;

	start(&l, 5, &v, 0);
	w = &l.way[HP_SEND];
	put(&l, HP_SEND, sizeof(bytes));
	memcpy(bytes, w->bytes, sizeof(bytes));
	for (i = 0; i < 4; i++)
		iov[i] = (struct mach_iov){ bytes + i * 1500, 1500 };
	mach_user(bytes, sizeof(bytes));
	mach_user(iov, sizeof(iov));
	w->moved = w->n;
	mach_call(NR_WRITEV, w->n, l.fd, (u64)iov, 4, 0);
	link_end(&l);
	assert_true(link_carried(w, 0, 1500));
	for (i = 1; i < 4; i++) {
		assert_true(link_carried(w, i * 1500, taken));
		assert_false(link_carried(w, i * 1500 + taken, 1));
	}
	assert_true(link_carried(w, 6000 - HP_TAIL_MAX, HP_TAIL_MAX));
	link_close(&l);
}

/* The start of every entry is carried: heads in the middle of a writev are seen. */
static void heads_of_entries(void **state)
{
	(void)state;
	four_entries(50, 50);
	/* Past the transfer's limit too: a message says at its start what it is and how long. */
	four_entries(2000, HP_TAIL_MAX);
}

/* As many entries as are looked at, and one more: what is missing is counted. */
static void entries_limit(void **state)
{
	const struct hp_verdict v = verdict(HP_PAYLOAD_MAX, 0, 50);
	struct mach_iov iov[HP_IOV_MAX + 1];
	u8 bytes[10 * (HP_IOV_MAX + 1)];
	u32 i, n;

	(void)state;
	for (n = HP_IOV_MAX; n <= HP_IOV_MAX + 1; n++) {
		struct link l;
		struct way *w;

		start(&l, 6, &v, 0);
		w = &l.way[HP_SEND];
		put(&l, HP_SEND, 10 * n);
		memcpy(bytes, w->bytes, w->n);
		for (i = 0; i < n; i++)
			iov[i] = (struct mach_iov){ bytes + i * 10, 10 };
		mach_user(bytes, sizeof(bytes));
		mach_user(iov, sizeof(iov));
		w->moved = w->n;
		mach_call(NR_WRITEV, w->n, l.fd, (u64)iov, n, 0);
		link_end(&l);
		assert_true(link_carried(w, 0, 10 * HP_IOV_MAX));
		assert_int_equal(link_carried(w, 0, w->n), n == HP_IOV_MAX);
		assert_int_equal(mach_drops(DROP_SEGMENTS), n - HP_IOV_MAX);
		link_close(&l);
	}
}

/* Only what was moved counts, not what the entries have room for. */
static void partial(void **state)
{
	const struct hp_verdict v = verdict(1000, 1000, 50);
	struct mach_iov iov[3];
	u8 bytes[300];
	struct link l;
	struct way *w;

	(void)state;
	start(&l, 7, &v, 0);
	w = &l.way[HP_RECV];
	put(&l, HP_RECV, 130);
	memset(bytes, 'x', sizeof(bytes));
	memcpy(bytes, w->bytes, 130);
	for (u32 i = 0; i < 3; i++)
		iov[i] = (struct mach_iov){ bytes + i * 100, 100 };
	mach_user(bytes, sizeof(bytes));
	mach_user(iov, sizeof(iov));
	w->moved = 130;
	mach_call(NR_READV, 130, l.fd, (u64)iov, 3, 0);
	link_end(&l);
	assert_true(link_carried(w, 0, 130));
	link_close(&l);
}

/* Unreadable memory: the positions stay right, the loss is counted and marked. */
static void faults(void **state)
{
	const struct hp_verdict v = verdict(1000, 1000, 50);
	struct mach_iov iov[2] = { { (void *)64, 10 }, { (void *)128, 10 } };
	const struct ev_data *ev;
	struct link l;

	(void)state;
	start(&l, 8, &v, 0);
	l.way[HP_SEND].moved = 10;
	mach_call(NR_WRITE, 10, l.fd, 64, 10, 0);
	ev = (const struct ev_data *)mach_record(0);
	assert_int_equal(ev->flags & HP_DATA_FAULT, HP_DATA_FAULT);
	assert_int_equal(ev->nsegs, 0);
	assert_int_equal(mach_drops(DROP_READ_FAULT), 1);
	l.way[HP_SEND].moved = 30;
	mach_call(NR_WRITEV, 20, l.fd, 4096, 2, 0); /* the iovec itself */
	assert_int_equal(mach_drops(DROP_READ_FAULT), 2);
	mach_user(iov, sizeof(iov));
	l.way[HP_SEND].moved = 50;
	mach_call(NR_WRITEV, 20, l.fd, (u64)iov, 2, 0);
	assert_int_equal(mach_drops(DROP_READ_FAULT), 3);
	l.way[HP_SEND].moved = 60;
	mach_call(NR_SENDMSG, 10, l.fd, 64, 0, 0);
	assert_int_equal(mach_drops(DROP_READ_FAULT), 4);
	link_end(&l);
	assert_int_equal(l.way[HP_SEND].seen, 60);
	link_close(&l);
}

/* No limit that a verdict may name makes a record too large, or loses what does fit. */
static void greedy_verdicts(void **state)
{
	const struct hp_verdict v = verdict(~0u, ~0u, ~0u);
	const u32 sizes[] = { HP_PAYLOAD_MAX - 1, HP_PAYLOAD_MAX, HP_PAYLOAD_MAX + 1, 200000 };
	struct link l;

	(void)state;
	for (u32 i = 0; i < ARRAY_SIZE(sizes); i++)
		for (u32 niov = 1; niov < 40; niov += 19) {
			struct way *w;

			start(&l, 9 + i, &v, 0);
			w = &l.way[HP_SEND];
			put(&l, HP_SEND, sizes[i]);
			link_move(&l, HP_SEND, sizes[i], NR_WRITEV, niov);
			link_end(&l);
			if (sizes[i] <= HP_PAYLOAD_MAX)
				assert_true(link_carried(w, 0, sizes[i]));
			else if (niov == 1)
				assert_true(link_carried(w, 0, HP_PAYLOAD_MAX));
			link_close(&l);
		}
}

/* A full ring loses records; every byte is still at its place, and each loss is counted. */
static void full_ring(void **state)
{
	const struct hp_verdict v = verdict(1000, 100, 50);
	struct link l;
	u32 i, k;

	(void)state;
	for (i = 0; i < 300; i++) {
		start(&l, 1000 + i, &v, 0);
		l.lossy = true;
		for (k = 0; k < 40; k++) {
			mach_ring_room(link_random(&l, 3) ? 1 << 20 : link_random(&l, 600));
			move(&l, link_random(&l, 2), 1 + link_random(&l, 400));
			link_collect(&l);
		}
		mach_ring_room(1 << 20);
		link_end(&l);
		for (k = 0; k < 2; k++)
			if (l.way[k].seen < l.way[k].moved)
				assert_true(mach_drops(DROP_RING_FULL) > 0);
		assert_int_equal(mach_state(l.fd)->pos[0], l.way[0].moved);
		assert_int_equal(mach_state(l.fd)->pos[1], l.way[1].moved);
		link_close(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_then_heads), cmocka_unit_test(conts_of_both_ways),
		cmocka_unit_test(counted_turns),    cmocka_unit_test(no_slot),
		cmocka_unit_test(known_start),	    cmocka_unit_test(budget),
		cmocka_unit_test(random_pieces),    cmocka_unit_test(heads_of_entries),
		cmocka_unit_test(entries_limit),    cmocka_unit_test(partial),
		cmocka_unit_test(faults),	    cmocka_unit_test(greedy_verdicts),
		cmocka_unit_test(full_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
