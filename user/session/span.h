/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What comes out of the protocol parsers: finished exchanges. Output struct of the session stage,
 * input of the aggregates.
 *
 * All times are CLOCK_MONOTONIC nanoseconds, 0 = not known. Slices are valid only during the
 * callback that delivers the span. Nothing in a span is private: parsers see masked bytes only.
 */
#ifndef SESSION_SPAN_H
#define SESSION_SPAN_H

#include "base/slice.h"
#include "base/types.h"

enum span_flags {
	SPAN_AT_ATTACH = 1 << 0, /* began before it could be seen: no latency */
	SPAN_AT_DETACH = 1 << 1, /* still under way at the end: no latency */
	SPAN_ABORTED = 1 << 2, /* the answer was cut off */
	SPAN_GAP = 1 << 3, /* lost bytes inside: times may be off, kept out of latencies */
	SPAN_TIMEOUT = 1 << 4, /* client role: the target gave up before the answer's end */
	SPAN_UPGRADED = 1 << 5, /* switched to another protocol */
	SPAN_NO_ARRIVAL = 1 << 6, /* start is the read, not the arrival at the host */
	SPAN_TRUNCATED = 1 << 7, /* statement text is not whole */
	SPAN_UNKNOWN_TEXT = 1 << 8, /* prepared before attach: text is "<prepared NAME>" */
	SPAN_CONTINUED =
		1 << 9, /* Execute of a portal that was suspended: the same statement goes on */
};

/* True when start_ns and end_ns may enter a latency histogram. */
static inline bool span_timed(u32 flags)
{
	return !(flags & (SPAN_AT_ATTACH | SPAN_AT_DETACH | SPAN_GAP));
}

/* Not wholly inside the window. */
static inline bool span_partial(u32 flags)
{
	return flags & (SPAN_AT_ATTACH | SPAN_AT_DETACH);
}

/* One HTTP request and its answer; role says whether the target served or called. */
struct http_exchange {
	u64 conn_id;
	u64 start_ns; /* server: arrival of the first byte at the host; client: entry of its send */
	u64 read_ns; /* server: exit of the receive that brought the first byte */
	u64 first_ns; /* first byte of the answer (exit of send / of receive) */
	u64 end_ns; /* last byte of the answer */
	u64 pos; /* stream position of the request's first byte */
	u64 request_bytes; /* head and body on the wire */
	u64 response_bytes;
	struct slice method;
	struct slice path; /* without query and fragment; absolute-form reduced to its path */
	struct slice host; /* Host header */
	u32 flags; /* enum span_flags */
	u32 tid; /* thread that read the head (server) or sent it (client) */
	u32 tgid;
	u32 sent_tid; /* server: thread that sent the answer's first byte */
	u32 token; /* whose work sent that (server) or the request (client): hp/ev_task.h; 0 = not known */
	u16 status; /* 0 = no answer seen */
	u16 target;
	u8 role; /* enum hp_role */
	u8 http_minor; /* HTTP/1.x */
	u8 interim; /* 1xx answers before the final one */
};

enum db_kind {
	DB_SIMPLE = 1, /* one statement of a simple Query */
	DB_EXECUTE, /* Execute of a portal */
	DB_COPY_IN,
	DB_COPY_OUT,
	DB_FUNCTION, /* fastpath function call */
};

/* One executed statement. */
struct db_call {
	u64 conn_id;
	u64 start_ns; /* entry of the send that carried its first byte */
	u64 first_row_ns; /* first row reached the process; 0 = no row */
	u64 end_ns; /* its CommandComplete, error or equivalent reached the host */
	u64 read_ns; /* the process took it: later by what it was busy with */
	u64 pos; /* stream position of the byte that start_ns is of; 0 = it was not seen */
	u64 round_trip; /* number of the wait for the server, 1.. per connection */
	u64 rows;
	u64 sql_hash; /* hash_bytes(sql) kept from Parse; 0 = not computed */
	struct slice sql; /* literals masked */
	/*
	 * Round trips since the previous call that belong to this one: its own if first_in_trip, and
	 * those of its Parse when that was sent and awaited alone. 0 for the followers in a pipeline.
	 */
	u32 trips;
	char sqlstate[6]; /* "" = no error */
	u8 kind; /* enum db_kind */
	u8 txn; /* transaction state after it: 'I' 'T' 'E', 0 = not known */
	u16 target;
	u32 flags; /* enum span_flags */
	u32 tid;
	u32 tgid;
	u32 token; /* whose work sent it: hp/ev_task.h; 0 = not known */
	bool error;
	bool first_in_trip; /* counts its round trip */
};

enum db_event_what {
	DB_EVENT_LOGIN = 1, /* user, database known */
	DB_EVENT_TXN, /* transaction state changed to txn */
	DB_EVENT_TLS, /* the connection turned to TLS: nothing more can be read */
	DB_EVENT_CANCEL, /* this connection only carried a cancel request */
	DB_EVENT_PROTOCOL_ERROR, /* not understood from here on */
};

/* Something about a database connection that is no statement. */
struct db_event {
	u64 conn_id;
	u64 ts_ns;
	struct slice user;
	struct slice database;
	u8 what; /* enum db_event_what */
	u8 txn;
};

enum conn_status {
	CONN_UNDECIDED = 0, /* no or too few bytes yet */
	CONN_PARSED, /* proto is set */
	CONN_UNPARSED, /* bytes of no known protocol */
	CONN_ENCRYPTED,
};

/*
 * A connection as the aggregates see it. Delivered when it opens, whenever status, peer or proto
 * changes, and when it closes or the window ends (ended = true, once).
 */
struct conn_info {
	u64 conn_id;
	u64 open_ns;
	u64 established_ns; /* 0 = not seen */
	u64 close_ns; /* 0 = still open */
	u64 unread_ns; /* what came then was not read by the window's end; 0 = nothing */
	u64 bytes[2]; /* per enum hp_dir, exact, carried or not */
	const char *proto; /* "" until known */
	struct slice peer; /* "127.0.0.1:5432", "[::1]:80", "/run/x.sock", "@abstract", "unix" */
	struct slice local;
	const char *reason; /* UNPARSED: why, "" otherwise */
	s32 err; /* positive errno of a failed connect or a reset; 0 */
	u32 tgid;
	u16 target;
	u16 peer_port;
	u8 role; /* enum hp_role */
	u8 origin; /* enum hp_origin */
	u8 status; /* enum conn_status */
	u8 family; /* AF_* */
	bool ended;
	bool owes; /* when it was found, the peer waited for an answer */
};

#endif
