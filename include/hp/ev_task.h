/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Whose work a thread does. A token is the number of a piece of work that was seen to begin, given out
 * once in a run; programs attach it to what the work does:
 *
 *   CPython   a task of asyncio, known by its context (contextvars), which the thread state points at
 *             while the task runs
 *
 * Runtimes reuse memory within a fraction of a millisecond, so the address of a context names nothing by
 * itself: it is looked up when it is read, and what leaves the kernel is the number.
 */
#ifndef HP_EV_TASK_H
#define HP_EV_TASK_H

/* A task begins. It is told when its context is known, before anything that bears its token; maybe twice. */
struct ev_task {
	struct ev_hdr hdr; /* ts_ns: when its context was known */
	__u64 created_ns;
	__u64 code; /* of its coroutine: what kind of task it is */
	__u32 token;
	__u32 parent; /* whose work made it; 0 = not known: made outside of any task, or before attach */
};

#endif
