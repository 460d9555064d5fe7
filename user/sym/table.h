/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The names of one file as a sorted array of disjoint address runs, and the builder that makes it
 * from raw symbols and unwind entries. Addresses inside are relative to the file's lowest
 * executable address, so 12 bytes a run are enough. Inside the sym stage only.
 *
 * Which name an address gets, always the same for the same file:
 *  - The innermost symbol whose size covers it (latest start, then shortest).
 *  - A symbol without size covers what the unwind entry with the same start covers, else nothing.
 *  - Of several names for the same range: functions before untyped labels; global and weak before
 *    local; fewest leading underscores; the shortest; global before weak; .symtab before .dynsym
 *    before debug file; the first in byte order. So `write` and not `__write`, `lseek` and not
 *    `lseek64`, and a constructor is C1 and not C2.
 *  - Where no symbol is, the unwind entry.
 */
#ifndef SYM_TABLE_H
#define SYM_TABLE_H

#include "sym/elf.h"
#include "sym/sym.h"

#define TABLE_SYMS_MAX (1u << 20)
#define TABLE_STRS_MAX (64u << 20)
#define TABLE_NAMES_MAX (24u << 20)

struct table_seg {
	u32 start;
	u32 len : 29;
	u32 kind : 3; /* enum sym_quality */
	u32 name; /* offset in names; SYM_FDE: start of the unwind entry, relative */
};

struct table {
	u64 base;
	struct table_seg *segs;
	u32 n;
	char *names;
	u32 names_len;
	bool cut; /* over a bound: some names are missing */
};

void table_release(struct table *t);
size_t table_bytes(const struct table *t);
/*
 * The run that holds vaddr, or NULL. *ret_lo and *ret_hi: that run, or the hole around vaddr (0 and
 * UINT64_MAX where it is open).
 */
const struct table_seg *table_find(const struct table *t, u64 vaddr, u64 *ret_lo, u64 *ret_hi);

struct table_raw {
	u32 start;
	u32 end;
	u32 name; /* offset in strs */
	u32 rank; /* smaller is better; low 3 bits are the kind */
};

struct table_build {
	const struct elf *elf; /* the file that runs: what is executable */
	struct table_raw *raw;
	size_t nraw, cap_raw;
	u64 *fdes; /* start << 32 | length */
	size_t nfdes, cap_fdes;
	char *strs;
	size_t nstrs, cap_strs;
	bool cut;
};

void build_init(struct table_build *b, const struct elf *e);
void build_release(struct table_build *b);
/* .symtab or .dynsym of src, which is b->elf or a file that belongs to it. */
int build_symbols(struct table_build *b, const struct elf *src, bool dyn, enum sym_quality kind);
int build_fdes(struct table_build *b);
int build_plt(struct table_build *b);
/* For the three above. Out of range or over a bound is no error: the entry is dropped. */
int build_add_symbol(struct table_build *b, u64 start, u64 size, u32 name, u32 rank);
int build_add_fde(struct table_build *b, u64 start, u64 size);
/* Room for n bytes and a NUL behind the strings; *ret_off is where they begin. -EFBIG over bound. */
int build_add_strs(struct table_build *b, size_t n, u32 *ret_off);
int build_finish(struct table_build *b, struct table *ret);

#endif
