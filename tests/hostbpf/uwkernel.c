/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* See uwkernel.h. Maps of rows and pages are plain arrays here, and every index is checked. */
#include "vmlinux.h"

#include "lib/hp.bpf.h"

static void *uwk_lookup(const void *map, __u32 key);
static long uwk_read(void *dst, __u32 n, __u64 at);

#undef bpf_map_lookup_elem
#define bpf_map_lookup_elem(m, k) uwk_lookup(m, *(k))
#undef bpf_probe_read_user
#define bpf_probe_read_user(dst, n, src) uwk_read(dst, n, (__u64)(src))

#include "unwind/native.bpf.h"

#include "uwkernel.h"

void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);
void abort(void) __attribute__((noreturn));

const volatile __u32 cfg_ncpus = 1;
const volatile bool cfg_task_btf = true, cfg_task_pt_regs = true, cfg_self_timed, cfg_in_one_piece;
const volatile bool cfg_follow_children;
const volatile __u32 cfg_pid_ns_inum;
__u32 pid_ns_level;
__u32 target_filter[TARGET_FILTER_SLOTS];

static struct {
	const struct uwk_arrays *arrays;
	const struct uw_proc *proc;
	uwk_read_fn *read;
	void *arg;
	struct user_regs regs;
	struct task_struct task;
	struct uw_walk walk;
} u;

static struct py_thread threads[PY_THREADS_SLOTS];
static __u64 drops[32];

static void *uwk_lookup(const void *map, __u32 key)
{
	const struct uwk_arrays *a = u.arrays;

	if (map == &m_walks)
		return key ? NULL : &u.walk;
	if (map == &m_uw_rules)
		return key < a->nrules ? &a->rules[key] : NULL;
	if (map == &m_uw_leaves)
		return key < a->nrows / UW_LEAF_ROWS ? &a->rows[key * UW_LEAF_ROWS] : NULL;
	if (map == &m_uw_pages)
		return key < a->npages ? &a->pages[key] : NULL;
	if (map == &m_uw_maps)
		return key < a->nmaps ? &a->maps[key] : NULL;
	if (map == &m_uw_procs)
		return (void *)u.proc;
	if (map == &m_py_runtimes)
		return key == 1 ? (void *)&a->python : NULL;
	if (map == &m_py_threads)
		return key < PY_THREADS_SLOTS ? &threads[key] : NULL;
	if (map == &m_drops)
		return key < 32 ? &drops[key] : NULL;
	abort();
}

static long uwk_read(void *dst, __u32 n, __u64 at)
{
	if (!u.read(u.arg, at, dst, n))
		return 0;
	memset(dst, 0, n); /* as the kernel does */
	return -14;
}

long mach_read_kernel(void *dst, __u32 n, const void *src)
{
	memcpy(dst, src, n);
	return 0;
}

void *mach_task_now(void)
{
	return &u.task;
}

void *mach_regs_now(void)
{
	return &u.regs;
}

__u64 mach_pid_tgid(void)
{
	return 1ULL << 32 | 1;
}

__u32 mach_cpu(void)
{
	return 0;
}

void uwk_walk(const struct uwk_arrays *arrays, const struct uw_proc *proc,
	      const unsigned long regs[UWK_REGS], uwk_read_fn *read, void *arg,
	      struct uwk_stack *ret)
{
	memset(&u, 0xa5, sizeof(u)); /* nothing is left of an earlier walk */
	memset(threads, 0, sizeof(threads));
	u.arrays = arrays;
	u.proc = proc;
	u.read = read;
	u.arg = arg;
	u.task.mm = (void *)1;
	memcpy(&u.regs, regs, sizeof(u.regs));
	u.task.thread.fsbase = regs[UWK_REGS - 1];
	memset(ret, 0, sizeof(*ret));
	walk_begin(&u.walk);
	if (!walk_process(&u.walk, 1) || !regs_of_task(&u.walk))
		return;
	user_stack(walk_slot(WALK_ONCPU));
	if (u.walk.nframes > UW_ENTRIES_MAX)
		abort();
	memcpy(ret->frames, u.walk.frames, u.walk.nframes * sizeof(ret->frames[0]));
	ret->n = u.walk.nframes;
	ret->stop = u.walk.stop;
}
