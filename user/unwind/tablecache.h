/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind tables on disk, so that a file is read once and not at every attach: a directory with one
 * entry a file, of at most max_bytes together, the least recently used ones evicted.
 *
 * An entry is named by the file's build-id and by which file it is: device, inode, size, mtime and ctime.
 * A build-id alone is what a file says of itself, and another one could say the same; nobody but root
 * sets a ctime. So an entry is never used for a file that was not read to make it, and files without
 * a build-id have entries too. A file that changed in the last two seconds has none, since another
 * change within the clock's tick would leave its times as they are.
 *
 * Nothing in the directory is trusted: owner, size, format, identity and a checksum are compared and the
 * image is checked as one from a stranger. What fails is removed and made again.
 *
 * One thread, one user id between open and release. Several processes may share a directory: entries
 * appear by rename, whole or not at all.
 */
#ifndef UNWIND_TABLECACHE_H
#define UNWIND_TABLECACHE_H

#include "unwind/tableimage.h"

/* What a caller that runs as root passes; others pass no cache unless they are told a directory. */
#define UNWIND_CACHE_DIR "/var/cache/hostprof"
#define UNWIND_CACHE_BYTES (128ull << 20)

struct unwind_cache {
	int dir;
	u64 max_bytes;
	u32 hits;
	u32 misses;
	u32 refused; /* entries that were removed because something about them was wrong */
	u32 evicted;
	u32 unsaved; /* images that could not be written: no space, too large, read-only */
};

/*
 * Makes the directory (0700) when only its last part is missing. -EPERM when it belongs to another user
 * or others may write to it; -errno. On error *c needs no release and gets nothing.
 */
int unwind_cache_open(struct unwind_cache *c, const char *dir, u64 max_bytes);
void unwind_cache_release(struct unwind_cache *c);
/*
 * The image of a file, from the directory or made anew and kept there. c may be NULL: made. Files in
 * memory (the vdso) are always made. counts are those of the making. Errors as unwind_image_build();
 * none of them is about the directory.
 */
int unwind_cache_get(struct unwind_cache *c, const struct elf *e, struct unwind_image *ret,
		     struct unwind_counts *counts);

#endif
