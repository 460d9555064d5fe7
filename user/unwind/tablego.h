/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind rules of Go's functions, which have no call frame information in a stripped file, from the table
 * that Go's runtime walks its own stacks by: how far rsp has moved since the entry, instruction by
 * instruction ("pcsp"), and what a function does to the stack as a whole.
 *
 *   outermost (goexit, mstart, mcall)       UW_CFA_END
 *   switches stacks (systemstack)           UW_CFA_FP_END: only the frame pointer tells
 *   returns from a signal's handler         UW_CFA_SIGNAL
 *   others                                  rsp + moved + 8, rbp below the return address
 *
 * Source: runtime/symtab.go (step(), funcFlag) and cmd/internal/obj/x86/obj6.go (preprocess(): frames) of Go
 * 1.17 and later; before that the table does not say which functions are special. Inside the unwind stage only.
 */
#ifndef UNWIND_TABLEGO_H
#define UNWIND_TABLEGO_H

#include "hp/unwind.h"
#include "sym/gopclntab.h"

struct tablego {
	const struct elf *elf;
	struct gopclntab tab;
	struct elf_win list, funcs, values, code;
};

struct tablego_func {
	u64 start;
	u64 end;
	u64 values; /* where its pcsp is, from the table's begin; 0 = none */
	bool outermost, switches, restorer;
	bool by_hand; /* assembly: may keep rbp in another way, or not */
};

/* -ENOENT when the file has no such table, or one that does not say enough; -ENOMEM. */
int tablego_open(struct tablego *g, const struct elf *e);
void tablego_release(struct tablego *g);
/* The function number i < g->tab.nfuncs. False: nothing is known of it. */
bool tablego_func(struct tablego *g, u64 i, struct tablego_func *ret);

typedef int (*tablego_row_fn)(void *arg, u64 at, const struct uw_rule *rule);
/*
 * Its rows, by address, the first one at its start. Ends early with row()'s error; -ETIME: *steps, reduced
 * by one a row, is 0. What is not understood has UW_RULE_NONE from there on.
 */
int tablego_rows(struct tablego *g, const struct tablego_func *f, u64 *steps, tablego_row_fn row,
		 void *arg);

#endif
