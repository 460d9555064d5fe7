/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as Go's table of functions, in a program that has nothing else: found by its section and by its
 * first word, its functions read into a table of names, and every address asked for file and line. The
 * corpus is what tests/unit/go_table.h writes for each version.
 */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "../unit/go_table.h"
#include "base/file.h"
#include "sym/lines.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (!(x))                                                                          \
			abort();                                                                   \
	} while (0)

static void check(struct go_file *f, int flags)
{
	struct elf_src src = { .fd = -1, .mem = f->bytes };
	struct debug_opener none = { 0 };
	struct line_frame frames[LINES_INLINES_MAX];
	struct lines *l;
	struct image img;
	u64 at, lo, hi;
	int fd;

	go_elf(f, flags);
	src.size = f->n;
	if (image_load(&img, &src, SLICE("/x"), &none) == 0) {
		for (at = GO_TEXT; at < GO_TEXT + 0x200; at++) {
			const struct table_seg *s = table_find(&img.table, at, &lo, &hi);

			MUST(lo <= at && at < hi);
			MUST(!s ||
			     memchr(img.table.names + s->name, 0, img.table.names_len - s->name));
		}
		image_release(&img);
	}
	fd = memfd_create("go", MFD_CLOEXEC);
	MUST(fd >= 0 && !fd_write_all(fd, f->bytes, f->n));
	if (lines_open(&l, fd, SLICE("/x"), &none))
		return;
	for (at = GO_TEXT; at < GO_TEXT + 0x200; at++)
		MUST(lines_at(l, at, frames) <= LINES_INLINES_MAX);
	lines_free(l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct go_file *f = calloc(1, sizeof(*f));

	MUST(f);
	f->table = 0x2040;
	f->table_size = MIN(n, (size_t)0xfc0);
	if (f->table_size)
		memcpy(f->bytes + f->table, data, f->table_size);
	check(f, GO_SECTIONS);
	check(f, GO_SECTIONS | GO_RELOCATED);
	memset(f->bytes + 0x3000, 0, 0x400);
	memset(f->bytes, 0, 64);
	check(f, 0);
	free(f);
	return 0;
}
