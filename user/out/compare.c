/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What differs between two reports' profiles, in a few lines: totals, and the functions that account for
 * it, in cores (CPU) or seconds a second (waits). Input: the top lists of both. A function is named when
 * its difference is more than three standard errors of the sampling, so that two recordings of the same
 * are said to be the same.
 */
#include "out/compare.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "out/fmt.h"
#include "out/profiles.h"

#define NAMED_MAX 5
#define NAME_CELLS_MAX 60
#define SIGMAS 3

struct side {
	const struct agg_top *top;
	u32 ntop;
	double unit_s; /* of a weight of one, per second of recording */
	double draw; /* weight that one sample stands for */
	double all; /* of all functions: cores, or seconds a second */
};

struct change {
	const char *text;
	double by;
};

static bool side_init(struct side *s, const struct agg *agg, enum profile_kind kind)
{
	const struct agg_report *rep = agg_report(agg);
	double seconds = rep->window.duration_s;

	if (!profile_recorded(agg, kind) || seconds <= 0)
		return false;
	if (kind == PROFILE_CPU)
		*s = (struct side){ .top = rep->cpu.top,
				    .ntop = rep->cpu.ntop,
				    .unit_s = 1.0 / rep->window.sample_hz / seconds,
				    .draw = 1,
				    .all = rep->cpu.on_cpu_s / seconds };
	else
		*s = (struct side){
			.top = rep->offcpu.top,
			.ntop = rep->offcpu.ntop,
			.unit_s = 1e-6 / seconds,
			.all = (double)(rep->offcpu.blocked_ns + rep->offcpu.runqueue_ns -
					rep->offcpu.by_reason[HP_WAIT_IDLE].blocked_ns) /
			       1e9 / seconds,
		};
	return true;
}

static int cmp_change(const void *pa, const void *pb)
{
	const struct change *a = pa, *b = pb;

	if (fabs(a->by) != fabs(b->by))
		return fabs(a->by) > fabs(b->by) ? -1 : 1;
	return strcmp(a->text, b->text);
}

/*
 * n samples of weight w each estimate n * w with a standard error of w * sqrt(n). Waits come in many
 * weights; what is less than a hundredth of all of them is not named.
 */
static bool is_real(const struct side *s, const double weight[2])
{
	double by = fabs(weight[1] * s[1].unit_s - weight[0] * s[0].unit_s), variance = 0;
	u32 i;

	for (i = 0; i < 2; i++)
		variance += s[i].draw * weight[i] * s[i].unit_s * s[i].unit_s;
	if (!s[0].draw)
		return by > 0.01 * MAX(s[0].all, s[1].all);
	return by > SIGMAS * sqrt(variance);
}

static const struct agg_top *find(const struct side *s, const char *text)
{
	u32 i;

	for (i = 0; i < s->ntop; i++)
		if (!strcmp(s->top[i].text, text))
			return &s->top[i];
	return NULL;
}

static u32 add_change(const struct side *s, const char *text, double before, double after,
		      struct change *to)
{
	const double weight[2] = { before, after };

	if (!is_real(s, weight))
		return 0;
	*to = (struct change){ text, after * s[1].unit_s - before * s[0].unit_s };
	return 1;
}

/* Room for all of both lists. How many, the largest first. */
static u32 find_changes(const struct side *s, struct change *ret)
{
	u32 i, n = 0;

	for (i = 0; i < s[0].ntop; i++) {
		const struct agg_top *other = find(&s[1], s[0].top[i].text);

		n += add_change(s, s[0].top[i].text, (double)s[0].top[i].self,
				other ? (double)other->self : 0, &ret[n]);
	}
	for (i = 0; i < s[1].ntop; i++)
		if (!find(&s[0], s[1].top[i].text))
			n += add_change(s, s[1].top[i].text, 0, (double)s[1].top[i].self, &ret[n]);
	qsort(ret, n, sizeof(*ret), cmp_change);
	return n;
}

static void add_named(struct buf *out, const struct change *c, u32 n, bool less)
{
	u32 i, named = 0;

	for (i = 0; i < n && named < NAMED_MAX; i++) {
		if ((c[i].by < 0) != less)
			continue;
		buf_adds(out, named++ ? "" : less ? "  less:\n" : "  more:\n");
		buf_addf(out, "    %+7.3f  ", c[i].by);
		text_clip(out, slice_str(c[i].text), NAME_CELLS_MAX);
		buf_addch(out, '\n');
	}
}

int compare_text(const struct agg *before, const struct agg *after, struct buf *out)
{
	static const char *const heads[] = {
		[PROFILE_CPU] = "cpu, in cores",
		[PROFILE_WAITS] = "off cpu but idle, in seconds a second",
	};
	u32 kind, n;

	for (kind = 0; kind < ARRAY_SIZE(heads); kind++) {
		_free_ struct change *changes = NULL;
		struct side s[2];

		if (!side_init(&s[0], before, kind) || !side_init(&s[1], after, kind))
			continue;
		changes = calloc(s[0].ntop + s[1].ntop + 1, sizeof(*changes));
		if (!changes)
			return -ENOMEM;
		n = find_changes(s, changes);
		buf_addf(out, "%s: %.3f before, %.3f after\n", heads[kind], s[0].all, s[1].all);
		add_named(out, changes, n, true);
		add_named(out, changes, n, false);
		if (!n)
			buf_adds(out, "  no function differs by more than sampling does\n");
	}
	return out->oom ? -ENOMEM : 0;
}
