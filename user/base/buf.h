/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Growable byte buffer.
 *
 * p is always NUL-terminated after the first add and n does not count that NUL. When memory is
 * short the buffer keeps what it has, sets oom and ignores further adds: check once at the end.
 * `static struct buf b = BUF_INIT;` or zeroed memory is a valid empty buffer.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdarg.h>
#include "base/slice.h"
#include "base/types.h"

struct buf {
	char *p;
	size_t n;
	size_t cap;
	bool oom;
};

#define BUF_INIT                                                                                   \
	{                                                                                          \
		0                                                                                  \
	}

void buf_release(struct buf *b); /* frees; b is empty and usable again */
void buf_clear(struct buf *b); /* keeps the memory */
int buf_reserve(struct buf *b, size_t more); /* room for more bytes; 0 or -ENOMEM */
void buf_add(struct buf *b, const void *p, size_t n);
void buf_addch(struct buf *b, char c);
void buf_adds(struct buf *b, const char *s);
void buf_add_slice(struct buf *b, struct slice s);
void buf_addf(struct buf *b, const char *fmt, ...) PRINTF(2, 3);
void buf_vaddf(struct buf *b, const char *fmt, va_list ap);
void buf_drop_front(struct buf *b, size_t n); /* removes the first n bytes */
char *buf_detach(struct buf *b); /* the caller frees; NULL when oom or empty */

static inline struct slice buf_slice(const struct buf *b)
{
	return (struct slice){ b->p, b->n };
}

#endif
