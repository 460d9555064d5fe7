/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of PLT entries, `write@plt`. An entry is told by what it does, not by where linkers put
 * it: code in a PLT section that jumps through a slot of the global offset table, whose relocation
 * names the symbol. That covers lazy, -z now, IBT and BTI layouts alike.
 */
#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "sym/table.h"

#define RELOCS_MAX (256 * 1024)
#define PLT_MAX (8u << 20)
#define PLT_SUFFIX "@plt"

struct slot {
	u64 addr;
	u32 sym;
};

struct slots {
	struct slot *p;
	size_t n, cap;
};

static bool fills_slot(u16 machine, u32 type)
{
	if (machine == EM_X86_64)
		return type == R_X86_64_JUMP_SLOT || type == R_X86_64_GLOB_DAT;
	return type == R_AARCH64_JUMP_SLOT || type == R_AARCH64_GLOB_DAT;
}

static int read_relocs(const struct elf *e, const struct elf_sect *s, struct slots *slots)
{
	u64 i, n = s->entsize == sizeof(Elf64_Rela) ? s->size / sizeof(Elf64_Rela) : 0;
	struct elf_win w;
	int r;

	if (!n)
		return 0;
	r = elf_win_init(&w, &e->src);
	for (i = 0; i < n && r == 0 && slots->n < RELOCS_MAX; i++) {
		const u8 *p = elf_win_at(&w, s->off + i * sizeof(Elf64_Rela), sizeof(Elf64_Rela));
		Elf64_Rela rela;

		if (!p) {
			r = -ENODATA;
			break;
		}
		memcpy(&rela, p, sizeof(rela));
		if (!fills_slot(e->machine, (u32)ELF64_R_TYPE(rela.r_info)) ||
		    !ELF64_R_SYM(rela.r_info))
			continue;
		if (slots->n == slots->cap) {
			size_t cap = slots->cap ? 2 * slots->cap : 512;
			struct slot *q = realloc(slots->p, cap * sizeof(*q));

			if (!q) {
				r = -ENOMEM;
				break;
			}
			slots->p = q;
			slots->cap = cap;
		}
		slots->p[slots->n++] =
			(struct slot){ rela.r_offset, (u32)ELF64_R_SYM(rela.r_info) };
	}
	elf_win_release(&w);
	return r;
}

static int cmp_slot(const void *pa, const void *pb)
{
	const struct slot *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (a->sym > b->sym) - (a->sym < b->sym);
}

static const struct slot *find_slot(const struct slots *s, u64 addr)
{
	size_t lo = 0, hi = s->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (s->p[mid].addr < addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < s->n && s->p[lo].addr == addr ? &s->p[lo] : NULL;
}

/* Names [start, start + len) after the slot's symbol; unknown slots and names are left out. */
static int add_entry(struct table_build *b, const struct slots *slots, u64 got, u64 start, u64 len)
{
	const struct elf *e = b->elf;
	const struct slot *slot = find_slot(slots, got);
	char name[SYM_NAME_MAX];
	Elf64_Sym sym;
	size_t want, n;
	u32 off;
	int r;

	if (!slot || slot->sym >= e->dynsym.size / sizeof(sym) ||
	    elf_read(&e->src, e->dynsym.off + (u64)slot->sym * sizeof(sym), &sym, sizeof(sym)) <
		    0 ||
	    sym.st_name >= e->dynstr.size)
		return 0;
	want = (size_t)MIN(e->dynstr.size - sym.st_name, sizeof(name) - sizeof(PLT_SUFFIX));
	if (elf_read(&e->src, e->dynstr.off + sym.st_name, name, want) < 0)
		return 0;
	n = strnlen(name, want);
	if (!n)
		return 0;
	r = build_add_strs(b, n + sizeof(PLT_SUFFIX) - 1, &off);
	if (r < 0)
		return r == -EFBIG ? 0 : r;
	memcpy(b->strs + off, name, n);
	memcpy(b->strs + off + n, PLT_SUFFIX, sizeof(PLT_SUFFIX));
	return build_add_symbol(b, start, len, off, SYM_DYNSYM);
}

/* [endbr64] [bnd] jmp *disp32(%rip) at the start of an entry. */
static int scan_x86(struct table_build *b, const struct slots *slots, const struct elf_sect *s,
		    const u8 *code)
{
	static const u8 endbr[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	u64 step = s->entsize == 8 ? 8 : 16;
	u64 at;
	int r;

	for (at = 0; s->size - at >= 8; at += step) {
		const u8 *p = code + at, *end = code + s->size;
		s32 disp;

		if (!memcmp(p, endbr, sizeof(endbr)))
			p += sizeof(endbr);
		if (p < end && *p == 0xf2)
			p++;
		if (end - p < 6 || p[0] != 0xff || p[1] != 0x25)
			goto next;
		memcpy(&disp, p + 2, 4);
		r = add_entry(b, slots, s->addr + (u64)(p + 6 - code) + (u64)(s64)disp,
			      s->addr + at, MIN(step, s->size - at));
		if (r < 0)
			return r;
	next:
		if (s->size - at < step)
			break;
	}
	return 0;
}

/* [bti c] adrp x16, page; ldr x17, [x16, #off]; add; br x17. */
static int scan_arm64(struct table_build *b, const struct slots *slots, const struct elf_sect *s,
		      const u8 *code)
{
	u64 at;
	int r;

	for (at = 0; s->size - at >= 16; at += 4) {
		u64 start = s->addr + at, len = 16, page, imm;
		u32 adrp, ldr, before = 0;

		memcpy(&adrp, code + at, 4);
		memcpy(&ldr, code + at + 4, 4);
		if ((adrp & 0x9f00001f) != 0x90000010 || (ldr & 0xffc003ff) != 0xf9400211)
			continue;
		imm = (u64)(adrp >> 5 & 0x7ffff) << 2 | (adrp >> 29 & 3);
		page = (start & ~4095ULL) + (((imm ^ (1u << 20)) - (1u << 20)) << 12);
		if (at >= 4)
			memcpy(&before, code + at - 4, 4);
		if (before == 0xd503245f) {
			start -= 4;
			len += 4;
		}
		r = add_entry(b, slots, page + (u64)(ldr >> 10 & 0xfff) * 8, start, len);
		if (r < 0)
			return r;
	}
	return 0;
}

static int scan(struct table_build *b, const struct slots *slots, const struct elf_sect *s)
{
	_free_ u8 *code = NULL;
	int r;

	if (s->size < 16 || s->size > PLT_MAX || !elf_in_exec(b->elf, s->addr))
		return 0;
	r = elf_read_sect(b->elf, s, PLT_MAX, &code);
	if (r < 0)
		return r;
	if (b->elf->machine == EM_X86_64)
		return scan_x86(b, slots, s, code);
	return scan_arm64(b, slots, s, code);
}

int build_plt(struct table_build *b)
{
	const struct elf *e = b->elf;
	const struct elf_sect *plts[] = { &e->plt, &e->plt_sec, &e->plt_got };
	struct slots slots = { 0 };
	size_t i;
	int r;

	if ((e->machine != EM_X86_64 && e->machine != EM_AARCH64) || !e->dynsym.size)
		return 0;
	r = read_relocs(e, &e->rela_plt, &slots);
	/* Slots of .plt.got are among all the others: not worth reading without it. */
	if (r == 0 && e->plt_got.size)
		r = read_relocs(e, &e->rela_dyn, &slots);
	if (r == 0 && slots.n)
		qsort(slots.p, slots.n, sizeof(*slots.p), cmp_slot);
	for (i = 0; i < ARRAY_SIZE(plts) && r == 0 && slots.n; i++)
		r = scan(b, &slots, plts[i]);
	free(slots.p);
	return r;
}
