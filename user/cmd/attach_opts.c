/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The option rows of `hostprof attach` and the checks between them.
 *
 * Input: the command line. Output: struct attach_opts in which every value makes sense, or one line
 * with the fix. Whether the targets exist is asked later (user/load/target.c).
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include "base/log.h"
#include "cmd/attach_opts.h"

#define DURATION_MAX_NS (7 * 24 * 3600 * NSEC_PER_SEC)
#define FREQ_MAX 1000

#define ROW_OFFSET(field) offsetof(struct attach_opts, field)

const struct opt attach_opt_rows[] = {
	{ .name = "duration",
	  .letter = 'd',
	  .arg = "TIME",
	  .help = "how long: 500ms, 30s, 5m; 0 = until Ctrl-C (default 30s)",
	  .parse = opt_duration,
	  .offset = ROW_OFFSET(duration_ns),
	  .max = DURATION_MAX_NS,
	  .fix = "is longer than a week; use 0 to run until Ctrl-C" },
	COMMON_OPT_ROWS,
	TARGET_OPT_ROWS(struct attach_opts),
	{ .name = "children",
	  .help = "follow child processes (default)",
	  .parse = opt_true,
	  .offset = ROW_OFFSET(children) },
	{ .name = "no-children",
	  .help = "only the processes named",
	  .parse = opt_false,
	  .offset = ROW_OFFSET(children) },
	{ .name = "freq",
	  .arg = "HZ",
	  .help = "CPU samples a second on each CPU (default 99)",
	  .parse = opt_u32,
	  .offset = ROW_OFFSET(freq),
	  .min = 1,
	  .max = FREQ_MAX,
	  .fix = "is not a whole number from 1 to 1000; --no-cpu switches sampling off" },
	{ .name = "no-cpu",
	  .help = "no CPU sampling",
	  .parse = opt_false,
	  .offset = ROW_OFFSET(cpu) },
	{ .name = "no-offcpu",
	  .help = "no off-CPU times",
	  .parse = opt_false,
	  .offset = ROW_OFFSET(offcpu) },
	{ .name = "no-http",
	  .help = "no HTTP requests",
	  .parse = opt_false,
	  .offset = ROW_OFFSET(http) },
	{ .name = "no-db",
	  .help = "no database calls",
	  .parse = opt_false,
	  .offset = ROW_OFFSET(db) },
	{ .name = "max-capture",
	  .arg = "SIZE",
	  .help = "largest capture.hpcap (default 256MiB)",
	  .parse = opt_bytes,
	  .offset = ROW_OFFSET(max_capture),
	  .min = 64 << 10,
	  .max = 1ULL << 40,
	  .fix = "is out of range; sizes from 64KiB to 1024GiB are possible" },
	{ .name = "ring",
	  .arg = "SIZE",
	  .help = "kernel buffer for events, a power of two (default 8MiB)",
	  .parse = opt_bytes,
	  .offset = ROW_OFFSET(ring_bytes),
	  .min = 64 << 10,
	  .max = 1 << 30,
	  .fix = "is out of range; sizes from 64KiB to 1GiB are possible" },
	WITHOUT_OPT_ROW(struct attach_opts),
	{ .name = "show-literals",
	  .help = "leave literals, query strings and headers in capture.hpcap: private data",
	  .parse = opt_true,
	  .offset = ROW_OFFSET(show_literals) },
	{ 0 },
};

static int parse_pids(struct attach_opts *o, int npos, char **pos, char *err)
{
	int i;

	for (i = 0; i < npos; i++) {
		u32 k;
		u64 pid;

		if (parse_uint(pos[i], 1, INT32_MAX, &pid)) {
			snprintf(err, OPT_ERR_MAX,
				 "'%.80s' is not a process id; use --name for a process by name, "
				 "--port for who listens on a port",
				 pos[i]);
			return -EINVAL;
		}
		for (k = 0; k < o->npids; k++) {
			if (o->pids[k] == pid) {
				snprintf(err, OPT_ERR_MAX,
					 "process %llu is named twice; name it once",
					 (unsigned long long)pid);
				return -EINVAL;
			}
		}
		if (o->npids == ATTACH_PIDS_MAX) {
			snprintf(err, OPT_ERR_MAX,
				 "more than %d process ids; use --cgroup or --name for so many",
				 ATTACH_PIDS_MAX);
			return -EINVAL;
		}
		o->pids[o->npids++] = (u32)pid;
	}
	return 0;
}

int attach_opts_finish(struct attach_opts *o, int npos, char **pos, char *err)
{
	int given, res;

	res = parse_pids(o, npos, pos, err);
	if (res)
		return res;
	given = !!o->npids + !!o->port + !!o->name + !!o->cgroup;
	if (!given) {
		snprintf(err, OPT_ERR_MAX,
			 "no target; give a process id, --port, --name or --cgroup");
		return -EINVAL;
	}
	if (given > 1) {
		snprintf(err, OPT_ERR_MAX,
			 "process ids, --port, --name and --cgroup exclude each other; give one");
		return -EINVAL;
	}
	if (!o->cpu && !o->offcpu && !o->http && !o->db) {
		snprintf(err, OPT_ERR_MAX,
			 "--no-cpu --no-offcpu --no-http --no-db leave nothing to measure; drop "
			 "one of them");
		return -EINVAL;
	}
	if (o->common.json && o->common.formats && !o->common.output) {
		snprintf(err, OPT_ERR_MAX,
			 "--json without -o writes no files; give -o DIR for those of --format");
		return -EINVAL;
	}
	if (o->ring_bytes & (o->ring_bytes - 1)) {
		snprintf(err, OPT_ERR_MAX, "--ring is not a power of two; try 8MiB or 16MiB");
		return -EINVAL;
	}
	return common_opts_finish(&o->common, err);
}

bool attach_opts_parse(const struct cmd *c, struct args *a, struct attach_opts *ret,
		       int *ret_status)
{
	char err[OPT_ERR_MAX];

	*ret = (struct attach_opts)ATTACH_OPTS_INIT;
	if (!cmd_options(c, a, ret, ret_status))
		return false;
	if (!attach_opts_finish(ret, a->npos, a->pos, err))
		return true;
	log_err("%s", err);
	*ret_status = EXIT_USAGE;
	return false;
}
