/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of the rows: interned, so that equal texts are equal pointers, and made printable. */
#ifndef AGG_TEXT_H
#define AGG_TEXT_H

#include <string.h>
#include "base/slice.h"
#include "base/strpool.h"

#define TEXT_MAX 1280

/* Control bytes become '.'; cut at TEXT_MAX bytes. "(other)" when the pool is full. */
static inline const char *text_add(struct strpool *pool, struct slice s)
{
	char clean[TEXT_MAX];
	size_t i, n = MIN(s.n, sizeof(clean));

	for (i = 0; i < n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		clean[i] = c < ' ' || c == 0x7f ? '.' : (char)c;
	}
	return strpool_get(pool, strpool_add(pool, slice_of(clean, n))).p;
}

static inline const char *text_addz(struct strpool *pool, const char *s)
{
	return text_add(pool, slice_str(s));
}

#endif
