/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executed statements. Input: calls with their masked text. Output: one row for each normalised
 * statement of a pool, with counts, errors by SQLSTATE, rows and latencies.
 *
 * Normalising costs microseconds and applications repeat their texts, so a cache from the hash of
 * the raw text finds the row. A program that writes values into its texts defeats the cache, and
 * then each text is normalised once; the cache is emptied when full, never grown.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include "agg/query.h"
#include "agg/text.h"
#include "proto/sql.h"

#define TRUNCATED_SALT 0x74727563ULL

void queries_init(struct queries *q, struct strpool *texts, u32 max)
{
	memset(q, 0, sizeof(*q));
	q->texts = texts;
	q->max = max;
	/* An "(other)" row for every pool beside. */
	map_init(&q->by_key, (size_t)max + POOLS_MAX + 1);
	map_init(&q->cache, QUERY_CACHE_MAX);
}

void query_free(struct agg_query *row)
{
	free(row->codes);
	hist_release(&row->latency);
	hist_release(&row->first_row);
	free((char *)row->statement);
	free(row);
}

void queries_release(struct queries *q)
{
	u32 i;

	for (i = 0; i < q->n + q->nmerged; i++)
		query_free(q->rows[i]);
	free(q->rows);
	map_release(&q->by_key);
	map_release(&q->cache);
	buf_release(&q->scratch);
	memset(q, 0, sizeof(*q));
}

static void make_printable(char *p)
{
	for (; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '.';
}

static struct agg_query *row_new(struct queries *q, const struct pool *pool, u64 key, u16 target)
{
	struct agg_query *row;

	if (q->n == q->cap) {
		u32 cap = q->cap ? q->cap * 2 : 32;
		struct agg_query **rows = realloc(q->rows, cap * sizeof(*rows));

		if (!rows)
			return NULL;
		q->rows = rows;
		q->cap = cap;
	}
	row = calloc(1, sizeof(*row));
	if (!row)
		return NULL;
	if (map_put(&q->by_key, key, q->n)) {
		free(row);
		return NULL;
	}
	row->number = q->n;
	q->rows[q->n++] = row;
	row->target = target;
	row->system = pool->pub.system;
	row->peer = pool->pub.peer;
	row->database = pool->pub.database;
	row->user = pool->pub.user;
	row->operation = strpool_get(q->texts, 0).p;
	return row;
}

/* The row of a text that the cache does not know. */
static s64 row_of_text(struct queries *q, const struct pool *pool, const struct db_call *c)
{
	bool truncated = c->flags & SPAN_TRUNCATED, unknown = c->flags & SPAN_UNKNOWN_TEXT;
	struct agg_query *row;
	char operation[32] = "";
	u64 print, key, *i;

	buf_clear(&q->scratch);
	if (unknown) {
		buf_add(&q->scratch, c->sql.p, MIN(c->sql.n, QUERY_TEXT_MAX));
		print = hash_bytes(c->sql.p, c->sql.n, 0);
	} else {
		print = sql_normalise(c->sql, truncated, QUERY_TEXT_MAX, &q->scratch);
		sql_operation(c->sql, operation, sizeof(operation));
	}
	q->normalised++;
	key = hash_u64(print ^ hash_u64(pool->id << 16 | c->target));
	i = map_find(&q->by_key, key);
	if (i) {
		q->rows[*i]->truncated &= truncated;
		return (s64)*i;
	}
	if (q->n >= q->max) {
		key = hash_u64((u64)pool->id << 16 | c->target) + 1;
		i = map_find(&q->by_key, key);
		if (i)
			return (s64)*i;
		row = row_new(q, pool, key, c->target);
		if (!row)
			return -1;
		row->statement = strdup("(other)");
	} else {
		row = row_new(q, pool, key, c->target);
		if (!row)
			return -1;
		buf_addch(&q->scratch, '\0');
		row->statement = strdup(q->scratch.oom ? "(other)" : q->scratch.p);
		row->operation = text_addz(q->texts, operation);
		row->truncated = truncated;
		row->prepared = unknown && slice_starts(c->sql, SLICE("<prepared"));
		snprintf(row->fingerprint, sizeof(row->fingerprint), "%016" PRIx64, print);
	}
	if (!row->statement) {
		map_del(&q->by_key, key);
		q->n--;
		free(row);
		return -1;
	}
	make_printable((char *)row->statement);
	return q->n - 1;
}

static struct agg_query *row_of(struct queries *q, const struct pool *pool, const struct db_call *c)
{
	u64 key = c->sql_hash ? c->sql_hash : hash_bytes(c->sql.p, c->sql.n, 0), *hit;
	s64 i;

	if (c->flags & (SPAN_TRUNCATED | SPAN_UNKNOWN_TEXT))
		key ^= TRUNCATED_SALT * (c->flags & (SPAN_TRUNCATED | SPAN_UNKNOWN_TEXT));
	key = hash_u64(key + hash_u64((u64)pool->id << 16 | c->target));
	hit = map_find(&q->cache, key);
	if (hit)
		return q->rows[*hit];
	i = row_of_text(q, pool, c);
	if (i < 0)
		return NULL;
	if (q->cache.n >= QUERY_CACHE_MAX)
		map_clear(&q->cache);
	map_put(&q->cache, key, (u64)i);
	return q->rows[i];
}

void query_error(struct agg_query *row, const char code[6], u64 n)
{
	struct agg_sqlstate *codes = row->codes;
	u32 i;
	int order = -1;

	row->errors += n;
	for (i = 0; i < row->ncodes; i++) {
		order = strncmp(codes[i].code, code, 5);
		if (order >= 0)
			break;
	}
	if (i < row->ncodes && !order) {
		codes[i].n += n;
		return;
	}
	if (row->ncodes == QUERY_CODES_MAX) {
		row->codes_other += n;
		return;
	}
	if (!(row->ncodes & (row->ncodes - 1))) {
		codes = realloc(codes, MAX(row->ncodes * 2, 1U) * sizeof(*codes));
		if (!codes) {
			row->codes_other += n;
			return;
		}
		row->codes = codes;
	}
	memmove(&codes[i + 1], &codes[i], (row->ncodes - i) * sizeof(*codes));
	memset(&codes[i], 0, sizeof(codes[i]));
	memcpy(codes[i].code, code, strnlen(code, 5));
	make_printable(codes[i].code);
	codes[i].n = n;
	row->ncodes++;
}

struct agg_query *queries_add(struct queries *q, const struct pool *pool, const struct db_call *c)
{
	struct agg_query *row = row_of(q, pool, c);

	if (!row)
		return NULL;
	if (!row->fingerprint[0])
		q->folded++;
	if (c->flags & SPAN_AT_ATTACH) {
		row->at_attach++;
		return row;
	}
	if (c->flags & SPAN_AT_DETACH) {
		row->at_detach++;
		return row;
	}
	row->rows += c->rows;
	row->round_trips += c->trips;
	/* The next rows of a statement that was counted when its first ones came. */
	if (c->flags & SPAN_CONTINUED && !c->error)
		return row;
	row->count++;
	if (c->error)
		query_error(row, c->sqlstate, 1);
	if (!span_timed(c->flags) || !c->start_ns || c->end_ns < c->start_ns) {
		row->untimed++;
		return row;
	}
	hist_add(&row->latency, (double)(c->end_ns - c->start_ns));
	if (c->first_row_ns >= c->start_ns)
		hist_add(&row->first_row, (double)(c->first_row_ns - c->start_ns));
	return row;
}
