/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies between functions that have call frame information: the gap of clone(), entry points,
 * linkage tables and restorers of signal frames without an FDE, and code of compilers that keep frame
 * pointers instead.
 * Found by the bytes of the code. Inside the unwind stage only.
 */
#ifndef UNWIND_TABLEGAP_H
#define UNWIND_TABLEGAP_H

#include "unwind/tableimage.h"

struct gap {
	u64 start;
	u64 end;
	const struct uw_rule
		*before; /* in effect at start - 1 and at end; NULL: a gap or nothing */
	const struct uw_rule *after;
};

struct gap_find {
	u64 start;
	u64 end;
	struct uw_rule rule;
};

/* Pieces of linkage tables: two of .plt's first entry, its others, .plt.sec, .plt.got. */
#define GAP_PLTS 5

struct gap_finder {
	const struct elf *elf;
	struct unwind_counts *counts;
	struct elf_win win;
	struct gap_find plts[GAP_PLTS];
	u32 nplts;
	bool asked; /* whether it is V8's */
	struct uw_rule pointed; /* of code that keeps frame pointers */
};

int gap_finder_init(struct gap_finder *g, const struct elf *e, struct unwind_counts *counts);
void gap_finder_release(struct gap_finder *g);
/*
 * The next thing of a rule of its own in the gap; gap->start moves behind it. false: no more. Reads all
 * bytes of gaps of 16 bytes and more, so that the padding before most functions costs nothing.
 */
bool gap_next(struct gap_finder *g, struct gap *gap, struct gap_find *ret);

/*
 * What holds in the rest of a gap: UW_CFA_FP when it is long and begins functions in the manner of
 * frame pointers once in 2 KiB or more often, else UW_CFA_NONE. Where V8 is in the file these are its
 * builtins, whose frames say which function of JavaScript they run. Call it before gap_next().
 */
struct uw_rule gap_rule(struct gap_finder *g, const struct gap *gap);

/* Whether code at vaddr is the return from a signal handler: mov $15,%rax; syscall. */
bool gap_is_restorer(const struct elf *e, u64 vaddr);

#endif
