/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable byte buffer: every text that hostprof makes is put together in one of these.
 *
 * Input: bytes, strings, formats. Output: one NUL-terminated block. Memory doubles, so n adds cost
 * O(n) in total. A failed allocation is remembered in oom, which lets writers of long reports check
 * once at the end and not at each of a thousand adds.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"

#define BUF_CAP_MIN 64

void buf_release(struct buf *b)
{
	free(b->p);
	memset(b, 0, sizeof(*b));
}

void buf_clear(struct buf *b)
{
	b->n = 0;
	b->oom = false;
	if (b->p)
		b->p[0] = '\0';
}

int buf_reserve(struct buf *b, size_t more)
{
	size_t need, cap;
	char *p;

	if (b->oom)
		return -ENOMEM;
	if (more > SIZE_MAX / 2 || b->n > SIZE_MAX / 2 - more - 1) {
		b->oom = true;
		return -ENOMEM;
	}
	need = b->n + more + 1;
	if (need <= b->cap)
		return 0;
	cap = b->cap > SIZE_MAX / 2 ? need : MAX(b->cap * 2, (size_t)BUF_CAP_MIN);
	cap = MAX(cap, need);
	p = realloc(b->p, cap);
	if (!p) {
		b->oom = true;
		return -ENOMEM;
	}
	if (!b->p)
		p[0] = '\0';
	b->p = p;
	b->cap = cap;
	return 0;
}

void buf_add(struct buf *b, const void *p, size_t n)
{
	if (buf_reserve(b, n))
		return;
	if (n)
		memcpy(b->p + b->n, p, n);
	b->n += n;
	b->p[b->n] = '\0';
}

void buf_addch(struct buf *b, char c)
{
	buf_add(b, &c, 1);
}

void buf_adds(struct buf *b, const char *s)
{
	buf_add(b, s, strlen(s));
}

void buf_add_slice(struct buf *b, struct slice s)
{
	buf_add(b, s.p, s.n);
}

void buf_vaddf(struct buf *b, const char *fmt, va_list ap)
{
	va_list again;
	size_t room;
	int n;

	if (buf_reserve(b, 0))
		return;
	room = b->cap - b->n;
	va_copy(again, ap);
	n = vsnprintf(b->p + b->n, room, fmt, ap);
	if (n >= 0 && (size_t)n >= room) {
		b->p[b->n] = '\0';
		if (buf_reserve(b, (size_t)n)) {
			va_end(again);
			return;
		}
		n = vsnprintf(b->p + b->n, b->cap - b->n, fmt, again);
	}
	va_end(again);
	if (n < 0) {
		/* Only an unencodable wide character or INT_MAX bytes end here. */
		b->p[b->n] = '\0';
		b->oom = true;
		return;
	}
	b->n += (size_t)n;
}

void buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	buf_vaddf(b, fmt, ap);
	va_end(ap);
}

void buf_drop_front(struct buf *b, size_t n)
{
	if (!n)
		return;
	n = MIN(n, b->n);
	b->n -= n;
	if (b->p) {
		memmove(b->p, b->p + n, b->n);
		b->p[b->n] = '\0';
	}
}

char *buf_detach(struct buf *b)
{
	char *p = NULL;

	if (!b->oom && b->n) {
		p = b->p;
		b->p = NULL;
	}
	buf_release(b);
	return p;
}
