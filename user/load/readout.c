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
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "load/loaded.h"

/* Stacks of waits a second, over all threads: above, fewer of the short ones are drawn. */
#define WAIT_STACKS_MAX 2000
#define WAIT_DRAW_MAX_NS (1280 * NSEC_PER_MSEC)

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

/* A request that nobody came to read. A peer that closed leaves one number unread, and no byte. */
static int give_unread(const struct sock_state *ss, probes_record_fn *fn, void *arg)
{
	const struct ev_conn_state ev = {
		.hdr = { .size = sizeof(ev),
			 .kind = EV_CONN_STATE,
			 .target = ss->target,
			 .ts_ns = ss->arrival_ns },
		.conn_id = ss->conn_id,
		.what = HP_CONN_UNREAD,
	};

	if (!ss->arrival_ns || ss->family == AF_UNIX || (s32)(ss->arrival_seq - ss->taken_seq) <= 1)
		return 0;
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
			err = give_unread(&ss, fn, arg);
		if (!err)
			err = give_bytes(&ss, now_ns, fn, arg);
	}
	return err;
}

/* A copy in which nothing is half changed. Ever changing rows are taken as they come. */
static int copy_wait(const struct probes *p, u32 key, struct wait_state *ret)
{
	_release_(unpreempted) struct unpreempted u = unpreempted_begin(p->map_calls_hide);
	const struct bpf_map *map = p->skel->maps.m_waits;
	u32 i;
	int err;

	for (i = 0; i < 16; i++) {
		err = bpf_map__lookup_elem(map, &key, sizeof(key), ret, sizeof(*ret), 0);
		if (err || ret->changed == ret->changing)
			return err;
	}
	return -EAGAIN;
}

/* What it has been since the last change, up to now, is in none of the sums yet. */
static void add_under_way(struct wait_state *st, u64 now_ns)
{
	struct wait_total *t = &st->total[st->reason % HP_WAIT_MAX];
	u64 woken = st->since_ns;

	if (st->what == WAIT_RUNNING) {
		st->on_ns += now_ns - st->since_ns;
		return;
	}
	if (st->what == WAIT_BLOCKED) {
		woken = st->wake_ns > st->since_ns ? MIN(st->wake_ns, now_ns) : now_ns;
		t->blocked_ns += woken - st->since_ns;
	}
	t->runqueue_ns += now_ns - woken;
}

static int give_wait(const struct wait_state *st, u64 now_ns, u32 flags, probes_record_fn *fn,
		     void *arg)
{
	u32 reason;
	int err = 0;

	for (reason = 0; reason < HP_WAIT_MAX && !err; reason++) {
		const struct wait_total *t = &st->total[reason];
		struct ev_wait_total ev = {
			.hdr = { .size = sizeof(ev),
				 .kind = EV_WAIT_TOTAL,
				 .target = st->target,
				 .tgid = st->tgid,
				 .tid = st->tid,
				 .ts_ns = now_ns },
			.first_ns = st->first_ns,
			.count = t->count,
			.blocked_ns = t->blocked_ns,
			.runqueue_ns = t->runqueue_ns,
			.on_ns = reason ? 0 : st->on_ns,
			.reason = reason,
			.flags = flags,
		};

		if (reason && !t->count && !t->blocked_ns && !t->runqueue_ns)
			continue;
		memcpy(ev.comm, st->comm, sizeof(ev.comm));
		err = fn(arg, &ev, sizeof(ev));
	}
	return err;
}

int probes_waits(struct probes *p, bool all, u32 flags, probes_record_fn *fn, void *arg)
{
	const struct bpf_map *map = p->skel->maps.m_waits;
	struct wait_state st;
	u32 key, *prev = NULL, n = 0;
	u64 now_ns;
	int err = 0;

	if (!(p->ladder.groups & GROUP_WAITS))
		return 0;
	/* A thread that ends meanwhile may send the walk back to the first one. */
	while (!err && n++ < 2 * bpf_map__max_entries(map) &&
	       !bpf_map__get_next_key(map, prev, &key, sizeof(key))) {
		const u64 *seen;

		prev = &key;
		/* Before the copy: what it says then held at that time, or began later. */
		now_ns = clock_mono_ns();
		if (copy_wait(p, key, &st))
			continue;
		seen = map_find(&p->wait_seen, key);
		if (!all && seen && *seen == st.changed)
			continue;
		map_put(&p->wait_seen, key, st.changed);
		now_ns = MAX(now_ns, st.since_ns);
		add_under_way(&st, now_ns);
		err = give_wait(&st, now_ns, flags, fn, arg);
	}
	return err;
}

void probes_waits_pace(struct probes *p)
{
	u32 drawn, n;
	u64 all;

	if (!(probes_waits_what(p) & HP_WAITS_STACKS))
		return;
	drawn = p->skel->bss->waits_drawn;
	n = drawn - p->waits_drawn;
	all = p->skel->bss->wait_draw_ns;
	p->waits_drawn = drawn;
	if (n > WAIT_STACKS_MAX && all < WAIT_DRAW_MAX_NS)
		all *= 2;
	else if (n < WAIT_STACKS_MAX / 4 && all > WAIT_DRAW_NS)
		all /= 2;
	p->skel->bss->wait_draw_ns = all;
}

u8 probes_waits_what(const struct probes *p)
{
	if (!(p->ladder.groups & GROUP_WAITS))
		return 0;
	return HP_WAITS_TOTALS | (ladder_rung(&p->ladder, PROBE_WAIT_STACKS) ? HP_WAITS_STACKS : 0);
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
