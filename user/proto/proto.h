/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of a protocol parser: one file, one const struct proto, one row in protos.c.
 *
 * A parser is a pure state machine over two byte streams. It gets every carried byte once, in
 * stream order per side, and holes as counts. It knows nothing of sockets, files or the report.
 *
 * Masking. feed() works in place: when it returns, each byte of in->data is either structure
 * (method, path, header name, message type, SQL keyword, …) or has been overwritten with a mask of
 * the same length. The masked bytes are what goes to the capture, and a replay feeds them again:
 *     feed(mask(x)) must emit the same spans and leave the same bytes as feed(x).
 * Decisions must therefore never depend on bytes that get masked. With ctx->show_literals nothing
 * is overwritten. Masks: letters and other bytes 'x', digits '0' where a number must stay a number.
 *
 * Hostile input. Any byte sequence in any cut is legal input: no crash, no growth past the caps, no
 * loop that is not bounded by the input length.
 *
 * State lives in state_size zeroed bytes given by the session; init() may allocate more (freed by
 * release()). Allocation failure: count DROP_MEMORY via sink->drop and go on with less.
 */
#ifndef PROTO_PROTO_H
#define PROTO_PROTO_H

#include "base/types.h"
#include "hp/events.h"
#include "session/span.h"

/* Who wrote the bytes. */
enum proto_side {
	PROTO_CLIENT = 0, /* requests */
	PROTO_SERVER = 1, /* answers */
};

/* Where finished things go. All callbacks are set; arg is the session's. */
struct proto_sink {
	void *arg;
	void (*http)(void *arg, const struct http_exchange *x);
	void (*db)(void *arg, const struct db_call *c);
	void (*db_event)(void *arg, const struct db_event *e);
	/* Other capture limits from now on (struct hp_verdict is copied). */
	void (*verdict)(void *arg, const struct hp_verdict *v);
	void (*drop)(void *arg, enum hp_drop why);
};

/* What the parser may know of its connection. Constant for the connection's life. */
struct proto_ctx {
	const struct proto_sink *sink;
	u64 conn_id;
	u64 open_ns; /* when accepted, connected or found */
	u8 role; /* enum hp_role: the target is the server or the client of it */
	bool mid_stream; /* open before attach: the first bytes may be in the middle of anything */
	bool show_literals;
	u16 peer_port;
	u16 local_port;
	u16 target;
	const char *path; /* AF_UNIX name or "" */
};

/* A run of bytes of one side, or a hole. */
struct proto_in {
	enum proto_side side;
	u8 *data; /* NULL: a hole of len bytes that were moved but not carried */
	u64 len;
	u64 pos; /* stream position of the first byte */
	u32 frames; /* holes: whole frames (rows) the kernel counted inside */
	bool lost; /* holes: missing because of loss, not by verdict */
	bool start; /* first run of its transfer */
	bool end; /* last run of its transfer */
	u64 enter_ns; /* syscall entry; 0 = not known */
	/*
	 * When it happened. Of a send: it was handed over. Of what a server receives: the call that took
	 * it. Of what a client receives: all of it was at the host, where that is known; a process that
	 * is busy takes it later, and the peer does not answer for that.
	 */
	u64 ts_ns;
	u64 arrival_ns; /* of what a server receives: its first byte was at the host; 0 = not known */
	u64 read_ns; /* of what was received: the exit of the call that took it */
	u32 tgid;
	u32 tid;
	u32 token; /* of what was sent: hp/ev_task.h; 0 = not known */
};

enum proto_match {
	PROTO_NO = -1,
	PROTO_MORE = 0, /* could be, with more bytes */
	PROTO_YES = 1,
};

struct proto {
	const char *name; /* "http", "postgresql" */
	u8 roles; /* bit (1 << enum hp_role) set: looked for in that role; UNKNOWN matches any */
	size_t state_size;
	/*
	 * Is this it? data[0..n) are the first carried bytes of side on a new or found connection,
	 * total the length of that transfer. Never keeps anything. n <= 4096.
	 */
	enum proto_match (*detect)(const struct proto_ctx *ctx, enum proto_side side,
				   const u8 *data, size_t n, size_t total);
	int (*init)(void *state, const struct proto_ctx *ctx); /* 0 or -errno; sets first verdict */
	void (*release)(void *state);
	/* Bytes allocated beyond state_size, for the session's limit. Asked after every run. */
	size_t (*held)(const void *state);
	void (*feed)(void *state, const struct proto_ctx *ctx, struct proto_in *in);
	/* One side has ended (EOF, shutdown) or failed (err > 0). */
	void (*eof)(void *state, const struct proto_ctx *ctx, enum proto_side side, u64 ts_ns,
		    int err);
	/*
	 * No more bytes will come. closed: the connection is gone (ts_ns = when); otherwise the
	 * window ended with it still open. Emits what is under way with the right flags.
	 */
	void (*finish)(void *state, const struct proto_ctx *ctx, u64 ts_ns, bool closed);
};

extern const struct proto proto_http1;
extern const struct proto proto_pgsql;

/* NULL-terminated; detection tries them in order. */
extern const struct proto *const protos[];

#endif
