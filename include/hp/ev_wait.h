/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Where threads wait: exact totals of each thread by reason, and a sample of waits with their stacks.
 *
 * A thread is on a processor, or it waits for one (run queue), or it is blocked until something wakes
 * it. A wait is the time from leaving a processor to being back on one: blocked_ns until it was woken,
 * runqueue_ns from then on. A thread that was pushed off its processor only has the latter.
 *
 * Waits are drawn for sampling with probability min(1, length / T): one that was drawn stands for
 * max(length, T) nanoseconds, so sums of weights are unbiased, and T bounds the stacks a second.
 */
#ifndef HP_EV_WAIT_H
#define HP_EV_WAIT_H

/* What a thread waited for. Numbers are an ABI: add at the end. */
enum hp_wait {
	HP_WAIT_NONE = 0, /* nothing: it could have run on */
	HP_WAIT_SOCKET = 1,
	HP_WAIT_PIPE = 2,
	HP_WAIT_DISK = 3, /* a file system, a block device, dirty pages */
	HP_WAIT_FUTEX = 4, /* another thread: mutex, condition, join */
	HP_WAIT_IDLE = 5, /* work: epoll, accept, poll of one listening socket */
	HP_WAIT_POLL = 6, /* several descriptors, by poll or select */
	HP_WAIT_SLEEP = 7,
	HP_WAIT_FAULT = 8, /* a page of its memory */
	HP_WAIT_GIL = 9, /* Python's global lock */
	HP_WAIT_EVENT = 10, /* eventfd, timerfd, inotify; signals, message queues */
	HP_WAIT_CHILD = 11,
	HP_WAIT_LOCK = 12, /* of a file, System V semaphores */
	HP_WAIT_RING = 13, /* io_uring */
	HP_WAIT_STOPPED = 14, /* by a signal, a debugger, the freezer */
	HP_WAIT_OTHER = 15,
	HP_WAIT_MAX = 16,
};

enum hp_waker {
	HP_WAKER_UNKNOWN = 0, /* not looked at, or nobody: it had hardly been blocked */
	HP_WAKER_THREAD = 1, /* in a system call; an interrupt on top of one is taken for it */
	HP_WAKER_INTERRUPT = 2, /* a timer, a device */
};

#define HP_WAKER_FRAMES 8 /* the innermost ones */

/*
 * A wait that was drawn. nframes struct ev_frame follow, as in struct ev_sample, then nwaker of the
 * thread that woke it, of the process alone. Between two records of a thread, what `before` and on_ns have
 * grown by says how much of that time it ran, and in how many waits that were not drawn it did not.
 */
struct ev_wait {
	struct ev_hdr hdr; /* ts_ns: when the thread was back on a processor */
	__u64 blocked_ns;
	__u64 runqueue_ns;
	__u64 weight_ns; /* what it stands for */
	__u64 on_ns; /* the thread's time on a processor since it is followed, */
	__u32 before; /* and its waits, this one not counted */
	__u32 cpu;
	/* Who woke it, with HP_WAKER_THREAD. */
	__u32 waker_tgid;
	__u32 waker_tid;
	__s32 nr; /* of the system call, -1 = none */
	__u16 nframes;
	__u16 nwaker;
	__u8 reason; /* enum hp_wait */
	__u8 unwind; /* enum hp_unwind */
	__u8 stop; /* enum uw_stop */
	__u8 woken_by; /* enum hp_waker */
	__u32 token; /* of the work that waited: hp/ev_task.h; 0 = not known */
	char comm[HP_COMM_LEN];
	char waker_comm[HP_COMM_LEN];
};

enum hp_wait_flags {
	HP_WAIT_ENDED = 1, /* the thread is no more */
	HP_WAIT_BASE = 2, /* as of the window's start: to be taken off what comes later */
};

/*
 * What a thread has waited for one reason since it is followed, up to hdr.ts_ns, the wait that is
 * under way included. The one with reason HP_WAIT_NONE comes for every thread: it carries on_ns, and with the
 * other reasons' sums it adds up to hdr.ts_ns - first_ns.
 */
struct ev_wait_total {
	struct ev_hdr hdr;
	__u64 first_ns; /* followed since; tells apart threads of one number */
	__u64 count; /* waits that are over */
	__u64 blocked_ns;
	__u64 runqueue_ns;
	__u64 on_ns; /* on a processor */
	__u32 reason; /* enum hp_wait */
	__u32 flags; /* enum hp_wait_flags */
	char comm[HP_COMM_LEN];
};

/*
 * What a thread did up to here: since its step before, or its last transfer, it ran for `token`, then it
 * waited blocked_ns + runqueue_ns until hdr.ts_ns. Every wait of a thread of a process that serves
 * requests is told, short or long, drawn or not. With HP_STEP_SAMPLED there was no wait: the CPU
 * sample of the same thread and time was taken of that work.
 */
struct ev_step {
	struct ev_hdr hdr; /* ts_ns: when the thread was back on a processor, or sampled */
	__u64 blocked_ns; /* until it was woken, */
	__u64 runqueue_ns; /* and from then on */
	__u32 token; /* hp/ev_task.h; 0 = not known, or nobody's */
	__u8 reason; /* enum hp_wait */
	__u8 flags; /* enum hp_step_flags */
	__u8 pad0[2];
};

enum hp_step_flags {
	HP_STEP_SAMPLED = 1,
	HP_STEP_QUEUED = 2, /* nor was there one: it queued bytes that are sent later */
};

#endif
