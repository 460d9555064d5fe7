/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The summary on the terminal: about ten lines that say what to look at. What hides part of the
 * picture (encrypted database traffic) comes first, then rate and latency, what is slow, what fails,
 * what it cost to measure, where the files are.
 *
 * A line is a label and a text, or a label, a name and figures. Figures are never cut; they stand in
 * columns behind the longest name of their group, and names that leave them no room lose their middle.
 * No line is wider than the terminal; foreign bytes cannot steer it, see text_next().
 */
#include "out/outs.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "out/facts.h"
#include "out/fmt.h"
#include "out/ledger.h"

#define LABEL 9 /* columns of the label and the blank after it */
#define LINES 11
#define LINES_MAX 12 /* when there is much to say beside endpoints and queries */
#define ROWS 3 /* of endpoints and of queries, at most */
#define NAME_MIN 7 /* columns a name keeps while there are figures to drop */
#define CELLS 4 /* figures of a row */
#define REFUSED_MANY 0.01 /* of all requests answered 4xx: then it is said */
#define TOP_SAMPLES_MIN 20 /* of fewer a share says little: 5 % may be anything up to 25 % */
#define STUCK_S 1.0 /* a request that waits for longer is said */
#define PREPARED_MANY 0.1 /* of database time without text: then it is said */
#define WIDTH_MIN 40
#define WIDTH_MAX 200

#define BOLD "\033[1m"
#define RED "\033[1;31m"
#define DIM "\033[2m"
#define PLAIN "\033[0m"

struct text {
	struct buf *out;
	unsigned width;
	bool color;
};

struct row {
	struct buf name;
	struct buf figure[CELLS];
};

/* Rows whose figures share their columns. */
struct group {
	struct row row[ROWS];
	u32 n;
	bool spare; /* whole names are worth more than the first figure */
};

static void group_release(struct group *g)
{
	u32 i, k;

	for (i = 0; i < ROWS; i++) {
		buf_release(&g->row[i].name);
		for (k = 0; k < CELLS; k++)
			buf_release(&g->row[i].figure[k]);
	}
}

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

static void put_label(struct text *t, const char *label)
{
	buf_addf(t->out, "%s%-*s%s", t->color ? DIM : "", LABEL, label, t->color ? PLAIN : "");
}

static void line(struct text *t, const char *label, const char *style, const struct buf *text)
{
	put_label(t, label);
	if (t->color)
		buf_adds(t->out, style);
	text_clip(t->out, buf_slice(text), t->width - LABEL);
	if (t->color && *style)
		buf_adds(t->out, PLAIN);
	buf_addch(t->out, '\n');
}

/* Two columns between cells. */
static size_t cell_width(const struct group *g, u32 cell)
{
	size_t widest = 0;
	u32 i;

	for (i = 0; i < g->n; i++)
		widest = MAX(widest, text_columns(buf_slice(&g->row[i].figure[cell])));
	return widest ? widest + 2 : 0;
}

/* "label    name  figures" a row; labels[i] stands before row i. */
static void group(struct text *t, const char *const labels[ROWS], struct group *g)
{
	size_t room = t->width - LABEL, name = 0, all = 0, width[CELLS], used;
	u32 i, k, first = 0;

	for (i = 0; i < g->n; i++)
		name = MAX(name, text_columns(buf_slice(&g->row[i].name)));
	for (k = 0; k < CELLS; k++)
		all += width[k] = cell_width(g, k);
	for (; first + 1 < CELLS; first++) {
		if (all + (g->spare && !first ? name : MIN(name, NAME_MIN)) <= room)
			break;
		all -= width[first];
	}
	name = MIN(name, room > all ? room - all : 0);
	for (i = 0; i < g->n; i++) {
		put_label(t, labels[i]);
		used = text_clip_middle(t->out, buf_slice(&g->row[i].name), name);
		buf_addf(t->out, "%*s", (int)(name - used), "");
		for (k = first; k < CELLS; k++) {
			struct slice s = buf_slice(&g->row[i].figure[k]);

			if (!width[k])
				continue;
			buf_adds(t->out, "  ");
			used = text_clip(t->out, s, room) + 2;
			if (k + 1 < CELLS)
				buf_addf(t->out, "%*s", (int)(width[k] - used), "");
		}
		buf_addch(t->out, '\n');
	}
}

/* For lists at a line's end: an entry is there whole or not at all. The first may be cut. */
static bool add_fits(struct text *t, struct buf *b, const struct buf *entry, bool first)
{
	if (!first &&
	    text_columns(buf_slice(b)) + text_columns(buf_slice(entry)) > t->width - LABEL)
		return false;
	buf_add_slice(b, buf_slice(entry));
	return true;
}

/* Over as many lines as it takes, cut at blanks. Returns how many. */
static u32 wrapped(struct text *t, const char *label, const char *style, const struct buf *text)
{
	struct slice rest = buf_slice(text);
	u32 lines = 0;

	do {
		_release_(buf) struct buf part = BUF_INIT;
		size_t end = 0, at, columns = 0;
		u32 cp;

		for (at = 0; at < rest.n; at = text_next(rest, at, &cp), columns++) {
			if (columns > t->width - LABEL && end)
				break;
			if (at && rest.p[at] == ' ')
				end = at;
		}
		if (at >= rest.n && columns <= t->width - LABEL)
			end = rest.n;
		end = end ? end : rest.n;
		buf_add_slice(&part, slice_of(rest.p, end));
		line(t, lines ? "" : label, style, &part);
		lines++;
		end += end < rest.n;
		rest = slice_of(rest.p + end, rest.n - end);
	} while (rest.n);
	return lines;
}

/* What was not measured has no figures, least of all zeros. Returns the lines. */
static u32 unmeasured(struct text *t, const struct agg_report *rep)
{
	const struct agg_trust *tr = &rep->trust;
	_release_(buf) struct buf b = BUF_INIT;

	if (*tr->no_sockets)
		buf_addf(&b, "requests, queries, outgoing calls: %s", tr->no_sockets);
	else if (*tr->no_http)
		buf_addf(&b, "requests: %s", tr->no_http);
	else if (*tr->no_db)
		buf_addf(&b, "queries: %s", tr->no_db);
	else
		return 0;
	return wrapped(t, *tr->no_sockets ? "NOT SEEN" : "not seen", *tr->no_sockets ? RED : "",
		       &b);
}

/* All figures below cover less than was asked for. */
static void cut(struct text *t)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_adds(&b, "the capture was cut: this is the part that is whole");
	line(t, "WARNING", RED, &b);
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
	line(t, "", "", &b);
}

static bool all_ended(const struct agg_report *rep)
{
	u32 i;

	for (i = 0; i < rep->ntargets && rep->targets[i].exited; i++)
		;
	return i && i == rep->ntargets;
}

static void ended(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_addf(&b, "%s after %s", rep->ntargets > 1 ? "all have ended" : "ended",
		 fmt_dur(FMT, rep->window.duration_s * 1e9));
	line(t, rep->ntargets > 1 ? "targets" : "target", RED, &b);
}

/* What hangs: lines that were written. What a quick server has in hand when the window ends is no news. */
static u32 stuck(struct text *t, const struct agg_report *rep)
{
	const struct agg_stuck *s = &rep->stuck;
	_release_(buf) struct buf b = BUF_INIT;
	u32 n = 0;

	if (s->oldest_s > STUCK_S && (!rep->requests || s->oldest_s * 1e9 > rep->latency.max)) {
		buf_addf(&b, "%s request%s came and %s not answered, the first %s ago",
			 fmt_count(FMT, s->requests), s->requests == 1 ? "" : "s",
			 s->requests == 1 ? "was" : "were", fmt_dur(FMT, s->oldest_s * 1e9));
		if (*s->oldest)
			buf_addf(&b, ": %s", s->oldest);
		else if (s->unread)
			buf_addf(&b, "; %s not even read", fmt_count(FMT, s->unread));
		line(t, "stuck", RED, &b);
		n++;
	}
	if (s->before) {
		buf_clear(&b);
		buf_addf(&b, "%s connection%s waited for an answer all the time, and before",
			 fmt_count(FMT, s->before), s->before == 1 ? "" : "s");
		line(t, n ? "" : "stuck", RED, &b);
		n++;
	}
	return n;
}

static void headline(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	double s = rep->window.duration_s;

	if (*rep->trust.no_http) {
		buf_addf(&b, "not measured (%s)", fmt_dur(FMT, s * 1e9));
		line(t, "requests", BOLD, &b);
		return;
	}
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

static void endpoint_name(const struct agg_report *rep, const struct agg_endpoint *e,
			  struct buf *out)
{
	facts_endpoint_name(e, out);
	facts_target_tag(rep, e->target, out);
}

/* By p95, but only what matters: 1 % of all request time or more. */
static double slow_key(const struct agg_report *rep, u32 i)
{
	const struct agg_endpoint *e = rep->endpoints[i];

	return e->latency.sum * 100 >= rep->latency.sum ? hist_quantile(&e->latency, 0.95) : 0;
}

static void endpoints(struct text *t, const struct agg_report *rep, const u32 *rows, u32 n)
{
	static const char *const labels[ROWS] = { "slowest", "by p95", "" };
	_release_(group) struct group g = { .n = n, .spare = true };
	double all = facts_all_endpoint_time(rep);
	u32 i;

	for (i = 0; i < n; i++) {
		const struct agg_endpoint *e = rep->endpoints[rows[i]];
		struct row *r = &g.row[i];

		endpoint_name(rep, e, &r->name);
		buf_addf(&r->figure[0], "p50 %s", fmt_dur(FMT, hist_quantile(&e->latency, 0.5)));
		buf_addf(&r->figure[1], "p95 %s", fmt_dur(FMT, hist_quantile(&e->latency, 0.95)));
		buf_addf(&r->figure[2], "×%s", fmt_count(FMT, e->count));
		buf_addf(&r->figure[3], "%s of time",
			 fmt_pct(FMT, all > 0 ? e->latency.sum / all : 0));
	}
	group(t, labels, &g);
}

static double error_key(const struct agg_report *rep, u32 i)
{
	return (double)(rep->endpoints[i]->errors + rep->endpoints[i]->aborted);
}

static void errors(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	u64 failed = facts_all_failed(rep), others = rep->errors + rep->aborted + rep->call_errors;
	u32 worst[2], n, i;

	if (*rep->trust.no_sockets) {
		buf_adds(&b, "not measured");
		line(t, "errors", "", &b);
		return;
	}
	if (!rep->errors && !rep->aborted && !rep->call_errors && !failed) {
		buf_addf(&b, "none (%sno failed %scall)",
			 *rep->trust.no_http ? "" : "no status ≥ 500, no answer cut off, ",
			 *rep->trust.no_db ? "" : "query or ");
		line(t, "errors", "", &b);
		return;
	}
	if (rep->errors)
		buf_addf(&b, "%s of %s requests", fmt_count(FMT, rep->errors),
			 fmt_count(FMT, rep->requests));
	if (rep->aborted)
		buf_addf(&b, "%s%s cut off", b.n ? ", " : "", fmt_count(FMT, rep->aborted));
	if (rep->call_errors)
		buf_addf(&b, "%s%s of %s database calls", b.n ? ", " : "",
			 fmt_count(FMT, rep->call_errors), fmt_count(FMT, rep->calls));
	if (failed && !b.n)
		buf_addf(&b, "%s outgoing call%s failed", fmt_count(FMT, failed),
			 failed == 1 ? "" : "s");
	n = facts_rank(rep, rep->nendpoints, error_key, ARRAY_SIZE(worst), worst);
	for (i = 0; i < n; i++) {
		const struct agg_endpoint *e = rep->endpoints[worst[i]];
		_release_(buf) struct buf entry = BUF_INIT;

		buf_adds(&entry, i ? ", " : ": ");
		endpoint_name(rep, e, &entry);
		buf_addf(&entry, " ×%s", fmt_count(FMT, e->errors + e->aborted));
		if (!add_fits(t, &b, &entry, false))
			break;
	}
	if (failed && others) {
		_release_(buf) struct buf entry = BUF_INIT;

		/* Without room for it the row of the one that fails most tells. */
		buf_addf(&entry, "; %s outgoing call%s", fmt_count(FMT, failed),
			 failed == 1 ? "" : "s");
		add_fits(t, &b, &entry, false);
	}
	line(t, "errors", RED, &b);
}

/* The endpoint that all requests together spend most time in. */
static bool time_row(const struct agg_report *rep, u32 *ret)
{
	return facts_rank(rep, rep->nendpoints, facts_endpoint_time, 1, ret) &&
	       rep->endpoints[*ret]->ledger;
}

static void where(struct text *t, const struct agg_report *rep, u32 row)
{
	_release_(buf) struct buf b = BUF_INIT, words = BUF_INIT;
	const struct agg_endpoint *e = rep->endpoints[row];

	endpoint_name(rep, e, &b);
	text_clip(&words, buf_slice(&b), (t->width - LABEL) / 2);
	buf_adds(&words, ": ");
	ledger_words(&words, &e->ledger->mean, 4);
	buf_clear(&b);
	text_clip(&b, buf_slice(&words), t->width - LABEL);
	line(t, "time", "", &b);
}

static double refused_key(const struct agg_report *rep, u32 i)
{
	return (double)facts_refused(rep->endpoints[i]);
}

/* Not counted as errors, yet somebody asks for what is not there. */
static void refused(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	u64 all = facts_all_refused(rep);
	u32 worst[2], n, i;

	buf_addf(&b, "%s of %s requests (%s)", fmt_count(FMT, all), fmt_count(FMT, rep->requests),
		 fmt_pct(FMT, (double)all / (double)rep->requests));
	n = facts_rank(rep, rep->nendpoints, refused_key, ARRAY_SIZE(worst), worst);
	for (i = 0; i < n; i++) {
		const struct agg_endpoint *e = rep->endpoints[worst[i]];
		_release_(buf) struct buf entry = BUF_INIT;

		buf_adds(&entry, i ? ", " : ": ");
		endpoint_name(rep, e, &entry);
		buf_addf(&entry, " ×%s", fmt_count(FMT, facts_refused(e)));
		if (!add_fits(t, &b, &entry, false))
			break;
	}
	line(t, "4xx", "", &b);
}

static void database(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_addf(&b, "%s call%s in %s round trip%s, %s in total", fmt_count(FMT, rep->calls),
		 rep->calls == 1 ? "" : "s", fmt_count(FMT, rep->round_trips),
		 rep->round_trips == 1 ? "" : "s", fmt_dur(FMT, facts_all_query_time(rep)));
	line(t, "database", "", &b);
}

static void prepared(struct text *t, double ratio)
{
	_release_(buf) struct buf b = BUF_INIT;

	buf_addf(&b, "%s of it prepared before attach; reopen connections to see it",
		 fmt_pct(FMT, ratio));
	line(t, "NO TEXT", RED, &b);
}

/* What one request asks the database again and again. */
static void repeated(struct text *t, const struct agg_report *rep, u32 i)
{
	_release_(buf) struct buf name = BUF_INIT, b = BUF_INIT, end = BUF_INIT;
	const struct agg_use *use = &rep->uses[i];
	size_t room = t->width - LABEL, n;

	endpoint_name(rep, use->endpoint, &name);
	buf_addf(&end, "  ×%s a request of ", fmt_rate(FMT, facts_use_per_request(use)));
	text_clip(&end, buf_slice(&name), room / 3);
	/* Another endpoint may issue it somewhere else. */
	if (use->query->nuses == 1 && use->query->nsites) {
		buf_adds(&end, " at ");
		buf_clear(&name);
		facts_site(use->query->sites, use->query->nsites, &name);
		text_clip(&end, buf_slice(&name), room / 3);
	}
	n = text_columns(buf_slice(&end));
	text_clip(&b, slice_str(use->query->statement), room > n ? room - n : 1);
	buf_add(&b, end.p, end.n);
	line(t, "repeated", RED, &b);
}

static double issued_key(const struct agg_report *rep, u32 i)
{
	return rep->queries[i]->nsites ? facts_query_time(rep, i) : 0;
}

/* Where the statements of the lines before are issued, in their order. */
static void issued(struct text *t, const struct agg_report *rep, const u32 *rows, u32 n)
{
	_release_(buf) struct buf b = BUF_INIT;
	u32 i;

	for (i = 0; i < n; i++) {
		_release_(buf) struct buf entry = BUF_INIT;
		const struct agg_query *q = rep->queries[rows[i]];

		buf_adds(&entry, i ? ", " : "at ");
		if (q->nsites)
			facts_site(q->sites, q->nsites, &entry);
		else
			buf_adds(&entry, "not known");
		if (!add_fits(t, &b, &entry, !i))
			break;
	}
	line(t, "issued", "", &b);
}

static void queries(struct text *t, const struct agg_report *rep, const u32 *rows, u32 n)
{
	static const char *const labels[ROWS] = { "queries", "by total", "" };
	_release_(group) struct group g = { .n = n };
	double all = facts_all_query_time(rep);
	u32 i;

	for (i = 0; i < n; i++) {
		const struct agg_query *q = rep->queries[rows[i]];
		struct row *r = &g.row[i];

		buf_adds(&r->name, q->statement);
		facts_target_tag(rep, q->target, &r->name);
		buf_addf(&r->figure[0], "p95 %s", fmt_dur(FMT, hist_quantile(&q->latency, 0.95)));
		buf_addf(&r->figure[1], "×%s", fmt_count(FMT, q->count));
		buf_addf(&r->figure[2], "total %s", fmt_dur(FMT, q->latency.sum));
		buf_addf(&r->figure[3], "(%s)", fmt_pct(FMT, all > 0 ? q->latency.sum / all : 0));
	}
	group(t, labels, &g);
}

/* The slowest in total, and the one that fails most when that is another. */
static u32 choose_external(const struct agg_report *rep, u32 rows[2])
{
	u32 n = facts_rank(rep, rep->nexternal, facts_external_time, 1, rows), failing;

	if (facts_rank(rep, rep->nexternal, facts_external_failed, 1, &failing) &&
	    (!n || rows[0] != failing))
		rows[n++] = failing;
	return n;
}

static void external(struct text *t, const struct agg_report *rep, const u32 *rows, u32 n)
{
	static const char *const labels[ROWS] = { "external", "", "" };
	_release_(group) struct group g = { .n = n };
	u32 i;

	for (i = 0; i < n; i++) {
		const struct agg_external *e = rep->external[rows[i]];
		struct row *r = &g.row[i];

		if (strcmp(e->protocol, "http") != 0)
			buf_addf(&r->name, "%s ", e->protocol);
		facts_external_name(e, &r->name);
		facts_target_tag(rep, e->target, &r->name);
		if (e->latency.count)
			buf_addf(&r->figure[0], "p95 %s",
				 fmt_dur(FMT, hist_quantile(&e->latency, 0.95)));
		buf_addf(&r->figure[1], "×%s", fmt_count(FMT, e->count));
		buf_addf(&r->figure[2], "%s error%s", fmt_count(FMT, e->errors),
			 e->errors == 1 ? "" : "s");
		buf_addf(&r->figure[3], "%s timeout%s", fmt_count(FMT, e->timeouts),
			 e->timeouts == 1 ? "" : "s");
	}
	group(t, labels, &g);
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
	for (i = 0; rep->cpu.samples >= TOP_SAMPLES_MIN && i < MIN(rep->cpu.ntop, 3U); i++) {
		_release_(buf) struct buf entry = BUF_INIT;

		buf_addf(&entry, "%s%s %s",
			 i     ? ", "
			 : b.n ? "; top "
			       : "top ",
			 rep->cpu.top[i].text, fmt_pct(FMT, rep->cpu.top[i].self_ratio));
		if (!rep->cpu.top[i].self || !add_fits(t, &b, &entry, !i))
			break;
	}
	line(t, "cpu", "", &b);
}

/* What was waited for, the most first; waiting for work is none of it and comes last. */
static void offcpu(struct text *t, const struct agg_report *rep)
{
	const struct agg_offcpu *o = &rep->offcpu;
	const struct agg_wait *idle = &o->by_reason[HP_WAIT_IDLE];
	_release_(buf) struct buf b = BUF_INIT;
	u32 order[HP_WAIT_MAX], n = 0, i, k;

	for (i = 0; i < HP_WAIT_MAX; i++) {
		if (i == HP_WAIT_IDLE || !o->by_reason[i].blocked_ns)
			continue;
		for (k = n++;
		     k && o->by_reason[order[k - 1]].blocked_ns < o->by_reason[i].blocked_ns; k--)
			order[k] = order[k - 1];
		order[k] = i;
	}
	buf_addf(&b, "blocked %s, run queue %s",
		 fmt_dur(FMT, (double)(o->blocked_ns - idle->blocked_ns)),
		 fmt_dur(FMT, (double)o->runqueue_ns));
	if (idle->blocked_ns)
		buf_addf(&b, ", idle %s", fmt_dur(FMT, (double)idle->blocked_ns));
	for (i = 0; i < n; i++) {
		_release_(buf) struct buf entry = BUF_INIT;

		buf_addf(&entry, "%s%s %s", i ? ", " : "; ", agg_wait_key(order[i]),
			 fmt_dur(FMT, (double)o->by_reason[order[i]].blocked_ns));
		if (!add_fits(t, &b, &entry, false))
			break;
	}
	line(t, "off cpu", "", &b);
}

/* Losses, then cost; on two lines where one has no room for both. Returns how many. */
static u32 trust(struct text *t, const struct agg_report *rep)
{
	const struct agg_trust *tr = &rep->trust;
	_release_(buf) struct buf b = BUF_INIT;
	_release_(buf) struct buf cost = BUF_INIT;
	u64 lost = tr->lost_events, short_of, unsure;
	const char *style = lost ? RED : "";
	double ratio;

	if (*tr->no_sockets)
		buf_addf(&b, "sockets not measured%s", lost ? ", " : "");
	if (lost)
		buf_addf(&b, "lost %s event%s", fmt_count(FMT, lost), lost == 1 ? "" : "s");
	else if (!*tr->no_sockets)
		buf_addf(&b, "no event lost");
	if (tr->conns.unparsed || tr->conns.encrypted)
		buf_addf(&b, ", unread %s of %s connections",
			 fmt_count(FMT, tr->conns.unparsed + tr->conns.encrypted),
			 fmt_count(FMT, tr->conns.seen));
	short_of = tr->stacks.total - tr->stacks.complete;
	unsure = MIN(short_of, tr->stacks.stops[UW_STOP_FP]);
	if (short_of - unsure > tr->stacks.total / 100)
		buf_addf(&b, ", %s of %s stacks cut", fmt_count(FMT, short_of - unsure),
			 fmt_count(FMT, tr->stacks.total));
	else if (unsure > tr->stacks.total / 10)
		buf_addf(&b, ", %s of %s stacks maybe cut", fmt_count(FMT, unsure),
			 fmt_count(FMT, tr->stacks.total));
	buf_addf(&cost, "; cost %.2f cores", facts_cost_cores(rep));
	if (!tr->overhead.measured)
		buf_adds(&cost, " (without its probes)");
	else if (facts_cost_ratio(rep, &ratio))
		buf_addf(&cost, " (probes: %s of the target's CPU)", fmt_pct(FMT, ratio));
	else
		buf_addf(&cost, " (probes: %.3f; the target idles)", facts_bpf_cores(rep));
	if (add_fits(t, &b, &cost, false)) {
		line(t, "trust", style, &b);
		return 1;
	}
	line(t, "trust", style, &b);
	buf_clear(&b);
	buf_add_slice(&b, slice_of(cost.p + strlen("; cost "), cost.n - strlen("; cost ")));
	line(t, "cost", "", &b);
	return 2;
}

static bool is_lower(const struct agg_probe *p)
{
	return p->lower || !strcmp(p->rung, "none");
}

/* What was not done in the best way that is known. Returns the lines. */
static u32 probes(struct text *t, const struct agg_report *rep)
{
	_release_(buf) struct buf b = BUF_INIT;
	u32 i, n = 0;

	for (i = 0; i < rep->trust.nprobes; i++) {
		const struct agg_probe *p = &rep->trust.probes[i];
		_release_(buf) struct buf entry = BUF_INIT;

		if (!is_lower(p))
			continue;
		buf_addf(&entry, "%s%s %s", n ? ", " : "lower rung: ", p->key, p->rung);
		if (!add_fits(t, &b, &entry, !n))
			break;
		n++;
	}
	if (n)
		line(t, "probes", "", &b);
	return n > 0;
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
	line(t, "files", "", &b);
}

int out_text(const struct agg *agg, struct buf *out, const struct out_opts *opts)
{
	const struct agg_report *rep = agg_report(agg);
	struct text t = { out, opts->width ? MAX(opts->width, WIDTH_MIN) : 80, opts->color };
	_release_(buf) struct buf scratch = BUF_INIT;
	struct text draft = { &scratch, t.width, false };
	u32 slow[ROWS], costly[ROWS], ext[2], again, most, any, nissued, nslow, ncostly, next,
		nagain, used, left, extra;
	double unseen = facts_prepared_ratio(rep);
	struct facts_tls tls;
	bool hidden = facts_encrypted(rep, &tls), is_cut = !rep->window.complete;
	bool timed = time_row(rep, &most);
	bool no_text = unseen >= PREPARED_MANY, with_dir = opts->dir && *opts->dir;
	bool many_4xx = rep->requests &&
			(double)facts_all_refused(rep) >= REFUSED_MANY * (double)rep->requests;

	nslow = facts_rank(rep, rep->nendpoints, slow_key, ROWS, slow);
	ncostly = facts_rank(rep, rep->nqueries, facts_query_time, ROWS, costly);
	next = choose_external(rep, ext);
	nissued = facts_rank(rep, rep->nqueries, issued_key, 1, &any);
	nagain = facts_rank(rep, rep->nuses, facts_repeated_time, 1, &again);
	/* What takes as many lines as it needs is written twice, first to count. */
	extra = unmeasured(&draft, rep) + stuck(&draft, rep) + trust(&draft, rep) +
		probes(&draft, rep) + all_ended(rep);
	/* What the other lines leave is shared by endpoints and queries; each gets one at least. */
	used = 3 + extra + is_cut + 2 * hidden + timed + many_4xx + !!rep->calls + no_text +
	       nissued + nagain + next + with_dir + rep->offcpu.recorded;
	left = MAX(LINES, used + MIN(nslow, 2U) + MIN(ncostly, 2U));
	left = MAX(MIN(left, LINES_MAX), used + 2) - used;
	ncostly = MIN(ncostly, MAX(left / 2, left - MIN(nslow, left)));
	nslow = MIN(nslow, left - ncostly);

	if (is_cut)
		cut(&t);
	if (hidden)
		encrypted(&t, &tls);
	unmeasured(&t, rep);
	if (all_ended(rep))
		ended(&t, rep);
	headline(&t, rep);
	stuck(&t, rep);
	endpoints(&t, rep, slow, nslow);
	if (timed)
		where(&t, rep, most);
	errors(&t, rep);
	if (many_4xx)
		refused(&t, rep);
	if (rep->calls)
		database(&t, rep);
	if (no_text)
		prepared(&t, unseen);
	queries(&t, rep, costly, ncostly);
	if (ncostly && nissued)
		issued(&t, rep, costly, ncostly);
	if (nagain)
		repeated(&t, rep, again);
	if (next)
		external(&t, rep, ext, next);
	cpu(&t, rep);
	if (rep->offcpu.recorded)
		offcpu(&t, rep);
	trust(&t, rep);
	probes(&t, rep);
	if (with_dir)
		files(&t, rep, opts);
	return out->oom ? -ENOMEM : 0;
}
