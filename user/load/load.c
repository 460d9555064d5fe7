/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open → configure → load → attach → drain → detach of the one BPF object. See load.h; the maps and
 * their meaning are in bpf/lib/maps.bpf.h. The perf events of the CPU sampler are opened here, one a
 * CPU: hardware cycles where the host counts them, the software clock otherwise.
 */
#include "load/load.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "hostprof.skel.h"
#include "hp/tables.h"
#include "load/feat.h"
#include "load/sysprobes.h"
#include "load/verdicts.h"

#define RING_BYTES_DEFAULT (8U << 20)
#define CPUS_MAX 4096

struct probes {
	struct hostprof_bpf *skel;
	struct ring_buffer *ring;
	struct verdicts verdicts;
	struct sysprobes sys;
	struct sysprobe_ids sys_ids;
	bool sys_each; /* tracepoints of single calls instead of the raw pair */
	probes_record_fn *fn; /* of the drain under way */
	void *fn_arg;
	int fn_err;
	int stats_fd; /* keeps run-time statistics on; -1 = not allowed */
	int *perf_fds;
	struct bpf_link **perf_links;
	u32 ncpus;
	u32 sample_hz;
	u64 base_ns; /* run time before attach: programs are new, so 0 */
	bool sample_hw;
	bool net;
	bool arrivals;
	bool unix_on; /* entries of sends are attached too */
};

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
	if (err == -EPERM || err == -EACCES)
		snprintf(e->fix, sizeof(e->fix),
			 "run as root, or grant CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE");
	else
		snprintf(e->fix, sizeof(e->fix), "see 'hostprof doctor'");
}

/* Before 5.11 maps are charged to RLIMIT_MEMLOCK. */
static void raise_memlock(void)
{
	struct rlimit lim = { RLIM_INFINITY, RLIM_INFINITY };

	setrlimit(RLIMIT_MEMLOCK, &lim);
}

/* Which of the socket programs this kernel can load, and which of two that do the same. */
static void choose_net_programs(struct probes *p)
{
	struct hostprof_bpf *skel = p->skel;

	p->sys_each = p->net && !sysprobe_ids_read(&p->sys_ids);
	bpf_program__set_autoload(skel->progs.sys_enter_each, p->sys_each);
	bpf_program__set_autoload(skel->progs.sys_exit_each, p->sys_each);
	bpf_program__set_autoload(skel->progs.sys_enter_all, p->net && !p->sys_each);
	bpf_program__set_autoload(skel->progs.sys_exit_all, p->net && !p->sys_each);
	bpf_program__set_autoload(skel->progs.inet_sock_set_state, p->net);
	bpf_program__set_autoload(skel->progs.tcp_destroy_sock, p->net);
	bpf_program__set_autoload(skel->progs.seed_sockets, p->net);
	/* Without it a request's clock starts when it is read. */
	p->arrivals = p->net && feat_has(FEAT_DATA_READY);
	bpf_program__set_autoload(skel->progs.sk_data_ready, p->arrivals);
}

int probes_open(struct probes **ret, const struct probes_opts *opts, struct probes_error *ret_err)
{
	struct probes *p;
	u32 key = 0;
	int err, n;

	memset(ret_err, 0, sizeof(*ret_err));
	libbpf_set_print(on_libbpf);
	p = calloc(1, sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->stats_fd = -1;
	p->sample_hz = opts->sample_hz;
	p->net = opts->net;
	n = libbpf_num_possible_cpus();
	if (n < 1 || n > CPUS_MAX) {
		err = n < 0 ? n : -EOPNOTSUPP;
		set_error(ret_err, err, "cannot count the processors");
		goto fail;
	}
	p->ncpus = n;
	raise_memlock();
	p->skel = hostprof_bpf__open();
	if (!p->skel) {
		err = -errno;
		set_error(ret_err, err, "cannot open the BPF object");
		goto fail;
	}
	p->skel->rodata->cfg_ncpus = p->ncpus;
	p->skel->rodata->cfg_follow_children = opts->follow_children;
	p->skel->rodata->cfg_typed_reads = feat_has(FEAT_TYPED_READS);
	bpf_map__set_max_entries(p->skel->maps.m_events,
				 opts->ring_bytes ? opts->ring_bytes : RING_BYTES_DEFAULT);
	bpf_map__set_max_entries(p->skel->maps.m_scratch, 2 * p->ncpus);
	choose_net_programs(p);
	if (!opts->sample_hz)
		bpf_program__set_autoload(p->skel->progs.oncpu_sample, false);
	err = hostprof_bpf__load(p->skel);
	if (err) {
		set_error(ret_err, err, "the kernel refused the BPF programs");
		goto fail;
	}
	verdicts_init(&p->verdicts);
	err = bpf_map__update_elem(p->skel->maps.m_profiles, &key, sizeof(key), &verdict_default,
				   sizeof(verdict_default), BPF_ANY);
	if (err) {
		set_error(ret_err, err, "cannot fill the profile table");
		goto fail;
	}
	p->ring = ring_buffer__new(bpf_map__fd(p->skel->maps.m_events), on_record, p, NULL);
	if (!p->ring) {
		err = -errno;
		set_error(ret_err, err, "cannot map the ring buffer");
		goto fail;
	}
	p->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	*ret = p;
	return 0;
fail:
	probes_free(p);
	return err;
}

void probes_free(struct probes *p)
{
	if (!p)
		return;
	probes_detach(p);
	ring_buffer__free(p->ring);
	hostprof_bpf__destroy(p->skel);
	if (p->stats_fd >= 0)
		close(p->stats_fd);
	free(p);
}

int probes_add_target(struct probes *p, u32 tgid, u16 target)
{
	struct target_state val = { .target = target };
	struct bpf_map *map = p->skel->maps.m_targets;
	int err = bpf_map__update_elem(map, &tgid, sizeof(tgid), &val, sizeof(val), BPF_NOEXIST);

	if (err == -EEXIST)
		return bpf_map__update_elem(map, &tgid, sizeof(tgid), &val, sizeof(val), BPF_EXIST);
	if (!err)
		__atomic_fetch_add(&p->skel->bss->target_filter[tgid % TARGET_FILTER_SLOTS], 1,
				   __ATOMIC_RELEASE);
	return err;
}

static int perf_open(struct probes *p, int cpu, bool hw)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = hw ? PERF_TYPE_HARDWARE : PERF_TYPE_SOFTWARE,
		.config = hw ? (u64)PERF_COUNT_HW_CPU_CYCLES : (u64)PERF_COUNT_SW_CPU_CLOCK,
		.freq = 1,
		.sample_freq = p->sample_hz,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int attach_sampler(struct probes *p, struct probes_error *ret_err)
{
	u32 cpu, opened = 0;
	int fd, err = 0;

	p->perf_fds = calloc(p->ncpus, sizeof(*p->perf_fds));
	p->perf_links = calloc(p->ncpus, sizeof(*p->perf_links));
	if (!p->perf_fds || !p->perf_links)
		return -ENOMEM;
	for (cpu = 0; cpu < p->ncpus; cpu++)
		p->perf_fds[cpu] = -1;
	fd = perf_open(p, 0, true);
	p->sample_hw = fd >= 0;
	if (fd >= 0)
		close(fd);
	for (cpu = 0; cpu < p->ncpus; cpu++) {
		fd = perf_open(p, cpu, p->sample_hw);
		if (fd == -ENODEV)
			continue; /* offline */
		if (fd < 0) {
			set_error(ret_err, fd, "cannot open the CPU sampling event");
			return fd;
		}
		p->perf_fds[cpu] = fd;
		p->perf_links[cpu] =
			bpf_program__attach_perf_event(p->skel->progs.oncpu_sample, fd);
		if (!p->perf_links[cpu]) {
			err = -errno;
			set_error(ret_err, err, "cannot attach the CPU sampler");
			return err;
		}
		opened++;
	}
	return opened ? 0 : -ENODEV;
}

int probes_attach(struct probes *p, struct probes_error *ret_err)
{
	int err = 0;

	struct {
		struct bpf_program *prog;
		struct bpf_link **link;
		bool on;
	} rows[] = {
		{ p->skel->progs.proc_exit, &p->skel->links.proc_exit, true },
		{ p->skel->progs.proc_exec, &p->skel->links.proc_exec, true },
		{ p->skel->progs.proc_fork, &p->skel->links.proc_fork, true },
		{ p->skel->progs.tcp_destroy_sock, &p->skel->links.tcp_destroy_sock, p->net },
		{ p->skel->progs.inet_sock_set_state, &p->skel->links.inet_sock_set_state, p->net },
		{ p->skel->progs.sk_data_ready, &p->skel->links.sk_data_ready, p->arrivals },
		{ p->skel->progs.sys_exit_all, &p->skel->links.sys_exit_all,
		  p->net && !p->sys_each },
		{ p->skel->progs.sys_enter_all, &p->skel->links.sys_enter_all,
		  p->net && !p->sys_each },
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (!rows[i].on)
			continue;
		*rows[i].link = bpf_program__attach(rows[i].prog);
		if (!*rows[i].link) {
			char what[128];

			err = -errno;
			snprintf(what, sizeof(what), "cannot attach %s",
				 bpf_program__name(rows[i].prog));
			set_error(ret_err, err, what);
			return err;
		}
	}
	p->skel->bss->entries = p->net && !p->sys_each;
	if (p->sys_each) {
		err = sysprobes_attach(&p->sys, &p->sys_ids, SYSPROBES_BASE,
				       p->skel->progs.sys_enter_each, p->skel->progs.sys_exit_each);
		if (err) {
			set_error(ret_err, err, "cannot attach to system calls");
			return err;
		}
	}
	if (p->sample_hz)
		err = attach_sampler(p, ret_err);
	if (!err)
		__atomic_store_n(&p->skel->bss->live, 1, __ATOMIC_RELEASE);
	return err;
}

int probes_want_unix(struct probes *p)
{
	if (!p->sys_each || p->unix_on)
		return 0;
	p->unix_on = true;
	__atomic_store_n(&p->skel->bss->entries, 1, __ATOMIC_RELEASE);
	return sysprobes_attach(&p->sys, &p->sys_ids, SYSPROBES_UNIX, p->skel->progs.sys_enter_each,
				p->skel->progs.sys_exit_each);
}

int probes_wakeup_fd(const struct probes *p)
{
	return ring_buffer__epoll_fd(p->ring);
}

void probes_detach(struct probes *p)
{
	u32 cpu;

	sysprobes_detach(&p->sys);
	if (p->skel)
		hostprof_bpf__detach(p->skel);
	for (cpu = 0; p->perf_links && cpu < p->ncpus; cpu++)
		bpf_link__destroy(p->perf_links[cpu]);
	/* The link owns the descriptor once attached; without a link it is ours. */
	for (cpu = 0; p->perf_fds && cpu < p->ncpus; cpu++)
		if (p->perf_fds[cpu] >= 0 && !(p->perf_links && p->perf_links[cpu]))
			close(p->perf_fds[cpu]);
	free(p->perf_links);
	free(p->perf_fds);
	p->perf_links = NULL;
	p->perf_fds = NULL;
}

/* One walk over the descriptors of all targets; what it does depends on the pass. */
static int seed(struct probes *p, u32 pass)
{
	struct bpf_link *link;
	char junk[256];
	int fd;

	if (!p->net)
		return 0;
	p->skel->bss->seed_pass = pass;
	link = bpf_program__attach_iter(p->skel->progs.seed_sockets, NULL);
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

int probes_seed_listeners(struct probes *p)
{
	return seed(p, 0);
}

int probes_seed(struct probes *p)
{
	return seed(p, 1);
}

int probes_drain(struct probes *p, probes_record_fn *fn, void *arg)
{
	int n;

	p->fn = fn;
	p->fn_arg = arg;
	p->fn_err = 0;
	n = ring_buffer__consume(p->ring);
	return p->fn_err ? p->fn_err : n;
}

u64 probes_ring_bytes(const struct probes *p)
{
	return bpf_map__max_entries(p->skel->maps.m_events);
}

int probes_verdict(struct probes *p, u64 conn_id, const struct hp_verdict *v)
{
	u32 profile;
	bool fresh;
	int err;

	err = verdicts_intern(&p->verdicts, v, &profile, &fresh);
	if (err)
		return err;
	if (fresh) {
		err = bpf_map__update_elem(p->skel->maps.m_profiles, &profile, sizeof(profile), v,
					   sizeof(*v), BPF_ANY);
		if (err)
			return err;
	}
	err = bpf_map__update_elem(p->skel->maps.m_verdicts, &conn_id, sizeof(conn_id), &profile,
				   sizeof(profile), BPF_ANY);
	if (err)
		return err;
	__atomic_fetch_add(&p->skel->bss->verdict_epoch, 1, __ATOMIC_RELEASE);
	return 0;
}

static int give_cont(const struct sock_state *ss, probes_record_fn *fn, void *arg)
{
	const struct cont_state *c = &ss->cont;
	struct ev_cont ev = {
		.hdr = { .size = sizeof(ev),
			 .kind = EV_CONT,
			 .target = ss->target,
			 .tgid = c->tgid,
			 .tid = c->tid,
			 .ts_ns = c->last_ns },
		.conn_id = ss->conn_id,
		.pos = c->pos,
		.len = c->len,
		.first_ns = c->first_ns,
		.enter_ns = c->enter_ns,
		.wire_ns = c->wire_ns,
		.calls = c->calls,
		.frames = c->frames,
		.dir = c->dir,
		.tail_len = c->tail_len,
		.flags = c->flags,
		.last_len = c->last_len,
	};

	memcpy(ev.tail, c->tail, sizeof(ev.tail));
	return fn(arg, &ev, sizeof(ev));
}

static int give_bytes(const struct sock_state *ss, u64 now_ns, probes_record_fn *fn, void *arg)
{
	const struct ev_conn_close ev = {
		.hdr = { .size = sizeof(ev),
			 .kind = EV_CONN_BYTES,
			 .target = ss->target,
			 .ts_ns = now_ns },
		.conn_id = ss->conn_id,
		.bytes = { ss->pos[0], ss->pos[1] },
	};

	return fn(arg, &ev, sizeof(ev));
}

int probes_flush_conts(struct probes *p, probes_record_fn *fn, void *arg, u64 now_ns)
{
	const struct bpf_map *socks = p->skel->maps.m_socks;
	struct sock_state ss;
	u64 key, *prev = NULL;
	int err = 0;

	if (!p->net)
		return 0;
	while (!err && !bpf_map__get_next_key(socks, prev, &key, sizeof(key))) {
		prev = &key;
		if (bpf_map__lookup_elem(socks, &key, sizeof(key), &ss, sizeof(ss), 0))
			continue;
		if (!(ss.flags & SOCK_ANNOUNCED))
			continue;
		if (ss.cont.calls)
			err = give_cont(&ss, fn, arg);
		if (!err)
			err = give_bytes(&ss, now_ns, fn, arg);
	}
	return err;
}

void probes_drops(const struct probes *p, u64 *sums)
{
	_free_ u64 *vals = calloc(p->ncpus, sizeof(*vals));
	u32 why, cpu;

	if (!vals)
		return;
	for (why = 0; why < DROP_MAX; why++) {
		sums[why] = 0;
		if (bpf_map__lookup_elem(p->skel->maps.m_drops, &why, sizeof(why), vals,
					 sizeof(*vals) * p->ncpus, 0))
			continue;
		for (cpu = 0; cpu < p->ncpus; cpu++)
			sums[why] += vals[cpu];
	}
}

void probes_cost(const struct probes *p, struct probes_cost *ret)
{
	struct bpf_program *prog;

	memset(ret, 0, sizeof(*ret));
	ret->measured = p->stats_fd >= 0;
	bpf_object__for_each_program(prog, p->skel->obj)
	{
		struct bpf_prog_info info = { 0 };
		u32 len = sizeof(info);
		int fd = bpf_program__fd(prog);

		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
			continue;
		ret->bpf_ns += info.run_time_ns;
		ret->runs += info.run_cnt;
		ret->missed += info.recursion_misses;
		/* What an older or newer kernel needs is loaded too, and never runs here. */
		if (!info.run_cnt && !info.recursion_misses)
			continue;
		log_debug("program %s: %llu runs, %llu ns, %llu missed", bpf_program__name(prog),
			  (unsigned long long)info.run_cnt, (unsigned long long)info.run_time_ns,
			  (unsigned long long)info.recursion_misses);
	}
}

bool probes_arrivals(const struct probes *p)
{
	return p->arrivals;
}

bool probes_sample_hw(const struct probes *p)
{
	return p->sample_hw;
}

u32 probes_sample_hz(const struct probes *p)
{
	return p->sample_hz;
}

u32 probes_ncpus(const struct probes *p)
{
	return p->ncpus;
}
