/* SPDX-License-Identifier: Apache-2.0 */
/* See lines.h: which of the sources a file has. */
#include "sym/lines.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct lines {
	int fd; /* of the file that says it */
	struct elf elf;
	struct go_lines *go; /* one of these two */
	struct dwarf_lines *dwarf;
};

void lines_free(struct lines *l)
{
	if (!l)
		return;
	dwarf_lines_free(l->dwarf);
	go_lines_free(l->go);
	if (l->fd >= 0)
		close(l->fd);
	free(l);
}

static int open_dwarf(struct lines *l, struct slice path, const struct debug_opener *debug)
{
	int fd, err = dwarf_lines_open(&l->dwarf, l->fd);

	if (err != -ENOENT)
		return err;
	fd = debugfile_open(&l->elf, path, debug);
	if (fd < 0)
		return -ENOENT;
	close(l->fd);
	l->fd = fd;
	return dwarf_lines_open(&l->dwarf, l->fd);
}

int lines_open(struct lines **ret, int fd, struct slice path, const struct debug_opener *debug)
{
	struct lines *l = calloc(1, sizeof(*l));
	struct elf_src src;
	int err;

	if (!l) {
		close(fd);
		return -ENOMEM;
	}
	l->fd = fd;
	err = elf_src_fd(&src, fd);
	if (!err)
		err = elf_open(&l->elf, &src);
	if (!err)
		err = go_lines_open(&l->go, &l->elf);
	if (err == -ENOENT)
		err = open_dwarf(l, path, debug);
	if (err) {
		lines_free(l);
		return err;
	}
	*ret = l;
	return 0;
}

u32 lines_at(struct lines *l, u64 vaddr, struct line_frame ret[LINES_INLINES_MAX])
{
	return l->go ? go_lines_at(l->go, vaddr, ret) : dwarf_lines_at(l->dwarf, vaddr, ret);
}
