/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 3: from records to connections, streams and exchanges.
 *
 * One struct conn a connection: its two byte positions, the protocol once it is recognised, and that
 * parser's state. Records are masked in place while they are parsed: after session_record() returns,
 * the record may be written to a file.
 */
#ifndef SESSION_SESSION_H
#define SESSION_SESSION_H

#include "base/types.h"
#include "hp/events.h"
#include "session/span.h"

struct session;

struct session_opts {
	bool show_literals;
	bool no_http;
	bool no_db;
	u32 conns_max; /* 0 = 65536 */
	size_t memory_max; /* of all parsers beyond their fixed states; 0 = 128 MiB */
};

/* All set; arg is given back. Spans are valid during the callback only. */
struct session_sink {
	void *arg;
	void (*http)(void *arg, const struct http_exchange *x);
	void (*db)(void *arg, const struct db_call *c);
	void (*db_event)(void *arg, const struct db_event *e);
	void (*conn)(void *arg, const struct conn_info *c);
	void (*drop)(void *arg, enum hp_drop why, u64 n);
	/* How much of a connection to carry from now on. A replay ignores it. */
	void (*verdict)(void *arg, u64 conn_id, const struct hp_verdict *v);
};

int session_new(struct session **ret, const struct session_opts *opts,
		const struct session_sink *sink);
void session_free(struct session *s);
/* A checked record of kind CONN_OPEN, CONN_STATE, CONN_CLOSE, CONN_BYTES, DATA or CONT; others are ignored. */
void session_record(struct session *s, struct ev_hdr *rec);
/* The window ended at ts_ns: what is under way is delivered with SPAN_AT_DETACH. */
void session_finish(struct session *s, u64 ts_ns);

#endif
