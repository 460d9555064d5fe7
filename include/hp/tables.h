/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Values of the kernel's tables, as far as user space reads or writes them: targets in, connections
 * out when the window ends. Not part of the record stream.
 */
#ifndef HP_TABLES_H
#define HP_TABLES_H

struct target_state {
	__u16 target;
	__u16 pad0;
	__u32 pad1;
	__u64 served_ns; /* when it last read from who connected to it; 0 = never */
};

/* A process that read no request for so long serves nobody: its threads' steps are not told. */
#define SERVES_NS 10000000000ULL

/* Numbers of calls in the programs that stand for kernel functions: no helper has them. */
enum hp_kernel_call {
	HP_CALL_PREEMPT_DISABLE = 0x7e5700,
	HP_CALL_PREEMPT_ENABLE,
	HP_CALL_END,
};

#define COST_EVERY 64 /* of so many runs one is timed; a power of two */

struct run_cost {
	__u64 timed; /* runs */
	__u64 ns; /* they took */
};

/* A TCP port that a target listens on. */
struct listen_key {
	__u32 netns; /* inode number of its network namespace */
	__u32 port;
};

/* A syscall under way on a thread. */
struct thread_state {
	__u64 enter_ns;
	__u32 nr;
	__u32 pad0;
};

/* Transfers held back because nothing but their last bytes matters; see struct ev_cont. */
struct cont_state {
	__u32 calls;
	__u32 frames;
	__u64 pos;
	__u64 len;
	__u64 first_ns;
	__u64 last_ns;
	__u64 enter_ns;
	__u64 wire_ns;
	__u32 tgid;
	__u32 tid;
	__u8 dir;
	__u8 tail_len;
	__u8 flags;
	__u8 pad0;
	__u32 last_len;
	__u8 tail[HP_TAIL_MAX];
};

enum sock_flags {
	SOCK_ANNOUNCED = 1, /* CONN_OPEN was sent */
	SOCK_DEAF = 2, /* tracked only to be left alone (socketpairs) */
	SOCK_EOF_SENT = 4,
	SOCK_NEW_TURN = 8, /* nothing moved yet */
	SOCK_ERROR_SENT = 16,
	SOCK_EARLY = 32, /* known before transfers were followed: some may have gone by unseen */
	SOCK_SETTLED = 128, /* arrival_ns is not that of a read which nobody saw */
	SOCK_CUT = 64, /* the turn began with too few bytes to tell what it is */
};

enum wait_what {
	WAIT_RUNNING = 0,
	WAIT_RUNNABLE,
	WAIT_BLOCKED,
};

struct wait_total {
	__u64 count;
	__u64 blocked_ns;
	__u64 runqueue_ns;
};

/*
 * A thread of a target. It changes while user space copies it, in ascending order: writers count up
 * `changing` first and `changed` last, so a copy in which the two are equal is whole.
 */
struct wait_state {
	__u32 changed;
	__u32 what; /* enum wait_what */
	__u64 since_ns; /* it is that */
	__u64 came_ns; /* when it came to its processor the last time but that */
	__u64 wake_ns; /* when it was last woken; before came_ns: for another wait */
	__u64 first_ns; /* followed since */
	__u64 on_ns;
	__u64 comm_ns; /* when comm was read */
	__u64 task; /* struct task_struct *: numbers are reused */
	__u32 tgid;
	__u32 tid;
	__u32 waker_tgid;
	__u32 waker_tid;
	__u32 draw; /* what decides whether this wait is drawn */
	__s32 nr; /* of the wait under way, or the last one: */
	__u16 target;
	__u8 reason; /* enum hp_wait */
	__u8 nwaker; /* frames of the waker's stack */
	__u8 woken_by; /* enum hp_waker */
	__u8 serves; /* the wait under way is told as a step */
	__u8 pad0[2];
	__u32 waits; /* that are over */
	__u32 token; /* of what it did when it left its processor; 0 = not known */
	__u64 search_ns; /* its Python thread state is not searched for again before */
	/* Of the wait that was drawn, until its stack is taken; weight_ns 0 = none: */
	__u64 blocked_ns;
	__u64 runqueue_ns;
	__u64 weight_ns;
	char comm[HP_COMM_LEN];
	char waker_comm[HP_COMM_LEN];
	struct ev_frame waker[HP_WAKER_FRAMES];
	struct wait_total total[HP_WAIT_MAX];
	__u32 pad1;
	__u32 changing;
};

#define STILL_KERNEL_MAX 20

/* A thread that waits, as a walk over the threads finds it. Not part of the record stream either. */
struct still_waiting {
	__u32 key; /* into m_waits */
	__u32 changed; /* of its row */
	__u32 tgid;
	__u32 tid;
	__u32 nkernel;
	__u32 pad0;
	__u64 regs[21]; /* struct pt_regs: what it came into the kernel with */
	__u64 fsbase;
	__u64 kernel[STILL_KERNEL_MAX]; /* its frames there, innermost first */
};

#define TARGET_FILTER_SLOTS 4096 /* of target_filter, by the low bits of the process id */

#define SITE_FIRST (1U << 31) /* see site_drawn() in bpf/probes/site.bpf.c */

/* In the order of use: a transfer that is carried whole touches the lines down to cont.calls. */
struct sock_state {
	__u64 socket; /* struct socket *, 0 before accept(): guards against a reused struct sock */
	__u64 arrival_ns; /* first unread data became readable; 0 = all read */
	__u64 arrival_last_ns;
	__u32 arrival_seq; /* TCP: end of what that brought */
	__u32 taken_seq; /* TCP: copied_seq after the last read that was seen */
	__u32 sent_seq; /* TCP: write_seq after the last send that was seen */
	__u32 tgid; /* the target's process that used it last */
	__u32 token; /* of what uvloop holds back to be sent; see bpf/probes/pytask.bpf.c */
	__u32 inode; /* of the socket; tells apart unix sockets that got the same memory */
	__u16 target;
	__u16 family;
	__u8 role;
	__u8 origin;
	__u8 flags; /* enum sock_flags */
	__u8 last_dir;
	__u16 profile; /* index into m_profiles; 0 = default */
	__u16 peer_port; /* network order, from the handshake: a refused socket forgets it */
	__u8 frame_part_len[2]; /* bytes of a header that the last transfer cut */
	__u8 frame_aligned[2]; /* frame_left is right */
	__u64 conn_id;
	__u64 verdict_epoch;
	__u64 pos[2];
	__u32 written; /* uvloop holds something back: where that was written is told, or not drawn */
	__u32 pad0;
	struct cont_state cont;
	__u64 open_ns;
	__u64 established_ns;
	__u32 frame_left[2]; /* bytes of the current frame still to come */
	__u32 frame_want[2]; /* of these, to be carried */
	__u8 frame_part
		[2][16]; /* the bytes of frame_part_len; room for the whole header behind them */
};

#endif
