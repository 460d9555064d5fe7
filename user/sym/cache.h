/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loaded files by identity (device, inode, size, time of change), so that forty workers of one
 * program load it once. Bounded in files and bytes; what was not used for longest goes first and is
 * loaded again when it is asked for. A build-id is no part of the key: a process may lie about it
 * and would then rename another one's functions. Inside the sym stage only.
 */
#ifndef SYM_CACHE_H
#define SYM_CACHE_H

#include "sym/image.h"

#define CACHE_FILES_MAX 256
#define CACHE_BYTES_MAX (64u << 20)

struct cache_file {
	u64 dev, ino, size, mtime_ns;
	u64 used; /* clock of the last use; 0 = free slot */
	u32 gen; /* grows whenever the slot is filled anew */
	struct image *img;
};

struct cache {
	struct cache_file files[CACHE_FILES_MAX];
	u64 clock;
	u32 n;
	size_t bytes;
	u64 loaded, evicted, cut;
};

void cache_release(struct cache *c);
/* The image of fd, loaded unless it is there; *ret_slot and its gen find it again. */
int cache_load(struct cache *c, int fd, struct slice path, const struct debug_opener *debug,
	       u32 *ret_slot);
/* NULL when it was evicted meanwhile. */
const struct image *cache_get(struct cache *c, u32 slot, u32 gen);

#endif
