/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See analyst.h. One record at a time: sessions parse and mask it, then it goes to the capture, and
 * everything the report says is derived from it. Names for sampled addresses are asked for about
 * once a second and go into the stream as SYMBOL records, so a replay needs no binaries.
 */
#include "cmd/analyst.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/elffacts.h"
#include "base/file.h"
#include "base/log.h"
#include "bind/bind.h"
#include "decode/capture.h"
#include "decode/channel.h"
#include "decode/record.h"
#include "decode/stream.h"
#include "out/fmt.h"
#include "out/requests.h"
#include "session/session.h"
#include "sym/sym.h"
#include "unwind/java.h"
#include "unwind/pynames.h"
#include "unwind/pysites.h"
#include "unwind/tablecache.h"
#include "unwind/unwind.h"
#include "unwind/v8names.h"

#define PROGRESS_NS (200 * NSEC_PER_MSEC)

#define PARENTS_MAX 65536
#define PARENTS_ASKED 4 /* for one file */

struct analyst {
	const struct analyst_opts *opts;
	struct stream stream;
	struct agg *agg;
	struct session *session;
	struct sym *sym;
	struct pynames *pynames; /* names of Python frames; live only */
	struct v8names *v8names; /* and of JavaScript functions */
	struct java *java; /* tables and names of what Java generates; live only */
	struct map parents; /* of processes: who has their files when they have ended */
	struct unwind *unwind; /* NULL: nothing is unwound for this one */
	u64 unwound_ns; /* when the last table was done, */
	u64 unwind_ns; /* and how long it took */
	struct capture capture;
	struct requests requests;
	struct bind bind;
	u64 start_ns;
	u64 stop_ns; /* 0 until the window stopped */
	u64 last_ns; /* newest record */
	u64 named_ns; /* when names were last asked for */
	u64 progress_ns;
	u64 base_cpu_ns;
	bool started;
	bool ended;
	bool progress_shown;
	bool kallsyms_hidden;
};

/*
 * Probes see a little before the window's start is stamped. What ended by then is outside; what
 * crosses is partial. False: leave it out.
 */
static bool clip(const struct analyst *a, u64 start_ns, u64 end_ns, u32 *flags)
{
	if (!a->started || (end_ns && end_ns < a->start_ns))
		return false;
	if (start_ns && start_ns < a->start_ns)
		*flags |= SPAN_AT_ATTACH;
	return true;
}

static void on_http(void *arg, const struct http_exchange *x)
{
	struct analyst *a = arg;
	struct http_exchange clipped = *x;
	u32 row, number;

	if (!clip(a, x->start_ns, x->end_ns, &clipped.flags))
		return;
	row = agg_http(a->agg, &clipped);
	if (x->role != HP_ROLE_SERVER)
		return;
	number = bind_request(&a->bind, &clipped, row);
	if (number == BIND_IDLE) {
		agg_bound_request(a->agg, row, clipped.end_ns, span_partial(clipped.flags));
		number = 0;
	}
	requests_add(&a->requests, &clipped, number);
}

static void on_db(void *arg, const struct db_call *c)
{
	struct analyst *a = arg;
	struct db_call clipped = *c;

	if (clip(a, c->start_ns, c->end_ns, &clipped.flags))
		bind_call(&a->bind, &clipped, agg_db(a->agg, &clipped));
}

static void on_db_event(void *arg, const struct db_event *e)
{
	agg_db_event(((struct analyst *)arg)->agg, e);
}

static void on_conn(void *arg, const struct conn_info *c)
{
	agg_conn(((struct analyst *)arg)->agg, c);
}

static void on_drop(void *arg, enum hp_drop why, u64 n)
{
	agg_drop(((struct analyst *)arg)->agg, why, n);
}

static void on_verdict(void *arg, u64 conn_id, const struct hp_verdict *v)
{
	struct analyst *a = arg;
	struct chan_request req = { .type = CHAN_VERDICT, .conn_id = conn_id, .verdict = *v };

	if (a->opts->chan_fd >= 0)
		chan_send(a->opts->chan_fd, &req);
}

/* Is this what was mapped? A path, and in a copy of a process a range too, may lead to another file. */
static bool is_mapped_file(int fd, const struct sym_mapping *m)
{
	u8 id[20], n;
	struct stat st;

	if (m->build_id_len)
		return !elf_build_id(fd, id, &n) && n == m->build_id_len &&
		       !memcmp(id, m->build_id, n);
	return !fstat(fd, &st) && (u32)st.st_ino == m->inode;
}

/* As those see it who came before the process, which has ended. */
static int open_by_parents(const struct analyst *a, struct chan_request *req,
			   const struct sym_mapping *m)
{
	const u64 *parent = map_find(&a->parents, req->tgid);
	int fd = -ESRCH, hops;

	for (hops = 0; fd < 0 && parent && hops < PARENTS_ASKED; hops++) {
		req->tgid = (u32)*parent;
		fd = chan_call(a->opts->chan_fd, req);
		if (fd >= 0 && !is_mapped_file(fd, m)) {
			close(fd);
			fd = -ENOENT;
		}
		parent = map_find(&a->parents, req->tgid);
	}
	return fd;
}

static int open_mapping(void *arg, u32 tgid, const struct sym_mapping *m)
{
	struct analyst *a = arg;
	struct chan_request req = {
		.type = CHAN_OPEN_MAPPING,
		.tgid = tgid,
		.start = m->start,
		.end = m->end,
		.inode = m->inode,
	};

	int fd;

	if (m->path.n >= sizeof(req.path))
		return -ENAMETOOLONG;
	memcpy(req.path, m->path.p, m->path.n);
	fd = chan_call(a->opts->chan_fd, &req);
	return fd == -ENOENT || fd == -ESRCH ? open_by_parents(a, &req, m) : fd;
}

static int open_kallsyms(void *arg)
{
	struct chan_request req = { .type = CHAN_OPEN_KALLSYMS };

	return chan_call(((struct analyst *)arg)->opts->chan_fd, &req);
}

static int open_debug(void *arg, u32 tgid, const char *path)
{
	struct chan_request req = { .type = CHAN_OPEN_DEBUG, .tgid = tgid };

	if (strlen(path) >= sizeof(req.path))
		return -ENAMETOOLONG;
	memcpy(req.path, path, strlen(path));
	return chan_call(((struct analyst *)arg)->opts->chan_fd, &req);
}

static int open_perf_map(void *arg, u32 tgid)
{
	struct chan_request req = { .type = CHAN_OPEN_PERF_MAP, .tgid = tgid };

	return chan_call(((struct analyst *)arg)->opts->chan_fd, &req);
}

static const struct sym_ops sym_ops = {
	.open_mapping = open_mapping,
	.open_kallsyms = open_kallsyms,
	.open_debug = open_debug,
	.open_perf_map = open_perf_map,
};

/* A record of the analyst's own: to the aggregates and to the capture. */
static void put_record(struct analyst *a, struct ev_hdr *rec)
{
	agg_record(a->agg, rec);
	if (a->capture.buf)
		capture_write(&a->capture, rec);
}

static struct chan_request unwind_chan(u32 type, const struct unwind_request *m)
{
	struct chan_request req = {
		.type = type,
		.tgid = m->tgid,
		.start = m->start,
		.end = m->end,
		.inode = m->inode,
		.bias = m->bias,
		.table = m->table,
		.flags = m->flags,
		.word = m->word,
	};

	if (m->path.n < sizeof(req.path))
		memcpy(req.path, m->path.p ? m->path.p : "", m->path.n);
	return req;
}

static int unwind_open(void *arg, const struct unwind_request *m)
{
	const struct chan_request req = unwind_chan(CHAN_OPEN_MAPPING, m);

	return chan_call(((struct analyst *)arg)->opts->chan_fd, &req);
}

static int unwind_send(void *arg, int fd)
{
	const struct chan_request req = { .type = CHAN_UNWIND_TABLE };

	return chan_ask(((struct analyst *)arg)->opts->chan_fd, &req, fd);
}

static int unwind_bind(void *arg, const struct unwind_request *m)
{
	const struct chan_request req = unwind_chan(CHAN_UNWIND_MAP, m);

	return chan_ask(((struct analyst *)arg)->opts->chan_fd, &req, -1);
}

static void unwind_python(void *arg, u32 tgid, const struct py_runtime *rt,
			  const struct py_layout *layout)
{
	struct chan_request req = { .type = CHAN_PYTHON, .tgid = tgid };
	struct analyst *a = arg;

	req.python = *rt;
	if (chan_ask(a->opts->chan_fd, &req, -1) > 0)
		pynames_process(a->pynames, tgid, layout);
}

static void unwind_sites(void *arg, const struct unwind_request *m, const struct py_sites *sites)
{
	struct chan_request req = unwind_chan(CHAN_PROBE, m);
	u32 i;

	for (i = 0; i < PY_SITES; i++)
		if (!sites->stepped[i])
			req.sites[i] = sites->off[i];
	chan_send(((struct analyst *)arg)->opts->chan_fd, &req);
}

static void unwind_v8(void *arg, u32 tgid, const struct v8_layout *layout)
{
	const struct chan_request req = { .type = CHAN_CODE,
					  .tgid = tgid,
					  .word = (s8)(layout->fp_function / V8_WORD),
					  .through = (u8)(layout->function_shared / V8_WORD) };
	struct analyst *a = arg;

	if (chan_ask(a->opts->chan_fd, &req, -1) > 0)
		v8names_process(a->v8names, tgid, layout);
}

static void unwind_java(void *arg, u32 tgid, const struct jvm_file *f, u64 bias)
{
	java_process(((struct analyst *)arg)->java, tgid, f, bias);
}

static const struct unwind_ops unwind_ops = {
	.open = unwind_open,
	.send = unwind_send,
	.bind = unwind_bind,
	.python = unwind_python,
	.sites = unwind_sites,
	.v8 = unwind_v8,
	.java = unwind_java,
};

static int read_memory(void *arg, u32 tgid, u64 addr, void *buf, size_t n)
{
	return chan_read(((struct analyst *)arg)->opts->chan_fd, tgid, addr, buf, n);
}

static void put_code(void *arg, struct ev_code *rec)
{
	struct analyst *a = arg;

	rec->hdr.ts_ns = a->last_ns;
	put_record(a, &rec->hdr);
}

static void put_symbol(struct analyst *a, u32 tgid, u64 start, u64 end, struct slice name,
		       struct slice module)
{
	union {
		struct ev_symbol ev;
		char bytes[sizeof(struct ev_symbol) + SYM_NAME_MAX + SYM_MODULE_MAX + 8];
	} rec;
	size_t size;

	name.n = MIN(name.n, (size_t)SYM_NAME_MAX);
	module.n = MIN(module.n, (size_t)SYM_MODULE_MAX);
	memset(&rec, 0, sizeof(rec));
	size = sizeof(rec.ev) + name.n + module.n;
	rec.ev.hdr.size = (size + 7) & ~7UL;
	rec.ev.hdr.kind = EV_SYMBOL;
	rec.ev.hdr.tgid = tgid;
	rec.ev.hdr.ts_ns = a->last_ns;
	rec.ev.start = start;
	rec.ev.end = end;
	rec.ev.name_len = name.n;
	rec.ev.module_len = module.n;
	memcpy(rec.bytes + sizeof(rec.ev), name.p, name.n);
	memcpy(rec.bytes + sizeof(rec.ev) + name.n, module.p, module.n);
	put_record(a, &rec.ev.hdr);
}

static void java_symbol(void *arg, u32 tgid, u64 start, u64 end, struct slice name)
{
	put_symbol(arg, tgid, start, end, name, SLICE("[jit]"));
}

static void java_lines(void *arg, struct ev_lines *rec)
{
	struct analyst *a = arg;

	rec->hdr.ts_ns = a->last_ns;
	put_record(a, &rec->hdr);
}

static const struct java_ops java_ops = {
	.read = read_memory,
	.send = unwind_send,
	.bind = unwind_bind,
	.symbol = java_symbol,
	.lines = java_lines,
	.code = put_code,
};

static const struct v8names_ops v8names_ops = { .read = read_memory, .put = put_code };
static void tell_worker(void *arg, u32 tgid, u64 code, u32 local)
{
	const struct chan_request req = {
		.type = CHAN_PY_WORKER, .tgid = tgid, .start = code, .bias = local
	};

	chan_send(((struct analyst *)arg)->opts->chan_fd, &req);
}

static const struct pynames_ops pynames_ops = {
	.read = read_memory,
	.put = put_code,
	.worker = tell_worker,
};

/* nframes struct ev_frame at `frames`. */
static void name_frames(struct analyst *a, u32 tgid, void *frames, u32 nframes)
{
	if (a->pynames)
		pynames_sample(a->pynames, tgid, frames, nframes);
	if (a->v8names)
		v8names_sample(a->v8names, tgid, frames, nframes, a->last_ns);
	if (a->java)
		java_sample(a->java, tgid, frames, nframes);
}

static void name_wait(struct analyst *a, struct ev_wait *ev)
{
	struct ev_frame *f = (void *)(ev + 1);

	name_frames(a, ev->hdr.tgid, f, ev->nframes);
	if (ev->nwaker)
		name_frames(a, ev->waker_tgid, f + ev->nframes, ev->nwaker);
}

/*
 * Tables are made while nothing else is to be done; when records never stop coming, half of the time.
 */
static void unwind_between(struct analyst *a)
{
	u64 begun;

	while (a->unwind && !a->ended) {
		begun = clock_mono_ns();
		if (!unwind_busy(a->unwind) && !java_busy(a->java, begun))
			return;
		if (stream_ready(&a->stream) && begun < a->unwound_ns + a->unwind_ns)
			return;
		if (unwind_busy(a->unwind))
			unwind_work(a->unwind);
		else
			java_work(a->java);
		a->unwound_ns = clock_mono_ns();
		a->unwind_ns = a->unwound_ns - begun;
	}
}

struct note {
	struct ev_note ev;
	char text[512];
};

static struct ev_hdr *make_note(const struct analyst *a, struct note *rec, const char *text)
{
	size_t n = MIN(strlen(text), sizeof(rec->text) - 8);

	memset(rec, 0, sizeof(*rec));
	rec->ev.hdr.size = (sizeof(rec->ev) + n + 7) & ~7UL;
	rec->ev.hdr.kind = EV_NOTE;
	rec->ev.hdr.ts_ns = a->last_ns;
	rec->ev.len = n;
	memcpy(rec->text, text, n);
	return &rec->ev.hdr;
}

static void put_note(struct analyst *a, const char *text)
{
	struct note rec;

	put_record(a, make_note(a, &rec, text));
}

/* The live report knows everything that the capture left out; a replay has to be told. */
static void note_left_out(struct analyst *a)
{
	struct note rec;
	char text[256];

	snprintf(text, sizeof(text),
		 "the capture reached --max-capture: %llu records are not in it, and every figure "
		 "here is lower than in the live report",
		 (unsigned long long)a->capture.left_out);
	capture_write(&a->capture, make_note(a, &rec, text));
}

static void note_hidden(struct analyst *a)
{
	_release_(buf) struct buf kptr = BUF_INIT;

	if (!file_read("/proc/sys/kernel/kptr_restrict", &kptr, 16) && kptr.n && *kptr.p == '2')
		put_note(a, "kernel functions have no names: kernel.kptr_restrict is 2 and hides "
			    "them from everybody");
	else
		put_note(a, "kernel functions have no names: they take CAP_SYSLOG, which hostprof "
			    "did not have");
}

static void name_address(void *arg, const struct agg_addr *at)
{
	struct analyst *a = arg;
	struct sym_name name;
	int err;

	err = sym_resolve(a->sym, at->tgid, at->addr, &name);
	if (err == -EPERM && !at->tgid && !a->kallsyms_hidden) {
		a->kallsyms_hidden = true;
		note_hidden(a);
	}
	if (name.quality == SYM_MODULE || name.quality == SYM_NONE)
		return; /* the aggregates name it module+offset, and count it as unnamed */
	put_symbol(a, at->tgid, name.start, name.end, name.name, name.module);
}

static void line_address(void *arg, const struct agg_addr *at)
{
	struct analyst *a = arg;
	union {
		struct ev_lines ev;
		char bytes[sizeof(struct ev_lines) +
			   SYM_LINES_MAX * (sizeof(struct ev_line) + 2 * SYM_NAME_MAX) + 8];
	} rec;
	struct sym_line lines[SYM_LINES_MAX];
	u32 i, n = sym_lines(a->sym, at->tgid, at->addr, lines);
	struct ev_line *line = (struct ev_line *)(&rec.ev + 1);
	char *p = (char *)(line + n);
	size_t size;

	if (!n)
		return;
	rec.ev = (struct ev_lines){ .addr = at->addr, .n = n };
	for (i = 0; i < n; i++) {
		line[i] = (struct ev_line){ .line = lines[i].line,
					    .name_len = lines[i].name.n,
					    .file_len = lines[i].file.n };
		p = mempcpy(p, lines[i].name.n ? lines[i].name.p : "", lines[i].name.n);
		p = mempcpy(p, lines[i].file.n ? lines[i].file.p : "", lines[i].file.n);
	}
	memset(p, 0, 8);
	size = (size_t)(p - rec.bytes);
	rec.ev.hdr = (struct ev_hdr){
		.size = (size + 7) & ~7UL, .kind = EV_LINES, .tgid = at->tgid, .ts_ns = a->last_ns
	};
	put_record(a, &rec.ev.hdr);
}

static void name_addresses(struct analyst *a)
{
	sym_refresh(a->sym);
	agg_unnamed(a->agg, name_address, a);
	agg_unlined(a->agg, line_address, a);
}

static u64 own_cpu_ns(void)
{
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	return (use.ru_utime.tv_sec + use.ru_stime.tv_sec) * NSEC_PER_SEC +
	       (use.ru_utime.tv_usec + use.ru_stime.tv_usec) * NSEC_PER_USEC;
}

static void put_cost(struct analyst *a)
{
	struct ev_cost ev = { 0 };
	struct rusage use;

	getrusage(RUSAGE_SELF, &use);
	ev.hdr.size = sizeof(ev);
	ev.hdr.kind = EV_COST;
	ev.hdr.ts_ns = a->last_ns;
	ev.analyst_cpu_ns = own_cpu_ns() - a->base_cpu_ns;
	ev.agent_rss_bytes = (u64)use.ru_maxrss * 1024;
	put_record(a, &ev.hdr);
}

/*
 * From the first whole second on: rates are of whole seconds, and by then the collector has said on
 * the same terminal what it attached to.
 */
static void show_progress(struct analyst *a)
{
	_release_(buf) struct buf line = BUF_INIT, clipped = BUF_INIT;
	struct agg_live live;

	if (a->last_ns - a->start_ns < NSEC_PER_SEC || a->last_ns - a->progress_ns < PROGRESS_NS)
		return;
	a->progress_ns = a->last_ns;
	agg_live(a->agg, &live);
	buf_addf(&line, "%5.1f s  %s requests", (double)(a->last_ns - a->start_ns) / NSEC_PER_SEC,
		 fmt_count(FMT, live.requests));
	/* 0 may as well be that no second is over yet for the sessions. */
	if (live.rate > 0)
		buf_addf(&line, " (%.0f/s, p95 %s)", live.rate, fmt_dur(FMT, live.p95_ns));
	if (live.calls)
		buf_addf(&line, "  %s calls in %s round trips", fmt_count(FMT, live.calls),
			 fmt_count(FMT, live.round_trips));
	/* A line that wraps could not be overwritten. */
	text_clip(&clipped, buf_slice(&line), out_width(STDERR_FILENO) - 1);
	fprintf(stderr, "\r\033[K%.*s", (int)clipped.n, clipped.n ? clipped.p : "");
	fflush(stderr);
	a->progress_shown = true;
}

static void on_window(struct analyst *a, struct ev_window *ev)
{
	if (ev->what == HP_WINDOW_START) {
		a->started = true;
		a->start_ns = ev->hdr.ts_ns;
		a->base_cpu_ns = own_cpu_ns();
	} else if (ev->what == HP_WINDOW_STOP) {
		a->stop_ns = ev->hdr.ts_ns;
	} else if (ev->what == HP_WINDOW_END) {
		if (a->opts->live) {
			/* A runtime may have said meanwhile what it had not when it was asked. */
			agg_ask_again(a->agg);
			name_addresses(a);
			put_cost(a);
		}
		if (a->capture.buf && a->capture.left_out)
			note_left_out(a);
		a->ended = true;
	}
	put_record(a, &ev->hdr);
}

/* What the checks refused does not reach the capture: a replay learns of it from here. */
static void add_refused(const struct analyst *a, struct ev_loss *ev)
{
	__u64 *lost = (__u64 *)(ev + 1);

	if (a->opts->live && ev->n > DROP_BAD_RECORD)
		lost[DROP_BAD_RECORD] += a->stream.bad;
	if (a->pynames && ev->n > DROP_PYTHON_CODE) {
		struct pynames_stats python;

		pynames_get_stats(a->pynames, &python);
		lost[DROP_PYTHON_CODE] += python.failed + python.refused;
	}
	if (a->v8names && ev->n > DROP_V8_FUNCTION) {
		struct v8names_stats v8;

		v8names_get_stats(a->v8names, &v8);
		lost[DROP_V8_FUNCTION] += v8.failed + v8.refused;
	}
}

static void on_record(struct analyst *a, struct ev_hdr *rec)
{
	if (rec->ts_ns > a->last_ns)
		a->last_ns = rec->ts_ns;
	switch (rec->kind) {
	case EV_CONN_OPEN:
	case EV_CONN_STATE:
	case EV_CONN_CLOSE:
	case EV_CONN_BYTES:
	case EV_DATA:
	case EV_CONT:
		session_record(a->session, rec);
		if (a->capture.buf)
			capture_write(&a->capture, rec);
		return;
	case EV_WINDOW:
		on_window(a, (struct ev_window *)rec);
		return;
	case EV_MAPPING:
		if (a->sym) {
			struct ev_mapping *m = (struct ev_mapping *)rec;

			sym_add_mapping(a->sym, m, slice_of(m + 1, m->path_len));
			if (a->unwind)
				unwind_mapping(a->unwind, m, slice_of(m + 1, m->path_len));
		}
		break;
	case EV_LOSS:
		add_refused(a, (struct ev_loss *)rec);
		break;
	case EV_TARGET:
		if (!map_find(&a->parents, rec->tgid) &&
		    ((struct ev_target *)rec)->root_tgid != rec->tgid)
			map_put(&a->parents, rec->tgid, ((struct ev_target *)rec)->root_tgid);
		break;
	case EV_PROC:
		if (((struct ev_proc *)rec)->what == HP_PROC_FORK)
			map_put(&a->parents, rec->tgid, ((struct ev_proc *)rec)->parent_tgid);
		/* Names of its code are gone with the process: ask before. */
		if (a->sym && ((struct ev_proc *)rec)->what == HP_PROC_EXEC)
			sym_forget(a->sym, rec->tgid);
		if (a->unwind && ((struct ev_proc *)rec)->what != HP_PROC_FORK)
			unwind_forget(a->unwind, rec->tgid);
		if (a->pynames && ((struct ev_proc *)rec)->what != HP_PROC_FORK)
			pynames_forget(a->pynames, rec->tgid);
		if (a->v8names && ((struct ev_proc *)rec)->what != HP_PROC_FORK)
			v8names_forget(a->v8names, rec->tgid);
		if (a->java && ((struct ev_proc *)rec)->what != HP_PROC_FORK)
			java_forget(a->java, rec->tgid);
		break;
	case EV_SAMPLE:
		if (a->unwind)
			unwind_sample(a->unwind, (struct ev_sample *)rec);
		name_frames(a, rec->tgid, (struct ev_sample *)rec + 1,
			    ((struct ev_sample *)rec)->nframes);
		break;
	case EV_TASK:
		bind_task(&a->bind, (struct ev_task *)rec);
		break;
	case EV_WAIT:
		name_wait(a, (struct ev_wait *)rec);
		break;
	}
	put_record(a, rec);
}

/* 0 at the stream's end or -errno. */
static int read_stream(struct analyst *a)
{
	struct ev_hdr *rec;
	int err;

	while ((err = stream_next(&a->stream, &rec)) == 1) {
		on_record(a, rec);
		if (a->opts->live && a->started && !a->ended) {
			if (a->opts->common->progress && !a->stop_ns)
				show_progress(a);
			if (a->last_ns - a->named_ns > NSEC_PER_SEC) {
				a->named_ns = a->last_ns;
				name_addresses(a);
			}
		}
		if (a->ended)
			return 0;
		unwind_between(a);
	}
	return err;
}

static void tell_bound(struct analyst *a)
{
	const struct bind *b = &a->bind;
	u32 i, k, n;

	for (i = 0; i < b->nrequests; i++) {
		const struct bind_call *calls = bind_calls_of(b, i + 1, &n);

		agg_bound_request(a->agg, b->requests[i].row, b->requests[i].end_ns,
				  b->requests[i].partial);
		for (k = 0; k < n; k++)
			if (!calls[k].partial)
				agg_bound_call(a->agg, calls[k].query, calls[k].start_ns,
					       calls[k].end_ns, calls[k].trips);
	}
	agg_bound_calls(a->agg, b->bound[BIND_TASK] + b->bound[BIND_THREAD], b->bound[BIND_NONE],
			b->refused + b->lineage.refused);
}

static int finish_report(struct analyst *a)
{
	session_finish(a->session, a->stop_ns ? a->stop_ns : a->last_ns);
	bind_finish(&a->bind);
	tell_bound(a);
	return agg_finish(a->agg);
}

static int write_report(struct analyst *a)
{
	const struct common_opts *common = a->opts->common;
	struct outs *outs = a->opts->outs;
	struct out_opts oo = { .dir = outs ? common->output : NULL };
	_release_(buf) struct buf text = BUF_INIT;
	int err;

	if (outs) {
		err = outs_write(outs, a->agg, common->formats, &oo);
		if (!err && common->formats & OUT_BIT(OUT_NDJSON))
			err = requests_end(&a->requests, a->agg, &a->bind, outs->tmp_fd,
					   outputs[OUT_NDJSON].file);
		if (a->opts->aborted && *a->opts->aborted)
			return EXIT_ABORTED;
		if (!err)
			err = outs_commit(outs);
		if (err) {
			log_err("%s", outs->err[0] ? outs->err : strerror(-err));
			return EXIT_FAILED;
		}
	} else if (a->opts->aborted && *a->opts->aborted) {
		return EXIT_ABORTED;
	}
	if (common->json) {
		err = out_summary(a->agg, &text, &oo);
	} else if (!common->quiet) {
		oo.width = out_width(STDOUT_FILENO);
		oo.color = out_use_color(STDOUT_FILENO, !common->color);
		err = out_text(a->agg, &text, &oo);
	} else {
		return EXIT_OK;
	}
	if (err) {
		log_err("cannot write the summary: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return cmd_print(&text);
}

static void stream_error(struct analyst *a, int err)
{
	const char *text = NULL;

	if (err == 0 || err == -ENODATA)
		text = "the capture ends early: the figures cover what is whole";
	else if (err == -EPROTO)
		text = "the capture is damaged: the figures cover what comes before the damage";
	if (!text)
		return;
	put_note(a, text);
	/* The summary on the terminal begins with it. */
	if (a->opts->common->json)
		log_warn("%s", text);
}

static int analyst_setup(struct analyst *a)
{
	const struct analyst_opts *o = a->opts;
	const struct session_opts so = { .show_literals = o->show_literals,
					 .no_http = o->no_http,
					 .no_db = o->no_db };
	const struct session_sink sink = {
		.arg = a,
		.http = on_http,
		.db = on_db,
		.db_event = on_db_event,
		.conn = on_conn,
		.drop = on_drop,
		.verdict = on_verdict,
	};
	int err;

	a->requests.fd = -1;
	map_init(&a->parents, PARENTS_MAX);
	bind_init(&a->bind);
	a->capture.fd = -1;
	err = stream_init(&a->stream, o->stream_fd);
	if (!err)
		err = agg_new(&a->agg, &(struct agg_opts){ .one_process = o->one_process });
	if (!err)
		err = session_new(&a->session, &so, &sink);
	if (!err && o->live)
		err = sym_new(&a->sym, &sym_ops, a);
	if (!err && o->live)
		err = pynames_new(&a->pynames, &pynames_ops, a);
	if (!err && o->live)
		err = v8names_new(&a->v8names, &v8names_ops, a);
	if (!err && o->live)
		err = java_new(&a->java, &java_ops, a);
	if (!err && o->live)
		err = unwind_new(&a->unwind, &unwind_ops, a, geteuid() ? NULL : UNWIND_CACHE_DIR);
	if (err)
		return err;
	if (o->outs && o->common->formats & OUT_BIT(OUT_NDJSON)) {
		err = requests_begin(&a->requests, o->outs->tmp_fd);
		if (err)
			return err;
	}
	if (o->outs && o->live)
		err = capture_create(&a->capture, o->outs->tmp_fd, OUT_CAPTURE_FILE, o->max_capture,
				     (o->show_literals ? CAPTURE_LITERALS : 0) |
					     (o->no_http ? CAPTURE_NO_HTTP : 0) |
					     (o->no_db ? CAPTURE_NO_DB : 0));
	return err;
}

/* To the end of the stream. EXIT_OK: a->agg is finished. Errors are logged. */
static int analyst_read(struct analyst *a)
{
	const struct analyst_opts *opts = a->opts;
	int err = analyst_setup(a);

	if (err) {
		log_err("cannot start: %s", strerror(-err));
		return EXIT_FAILED;
	}
	err = read_stream(a);
	if (a->progress_shown)
		fputs("\r\033[K", stderr);
	if (!a->ended && opts->live)
		return EXIT_FAILED; /* the collector failed or was killed: it has said why, or cannot */
	if (err && err != -ENODATA && err != -EPROTO) {
		log_err("cannot read the capture: %s", strerror(-err));
		return EXIT_FAILED;
	}
	if (!a->ended && !a->started) {
		log_err("the capture holds nothing: it ends before the window begins");
		return EXIT_FAILED;
	}
	if (a->stream.bad && !opts->live)
		agg_drop(a->agg, DROP_BAD_RECORD, a->stream.bad);
	if (!a->ended)
		stream_error(a, err);
	if (a->capture.left_out)
		agg_drop(a->agg, DROP_CAPTURE_FULL, a->capture.left_out);
	err = capture_close(&a->capture);
	if (err) {
		log_err("cannot write the capture: %s; free some space or use -o DIR elsewhere",
			strerror(-err));
		return EXIT_FAILED;
	}
	err = finish_report(a);
	if (err) {
		log_err("cannot finish the report: %s", strerror(-err));
		return EXIT_FAILED;
	}
	return EXIT_OK;
}

static void analyst_release(struct analyst *a)
{
	capture_close(&a->capture);
	requests_release(&a->requests);
	sym_free(a->sym);
	map_release(&a->parents);
	unwind_free(a->unwind);
	pynames_free(a->pynames);
	bind_release(&a->bind);
	v8names_free(a->v8names);
	java_free(a->java);
	session_free(a->session);
	agg_free(a->agg);
	stream_release(&a->stream);
}

int analyst_run(const struct analyst_opts *opts)
{
	_release_(analyst) struct analyst a = { .opts = opts };
	int status = analyst_read(&a);

	return status == EXIT_OK ? write_report(&a) : status;
}

int analyst_load(const struct analyst_opts *opts, struct agg **ret)
{
	_release_(analyst) struct analyst a = { .opts = opts };
	int status = analyst_read(&a);

	if (status == EXIT_OK)
		*ret = take_ptr(a.agg);
	return status;
}
