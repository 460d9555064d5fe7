/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who has which entries of an array that programs read while user space writes it. Entries that are given
 * back may still be looked at by a program under way, so they are handed out again only after RANGES_REST_NS:
 * a walk takes microseconds, and it starts from tables that no longer name them.
 */
#ifndef LOAD_RANGES_H
#define LOAD_RANGES_H

#include "base/types.h"

#define RANGES_REST_NS NSEC_PER_SEC

struct range {
	u32 first;
	u32 n;
	u64 free_ns; /* since when; 0 = never used */
};

struct ranges {
	struct range *v; /* free ones, by first */
	u32 n;
	u32 cap;
	u32 size;
	u32 used; /* entries in use, or lost because memory was short when they came back */
};

int ranges_init(struct ranges *r, u32 size); /* 0 or -ENOMEM */
void ranges_release(struct ranges *r);
/* n > 0 entries in a row. -ENOSPC. */
int ranges_take(struct ranges *r, u32 n, u64 now_ns, u32 *ret_first);
void ranges_give(struct ranges *r, u32 first, u32 n, u64 now_ns);

#endif
