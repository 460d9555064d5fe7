/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of .eh_frame and .debug_frame: each FDE with its CIE resolved, ready to be run. Inside
 * the unwind stage only.
 *
 * Hostile input: every record moves forward, a CIE is looked up by position and never through another
 * record, and all work is paid for from one budget of steps a file, so a walk ends within a second
 * whatever the bytes say. Memory: two windows of ELF_WINDOW and 1,024 CIEs, together 300 KiB.
 */
#ifndef UNWIND_EHFRAME_H
#define UNWIND_EHFRAME_H

#include "sym/ehpointer.h"
#include "unwind/cfi.h"

/*
 * Instructions and records of one file, and what looking up a CIE costs in them beside its length:
 * reading a window. The largest file met, libLLVM of 117 MB, takes 2 million.
 */
#define EHFRAME_STEPS (192ull << 20)
#define EHFRAME_CIE_STEPS 4096

/* What was met, and what could not be used. Sums over the records of a file. */
struct ehframe_counts {
	u32 fdes;
	u32 cies; /* looked up, again too when they were forgotten meanwhile */
	u32 bad_records; /* FDEs cut off, too long, with an encoding that has no meaning in a file */
	u32 bad_cies; /* FDEs whose CIE is none, or is not understood */
	u32 empty; /* FDEs of length 0 */
	u32 cut; /* 1: more than EH_FRAMES_MAX, or the steps were used up */
};

struct ehframe_fde {
	u64 start;
	u64 end; /* > start */
	struct cfi_program prog; /* valid during the call */
	const struct cfi_state *init;
	bool signal;
};

/* Not 0 ends the walk, which returns it. */
typedef int (*ehframe_fn)(void *arg, const struct ehframe_fde *fde);

/*
 * All FDEs in the order of the file. *steps: what is left of the budget, which fn may spend too; a walk
 * that used it up is cut and returns 0. -ENOMEM, or -errno when the file cannot be read.
 */
int ehframe_each(const struct elf *e, const struct eh_frames *where, u64 *steps,
		 struct ehframe_counts *counts, ehframe_fn fn, void *arg);

#endif
