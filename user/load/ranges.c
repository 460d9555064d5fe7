/* SPDX-License-Identifier: Apache-2.0 */
/* See ranges.h. First fit; neighbours become one when both have rested. */
#include "load/ranges.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int ranges_init(struct ranges *r, u32 size)
{
	memset(r, 0, sizeof(*r));
	r->v = calloc(16, sizeof(*r->v));
	if (!r->v)
		return -ENOMEM;
	r->cap = 16;
	r->size = size;
	if (size)
		r->v[r->n++] = (struct range){ .n = size };
	return 0;
}

void ranges_release(struct ranges *r)
{
	free(r->v);
	memset(r, 0, sizeof(*r));
}

static bool rested(const struct range *x, u64 now_ns)
{
	return !x->free_ns || now_ns >= x->free_ns + RANGES_REST_NS;
}

static void remove_at(struct ranges *r, u32 at)
{
	memmove(&r->v[at], &r->v[at + 1], (r->n - at - 1) * sizeof(*r->v));
	r->n--;
}

static void join(struct ranges *r, u64 now_ns)
{
	u32 i, n = 0;

	for (i = 0; i < r->n; i++) {
		struct range *last = n ? &r->v[n - 1] : NULL, *x = &r->v[i];

		if (last && last->first + last->n == x->first && rested(last, now_ns) &&
		    rested(x, now_ns))
			last->n += x->n;
		else
			r->v[n++] = *x;
	}
	r->n = n;
}

static int first_fit(struct ranges *r, u32 n, u64 now_ns, u32 *ret_first)
{
	u32 i;

	for (i = 0; i < r->n; i++) {
		struct range *x = &r->v[i];

		if (x->n < n || !rested(x, now_ns))
			continue;
		*ret_first = x->first;
		x->first += n;
		x->n -= n;
		if (!x->n)
			remove_at(r, i);
		r->used += n;
		return 0;
	}
	return -ENOSPC;
}

int ranges_take(struct ranges *r, u32 n, u64 now_ns, u32 *ret_first)
{
	if (!first_fit(r, n, now_ns, ret_first))
		return 0;
	join(r, now_ns);
	return first_fit(r, n, now_ns, ret_first);
}

void ranges_give(struct ranges *r, u32 first, u32 n, u64 now_ns)
{
	u32 at = r->n;

	if (r->n == r->cap) {
		struct range *v = realloc(r->v, 2 * r->cap * sizeof(*v));

		if (!v)
			return; /* these entries stay unused */
		r->v = v;
		r->cap *= 2;
	}
	while (at && r->v[at - 1].first > first)
		at--;
	memmove(&r->v[at + 1], &r->v[at], (r->n - at) * sizeof(*r->v));
	r->v[at] = (struct range){ .first = first, .n = n, .free_ns = now_ns };
	r->n++;
	r->used -= n;
}
