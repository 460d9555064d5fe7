/* SPDX-License-Identifier: Apache-2.0 */
/* See java.h. */
#include "unwind/java.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/map.h"
#include "hp/events.h"
#include "unwind/jvmheap.h"
#include "unwind/jvmnames.h"

#define READS 256 /* of memory in one piece of work */
#define LOOK_NS NSEC_PER_SEC
#define BUSY_NS (250 * NSEC_PER_MSEC) /* while the compilers work */
#define SOON_NS (20 * NSEC_PER_MSEC) /* after code that was not known; while a machine starts */
#define CHECK_NS (5 * NSEC_PER_SEC) /* a piece that samples meet is looked at again */
#define FIRST_NS NSEC_PER_SEC /* for the first look, before samples begin */
#define STARTS_MAX 500 /* tries until the machine has begun */
#define REST 10 /* looks take at most one part in so many of the time */
#define REST_MAX_NS (2 * NSEC_PER_SEC)
#define KEEP_NS (50 * NSEC_PER_MSEC) /* memory read for one sample is taken for the next */
#define RECORD_WORDS                                                                               \
	((sizeof(struct ev_lines) +                                                                \
	  HP_LINES_MAX * (sizeof(struct ev_line) + 2 * JVM_METHOD_TEXT)) /                         \
		 8 +                                                                               \
	 1)
#define WANTED 1024 /* addresses without a name yet */

enum state {
	JAVA_NEW, /* its layout is not known */
	JAVA_READY,
	JAVA_LOST, /* it is no machine that is known */
};

struct proc {
	u32 tgid;
	enum state state;
	u32 starts;
	struct jvm_file file;
	u64 bias;
	struct jvm_layout layout;
	struct jvm_heaps heaps;
	bool looking;
	bool changed; /* as the last look found */
	u64 due_ns;
	u64 ended_ns; /* of the last look */
	u64 spent_ns; /* on this look */
	u64 looks;
	u64 wanted[WANTED];
	u32 nwanted;
};

struct java {
	const struct java_ops *ops;
	void *arg;
	struct proc *procs[JAVA_PROCS_MAX];
	u32 n;
	struct map done; /* methods and places that have a record, or never will */
	u64 read_ns; /* when what mem holds began to be read */
	struct jvm_method_text scopes[HP_LINES_MAX];
	u64 record[RECORD_WORDS];
	struct jvm_mem mem;
	struct java_stats stats;
};

int java_new(struct java **ret, const struct java_ops *ops, void *arg)
{
	struct java *j = calloc(1, sizeof(*j));

	if (!j)
		return -ENOMEM;
	j->ops = ops;
	j->arg = arg;
	j->mem.read = ops->read;
	j->mem.arg = arg;
	map_init(&j->done, JAVA_PLACES_MAX);
	*ret = j;
	return 0;
}

static void proc_free(struct proc *p)
{
	jvm_heaps_release(&p->heaps);
	free(p);
}

void java_free(struct java *j)
{
	if (!j)
		return;
	while (j->n)
		proc_free(j->procs[--j->n]);
	map_release(&j->done);
	free(j);
}

static struct proc *proc_find(const struct java *j, u32 tgid)
{
	u32 i;

	for (i = 0; i < j->n; i++)
		if (j->procs[i]->tgid == tgid)
			return j->procs[i];
	return NULL;
}

void java_forget(struct java *j, u32 tgid)
{
	u32 i;

	for (i = 0; i < j->n; i++)
		if (j->procs[i]->tgid == tgid) {
			proc_free(j->procs[i]);
			j->procs[i] = j->procs[--j->n];
			return;
		}
}

static void name_blob(struct java *j, struct proc *p, struct jvm_blob *b)
{
	char text[JVM_METHOD_TEXT];

	b->named = true;
	if (!jvm_blob_name(&p->layout, &j->mem, b, text, sizeof(text))) {
		j->stats.failed++;
		return;
	}
	j->stats.named++;
	j->ops->symbol(j->arg, p->tgid, b->begin, b->end, slice_str(text));
}

/* After the first look there is only what changed to be read. */
static u64 rest(const struct proc *p, u64 least_ns)
{
	return p->looks > 1 ? MAX(least_ns, MIN(p->spent_ns * REST, REST_MAX_NS)) : least_ns;
}

/* Is it the first time that this is asked? */
static bool is_new(struct java *j, u64 key)
{
	if (map_find(&j->done, key))
		return false;
	if (!map_put(&j->done, key, 0))
		return true;
	j->stats.refused++;
	return false;
}

/* Where in the source a place of compiled code is, and what was inlined there. */
static void name_place(struct java *j, const struct proc *p, const struct jvm_blob *b, u64 addr)
{
	struct ev_lines *rec = (struct ev_lines *)j->record;
	struct ev_line *line = (struct ev_line *)(rec + 1);
	u32 i, n;
	char *at;

	if (!b->method ||
	    !is_new(j, hash_u64(addr ^ hash_u64((u64)p->tgid << 32 | (u32)b->id) ^ b->method)))
		return;
	n = jvm_scopes(&p->layout, &j->mem, b, addr, j->scopes, HP_LINES_MAX);
	if (!n)
		return;
	*rec = (struct ev_lines){ .addr = addr, .n = n };
	at = (char *)(line + n);
	for (i = 0; i < n; i++) {
		const struct jvm_method_text *t = &j->scopes[i];
		/* The function itself has the name of its symbol. */
		size_t name = i + 1 < n ? strlen(t->name) : 0, file = strlen(t->file);

		line[i] = (struct ev_line){ .line = t->line,
					    .name_len = (u16)name,
					    .file_len = (u16)file };
		at = mempcpy(at, t->name, name);
		at = mempcpy(at, t->file, file);
	}
	memset(at, 0, 8);
	rec->hdr.size = (__u32)(at - (char *)rec + 7) & ~7U;
	rec->hdr.kind = EV_LINES;
	rec->hdr.tgid = p->tgid;
	j->ops->lines(j->arg, rec);
}

static void look_soon(struct proc *p)
{
	p->due_ns = MIN(p->due_ns, p->ended_ns + rest(p, SOON_NS));
}

/* Code that a sample met. False: it is not known (any more). */
static bool meet_code(struct java *j, struct proc *p, u64 addr, u64 now_ns)
{
	struct jvm_heap *heap = NULL;
	struct jvm_blob *b = jvm_heaps_find(&p->heaps, addr, &heap);

	if (!b)
		return !heap;
	if (addr < b->begin || addr >= b->end) {
		if (b->begin < b->end)
			jvm_blob_check(heap, b, &p->layout, &j->mem, now_ns);
		return false;
	}
	if ((!b->named || now_ns > b->checked_ns + CHECK_NS) &&
	    !jvm_blob_check(heap, b, &p->layout, &j->mem, now_ns))
		return false;
	if (!b->named)
		name_blob(j, p, b);
	name_place(j, p, b, addr);
	return true;
}

static void meet_method(struct java *j, const struct proc *p, const struct ev_frame *f)
{
	u64 key = hash_u64(f->addr ^ hash_u64((u64)p->tgid << 32 | f->extra));
	union {
		struct ev_code ev;
		char bytes[sizeof(struct ev_code) + 2 * JVM_METHOD_TEXT + 8];
	} rec;
	struct jvm_method_text text;

	if (!is_new(j, key))
		return;
	if (!jvm_method_text(&p->layout, &j->mem, f->addr, f->extra, &text)) {
		j->stats.failed++;
		return;
	}
	memset(&rec, 0, sizeof(rec));
	rec.ev.name_len = (u16)strlen(text.name);
	rec.ev.file_len = (u16)strlen(text.file);
	rec.ev.line = text.line;
	rec.ev.hdr.size = (sizeof(rec.ev) + rec.ev.name_len + rec.ev.file_len + 7) & ~7UL;
	rec.ev.hdr.kind = EV_CODE;
	rec.ev.hdr.tgid = p->tgid;
	rec.ev.addr = f->addr;
	rec.ev.extra = f->extra;
	rec.ev.kind = HP_FRAME_METHOD;
	memcpy(rec.bytes + sizeof(rec.ev), text.name, rec.ev.name_len);
	memcpy(rec.bytes + sizeof(rec.ev) + rec.ev.name_len, text.file, rec.ev.file_len);
	j->stats.named++;
	j->ops->code(j->arg, &rec.ev);
}

void java_sample(struct java *j, u32 tgid, const struct ev_frame *frames, u32 n)
{
	struct proc *p = proc_find(j, tgid);
	u64 now_ns, addr, reads = j->mem.reads;
	u32 i;

	if (!p || p->state != JAVA_READY)
		return;
	now_ns = clock_mono_ns();
	if (j->mem.tgid != tgid || now_ns > j->read_ns + KEEP_NS) {
		jvm_mem_begin(&j->mem, tgid);
		j->read_ns = now_ns;
	}
	for (i = 0; i < n; i++) {
		if (frames[i].kind == HP_FRAME_METHOD)
			meet_method(j, p, &frames[i]);
		if (frames[i].kind != HP_FRAME_NATIVE)
			continue;
		addr = frames[i].addr - !(frames[i].extra & HP_FRAME_EXACT);
		if (meet_code(j, p, addr, now_ns))
			continue;
		look_soon(p);
		if (p->nwanted < WANTED)
			p->wanted[p->nwanted++] = addr;
	}
	j->stats.reads += j->mem.reads - reads;
}

static struct proc *next_proc(const struct java *j, u64 now_ns)
{
	struct proc *due = NULL;
	u32 i;

	for (i = 0; i < j->n; i++) {
		struct proc *p = j->procs[i];

		if (p->state == JAVA_LOST)
			continue;
		if (p->looking)
			return p;
		if (p->due_ns <= now_ns && (!due || p->due_ns < due->due_ns))
			due = p;
	}
	return due;
}

bool java_busy(const struct java *j, u64 now_ns)
{
	return next_proc(j, now_ns) != NULL;
}

/* Makes a table of the heap's code, and binds it. 0 or -errno. */
static int send_heap(struct java *j, const struct proc *p, const struct jvm_heap *heap)
{
	_release_(unwind_image) struct unwind_image img = { 0 };
	struct unwind_request req = {
		.tgid = p->tgid,
		.start = heap->low,
		.end = heap->high,
		.bias = heap->low,
	};
	_close_ int mem = -1;
	int err = jvm_heap_image(heap, &img);

	if (err)
		return err;
	mem = unwind_image_memfd(&img);
	if (mem < 0)
		return mem;
	err = j->ops->send(j->arg, mem);
	if (err <= 0)
		return err ? err : -EPROTO;
	req.table = (u32)err;
	j->stats.tables++;
	err = j->ops->bind(j->arg, &req);
	return err < 0 ? err : 0;
}

static void look_end(struct java *j, struct proc *p, u64 now_ns)
{
	u32 i, n = p->nwanted;

	j->stats.looks++;
	p->changed = false;
	for (i = 0; i < p->heaps.n; i++) {
		struct jvm_heap *heap = &p->heaps.v[i];
		int err;

		if (!heap->changed)
			continue;
		p->changed = true;
		err = send_heap(j, p, heap);
		heap->changed = err && err != -ENOENT;
		j->stats.refused += err == -ENOSPC;
	}
	p->nwanted = 0;
	for (i = 0; i < n; i++)
		meet_code(j, p, p->wanted[i], now_ns);
}

static void begin(struct java *j, struct proc *p, u64 now_ns)
{
	int err = jvm_layout_read(&p->file, p->bias, &j->mem, &p->layout);

	p->due_ns = now_ns + SOON_NS;
	if (!err) {
		p->state = JAVA_READY;
		p->looking = true;
	} else if (err == -ENOTSUP || ++p->starts == STARTS_MAX) {
		p->state = JAVA_LOST;
		j->stats.failed++;
	}
}

/* False: there is no more to be done at once. */
static bool java_work_on(struct java *j, struct proc *p)
{
	u64 now_ns = clock_mono_ns(), reads = j->mem.reads, took;
	int r = 0;

	jvm_mem_begin(&j->mem, p->tgid);
	j->read_ns = now_ns;
	if (!p->looking)
		p->spent_ns = 0;
	if (p->state == JAVA_NEW) {
		begin(j, p, now_ns);
	} else {
		r = jvm_heaps_look(&p->heaps, &p->layout, &j->mem, READS, now_ns);
		p->looking = !r;
		if (r == 1)
			look_end(j, p, now_ns);
	}
	took = clock_mono_ns() - now_ns;
	p->spent_ns += took;
	j->stats.work_ns += took;
	j->stats.reads += j->mem.reads - reads;
	if (!r)
		return p->looking;
	p->ended_ns = now_ns + took;
	p->looks++;
	p->due_ns = p->ended_ns + rest(p, p->changed ? BUSY_NS : LOOK_NS);
	/* The machine begins with no heaps at all. */
	if (!p->heaps.n)
		p->due_ns = p->ended_ns + SOON_NS;
	return false;
}

void java_process(struct java *j, u32 tgid, const struct jvm_file *f, u64 bias)
{
	struct proc *p = proc_find(j, tgid);

	if (p && p->bias == bias)
		return; /* another segment of the same file */
	if (p)
		java_forget(j, tgid);
	p = j->n < JAVA_PROCS_MAX ? calloc(1, sizeof(*p)) : NULL;
	if (!p) {
		j->stats.refused++;
		return;
	}
	p->tgid = tgid;
	p->file = *f;
	p->bias = bias;
	j->procs[j->n++] = p;
	/* What it has generated by now, at once. */
	while (!p->looks && java_work_on(j, p) && p->spent_ns < FIRST_NS)
		;
}

void java_work(struct java *j)
{
	struct proc *p = next_proc(j, clock_mono_ns());

	if (p)
		java_work_on(j, p);
}

void java_get_stats(const struct java *j, struct java_stats *ret)
{
	*ret = j->stats;
}
