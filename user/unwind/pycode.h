/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Code objects of a running interpreter: what they are called and which line an instruction belongs
 * to. Input: memory of the process, which is hostile and may change between two reads; the caller
 * brings the function that reads it. Everything is bounded: at most PYCODE_READS reads of at most
 * PYCODE_READ_MAX bytes for one object, names of PYCODE_TEXT_MAX bytes, line tables of PYCODE_LINES_MAX.
 */
#ifndef UNWIND_PYCODE_H
#define UNWIND_PYCODE_H

#include "base/buf.h"
#include "unwind/pyversions.h"

#define PYCODE_READ_MAX 4096
#define PYCODE_TEXT_MAX 1000
#define PYCODE_LINES_MAX (256u << 10)
#define PYCODE_READS 80

/* Exactly n bytes at addr of the process, n <= PYCODE_READ_MAX: 0 or -errno. */
typedef int pycode_read_fn(void *arg, u64 addr, void *buf, size_t n);

struct pycode {
	u32 check; /* py_check() of what was read */
	u32 first_line;
	struct buf name; /* qualified where the version has that (3.11 on); printable UTF-8 */
	struct buf file;
	struct buf lines; /* the raw table */
	u8 kind; /* enum py_lines */
	bool hidden; /* the interpreter's own: it has neither name nor file, and no traceback shows it */
};

/*
 * 0; -EINVAL there is no code object at addr; -E2BIG its table is too long (then the names are there
 * and every line is the first); errors of read. *ret is to be released in any case.
 */
int pycode_get(const struct py_layout *l, u64 addr, pycode_read_fn *read, void *arg,
	       struct pycode *ret);
/*
 * The index of a local variable of that code object; -ENOENT it has none of that name, else as
 * pycode_get().
 */
int pycode_local(const struct py_layout *l, u64 addr, pycode_read_fn *read, void *arg,
		 const char *name);
void pycode_release(struct pycode *c);

/* The line of an instruction (index in code units, PY_INDEX_NONE: none has run); 0 = it has none. */
u32 pycode_line(const struct pycode *c, u32 index);

#endif
