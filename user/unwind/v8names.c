/* SPDX-License-Identifier: Apache-2.0 */
/* See v8names.h. */
#include "unwind/v8names.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "hp/events.h"
#include "unwind/v8code.h"

/* As v8code.h bounds them, with room for "..." and a cut character. */
#define TEXT_MAX (V8CODE_TEXT_MAX + 16)
#define TRIES 3 /* of a function that changes while it is read */
#define TRUST_SHARE                                                                                \
	8 /* for a part of the time that it was the same already, it is taken to be so */
#define TRUST_MAX_NS NSEC_PER_SEC
#define OTHER_NS (2 * NSEC_PER_SEC) /* what was no function is not looked at for so long */

/* What an address was when it was last looked at. */
struct word {
	u64 function; /* its number; 0 = it is none, or one without a name here */
	struct v8code_id id;
	u64 since_ns; /* it is that one */
	u64 until_ns; /* not looked at before */
};

struct v8names {
	const struct v8names_ops *ops;
	void *arg;
	struct map by_tgid; /* → index in procs */
	struct {
		u32 tgid;
		u32 round; /* another one after each exec: what was known is of no use then */
		struct v8_layout layout;
	} * procs;
	u32 nprocs;
	u32 round;
	struct map by_word; /* → index in words */
	struct word *words;
	u32 nwords;
	struct map done; /* functions of a process that have a record */
	struct v8lines lines;
	u32 reading; /* tgid */
	struct v8names_stats stats;
};

int v8names_new(struct v8names **ret, const struct v8names_ops *ops, void *arg)
{
	struct v8names *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->ops = ops;
	p->arg = arg;
	map_init(&p->by_tgid, V8NAMES_PROCS_MAX);
	map_init(&p->by_word, V8NAMES_WORDS_MAX);
	map_init(&p->done, V8NAMES_FUNCTIONS_MAX);
	*ret = p;
	return 0;
}

void v8names_free(struct v8names *p)
{
	if (!p)
		return;
	free(p->words);
	free(p->procs);
	map_release(&p->by_tgid);
	map_release(&p->by_word);
	map_release(&p->done);
	v8lines_release(&p->lines);
	free(p);
}

void v8names_process(struct v8names *p, u32 tgid, const struct v8_layout *layout)
{
	const u64 *at = map_find(&p->by_tgid, tgid);
	u32 i = at ? (u32)*at : p->nprocs;

	if (!p->procs)
		p->procs = calloc(V8NAMES_PROCS_MAX, sizeof(*p->procs));
	if (!p->words)
		p->words = calloc(V8NAMES_WORDS_MAX, sizeof(*p->words));
	if (!p->procs || !p->words || (!at && i == V8NAMES_PROCS_MAX) ||
	    (!at && map_put(&p->by_tgid, tgid, i)))
		return;
	p->nprocs += !at;
	if (!at || memcmp(&p->procs[i].layout, layout, sizeof(*layout)))
		p->procs[i].round = ++p->round;
	p->procs[i].tgid = tgid;
	p->procs[i].layout = *layout;
}

void v8names_forget(struct v8names *p, u32 tgid)
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
	struct v8names *p = arg;

	p->stats.reads++;
	return p->ops->read(p->arg, p->reading, addr, buf, n);
}

static void put(struct v8names *p, u32 tgid, u64 function, const struct v8code *c)
{
	static const char nameless[] = "(anonymous)";
	union {
		struct ev_code ev;
		char bytes[sizeof(struct ev_code) + 2 * TEXT_MAX + 8];
	} rec;
	const char *text = c->name.n ? c->name.p : nameless;
	size_t name = c->name.n ? MIN(c->name.n, (size_t)TEXT_MAX) : sizeof(nameless) - 1;
	size_t file = MIN(c->file.n, (size_t)TEXT_MAX);

	memset(&rec, 0, sizeof(rec.ev));
	rec.ev.hdr.size = (sizeof(rec.ev) + name + file + 7) & ~7UL;
	rec.ev.hdr.kind = EV_CODE;
	rec.ev.hdr.tgid = tgid;
	rec.ev.addr = function;
	rec.ev.kind = HP_FRAME_METHOD;
	rec.ev.line = c->line;
	rec.ev.first_line = c->line;
	rec.ev.name_len = (u16)name;
	rec.ev.file_len = (u16)file;
	memset(rec.bytes + rec.ev.hdr.size - 8, 0, 8);
	memcpy(rec.bytes + sizeof(rec.ev), text, name);
	memcpy(rec.bytes + sizeof(rec.ev) + name, file ? c->file.p : "", file);
	p->ops->put(p->arg, &rec.ev);
}

/* The same for the same function, wherever its objects are: name, file and line say which one it is. */
static u64 function_of(const struct v8code *c)
{
	u64 h = hash_bytes(c->name.n ? c->name.p : "", c->name.n, c->line + 1ULL);

	h = hash_bytes(c->file.n ? c->file.p : "", c->file.n, h);
	return h ? h : 1;
}

/* Reads the function at addr; 0 = there is none. */
static u64 look_at(struct v8names *p, u32 i, u64 addr, struct v8code_id *ret)
{
	u32 tgid = p->procs[i].tgid, tries;
	struct v8code c;
	u64 function = 0, key;
	int err = -EAGAIN;

	for (tries = 0; tries < TRIES && err == -EAGAIN; tries++) {
		err = v8code_get(&p->procs[i].layout, addr, &p->lines, p->procs[i].round,
				 read_memory, p, &c);
		if (err)
			v8code_release(&c);
	}
	if (err) {
		p->stats.failed += err != -EINVAL && err != -EFAULT;
		return 0;
	}
	*ret = c.id;
	/* A function of V8's own: the symbol of its code says more. */
	if (!c.native) {
		function = function_of(&c);
		key = hash_u64(function ^ hash_u64(tgid));
		if (!map_find(&p->done, key)) {
			if (map_put(&p->done, key, 0)) {
				p->stats.refused++;
				function = 0;
			} else {
				p->stats.named++;
				put(p, tgid, function, &c);
			}
		}
	}
	v8code_release(&c);
	return function;
}

static u64 name_word(struct v8names *p, u32 i, u64 addr, u64 now_ns)
{
	u64 key = hash_u64(addr ^ hash_u64((u64)p->procs[i].tgid << 32 | p->procs[i].round));
	const u64 *at = map_find(&p->by_word, key);
	struct word *w;

	if (!at) {
		if (p->nwords == V8NAMES_WORDS_MAX) {
			map_clear(&p->by_word);
			p->nwords = 0;
		}
		if (map_put(&p->by_word, key, p->nwords))
			return 0;
		w = &p->words[p->nwords++];
		*w = (struct word){ 0 };
	} else {
		w = &p->words[*at];
		if (now_ns < w->until_ns)
			return w->function;
	}
	p->reading = p->procs[i].tgid;
	if (!w->id.name || v8code_check(&p->procs[i].layout, addr, &w->id, read_memory, p)) {
		w->id = (struct v8code_id){ 0 };
		w->function = look_at(p, i, addr, &w->id);
		w->since_ns = now_ns;
	}
	p->stats.others += !w->function;
	w->until_ns =
		now_ns +
		(w->function ? MIN((now_ns - w->since_ns) / TRUST_SHARE, TRUST_MAX_NS) : OTHER_NS);
	return w->function;
}

void v8names_sample(struct v8names *p, u32 tgid, struct ev_frame *frames, u32 n, u64 now_ns)
{
	const u64 *at = map_find(&p->by_tgid, tgid);
	u32 i;

	if (!at)
		return;
	for (i = 0; i < n; i++)
		if (frames[i].kind == HP_FRAME_METHOD)
			frames[i].addr = name_word(p, (u32)*at, frames[i].addr, now_ns);
}

void v8names_get_stats(const struct v8names *p, struct v8names_stats *ret)
{
	*ret = p->stats;
}
