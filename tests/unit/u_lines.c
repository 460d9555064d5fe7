/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines and inlined functions: of a C++ program of this compiler against addr2line -i for every
 * address of its code, in the file and in its separate debug file; of Go's table in all its layouts; and
 * files that end early or are damaged anywhere.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "go_table.h"
#include "sym/lines.h"

#define FILE_MAX (4u << 20)
#define SOURCE_LINES 26 /* of the program below */

static char dir[] = "/tmp/u_lines.XXXXXX";

static const char source[] =
	"#include <algorithm>\n"
	"#include <cmath>\n"
	"#include <map>\n"
	"#include <string>\n"
	"#include <vector>\n"
	"namespace app {\n"
	"static inline double root(double x) { return std::sqrt(x) + 1; }\n"
	"template <class T> static inline T square(T x) { return x * x + root(x); }\n"
	"struct Sum { double v = 0; void add(double x) { v += square(x); } };\n"
	"double work(std::vector<double> &v) {\n"
	"	Sum s;\n"
	"	for (double x : v) s.add(x);\n"
	"	std::sort(v.begin(), v.end(), [](double p, double q) { return p > q; });\n"
	"	return s.v;\n"
	"}\n"
	"std::map<std::string, int> count(const std::vector<std::string> &v) {\n"
	"	std::map<std::string, int> m;\n"
	"	for (auto &s : v) m[s]++;\n"
	"	return m;\n"
	"}\n"
	"}\n"
	"int main(int argc, char **argv) {\n"
	"	std::vector<double> v(100, argc);\n"
	"	std::vector<std::string> names(argv, argv + argc);\n"
	"	return (int)app::work(v) + (int)app::count(names).size();\n"
	"}\n";

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

static int open_file(const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	return fd;
}

static int make_files(void **state)
{
	_close_ int fd = -1;
	char path[64];

	(void)state;
	if (!mkdtemp(dir))
		return -1;
	snprintf(path, sizeof(path), "%s/a.cc", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || fd_write_all(fd, source, sizeof(source) - 1) < 0)
		return -1;
	return run("g++ -O2 -g -Wl,--build-id -o full a.cc && "
		   "g++ -O2 -gdwarf-4 -gz -Wl,--build-id -o packed a.cc && "
		   "objcopy --only-keep-debug full full.debug && strip -o bare full");
}

static int drop_files(void **state)
{
	(void)state;
	return run("rm -rf %s", dir);
}

static int give_debug(void *arg, const char *path)
{
	int *asked = arg;

	assert_non_null(strstr(path, "/.build-id/"));
	++*asked;
	return open_file("full.debug");
}

static const char *base(const char *path)
{
	const char *slash = path ? strrchr(path, '/') : NULL;

	return slash ? slash + 1 : path ? path : "??";
}

struct said { /* by addr2line */
	char name[1024];
	char file[512];
	u32 line;
};

static bool same(const struct line_frame *mine, u32 n, const struct said *said, u32 nsaid)
{
	u32 i;

	if (!n)
		return nsaid == 1 && !said[0].line;
	if (n != MIN(nsaid, (u32)LINES_INLINES_MAX))
		return false;
	for (i = 0; i < n; i++) {
		/* It gives the innermost function the symbol's name when that is the longer one. */
		if (mine[i].name && strcmp(mine[i].name, said[i].name) != 0 &&
		    (i || strcmp(said[0].name, said[nsaid - 1].name) != 0))
			return false;
		if (mine[i].line != said[i].line)
			return false;
		/* In clones of functions it has the function's file with the line of another one. */
		if (!strcmp(base(said[i].file), "a.cc") && said[i].line > SOURCE_LINES)
			continue;
		if (said[i].line && strcmp(base(mine[i].file), base(said[i].file)) != 0)
			return false;
	}
	return true;
}

/* The next address and what is said of it. */
static bool next_said(FILE *f, u64 *ret_addr, struct said v[64], u32 *ret_n, char pending[2048])
{
	unsigned long addr;
	char line[2048], *colon;
	u32 n = 0;

	if (!*pending && !fgets(pending, 2048, f))
		return false;
	assert_int_equal(sscanf(pending, "0x%lx", &addr), 1);
	*pending = 0;
	while (n < 64 && fgets(line, sizeof(line), f)) {
		if (!strncmp(line, "0x", 2)) {
			snprintf(pending, 2048, "%s", line);
			break;
		}
		line[strcspn(line, "\n")] = 0;
		snprintf(v[n].name, sizeof(v[n].name), "%.1000s", line);
		assert_non_null(fgets(line, sizeof(line), f));
		line[strcspn(line, "\n")] = 0;
		colon = strrchr(line, ':');
		assert_non_null(colon);
		*colon = 0;
		v[n].line = (u32)strtoul(colon + 1, NULL, 10); /* "?" is 0 */
		snprintf(v[n].file, sizeof(v[n].file), "%.500s", line);
		n++;
	}
	*ret_addr = addr;
	*ret_n = n;
	return true;
}

static void like_addr2line(const char *file, struct lines *l)
{
	static struct said said[64];
	struct line_frame mine[LINES_INLINES_MAX];
	char cmd[1024], pending[2048] = "";
	u32 n, nsaid, right = 0, all = 0, inlined = 0, known = 0;
	u64 addr;
	FILE *f;

	/* The section's range, a line an address. */
	snprintf(cmd, sizeof(cmd),
		 "cd %s && readelf -SW %s | sed -n 's/.* \\.text *PROGBITS *\\([0-9a-f]*\\) "
		 "*[0-9a-f]* *"
		 "\\([0-9a-f]*\\) .*/\\1 \\2/p' | { read a n; a=$((0x$a)); n=$((0x$n)); "
		 "seq $a $((a + n - 1)) | xargs printf '%%x\\n'; } | addr2line -a -f -i -e %s",
		 dir, file, file);
	f = popen(cmd, "r");
	assert_non_null(f);
	while (next_said(f, &addr, said, &nsaid, pending)) {
		n = lines_at(l, addr, mine);
		all++;
		known += n > 0;
		inlined += n > 1;
		if (same(mine, n, said, nsaid)) {
			right++;
		} else if (all - right < 10) {
			u32 i;

			print_message("0x%llx:", (unsigned long long)addr);
			for (i = 0; i < n; i++)
				print_message(" %s %s:%u", mine[i].name ? mine[i].name : "-",
					      base(mine[i].file), mine[i].line);
			print_message(" | addr2line:");
			for (i = 0; i < nsaid; i++)
				print_message(" %s %s:%u", said[i].name, base(said[i].file),
					      said[i].line);
			print_message("\n");
		}
	}
	assert_int_equal(pclose(f), 0);
	print_message(
		"%s: %u of %u as addr2line has them, %u with lines, %u with inlined functions\n",
		file, right, all, known, inlined);
	assert_true(all > 2000 && known > all * 8 / 10 && inlined > all / 4);
	assert_true(right >= all * 0.995);
}

static struct lines *opened(const char *name, const struct debug_opener *debug)
{
	struct lines *l;

	assert_int_equal(lines_open(&l, open_file(name), SLICE("/opt/app/prog"), debug), 0);
	return l;
}

static void cpp(void **state)
{
	static const char *const files[] = { "full", "packed" };
	struct debug_opener none = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(files); i++) {
		struct lines *l = opened(files[i], &none);

		like_addr2line(files[i], l);
		lines_free(l);
	}
}

static void separate_file(void **state)
{
	int asked = 0;
	struct debug_opener debug = { give_debug, &asked }, none = { 0 };
	struct lines *l = opened("bare", &debug), *no;

	(void)state;
	assert_int_equal(asked, 1);
	like_addr2line("full", l);
	lines_free(l);
	assert_int_equal(lines_open(&no, open_file("bare"), SLICE("/a"), &none), -ENOENT);
	assert_int_equal(lines_open(&no, open_file("a.cc"), SLICE("/a"), &none), -ENOEXEC);
}

static void go(void **state)
{
	static const struct {
		u64 at;
		const char *file;
		u32 line;
	} want[] = {
		{ 0, "/usr/lib/go/src/runtime/proc.go", 250 },
		{ 0x0f, "/usr/lib/go/src/runtime/proc.go", 250 },
		{ 0x10, "/usr/lib/go/src/runtime/proc.go", 251 },
		{ 0x18, "/usr/lib/go/src/runtime/proc.go", 249 },
		{ 0x3f, "/usr/lib/go/src/runtime/proc.go", 249 },
		{ 0x40, "/srv/app/main.go", 7 },
		{ 0x60, "/usr/lib/go/src/runtime/proc.go", 3000 },
		{ 0x80, "/usr/lib/go/src/runtime/proc.go", 8 },
		{ 0x100, "/srv/app/main.go", 12 },
		{ 0x101, "/srv/app/main.go", 13 },
		{ 0x17f, "/srv/app/main.go", 14 },
	};
	struct line_frame f[LINES_INLINES_MAX];
	struct debug_opener none = { 0 };
	int version;
	size_t i;

	(void)state;
	for (version = GO_1_2; version <= GO_1_20; version++) {
		_free_ struct go_file *file = go_file(version, GO_SECTIONS);
		int fd = memfd_create("go", MFD_CLOEXEC);
		struct lines *l;

		assert_int_equal(fd_write_all(fd, file->bytes, file->n), 0);
		assert_int_equal(lines_open(&l, fd, SLICE("/srv/prog"), &none), 0);
		for (i = 0; i < ARRAY_SIZE(want); i++) {
			assert_int_equal(lines_at(l, GO_TEXT + want[i].at, f), 1);
			assert_null(f[0].name);
			assert_string_equal(f[0].file, want[i].file);
			assert_int_equal(f[0].line, want[i].line);
		}
		assert_int_equal(lines_at(l, GO_TEXT + 0x180, f), 0);
		assert_int_equal(lines_at(l, GO_TEXT - 1, f), 0);
		lines_free(l);
	}
}

static void ask_all(int fd)
{
	struct line_frame f[LINES_INLINES_MAX];
	struct debug_opener none = { 0 };
	struct lines *l;
	u64 at;

	if (lines_open(&l, fd, SLICE("/x"), &none))
		return;
	for (at = 0x1000; at < 0x6000; at += 61)
		assert_in_range(lines_at(l, at, f), 0, LINES_INLINES_MAX);
	lines_free(l);
}

/* Whatever the bytes are, there is an answer or none, and it comes soon. */
static void damaged(void **state)
{
	_release_(buf) struct buf in = BUF_INIT;
	char path[64];
	unsigned seed = 11;
	int i, k;

	(void)state;
	snprintf(path, sizeof(path), "%s/full", dir);
	assert_int_equal(file_read(path, &in, FILE_MAX), 0);
	for (i = 0; i < 60; i++) {
		int fd = memfd_create("damaged", MFD_CLOEXEC);
		char was[16];
		size_t at[16];

		/* Every other one ends early instead. */
		for (k = 0; k < 16; k++) {
			at[k] = (size_t)rand_r(&seed) % in.n;
			was[k] = in.p[at[k]];
			if (i % 2)
				in.p[at[k]] = (char)rand_r(&seed);
		}
		assert_int_equal(fd_write_all(fd, in.p, i % 2 ? in.n : in.n * (size_t)i / 60), 0);
		while (k--)
			in.p[at[k]] = was[k];
		ask_all(fd);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cpp),
		cmocka_unit_test(separate_file),
		cmocka_unit_test(go),
		cmocka_unit_test(damaged),
	};

	return cmocka_run_group_tests(tests, make_files, drop_files);
}
