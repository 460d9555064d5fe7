/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Perf maps: the last line about an address wins, against a reading of the same lines byte by byte;
 * files that grow, shrink, are replaced or are too large; and the way through struct sym.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "hp/events.h"
#include "sym/perfmap.h"
#include "sym/sym.h"

static int file_of(struct slice text)
{
	int fd = memfd_create("perf.map", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(fd_write_all(fd, text.p, text.n), 0);
	return fd;
}

/* The name at addr, or "" and the hole. */
static const char *name_at(const struct perfmap *m, u64 addr, u64 *lo, u64 *hi)
{
	static char name[SYM_NAME_MAX + 1];
	const struct perfmap_entry *e = perfmap_find(m, addr, lo, hi);

	name[0] = 0;
	assert_true(*lo <= addr && addr < *hi);
	if (e) {
		size_t n = perfmap_name(m, e, name, sizeof(name));

		assert_int_equal(n, strlen(name));
	}
	return name;
}

static void assert_at(const struct perfmap *m, u64 addr, const char *name, u64 start, u64 end)
{
	u64 lo, hi;

	assert_string_equal(name_at(m, addr, &lo, &hi), name);
	assert_true(lo == start && hi == end);
}

static void lines(void **state)
{
	struct perfmap m;

	(void)state;
	perfmap_init(&m);
	assert_at(&m, 5, "", 0, UINT64_MAX);
	assert_int_equal(
		perfmap_update(&m, file_of(SLICE("1000 100 LazyCompile:*f /a b.js:1:2\r\n"
						 "0x2000 0x80 java.lang.String x.y(int)\n"
						 "no entry\n\n"
						 "3000 zz bad\n3000 10\n3000 10 \n3000 0 empty\n"
						 "10000000000000000 10 too long a number\n"
						 "ffffffffffffff00 200 past the end\n"
						 "ffffffffffffff00 ff at the end\n"
						 "1080 10 tab\there\n"
						 "4000 10 not ended"))),
		0);
	assert_at(&m, 0x1000, "LazyCompile:*f /a b.js:1:2", 0x1000, 0x1080);
	assert_at(&m, 0x1080, "tab?here", 0x1080, 0x1090);
	assert_at(&m, 0x10ff, "LazyCompile:*f /a b.js:1:2", 0x1090, 0x1100);
	assert_at(&m, 0x1100, "", 0x1100, 0x2000);
	assert_at(&m, 0x207f, "java.lang.String x.y(int)", 0x2000, 0x2080);
	assert_at(&m, 0x3000, "", 0x2080, 0xffffffffffffff00);
	assert_at(&m, 0x4000, "", 0x2080, 0xffffffffffffff00);
	assert_at(&m, 0xfffffffffffffff0, "at the end", 0xffffffffffffff00, UINT64_MAX);
	perfmap_release(&m);
}

/* Any lines, in any number of pieces, against an array that each line paints over. */
static void last_line_wins(void **state)
{
	enum {
		SPACE = 512,
		ROUNDS = 60,
		LINES = 40
	};
	unsigned seed = 7;
	int round, i, k;

	(void)state;
	for (round = 0; round < ROUNDS; round++) {
		_release_(buf) struct buf text = BUF_INIT;
		int want[SPACE] = { 0 };
		struct perfmap m;
		_close_ int fd = file_of(SLICE(""));

		perfmap_init(&m);
		for (i = 1; i <= LINES; i++) {
			int start = rand_r(&seed) % (SPACE - 1);
			int size = 1 + rand_r(&seed) % MIN(SPACE - start, 1 + round * 4);

			buf_clear(&text);
			buf_addf(&text, "%x %x f%d\n", start, size, i);
			assert_int_equal(fd_write_all(fd, text.p, text.n), 0);
			for (k = start; k < start + size; k++)
				want[k] = i;
			/* At once, after each line, and now and then. */
			if (round % 3 && (round % 3 == 1 || rand_r(&seed) % 8 == 0))
				assert_int_equal(perfmap_update(&m, dup(fd)), 0);
		}
		assert_int_equal(perfmap_update(&m, dup(fd)), 0);
		for (k = 0; k < SPACE; k++) {
			char name[16] = "";
			u64 lo, hi, j;

			if (want[k])
				snprintf(name, sizeof(name), "f%d", want[k]);
			assert_string_equal(name_at(&m, (u64)k, &lo, &hi), name);
			for (j = lo; j < MIN(hi, (u64)SPACE); j++)
				assert_int_equal(want[j], want[k]);
			assert_true(!lo || lo > SPACE || want[lo - 1] != want[k]);
		}
		perfmap_release(&m);
	}
}

static void rewrite(int fd, const char *text)
{
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(pwrite(fd, text, strlen(text), 0), (ssize_t)strlen(text));
}

static void growing_and_replaced(void **state)
{
	_close_ int fd = file_of(SLICE("1000 100 first\n2000 1"));
	struct perfmap m;
	u64 off;

	(void)state;
	perfmap_init(&m);
	assert_int_equal(perfmap_update(&m, dup(fd)), 0);
	assert_at(&m, 0x1000, "first", 0x1000, 0x1100);
	assert_at(&m, 0x2000, "", 0x1100, UINT64_MAX);
	off = m.off;
	assert_int_equal(fd_write_all(fd, "00 second\n1000 80 third\n", 24), 0);
	assert_int_equal(perfmap_update(&m, dup(fd)), 0);
	assert_true(m.off > off);
	assert_at(&m, 0x2000, "second", 0x2000, 0x2100);
	assert_at(&m, 0x1000, "third", 0x1000, 0x1080);
	assert_at(&m, 0x1080, "first", 0x1080, 0x1100);

	/* Written anew by the same process, shorter, then longer than before: not one old line stays. */
	rewrite(fd, "5000 10 anew\n");
	assert_at(&m, 0x1000, "", 0x1000, 0x1080); /* its line is gone: no name */
	assert_int_equal(perfmap_update(&m, dup(fd)), 0);
	assert_at(&m, 0x1000, "", 0, 0x5000);
	assert_at(&m, 0x5000, "anew", 0x5000, 0x5010);
	rewrite(fd, "6000 10 once more\n6010 10 and longer than what was there before, a lot\n");
	assert_int_equal(perfmap_update(&m, dup(fd)), 0);
	assert_at(&m, 0x5000, "", 0, 0x6000);
	assert_at(&m, 0x6000, "once more", 0x6000, 0x6010);

	/* Another file of the same name, then none. */
	assert_int_equal(perfmap_update(&m, file_of(SLICE("7000 10 other\n"))), 0);
	assert_at(&m, 0x6000, "", 0, 0x7000);
	assert_at(&m, 0x7000, "other", 0x7000, 0x7010);
	assert_int_equal(perfmap_update(&m, -1), 0);
	assert_at(&m, 0x7000, "", 0, UINT64_MAX);
	assert_int_equal(perfmap_update(&m, open("/dev/null", O_RDONLY | O_CLOEXEC)), -EINVAL);
	assert_int_equal(m.n, 0);
	perfmap_release(&m);
}

/* A gigabyte: its newest lines count, and it costs no more than its bounds. */
static void gigabyte(void **state)
{
	_close_ int fd = file_of(SLICE("100 10 old\n"));
	const off_t size = 1 << 30;
	struct perfmap m;
	u32 i;

	(void)state;
	perfmap_init(&m);
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(pwrite(fd, "\n200 10 new\n", 12, size - 12), 12);
	assert_int_equal(perfmap_update(&m, dup(fd)), 0);
	assert_true(m.cut);
	assert_at(&m, 0x200, "new", 0x200, 0x210);
	assert_at(&m, 0x100, "", 0, 0x200);
	perfmap_release(&m);

	/* More entries than are kept: the newest ones stay. */
	rewrite(fd, "");
	for (i = 0; i < PERFMAP_ENTRIES_MAX + 5000; i += 1000) {
		_release_(buf) struct buf text = BUF_INIT;
		u32 k;

		for (k = i; k < i + 1000; k++)
			buf_addf(&text, "%x 8 f%x\n", 0x10000000 - 16 * k, k);
		assert_int_equal(pwrite(fd, text.p, text.n, lseek(fd, 0, SEEK_END)),
				 (ssize_t)text.n);
	}
	perfmap_init(&m);
	assert_int_equal(perfmap_update(&m, dup(fd)), 0);
	assert_true(m.cut && m.n <= PERFMAP_ENTRIES_MAX && m.n >= PERFMAP_ENTRIES_MAX / 2);
	for (i -= 1000; i < PERFMAP_ENTRIES_MAX + 5000; i++) {
		char name[16];
		u64 start = 0x10000000 - 16 * (u64)i;

		snprintf(name, sizeof(name), "f%x", i);
		assert_at(&m, start, name, start, start + 8);
	}
	perfmap_release(&m);
}

static void long_lines(void **state)
{
	_release_(buf) struct buf text = BUF_INIT;
	struct perfmap m;
	char name[SYM_NAME_MAX + 1];
	u64 lo, hi;
	int i;

	(void)state;
	buf_adds(&text, "1000 10 ");
	for (i = 0; i < 200000; i++)
		buf_addch(&text, 'x');
	buf_adds(&text, " 3000 10 inside\n2000 10 ");
	for (i = 0; i < 30000; i++)
		buf_addch(&text, 'y');
	buf_adds(&text, "\n4000 10 behind\n");
	perfmap_init(&m);
	assert_int_equal(perfmap_update(&m, file_of(buf_slice(&text))), 0);
	assert_at(&m, 0x3000, "", 0x2010, 0x4000);
	assert_at(&m, 0x4000, "behind", 0x4000, 0x4010);
	snprintf(name, sizeof(name), "%s", name_at(&m, 0x2000, &lo, &hi));
	assert_int_equal(strlen(name), SYM_NAME_MAX);
	assert_string_equal(name + SYM_NAME_MAX - 4, "y...");
	perfmap_release(&m);
}

/* ---- through struct sym ---- */

struct world {
	int map; /* memfd */
	int opened;
};

static int open_mapping(void *arg, u32 tgid, const struct sym_mapping *m)
{
	(void)arg;
	(void)tgid;
	(void)m;
	return file_of(SLICE("no ELF file"));
}

static int open_nothing(void *arg)
{
	(void)arg;
	return -ENOENT;
}

static int open_perf_map(void *arg, u32 tgid)
{
	struct world *w = arg;

	w->opened++;
	return tgid == 10 && w->map >= 0 ? dup(w->map) : -ENOENT;
}

static const struct sym_ops ops = {
	.open_mapping = open_mapping,
	.open_kallsyms = open_nothing,
	.open_perf_map = open_perf_map,
};

static void add(struct sym *s, u32 tgid, u64 start, u64 end, const char *path)
{
	struct ev_mapping m = { .hdr = { .tgid = tgid }, .start = start, .end = end };

	assert_int_equal(sym_add_mapping(s, &m, slice_str(path)), 0);
}

static void through_sym(void **state)
{
	struct world w = { .map = -1 };
	struct sym_name n;
	struct sym *s;

	(void)state;
	assert_int_equal(sym_new(&s, &ops, &w), 0);
	add(s, 10, 0x10000, 0x20000, "");
	add(s, 10, 0x30000, 0x40000, "/memfd:doublemapper (deleted)");
	add(s, 11, 0x10000, 0x20000, "");
	assert_int_equal(sym_resolve(s, 10, 0x10010, &n), -ENOENT);
	assert_string_equal(n.name.p, "[jit]");
	assert_true(n.start == 0x10000 && n.end == 0x20000);
	assert_int_equal(w.opened, 1);
	/* No second question before the next round. */
	w.map = file_of(SLICE("10000 100 f\n30000 20 g\n1ff00 1000 across the end\n"));
	assert_int_equal(sym_resolve(s, 10, 0x10010, &n), -ENOENT);
	assert_int_equal(w.opened, 1);
	sym_refresh(s);
	assert_int_equal(sym_resolve(s, 10, 0x10010, &n), 0);
	assert_string_equal(n.name.p, "f");
	assert_string_equal(n.module.p, "[jit]");
	assert_int_equal(n.quality, SYM_RUNTIME);
	assert_true(n.start == 0x10000 && n.end == 0x10100);
	assert_int_equal(sym_resolve(s, 10, 0x10100, &n), -ENOENT);
	assert_string_equal(n.name.p, "[jit]");
	assert_true(n.start == 0x10100 && n.end == 0x1ff00);
	assert_int_equal(sym_resolve(s, 10, 0x1ffff, &n), 0);
	assert_true(n.start == 0x1ff00 && n.end == 0x20000);
	/* A file that shares memory, and is no ELF file. */
	assert_int_equal(sym_resolve(s, 10, 0x3001f, &n), 0);
	assert_string_equal(n.name.p, "g");
	/* Another process has nothing of it. */
	assert_int_equal(sym_resolve(s, 11, 0x10010, &n), -ENOENT);
	assert_string_equal(n.name.p, "[jit]");
	sym_forget(s, 10);
	add(s, 10, 0x10000, 0x20000, "");
	close(w.map);
	w.map = -1;
	assert_int_equal(sym_resolve(s, 10, 0x10010, &n), -ENOENT);
	assert_string_equal(n.name.p, "[jit]");
	sym_free(s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines),
		cmocka_unit_test(last_line_wins),
		cmocka_unit_test(growing_and_replaced),
		cmocka_unit_test(gigabyte),
		cmocka_unit_test(long_lines),
		cmocka_unit_test(through_sym),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
