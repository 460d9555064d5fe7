/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map from u64 to u64 (often a pointer or an index), open addressing, bounded.
 *
 * Allocates only when it grows, and never past max_items: then map_put() returns -ENOSPC and the
 * caller counts or evicts. Keys may be any value, 0 included.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include "base/types.h"

struct map_slot {
	u64 key;
	u64 val;
	u8 used;
};

struct map {
	struct map_slot *slots;
	size_t n;
	size_t cap; /* power of two, 0 before the first put */
	size_t max_items;
};

void map_init(struct map *m, size_t max_items);
void map_release(struct map *m);
void map_clear(struct map *m);
u64 *map_find(const struct map *m, u64 key); /* NULL = absent; valid until the next put or del */
int map_put(struct map *m, u64 key, u64 val); /* replaces; 0, -ENOSPC or -ENOMEM */
bool map_del(struct map *m, u64 key);
/*
 * Walk: for (i = 0; (s = map_each(m, &i));) — order is not defined, sort before printing.
 * map_del() of the entry just given is allowed (copy its key first), map_put() is not.
 */
struct map_slot *map_each(const struct map *m, size_t *i);

/* 64-bit hash of bytes, stable across runs and machines (part of ids in reports). */
u64 hash_bytes(const void *p, size_t n, u64 seed);

static inline u64 hash_u64(u64 x)
{
	x ^= x >> 33;
	x *= 0xff51afd7ed558ccdULL;
	x ^= x >> 33;
	x *= 0xc4ceb9fe1a85ec53ULL;
	x ^= x >> 33;
	return x;
}

#endif
