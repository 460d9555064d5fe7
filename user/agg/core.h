/* SPDX-License-Identifier: Apache-2.0 */
/* struct agg: the tables behind agg.h, shared by agg.c (feeding) and report.c (reading). */
#ifndef AGG_CORE_H
#define AGG_CORE_H

#include "agg/agg.h"
#include "agg/bound.h"
#include "agg/ledgers.h"
#include "agg/conn.h"
#include "agg/external.h"
#include "agg/httprow.h"
#include "agg/offcpu.h"
#include "agg/query.h"
#include "agg/sites.h"
#include "agg/stacks.h"
#include "agg/window.h"

#define AGG_TARGETS_MAX 256
#define AGG_PIDS_MAX 1024
#define AGG_NOTES_MAX 64
#define AGG_CONFIG_MAX 65536
#define AGG_PROBES_MAX 32
#define AGG_WITHOUT_MAX 64

struct target {
	struct agg_target pub;
	u32 *pids;
	u32 pids_cap;
	struct http_budget budget;
	struct http_tree tree; /* served requests */
};

struct notes {
	const char *text[AGG_NOTES_MAX];
	u32 n;
};

struct measured {
	struct agg_probe probes[AGG_PROBES_MAX];
	u32 nprobes;
	const char *without[AGG_WITHOUT_MAX];
	u32 nwithout;
};

struct stuck { /* see struct agg_stuck */
	u64 requests;
	u64 unread;
	u64 before;
	u64 oldest_ns;
	u16 target; /* of the oldest one; its method and path, nothing when it was not read */
	char method[16];
	char path[1024];
};

struct agg {
	struct agg_opts opts;
	struct strpool texts;
	struct target *targets[AGG_TARGETS_MAX];
	struct window window;
	struct resources resources;
	struct conns conns;
	struct externals externals;
	struct queries queries;
	struct stacks stacks;
	struct offcpu offcpu;
	struct bound bound;
	struct ledgers ledgers;
	struct sites sites;
	struct agg_live live;
	u64 lost[DROP_MAX]; /* as the collector counted them */
	u64 dropped[DROP_MAX]; /* by the stages on this side */
	u64 events;
	struct stuck stuck;
	u64 refused; /* of targets past AGG_TARGETS_MAX, or without memory */
	struct ev_cost cost;
	struct notes stream_notes;
	struct buf config;
	u64 calls_bound;
	u64 calls_unbound;
	u64 bind_refused;
	u64 adopted; /* calls whose database and user are those of the other connections */
	/* made by agg_finish() */
	bool finished;
	struct agg_report report;
	struct agg_target *target_rows;
	struct agg_endpoint *endpoints;
	const struct agg_endpoint **endpoint_list;
	const struct agg_query **query_list;
	const struct agg_pool **pool_list;
	const struct agg_external **external_list;
	struct notes notes;
	struct measured measured;
};

/* report.c */
void report_release(struct agg *agg);
/* adopt.c: before the rows are sorted; returns the calls that were given an identity. */
u64 queries_adopt(struct agg *agg);
/* measured.c: what the CONFIG records say was measured, into report.trust. */
void measured_read(struct agg *agg);
/* notes.c: what a reader must know before believing the figures, the most important first. */
void notes_make(struct agg *agg);

static inline void notes_add(struct notes *n, const char *text)
{
	u32 i;

	for (i = 0; i < n->n; i++)
		if (n->text[i] == text)
			return;
	if (n->n < AGG_NOTES_MAX)
		n->text[n->n++] = text;
}

#endif
