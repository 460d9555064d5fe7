/* SPDX-License-Identifier: Apache-2.0 */
/* See conn.h: names of a connection's ends, and its end of life. */
#include "session/conn.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void inet_name(char *out, u16 family, const u8 *addr, u16 port)
{
	static const u8 mapped[12] = { [10] = 0xff, [11] = 0xff };
	char text[INET6_ADDRSTRLEN];

	if (family == AF_INET6 && memcmp(addr, mapped, sizeof(mapped)) == 0) {
		/* A v4 peer on a v6 socket is the same peer as on a v4 one. */
		family = AF_INET;
		addr += sizeof(mapped);
	}
	if (!inet_ntop(family, addr, text, sizeof(text)))
		snprintf(text, sizeof(text), "?");
	snprintf(out, CONN_NAME_MAX, family == AF_INET6 ? "[%s]:%u" : "%s:%u", text, port);
}

static void unix_name(char *out, const char *path)
{
	size_t i;

	snprintf(out, CONN_NAME_MAX, "%s", path[0] ? path : "unix");
	for (i = 0; out[i]; i++)
		if ((unsigned char)out[i] < 0x20 || out[i] == 0x7f)
			out[i] = '.';
}

static void set_names(struct conn *c, const struct ev_conn_open *ev)
{
	memcpy(c->path, ev->path, HP_PATH_MAX);
	if (ev->family == AF_UNIX) {
		unix_name(c->peer, c->path);
		unix_name(c->local, c->path);
	} else {
		inet_name(c->peer, ev->family, ev->peer_addr, ev->peer_port);
		inet_name(c->local, ev->family, ev->local_addr, ev->local_port);
	}
	c->ctx.peer_port = ev->peer_port;
	c->ctx.local_port = ev->local_port;
	c->info.peer = slice_str(c->peer);
	c->info.local = slice_str(c->local);
	c->info.peer_port = ev->peer_port;
	c->info.family = ev->family;
}

void conn_init(struct conn *c, const struct ev_conn_open *ev)
{
	memset(c, 0, sizeof(*c));
	c->ctx.conn_id = ev->conn_id;
	c->ctx.open_ns = ev->hdr.ts_ns;
	c->ctx.role = ev->role;
	c->ctx.mid_stream = ev->origin == HP_ORIGIN_SEED || ev->origin == HP_ORIGIN_LAZY;
	c->ctx.target = ev->hdr.target;
	c->ctx.path = c->path;
	c->info = (struct conn_info){
		.conn_id = ev->conn_id,
		.open_ns = ev->hdr.ts_ns,
		.established_ns = ev->established_ns,
		.proto = "",
		.reason = "",
		.tgid = ev->hdr.tgid,
		.target = ev->hdr.target,
		.role = ev->role,
		.origin = ev->origin,
		.owes = ev->owes,
	};
	set_names(c, ev);
}

void conn_learn(struct conn *c, const struct ev_conn_open *ev)
{
	set_names(c, ev);
	c->info.established_ns = ev->established_ns;
	c->info.origin = ev->origin;
	c->info.owes = ev->owes;
	if (c->ctx.role == HP_ROLE_UNKNOWN)
		c->ctx.role = c->info.role = ev->role;
	c->adopted = false;
}

void conn_free(struct conn *c)
{
	if (!c)
		return;
	if (c->proto && c->state)
		c->proto->release(c->state);
	free(c->state);
	free(c);
}
