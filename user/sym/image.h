/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One loaded file: its segments, to turn file offsets into addresses of the file, and its names.
 * Everything is read when it is loaded and the descriptor is not kept, so a file that is deleted or
 * replaced later changes nothing, and no file system is held busy. Inside the sym stage only.
 */
#ifndef SYM_IMAGE_H
#define SYM_IMAGE_H

#include "sym/table.h"

struct image {
	struct elf elf; /* src is closed */
	struct table table;
};

/* Opens a separate debug file by an absolute path; a descriptor or -errno. */
struct debug_opener {
	int (*open)(void *arg, const char *path); /* NULL: there are none */
	void *arg;
};

/*
 * Names of the file that src reads. path: where it was mapped from, to look for its debug file.
 * Damaged parts are left out; -errno when it is no usable ELF file at all.
 */
int image_load(struct image *ret, const struct elf_src *src, struct slice path,
	       const struct debug_opener *debug);
void image_release(struct image *img);
size_t image_bytes(const struct image *img);

/* .gnu_debugdata unpacked: an ELF file in memory that the caller frees. -ENOENT when absent. */
int debugdata_unpack(const struct elf *e, u8 **ret, size_t *ret_size);
/* A descriptor of the debug file that belongs to e, or -ENOENT. */
int debugfile_open(const struct elf *e, struct slice path, const struct debug_opener *debug);

#endif
