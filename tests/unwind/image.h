/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recorded memory images of stacks: what a walk of one thread needs, so that it can be walked again
 * anywhere, without the program and without privileges.
 *
 *   oracle --record: stopped thread → registers, the words that were read, the tables' pages that were
 *   looked up → images/NAME.xz → h_images.c: the same walk under sanitizers
 *
 * Only what was read is in it. A walk that goes another way runs into memory that is not there.
 * File: xz of struct uwimage_head, then in this order maps, pages with their rows, rules, snapshots; all
 * little-endian and packed. Files come with the source: they are checked for bounds, no more.
 */
#ifndef TESTS_UNWIND_IMAGE_H
#define TESTS_UNWIND_IMAGE_H

#include "base/buf.h"
#include "base/map.h"
#include "base/types.h"
#include "uwkernel.h"

#define IMAGE_LINE_WORDS 8

/* 64 aligned bytes of memory, of which those words are known that were read. */
struct uwimage_line {
	u64 at;
	u64 word[IMAGE_LINE_WORDS];
	u8 known; /* bit i: word[i] is memory */
	u8 asked; /* ... and a walk has read it */
	u8 pad0[6];
};

/* Memory: lines are fetched from a process when they are first read, or were recorded. */
struct uwimage_memory {
	struct map of; /* address → index in lines */
	struct uwimage_line *lines;
	u32 n, cap;
	uwk_read_fn *fetch; /* NULL: there is no more than is there */
	void *arg;
	bool filled; /* what is not known can be read, too, and is nothing sensible */
};

void uwimage_memory_init(struct uwimage_memory *m, uwk_read_fn *fetch, void *arg);
void uwimage_memory_clear(struct uwimage_memory *m);
void uwimage_memory_release(struct uwimage_memory *m);
/* Both are uwk_read_fn. What the first one read belongs to the image. */
int uwimage_memory_read(void *memory, __u64 at, void *dst, __u32 n);
int uwimage_memory_peek(void *memory, __u64 at, void *dst, __u32 n);

struct uwimage_snapshot {
	unsigned long regs[UWK_REGS];
	struct uwimage_memory memory;
	struct uwk_stack native; /* frames of the interpreter's loop as they are */
	u32 agreed; /* so many of them an independent unwinder has seen too */
	struct uwk_stack mixed; /* with Python's frames; n 0 = there are none */
};

struct uwimage {
	struct uwk_arrays arrays;
	struct uw_proc proc;
	struct uwimage_snapshot *snapshots;
	u32 n;
	u8 *used; /* while recording: pages that were looked up */
};

/*
 * Records: adds a snapshot, whose memory moves into the image. arrays and proc are those the walk went
 * by; the next one may have others of the same process. 0 or -ENOMEM.
 */
int uwimage_add(struct uwimage *img, const struct uwk_arrays *arrays, const struct uw_proc *proc,
		struct uwimage_snapshot *s);
/* 0 or -errno. */
int uwimage_write(const struct uwimage *img, const struct uwk_arrays *arrays, const char *path);
/* -EINVAL: it is none. */
int uwimage_read(struct uwimage *ret, const char *path);
void uwimage_release(struct uwimage *img);

#endif
