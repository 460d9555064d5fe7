/* SPDX-License-Identifier: Apache-2.0 */
/* See tablego.h. */
#include <errno.h>
#include "unwind/tablegap.h"
#include "unwind/tablego.h"

#define PROLOGUE 64 /* bytes in which a function that keeps a frame pointer has set it */
#define MOVED_MAX (1 << 30)
#define NAME_BYTES 24

/* Go 1.17 to 1.25, runtime/symtab.go. */
enum func_flag {
	FLAG_TOPFRAME = 1,
	FLAG_SPWRITE = 2,
	FLAG_ASM = 4, /* from 1.18 on */
};

/* Fields of a function, behind its address. */
enum func_field {
	FIELD_NAME = 0,
	FIELD_PCSP = 12,
	FIELD_FLAG = 33, /* from 1.20 on four bytes further: a line is in between */
	FIELDS = 38,
};

static u32 word(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* Up to n bytes of the table. */
static const u8 *bytes_at(const struct tablego *g, struct elf_win *w, u64 at, size_t n)
{
	return at <= g->tab.size && n <= g->tab.size - at ? elf_win_at(w, g->tab.off + at, n)
							  : NULL;
}

static const u8 *code_at(struct tablego *g, u64 vaddr, size_t *n)
{
	u64 off, left;

	if (elf_vaddr_to_off(g->elf, vaddr, &off, &left) < 0)
		return NULL;
	*n = (size_t)MIN((u64)*n, left);
	return elf_win_at(&g->code, off, *n);
}

static bool is_named(struct tablego *g, u32 name, const char *start)
{
	const u8 *p = name < g->tab.names_size
			      ? bytes_at(g, &g->values, g->tab.names + name, NAME_BYTES)
			      : NULL;

	return p && !strncmp((const char *)p, start, strlen(start));
}

/*
 * The handler of signals is marked outermost, too: what was interrupted is on another stack. But the
 * kernel's frame above it leads there.
 */
static bool handles_signals(struct tablego *g, u32 name)
{
	return is_named(g, name, "runtime.sigtramp") || is_named(g, name, "runtime.cgoSigtramp");
}

/*
 * From here on the thread looks for other work: nothing returns to the goroutine that called, another
 * thread may run it by now. Go's own dumps end here, too.
 */
static bool leaves_goroutine(struct tablego *g, u32 name)
{
	return is_named(g, name, "runtime.mcall");
}

bool tablego_func(struct tablego *g, u64 i, struct tablego_func *ret)
{
	u64 behind = g->tab.version >= GO_1_18 ? 4 : 8;
	struct gopclntab_func f;
	const u8 *p;
	u8 flags;
	u32 name;

	if (!gopclntab_func(&g->tab, &g->list, i, &f))
		return false;
	p = bytes_at(g, &g->funcs, f.at + behind, FIELDS);
	if (!p)
		return false;
	flags = p[FIELD_FLAG + (g->tab.version >= GO_1_20 ? 4 : 0)];
	*ret = (struct tablego_func){
		.start = f.start,
		.end = f.end,
		.switches = flags & FLAG_SPWRITE,
		.by_hand = flags & FLAG_ASM || g->tab.version < GO_1_18,
	};
	if (word(p + FIELD_PCSP))
		ret->values = g->tab.tables + word(p + FIELD_PCSP);
	name = word(p + FIELD_NAME);
	if (flags & FLAG_TOPFRAME)
		ret->outermost = !handles_signals(g, name);
	else if (flags & FLAG_SPWRITE)
		ret->outermost = leaves_goroutine(g, name);
	ret->restorer = f.end - f.start <= PROLOGUE && gap_is_restorer(g->elf, f.start);
	return true;
}

int tablego_open(struct tablego *g, const struct elf *e)
{
	struct tablego_func f;
	u64 i;
	int r;

	*g = (struct tablego){ .elf = e };
	if (gopclntab_find(&g->tab, e) < 0 || g->tab.version < GO_1_16)
		return -ENOENT;
	r = elf_win_init(&g->list, &e->src);
	if (r == 0)
		r = elf_win_init(&g->funcs, &e->src);
	if (r == 0)
		r = elf_win_init(&g->values, &e->src);
	if (r == 0)
		r = elf_win_init(&g->code, &e->src);
	if (r < 0)
		return r;
	for (i = 0; i < g->tab.nfuncs; i++)
		if (tablego_func(g, i, &f) && f.outermost)
			return 0;
	return -ENOENT; /* no flags are in it: 1.16, or something else altogether */
}

void tablego_release(struct tablego *g)
{
	elf_win_release(&g->list);
	elf_win_release(&g->funcs);
	elf_win_release(&g->values);
	elf_win_release(&g->code);
}

static bool next_varint(struct tablego *g, u64 *at, u32 *ret)
{
	u32 shift;

	*ret = 0;
	for (shift = 0; shift < 32; shift += 7) {
		const u8 *p = bytes_at(g, &g->values, (*at)++, 1);

		if (!p)
			return false;
		*ret |= (u32)(*p & 0x7f) << shift;
		if (!(*p & 0x80))
			return true;
	}
	return false;
}

/* Does it set a frame pointer as compiled functions do: lea N(%rsp),%rbp, or from 1.21 on mov %rsp,%rbp? */
static bool sets_rbp(struct tablego *g, const struct tablego_func *f)
{
	size_t n = (size_t)MIN(f->end - f->start, (u64)PROLOGUE), i;
	const u8 *p = code_at(g, f->start, &n);

	for (i = 0; p && i + 4 <= n; i++)
		if ((p[i] == 0x48 && p[i + 1] == 0x8d && (p[i + 2] == 0x6c || p[i + 2] == 0xac) &&
		     p[i + 3] == 0x24) ||
		    (p[i] == 0x55 && p[i + 1] == 0x48 && p[i + 2] == 0x89 && p[i + 3] == 0xe5))
			return true;
	return false;
}

/* The length of mov %rbp,N(%rsp) at an address, 0 = it is another instruction. */
static u32 saves_rbp(struct tablego *g, u64 at)
{
	size_t n = 4;
	const u8 *p = code_at(g, at, &n);

	if (!p || n < 4 || p[0] != 0x48 || p[1] != 0x89 || p[3] != 0x24)
		return 0;
	return p[2] == 0x6c ? 5 : p[2] == 0xac ? 8 : 0;
}

static struct uw_rule rule_of(s64 moved, bool keeps, bool saved)
{
	struct uw_rule r = { 0 };

	if (moved < 0 || moved > MOVED_MAX)
		return r;
	r.cfa = UW_CFA_RSP;
	r.cfa_off = (s32)moved + 8;
	if (!moved || (keeps && !saved))
		return r;
	r.rbp = keeps ? UW_RBP_CFA : UW_RBP_UNKNOWN;
	r.rbp_off = keeps ? -16 : 0;
	return r;
}

static int by_values(struct tablego *g, const struct tablego_func *f, u64 *steps,
		     tablego_row_fn row, void *arg)
{
	bool keeps = !f->by_hand || sets_rbp(g, f), saved = false;
	u64 pc = f->start, at = f->values;
	struct uw_rule rule = { 0 };
	u32 value, distance, n;
	s64 moved = -1;
	int r = 0;

	while (at && pc < f->end && r == 0) {
		if (!*steps)
			return -ETIME;
		--*steps;
		if (!next_varint(g, &at, &value) || (!value && pc != f->start) ||
		    !next_varint(g, &at, &distance) || !distance)
			break;
		moved += (s32)(-(value & 1) ^ (value >> 1));
		n = moved > 0 && !saved ? saves_rbp(g, pc) : 0;
		distance *= g->tab.quantum;
		/* rsp moves first, and rbp is saved by the instruction behind. */
		if (n && n < distance) {
			rule = rule_of(moved, keeps, false);
			r = row(arg, pc, &rule);
			pc += n;
			distance -= n;
		}
		saved |= moved > 0;
		rule = rule_of(moved, keeps, saved);
		if (r == 0)
			r = row(arg, pc, &rule);
		pc += distance;
	}
	if (r == 0 && pc < f->end) {
		rule = (struct uw_rule){ 0 };
		r = row(arg, pc, &rule);
	}
	return r;
}

int tablego_rows(struct tablego *g, const struct tablego_func *f, u64 *steps, tablego_row_fn row,
		 void *arg)
{
	struct uw_rule rule = { 0 };

	if (f->outermost)
		rule.cfa = UW_CFA_END;
	else if (f->restorer)
		rule.cfa = UW_CFA_SIGNAL;
	else if (f->switches)
		rule.cfa = UW_CFA_FP_END;
	else
		return by_values(g, f, steps, row, arg);
	return row(arg, f->start, &rule);
}
