/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where symbols of a stripped file may be: a debug file named by build-id, one named by
 * .gnu_debuglink, or an xz archive inside the file. Names from the file are hostile: only paths
 * under /usr/lib/debug are asked for, and what comes back must carry the same build-id, or, where
 * one of the two has none, the checksum that the link names.
 */
#include <errno.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zlib.h>
#include "base/cleanup.h"
#include "sym/image.h"

#define DEBUG_ROOT "/usr/lib/debug"
#define DEBUG_PATH_MAX 4096
#define LINK_MAX 1024
#define CRC_FILE_MAX (256u << 20) /* a longer file is not read whole for its checksum */
#define XZ_IN_MAX (32u << 20)
#define XZ_OUT_MAX (64u << 20)
#define XZ_MEMORY_MAX (64u << 20)

struct link {
	char name[LINK_MAX];
	u32 crc;
};

static int read_link(const struct elf *e, struct link *ret)
{
	const struct elf_sect *s = &e->debuglink;
	size_t n;

	if (s->size < 8 || s->size > LINK_MAX)
		return -ENOENT;
	if (elf_read(&e->src, s->off, ret->name, s->size) < 0)
		return -ENOENT;
	n = strnlen(ret->name, s->size);
	if (!n || ((n + 4) & ~3UL) + 4 > s->size || memchr(ret->name, '/', n) ||
	    !strcmp(ret->name, "..") || !strcmp(ret->name, "."))
		return -ENOENT;
	memcpy(&ret->crc, ret->name + ((n + 4) & ~3UL), 4);
	return 0;
}

static int file_crc(const struct elf_src *src, u32 *ret)
{
	struct elf_win w;
	uLong crc = crc32(0, NULL, 0);
	u64 off = 0;
	int r;

	if (src->size > CRC_FILE_MAX)
		return -EFBIG;
	r = elf_win_init(&w, src);
	while (r == 0 && off < src->size) {
		size_t n = (size_t)MIN(src->size - off, (u64)ELF_WINDOW);
		const u8 *p = elf_win_at(&w, off, n);

		if (!p)
			r = -ENODATA;
		else
			crc = crc32(crc, p, (uInt)n);
		off += n;
	}
	elf_win_release(&w);
	*ret = (u32)crc;
	return r;
}

static bool belongs(const struct elf *e, int fd, const struct link *link)
{
	struct elf_src src;
	struct elf d;
	u32 crc;

	if (elf_src_fd(&src, fd) < 0 || elf_open(&d, &src) < 0 || d.machine != e->machine)
		return false;
	if (e->build_id_len && d.build_id_len)
		return e->build_id_len == d.build_id_len &&
		       !memcmp(e->build_id, d.build_id, e->build_id_len);
	return link && file_crc(&src, &crc) == 0 && crc == link->crc;
}

static int try_path(const struct elf *e, const struct debug_opener *debug, const char *path,
		    const struct link *link)
{
	_close_ int fd = debug->open(debug->arg, path);

	if (fd < 0 || !belongs(e, fd, link))
		return -ENOENT;
	return take_fd(fd);
}

static int by_build_id(const struct elf *e, const struct debug_opener *debug)
{
	char path[sizeof(DEBUG_ROOT) + 64];
	int n;
	u8 i;

	if (e->build_id_len < 4)
		return -ENOENT;
	n = snprintf(path, sizeof(path), DEBUG_ROOT "/.build-id/%02x/", e->build_id[0]);
	for (i = 1; i < e->build_id_len; i++)
		n += snprintf(path + n, sizeof(path) - (size_t)n, "%02x", e->build_id[i]);
	snprintf(path + n, sizeof(path) - (size_t)n, ".debug");
	return try_path(e, debug, path, NULL);
}

static int by_link(const struct elf *e, struct slice path, const struct debug_opener *debug)
{
	char full[DEBUG_PATH_MAX];
	struct link link;
	size_t dir = path.n;
	int n;

	while (dir && path.p[dir - 1] != '/')
		dir--;
	if (!dir || path.p[0] != '/' || memchr(path.p, 0, dir) || memmem(path.p, dir, "/../", 4) ||
	    memmem(path.p, dir, "/./", 3))
		return -ENOENT;
	if (read_link(e, &link) < 0)
		return -ENOENT;
	n = snprintf(full, sizeof(full), DEBUG_ROOT "%.*s%s", (int)dir, path.p, link.name);
	if (n < 0 || (size_t)n >= sizeof(full))
		return -ENOENT;
	return try_path(e, debug, full, &link);
}

int debugfile_open(const struct elf *e, struct slice path, const struct debug_opener *debug)
{
	int fd;

	if (!debug->open)
		return -ENOENT;
	fd = by_build_id(e, debug);
	return fd >= 0 ? fd : by_link(e, path, debug);
}

static int unpack(lzma_stream *xz, struct elf_win *w, const struct elf_sect *s, u8 **out)
{
	size_t cap = 0;
	u64 off = 0;

	for (;;) {
		lzma_ret r;

		if (!xz->avail_in && off < s->size) {
			size_t n = (size_t)MIN(s->size - off, (u64)ELF_WINDOW);

			xz->next_in = elf_win_at(w, s->off + off, n);
			if (!xz->next_in)
				return -ENODATA;
			xz->avail_in = n;
			off += n;
		}
		if (!xz->avail_out) {
			size_t more = cap ? cap : 256 * 1024;
			u8 *q;

			if (cap + more > XZ_OUT_MAX)
				return -EFBIG;
			q = realloc(*out, cap + more);
			if (!q)
				return -ENOMEM;
			*out = q;
			xz->next_out = q + cap;
			xz->avail_out = more;
			cap += more;
		}
		r = lzma_code(xz, off < s->size ? LZMA_RUN : LZMA_FINISH);
		if (r == LZMA_STREAM_END)
			return 0;
		if (r == LZMA_MEM_ERROR)
			return -ENOMEM;
		if (r != LZMA_OK)
			return -EINVAL;
	}
}

int debugdata_unpack(const struct elf *e, u8 **ret, size_t *ret_size)
{
	const struct elf_sect *s = &e->debugdata;
	lzma_stream xz = LZMA_STREAM_INIT;
	_free_ u8 *out = NULL;
	struct elf_win w;
	int r;

	if (!s->size)
		return -ENOENT;
	if (s->size > XZ_IN_MAX)
		return -EFBIG;
	if (lzma_stream_decoder(&xz, XZ_MEMORY_MAX, 0) != LZMA_OK)
		return -ENOMEM;
	r = elf_win_init(&w, &e->src);
	if (r == 0)
		r = unpack(&xz, &w, s, &out);
	*ret_size = (size_t)xz.total_out;
	lzma_end(&xz);
	elf_win_release(&w);
	if (r == 0)
		*ret = take_ptr(out);
	return r;
}
