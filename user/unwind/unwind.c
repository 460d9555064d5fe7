/* SPDX-License-Identifier: Apache-2.0 */
/* See unwind.h. */
#include "unwind/unwind.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/array.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "hp/events.h"
#include "unwind/jvm.h"
#include "unwind/pysites.h"
#include "unwind/python.h"
#include "unwind/tablecache.h"
#include "unwind/v8.h"

#define LOADS_MAX 8 /* executable segments of a file that are looked at */
#define TRIES_MAX 3 /* tables that the collector has dropped are made again so often */

enum state {
	FILE_NEW,
	FILE_READY, /* its table is in the kernel */
	FILE_NONE, /* there is none: by frame pointers */
};

struct segment { /* executable */
	u64 off;
	u64 vaddr;
	u64 size;
};

struct file {
	u64 key;
	enum state state;
	u32 table;
	u32 flags; /* of its mappings */
	u32 tries;
	u64 table_vaddr; /* of the table's first page */
	struct segment seg[LOADS_MAX];
	u32 nsegs;
	struct py_file *python; /* the interpreter in it, NULL = none */
	struct py_sites *sites; /* NULL = none */
	struct v8_layout *v8; /* likewise */
	struct jvm_file *jvm; /* the Java virtual machine */
};

struct waiting {
	struct unwind_request m;
	u64 file_off;
	u32 file;
	u32 need; /* samples that ran into it */
	char *path;
};

struct unwind {
	const struct unwind_ops *ops;
	void *arg;
	struct map by_key; /* → index in files */
	struct file *files;
	u32 nfiles, files_cap;
	struct waiting *v;
	u32 n, cap;
	struct unwind_cache cache;
	bool has_cache;
	struct unwind_stats stats;
};

int unwind_new(struct unwind **ret, const struct unwind_ops *ops, void *arg, const char *cache_dir)
{
	struct unwind *u = calloc(1, sizeof(*u));

	if (!u)
		return -ENOMEM;
	u->has_cache = cache_dir && !unwind_cache_open(&u->cache, cache_dir, UNWIND_CACHE_BYTES);
	u->ops = ops;
	u->arg = arg;
	map_init(&u->by_key, UNWIND_FILES_MAX);
	*ret = u;
	return 0;
}

static void forget_runtimes(struct file *f)
{
	free(f->python);
	free(f->sites);
	free(f->v8);
	free(f->jvm);
	f->python = NULL;
	f->sites = NULL;
	f->v8 = NULL;
	f->jvm = NULL;
	f->flags = 0;
}

void unwind_free(struct unwind *u)
{
	u32 i;

	if (!u)
		return;
	for (i = 0; i < u->n; i++)
		free(u->v[i].path);
	free(u->v);
	for (i = 0; i < u->nfiles; i++)
		forget_runtimes(&u->files[i]);
	free(u->files);
	if (u->has_cache)
		unwind_cache_release(&u->cache);
	map_release(&u->by_key);
	free(u);
}

static u64 file_key(const struct ev_mapping *m, struct slice path)
{
	if (m->build_id_len)
		return hash_bytes(m->build_id, MIN(m->build_id_len, sizeof(m->build_id)), 1);
	return hash_bytes(path.p, path.n, m->inode + 2ULL);
}

/* Its index; -ENOSPC, -ENOMEM. */
static int file_get(struct unwind *u, u64 key)
{
	const u64 *at = map_find(&u->by_key, key);

	if (at)
		return (int)*at;
	if (!array_room(&u->files, u->nfiles, &u->files_cap, UNWIND_FILES_MAX, sizeof(*u->files)) ||
	    map_put(&u->by_key, key, u->nfiles))
		return -ENOSPC;
	u->files[u->nfiles] = (struct file){ .key = key };
	return (int)u->nfiles++;
}

static void remove_at(struct unwind *u, u32 at)
{
	free(u->v[at].path);
	memmove(&u->v[at], &u->v[at + 1], (u->n - at - 1) * sizeof(*u->v));
	u->n--;
}

/* What the file's address 0 is in the process, for an offset of the file that is mapped at `start`. */
static bool base_of(const struct file *f, u64 start, u64 off, u64 *ret)
{
	u32 i;

	for (i = 0; i < f->nsegs; i++) {
		const struct segment *s = &f->seg[i];

		/* Mappings begin and end at pages, segments where they like. */
		if (off + UW_PAGE_BYTES <= s->off || off >= s->off + s->size)
			continue;
		*ret = start - off + s->off - s->vaddr;
		return true;
	}
	return false;
}

/* Says how the mapping is walked. -ENOENT: the mapping has gone, -ESTALE: the table. */
static int bind(struct unwind *u, const struct file *f, const struct unwind_request *m, u64 off)
{
	struct unwind_request req = *m;
	u64 base = 0;
	int err;

	if (f->state == FILE_READY && base_of(f, m->start, off, &base)) {
		req.table = f->table;
		req.bias = base + f->table_vaddr;
		req.flags = f->flags;
	}
	/* First: once it is bound, the samples may begin. */
	if (req.table && f->jvm && u->ops->java)
		u->ops->java(u->arg, m->tgid, f->jvm, base);
	err = u->ops->bind(u->arg, &req);
	if (err > 0 && req.table && f->python) {
		struct py_runtime rt;

		py_file_place(f->python, base, &rt);
		u->ops->python(u->arg, m->tgid, &rt, &f->python->layout);
	}
	if (err > 0 && f->sites && u->ops->sites)
		u->ops->sites(u->arg, m, f->sites);
	if (err > 0 && req.table && f->v8 && u->ops->v8)
		u->ops->v8(u->arg, m->tgid, f->v8);
	return err;
}

void unwind_mapping(struct unwind *u, const struct ev_mapping *m, struct slice path)
{
	struct waiting w = {
		.m = { .tgid = m->hdr.tgid, .start = m->start, .end = m->end, .inode = m->inode },
		.file_off = m->file_off,
	};
	int file;

	/* The rest is no file's: the collector knows that by itself. */
	if (!path.n || (*path.p != '/' && !slice_eq(path, SLICE("[vdso]"))) ||
	    slice_starts(path, SLICE("//anon")))
		return;
	file = file_get(u, file_key(m, path));
	if (file < 0) {
		u->stats.refused++;
		u->ops->bind(u->arg, &w.m);
		return;
	}
	if (u->files[file].state != FILE_NEW) {
		if (bind(u, &u->files[file], &w.m, w.file_off) != -ESTALE ||
		    u->files[file].tries >= TRIES_MAX)
			return;
		u->files[file].tries++;
		u->files[file].state = FILE_NEW;
	}
	w.file = (u32)file;
	w.path = strndup(path.p, path.n);
	if (!w.path || !array_room(&u->v, u->n, &u->cap, UNWIND_WAITING_MAX, sizeof(*u->v))) {
		free(w.path);
		u->stats.refused++;
		return;
	}
	w.m.path = slice_str(w.path);
	u->v[u->n++] = w;
}

void unwind_sample(struct unwind *u, const struct ev_sample *s)
{
	const struct ev_frame *f = (const void *)(s + 1);
	u32 i, j;

	if (!u->n || s->unwind != HP_UNWIND_TABLES || s->stop != UW_STOP_PENDING)
		return;
	for (i = 0; i < u->n; i++) {
		struct waiting *w = &u->v[i];

		if (w->m.tgid != s->hdr.tgid)
			continue;
		for (j = 0; j < s->nframes; j++)
			if (f[j].kind == HP_FRAME_NATIVE && f[j].addr >= w->m.start &&
			    f[j].addr < w->m.end) {
				w->need++;
				break;
			}
	}
}

void unwind_forget(struct unwind *u, u32 tgid)
{
	u32 i;

	for (i = 0; i < u->n;)
		if (u->v[i].m.tgid == tgid)
			remove_at(u, i);
		else
			i++;
}

bool unwind_busy(const struct unwind *u)
{
	return u->n != 0;
}

static void keep_segments(struct file *f, const struct elf *e)
{
	u32 i;

	f->nsegs = 0;
	for (i = 0; i < e->nloads && f->nsegs < LOADS_MAX; i++)
		if (e->loads[i].exec)
			f->seg[f->nsegs++] = (struct segment){ .off = e->loads[i].off,
							       .vaddr = e->loads[i].vaddr,
							       .size = e->loads[i].filesz };
}

/* Makes the table and sends it. 0 or -errno; -ENOTSUP and the like: there is none. */
static int send_table(struct unwind *u, struct file *f, int fd)
{
	_release_(unwind_image) struct unwind_image img = { 0 };
	struct unwind_counts counts;
	struct elf_src src;
	struct elf e;
	_close_ int mem = -1;
	int err = elf_src_fd(&src, fd);

	if (!err)
		err = elf_open(&e, &src);
	if (!err)
		err = unwind_cache_get(u->has_cache ? &u->cache : NULL, &e, &img, &counts);
	if (err)
		return err;
	keep_segments(f, &e);
	f->table_vaddr = unwind_image_head(&img)->vaddr;
	mem = unwind_image_memfd(&img);
	if (mem < 0)
		return mem;
	err = u->ops->send(u->arg, mem);
	if (err <= 0)
		return err ? err : -EPROTO;
	f->table = (u32)err;
	u->stats.tables++;
	return 0;
}

/* An interpreter of a version that is not known is walked as any other program. */
static void find_python(struct file *f, int fd, struct slice path)
{
	struct py_sites sites;
	struct py_file found;
	struct elf_src src;

	if (elf_src_fd(&src, fd))
		return;
	if (py_sites_maybe(path) && !py_sites_read(&src, &sites) && py_sites_any(&sites)) {
		f->sites = malloc(sizeof(*f->sites));
		if (f->sites)
			*f->sites = sites;
	}
	if (py_file_read(&src, path, &found))
		return;
	f->python = malloc(sizeof(*f->python));
	if (!f->python)
		return;
	*f->python = found;
	f->flags = UW_MAP_PYTHON;
}

static void find_v8(struct file *f, int fd)
{
	struct v8_layout layout;
	struct elf_src src;
	struct elf e;

	if (elf_src_fd(&src, fd) || elf_open(&e, &src) || v8_file_read(&e, &layout))
		return;
	f->v8 = malloc(sizeof(*f->v8));
	if (f->v8)
		*f->v8 = layout;
}

/* Its file is always called so: programs that start Java load it by that name. */
static void find_jvm(struct file *f, int fd, struct slice path)
{
	struct jvm_file found;
	struct elf_src src;

	if (!slice_ends(path, SLICE("/libjvm.so")) || elf_src_fd(&src, fd) ||
	    jvm_file_read(&src, &found))
		return;
	f->jvm = malloc(sizeof(*f->jvm));
	if (f->jvm)
		*f->jvm = found;
}

/*
 * False: this process cannot show the file, because it has ended or mapped another. That says nothing
 * about the file, which others have mapped, too.
 */
static bool load_file(struct unwind *u, struct file *f, const struct unwind_request *m)
{
	u64 begun = clock_mono_ns(), took;
	_close_ int fd = u->ops->open(u->arg, m);
	int err;

	if (fd == -ENOENT || fd == -ESRCH)
		return false;
	err = fd < 0 ? fd : send_table(u, f, fd);
	forget_runtimes(f);
	if (!err) {
		find_python(f, fd, m->path);
		find_v8(f, fd);
		find_jvm(f, fd, m->path);
	}
	took = clock_mono_ns() - begun;
	f->state = err ? FILE_NONE : FILE_READY;
	u->stats.files++;
	u->stats.build_ns += took;
	u->stats.slowest_ns = MAX(u->stats.slowest_ns, took);
	if (err == -ENOSPC)
		u->stats.refused++;
	else if (err)
		u->stats.no_tables++;
	return true;
}

/* The one that most samples ran into; else the first that came. */
static u32 next_waiting(const struct unwind *u)
{
	u32 i, best = 0;

	for (i = 1; i < u->n; i++)
		if (u->v[i].need > u->v[best].need)
			best = i;
	return best;
}

void unwind_work(struct unwind *u)
{
	struct file *f;
	u32 at, i, file;

	if (!u->n)
		return;
	at = next_waiting(u);
	file = u->v[at].file;
	f = &u->files[file];
	if (f->state == FILE_NEW && !load_file(u, f, &u->v[at].m)) {
		bind(u, f, &u->v[at].m, u->v[at].file_off);
		remove_at(u, at);
		return;
	}
	for (i = 0; i < u->n;) {
		if (u->v[i].file != file) {
			i++;
			continue;
		}
		bind(u, f, &u->v[i].m, u->v[i].file_off);
		remove_at(u, i);
	}
}

void unwind_get_stats(const struct unwind *u, struct unwind_stats *ret)
{
	*ret = u->stats;
}
