/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel lets this process do. Each feature is a row in feat.c and is found by trying it,
 * never by the kernel's version: distributions carry changes back, and rights differ by process.
 * Results are kept for the life of the process.
 */
#ifndef LOAD_FEAT_H
#define LOAD_FEAT_H

#include "base/types.h"

enum feat {
	FEAT_BPF, /* bpf() at all */
	FEAT_BTF, /* /sys/kernel/btf/vmlinux */
	FEAT_RINGBUF,
	FEAT_MEMLOCK, /* memory for a ring buffer of the usual size */
	FEAT_RAW_TP,
	FEAT_TP_BTF,
	FEAT_SYS_TP, /* sys_enter and sys_exit as tp_btf */
	FEAT_DATA_READY, /* sk_data_ready as tp_btf */
	FEAT_ITER_TASK_FILE,
	FEAT_PERF_PROG, /* BPF on a software clock event */
	FEAT_PERF_HW, /* hardware cycles */
	FEAT_TYPED_READS,
	FEAT_RUN_STATS,
	FEAT_FENTRY,
	FEAT_KPROBE,
	FEAT_UPROBE,
	FEAT_COUNT,
};

enum feat_need {
	FEAT_REQUIRED, /* attach does not work without */
	FEAT_DEGRADES, /* attach works, the report says less */
	FEAT_UNUSED, /* another rung does the same; told for completeness */
};

struct feat_row {
	const char *key; /* stable, in JSON */
	const char *name;
	const char *why; /* what hostprof does with it */
	const char *without; /* what becomes of that when it is missing */
	const char *since; /* the kernel that brought it */
	const char *fix;
	enum feat_need need;
	int (*probe)(void); /* 0 = there, -errno */
};

extern const struct feat_row feat_rows[FEAT_COUNT];

int feat_probe(enum feat f); /* 0 = there, -errno why not; -EPERM, -EACCES: a right is missing */
static inline bool feat_has(enum feat f)
{
	return feat_probe(f) == 0;
}
void feat_release(void); /* frees what probing keeps; results stay */

#endif
