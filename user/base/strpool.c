/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Interned strings: endpoints, statements, symbols and frames are compared and counted by id.
 *
 * Input: bytes, mostly from the target. Output: dense ids. An entry is found by its 64-bit hash;
 * two texts with one hash take the next of a short chain of derived hashes, and a chain that is
 * full gives "(other)", so an attacker who makes collisions gains a longer name list, not a loop.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "base/strpool.h"

#define STRPOOL_CHAIN_MAX 8
#define STRPOOL_CAP_MIN 64
#define STRPOOL_BUILTIN 2 /* "" and "(other)", beside what the caller may add */

static int strpool_grow(struct strpool *s)
{
	u32 cap = s->cap ? s->cap * 2 : STRPOOL_CAP_MIN;
	char **text;
	u32 *len;

	text = realloc(s->text, cap * sizeof(*text));
	if (!text)
		return -ENOMEM;
	s->text = text;
	len = realloc(s->len, cap * sizeof(*len));
	if (!len)
		return -ENOMEM;
	s->len = len;
	s->cap = cap;
	return 0;
}

static int strpool_append(struct strpool *s, u64 hash, struct slice text)
{
	char *copy;
	int err;

	if (s->n == s->cap) {
		err = strpool_grow(s);
		if (err)
			return err;
	}
	copy = malloc(text.n + 1);
	if (!copy)
		return -ENOMEM;
	err = map_put(&s->by_hash, hash, s->n);
	if (err) {
		free(copy);
		return err;
	}
	if (text.n)
		memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	s->text[s->n] = copy;
	s->len[s->n] = (u32)text.n;
	s->n++;
	s->bytes += text.n;
	return 0;
}

int strpool_init(struct strpool *s, u32 max_strings, size_t max_bytes)
{
	static const struct slice builtin[STRPOOL_BUILTIN] = { { "", 0 }, { "(other)", 7 } };
	size_t i;
	int err;

	memset(s, 0, sizeof(*s));
	s->max_strings = MIN(max_strings, UINT32_MAX - STRPOOL_BUILTIN);
	s->max_bytes = max_bytes;
	map_init(&s->by_hash, (size_t)s->max_strings + STRPOOL_BUILTIN);
	for (i = 0; i < STRPOOL_BUILTIN; i++) {
		err = strpool_append(s, hash_bytes(builtin[i].p, builtin[i].n, 0), builtin[i]);
		if (err) {
			strpool_release(s);
			return err;
		}
	}
	s->bytes = 0;
	return 0;
}

void strpool_release(struct strpool *s)
{
	u32 i;

	for (i = 0; i < s->n; i++)
		free(s->text[i]);
	free(s->text);
	free(s->len);
	map_release(&s->by_hash);
	memset(s, 0, sizeof(*s));
}

u32 strpool_add(struct strpool *s, struct slice text)
{
	u64 hash = hash_bytes(text.p, text.n, 0);
	int i;

	for (i = 0; i < STRPOOL_CHAIN_MAX; i++, hash = hash_u64(hash + 1)) {
		const u64 *id = map_find(&s->by_hash, hash);

		if (!id)
			break;
		if (slice_eq(strpool_get(s, (u32)*id), text))
			return (u32)*id;
	}
	if (i == STRPOOL_CHAIN_MAX || s->n - STRPOOL_BUILTIN >= s->max_strings ||
	    text.n > s->max_bytes - s->bytes || text.n > UINT32_MAX ||
	    strpool_append(s, hash, text)) {
		s->refused++;
		return STRPOOL_OTHER;
	}
	return s->n - 1;
}

struct slice strpool_get(const struct strpool *s, u32 id)
{
	if (id >= s->n)
		id = STRPOOL_OTHER;
	return slice_of(s->text[id], s->len[id]);
}
