/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where each request's time went. Input, in the order of the stream: STEP and DATA records, connections
 * as they open, served requests and calls when they are over; output, some seconds later: for each
 * request its phases, which sum to its latency to the nanosecond, and who held it up.
 *
 * Every instant between a request's arrival and its last byte has one phase, the first of these that
 * there is evidence for:
 *
 *   its work was on a processor, or waited for one, or for a lock, a disk, ...: whatever thread did it
 *   a call of its was under way: calls that overlap count once
 *   it could have gone on, but the thread that read it was busy with others: loop_wait. It could not
 *   when that thread has been idle since: then it waited for something unknown, other_blocked
 *
 * What has no evidence is unattributed. Requests of which it is not known who worked for them (bind/bind.h)
 * have evidence only of what happened before they were read.
 */
#ifndef LEDGER_LEDGER_H
#define LEDGER_LEDGER_H

#include "ledger/cover.h"
#include "ledger/phase.h"
#include "ledger/timeline.h"
#include "session/span.h"

#define LEDGER_REQUESTS_MAX (1U << 17) /* that wait to be split */
#define LEDGER_CALLS_MAX (1U << 16) /* that are remembered */
#define LEDGER_CONNS_MAX (1U << 16)
/* By then the records of all processors are here; */
#define LEDGER_LATE_NS (NSEC_PER_SEC / 4)
/* and where there are tasks, a request's are known, and kinds of tasks learned. */
#define LEDGER_LEARN_NS (2 * NSEC_PER_SEC)

/* Who held up a request. */
struct ledger_blame {
	u32 row; /* of the holder's endpoint; 0 = no request's work, or not known whose */
	u64 ns;
};
#define LEDGER_BLAMES                                                                              \
	16 /* holders of one request that are told apart; the rest is the last one's */

struct ledger_split {
	u32 row; /* as ledger_request() was given these */
	u32 number;
	u64 latency_ns;
	u64 phase_ns[PHASES]; /* sum: latency_ns */
	u64 raw_ns[PHASES]; /* of db and external: the same, had nothing else happened meanwhile */
	struct ledger_blame blames[LEDGER_BLAMES]; /* of loop_wait */
	u32 nblames;
};

/* Valid during the call. */
typedef void (*ledger_fn)(void *arg, const struct ledger_split *s);

struct ledger_request {
	u64 start_ns, read_ns, end_ns;
	u64 conn_id;
	u32 tgid, tid, sent_tid;
	u32 root; /* a token until it is settled */
	u32 row, number;
};

struct ledger_call {
	u64 start_ns, end_ns, read_ns;
	u32 tgid, tid;
	u32 root;
	u32 before; /* of the same root, or thread: its number; 0 = none */
	u8 phase; /* enum phase */
};

struct ledger {
	const struct lineage *lineage;
	const struct map *loops; /* threads that make tasks */
	ledger_fn fn;
	void *arg;
	struct timeline timeline;
	struct ledger_request *requests; /* a ring, in the order of their ends */
	u32 first, nrequests, requests_cap, settled;
	struct ledger_call *calls; /* a ring; number n is at (n - 1) % LEDGER_CALLS_MAX */
	u32 ncalls, calls_settled; /* numbers given out */
	struct recent last_call; /* root, or thread → number of its newest call */
	struct recent rows; /* root → row of its request */
	struct recent served; /* connections that the target accepted → when, 0 = before attach */
	struct recent stepping; /* processes whose waits are told */
	struct pieces on_thread, of_worker; /* of the request at hand */
	struct covers covers;
	u64 now_ns;
	u64 refused; /* requests that were not split */
};

/* loops: as in struct bind; both outlive it. 0 or -ENOMEM. */
int ledger_init(struct ledger *l, const struct lineage *lineage, const struct map *loops,
		ledger_fn fn, void *arg);
void ledger_release(struct ledger *l);
/* STEP, DATA, CONN_OPEN and CONN_CLOSE; others are ignored. */
void ledger_record(struct ledger *l, const struct ev_hdr *rec);
/* A served request that lies wholly inside the window. row, number: handed back. */
void ledger_request(struct ledger *l, const struct http_exchange *x, u32 row, u32 number);
void ledger_db(struct ledger *l, const struct db_call *c);
void ledger_external(struct ledger *l, const struct http_exchange *x);
/* No more comes: splits what is left. */
void ledger_finish(struct ledger *l);

#endif
