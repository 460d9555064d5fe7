/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Map from u64 to u64 that keeps what was used lately: at least the last `max` keys that were put or
 * found, at most twice as many. For tables that a target can fill without end.
 */
#ifndef BASE_RECENT_H
#define BASE_RECENT_H

#include "base/map.h"

struct recent {
	struct map now;
	struct map before; /* the ones before those: they go when `now` is full */
};

void recent_init(struct recent *r, size_t max);
void recent_release(struct recent *r);
/* Replaces. Without memory nothing is kept. */
void recent_put(struct recent *r, u64 key, u64 val);
/* False: absent. ret may be NULL. */
bool recent_find(struct recent *r, u64 key, u64 *ret);
/* Was it there? */
bool recent_del(struct recent *r, u64 key);

#endif
