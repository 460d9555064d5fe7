/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unwind tables in the maps. An image that the analyst sent is checked, its rules become numbers of the
 * dictionary that all tables share, its pages and rows ranges of their own. A table is written before
 * anything names it, and its ranges rest before they are used again, so no program ever sees half of one.
 *
 * Tables that no mapping uses stay until room is short: the next process may run the same files.
 */
#ifndef LOAD_UNWINDTABLES_H
#define LOAD_UNWINDTABLES_H

#include "base/types.h"
#include "hp/events.h"
#include "load/ranges.h"

#define UNWIND_TABLES_MAX 2048

/* The arrays that the programs read; memory shared with the kernel, or a test's own. */
struct unwind_arrays {
	struct uw_rule *rules;
	struct uw_row *rows; /* leaves lie back to back */
	struct uw_page *pages;
	struct uw_map *maps;
	u32 nrules, nrows, npages, nmaps;
};

struct unwind_table {
	u32 id; /* never given twice; 0 = this place is free */
	u32 refs; /* mappings */
	u32 page, npages;
	u32 row, nrows;
	u64 unused_ns; /* since when, refs being 0 */
};

struct unwind_tables {
	struct unwind_arrays arrays;
	struct ranges pages, rows;
	struct unwind_table v[UNWIND_TABLES_MAX];
	u32 last_id;
	u32 nrules;
	u16 *rule_of; /* hash of the dictionary: rule number + 1, 0 = free */
	u64 refused; /* for lack of room */
};

int unwind_tables_init(struct unwind_tables *t, const struct unwind_arrays *arrays);
void unwind_tables_release(struct unwind_tables *t);
/*
 * The number (> 0) of the table that the descriptor holds. -EINVAL it is no image, -ENOSPC no room even
 * when unused tables go (some may: try later), -ENOMEM.
 */
int unwind_tables_add(struct unwind_tables *t, int fd, u64 now_ns);
struct unwind_table *unwind_tables_find(struct unwind_tables *t, u32 id); /* NULL = gone */
void unwind_table_get(struct unwind_table *x);
void unwind_tables_put(struct unwind_tables *t, u32 id, u64 now_ns);

#endif
