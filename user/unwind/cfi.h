/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call frame programs: the DW_CFA_* instructions of a CIE and an FDE, run over the addresses of a
 * function, and what they say of each stretch of code, reduced to a struct uw_rule.
 *
 * Only what an unwinder of rsp, rbp and the return address needs is kept: the CFA and three
 * registers. Expressions become values at once ("what lies at rsp + 8, plus 16"), so no state points
 * into the file. Inside the unwind stage only.
 *
 * Sources: DWARF 5 §6.4.2 and §7.24; the GNU additions in the LSB's "DWARF extensions"; registers by
 * the x86-64 psABI, figure 3.36.
 */
#ifndef UNWIND_CFI_H
#define UNWIND_CFI_H

#include "base/types.h"
#include "hp/unwind.h"

#define CFI_STATES_MAX 32 /* of DW_CFA_remember_state; real programs nest at most twice */

/* DWARF numbers of x86-64 registers. */
enum cfi_reg {
	CFI_RDI = 5,
	CFI_RBP = 6,
	CFI_RSP = 7,
	CFI_RA = 16,
	CFI_REGS = 17,
};

/* A value as far as the rules can say it. */
enum cfi_value_kind {
	CFI_BAD = 0, /* an expression that no rule can hold */
	CFI_CONST, /* off */
	CFI_AT_REG, /* reg + off */
	CFI_AT_CFA, /* CFA + off */
	CFI_DEREF, /* *(reg + off) + add */
	CFI_PLT, /* rsp + 8, and 8 more from byte off of a 16-byte entry on */
};

struct cfi_value {
	u8 kind;
	u8 reg;
	s64 off;
	s64 add;
};

enum cfi_where {
	CFI_UNSET = 0, /* no instruction: unchanged by the callee */
	CFI_UNDEFINED,
	CFI_MEMORY, /* at address val */
	CFI_VALUE, /* is val */
	CFI_ODD, /* an expression or register that cannot be kept */
};

struct cfi_loc {
	u8 where;
	struct cfi_value val;
};

struct cfi_state {
	struct cfi_value cfa; /* CFI_AT_REG, CFI_DEREF, CFI_PLT, or CFI_BAD */
	s64 cfa_off; /* that was given last, also when an expression came after it */
	struct cfi_loc rsp, rbp, ra;
};

/* How to read a program: from the CIE, but for the last three. */
struct cfi_program {
	u64 code_align;
	s64 data_align;
	u8 enc; /* of the address in DW_CFA_set_loc */
	const u8 *p, *end;
	u64 vaddr; /* of p */
};

/* state holds from address at until the next call. Not 0 ends the run, which returns it. */
typedef int (*cfi_row_fn)(void *arg, u64 at, const struct cfi_state *state);

/*
 * Runs the CIE's own instructions, which have no addresses. -EINVAL when they are not understood.
 */
int cfi_init(struct cfi_state *ret, const struct cfi_program *cie);
/*
 * Runs an FDE's program over [start, end), start < end. row() is called once or more, first with
 * start, each time with a larger address.
 * -EINVAL: the program is not understood, -ETIME: *steps, reduced by one an instruction, is 0. Then the
 * rows that were given hold up to *ret_bad, and there may be none.
 */
int cfi_run(const struct cfi_program *fde, const struct cfi_state *init, u64 start, u64 end,
	    u64 *steps, cfi_row_fn row, void *arg, u64 *ret_bad);

/* The value of an expression that starts with *first on the stack (NULL: nothing). */
struct cfi_value cfi_eval(const u8 *p, const u8 *end, const struct cfi_value *first);

enum cfi_fit {
	CFI_FITS = 0,
	CFI_NO_CFA, /* the CFA is an expression that no rule can hold */
	CFI_NO_RSP, /* the caller's rsp is not the CFA (longjmp) */
	CFI_NO_RA, /* the return address is neither under the CFA nor in a register */
	CFI_NO_SIGNAL, /* a signal frame that is not laid out as the kernel's */
	CFI_LOST_RBP, /* a rule, but the caller's rbp is where no rule can say */
	CFI_FITS_MAX
};

/* On CFI_NO_* *ret is the rule UW_RULE_NONE. Unused fields of *ret are 0: equal rules are equal bytes. */
enum cfi_fit cfi_rule(struct uw_rule *ret, const struct cfi_state *s, bool signal);

#endif
