/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One transfer: decide by the connection's profile how much of it to carry, copy that from the
 * caller's buffer, send a DATA record; or add it to the held-back run (CONT).
 *
 * Three ways to carry:
 *   whole     the transfer is within the profile's limit: one run
 *   head+tail longer: the start of each iovec entry within its limit, and the last bytes
 *   frames    length-prefixed messages: walked one by one, skipped types only counted
 */
#ifndef BPF_XFER_H
#define BPF_XFER_H

#include "lib/sock.bpf.h"

#define OUT_MAX (HP_RECORD_MAX - 512) /* bytes of runs in a record */

struct xfer {
	struct sock_state *ss;
	struct scratch *s;
	const struct hp_verdict *v;
	struct iovec one; /* plain buffer */
	__u64 enter_ns;
	__u64 now;
	__u64 wire_ns; /* see struct ev_data */
	__u64 pid_tgid;
	__u32 total; /* bytes moved */
	__u32 niov; /* entries valid in s->iov */
	__u32 dir;
	__u64 span_pos; /* what the record covers: */
	__u32 span_len;
	__u32 flags; /* enum hp_data_flags known before any byte is read */
	__u32 limit; /* carried of the first bytes */
};

#define DEFAULT_BUDGET_BYTES (256 * 1024) /* per direction, then counted only until a verdict */

static __always_inline struct scratch *scratch_get(void)
{
	__u32 key = bpf_get_smp_processor_id();
	struct scratch *s = bpf_map_lookup_elem(&m_scratch, &key);

	if (s && !s->busy) {
		s->busy = 1;
		return s;
	}
	key += cfg_ncpus;
	s = bpf_map_lookup_elem(&m_scratch, &key);
	if (s && !s->busy) {
		s->busy = 1;
		return s;
	}
	drop(DROP_SCRATCH_BUSY);
	return NULL;
}

/* Starts a run at transfer offset off; its length is set by run_end. Returns where its bytes go. */
static __always_inline __u32 run_begin(struct xfer *x, __u32 off, __u32 frames_before)
{
	__u32 at = x->s->w.out;
	struct ev_seg *seg;

	if (at > OUT_MAX - sizeof(*seg))
		return 0;
	seg = (void *)&x->s->rec[sizeof(struct ev_data) + at];
	seg->off = off;
	seg->len = 0;
	seg->frames_before = frames_before;
	seg->pad0 = 0;
	return at + sizeof(*seg);
}

static __always_inline void run_end(struct xfer *x, __u32 data_at, __u32 len)
{
	__u32 at = data_at - sizeof(struct ev_seg);
	struct ev_seg *seg;

	if (at > OUT_MAX)
		return;
	seg = (void *)&x->s->rec[sizeof(struct ev_data) + at];
	seg->len = len;
	x->s->w.nsegs++;
	x->s->w.out = (data_at + len + 7) & ~7U;
}

/* Copies user memory into the record; false when it is not readable or there is no room. */
static __always_inline bool copy_in(struct xfer *x, __u32 at, __u32 len, const void *src)
{
	if (at > OUT_MAX || len > HP_PAYLOAD_MAX || at + len > OUT_MAX)
		return false;
	barrier_var(len);
	if (len == 0 || len > HP_PAYLOAD_MAX)
		return len == 0;
	if (bpf_probe_read_user(&x->s->rec[sizeof(struct ev_data) + at], len, src)) {
		x->s->w.flags |= HP_DATA_FAULT;
		drop(DROP_READ_FAULT);
		return false;
	}
	return true;
}

/* The limit that applies to this transfer, and whether it is the first of a turn. */
static __always_inline bool turn_first(struct xfer *x, const struct iovec *iov)
{
	const struct hp_verdict *v = x->v;
	__u32 dir = x->dir & 1, n = v->start_len[dir], i;
	__u8 head[8] = {};

	if (x->ss->last_dir != dir || (x->ss->flags & SOCK_NEW_TURN))
		return true;
	if (!n || n > 8 || x->total < n || iov->iov_len < n)
		return false;
	if (bpf_probe_read_user(head, sizeof(head), iov->iov_base) &&
	    bpf_probe_read_user(head, 1, iov->iov_base))
		return false;
	for (i = 0; i < 8; i++)
		if (i < n && head[i] != v->start[dir][i])
			return false;
	return true;
}

#define IOV_OLD 6 /* without bpf_loop the verifier goes through every entry */

/*
 * fn for every entry until it returns 1. The verifier sees a callback once, a loop as often as it
 * turns. bpf_loop: 5.17, e6f2dd0f8067 "bpf: Add bpf_loop helper".
 */
static __always_inline void iov_each(struct xfer *x, long (*fn)(__u32 i, struct xfer *x))
{
	__u32 i;

	x->s->w.left = x->total;
	x->s->w.off = 0;
	if (bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop)) {
		bpf_loop(x->niov, fn, x, 0);
	} else {
		for (i = 0; i < IOV_OLD; i++)
			if (i >= x->niov || fn(i, x))
				break;
	}
}

/* Entry i and how many of its bytes were moved. */
static __always_inline __u32 iov_entry(__u32 i, struct xfer *x, const void **ret_base)
{
	const struct iovec *iov = &x->s->iov[i & (HP_IOV_MAX - 1)];

	*ret_base = iov->iov_base;
	return iov->iov_len < x->s->w.left ? (__u32)iov->iov_len : x->s->w.left;
}

static long tail_step(__u32 i, struct xfer *x)
{
	const void *base;
	__u32 n = iov_entry(i, x, &base);

	x->s->w.left -= n;
	if (x->s->w.left)
		return 0;
	x->s->w.tail_base = (__u64)base;
	x->s->w.tail_len = n;
	return 1;
}

/* The last bytes of the transfer into dst (HP_TAIL_MAX); returns how many. */
static __always_inline __u32 read_tail(struct xfer *x, __u8 *dst, __u32 want)
{
	__u32 n;

	x->s->w.tail_base = (__u64)x->one.iov_base;
	x->s->w.tail_len = x->total;
	if (x->niov) {
		x->s->w.tail_len = 0;
		iov_each(x, tail_step);
	}
	n = x->s->w.tail_len < want ? x->s->w.tail_len : want;
	if (n > HP_TAIL_MAX)
		n = HP_TAIL_MAX;
	barrier_var(n);
	if (!n || n > HP_TAIL_MAX)
		return 0;
	if (bpf_probe_read_user(dst, n, (void *)(x->s->w.tail_base + (x->s->w.tail_len - n))))
		return 0;
	return n;
}

static __noinline int cont_add(struct xfer *x)
{
	struct sock_state *ss = x->ss;
	struct cont_state *c;
	__u64 pos = x->span_pos;

	if (!ss)
		return 0;
	c = &ss->cont;
	/* A hole that a lost record left must not be hidden inside a run. */
	if (c->calls && (c->dir != x->dir || c->pos + c->len != pos))
		cont_flush(ss);
	if (!c->calls) {
		c->pos = pos;
		c->len = 0;
		c->frames = 0;
		c->first_ns = x->now;
		c->dir = x->dir;
	}
	c->calls++;
	c->len += x->span_len;
	c->frames += x->s->w.frames_after;
	c->last_ns = x->now;
	c->last_len = x->total;
	c->flags = x->flags;
	c->enter_ns = x->enter_ns;
	c->wire_ns = x->wire_ns;
	c->tgid = x->pid_tgid >> 32;
	c->tid = (__u32)x->pid_tgid;
	c->tail_len = 0;
	if (!(x->flags & HP_DATA_OPAQUE) && !x->v->frames[x->dir & 1].on)
		c->tail_len = read_tail(x, c->tail, HP_TAIL_MAX);
	return 0;
}

static long whole_step(__u32 i, struct xfer *x)
{
	const void *base;
	__u32 n = iov_entry(i, x, &base);

	if (!copy_in(x, x->s->w.at + x->s->w.len, n, base))
		return 1;
	x->s->w.len += n;
	x->s->w.left -= n;
	return !x->s->w.left;
}

static __noinline int carry_whole(struct xfer *x)
{
	x->s->w.at = run_begin(x, 0, 0);
	x->s->w.len = 0;
	if (!x->s->w.at)
		return 0;
	if (x->niov)
		iov_each(x, whole_step);
	else if (copy_in(x, x->s->w.at, x->total, x->one.iov_base))
		x->s->w.len = x->total;
	if (x->s->w.len)
		run_end(x, x->s->w.at, x->s->w.len);
	return 0;
}

static __always_inline void head_carry(struct xfer *x, const void *base, __u32 take)
{
	__u32 at;

	if (!take)
		return;
	at = run_begin(x, x->s->w.off, 0);
	if (at && copy_in(x, at, take, base)) {
		run_end(x, at, take);
		x->s->w.end = x->s->w.off + take;
	}
}

static long head_step(__u32 i, struct xfer *x)
{
	const void *base;
	__u32 n = iov_entry(i, x, &base), take = n;

	/* The first entry is often a head and nothing else: it may be longer than the limit. */
	if (i == 0)
		take = n > 4096 && n > x->limit ? x->limit : n;
	else if (take > x->v->iov_max[x->dir & 1])
		take = x->v->iov_max[x->dir & 1];
	if (i && take > x->s->w.budget)
		take = 0;
	head_carry(x, base, take);
	x->s->w.budget -= take < x->s->w.budget ? take : x->s->w.budget;
	x->s->w.off += n;
	x->s->w.left -= n;
	return !x->s->w.left;
}

static __noinline int carry_heads(struct xfer *x)
{
	__u32 n, at;

	if (!x->s)
		return 0;
	x->s->w.end = 0;
	x->s->w.budget = x->limit;
	if (x->niov) {
		iov_each(x, head_step);
	} else {
		x->s->w.off = 0;
		head_carry(x, x->one.iov_base, x->limit);
	}
	if (x->s->w.end >= x->total)
		return 0;
	n = x->total - x->s->w.end < HP_TAIL_MAX ? x->total - x->s->w.end : HP_TAIL_MAX;
	at = run_begin(x, 0, 0);
	if (!at || at > OUT_MAX - HP_TAIL_MAX)
		return 0;
	n = read_tail(x, &x->s->rec[sizeof(struct ev_data) + at], n);
	if (n) {
		struct ev_seg *seg;

		seg = (void *)&x->s->rec[sizeof(struct ev_data) + at - sizeof(*seg)];
		seg->off = x->total - n;
		run_end(x, at, n);
	}
	return 0;
}

#endif
