/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Naming of real code against independent tools: this binary and libc against nm and dlsym, the
 * stripped python3.11 against readelf's frame dump, the vDSO, generated code, the kernel.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dlfcn.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/types.h"
#include "hp/events.h"
#include "sym/sym.h"

#define PYTHON "/usr/bin/python3.11"
#define ME 1000

int u_sym_known(int x);

__attribute__((noinline)) int u_sym_known(int x)
{
	return x * 3 + 1;
}

static __attribute__((noinline)) int known_static(int x)
{
	return u_sym_known(x) / 2;
}

struct world {
	struct sym *s;
	int opened;
};

static int open_mapping(void *arg, u32 tgid, const struct sym_mapping *m)
{
	struct world *w = arg;
	char path[4096];
	int fd;

	(void)tgid;
	w->opened++;
	if (slice_eq(m->path, SLICE("[vdso]"))) {
		size_t n = (size_t)(m->end - m->start);

		fd = memfd_create("vdso", MFD_CLOEXEC);
		assert_int_equal(write(fd, (void *)(uintptr_t)m->start, n), (ssize_t)n);
		return fd;
	}
	snprintf(path, sizeof(path), "%.*s", (int)m->path.n, m->path.p);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_kallsyms(void *arg)
{
	int fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);

	(void)arg;
	return fd < 0 ? -errno : fd;
}

static const struct sym_ops ops = {
	.open_mapping = open_mapping,
	.open_kallsyms = open_kallsyms,
};

static void add(struct world *w, u32 tgid, u64 start, u64 end, u64 off, const char *path)
{
	struct ev_mapping m = { .start = start, .end = end, .file_off = off };

	m.hdr.tgid = tgid;
	assert_int_equal(sym_add_mapping(w->s, &m, slice_str(path)), 0);
}

/* The executable mappings of this process, as a collector would send them. */
static void add_self(struct world *w)
{
	_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	char line[5000];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long start, end, off;
		char perms[8];
		int path = 0;

		line[strcspn(line, "\n")] = 0;
		if (sscanf(line, "%lx-%lx %7s %lx %*s %*s %n", &start, &end, perms, &off, &path) <
		    4)
			continue;
		if (perms[2] == 'x')
			add(w, ME, start, end, off, path ? line + path : "");
	}
}

static int setup(void **state)
{
	static struct world w;

	w.opened = 0;
	*state = &w;
	return sym_new(&w.s, &ops, &w);
}

static int teardown(void **state)
{
	struct world *w = *state;

	sym_free(w->s);
	return 0;
}

static void assert_named(struct world *w, u64 addr, const char *name, const char *module)
{
	struct sym_name n;

	assert_int_equal(sym_resolve(w->s, ME, addr, &n), 0);
	assert_string_equal(n.name.p, name);
	if (module)
		assert_string_equal(n.module.p, module);
	assert_in_range(addr, n.start, n.end - 1);
}

static void own_functions(void **state)
{
	struct world *w = *state;
	struct sym_name n;

	add_self(w);
	assert_int_equal(known_static(5), 8);
	assert_int_equal(sym_resolve(w->s, ME, (uintptr_t)known_static + 1, &n), 0);
	assert_string_equal(n.name.p, "known_static");
	assert_string_equal(n.module.p, "u_sym");
	assert_true(n.start == (uintptr_t)known_static);
	assert_int_equal(n.quality, SYM_SYMTAB);
	assert_named(w, (uintptr_t)u_sym_known, "u_sym_known", "u_sym");
	assert_named(w, (uintptr_t)sym_resolve, "sym_resolve", "u_sym");
	/* One byte before its start and from its end on, it is somebody else. */
	assert_int_equal(sym_resolve(w->s, ME, (uintptr_t)known_static, &n), 0);
	sym_resolve(w->s, ME, n.end, &n);
	assert_string_not_equal(n.name.p, "known_static");
	sym_resolve(w->s, ME, (uintptr_t)known_static - 1, &n);
	assert_string_not_equal(n.name.p, "known_static");
	assert_int_equal(w->opened, 1);
}

/*
 * Every sized function that nm lists must be named by one of the names that nm has for its start,
 * with nm's size unless a symbol nested in it ends it earlier. Returns how many were checked.
 */
static int against_nm(struct world *w, const char *cmd, u64 bias)
{
	char line[8192], last_name[4096] = "";
	FILE *f = popen(cmd, "r");
	struct sym_name n = { 0 };
	u64 last = 0, size_max = 0;
	int checked = 0, exact = 0;
	bool ok = true;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long addr, size;
		char type, name[4096];

		if (sscanf(line, "%lx %lx %c %4095s", &addr, &size, &type, name) != 4 ||
		    !strchr("tTwWi", type) || !size)
			continue;
		name[1 + strcspn(name + 1, "@")] = 0;
		if (addr != last) {
			if (!ok)
				fail_msg("0x%lx: got '%s', nm has '%s'", (unsigned long)last,
					 n.name.p, last_name);
			assert_int_equal(sym_resolve(w->s, ME, bias + addr, &n), 0);
			assert_true(n.start == bias + addr);
			assert_in_range(n.quality, SYM_SYMTAB, SYM_DYNSYM);
			ok = false;
			last = addr;
			size_max = 0;
			checked++;
		}
		ok |= !strcmp(n.name.p, name);
		size_max = MAX(size_max, size);
		exact += n.end - n.start == size;
		assert_true(n.end <= n.start + size_max || !ok);
		snprintf(last_name, sizeof(last_name), "%s", name);
	}
	assert_int_equal(pclose(f), 0);
	assert_true(ok);
	assert_true(exact > checked * 95 / 100);
	return checked;
}

static u64 bias_of(void *addr, char *path, size_t cap)
{
	Dl_info info;

	assert_true(dladdr(addr, &info));
	snprintf(path, cap, "%s", info.dli_fname);
	return (uintptr_t)info.dli_fbase;
}

static void own_symbols_like_nm(void **state)
{
	struct world *w = *state;
	char path[4096], cmd[5000];
	u64 bias = bias_of((void *)(uintptr_t)u_sym_known, path, sizeof(path));

	add_self(w);
	snprintf(cmd, sizeof(cmd), "nm -n -S --defined-only /proc/%d/exe", (int)getpid());
	assert_true(against_nm(w, cmd, bias) > 100);
}

static void libc_like_nm_and_dlsym(void **state)
{
	static const char *const known[] = { "write",	   "getppid", "strtol", "qsort",
					     "epoll_wait", "fork",    "lseek",	"pread" };
	void *libc = dlopen("libc.so.6", RTLD_NOLOAD | RTLD_NOW);
	struct world *w = *state;
	char path[4096], cmd[5000];
	u64 bias;
	size_t i;

	if (!libc)
		skip();
	add_self(w);
	for (i = 0; i < ARRAY_SIZE(known); i++) {
		uintptr_t addr = (uintptr_t)dlsym(libc, known[i]);

		assert_true(addr);
		assert_named(w, addr, known[i], "libc.so.6");
		assert_named(w, addr + 1, known[i], "libc.so.6");
	}
	bias = bias_of(dlsym(libc, "getppid"), path, sizeof(path));
	snprintf(cmd, sizeof(cmd), "nm -n -D -S --defined-only '%s'", path);
	assert_true(against_nm(w, cmd, bias) > 1000);
	dlclose(libc);
}

/* Maps the executable segment as if the kernel had, at bias 0. */
static void add_file(struct world *w, u32 tgid, const char *path, u64 bias)
{
	_close_ int fd = open(path, O_RDONLY | O_CLOEXEC);
	Elf64_Ehdr eh;
	Elf64_Phdr ph;
	int i;

	assert_true(fd >= 0);
	assert_int_equal(pread(fd, &eh, sizeof(eh), 0), sizeof(eh));
	for (i = 0; i < eh.e_phnum; i++) {
		assert_int_equal(
			pread(fd, &ph, sizeof(ph), (off_t)(eh.e_phoff + (u64)i * sizeof(ph))),
			sizeof(ph));
		if (ph.p_type == PT_LOAD && ph.p_flags & PF_X)
			add(w, tgid, bias + (ph.p_vaddr & ~4095ULL),
			    bias + ((ph.p_vaddr + ph.p_filesz + 4095) & ~4095ULL),
			    ph.p_offset & ~4095ULL, path);
	}
}

static void python_holes_like_readelf(void **state)
{
	const u64 bias = 0x7f0000000000;
	struct world *w = *state;
	struct sym_name n;
	char line[1024], want[64];
	int holes = 0, symbols = 0;
	FILE *f;

	if (access(PYTHON, R_OK) < 0) {
		print_message("skipped: " PYTHON " is not installed\n");
		skip();
	}
	add_file(w, ME, PYTHON, bias);
	f = popen("readelf --debug-dump=frames " PYTHON " 2>/dev/null", "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		char *pc = strstr(line, " FDE "), *range;
		unsigned long start, end;

		range = pc ? strstr(pc, "pc=") : NULL;
		if (!range || sscanf(range, "pc=%lx..%lx", &start, &end) != 2 || start == end)
			continue;
		assert_int_equal(sym_resolve(w->s, ME, bias + start, &n), 0);
		assert_true(n.start <= bias + start && n.end <= bias + end);
		assert_string_equal(n.module.p, "python3.11");
		if (n.quality == SYM_DYNSYM) {
			symbols++;
			continue;
		}
		assert_int_equal(n.quality, SYM_FDE);
		snprintf(want, sizeof(want), "python3.11@0x%lx", start);
		assert_string_equal(n.name.p, want);
		assert_true(n.start == bias + start);
		/* Its last byte is the same function's, so one record names them all. */
		assert_int_equal(sym_resolve(w->s, ME, n.end - 1, &n), 0);
		assert_string_equal(n.name.p, want);
		holes++;
	}
	assert_int_equal(pclose(f), 0);
	assert_true(holes > 5000);
	assert_true(symbols > 1000);
	assert_int_equal(w->opened, 1);
}

/* A sweep over all of libc: ranges must tile it, each answer the same at both its ends. */
static void ranges_tile(void **state)
{
	struct world *w = *state;
	struct sym_name n;
	u64 addr, end = 0;
	char path[4096], name[SYM_NAME_MAX + 1];
	int named = 0;

	bias_of((void *)(uintptr_t)getppid, path, sizeof(path));
	add_file(w, ME, path, 0);
	for (addr = 0; addr < 0x400000; addr = end) {
		struct sym_name last;

		sym_resolve(w->s, ME, addr, &n);
		assert_true(n.start <= addr && n.end > addr);
		if (n.quality == SYM_NONE) {
			end = addr + 4096 - addr % 4096;
			continue;
		}
		assert_true(n.start == addr || end == 0 || n.quality == SYM_MODULE);
		named += n.quality < SYM_MODULE;
		end = n.end;
		snprintf(name, sizeof(name), "%s", n.name.p);
		sym_resolve(w->s, ME, end - 1, &last);
		assert_string_equal(last.name.p, name);
		assert_true(last.end == end);
	}
	assert_true(named > 2000);
}

static void vdso(void **state)
{
	struct world *w = *state;
	u64 base = getauxval(AT_SYSINFO_EHDR), addr;
	struct sym_name n;
	int named = 0;

	if (!base) {
		print_message("skipped: this kernel maps no vDSO\n");
		skip();
	}
	add_self(w);
	for (addr = base; addr < base + 4096; addr += 16) {
		sym_resolve(w->s, ME, addr, &n);
		assert_string_equal(n.module.p, "[vdso]");
		named += slice_eq(n.name, SLICE("clock_gettime")) ||
			 slice_eq(n.name, SLICE("getcpu"));
	}
	assert_true(named > 0);
}

static void unnamed_memory(void **state)
{
	struct world *w = *state;
	char junk[] = "/tmp/u_sym.XXXXXX";
	struct sym_name n;
	_close_ int fd = mkstemp(junk);
	char fifo[64];

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "#!/bin/sh\n", 10), 10);
	add(w, ME, 0x10000, 0x20000, 0, "");
	add(w, ME, 0x20000, 0x30000, 0, "//anon");
	add(w, ME, 0x30000, 0x40000, 0, "[heap]");
	add(w, ME, 0x40000, 0x50000, 0, junk);
	add(w, ME, 0x50000, 0x60000, 0, "/nowhere/lib\nx.so (deleted)");
	add(w, ME, 0x60000, 0x70000, 0, "/memfd:doublemapper (deleted)");
	assert_int_equal(sym_resolve(w->s, ME, 0x12345, &n), -ENOENT);
	assert_string_equal(n.name.p, "[jit]");
	assert_string_equal(n.module.p, "[anon]");
	assert_int_equal(n.quality, SYM_MODULE);
	assert_true(n.start == 0x10000 && n.end == 0x20000);
	sym_resolve(w->s, ME, 0x20000, &n);
	assert_string_equal(n.name.p, "[jit]");
	assert_int_equal(w->opened, 0);
	sym_resolve(w->s, ME, 0x30000, &n);
	assert_string_equal(n.name.p, "[heap]");
	assert_int_equal(w->opened, 0);
	assert_int_equal(sym_resolve(w->s, ME, 0x40000, &n), -ENOEXEC);
	assert_int_equal(n.name.p[0], '[');
	assert_int_equal(n.quality, SYM_MODULE);
	assert_true(n.start == 0x40000 && n.end == 0x50000);
	assert_int_equal(sym_resolve(w->s, ME, 0x50000, &n), -ENOENT);
	assert_string_equal(n.name.p, "[lib?x.so]");
	assert_string_equal(n.module.p, "lib?x.so");
	/* A failure is kept: a second question opens nothing. */
	assert_int_equal(w->opened, 2);
	assert_int_equal(sym_resolve(w->s, ME, 0x50001, &n), -ENOENT);
	assert_int_equal(w->opened, 2);
	assert_int_equal(sym_resolve(w->s, ME, 0x70000, &n), -ENOENT);
	assert_int_equal(n.quality, SYM_NONE);
	assert_string_equal(n.name.p, "[unknown]");
	assert_true(n.start == 0x70000 && n.end == 0x70001);
	assert_int_equal(sym_resolve(w->s, ME + 1, 0x40000, &n), -ENOENT);
	sym_forget(w->s, ME);
	assert_int_equal(sym_resolve(w->s, ME, 0x12345, &n), -ENOENT);
	assert_int_equal(n.quality, SYM_NONE);
	unlink(junk);
	snprintf(fifo, sizeof(fifo), "/tmp/u_sym.%d.fifo", (int)getpid());
	assert_int_equal(mkfifo(fifo, 0600), 0);
	close(fd);
	fd = open(fifo, O_RDWR | O_CLOEXEC);
	add(w, ME, 0x10000, 0x20000, 0, fifo);
	assert_int_equal(sym_resolve(w->s, ME, 0x10000, &n), -EINVAL);
	unlink(fifo);
}

static void workers_share_a_file(void **state)
{
	struct world *w = *state;
	struct sym_stats st;
	struct sym_name n;
	char path[4096];
	u32 i;

	bias_of((void *)(uintptr_t)getppid, path, sizeof(path));
	for (i = 0; i < 40; i++) {
		add_file(w, 2000 + i, path, 0x10000000ULL * i);
		sym_resolve(w->s, 2000 + i, 0x10000000ULL * i + 0x50000, &n);
		assert_string_equal(n.module.p, "libc.so.6");
	}
	sym_get_stats(w->s, &st);
	assert_int_equal(st.files_loaded, 1);
	assert_int_equal(st.files, 1);
	assert_true(st.bytes > 10000 && st.bytes < 1000000);
	assert_int_equal(st.files_failed + st.files_evicted + st.files_cut, 0);
}

static void kernel(void **state)
{
	struct world *w = *state;
	_fclose_ FILE *f = fopen("/proc/kallsyms", "re");
	struct sym_name n;
	char line[1024];
	int r, checked = 0, lines = 0;

	if (!f) {
		print_message("skipped: /proc/kallsyms is not readable here\n");
		skip();
	}
	r = sym_resolve(w->s, 0, 0xffffffff80000000, &n);
	assert_int_equal(n.quality, SYM_NONE);
	assert_string_equal(n.name.p, "[kernel]");
	assert_string_equal(n.module.p, "[kernel]");
	if (r == -EPERM) {
		print_message("skipped: this kernel hides its addresses from this user "
			      "(kptr_restrict)\n");
		skip();
	}
	while (fgets(line, sizeof(line), f)) {
		unsigned long addr;
		char type, name[512];

		if (sscanf(line, "%lx %c %511s", &addr, &type, name) != 3 || type != 'T' ||
		    lines++ % 50)
			continue;
		assert_int_equal(sym_resolve(w->s, 0, addr, &n), 0);
		assert_int_equal(n.quality, SYM_SYMTAB);
		assert_true(n.start == addr && n.end > addr);
		checked += !strcmp(n.name.p, name);
	}
	/* Not all: of several names for one address another may be the better one. */
	assert_true(lines > 1000);
	assert_true(checked > lines / 50 * 8 / 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(own_functions, setup, teardown),
		cmocka_unit_test_setup_teardown(own_symbols_like_nm, setup, teardown),
		cmocka_unit_test_setup_teardown(libc_like_nm_and_dlsym, setup, teardown),
		cmocka_unit_test_setup_teardown(python_holes_like_readelf, setup, teardown),
		cmocka_unit_test_setup_teardown(ranges_tile, setup, teardown),
		cmocka_unit_test_setup_teardown(vdso, setup, teardown),
		cmocka_unit_test_setup_teardown(unnamed_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(workers_share_a_file, setup, teardown),
		cmocka_unit_test_setup_teardown(kernel, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
