/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See image.h. Puts the sources of names together: symbol tables of the file, of its debug file or
 * of its packed debug data, Go's own table, PLT, unwind entries. A source that fails is left out and the others
 * still count; only lack of memory ends it.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "sym/gopclntab.h"
#include "sym/image.h"

/* A damaged source is no reason to lose the others. */
static int best_effort(struct table_build *b, int r)
{
	if (r < 0 && r != -ENOMEM) {
		b->cut = true;
		return 0;
	}
	return r;
}

static int add_foreign(struct table_build *b, const struct elf_src *src)
{
	struct elf e;
	int r;

	r = elf_open(&e, src);
	if (r < 0)
		return r;
	if (e.machine != b->elf->machine)
		return -ENOEXEC;
	return build_symbols(b, &e, false, SYM_DEBUGFILE);
}

static int add_debug(struct table_build *b, struct slice path, const struct debug_opener *debug)
{
	_close_ int fd = -1;
	_free_ u8 *unpacked = NULL;
	struct elf_src src;
	size_t size;
	int r;

	fd = debugfile_open(b->elf, path, debug);
	if (fd >= 0) {
		r = elf_src_fd(&src, fd);
		return r < 0 ? r : add_foreign(b, &src);
	}
	r = debugdata_unpack(b->elf, &unpacked, &size);
	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return r;
	src = (struct elf_src){ .fd = -1, .mem = unpacked, .size = size };
	return add_foreign(b, &src);
}

int image_load(struct image *ret, const struct elf_src *src, struct slice path,
	       const struct debug_opener *debug)
{
	struct image img = { 0 };
	struct table_build b;
	int r;

	r = elf_open(&img.elf, src);
	if (r < 0)
		return r;
	build_init(&b, &img.elf);
	r = best_effort(&b, build_fdes(&b));
	if (r == 0)
		r = best_effort(&b, build_symbols(&b, &img.elf, false, SYM_SYMTAB));
	if (r == 0)
		r = best_effort(&b, build_symbols(&b, &img.elf, true, SYM_DYNSYM));
	if (r == 0 && !img.elf.symtab.size)
		r = best_effort(&b, add_debug(&b, path, debug));
	if (r == 0 && !img.elf.symtab.size)
		r = best_effort(&b, build_go(&b));
	if (r == 0)
		r = best_effort(&b, build_plt(&b));
	if (r == 0)
		r = build_finish(&b, &img.table);
	build_release(&b);
	if (r < 0)
		return r;
	img.elf.src = (struct elf_src){ .fd = -1 };
	*ret = img;
	return 0;
}

void image_release(struct image *img)
{
	table_release(&img->table);
}

size_t image_bytes(const struct image *img)
{
	return sizeof(*img) + table_bytes(&img->table);
}
