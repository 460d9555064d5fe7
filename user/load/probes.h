/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attach ladder: what hostprof hooks, and for each of it the ways to do that, best first. A way is
 * a rung: the kernel features it needs and the BPF programs that it is. Taking a lower rung changes
 * costs, or what a row says; having none costs what the row says is lost, and nothing else.
 *
 * ladder_choose() says what this kernel, these rights and --without allow. load.c loads and attaches
 * it; a rung that the kernel refuses all the same is struck out, and the choice made again. doctor
 * prints it, and reports carry a note for each row that is not on its best rung and says less for it.
 */
#ifndef LOAD_PROBES_H
#define LOAD_PROBES_H

#include "base/buf.h"
#include "base/types.h"
#include "load/feat.h"

enum probe {
	PROBE_TRANSFERS, /* bytes sent and received */
	PROBE_CALLS, /* accept, connect, shutdown */
	PROBE_SOCKETS, /* TCP's states: who connects, and ends */
	PROBE_ARRIVALS, /* data becomes readable */
	PROBE_SEED, /* connections open at attach */
	PROBE_PROCESSES, /* fork, exec, exit */
	PROBE_CPU, /* samples */
	PROBE_WAITS, /* where threads wait */
	PROBE_WAIT_SEED, /* threads to which nothing happens */
	PROBE_WAIT_STACKS,
	PROBE_TASKS, /* whose work a transfer is */
	PROBE_COST, /* what the programs themselves cost */
	PROBE_COUNT,
};

/* What the user asked for; rows belong to one of them, or to whatever is measured. */
enum probe_group {
	GROUP_ANY = 0,
	GROUP_NET = 1, /* requests, queries, calls */
	GROUP_CPU = 2,
	GROUP_WAITS = 4,
};

enum hook {
	HOOK_AUTO = 1, /* the program's own section says where: tp_btf, raw_tp, fentry, fexit */
	HOOK_ITER, /* run once when wanted */
	HOOK_KPROBE, /* at func */
	HOOK_KRETPROBE,
	HOOK_SYSCALLS, /* the tracepoints of single system calls: sysprobes.h */
	HOOK_UPROBE, /* functions of programs, as they are found: probes_hook_python() */
	HOOK_PERF, /* a sampling event on every CPU */
};

struct rung_prog {
	const char *name; /* of the BPF program; NULL ends the list */
	enum hook hook;
	/*
	 * The kernel function that it hooks, NULL = none, and how many arguments it must have (0 = any):
	 * other ones are no function that this program knows.
	 */
	const char *func;
	u32 nargs;
	bool optional; /* kernels have it or something else that does the same */
	bool on_unix; /* attached when the first unix connection shows up */
};

struct rung {
	const char *key; /* stable, in JSON; NULL ends the list */
	const char *name;
	u64 needs; /* FEAT_BIT()s */
	const struct rung_prog *progs;
	bool no_rings; /* what goes through io_uring is not seen */
	bool entries; /* of sends are seen from the start, not with the first unix connection */
	u32 covers; /* PROBE_BIT()s of rows that it does as well */
	const char *less; /* what the report says less of, for its trust section; NULL = nothing */
};

#define RUNGS_MAX 7
#define PROBE_BIT(p) (1U << (p))

struct probe_row {
	const char *key;
	const char *name; /* what it sees */
	const char *lost; /* for trust: what is not measured without it */
	const char *holds; /* and what still is, at the least */
	enum probe_group group;
	bool required; /* its group is not measured at all without it */
	struct rung rungs[RUNGS_MAX];
};

extern const struct probe_row probe_rows[PROBE_COUNT];

#define RUNG_NONE (-1)
#define RUNG_COVERED (-2) /* another row's rung does it */

struct ladder {
	int taken[PROBE_COUNT]; /* index of the rung, RUNG_NONE, RUNG_COVERED */
	u32 refused[PROBE_COUNT]; /* bit per rung that the kernel did not take */
	u32 groups; /* enum probe_group that are asked for and can be measured */
};

/* groups: what is asked for. Keeps refused as it is. What cannot be measured is missing in l->groups. */
void ladder_choose(struct ladder *l, u32 groups);
/* Does the kernel have what this rung needs? */
bool ladder_there(enum probe p, int rung);
/*
 * The feature that keeps p from a better rung than it has (from any, when it has none), where the user
 * can do something about it: it was switched off, or a capability is missing. -ENOENT: there is none.
 */
int ladder_blame(const struct ladder *l, enum probe p);
/*
 * Why nothing of what is asked for can be measured: one clause a feature that is to blame, and what to
 * do. -EPERM a right is missing, -EOPNOTSUPP.
 */
int ladder_error(const struct ladder *l, u32 asked, struct buf *text, struct buf *fix);
const struct rung *ladder_rung(const struct ladder *l, enum probe p); /* NULL = none of its own */
static inline bool ladder_has(const struct ladder *l, enum probe p)
{
	return l->taken[p] != RUNG_NONE;
}
/* Is this the program of a taken rung? Also one that an optional function decides on. */
const struct rung_prog *ladder_prog(const struct ladder *l, const char *name,
				    enum probe *ret_probe);
/* The trust line of a row, NULL when it says all it can; asked is what the user asked for. */
const char *ladder_note(const struct ladder *l, enum probe p, u32 asked);
/* What follows such a line: the feature that is to blame, and why it is missing. Nothing if none is. */
void ladder_cause(const struct ladder *l, enum probe p, struct buf *out);
/* What is measured, and how, as lines of the CONFIG record; see measured.c. */
void ladder_describe(const struct ladder *l, u32 asked, struct buf *out);

#endif
