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

/* 65,536 frames, by a function that makes some steps (LOOP_SLOT): 256 KiB reads of 12-byte rows are 21,000. */
#define WALK_STEPS 256
#define WALK_TIMES 256
#define FRAME_HDR_MAX 8
#define FRAME_SIZE_MAX (1U << 28) /* a longer one is no frame: text taken for a length is */

struct walk {
	struct scratch *s;
	const struct hp_frames *f;
	__u32 slot;
	__u32 len_end; /* bytes of a header up to the end of the length */
	__u32 head; /* up to the end of length and type */
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

/* Where the next frame begins is not known any more. */
static __always_inline void frames_lose(struct sock_state *ss, __u32 dir)
{
	ss->frame_aligned[dir] = 0;
	ss->frame_left[dir] = 0;
	ss->frame_part_len[dir] = 0;
}

static __always_inline void walk_run_close(struct scratch *s)
{
	if (s->x.run_at && s->x.run_len)
		run_end(s, s->x.run_at, s->x.run_len);
	s->x.run_at = 0;
}

/*
 * Adds n bytes at the current offset to the record. Runs are few: when the last one begins, all that
 * comes after it goes in, skipped types too, as long as there is room.
 */
__noinline int walk_carry(__u32 slot, __u32 n)
{
	struct scratch *s = slot_of(slot);
	__u32 room;

	if (!s || !n)
		return 0;
	if (s->x.run_at && s->x.run_off + s->x.run_len != s->x.walk_off)
		walk_run_close(s);
	if (!s->x.run_at) {
		if (s->x.nsegs < HP_SEGS_MAX)
			s->x.run_at = run_begin(s, s->x.walk_off + s->x.back, s->x.frames);
		if (!s->x.run_at) {
			drop(DROP_SEGMENTS);
			return 0;
		}
		s->x.all = s->x.nsegs == HP_SEGS_MAX - 1;
		s->x.frames = 0;
		s->x.run_off = s->x.walk_off;
		s->x.run_len = 0;
	}
	room = OUT_MAX - (s->x.run_at + s->x.run_len);
	if (room > OUT_MAX)
		room = 0;
	if (n > HP_PAYLOAD_MAX)
		n = HP_PAYLOAD_MAX;
	if (n > room) {
		drop(DROP_SEGMENTS);
		n = room;
	}
	if (n && copy_in(s, s->x.run_at + s->x.run_len, n, s->x.base + s->x.walk_off))
		s->x.run_len += n;
	else
		walk_run_close(s);
	return 0;
}

/* Has the next bytes at hand. Its return value says nothing: win_len does. */
__noinline int walk_window(__u32 slot)
{
	struct scratch *s = slot_of(slot);
	__u32 n;

	if (!s)
		return 0;
	n = s->x.total - s->x.walk_off;

	if (n > WALK_WINDOW)
		n = WALK_WINDOW;
	s->x.win_off = s->x.walk_off;
	s->x.win_len = 0;
	barrier_var(n);
	if (!n || n > WALK_WINDOW)
		return 0;
	if (bpf_probe_read_user(s->window, n, (void *)(s->x.base + s->x.walk_off))) {
		s->x.flags |= HP_DATA_FAULT;
		drop(DROP_READ_FAULT);
		return 0;
	}
	s->x.win_len = n;
	return 0;
}

/* What the header at hdr says, of which have bytes are there. 0: more are needed to tell. */
static __always_inline __u32 frame_look(const struct walk *w, const __u8 *hdr, __u32 have,
					__u8 *ret_type, bool *ret_bad)
{
	__u32 size, type_off = w->f->type_off & 7;

	if (have < w->len_end)
		return 0;
	size = frame_size(w->f, hdr);
	if (!size) {
		*ret_bad = true; /* not what user space said it was */
		return 0;
	}
	if (size > type_off && have < w->head)
		return 0;
	*ret_type = size > type_off ? hdr[type_off] : 0; /* it can be a frame without a body */
	return size;
}

/* Fills w for the slot's transfer; false when it has no frames any more. */
static __always_inline bool walk_of(struct walk *w, __u32 slot)
{
	struct scratch *s = slot_of(slot);
	const struct hp_verdict *v;

	if (!s)
		return false;
	v = profile_of(&s->x);
	if (!v)
		return false;
	w->s = s;
	w->slot = slot;
	w->f = &v->frames[s->x.dir & 1];
	w->len_end = (__u32)w->f->len_off + w->f->len_size;
	w->head = w->f->type_off < w->len_end ? w->len_end : w->f->type_off + 1U;
	return true;
}

/* One frame; 1 when there are none left. */
__noinline int walk_frame(__u32 slot)
{
	__u32 left, at, size, want, take;
	struct scratch *s;
	struct walk w = {};
	bool bad = false;
	__u8 type = 0;

	if (!walk_of(&w, slot))
		return 1;
	s = w.s;
	if (s->x.walk_off >= s->x.total || !s->x.aligned)
		return 1;
	left = s->x.total - s->x.walk_off;
	if (s->x.walk_off < s->x.win_off || s->x.walk_off + w.head > s->x.win_off + s->x.win_len)
		walk_window(w.slot);
	at = s->x.walk_off - s->x.win_off;
	if (at > WALK_WINDOW)
		return 1;
	size = frame_look(&w, &s->window[at], s->x.win_len - at, &type, &bad);
	if (!size) {
		if (bad || !s->x.win_len || left >= FRAME_HDR_MAX) {
			s->x.aligned = false;
			return 1;
		}
		/* The header goes on in the next transfer: it moves there whole. */
		__builtin_memcpy(s->x.part, &s->window[at], FRAME_HDR_MAX);
		s->x.part_len = left;
		s->x.walk_off = s->x.total;
		return 1;
	}
	want = s->x.all ? size : frame_take(w.f, type, size);
	take = want < left ? want : left;
	if (take)
		walk_carry(w.slot, take);
	else
		s->x.frames++;
	if (size > left) {
		s->x.frame_left = size - left;
		s->x.frame_want = want - take;
		s->x.walk_off = s->x.total;
		return 1;
	}
	s->x.walk_off += size;
	return 0;
}

/* Some more frames; 1 when there are none left. */
__noinline int walk_frames(__u32 slot)
{
	__u32 i;

	for (i = 0; i < WALK_STEPS; i++)
		if (walk_frame(slot))
			return 1;
	return 0;
}

/*
 * The kept header start and this transfer's first bytes make one frame, or a longer header start.
 * Its run is built by hand: the kept bytes, then the rest from the buffer. False: not a frame.
 */
static __always_inline bool walk_joined(struct walk *w, struct sock_state *ss)
{
	struct scratch *s = w->s;
	__u32 dir = s->x.dir & 1, n = ss->frame_part_len[dir] & 7, more = s->x.total, size, want,
	      take = 0;
	__u8 *hdr = ss->frame_part[dir], type = 0;
	bool bad = false;

	ss->frame_part_len[dir] = 0;
	/* Not a byte past the buffer: nobody knows what is there. */
	if (more > FRAME_HDR_MAX)
		more = FRAME_HDR_MAX;
	barrier_var(more);
	if (!more || more > FRAME_HDR_MAX || bpf_probe_read_user(hdr + n, more, (void *)s->x.base))
		return false;
	size = frame_look(w, hdr, n + more, &type, &bad);
	if (!size) {
		if (bad || more == FRAME_HDR_MAX)
			return false;
		ss->frame_part_len[dir] = n + more;
		s->x.walk_off = s->x.total;
		return true;
	}
	want = frame_take(w->f, type, size);
	if (want) {
		want = want > n ? want - n : 0;
		take = want < s->x.total ? want : s->x.total;
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
	size -= n;
	ss->frame_left[dir] = size > s->x.total ? size - s->x.total : 0;
	ss->frame_want[dir] = want - take;
	s->x.walk_off = size > s->x.total ? s->x.total : size;
	return true;
}

/* Up to the first whole frame: what the transfer before began, and has not ended. */
__noinline int walk_begin(__u32 slot)
{
	struct walk w = {};
	struct sock_state *ss;
	struct scratch *s;
	__u32 dir, n, take;

	if (!walk_of(&w, slot))
		return 0;
	s = w.s;
	ss = bpf_map_lookup_elem(&m_socks, &s->x.sk);
	if (!ss)
		return 0;
	dir = s->x.dir & 1;
	s->x.aligned = w.head <= FRAME_HDR_MAX;
	s->x.all = 0;
	s->x.walk_off = 0;
	s->x.win_off = 0;
	s->x.win_len = 0;
	s->x.run_at = 0;
	s->x.frames = 0;
	if (ss->frame_part_len[dir]) {
		s->x.aligned = s->x.aligned && walk_joined(&w, ss);
	} else if (ss->frame_left[dir]) {
		n = ss->frame_left[dir] < s->x.total ? ss->frame_left[dir] : s->x.total;
		take = n < ss->frame_want[dir] ? n : ss->frame_want[dir];
		walk_carry(slot, take);
		ss->frame_left[dir] -= n;
		ss->frame_want[dir] -= take;
		s->x.walk_off = n;
	}
	s->x.part_len = 0;
	s->x.frame_left = ss->frame_left[dir];
	s->x.frame_want = ss->frame_want[dir];
	return 0;
}

/* Walks the transfer: one plain buffer whose alignment is known. False: that was wrong. */
static __always_inline bool xfer_walk(__u32 slot, struct scratch *s, struct sock_state *ss)
{
	__u32 dir = s->x.dir & 1, i;

	walk_begin(slot);
	for (i = 0; i < WALK_TIMES; i++)
		if (walk_frames(slot))
			break;
	walk_run_close(s);
	ss->frame_left[dir] = s->x.frame_left;
	ss->frame_want[dir] = s->x.frame_want;
	if (s->x.part_len) {
		__builtin_memcpy(ss->frame_part[dir], s->x.part, sizeof(s->x.part));
		ss->frame_part_len[dir] = s->x.part_len;
	}
	s->x.frames_after = s->x.frames;
	if (s->x.aligned && s->x.walk_off >= s->x.total)
		return true;
	frames_lose(ss, dir);
	if (!s->x.aligned)
		return false;
	drop(DROP_SEGMENTS); /* more frames than steps */
	return true;
}

/* True when the transfer ends with the pattern that ends a turn. */
static __always_inline bool frames_end_here(const struct xfer *x, const struct hp_frames *f)
{
	__u32 n = f->end_len, i;
	__u8 tail[16] = {}; /* 16: what the mask below lets through */

	if (!n || n > 8 || x->total < n)
		return false;
	if (bpf_probe_read_user(tail, n & 15, (void *)(x->base + (x->total - n))))
		return false;
	for (i = 0; i < 8; i++)
		if (i < n && (tail[i] & f->end_mask[i]) != (f->end[i] & f->end_mask[i]))
			return false;
	return true;
}

/* The same for a transfer of many buffers, when its last one holds the pattern whole. */
__noinline int frames_end_iov(__u32 slot)
{
	struct scratch *s = slot_of(slot);
	const struct hp_verdict *v;
	__u64 base, total;
	int ends;

	if (!s)
		return 0;
	v = profile_of(&s->x);
	if (!v)
		return 0;
	iov_start(s);
	LOOP_SLOT_RUN(iov_tail, slot, s->x.niov, HP_IOV_MAX, IOV_STEPS);
	if (s->x.left)
		return 0; /* more buffers than looked at */
	base = s->x.base;
	total = s->x.total;
	s->x.base = s->x.tail_base;
	s->x.total = s->x.tail_len;
	ends = frames_end_here(&s->x, &v->frames[s->x.dir & 1]);
	s->x.base = base;
	s->x.total = total;
	return ends;
}

/* The kept header start of a frame whose transfer is not walked after all: a run of its own. */
static __always_inline void frames_put_back(struct scratch *s, const struct sock_state *ss)
{
	__u32 at = run_begin(s, 0, 0);

	if (!at || at > OUT_MAX - FRAME_HDR_MAX)
		return;
	__builtin_memcpy(&s->rec[sizeof(struct ev_data) + at], ss->frame_part[s->x.dir & 1],
			 FRAME_HDR_MAX);
	run_end(s, at, s->x.back & 7);
}

/* True when the transfer ends inside the frame that the stream is in: then it is passed. */
static __always_inline bool frames_pass_inside(struct scratch *s, struct sock_state *ss)
{
	__u32 dir = s->x.dir & 1, total = s->x.total;

	if (!ss->frame_aligned[dir] || ss->frame_left[dir] < total)
		return false;
	ss->frame_left[dir] -= total;
	ss->frame_want[dir] -= total < ss->frame_want[dir] ? total : ss->frame_want[dir];
	return true;
}

/* A transfer that nobody can read: inside one frame nothing changes, else alignment is lost. */
static __always_inline void frames_pass_opaque(struct scratch *s, struct sock_state *ss)
{
	if (!frames_pass_inside(s, ss))
		frames_lose(ss, s->x.dir & 1);
}

/*
 * A transfer that cannot be walked: bytes in many buffers, or none that can be read. Inside one
 * frame nothing changes. Otherwise only its own end can tell where the next frame begins; without an
 * end pattern, messages written in pieces nearly always end with the call.
 */
static __always_inline void frames_pass(__u32 slot, struct scratch *s, struct sock_state *ss,
					const struct hp_frames *f)
{
	__u32 dir = s->x.dir & 1;

	if (frames_pass_inside(s, ss))
		return;
	if (!f->end_len && ss->frame_aligned[dir] && !ss->frame_left[dir] &&
	    !ss->frame_part_len[dir] && s->x.niov)
		return;
	frames_lose(ss, dir);
	if (f->end_len && s->x.niov && !(s->x.flags & HP_DATA_OPAQUE))
		ss->frame_aligned[dir] = frames_end_iov(slot);
}

/*
 * Keeps frame alignment through transfers that are carried whole. True when the transfer has to be
 * walked instead.
 */
static __always_inline bool frames_need_walk(__u32 slot, struct scratch *s, struct sock_state *ss,
					     const struct hp_frames *f, bool turned)
{
	const struct xfer *x = &s->x;
	__u32 dir = x->dir & 1;
	bool fits = x->total <= f->whole_max;

	if (x->niov || x->flags & HP_DATA_OPAQUE) {
		frames_pass(slot, s, ss, f);
		return false;
	}
	/*
	 * Where an end pattern exists only it proves alignment: a connection may begin with bytes
	 * that are no frames (PostgreSQL's one-byte answer to SSLRequest).
	 */
	if (!ss->frame_aligned[dir]) {
		ss->frame_left[dir] = 0;
		if (f->end_len ? !frames_end_here(x, f) : !turned)
			return false;
		ss->frame_aligned[dir] = 1;
		/* With the pattern it is the next transfer that is aligned. */
		return !f->end_len && !fits;
	}
	if (ss->frame_part_len[dir] || ss->frame_left[dir] || !fits)
		return true;
	/* Sends: small ones are whole messages nearly always; user space finds out if not. */
	return f->end_len && !frames_end_here(x, f);
}

#endif
