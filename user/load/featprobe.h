/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How each row of the feature table is tried: 0 = there, -errno. Only feat.c calls these; it asks
 * for what a row builds on first, so a probe may rely on that.
 */
#ifndef LOAD_FEATPROBE_H
#define LOAD_FEATPROBE_H

#include "base/types.h"

int featprobe_bpf(void);
int featprobe_btf(void);
int featprobe_ringbuf(void);
int featprobe_memlock(void);
int featprobe_raw_tp(void);
int featprobe_tp_btf(void);
int featprobe_sys_tp(void);
int featprobe_tracepoint(void);
int featprobe_data_ready(void);
int featprobe_tcp_probe(void);
int featprobe_iter_task_file(void);
int featprobe_perf_prog(void);
int featprobe_perf_hw(void);
int featprobe_typed_reads(void);
int featprobe_task_btf(void);
int featprobe_task_pt_regs(void);
int featprobe_run_stats(void);
int featprobe_recursion_misses(void);
int featprobe_whole_programs(void);
int featprobe_fentry(void);
int featprobe_module_btf(void);
int featprobe_kprobe(void);
int featprobe_return_room(void);
int featprobe_uprobe(void);
int featprobe_sched_switch(void);
int featprobe_sched_exit(void);

u64 featprobe_caps(void); /* CAP_BIT()s that are in force */

void featprobe_release(void); /* the kernel's BTF (kfuncs.h), and what is held of a tracepoint */

#endif
