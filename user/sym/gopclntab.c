/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gopclntab.h. Input: a file. Output: raw entries for the table builder. A file that has sections names
 * this one; where sections are gone, the table is found by its first word and by what follows being one.
 */
#include <errno.h>
#include "sym/gopclntab.h"

#define HEAD 72 /* bytes of the longest header */
#define SCAN_MAX (256ull << 20) /* bytes of a file without sections that are looked at */

static u32 word(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u64 pointer(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* 0 = none of them. */
static u8 version_of(const u8 *p)
{
	if (p[4] || p[5] || (p[6] != 1 && p[6] != 2 && p[6] != 4) || p[7] != GO_PTR)
		return 0;
	switch (word(p)) {
	case 0xfffffffb:
		return GO_1_2;
	case 0xfffffffa:
		return GO_1_16;
	case 0xfffffff0:
		return GO_1_18;
	case 0xfffffff1:
		return GO_1_20;
	}
	return 0;
}

/* The bytes that one entry of the list of functions takes. */
static u64 entry_size(const struct gopclntab *t)
{
	return t->version >= GO_1_18 ? 8 : 2 * GO_PTR;
}

/*
 * In a position-independent program the linker leaves the header's base to the dynamic one: it is the
 * addend of a relocation, and else where the code begins.
 */
static u64 text_base(const struct elf *e, u64 field_off)
{
	u64 i, vaddr, n = e->rela_dyn.size / sizeof(Elf64_Rela);
	struct elf_win w;
	u64 base = e->text.addr ? e->text.addr : e->exec_lo;

	if (elf_off_to_vaddr(e, field_off, &vaddr, NULL) < 0 || elf_win_init(&w, &e->src) < 0)
		return base;
	for (i = 0; i < n; i++) {
		Elf64_Rela r;
		const u8 *p = elf_win_at(&w, e->rela_dyn.off + i * sizeof(r), sizeof(r));

		if (!p)
			break;
		memcpy(&r, p, sizeof(r));
		if (r.r_offset == vaddr) {
			base = (u64)r.r_addend;
			break;
		}
	}
	elf_win_release(&w);
	return base;
}

static int read_head(struct gopclntab *t, const struct elf *e, u64 off, u64 size)
{
	u8 head[HEAD] = { 0 };
	const u8 *p = head + 8;

	if (elf_read(&e->src, off, head, (size_t)MIN(size, (u64)HEAD)) < 0)
		return -ENOENT;
	*t = (struct gopclntab){ .off = off, .size = size, .version = version_of(head) };
	t->quantum = head[6];
	t->nfuncs = pointer(p);
	p += GO_PTR;
	switch (t->version) {
	case 0:
		return -ENOENT;
	case GO_1_2:
		t->funcs = 8 + GO_PTR;
		t->names_size = size;
		break;
	default:
		p += GO_PTR; /* how many files */
		if (t->version >= GO_1_18) {
			t->text = pointer(p);
			if (!t->text)
				t->text = text_base(e, off + (u64)(p - head));
			p += GO_PTR;
		}
		t->names = pointer(p);
		t->units = pointer(p + GO_PTR);
		t->files = pointer(p + 2 * GO_PTR);
		t->tables = pointer(p + 3 * GO_PTR);
		t->funcs = pointer(p + 4 * GO_PTR);
		t->names_size = t->units - t->names;
	}
	if (!t->nfuncs || t->nfuncs > GOPCLNTAB_FUNCS_MAX || t->names > t->units ||
	    t->units > size || t->files > size || t->tables > size || t->funcs > size ||
	    (t->nfuncs + 1) * entry_size(t) > size - t->funcs)
		return -ENOENT;
	if (t->version == GO_1_2) {
		/* Behind the list is where the list of files is. */
		u64 at = t->funcs + t->nfuncs * entry_size(t) + GO_PTR;
		u32 files;

		if (at > size - 4 || elf_read(&e->src, off + at, &files, sizeof(files)) < 0 ||
		    files > size)
			return -ENOENT;
		t->files = files;
	}
	return 0;
}

bool gopclntab_func(const struct gopclntab *t, struct elf_win *w, u64 i, struct gopclntab_func *ret)
{
	u64 size = entry_size(t);
	const u8 *p = elf_win_at(w, t->off + t->funcs + i * size, (size_t)(size + size / 2));

	if (!p)
		return false;
	if (t->version >= GO_1_18) {
		ret->start = t->text + word(p);
		ret->at = t->funcs + word(p + 4);
		ret->end = t->text + word(p + 8);
	} else {
		ret->start = pointer(p);
		ret->at = pointer(p + GO_PTR);
		ret->end = pointer(p + 2 * GO_PTR);
		if (t->version == GO_1_16)
			ret->at += t->funcs;
	}
	return ret->start < ret->end;
}

/* A head whose first function lies in code is one. */
static bool is_table(const struct gopclntab *t, const struct elf *e)
{
	struct elf_win w;
	struct gopclntab_func f;
	bool ok;

	if (elf_win_init(&w, &e->src) < 0)
		return false;
	ok = gopclntab_func(t, &w, 0, &f) && elf_in_exec(e, f.start) && f.at < t->size;
	elf_win_release(&w);
	return ok;
}

static bool try_at(struct gopclntab *ret, const struct elf *e, u64 off, u64 size)
{
	return read_head(ret, e, off, size) == 0 && is_table(ret, e);
}

/* It begins at a multiple of 8, in what is not code. */
static int scan(struct gopclntab *ret, const struct elf *e)
{
	struct elf_win w;
	u64 left = SCAN_MAX;
	u16 i;
	int r = elf_win_init(&w, &e->src);

	for (i = 0; r == 0 && i < e->nloads; i++) {
		const struct elf_load *l = &e->loads[i];
		u64 at = (l->off + 7) & ~7ull, end = MIN(l->off + l->filesz, e->src.size);

		while (!l->exec && at + 8 <= end && left >= 8) {
			size_t n = (size_t)MIN(MIN(end - at, (u64)ELF_WINDOW), left) & ~7ul, k;
			const u8 *p = elf_win_at(&w, at, n);

			for (k = 0; p && k < n; k += 8) {
				if (p[k + 3] != 0xff || !version_of(p + k) ||
				    !try_at(ret, e, at + k, end - at - k))
					continue;
				elf_win_release(&w);
				return 0;
			}
			if (!p)
				break;
			at += n;
			left -= n;
		}
	}
	elf_win_release(&w);
	return -ENOENT;
}

int gopclntab_find(struct gopclntab *ret, const struct elf *e)
{
	if (e->gopclntab.size)
		return try_at(ret, e, e->gopclntab.off, e->gopclntab.size) ? 0 : -ENOENT;
	return e->sections ? -ENOENT : scan(ret, e);
}

static bool is_outermost(struct elf_win *names, const struct gopclntab *t, u64 name)
{
	static const char *const outermost[] = { "runtime.goexit", "runtime.mstart",
						 "runtime.rt0_go" };
	const size_t max = sizeof("runtime.goexit.abi0");
	size_t n, i;
	const char *p;

	if (name >= t->names_size)
		return false;
	n = (size_t)MIN(t->names_size - name, (u64)max);
	p = (const char *)elf_win_at(names, t->off + t->names + name, n);
	for (i = 0; p && i < ARRAY_SIZE(outermost); i++) {
		size_t len = strlen(outermost[i]);

		/* Since 1.17 the assembler's functions are called after their calling convention, too. */
		if (n > len && !memcmp(p, outermost[i], len) &&
		    (!p[len] || (n > len + 5 && !memcmp(p + len, ".abi0", 6))))
			return true;
	}
	return false;
}

/* Where the name of a function is, among the names. */
static bool name_of(const struct gopclntab *t, struct elf_win *funcs,
		    const struct gopclntab_func *f, u32 *ret)
{
	u64 at = t->version >= GO_1_18 ? 4 : GO_PTR; /* behind its address */
	const u8 *p;

	if (f->at > t->size - at)
		return false;
	p = elf_win_at(funcs, t->off + f->at + at, 4);
	if (p)
		*ret = word(p);
	return p;
}

int gopclntab_outermost(const struct elf *e, gopclntab_fn *fn, void *arg)
{
	struct elf_win list = { 0 }, funcs = { 0 }, names = { 0 };
	struct gopclntab t;
	struct gopclntab_func f;
	u32 name;
	u64 i;
	int r;

	if (gopclntab_find(&t, e) < 0)
		return 0;
	r = elf_win_init(&list, &e->src);
	if (r == 0)
		r = elf_win_init(&funcs, &e->src);
	if (r == 0)
		r = elf_win_init(&names, &e->src);
	for (i = 0; i < t.nfuncs && r == 0; i++)
		if (gopclntab_func(&t, &list, i, &f) && name_of(&t, &funcs, &f, &name) &&
		    is_outermost(&names, &t, name) && elf_in_exec(e, f.start) &&
		    elf_in_exec(e, f.end - 1))
			r = fn(arg, f.start, f.end);
	elf_win_release(&list);
	elf_win_release(&funcs);
	elf_win_release(&names);
	return r;
}

static int add_funcs(struct table_build *b, const struct gopclntab *t, struct elf_win *list,
		     struct elf_win *funcs)
{
	u64 i;
	u32 base;
	int r = build_add_strs(b, (size_t)t->names_size, &base);

	if (r == 0)
		r = elf_read(&b->elf->src, t->off + t->names, b->strs + base,
			     (size_t)t->names_size);
	for (i = 0; i < t->nfuncs && r == 0; i++) {
		struct gopclntab_func f;
		u32 name;

		if (!gopclntab_func(t, list, i, &f) || !name_of(t, funcs, &f, &name))
			continue;
		if (name >= t->names_size || !b->strs[base + name])
			continue;
		r = build_add_symbol(b, f.start, f.end - f.start, base + name, SYM_RUNTIME);
	}
	return r;
}

int build_go(struct table_build *b)
{
	struct gopclntab t;
	struct elf_win list = { 0 }, funcs = { 0 };
	int r;

	if (gopclntab_find(&t, b->elf) < 0)
		return 0;
	r = elf_win_init(&list, &b->elf->src);
	if (r == 0)
		r = elf_win_init(&funcs, &b->elf->src);
	if (r == 0)
		r = add_funcs(b, &t, &list, &funcs);
	elf_win_release(&list);
	elf_win_release(&funcs);
	return r;
}
