/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines and inlined functions by DWARF, read by libdw. See lines.h.
 *
 * Two steps, both when first needed: the ranges of all compilation units, then for a unit its line table
 * and a list of its functions with what is inlined in each, in the order of the file, so that of those which
 * cover an address an outer one comes before an inner one. libelf is told to read and not to map, because a
 * mapped file that is cut short ends the process; all walks count their steps.
 */
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "sym/lines.h"

#define UNITS_MAX (256u << 10)
#define STEPS_MAX (16u << 20) /* entries that are looked at in one file */
#define PIECES_MAX (1u << 20) /* ranges of one unit */
#define DEPTH_MAX 128 /* of entries inside each other */

/* A range of addresses of a unit, or of one of its functions. */
struct piece {
	u64 lo;
	u64 hi;
	u32 of; /* unit; function or inlined one in struct unit */
	u32 pad;
};

struct scope {
	Dwarf_Off die;
	u32 call_file; /* inlined: where */
	u32 call_line;
	u32 first, n; /* function: what is inlined in it, in struct unit.inlined */
};

struct unit {
	Dwarf_Off die;
	bool read;
	Dwarf_Lines *lines;
	size_t nlines;
	Dwarf_Files *files;
	size_t nfiles;
	struct scope *scopes;
	u32 nscopes, cap_scopes;
	struct piece *funcs; /* sorted */
	u32 nfuncs, cap_funcs;
	struct piece *inlined;
	u32 ninlined, cap_inlined;
};

struct dwarf_lines {
	Elf *elf;
	Dwarf *dw;
	struct unit *units;
	u32 nunits, cap_units;
	struct piece *pieces; /* of all units, sorted */
	u32 npieces, cap_pieces;
	u32 steps;
	bool cut; /* over a bound */
};

void dwarf_lines_free(struct dwarf_lines *d)
{
	u32 i;

	if (!d)
		return;
	for (i = 0; i < d->nunits; i++) {
		free(d->units[i].scopes);
		free(d->units[i].funcs);
		free(d->units[i].inlined);
	}
	free(d->units);
	free(d->pieces);
	if (d->dw)
		dwarf_end(d->dw);
	if (d->elf)
		elf_end(d->elf);
	free(d);
}

/* -ENOENT without lines or entries, -EFBIG when there are too many bytes of them. */
static int check_sections(Elf *elf)
{
	bool lines = false, entries = false;
	u64 total = 0;
	Elf_Scn *s = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return -ENOENT;
	while ((s = elf_nextscn(elf, s))) {
		GElf_Shdr sh;
		GElf_Chdr ch;
		const char *name;

		if (!gelf_getshdr(s, &sh) || sh.sh_type == SHT_NOBITS)
			continue;
		name = elf_strptr(elf, names, sh.sh_name);
		if (!name || (strncmp(name, ".debug_", 7) && strncmp(name, ".zdebug_", 8)))
			continue;
		/* The old way of packing says its size inside; it is not used any more. */
		if (name[1] == 'z')
			return -ENOENT;
		total += sh.sh_flags & SHF_COMPRESSED && gelf_getchdr(s, &ch) ? ch.ch_size
									      : sh.sh_size;
		if (total > LINES_DEBUG_MAX)
			return -EFBIG;
		lines |= !strcmp(name, ".debug_line");
		entries |= !strcmp(name, ".debug_info");
	}
	return lines && entries ? 0 : -ENOENT;
}

static int cmp_piece(const void *pa, const void *pb)
{
	const struct piece *a = pa, *b = pb;

	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (a->of > b->of) - (a->of < b->of);
}

/* The ranges of an entry; false: out of room. */
static bool add_pieces(struct dwarf_lines *d, Dwarf_Die *die, struct piece **v, u32 *n, u32 *cap,
		       u32 of)
{
	Dwarf_Addr base, lo, hi;
	ptrdiff_t at = 0;

	while ((at = dwarf_ranges(die, at, &base, &lo, &hi)) > 0) {
		if (lo >= hi)
			continue;
		if (d->steps++ > STEPS_MAX || !array_room(v, *n, cap, PIECES_MAX, sizeof(**v))) {
			d->cut = true;
			return false;
		}
		(*v)[(*n)++] = (struct piece){ .lo = lo, .hi = hi, .of = of };
	}
	return true;
}

static void read_units(struct dwarf_lines *d)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;

	while (!dwarf_get_units(d->dw, cu, &cu, NULL, NULL, &die, NULL)) {
		if (d->nunits == UNITS_MAX || !array_room(&d->units, d->nunits, &d->cap_units,
							  UNITS_MAX, sizeof(*d->units))) {
			d->cut = true;
			break;
		}
		d->units[d->nunits++] = (struct unit){ .die = dwarf_dieoffset(&die) };
		if (!add_pieces(d, &die, &d->pieces, &d->npieces, &d->cap_pieces, d->nunits - 1))
			break;
	}
	if (d->npieces)
		qsort(d->pieces, d->npieces, sizeof(*d->pieces), cmp_piece);
}

int dwarf_lines_open(struct dwarf_lines **ret, int fd)
{
	struct dwarf_lines *d = calloc(1, sizeof(*d));
	int err;

	if (!d)
		return -ENOMEM;
	elf_version(EV_CURRENT);
	d->elf = elf_begin(fd, ELF_C_READ, NULL);
	err = d->elf ? check_sections(d->elf) : -ENOENT;
	if (!err) {
		d->dw = dwarf_begin_elf(d->elf, DWARF_C_READ, NULL);
		if (!d->dw)
			err = -ENOENT;
	}
	if (!err) {
		read_units(d);
		if (!d->npieces)
			err = -ENOENT;
	}
	if (err) {
		dwarf_lines_free(d);
		return err;
	}
	*ret = d;
	return 0;
}

static u32 number_of(Dwarf_Die *die, unsigned int what)
{
	Dwarf_Attribute attr;
	Dwarf_Word v;

	return dwarf_attr(die, what, &attr) && !dwarf_formudata(&attr, &v) && v <= UINT32_MAX
		       ? (u32)v
		       : 0;
}

static bool add_scope(struct dwarf_lines *d, struct unit *u, Dwarf_Die *die, bool inlined)
{
	struct scope s = { .die = dwarf_dieoffset(die), .first = u->ninlined };

	if (!array_room(&u->scopes, u->nscopes, &u->cap_scopes, PIECES_MAX, sizeof(*u->scopes))) {
		d->cut = true;
		return false;
	}
	if (inlined) {
		s.call_file = number_of(die, DW_AT_call_file);
		s.call_line = number_of(die, DW_AT_call_line);
	}
	u->scopes[u->nscopes] = s;
	return inlined ? add_pieces(d, die, &u->inlined, &u->ninlined, &u->cap_inlined,
				    u->nscopes++)
		       : add_pieces(d, die, &u->funcs, &u->nfuncs, &u->cap_funcs, u->nscopes++);
}

/* Children of an entry; func: the function that they are in, UINT32_MAX = none. */
static bool walk(struct dwarf_lines *d, struct unit *u, Dwarf_Die *parent, u32 func, u32 depth)
{
	Dwarf_Die die;
	int r = dwarf_child(parent, &die);

	for (; r == 0; r = dwarf_siblingof(&die, &die)) {
		u32 in = func;

		if (d->steps++ > STEPS_MAX || depth > DEPTH_MAX) {
			d->cut = true;
			return false;
		}
		switch (dwarf_tag(&die)) {
		case DW_TAG_subprogram:
			/* One without code of its own is a declaration, or what others inline. */
			if (!dwarf_hasattr(&die, DW_AT_low_pc) &&
			    !dwarf_hasattr(&die, DW_AT_ranges))
				continue;
			in = u->nscopes;
			if (!add_scope(d, u, &die, false))
				return false;
			break;
		case DW_TAG_inlined_subroutine:
			if (func == UINT32_MAX)
				continue;
			if (!add_scope(d, u, &die, true))
				return false;
			break;
		case DW_TAG_lexical_block:
		case DW_TAG_try_block:
		case DW_TAG_catch_block:
		case DW_TAG_namespace:
		case DW_TAG_module:
		case DW_TAG_class_type:
		case DW_TAG_structure_type:
			break;
		default:
			continue;
		}
		if (!walk(d, u, &die, in, depth + 1))
			return false;
		if (in != func)
			u->scopes[in].n = u->ninlined - u->scopes[in].first;
	}
	return true;
}

static void read_unit(struct dwarf_lines *d, struct unit *u)
{
	Dwarf_Die die;

	u->read = true;
	if (!dwarf_offdie(d->dw, u->die, &die))
		return;
	if (dwarf_getsrclines(&die, &u->lines, &u->nlines))
		u->nlines = 0;
	if (dwarf_getsrcfiles(&die, &u->files, &u->nfiles))
		u->nfiles = 0;
	walk(d, u, &die, UINT32_MAX, 0);
	if (u->nfuncs)
		qsort(u->funcs, u->nfuncs, sizeof(*u->funcs), cmp_piece);
}

/* Of sorted pieces the last one that begins at or before addr, and covers it. */
static const struct piece *find_piece(const struct piece *v, u32 n, u64 addr)
{
	u32 lo = 0, hi = n, back;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (v[mid].lo <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	/* Ranges of units may lie inside each other where a linker dropped code. */
	for (back = 0; back < 8 && lo > 0; back++)
		if (addr < v[--lo].hi)
			return &v[lo];
	return NULL;
}

/* The line table's row of addr: the last one at or before it. */
static bool row_at(const struct unit *u, u64 addr, struct line_frame *ret)
{
	size_t lo = 0, hi = u->nlines;
	Dwarf_Line *row;
	Dwarf_Addr at;
	bool end;
	int line;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (dwarf_lineaddr(dwarf_onesrcline(u->lines, mid), &at))
			return false;
		if (at <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	row = lo ? dwarf_onesrcline(u->lines, lo - 1) : NULL;
	if (!row || dwarf_lineendsequence(row, &end) || end || dwarf_lineno(row, &line))
		return false;
	ret->file = dwarf_linesrc(row, NULL, NULL);
	ret->line = line > 0 ? (u32)line : 0;
	return true;
}

static const char *text_of(Dwarf_Die *die, unsigned int what)
{
	Dwarf_Attribute attr;

	return dwarf_attr_integrate(die, what, &attr) ? dwarf_formstring(&attr) : NULL;
}

static const char *scope_name(struct dwarf_lines *d, const struct scope *s)
{
	const char *name;
	Dwarf_Die die;

	if (!dwarf_offdie(d->dw, s->die, &die))
		return NULL;
	name = text_of(&die, DW_AT_linkage_name);
	if (!name)
		name = text_of(&die, DW_AT_MIPS_linkage_name);
	return name ? name : text_of(&die, DW_AT_name);
}

u32 dwarf_lines_at(struct dwarf_lines *d, u64 vaddr, struct line_frame ret[LINES_INLINES_MAX])
{
	const struct piece *p = find_piece(d->pieces, d->npieces, vaddr), *f;
	const struct scope *chain[LINES_INLINES_MAX - 1], *func;
	struct line_frame at = { 0 };
	struct unit *u;
	bool left_out = false;
	u32 i, n = 0, nret = 0;

	if (!p)
		return 0;
	u = &d->units[p->of];
	if (!u->read)
		read_unit(d, u);
	if (!row_at(u, vaddr, &at))
		return 0;
	f = find_piece(u->funcs, u->nfuncs, vaddr);
	func = f ? &u->scopes[f->of] : NULL;
	for (i = 0; func && i < func->n; i++) {
		const struct piece *in = &u->inlined[func->first + i];

		if (vaddr < in->lo || vaddr >= in->hi)
			continue;
		/* The outermost one says where in the function it is, the innermost ones what runs. */
		if (n == ARRAY_SIZE(chain)) {
			memmove(&chain[1], &chain[2], (n - 2) * sizeof(*chain));
			left_out = true;
			n--;
		}
		chain[n++] = &u->scopes[in->of];
	}
	while (n--) {
		const char *name = scope_name(d, chain[n]);

		if (name) {
			ret[nret] = at;
			ret[nret++].name = name;
		}
		at.line = chain[n]->call_line;
		at.file = chain[n]->call_file < u->nfiles
				  ? dwarf_filesrc(u->files, chain[n]->call_file, NULL, NULL)
				  : NULL;
		if (n == 1 && left_out)
			at = (struct line_frame){ 0 };
	}
	at.name = NULL;
	ret[nret++] = at;
	return nret;
}
