/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 4 of the flow: exchanges, calls, connections, samples and window records in, tables out.
 *
 *   session stage ── agg_conn/http/db/db_event/drop ──┐
 *   analyst ──────── agg_record (checked records) ────┴─> agg_finish ──> struct agg_report
 *
 * Nothing here asks the clock or the machine: everything derives from records and spans, so the
 * same stream gives the same report, byte for byte. Every table is bounded; what does not fit
 * goes into a row whose texts are "(other)" and is counted in agg_trust.folded. All times are
 * nanoseconds of CLOCK_MONOTONIC unless the name says unix. All texts are NUL-terminated, never
 * NULL ("" = not known), printable (control bytes became '.'), and live as long as the
 * aggregator.
 */
#ifndef AGG_AGG_H
#define AGG_AGG_H

#include "base/buf.h"
#include "base/hist.h"
#include "base/types.h"
#include "hp/events.h"
#include "ledger/ledger.h"
#include "session/span.h"

struct agg;

#define AGG_MOMENTS_MAX (500 * 1000) /* 12 MB; an hour of one busy core at 99 Hz is 356,400 */

/* 0 in a field means its default. */
struct agg_opts {
	u32 max_endpoints; /* rows a target, 500 */
	u32 max_queries; /* rows, 1000 */
	u32 max_external; /* rows, 500 */
	u32 max_conns; /* open connections with state, 65536 */
	u32 max_stack_nodes; /* call tree nodes, 200000 */
	u32 route_fanout; /* literal children of a path node before they fold, 40 */
	bool one_process; /* call trees do not tell processes apart */
};

int agg_new(struct agg **ret, const struct agg_opts *opts); /* opts may be NULL */
void agg_free(struct agg *agg);

/*
 * A record whose size decode has checked against its kind and its own length fields. Kinds
 * TARGET, PROC, RESOURCE, LOSS, WINDOW, COST, NOTE, CONFIG, SAMPLE, WAIT, WAIT_TOTAL, SITE, MAPPING,
 * SYMBOL, LINES and CODE; others are ignored.
 */
void agg_record(struct agg *agg, const struct ev_hdr *rec);
void agg_conn(struct agg *agg, const struct conn_info *c);
/* A served request's row, for agg_bound_request(); 0 = none. */
u32 agg_http(struct agg *agg, const struct http_exchange *x);
/* Its row among the queries, NULL = refused; valid as long as the aggregates. */
const struct agg_query *agg_db(struct agg *agg, const struct db_call *c);
/*
 * Which calls a served request made (row: what agg_http() gave; partial: not wholly inside the window):
 * the request, then its calls by their start. Of what they took counts for the request what lies before its end.
 */
void agg_bound_request(struct agg *agg, u32 row, u64 end_ns, bool partial);
void agg_bound_call(struct agg *agg, const struct agg_query *query, u64 start_ns, u64 end_ns,
		    u32 trips);
/*
 * Calls that were bound to a request and calls that were not, of those wholly inside the window; refused:
 * requests, calls and tasks that binding had no room for.
 */
void agg_bound_calls(struct agg *agg, u64 bound, u64 unbound, u64 refused);
/* What a request spent its time on. */
void agg_ledger(struct agg *agg, const struct ledger_split *s);
void agg_db_event(struct agg *agg, const struct db_event *e);
void agg_drop(struct agg *agg, enum hp_drop why, u64 n);

/* For the progress line; cheap, any time. */
struct agg_live {
	u64 requests; /* served, wholly inside the window */
	u64 errors; /* of them: status >= 500 or cut off */
	u64 calls; /* database calls */
	u64 round_trips; /* waits for the database; one may carry several calls */
	u64 external; /* outgoing HTTP calls */
	u64 samples;
	double rate; /* requests per second over the last whole second */
	double calls_rate;
	double p95_ns; /* of the last second that had requests; 0 = none */
};
void agg_live(const struct agg *agg, struct agg_live *ret);

/* An address of a sampled stack that no EV_SYMBOL covers, and where it was mapped. */
struct agg_addr {
	u32 tgid; /* 0 = kernel */
	u8 kind; /* enum hp_frame_kind */
	bool mapped; /* the fields below are set */
	u64 addr; /* call sites: return address - 1, so that it lies inside the caller */
	u64 start;
	u64 end;
	u64 file_off; /* of start; offset in the file = addr - start + file_off */
	u32 inode;
	u8 build_id_len;
	u8 build_id[20];
	const char *path;
};
/*
 * Calls fn for every frame not covered by a symbol, in order of (tgid, addr); each frame is
 * listed in one call of agg_unnamed() only, so it may be called again and again during the
 * window. fn may feed EV_SYMBOL records back with agg_record(). Returns how many frames were
 * listed.
 */
size_t agg_unnamed(struct agg *agg, void (*fn)(void *arg, const struct agg_addr *a), void *arg);
/* The same of native frames whose lines were not asked for, named or not; for EV_LINES records. */
size_t agg_unlined(struct agg *agg, void (*fn)(void *arg, const struct agg_addr *a), void *arg);
/* The next agg_unnamed() lists what has no name once more. */
void agg_ask_again(struct agg *agg);

/* Names every path, sorts every table. Nothing may be fed after it. 0 or -ENOMEM. */
int agg_finish(struct agg *agg);

/* ---- what the outputs read, valid after agg_finish() until agg_free() ---- */

struct agg_code {
	u16 status;
	u64 n;
};

struct agg_sqlstate {
	char code[6];
	u64 n;
};

struct agg_target {
	u16 id;
	u32 pid; /* root process */
	const char *cmdline;
	const char *exe;
	const char *runtime;
	const char *service;
	u64 started_unix_ms;
	const u32 *pids; /* ascending, root included, at most 1024 */
	u32 npids;
	u32 pids_more; /* not listed */
	bool exited; /* root process ended inside the window */
	s32 exit_code; /* as wait(2) has it */
	u64 exit_ns;
	/* totals of the served requests */
	u64 requests;
	u64 errors;
	u64 aborted;
	u64 at_attach;
	u64 at_detach;
	struct hist latency;
};

struct agg_endpoint;
struct agg_query;

/* What the requests of an endpoint asked of the database by one statement. */
struct agg_use {
	const struct agg_endpoint *endpoint;
	const struct agg_query *query;
	u64 count;
	u64 ns; /* sum of the calls' latencies */
};

/* Phases of some requests, on average: they sum to latency_ns. */
struct agg_ledger_slice {
	u32 n;
	double latency_ns;
	double phase_ns[PHASES];
	double raw_ns[PHASES]; /* see struct ledger_split; of the mean alone */
};

#define AGG_LEDGER_QUANTILES 3 /* 0.50, 0.95, 0.99 */

/* Of an endpoint's requests, or of a part that was drawn evenly. */
struct agg_ledger {
	struct agg_ledger_slice mean;
	struct agg_ledger_slice at[AGG_LEDGER_QUANTILES]; /* requests within 0.01 of that rank */
};

/* Requests of one endpoint waited for their event loop while it did another's work. By ns, the most first. */
struct agg_blame {
	const struct agg_endpoint *victim;
	const struct agg_endpoint *holder; /* NULL: no request's work, or not known whose */
	u64 ns;
	u64 count; /* requests that waited for it */
};

/* Where in the application calls were issued; from a sample of them. */
struct agg_site {
	const char *function;
	const char *file; /* with its directory; "" = not known */
	u32 line; /* 0 = not known */
	u64 count; /* calls: the row's, shared out as the sampled ones were */
	u64 samples; /* calls that were looked at */
};

enum agg_route_source {
	AGG_ROUTE_LITERAL = 0, /* no segment was replaced */
	AGG_ROUTE_CLUSTERED = 1,
};

/* Sorted by count desc, then target, method, route. */
struct agg_endpoint {
	u16 target;
	u8 source; /* enum agg_route_source */
	const char *method; /* "" only for requests whose head was not seen */
	const char *route; /* "/posts/{id}"; "(unknown)": head not seen; "(other)": past the cap */
	u64 count; /* wholly inside the window */
	u64 errors; /* status >= 500 */
	u64 aborted; /* answer cut off */
	u64 untimed; /* counted, but a gap keeps it out of latency */
	u64 at_attach; /* under way at the edges: in none of the figures above and below */
	u64 at_detach;
	u64 request_bytes;
	u64 response_bytes;
	struct agg_code *status; /* ascending; 0 = no status seen; nothing past 64 different ones */
	u32 nstatus;
	struct hist latency; /* all but untimed; aborted ones are in, up to where they were cut */
	u32 row; /* number in struct bound */
	struct {
		bool known; /* false: calls were left unbound, and they may be these requests' */
		u64 requests; /* whose calls these are */
		u64 calls;
		u64 trips;
		u32 calls_max; /* of one request */
		u32 trips_max;
		u64 db_ns; /* in which a call was under way; several at a time count once */
		const struct agg_use *uses; /* by count, the most first */
		u32 nuses;
	} bound;
	const struct agg_ledger *ledger; /* NULL = not known of any request */
};

/* Sorted by count desc, then target, system, peer, database, user, statement. */
struct agg_query {
	u16 target;
	const char *system;
	const char *peer;
	const char *database;
	const char *user;
	const char *statement; /* normalised, at most 2 KiB; "(other)" past the cap */
	const char *operation; /* "SELECT" …, "" */
	char fingerprint[17]; /* 16 hex digits, "" for "(other)" */
	bool truncated; /* the text was never seen whole */
	bool prepared; /* prepared before attach: the statement is "<prepared NAME>" */
	u64 count;
	u64 errors;
	u64 rows;
	u64 round_trips;
	u64 untimed;
	u64 at_attach;
	u64 at_detach;
	struct agg_sqlstate *codes; /* ascending */
	u32 ncodes;
	u64 codes_other; /* errors with a code past the 32 kept ones */
	struct hist latency;
	struct hist first_row;
	u32 number; /* in the order they came */
	struct agg_query *into; /* the row that it went into at the end; NULL = it is its own */
	const struct agg_use *const *uses; /* by count, the most first */
	u32 nuses;
	const struct agg_site *sites; /* by count, the most first; NULL = not known */
	u32 nsites;
};

/* Connections of one target to one database. Sorted by opened + seeded desc, then texts. */
struct agg_pool {
	u16 target;
	const char *system;
	const char *peer;
	const char *database;
	const char *user;
	u64 conns; /* distinct connections seen */
	u64 opened; /* opened inside the window; conns - opened were open before */
	u64 closed; /* closed inside the window */
	u64 encrypted; /* of conns: turned to TLS */
	u64 cancels; /* connections beside these that only carried a cancel request to the server */
	u32 open_max;
	u32 in_use_max; /* connections with a call under way at one time */
	double in_use_mean; /* over the window */
	u64 idle_in_txn_max_ns; /* longest time between calls inside a transaction */
	struct hist connect; /* connect() to established */
};

/* Outgoing calls. Sorted by count desc, then target, protocol, peer, method, route. */
struct agg_external {
	u16 target;
	const char *protocol; /* "http", or not parsed: "tcp" "tls" "unix" */
	const char *method; /* "" when not http */
	const char *peer;
	const char *route; /* "" when not http */
	u8 source; /* enum agg_route_source */
	u64 count; /* http: calls; else connections used */
	u64 errors; /* http: status >= 500 or cut off; else failed connects and resets */
	u64 timeouts;
	u64 untimed;
	u64 at_attach;
	u64 at_detach;
	u64 sent;
	u64 received;
	struct agg_code *status; /* http only */
	u32 nstatus;
	struct hist latency; /* http only */
	struct hist connect; /* connect() to established, given to the first call of a connection */
	u32 row; /* number in struct externals; 0 = none */
	const struct agg_site *sites; /* as of a query */
	u32 nsites;
};

/* One second of the window (agg_window.block_s seconds when the window is very long). */
struct agg_block {
	u64 requests; /* that ended in it */
	u64 calls;
	double p50_ns; /* 0 when no request was timed */
	double p95_ns;
	double cpu_ratio; /* cores used by all targets; -1 = not known */
};

struct agg_window {
	bool started; /* HP_WINDOW_START seen */
	bool complete; /* HP_WINDOW_END seen: the stream was not cut */
	u64 start_ns;
	u64 stop_ns;
	u64 start_unix_ns;
	double duration_s;
	u32 sample_hz; /* 0 = CPU was not sampled */
	bool sample_hw;
	u32 ncpus;
	u64 boot_unix_ns;
	u32 block_s;
	const struct agg_block *blocks; /* blocks[i] begins at i * block_s */
	u32 nblocks;
};

struct agg_range {
	double min;
	double mean;
	double max;
};

/* One look at /proc, all targets together. */
struct agg_tick {
	double t_s;
	double rss_bytes;
	double vms_bytes;
	double cpu_ratio; /* since the tick before; 0 for the first */
	double threads;
	double fds;
};

/* Counters are what was added between the first and the last look. */
struct agg_resources {
	u32 samples; /* 0 = not recorded */
	struct agg_range rss_bytes;
	struct agg_range vms_bytes;
	struct agg_range cpu_ratio; /* min and max over the intervals between two looks */
	struct agg_range threads;
	struct agg_range fds;
	struct agg_range processes;
	u64 cpu_ns;
	u64 minor_faults;
	u64 major_faults;
	u64 voluntary_switches;
	u64 involuntary_switches;
	u64 read_bytes;
	u64 write_bytes;
	bool io_known;
	const struct agg_tick *series; /* at most 3600; thinned evenly when there were more */
	u32 nseries;
};

/*
 * The call tree merged by name, in depth-first order, children in order of their text. Node 0 is
 * the root: depth 0, text "all". Depth 1 is the thread's name, then root to leaf. The children of
 * node i follow it until the next node with depth <= its own. A run of frames with neither name nor
 * place in a file ("[unknown]", "[anon]") is one node.
 */
struct agg_node {
	const char *text; /* kernel: "name_[k]"; without a name: "libfoo.so+0x1f2a", "[unknown]" */
	const char *
		func; /* what the top list goes by: text without file and line, Python's with the file */
	u32 parent; /* of node 0: 0 */
	u16 depth;
	u8 kind; /* enum hp_frame_kind, 0 = process, thread name or "(truncated)" */
	bool process; /* of several in the tree: its children are threads */
	u32 pid; /* of a process, and of the root when there is one alone; 0 = several */
	bool unnamed;
	bool jit; /* code that a runtime made */
	bool library; /* not the application's own: C library, runtime, Python's packages */
	u64 self;
	u64 total;
};

/* Sorted by self desc, then total desc, then text. At most 200 rows. */
struct agg_top {
	const char *text;
	u8 kind;
	u64 self;
	u64 total; /* samples with it anywhere on the stack, recursion counted once */
	double self_ratio; /* of all samples */
	double total_ratio;
};

/* One sample: when, where, and its place in the call tree. */
struct agg_moment {
	u64 ts_ns;
	u32 tgid;
	u32 tid;
	u32 cpu;
	u32 node; /* in agg_cpu.nodes */
};

struct agg_cpu {
	const struct agg_moment *moments; /* as they came; a CPU's own are in order of time */
	u32 nmoments;
	u64 moments_more; /* not kept: past AGG_MOMENTS_MAX */
	u64 samples;
	double on_cpu_s; /* samples / frequency */
	const struct agg_node *nodes; /* NULL and 0 without samples */
	u32 nnodes;
	const struct agg_top *top;
	u32 ntop;
};

struct agg_wait {
	u64 count; /* waits that ended */
	u64 blocked_ns;
	u64 runqueue_ns; /* after it */
};

/* A thread of a target: on_ns + runqueue_ns + blocked_ns = wall_ns, all of the window. */
struct agg_thread {
	u16 target;
	u32 tgid;
	u32 tid;
	const char *name;
	bool ended;
	u64 wall_ns;
	u64 on_ns;
	u64 runqueue_ns;
	u64 blocked_ns;
	struct agg_wait by_reason[HP_WAIT_MAX]; /* [HP_WAIT_NONE]: pushed off its processor */
};

/*
 * A sampled wait of a thread: blocked until woken, then in the run queue until ts_ns. Between two of a thread
 * that follow each other it ran for what on_ns has grown by; `before` grows by one when there was no other
 * wait between them.
 */
struct agg_state {
	u64 ts_ns;
	u64 blocked_ns;
	u64 runqueue_ns;
	u64 on_ns;
	u32 before;
	u32 tgid;
	u32 tid;
	u8 reason; /* enum hp_wait */
	char name[HP_COMM_LEN]; /* of the thread; not cleaned */
	char waker[HP_COMM_LEN]; /* "" = an interrupt, or not known */
};
#define AGG_STATES_MAX (200 * 1000) /* 16 MB */

#define AGG_WAKER_TOP 3

/* Who woke a thread from waits for one reason; from the sampled waits. */
struct agg_waking {
	const char *thread;
	const char *waker; /* its name; "an interrupt": a timer, a device */
	u8 reason; /* enum hp_wait */
	u64 weight_us; /* time that was waited until then */
	const char
		*top[AGG_WAKER_TOP]; /* innermost first: where it mostly did so; NULL = no more */
};

/* A function of the application's own, and what it waited for. Sorted by weight desc; at most 200 rows. */
struct agg_place {
	const char *text;
	u8 kind;
	u8 reason; /* enum hp_wait, never HP_WAIT_IDLE */
	u64 weight_us; /* of sampled waits */
	double ratio; /* of all but idle ones */
};

/* Where threads waited. Totals are exact; the tree is of a sample, its weights are microseconds. */
struct agg_offcpu {
	bool recorded;
	bool stacks; /* and sampled */
	u64 on_ns; /* of all threads, as what follows */
	u64 blocked_ns;
	u64 runqueue_ns;
	struct agg_wait by_reason[HP_WAIT_MAX];
	const struct agg_thread *threads; /* by what they waited but for work, the most first */
	u32 nthreads; /* at most 200 */
	u32 threads_more;
	u64 samples;
	const struct agg_node
		*nodes; /* as in struct agg_cpu; what waits for work is below "(idle)" */
	u32 nnodes;
	const struct agg_top *top; /* without what waits for work */
	u32 ntop;
	const struct agg_node *waker_nodes; /* thread, reason, waker, then where the waker was */
	u32 nwaker_nodes;
	const struct agg_state *states; /* by thread (tgid, tid), then time */
	u32 nstates;
	u64 states_more; /* not kept: past AGG_STATES_MAX */
	const struct agg_waking *wakings; /* the most first */
	u32 nwakings; /* at most 100 */
	const struct agg_place *places;
	u32 nplaces;
};

/* Connections that could not be read. Sorted by conns desc, then texts. */
struct agg_blind {
	u16 target;
	u8 role; /* enum hp_role */
	u8 status; /* enum conn_status: UNPARSED or ENCRYPTED */
	const char *address; /* peer; in the server role the local address */
	const char *proto; /* "" unknown */
	const char *reason;
	u64 conns;
	u64 sent;
	u64 received;
};

/* Of the stacks of one call tree. */
struct agg_stack_trust {
	u64 total;
	u64 complete; /* reached the thread's first function */
	u64 truncated; /* deeper than the limit, or past the call tree's cap */
	u64 unnamed_frames; /* distinct frames without a symbol */
	u64 frames; /* distinct frames */
	double jit_ratio; /* share by weight that goes through generated code without a name */
	u64 joined; /* places of the call tree that are one with their caller */
	u64 remapped; /* distinct frames where one file was mapped after another */
	u64 stops
		[UW_STOP_MAX]; /* why walks ended; UW_STOP_FP: by frame pointers, and not complete */
};

/* What was hooked to see something, and in which of the ways that there are. */
struct agg_probe {
	const char *key; /* "transfers" */
	const char *name; /* what it sees: "bytes sent and received on sockets" */
	const char *rung; /* the way: "raw"; "none": there was none, "off": not asked for */
	const char *how; /* the same in words, "" with "none" and "off" */
	bool lower; /* a better way is known, for other kernels or rights */
};

/* Served requests that were not answered by the window's end. */
struct agg_stuck {
	u64 requests; /* that came in the window */
	u64 unread; /* of those: not even read */
	u64 before; /* connections that have waited for an answer since before it */
	double oldest_s; /* for how long by then, the first of the requests; < 0 = there is none */
	const char *oldest; /* "GET /orders/{int}", "" = not read */
};

struct agg_trust {
	u64 events; /* records delivered */
	u64 lost_events; /* records lost whole */
	u64 lost[DROP_MAX]; /* by reason, agg_drop_key() names them */
	struct {
		u64 seen;
		u64 parsed;
		u64 unparsed;
		u64 encrypted;
		u64 undecided; /* too few bytes to tell, mostly idle ones */
	} conns;
	const struct agg_blind *by_peer;
	u32 nby_peer;
	struct agg_stack_trust stacks; /* of samples */
	struct agg_stack_trust wait_stacks;
	struct {
		bool measured; /* the BPF programs' run time is known */
		bool self_timed; /* by their own sampling, not by the kernel's run-time statistics */
		u64 bpf_ns;
		u64 bpf_runs;
		u64 agent_ns;
		u64 agent_rss_bytes;
		u64 target_cpu_ns; /* 0 = not known, then target_ratio is -1 */
		double target_ratio;
		double agent_cores;
	} overhead;
	u64 calls_bound; /* database calls bound to a request */
	u64 calls_unbound;
	u64 bind_refused; /* requests, calls and tasks that found no room, and rows of the tables */
	u64 folded; /* exchanges, calls, connections that went to an "(other)" row */
	const struct agg_probe *probes; /* in the order of the flow; none in captures of long ago */
	u32 nprobes;
	const char *const *without; /* kernel features that the user switched off */
	u32 nwithout;
	/* Why it was not measured; "" = it was. Then rows that are missing were not there. */
	const char *no_sockets; /* all that goes through sockets */
	const char *no_http; /* endpoints */
	const char *no_db; /* queries and pools */
	const char *const *notes; /* the most important first: encrypted databases, losses, … */
	u32 nnotes;
};

struct agg_report {
	struct agg_window window;
	struct agg_resources resources;
	struct agg_cpu cpu;
	struct agg_offcpu offcpu;
	struct agg_trust trust;
	const struct agg_target *targets; /* ascending id */
	u32 ntargets;
	const struct agg_endpoint *const *endpoints;
	u32 nendpoints;
	const struct agg_query *const *queries;
	u32 nqueries;
	const struct agg_use *uses; /* of all endpoints */
	u32 nuses;
	const struct agg_blame *blames;
	u32 nblames;
	const struct agg_pool *const *pools;
	u32 npools;
	const struct agg_external *const *external;
	u32 nexternal;
	/* totals over all targets; partial requests only under at_* */
	u64 requests;
	u64 errors;
	u64 aborted;
	u64 at_attach;
	u64 at_detach;
	struct agg_stuck stuck;
	u64 calls;
	u64 call_errors;
	u64 round_trips;
	struct hist latency; /* of all served requests */
	const char *config; /* "key=value\n" lines of all CONFIG records */
};

/* Does this node of a call tree stand for a thread's name? */
static inline bool agg_is_thread(const struct agg_node *nodes, const struct agg_node *n)
{
	return n->depth && !n->process && (n->depth == 1 || nodes[n->parent].process);
}

const struct agg_report *agg_report(const struct agg *agg);

/*
 * The route that a served request's path was counted under, "" when there is none; the same text
 * as in its endpoint row. A path that was answered 404 before it was first answered otherwise may
 * have been counted under its node's "{unmatched}" row instead.
 */
void agg_route_of(const struct agg *agg, u16 target, struct slice method, struct slice path,
		  struct buf *out);
/* The phases of the request that was split under this number; false: not known. */
bool agg_ledger_of(const struct agg *agg, u32 number, u64 ret_ns[PHASES]);

/*
 * Folded stacks ("comm;root;…;leaf", count), merged by name, in the order of the call tree. Start
 * with *pos = 0; replaces *line; false at the end.
 */
bool agg_folded_next(const struct agg *agg, u32 *pos, struct buf *line, u64 *ret_count);
/* The same of any call tree. */
bool agg_folded_tree(const struct agg_node *nodes, u32 n, u32 *pos, struct buf *line,
		     u64 *ret_weight);
/* "socket", "idle": keys of by_reason in the order of enum hp_wait. */
const char *agg_wait_key(enum hp_wait reason);

/* Why an incomplete stack ends there: "no_row"; NULL for UW_STOP_END, which is none. */
const char *agg_stop_key(enum uw_stop why);
const char *agg_stop_text(enum uw_stop why); /* the same for people: "code without …" */
const char *agg_drop_key(enum hp_drop why); /* "ring_full" */
const char *agg_drop_text(enum hp_drop why); /* "records that did not fit …" */

#endif
