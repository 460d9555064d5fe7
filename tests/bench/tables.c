/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `make bench`: what unwind tables of real files cost to make, and to get from the directory.
 *
 * A line a file: its size, FDEs, rows, rules, bytes of the image, milliseconds of CPU time (the median of
 * RUNS runs after one that fills the page cache), and the process's peak of memory for one file alone,
 * which is why each file has a process of its own.
 * Aim: node (a 99 MB file) in at most 200 ms and 3 MB.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "unwind/tablecache.h"

#define RUNS 5
#define AIM_MS 200
#define AIM_MB 3

static const char *const files[] = {
	"/lib/x86_64-linux-gnu/libc.so.6",
	"/usr/bin/python3.[0-9]*[0-9]",
	"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
	"/usr/lib/postgresql/*/bin/postgres",
	"/usr/sbin/nginx",
	"/usr/bin/node",
	"/usr/lib/jvm/*/lib/server/libjvm.so",
	"/usr/lib/x86_64-linux-gnu/libLLVM-1[0-9].so.1",
};

static double cpu_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Milliseconds, or -1. */
static double median(struct unwind_cache *c, const struct elf *e, struct unwind_counts *n,
		     struct uw_image *ret_head, size_t *ret_bytes)
{
	double ms[RUNS + 1];
	int i;

	for (i = 0; i <= RUNS; i++) {
		struct unwind_image img;

		ms[i] = cpu_ms();
		if (unwind_cache_get(c, e, &img, n) < 0)
			return -1;
		ms[i] = cpu_ms() - ms[i];
		*ret_head = *unwind_image_head(&img);
		*ret_bytes = img.n;
		unwind_image_release(&img);
	}
	qsort(ms + 1, RUNS, sizeof(*ms), compare);
	return ms[1 + RUNS / 2];
}

static int bench(const char *path, const char *dir)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct unwind_counts n;
	struct unwind_cache c;
	struct uw_image head;
	struct rusage ru;
	struct elf_src src;
	double ms, cached;
	struct elf e;
	size_t bytes;

	if (fd < 0 || elf_src_fd(&src, fd) < 0 || elf_open(&e, &src) < 0)
		return 1;
	ms = median(NULL, &e, &n, &head, &bytes);
	getrusage(RUSAGE_SELF, &ru);
	if (ms < 0 || unwind_cache_open(&c, dir, UNWIND_CACHE_BYTES) < 0)
		return 1;
	cached = median(&c, &e, &n, &head, &bytes);
	unwind_cache_release(&c);
	printf("%-52.52s%8.1f%8u%9u%9u%7u%8.2f%8.1f%9.2f%9.1f\n", path, (double)src.size / 1e6,
	       n.frames.fdes, n.rows, head.nrows, head.nrules, (double)bytes / 1e6, ms, cached,
	       (double)ru.ru_maxrss / 1e3);
	if (strcmp(path, "/usr/bin/node") == 0)
		printf("aim: node in at most %d ms and %d MB: %s\n", AIM_MS, AIM_MB,
		       ms <= AIM_MS && (double)bytes <= AIM_MB * 1e6 ? "met" : "missed");
	return 0;
}

static void remove_dir(const char *dir)
{
	size_t i;
	glob_t g;

	if (chdir(dir) < 0 || glob("*", 0, NULL, &g) != 0)
		return;
	for (i = 0; i < g.gl_pathc; i++)
		unlink(g.gl_pathv[i]);
	globfree(&g);
	rmdir(dir);
}

int main(void)
{
	char dir[] = "/tmp/hostprof-tables.XXXXXX";
	int bad = 0;
	size_t i, k;

	if (!mkdtemp(dir))
		return 1;
	printf("%-52s%8s%8s%9s%9s%7s%8s%8s%9s%9s\n", "file", "MB", "FDEs", "rows", "kept", "rules",
	       "MB", "ms", "cached", "peak MB");
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		glob_t g;

		if (glob(files[i], 0, NULL, &g) != 0)
			continue;
		for (k = 0; k < g.gl_pathc; k++) {
			pid_t child;
			int status;

			fflush(stdout);
			child = fork();
			if (child == 0)
				exit(bench(g.gl_pathv[k], dir));
			if (child < 0 || waitpid(child, &status, 0) < 0 || status)
				bad = 1;
		}
		globfree(&g);
	}
	remove_dir(dir);
	return bad;
}
