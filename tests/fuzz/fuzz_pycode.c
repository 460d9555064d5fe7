/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the memory of a Python process: the first byte chooses the version, the rest lies at BASE,
 * with a code object at its beginning. Whatever it holds, texts stay bounded and printable, reads
 * stay few, and every instruction has an answer.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "unwind/pycode.h"

#define BASE 0x10000

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

struct memory {
	const u8 *p;
	size_t n;
	u32 reads;
};

static int read_memory(void *arg, u64 addr, void *buf, size_t n)
{
	struct memory *m = arg;

	MUST(n <= PYCODE_READ_MAX);
	MUST(++m->reads <= PYCODE_READS);
	if (addr < BASE || addr - BASE > m->n || n > m->n - (addr - BASE))
		return -EFAULT;
	memcpy(buf, m->p + (addr - BASE), n);
	return 0;
}

static void check_text(const struct buf *b)
{
	size_t i;

	MUST(b->n <= PYCODE_TEXT_MAX + 16);
	for (i = 0; i < b->n; i++)
		MUST((u8)b->p[i] >= ' ' && b->p[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct memory m = { .p = data + 1, .n = n - 1 };
	struct py_layout layout;
	struct pycode code;
	u32 i;

	if (!n || py_layout_get(0x03080000 + (data[0] % 5u << 16), NULL, 0, &layout))
		return 0;
	pycode_get(&layout, BASE, read_memory, &m, &code);
	check_text(&code.name);
	check_text(&code.file);
	MUST(code.lines.n <= PYCODE_LINES_MAX);
	for (i = 0; i < 64; i++)
		MUST(pycode_line(&code, i * i * 17) <= INT32_MAX);
	MUST(pycode_line(&code, PY_INDEX_NONE) <= INT32_MAX);
	pycode_release(&code);
	/* A layout from offsets that anybody may have written. */
	py_layout_get(0x030d0000, data, n, &layout);
	py_layout_get(0x030e0000, data, n, &layout);
	return 0;
}
