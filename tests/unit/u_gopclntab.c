/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Go's own table of functions in all its layouts, written here by hand as the linkers of those versions
 * write them: with and without sections, position-independent, damaged at every byte; and, where go is
 * installed, a stripped program against `go tool nm` of the same program unstripped.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "go_table.h"
#include "sym/lines.h"

static void load(const struct go_file *f, struct image *img)
{
	struct elf_src src = { .fd = -1, .mem = f->bytes, .size = f->n };
	struct debug_opener none = { 0 };

	assert_int_equal(image_load(img, &src, SLICE("/srv/prog"), &none), 0);
}

static void assert_func(const struct image *img, u64 addr, const char *name, u64 start, u64 end)
{
	u64 lo, hi;
	const struct table_seg *s = table_find(&img->table, addr, &lo, &hi);

	assert_non_null(s);
	assert_int_equal(s->kind, SYM_RUNTIME);
	assert_string_equal(img->table.names + s->name, name);
	assert_true(lo == start && hi == end);
}

static void check_all(const struct image *img)
{
	u64 lo, hi;

	assert_func(img, GO_TEXT, "runtime.main", GO_TEXT, GO_TEXT + 0x40);
	assert_func(img, GO_TEXT + 0x3f, "runtime.main", GO_TEXT, GO_TEXT + 0x40);
	assert_func(img, GO_TEXT + 0x40, "main.(*T).Run", GO_TEXT + 0x40, GO_TEXT + 0x100);
	assert_func(img, GO_TEXT + 0x100, "main.main.func1", GO_TEXT + 0x100, GO_TEXT + 0x180);
	assert_null(table_find(&img->table, GO_TEXT + 0x180, &lo, &hi));
	assert_null(table_find(&img->table, GO_TEXT - 1, &lo, &hi));
}

static void every_version(void **state)
{
	int version, how;

	(void)state;
	for (version = GO_1_2; version <= GO_1_20; version++)
		for (how = 0; how < 4; how++) {
			const int flags[] = { GO_SECTIONS, 0, GO_SECTIONS | GO_NO_BASE,
					      GO_SECTIONS | GO_NO_BASE | GO_RELOCATED };
			_free_ struct go_file *f = go_file(version, flags[how]);
			struct image img;

			/* Before 1.18 functions' addresses were no offsets from a base. */
			if (version < GO_1_18 && how > 1)
				continue;
			load(f, &img);
			check_all(&img);
			image_release(&img);
		}
}

static void other_words(void **state)
{
	_free_ struct go_file *f = go_file(GO_1_20, GO_SECTIONS);
	struct image img;

	(void)state;
	f->bytes[f->table] = 0xf2; /* a version that is not known */
	load(f, &img);
	assert_int_equal(img.table.n, 0);
	image_release(&img);
}

/* Every byte of table and headers, changed: nothing is read outside, runs stay sorted. */
static void damaged(void **state)
{
	int version;

	(void)state;
	for (version = GO_1_2; version <= GO_1_20; version++) {
		_free_ struct go_file *f = go_file(version, version % 2 ? GO_SECTIONS : 0);
		size_t i, k;

		for (i = f->table; i < f->table + f->table_size; i++)
			for (k = 0; k < 3; k++) {
				struct elf_src src = { .fd = -1, .mem = f->bytes, .size = f->n };
				struct debug_opener none = { 0 };
				u8 was = f->bytes[i];
				struct image img;
				u32 j;

				f->bytes[i] = k == 0 ? 0xff : k == 1 ? 0x80 : (u8)(was + 1);
				if (image_load(&img, &src, SLICE("/srv/prog"), &none) == 0) {
					for (j = 1; j < img.table.n; j++)
						assert_true(img.table.segs[j - 1].start +
								    img.table.segs[j - 1].len <=
							    img.table.segs[j].start);
					image_release(&img);
				}
				f->bytes[i] = was;
			}
	}
}

static const char program[] = "package main\n"
			      "import \"strings\"\n"
			      "type T struct{ n int }\n"
			      "//go:noinline\n"
			      "func (t *T) Add(s string) { t.n += len(strings.Fields(s)) }\n"
			      "func main() { t := &T{}; f := func() { t.Add(\"a b\") }; f()\n"
			      "\tprintln(t.n) }\n";

/* The command's exit status. */
static int run(const char *cmd)
{
	FILE *f = popen(cmd, "r");
	char line[1024];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		print_message("%s", line);
	return pclose(f);
}

/* Every 16th address of each function against `go tool addr2line`, which reads the unstripped file. */
static void lines_like_addr2line(const char *dir, const struct image *img)
{
	struct line_frame frames[LINES_INLINES_MAX];
	struct debug_opener none = { 0 };
	char path[128], cmd[512], name[4096], place[4096], want[4096];
	int all = 0, right = 0, inlined = 0;
	_fclose_ FILE *addrs = NULL;
	struct lines *l;
	FILE *said;
	u32 i, k, n;

	snprintf(path, sizeof(path), "%s/addrs", dir);
	addrs = fopen(path, "w+e");
	assert_non_null(addrs);
	for (i = 0; i < img->table.n; i++)
		for (k = 0; k < img->table.segs[i].len; k += 16)
			fprintf(addrs, "%llx\n",
				(unsigned long long)(img->table.base + img->table.segs[i].start +
						     k));
	rewind(addrs);
	snprintf(cmd, sizeof(cmd), "go tool addr2line %s/full < %s/addrs", dir, dir);
	said = popen(cmd, "re");
	assert_non_null(said);
	snprintf(path, sizeof(path), "%s/bare", dir);
	assert_int_equal(lines_open(&l, open(path, O_RDONLY | O_CLOEXEC), slice_str(path), &none),
			 0);
	while (fgets(name, sizeof(name), said) && fgets(place, sizeof(place), said)) {
		unsigned long addr;

		assert_int_equal(fscanf(addrs, "%lx", &addr), 1);
		n = lines_at(l, addr, frames);
		snprintf(want, sizeof(want), "%s:%u\n", n && frames[0].file ? frames[0].file : "?",
			 n ? frames[0].line : 0);
		all++;
		inlined += n > 1;
		/* Between functions' ends and the next one's begin it says -1. */
		if (!strcmp(want, place) || (!n && !strcmp(place, ":-1\n")))
			right++;
		else if (all - right < 10)
			print_message("0x%lx: %s addr2line: %s", addr, want, place);
	}
	assert_int_equal(pclose(said), 0);
	lines_free(l);
	print_message("%d of %d places as go tool addr2line has them, %d in inlined functions\n",
		      right, all, inlined);
	assert_true(all > 10000 && inlined > 500);
	assert_true(right >= all * 0.995);
}

static void like_go_nm(void **state)
{
	char dir[] = "/tmp/u_gopclntab.XXXXXX", path[128], cmd[512], line[4096];
	_close_ int fd = -1;
	struct debug_opener none = { 0 };
	struct elf_src src;
	struct image img;
	int checked = 0, right = 0;
	FILE *f;

	(void)state;
	if (run("command -v go >/dev/null 2>&1")) {
		print_message("skipped: go is not installed\n");
		skip();
	}
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/a.go", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, program, sizeof(program) - 1), sizeof(program) - 1);
	close(fd);
	snprintf(cmd, sizeof(cmd),
		 "cd %s && export GOCACHE=%s/cache GOFLAGS= && go build -o full a.go && strip -o "
		 "bare full",
		 dir, dir);
	assert_int_equal(run(cmd), 0);
	snprintf(path, sizeof(path), "%s/bare", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(elf_src_fd(&src, fd), 0);
	assert_int_equal(image_load(&img, &src, slice_str(path), &none), 0);
	snprintf(cmd, sizeof(cmd), "go tool nm -size -sort address %s/full", dir);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		unsigned long addr, size;
		char type, name[4000];
		const struct table_seg *s;
		u64 lo, hi;

		if (sscanf(line, "%lx %lu %c %3999[^\n]", &addr, &size, &type, name) != 4 ||
		    (type != 'T' && type != 't') || !size)
			continue;
		/* How its arguments are passed is the linker's addition. */
		if (strlen(name) > 5 && !strcmp(name + strlen(name) - 5, ".abi0"))
			name[strlen(name) - 5] = 0;
		s = table_find(&img.table, addr + size - 1, &lo, &hi);
		checked++;
		if (s && lo != addr)
			print_message("%s: 0x%lx, in the table 0x%llx\n", name, addr,
				      (unsigned long long)lo);
		right += s && s->kind == SYM_RUNTIME && lo == addr &&
			 !strcmp(img.table.names + s->name, name);
	}
	assert_int_equal(pclose(f), 0);
	lines_like_addr2line(dir, &img);
	image_release(&img);
	snprintf(cmd, sizeof(cmd), "rm -rf %s", dir);
	assert_int_equal(run(cmd), 0);
	print_message("%d of %d functions named as go tool nm does\n", right, checked);
	assert_true(checked > 1000);
	/* Section bounds ("runtime.text", "runtime.etext") share an address with a function. */
	assert_true(right >= checked - 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_version),
		cmocka_unit_test(other_words),
		cmocka_unit_test(damaged),
		cmocka_unit_test(like_go_nm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
