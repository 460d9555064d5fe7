/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The socket rung: transfers seen where TCP and unix sockets do them, whoever asked for them: a system
 * call, io_uring, sendfile. Only socket traffic runs these programs; other processes' system calls stay
 * as fast as they are.
 *
 * Two ways to the same code: fentry and fexit, and below it kprobe and kretprobe. At the end of such a
 * function its iterator has moved past the bytes, so their place is found backwards from there, and
 * nothing has to be remembered from the entry (a kretprobe has no arguments: there they are kept).
 */
#ifndef BPF_SOCKFN_H
#define BPF_SOCKFN_H

#include "lib/calls.bpf.h"
#include "lib/iter.bpf.h"
#include "lib/transfer.bpf.h"

/* Arguments of tcp_recvmsg(): it lost one in 5.19 (ec095263a965) and another one since. */
const volatile __u32 cfg_tcp_recv_args = 5;
/* Of inet_accept() and unix_accept(): four, three since 92ef0fd55ac8 (6.10). */
const volatile __u32 cfg_accept_args = 3;

#define FN_UNIX_SEND (~0U) /* in place of a system call's number */

/* Does the current task's traffic matter? Asked before anything else is read. */
static __always_inline bool fn_wanted(void)
{
	return live && target_maybe(current_ids() >> 32);
}

/* The connection of a socket in use by a target; added when it is new here. */
static __always_inline struct sock_state *fn_conn(struct sock *sk, __u64 pid_tgid, __u64 now)
{
	struct sock_state *ss = sock_find(sk);
	struct target_state *target;
	struct sock_ref ref;

	if (ss && ss->tgid == pid_tgid >> 32 &&
	    (ss->flags & (SOCK_ANNOUNCED | SOCK_DEAF)) == SOCK_ANNOUNCED)
		return ss;
	target = target_of(pid_tgid >> 32);
	if (!target)
		return NULL;
	ref.sk = sk;
	ref.socket = BPF_CORE_READ(sk, sk_socket);
	ref.file = BPF_CORE_READ(sk, sk_socket, file);
	ss = sock_get(&ref, target->target, pid_tgid, now);
	if (ss)
		ss->tgid = pid_tgid >> 32;
	return ss;
}

static __always_inline void fn_failed(struct sock *sk, long ret, const struct fn_call *c,
				      __u64 pid_tgid, __u64 now)
{
	struct sock_state *ss;

	/* A zero-length buffer reads 0 without an end of file. */
	if (ret ? !error_ends(-ret) : c->dir == HP_SEND || !c->len)
		return;
	ss = sock_find(sk);
	if (ss)
		sock_trouble(ss, -ret, pid_tgid, now);
}

/*
 * A function of a socket ends with ret. typed: msg is a pointer that the verifier knows, and its fields
 * are plain loads. opaque: there is none, the bytes stay inside the kernel.
 */
static __always_inline int fn_done(const struct fn_call *c, struct msghdr *msg, bool typed,
				   long ret, bool opaque)
{
	struct sock *sk = (void *)c->sk;
	struct sock_state *ss;
	struct scratch *s;
	__u64 pid_tgid, now;
	__u32 slot;

	if (ret == -EAGAIN || (c->dir == HP_RECV && c->flags & (MSG_PEEK | MSG_ERRQUEUE)))
		return 0;
	pid_tgid = current_ids();
	now = bpf_ktime_get_ns();
	if (ret <= 0) {
		fn_failed(sk, ret, c, pid_tgid, now);
		return 0;
	}
	ss = fn_conn(sk, pid_tgid, now);
	if (!ss)
		return 0;
	transfer_gap(ss, sk, c->dir, ret);
	slot = slot_take();
	s = slot == NO_SLOT ? NULL : slot_of(slot);
	if (!s) {
		transfer_skip(ss, c->dir & 1, ret);
		frames_lose(ss, c->dir & 1);
		return 0;
	}
	s->x.sk = c->sk;
	s->x.enter_ns = c->enter_ns;
	s->x.now = now;
	s->x.pid_tgid = pid_tgid;
	s->x.total = ret;
	s->x.dir = c->dir;
	s->x.flags = 0;
	s->x.iov = 0;
	if (opaque || !c->msg || (c->dir == HP_RECV && c->flags & MSG_TRUNC))
		s->x.flags = HP_DATA_OPAQUE;
	else
		iter_find(slot, s, msg, typed, ret);
	if (c->dir == HP_SEND && c->flags & MSG_DONTWAIT)
		s->x.flags |= HP_DATA_NONBLOCK;
	transfer(slot, s, ss, opaque);
	s->busy = 0;
	return 0;
}

/* When a send on a unix socket began: nothing else tells when its bytes left. */
static __always_inline __u64 unix_enter_ns(void)
{
	__u32 tid;
	struct thread_state *ts;

	if (!entries)
		return 0;
	tid = (__u32)current_ids();
	ts = bpf_map_lookup_elem(&m_threads, &tid);
	return ts && ts->nr == FN_UNIX_SEND ? ts->enter_ns : 0;
}

/* Arguments as numbers: typed pointers can be neither compared nor hashed. */
static __always_inline __u64 fn_arg(__u64 *ctx, __u32 n)
{
	__u64 arg = 0;

	bpf_probe_read_kernel(&arg, sizeof(arg), ctx + n);
	return arg;
}

static __always_inline __u64 fn_sock(__u64 *ctx)
{
	return (__u64)BPF_CORE_READ((struct socket *)fn_arg(ctx, 0), sk);
}

static __always_inline int tcp_sent(__u64 *ctx)
{
	struct msghdr *msg = (void *)ctx[1];
	struct fn_call c = { .msg = 1, .dir = HP_SEND };

	if (!fn_wanted())
		return 0;
	c.sk = fn_arg(ctx, 0);
	c.flags = msg->msg_flags;
	return fn_done(&c, msg, true, (int)ctx[3], false);
}

SEC("fexit/tcp_sendmsg")
int fexit_tcp_sendmsg(__u64 *ctx)
{
	return WHOLE(tcp_sent(ctx));
}

static __always_inline int tcp_received(__u64 *ctx)
{
	struct fn_call c = { .msg = 1, .len = ctx[2], .dir = HP_RECV };
	struct msghdr *msg = (void *)ctx[1];

	if (!fn_wanted())
		return 0;
	c.sk = fn_arg(ctx, 0);
	/* sk, msg, len, (nonblock,) flags, (addr_len) */
	c.flags = fn_arg(ctx, cfg_tcp_recv_args == 6 ? 4 : 3);
	return fn_done(&c, msg, true, (int)fn_arg(ctx, cfg_tcp_recv_args), false);
}

SEC("fexit/tcp_recvmsg")
int fexit_tcp_recvmsg(__u64 *ctx)
{
	return WHOLE(tcp_received(ctx));
}

static __always_inline int unix_sent(__u64 *ctx)
{
	struct msghdr *msg = (void *)ctx[1];
	struct fn_call c = { .msg = 1, .dir = HP_SEND };

	if (!fn_wanted())
		return 0;
	c.sk = fn_sock(ctx);
	c.enter_ns = unix_enter_ns();
	c.flags = msg->msg_flags;
	return fn_done(&c, msg, true, (int)ctx[3], false);
}

SEC("fexit/unix_stream_sendmsg")
int fexit_unix_sendmsg(__u64 *ctx)
{
	return WHOLE(unix_sent(ctx));
}

static __always_inline int unix_received(__u64 *ctx)
{
	struct fn_call c = { .msg = 1, .len = ctx[2], .flags = ctx[3], .dir = HP_RECV };

	if (!fn_wanted())
		return 0;
	c.sk = fn_sock(ctx);
	return fn_done(&c, (void *)ctx[1], true, (int)ctx[4], false);
}

SEC("fexit/unix_stream_recvmsg")
int fexit_unix_recvmsg(__u64 *ctx)
{
	return WHOLE(unix_received(ctx));
}

/* Bytes that stay inside the kernel. */
static __always_inline int inside(__u64 *ctx, bool is_tcp_sock, __u64 len, __u32 dir, long ret)
{
	struct fn_call c = { .len = len, .dir = dir };

	if (!fn_wanted())
		return 0;
	c.sk = is_tcp_sock ? fn_arg(ctx, 0) : fn_sock(ctx);
	return fn_done(&c, NULL, true, ret, true);
}

/* sendfile and splice into a socket, until they became sendmsg (2dc334f1a63a, 6.5). */
SEC("fexit/tcp_sendpage")
int fexit_tcp_sendpage(__u64 *ctx)
{
	return WHOLE(inside(ctx, true, 0, HP_SEND, (int)ctx[5]));
}

SEC("fexit/unix_stream_sendpage")
int fexit_unix_sendpage(__u64 *ctx)
{
	return WHOLE(inside(ctx, false, 0, HP_SEND, (int)ctx[5]));
}

/* From a socket into a pipe. */
SEC("fexit/tcp_splice_read")
int fexit_tcp_splice(__u64 *ctx)
{
	return WHOLE(inside(ctx, false, ctx[3], HP_RECV, ctx[5]));
}

SEC("fexit/unix_stream_splice_read")
int fexit_unix_splice(__u64 *ctx)
{
	return WHOLE(inside(ctx, false, ctx[3], HP_RECV, ctx[5]));
}

/* The socket that a function was called for, and whose call it was; false: nobody's of ours. */
static __always_inline struct target_state *fn_caller(__u64 at, struct sock_ref *ret,
						      __u64 *ret_ids)
{
	struct socket *socket = (void *)at;

	if (!fn_wanted())
		return NULL;
	*ret_ids = current_ids();
	ret->socket = socket;
	ret->sk = BPF_CORE_READ(socket, sk);
	ret->file = BPF_CORE_READ(socket, file);
	return ret->sk ? target_of(*ret_ids >> 32) : NULL;
}

static __always_inline int fn_accepted(__u64 *ctx, __u32 nargs)
{
	struct target_state *target;
	struct sock_ref ref;
	__u64 ids;

	/* sock, newsock, … */
	target = (int)fn_arg(ctx, nargs) ? NULL : fn_caller(fn_arg(ctx, 1), &ref, &ids);
	return target ? call_accepted(&ref, ids, target->target) : 0;
}

static __always_inline int fn_connects(__u64 *ctx)
{
	struct target_state *target;
	struct sock_ref ref;
	__u64 ids;

	target = fn_caller(fn_arg(ctx, 0), &ref, &ids);
	return target ? call_connects(&ref, target->target, ids, bpf_ktime_get_ns()) : 0;
}

static __always_inline int fn_connected(__u64 *ctx)
{
	struct sock_ref ref;
	__u64 ids;

	return fn_caller(fn_arg(ctx, 0), &ref, &ids) ? call_connected(&ref, (int)ctx[4], ids) : 0;
}

static __always_inline int fn_shut(__u64 *ctx)
{
	struct sock_ref ref;
	__u64 ids;

	/* SHUT_RD is 0 */
	if (ctx[1] && !(int)ctx[2] && fn_caller(fn_arg(ctx, 0), &ref, &ids))
		call_shut_wr(ref.sk, ids, bpf_ktime_get_ns());
	return 0;
}

SEC("fexit/inet_accept")
int fexit_inet_accept(__u64 *ctx)
{
	return WHOLE(fn_accepted(ctx, cfg_accept_args));
}

SEC("fexit/unix_accept")
int fexit_unix_accept(__u64 *ctx)
{
	return WHOLE(fn_accepted(ctx, cfg_accept_args));
}

SEC("fentry/inet_stream_connect")
int fentry_inet_connect(__u64 *ctx)
{
	return WHOLE(fn_connects(ctx));
}

SEC("fentry/unix_stream_connect")
int fentry_unix_connect(__u64 *ctx)
{
	return WHOLE(fn_connects(ctx));
}

SEC("fexit/inet_stream_connect")
int fexit_inet_connect(__u64 *ctx)
{
	return WHOLE(fn_connected(ctx));
}

SEC("fexit/unix_stream_connect")
int fexit_unix_connect(__u64 *ctx)
{
	return WHOLE(fn_connected(ctx));
}

SEC("fexit/inet_shutdown")
int fexit_inet_shutdown(__u64 *ctx)
{
	return WHOLE(fn_shut(ctx));
}

SEC("fexit/unix_shutdown")
int fexit_unix_shutdown(__u64 *ctx)
{
	return WHOLE(fn_shut(ctx));
}

static __always_inline int unix_send_begins(void)
{
	struct thread_state ts = { .nr = FN_UNIX_SEND };
	__u64 pid_tgid = current_ids();
	__u32 tid = (__u32)pid_tgid;

	if (!live || !target_of(pid_tgid >> 32))
		return 0;
	ts.enter_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&m_threads, &tid, &ts, BPF_ANY))
		drop(DROP_THREAD_TABLE_FULL);
	return 0;
}

SEC("fentry/unix_stream_sendmsg")
int fentry_unix_sendmsg(__u64 *ctx)
{
	return WHOLE(unix_send_begins());
}

/* A unix socket that no descriptor leads to any more, closed by whatever means. */
static __always_inline int unix_ends(struct sock *sk)
{
	struct sock_state *ss;
	__u64 pid_tgid;

	if (!sk || !sock_maybe(sk))
		return 0;
	ss = sock_find(sk);
	if (!ss)
		return 0;
	pid_tgid = current_ids();
	if (!target_of(pid_tgid >> 32))
		pid_tgid = 0;
	sock_end(sk, ss, pid_tgid, bpf_ktime_get_ns());
	return 0;
}

SEC("fentry/unix_release")
int fentry_unix_release(__u64 *ctx)
{
	return WHOLE(unix_ends((void *)fn_sock(ctx)));
}

/* The same by kprobes: entries keep the arguments, one program takes all returns. */
static __always_inline int fn_enter(__u64 sk, __u64 msg, __u64 len, __u32 flags, __u32 dir)
{
	struct fn_call c = { .sk = sk, .msg = msg, .len = len, .flags = flags, .dir = dir };
	__u64 pid_tgid = current_ids();
	__u32 tid = (__u32)pid_tgid;
	struct sock_state *ss;
	struct fn_call *lost;

	if (!live || !target_of(pid_tgid >> 32))
		return 0;
	/*
	 * The kernel has a limited number of places for calls under way, and shows no return of those
	 * that found none. TCP counts what that call moved; elsewhere it is not known: not nothing.
	 */
	lost = bpf_map_lookup_elem(&m_fn_calls, &tid);
	if (lost) {
		drop(DROP_RETURN_MISSED);
		ss = bpf_map_lookup_elem(&m_socks, &lost->sk);
		if (ss && ss->family == AF_UNIX) {
			transfer_skip(ss, lost->dir & 1, 1);
			frames_lose(ss, lost->dir & 1);
		}
	}
	if (dir == HP_SEND)
		c.enter_ns = bpf_ktime_get_ns();
	if (bpf_map_update_elem(&m_fn_calls, &tid, &c, BPF_ANY))
		drop(DROP_THREAD_TABLE_FULL);
	return 0;
}

static __always_inline __u64 parm_sock(struct pt_regs *ctx)
{
	return (__u64)BPF_CORE_READ((struct socket *)PT_REGS_PARM1(ctx), sk);
}

static __always_inline __u32 msg_flags(__u64 msg)
{
	return BPF_CORE_READ((struct msghdr *)msg, msg_flags);
}

SEC("kprobe")
int kprobe_tcp_sendmsg(struct pt_regs *ctx)
{
	__u64 msg = PT_REGS_PARM2(ctx);

	return WHOLE(fn_enter(PT_REGS_PARM1(ctx), msg, 0, msg_flags(msg), HP_SEND));
}

SEC("kprobe")
int kprobe_tcp_recvmsg(struct pt_regs *ctx)
{
	__u32 p4 = PT_REGS_PARM4(ctx), p5 = PT_REGS_PARM5(ctx);

	/* Both at hand: of a choice of two places in the context old verifiers want nothing to know. */
	barrier_var(p4);
	barrier_var(p5);
	return WHOLE(fn_enter(PT_REGS_PARM1(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			      cfg_tcp_recv_args == 6 ? p5 : p4, HP_RECV));
}

SEC("kprobe")
int kprobe_unix_sendmsg(struct pt_regs *ctx)
{
	__u64 msg = PT_REGS_PARM2(ctx);

	return WHOLE(fn_enter(parm_sock(ctx), msg, 0, msg_flags(msg), HP_SEND));
}

SEC("kprobe")
int kprobe_unix_recvmsg(struct pt_regs *ctx)
{
	return WHOLE(fn_enter(parm_sock(ctx), PT_REGS_PARM2(ctx), PT_REGS_PARM3(ctx),
			      PT_REGS_PARM4(ctx), HP_RECV));
}

SEC("kprobe")
int kprobe_tcp_sendpage(struct pt_regs *ctx)
{
	return WHOLE(fn_enter(PT_REGS_PARM1(ctx), 0, 0, PT_REGS_PARM5(ctx), HP_SEND));
}

SEC("kprobe")
int kprobe_unix_sendpage(struct pt_regs *ctx)
{
	return WHOLE(fn_enter(parm_sock(ctx), 0, 0, PT_REGS_PARM5(ctx), HP_SEND));
}

SEC("kprobe")
int kprobe_splice_read(struct pt_regs *ctx)
{
	return WHOLE(fn_enter(parm_sock(ctx), 0, PT_REGS_PARM4(ctx), 0, HP_RECV));
}

SEC("kprobe")
int kprobe_unix_release(struct pt_regs *ctx)
{
	return WHOLE(unix_ends((void *)parm_sock(ctx)));
}

SEC("kretprobe")
int kretprobe_done(struct pt_regs *ctx)
{
	__u32 tid = (__u32)current_ids();
	struct fn_call *kept = bpf_map_lookup_elem(&m_fn_calls, &tid), c;
	struct sock_state *ss;

	if (!kept)
		return 0;
	c = *kept;
	bpf_map_delete_elem(&m_fn_calls, &tid);
	/* TCP tells itself when a segment left. */
	if (c.dir == HP_SEND && c.enter_ns) {
		ss = bpf_map_lookup_elem(&m_socks, &c.sk);
		if (!ss || ss->family != AF_UNIX)
			c.enter_ns = 0;
	}
	return WHOLE(fn_done(&c, (void *)c.msg, false, (int)PT_REGS_RC(ctx), false));
}

#endif
