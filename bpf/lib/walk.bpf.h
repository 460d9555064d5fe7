/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frame walker: goes over length-prefixed messages in one buffer by the layout that user space
 * gave (struct hp_frames), carries what matters and counts the rest.
 *
 * Neighbouring carried frames share a run, so a run always starts at a frame's first byte or goes
 * on with a frame whose start was carried. A header cut by the end of a transfer is kept and
 * becomes the first bytes of the next record (x->s->w.back), so no message is ever cut in its header.
 */
#ifndef BPF_WALK_H
#define BPF_WALK_H

#include "lib/xfer.bpf.h"

#define WALK_STEPS 8192
#define WALK_STEPS_OLD 48 /* without bpf_loop the verifier goes through every step */
#define FRAME_HDR_MAX 8

struct walk {
	struct xfer *x;
	const struct hp_frames *f;
	const void *base;
	__u32 dir;
	__u32 need; /* header bytes */
};

static __always_inline bool bit(const __u32 *map, __u32 n)
{
	return map[(n >> 5) & 7] >> (n & 31) & 1;
}

static __always_inline void walk_run_close(struct walk *w)
{
	if (w->x->s->w.run_at && w->x->s->w.run_len)
		run_end(w->x, w->x->s->w.run_at, w->x->s->w.run_len);
	w->x->s->w.run_at = 0;
}

/* Adds n bytes at the current offset to the record. */
static __always_inline void walk_carry(struct walk *w, __u32 n)
{
	struct xfer *x = w->x;

	if (!n)
		return;
	if (w->x->s->w.run_at && w->x->s->w.run_off + w->x->s->w.run_len != w->x->s->w.walk_off)
		walk_run_close(w);
	if (!w->x->s->w.run_at) {
		if (x->s->w.nsegs >= HP_SEGS_MAX) {
			drop(DROP_SEGMENTS);
			return;
		}
		w->x->s->w.run_at =
			run_begin(x, w->x->s->w.walk_off + x->s->w.back, w->x->s->w.frames);
		if (!w->x->s->w.run_at) {
			drop(DROP_SEGMENTS);
			return;
		}
		w->x->s->w.frames = 0;
		w->x->s->w.run_off = w->x->s->w.walk_off;
		w->x->s->w.run_len = 0;
	}
	if (copy_in(x, w->x->s->w.run_at + w->x->s->w.run_len, n, w->base + w->x->s->w.walk_off))
		w->x->s->w.run_len += n;
	else
		walk_run_close(w);
}

static __always_inline void walk_window(struct walk *w)
{
	struct xfer *x = w->x;
	__u32 n = x->total - w->x->s->w.walk_off;

	if (n > WALK_WINDOW)
		n = WALK_WINDOW;
	w->x->s->w.win_off = w->x->s->w.walk_off;
	w->x->s->w.win_len = 0;
	barrier_var(n);
	if (!n || n > WALK_WINDOW)
		return;
	if (bpf_probe_read_user(x->s->window, n, w->base + w->x->s->w.walk_off)) {
		x->s->w.flags |= HP_DATA_FAULT;
		drop(DROP_READ_FAULT);
		return;
	}
	w->x->s->w.win_len = n;
}

/* One frame. Returns 1 to stop. */
static long walk_step(__u32 i, struct walk *w)
{
	struct xfer *x = w->x;
	const struct hp_frames *f = w->f;
	struct sock_state *ss = x->ss;
	__u32 dir = w->dir & 1, at, k, len = 0, size, take;
	__u8 *win = x->s->window, type;

	if (w->x->s->w.walk_off >= x->total || !w->x->s->w.aligned)
		return 1;
	if (w->x->s->w.walk_off < w->x->s->w.win_off ||
	    w->x->s->w.walk_off + w->need > w->x->s->w.win_off + w->x->s->w.win_len)
		walk_window(w);
	if (w->x->s->w.win_len - (w->x->s->w.walk_off - w->x->s->w.win_off) < w->need) {
		/* The header goes on in the next transfer: it moves there whole. */
		__u32 n = x->total - w->x->s->w.walk_off;

		if (!w->x->s->w.win_len || n >= FRAME_HDR_MAX) {
			w->x->s->w.aligned = false;
			return 1;
		}
		for (k = 0; k < FRAME_HDR_MAX; k++) {
			at = w->x->s->w.walk_off - w->x->s->w.win_off + k;
			if (k < n && at < WALK_WINDOW)
				ss->frame_part[dir][k] = win[at];
		}
		ss->frame_part_len[dir] = n;
		return 1;
	}
	at = w->x->s->w.walk_off - w->x->s->w.win_off;
	if (at > WALK_WINDOW - FRAME_HDR_MAX - 1 + 64)
		return 1;
	type = win[at + (f->type_off & 7)];
	for (k = 0; k < 4; k++) {
		__u8 b;

		if (k >= f->len_size)
			break;
		b = win[at + ((f->len_off + k) & 7)];
		len = f->little_endian ? len | (__u32)b << (8 * k) : len << 8 | b;
	}
	size = f->hdr_len + len;
	if (size < w->need || size > (1U << 30)) {
		w->x->s->w.aligned = false; /* not what user space said it was */
		return 1;
	}
	if (bit(f->skip, type))
		take = 0;
	else if (bit(f->head_only, type))
		take = f->head_only_max;
	else
		take = f->body_max;
	if (take > size)
		take = size;
	if (take > x->total - w->x->s->w.walk_off)
		take = x->total - w->x->s->w.walk_off;
	if (take)
		walk_carry(w, take);
	else
		w->x->s->w.frames++;
	ss->frame_carry[dir] = take == x->total - w->x->s->w.walk_off && take < size;
	if (size > x->total - w->x->s->w.walk_off) {
		ss->frame_left[dir] = size - (x->total - w->x->s->w.walk_off);
		w->x->s->w.walk_off = x->total;
		return 1;
	}
	w->x->s->w.walk_off += size;
	return 0;
}

/*
 * Walks the transfer. Returns the frames skipped after the last run. Only for one plain buffer whose
 * alignment is known.
 */
static __noinline int walk_frames(struct xfer *x, const struct hp_frames *f)
{
	struct walk w = {};
	struct sock_state *ss;
	__u32 dir, n, k, i;

	if (!x || !f)
		return 0;
	ss = x->ss;
	dir = x->dir & 1;
	w.x = x;
	w.f = f;
	w.dir = dir;
	w.base = x->one.iov_base;
	w.need = f->len_off + f->len_size;
	if (w.need > FRAME_HDR_MAX)
		return 0;
	x->s->w.aligned = true;
	x->s->w.walk_off = 0;
	x->s->w.win_off = 0;
	x->s->w.win_len = 0;
	x->s->w.run_at = 0;
	x->s->w.frames = 0;
	n = ss->frame_part_len[dir];
	if (n && n < FRAME_HDR_MAX) {
		/*
		 * The kept header start and this transfer's first bytes make one frame. Its record
		 * run is built by hand: the kept bytes, then the rest from the buffer.
		 */
		__u8 *hdr = ss->frame_part[dir];
		__u32 len = 0, size, take, rest;

		ss->frame_part_len[dir] = 0;
		x->s->w.back = n;
		if (x->total < w.need - n) {
			ss->frame_aligned[dir] = 0;
			return 0;
		}
		/* Reads past a short buffer fault and leave zeros: the size check below catches it. */
		bpf_probe_read_user(hdr + (n & 7), FRAME_HDR_MAX, w.base);
		for (k = 0; k < 4; k++) {
			__u8 b;

			if (k >= f->len_size)
				break;
			b = hdr[(f->len_off + k) & 7];
			len = f->little_endian ? len | (__u32)b << (8 * k) : len << 8 | b;
		}
		size = f->hdr_len + len;
		if (size < w.need || size > (1U << 30)) {
			ss->frame_aligned[dir] = 0;
			return 0;
		}
		rest = size - n;
		take = bit(f->skip, hdr[f->type_off & 7])	 ? 0
		       : bit(f->head_only, hdr[f->type_off & 7]) ? f->head_only_max
								 : f->body_max;
		if (take > rest)
			take = rest;
		if (take > x->total)
			take = x->total;
		if (take) {
			x->s->w.run_at = run_begin(x, 0, 0);
			if (x->s->w.run_at && x->s->w.run_at < OUT_MAX - FRAME_HDR_MAX) {
				__u8 *dst = &x->s->rec[sizeof(struct ev_data) + x->s->w.run_at];

				for (k = 0; k < FRAME_HDR_MAX; k++)
					if (k < n)
						dst[k] = hdr[k];
				x->s->w.run_len = n;
				if (copy_in(x, x->s->w.run_at + n, take, w.base))
					x->s->w.run_len += take;
				/* The run starts n bytes before the buffer does. */
				x->s->w.run_off = 0 - n;
			}
		} else {
			x->s->w.frames++;
		}
		ss->frame_carry[dir] = take == x->total && take < rest;
		if (rest > x->total) {
			ss->frame_left[dir] = rest - x->total;
			x->s->w.walk_off = x->total;
		} else {
			x->s->w.walk_off = rest;
		}
	} else if (ss->frame_left[dir]) {
		n = ss->frame_left[dir] < x->total ? ss->frame_left[dir] : x->total;
		if (ss->frame_carry[dir])
			walk_carry(&w, n < f->body_max ? n : f->body_max);
		ss->frame_left[dir] -= n;
		x->s->w.walk_off = n;
	}
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		bpf_loop(WALK_STEPS, walk_step, &w, 0);
	} else {
		for (i = 0; i < WALK_STEPS_OLD; i++)
			if (walk_step(i, &w))
				break;
	}
	walk_run_close(&w);
	if (x->s->w.walk_off < x->total && !ss->frame_part_len[dir])
		x->s->w.aligned = false;
	ss->frame_aligned[dir] = x->s->w.aligned;
	if (!x->s->w.aligned)
		ss->frame_left[dir] = 0;
	x->s->w.frames_after = x->s->w.frames;
	return 0;
}

/* True when the transfer ends with the pattern that ends a turn. */
static __always_inline bool frames_end_here(struct xfer *x, const struct hp_frames *f)
{
	__u32 n = f->end_len, i;
	__u8 tail[8] = {};

	if (!n || n > 8 || x->total < n)
		return false;
	if (bpf_probe_read_user(tail, n & 15, x->one.iov_base + (x->total - n)))
		return false;
	for (i = 0; i < 8; i++)
		if (i < n && (tail[i] & f->end_mask[i]) != (f->end[i] & f->end_mask[i]))
			return false;
	return true;
}

/*
 * Keeps frame alignment through transfers that are carried whole. True when the transfer has to be
 * walked instead.
 */
static __always_inline bool frames_need_walk(struct xfer *x, const struct hp_frames *f, bool turned)
{
	struct sock_state *ss = x->ss;
	__u32 dir = x->dir & 1;

	if (x->niov)
		return false;
	/*
	 * Where an end pattern exists only it proves alignment: a connection may begin with bytes
	 * that are no frames (PostgreSQL's one-byte answer to SSLRequest).
	 */
	if (turned && !f->end_len && !ss->frame_aligned[dir]) {
		ss->frame_aligned[dir] = 1;
		ss->frame_left[dir] = 0;
		ss->frame_part_len[dir] = 0;
	}
	if (!ss->frame_aligned[dir] && f->end_len && frames_end_here(x, f)) {
		ss->frame_aligned[dir] = 1;
		ss->frame_left[dir] = 0;
		return false;
	}
	if (x->total > f->whole_max)
		return ss->frame_aligned[dir];
	if (ss->frame_part_len[dir])
		return true;
	if (frames_end_here(x, f)) {
		ss->frame_aligned[dir] = 1;
		ss->frame_left[dir] = 0;
		return false;
	}
	if (!f->end_len) {
		/* Sends: small ones are whole messages nearly always; user space finds out if not. */
		if (ss->frame_left[dir] > x->total)
			ss->frame_left[dir] -= x->total;
		else if (ss->frame_left[dir])
			return true;
		return false;
	}
	return ss->frame_aligned[dir];
}

#endif
