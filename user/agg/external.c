/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Outgoing calls. Input: HTTP exchanges in the client role, and every other outgoing connection
 * when it ends. Output: rows by (peer, method, route) for HTTP, by (peer, protocol) for the rest.
 *
 * The time to connect is given to the first call of a connection, so that a row shows how often
 * its calls had to wait for a new one.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include "agg/external.h"
#include "agg/text.h"

static struct external_peer *peer_new(struct externals *e, u16 target, const char *peer)
{
	struct external_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	if (http_tree_init(&p->tree, e->texts, &e->budget, e->fanout)) {
		free(p);
		return NULL;
	}
	p->target = target;
	p->peer = peer;
	e->peers[e->npeers++] = p;
	return p;
}

int externals_init(struct externals *e, struct strpool *texts, u32 max_rows, u32 fanout)
{
	memset(e, 0, sizeof(*e));
	e->texts = texts;
	e->budget.max = max_rows;
	e->budget.bound = &e->rows;
	bound_init(&e->rows);
	e->fanout = fanout;
	map_init(&e->peer_of, EXTERNAL_PEERS_MAX);
	map_init(&e->plain_of, max_rows);
	e->plain = calloc((size_t)max_rows + 1, sizeof(*e->plain));
	if (!e->plain || !peer_new(e, 0, strpool_get(texts, STRPOOL_OTHER).p)) {
		externals_release(e);
		return -ENOMEM;
	}
	e->plain[0].protocol = e->plain[0].peer = strpool_get(texts, STRPOOL_OTHER).p;
	e->plain[0].method = e->plain[0].route = strpool_get(texts, 0).p;
	e->nplain = 1;
	return 0;
}

void externals_release(struct externals *e)
{
	u32 i;

	for (i = 0; i < e->npeers; i++) {
		http_tree_release(&e->peers[i]->tree);
		free(e->peers[i]);
	}
	for (i = 0; i < e->nplain; i++)
		hist_release(&e->plain[i].connect);
	free(e->plain);
	free(e->out);
	bound_release(&e->rows);
	map_release(&e->peer_of);
	map_release(&e->plain_of);
	memset(e, 0, sizeof(*e));
}

static struct http_tree *tree_of(struct externals *e, const struct conn *c)
{
	u64 key = hash_bytes(&c->peer, sizeof(c->peer), c->target);
	const u64 *i = map_find(&e->peer_of, key);
	struct external_peer *p;

	if (i)
		return &e->peers[*i]->tree;
	if (e->npeers > EXTERNAL_PEERS_MAX || map_put(&e->peer_of, key, e->npeers))
		return &e->peers[0]->tree;
	p = peer_new(e, c->target, c->peer);
	if (!p) {
		map_del(&e->peer_of, key);
		return &e->peers[0]->tree;
	}
	return &p->tree;
}

struct http_row *externals_http(struct externals *e, struct conn *c, const struct http_exchange *x)
{
	struct http_tree *tree = &e->peers[0]->tree;
	struct http_row *row;

	if (c) {
		if (!c->tree)
			c->tree = tree_of(e, c);
		tree = c->tree;
	}
	if (tree == &e->peers[0]->tree)
		e->folded++;
	row = http_tree_add(tree, x);
	if (!(x->flags & (SPAN_AT_ATTACH | SPAN_AT_DETACH)))
		e->calls++;
	if (row && c && c->connect_ns) {
		hist_add(&row->connect, (double)c->connect_ns);
		c->connect_ns = 0;
	}
	return row;
}

void externals_conn(struct externals *e, struct conn *c, const struct conn_info *info)
{
	const char *protocol = info->status == CONN_ENCRYPTED ? "tls"
			       : info->family == AF_UNIX      ? "unix"
							      : "tcp";
	struct agg_external *row;
	const char *key[2];
	u64 h, *i;

	if (c->role != HP_ROLE_CLIENT || c->pool || c->tree || c->proto[0])
		return;
	if (!c->opened && !info->bytes[HP_SEND] && !info->bytes[HP_RECV])
		return;
	key[0] = text_addz(e->texts, protocol);
	key[1] = c->peer;
	h = hash_bytes(key, sizeof(key), c->target);
	i = map_find(&e->plain_of, h);
	if (i) {
		row = &e->plain[*i];
	} else if (e->nplain > e->budget.max || map_put(&e->plain_of, h, e->nplain)) {
		row = &e->plain[0];
		e->folded++;
	} else {
		row = &e->plain[e->nplain++];
		row->target = c->target;
		row->protocol = key[0];
		row->peer = c->peer;
		row->method = row->route = strpool_get(e->texts, 0).p;
	}
	row->count++;
	row->errors += info->err != 0;
	row->sent += info->bytes[HP_SEND];
	row->received += info->bytes[HP_RECV];
	if (c->connect_ns)
		hist_add(&row->connect, (double)c->connect_ns);
}

struct collect {
	struct externals *e;
	const struct external_peer *peer;
};

static void collect_row(void *arg, struct http_row *row, const struct buf *route, bool replaced)
{
	struct collect *to = arg;
	struct externals *e = to->e;

	e->out[e->nout++] = (struct agg_external){
		.target = to->peer->target,
		.protocol = text_addz(e->texts, "http"),
		.method = row->method,
		.peer = to->peer->peer,
		.route = text_add(e->texts, buf_slice(route)),
		.source = replaced ? AGG_ROUTE_CLUSTERED : AGG_ROUTE_LITERAL,
		.count = row->count,
		.errors = row->failed,
		.timeouts = row->timeouts,
		.untimed = row->untimed,
		.at_attach = row->at_attach,
		.at_detach = row->at_detach,
		.sent = row->request_bytes,
		.received = row->response_bytes,
		.status = row->codes,
		.nstatus = row->ncodes,
		.latency = row->latency,
		.connect = row->connect,
		.row = row->number,
	};
}

int externals_finish(struct externals *e)
{
	size_t n = e->nplain;
	u32 i;

	for (i = 0; i < e->npeers; i++)
		n += http_tree_rows(&e->peers[i]->tree);
	e->out = calloc(n, sizeof(*e->out));
	if (!e->out)
		return -ENOMEM;
	for (i = e->plain[0].count ? 0 : 1; i < e->nplain; i++)
		e->out[e->nout++] = e->plain[i];
	for (i = 0; i < e->npeers; i++) {
		struct collect to = { .e = e, .peer = e->peers[i] };

		http_tree_each(&e->peers[i]->tree, collect_row, &to);
	}
	return 0;
}
