/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keeps the kernel supplied with what it unwinds by: every executable mapping of a target gets the unwind
 * table of its file. Runs in the analyst, beside sessions and symbols.
 *
 *   mapping record → file (opened by the collector) → table, built or from the cache → sent → mapping bound
 *
 * One table is made at a time, between records or when there are none, mappings that samples ran into
 * first; the record stream waits for one table at the longest (node, 99 MB: 100 ms). A file is known by its
 * build id, without one by inode and path, so a library is read once for all processes.
 */
#ifndef UNWIND_UNWIND_H
#define UNWIND_UNWIND_H

#include "base/slice.h"
#include "base/types.h"

#define UNWIND_FILES_MAX 4096
#define UNWIND_WAITING_MAX 16384 /* mappings without a table yet */

struct ev_mapping;
struct ev_sample;
struct jvm_file;
struct py_layout;
struct py_runtime;
struct py_sites;
struct unwind;
struct v8_layout;

/* One mapping, and how it is to be walked: asks of the collector. */
struct unwind_request {
	u32 tgid;
	u32 table; /* 0: by frame pointers */
	u32 flags; /* enum uw_map_flags */
	s8 word; /* see struct uw_map */
	u64 start;
	u64 end;
	u64 inode;
	u64 bias;
	struct slice path; /* NUL-terminated */
};

struct unwind_ops {
	/*
	 * A descriptor of the mapped file, which this side closes, or -errno: -ENOENT, -ESRCH the process
	 * or its mapping has gone.
	 */
	int (*open)(void *arg, const struct unwind_request *m);
	/* The table's number (> 0), or -errno: -ENOSPC no room. */
	int (*send)(void *arg, int fd);
	/* > 0, or -errno: -ENOENT the mapping has gone, -ESTALE the table. */
	int (*bind)(void *arg, const struct unwind_request *m);
	/* The process runs this interpreter. */
	void (*python)(void *arg, u32 tgid, const struct py_runtime *rt,
		       const struct py_layout *layout);
	/* The mapped file has functions in which work changes hands. NULL: it is not asked for. */
	void (*sites)(void *arg, const struct unwind_request *m, const struct py_sites *sites);
	/* There is a V8 in the process. NULL: likewise. */
	void (*v8)(void *arg, u32 tgid, const struct v8_layout *layout);
	/* The process has mapped this virtual machine, whose file's address 0 is at bias. */
	void (*java)(void *arg, u32 tgid, const struct jvm_file *f, u64 bias);
};

struct unwind_stats {
	u64 files; /* read */
	u64 tables; /* sent */
	u64 no_tables; /* files that have none: no ELF file, or of another processor */
	u64 refused; /* files and mappings past a bound, here or in the kernel */
	u64 build_ns; /* spent on reading files */
	u64 slowest_ns;
};

/* cache_dir: where tables are kept, NULL = nowhere. ops must outlive the result. */
int unwind_new(struct unwind **ret, const struct unwind_ops *ops, void *arg, const char *cache_dir);
void unwind_free(struct unwind *u);

void unwind_mapping(struct unwind *u, const struct ev_mapping *m, struct slice path);
/* Where walks ended for want of a table: these mappings go first. */
void unwind_sample(struct unwind *u, const struct ev_sample *s);
/* The process called exec, or ended. */
void unwind_forget(struct unwind *u, u32 tgid);
/* Is there something to do? */
bool unwind_busy(const struct unwind *u);
/* Does one piece of it. */
void unwind_work(struct unwind *u);

void unwind_get_stats(const struct unwind *u, struct unwind_stats *ret);

#endif
