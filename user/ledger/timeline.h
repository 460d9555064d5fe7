/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What each thread did, as far as the last seconds go. Input: STEP and DATA records in the order of each
 * thread; output: for a span of time the pieces it consists of, and whose work each was.
 *
 *   ran      from one mark to the next; for whom, the mark at the end says if it bears a token, otherwise
 *            it goes on for whom it was before
 *   waited   as its STEP record says; a wait for work ends whatever the thread did before
 *
 * A thread's work has an owner, the token at the root of its lineage. Work without tokens is told by
 * connections: what follows a receive, and what ends in a send, belongs to that connection's request.
 *
 * A worker thread takes the next piece of work from a queue, and bears the token of the last one until it
 * has found out: what came since it waited for another thread last is the next one's.
 */
#ifndef LEDGER_TIMELINE_H
#define LEDGER_TIMELINE_H

#include "base/map.h"
#include "base/recent.h"
#include "base/types.h"
#include "bind/lineage.h"

#define TIMELINE_THREADS_MAX 16384
/*
 * Of all threads: 8 MiB. At that many the older half is let go; from the first number on, if what is left
 * goes back as far as is needed.
 */
#define TIMELINE_MARKS (1U << 15)
#define TIMELINE_MARKS_MAX (1U << 18)

enum mark_kind {
	MARK_WAIT, /* [from, ts): off its processor, woken at woken_ns */
	MARK_SEEN, /* did its work at ts: a CPU sample */
	MARK_QUEUED, /* the same: it queued bytes that a later send takes along */
	MARK_SEND, /* [from, ts): in the system call */
	MARK_RECV, /* a receive returned at ts */
};

struct mark {
	u64 ts_ns;
	u64 from_ns;
	union {
		u64 conn_id; /* transfers */
		u64 woken_ns; /* waits */
	};
	u32 owner; /* a token; once the timeline is settled up to here, that of its root; 0 = none */
	u8 kind; /* enum mark_kind */
	u8 reason; /* enum hp_wait */
	bool deferred; /* a send of what had been queued: what ran before it is not its owner's */
};

struct timeline_thread {
	u64 since_ns; /* nothing is known before */
	struct mark *v; /* a ring of cap, a power of two; number i is at (first + i) & (cap - 1) */
	u32 first, n, cap;
	u32 settled; /* this many of them */
	u32 tgid, tid;
	u32 next; /* thread of the process: its index + 1 */
	u32 owner; /* of the last settled mark that had one */
};

struct timeline {
	struct timeline_thread *threads;
	u32 nthreads, threads_cap;
	u32 unused; /* index + 1 of a place of threads without a thread; more by their `next` */
	struct map by_thread; /* process and thread → index */
	struct map by_process; /* → index + 1 of its first */
	struct recent senders; /* connection → root of what sent on it last */
	struct recent queued; /* thread and root that have queued bytes */
	u32 marks;
	u32 looked; /* marks when it was last looked whether some may go */
	u64 keep_ns; /* what is needed: the caller's */
	u64 refused; /* marks past a bound, for lack of memory, or out of order */
};

enum piece_state {
	PIECE_RUN,
	PIECE_RUNQUEUE,
	PIECE_WAIT,
	PIECE_IDLE, /* waited for work, whoever's */
};

struct piece {
	u64 from_ns;
	u64 to_ns;
	u32 owner; /* root; 0 = not known */
	u8 state; /* enum piece_state */
	u8 reason; /* enum hp_wait */
	bool asked; /* the one whose pieces they are: by connection or by root */
	bool sending; /* inside of a send */
};

/* Whose pieces are wanted: root, or 0 and the connection alone says. */
struct piece_owner {
	u64 conn_id;
	u32 root;
};

struct pieces {
	struct piece *v;
	u32 n, cap;
	bool failed; /* for lack of memory, or past PIECES_MAX: not all are there */
};
#define PIECES_MAX (1U << 16)

void timeline_init(struct timeline *t);
void timeline_release(struct timeline *t);
void timeline_add(struct timeline *t, u32 tgid, u32 tid, const struct mark *m);
/* Marks up to then: tokens become roots. loops: threads that run event loops. */
void timeline_settle(struct timeline *t, const struct lineage *l, const struct map *loops,
		     u64 until_ns);
/* NULL = nothing is known of it. Valid until the next timeline_add(). */
const struct timeline_thread *timeline_find(const struct timeline *t, u32 tgid, u32 tid);
/* Threads of a process: start with 0, then what *next was set to; NULL at the end. */
const struct timeline_thread *timeline_each(const struct timeline *t, u32 tgid, u32 *next);
/* Was anything received in between on another connection of `of`? */
bool timeline_received(const struct timeline_thread *th, u64 from_ns, u64 to_ns, u64 conn_id,
		       struct recent *of);
/* Pieces within [from, to), as they follow each other; none where nothing is known. Replaces *out. */
void timeline_pieces(const struct timeline_thread *th, u64 from_ns, u64 to_ns,
		     const struct piece_owner *of, struct pieces *out);
void pieces_release(struct pieces *p);

#endif
