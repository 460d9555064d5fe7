/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The frame walker: goes over length-prefixed messages in one buffer by the layout that user space
 * gave (struct hp_frames), carries what matters and counts the rest.
 *
 * Neighbouring carried frames share a run, so a run always starts at a frame's first byte or goes
 * on with a frame whose start was carried. A header cut by the end of a transfer is kept and
 * becomes the first bytes of the next record (x.back), so no message is ever cut in its header.
 */
#ifndef BPF_WALK_H
#define BPF_WALK_H

#include "lib/xfer.bpf.h"

#define WALK_STEPS 8192
#define WALK_STEPS_OLD 32 /* without bpf_loop the verifier goes through every step */
#define FRAME_HDR_MAX 8
#define FRAME_SIZE_MAX (1U << 30) /* a longer one is no frame */

struct walk {
	struct scratch *s;
	struct sock_state *ss;
	const struct hp_frames *f;
};

static __always_inline bool bit(const __u32 *map, __u32 n)
{
	return map[(n >> 5) & 7] >> (n & 31) & 1;
}

/* Whole size of the frame whose header is at hdr; 0 when it cannot be one. */
static __always_inline __u32 frame_size(const struct hp_frames *f, const __u8 *hdr)
{
	const __u8 *p = hdr + (f->len_off & 3);
	__u32 be = (__u32)p[0] << 24 | (__u32)p[1] << 16 | (__u32)p[2] << 8 | p[3];
	__u32 le = (__u32)p[3] << 24 | (__u32)p[2] << 16 | (__u32)p[1] << 8 | p[0];
	__u32 shift = 8 * ((4 - f->len_size) & 3), len;

	len = f->little_endian ? le << shift >> shift : be >> shift;
	if (len > FRAME_SIZE_MAX)
		return 0;
	len += f->hdr_len;
	return len < (__u32)f->len_off + f->len_size ? 0 : len;
}

/* How much of such a frame is carried. */
static __always_inline __u32 frame_take(const struct hp_frames *f, __u8 type, __u32 size)
{
	__u32 take = f->body_max;

	if (bit(f->skip, type))
		take = 0;
	else if (bit(f->head_only, type))
		take = f->head_only_max;
	return take < size ? take : size;
}

static __always_inline void walk_run_close(struct scratch *s)
{
	if (s->x.run_at && s->x.run_len)
		run_end(s, s->x.run_at, s->x.run_len);
	s->x.run_at = 0;
}

/* Adds n bytes at the current offset to the record. */
static __always_inline void walk_carry(struct scratch *s, __u32 n)
{
	if (!n)
		return;
	if (s->x.run_at && s->x.run_off + s->x.run_len != s->x.walk_off)
		walk_run_close(s);
	if (!s->x.run_at) {
		if (s->x.nsegs < HP_SEGS_MAX)
			s->x.run_at = run_begin(s, s->x.walk_off + s->x.back, s->x.frames);
		if (!s->x.run_at) {
			drop(DROP_SEGMENTS);
			return;
		}
		s->x.frames = 0;
		s->x.run_off = s->x.walk_off;
		s->x.run_len = 0;
	}
	if (copy_in(s, s->x.run_at + s->x.run_len, n, s->x.base + s->x.walk_off))
		s->x.run_len += n;
	else
		walk_run_close(s);
}

static __always_inline void walk_window(struct scratch *s)
{
	__u32 n = s->x.total - s->x.walk_off;

	if (n > WALK_WINDOW)
		n = WALK_WINDOW;
	s->x.win_off = s->x.walk_off;
	s->x.win_len = 0;
	barrier_var(n);
	if (!n || n > WALK_WINDOW)
		return;
	if (bpf_probe_read_user(s->window, n, (void *)(s->x.base + s->x.walk_off))) {
		s->x.flags |= HP_DATA_FAULT;
		drop(DROP_READ_FAULT);
		return;
	}
	s->x.win_len = n;
}

/* One frame. Returns 1 to stop. */
static long walk_step(__u32 i, struct walk *w)
{
	const struct hp_frames *f = w->f;
	struct sock_state *ss = w->ss;
	struct scratch *s = w->s;
	__u32 dir = s->x.dir & 1, need = f->len_off + f->len_size, left, at, size, take;
	__u8 type;

	if (s->x.walk_off >= s->x.total || !s->x.aligned)
		return 1;
	left = s->x.total - s->x.walk_off;
	if (s->x.walk_off < s->x.win_off || s->x.walk_off + need > s->x.win_off + s->x.win_len)
		walk_window(s);
	at = s->x.walk_off - s->x.win_off;
	if (at > WALK_WINDOW)
		return 1;
	if (s->x.win_len - at < need) {
		/* The header goes on in the next transfer: it moves there whole. */
		if (!s->x.win_len || left >= FRAME_HDR_MAX) {
			s->x.aligned = false;
			return 1;
		}
		__builtin_memcpy(ss->frame_part[dir], &s->window[at], FRAME_HDR_MAX);
		ss->frame_part_len[dir] = left;
		return 1;
	}
	size = frame_size(f, &s->window[at]);
	if (!size) {
		s->x.aligned = false; /* not what user space said it was */
		return 1;
	}
	type = s->window[at + (f->type_off & 7)];
	take = frame_take(f, type, size);
	if (take > left)
		take = left;
	if (take)
		walk_carry(s, take);
	else
		s->x.frames++;
	ss->frame_carry[dir] = take == left && take < size;
	if (size > left) {
		ss->frame_left[dir] = size - left;
		s->x.walk_off = s->x.total;
		return 1;
	}
	s->x.walk_off += size;
	return 0;
}

/*
 * The kept header start and this transfer's first bytes make one frame. Its run is built by hand:
 * the kept bytes, then the rest from the buffer. False: not a frame after all.
 */
static __always_inline bool walk_joined(struct scratch *s, struct sock_state *ss,
					const struct hp_frames *f)
{
	__u32 dir = s->x.dir & 1, n = ss->frame_part_len[dir] & 7, size, take, rest;
	__u8 *hdr = ss->frame_part[dir];

	ss->frame_part_len[dir] = 0;
	/* Reads past a short buffer fault and leave zeros: then the size is no size. */
	bpf_probe_read_user(hdr + n, FRAME_HDR_MAX, (void *)s->x.base);
	size = frame_size(f, hdr);
	if (!size || s->x.total + n < (__u32)f->len_off + f->len_size)
		return false;
	rest = size - n;
	take = frame_take(f, hdr[f->type_off & 7], size);
	take = take > n ? take - n : 0;
	if (take > s->x.total)
		take = s->x.total;
	if (take) {
		s->x.run_at = run_begin(s, 0, 0);
		if (s->x.run_at && s->x.run_at < OUT_MAX - FRAME_HDR_MAX) {
			/* Eight at once: what is behind the kept ones is overwritten below. */
			__builtin_memcpy(&s->rec[sizeof(struct ev_data) + s->x.run_at], hdr,
					 FRAME_HDR_MAX);
			s->x.run_len = n;
			/* The run starts n bytes before the buffer does. */
			s->x.run_off = 0 - n;
			if (copy_in(s, s->x.run_at + n, take, s->x.base))
				s->x.run_len += take;
		}
	} else {
		s->x.frames++;
	}
	ss->frame_carry[dir] = take == s->x.total && take < rest;
	ss->frame_left[dir] = rest > s->x.total ? rest - s->x.total : 0;
	s->x.walk_off = rest > s->x.total ? s->x.total : rest;
	return true;
}

/* Walks the transfer: one plain buffer whose alignment is known. */
__noinline int xfer_walk(__u32 slot)
{
	struct scratch *s = slot_of(slot);
	const struct hp_verdict *v;
	struct walk w = {};
	struct sock_state *ss;
	__u32 dir, n, i;

	if (!s)
		return 0;
	ss = bpf_map_lookup_elem(&m_socks, &s->x.sk);
	v = profile_of(&s->x);
	if (!ss || !v)
		return 0;
	dir = s->x.dir & 1;
	w.s = s;
	w.ss = ss;
	w.f = &v->frames[dir];
	if (w.f->len_off + w.f->len_size > FRAME_HDR_MAX)
		return 0;
	s->x.aligned = true;
	s->x.walk_off = 0;
	s->x.win_off = 0;
	s->x.win_len = 0;
	s->x.run_at = 0;
	s->x.frames = 0;
	if (ss->frame_part_len[dir]) {
		s->x.aligned = walk_joined(s, ss, w.f);
	} else if (ss->frame_left[dir]) {
		n = ss->frame_left[dir] < s->x.total ? ss->frame_left[dir] : s->x.total;
		if (ss->frame_carry[dir])
			walk_carry(s, n < w.f->body_max ? n : w.f->body_max);
		ss->frame_left[dir] -= n;
		s->x.walk_off = n;
	}
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		bpf_loop(WALK_STEPS, walk_step, &w, 0);
	} else {
		for (i = 0; i < WALK_STEPS_OLD; i++)
			if (walk_step(i, &w))
				break;
	}
	walk_run_close(s);
	if (s->x.walk_off < s->x.total && !ss->frame_part_len[dir])
		s->x.aligned = false;
	ss->frame_aligned[dir] = s->x.aligned;
	if (!s->x.aligned)
		ss->frame_left[dir] = 0;
	s->x.frames_after = s->x.frames;
	return 0;
}

/* True when the transfer ends with the pattern that ends a turn. */
static __always_inline bool frames_end_here(const struct xfer *x, const struct hp_frames *f)
{
	__u32 n = f->end_len, i;
	__u8 tail[8] = {};

	if (!n || n > 8 || x->total < n)
		return false;
	if (bpf_probe_read_user(tail, n & 15, (void *)(x->base + (x->total - n))))
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
static __always_inline bool frames_need_walk(const struct xfer *x, struct sock_state *ss,
					     const struct hp_frames *f, bool turned)
{
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
