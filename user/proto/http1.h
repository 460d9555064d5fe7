/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the HTTP/1.x parser, shared by its five files only.
 *
 *   http1.c        the struct proto: detection, verdicts, feed, end of the connection
 *   http1_head.c   request line, end of a head: how the body is framed
 *   http1_field.c  header fields and trailers
 *   http1_body.c   lengths, chunks, holes, and finding the next head after framing was lost
 *   http1_queue.c  requests that wait for their answer, and the exchanges made from them
 *
 * Each side of a connection is a byte-level state machine of its own (struct http1_side); the two
 * meet in one queue: the client side appends a request at its first byte, the server side answers
 * the front. No head is ever stored: what is worth keeping goes into small fields as it passes.
 */
#ifndef PROTO_HTTP1_H
#define PROTO_HTTP1_H

#include <string.h>

#include "proto/proto.h"

#define HTTP1_METHOD_MAX 32
#define HTTP1_PATH_MAX 1024
#define HTTP1_HOST_MAX 255
#define HTTP1_NAME_MAX 64 /* of a header name before the line counts as noise */
#define HTTP1_VALUE_MAX 256 /* of a header value that is looked at */
#define HTTP1_QUEUE_MAX 256
#define HTTP1_TEXT_MIN 64u /* of a request's method, path and host */
#define HTTP1_TEXT_BUDGET (64 * 1024u) /* of those of all queued requests */
#define HTTP1_CARRY_MAX HP_HEAD_MAX

enum http1_state {
	HTTP1_IDLE = 0, /* between messages and in step */
	/* head */
	HTTP1_METHOD,
	HTTP1_TARGET, /* before its first byte */
	HTTP1_SCHEME,
	HTTP1_AUTHORITY,
	HTTP1_PATH,
	HTTP1_QUERY, /* masked up to the blank: query, fragment, targets of no known form */
	HTTP1_VERSION,
	HTTP1_LINE_END,
	HTTP1_REASON,
	HTTP1_FIELD, /* at the start of a line */
	HTTP1_HEAD_CR, /* a line that began with CR: the last one if LF follows */
	HTTP1_NAME,
	HTTP1_NAME_BLANK,
	HTTP1_VALUE_START,
	HTTP1_VALUE,
	HTTP1_NOISE, /* a line that is no header: masked */
	/* body */
	HTTP1_LENGTH,
	HTTP1_CHUNK_SIZE,
	HTTP1_CHUNK_EXT,
	HTTP1_CHUNK_DATA,
	HTTP1_CHUNK_CR,
	HTTP1_CHUNK_LF,
	HTTP1_SEEK, /* no framing: until the close or the next head at the start of a transfer */
};

enum http1_kind {
	HTTP1_K_MASK = 0, /* not on the allow-list */
	HTTP1_K_KEEP,
	HTTP1_K_TYPE, /* kept up to ';' */
	HTTP1_K_HOST,
	HTTP1_K_LENGTH,
	HTTP1_K_CODING,
	HTTP1_K_EXPECT,
};

/* Texts kept of a request, in the order in which they come. */
enum http1_part {
	HTTP1_P_METHOD,
	HTTP1_P_PATH,
	HTTP1_P_HOST,
};

/* When and by whom the first byte of a message was moved. The only place that picks clocks is run_of(). */
struct http1_run {
	u64 start_ns; /* of a request that begins here */
	u64 pos; /* its stream position */
	u64 ts_ns; /* syscall exit */
	u32 tid;
	u32 token;
	u32 tgid;
	u32 flags;
};

/* One request, from its first byte to the end of its answer; also used for an answer without one. */
struct http1_req {
	u64 start_ns;
	u64 pos; /* in the stream */
	u64 read_ns;
	u64 first_ns;
	u64 end_ns;
	u64 request_bytes;
	u64 response_bytes;
	char *text; /* method, path and host, back to back; memory stays with the slot */
	u32 text_cap;
	u32 flags; /* enum span_flags */
	u32 tid;
	u32 sent_tid; /* server: of the answer */
	u32 token; /* server: of the answer; client: of the request */
	u32 tgid;
	u16 status;
	u16 path_len;
	u8 method_len;
	u8 host_len;
	u8 minor;
	u8 interim;
	bool at_start; /* its first byte was the first of a transfer */
	bool line_done; /* request line seen */
	bool head_done; /* whole head seen, or its end lies in a hole */
	bool req_done;
	bool begun; /* first byte of an answer seen, interim ones included */
	bool resp_done;
	bool is_head;
	bool is_connect;
	bool expect; /* waits for 100 Continue before the body */
	bool text_cut; /* and counted as such */
	bool bad; /* no request line of HTTP/1.x: counts only if it is answered */
};

struct http1_side {
	u64 rem; /* bytes left of the body or the chunk */
	u64 length; /* Content-Length */
	u64 last_ns; /* exit of the last transfer seen */
	u64 seek_prev_ns; /* last_ns before the transfer in which a match began */
	u64 eof_ns;
	struct http1_run match_run; /* where the match or message under way began */
	u16 code;
	u16 value_len;
	u8 side; /* enum proto_side */
	u8 state; /* enum http1_state */
	u8 kind; /* enum http1_kind of the header line */
	u8 name_len;
	u8 lit; /* bytes matched of a literal */
	u8 pct; /* bytes matched of "%40" */
	u8 tail; /* bytes matched of the last chunk's CR LF 0 CR LF CR LF */
	u8 size_digits;
	u8 minor;
	bool cur; /* a message is under way */
	bool entry; /* client: its request is in the queue, at the back */
	bool matching; /* trying for a message start */
	bool matched_method;
	bool https;
	bool seg_masked; /* rest of the path segment is masked */
	bool type_masked;
	bool trailer;
	bool cl_seen;
	bool cl_bad;
	bool te_seen;
	bool te_chunked;
	bool value_over;
	bool body_seen;
	bool soft; /* the body may not be there at all: a head at a transfer start ends it */
	bool chunks; /* SEEK: a last chunk at the end of a transfer ends the body */
	bool chunks_lost; /* SEEK: framing was chunked for sure */
	bool head_here; /* the message began in this transfer */
	bool hole_last; /* nothing carried since the last hole */
	bool lost; /* server: bytes were lost while out of step */
	bool eof;
	char name[HTTP1_METHOD_MAX];
	char value[HTTP1_VALUE_MAX];
};

/* Carried-byte limits asked for, per side. */
struct http1_limits {
	u32 turn_max;
	u32 more_max;
	u32 iov_max;
};

struct http1 {
	struct http1_side side[2]; /* enum proto_side */
	struct http1_limits limits[2];
	struct http1_req *queue; /* ring, cap is a power of two */
	u32 head;
	u32 count;
	u32 cap;
	u32 overflow; /* requests past the queue's end, answered after all queued ones */
	u32 text_bytes;
	u64 popped; /* requests that left the queue */
	u64 pushed_at_answer; /* requests seen when the last answer began */
	u64 err_ns;
	s32 err;
	struct http1_req orphan; /* an answer whose request was not seen */
	bool orphan_open;
	bool orphan_mute; /* its request was counted in overflow */
	bool attach_open; /* nothing of the server side seen yet on a connection open before attach */
	bool seen_request;
	bool pipelined; /* proven: requests are sent before earlier answers */
	bool sliding; /* proven: by transfers of their own, not only several to a transfer */
	bool unsure; /* answers may belong to other requests until the queue has drained */
	bool tunnel; /* upgraded: nothing to parse any more */
};

static inline void http1_mask(const struct proto_ctx *ctx, u8 *p, size_t n)
{
	if (!ctx->show_literals)
		memset(p, 'x', n);
}

static inline struct http1_req *http1_queue_at(struct http1 *st, u32 i)
{
	return &st->queue[(st->head + i) & (st->cap - 1)];
}

/* Request under way; NULL = none, or none that is queued. */
static inline struct http1_req *http1_req_cur(struct http1 *st)
{
	return st->side[PROTO_CLIENT].entry ? http1_queue_at(st, st->count - 1) : NULL;
}

/* Answer under way. */
static inline struct http1_req *http1_resp_cur(struct http1 *st)
{
	if (!st->side[PROTO_SERVER].cur)
		return NULL;
	return st->orphan_open ? &st->orphan : http1_queue_at(st, 0);
}

static inline u8 http1_lower(u8 b)
{
	return (u8)(b - 'A') < 26 ? b | 0x20 : b;
}

static inline bool http1_is_blank(u8 b)
{
	return b == ' ' || b == '\t';
}

/* What one feed() carries through the files. */
struct http1_feed {
	struct http1 *st;
	struct http1_side *s;
	const struct proto_ctx *ctx;
	struct proto_in *in;
	u8 *mark; /* first byte of the run not yet counted to a message */
};

/* http1.c */
struct http1_run http1_run_of(const struct http1_feed *f);
void http1_raise_head(struct http1_feed *f); /* a head did not fit into what is carried */
void http1_raise_pipelined(struct http1 *st, const struct proto_ctx *ctx);
void http1_verdict_tunnel(const struct proto_ctx *ctx);

/* http1_head.c: consumes at least one byte or changes the state; returns the first byte left. */
u8 *http1_head(struct http1_feed *f, u8 *p, u8 *end);
void http1_method_done(struct http1_feed *f, size_t n); /* n bytes of side->name */
void http1_head_start(struct http1_side *s);
u8 *http1_head_end(struct http1_feed *f, u8 *p); /* p is behind the empty line */
extern const u8 http1_token[256];

/* http1_field.c: the states from HTTP1_FIELD to HTTP1_NOISE */
u8 *http1_field(struct http1_feed *f, u8 *p, u8 *end);

/* http1_body.c */
u8 *http1_body(struct http1_feed *f, u8 *p, u8 *end);
u8 *http1_idle(struct http1_feed *f, u8 *p, u8 *end);
void http1_hole(struct http1_feed *f);
void http1_transfer_start(struct http1_feed *f);
void http1_seek(struct http1_side *s, bool chunks);
void http1_message_end(struct http1_feed *f, u64 ns);
bool http1_known_method(const char *p, size_t n, bool whole); /* or a prefix of one */

/* http1_queue.c */
/* at_start: its first byte is the first of a transfer. */
void http1_req_begin(struct http1_feed *f, const struct http1_run *run, bool at_start);
void http1_req_end(struct http1 *st, const struct proto_ctx *ctx);
void http1_resp_begin(struct http1_feed *f);
void http1_resp_end(struct http1 *st, const struct proto_ctx *ctx, u64 ns);
void http1_orphan_begin(struct http1 *st, const struct http1_run *run, u32 flags);
void http1_upgraded(struct http1_feed *f);
void http1_count(struct http1_feed *f, u8 *p); /* bytes up to p belong to the message under way */
void http1_count_n(struct http1_feed *f, u64 n);
void http1_text_add(struct http1_feed *f, enum http1_part part, const void *p, size_t n);
void http1_lost(struct http1 *st); /* everything in flight is of uncertain time from now on */
void http1_emit(struct http1 *st, const struct proto_ctx *ctx, struct http1_req *e);
void http1_queue_pop(struct http1 *st);

#endif
