/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Records as the kernel side writes them, appended to a buf: the input of the decode and session
 * tests. A buf of records is what a capture holds behind its header. Every put_*() returns the
 * record's place, valid until the next one.
 */
#ifndef TESTS_RECORDS_H
#define TESTS_RECORDS_H

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "hp/events.h"

static inline void *put_rec(struct buf *b, u16 kind, size_t size, u64 ts_ns)
{
	size_t at = b->n, padded = (size + 7) & ~(size_t)7;
	struct ev_hdr *hdr;

	while (b->n < at + padded)
		buf_addch(b, 0);
	hdr = (struct ev_hdr *)(b->p + at);
	*hdr = (struct ev_hdr){
		.size = padded, .kind = kind, .tgid = 100, .tid = 101, .ts_ns = ts_ns
	};
	return hdr;
}

static inline struct ev_conn_open *put_open(struct buf *b, u64 conn_id, u8 role, u8 origin,
					    u64 ts_ns)
{
	struct ev_conn_open *ev = put_rec(b, EV_CONN_OPEN, sizeof(*ev), ts_ns);

	ev->conn_id = conn_id;
	ev->role = role;
	ev->origin = origin;
	ev->family = AF_INET;
	ev->sock_type = SOCK_STREAM;
	ev->local_port = role == HP_ROLE_SERVER ? 8000 : 40000;
	ev->peer_port = role == HP_ROLE_SERVER ? 50000 : 9000;
	memcpy(ev->local_addr, "\x7f\0\0\1", 4);
	memcpy(ev->peer_addr, "\x7f\0\0\2", 4);
	return ev;
}

static inline struct ev_conn_state *put_state(struct buf *b, u64 conn_id, u8 what, s32 err,
					      u64 ts_ns)
{
	struct ev_conn_state *ev = put_rec(b, EV_CONN_STATE, sizeof(*ev), ts_ns);

	ev->conn_id = conn_id;
	ev->what = what;
	ev->err = err;
	return ev;
}

/* kind: EV_CONN_CLOSE or EV_CONN_BYTES. */
static inline struct ev_conn_close *put_end(struct buf *b, u16 kind, u64 conn_id, u64 received,
					    u64 sent, u64 ts_ns)
{
	struct ev_conn_close *ev = put_rec(b, kind, sizeof(*ev), ts_ns);

	ev->conn_id = conn_id;
	ev->bytes[HP_RECV] = received;
	ev->bytes[HP_SEND] = sent;
	return ev;
}

/* A transfer of which nothing is carried yet; put_seg() adds to it while it is the last record. */
static inline struct ev_data *put_xfer(struct buf *b, u64 conn_id, u8 dir, u64 pos, u32 len,
				       u64 ts_ns)
{
	struct ev_data *ev = put_rec(b, EV_DATA, sizeof(*ev), ts_ns);

	ev->conn_id = conn_id;
	ev->dir = dir;
	ev->pos = pos;
	ev->len = len;
	ev->enter_ns = dir == HP_SEND ? ts_ns - 10 : 0;
	ev->wire_ns = dir == HP_RECV ? ts_ns - 20 : 0;
	return ev;
}

static inline struct ev_data *put_seg(struct buf *b, struct ev_data *ev, u32 off, const void *p,
				      u32 len, u32 frames_before)
{
	size_t at = (char *)ev - b->p;
	struct ev_seg seg = { .off = off, .len = len, .frames_before = frames_before };

	buf_add(b, &seg, sizeof(seg));
	buf_add(b, p, len);
	/* As the kernel leaves it: the rest of the eight bytes is whatever was there before. */
	while (b->n % 8)
		buf_addch(b, (char)0xa5);
	ev = (struct ev_data *)(b->p + at);
	ev->nsegs++;
	ev->hdr.size = b->n - at;
	return ev;
}

/* A transfer carried whole. */
static inline struct ev_data *put_data(struct buf *b, u64 conn_id, u8 dir, u64 pos, const void *p,
				       u32 len, u64 ts_ns)
{
	return put_seg(b, put_xfer(b, conn_id, dir, pos, len, ts_ns), 0, p, len, 0);
}

static inline struct ev_cont *put_cont(struct buf *b, u64 conn_id, u8 dir, u64 pos, u64 len,
				       const void *tail, u8 tail_len, u64 ts_ns)
{
	struct ev_cont *ev = put_rec(b, EV_CONT, sizeof(*ev), ts_ns);

	ev->conn_id = conn_id;
	ev->dir = dir;
	ev->pos = pos;
	ev->len = len;
	ev->calls = 2;
	ev->last_len = tail_len;
	ev->tail_len = tail_len;
	memset(ev->tail, 0xa5, sizeof(ev->tail));
	if (tail_len)
		memcpy(ev->tail, tail, tail_len);
	return ev;
}

static inline struct ev_window *put_win(struct buf *b, u32 what, u64 ts_ns)
{
	struct ev_window *ev = put_rec(b, EV_WINDOW, sizeof(*ev), ts_ns);

	ev->what = what;
	ev->unix_ns = 1700000000000000000ULL + ts_ns;
	ev->ncpus = 2;
	return ev;
}

#endif
