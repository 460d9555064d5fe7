/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function ranges from .eh_frame: what names code without symbols. The frame table is walked record
 * by record instead of through the search table of .eh_frame_hdr: that one holds only starts, the
 * lengths are in the records anyway, and files without it work too. Records that are not understood
 * are skipped by their length; every step moves forward, so the walk ends.
 */
#include <errno.h>
#include "sym/ehpointer.h"
#include "sym/table.h"

#define RECORD_HEAD 28 /* length, id, start and length of the widest encoding of fixed size */
#define CIE_MAX 64 /* bytes of a CIE in which its augmentation must end */
#define CIE_CACHE 64

struct frames {
	struct eh_frames at;
	struct elf_win walk;
	struct elf_win
		cies; /* a window of its own, so that looking back does not lose the walk's */
	struct {
		u64 pos; /* + 1, 0 = empty */
		u8 enc;
	} cache[CIE_CACHE];
};

/* The encoding of the addresses in the FDEs of the CIE at pos. */
static u8 cie_enc(struct frames *f, u64 pos)
{
	u64 slot = (pos / 4) % CIE_CACHE;
	u8 enc = EH_OMIT;
	struct eh_cie cie;
	const u8 *p;
	u32 len, id;

	if (f->cache[slot].pos == pos + 1)
		return f->cache[slot].enc;
	p = elf_win_at(&f->cies, f->at.off + pos, 8);
	if (p) {
		memcpy(&len, p, 4);
		memcpy(&id, p + 4, 4);
		len = (u32)MIN(MIN((u64)len, f->at.size - pos - 4), (u64)CIE_MAX);
		if (id == 0 && len > 4)
			p = elf_win_at(&f->cies, f->at.off + pos + 8, len - 4);
		else
			p = NULL;
		if (p && eh_cie_parse(&cie, p, p + len - 4))
			enc = cie.enc;
	}
	f->cache[slot].pos = pos + 1;
	f->cache[slot].enc = enc;
	return enc;
}

/* p has n bytes of the record at pos, beginning with its length. */
static int add_fde(struct table_build *b, struct frames *f, u64 pos, const u8 *p, size_t n, u32 id)
{
	const u8 *end = p + n;
	u64 start, size;
	u8 enc;

	if (id > pos + 4)
		return 0;
	enc = cie_enc(f, pos + 4 - id);
	p += 8;
	if (n < 8 || !eh_pointer(&p, end, enc, f->at.vaddr + pos + 8, &start) ||
	    !eh_length(&p, end, enc, &size))
		return 0;
	return build_add_fde(b, start, size);
}

static int walk(struct table_build *b, struct frames *f)
{
	u64 pos = 0;

	while (f->at.size - pos >= 8) {
		size_t n = (size_t)MIN(f->at.size - pos, (u64)RECORD_HEAD);
		const u8 *p = elf_win_at(&f->walk, f->at.off + pos, n);
		u32 len, id;
		int r;

		if (!p)
			return -ENODATA;
		memcpy(&len, p, 4);
		memcpy(&id, p + 4, 4);
		if (len == 0) {
			if (!f->at.exact)
				return 0;
			pos += 4;
			continue;
		}
		/* 64-bit lengths exist on paper only. */
		if (len == UINT32_MAX || len > f->at.size - pos - 4)
			return 0;
		if (id && len >= 4) {
			r = add_fde(b, f, pos, p, MIN(n, (size_t)len + 4), id);
			if (r < 0)
				return r;
		}
		pos += 4 + (u64)len;
	}
	return 0;
}

int build_fdes(struct table_build *b)
{
	struct frames f = { 0 };
	int r;

	if (eh_frames_find(&f.at, b->elf) < 0)
		return 0;
	if (f.at.cut)
		b->cut = true;
	r = elf_win_init(&f.walk, &b->elf->src);
	if (r == 0)
		r = elf_win_init(&f.cies, &b->elf->src);
	if (r == 0)
		r = walk(b, &f);
	elf_win_release(&f.walk);
	elf_win_release(&f.cies);
	return r;
}
