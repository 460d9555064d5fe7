/* SPDX-License-Identifier: Apache-2.0 */
/* decode: what passes for a record, streams in any cut, capture files, the back channel. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "decode/capture.h"
#include "decode/channel.h"
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
			put_rec(b, i % 2 ? 31 : EV_WINDOW, 24 + 8 * (next(rng) % 4), i);
			bad++;
		} else if (i % 3) {
			put_data(b, i, HP_RECV, 0, text, next(rng) % (i % 5 ? 300 : 60000), i);
		} else {
			put_state(b, i, HP_CONN_EOF, 0, i);
		}
	}
	return bad;
}

/* Writes b into fd in pieces of random size; ends as the process ends. */
static pid_t feed(const struct buf *b, int fd, u32 rng, u32 piece_max)
{
	pid_t pid = fork();
	size_t off, k;

	assert_true(pid >= 0);
	if (pid)
		return pid;
	for (off = 0; off < b->n; off += k) {
		k = 1 + next(&rng) % piece_max;
		k = MIN(k, b->n - off);
		if (fd_write_all(fd, b->p + off, k))
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
		pid = feed(&b, p[1], rng, pieces[i]);
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
	put_rec(&b, 30, 40, 1); /* no such kind: skipped */
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
	put_rec(&b, 30, 40, 1); /* behind a size of 1 nothing is read */
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

static char *temp_dir(void)
{
	static char path[64];

	snprintf(path, sizeof(path), "/tmp/hp-u-decode-XXXXXX");
	assert_non_null(mkdtemp(path));
	return path;
}

static void t_capture(void **state)
{
	_release_(buf) struct buf b = BUF_INIT, file = BUF_INIT;
	const char *dir = temp_dir();
	_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	struct capture_header h;
	struct capture c;
	struct stat st;
	size_t at;
	u32 rng = 3;
	int fd;

	(void)state;
	mixed(&b, 200, &rng); /* more than its buffer holds */
	umask(0);
	assert_int_equal(capture_create(&c, dirfd, "c", 64 << 20, CAPTURE_NO_DB), 0);
	for (at = 0; at < b.n; at += ((struct ev_hdr *)(b.p + at))->size)
		capture_write(&c, (struct ev_hdr *)(b.p + at));
	assert_int_equal(c.bytes, sizeof(h) + b.n);
	assert_int_equal(capture_close(&c), 0);
	assert_int_equal(capture_close(&c), 0);
	assert_int_equal(c.left_out, 0);

	fd = openat(dirfd, "c", O_RDONLY);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(capture_read_header(fd, &h), 0);
	assert_int_equal(h.major, HP_ABI_VERSION);
	assert_int_equal(h.flags, CAPTURE_NO_DB);
	assert_string_equal(h.version, HOSTPROF_VERSION);
	close(fd);
	assert_int_equal(file_read_at(dirfd, "c", &file, 64 << 20), 0);
	assert_int_equal(file.n, sizeof(h) + b.n);
	assert_memory_equal(file.p + sizeof(h), b.p, b.n);

	assert_int_equal(capture_create(&c, dirfd, "c", 1 << 20, 0), -EEXIST);
	assert_int_equal(capture_close(&c), 0);
	assert_int_equal(symlinkat("elsewhere", dirfd, "link"), 0);
	assert_int_equal(capture_create(&c, dirfd, "link", 1 << 20, 0), -EEXIST);
	unlinkat(dirfd, "link", 0);
	unlinkat(dirfd, "c", 0);
	assert_int_equal(rmdir(dir), 0);
}

static int read_header(const void *p, size_t n, struct capture_header *ret, size_t *ret_left)
{
	char rest[64];
	int fds[2], err;

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(fd_write_all(fds[1], p, n), 0);
	close(fds[1]);
	err = capture_read_header(fds[0], ret);
	*ret_left = read(fds[0], rest, sizeof(rest));
	close(fds[0]);
	return err;
}

static void t_header(void **state)
{
	const struct capture_header good = {
		.magic = CAPTURE_MAGIC,
		.major = HP_ABI_VERSION,
		.header_bytes = sizeof(good),
		.version = "9.8.7",
	};
	struct capture_header h, got;
	u8 bytes[8192] = { 0 };
	size_t n, left;

	(void)state;
	for (n = 0; n < sizeof(good); n++)
		assert_int_equal(read_header(&good, n, &got, &left), -ENODATA);
	assert_int_equal(read_header(&good, sizeof(good), &got, &left), 0);
	for (n = 0; n < 8; n++) {
		h = good;
		h.magic[n] ^= 1;
		assert_int_equal(read_header(&h, sizeof(h), &got, &left), -EINVAL);
	}
	for (n = 0; n < 70000; n++) {
		h = good;
		h.major = n;
		if (h.major != HP_ABI_VERSION && (n < 9 || n % 997 == 0)) {
			assert_int_equal(read_header(&h, sizeof(h), &got, &left), -EPROTONOSUPPORT);
			assert_int_equal(got.major, h.major);
			assert_string_equal(got.version, "9.8.7");
		}
	}
	h = good;
	memset(h.version, 'v', sizeof(h.version));
	h.major++;
	assert_int_equal(read_header(&h, sizeof(h), &got, &left), -EPROTONOSUPPORT);
	assert_int_equal(strlen(got.version), sizeof(got.version) - 1);

	/* A later minor version may have a longer header: the records begin behind it. */
	h = good;
	for (n = 0; n <= 5000; n += 50) {
		size_t bytes_n = MAX(n, sizeof(h)) + 8;
		bool ok = n >= sizeof(h) && n <= 4096;

		h.header_bytes = n;
		memcpy(bytes, &h, sizeof(h));
		assert_int_equal(read_header(bytes, bytes_n, &got, &left), ok ? 0 : -EINVAL);
		if (!ok)
			continue;
		assert_int_equal(left, 8);
		if (n > sizeof(h))
			assert_int_equal(read_header(bytes, n - 1, &got, &left), -ENODATA);
	}
	h.header_bytes = UINT32_MAX;
	assert_int_equal(read_header(&h, sizeof(h), &got, &left), -EINVAL);
	assert_int_equal(capture_read_header(-1, &got), -EBADF);
}

/* Whatever comes, the file stays below its limit, and what ends the window is in it. */
static void t_capture_full(void **state)
{
	static const u64 limits[] = { 64 << 10, 100000, 1 << 20 };
	const char *dir = temp_dir();
	_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY);
	static char text[2000];
	size_t l;

	(void)state;
	for (l = 0; l < ARRAY_SIZE(limits); l++) {
		u64 data = 0, bytes = 0, loss = 0, cost = 0, windows = 0, note = 0, i, wrote = 0;
		_release_(buf) struct buf b = BUF_INIT;
		bool gap = false;
		struct capture c;
		struct stream s;
		struct ev_hdr *rec;
		struct capture_header h;
		int fd, err;

		assert_int_equal(capture_create(&c, dirfd, "c", limits[l], 0), 0);
		capture_write(&c, &put_win(&b, HP_WINDOW_START, 1)->hdr);
		for (i = 0; i < 4000; i++) {
			buf_clear(&b);
			capture_write(&c,
				      &put_data(&b, 1, HP_RECV, i, text, 100 + i % 1900, i)->hdr);
			if (i % 10 == 0) {
				capture_write(&c, put_rec(&b, EV_LOSS, sizeof(struct ev_loss), i));
				capture_write(&c, put_rec(&b, EV_RESOURCE,
							  sizeof(struct ev_resource), i));
			}
		}
		capture_write(&c, put_rec(&b, EV_COST, sizeof(struct ev_cost), i));
		for (i = 0; i < 30000; i++) {
			buf_clear(&b);
			capture_write(&c, &put_end(&b, EV_CONN_BYTES, i, 1, 1, i)->hdr);
		}
		buf_clear(&b);
		capture_write(&c, put_rec(&b, EV_LOSS, sizeof(struct ev_loss), 777));
		capture_write(&c, put_rec(&b, EV_NOTE, sizeof(struct ev_note), 777));
		capture_write(&c, &put_win(&b, HP_WINDOW_STOP, 1)->hdr);
		capture_write(&c, put_rec(&b, EV_COST, sizeof(struct ev_cost), i));
		capture_write(&c, &put_win(&b, HP_WINDOW_END, 1)->hdr);
		assert_true(c.left_out > 0);
		wrote = c.bytes;
		assert_true(wrote <= limits[l]);
		assert_true(wrote > limits[l] - limits[l] / 8);
		assert_int_equal(capture_close(&c), 0);

		fd = openat(dirfd, "c", O_RDONLY);
		assert_int_equal(lseek(fd, 0, SEEK_END), wrote);
		assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
		assert_int_equal(capture_read_header(fd, &h), 0);
		assert_int_equal(stream_init(&s, fd), 0);
		while ((err = stream_next(&s, &rec)) == 1) {
			/* Traffic is there from the start without a gap, then not at all. */
			if (rec->kind == EV_DATA) {
				gap |= ((struct ev_data *)rec)->pos != data;
				data++;
			}
			bytes += rec->kind == EV_CONN_BYTES;
			loss += rec->kind == EV_LOSS && rec->ts_ns == 777;
			note += rec->kind == EV_NOTE;
			cost += rec->kind == EV_COST;
			windows += rec->kind == EV_WINDOW;
		}
		assert_int_equal(err, 0);
		assert_int_equal(s.bad, 0);
		assert_true(data > 10 && data < 4000 && !gap);
		assert_true(bytes < 30000);
		assert_true(loss == 1 && note == 1 && cost == 2 && windows == 3);
		stream_release(&s);
		close(fd);
		unlinkat(dirfd, "c", 0);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void t_capture_errors(void **state)
{
	const char *dir = temp_dir();
	_close_ int dirfd = open(dir, O_RDONLY | O_DIRECTORY), full = -1;
	_release_(buf) struct buf b = BUF_INIT;
	struct rlimit limit, tight = { 300000, RLIM_INFINITY };
	static char text[60000];
	struct capture c;
	int i;

	(void)state;
	put_data(&b, 1, HP_RECV, 0, text, sizeof(text), 1);

	/* A full disk, seen in the middle and seen only at the end. */
	for (i = 0; i < 2; i++) {
		assert_int_equal(capture_create(&c, dirfd, "c", 64 << 20, 0), 0);
		full = open("/dev/full", O_WRONLY | O_CLOEXEC);
		assert_true(full >= 0);
		assert_int_equal(dup3(full, c.fd, O_CLOEXEC), c.fd);
		close(full);
		for (int k = 0; k < (i ? 1 : 20); k++)
			capture_write(&c, (struct ev_hdr *)b.p);
		assert_int_equal(c.err, i ? 0 : -ENOSPC);
		assert_int_equal(capture_close(&c), -ENOSPC);
		assert_int_equal(capture_close(&c), -ENOSPC);
		unlinkat(dirfd, "c", 0);
	}

	signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	tight.rlim_max = limit.rlim_max;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
	assert_int_equal(capture_create(&c, dirfd, "c", 64 << 20, 0), 0);
	for (i = 0; i < 100; i++)
		capture_write(&c, (struct ev_hdr *)b.p);
	assert_int_equal(capture_close(&c), -EFBIG);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	unlinkat(dirfd, "c", 0);
	assert_int_equal(rmdir(dir), 0);
	assert_int_equal(capture_create(&c, dirfd, "c", 1 << 20, 0), -ENOENT);
}

static u32 open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	u32 n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void t_channel(void **state)
{
	struct chan_request req = { .type = CHAN_VERDICT, .conn_id = 7 }, got;
	u8 big[sizeof(req) + 8] = { 0 };
	size_t n;
	int fds[2];

	(void)state;
	assert_int_equal(chan_pair(fds), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(chan_receive(fds[0], &got), 0);
	req.verdict.turn_max[1] = 99;
	memset(req.path, 'p', sizeof(req.path));
	assert_int_equal(chan_send(fds[1], &req), 0);
	req.conn_id = 8;
	assert_int_equal(chan_send(fds[1], &req), 0);
	assert_int_equal(chan_receive(fds[0], &got), 1);
	assert_int_equal(got.conn_id, 7);
	assert_int_equal(got.verdict.turn_max[1], 99);
	assert_int_equal(strlen(got.path), sizeof(got.path) - 1);
	assert_int_equal(chan_receive(fds[0], &got), 1);
	assert_int_equal(got.conn_id, 8);
	assert_int_equal(chan_receive(fds[0], &got), 0);

	/* Of any other length it is no request, and the next one is still read. */
	for (n = 1; n <= sizeof(big); n += n < 16 || n > sizeof(req) - 16 ? 1 : 37) {
		assert_int_equal(send(fds[1], big, n, 0), n);
		assert_int_equal(chan_receive(fds[0], &got), n == sizeof(req) ? 1 : -EBADMSG);
	}
	assert_int_equal(chan_receive(fds[0], &got), 0);
	assert_int_equal(chan_send(fds[1], &req), 0);
	close(fds[1]);
	assert_int_equal(chan_receive(fds[0], &got), 1);
	assert_int_equal(chan_receive(fds[0], &got), -EPIPE);
	assert_int_equal(chan_send(fds[0], &req), -EPIPE);
	assert_int_equal(chan_answer(fds[0], -ENOENT), -EPIPE);
	close(fds[0]);
	assert_int_equal(chan_receive(fds[0], &got), -EBADF);
}

/* The collector's answer to one request, in a process of its own. */
static int answered(int (*answer)(int fd), bool leave)
{
	struct chan_request req = { .type = CHAN_OPEN_KALLSYMS };
	int fds[2], err, status;
	pid_t pid;

	assert_int_equal(chan_pair(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[1]);
		while (!leave && !(err = chan_receive(fds[0], &req)))
			usleep(1000);
		_exit(leave ? 0 : err != 1 || answer(fds[0]));
	}
	close(fds[0]);
	if (leave)
		assert_int_equal(waitpid(pid, &status, 0), pid);
	err = chan_call(fds[1], &req);
	if (!leave)
		assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[1]);
	return err;
}

static int answer_file(int fd)
{
	_close_ int file = memfd_create("answer", MFD_CLOEXEC);

	return write(file, "file", 4) != 4 || lseek(file, 0, SEEK_SET) || chan_answer(fd, file);
}

static int answer_error(int fd)
{
	return chan_answer(fd, -EACCES);
}

static int answer_nothing(int fd)
{
	return close(fd);
}

static int send_with_file(int fd, const void *p, size_t n)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .hdr = { .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { (void *)p, n };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int file = open("/dev/null", O_RDONLY);

	memcpy(CMSG_DATA(&control.hdr), &file, sizeof(file));
	return sendmsg(fd, &msg, 0) < 0;
}

static int answer_short(int fd)
{
	return send_with_file(fd, "ab", 2);
}

static int answer_error_with_file(int fd)
{
	s32 result = -EACCES;

	return send_with_file(fd, &result, sizeof(result));
}

static int answer_positive(int fd)
{
	s32 result = 5;

	return send_with_file(fd, &result, sizeof(result));
}

static int answer_no_file(int fd)
{
	s32 result = 0;

	return send(fd, &result, sizeof(result), 0) < 0;
}

static void t_channel_call(void **state)
{
	char text[64] = "";
	u32 before;
	int fd;

	(void)state;
	fd = answered(answer_file, false);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 4);
	assert_string_equal(text, "file");
	close(fd);

	before = open_fds();
	assert_int_equal(answered(answer_error, false), -EACCES);
	assert_int_equal(answered(answer_nothing, false), -EPIPE);
	assert_int_equal(answered(answer_short, false), -EPROTO);
	assert_int_equal(answered(answer_positive, false), -EPROTO);
	assert_int_equal(answered(answer_no_file, false), -EPROTO);
	assert_int_equal(answered(answer_error_with_file, false), -EACCES);
	assert_int_equal(answered(answer_file, true), -EPIPE);
	/* Descriptors that came with a wrong answer are closed. */
	assert_int_equal(open_fds(), before);
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
		cmocka_unit_test(t_capture),
		cmocka_unit_test(t_header),
		cmocka_unit_test(t_capture_full),
		cmocka_unit_test(t_capture_errors),
		cmocka_unit_test(t_channel),
		cmocka_unit_test(t_channel_call),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
