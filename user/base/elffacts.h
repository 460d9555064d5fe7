/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few facts about a program file that choosing and describing a target needs: 64-bit?
 * stripped? which build? Go? an interpreter linked into it? The file belongs to the target and may
 * be anything; it is read with pread() in bounded steps, so it may also shrink meanwhile.
 */
#ifndef BASE_ELFFACTS_H
#define BASE_ELFFACTS_H

#include "base/types.h"

#define ELF_BUILD_ID_MAX 20

struct elf_facts {
	bool is_64;
	u16 machine; /* EM_X86_64, … */
	bool symtab; /* names of all functions */
	bool dynsym; /* names of exported functions only */
	bool debug; /* line numbers */
	bool go;
	u32 python_hex; /* PY_VERSION_HEX of an interpreter inside (3.11 and later), 0 = none */
	u8 build_id_len;
	u8 build_id[ELF_BUILD_ID_MAX];
};

/* 0; -ENOEXEC: no ELF file; -ENOTSUP: 32-bit or big-endian, then only is_64 and machine are set. */
int elf_facts_read(int fd, struct elf_facts *ret);
/* The build id alone: headers and notes, no sections. 0, -ENOENT, or as above. */
int elf_build_id(int fd, u8 *ret, u8 *ret_len);

#endif
