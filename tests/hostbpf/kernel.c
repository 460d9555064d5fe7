/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See machine.h: the probes themselves, compiled as they are, and the kernel objects that they walk.
 * The only file of the tests that sees vmlinux.h; no C library header goes with it.
 */
#define TYPED_READS
#include "vmlinux.h"

struct sys_args;
struct iov_iter___bits;
struct iov_iter___kind;
struct iov_iter___iov;
struct iov_iter___iov2;
struct iov_iter___ubuf;

#include "probes/sock.bpf.c"
#define LICENSE LICENSE_OF_SYSCALL
#include "probes/transfer.bpf.c"
#undef LICENSE
#define LICENSE LICENSE_OF_PROC
#include "probes/proc.bpf.c"

#include "machine.h"

#define FDS_MAX 96
#define IOVS_MAX 1024 /* UIO_MAXIOV */
#define FAULT 14

void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
void abort(void) __attribute__((noreturn));
u32 mach_map_count(void *map);

struct name {
	struct unix_address addr;
	struct sockaddr_un un;
};

/* Everything that belongs to one open file. */
struct object {
	struct unix_sock sk; /* struct sock is its first member */
	struct tcp_sock tcp;
	struct socket socket;
	struct file file;
	struct inode inode;
	struct net net;
	struct name name;
	long refs; /* as file_ref counts: one holder reads as 0 */
	bool is_socket;
};

/* All kernel memory there is: a read outside of it faults. */
static struct {
	struct object objs[FDS_MAX];
	struct file *fds[FDS_MAX];
	struct fdtable fdt;
	struct files_struct files;
	struct signal_struct signal;
	struct task_struct task;
	struct task_struct child;
	struct msghdr msg; /* of the call under way */
	struct {
		unsigned int bits;
		u8 kind;
		const struct iovec *iov;
		void *ubuf;
		struct iovec vec[IOVS_MAX];
		u32 nvec;
		bool eager;
	} iter; /* what msg.msg_iter has besides its offset */
	char stack[THREAD_SIZE - sizeof(struct pt_regs)];
	struct pt_regs regs; /* at its end, as in a kernel */
	unsigned long next_ino;
	int nobjs;
} k;

static struct object *object_of(const void *p)
{
	u64 i = ((const char *)p - (const char *)k.objs) / sizeof(k.objs[0]);

	if ((const char *)p < (const char *)k.objs || i >= FDS_MAX)
		abort();
	return &k.objs[i];
}

static struct object *object_at(int fd)
{
	if (fd < 0 || fd >= FDS_MAX || !k.fds[fd])
		abort();
	return object_of(k.fds[fd]);
}

long mach_read_kernel(void *dst, __u32 n, const void *src)
{
	u64 at = (u64)src - (u64)&k;

	if (at < sizeof(k) && n <= sizeof(k) - at) {
		memcpy(dst, src, n);
		return 0;
	}
	memset(dst, 0, n);
	return -FAULT;
}

void *mach_tcp_of(const void *sk)
{
	return &object_of(sk)->tcp;
}

void *mach_iter_of(const void *it, int what)
{
	if (it != &k.msg.msg_iter)
		abort();
	switch (what) {
	case 0:
		return &k.iter.bits;
	case 1:
		return &k.iter.kind;
	case 2:
		return &k.iter.iov;
	default:
		return &k.iter.ubuf;
	}
}

void *mach_ref_of(const void *file)
{
	return &object_of(file)->refs;
}

void *mach_task_now(void)
{
	u64 id = mach_pid_tgid();

	k.task.tgid = id >> 32;
	k.task.pid = (u32)id;
	return &k.task;
}

void *mach_regs_now(void)
{
	return &k.regs;
}

void mach_kernel_reset(void)
{
	memset(&k, 0, sizeof(k));
	k.fdt.max_fds = FDS_MAX;
	k.fdt.fd = k.fds;
	k.files.fdt = &k.fdt;
	k.files.count.counter = 1;
	k.task.files = &k.files;
	k.task.signal = &k.signal;
	k.task.stack = k.stack;
	k.next_ino = 1000;
	verdict_epoch = 0;
	mach_token(0);
	live = 1;
	entries = 1;
	mach_scratch(0);
	seed_pass = 0;
	seed_count = 0;
}

static int fd_new(struct file *file)
{
	int fd;

	for (fd = 3; fd < FDS_MAX; fd++) {
		if (k.fds[fd])
			continue;
		k.fds[fd] = file;
		return fd;
	}
	abort();
}

static struct object *object_new(void)
{
	struct object *o;

	if (k.nobjs == FDS_MAX)
		abort();
	o = &k.objs[k.nobjs++];
	o->inode.i_ino = ++k.next_ino;
	o->file.f_inode = &o->inode;
	return o;
}

static void socket_init(struct object *o, __u16 family, __u16 type, __u8 state)
{
	o->is_socket = true;
	o->file.private_data = &o->socket;
	o->socket.file = &o->file;
	o->socket.sk = &o->sk.sk;
	o->sk.sk.sk_socket = &o->socket;
	o->sk.sk.sk_type = type;
	o->sk.sk.__sk_common.skc_family = family;
	o->sk.sk.__sk_common.skc_state = state;
	o->sk.sk.__sk_common.skc_net.net = &o->net;
	o->net.ns.inum = 1;
}

int mach_socket(__u16 family, __u8 tcp_state)
{
	struct object *o = object_new();

	socket_init(o, family, SOCK_STREAM, tcp_state);
	return fd_new(&o->file);
}

int mach_dgram(void)
{
	struct object *o = object_new();

	socket_init(o, AF_INET, 2, TCP_ESTABLISHED);
	return fd_new(&o->file);
}

int mach_file(void)
{
	struct object *o = object_new();

	o->file.private_data = (void *)0x1234; /* a pointer to nothing that is mapped */
	return fd_new(&o->file);
}

int mach_dup(int fd)
{
	struct object *o = object_at(fd);

	o->refs++;
	return fd_new(&o->file);
}

void mach_vanish(int fd)
{
	struct object *o = object_at(fd);

	o->refs--;
	k.fds[fd] = NULL;
}

void mach_release(int fd)
{
	object_at(fd)->refs = -1;
}

int mach_reuse(int fd)
{
	struct object *o = object_at(fd);
	__u16 family = o->sk.sk.__sk_common.skc_family;

	k.fds[fd] = NULL;
	memset(o, 0, sizeof(*o));
	o->inode.i_ino = ++k.next_ino;
	o->file.f_inode = &o->inode;
	socket_init(o, family, SOCK_STREAM, TCP_ESTABLISHED);
	return fd_new(&o->file);
}

void mach_addr(int fd, __u16 local_port, __u16 peer_port)
{
	struct sock_common *c = &object_at(fd)->sk.sk.__sk_common;

	c->skc_num = local_port;
	c->skc_dport = bswap16(peer_port);
	c->skc_rcv_saddr = 0x0100007f;
	c->skc_daddr = 0x0200007f;
	c->skc_v6_rcv_saddr.in6_u.u6_addr8[15] = 1;
	c->skc_v6_daddr.in6_u.u6_addr8[15] = 2;
}

void mach_bind_name(int fd, const char *name, int len)
{
	struct object *o = object_at(fd);

	if (len > (int)sizeof(o->name.un.sun_path))
		abort();
	memset(&o->name, 0, sizeof(o->name));
	o->name.addr.len = len + 2;
	o->name.un.sun_family = AF_UNIX;
	memcpy(o->name.un.sun_path, name, len);
	o->sk.addr = &o->name.addr;
}

void mach_peer(int fd, int peer)
{
	object_at(fd)->sk.peer = &object_at(peer)->sk.sk;
	object_at(peer)->sk.peer = &object_at(fd)->sk.sk;
}

void mach_netns(int fd, __u32 inum)
{
	object_at(fd)->net.ns.inum = inum;
}

void mach_flags(int fd, __u32 f_flags)
{
	object_at(fd)->file.f_flags = f_flags;
}

void mach_arrive(int fd, __u32 bytes)
{
	struct object *o = object_at(fd);

	o->tcp.rcv_nxt += bytes;
	sk_data_ready(&o->sk.sk);
}

void mach_taken(int fd, __u32 bytes)
{
	object_at(fd)->tcp.copied_seq += bytes;
}

void mach_written(int fd, __u32 bytes)
{
	object_at(fd)->tcp.write_seq += bytes;
}

void mach_tcp_state(int fd, int from, int to)
{
	struct object *o = object_at(fd);

	inet_sock_set_state(&o->sk.sk, from, to);
	o->sk.sk.__sk_common.skc_state = to;
}

void mach_sk_err(int fd, int err)
{
	object_at(fd)->sk.sk.sk_err = err;
}

void mach_connecting(int fd)
{
	object_at(fd)->socket.state = SS_CONNECTING;
}

void mach_queue(int fd, __u32 qlen)
{
	object_at(fd)->sk.sk.sk_receive_queue.qlen = qlen;
}

void mach_shut(int fd, __u8 how)
{
	object_at(fd)->sk.sk.sk_shutdown |= how;
}

void mach_destroy(int fd)
{
	tcp_destroy_sock(&object_at(fd)->sk.sk);
}

static void regs_set(long nr, __u64 a0, __u64 a1, __u64 a2, __u64 a3)
{
	k.regs.orig_ax = nr;
	k.regs.di = a0;
	k.regs.si = a1;
	k.regs.dx = a2;
	k.regs.r10 = a3;
}

void mach_enter(long nr, __u64 a0, __u64 a1, __u64 a2, __u64 a3)
{
	struct trace_sys ctx = { .id = nr, .args = { a0, a1, a2, a3 } };

	regs_set(nr, a0, a1, a2, a3);
	sys_enter_each(&ctx);
}

void mach_exit(long nr, long ret, __u64 a0, __u64 a1, __u64 a2, __u64 a3)
{
	struct trace_sys ctx = { .id = nr, .ret = ret };

	regs_set(nr, a0, a1, a2, a3);
	sys_exit_each(&ctx);
}

/* What the kernel itself does between entry and exit, as far as the probes can see it. */
void mach_call(long nr, long ret, __u64 a0, __u64 a1, __u64 a2, __u64 a3)
{
	mach_enter(nr, a0, a1, a2, a3);
	if (nr == NR_CLOSE)
		mach_vanish(a0);
	mach_exit(nr, ret, a0, a1, a2, a3);
}

/* Kinds have the numbers that the shim gives to kernels of either age; 2 and 16 are pages. */
void mach_iter(enum mach_iter kind, const struct mach_iov *iov, __u32 niov, __u64 offset, int eager)
{
	__u32 i;

	if (niov > IOVS_MAX || (kind == MACH_ITER_ONE && niov != 1))
		abort();
	memset(&k.iter, 0, sizeof(k.iter));
	for (i = 0; i < niov; i++) {
		k.iter.vec[i].iov_base = (void *)iov[i].base;
		k.iter.vec[i].iov_len = iov[i].len;
	}
	k.iter.nvec = niov;
	k.iter.eager = eager;
	k.iter.bits = kind == MACH_ITER_PAGES ? 16 : 4;
	k.iter.kind = kind == MACH_ITER_PAGES ? 2 : kind == MACH_ITER_ONE;
	k.iter.iov = kind == MACH_ITER_WILD ? NULL : k.iter.vec;
	if (kind == MACH_ITER_ONE && mach_has_func(0)) {
		k.iter.ubuf = (void *)iov->base;
		k.iter.iov = NULL;
	}
	k.msg.msg_iter.iov_offset = offset;
}

/* n bytes were copied: where the kernel leaves its iterator then. */
static void iter_move(u64 n)
{
	const struct iovec *end = k.iter.vec + k.iter.nvec;
	u64 skip = k.msg.msg_iter.iov_offset;

	if (k.iter.kind == 2 || k.iter.ubuf)
		k.msg.msg_iter.iov_offset += n;
	if (k.iter.kind == 2 || !k.iter.iov)
		return;
	for (; n && k.iter.iov < end; k.iter.iov++) {
		if (k.iter.iov->iov_len - skip > n) {
			skip += n;
			n = 0;
			break;
		}
		n -= k.iter.iov->iov_len - skip;
		skip = 0;
	}
	if (n)
		abort();
	while (k.iter.eager && !skip && k.iter.iov < end && !k.iter.iov->iov_len)
		k.iter.iov++;
	k.msg.msg_iter.iov_offset = skip;
}

static bool fn_sends(enum mach_fn fn)
{
	return fn != FN_TCP_RECVMSG && fn != FN_UNIX_RECVMSG && fn != FN_SPLICE_READ;
}

void mach_fn_enter(enum mach_fn fn, int fd, __u64 len, __u32 flags)
{
	struct object *o = object_at(fd);
	struct pt_regs regs = { .di = (u64)&o->socket, .si = (u64)&k.msg, .dx = len };

	k.msg.msg_flags = fn == FN_TCP_SENDMSG || fn == FN_UNIX_SENDMSG ? flags : 0;
	if (k.iter.bits == 4)
		k.iter.bits |= fn_sends(fn); /* its direction */
	regs.r8 = flags;
	switch (fn) {
	case FN_TCP_SENDMSG:
		regs.di = (u64)&o->sk;
		kprobe_tcp_sendmsg(&regs);
		break;
	case FN_TCP_RECVMSG:
		regs.di = (u64)&o->sk;
		regs.cx = flags;
		regs.r8 = ~0UL; /* where the length of an address goes */
		kprobe_tcp_recvmsg(&regs);
		break;
	case FN_UNIX_SENDMSG:
		kprobe_unix_sendmsg(&regs);
		break;
	case FN_UNIX_RECVMSG:
		regs.cx = flags;
		kprobe_unix_recvmsg(&regs);
		break;
	case FN_TCP_SENDPAGE:
		regs.di = (u64)&o->sk;
		kprobe_tcp_sendpage(&regs);
		break;
	case FN_UNIX_SENDPAGE:
		kprobe_unix_sendpage(&regs);
		break;
	case FN_SPLICE_READ:
		regs.cx = len;
		kprobe_splice_read(&regs);
		break;
	}
}

void mach_fn_leave(enum mach_fn fn, int fd, __u32 flags, long ret)
{
	bool message = fn <= FN_UNIX_RECVMSG, sends = fn_sends(fn);
	struct object *o = object_at(fd);
	struct pt_regs regs = { .ax = ret };

	if (ret > 0) {
		if (message && (sends || !(flags & MSG_TRUNC)))
			iter_move(ret);
		if (sends)
			o->tcp.write_seq += ret;
		else if (!(flags & (MSG_PEEK | MSG_ERRQUEUE)))
			o->tcp.copied_seq += ret;
	}
	kretprobe_done(&regs);
}

void mach_fn(enum mach_fn fn, int fd, __u64 len, __u32 flags, long ret)
{
	mach_fn_enter(fn, fd, len, flags);
	mach_fn_leave(fn, fd, flags, ret);
}

void mach_unix_release(int fd)
{
	struct pt_regs regs = { .di = (u64)&object_at(fd)->socket };

	kprobe_unix_release(&regs);
}

void mach_seed(void)
{
	struct bpf_iter__task_file ctx = { .task = mach_task_now() };

	for (seed_pass = 0; seed_pass < 2; seed_pass++) {
		for (int fd = 0; fd < FDS_MAX; fd++) {
			ctx.fd = fd;
			ctx.file = k.fds[fd];
			if (ctx.file)
				seed_sockets(&ctx);
		}
	}
}

void mach_fork(__u32 child)
{
	k.child.pid = child;
	k.child.tgid = child;
	proc_fork(mach_task_now(), &k.child);
}

void mach_share_files(int holders)
{
	k.files.count.counter = holders;
}

void mach_end(__u32 live_threads)
{
	k.signal.live.counter = live_threads;
	proc_exit(mach_task_now());
}

void mach_scratch(int busy)
{
	u32 slot;

	for (slot = 0; slot < 2 * cfg_ncpus; slot++)
		slot_of(slot)->busy = busy;
}

/* Whose work the current thread does: probes/pytask.bpf.c reads it from an interpreter. */
static u32 token;

int py_token(__u32 use, __u32 tgid, __u32 look)
{
	return k.task.tgid == (int)tgid ? (int)token : 0;
}

/* Where in the program: probes/site.bpf.c walks the stack of an interpreter. */
int site_drawn(__u64 conn_id, __u64 pos, __u64 at, __u32 len, __u32 what)
{
	(void)conn_id;
	(void)pos;
	(void)at;
	(void)len;
	(void)what;
	return 0;
}

int site_take(void)
{
	return 0;
}

void mach_token(__u32 number)
{
	token = number;
}

void mach_live(int on)
{
	live = on;
}

void mach_target(__u32 tgid, __u16 target)
{
	struct target_state ts = { .target = target };

	bpf_map_update_elem(&m_targets, &tgid, &ts, BPF_ANY);
	target_filter[tgid % TARGET_FILTER_SLOTS] = 1;
}

void mach_profile(__u32 n, const struct hp_verdict *v)
{
	bpf_map_update_elem(&m_profiles, &n, v, BPF_ANY);
}

void mach_verdict(__u64 conn_id, __u32 profile)
{
	bpf_map_update_elem(&m_verdicts, &conn_id, &profile, BPF_ANY);
	verdict_epoch++;
}

struct sock_state *mach_state(int fd)
{
	return sock_find(&object_at(fd)->sk.sk);
}

__u32 mach_socks(void)
{
	return mach_map_count(&m_socks);
}

__u64 mach_drop_count(__u32 why)
{
	__u64 *n = bpf_map_lookup_elem(&m_drops, &why);

	return n ? *n : 0;
}

void mach_flush(int fd)
{
	struct sock_state *ss = mach_state(fd);

	if (ss)
		cont_flush(ss);
}
