/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Connections opened before attach do not say as whom they logged in. Where every other connection of
 * the target to that server has one database and one user, their statements are the same rows: merged
 * here, when the window is over, and said in a note. With two identities or none nothing is assumed.
 */
#include <string.h>

#include "agg/core.h"

static bool anonymous(const struct agg_query *q)
{
	return q->system[0] && !q->database[0] && !q->user[0];
}

/* The only identity known for that server; NULL: none, or more than one. */
static const struct agg_pool *only_identity(const struct agg *a, const struct agg_query *q)
{
	const struct agg_pool *found = NULL;
	u32 i;

	for (i = 1; i < a->conns.npools; i++) {
		const struct agg_pool *p = &a->conns.pools[i]->pub;

		if (p->target != q->target || strcmp(p->system, q->system) ||
		    strcmp(p->peer, q->peer) || (!p->database[0] && !p->user[0]))
			continue;
		if (found)
			return NULL;
		found = p;
	}
	return found;
}

static struct agg_query *same_row(const struct agg *a, const struct agg_query *q,
				  const struct agg_pool *p)
{
	u32 i;

	for (i = 0; i < a->queries.n; i++) {
		struct agg_query *o = a->queries.rows[i];

		if (o && o != q && o->target == q->target &&
		    !strcmp(o->fingerprint, q->fingerprint) && !strcmp(o->system, q->system) &&
		    !strcmp(o->peer, q->peer) && !strcmp(o->database, p->database) &&
		    !strcmp(o->user, p->user) && !strcmp(o->statement, q->statement))
			return o;
	}
	return NULL;
}

/* False: memory is short; the row stays as it is. */
static bool merge_row(struct agg_query *to, const struct agg_query *from)
{
	u32 i;

	if (hist_merge(&to->latency, &from->latency) ||
	    hist_merge(&to->first_row, &from->first_row))
		return false;
	to->truncated &= from->truncated;
	to->count += from->count;
	to->rows += from->rows;
	to->round_trips += from->round_trips;
	to->untimed += from->untimed;
	to->at_attach += from->at_attach;
	to->at_detach += from->at_detach;
	to->codes_other += from->codes_other;
	to->errors += from->codes_other;
	for (i = 0; i < from->ncodes; i++)
		query_error(to, from->codes[i].code, from->codes[i].n);
	return true;
}

u64 queries_adopt(struct agg *a)
{
	struct queries *q = &a->queries;
	u64 calls = 0;
	u32 i, kept = 0;

	for (i = 0; i < q->n; i++) {
		struct agg_query *row = q->rows[i], *other;
		const struct agg_pool *p = anonymous(row) ? only_identity(a, row) : NULL;

		if (p) {
			calls += row->count;
			other = same_row(a, row, p);
			if (!other) {
				row->database = p->database;
				row->user = p->user;
			} else if (merge_row(other, row)) {
				row->into = other;
				continue;
			}
		}
		q->rows[i] = q->rows[kept];
		q->rows[kept++] = row;
	}
	q->nmerged = q->n - kept;
	q->n = kept;
	return calls;
}
