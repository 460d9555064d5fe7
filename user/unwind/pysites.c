/* SPDX-License-Identifier: Apache-2.0 */
/* See pysites.h. */
#include "unwind/pysites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"

#define PLACES_MAX 16 /* of a name, and of pointers to it */
#define POINTERS_MAX (256U << 10)
#define SLOTS_MAX 256 /* of a type's specification */
#define SCAN_MAX (64ULL << 20)

#define TYPE_NAME 24 /* offsets in PyTypeObject, PyType_Spec, PyMethodDef */
#define TYPE_INIT 296
#define SPEC_SLOTS 24
#define SLOT_INIT 60 /* Py_tp_init */
#define METHOD_FUNC 8
#define METHOD_DOC 24

/* A pointer that the dynamic linker fills in. */
struct pointer {
	u64 at;
	u64 to;
};

struct module {
	const struct elf *elf;
	struct pointer *pointers; /* ascending */
	size_t n;
};

struct places {
	u64 at[PLACES_MAX];
	u32 n;
};

static void places_add(struct places *p, u64 at)
{
	if (p->n < PLACES_MAX)
		p->at[p->n++] = at;
}

static bool read_at(const struct elf *e, u64 vaddr, void *buf, size_t n)
{
	u64 off, left;

	return !elf_vaddr_to_off(e, vaddr, &off, &left) && left >= n &&
	       !elf_read(&e->src, off, buf, n);
}

static int cmp_pointer(const void *pa, const void *pb)
{
	const struct pointer *a = pa, *b = pb;

	return (a->at > b->at) - (a->at < b->at);
}

static int read_pointers(struct module *m)
{
	const struct elf_sect *s = &m->elf->rela_dyn;
	u64 i, n = s->entsize == sizeof(Elf64_Rela) ? s->size / sizeof(Elf64_Rela) : 0;
	struct elf_win w;
	int err;

	n = MIN(n, (u64)POINTERS_MAX);
	if (!n)
		return 0;
	m->pointers = malloc(n * sizeof(*m->pointers));
	if (!m->pointers)
		return -ENOMEM;
	err = elf_win_init(&w, &m->elf->src);
	for (i = 0; i < n && !err; i++) {
		const u8 *p = elf_win_at(&w, s->off + i * sizeof(Elf64_Rela), sizeof(Elf64_Rela));
		Elf64_Rela r;

		if (!p)
			break;
		memcpy(&r, p, sizeof(r));
		if (!ELF64_R_SYM(r.r_info))
			m->pointers[m->n++] = (struct pointer){ r.r_offset, (u64)r.r_addend };
	}
	elf_win_release(&w);
	qsort(m->pointers, m->n, sizeof(*m->pointers), cmp_pointer);
	return err;
}

/* The pointer at this place: as relocated, or as the file has it. 0: none. */
static u64 pointer_at(const struct module *m, u64 at)
{
	size_t lo = 0, hi = m->n;
	u64 to;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (m->pointers[mid].at < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < m->n && m->pointers[lo].at == at)
		return m->pointers[lo].to;
	return read_at(m->elf, at, &to, sizeof(to)) ? to : 0;
}

/*
 * Where the file's data has these bytes, at any place or at multiples of 8. Instructions are left out:
 * all that is looked for is data.
 */
static int find_bytes(const struct elf *e, const void *bytes, size_t n, bool aligned,
		      struct places *ret)
{
	u32 i, step = aligned ? 8 : 1;
	struct elf_win w;
	int err;

	err = elf_win_init(&w, &e->src);
	for (i = 0; i < e->nloads && !err; i++) {
		const struct elf_load *l = &e->loads[i];
		u64 at = 0, end = MIN(l->filesz, SCAN_MAX);

		while (!l->exec && at + n <= end && ret->n < PLACES_MAX) {
			size_t k, have = (size_t)MIN(end - at, (u64)ELF_WINDOW);
			const u8 *p = elf_win_at(&w, l->off + at, have);

			if (!p)
				break;
			for (k = 0; k + n <= have; k += step) {
				const u8 *hit = aligned ? p + k
							: memchr(p + k, *(const u8 *)bytes,
								 have - n + 1 - k);

				if (!hit)
					break;
				k = (size_t)(hit - p);
				if (!memcmp(hit, bytes, n))
					places_add(ret, l->vaddr + at + k);
			}
			if (have < ELF_WINDOW)
				break;
			/* What the window's end cuts is looked at again. */
			at += aligned ? have : have - n + 1;
		}
	}
	elf_win_release(&w);
	return err;
}

/* Pointers to each place where the file's data has this text. */
static int find_pointers(const struct module *m, struct slice text, struct places *ret)
{
	struct places words = { .n = 0 };
	size_t k;
	int err;
	u32 i;

	err = find_bytes(m->elf, text.p, text.n, false, &words);
	for (i = 0; i < words.n && !err; i++) {
		for (k = 0; k < m->n; k++)
			if (m->pointers[k].to == words.at[i])
				places_add(ret, m->pointers[k].at);
		if (!ret->n)
			err = find_bytes(m->elf, &words.at[i], sizeof(u64), true, ret);
	}
	return err;
}

static u64 spec_init(const struct module *m, u64 spec)
{
	u64 slots = pointer_at(m, spec + SPEC_SLOTS);
	u32 i;

	for (i = 0; slots && i < SLOTS_MAX; i++) {
		s32 id = 0;

		if (!read_at(m->elf, slots + i * 16, &id, sizeof(id)) || !id)
			break;
		if (id == SLOT_INIT)
			return pointer_at(m, slots + i * 16 + 8);
	}
	return 0;
}

/*
 * The first instruction, or the one behind the mark of an indirect call's target (endbr64). Of those
 * that functions begin with, the kernel emulates pushes.
 */
static bool site_place(const struct elf *e, u64 func, u64 *ret_off, bool *ret_stepped)
{
	static const u8 mark[] = { 0xf3, 0x0f, 0x1e, 0xfa };
	u8 code[8];
	size_t k = 0;
	u64 left;

	if (!func || !elf_in_exec(e, func) || !read_at(e, func, code, sizeof(code)) ||
	    elf_vaddr_to_off(e, func, ret_off, &left))
		return false;
	if (!memcmp(code, mark, sizeof(mark)))
		k = sizeof(mark);
	*ret_off += k;
	k += (code[k] & 0xf0) == 0x40; /* REX */
	*ret_stepped = (code[k] & 0xf8) != 0x50;
	return true;
}

static void take(const struct module *m, enum py_site site, u64 func, struct py_sites *ret)
{
	if (!ret->off[site])
		site_place(m->elf, func, &ret->off[site], &ret->stepped[site]);
}

static int find_task(const struct module *m, struct py_sites *ret)
{
	static const char name[] = "_asyncio.Task"; /* its NUL belongs to it */
	struct places at = { .n = 0 };
	int err = find_pointers(m, slice_of(name, sizeof(name)), &at);
	u32 i;

	for (i = 0; i < at.n && !err; i++) {
		take(m, PY_SITE_TASK, spec_init(m, at.at[i]), ret);
		take(m, PY_SITE_TASK, pointer_at(m, at.at[i] - TYPE_NAME + TYPE_INIT), ret);
	}
	return err;
}

static int find_method(const struct module *m, struct slice doc, enum py_site site,
		       struct py_sites *ret)
{
	struct places at = { .n = 0 };
	int err = find_pointers(m, doc, &at);
	u32 i;

	for (i = 0; i < at.n && !err; i++)
		take(m, site, pointer_at(m, at.at[i] - METHOD_DOC + METHOD_FUNC), ret);
	return err;
}

static struct slice base_name(struct slice path)
{
	size_t i = path.n;

	while (i && path.p[i - 1] != '/')
		i--;
	return slice_of(path.p + i, path.n - i);
}

bool py_sites_maybe(struct slice path)
{
	struct slice name = base_name(path);

	/* Interpreters may have _asyncio linked in. */
	return slice_starts(name, SLICE("_asyncio.")) || slice_starts(name, SLICE("loop.")) ||
	       slice_starts(name, SLICE("python3")) || slice_starts(name, SLICE("libpython3"));
}

int py_sites_read(const struct elf_src *src, struct py_sites *ret)
{
	struct module m = { .n = 0 };
	struct elf e;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = elf_open(&e, src);
	if (err || e.machine != EM_X86_64)
		return err;
	m.elf = &e;
	err = read_pointers(&m);
	if (!err)
		err = find_task(&m, ret);
	if (!err)
		err = find_method(&m, SLICE("UVStream.write(self"), PY_SITE_WRITE, ret);
	if (!err)
		err = find_method(&m, SLICE("UVStream.writelines(self"), PY_SITE_WRITELINES, ret);
	free(m.pointers);
	return err == -ENOMEM ? err : 0;
}
