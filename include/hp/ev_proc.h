/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/* Processes, the window, resources, cost and losses. All but EV_PROC are made in user space. */
#ifndef HP_EV_PROC_H
#define HP_EV_PROC_H

enum hp_proc_what {
	HP_PROC_FORK = 1, /* hdr.tgid is the child, parent_tgid its parent */
	HP_PROC_EXEC = 2,
	HP_PROC_EXIT = 3, /* the whole process; exit_code as wait(2) has it */
};

struct ev_proc {
	struct ev_hdr hdr;
	__u32 what; /* enum hp_proc_what */
	__u32 parent_tgid;
	__s32 exit_code;
	char comm[HP_COMM_LEN];
	__u32 pad0;
};

/* A process of a target. cmdline, exe, runtime, service follow back to back, lengths below. */
struct ev_target {
	struct ev_hdr hdr; /* hdr.target: which; one record a process, the first is the root */
	__u64 started_unix_ms;
	__u32 root_tgid;
	__u16 cmdline_len; /* NULs between arguments turned to spaces */
	__u16 exe_len;
	__u16 runtime_len; /* "python 3.11", "nginx", "unknown" … */
	__u16 service_len;
	__u32 pad0;
};

/* /proc counters of one target (all its processes), cumulative where the name says total. */
struct ev_resource {
	struct ev_hdr hdr;
	__u64 rss_bytes;
	__u64 vms_bytes;
	__u64 cpu_total_ns; /* user + system */
	__u64 minor_faults_total;
	__u64 major_faults_total;
	__u64 voluntary_switches_total;
	__u64 involuntary_switches_total;
	__u64 read_bytes_total; /* storage */
	__u64 write_bytes_total;
	__u32 threads;
	__u32 fds;
	__u32 processes;
	__u32 io_known; /* 1: /proc/PID/io was readable */
};

/*
 * The kernel's own last account of a task that is no more. It goes to the collector, which puts it
 * into EV_RESOURCE: procfs forgets a process when its parent has asked for it. Not in captures.
 */
struct ev_used {
	struct ev_hdr hdr;
	__u64 cpu_ns; /* only of processes, as the next four: those that live tell themselves */
	__u64 minor_faults;
	__u64 major_faults;
	__u64 read_bytes;
	__u64 write_bytes;
	__u64 voluntary_switches;
	__u64 involuntary_switches;
	__u32 whole; /* 1: the process with all its threads; 0: one thread */
	__u32 pad0;
};

/* Drop counters since the start, indexed by enum hp_drop; n __u64 follow. */
struct ev_loss {
	struct ev_hdr hdr;
	__u64 events; /* records delivered so far */
	__u32 n;
	__u32 pad0;
};

enum hp_window_what {
	HP_WINDOW_START = 1, /* every probe is attached from here on */
	HP_WINDOW_STOP = 2, /* the first probe is detached after this */
	HP_WINDOW_END = 3, /* the stream's last record: a capture without it was cut */
};

enum hp_window_waits {
	HP_WAITS_TOTALS = 1, /* what threads waited for is measured */
	HP_WAITS_STACKS = 2, /* and sampled */
};

struct ev_window {
	struct ev_hdr hdr;
	__u64 unix_ns; /* wall clock at hdr.ts_ns */
	__u32 what; /* enum hp_window_what */
	__u32 sample_hz; /* 0 = no CPU sampling */
	__u8 sample_hw; /* 1: hardware cycles, 0: software clock */
	__u8 waits; /* enum hp_window_waits */
	__u8 pad0[2];
	__u32 ncpus;
	__u64 boot_unix_ns;
};

enum hp_cost_method {
	HP_COST_NONE = 0, /* not measured */
	HP_COST_RUN_STATS = 1, /* the kernel's run-time statistics */
	HP_COST_SELF_TIMED = 2, /* the programs timed some of their own runs */
};

/* What the measuring cost, cumulative over the window. */
struct ev_cost {
	struct ev_hdr hdr;
	__u64 bpf_ns; /* run time of all programs */
	__u64 bpf_runs;
	__u64 collector_cpu_ns;
	__u64 analyst_cpu_ns; /* written by the analyst itself, collector leaves 0 */
	__u64 agent_rss_bytes; /* peak of both processes together */
	__u64 target_cpu_ns; /* CPU of the targets over the same window */
	__u32 method; /* enum hp_cost_method */
	__u32 pad0;
};

/* A line for trust.notes; len bytes follow. */
struct ev_note {
	struct ev_hdr hdr;
	__u32 len;
	__u32 pad0;
};

/* "key=value\n" lines about host and options; len bytes follow. */
struct ev_config {
	struct ev_hdr hdr;
	__u32 len;
	__u32 pad0;
};

#endif
