/* SPDX-License-Identifier: Apache-2.0 */
/* See jvmheap.h. */
#include "unwind/jvmheap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"
#include "base/cleanup.h"

#define LOG2_MIN 5
#define LOG2_MAX 12
#define STATE_NOT_INSTALLED (-1) /* nmethod::_state: it is still being written */

static void blobs_free(struct jvm_blob *v, u32 n)
{
	while (n)
		free(v[--n].rows);
	free(v);
}

static void look_end(struct jvm_heaps *h)
{
	free(h->segmap);
	h->segmap = NULL;
	blobs_free(h->blobs, h->nblobs);
	h->blobs = NULL;
	h->nblobs = h->cap = 0;
	h->begun = false;
}

static void heap_release(struct jvm_heap *heap)
{
	blobs_free(heap->blobs, heap->n);
	free(heap->segmap);
	memset(heap, 0, sizeof(*heap));
}

void jvm_heaps_release(struct jvm_heaps *h)
{
	look_end(h);
	while (h->n)
		heap_release(&h->v[--h->n]);
	memset(h, 0, sizeof(*h));
}

static int word_at(struct jvm_mem *m, u64 addr, u64 *ret)
{
	return jvm_mem_get(m, addr, ret, sizeof(*ret));
}

static int int_at(struct jvm_mem *m, u64 addr, s32 *ret)
{
	return jvm_mem_get(m, addr, ret, sizeof(*ret));
}

/* Which heaps there are. They are made once, when the machine starts. */
static int read_heaps(struct jvm_heaps *h, const struct jvm_layout *l, struct jvm_mem *m)
{
	u64 array, data, at;
	s32 n = 0;
	u32 i;

	if (word_at(m, l->at[JVM_CACHE_HEAPS], &array))
		return -EFAULT;
	if (!array)
		return -EAGAIN;
	if (int_at(m, array + l->at[JVM_ARRAY_LEN], &n) ||
	    word_at(m, array + l->at[JVM_ARRAY_DATA], &data))
		return -EFAULT;
	if (n < 0 || n > JVM_HEAPS_MAX)
		return -EINVAL;
	for (i = 0; i < (u32)n; i++) {
		if (word_at(m, data + i * sizeof(u64), &at))
			return -EFAULT;
		if (i < h->n && h->v[i].at != at)
			return -EINVAL;
		h->v[i].at = at;
	}
	if ((u32)n < h->n)
		return -EINVAL;
	h->n = (u32)n;
	return 0;
}

static int space_at(struct jvm_mem *m, const struct jvm_layout *l, u64 at, u64 *low, u64 *high)
{
	if (word_at(m, at + l->at[JVM_SPACE_LOW], low) ||
	    word_at(m, at + l->at[JVM_SPACE_HIGH], high))
		return -EFAULT;
	return *low && *low <= *high && *high - *low <= JVM_HEAP_BYTES_MAX ? 0 : -EINVAL;
}

/* How the programs find out themselves what is at an address; no rule where that cannot be said. */
static struct uw_rule heap_rule(const struct jvm_layout *l, u64 segments, u32 log2)
{
	const u64 at[] = { l->size[JVM_SIZE_BLOCK] / 8, l->at[JVM_BLOB_FRAME] / 4,
			   l->at[JVM_BLOB_COMPLETE] / 4, l->at[JVM_BLOB_BEGIN] / 8 };
	const struct uw_heap heap = {
		.segments = { (u32)segments, (u32)(segments >> 32) },
		.block = (u8)at[0],
		.frame = (u8)at[1],
		.complete = (u8)at[2],
		.code = (u8)at[3],
	};
	struct uw_rule r = { .cfa = UW_CFA_HEAP, .reg = (u8)log2 };
	u32 i;

	_Static_assert(offsetof(struct uw_rule, cfa_off) + sizeof(heap) == sizeof(r), "it fits");
	for (i = 0; i < ARRAY_SIZE(at); i++)
		if (at[i] > UINT8_MAX)
			return (struct uw_rule){ 0 };
	if (l->size[JVM_SIZE_BLOCK] % 8 || l->at[JVM_BLOB_FRAME] % 4 ||
	    l->at[JVM_BLOB_COMPLETE] % 4 || l->at[JVM_BLOB_BEGIN] % 8)
		return (struct uw_rule){ 0 };
	memcpy(&r.cfa_off, &heap, sizeof(heap));
	return r;
}

static int heap_begin(struct jvm_heaps *h, const struct jvm_layout *l, struct jvm_mem *m)
{
	u64 at = h->v[h->heap].at, low, high;
	s32 log2;

	if (space_at(m, l, at + l->at[JVM_HEAP_MEMORY], &h->low, &h->high) ||
	    space_at(m, l, at + l->at[JVM_HEAP_SEGMAP], &low, &high) ||
	    int_at(m, at + l->at[JVM_HEAP_LOG2], &log2))
		return -EINVAL;
	if (log2 < LOG2_MIN || log2 > LOG2_MAX || h->low % UW_PAGE_BYTES || h->high % UW_PAGE_BYTES)
		return -EINVAL;
	h->log2 = (u32)log2;
	h->nsegs = (u32)MIN((h->high - h->low) >> log2, high - low);
	h->segmap = malloc(MAX(h->nsegs, 1U));
	if (!h->segmap)
		return -ENOMEM;
	if (jvm_mem_get(m, low, h->segmap, h->nsegs))
		return -EFAULT;
	h->unknown = heap_rule(l, low, h->log2);
	h->next = 0;
	h->old = 0;
	h->begun = true;
	return 0;
}

/* Reads the header of the block at a segment into *b: it is code, or b->begin == b->end. -errno. */
static int blob_read(u64 heap_low, u32 log2, u32 nsegs, const struct jvm_layout *l,
		     struct jvm_mem *m, struct jvm_blob *b)
{
	u64 block = heap_low + ((u64)b->block << log2), blob = block + l->size[JVM_SIZE_BLOCK],
	    length;
	s32 size, frame, complete;
	u8 used;
	u64 end;

	b->nsegs = 1;
	if (word_at(m, block + l->at[JVM_BLOCK_LENGTH], &length) ||
	    jvm_mem_get(m, block + l->at[JVM_BLOCK_USED], &used, 1))
		return -EFAULT;
	if (!length || length > nsegs - b->block)
		return -EINVAL;
	b->nsegs = (u32)length;
	b->at = blob;
	if (!used)
		return 0;
	end = block + (length << log2);
	if (int_at(m, blob + l->at[JVM_BLOB_SIZE], &size) ||
	    int_at(m, blob + l->at[JVM_BLOB_FRAME], &frame) ||
	    int_at(m, blob + l->at[JVM_BLOB_COMPLETE], &complete) ||
	    word_at(m, blob + l->at[JVM_BLOB_NAME], &b->name) ||
	    word_at(m, blob + l->at[JVM_BLOB_BEGIN], &b->begin) ||
	    word_at(m, blob + l->at[JVM_BLOB_END], &b->end))
		return -EFAULT;
	if (size <= 0 || (u64)size > end - blob || b->begin < blob || b->begin > b->end ||
	    b->end > end) {
		b->begin = b->end = 0;
		return -EINVAL;
	}
	b->frame = frame > 0 && frame < (s32)(JVM_FRAME_MAX / 8) ? (u32)frame * 8 : 0;
	b->complete = complete > 0 ? (u32)complete : 0;
	return 0;
}

/* What kind of code it is, by its name. Not 0: it is not ready. */
static int blob_kind(u64 heap_low, u32 log2, const struct jvm_layout *l, struct jvm_mem *m,
		     struct jvm_blob *b, bool *ret_interpreter)
{
	u64 blob = heap_low + ((u64)b->block << log2) + l->size[JVM_SIZE_BLOCK];
	char name[JVM_NAME_MAX];
	s8 state;

	*ret_interpreter = false;
	b->method = 0;
	if (jvm_mem_text(m, b->name, name, sizeof(name)))
		return -EFAULT;
	*ret_interpreter = !strcmp(name, "Interpreter");
	if (strcmp(name, "nmethod") != 0 && strcmp(name, "native nmethod") != 0)
		return 0;
	if (b->begin < blob + l->size[JVM_SIZE_NMETHOD])
		return -EINVAL;
	if (jvm_mem_get(m, blob + l->at[JVM_NMETHOD_STATE], &state, 1) ||
	    int_at(m, blob + l->at[JVM_NMETHOD_ID], &b->id) ||
	    word_at(m, blob + l->at[JVM_COMPILED_METHOD], &b->method))
		return -EFAULT;
	return state == STATE_NOT_INSTALLED ? -EAGAIN : 0;
}

static int blob_rows(struct jvm_mem *m, struct jvm_blob *b, bool interpreter)
{
	struct jvm_piece c = {
		.addr = b->begin,
		.n = (u32)MIN(b->end - b->begin, (u64)JVM_CODE_MAX),
		.frame = b->frame,
		.complete = b->complete,
		.interpreter = interpreter,
	};
	u32 max = MIN(c.n, (u32)JVM_ROWS_MAX);
	_free_ struct jvm_row *rows = malloc(MAX(max, 1U) * sizeof(*rows));
	_free_ u8 *code = NULL;

	if (!rows)
		return -ENOMEM;
	if (!interpreter) {
		code = malloc(MAX(c.n, 1U));
		if (!code)
			return -ENOMEM;
		if (jvm_mem_get(m, b->begin, code, c.n))
			return -EFAULT;
		c.p = code;
	}
	b->nrows = jvm_rows(&c, rows, max);
	free(b->rows);
	b->rows = malloc(MAX(b->nrows, 1U) * sizeof(*rows));
	if (!b->rows) {
		b->nrows = 0;
		return -ENOMEM;
	}
	memcpy(b->rows, rows, b->nrows * sizeof(*rows));
	return 0;
}

/* Everything of the block at b->block. What cannot be understood is empty, and looked at again. */
static int blob_take(struct jvm_heaps *h, const struct jvm_layout *l, struct jvm_mem *m,
		     struct jvm_blob *b, u64 now_ns)
{
	bool interpreter;
	int err = blob_read(h->low, h->log2, h->nsegs, l, m, b);

	if (!err && b->end > b->begin)
		err = blob_kind(h->low, h->log2, l, m, b, &interpreter);
	if (!err && b->end > b->begin)
		err = blob_rows(m, b, interpreter);
	if (err)
		b->begin = b->end = 0;
	b->checked_ns = now_ns;
	return err == -ENOMEM ? err : 0;
}

/* Is it in the same place with the same map? It keeps what is known of it. */
static bool is_same(const struct jvm_heap *heap, const struct jvm_heaps *h,
		    const struct jvm_blob *b)
{
	return b->end > b->begin && heap->low == h->low && heap->log2 == h->log2 &&
	       b->block + b->nsegs <= h->nsegs &&
	       !memcmp(heap->segmap + b->block, h->segmap + b->block, b->nsegs);
}

static struct jvm_blob *blob_new(struct jvm_heaps *h)
{
	if (!array_room(&h->blobs, h->nblobs, &h->cap, UINT32_MAX, sizeof(*h->blobs)))
		return NULL;
	memset(&h->blobs[h->nblobs], 0, sizeof(*h->blobs));
	return &h->blobs[h->nblobs++];
}

/* The next block. 1: there is none. */
static int look_block(struct jvm_heaps *h, const struct jvm_layout *l, struct jvm_mem *m,
		      u64 now_ns)
{
	struct jvm_heap *heap = &h->v[h->heap];
	const u8 *zero =
		h->next < h->nsegs ? memchr(h->segmap + h->next, 0, h->nsegs - h->next) : NULL;
	struct jvm_blob *b, *was;
	u32 at;

	if (!zero || h->nblobs == JVM_BLOBS_MAX)
		return 1;
	at = (u32)(zero - h->segmap);
	while (h->old < heap->n && heap->blobs[h->old].block < at) {
		heap->changed |= heap->blobs[h->old].rows != NULL;
		h->old++;
	}
	was = h->old < heap->n && heap->blobs[h->old].block == at ? &heap->blobs[h->old++] : NULL;
	b = blob_new(h);
	if (!b)
		return -ENOMEM;
	if (was && is_same(heap, h, was) &&
	    (!was->young || jvm_blob_check(heap, was, l, m, now_ns))) {
		*b = *was;
		b->young = false;
		was->rows = NULL;
	} else {
		b->block = at;
		b->young = true;
		if (blob_take(h, l, m, b, now_ns))
			return -ENOMEM;
		heap->changed |= b->nrows || (was && was->nrows);
	}
	h->next = at + b->nsegs;
	return 0;
}

static void heap_end(struct jvm_heaps *h)
{
	struct jvm_heap *heap = &h->v[h->heap];

	for (; h->old < heap->n; h->old++)
		heap->changed |= heap->blobs[h->old].rows != NULL;
	heap->changed |= heap->high != h->high;
	blobs_free(heap->blobs, heap->n);
	free(heap->segmap);
	heap->blobs = h->blobs;
	heap->n = h->nblobs;
	heap->segmap = h->segmap;
	heap->nsegs = h->nsegs;
	heap->low = h->low;
	heap->high = h->high;
	heap->log2 = h->log2;
	heap->unknown = h->unknown;
	h->blobs = NULL;
	h->segmap = NULL;
	h->nblobs = h->cap = 0;
	h->begun = false;
	h->heap++;
}

int jvm_heaps_look(struct jvm_heaps *h, const struct jvm_layout *l, struct jvm_mem *m, u32 reads,
		   u64 now_ns)
{
	u64 until = m->reads + reads;
	int err = 0;

	if (!h->heap && !h->begun)
		err = read_heaps(h, l, m);
	while (!err && h->heap < h->n) {
		if (m->reads >= until)
			return 0;
		if (!h->begun)
			err = heap_begin(h, l, m);
		else
			err = look_block(h, l, m, now_ns);
		if (err == 1) {
			heap_end(h);
			err = 0;
		}
	}
	h->heap = 0;
	if (err)
		look_end(h);
	return err ? err : 1;
}

struct jvm_blob *jvm_heaps_find(struct jvm_heaps *h, u64 addr, struct jvm_heap **ret_heap)
{
	u32 i, lo = 0, hi;

	for (i = 0; i < h->n; i++)
		if (addr >= h->v[i].low && addr < h->v[i].high)
			break;
	if (i == h->n)
		return NULL;
	*ret_heap = &h->v[i];
	hi = h->v[i].n;
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;
		const struct jvm_blob *b = &h->v[i].blobs[mid];

		if (h->v[i].low + ((u64)(b->block + b->nsegs) << h->v[i].log2) <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == h->v[i].n ? NULL : &h->v[i].blobs[lo];
}

bool jvm_blob_check(struct jvm_heap *heap, struct jvm_blob *b, const struct jvm_layout *l,
		    struct jvm_mem *m, u64 now_ns)
{
	struct jvm_blob now = { .block = b->block };
	bool interpreter;

	b->checked_ns = now_ns;
	if (!blob_read(heap->low, heap->log2, heap->nsegs, l, m, &now) && now.end > now.begin &&
	    !blob_kind(heap->low, heap->log2, l, m, &now, &interpreter) && now.begin == b->begin &&
	    now.end == b->end && now.id == b->id && now.method == b->method &&
	    now.name == b->name && now.frame == b->frame && now.complete == b->complete)
		return true;
	b->begin = b->end = 0;
	heap->changed = true;
	return false;
}

/* An image while it grows; the counts of the head are those of now. */
struct writer {
	u64 low;
	struct uw_page *pages;
	u32 npages;
	struct uw_row *rows;
	u32 nrows, cap;
	struct uw_rule rules[UW_IMAGE_RULES_MAX];
	u32 nrules;
	u64 at; /* everything before is written */
	u16 rule; /* from there on */
	u16 unknown; /* where there is no piece */
	bool oom;
};

static u16 rule_number(struct writer *w, const struct uw_rule *r)
{
	u32 i;

	for (i = 0; i < w->nrules; i++)
		if (!memcmp(&w->rules[i], r, sizeof(*r)))
			return (u16)i;
	if (w->nrules == UW_IMAGE_RULES_MAX)
		return UW_RULE_NONE;
	w->rules[w->nrules] = *r;
	return (u16)w->nrules++;
}

static void put_row(struct writer *w, u64 off, u16 rule)
{
	struct uw_page *page = &w->pages[off >> UW_PAGE_SHIFT];

	if (page->n && w->rows[w->nrows - 1].rule == rule)
		return;
	/* Each page begins with a row, if it has any; pages of which nothing is known have none. */
	if (!page->n && off % UW_PAGE_BYTES)
		put_row(w, off & ~(u64)(UW_PAGE_BYTES - 1), w->unknown);
	if (!array_room(&w->rows, w->nrows, &w->cap, UW_IMAGE_ROWS_MAX, sizeof(*w->rows))) {
		w->oom = true;
		return;
	}
	if (!page->n)
		page->first = w->nrows;
	page->n++;
	w->rows[w->nrows++] = (struct uw_row){ .at = off % UW_PAGE_BYTES, .rule = rule };
}

/* From addr on the rule is another one. */
static void put_change(struct writer *w, u64 addr, u16 rule)
{
	u64 end = addr - w->low, at;

	if (end < w->at)
		return;
	for (at = w->at; at < end; at = (at | (UW_PAGE_BYTES - 1)) + 1)
		if (w->rule != UW_RULE_NONE || w->pages[at >> UW_PAGE_SHIFT].n)
			put_row(w, at, w->rule);
	w->at = end;
	w->rule = rule;
}

static void put_blob(struct writer *w, const struct jvm_blob *b)
{
	u32 i;

	for (i = 0; i < b->nrows && !w->oom; i++) {
		struct uw_rule r = jvm_rule(b->rows[i].shape, b->frame);

		if (b->begin + b->rows[i].at < b->end)
			put_change(w, b->begin + b->rows[i].at, rule_number(w, &r));
	}
	put_change(w, b->end, w->unknown);
}

static int finish(const struct writer *w, struct unwind_image *ret)
{
	u32 padded = (w->nrows + 1) & ~1U, i, first = 0;
	struct uw_image head = {
		.magic = UW_IMAGE_MAGIC,
		.nrules = w->nrules,
		.npages = w->npages,
		.nrows = w->nrows,
		.vaddr = w->low,
	};
	size_t n = sizeof(head) + w->npages * sizeof(*w->pages) + padded * sizeof(*w->rows) +
		   w->nrules * sizeof(*w->rules);
	u8 *p = calloc(1, n), *out = p;

	if (!p)
		return -ENOMEM;
	for (i = 0; i < w->npages; i++) {
		if (!w->pages[i].n)
			w->pages[i].first = first;
		first += w->pages[i].n;
	}
	out = mempcpy(out, &head, sizeof(head));
	out = mempcpy(out, w->pages, w->npages * sizeof(*w->pages));
	if (w->nrows)
		memcpy(out, w->rows, w->nrows * sizeof(*w->rows));
	memcpy(out + padded * sizeof(*w->rows), w->rules, w->nrules * sizeof(*w->rules));
	*ret = (struct unwind_image){ .p = p, .n = n };
	return 0;
}

int jvm_heap_image(const struct jvm_heap *heap, struct unwind_image *ret)
{
	struct writer *w;
	int err = -ENOMEM;
	u32 i;

	if (heap->low >= heap->high)
		return -ENOENT;
	w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->low = heap->low;
	w->npages = (u32)((heap->high - heap->low) >> UW_PAGE_SHIFT);
	w->pages = calloc(w->npages, sizeof(*w->pages));
	w->nrules = 1;
	w->unknown = w->rule = rule_number(w, &heap->unknown);
	for (i = 0; w->pages && i < heap->n && !w->oom; i++)
		if (heap->blobs[i].end > heap->blobs[i].begin)
			put_blob(w, &heap->blobs[i]);
	if (w->pages && !w->oom)
		put_change(w, heap->high, w->unknown);
	if (w->pages && !w->oom)
		err = finish(w, ret);
	free(w->pages);
	free(w->rows);
	free(w);
	return err;
}
