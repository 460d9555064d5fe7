/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes from hostile paths. Input: a byte for the limits, then lines; a line that begins with
 * '4' was answered 404, one that begins with '!' squeezes first. Whatever comes: every placed
 * request is in exactly one leaf, caps hold, and a path just placed is found under a leaf that
 * holds something.
 */
#include <stdlib.h>
#include "agg/route.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void merge_counts(void *arg, void **to, void **from)
{
	(void)arg;
	*to = (void *)((uintptr_t)*to + (uintptr_t)*from);
	*from = NULL;
}

static void must(bool ok)
{
	if (!ok)
		abort();
}

static void one_path(struct routes *r, struct slice line, u64 *placed)
{
	struct slice path = slice_of(line.p + 1, line.n - 1);
	void **leaf_data;
	u32 leaf;

	if (*line.p == '!')
		routes_squeeze(r);
	leaf = routes_add(r, path, *line.p == '4');
	if (leaf == ROUTE_OTHER)
		return;
	leaf_data = routes_data(r, leaf);
	*leaf_data = (void *)((uintptr_t)*leaf_data + 1);
	++*placed;
	leaf = routes_find(r, path);
	must(leaf != ROUTE_OTHER && routes_peek(r, leaf));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct buf text = BUF_INIT;
	struct routes r;
	u64 placed = 0, found = 0;
	size_t at, end;
	u32 i = 0, leaf;

	if (!size)
		return 0;
	must(!routes_init(&r, data[0] & 15, 16 + data[0] / 16 * 16, merge_counts, NULL));
	for (at = 1; at < size; at = end + 1) {
		const uint8_t *nl = memchr(data + at, '\n', size - at);

		end = nl ? (size_t)(nl - data) : size;
		if (end > at)
			one_path(&r, slice_of(data + at, end - at), &placed);
	}
	must(r.n <= r.max + 2 * ROUTE_DEPTH_MAX);
	while ((leaf = routes_each(&r, &i)) != ROUTE_OTHER) {
		found += (uintptr_t)routes_peek(&r, leaf);
		buf_clear(&text);
		routes_text(&r, leaf, &text);
		must(text.n > 0 && text.n <= (ROUTE_DEPTH_MAX + 1) * (ROUTE_SCRATCH + 1) + 1);
	}
	must(found == placed);
	buf_release(&text);
	routes_release(&r);
	return 0;
}
