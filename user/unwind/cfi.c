/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See cfi.h: the machine that runs call frame programs. Registers other than rsp, rbp and the return
 * address are read over: their instructions are parsed, since the next one lies behind them.
 */
#include <errno.h>
#include "sym/ehpointer.h"
#include "unwind/cfi.h"

/* DWARF 5 §7.24, and the GNU and vendor numbers that exist on x86-64. */
enum {
	DW_CFA_advance_loc = 0x40, /* the upper two bits; the lower six are the operand */
	DW_CFA_offset = 0x80,
	DW_CFA_restore = 0xc0,
	DW_CFA_nop = 0x00,
	DW_CFA_set_loc = 0x01,
	DW_CFA_advance_loc1 = 0x02,
	DW_CFA_advance_loc2 = 0x03,
	DW_CFA_advance_loc4 = 0x04,
	DW_CFA_offset_extended = 0x05,
	DW_CFA_restore_extended = 0x06,
	DW_CFA_undefined = 0x07,
	DW_CFA_same_value = 0x08,
	DW_CFA_register = 0x09,
	DW_CFA_remember_state = 0x0a,
	DW_CFA_restore_state = 0x0b,
	DW_CFA_def_cfa = 0x0c,
	DW_CFA_def_cfa_register = 0x0d,
	DW_CFA_def_cfa_offset = 0x0e,
	DW_CFA_def_cfa_expression = 0x0f,
	DW_CFA_expression = 0x10,
	DW_CFA_offset_extended_sf = 0x11,
	DW_CFA_def_cfa_sf = 0x12,
	DW_CFA_def_cfa_offset_sf = 0x13,
	DW_CFA_val_offset = 0x14,
	DW_CFA_val_offset_sf = 0x15,
	DW_CFA_val_expression = 0x16,
	DW_CFA_MIPS_advance_loc8 = 0x1d,
	DW_CFA_GNU_args_size = 0x2e,
	DW_CFA_GNU_negative_offset_extended = 0x2f,
};

struct machine {
	const struct cfi_program *prog;
	const u8 *p;
	struct cfi_state now;
	const struct cfi_state *init; /* NULL while the CIE itself runs */
	struct cfi_state saved[CFI_STATES_MAX];
	unsigned int nsaved;
	u64 at;
	u64 next; /* where an advance leads */
};

static struct cfi_loc *loc_of(struct cfi_state *s, u64 reg)
{
	return reg == CFI_RBP ? &s->rbp : reg == CFI_RA ? &s->ra : reg == CFI_RSP ? &s->rsp : NULL;
}

static void set_loc(struct machine *m, u64 reg, enum cfi_where where, struct cfi_value val)
{
	struct cfi_loc *loc = loc_of(&m->now, reg);

	if (loc)
		*loc = (struct cfi_loc){ .where = (u8)where, .val = val };
}

static struct cfi_value at_cfa(s64 off)
{
	return (struct cfi_value){ .kind = CFI_AT_CFA, .off = off };
}

static bool get_reg(struct machine *m, u64 *ret)
{
	return eh_uleb(&m->p, m->prog->end, ret);
}

static bool get_factored(struct machine *m, bool has_sign, s64 *ret)
{
	s64 v;

	if (has_sign ? !eh_sleb(&m->p, m->prog->end, &v) : !eh_uleb(&m->p, m->prog->end, (u64 *)&v))
		return false;
	/* A factor of 0 to 2^63 times anything: too far is as good as not understood. */
	return !__builtin_mul_overflow(v, m->prog->data_align, ret);
}

static bool get_block(struct machine *m, const u8 **ret, const u8 **ret_end)
{
	u64 n;

	if (!eh_uleb(&m->p, m->prog->end, &n) || n > (u64)(m->prog->end - m->p))
		return false;
	*ret = m->p;
	m->p += n;
	*ret_end = m->p;
	return true;
}

static bool advance(struct machine *m, u64 delta)
{
	return !__builtin_mul_overflow(delta, m->prog->code_align, &delta) &&
	       !__builtin_add_overflow(m->at, delta, &m->next);
}

static bool advance_fixed(struct machine *m, size_t n)
{
	u64 delta = 0;

	if ((size_t)(m->prog->end - m->p) < n)
		return false;
	memcpy(&delta, m->p, n);
	m->p += n;
	return advance(m, delta);
}

static bool advance_to(struct machine *m)
{
	u64 vaddr = m->prog->vaddr + (u64)(m->p - m->prog->p), to;

	if (!eh_pointer(&m->p, m->prog->end, m->prog->enc, vaddr, &to) || to < m->at)
		return false;
	m->next = to;
	return true;
}

static bool restore(struct machine *m, u64 reg)
{
	struct cfi_loc *loc = loc_of(&m->now, reg);

	if (!m->init)
		return false;
	if (loc)
		*loc = *loc_of((struct cfi_state *)m->init, reg);
	return true;
}

static bool set_offset(struct machine *m, u64 reg, bool has_sign, enum cfi_where where)
{
	s64 off;

	if (!get_factored(m, has_sign, &off))
		return false;
	set_loc(m, reg, where, at_cfa(off));
	return true;
}

static bool set_register(struct machine *m, u64 reg)
{
	struct cfi_value val = { .kind = CFI_AT_REG };
	u64 from;

	if (!get_reg(m, &from))
		return false;
	val.reg = (u8)MIN(from, (u64)CFI_REGS);
	set_loc(m, reg, from < CFI_REGS ? CFI_VALUE : CFI_ODD, val);
	return true;
}

static bool set_expression(struct machine *m, u64 reg, enum cfi_where where)
{
	struct cfi_value first = at_cfa(0), val;
	const u8 *p, *end;

	if (!get_block(m, &p, &end))
		return false;
	if (!loc_of(&m->now, reg))
		return true;
	val = cfi_eval(p, end, &first);
	set_loc(m, reg, val.kind == CFI_BAD ? CFI_ODD : where, val);
	return true;
}

static bool set_cfa(struct machine *m, u64 reg, s64 off)
{
	m->now.cfa_off = off;
	m->now.cfa = (struct cfi_value){
		.kind = reg < CFI_RA ? CFI_AT_REG : CFI_BAD,
		.reg = reg < CFI_RA ? (u8)reg : 0,
		.off = off,
	};
	return true;
}

static bool set_cfa_expression(struct machine *m)
{
	const u8 *p, *end;

	if (!get_block(m, &p, &end))
		return false;
	m->now.cfa = cfi_eval(p, end, NULL);
	return true;
}

/*
 * def_cfa_register and def_cfa_offset change half of a register and offset. After an expression DWARF
 * forbids them; libgcc's unwinder then takes the offset that was given last, and libgcrypt's assembly
 * goes back from an expression that way.
 */
static bool set_half_cfa(struct machine *m, u8 op)
{
	u64 v;
	s64 off;

	switch (op) {
	case DW_CFA_def_cfa_register:
		return get_reg(m, &v) && set_cfa(m, v, m->now.cfa_off);
	case DW_CFA_def_cfa_offset:
		if (!eh_uleb(&m->p, m->prog->end, &v))
			return false;
		off = (s64)v;
		break;
	default:
		if (!get_factored(m, true, &off))
			return false;
	}
	m->now.cfa_off = off;
	if (m->now.cfa.kind == CFI_AT_REG)
		m->now.cfa.off = off;
	return true;
}

static bool save(struct machine *m)
{
	if (m->nsaved == CFI_STATES_MAX)
		return false;
	m->saved[m->nsaved++] = m->now;
	return true;
}

static bool get_back(struct machine *m)
{
	if (!m->nsaved)
		return false;
	m->now = m->saved[--m->nsaved];
	return true;
}

/* Those whose first operand is a register. */
static bool register_op(struct machine *m, u8 op)
{
	u64 reg, v;
	s64 off;

	if (!get_reg(m, &reg))
		return false;
	switch (op) {
	case DW_CFA_offset_extended:
		return set_offset(m, reg, false, CFI_MEMORY);
	case DW_CFA_offset_extended_sf:
		return set_offset(m, reg, true, CFI_MEMORY);
	case DW_CFA_val_offset:
		return set_offset(m, reg, false, CFI_VALUE);
	case DW_CFA_val_offset_sf:
		return set_offset(m, reg, true, CFI_VALUE);
	case DW_CFA_GNU_negative_offset_extended:
		if (!get_factored(m, false, &off) || off == INT64_MIN)
			return false;
		set_loc(m, reg, CFI_MEMORY, at_cfa(-off));
		return true;
	case DW_CFA_restore_extended:
		return restore(m, reg);
	case DW_CFA_undefined:
		set_loc(m, reg, CFI_UNDEFINED, (struct cfi_value){ 0 });
		return true;
	case DW_CFA_same_value:
		set_loc(m, reg, CFI_UNSET, (struct cfi_value){ 0 });
		return true;
	case DW_CFA_register:
		return set_register(m, reg);
	case DW_CFA_expression:
		return set_expression(m, reg, CFI_MEMORY);
	case DW_CFA_val_expression:
		return set_expression(m, reg, CFI_VALUE);
	case DW_CFA_def_cfa:
		return eh_uleb(&m->p, m->prog->end, &v) && set_cfa(m, reg, (s64)v);
	case DW_CFA_def_cfa_sf:
		return get_factored(m, true, &off) && set_cfa(m, reg, off);
	}
	return false;
}

/* One instruction. False when it is not understood. m->next > m->at when it ends a row. */
static bool step(struct machine *m)
{
	u8 op = *m->p++, low = op & 0x3f;
	u64 v;

	switch (op & 0xc0) {
	case DW_CFA_advance_loc:
		return advance(m, low);
	case DW_CFA_offset:
		return set_offset(m, low, false, CFI_MEMORY);
	case DW_CFA_restore:
		return restore(m, low);
	}
	switch (op) {
	case DW_CFA_nop:
		return true;
	case DW_CFA_set_loc:
		return advance_to(m);
	case DW_CFA_advance_loc1:
		return advance_fixed(m, 1);
	case DW_CFA_advance_loc2:
		return advance_fixed(m, 2);
	case DW_CFA_advance_loc4:
		return advance_fixed(m, 4);
	case DW_CFA_MIPS_advance_loc8:
		return advance_fixed(m, 8);
	case DW_CFA_remember_state:
		return save(m);
	case DW_CFA_restore_state:
		return get_back(m);
	case DW_CFA_def_cfa_register:
	case DW_CFA_def_cfa_offset:
	case DW_CFA_def_cfa_offset_sf:
		return set_half_cfa(m, op);
	case DW_CFA_def_cfa_expression:
		return set_cfa_expression(m);
	case DW_CFA_GNU_args_size: /* of pushed arguments: exceptions want it, the CFA has it in it */
		return eh_uleb(&m->p, m->prog->end, &v);
	}
	return register_op(m, op);
}

int cfi_init(struct cfi_state *ret, const struct cfi_program *cie)
{
	struct machine m;

	m.prog = cie;
	m.p = cie->p;
	m.now = (struct cfi_state){ 0 };
	m.init = NULL;
	m.nsaved = 0;
	m.at = m.next = 0;
	while (m.p < cie->end)
		if (!step(&m) || m.next != m.at)
			return -EINVAL;
	*ret = m.now;
	return 0;
}

int cfi_run(const struct cfi_program *fde, const struct cfi_state *init, u64 start, u64 end,
	    u64 *steps, cfi_row_fn row, void *arg, u64 *ret_bad)
{
	struct machine m;
	int r;

	m.prog = fde;
	m.p = fde->p;
	m.now = *init;
	m.init = init;
	m.nsaved = 0;
	m.at = m.next = start;
	while (m.p < fde->end) {
		*ret_bad = m.at;
		if (!*steps)
			return -ETIME;
		--*steps;
		if (!step(&m))
			return -EINVAL;
		if (m.next == m.at)
			continue;
		r = row(arg, m.at, &m.now);
		if (r || m.next >= end)
			return r;
		m.at = m.next;
	}
	return row(arg, m.at, &m.now);
}
