/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See collector.h. One loop: drain the ring, see to the analyst's requests, look at procfs now and
 * then, sleep for as long as the traffic allows. The kernel side never wakes us: a wake-up costs the
 * target 4 to 10 µs on a virtual machine, a look every few milliseconds costs it nothing.
 */
#include "load/collector.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "decode/channel.h"
#include "load/answers.h"
#include "load/inspect.h"
#include "load/mmaps.h"
#include "load/probes.h"
#include "load/procfs.h"
#include "load/unwinder.h"

#define OUT_BYTES (256 * 1024)
#define POLL_MIN_NS (1 * NSEC_PER_MSEC)
#define POLL_MAX_NS (40 * NSEC_PER_MSEC)
#define POLL_START_NS (10 * NSEC_PER_MSEC)
#define RESOURCE_NS (500 * NSEC_PER_MSEC)
#define LOSS_NS NSEC_PER_SEC
#define NEW_PROCS_MAX 256
#define PREPARE_NS (3 * NSEC_PER_SEC) /* for unwind tables, before the window begins */
#define RESCAN_NS NSEC_PER_SEC /* a process's mappings are read again at most so often */
#define DESCRIBE_MAX 16 /* processes described between two drains: a look at /proc takes its time */

struct collector {
	const struct collector_opts *opts;
	struct collector_error *err;
	struct probes *probes;
	struct procfs *procfs;
	struct mmaps *mmaps; /* NULL: the kernel does not tell of new mappings */
	struct unwinder *unwinder; /* of probes; NULL = none */
	struct answers answers;
	u8 *out; /* records on their way to the analyst */
	size_t out_n;
	u64 events;
	u64 drained_bytes; /* of the drain under way */
	u64 start_ns;
	u64 stop_ns; /* 0 until the window is over: later records are left out */
	u64 poll_ns;
	u64 next_resource_ns;
	u64 next_loss_ns;
	u64 cpu_first_ns; /* of the targets */
	u64 cpu_base_ns; /* own */
	u64 bpf_base_ns;
	u64 bpf_base_runs;
	u32 alive; /* processes of the targets */
	struct {
		u32 pid;
		u16 target;
		bool exec;
	} fresh[NEW_PROCS_MAX]; /* forked or exec'ed, to be described outside the drain */
	u32 nfresh;
	u32 rescan; /* process whose code is somewhere unknown, 0 = none */
	u64 rescan_ns; /* when one was looked at last */
	bool unix_seen;
	bool uring_said;
	bool gone; /* no process of any target is left */
};

static u64 own_cpu_ns(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * NSEC_PER_USEC;
}

static int fail(struct collector *c, enum exit_status status, int err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(c->err->text, sizeof(c->err->text), fmt, ap);
	va_end(ap);
	c->err->status = status;
	return err;
}

/* 0, or -EPIPE when the analyst is gone. */
static int serve(struct collector *c)
{
	c->answers.chan_fd = c->opts->chan_fd;
	c->answers.probes = c->probes;
	c->answers.unwinder = c->unwinder;
	return answers_serve(&c->answers);
}

/* Writes out what is buffered, serving the analyst while it is busy. */
static int flush(struct collector *c)
{
	size_t off = 0;
	int err;

	while (off < c->out_n) {
		struct pollfd fds[] = {
			{ .fd = c->opts->stream_fd, .events = POLLOUT },
			{ .fd = c->opts->chan_fd, .events = POLLIN },
		};
		ssize_t n = send(c->opts->stream_fd, c->out + off, c->out_n - off,
				 MSG_DONTWAIT | MSG_NOSIGNAL);

		if (n > 0) {
			off += n;
			continue;
		}
		if (n < 0 && errno != EAGAIN && errno != EINTR)
			return -EPIPE;
		if (poll(fds, 2, 1000) < 0 && errno != EINTR)
			return -errno;
		if (fds[1].revents) {
			err = serve(c);
			if (err)
				return err;
		}
	}
	c->out_n = 0;
	return 0;
}

static int put(struct collector *c, const void *rec, size_t size)
{
	int err;

	if (c->out_n + size > OUT_BYTES) {
		err = flush(c);
		if (err)
			return err;
	}
	memcpy(c->out + c->out_n, rec, size);
	c->out_n += size;
	return 0;
}

/* As a callback. */
static int put_own(void *arg, const void *rec, size_t size)
{
	return put(arg, rec, size);
}

/* A record of our own kind with a variable part. */
static int put_text(struct collector *c, u16 kind, struct slice text)
{
	struct {
		struct ev_note ev; /* struct ev_config has the same shape */
		char text[4096];
	} rec = { 0 };
	size_t n = MIN(text.n, sizeof(rec.text) - 8);

	_Static_assert(sizeof(struct ev_note) == sizeof(struct ev_config), "one shape for both");
	rec.ev.hdr.size = (sizeof(rec.ev) + n + 7) & ~7UL;
	rec.ev.hdr.kind = kind;
	rec.ev.hdr.ts_ns = clock_mono_ns();
	rec.ev.len = n;
	memcpy(rec.text, text.p, n);
	return put(c, &rec, rec.ev.hdr.size);
}

static int put_window(struct collector *c, enum hp_window_what what, u64 ts_ns)
{
	u64 unix_ns = clock_unix_ns(), mono_ns = clock_mono_ns();
	struct timespec boot;
	struct ev_window ev = {
		.hdr = { .size = sizeof(ev), .kind = EV_WINDOW, .ts_ns = ts_ns },
		.unix_ns = unix_ns - mono_ns + ts_ns,
		.what = what,
		.sample_hz = probes_sample_hz(c->probes),
		.sample_hw = probes_sample_hw(c->probes),
		.waits = probes_waits_what(c->probes),
		.ncpus = probes_ncpus(c->probes),
	};

	clock_gettime(CLOCK_BOOTTIME, &boot);
	ev.boot_unix_ns = unix_ns - (boot.tv_sec * NSEC_PER_SEC + boot.tv_nsec);
	return put(c, &ev, sizeof(ev));
}

static int put_resources(struct collector *c, bool whole, u64 *ret_cpu_ns)
{
	struct ev_resource ev;
	u64 cpu = 0;
	u32 t, gone = 0;
	int err;

	for (t = 0; t < c->opts->targets->ntargets; t++) {
		gone += procfs_sample(c->procfs, t, whole, &ev) == -ESRCH;
		cpu += ev.cpu_total_ns;
		err = put(c, &ev, sizeof(ev));
		if (err)
			return err;
	}
	if (gone == c->opts->targets->ntargets)
		c->gone = true;
	if (ret_cpu_ns)
		*ret_cpu_ns = cpu;
	return 0;
}

static int put_loss(struct collector *c)
{
	struct {
		struct ev_loss ev;
		u64 n[DROP_MAX];
	} rec = { 0 };
	struct probes_cost cost;

	rec.ev.hdr.size = sizeof(rec);
	rec.ev.hdr.kind = EV_LOSS;
	rec.ev.hdr.ts_ns = clock_mono_ns();
	rec.ev.events = c->events;
	rec.ev.n = DROP_MAX;
	probes_drops(c->probes, rec.n);
	probes_cost(c->probes, &cost);
	rec.n[DROP_PROG_MISSED] += cost.missed;
	return put(c, &rec, sizeof(rec));
}

static int put_cost(struct collector *c, u64 target_cpu_ns)
{
	struct probes_cost cost;
	struct rusage use;
	struct ev_cost ev = {
		.hdr = { .size = sizeof(ev), .kind = EV_COST, .ts_ns = clock_mono_ns() },
		.collector_cpu_ns = own_cpu_ns() - c->cpu_base_ns,
		.target_cpu_ns = target_cpu_ns,
	};

	getrusage(RUSAGE_SELF, &use);
	probes_cost(c->probes, &cost);
	ev.bpf_ns = cost.bpf_ns - c->bpf_base_ns;
	ev.bpf_runs = cost.runs - c->bpf_base_runs;
	ev.method = cost.method;
	ev.agent_rss_bytes = (u64)use.ru_maxrss * 1024;
	return put(c, &ev, sizeof(ev));
}

static int put_mapping(void *arg, const struct ev_mapping *m, struct slice path)
{
	struct collector *c = arg;
	union {
		struct ev_mapping ev;
		char bytes[sizeof(struct ev_mapping) + 4096 + 8];
	} rec;

	memset(&rec, 0, sizeof(rec));
	rec.ev = *m;
	rec.ev.path_len = MIN(path.n, 4096U);
	rec.ev.hdr.size = (sizeof(rec.ev) + rec.ev.path_len + 7) & ~7UL;
	memcpy(rec.bytes + sizeof(rec.ev), path.p, rec.ev.path_len);
	/* First, so that the analyst's word about it finds it. */
	if (c->unwinder)
		unwinder_mapping(c->unwinder, m, path);
	return put(c, &rec, rec.ev.hdr.size);
}

static int put_process(struct collector *c, const struct target_proc *p)
{
	_release_(buf) struct buf rec = BUF_INIT;
	int err;

	target_record(p, clock_mono_ns(), &rec);
	if (rec.oom || !rec.n)
		return -ENOMEM;
	err = put(c, rec.p, rec.n);
	if (err)
		return err;
	err = procfs_exec_mappings(p->pid, p->target, put_mapping, c);
	return err == -EPIPE ? err : 0; /* a process that is gone or hidden has no mappings */
}

/* Processes that appeared since the last look. */
static int describe_fresh(struct collector *c)
{
	struct target_proc p;
	u32 i;
	int err = 0;

	for (i = 0; i < MIN(c->nfresh, (u32)DESCRIBE_MAX) && !err; i++) {
		if (!c->fresh[i].exec)
			procfs_add(c->procfs, c->fresh[i].pid, c->fresh[i].target);
		memset(&p, 0, sizeof(p));
		if (target_describe(c->fresh[i].pid, &p))
			continue;
		p.target = c->fresh[i].target;
		p.root_pid = c->opts->targets->v[0].pid;
		for (u32 t = 0; t < c->opts->targets->n; t++)
			if (c->opts->targets->v[t].target == p.target) {
				p.root_pid = c->opts->targets->v[t].root_pid;
				break;
			}
		err = put_process(c, &p);
		target_proc_release(&p);
	}
	c->nfresh -= i;
	memmove(c->fresh, c->fresh + i, c->nfresh * sizeof(c->fresh[0]));
	return err;
}

static u16 target_of_process(const struct collector *c, u32 pid)
{
	u32 i;

	for (i = 0; i < c->opts->targets->n; i++)
		if (c->opts->targets->v[i].pid == pid)
			return c->opts->targets->v[i].target;
	return procfs_target(c->procfs, pid);
}

/* A process has mapped code. */
static int on_mmap(void *arg, const struct mmaps_event *ev)
{
	struct collector *c = arg;

	if (!unwinder_knows(c->unwinder, ev->tgid))
		return 0;
	return procfs_mapping(ev->tgid, target_of_process(c, ev->tgid), ev->start, ev->end, ev->off,
			      ev->inode, ev->path, put_mapping, c);
}

static int rescan(struct collector *c, u32 pid)
{
	int err = procfs_exec_mappings(pid, target_of_process(c, pid), put_mapping, c);

	return err == -EPIPE ? err : 0;
}

/* New code in the targets, as the kernel told; where it did not, as samples in unknown places show. */
static int look_at_mappings(struct collector *c, u64 now)
{
	bool lost = false;
	u32 i;
	int err = 0;

	if (!c->unwinder)
		return 0;
	if (c->mmaps)
		err = mmaps_drain(c->mmaps, on_mmap, c, &lost);
	if (lost)
		for (i = 0; i < c->opts->targets->n && !err; i++)
			err = rescan(c, c->opts->targets->v[i].pid);
	if (!err && c->rescan && now >= c->rescan_ns + RESCAN_NS) {
		err = rescan(c, c->rescan);
		c->rescan = 0;
		c->rescan_ns = now;
	}
	unwinder_publish(c->unwinder, false);
	return err;
}

static int on_record(void *arg, const void *rec, size_t size)
{
	const struct ev_hdr *hdr = rec;
	struct collector *c = arg;

	if (c->stop_ns && hdr->ts_ns > c->stop_ns)
		return 0;
	c->events++;
	c->drained_bytes += size;
	if (hdr->kind == EV_USED) {
		if (c->procfs)
			procfs_used(c->procfs, rec);
		return 0;
	}
	if (hdr->kind == EV_CONN_OPEN && ((const struct ev_conn_open *)rec)->family == AF_UNIX)
		c->unix_seen = true;
	if (hdr->kind == EV_SAMPLE && ((const struct ev_sample *)rec)->stop == UW_STOP_NO_MAPPING)
		c->rescan = hdr->tgid;
	if (hdr->kind == EV_WAIT && ((const struct ev_wait *)rec)->stop == UW_STOP_NO_MAPPING)
		c->rescan = hdr->tgid;
	if (hdr->kind == EV_PROC) {
		const struct ev_proc *ev = rec;

		if (c->unwinder)
			unwinder_process(c->unwinder, ev);

		if (ev->what != HP_PROC_EXIT && c->nfresh < NEW_PROCS_MAX) {
			c->fresh[c->nfresh].pid = hdr->tgid;
			c->fresh[c->nfresh].target = hdr->target;
			c->fresh[c->nfresh].exec = ev->what == HP_PROC_EXEC;
			c->nfresh++;
		}
		if (ev->what == HP_PROC_FORK)
			c->alive++;
		else if (ev->what == HP_PROC_EXIT && c->alive && !--c->alive)
			c->gone = true;
	}
	return put(c, rec, hdr->size);
}

static int drain(struct collector *c)
{
	u64 ring = probes_ring_bytes(c->probes);
	int n;

	c->drained_bytes = 0;
	n = probes_drain(c->probes, on_record, c);
	if (n < 0)
		return n;
	/* A sixteenth of the ring each time leaves room for a pause of many intervals. */
	if (c->drained_bytes > ring / 16)
		c->poll_ns = MAX(POLL_MIN_NS, c->poll_ns / 2);
	else if (c->drained_bytes < ring / 64)
		c->poll_ns = MIN(POLL_MAX_NS, c->poll_ns + c->poll_ns / 4);
	return 0;
}

static int look_around(struct collector *c, u64 now)
{
	int err = look_at_mappings(c, now);

	if (!err)
		err = describe_fresh(c);
	/* Without the entry the sends' exits still count, so a failure here costs precision only. */
	if (c->unix_seen)
		probes_want_unix(c->probes);
	if (!err && now >= c->next_resource_ns) {
		c->next_resource_ns = now + RESOURCE_NS;
		err = put_resources(c, false, NULL);
	}
	if (!err && now >= c->next_loss_ns) {
		c->next_loss_ns = now + LOSS_NS;
		err = put_loss(c);
		probes_waits_pace(c->probes);
		if (!err)
			err = probes_waits(c->probes, false, 0, put_own, c);
	}
	return err;
}

static int watch(struct collector *c)
{
	u64 end_ns = c->opts->duration_ns ? c->start_ns + c->opts->duration_ns : UINT64_MAX, now;
	int err;

	while (!*c->opts->stop && !c->gone) {
		struct pollfd fds[] = {
			{ .fd = c->opts->chan_fd, .events = POLLIN },
			{ .fd = probes_wakeup_fd(c->probes), .events = POLLIN },
		};
		struct timespec wait;
		u64 wait_ns;

		err = drain(c);
		now = clock_mono_ns();
		if (!err)
			err = look_around(c, now);
		if (!err)
			err = flush(c);
		if (err)
			return err;
		if (now >= end_ns)
			return 0;
		wait_ns = MIN(c->poll_ns, end_ns - now);
		wait = (struct timespec){ wait_ns / NSEC_PER_SEC, wait_ns % NSEC_PER_SEC };
		if (ppoll(fds, 2, &wait, NULL) > 0 && fds[0].revents) {
			err = serve(c);
			if (err)
				return err;
		}
	}
	return 0;
}

/*
 * Says which processes there are and what code they have mapped, and waits until the analyst has said how
 * each of it is walked: the first sample is as whole as the last.
 */
static int prepare(struct collector *c)
{
	const struct targets *targets = c->opts->targets;
	u64 end_ns = clock_mono_ns() + PREPARE_NS, now;
	struct pollfd fd = { .fd = c->opts->chan_fd, .events = POLLIN };
	u32 i;
	int err;

	c->unwinder = probes_unwinder(c->probes);
	if (c->unwinder && mmaps_new(&c->mmaps, probes_ncpus(c->probes)))
		c->mmaps = NULL;
	for (i = 0; i < targets->n; i++) {
		err = put_process(c, &targets->v[i]);
		if (err)
			return err;
	}
	err = flush(c);
	while (!err && c->unwinder && unwinder_pending(c->unwinder) && !*c->opts->stop) {
		now = clock_mono_ns();
		if (now >= end_ns)
			break;
		if (poll(&fd, 1, (int)((end_ns - now) / NSEC_PER_MSEC) + 1) > 0)
			err = serve(c);
	}
	if (c->unwinder)
		unwinder_publish(c->unwinder, true);
	return err;
}

/* Where no program walks the descriptors, procfs tells which ports a target listens on. */
static void name_listeners(struct collector *c)
{
	const struct targets *targets = c->opts->targets;
	u32 i, k;

	for (i = 0; i < targets->n && !probes_seeds(c->probes); i++) {
		_release_(inspection) struct inspection at = { 0 };

		if (inspect(targets->v[i].pid, &at) || at.fds_err)
			continue;
		for (k = 0; k < at.nports; k++)
			probes_add_listener(c->probes, at.proc.net_ns, at.ports[k],
					    targets->v[i].target);
	}
}

static int attach(struct collector *c)
{
	const struct targets *targets = c->opts->targets;
	const struct probes_opts po = {
		.ring_bytes = c->opts->ring_bytes,
		.sample_hz = c->opts->sample_hz,
		.net = c->opts->net,
		.waits = c->opts->waits,
		.follow_children = c->opts->children,
	};
	struct probes_error pe;
	u32 i;
	int err;

	err = probes_open(&c->probes, &po, &pe);
	if (err)
		return fail(c, EXIT_PRIVILEGE, err, "%s; %s", pe.text, pe.fix);
	for (i = 0; i < targets->n; i++) {
		err = probes_add_target(c->probes, targets->v[i].pid, targets->v[i].target);
		if (err)
			return fail(c, EXIT_FAILED, err, "cannot follow process %u: %s",
				    targets->v[i].pid, strerror(-err));
	}
	err = prepare(c);
	if (err)
		return err;
	name_listeners(c);
	err = probes_seed_listeners(c->probes);
	if (!err && probes_attach(c->probes, &pe))
		return fail(c, EXIT_PRIVILEGE, -EPERM, "%s; %s", pe.text, pe.fix);
	if (!err)
		err = probes_seed(c->probes);
	if (!err) {
		/* Records wait in the ring; this looks whether a unix connection is among them. */
		err = drain(c);
		if (c->unix_seen)
			probes_want_unix(c->probes);
	}
	if (err)
		return fail(c, EXIT_PRIVILEGE, err,
			    "cannot list the open connections: %s; see 'hostprof doctor'",
			    strerror(-err));
	return 0;
}

/* What a probe does not show, and why it does no better. */
static int say_less(struct collector *c, enum probe p)
{
	_release_(buf) struct buf text = BUF_INIT, cause = BUF_INIT;
	const char *note = probes_note(c->probes, p);

	if (!note)
		return 0;
	buf_adds(&text, note);
	if (!strstr(note, "switched off with --without"))
		ladder_cause(probes_ladder(c->probes), p, &cause);
	if (cause.n)
		buf_addf(&text, " (%s)", cause.p);
	return text.oom ? -ENOMEM : put_text(c, EV_NOTE, buf_slice(&text));
}

/* System calls do not show what goes through a ring; said once, for the first process that has one. */
static int say_io_uring(struct collector *c)
{
	const struct rung *r = ladder_rung(probes_ladder(c->probes), PROBE_TRANSFERS);
	u32 pid = r && r->no_rings && !c->uring_said ? procfs_find_io_uring(c->procfs) : 0;
	char text[256];

	if (!pid)
		return 0;
	c->uring_said = true;
	snprintf(
		text, sizeof(text),
		"process %u uses io_uring: what it sends and receives that way is not seen on this "
		"kernel, which would need fentry or kprobes; requests and queries may be missing",
		pid);
	return put_text(c, EV_NOTE, slice_str(text));
}

static int say_refused(struct collector *c)
{
	u64 n = c->unwinder ? unwinder_refused(c->unwinder) : 0;
	char text[256];
	int err;

	if (answers_note(&c->answers, text, sizeof(text))) {
		err = put_text(c, EV_NOTE, slice_str(text));
		if (err)
			return err;
	}
	if (!n)
		return 0;
	snprintf(
		text, sizeof(text),
		"%llu mappings or unwind tables found no room in the kernel's: stacks through that "
		"code may end there",
		(unsigned long long)n);
	return put_text(c, EV_NOTE, slice_str(text));
}

static int put_measured(struct collector *c)
{
	_release_(buf) struct buf b = BUF_INIT;

	probes_describe(c->probes, &b);
	return b.oom ? -ENOMEM : put_text(c, EV_CONFIG, buf_slice(&b));
}

static int begin(struct collector *c)
{
	const struct targets *targets = c->opts->targets;
	struct probes_cost cost;
	u32 i;
	int err;

	err = procfs_new(&c->procfs);
	if (err)
		return fail(c, EXIT_FAILED, err, "cannot start: %s", strerror(-err));
	for (i = 0; i < targets->n; i++)
		c->alive += procfs_add(c->procfs, targets->v[i].pid, targets->v[i].target) == 0;
	if (!c->alive)
		return fail(c, EXIT_NO_TARGET, -ESRCH, "process %u ended before anything was seen",
			    targets->v[0].pid);
	c->poll_ns = POLL_START_NS;
	c->start_ns = clock_mono_ns();
	c->next_resource_ns = c->start_ns + RESOURCE_NS;
	c->next_loss_ns = c->start_ns + LOSS_NS;
	c->cpu_base_ns = own_cpu_ns();
	probes_cost(c->probes, &cost);
	c->bpf_base_ns = cost.bpf_ns;
	c->bpf_base_runs = cost.runs;
	err = put_window(c, HP_WINDOW_START, c->start_ns);
	if (!err)
		err = probes_waits(c->probes, true, HP_WAIT_BASE, put_own, c);
	if (!err)
		err = put_text(c, EV_CONFIG, slice_str(c->opts->config));
	if (!err)
		err = put_measured(c);
	for (i = 0; i < PROBE_COUNT && !err; i++) {
		err = say_less(c, (enum probe)i);
	}
	if (!err)
		err = say_io_uring(c);
	if (!err)
		err = put_resources(c, true, &c->cpu_first_ns);
	return err ? err : flush(c);
}

static int end(struct collector *c)
{
	u64 target_cpu_ns = 0;
	u32 i;
	int err;

	c->stop_ns = clock_mono_ns();
	/* First, before anything takes its time. */
	err = probes_waits(c->probes, true, 0, put_own, c);
	if (!err)
		err = probes_still_waiting(c->probes, c->stop_ns, put_own, c);
	if (!err)
		err = drain(c); /* what processes that ended had used */
	if (!err)
		err = put_resources(c, true, &target_cpu_ns);
	if (!err)
		err = say_io_uring(c);
	if (!err)
		err = say_refused(c);
	if (!err)
		err = put_cost(c, target_cpu_ns - c->cpu_first_ns);
	if (err)
		return err;
	/* New code mapped since the start (dlopen) has to be known to be named. */
	for (i = 0; i < c->opts->targets->n; i++)
		procfs_exec_mappings(c->opts->targets->v[i].pid, c->opts->targets->v[i].target,
				     put_mapping, c);
	probes_detach(c->probes);
	err = drain(c);
	if (!err)
		err = describe_fresh(c);
	if (!err)
		err = probes_flush_conts(c->probes, on_record, c, c->stop_ns);
	if (!err)
		err = put_loss(c);
	if (!err)
		err = put_window(c, HP_WINDOW_STOP, c->stop_ns);
	if (!err)
		err = put_window(c, HP_WINDOW_END, c->stop_ns);
	return err ? err : flush(c);
}

/* The analyst names addresses and writes the report; it asks until it closes its end. */
static void serve_until_closed(struct collector *c)
{
	struct pollfd fd = { .fd = c->opts->chan_fd, .events = POLLIN };

	while (poll(&fd, 1, -1) >= 0 || errno == EINTR)
		if (serve(c))
			return;
}

int collector_run(const struct collector_opts *opts, struct collector_error *ret_err)
{
	struct collector c = { .opts = opts, .err = ret_err };
	int err;

	memset(ret_err, 0, sizeof(*ret_err));
	c.out = malloc(OUT_BYTES);
	err = c.out ? attach(&c) : fail(&c, EXIT_FAILED, -ENOMEM, "out of memory");
	if (!err)
		err = begin(&c);
	if (!err) {
		opts->attached(opts->arg);
		err = watch(&c);
	}
	if (!err)
		err = end(&c);
	if (!err)
		serve_until_closed(&c);
	else if (!ret_err->text[0])
		fail(&c, EXIT_FAILED, err, "the analyst process ended early");
	procfs_free(c.procfs);
	mmaps_free(c.mmaps);
	probes_free(c.probes);
	free(c.out);
	return err;
}
