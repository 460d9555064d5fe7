/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where in an extension module the work of a request changes hands: the function that begins an asyncio
 * task, and those that uvloop's transports queue bytes with. Found without symbols, by the tables that
 * the modules give to the interpreter: a type's or a method's name is a string, a relocation points at
 * it, and the function's pointer lies at a fixed distance from there.
 *
 * Input: the module's file (hostile). Output: offsets in the file, of an instruction that the kernel can
 * emulate, so that a probe there costs one trap and no single step.
 *
 * Facts: Include/cpython/object.h (PyTypeObject: tp_name 24, tp_init 296), Include/object.h and
 * typeslots.h (PyType_Spec: slots 32; Py_tp_init 60), Include/methodobject.h (PyMethodDef: name, meth,
 * flags, doc); Modules/_asynciomodule.c: static types up to 3.11, specs from 3.12 on; uvloop's
 * docstrings begin with the method's signature.
 */
#ifndef UNWIND_PYSITES_H
#define UNWIND_PYSITES_H

#include "base/types.h"
#include "hp/events.h"
#include "hp/python.h"
#include "sym/elf.h"

struct py_sites {
	u64 off[PY_SITES]; /* in the file; 0 = not in this one */
	bool stepped[PY_SITES]; /* there is no instruction to emulate: each hit is single-stepped */
};

static inline bool py_sites_any(const struct py_sites *s)
{
	u32 i;

	for (i = 0; i < PY_SITES; i++)
		if (s->off[i])
			return true;
	return false;
}

/* Could the file at this path have any? Asked before it is opened. */
bool py_sites_maybe(struct slice path);
/* 0, also when there are none; -ENOMEM; other errors as elf_open(). */
int py_sites_read(const struct elf_src *src, struct py_sites *ret);

#endif
