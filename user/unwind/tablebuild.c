/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See tableimage.h: from FDEs to an image, in two passes. The first runs every program in the order of
 * the file, so that the file is read once and forwards, and keeps each function's rows as a run. Then
 * the runs, not the rows, are sorted by address: rows are sorted inside a run, and there are four to
 * ten times as many of them. The second pass goes over the addresses once, cuts what overlaps, looks
 * into the gaps, and writes pages.
 *
 * Rules are numbered twice: as they are met in the file, then by first use in the image, so that rules
 * of code that was dropped take no place in the maps.
 */
#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/map.h"
#include "sym/gopclntab.h"
#include "unwind/tablegap.h"
#include "unwind/tablego.h"
#include "unwind/tableimage.h"

#define FDES_MAX (2u << 20)
#define OUTERMOST_MAX 16 /* functions of Go's runtime that nobody called */
#define RULE_SLOTS (UW_IMAGE_RULES_MAX * 2)
#define RADIX_BITS 11
#define RADIX (1u << RADIX_BITS)

/* What a program said of the addresses from at on, relative to the first page. */
struct cell {
	u32 at;
	u16 rule;
};

/* A function: its cells are [first, first + n) of all. */
struct run {
	u32 start;
	u32 end;
	u32 first;
	u32 n;
};

struct builder {
	const struct elf *elf;
	struct unwind_counts *counts;
	u64 base; /* of the first page */
	u32 size; /* bytes from base to the end of the last page */
	u64 steps;
	struct cell *cells;
	u32 ncells, cap_cells;
	struct run *runs;
	u32 nruns, cap_runs;
	u32 nmain; /* runs of .eh_frame, sorted, while those of .debug_frame are added */
	struct uw_rule rules[UW_IMAGE_RULES_MAX];
	u16 slots[RULE_SLOTS]; /* number + 1, 0 = empty */
	u32 nrules;
};

/* The image while it grows. */
struct writer {
	struct builder *b;
	u8 *p;
	u32 npages;
	u32 nrows, cap_rows;
	u16 number[UW_IMAGE_RULES_MAX]; /* in the image, + 1; 0 = not used yet */
	u16 used[UW_IMAGE_RULES_MAX]; /* the reverse */
	u32 nused;
	u32 page; /* the last one that has rows, + 1; 0 = none */
	u32 at; /* everything before is written */
	bool full;
};

static void builder_release(struct builder *b)
{
	free(b->cells);
	free(b->runs);
}

static int grow(void **p, u32 *cap, u32 max, size_t item)
{
	u32 n = *cap ? MIN(*cap + *cap / 2, max) : 4096;
	void *q = realloc(*p, (size_t)n * item);

	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = n;
	return 0;
}

/* The number of a rule, UW_RULE_NONE when there are too many. */
static u16 rule_number(struct builder *b, const struct uw_rule *r)
{
	u64 at = hash_bytes(r, sizeof(*r), 0) % RULE_SLOTS;

	for (; b->slots[at]; at = (at + 1) % RULE_SLOTS)
		if (!memcmp(&b->rules[b->slots[at] - 1], r, sizeof(*r)))
			return (u16)(b->slots[at] - 1);
	if (b->nrules == UW_IMAGE_RULES_MAX) {
		b->counts->cut = 1;
		return UW_RULE_NONE;
	}
	b->rules[b->nrules] = *r;
	b->slots[at] = (u16)(b->nrules + 1);
	return (u16)b->nrules++;
}

static int add_cell(struct builder *b, u32 at, u16 rule)
{
	struct run *run = &b->runs[b->nruns];
	int r;

	if (run->n && b->cells[b->ncells - 1].rule == rule)
		return 0;
	if (b->ncells == UW_IMAGE_ROWS_MAX) {
		/* What is known of this function holds up to here. */
		run->end = MAX(at, run->start);
		b->counts->cut = 1;
		return -ENOSPC;
	}
	if (b->ncells == b->cap_cells) {
		r = grow((void **)&b->cells, &b->cap_cells, UW_IMAGE_ROWS_MAX, sizeof(*b->cells));
		if (r < 0)
			return r;
	}
	b->cells[b->ncells++] = (struct cell){ .at = at, .rule = rule };
	run->n++;
	return 0;
}

struct row_arg {
	struct builder *b;
	bool signal;
};

static int on_row(void *arg, u64 at, const struct cfi_state *state)
{
	const struct row_arg *a = arg;
	struct uw_rule rule;
	enum cfi_fit fit = cfi_rule(&rule, state, a->signal);

	a->b->counts->rows++;
	if (fit)
		a->b->counts->unfit[fit]++;
	return add_cell(a->b, (u32)(at - a->b->base), rule_number(a->b, &rule));
}

/* Whether a function of .eh_frame touches [start, end). */
static bool in_main(const struct builder *b, u32 start, u32 end)
{
	u32 lo = 0, hi = b->nmain;

	/* The first run that ends behind start; they are cut, so their ends are sorted too. */
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (b->runs[mid].end > start)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < b->nmain && b->runs[lo].start < end;
}

/* Room for one more. */
static int reserve_run(struct builder *b)
{
	if (b->nruns == FDES_MAX) {
		b->counts->cut = 1;
		return -ENOSPC;
	}
	if (b->nruns < b->cap_runs)
		return 0;
	return grow((void **)&b->runs, &b->cap_runs, FDES_MAX, sizeof(*b->runs));
}

static int on_fde(void *arg, const struct ehframe_fde *fde)
{
	struct builder *b = arg;
	struct row_arg a = { b, fde->signal };
	struct run *run;
	u64 start = fde->start, bad = start;
	int r;

	if (start < b->base || fde->end - b->base > b->size || !elf_in_exec(b->elf, start) ||
	    !elf_in_exec(b->elf, fde->end - 1)) {
		b->counts->outside++;
		return 0;
	}
	r = reserve_run(b);
	if (r < 0)
		return r;
	if (fde->signal && start > b->base && gap_is_restorer(b->elf, start))
		start--;
	if (b->nmain && in_main(b, (u32)(start - b->base), (u32)(fde->end - b->base)))
		return 0;
	run = &b->runs[b->nruns];
	*run = (struct run){
		.start = (u32)(start - b->base),
		.end = (u32)(fde->end - b->base),
		.first = b->ncells,
	};
	r = cfi_run(&fde->prog, fde->init, fde->start, fde->end, &b->steps, on_row, &a, &bad);
	if (r == -EINVAL || r == -ETIME) {
		/* From where it is not understood, nothing is known. */
		b->counts->bad_programs++;
		r = add_cell(b, (u32)(bad - b->base), UW_RULE_NONE);
	}
	if (run->n)
		b->cells[run->first].at = run->start;
	if (run->n && run->end > run->start)
		b->nruns++;
	return r;
}

/* By start, equal ones in the order of the file. */
static int sort_runs(struct builder *b)
{
	_free_ struct run *other = NULL;
	struct run *from = b->runs, *to;
	u32 count[RADIX], i, shift;

	for (i = 1; i < b->nruns && b->runs[i - 1].start <= b->runs[i].start; i++)
		;
	if (i >= b->nruns)
		return 0;
	other = malloc((size_t)b->cap_runs * sizeof(*other));
	if (!other)
		return -ENOMEM;
	to = other;
	for (shift = 0; shift < 3 * RADIX_BITS; shift += RADIX_BITS) {
		struct run *t = from;
		u32 sum = 0;

		memset(count, 0, sizeof(count));
		for (i = 0; i < b->nruns; i++)
			count[from[i].start >> shift & (RADIX - 1)]++;
		for (i = 0; i < RADIX; i++) {
			u32 n = count[i];

			count[i] = sum;
			sum += n;
		}
		for (i = 0; i < b->nruns; i++)
			to[count[from[i].start >> shift & (RADIX - 1)]++] = from[i];
		from = to;
		to = t;
	}
	/* Three passes: the result is in the other array. */
	other = b->runs;
	b->runs = from;
	return 0;
}

/* Sorts, and lets each run end where the next one starts. */
static int settle_runs(struct builder *b)
{
	u32 i, n = 0;
	int r = sort_runs(b);

	if (r < 0)
		return r;
	for (i = 0; i < b->nruns; i++) {
		if (n && b->runs[n - 1].start == b->runs[i].start) {
			b->counts->overlaps++;
			continue;
		}
		if (n && b->runs[n - 1].end > b->runs[i].start) {
			b->counts->overlaps++;
			b->runs[n - 1].end = b->runs[i].start;
		}
		b->runs[n++] = b->runs[i];
	}
	b->nruns = n;
	return 0;
}

static int read_frames(struct builder *b, const struct eh_frames *where)
{
	int r = ehframe_each(b->elf, where, &b->steps, &b->counts->frames, on_fde, b);

	/* Full: what there is is used. */
	if (r < 0 && r != -ENOSPC)
		return r;
	return settle_runs(b);
}

/* One rule for a whole function, before others say something of it. */
static int on_outermost(void *arg, u64 start, u64 end)
{
	const struct uw_rule rule = { .cfa = UW_CFA_END };
	struct builder *b = arg;
	struct run *run;
	int r;

	if (start < b->base || end - b->base > b->size || b->nruns == OUTERMOST_MAX)
		return 0;
	r = reserve_run(b);
	if (r < 0)
		return r;
	run = &b->runs[b->nruns];
	*run = (struct run){
		.start = (u32)(start - b->base),
		.end = (u32)(end - b->base),
		.first = b->ncells,
	};
	r = add_cell(b, run->start, rule_number(b, &rule));
	b->nruns += r == 0;
	return r;
}

static int on_go_row(void *arg, u64 at, const struct uw_rule *rule)
{
	struct builder *b = arg;

	b->counts->rows++;
	return add_cell(b, (u32)(at - b->base), rule_number(b, rule));
}

static int add_go_func(struct builder *b, struct tablego *g, const struct tablego_func *f)
{
	u64 start = f->start;
	struct run *run;
	int r = reserve_run(b);

	if (r < 0)
		return r;
	/* Return addresses are looked up at pc - 1, and nothing has called this one. */
	if (f->restorer && start > b->base)
		start--;
	if (in_main(b, (u32)(start - b->base), (u32)(f->end - b->base)))
		return 0;
	run = &b->runs[b->nruns];
	*run = (struct run){
		.start = (u32)(start - b->base),
		.end = (u32)(f->end - b->base),
		.first = b->ncells,
	};
	r = tablego_rows(g, f, &b->steps, on_go_row, b);
	if (run->n)
		b->cells[run->first].at = run->start;
	if (run->n && run->end > run->start) {
		b->nruns++;
		b->counts->go++;
	}
	return r;
}

static int read_go(struct builder *b)
{
	struct tablego g;
	struct tablego_func f;
	u64 i;
	int r = tablego_open(&g, b->elf);

	for (i = 0; r == 0 && i < g.tab.nfuncs; i++)
		if (tablego_func(&g, i, &f) && f.start >= b->base && f.end - b->base <= b->size &&
		    elf_in_exec(b->elf, f.start) && elf_in_exec(b->elf, f.end - 1))
			r = add_go_func(b, &g, &f);
	tablego_release(&g);
	/* Full, or none: what there is is used. */
	if (r < 0 && r != -ENOSPC && r != -ENOENT && r != -ETIME)
		return r;
	r = settle_runs(b);
	b->nmain = b->nruns;
	return r;
}

static int read_all(struct builder *b)
{
	struct eh_frames where;
	/* Go's call frame information goes on from there to whatever word is above the stack. */
	int r = gopclntab_outermost(b->elf, on_outermost, b);

	if (r == 0 && b->nruns)
		r = settle_runs(b);
	if (r == 0 && eh_frames_find(&where, b->elf) == 0)
		r = read_frames(b, &where);
	b->nmain = b->nruns;
	if (r == 0)
		r = read_go(b);
	if (r == 0 && eh_frames_find_debug(&where, b->elf) == 0)
		r = read_frames(b, &where);
	return r;
}

static struct uw_page *page_of(struct writer *w, u32 page)
{
	return (struct uw_page *)(w->p + sizeof(struct uw_image)) + page;
}

static struct uw_row *rows_of(struct writer *w)
{
	return (struct uw_row *)page_of(w, w->npages);
}

/* Room for one row more, and the padding one. */
static int reserve_row(struct writer *w)
{
	u32 cap = w->cap_rows ? MIN(w->cap_rows + w->cap_rows / 2, UW_IMAGE_ROWS_MAX) : 8192;
	u8 *p;

	if (w->nrows < w->cap_rows)
		return 0;
	p = realloc(w->p, sizeof(struct uw_image) + w->npages * sizeof(struct uw_page) +
				  (size_t)(cap + 1) * sizeof(struct uw_row));
	if (!p)
		return -ENOMEM;
	w->p = p;
	w->cap_rows = cap;
	return 0;
}

static u16 image_rule(struct writer *w, u16 rule)
{
	if (!w->number[rule]) {
		w->used[w->nused] = rule;
		w->number[rule] = (u16)++w->nused;
	}
	return (u16)(w->number[rule] - 1);
}

static int put_row(struct writer *w, u32 page, u32 at, u16 rule)
{
	struct uw_page *pg = page_of(w, page);
	struct uw_row *rows = rows_of(w);
	int r;

	rule = image_rule(w, rule);
	if (pg->n && rows[w->nrows - 1].rule == rule)
		return 0;
	/* The last row says that no more is known. */
	if (w->nrows >= UW_IMAGE_ROWS_MAX - 1) {
		w->full = true;
		w->b->counts->cut = 1;
		if (!pg->n || w->nrows == UW_IMAGE_ROWS_MAX)
			return 0;
		rule = image_rule(w, UW_RULE_NONE);
	}
	r = reserve_row(w);
	if (r < 0)
		return r;
	rows_of(w)[w->nrows++] = (struct uw_row){ .at = (u16)at, .rule = rule };
	page_of(w, page)->n++;
	return 0;
}

/* [w->at, to) has the rule. A page that has nothing but UW_RULE_NONE gets no rows. */
static int put_span(struct writer *w, u32 to, u16 rule)
{
	while (w->at < to && !w->full) {
		u32 page = w->at >> UW_PAGE_SHIFT, at = w->at % UW_PAGE_BYTES;
		int r = 0;

		if (page + 1 != w->page && (rule != UW_RULE_NONE)) {
			w->page = page + 1;
			if (at)
				r = put_row(w, page, 0, UW_RULE_NONE);
		}
		if (r == 0 && page + 1 == w->page)
			r = put_row(w, page, at, rule);
		if (r < 0)
			return r;
		w->at = (u32)MIN((u64)to, ((u64)page + 1) << UW_PAGE_SHIFT);
	}
	return 0;
}

static int put_run(struct writer *w, const struct run *run)
{
	const struct cell *c = w->b->cells + run->first;
	u32 i;
	int r = 0;

	for (i = 0; i < run->n && c[i].at < run->end && r == 0; i++)
		r = put_span(w, i + 1 < run->n ? MIN(c[i + 1].at, run->end) : run->end, c[i].rule);
	return r;
}

/* What a gap has of its own, and between that one rule up to its end. */
static int put_gap(struct writer *w, struct gap_finder *g, const struct run *before,
		   const struct run *after, u32 end)
{
	struct builder *b = w->b;
	struct gap gap = { .start = b->base + w->at, .end = b->base + end };
	struct gap_find find;
	struct uw_rule rule;
	u16 rest;
	int r = 0;

	if (before && before->end == w->at) {
		u32 i = before->n - 1;

		while (i && b->cells[before->first + i].at >= before->end)
			i--;
		gap.before = &b->rules[b->cells[before->first + i].rule];
	}
	if (after && after->start == end)
		gap.after = &b->rules[b->cells[after->first].rule];
	rule = gap_rule(g, &gap);
	rest = rule_number(b, &rule);
	while (r == 0 && gap_next(g, &gap, &find)) {
		r = put_span(w, (u32)(find.start - b->base), rest);
		if (r == 0)
			r = put_span(w, (u32)(find.end - b->base), rule_number(b, &find.rule));
	}
	return r == 0 ? put_span(w, end, rest) : r;
}

static int put_all(struct writer *w)
{
	struct builder *b = w->b;
	_release_(gap_finder) struct gap_finder g = { 0 };
	u32 i;
	int r = gap_finder_init(&g, b->elf, b->counts);

	for (i = 0; i < b->nruns && r == 0; i++) {
		const struct run *run = &b->runs[i];

		if (w->at < run->start)
			r = put_gap(w, &g, i ? run - 1 : NULL, run, run->start);
		if (r == 0)
			r = put_run(w, run);
	}
	if (r == 0)
		r = put_gap(w, &g, i ? &b->runs[i - 1] : NULL, NULL, b->size);
	return r;
}

static int finish(struct writer *w, struct unwind_image *ret)
{
	const struct elf *e = w->b->elf;
	u32 padded = (w->nrows + 1) & ~1u, i, first = 0;
	struct uw_image head = {
		.magic = UW_IMAGE_MAGIC,
		.nrules = w->nused,
		.npages = w->npages,
		.nrows = w->nrows,
		.vaddr = w->b->base,
		.build_id_len = e->build_id_len,
	};
	size_t n = sizeof(head) + w->npages * sizeof(struct uw_page) +
		   padded * sizeof(struct uw_row) + w->nused * sizeof(struct uw_rule);
	struct uw_rule *rules;
	u8 *p = realloc(w->p, n);

	if (!p)
		return -ENOMEM;
	w->p = p;
	memcpy(head.build_id, e->build_id, e->build_id_len);
	memcpy(p, &head, sizeof(head));
	for (i = 0; i < w->npages; i++) {
		struct uw_page *pg = page_of(w, i);

		pg->first = first;
		first += pg->n;
	}
	if (padded != w->nrows)
		rows_of(w)[w->nrows] = (struct uw_row){ 0 };
	rules = (struct uw_rule *)(rows_of(w) + padded);
	for (i = 0; i < w->nused; i++)
		rules[i] = w->b->rules[w->used[i]];
	*ret = (struct unwind_image){ .p = take_ptr(w->p), .n = n };
	return 0;
}

static int write_image(struct builder *b, struct unwind_image *ret)
{
	_free_ struct writer *w = calloc(1, sizeof(*w));
	int r;

	if (!w)
		return -ENOMEM;
	w->b = b;
	w->npages = b->size >> UW_PAGE_SHIFT;
	w->p = calloc(1, sizeof(struct uw_image) + w->npages * sizeof(struct uw_page));
	if (!w->p)
		return -ENOMEM;
	image_rule(w, UW_RULE_NONE);
	r = put_all(w);
	if (r == 0)
		r = finish(w, ret);
	free(w->p);
	return r;
}

/* The range of the table: pages of executable bytes that are in the file. */
static int set_range(struct builder *b)
{
	u64 lo = UINT64_MAX, hi = 0;
	u16 i;

	for (i = 0; i < b->elf->nloads; i++) {
		const struct elf_load *l = &b->elf->loads[i];

		if (!l->exec || !l->filesz || l->off >= b->elf->src.size)
			continue;
		lo = MIN(lo, l->vaddr);
		hi = MAX(hi, l->vaddr + MIN(l->filesz, b->elf->src.size - l->off));
	}
	if (lo >= hi || lo > UINT64_MAX - (u64)UW_IMAGE_PAGES_MAX * UW_PAGE_BYTES)
		return -ENOENT;
	b->base = lo & ~(u64)(UW_PAGE_BYTES - 1);
	if (hi - b->base > (u64)UW_IMAGE_PAGES_MAX * UW_PAGE_BYTES) {
		hi = b->base + (u64)UW_IMAGE_PAGES_MAX * UW_PAGE_BYTES;
		b->counts->cut = 1;
	}
	b->size = (u32)((hi - b->base + UW_PAGE_BYTES - 1) & ~(u64)(UW_PAGE_BYTES - 1));
	return 0;
}

int unwind_image_build(struct unwind_image *ret, const struct elf *e, struct unwind_counts *counts)
{
	static const struct uw_rule none;
	_free_ struct builder *b = NULL;
	int r;

	*counts = (struct unwind_counts){ 0 };
	if (e->machine != EM_X86_64)
		return -ENOTSUP;
	b = calloc(1, sizeof(*b));
	if (!b)
		return -ENOMEM;
	b->elf = e;
	b->counts = counts;
	b->steps = EHFRAME_STEPS;
	rule_number(b, &none);
	r = set_range(b);
	if (r == 0)
		r = read_all(b);
	if (r == 0)
		r = write_image(b, ret);
	if (counts->frames.cut)
		counts->cut = 1;
	builder_release(b);
	return r;
}
