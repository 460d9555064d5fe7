/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reader must know before believing the figures. Input: the finished report. Output: one
 * line each, the most important first: what could not be seen and what was lost. What was not
 * recorded at all is said by the outputs, beside the null that stands for it.
 */
#include <inttypes.h>
#include <stdio.h>
#include "agg/core.h"
#include "agg/text.h"
#include "base/buf.h"
#include "base/cleanup.h"
#include "base/runtimes.h"

#define NOTE_PEERS_MAX 8
#define ENDED_MANY 0.02 /* of the stacks walked by tables */
#define INCOMPLETE_MANY 0.2 /* of the stacks: then it is said */
#define JIT_MANY 0.02 /* of the samples */

static void say(struct agg *a, const char *fmt, ...) PRINTF(2, 3);

static void say(struct agg *a, const char *fmt, ...)
{
	struct buf line = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(&line, fmt, ap);
	va_end(ap);
	if (line.n)
		notes_add(&a->notes, text_add(&a->texts, buf_slice(&line)));
	buf_release(&line);
}

static const char *plural(u64 n)
{
	return n == 1 ? "" : "s";
}

struct count {
	char s[32];
};

/* Grouped by commas, as in the tables. */
#define COUNT(n) (count_text(&(struct count){ "" }, (n)))

static const char *count_text(struct count *c, u64 n)
{
	char digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), i, at = 0;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			c->s[at++] = ',';
		c->s[at++] = digits[i];
	}
	return c->s;
}

/*
 * A server keeps a prepared statement as long as its connection lives, and pools keep connections:
 * on a server that is warm, most calls name statements that nobody will ever send again.
 */
static void say_prepared(struct agg *a)
{
	const struct agg_report *r = &a->report;
	double all = 0, unseen = 0;
	u64 calls = 0;
	u32 i;

	for (i = 0; i < r->nqueries; i++) {
		const struct agg_query *q = r->queries[i];

		all += q->latency.sum;
		if (q->prepared) {
			unseen += q->latency.sum;
			calls += q->count;
		}
	}
	if (calls && unseen * 1000 >= all && all > 0)
		say(a,
		    "%.3g %% of database time (%s call%s) is in statements prepared before attach, "
		    "whose text was not seen: rows \"<prepared NAME>\"; it appears for connections "
		    "opened from now on: restart the pool or recycle its connections",
		    100 * unseen / all, COUNT(calls), plural(calls));
}

static void say_encrypted(struct agg *a)
{
	const struct agg_report *r = &a->report;
	u32 i, said = 0;

	for (i = 0; i < r->npools && said < NOTE_PEERS_MAX; i++) {
		const struct agg_pool *p = r->pools[i];

		if (!p->encrypted)
			continue;
		said++;
		say(a,
		    "%s of %s %s connection%s to %s %s encrypted: the statements on "
		    "them cannot be seen; connect with sslmode=disable or over a unix socket to "
		    "see "
		    "them",
		    COUNT(p->encrypted), COUNT(p->conns), p->system, plural(p->conns), p->peer,
		    p->encrypted == 1 ? "is" : "are");
	}
}

static void say_losses(struct agg *a)
{
	const struct agg_trust *t = &a->report.trust;
	u32 i;

	if (a->window.started && !a->window.complete)
		say(a, "the stream ends before its last record: the end of the window is missing");
	if (!a->window.started)
		say(a, "the stream has no start record: times are relative to its first event");
	for (i = 0; i < DROP_MAX; i++)
		if (t->lost[i])
			say(a, "lost: %s %s", COUNT(t->lost[i]), agg_drop_text(i));
	if (t->bind_refused)
		say(a,
		    "%s record%s of requests and of what they asked for found no room: calls that "
		    "belong to a request may be counted as nobody's",
		    COUNT(t->bind_refused), plural(t->bind_refused));
	if (t->folded)
		say(a, "%s item%s counted under \"(other)\" because a table was full",
		    COUNT(t->folded), t->folded == 1 ? " is" : "s are");
}

static void say_unparsed(struct agg *a)
{
	const struct agg_trust *t = &a->report.trust;
	u32 i, said = 0;

	for (i = 0; i < t->nby_peer && said < NOTE_PEERS_MAX; i++) {
		const struct agg_blind *b = &t->by_peer[i];
		bool server = b->role == HP_ROLE_SERVER;

		if (b->status == CONN_ENCRYPTED && !server)
			continue; /* databases are said already, the rest is in external */
		said++;
		say(a, "%s connection%s %s %s could not be read: %s", COUNT(b->conns),
		    plural(b->conns), server ? "accepted on" : "to", b->address,
		    b->status == CONN_ENCRYPTED ? "encrypted"
		    : b->reason[0]		? b->reason
						: "unknown protocol");
	}
}

/* Of the stacks that were walked by tables. */
static void say_stops(struct agg *a, const struct agg_stack_trust *s)
{
	_release_(buf) struct buf why = BUF_INIT;
	u64 part = 0;
	u32 i;

	for (i = 0; i < UW_STOP_MAX; i++) {
		if (i == UW_STOP_FP || !agg_stop_key(i) || !s->stops[i])
			continue;
		part += s->stops[i];
		buf_addf(&why, "%s%s (%s)", why.n ? "; " : "", agg_stop_text(i),
			 COUNT(s->stops[i]));
	}
	if (!why.oom && why.n && (double)part > ENDED_MANY * (double)s->total)
		say(a,
		    "%.0f %% of the CPU stacks end before the first function of their thread: %.*s",
		    100.0 * (double)part / (double)s->total, (int)why.n, why.p);
}

static void say_generated(struct agg *a)
{
	const struct agg_stack_trust *s = &a->report.trust.stacks;
	const struct agg_report *r = &a->report;
	const struct agg_target *bare = NULL;
	const char *advice = NULL, *flag = NULL;
	u32 i;

	for (i = 0; i < r->ntargets; i++) {
		const struct runtime *rt = runtime_find(r->targets[i].runtime);

		if (rt && rt->advice && !advice)
			advice = rt->advice;
		if (rt && rt->flag && !bare && !strstr(r->targets[i].cmdline, rt->flag)) {
			bare = &r->targets[i];
			flag = rt->flag;
		}
	}
	if (s->jit_ratio > JIT_MANY)
		say(a,
		    "%.0f %% of the CPU samples are in or below code that a runtime generated and "
		    "did not name, drawn as [jit]%s%s",
		    100 * s->jit_ratio, advice ? ": " : "", advice ? advice : "");
	if (bare && (double)(s->total - s->complete) > ENDED_MANY * (double)s->total)
		say(a,
		    "callers of code that %s generates are found by frame pointers, which it keeps "
		    "when it is started with %s; process %u is not",
		    bare->runtime, flag, bare->pid);
}

static void say_stacks(struct agg *a)
{
	const struct agg_trust *t = &a->report.trust;
	u64 part = t->stacks.stops[UW_STOP_FP];

	say_stops(a, &t->stacks);
	if (t->stacks.total && (double)part > INCOMPLETE_MANY * (double)t->stacks.total)
		say(a,
		    "%.0f %% of the CPU stacks do not reach the first function of their thread: "
		    "their callers are missing (code without frame pointers)",
		    100.0 * (double)part / (double)t->stacks.total);
	say_generated(a);
	if (a->report.cpu.moments_more)
		say(a, "the timeline holds the first %s CPU samples: %s came after them",
		    COUNT(a->report.cpu.nmoments), COUNT(a->report.cpu.moments_more));
	if (t->stacks.remapped)
		say(a,
		    "%s stack frame%s where one file was mapped after another (libraries that come "
		    "and "
		    "go, or exec): samples of both have the name of one",
		    COUNT(t->stacks.remapped), t->stacks.remapped == 1 ? " lies" : "s lie");
	if (t->stacks.joined)
		say(a,
		    "%s stack frame%s with neither a name nor a place in a file %s drawn as one "
		    "with "
		    "the caller, which is such a frame too",
		    COUNT(t->stacks.joined), plural(t->stacks.joined),
		    t->stacks.joined == 1 ? "is" : "are");
}

static void say_exits(struct agg *a)
{
	u32 i;

	for (i = 0; i < a->report.ntargets; i++) {
		const struct agg_target *t = &a->report.targets[i];
		int sig = t->exit_code & 0x7f;

		if (!t->exited)
			continue;
		if (sig)
			say(a, "process %u was ended by signal %d inside the window", t->pid, sig);
		else
			say(a, "process %u exited with status %d inside the window", t->pid,
			    t->exit_code >> 8 & 0xff);
	}
}

static void say_adopted(struct agg *a)
{
	if (a->adopted)
		say(a,
		    "%s call%s on connections opened before attach %s counted under the database "
		    "and "
		    "user that all other connections to the same server have; among the "
		    "connections "
		    "these are listed with (login not seen)",
		    COUNT(a->adopted), plural(a->adopted), a->adopted == 1 ? "is" : "are");
}

void notes_make(struct agg *a)
{
	u32 i;

	say_encrypted(a);
	say_prepared(a);
	say_losses(a);
	say_exits(a);
	say_unparsed(a);
	for (i = 0; i < a->stream_notes.n; i++)
		notes_add(&a->notes, a->stream_notes.text[i]);
	say_stacks(a);
	say_adopted(a);
	a->report.trust.notes = a->notes.text;
	a->report.trust.nnotes = a->notes.n;
}
