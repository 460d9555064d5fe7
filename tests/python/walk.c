/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The programs' own walk of Python frames as an ordinary function over a process's memory: see walk.h.
 * The only file here that sees vmlinux.h; no C library header goes with it.
 */
#include "vmlinux.h"

struct sys_args;
struct iov_iter___bits;
struct iov_iter___kind;
struct iov_iter___iov;
struct iov_iter___iov2;
struct iov_iter___ubuf;

#include "unwind/python.bpf.h"
#include "walk.h"

void *memset(void *dst, int c, size_t n);
void *memcpy(void *dst, const void *src, size_t n);

const volatile __u32 cfg_ncpus = 1;
const volatile __u32 cfg_pid_ns_inum;
__u32 pid_ns_level;
__u32 target_filter[TARGET_FILTER_SLOTS];

static struct {
	struct task_struct task;
	struct uw_walk walk;
	struct py_runtime runtimes[2];
	struct py_thread threads[PY_THREADS_SLOTS];
	__u64 drops[32];
	__u32 tgid;
} k;

void *mach_map_lookup(void *map, __u32 type, __u32 max, __u32 key_size, __u32 val_size,
		      const void *key)
{
	__u32 n = *(const __u32 *)key;

	if (n >= max)
		return NULL;
	if (map == &m_walks)
		return &k.walk;
	if (map == &m_py_runtimes)
		return n < 2 ? &k.runtimes[n] : NULL;
	if (map == &m_py_threads)
		return &k.threads[n];
	if (map == &m_drops)
		return n < 32 ? &k.drops[n] : NULL;
	return NULL;
}

long mach_read_kernel(void *dst, __u32 n, const void *src)
{
	memcpy(dst, src, n);
	return 0;
}

long mach_read_user(void *dst, __u32 n, const void *src)
{
	return pywalk_read_user(k.tgid, dst, n, (__u64)src);
}

void *mach_task_now(void)
{
	return &k.task;
}

__u64 mach_pid_tgid(void)
{
	return (__u64)k.tgid << 32 | k.tgid;
}

void pywalk_process(__u32 tgid, const struct py_runtime *rt)
{
	memset(&k, 0, sizeof(k));
	k.tgid = tgid;
	k.runtimes[1] = *rt;
}

void pywalk_begin(__u64 thread)
{
	k.task.thread.fsbase = thread;
	memset(k.drops, 0, sizeof(k.drops));
	walk_begin(&k.walk);
	k.walk.proc.python = 1;
	k.walk.py.exact = 0;
}

int pywalk_loop(__u64 lo, __u64 hi, int exact)
{
	k.walk.py.exact = exact;
	return python_frames(0, lo, hi);
}

__u32 pywalk_frames(struct ev_frame *ret, __u64 *ret_lost)
{
	memcpy(ret, k.walk.frames, k.walk.nframes * sizeof(*ret));
	*ret_lost = k.drops[DROP_PYTHON_THREAD] + k.drops[DROP_PYTHON_FRAME];
	return k.walk.nframes;
}

const struct py_runtime *pywalk_learned(void)
{
	return &k.runtimes[1];
}

__u32 pywalk_thread(__u64 thread, struct ev_frame *ret, __u32 *ret_loops, __u64 *ret_lost)
{
	*ret_loops = 0;
	pywalk_begin(thread);
	while (pywalk_loop(0, 0, 0) > 0)
		++*ret_loops;
	return pywalk_frames(ret, ret_lost);
}
