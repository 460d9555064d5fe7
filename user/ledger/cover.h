/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Spans of time of which each has a rank and a phase, laid over one another: at any instant the lowest rank
 * that covers it counts. Two spans of one rank that overlap count as one, by what began first.
 */
#ifndef LEDGER_COVER_H
#define LEDGER_COVER_H

#include "base/types.h"
#include "ledger/phase.h"

enum cover_rank {
	COVER_RUN, /* own work on a processor */
	COVER_WAIT, /* own work, with a reason that is known */
	COVER_CALL, /* a call under way */
	COVER_OTHER, /* own work that waits, the reason says little */
	COVER_ANSWER, /* a call's answer is here and was not taken yet */
	COVER_RANKS,
};

struct cover {
	u64 from_ns;
	u64 to_ns;
	u8 rank; /* enum cover_rank */
	u8 phase; /* enum phase */
};

#define COVERS_MAX (1U << 17)

struct covers {
	struct cover *v;
	u32 n, cap;
	bool failed; /* for lack of memory, or past COVERS_MAX */
};

void covers_release(struct covers *c);
/* Nothing that is empty is added. */
void covers_add(struct covers *c, enum cover_rank rank, enum phase phase, u64 from_ns, u64 to_ns);
/* Once, when all were added. */
void covers_sort(struct covers *c);
/*
 * Goes through [from, to): fn() for each span, cover NULL where there is none, in order and without holes.
 */
void covers_walk(struct covers *c, u64 from_ns, u64 to_ns,
		 void (*fn)(void *arg, const struct cover *cover, u64 from_ns, u64 to_ns),
		 void *arg);

#endif
