/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One transfer: decide by the connection's profile how much of it to carry, copy that from the
 * caller's buffer, send a DATA record; or add it to the held-back run (CONT).
 *
 * Three ways to carry:
 *   whole     the transfer is within the profile's limit: one run
 *   heads     longer: the start of each iovec entry within its limit, and the last bytes
 *   frames    length-prefixed messages: walked one by one, skipped types only counted
 *
 * The functions without `static` take the number of a scratch slot and nothing else, so that the
 * verifier looks at each of them once.
 */
#ifndef BPF_XFER_H
#define BPF_XFER_H

#include "lib/sock.bpf.h"

#define OUT_MAX (HP_RECORD_MAX - 512) /* bytes of runs in a record */
#define DEFAULT_BUDGET_BYTES (256 * 1024) /* per direction, then counted only until a verdict */
#define IOV_STEPS 16 /* entries a function goes through, see LOOP_SLOT */
#define NO_SLOT (~0U)

static __always_inline struct scratch *slot_of(__u32 slot)
{
	return bpf_map_lookup_elem(&m_scratch, &slot);
}

/* The number of a slot that nobody uses, NO_SLOT when this CPU has none left. */
static __always_inline __u32 slot_take(void)
{
	__u32 slot = bpf_get_smp_processor_id(), i;
	struct scratch *s;

	for (i = 0; i < 2; i++) {
		s = slot_of(slot);
		if (s && !s->busy) {
			s->busy = 1;
			return slot;
		}
		slot += cfg_ncpus;
	}
	drop(DROP_SCRATCH_BUSY);
	return NO_SLOT;
}

/*
 * Loops that every supported kernel's verifier can bear: it follows each turn of a loop, but a function
 * that takes numbers only is looked at once, however often it is called. So a function makes a few
 * turns, and a loop calls that. (bpf_loop came with 5.17; one way for all kernels is one way to test.)
 * step(i, s) returns true to end it.
 */
#define LOOP_SLOT(name, step, steps)                                                               \
	__noinline int name(__u32 slot, __u32 from)                                                \
	{                                                                                          \
		struct scratch *s = slot_of(slot);                                                 \
		__u32 i;                                                                           \
                                                                                                   \
		if (!s)                                                                            \
			return 1;                                                                  \
		for (i = 0; i < (steps); i++)                                                      \
			if (step(from + i, s))                                                     \
				return 1;                                                          \
		return 0;                                                                          \
	}

/* Turns 0 to n - 1, rounded up to whole calls: steps see for themselves that there is nothing left. */
#define LOOP_SLOT_RUN(name, slot, n, max, steps)                                                   \
	do {                                                                                       \
		__u32 loop_i;                                                                      \
                                                                                                   \
		for (loop_i = 0; loop_i < (max); loop_i += (steps))                                \
			if (loop_i >= (n) || name(slot, loop_i))                                   \
				break;                                                             \
	} while (0)

static __always_inline const struct hp_verdict *profile_of(const struct xfer *x)
{
	__u32 key = x->profile;

	return bpf_map_lookup_elem(&m_profiles, &key);
}

/* Starts a run at transfer offset off; its length is set by run_end. Returns where its bytes go. */
static __always_inline __u32 run_begin(struct scratch *s, __u32 off, __u32 frames_before)
{
	__u32 at = s->x.out;
	struct ev_seg *seg;

	if (at > OUT_MAX - sizeof(*seg))
		return 0;
	seg = (void *)&s->rec[sizeof(struct ev_data) + at];
	seg->off = off;
	seg->len = 0;
	seg->frames_before = frames_before;
	seg->pad0 = 0;
	return at + sizeof(*seg);
}

static __always_inline void run_end(struct scratch *s, __u32 data_at, __u32 len)
{
	__u32 at = data_at - sizeof(struct ev_seg);
	struct ev_seg *seg;

	if (at > OUT_MAX)
		return;
	seg = (void *)&s->rec[sizeof(struct ev_data) + at];
	seg->len = len;
	s->x.nsegs++;
	s->x.out = (data_at + len + 7) & ~7U;
}

/* Copies user memory into the record; false when it is not readable or there is no room. */
static __always_inline bool copy_in(struct scratch *s, __u32 at, __u32 len, __u64 src)
{
	if (at > OUT_MAX || len > HP_PAYLOAD_MAX || at + len > OUT_MAX)
		return false;
	barrier_var(len);
	if (len == 0 || len > HP_PAYLOAD_MAX)
		return len == 0;
	if (bpf_probe_read_user(&s->rec[sizeof(struct ev_data) + at], len, (void *)src)) {
		s->x.flags |= HP_DATA_FAULT;
		drop(DROP_READ_FAULT);
		return false;
	}
	return true;
}

static __always_inline void iov_start(struct scratch *s)
{
	s->x.left = s->x.total;
	s->x.off = 0;
}

/* Entry i and how many of its bytes were moved. */
static __always_inline __u32 iov_entry(__u32 i, struct scratch *s, __u64 *ret_base)
{
	const struct iovec *iov = &s->iov[i & (HP_IOV_MAX - 1)];

	*ret_base = (__u64)iov->iov_base;
	return iov->iov_len < s->x.left ? (__u32)iov->iov_len : s->x.left;
}

static __always_inline bool tail_step(__u32 i, struct scratch *s)
{
	__u64 base;
	__u32 n;

	if (i >= s->x.niov)
		return true;
	n = iov_entry(i, s, &base);
	s->x.left -= n;
	if (s->x.left)
		return 0;
	s->x.tail_base = base;
	s->x.tail_len = n;
	return 1;
}

LOOP_SLOT(iov_tail, tail_step, IOV_STEPS)

/* The last bytes of the transfer into dst (HP_TAIL_MAX); returns how many. */
static __always_inline __u32 read_tail(__u32 slot, struct scratch *s, __u8 *dst, __u32 want)
{
	__u32 n;

	s->x.tail_base = s->x.base;
	s->x.tail_len = s->x.total;
	if (s->x.niov) {
		s->x.tail_len = 0;
		iov_start(s);
		LOOP_SLOT_RUN(iov_tail, slot, s->x.niov, HP_IOV_MAX, IOV_STEPS);
	}
	n = s->x.tail_len < want ? s->x.tail_len : want;
	if (n > HP_TAIL_MAX)
		n = HP_TAIL_MAX;
	barrier_var(n);
	if (!n || n > HP_TAIL_MAX)
		return 0;
	if (bpf_probe_read_user(dst, n, (void *)(s->x.tail_base + (s->x.tail_len - n))))
		return 0;
	return n;
}

/* Adds the transfer to the run that is held back. */
__noinline int xfer_cont(__u32 slot)
{
	struct scratch *s = slot_of(slot);
	const struct hp_verdict *v;
	struct sock_state *ss;
	struct cont_state *c;
	struct xfer *x;

	if (!s)
		return 0;
	x = &s->x;
	ss = bpf_map_lookup_elem(&m_socks, &x->sk);
	v = profile_of(x);
	if (!ss || !v)
		return 0;
	c = &ss->cont;
	/* A hole that a lost record left must not be hidden inside a run. */
	if (c->calls && (c->dir != x->dir || c->pos + c->len != x->span_pos))
		cont_flush(ss);
	if (!c->calls) {
		c->pos = x->span_pos;
		c->len = 0;
		c->frames = 0;
		c->first_ns = x->now;
		c->dir = x->dir;
	}
	c->calls++;
	c->len += x->span_len;
	c->frames += x->frames_after;
	c->last_ns = x->now;
	c->last_len = x->total;
	c->flags = x->flags;
	c->enter_ns = x->enter_ns;
	c->wire_ns = x->wire_ns;
	c->tgid = x->pid_tgid >> 32;
	c->tid = (__u32)x->pid_tgid;
	c->tail_len = 0;
	if (!(x->flags & HP_DATA_OPAQUE) && !v->frames[x->dir & 1].on)
		c->tail_len = read_tail(slot, s, c->tail, HP_TAIL_MAX);
	return 0;
}

static __always_inline bool whole_step(__u32 i, struct scratch *s)
{
	__u64 base;
	__u32 n;

	if (i >= s->x.niov)
		return true;
	n = iov_entry(i, s, &base);
	if (!copy_in(s, s->x.at + s->x.len, n, base))
		return 1;
	s->x.len += n;
	s->x.left -= n;
	return !s->x.left;
}

LOOP_SLOT(iov_whole, whole_step, IOV_STEPS)

__noinline int xfer_whole_iov(__u32 slot)
{
	struct scratch *s = slot_of(slot);

	if (!s)
		return 0;
	s->x.at = run_begin(s, s->x.back, 0);
	s->x.len = 0;
	if (!s->x.at)
		return 0;
	iov_start(s);
	LOOP_SLOT_RUN(iov_whole, slot, s->x.niov, HP_IOV_MAX, IOV_STEPS);
	if (s->x.left && !(s->x.flags & HP_DATA_FAULT))
		drop(DROP_SEGMENTS); /* more entries than are looked at */
	if (s->x.len)
		run_end(s, s->x.at, s->x.len);
	return 0;
}

/* The common way: inline, with nothing looked up twice. */
static __always_inline void xfer_whole(__u32 slot, struct scratch *s)
{
	if (s->x.niov) {
		xfer_whole_iov(slot);
		return;
	}
	s->x.at = run_begin(s, s->x.back, 0);
	if (s->x.at && copy_in(s, s->x.at, s->x.total, s->x.base))
		run_end(s, s->x.at, s->x.total);
}

static __always_inline void head_carry(struct scratch *s, __u64 base, __u32 take)
{
	__u32 at;

	if (!take)
		return;
	at = run_begin(s, s->x.off + s->x.back, 0);
	if (at && copy_in(s, at, take, base)) {
		run_end(s, at, take);
		s->x.end = s->x.off + take;
	}
}

static __always_inline bool head_step(__u32 i, struct scratch *s)
{
	const struct hp_verdict *v = profile_of(&s->x);
	__u32 n, take;
	__u64 base;

	if (!v || i >= s->x.niov)
		return true;
	n = iov_entry(i, s, &base);
	take = n;
	/* The first entry is often a head and nothing else: it may be longer than the limit. */
	if (i == 0)
		take = n > 4096 && n > s->x.limit ? s->x.limit : n;
	else if (take > v->iov_max[s->x.dir & 1])
		take = v->iov_max[s->x.dir & 1];
	/* Of what is too long, the first bytes: a message's type and length, say. */
	if (i && take > s->x.budget)
		take = take < HP_TAIL_MAX ? take : HP_TAIL_MAX;
	head_carry(s, base, take);
	s->x.budget -= take < s->x.budget ? take : s->x.budget;
	s->x.off += n;
	s->x.left -= n;
	return !s->x.left;
}

LOOP_SLOT(iov_heads, head_step, IOV_STEPS)

__noinline int xfer_heads(__u32 slot)
{
	struct scratch *s = slot_of(slot);
	__u32 n, at;

	if (!s)
		return 0;
	s->x.end = 0;
	s->x.budget = s->x.limit;
	if (s->x.niov) {
		iov_start(s);
		LOOP_SLOT_RUN(iov_heads, slot, s->x.niov, HP_IOV_MAX, IOV_STEPS);
	} else {
		s->x.off = 0;
		head_carry(s, s->x.base, s->x.limit);
	}
	if (s->x.end >= s->x.total)
		return 0;
	n = s->x.total - s->x.end < HP_TAIL_MAX ? s->x.total - s->x.end : HP_TAIL_MAX;
	at = run_begin(s, 0, 0);
	if (!at || at > OUT_MAX - HP_TAIL_MAX)
		return 0;
	n = read_tail(slot, s, &s->rec[sizeof(struct ev_data) + at], n);
	if (n) {
		struct ev_seg *seg;

		seg = (void *)&s->rec[sizeof(struct ev_data) + at - sizeof(*seg)];
		seg->off = s->x.total - n + s->x.back;
		run_end(s, at, n);
	}
	return 0;
}

#endif
