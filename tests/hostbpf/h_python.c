/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of Python frames over memory made here, instruction by instruction of what an interpreter does:
 * frames that are being made or left, frames that coroutine.throw() puts on top, memory that is none.
 * Real interpreters are walked by tests/python/test_frames.py, but stand still in the best of places.
 *
 * Memory is one array that the process has at BASE. Objects are put in one after another.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "base/types.h"
#include "unwind/pyversions.h"
#include "walk.h"

#define BASE 0x7f0000000000ULL
#define BYTES (256u << 10)
#define THREAD 0x7fffaa001740ULL
#define STACK_TOP (BASE + BYTES)
#define LOOP_BYTES 0x160 /* of one native frame of the loop, */
#define MARK_DOWN 0xb0 /* and its _PyCFrame or shim so far below its end */
#define NATIVE_BYTES 0x200 /* of other native frames between two of them */
#define OFFSET_MAX 512

static struct {
	u8 bytes[BYTES];
	u64 next; /* free from here on */
	struct py_layout layout;
	u64 tstate;
	u64 code_type;
} m;

long pywalk_read_user(__u32 tgid, void *dst, __u32 n, __u64 src)
{
	(void)tgid;
	if (src < BASE || src + n > STACK_TOP || src + n < src) {
		memset(dst, 0, n);
		return -EFAULT;
	}
	memcpy(dst, m.bytes + (src - BASE), n);
	return 0;
}

static void put(u64 at, u64 value, size_t n)
{
	assert_true(at >= BASE && at + n <= STACK_TOP);
	memcpy(m.bytes + (at - BASE), &value, n);
}

static u64 object(void)
{
	m.next += OFFSET_MAX;
	return m.next - OFFSET_MAX;
}

static void begin_version(u32 hex)
{
	u64 debug[PY_DEBUG_OFFSETS_BYTES / 8] = { 0 };
	struct py_runtime rt = { 0 };
	u64 interp;
	u32 i;

	memset(&m, 0, sizeof(m));
	m.next = BASE + OFFSET_MAX;
	memcpy(debug, "xdebugpy", 8);
	debug[1] = hex;
	/* From 3.13 on offsets are what the interpreter says: here each field has a word of its own. */
	for (i = 3; i < ARRAY_SIZE(debug); i++)
		debug[i] = 8 * (i % 8) + 8;
	assert_int_equal(py_layout_get(hex, debug, sizeof(debug), &m.layout), 0);
	rt.off = m.layout.off;
	rt.runtime = object();
	rt.loop[0] = (struct py_range){ 1, 2 };
	interp = object();
	m.tstate = object();
	m.code_type = object();
	put(rt.runtime + rt.off.rt_interps, interp, 8);
	put(interp + rt.off.interp_threads, m.tstate, 8);
	put(m.tstate + rt.off.ts_thread_id, THREAD, 8);
	pywalk_process(1, &rt);
}

static u64 code(void)
{
	u64 at = object();

	put(at + m.layout.off.ob_type, m.code_type, 8);
	return at;
}

/* A frame with a code object of its own, called from prev. */
static u64 frame(u64 prev)
{
	u64 at = object();

	put(at + m.layout.off.f_prev, prev, 8);
	put(at + m.layout.off.f_code, code(), 8);
	return at;
}

static u64 code_of(u64 at)
{
	u64 code = 0;

	memcpy(&code, m.bytes + (at - BASE) + m.layout.off.f_code, 8);
	return code;
}

/* The native frame of the loop that is the nth from outside. */
static u64 loop_hi(u32 n)
{
	return STACK_TOP - OFFSET_MAX - (u64)n * (LOOP_BYTES + NATIVE_BYTES);
}

static u64 loop_lo(u32 n)
{
	return loop_hi(n) - LOOP_BYTES;
}

static u64 mark(u32 n)
{
	return loop_hi(n) - MARK_DOWN;
}

static void put_cframe(u64 at, u64 current, u64 prev)
{
	put(at + m.layout.off.cframe_frame, current, 8);
	put(at + m.layout.off.cframe_prev, prev, 8);
}

/* Three native frames of the loop; those from outside run 2, 1 and 2 Python frames: f[0] is the outermost. */
struct world {
	u64 f[5];
	u64 root; /* the _PyCFrame in the thread state */
};

static void make_cframes(struct world *w)
{
	u32 i;

	begin_version(0x030b02f0);
	w->root = m.tstate + 400;
	for (i = 0; i < 5; i++)
		w->f[i] = frame(i ? w->f[i - 1] : 0);
	put_cframe(mark(0), w->f[1], w->root);
	put_cframe(mark(1), w->f[2], mark(0));
	put_cframe(mark(2), w->f[4], mark(1));
	put(m.tstate + m.layout.off.ts_frame, mark(2), 8);
}

static void put_shim(u64 at, u64 prev)
{
	put(at + m.layout.off.f_owner, m.layout.off.shim_owner, 1);
	put(at + m.layout.off.f_prev, prev, 8);
}

static void make_shims(struct world *w)
{
	begin_version(0x030d00f0);
	put_shim(mark(0), 0);
	w->f[0] = frame(mark(0));
	w->f[1] = frame(w->f[0]);
	put_shim(mark(1), w->f[1]);
	w->f[2] = frame(mark(1));
	put_shim(mark(2), w->f[2]);
	w->f[3] = frame(mark(2));
	w->f[4] = frame(w->f[3]);
	put(m.tstate + m.layout.off.ts_frame, w->f[4], 8);
}

static void begin(void)
{
	pywalk_begin(THREAD);
}

/* The native frame has these frames, innermost first. */
static void expect_loop(u32 loop, int exact, const u64 *frames, int n)
{
	struct ev_frame got[WALK_FRAMES];
	__u64 lost;
	u32 had = pywalk_frames(got, &lost);
	int i;

	assert_int_equal(pywalk_loop(loop_lo(loop), loop_hi(loop), exact), n);
	assert_int_equal(pywalk_frames(got, &lost), had + (u32)n);
	for (i = 0; i < n; i++) {
		assert_int_equal(got[had + (u32)i].kind, HP_FRAME_PYTHON);
		assert_int_equal(got[had + (u32)i].addr, code_of(frames[i]));
	}
}

static void expect_lost(u64 want)
{
	struct ev_frame got[WALK_FRAMES];
	__u64 lost;

	pywalk_frames(got, &lost);
	assert_int_equal(lost, want);
}

static void expect_outer(const struct world *w)
{
	expect_loop(1, 0, (u64[]){ w->f[2] }, 1);
	expect_loop(0, 0, (u64[]){ w->f[1], w->f[0] }, 2);
}

/* A walk of frames that are all there: what the programs learn, they learn from such. */
static void expect_whole(const struct world *w)
{
	begin();
	expect_loop(2, 1, (u64[]){ w->f[4], w->f[3] }, 2);
	expect_outer(w);
	expect_lost(0);
	assert_int_equal(pywalk_learned()->mark_down, MARK_DOWN);
	assert_int_equal(pywalk_learned()->code_type, m.code_type);
}

static void test_whole(void **state)
{
	struct world w;

	(void)state;
	make_cframes(&w);
	expect_whole(&w);
	make_shims(&w);
	expect_whole(&w);
}

/* A loop that was just entered, and has not touched the thread state: or is leaving, and has put it back. */
static void test_not_linked(void **state)
{
	struct world w;

	(void)state;
	make_cframes(&w);
	begin();
	expect_loop(3, 1, NULL, 0);
	expect_loop(2, 0, (u64[]){ w.f[4], w.f[3] }, 2);
	expect_outer(&w);
	expect_lost(0);
	make_shims(&w);
	begin();
	expect_loop(3, 1, NULL, 0);
	expect_loop(2, 0, (u64[]){ w.f[4], w.f[3] }, 2);
	expect_outer(&w);
	expect_lost(0);
}

/*
 * In the thread state, but not filled in: what is in it was on the stack before. 3.11.2 links its _PyCFrame
 * seven instructions before it writes the two fields.
 */
static void test_cframe_half_made(void **state)
{
	struct world w;
	u64 stale[8], popped, text;
	u32 i;

	(void)state;
	make_cframes(&w);
	expect_whole(&w);
	text = object();
	put(text + m.layout.off.f_code, object(), 8); /* readable, and not code */
	popped = frame(w.f[0]); /* a frame that ended, of another caller */
	stale[0] = 0;
	stale[1] = 1;
	stale[2] = STACK_TOP - 4; /* the end of memory */
	stale[3] = 0xdead00000000ULL;
	stale[4] = text;
	stale[5] = popped;
	stale[6] = w.f[1]; /* a frame that runs, but not here */
	stale[7] = frame(text);
	put(m.tstate + m.layout.off.ts_frame, mark(3), 8);
	for (i = 0; i < 2 * ARRAY_SIZE(stale); i++) {
		/* And the link behind it: of nobody, or of a call before this one. */
		put_cframe(mark(3), stale[i / 2], i & 1 ? mark(2) : stale[(i + 3) / 2 % 8]);
		begin();
		expect_loop(3, 1, NULL, 0);
		expect_loop(2, 0, (u64[]){ w.f[4], w.f[3] }, 2);
		expect_outer(&w);
		expect_lost(0);
	}
}

/* coroutine.throw() goes down a chain of awaits: frames on top that run nothing, with marks of their own. */
static void test_thrown(void **state)
{
	struct world w;
	u64 a, b;

	(void)state;
	make_cframes(&w);
	expect_whole(&w);
	a = frame(w.f[4]);
	b = frame(a);
	put_cframe(mark(2), b, mark(1));
	begin();
	expect_loop(2, 0, (u64[]){ b, a, w.f[4], w.f[3] }, 4);
	expect_outer(&w);
	expect_lost(0);
}

/* Memory that is none in the middle: counted once, and what is further out is there. */
static void test_broken(void **state)
{
	struct world w;

	(void)state;
	make_cframes(&w);
	expect_whole(&w);
	put(w.f[3] + m.layout.off.f_prev, 0xdead00000000ULL, 8);
	begin();
	expect_loop(2, 0, NULL, 0);
	expect_outer(&w);
	expect_lost(1);
	make_shims(&w);
	expect_whole(&w);
	put(w.f[4] + m.layout.off.f_prev, 0xdead00000000ULL, 8);
	begin();
	expect_loop(2, 0, NULL, 0);
	expect_outer(&w);
	expect_lost(1);
}

/* Frames that lead to each other end when there is no more room, and a code object of 0 ends them at once. */
static void test_cycles(void **state)
{
	struct world w;

	(void)state;
	make_cframes(&w);
	put(w.f[3] + m.layout.off.f_prev, w.f[4], 8);
	begin();
	assert_int_equal(pywalk_loop(loop_lo(2), loop_hi(2), 1), UW_FRAMES_MAX);
	make_shims(&w);
	put(w.f[3] + m.layout.off.f_prev, w.f[4], 8);
	begin();
	assert_int_equal(pywalk_loop(loop_lo(2), loop_hi(2), 1), UW_FRAMES_MAX);
	make_shims(&w);
	put(w.f[4] + m.layout.off.f_code, 0, 8);
	begin();
	expect_loop(2, 1, NULL, 0);
}

static void test_no_thread(void **state)
{
	struct world w;

	(void)state;
	make_cframes(&w);
	pywalk_begin(THREAD + 64);
	expect_loop(2, 1, NULL, 0);
	expect_loop(1, 0, NULL, 0);
	expect_lost(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_not_linked),
		cmocka_unit_test(test_cframe_half_made),
		cmocka_unit_test(test_thrown),
		cmocka_unit_test(test_broken),
		cmocka_unit_test(test_cycles),
		cmocka_unit_test(test_no_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
