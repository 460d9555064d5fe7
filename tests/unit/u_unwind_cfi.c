/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Call frame programs byte by byte: every instruction, the expressions that become rules and those
 * that do not, programs that are cut off at every length, and absurd ones.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "sym/ehpointer.h"
#include "unwind/cfi.h"

#define START 0x1000
#define END 0x1100
#define ROWS_MAX 64

struct rows {
	unsigned int n;
	u64 at[ROWS_MAX];
	struct uw_rule rule[ROWS_MAX];
	enum cfi_fit fit[ROWS_MAX];
	bool signal;
};

static int keep_row(void *arg, u64 at, const struct cfi_state *state)
{
	struct rows *r = arg;

	assert_in_range(r->n, 0, ROWS_MAX - 1);
	assert_true(!r->n || at > r->at[r->n - 1]);
	r->at[r->n] = at;
	r->fit[r->n] = cfi_rule(&r->rule[r->n], state, r->signal);
	r->n++;
	return 0;
}

/* CFA rsp + 8, return address at CFA - 8. */
static const u8 cie_prog[] = { 0x0c, 7, 8, 0x90, 1 };

static struct cfi_program program(const u8 *p, size_t n)
{
	return (struct cfi_program){
		.code_align = 1,
		.data_align = -8,
		.enc = EH_UDATA4,
		.p = p,
		.end = p + n,
		.vaddr = 0x5000,
	};
}

static struct cfi_state init_state(void)
{
	const struct cfi_program cie = program(cie_prog, sizeof(cie_prog));
	struct cfi_state s;

	assert_int_equal(cfi_init(&s, &cie), 0);
	return s;
}

static int run_steps(struct rows *ret, const u8 *p, size_t n, u64 steps)
{
	const struct cfi_program fde = program(p, n);
	const struct cfi_state init = init_state();
	u64 bad = 0;
	int r;

	ret->n = 0;
	r = cfi_run(&fde, &init, START, END, &steps, keep_row, ret, &bad);
	if (r < 0)
		assert_in_range(bad, START, END - 1);
	return r;
}

#define RUN(rows, ...)                                                                             \
	({                                                                                         \
		const u8 prog_[] = { __VA_ARGS__ };                                                \
		u8 *exact_ = malloc(sizeof(prog_)); /* so that reading past it is seen */          \
		int r_;                                                                            \
                                                                                                   \
		memcpy(exact_, prog_, sizeof(prog_));                                              \
		r_ = run_steps(rows, exact_, sizeof(prog_), 1000);                                 \
		free(exact_);                                                                      \
		r_;                                                                                \
	})

static void is_row(const struct rows *r, unsigned int i, u64 at, struct uw_rule want)
{
	assert_in_range(i, 0, r->n - 1);
	assert_int_equal(r->at[i], START + at);
	assert_memory_equal(&r->rule[i], &want, sizeof(want));
}

#define RSP(off)                                                                                   \
	{                                                                                          \
		.cfa = UW_CFA_RSP, .cfa_off = (off)                                                \
	}

static void a_function_of_gcc(void **state)
{
	struct rows r = { 0 };

	(void)state;
	/* push rbp; mov rsp,rbp; … leave; ret, with code behind the return. */
	assert_int_equal(RUN(&r, 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x20, 0x0a, 0xc6,
			     0x0c, 7, 8, 0x41, 0x0b, 0, 0, 0),
			 0);
	assert_int_equal(r.n, 5);
	is_row(&r, 0, 0, (struct uw_rule)RSP(8));
	is_row(&r, 1, 1,
	       (struct uw_rule){
		       .cfa = UW_CFA_RSP, .cfa_off = 16, .rbp = UW_RBP_CFA, .rbp_off = -16 });
	is_row(&r, 2, 4,
	       (struct uw_rule){
		       .cfa = UW_CFA_RBP, .cfa_off = 16, .rbp = UW_RBP_CFA, .rbp_off = -16 });
	is_row(&r, 3, 0x24, (struct uw_rule)RSP(8));
	is_row(&r, 4, 0x25,
	       (struct uw_rule){
		       .cfa = UW_CFA_RBP, .cfa_off = 16, .rbp = UW_RBP_CFA, .rbp_off = -16 });
}

static void every_way_forward(void **state)
{
	struct rows r = { 0 };

	(void)state;
	assert_int_equal(RUN(&r, 0x41, 0x0e, 1, 0x02, 2, 0x0e, 2, 0x03, 3, 0, 0x0e, 3, 0x04, 4, 0,
			     0, 0, 0x0e, 4, 0x1d, 5, 0, 0, 0, 0, 0, 0, 0, 0x0e, 5, 0x01, 0x20, 0x10,
			     0, 0, 0x0e, 6),
			 0);
	assert_int_equal(r.n, 7);
	is_row(&r, 1, 1, (struct uw_rule)RSP(1));
	is_row(&r, 2, 3, (struct uw_rule)RSP(2));
	is_row(&r, 3, 6, (struct uw_rule)RSP(3));
	is_row(&r, 4, 10, (struct uw_rule)RSP(4));
	is_row(&r, 5, 15, (struct uw_rule)RSP(5));
	is_row(&r, 6, 0x20, (struct uw_rule)RSP(6));
	/* Backwards is refused, and so is an overflow. */
	assert_int_equal(RUN(&r, 0x44, 0x01, 0x03, 0x10, 0, 0), -EINVAL);
	assert_int_equal(RUN(&r, 0x1d, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), -EINVAL);
	/* Beyond the function the run is over: what follows is not looked at. */
	assert_int_equal(RUN(&r, 0x03, 0x00, 0x01, 0x3f), 0);
	assert_int_equal(r.n, 1);
	/* Nothing at all is one row. */
	assert_int_equal(RUN(&r, 0), 0);
	assert_int_equal(r.n, 1);
}

static void every_rule_of_a_register(void **state)
{
	struct rows r = { 0 };

	(void)state;
#define RBP_AFTER(want_rbp, want_off, ...)                                                         \
	do {                                                                                       \
		assert_int_equal(RUN(&r, __VA_ARGS__), 0);                                         \
		is_row(&r, 0, 0,                                                                   \
		       (struct uw_rule){ .cfa = UW_CFA_RSP,                                        \
					 .cfa_off = 8,                                             \
					 .rbp = want_rbp,                                          \
					 .rbp_off = want_off });                                   \
	} while (0)
	RBP_AFTER(UW_RBP_CFA, -16, 0x86, 2);
	RBP_AFTER(UW_RBP_CFA, -16, 0x05, 6, 2);
	RBP_AFTER(UW_RBP_CFA, 24, 0x11, 6, 0x7d);
	RBP_AFTER(UW_RBP_CFA, 16, 0x2f, 6, 2);
	RBP_AFTER(UW_RBP_SAME, 0, 0x86, 2, 0xc6);
	RBP_AFTER(UW_RBP_SAME, 0, 0x86, 2, 0x06, 6);
	RBP_AFTER(UW_RBP_SAME, 0, 0x86, 2, 0x08, 6);
	RBP_AFTER(UW_RBP_SAME, 0, 0x86, 2, 0x09, 6, 6);
	RBP_AFTER(UW_RBP_UNKNOWN, 0, 0x07, 6);
	assert_int_equal(r.fit[0], CFI_FITS);
	RBP_AFTER(UW_RBP_UNKNOWN, 0, 0x09, 6, 3);
	assert_int_equal(r.fit[0], CFI_LOST_RBP);
	RBP_AFTER(UW_RBP_UNKNOWN, 0, 0x14, 6, 2);
	RBP_AFTER(UW_RBP_UNKNOWN, 0, 0x15, 6, 2);
	RBP_AFTER(UW_RBP_UNKNOWN, 0, 0x16, 6, 2, 0x77, 8);
	/* expression: *(rbp + 0), *(rsp + 0) which is CFA - 8, *(CFA - 24). */
	RBP_AFTER(UW_RBP_RBP, 0, 0x10, 6, 2, 0x76, 0);
	RBP_AFTER(UW_RBP_CFA, -8, 0x10, 6, 2, 0x77, 0);
	RBP_AFTER(UW_RBP_CFA, -24, 0x10, 6, 3, 0x08, 24, 0x1c);
	RBP_AFTER(UW_RBP_UNKNOWN, 0, 0x10, 6, 2, 0x73, 0);
	/* Other registers change nothing. */
	RBP_AFTER(UW_RBP_SAME, 0, 0x83, 2, 0x05, 200, 1, 9, 0x07, 12, 0x10, 3, 2, 0x77, 0, 0x2e,
		  0x80, 1, 0xc3);
#undef RBP_AFTER
}

static void every_way_to_the_cfa(void **state)
{
	struct rows r = { 0 };

	(void)state;
#define CFA_AFTER(want, ...)                                                                       \
	do {                                                                                       \
		assert_int_equal(RUN(&r, __VA_ARGS__), 0);                                         \
		is_row(&r, 0, 0, (struct uw_rule)want);                                            \
	} while (0)
#define RULE(kind, off, add) { .cfa = kind, .cfa_off = off, .cfa_add = add }
	CFA_AFTER(RULE(UW_CFA_RSP, 0x80, 0), 0x0e, 0x80, 1);
	CFA_AFTER(RULE(UW_CFA_RSP, 16, 0), 0x13, 0x7e);
	CFA_AFTER(RULE(UW_CFA_RBP, 16, 0), 0x0c, 6, 16);
	CFA_AFTER(RULE(UW_CFA_RBP, -8, 0), 0x12, 6, 1);
	CFA_AFTER(RULE(UW_CFA_RBP, 8, 0), 0x0d, 6);
	CFA_AFTER(RULE(UW_CFA_RSP, 65600, 0), 0x0e, 0xc0, 0x80, 4);
	/* DW_OP_breg7 + deref, and with an addition in its two ways; rbp of realigned stacks. */
	CFA_AFTER(RULE(UW_CFA_RSP_DEREF, 152, 8), 0x0f, 6, 0x77, 0x98, 1, 0x06, 0x23, 8);
	CFA_AFTER(RULE(UW_CFA_RSP_DEREF, -8, 8), 0x0f, 5, 0x77, 0x78, 0x06, 0x38, 0x22);
	CFA_AFTER(RULE(UW_CFA_RBP_DEREF, -8, 0), 0x0f, 3, 0x76, 0x78, 0x06);
	CFA_AFTER(RULE(UW_CFA_RSP, 8, 0), 0x0f, 2, 0x77, 8);
	CFA_AFTER(RULE(UW_CFA_RSP, 24, 0), 0x0f, 5, 0x92, 7, 16, 0x23, 8);
	CFA_AFTER(RULE(UW_CFA_PLT, 11, 0), 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3b, 0x2a, 0x33,
		  0x24, 0x22);
	CFA_AFTER(RULE(UW_CFA_PLT, 10, 0), 0x0f, 11, 0x77, 8, 0x80, 0, 0x3f, 0x1a, 0x3a, 0x2a, 0x33,
		  0x24, 0x22);
#undef CFA_AFTER
	assert_int_equal(RUN(&r, 0x0c, 10, 0), 0);
	is_row(&r, 0, 0, (struct uw_rule){ .cfa = UW_CFA_REG, .reg = 10 });
	/* libgcrypt: back from an expression by halves; the offset is the last one given. */
	assert_int_equal(
		RUN(&r, 0x0e, 56, 0x0d, 0, 0x0f, 3, 0x77, 0, 0x06, 0x41, 0x0e, 48, 0x41, 0x0d, 7),
		0);
	is_row(&r, 0, 0, (struct uw_rule)RULE(UW_CFA_RSP_DEREF, 0, 0));
	is_row(&r, 1, 1, (struct uw_rule)RULE(UW_CFA_RSP_DEREF, 0, 0));
	is_row(&r, 2, 2, (struct uw_rule)RULE(UW_CFA_RSP, 48, 0));
}

static void what_no_rule_can_say(void **state)
{
	const struct uw_rule none = { 0 };
	struct rows r = { 0 };

	(void)state;
#define NONE_AFTER(why, ...)                                                                       \
	do {                                                                                       \
		assert_int_equal(RUN(&r, __VA_ARGS__), 0);                                         \
		assert_int_equal(r.fit[0], why);                                                   \
		is_row(&r, 0, 0, none);                                                            \
	} while (0)
	/* OpenSSL: *(rsp + 8 + r9 * 8) + 8. */
	NONE_AFTER(CFI_NO_CFA, 0x0f, 10, 0x77, 8, 0x79, 0, 0x38, 0x1e, 0x22, 0x06, 0x23, 8);
	NONE_AFTER(CFI_NO_CFA, 0x0f, 4, 0x77, 0, 0x06, 0x06); /* *(*rsp) */
	NONE_AFTER(CFI_NO_CFA, 0x0f, 3, 0x7a, 0, 0x06); /* *(r10) */
	NONE_AFTER(CFI_NO_CFA, 0x0f, 0); /* an empty stack */
	NONE_AFTER(CFI_NO_CFA, 0x0f, 1, 0x22);
	NONE_AFTER(CFI_NO_CFA, 0x0f, 1, 0x06);
	NONE_AFTER(CFI_NO_CFA, 0x0f, 2, 0x77, 0x80); /* cut off */
	NONE_AFTER(CFI_NO_CFA, 0x0f, 9, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30);
	NONE_AFTER(CFI_NO_CFA, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f); /* 2^32 - 1 */
	/* longjmp(): the caller's rsp is in r8. */
	NONE_AFTER(CFI_NO_RSP, 0x09, 7, 8);
	NONE_AFTER(CFI_NO_RSP, 0x87, 3);
	NONE_AFTER(CFI_NO_RA, 0x90, 2);
	NONE_AFTER(CFI_NO_RA, 0x08, 16);
	NONE_AFTER(CFI_NO_RA, 0x0c, 10, 0, 0x09, 16, 5); /* two registers */
#undef NONE_AFTER
	assert_int_equal(RUN(&r, 0x14, 7, 0), 0);
	is_row(&r, 0, 0, (struct uw_rule)RSP(8)); /* rsp is the CFA, said aloud */
}

static void return_addresses(void **state)
{
	/* glibc's: CFA *(rsp + 160), rbp at rsp + 120, rip at rsp + 168. */
	static const u8 signal[] = { 0x0f, 4,  0x77, 0xa0, 1,	 0x06, 0x10, 6, 3, 0x77, 0xf8, 0,
				     0x10, 16, 3,    0x77, 0xa8, 1,    0x10, 7, 3, 0x77, 0xa0, 1 };
	struct rows r = { 0 };
	u8 off[sizeof(signal)];

	(void)state;
	assert_int_equal(RUN(&r, 0x07, 16), 0);
	is_row(&r, 0, 0, (struct uw_rule){ .cfa = UW_CFA_END });
	/* vfork(): in rdi. */
	assert_int_equal(RUN(&r, 0x0e, 0, 0x09, 16, 5), 0);
	is_row(&r, 0, 0, (struct uw_rule){ .cfa = UW_CFA_RSP, .ra = UW_RA_REG, .reg = 5 });
	assert_int_equal(RUN(&r, 0x0c, 5, 0, 0x09, 16, 5), 0);
	is_row(&r, 0, 0, (struct uw_rule){ .cfa = UW_CFA_REG, .ra = UW_RA_REG, .reg = 5 });

	r.signal = true;
	assert_int_equal(run_steps(&r, signal, sizeof(signal), 100), 0);
	is_row(&r, 0, 0, (struct uw_rule){ .cfa = UW_CFA_SIGNAL });
	memcpy(off, signal, sizeof(off));
	off[15] = 0x76;
	assert_int_equal(run_steps(&r, off, sizeof(off), 100), 0);
	assert_int_equal(r.fit[0], CFI_NO_SIGNAL);
	is_row(&r, 0, 0, (struct uw_rule){ 0 });
	assert_int_equal(RUN(&r, 0), 0);
	assert_int_equal(r.fit[0], CFI_NO_SIGNAL);
}

static void absurd_programs_end(void **state)
{
	struct rows r = { 0 };
	unsigned int i;
	u8 deep[2 * CFI_STATES_MAX + 2];

	(void)state;
	assert_int_equal(RUN(&r, 0x0b), -EINVAL); /* restore_state of nothing */
	assert_int_equal(RUN(&r, 0x3f), -EINVAL);
	assert_int_equal(RUN(&r, 0x41, 0x17), -EINVAL);
	assert_int_equal(r.n, 1); /* what came before holds */
	assert_int_equal(RUN(&r, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
			 -EINVAL);
	memset(deep, 0x0a, sizeof(deep));
	assert_int_equal(run_steps(&r, deep, CFI_STATES_MAX, 1000), 0);
	assert_int_equal(run_steps(&r, deep, CFI_STATES_MAX + 1, 1000), -EINVAL);
	memset(deep, 0, sizeof(deep));
	assert_int_equal(run_steps(&r, deep, 10, 10), 0);
	assert_int_equal(run_steps(&r, deep, 11, 10), -ETIME);
	/* Any byte first, with nothing behind it. */
	for (i = 0; i < 256; i++) {
		int got = RUN(&r, (u8)i);

		assert_true(got == 0 || got == -EINVAL);
	}
}

static void a_cie_has_no_addresses(void **state)
{
	static const u8 moves[] = { 0x0c, 7, 8, 0x41 }, restores[] = { 0xc6 };
	struct cfi_program cie = program(moves, sizeof(moves));
	struct cfi_state s;

	(void)state;
	assert_int_equal(cfi_init(&s, &cie), -EINVAL);
	cie = program(restores, sizeof(restores));
	assert_int_equal(cfi_init(&s, &cie), -EINVAL);
}

static void numbers(void **state)
{
	static const u8 wide[] = { 0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
				   0x80, 0x80, 0x80, 0x80, 0x80, 0x00 };
	static const u8 minus[] = { 0x80, 0x7f };
	const u8 *p = wide;
	u64 u;
	s64 s;

	(void)state;
	assert_true(eh_uleb(&p, wide + sizeof(wide), &u));
	assert_int_equal(u, 0);
	assert_ptr_equal(p, wide + sizeof(wide));
	p = wide;
	assert_false(eh_uleb(&p, wide + sizeof(wide) - 1, &u));
	assert_ptr_equal(p, wide);
	p = minus;
	assert_true(eh_sleb(&p, minus + 2, &s));
	assert_int_equal(s, -128);
	p = minus;
	assert_false(eh_pointer(&p, minus + 2, EH_OMIT, 0, &u));
	assert_false(eh_pointer(&p, minus + 2, EH_INDIRECT | EH_UDATA2, 0, &u));
	assert_false(eh_pointer(&p, minus + 2, EH_DATAREL | EH_UDATA2, 0, &u));
	assert_false(eh_pointer(&p, minus + 2, EH_UDATA4, 0, &u));
	assert_true(eh_pointer(&p, minus + 2, EH_PCREL | EH_SLEB, 0x1000, &u));
	assert_int_equal(u, 0x1000 - 128);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_function_of_gcc),
		cmocka_unit_test(every_way_forward),
		cmocka_unit_test(every_rule_of_a_register),
		cmocka_unit_test(every_way_to_the_cfa),
		cmocka_unit_test(what_no_rule_can_say),
		cmocka_unit_test(return_addresses),
		cmocka_unit_test(absurd_programs_end),
		cmocka_unit_test(a_cie_has_no_addresses),
		cmocka_unit_test(numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
