/* SPDX-License-Identifier: Apache-2.0 */
/* timeline.pftrace, taken apart again: every sample at its time, with its thread and its whole stack. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/cleanup.h"
#include "out/outs.h"
#include "out_sample.h"

#define FRAMES_MAX 64
#define STACKS_MAX 64

/* What the reader of a trace keeps of a sequence. */
struct reader {
	char frames[FRAMES_MAX][300]; /* by id */
	u64 frame_mapping[FRAMES_MAX];
	char stacks[STACKS_MAX][1200];
	char process[300];
	char thread[300];
	u32 packets, samples, processes, threads;
	u64 default_clock, primary_clock, clocks[8];
	u64 hz, counter;
	u64 first_ns, last_ns;
	u32 kernel_mode;
	u32 of_stack[STACKS_MAX];
};

struct field {
	u32 number;
	bool bytes;
	u64 value;
	struct slice data;
};

static u64 varint(struct slice *s)
{
	u64 v = 0;
	unsigned shift = 0;

	for (;; shift += 7) {
		u8 b;

		assert_true(s->n > 0 && shift < 64);
		b = (u8)*s->p++;
		s->n--;
		v |= (u64)(b & 127) << shift;
		if (!(b & 128))
			return v;
	}
}

static bool next(struct slice *s, struct field *f)
{
	u64 key;

	if (!s->n)
		return false;
	key = varint(s);
	f->number = (u32)(key >> 3);
	f->bytes = (key & 7) == 2;
	assert_true(f->bytes || !(key & 7));
	f->value = varint(s);
	f->data = slice_of(NULL, 0);
	if (f->bytes) {
		assert_true(f->value <= s->n);
		f->data = slice_of(s->p, f->value);
		s->p += f->value;
		s->n -= f->value;
	}
	return true;
}

/* The only field of that number; its value is 0 when there is none. */
static struct field one(struct slice s, u32 number)
{
	struct field f, found = { 0 };

	while (next(&s, &f)) {
		if (f.number != number)
			continue;
		assert_int_equal(found.number, 0);
		found = f;
	}
	return found;
}

static void keep_text(char *to, size_t size, struct slice text)
{
	assert_true(text.n < size);
	memcpy(to, text.p, text.n);
	to[text.n] = 0;
}

static void read_interned(struct reader *r, struct slice s)
{
	struct slice again = s;
	struct field f;

	while (next(&s, &f)) {
		u64 id = one(f.data, 1).value;

		assert_true(id > 0 && id < FRAMES_MAX);
		if (f.number == 5)
			keep_text(r->frames[id], sizeof(r->frames[0]), one(f.data, 2).data);
		if (f.number == 6) {
			assert_int_equal(one(f.data, 2).value, id);
			r->frame_mapping[id] = one(f.data, 3).value;
		}
	}
	while (next(&again, &f)) {
		u64 id = one(f.data, 1).value;
		struct field frame;

		if (f.number != 7)
			continue;
		assert_int_equal(r->stacks[id][0], 0);
		while (next(&f.data, &frame)) {
			if (frame.number != 2)
				continue;
			assert_true(r->frame_mapping[frame.value] > 0);
			strncat(r->stacks[id], ";", 2);
			strncat(r->stacks[id], r->frames[frame.value], 300);
		}
	}
}

static void read_clocks(struct reader *r, struct slice s)
{
	struct field f;

	while (next(&s, &f)) {
		if (f.number == 1)
			r->clocks[one(f.data, 1).value & 7] = one(f.data, 2).value;
		if (f.number == 2)
			r->primary_clock = f.value;
	}
}

static void read_track(struct reader *r, struct slice s)
{
	struct field process = one(s, 3), thread = one(s, 4);

	if (process.bytes) {
		r->processes++;
		assert_int_equal(one(process.data, 1).value, SAMPLE_TGID);
		keep_text(r->process, sizeof(r->process), one(process.data, 6).data);
	}
	if (thread.bytes) {
		r->threads++;
		assert_int_equal(one(thread.data, 1).value, SAMPLE_TGID);
		assert_int_equal(one(thread.data, 2).value, SAMPLE_TGID);
		assert_int_equal(one(s, 5).value, SAMPLE_TGID);
		keep_text(r->thread, sizeof(r->thread), one(thread.data, 5).data);
	}
}

static void read_sample(struct reader *r, u64 ts_ns, struct slice s)
{
	u64 stack = one(s, 4).value;

	assert_int_equal(one(s, 2).value, SAMPLE_TGID);
	assert_int_equal(one(s, 3).value, SAMPLE_TGID);
	assert_int_equal(one(s, 1).number, 1); /* CPU 0 is written too */
	assert_true(stack < STACKS_MAX && r->stacks[stack][0]);
	r->of_stack[stack]++;
	r->kernel_mode += one(s, 5).value == 1;
	r->first_ns = r->samples ? r->first_ns : ts_ns;
	r->last_ns = ts_ns;
	r->samples++;
}

static void read_trace(struct reader *r, struct slice s)
{
	struct field packet;

	memset(r, 0, sizeof(*r));
	while (next(&s, &packet)) {
		struct slice p = packet.data, sample;
		u64 flags = one(p, 13).value;

		assert_int_equal(packet.number, 1);
		assert_int_equal(one(p, 10).value, 1);
		if (one(p, 59).bytes) {
			sample = one(one(p, 59).data, 12).data;
			r->default_clock = one(one(p, 59).data, 58).value;
			r->hz = one(one(sample, 1).data, 2).value;
			r->counter = one(one(sample, 1).data, 4).value;
			assert_int_equal(flags, 1);
		}
		if (one(p, 6).bytes)
			read_clocks(r, one(p, 6).data);
		if (one(p, 12).bytes)
			read_interned(r, one(p, 12).data);
		if (one(p, 60).bytes)
			read_track(r, one(p, 60).data);
		if (one(p, 66).bytes) {
			assert_int_equal(flags, 2);
			read_sample(r, one(p, 8).value, one(p, 66).data);
		}
		r->packets++;
	}
}

static u32 samples_of(const struct reader *r, const char *stack)
{
	u32 i, n = 0;

	for (i = 0; i < STACKS_MAX; i++)
		n += strcmp(r->stacks[i], stack) ? 0 : r->of_stack[i];
	return n;
}

static void every_sample_is_there(void **state)
{
	struct agg *agg = sample_agg(false);
	_release_(buf) struct buf b = BUF_INIT;
	static struct reader r;

	(void)state;
	assert_non_null(agg);
	assert_int_equal(out_timeline(agg, &b, &(struct out_opts){ 0 }), 0);
	read_trace(&r, buf_slice(&b));
	assert_int_equal(r.samples, 300);
	assert_int_equal(r.packets, 300 + 4);
	assert_int_equal(samples_of(&r, ";main;handler;json_dumps"), 200);
	assert_int_equal(samples_of(&r, ";main;handler;json_dumps;tcp_sendmsg_[k]"), 100);
	assert_int_equal(r.kernel_mode, 100);
	assert_int_equal(r.first_ns, SAMPLE_START);
	assert_int_equal(r.last_ns, SAMPLE_START + 299 * 10 * NSEC_PER_MSEC);
	assert_int_equal(r.processes, 1);
	assert_int_equal(r.threads, 1);
	assert_string_equal(r.process, "uvicorn app:app");
	assert_string_equal(r.thread, "uvicorn");
	assert_int_equal(r.default_clock, 3);
	assert_int_equal(r.primary_clock, 3);
	assert_int_equal(r.clocks[3], SAMPLE_START);
	assert_int_equal(r.clocks[1], 1700000000 * NSEC_PER_SEC);
	assert_int_equal(r.hz, 99);
	assert_int_equal(r.counter, 1);
	agg_free(agg);
}

static void hostile_names_are_shown_as_text(void **state)
{
	struct agg *agg = sample_agg(true);
	_release_(buf) struct buf b = BUF_INIT;
	static struct reader r;
	u32 i;

	(void)state;
	assert_non_null(agg);
	assert_int_equal(out_timeline(agg, &b, &(struct out_opts){ 0 }), 0);
	read_trace(&r, buf_slice(&b));
	assert_int_equal(r.samples, 300);
	assert_string_equal(r.thread, "ev:il.[0m<&|");
	for (i = 0; i < FRAMES_MAX; i++) {
		assert_null(strchr(r.frames[i], '\x1b'));
		assert_null(strchr(r.frames[i], '\xff'));
	}
	agg_free(agg);
}

static void no_samples(void **state)
{
	struct agg *agg = sample_empty(false);
	_release_(buf) struct buf b = BUF_INIT;
	static struct reader r;

	(void)state;
	assert_int_equal(out_timeline(agg, &b, &(struct out_opts){ 0 }), 0);
	read_trace(&r, buf_slice(&b));
	assert_int_equal(r.samples, 0);
	assert_int_equal(r.packets, 2);
	agg_free(agg);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sample_is_there),
		cmocka_unit_test(hostile_names_are_shown_as_text),
		cmocka_unit_test(no_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
