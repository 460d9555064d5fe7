/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which task made which. Input: the TASK records; output: for a token the task at the root of its work,
 * the one that a request's handling began with.
 *
 * Servers make the next request's task from wherever they stand, often from the work of the request
 * before, so ancestry alone goes on for ever. What ends it is the kind of task, by the code of its
 * coroutine: the nearest one from whose work responses are written, and that is made outside of all tasks
 * (a connection's first request always is) or by who has just written a response (a request that was
 * waiting for that); what a handler makes for itself is neither.
 *
 * The newest LINEAGE_TASKS tasks are kept; older ones are not known any more.
 */
#ifndef BIND_LINEAGE_H
#define BIND_LINEAGE_H

#include "base/map.h"
#include "base/types.h"
#include "hp/events.h"

#define LINEAGE_TASKS (1U << 18)
#define LINEAGE_DEPTH 64 /* ancestors that are looked at */
#define LINEAGE_CODES 4096

struct lineage_task {
	u64 created_ns;
	u32 kind; /* index in kinds */
	u32 token; /* 0: an empty place */
	u32 parent;
	u32 tgid;
	bool afresh;
};

struct lineage_kind {
	u64 made;
	u64 afresh; /* of these, by no task that is known, or by one that was done with its response */
	bool responds;
};

struct lineage {
	struct lineage_task *v; /* a ring; grows up to LINEAGE_TASKS */
	u32 n; /* places in use or used before */
	u32 cap;
	u32 next;
	struct map by_token;
	struct map responded; /* token → when it wrote a response; emptied when full */
	struct map by_kind; /* hash of process and code → index in kinds */
	struct lineage_kind *kinds;
	u32 nkinds, kinds_cap;
	u64 refused; /* for lack of memory */
};

void lineage_init(struct lineage *l);
void lineage_release(struct lineage *l);
void lineage_add(struct lineage *l, const struct ev_task *ev);
/* NULL: not known, or not any more. Valid until the next lineage_add(). */
const struct lineage_task *lineage_find(const struct lineage *l, u32 token);
/* A response was written by this work, its last byte at end_ns. */
void lineage_learn(struct lineage *l, u32 token, u64 end_ns);
/* The token of the root task; 0: nothing is known of this work. */
u32 lineage_root(const struct lineage *l, u32 token);

#endif
