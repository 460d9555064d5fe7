/* SPDX-License-Identifier: Apache-2.0 */
/* base/file: bounds of reads, procfs, short pipes, and the numbers people type. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"

static void t_read(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	char path[] = "/tmp/hp-u-file-XXXXXX", data[10000];
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	memset(data, 'd', sizeof(data));
	assert_int_equal(fd_write_all(fd, data, sizeof(data)), 0);
	close(fd);
	buf_adds(&b, "kept:");
	assert_int_equal(file_read(path, &b, sizeof(data)), 0);
	assert_int_equal(b.n, 5 + sizeof(data));
	assert_memory_equal(b.p, "kept:d", 6);
	assert_int_equal(b.p[b.n], 0);
	buf_clear(&b);
	assert_int_equal(file_read(path, &b, sizeof(data) - 1), -EFBIG);
	assert_int_equal(b.n, sizeof(data) - 1);
	unlink(path);
	assert_int_equal(file_read(path, &b, 10), -ENOENT);
	assert_int_equal(file_read("/", &b, 10), -EISDIR);
}

static void t_procfs(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	int dir = open("/proc/self", O_PATH | O_DIRECTORY);

	(void)state;
	assert_int_equal(file_read("/proc/self/maps", &b, 1 << 20), 0);
	assert_true(b.n > 100);
	assert_int_equal(b.p[b.n - 1], '\n');
	buf_clear(&b);
	assert_int_equal(file_read_at(dir, "comm", &b, 64), 0);
	assert_string_equal(b.p, "u_file\n");
	close(dir);
}

static void t_read_all(void **state)
{
	char got[8] = "";
	int p[2];

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(fd_write_all(p[1], "abcdef", 6), 0);
	assert_int_equal(fd_read_all(p[0], got, 4), 0);
	assert_memory_equal(got, "abcd", 4);
	close(p[1]);
	assert_int_equal(fd_read_all(p[0], got, 4), -EPIPE);
	close(p[0]);
	assert_int_equal(fd_read_all(p[0], got, 4), -EBADF);
}

static void t_clocks(void **state)
{
	u64 a = clock_mono_ns(), b = clock_mono_ns();

	(void)state;
	assert_true(a && b >= a);
	assert_true(clock_unix_ns() > 1700000000 * NSEC_PER_SEC);
}

struct number {
	const char *text;
	u64 want; /* 0 where bad says that it is refused */
	bool bad;
};

static void check_numbers(const struct number *rows, size_t n, int (*parse)(const char *, u64 *))
{
	size_t i;

	for (i = 0; i < n; i++) {
		u64 got = 12345;
		int err = parse(rows[i].text, &got);

		if (err != (rows[i].bad ? -EINVAL : 0) || (!err && got != rows[i].want))
			fail_msg("'%s': %d, %llu", rows[i].text, err, (unsigned long long)got);
	}
}

static void t_duration(void **state)
{
	static const struct number rows[] = {
		{ "500ms", 500 * NSEC_PER_MSEC, 0 },
		{ "30s", 30 * NSEC_PER_SEC, 0 },
		{ "5m", 300 * NSEC_PER_SEC, 0 },
		{ "2h", 7200 * NSEC_PER_SEC, 0 },
		{ "7", 7 * NSEC_PER_SEC, 0 },
		{ "0", 0, 0 },
		{ "0.1s", 100 * NSEC_PER_MSEC, 0 },
		{ "1.5m", 90 * NSEC_PER_SEC, 0 },
		{ "0.0000000019", 1, 0 },
		{ "18446744073s", 18446744073 * NSEC_PER_SEC, 0 },
		{ "18446744074s", 0, 1 },
		{ "99999999999999999999", 0, 1 },
		{ "", 0, 1 },
		{ "s", 0, 1 },
		{ "-1", 0, 1 },
		{ "+1", 0, 1 },
		{ " 1", 0, 1 },
		{ "1 s", 0, 1 },
		{ "1.", 0, 1 },
		{ ".5", 0, 1 },
		{ "1e3", 0, 1 },
		{ "0x10", 0, 1 },
		{ "1d", 0, 1 },
		{ "1sec", 0, 1 },
		{ "1m30s", 0, 1 },
		{ "nan", 0, 1 },
	};

	(void)state;
	check_numbers(rows, ARRAY_SIZE(rows), parse_duration);
}

static void t_bytes(void **state)
{
	static const struct number rows[] = {
		{ "64MiB", 64 << 20, 0 },
		{ "10k", 10240, 0 },
		{ "512", 512, 0 },
		{ "0", 0, 0 },
		{ "1.5G", 3ULL << 29, 0 },
		{ "1MB", 1000000, 0 },
		{ "17179869183G", 17179869183ULL << 30, 0 },
		{ "17179869184G", 0, 1 },
		{ "-1", 0, 1 },
		{ "10 k", 0, 1 },
		{ "10kk", 0, 1 },
		{ "", 0, 1 },
		{ "MiB", 0, 1 },
	};

	(void)state;
	check_numbers(rows, ARRAY_SIZE(rows), parse_bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_read),     cmocka_unit_test(t_procfs),
		cmocka_unit_test(t_read_all), cmocka_unit_test(t_clocks),
		cmocka_unit_test(t_duration), cmocka_unit_test(t_bytes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
