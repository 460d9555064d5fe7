/* SPDX-License-Identifier: Apache-2.0 */
/* decode/capture: what is written is read, headers, a full disk, a file at its limit. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "decode/capture.h"
#include "decode/stream.h"
#include "records.h"

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
	static char text[60000];
	int fd, i;

	(void)state;
	for (i = 0; i < 50; i++) { /* more than its buffer holds */
		put_data(&b, i, HP_RECV, 0, text, i * 1200, i);
		put_state(&b, i, HP_CONN_EOF, 0, i);
	}
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_capture),
		cmocka_unit_test(t_header),
		cmocka_unit_test(t_capture_full),
		cmocka_unit_test(t_capture_errors),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
