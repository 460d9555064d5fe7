/* SPDX-License-Identifier: Apache-2.0 */
/* Executed statements by (pool, fingerprint). */
#ifndef AGG_QUERY_H
#define AGG_QUERY_H

#include "agg/agg.h"
#include "agg/conn.h"
#include "base/buf.h"
#include "base/map.h"

#define QUERY_TEXT_MAX 2048
#define QUERY_CACHE_MAX 8192
#define QUERY_CODES_MAX 32

struct queries {
	struct strpool *texts;
	struct map by_key; /* hash of (pool, fingerprint) -> index in rows */
	struct map cache; /* hash of (pool, raw text) -> index in rows; emptied when full */
	struct agg_query **rows;
	u32 n;
	u32 nmerged; /* behind them: rows that went into others at the end, kept for who points at them */
	u32 cap;
	u32 max;
	struct buf scratch;
	u64 folded;
	u64 normalised; /* texts that went through the lexer */
};

void queries_init(struct queries *q, struct strpool *texts, u32 max);
void queries_release(struct queries *q);
/* The call's row, counted; NULL when memory is short. */
struct agg_query *queries_add(struct queries *q, const struct pool *pool, const struct db_call *c);

void query_error(struct agg_query *row, const char code[6], u64 n); /* n failed calls */
void query_free(struct agg_query *row);

#endif
