/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is where in each CPython version, 3.8 to 3.14. Up to 3.12 from the table, by minor version:
 * the layouts did not change within one. From 3.13 on from the _Py_DebugOffsets at the beginning of
 * _PyRuntime, whose own layout is what the table knows.
 */
#ifndef UNWIND_PYVERSIONS_H
#define UNWIND_PYVERSIONS_H

#include "base/types.h"
#include "hp/python.h"

#define PY_DEBUG_OFFSETS_BYTES 1024 /* of them at most so many are looked at */

#define PY_CODE_NAMES 256 /* the fields of a code object lie in its first so many bytes, */
#define PY_OBJECT_HEAD 64 /* and those of a str or bytes object */

/* How a code object maps instructions to lines. */
enum py_lines {
	PY_LINES_LNOTAB = 1, /* 3.9 and older: co_lnotab, pairs of bytes and signed lines */
	PY_LINES_PAIRS, /* 3.10: co_linetable, the same with no-line entries and other meaning */
	PY_LINES_VARINT, /* 3.11 on: the location table */
};

/* Offsets that naming needs; struct py_offsets holds what the programs need. */
struct py_layout {
	struct py_offsets off;
	u16 code_filename;
	u16 code_name;
	u16 code_qualname; /* 0 = there is none */
	u16 code_lines;
	u16 code_locals; /* tuple of the local variables' names */
	u16 bytes_size; /* bytes object: length, data */
	u16 bytes_data;
	u16 str_length; /* str object: length, state, data when ASCII, data when compact */
	u16 str_state;
	u16 str_ascii;
	u16 str_compact;
	u8 str_kind_shift; /* in state: 3 bits of kind, then compact, then ASCII */
	u8 lines; /* enum py_lines */
	bool free_threaded;
};

/* PY_VERSION_HEX without the patch level: 0x030b for 3.11. */
static inline u16 py_minor(u32 hex)
{
	return (u16)(hex >> 16);
}

/*
 * The layout of a version. debug: the first n bytes of _PyRuntime, needed for 3.13 on. 0; -ENOTSUP
 * versions that the table does not have, -EINVAL offsets that cannot be.
 */
int py_layout_get(u32 hex, const void *debug, size_t n, struct py_layout *ret);

/*
 * For doctor: NULL when the tests of this project run such an interpreter, otherwise what to say of
 * it ("untested", "not supported").
 */
const char *py_version_note(u32 hex);

#endif
