/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * See stillwalk.h. What a program would ask the kernel for is answered here: maps are plain arrays, and
 * every index is checked; user memory comes from a callback. One walk at a time.
 */
#include "vmlinux.h"

#include "lib/hp.bpf.h"

static void *lookup(const void *map, __u32 key);
static long read_user(void *dst, __u32 n, __u64 at);
static __u64 thread_ids(void);
static void *thread_task(void);
static void *thread_regs(void);

#define bpf_map_lookup_elem(m, k) lookup(m, *(k))
#define bpf_probe_read_user(dst, n, src) read_user(dst, n, (__u64)(src))
#define bpf_probe_read_kernel(dst, n, src) (__builtin_memcpy(dst, src, n), 0)
#define bpf_get_current_pid_tgid() thread_ids()
#define bpf_get_current_task() ((__u64)thread_task())
#define bpf_get_current_task_btf() ((struct task_struct *)thread_task())
#define bpf_task_pt_regs(task) ((void)(task), (long)thread_regs())
#define bpf_get_smp_processor_id() 0

#include "unwind/native.bpf.h"

#include "load/stillwalk.h"

#define DROPS 32

const volatile __u32 cfg_ncpus = 1;
const volatile bool cfg_task_btf = true, cfg_task_pt_regs = true;
const volatile __u32 cfg_pid_ns_inum; /* ids are those of our namespace already */
__u32 pid_ns_level;
__u32 target_filter[TARGET_FILTER_SLOTS];

static struct {
	const struct still_world *world;
	const struct uw_proc *proc;
	const struct still_waiting *thread;
	still_read_fn *read;
	void *arg;
	struct user_regs regs;
	struct task_struct task;
	struct uw_walk walk;
	struct py_thread threads[PY_THREADS_SLOTS]; /* found by walks before this one */
	__u64 drops[DROPS];
} now;

static void *lookup(const void *map, __u32 key)
{
	const struct still_world *w = now.world;

	if (map == &m_walks)
		return key ? NULL : &now.walk;
	if (map == &m_uw_rules)
		return key < w->nrules ? (void *)&w->rules[key] : NULL;
	if (map == &m_uw_leaves)
		return key < w->nrows / UW_LEAF_ROWS ? (void *)&w->rows[key * UW_LEAF_ROWS] : NULL;
	if (map == &m_uw_pages)
		return key < w->npages ? (void *)&w->pages[key] : NULL;
	if (map == &m_uw_maps)
		return key < w->nmaps ? (void *)&w->maps[key] : NULL;
	if (map == &m_uw_procs)
		return (void *)now.proc;
	if (map == &m_py_runtimes)
		return key < w->npythons ? (void *)&w->pythons[key] : NULL;
	if (map == &m_py_threads)
		return key < PY_THREADS_SLOTS ? &now.threads[key] : NULL;
	if (map == &m_drops)
		return key < DROPS ? &now.drops[key] : NULL;
	return NULL;
}

static long read_user(void *dst, __u32 n, __u64 at)
{
	if (!now.read(now.arg, at, dst, n))
		return 0;
	__builtin_memset(dst, 0, n); /* as the kernel does */
	return -1;
}

static __u64 thread_ids(void)
{
	return (__u64)now.thread->tgid << 32 | now.thread->tid;
}

static void *thread_task(void)
{
	return &now.task;
}

static void *thread_regs(void)
{
	return &now.regs;
}

void still_walk(const struct still_world *world, const struct uw_proc *proc,
		const struct still_waiting *thread, still_read_fn *read, void *arg,
		struct still_stack *ret)
{
	struct uw_walk *w = &now.walk;
	__u32 i;

	_Static_assert(sizeof(now.regs) == sizeof(thread->regs), "all registers");
	now.world = world;
	now.proc = proc;
	now.thread = thread;
	now.read = read;
	now.arg = arg;
	__builtin_memcpy(&now.regs, thread->regs, sizeof(now.regs));
	now.task.thread.fsbase = thread->fsbase;
	/* Where it says it is the thread of may have changed since the last walk. */
	__builtin_memset(now.threads, 0, sizeof(now.threads));
	walk_begin(w);
	for (i = 0; i < thread->nkernel && i < STILL_KERNEL_MAX; i++)
		walk_add(w, thread->kernel[i], 0, HP_FRAME_KERNEL);
	if (walk_process(w, thread->tgid) && regs_of_task(w))
		user_stack(walk_slot(WALK_ONCPU)); /* the only slot there is */
	ret->n = w->nframes < STACK_FRAMES ? w->nframes : STACK_FRAMES;
	__builtin_memcpy(ret->frames, w->frames, ret->n * sizeof(ret->frames[0]));
	ret->unwind = w->unwind;
	ret->stop = w->stop;
}
