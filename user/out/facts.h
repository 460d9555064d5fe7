/* SPDX-License-Identifier: Apache-2.0 */
/* What several outputs say alike: rankings, encrypted databases, notes on what is not recorded. */
#ifndef OUT_FACTS_H
#define OUT_FACTS_H

#include "agg/agg.h"

/*
 * Indices of the rows with the largest key, largest first, equal ones in table order; rows whose key
 * is 0 or less are left out. Returns how many, at most max.
 */
typedef double (*facts_key)(const struct agg_report *rep, u32 i);
u32 facts_rank(const struct agg_report *rep, u32 rows, facts_key key, u32 max, u32 *ret_rows);

double facts_endpoint_time(const struct agg_report *rep, u32 i); /* sum of its latencies */
double facts_query_time(const struct agg_report *rep, u32 i);
double facts_external_time(const struct agg_report *rep, u32 i);

double facts_all_endpoint_time(const struct agg_report *rep);
double facts_all_query_time(const struct agg_report *rep);

/* Database connections that nobody can read, worst peer first. */
struct facts_tls {
	const char *system; /* "PostgreSQL", "a database" … */
	const char *peer; /* of the worst */
	u64 conns; /* to it */
	u32 peers; /* how many such peers there are */
	const char *fix;
};
bool facts_encrypted(const struct agg_report *rep, struct facts_tls *ret);

/* A text for each part of summary.json that is null in this report; false at the end. */
bool facts_null_note(const struct agg_report *rep, u32 *pos, const char **ret_note);

/* "uvicorn app:app (pid 1234)"; with more than one target "… and 2 more". */
void facts_title(const struct agg_report *rep, struct buf *out);

#endif
