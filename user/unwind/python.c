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
#include "unwind/python.h"

#define SYMBOLS_MAX (1u << 20)
#define NAMES_MAX (64u << 20)
#define LOOP_MAX (8u << 20)

struct found {
	const struct elf *elf;
	u64 runtime;
	u64 version; /* address of Py_Version */
	struct py_range loop;
	struct py_range cold;
};

static void take_symbol(struct found *f, const char *name, const Elf64_Sym *s)
{
	static const char loop[] = "_PyEval_EvalFrameDefault";
	struct py_range at = { s->st_value, s->st_value + s->st_size };

	if (!s->st_value || s->st_shndx == SHN_UNDEF)
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

static int read_symbols(struct found *f, const struct elf_sect *syms, const struct elf_sect *strs)
{
	u64 i, n = MIN(syms->size / sizeof(Elf64_Sym), (u64)SYMBOLS_MAX);
	_free_ u8 *names = NULL;
	struct elf_win w;
	int err;

	err = elf_read_sect(f->elf, strs, NAMES_MAX, &names);
	if (err)
		return err == -ENOMEM ? err : 0;
	err = elf_win_init(&w, &f->elf->src);
	for (i = 0; i < n && !err; i++) {
		const u8 *p = elf_win_at(&w, syms->off + i * sizeof(Elf64_Sym), sizeof(Elf64_Sym));
		Elf64_Sym s;

		if (!p)
			break;
		memcpy(&s, p, sizeof(s));
		if (s.st_name < strs->size)
			take_symbol(f, (const char *)names + s.st_name, &s);
	}
	elf_win_release(&w);
	return err;
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

static size_t read_at(const struct elf *e, u64 vaddr, void *buf, size_t n)
{
	u64 off, left;

	if (elf_vaddr_to_off(e, vaddr, &off, &left))
		return 0;
	n = (size_t)MIN(left, (u64)n);
	return elf_read(&e->src, off, buf, n) ? 0 : n;
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
	if (e.dynsym.size)
		err = read_symbols(&f, &e.dynsym, &e.dynstr);
	/* Programs that use libpython name it, too, as undefined. */
	if (!err && f.runtime && e.symtab.size)
		err = read_symbols(&f, &e.symtab, &e.strtab);
	if (err)
		return err;
	if (!f.runtime || !f.loop.start)
		return -ENOENT;
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
