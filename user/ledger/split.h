/* SPDX-License-Identifier: Apache-2.0 */
/* What one request's time went into: from the timeline and the calls of a ledger to its split. */
#ifndef LEDGER_SPLIT_H
#define LEDGER_SPLIT_H

#include "ledger/ledger.h"

static inline u64 ledger_thread_key(u32 tgid, u32 tid)
{
	return (u64)tgid << 32 | tid;
}

/* Hands it to l->fn. 0; -ENODATA: its process's waits are not told; -ENOMEM. */
int split_request(struct ledger *l, const struct ledger_request *r);

#endif
