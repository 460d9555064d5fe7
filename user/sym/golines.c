/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines and inlined functions by Go's own table. See lines.h and gopclntab.h.
 *
 * A function has tables of values by address: its files, its lines, and which entry of its tree of inlined
 * functions an address is in. That tree lies outside of the table, counted from a place that the
 * module's own description names (runtime/symtab.go, type moduledata, whose first words are the table's
 * address and that of its names: that is how it is found). Where the tree is not found, an address
 * inside of inlined code has no place: that of the other function would be wrong.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "sym/gopclntab.h"
#include "sym/lines.h"

#define VALUES_MAX (32 * 1024) /* bytes of one function's table of values */
#define MODULE_SCAN_MAX (64u << 20) /* bytes of data that are looked at for the module */
#define TEXT_MAX 512
#define WORDS 8 /* name, arguments, return of defers, stack depths, files, lines, values, unit */
#define INLINE_VALUES 2 /* number of the table of inlined functions among the others */
#define INLINE_TREE 3 /* and of the tree among the function's data */

struct go_lines {
	struct elf elf;
	struct gopclntab tab;
	struct elf_win win;
	u64 trees; /* address that trees are counted from; 0 = not known */
	char texts[LINES_INLINES_MAX][2][TEXT_MAX];
};

/* The function that covers vaddr. */
static bool find_func(const struct gopclntab *t, struct elf_win *w, u64 vaddr,
		      struct gopclntab_func *ret)
{
	u64 lo = 0, hi = t->nfuncs;

	while (lo < hi) {
		u64 mid = lo + (hi - lo) / 2;

		if (!gopclntab_func(t, w, mid, ret))
			return false;
		if (vaddr < ret->start)
			hi = mid;
		else if (vaddr >= ret->end)
			lo = mid + 1;
		else
			return true;
	}
	return false;
}

static bool take_varint(const u8 **p, const u8 *end, u32 *ret)
{
	u32 v = 0, shift;

	for (shift = 0; shift < 35 && *p < end; shift += 7) {
		u8 c = *(*p)++;

		v |= (u32)(c & 0x7f) << (shift & 31);
		if (!(c & 0x80)) {
			*ret = v;
			return true;
		}
	}
	return false;
}

/*
 * The value at an address of a table of differences: pairs of how much the value changes, with the sign in
 * the lowest bit, and for how many steps of address it holds.
 */
static bool value_at(const struct gopclntab *t, struct elf_win *w, u64 off, u64 pc, u64 target,
		     s32 *ret)
{
	size_t left = (size_t)MIN(t->size - MIN(off, t->size), (u64)VALUES_MAX);
	const u8 *p = left ? elf_win_at(w, t->off + off, left) : NULL, *end = p + left;
	s32 value = -1;
	bool first = true;
	u32 d, steps;

	if (!p)
		return false;
	while (take_varint(&p, end, &d) && (d || first) && take_varint(&p, end, &steps)) {
		first = false;
		value = (s32)((u32)value + (d & 1 ? ~(d >> 1) : d >> 1));
		pc += (u64)steps * t->quantum;
		if (target < pc) {
			*ret = value;
			return true;
		}
	}
	return false;
}

static bool text_at(const struct gopclntab *t, const struct elf *e, u64 at, char *to, size_t cap)
{
	size_t n = (size_t)MIN(t->size - MIN(at, t->size), (u64)cap);

	if (!n || elf_read(&e->src, t->off + at, to, n) < 0)
		return false;
	to[n - 1] = 0;
	return *to;
}

/* The file's number in the function's own count → where its name is, from the table's begin. */
static bool file_place(const struct gopclntab *t, const struct elf *e, u32 unit, s32 number,
		       u64 *ret)
{
	u64 at = t->version == GO_1_2 ? t->files + 4 * (u64)(u32)number
				      : t->units + 4 * ((u64)unit + (u32)number);
	u32 off;

	if (number < 0 || t->size < 4 || at > t->size - 4 ||
	    elf_read(&e->src, t->off + at, &off, sizeof(off)) < 0 || off == UINT32_MAX)
		return false;
	*ret = t->version == GO_1_2 ? off : t->files + off;
	return true;
}

/* What is known of a function. */
struct info {
	u32 w[WORDS];
	u64 data; /* behind them: offsets of tables, then of data */
	u32 ndata;
};

static bool read_info(const struct go_lines *g, const struct gopclntab_func *f, struct info *ret)
{
	const struct gopclntab *t = &g->tab;
	u64 at = f->at + (t->version >= GO_1_18 ? 4 : GO_PTR);
	u8 tail[4];

	if (at > t->size || t->size - at < sizeof(ret->w) + 8 ||
	    elf_read(&g->elf.src, t->off + at, ret->w, sizeof(ret->w)) < 0)
		return false;
	/* The unit came with 1.16, the function's first line with 1.20. */
	at += t->version == GO_1_2 ? 28 : t->version == GO_1_20 ? 36 : 32;
	if (elf_read(&g->elf.src, t->off + at, tail, sizeof(tail)) < 0)
		return false;
	ret->data = at + sizeof(tail);
	ret->ndata = tail[3];
	return true;
}

static bool word_at(const struct go_lines *g, u64 at, u32 *ret)
{
	return g->tab.size >= 4 && at <= g->tab.size - 4 &&
	       elf_read(&g->elf.src, g->tab.off + at, ret, sizeof(*ret)) == 0;
}

static bool place_at(struct go_lines *g, const struct gopclntab_func *f, const struct info *x,
		     u64 pc, char *file, u32 *ret_line)
{
	const struct gopclntab *t = &g->tab;
	s32 number, line;
	u64 at;

	if (!value_at(t, &g->win, t->tables + x->w[4], f->start, pc, &number) ||
	    !value_at(t, &g->win, t->tables + x->w[5], f->start, pc, &line) || line < 0)
		return false;
	*ret_line = (u32)line;
	return file_place(t, &g->elf, x->w[7], number, &at) &&
	       text_at(t, &g->elf, at, file, TEXT_MAX);
}

/* The entry of the tree of inlined functions that pc is in; -1: the function itself. */
static s32 inlined_at(struct go_lines *g, const struct gopclntab_func *f, const struct info *x,
		      u64 pc)
{
	u32 off;
	s32 v;

	if (g->tab.version == GO_1_2 || x->w[6] <= INLINE_VALUES ||
	    !word_at(g, x->data + 4 * INLINE_VALUES, &off) || !off ||
	    !value_at(&g->tab, &g->win, g->tab.tables + off, f->start, pc, &v))
		return -1;
	return v;
}

/* An entry: its name, and the address in the function that stands for the call. */
static bool tree_entry(struct go_lines *g, const struct gopclntab_func *f, const struct info *x,
		       s32 entry, char *name, u64 *ret_pc)
{
	bool old = g->tab.version == GO_1_18;
	u64 size = old ? 20 : 16, off, left;
	u32 tree, fields[5];
	s32 name_off, parent;

	if (!g->trees || g->tab.version < GO_1_18 || x->ndata <= INLINE_TREE ||
	    !word_at(g, x->data + 4 * ((u64)x->w[6] + INLINE_TREE), &tree) || tree == UINT32_MAX)
		return false;
	if (elf_vaddr_to_off(&g->elf, g->trees + tree + (u64)entry * size, &off, &left) < 0 ||
	    left < size || elf_read(&g->elf.src, off, fields, size) < 0)
		return false;
	name_off = (s32)fields[old ? 3 : 1];
	parent = (s32)fields[old ? 4 : 2];
	if (name_off < 0 || parent < 0 || (u64)parent >= f->end - f->start ||
	    (u64)name_off >= g->tab.names_size)
		return false;
	*ret_pc = f->start + (u64)parent;
	return text_at(&g->tab, &g->elf, g->tab.names + (u64)name_off, name, TEXT_MAX);
}

u32 go_lines_at(struct go_lines *g, u64 vaddr, struct line_frame ret[LINES_INLINES_MAX])
{
	struct gopclntab_func f;
	struct info x;
	u32 n = 0;

	if (!find_func(&g->tab, &g->win, vaddr, &f) || !read_info(g, &f, &x))
		return 0;
	for (;;) {
		char *name = g->texts[n][0], *file = g->texts[n][1];
		s32 entry = inlined_at(g, &f, &x, vaddr);

		ret[n] = (struct line_frame){ 0 };
		if (place_at(g, &f, &x, vaddr, file, &ret[n].line))
			ret[n].file = file;
		if (entry < 0)
			return ret[n].file || n ? n + 1 : 0;
		if (n + 1 == LINES_INLINES_MAX || !tree_entry(g, &f, &x, entry, name, &vaddr)) {
			ret[n] = (struct line_frame){ 0 };
			return n ? n + 1 : 0;
		}
		ret[n++].name = name;
	}
}

/* Where the module's description is, in the file. */
static bool find_module(const struct go_lines *g, u64 *ret_off)
{
	const struct elf *e = &g->elf;
	u64 want[2], left = MODULE_SCAN_MAX;
	struct elf_win w;
	bool found = false;
	u16 i;

	if (elf_off_to_vaddr(e, g->tab.off, &want[0], NULL) < 0 || elf_win_init(&w, &e->src) < 0)
		return false;
	want[1] = want[0] + g->tab.names;
	for (i = 0; i < e->nloads && !found; i++) {
		const struct elf_load *l = &e->loads[i];
		u64 at = (l->off + 7) & ~7ull, end = MIN(l->off + l->filesz, e->src.size);

		while (!l->exec && !found && at + 16 <= end && left) {
			size_t n = (size_t)MIN(MIN(end - at, (u64)ELF_WINDOW), left) & ~7ul, k;
			const u8 *p = elf_win_at(&w, at, n);

			if (!p || n < 16)
				break;
			for (k = 0; k + 16 <= n && !found; k += 8)
				if (!memcmp(p + k, want, sizeof(want))) {
					*ret_off = at + k;
					found = true;
				}
			/* One word again, so that none is missed between two windows. */
			at += n - 8;
			left -= n - 8;
		}
	}
	elf_win_release(&w);
	return found;
}

static void find_trees(struct go_lines *g)
{
	/* Words of the description before this one; two more since 1.20. */
	u64 at, trees, index = g->tab.version == GO_1_20 ? 40 : 38, off;

	if (g->tab.version < GO_1_18 || !find_module(g, &at) ||
	    elf_read(&g->elf.src, at + index * GO_PTR, &trees, sizeof(trees)) < 0 ||
	    elf_in_exec(&g->elf, trees) || elf_vaddr_to_off(&g->elf, trees, &off, &at) < 0)
		return;
	g->trees = trees;
}

int go_lines_open(struct go_lines **ret, const struct elf *e)
{
	struct go_lines *g = calloc(1, sizeof(*g));
	int err;

	if (!g)
		return -ENOMEM;
	g->elf = *e;
	err = gopclntab_find(&g->tab, e);
	if (!err)
		err = elf_win_init(&g->win, &g->elf.src);
	if (err) {
		go_lines_free(g);
		return err;
	}
	find_trees(g);
	*ret = g;
	return 0;
}

void go_lines_free(struct go_lines *g)
{
	if (!g)
		return;
	elf_win_release(&g->win);
	free(g);
}
