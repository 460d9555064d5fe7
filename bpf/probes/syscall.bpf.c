/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The syscall rung: transfers, connects, accepts and closes of the targets, seen at system call
 * entry and exit. Works on every kernel with BTF tracepoints, kprobes or not.
 *
 * Most work happens at exit, where the arguments are still in the saved registers; entry is only
 * taken for what exit cannot tell: when a send began, and the socket behind a descriptor that
 * close() is about to end. A table picks the calls that matter before anything else is looked at.
 */
#define TYPED_READS
#include "lib/arch.bpf.h"
#include "lib/walk.bpf.h"

const volatile bool cfg_typed_reads = false;
__u32 entries; /* user space attached entries of sends */

enum sys_class {
	SYS_NONE,
	SYS_READ, /* fd, buf, len */
	SYS_WRITE,
	SYS_READV, /* fd, iovec, n */
	SYS_WRITEV,
	SYS_RECVFROM, /* fd, buf, len, flags */
	SYS_SENDTO,
	SYS_RECVMSG, /* fd, msghdr, flags */
	SYS_SENDMSG,
	SYS_RECVMMSG, /* fd, mmsghdr, n */
	SYS_SENDMMSG,
	SYS_SENDFILE, /* out_fd, in_fd */
	SYS_SPLICE, /* fd_in, off, fd_out */
	SYS_ACCEPT,
	SYS_CONNECT,
	SYS_CLOSE,
	SYS_SHUTDOWN,
	SYS_CLASS_MASK = 31,
	SYS_AT_ENTRY = 32,
};

#define SYS_MAX 512
#define MMSG_MAX 1024 /* messages of one sendmmsg: what the kernel takes */

/* x86-64 numbers; another architecture is another table. */
static const volatile __u8 sys_class[SYS_MAX] = {
	[0] = SYS_READ,
	[1] = SYS_WRITE | SYS_AT_ENTRY,
	[3] = SYS_CLOSE | SYS_AT_ENTRY,
	[19] = SYS_READV,
	[20] = SYS_WRITEV | SYS_AT_ENTRY,
	[40] = SYS_SENDFILE | SYS_AT_ENTRY,
	[42] = SYS_CONNECT | SYS_AT_ENTRY,
	[43] = SYS_ACCEPT,
	[44] = SYS_SENDTO | SYS_AT_ENTRY,
	[45] = SYS_RECVFROM,
	[46] = SYS_SENDMSG | SYS_AT_ENTRY,
	[47] = SYS_RECVMSG,
	[48] = SYS_SHUTDOWN,
	[275] = SYS_SPLICE | SYS_AT_ENTRY,
	[288] = SYS_ACCEPT,
	[299] = SYS_RECVMMSG,
	[307] = SYS_SENDMMSG | SYS_AT_ENTRY,
	[327] = SYS_READV, /* preadv2, with offset -1 the same on sockets */
	[328] = SYS_WRITEV | SYS_AT_ENTRY,
};

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
		ss->taken_seq = kernel_read(struct tcp_sock, sk, copied_seq);
		left = arrival_ns && (__s32)(ss->arrival_seq - ss->taken_seq) > 0;
	}
	/* What is left came with the latest arrival, or later than the first. */
	if (left)
		ss->arrival_ns = ss->arrival_last_ns;
	/* A request begins with its first byte, an answer ends with its last. */
	return arrival_ns && ss->role == HP_ROLE_CLIENT ? ss->arrival_last_ns : arrival_ns;
}

/* Is this transfer the first of a turn, or does it begin with what begins one? */
static __always_inline bool turn_first(const struct scratch *s, const struct hp_verdict *v,
				       bool turned)
{
	__u32 dir = s->x.dir & 1, n = v->start_len[dir], i;
	__u64 base = s->x.niov ? (__u64)s->iov[0].iov_base : s->x.base;
	__u64 len = s->x.niov ? s->iov[0].iov_len : s->x.total;
	__u8 head[8] = {};

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
	ev->pad0 = 0;
	if (bpf_ringbuf_output(&m_events, ev, size, BPF_RB_NO_WAKEUP))
		drop(DROP_RING_FULL);
}

/* The transfer described in the slot. */
static __always_inline void xfer_run(__u32 slot, struct scratch *s, struct sock_state *ss,
				     const struct hp_verdict *v)
{
	bool first, turned, walk;
	struct xfer *x = &s->x;
	__u32 dir = x->dir & 1;

	turned = ss->last_dir != dir || (ss->flags & SOCK_NEW_TURN);
	first = turn_first(s, v, turned);
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
	walk = v->frames[dir].on && frames_need_walk(slot, s, ss, &v->frames[dir], turned);
	if (walk && !xfer_walk(slot)) {
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
		if (!walk && !(x->flags & HP_DATA_OPAQUE)) {
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
	ss->flags &= ~SOCK_NEW_TURN;
}

static __always_inline void load_iov(struct scratch *s, const struct iovec *iov, __u64 n)
{
	if (n > HP_IOV_MAX)
		n = HP_IOV_MAX;
	barrier_var(n);
	if (!n || n > HP_IOV_MAX)
		return;
	if (bpf_probe_read_user(s->iov, n * sizeof(*iov), iov)) {
		drop(DROP_READ_FAULT);
		s->x.flags |= HP_DATA_OPAQUE | HP_DATA_FAULT;
		return;
	}
	if (n == 1)
		s->x.base = (__u64)s->iov[0].iov_base;
	else
		s->x.niov = n;
}

/* What sys_exit knows of a call; on its stack. */
struct call {
	struct sock *sk;
	struct sock_state *ss;
	const struct iovec *iov; /* NULL: one buffer at base */
	const struct mmsghdr *vec; /* sendmmsg, recvmmsg */
	__u64 niov;
	__u64 base;
	__u64 enter_ns;
	__u64 now;
	__u64 pid_tgid;
	__u32 total;
	__u32 dir;
	__u32 flags;
};

/* Message i of a call: the only one, or one of sendmmsg's. Returns 1 to stop. */
static long call_step(__u32 i, struct call *c)
{
	struct sock_state *ss = c->ss;
	const struct hp_verdict *v;
	__u32 slot, key, dir = c->dir & 1;
	struct scratch *s;
	__u64 wire_ns = 0;

	if (c->vec) {
		struct mmsghdr mm;

		if (bpf_probe_read_user(&mm, sizeof(mm), c->vec + i))
			return 1;
		c->total = mm.msg_len;
		c->iov = mm.msg_hdr.msg_iov;
		c->niov = mm.msg_hdr.msg_iovlen;
		if (!c->total) {
			if (dir == HP_RECV && c->niov)
				sock_trouble(ss, 0, c->pid_tgid, c->now);
			return 0;
		}
	}
	/* Nobody was told of it for lack of room: bytes alone would say nothing of who connected. */
	if (!(ss->flags & SOCK_ANNOUNCED)) {
		ss->pos[dir] += c->total;
		ss->last_dir = dir;
		frames_lose(ss, dir);
		return 0;
	}
	key = profile_key(ss);
	v = bpf_map_lookup_elem(&m_profiles, &key);
	if (!v)
		return 1;
	if (dir == HP_RECV)
		wire_ns = arrival_take(ss, c->sk);
	else if (ss->family != AF_UNIX)
		/* CLOCK_MONOTONIC since d3edd06ea8ea "tcp: provide earliest departure time" (4.20). */
		wire_ns = kernel_read(struct tcp_sock, c->sk, tcp_wstamp_ns);
	if (v->capture == HP_CAPTURE_COUNT || v->capture == HP_CAPTURE_IGNORE) {
		ss->pos[dir] += c->total;
		ss->last_dir = dir;
		return 0;
	}
	slot = slot_take();
	s = slot == NO_SLOT ? NULL : slot_of(slot);
	if (!s) {
		ss->pos[dir] += c->total; /* shows as a hole */
		frames_lose(ss, dir);
		return 0;
	}
	s->x.sk = (__u64)c->sk;
	s->x.base = c->base;
	s->x.enter_ns = c->enter_ns;
	s->x.now = c->now;
	s->x.wire_ns = wire_ns;
	s->x.pid_tgid = c->pid_tgid;
	s->x.total = c->total;
	s->x.niov = 0;
	s->x.dir = dir;
	s->x.profile = key;
	s->x.flags = c->flags;
	if (c->iov)
		load_iov(s, c->iov, c->niov);
	xfer_run(slot, s, ss, v);
	s->busy = 0;
	return 0;
}

/* Does a transfer that fails so mean that no other one can succeed? A signal, say, does not. */
static __always_inline bool error_ends(__u32 err)
{
	if (err == EPIPE)
		return true;
	return err >= ENETDOWN && err <= EHOSTUNREACH && err != ENOBUFS && err != EISCONN &&
	       err != ENOTCONN;
}

static __always_inline void transfer_error(struct sock_ref *ref, long ret, __u64 pid_tgid,
					   __u64 now, bool recv)
{
	struct sock_state *ss;

	if (ret ? !error_ends(-ret) : !recv)
		return;
	ss = sock_find(ref->sk);
	if (ss && sock_same(ss, ref))
		sock_trouble(ss, -ret, pid_tgid, now);
}

/* A system call with its first argument begins. */
static __always_inline int on_enter(long id, __u32 fd)
{
	struct thread_state *ts, fresh = {};
	struct sock_ref ref;
	struct sock_state *ss;
	struct socket *socket;
	struct sock *sk;
	__u64 pid_tgid, now;
	__u32 tid, class;

	if (id < 0 || id >= SYS_MAX)
		return 0;
	class = sys_class[id & (SYS_MAX - 1)];
	if (!(class & SYS_AT_ENTRY))
		return 0;
	if (!live)
		return 0;
	pid_tgid = bpf_get_current_pid_tgid();
	struct target_state *target = target_of(pid_tgid >> 32);

	if (!target)
		return 0;
	now = bpf_ktime_get_ns();
	class &= SYS_CLASS_MASK;
	if (class == SYS_CLOSE) {
		if (!sock_of_fd(fd, &ref))
			return 0;
		ss = sock_find(ref.sk);
		/* TCP tells of its end itself, and why. */
		if (ss && ss->family == AF_UNIX && file_holders(ref.file) == 1)
			sock_end(ref.sk, ss, pid_tgid, now);
		return 0;
	}
	if (class == SYS_CONNECT) {
		if (!sock_of_fd(fd, &ref))
			return 0;
		sk = ref.sk;
		ss = sock_find(sk);
		/* Known already: a second connect() that asks how the first one went. */
		if (ss && sock_same(ss, &ref) &&
		    (ss->family == AF_UNIX ||
		     BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE))
			return 0;
		if (ss)
			sock_end(sk, ss, pid_tgid, now);
		socket = ref.socket;
		if (BPF_CORE_READ(socket, state) != SS_CONNECTING)
			sock_track(sk, socket, HP_ROLE_CLIENT,
				   (__u32)HP_ORIGIN_CONNECT << 16 | target->target);
		return 0;
	}
	tid = (__u32)pid_tgid;
	ts = bpf_map_lookup_elem(&m_threads, &tid);
	if (!ts) {
		fresh.enter_ns = now;
		fresh.nr = id;
		if (bpf_map_update_elem(&m_threads, &tid, &fresh, BPF_ANY))
			drop(DROP_THREAD_TABLE_FULL);
		return 0;
	}
	ts->enter_ns = now;
	ts->nr = id;
	return 0;
}

static __always_inline __u64 enter_of(__u64 pid_tgid, long id)
{
	__u32 tid = (__u32)pid_tgid;
	struct thread_state *ts = bpf_map_lookup_elem(&m_threads, &tid);

	return ts && ts->nr == (__u32)id ? ts->enter_ns : 0;
}

static __noinline int sys_accept_done(long ret, __u64 pid_tgid, __u32 target)
{
	__u64 now = bpf_ktime_get_ns();
	struct sock_ref ref;
	struct sock_state *ss;

	if (ret < 0 || !sock_of_fd(ret, &ref))
		return 0;
	ss = sock_find(ref.sk);
	/* Known since the handshake: keep its times. Anything else under this address is stale. */
	if (ss && ss->socket) {
		sock_end(ref.sk, ss, pid_tgid, now);
		ss = NULL;
	}
	if (!ss) {
		ss = sock_track(ref.sk, ref.socket, HP_ROLE_SERVER,
				(__u32)HP_ORIGIN_ACCEPT << 16 | target);
		if (!ss)
			return 0;
	}
	ss->socket = (__u64)ref.socket;
	ss->inode = socket_inode(ref.socket);
	ss->origin = HP_ORIGIN_ACCEPT;
	ss->target = target;
	sock_announce(ref.sk, ss, pid_tgid, now);
	return 0;
}

static __noinline int sys_connect_done(struct sys_args *a, long ret, __u64 pid_tgid)
{
	__u64 now = bpf_ktime_get_ns();
	struct sock_ref ref;
	struct sock_state *ss;
	struct sock *sk;
	__u32 err;

	if (!a || !sock_of_fd(a->a0, &ref))
		return 0;
	ss = sock_find(ref.sk);
	if (!ss || !sock_same(ss, &ref))
		return 0;
	/* After a signal the handshake goes on by itself. */
	if (ret && ret != -EINPROGRESS && ret != -EINTR &&
	    (ret > -ERESTARTSYS || ret < -ERESTART_LAST)) {
		if (ret == -EISCONN || ret == -EALREADY) /* asked again */
			return 0;
		if (!(ss->flags & SOCK_ANNOUNCED))
			sock_announce(ref.sk, ss, pid_tgid, ss->open_ns);
		emit_conn_state(ss, pid_tgid, now, HP_CONN_FAILED, -ret, 0);
		sock_end(ref.sk, ss, pid_tgid, now);
		return 0;
	}
	if (ss->flags & SOCK_ANNOUNCED)
		return 0;
	if (ss->family == AF_UNIX && !ret)
		ss->established_ns = now;
	sk = ref.sk;
	sock_announce(sk, ss, pid_tgid, ss->open_ns);
	if (ret && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE) {
		/* Refused before the call came back. */
		err = BPF_CORE_READ(sk, sk_err);
		emit_conn_state(ss, pid_tgid, now, HP_CONN_FAILED, err, 0);
		sock_end(sk, ss, pid_tgid, now);
	}
	return 0;
}

/* Everything that moves bytes or ends a direction. */
static __always_inline int sys_transfer_done(struct pt_regs *regs, long id, long ret, __u32 class,
					     __u64 pid_tgid)
{
	struct target_state *target;
	struct user_msghdr msg;
	struct sys_args a;
	struct sock_ref ref;
	struct call c = {};
	__u32 n = 1;

	sys_args_read(regs, &a);
	if (class == SYS_SPLICE) {
		/* One end is a pipe; the other may be a socket, as sink or as source. */
		c.dir = sock_of_fd(a.a2, &ref) ? HP_SEND : HP_RECV;
		if (c.dir == HP_RECV && !sock_of_fd(a.a0, &ref))
			return 0;
	} else {
		if (!sock_of_fd(a.a0, &ref))
			return 0;
		c.dir = class == SYS_WRITE || class == SYS_WRITEV || class == SYS_SENDTO ||
			class == SYS_SENDMSG || class == SYS_SENDMMSG || class == SYS_SENDFILE;
	}
	c.now = bpf_ktime_get_ns();
	c.sk = ref.sk;
	if (class == SYS_SHUTDOWN) {
		c.ss = sock_find(ref.sk);
		if (ret == 0 && a.a1 != 0 && c.ss && c.ss->flags & SOCK_ANNOUNCED) {
			cont_flush(c.ss);
			emit_conn_state(c.ss, pid_tgid, c.now, HP_CONN_SHUT_WR, 0, 0);
		}
		return 0;
	}
	/* What is read from the error queue is no part of the stream. */
	if ((class == SYS_RECVFROM || class == SYS_RECVMMSG ? a.a3
	     : class == SYS_RECVMSG			    ? a.a2
							    : 0) &
	    MSG_ERRQUEUE)
		return 0;
	if (ret <= 0) {
		/* A zero-length buffer reads 0 without an end of file. */
		if (ret == 0 && c.dir == HP_RECV && (class == SYS_READ || class == SYS_RECVFROM) &&
		    a.a2 == 0)
			return 0;
		transfer_error(&ref, ret, pid_tgid, c.now, c.dir == HP_RECV);
		return 0;
	}
	c.ss = sock_known(&ref, pid_tgid >> 32);
	if (!c.ss) {
		target = target_of(pid_tgid >> 32);
		c.ss = target ? sock_get(&ref, target->target, pid_tgid, c.now) : NULL;
		if (!c.ss)
			return 0;
		c.ss->tgid = pid_tgid >> 32;
	}
	c.pid_tgid = pid_tgid;
	c.total = ret;
	if (c.dir == HP_SEND) {
		if (entries)
			c.enter_ns = enter_of(pid_tgid, id);
		if (kernel_read(struct file, ref.file, f_flags) & O_NONBLOCK ||
		    ((class == SYS_SENDTO || class == SYS_SENDMMSG) && a.a3 & MSG_DONTWAIT) ||
		    (class == SYS_SENDMSG && a.a2 & MSG_DONTWAIT))
			c.flags = HP_DATA_NONBLOCK;
	}
	switch (class) {
	case SYS_RECVFROM:
		if (a.a3 & MSG_PEEK)
			return 0;
		if (a.a3 & MSG_TRUNC)
			c.flags |= HP_DATA_OPAQUE;
		/* fallthrough */
	case SYS_READ:
	case SYS_WRITE:
	case SYS_SENDTO:
		c.base = a.a1;
		break;
	case SYS_SENDFILE:
	case SYS_SPLICE:
		c.flags |= HP_DATA_OPAQUE;
		break;
	case SYS_READV:
	case SYS_WRITEV:
		c.iov = (void *)a.a1;
		c.niov = a.a2;
		break;
	case SYS_RECVMSG:
		if (a.a2 & MSG_PEEK)
			return 0;
		if (a.a2 & MSG_TRUNC)
			c.flags |= HP_DATA_OPAQUE;
		/* fallthrough */
	case SYS_SENDMSG:
		if (bpf_probe_read_user(&msg, sizeof(msg), (void *)a.a1)) {
			drop(DROP_READ_FAULT);
			c.flags |= HP_DATA_OPAQUE | HP_DATA_FAULT;
			break;
		}
		c.iov = msg.msg_iov;
		c.niov = msg.msg_iovlen;
		break;
	case SYS_RECVMMSG:
		if (a.a3 & MSG_PEEK)
			return 0;
		if (a.a3 & MSG_TRUNC)
			c.flags |= HP_DATA_OPAQUE;
		/* fallthrough */
	case SYS_SENDMMSG:
		c.vec = (void *)a.a1;
		n = ret < MMSG_MAX ? ret : MMSG_MAX;
		break;
	default:
		return 0;
	}
	if (c.vec && bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_loop))
		bpf_loop(n, call_step, &c, 0);
	else
		call_step(0, &c);
	return 0;
}

/* A system call of these registers ends. */
static __always_inline int on_exit(struct pt_regs *regs, long id, long ret)
{
	struct target_state *target;
	struct sys_args a;
	__u64 pid_tgid;
	__u32 class;

	if (id < 0 || id >= SYS_MAX)
		return 0;
	class = sys_class[id & (SYS_MAX - 1)] & SYS_CLASS_MASK;
	if (class == SYS_NONE || class == SYS_CLOSE || ret == -EAGAIN)
		return 0;
	if (!live)
		return 0;
	pid_tgid = bpf_get_current_pid_tgid();
	if (!target_maybe(pid_tgid >> 32))
		return 0;
	if (class != SYS_ACCEPT && class != SYS_CONNECT)
		return sys_transfer_done(regs, id, ret, class, pid_tgid);
	target = target_of(pid_tgid >> 32);
	if (!target)
		return 0;
	if (class == SYS_ACCEPT)
		return sys_accept_done(ret, pid_tgid, target->target);
	sys_args_read(regs, &a);
	return sys_connect_done(&a, ret, pid_tgid);
}

/*
 * Two ways to the same code, one of which is loaded. A tracepoint for each call runs a program only
 * for the calls that matter, in any process; the raw ones run for every call on the host, but need
 * neither tracefs nor bpf_task_pt_regs (5.15).
 */
SEC("tracepoint")
int sys_enter_each(struct trace_sys *ctx)
{
	return on_enter(ctx->id, ctx->args[0]);
}

SEC("tracepoint")
int sys_exit_each(struct trace_sys *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();

	return on_exit((struct pt_regs *)bpf_task_pt_regs(task), ctx->id, ctx->ret);
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter_all, struct pt_regs *regs, long id)
{
	struct sys_args a;

	if (id < 0 || id >= SYS_MAX || !(sys_class[id & (SYS_MAX - 1)] & SYS_AT_ENTRY))
		return 0;
	sys_args_read(regs, &a);
	return on_enter(id, a.a0);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit_all, struct pt_regs *regs, long ret)
{
	return on_exit(regs, sys_nr(regs), ret);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
