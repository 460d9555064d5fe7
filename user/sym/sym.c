/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sym.h. The way of one question: mapping of the address → file offset → address inside the
 * file (by its segments) → run of the name table → range moved back to where the process has it.
 * Files are opened through the caller when the first address in them is asked for, not before: most
 * mappings are never sampled.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/types.h"
#include "hp/events.h"
#include "sym/cache.h"
#include "sym/demangle.h"
#include "sym/kallsyms.h"
#include "sym/lines.h"
#include "sym/maps.h"
#include "sym/perfmap.h"
#include "sym/sym.h"

#define PERF_MAPS_MAX 32 /* processes whose generated code is named */
#define LINES_FILES_MAX 16 /* whose lines are known at a time */
#define LINE_TEXT_MAX 511 /* bytes of a function's name, or a file's */

/* Where the lines of a loaded file are. */
struct file_lines {
	u32 file, gen; /* as in struct maps_entry; 0 = free */
	u64 used;
	struct lines *lines; /* NULL: it has none */
};

struct process_code {
	u32 tgid; /* 0 = free */
	u64 round; /* of sym_refresh(), in which it was read */
	struct perfmap map;
};

struct sym {
	const struct sym_ops *ops;
	void *arg;
	struct maps maps;
	struct cache cache;
	struct kallsyms kernel;
	int kernel_err; /* 1 = not read yet */
	struct process_code code[PERF_MAPS_MAX];
	u64 round;
	u64 perf_maps_cut;
	struct file_lines lines[LINES_FILES_MAX];
	u64 lines_clock;
	char texts[SYM_LINES_MAX][2][LINE_TEXT_MAX + 1];
	u64 files_failed;
	u64 mappings_refused;
	char name[SYM_NAME_MAX + 1];
	char module[SYM_MODULE_MAX + 1];
};

int sym_new(struct sym **ret, const struct sym_ops *ops, void *arg)
{
	struct sym *s = calloc(1, sizeof(*s));

	if (!s)
		return -ENOMEM;
	s->ops = ops;
	s->arg = arg;
	s->kernel_err = 1;
	s->round = 1;
	maps_init(&s->maps);
	*ret = s;
	return 0;
}

void sym_free(struct sym *s)
{
	u32 i;

	if (!s)
		return;
	for (i = 0; i < PERF_MAPS_MAX; i++)
		if (s->code[i].tgid)
			perfmap_release(&s->code[i].map);
	for (i = 0; i < LINES_FILES_MAX; i++)
		lines_free(s->lines[i].lines);
	maps_release(&s->maps);
	cache_release(&s->cache);
	kallsyms_release(&s->kernel);
	free(s);
}

int sym_add_mapping(struct sym *s, const struct ev_mapping *m, struct slice path)
{
	struct sym_mapping add = {
		.start = m->start,
		.end = m->end,
		.file_off = m->file_off,
		.inode = m->inode,
		.build_id_len = (u8)MIN((size_t)m->build_id_len, sizeof(m->build_id)),
		.path = path,
	};
	int r;

	memcpy(add.build_id, m->build_id, sizeof(add.build_id));
	r = maps_add(&s->maps, m->hdr.tgid, &add);
	s->mappings_refused += r == -ENOSPC;
	return r;
}

static void code_release(struct process_code *c)
{
	perfmap_release(&c->map);
	c->tgid = 0;
}

void sym_forget(struct sym *s, u32 tgid)
{
	u32 i;

	maps_forget(&s->maps, tgid);
	for (i = 0; i < PERF_MAPS_MAX; i++)
		if (tgid && s->code[i].tgid == tgid)
			code_release(&s->code[i]);
}

void sym_refresh(struct sym *s)
{
	s->round++;
}

static void set_module(struct sym *s, struct slice module, struct sym_name *ret)
{
	ret->module = slice_of(s->module, printable(module, s->module, sizeof(s->module)));
}

/* "[module]": the name when nothing better is known. A module that has brackets keeps its own. */
static void set_bracketed(struct sym *s, struct sym_name *ret)
{
	const char *fmt = s->module[0] == '[' ? "%s" : "[%s]";
	int n = snprintf(s->name, sizeof(s->name), fmt, s->module);

	ret->name = slice_of(s->name, (size_t)n);
}

static int resolve_kernel(struct sym *s, u64 addr, struct sym_name *ret)
{
	const struct ksym *k;

	if (s->kernel_err > 0) {
		_close_ int fd = s->ops->open_kallsyms(s->arg);

		s->kernel_err = fd < 0 ? fd : kallsyms_load(&s->kernel, fd);
	}
	k = s->kernel_err < 0 ? NULL : kallsyms_find(&s->kernel, addr);
	if (!k || !k->module)
		set_module(s, SLICE("[kernel]"), ret);
	else
		set_module(s, slice_str(s->kernel.text + k->module), ret);
	if (!k) {
		set_bracketed(s, ret);
		return s->kernel_err < 0 ? s->kernel_err : -ENOENT;
	}
	ret->name = slice_of(s->name, demangle(s->kernel.text + k->name, s->name, sizeof(s->name)));
	ret->start = s->kernel.base + k->start;
	ret->end = ret->start + k->len;
	ret->quality = SYM_SYMTAB;
	return 0;
}

/* Code in memory that no file backs. */
static bool is_anon(struct slice path)
{
	return !path.n || slice_starts(path, SLICE("//anon")) || slice_starts(path, SLICE("[anon"));
}

/* Files that exist only to share memory, which is how some runtimes map their generated code. */
static bool is_shared_memory(struct slice path)
{
	return slice_starts(path, SLICE("/memfd:")) || slice_starts(path, SLICE("/dev/zero")) ||
	       slice_starts(path, SLICE("/dev/shm/")) || slice_starts(path, SLICE("/SYSV"));
}

/* Whether a compiler made it at run time. */
static bool is_generated(const struct maps_entry *e)
{
	return is_anon(e->m.path) || (e->err == -ENOEXEC && is_shared_memory(e->m.path));
}

static struct slice base_name(struct slice path)
{
	struct slice deleted = SLICE(" (deleted)");
	size_t i;

	if (path.n > deleted.n && slice_ends(path, deleted))
		path.n -= deleted.n;
	for (i = path.n; i > 0 && path.p[i - 1] != '/'; i--)
		;
	return i < path.n ? slice_of(path.p + i, path.n - i) : path;
}

struct debug_arg {
	struct sym *s;
	u32 tgid;
};

static int open_debug(void *arg, const char *path)
{
	struct debug_arg *a = arg;

	return a->s->ops->open_debug(a->s->arg, a->tgid, path);
}

static const struct image *load_image(struct sym *s, u32 tgid, struct maps_entry *e)
{
	struct debug_arg arg = { s, tgid };
	struct debug_opener debug = { s->ops->open_debug ? open_debug : NULL, &arg };
	_close_ int fd = -1;
	u32 slot;
	int r;

	if (e->file) {
		const struct image *img = cache_get(&s->cache, e->file - 1, e->file_gen);

		if (img)
			return img;
	}
	if (e->err)
		return NULL;
	fd = s->ops->open_mapping(s->arg, tgid, &e->m);
	r = fd < 0 ? fd : cache_load(&s->cache, fd, e->m.path, &debug, &slot);
	if (r < 0) {
		e->err = r;
		s->files_failed++;
		return NULL;
	}
	e->file = slot + 1;
	e->file_gen = s->cache.files[slot].gen;
	return s->cache.files[slot].img;
}

/* Names addr by the file's table; the answer's range is moved from the file's addresses. */
static int resolve_image(struct sym *s, const struct image *img, const struct maps_entry *e,
			 u64 addr, struct sym_name *ret)
{
	const struct table_seg *seg;
	const struct elf_load *load;
	u64 vaddr, lo, hi, before = addr - e->m.start, after = e->m.end - addr;

	if (elf_off_to_vaddr(&img->elf, before + e->m.file_off, &vaddr, &load) < 0) {
		set_bracketed(s, ret);
		ret->quality = SYM_MODULE;
		return -ENOENT;
	}
	seg = table_find(&img->table, vaddr, &lo, &hi);
	lo = MAX(lo, load->vaddr);
	hi = MIN(hi, load->vaddr + load->filesz);
	ret->start = addr - MIN(vaddr - lo, before);
	ret->end = addr + MIN(hi - vaddr, after);
	if (!seg) {
		set_bracketed(s, ret);
		ret->quality = SYM_MODULE;
		return -ENOENT;
	}
	ret->quality = seg->kind;
	if (seg->kind == SYM_FDE) {
		int n = snprintf(s->name, sizeof(s->name), "%s@0x%llx", s->module,
				 (unsigned long long)(img->table.base + seg->name));

		ret->name = slice_of(s->name, (size_t)n);
	} else {
		ret->name = slice_of(
			s->name, demangle(img->table.names + seg->name, s->name, sizeof(s->name)));
	}
	return 0;
}

/* The process's own; of the one that was not asked about for longest, when all are taken. */
static struct process_code *code_slot(struct sym *s, u32 tgid)
{
	struct process_code *best = &s->code[0];
	u32 i;

	for (i = 0; i < PERF_MAPS_MAX; i++) {
		if (s->code[i].tgid == tgid)
			return &s->code[i];
		if (s->code[i].round < best->round)
			best = &s->code[i];
	}
	if (best->tgid)
		code_release(best);
	perfmap_init(&best->map);
	best->tgid = tgid;
	best->round = 0;
	return best;
}

static const struct perfmap *code_of(struct sym *s, u32 tgid)
{
	struct process_code *c;
	int fd;

	if (!s->ops->open_perf_map)
		return NULL;
	c = code_slot(s, tgid);
	if (c->round != s->round) {
		bool was_cut = c->map.cut;

		fd = s->ops->open_perf_map(s->arg, tgid);
		perfmap_update(&c->map, fd < 0 ? -1 : fd);
		s->perf_maps_cut += c->map.cut && !was_cut;
		c->round = s->round;
	}
	return &c->map;
}

/* By what the runtime wrote of it. False: nothing; *ret's range then is the hole inside the mapping. */
static bool resolve_code(struct sym *s, u32 tgid, const struct maps_entry *e, u64 addr,
			 struct sym_name *ret)
{
	const struct perfmap *map = code_of(s, tgid);
	const struct perfmap_entry *code;
	size_t n = 0;
	u64 lo, hi;

	if (!map)
		return false;
	code = perfmap_find(map, addr, &lo, &hi);
	if (code)
		n = perfmap_name(map, code, s->name, sizeof(s->name));
	ret->start = MAX(ret->start, MAX(lo, e->m.start));
	ret->end = MIN(ret->end, MIN(hi, e->m.end));
	if (!n)
		return false;
	ret->name = slice_of(s->name, n);
	set_module(s, SLICE("[jit]"), ret);
	ret->quality = SYM_RUNTIME;
	return true;
}

static int resolve_user(struct sym *s, u32 tgid, u64 addr, struct sym_name *ret)
{
	struct maps_entry *e = maps_find(&s->maps, tgid, addr);
	const struct image *img = NULL;
	int r;

	if (!e) {
		set_module(s, SLICE("[unknown]"), ret);
		set_bracketed(s, ret);
		return -ENOENT;
	}
	if (is_anon(e->m.path)) {
		set_module(s, SLICE("[anon]"), ret);
		e->err = -ENOENT;
	} else {
		set_module(s, base_name(e->m.path), ret);
		if (e->m.path.p[0] == '/' || slice_eq(e->m.path, SLICE("[vdso]")))
			img = load_image(s, tgid, e);
		else
			e->err = -ENOENT;
	}
	if (img) {
		r = resolve_image(s, img, e, addr, ret);
		/* Code that was put into the program without symbols, as V8's builtins are. */
		return r < 0 && resolve_code(s, tgid, e, addr, ret) ? 0 : r;
	}
	ret->start = e->m.start;
	ret->end = e->m.end;
	ret->quality = SYM_MODULE;
	if ((is_generated(e) || e->m.path.p[0] == '[') && resolve_code(s, tgid, e, addr, ret))
		return 0;
	if (is_generated(e))
		ret->name = slice_of(s->name, printable(SLICE("[jit]"), s->name, sizeof(s->name)));
	else
		set_bracketed(s, ret);
	return e->err;
}

/* Of the file that e is a mapping of, which is loaded. */
static struct lines *lines_of(struct sym *s, u32 tgid, const struct maps_entry *e)
{
	struct debug_arg arg = { s, tgid };
	struct debug_opener debug = { s->ops->open_debug ? open_debug : NULL, &arg };
	struct file_lines *at = &s->lines[0];
	u32 i;
	int fd;

	for (i = 0; i < LINES_FILES_MAX; i++) {
		if (s->lines[i].file == e->file && s->lines[i].gen == e->file_gen) {
			s->lines[i].used = ++s->lines_clock;
			return s->lines[i].lines;
		}
		if (s->lines[i].used < at->used)
			at = &s->lines[i];
	}
	lines_free(at->lines);
	*at = (struct file_lines){ e->file, e->file_gen, ++s->lines_clock, NULL };
	fd = s->ops->open_mapping(s->arg, tgid, &e->m);
	if (fd >= 0 && lines_open(&at->lines, fd, e->m.path, &debug) < 0)
		at->lines = NULL;
	return at->lines;
}

u32 sym_lines(struct sym *s, u32 tgid, u64 addr, struct sym_line ret[SYM_LINES_MAX])
{
	struct maps_entry *e = maps_find(&s->maps, tgid, addr);
	struct line_frame frames[LINES_INLINES_MAX];
	const struct image *img;
	struct lines *l;
	u32 i, n;
	u64 vaddr;

	if (!e || !e->m.path.n || e->m.path.p[0] != '/' || is_anon(e->m.path))
		return 0;
	img = load_image(s, tgid, e);
	if (!img || elf_off_to_vaddr(&img->elf, addr - e->m.start + e->m.file_off, &vaddr, NULL))
		return 0;
	l = lines_of(s, tgid, e);
	n = l ? lines_at(l, vaddr, frames) : 0;
	for (i = 0; i < n; i++) {
		char *name = s->texts[i][0], *file = s->texts[i][1];

		ret[i] = (struct sym_line){ .line = frames[i].line };
		if (frames[i].name)
			ret[i].name = slice_of(
				name, demangle(frames[i].name, name, sizeof(s->texts[i][0])));
		if (frames[i].file)
			ret[i].file = slice_of(file, printable(slice_str(frames[i].file), file,
							       sizeof(s->texts[i][1])));
	}
	return n;
}

int sym_resolve(struct sym *s, u32 tgid, u64 addr, struct sym_name *ret)
{
	*ret = (struct sym_name){ .start = addr, .end = addr + 1, .quality = SYM_NONE };
	return tgid ? resolve_user(s, tgid, addr, ret) : resolve_kernel(s, addr, ret);
}

void sym_get_stats(const struct sym *s, struct sym_stats *ret)
{
	u32 i;

	*ret = (struct sym_stats){
		.files_loaded = s->cache.loaded,
		.files_failed = s->files_failed,
		.files_evicted = s->cache.evicted,
		.files_cut = s->cache.cut,
		.mappings_refused = s->mappings_refused,
		.processes_evicted = s->maps.evicted,
		.perf_maps_cut = s->perf_maps_cut,
		.bytes = s->cache.bytes + kallsyms_bytes(&s->kernel),
		.files = s->cache.n,
	};
	for (i = 0; i < PERF_MAPS_MAX; i++)
		ret->bytes += s->code[i].map.n * sizeof(struct perfmap_entry);
}
