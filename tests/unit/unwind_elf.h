/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ELF files of the tests' own making: executable bytes at ELF_TEXT, call frame information behind
 * PT_GNU_EH_FRAME or in a .debug_frame section, record by record. Everything in memory, so damage is an
 * assignment.
 */
#ifndef TESTS_UNWIND_ELF_H
#define TESTS_UNWIND_ELF_H

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "unwind/tableimage.h"

#define ELF_TEXT 0x401000ull
#define ELF_FRAMES 0x800000ull /* vaddr of the header of the frames; they follow 12 bytes later */

struct maker {
	struct buf text;
	struct buf frames;
	struct buf file;
	u64 entry;
	u8 enc; /* of addresses in FDEs made from now on, which their CIE must say too */
	bool debug; /* frames are .debug_frame */
	u8 packing; /* enum elf_packing of that */
	u64 claim; /* size that its header says, 0 = the right one */
	bool wide; /* records have 64-bit lengths */
};

static inline void maker_release(struct maker *m)
{
	buf_release(&m->text);
	buf_release(&m->frames);
	buf_release(&m->file);
}

static inline void put_int(struct buf *b, u64 v, size_t n)
{
	buf_add(b, &v, n);
}

/* Begins a record: returns where its length goes. */
static inline size_t record_begin(struct maker *m)
{
	size_t at = m->frames.n;

	if (m->wide)
		put_int(&m->frames, 0xffffffff, 4);
	put_int(&m->frames, 0, m->wide ? 8 : 4);
	return at;
}

static inline void record_end(struct maker *m, size_t at)
{
	u64 head = m->wide ? 12 : 4, n = m->frames.n - at - head;

	memcpy(m->frames.p + at + (m->wide ? 4 : 0), &n, m->wide ? 8 : 4);
}

/* aug: as in the file, such as "zR"; data: what the augmentation says. Returns its position. */
static inline size_t put_cie(struct maker *m, const char *aug, const void *data, size_t data_n,
			     const void *prog, size_t prog_n)
{
	size_t at = record_begin(m);

	put_int(&m->frames, m->debug ? UINT64_MAX : 0, m->debug && m->wide ? 8 : 4);
	put_int(&m->frames, 1, 1); /* version */
	buf_add(&m->frames, aug, strlen(aug) + 1);
	put_int(&m->frames, 1, 1); /* code alignment */
	put_int(&m->frames, 0x78, 1); /* data alignment -8 */
	put_int(&m->frames, 16, 1); /* return address */
	if (*aug == 'z') {
		put_int(&m->frames, data_n, 1);
		buf_add(&m->frames, data, data_n);
	}
	buf_add(&m->frames, prog, prog_n);
	record_end(m, at);
	return at;
}

/* The one that every compiler writes: CFA rsp + 8, return address under it. */
static inline size_t put_plain_cie(struct maker *m)
{
	static const u8 prog[] = { 0x0c, 7, 8, 0x90, 1 };

	return put_cie(m, m->debug ? "" : "zR", &m->enc, 1, prog, sizeof(prog));
}

static inline void put_address(struct maker *m, u64 vaddr)
{
	u64 here = ELF_FRAMES + 12 + m->frames.n;

	switch (m->debug ? EH_ABSPTR : m->enc) {
	case EH_PCREL | EH_SDATA4:
		put_int(&m->frames, vaddr - here, 4);
		break;
	case EH_PCREL | EH_SDATA8:
		put_int(&m->frames, vaddr - here, 8);
		break;
	case EH_UDATA4:
	case EH_SDATA4:
	case EH_TEXTREL | EH_UDATA4:
		put_int(&m->frames, vaddr, 4);
		break;
	case EH_ALIGNED:
		while ((ELF_FRAMES + 12 + m->frames.n) % 8)
			put_int(&m->frames, 0, 1);
		put_int(&m->frames, vaddr, 8);
		break;
	case EH_ULEB:
		for (; vaddr >= 0x80; vaddr >>= 7)
			put_int(&m->frames, (vaddr & 0x7f) | 0x80, 1);
		put_int(&m->frames, vaddr, 1);
		break;
	default:
		put_int(&m->frames, vaddr, 8);
	}
}

static inline void put_size(struct maker *m, u64 size)
{
	u8 format = m->debug ? EH_ABSPTR : m->enc & EH_FORMAT & ~8;

	if (format == EH_ULEB) {
		for (; size >= 0x80; size >>= 7)
			put_int(&m->frames, (size & 0x7f) | 0x80, 1);
		put_int(&m->frames, size, 1);
	} else {
		put_int(&m->frames, size, format == EH_UDATA4 ? 4 : format == EH_UDATA2 ? 2 : 8);
	}
}

/* start: offset in the text. sized: the CIE's augmentation begins with 'z'. */
static inline size_t put_fde(struct maker *m, size_t cie, u64 start, u64 size, const void *prog,
			     size_t prog_n)
{
	size_t at = record_begin(m);

	if (m->debug)
		put_int(&m->frames, cie, m->wide ? 8 : 4);
	else
		put_int(&m->frames, m->frames.n - cie, 4);
	put_address(m, ELF_TEXT + start);
	put_size(m, size);
	if (!m->debug)
		put_int(&m->frames, 0, 1);
	buf_add(&m->frames, prog, prog_n);
	record_end(m, at);
	return at;
}

static inline void put_frames(struct maker *m)
{
	u64 size = m->claim ? m->claim : m->frames.n, be = __builtin_bswap64(size);
	const Elf64_Chdr head = { .ch_type = ELFCOMPRESS_ZLIB, .ch_size = size, .ch_addralign = 1 };
	uLongf n = compressBound(m->frames.n);
	_free_ u8 *out = m->packing ? malloc(n) : NULL;

	if (!out) {
		buf_add_slice(&m->file, buf_slice(&m->frames));
		return;
	}
	assert_int_equal(compress(out, &n, (const u8 *)m->frames.p, m->frames.n), Z_OK);
	if (m->packing == ELF_PACKED) {
		buf_add(&m->file, &head, sizeof(head));
	} else {
		buf_adds(&m->file, "ZLIB");
		buf_add(&m->file, &be, sizeof(be));
	}
	buf_add(&m->file, out, n);
}

static inline void put_sections(struct maker *m, u64 frames_off, Elf64_Ehdr *eh)
{
	static const char plain[] = "\0.debug_frame\0\0.shstrtab";
	static const char old[] = "\0.zdebug_frame\0.shstrtab";
	const char *names = m->packing == ELF_ZDEBUG ? old : plain;
	u64 names_off = m->file.n, off;
	Elf64_Shdr sh[3] = {
		{ 0 },
		{ .sh_name = 1,
		  .sh_type = SHT_PROGBITS,
		  .sh_flags = m->packing == ELF_PACKED ? SHF_COMPRESSED : 0,
		  .sh_offset = frames_off,
		  .sh_size = names_off - frames_off },
		{ .sh_name = 15,
		  .sh_type = SHT_STRTAB,
		  .sh_offset = names_off,
		  .sh_size = sizeof(plain) },
	};

	buf_add(&m->file, names, sizeof(plain));
	while (m->file.n % 8)
		buf_addch(&m->file, 0);
	off = m->file.n;
	buf_add(&m->file, sh, sizeof(sh));
	eh->e_shoff = off;
	eh->e_shnum = 3;
	eh->e_shstrndx = 2;
	eh->e_shentsize = sizeof(sh[0]);
}

/* The file, opened. Valid until the maker changes or is released. 0 or what elf_open() says. */
static inline int maker_open(struct maker *m, struct elf *ret)
{
	u64 text_off = 0x1000, frames_off = (text_off + m->text.n + 7) & ~7ull;
	Elf64_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = EV_CURRENT,
		.e_entry = m->entry,
		.e_phoff = sizeof(eh),
		.e_phnum = 3,
		.e_phentsize = sizeof(Elf64_Phdr),
	};
	Elf64_Phdr ph[3] = {
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_X,
		  .p_offset = text_off,
		  .p_vaddr = ELF_TEXT,
		  .p_filesz = m->text.n,
		  .p_memsz = m->text.n },
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R,
		  .p_offset = frames_off,
		  .p_vaddr = ELF_FRAMES,
		  .p_filesz = m->frames.n + 12,
		  .p_memsz = m->frames.n + 12 },
		{ .p_type = m->debug ? PT_NULL : PT_GNU_EH_FRAME, .p_vaddr = ELF_FRAMES },
	};
	struct elf_src src = { .fd = -1 };

	buf_clear(&m->file);
	buf_add(&m->file, &eh, sizeof(eh));
	buf_add(&m->file, ph, sizeof(ph));
	while (m->file.n < text_off)
		buf_addch(&m->file, 0);
	buf_add_slice(&m->file, buf_slice(&m->text));
	while (m->file.n < frames_off)
		buf_addch(&m->file, 0);
	/* Version 1, address of the frames as 8 absolute bytes, no search table. */
	put_int(&m->file, 1 | EH_UDATA8 << 8 | 0xffffu << 16, 4);
	put_int(&m->file, ELF_FRAMES + 12, 8);
	put_frames(m);
	if (m->debug) {
		put_sections(m, frames_off + 12, &eh);
		memcpy(m->file.p, &eh, sizeof(eh));
	}
	src.mem = (const u8 *)m->file.p;
	src.size = m->file.n;
	return elf_open(ret, &src);
}

#endif
