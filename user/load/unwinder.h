/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The collector's part of unwinding: the maps that the programs walk by (hp/unwind.h). It trusts nobody:
 * mappings come from the kernel, tables from the analyst are checked to the last index.
 */
#ifndef LOAD_UNWINDER_H
#define LOAD_UNWINDER_H

#include "base/slice.h"
#include "base/types.h"
#include "decode/channel.h"
#include "hp/events.h"

struct unwinder;

/* How large the maps are made, before they are loaded. */
struct unwinder_sizes {
	u32 leaves;
	u32 pages;
	u32 maps;
};

void unwinder_sizes(struct unwinder_sizes *ret, bool memory_is_short);

struct unwinder_fds { /* of the maps */
	int rules, leaves, pages, maps, procs, pythons;
};

int unwinder_new(struct unwinder **ret, const struct unwinder_fds *fds,
		 const struct unwinder_sizes *sizes);
void unwinder_free(struct unwinder *u);

/* The kernel says that the process has this mapping. */
void unwinder_mapping(struct unwinder *u, const struct ev_mapping *m, struct slice path);
bool unwinder_knows(const struct unwinder *u, u32 tgid);
/* fork, exec and exit, as the records come. */
void unwinder_process(struct unwinder *u, const struct ev_proc *ev);

/* The analyst's requests: a number > 0 or -errno, to be answered with. */
int unwinder_table(struct unwinder *u, int fd);
int unwinder_bind(struct unwinder *u, const struct chan_request *req);
/* What frames of its generated code say of themselves. 1; -ESRCH the process is not known. */
int unwinder_code(struct unwinder *u, const struct chan_request *req);
int unwinder_python(struct unwinder *u, const struct chan_request *req);

/* Mappings that the analyst has said nothing of yet. */
u32 unwinder_pending(const struct unwinder *u);
/* Gives the programs what changed; `now`: without waiting for more to come. */
void unwinder_publish(struct unwinder *u, bool now);
struct still_world;
/* What the programs walk by, for a walk elsewhere; valid until the next call of another function here. */
void unwinder_world(const struct unwinder *u, struct still_world *ret);
/* How a process is walked; -ENOENT. */
int unwinder_proc(const struct unwinder *u, u32 tgid, struct uw_proc *ret);
/* Mappings and tables past a bound. */
u64 unwinder_refused(const struct unwinder *u);

#endif
