/* SPDX-License-Identifier: Apache-2.0 */
/* The ledger of endpoints and who held up whom, as JSON and in words. */
#ifndef OUT_LEDGER_H
#define OUT_LEDGER_H

#include "agg/agg.h"
#include "base/json.h"

/* Keys ledger_ms, overlapped_ms, cpu_ms_per_request and attributed_ratio; l NULL: all null. */
void ledger_json(struct json *j, const struct agg_ledger *l);
/* Key blame; null when no request's time is known. */
void blame_json(struct json *j, const struct agg_report *rep);
/* {phase: ms} under key; phases without time are left out. */
void phases_json(struct json *j, const char *key, const u64 phase_ns[PHASES]);
/* "db 12 ms (61 %), cpu 4 ms (20 %)": the largest ones, those under 1 % left out. */
void ledger_words(struct buf *out, const struct agg_ledger_slice *s, u32 max);
/* Does the report know where any request's time went? */
bool ledger_known(const struct agg_report *rep);
/* Nanoseconds of all requests that waited for this holder; by row of rep->blames. */
double ledger_blame_time(const struct agg_report *rep, u32 i);

#endif
