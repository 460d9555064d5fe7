/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interned strings: equal bytes give the same id; ids are dense from 1 and live as long as the
 * pool. Bounded in count and bytes; past either, strpool_add() returns STRPOOL_OTHER, whose text
 * is "(other)". Id 0 is the empty string.
 */
#ifndef BASE_STRPOOL_H
#define BASE_STRPOOL_H

#include "base/map.h"
#include "base/slice.h"

#define STRPOOL_OTHER 1

struct strpool {
	struct map by_hash;
	char **text; /* by id */
	u32 *len;
	u32 n;
	u32 cap;
	u32 max_strings;
	size_t bytes;
	size_t max_bytes;
	u64 refused;
};

int strpool_init(struct strpool *s, u32 max_strings, size_t max_bytes);
void strpool_release(struct strpool *s);
u32 strpool_add(struct strpool *s, struct slice text);
struct slice strpool_get(const struct strpool *s, u32 id); /* NUL-terminated bytes behind p */

#endif
