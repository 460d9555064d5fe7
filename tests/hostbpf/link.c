/* SPDX-License-Identifier: Apache-2.0 */
/* See link.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/types.h"
#include "decode/record.h"
#include "link.h"

#define TCP_ESTABLISHED 1
#define IOV_MAX_TEST 256

u32 link_random(struct link *l, u32 below)
{
	l->seed ^= l->seed << 13;
	l->seed ^= l->seed >> 7;
	l->seed ^= l->seed << 17;
	return below ? (l->seed >> 16) % below : 0;
}

void link_open(struct link *l, u64 seed)
{
	memset(l, 0, sizeof(*l));
	l->seed = seed * 0x9e3779b97f4a7c15ULL + 1;
	l->fd = mach_socket(AF_INET, TCP_ESTABLISHED);
	mach_addr(l->fd, 40000, 5432);
	mach_seed();
	link_collect(l);
	assert_int_equal(l->opens, 1);
}

void link_close(struct link *l)
{
	u32 dir;

	for (dir = 0; dir < 2; dir++) {
		free(l->way[dir].bytes);
		free(l->way[dir].carried);
		free(l->way[dir].holes);
	}
}

void link_add(struct link *l, u32 dir, const void *p, size_t n)
{
	struct way *w = &l->way[dir];

	if (w->n + n > w->room) {
		u64 room = (w->n + n) * 2;

		w->bytes = realloc(w->bytes, room);
		w->carried = realloc(w->carried, room);
		assert_true(w->bytes && w->carried);
		memset(w->carried + w->room, 0, room - w->room);
		w->room = room;
	}
	memcpy(w->bytes + w->n, p, n);
	w->n += n;
}

/* Memory behind a buffer may be readable or not: neither must change anything. */
static u8 *user_copy(struct link *l, const u8 *p, size_t n)
{
	u32 slack = link_random(l, 2) ? 0 : link_random(l, 40);
	u8 *copy = malloc(n + slack ? n + slack : 1);

	assert_non_null(copy);
	memcpy(copy, p, n);
	for (u32 i = 0; i < slack; i++)
		copy[n + i] = link_random(l, 256);
	mach_user(copy, n + slack);
	return copy;
}

static u32 iov_cut(struct link *l, struct mach_iov *iov, const u8 *p, u32 n, u32 niov)
{
	u32 i, len;

	for (i = 0; i < niov; i++) {
		len = i + 1 == niov ? n : link_random(l, n + 1);
		iov[i].base = user_copy(l, p, len);
		iov[i].len = len;
		p += len;
		n -= len;
	}
	return niov;
}

void link_move(struct link *l, u32 dir, u32 n, long nr, u32 niov)
{
	struct way *w = &l->way[dir];
	struct mach_iov iov[IOV_MAX_TEST];
	struct mach_msg msg = { .iov = iov };
	struct mach_mmsg mmsg = { .len = n };
	u64 a1, a2 = n, a3 = 0, ret = n;
	u32 i;

	assert_true(w->moved + n <= w->n && niov >= 1 && niov <= IOV_MAX_TEST);
	iov_cut(l, iov, w->bytes + w->moved, n, niov);
	msg.niov = niov;
	if (dir == HP_RECV) {
		mach_arrive(l->fd, n);
		mach_taken(l->fd, n);
	}
	if (dir == HP_SEND)
		mach_written(l->fd, n);
	mach_user(iov, sizeof(iov[0]) * niov);
	mach_user(&msg, sizeof(msg));
	a1 = (u64)iov[0].base;
	switch (nr) {
	case NR_READV:
	case NR_WRITEV:
		a1 = (u64)iov;
		a2 = niov;
		break;
	case NR_SENDMSG:
	case NR_RECVMSG:
		a1 = (u64)&msg;
		a2 = 0;
		break;
	case NR_SENDMMSG:
	case NR_RECVMMSG:
		mmsg.hdr = msg;
		mach_user(&mmsg, sizeof(mmsg));
		a1 = (u64)&mmsg;
		a2 = ret = 1;
		break;
	default:
		assert_int_equal(niov, 1);
	}
	mach_call(nr, ret, l->fd, a1, a2, a3);
	w->moved += n;
	for (i = 0; i < niov; i++)
		free((void *)iov[i].base);
	mach_user_clear();
}

static void add_hole(struct way *w, u64 pos, u64 len, u32 frames)
{
	struct hole *last = w->nholes ? &w->holes[w->nholes - 1] : NULL;

	if (!len) {
		assert_int_equal(frames, 0);
		return;
	}
	if (last && last->pos + last->len == pos) {
		last->len += len;
		last->frames += frames;
		return;
	}
	if (w->nholes == w->holes_room) {
		w->holes_room = w->holes_room ? 2 * w->holes_room : 16;
		w->holes = realloc(w->holes, w->holes_room * sizeof(*w->holes));
		assert_non_null(w->holes);
	}
	w->holes[w->nholes++] = (struct hole){ pos, len, frames };
}

static void add_bytes(struct way *w, u64 pos, const u8 *p, u64 len)
{
	assert_true(pos + len <= w->moved);
	assert_memory_equal(w->bytes + pos, p, len);
	memset(w->carried + pos, 1, len);
}

static void advance(struct link *l, struct way *w, u64 pos, u64 len)
{
	if (l->lossy && pos > w->seen)
		add_hole(w, w->seen, pos - w->seen, 0);
	else
		assert_int_equal(pos, w->seen);
	w->seen = pos + len;
	assert_true(w->seen <= w->moved);
}

static void on_data(struct link *l, struct ev_data *ev)
{
	struct way *w = &l->way[ev->dir];
	size_t at = 0;
	u64 off = 0;
	u32 i;

	w->datas++;
	advance(l, w, ev->pos, ev->len);
	for (i = 0; i < ev->nsegs; i++) {
		u8 *bytes;
		struct ev_seg *seg = record_seg(ev, &at, &bytes);

		assert_non_null(seg);
		assert_true(seg->len > 0);
		add_hole(w, ev->pos + off, seg->off - off, seg->frames_before);
		add_bytes(w, ev->pos + seg->off, bytes, seg->len);
		off = (u64)seg->off + seg->len;
	}
	add_hole(w, ev->pos + off, ev->len - off, ev->frames_after);
}

static void on_cont(struct link *l, struct ev_cont *ev)
{
	struct way *w = &l->way[ev->dir];

	w->conts++;
	w->calls += ev->calls;
	assert_true(ev->calls > 0 && ev->len > 0 && ev->last_len > 0);
	assert_true(ev->first_ns <= ev->hdr.ts_ns);
	advance(l, w, ev->pos, ev->len);
	add_hole(w, ev->pos, ev->len - ev->tail_len, ev->frames);
	add_bytes(w, ev->pos + ev->len - ev->tail_len, ev->tail, ev->tail_len);
}

void link_collect(struct link *l)
{
	u32 i;

	for (i = 0; i < mach_records(); i++) {
		struct ev_hdr *rec = mach_record(i);
		size_t size = 0;

		assert_int_equal(record_check(rec, rec->size, &size), 0);
		assert_true(rec->size <= HP_RECORD_MAX);
		assert_int_equal(rec->target, 0);
		switch (rec->kind) {
		case EV_CONN_OPEN:
			l->opens++;
			l->conn_id = ((struct ev_conn_open *)rec)->conn_id;
			break;
		case EV_CONN_CLOSE:
			l->closes++;
			assert_int_equal(((struct ev_conn_close *)rec)->conn_id, l->conn_id);
			memcpy(l->close_bytes, ((struct ev_conn_close *)rec)->bytes,
			       sizeof(l->close_bytes));
			break;
		case EV_DATA:
			assert_int_equal(((struct ev_data *)rec)->conn_id, l->conn_id);
			on_data(l, (struct ev_data *)rec);
			break;
		case EV_CONT:
			assert_int_equal(((struct ev_cont *)rec)->conn_id, l->conn_id);
			on_cont(l, (struct ev_cont *)rec);
			break;
		}
	}
	mach_records_clear();
}

void link_end(struct link *l)
{
	const struct sock_state *ss;
	u32 dir;

	link_collect(l);
	mach_flush(l->fd);
	link_collect(l);
	ss = mach_state(l->fd);
	assert_non_null(ss);
	for (dir = 0; dir < 2 && !l->lossy; dir++) {
		assert_int_equal(ss->pos[dir], l->way[dir].moved);
		assert_int_equal(l->way[dir].seen + ss->frame_part_len[dir], l->way[dir].moved);
	}
}

bool link_carried(const struct way *w, u64 pos, u64 len)
{
	return !len || (pos + len <= w->seen && !memchr(w->carried + pos, 0, len));
}

u64 link_frames(const struct way *w)
{
	u64 sum = 0;
	u32 i;

	for (i = 0; i < w->nholes; i++)
		sum += w->holes[i].frames;
	return sum;
}
