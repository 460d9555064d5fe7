/* SPDX-License-Identifier: Apache-2.0 */
/* See unwinder.h. The arrays are mapped, so that a table goes in by plain stores. */
#include "load/unwinder.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/file.h"
#include "load/stillwalk.h"
#include "load/unwindprocs.h"

/*
 * 2 million rows are 100 MB of program text that keeps no frame pointers, 128 Ki pages 512 MiB of text.
 * Together 11 MB; where memory for maps is limited a tenth of it, which Python with its libraries fits.
 */
#define LEAVES 4096
#define PAGES (128U << 10)
#define MAPS (32U << 10)
#define SHORT_BY 8

struct span {
	void *p;
	size_t n;
};

struct unwinder {
	struct unwind_tables tables;
	struct unwind_procs procs;
	struct span spans[4];
	int procs_fd;
	int pythons_fd;
	struct py_runtime pythons[PY_RUNTIMES_MAX]; /* by number; 0 is none */
	u32 npythons;
	u64 pythons_refused;
};

void unwinder_sizes(struct unwinder_sizes *ret, bool memory_is_short)
{
	u32 by = memory_is_short ? SHORT_BY : 1;

	*ret = (struct unwinder_sizes){ .leaves = LEAVES / by,
					.pages = PAGES / by,
					.maps = MAPS / by };
}

static int put_proc(void *arg, u32 tgid, const struct uw_proc *proc)
{
	const struct unwinder *u = arg;

	/* What was written to the arrays is there before it is named. */
	__atomic_thread_fence(__ATOMIC_RELEASE);
	if (!proc)
		return bpf_map_delete_elem(u->procs_fd, &tgid);
	return bpf_map_update_elem(u->procs_fd, &tgid, proc, BPF_ANY);
}

/* Entries lie 8 bytes aligned, one behind the other. */
static void *map_array(struct span *ret, int fd, u32 n, size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	ret->n = ((size_t)n * ((size + 7) & ~(size_t)7) + page - 1) & ~(page - 1);
	ret->p = mmap(NULL, ret->n, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (ret->p == MAP_FAILED)
		ret->p = NULL;
	return ret->p;
}

int unwinder_new(struct unwinder **ret, const struct unwinder_fds *fds,
		 const struct unwinder_sizes *sizes)
{
	struct unwinder *u = calloc(1, sizeof(*u));
	struct unwind_arrays a = { .nrules = UW_RULES_MAX,
				   .nrows = sizes->leaves * UW_LEAF_ROWS,
				   .npages = sizes->pages,
				   .nmaps = sizes->maps };
	int err = -ENOMEM;

	if (!u)
		return -ENOMEM;
	u->procs_fd = fds->procs;
	u->pythons_fd = fds->pythons;
	u->npythons = 1;
	a.rules = map_array(&u->spans[0], fds->rules, UW_RULES_MAX, sizeof(struct uw_rule));
	a.rows = map_array(&u->spans[1], fds->leaves, sizes->leaves, sizeof(struct uw_leaf));
	a.pages = map_array(&u->spans[2], fds->pages, sizes->pages, sizeof(struct uw_page));
	a.maps = map_array(&u->spans[3], fds->maps, sizes->maps, sizeof(struct uw_map));
	if (a.rules && a.rows && a.pages && a.maps)
		err = unwind_tables_init(&u->tables, &a);
	if (!err)
		err = unwind_procs_init(&u->procs, &u->tables, put_proc, u);
	if (err) {
		unwinder_free(u);
		return err;
	}
	*ret = u;
	return 0;
}

void unwinder_free(struct unwinder *u)
{
	u32 i;

	if (!u)
		return;
	unwind_procs_release(&u->procs);
	unwind_tables_release(&u->tables);
	for (i = 0; i < ARRAY_SIZE(u->spans); i++)
		if (u->spans[i].p)
			munmap(u->spans[i].p, u->spans[i].n);
	free(u);
}

/* Code of a file has tables, or none, as the analyst finds; code of no file comes from a compiler at run time. */
static bool has_file(struct slice path)
{
	return path.n && (*path.p == '/' || slice_eq(path, SLICE("[vdso]"))) &&
	       !slice_starts(path, SLICE("//anon"));
}

void unwinder_mapping(struct unwinder *u, const struct ev_mapping *m, struct slice path)
{
	const struct unwind_mapping x = {
		.start = m->start,
		.end = m->end,
		.off = m->file_off,
		.inode = m->inode,
		.kind = has_file(path) ? UW_MAP_PENDING : UW_MAP_FP,
	};

	unwind_procs_map(&u->procs, m->hdr.tgid, &x, clock_mono_ns());
}

bool unwinder_knows(const struct unwinder *u, u32 tgid)
{
	return unwind_procs_known(&u->procs, tgid);
}

void unwinder_process(struct unwinder *u, const struct ev_proc *ev)
{
	u64 now = clock_mono_ns();

	if (ev->what == HP_PROC_FORK)
		unwind_procs_fork(&u->procs, ev->parent_tgid, ev->hdr.tgid, now);
	else
		unwind_procs_forget(&u->procs, ev->hdr.tgid, now);
}

int unwinder_table(struct unwinder *u, int fd)
{
	return unwind_tables_add(&u->tables, fd, clock_mono_ns());
}

int unwinder_bind(struct unwinder *u, const struct chan_request *req)
{
	const struct unwind_mapping m = {
		.start = req->start,
		.end = req->end,
		.inode = req->inode,
		.bias = req->bias,
		.table = req->table,
		.kind = req->table ? UW_MAP_TABLE : UW_MAP_FP,
		.flags = (u8)(req->flags > UINT8_MAX ? UINT8_MAX : req->flags),
		.word = req->word,
	};
	int err = unwind_procs_bind(&u->procs, req->tgid, &m, clock_mono_ns());

	return err ? err : 1;
}

/* Offsets beyond what is read of an object would only be masked in the programs, but say nothing. */
static bool python_ok(const struct py_runtime *rt)
{
	const struct py_offsets *o = &rt->off;

	return o->ts_bytes <= PY_THREAD_BYTES && o->f_bytes <= PY_FRAME_BYTES &&
	       o->code_bytes <= PY_CODE_BYTES && rt->loop[0].start < rt->loop[0].end &&
	       rt->loop[1].start <= rt->loop[1].end;
}

int unwinder_code(struct unwinder *u, const struct chan_request *req)
{
	if (!unwinder_knows(u, req->tgid))
		return -ESRCH;
	unwind_procs_code(&u->procs, req->tgid, req->word, req->through);
	return 1;
}

/* Workers of one server share a number: their interpreters are in the same place. */
int unwinder_python(struct unwinder *u, const struct chan_request *req)
{
	const struct py_runtime *rt = &req->python;
	u32 n;

	if (!unwinder_knows(u, req->tgid))
		return -ESRCH;
	if (!python_ok(rt))
		return -EINVAL;
	for (n = 1; n < u->npythons; n++)
		if (!memcmp(&u->pythons[n], rt, sizeof(*rt)))
			break;
	if (n == u->npythons) {
		if (n == PY_RUNTIMES_MAX) {
			u->pythons_refused++;
			return -ENOSPC;
		}
		if (bpf_map_update_elem(u->pythons_fd, &n, rt, BPF_ANY))
			return -errno;
		u->pythons[u->npythons++] = *rt;
	}
	unwind_procs_python(&u->procs, req->tgid, n);
	return 1;
}

u32 unwinder_pending(const struct unwinder *u)
{
	return unwind_procs_pending(&u->procs);
}

void unwinder_publish(struct unwinder *u, bool now)
{
	unwind_procs_publish(&u->procs, clock_mono_ns(), now);
}

u64 unwinder_refused(const struct unwinder *u)
{
	return u->tables.refused + u->procs.refused + u->pythons_refused;
}

void unwinder_world(const struct unwinder *u, struct still_world *ret)
{
	const struct unwind_arrays *a = &u->tables.arrays;

	*ret = (struct still_world){
		.rules = a->rules,
		.rows = a->rows,
		.pages = a->pages,
		.maps = a->maps,
		.nrules = a->nrules,
		.nrows = a->nrows,
		.npages = a->npages,
		.nmaps = a->nmaps,
		.pythons = u->pythons,
		.npythons = u->npythons,
	};
}

int unwinder_proc(const struct unwinder *u, u32 tgid, struct uw_proc *ret)
{
	return bpf_map_lookup_elem(u->procs_fd, &tgid, ret) ? -errno : 0;
}
