/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a HotSpot virtual machine says of its own layout. libjvm.so exports tables for debuggers
 * (gHotSpotVMStructs, gHotSpotVMTypes: src/hotspot/share/runtime/vmStructs.cpp of OpenJDK): names of C++
 * types and fields with their offsets, and the addresses of static fields.
 *
 *   libjvm.so's .dynsym → where the tables are (struct jvm_file) → read from the process, once
 *   → struct jvm_layout
 *
 * The process may write there whatever it likes: every count, stride, offset and text is bounded, and what
 * is read by these offsets later on is checked again where it is used.
 */
#ifndef UNWIND_JVM_H
#define UNWIND_JVM_H

#include "sym/elf.h"

#define JVM_PAGE 4096u
#define JVM_PAGES 64 /* of a process, kept while one piece of work is done */

/* Exactly n bytes (at most 4096) of a process's memory: 0 or -errno. */
typedef int jvm_read_fn(void *arg, u32 tgid, u64 addr, void *buf, size_t n);

struct jvm_mem {
	jvm_read_fn *read;
	void *arg;
	u32 tgid;
	u64 reads; /* of pages, ever */
	u64 at[JVM_PAGES]; /* address of the page + 1, 0 = none */
	u8 bytes[JVM_PAGES][JVM_PAGE];
};

/* From here on it is that process's memory, as it is from now on. */
void jvm_mem_begin(struct jvm_mem *m, u32 tgid);
/* 0 or -errno; then what was read is 0. */
int jvm_mem_get(struct jvm_mem *m, u64 addr, void *buf, size_t n);
/* A text up to its NUL, cut to size; never without one. */
int jvm_mem_text(struct jvm_mem *m, u64 addr, char *buf, size_t size);

enum jvm_symbol {
	JVM_STRUCTS,
	JVM_STRUCT_TYPE,
	JVM_STRUCT_FIELD,
	JVM_STRUCT_STATIC,
	JVM_STRUCT_OFFSET,
	JVM_STRUCT_ADDRESS,
	JVM_STRUCT_STRIDE,
	JVM_TYPES,
	JVM_TYPE_NAME,
	JVM_TYPE_SIZE,
	JVM_TYPE_STRIDE,
	JVM_SYMBOLS,
};

/* A virtual machine in a file: addresses of its tables there. */
struct jvm_file {
	u64 at[JVM_SYMBOLS];
};

/* -ENOENT: there is none in it; errors as elf_open(). */
int jvm_file_read(const struct elf_src *src, struct jvm_file *ret);

/* Type, field: what is known of it is in jvm_layout.at[], an offset or, of a static field, an address. */
#define JVM_FIELDS_OF(X)                                                                           \
	X(CACHE_HEAPS, "CodeCache", "_heaps", 1)                                                   \
	X(ARRAY_LEN, "GrowableArrayBase", "_len", 1)                                               \
	X(ARRAY_DATA, "GrowableArray<int>", "_data", 1)                                            \
	X(HEAP_MEMORY, "CodeHeap", "_memory", 1)                                                   \
	X(HEAP_SEGMAP, "CodeHeap", "_segmap", 1)                                                   \
	X(HEAP_LOG2, "CodeHeap", "_log2_segment_size", 1)                                          \
	X(SPACE_LOW, "VirtualSpace", "_low", 1)                                                    \
	X(SPACE_HIGH, "VirtualSpace", "_high", 1)                                                  \
	X(BLOCK_LENGTH, "HeapBlock::Header", "_length", 1)                                         \
	X(BLOCK_USED, "HeapBlock::Header", "_used", 1)                                             \
	X(BLOB_NAME, "CodeBlob", "_name", 1)                                                       \
	X(BLOB_SIZE, "CodeBlob", "_size", 1)                                                       \
	X(BLOB_COMPLETE, "CodeBlob", "_frame_complete_offset", 1)                                  \
	X(BLOB_FRAME, "CodeBlob", "_frame_size", 1)                                                \
	X(BLOB_BEGIN, "CodeBlob", "_code_begin", 1)                                                \
	X(BLOB_END, "CodeBlob", "_code_end", 1)                                                    \
	X(COMPILED_METHOD, "CompiledMethod", "_method", 1)                                         \
	X(NMETHOD_STATE, "nmethod", "_state", 1)                                                   \
	X(NMETHOD_ID, "nmethod", "_compile_id", 1)                                                 \
	X(METHOD_CONST, "Method", "_constMethod", 1)                                               \
	X(CONST_POOL, "ConstMethod", "_constants", 1)                                              \
	X(CONST_NAME, "ConstMethod", "_name_index", 1)                                             \
	X(POOL_HOLDER, "ConstantPool", "_pool_holder", 1)                                          \
	X(POOL_LENGTH, "ConstantPool", "_length", 1)                                               \
	X(KLASS_NAME, "Klass", "_name", 1)                                                         \
	X(SYMBOL_LENGTH, "Symbol", "_length", 1)                                                   \
	X(SYMBOL_BODY, "Symbol", "_body[0]", 1)                                                    \
	X(SCOPES_DATA, "CompiledMethod", "_scopes_data_begin", 0)                                  \
	X(SCOPES_PCS, "nmethod", "_scopes_pcs_offset", 0)                                          \
	X(SCOPES_PCS_END, "nmethod", "_dependencies_offset", 0)                                    \
	X(METADATA, "nmethod", "_metadata_offset", 0)                                              \
	X(CONST_CODE_SIZE, "ConstMethod", "_code_size", 0)                                         \
	X(CONST_FLAGS, "ConstMethod", "_flags", 0)                                                 \
	X(POOL_FILE, "ConstantPool", "_source_file_name_index", 0)                                 \
	X(VM_MAJOR, "Abstract_VM_Version", "_vm_major_version", 0)

enum jvm_field {
#define JVM_ENUM(id, type, field, must) JVM_##id,
	JVM_FIELDS_OF(JVM_ENUM)
#undef JVM_ENUM
	JVM_FIELDS,
};

enum jvm_type {
	JVM_SIZE_BLOCK,
	JVM_SIZE_POOL,
	JVM_SIZE_CONST,
	JVM_SIZE_NMETHOD,
	JVM_SIZES,
};

#define JVM_OFFSET_MAX 4096 /* of a field in its type */

struct jvm_layout {
	u64 at[JVM_FIELDS];
	bool has[JVM_FIELDS];
	u32 size[JVM_SIZES];
	u32 major; /* of the version, 0 = not known */
	bool lines; /* lines and inlined methods can be read: their encoding is that of this version */
};

/*
 * bias: what the file's address 0 is at in the process of *m. 0; -EAGAIN the tables are not filled in yet;
 * -ENOTSUP they lack something: another virtual machine, or another version; -errno.
 */
int jvm_layout_read(const struct jvm_file *f, u64 bias, struct jvm_mem *m, struct jvm_layout *ret);

#endif
