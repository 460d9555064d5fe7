/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `make bench`: what names cost. 100,000 distinct addresses, evenly over the code of files that are profiled
 * often, each loaded when its first address is asked for; then lines and inlined functions of as many
 * addresses of this program, which has debug information.
 * Aim: names of 100,000 addresses in less than 1 s.
 */
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/types.h"
#include "hp/events.h"
#include "sym/elf.h"
#include "sym/sym.h"

#define ADDRESSES 100000
#define AIM_MS 1000
#define SPACING (1ull << 32)

static const char *const files[] = {
	"/lib/x86_64-linux-gnu/libc.so.6",
	"/usr/bin/python3.[0-9]*[0-9]",
	"/usr/lib/x86_64-linux-gnu/libcrypto.so.3",
	"/usr/lib/postgresql/*/bin/postgres",
	"/usr/bin/node",
	"/usr/lib/go-1.*/bin/go",
};

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int open_mapping(void *arg, u32 tgid, const struct sym_mapping *m)
{
	int fd = open(m->path.p, O_RDONLY | O_CLOEXEC);

	(void)arg;
	(void)tgid;
	return fd < 0 ? -errno : fd;
}

static int open_nothing(void *arg)
{
	(void)arg;
	return -ENOENT;
}

static const struct sym_ops ops = { .open_mapping = open_mapping, .open_kallsyms = open_nothing };

struct range {
	u64 start;
	u64 end;
};

/* Maps the first executable segment of a file as process 1 has it. */
static int add_file(struct sym *s, const char *path, u64 base, struct range *ret)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_src src;
	struct elf e;
	u16 i;

	if (fd < 0 || elf_src_fd(&src, fd) || elf_open(&e, &src))
		return -ENOENT;
	for (i = 0; i < e.nloads; i++) {
		struct ev_mapping m = {
			.hdr = { .tgid = 1 },
			.start = base,
			.end = base + ((e.loads[i].filesz + 4095) & ~4095ull),
			.file_off = e.loads[i].off & ~4095ull,
		};

		if (!e.loads[i].exec)
			continue;
		*ret = (struct range){ base + e.loads[i].off % 4096, base + e.loads[i].filesz };
		return sym_add_mapping(s, &m, slice_str(path));
	}
	return -ENOENT;
}

static u32 add_files(struct sym *s, struct range v[])
{
	u32 i, n = 0;
	glob_t g;

	for (i = 0; i < ARRAY_SIZE(files); i++) {
		if (glob(files[i], 0, NULL, &g))
			continue;
		if (g.gl_pathc && !add_file(s, g.gl_pathv[0], (n + 1) * SPACING, &v[n]))
			n++;
		globfree(&g);
	}
	return n;
}

static int bench_names(void)
{
	struct range v[ARRAY_SIZE(files)];
	struct sym_stats st;
	struct sym_name name;
	struct sym *s;
	u32 i, n, named = 0;
	double ms;

	if (sym_new(&s, &ops, NULL))
		return 1;
	n = add_files(s, v);
	if (!n)
		return 1;
	ms = now_ms();
	for (i = 0; i < ADDRESSES; i++) {
		const struct range *r = &v[i % n];
		u64 step = (r->end - r->start) / (ADDRESSES / n + 1);

		named += sym_resolve(s, 1, r->start + i / n * step, &name) == 0;
	}
	ms = now_ms() - ms;
	sym_get_stats(s, &st);
	printf("names: %u addresses of %u files, %u named: %.0f ms, %.1f MB held (aim: %d ms)%s\n",
	       ADDRESSES, n, named, ms, (double)st.bytes / 1e6, AIM_MS,
	       ms < AIM_MS ? "" : " MISSED");
	sym_free(s);
	return ms >= AIM_MS;
}

static int bench_lines(void)
{
	struct sym_line lines[SYM_LINES_MAX];
	struct range r;
	struct sym *s;
	char self[4096];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	u32 i, n, known = 0, frames = 0;
	double ms;

	if (len < 0 || sym_new(&s, &ops, NULL))
		return 1;
	self[len] = 0;
	if (add_file(s, self, SPACING, &r))
		return 1;
	ms = now_ms();
	for (i = 0; i < ADDRESSES; i++) {
		n = sym_lines(s, 1, r.start + (r.end - r.start) * i / ADDRESSES, lines);
		known += n > 0;
		frames += n;
	}
	ms = now_ms() - ms;
	printf("lines: %u addresses of one file, %u known, %u frames: %.0f ms\n", ADDRESSES, known,
	       frames, ms);
	sym_free(s);
	return 0;
}

int main(void)
{
	return bench_names() | bench_lines();
}
