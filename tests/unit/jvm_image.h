/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory of a HotSpot process, of the tests' own making: tables of its layout, one heap of generated code
 * and the methods of it, in one array that lies at JVM_AT. Offsets are those of OpenJDK 17.
 */
#ifndef TESTS_JVM_IMAGE_H
#define TESTS_JVM_IMAGE_H

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "unwind/jvmnames.h"
#include "hp/events.h"

#define JVM_AT 0x700000000000ull
#define JVM_BYTES (96u << 10)

enum jvm_place { /* in the array */
	AT_SYMBOLS = 0,
	AT_STRUCTS = 0x1000,
	AT_TYPES = 0x3000,
	AT_TEXTS = 0x4000,
	AT_CACHE = 0x6000,
	AT_HEAP = 0x6100,
	AT_SEGMAP = 0x7000,
	AT_METHODS = 0x8000, /* 0x400 each */
	AT_CODE = 0x10000, /* 128 segments of 128 bytes */
	AT_CODE_END = 0x14000,
	AT_NMETHOD = AT_CODE + 16, /* behind the block's head */
	AT_INTERPRETER = AT_CODE + 16 * 128 + 16,
	AT_STUBS = AT_CODE + 32 * 128 + 16,
};

#define JVM_CODE_OFF 0x200 /* of a piece, behind its CodeBlob */
#define JVM_FRAME_BYTES 0x30

struct jvm_image {
	u8 p[JVM_BYTES];
	u32 texts;
	struct jvm_file file;
	u64 reads, reads_max; /* 0: as many as are wanted */
};

static inline void jvm_put(struct jvm_image *v, u32 at, u64 value, size_t n)
{
	memcpy(v->p + at, &value, n);
}

static inline u64 jvm_text(struct jvm_image *v, const char *text)
{
	u32 at = AT_TEXTS + v->texts;

	memcpy(v->p + at, text, strlen(text) + 1);
	v->texts += (u32)strlen(text) + 1;
	return JVM_AT + at;
}

static inline void jvm_fields(struct jvm_image *v)
{
	static const struct {
		const char *type, *field;
		u64 offset;
		bool is_static;
	} rows[] = {
		{ "CodeCache", "_heaps", AT_CACHE, true },
		{ "Abstract_VM_Version", "_vm_major_version", AT_CACHE + 0x80, true },
		{ "GrowableArrayBase", "_len", 0, false },
		{ "GrowableArray<int>", "_data", 8, false },
		{ "CodeHeap", "_memory", 8, false },
		{ "CodeHeap", "_segmap", 120, false },
		{ "CodeHeap", "_log2_segment_size", 240, false },
		{ "VirtualSpace", "_low", 16, false },
		{ "VirtualSpace", "_high", 24, false },
		{ "HeapBlock::Header", "_length", 0, false },
		{ "HeapBlock::Header", "_used", 8, false },
		{ "CodeBlob", "_name", 96, false },
		{ "CodeBlob", "_size", 12, false },
		{ "CodeBlob", "_frame_complete_offset", 20, false },
		{ "CodeBlob", "_frame_size", 28, false },
		{ "CodeBlob", "_code_begin", 32, false },
		{ "CodeBlob", "_code_end", 40, false },
		{ "CompiledMethod", "_method", 112, false },
		{ "CompiledMethod", "_scopes_data_begin", 120, false },
		{ "nmethod", "_metadata_offset", 260, false },
		{ "nmethod", "_scopes_pcs_offset", 268, false },
		{ "nmethod", "_dependencies_offset", 272, false },
		{ "nmethod", "_compile_id", 304, false },
		{ "nmethod", "_state", 315, false },
		{ "Method", "_constMethod", 8, false },
		{ "ConstMethod", "_constants", 8, false },
		{ "ConstMethod", "_flags", 28, false },
		{ "ConstMethod", "_code_size", 32, false },
		{ "ConstMethod", "_name_index", 34, false },
		{ "ConstantPool", "_pool_holder", 24, false },
		{ "ConstantPool", "_source_file_name_index", 54, false },
		{ "ConstantPool", "_length", 60, false },
		{ "Klass", "_name", 24, false },
		{ "Symbol", "_length", 4, false },
		{ "Symbol", "_body[0]", 6, false },
		{ "Symbol", "_unknown", 9, false },
	};
	static const struct {
		const char *type;
		u64 size;
	} types[] = { { "HeapBlock", 16 },
		      { "ConstantPool", 72 },
		      { "ConstMethod", 48 },
		      { "nmethod", 352 },
		      { "Klass", 208 } };
	u32 i, at;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		at = AT_STRUCTS + i * 48;
		jvm_put(v, at, jvm_text(v, rows[i].type), 8);
		jvm_put(v, at + 8, jvm_text(v, rows[i].field), 8);
		jvm_put(v, at + 24, rows[i].is_static, 4);
		jvm_put(v, at + (rows[i].is_static ? 40 : 32),
			rows[i].offset + (rows[i].is_static ? JVM_AT : 0), 8);
	}
	for (i = 0; i < ARRAY_SIZE(types); i++) {
		jvm_put(v, AT_TYPES + i * 40, jvm_text(v, types[i].type), 8);
		jvm_put(v, AT_TYPES + i * 40 + 32, types[i].size, 8);
	}
}

static inline void jvm_symbol_put(struct jvm_image *v, u32 at, const char *text)
{
	jvm_put(v, at + 4, strlen(text), 2);
	memcpy(v->p + at + 6, text, strlen(text));
}

/* Method number i: "shop.Orders.NAME", lines 10 to 12 at bytecodes 0, 4 and 200. Its address. */
static inline u64 jvm_method_put(struct jvm_image *v, u32 i, const char *name)
{
	u32 at = AT_METHODS + i * 0x400, constant = at + 0x60, pool = at + 0x1a0,
	    klass = at + 0x280;
	static const u8 lines[] = { 0 << 3 | 7, 0 << 3 | 3, 4 << 3 | 1, 0xff, 0xc8, 3, 2, 0 };

	jvm_put(v, at + 8, JVM_AT + constant, 8);
	jvm_put(v, constant + 8, JVM_AT + pool, 8);
	jvm_put(v, constant + 28, 1, 2);
	jvm_put(v, constant + 32, 210, 2);
	jvm_put(v, constant + 34, 3, 2);
	memcpy(v->p + constant + 48 + 210, lines, sizeof(lines));
	jvm_put(v, pool + 24, JVM_AT + klass, 8);
	jvm_put(v, pool + 54, 4, 2);
	jvm_put(v, pool + 60, 5, 4);
	jvm_put(v, pool + 72 + 3 * 8, JVM_AT + at + 0x300, 8);
	jvm_put(v, pool + 72 + 4 * 8, JVM_AT + at + 0x340, 8);
	jvm_put(v, klass + 24, JVM_AT + at + 0x380, 8);
	jvm_symbol_put(v, at + 0x300, name);
	jvm_symbol_put(v, at + 0x340, "Orders.java");
	jvm_symbol_put(v, at + 0x380, "shop/Orders");
	return JVM_AT + at;
}

/* A block of n segments with code in it. */
static inline void jvm_blob_put(struct jvm_image *v, u32 at, u32 nsegs, const char *name, s32 frame,
				s32 complete, const void *code, u32 n)
{
	u32 block = at - 16, i, seg = (block - AT_CODE) / 128;

	jvm_put(v, block, nsegs, 8);
	jvm_put(v, block + 8, 1, 1);
	for (i = 0; i < nsegs; i++)
		v->p[AT_SEGMAP + seg + i] = (u8)i;
	jvm_put(v, at + 12, nsegs * 128 - 16, 4);
	jvm_put(v, at + 20, (u32)complete, 4);
	jvm_put(v, at + 28, (u32)frame, 4);
	jvm_put(v, at + 32, JVM_AT + at + JVM_CODE_OFF, 8);
	jvm_put(v, at + 40, JVM_AT + at + JVM_CODE_OFF + n, 8);
	jvm_put(v, at + 96, jvm_text(v, name), 8);
	memcpy(v->p + at + JVM_CODE_OFF, code, n);
}

/* push %rbp; sub $0x20,%rsp; nop; nop; add $0x20,%rsp; pop %rbp; cmp 0x340(%r15),%rsp; ja; ret; nop */
#define JVM_METHOD_CODE                                                                            \
	"\x55\x48\x83\xec\x20\x90\x90\x48\x83\xc4\x20\x5d"                                         \
	"\x49\x3b\xa7\x40\x03\x00\x00\x0f\x87\x00\x00\x00\x00\xc3\x90"

static inline void jvm_image_make(struct jvm_image *v)
{
	/* At 1: of the second method, bytecode 5; called at 5: by the first, bytecode 201. */
	static const u8 scopes[] = { 0xff, 5, 2, 6, 0xff, 0, 1, 202, 0 };
	u32 i, at;

	memset(v, 0, sizeof(*v));
	for (i = 0; i < JVM_SYMBOLS; i++)
		v->file.at[i] = AT_SYMBOLS + 8 * i;
	jvm_put(v, AT_SYMBOLS + 8 * JVM_STRUCTS, JVM_AT + AT_STRUCTS, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_STRUCT_FIELD, 8, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_STRUCT_STATIC, 24, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_STRUCT_OFFSET, 32, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_STRUCT_ADDRESS, 40, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_STRUCT_STRIDE, 48, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_TYPES, JVM_AT + AT_TYPES, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_TYPE_SIZE, 32, 8);
	jvm_put(v, AT_SYMBOLS + 8 * JVM_TYPE_STRIDE, 40, 8);
	jvm_fields(v);
	jvm_put(v, AT_CACHE, JVM_AT + AT_CACHE + 0x10, 8);
	jvm_put(v, AT_CACHE + 0x10, 1, 4);
	jvm_put(v, AT_CACHE + 0x18, JVM_AT + AT_CACHE + 0x40, 8);
	jvm_put(v, AT_CACHE + 0x40, JVM_AT + AT_HEAP, 8);
	jvm_put(v, AT_CACHE + 0x80, 17, 4);
	jvm_put(v, AT_HEAP + 8 + 16, JVM_AT + AT_CODE, 8);
	jvm_put(v, AT_HEAP + 8 + 24, JVM_AT + AT_CODE_END, 8);
	jvm_put(v, AT_HEAP + 120 + 16, JVM_AT + AT_SEGMAP, 8);
	jvm_put(v, AT_HEAP + 120 + 24, JVM_AT + AT_SEGMAP + 128, 8);
	jvm_put(v, AT_HEAP + 240, 7, 4);
	memset(v->p + AT_SEGMAP, 0xff, 128);
	jvm_blob_put(v, AT_NMETHOD, 16, "nmethod", JVM_FRAME_BYTES / 8, 5, JVM_METHOD_CODE,
		     sizeof(JVM_METHOD_CODE) - 1);
	jvm_blob_put(v, AT_INTERPRETER, 16, "Interpreter", 0, -1, "\x90\x90\xc3", 3);
	jvm_blob_put(v, AT_STUBS, 16, "StubRoutines (1)", 0, -1,
		     "\x90\x55\x48\x8b\xec\x90\xc9\xc3\x90\xc3", 10);
	jvm_put(v, AT_NMETHOD + 112, jvm_method_put(v, 0, "sum"), 8);
	jvm_method_put(v, 1, "inner");
	/* Scopes: methods, then what is where, then places in the code: between two marks of the ends. */
	at = AT_NMETHOD + 0x300;
	jvm_put(v, AT_NMETHOD + 260, 0x300, 4);
	jvm_put(v, at, JVM_AT + AT_METHODS, 8);
	jvm_put(v, at + 8, JVM_AT + AT_METHODS + 0x400, 8);
	jvm_put(v, AT_NMETHOD + 120, JVM_AT + at + 0x20, 8);
	memcpy(v->p + at + 0x20, scopes, sizeof(scopes));
	jvm_put(v, AT_NMETHOD + 268, 0x340, 4);
	jvm_put(v, AT_NMETHOD + 272, 0x370, 4);
	jvm_put(v, at + 0x40, UINT32_MAX, 4);
	jvm_put(v, at + 0x50, 7, 4);
	jvm_put(v, at + 0x54, 1, 4);
	jvm_put(v, at + 0x60, INT32_MAX, 4);
	jvm_put(v, AT_NMETHOD + 304, 42, 4);
}

/* jvm_read_fn */
static inline int jvm_image_read(void *arg, u32 tgid, u64 addr, void *buf, size_t n)
{
	struct jvm_image *v = arg;

	(void)tgid;
	if (v->reads_max && ++v->reads > v->reads_max)
		return -EIO;
	if (n > JVM_BYTES || addr < JVM_AT || addr - JVM_AT > JVM_BYTES - n)
		return -EFAULT;
	memcpy(buf, v->p + (addr - JVM_AT), n);
	return 0;
}

#endif
