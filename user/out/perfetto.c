/* SPDX-License-Identifier: Apache-2.0 */
/*
 * timeline.pftrace: CPU samples and threads' states in time, for the Perfetto UI and trace_processor
 * (ui.perfetto.dev). Fields are those of protos/perfetto/trace/trace_packet.proto and what it includes.
 *
 *   clock snapshot (times are CLOCK_MONOTONIC, tied to the real time) ─ defaults and interned names,
 *   frames, stacks ─ a track for each process and thread ─ a PerfSample for each sample ─ a track of
 *   states for each thread that was seen waiting, with slices
 *
 * A stack is interned once, by its node in the call tree, its outermost frame first. The thread's name at the
 * top of the tree is not a frame here, it names the thread. Between two samples nothing is said about what
 * a thread ran.
 *
 * States come from sampled waits: all long ones are among them. Between two of a thread it was "running" when
 * there was no other wait, and else "running N %", with how many there were.
 */
#include "out/outs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "out/fmt.h"
#include "out/frames.h"
#include "out/protobuf.h"

#define SEQUENCE 1
#define THREAD_UUID (1ULL << 32)
#define STATE_UUID (1ULL << 33)

enum packet_field {
	PACKET_CLOCKS = 6,
	PACKET_TIME = 8,
	PACKET_SEQUENCE = 10,
	PACKET_EVENT = 11,
	PACKET_INTERNED = 12,
	PACKET_FLAGS = 13,
	PACKET_DEFAULTS_CLOCK = 58,
	PACKET_DEFAULTS = 59,
	PACKET_TRACK = 60,
	PACKET_SAMPLE = 66,
	PACKET_FIRST = 87,
};

enum sequence_flag {
	FLAG_CLEARED = 1,
	FLAG_NEEDS_STATE = 2,
};

enum slice_type {
	SLICE_BEGIN = 1,
	SLICE_END = 2,
};

enum clock {
	CLOCK_OF_DAY = 1,
	CLOCK_OF_RECORDS = 3, /* CLOCK_MONOTONIC */
};

enum counter {
	COUNTER_CPU_CLOCK = 1,
	COUNTER_CYCLES = 10,
};

enum cpu_mode {
	MODE_KERNEL = 1,
	MODE_USER = 2,
};

/* Every frame wants a mapping; which file it was is in its name or not known. */
enum mapping {
	MAPPING_USER = 1,
	MAPPING_KERNEL = 2,
};

struct trace {
	const struct agg_report *rep;
	struct buf *out;
	struct frame_names names;
	u32 *name; /* by node */
	u64 *path; /* frames of one stack */
	bool *used; /* by node: a sample ended there */
};

static void trace_release(struct trace *t)
{
	frame_names_release(&t->names);
	free(t->name);
	free(t->path);
	free(t->used);
}

static size_t packet_open(struct trace *t, u64 flags)
{
	size_t packet = pb_open(t->out, 1);

	pb_u64(t->out, PACKET_SEQUENCE, SEQUENCE);
	pb_u64(t->out, PACKET_FLAGS, flags);
	return packet;
}

static void add_clock(struct trace *t, enum clock id, u64 ns)
{
	size_t clock = pb_open(t->out, 1);

	pb_u64(t->out, 1, id);
	pb_u64(t->out, 2, ns);
	pb_close(t->out, clock);
}

static void add_clocks(struct trace *t)
{
	size_t packet = packet_open(t, 0), snapshot = pb_open(t->out, PACKET_CLOCKS);

	add_clock(t, CLOCK_OF_DAY, t->rep->window.start_unix_ns);
	add_clock(t, CLOCK_OF_RECORDS, t->rep->window.start_ns);
	pb_u64(t->out, 2, CLOCK_OF_RECORDS);
	pb_close(t->out, snapshot);
	pb_close(t->out, packet);
}

static void add_string(struct trace *t, u32 field, u64 id, struct slice text)
{
	_release_(buf) struct buf clean = BUF_INIT;
	size_t msg = pb_open(t->out, field);

	text_clip(&clean, text, frame_names_cells(&t->names));
	pb_u64(t->out, 1, id);
	pb_bytes(t->out, 2, buf_slice(&clean));
	pb_close(t->out, msg);
}

static void add_mapping(struct trace *t, enum mapping id, struct slice path)
{
	size_t msg;

	add_string(t, 17, id, path);
	msg = pb_open(t->out, 19);
	pb_u64(t->out, 1, id);
	pb_u64(t->out, 7, id);
	pb_close(t->out, msg);
}

static void add_frame(struct trace *t, u32 name)
{
	const struct agg_node *node = t->names.nodes[name];
	size_t msg;

	add_string(t, 5, name + 1, slice_str(node->text));
	msg = pb_open(t->out, 6);
	pb_u64(t->out, 1, name + 1);
	pb_u64(t->out, 2, name + 1);
	pb_u64(t->out, 3, node->kind == HP_FRAME_KERNEL ? MAPPING_KERNEL : MAPPING_USER);
	pb_close(t->out, msg);
}

/* Where nothing is known below the thread, its name is the frame: a sample without a stack is dropped. */
static void add_stack(struct trace *t, u32 node)
{
	const struct agg_node *nodes = t->rep->cpu.nodes;
	size_t msg = pb_open(t->out, 7);
	u32 n = 0, at = node;

	do {
		t->path[n++] = t->name[at] + 1;
		at = nodes[at].parent;
	} while (nodes[at].depth && !agg_is_thread(nodes, &nodes[at]));
	pb_u64(t->out, 1, node + 1);
	while (n)
		pb_u64(t->out, 2, t->path[--n]);
	pb_close(t->out, msg);
}

/* Sampling's frequency and event, and the clock of all that follows. */
static void add_defaults(struct trace *t)
{
	size_t defaults = pb_open(t->out, PACKET_DEFAULTS), sample, timebase;

	sample = pb_open(t->out, 12);
	timebase = pb_open(t->out, 1);
	pb_u64(t->out, 2, t->rep->window.sample_hz);
	pb_u64(t->out, 4, t->rep->window.sample_hw ? COUNTER_CYCLES : COUNTER_CPU_CLOCK);
	pb_close(t->out, timebase);
	pb_close(t->out, sample);
	pb_u64(t->out, PACKET_DEFAULTS_CLOCK, CLOCK_OF_RECORDS);
	pb_close(t->out, defaults);
}

static int add_interned(struct trace *t)
{
	const struct agg_cpu *cpu = &t->rep->cpu;
	size_t packet = packet_open(t, FLAG_CLEARED), interned;
	u32 i;
	int err = 0;

	for (i = 0; i < cpu->nnodes && !err; i++)
		err = frame_names_add(&t->names, &cpu->nodes[i], &t->name[i]);
	pb_u64(t->out, PACKET_FIRST, 1);
	add_defaults(t);
	interned = pb_open(t->out, PACKET_INTERNED);
	add_mapping(t, MAPPING_USER, slice_str(t->rep->ntargets ? t->rep->targets[0].exe : ""));
	add_mapping(t, MAPPING_KERNEL, SLICE("[kernel]"));
	for (i = 0; i < t->names.n; i++)
		add_frame(t, i);
	for (i = 0; i < cpu->nmoments; i++) {
		u32 node = cpu->moments[i].node;

		if (!err && !t->used[node])
			add_stack(t, node);
		t->used[node] = true;
	}
	pb_close(t->out, interned);
	pb_close(t->out, packet);
	return err;
}

static const struct agg_target *target_of(const struct agg_report *rep, u32 tgid)
{
	u32 i, k;

	for (i = 0; i < rep->ntargets; i++)
		for (k = 0; k < rep->targets[i].npids; k++)
			if (rep->targets[i].pids[k] == tgid)
				return &rep->targets[i];
	return NULL;
}

static void add_text(struct trace *t, u32 field, const char *text)
{
	_release_(buf) struct buf clean = BUF_INIT;

	text_clip(&clean, slice_str(text), FRAME_NAME_CELLS_MAX);
	pb_bytes(t->out, field, buf_slice(&clean));
}

static void add_process(struct trace *t, u32 tgid)
{
	const struct agg_target *target = target_of(t->rep, tgid);
	size_t packet = packet_open(t, FLAG_NEEDS_STATE), track = pb_open(t->out, PACKET_TRACK),
	       msg;

	pb_u64(t->out, 1, tgid);
	msg = pb_open(t->out, 3);
	pb_u64(t->out, 1, tgid);
	if (target) {
		add_text(t, 2, target->cmdline);
		add_text(t, 6, *target->service ? target->service : target->cmdline);
	}
	pb_close(t->out, msg);
	pb_close(t->out, track);
	pb_close(t->out, packet);
}

static void add_thread(struct trace *t, u32 tgid, u32 tid, const char *name)
{
	size_t packet = packet_open(t, FLAG_NEEDS_STATE), track = pb_open(t->out, PACKET_TRACK),
	       msg;

	pb_u64(t->out, 1, THREAD_UUID | tid);
	pb_u64(t->out, 5, tgid);
	msg = pb_open(t->out, 4);
	pb_u64(t->out, 1, tgid);
	pb_u64(t->out, 2, tid);
	add_text(t, 5, name);
	pb_close(t->out, msg);
	pb_close(t->out, track);
	pb_close(t->out, packet);
}

static const char *thread_name(const struct agg_node *nodes, u32 at)
{
	while (nodes[at].depth && !agg_is_thread(nodes, &nodes[at]))
		at = nodes[at].parent;
	return nodes[at].text;
}

static int see_thread(struct trace *t, struct map *seen, u32 tgid, u32 tid, const char *name)
{
	int err = 0;

	if (!map_find(seen, tgid)) {
		err = map_put(seen, tgid, 1);
		add_process(t, tgid);
	}
	if (!err && !map_find(seen, THREAD_UUID | tid)) {
		err = map_put(seen, THREAD_UUID | tid, 1);
		add_thread(t, tgid, tid, name);
	}
	return err;
}

static int add_tracks(struct trace *t)
{
	const struct agg_offcpu *offcpu = &t->rep->offcpu;
	const struct agg_cpu *cpu = &t->rep->cpu;
	struct map seen;
	u32 i;
	int err = 0;

	map_init(&seen, 2 * ((size_t)cpu->nmoments + offcpu->nstates));
	for (i = 0; i < cpu->nmoments && !err; i++) {
		const struct agg_moment *m = &cpu->moments[i];

		err = see_thread(t, &seen, m->tgid, m->tid, thread_name(cpu->nodes, m->node));
	}
	for (i = 0; i < offcpu->nstates && !err; i++) {
		const struct agg_state *s = &offcpu->states[i];

		err = see_thread(t, &seen, s->tgid, s->tid, s->name);
	}
	map_release(&seen);
	return err;
}

static void add_sample(struct trace *t, const struct agg_moment *m)
{
	bool kernel = t->rep->cpu.nodes[m->node].kind == HP_FRAME_KERNEL;
	size_t packet = packet_open(t, FLAG_NEEDS_STATE), sample;

	pb_u64(t->out, PACKET_TIME, m->ts_ns);
	sample = pb_open(t->out, PACKET_SAMPLE);
	pb_always(t->out, 1, m->cpu);
	pb_u64(t->out, 2, m->tgid);
	pb_u64(t->out, 3, m->tid);
	pb_u64(t->out, 4, m->node + 1);
	pb_u64(t->out, 5, kernel ? MODE_KERNEL : MODE_USER);
	pb_close(t->out, sample);
	pb_close(t->out, packet);
}

static void add_note(struct trace *t, const char *key, const char *text)
{
	size_t note = pb_open(t->out, 4);

	pb_bytes(t->out, 10, slice_str(key));
	add_text(t, 6, text);
	pb_close(t->out, note);
}

/* One slice of a track of states; nothing when it has no length. */
static void add_slice(struct trace *t, u32 tid, u64 from, u64 to, const char *name,
		      const char *waker)
{
	size_t packet, event;
	u32 type;

	if (to <= from)
		return;
	for (type = SLICE_BEGIN; type <= SLICE_END; type++) {
		packet = packet_open(t, FLAG_NEEDS_STATE);
		pb_u64(t->out, PACKET_TIME, type == SLICE_BEGIN ? from : to);
		event = pb_open(t->out, PACKET_EVENT);
		pb_u64(t->out, 9, type);
		pb_u64(t->out, 11, STATE_UUID | tid);
		if (type == SLICE_BEGIN)
			pb_bytes(t->out, 23, slice_str(name));
		if (type == SLICE_BEGIN && waker && *waker)
			add_note(t, "woken by", waker);
		pb_close(t->out, event);
		pb_close(t->out, packet);
	}
}

static void add_state_track(struct trace *t, u32 tid)
{
	size_t packet = packet_open(t, FLAG_NEEDS_STATE), track = pb_open(t->out, PACKET_TRACK);

	pb_u64(t->out, 1, STATE_UUID | tid);
	pb_u64(t->out, 5, THREAD_UUID | tid);
	pb_bytes(t->out, 2, SLICE("state"));
	pb_close(t->out, track);
	pb_close(t->out, packet);
}

/* From the end of one wait to the start of the next. */
static void add_between(struct trace *t, const struct agg_state *a, const struct agg_state *b,
			u64 until)
{
	u64 length = until > a->ts_ns ? until - a->ts_ns : 0;
	u64 on = b->on_ns > a->on_ns ? b->on_ns - a->on_ns : 0;
	u32 others = b->before - a->before - 1;
	char name[80] = "running";

	if (!length)
		return;
	if (others)
		snprintf(name, sizeof(name), "running %.0f %%, %u short waits",
			 100 * MIN((double)on / (double)length, 1.0), others);
	add_slice(t, b->tid, a->ts_ns, until, name, NULL);
}

static void add_states(struct trace *t)
{
	const struct agg_offcpu *o = &t->rep->offcpu;
	const struct agg_state *before = NULL;
	u32 i;

	for (i = 0; i < o->nstates; i++) {
		const struct agg_state *s = &o->states[i];
		u64 woken = s->ts_ns - MIN(s->runqueue_ns, s->ts_ns);
		u64 from = woken - MIN(s->blocked_ns, woken);
		char name[48];

		if (before && (before->tid != s->tid || before->tgid != s->tgid))
			before = NULL;
		if (!before)
			add_state_track(t, s->tid);
		else
			add_between(t, before, s, from);
		/* A wait may have begun before the window, but not before the one before it was over. */
		from = MAX(from, before ? before->ts_ns : t->rep->window.start_ns);
		snprintf(name, sizeof(name), "blocked: %s", agg_wait_key(s->reason));
		add_slice(t, s->tid, from, woken, name, s->waker);
		add_slice(t, s->tid, MAX(woken, from), s->ts_ns, "runnable", NULL);
		before = s;
	}
}

int out_timeline(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	_release_(trace) struct trace t = { .rep = rep, .out = out };
	u32 i, n = MAX(rep->cpu.nnodes, 1U), max_depth = 0;
	int err;

	(void)opts;
	if (frame_tree_check(rep->cpu.nodes, rep->cpu.nnodes, &max_depth, NULL))
		return -EINVAL;
	frame_names_init(&t.names, n);
	t.name = calloc(n, sizeof(*t.name));
	t.path = calloc(max_depth + 1, sizeof(*t.path));
	t.used = calloc(n, sizeof(*t.used));
	if (!t.name || !t.path || !t.used)
		return -ENOMEM;
	add_clocks(&t);
	err = add_interned(&t);
	if (!err)
		err = add_tracks(&t);
	for (i = 0; !err && i < rep->cpu.nmoments; i++)
		add_sample(&t, &rep->cpu.moments[i]);
	if (!err)
		add_states(&t);
	return out->oom ? -ENOMEM : err;
}
