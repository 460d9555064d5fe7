/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files as hostile input: headers, segments and the few sections that naming needs, read with
 * pread() into bounded buffers. Nothing is mapped, so a file that shrinks while it is read gives
 * -ENODATA and no SIGBUS; no size from the file is allocated before the file was seen to be that
 * long. Inside the sym stage only.
 */
#ifndef SYM_ELF_H
#define SYM_ELF_H

#include <elf.h>
#include "base/slice.h"
#include "base/types.h"

#define ELF_LOADS_MAX 32
#define ELF_WINDOW (64 * 1024)
#define ELF_SYMBOLS_MAX (1U << 20) /* of a table that elf_symbols_each() goes through */
#define ELF_NAMES_MAX (64U << 20) /* bytes */

/* Where the bytes are: a descriptor, or memory when fd is -1. Owns neither. */
struct elf_src {
	int fd;
	const u8 *mem;
	u64 size;
};

int elf_src_fd(struct elf_src *ret, int fd); /* -EINVAL unless a regular file */
/* All n bytes at off, or -ENODATA when the file ends before, or -errno. */
int elf_read(const struct elf_src *s, u64 off, void *buf, size_t n);

/* Sequential access in steps smaller than a window. */
struct elf_win {
	const struct elf_src *src;
	u8 *buf;
	u64 off;
	size_t n;
};

int elf_win_init(struct elf_win *w, const struct elf_src *src);
void elf_win_release(struct elf_win *w);
/* n <= ELF_WINDOW bytes at off, valid until the next call; NULL when they are not there. */
const u8 *elf_win_at(struct elf_win *w, u64 off, size_t n);

struct elf_load {
	u64 off;
	u64 vaddr;
	u64 filesz;
	u64 memsz;
	bool exec;
};

enum elf_packing {
	ELF_PLAIN = 0,
	ELF_PACKED, /* SHF_COMPRESSED: a header with the method, then the data */
	ELF_ZDEBUG, /* .zdebug_*, before there was that flag: "ZLIB", size in 8 bytes, big end first */
};

/* size 0 = absent. off and size lie inside the file. */
struct elf_sect {
	u64 addr;
	u64 off;
	u64 size; /* as it is in the file */
	u64 entsize;
	u8 packing; /* enum elf_packing; only .debug_frame is taken when it is not plain */
};

struct elf {
	struct elf_src src;
	u16 machine;
	u16 nloads;
	struct elf_load loads[ELF_LOADS_MAX];
	u64 exec_lo; /* executable segments lie in [exec_lo, exec_hi) */
	u64 exec_hi;
	u64 eh_frame_hdr; /* vaddr, 0 = none */
	u64 entry;
	u8 build_id[20];
	u8 build_id_len;
	struct elf_sect symtab, strtab;
	struct elf_sect dynsym, dynstr;
	struct elf_sect eh_frame, debug_frame;
	struct elf_sect plt, plt_sec, plt_got;
	struct elf_sect rela_plt, rela_dyn;
	struct elf_sect debugdata, debuglink;
	struct elf_sect text, gopclntab;
	bool sections; /* the file has a list of sections */
};

/*
 * -ENOEXEC no ELF program or library, -ENOTSUP 32-bit or big-endian, -EINVAL damaged headers,
 * -ENODATA shorter than its headers say. Damaged section headers are no error: they are left out.
 */
int elf_open(struct elf *e, const struct elf_src *src);
/* -ENOENT when no segment holds it. *ret_load (may be NULL): the segment. */
int elf_off_to_vaddr(const struct elf *e, u64 off, u64 *ret_vaddr,
		     const struct elf_load **ret_load);
/* *ret_left: bytes of the segment from there on. */
int elf_vaddr_to_off(const struct elf *e, u64 vaddr, u64 *ret_off, u64 *ret_left);
bool elf_in_exec(const struct elf *e, u64 vaddr);
/* Appends a whole section; -EFBIG over max. The caller frees *ret. */
int elf_read_sect(const struct elf *e, const struct elf_sect *s, size_t max, u8 **ret);
/*
 * Gives fn every symbol of .dynsym (dyn) or .symtab, imported ones too; the name is valid during the call.
 * 0, -ENOMEM. What is damaged or over a bound is left out, and is no error: names over ELF_NAMES_MAX
 * leave out the whole table.
 */
typedef void elf_symbol_fn(void *arg, const char *name, const Elf64_Sym *s);
int elf_symbols_each(const struct elf *e, bool dyn, elf_symbol_fn *fn, void *arg);
/*
 * A section that is not plain, unpacked; the caller frees *ret. -EFBIG over max, or more than zlib can make
 * of so few bytes; -ENOTSUP packed in another way than zlib's; -EINVAL damaged.
 */
int elf_unpack_sect(const struct elf *e, const struct elf_sect *s, size_t max, u8 **ret,
		    size_t *ret_size);

#endif
