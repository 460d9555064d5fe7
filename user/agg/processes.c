/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes that the threads of a tree belong to. While samples come every thread stands below its
 * process, a frame with a process id alone. Here, at the end, these frames get their texts: "NAME (PID)"
 * for the processes with most of the time, "NAME (others)" for what is left of a service that starts
 * thousands, and none at all where everything is of one process.
 */
#include <errno.h>
#include <stdlib.h>
#include "agg/stacks.h"
#include "base/buf.h"
#include "base/cleanup.h"

#define PROCESSES_OWN 64 /* at most: with a root of their own, */
#define SHARE_OWN 0.01 /* by so much of a tree, or more */

struct process {
	u32 frame;
	u64 weight;
};

void stacks_process(struct stacks *s, u32 tgid, const char comm[HP_COMM_LEN], bool is_main)
{
	char clean[HP_COMM_LEN];

	/* Its main thread has its name; until that is seen, any thread's is better than none. */
	if (is_main || !map_find(&s->processes, tgid))
		map_put(&s->processes, tgid, strpool_add(&s->texts, stacks_comm(comm, clean)));
}

static bool is_process(const struct stack_frame *f)
{
	return !f->kind && f->tgid;
}

static int cmp_process(const void *pa, const void *pb)
{
	const struct process *a = pa, *b = pb;

	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	return a->frame < b->frame ? -1 : a->frame > b->frame;
}

/* The heaviest ones of this tree are to be told apart. */
static int choose(struct stacks *s, const struct stack_tree *t)
{
	_free_ u32 *root =
		calloc(t->nnodes, sizeof(*root)); /* by node: the one below the tree's root */
	_free_ struct process *all = calloc(MAX(s->nframes, 1U), sizeof(*all));
	double weight = 0;
	u32 i, n = 0;

	if (!root || !all)
		return -ENOMEM;
	for (i = 0; i < s->nframes; i++)
		all[i].frame = i;
	for (i = 1; i < t->nnodes; i++) {
		root[i] = t->nodes[i].parent ? root[t->nodes[i].parent] : i;
		all[t->nodes[root[i]].frame].weight += t->nodes[i].self;
		weight += (double)t->nodes[i].self;
	}
	for (i = 0; i < s->nframes; i++)
		if (all[i].weight && is_process(&s->frames[i]))
			all[n++] = all[i];
	qsort(all, n, sizeof(*all), cmp_process);
	for (i = 0; i < MIN(n, (u32)PROCESSES_OWN) && (double)all[i].weight >= SHARE_OWN * weight;
	     i++)
		s->frames[all[i].frame].listed = true;
	return 0;
}

int processes_finish(struct stacks *s)
{
	_release_(buf) struct buf text = BUF_INIT;
	u32 i, n = 0;
	int err = choose(s, &s->cpu);

	if (!err)
		err = choose(s, &s->waits);
	for (i = 0; i < s->nframes; i++) {
		if (is_process(&s->frames[i])) {
			n++;
			s->only_pid = s->frames[i].tgid;
		}
	}
	if (n > 1)
		s->only_pid = 0;
	for (i = 0; i < s->nframes && !err; i++) {
		struct stack_frame *f = &s->frames[i];
		const u64 *name = map_find(&s->processes, f->tgid);

		if (!is_process(f))
			continue;
		f->hidden = n == 1 || s->one_process;
		buf_clear(&text);
		buf_add_slice(&text,
			      name ? strpool_get(&s->texts, (u32)*name) : SLICE("[unknown]"));
		if (f->listed)
			buf_addf(&text, " (%u)", f->tgid);
		else
			buf_adds(&text, " (others)");
		f->name = strpool_add(&s->texts, buf_slice(&text));
		err = text.oom ? -ENOMEM : 0;
	}
	return err;
}
