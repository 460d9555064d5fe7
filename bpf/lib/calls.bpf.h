/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What opens and ends connections besides TCP itself: accept, connect, shutdown by a target, seen at the
 * system call or at the socket's own function.
 */
#ifndef BPF_CALLS_H
#define BPF_CALLS_H

#include "lib/sock.bpf.h"

static __noinline int call_accepted(struct sock_ref *ref, __u64 pid_tgid, __u32 target)
{
	__u64 now = bpf_ktime_get_ns();
	struct sock_state *ss;

	if (!ref)
		return 0;
	ss = sock_find(ref->sk);
	/* Known since the handshake: keep its times. Anything else under this address is stale. */
	if (ss && ss->socket) {
		sock_end(ref->sk, ss, pid_tgid, now);
		ss = NULL;
	}
	if (!ss) {
		ss = sock_track(ref->sk, ref->socket, HP_ROLE_SERVER,
				(__u32)HP_ORIGIN_ACCEPT << 16 | target);
		if (!ss)
			return 0;
	}
	ss->socket = (__u64)ref->socket;
	ss->inode = socket_inode(ref->socket);
	ss->origin = HP_ORIGIN_ACCEPT;
	ss->target = target;
	sock_announce(ref->sk, ss, pid_tgid, now);
	return 0;
}

/* A connect() begins. */
static __noinline int call_connects(struct sock_ref *ref, __u32 target, __u64 pid_tgid, __u64 now)
{
	struct socket *socket;
	struct sock_state *ss;
	struct sock *sk;

	if (!ref)
		return 0;
	sk = ref->sk;
	ss = sock_find(sk);
	/* Known already: a second connect() that asks how the first one went. */
	if (ss && sock_same(ss, ref) &&
	    (ss->family == AF_UNIX || BPF_CORE_READ(sk, __sk_common.skc_state) != TCP_CLOSE))
		return 0;
	if (ss)
		sock_end(sk, ss, pid_tgid, now);
	socket = ref->socket;
	if (BPF_CORE_READ(socket, state) != SS_CONNECTING)
		sock_track(sk, socket, HP_ROLE_CLIENT, (__u32)HP_ORIGIN_CONNECT << 16 | target);
	return 0;
}

static __noinline int call_connected(struct sock_ref *ref, long ret, __u64 pid_tgid)
{
	__u64 now = bpf_ktime_get_ns();
	struct sock_state *ss;
	struct sock *sk;
	__u32 err;

	if (!ref)
		return 0;
	ss = sock_find(ref->sk);
	if (!ss || !sock_same(ss, ref))
		return 0;
	/* After a signal the handshake goes on by itself. */
	if (ret && ret != -EINPROGRESS && ret != -EINTR &&
	    (ret > -ERESTARTSYS || ret < -ERESTART_LAST)) {
		if (ret == -EISCONN || ret == -EALREADY) /* asked again */
			return 0;
		if (!(ss->flags & SOCK_ANNOUNCED))
			sock_announce(ref->sk, ss, pid_tgid, ss->open_ns);
		emit_conn_state(ss, pid_tgid, now, HP_CONN_FAILED, -ret, 0);
		sock_end(ref->sk, ss, pid_tgid, now);
		return 0;
	}
	if (ss->flags & SOCK_ANNOUNCED)
		return 0;
	if (ss->family == AF_UNIX && !ret)
		ss->established_ns = now;
	sk = ref->sk;
	sock_announce(sk, ss, pid_tgid, ss->open_ns);
	if (ret && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_CLOSE) {
		/* Refused before the call came back. */
		err = BPF_CORE_READ(sk, sk_err);
		emit_conn_state(ss, pid_tgid, now, HP_CONN_FAILED, err, 0);
		sock_end(sk, ss, pid_tgid, now);
	}
	return 0;
}

static __always_inline void call_shut_wr(struct sock *sk, __u64 pid_tgid, __u64 now)
{
	struct sock_state *ss = sock_find(sk);

	if (!ss || !(ss->flags & SOCK_ANNOUNCED))
		return;
	cont_flush(ss);
	emit_conn_state(ss, pid_tgid, now, HP_CONN_SHUT_WR, 0, 0);
}

#endif
