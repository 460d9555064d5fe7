/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keys of summary.json, schema_version 1, in the order in which summary.c writes them. Parts that
 * this version does not record are described by their type alone: they are null, with a note.
 */
#include "out/schema.h"

#define KEYS(...)                                                                                  \
	(const struct schema[])                                                                    \
	{                                                                                          \
		__VA_ARGS__,                                                                       \
		{                                                                                  \
			0                                                                          \
		}                                                                                  \
	}
#define ITEM(...)                                                                                  \
	(const struct schema[])                                                                    \
	{                                                                                          \
		{                                                                                  \
			NULL, __VA_ARGS__                                                          \
		}                                                                                  \
	}
#define VALUES(...)                                                                                \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}
#define NOT_RECORDED "null: not recorded, see trust.notes"
#define UNMEASURED "null: not measured, see trust.notes"

static const struct schema hist[] = {
	{ "gamma", S_NUM, NULL, "bucket i holds values in (gamma^(i-1), gamma^i]", NULL },
	{ "unit", S_STR, NULL, "of the values that buckets count", NULL },
	{ "zero", S_INT, NULL, "values below one unit", NULL },
	{ "buckets", S_ARR, ITEM(S_ARR, ITEM(S_INT, NULL, NULL, NULL), "[index, count]", NULL),
	  NULL, NULL },
	{ 0 }
};

/* null when nothing was timed */
static const struct schema latency[] = { { "mean", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "min", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "max", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "p50", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "p75", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "p95", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "p99", S_NUM | S_NULL, NULL, NULL, NULL },
					 { "hist", S_OBJ, hist, NULL, NULL },
					 { 0 } };

static const struct schema range[] = { { "min", S_NUM, NULL, NULL, NULL },
				       { "mean", S_NUM, NULL, NULL, NULL },
				       { "max", S_NUM, NULL, NULL, NULL },
				       { 0 } };

static const struct schema partial[] = { { "at_attach", S_INT, NULL,
					   "under way at the window's start", NULL },
					 { "at_detach", S_INT, NULL, "under way at its end", NULL },
					 { 0 } };

static const struct schema bytes[] = { { "sent", S_INT, NULL, NULL, NULL },
				       { "received", S_INT, NULL, NULL, NULL },
				       { 0 } };

static const struct schema count[] = { { NULL, S_INT, NULL, NULL, NULL } };

static const struct schema target[] = {
	{ "id", S_INT, NULL, NULL, NULL },
	{ "pid", S_INT, NULL, NULL, NULL },
	{ "cmdline", S_STR, NULL, NULL, NULL },
	{ "exe", S_STR, NULL, NULL, NULL },
	{ "runtime", S_STR, NULL, NULL, NULL },
	{ "service", S_STR, NULL, NULL, NULL },
	{ "started_unix_ms", S_INT, NULL, NULL, NULL },
	{ "pids", S_ARR, count, "processes seen, the root included", NULL },
	{ "pids_more", S_INT, NULL, "processes past the list's limit", NULL },
	{ "exit_code", S_INT | S_NULL, NULL,
	  "as wait(2) has it; null: still running at the window's end", NULL },
	{ 0 }
};

static const struct schema block[] = { { "t_s", S_INT, NULL, NULL, NULL },
				       { "requests", S_INT | S_NULL, NULL, "that ended in it",
					 NULL },
				       { "calls", S_INT | S_NULL, NULL, NULL, NULL },
				       { "p50_ms", S_NUM | S_NULL, NULL, NULL, NULL },
				       { "p95_ms", S_NUM | S_NULL, NULL, NULL, NULL },
				       { "cpu_ratio", S_NUM | S_NULL, NULL, NULL, NULL },
				       { 0 } };

static const struct schema window[] = {
	{ "start_unix_ms", S_INT, NULL, NULL, NULL },
	{ "start_mono_ns", S_INT, NULL, NULL, NULL },
	{ "duration_s", S_NUM, NULL, NULL, NULL },
	{ "complete", S_BOOL, NULL, "false: the capture was cut", NULL },
	{ "cpus", S_INT, NULL, NULL, NULL },
	{ "blocks", S_ARR, ITEM(S_OBJ, block, NULL, NULL),
	  "one a second; longer in very long windows, see t_s", NULL },
	{ 0 }
};

#define UNBOUND "null: these requests' calls may be among those that are bound to none"

static const struct schema per_request[] = { { "mean", S_NUM, NULL, NULL, NULL },
					     { "max", S_INT, NULL, "of one request", NULL },
					     { 0 } };

static const struct schema query_user[] = {
	{ "method", S_STR | S_NULL, NULL, "null: head not seen", NULL },
	{ "route", S_STR, NULL, NULL, NULL },
	{ "count", S_INT, NULL, "calls by its requests", NULL },
	{ "total_ms", S_NUM, NULL, "sum of their latencies", NULL },
	{ 0 }
};

static const struct schema calls[] = { { "bound", S_INT, NULL,
					 "database calls that a request is known for", NULL },
				       { "unbound", S_INT, NULL, "and not", NULL },
				       { 0 } };

static const struct schema ms[] = { { NULL, S_NUM, NULL, NULL, NULL } };

static const struct schema ledger[] = { { "mean", S_MAP, ms, "of all requests", NULL },
					{ "p50", S_MAP, ms, "of those at that rank, see latency_ms",
					  NULL },
					{ "p95", S_MAP, ms, NULL, NULL },
					{ "p99", S_MAP, ms, NULL, NULL },
					{ 0 } };

static const struct schema endpoint_key[] = { { "method", S_STR, NULL, NULL, NULL },
					      { "route", S_STR, NULL, NULL, NULL },
					      { 0 } };

static const struct schema blamed[] = {
	{ "victim", S_OBJ, endpoint_key, "its requests waited", NULL },
	{ "holder", S_OBJ | S_STR, endpoint_key,
	  "the event loop worked for these meanwhile; \"background\": for no request that is known",
	  NULL },
	{ "kind", S_STR, NULL, NULL, VALUES("loop", "gil", "lock") },
	{ "frame", S_STR | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "ms", S_NUM, NULL, "in total", NULL },
	{ "count", S_INT, NULL, "requests that waited", NULL },
	{ 0 }
};

static const struct schema endpoint[] = {
	{ "target", S_INT, NULL, NULL, NULL },
	{ "method", S_STR | S_NULL, NULL, "null: head not seen", NULL },
	{ "route", S_STR, NULL, NULL, NULL },
	{ "route_source", S_STR, NULL, NULL, VALUES("template", "clustered", "literal") },
	{ "count", S_INT, NULL, "wholly inside the window", NULL },
	{ "errors", S_INT, NULL, "status >= 500", NULL },
	{ "aborted", S_INT, NULL, "answer cut off", NULL },
	{ "untimed", S_INT, NULL, "of count: a gap keeps them out of latency_ms", NULL },
	{ "rate_per_s", S_NUM, NULL, NULL, NULL },
	{ "status", S_MAP, count, "count by status code; 0: none seen", NULL },
	{ "latency_ms", S_OBJ, latency, "arrival of the first byte to write of the last", NULL },
	{ "request_bytes", S_INT, NULL, NULL, NULL },
	{ "response_bytes", S_INT, NULL, NULL, NULL },
	{ "queries_per_request", S_OBJ | S_NULL, per_request, UNBOUND, NULL },
	{ "round_trips_per_request", S_OBJ | S_NULL, per_request, UNBOUND, NULL },
	{ "db_ms_per_request", S_NUM | S_NULL, NULL,
	  "in which a call was under way, several at a time once; " UNBOUND, NULL },
	{ "ledger_ms", S_OBJ | S_NULL, ledger,
	  "phases, which sum to the latency; those without time are left out; null: not known of "
	  "any request",
	  NULL },
	{ "overlapped_ms", S_MAP | S_NULL, ms,
	  "time in calls, had nothing else of the request gone on meanwhile", NULL },
	{ "cpu_ms_per_request", S_NUM | S_NULL, NULL, "ledger_ms.mean.cpu", NULL },
	{ "attributed_ratio", S_NUM | S_NULL, NULL, "of the requests' time: all but unattributed",
	  NULL },
	{ "partial", S_OBJ, partial, "in none of the other figures", NULL },
	{ 0 }
};

static const struct schema call_site[] = {
	{ "function", S_STR, NULL, NULL, NULL },
	{ "file", S_STR | S_NULL, NULL, "with its directory", NULL },
	{ "line", S_INT | S_NULL, NULL, NULL, NULL },
	{ "count", S_INT, NULL, "calls: the row's, shared out as the sampled ones were", NULL },
	{ "samples", S_INT, NULL, "calls whose stacks were looked at", NULL },
	{ 0 }
};

static const char call_sites_note[] =
	"functions of the application that issue it, the most first; null: no stack was taken";

static const struct schema query[] = {
	{ "target", S_INT, NULL, NULL, NULL },
	{ "system", S_STR, NULL, NULL, NULL },
	{ "peer", S_STR, NULL, NULL, NULL },
	{ "database", S_STR, NULL, NULL, NULL },
	{ "user", S_STR, NULL, NULL, NULL },
	{ "statement", S_STR, NULL, "normalised: literals are ?", NULL },
	{ "fingerprint", S_STR | S_NULL, NULL, "16 hex digits; null: the (other) row", NULL },
	{ "operation", S_STR | S_NULL, NULL, "first keyword", NULL },
	{ "truncated", S_BOOL, NULL, "the text was never seen whole", NULL },
	{ "count", S_INT, NULL, "calls: executed statements", NULL },
	{ "round_trips", S_INT, NULL, "waits for the server; one may carry several calls", NULL },
	{ "errors", S_INT, NULL, NULL, NULL },
	{ "error_codes", S_MAP, count, "count by SQLSTATE", NULL },
	{ "rows", S_INT, NULL, NULL, NULL },
	{ "untimed", S_INT, NULL, "of count: a gap keeps them out of latency_ms", NULL },
	{ "latency_ms", S_OBJ, latency, "send to arrival of the last byte", NULL },
	{ "first_row_ms", S_OBJ, latency, "send to the first row", NULL },
	{ "endpoints", S_ARR | S_NULL, ITEM(S_OBJ, query_user, NULL, NULL),
	  "whose requests issue it, the most first; null: no call was bound to a request", NULL },
	{ "call_sites", S_ARR | S_NULL, ITEM(S_OBJ, call_site, NULL, NULL), call_sites_note, NULL },
	{ "partial", S_OBJ, partial, "in none of the other figures", NULL },
	{ 0 }
};

static const struct schema connection[] = {
	{ "target", S_INT, NULL, NULL, NULL },
	{ "system", S_STR, NULL, NULL, NULL },
	{ "peer", S_STR, NULL, NULL, NULL },
	{ "peer_pid", S_INT | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "database", S_STR, NULL, NULL, NULL },
	{ "user", S_STR, NULL, NULL, NULL },
	{ "connections", S_INT, NULL, "distinct ones seen", NULL },
	{ "open_max", S_INT, NULL, "at one time", NULL },
	{ "in_use_max", S_INT, NULL, "with a call under way at one time", NULL },
	{ "in_use_mean", S_NUM, NULL, NULL, NULL },
	{ "opened", S_INT, NULL, "inside the window", NULL },
	{ "closed", S_INT, NULL, "inside the window", NULL },
	{ "encrypted", S_INT, NULL, "turned to TLS: not readable", NULL },
	{ "cancels", S_INT, NULL, "carried only a cancel request", NULL },
	{ "idle_in_transaction_max_ms", S_NUM, NULL, NULL, NULL },
	{ "connect_ms", S_OBJ, latency, NULL, NULL },
	{ "waits", S_OBJ | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "inferred", S_ARR | S_NULL, NULL, NOT_RECORDED, NULL },
	{ 0 }
};

static const struct schema external[] = {
	{ "target", S_INT, NULL, NULL, NULL },
	{ "protocol", S_STR, NULL, "http, or how far an unread connection is known", NULL },
	{ "method", S_STR | S_NULL, NULL, "http only", NULL },
	{ "peer", S_STR, NULL, NULL, NULL },
	{ "route", S_STR | S_NULL, NULL, "http only", NULL },
	{ "count", S_INT, NULL, "http: calls; otherwise connections", NULL },
	{ "errors", S_INT, NULL, "http: status >= 500 or cut off; otherwise failed and reset",
	  NULL },
	{ "timeouts", S_INT, NULL, "the target gave up first", NULL },
	{ "untimed", S_INT, NULL, NULL, NULL },
	{ "status", S_MAP, count, "count by status code; 0: none seen", NULL },
	{ "latency_ms", S_OBJ, latency, NULL, NULL },
	{ "connect_ms", S_OBJ, latency, NULL, NULL },
	{ "bytes", S_OBJ, bytes, NULL, NULL },
	{ "endpoints", S_ARR | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "call_sites", S_ARR | S_NULL, ITEM(S_OBJ, call_site, NULL, NULL), call_sites_note, NULL },
	{ "partial", S_OBJ, partial, "in none of the other figures", NULL },
	{ 0 }
};

static const struct schema cpu_top[] = {
	{ "frame", S_STR, NULL, NULL, NULL },
	{ "kind", S_STR, NULL, NULL, VALUES("kernel", "native", "python", "other") },
	{ "self_ratio", S_NUM, NULL, "of all samples", NULL },
	{ "total_ratio", S_NUM, NULL, "recursion counted once", NULL },
	{ 0 }
};

static const struct schema cpu[] = { { "samples", S_INT, NULL, NULL, NULL },
				     { "frequency_hz", S_INT, NULL, NULL, NULL },
				     { "on_cpu_s", S_NUM, NULL, NULL, NULL },
				     { "top", S_ARR, ITEM(S_OBJ, cpu_top, NULL, NULL), NULL, NULL },
				     { 0 } };

static const struct schema wait[] = { { "count", S_INT, NULL, "waits that ended", NULL },
				      { "blocked_s", S_NUM, NULL,
					"until it was woken, or the window ended", NULL },
				      { "runqueue_s", S_NUM, NULL, "from then until it ran", NULL },
				      { 0 } };

static const struct schema waits[] = { { NULL, S_OBJ, wait, NULL, NULL } };

#define REASONS                                                                                    \
	"by what threads waited for: preempted (nothing), socket, pipe, disk, futex, idle "        \
	"(epoll, "                                                                                 \
	"accept), poll, sleep, page_fault, gil, event, child, file_lock, io_uring, stopped, other"

static const struct schema thread[] = { { "target", S_INT, NULL, NULL, NULL },
					{ "pid", S_INT, NULL, NULL, NULL },
					{ "tid", S_INT, NULL, NULL, NULL },
					{ "name", S_STR, NULL, NULL, NULL },
					{ "ended", S_BOOL, NULL, "inside the window", NULL },
					{ "wall_s", S_NUM, NULL,
					  "on_cpu_s + blocked_s + runqueue_s", NULL },
					{ "on_cpu_s", S_NUM, NULL, NULL, NULL },
					{ "blocked_s", S_NUM, NULL, NULL, NULL },
					{ "runqueue_s", S_NUM, NULL, NULL, NULL },
					{ "by_reason", S_MAP, waits, REASONS, NULL },
					{ 0 } };

static const struct schema waker[] = {
	{ "thread", S_STR, NULL, "that waited", NULL },
	{ "reason", S_STR, NULL, "a key of by_reason", NULL },
	{ "waker", S_STR, NULL, "name of the thread that woke it, or 'an interrupt'", NULL },
	{ "blocked_s", S_NUM, NULL, "estimated from the sampled waits", NULL },
	{ "top", S_ARR, ITEM(S_STR, NULL, NULL, NULL),
	  "functions that the waker mostly was in then, innermost first", NULL },
	{ 0 }
};

static const struct schema place[] = {
	{ "function", S_STR, NULL, "the innermost of the application's own", NULL },
	{ "kind", S_STR, NULL, "as in top", NULL },
	{ "reason", S_STR, NULL, "a key of by_reason", NULL },
	{ "ratio", S_NUM, NULL, "of the time of sampled waits but idle ones", NULL },
	{ 0 }
};

static const struct schema offcpu[] = {
	{ "on_cpu_s", S_NUM, NULL, "of all threads, as what follows", NULL },
	{ "blocked_s", S_NUM, NULL, NULL, NULL },
	{ "runqueue_s", S_NUM, NULL, "woken or pushed off, and waiting for a processor", NULL },
	{ "by_reason", S_MAP, waits, REASONS, NULL },
	{ "samples", S_INT, NULL, "waits whose stack was taken", NULL },
	{ "top", S_ARR, ITEM(S_OBJ, cpu_top, NULL, NULL), "of sampled waits but idle ones", NULL },
	{ "places", S_ARR, ITEM(S_OBJ, place, NULL, NULL), "what waits for what, the longest first",
	  NULL },
	{ "threads", S_ARR, ITEM(S_OBJ, thread, NULL, NULL),
	  "by what they waited but for work, the most first", NULL },
	{ "threads_more", S_INT, NULL, "threads past the list's limit", NULL },
	{ "wakers", S_ARR, ITEM(S_OBJ, waker, NULL, NULL),
	  "who ended sampled waits, by their time, the most first", NULL },
	{ 0 }
};

static const struct schema tick[] = { { "t_s", S_NUM, NULL, NULL, NULL },
				      { "rss_bytes", S_NUM, NULL, NULL, NULL },
				      { "vms_bytes", S_NUM, NULL, NULL, NULL },
				      { "cpu_ratio", S_NUM, NULL, NULL, NULL },
				      { "threads", S_NUM, NULL, NULL, NULL },
				      { "fds", S_NUM, NULL, NULL, NULL },
				      { 0 } };

static const struct schema resources[] = {
	{ "rss_bytes", S_OBJ, range, NULL, NULL },
	{ "vms_bytes", S_OBJ, range, NULL, NULL },
	{ "cpu_ratio", S_OBJ,
	  KEYS({ "mean", S_NUM, NULL, NULL, NULL }, { "max", S_NUM, NULL, NULL, NULL }),
	  "1.0 = one core", NULL },
	{ "cpu_ms", S_NUM, NULL, NULL, NULL },
	{ "threads", S_INT, NULL, "most at one time", NULL },
	{ "fds", S_INT, NULL, "most at one time", NULL },
	{ "processes", S_INT, NULL, "most at one time", NULL },
	{ "page_faults", S_INT, NULL, "inside the window", NULL },
	{ "major_page_faults", S_INT, NULL, "of them: read from disk", NULL },
	{ "context_switches", S_INT, NULL, "inside the window", NULL },
	{ "involuntary_context_switches", S_INT, NULL, "of them: preempted", NULL },
	{ "io_bytes", S_OBJ | S_NULL,
	  KEYS({ "read", S_INT, NULL, NULL, NULL }, { "write", S_INT, NULL, NULL, NULL }),
	  "storage; null: not readable", NULL },
	{ "series", S_ARR, ITEM(S_OBJ, tick, NULL, NULL), NULL, NULL },
	{ 0 }
};

static const struct schema blind[] = {
	{ "target", S_INT, NULL, NULL, NULL },
	{ "role", S_STR, NULL, "of the target", VALUES("unknown", "server", "client") },
	{ "peer", S_STR, NULL, "address; for role server the local one", NULL },
	{ "status", S_STR, NULL, NULL, VALUES("encrypted", "unparsed") },
	{ "protocol", S_STR | S_NULL, NULL, NULL, NULL },
	{ "reason", S_STR | S_NULL, NULL, NULL, NULL },
	{ "connections", S_INT, NULL, NULL, NULL },
	{ "bytes", S_OBJ, bytes, NULL, NULL },
	{ 0 }
};

static const struct schema trust_connections[] = {
	{ "seen", S_INT, NULL, NULL, NULL },
	{ "parsed", S_INT, NULL, NULL, NULL },
	{ "unparsed", S_INT, NULL, NULL, NULL },
	{ "encrypted", S_INT, NULL, NULL, NULL },
	{ "undecided", S_INT, NULL, "too few bytes to tell", NULL },
	{ "by_peer", S_ARR, ITEM(S_OBJ, blind, NULL, NULL), "encrypted and unparsed ones", NULL },
	{ 0 }
};

static const struct schema stacks[] = {
	{ "total", S_INT, NULL, NULL, NULL },
	{ "complete", S_INT, NULL, "reached the first function", NULL },
	{ "truncated", S_INT, NULL, NULL, NULL },
	{ "unnamed_frames", S_INT, NULL, NULL, NULL },
	{ "frames", S_INT, NULL, "distinct", NULL },
	{ "jit_ratio", S_NUM, NULL, "share of stacks through generated code without a name", NULL },
	{ "stops", S_MAP, count, "incomplete ones by why they end", NULL },
	{ 0 }
};

static const struct schema overhead[] = {
	{ "bpf_ms", S_NUM | S_NULL, NULL, "run time of all BPF programs", NULL },
	{ "bpf_runs", S_INT | S_NULL, NULL, NULL, NULL },
	{ "agent_ms", S_NUM, NULL, "CPU time of hostprof itself", NULL },
	{ "agent_rss_bytes", S_INT, NULL, NULL, NULL },
	{ "target_ratio", S_NUM | S_NULL, NULL, "BPF time / CPU time of the targets", NULL },
	{ "agent_cores", S_NUM, NULL, NULL, NULL },
	{ "method", S_STR, NULL, NULL, VALUES("bpf_run_time_stats", "self_timed_sample", "none") },
	{ 0 }
};

static const struct schema probe[] = {
	{ "key", S_STR, NULL, NULL, NULL },
	{ "sees", S_STR, NULL, NULL, NULL },
	{ "rung", S_STR, NULL, "the way it was done; none: there was no way, off: not asked for",
	  NULL },
	{ "name", S_STR | S_NULL, NULL, "the same in words", NULL },
	{ "best", S_BOOL, NULL, "false: other kernels or rights allow a better way", NULL },
	{ 0 }
};

static const struct schema trust[] = {
	{ "events", S_INT, NULL, "records delivered", NULL },
	{ "lost_events", S_INT, NULL, "records lost whole", NULL },
	{ "lost", S_MAP, count, "count by reason", NULL },
	{ "other_rows", S_INT, NULL, "items counted in an (other) row", NULL },
	{ "connections", S_OBJ | S_NULL, trust_connections, UNMEASURED, NULL },
	{ "stacks", S_OBJ | S_NULL, stacks, "null: CPU was not sampled", NULL },
	{ "wait_stacks", S_OBJ | S_NULL, stacks, "null: waits were not sampled", NULL },
	{ "calls", S_OBJ, calls, NULL, NULL },
	{ "attributed_ratio", S_NUM | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "overhead", S_OBJ, overhead, NULL, NULL },
	{ "probes", S_ARR | S_NULL, ITEM(S_OBJ, probe, NULL, NULL),
	  "null: a capture that does not tell", NULL },
	{ "without", S_ARR, ITEM(S_STR, NULL, NULL, NULL), "kernel features switched off by hand",
	  NULL },
	{ "notes", S_ARR, ITEM(S_STR, NULL, NULL, NULL), NULL, NULL },
	{ 0 }
};

static const struct schema unanswered[] = {
	{ "requests", S_INT, NULL, "that came in the window", NULL },
	{ "unread", S_INT, NULL, "of those: not even read", NULL },
	{ "connections_before", S_INT, NULL,
	  "on which the client had spoken last before the window, and nothing came or went in it",
	  NULL },
	{ "oldest_s", S_NUM | S_NULL, NULL, "for how long the first of the requests had waited",
	  NULL },
	{ "oldest", S_STR | S_NULL, NULL, "its method and route; null: not read", NULL },
	{ 0 }
};

const struct schema schema_summary[] = {
	{ "schema_version", S_INT, NULL, NULL, NULL },
	{ "hostprof_version", S_STR, NULL, NULL, NULL },
	{ "targets", S_ARR, ITEM(S_OBJ, target, NULL, NULL), NULL, NULL },
	{ "window", S_OBJ, window, NULL, NULL },
	{ "unanswered", S_OBJ | S_NULL, unanswered, "at the window's end; " UNMEASURED, NULL },
	{ "endpoints", S_ARR | S_NULL, ITEM(S_OBJ, endpoint, NULL, NULL), UNMEASURED, NULL },
	{ "queries", S_ARR | S_NULL, ITEM(S_OBJ, query, NULL, NULL), UNMEASURED, NULL },
	{ "connections", S_ARR | S_NULL, ITEM(S_OBJ, connection, NULL, NULL),
	  "to databases; " UNMEASURED, NULL },
	{ "external", S_ARR | S_NULL, ITEM(S_OBJ, external, NULL, NULL),
	  "outgoing calls; " UNMEASURED, NULL },
	{ "background", S_ARR | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "blame", S_ARR | S_NULL, ITEM(S_OBJ, blamed, NULL, NULL),
	  "who waited for the event loop while it worked for whom, the most first", NULL },
	{ "cpu", S_OBJ | S_NULL, cpu, "null: CPU was not sampled", NULL },
	{ "offcpu", S_OBJ | S_NULL, offcpu, NOT_RECORDED, NULL },
	{ "resources", S_OBJ | S_NULL, resources, NOT_RECORDED, NULL },
	{ "allocations", S_OBJ | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "gc", S_OBJ | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "startup", S_OBJ | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "findings", S_ARR | S_NULL, NULL, NOT_RECORDED, NULL },
	{ "trust", S_OBJ, trust, NULL, NULL },
	{ 0 }
};
