/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for addresses. Runs in the analyst, beside the session stage: samples bring addresses,
 * mapping records say what lies there, names go into struct ev_symbol records.
 *
 * Input: (tgid, address), executable mappings, and descriptors of the mapped files that the caller
 * opens (this side has no rights of its own and opens no path). Output: a name and the range of
 * addresses that carry it. Ranges of one process never overlap with different names, so one record
 * names every address of a function: keep the answer and ask again only outside [start, end).
 *
 * A name is never a guess: a symbol names only the bytes that its size covers; a function without
 * a symbol is `module@0xSTART` by its unwind entry, the same in every run of that binary.
 */
#ifndef SYM_SYM_H
#define SYM_SYM_H

#include "base/slice.h"
#include "base/types.h"

#define SYM_NAME_MAX 1024 /* bytes of a name; longer ones end in "..." */
#define SYM_MODULE_MAX 128

struct sym;
struct ev_mapping;

struct sym_mapping {
	u64 start;
	u64 end;
	u64 file_off;
	u32 inode;
	u8 build_id_len;
	u8 build_id[20];
	struct slice path; /* as /proc/PID/maps has it; NUL-terminated */
};

/* Every callback returns a descriptor that sym closes, or -errno. They may block. */
struct sym_ops {
	/* The file behind the mapping; for "[vdso]" a regular file (memfd) with its image. */
	int (*open_mapping)(void *arg, u32 tgid, const struct sym_mapping *m);
	int (*open_kallsyms)(void *arg);
	/*
	 * A separate debug file. path is absolute, begins with /usr/lib/debug/ and has no ".."
	 * part; whether it is looked up in the host's or the process's root is the caller's choice.
	 * NULL: none are looked for.
	 */
	int (*open_debug)(void *arg, u32 tgid, const char *path);
	/* What the process wrote of its generated code: see perfmap.h. NULL: none are looked for. */
	int (*open_perf_map)(void *arg, u32 tgid);
};

enum sym_quality {
	SYM_SYMTAB = 1, /* .symtab, kallsyms */
	SYM_DYNSYM, /* .dynsym, PLT entries */
	SYM_DEBUGFILE, /* separate debug file or .gnu_debugdata */
	SYM_FDE, /* module@0xSTART */
	SYM_MODULE, /* only the mapping is known: "[libfoo.so]", "[jit]", "[vdso]" */
	SYM_NONE, /* no mapping there: "[unknown]", "[kernel]" */
	SYM_RUNTIME, /* what a runtime says of its own code: Go's table, or a perf map, module "[jit]" */
};

/* The slices are valid until the next call on the same struct sym. */
struct sym_name {
	struct slice name; /* demangled, printable, at most SYM_NAME_MAX */
	/* base name of the file; "[anon]", "[jit]", "[vdso]", "[kernel]", "[ext4]" */
	struct slice module;
	u64 start; /* runtime addresses, start <= addr < end */
	u64 end;
	enum sym_quality quality;
};

struct sym_stats {
	u64 files_loaded;
	u64 files_failed; /* could not be opened, or were no ELF file */
	u64 files_evicted; /* pushed out of the cache, loaded again when asked */
	u64 files_cut; /* had more symbols than one file may hold */
	u64 mappings_refused; /* over a bound */
	u64 processes_evicted;
	u64 perf_maps_cut; /* had more code than is kept of one */
	u64 bytes; /* held by loaded files, perf maps and kallsyms now */
	u32 files; /* loaded now */
};

/* ops must outlive the result. */
int sym_new(struct sym **ret, const struct sym_ops *ops, void *arg);
void sym_free(struct sym *s);

/*
 * An executable mapping of m->hdr.tgid. It replaces what it overlaps. -ENOSPC over a bound,
 * -EINVAL when start >= end.
 */
int sym_add_mapping(struct sym *s, const struct ev_mapping *m, struct slice path);
/* Forgets the mappings of a process that ended or called exec. */
void sym_forget(struct sym *s, u32 tgid);

#define SYM_LINES_MAX 32 /* frames of one address */

/* What the source says of an address; slices are valid until the next call on the same struct sym. */
struct sym_line {
	struct slice name; /* as in struct sym_name; empty: the function that sym_resolve() names */
	struct slice file; /* printable; empty = not known */
	u32 line; /* 0 = not known */
};

/*
 * The functions inlined at addr, innermost first, and at last the function itself, with files and lines.
 * 0 = nothing is known: no debug information, or over a bound.
 */
u32 sym_lines(struct sym *s, u32 tgid, u64 addr, struct sym_line ret[SYM_LINES_MAX]);

/* Perf maps are read on when they are next needed: call it before a number of questions. */
void sym_refresh(struct sym *s);

/*
 * tgid 0 = kernel. *ret is filled whatever is returned; a negative errno says why the name is not
 * better: -EPERM kernel addresses are hidden (kptr_restrict), -ENOENT no mapping or no symbol,
 * -ENOTSUP 32-bit or big-endian ELF, -ENOEXEC not an ELF file, or what the callback returned.
 */
int sym_resolve(struct sym *s, u32 tgid, u64 addr, struct sym_name *ret);

void sym_get_stats(const struct sym *s, struct sym_stats *ret);

#endif
