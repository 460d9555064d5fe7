/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table in which every Go program keeps its functions' names, files and lines, for its own stack dumps:
 * it stays when a file is stripped. Layouts by the word that it begins with: Go 1.2 to 1.15, 1.16 and 1.17,
 * 1.18 and 1.19, 1.20 and later. Sources: "Go 1.2 Runtime Symbol Information" (Russ Cox, 2013) and
 * runtime/symtab.go, type pcHeader, of the versions.
 */
#ifndef SYM_GOPCLNTAB_H
#define SYM_GOPCLNTAB_H

#include "sym/table.h"

#define GOPCLNTAB_FUNCS_MAX TABLE_SYMS_MAX
#define GO_PTR 8

enum gopclntab_version {
	GO_1_2 = 1,
	GO_1_16,
	GO_1_18,
	GO_1_20,
};

/* Places are offsets from the table's begin, inside its size. */
struct gopclntab {
	u64 off; /* in the file */
	u64 size; /* what may belong to it */
	u64 text; /* what functions' addresses count from */
	u64 nfuncs;
	u64 names; /* texts, each ended by a zero */
	u64 names_size;
	u64 units; /* which files a compilation unit's numbers are; from 1.16 on */
	u64 files;
	u64 tables; /* of values by address */
	u64 funcs; /* an address and a place for each function, one address more, then the functions */
	u8 version; /* enum gopclntab_version */
	u8 quantum; /* bytes that one step of an address is */
};

/* -ENOENT when there is none, or none that is understood. */
int gopclntab_find(struct gopclntab *ret, const struct elf *e);
struct gopclntab_func {
	u64 start;
	u64 end;
	u64 at; /* of what is known of it: its address, then words; from the table's begin */
};

/* Function number i < nfuncs. w: a window on the file. */
bool gopclntab_func(const struct gopclntab *t, struct elf_win *w, u64 i,
		    struct gopclntab_func *ret);
/*
 * The functions that nobody called, in code that the file has: where goroutines, and the runtime's own
 * threads, begin (TOPFRAME in runtime/asm_*.s). fn's not 0 ends it and is returned; -ENOMEM.
 */
typedef int gopclntab_fn(void *arg, u64 start, u64 end);
int gopclntab_outermost(const struct elf *e, gopclntab_fn *fn, void *arg);
/* Its functions, for the table builder; none is no error. */
int build_go(struct table_build *b);

#endif
