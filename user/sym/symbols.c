/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of .symtab and .dynsym, as raw entries for the table builder. Only what may be code is
 * taken; how names of the same range compare is decided here, as a rank (see table.h for the rule).
 */
#include <errno.h>
#include "sym/table.h"

#define RANK_UNTYPED (1u << 31)
#define RANK_LOCAL (1u << 30)
#define RANK_UNDERSCORES 26 /* four bits */
#define RANK_WEAK (1u << 3)
#define RANK_LENGTH 4

static u32 rank_of(const Elf64_Sym *s, const char *name, size_t len, enum sym_quality kind)
{
	u32 rank = (u32)kind | (u32)len << RANK_LENGTH;
	u32 underscores = 0;

	while (underscores < 15 && name[underscores] == '_')
		underscores++;
	rank |= underscores << RANK_UNDERSCORES;
	if (ELF64_ST_TYPE(s->st_info) == STT_NOTYPE)
		rank |= RANK_UNTYPED;
	if (ELF64_ST_BIND(s->st_info) == STB_LOCAL)
		rank |= RANK_LOCAL;
	if (ELF64_ST_BIND(s->st_info) == STB_WEAK)
		rank |= RANK_WEAK;
	return rank;
}

static bool may_be_code(const Elf64_Sym *s)
{
	switch (ELF64_ST_TYPE(s->st_info)) {
	case STT_FUNC:
	case STT_GNU_IFUNC:
	case STT_NOTYPE:
		break;
	default:
		return false;
	}
	return s->st_shndx != SHN_UNDEF && s->st_shndx != SHN_ABS && s->st_value;
}

/* "$x" marks code on arm64, ".L" a compiler's label: neither names anything. */
static bool is_marker(const char *name)
{
	return !name[0] || name[0] == '$' || (name[0] == '.' && name[1] == 'L');
}

int build_symbols(struct table_build *b, const struct elf *src, bool dyn, enum sym_quality kind)
{
	const struct elf_sect *syms = dyn ? &src->dynsym : &src->symtab;
	const struct elf_sect *strs = dyn ? &src->dynstr : &src->strtab;
	u64 i, n = syms->size / sizeof(Elf64_Sym);
	struct elf_win w;
	u32 base;
	int r;

	if (!n)
		return 0;
	r = build_add_strs(b, strs->size, &base);
	if (r == -EFBIG) {
		b->cut = true;
		return 0;
	}
	if (r < 0)
		return r;
	r = elf_read(&src->src, strs->off, b->strs + base, strs->size);
	if (r < 0)
		return r;
	r = elf_win_init(&w, &src->src);
	for (i = 0; i < n && r == 0; i++) {
		const u8 *p = elf_win_at(&w, syms->off + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
		const char *name;
		Elf64_Sym s;
		size_t len;

		if (!p) {
			r = -ENODATA;
			break;
		}
		memcpy(&s, p, sizeof(s));
		if (!may_be_code(&s) || s.st_name >= strs->size)
			continue;
		name = b->strs + base + s.st_name;
		if (is_marker(name))
			continue;
		len = strnlen(name, SYM_NAME_MAX);
		r = build_add_symbol(b, s.st_value, s.st_size, base + s.st_name,
				     rank_of(&s, name, len, kind));
	}
	elf_win_release(&w);
	return r;
}
