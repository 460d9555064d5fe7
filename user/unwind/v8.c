/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See v8.h. Each constant is an int in the binary's data. Names of fields are followed by their type, which
 * changes from version to version and says nothing that is needed here.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "unwind/v8.h"

#define FP_MAX 128 /* bytes below a frame pointer */

enum what {
	FIELD, /* offset of a field: a multiple of 2 */
	POINTER, /* of one that holds a pointer: of the word */
	NUMBER,
	EXPECT, /* what the reader takes for granted; `want` is it */
};

struct constant {
	const char *name; /* behind "v8dbg_" */
	bool prefix; /* the field's type follows */
	u8 what;
	s32 want;
	size_t at; /* in struct v8_layout */
};

/* clang-format off */
#define AT(field) offsetof(struct v8_layout, field)
static const struct constant constants[] = {
	{ "off_fp_function", false, NUMBER, 0, AT(fp_function) },
	{ "class_Map__instance_type__", true, FIELD, 0, AT(map_type) },
	{ "class_JSFunction__shared__", true, POINTER, 0, AT(function_shared) },
	{ "class_SharedFunctionInfo__name_or_scope_info__", true, POINTER, 0, AT(shared_name) },
	{ "class_SharedFunctionInfo__script_or_debug_info__", true, POINTER, 0, AT(shared_script) },
	{ "class_Script__name__", true, POINTER, 0, AT(script_name) },
	{ "class_Script__source__", true, POINTER, 0, AT(script_source) },
	{ "class_Script__type__", true, POINTER, 0, AT(script_type) },
	{ "class_String__length__", true, FIELD, 0, AT(string_length) },
	{ "class_SeqOneByteString__chars__", true, FIELD, 0, AT(one_byte_chars) },
	{ "class_SeqTwoByteString__chars__", true, FIELD, 0, AT(two_byte_chars) },
	{ "class_ConsString__first__", true, POINTER, 0, AT(cons_first) },
	{ "class_ConsString__second__", true, POINTER, 0, AT(cons_second) },
	{ "class_SlicedString__parent__", true, POINTER, 0, AT(sliced_parent) },
	{ "class_SlicedString__offset__", true, POINTER, 0, AT(sliced_offset) },
	{ "class_ThinString__actual__", true, POINTER, 0, AT(thin_actual) },
	{ "class_ExternalString__resource__", true, POINTER, 0, AT(external_resource) },
	{ "scopeinfo_idx_ncontextlocals", false, NUMBER, 0, AT(scope_locals) },
	{ "scopeinfo_idx_first_vars", false, NUMBER, 0, AT(scope_vars) },
	{ "type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE", false, NUMBER, 0, AT(type_shared) },
	{ "type_ScopeInfo__SCOPE_INFO_TYPE", false, NUMBER, 0, AT(type_scope) },
	{ "type_Script__SCRIPT_TYPE", false, NUMBER, 0, AT(type_script) },
	{ "type_Oddball__ODDBALL_TYPE", false, NUMBER, 0, AT(type_oddball) },
	{ "type_Map__MAP_TYPE", false, NUMBER, 0, AT(type_map) },
	{ "FirstNonstringType", false, NUMBER, 0, AT(first_nonstring) },
	{ "StringRepresentationMask", false, NUMBER, 0, AT(shape_mask) },
	{ "SeqStringTag", false, NUMBER, 0, AT(shape_seq) },
	{ "ConsStringTag", false, NUMBER, 0, AT(shape_cons) },
	{ "ExternalStringTag", false, NUMBER, 0, AT(shape_external) },
	{ "SlicedStringTag", false, NUMBER, 0, AT(shape_sliced) },
	{ "ThinStringTag", false, NUMBER, 0, AT(shape_thin) },
	{ "StringEncodingMask", false, NUMBER, 0, AT(one_byte_mask) },
	{ "OneByteStringTag", false, NUMBER, 0, AT(one_byte) },
	{ "SmiShiftSize", false, NUMBER, 0, AT(smi_shift) },
	{ "off_fp_context_or_frame_type", false, NUMBER, 0, AT(fp_context) },
	{ "class_HeapObject__map__", true, EXPECT, 0, 0 },
	{ "HeapObjectTag", false, EXPECT, 1, 0 },
	{ "HeapObjectTagMask", false, EXPECT, 3, 0 },
	{ "SmiTag", false, EXPECT, 0, 0 },
	{ "SmiTagMask", false, EXPECT, 1, 0 },
	{ "SmiValueShift", false, EXPECT, 1, 0 },
};
#undef AT
/* clang-format on */

struct found {
	u64 at[ARRAY_SIZE(constants)];
};

static void take_symbol(void *arg, const char *name, const Elf64_Sym *s)
{
	static const char mark[] = "v8dbg_";
	struct found *f = arg;
	size_t i;

	if (strncmp(name, mark, sizeof(mark) - 1) || !s->st_value || s->st_shndx == SHN_UNDEF)
		return;
	name += sizeof(mark) - 1;
	for (i = 0; i < ARRAY_SIZE(constants); i++) {
		const struct constant *c = &constants[i];

		if (c->prefix ? !strncmp(name, c->name, strlen(c->name)) : !strcmp(name, c->name))
			f->at[i] = s->st_value;
	}
}

/* Constants that are 0 may lie in memory that the file does not have. */
static bool read_int(const struct elf *e, u64 vaddr, s32 *ret)
{
	u64 off, left;
	u16 i;

	if (elf_vaddr_to_off(e, vaddr, &off, &left) == 0 && left >= sizeof(*ret))
		return elf_read(&e->src, off, ret, sizeof(*ret)) == 0;
	*ret = 0;
	for (i = 0; i < e->nloads; i++)
		if (vaddr >= e->loads[i].vaddr && vaddr - e->loads[i].vaddr < e->loads[i].memsz)
			return true;
	return false;
}

static bool is_sound(const struct constant *c, s32 v)
{
	switch (c->what) {
	case FIELD:
		return v >= V8_WORD && v < V8_FIELD_MAX && !(v & 1);
	case POINTER:
		return v >= V8_WORD && v < V8_FIELD_MAX && !(v & (V8_WORD - 1));
	case EXPECT:
		return v == c->want;
	}
	return v > -V8_FIELD_MAX && v < 1 << 16;
}

int v8_file_read(const struct elf *e, struct v8_layout *ret)
{
	struct found f = { 0 };
	size_t i, missing = 0;
	int err;
	s32 v;

	memset(ret, 0, sizeof(*ret));
	err = elf_symbols_each(e, true, take_symbol, &f);
	if (!err && !f.at[0])
		err = elf_symbols_each(e, false, take_symbol, &f);
	if (err)
		return err;
	for (i = 0; i < ARRAY_SIZE(constants); i++)
		missing += !f.at[i];
	if (missing)
		return missing == ARRAY_SIZE(constants) ? -ENOENT : -ENOTSUP;
	for (i = 0; i < ARRAY_SIZE(constants); i++) {
		const struct constant *c = &constants[i];

		if (!read_int(e, f.at[i], &v) || !is_sound(c, v))
			return -ENOTSUP;
		if (c->what != EXPECT)
			memcpy((u8 *)ret + c->at, &v, sizeof(v));
	}
	ret->smi_shift += 1; /* SmiValueShift */
	if (ret->fp_function >= 0 || ret->fp_function < -FP_MAX || ret->fp_function % V8_WORD ||
	    ret->fp_context != ret->fp_function + V8_WORD || ret->function_shared >= 16 * V8_WORD ||
	    ret->smi_shift != 32 || ret->scope_locals < 0 || ret->scope_vars <= ret->scope_locals ||
	    ret->scope_vars > 16)
		return -ENOTSUP;
	return 0;
}
