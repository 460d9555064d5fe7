/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See table.h. Input: raw symbols, which overlap, nest, lie and repeat, and unwind entries. Output:
 * disjoint runs. Flattening once at load makes every later question one binary search, and makes
 * the ranges in symbol records exact.
 */
#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "sym/table.h"

#define SEG_LEN_MAX ((1u << 29) - 1)
#define RADIX_BITS 11
#define RADIX (1u << RADIX_BITS)

void table_release(struct table *t)
{
	free(t->segs);
	free(t->names);
	*t = (struct table){ 0 };
}

size_t table_bytes(const struct table *t)
{
	return t->n * sizeof(*t->segs) + t->names_len;
}

const struct table_seg *table_find(const struct table *t, u64 vaddr, u64 *ret_lo, u64 *ret_hi)
{
	u64 rel = vaddr - t->base, prev_end;
	u32 lo = 0, hi = t->n;

	*ret_lo = 0;
	*ret_hi = UINT64_MAX;
	if (vaddr < t->base) {
		if (t->n)
			*ret_hi = t->base + t->segs[0].start;
		return NULL;
	}
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (t->segs[mid].start <= rel)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < t->n)
		*ret_hi = t->base + t->segs[lo].start;
	if (!lo)
		return NULL;
	prev_end = (u64)t->segs[lo - 1].start + t->segs[lo - 1].len;
	if (rel >= prev_end) {
		*ret_lo = t->base + prev_end;
		return NULL;
	}
	*ret_lo = t->base + t->segs[lo - 1].start;
	*ret_hi = t->base + prev_end;
	return &t->segs[lo - 1];
}

void build_init(struct table_build *b, const struct elf *e)
{
	*b = (struct table_build){ .elf = e };
}

void build_release(struct table_build *b)
{
	free(b->raw);
	free(b->fdes);
	free(b->strs);
	*b = (struct table_build){ 0 };
}

static int grow(void *array, size_t *cap, size_t need, size_t item)
{
	void **p = array, *q;
	size_t n = *cap ? *cap : 256;

	if (need <= *cap)
		return 0;
	while (n < need)
		n *= 2;
	q = realloc(*p, n * item);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = n;
	return 0;
}

int build_add_symbol(struct table_build *b, u64 start, u64 size, u32 name, u32 rank)
{
	u64 rel = start - b->elf->exec_lo;
	int r;

	if (!elf_in_exec(b->elf, start) || rel >= UINT32_MAX)
		return 0;
	if (b->nraw == TABLE_SYMS_MAX) {
		b->cut = true;
		return 0;
	}
	r = grow(&b->raw, &b->cap_raw, b->nraw + 1, sizeof(*b->raw));
	if (r < 0)
		return r;
	b->raw[b->nraw++] = (struct table_raw){
		.start = (u32)rel,
		.end = (u32)(rel + MIN(size, MIN((u64)SEG_LEN_MAX, UINT32_MAX - rel))),
		.name = name,
		.rank = rank,
	};
	return 0;
}

int build_add_fde(struct table_build *b, u64 start, u64 size)
{
	u64 rel = start - b->elf->exec_lo;
	int r;

	if (!size || size > SEG_LEN_MAX || !elf_in_exec(b->elf, start) || rel >= UINT32_MAX - size)
		return 0;
	if (b->nfdes == TABLE_SYMS_MAX) {
		b->cut = true;
		return 0;
	}
	r = grow(&b->fdes, &b->cap_fdes, b->nfdes + 1, sizeof(*b->fdes));
	if (r < 0)
		return r;
	b->fdes[b->nfdes++] = rel << 32 | size;
	return 0;
}

int build_add_strs(struct table_build *b, size_t n, u32 *ret_off)
{
	int r;

	if (n >= TABLE_STRS_MAX || b->nstrs + n + 1 > TABLE_STRS_MAX)
		return -EFBIG;
	/* String tables are large and few: room for exactly this one, then doubling for PLT names. */
	if (b->cap_strs < b->nstrs + n + 1 && n > 4096) {
		char *q = realloc(b->strs, b->nstrs + n + 1);

		if (!q)
			return -ENOMEM;
		b->strs = q;
		b->cap_strs = b->nstrs + n + 1;
	}
	r = grow(&b->strs, &b->cap_strs, b->nstrs + n + 1, 1);
	if (r < 0)
		return r;
	*ret_off = (u32)b->nstrs;
	b->nstrs += n + 1;
	b->strs[b->nstrs - 1] = 0;
	return 0;
}

static int cmp_u64(const void *pa, const void *pb)
{
	u64 a = *(const u64 *)pa, b = *(const u64 *)pb;

	return (a > b) - (a < b);
}

/* Enclosing ranges before what they enclose. */
static int cmp_raw(const void *pa, const void *pb)
{
	const struct table_raw *a = pa, *b = pb;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->end != b->end)
		return a->end > b->end ? -1 : 1;
	return (a->rank > b->rank) - (a->rank < b->rank);
}

/*
 * By cmp_raw. Large files are mostly distinct starts, for which three passes over digits of the
 * start take a fifth of the time of comparing; only what shares a start is compared.
 */
static int sort_raw(struct table_build *b)
{
	_free_ struct table_raw *tmp = NULL;
	struct table_raw *from = b->raw, *to;
	_free_ u32 *at = NULL;
	size_t i, j, n = b->nraw;
	u32 shift;

	at = malloc(RADIX * sizeof(*at));
	tmp = malloc((n + 1) * sizeof(*tmp));
	if (!at || !tmp)
		return -ENOMEM;
	to = tmp;
	for (shift = 0; shift < 32; shift += RADIX_BITS) {
		struct table_raw *swap = from;
		u32 sum = 0;

		memset(at, 0, RADIX * sizeof(*at));
		for (i = 0; i < n; i++)
			at[from[i].start >> shift & (RADIX - 1)]++;
		for (i = 0; i < RADIX; i++) {
			u32 count = at[i];

			at[i] = sum;
			sum += count;
		}
		for (i = 0; i < n; i++)
			to[at[from[i].start >> shift & (RADIX - 1)]++] = from[i];
		from = to;
		to = swap;
	}
	if (n)
		memcpy(b->raw, from, n * sizeof(*from));
	for (i = 0; i < n; i = j) {
		for (j = i + 1; j < n && b->raw[j].start == b->raw[i].start; j++)
			;
		if (j - i > 1)
			qsort(b->raw + i, j - i, sizeof(*b->raw), cmp_raw);
	}
	return 0;
}

/* Sorted by start, one entry a start (the shortest), none reaching over the next one's start. */
static void finish_fdes(struct table_build *b)
{
	size_t i, n = 0;

	if (b->nfdes)
		qsort(b->fdes, b->nfdes, sizeof(*b->fdes), cmp_u64);
	for (i = 0; i < b->nfdes; i++) {
		u64 start = b->fdes[i] >> 32;

		if (n && b->fdes[n - 1] >> 32 == start)
			continue;
		if (n) {
			u64 prev = b->fdes[n - 1];
			u64 len = MIN(prev & UINT32_MAX, start - (prev >> 32));

			b->fdes[n - 1] = (prev & ~(u64)UINT32_MAX) | len;
		}
		b->fdes[n++] = b->fdes[i];
	}
	b->nfdes = n;
}

static u32 fde_len_at(const struct table_build *b, u32 start)
{
	size_t lo = 0, hi = b->nfdes;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (b->fdes[mid] >> 32 < start)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < b->nfdes && b->fdes[lo] >> 32 == start ? (u32)b->fdes[lo] : 0;
}

static size_t name_len(const struct table_build *b, u32 name)
{
	return strnlen(b->strs + name, SYM_NAME_MAX);
}

static bool name_before(const struct table_build *b, u32 x, u32 y)
{
	return strncmp(b->strs + x, b->strs + y, SYM_NAME_MAX) < 0;
}

/* Gives sizes to symbols without one, sorts, keeps the best name of each range. */
static int finish_raw(struct table_build *b)
{
	size_t i, n = 0;
	int r;

	for (i = 0; i < b->nraw; i++) {
		struct table_raw e = b->raw[i];

		if (e.end == e.start)
			e.end += fde_len_at(b, e.start);
		if (e.end > e.start)
			b->raw[n++] = e;
	}
	b->nraw = n;
	r = sort_raw(b);
	if (r < 0)
		return r;
	for (i = 0, n = 0; i < b->nraw; i++) {
		struct table_raw *e = &b->raw[i], *kept = n ? &b->raw[n - 1] : NULL;

		if (!kept || kept->start != e->start || kept->end != e->end)
			b->raw[n++] = *e;
		else if (kept->rank == e->rank && name_before(b, e->name, kept->name))
			kept->name = e->name;
	}
	b->nraw = n;
	return 0;
}

/* Moves the kept names together; a raw entry's name then is its offset there. */
static int finish_names(struct table_build *b, struct table *t)
{
	_free_ char *names = NULL;
	size_t i, total = 0, n = 0;

	for (i = 0; i < b->nraw && total <= TABLE_NAMES_MAX; i++)
		total += name_len(b, b->raw[i].name) + 1;
	total = MIN(total, (size_t)TABLE_NAMES_MAX);
	names = malloc(total + 1);
	if (!names)
		return -ENOMEM;
	for (i = 0; i < b->nraw; i++) {
		size_t len = name_len(b, b->raw[i].name);

		if (len + 1 > total - n) {
			b->nraw = i;
			b->cut = true;
			break;
		}
		memcpy(names + n, b->strs + b->raw[i].name, len);
		names[n + len] = 0;
		b->raw[i].name = (u32)n;
		n += len + 1;
	}
	t->names = take_ptr(names);
	t->names_len = (u32)n;
	return 0;
}

static void emit(struct table *t, u32 start, u32 end, u32 name, enum sym_quality kind)
{
	if (start < end)
		t->segs[t->n++] = (struct table_seg){
			.start = start,
			.len = MIN(end - start, SEG_LEN_MAX),
			.kind = kind & 7u,
			.name = name,
		};
}

/* Runs of the symbol that is innermost; stack holds those that are open, outermost first. */
static void flatten(const struct table_build *b, struct table *t, u32 *stack)
{
	size_t i, depth = 0;
	u32 pos = 0;

	for (i = 0; i <= b->nraw; i++) {
		u32 next = i < b->nraw ? b->raw[i].start : UINT32_MAX;

		while (depth && pos < next) {
			const struct table_raw *top = &b->raw[stack[depth - 1]];
			u32 to = MIN(top->end, next);

			if (to > pos) {
				emit(t, pos, to, top->name, top->rank & 7);
				pos = to;
			}
			if (top->end <= pos)
				depth--;
		}
		pos = next;
		if (i < b->nraw)
			stack[depth++] = (u32)i;
	}
}

/* Adds what the unwind entries cover and no symbol does; from has the symbols' runs. */
static void overlay(const struct table_build *b, const struct table *from, struct table *t)
{
	size_t f;
	u32 s = 0, covered = 0;

	for (f = 0; f < b->nfdes; f++) {
		u32 start = (u32)(b->fdes[f] >> 32), pos = MAX(start, covered);
		u32 end = start + (u32)b->fdes[f];

		for (; s < from->n && from->segs[s].start < end; s++) {
			const struct table_seg *seg = &from->segs[s];

			emit(t, pos, MIN(seg->start, end), start, SYM_FDE);
			covered = seg->start + seg->len;
			pos = MAX(pos, covered);
			t->segs[t->n++] = *seg;
		}
		emit(t, pos, end, start, SYM_FDE);
	}
	for (; s < from->n; s++)
		t->segs[t->n++] = from->segs[s];
}

int build_finish(struct table_build *b, struct table *ret)
{
	_free_ u32 *stack = NULL;
	struct table syms = { 0 }, all = { .base = b->elf->exec_lo };
	struct table_seg *fit;
	int r;

	finish_fdes(b);
	r = finish_raw(b);
	if (r == 0)
		r = finish_names(b, &all);
	if (r < 0)
		return r;
	/* Each end of a range ends at most one run, so no more than two runs a range. */
	syms.segs = malloc((2 * b->nraw + 1) * sizeof(*syms.segs));
	stack = malloc((b->nraw + 1) * sizeof(*stack));
	if (syms.segs && stack) {
		flatten(b, &syms, stack);
		all.segs = malloc((2 * (size_t)syms.n + b->nfdes + 1) * sizeof(*all.segs));
	}
	if (!all.segs) {
		table_release(&syms);
		table_release(&all);
		return -ENOMEM;
	}
	overlay(b, &syms, &all);
	table_release(&syms);
	fit = realloc(all.segs, (all.n + 1) * sizeof(*fit));
	if (fit)
		all.segs = fit;
	all.cut = b->cut;
	*ret = all;
	return 0;
}
