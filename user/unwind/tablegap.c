/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tablegap.h. Bytes are read through one window in the order of addresses, so text is read at most
 * once; a file that has call frame information for all its functions is hardly read at all.
 */
#include <errno.h>
#include "unwind/tablegap.h"
#include "unwind/v8.h"

#define ENTRY_MAX 64
#define ENTRY_HEAD 16
#define CLONE_MAX 32
#define FP_MIN 4096 /* bytes of a gap whose manner is looked at */
#define FP_HITS_MIN 8
#define FP_WINDOWS 16 /* that are looked at in a long gap, evenly spread: gaps hold data too */
/* Bytes a beginning: V8's builtins have 860, Go 480 to 680, other code 15,000 and more. */
#define FP_DENSITY 2048
#define SCAN_MIN 16 /* padding is shorter, and a restorer is a function aligned to 16 */

/* mov $15,%rax; syscall: rt_sigreturn as glibc, musl, Go and Free Pascal write it. */
static const u8 restorer[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
/* pause; mov $1,%rax; ret: what HotSpot's threads wait in for one another, in assembly without frames. */
static const u8 spin[] = { 0xf3, 0x90, 0x48, 0xc7, 0xc0, 1, 0, 0, 0, 0xc3 };
static const u8 syscall_insn[] = { 0x0f, 0x05 };
static const u8 take_stack[] = { 0x48, 0x89, 0xe7 }; /* mov %rsp,%rdi */

void gap_finder_release(struct gap_finder *g)
{
	elf_win_release(&g->win);
}

bool gap_is_restorer(const struct elf *e, u64 vaddr)
{
	u8 code[sizeof(restorer)];
	u64 off, left;

	return elf_vaddr_to_off(e, vaddr, &off, &left) == 0 && left >= sizeof(code) &&
	       elf_read(&e->src, off, code, sizeof(code)) == 0 &&
	       !memcmp(code, restorer, sizeof(restorer));
}

/* Up to n bytes of executable code at vaddr; *n becomes what there is. */
static const u8 *code_at(struct gap_finder *g, u64 vaddr, size_t *n)
{
	u64 off, left;

	if (!elf_in_exec(g->elf, vaddr) || elf_vaddr_to_off(g->elf, vaddr, &off, &left) < 0 ||
	    off >= g->elf->src.size)
		return NULL;
	*n = (size_t)MIN(MIN((u64)*n, left), g->elf->src.size - off);
	return elf_win_at(&g->win, off, *n);
}

/* The start of the first executable segment behind vaddr, or end. */
static u64 next_code(const struct elf *e, u64 vaddr, u64 end)
{
	u16 i;

	for (i = 0; i < e->nloads; i++)
		if (e->loads[i].exec && e->loads[i].filesz && e->loads[i].vaddr > vaddr)
			end = MIN(end, e->loads[i].vaddr);
	return end;
}

/* Address of the first such code in [from, end), or end. */
static u64 find_code(struct gap_finder *g, u64 from, u64 end, const u8 *code, size_t size)
{
	while (end - from >= size) {
		size_t n = (size_t)MIN(end - from, (u64)ELF_WINDOW);
		const u8 *p = code_at(g, from, &n), *hit;

		if (!p || n < size) {
			from = next_code(g->elf, from, end);
			continue;
		}
		hit = memmem(p, n, code, size);
		if (hit)
			return from + (u64)(hit - p);
		from += n - (size - 1);
	}
	return end;
}

static u64 count(const u8 *p, size_t n, const u8 *what, size_t what_n)
{
	const u8 *end = p + n;
	u64 hits = 0;

	while ((p = memmem(p, (size_t)(end - p), what, what_n))) {
		hits++;
		p += what_n;
	}
	return hits;
}

static const struct uw_rule *pointed_rule(struct gap_finder *g)
{
	struct v8_layout v8;

	if (!g->asked) {
		g->asked = true;
		g->pointed = (struct uw_rule){ .cfa = UW_CFA_FP };
		if (v8_file_read(g->elf, &v8) == 0) {
			g->pointed.cfa_off = v8.fp_function;
			g->pointed.reg = (u8)(v8.function_shared / V8_WORD);
		}
	}
	return &g->pointed;
}

struct uw_rule gap_rule(struct gap_finder *g, const struct gap *gap)
{
	/* push %rbp; mov %rsp,%rbp, and before Go 1.21 lea DISTANCE(%rsp),%rbp. */
	static const u8 push[] = { 0x55, 0x48, 0x89, 0xe5 }, lea[] = { 0x48, 0x8d, 0x6c, 0x24 };
	struct uw_rule rule = { 0 };
	u64 at = gap->start, hits = 0, bytes = 0, step;

	if (gap->end - at < FP_MIN)
		return rule;
	step = MAX((gap->end - at) / FP_WINDOWS, (u64)ELF_WINDOW);
	while (at < gap->end) {
		size_t n = (size_t)MIN(gap->end - at, (u64)ELF_WINDOW);
		const u8 *p = code_at(g, at, &n);

		if (!p || !n) {
			at = next_code(g->elf, at, gap->end);
			continue;
		}
		hits += count(p, n, push, sizeof(push)) + count(p, n, lea, sizeof(lea));
		bytes += n;
		at += n < ELF_WINDOW ? n : step;
	}
	if (hits >= FP_HITS_MIN && hits * FP_DENSITY >= bytes) {
		rule = *pointed_rule(g);
		g->counts->pointed++;
	}
	return rule;
}

/*
 * clone() of glibc: the call frame information ends at the syscall instruction, with the caller's frame
 * at rsp, and goes on where the new thread starts, which is an outermost frame.
 */
static bool is_clone(struct gap_finder *g, const struct gap *gap)
{
	size_t n = sizeof(syscall_insn);
	const u8 *p;

	if (!gap->before || !gap->after || gap->end - gap->start > CLONE_MAX ||
	    gap->before->cfa != UW_CFA_RSP || gap->before->ra != UW_RA_CFA ||
	    gap->after->cfa != UW_CFA_END)
		return false;
	p = code_at(g, gap->start, &n);
	return p && n == sizeof(syscall_insn) && !memcmp(p, syscall_insn, n);
}

/*
 * Linkers give libraries the start of their text as entry point, which is anything. A real one takes
 * the stack that the kernel made as its first argument, in its first instructions.
 */
static bool is_entry(struct gap_finder *g, u64 vaddr)
{
	size_t n = ENTRY_HEAD;
	const u8 *p = code_at(g, vaddr, &n);

	return p && memmem(p, n, take_stack, sizeof(take_stack));
}

/* The piece [from, to) of a section. */
static void add_plt(struct gap_finder *g, const struct elf_sect *s, u64 from, u64 to,
		    enum uw_cfa cfa, s32 off)
{
	if (from < to && s->addr <= UINT64_MAX - to)
		g->plts[g->nplts++] = (struct gap_find){
			.start = s->addr + from,
			.end = s->addr + to,
			.rule = { .cfa = cfa, .cfa_off = off },
		};
}

/*
 * Entries of .plt are 16 bytes: jmp *GOT; push NUMBER; jmp to the first one, which pushes once more. So
 * the return address lies 8 bytes deeper from byte 11 on, and in the first entry 16 and 24. Those of
 * the others jump and nothing else.
 */
static void find_plts(struct gap_finder *g)
{
	static const u8 jump[] = { 0xff, 0x25 }, branch[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	const struct elf_sect *plt = &g->elf->plt,
			      *others[] = { &g->elf->plt_sec, &g->elf->plt_got };
	size_t n = 32, i;
	const u8 *p = plt->size >= n ? code_at(g, plt->addr, &n) : NULL;

	if (p && n == 32 && p[0] == 0xff && p[1] == 0x35 && !memcmp(p + 16, jump, 2) &&
	    p[22] == 0x68 && p[27] == 0xe9) {
		add_plt(g, plt, 0, 6, UW_CFA_RSP, 16);
		add_plt(g, plt, 6, 16, UW_CFA_RSP, 24);
		add_plt(g, plt, 16, plt->size, UW_CFA_PLT, 11);
	}
	for (i = 0; i < ARRAY_SIZE(others); i++) {
		n = 4;
		p = others[i]->size >= n ? code_at(g, others[i]->addr, &n) : NULL;
		if (p && n == 4 && (!memcmp(p, jump, 2) || !memcmp(p, branch, 4)))
			add_plt(g, others[i], 0, others[i]->size, UW_CFA_RSP, 8);
	}
}

int gap_finder_init(struct gap_finder *g, const struct elf *e, struct unwind_counts *counts)
{
	int r;

	*g = (struct gap_finder){ .elf = e, .counts = counts };
	r = elf_win_init(&g->win, &e->src);
	if (r == 0)
		find_plts(g);
	return r;
}

/* The first piece of a linkage table that reaches into the gap, cut to it. */
static bool next_plt(const struct gap_finder *g, const struct gap *gap, struct gap_find *ret)
{
	bool found = false;
	u32 i;

	for (i = 0; i < g->nplts; i++) {
		struct gap_find f = g->plts[i];

		f.start = MAX(f.start, gap->start);
		f.end = MIN(f.end, gap->end);
		if (f.start < f.end && (!found || f.start < ret->start)) {
			*ret = f;
			found = true;
		}
	}
	return found;
}

bool gap_next(struct gap_finder *g, struct gap *gap, struct gap_find *ret)
{
	u64 entry = g->elf->entry, at, spins, end = gap->end;
	struct gap_find plt;
	bool has_plt;

	*ret = (struct gap_find){ 0 };
	if (gap->start >= gap->end)
		return false;
	if (is_clone(g, gap)) {
		ret->start = gap->start;
		ret->end = gap->end;
		ret->rule = *gap->before;
		ret->rule.cfa = UW_CFA_CLONE;
		g->counts->clones++;
		gap->start = gap->end;
		return true;
	}
	gap->before = NULL;
	has_plt = next_plt(g, gap, &plt);
	if (has_plt)
		end = plt.start;
	at = spins = end;
	if (end - gap->start >= SCAN_MIN) {
		at = find_code(g, gap->start, end, restorer, sizeof(restorer));
		spins = find_code(g, gap->start, at, spin, sizeof(spin));
	}
	if (entry >= gap->start && entry < MIN(at, spins) && is_entry(g, entry)) {
		ret->start = entry;
		ret->end = MIN(MIN(at, spins), entry + ENTRY_MAX);
		ret->rule.cfa = UW_CFA_END;
		g->counts->entries++;
	} else if (spins < at) {
		ret->start = spins;
		ret->end = spins + sizeof(spin);
		ret->rule.cfa = UW_CFA_RSP;
		ret->rule.cfa_off = 8;
	} else if (at < end) {
		ret->start = MAX(at - 1, gap->start);
		ret->end = at + sizeof(restorer);
		ret->rule.cfa = UW_CFA_SIGNAL;
		g->counts->signals++;
	} else if (has_plt) {
		*ret = plt;
		g->counts->plts++;
	} else if (gap->after && gap->after->cfa == UW_CFA_END) {
		/*
		 * makecontext() lays down the first byte of an outermost function as return address,
		 * and what is looked up is the byte before that.
		 */
		ret->start = gap->end - 1;
		ret->end = gap->end;
		ret->rule.cfa = UW_CFA_END;
	} else {
		return false;
	}
	gap->start = ret->end;
	return true;
}
