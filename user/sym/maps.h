/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Executable mappings of all processes: (tgid, address) → mapping. Bounded in processes, mappings
 * and bytes of paths. Inside the sym stage only.
 */
#ifndef SYM_MAPS_H
#define SYM_MAPS_H

#include "base/map.h"
#include "sym/sym.h"

#define MAPS_PROCS_MAX 1024
#define MAPS_PER_PROC 8192
#define MAPS_TOTAL_MAX (64 * 1024)
#define MAPS_PATH_MAX 4096
#define MAPS_PATH_BYTES (8u << 20)

struct maps_entry {
	struct sym_mapping m; /* path is owned, NULL p = no path */
	u32 file; /* slot of the loaded file + 1, 0 = not asked yet; see struct sym */
	u32 file_gen;
	int err; /* why there is no file */
};

struct maps_proc {
	u32 tgid;
	u32 n, cap;
	u64 used; /* clock of the last use */
	struct maps_entry *e; /* sorted, disjoint */
};

struct maps {
	struct map by_tgid; /* → index in procs + 1 */
	struct maps_proc *procs[MAPS_PROCS_MAX];
	u64 clock;
	size_t total;
	size_t path_bytes;
	u64 evicted;
};

void maps_init(struct maps *t);
void maps_release(struct maps *t);
/* Takes a copy of m; what it overlaps is cut. */
int maps_add(struct maps *t, u32 tgid, const struct sym_mapping *m);
void maps_forget(struct maps *t, u32 tgid);
/* NULL = no mapping there. Valid until the next add or forget. */
struct maps_entry *maps_find(struct maps *t, u32 tgid, u64 addr);

#endif
