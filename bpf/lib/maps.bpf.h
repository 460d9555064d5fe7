/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All maps. Weak definitions: the linker keeps one of each. Sizes are upper bounds; user space sets
 * m_events (power of two) and m_scratch (two slots a CPU) before load.
 */
#ifndef BPF_MAPS_H
#define BPF_MAPS_H

#include "lib/run.bpf.h"
#include "lib/task.bpf.h"

#define SOCKS_MAX 32768
#define THREADS_MAX 32768
#define TARGETS_MAX 8192
#define WAITS_MAX 8192
#define PROFILES_MAX 64

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 8 << 20);
} m_events __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct target_state);
} m_targets __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct thread_state);
} m_threads __weak SEC(".maps");

/* A call of a socket function under way on a thread: kretprobes do not bring the arguments. */
struct fn_call {
	__u64 sk;
	__u64 msg; /* 0: the bytes stay inside the kernel */
	__u64 len;
	__u64 enter_ns;
	__u32 flags;
	__u32 dir;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, THREADS_MAX);
	__type(key, __u32);
	__type(value, struct fn_call);
} m_fn_calls __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SOCKS_MAX);
	__type(key, __u64);
	__type(value, struct sock_state);
} m_socks __weak SEC(".maps");

/*
 * conn_id → profile, written by user space; looked up once per verdict_epoch and connection. A verdict
 * may come after its connection has gone: the oldest rows make room.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, SOCKS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} m_verdicts __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PROFILES_MAX);
	__type(key, __u32);
	__type(value, struct hp_verdict);
} m_profiles __weak SEC(".maps");

/* TCP ports that targets listen on: accepted sockets are known before accept() returns them. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__type(key, struct listen_key);
	__type(value, __u16);
} m_listen __weak SEC(".maps");

/* What threads are doing; see probes/offcpu.bpf.c. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, WAITS_MAX);
	__type(key, __u32); /* of the first PID namespace: every thread has one */
	__type(value, struct wait_state);
} m_waits __weak SEC(".maps");

/* Whose user stacks are walked by tables; the rest of that is in lib/stack.bpf.h. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, TARGETS_MAX);
	__type(key, __u32);
	__type(value, struct uw_proc);
} m_uw_procs __weak SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 32);
	__type(key, __u32);
	__type(value, __u64);
} m_drops __weak SEC(".maps");

#define WALK_WINDOW 1024

/*
 * A transfer under examination. It lives in map memory and not on the stack: the verifier follows
 * every value that a stack slot can have through every turn of a loop, and functions that take only
 * a slot number are verified once, not once a caller.
 */
struct xfer {
	__u64 sk; /* key into m_socks */
	__u64 base; /* the buffer when there is no iovec */
	__u64 enter_ns;
	__u64 now;
	__u64 wire_ns; /* see struct ev_data */
	__u64 pid_tgid;
	__u64 iov; /* address of the iovec entries; 0 = one buffer at base */
	__u64 iov_n;
	__u32 iov_kernel; /* they lie in kernel memory */
	__u32 iov_skip; /* bytes of the first one that are not part of the transfer */
	__u64 vec; /* sendmmsg, recvmmsg: address of the messages; 0 = one */
	__u32 vec_n;
	__u32 vec_flags; /* what holds for each of them */
	__u64 span_pos; /* what the record covers: */
	__u32 span_len;
	__u32 total; /* bytes moved */
	__u32 niov; /* entries valid in iov; 0 = one buffer */
	__u32 dir;
	__u32 profile; /* key into m_profiles */
	__u32 limit; /* bytes carried from the start */
	__u32 flags; /* enum hp_data_flags */
	__u32 token; /* as in struct ev_data */
	__u32 written; /* as in struct sock_state, before this transfer */
	__u32 out; /* bytes used in rec after struct ev_data */
	__u32 nsegs;
	__u32 frames_after;
	__u32 back; /* bytes of the transfer before that belong to this record */
	/* of the pass over the iovec under way: */
	__u32 left; /* bytes of the transfer from this entry on */
	__u32 off; /* of this entry in the transfer */
	__u32 at; /* whole: the run's place */
	__u32 len; /* whole: its length */
	__u32 budget; /* heads */
	__u32 end; /* heads: end of the last run in the transfer */
	__u32 tail_len; /* of the entry that holds the transfer's last byte */
	__u64 tail_base;
	/* of the frame walk: */
	__u32 walk_off; /* next byte to look at */
	__u32 win_off; /* window holds [win_off, win_off + win_len) */
	__u32 win_len;
	__u32 run_at; /* where the open run's bytes start in the record; 0 = none */
	__u32 run_off;
	__u32 run_len;
	__u32 frames; /* skipped since the last run */
	__u32 aligned;
	__u32 all; /* the last run: carry whatever comes */
	__u32 part_len; /* as in struct sock_state, where they go when the walk is over: */
	__u32 frame_left;
	__u32 frame_want;
	__u8 part[8];
};

/*
 * Room to build one large record. Two slots a CPU, because a program can be preempted on newer
 * kernels and another one then runs on the same CPU.
 */
struct scratch {
	__u32 busy;
	__u32 pad0;
	struct xfer x;
	__u8 rec[HP_RECORD_MAX + HP_PAYLOAD_MAX]; /* slack lets the verifier bound any copy */
	__u8 window[WALK_WINDOW + 64];
	struct iovec iov[HP_IOV_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 2);
	__type(key, __u32);
	__type(value, struct scratch);
} m_scratch __weak SEC(".maps");

static __always_inline void drop(enum hp_drop why)
{
	__u32 key = why;
	__u64 *n = bpf_map_lookup_elem(&m_drops, &key);

	if (n)
		(*n)++;
}

/*
 * How many targets have a process id with these low bits; user space adds its own. Most calls on a host
 * are other processes': one load, with no collision as long as ids are given in sequence.
 */
extern __u32 target_filter[TARGET_FILTER_SLOTS];

static __always_inline bool target_maybe(__u32 tgid)
{
	return target_filter[tgid & (TARGET_FILTER_SLOTS - 1)] != 0;
}

static __always_inline struct target_state *target_of(__u32 tgid)
{
	if (!target_maybe(tgid))
		return NULL;
	return bpf_map_lookup_elem(&m_targets, &tgid);
}

#endif
