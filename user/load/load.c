/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open → configure → load → attach → drain → detach of the one BPF object, by the rungs that the ladder
 * (probes.h) chose. A rung whose programs the kernel does not take is struck out and the object opened
 * anew: verifiers differ, and so do the functions that may be hooked. See load.h; the maps and their
 * meaning are in bpf/lib/maps.bpf.h.
 */
#include "load/load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/caps.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "load/feat.h"
#include "load/kfuncs.h"
#include "load/loaded.h"

#define RING_BYTES_DEFAULT (8U << 20)
#define RING_BYTES_SMALL (256U << 10) /* where memory for maps is limited */
#define CPUS_MAX 4096
#define WALK_USES 5 /* enum walk_use in bpf/lib/stack.bpf.h */
#define INIT_PID_NS 0xEFFFFFFCU /* PROC_PID_INIT_INO: fixed since namespaces have inodes */
#define LOG_BYTES (16U << 10)

/* libbpf's own words, the verifier's log among them, a line at a time and only with -v. */
static int on_libbpf(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	_free_ char *text = NULL;
	char *line, *rest;

	if (level == LIBBPF_DEBUG || vasprintf(&text, fmt, ap) < 0)
		return 0;
	for (rest = text; (line = strsep(&rest, "\n"));)
		if (*line)
			log_debug("%s", line);
	return 0;
}

static int on_record(void *arg, void *data, size_t size)
{
	struct probes *p = arg;
	int err = p->fn(p->fn_arg, data, size);

	if (err < 0)
		p->fn_err = err;
	return err < 0 ? err : 0;
}

static void set_error(struct probes_error *e, int err, const char *what)
{
	snprintf(e->text, sizeof(e->text), "%s: %s", what, strerror(-err));
	if ((err == -EPERM || err == -EACCES) &&
	    caps_lacking(caps_effective(), CAP_BIT(BPF) | CAP_BIT(PERFMON)))
		snprintf(e->fix, sizeof(e->fix),
			 "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	else
		snprintf(e->fix, sizeof(e->fix), "see 'hostprof doctor'");
}

static int set_nothing(const struct probes *p, struct probes_error *e)
{
	_release_(buf) struct buf why = BUF_INIT, fix = BUF_INIT;
	int err = ladder_error(&p->ladder, p->asked, &why, &fix);

	snprintf(e->text, sizeof(e->text), "nothing of what was asked for can be measured%s%s",
		 why.n ? ": " : "", why.n ? why.p : "");
	snprintf(e->fix, sizeof(e->fix), "%s", fix.n ? fix.p : "see 'hostprof doctor'");
	return err;
}

/* Before 5.11 maps are charged to RLIMIT_MEMLOCK. Without CAP_SYS_RESOURCE: as far as it goes. */
static void raise_memlock(void)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY };

	if (setrlimit(RLIMIT_MEMLOCK, &lim) && !getrlimit(RLIMIT_MEMLOCK, &lim)) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_MEMLOCK, &lim);
	}
}

/* Of hostprof's own PID namespace, 0 when it is the first one: there all numbers are the kernel's. */
static u32 pid_ns_inum(void)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) || st.st_ino == INIT_PID_NS)
		return 0;
	return (u32)st.st_ino;
}

static struct bpf_program *find_prog(const struct probes *p, const char *name)
{
	return bpf_object__find_program_by_name(p->skel->obj, name);
}

/* In place of the numbers that stand for kernel functions: calls of these. */
static int put_kernel_calls(struct bpf_program *prog)
{
	static const char *const names[HP_CALL_END - HP_CALL_PREEMPT_DISABLE] = {
		"bpf_preempt_disable", "bpf_preempt_enable"
	};
	size_t n = bpf_program__insn_cnt(prog), i;
	_free_ struct bpf_insn *insns = calloc(n, sizeof(*insns));

	if (!insns)
		return -ENOMEM;
	memcpy(insns, bpf_program__insns(prog), n * sizeof(*insns));
	for (i = 0; i < n; i++) {
		if (insns[i].code != (BPF_JMP | BPF_CALL) || insns[i].src_reg ||
		    insns[i].imm < HP_CALL_PREEMPT_DISABLE || insns[i].imm >= HP_CALL_END)
			continue;
		insns[i].imm = kfunc_id(names[insns[i].imm - HP_CALL_PREEMPT_DISABLE]);
		insns[i].src_reg = BPF_PSEUDO_KFUNC_CALL;
		if (insns[i].imm < 0)
			return -ENOENT;
	}
	return bpf_program__set_insns(prog, insns, n);
}

/* What the programs are told, and which of them are loaded. */
static int configure(struct probes *p)
{
	struct hostprof_bpf *skel = p->skel;
	struct bpf_program *prog;
	enum probe row;
	int nargs = kfunc_nargs("tcp_recvmsg"), err;

	skel->rodata->cfg_ncpus = p->ncpus;
	skel->rodata->cfg_follow_children = p->opts.follow_children;
	skel->rodata->cfg_typed_reads = feat_has(FEAT_TYPED_READS);
	skel->rodata->cfg_task_btf = feat_has(FEAT_TASK_BTF);
	skel->rodata->cfg_task_pt_regs = feat_has(FEAT_TASK_PT_REGS);
	skel->rodata->cfg_pid_ns_inum = pid_ns_inum();
	skel->rodata->cfg_self_timed = p->cost_method == HP_COST_SELF_TIMED;
	skel->rodata->cfg_in_one_piece = p->in_one_piece;
	if (nargs > 0)
		skel->rodata->cfg_tcp_recv_args = (u32)nargs;
	nargs = kfunc_nargs("inet_accept");
	if (nargs > 0)
		skel->rodata->cfg_accept_args = (u32)nargs;
	bpf_map__set_max_entries(skel->maps.m_events, p->ring_bytes);
	bpf_map__set_max_entries(skel->maps.m_scratch, 2 * p->ncpus);
	bpf_map__set_max_entries(skel->maps.m_walks, WALK_USES * p->ncpus);
	if (p->ladder.groups & (GROUP_CPU | GROUP_WAITS)) {
		bpf_map__set_max_entries(skel->maps.m_uw_leaves, p->unwind_sizes.leaves);
		bpf_map__set_max_entries(skel->maps.m_uw_pages, p->unwind_sizes.pages);
		bpf_map__set_max_entries(skel->maps.m_uw_maps, p->unwind_sizes.maps);
	}
	if (!(p->ladder.groups & GROUP_WAITS))
		bpf_map__set_max_entries(skel->maps.m_waits, 1);
	bpf_object__for_each_program(prog, skel->obj)
	{
		const char *name = bpf_program__name(prog);
		bool on = ladder_prog(&p->ladder, name, &row) != NULL;

		bpf_program__set_autoload(prog, on);
		if (!on)
			continue;
		if (p->in_one_piece) {
			err = put_kernel_calls(prog);
			if (err)
				return err;
		}
		if (p->nlogs == PROGRAMS_MAX)
			return -E2BIG;
		/* The one that is refused has something in it. */
		p->logs[p->nlogs] = calloc(1, LOG_BYTES);
		if (!p->logs[p->nlogs])
			return -ENOMEM;
		bpf_program__set_log_buf(prog, p->logs[p->nlogs++], LOG_BYTES);
	}
	return 0;
}

static void free_logs(struct probes *p)
{
	while (p->nlogs)
		free(p->logs[--p->nlogs]);
}

/* Strikes out the rung of a program. False when it has none: nothing can be done about it. */
static bool refuse(struct probes *p, const char *prog, int err)
{
	const struct rung_prog *rp;
	bool found = false;
	enum probe row;

	/* Two rows may share a program. */
	while ((rp = ladder_prog(&p->ladder, prog, &row))) {
		log_debug("%s: no %s here: %s: %s", probe_rows[row].key,
			  ladder_rung(&p->ladder, row)->key, prog, strerror(-err));
		p->ladder.refused[row] |= 1U << p->ladder.taken[row];
		p->ladder.taken[row] = RUNG_NONE;
		found = true;
	}
	return found;
}

static bool refuse_unloaded(struct probes *p, int err)
{
	struct bpf_program *prog;

	bpf_object__for_each_program(prog, p->skel->obj)
	{
		size_t size = 0;
		const char *log = bpf_program__log_buf(prog, &size);

		if (bpf_program__autoload(prog) && log && *log)
			return refuse(p, bpf_program__name(prog), err);
	}
	return false;
}

/*
 * Functions are hooked at once, while no target is known and every program returns at its first test: a
 * kernel may load such a program and then not attach it.
 */
static int hook_functions(struct probes *p, const char **ret_prog)
{
	const struct rung_prog *rp;
	const struct rung *r;
	u32 row;
	int err;

	for (row = 0; row < PROBE_COUNT; row++) {
		r = ladder_rung(&p->ladder, row);
		for (rp = r ? r->progs : NULL; rp && rp->name; rp++) {
			if (!rp->func || rp->on_unix || !kfunc_known(rp->func, rp->nargs))
				continue;
			*ret_prog = rp->name;
			if (rp->hook == HOOK_AUTO)
				err = hooks_auto(&p->hooks, find_prog(p, rp->name));
			else
				err = hooks_kprobe(&p->hooks, find_prog(p, rp->name), rp->func,
						   rp->hook == HOOK_KRETPROBE);
			if (err)
				return err;
		}
	}
	return 0;
}

static void close_object(struct probes *p)
{
	hooks_release(&p->hooks);
	hostprof_bpf__destroy(p->skel);
	p->skel = NULL;
	free_logs(p);
}

/* One attempt. *ret_again: a rung was struck out, and the rest may do. */
static int load_rungs(struct probes *p, bool *ret_again, struct probes_error *ret_err)
{
	const char *prog = NULL;
	int err;

	*ret_again = false;
	p->skel = hostprof_bpf__open();
	if (!p->skel) {
		err = -errno;
		set_error(ret_err, err, "cannot open the BPF object");
		return err;
	}
	err = configure(p);
	if (err) {
		set_error(ret_err, err, "cannot prepare the BPF programs");
		return err;
	}
	err = hostprof_bpf__load(p->skel);
	if (err) {
		*ret_again = refuse_unloaded(p, err);
		set_error(ret_err, err, "the kernel refused the BPF programs");
		return err;
	}
	err = hook_functions(p, &prog);
	if (err) {
		*ret_again = refuse(p, prog, err);
		set_error(ret_err, err, "the kernel let no function be hooked");
	}
	return err;
}

static int load(struct probes *p, struct probes_error *ret_err)
{
	bool again;
	int err;

	do {
		ladder_choose(&p->ladder, p->asked);
		if (!p->ladder.groups)
			return set_nothing(p, ret_err);
		err = load_rungs(p, &again, ret_err);
		if (err)
			close_object(p);
		/* Kernels up to 6.13 have it and do not let such a program call its own functions. */
		if (err && p->in_one_piece) {
			p->in_one_piece = false;
			memset(p->ladder.refused, 0, sizeof(p->ladder.refused));
			again = true;
		}
	} while (err && again);
	return err;
}

static int fill_tables(struct probes *p, struct probes_error *ret_err)
{
	u32 key = 0;
	int err;

	verdicts_init(&p->verdicts);
	err = bpf_map__update_elem(p->skel->maps.m_profiles, &key, sizeof(key), &verdict_default,
				   sizeof(verdict_default), BPF_ANY);
	if (err) {
		set_error(ret_err, err, "cannot fill the profile table");
		return err;
	}
	p->ring = ring_buffer__new(bpf_map__fd(p->skel->maps.m_events), on_record, p, NULL);
	if (!p->ring) {
		err = -errno;
		set_error(ret_err, err, "cannot map the ring buffer");
	}
	return err;
}

/* Without it user stacks are walked by frame pointers. */
static void open_unwind(struct probes *p)
{
	const struct unwinder_fds fds = {
		.rules = bpf_map__fd(p->skel->maps.m_uw_rules),
		.leaves = bpf_map__fd(p->skel->maps.m_uw_leaves),
		.pages = bpf_map__fd(p->skel->maps.m_uw_pages),
		.maps = bpf_map__fd(p->skel->maps.m_uw_maps),
		.procs = bpf_map__fd(p->skel->maps.m_uw_procs),
		.pythons = bpf_map__fd(p->skel->maps.m_py_runtimes),
	};
	int err;

	if (!(p->ladder.groups & (GROUP_CPU | GROUP_WAITS)))
		return;
	err = unwinder_new(&p->unwinder, &fds, &p->unwind_sizes);
	if (err)
		log_debug("no unwind tables: %s", strerror(-err));
}

static int open_all(struct probes *p, struct probes_error *ret_err)
{
	int err, n = libbpf_num_possible_cpus();

	if (feat_missing_required(&err, ret_err->text, sizeof(ret_err->text), ret_err->fix,
				  sizeof(ret_err->fix)))
		return err;
	if (n < 1 || n > CPUS_MAX) {
		err = n < 0 ? n : -EOPNOTSUPP;
		set_error(ret_err, err, "cannot count the processors");
		return err;
	}
	p->ncpus = (u32)n;
	raise_memlock();
	p->ring_bytes = p->opts.ring_bytes	 ? p->opts.ring_bytes
			: feat_has(FEAT_MEMLOCK) ? RING_BYTES_DEFAULT
						 : RING_BYTES_SMALL;
	if (feat_has(FEAT_RUN_STATS))
		p->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	p->cost_method = feat_has(FEAT_RUN_STATS) ? HP_COST_RUN_STATS : HP_COST_SELF_TIMED;
	p->in_one_piece = kfunc_known("bpf_preempt_disable", 0);
	unwinder_sizes(&p->unwind_sizes, !feat_has(FEAT_MEMLOCK));
	p->map_calls_hide = feat_has(FEAT_KPROBE) && !feat_has(FEAT_WHOLE_PROGRAMS);
	err = load(p, ret_err);
	log_debug("programs %s off preemption while they hold scratch memory",
		  p->in_one_piece ? "switch" : "cannot switch");
	if (!err && pid_ns_inum() && !probes_seeds(p)) {
		err = -EOPNOTSUPP;
		set_error(ret_err, err,
			  "hostprof runs in a PID namespace of its own, and without the iterator "
			  "over "
			  "open files the kernel's process numbers cannot be told from its own");
		snprintf(ret_err->fix, sizeof(ret_err->fix),
			 "run it on the host, or in a container with --pid=host");
	}
	if (!err)
		err = fill_tables(p, ret_err);
	if (!err)
		open_unwind(p);
	return err;
}

int probes_open(struct probes **ret, const struct probes_opts *opts, struct probes_error *ret_err)
{
	struct probes *p;
	int err;

	memset(ret_err, 0, sizeof(*ret_err));
	libbpf_set_print(on_libbpf);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->stats_fd = -1;
	map_init(&p->wait_seen, WAITS_SEEN_MAX);
	p->opts = *opts;
	p->asked = (opts->net ? GROUP_NET : 0) | (opts->sample_hz ? GROUP_CPU : 0) |
		   (opts->waits ? GROUP_WAITS : 0);
	err = open_all(p, ret_err);
	free_logs(p);
	if (err) {
		probes_free(p);
		return err;
	}
	*ret = p;
	return 0;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	ring_buffer__free(p->ring);
	unwinder_free(p->unwinder);
	close_object(p);
	kfuncs_release();
	map_release(&p->wait_seen);
	if (p->stats_fd >= 0)
		close(p->stats_fd);
	free(p);
}

int probes_add_target(struct probes *p, u32 tgid, u16 target)
{
	struct target_state val = { .target = target };
	struct bpf_map *map = p->skel->maps.m_targets;
	_release_(unpreempted) struct unpreempted u = unpreempted_begin(p->map_calls_hide);
	int err = bpf_map__update_elem(map, &tgid, sizeof(tgid), &val, sizeof(val), BPF_NOEXIST);

	if (err == -EEXIST)
		return bpf_map__update_elem(map, &tgid, sizeof(tgid), &val, sizeof(val), BPF_EXIST);
	if (!err)
		__atomic_fetch_add(&p->skel->bss->target_filter[tgid % TARGET_FILTER_SLOTS], 1,
				   __ATOMIC_RELEASE);
	return err;
}

/* The programs that the first unix connection brings with it. */
int probes_want_unix(struct probes *p)
{
	const struct rung *r = ladder_rung(&p->ladder, PROBE_TRANSFERS);
	const struct rung_prog *rp;
	int err = 0;

	if (!r || p->unix_on)
		return 0;
	p->unix_on = true;
	__atomic_store_n(&p->skel->bss->entries, 1, __ATOMIC_RELEASE);
	for (rp = r->progs; rp->name && !err; rp++)
		if (rp->on_unix)
			err = hooks_auto(&p->hooks, find_prog(p, rp->name));
	if (r->progs->hook == HOOK_SYSCALLS)
		err = sysprobes_attach(&p->hooks.sys, &p->sys_ids, SYSPROBES_UNIX,
				       p->skel->progs.sys_enter_each, p->skel->progs.sys_exit_each);
	return err;
}

static int attach_syscalls(struct probes *p, enum probe row)
{
	struct bpf_program *enter = p->skel->progs.sys_enter_each;
	struct bpf_program *leave =
		row == PROBE_CALLS ? p->skel->progs.sys_exit_calls : p->skel->progs.sys_exit_each;
	int err = sysprobe_ids_read(&p->sys_ids);

	if (!err)
		err = sysprobes_attach(&p->hooks.sys, &p->sys_ids, SYSPROBES_CALLS, enter, leave);
	if (!err && row == PROBE_TRANSFERS)
		err = sysprobes_attach(&p->hooks.sys, &p->sys_ids, SYSPROBES_TRANSFERS, enter,
				       leave);
	return err;
}

static int attach_row(struct probes *p, enum probe row)
{
	const struct rung *r = ladder_rung(&p->ladder, row);
	const struct rung_prog *rp;
	int err = 0;

	for (rp = r ? r->progs : NULL; rp && rp->name && !err; rp++) {
		if (rp->func)
			continue; /* since it was loaded */
		if (rp->hook == HOOK_AUTO)
			err = hooks_auto(&p->hooks, find_prog(p, rp->name));
		else if (rp->hook == HOOK_PERF)
			err = hooks_sample(&p->hooks, find_prog(p, rp->name), p->opts.sample_hz,
					   probes_sample_hw(p), p->ncpus);
		else if (rp->hook == HOOK_SYSCALLS)
			return attach_syscalls(p, row);
	}
	return err;
}

int probes_attach(struct probes *p, struct probes_error *ret_err)
{
	/* Ends first, then what begins: nothing is announced that would never end. */
	static const enum probe order[] = { PROBE_PROCESSES, PROBE_SOCKETS,   PROBE_ARRIVALS,
					    PROBE_CALLS,     PROBE_TRANSFERS, PROBE_WAIT_STACKS,
					    PROBE_WAITS,     PROBE_CPU };
	const struct rung *r;
	char what[128];
	size_t i;
	int err;

	for (i = 0; i < ARRAY_SIZE(order); i++) {
		err = attach_row(p, order[i]);
		if (!err)
			continue;
		snprintf(what, sizeof(what), "cannot attach %s", probe_rows[order[i]].name);
		set_error(ret_err, err, what);
		if (probe_rows[order[i]].required)
			return err;
		log_debug("%s: %s", ret_err->text, ret_err->fix);
		p->ladder.taken[order[i]] = RUNG_NONE;
	}
	r = ladder_rung(&p->ladder, PROBE_TRANSFERS);
	p->skel->bss->entries = r && r->entries;
	p->skel->bss->waits_since = clock_mono_ns();
	if (ladder_rung(&p->ladder, PROBE_WAIT_STACKS))
		p->skel->bss->wait_draw_ns = WAIT_DRAW_NS;
	__atomic_store_n(&p->skel->bss->live, 1, __ATOMIC_RELEASE);
	return 0;
}

int probes_hook_python(struct probes *p, u32 tgid, int fd, u32 site, u64 off)
{
	struct target_state target;
	int err;

	if (!ladder_rung(&p->ladder, PROBE_TASKS))
		return -EOPNOTSUPP;
	if (bpf_map__lookup_elem(p->skel->maps.m_targets, &tgid, sizeof(tgid), &target,
				 sizeof(target), 0))
		return -ESRCH;
	err = hooks_uprobe(&p->hooks,
			   site == PY_SITE_TASK ? p->skel->progs.py_task_begin
						: p->skel->progs.py_write,
			   tgid, fd, off);
	if (!err && site == PY_SITE_TASK)
		__atomic_store_n(&p->skel->bss->tasks_hooked, 1, __ATOMIC_RELEASE);
	return err;
}

int probes_python_worker(struct probes *p, u32 tgid, u64 code, u64 local, u32 kind)
{
	const struct py_worker worker = { .local = (u32)local, .kind = kind };
	struct py_worker_key key = { .tgid = tgid };
	struct target_state target;
	struct bpf_map *map;

	if (!ladder_rung(&p->ladder, PROBE_TASKS))
		return -EOPNOTSUPP;
	if (!code || local > PY_WORKER_LOCAL_MAX || kind > PY_WORKER_ITEM)
		return -EINVAL;
	if (bpf_map__lookup_elem(p->skel->maps.m_targets, &tgid, sizeof(tgid), &target,
				 sizeof(target), 0))
		return -ESRCH;
	map = p->skel->maps.m_py_workers;
	if (bpf_map__update_elem(map, &key, sizeof(key), &worker, sizeof(worker), BPF_ANY))
		return -errno;
	key.code = code;
	if (bpf_map__update_elem(map, &key, sizeof(key), &worker, sizeof(worker), BPF_ANY))
		return -errno;
	return 0;
}

int probes_wakeup_fd(const struct probes *p)
{
	return ring_buffer__epoll_fd(p->ring);
}

void probes_detach(struct probes *p)
{
	/* Detaching takes a second or two, one hook after the other: all stop together now. */
	if (p->skel && p->skel->bss)
		__atomic_store_n(&p->skel->bss->live, 0, __ATOMIC_RELEASE);
	hooks_release(&p->hooks);
}

/* One walk of an iterator. */
static int walk(struct bpf_program *prog)
{
	struct bpf_link *link = bpf_program__attach_iter(prog, NULL);
	char junk[256];
	int fd;

	if (!link)
		return -errno;
	fd = bpf_iter_create(bpf_link__fd(link));
	if (fd < 0) {
		int err = -errno;

		bpf_link__destroy(link);
		return err;
	}
	while (read(fd, junk, sizeof(junk)) > 0)
		;
	close(fd);
	bpf_link__destroy(link);
	return 0;
}

/* Over the descriptors of all targets; what it does depends on the pass. */
static int seed(struct probes *p, u32 pass)
{
	if (!ladder_has(&p->ladder, PROBE_SEED))
		return 0;
	p->skel->bss->seed_pass = pass;
	return walk(p->skel->progs.seed_sockets);
}

int probes_seed_listeners(struct probes *p)
{
	return seed(p, 0);
}

bool probes_seeds(const struct probes *p)
{
	return ladder_has(&p->ladder, PROBE_SEED);
}

int probes_add_listener(struct probes *p, u32 net_ns, u16 port, u16 target)
{
	const struct listen_key key = { .netns = net_ns, .port = port };

	return bpf_map__update_elem(p->skel->maps.m_listen, &key, sizeof(key), &target,
				    sizeof(target), BPF_ANY);
}

int probes_seed(struct probes *p)
{
	int err = seed(p, 1);

	if (!err && ladder_has(&p->ladder, PROBE_WAIT_SEED))
		err = walk(p->skel->progs.wait_seed);
	return err;
}

const struct ladder *probes_ladder(const struct probes *p)
{
	return &p->ladder;
}

const char *probes_note(const struct probes *p, u32 row)
{
	return ladder_note(&p->ladder, row, p->asked);
}

void probes_describe(const struct probes *p, struct buf *out)
{
	ladder_describe(&p->ladder, p->asked, out);
}

bool probes_net(const struct probes *p)
{
	return p->ladder.groups & GROUP_NET;
}

bool probes_sample_hw(const struct probes *p)
{
	const struct rung *r = ladder_rung(&p->ladder, PROBE_CPU);

	return r && r->needs & FEAT_BIT(FEAT_PERF_HW);
}

u32 probes_sample_hz(const struct probes *p)
{
	return p->ladder.groups & GROUP_CPU ? p->opts.sample_hz : 0;
}

u32 probes_ncpus(const struct probes *p)
{
	return p->ncpus;
}

struct unwinder *probes_unwinder(const struct probes *p)
{
	return p->unwinder;
}
