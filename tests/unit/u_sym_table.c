/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of sym/table.h and the readers beside it, on hand-made input. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "sym/demangle.h"
#include "sym/kallsyms.h"
#include "sym/maps.h"
#include "sym/table.h"

#define BASE 0x401000ULL

static const struct elf fake = {
	.src = { .fd = -1 },
	.machine = EM_X86_64,
	.nloads = 1,
	.loads = { { .off = 0x1000,
		     .vaddr = BASE,
		     .filesz = 0x10000,
		     .memsz = 0x10000,
		     .exec = true } },
	.exec_lo = BASE,
	.exec_hi = BASE + 0x10000,
};

static void add_ranked(struct table_build *b, u64 start, u64 size, const char *name, u32 rank)
{
	u32 off;

	assert_int_equal(build_add_strs(b, strlen(name), &off), 0);
	memcpy(b->strs + off, name, strlen(name));
	assert_int_equal(build_add_symbol(b, BASE + start, size, off, rank), 0);
}

static void add(struct table_build *b, u64 start, u64 size, const char *name)
{
	add_ranked(b, start, size, name, SYM_SYMTAB);
}

/* The whole table as text: "start-end name" with unwind entries as "@start". */
static void assert_table(struct table_build *b, const char *want)
{
	_release_(buf) struct buf out = BUF_INIT;
	struct table t;
	u32 i;

	assert_int_equal(build_finish(b, &t), 0);
	for (i = 0; i < t.n; i++) {
		const struct table_seg *s = &t.segs[i];

		buf_addf(&out, "%s%x-%x ", i ? ", " : "", s->start, s->start + s->len);
		if (s->kind == SYM_FDE)
			buf_addf(&out, "@%x", s->name);
		else
			buf_adds(&out, t.names + s->name);
	}
	assert_string_equal(out.p ? out.p : "", want);
	table_release(&t);
	build_release(b);
}

static void nested_and_overlapping(void **state)
{
	struct table_build b;

	(void)state;
	build_init(&b, &fake);
	add(&b, 0x100, 0x100, "outer");
	add(&b, 0x140, 0x10, "inner");
	add(&b, 0x148, 0x4, "innermost");
	assert_table(&b, "100-140 outer, 140-148 inner, 148-14c innermost, 14c-150 inner, "
			 "150-200 outer");
	build_init(&b, &fake);
	add(&b, 0x100, 0x60, "a");
	add(&b, 0x150, 0x60, "b");
	add(&b, 0x158, 0x8, "c");
	assert_table(&b, "100-150 a, 150-158 b, 158-160 c, 160-1b0 b");
	build_init(&b, &fake);
	add(&b, 0x100, 0x40, "short");
	add(&b, 0x100, 0x80, "long");
	assert_table(&b, "100-140 short, 140-180 long");
}

static void holes_get_unwind_entries(void **state)
{
	struct table_build b;

	(void)state;
	build_init(&b, &fake);
	add(&b, 0x110, 0x10, "f");
	add(&b, 0x1f0, 0x20, "over_the_edge");
	build_add_fde(&b, BASE + 0x200, 0x40);
	build_add_fde(&b, BASE + 0x100, 0x80);
	build_add_fde(&b, BASE + 0x300, 0x10);
	assert_table(&b, "100-110 @100, 110-120 f, 120-180 @100, 1f0-210 over_the_edge, "
			 "210-240 @200, 300-310 @300");
	/* Overlapping and repeated entries: the later start wins, the shorter of equal ones. */
	build_init(&b, &fake);
	build_add_fde(&b, BASE + 0x100, 0x80);
	build_add_fde(&b, BASE + 0x120, 0x80);
	build_add_fde(&b, BASE + 0x120, 0x10);
	assert_table(&b, "100-120 @100, 120-130 @120");
	/* Outside of code, empty, absurd: nothing. */
	build_init(&b, &fake);
	build_add_fde(&b, BASE + 0x10000, 0x10);
	build_add_fde(&b, BASE - 1, 0x10);
	build_add_fde(&b, BASE, 0);
	build_add_fde(&b, BASE, 1ULL << 40);
	add(&b, 0x10000, 8, "outside");
	add(&b, 0x100, 0, "no_size_no_entry");
	assert_table(&b, "");
}

static void size_from_unwind_entry(void **state)
{
	struct table_build b;

	(void)state;
	build_init(&b, &fake);
	add(&b, 0x100, 0, "start");
	add(&b, 0x110, 0, "label");
	build_add_fde(&b, BASE + 0x100, 0x26);
	assert_table(&b, "100-126 start");
}

static void find_gives_runs_and_holes(void **state)
{
	struct table_build b;
	struct table t;
	u64 lo, hi;

	(void)state;
	build_init(&b, &fake);
	add(&b, 0x100, 0x10, "a");
	add(&b, 0x200, 0x10, "b");
	assert_int_equal(build_finish(&b, &t), 0);
	build_release(&b);
	assert_null(table_find(&t, BASE + 0xff, &lo, &hi));
	assert_int_equal(lo, 0);
	assert_int_equal(hi, BASE + 0x100);
	assert_non_null(table_find(&t, BASE + 0x100, &lo, &hi));
	assert_non_null(table_find(&t, BASE + 0x10f, &lo, &hi));
	assert_int_equal(lo, BASE + 0x100);
	assert_int_equal(hi, BASE + 0x110);
	assert_null(table_find(&t, BASE + 0x110, &lo, &hi));
	assert_int_equal(lo, BASE + 0x110);
	assert_int_equal(hi, BASE + 0x200);
	assert_null(table_find(&t, BASE + 0x210, &lo, &hi));
	assert_true(hi == UINT64_MAX);
	assert_null(table_find(&t, BASE - 1, &lo, &hi));
	assert_null(table_find(&t, 0, &lo, &hi));
	assert_null(table_find(&t, UINT64_MAX, &lo, &hi));
	table_release(&t);
}

/* Names for one range, in the order of preference that sym/table.h promises. */
static void aliases(void **state)
{
	static const struct {
		const char *name;
		u8 bind, type;
	} order[] = {
		{ "ab", STB_GLOBAL, STT_FUNC },	 { "ac", STB_GLOBAL, STT_FUNC },
		{ "ab", STB_WEAK, STT_FUNC },	 { "abc", STB_GLOBAL, STT_FUNC },
		{ "_ab", STB_GLOBAL, STT_FUNC }, { "__a", STB_GLOBAL, STT_FUNC },
		{ "a", STB_LOCAL, STT_FUNC },	 { "a", STB_GLOBAL, STT_NOTYPE },
		{ "a", STB_LOCAL, STT_NOTYPE },
	};
	size_t i, j, k;

	(void)state;
	for (i = 0; i + 1 < ARRAY_SIZE(order); i++) {
		for (j = i + 1; j < ARRAY_SIZE(order); j++) {
			char strs[64] = "";
			Elf64_Sym syms[3] = { 0 };
			u8 file[sizeof(strs) + sizeof(syms)];
			struct elf e = fake;
			struct table_build b;
			struct table t;
			size_t two[2] = { j, i };

			for (k = 0; k < 2; k++) {
				snprintf(strs + 1 + 16 * k, 16, "%s", order[two[k]].name);
				syms[k + 1] = (Elf64_Sym){
					.st_name = (u32)(1 + 16 * k),
					.st_info = ELF64_ST_INFO(order[two[k]].bind,
								 order[two[k]].type),
					.st_shndx = 1,
					.st_value = BASE + 0x10,
					.st_size = 8,
				};
			}
			memcpy(file, strs, sizeof(strs));
			memcpy(file + sizeof(strs), syms, sizeof(syms));
			e.src = (struct elf_src){ .fd = -1, .mem = file, .size = sizeof(file) };
			e.strtab = (struct elf_sect){ .off = 0, .size = sizeof(strs) };
			e.symtab = (struct elf_sect){ .off = sizeof(strs), .size = sizeof(syms) };
			build_init(&b, &e);
			assert_int_equal(build_symbols(&b, &e, false, SYM_SYMTAB), 0);
			assert_int_equal(b.nraw, 2);
			assert_int_equal(build_finish(&b, &t), 0);
			assert_int_equal(t.n, 1);
			assert_string_equal(t.names + t.segs[0].name, order[i].name);
			table_release(&t);
			build_release(&b);
		}
	}
}

static void demangled(void **state)
{
	static const char *const cases[][2] = {
		{ "main", "main" },
		{ "_Z3foov", "foo" },
		{ "_ZN4llvm12PassRegistry13enumerateWithEPNS_24PassRegistrationListenerE",
		  "llvm::PassRegistry::enumerateWith" },
		{ "_ZNSt6vectorIiSaIiEE9push_backERKi",
		  "std::vector<int, std::allocator<int> >::push_back" },
		{ "_ZN3fooC2Ev", "foo::foo" },
		{ "_ZN3fooD0Ev", "foo::~foo" },
		{ "_Z3foov.cold", "foo.cold" },
		{ "_Z3foov.isra.0.cold", "foo.isra.0.cold" },
		{ "_Z3foov.llvm.1234567890", "foo" },
		{ "plain.llvm.99", "plain" },
		{ "memcpy@@GLIBC_2.14", "memcpy" },
		{ "memcpy@plt", "memcpy@plt" },
		{ "_Z3foov@plt", "foo@plt" },
		{ "@odd", "@odd" },
		{ "_ZN4core3fmt5write17h0123456789abcdefE", "core::fmt::write" },
		{ "_ZN4core3fmt5write17h0123456789abcdefE.llvm.77", "core::fmt::write" },
		{ "_ZN4core3fmt5write17h0123456789abcdefE.cold", "core::fmt::write.cold" },
		{ "_ZN4core3ptr36drop_in_place$LT$alloc..vec..Vec$GT$17h0123456789abcdefE",
		  "core::ptr::drop_in_place<alloc::vec::Vec>" },
		{ "_RNvCs15kBYyAo9fc_7mycrate7example", "mycrate::example" },
		{ "_RNvNtNtCs1_3std2io5stdio6__print.cold", "std::io::stdio::_print.cold" },
		{ "_RNvC01b", "::b" },
		{ "_Z", "_Z" },
		{ "_Zgarbage", "_Zgarbage" },
		{ "tab\there\nline\x7f", "tab?here?line?" },
		{ "", "" },
	};
	char out[SYM_NAME_MAX + 1];
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		size_t n = demangle(cases[i][0], out, sizeof(out));

		assert_string_equal(out, cases[i][1]);
		assert_int_equal(n, strlen(out));
	}
}

/* A short name that stands for 2^30 repetitions ends at the bound, and soon. */
static void demangle_is_bounded(void **state)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	_release_(buf) struct buf b = BUF_INIT;
	char out[128], big[4000];
	size_t i, n;

	(void)state;
	/* Each argument is a pair of the one before: a<int, int>, a<a<int, int>, a<int, int> >, … */
	buf_adds(&b, "_Z1fI1aIiiE");
	for (i = 1; i < 31; i++)
		buf_addf(&b, "S0_IS%c_S%c_E", digits[i], digits[i]);
	buf_adds(&b, "Evv");
	n = demangle(b.p, out, sizeof(out));
	assert_int_equal(n, sizeof(out) - 1);
	assert_true(slice_starts(slice_of(out, n), SLICE("f<a<int, int>, a<a<int, int>,")));
	assert_string_equal(out + n - 3, "...");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	n = demangle(big, out, sizeof(out));
	assert_int_equal(n, sizeof(out) - 1);
	assert_string_equal(out + n - 3, "...");
	memcpy(big, "_Z", 2);
	assert_int_equal(demangle(big, out, sizeof(out)), sizeof(out) - 1);
	/* Cut between characters, not inside one. */
	n = printable(SLICE("abc\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac"), out,
		      17);
	assert_string_equal(out, "abc\xe2\x82\xac\xe2\x82\xac\xe2\x82\xac...");
	assert_int_equal(n, 15);
}

static int memfd_of(const void *p, size_t n)
{
	int fd = memfd_create("test", MFD_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, p, n), (ssize_t)n);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	return fd;
}

static void kallsyms_ends_and_modules(void **state)
{
	static const char text[] = "0000000000000000 A fixed_percpu_data\n"
				   "ffffffff81000000 T _stext\n"
				   "ffffffff81000000 T srso_alias\n"
				   "ffffffff81000040 t do_one\n"
				   "ffffffff81000100 T do_two\n"
				   "not a line\n"
				   "ffffffff81000180 D data_here\n"
				   "ffffffff81000200 W weak_one\n"
				   "ffffffff81000300 B bss\n"
				   "ffffffffc0100010 t mod_f\t[ext4]\n"
				   "ffffffffc0100000 t mod_e\t[ext4]\n"
				   "ffffffffc0300000 t other\t[nf_tables]\n";
	static const struct {
		u64 addr;
		const char *name, *module;
		u64 start, len;
	} cases[] = {
		{ 0xffffffff81000000, "srso_alias", "", 0xffffffff81000000, 0x40 },
		{ 0xffffffff8100003f, "srso_alias", "", 0xffffffff81000000, 0x40 },
		{ 0xffffffff81000040, "do_one", "", 0xffffffff81000040, 0xc0 },
		{ 0xffffffff8100017f, "do_two", "", 0xffffffff81000100, 0x80 },
		{ 0xffffffff81000180, NULL, NULL, 0, 0 },
		{ 0xffffffff81000200, "weak_one", "", 0xffffffff81000200, 0x100 },
		{ 0xffffffff81000300, NULL, NULL, 0, 0 },
		{ 0xffffffffc0100004, "mod_e", "[ext4]", 0xffffffffc0100000, 0x10 },
		{ 0xffffffffc0100010, "mod_f", "[ext4]", 0xffffffffc0100010, 0x4000 },
		{ 0xffffffffc0104010, NULL, NULL, 0, 0 },
		{ 0xffffffffc0300000, "other", "[nf_tables]", 0xffffffffc0300000, 0x4000 },
		{ 0xffffffffc0304000, NULL, NULL, 0, 0 },
		{ 0xffffffff80ffffff, NULL, NULL, 0, 0 },
		{ 0, NULL, NULL, 0, 0 },
		{ UINT64_MAX, NULL, NULL, 0, 0 },
	};
	_close_ int fd = memfd_of(text, sizeof(text) - 1);
	struct kallsyms k;
	size_t i;

	(void)state;
	assert_int_equal(kallsyms_load(&k, fd), 0);
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct ksym *s = kallsyms_find(&k, cases[i].addr);

		if (!cases[i].name) {
			assert_null(s);
			continue;
		}
		assert_non_null(s);
		assert_string_equal(k.text + s->name, cases[i].name);
		assert_string_equal(k.text + s->module, cases[i].module);
		assert_true(k.base + s->start == cases[i].start);
		assert_int_equal(s->len, cases[i].len);
	}
	kallsyms_release(&k);
}

static void kallsyms_hidden_or_empty(void **state)
{
	static const char hidden[] = "0000000000000000 T _stext\n0000000000000000 t do_one\n";
	static const char data[] = "ffffffff81000000 D data_only\n";
	_close_ int h = memfd_of(hidden, sizeof(hidden) - 1), d = memfd_of(data, sizeof(data) - 1);
	_close_ int none = memfd_of("", 0);
	struct kallsyms k;

	(void)state;
	assert_int_equal(kallsyms_load(&k, h), -EPERM);
	assert_int_equal(kallsyms_load(&k, d), -ENOENT);
	assert_int_equal(kallsyms_load(&k, none), -ENOENT);
}

static void kallsyms_long_lines(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	_close_ int fd = -1;
	struct kallsyms k;
	int i;

	(void)state;
	buf_adds(&b, "ffffffff81000000 T first\nffffffff81000010 T ");
	for (i = 0; i < 300000; i++)
		buf_addch(&b, 'x');
	buf_adds(&b, "\nffffffff81000020 T last\nffffffff81000030 T cut_off");
	fd = memfd_of(b.p, b.n);
	assert_int_equal(kallsyms_load(&k, fd), 0);
	assert_non_null(kallsyms_find(&k, 0xffffffff81000000));
	assert_string_equal(k.text + kallsyms_find(&k, 0xffffffff81000020)->name, "last");
	kallsyms_release(&k);
}

static int put(struct maps *t, u32 tgid, u64 start, u64 end, u64 off, const char *path)
{
	struct sym_mapping m = { .start = start, .end = end, .file_off = off };

	m.path = slice_str(path);
	return maps_add(t, tgid, &m);
}

static void assert_maps(struct maps *t, u32 tgid, const char *want)
{
	_release_(buf) struct buf out = BUF_INIT;
	u64 addr = 0, last = 0;

	/* Entries are found through the public door only, page by page. */
	for (addr = 0; addr < 0x20000; addr += 0x1000) {
		const struct maps_entry *e = maps_find(t, tgid, addr);

		if (!e || e->m.start == last)
			continue;
		last = e->m.start;
		buf_addf(&out, "%s%llx-%llx+%llx %s", out.n ? ", " : "",
			 (unsigned long long)e->m.start, (unsigned long long)e->m.end,
			 (unsigned long long)e->m.file_off, e->m.path.p);
	}
	assert_string_equal(out.p ? out.p : "", want);
}

static void later_mappings_replace(void **state)
{
	struct maps *t = calloc(1, sizeof(*t));

	(void)state;
	assert_non_null(t);
	maps_init(t);
	assert_int_equal(put(t, 1, 0x4000, 0x8000, 0x1000, "a"), 0);
	assert_int_equal(put(t, 1, 0xa000, 0xc000, 0, "b"), 0);
	assert_maps(t, 1, "4000-8000+1000 a, a000-c000+0 b");
	assert_int_equal(put(t, 1, 0x5000, 0x6000, 0, "mid"), 0);
	assert_maps(t, 1, "4000-5000+1000 a, 5000-6000+0 mid, 6000-8000+3000 a, a000-c000+0 b");
	assert_int_equal(put(t, 1, 0x7000, 0xb000, 0, "over"), 0);
	assert_maps(t, 1,
		    "4000-5000+1000 a, 5000-6000+0 mid, 6000-7000+3000 a, 7000-b000+0 over, "
		    "b000-c000+1000 b");
	assert_int_equal(put(t, 1, 0x5000, 0x6000, 0x10, "same"), 0);
	assert_int_equal(put(t, 1, 0x6000, 0x6800, 0, "head"), 0);
	assert_maps(t, 1,
		    "4000-5000+1000 a, 5000-6000+10 same, 6000-6800+0 head, "
		    "7000-b000+0 over, b000-c000+1000 b");
	assert_int_equal(put(t, 1, 0x1000, 0x10000, 0, "all"), 0);
	assert_maps(t, 1, "1000-10000+0 all");
	assert_int_equal(t->total, 1);
	assert_int_equal(t->path_bytes, 3);
	assert_maps(t, 2, "");
	assert_int_equal(put(t, 1, 0x1000, 0x1000, 0, "empty"), -EINVAL);
	maps_forget(t, 1);
	maps_forget(t, 1);
	assert_maps(t, 1, "");
	assert_int_equal(t->total, 0);
	maps_release(t);
	free(t);
}

static void maps_are_bounded(void **state)
{
	struct maps *t = calloc(1, sizeof(*t));
	char path[5000];
	u32 i, r = 0;

	(void)state;
	assert_non_null(t);
	maps_init(t);
	for (i = 0; i < MAPS_PER_PROC + 10 && !r; i++)
		r = (u32)put(t, 1, 0x1000ULL * (i + 1), 0x1000ULL * (i + 2), 0, "x");
	assert_int_equal((int)r, -ENOSPC);
	assert_in_range(i, MAPS_PER_PROC - 2, MAPS_PER_PROC + 1);
	/* The process that was left alone for longest makes room for a new one. */
	for (i = 2; i <= MAPS_PROCS_MAX; i++)
		assert_int_equal(put(t, i, 0x1000, 0x2000, 0, "x"), 0);
	assert_non_null(maps_find(t, 1, 0x1000));
	assert_int_equal(put(t, 99999, 0x1000, 0x2000, 0, "x"), 0);
	assert_int_equal(t->evicted, 1);
	assert_non_null(maps_find(t, 1, 0x1000));
	assert_null(maps_find(t, 2, 0x1000));
	memset(path, 'p', sizeof(path) - 1);
	path[sizeof(path) - 1] = 0;
	for (i = 0, r = 0; i < 4096 && !r; i++)
		r = (u32)put(t, 99999, 0x1000ULL * (i + 8), 0x1000ULL * (i + 9), 0, path);
	assert_int_equal((int)r, -ENOSPC);
	assert_true(t->path_bytes <= MAPS_PATH_BYTES);
	assert_int_equal(maps_find(t, 99999, 0x8000)->m.path.n, MAPS_PATH_MAX);
	maps_release(t);
	free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nested_and_overlapping),
		cmocka_unit_test(holes_get_unwind_entries),
		cmocka_unit_test(size_from_unwind_entry),
		cmocka_unit_test(find_gives_runs_and_holes),
		cmocka_unit_test(aliases),
		cmocka_unit_test(demangled),
		cmocka_unit_test(demangle_is_bounded),
		cmocka_unit_test(kallsyms_ends_and_modules),
		cmocka_unit_test(kallsyms_hidden_or_empty),
		cmocka_unit_test(kallsyms_long_lines),
		cmocka_unit_test(later_mappings_replace),
		cmocka_unit_test(maps_are_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
