/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The summary on the terminal: about ten lines that say what to look at. What hides part of the
 * picture (encrypted database traffic) comes first, then rate and latency, what is slow, what fails,
 * what it cost to measure, where the files are.
 *
 * A line is a label, a name that is cut to fit, and figures at the right end that never are. No line
 * is wider than the terminal; foreign bytes cannot steer it, see text_next().
 */
#include "out/outs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "out/facts.h"
#include "out/fmt.h"

#define LABEL 9 /* columns of the label and the blank after it */
#define LINES 10
#define WIDTH_MIN 40
#define WIDTH_MAX 200

#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define DIM "\033[2m"
#define PLAIN ""

struct text {
	struct buf *out;
	unsigned width;
	bool color;
};

bool out_use_color(int fd, bool no_color)
{
	const char *off = getenv("NO_COLOR"), *term = getenv("TERM");

	return !no_color && !(off && *off) && isatty(fd) && term && strcmp(term, "dumb") != 0;
}

unsigned out_width(int fd)
{
	struct winsize w;

	if (ioctl(fd, TIOCGWINSZ, &w) || !w.ws_col)
		return 80;
	return MAX(WIDTH_MIN, MIN(w.ws_col, WIDTH_MAX));
}

static void styled(struct text *t, const char *style, struct slice s, size_t cells)
{
	if (t->color && *style)
		buf_adds(t->out, style);
	text_clip(t->out, s, cells);
	if (t->color && *style)
		buf_adds(t->out, "\033[0m");
}

static size_t columns(struct slice s)
{
	size_t off = 0, n = 0;
	u32 cp;

	while (off < s.n) {
		off = text_next(s, off, &cp);
		n += text_cells(cp);
	}
	return n;
}

/* "label    name            figures": figures keep their width as long as the line has it. */
static void row(struct text *t, const char *label, const char *style, struct slice name,
		struct slice figures)
{
	size_t room = t->width - LABEL, fig = MIN(columns(figures), room), used;
	size_t name_room = room - fig > 2 && fig ? room - fig - 2 : fig ? 0 : room;

	if (t->color)
		buf_adds(t->out, DIM);
	buf_addf(t->out, "%-*s", LABEL, label);
	if (t->color)
		buf_adds(t->out, "\033[0m");
	used = MIN(columns(name), name_room);
	styled(t, style, name, name_room);
	if (fig) {
		buf_addf(t->out, "%*s", (int)(room - fig - used), "");
		styled(t, PLAIN, figures, fig);
	}
	buf_addch(t->out, '\n');
}

static void line(struct text *t, const char *label, const char *style, const struct buf *text)
{
	row(t, label, style, buf_slice(text), (struct slice){ 0 });
}

/* For lists at a line's end: an entry is there whole or not at all. The first may be cut. */
static bool add_fits(struct text *t, struct buf *b, const struct buf *entry, bool first)
{
	if (!first && columns(buf_slice(b)) + columns(buf_slice(entry)) > t->width - LABEL)
		return false;
	buf_add_slice(b, buf_slice(entry));
	return true;
}

/* Two lines: what cannot be seen, and how to see it. */
static void encrypted(struct text *t, const struct facts_tls *tls)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_addf(&b, "%s connection%s to %s %s %s encrypted, queries unseen",
		 fmt_count(FMT, tls->conns), tls->conns == 1 ? "" : "s", tls->system, tls->peer,
		 tls->conns == 1 ? "is" : "are");
	if (tls->peers > 1)
		buf_addf(&b, " (%u more peers)", tls->peers - 1);
	line(t, "HIDDEN", RED, &b);
	buf_clear(&b);
	buf_addf(&b, "to see them, %s", tls->fix);
	line(t, "", PLAIN, &b);
}

static void headline(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	double s = rep->window.duration_s;

	if (!rep->requests) {
		buf_addf(&b, "none in %s; %s connections seen, %s understood",
			 fmt_dur(FMT, s * 1e9), fmt_count(FMT, rep->trust.conns.seen),
			 fmt_count(FMT, rep->trust.conns.parsed));
		line(t, "requests", BOLD, &b);
		return;
	}
	buf_addf(&b, "%s/s  p50 %s  p95 %s  p99 %s  (%s in %s)",
		 fmt_rate(FMT, s > 0 ? (double)rep->requests / s : 0),
		 fmt_dur(FMT, hist_quantile(&rep->latency, 0.5)),
		 fmt_dur(FMT, hist_quantile(&rep->latency, 0.95)),
		 fmt_dur(FMT, hist_quantile(&rep->latency, 0.99)), fmt_count(FMT, rep->requests),
		 fmt_dur(FMT, s * 1e9));
	line(t, "requests", BOLD, &b);
}

/* By p95, but only what matters: 1 % of all request time or more. */
static double slow_key(const struct agg_report *rep, u32 i)
{
	const struct agg_endpoint *e = rep->endpoints[i];

	return e->latency.sum * 100 >= rep->latency.sum ? hist_quantile(&e->latency, 0.95) : 0;
}

static void endpoint(struct text *t, const char *label, const struct agg_report *rep,
		     const struct agg_endpoint *e)
{
	_release_(buf) struct buf name = BUF_INIT;
	_release_(buf) struct buf fig = BUF_INIT;
	double all = facts_all_endpoint_time(rep);

	buf_addf(&name, "%s%s%s", e->method, *e->method ? " " : "", e->route);
	buf_addf(&fig, "p50 %s  p95 %s  ×%s  %s of time",
		 fmt_dur(FMT, hist_quantile(&e->latency, 0.5)),
		 fmt_dur(FMT, hist_quantile(&e->latency, 0.95)), fmt_count(FMT, e->count),
		 fmt_pct(FMT, all > 0 ? e->latency.sum / all : 0));
	row(t, label, PLAIN, buf_slice(&name), buf_slice(&fig));
}

static double error_key(const struct agg_report *rep, u32 i)
{
	return (double)(rep->endpoints[i]->errors + rep->endpoints[i]->aborted);
}

static void errors(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	u32 worst[2], n, i;

	if (!rep->errors && !rep->aborted && !rep->call_errors) {
		buf_addf(&b, "none (no status ≥ 500, no answer cut off, no failed query)");
		line(t, "errors", PLAIN, &b);
		return;
	}
	if (rep->errors)
		buf_addf(&b, "%s of %s requests", fmt_count(FMT, rep->errors),
			 fmt_count(FMT, rep->requests));
	if (rep->aborted)
		buf_addf(&b, "%s%s cut off", b.n ? ", " : "", fmt_count(FMT, rep->aborted));
	if (rep->call_errors)
		buf_addf(&b, "%s%s of %s queries", b.n ? ", " : "",
			 fmt_count(FMT, rep->call_errors), fmt_count(FMT, rep->calls));
	n = facts_rank(rep, rep->nendpoints, error_key, ARRAY_SIZE(worst), worst);
	for (i = 0; i < n; i++) {
		const struct agg_endpoint *e = rep->endpoints[worst[i]];
		_release_(buf) struct buf entry = BUF_INIT;

		buf_addf(&entry, "%s%s%s%s ×%s", i ? ", " : ": ", e->method, *e->method ? " " : "",
			 e->route, fmt_count(FMT, e->errors + e->aborted));
		if (!add_fits(t, &b, &entry, false))
			break;
	}
	line(t, "errors", RED, &b);
}

static void query(struct text *t, const char *label, const struct agg_report *rep,
		  const struct agg_query *q)
{
	_release_(buf) struct buf fig = BUF_INIT;
	double all = facts_all_query_time(rep);

	buf_addf(&fig, "p95 %s  ×%s  total %s (%s)", fmt_dur(FMT, hist_quantile(&q->latency, 0.95)),
		 fmt_count(FMT, q->count), fmt_dur(FMT, q->latency.sum),
		 fmt_pct(FMT, all > 0 ? q->latency.sum / all : 0));
	row(t, label, PLAIN, slice_str(q->statement), buf_slice(&fig));
}

static void external(struct text *t, const struct agg_external *e)
{
	_release_(buf) struct buf name = BUF_INIT;
	_release_(buf) struct buf fig = BUF_INIT;

	buf_addf(&name, "%s%s%s%s", e->method, *e->method ? " " : "", e->peer, e->route);
	buf_addf(&fig, "p95 %s  ×%s  %s errors  %s timeouts",
		 fmt_dur(FMT, hist_quantile(&e->latency, 0.95)), fmt_count(FMT, e->count),
		 fmt_count(FMT, e->errors), fmt_count(FMT, e->timeouts));
	row(t, "external", PLAIN, buf_slice(&name), buf_slice(&fig));
}

static void cpu(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	u32 i;

	if (rep->resources.samples)
		buf_addf(&b, "%.2f cores, %s", rep->resources.cpu_ratio.mean,
			 fmt_bytes(FMT, rep->resources.rss_bytes.max));
	else if (rep->window.sample_hz && rep->window.duration_s > 0)
		buf_addf(&b, "%.2f cores", rep->cpu.on_cpu_s / rep->window.duration_s);
	if (!rep->window.sample_hz)
		buf_addf(&b, "%snot sampled", b.n ? "; " : "");
	for (i = 0; i < MIN(rep->cpu.ntop, 3); i++) {
		_release_(buf) struct buf entry = BUF_INIT;

		buf_addf(&entry, "%s%s %s",
			 i     ? ", "
			 : b.n ? "; top "
			       : "top ",
			 rep->cpu.top[i].text, fmt_pct(FMT, rep->cpu.top[i].self_ratio));
		if (!rep->cpu.top[i].self || !add_fits(t, &b, &entry, !i))
			break;
	}
	line(t, "cpu", PLAIN, &b);
}

static void trust(struct text *t, const struct agg_report *rep)
{
	const struct agg_trust *tr = &rep->trust;
	_release_(buf) struct buf b = BUF_INIT;
	u64 lost = tr->lost_events;

	if (lost)
		buf_addf(&b, "lost %s event%s", fmt_count(FMT, lost), lost == 1 ? "" : "s");
	else
		buf_addf(&b, "no event lost");
	if (tr->conns.unparsed || tr->conns.encrypted)
		buf_addf(&b, ", unread %s of %s connections",
			 fmt_count(FMT, tr->conns.unparsed + tr->conns.encrypted),
			 fmt_count(FMT, tr->conns.seen));
	if (tr->overhead.measured && tr->overhead.target_ratio >= 0)
		buf_addf(&b, "; cost %s, %.2f cores", fmt_pct(FMT, tr->overhead.target_ratio),
			 tr->overhead.agent_cores);
	else
		buf_addf(&b, "; own cost %.2f cores", tr->overhead.agent_cores);
	if (!rep->window.complete)
		buf_adds(&b, "; the capture was cut");
	line(t, "trust", lost || !rep->window.complete ? RED : PLAIN, &b);
}

static void files(struct text *t, const struct agg_report *rep, const struct out_opts *opts)
{
	_release_(buf) struct buf b = BUF_INIT;
	u32 i;

	buf_addf(&b, "%s%s", opts->dir, opts->dir[strlen(opts->dir) - 1] == '/' ? "" : "/");
	for (i = 0; i <= OUT_FORMATS; i++) {
		_release_(buf) struct buf entry = BUF_INIT;

		if (i < OUT_FORMATS && (!(opts->formats & OUT_BIT(i)) ||
					(outputs[i].wanted && !outputs[i].wanted(rep))))
			continue;
		if (i == OUT_FORMATS && !opts->capture)
			continue;
		buf_addf(&entry, " %s", i < OUT_FORMATS ? outputs[i].file : OUT_CAPTURE_FILE);
		if (!add_fits(t, &b, &entry, false))
			break;
	}
	line(t, "files", PLAIN, &b);
}

int out_text(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	struct text t = { out, opts->width ? MAX(opts->width, WIDTH_MIN) : 80, opts->color };
	u32 slow[LINES], costly[LINES], ext[1], nslow, ncostly, next, i;
	struct facts_tls tls;
	bool hidden = facts_encrypted(rep, &tls);
	u32 left;

	nslow = facts_rank(rep, rep->nendpoints, slow_key, 3, slow);
	ncostly = facts_rank(rep, rep->nqueries, facts_query_time, 3, costly);
	next = facts_rank(rep, rep->nexternal, facts_external_time, 1, ext);
	/* What the fixed lines leave is shared by endpoints and queries. */
	left = LINES - 4 - (hidden ? 2 : 0) - next - (opts->dir ? 1 : 0);
	ncostly = MIN(ncostly, MAX(left / 2, left - MIN(nslow, left)));
	nslow = MIN(nslow, left - ncostly);

	if (hidden)
		encrypted(&t, &tls);
	headline(&t, rep);
	for (i = 0; i < nslow; i++)
		endpoint(&t, i ? "" : "slowest", rep, rep->endpoints[slow[i]]);
	errors(&t, rep);
	for (i = 0; i < ncostly; i++)
		query(&t, i ? "" : "queries", rep, rep->queries[costly[i]]);
	if (next)
		external(&t, rep->external[ext[0]]);
	cpu(&t, rep);
	trust(&t, rep);
	if (opts->dir && *opts->dir)
		files(&t, rep, opts);
	return out->oom ? -ENOMEM : 0;
}
