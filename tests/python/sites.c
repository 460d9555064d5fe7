/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests/python/test_sites.py: where hostprof would hook a module, and what it knows of a version.
 *
 *   sites FILE            TASK WRITE WRITELINES: offsets in the file, "-" none, "*" behind: single-stepped
 *   sites layout HEX      ts_context task_coro task_context coro_code f_locals code_locals
 *                         future_context tuple_items func_closure attrs future_callbacks
 *                         closure_awaited of that PY_VERSION_HEX
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "unwind/pysites.h"
#include "unwind/pyversions.h"

static int print_layout(u32 hex, const char *debug_file)
{
	struct py_layout l;
	u8 debug[PY_DEBUG_OFFSETS_BYTES] = { 0 };
	_close_ int fd = debug_file ? open(debug_file, O_RDONLY | O_CLOEXEC) : -1;
	ssize_t n = fd >= 0 ? read(fd, debug, sizeof(debug)) : 0;

	if (n < 0 || py_layout_get(hex, debug, (size_t)n, &l))
		return 1;
	printf("%u %u %u %u %u %u %u %u %u %u %u %u\n", l.off.ts_context, l.off.task_coro,
	       l.off.task_context, l.off.coro_code, l.off.f_locals, l.code_locals,
	       PY_FUTURE_CONTEXT, l.off.tuple_items, l.off.func_closure, l.off.attrs,
	       PY_FUTURE_CALLBACKS, PY_CLOSURE_AWAITED);
	return 0;
}

int main(int argc, char **argv)
{
	_close_ int fd = -1;
	struct py_sites sites;
	struct elf_src src;
	int i, err;

	if (argc > 2 && !strcmp(argv[1], "layout"))
		return print_layout((u32)strtoul(argv[2], NULL, 16), argc > 3 ? argv[3] : NULL);
	if (argc != 2)
		return 2;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	err = fd < 0 ? -1 : elf_src_fd(&src, fd);
	if (!err)
		err = py_sites_read(&src, &sites);
	if (err)
		return 1;
	for (i = 0; i < PY_SITES; i++) {
		if (sites.off[i])
			printf("%s%llx%s", i ? " " : "", (unsigned long long)sites.off[i],
			       sites.stepped[i] ? "*" : "");
		else
			printf("%s-", i ? " " : "");
	}
	printf("\n");
	return 0;
}
