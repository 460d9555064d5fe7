/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few different verdicts that all connections share: each gets a number once, which is its place
 * in the kernel's profile table. Number 0 is what applies before any verdict.
 */
#ifndef LOAD_VERDICTS_H
#define LOAD_VERDICTS_H

#include "base/types.h"
#include "hp/events.h"

#define VERDICTS_MAX 64 /* PROFILES_MAX in bpf/lib/maps.bpf.h */

struct verdicts {
	struct hp_verdict rows[VERDICTS_MAX];
	u32 n;
};

extern const struct hp_verdict verdict_default;

void verdicts_init(struct verdicts *t);
/* The number of v; *ret_fresh when it is new and has to be written to the kernel. -ENOSPC. */
int verdicts_intern(struct verdicts *t, const struct hp_verdict *v, u32 *ret_num, bool *ret_fresh);

#endif
