/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every program includes: types, helpers, the record ABI, configuration. */
#ifndef BPF_HP_H
#define BPF_HP_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include "hp/events.h"
#include "hp/tables.h"

#define AF_UNIX 1
#define AF_INET 2
#define AF_INET6 10
#define SOCK_STREAM 1
#define TCP_ESTABLISHED 1
#define TCP_SYN_SENT 2
#define TCP_SYN_RECV 3
#define TCP_FIN_WAIT1 4
#define TCP_CLOSE 7
#define TCP_LAST_ACK 9
#define RCV_SHUTDOWN 1
#define SHUTDOWN_BOTH 3
#define TCP_LISTEN 10
#define MSG_PEEK 2
#define MSG_TRUNC 0x20
#define MSG_ERRQUEUE 0x2000
#define MSG_DONTWAIT 0x40
#define O_NONBLOCK 04000
#define EINTR 4
#define EAGAIN 11
#define EPIPE 32
#define ENETDOWN 100
#define ENOBUFS 105
#define EISCONN 106
#define ENOTCONN 107
#define EHOSTUNREACH 113
#define EALREADY 114
#define EINPROGRESS 115
#define ERESTARTSYS 512 /* up to 516: a signal came first; user space never sees it */
#define ERESTART_LAST 516
#define NFDBITS_MAX (1 << 20)

/*
 * A call of a kernel function by a number that the loader replaces (hp/tables.h). An ordinary one would
 * be named by every object, which libbpf's linker refuses (1.1 does), and a kernel without the function
 * would refuse the program (5.13 to 5.15 do).
 */
#ifndef kernel_call
#define kernel_call(nr)                                                                            \
	asm volatile("call %[id]" ::[id] "i"(nr) : "r0", "r1", "r2", "r3", "r4", "r5", "memory")
#endif
#ifndef barrier
#define barrier() asm volatile("" ::: "memory")
#endif
#ifndef barrier_var
#define barrier_var(v) asm volatile("" : "+r"(v))
#endif

/*
 * Set before load; dead branches vanish. Weak: every object file sees the same variable once the
 * objects are linked.
 */
extern const volatile __u32 cfg_ncpus;
extern const volatile bool cfg_follow_children;
extern const volatile bool cfg_task_btf; /* bpf_get_current_task_btf is there */
extern const volatile bool cfg_task_pt_regs; /* bpf_task_pt_regs is there */

#endif
