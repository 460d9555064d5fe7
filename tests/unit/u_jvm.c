/* SPDX-License-Identifier: Apache-2.0 */
/* What a HotSpot process has generated: layout, pieces of code, rows, tables, names, lines. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "base/cleanup.h"
#include "jvm_image.h"

struct world {
	struct jvm_image image;
	struct jvm_mem mem;
	struct jvm_layout layout;
	struct jvm_heaps heaps;
};

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	jvm_image_make(&w->image);
	w->mem.read = jvm_image_read;
	w->mem.arg = &w->image;
	jvm_mem_begin(&w->mem, 1);
	return w;
}

static void world_free(struct world *w)
{
	jvm_heaps_release(&w->heaps);
	free(w);
}

static void look(struct world *w)
{
	int r, i;

	jvm_mem_begin(&w->mem, 1);
	for (i = 0; i < 1000 && !(r = jvm_heaps_look(&w->heaps, &w->layout, &w->mem, 1, 1)); i++)
		;
	assert_int_equal(r, 1);
}

static struct world *world_ready(void)
{
	struct world *w = world_new();

	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &w->mem, &w->layout), 0);
	look(w);
	return w;
}

static void t_layout(void **state)
{
	struct world *w = world_new();
	char *field;

	(void)state;
	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &w->mem, &w->layout), 0);
	assert_int_equal(w->layout.major, 17);
	assert_true(w->layout.lines);
	assert_int_equal(w->layout.at[JVM_BLOB_NAME], 96);
	assert_int_equal(w->layout.at[JVM_CACHE_HEAPS], JVM_AT + AT_CACHE);
	assert_int_equal(w->layout.size[JVM_SIZE_NMETHOD], 352);
	/* Another encoding of lines; names of methods are as they were. */
	jvm_put(&w->image, AT_CACHE + 0x80, 21, 4);
	jvm_mem_begin(&w->mem, 1);
	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &w->mem, &w->layout), 0);
	assert_false(w->layout.lines);
	/* Without something that is needed, it is another machine. */
	field = memmem(w->image.p, JVM_BYTES, "_segmap", 8);
	assert_non_null(field);
	*field = 'x';
	jvm_mem_begin(&w->mem, 1);
	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &w->mem, &w->layout), -ENOTSUP);
	/* Not initialised yet; absurd; nowhere. */
	jvm_put(&w->image, AT_SYMBOLS + 8 * JVM_STRUCTS, 0, 8);
	jvm_mem_begin(&w->mem, 1);
	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &w->mem, &w->layout), -EAGAIN);
	jvm_put(&w->image, AT_SYMBOLS + 8 * JVM_STRUCT_STRIDE, 1 << 20, 8);
	jvm_mem_begin(&w->mem, 1);
	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &w->mem, &w->layout), -ENOTSUP);
	assert_int_equal(jvm_layout_read(&w->image.file, 0, &w->mem, &w->layout), -EFAULT);
	world_free(w);
}

static void assert_rule(const struct unwind_image *img, u32 at, enum uw_cfa cfa, s32 off)
{
	const struct uw_rule *r = unwind_image_lookup(img, JVM_AT + at);

	assert_int_equal(r->cfa, cfa);
	assert_int_equal(r->cfa_off, off);
}

/* The programs are told how to find out by themselves. */
static void assert_unknown(const struct unwind_image *img, u32 at)
{
	static const struct uw_heap heap = {
		.segments = { (u32)(JVM_AT + AT_SEGMAP), (JVM_AT + AT_SEGMAP) >> 32 },
		.block = 16 / 8,
		.frame = 28 / 4,
		.complete = 20 / 4,
		.code = 32 / 8,
	};
	const struct uw_rule *r = unwind_image_lookup(img, JVM_AT + at);

	assert_int_equal(r->cfa, UW_CFA_HEAP);
	assert_int_equal(r->reg, 7);
	assert_memory_equal(&r->cfa_off, &heap, sizeof(heap));
}

static void t_table(void **state)
{
	struct world *w = world_ready();
	_release_(unwind_image) struct unwind_image img = { 0 };
	u32 at = AT_NMETHOD + JVM_CODE_OFF;

	(void)state;
	assert_int_equal(w->heaps.n, 1);
	assert_int_equal(w->heaps.v[0].n, 3);
	assert_true(w->heaps.v[0].changed);
	assert_int_equal(jvm_heap_image(&w->heaps.v[0], &img), 0);
	assert_int_equal(unwind_image_check(img.p, img.n), 0);
	assert_int_equal(unwind_image_head(&img)->npages, 4);
	/* The method: push, sub; body; add, pop, poll and return; what is behind. */
	assert_unknown(&img, at - 1);
	assert_rule(&img, at, UW_CFA_RSP, 8);
	assert_rule(&img, at + 1, UW_CFA_RSP, 16);
	assert_rule(&img, at + 5, UW_CFA_RSP, JVM_FRAME_BYTES);
	assert_rule(&img, at + 10, UW_CFA_RSP, JVM_FRAME_BYTES);
	assert_rule(&img, at + 11, UW_CFA_RSP, 16);
	assert_rule(&img, at + 12, UW_CFA_RSP, 8);
	assert_rule(&img, at + 25, UW_CFA_RSP, 8);
	assert_rule(&img, at + 26, UW_CFA_RSP, JVM_FRAME_BYTES);
	assert_unknown(&img, at + 27);
	assert_int_equal(unwind_image_lookup(&img, JVM_AT + at + 5)->rbp_off, -16);
	assert_rule(&img, AT_INTERPRETER + JVM_CODE_OFF, UW_CFA_FP, -24);
	assert_int_equal(unwind_image_lookup(&img, JVM_AT + AT_INTERPRETER + JVM_CODE_OFF)->cfa_add,
			 -8);
	/* The stub: with rbp, up to its leave. */
	at = AT_STUBS + JVM_CODE_OFF;
	assert_rule(&img, at, UW_CFA_RSP, 8);
	assert_rule(&img, at + 2, UW_CFA_RSP, 16);
	assert_rule(&img, at + 5, UW_CFA_RBP, 16);
	assert_rule(&img, at + 7, UW_CFA_RSP, 8);
	assert_unknown(&img, AT_CODE_END - 1);
	world_free(w);
}

/* Blocks are freed, and given to other code, sometimes without a trace in the map of segments. */
static void t_changes(void **state)
{
	struct world *w = world_ready();
	struct jvm_image *v = &w->image;
	u64 code = JVM_AT + AT_NMETHOD + JVM_CODE_OFF;
	struct jvm_heap *heap;
	struct jvm_blob *b = jvm_heaps_find(&w->heaps, code, &heap);

	(void)state;
	assert_non_null(b);
	assert_int_equal(b->id, 42);
	heap->changed = false;
	look(w);
	assert_false(heap->changed); /* the same, and read no further */
	b = jvm_heaps_find(&w->heaps, code, &heap);
	assert_true(jvm_blob_check(heap, b, &w->layout, &w->mem, 2));
	/* Other code in the same place: a look alone does not see it any more. */
	jvm_put(v, AT_NMETHOD + 304, 43, 4);
	look(w);
	assert_false(heap->changed);
	b = jvm_heaps_find(&w->heaps, code, &heap);
	assert_int_equal(b->id, 42);
	assert_false(jvm_blob_check(heap, b, &w->layout, &w->mem, 3));
	assert_true(heap->changed);
	look(w);
	b = jvm_heaps_find(&w->heaps, code, &heap);
	assert_int_equal(b->id, 43);
	/* Being written: not yet. Then freed. */
	jvm_put(v, AT_NMETHOD + 315, 0xff, 1);
	jvm_mem_begin(&w->mem, 1);
	assert_false(jvm_blob_check(heap, b, &w->layout, &w->mem, 4));
	look(w);
	b = jvm_heaps_find(&w->heaps, code, &heap);
	assert_int_equal(b->begin, b->end);
	jvm_put(v, AT_NMETHOD + 315, 0, 1);
	look(w);
	b = jvm_heaps_find(&w->heaps, code, &heap);
	assert_true(b->end > b->begin);
	jvm_put(v, AT_CODE + 8, 0, 1);
	memset(v->p + AT_SEGMAP, 0xff, 16);
	look(w);
	assert_int_equal(heap->n, 2);
	/* A heap that is none, or a map that is shorter. */
	jvm_put(v, AT_HEAP + 240, 40, 4);
	assert_int_equal(jvm_heaps_look(&w->heaps, &w->layout, &w->mem, 100, 5), 1);
	jvm_mem_begin(&w->mem, 1);
	assert_int_equal(jvm_heaps_look(&w->heaps, &w->layout, &w->mem, 100, 5), -EINVAL);
	jvm_put(v, AT_HEAP + 240, 7, 4);
	jvm_put(v, AT_HEAP + 120 + 24, JVM_AT + AT_SEGMAP + 20, 8);
	look(w);
	assert_int_equal(heap->n, 1); /* it reaches over the end */
	assert_int_equal(heap->blobs[0].begin, heap->blobs[0].end);
	world_free(w);
}

static void t_names(void **state)
{
	struct world *w = world_ready();
	struct jvm_method_text text[4];
	char name[JVM_METHOD_TEXT];
	struct jvm_heap *heap;
	u64 method = JVM_AT + AT_METHODS, codes = method + 0x60 + 48;
	struct jvm_blob *b;

	(void)state;
	b = jvm_heaps_find(&w->heaps, JVM_AT + AT_NMETHOD + JVM_CODE_OFF, &heap);
	assert_true(jvm_blob_name(&w->layout, &w->mem, b, name, sizeof(name)));
	assert_string_equal(name, "shop.Orders.sum");
	/* A return address, and the place where a thread stands: what comes next is told. */
	assert_int_equal(jvm_scopes(&w->layout, &w->mem, b, b->begin + 6, text, 4), 2);
	assert_string_equal(text[0].name, "shop.Orders.inner");
	assert_string_equal(text[0].file, "Orders.java");
	assert_int_equal(text[0].line, 11);
	assert_string_equal(text[1].name, "shop.Orders.sum");
	assert_int_equal(text[1].line, 12);
	assert_int_equal(jvm_scopes(&w->layout, &w->mem, b, b->begin + 6, text, 1), 0);
	assert_int_equal(jvm_scopes(&w->layout, &w->mem, b, b->begin + 8, text, 4), 0);
	b = jvm_heaps_find(&w->heaps, JVM_AT + AT_STUBS + JVM_CODE_OFF, &heap);
	assert_true(jvm_blob_name(&w->layout, &w->mem, b, name, sizeof(name)));
	assert_string_equal(name, "StubRoutines (1)");
	/* Interpreted: by the address of the bytecode; a native method has none. */
	assert_true(jvm_method_text(&w->layout, &w->mem, method, (u32)codes + 3, &text[0]));
	assert_string_equal(text[0].name, "shop.Orders.sum");
	assert_int_equal(text[0].line, 10);
	assert_true(jvm_method_text(&w->layout, &w->mem, method, (u32)codes + 209, &text[0]));
	assert_int_equal(text[0].line, 12);
	assert_true(jvm_method_text(&w->layout, &w->mem, method, (u32)codes + 210, &text[0]));
	assert_int_equal(text[0].line, 0);
	assert_true(jvm_method_text(&w->layout, &w->mem, method, 0, &text[0]));
	assert_int_equal(text[0].line, 0);
	/* None; with a name that the pool does not have; with one of no length. */
	assert_false(jvm_method_text(&w->layout, &w->mem, JVM_AT + 8, 0, &text[0]));
	assert_false(jvm_method_text(&w->layout, &w->mem, 0, 0, &text[0]));
	jvm_put(&w->image, AT_METHODS + 0x60 + 34, 5, 2);
	jvm_mem_begin(&w->mem, 1);
	assert_false(jvm_method_text(&w->layout, &w->mem, method, 0, &text[0]));
	/* A scope that is its own caller. */
	jvm_put(&w->image, AT_NMETHOD + 0x300 + 0x20 + 1, 1, 1);
	jvm_mem_begin(&w->mem, 1);
	b = jvm_heaps_find(&w->heaps, JVM_AT + AT_NMETHOD + JVM_CODE_OFF, &heap);
	assert_int_equal(jvm_scopes(&w->layout, &w->mem, b, b->begin + 6, text, 4), 0);
	world_free(w);
}

struct row_case {
	u32 frame, complete;
	const char *code;
	u32 n;
	const char
		*shapes; /* a letter for each byte: - entry, p pushed, m moved, F frame, 8, R rbp */
};

static void t_rows(void **state)
{
#define CODE(x) x, sizeof(x) - 1
	static const struct row_case cases[] = {
		/* sub $8,%rsp; mov %rbp,(%rsp); nop; pop %rbp; jmp *%r10: a stub of the compiler. */
		{ 16, 0, CODE("\x48\x81\xec\x08\0\0\0\x48\x89\x2c\x24\x90\x5d\x41\xff\xe2"),
		  "-------mmmmFp---" },
		/* mov $0,%rbp at 0x10(%rsp). */
		{ 32, 12, CODE("\x48\x81\xec\x18\0\0\0\x48\x89\x6c\x24\x10\x90\x90"),
		  "-------mmmmmFF" },
		/* push; mov; sub; dec %ecx; jmp, which is no leave; leave; ret. */
		{ 32, 8, CODE("\x55\x48\x8b\xec\x48\x83\xec\x10\xff\xc9\xe9\0\0\0\0\xc9\xc3\x90"),
		  "-pppppppFFFFFFFF-F" },
		/* The frame's size is another one: where it is complete, it is; before it is not. */
		{ 32, 5, CODE("\x55\x48\x83\xec\x20\x90\x48\x83\xc4\x20\x5d\xc3"), "-----FFFFFFF" },
		/* A comparison of strings. */
		{ 32, 5,
		  CODE("\x55\x48\x83\xec\x10\x2b\xca\x51\x0f\x4e\xd0\x90\x58\xeb\x01\x59\x90"),
		  "-ppppFFF88888FF8F" },
		/* Look for a safepoint behind the frame's end, out of line. */
		{ 32, 5,
		  CODE("\x55\x48\x83\xec\x10\x90\x4c\x8d\x15\0\0\0\0\x4d\x89\x97\0\0\0\0\xe9\0\0\0"
		       "\0\x90"),
		  "-ppppF-------------------F" },
		/* Stubs: a frame, its end, and the next one where stubs begin. */
		{ 0, 0,
		  CODE("\x55\x48\x8b\xec\x90\x5d\xc3\x90\x90\x90\x90\x90\x90\x90\x90\x90"
		       "\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\x90\xc3"),
		  "-pppRR----------------------------" },
		{ 0, 0, CODE("\x55\x48\x8b\xec\x90\x5d\xc3\x31\xc0\xc9\xc3"), "-pppRR-RRR-" },
		{ 0, 0, CODE("\x31\xc0\xc3"), "---" },
	};
	static const char letters[] = "?-pmF8RI";
	struct jvm_row rows[64];
	u32 i, j, k;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct row_case *c = &cases[i];
		const struct jvm_piece piece = { .addr = 0x1000,
						 .p = (const u8 *)c->code,
						 .n = c->n,
						 .frame = c->frame,
						 .complete = c->complete };
		u32 n = jvm_rows(&piece, rows, ARRAY_SIZE(rows));
		char got[64] = "";

		assert_true(n > 0 && !rows[0].at);
		for (j = 0, k = 0; j < c->n; j++) {
			if (k + 1 < n && rows[k + 1].at == j)
				k++;
			got[j] = letters[rows[k].shape];
		}
		if (strcmp(got, c->shapes) != 0)
			fail_msg("case %u: %s, not %s", i, got, c->shapes);
		/* With little room there are fewer rows, of what is left out nothing else. */
		assert_true(jvm_rows(&piece, rows, 1) == 1 && rows[0].shape == JVM_ENTRY);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_layout), cmocka_unit_test(t_table), cmocka_unit_test(t_changes),
		cmocka_unit_test(t_names),  cmocka_unit_test(t_rows),
	};

	return cmocka_run_group_tests_name("u_jvm", tests, NULL, NULL);
}
