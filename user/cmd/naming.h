/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the analyst of a live window asks the collector for: files that are mapped, memory of the targets,
 * tables to walk stacks by. Input: the records as they come. Output: records of its own, names and lines
 * of sampled addresses and names of what runtimes run, which go where the others go, so that a replay
 * needs no binaries. A replay does not begin it: then nothing is asked, and its calls do nothing.
 */
#ifndef CMD_NAMING_H
#define CMD_NAMING_H

#include "agg/agg.h"
#include "base/map.h"
#include "decode/stream.h"

struct sym;
struct pynames;
struct v8names;
struct java;
struct unwind;

struct naming_ops {
	/* Takes a record, valid during the call. */
	void (*put)(void *arg, struct ev_hdr *rec);
	/* Something that the reader of the report should know. */
	void (*note)(void *arg, const char *text);
};

struct naming {
	const struct naming_ops *ops;
	void *arg;
	int chan_fd; /* back channel */
	struct sym *sym;
	struct pynames *pynames; /* names of Python frames */
	struct v8names *v8names; /* and of JavaScript functions */
	struct java *java; /* tables and names of what Java generates */
	struct map parents; /* of processes: who has their files when they have ended */
	struct unwind *unwind; /* NULL: nothing is unwound for this one */
	u64 now_ns; /* newest record */
	u64 unwound_ns; /* when the last table was done, */
	u64 unwind_ns; /* and how long it took */
	bool kallsyms_hidden;
};

/* 0 or -errno; naming_release() is allowed in both cases. nm stays where it is; ops must outlive it. */
int naming_begin(struct naming *nm, const struct naming_ops *ops, void *arg, int chan_fd);
void naming_release(struct naming *nm);
/* Before the record itself is handed on. */
void naming_record(struct naming *nm, struct ev_hdr *rec);
/* Makes tables while nothing else is to be done; when records never stop coming, half of the time. */
void naming_work(struct naming *nm, const struct stream *stream);
/* Asks what the addresses are called that have no name yet. */
void naming_addresses(struct naming *nm, struct agg *agg);
/* Adds what could not be named to the counts of a loss record. */
void naming_losses(const struct naming *nm, struct ev_loss *ev);

#endif
