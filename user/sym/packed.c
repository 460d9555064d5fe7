/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Compressed debug sections, as Go's linker writes them unless told otherwise, and others by
 * -Wl,--compress-debug-sections. Input: a section of an open file. Output: its bytes in memory.
 *
 * Hostile input: the header's size is what is allocated, so it is held against a bound and against
 * what zlib can make of the bytes that are there; a stream of another length is refused.
 * ELF gABI, "Section Compression": Elf64_Chdr, then the stream.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "base/cleanup.h"
#include "sym/elf.h"

#define INFLATE_RATIO_MAX 1032 /* of deflate, by its format */
#define ZDEBUG_HEAD 12

static int read_head(const struct elf *e, const struct elf_sect *s, u64 *ret_size, size_t *ret_head)
{
	u8 old[ZDEBUG_HEAD];
	Elf64_Chdr head;
	u64 be;
	int r;

	if (s->packing == ELF_ZDEBUG) {
		if (s->size < sizeof(old))
			return -EINVAL;
		r = elf_read(&e->src, s->off, old, sizeof(old));
		if (r < 0)
			return r;
		if (memcmp(old, "ZLIB", 4) != 0)
			return -EINVAL;
		memcpy(&be, old + 4, sizeof(be));
		*ret_size = be64toh(be);
		*ret_head = sizeof(old);
		return 0;
	}
	if (s->packing != ELF_PACKED || s->size < sizeof(head))
		return -EINVAL;
	r = elf_read(&e->src, s->off, &head, sizeof(head));
	if (r < 0)
		return r;
	*ret_size = head.ch_size;
	*ret_head = sizeof(head);
	return head.ch_type == ELFCOMPRESS_ZLIB ? 0 : -ENOTSUP;
}

static int inflate_all(z_stream *z, struct elf_win *w, u64 off, u64 left)
{
	int r = Z_OK;

	while (r == Z_OK) {
		size_t n = (size_t)MIN(left, (u64)ELF_WINDOW);

		if (!n)
			return -EINVAL; /* the stream goes on behind the section */
		z->next_in = (u8 *)elf_win_at(w, off, n);
		if (!z->next_in)
			return -ENODATA;
		z->avail_in = (uInt)n;
		r = inflate(z, Z_NO_FLUSH);
		off += n;
		left -= n;
		if (r == Z_OK && z->avail_in)
			return -EINVAL; /* it makes more than was said */
	}
	return r == Z_STREAM_END && !z->avail_out ? 0 : r == Z_MEM_ERROR ? -ENOMEM : -EINVAL;
}

int elf_unpack_sect(const struct elf *e, const struct elf_sect *s, size_t max, u8 **ret,
		    size_t *ret_size)
{
	z_stream z = { 0 };
	_free_ u8 *out = NULL;
	struct elf_win w;
	size_t head;
	u64 size;
	int r = read_head(e, s, &size, &head);

	if (r < 0)
		return r;
	if (!size)
		return -EINVAL;
	if (size > MIN(max, (size_t)INT32_MAX) || size / INFLATE_RATIO_MAX > s->size)
		return -EFBIG;
	out = malloc((size_t)size);
	if (!out || inflateInit(&z) != Z_OK)
		return -ENOMEM;
	z.next_out = out;
	z.avail_out = (uInt)size;
	r = elf_win_init(&w, &e->src);
	if (r == 0)
		r = inflate_all(&z, &w, s->off + head, s->size - head);
	elf_win_release(&w);
	inflateEnd(&z);
	if (r < 0)
		return r;
	*ret = take_ptr(out);
	*ret_size = (size_t)size;
	return 0;
}
