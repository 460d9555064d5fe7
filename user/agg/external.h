/* SPDX-License-Identifier: Apache-2.0 */
/* What the targets call besides databases: HTTP by route, all else by peer. */
#ifndef AGG_EXTERNAL_H
#define AGG_EXTERNAL_H

#include "agg/agg.h"
#include "agg/conn.h"
#include "agg/httprow.h"
#include "base/map.h"

#define EXTERNAL_PEERS_MAX 128

/* One called HTTP server. */
struct external_peer {
	struct http_tree tree;
	u16 target;
	const char *peer;
};

struct externals {
	struct strpool *texts;
	struct http_budget budget;
	struct bound
		rows; /* numbers of HTTP rows, and what they became; nothing is bound to them */
	u32 fanout;
	struct map peer_of;
	struct external_peer *peers[EXTERNAL_PEERS_MAX + 1]; /* peers[0]: "(other)" */
	u32 npeers;
	struct map plain_of;
	struct agg_external *plain; /* not HTTP; plain[0]: "(other)" */
	u32 nplain;
	u64 calls;
	u64 folded;
	struct agg_external *out; /* plain rows and HTTP rows together */
	u32 nout;
};

int externals_init(struct externals *e, struct strpool *texts, u32 max_rows, u32 fanout);
void externals_release(struct externals *e);
/* Returns its row, NULL when memory is short. c may be NULL: the connection did not fit into its table. */
struct http_row *externals_http(struct externals *e, struct conn *c, const struct http_exchange *x);
/* At the end of a connection that the target opened: counts it unless it is HTTP or a database. */
void externals_conn(struct externals *e, struct conn *c, const struct conn_info *info);
int externals_finish(struct externals *e);

#endif
