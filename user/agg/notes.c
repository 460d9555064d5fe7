/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a reader must know before believing the figures. Input: the finished report. Output: one
 * line each, the most important first: what could not be seen and what was lost. What was not
 * recorded at all is said by the outputs, beside the null that stands for it.
 */
#include <inttypes.h>
#include "agg/core.h"
#include "agg/text.h"

#define NOTE_PEERS_MAX 8
#define INCOMPLETE_MANY 0.2 /* of the stacks: then it is said */

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
		    "%" PRIu64 " of %" PRIu64
		    " %s connection%s to %s %s encrypted: the statements on "
		    "them cannot be seen; connect with sslmode=disable or over a unix socket to "
		    "see "
		    "them",
		    p->encrypted, p->conns, p->system, plural(p->conns), p->peer,
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
			say(a, "lost: %" PRIu64 " %s", t->lost[i], agg_drop_text(i));
	if (t->folded)
		say(a, "%" PRIu64 " item%s counted under \"(other)\" because a table was full",
		    t->folded, t->folded == 1 ? " is" : "s are");
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
		say(a, "%" PRIu64 " connection%s %s %s could not be read: %s", b->conns,
		    plural(b->conns), server ? "accepted on" : "to", b->address,
		    b->status == CONN_ENCRYPTED ? "encrypted"
		    : b->reason[0]		? b->reason
						: "unknown protocol");
	}
}

static void say_stacks(struct agg *a)
{
	const struct agg_trust *t = &a->report.trust;
	u64 part = t->stacks.total - t->stacks.complete;

	if (t->stacks.total && (double)part > INCOMPLETE_MANY * (double)t->stacks.total)
		say(a,
		    "%.0f %% of the CPU stacks do not reach the first function of their thread: "
		    "their callers are missing (code without frame pointers)",
		    100.0 * (double)part / (double)t->stacks.total);
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
		    "%" PRIu64 " call%s on connections opened before attach %s counted under the "
		    "database and user that all other connections to the same server have",
		    a->adopted, plural(a->adopted), a->adopted == 1 ? "is" : "are");
}

void notes_make(struct agg *a)
{
	u32 i;

	say_encrypted(a);
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
