/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From records to an image: how FDEs, gaps and pages become rows, byte by byte; encodings of addresses;
 * hostile records; and the check of images, which must refuse every damage that could lead a lookup
 * astray.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "unwind_elf.h"

#define TEXT 0x3000
#define PLAIN (EH_PCREL | EH_SDATA4)

static const u8 restorer[] = { 0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f, 0x05 };
static const u8 ends[] = { 0x07, 16 };

struct built {
	struct maker m;
	struct elf elf;
	struct unwind_image img;
	struct unwind_counts n;
};

static void built_release(struct built *b)
{
	unwind_image_release(&b->img);
	maker_release(&b->m);
}

/* Text of int3, nothing in it that anybody looks for. */
static void begin(struct built *b, u8 enc)
{
	size_t i;

	*b = (struct built){ .m.enc = enc };
	for (i = 0; i < TEXT; i++)
		put_int(&b->m.text, 0xcc, 1);
}

static void build(struct built *b)
{
	unwind_image_release(&b->img);
	assert_int_equal(maker_open(&b->m, &b->elf), 0);
	assert_int_equal(unwind_image_build(&b->img, &b->elf, &b->n), 0);
	assert_int_equal(unwind_image_check(b->img.p, b->img.n), 0);
}

static const struct uw_rule *at(const struct built *b, u64 off)
{
	return unwind_image_lookup(&b->img, ELF_TEXT + off);
}

/* [from, to) has the rule, and the bytes around it do not. */
static void is_span(const struct built *b, u64 from, u64 to, enum uw_cfa cfa, s32 cfa_off)
{
	u64 i;

	for (i = from; i < to; i++) {
		assert_int_equal(at(b, i)->cfa, cfa);
		assert_int_equal(at(b, i)->cfa_off, cfa_off);
	}
	assert_true(at(b, from - 1)->cfa != cfa || at(b, from - 1)->cfa_off != cfa_off);
	assert_true(at(b, to)->cfa != cfa || at(b, to)->cfa_off != cfa_off);
}

/* A function of one rule, rsp + off. */
static void put_function(struct built *b, size_t cie, u64 start, u64 size, u8 off)
{
	const u8 prog[] = { 0x0e, off };

	put_fde(&b->m, cie, start, size, prog, sizeof(prog));
}

static void every_encoding_of_an_address(void **state)
{
	static const u8 encs[] = {
		PLAIN,	   EH_PCREL | EH_SDATA8,   EH_ABSPTR,  EH_UDATA4, EH_SDATA4,
		EH_UDATA8, EH_TEXTREL | EH_UDATA4, EH_ALIGNED, EH_ULEB
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(encs); i++) {
		_release_(built) struct built b;

		begin(&b, encs[i]);
		put_function(&b, put_plain_cie(&b.m), 0x100, 0x80, 24);
		build(&b);
		is_span(&b, 0x100, 0x180, UW_CFA_RSP, 24);
		assert_int_equal(b.n.frames.fdes, 1);
		assert_int_equal(b.n.frames.bad_records, 0);
	}
}

static void addresses_that_a_file_cannot_tell(void **state)
{
	static const u8 encs[] = {
		EH_OMIT, EH_INDIRECT | PLAIN,	EH_DATAREL | EH_UDATA4, EH_FUNCREL | EH_UDATA4,
		0x05,	 EH_ALIGNED | EH_UDATA4
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(encs); i++) {
		_release_(built) struct built b;

		begin(&b, encs[i]);
		put_function(&b, put_plain_cie(&b.m), 0x100, 0x80, 24);
		build(&b);
		assert_int_equal(b.n.frames.bad_records, 1);
		assert_int_equal(unwind_image_head(&b.img)->nrows, 0);
		assert_int_equal(at(&b, 0x100)->cfa, UW_CFA_NONE);
	}
}

static void debug_frame_in_both_widths(void **state)
{
	int wide;

	(void)state;
	for (wide = 0; wide < 2; wide++) {
		_release_(built) struct built b;
		size_t cie;

		begin(&b, EH_ABSPTR);
		b.m.debug = true;
		b.m.wide = wide;
		put_function(&b, put_plain_cie(&b.m), 0x100, 0x80, 24);
		cie = put_plain_cie(&b.m);
		put_function(&b, cie, 0x200, 0x10, 32);
		build(&b);
		is_span(&b, 0x100, 0x180, UW_CFA_RSP, 24);
		is_span(&b, 0x200, 0x210, UW_CFA_RSP, 32);
	}
}

static void put_many(struct built *b, u8 packing)
{
	size_t cie;
	u32 i;

	begin(b, EH_ABSPTR);
	b->m.debug = true;
	b->m.packing = packing;
	cie = put_plain_cie(&b->m);
	for (i = 0; i < 0x20; i++)
		put_function(b, cie, 0x100 * i, 0x80, (u8)(16 + i));
}

static void compressed_debug_frame(void **state)
{
	u8 packing;
	u32 i;

	(void)state;
	for (packing = ELF_PACKED; packing <= ELF_ZDEBUG; packing++) {
		_release_(built) struct built b;

		put_many(&b, packing);
		build(&b);
		assert_int_equal(b.n.frames.fdes, 0x20);
		for (i = 0; i < 0x20; i++)
			is_span(&b, 0x100 * i, 0x100 * i + 0x80, UW_CFA_RSP, (s32)(16 + i));
	}
}

/* What its header says is not what is there: nothing of it is used, and the table says so. */
static void compressed_and_damaged(void **state)
{
	/* Too long by one; too short; more than zlib packs so well; more than is taken; all there is. */
	const u64 claims[] = { 1, 17, 1 << 24, 1ull << 40, UINT64_MAX };
	u8 packing;
	u32 i;

	(void)state;
	for (packing = ELF_PACKED; packing <= ELF_ZDEBUG; packing++) {
		for (i = 0; i < ARRAY_SIZE(claims); i++) {
			_release_(built) struct built b;

			put_many(&b, packing);
			b.m.claim = i ? claims[i] : b.m.frames.n + 1;
			build(&b);
			assert_int_equal(b.n.cut, 1);
			assert_int_equal(b.n.frames.fdes, 0);
			assert_int_equal(at(&b, 0x100)->cfa, UW_CFA_NONE);
		}
	}
}

static void rows_begin_anew_on_each_page(void **state)
{
	static const u8 prog[] = { 0x0e, 16, 0x03, 0x00, 0x10, 0x0e, 24 };
	const struct uw_page *pages;
	const struct uw_row *rows;
	_release_(built) struct built b;

	(void)state;
	begin(&b, PLAIN);
	/* From the middle of page 0 to that of page 2; the rule changes 0x1000 bytes in. */
	put_fde(&b.m, put_plain_cie(&b.m), 0x800, 0x2000, prog, sizeof(prog));
	build(&b);
	is_span(&b, 0x800, 0x1800, UW_CFA_RSP, 16);
	is_span(&b, 0x1800, 0x2800, UW_CFA_RSP, 24);
	assert_int_equal(unwind_image_head(&b.img)->npages, 3);
	pages = unwind_image_pages(&b.img);
	rows = unwind_image_rows(&b.img);
	assert_int_equal(pages[0].n, 2);
	assert_int_equal(rows[0].at, 0);
	assert_int_equal(rows[0].rule, UW_RULE_NONE);
	assert_int_equal(rows[1].at, 0x800);
	assert_int_equal(pages[1].n, 2);
	assert_int_equal(rows[2].at, 0);
	assert_int_equal(rows[2].rule, rows[1].rule);
	assert_int_equal(rows[3].at, 0x800);
	assert_int_equal(pages[2].n, 2);
	assert_int_equal(rows[4].rule, rows[3].rule);
	assert_int_equal(rows[5].rule, UW_RULE_NONE);
	/* Outside of the table. */
	assert_int_equal(unwind_image_lookup(&b.img, ELF_TEXT - 1)->cfa, UW_CFA_NONE);
	assert_int_equal(unwind_image_lookup(&b.img, ELF_TEXT + TEXT)->cfa, UW_CFA_NONE);
	assert_int_equal(unwind_image_lookup(&b.img, 0)->cfa, UW_CFA_NONE);
	assert_int_equal(unwind_image_lookup(&b.img, UINT64_MAX)->cfa, UW_CFA_NONE);
}

static void equal_neighbours_are_one_row(void **state)
{
	static const u8 same[] = { 0x41, 0x0e, 8, 0x42, 0x83, 2, 0x43 };
	_release_(built) struct built b;
	size_t cie;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_fde(&b.m, cie, 0x100, 0x40, same, sizeof(same));
	put_function(&b, cie, 0x140, 0x40, 8);
	build(&b);
	is_span(&b, 0x100, 0x180, UW_CFA_RSP, 8);
	assert_int_equal(b.n.rows, 5);
	assert_int_equal(unwind_image_head(&b.img)->nrows, 3);
	assert_int_equal(unwind_image_head(&b.img)->nrules, 2);
}

static void functions_in_any_order_and_one_over_another(void **state)
{
	_release_(built) struct built b;
	size_t cie;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x2000, 0x100, 80);
	put_function(&b, cie, 0x300, 0x100, 40); /* begins inside of the next one */
	put_function(&b, cie, 0x200, 0x400, 32);
	put_function(&b, cie, 0x200, 0x500, 48); /* the same start: the first one counts */
	put_function(&b, cie, 0x280, 0, 56);
	put_function(&b, cie, 0x500000, 0x10, 64);
	put_function(&b, cie, TEXT - 8, 0x10, 64);
	put_function(&b, cie, (u64)-ELF_TEXT, 0x10, 64); /* address 0: code that was dropped */
	build(&b);
	is_span(&b, 0x200, 0x300, UW_CFA_RSP, 32);
	is_span(&b, 0x300, 0x400, UW_CFA_RSP, 40);
	assert_int_equal(at(&b, 0x400)->cfa, UW_CFA_NONE);
	is_span(&b, 0x2000, 0x2100, UW_CFA_RSP, 80);
	assert_int_equal(b.n.overlaps, 2);
	assert_int_equal(b.n.frames.empty, 1);
	assert_int_equal(b.n.outside, 3);
	/* The rule of the one that lost is not in the image. */
	assert_int_equal(unwind_image_head(&b.img)->nrules, 4);
}

/* Many more runs than one digit of the sort holds, in a scrambled order. */
static void many_functions_are_sorted(void **state)
{
	_release_(built) struct built b;
	size_t cie;
	u32 i;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	for (i = 0; i < TEXT / 4; i++) {
		u32 k = i * 7919 % (TEXT / 4);

		put_function(&b, cie, k * 4, 3, (u8)(8 + k % 13));
	}
	build(&b);
	for (i = 0; i < TEXT; i++) {
		assert_int_equal(at(&b, i)->cfa, i % 4 == 3 ? UW_CFA_NONE : UW_CFA_RSP);
		assert_int_equal(at(&b, i)->cfa_off, i % 4 == 3 ? 0 : 8 + i / 4 % 13);
	}
}

static void put_text(struct built *b, u64 off, const void *p, size_t n)
{
	memcpy(b->m.text.p + off, p, n);
}

static void the_gap_of_clone(void **state)
{
	static const u8 code[] = { 0x0f, 0x05, 0x48, 0x85, 0xc0, 0x7c, 0x13, 0x74, 0x01, 0xc3 };
	_release_(built) struct built b;
	size_t cie;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x100, 0x40, 8);
	put_fde(&b.m, cie, 0x14a, 0x20, ends, sizeof(ends));
	build(&b);
	assert_int_equal(b.n.clones, 0); /* no syscall there */
	assert_int_equal(at(&b, 0x140)->cfa, UW_CFA_NONE);
	assert_int_equal(at(&b, 0x148)->cfa, UW_CFA_NONE);
	is_span(&b, 0x149, 0x16a, UW_CFA_END, 0); /* its first byte as return address */
	put_text(&b, 0x140, code, sizeof(code));
	build(&b);
	assert_int_equal(b.n.clones, 1);
	is_span(&b, 0x100, 0x140, UW_CFA_RSP, 8);
	is_span(&b, 0x140, 0x14a, UW_CFA_CLONE, 8);
	is_span(&b, 0x14a, 0x16a, UW_CFA_END, 0);
}

static void entry_points(void **state)
{
	static const u8 code[] = { 0x31, 0xed, 0x48, 0x89, 0xe7, 0xe8 };
	_release_(built) struct built b;
	size_t cie;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x120, 0x10, 16);
	put_function(&b, cie, 0x200, 0x10, 24);
	b.m.entry = ELF_TEXT + 0x140;
	build(&b);
	assert_int_equal(b.n.entries, 0); /* the start of a library's text */
	put_text(&b, 0x140, code, sizeof(code));
	build(&b);
	assert_int_equal(b.n.entries, 1);
	is_span(&b, 0x140, 0x180, UW_CFA_END, 0);
	/* Not beyond the next function, and not where there is an FDE. */
	put_function(&b, cie, 0x150, 0x8, 32);
	build(&b);
	is_span(&b, 0x140, 0x150, UW_CFA_END, 0);
	put_function(&b, cie, 0x138, 0x10, 40);
	build(&b);
	assert_int_equal(b.n.entries, 0);
	assert_int_equal(at(&b, 0x140)->cfa, UW_CFA_RSP);
}

static void restorers(void **state)
{
	static const u8 glibc[] = { 0x0f, 4,	0x77, 0xa0, 1,	0x06, 0x10, 6,	  3,
				    0x77, 0xf8, 0,    0x10, 16, 3,    0x77, 0xa8, 1 };
	_release_(built) struct built b;
	size_t cie, signal;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x100, 0x10, 16);
	put_text(&b, 0x120, restorer, sizeof(restorer));
	build(&b);
	assert_int_equal(b.n.signals, 1);
	is_span(&b, 0x11f, 0x129, UW_CFA_SIGNAL, 0);
	/* An FDE that starts at the code itself starts a byte early; glibc's does already. */
	signal = put_cie(&b.m, "zRS", &b.m.enc, 1, "\x0c\7\10\x90\1", 5);
	put_fde(&b.m, signal, 0x120, sizeof(restorer), glibc, sizeof(glibc));
	build(&b);
	assert_int_equal(b.n.signals, 0);
	is_span(&b, 0x11f, 0x129, UW_CFA_SIGNAL, 0);
	put_text(&b, 0x160, restorer, sizeof(restorer));
	put_fde(&b.m, signal, 0x15f, sizeof(restorer) + 1, glibc, sizeof(glibc));
	build(&b);
	is_span(&b, 0x15f, 0x169, UW_CFA_SIGNAL, 0);
	/* Two in one long gap, over the end of the window that is read at once. */
	while (b.m.text.n < 0x30000)
		put_int(&b.m.text, 0xcc, 1);
	put_text(&b, 0x169 + ELF_WINDOW - 4, restorer, sizeof(restorer));
	put_text(&b, 0x2fff7, restorer, sizeof(restorer));
	build(&b);
	assert_int_equal(b.n.signals, 2);
	is_span(&b, 0x169 + ELF_WINDOW - 5, 0x169 + ELF_WINDOW + 5, UW_CFA_SIGNAL, 0);
	is_span(&b, 0x2fff6, 0x30000, UW_CFA_SIGNAL, 0);
}

static void linkage_tables(void **state)
{
	static const u8 first[] = { 0xff, 0x35, 1, 2, 3,    4,	  0xff, 0x25,
				    1,	  2,	3, 4, 0x0f, 0x1f, 0x40, 0 };
	static const u8 entry[] = { 0xff, 0x25, 1, 2, 3, 4, 0x68, 0, 0, 0, 0, 0xe9, 1, 2, 3, 4 };
	static const u8 sec[] = { 0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 1, 2, 3, 4 };
	_release_(built) struct built b;
	u64 i;

	(void)state;
	begin(&b, PLAIN);
	put_function(&b, put_plain_cie(&b.m), 0x300, 0x10, 16);
	put_text(&b, 0x100, first, sizeof(first));
	for (i = 0x110; i < 0x200; i += 16)
		put_text(&b, i, entry, sizeof(entry));
	put_text(&b, 0x200, sec, sizeof(sec));
	put_text(&b, 0x280, restorer, sizeof(restorer));
	assert_int_equal(maker_open(&b.m, &b.elf), 0);
	b.elf.plt = (struct elf_sect){ .addr = ELF_TEXT + 0x100, .size = 0x100 };
	b.elf.plt_sec = (struct elf_sect){ .addr = ELF_TEXT + 0x200, .size = 0x20 };
	/* No jump there; and one that a function lies in. */
	b.elf.plt_got = (struct elf_sect){ .addr = ELF_TEXT + 0x240, .size = 0x20 };
	assert_int_equal(unwind_image_build(&b.img, &b.elf, &b.n), 0);
	assert_int_equal(unwind_image_check(b.img.p, b.img.n), 0);
	assert_int_equal(b.n.plts, 4);
	is_span(&b, 0x100, 0x106, UW_CFA_RSP, 16);
	is_span(&b, 0x106, 0x110, UW_CFA_RSP, 24);
	is_span(&b, 0x110, 0x200, UW_CFA_PLT, 11);
	is_span(&b, 0x200, 0x220, UW_CFA_RSP, 8);
	is_span(&b, 0x27f, 0x289, UW_CFA_SIGNAL, 0);
	is_span(&b, 0x300, 0x310, UW_CFA_RSP, 16);
	unwind_image_release(&b.img);
	put_text(&b, 0x300, sec, sizeof(sec));
	assert_int_equal(maker_open(&b.m, &b.elf), 0);
	b.elf.plt_got = (struct elf_sect){ .addr = ELF_TEXT + 0x300, .size = 0x20 };
	b.elf.plt = (struct elf_sect){ .addr = -8ull, .size = 0x100 };
	assert_int_equal(unwind_image_build(&b.img, &b.elf, &b.n), 0);
	is_span(&b, 0x300, 0x310, UW_CFA_RSP, 16);
	is_span(&b, 0x310, 0x320, UW_CFA_RSP, 8);
	assert_int_equal(b.n.plts, 1);
}

static void code_with_frame_pointers(void **state)
{
	static const u8 push[] = { 0x55, 0x48, 0x89, 0xe5 };
	_release_(built) struct built b;
	u64 off;

	(void)state;
	begin(&b, PLAIN);
	put_function(&b, put_plain_cie(&b.m), 0x400, 0x10, 16);
	for (off = 0x800; off < TEXT; off += 0x1000)
		put_text(&b, off, push, sizeof(push));
	build(&b);
	assert_int_equal(at(&b, 0x1000)->cfa, UW_CFA_NONE); /* too few */
	for (off = 0x800; off < TEXT; off += 0x400)
		put_text(&b, off, push, sizeof(push));
	put_text(&b, 0x1800, restorer, sizeof(restorer));
	build(&b);
	assert_int_equal(b.n.pointed, 1);
	assert_int_equal(at(&b, 0)->cfa, UW_CFA_NONE); /* too short to tell */
	is_span(&b, 0x410, 0x17ff, UW_CFA_FP, 0);
	is_span(&b, 0x17ff, 0x1809, UW_CFA_SIGNAL, 0);
	is_span(&b, 0x1809, TEXT, UW_CFA_FP, 0);
}

static void debug_frame_fills_only_what_is_free(void **state)
{
	_release_(buf) struct buf eh = BUF_INIT;
	_release_(built) struct built b;
	size_t cie;

	(void)state;
	begin(&b, PLAIN);
	b.m.debug = true;
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x100, 0x100, 40);
	put_function(&b, cie, 0x200, 0x100, 48);
	put_function(&b, cie, 0x2ff, 0x100, 56);
	put_function(&b, cie, 0x400, 0x100, 64);
	assert_int_equal(maker_open(&b.m, &b.elf), 0);
	/* The .eh_frame of another maker, behind the file. */
	{
		struct maker other = { .enc = EH_UDATA8 };

		put_fde(&other, put_plain_cie(&other), 0x280, 0x90, "\x0e\x10", 2);
		buf_add_slice(&eh, buf_slice(&other.frames));
		maker_release(&other);
	}
	b.elf.eh_frame = (struct elf_sect){ .off = b.m.file.n, .size = eh.n };
	buf_add_slice(&b.m.file, buf_slice(&eh));
	b.elf.src.mem = (const u8 *)b.m.file.p;
	b.elf.src.size = b.m.file.n;
	assert_int_equal(unwind_image_build(&b.img, &b.elf, &b.n), 0);
	assert_int_equal(unwind_image_check(b.img.p, b.img.n), 0);
	is_span(&b, 0x100, 0x200, UW_CFA_RSP, 40);
	assert_int_equal(at(&b, 0x200)->cfa, UW_CFA_NONE);
	is_span(&b, 0x280, 0x310, UW_CFA_RSP, 16);
	assert_int_equal(at(&b, 0x3f0)->cfa, UW_CFA_NONE);
	is_span(&b, 0x400, 0x500, UW_CFA_RSP, 64);
}

static void programs_that_break_off(void **state)
{
	static const u8 broken[] = { 0x0e, 16, 0x50, 0x0e, 24, 0x50, 0x3f };
	_release_(built) struct built b;
	size_t cie;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_fde(&b.m, cie, 0x100, 0x100, broken, sizeof(broken));
	put_function(&b, cie, 0x200, 0x10, 40);
	build(&b);
	is_span(&b, 0x100, 0x110, UW_CFA_RSP, 16);
	is_span(&b, 0x110, 0x120, UW_CFA_RSP, 24);
	is_span(&b, 0x200, 0x210, UW_CFA_RSP, 40);
	assert_int_equal(b.n.bad_programs, 1);
}

static void cies_that_are_none(void **state)
{
	_release_(built) struct built b;
	size_t cie, fde;
	u32 v;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x100, 0x10, 16);
	fde = put_fde(&b.m, cie, 0x200, 0x10, NULL, 0);
	put_fde(&b.m, fde, 0x300, 0x10, NULL, 0); /* an FDE that names an FDE */
	put_fde(&b.m, b.m.frames.n, 0x400, 0x10, NULL, 0); /* itself */
	fde = put_fde(&b.m, cie, 0x500, 0x10, NULL, 0);
	v = 0x7fffffff; /* before the section */
	memcpy(b.m.frames.p + fde + 4, &v, 4);
	put_fde(&b.m, cie + 1, 0x600, 0x10, NULL, 0);
	put_cie(&b.m, "?", NULL, 0, NULL, 0);
	fde = put_cie(&b.m, "zR", &b.m.enc, 1, "\x41", 1); /* moves */
	put_fde(&b.m, fde, 0x700, 0x10, NULL, 0);
	build(&b);
	is_span(&b, 0x100, 0x110, UW_CFA_RSP, 16);
	is_span(&b, 0x200, 0x210, UW_CFA_RSP, 8);
	assert_int_equal(b.n.frames.fdes, 7);
	assert_int_equal(b.n.frames.bad_cies, 5);
	for (v = 0x300; v <= 0x700; v += 0x100)
		assert_int_equal(at(&b, v)->cfa, UW_CFA_NONE);
}

static void augmentations(void **state)
{
	static const u8 prog[] = { 0x0c, 7, 8, 0x90, 1 };
	/* P with an indirect pointer relative to its place, L, R. */
	static const u8 cxx[] = { 0x9b, 1, 2, 3, 4, 0x1b, 0x1b };
	static const u8 skipped[] = { 0x1b, 9, 9, 9 };
	_release_(built) struct built b;
	size_t at_cie;

	(void)state;
	begin(&b, PLAIN);
	at_cie = put_cie(&b.m, "zPLR", cxx, sizeof(cxx), prog, sizeof(prog));
	put_function(&b, at_cie, 0x100, 0x10, 16);
	/* Letters of the future behind R are skipped by the length; before it nobody knows. */
	at_cie = put_cie(&b.m, "zR?", skipped, sizeof(skipped), prog, sizeof(prog));
	put_function(&b, at_cie, 0x200, 0x10, 24);
	at_cie = put_cie(&b.m, "z?R", skipped, sizeof(skipped), prog, sizeof(prog));
	put_function(&b, at_cie, 0x300, 0x10, 32);
	at_cie = put_cie(&b.m, "zP", "\x9b\1", 2, prog, sizeof(prog));
	put_function(&b, at_cie, 0x400, 0x10, 40);
	build(&b);
	is_span(&b, 0x100, 0x110, UW_CFA_RSP, 16);
	is_span(&b, 0x200, 0x210, UW_CFA_RSP, 24);
	assert_int_equal(b.n.frames.bad_cies, 2);
}

/* Each FDE has 2^32 bytes or more, or its record does. */
static void absurd_lengths(void **state)
{
	_release_(built) struct built b;
	size_t cie, fde;
	u32 v = 0xfffffff0;

	(void)state;
	begin(&b, EH_UDATA8);
	cie = put_plain_cie(&b.m);
	put_function(&b, cie, 0x100, 1ull << 32, 16);
	put_function(&b, cie, 0x200, UINT64_MAX - 0x100, 16);
	put_function(&b, cie, 0x300, 0x10, 24);
	fde = put_fde(&b.m, cie, 0x400, 0x10, NULL, 0);
	memcpy(b.m.frames.p + fde, &v, 4); /* nothing can follow */
	put_function(&b, cie, 0x500, 0x10, 24);
	build(&b);
	assert_int_equal(b.n.outside, 1);
	assert_int_equal(b.n.frames.bad_records, 1);
	is_span(&b, 0x300, 0x310, UW_CFA_RSP, 24);
	assert_int_equal(at(&b, 0x500)->cfa, UW_CFA_NONE);
}

static void files_that_have_no_table(void **state)
{
	_release_(built) struct built b;

	(void)state;
	begin(&b, PLAIN);
	build(&b); /* no record at all */
	assert_int_equal(unwind_image_head(&b.img)->nrows, 0);
	assert_int_equal(unwind_image_head(&b.img)->npages, 3);
	unwind_image_release(&b.img);
	b.elf.machine = EM_AARCH64;
	assert_int_equal(unwind_image_build(&b.img, &b.elf, &b.n), -ENOTSUP);
	b.elf.machine = EM_X86_64;
	b.elf.loads[0].exec = false;
	assert_int_equal(unwind_image_build(&b.img, &b.elf, &b.n), -ENOENT);
}

/*
 * The most work that a file of 8 MiB can ask for: every FDE names a CIE of 32 KiB of instructions that
 * was forgotten meanwhile. It is cut, and within seconds even under the sanitizers.
 */
static void work_is_bounded(void **state)
{
	_free_ u8 *nops = calloc(1, 32 << 10);
	_release_(built) struct built b;
	struct rusage before, after;
	size_t cies[128];
	double s;
	u32 i;

	(void)state;
	assert_non_null(nops);
	memset(nops, 0x0a, 16);
	begin(&b, PLAIN);
	for (i = 0; i < ARRAY_SIZE(cies); i++)
		cies[i] = put_cie(&b.m, "zR", &b.m.enc, 1, nops, 32 << 10);
	for (i = 0; i < 200000; i++)
		put_fde(&b.m, cies[i % ARRAY_SIZE(cies)] + i % 2, i % TEXT, 1, NULL, 0);
	getrusage(RUSAGE_SELF, &before);
	build(&b);
	getrusage(RUSAGE_SELF, &after);
	s = (double)(after.ru_utime.tv_sec - before.ru_utime.tv_sec) +
	    (double)(after.ru_utime.tv_usec - before.ru_utime.tv_usec) / 1e6;
	print_message("%u CIEs looked up, %u FDEs, %.2f s\n", b.n.frames.cies, b.n.frames.fdes, s);
	assert_int_equal(b.n.cut, 1);
	assert_true(s < 10);
}

/* More rules than an image holds: those that came first are kept. */
static void rules_are_bounded(void **state)
{
	_release_(built) struct built b;
	size_t cie;
	u32 i;

	(void)state;
	begin(&b, PLAIN);
	cie = put_plain_cie(&b.m);
	for (i = 0; i < UW_IMAGE_RULES_MAX + 100; i++) {
		u8 prog[] = { 0x0e, (u8)(0x80 | (i & 0x7f)), (u8)(1 + (i >> 7)) };

		put_fde(&b.m, cie, i * 2, 1, prog, sizeof(prog));
	}
	build(&b);
	assert_int_equal(b.n.cut, 1);
	assert_int_equal(unwind_image_head(&b.img)->nrules, UW_IMAGE_RULES_MAX);
	assert_int_equal(at(&b, 0)->cfa_off, 128);
	/* What has no number any more is not known. */
	assert_int_equal(at(&b, (UW_IMAGE_RULES_MAX + 50) * 2)->cfa, UW_CFA_NONE);
}

static void make_image(struct built *b)
{
	static const u8 prog[] = { 0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6, 0x02, 0x20, 0x0c, 7, 8 };
	size_t cie;

	begin(b, PLAIN);
	cie = put_plain_cie(&b->m);
	put_fde(&b->m, cie, 0x100, 0x1200, prog, sizeof(prog));
	put_fde(&b->m, cie, 0x2100, 0x100, prog, sizeof(prog));
	build(b);
}

static bool refused(const struct built *b)
{
	return unwind_image_check(b->img.p, b->img.n) == -EINVAL;
}

static void the_check_refuses_each_damage(void **state)
{
	_release_(built) struct built b;
	struct uw_image *h;
	struct uw_page *pages;
	struct uw_row *rows;
	struct uw_rule *rules;

	(void)state;
	make_image(&b);
	h = (struct uw_image *)b.img.p;
	pages = (struct uw_page *)unwind_image_pages(&b.img);
	rows = (struct uw_row *)unwind_image_rows(&b.img);
	rules = (struct uw_rule *)unwind_image_rules(&b.img);
#define REFUSES(field, value)                                                                      \
	do {                                                                                       \
		typeof(field) kept_ = (field);                                                     \
                                                                                                   \
		(field) = (typeof(field))(value);                                                  \
		assert_true((field) != kept_ && refused(&b));                                      \
		(field) = kept_;                                                                   \
		assert_false(refused(&b));                                                         \
	} while (0)
	REFUSES(h->magic, h->magic + 1);
	REFUSES(h->nrules, 0);
	REFUSES(h->nrules, h->nrules + 1);
	REFUSES(h->nrules, UINT32_MAX);
	REFUSES(h->npages, h->npages - 1);
	REFUSES(h->npages, UINT32_MAX);
	REFUSES(h->nrows, h->nrows - 1);
	REFUSES(h->nrows, UINT32_MAX);
	REFUSES(h->vaddr, h->vaddr + 1);
	REFUSES(h->vaddr, -(u64)UW_PAGE_BYTES);
	REFUSES(h->build_id_len, 21);
	REFUSES(h->pad0[1], 1);
	REFUSES(pages[0].first, 1);
	REFUSES(pages[1].first, 0);
	REFUSES(pages[2].first, UINT32_MAX);
	REFUSES(pages[0].n, pages[0].n + 1);
	REFUSES(pages[0].n, pages[0].n - 1);
	REFUSES(pages[2].n, UINT32_MAX);
	REFUSES(rows[0].at, 1);
	REFUSES(rows[1].at, 0);
	REFUSES(rows[1].at, rows[2].at);
	REFUSES(rows[pages[0].n - 1].at, UW_PAGE_BYTES);
	REFUSES(rows[0].rule, h->nrules);
	REFUSES(rows[h->nrows - 1].rule, UINT16_MAX);
	REFUSES(rules[0].cfa, UW_CFA_END);
	REFUSES(rules[0].rbp_off, 1);
	REFUSES(rules[1].cfa, UW_CFA_HEAP + 1);
	REFUSES(rules[1].rbp, UW_RBP_UNKNOWN + 1);
	REFUSES(rules[1].ra, UW_RA_REG + 1);
	REFUSES(rules[1].reg, 16);
#undef REFUSES
}

static void the_check_refuses_every_other_size(void **state)
{
	_release_(built) struct built b;
	size_t n;

	(void)state;
	make_image(&b);
	for (n = 0; n < b.img.n; n++) {
		/* A block of its own, so that reading past its end is seen. */
		_free_ u8 *p = malloc(n + !n);

		assert_non_null(p);
		memcpy(p, b.img.p, n);
		assert_int_equal(unwind_image_check(p, n), -EINVAL);
	}
}

static void images_travel_sealed(void **state)
{
	_release_(built) struct built b;
	struct unwind_image copy = { 0 };
	_close_ int fd = -1;
	u8 c = 0;

	(void)state;
	make_image(&b);
	fd = unwind_image_memfd(&b.img);
	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, &c, 1, 0), -1);
	assert_int_equal(errno, EPERM);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(unwind_image_read(&copy, fd, 0, b.img.n), 0);
	assert_memory_equal(copy.p, b.img.p, b.img.n);
	unwind_image_release(&copy);
	assert_int_equal(unwind_image_read(&copy, fd, 0, b.img.n - 16), -EINVAL);
	assert_int_equal(unwind_image_read(&copy, fd, 0, b.img.n + 16), -EINVAL);
	assert_int_equal(unwind_image_read(&copy, fd, 8, b.img.n), -EINVAL);
	assert_int_equal(unwind_image_read(&copy, fd, b.img.n, b.img.n), -ENODATA);
	assert_int_equal(unwind_image_read(&copy, fd, 0, 3), -EINVAL);
	assert_null(copy.p);
}

/* This program's own table, with its section headers and without: the segment says the same. */
static void sections_are_not_needed(void **state)
{
	_release_(buf) struct buf file = BUF_INIT;
	struct unwind_image whole = { 0 }, bare = { 0 };
	struct elf_src src = { .fd = -1 };
	struct unwind_counts n;
	Elf64_Ehdr *eh;
	struct elf e;

	(void)state;
	assert_int_equal(file_read("/proc/self/exe", &file, 256u << 20), 0);
	src.mem = (const u8 *)file.p;
	src.size = file.n;
	assert_int_equal(elf_open(&e, &src), 0);
	assert_true(e.eh_frame.size > 0);
	assert_int_equal(unwind_image_build(&whole, &e, &n), 0);
	eh = (Elf64_Ehdr *)file.p;
	eh->e_shoff = 0;
	eh->e_shnum = 0;
	assert_int_equal(elf_open(&e, &src), 0);
	assert_int_equal(e.eh_frame.size, 0);
	assert_int_equal(unwind_image_build(&bare, &e, &n), 0);
	assert_true(unwind_image_head(&whole)->nrows > 100);
	assert_int_equal(whole.n, bare.n);
	assert_memory_equal(whole.p, bare.p, whole.n);
	unwind_image_release(&whole);
	unwind_image_release(&bare);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_encoding_of_an_address),
		cmocka_unit_test(addresses_that_a_file_cannot_tell),
		cmocka_unit_test(debug_frame_in_both_widths),
		cmocka_unit_test(compressed_debug_frame),
		cmocka_unit_test(compressed_and_damaged),
		cmocka_unit_test(rows_begin_anew_on_each_page),
		cmocka_unit_test(equal_neighbours_are_one_row),
		cmocka_unit_test(functions_in_any_order_and_one_over_another),
		cmocka_unit_test(many_functions_are_sorted),
		cmocka_unit_test(the_gap_of_clone),
		cmocka_unit_test(entry_points),
		cmocka_unit_test(restorers),
		cmocka_unit_test(linkage_tables),
		cmocka_unit_test(code_with_frame_pointers),
		cmocka_unit_test(debug_frame_fills_only_what_is_free),
		cmocka_unit_test(programs_that_break_off),
		cmocka_unit_test(cies_that_are_none),
		cmocka_unit_test(augmentations),
		cmocka_unit_test(absurd_lengths),
		cmocka_unit_test(files_that_have_no_table),
		cmocka_unit_test(work_is_bounded),
		cmocka_unit_test(rules_are_bounded),
		cmocka_unit_test(the_check_refuses_each_damage),
		cmocka_unit_test(the_check_refuses_every_other_size),
		cmocka_unit_test(images_travel_sealed),
		cmocka_unit_test(sections_are_not_needed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
