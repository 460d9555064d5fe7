/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See cfi.h: expressions, and a state of the machine made into a rule. Expressions are not run but
 * folded: each entry of their stack is a value of the kinds that rules know, and an operation that
 * leads out of those makes it CFI_BAD. What compilers and hand-written assembly of Debian's libraries
 * say that way, in DW_OP terms: breg deref [plus_uconst] (realigned stacks), breg (saved rbp, signal
 * frames), and the one expression of the linkage table, which is recognised as a whole.
 */
#include "sym/ehpointer.h"
#include "unwind/cfi.h"

#define EVAL_DEPTH 8
#define EVAL_OPS 64

/* DWARF 5 §7.7.1. */
enum {
	DW_OP_deref = 0x06,
	DW_OP_const1u = 0x08,
	DW_OP_const1s = 0x09,
	DW_OP_const2u = 0x0a,
	DW_OP_const2s = 0x0b,
	DW_OP_const4u = 0x0c,
	DW_OP_const4s = 0x0d,
	DW_OP_const8u = 0x0e,
	DW_OP_const8s = 0x0f,
	DW_OP_constu = 0x10,
	DW_OP_consts = 0x11,
	DW_OP_drop = 0x13,
	DW_OP_and = 0x1a,
	DW_OP_minus = 0x1c,
	DW_OP_plus = 0x22,
	DW_OP_plus_uconst = 0x23,
	DW_OP_shl = 0x24,
	DW_OP_ge = 0x2a,
	DW_OP_lit0 = 0x30,
	DW_OP_lit31 = 0x4f,
	DW_OP_breg0 = 0x70,
	DW_OP_breg31 = 0x8f,
	DW_OP_bregx = 0x92,
	DW_OP_nop = 0x96,
};

static const struct cfi_value bad = { .kind = CFI_BAD };

/* Linkers write exactly this, with 11 or, for entries that begin with endbr64, another number. */
static bool is_plt(const u8 *p, const u8 *end, s64 *ret_from)
{
	static const u8 text[] = {
		DW_OP_breg0 + CFI_RSP, 8,	  DW_OP_breg0 + CFI_RA, 0,
		DW_OP_lit0 + 15,       DW_OP_and, 0 /* the number */,	DW_OP_ge,
		DW_OP_lit0 + 3,	       DW_OP_shl, DW_OP_plus,
	};
	size_t i;

	if ((size_t)(end - p) != sizeof(text))
		return false;
	for (i = 0; i < sizeof(text); i++)
		if (i != 6 && p[i] != text[i])
			return false;
	if (p[6] < DW_OP_lit0 || p[6] > DW_OP_lit0 + 15)
		return false;
	*ret_from = p[6] - DW_OP_lit0;
	return true;
}

static struct cfi_value add(struct cfi_value a, struct cfi_value b, bool minus)
{
	s64 *to;

	if (a.kind == CFI_CONST && !minus) {
		struct cfi_value t = a;

		a = b;
		b = t;
	}
	if (b.kind != CFI_CONST || a.kind == CFI_PLT || a.kind == CFI_BAD)
		return bad;
	to = a.kind == CFI_DEREF ? &a.add : &a.off;
	if (minus ? __builtin_sub_overflow(*to, b.off, to) : __builtin_add_overflow(*to, b.off, to))
		return bad;
	return a;
}

static struct cfi_value deref(struct cfi_value v)
{
	if (v.kind != CFI_AT_REG)
		return bad;
	v.kind = CFI_DEREF;
	return v;
}

static bool get_const(const u8 **p, const u8 *end, u8 op, s64 *ret)
{
	static const u8 format[] = { EH_UDATA2, EH_SDATA2, EH_UDATA4,
				     EH_SDATA4, EH_UDATA8, EH_SDATA8 };

	switch (op) {
	case DW_OP_constu:
	case DW_OP_plus_uconst:
		return eh_uleb(p, end, (u64 *)ret);
	case DW_OP_consts:
		return eh_sleb(p, end, ret);
	case DW_OP_const1u:
	case DW_OP_const1s:
		if (*p == end)
			return false;
		*ret = op == DW_OP_const1u ? (s64) * *p : (s64)(int8_t) * *p;
		++*p;
		return true;
	}
	if (op >= DW_OP_const2u && op <= DW_OP_const8s)
		return eh_pointer(p, end, format[op - DW_OP_const2u], 0, (u64 *)ret);
	if (op < DW_OP_lit0 || op > DW_OP_lit31)
		return false;
	*ret = op - DW_OP_lit0;
	return true;
}

/* reg + offset. */
static bool get_breg(const u8 **p, const u8 *end, u8 op, struct cfi_value *ret)
{
	u64 reg = (u64)op - DW_OP_breg0;
	s64 off;

	if (op == DW_OP_bregx && !eh_uleb(p, end, &reg))
		return false;
	if (!eh_sleb(p, end, &off) || reg >= CFI_RA)
		return false;
	*ret = (struct cfi_value){ .kind = CFI_AT_REG, .reg = (u8)reg, .off = off };
	return true;
}

/* What an operation without a stack effect of its own pushes. */
static bool get_operand(const u8 **p, const u8 *end, u8 op, struct cfi_value *ret)
{
	if ((op >= DW_OP_breg0 && op <= DW_OP_breg31) || op == DW_OP_bregx)
		return get_breg(p, end, op, ret);
	*ret = (struct cfi_value){ .kind = CFI_CONST };
	return get_const(p, end, op, &ret->off);
}

struct cfi_value cfi_eval(const u8 *p, const u8 *end, const struct cfi_value *first)
{
	struct cfi_value stack[EVAL_DEPTH], v = { .kind = CFI_PLT };
	unsigned int n = 0, ops;

	if (!first && is_plt(p, end, &v.off))
		return v;
	if (first)
		stack[n++] = *first;
	for (ops = 0; p < end; ops++) {
		u8 op = *p++;

		if (ops == EVAL_OPS)
			return bad;
		if (op == DW_OP_nop)
			continue;
		if (op == DW_OP_plus || op == DW_OP_minus) {
			if (n < 2)
				return bad;
			n--;
			stack[n - 1] = add(stack[n - 1], stack[n], op == DW_OP_minus);
		} else if (op == DW_OP_deref || op == DW_OP_plus_uconst || op == DW_OP_drop) {
			if (!n)
				return bad;
			if (op == DW_OP_drop)
				n--;
			else if (op == DW_OP_deref)
				stack[n - 1] = deref(stack[n - 1]);
			else if (get_operand(&p, end, op, &v))
				stack[n - 1] = add(stack[n - 1], v, false);
			else
				return bad;
		} else {
			if (n == EVAL_DEPTH || !get_operand(&p, end, op, &stack[n]))
				return bad;
			n++;
		}
	}
	return n ? stack[n - 1] : bad;
}

static bool fits32(s64 v)
{
	return v == (s32)v;
}

static bool set_cfa(struct uw_rule *r, const struct cfi_value *cfa)
{
	if (!fits32(cfa->off) || !fits32(cfa->add))
		return false;
	r->cfa_off = (s32)cfa->off;
	r->cfa_add = (s32)cfa->add;
	switch (cfa->kind) {
	case CFI_AT_REG:
		if (cfa->reg == CFI_RSP) {
			r->cfa = UW_CFA_RSP;
		} else if (cfa->reg == CFI_RBP) {
			r->cfa = UW_CFA_RBP;
		} else {
			r->cfa = UW_CFA_REG;
			r->reg = cfa->reg;
		}
		return true;
	case CFI_DEREF:
		if (cfa->reg == CFI_RSP)
			r->cfa = UW_CFA_RSP_DEREF;
		else if (cfa->reg == CFI_RBP)
			r->cfa = UW_CFA_RBP_DEREF;
		else
			return false;
		return true;
	case CFI_PLT:
		r->cfa = UW_CFA_PLT;
		return true;
	}
	return false;
}

/* A value as distance from the CFA, where the CFA is the same register and another offset. */
static bool from_cfa(const struct cfi_value *v, const struct cfi_value *cfa, s64 *ret)
{
	if (v->kind == CFI_AT_CFA) {
		*ret = v->off;
		return true;
	}
	return v->kind == CFI_AT_REG && cfa->kind == CFI_AT_REG && v->reg == cfa->reg &&
	       !__builtin_sub_overflow(v->off, cfa->off, ret);
}

static bool set_ra(struct uw_rule *r, const struct cfi_state *s)
{
	const struct cfi_loc *ra = &s->ra;
	s64 off;

	if (ra->where == CFI_MEMORY && from_cfa(&ra->val, &s->cfa, &off) && off == -8)
		return true;
	if (ra->where != CFI_VALUE || ra->val.kind != CFI_AT_REG || ra->val.off ||
	    ra->val.reg >= CFI_RA)
		return false;
	/* A rule names one register. */
	if (r->cfa == UW_CFA_REG && r->reg != ra->val.reg)
		return false;
	r->ra = UW_RA_REG;
	r->reg = ra->val.reg;
	return true;
}

static bool set_rbp(struct uw_rule *r, const struct cfi_state *s)
{
	const struct cfi_loc *rbp = &s->rbp;
	const struct cfi_value *v = &rbp->val;
	s64 off;

	if (rbp->where == CFI_UNSET)
		return true;
	if (rbp->where == CFI_VALUE && v->kind == CFI_AT_REG && v->reg == CFI_RBP && !v->off)
		return true;
	if (rbp->where == CFI_MEMORY && from_cfa(v, &s->cfa, &off) && fits32(off)) {
		r->rbp = UW_RBP_CFA;
		r->rbp_off = (s32)off;
		return true;
	}
	if (rbp->where == CFI_MEMORY && v->kind == CFI_AT_REG && v->reg == CFI_RBP &&
	    fits32(v->off)) {
		r->rbp = UW_RBP_RBP;
		r->rbp_off = (s32)v->off;
		return true;
	}
	r->rbp = UW_RBP_UNKNOWN;
	return rbp->where == CFI_UNDEFINED;
}

/* Offsets in a struct ucontext of x86-64: asm/ucontext.h and asm/sigcontext.h. */
enum {
	UC_RBP = 120,
	UC_RSP = 160,
	UC_RIP = 168,
};

/* All three registers are read from one ucontext, wherever it is said to be. */
static bool set_signal(struct uw_rule *r, const struct cfi_state *s)
{
	const struct cfi_value *cfa = &s->cfa;
	s64 uc;

	if (cfa->kind != CFI_DEREF || cfa->reg != CFI_RSP || cfa->add || !fits32(cfa->off))
		return false;
	uc = cfa->off - UC_RSP;
	if (s->ra.where != CFI_MEMORY || s->ra.val.kind != CFI_AT_REG || s->ra.val.reg != CFI_RSP ||
	    s->ra.val.off != uc + UC_RIP || s->rbp.where != CFI_MEMORY ||
	    s->rbp.val.kind != CFI_AT_REG || s->rbp.val.reg != CFI_RSP ||
	    s->rbp.val.off != uc + UC_RBP || !fits32(uc))
		return false;
	r->cfa = UW_CFA_SIGNAL;
	r->cfa_off = (s32)uc;
	return true;
}

/* Whether the caller's rsp is the CFA, as every rule takes it to be. */
static bool rsp_is_cfa(const struct cfi_state *s)
{
	s64 off;

	return s->rsp.where == CFI_UNSET ||
	       (s->rsp.where == CFI_VALUE && from_cfa(&s->rsp.val, &s->cfa, &off) && off == 0);
}

enum cfi_fit cfi_rule(struct uw_rule *ret, const struct cfi_state *s, bool signal)
{
	struct uw_rule r = { 0 };
	enum cfi_fit fit = CFI_FITS;

	*ret = r;
	/* The outermost frame, whatever its CFA would be. */
	if (s->ra.where == CFI_UNDEFINED) {
		ret->cfa = UW_CFA_END;
		return CFI_FITS;
	}
	if (signal) {
		if (!set_signal(&r, s))
			return CFI_NO_SIGNAL;
		*ret = r;
		return CFI_FITS;
	}
	if (!set_cfa(&r, &s->cfa))
		return CFI_NO_CFA;
	if (!rsp_is_cfa(s))
		return CFI_NO_RSP;
	if (!set_ra(&r, s))
		return CFI_NO_RA;
	if (!set_rbp(&r, s))
		fit = CFI_LOST_RBP;
	*ret = r;
	return fit;
}
