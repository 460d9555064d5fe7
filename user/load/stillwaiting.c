/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Waits that are still under way when the window ends: deadlocks, a pool without work. A wait's stack is
 * taken when the thread is back on a processor, which these never are. Input: a walk over the threads,
 * with registers and kernel frames of those that wait; their rows of m_waits. Output: an EV_WAIT record
 * for each, that stands for itself. The threads are not touched: their memory is read while they sleep,
 * and what did not sleep through it is left out.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "load/loaded.h"
#include "load/stillwalk.h"

#define THREADS_AT_ONCE 32

struct record {
	struct ev_wait ev;
	struct ev_frame frames[HP_STACK_MAX + UW_ENTRIES_MAX];
};

struct still {
	struct probes *p;
	struct still_world world;
	struct still_stack stack;
	struct record rec;
	struct still_waiting threads[THREADS_AT_ONCE];
};

static int read_memory(void *arg, __u64 at, void *dst, __u32 n)
{
	const struct still_waiting *t = arg;
	struct iovec to = { dst, n }, from = { (void *)(uintptr_t)at, n };

	return process_vm_readv((pid_t)t->tid, &to, 1, &from, 1, 0) == (ssize_t)n ? 0 : -EFAULT;
}

static int row_of(const struct probes *p, u32 key, struct wait_state *ret)
{
	_release_(unpreempted) struct unpreempted u = unpreempted_begin(p->map_calls_hide);

	return bpf_map__lookup_elem(p->skel->maps.m_waits, &key, sizeof(key), ret, sizeof(*ret), 0);
}

/* It is in the same wait as when its registers were read. */
static bool still_in_it(const struct still_waiting *t, const struct wait_state *st)
{
	return st->what == WAIT_BLOCKED && st->changed == t->changed &&
	       st->changing == t->changed && st->wake_ns <= st->since_ns;
}

static int give_one(struct still *s, const struct still_waiting *t, u64 now_ns,
		    probes_record_fn *fn, void *arg)
{
	struct still_waiting thread = *t;
	struct wait_state st;
	struct uw_proc proc;
	struct ev_wait *ev = &s->rec.ev;
	bool tables = s->p->unwinder && !unwinder_proc(s->p->unwinder, t->tgid, &proc);

	still_walk(&s->world, tables ? &proc : NULL, t, read_memory, &thread, &s->stack);
	if (row_of(s->p, t->key, &st) || !still_in_it(t, &st) || st.since_ns >= now_ns)
		return 0;
	*ev = (struct ev_wait){
		.hdr = { .size = (u32)(sizeof(*ev) + s->stack.n * sizeof(s->rec.frames[0])),
			 .kind = EV_WAIT,
			 .target = st.target,
			 .tgid = st.tgid,
			 .tid = st.tid,
			 .ts_ns = now_ns },
		.blocked_ns = now_ns - st.since_ns,
		.weight_ns = now_ns - st.since_ns,
		.on_ns = st.on_ns,
		.before = st.waits,
		.nr = st.nr,
		.reason = st.reason,
		.unwind = s->stack.unwind,
		.stop = s->stack.stop,
		.nframes = (u16)s->stack.n,
	};
	memcpy(ev->comm, st.comm, sizeof(ev->comm));
	memcpy(s->rec.frames, s->stack.frames, s->stack.n * sizeof(s->rec.frames[0]));
	return fn(arg, &s->rec, ev->hdr.size);
}

static int open_walk(const struct bpf_program *prog, struct bpf_link **ret_link)
{
	int fd;

	*ret_link = bpf_program__attach_iter(prog, NULL);
	if (!*ret_link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(*ret_link));
	return fd < 0 ? -errno : fd;
}

int probes_still_waiting(struct probes *p, u64 now_ns, probes_record_fn *fn, void *arg)
{
	_free_ struct still *s = NULL;
	struct bpf_link *link = NULL;
	_close_ int fd = -1;
	size_t have = 0, i, n;
	ssize_t got;
	int err = 0;

	if (!ladder_has(&p->ladder, PROBE_WAIT_SEED) || !(probes_waits_what(p) & HP_WAITS_STACKS))
		return 0;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->p = p;
	if (p->unwinder)
		unwinder_world(p->unwinder, &s->world);
	fd = open_walk(p->skel->progs.wait_still, &link);
	/* The kernel hands out whole records, but a read ends where its buffer does. */
	while (fd >= 0 && !err &&
	       (got = read(fd, (u8 *)s->threads + have, sizeof(s->threads) - have)) > 0) {
		have += (size_t)got;
		n = have / sizeof(s->threads[0]);
		for (i = 0; i < n && !err; i++)
			err = give_one(s, &s->threads[i], now_ns, fn, arg);
		have -= n * sizeof(s->threads[0]);
		memmove(s->threads, &s->threads[n], have);
	}
	bpf_link__destroy(link);
	return fd < 0 ? fd : err;
}
