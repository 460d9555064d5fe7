/* SPDX-License-Identifier: Apache-2.0 */
/* See v8lines.h. */
#include "unwind/v8lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/array.h"

struct v8lines_script {
	u64 key;
	u32 *ends; /* places of line terminators, of two that belong together the second one */
	u32 n, cap;
	u32 read; /* characters so far */
	bool cr; /* the last one was a carriage return, which ends a line unless a line feed follows */
};

static void clear(struct v8lines *l)
{
	while (l->n)
		free(l->v[--l->n].ends);
	map_clear(&l->by_script);
	l->ends = 0;
}

void v8lines_release(struct v8lines *l)
{
	clear(l);
	free(l->v);
	map_release(&l->by_script);
	*l = (struct v8lines){ 0 };
}

static struct v8lines_script *script_get(struct v8lines *l, u64 key)
{
	const u64 *at;

	if (!l->v) {
		map_init(&l->by_script, V8LINES_SCRIPTS_MAX);
		l->v = calloc(V8LINES_SCRIPTS_MAX, sizeof(*l->v));
		if (!l->v)
			return NULL;
	}
	at = map_find(&l->by_script, key);
	if (at)
		return &l->v[*at];
	if (l->n == V8LINES_SCRIPTS_MAX)
		clear(l);
	if (map_put(&l->by_script, key, l->n))
		return NULL;
	l->v[l->n] = (struct v8lines_script){ .key = key };
	return &l->v[l->n++];
}

static int add_end(struct v8lines *l, struct v8lines_script *s, u32 at)
{
	if (l->ends >= V8LINES_ENDS_MAX)
		return -E2BIG;
	if (!array_room(&s->ends, s->n, &s->cap, V8LINES_ENDS_MAX, sizeof(*s->ends)))
		return -ENOMEM;
	s->ends[s->n++] = at;
	l->ends++;
	return 0;
}

static int take(struct v8lines *l, struct v8lines_script *s, u32 c)
{
	u32 at = s->read++;
	int err = 0;

	if (s->cr && c != '\n')
		err = add_end(l, s, at - 1);
	if (!err && (c == '\n' || c == 0x2028 || c == 0x2029))
		err = add_end(l, s, at);
	s->cr = c == '\r';
	return err;
}

/* To character pos and, for a carriage return there, one more. */
static int read_on(struct v8lines *l, struct v8lines_script *s, const struct v8chars *source,
		   u32 pos, v8code_read_fn *read, void *arg)
{
	u32 end = MIN(pos + 2, source->n);
	int err = 0;

	if ((u64)end * source->width > V8LINES_SOURCE_MAX)
		return -E2BIG;
	/* Whole pieces: the next function of the script is near. */
	while (!err && s->read < end) {
		u8 part[V8CODE_READ_MAX];
		u32 i, n = MIN(source->n - s->read, V8CODE_READ_MAX / source->width);

		err = read(arg, source->at + (u64)s->read * source->width, part,
			   (size_t)n * source->width);
		for (i = 0; i < n && !err; i++)
			err = take(l, s,
				   source->width == 1 ? part[i]
						      : (u32)(part[2 * i] | part[2 * i + 1] << 8));
	}
	return err;
}

int v8lines_at(struct v8lines *l, u64 key, const struct v8chars *source, u32 pos,
	       v8code_read_fn *read, void *arg)
{
	struct v8lines_script *s;
	u32 lo = 0, hi;
	int err;

	if (pos >= source->n || pos >= INT32_MAX - 2)
		return -EINVAL;
	if (l->ends >= V8LINES_ENDS_MAX)
		clear(l);
	s = script_get(l, key);
	if (!s)
		return -ENOMEM;
	err = read_on(l, s, source, pos, read, arg);
	if (err)
		return err;
	hi = s->n;
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (s->ends[mid] < pos)
			lo = mid + 1;
		else
			hi = mid;
	}
	return (int)lo;
}
