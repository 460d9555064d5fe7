/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The frame walker against a reference: random conversations in five layouts of length-prefixed
 * frames, cut at random borders. Of every frame that is neither skipped nor head-only the promised
 * start arrives; every skipped one is counted exactly once, in the hole that it lies in.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "link.h"

#define FRAMES_MAX 4096
#define STREAMS 24000

struct layout {
	struct hp_frames f;
	u32 head; /* bytes before the body: header, and the type where that comes after it */
	u32 max; /* bytes of the largest frame */
	u8 end_type;
};

/* type first, big-endian length that counts itself: PostgreSQL */
/* three bytes little-endian, number, then the type as first byte of the body: MySQL */
/* four bytes little-endian, type behind them */
/* two bytes big-endian that count the type */
/* type, one byte */
static const struct layout layouts[] = {
	{ { .on = 1,
	    .type_off = 0,
	    .len_off = 1,
	    .len_size = 4,
	    .hdr_len = 1,
	    .end_len = 6,
	    .end = { 'Z', 0, 0, 0, 5 },
	    .end_mask = { 255, 255, 255, 255, 255 } },
	  5,
	  200000,
	  'Z' },
	{ { .on = 1,
	    .type_off = 4,
	    .len_off = 0,
	    .len_size = 3,
	    .little_endian = 1,
	    .hdr_len = 4,
	    .end_len = 5,
	    .end = { 1, 0, 0, 0, 'Z' },
	    .end_mask = { 255, 255, 255, 0, 255 } },
	  5,
	  200000,
	  'Z' },
	{ { .on = 1,
	    .type_off = 4,
	    .len_off = 0,
	    .len_size = 4,
	    .little_endian = 1,
	    .hdr_len = 4,
	    .end_len = 5,
	    .end = { 1, 0, 0, 0, 'Z' },
	    .end_mask = { 255, 255, 255, 255, 255 } },
	  5,
	  200000,
	  'Z' },
	{ { .on = 1,
	    .type_off = 2,
	    .len_off = 0,
	    .len_size = 2,
	    .hdr_len = 2,
	    .end_len = 3,
	    .end = { 0, 1, 'Z' },
	    .end_mask = { 255, 255, 255 } },
	  3,
	  60000,
	  'Z' },
	{ { .on = 1,
	    .type_off = 0,
	    .len_off = 1,
	    .len_size = 1,
	    .hdr_len = 2,
	    .end_len = 2,
	    .end = { 'Z', 0 },
	    .end_mask = { 255, 255 } },
	  2,
	  257,
	  'Z' },
};

struct frame {
	u64 at;
	u32 size;
	u8 type;
};

struct talk {
	struct link l;
	const struct layout *lay;
	struct hp_verdict v;
	u32 dir; /* of the frames */
	struct frame frames[FRAMES_MAX];
	u32 nframes;
	u64 sure; /* frames from this position on must be understood */
};

static void set_bit(u32 *map, u8 type)
{
	map[type >> 5] |= 1U << (type & 31);
}

static bool has_bit(const u32 *map, u8 type)
{
	return map[type >> 5] >> (type & 31) & 1;
}

static u32 pick(struct link *l, const u32 *of, u32 n)
{
	return of[link_random(l, n)];
}

/* A frame of exactly that many bytes. */
static void put_frame(struct talk *t, u8 type, u32 size)
{
	const struct hp_frames *f = &t->lay->f;
	struct way *w = &t->l.way[t->dir];
	u8 *p = malloc(size);
	u32 len = size - f->hdr_len, i;

	assert_non_null(p);
	assert_true(size >= t->lay->head && t->nframes < FRAMES_MAX);
	for (i = 0; i < size; i++)
		p[i] = 0x20 + link_random(&t->l, 0x50);
	for (i = 0; i < f->len_size; i++)
		p[f->len_off + i] = len >> 8 * (f->little_endian ? i : (u32)f->len_size - 1 - i);
	p[f->type_off] = type;
	t->frames[t->nframes++] = (struct frame){ w->n, size, type };
	link_add(&t->l, t->dir, p, size);
	free(p);
}

static void put_end(struct talk *t)
{
	put_frame(t, t->lay->end_type, t->lay->f.end_len);
}

static u32 random_size(struct talk *t, u32 most)
{
	struct link *l = &t->l;
	u32 size;

	switch (link_random(l, 16)) {
	case 0:
		size = 1000 + link_random(l, 100); /* about the walker's window */
		break;
	case 1:
		size = 2000 + link_random(l, 3000);
		break;
	case 2:
		size = link_random(l, most);
		break;
	default:
		size = link_random(l, 40);
	}
	size += t->lay->head;
	/* A frame that looks like the end must only be the end. */
	if (size <= t->lay->f.end_len)
		size = t->lay->f.end_len + 1u;
	return MIN(size, t->lay->max);
}

static u8 random_type(struct link *l)
{
	static const char types[] = "DDDDDDDDdCCTB1";

	return types[link_random(l, sizeof(types) - 1)];
}

static void talk_start(struct talk *t, u64 seed, u32 layout, u32 dir, bool ends)
{
	static const u32 body[] = { 16, 100, 1024, HP_PAYLOAD_MAX }, head[] = { 8, 16, 96 },
			 whole[] = { 0, 64, 2048 };
	struct hp_frames *f;

	memset(t, 0, sizeof(*t));
	mach_reset(0);
	link_open(&t->l, seed);
	t->lay = &layouts[layout % ARRAY_SIZE(layouts)];
	t->dir = dir;
	t->v.capture = HP_CAPTURE_BYTES;
	for (u32 i = 0; i < 2; i++)
		t->v.turn_max[i] = t->v.more_max[i] = t->v.iov_max[i] = HP_PAYLOAD_MAX;
	f = &t->v.frames[dir];
	*f = t->lay->f;
	if (!ends)
		f->end_len = 0;
	f->body_max = pick(&t->l, body, ARRAY_SIZE(body));
	f->head_only_max = pick(&t->l, head, ARRAY_SIZE(head));
	f->whole_max = pick(&t->l, whole, ARRAY_SIZE(whole));
	set_bit(f->skip, 'D');
	set_bit(f->skip, 'd');
	set_bit(f->head_only, 'B');
	mach_profile(1, &t->v);
	mach_verdict(t->l.conn_id, 1);
}

static void ask(struct talk *t)
{
	link_add(&t->l, !t->dir, "question", 8);
	link_move(&t->l, !t->dir, 8, t->dir == HP_RECV ? NR_WRITE : NR_READ, 1);
}

static long random_nr(struct talk *t)
{
	static const long recv[] = { NR_READ, NR_RECVFROM, NR_RECVMSG, NR_READV, NR_RECVMMSG },
			  send[] = { NR_WRITE, NR_SENDTO, NR_SENDMSG, NR_WRITEV, NR_SENDMMSG };

	return (t->dir == HP_RECV ? recv : send)[link_random(&t->l, ARRAY_SIZE(recv))];
}

/* Moves all that is waiting, cut at random; most a call. */
static void move_all(struct talk *t, u32 most)
{
	struct way *w = &t->l.way[t->dir];
	u32 mode = link_random(&t->l, 6), n;

	while (w->moved < w->n) {
		if ((mode == 0 && w->n - w->moved < 1500) || link_random(&t->l, 16) == 0)
			n = 1 + link_random(&t->l, 9);
		else if (mode == 1)
			n = w->n - w->moved;
		else
			n = 1 + link_random(&t->l, mode == 2 ? 600 : mode == 3 ? 3000 : most);
		n = MIN(n, MIN(most, w->n - w->moved));
		link_move(&t->l, t->dir, n, random_nr(t), 1);
		link_collect(&t->l);
	}
}

static void answer_frames(struct talk *t, u32 frames, u32 most)
{
	while (frames--)
		put_frame(t, random_type(&t->l), random_size(t, most));
	put_end(t);
}

static u32 promised(const struct talk *t, const struct frame *f)
{
	const struct hp_frames *hf = &t->v.frames[t->dir];
	u32 take = hf->body_max;

	if (has_bit(hf->skip, f->type))
		take = 0;
	else if (has_bit(hf->head_only, f->type))
		take = hf->head_only_max;
	return MIN(take, f->size);
}

/* The reference. */
static void talk_check(struct talk *t)
{
	const struct way *w = &t->l.way[t->dir];
	u32 i, at = 0, hole;

	link_end(&t->l);
	for (i = 0; i < t->nframes; i++) {
		const struct frame *f = &t->frames[i];

		if (f->at < t->sure)
			continue;
		if (!link_carried(w, f->at, promised(t, f)))
			fail_msg("frame %u of type %c at %llu, %u bytes, is not there", i, f->type,
				 (unsigned long long)f->at, f->size);
	}
	for (hole = 0; hole < w->nholes; hole++) {
		const struct hole *h = &w->holes[hole];
		u32 frames = 0;

		if (h->pos < t->sure)
			continue;
		while (at < t->nframes && t->frames[at].at < h->pos)
			at++;
		for (i = at; i < t->nframes && t->frames[i].at < h->pos + h->len; i++)
			frames++;
		if (frames != h->frames)
			fail_msg("hole at %llu of %llu bytes: %u frames counted, %u there",
				 (unsigned long long)h->pos, (unsigned long long)h->len, h->frames,
				 frames);
	}
	assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
	assert_int_equal(mach_drops(DROP_READ_FAULT), 0);
	link_close(&t->l);
}

/* An answer that ends as answers do proves alignment. */
static void talk_login(struct talk *t)
{
	ask(t);
	put_frame(t, 'R', t->lay->head + 8u);
	put_end(t);
	link_move(&t->l, t->dir, t->l.way[t->dir].n, NR_READ, 1);
	t->sure = t->l.way[t->dir].n;
}

/* Received frames, aligned by the end pattern. */
static void random_receives(void **state)
{
	static struct talk t;
	u32 i, turns;

	(void)state;
	for (i = 0; i < STREAMS; i++) {
		talk_start(&t, 1 + i, i, HP_RECV, true);
		talk_login(&t);
		turns = 1 + link_random(&t.l, 4);
		while (turns--) {
			ask(&t);
			answer_frames(&t, link_random(&t.l, 30), 9000);
			move_all(&t, 60000);
		}
		talk_check(&t);
	}
}

/*
 * Sent frames: no pattern ends them; the start of a turn is the start of a frame. Transfers that are
 * carried without a look end with a frame, unless all of them are.
 */
static void random_sends(void **state)
{
	static struct talk t;
	u32 i, turns, n, whole;
	struct way *w;

	(void)state;
	for (i = 0; i < STREAMS / 8; i++) {
		talk_start(&t, 77777 + i, i, HP_SEND, false);
		whole = link_random(&t.l, 3);
		if (whole < 2) {
			t.v.frames[HP_SEND].whole_max = whole ? HP_PAYLOAD_MAX : 0;
			mach_profile(1, &t.v);
		}
		w = &t.l.way[HP_SEND];
		turns = 1 + link_random(&t.l, 4);
		while (turns--) {
			ask(&t);
			n = 1 + link_random(&t.l, 30);
			while (n--) {
				put_frame(&t, random_type(&t.l), random_size(&t, 9000));
				if (whole == 2)
					link_move(&t.l, HP_SEND, w->n - w->moved, random_nr(&t), 1);
			}
			if (link_random(&t.l, 2))
				move_all(&t, 60000);
			else if (w->moved < w->n)
				link_move(&t.l, HP_SEND, w->n - w->moved, NR_WRITE, 1);
		}
		talk_check(&t);
	}
}

/* Every header cut at every byte, in two and in three pieces. */
static void header_cuts(void **state)
{
	static struct talk t;
	u32 lay, cut, second, tail;

	(void)state;
	for (lay = 0; lay < ARRAY_SIZE(layouts); lay++)
		for (cut = 1; cut < 8; cut++)
			for (second = 0; second < 8; second++)
				for (tail = 0; tail < 3; tail++) {
					struct way *w;

					talk_start(&t, 5 + cut * 8 + second, lay, HP_RECV, true);
					t.v.frames[HP_RECV].whole_max = 0;
					mach_profile(1, &t.v);
					talk_login(&t);
					w = &t.l.way[HP_RECV];
					ask(&t);
					put_frame(&t, 'D', t.lay->head + 20u);
					link_move(&t.l, HP_RECV, w->n - w->moved, NR_READ, 1);
					put_frame(&t, "CDB"[tail], t.lay->head + 16u);
					link_move(&t.l, HP_RECV, cut, NR_READ, 1);
					if (second)
						link_move(&t.l, HP_RECV, second, NR_READ, 1);
					put_frame(&t, 'D', t.lay->head + 30u);
					put_end(&t);
					link_move(&t.l, HP_RECV, w->n - w->moved, NR_READ, 1);
					talk_check(&t);
				}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(header_cuts),
		cmocka_unit_test(random_receives),
		cmocka_unit_test(random_sends),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
