/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Java processes (HotSpot): keeps the kernel supplied with unwind tables of the code that they generate,
 * and names that code and the methods which the interpreter runs. Needs no agent and no flag: what it
 * knows is what the virtual machine says of itself in its memory, which is read through the caller.
 *
 *   libjvm.so mapped → layout (jvm.h) → pieces of code (jvmheap.h) → table a heap, sent and bound
 *   sample → pieces and methods it met → EV_SYMBOL, EV_CODE
 *
 * The code is looked at once a second, and soon after a sample met some that was not known. A table
 * replaces the one before as a whole. Names are given when the first sample meets the code, while it is
 * still there. Runs in the analyst.
 */
#ifndef UNWIND_JAVA_H
#define UNWIND_JAVA_H

#include "base/slice.h"
#include "unwind/jvm.h"
#include "unwind/unwind.h"

#define JAVA_PROCS_MAX 64
#define JAVA_PLACES_MAX                                                                            \
	200000 /* interpreted methods and places in compiled ones that get a record */
#define JAVA_VERSION_TRIED 17

struct ev_code;
struct ev_frame;
struct ev_lines;
struct java;

struct java_ops {
	jvm_read_fn *read;
	/* As in struct unwind_ops. */
	int (*send)(void *arg, int fd);
	int (*bind)(void *arg, const struct unwind_request *m);
	/* Addresses of a process are called so. */
	void (*symbol)(void *arg, u32 tgid, u64 start, u64 end, struct slice name);
	/* Records with all but their time; valid during the call. */
	void (*lines)(void *arg, struct ev_lines *rec);
	void (*code)(void *arg, struct ev_code *rec);
};

struct java_stats {
	u64 looks; /* at all code of a process */
	u64 tables; /* sent */
	u64 named; /* pieces of code and methods */
	u64 failed; /* methods that were gone, or none; machines that were not understood */
	u64 refused; /* processes and methods past a bound, tables that found no room */
	u64 reads; /* of memory, a page each */
	u64 work_ns;
};

/* ops must outlive the result. */
int java_new(struct java **ret, const struct java_ops *ops, void *arg);
void java_free(struct java *j);

/* The process has mapped a virtual machine; bias: what the file's address 0 is at. */
void java_process(struct java *j, u32 tgid, const struct jvm_file *f, u64 bias);
/* It has called exec, or ended. */
void java_forget(struct java *j, u32 tgid);
/* User frames of a sample. */
void java_sample(struct java *j, u32 tgid, const struct ev_frame *frames, u32 n);
/* Is there something to do? */
bool java_busy(const struct java *j, u64 now_ns);
/* Does one piece of it: some milliseconds. */
void java_work(struct java *j);

void java_get_stats(const struct java *j, struct java_stats *ret);

#endif
