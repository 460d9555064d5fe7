/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk through code that HotSpot has generated since its table was made: the image of a process's heap is
 * read by the walk itself, as bytes of the tests' own, while the table was made before the method was there.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "unit/jvm_image.h"
#include "unwind/jvmheap.h"
#include "uwworld.h"

#define STACK_AT 0x7f0000000000ULL
#define STACK_WORDS 256
#define SP (STACK_AT + 64 * 8)
#define OUTER 0x1234 /* in no mapping */
#define CODE (JVM_AT + AT_NMETHOD + JVM_CODE_OFF)
#define STUB (JVM_AT + AT_STUBS + JVM_CODE_OFF)

struct world {
	struct uwworld uw;
	struct jvm_image image;
	u64 stack[STACK_WORDS];
};

static int read_world(void *arg, __u64 at, void *dst, __u32 n)
{
	struct world *w = arg;

	if (at >= STACK_AT && at + n <= STACK_AT + sizeof(w->stack)) {
		memcpy(dst, (u8 *)w->stack + (at - STACK_AT), n);
		return 0;
	}
	return jvm_image_read(&w->image, 1, at, dst, n);
}

/* The table that there was before the method came. */
static void bind_table(struct world *w)
{
	struct unwind_mapping m = { .start = JVM_AT + AT_CODE,
				    .end = JVM_AT + AT_CODE_END,
				    .bias = JVM_AT + AT_CODE,
				    .kind = UW_MAP_FP };
	struct jvm_mem mem = { .read = jvm_image_read, .arg = &w->image };
	_release_(unwind_image) struct unwind_image img = { 0 };
	struct jvm_heaps heaps = { 0 };
	struct jvm_layout layout;
	_close_ int fd = -1;
	int table;

	jvm_put(&w->image, AT_NMETHOD + 315, 0xff, 1);
	jvm_mem_begin(&mem, 1);
	assert_int_equal(jvm_layout_read(&w->image.file, JVM_AT, &mem, &layout), 0);
	while (!jvm_heaps_look(&heaps, &layout, &mem, 100, 1))
		;
	assert_int_equal(jvm_heap_image(&heaps.v[0], &img), 0);
	fd = unwind_image_memfd(&img);
	table = unwind_tables_add(&w->uw.tables, fd, NSEC_PER_SEC);
	assert_true(table > 0);
	assert_int_equal(unwind_procs_map(&w->uw.procs, 1, &m, NSEC_PER_SEC), 0);
	m.kind = UW_MAP_TABLE;
	m.table = (u32)table;
	assert_int_equal(unwind_procs_bind(&w->uw.procs, 1, &m, NSEC_PER_SEC), 0);
	unwind_procs_publish(&w->uw.procs, NSEC_PER_SEC, true);
	jvm_put(&w->image, AT_NMETHOD + 315, 0, 1);
	jvm_heaps_release(&heaps);
}

static struct world *world_new(void)
{
	struct world *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	assert_int_equal(uwworld_init(&w->uw, 8 * UW_LEAF_ROWS, 64, 64), 0);
	jvm_image_make(&w->image);
	return w;
}

static void world_free(struct world *w)
{
	uwworld_release(&w->uw);
	free(w);
}

/* Of a thread that stands at an offset in the method. */
static void walk(struct world *w, u32 at, struct uwk_stack *ret)
{
	const unsigned long regs[UWK_REGS] = {
		[4] = 0xbbbb, [15] = -1UL, [16] = CODE + at, [17] = 0x33, [19] = SP
	};

	uwk_walk(&w->uw.arrays, &w->uw.proc, regs, read_world, w, ret);
}

/*
 * The method is called by itself, and that by a stub, whose frame the rbp leads to that the method's frame
 * has kept.
 */
static void put_frames(struct world *w, u32 bytes, bool saved, u32 frame)
{
	u64 *sp = &w->stack[(SP - STACK_AT) / 8];
	u32 i;

	for (i = 0; i < STACK_WORDS; i++)
		w->stack[i] = 0xdead0000 + i;
	sp[bytes / 8 - 1] = CODE + w->image.p[AT_NMETHOD + 20] + 1;
	if (saved)
		sp[bytes / 8 - 2] = 0x7777;
	sp += bytes / 8;
	sp[frame / 8 - 1] = STUB + 6;
	sp[frame / 8 - 2] = STACK_AT + 200 * 8;
	w->stack[201] = OUTER;
}

struct step_case {
	const char *code;
	u32 n, complete;
	const char *shapes; /* as in u_jvm.c, at each instruction; a space elsewhere */
};

static void t_new_code(void **state)
{
#define BYTES(x) x, sizeof(x) - 1
	static const struct step_case cases[] = {
		{ BYTES(JVM_METHOD_CODE), 5, "-p   FFF   p-      -     - " },
		/* mov %eax,-0x14000(%rsp); push; mov %rsp,%rbp; sub; nop; vzeroupper; ret. */
		{ BYTES("\x89\x84\x24\x00\xc0\xfe\xff\x55\x48\x8b\xec\x48\x81\xec\x20\0\0\0\x90"
			"\xc5\xf8\x77\xc3"),
		  18, "-      -p  p      F-   " },
		/* sub; mov %rbp,0x20(%rsp); nop; then another poll, of one byte. */
		{ BYTES("\x48\x81\xec\x28\0\0\0\x48\x89\x6c\x24\x20\x90\x5d\x49\x3b\x67\x10\x0f\x87"
			"\0\0\0\0\xc3"),
		  12, "-      m    Fp-   -     -" },
		/* What only looks like one of them. */
		{ BYTES("\x55\x48\x83\xec\x20\x0f\x87\0\0\0\0\x48\x83\xec\x20\x49\x3b\x47\x10\x90"),
		  5, "-p   F     F   F   F" },
	};
	struct world *w = world_new();
	struct uwk_stack s;
	u32 i, at;

	(void)state;
	bind_table(w);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct step_case *c = &cases[i];

		assert_int_equal(strlen(c->shapes), c->n);
		jvm_blob_put(&w->image, AT_NMETHOD, 16, "nmethod", JVM_FRAME_BYTES / 8,
			     (s32)c->complete, c->code, c->n);
		for (at = 0; at < c->n; at++) {
			char shape = c->shapes[at];

			if (shape == ' ')
				continue;
			put_frames(w,
				   shape == '-'	  ? 8
				   : shape == 'p' ? 16
						  : JVM_FRAME_BYTES,
				   shape == 'p' || shape == 'F', JVM_FRAME_BYTES);
			walk(w, at, &s);
			if (s.n != 4 || s.frames[0].addr != CODE + at ||
			    s.frames[1].addr != CODE + c->complete + 1 ||
			    s.frames[2].addr != STUB + 6 || s.frames[3].addr != OUTER)
				fail_msg("case %u, at %u: stop %u after %u frames", i, at, s.stop,
					 s.n);
			assert_int_equal(s.stop, UW_STOP_NO_MAPPING);
		}
	}
	world_free(w);
}

/* A large piece is found by way of several segments; whatever the heap says, the walk ends. */
static void t_heap_words(void **state)
{
	struct world *w = world_new();
	u32 block = AT_NMETHOD - 16;
	struct uwk_stack s;

	(void)state;
	bind_table(w);
	put_frames(w, JVM_FRAME_BYTES, true, JVM_FRAME_BYTES);
	w->image.p[AT_SEGMAP + 4] = 1;
	walk(w, 5, &s);
	assert_int_equal(s.n, 4);
	/* Further down than there is anything; free; the map of segments has gone. */
	w->image.p[AT_SEGMAP + 4] = 5;
	walk(w, 5, &s);
	assert_int_equal(s.n, 1);
	assert_int_equal(s.stop, UW_STOP_NO_ROW);
	w->image.p[AT_SEGMAP + 4] = UW_HEAP_FREE;
	walk(w, 5, &s);
	assert_int_equal(s.stop, UW_STOP_NO_ROW);
	w->image.p[AT_SEGMAP + 4] = 4;
	/* A frame of no size, of more than there is, of more than there can be; code that begins behind. */
	jvm_put(&w->image, block + 16 + 28, 1, 4);
	walk(w, 5, &s);
	assert_int_equal(s.stop, UW_STOP_NO_ROW);
	jvm_put(&w->image, block + 16 + 28, UW_HEAP_FRAME_MAX, 4);
	walk(w, 5, &s);
	assert_int_equal(s.stop, UW_STOP_READ);
	jvm_put(&w->image, block + 16 + 28, UW_HEAP_FRAME_MAX + 1, 4);
	walk(w, 5, &s);
	assert_int_equal(s.stop, UW_STOP_NO_ROW);
	jvm_put(&w->image, block + 16 + 28, JVM_FRAME_BYTES / 8, 4);
	jvm_put(&w->image, block + 16 + 32, CODE + 6, 8);
	walk(w, 5, &s);
	assert_int_equal(s.stop, UW_STOP_NO_ROW);
	w->image.reads_max = w->image.reads = 1;
	walk(w, 5, &s);
	assert_int_equal(s.stop, UW_STOP_NO_ROW);
	world_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_new_code),
		cmocka_unit_test(t_heap_words),
	};

	return cmocka_run_group_tests_name("h_java", tests, NULL, NULL);
}
