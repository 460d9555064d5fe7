/* SPDX-License-Identifier: Apache-2.0 */
/* See mmaps.h; the layout of records is that of perf_event_open(2). */
#include "load/mmaps.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RING_BYTES (32U << 10)

/* PERF_RECORD_MMAP2, the path behind it. */
struct mmap2 {
	struct perf_event_header hdr;
	u32 pid, tid;
	u64 addr;
	u64 len;
	u64 pgoff;
	u32 maj, min;
	u64 ino;
	u64 ino_generation;
	u32 prot, flags;
};

struct ring {
	int fd;
	struct perf_event_mmap_page *page; /* and RING_BYTES of data behind it */
};

struct mmaps {
	struct ring *rings;
	u32 n;
	u32 page_bytes;
	u8 rec[8192]; /* a record that wraps around the ring's end */
};

static int open_event(int cpu)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_SOFTWARE,
		.config = PERF_COUNT_SW_DUMMY,
		.sample_period = 1, /* none comes: the event never counts */
		.mmap = 1,
		.mmap2 = 1,
		.watermark = 1,
		.wakeup_watermark = RING_BYTES,
	};
	int fd = (int)syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int mmaps_new(struct mmaps **ret, u32 ncpus)
{
	struct mmaps *m = calloc(1, sizeof(*m));
	u32 cpu;
	int err;

	if (!m)
		return -ENOMEM;
	m->page_bytes = (u32)sysconf(_SC_PAGESIZE);
	m->rings = calloc(ncpus, sizeof(*m->rings));
	err = m->rings ? 0 : -ENOMEM;
	for (cpu = 0; cpu < ncpus && !err; cpu++) {
		struct ring *r = &m->rings[m->n];

		r->fd = open_event((int)cpu);
		if (r->fd == -ENODEV)
			continue; /* offline */
		if (r->fd < 0) {
			err = r->fd;
			break;
		}
		m->n++;
		r->page = mmap(NULL, m->page_bytes + RING_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
			       r->fd, 0);
		if (r->page == MAP_FAILED) {
			r->page = NULL;
			err = -errno;
		}
	}
	if (err) {
		mmaps_free(m);
		return err;
	}
	*ret = m;
	return 0;
}

void mmaps_free(struct mmaps *m)
{
	u32 i;

	if (!m)
		return;
	for (i = 0; i < m->n; i++) {
		if (m->rings[i].page)
			munmap(m->rings[i].page, m->page_bytes + RING_BYTES);
		close(m->rings[i].fd);
	}
	free(m->rings);
	free(m);
}

static void copy_out(const struct mmaps *m, const struct ring *r, u64 at, void *dst, size_t n)
{
	const u8 *data = (const u8 *)r->page + m->page_bytes;
	size_t off = at % RING_BYTES, first = MIN(n, RING_BYTES - off);

	memcpy(dst, data + off, first);
	memcpy((u8 *)dst + first, data, n - first);
}

static int give(struct mmaps *m, size_t size, int (*fn)(void *arg, const struct mmaps_event *ev),
		void *arg)
{
	const struct mmap2 *x = (const struct mmap2 *)m->rec;
	const char *path = (const char *)(x + 1);
	struct mmaps_event ev;

	if (size <= sizeof(*x) || !x->pid || x->pid == UINT32_MAX)
		return 0;
	ev = (struct mmaps_event){
		.tgid = x->pid,
		.start = x->addr,
		.end = x->addr + x->len,
		.off = x->pgoff,
		.inode = x->ino,
		.path = slice_of(path, strnlen(path, size - sizeof(*x))),
	};
	return fn(arg, &ev);
}

static int drain_ring(struct mmaps *m, struct ring *r,
		      int (*fn)(void *arg, const struct mmaps_event *ev), void *arg, bool *lost)
{
	u64 head = __atomic_load_n(&r->page->data_head, __ATOMIC_ACQUIRE);
	u64 tail = r->page->data_tail;
	struct perf_event_header hdr;
	int err = 0;

	while (tail + sizeof(hdr) <= head && !err) {
		copy_out(m, r, tail, &hdr, sizeof(hdr));
		if (hdr.size < sizeof(hdr) || hdr.size > head - tail) {
			*lost = true;
			tail = head;
			break;
		}
		if (hdr.type == PERF_RECORD_LOST)
			*lost = true;
		if (hdr.type == PERF_RECORD_MMAP2 && hdr.size <= sizeof(m->rec)) {
			copy_out(m, r, tail, m->rec, hdr.size);
			err = give(m, hdr.size, fn, arg);
		}
		tail += hdr.size;
	}
	__atomic_store_n(&r->page->data_tail, tail, __ATOMIC_RELEASE);
	return err;
}

int mmaps_drain(struct mmaps *m, int (*fn)(void *arg, const struct mmaps_event *ev), void *arg,
		bool *ret_lost)
{
	u32 i;
	int err = 0;

	*ret_lost = false;
	for (i = 0; i < m->n && !err; i++)
		err = drain_ring(m, &m->rings[i], fn, arg, ret_lost);
	return err;
}
