/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside of the PostgreSQL parser, shared by its files only.
 *
 * Flow of one fed run:
 *     pgsql.c         cuts it into messages, per side, over any cut, hole or loss
 *     pgsql_scan.c    masks each piece in place and remembers what has to outlive it
 *     pgsql_msg.c     what a whole message means: login, queue, answers
 *     pgsql_call.c    queue of expected answers, finished calls, round trips
 *     pgsql_stmt.c    texts, statement names, portals
 *     pgsql_sync.c    recognising: message tables, chains of frames, detect()
 *
 * Memory of a connection: this struct (1 KiB), the queue (56 bytes an entry, at most PG_QUEUE_MAX),
 * texts (at most PG_ARENA_MAX with the freed ones that are kept for reuse), the name map (24 bytes a
 * slot, at most PG_STMTS_MAX names) and a collecting buffer of at most PG_TEXT_MAX, doubled when it
 * grows, for messages cut over transfers. An asyncpg connection with its 100 cached statements takes
 * about 60 KiB; the caps together are under 2 MiB.
 */
#ifndef PROTO_PGSQL_H
#define PROTO_PGSQL_H

#include "base/buf.h"
#include "base/map.h"
#include "proto/proto.h"
#include "proto/sql.h"

#define PG_TEXT_MAX (64 * 1024)
#define PG_STMTS_MAX 4096
#define PG_ARENA_MAX (1024 * 1024)
#define PG_CACHED_MAX (128 * 1024) /* of freed texts kept for reuse */
#define PG_PORTALS_MAX 64
#define PG_QUEUE_MAX 4096
#define PG_NAME_MAX 63 /* what the server compares (NAMEDATALEN - 1) */
#define PG_HDR 5
#define PG_CLASSES 11 /* texts are allocated in 128 << class bytes */

enum pg_startup_code {
	PG_CODE_V3 = 0x00030000,
	PG_CODE_CANCEL = 80877102,
	PG_CODE_SSL = 80877103,
	PG_CODE_GSS = 80877104,
};
#define PG_STARTUP_MAX 10000 /* the server's own limit */

/* What of a message stays readable. */
enum pg_scan_how {
	PG_SCAN_ALL = 1, /* nothing */
	PG_SCAN_KEEP4, /* the first four bytes */
	PG_SCAN_KEEP2, /* the first two */
	PG_SCAN_QUERY, /* SQL up to the NUL */
	PG_SCAN_PARSE, /* name, SQL */
	PG_SCAN_BIND, /* portal and statement names */
	PG_SCAN_NAMED, /* kind byte and name */
	PG_SCAN_EXECUTE, /* portal name and row limit */
	PG_SCAN_FIELDS, /* error fields S, V, C */
	PG_SCAN_TAG, /* upper case letters, digits, blanks */
	PG_SCAN_PARAM, /* parameter name; value of server_version */
	PG_SCAN_STARTUP, /* keys; values of user and database */
};

struct pg_scan {
	u8 how;
	u8 step; /* strings passed so far */
	u8 field; /* error field under way */
	u8 key_n;
	bool keep_value;
	u32 at; /* bytes of the string under way */
	char key[16];
	char sqlstate[6];
	char severity; /* first letter: E, F(ATAL), P(ANIC), N, W, … */
	struct sql_mask sql;
};

/* One row of the message tables: what a type may look like. */
struct pg_type {
	u8 how; /* enum pg_scan_how; 0: no such message */
	u32 min; /* of the length word */
	u32 max;
	u32 want; /* bytes of the body that pgsql_msg.c needs */
};

const struct pg_type *pg_type(enum proto_side side, u8 type);

/* A statement text, named or not, or the text of a simple Query. Referenced by count. */
struct pg_stmt {
	struct pg_stmt *newer, *older; /* named: by last use; freed: older is the next free one */
	u64 name_hash;
	u64 sql_hash;
	u32 refs;
	u32 sql_len;
	u32 extra_trips; /* waits for its Parse or Describe alone, not yet reported */
	u8 class;
	u8 name_len;
	u8 flags; /* enum pg_stmt_flags */
	char data[]; /* name, then SQL */
};

enum pg_stmt_flags {
	PG_STMT_MAPPED = 1, /* the name map holds a reference */
	PG_STMT_TRUNCATED = 2,
	PG_STMT_UNKNOWN = 4, /* prepared before attach */
};

struct pg_portal {
	u64 hash;
	struct pg_stmt *stmt; /* NULL: not known */
	u32 used; /* p->clock of its last use */
	bool live;
	bool suspended;
};

/* What the server still owes an answer for. */
enum pg_what {
	PG_UNIT = 1, /* Parse, Describe, Bind, Execute of one statement, any of them */
	PG_CLOSE,
	PG_SYNC,
	PG_QUERY,
	PG_FUNC,
	PG_NOTHING, /* a Sync that the server swallowed in COPY */
};

enum pg_bits {
	PG_BIT_PARSE = 1,
	PG_BIT_DESCRIBE = 2,
	PG_BIT_BIND = 4,
	PG_BIT_EXECUTE = 8,
};

enum pg_pend_flags {
	PG_PEND_GAP = 1,
	PG_PEND_CONTINUED = 2,
	PG_PEND_FAILED = 4, /* Query: an error came, only ReadyForQuery follows */
	PG_PEND_SOME = 8, /* Query: at least one of its statements was reported */
};

struct pg_pend {
	struct pg_stmt *stmt;
	struct pg_stmt *old; /* Parse of a name: what it named before. Close: what it closes */
	u64 start_ns;
	u64 pos; /* of its first byte in the stream */
	u64 portal; /* hash of the portal's name */
	u32 off; /* Query: end of the statements answered so far */
	u32 tid;
	u32 token;
	u32 tgid;
	u32 repeat; /* equal units in a row */
	u8 what;
	u8 kind; /* enum db_kind */
	u8 want; /* bits asked for */
	u8 left; /* bits not yet answered */
	u8 flags;
};

enum pg_framing {
	PG_FRAME_TYPED = 0,
	PG_FRAME_STARTUP, /* client: length and code, no type */
	PG_FRAME_REPLY, /* server: one byte for SSLRequest or GSSENCRequest */
	PG_FRAME_UNALIGNED, /* where the next message starts is not known */
	PG_FRAME_STOP,
};

struct pg_side {
	u8 framing;
	u8 hdr_n; /* bytes of hdr that have come */
	u8 type;
	bool in_body;
	bool holed; /* bytes of this message are missing */
	bool after_hole; /* the next run may be tried for alignment */
	bool soft; /* aligned by guess: a bad frame means try again, not garbage */
	u16 blind; /* transfers that were tried for alignment in vain */
	u8 misses; /* guesses that went wrong since the last good message */
	u8 hdr[8];
	u32 len; /* of the body */
	u32 left;
	u32 want;
	u32 tid;
	u32 token;
	u32 tgid;
	u64 first_ns; /* send that carried the message's first byte */
	u64 pos; /* of that byte in the stream */
	struct buf acc; /* masked body so far, of a message in pieces */
	struct pg_scan scan;
};

enum pg_phase {
	PG_PHASE_STARTUP = 0,
	PG_PHASE_AUTH, /* startup packet seen */
	PG_PHASE_READY,
	PG_PHASE_STOPPED,
};

struct pgsql {
	const struct proto_ctx *ctx; /* of the call under way */
	struct pg_side side[2];
	u8 phase;
	u8 txn;
	bool logged_in;
	bool client_seen; /* a message of the client was understood */
	bool client_gap; /* messages of the client were lost since the queue was last empty */
	bool copy_in; /* the server waits for CopyData */
	bool copy_done_early; /* CopyDone was sent before the server asked */
	bool skip_to_sync; /* the server skips what the client still sends */
	bool overflow; /* the queue was full: nothing goes in until it has drained */
	u32 overflow_syncs;
	char user[64];
	char database[64];

	/* times of the run under way */
	u64 now_ns;
	u64 read_ns;
	u32 run_tid;
	u32 run_tgid;
	u64 answer_ns; /* last message of the server */
	u64 last_end_ns; /* end of the last call */

	/* queue */
	struct pg_pend *q;
	u32 q_head; /* free-running */
	u32 q_tail;
	u32 q_cap; /* power of two */
	u32 terminals; /* Sync, Query, FunctionCall in it */
	u32 doubt; /* entries at its head whose answers may be lost */
	bool doubt_old; /* the client has begun a transfer since */
	u32 copy_done_at; /* q_tail at an early CopyDone */

	/* answer under way */
	u64 rows;
	u64 first_row_ns;

	/* round trips */
	u64 trip;
	u32 trip_calls;
	bool trip_open;
	u32 loose_trips; /* waits that carried no call and no Parse */
	struct pg_stmt *trip_stmt;

	/* last Parse, until its Execute */
	struct pg_stmt *group_stmt;
	u64 group_ns;
	u64 group_pos; /* as in struct pg_pend */

	/* last finished call, kept until ReadyForQuery tells the transaction state */
	struct db_call held;
	struct pg_stmt *held_stmt;
	bool is_held;

	/* statements */
	struct map names;
	struct pg_stmt *newest; /* named ones by last use */
	struct pg_stmt *oldest;
	struct pg_stmt *unnamed;
	struct pg_stmt *freed[PG_CLASSES];
	u32 arena; /* bytes allocated */
	u32 cached; /* of these on the free lists */
	struct pg_portal *portals; /* [PG_PORTALS_MAX], at the first named one */
	struct pg_portal portal; /* the unnamed one */
	u32 clock;
};

/* A message with its masked body; n may be less than the body's length. */
struct pg_msg {
	const u8 *p;
	size_t n;
	u8 type;
};

/* pgsql_scan.c */
void pg_scan_begin(struct pg_scan *s, u8 how);
/* Goes over the next piece of a body; hide: overwrite what is private. */
void pg_scan(struct pg_scan *s, u8 *p, size_t n, bool hide);
void pg_hide(const struct proto_ctx *ctx, u8 *p, size_t n);

/* pgsql_sync.c */
struct pg_chain {
	u32 frames; /* whole ones */
	bool exact; /* the last one ends with the data */
	bool strong; /* a frame that nothing else would look like */
};
/* Do frames follow each other from the first byte on? False at the first that cannot be one. */
bool pg_chain(enum proto_side side, const u8 *p, size_t n, struct pg_chain *ret_chain);
/* Smallest offset from which they do to the very end, the last one ending a turn; n = none. */
size_t pg_chain_search(enum proto_side side, const u8 *p, size_t n);
/* First bytes of a startup packet: -1 no, 0 not yet known, 1 yes. It takes at most nine. */
int pg_startup_match(const u8 *p, size_t n);
enum proto_match pg_detect(const struct proto_ctx *ctx, enum proto_side side, const u8 *data,
			   size_t n, size_t total);

static inline u32 pg_be32(const void *v)
{
	const u8 *p = v;

	return (u32)p[0] << 24 | (u32)p[1] << 16 | (u32)p[2] << 8 | p[3];
}

/* pgsql_stmt.c; a NULL statement stands for one whose text could not be kept */
void pg_stmts_init(struct pgsql *pg);
void pg_stmts_release(struct pgsql *pg);
struct pg_stmt *pg_stmt_new(struct pgsql *pg, struct slice name, struct slice sql, u8 flags);
struct pg_stmt *pg_stmt_get(struct pg_stmt *s); /* one more reference */
void pg_stmt_put(struct pgsql *pg, struct pg_stmt *s);
struct slice pg_stmt_sql(const struct pg_stmt *s);
/* Parse: name (may be empty) now means sql. *ret_old: what it meant, with a reference, or NULL. */
struct pg_stmt *pg_stmt_define(struct pgsql *pg, struct slice name, struct slice sql,
			       bool truncated, struct pg_stmt **ret_old);
/* Takes a definition back when it is still the current one; old may be NULL. */
void pg_stmt_undo(struct pgsql *pg, struct pg_stmt *s, struct pg_stmt *old);
struct pg_stmt *pg_stmt_find(struct pgsql *pg, struct slice name); /* makes "<prepared NAME>" */
struct pg_stmt *pg_stmt_forget(struct pgsql *pg, struct slice name); /* with its reference */
void pg_stmts_forget_all(struct pgsql *pg);
void pg_stmts_lost(struct pgsql *pg); /* client bytes are missing: unnamed things are unknown */
struct pg_portal *pg_portal_bind(struct pgsql *pg, struct slice name, struct pg_stmt *s);
struct pg_portal *pg_portal_find(struct pgsql *pg, u64 hash); /* NULL = not known */
void pg_portal_close(struct pgsql *pg, u64 hash);
void pg_portals_close_named(struct pgsql *pg); /* the transaction has ended */
u64 pg_name_hash(struct slice name);
/* DEALLOCATE, DISCARD ALL, PREPARE have run. */
void pg_stmt_effect(struct pgsql *pg, struct slice tag, struct slice sql);

/* pgsql_call.c */
static inline u32 pg_q_len(const struct pgsql *pg)
{
	return pg->q_tail - pg->q_head;
}

struct pg_pend *pg_q_at(struct pgsql *pg, u32 i); /* i < pg_q_len() */
/* New zeroed entry or NULL when full. Takes no references itself. */
struct pg_pend *pg_q_push(struct pgsql *pg, u8 what, const struct pg_side *s);
void pg_q_merge(struct pgsql *pg); /* folds a finished unit into an equal one before it */
/* ErrorResponse */
void pg_q_fail(struct pgsql *pg, const char *sqlstate, bool fatal);
void pg_q_ready(struct pgsql *pg, u8 txn); /* ReadyForQuery */
bool pg_q_answer(struct pgsql *pg, u8 bit); /* Parse-, Bind-, Close-Complete, descriptions */
void pg_q_closed(struct pgsql *pg);
/* Entry that the next completion belongs to, what stands before it dealt with; NULL = none. */
struct pg_pend *pg_q_running(struct pgsql *pg);
void pg_q_complete(struct pgsql *pg, struct slice tag, bool suspended);
void pg_q_abort(struct pgsql *pg, u32 span_flags, u64 end_ns); /* reports and clears all */
void pg_q_doubt(struct pgsql *pg); /* bytes of the server were lost */
void pg_q_settle(struct pgsql *pg); /* what was in doubt has been answered unseen */
void pg_q_client_lost(struct pgsql *pg); /* bytes of the client were lost */
void pg_q_swallow_syncs(struct pgsql *pg, u32 before); /* those before queue position before */
void pg_call_flush(struct pgsql *pg, u8 txn);
void pg_q_release(struct pgsql *pg);
void pg_event(struct pgsql *pg, u8 what, u64 ts_ns);

/* pgsql_msg.c */
void pg_client_startup(struct pgsql *pg, struct pg_side *s, const struct pg_msg *m);
void pg_client_msg(struct pgsql *pg, struct pg_side *s, const struct pg_msg *m);
void pg_server_msg(struct pgsql *pg, struct pg_side *s, const struct pg_msg *m);
void pg_server_reply(struct pgsql *pg, u8 answer);
void pg_stop(struct pgsql *pg, u8 event); /* nothing more is parsed */

#endif
