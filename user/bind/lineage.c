/* SPDX-License-Identifier: Apache-2.0 */
/* See lineage.h. */
#include "bind/lineage.h"

#include <stdlib.h>
#include <string.h>

#include "base/array.h"

#define FIRST_CAP 1024
#define KIND_NONE (~0U)
#define AFRESH_LEAST 2 /* one in so many tasks of a kind that begins requests is made afresh */
#define RESPONDED_MAX 65536
/*
 * Between the last byte of a response and the task of the request that waited for it, either first:
 * uvloop sends what was written when the tasks have had their turn.
 */
#define NEXT_NS (2 * NSEC_PER_MSEC)
#define LOOK_BACK 256 /* tasks */

void lineage_init(struct lineage *l)
{
	memset(l, 0, sizeof(*l));
	map_init(&l->by_token, LINEAGE_TASKS);
	map_init(&l->responded, RESPONDED_MAX);
	map_init(&l->by_kind, LINEAGE_CODES);
}

void lineage_release(struct lineage *l)
{
	free(l->v);
	free(l->kinds);
	map_release(&l->by_token);
	map_release(&l->responded);
	map_release(&l->by_kind);
	memset(l, 0, sizeof(*l));
}

const struct lineage_task *lineage_find(const struct lineage *l, u32 token)
{
	const u64 *at = token ? map_find(&l->by_token, token) : NULL;

	return at ? &l->v[*at] : NULL;
}

/* A maker is older than what it makes: anything else is a circle that a hostile stream built. */
static const struct lineage_task *maker_of(const struct lineage *l, const struct lineage_task *t)
{
	const struct lineage_task *maker = lineage_find(l, t->parent);

	return maker && maker->tgid == t->tgid && maker->created_ns < t->created_ns ? maker : NULL;
}

/* Its index; KIND_NONE: no room. */
static u32 kind_get(struct lineage *l, u32 tgid, u64 code)
{
	u64 key = hash_u64(code ^ (u64)tgid << 40);
	const u64 *at = map_find(&l->by_kind, key);

	if (at)
		return (u32)*at;
	if (!array_room(&l->kinds, l->nkinds, &l->kinds_cap, LINEAGE_CODES, sizeof(*l->kinds)) ||
	    map_put(&l->by_kind, key, l->nkinds))
		return KIND_NONE;
	l->kinds[l->nkinds] = (struct lineage_kind){ 0 };
	return l->nkinds++;
}

static bool make_room(struct lineage *l)
{
	u32 cap = l->cap ? 2 * l->cap : FIRST_CAP;
	struct lineage_task *v;

	if (l->n < l->cap || l->cap == LINEAGE_TASKS)
		return true;
	v = realloc(l->v, cap * sizeof(*v));
	if (!v)
		return l->cap != 0; /* goes round in what there is */
	l->v = v;
	l->cap = cap;
	l->next = l->n;
	return true;
}

void lineage_add(struct lineage *l, const struct ev_task *ev)
{
	const struct lineage_task *known = lineage_find(l, ev->token);
	struct lineage_task *t;

	/* A task may be told twice. */
	if (!ev->token || (known && known->created_ns == ev->created_ns))
		return;
	if (!make_room(l)) {
		l->refused++;
		return;
	}
	t = &l->v[l->next];
	if (l->n == l->cap && t->token) {
		const u64 *at = map_find(&l->by_token, t->token);

		if (at && *at == l->next)
			map_del(&l->by_token, t->token);
	}
	*t = (struct lineage_task){ .created_ns = ev->created_ns,
				    .kind = kind_get(l, ev->hdr.tgid, ev->code),
				    .token = ev->token,
				    .parent = ev->parent,
				    .tgid = ev->hdr.tgid };
	if (map_put(&l->by_token, ev->token, l->next)) {
		t->token = 0;
		l->refused++;
	}
	if (t->kind < l->nkinds) {
		const u64 *done = map_find(&l->responded, ev->parent);

		l->kinds[t->kind].made++;
		t->afresh = !ev->parent || (done && ev->created_ns < *done + NEXT_NS);
		l->kinds[t->kind].afresh += t->afresh;
	}
	l->n = MAX(l->n, l->next + 1);
	l->next = (l->next + 1) % l->cap;
}

/* Tasks that it made while the response was on its way out. */
static void look_back(struct lineage *l, u32 token, u64 end_ns)
{
	u32 i;

	for (i = 1; i <= MIN(l->n, LOOK_BACK); i++) {
		struct lineage_task *t = &l->v[(l->next + l->cap - i) % l->cap];

		if (t->created_ns + NEXT_NS < end_ns)
			break;
		if (t->parent != token || t->afresh || t->kind >= l->nkinds)
			continue;
		t->afresh = true;
		l->kinds[t->kind].afresh++;
	}
}

void lineage_learn(struct lineage *l, u32 token, u64 end_ns)
{
	const struct lineage_task *t = lineage_find(l, token);
	u32 depth;

	if (!t)
		return;
	for (depth = 0; t && depth < LINEAGE_DEPTH; depth++, t = maker_of(l, t))
		if (t->kind < l->nkinds)
			l->kinds[t->kind].responds = true;
	if (l->responded.n >= RESPONDED_MAX)
		map_clear(&l->responded);
	if (map_put(&l->responded, token, end_ns))
		l->refused++;
	look_back(l, token, end_ns);
}

static bool begins_requests(const struct lineage *l, const struct lineage_task *t)
{
	const struct lineage_kind *k = t->kind < l->nkinds ? &l->kinds[t->kind] : NULL;

	return k && k->responds && k->afresh * AFRESH_LEAST >= k->made;
}

u32 lineage_root(const struct lineage *l, u32 token)
{
	const struct lineage_task *t = lineage_find(l, token), *maker;
	u32 depth;

	for (depth = 0; t && depth < LINEAGE_DEPTH; depth++, t = maker) {
		maker = maker_of(l, t);
		if (!maker || begins_requests(l, t))
			return t->token;
	}
	return 0;
}
