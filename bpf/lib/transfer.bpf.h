/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to a transfer once a rung has seen it: the rung says whose it is, how many bytes moved
 * and where they lie (struct xfer), this decides how much of them to carry and sends the record. The
 * same for all rungs, so the same bytes give the same records.
 */
#ifndef BPF_TRANSFER_H
#define BPF_TRANSFER_H

#include "lib/site.bpf.h"
#include "lib/token.bpf.h"
#include "lib/walk.bpf.h"

extern __u32 entries; /* user space attached the entries of sends, for unix sockets */

/* The connection's profile, looked up again when user space has written verdicts since. */
static __always_inline __u32 profile_key(struct sock_state *ss)
{
	__u64 epoch = verdict_epoch;
	__u32 *profile;

	if (ss->verdict_epoch != epoch) {
		profile = bpf_map_lookup_elem(&m_verdicts, &ss->conn_id);
		if (profile)
			ss->profile = *profile;
		ss->verdict_epoch = epoch;
	}
	return ss->profile;
}

static __always_inline __u64 arrival_take(struct sock_state *ss, struct sock *sk)
{
	__u64 arrival_ns = ss->arrival_ns;
	bool left;

	/* Zero before the look at what is left: what arrives meanwhile brings its own stamp. */
	ss->arrival_ns = 0;
	if (ss->family == AF_UNIX) {
		left = arrival_ns && unix_unread(sk);
	} else {
		left = arrival_ns && (__s32)(ss->arrival_seq - ss->taken_seq) > 0;
	}
	/* What is left came with the latest arrival, or later than the first. */
	if (left)
		ss->arrival_ns = ss->arrival_last_ns;
	/* A request begins with its first byte, an answer ends with its last. */
	return arrival_ns && ss->role == HP_ROLE_CLIENT ? ss->arrival_last_ns : arrival_ns;
}

/* Of an HTTP status line the version and the status; what begins with fewer is looked at on. */
#define TURN_TOLD_BYTES 12

static __always_inline bool tcp_unread(struct sock *sk, __u32 end)
{
	return (__s32)(end - BPF_CORE_READ((struct tcp_sock *)sk, copied_seq)) > 0;
}

/*
 * A process that sends has read what came before, as far as nothing is left of it. A stamp that is still
 * there then is that of a read which no probe saw (under way at attach, through a ring, by a process that
 * is no target), and would make the next request begin with the one before.
 */
static __always_inline void arrival_settle(struct sock_state *ss, struct sock *sk)
{
	if (!ss->arrival_ns)
		return;
	if (ss->family == AF_UNIX ? unix_unread(sk) : tcp_unread(sk, ss->arrival_seq))
		return;
	ss->arrival_ns = 0;
	ss->flags |= SOCK_SETTLED;
}

/* Is this transfer the first of a turn, or does it begin with what begins one? */
static __always_inline bool turn_first(const struct scratch *s, const struct hp_verdict *v,
				       bool turned)
{
	__u32 dir = s->x.dir & 1, n = v->start_len[dir], i;
	__u64 base = s->x.niov ? (__u64)s->iov[0].iov_base : s->x.base;
	__u64 len = s->x.niov ? s->iov[0].iov_len : s->x.total;
	__u8 head[16] = {}; /* 16: what the mask below lets through */

	if (turned)
		return true;
	if (!n || n > 8 || len < n)
		return false;
	if (bpf_probe_read_user(head, n & 15, (void *)base))
		return false;
	for (i = 0; i < 8; i++)
		if (i < n && head[i] != v->start[dir][i])
			return false;
	return true;
}

/* Its process serves requests: what its threads do is somebody's work. */
static __always_inline void serves(const struct xfer *x)
{
	struct target_state *target = target_of(x->pid_tgid >> 32);

	if (target)
		target->served_ns = x->now;
}

static __always_inline void emit_data(struct scratch *s, struct sock_state *ss)
{
	struct ev_data *ev = (void *)s->rec;
	struct xfer *x = &s->x;
	__u32 size = (sizeof(*ev) + x->out + 7) & ~7U;

	if (size > HP_RECORD_MAX)
		return;
	ev_hdr_set(&ev->hdr, size, EV_DATA, ss->target, x->pid_tgid, x->now);
	ev->conn_id = ss->conn_id;
	ev->pos = x->span_pos;
	ev->enter_ns = x->enter_ns;
	ev->wire_ns = x->wire_ns;
	ev->len = x->span_len;
	ev->frames_after = x->frames_after;
	ev->nsegs = x->nsegs;
	ev->dir = x->dir;
	ev->flags = x->flags;
	ev->token = x->token;
	if (bpf_ringbuf_output(&m_events, ev, size, BPF_RB_NO_WAKEUP))
		drop(DROP_RING_FULL);
}

/* The transfer described in the slot. opaque: a constant, none of its bytes can be read. */
static __always_inline void xfer_run(__u32 slot, struct scratch *s, struct sock_state *ss,
				     const struct hp_verdict *v, bool opaque)
{
	bool first, turned, walk;
	struct xfer *x = &s->x;
	__u32 dir = x->dir & 1;

	turned = ss->last_dir != dir || (ss->flags & SOCK_NEW_TURN);
	first = turned || (ss->flags & SOCK_CUT);
	if (!opaque)
		first = turn_first(s, v, first);
	x->limit = first ? v->turn_max[dir] : v->more_max[dir];
	if (x->limit > HP_PAYLOAD_MAX)
		x->limit = HP_PAYLOAD_MAX;
	/* What begins a turn may be a head, and is short on the average. */
	if (v->capture == HP_CAPTURE_DEFAULT && !first && ss->pos[dir] > DEFAULT_BUDGET_BYTES)
		x->limit = 0;
	x->out = 0;
	x->nsegs = 0;
	x->frames_after = 0;
	x->back = ss->frame_part_len[dir];
	if (opaque && v->frames[dir].on)
		frames_pass_opaque(s, ss);
	walk = !opaque && v->frames[dir].on &&
	       frames_need_walk(slot, s, ss, &v->frames[dir], turned);
	if (!opaque && walk && !xfer_walk(slot, s, ss)) {
		walk = false; /* not what it was taken for */
		x->out = 0;
		x->nsegs = 0;
		x->frames_after = 0;
	}
	if (!walk)
		ss->frame_part_len[dir] = 0;
	x->span_pos = ss->pos[dir] - x->back;
	x->span_len = x->total + x->back - ss->frame_part_len[dir];
	if (walk ? !x->nsegs : !x->limit || (!first && x->total > x->limit && !v->frames[dir].on)) {
		if (x->span_len)
			xfer_cont(slot);
	} else {
		if (!walk && x->back)
			frames_put_back(s, ss);
		if (!opaque && !walk && !(x->flags & HP_DATA_OPAQUE)) {
			if (x->total <= x->limit ||
			    (v->frames[dir].on && x->total <= HP_PAYLOAD_MAX))
				xfer_whole(slot, s);
			else
				xfer_heads(slot);
		}
		cont_flush(ss);
		emit_data(s, ss);
	}
	ss->pos[dir] += x->total;
	ss->last_dir = dir;
	ss->flags &= ~(SOCK_NEW_TURN | SOCK_CUT);
	if (dir == HP_RECV)
		ss->flags &= ~SOCK_SETTLED;
	if (first && v->start_len[dir] && x->total < TURN_TOLD_BYTES)
		ss->flags |= SOCK_CUT;
}

/* The entries of the transfer's iovec, from wherever they lie. */
static __always_inline void load_iov(struct scratch *s)
{
	__u64 n = s->x.iov_n;

	if (n > HP_IOV_MAX)
		n = HP_IOV_MAX;
	barrier_var(n);
	if (!n || n > HP_IOV_MAX)
		return;
	if (s->x.iov_kernel
		    ? bpf_probe_read_kernel(s->iov, n * sizeof(s->iov[0]), (void *)s->x.iov)
		    : bpf_probe_read_user(s->iov, n * sizeof(s->iov[0]), (void *)s->x.iov)) {
		drop(DROP_READ_FAULT);
		s->x.flags |= HP_DATA_OPAQUE | HP_DATA_FAULT;
		return;
	}
	s->iov[0].iov_base += s->x.iov_skip;
	s->iov[0].iov_len -= s->x.iov_skip;
	if (n == 1)
		s->x.base = (__u64)s->iov[0].iov_base;
	else
		s->x.niov = n;
}

/* Bytes that no record tells of: they show as a hole. */
static __always_inline void transfer_skip(struct sock_state *ss, __u32 dir, __u32 total)
{
	ss->pos[dir & 1] += total;
	ss->last_dir = dir;
}

/*
 * Bytes that moved past the probes since the last transfer that was seen: through io_uring while system
 * calls are what is watched, by a call under way at attach, by a process that is no target. TCP counts
 * them; they show as a hole before this transfer. (Its end takes a number too: a FIN.)
 */
static __always_inline void transfer_gap(struct sock_state *ss, struct sock *sk, __u32 dir,
					 __u32 total)
{
	struct tcp_sock *tp = (void *)sk;
	__u32 seq, gap;

	if (ss->family == AF_UNIX)
		return;
	if (ss->flags & SOCK_EARLY) {
		ss->flags &= ~SOCK_EARLY;
		ss->taken_seq = BPF_CORE_READ(tp, copied_seq);
		ss->sent_seq = BPF_CORE_READ(tp, write_seq);
		return;
	}
	if (dir == HP_RECV) {
		seq = BPF_CORE_READ(tp, copied_seq);
		gap = seq - ss->taken_seq - total;
		ss->taken_seq = seq;
		if (gap == 1 && BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN)
			return;
	} else {
		seq = BPF_CORE_READ(tp, write_seq);
		gap = seq - ss->sent_seq - total;
		ss->sent_seq = seq;
	}
	/* Less than nothing: two threads at a time, or a connection found by this very transfer. */
	if ((__s32)gap <= 0)
		return;
	/* The stamp may be that of the bytes in the hole. */
	if (dir == HP_RECV && !(ss->flags & SOCK_SETTLED))
		ss->arrival_ns = 0;
	drop(DROP_UNSEEN);
	transfer_skip(ss, dir, gap);
	frames_lose(ss, dir & 1);
}

/* Where it was sent from. */
static __always_inline void transfer_site(const struct scratch *s, const struct sock_state *ss)
{
	__u64 base = s->x.niov ? (__u64)s->iov[0].iov_base : s->x.base;
	__u64 head = s->x.niov ? s->iov[0].iov_len : s->x.total;
	__u32 what = (head < SITE_HEAD ? (__u32)head : SITE_HEAD) << 16 | ss->target;

	if (ss->last_dir != HP_SEND || ss->flags & SOCK_NEW_TURN)
		what |= SITE_FIRST;
	if (site_drawn(ss->conn_id, ss->pos[HP_SEND], base, s->x.total, what))
		site_take();
}

/*
 * The transfer that the slot describes: sk, base or iov, enter_ns, now, pid_tgid, total, dir and flags
 * are set.
 */
static __always_inline void transfer(__u32 slot, struct scratch *s, struct sock_state *ss,
				     bool opaque)
{
	struct sock *sk = (void *)s->x.sk;
	const struct hp_verdict *v;
	__u32 dir = s->x.dir & 1;

	s->x.niov = 0;
	s->x.wire_ns = 0;
	/* Nobody was told of it for lack of room: bytes alone would say nothing of who connected. */
	if (!(ss->flags & SOCK_ANNOUNCED)) {
		transfer_skip(ss, dir, s->x.total);
		frames_lose(ss, dir);
		return;
	}
	s->x.profile = profile_key(ss);
	v = profile_of(&s->x);
	if (!v)
		return;
	if (dir == HP_RECV)
		s->x.wire_ns = arrival_take(ss, sk);
	else
		arrival_settle(ss, sk);
	if (dir == HP_SEND && ss->family != AF_UNIX)
		/* CLOCK_MONOTONIC since d3edd06ea8ea "tcp: provide earliest departure time" (4.20). */
		s->x.wire_ns = BPF_CORE_READ((struct tcp_sock *)sk, tcp_wstamp_ns);
	if (v->capture == HP_CAPTURE_COUNT || v->capture == HP_CAPTURE_IGNORE) {
		transfer_skip(ss, dir, s->x.total);
		return;
	}
	s->x.token = 0;
	s->x.written = ss->written;
	if (dir == HP_SEND) {
		ss->written = 0;
		s->x.token = ss->token ? ss->token
				       : (__u32)py_token(WALK_UPROBE, s->x.pid_tgid >> 32,
							 PY_LOOK_SEARCH);
		ss->token = 0;
	} else if (ss->role == HP_ROLE_SERVER) {
		serves(&s->x);
	}
	if (!opaque && s->x.iov)
		load_iov(s);
	/* What uvloop held back was asked for when it was given that. */
	if (!opaque && dir == HP_SEND && ss->role == HP_ROLE_CLIENT && !s->x.written)
		transfer_site(s, ss);
	xfer_run(slot, s, ss, v, opaque);
}

/* Does a transfer that fails so mean that no other one can succeed? A signal, say, does not. */
static __always_inline bool error_ends(__u32 err)
{
	if (err == EPIPE)
		return true;
	return err >= ENETDOWN && err <= EHOSTUNREACH && err != ENOBUFS && err != EISCONN &&
	       err != ENOTCONN;
}

#endif
