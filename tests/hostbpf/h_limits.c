/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame walker where something runs out or goes wrong: runs in a record, room in it, steps,
 * alignment on garbage, many buffers or unreadable ones in the middle of a walk.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "link.h"

static struct link l;
static struct way *w;

/* PostgreSQL's layout: rows are skipped, of the rest body bytes are carried. */
static void start(u32 body, u32 whole, int old)
{
	struct hp_verdict v = { .capture = HP_CAPTURE_BYTES };
	struct hp_frames *f = &v.frames[HP_RECV];

	for (u32 i = 0; i < 2; i++)
		v.turn_max[i] = v.more_max[i] = v.iov_max[i] = HP_PAYLOAD_MAX;
	f->on = 1;
	f->len_off = 1;
	f->len_size = 4;
	f->hdr_len = 1;
	f->whole_max = whole;
	f->body_max = body;
	f->head_only_max = body;
	f->end_len = 6;
	memcpy(f->end, "Z\0\0\0\5", 5);
	memset(f->end_mask, 255, 5);
	f->skip['D' >> 5] |= 1u << ('D' & 31);
	mach_reset(old);
	mach_profile(0, &v);
	link_open(&l, 1);
	w = &l.way[HP_RECV];
}

static void put(char type, u32 body)
{
	u8 head[5] = { type };
	u32 len = body + 4;

	for (u32 i = 0; i < 4; i++)
		head[1 + i] = len >> 8 * (3 - i);
	link_add(&l, HP_RECV, head, 5);
	while (body--)
		link_add(&l, HP_RECV, "x", 1);
}

static void go(void)
{
	link_move(&l, HP_RECV, w->n - w->moved, NR_READ, 1);
	link_collect(&l);
}

static void align(void)
{
	put('Z', 1);
	go();
}

/* More runs than a record holds: the last one takes all the rest, so nothing is lost. */
static void runs(void **state)
{
	u64 from;
	u32 i;

	(void)state;
	start(1024, 0, 0);
	align();
	from = w->n;
	for (i = 0; i < 3 * HP_SEGS_MAX; i++) {
		put('D', 40);
		put('C', 10);
	}
	put('Z', 1);
	go();
	link_end(&l);
	assert_int_equal(link_frames(w), HP_SEGS_MAX);
	for (i = 0; i < 3 * HP_SEGS_MAX; i++)
		assert_true(link_carried(w, from + i * 60 + 45, 15));
	assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
	link_close(&l);
}

/* More carried bytes than a record holds: what does not fit is counted as lost. */
static void room(void **state)
{
	u32 i, missing = 0;

	(void)state;
	start(HP_PAYLOAD_MAX, 0, 0);
	align();
	for (i = 0; i < 40; i++)
		put('C', 5000);
	put('Z', 1);
	go();
	link_end(&l);
	for (i = 0; i < 40; i++)
		missing += !link_carried(w, 6 + i * 5005, 5005);
	assert_in_range(missing, 20, 22);
	assert_in_range(mach_drops(DROP_SEGMENTS), missing, missing + 2);
	/* Alignment holds all the same. */
	put('D', 10);
	put('C', 10);
	go();
	link_end(&l);
	assert_true(link_carried(w, w->n - 15, 15));
	link_close(&l);
}

/* As many small rows as a driver reads at once. */
static void rows(void **state)
{
	u32 i;

	(void)state;
	start(1024, 2048, 0);
	align();
	for (i = 0; i < 60000; i++)
		put('D', 2);
	put('C', 12);
	put('Z', 1);
	go();
	link_end(&l);
	assert_int_equal(link_frames(w), 60000);
	assert_true(link_carried(w, w->n - 23, 23));
	assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
	link_close(&l);
}

/* Past the last step the rest is a hole: counted, and aligned again by the next end. */
static void steps(void **state)
{
	u32 i;

	(void)state;
	start(1024, 0, 0);
	align();
	for (i = 0; i < 70000; i++)
		put('D', 0);
	put('Z', 1);
	go();
	assert_int_equal(mach_drops(DROP_SEGMENTS), 1);
	put('C', 5);
	put('Z', 1);
	go();
	put('D', 5);
	put('C', 5);
	go();
	link_end(&l);
	assert_int_equal(w->holes[w->nholes - 1].frames, 1);
	assert_true(link_carried(w, w->n - 10, 10));
	link_close(&l);
}

/* What is no frame is carried as if nobody had looked; the next end aligns again. */
static void garbage(void **state)
{
	static const char text[] = "HTTP/1.1 200 OK\r\nthis is not what it was taken for\r\n\r\n";
	u64 from;

	(void)state;
	start(16, 0, 0);
	align();
	put('D', 50);
	put('C', 30);
	go();
	from = w->n;
	put('D', 100);
	link_add(&l, HP_RECV, text, sizeof(text));
	go();
	assert_true(link_carried(w, from, w->n - from));
	from = w->n;
	put('D', 100);
	put('C', 30);
	go(); /* not aligned: whole */
	assert_true(link_carried(w, from, w->n - from));
	put('D', 100);
	put('Z', 1);
	go(); /* ends a turn */
	from = w->n;
	put('D', 100);
	put('C', 30);
	go();
	link_end(&l);
	assert_false(link_carried(w, from, 1));
	assert_true(link_carried(w, from + 105, 16));
	assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
	link_close(&l);
}

/* Garbage behind a kept header start: the kept bytes are not lost. */
static void garbage_joined(void **state)
{
	u64 from;

	(void)state;
	for (u32 cut = 1; cut < 5; cut++) {
		start(16, 0, 0);
		align();
		from = w->n;
		link_add(&l, HP_RECV, "C\xff\xff\xff\xff rest of it", 16);
		link_move(&l, HP_RECV, cut, NR_READ, 1);
		go();
		link_end(&l);
		assert_true(link_carried(w, from, 16));
		link_close(&l);
	}
}

/* Buffers in pieces are carried, not walked: a kept header start comes with them. */
static void pieces(void **state)
{
	u64 from;

	(void)state;
	for (u32 cut = 1; cut < 5; cut++) {
		start(16, 0, 0);
		align();
		put('D', 20);
		from = w->n;
		put('C', 20);
		link_move(&l, HP_RECV, 25 + cut, NR_READ, 1);
		link_move(&l, HP_RECV, 10, NR_READV, 3);
		link_collect(&l);
		assert_true(link_carried(w, from, cut + 10));
		go();
		assert_true(link_carried(w, from, 25));
		put('Z', 1);
		link_move(&l, HP_RECV, 6, NR_READV, 1);
		put('D', 20);
		put('Z', 1);
		go();
		link_end(&l);
		assert_false(link_carried(w, w->n - 20, 1));
		link_close(&l);
	}
}

/* Inside one long row pieces change nothing; the end pattern in the last piece aligns. */
static void pieces_in_a_row(void **state)
{
	(void)state;
	start(16, 0, 0);
	align();
	put('D', 1000);
	link_move(&l, HP_RECV, 500, NR_READ, 1);
	link_move(&l, HP_RECV, 300, NR_RECVMSG, 4);
	put('C', 5);
	go();
	assert_true(link_carried(w, w->n - 10, 10));
	assert_false(link_carried(w, w->n - 11, 1)); /* still known to be the row */
	assert_int_equal(link_frames(w), 1);
	put('D', 30);
	put('Z', 1);
	link_move(&l, HP_RECV, 34, NR_READ, 1);
	link_move(&l, HP_RECV, 7, NR_READV, 1);
	put('D', 30);
	go();
	link_end(&l);
	assert_int_equal(w->holes[w->nholes - 1].frames, 1);
	link_close(&l);
}

/* Bytes that nobody could read: alignment is not made up. */
static void unseen(void **state)
{
	u64 from;

	(void)state;
	start(16, 0, 0);
	align();
	put('C', 100);
	w->moved = w->n;
	mach_call(NR_RECVFROM, 105, l.fd, 64, 105, 0x20); /* MSG_TRUNC */
	link_collect(&l);
	from = w->n;
	put('D', 100);
	go();
	link_end(&l);
	assert_true(link_carried(w, from, 105)); /* not known to be a row */
	assert_int_equal(link_frames(w), 0);
	link_close(&l);
}

/* No slot for the transfer in which a frame was to go on: the next one is not walked by guess. */
static void unseen_for_lack_of_a_slot(void **state)
{
	u64 from;

	(void)state;
	start(16, 0, 0);
	l.lossy = true;
	align();
	put('D', 100);
	link_move(&l, HP_RECV, 3, NR_READ, 1); /* into a header */
	mach_scratch(1);
	link_move(&l, HP_RECV, 60, NR_READ, 1);
	mach_scratch(0);
	from = w->moved;
	go();
	put('Z', 1);
	go();
	put('D', 10);
	go();
	link_end(&l);
	assert_true(link_carried(w, from, 42));
	assert_int_equal(w->holes[w->nholes - 1].frames, 1);
	link_close(&l);
}

/*
 * A message sent in two calls, the first of them short enough to be carried without a look: what
 * comes first in the second one is text, and text is no header.
 */
static void text_for_a_header(void **state)
{
	struct hp_verdict v = { .capture = HP_CAPTURE_BYTES };
	struct way *out;
	u8 digits[8000];

	(void)state;
	memset(digits, '1', sizeof(digits));
	start(16, 0, 0);
	v.turn_max[HP_SEND] = v.more_max[HP_SEND] = HP_PAYLOAD_MAX;
	v.frames[HP_SEND] = (struct hp_frames){ .on = 1,
						.len_off = 1,
						.len_size = 4,
						.hdr_len = 1,
						.whole_max = 4096,
						.body_max = 16 };
	mach_profile(0, &v);
	out = &l.way[HP_SEND];
	link_add(&l, HP_SEND, "Q\0\0\x1f\x44", 5);
	link_add(&l, HP_SEND, digits, sizeof(digits));
	link_move(&l, HP_SEND, 3005, NR_WRITE, 1);
	link_move(&l, HP_SEND, 5000, NR_WRITE, 1);
	link_end(&l);
	assert_true(link_carried(out, 0, 8005));
	link_close(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(runs),
		cmocka_unit_test(room),
		cmocka_unit_test(rows),
		cmocka_unit_test(steps),
		cmocka_unit_test(garbage),
		cmocka_unit_test(garbage_joined),
		cmocka_unit_test(pieces),
		cmocka_unit_test(pieces_in_a_row),
		cmocka_unit_test(unseen),
		cmocka_unit_test(unseen_for_lack_of_a_slot),
		cmocka_unit_test(text_for_a_header),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
