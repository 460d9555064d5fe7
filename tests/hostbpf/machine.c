/* SPDX-License-Identifier: Apache-2.0 */
/* See machine.h: maps, user memory, ring buffer and clock behind the shim's helpers. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/types.h"
#include "machine.h"
#include "shim_calls.h"

#define MAPS_MAX 16
#define REGIONS_MAX 320
#define MAP_ARRAY 2 /* enum bpf_map_type */
#define MAP_PERCPU_ARRAY 6

struct entry {
	u8 *key;
	u8 *val; /* a block of its own: use after delete is found */
};

struct table {
	void *map;
	u32 key_size;
	u32 val_size;
	struct entry *entries;
	u32 n;
	u32 room;
	bool array;
};

static struct {
	struct table maps[MAPS_MAX];
	u32 nmaps;
	struct {
		const u8 *p;
		__u64 n;
	} regions[REGIONS_MAX];
	u32 nregions;
	struct ev_hdr **recs;
	u32 nrecs;
	u32 recs_room;
	__u64 ring_room;
	__u64 now;
	__u64 faults;
	u32 tgid;
	u32 tid;
	int old;
	bool full; /* no hash takes another row */
} m;

static void *must(void *p)
{
	if (!p)
		abort();
	return p;
}

static struct table *table_of(void *map, u32 type, u32 key_size, u32 val_size)
{
	struct table *t;
	u32 i;

	for (i = 0; i < m.nmaps; i++)
		if (m.maps[i].map == map)
			return &m.maps[i];
	if (m.nmaps == MAPS_MAX)
		abort();
	t = &m.maps[m.nmaps++];
	*t = (struct table){ .map = map,
			     .key_size = key_size,
			     .val_size = val_size,
			     .array = type == MAP_ARRAY || type == MAP_PERCPU_ARRAY };
	return t;
}

static struct entry *entry_find(struct table *t, const void *key)
{
	u32 i;

	for (i = 0; i < t->n; i++)
		if (!memcmp(t->entries[i].key, key, t->key_size))
			return &t->entries[i];
	return NULL;
}

static struct entry *entry_add(struct table *t, const void *key)
{
	struct entry *e;

	if (t->n == t->room) {
		t->room = t->room ? 2 * t->room : 8;
		t->entries = must(realloc(t->entries, t->room * sizeof(*t->entries)));
	}
	e = &t->entries[t->n++];
	e->key = must(malloc(t->key_size));
	memcpy(e->key, key, t->key_size);
	e->val = must(calloc(1, t->val_size));
	return e;
}

void *mach_map_lookup(void *map, u32 type, u32 max, u32 key_size, u32 val_size, const void *key)
{
	struct table *t = table_of(map, type, key_size, val_size);
	struct entry *e = entry_find(t, key);

	if (!e && t->array && *(const u32 *)key < max)
		e = entry_add(t, key);
	return e ? e->val : NULL;
}

long mach_map_update(void *map, u32 type, u32 max, u32 key_size, u32 val_size, const void *key,
		     const void *val, __u64 flags)
{
	struct table *t = table_of(map, type, key_size, val_size);
	struct entry *e = entry_find(t, key);

	(void)flags;
	if (t->array && *(const u32 *)key >= max)
		return -E2BIG;
	if (!e && (t->n >= max || (m.full && !t->array)))
		return -E2BIG;
	if (!e)
		e = entry_add(t, key);
	memcpy(e->val, val, val_size);
	return 0;
}

long mach_map_delete(void *map, u32 key_size, const void *key)
{
	struct table *t = NULL;
	struct entry *e;
	__u32 i;

	for (i = 0; i < m.nmaps; i++)
		if (m.maps[i].map == map)
			t = &m.maps[i];
	e = t ? entry_find(t, key) : NULL;
	if (!e || t->key_size != key_size)
		return -ENOENT;
	free(e->key);
	free(e->val);
	*e = t->entries[--t->n];
	return 0;
}

u32 mach_map_count(void *map)
{
	u32 i;

	for (i = 0; i < m.nmaps; i++)
		if (m.maps[i].map == map)
			return m.maps[i].n;
	return 0;
}

long mach_read_user(void *dst, u32 n, const void *src)
{
	const u8 *p = src;
	u32 i;

	for (i = 0; i < m.nregions; i++) {
		if (p < m.regions[i].p || p + n > m.regions[i].p + m.regions[i].n)
			continue;
		memcpy(dst, src, n);
		return 0;
	}
	memset(dst, 0, n); /* as the kernel does */
	m.faults++;
	return -EFAULT;
}

__u64 mach_faults(void)
{
	return m.faults;
}

void mach_user(const void *p, __u64 n)
{
	if (m.nregions == REGIONS_MAX)
		abort();
	m.regions[m.nregions].p = p;
	m.regions[m.nregions++].n = n;
}

void mach_user_clear(void)
{
	m.nregions = 0;
}

static struct ev_hdr *rec_new(__u64 size)
{
	struct ev_hdr *rec;

	if (size > m.ring_room)
		return NULL;
	m.ring_room -= size;
	rec = must(malloc(size));
	memset(rec, 0xa5, size);
	if (m.nrecs == m.recs_room) {
		m.recs_room = m.recs_room ? 2 * m.recs_room : 64;
		m.recs = must(realloc(m.recs, m.recs_room * sizeof(*m.recs)));
	}
	m.recs[m.nrecs++] = rec;
	return rec;
}

void *mach_ring_reserve(__u64 size)
{
	return rec_new(size);
}

void mach_ring_submit(void *rec)
{
	(void)rec;
}

long mach_ring_output(const void *data, __u64 size)
{
	struct ev_hdr *rec = rec_new(size);

	if (!rec)
		return -EAGAIN;
	memcpy(rec, data, size);
	return 0;
}

void mach_ring_room(__u64 bytes)
{
	m.ring_room = bytes;
}

u32 mach_records(void)
{
	return m.nrecs;
}

struct ev_hdr *mach_record(u32 i)
{
	if (i >= m.nrecs)
		abort();
	return m.recs[i];
}

void mach_records_clear(void)
{
	while (m.nrecs)
		free(m.recs[--m.nrecs]);
}

__u64 mach_now(void)
{
	return m.now += 100;
}

__u64 mach_clock(void)
{
	return m.now;
}

void mach_sleep(__u64 ns)
{
	m.now += ns;
}

__u64 mach_pid_tgid(void)
{
	return (__u64)m.tgid << 32 | m.tid;
}

u32 mach_cpu(void)
{
	return 0;
}

int mach_has_func(u32 func)
{
	(void)func;
	return !m.old;
}

void mach_full(int on)
{
	m.full = on;
}

void mach_task(u32 tgid, u32 tid)
{
	m.tgid = tgid;
	m.tid = tid;
}

__u64 mach_drops(enum hp_drop why)
{
	return mach_drop_count(why);
}

static void table_clear(struct table *t)
{
	/* Scratch keeps what the last user left there, as it does in the kernel. */
	if (t->array && t->val_size > HP_RECORD_MAX)
		return;
	while (t->n) {
		free(t->entries[--t->n].key);
		free(t->entries[t->n].val);
	}
}

void mach_reset(int old)
{
	u32 i;

	mach_kernel_reset();
	for (i = 0; i < m.nmaps; i++)
		table_clear(&m.maps[i]);
	mach_records_clear();
	mach_user_clear();
	m.ring_room = ~0ULL;
	m.now = 1000000000;
	m.faults = 0;
	m.old = old;
	m.full = false;
	mach_task(MACH_TGID, MACH_TID);
	mach_target(MACH_TGID, 0);
}

/* Named by code that cfg_typed_reads switches off here. */
void *bpf_rdonly_cast(const void *obj, __u32 btf_id);
void *bpf_rdonly_cast(const void *obj, __u32 btf_id)
{
	(void)btf_id;
	return (void *)obj;
}
