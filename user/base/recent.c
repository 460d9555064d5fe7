/* SPDX-License-Identifier: Apache-2.0 */
/* See recent.h. */
#include "base/recent.h"

void recent_init(struct recent *r, size_t max)
{
	map_init(&r->now, max);
	map_init(&r->before, max);
}

void recent_release(struct recent *r)
{
	map_release(&r->now);
	map_release(&r->before);
}

void recent_put(struct recent *r, u64 key, u64 val)
{
	struct map full;

	if (r->now.n >= r->now.max_items && !map_find(&r->now, key)) {
		full = r->before;
		r->before = r->now;
		r->now = full;
		map_clear(&r->now);
	}
	map_del(&r->before, key);
	map_put(&r->now, key, val);
}

bool recent_find(struct recent *r, u64 key, u64 *ret)
{
	u64 *at = map_find(&r->now, key), val;

	if (!at) {
		at = map_find(&r->before, key);
		if (!at)
			return false;
		val = *at;
		recent_put(r, key, val);
	} else {
		val = *at;
	}
	if (ret)
		*ret = val;
	return true;
}

bool recent_del(struct recent *r, u64 key)
{
	bool before = map_del(&r->before, key);

	return map_del(&r->now, key) || before;
}
