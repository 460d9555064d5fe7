/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pyversions.h. The numbers for 3.8 to 3.12 were printed by a program that was compiled against
 * each version's own headers (x86-64, no debug build), and tests/python runs the interpreters.
 */
#include <errno.h>
#include <string.h>
#include "unwind/pyversions.h"

#define OFF_MAX 0x100000 /* of a field in an interpreter or runtime state; 3.13's reach 0x45000 */

/* Where things are in _Py_DebugOffsets, as numbers of 8-byte words. */
struct debug_words {
	u8 rt_interps;
	u8 interp_next, interp_threads, gil;
	u8 ts_prev, ts_next, ts_frame, ts_thread_id;
	u8 f_prev, f_code, f_instr, f_locals, f_owner;
	u8 filename, name, qualname, linetable, firstline, argcount, locals, instrs;
	u8 ob_type, tuple_items;
	u8 bytes_size, bytes_data;
	u8 str_state, str_length, str_ascii;
};

struct row {
	u16 minor;
	bool tested; /* by tests/python, with an interpreter of that version */
	const struct debug_words *words; /* 3.13 on */
	struct py_layout layout; /* before 3.13; later what is in no debug offset */
};

static const struct debug_words words_313 = {
	.rt_interps = 5,
	.interp_next = 8,
	.interp_threads = 9,
	.gil = 14,
	.ts_prev = 20,
	.ts_next = 21,
	.ts_frame = 23,
	.ts_thread_id = 24,
	.f_prev = 29,
	.f_code = 30,
	.f_instr = 31,
	.f_locals = 32,
	.f_owner = 33,
	.filename = 35,
	.name = 36,
	.qualname = 37,
	.linetable = 38,
	.firstline = 39,
	.argcount = 40,
	.locals = 41,
	.instrs = 43,
	.ob_type = 45,
	.tuple_items = 51,
	.bytes_size = 65,
	.bytes_data = 66,
	.str_state = 68,
	.str_length = 69,
	.str_ascii = 70,
};

/* Has threads_main, two generations, stackpointer, tlbc_index, co_tlbc and sets besides. */
static const struct debug_words words_314 = {
	.rt_interps = 5,
	.interp_next = 8,
	.interp_threads = 9,
	.gil = 15,
	.ts_prev = 23,
	.ts_next = 24,
	.ts_frame = 26,
	.ts_thread_id = 27,
	.f_prev = 32,
	.f_code = 33,
	.f_instr = 34,
	.f_locals = 35,
	.f_owner = 36,
	.filename = 40,
	.name = 41,
	.qualname = 42,
	.linetable = 43,
	.firstline = 44,
	.argcount = 45,
	.locals = 46,
	.instrs = 48,
	.ob_type = 51,
	.tuple_items = 57,
	.bytes_size = 75,
	.bytes_data = 76,
	.str_state = 78,
	.str_length = 79,
	.str_ascii = 80,
};

/* clang-format off */
#define OLD_OFFSETS(lasti, gil_at, lasti_flags)                                                    \
	.off = { .rt_interps = 32, .interp_next = 0, .interp_threads = 8, .ts_next = 8,            \
		 .ob_type = 8, .tuple_items = 24,                                                          \
		 .ts_thread_id = 176, .ts_frame = 24, .f_code = 32, .f_prev = 24, .f_instr = lasti, \
		 .f_locals = (lasti) == 104 ? 360 : 352,                                          \
		 .code_argcount = 16, .code_kwonly = 24, .code_flags = 36, .code_firstline = 40,    \
		 .gil = gil_at, .flags = PY_ONE_A_LOOP | PY_LASTI | (lasti_flags) },                \
	.code_locals = 72, .code_filename = 104, .code_name = 112, .code_lines = 120
#define OBJECTS(header)                                                                            \
	.bytes_size = 16, .bytes_data = 32, .str_length = 16, .str_state = 32,                     \
	.str_ascii = (header), .str_compact = (header) + ((header) == 48 ? 24 : 16),               \
	.str_kind_shift = 2
/* clang-format on */

static const struct row rows[] = {
	{ .minor = 0x0308,
	  .tested = true,
	  .layout = { OLD_OFFSETS(104, 1152, PY_LASTI_BYTES), OBJECTS(48),
		      .lines = PY_LINES_LNOTAB } },
	{ .minor = 0x0309,
	  .tested = true,
	  .layout = { OLD_OFFSETS(104, 352, PY_LASTI_BYTES), OBJECTS(48),
		      .lines = PY_LINES_LNOTAB } },
	{ .minor = 0x030a,
	  .tested = true,
	  .layout = { OLD_OFFSETS(96, 352, 0), OBJECTS(48), .lines = PY_LINES_PAIRS } },
	{ .minor = 0x030b,
	  .tested = true,
	  .layout = { .off = { .ob_type = 8,
			       .tuple_items = 24,
			       .rt_interps = 40,
			       .interp_next = 0,
			       .interp_threads = 16,
			       .gil = 360,
			       .ts_next = 8,
			       .ts_thread_id = 152,
			       .ts_frame = 56,
			       .cframe_frame = 8,
			       .cframe_prev = 16,
			       .f_code = 32,
			       .f_prev = 48,
			       .f_instr = 56,
			       .f_locals = 72,
			       .f_owner = 69,
			       .code_argcount = 56,
			       .code_kwonly = 64,
			       .code_flags = 48,
			       .code_firstline = 72,
			       .code_instrs = 184,
			       .flags = PY_CFRAME },
		      .code_locals = 96,
		      .code_filename = 112,
		      .code_name = 120,
		      .code_qualname = 128,
		      .code_lines = 136,
		      OBJECTS(48),
		      .lines = PY_LINES_VARINT } },
	{ .minor = 0x030c,
	  .tested = true,
	  .layout = { .off = { .ob_type = 8,
			       .tuple_items = 24,
			       .rt_interps = 40,
			       .interp_next = 0,
			       .interp_threads = 72,
			       .gil = 384,
			       .ts_next = 8,
			       .ts_thread_id = 136,
			       .ts_frame = 56,
			       .cframe_frame = 0,
			       .cframe_prev = 8,
			       .f_code = 0,
			       .f_prev = 8,
			       .f_instr = 56,
			       .f_locals = 72,
			       .f_owner = 70,
			       .code_argcount = 52,
			       .code_kwonly = 60,
			       .code_flags = 48,
			       .code_firstline = 68,
			       .code_instrs = 192,
			       .flags = PY_CFRAME | PY_SHIM | PY_GIL_OWN,
			       .shim_owner = 3 },
		      .code_locals = 96,
		      .code_filename = 112,
		      .code_name = 120,
		      .code_qualname = 128,
		      .code_lines = 136,
		      OBJECTS(40),
		      .lines = PY_LINES_VARINT } },
	{ .minor = 0x030d,
	  .tested = true,
	  .words = &words_313,
	  .layout = { .off = { .flags = PY_SHIM | PY_GIL_OWN, .shim_owner = 3 },
		      .str_kind_shift = 2,
		      .lines = PY_LINES_VARINT } },
	{ .minor = 0x030e,
	  .tested = true,
	  .words = &words_314,
	  .layout = { .off = { .flags = PY_SHIM | PY_TAGGED | PY_GIL_OWN, .shim_owner = 3 },
		      .str_kind_shift = 2,
		      .lines = PY_LINES_VARINT } },
};

static const struct row *row_of(u32 hex)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++)
		if (rows[i].minor == py_minor(hex))
			return &rows[i];
	return NULL;
}

/* Word number w of the offsets into *ret, when it is below max. */
static bool word(const u8 *debug, size_t n, u8 w, u64 max, u64 *ret)
{
	if (((size_t)w + 1) * 8 > n)
		return false;
	memcpy(ret, debug + (size_t)w * 8, 8);
	return *ret < max;
}

static int from_debug(const struct row *row, u32 hex, const u8 *debug, size_t n,
		      struct py_layout *ret)
{
	const struct debug_words *w = row->words;
	struct py_offsets *off = &ret->off;
	u64 version, ft, v;

	if (n < 24 || memcmp(debug, "xdebugpy", 8) || !word(debug, n, 1, 1ULL << 32, &version) ||
	    py_minor((u32)version) != py_minor(hex) || !word(debug, n, 2, 2, &ft))
		return -EINVAL;
	ret->free_threaded = ft;
#define TAKE(field, max)                                                                           \
	do {                                                                                       \
		if (!word(debug, n, w->field, max, &v))                                            \
			return -EINVAL;                                                            \
		TO(field) = (typeof(TO(field)))v;                                                  \
	} while (0)
#define TO(field) off->field
	TAKE(rt_interps, OFF_MAX);
	TAKE(interp_next, OFF_MAX);
	TAKE(interp_threads, OFF_MAX);
	TAKE(gil, OFF_MAX);
	TAKE(ts_prev, PY_THREAD_BYTES - 7);
	TAKE(ts_next, PY_THREAD_BYTES - 7);
	TAKE(ts_frame, PY_THREAD_BYTES - 7);
	TAKE(ts_thread_id, PY_THREAD_BYTES - 7);
	TAKE(f_prev, PY_FRAME_BYTES - 7);
	TAKE(f_code, PY_FRAME_BYTES - 7);
	TAKE(f_instr, PY_FRAME_BYTES - 7);
	TAKE(f_locals, PY_FRAME_BYTES);
	TAKE(f_owner, PY_FRAME_BYTES - 7);
#undef TO
#define TO(field) ret->code_##field
	TAKE(filename, PY_CODE_NAMES - 7);
	TAKE(name, PY_CODE_NAMES - 7);
	TAKE(qualname, PY_CODE_NAMES - 7);
	TAKE(locals, PY_CODE_NAMES - 7);
#undef TO
#define TO(field) ret->code_lines
	TAKE(linetable, PY_CODE_NAMES - 7);
#undef TO
#define TO(field) off->code_##field
	TAKE(argcount, PY_CODE_BYTES - 16);
	TAKE(instrs, 1024);
#undef TO
#define TO(field) off->code_firstline
	TAKE(firstline, PY_CODE_BYTES - 3);
#undef TO
#define TO(field) off->field
	TAKE(ob_type, PY_OBJECT_HEAD - 7);
	TAKE(tuple_items, PY_OBJECT_HEAD - 7);
#undef TO
#define TO(field) ret->field
	TAKE(bytes_size, PY_OBJECT_HEAD - 7);
	TAKE(bytes_data, PY_OBJECT_HEAD - 7);
	TAKE(str_state, PY_OBJECT_HEAD - 7);
	TAKE(str_length, PY_OBJECT_HEAD - 7);
	TAKE(str_ascii, PY_OBJECT_HEAD - 7);
#undef TO
#undef TAKE
	/* co_flags, co_argcount, co_posonlyargcount, co_kwonlyargcount stand in a row. */
	if (off->code_argcount < 4)
		return -EINVAL;
	off->code_flags = off->code_argcount - 4;
	off->code_kwonly = off->code_argcount + 8;
	/* Then come utf8_length and utf8. */
	ret->str_compact = ret->str_ascii + 16;
	/* 3.14 without the GIL keeps a whole byte for what is two bits otherwise. */
	if (ft && row->minor >= 0x030e)
		ret->str_kind_shift = 8;
	return 0;
}

static u16 last(u16 a, u16 b)
{
	return a > b ? a : b;
}

/* What asyncio's tasks are told by, as measured with each interpreter (tests/python/test_sites.py). */
static const struct {
	u32 minor;
	u16 ts_context, task_coro, coro_code, func_closure;
	enum py_attrs attrs;
} task_rows[] = {
	{ 0x0308, 240, 112, 32, 48, PY_ATTRS_DICT },
	{ 0x0309, 240, 152, 32, 48, PY_ATTRS_DICT },
	{ 0x030a, 240, 160, 24, 72, PY_ATTRS_DICT },
	{ 0x030b, 224, 136, 112, 72, PY_ATTRS_BEFORE },
	{ 0x030c, 208, 136, 72, 72, PY_ATTRS_MARKED },
	{ 0x030d, 208, 120, 72, 72, PY_ATTRS_INSIDE },
	{ 0x030e, 208, 128, 72, 72, PY_ATTRS_SORTED },
};

/* In all versions a task has its context two words behind its coroutine. */
static void set_task(struct py_offsets *off, u32 minor, bool free_threaded)
{
	size_t i;

	/* Objects have a longer head there, and nothing says where the rest is. */
	if (free_threaded)
		return;
	for (i = 0; i < ARRAY_SIZE(task_rows); i++) {
		if (task_rows[i].minor != minor)
			continue;
		off->ts_context = task_rows[i].ts_context;
		off->task_coro = task_rows[i].task_coro;
		off->task_context = task_rows[i].task_coro + 16;
		off->coro_code = task_rows[i].coro_code;
		off->func_closure = task_rows[i].func_closure;
		off->attrs = task_rows[i].attrs;
	}
}

static void set_bytes(struct py_offsets *off)
{
	off->ts_bytes = last(off->ts_thread_id, last(off->ts_prev, off->ts_next)) + 8;
	off->f_bytes = last(last(off->f_code, off->f_prev), last(off->f_instr, off->f_owner)) + 8;
	off->code_bytes = last(last(off->code_kwonly, off->code_firstline) + 4, off->ob_type + 8);
}

int py_layout_get(u32 hex, const void *debug, size_t n, struct py_layout *ret)
{
	const struct row *row = row_of(hex);
	int err;

	if (!row)
		return -ENOTSUP;
	*ret = row->layout;
	err = row->words ? from_debug(row, hex, debug, n, ret) : 0;
	if (err)
		return err;
	set_task(&ret->off, row->minor, ret->free_threaded);
	set_bytes(&ret->off);
	return 0;
}

const char *py_version_note(u32 hex)
{
	const struct row *row = row_of(hex);

	if (!row)
		return "not supported";
	return row->tested ? NULL : "untested";
}
