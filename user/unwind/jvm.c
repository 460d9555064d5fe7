/* SPDX-License-Identifier: Apache-2.0 */
/* See jvm.h. */
#include "unwind/jvm.h"

#include <errno.h>
#include <string.h>

#define ENTRIES_MAX 8192 /* 17 has 788 fields and 768 types */
#define STRIDE_MAX 256
#define WORD_MAX 64
/* Later ones pack numbers in another way (from 20 on), and name other flags (from 21 on). */
#define LINES_FROM 11
#define LINES_TO 19

static const char *const symbols[JVM_SYMBOLS] = {
	[JVM_STRUCTS] = "gHotSpotVMStructs",
	[JVM_STRUCT_TYPE] = "gHotSpotVMStructEntryTypeNameOffset",
	[JVM_STRUCT_FIELD] = "gHotSpotVMStructEntryFieldNameOffset",
	[JVM_STRUCT_STATIC] = "gHotSpotVMStructEntryIsStaticOffset",
	[JVM_STRUCT_OFFSET] = "gHotSpotVMStructEntryOffsetOffset",
	[JVM_STRUCT_ADDRESS] = "gHotSpotVMStructEntryAddressOffset",
	[JVM_STRUCT_STRIDE] = "gHotSpotVMStructEntryArrayStride",
	[JVM_TYPES] = "gHotSpotVMTypes",
	[JVM_TYPE_NAME] = "gHotSpotVMTypeEntryTypeNameOffset",
	[JVM_TYPE_SIZE] = "gHotSpotVMTypeEntrySizeOffset",
	[JVM_TYPE_STRIDE] = "gHotSpotVMTypeEntryArrayStride",
};

static const struct {
	const char *type;
	const char *field;
	bool must;
} fields[JVM_FIELDS] = {
#define JVM_ROW(id, type, field, must) [JVM_##id] = { type, field, must },
	JVM_FIELDS_OF(JVM_ROW)
#undef JVM_ROW
};

static const char *const types[JVM_SIZES] = {
	[JVM_SIZE_BLOCK] = "HeapBlock",
	[JVM_SIZE_POOL] = "ConstantPool",
	[JVM_SIZE_CONST] = "ConstMethod",
	[JVM_SIZE_NMETHOD] = "nmethod",
};

void jvm_mem_begin(struct jvm_mem *m, u32 tgid)
{
	m->tgid = tgid;
	memset(m->at, 0, sizeof(m->at));
}

static const u8 *page_of(struct jvm_mem *m, u64 addr, int *ret_err)
{
	u64 page = addr & ~(u64)(JVM_PAGE - 1);
	u32 slot = (u32)(page / JVM_PAGE) % JVM_PAGES;

	*ret_err = 0;
	if (m->at[slot] == page + 1)
		return m->bytes[slot];
	m->at[slot] = 0;
	m->reads++;
	*ret_err = m->read(m->arg, m->tgid, page, m->bytes[slot], JVM_PAGE);
	if (*ret_err)
		return NULL;
	m->at[slot] = page + 1;
	return m->bytes[slot];
}

int jvm_mem_get(struct jvm_mem *m, u64 addr, void *buf, size_t n)
{
	u8 *out = buf;
	int err = 0;

	if (addr + n < addr)
		err = -EFAULT;
	while (n && !err) {
		size_t off = addr % JVM_PAGE, some = MIN(n, JVM_PAGE - off);
		const u8 *page = page_of(m, addr, &err);

		if (!page)
			break;
		memcpy(out, page + off, some);
		out += some;
		addr += some;
		n -= some;
	}
	if (err)
		memset(out, 0, n);
	return err;
}

int jvm_mem_text(struct jvm_mem *m, u64 addr, char *buf, size_t size)
{
	size_t n = 0;
	int err;

	for (; n + 1 < size; n++) {
		err = jvm_mem_get(m, addr + n, buf + n, 1);
		if (err) {
			buf[n] = '\0';
			return err;
		}
		if (!buf[n])
			return 0;
	}
	buf[n] = '\0';
	return 0;
}

static void take_symbol(void *arg, const char *name, const Elf64_Sym *s)
{
	struct jvm_file *f = arg;
	u32 i;

	if (strncmp(name, "gHotSpotVM", 10) != 0 || s->st_shndx == SHN_UNDEF)
		return;
	for (i = 0; i < JVM_SYMBOLS; i++)
		if (!strcmp(name, symbols[i]))
			f->at[i] = s->st_value;
}

int jvm_file_read(const struct elf_src *src, struct jvm_file *ret)
{
	struct elf e;
	u32 i;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = elf_open(&e, src);
	if (err)
		return err;
	err = elf_symbols_each(&e, true, take_symbol, ret);
	for (i = 0; i < JVM_SYMBOLS && !err; i++)
		if (!ret->at[i])
			err = -ENOENT;
	return err;
}

/* What the variables of the tables say: offsets in an entry, and its size. */
static int read_words(const struct jvm_file *f, u64 bias, struct jvm_mem *m, u64 *ret)
{
	u32 i;
	int err;

	for (i = 0; i < JVM_SYMBOLS; i++) {
		err = jvm_mem_get(m, f->at[i] + bias, &ret[i], sizeof(ret[i]));
		if (err)
			return err;
		if (i != JVM_STRUCTS && i != JVM_TYPES && ret[i] > STRIDE_MAX - 8)
			return -ENOTSUP;
	}
	/* They are computed when the library is initialised. */
	return ret[JVM_STRUCTS] && ret[JVM_TYPES] && ret[JVM_STRUCT_STRIDE] && ret[JVM_TYPE_STRIDE]
		       ? 0
		       : -EAGAIN;
}

/* A text that an entry points to; false: it points nowhere, which ends the table. */
static bool word_at(struct jvm_mem *m, const u8 *entry, u64 off, char *ret)
{
	u64 p;

	memcpy(&p, entry + off, sizeof(p));
	return p && !jvm_mem_text(m, p, ret, WORD_MAX);
}

static void take_field(struct jvm_layout *l, const u64 *w, const u8 *entry, const char *type,
		       const char *field)
{
	u32 i, is_static;
	u64 offset, address;

	for (i = 0; i < JVM_FIELDS; i++)
		if (!strcmp(type, fields[i].type) && !strcmp(field, fields[i].field))
			break;
	if (i == JVM_FIELDS)
		return;
	memcpy(&is_static, entry + w[JVM_STRUCT_STATIC], sizeof(is_static));
	memcpy(&offset, entry + w[JVM_STRUCT_OFFSET], sizeof(offset));
	memcpy(&address, entry + w[JVM_STRUCT_ADDRESS], sizeof(address));
	l->at[i] = is_static ? address : offset;
	l->has[i] = is_static ? address != 0 : offset < JVM_OFFSET_MAX;
}

static int read_structs(const u64 *w, struct jvm_mem *m, struct jvm_layout *l)
{
	char type[WORD_MAX], field[WORD_MAX];
	u8 entry[STRIDE_MAX];
	u32 i;
	int err;

	for (i = 0; i < ENTRIES_MAX; i++) {
		err = jvm_mem_get(m, w[JVM_STRUCTS] + i * w[JVM_STRUCT_STRIDE], entry,
				  sizeof(entry));
		if (err)
			return err;
		if (!word_at(m, entry, w[JVM_STRUCT_TYPE], type))
			break;
		if (word_at(m, entry, w[JVM_STRUCT_FIELD], field))
			take_field(l, w, entry, type, field);
	}
	return 0;
}

static int read_types(const u64 *w, struct jvm_mem *m, struct jvm_layout *l)
{
	u8 entry[STRIDE_MAX];
	char type[WORD_MAX];
	u32 i, j;
	u64 size;
	int err;

	for (i = 0; i < ENTRIES_MAX; i++) {
		err = jvm_mem_get(m, w[JVM_TYPES] + i * w[JVM_TYPE_STRIDE], entry, sizeof(entry));
		if (err)
			return err;
		if (!word_at(m, entry, w[JVM_TYPE_NAME], type))
			break;
		memcpy(&size, entry + w[JVM_TYPE_SIZE], sizeof(size));
		for (j = 0; j < JVM_SIZES; j++)
			if (size <= JVM_OFFSET_MAX && !strcmp(type, types[j]))
				l->size[j] = (u32)size;
	}
	return 0;
}

int jvm_layout_read(const struct jvm_file *f, u64 bias, struct jvm_mem *m, struct jvm_layout *ret)
{
	u64 words[JVM_SYMBOLS];
	s32 major = 0;
	u32 i;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = read_words(f, bias, m, words);
	if (!err)
		err = read_structs(words, m, ret);
	if (!err)
		err = read_types(words, m, ret);
	if (err)
		return err;
	for (i = 0; i < JVM_FIELDS; i++)
		if (fields[i].must && !ret->has[i])
			return -ENOTSUP;
	for (i = 0; i < JVM_SIZES; i++)
		if (!ret->size[i])
			return -ENOTSUP;
	if (ret->has[JVM_VM_MAJOR] &&
	    !jvm_mem_get(m, ret->at[JVM_VM_MAJOR], &major, sizeof(major)) && major > 0)
		ret->major = (u32)major;
	ret->lines = ret->major >= LINES_FROM && ret->major <= LINES_TO;
	for (i = JVM_SCOPES_DATA; i <= JVM_POOL_FILE; i++)
		ret->lines &= ret->has[i];
	return 0;
}
