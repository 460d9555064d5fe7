/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See ehpointer.h. The lowest step of reading call frame information: bytes become numbers, and a
 * number that is not there or cannot be meant is refused here, so that callers only compare ranges.
 */
#include <errno.h>
#include "sym/ehpointer.h"

bool eh_uleb(const u8 **p, const u8 *end, u64 *ret)
{
	const u8 *q = *p;
	unsigned int shift = 0;
	u64 v = 0;

	while (q < end) {
		u8 b = *q++;

		/* Bits beyond 64 are dropped, as padding to a fixed width is allowed to have them. */
		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
		shift += 7;
		if (!(b & 0x80)) {
			*p = q;
			*ret = v;
			return true;
		}
	}
	return false;
}

bool eh_sleb(const u8 **p, const u8 *end, s64 *ret)
{
	const u8 *q = *p;
	unsigned int shift = 0;
	u64 v = 0;

	while (q < end) {
		u8 b = *q++;

		if (shift < 64)
			v |= (u64)(b & 0x7f) << shift;
		shift += 7;
		if (!(b & 0x80)) {
			if (shift < 64 && b & 0x40)
				v |= ~0ULL << shift;
			*p = q;
			*ret = (s64)v;
			return true;
		}
	}
	return false;
}

static size_t format_size(u8 enc)
{
	switch (enc & EH_FORMAT) {
	case EH_UDATA2:
	case EH_SDATA2:
		return 2;
	case EH_UDATA4:
	case EH_SDATA4:
		return 4;
	case EH_ABSPTR:
	case EH_UDATA8:
	case EH_SDATA8:
		return 8;
	}
	return 0;
}

static bool get_value(const u8 **p, const u8 *end, u8 enc, u64 *ret)
{
	size_t n = format_size(enc);
	bool has_sign = enc & 8;
	u64 v8;
	u32 v4;
	u16 v2;

	if ((enc & EH_FORMAT) == EH_ULEB)
		return eh_uleb(p, end, ret);
	if ((enc & EH_FORMAT) == EH_SLEB) {
		s64 v;

		if (!eh_sleb(p, end, &v))
			return false;
		*ret = (u64)v;
		return true;
	}
	if (!n || (size_t)(end - *p) < n)
		return false;
	if (n == 2) {
		memcpy(&v2, *p, 2);
		*ret = has_sign ? (u64)(s64)(int16_t)v2 : v2;
	} else if (n == 4) {
		memcpy(&v4, *p, 4);
		*ret = has_sign ? (u64)(s64)(s32)v4 : v4;
	} else {
		memcpy(&v8, *p, 8);
		*ret = v8;
	}
	*p += n;
	return true;
}

bool eh_pointer(const u8 **p, const u8 *end, u8 enc, u64 vaddr, u64 *ret)
{
	const u8 *q = *p;
	u64 v;

	if (enc == EH_OMIT || enc & EH_INDIRECT)
		return false;
	if ((enc & EH_APPLY) == EH_ALIGNED) {
		u64 skip = -vaddr & 7;

		if (enc != EH_ALIGNED || (u64)(end - q) < skip)
			return false;
		q += skip;
	}
	if (!get_value(&q, end, enc, &v))
		return false;
	switch (enc & EH_APPLY) {
	case EH_ABSPTR:
	case EH_TEXTREL:
	case EH_ALIGNED:
		break;
	case EH_PCREL:
		v += vaddr;
		break;
	default:
		return false;
	}
	*p = q;
	*ret = v;
	return true;
}

bool eh_length(const u8 **p, const u8 *end, u8 enc, u64 *ret)
{
	return get_value(p, end, enc & (EH_FORMAT & ~8), ret);
}

/* Letters after 'z', each with its data at p. *enc stays as it is when 'R' is not among them. */
static bool parse_letters(struct eh_cie *c, const u8 *letter, const u8 *letters_end, const u8 *p,
			  const u8 *end)
{
	bool located = false;

	for (; letter < letters_end; letter++) {
		u64 skipped;
		u8 enc;

		switch (*letter) {
		case 'S':
			c->signal = true;
			continue;
		case 'B': /* arm64: pointers signed with the other key */
		case 'G': /* arm64: tagged stack */
			continue;
		case 'R':
		case 'L':
		case 'P':
			break;
		default:
			/* What follows cannot be located any more; addresses were what mattered. */
			return located;
		}
		if (p >= end)
			return false;
		enc = *p++;
		if (*letter == 'R') {
			c->enc = enc;
			located = true;
		}
		/* Only its width counts: where the personality routine is does not matter. */
		if (*letter == 'P' &&
		    ((enc & EH_APPLY) == EH_ALIGNED || !get_value(&p, end, enc, &skipped)))
			return false;
	}
	return true;
}

bool eh_cie_parse(struct eh_cie *ret, const u8 *p, const u8 *end)
{
	const u8 *aug, *aug_end;
	u64 len;
	u8 version;

	*ret = (struct eh_cie){ .enc = EH_ABSPTR };
	if (p == end)
		return false;
	version = *p++;
	aug = p;
	aug_end = memchr(p, 0, (size_t)(end - p));
	if (!aug_end || (version != 1 && version != 3 && version != 4))
		return false;
	p = aug_end + 1;
	if (version == 4) {
		/* Size of an address, size of a segment selector. */
		if (end - p < 2 || p[0] != 8 || p[1] != 0)
			return false;
		p += 2;
	}
	if (!eh_uleb(&p, end, &ret->code_align) || !eh_sleb(&p, end, &ret->data_align))
		return false;
	if (version == 1) {
		if (p == end)
			return false;
		ret->ra = *p++;
	} else if (!eh_uleb(&p, end, &ret->ra)) {
		return false;
	}
	if (aug == aug_end) {
		ret->program = p;
		return true;
	}
	if (*aug != 'z' || !eh_uleb(&p, end, &len))
		return false;
	ret->sized = true;
	if (len <= (u64)(end - p))
		ret->program = p + len;
	return parse_letters(ret, aug + 1, aug_end, p, ret->program ? ret->program : end);
}

static int set_frames(struct eh_frames *f, const struct elf *e)
{
	if (f->off >= e->src.size || !f->size)
		return -ENOENT;
	f->size = MIN(f->size, e->src.size - f->off);
	if (f->size > EH_FRAMES_MAX) {
		f->size = EH_FRAMES_MAX;
		f->cut = true;
	}
	return 0;
}

static int set_section(struct eh_frames *f, const struct elf *e, const struct elf_sect *s)
{
	f->vaddr = s->addr;
	f->off = s->off;
	f->size = s->size;
	f->exact = true;
	return set_frames(f, e);
}

int eh_frames_find(struct eh_frames *ret, const struct elf *e)
{
	struct eh_frames f = { 0 };
	u64 off, left, ptr;
	const u8 *p;
	u8 hdr[12];
	int r;

	if (!e->eh_frame_hdr) {
		r = set_section(&f, e, &e->eh_frame);
		*ret = f;
		return r;
	}
	if (elf_vaddr_to_off(e, e->eh_frame_hdr, &off, &left) < 0 || left < sizeof(hdr) ||
	    elf_read(&e->src, off, hdr, sizeof(hdr)) < 0)
		return -ENOENT;
	p = hdr + 4;
	/* Relative to data means relative to the header, and is what its search table uses. */
	if (hdr[0] != 1 || !eh_pointer(&p, hdr + sizeof(hdr), hdr[1], e->eh_frame_hdr + 4, &ptr))
		return -ENOENT;
	if (elf_vaddr_to_off(e, ptr, &f.off, &f.size) < 0)
		return -ENOENT;
	f.vaddr = ptr;
	if (e->eh_frame.addr == ptr && e->eh_frame.size <= f.size) {
		f.size = e->eh_frame.size;
		f.exact = true;
	}
	r = set_frames(&f, e);
	*ret = f;
	return r;
}

int eh_frames_find_debug(struct eh_frames *ret, const struct elf *e)
{
	struct eh_frames f = { .debug = true };
	int r = set_section(&f, e, &e->debug_frame);

	f.vaddr = 0;
	f.packed = e->debug_frame.packing != ELF_PLAIN;
	*ret = f;
	return r;
}
