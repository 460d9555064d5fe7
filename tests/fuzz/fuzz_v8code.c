/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as the heap of a V8: the first four say where in it the function is, the rest lies at BASE.
 * Whatever it holds, texts stay bounded and printable and reads few; and any bytes as the binary that
 * says how the heap is laid out.
 */
#include <stdlib.h>
#include <string.h>
#include "../unit/v8_heap.h"

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

	MUST(n <= V8CODE_READ_MAX);
	/* A source is read to its end, whatever that is. */
	MUST(++m->reads <= V8CODE_READS + 1 + V8LINES_SOURCE_MAX / V8CODE_READ_MAX + 1);
	if (addr < HEAP_AT || addr - HEAP_AT > m->n || n > m->n - (addr - HEAP_AT))
		return -EFAULT;
	memcpy(buf, m->p + (addr - HEAP_AT), n);
	return 0;
}

static void check_text(const struct buf *b)
{
	size_t i;

	MUST(b->n <= V8CODE_TEXT_MAX + 16);
	for (i = 0; i < b->n; i++)
		MUST((u8)b->p[i] >= ' ' && b->p[i] != 0x7f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct v8lines lines = { 0 };
	struct v8_layout layout;
	struct elf_src src = { .fd = -1, .mem = data, .size = n };
	struct memory m = { .p = data + 4, .n = n - 4 };
	struct v8code code;
	struct elf e;
	u32 off, i;

	if (n < 4)
		return 0;
	memcpy(&off, data, sizeof(off));
	for (i = 0; i < 2; i++) { /* the second time with lines that are known */
		m.reads = 0;
		v8code_get(&heap_layout, HEAP_AT + off, &lines, 1, read_memory, &m, &code);
		check_text(&code.name);
		check_text(&code.file);
		MUST(code.line <= INT32_MAX);
		v8code_release(&code);
	}
	v8lines_release(&lines);
	if (elf_open(&e, &src) == 0 && v8_file_read(&e, &layout) == 0)
		MUST(layout.fp_function < 0 && layout.shared_script < V8_FIELD_MAX);
	return 0;
}
