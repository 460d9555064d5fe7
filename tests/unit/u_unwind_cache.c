/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directory of unwind tables: what is read back is what was made, an entry with any byte changed or
 * missing is made again, and the directory keeps its bound. The files are the machine's own, because a
 * file that a test has just written is too young for an entry.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "unwind/tablecache.h"

static const char ld_so[] = "/lib64/ld-linux-x86-64.so.2";
static const char libm[] = "/lib/x86_64-linux-gnu/libm.so.6";
static const char libc[] = "/lib/x86_64-linux-gnu/libc.so.6";

struct world {
	char dir[64];
	char cache[80];
	struct unwind_cache c;
};

static void remove_entries(const struct world *w)
{
	DIR *d = opendir(w->cache);
	struct dirent *de;

	while (d && (de = readdir(d)))
		if (de->d_name[0] != '.')
			unlinkat(dirfd(d), de->d_name, 0);
	if (d)
		closedir(d);
}

static void world_release(struct world *w)
{
	unwind_cache_release(&w->c);
	remove_entries(w);
	rmdir(w->cache);
	rmdir(w->dir);
}

static void begin(struct world *w, u64 max_bytes)
{
	snprintf(w->dir, sizeof(w->dir), "/tmp/u_unwind_cache.XXXXXX");
	assert_non_null(mkdtemp(w->dir));
	snprintf(w->cache, sizeof(w->cache), "%s/cache", w->dir);
	assert_int_equal(unwind_cache_open(&w->c, w->cache, max_bytes), 0);
}

/* Bytes of the image that the cache gives. */
static size_t get(struct world *w, const char *path)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct unwind_image got, made;
	struct unwind_counts n, n_made;
	struct elf_src src;
	struct elf e;
	size_t bytes;

	assert_int_equal(elf_src_fd(&src, fd), 0);
	assert_int_equal(elf_open(&e, &src), 0);
	assert_int_equal(unwind_cache_get(&w->c, &e, &got, &n), 0);
	assert_int_equal(unwind_image_build(&made, &e, &n_made), 0);
	assert_int_equal(got.n, made.n);
	assert_memory_equal(got.p, made.p, got.n);
	assert_memory_equal(&n, &n_made, sizeof(n));
	bytes = got.n;
	unwind_image_release(&got);
	unwind_image_release(&made);
	return bytes;
}

/* Entries in the directory; *path (may be NULL): one of them. */
static unsigned int entries(const struct world *w, char path[512], u64 *bytes)
{
	DIR *d = opendir(w->cache);
	unsigned int n = 0;
	struct dirent *de;
	struct stat st;

	assert_non_null(d);
	*bytes = 0;
	while ((de = readdir(d))) {
		if (de->d_name[0] == '.')
			continue;
		n++;
		assert_int_equal(fstatat(dirfd(d), de->d_name, &st, AT_SYMLINK_NOFOLLOW), 0);
		*bytes += (u64)st.st_size;
		if (path)
			snprintf(path, 512, "%s/%s", w->cache, de->d_name);
	}
	closedir(d);
	return n;
}

static void what_is_read_is_what_was_made(void **state)
{
	_release_(world) struct world w;
	char path[512];
	struct stat st;
	u64 bytes;

	(void)state;
	begin(&w, UNWIND_CACHE_BYTES);
	get(&w, ld_so);
	assert_int_equal(w.c.misses, 1);
	assert_int_equal(entries(&w, path, &bytes), 1);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(stat(w.cache, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	get(&w, ld_so);
	get(&w, ld_so);
	get(&w, libm);
	get(&w, libm);
	assert_int_equal(w.c.misses, 2);
	assert_int_equal(w.c.hits, 3);
	assert_int_equal(entries(&w, NULL, &bytes), 2);
	/* Another process, or this one later. */
	unwind_cache_release(&w.c);
	assert_int_equal(unwind_cache_open(&w.c, w.cache, UNWIND_CACHE_BYTES), 0);
	get(&w, ld_so);
	assert_int_equal(w.c.hits, 1);
	assert_int_equal(w.c.refused + w.c.unsaved + w.c.evicted, 0);
}

/* Each 97th byte changed, and each length cut: refused, removed, made again, as get() compares. */
static void damaged_entries_are_made_again(void **state)
{
	_release_(buf) struct buf whole = BUF_INIT;
	_release_(world) struct world w;
	u32 refused = 0;
	char path[512];
	u64 bytes;
	size_t i;

	(void)state;
	begin(&w, UNWIND_CACHE_BYTES);
	get(&w, ld_so);
	assert_int_equal(entries(&w, path, &bytes), 1);
	assert_int_equal(file_read(path, &whole, 1 << 20), 0);
	for (i = 0; i < whole.n; i += 97) {
		_close_ int fd = open(path, O_WRONLY | O_CLOEXEC);
		char c = (char)(whole.p[i] ^ 0x55);

		if (i % 2)
			assert_int_equal(pwrite(fd, &c, 1, (off_t)i), 1);
		else
			assert_int_equal(ftruncate(fd, (off_t)i), 0);
		get(&w, ld_so);
		refused++;
		if (w.c.refused != refused)
			fail_msg("byte %zu of %zu was not refused", i, whole.n);
	}
	assert_true(refused > 100);
	assert_int_equal(w.c.hits, 0);
	get(&w, ld_so);
	assert_int_equal(w.c.hits, 1);
}

static void entries_of_others_are_not_used(void **state)
{
	_release_(world) struct world w;
	char path[512], away[600];
	u64 bytes;

	(void)state;
	begin(&w, UNWIND_CACHE_BYTES);
	get(&w, ld_so);
	assert_int_equal(entries(&w, path, &bytes), 1);
	/* Others can write it. */
	assert_int_equal(chmod(path, 0622), 0);
	get(&w, ld_so);
	assert_int_equal(w.c.refused, 1);
	/* A link, even to a good one. */
	snprintf(away, sizeof(away), "%s/away", w.dir);
	assert_int_equal(rename(path, away), 0);
	assert_int_equal(symlink(away, path), 0);
	get(&w, ld_so);
	assert_int_equal(w.c.refused, 2);
	unlink(away);
	/* A pipe would block who opens it. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	get(&w, ld_so);
	assert_int_equal(w.c.refused, 3);
	/* The entry of another file under this one's name. */
	assert_int_equal(rename(path, away), 0);
	get(&w, libm);
	{
		char of_libm[512];

		assert_int_equal(entries(&w, of_libm, &bytes), 1);
		assert_int_equal(rename(of_libm, path), 0);
	}
	get(&w, ld_so);
	assert_int_equal(w.c.refused, 4);
	assert_int_equal(w.c.hits, 0);
	unlink(away);
}

static void directories_of_others_are_not_used(void **state)
{
	_release_(world) struct world w;
	struct unwind_cache c;
	char link[128];

	(void)state;
	begin(&w, UNWIND_CACHE_BYTES);
	assert_int_equal(chmod(w.cache, 0777), 0);
	assert_int_equal(unwind_cache_open(&c, w.cache, 1), -EPERM);
	assert_int_equal(chmod(w.cache, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", w.dir);
	assert_int_equal(symlink(w.cache, link), 0);
	assert_true(unwind_cache_open(&c, link, 1) < 0);
	unlink(link);
	snprintf(link, sizeof(link), "%s/no/such", w.dir);
	assert_int_equal(unwind_cache_open(&c, link, 1), -ENOENT);
	if (geteuid() == 0) {
		assert_int_equal(chown(w.cache, 1, 1), 0);
		assert_int_equal(unwind_cache_open(&c, w.cache, 1), -EPERM);
		assert_int_equal(chown(w.cache, 0, 0), 0);
	}
}

static void the_least_recently_used_goes(void **state)
{
	const struct timespec long_ago[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
	_release_(world) struct world w;
	char path[512], left[600];
	u64 bytes, of_ld, of_m, of_c;

	(void)state;
	begin(&w, UNWIND_CACHE_BYTES);
	get(&w, ld_so);
	entries(&w, path, &of_ld);
	get(&w, libm);
	entries(&w, NULL, &of_m);
	of_m -= of_ld;
	get(&w, libc);
	entries(&w, NULL, &of_c);
	of_c -= of_ld + of_m;
	remove_entries(&w);

	w.c.max_bytes = of_c + of_m;
	get(&w, ld_so);
	assert_int_equal(utimensat(AT_FDCWD, path, long_ago, 0), 0);
	get(&w, libm);
	get(&w, ld_so); /* used: libm is the older one now */
	assert_int_equal(w.c.evicted, 0);
	get(&w, libc);
	assert_int_equal(w.c.evicted, 1);
	assert_int_equal(entries(&w, NULL, &bytes), 2);
	assert_int_equal(bytes, of_ld + of_c);
	assert_int_equal(access(path, F_OK), 0);
	/* One that fits alone only, and one that does not fit at all. */
	w.c.max_bytes = of_m;
	get(&w, libm);
	assert_int_equal(entries(&w, NULL, &bytes), 1);
	assert_int_equal(bytes, of_m);
	get(&w, libc);
	assert_int_equal(w.c.unsaved, 1);
	assert_int_equal(entries(&w, NULL, &bytes), 1);
	/* What a killed process left goes too, what another one is writing stays, and so do strangers. */
	snprintf(left, sizeof(left), "%s/new-1", w.cache);
	close(open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	assert_int_equal(utimensat(AT_FDCWD, left, long_ago, 0), 0);
	snprintf(left, sizeof(left), "%s/new-2", w.cache);
	close(open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	snprintf(left, sizeof(left), "%s/notes.txt", w.cache);
	close(open(left, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
	get(&w, ld_so);
	assert_int_equal(entries(&w, NULL, &bytes), 3);
	assert_int_equal(bytes, of_ld);
}

static void young_files_and_memory_have_no_entry(void **state)
{
	const u8 *vdso = (const u8 *)getauxval(AT_SYSINFO_EHDR);
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)vdso;
	_release_(buf) struct buf file = BUF_INIT;
	struct elf_src src = { .fd = -1, .mem = vdso };
	_release_(world) struct world w;
	struct unwind_image img;
	struct unwind_counts n;
	_close_ int fd = -1;
	struct elf e;
	char copy[128];
	u64 bytes;

	(void)state;
	begin(&w, UNWIND_CACHE_BYTES);
	snprintf(copy, sizeof(copy), "%s/copy", w.dir);
	assert_int_equal(file_read(ld_so, &file, 16 << 20), 0);
	fd = open(copy, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_all(fd, file.p, file.n), 0);
	get(&w, copy);
	unlink(copy);
	src.size = eh->e_shoff + (u64)eh->e_shnum * eh->e_shentsize;
	assert_int_equal(elf_open(&e, &src), 0);
	assert_int_equal(unwind_cache_get(&w.c, &e, &img, &n), 0);
	unwind_image_release(&img);
	assert_int_equal(unwind_cache_get(NULL, &e, &img, &n), 0);
	unwind_image_release(&img);
	assert_int_equal(entries(&w, NULL, &bytes), 0);
	assert_int_equal(w.c.misses, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_read_is_what_was_made),
		cmocka_unit_test(damaged_entries_are_made_again),
		cmocka_unit_test(entries_of_others_are_not_used),
		cmocka_unit_test(directories_of_others_are_not_used),
		cmocka_unit_test(the_least_recently_used_goes),
		cmocka_unit_test(young_files_and_memory_have_no_entry),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
