/* SPDX-License-Identifier: Apache-2.0 */
/* See sites.h. */
#include "agg/sites.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agg/text.h"
#include "base/array.h"
#include "base/cleanup.h"

void sites_init(struct sites *s, struct strpool *texts)
{
	memset(s, 0, sizeof(*s));
	s->texts = texts;
	map_init(&s->by_conn, SITES_CONNS_MAX);
	map_init(&s->by_use, SITES_USES_MAX);
}

void sites_release(struct sites *s)
{
	map_release(&s->by_conn);
	map_release(&s->by_use);
	free(s->conns);
	free(s->free);
	free(s->uses);
	free(s->out);
	memset(s, 0, sizeof(*s));
}

static struct site_conn *conn_get(struct sites *s, u64 conn_id)
{
	const u64 *hit = map_find(&s->by_conn, conn_id);
	u32 at;

	if (hit)
		return &s->conns[*hit];
	if (s->nfree)
		at = s->free[s->nfree - 1];
	else if (array_room(&s->conns, s->nconns, &s->conns_cap, SITES_CONNS_MAX,
			    sizeof(*s->conns)))
		at = s->nconns;
	else
		return NULL;
	if (map_put(&s->by_conn, conn_id, at))
		return NULL;
	if (s->nfree)
		s->nfree--;
	else
		s->nconns++;
	s->conns[at] = (struct site_conn){ 0 };
	return &s->conns[at];
}

void sites_sent(struct sites *s, const struct ev_site *rec, u32 node)
{
	struct site_conn *c = rec->weight ? conn_get(s, rec->conn_id) : NULL;

	if (!c) {
		s->refused++;
		return;
	}
	c->sends[c->next++ % SITES_SENDS] = (struct site_send){
		.pos = rec->pos, .len = rec->len, .node = node, .weight = rec->weight
	};
}

void sites_conn_end(struct sites *s, u64 conn_id)
{
	const u64 *hit = map_find(&s->by_conn, conn_id);

	/* Without room for the number its place is lost until the end, which is bounded, too. */
	if (hit &&
	    array_room(&s->free, s->nfree, &s->free_cap, SITES_CONNS_MAX, sizeof(*s->free))) {
		s->free[s->nfree++] = (u32)*hit;
		map_del(&s->by_conn, conn_id);
	}
}

static u64 use_key(const struct site_use *u)
{
	return hash_u64((u64)u->row << 32 | u->node) + u->of;
}

static void use_add(struct sites *s, const struct site_use *add)
{
	const u64 *hit = map_find(&s->by_use, use_key(add));
	struct site_use *u;

	if (hit) {
		u = &s->uses[*hit];
		u->weight += add->weight;
		u->samples += add->samples;
		return;
	}
	if (!array_room(&s->uses, s->nuses, &s->uses_cap, SITES_USES_MAX, sizeof(*s->uses)) ||
	    map_put(&s->by_use, use_key(add), s->nuses))
		s->refused++;
	else
		s->uses[s->nuses++] = *add;
}

void sites_call(struct sites *s, enum site_of of, u32 row, u64 conn_id, u64 pos)
{
	const u64 *hit = map_find(&s->by_conn, conn_id);
	const struct site_send *e;
	u32 i;

	for (i = 0; hit && i < SITES_SENDS; i++) {
		e = &s->conns[*hit].sends[i];
		if (!e->weight || (pos != e->pos && (pos < e->pos || pos - e->pos >= e->len)))
			continue;
		use_add(s, &(struct site_use){ .row = row,
					       .node = e->node,
					       .of = of,
					       .weight = e->weight,
					       .samples = 1 });
		return;
	}
}

/* A use by name: of which row, at which node of the tree by name. */
struct placed {
	const struct agg_node *at;
	u64 weight;
	u64 samples;
	u64 calls; /* of the row */
	u32 row;
	u8 of;
};

static int cmp_placed(const void *pa, const void *pb)
{
	const struct placed *a = pa, *b = pb;

	if (a->of != b->of)
		return a->of < b->of ? -1 : 1;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	return strcmp(a->at->text, b->at->text);
}

static int cmp_placed_weight(const void *pa, const void *pb)
{
	const struct placed *a = pa, *b = pb;

	if (a->of != b->of)
		return a->of < b->of ? -1 : 1;
	if (a->row != b->row)
		return a->row < b->row ? -1 : 1;
	if (a->weight != b->weight)
		return a->weight > b->weight ? -1 : 1;
	return strcmp(a->at->text, b->at->text);
}

/* "function (file:line)", as agg/stacks.c makes it; native ones may be a name alone. */
static void set_texts(struct strpool *texts, struct slice text, struct agg_site *to)
{
	const char *open = memrchr(text.p, '(', text.n), *colon;
	struct slice in;

	to->function = text_add(texts, text);
	to->file = strpool_get(texts, 0).p;
	to->line = 0;
	if (!open || open == text.p || open[-1] != ' ' || text.p[text.n - 1] != ')')
		return;
	in = slice_of(open + 1, (size_t)(text.p + text.n - open) - 2);
	colon = memrchr(in.p, ':', in.n);
	if (colon) {
		to->line = (u32)strtoul(colon + 1, NULL, 10);
		in.n = (size_t)(colon - in.p);
	}
	to->function = text_add(texts, slice_of(text.p, (size_t)(open - text.p) - 1));
	to->file = text_add(texts, in);
}

static u32 merge(struct placed *v, u32 n)
{
	u32 i, kept = 0;

	qsort(v, n, sizeof(*v), cmp_placed);
	for (i = 0; i < n; i++) {
		struct placed *last = kept ? &v[kept - 1] : NULL;

		if (last && !cmp_placed(last, &v[i])) {
			last->weight += v[i].weight;
			last->samples += v[i].samples;
		} else {
			v[kept++] = v[i];
		}
	}
	qsort(v, kept, sizeof(*v), cmp_placed_weight);
	return kept;
}

/* The places of v[0], n of them, which share its row's calls; they add up to all of them. */
static void share(struct sites *s, const struct placed *v, u32 n, struct agg_site *out)
{
	double all = 0, sum = 0;
	u64 given = 0, until;
	u32 i;

	for (i = 0; i < n; i++)
		all += (double)v[i].weight;
	for (i = 0; i < n; i++) {
		sum += (double)v[i].weight;
		until = (u64)((double)v[0].calls * (sum / all) + 0.5);
		set_texts(s->texts, slice_str(v[i].at->text), &out[i]);
		out[i].count = until - given;
		out[i].samples = v[i].samples;
		given = until;
	}
}

int sites_finish(struct sites *s, const struct stacks *stacks, const struct sites_rows *rows)
{
	_free_ struct placed *v = calloc(MAX(s->nuses, 1U), sizeof(*v));
	const struct stack_tree *t = &stacks->sites;
	u32 i, k, n = 0;

	s->out = calloc(MAX(s->nuses, 1U), sizeof(*s->out));
	if (!v || !s->out)
		return -ENOMEM;
	for (i = 0; i < s->nuses && t->out; i++) {
		const struct site_use *u = &s->uses[i];
		struct placed p = { .weight = u->weight, .samples = u->samples, .of = u->of };

		if (!rows->row_now(rows->arg, u->of, u->row, &p.row, &p.calls))
			continue;
		p.at = places_best(t->out, &t->out[t->named[u->node]]);
		if (p.at->kind)
			v[n++] = p;
	}
	n = merge(v, n);
	for (i = 0; i < n; i = k) {
		for (k = i + 1; k < n && v[k].of == v[i].of && v[k].row == v[i].row; k++)
			;
		share(s, &v[i], k - i, &s->out[i]);
		rows->deal(rows->arg, v[i].of, v[i].row, &s->out[i], k - i);
	}
	s->nout = n;
	return 0;
}
