/* SPDX-License-Identifier: Apache-2.0 */
/* See unwindtables.h. */
#include "load/unwindtables.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/map.h"
#include "unwind/tableimage.h"

#define RULE_SLOTS (2 * UW_RULES_MAX) /* a power of two */
#define UNUSED_NS (5 * NSEC_PER_SEC) /* a table just sent has no mapping yet */

int unwind_tables_init(struct unwind_tables *t, const struct unwind_arrays *arrays)
{
	memset(t, 0, sizeof(*t));
	t->arrays = *arrays;
	t->arrays.nrules = MIN(t->arrays.nrules, (u32)UW_RULES_MAX);
	t->rule_of = calloc(RULE_SLOTS, sizeof(*t->rule_of));
	if (!t->rule_of || !t->arrays.nrules || ranges_init(&t->pages, arrays->npages) ||
	    ranges_init(&t->rows, arrays->nrows)) {
		unwind_tables_release(t);
		return -ENOMEM;
	}
	memset(&t->arrays.rules[UW_RULE_NONE], 0, sizeof(*t->arrays.rules));
	t->nrules = 1;
	return 0;
}

void unwind_tables_release(struct unwind_tables *t)
{
	ranges_release(&t->pages);
	ranges_release(&t->rows);
	free(t->rule_of);
	t->rule_of = NULL;
}

/* The rule's number in the dictionary, which it joins when it is new. -ENOSPC. */
static int rule_number(struct unwind_tables *t, const struct uw_rule *rule)
{
	u32 at = (u32)hash_bytes(rule, sizeof(*rule), 0) & (RULE_SLOTS - 1);

	if (rule->cfa == UW_CFA_NONE)
		return UW_RULE_NONE;
	for (; t->rule_of[at]; at = (at + 1) & (RULE_SLOTS - 1))
		if (!memcmp(&t->arrays.rules[t->rule_of[at] - 1], rule, sizeof(*rule)))
			return t->rule_of[at] - 1;
	if (t->nrules == t->arrays.nrules)
		return -ENOSPC;
	t->arrays.rules[t->nrules] = *rule;
	t->rule_of[at] = (u16)(t->nrules + 1);
	return (int)t->nrules++;
}

static void drop_table(struct unwind_tables *t, struct unwind_table *x, u64 now_ns)
{
	ranges_give(&t->pages, x->page, x->npages, now_ns);
	if (x->nrows)
		ranges_give(&t->rows, x->row, x->nrows, now_ns);
	memset(x, 0, sizeof(*x));
}

/* A free place; tables that nobody uses make room once three quarters are taken. */
static struct unwind_table *make_room(struct unwind_tables *t, u64 now_ns)
{
	bool short_of =
		t->rows.used > t->rows.size / 4 * 3 || t->pages.used > t->pages.size / 4 * 3;
	struct unwind_table *place = NULL;
	u32 i, n = 0;

	for (i = 0; i < UNWIND_TABLES_MAX; i++)
		n += t->v[i].id != 0;
	short_of |= n > UNWIND_TABLES_MAX / 4 * 3;
	for (i = 0; i < UNWIND_TABLES_MAX; i++) {
		struct unwind_table *x = &t->v[i];

		if (short_of && x->id && !x->refs && now_ns > x->unused_ns + UNUSED_NS)
			drop_table(t, x, now_ns);
		if (!x->id && !place)
			place = x;
	}
	return place;
}

static int take_ranges(struct unwind_tables *t, struct unwind_table *x, u64 now_ns)
{
	int err = ranges_take(&t->pages, x->npages, now_ns, &x->page);

	if (err || !x->nrows)
		return err;
	err = ranges_take(&t->rows, x->nrows, now_ns, &x->row);
	if (err)
		ranges_give(&t->pages, x->page, x->npages, now_ns);
	return err;
}

static void copy_table(struct unwind_tables *t, const struct unwind_table *x,
		       const struct unwind_image *img, const u16 *numbers)
{
	const struct uw_page *pages = unwind_image_pages(img);
	const struct uw_row *rows = unwind_image_rows(img);
	u32 i;

	for (i = 0; i < x->nrows; i++)
		t->arrays.rows[x->row + i] =
			(struct uw_row){ .at = rows[i].at, .rule = numbers[rows[i].rule] };
	for (i = 0; i < x->npages; i++)
		t->arrays.pages[x->page + i] =
			(struct uw_page){ .first = x->row + pages[i].first, .n = pages[i].n };
}

static int add_image(struct unwind_tables *t, const struct unwind_image *img, u64 now_ns)
{
	const struct uw_image *head = unwind_image_head(img);
	_free_ u16 *numbers = calloc(MAX(head->nrules, 1U), sizeof(*numbers));
	struct unwind_table x = { .npages = head->npages, .nrows = head->nrows };
	struct unwind_table *place = make_room(t, now_ns);
	u32 i;
	int nr, err;

	if (!numbers)
		return -ENOMEM;
	if (!place)
		return -ENOSPC;
	for (i = 0; i < head->nrules; i++) {
		nr = rule_number(t, &unwind_image_rules(img)[i]);
		if (nr < 0)
			return nr;
		numbers[i] = (u16)nr;
	}
	err = take_ranges(t, &x, now_ns);
	if (err)
		return err;
	copy_table(t, &x, img, numbers);
	x.id = ++t->last_id;
	x.unused_ns = now_ns;
	*place = x;
	return (int)x.id;
}

int unwind_tables_add(struct unwind_tables *t, int fd, u64 now_ns)
{
	_release_(unwind_image) struct unwind_image img = { 0 };
	struct stat st;
	int err;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    t->last_id == INT32_MAX)
		return -EINVAL;
	err = unwind_image_read(&img, fd, 0, (u64)st.st_size);
	if (err)
		return err == -ENOMEM ? err : -EINVAL;
	if (!unwind_image_head(&img)->npages)
		return -EINVAL;
	err = add_image(t, &img, now_ns);
	t->refused += err == -ENOSPC;
	return err;
}

struct unwind_table *unwind_tables_find(struct unwind_tables *t, u32 id)
{
	u32 i;

	for (i = 0; id && i < UNWIND_TABLES_MAX; i++)
		if (t->v[i].id == id)
			return &t->v[i];
	return NULL;
}

void unwind_table_get(struct unwind_table *x)
{
	x->refs++;
}

void unwind_tables_put(struct unwind_tables *t, u32 id, u64 now_ns)
{
	struct unwind_table *x = unwind_tables_find(t, id);

	if (x && !--x->refs)
		x->unused_ns = now_ns;
}
