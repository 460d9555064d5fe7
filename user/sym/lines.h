/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files and lines of addresses, and the functions that were inlined there. One struct lines is what one
 * mapped file knows: by DWARF, in the file itself or in its separate debug file, or by Go's own table.
 * Everything is read when it is asked for, inside bounds of bytes and steps; past them there is no
 * answer. Inside the sym stage only.
 */
#ifndef SYM_LINES_H
#define SYM_LINES_H

#include "sym/image.h"

#define LINES_INLINES_MAX                                                                          \
	32 /* functions of one address; those in the middle of more are left out */
#define LINES_DEBUG_MAX (256ull << 20) /* bytes of debug sections of one file, unpacked */

struct line_frame {
	const char *name; /* as linkers know it; NULL: the function that the symbol names */
	const char *file; /* NULL = not known */
	u32 line; /* 0 = not known */
};

struct lines;

/*
 * Takes fd, the file that was mapped from path. -ENOENT when it says nothing of lines; -EFBIG when it is
 * over a bound.
 */
int lines_open(struct lines **ret, int fd, struct slice path, const struct debug_opener *debug);
void lines_free(struct lines *l);
/*
 * How many frames there are at vaddr, 0 = nothing is known; innermost first, the last one is the
 * function itself. Texts are valid until the next call.
 */
u32 lines_at(struct lines *l, u64 vaddr, struct line_frame ret[LINES_INLINES_MAX]);

struct go_lines;
/* The same of Go's table alone; e's file must stay open. */
int go_lines_open(struct go_lines **ret, const struct elf *e);
void go_lines_free(struct go_lines *g);
u32 go_lines_at(struct go_lines *g, u64 vaddr, struct line_frame ret[LINES_INLINES_MAX]);

struct dwarf_lines;
/* The same of DWARF alone; fd is not taken and must stay open. */
int dwarf_lines_open(struct dwarf_lines **ret, int fd);
void dwarf_lines_free(struct dwarf_lines *d);
u32 dwarf_lines_at(struct dwarf_lines *d, u64 vaddr, struct line_frame ret[LINES_INLINES_MAX]);

#endif
