/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The code that one HotSpot process has generated, as far as it is known: pieces by address, each with how
 * it is unwound and what it is called by. Input: the process's memory, hostile, and changing meanwhile.
 *
 *   CodeCache::_heaps → CodeHeap → map of segments → blocks → CodeBlob → rows → image of an unwind table
 *
 * A heap's map of segments has one byte for each; 0 is where a block begins. Only what changed there is
 * read; blocks that are free, or could not be understood, and pieces that samples met are looked at again,
 * since a block can be given to other code without a trace in the map. Where a table knows nothing, it tells
 * the programs how to read that map themselves: while the compilers work, much of what runs is younger than
 * the last look.
 *
 * The work is done in pieces of so many reads of memory, each some 15 us.
 */
#ifndef UNWIND_JVMHEAP_H
#define UNWIND_JVMHEAP_H

#include "unwind/jvm.h"
#include "unwind/jvmrows.h"
#include "unwind/tableimage.h"

#define JVM_HEAPS_MAX 8
#define JVM_HEAP_BYTES_MAX (256u << 20)
#define JVM_BLOBS_MAX 262144 /* of one heap */
#define JVM_CODE_MAX (4u << 20) /* bytes of one piece that are looked at */
#define JVM_NAME_MAX 64

struct jvm_blob {
	u32 block; /* its first segment */
	u32 nsegs;
	u64 at; /* address of the CodeBlob */
	u64 begin, end; /* code; empty: there is none here now */
	u64 method; /* 0 = none: a stub */
	u64 name; /* of a stub: address of its text */
	s32 id; /* of the compilation */
	u32 frame; /* as in struct jvm_piece */
	u32 complete;
	u32 nrows;
	struct jvm_row *rows;
	u64 checked_ns;
	bool young; /* read once: it may have been what was there before */
	bool named; /* the caller's: it has been given a name */
};

struct jvm_heap {
	u64 at; /* of the CodeHeap */
	u64 low, high; /* what of it is in use, whole pages */
	u32 log2; /* of the bytes of a segment */
	u32 nsegs;
	u8 *segmap;
	struct uw_rule unknown; /* for code that is not among these: its own word, or none */
	struct jvm_blob *blobs; /* by address */
	u32 n;
	bool changed; /* since its image was made */
};

struct jvm_heaps {
	struct jvm_heap v[JVM_HEAPS_MAX];
	u32 n;
	/* A look that is under way. */
	u32 heap;
	bool begun; /* this heap's map has been read, */
	u8 *segmap; /* it is here, */
	u32 nsegs;
	struct jvm_blob *blobs; /* and what was found so far, of `next` segments, here */
	u32 nblobs, cap;
	u32 next;
	u32 old; /* the first blob of before that is not passed yet */
	u64 low, high;
	u32 log2;
	struct uw_rule unknown;
};

void jvm_heaps_release(struct jvm_heaps *h);
/* Goes on with a look at everything, or begins one. 1: it is done; 0: there is more; -errno: it is over. */
int jvm_heaps_look(struct jvm_heaps *h, const struct jvm_layout *l, struct jvm_mem *m, u32 reads,
		   u64 now_ns);
/* The piece of the block at an address, whether or not it reaches so far; NULL = none. *ret_heap: its heap. */
struct jvm_blob *jvm_heaps_find(struct jvm_heaps *h, u64 addr, struct jvm_heap **ret_heap);
/* Is the piece still what it was? Otherwise it is emptied, and read with the next look. */
bool jvm_blob_check(struct jvm_heap *heap, struct jvm_blob *b, const struct jvm_layout *l,
		    struct jvm_mem *m, u64 now_ns);
/* The table of a heap; its addresses are those of the process. -ENOENT: there is no code. */
int jvm_heap_image(const struct jvm_heap *heap, struct unwind_image *ret);

#endif
