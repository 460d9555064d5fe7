/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Function ranges from .eh_frame: what names code without symbols. The frame table is walked record
 * by record instead of through the search table of .eh_frame_hdr: that one holds only starts, the
 * lengths are in the records anyway, and files without it work too. Records that are not understood
 * are skipped by their length; every step moves forward, so the walk ends.
 */
#include <errno.h>
#include "sym/table.h"

#define EH_FRAME_MAX (256u << 20)
#define RECORD_HEAD 28 /* length, id, start and length of the widest encoding */
#define CIE_MAX 64 /* bytes of a CIE in which its augmentation must end */
#define CIE_CACHE 64
#define ENC_BAD 0xff

/* Pointer encodings of the LSB's "DWARF exception header encoding". */
enum {
	ENC_FORMAT = 0x0f,
	ENC_ABSPTR = 0x00,
	ENC_UDATA2 = 0x02,
	ENC_UDATA4 = 0x03,
	ENC_UDATA8 = 0x04,
	ENC_SDATA2 = 0x0a,
	ENC_SDATA4 = 0x0b,
	ENC_SDATA8 = 0x0c,
	ENC_APPLY = 0x70,
	ENC_PCREL = 0x10,
	ENC_INDIRECT = 0x80,
};

struct frames {
	u64 vaddr; /* of the first record */
	u64 off;
	u64 size;
	bool exact; /* size is the section's: a terminator inside does not end it */
	struct elf_win walk;
	struct elf_win
		cies; /* a window of its own, so that looking back does not lose the walk's */
	struct {
		u64 pos; /* + 1, 0 = empty */
		u8 enc;
	} cache[CIE_CACHE];
};

static size_t enc_size(u8 enc)
{
	switch (enc & ENC_FORMAT) {
	case ENC_UDATA2:
	case ENC_SDATA2:
		return 2;
	case ENC_UDATA4:
	case ENC_SDATA4:
		return 4;
	case ENC_ABSPTR:
	case ENC_UDATA8:
	case ENC_SDATA8:
		return 8;
	}
	return 0;
}

static u64 get_value(const u8 *p, u8 format)
{
	u64 v8;
	u32 v4;
	u16 v2;

	switch (format & ENC_FORMAT) {
	case ENC_UDATA2:
	case ENC_SDATA2:
		memcpy(&v2, p, 2);
		return format & 8 ? (u64)(s64)(int16_t)v2 : v2;
	case ENC_UDATA4:
	case ENC_SDATA4:
		memcpy(&v4, p, 4);
		return format & 8 ? (u64)(s64)(s32)v4 : v4;
	}
	memcpy(&v8, p, 8);
	return v8;
}

static bool skip_leb(const u8 **p, const u8 *end)
{
	while (*p < end)
		if (!(*(*p)++ & 0x80))
			return true;
	return false;
}

/* The encoding of the addresses in the FDEs of a CIE. p: after the CIE's id, up to end. */
static u8 parse_cie(const u8 *p, const u8 *end)
{
	const u8 *aug, *aug_end;
	u8 version, enc = ENC_ABSPTR;

	if (p == end)
		return ENC_BAD;
	version = *p++;
	aug = p;
	aug_end = memchr(p, 0, (size_t)(end - p));
	if (!aug_end || (version != 1 && version != 3))
		return ENC_BAD;
	p = aug_end + 1;
	if (aug == aug_end)
		return enc;
	if (*aug != 'z' || !skip_leb(&p, end) || !skip_leb(&p, end))
		return ENC_BAD;
	if (version == 1 ? p++ >= end : !skip_leb(&p, end))
		return ENC_BAD;
	if (!skip_leb(&p, end))
		return ENC_BAD;
	for (aug++; aug < aug_end; aug++) {
		if (*aug == 'S' || *aug == 'B' || *aug == 'G')
			continue;
		if (p >= end)
			return ENC_BAD;
		if (*aug == 'R')
			return *p;
		if (*aug == 'L') {
			p++;
		} else if (*aug == 'P') {
			size_t n = enc_size(*p);

			if (!n || (size_t)(end - p) < n + 1)
				return ENC_BAD;
			p += n + 1;
		} else {
			return ENC_BAD;
		}
	}
	return enc;
}

static u8 cie_enc(struct frames *f, u64 pos)
{
	u64 slot = (pos / 4) % CIE_CACHE;
	u8 enc = ENC_BAD;
	const u8 *p;
	u32 len, id;

	if (f->cache[slot].pos == pos + 1)
		return f->cache[slot].enc;
	p = elf_win_at(&f->cies, f->off + pos, 8);
	if (p) {
		memcpy(&len, p, 4);
		memcpy(&id, p + 4, 4);
		len = (u32)MIN(MIN((u64)len, f->size - pos - 4), (u64)CIE_MAX);
		if (id == 0 && len > 4)
			p = elf_win_at(&f->cies, f->off + pos + 8, len - 4);
		else
			p = NULL;
		if (p)
			enc = parse_cie(p, p + len - 4);
	}
	f->cache[slot].pos = pos + 1;
	f->cache[slot].enc = enc;
	return enc;
}

/* p has n bytes of the record at pos, beginning with its length. */
static int add_fde(struct table_build *b, struct frames *f, u64 pos, const u8 *p, size_t n, u32 id)
{
	u64 start, size;
	u8 enc;
	size_t w;

	if (id > pos + 4)
		return 0;
	enc = cie_enc(f, pos + 4 - id);
	w = enc_size(enc);
	if (enc == ENC_BAD || enc & ENC_INDIRECT || !w || n < 8 + 2 * w)
		return 0;
	start = get_value(p + 8, enc);
	if ((enc & ENC_APPLY) == ENC_PCREL)
		start += f->vaddr + pos + 8;
	else if (enc & ENC_APPLY)
		return 0;
	size = get_value(p + 8 + w, enc & (ENC_FORMAT & ~8));
	return build_add_fde(b, start, size);
}

static int walk(struct table_build *b, struct frames *f)
{
	u64 pos = 0;

	while (f->size - pos >= 8) {
		size_t n = (size_t)MIN(f->size - pos, (u64)RECORD_HEAD);
		const u8 *p = elf_win_at(&f->walk, f->off + pos, n);
		u32 len, id;
		int r;

		if (!p)
			return -ENODATA;
		memcpy(&len, p, 4);
		memcpy(&id, p + 4, 4);
		if (len == 0) {
			if (!f->exact)
				return 0;
			pos += 4;
			continue;
		}
		/* 64-bit lengths exist on paper only. */
		if (len == UINT32_MAX || len > f->size - pos - 4)
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

/* Where the frames are, by the segment that the unwinder uses; a section only says where they end. */
static int find_frames(const struct elf *e, struct frames *f)
{
	u64 off, left, ptr;
	u8 hdr[12];

	if (!e->eh_frame_hdr) {
		f->vaddr = e->eh_frame.addr;
		f->off = e->eh_frame.off;
		f->size = e->eh_frame.size;
		f->exact = true;
		return f->size ? 0 : -ENOENT;
	}
	if (elf_vaddr_to_off(e, e->eh_frame_hdr, &off, &left) < 0 || left < sizeof(hdr) ||
	    elf_read(&e->src, off, hdr, sizeof(hdr)) < 0)
		return -ENOENT;
	if (hdr[0] != 1 || !enc_size(hdr[1]) || hdr[1] & ENC_INDIRECT)
		return -ENOENT;
	ptr = get_value(hdr + 4, hdr[1]);
	if ((hdr[1] & ENC_APPLY) == ENC_PCREL)
		ptr += e->eh_frame_hdr + 4;
	else if (hdr[1] & ENC_APPLY)
		return -ENOENT;
	if (elf_vaddr_to_off(e, ptr, &f->off, &f->size) < 0)
		return -ENOENT;
	f->vaddr = ptr;
	if (e->eh_frame.addr == ptr && e->eh_frame.size <= f->size) {
		f->size = e->eh_frame.size;
		f->exact = true;
	}
	return 0;
}

int build_fdes(struct table_build *b)
{
	struct frames f = { 0 };
	int r;

	if (find_frames(b->elf, &f) < 0 || f.off > b->elf->src.size)
		return 0;
	f.size = MIN(f.size, b->elf->src.size - f.off);
	if (f.size > EH_FRAME_MAX) {
		f.size = EH_FRAME_MAX;
		b->cut = true;
	}
	r = elf_win_init(&f.walk, &b->elf->src);
	if (r == 0)
		r = elf_win_init(&f.cies, &b->elf->src);
	if (r == 0)
		r = walk(b, &f);
	elf_win_release(&f.walk);
	elf_win_release(&f.cies);
	return r;
}
