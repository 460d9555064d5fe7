/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind tables against libdw, an independent reader of call frame information, over the files that
 * are on every machine and those that the demo installs: all code of every one.
 *
 * Both answers are computed, not compared as text: libdw's operations and our rule are evaluated over
 * one made-up machine (16 registers and all of memory are hashes of a seed), and the CFA, the return
 * address, the caller's rsp and rbp must be the same 64-bit numbers. An answer that is nearly right is a
 * different number.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <libelf.h>
#include <stdio.h>
#include <sys/auxv.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/map.h"
#include "unwind/tableimage.h"

#define VALUES_MAX 32
#define BYTES_MIN 1000000 /* of code that must have been compared in the system's own files */

struct machine {
	u64 seed;
	u64 pc;
	u64 cfa;
};

static u64 reg(const struct machine *m, unsigned int n)
{
	return n == 16 ? m->pc : hash_u64(m->seed + n);
}

static u64 mem(const struct machine *m, u64 addr)
{
	return hash_u64(addr ^ hash_u64(m->seed ^ 0x5eed));
}

/* What an answer says of the caller. An unknown rbp or rsp is said so. */
struct caller {
	bool none; /* no information */
	bool end; /* outermost frame */
	bool rbp_lost;
	u64 cfa, ra, rsp, rbp;
};

/* --- libdw's answer --- */

static bool binary_op(u8 atom, u64 a, u64 b, u64 *ret)
{
	switch (atom) {
	case DW_OP_plus:
		*ret = a + b;
		return true;
	case DW_OP_minus:
		*ret = a - b;
		return true;
	case DW_OP_and:
		*ret = a & b;
		return true;
	case DW_OP_mul:
		*ret = a * b;
		return true;
	case DW_OP_shl:
		*ret = a << b;
		return true;
	case DW_OP_ge:
		*ret = (s64)a >= (s64)b;
		return true;
	}
	return false;
}

/* Runs a location's operations. *is_value: the result is the value, not where it lies. */
static u64 run_ops(const struct machine *m, const Dwarf_Op *ops, size_t n, bool *is_value)
{
	u64 v[VALUES_MAX] = { 0 };
	size_t i, top = 0;

	*is_value = false;
	for (i = 0; i < n; i++) {
		const Dwarf_Op *op = &ops[i];

		assert_in_range(top, 0, VALUES_MAX - 1);
		if (op->atom >= DW_OP_lit0 && op->atom <= DW_OP_lit31) {
			v[top++] = op->atom - DW_OP_lit0;
		} else if (op->atom >= DW_OP_breg0 && op->atom <= DW_OP_breg31) {
			v[top++] = reg(m, op->atom - DW_OP_breg0) + op->number;
		} else if (op->atom >= DW_OP_reg0 && op->atom <= DW_OP_reg31) {
			v[top++] = reg(m, op->atom - DW_OP_reg0);
			*is_value = true;
		} else if (op->atom == DW_OP_bregx) {
			v[top++] = reg(m, (unsigned int)op->number) + op->number2;
		} else if (op->atom == DW_OP_regx) {
			v[top++] = reg(m, (unsigned int)op->number);
			*is_value = true;
		} else if (op->atom == DW_OP_call_frame_cfa) {
			v[top++] = m->cfa;
		} else if (op->atom == DW_OP_const1u || op->atom == DW_OP_const2u ||
			   op->atom == DW_OP_constu || op->atom == DW_OP_consts) {
			v[top++] = op->number;
		} else if (op->atom == DW_OP_plus_uconst) {
			assert_true(top >= 1);
			v[top - 1] += op->number;
		} else if (op->atom == DW_OP_deref) {
			assert_true(top >= 1);
			v[top - 1] = mem(m, v[top - 1]);
		} else if (op->atom == DW_OP_stack_value) {
			*is_value = true;
		} else {
			assert_true(top >= 2);
			top--;
			if (!binary_op(op->atom, v[top - 1], v[top], &v[top - 1]))
				fail_msg("libdw gave operation 0x%x", op->atom);
		}
	}
	/* Rules of registers start with the CFA on the stack, and may leave it there. */
	assert_true(top >= 1);
	return v[top - 1];
}

enum kept {
	SAME,
	LOST,
	KNOWN
};

static enum kept dw_register(const struct machine *m, Dwarf_Frame *f, int n, u64 *ret)
{
	Dwarf_Op spare[3], *ops;
	bool is_value;
	size_t nops;

	assert_int_equal(dwarf_frame_register(f, n, spare, &ops, &nops), 0);
	if (!nops)
		return ops ? LOST : SAME;
	*ret = run_ops(m, ops, nops, &is_value);
	if (!is_value)
		*ret = mem(m, *ret);
	return KNOWN;
}

static struct caller dw_caller(struct machine *m, Dwarf_Frame *f)
{
	struct caller c = { 0 };
	bool is_value;
	Dwarf_Op *ops;
	size_t nops;

	if (dwarf_frame_cfa(f, &ops, &nops) == 0 && nops)
		c.cfa = m->cfa = run_ops(m, ops, nops, &is_value);
	switch (dw_register(m, f, 16, &c.ra)) {
	case LOST:
		c.end = true;
		return c;
	case SAME:
		fail_msg("the return address is said to be unchanged");
		break;
	case KNOWN:
		break;
	}
	c.rsp = c.cfa;
	if (dw_register(m, f, 7, &c.rsp) == SAME)
		c.rsp = c.cfa;
	c.rbp = reg(m, 6);
	c.rbp_lost = dw_register(m, f, 6, &c.rbp) == LOST;
	return c;
}

/* --- our answer, as include/hp/unwind.h says it is to be used --- */

static struct caller our_caller(const struct machine *m, const struct uw_rule *r)
{
	struct caller c = { 0 };
	u64 uc;

	switch (r->cfa) {
	case UW_CFA_RSP:
		c.cfa = reg(m, 7) + (u64)(s64)r->cfa_off;
		break;
	case UW_CFA_RBP:
		c.cfa = reg(m, 6) + (u64)(s64)r->cfa_off;
		break;
	case UW_CFA_RSP_DEREF:
		c.cfa = mem(m, reg(m, 7) + (u64)(s64)r->cfa_off) + (u64)(s64)r->cfa_add;
		break;
	case UW_CFA_RBP_DEREF:
		c.cfa = mem(m, reg(m, 6) + (u64)(s64)r->cfa_off) + (u64)(s64)r->cfa_add;
		break;
	case UW_CFA_PLT:
		c.cfa = reg(m, 7) + 8 + (((s64)m->pc & 15) >= r->cfa_off ? 8 : 0);
		break;
	case UW_CFA_REG:
		c.cfa = reg(m, r->reg) + (u64)(s64)r->cfa_off;
		break;
	case UW_CFA_SIGNAL:
		uc = reg(m, 7) + (u64)(s64)r->cfa_off;
		c.cfa = c.rsp = mem(m, uc + 160);
		c.ra = mem(m, uc + 168);
		c.rbp = mem(m, uc + 120);
		return c;
	case UW_CFA_END:
		c.end = true;
		return c;
	default:
		c.none = true;
		return c;
	}
	c.rsp = c.cfa;
	c.ra = r->ra == UW_RA_REG ? reg(m, r->reg) : mem(m, c.cfa - 8);
	switch (r->rbp) {
	case UW_RBP_SAME:
		c.rbp = reg(m, 6);
		break;
	case UW_RBP_CFA:
		c.rbp = mem(m, c.cfa + (u64)(s64)r->rbp_off);
		break;
	case UW_RBP_RBP:
		c.rbp = mem(m, reg(m, 6) + (u64)(s64)r->rbp_off);
		break;
	default:
		c.rbp_lost = true;
	}
	return c;
}

/* --- all of a file --- */

struct score {
	u64 rows; /* of libdw */
	u64 bytes; /* of code that both know and agree on */
	u64 none_rows, none_bytes; /* that we leave out */
	u64 lost_rbp; /* rows */
	u64 extra_bytes; /* what tablegap.h finds: libdw knows nothing there */
	u64 gap_bytes; /* that nobody knows */
};

struct file {
	const char *name;
	struct elf elf;
	struct unwind_image img;
	struct unwind_counts counts;
	Dwarf_CFI *cfi;
};

/* Where the table may have another rule: the next of its rows, or the next page. */
static u64 next_row(const struct file *f, u64 pc)
{
	const struct uw_image *h = unwind_image_head(&f->img);
	const struct uw_page *page = unwind_image_pages(&f->img) + (pc - h->vaddr) / UW_PAGE_BYTES;
	const struct uw_row *row = unwind_image_rows(&f->img) + page->first;
	u64 start = pc & ~(u64)(UW_PAGE_BYTES - 1);
	u32 i;

	assert_in_range((pc - h->vaddr) / UW_PAGE_BYTES, 0, h->npages - 1);
	for (i = 0; i < page->n; i++)
		if (start + row[i].at > pc)
			return start + row[i].at;
	return start + UW_PAGE_BYTES;
}

static void compare_at(const struct file *f, Dwarf_Frame *frame, u64 pc, struct caller *ret_ours,
		       struct caller *ret_theirs)
{
	struct machine m = { .seed = hash_u64(pc), .pc = pc };
	struct caller ours = our_caller(&m, unwind_image_lookup(&f->img, pc));
	struct caller theirs = dw_caller(&m, frame);

	*ret_ours = ours;
	*ret_theirs = theirs;
	if (ours.none)
		return;
	if (ours.end != theirs.end)
		fail_msg("%s 0x%jx: end is %d, libdw says %d", f->name, (uintmax_t)pc, ours.end,
			 theirs.end);
	if (ours.end)
		return;
	if (ours.cfa != theirs.cfa || ours.ra != theirs.ra || ours.rsp != theirs.rsp)
		fail_msg("%s 0x%jx: CFA is %s, return address %s, rsp %s", f->name, (uintmax_t)pc,
			 ours.cfa == theirs.cfa ? "right" : "wrong",
			 ours.ra == theirs.ra ? "right" : "wrong",
			 ours.rsp == theirs.rsp ? "right" : "wrong");
	if (!ours.rbp_lost && (theirs.rbp_lost || ours.rbp != theirs.rbp))
		fail_msg("%s 0x%jx: rbp is wrong", f->name, (uintmax_t)pc);
}

/*
 * [start, end) is one row of libdw's. A rule of ours that reaches from a to b is compared at a, at b - 1
 * and, in the linkage table, everywhere: no other rule depends on the address.
 */
static void compare_row(const struct file *f, Dwarf_Frame *frame, u64 start, u64 end,
			struct score *s)
{
	bool none = false, lost = false;
	u64 pc, next;

	s->rows++;
	for (pc = start; pc < end; pc = next) {
		struct caller ours, theirs;

		next = MIN(next_row(f, pc), end);
		if (unwind_image_lookup(&f->img, pc)->cfa == UW_CFA_PLT)
			next = pc + 1;
		compare_at(f, frame, next - 1, &ours, &theirs);
		compare_at(f, frame, pc, &ours, &theirs);
		if (ours.none)
			s->none_bytes += next - pc;
		else
			s->bytes += next - pc;
		none |= ours.none;
		lost |= ours.rbp_lost && !theirs.rbp_lost;
	}
	s->none_rows += none;
	s->lost_rbp += lost;
}

static bool in_section(const struct elf_sect *s, u64 pc)
{
	return pc - s->addr < s->size;
}

static void compare_gap(const struct file *f, u64 pc, struct score *s)
{
	const struct uw_rule *rule = unwind_image_lookup(&f->img, pc);

	switch (rule->cfa) {
	case UW_CFA_NONE:
		s->gap_bytes++;
		return;
	case UW_CFA_CLONE:
	case UW_CFA_SIGNAL:
	case UW_CFA_END:
	case UW_CFA_FP:
		s->extra_bytes++;
		return;
	}
	if (in_section(&f->elf.plt, pc) || in_section(&f->elf.plt_sec, pc) ||
	    in_section(&f->elf.plt_got, pc)) {
		s->extra_bytes++;
		return;
	}
	fail_msg("%s 0x%jx: a rule where libdw knows none", f->name, (uintmax_t)pc);
}

static void compare_code(const struct file *f, struct score *s)
{
	u16 i;

	for (i = 0; i < f->elf.nloads; i++) {
		const struct elf_load *l = &f->elf.loads[i];
		u64 pc = l->vaddr, end = l->vaddr + l->filesz;

		while (l->exec && pc < end) {
			Dwarf_Addr from, to;
			Dwarf_Frame *frame;
			bool signal;

			if (dwarf_cfi_addrframe(f->cfi, pc, &frame) != 0) {
				compare_gap(f, pc++, s);
				continue;
			}
			assert_int_equal(dwarf_frame_info(frame, &from, &to, &signal), 16);
			assert_in_range(pc, from, to - 1);
			compare_row(f, frame, pc, MIN(to, end), s);
			pc = MIN(to, end);
			free(frame);
		}
	}
}

static void check_score(const struct file *f, const struct score *s)
{
	const u32 *unfit = f->counts.unfit;
	u64 said = (u64)unfit[CFI_NO_CFA] + unfit[CFI_NO_RSP] + unfit[CFI_NO_RA] +
		   unfit[CFI_NO_SIGNAL];

	print_message("%s: %ju rows and %ju bytes of code agree; left out %ju rows, %ju bytes; rbp "
		      "lost in %ju rows; %ju bytes more than libdw; %ju in gaps; %u rules, %zu "
		      "bytes\n",
		      f->name, (uintmax_t)s->rows, (uintmax_t)s->bytes, (uintmax_t)s->none_rows,
		      (uintmax_t)s->none_bytes, (uintmax_t)s->lost_rbp, (uintmax_t)s->extra_bytes,
		      (uintmax_t)s->gap_bytes, unwind_image_head(&f->img)->nrules, f->img.n);
	/* What is left out is counted, and little. */
	assert_true(s->none_rows <= said);
	assert_true(!s->none_rows == !said);
	assert_true(s->none_rows * 1000 <= s->rows);
	assert_true(s->lost_rbp <= unfit[CFI_LOST_RBP]);
	assert_int_equal(f->counts.bad_programs, 0);
	assert_int_equal(f->counts.frames.bad_cies, 0);
	assert_int_equal(f->counts.frames.bad_records, 0);
	assert_int_equal(f->counts.cut, 0);
}

/* lib: the same file, opened by libelf. Returns the bytes that agree. */
static u64 compare_file(const char *name, const struct elf_src *src, Elf *lib, bool debug_frame)
{
	struct file f = { .name = name };
	Dwarf *dwarf = NULL;
	struct score s = { 0 };

	assert_int_equal(elf_open(&f.elf, src), 0);
	assert_int_equal(unwind_image_build(&f.img, &f.elf, &f.counts), 0);
	assert_int_equal(unwind_image_check(f.img.p, f.img.n), 0);
	if (debug_frame) {
		dwarf = dwarf_begin_elf(lib, DWARF_C_READ, NULL);
		assert_non_null(dwarf);
		f.cfi = dwarf_getcfi(dwarf);
	} else {
		f.cfi = dwarf_getcfi_elf(lib);
	}
	assert_non_null(f.cfi);
	compare_code(&f, &s);
	check_score(&f, &s);
	if (dwarf)
		dwarf_end(dwarf);
	else
		dwarf_cfi_end(f.cfi);
	unwind_image_release(&f.img);
	return s.bytes;
}

static u64 compare_path(const char *path, bool debug_frame)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct elf_src src;
	u64 bytes;
	Elf *lib;

	if (fd < 0) {
		print_message("%s is not here\n", path);
		return 0;
	}
	assert_int_equal(elf_src_fd(&src, fd), 0);
	elf_version(EV_CURRENT);
	lib = elf_begin(fd, ELF_C_READ_MMAP, NULL);
	assert_non_null(lib);
	bytes = compare_file(path, &src, lib, debug_frame);
	elf_end(lib);
	return bytes;
}

static u64 compare_glob(const char *pattern)
{
	u64 bytes = 0;
	glob_t g;
	size_t i;

	if (glob(pattern, 0, NULL, &g) != 0) {
		print_message("%s is not here\n", pattern);
		return 0;
	}
	for (i = 0; i < g.gl_pathc; i++)
		if (access(g.gl_pathv[i], R_OK) == 0)
			bytes += compare_path(g.gl_pathv[i], false);
	globfree(&g);
	return bytes;
}

static void system_files_agree(void **state)
{
	u64 bytes = 0;

	(void)state;
	bytes += compare_glob("/lib64/ld-linux-x86-64.so.2");
	bytes += compare_glob("/lib/x86_64-linux-gnu/libc.so.6");
	bytes += compare_glob("/usr/bin/python3.[0-9]*[0-9]");
	assert_in_range(bytes, BYTES_MIN, UINT64_MAX);
}

/* Hand-written assembly, frame pointers, C++, other compilers; as far as they are installed. */
static void servers_and_libraries_agree(void **state)
{
	u64 bytes = 0;

	(void)state;
	bytes += compare_glob("/usr/lib/x86_64-linux-gnu/libcrypto.so.3");
	bytes += compare_glob("/usr/lib/x86_64-linux-gnu/libstdc++.so.6");
	bytes += compare_glob("/usr/lib/x86_64-linux-gnu/libm.so.6");
	bytes += compare_glob("/usr/lib/postgresql/*/bin/postgres");
	bytes += compare_glob("/usr/sbin/nginx");
	bytes += compare_glob("/usr/bin/node");
	bytes += compare_glob("/usr/lib/jvm/default-java/lib/server/libjvm.so");
	if (!bytes)
		skip();
}

static void vdso_agrees(void **state)
{
	const char *p = (const char *)getauxval(AT_SYSINFO_EHDR);
	struct elf_src src = { .fd = -1, .mem = (const u8 *)p };
	const Elf64_Ehdr *eh = (const Elf64_Ehdr *)p;
	Elf *lib;

	(void)state;
	assert_non_null(p);
	/* The sections' headers lie last in it. */
	src.size = eh->e_shoff + (u64)eh->e_shnum * eh->e_shentsize;
	elf_version(EV_CURRENT);
	lib = elf_memory((char *)p, src.size);
	assert_non_null(lib);
	assert_in_range(compare_file("vdso", &src, lib, false), 100, UINT64_MAX);
	elf_end(lib);
}

static const char source[] =
	"#include <string.h>\n"
	"int f(int n) { char b[n + 1]; memset(b, n, n + 1); return b[n / 2]; }\n"
	"int g(int n) { return n ? f(n) + g(n - 1) : 0; }\n"
	"int main(void) { return g(3); }\n";

/* A program with .debug_frame alone for its own functions, as -fno-asynchronous-unwind-tables makes. */
static void debug_frame_agrees(void **state)
{
	char dir[] = "/tmp/u_unwind.XXXXXX", path[64], cmd[512];
	FILE *cc;

	(void)state;
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.so", dir);
	snprintf(cmd, sizeof(cmd),
		 "cc -x c -O1 -g -shared -fPIC -nostdlib -fno-asynchronous-unwind-tables "
		 "-Wl,--no-ld-generated-unwind-info -o %s -",
		 path);
	cc = popen(cmd, "w");
	assert_non_null(cc);
	assert_int_equal(fwrite(source, 1, sizeof(source) - 1, cc), sizeof(source) - 1);
	assert_int_equal(pclose(cc), 0);
	assert_in_range(compare_path(path, true), 100, UINT64_MAX);
	unlink(path);
	rmdir(dir);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_files_agree),
		cmocka_unit_test(servers_and_libraries_agree),
		cmocka_unit_test(vdso_agrees),
		cmocka_unit_test(debug_frame_agrees),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
