/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a mapped file: loaded with a debug file that is the same bytes, then every run of the
 * table is checked and every name demangled. The corpus is made by tests/fuzz/gen_elf.py.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "sym/demangle.h"
#include "sym/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

struct input {
	const uint8_t *data;
	size_t n;
};

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static int open_same(void *arg, const char *path)
{
	const struct input *in = arg;
	int fd;

	MUST(!strncmp(path, "/usr/lib/debug/", 15) && !strstr(path, "/../"));
	fd = memfd_create("debug", MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	MUST(fd_write_all(fd, in->data, in->n) == 0);
	return fd;
}

static void check_table(const struct image *img)
{
	const struct table *t = &img->table;
	char name[SYM_NAME_MAX + 1];
	u64 end = 0, lo, hi;
	u32 i;

	for (i = 0; i < t->n; i++) {
		const struct table_seg *s = &t->segs[i];

		MUST(s->len && s->start >= end);
		end = (u64)s->start + s->len;
		MUST(end <= UINT32_MAX);
		MUST(table_find(t, t->base + s->start, &lo, &hi) == s);
		MUST(table_find(t, t->base + end - 1, &lo, &hi) == s);
		MUST(lo == t->base + s->start && hi == t->base + end);
		MUST((s->kind >= SYM_SYMTAB && s->kind <= SYM_FDE) || s->kind == SYM_RUNTIME);
		if (s->kind == SYM_FDE)
			continue;
		MUST(s->name < t->names_len);
		MUST(memchr(t->names + s->name, 0, t->names_len - s->name));
		MUST(demangle(t->names + s->name, name, sizeof(name)) < sizeof(name));
		MUST(demangle(t->names + s->name, name, 17) < 17);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct input in = { data, n };
	struct debug_opener debug = { open_same, &in };
	struct elf_src src = { .fd = -1, .mem = data, .size = n };
	struct image img;

	if (image_load(&img, &src, SLICE("/usr/bin/x"), &debug) < 0)
		return 0;
	check_table(&img);
	image_release(&img);
	return 0;
}
