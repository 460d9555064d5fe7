/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the file of a Python interpreter. Whatever is found in it, the programs can use as it is:
 * ranges that begin before they end, and offsets inside what they read. The first byte chooses the file's
 * name, the rest is the file. The corpus is made by tests/fuzz/gen_python.py.
 */
#include <errno.h>
#include <stdlib.h>
#include "unwind/python.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define BIAS 0x550000000000ULL

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check_layout(const struct py_layout *l)
{
	const struct py_offsets *o = &l->off;

	MUST(o->ts_bytes <= PY_THREAD_BYTES && o->f_bytes <= PY_FRAME_BYTES);
	MUST(o->code_bytes <= PY_CODE_BYTES && o->code_bytes >= 8);
	MUST(o->ts_prev + 8 <= o->ts_bytes && o->ts_next + 8 <= o->ts_bytes);
	MUST(o->ts_thread_id + 8 <= o->ts_bytes);
	MUST(o->f_prev + 8 <= o->f_bytes && o->f_code + 8 <= o->f_bytes);
	MUST(o->f_instr + 8 <= o->f_bytes && o->f_owner + 1 <= o->f_bytes);
	MUST(o->code_argcount + 4 <= o->code_bytes && o->code_kwonly + 4 <= o->code_bytes);
	MUST(o->code_flags + 4 <= o->code_bytes && o->code_firstline + 4 <= o->code_bytes);
	MUST(o->ob_type + 8 <= o->code_bytes);
	MUST(l->code_filename + 8 <= PY_CODE_NAMES && l->code_name + 8 <= PY_CODE_NAMES);
	MUST(l->code_qualname + 8 <= PY_CODE_NAMES && l->code_lines + 8 <= PY_CODE_NAMES);
	MUST(l->bytes_size + 8 <= PY_OBJECT_HEAD && l->str_state + 4 <= PY_OBJECT_HEAD);
	MUST(l->str_length + 8 <= PY_OBJECT_HEAD);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char *const names[] = { "",
					     "/usr/bin/python3.8",
					     "/usr/lib/libpython3.9.so.1.0",
					     "/opt/python3.13t",
					     "/opt/python3.14",
					     "/python3.999999999999/bin/python3.",
					     "/usr/bin/python3.10" };
	struct elf_src src = { .fd = -1 };
	struct py_runtime rt;
	struct py_file f;
	int err, i;

	if (!n)
		return 0;
	src.mem = data + 1;
	src.size = n - 1;
	err = py_file_read(&src, slice_str(names[data[0] % ARRAY_SIZE(names)]), &f);
	if (err) {
		MUST(err < 0 && err != -ENOMEM);
		return 0;
	}
	check_layout(&f.layout);
	MUST(f.runtime && f.loop[0].start < f.loop[0].end && f.loop[1].start <= f.loop[1].end);
	py_file_place(&f, BIAS, &rt);
	MUST(rt.runtime == f.runtime + BIAS && !rt.mark_down && !rt.code_type);
	for (i = 0; i < PY_LOOPS; i++)
		MUST(rt.loop[i].end - rt.loop[i].start == f.loop[i].end - f.loop[i].start);
	return 0;
}
