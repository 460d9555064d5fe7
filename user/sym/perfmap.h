/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of generated code that a runtime writes down for profilers: /tmp/perf-PID.map, a line
 * "START SIZE name" (hexadecimal) for each piece of code, in the order in which it was made. Node with
 * --perf-basic-prof, .NET with PerfMapEnabled, CPython with -X perf and Java's Compiler.perfmap write it.
 *
 * The file grows while it is read, may be replaced or written anew at any time, and is whatever its
 * owner likes. Only ranges and where their lines begin are kept; a name is read from the file when it is
 * asked for, and its line must still say that range. Inside the sym stage only.
 */
#ifndef SYM_PERFMAP_H
#define SYM_PERFMAP_H

#include "base/slice.h"
#include "base/types.h"

#define PERFMAP_READ_MAX (128u << 20) /* bytes of a file: its last ones */
#define PERFMAP_ENTRIES_MAX (512u << 10) /* the newest ones; 12 MiB */

/* Code [start, end); disjoint from all others. */
struct perfmap_entry {
	u64 start;
	u64 end;
	u64 off; /* of its line; later lines win */
};

struct perfmap {
	int fd; /* -1 = there is none */
	u64 dev, ino;
	u64 off; /* everything before is read */
	bool skip; /* in the middle of a line that is none of ours */
	bool cut; /* over a bound: older entries are missing */
	struct perfmap_entry last; /* as it was read; off 0 and end 0 = none */
	struct perfmap_entry *entries; /* sorted */
	u32 n;
};

void perfmap_init(struct perfmap *m);
void perfmap_release(struct perfmap *m);
/*
 * Takes fd (-1: there is no file, or not any more), reads what has come since the last call or, when it is
 * another file now, all of it. 0 or -errno; then what was known before is kept or gone, never mixed.
 */
int perfmap_update(struct perfmap *m, int fd);
/*
 * NULL when no code is there. *ret_lo, *ret_hi: the entry, or the hole around addr (0 and UINT64_MAX
 * where it is open).
 */
const struct perfmap_entry *perfmap_find(const struct perfmap *m, u64 addr, u64 *ret_lo,
					 u64 *ret_hi);
/* The name, printable; its length. 0: the line is not there any more. */
size_t perfmap_name(const struct perfmap *m, const struct perfmap_entry *e, char *to, size_t cap);

#endif
