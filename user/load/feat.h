/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this kernel lets this process do. Each feature is a row in feat.c and is found by trying
 * it, never by the kernel's version: distributions carry changes back, and rights differ by process.
 * A row is tried when it is first asked for and remembered for the life of the process.
 *
 * A row can be forced off (--without KEY), and whatever builds on it goes with it, so that each rung
 * of the attach ladder can be exercised on any kernel. Only the rows marked FEAT_REQUIRED stop
 * attach; everything else has another rung or costs one line of trust (user/load/probes.c).
 */
#ifndef LOAD_FEAT_H
#define LOAD_FEAT_H

#include "base/caps.h"

struct buf;

enum feat {
	FEAT_BPF, /* bpf() at all */
	FEAT_BTF, /* /sys/kernel/btf/vmlinux */
	FEAT_RINGBUF,
	FEAT_MEMLOCK, /* memory for a ring buffer of the usual size; without: take a small one */
	FEAT_RAW_TP,
	FEAT_TP_BTF,
	FEAT_SYS_TP, /* sys_enter and sys_exit as tp_btf */
	FEAT_TRACEPOINT, /* a program on the tracepoint of one system call, by perf event */
	FEAT_DATA_READY, /* the tracepoint sk_data_ready is there */
	FEAT_TCP_PROBE, /* the tracepoint tcp_probe is there */
	FEAT_ITER_TASK_FILE,
	FEAT_PERF_PROG, /* BPF on a software clock event */
	FEAT_PERF_HW, /* hardware cycles */
	FEAT_TYPED_READS, /* bpf_rdonly_cast() */
	FEAT_TASK_BTF, /* bpf_get_current_task_btf() */
	FEAT_TASK_PT_REGS, /* bpf_task_pt_regs() */
	FEAT_RUN_STATS,
	FEAT_RECURSION_MISSES, /* the kernel counts the runs that it skipped */
	FEAT_WHOLE_PROGRAMS, /* the kernel does not preempt a BPF program */
	FEAT_FENTRY, /* and fexit */
	FEAT_MODULE_BTF, /* fentry on functions of modules; without modules at all: there */
	FEAT_KPROBE, /* and kretprobe */
	FEAT_RETURN_ROOM, /* a kretprobe follows more calls at once than there are processors */
	FEAT_UPROBE,
	FEAT_SCHED_SWITCH, /* the tracepoints of thread switches are as the programs know them */
	FEAT_SCHED_EXIT, /* the tracepoint behind a switch is there */
	FEAT_COUNT,
};

#define FEAT_BIT(f) (1ULL << (f))

enum feat_need {
	FEAT_REQUIRED, /* nothing at all can be measured without */
	FEAT_DEGRADES, /* attach works, the report says less */
	FEAT_UNUSED, /* another rung does the same; told for completeness */
};

struct feat_row {
	const char *key; /* stable, in JSON and for --without */
	const char *name;
	const char *why; /* what hostprof does with it */
	const char *without; /* what becomes of that when it is missing */
	const char *since; /* the first kernel release that has it */
	const char *change; /* what brought it: commit id, subject */
	const char *fix; /* when the kernel does not have it */
	const char *
		refused_fix; /* when it refuses although the capabilities are there; NULL = usual */
	bool gone; /* `since` is the first release that does not have it any more */
	u64 caps; /* CAP_BIT()s that the probe takes */
	const char
		*file; /* -EACCES of the probe means that this is not readable, NULL = as -EPERM */
	u64 file_caps; /* what makes it readable */
	enum feat_need need;
	u64 needs; /* FEAT_BIT()s: missing when one of them is */
	int (*probe)(void); /* 0 = there, -errno; needs are there */
};

extern const struct feat_row feat_rows[FEAT_COUNT];

/* 0 = there, -errno why not; -EPERM, -EACCES: a right is missing; -ENODATA: forced off. */
int feat_probe(enum feat f);
static inline bool feat_has(enum feat f)
{
	return feat_probe(f) == 0;
}

/* From now on the feature is missing. Before anything is opened. -ENOENT: no such key. */
int feat_force_off(const char *key);
bool feat_is_off(enum feat f); /* itself, not what it builds on */
int feat_find(const char *key); /* enum feat or -ENOENT */
/* The feature that is to blame: f itself or one that it needs. Only when !feat_has(f). */
enum feat feat_blame(enum feat f);
/* It is refused, and these CAP_BIT()s are missing; 0 = that is not why. */
u64 feat_lacks(enum feat f);
/*
 * Of a feature that is off: it would be missing anyway, so that leaving out --without gives nothing.
 * Tries it all the same, so only for doctor: attach keeps its hands off what was switched off.
 */
bool feat_off_in_vain(enum feat f);
/* Why it is missing, for a line of text: "refused (Operation not permitted) without CAP_PERFMON", … */
void feat_missing_text(enum feat f, struct buf *out);
void feat_fix(enum feat f, char *ret, size_t size); /* what to do about it */
void feat_keys(struct buf *out); /* "bpf, btf, …" */

/*
 * The first FEAT_REQUIRED row that is missing, or NULL: ask before anything is opened. ret_text gets
 * the sentence for the user and ret_fix what to do; *ret_err is -EPERM when a right is missing, else
 * -EOPNOTSUPP. Every case of it exits with EXIT_PRIVILEGE (5).
 */
const struct feat_row *feat_missing_required(int *ret_err, char *ret_text, size_t text_size,
					     char *ret_fix, size_t fix_size);

/*
 * Frees what probing keeps: memory, and an event on one system call, so that attaching does not wait
 * for the kernel to take it down. Once the loader has attached. Results stay.
 */
void feat_release(void);

#endif
