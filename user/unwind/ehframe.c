/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See ehframe.h. The record formats differ in little: .eh_frame has CIEs with id 0 and FDEs that say how
 * far before themselves their CIE lies, .debug_frame has CIEs with id -1 and FDEs that say where in the
 * section it lies; either may have 64-bit lengths.
 *
 * CIEs are kept in a table with one slot a hash, not in a list: files have from one to a few hundred,
 * and the FDEs that name one lie together, so what a collision costs is one more look.
 */
#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/map.h"
#include "unwind/ehframe.h"

#define CIE_SLOTS 1024
#define UNPACKED_MAX (64u << 20)

struct cie {
	u64 pos; /* + 1, 0 = empty */
	bool ok;
	struct eh_cie head;
	struct cfi_state init;
};

struct walk {
	const struct eh_frames *at;
	struct ehframe_counts *counts;
	u64 *steps;
	struct elf_win fdes;
	struct elf_win
		cies; /* a window of its own, so that looking back does not lose the walk's */
	struct cie *cache;
};

/* One record, its length and id read. */
struct record {
	u64 pos; /* of its length */
	u64 id_pos;
	u64 body; /* after the id */
	u64 end;
	u64 id;
	bool wide;
};

static void walk_release(struct walk *w)
{
	elf_win_release(&w->fdes);
	elf_win_release(&w->cies);
	free(w->cache);
}

static int walk_init(struct walk *w, const struct elf *e)
{
	int r = elf_win_init(&w->fdes, &e->src);

	if (r == 0)
		r = elf_win_init(&w->cies, &e->src);
	if (r < 0)
		return r;
	w->cache = calloc(CIE_SLOTS, sizeof(*w->cache));
	return w->cache ? 0 : -ENOMEM;
}

/*
 * 1, or 0 when no record fits at pos or it is a terminator (then ret->end is behind it), or -ENODATA
 * when the file ends before.
 */
static int read_record(const struct walk *w, struct elf_win *win, u64 pos, struct record *ret)
{
	u64 left = w->at->size - pos, len;
	size_t head = (size_t)MIN(left, (u64)20), n = 4, id_size;
	const u8 *p;
	u32 v4;

	*ret = (struct record){ .pos = pos, .end = w->at->size };
	if (left < 4)
		return 0;
	p = elf_win_at(win, w->at->off + pos, head);
	if (!p)
		return -ENODATA;
	memcpy(&v4, p, 4);
	len = v4;
	if (v4 == UINT32_MAX) {
		if (head < 12)
			return 0;
		memcpy(&len, p + 4, 8);
		n = 12;
		ret->wide = true;
	}
	if (!len) {
		ret->end = pos + n;
		return 0;
	}
	if (len > left - n)
		return 0;
	ret->end = pos + n + len;
	/* In .eh_frame the id has 4 bytes however long the length is. */
	id_size = ret->wide && w->at->debug ? 8 : 4;
	if (len < id_size)
		return 0;
	memcpy(&ret->id, p + n, id_size);
	ret->id_pos = pos + n;
	ret->body = ret->id_pos + id_size;
	return 1;
}

static bool is_cie(const struct walk *w, const struct record *rec)
{
	if (!w->at->debug)
		return rec->id == 0;
	return rec->id == (rec->wide ? UINT64_MAX : UINT32_MAX);
}

static void spend(struct walk *w, u64 steps)
{
	*w->steps -= MIN(*w->steps, steps);
}

static bool load_cie(struct walk *w, u64 pos, struct cie *ret)
{
	struct cfi_program prog;
	struct record rec;
	const u8 *p, *end;

	if (read_record(w, &w->cies, pos, &rec) <= 0 || !is_cie(w, &rec) ||
	    rec.end - rec.body > ELF_WINDOW)
		return false;
	p = elf_win_at(&w->cies, w->at->off + rec.body, (size_t)(rec.end - rec.body));
	if (!p)
		return false;
	end = p + (rec.end - rec.body);
	spend(w, rec.end - rec.body);
	if (!eh_cie_parse(&ret->head, p, end) || !ret->head.program || ret->head.ra != CFI_RA)
		return false;
	prog = (struct cfi_program){
		.code_align = ret->head.code_align,
		.data_align = ret->head.data_align,
		.enc = ret->head.enc,
		.p = ret->head.program,
		.end = end,
	};
	return cfi_init(&ret->init, &prog) == 0;
}

static const struct cie *find_cie(struct walk *w, u64 pos)
{
	struct cie *c = &w->cache[hash_u64(pos) % CIE_SLOTS];

	if (c->pos != pos + 1) {
		spend(w, EHFRAME_CIE_STEPS);
		w->counts->cies++;
		c->pos = pos + 1;
		c->ok = load_cie(w, pos, c);
	}
	return c->ok ? c : NULL;
}

static const struct cie *cie_of(struct walk *w, const struct record *fde)
{
	u64 pos;

	if (w->at->debug) {
		pos = fde->id;
	} else {
		if (fde->id > fde->id_pos)
			return NULL;
		pos = fde->id_pos - fde->id;
	}
	return pos < w->at->size ? find_cie(w, pos) : NULL;
}

/* Address, length and program of an FDE whose body is at p. */
static bool parse_fde(const struct walk *w, const struct record *rec, const struct cie *c,
		      const u8 *p, struct ehframe_fde *ret)
{
	const u8 *body = p, *end = p + (rec->end - rec->body);
	u64 vaddr = w->at->vaddr + rec->body, start, size, skip;

	if (!eh_pointer(&p, end, c->head.enc, vaddr, &start) ||
	    !eh_length(&p, end, c->head.enc, &size) || size > UINT64_MAX - start)
		return false;
	if (c->head.sized) {
		if (!eh_uleb(&p, end, &skip) || skip > (u64)(end - p))
			return false;
		p += skip;
	}
	*ret = (struct ehframe_fde){
		.start = start,
		.end = start + size,
		.prog = {
			.code_align = c->head.code_align,
			.data_align = c->head.data_align,
			.enc = c->head.enc,
			.p = p,
			.end = end,
			.vaddr = vaddr + (u64)(p - body),
		},
		.init = &c->init,
		.signal = c->head.signal,
	};
	return true;
}

static int give_fde(struct walk *w, const struct record *rec, ehframe_fn fn, void *arg)
{
	const struct cie *c;
	struct ehframe_fde fde;
	const u8 *p;

	w->counts->fdes++;
	c = cie_of(w, rec);
	if (!c) {
		w->counts->bad_cies++;
		return 0;
	}
	p = rec->end - rec->body > ELF_WINDOW
		    ? NULL
		    : elf_win_at(&w->fdes, w->at->off + rec->body, (size_t)(rec->end - rec->body));
	if (!p || !parse_fde(w, rec, c, p, &fde)) {
		w->counts->bad_records++;
		return 0;
	}
	if (fde.start == fde.end) {
		w->counts->empty++;
		return 0;
	}
	return fn(arg, &fde);
}

static int walk_all(struct walk *w, ehframe_fn fn, void *arg)
{
	struct record rec;
	u64 pos;
	int r;

	for (pos = 0; w->at->size - pos >= 4; pos = rec.end) {
		if (!*w->steps) {
			w->counts->cut = 1;
			return 0;
		}
		--*w->steps;
		r = read_record(w, &w->fdes, pos, &rec);
		if (r < 0)
			return r;
		if (r == 0) {
			/* A terminator ends what has no other end. */
			if (rec.end - pos <= 12 && !w->at->exact)
				return 0;
			continue;
		}
		if (is_cie(w, &rec))
			continue;
		r = give_fde(w, &rec, fn, arg);
		if (r)
			return r;
	}
	return 0;
}

static int each_plain(const struct elf *e, const struct eh_frames *where, u64 *steps,
		      struct ehframe_counts *counts, ehframe_fn fn, void *arg)
{
	struct walk w = { .at = where, .counts = counts, .steps = steps };
	int r = walk_init(&w, e);

	if (r == 0)
		r = walk_all(&w, fn, arg);
	if (where->cut)
		counts->cut = 1;
	walk_release(&w);
	return r;
}

int ehframe_each(const struct elf *e, const struct eh_frames *where, u64 *steps,
		 struct ehframe_counts *counts, ehframe_fn fn, void *arg)
{
	struct eh_frames at = *where;
	struct elf unpacked = *e;
	_free_ u8 *mem = NULL;
	size_t size;
	int r;

	if (!where->packed)
		return each_plain(e, where, steps, counts, fn, arg);
	r = elf_unpack_sect(e, &e->debug_frame, UNPACKED_MAX, &mem, &size);
	if (r == -ENOMEM)
		return r;
	if (r < 0) {
		/* The rest of the file is as good as without it. */
		counts->cut = 1;
		return 0;
	}
	unpacked.src = (struct elf_src){ .fd = -1, .mem = mem, .size = size };
	at.off = 0;
	at.size = size;
	at.packed = false;
	return each_plain(&unpacked, &at, steps, counts, fn, arg);
}
