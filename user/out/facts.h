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
double facts_external_failed(const struct agg_report *rep, u32 i); /* or given up */
u64 facts_all_failed(const struct agg_report *rep); /* the same of all outgoing calls */

/* Sum of the latencies of a row of uses; the same of those that a request makes again and again. */
double facts_use_time(const struct agg_report *rep, u32 i);
double facts_repeated_time(const struct agg_report *rep, u32 i);
double facts_use_per_request(const struct agg_use *use);

/* "list_orders app.py:83", and how much of it when that is not all. */
void facts_site(const struct agg_site *sites, u32 n, struct buf *out);

double facts_all_endpoint_time(const struct agg_report *rep);
double facts_all_query_time(const struct agg_report *rep);
/* Share of that in statements prepared before attach: their text is not known. */
double facts_prepared_ratio(const struct agg_report *rep);

double facts_bpf_cores(const struct agg_report *rep); /* of its probes */
/* Cores that hostprof took: its probes, inside the target, and its own processes. */
double facts_cost_cores(const struct agg_report *rep);
/* The probes run at system calls of every process of the host, not of the targets alone. */
bool facts_whole_host(const struct agg_report *rep);
/* CPU of the probes by that of the target; false when it was not measured or says nothing. */
bool facts_cost_ratio(const struct agg_report *rep, double *ret);

/* Requests answered 400 to 499, of one endpoint and of all. */
u64 facts_refused(const struct agg_endpoint *e);
u64 facts_all_refused(const struct agg_report *rep);

/* "shop"; "pid 4242" when that names several or nothing. The tag is " (shop)" with several targets. */
void facts_target_name(const struct agg_report *rep, u16 id, struct buf *out);
void facts_target_tag(const struct agg_report *rep, u16 id, struct buf *out);
/* "GET /items", "GET 10.0.0.9:80/rates", "app@shop at 10.0.0.9:5432". */
void facts_endpoint_name(const struct agg_endpoint *e, struct buf *out);
void facts_external_name(const struct agg_external *e, struct buf *out);
void facts_pool_name(const struct agg_pool *p, struct buf *out);

/* Database connections that nobody can read, worst peer first. */
struct facts_tls {
	const char *system; /* "PostgreSQL", "a database" … */
	const char *peer; /* of the worst */
	u64 conns; /* to it */
	u32 peers; /* how many such peers there are */
	const char *fix;
};
bool facts_encrypted(const struct agg_report *rep, struct facts_tls *ret);

/*
 * A text for each part of summary.json that is null in this report, and the same for people; false at
 * the end.
 */
bool facts_null_note(const struct agg_report *rep, u32 *pos, const char **ret_note,
		     const char **ret_plain);

/* "uvicorn app:app (pid 1234)"; with more than one target "… and 2 more". */
void facts_title(const struct agg_report *rep, struct buf *out);

#endif
