/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hash map u64 -> u64: the index of nearly every table in user space (connections, processes,
 * interned strings).
 *
 * Linear probing with backward-shift deletion, so there are no tombstones: a table that lives for
 * days of put and del stays as fast as on its first day and never has to be rebuilt. The stable
 * byte hash lives here too, because ids in reports are made with it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"

#define MAP_CAP_MIN 16

static size_t map_home(const struct map *m, u64 key)
{
	return (size_t)hash_u64(key) & (m->cap - 1);
}

void map_init(struct map *m, size_t max_items)
{
	memset(m, 0, sizeof(*m));
	m->max_items = max_items;
}

void map_release(struct map *m)
{
	free(m->slots);
	m->slots = NULL;
	m->n = 0;
	m->cap = 0;
}

void map_clear(struct map *m)
{
	if (m->slots)
		memset(m->slots, 0, m->cap * sizeof(*m->slots));
	m->n = 0;
}

/* The slot that holds key, or the free one where it belongs. The table always has a free slot. */
static struct map_slot *map_slot_of(const struct map *m, u64 key)
{
	size_t i = map_home(m, key);

	while (m->slots[i].used && m->slots[i].key != key)
		i = (i + 1) & (m->cap - 1);
	return &m->slots[i];
}

u64 *map_find(const struct map *m, u64 key)
{
	struct map_slot *s;

	if (!m->n)
		return NULL;
	s = map_slot_of(m, key);
	return s->used ? &s->val : NULL;
}

static int map_grow(struct map *m)
{
	struct map bigger = *m;
	size_t i;

	bigger.cap = m->cap ? m->cap * 2 : MAP_CAP_MIN;
	bigger.slots = calloc(bigger.cap, sizeof(*bigger.slots));
	if (!bigger.slots)
		return -ENOMEM;
	for (i = 0; i < m->cap; i++)
		if (m->slots[i].used)
			*map_slot_of(&bigger, m->slots[i].key) = m->slots[i];
	free(m->slots);
	*m = bigger;
	return 0;
}

int map_put(struct map *m, u64 key, u64 val)
{
	u64 *old = map_find(m, key);
	int err;

	if (old) {
		*old = val;
		return 0;
	}
	if (m->n >= m->max_items)
		return -ENOSPC;
	if ((m->n + 1) * 4 > m->cap * 3) {
		err = map_grow(m);
		if (err)
			return err;
	}
	*map_slot_of(m, key) = (struct map_slot){ .key = key, .val = val, .used = 1 };
	m->n++;
	return 0;
}

bool map_del(struct map *m, u64 key)
{
	size_t mask = m->cap - 1, hole, i;
	struct map_slot *s;

	if (!m->n)
		return false;
	s = map_slot_of(m, key);
	if (!s->used)
		return false;
	hole = (size_t)(s - m->slots);
	/* Pull back every later entry of the run that may stand at the hole. */
	for (i = (hole + 1) & mask; m->slots[i].used; i = (i + 1) & mask) {
		size_t home = map_home(m, m->slots[i].key);

		if (((i - home) & mask) >= ((i - hole) & mask)) {
			m->slots[hole] = m->slots[i];
			hole = i;
		}
	}
	m->slots[hole].used = 0;
	m->n--;
	return true;
}

/*
 * Walks downwards from a free slot: map_del() of the entry just given moves only entries that were
 * given before, so nothing is skipped. *i packs that slot (high half) and the steps done (low half).
 */
struct map_slot *map_each(const struct map *m, size_t *i)
{
	u64 start = *i >> 32, steps = *i & 0xffffffffU;

	if (!m->cap)
		return NULL;
	if (!*i)
		while (m->slots[start].used)
			start++;
	while (++steps < m->cap) {
		struct map_slot *s = &m->slots[(start - steps) & (m->cap - 1)];

		if (s->used) {
			*i = start << 32 | steps;
			return s;
		}
	}
	*i = start << 32 | (m->cap - 1);
	return NULL;
}

static u64 load_le(const unsigned char *p, size_t n)
{
	u64 v = 0;
	size_t i;

	for (i = 0; i < n; i++)
		v |= (u64)p[i] << (8 * i);
	return v;
}

static u64 load_le64(const unsigned char *p)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
#else
	return load_le(p, 8);
#endif
}

/* Both halves of the 128-bit product: each input bit reaches every output bit. */
static u64 mul_mix(u64 a, u64 b)
{
	unsigned __int128 r = (unsigned __int128)a * b;

	return (u64)r ^ (u64)(r >> 64);
}

/*
 * Odd constants: the fraction bits of sqrt(2), sqrt(3) and the golden ratio. A word that would make
 * one factor zero cannot erase the state, since the state is added back after every multiplication.
 */
u64 hash_bytes(const void *p, size_t n, u64 seed)
{
	const u64 k1 = 0x6a09e667f3bcc909ULL, k2 = 0xbb67ae8584caa73bULL,
		  k3 = 0x9e3779b97f4a7c15ULL;
	const unsigned char *s = p;
	u64 h = hash_u64(seed + k3) ^ (u64)n * k2;

	for (; n >= 8; n -= 8, s += 8)
		h = mul_mix(load_le64(s) ^ k1, h ^ k2) + (h << 31 | h >> 33);
	if (n)
		h = mul_mix(load_le(s, n) ^ k1, h ^ k3) + (h << 31 | h >> 33);
	return hash_u64(h ^ k1);
}
