/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The syscall rung: transfers, connects, accepts and closes of the targets, seen at system call
 * entry and exit. Works on every kernel with BTF tracepoints, kprobes or not.
 *
 * Most work happens at exit, where the arguments are still in the saved registers; entry is only
 * taken for what exit cannot tell: when a send began, and the socket behind a descriptor that
 * close() is about to end. A table picks the calls that matter before anything else is looked at.
 */
#ifndef BPF_SYSCALL_H
#define BPF_SYSCALL_H

#include "lib/arch.bpf.h"
#include "lib/calls.bpf.h"
#include "lib/transfer.bpf.h"

const volatile bool cfg_task_pt_regs = false; /* bpf_task_pt_regs is there */

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
#define MMSG_STEPS 32

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

/*
 * Message i of sendmmsg or recvmmsg: the arrays are user memory. 1: there are no more. Receiving nothing
 * is the end of the stream.
 */
__noinline int message_at(__u32 slot, __u32 i)
{
	struct scratch *s = slot_of(slot);
	struct sock_state *ss;
	struct mmsghdr *m;
	__u64 iov[2]; /* msg_iov, msg_iovlen */
	__u32 len;

	if (!s || i >= s->x.vec_n)
		return 1;
	ss = bpf_map_lookup_elem(&m_socks, &s->x.sk);
	m = (struct mmsghdr *)s->x.vec + i;
	if (!ss || bpf_probe_read_user(iov, sizeof(iov), &m->msg_hdr.msg_iov) ||
	    bpf_probe_read_user(&len, sizeof(len), &m->msg_len))
		return 1;
	if (!len) {
		if (s->x.dir == HP_RECV && iov[1])
			sock_trouble(ss, 0, s->x.pid_tgid, s->x.now);
		return 0;
	}
	s->x.total = len;
	s->x.flags = s->x.vec_flags;
	s->x.iov = iov[0];
	s->x.iov_n = iov[1];
	transfer(slot, s, ss, false);
	return 0;
}

__noinline int messages_all(__u32 slot)
{
	__u32 i;

	for (i = 0; i < MMSG_MAX; i++)
		if (message_at(slot, i))
			break;
	return 0;
}

/* Bytes that some of n messages moved. */
__noinline int message_lens(__u64 vec, __u32 from, __u32 n)
{
	__u32 total = 0, len, i;

	for (i = 0; i < MMSG_STEPS; i++) {
		len = 0;
		if (from + i < n)
			bpf_probe_read_user(&len, sizeof(len),
					    &((struct mmsghdr *)vec + from + i)->msg_len);
		total += len;
	}
	return total;
}

__noinline int messages_len(__u64 vec, __u32 n)
{
	__u32 total = 0, i;

	for (i = 0; i < MMSG_MAX && i < n; i += MMSG_STEPS)
		total += message_lens(vec, i, n);
	return total;
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
	__u64 pid_tgid, now;
	__u32 tid, class;

	if (id < 0 || id >= SYS_MAX)
		return 0;
	class = sys_class[id & (SYS_MAX - 1)];
	if (!(class & SYS_AT_ENTRY))
		return 0;
	if (!live)
		return 0;
	pid_tgid = current_ids();
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
		call_connects(&ref, target->target, pid_tgid, now);
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

/* The call's flags argument; 0 where it has none. */
static __always_inline __u32 call_flags(__u32 class, const struct sys_args *a)
{
	switch (class) {
	case SYS_SENDTO:
	case SYS_RECVFROM:
	case SYS_SENDMMSG:
	case SYS_RECVMMSG:
		return a->a3;
	case SYS_SENDMSG:
	case SYS_RECVMSG:
		return a->a2;
	}
	return 0;
}

/* Where the bytes of the call lie. */
static __always_inline void call_buffers(__u32 class, const struct sys_args *a, struct scratch *s)
{
	__u64 iov[2]; /* msg_iov, msg_iovlen */

	s->x.base = a->a1;
	s->x.iov = 0;
	s->x.iov_kernel = 0;
	s->x.iov_skip = 0;
	switch (class) {
	case SYS_SENDFILE:
	case SYS_SPLICE:
		s->x.flags |= HP_DATA_OPAQUE;
		break;
	case SYS_READV:
	case SYS_WRITEV:
		s->x.iov = a->a1;
		s->x.iov_n = a->a2;
		break;
	case SYS_RECVMSG:
	case SYS_SENDMSG:
		if (bpf_probe_read_user(iov, sizeof(iov),
					&((struct user_msghdr *)a->a1)->msg_iov)) {
			drop(DROP_READ_FAULT);
			s->x.flags |= HP_DATA_OPAQUE | HP_DATA_FAULT;
			break;
		}
		s->x.iov = iov[0];
		s->x.iov_n = iov[1];
		break;
	}
}

/* Bytes moved on a connection of a target: ret of them, or ret messages. */
static __always_inline void call_transfer(struct sock_ref *ref, struct sock_state *ss,
					  const struct sys_args *a, __u32 class, __u32 ret,
					  __u32 dir, __u64 enter_ns, __u64 pid_tgid, __u64 now)
{
	__u32 slot = slot_take(), flags = call_flags(class, a), total = ret;
	struct file *file = ref->file;
	struct scratch *s = slot == NO_SLOT ? NULL : slot_of(slot);

	if (class == SYS_RECVMMSG || class == SYS_SENDMMSG)
		total = messages_len(a->a1, ret);
	transfer_gap(ss, ref->sk, dir, total);
	if (!s) {
		transfer_skip(ss, dir, total);
		frames_lose(ss, dir);
		return;
	}
	s->x.sk = (__u64)ref->sk;
	s->x.enter_ns = enter_ns;
	s->x.now = now;
	s->x.pid_tgid = pid_tgid;
	s->x.total = ret;
	s->x.dir = dir;
	s->x.flags = 0;
	if (dir == HP_RECV && flags & MSG_TRUNC)
		s->x.flags = HP_DATA_OPAQUE;
	else if (dir == HP_SEND &&
		 (flags & MSG_DONTWAIT || BPF_CORE_READ(file, f_flags) & O_NONBLOCK))
		s->x.flags = HP_DATA_NONBLOCK;
	if (class == SYS_RECVMMSG || class == SYS_SENDMMSG) {
		s->x.iov_kernel = 0;
		s->x.iov_skip = 0;
		s->x.vec = a->a1;
		s->x.vec_n = ret;
		s->x.vec_flags = s->x.flags;
		messages_all(slot);
	} else {
		call_buffers(class, a, s);
		transfer(slot, s, ss, false);
	}
	s->busy = 0;
}

/* The arguments of the call that ends; regs is NULL where the context does not bring them. */
static __always_inline bool args_of(struct pt_regs *regs, long id, struct sys_args *ret)
{
	if (!regs) {
		if (!cfg_task_pt_regs) {
			if (sys_args_find(id, ret))
				return true;
			drop(DROP_READ_FAULT);
			return false;
		}
		regs = (struct pt_regs *)bpf_task_pt_regs(bpf_get_current_task_btf());
	}
	sys_args_read(regs, ret);
	return true;
}

/* Everything that moves bytes or ends a direction. */
static __always_inline int sys_transfer_done(struct pt_regs *regs, long id, long ret, __u32 class,
					     __u64 pid_tgid, bool typed)
{
	struct target_state *target;
	struct sock_state *ss;
	struct sys_args a;
	struct sock_ref ref;
	__u64 now;
	__u32 dir;

	if (!args_of(regs, id, &a))
		return 0;
	if (class == SYS_SPLICE) {
		/* One end is a pipe; the other may be a socket, as sink or as source. */
		dir = sock_of_fd_by(a.a2, &ref, typed) ? HP_SEND : HP_RECV;
		if (dir == HP_RECV && !sock_of_fd_by(a.a0, &ref, typed))
			return 0;
	} else {
		if (!sock_of_fd_by(a.a0, &ref, typed))
			return 0;
		dir = class == SYS_WRITE || class == SYS_WRITEV || class == SYS_SENDTO ||
		      class == SYS_SENDMSG || class == SYS_SENDMMSG || class == SYS_SENDFILE;
	}
	now = bpf_ktime_get_ns();
	if (class == SYS_SHUTDOWN) {
		if (!ret && a.a1)
			call_shut_wr(ref.sk, pid_tgid, now);
		return 0;
	}
	/* What is read from the error queue is no part of the stream. */
	if (dir == HP_RECV && call_flags(class, &a) & MSG_ERRQUEUE)
		return 0;
	if (ret <= 0) {
		/* A zero-length buffer reads 0 without an end of file. */
		if (ret == 0 && dir == HP_RECV && (class == SYS_READ || class == SYS_RECVFROM) &&
		    a.a2 == 0)
			return 0;
		transfer_error(&ref, ret, pid_tgid, now, dir == HP_RECV);
		return 0;
	}
	ss = sock_known(&ref, pid_tgid >> 32);
	if (!ss) {
		target = target_of(pid_tgid >> 32);
		ss = target ? sock_get(&ref, target->target, pid_tgid, now) : NULL;
		if (!ss)
			return 0;
		ss->tgid = pid_tgid >> 32;
	}
	if (dir == HP_RECV && call_flags(class, &a) & MSG_PEEK)
		return 0;
	call_transfer(&ref, ss, &a, class, ret, dir,
		      dir == HP_SEND && entries ? enter_of(pid_tgid, id) : 0, pid_tgid, now);
	return 0;
}

/* A system call of these registers ends. */
static __always_inline int on_exit(struct pt_regs *regs, long id, long ret, bool typed)
{
	struct target_state *target;
	struct sock_ref ref;
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
	pid_tgid = current_ids();
	if (!target_maybe(pid_tgid >> 32))
		return 0;
	if (class != SYS_ACCEPT && class != SYS_CONNECT)
		return sys_transfer_done(regs, id, ret, class, pid_tgid, typed);
	target = target_of(pid_tgid >> 32);
	if (!target)
		return 0;
	if (class == SYS_ACCEPT) {
		if (ret >= 0 && sock_of_fd(ret, &ref))
			call_accepted(&ref, pid_tgid, target->target);
	} else if (args_of(regs, id, &a) && sock_of_fd(a.a0, &ref)) {
		call_connected(&ref, ret, pid_tgid);
	}
	return 0;
}

/*
 * Two ways to the same code, one of which is loaded. A tracepoint for each call runs a program only
 * for the calls that matter, in any process; the raw ones run for every call on the host, but need no
 * tracefs.
 */
SEC("tracepoint")
int sys_enter_each(struct trace_sys *ctx)
{
	return WHOLE(on_enter(ctx->id, ctx->args[0]));
}

SEC("tracepoint")
int sys_exit_each(struct trace_sys *ctx)
{
	return WHOLE(on_exit(NULL, ctx->id, ctx->ret, true));
}

static __always_inline int on_call_exit(struct trace_sys *ctx)
{
	struct target_state *target;
	struct sock_ref ref;
	struct sys_args a;
	__u64 pid_tgid;
	__u32 class;

	if (!live || ctx->id < 0 || ctx->id >= SYS_MAX)
		return 0;
	class = sys_class[ctx->id & (SYS_MAX - 1)] & SYS_CLASS_MASK;
	pid_tgid = current_ids();
	target = target_of(pid_tgid >> 32);
	if (!target)
		return 0;
	if (class == SYS_ACCEPT) {
		if (ctx->ret >= 0 && sock_of_fd(ctx->ret, &ref))
			call_accepted(&ref, pid_tgid, target->target);
		return 0;
	}
	if (!args_of(NULL, ctx->id, &a))
		return 0;
	if (class == SYS_CONNECT) {
		if (sock_of_fd(a.a0, &ref))
			call_connected(&ref, ctx->ret, pid_tgid);
		return 0;
	}
	if (class == SYS_SHUTDOWN && !ctx->ret && a.a1 && sock_of_fd(a.a0, &ref))
		call_shut_wr(ref.sk, pid_tgid, bpf_ktime_get_ns());
	return 0;
}

/* The calls that open and end connections alone, where another rung sees the transfers. */
SEC("tracepoint")
int sys_exit_calls(struct trace_sys *ctx)
{
	return WHOLE(on_call_exit(ctx));
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter_all, struct pt_regs *regs, long id)
{
	struct sys_args a;

	if (id < 0 || id >= SYS_MAX || !(sys_class[id & (SYS_MAX - 1)] & SYS_AT_ENTRY))
		return 0;
	sys_args_read(regs, &a);
	return WHOLE(on_enter(id, a.a0));
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit_all, struct pt_regs *regs, long ret)
{
	return WHOLE(on_exit(regs, sys_nr(regs), ret, false));
}

#endif
