/* SPDX-License-Identifier: Apache-2.0 */
/* See pynames.h. */
#include "unwind/pynames.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "hp/events.h"
#include "unwind/pycode.h"

/* As pycode.h bounds them, with room for "..." and a cut character. */
#define TEXTS_MAX (2 * (PYCODE_TEXT_MAX + 16))

struct proc {
	u32 tgid;
	struct py_layout layout;
};

struct pynames {
	const struct pynames_ops *ops;
	void *arg;
	struct map by_tgid; /* → index in procs */
	struct proc *procs;
	u32 nprocs;
	struct map done; /* frames that have a record, or never will */
	struct map by_code; /* → index in codes */
	struct pycode *codes;
	u32 ncodes;
	size_t bytes;
	u32 reading; /* tgid */
	struct pynames_stats stats;
};

int pynames_new(struct pynames **ret, const struct pynames_ops *ops, void *arg)
{
	struct pynames *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->ops = ops;
	p->arg = arg;
	map_init(&p->by_tgid, PYNAMES_PROCS_MAX);
	map_init(&p->done, PYNAMES_FRAMES_MAX);
	map_init(&p->by_code, PYNAMES_CODES_MAX);
	p->procs = calloc(PYNAMES_PROCS_MAX, sizeof(*p->procs));
	p->codes = calloc(PYNAMES_CODES_MAX, sizeof(*p->codes));
	if (!p->procs || !p->codes) {
		pynames_free(p);
		return -ENOMEM;
	}
	*ret = p;
	return 0;
}

static void codes_clear(struct pynames *p)
{
	while (p->ncodes)
		pycode_release(&p->codes[--p->ncodes]);
	map_clear(&p->by_code);
	p->bytes = 0;
}

void pynames_free(struct pynames *p)
{
	if (!p)
		return;
	codes_clear(p);
	free(p->codes);
	free(p->procs);
	map_release(&p->by_tgid);
	map_release(&p->done);
	map_release(&p->by_code);
	free(p);
}

void pynames_process(struct pynames *p, u32 tgid, const struct py_layout *layout)
{
	const u64 *at = map_find(&p->by_tgid, tgid);
	u32 i = at ? (u32)*at : p->nprocs;

	if (!at && (i == PYNAMES_PROCS_MAX || map_put(&p->by_tgid, tgid, i)))
		return;
	p->nprocs += !at;
	p->procs[i] = (struct proc){ .tgid = tgid, .layout = *layout };
}

void pynames_forget(struct pynames *p, u32 tgid)
{
	const u64 *at = map_find(&p->by_tgid, tgid);
	u32 i;

	if (!at)
		return;
	i = (u32)*at;
	map_del(&p->by_tgid, tgid);
	if (i == --p->nprocs)
		return;
	p->procs[i] = p->procs[p->nprocs];
	map_put(&p->by_tgid, p->procs[i].tgid, i);
}

static int read_memory(void *arg, u64 addr, void *buf, size_t n)
{
	struct pynames *p = arg;

	return p->ops->read(p->arg, p->reading, addr, buf, n);
}

/* Functions of worker threads, and their variable that leads to the future. */
static const struct {
	const char *name; /* up to 3.10 its last part is all there is */
	const char *file; /* the end of it */
	const char *local;
	enum py_worker_kind kind;
} workers[] = {
	{ "WorkerThread.run", "/anyio/_backends/_asyncio.py", "future", PY_WORKER_FUTURE },
	{ "_worker", "/concurrent/futures/thread.py", "work_item", PY_WORKER_ITEM },
};

static bool is_worker(const struct pycode *c, const struct proc *proc, size_t i)
{
	struct slice name = slice_str(workers[i].name), file = buf_slice(&c->file);
	size_t n = strlen(workers[i].file);
	const char *dot = strrchr(workers[i].name, '.');

	if (!proc->layout.code_qualname && dot)
		name = slice_str(dot + 1);
	return slice_eq(buf_slice(&c->name), name) && file.n >= n &&
	       !memcmp(file.p + file.n - n, workers[i].file, n);
}

static void find_worker(struct pynames *p, const struct proc *proc, u64 code,
			const struct pycode *c)
{
	size_t i;
	int local;

	if (!proc->layout.off.task_context)
		return;
	for (i = 0; i < ARRAY_SIZE(workers); i++) {
		if (!is_worker(c, proc, i))
			continue;
		local = pycode_local(&proc->layout, code, read_memory, p, workers[i].local);
		if (local >= 0)
			p->ops->worker(p->arg, proc->tgid, code,
				       &(struct py_worker){ .local = proc->layout.off.f_locals +
								     8 * (u32)local,
							    .kind = workers[i].kind });
	}
}

static u64 code_key(u32 tgid, const struct ev_frame *f, u32 check)
{
	return hash_u64(f->addr ^ hash_u64((u64)tgid << 32 | check));
}

/* NULL: it is gone, or was none. */
static const struct pycode *code_get(struct pynames *p, const struct proc *proc,
				     const struct ev_frame *f, u32 check)
{
	u64 key = code_key(proc->tgid, f, check);
	const u64 *at = map_find(&p->by_code, key);
	struct pycode *c;
	int err;

	if (at)
		return &p->codes[*at];
	if (p->ncodes == PYNAMES_CODES_MAX || p->bytes > PYNAMES_BYTES_MAX)
		codes_clear(p);
	c = &p->codes[p->ncodes];
	p->reading = proc->tgid;
	err = pycode_get(&proc->layout, f->addr, read_memory, p, c);
	if ((err && err != -E2BIG) || c->check != check || map_put(&p->by_code, key, p->ncodes)) {
		pycode_release(c);
		return NULL;
	}
	p->bytes += c->name.cap + c->file.cap + c->lines.cap;
	p->ncodes++;
	find_worker(p, proc, f->addr, c);
	return c;
}

static void put(struct pynames *p, u32 tgid, const struct ev_frame *f, const struct pycode *c)
{
	union {
		struct ev_code ev;
		char bytes[sizeof(struct ev_code) + TEXTS_MAX + 8];
	} rec;
	size_t name = MIN(c->name.n, TEXTS_MAX / 2), file = MIN(c->file.n, TEXTS_MAX / 2);

	memset(&rec, 0, sizeof(rec.ev));
	rec.ev.hdr.size = (sizeof(rec.ev) + name + file + 7) & ~7UL;
	rec.ev.hdr.kind = EV_CODE;
	rec.ev.hdr.tgid = tgid;
	rec.ev.addr = f->addr;
	rec.ev.extra = f->extra;
	rec.ev.check = c->check;
	rec.ev.line = pycode_line(c, f->extra);
	rec.ev.first_line = c->first_line;
	rec.ev.name_len = (u16)name;
	rec.ev.file_len = (u16)file;
	memset(rec.bytes + rec.ev.hdr.size - 8, 0, 8);
	memcpy(rec.bytes + sizeof(rec.ev), c->name.p ? c->name.p : "", name);
	memcpy(rec.bytes + sizeof(rec.ev) + name, c->file.p ? c->file.p : "", file);
	p->ops->put(p->arg, &rec.ev);
}

static void name_frame(struct pynames *p, const struct proc *proc, const struct ev_frame *f)
{
	u32 check = f->check[0] | f->check[1] << 8 | (u32)f->check[2] << 16;
	u64 key = hash_u64(code_key(proc->tgid, f, check) + f->extra);
	const struct pycode *c;

	if (map_find(&p->done, key))
		return;
	if (map_put(&p->done, key, 0)) {
		p->stats.refused++;
		return;
	}
	c = code_get(p, proc, f, check);
	if (c) {
		p->stats.named++;
		put(p, proc->tgid, f, c);
	} else {
		p->stats.failed++;
	}
}

void pynames_sample(struct pynames *p, u32 tgid, const struct ev_frame *frames, u32 n)
{
	const u64 *at = NULL;
	u32 i;

	for (i = 0; i < n; i++) {
		if (frames[i].kind != HP_FRAME_PYTHON)
			continue;
		if (!at)
			at = map_find(&p->by_tgid, tgid);
		if (!at)
			return; /* not said yet; the next sample brings the frame again */
		name_frame(p, &p->procs[*at], &frames[i]);
	}
}

void pynames_get_stats(const struct pynames *p, struct pynames_stats *ret)
{
	*ret = p->stats;
}
