/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See python.h. An interpreter exports its own functions to the extension modules, so .dynsym has the
 * names also when the file is stripped. The version is in Py_Version (3.11 on), else in the file's
 * name, else in the _Py_DebugOffsets.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "unwind/ehframe.h"
#include "unwind/python.h"

#define LOOP_MAX (8u << 20)
#define LOOP_SMALL                                                                                 \
	(16u << 10) /* less is not all of it: the smallest whole one met has 34,511 bytes */
#define JUMPS_MAX 512

struct found {
	const struct elf *elf;
	u64 runtime;
	u64 version; /* address of Py_Version */
	struct py_range loop;
	struct py_range cold;
};

static size_t read_at(const struct elf *e, u64 vaddr, void *buf, size_t n)
{
	u64 off, left;

	if (elf_vaddr_to_off(e, vaddr, &off, &left))
		return 0;
	n = (size_t)MIN(left, (u64)n);
	return elf_read(&e->src, off, buf, n) ? 0 : n;
}

static void take_symbol(void *arg, const char *name, const Elf64_Sym *s)
{
	static const char loop[] = "_PyEval_EvalFrameDefault";
	struct py_range at = { s->st_value, s->st_value + s->st_size };
	struct found *f = arg;

	if (!s->st_value || s->st_shndx == SHN_UNDEF || at.end < at.start)
		return;
	if (!strcmp(name, "_PyRuntime")) {
		f->runtime = s->st_value;
	} else if (!strcmp(name, "Py_Version")) {
		f->version = s->st_value;
	} else if (!strncmp(name, loop, sizeof(loop) - 1) && s->st_size && s->st_size <= LOOP_MAX) {
		const char *rest = name + sizeof(loop) - 1;

		/* Compilers and link-time optimisers add .cold, .cold.12, .lto_priv.0 and the like. */
		if (!*rest)
			f->loop = at;
		else if (strstr(rest, ".cold") && s->st_size > f->cold.end - f->cold.start)
			f->cold = at;
		else if (*rest == '.' && !f->loop.start)
			f->loop = at;
	}
}

/* Where the jumps go that leave the hot part, and the range of unwind information most of them go to. */
struct jumps {
	u64 to[JUMPS_MAX];
	u32 n;
	u32 best_hits;
	struct py_range best;
	struct py_range hot;
};

static int count_hits(void *arg, const struct ehframe_fde *fde)
{
	struct jumps *j = arg;
	u32 i, hits = 0;

	if (fde->start < j->hot.end && fde->end > j->hot.start)
		return 0;
	/* A jump to a function's first byte is a call that does not come back. */
	for (i = 0; i < j->n; i++)
		hits += j->to[i] > fde->start && j->to[i] < fde->end;
	if (hits > j->best_hits) {
		j->best_hits = hits;
		j->best = (struct py_range){ fde->start, fde->end };
	}
	return 0;
}

/*
 * A compiler that knows from a profile what seldom runs moves most of the loop away: of Debian's 3.14,
 * whose instructions are functions of their own, 1,184 bytes are left. Without .symtab nothing
 * names the other part. x86: jmp and jcc with 32-bit distances; bytes that only look like them go
 * anywhere, and not many to one place.
 */
static int find_cold(struct found *f)
{
	u8 code[LOOP_SMALL];
	size_t i, n = f->loop.end - f->loop.start;
	struct ehframe_counts counts = { 0 };
	u64 steps = EHFRAME_STEPS;
	struct jumps j = { .hot = f->loop };
	struct eh_frames where;
	int err;

	if (f->cold.start || n >= sizeof(code) || f->elf->machine != EM_X86_64 ||
	    read_at(f->elf, f->loop.start, code, n) != n || eh_frames_find(&where, f->elf))
		return 0;
	for (i = 0; i + 6 <= n && j.n < JUMPS_MAX; i++) {
		size_t at = code[i] == 0xe9				      ? i + 1
			    : code[i] == 0x0f && (code[i + 1] & 0xf0) == 0x80 ? i + 2
									      : 0;
		s32 distance;
		u64 to;

		if (!at)
			continue;
		memcpy(&distance, code + at, sizeof(distance));
		to = f->loop.start + at + 4 + (u64)(s64)distance;
		if ((to < f->loop.start || to >= f->loop.end) && elf_in_exec(f->elf, to))
			j.to[j.n++] = to;
	}
	err = ehframe_each(f->elf, &where, &steps, &counts, count_hits, &j);
	if (!err && j.best_hits >= 2)
		f->cold = j.best;
	return err == -ENOMEM ? err : 0;
}

/* "…/python3.11", "…/libpython3.9.so.1.0", "…/python3.13t" */
static u32 version_of_name(struct slice path)
{
	static const char word[] = "python3.";
	size_t i, k;

	for (i = path.n; i-- > 0 && path.p[i] != '/';) {
		u32 minor = 0;

		if (path.n - i < sizeof(word) || memcmp(path.p + i, word, sizeof(word) - 1))
			continue;
		for (k = i + sizeof(word) - 1; k < path.n && isdigit((u8)path.p[k]); k++)
			minor = MIN(minor * 10 + (u32)(path.p[k] - '0'), 255U);
		if (k > i + sizeof(word) - 1)
			return 0x03000000 | minor << 16;
	}
	return 0;
}

static u32 version_of(const struct found *f, struct slice path, const u8 *debug, size_t n)
{
	u64 v = 0;

	if (f->version && read_at(f->elf, f->version, &v, sizeof(v)) == sizeof(v) && v >> 24 == 3)
		return (u32)v;
	if (n >= 16 && !memcmp(debug, "xdebugpy", 8)) {
		memcpy(&v, debug + 8, sizeof(v));
		return (u32)v;
	}
	return version_of_name(path);
}

int py_file_read(const struct elf_src *src, struct slice path, struct py_file *ret)
{
	u8 debug[PY_DEBUG_OFFSETS_BYTES];
	struct found f = { 0 };
	struct elf e;
	size_t n;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = elf_open(&e, src);
	if (err)
		return err;
	f.elf = &e;
	err = elf_symbols_each(&e, true, take_symbol, &f);
	/* Programs that use libpython name it, too, as undefined. */
	if (!err && f.runtime)
		err = elf_symbols_each(&e, false, take_symbol, &f);
	if (err)
		return err;
	if (!f.runtime || !f.loop.start)
		return -ENOENT;
	err = find_cold(&f);
	if (err)
		return err;
	n = read_at(&e, f.runtime, debug, sizeof(debug));
	ret->hex = version_of(&f, path, debug, n);
	ret->runtime = f.runtime;
	ret->loop[0] = f.loop;
	ret->loop[1] = f.cold;
	if (py_layout_get(ret->hex, debug, n, &ret->layout))
		return -ENOTSUP;
	return 0;
}

void py_file_place(const struct py_file *f, u64 bias, struct py_runtime *ret)
{
	size_t i;

	memset(ret, 0, sizeof(*ret));
	ret->runtime = f->runtime + bias;
	for (i = 0; i < PY_LOOPS; i++) {
		if (!f->loop[i].start)
			continue;
		ret->loop[i].start = f->loop[i].start + bias;
		ret->loop[i].end = f->loop[i].end + bias;
	}
	ret->off = f->layout.off;
}
