/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files with bounds, clocks, and the two kinds of numbers that people type.
 *
 * Input: paths, descriptors, texts. Output: bytes in a buf, numbers. procfs gives size 0 and may
 * grow between two reads, so reading goes on to end of file and never trusts st_size. Numbers are
 * parsed with integers only: "0.1s" is 100,000,000 ns exactly.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"

#define FILE_CHUNK 4096

int file_read_at(int dirfd, const char *path, struct buf *out, size_t max)
{
	_close_ int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);
	size_t left = max;
	char probe;

	if (fd < 0)
		return -errno;
	for (;;) {
		size_t want = MIN(left, MAX(out->cap - out->n, (size_t)FILE_CHUNK));
		ssize_t n;

		if (!left) {
			n = read(fd, &probe, 1);
			if (n < 0 && errno == EINTR)
				continue;
			return n < 0 ? -errno : n ? -EFBIG : 0;
		}
		if (buf_reserve(out, want))
			return -ENOMEM;
		n = read(fd, out->p + out->n, want);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		out->n += (size_t)n;
		out->p[out->n] = '\0';
		left -= (size_t)n;
	}
}

int file_read(const char *path, struct buf *out, size_t max)
{
	return file_read_at(AT_FDCWD, path, out, max);
}

int fd_write_all(int fd, const void *p, size_t n)
{
	const char *s = p;

	while (n) {
		ssize_t done = write(fd, s, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		s += done;
		n -= (size_t)done;
	}
	return 0;
}

int fd_read_all(int fd, void *p, size_t n)
{
	char *s = p;

	while (n) {
		ssize_t done = read(fd, s, n);

		if (done < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (!done)
			return -EPIPE;
		s += done;
		n -= (size_t)done;
	}
	return 0;
}

static u64 clock_ns(clockid_t id)
{
	struct timespec ts;

	clock_gettime(id, &ts);
	return (u64)ts.tv_sec * NSEC_PER_SEC + (u64)ts.tv_nsec;
}

u64 clock_mono_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

u64 clock_unix_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

struct unit {
	const char *name;
	u64 scale;
};

/* "DIGITS[.DIGITS]UNIT" as an integer of the base unit; a fraction finer than that is cut off. */
static int parse_scaled(const char *s, const struct unit *units, size_t n, u64 *ret)
{
	size_t digits = strspn(s, "0123456789"), frac_digits = 0, i;
	const char *frac = s + digits, *name = frac;
	u64 whole = 0, part = 0, scale, step;

	if (*frac == '.') {
		frac_digits = strspn(++frac, "0123456789");
		if (!frac_digits)
			return -EINVAL;
		name = frac + frac_digits;
	}
	if (!digits)
		return -EINVAL;
	for (i = 0; i < n && strcmp(name, units[i].name); i++)
		;
	if (i == n)
		return -EINVAL;
	scale = step = units[i].scale;
	for (i = 0; i < digits; i++)
		if (__builtin_mul_overflow(whole, 10, &whole) ||
		    __builtin_add_overflow(whole, (u64)(s[i] - '0'), &whole))
			return -EINVAL;
	/* Each digit is worth a tenth of the one before: exact for every scale of ten, else the floor. */
	for (i = 0; i < frac_digits && step; i++) {
		part += (u64)(frac[i] - '0') * step / 10;
		step /= 10;
	}
	if (__builtin_mul_overflow(whole, scale, &whole) ||
	    __builtin_add_overflow(whole, part, ret))
		return -EINVAL;
	return 0;
}

int parse_duration(const char *s, u64 *ret_ns)
{
	static const struct unit units[] = {
		{ "", NSEC_PER_SEC },	    { "ms", NSEC_PER_MSEC },	  { "s", NSEC_PER_SEC },
		{ "m", 60 * NSEC_PER_SEC }, { "h", 3600 * NSEC_PER_SEC },
	};

	return parse_scaled(s, units, ARRAY_SIZE(units), ret_ns);
}

int parse_bytes(const char *s, u64 *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "k", 1ULL << 10 },
		{ "K", 1ULL << 10 },
		{ "KiB", 1ULL << 10 },
		{ "kB", 1000 },
		{ "m", 1ULL << 20 },
		{ "M", 1ULL << 20 },
		{ "MiB", 1ULL << 20 },
		{ "MB", 1000000 },
		{ "g", 1ULL << 30 },
		{ "G", 1ULL << 30 },
		{ "GiB", 1ULL << 30 },
		{ "GB", 1000000000 },
	};

	return parse_scaled(s, units, ARRAY_SIZE(units), ret_bytes);
}
