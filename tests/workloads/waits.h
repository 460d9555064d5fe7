/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that wait in a known way, each with a clock of its own: the time around a call that blocks
 * less the processor time that went by in it. A program by itself (waits.c), and what b_offcpu.c
 * measures.
 */
#ifndef TESTS_WORKLOADS_WAITS_H
#define TESTS_WORKLOADS_WAITS_H

#include <stdint.h>

enum waits_kind {
	WAITS_SLEEP,
	WAITS_PIPE,
	WAITS_FUTEX,
	WAITS_SOCKET,
	WAITS_POLL_ONE, /* poll() of one socket */
	WAITS_EPOLL,
	WAITS_EVENTFD,
	WAITS_DISK,
	WAITS_FAULT,
	WAITS_SPIN, /* none: its kind comes in more threads than there are processors */
	WAITS_KINDS,
};

struct waits_thread {
	int kind;
	int tid;
	char name[16];
	uint64_t waits; /* calls that may have blocked */
	int64_t waited_ns; /* in them, by the thread's own clocks; may be a little below 0 */
	uint64_t wall_ns; /* from its first to its last instruction here */
	uint64_t cpu_ns; /* of that, on a processor */
	uint64_t runqueue_ns; /* as /proc/self/task/TID/schedstat says */
};

#define WAITS_THREADS_MAX 64

/*
 * Runs one thread of each kind, and spinners, all at once; returns how many, 0 when something failed
 * (it says what on standard error). dir: where files may be written, on a disk.
 */
int waits_run(const char *dir, unsigned ms, int spinners, struct waits_thread *ret);

extern const char *const waits_names[WAITS_KINDS];

#endif
