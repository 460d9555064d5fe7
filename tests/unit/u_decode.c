/* SPDX-License-Identifier: Apache-2.0 */
/* decode: what passes for a record, the record stream in any cut. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "decode/record.h"
#include "decode/stream.h"
#include "records.h"

static const struct {
	u16 kind;
	u32 size;
	bool variable;
} kinds[] = {
#define EV(name, num, type, var) { num, sizeof(struct type), var },
#include "hp/events.def"
#undef EV
};

/* The record alone in a block of its size, so that a read past its end is seen. */
static int check(const void *rec, size_t n, size_t *ret_size)
{
	void *exact = malloc(n ? n : 1);
	int err;

	assert_non_null(exact);
	memcpy(exact, rec, n);
	*ret_size = 0;
	err = record_check(exact, n, ret_size);
	free(exact);
	return err;
}

static int verdict_on(const struct buf *b)
{
	size_t size, n = b->n;
	int err = check(b->p, n, &size);

	assert_int_equal(size, n);
	return err;
}

static void t_sizes(void **state)
{
	size_t size, i;
	u32 n;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		_release_(buf) struct buf b = BUF_INIT;
		struct ev_hdr *hdr = put_rec(&b, kinds[i].kind, kinds[i].size + 64, 1);

		assert_non_null(record_name(kinds[i].kind));
		/* Of any other size than the struct's: only with a variable part. */
		for (n = 24; n <= kinds[i].size + 64; n += 8) {
			bool fits = n == kinds[i].size || (kinds[i].variable && n > kinds[i].size);

			hdr->size = n;
			assert_int_equal(check(hdr, n, &size), fits ? 0 : -EBADMSG);
			assert_int_equal(size, n);
		}
		/* Not all here yet: every prefix asks for more, whole header or not. */
		hdr->size = kinds[i].size;
		for (n = 0; n < kinds[i].size; n++)
			assert_int_equal(check(hdr, n, &size), -EAGAIN);
		for (n = 0; n < kinds[i].size; n++)
			if (n < sizeof(*hdr) || n % 8)
				hdr->size = n, assert_int_equal(check(hdr, b.n, &size), -EPROTO);
		hdr->size = HP_RECORD_MAX + 8;
		assert_int_equal(check(hdr, b.n, &size), -EPROTO);
		hdr->size = UINT32_MAX - 7;
		assert_int_equal(check(hdr, b.n, &size), -EPROTO);
		hdr->size = HP_RECORD_MAX;
		assert_int_equal(check(hdr, b.n, &size), -EAGAIN);
	}
}

static void t_kinds(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct ev_hdr *hdr = put_rec(&b, 0, 24, 1);
	size_t size, i;
	u32 kind, known = 0;

	(void)state;
	for (kind = 0; kind <= UINT16_MAX; kind++) {
		bool is_known = false;

		for (i = 0; i < ARRAY_SIZE(kinds); i++)
			is_known |= kinds[i].kind == kind;
		assert_int_equal(record_name(kind) != NULL, is_known);
		known += is_known;
		hdr->kind = kind;
		assert_int_equal(check(hdr, b.n, &size), -EBADMSG);
		assert_int_equal(size, 24);
	}
	assert_int_equal(known, ARRAY_SIZE(kinds));
	assert_string_equal(record_name(EV_DATA), "DATA");
}

static void t_data(void **state)
{
	static const struct {
		u32 off, len;
	} bad[][2] = {
		{ { 0, 5 }, { 4, 4 } }, /* overlap */
		{ { 8, 4 }, { 0, 4 } }, /* not ascending */
		{ { 0, 4 }, { 97, 4 } }, /* past the transfer */
		{ { 0, 4 }, { UINT32_MAX, 4 } }, { { 0, 4 }, { UINT32_MAX - 3, 4 } },
	};
	_release_(buf) struct buf b = BUF_INIT;
	struct ev_data *ev;
	struct ev_seg *seg;
	size_t i, off = 0;
	u8 *bytes;

	(void)state;
	ev = put_seg(&b, put_xfer(&b, 1, HP_SEND, 0, 100, 1), 3, "abcde", 5, 0);
	ev = put_seg(&b, ev, 8, "", 0, 7);
	ev = put_seg(&b, ev, 92, "12345678", 8, 1);
	assert_int_equal(verdict_on(&b), 0);
	seg = record_seg(ev, &off, &bytes);
	assert_true(seg->off == 3 && seg->len == 5 && !memcmp(bytes, "abcde", 5));
	seg = record_seg(ev, &off, &bytes);
	assert_true(seg->off == 8 && seg->len == 0 && seg->frames_before == 7);
	seg = record_seg(ev, &off, &bytes);
	assert_true(seg->off == 92 && seg->len == 8 && !memcmp(bytes, "12345678", 8));
	assert_null(record_seg(ev, &off, &bytes));

	ev->dir = HP_SEND + 1;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev->dir = HP_RECV;
	for (i = 4; i <= UINT16_MAX; i++) {
		ev->nsegs = i;
		assert_int_equal(verdict_on(&b), -EBADMSG);
	}
	ev->nsegs = 3;
	assert_int_equal(verdict_on(&b), 0);
	ev->len = 99;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev->len = 100;

	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		_release_(buf) struct buf c = BUF_INIT;

		ev = put_xfer(&c, 1, HP_SEND, 0, 100, 1);
		ev = put_seg(&c, ev, bad[i][0].off, "12345678", bad[i][0].len, 0);
		put_seg(&c, ev, bad[i][1].off, "12345678", bad[i][1].len, 0);
		assert_int_equal(verdict_on(&c), -EBADMSG);
	}
	/* Lengths of a run that lie about what follows. */
	for (i = 9; i < 64; i++) {
		_release_(buf) struct buf c = BUF_INIT;

		ev = put_seg(&c, put_xfer(&c, 1, HP_SEND, 0, 100, 1), 0, "12345678", 8, 0);
		((struct ev_seg *)(ev + 1))->len = i == 63 ? UINT32_MAX : i;
		assert_int_equal(verdict_on(&c), -EBADMSG);
	}
}

static void t_lengths(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	union {
		struct ev_hdr *hdr;
		struct ev_cont *cont;
		struct ev_conn_open *open;
		struct ev_sample *sample;
		struct ev_target *target;
		struct ev_mapping *mapping;
		struct ev_symbol *symbol;
		struct ev_loss *loss;
		struct ev_note *note;
	} ev;
	u32 i;

	(void)state;
	ev.cont = put_cont(&b, 1, HP_RECV, 0, 64, "", 0, 1);
	ev.cont->tail_len = 64;
	assert_int_equal(verdict_on(&b), 0);
	ev.cont->tail_len = 65;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev.cont->tail_len = 64;
	ev.cont->len = 63;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev.cont->len = 64;
	ev.cont->dir = 2;
	assert_int_equal(verdict_on(&b), -EBADMSG);

	buf_clear(&b);
	ev.open = put_open(&b, 1, 0, HP_ORIGIN_SEED, 1);
	for (i = 0; i < 256; i++) {
		ev.open->role = i;
		assert_int_equal(verdict_on(&b), i <= HP_ROLE_CLIENT ? 0 : -EBADMSG);
	}

	buf_clear(&b);
	ev.sample = put_rec(&b, EV_SAMPLE, sizeof(*ev.sample) + 3 * sizeof(struct ev_frame), 1);
	for (i = 0; i <= UINT16_MAX; i++) {
		ev.sample->nframes = i;
		assert_int_equal(verdict_on(&b), i <= 3 ? 0 : -EBADMSG);
	}

	buf_clear(&b);
	ev.target = put_rec(&b, EV_TARGET, sizeof(*ev.target) + 16, 1);
	ev.target->cmdline_len = ev.target->exe_len = 4;
	ev.target->runtime_len = ev.target->service_len = 4;
	assert_int_equal(verdict_on(&b), 0);
	ev.target->service_len = 5;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev.target->cmdline_len = ev.target->exe_len = UINT16_MAX;
	assert_int_equal(verdict_on(&b), -EBADMSG);

	buf_clear(&b);
	ev.mapping = put_rec(&b, EV_MAPPING, sizeof(*ev.mapping) + 8, 1);
	ev.mapping->path_len = 8;
	ev.mapping->build_id_len = 20;
	assert_int_equal(verdict_on(&b), 0);
	ev.mapping->build_id_len = 21;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev.mapping->build_id_len = 0;
	ev.mapping->path_len = 9;
	assert_int_equal(verdict_on(&b), -EBADMSG);

	buf_clear(&b);
	ev.symbol = put_rec(&b, EV_SYMBOL, sizeof(*ev.symbol) + 8, 1);
	ev.symbol->name_len = 6;
	ev.symbol->module_len = 2;
	assert_int_equal(verdict_on(&b), 0);
	ev.symbol->module_len = 3;
	assert_int_equal(verdict_on(&b), -EBADMSG);
	ev.symbol->name_len = UINT16_MAX;
	assert_int_equal(verdict_on(&b), -EBADMSG);

	buf_clear(&b);
	ev.loss = put_rec(&b, EV_LOSS, sizeof(*ev.loss) + 16, 1);
	for (i = 0; i < 8; i++) {
		ev.loss->n = i;
		assert_int_equal(verdict_on(&b), i <= 2 ? 0 : -EBADMSG);
	}
	ev.loss->n = 0x20000001; /* times eight it is 8 in 32 bits */
	assert_int_equal(verdict_on(&b), -EBADMSG);

	buf_clear(&b);
	ev.note = put_rec(&b, EV_NOTE, sizeof(*ev.note) + 8, 1);
	for (i = 0; i < 2; i++) {
		ev.hdr->kind = i ? EV_CONFIG : EV_NOTE;
		ev.note->len = 8;
		assert_int_equal(verdict_on(&b), 0);
		ev.note->len = 9;
		assert_int_equal(verdict_on(&b), -EBADMSG);
		ev.note->len = UINT32_MAX;
		assert_int_equal(verdict_on(&b), -EBADMSG);
	}
}

static u32 next(u32 *rng)
{
	*rng = *rng * 1664525u + 1013904223u;
	return *rng >> 8;
}

/* n records of mixed kinds and sizes, every seventh of which is to be skipped. */
static u32 mixed(struct buf *b, u32 n, u32 *rng)
{
	static char text[60000];
	u32 i, bad = 0;

	for (i = 0; i < n; i++) {
		if (i % 7 == 6) {
			put_rec(b, i % 2 ? EV_KIND_MAX - 1 : EV_WINDOW, 24 + 8 * (next(rng) % 4),
				i);
			bad++;
		} else if (i % 3) {
			put_data(b, i, HP_RECV, 0, text, next(rng) % (i % 5 ? 300 : 60000), i);
		} else {
			put_state(b, i, HP_CONN_EOF, 0, i);
		}
	}
	return bad;
}

/* Writes b into the pipe p in pieces of random size; ends as the process ends. */
static pid_t feed(const struct buf *b, const int p[2], u32 rng, u32 piece_max)
{
	pid_t pid = fork();
	size_t off, k;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	close(p[0]); /* so that it ends when the reader does */
	for (off = 0; off < b->n; off += k) {
		k = 1 + next(&rng) % piece_max;
		k = MIN(k, b->n - off);
		if (fd_write_all(p[1], b->p + off, k))
			_exit(1);
	}
	_exit(0);
}

static void t_stream_cuts(void **state)
{
	static const u32 pieces[] = { 1, 7, 64, 4000, 100000, 1000000 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(pieces); i++) {
		_release_(buf) struct buf b = BUF_INIT;
		u32 rng = 7 + i, n = pieces[i] < 64 ? 40 : 400, bad, k = 0, got = 0;
		struct stream s;
		struct ev_hdr *rec;
		int p[2], err, status;
		size_t at = 0;
		pid_t pid;

		bad = mixed(&b, n, &rng);
		assert_false(b.oom);
		assert_int_equal(pipe(p), 0);
		pid = feed(&b, p, rng, pieces[i]);
		close(p[1]);
		assert_int_equal(stream_init(&s, p[0]), 0);
		while ((err = stream_next(&s, &rec)) == 1) {
			if (k % 7 == 6) {
				at += ((struct ev_hdr *)(b.p + at))->size;
				k++;
			}
			assert_int_equal((uintptr_t)rec % 8, 0);
			assert_int_equal(rec->ts_ns, k++);
			assert_memory_equal(rec, b.p + at, rec->size);
			at += rec->size;
			got++;
			/* Masking writes in place: nothing that comes later may be touched by it. */
			memset(rec + 1, 0xee, rec->size - sizeof(*rec));
		}
		assert_int_equal(err, 0);
		assert_int_equal(stream_next(&s, &rec), 0);
		assert_int_equal(got, n - bad);
		assert_int_equal(s.records, n - bad);
		assert_int_equal(s.bad, bad);
		stream_release(&s);
		close(p[0]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
}

/* What stream_next() ends with on these bytes; *ret_records come before. */
static int stream_end(const void *p, size_t n, u64 *ret_records, u64 *ret_bad)
{
	struct stream s;
	struct ev_hdr *rec;
	int fds[2], err;

	assert_true(n <= 60000); /* fits into a pipe */
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_write_all(fds[1], p, n), 0);
	close(fds[1]);
	assert_int_equal(stream_init(&s, fds[0]), 0);
	while ((err = stream_next(&s, &rec)) == 1)
		;
	*ret_records = s.records;
	*ret_bad = s.bad;
	stream_release(&s);
	close(fds[0]);
	return err;
}

static void t_stream_ends(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	u64 records, bad;
	size_t n, whole;

	(void)state;
	assert_int_equal(stream_end("", 0, &records, &bad), 0);
	put_state(&b, 1, HP_CONN_EOF, 0, 1);
	put_rec(&b, EV_KIND_MAX - 1, 40, 1); /* no such kind: skipped */
	whole = b.n;
	put_data(&b, 1, HP_SEND, 0, "hello", 5, 2);
	for (n = 0; n <= b.n; n++) {
		int err = stream_end(b.p, n, &records, &bad);
		bool between = n == 0 || n == 40 || n == whole || n == b.n;

		assert_int_equal(err, between ? 0 : -ENODATA);
		assert_int_equal(records, (n >= 40) + (n == b.n));
		assert_int_equal(bad, n >= whole);
	}
	buf_addch(&b, 1);
	while (b.n % 8)
		buf_addch(&b, 0);
	put_rec(&b, EV_KIND_MAX - 1, 40, 1); /* behind a size of 1 nothing is read */
	assert_int_equal(stream_end(b.p, b.n, &records, &bad), -EPROTO);
	assert_int_equal(records, 2);
	assert_int_equal(bad, 1);
}

static void t_stream_nonblock(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct stream s;
	struct ev_hdr *rec;
	int p[2];

	(void)state;
	put_state(&b, 1, HP_CONN_EOF, 0, 1);
	assert_int_equal(pipe2(p, O_NONBLOCK), 0);
	assert_int_equal(stream_init(&s, p[0]), 0);
	assert_int_equal(stream_next(&s, &rec), -EAGAIN);
	assert_int_equal(fd_write_all(p[1], b.p, 30), 0);
	assert_int_equal(stream_next(&s, &rec), -EAGAIN);
	assert_int_equal(stream_next(&s, &rec), -EAGAIN);
	assert_int_equal(fd_write_all(p[1], b.p + 30, b.n - 30), 0);
	assert_int_equal(stream_next(&s, &rec), 1);
	assert_memory_equal(rec, b.p, b.n);
	assert_int_equal(stream_next(&s, &rec), -EAGAIN);
	close(p[1]);
	assert_int_equal(stream_next(&s, &rec), 0);
	close(p[0]);
	s.eof = false;
	assert_int_equal(stream_next(&s, &rec), -EBADF);
	stream_release(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_sizes),
		cmocka_unit_test(t_kinds),
		cmocka_unit_test(t_data),
		cmocka_unit_test(t_lengths),
		cmocka_unit_test(t_stream_cuts),
		cmocka_unit_test(t_stream_ends),
		cmocka_unit_test(t_stream_nonblock),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
