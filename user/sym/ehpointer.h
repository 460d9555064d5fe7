/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every reader of call frame information needs: encoded pointers, LEB128 numbers, the head of a
 * CIE, and where a file keeps its frames. Shared by the naming of holes (fde.c) and the unwind tables
 * (user/unwind/). All bytes are hostile: nothing here reads past `end`.
 *
 * Sources: DWARF 5 §6.4.1 and §7.6; LSB 5 "DWARF exception header encoding" and "Exception frames".
 */
#ifndef SYM_EHPOINTER_H
#define SYM_EHPOINTER_H

#include "sym/elf.h"

#define EH_FRAMES_MAX (256ull << 20) /* bytes of frames that are read of a file */

enum eh_encoding {
	EH_FORMAT = 0x0f,
	EH_ABSPTR = 0x00,
	EH_ULEB = 0x01,
	EH_UDATA2 = 0x02,
	EH_UDATA4 = 0x03,
	EH_UDATA8 = 0x04,
	EH_SLEB = 0x09,
	EH_SDATA2 = 0x0a,
	EH_SDATA4 = 0x0b,
	EH_SDATA8 = 0x0c,
	EH_APPLY = 0x70,
	EH_PCREL = 0x10,
	EH_TEXTREL = 0x20,
	EH_DATAREL = 0x30,
	EH_FUNCREL = 0x40,
	EH_ALIGNED = 0x50,
	EH_INDIRECT = 0x80,
	EH_OMIT = 0xff,
};

/* All move *p only when they return true. */
bool eh_uleb(const u8 **p, const u8 *end, u64 *ret);
bool eh_sleb(const u8 **p, const u8 *end, s64 *ret);

/*
 * A pointer in encoding enc; vaddr is the address of *p in the file's own addresses. False when it
 * does not end before end, or cannot be known from the file: indirect, or relative to a base other
 * than its own place. Relocatable text has base 0 in a linked file, so EH_TEXTREL is an absolute one.
 */
bool eh_pointer(const u8 **p, const u8 *end, u8 enc, u64 vaddr, u64 *ret);
/* A length in the format of enc: never relative, never signed. */
bool eh_length(const u8 **p, const u8 *end, u8 enc, u64 *ret);

struct eh_cie {
	u64 code_align;
	s64 data_align;
	u64 ra; /* DWARF number of the return address' column */
	u8 enc; /* of the addresses in its FDEs */
	bool sized; /* 'z': FDEs have augmentation data with a length before their program */
	bool signal; /* 'S': the frame of a signal handler's return */
	const u8 *program; /* the rest of the CIE; NULL when the augmentation does not end in it */
};

/*
 * p: after the CIE's id, up to end, which may be short of the CIE's end: then only program is wrong.
 * False when the version is not 1, 3 or 4 or the augmentation is not understood.
 */
bool eh_cie_parse(struct eh_cie *ret, const u8 *p, const u8 *end);

/* Where call frame information lies. off and size are inside the file. */
struct eh_frames {
	u64 vaddr; /* of the first record */
	u64 off;
	u64 size;
	bool exact; /* size is the section's: a terminator inside does not end it */
	bool debug; /* .debug_frame: ids and CIE pointers of its own kind, absolute addresses */
	bool cut; /* more than EH_FRAMES_MAX */
	bool packed; /* off and size are those of the compressed section */
};

/* .eh_frame, by the segment that run time uses where there is one. -ENOENT when there is none. */
int eh_frames_find(struct eh_frames *ret, const struct elf *e);
/* .debug_frame, compressed or not. -ENOENT when there is none. */
int eh_frames_find_debug(struct eh_frames *ret, const struct elf *e);

#endif
