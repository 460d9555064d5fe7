/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which functions of the application wait, and for what. Input: the tree of waits by name, and how much
 * of each node's own time went to which reason. Output: the list of (function, reason), the longest
 * first, without what waits for work.
 *
 * A wait ends in the kernel, below it are the C library's and the interpreter's functions, which all
 * waits of their kind have in common. The function that a wait is put down to is the innermost one of
 * the application's own.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "agg/stacks.h"
#include "base/cleanup.h"

struct share {
	const struct agg_node *of;
	u8 reason;
	u64 weight;
};

enum rank { /* what a frame is worth as an answer */
	RANK_NONE,
	RANK_KERNEL,
	RANK_LIBRARY,
	RANK_NATIVE,
	RANK_PYTHON_LIBRARY,
	RANK_PYTHON,
};

static enum rank rank_of(const struct agg_node *n)
{
	switch (n->kind) {
	case HP_FRAME_KERNEL:
		return RANK_KERNEL;
	case HP_FRAME_NATIVE:
		return n->library || n->unnamed ? RANK_LIBRARY : RANK_NATIVE;
	case HP_FRAME_PYTHON:
		return n->library ? RANK_PYTHON_LIBRARY : RANK_PYTHON;
	default:
		return RANK_NONE;
	}
}

const struct agg_node *places_best(const struct agg_node *nodes, const struct agg_node *leaf)
{
	const struct agg_node *n = leaf, *best = leaf;

	for (; n->depth; n = &nodes[n->parent])
		if (rank_of(n) > rank_of(best))
			best = n;
	return best;
}

static int cmp_share(const void *pa, const void *pb)
{
	const struct share *a = pa, *b = pb;
	int by_text = strcmp(a->of->func, b->of->func);

	return by_text ? by_text : a->reason - b->reason;
}

static int cmp_place(const void *pa, const void *pb)
{
	const struct agg_place *a = pa, *b = pb;
	int by_text = strcmp(a->text, b->text);

	if (a->weight_us != b->weight_us)
		return a->weight_us > b->weight_us ? -1 : 1;
	return by_text ? by_text : a->reason - b->reason;
}

static int make_list(struct stack_tree *t, struct share *shares, u32 n)
{
	u64 all = 0;
	u32 i, rows = 0;

	qsort(shares, n, sizeof(*shares), cmp_share);
	t->places = calloc(MAX(n, 1U), sizeof(*t->places));
	if (!t->places)
		return -ENOMEM;
	for (i = 0; i < n; i++) {
		struct agg_place *p = rows ? &t->places[rows - 1] : NULL;

		all += shares[i].weight;
		if (!p || strcmp(p->text, shares[i].of->func) || p->reason != shares[i].reason) {
			p = &t->places[rows++];
			p->text = shares[i].of->func;
			p->kind = shares[i].of->kind;
			p->reason = shares[i].reason;
		}
		p->weight_us += shares[i].weight;
	}
	qsort(t->places, rows, sizeof(*t->places), cmp_place);
	t->nplaces = MIN(rows, STACK_TOP_MAX);
	for (i = 0; i < t->nplaces && all; i++)
		t->places[i].ratio = (double)t->places[i].weight_us / (double)all;
	return 0;
}

void places_add(struct stack_tree *t, u32 node, u8 reason, u64 weight)
{
	u64 key = (u64)node << 8 | reason, *hit = map_find(&t->reasons, key);

	if (reason == HP_WAIT_IDLE || !weight)
		return;
	/* Without room it is missing in the list, and still in the tree. */
	if (hit)
		*hit += weight;
	else
		map_put(&t->reasons, key, weight);
}

int places_finish(struct stack_tree *t)
{
	_free_ struct share *shares = calloc(MAX(t->reasons.n, (size_t)1), sizeof(*shares));
	const struct map_slot *slot;
	size_t at = 0;
	u32 n = 0;

	if (!shares)
		return -ENOMEM;
	while ((slot = map_each(&t->reasons, &at)))
		shares[n++] = (struct share){
			.of = places_best(t->out, &t->out[t->named[slot->key >> 8]]),
			.reason = (u8)slot->key,
			.weight = slot->val,
		};
	return make_list(t, shares, n);
}
