/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stage 1: the BPF programs. Opens, sizes, loads and attaches them, drains their ring buffer, and
 * writes verdicts. Nothing of it outlives the process: every link is held by a descriptor, so the
 * kernel detaches all of it however the process ends.
 */
#ifndef LOAD_LOAD_H
#define LOAD_LOAD_H

#include "base/buf.h"
#include "base/types.h"
#include "hp/events.h"

struct probes;
struct ladder;
struct unwinder;

struct probes_opts {
	u32 ring_bytes; /* power of two; 0 = default */
	u32 sample_hz; /* 0 = no CPU samples */
	bool net; /* sockets */
	bool waits; /* where threads wait */
	bool follow_children;
};

struct probes_cost {
	u64 bpf_ns; /* since attach, all programs */
	u64 runs;
	u64 missed; /* hits the kernel skipped because a program was running already; 5.12 and newer */
	enum hp_cost_method method;
};

/* Why loading failed, for the one line that the user reads. */
struct probes_error {
	char text[256];
	char fix[256];
};

/*
 * 0 or -errno with ret_err filled; -EPERM/-EACCES: privileges, -EOPNOTSUPP: kernel feature. What only
 * some of the asked for cannot be measured is said by probes_note(), not refused.
 */
int probes_open(struct probes **ret, const struct probes_opts *opts, struct probes_error *ret_err);
void probes_free(struct probes *p); /* detaches; NULL is fine */

int probes_add_target(struct probes *p, u32 tgid, u16 target);
/*
 * Learns the ports that the targets listen on. Before attach: from then on each connection that is
 * found is served or called by them.
 */
int probes_seed_listeners(struct probes *p);
/* Whether that, and what is open at attach, is found by a program; else the caller names the ports. */
bool probes_seeds(const struct probes *p);
int probes_add_listener(struct probes *p, u32 net_ns, u16 port, u16 target);
int probes_attach(struct probes *p, struct probes_error *ret_err);
/*
 * A unix socket has been seen: from here on the entry of sends is taken too, because unix sockets
 * do not tell when bytes left. 0 when that was so already.
 */
int probes_want_unix(struct probes *p);
/* Announces the connections that are open now. Call after attach and add_target. */
int probes_seed(struct probes *p);
/* Detaches the programs that add records; the ring can still be drained. */
void probes_detach(struct probes *p);

/*
 * Gives every waiting record to fn, in order. Returns records delivered or -errno of fn, which
 * stops it. The record is valid during the call only and not checked yet.
 */
typedef int probes_record_fn(void *arg, const void *rec, size_t size);
int probes_drain(struct probes *p, probes_record_fn *fn, void *arg);
/* Readable when a record came that should not wait for the next look (a new unix connection). */
int probes_wakeup_fd(const struct probes *p);
/* What the ring can hold: the poll interval adapts to it. */
u64 probes_ring_bytes(const struct probes *p);

/*
 * Hooks a function of a file that the process has mapped: enum py_site, its offset in the file. Once is
 * enough. 0, also when it was hooked before; -ESRCH no target; -EOPNOTSUPP; other errors of the kernel.
 */
int probes_hook_python(struct probes *p, u32 tgid, int fd, u32 site, u64 off);
/*
 * A function that worker threads of a process run: its code object, the offset in its frames of the variable
 * that leads to their future, and how (struct py_worker). 0 or -errno.
 */
int probes_python_worker(struct probes *p, u32 tgid, u64 code, u64 local, u32 kind);
/* The analyst's answer for one connection; -ENOSPC when there are too many different answers. */
int probes_verdict(struct probes *p, u64 conn_id, const struct hp_verdict *v);
/* Gives fn an EV_CONT record for every connection with held-back transfers or uncounted bytes. */
int probes_flush_conts(struct probes *p, probes_record_fn *fn, void *arg, u64 now_ns);
/*
 * Gives fn the EV_WAIT_TOTAL records of threads that are followed: of all, or of those that something
 * happened to since the last look. flags: enum hp_wait_flags for the records.
 */
int probes_waits(struct probes *p, bool all, u32 flags, probes_record_fn *fn, void *arg);
/* Gives fn an EV_WAIT record for every wait that is under way since before now_ns, the window's end. */
int probes_still_waiting(struct probes *p, u64 now_ns, probes_record_fn *fn, void *arg);
/* Keeps the number of sampled waits in bounds; once a second or so. */
void probes_waits_pace(struct probes *p);
u8 probes_waits_what(const struct probes *p); /* enum hp_window_waits */
/* Adds up the per-CPU drop counters into sums[DROP_MAX]. */
void probes_drops(const struct probes *p, u64 *sums);
void probes_cost(const struct probes *p, struct probes_cost *ret);
/* What is hooked, and how. */
const struct ladder *probes_ladder(const struct probes *p);
/* The line for trust about that row of the ladder, NULL when it says all it can. */
const char *probes_note(const struct probes *p, u32 row);
/* The lines of the CONFIG record about what is measured, and how. */
void probes_describe(const struct probes *p, struct buf *out);
bool probes_net(const struct probes *p); /* sockets are measured */
bool probes_sample_hw(const struct probes *p);
u32 probes_sample_hz(const struct probes *p); /* 0 = no samples */
u32 probes_ncpus(const struct probes *p);
/* What user stacks are walked by; NULL when there are no samples. */
struct unwinder *probes_unwinder(const struct probes *p);

#endif
