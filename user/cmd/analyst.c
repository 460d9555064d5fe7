/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See analyst.h. One record at a time: sessions parse and mask it, then it goes to the capture, and
 * everything the report says is derived from it. Names for sampled addresses are asked for about
 * once a second (naming.h).
 */
#include "cmd/analyst.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "bind/bind.h"
#include "cmd/naming.h"
#include "decode/capture.h"
#include "decode/channel.h"
#include "decode/record.h"
#include "decode/stream.h"
#include "ledger/ledger.h"
#include "out/fmt.h"
#include "out/requests.h"
#include "session/session.h"

#define PROGRESS_NS (200 * NSEC_PER_MSEC)

struct analyst {
	const struct analyst_opts *opts;
	struct stream stream;
	struct agg *agg;
	struct session *session;
	struct naming naming; /* live only */
	struct capture capture;
	struct requests requests;
	struct bind bind;
	struct ledger ledger;
	u32 served; /* requests, by which ledger and rows of requests know them */
	u64 start_ns;
	u64 stop_ns; /* 0 until the window stopped */
	u64 last_ns; /* newest record */
	u64 named_ns; /* when names were last asked for */
	u64 progress_ns;
	u64 base_cpu_ns;
	bool started;
	bool ended;
	bool progress_shown;
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
	if (x->role != HP_ROLE_SERVER) {
		ledger_external(&a->ledger, &clipped);
		return;
	}
	number = bind_request(&a->bind, &clipped, row);
	if (number == BIND_IDLE) {
		agg_bound_request(a->agg, row, clipped.end_ns, span_partial(clipped.flags));
		number = 0;
	}
	requests_add(&a->requests, &clipped, number, ++a->served);
	ledger_request(&a->ledger, &clipped, row, a->served);
}

static void on_db(void *arg, const struct db_call *c)
{
	struct analyst *a = arg;
	struct db_call clipped = *c;

	if (!clip(a, c->start_ns, c->end_ns, &clipped.flags))
		return;
	bind_call(&a->bind, &clipped, agg_db(a->agg, &clipped));
	ledger_db(&a->ledger, &clipped);
}

static void on_split(void *arg, const struct ledger_split *s)
{
	agg_ledger(((struct analyst *)arg)->agg, s);
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

/* A record of the analyst's own: to the aggregates and to the capture. */
static void put_record(struct analyst *a, struct ev_hdr *rec)
{
	agg_record(a->agg, rec);
	if (a->capture.buf)
		capture_write(&a->capture, rec);
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

static void naming_put(void *arg, struct ev_hdr *rec)
{
	put_record(arg, rec);
}

static void naming_note(void *arg, const char *text)
{
	put_note(arg, text);
}

static const struct naming_ops naming_ops = { .put = naming_put, .note = naming_note };

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
			naming_addresses(&a->naming, a->agg);
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
	naming_losses(&a->naming, ev);
}

static void on_record(struct analyst *a, struct ev_hdr *rec)
{
	if (rec->ts_ns > a->last_ns)
		a->last_ns = rec->ts_ns;
	naming_record(&a->naming, rec);
	switch (rec->kind) {
	case EV_CONN_OPEN:
	case EV_CONN_STATE:
	case EV_CONN_CLOSE:
	case EV_CONN_BYTES:
	case EV_DATA:
	case EV_CONT:
		ledger_record(&a->ledger, rec);
		session_record(a->session, rec);
		if (a->capture.buf)
			capture_write(&a->capture, rec);
		return;
	case EV_WINDOW:
		on_window(a, (struct ev_window *)rec);
		return;
	case EV_LOSS:
		add_refused(a, (struct ev_loss *)rec);
		break;
	case EV_TASK:
		bind_task(&a->bind, (struct ev_task *)rec);
		break;
	case EV_STEP:
		ledger_record(&a->ledger, rec);
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
				naming_addresses(&a->naming, a->agg);
			}
		}
		if (a->ended)
			return 0;
		naming_work(&a->naming, &a->stream);
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
	ledger_finish(&a->ledger);
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
	bind_init(&a->bind);
	a->capture.fd = -1;
	err = ledger_init(&a->ledger, &a->bind.lineage, &a->bind.loops, on_split, a);
	if (!err)
		err = stream_init(&a->stream, o->stream_fd);
	if (!err)
		err = agg_new(&a->agg, &(struct agg_opts){ .one_process = o->one_process });
	if (!err)
		err = session_new(&a->session, &so, &sink);
	if (!err && o->live)
		err = naming_begin(&a->naming, &naming_ops, a, o->chan_fd);
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
	naming_release(&a->naming);
	ledger_release(&a->ledger);
	bind_release(&a->bind);
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
