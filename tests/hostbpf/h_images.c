/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of user stacks over recorded memory images of many programs (tests/unwind/image.h): the same
 * frames again, native ones and with Python's in between, and no harm from images that are damaged.
 * Each of them was equal to what an independent unwinder saw when it was recorded (tests/unwind/oracle.c).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>

#include "unwind/image.h"

#define IMAGES "tests/unwind/images/*.xz"
#define IMAGES_MIN 14
#define SNAPSHOTS_MIN 12 /* of each */
#define DAMAGES 40 /* of each snapshot */

static const char *program; /* whose image it is */

static void walk(struct uwimage *img, struct uwimage_snapshot *s, bool python,
		 struct uwk_stack *ret)
{
	struct uw_proc proc = img->proc;

	if (!python)
		proc.python = 0;
	uwk_walk(&img->arrays, &proc, s->regs, uwimage_memory_read, &s->memory, ret);
}

static void same_stack(const struct uwk_stack *a, const struct uwk_stack *b, u32 at)
{
	if (a->n != b->n || a->stop != b->stop ||
	    memcmp(a->frames, b->frames, a->n * sizeof(a->frames[0])))
		fail_msg("%s, snapshot %u: %u frames, stop %u; recorded %u, stop %u", program, at,
			 a->n, a->stop, b->n, b->stop);
}

static bool in_loop(const struct py_runtime *rt, const struct ev_frame *f)
{
	u64 pc = f->addr - !(f->extra & HP_FRAME_EXACT);
	u32 i;

	for (i = 0; i < PY_LOOPS; i++)
		if (pc >= rt->loop[i].start && pc < rt->loop[i].end)
			return true;
	return false;
}

/* Python's frames stand for some of the interpreter's loop; the others are all there, in their order. */
static void merged(const struct uwimage *img, const struct uwk_stack *native,
		   const struct uwk_stack *mixed)
{
	const struct ev_frame *f = native->frames, *end = f + native->n;
	u32 i, python = 0;

	for (i = 0; i < mixed->n; i++) {
		if (mixed->frames[i].kind == HP_FRAME_PYTHON) {
			python++;
			continue;
		}
		while (f < end && f->addr != mixed->frames[i].addr) {
			assert_true(in_loop(&img->arrays.python, f));
			f++;
		}
		assert_true(f < end);
		f++;
	}
	for (; f < end; f++)
		assert_true(in_loop(&img->arrays.python, f));
	assert_true(python || mixed->n == native->n);
}

static u32 replay(struct uwimage *img)
{
	struct uwk_stack got;
	u32 i, python = 0, whole = 0, j;

	for (i = 0; i < img->n; i++) {
		struct uwimage_snapshot *s = &img->snapshots[i];

		assert_in_range(s->agreed, 1, s->native.n);
		walk(img, s, false, &got);
		same_stack(&got, &s->native, i);
		/* Memory around what was read is there in life: larger pieces are read then. */
		if (s->native.stop == UW_STOP_END) {
			s->memory.filled = true;
			walk(img, s, false, &got);
			same_stack(&got, &s->native, i);
			s->memory.filled = false;
			whole++;
		}
		if (!s->mixed.n)
			continue;
		walk(img, s, true, &got);
		same_stack(&got, &s->mixed, i);
		merged(img, &s->native, &s->mixed);
		for (j = 0; j < s->mixed.n; j++)
			python += s->mixed.frames[j].kind == HP_FRAME_PYTHON;
	}
	assert_true(whole * 10 >= img->n * 9);
	return python;
}

static u64 rnd(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

/* A value that may be anything, or nearly right, or another one of these. */
static u64 another(const struct uwimage_snapshot *s, u64 v, u64 *seed)
{
	const struct uwimage_line *line = &s->memory.lines[rnd(seed) % s->memory.n];

	switch (rnd(seed) % 4) {
	case 0:
		return rnd(seed);
	case 1:
		return v + rnd(seed) % 256 - 128;
	case 2:
		return line->at + rnd(seed) % 64;
	default:
		return line->word[rnd(seed) % IMAGE_LINE_WORDS];
	}
}

/* Whatever is in memory: the walk ends, with frames that it has. */
static void damage(struct uwimage *img)
{
	u64 seed = 88172645463325252ULL;
	struct uwk_stack got;
	u32 i, j;

	for (i = 0; i < img->n; i++) {
		struct uwimage_snapshot *s = &img->snapshots[i];

		for (j = 0; s->memory.n && j < DAMAGES; j++) {
			struct uwimage_line *line = &s->memory.lines[rnd(&seed) % s->memory.n];
			u32 word = (u32)(rnd(&seed) % IMAGE_LINE_WORDS),
			    reg = (u32)(rnd(&seed) % 15);
			struct uwimage_line keep = *line;
			unsigned long keep_reg = s->regs[reg];

			line->word[word] = another(s, line->word[word], &seed);
			if (j & 1)
				line->known &= (u8)rnd(&seed);
			if (j % 4 == 3)
				s->regs[reg] = another(s, s->regs[reg], &seed);
			walk(img, s, true, &got);
			assert_in_range(got.n, 1, UW_FRAMES_MAX);
			assert_in_range(got.stop, UW_STOP_DEPTH, UW_STOP_MAX - 1);
			*line = keep;
			s->regs[reg] = keep_reg;
		}
	}
}

static void t_images(void **state)
{
	u32 snapshots = 0, python = 0, i;
	glob_t files;

	(void)state;
	assert_int_equal(glob(IMAGES, 0, NULL, &files), 0);
	for (i = 0; i < files.gl_pathc; i++) {
		struct uwimage img;

		program = files.gl_pathv[i];
		if (uwimage_read(&img, program))
			fail_msg("%s is no image", program);
		assert_true(img.n >= SNAPSHOTS_MIN);
		snapshots += img.n;
		python += replay(&img);
		damage(&img);
		replay(&img); /* nothing is left of the damage */
		uwimage_release(&img);
	}
	assert_true(i >= IMAGES_MIN);
	print_message("%u images, %u snapshots, %u frames of Python\n", i, snapshots, python);
	globfree(&files);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(t_images) };

	return cmocka_run_group_tests_name("h_images", tests, NULL, NULL);
}
