/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is read from and written to the maps while the programs run: records, verdicts, what is held back
 * for each connection, losses, costs.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "load/loaded.h"

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
	_release_(unpreempted) struct unpreempted u = unpreempted_begin(p->map_calls_hide);
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

static int read_sock(const struct probes *p, u64 key, struct sock_state *ret)
{
	_release_(unpreempted) struct unpreempted u = unpreempted_begin(p->map_calls_hide);

	return bpf_map__lookup_elem(p->skel->maps.m_socks, &key, sizeof(key), ret, sizeof(*ret), 0);
}

int probes_flush_conts(struct probes *p, probes_record_fn *fn, void *arg, u64 now_ns)
{
	const struct bpf_map *socks = p->skel->maps.m_socks;
	struct sock_state ss;
	u64 key, *prev = NULL;
	int err = 0;

	if (!probes_net(p))
		return 0;
	while (!err && !bpf_map__get_next_key(socks, prev, &key, sizeof(key))) {
		prev = &key;
		if (read_sock(p, key, &ss))
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
	_release_(unpreempted) struct unpreempted u = { .policy = -1 };
	_free_ u64 *vals = calloc(p->ncpus, sizeof(*vals));
	u32 why, cpu;

	if (!vals)
		return;
	u = unpreempted_begin(p->map_calls_hide);
	for (why = 0; why < DROP_MAX; why++) {
		sums[why] = 0;
		if (bpf_map__lookup_elem(p->skel->maps.m_drops, &why, sizeof(why), vals,
					 sizeof(*vals) * p->ncpus, 0))
			continue;
		for (cpu = 0; cpu < p->ncpus; cpu++)
			sums[why] += vals[cpu];
	}
}

static void self_timed(const struct probes *p, struct probes_cost *ret)
{
	_free_ struct run_cost *vals = calloc(p->ncpus, sizeof(*vals));
	u32 key = 0, cpu;

	if (!vals || bpf_map__lookup_elem(p->skel->maps.m_cost, &key, sizeof(key), vals,
					  sizeof(*vals) * p->ncpus, 0))
		return;
	for (cpu = 0; cpu < p->ncpus; cpu++) {
		ret->bpf_ns += vals[cpu].ns * COST_EVERY;
		ret->runs += vals[cpu].timed * COST_EVERY;
	}
}

void probes_cost(const struct probes *p, struct probes_cost *ret)
{
	struct bpf_program *prog;

	memset(ret, 0, sizeof(*ret));
	ret->method = p->cost_method;
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
		if (!info.run_cnt && !info.recursion_misses)
			continue;
		log_debug("program %s: %llu runs, %llu ns, %llu missed", bpf_program__name(prog),
			  (unsigned long long)info.run_cnt, (unsigned long long)info.run_time_ns,
			  (unsigned long long)info.recursion_misses);
	}
	if (p->cost_method == HP_COST_SELF_TIMED)
		self_timed(p, ret);
}
