/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap as V8's, of the tests' own making: objects one behind the other in one array, which lies at HEAP_AT
 * of the process. Offsets and types are those of Node 20.
 */
#ifndef TESTS_V8_HEAP_H
#define TESTS_V8_HEAP_H

#include <errno.h>
#include <string.h>
#include "unwind/v8code.h"

#define HEAP_AT 0x100000ull
#define HEAP_BYTES (96u << 10)

enum heap_type {
	TYPE_SCOPE = 261,
	TYPE_SHARED = 262,
	TYPE_SCRIPT = 167,
	TYPE_ODDBALL = 131,
	TYPE_MAP = 255,
	TYPE_FUNCTION = 2066,
	STRING_TWO_BYTE = 0x20,
	STRING_ONE_BYTE = 0x28,
	STRING_CONS = 0x29,
	STRING_EXTERNAL = 0x2a,
	STRING_SLICED = 0x2b,
	STRING_THIN = 0x2d,
};

static const struct v8_layout heap_layout = {
	.fp_function = -16,
	.fp_context = -8,
	.map_type = 12,
	.function_shared = 24,
	.shared_name = 16,
	.shared_script = 32,
	.script_name = 16,
	.script_source = 8,
	.script_type = 48,
	.string_length = 12,
	.one_byte_chars = 16,
	.two_byte_chars = 16,
	.cons_first = 16,
	.cons_second = 24,
	.sliced_parent = 16,
	.sliced_offset = 24,
	.thin_actual = 16,
	.external_resource = 16,
	.scope_locals = 2,
	.scope_vars = 3,
	.smi_shift = 32,
	.type_shared = TYPE_SHARED,
	.type_scope = TYPE_SCOPE,
	.type_script = TYPE_SCRIPT,
	.type_oddball = TYPE_ODDBALL,
	.type_map = TYPE_MAP,
	.first_nonstring = 128,
	.shape_mask = 7,
	.shape_seq = 0,
	.shape_cons = 1,
	.shape_external = 2,
	.shape_sliced = 3,
	.shape_thin = 5,
	.one_byte_mask = 8,
	.one_byte = 8,
};

struct heap {
	u8 p[HEAP_BYTES];
	u32 n;
	u64 meta; /* the map of maps */
	u64 undefined;
	u32 reads;
	u32 change_at; /* before this read, change_to goes to change; 0 = never */
	u64 change;
	u64 change_to;
};

static inline void heap_set(struct heap *h, u64 object, u32 off, u64 v)
{
	memcpy(h->p + (object - 1 - HEAP_AT) + off, &v, sizeof(v));
}

/* Room for an object of that map; tagged. */
static inline u64 heap_new(struct heap *h, u64 map, u32 bytes)
{
	u64 object = HEAP_AT + h->n + 1;

	h->n += (bytes + 7) & ~7u;
	heap_set(h, object, 0, map);
	return object;
}

static inline u64 heap_map(struct heap *h, u16 type)
{
	u64 map = heap_new(h, h->meta, 24);

	memcpy(h->p + (map - 1 - HEAP_AT) + 12, &type, sizeof(type));
	return map;
}

static inline u64 smi_of(s32 v)
{
	return (u64)v << 32;
}

static inline u64 heap_string(struct heap *h, u16 type, const void *text, u32 n)
{
	u32 width = type & 8 ? 1 : 2;
	u64 s = heap_new(h, heap_map(h, type), 16 + n * width);

	heap_set(h, s, 8, (u64)n << 32);
	memcpy(h->p + (s - 1 - HEAP_AT) + 16, text, n * width);
	return s;
}

static inline u64 heap_text(struct heap *h, const char *text)
{
	return heap_string(h, STRING_ONE_BYTE, text, (u32)strlen(text));
}

/* A string that is made of others, or lies elsewhere. */
static inline u64 heap_string_of(struct heap *h, u16 type, u32 n, u64 first, u64 second)
{
	u64 s = heap_new(h, heap_map(h, type), 32);

	heap_set(h, s, 8, (u64)n << 32);
	heap_set(h, s, 16, first);
	heap_set(h, s, 24, second);
	return s;
}

/* `vars` variables, then these words. */
static inline u64 heap_scope(struct heap *h, u32 vars, const u64 *words, u32 n)
{
	u32 skip = vars < 75 ? 2 * vars : 1 + vars, i;
	u64 s = heap_new(h, heap_map(h, TYPE_SCOPE), (4 + skip + n) * 8);

	heap_set(h, s, 8, smi_of(2));
	heap_set(h, s, 24, smi_of((s32)vars));
	for (i = 0; i < skip; i++)
		heap_set(h, s, 32 + 8 * i, i < vars && vars < 75 ? h->undefined : smi_of(7));
	for (i = 0; i < n; i++)
		heap_set(h, s, 32 + 8 * (skip + i), words[i]);
	return s;
}

static inline u64 heap_script(struct heap *h, u64 name, u64 source, s32 line)
{
	u64 s = heap_new(h, heap_map(h, TYPE_SCRIPT), 96);

	heap_set(h, s, 8, source);
	heap_set(h, s, 16, name);
	heap_set(h, s, 24, smi_of(line));
	return s;
}

static inline void heap_init(struct heap *h)
{
	memset(h, 0, sizeof(*h));
	h->meta = HEAP_AT + 1;
	h->n = 24;
	heap_set(h, h->meta, 0, h->meta);
	h->p[12] = TYPE_MAP;
	h->undefined = heap_new(h, heap_map(h, TYPE_ODDBALL), 16);
}

static inline u64 heap_shared(struct heap *h, u64 name, u64 script)
{
	u64 s = heap_new(h, heap_map(h, TYPE_SHARED), 64);

	heap_set(h, s, 16, name);
	heap_set(h, s, 32, script);
	return s;
}

/* function NAME() that starts at a place of a script. */
static inline u64 heap_function(struct heap *h, const char *name, u64 script, s32 start)
{
	u64 outer = heap_scope(h, 0, NULL, 0);
	u64 words[] = { heap_text(h, name), smi_of(-1), smi_of(start), smi_of(start + 9), outer };

	return heap_shared(h, heap_scope(h, 0, words, 5), script);
}

static inline int heap_read(void *arg, u64 addr, void *buf, size_t n)
{
	struct heap *h = arg;

	if (++h->reads == h->change_at)
		heap_set(h, h->change, 0, h->change_to);
	if (addr < HEAP_AT || addr - HEAP_AT > h->n || n > h->n - (addr - HEAP_AT))
		return -EFAULT;
	memcpy(buf, h->p + (addr - HEAP_AT), n);
	return 0;
}

#endif
