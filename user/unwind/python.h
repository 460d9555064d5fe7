/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Finds the CPython interpreter in a file that a process has mapped: a program it is linked into, or
 * libpython. Input: the file's bytes (hostile). Output: what the programs need to walk Python frames
 * (struct py_runtime) and what naming them needs (struct py_layout). Nothing is read from the process.
 */
#ifndef UNWIND_PYTHON_H
#define UNWIND_PYTHON_H

#include "sym/elf.h"
#include "unwind/pyversions.h"

/* An interpreter in a file, by the file's own addresses. */
struct py_file {
	u32 hex; /* PY_VERSION_HEX; the patch level is 0 when only the file's name tells the version */
	u64 runtime;
	struct py_range loop[PY_LOOPS];
	struct py_layout layout;
};

/*
 * path: the file's name as mapped, "" = not known. 0; -ENOENT there is no interpreter in it;
 * -ENOTSUP there is one whose version or layout is not known (ret->hex says which, 0 = not that
 * either); -ENOMEM; other errors as elf_open().
 */
int py_file_read(const struct elf_src *src, struct slice path, struct py_file *ret);

/* The same where the file's address 0 is at `bias` of a process. */
void py_file_place(const struct py_file *f, u64 bias, struct py_runtime *ret);

#endif
