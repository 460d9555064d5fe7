/* SPDX-License-Identifier: Apache-2.0 */
/* The loaded programs; for load.c, which makes them, and readout.c, which reads from them, alone. */
#ifndef LOAD_LOADED_H
#define LOAD_LOADED_H

#include "base/map.h"
#include "hostprof.skel.h"
#include "hp/events.h"
#include "hp/tables.h"
#include "load/hooks.h"
#include "load/load.h"
#include "load/probes.h"
#include "load/unwinder.h"
#include "load/unpreempted.h"
#include "load/verdicts.h"

#define PROGRAMS_MAX 64
#define WAITS_SEEN_MAX 65536
#define WAIT_DRAW_NS (10 * NSEC_PER_MSEC) /* at most a hundred stacks a second and thread */

struct probes {
	struct probes_opts opts;
	u32 asked; /* enum probe_group */
	struct ladder ladder;
	struct hostprof_bpf *skel;
	struct hooks hooks;
	struct ring_buffer *ring;
	struct unwinder *unwinder; /* NULL = no samples */
	struct unwinder_sizes unwind_sizes;
	struct verdicts verdicts;
	struct sysprobe_ids sys_ids;
	char *logs[PROGRAMS_MAX]; /* of the verifier, while loading */
	u32 nlogs;
	probes_record_fn *fn; /* of the drain under way */
	void *fn_arg;
	int fn_err;
	int stats_fd; /* keeps run-time statistics on; -1 = they are on anyway, or not allowed */
	enum hp_cost_method cost_method;
	u32 ncpus;
	u32 ring_bytes;
	bool in_one_piece; /* programs are not preempted: see bpf/lib/run.bpf.h */
	bool map_calls_hide; /* calls on maps are not to be preempted: see unpreempted.h */
	struct map wait_seen; /* thread → changes of its row at the last look */
	u32 waits_drawn; /* at the last look */
	bool unix_on; /* what unix connections need is attached too */
};

#endif
