/* SPDX-License-Identifier: Apache-2.0 */
/* See cover.h. */
#include "ledger/cover.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

void covers_release(struct covers *c)
{
	free(c->v);
	memset(c, 0, sizeof(*c));
}

void covers_add(struct covers *c, enum cover_rank rank, enum phase phase, u64 from_ns, u64 to_ns)
{
	if (from_ns >= to_ns)
		return;
	if (!array_room(&c->v, c->n, &c->cap, COVERS_MAX, sizeof(*c->v))) {
		c->failed = true;
		return;
	}
	c->v[c->n++] =
		(struct cover){ .from_ns = from_ns, .to_ns = to_ns, .rank = rank, .phase = phase };
}

static int cmp_cover(const void *pa, const void *pb)
{
	const struct cover *a = pa, *b = pb;

	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->from_ns != b->from_ns)
		return a->from_ns < b->from_ns ? -1 : 1;
	return (a->to_ns < b->to_ns) - (a->to_ns > b->to_ns);
}

/* Afterwards those of one rank do not overlap. */
void covers_sort(struct covers *c)
{
	u64 until = 0;
	u32 i, n = 0;

	if (!c->n)
		return;
	qsort(c->v, c->n, sizeof(*c->v), cmp_cover);
	for (i = 0; i < c->n; i++) {
		struct cover s = c->v[i];

		if (!n || c->v[n - 1].rank != s.rank)
			until = 0;
		s.from_ns = MAX(s.from_ns, until);
		if (s.from_ns >= s.to_ns)
			continue;
		until = s.to_ns;
		c->v[n++] = s;
	}
	c->n = n;
}

void covers_walk(struct covers *c, u64 from_ns, u64 to_ns,
		 void (*fn)(void *arg, const struct cover *cover, u64 from_ns, u64 to_ns),
		 void *arg)
{
	u32 at[COVER_RANKS] = { 0 }, end[COVER_RANKS] = { 0 }, rank, i;
	u64 now = from_ns;

	for (i = 0; i < c->n; i++)
		end[c->v[i].rank] = i + 1;
	for (rank = 1; rank < COVER_RANKS; rank++) {
		end[rank] = MAX(end[rank], end[rank - 1]);
		at[rank] = end[rank - 1];
	}
	while (now < to_ns) {
		const struct cover *top = NULL;
		u64 until = to_ns;

		for (rank = 0; rank < COVER_RANKS && !top; rank++) {
			while (at[rank] < end[rank] && c->v[at[rank]].to_ns <= now)
				at[rank]++;
			if (at[rank] == end[rank])
				continue;
			if (c->v[at[rank]].from_ns <= now) {
				top = &c->v[at[rank]];
				until = MIN(until, top->to_ns);
			} else {
				until = MIN(until, c->v[at[rank]].from_ns);
			}
		}
		fn(arg, top, now, until);
		now = until;
	}
}
