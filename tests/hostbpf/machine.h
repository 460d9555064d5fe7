/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A kernel of a few hundred lines for the tests of the kernel side: processes with descriptors,
 * sockets, user memory with bounds, BPF maps and the ring buffer.
 *
 * Input: what a test makes happen (system calls with their results, arrivals, state changes).
 * Output: the records that the probes would have put into the ring. So the C of bpf/ runs under
 * AddressSanitizer and UndefinedBehaviorSanitizer, thousands of times a second and without root.
 * Include the fixed-size types before this header: vmlinux.h (kernel.c) or base/types.h (the rest).
 */
#ifndef HOSTBPF_MACHINE_H
#define HOSTBPF_MACHINE_H

#include "hp/events.h"
#include "hp/tables.h"

#define MACH_TGID 100
#define MACH_TID 101

enum mach_nr { /* x86-64, as in bpf/probes/syscall.bpf.c */
	NR_READ = 0,
	NR_WRITE = 1,
	NR_CLOSE = 3,
	NR_READV = 19,
	NR_WRITEV = 20,
	NR_DUP2 = 33,
	NR_SENDFILE = 40,
	NR_CONNECT = 42,
	NR_ACCEPT = 43,
	NR_SENDTO = 44,
	NR_RECVFROM = 45,
	NR_SENDMSG = 46,
	NR_RECVMSG = 47,
	NR_SHUTDOWN = 48,
	NR_SPLICE = 275,
	NR_ACCEPT4 = 288,
	NR_DUP3 = 292,
	NR_RECVMMSG = 299,
	NR_SENDMMSG = 307,
};

enum mach_fn { /* functions of the kernel that move bytes, see bpf/probes/sockfn.bpf.h */
	FN_TCP_SENDMSG,
	FN_TCP_RECVMSG,
	FN_UNIX_SENDMSG,
	FN_UNIX_RECVMSG,
	FN_TCP_SENDPAGE,
	FN_UNIX_SENDPAGE,
	FN_SPLICE_READ,
};

enum mach_iter { /* what a message's iterator goes over */
	MACH_ITER_ONE, /* one user buffer; an array of one where kernels had no such kind */
	MACH_ITER_MANY, /* an array in kernel memory of user buffers */
	MACH_ITER_PAGES, /* the kernel's own */
	MACH_ITER_WILD, /* an array that is not where it is said to be */
};

/* Layouts that the system call ABI fixes; the test side has no vmlinux.h. */
struct mach_iov {
	const void *base;
	__u64 len;
};

struct mach_msg {
	void *name;
	__u32 namelen;
	__u32 pad0;
	const struct mach_iov *iov;
	__u64 niov;
	void *control;
	__u64 controllen;
	__u32 flags;
	__u32 pad1;
};

struct mach_mmsg {
	struct mach_msg hdr;
	__u32 len;
	__u32 pad0;
};

/* Empties everything and makes MACH_TGID a target. old: no helper that came after 5.10. */
void mach_reset(int old);
void mach_full(int on); /* tables take no more rows */
void mach_task(__u32 tgid, __u32 tid);
void mach_target(__u32 tgid, __u16 target);

/* Memory that programs may read with bpf_probe_read_user. */
void mach_user(const void *p, __u64 n);
void mach_user_clear(void);

/* Bytes the ring still takes; what does not fit is refused as the kernel does. */
void mach_ring_room(__u64 bytes);
__u32 mach_records(void);
struct ev_hdr *mach_record(__u32 i); /* of malloc, its exact size; owned by the machine */
void mach_records_clear(void);
__u64 mach_drops(enum hp_drop why);
__u64 mach_faults(void); /* user reads that were refused */

/* kernel.c: what needs the kernel's types */
int mach_socket(__u16 family, __u8 tcp_state); /* a descriptor of a new socket */
int mach_dgram(void);
int mach_file(void); /* no socket */
int mach_dup(int fd);
/* The descriptor goes away without a system call that the probes see. */
void mach_vanish(int fd);
/* Only the last reference is dropped: the socket is being released. */
void mach_release(int fd);
/* A new socket whose struct sock and struct socket have the addresses of fd's, which vanishes. */
int mach_reuse(int fd);
void mach_addr(int fd, __u16 local_port, __u16 peer_port);
void mach_bind_name(int fd, const char *name, int len); /* unix; abstract names begin with NUL */
void mach_peer(int fd, int peer);
void mach_netns(int fd, __u32 inum);
void mach_flags(int fd, __u32 f_flags);
void mach_arrive(int fd, __u32 bytes); /* becomes readable now */
void mach_taken(int fd, __u32 bytes); /* the process has copied them */
void mach_written(int fd, __u32 bytes); /* the process has given them to TCP */
void mach_tcp_state(int fd, int from, int to);
void mach_sk_err(int fd, int err);
void mach_connecting(int fd); /* a connect() on it has not been answered */
void mach_queue(int fd, __u32 qlen); /* buffers waiting to be read */
void mach_shut(int fd, __u8 how); /* sk_shutdown */
void mach_destroy(int fd); /* TCP lets go of the socket */
void mach_enter(long nr, __u64 a0, __u64 a1, __u64 a2, __u64 a3);
void mach_exit(long nr, long ret, __u64 a0, __u64 a1, __u64 a2, __u64 a3);
void mach_call(long nr, long ret, __u64 a0, __u64 a1, __u64 a2, __u64 a3);
/*
 * A message's iterator, which the calls below move on. offset: bytes of the first entry used up before.
 * eager: at the end of an entry it steps over empty ones, too, as iov_iter_advance() does and copying
 * does not.
 */
void mach_iter(enum mach_iter kind, const struct mach_iov *iov, __u32 niov, __u64 offset,
	       int eager);
void mach_fn_enter(enum mach_fn fn, int fd, __u64 len, __u32 flags);
void mach_fn_leave(enum mach_fn fn, int fd, __u32 flags, long ret);
void mach_fn(enum mach_fn fn, int fd, __u64 len, __u32 flags, long ret);
void mach_unix_release(int fd); /* the last reference to a unix socket goes */
void mach_token(__u32 number); /* the current thread works for that one */
void mach_live(int on); /* every probe is attached: so after mach_reset() */
void mach_scratch(int busy); /* no slot is left: a program was interrupted by another */
void mach_seed(void); /* both passes over all descriptors */
void mach_fork(__u32 child);
void mach_share_files(int holders); /* processes with this table of descriptors */
void mach_end(__u32 live_threads); /* of the current task */
void mach_profile(__u32 n, const struct hp_verdict *v);
void mach_verdict(__u64 conn_id, __u32 profile);
struct sock_state *mach_state(int fd); /* NULL: not in the table */
__u32 mach_socks(void); /* entries of the socket table */
__u64 mach_drop_count(__u32 why);
void mach_kernel_reset(void);
__u64 mach_clock(void);
void mach_sleep(__u64 ns);

/* Gives what is held back, as user/load does when the window ends. */
void mach_flush(int fd);

#endif
