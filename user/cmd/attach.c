/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostprof attach: two processes. This one stays privileged and becomes the collector; the child is
 * the analyst, forked before any probe is loaded, so it holds no descriptor of one. The child owns
 * the report directory: if this process is killed, it sees the stream end early and removes it.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/log.h"
#include "cmd/analyst.h"
#include "cmd/attach_opts.h"
#include "cmd/without.h"
#include "decode/channel.h"
#include "load/collector.h"
#include "load/feat.h"

#define STREAM_SOCKET_BYTES (4 << 20)
#define NICE (-5) /* of both processes; not granted without privilege */

/* What signals may touch. */
static volatile int stop_asked;
static volatile int abort_asked; /* analyst */
static volatile pid_t analyst_pid;

static void on_stop(int sig)
{
	(void)sig;
	if (stop_asked++) {
		/* The second one: leave now. The kernel detaches everything with our descriptors. */
		if (analyst_pid > 0)
			kill(analyst_pid, SIGUSR1);
		_exit(EXIT_ABORTED);
	}
}

static void on_abort(int sig)
{
	(void)sig;
	abort_asked = 1;
}

static void catch_signal(int sig, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler };

	sigemptyset(&sa.sa_mask);
	sigaction(sig, &sa, NULL);
}

static void default_dir(u32 pid, char *out, size_t size)
{
	time_t now = time(NULL);
	struct tm tm;
	char stamp[32];

	localtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%dT%H%M%S", &tm);
	snprintf(out, size, "hostprof-%u-%s", pid, stamp);
}

struct attached {
	const struct attach_opts *opts;
	const struct targets *targets;
};

/* Whoever named a pattern or a port learns here what it stands for on this host. */
static void say_targets(const struct attach_opts *o, const struct targets *t)
{
	_release_(buf) struct buf b = BUF_INIT;

	if (t->ntargets > 1)
		buf_addf(&b, "%u %s", t->ntargets, o->npids ? "targets" : "services");
	if (t->ntargets > 1 && o->port)
		buf_addf(&b, " on port %u", o->port);
	else if (t->ntargets > 1 && !o->npids)
		buf_addf(&b, " that match '%.80s'", o->name ? o->name : o->cgroup);
	buf_adds(&b, t->ntargets > 1 ? ": " : "");
	targets_name(t, &b);
	if (t->ntargets > 1 && !o->npids)
		buf_adds(&b, "; give a process id to measure one alone");
	if (b.p)
		log_info("attached to %s", b.p);
}

static void on_attached(void *arg)
{
	const struct attached *at = arg;
	const struct attach_opts *o = at->opts;

	feat_release();
	if (o->common.quiet)
		return;
	say_targets(o, at->targets);
	if (o->duration_ns)
		log_info("attached; measuring for %.4g s, Ctrl-C ends it early",
			 (double)o->duration_ns / NSEC_PER_SEC);
	else
		log_info("attached; Ctrl-C ends it");
}

static void describe_config(const struct attach_opts *o, struct buf *out)
{
	struct utsname u;
	u32 i;

	if (!uname(&u)) {
		buf_addf(out, "host.name=%s\n", u.nodename);
		buf_addf(out, "host.kernel=%s\n", u.release);
		buf_addf(out, "host.machine=%s\n", u.machine);
	}
	buf_addf(out, "option.duration_s=%.6g\n", (double)o->duration_ns / NSEC_PER_SEC);
	buf_addf(out, "option.freq=%u\n", o->cpu ? o->freq : 0);
	buf_addf(out, "option.offcpu=%d\n", o->offcpu);
	buf_addf(out, "option.http=%d\n", o->http);
	buf_addf(out, "option.db=%d\n", o->db);
	buf_addf(out, "option.children=%d\n", o->children);
	for (i = 0; i < o->without.n; i++)
		buf_addf(out, "option.without=%s\n", o->without.keys[i]);
}

/* The child. Tells the parent with one byte that the output is ready, then works to the end. */
static int be_analyst(const struct attach_opts *o, int stream_fd, int chan_fd)
{
	_release_(outs) struct outs outs = { .parent_fd = -1, .tmp_fd = -1 };
	const struct analyst_opts ao = {
		.common = &o->common,
		.outs = o->common.output ? &outs : NULL,
		.stream_fd = stream_fd,
		.chan_fd = chan_fd,
		.max_capture = o->max_capture,
		.live = true,
		.show_literals = o->show_literals,
		.no_http = !o->http,
		.no_db = !o->db,
		.aborted = &abort_asked,
	};
	int err;

	catch_signal(SIGINT, SIG_IGN);
	catch_signal(SIGTERM, SIG_IGN);
	catch_signal(SIGHUP, SIG_IGN);
	catch_signal(SIGPIPE, SIG_IGN);
	catch_signal(SIGUSR1, on_abort);
	if (ao.outs && outs_begin(&outs, o->common.output, o->common.force)) {
		log_err("%s", outs.err);
		return EXIT_FAILED;
	}
	/* From here on it reads what strangers sent, and has all it needs in descriptors. */
	err = caps_drop();
	if (err) {
		log_err("cannot give up capabilities: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (write(stream_fd, "", 1) != 1)
		return EXIT_FAILED;
	return analyst_run(&ao);
}

static int analyst_status(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return EXIT_FAILED;
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	log_err("the analyst process was killed by signal %d; nothing was written",
		WTERMSIG(status));
	return EXIT_FAILED;
}

static int be_collector(const struct attach_opts *o, const struct targets *targets, int stream_fd,
			int chan_fd, bool *ret_failed)
{
	_release_(buf) struct buf config = BUF_INIT;
	struct attached at = { .opts = o, .targets = targets };
	struct collector_opts co = {
		.targets = targets,
		.duration_ns = o->duration_ns,
		.sample_hz = o->cpu ? o->freq : 0,
		.ring_bytes = o->ring_bytes,
		.net = o->http || o->db,
		.waits = o->offcpu,
		.children = o->children,
		.stream_fd = stream_fd,
		.chan_fd = chan_fd,
		.stop = &stop_asked,
		.attached = on_attached,
		.arg = &at,
	};
	struct collector_error ce;
	char ready;

	*ret_failed = true;
	/* No byte: the analyst could not begin, and has said why. */
	if (read(stream_fd, &ready, 1) != 1)
		return EXIT_FAILED;
	describe_config(o, &config);
	co.config = config.oom ? "" : config.p;
	if (collector_run(&co, &ce)) {
		log_err("%s", ce.text);
		return ce.status;
	}
	*ret_failed = false;
	return EXIT_OK;
}

static int run_pair(const struct attach_opts *o, const struct targets *targets)
{
	int stream[2], chan[2], size = STREAM_SOCKET_BYTES, status, collected, err;
	bool failed;
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream)) {
		log_err("cannot create a socket pair: %s", strerror(errno));
		return EXIT_FAILED;
	}
	err = chan_pair(chan);
	if (err) {
		log_err("cannot create a socket pair: %s", strerror(-err));
		return EXIT_FAILED;
	}
	/* Without CAP_NET_ADMIN as far as net.core.wmem_max goes. */
	if (setsockopt(stream[0], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)))
		setsockopt(stream[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	/*
	 * On a host without an idle core an ordinary process waits its turn while the ring fills.
	 * It uses a few percent of a core, but has to get them in time.
	 */
	setpriority(PRIO_PROCESS, 0, NICE);
	fflush(NULL);
	pid = fork();
	if (pid < 0) {
		log_err("cannot start the analyst process: %s", strerror(errno));
		return EXIT_FAILED;
	}
	if (!pid) {
		close(stream[0]);
		close(chan[0]);
		_exit(be_analyst(o, stream[1], chan[1]));
	}
	close(stream[1]);
	close(chan[1]);
	analyst_pid = pid;
	collected = be_collector(o, targets, stream[0], chan[0], &failed);
	close(stream[0]);
	close(chan[0]);
	status = analyst_status(pid);
	if (!failed)
		return status;
	/* A collector without a word of its own stopped because the analyst could not begin. */
	return collected == EXIT_FAILED && status ? status : collected;
}

static int attach_run(const struct cmd *c, struct args *a)
{
	struct attach_opts o = ATTACH_OPTS_INIT;
	struct target_error te = { 0 };
	struct targets targets = { 0 };
	struct target_sel sel;
	char dir[64];
	int status;

	if (!attach_opts_parse(c, a, &o, &status) || !without_apply(&o.without, &status))
		return status;
	sel = (struct target_sel){
		.pids = o.pids,
		.npids = o.npids,
		.port = o.port,
		.name = o.name,
		.cgroup = o.cgroup,
		.children = o.children,
	};
	if (targets_find(&targets, &sel, &te)) {
		log_err("%s", te.text);
		return te.status;
	}
	/* --json alone is for pipes: no directory then. */
	if (!o.common.output && !o.common.json) {
		default_dir(targets.v[0].pid, dir, sizeof(dir));
		o.common.output = dir;
	}
	if (!isatty(STDERR_FILENO) || o.common.quiet || o.common.json)
		o.common.progress = false;
	catch_signal(SIGINT, on_stop);
	catch_signal(SIGTERM, on_stop);
	catch_signal(SIGHUP, on_stop);
	catch_signal(SIGPIPE, SIG_IGN);
	status = run_pair(&o, &targets);
	targets_release(&targets);
	return status;
}

const struct cmd cmd_attach = {
	.name = "attach",
	.usage = "PID… | --port N | --name GLOB | --cgroup PATH [options]",
	.help = "measure running processes and write a report",
	.opts = attach_opt_rows,
	.run = attach_run,
};
