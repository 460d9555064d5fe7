/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose request a database call is. Input: finished exchanges and calls, and the TASK records; output,
 * when the window is over: for each request its calls, with how they were bound. What cannot be bound
 * stays unbound and is counted: nothing is guessed.
 *
 *   task     the call was sent by the work that the response was written from (bind/lineage.h)
 *   thread   no tokens: the thread that read the request, made the call and wrote the response served
 *            nothing else meanwhile
 *
 * Binding goes backwards from the response: what a request's work did is known to be its own once that
 * work has answered it. A root that answers several requests (a task that serves a whole connection)
 * gives each call to the one that was read last before it.
 */
#ifndef BIND_BIND_H
#define BIND_BIND_H

#include "bind/lineage.h"
#include "session/span.h"

#define BIND_REQUESTS_MAX (1U << 17) /* 8 MiB; past it calls are bound to none */
#define BIND_CALLS_MAX (1U << 18) /* 16 MiB */
/*
 * Of a process that has made no call so far this many requests are kept, for calls that follow their
 * answers. Most servers of many requests (proxies, caches) never make one.
 */
#define BIND_IDLE_MAX 4096
#define BIND_IDLE (~0U)

enum bind_kind {
	BIND_NONE,
	BIND_TASK,
	BIND_THREAD,
	BIND_KINDS,
};

struct bind_call {
	u64 start_ns;
	u64 end_ns;
	const void *query; /* as bind_call() was given it */
	u32 trips; /* waits for the server */
	u32 tgid;
	u32 tid;
	u32 token; /* then: of the root of its work */
	u32 request; /* number of its request, 0 = unbound */
	u8 kind; /* enum bind_kind */
	bool partial; /* not wholly inside the window */
};

struct bind_request {
	u64 read_ns;
	u64 end_ns;
	u32 tgid;
	u32 read_tid;
	u32 tid; /* that read it and answered it; 0 = not one thread */
	u32 root; /* token of its work; then: of the root of that */
	u32 before; /* request of the same root, or thread, that was read before; 0 = none */
	u32 first; /* its calls are calls [first, first + n), after bind_finish() */
	u32 n;
	u32 row; /* as bind_request() was given it */
	bool partial;
	bool shared; /* another one was under way on its thread */
};

struct bind {
	struct lineage lineage;
	struct bind_request *requests; /* number n is at n - 1 */
	struct bind_call *calls;
	u32 nrequests, requests_cap;
	u32 ncalls, calls_cap;
	u32 settled; /* calls and */
	u32 settled_requests; /* requests whose root is known */
	u64 now_ns;
	struct map by_root; /* token → request read last */
	struct map by_thread; /* process and thread → request read last */
	struct map loops; /* threads that make tasks: there a thread says nothing */
	struct map idle; /* process → requests kept before its first call; then BIND_IDLE_MAX + 1 */
	u64 bound[BIND_KINDS]; /* calls, after bind_finish(); partial ones are not in it */
	u64 refused; /* past a bound, or for lack of memory */
};

void bind_init(struct bind *b);
void bind_release(struct bind *b);
void bind_task(struct bind *b, const struct ev_task *ev);
/*
 * A served request; its number, 0 = no room, BIND_IDLE = not kept, because its process makes no calls: it
 * has none. row: anything, handed back.
 */
u32 bind_request(struct bind *b, const struct http_exchange *x, u32 row);
/* query: anything, handed back. */
void bind_call(struct bind *b, const struct db_call *c, const void *query);
/* Once, at the end: calls in the order of their requests, then of time. */
void bind_finish(struct bind *b);
/* The calls of a request, after bind_finish(). */
const struct bind_call *bind_calls_of(const struct bind *b, u32 request, u32 *ret_n);

#endif
