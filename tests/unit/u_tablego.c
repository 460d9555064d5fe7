/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind rules by Go's own table, of programs made by hand in the layouts that say enough: each kind of
 * function, and the table damaged at every byte.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "base/cleanup.h"
#include "go_table.h"
#include "unwind/tableimage.h"

/* Fields of a function behind its address, as in user/unwind/tablego.c. */
#define PCSP 12
#define FLAG 33

enum {
	TOPFRAME = 1,
	SPWRITE = 2,
	ASM = 4
};

static void open_file(struct elf *e, const struct go_file *f)
{
	const struct elf_src src = { .fd = -1, .mem = f->bytes, .size = f->n };

	assert_int_equal(elf_open(e, &src), 0);
}

/* The second function moves rsp by 8 and 0x58 and back; the third and the first get flags. */
static struct go_file *file_of(int version, u8 first, u8 third)
{
	static const int moved[][2] = { { 0, 0x10 }, { 0x58, 0x60 }, { 0, 0xc0 } };
	/* sub $0x58,%rsp; mov %rbp,0x50(%rsp); lea 0x50(%rsp),%rbp */
	static const u8 code[] = { 0x48, 0x83, 0xec, 0x58, 0x48, 0x89, 0x6c,
				   0x24, 0x50, 0x48, 0x8d, 0x6c, 0x24, 0x50 };
	const u8 flags[GO_FUNCS] = { first, 0, third };
	struct go_file *f = go_file(version, GO_SECTIONS);
	size_t behind = version >= GO_1_18 ? 4 : 8, more = version >= GO_1_20 ? 4 : 0, at, i;
	struct gopclntab t;
	struct gopclntab_func fn;
	struct elf_win w;
	struct elf e;

	memcpy(f->bytes + 0x1040 + 0x10 - 4, code, sizeof(code));
	open_file(&e, f);
	assert_int_equal(gopclntab_find(&t, &e), 0);
	assert_int_equal(elf_win_init(&w, &e.src), 0);
	at = f->table_size;
	for (i = 0; i < GO_FUNCS; i++) {
		assert_true(gopclntab_func(&t, &w, i, &fn));
		f->bytes[f->table + fn.at + behind + FLAG + more] = flags[i];
		if (i == 1)
			go_put(f, f->table + fn.at + behind + PCSP,
			       go_values(f, &at, moved, 3) - t.tables, 4);
	}
	elf_win_release(&w);
	f->table_size = at;
	go_elf(f, GO_SECTIONS);
	return f;
}

static void is_rule(const struct unwind_image *img, u64 at, struct uw_rule want)
{
	const struct uw_rule *got = unwind_image_lookup(img, at);

	if (memcmp(got, &want, sizeof(want)))
		fail_msg("%llx: cfa %u %d rbp %u %d", (unsigned long long)at, got->cfa,
			 got->cfa_off, got->rbp, got->rbp_off);
}

static void every_kind(void **state)
{
	const struct uw_rule entry = { .cfa = UW_CFA_RSP, .cfa_off = 8 };
	const struct uw_rule unsaved = { .cfa = UW_CFA_RSP, .cfa_off = 0x60 };
	const struct uw_rule inside = {
		.cfa = UW_CFA_RSP, .cfa_off = 0x60, .rbp = UW_RBP_CFA, .rbp_off = -16
	};
	int version;

	(void)state;
	for (version = GO_1_16; version <= GO_1_20; version++) {
		_free_ struct go_file *f = file_of(version, TOPFRAME, SPWRITE);
		_release_(unwind_image) struct unwind_image img = { 0 };
		struct unwind_counts counts;
		struct elf e;

		open_file(&e, f);
		assert_int_equal(unwind_image_build(&img, &e, &counts), 0);
		assert_int_equal(counts.go, GO_FUNCS);
		is_rule(&img, GO_TEXT, (struct uw_rule){ .cfa = UW_CFA_END });
		is_rule(&img, GO_TEXT + 0x3f, (struct uw_rule){ .cfa = UW_CFA_END });
		is_rule(&img, GO_TEXT + 0x40, entry);
		is_rule(&img, GO_TEXT + 0x4f, entry);
		is_rule(&img, GO_TEXT + 0x50, unsaved);
		is_rule(&img, GO_TEXT + 0x54, unsaved);
		is_rule(&img, GO_TEXT + 0x55, inside);
		is_rule(&img, GO_TEXT + 0x9f, inside);
		is_rule(&img, GO_TEXT + 0xa0, entry);
		is_rule(&img, GO_TEXT + 0xff, entry);
		is_rule(&img, GO_TEXT + 0x100, (struct uw_rule){ .cfa = UW_CFA_FP_END });
		is_rule(&img, GO_TEXT + 0x180, (struct uw_rule){ 0 });
	}
}

/* A table whose functions have no flags is of 1.16 or before: it does not say where stacks end. */
static void no_flags(void **state)
{
	_free_ struct go_file *f = file_of(GO_1_16, 0, 0);
	_release_(unwind_image) struct unwind_image img = { 0 };
	struct unwind_counts counts;
	struct elf e;

	(void)state;
	open_file(&e, f);
	assert_int_equal(unwind_image_build(&img, &e, &counts), 0);
	assert_int_equal(counts.go, 0);
	is_rule(&img, GO_TEXT + 0x60, (struct uw_rule){ 0 });
}

static void damaged(void **state)
{
	static const u8 values[] = { 0, 1, 0x7f, 0x80, 0xff };
	_free_ struct go_file *f = file_of(GO_1_20, TOPFRAME, ASM);
	size_t at, i;

	(void)state;
	for (at = f->table; at < f->table + f->table_size; at++)
		for (i = 0; i < ARRAY_SIZE(values); i++) {
			_release_(unwind_image) struct unwind_image img = { 0 };
			u8 was = f->bytes[at];
			struct unwind_counts counts;
			struct elf e;

			f->bytes[at] = values[i];
			open_file(&e, f);
			if (unwind_image_build(&img, &e, &counts) == 0)
				assert_int_equal(unwind_image_check(img.p, img.n), 0);
			f->bytes[at] = was;
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind),
		cmocka_unit_test(no_flags),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests_name("u_tablego", tests, NULL, NULL);
}
