/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The probes on this kernel, one child process as their target, and what the records say of each of
 * its connections.
 *
 * A test gives two functions for the child: before() runs while nothing is attached, act() under
 * observation. Both ends of a connection are usually the child's own, so each shows twice: as a
 * server's and as a client's. Every byte that travels is known from its position (lab_byte), so what
 * the records carry is checked without either side remembering it.
 */
#ifndef TESTS_BPF_LAB_H
#define TESTS_BPF_LAB_H

#include "base/types.h"
#include "hp/events.h"
#include "load/load.h"

#define LAB_CONNS_MAX 4096

struct seen { /* one connection */
	struct ev_conn_open open;
	u64 moved[2]; /* positions that the records have come to, without a hole */
	u64 carried[2];
	u64 holes[2]; /* bytes before a record that nobody was seen to move */
	u64 transfers[2];
	u64 close_bytes[2];
	u64 wire[2]; /* transfers with a wire stamp */
	u64 entered[2]; /* with an entry stamp */
	u32 opaque[2];
	u32 opens;
	u32 closes;
	u32 established;
	u32 failed;
	u32 eof;
	u32 shut;
	u32 errors;
	s32 err; /* of the last failure */
	bool still; /* named by a CONN_BYTES record */
};

struct lab_opts;

struct lab {
	struct probes *p;
	const struct lab_opts *opts;
	struct seen *conns;
	u32 n;
	u32 procs[4]; /* by enum hp_proc_what */
	u32 targets[16]; /* processes that records name */
	u32 ntargets;
	u64 drops[DROP_MAX];
	bool unchecked; /* bytes are not lab_byte() */
	/* Bytes move past the probes: on TCP they leave holes, on unix sockets positions close up. */
	bool holes;
};

typedef void lab_fn(void);

/* Runs it all: NULL before and 0 options are fine. Asserts that the child was content. */
struct lab_opts {
	lab_fn *before;
	lab_fn *act;
	bool no_unix; /* entries of sends and closes are not taken */
	bool no_children;
	bool waits; /* where threads wait, and nothing else; */
	bool steps; /* both that and connections */
	/* Sees every record as well; those of threads at the window's edges come through it alone. */
	void (*record)(void *arg, const struct ev_hdr *rec);
	void *arg;
	bool keep; /* the child is still there when the window ends */
};
void lab_run(struct lab *lab, const struct lab_opts *opts);
void lab_free(struct lab *lab);
/* One connection of that role (and family, 0 = any), the nth in order of discovery. NULL: none. */
struct seen *lab_conn(struct lab *lab, u8 role, u16 family, u32 n);
u32 lab_count(const struct lab *lab, u8 role);
void lab_no_drops(const struct lab *lab);
/* Transfers are seen at the functions of sockets, not at system calls: HOSTPROF_WITHOUT decides. */
bool lab_on_functions(const struct lab *lab);

/* For the child. */
#define MUST(what)                                                                                 \
	do {                                                                                       \
		if (!(what))                                                                       \
			lab_die(#what, __FILE__, __LINE__);                                        \
	} while (0)
void lab_die(const char *what, const char *file, int line) __attribute__((noreturn));
static inline u8 lab_byte(u64 pos)
{
	return (u8)(pos * 31 + (pos >> 8));
}
/* Fills p with what belongs at the position, which moves on. */
void lab_fill(void *p, size_t n, u64 *pos);
int lab_listen(int family); /* on a free port or name of this process */
int lab_connect(int family); /* to the latest of lab_listen */
int lab_pair(int family, int *ret_served); /* listens, connects, accepts; the client's end */
u16 lab_port(void);
const char *lab_name(void);

#endif
