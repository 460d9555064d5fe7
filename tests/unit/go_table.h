/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small ELF program whose only content is Go's table of functions, in the layout of a version: three
 * functions of 0x40, 0xc0 and 0x80 bytes at GO_TEXT, two files, lines. For the unit tests; the fuzzer's
 * corpus is made of the same.
 */
#ifndef TESTS_GO_TABLE_H
#define TESTS_GO_TABLE_H

#include <elf.h>
#include <stdlib.h>
#include <string.h>
#include "sym/gopclntab.h"

#define GO_TEXT 0x401000
#define GO_FUNCS 3

enum go_flags {
	GO_SECTIONS = 1, /* a list of sections */
	GO_NO_BASE = 2, /* the header's base is 0 */
	GO_RELOCATED = 4, /* and a relocation says it, .text begins elsewhere */
};

struct go_file {
	size_t n;
	size_t table;
	size_t table_size;
	u8 bytes[16384];
};

static inline void go_put(struct go_file *f, size_t at, u64 v, size_t n)
{
	memcpy(f->bytes + at, &v, n);
}

static inline size_t go_text(struct go_file *f, size_t *at, const char *s)
{
	size_t from = *at;

	memcpy(f->bytes + f->table + from, s, strlen(s) + 1);
	*at += strlen(s) + 1;
	return from;
}

/* A table of values: zigzag differences of the value, and of the address. */
static inline size_t go_values(struct go_file *f, size_t *at, const int v[][2], size_t n)
{
	size_t from = *at, i;
	int was = -1, pc = 0;

	for (i = 0; i < n; i++) {
		int d = v[i][0] - was;
		u32 u = d < 0 ? (u32)~d << 1 | 1 : (u32)d << 1;
		u32 steps[2] = { u, (u32)(v[i][1] - pc) }, k;

		for (k = 0; k < 2; k++) {
			u32 x = steps[k];

			for (; x >= 0x80; x >>= 7)
				f->bytes[f->table + (*at)++] = (u8)(x | 0x80);
			f->bytes[f->table + (*at)++] = (u8)x;
		}
		was = v[i][0];
		pc = v[i][1];
	}
	f->bytes[f->table + (*at)++] = 0;
	return from;
}

static inline void go_elf(struct go_file *f, int flags)
{
	static const char names[] = "\0.text\0.gopclntab\0.shstrtab\0.rela.dyn";
	u64 text_at = flags & GO_RELOCATED ? 0x400e00 : GO_TEXT;
	Elf64_Ehdr eh = {
		.e_ident = { 0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_phoff = sizeof(eh),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = 2,
		.e_ehsize = sizeof(eh),
	};
	const Elf64_Phdr ph[] = {
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R | PF_X,
		  .p_offset = 0,
		  .p_vaddr = 0x400000,
		  .p_filesz = 0x2000,
		  .p_memsz = 0x2000 },
		{ .p_type = PT_LOAD,
		  .p_flags = PF_R,
		  .p_offset = 0x2000,
		  .p_vaddr = 0x500000,
		  .p_filesz = 0x1000,
		  .p_memsz = 0x1000 },
	};
	const Elf64_Rela rela[] = {
		{ .r_offset = 0x500000, .r_addend = 1 },
		{ .r_offset = 0x500000 + f->table - 0x2000 + 24, .r_addend = GO_TEXT },
	};
	const Elf64_Shdr sh[] = {
		{ 0 },
		{ .sh_name = 1,
		  .sh_type = SHT_PROGBITS,
		  .sh_addr = text_at,
		  .sh_offset = text_at - 0x400000,
		  .sh_size = 0x180 },
		{ .sh_name = 7,
		  .sh_type = SHT_PROGBITS,
		  .sh_addr = 0x500000 + f->table - 0x2000,
		  .sh_offset = f->table,
		  .sh_size = f->table_size },
		{ .sh_name = 18,
		  .sh_type = SHT_STRTAB,
		  .sh_offset = 0x3000,
		  .sh_size = sizeof(names) },
		{ .sh_name = 28,
		  .sh_type = SHT_RELA,
		  .sh_offset = 0x3100,
		  .sh_size = flags & GO_RELOCATED ? sizeof(rela) : 0 },
	};

	if (flags & GO_SECTIONS) {
		eh.e_shoff = 0x3200;
		eh.e_shentsize = sizeof(Elf64_Shdr);
		eh.e_shnum = sizeof(sh) / sizeof(*sh);
		eh.e_shstrndx = 3;
		memcpy(f->bytes + 0x3000, names, sizeof(names));
		memcpy(f->bytes + 0x3100, rela, sizeof(rela));
		memcpy(f->bytes + 0x3200, sh, sizeof(sh));
	}
	memcpy(f->bytes, &eh, sizeof(eh));
	memcpy(f->bytes + sizeof(eh), ph, sizeof(ph));
	f->n = 0x3400;
}

static inline struct go_file *go_file(int version, int flags)
{
	static const u32 magic[] = { 0, 0xfffffffb, 0xfffffffa, 0xfffffff0, 0xfffffff1 };
	static const char *const names[] = { "runtime.main", "main.(*T).Run", "main.main.func1" };
	static const u32 starts[] = { 0, 0x40, 0x100, 0x180 };
	/* File and line up to an address, from each function's begin. */
	static const int files[GO_FUNCS][2][2] = { { { 0, 0x40 }, { 0, 0 } },
						   { { 1, 0x20 }, { 0, 0xc0 } },
						   { { 1, 0x80 }, { 0, 0 } } };
	static const int lines[GO_FUNCS][3][2] = { { { 250, 0x10 }, { 251, 0x18 }, { 249, 0x40 } },
						   { { 7, 0x20 }, { 3000, 0x40 }, { 8, 0xc0 } },
						   { { 12, 1 }, { 13, 0x7f }, { 14, 0x80 } } };
	struct go_file *f = calloc(1, sizeof(*f));
	bool old = version == GO_1_2, wide = version < GO_1_18;
	size_t entry = wide ? 16 : 8, head, at, list, units = 0, file_list = 0, i;
	size_t name[GO_FUNCS], pcfile[GO_FUNCS], pcline[GO_FUNCS], path[2];
	u64 fields[8];

	if (!f)
		abort();
	f->table = 0x2040;
	/* A word that looks like one, before the real one, for those that search. */
	go_put(f, 0x2008, 0x0801000000000000ull | magic[version], 8);
	go_put(f, f->table, magic[version], 4);
	f->bytes[f->table + 6] = 1;
	f->bytes[f->table + 7] = 8;
	go_put(f, f->table + 8, GO_FUNCS, 8);
	head = old ? 16 : wide ? 64 : 72;
	list = old ? head : 0x400;
	at = old ? list + GO_FUNCS * entry + 12 + 0x100 : head + 8;
	fields[2] = at;
	go_text(f, &at, "");
	for (i = 0; i < GO_FUNCS; i++)
		name[i] = go_text(f, &at, names[i]) - (old ? 0 : fields[2]);
	at = (at + 7) & ~7ul;
	fields[3] = units = at;
	at += 8;
	fields[4] = file_list = at;
	path[0] = go_text(f, &at, "/usr/lib/go/src/runtime/proc.go");
	path[1] = go_text(f, &at, "/srv/app/main.go");
	if (!old)
		for (i = 0; i < 2; i++)
			go_put(f, f->table + units + 4 * i, path[i] - file_list, 4);
	fields[5] = at;
	f->bytes[f->table + at++] = 0;
	for (i = 0; i < GO_FUNCS; i++) {
		int numbers[2][2];

		/* The first version counts its files from one. */
		memcpy(numbers, files[i], sizeof(numbers));
		numbers[0][0] += old;
		numbers[1][0] += old;
		pcfile[i] =
			go_values(f, &at, numbers, files[i][1][1] ? 2 : 1) - (old ? 0 : fields[5]);
		pcline[i] = go_values(f, &at, lines[i], 3) - (old ? 0 : fields[5]);
	}
	fields[6] = list;
	fields[0] = 2;
	fields[1] = flags & GO_NO_BASE ? 0 : GO_TEXT;
	if (!old) {
		size_t to = f->table + 16;

		for (i = 0; i < 7; i++) {
			if (wide && i == 1)
				continue;
			go_put(f, to, fields[i], 8);
			to += 8;
		}
	}
	at = old ? (at + 7) & ~7ul : list + (GO_FUNCS + 1) * entry;
	for (i = 0; i <= GO_FUNCS; i++) {
		size_t e = f->table + list + i * entry;

		go_put(f, e, wide ? GO_TEXT + starts[i] : starts[i], entry / 2);
		if (i == GO_FUNCS)
			break;
		go_put(f, e + entry / 2, at - (old ? 0 : list), entry / 2);
		go_put(f, f->table + at, wide ? GO_TEXT + starts[i] : starts[i], entry / 2);
		e = f->table + at + entry / 2;
		go_put(f, e, name[i], 4);
		/* arguments, deferreturn (or frame), stack depths: 0 */
		go_put(f, e + 16, pcfile[i], 4);
		go_put(f, e + 20, pcline[i], 4);
		at += entry / 2 + 48;
	}
	if (old) {
		size_t l = f->table + list + GO_FUNCS * entry + 8;

		go_put(f, l, at, 4);
		go_put(f, f->table + at, 3, 4);
		go_put(f, f->table + at + 4, path[0], 4);
		go_put(f, f->table + at + 8, path[1], 4);
		at += 12;
	}
	f->table_size = at;
	go_elf(f, flags);
	return f;
}

#endif
