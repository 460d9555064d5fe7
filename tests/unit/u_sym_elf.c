/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files made with the compiler at hand and then damaged: sources of names (symbol tables, debug
 * files, packed debug data, PLT), identity checks, the cache, truncation at every length.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "hp/events.h"
#include "sym/cache.h"
#include "sym/image.h"

#define FILE_MAX (4u << 20)

static char dir[] = "/tmp/u_sym_elf.XXXXXX";

/* f: global with a nested label and an alias; g: static; h: calls out, so there is a PLT. */
static const char source[] = "extern int outside(int);\n"
			     "int f(int x) { return x * 7 + 1; }\n"
			     "int f_alias(int) __attribute__((alias(\"f\")));\n"
			     "static __attribute__((noinline)) int g(int x) { return x ^ f(x); }\n"
			     "int h(int x) { return g(x) + outside(x + 1) * 3; }\n";

/* Runs a command in the directory; %s in it is that directory. */
static int run(const char *fmt, ...)
{
	char cmd[4096], line[1024];
	va_list ap;
	FILE *f;
	int n;

	n = snprintf(cmd, sizeof(cmd), "cd %s && { ", dir);
	va_start(ap, fmt);
	n += vsnprintf(cmd + n, sizeof(cmd) - (size_t)n, fmt, ap);
	va_end(ap);
	snprintf(cmd + n, sizeof(cmd) - (size_t)n, "; } 2>&1");
	f = popen(cmd, "r");
	if (!f)
		return -1;
	while (fgets(line, sizeof(line), f))
		print_message("%s", line);
	return pclose(f);
}

static int pack_debugdata(void)
{
	_release_(buf) struct buf in = BUF_INIT;
	_free_ u8 *out = malloc(FILE_MAX);
	_close_ int fd = -1;
	char path[256];
	size_t n = 0;

	snprintf(path, sizeof(path), "%s/mini.debug", dir);
	if (!out || file_read(path, &in, FILE_MAX) < 0 ||
	    lzma_easy_buffer_encode(1, LZMA_CHECK_CRC32, NULL, (const u8 *)in.p, in.n, out, &n,
				    FILE_MAX) != LZMA_OK)
		return -1;
	snprintf(path, sizeof(path), "%s/mini.debug.xz", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : fd_write_all(fd, out, n);
}

static int make_files(void **state)
{
	_close_ int fd = -1;
	char path[64];

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/a.c", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write_all(fd, source, sizeof(source) - 1) < 0)
		return -1;
	return run("cc -O1 -g -fPIC -shared -nostdlib -Wl,-Bsymbolic -Wl,--build-id -Wl,-z,lazy -o "
		   "full.so a.c && "
		   "cc -O1 -fPIC -shared -nostdlib -Wl,-Bsymbolic -Wl,--build-id=none -Wl,-z,now "
		   "-o noid.so a.c && "
		   "objcopy --only-keep-debug full.so full.debug && "
		   "objcopy --only-keep-debug noid.so noid.debug && "
		   "strip -o bare.so full.so && strip -o noid_bare.so noid.so && "
		   "objcopy --add-gnu-debuglink=noid.debug noid_bare.so noid_link.so && "
		   "objcopy --only-keep-debug --strip-debug full.so mini.debug && "
		   "cat full.debug > other.debug && printf x >> other.debug") ||
	       pack_debugdata() ||
	       run("objcopy --add-section .gnu_debugdata=mini.debug.xz bare.so mini.so");
}

static int drop_files(void **state)
{
	(void)state;
	return run("rm -rf %s", dir);
}

static int open_file(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

struct asked {
	const char *give[2]; /* what the first and second question get; NULL = nothing */
	char path[2][256];
	int n;
};

static int give_debug(void *arg, const char *path)
{
	struct asked *a = arg;
	int i = a->n++;

	assert_in_range(i, 0, 1);
	snprintf(a->path[i], sizeof(a->path[i]), "%s", path);
	return a->give[i] ? open_file(a->give[i]) : -ENOENT;
}

static void load(struct image *img, const char *name, struct asked *asked)
{
	struct debug_opener debug = { asked ? give_debug : NULL, asked };
	_close_ int fd = open_file(name);
	struct elf_src src;

	assert_int_equal(elf_src_fd(&src, fd), 0);
	assert_int_equal(image_load(img, &src, SLICE("/opt/app/lib.so"), &debug), 0);
	assert_false(img->table.cut);
}

/* "name/quality" of all runs, each once, in order of address. */
static void assert_runs(const struct image *img, const char *want)
{
	_release_(buf) struct buf out = BUF_INIT;
	u32 i;

	for (i = 0; i < img->table.n; i++) {
		const struct table_seg *s = &img->table.segs[i];

		buf_addf(&out, "%s%s/%u", i ? " " : "",
			 s->kind == SYM_FDE ? "@" : img->table.names + s->name, s->kind);
	}
	assert_string_equal(out.p ? out.p : "", want);
}

static void sources_of_names(void **state)
{
	struct asked asked = { .n = 0 };
	struct image img;

	(void)state;
	/* One unwind entry covers the PLT; its first slot calls the linker and has no name. */
	load(&img, "full.so", &asked);
	assert_runs(&img, "@/4 outside@plt/2 f/1 g/1 h/1");
	assert_int_equal(asked.n, 0);
	image_release(&img);
	load(&img, "bare.so", &asked);
	assert_runs(&img, "@/4 outside@plt/2 f/2 @/4 h/2");
	assert_int_equal(asked.n, 1);
	image_release(&img);
	load(&img, "bare.so", NULL);
	assert_runs(&img, "@/4 outside@plt/2 f/2 @/4 h/2");
	image_release(&img);
	asked = (struct asked){ .give = { "full.debug" } };
	load(&img, "bare.so", &asked);
	assert_runs(&img, "@/4 outside@plt/2 f/2 g/3 h/2");
	assert_int_equal(asked.n, 1);
	assert_int_equal(strncmp(asked.path[0], "/usr/lib/debug/.build-id/", 25), 0);
	assert_string_equal(asked.path[0] + strlen(asked.path[0]) - 6, ".debug");
	image_release(&img);
	asked = (struct asked){ .give = { NULL } };
	load(&img, "mini.so", &asked);
	assert_runs(&img, "@/4 outside@plt/2 f/2 g/3 h/2");
	image_release(&img);
	load(&img, "noid.so", NULL);
	assert_runs(&img, "@/4 outside@plt/2 f/1 g/1 h/1");
	image_release(&img);
}

static void count_symbol(void *arg, const char *name, const Elf64_Sym *s)
{
	struct buf *out = arg;

	if (ELF64_ST_TYPE(s->st_info) == STT_FUNC || s->st_shndx == SHN_UNDEF)
		buf_addf(out, "%s%s ", *name ? name : "-", s->st_shndx == SHN_UNDEF ? "?" : "");
}

static void assert_symbols(struct elf *e, bool dyn, const char *const *want)
{
	_release_(buf) struct buf out = BUF_INIT;
	size_t i, n = 0;

	assert_int_equal(elf_symbols_each(e, dyn, count_symbol, &out), 0);
	for (i = 0; want[i]; i++) {
		assert_non_null(strstr(out.p, want[i]));
		n += strlen(want[i]);
	}
	assert_int_equal(out.n, n);
}

/* Every symbol once, of the table that was asked for; what is damaged is left out. */
static void symbols_each(void **state)
{
	static const char *const exported[] = { "-? ", "outside? ", "f ", "f_alias ", "h ", NULL };
	static const char *const all[] = { "-? ", "outside? ", "f ", "f_alias ", "g ", "h ", NULL };
	static const char *const unnamed[] = { "-? ", NULL };
	static const char *const none[] = { NULL };
	_close_ int full = open_file("full.so"), bare = open_file("bare.so");
	struct elf_src src;
	struct elf e, whole;

	(void)state;
	assert_int_equal(elf_src_fd(&src, bare), 0);
	assert_int_equal(elf_open(&e, &src), 0);
	assert_symbols(&e, true, exported);
	assert_symbols(&e, false, none);
	assert_int_equal(elf_src_fd(&src, full), 0);
	assert_int_equal(elf_open(&whole, &src), 0);
	assert_symbols(&whole, true, exported);
	assert_symbols(&whole, false, all);
	/* Names that end early, are not there, or are too many to be read. */
	e = whole;
	e.strtab.size = 1;
	assert_symbols(&e, false, unnamed);
	e.strtab.size = ELF_NAMES_MAX + 1ULL;
	assert_symbols(&e, false, none);
	e = whole;
	e.strtab.off = src.size - 1;
	assert_symbols(&e, false, none);
	/* The table goes on behind the file's end. */
	e = whole;
	e.symtab.size = UINT64_MAX;
	e.src.size = e.symtab.off + sizeof(Elf64_Sym);
	e.strtab = whole.dynstr;
	assert_symbols(&e, false, unnamed);
}

static void debug_file_must_belong(void **state)
{
	struct asked asked = { .give = { "noid.debug" } };
	struct image img;

	(void)state;
	/* Another file's build-id, and none at all where one is asked for. */
	load(&img, "bare.so", &asked);
	assert_runs(&img, "@/4 outside@plt/2 f/2 @/4 h/2");
	image_release(&img);
	/* By link: the name is looked for under one root only, the checksum decides. */
	asked = (struct asked){ .give = { "noid.debug" } };
	load(&img, "noid_link.so", &asked);
	assert_int_equal(asked.n, 1);
	assert_string_equal(asked.path[0], "/usr/lib/debug/opt/app/noid.debug");
	assert_runs(&img, "@/4 outside@plt/2 f/2 g/3 h/2");
	image_release(&img);
	asked = (struct asked){ .give = { "other.debug" } };
	load(&img, "noid_link.so", &asked);
	assert_int_equal(asked.n, 1);
	assert_runs(&img, "@/4 outside@plt/2 f/2 @/4 h/2");
	image_release(&img);
}

/* 20 KB that unpack to more than is taken. */
static void debugdata_bomb(void **state)
{
	const size_t size = 72u << 20;
	_free_ u8 *zeros = calloc(1, size), *packed = malloc(FILE_MAX), *out = NULL;
	_close_ int fd = -1, file = -1;
	char path[256];
	struct elf_src src;
	struct image img;
	struct debug_opener none = { 0 };
	size_t n = 0, got;
	struct elf e;

	(void)state;
	assert_true(zeros && packed);
	assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, zeros, size, packed, &n,
						 FILE_MAX),
			 LZMA_OK);
	assert_true(n < 64 * 1024);
	snprintf(path, sizeof(path), "%s/bomb.xz", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(fd_write_all(fd, packed, n), 0);
	assert_int_equal(run("objcopy --add-section .gnu_debugdata=bomb.xz bare.so bomb.so"), 0);
	file = open_file("bomb.so");
	assert_int_equal(elf_src_fd(&src, file), 0);
	assert_int_equal(elf_open(&e, &src), 0);
	assert_int_equal(debugdata_unpack(&e, &out, &got), -EFBIG);
	assert_null(out);
	/* The names that the file has of its own stay. */
	assert_int_equal(image_load(&img, &src, SLICE("/x"), &none), 0);
	assert_true(img.table.cut && img.table.n > 0);
	image_release(&img);
}

static void path_of_link_stays_inside(void **state)
{
	static const char *const bad[] = { "lib.so", "", "/a/../../etc/lib.so", "/./lib.so",
					   "rel/lib.so" };
	struct asked asked = { .give = { NULL } };
	struct debug_opener debug = { give_debug, &asked };
	_close_ int fd = open_file("noid_link.so");
	struct elf_src src;
	struct elf e;
	size_t i;

	(void)state;
	assert_int_equal(elf_src_fd(&src, fd), 0);
	assert_int_equal(elf_open(&e, &src), 0);
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		assert_int_equal(debugfile_open(&e, slice_str(bad[i]), &debug), -ENOENT);
	assert_int_equal(asked.n, 0);
	assert_int_equal(debugfile_open(&e, SLICE("/lib.so"), &debug), -ENOENT);
	assert_string_equal(asked.path[0], "/usr/lib/debug/noid.debug");
}

static void read_all(const char *name, struct buf *b)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(file_read(path, b, FILE_MAX), 0);
}

static int load_bytes(const void *p, size_t n, struct image *img)
{
	struct debug_opener none = { NULL, NULL };
	_free_ u8 *exact = malloc(n ? n : 1);
	struct elf_src src = { .fd = -1, .mem = exact, .size = n };

	assert_non_null(exact);
	memcpy(exact, p, n);
	*img = (struct image){ 0 };
	return image_load(img, &src, SLICE("/x"), &none);
}

/* Every prefix of the file: names or a clear refusal, and the whole one in the end. */
static void truncated_anywhere(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct image img;
	size_t n, ok = 0;

	(void)state;
	read_all("mini.so", &b);
	for (n = 0; n <= b.n; n += n < 4096 ? 1 : 7) {
		int r = load_bytes(b.p, n, &img);

		assert_true(r == 0 || r == -ENOEXEC || r == -ENODATA);
		ok += r == 0;
		if (r == 0)
			image_release(&img);
	}
	assert_true(ok > 100);
	assert_int_equal(load_bytes(b.p, b.n, &img), 0);
	assert_runs(&img, "@/4 outside@plt/2 f/2 g/3 h/2");
	image_release(&img);
}

static void refused_politely(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct image img;

	(void)state;
	read_all("full.so", &b);
	b.p[EI_CLASS] = ELFCLASS32;
	assert_int_equal(load_bytes(b.p, b.n, &img), -ENOTSUP);
	b.p[EI_CLASS] = ELFCLASS64;
	b.p[EI_DATA] = ELFDATA2MSB;
	assert_int_equal(load_bytes(b.p, b.n, &img), -ENOTSUP);
	b.p[EI_DATA] = ELFDATA2LSB;
	((Elf64_Ehdr *)b.p)->e_type = ET_CORE;
	assert_int_equal(load_bytes(b.p, b.n, &img), -ENOEXEC);
	((Elf64_Ehdr *)b.p)->e_type = ET_DYN;
	((Elf64_Ehdr *)b.p)->e_phnum = 0;
	assert_int_equal(load_bytes(b.p, b.n, &img), -EINVAL);
	assert_int_equal(load_bytes("#!/bin/sh\n", 10, &img), -ENOEXEC);
	assert_int_equal(load_bytes("", 0, &img), -ENOEXEC);
}

/* Without section headers the segments still lead to the unwind entries. */
static void section_headers_absent_or_absurd(void **state)
{
	static const struct {
		u64 off;
		u16 num, strndx, entsize;
	} bad[] = {
		{ 0, 0, 0, 0 },		  { UINT64_MAX - 8, 10, 9, 64 },
		{ 64, 65535, 65534, 64 }, { 64, 0, SHN_XINDEX, 64 },
		{ 1, 10, 3, 40 },
	};
	_release_(buf) struct buf b = BUF_INIT;
	struct image img;
	Elf64_Ehdr *eh;
	size_t i;

	(void)state;
	read_all("bare.so", &b);
	eh = (Elf64_Ehdr *)b.p;
	for (i = 0; i < ARRAY_SIZE(bad); i++) {
		eh->e_shoff = bad[i].off;
		eh->e_shnum = bad[i].num;
		eh->e_shstrndx = bad[i].strndx;
		eh->e_shentsize = bad[i].entsize;
		assert_int_equal(load_bytes(b.p, b.n, &img), 0);
		assert_runs(&img, "@/4 @/4 @/4 @/4");
		image_release(&img);
	}
}

/* Section sizes, links and symbol values at their extremes, one at a time. */
static void absurd_fields(void **state)
{
	static const u64 values[] = { 0, 1, 7, 0x7fffffff, 0xffffffff, UINT64_MAX - 7, UINT64_MAX };
	_release_(buf) struct buf b = BUF_INIT, copy = BUF_INIT;
	struct image img;
	size_t i, v, f;
	int loaded = 0;
	u64 shoff;
	u16 shnum;

	(void)state;
	read_all("mini.so", &b);
	shoff = ((Elf64_Ehdr *)b.p)->e_shoff;
	shnum = ((Elf64_Ehdr *)b.p)->e_shnum;
	assert_true(shnum > 10 && shoff + shnum * sizeof(Elf64_Shdr) <= b.n);
	for (i = 0; i < shnum; i++) {
		for (f = 0; f < sizeof(Elf64_Shdr) / 8; f++) {
			for (v = 0; v < ARRAY_SIZE(values); v++) {
				buf_clear(&copy);
				buf_add(&copy, b.p, b.n);
				memcpy(copy.p + shoff + i * sizeof(Elf64_Shdr) + f * 8, &values[v],
				       8);
				if (load_bytes(copy.p, copy.n, &img) == 0) {
					loaded++;
					image_release(&img);
				}
			}
		}
	}
	/* Damaged sections are left out, they do not cost the file. */
	assert_int_equal(loaded, shnum * 8 * ARRAY_SIZE(values));
}

static void file_that_shrinks(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;
	_close_ int fd = memfd_create("shrinks", MFD_CLOEXEC);
	struct elf_src src;
	struct elf_win w;
	char c[16];

	(void)state;
	read_all("full.so", &b);
	assert_int_equal(fd_write_all(fd, b.p, b.n), 0);
	assert_int_equal(elf_src_fd(&src, fd), 0);
	assert_int_equal(elf_win_init(&w, &src), 0);
	assert_int_equal(elf_read(&src, b.n - 16, c, 16), 0);
	assert_int_equal(ftruncate(fd, 100), 0);
	assert_int_equal(elf_read(&src, b.n - 16, c, 16), -ENODATA);
	assert_null(elf_win_at(&w, b.n - 16, 16));
	assert_int_equal(elf_read(&src, UINT64_MAX, c, 16), -ENODATA);
	assert_int_equal(elf_read(&src, b.n, c, 1), -ENODATA);
	elf_win_release(&w);
}

/* adrp x16; ldr x17, [x16, #off]; add; br x17, and the same behind bti c. */
static void arm64_plt(void **state)
{
	static const u32 code[] = {
		0xd503245f, 0xb0000010, 0xf9400611, 0x91002210, 0xd61f0220, /* slot at 0x2008 */
		0xb0000010, 0xf9400a11, 0x91004210, 0xd61f0220, /* slot at 0x2010 */
	};
	static const Elf64_Rela rela[] = {
		{ 0x2010, ELF64_R_INFO(2ULL, R_AARCH64_JUMP_SLOT), 0 },
		{ 0x2008, ELF64_R_INFO(1ULL, R_AARCH64_JUMP_SLOT), 0 },
	};
	static const char strs[] = "\0read\0write";
	static const Elf64_Sym syms[] = { { .st_name = 0 }, { .st_name = 1 }, { .st_name = 6 } };
	struct {
		Elf64_Rela rela[2];
		Elf64_Sym syms[3];
		u32 code[ARRAY_SIZE(code)];
		char strs[sizeof(strs)];
	} file;
	struct elf e = {
		.src = { .fd = -1, .mem = (const u8 *)&file, .size = sizeof(file) },
		.machine = EM_AARCH64,
		.nloads = 1,
		.loads = { { .vaddr = 0x1000, .filesz = 0x100, .memsz = 0x100, .exec = true } },
		.exec_lo = 0x1000,
		.exec_hi = 0x1100,
		.plt = { 0x1000, offsetof(typeof(file), code), sizeof(code), 16 },
		.rela_plt = { 0, offsetof(typeof(file), rela), sizeof(rela), sizeof(rela[0]) },
		.dynsym = { 0, offsetof(typeof(file), syms), sizeof(syms), sizeof(syms[0]) },
		.dynstr = { 0, offsetof(typeof(file), strs), sizeof(strs), 0 },
	};
	struct table_build b;
	struct table t;

	(void)state;
	memcpy(file.rela, rela, sizeof(rela));
	memcpy(file.syms, syms, sizeof(syms));
	memcpy(file.code, code, sizeof(code));
	memcpy(file.strs, strs, sizeof(strs));
	build_init(&b, &e);
	assert_int_equal(build_plt(&b), 0);
	assert_int_equal(build_finish(&b, &t), 0);
	build_release(&b);
	assert_int_equal(t.n, 2);
	assert_string_equal(t.names + t.segs[0].name, "read@plt");
	assert_int_equal(t.segs[0].start, 0);
	assert_int_equal(t.segs[0].len, 20);
	assert_string_equal(t.names + t.segs[1].name, "write@plt");
	assert_int_equal(t.segs[1].start, 20);
	assert_int_equal(t.segs[1].len, 16);
	table_release(&t);
}

static void cache_is_bounded(void **state)
{
	struct debug_opener none = { NULL, NULL };
	struct cache *c = calloc(1, sizeof(*c));
	_release_(buf) struct buf b = BUF_INIT;
	int fds[CACHE_FILES_MAX + 2], i;
	u32 slot, first, gen, extra = CACHE_FILES_MAX;

	(void)state;
	assert_non_null(c);
	read_all("bare.so", &b);
	for (i = 0; i < CACHE_FILES_MAX + 2; i++) {
		fds[i] = memfd_create("copy", MFD_CLOEXEC);
		assert_true(fds[i] >= 0);
		assert_int_equal(fd_write_all(fds[i], b.p, b.n), 0);
	}
	for (i = 0; i < CACHE_FILES_MAX; i++)
		assert_int_equal(cache_load(c, fds[i], SLICE("/x"), &none, &slot), 0);
	assert_int_equal(c->n, CACHE_FILES_MAX);
	assert_int_equal(c->evicted, 0);
	assert_int_equal(cache_load(c, fds[0], SLICE("/x"), &none, &first), 0);
	gen = c->files[first].gen;
	assert_int_equal(c->loaded, CACHE_FILES_MAX);
	/* fds[0] was used just now, so the new one takes the place of fds[1]. */
	assert_int_equal(cache_load(c, fds[extra], SLICE("/x"), &none, &slot), 0);
	assert_int_equal(c->evicted, 1);
	assert_non_null(cache_get(c, first, gen));
	assert_int_equal(cache_load(c, fds[1], SLICE("/x"), &none, &slot), 0);
	assert_int_equal(c->loaded, CACHE_FILES_MAX + 2);
	assert_int_equal(c->n, CACHE_FILES_MAX);
	/* A file that was written to is another file. */
	assert_int_equal(pwrite(fds[0], b.p, 1, (off_t)b.n), 1);
	assert_int_equal(cache_load(c, fds[0], SLICE("/x"), &none, &slot), 0);
	assert_int_equal(c->loaded, CACHE_FILES_MAX + 3);
	/* A slot that was filled anew is not mistaken for what was there. */
	for (i = 0; i < CACHE_FILES_MAX; i++)
		if (c->files[i].gen > 1)
			assert_null(cache_get(c, (u32)i, c->files[i].gen - 1));
	cache_release(c);
	assert_int_equal(c->bytes, 0);
	assert_int_equal(c->n, 0);
	for (i = 0; i < CACHE_FILES_MAX + 2; i++)
		close(fds[i]);
	free(c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sources_of_names),
		cmocka_unit_test(symbols_each),
		cmocka_unit_test(debugdata_bomb),
		cmocka_unit_test(debug_file_must_belong),
		cmocka_unit_test(path_of_link_stays_inside),
		cmocka_unit_test(truncated_anywhere),
		cmocka_unit_test(refused_politely),
		cmocka_unit_test(section_headers_absent_or_absurd),
		cmocka_unit_test(absurd_fields),
		cmocka_unit_test(file_that_shrinks),
		cmocka_unit_test(arm64_plt),
		cmocka_unit_test(cache_is_bounded),
	};

	return cmocka_run_group_tests(tests, make_files, drop_files);
}
