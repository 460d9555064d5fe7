/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of HTTP exchanges on a tree of routes. Input: finished exchanges of one namespace. Output:
 * one row for each (method, route) with counts, status codes and latencies.
 *
 * An exchange that was under way at attach or detach only counts as such: it has no latency, and
 * its status or bytes would make figures that no other tool can confirm.
 */
#include <errno.h>
#include <stdlib.h>
#include "agg/httprow.h"
#include "agg/text.h"

#define HTTP_NODES_PER_ROW 8

static void row_free(struct http_row *row)
{
	if (!row)
		return;
	free(row->codes);
	hist_release(&row->latency);
	hist_release(&row->connect);
	free(row);
}

static void row_code(struct http_row *row, u16 status, u64 n)
{
	struct agg_code *c = row->codes;
	u32 i;

	for (i = 0; i < row->ncodes && c[i].status < status; i++)
		;
	if (i < row->ncodes && c[i].status == status) {
		c[i].n += n;
		return;
	}
	if (row->ncodes == HTTP_CODES_MAX)
		return;
	if (!(row->ncodes & (row->ncodes - 1))) { /* full at every power of two */
		c = realloc(c, MAX(row->ncodes * 2, 1U) * sizeof(*c));
		if (!c)
			return;
		row->codes = c;
	}
	memmove(&c[i + 1], &c[i], (row->ncodes - i) * sizeof(*c));
	c[i] = (struct agg_code){ .status = status, .n = n };
	row->ncodes++;
}

static void row_count(struct http_row *row, const struct http_exchange *x)
{
	bool aborted = x->flags & SPAN_ABORTED;

	if (x->flags & SPAN_AT_ATTACH) {
		row->at_attach++;
		return;
	}
	if (x->flags & SPAN_AT_DETACH) {
		row->at_detach++;
		return;
	}
	row->count++;
	row->errors += x->status >= 500;
	row->aborted += aborted;
	row->failed += aborted || x->status >= 500;
	row->timeouts += !!(x->flags & SPAN_TIMEOUT);
	row->request_bytes += x->request_bytes;
	row->response_bytes += x->response_bytes;
	row_code(row, x->status, 1);
	if (span_timed(x->flags) && x->end_ns >= x->start_ns && x->start_ns)
		hist_add(&row->latency, (double)(x->end_ns - x->start_ns));
	else
		row->untimed++;
}

static void row_merge(struct http_row *to, const struct http_row *from)
{
	u32 i;

	to->count += from->count;
	to->errors += from->errors;
	to->aborted += from->aborted;
	to->failed += from->failed;
	to->timeouts += from->timeouts;
	to->untimed += from->untimed;
	to->at_attach += from->at_attach;
	to->at_detach += from->at_detach;
	to->request_bytes += from->request_bytes;
	to->response_bytes += from->response_bytes;
	for (i = 0; i < from->ncodes; i++)
		row_code(to, from->codes[i].status, from->codes[i].n);
	hist_merge(&to->latency, &from->latency);
	hist_merge(&to->connect, &from->connect);
}

/* Two leaves become one: rows of the same method add up, others move. */
static void tree_merge(void *arg, void **to, void **from)
{
	struct http_tree *t = arg;
	struct http_row *row = *from, *next, *same;

	*from = NULL;
	for (; row; row = next) {
		next = row->next;
		for (same = *to; same && same->method != row->method; same = same->next)
			;
		if (same) {
			row_merge(same, row);
			if (t->budget->bound)
				bound_row_merge(t->budget->bound, same->number, row->number);
			row_free(row);
			t->budget->rows--;
		} else {
			row->next = *to;
			*to = row;
		}
	}
}

int http_tree_init(struct http_tree *t, struct strpool *texts, struct http_budget *budget,
		   u32 fanout)
{
	memset(t, 0, sizeof(*t));
	t->texts = texts;
	t->budget = budget;
	return routes_init(&t->routes, fanout, budget->max * HTTP_NODES_PER_ROW, tree_merge, t);
}

void http_tree_release(struct http_tree *t)
{
	u32 i = 0, leaf;

	while ((leaf = routes_each(&t->routes, &i)) != ROUTE_OTHER) {
		struct http_row *row = routes_peek(&t->routes, leaf), *next;

		for (; row; row = next) {
			next = row->next;
			row_free(row);
		}
	}
	row_free(t->unknown);
	row_free(t->other);
	routes_release(&t->routes);
	memset(t, 0, sizeof(*t));
}

/* Few methods, so a scan beats a hash. Those past the limit share one text. */
static const char *tree_method(struct http_tree *t, struct slice method)
{
	u32 i;

	for (i = 0; i < t->nmethods; i++)
		if (t->method_n[i] == method.n && !memcmp(t->methods[i], method.p, method.n))
			return t->methods[i];
	if (i == HTTP_METHODS_MAX || method.n > 32)
		return strpool_get(t->texts, STRPOOL_OTHER).p;
	t->methods[i] = text_add(t->texts, method);
	t->method_n[i] = (u8)strlen(t->methods[i]);
	t->nmethods++;
	return t->methods[i];
}

static struct http_row *row_make(const struct http_tree *t)
{
	struct http_row *row = calloc(1, sizeof(*row));

	if (row && t->budget->bound)
		row->number = bound_row_new(t->budget->bound);
	return row;
}

static struct http_row *tree_special(struct http_tree *t, struct http_row **slot)
{
	if (!*slot) {
		*slot = row_make(t);
		if (*slot)
			(*slot)->method = strpool_get(t->texts, 0).p;
	}
	return *slot;
}

static struct http_row *row_find(const struct http_tree *t, u32 leaf, const char *method)
{
	struct http_row *row = leaf == ROUTE_OTHER ? NULL : routes_peek(&t->routes, leaf);

	while (row && row->method != method)
		row = row->next;
	return row;
}

static struct http_row *row_new(struct http_tree *t, u32 leaf, const char *method,
				struct slice path)
{
	struct http_row *row, **slot;

	while (leaf == ROUTE_OTHER || t->budget->rows >= t->budget->max) {
		if (!routes_squeeze(&t->routes))
			return NULL;
		leaf = routes_find(&t->routes, path);
		row = row_find(t, leaf, method);
		if (row)
			return row;
	}
	row = row_make(t);
	if (!row)
		return NULL;
	row->method = method;
	slot = (struct http_row **)routes_data(&t->routes, leaf);
	row->next = *slot;
	*slot = row;
	t->budget->rows++;
	return row;
}

struct http_row *http_tree_add(struct http_tree *t, const struct http_exchange *x)
{
	struct http_row *row;

	if (!x->method.n || !x->path.n) {
		row = tree_special(t, &t->unknown);
	} else {
		const char *method = tree_method(t, x->method);
		bool missing = x->status == 404 || !x->status;
		u32 leaf = routes_add(&t->routes, x->path, missing);

		row = row_find(t, leaf, method);
		if (!row)
			row = row_new(t, leaf, method, x->path);
		if (!row) {
			t->budget->folded++;
			row = tree_special(t, &t->other);
		}
	}
	if (row)
		row_count(row, x);
	return row;
}

u32 http_tree_rows(const struct http_tree *t)
{
	u32 i = 0, leaf, n = !!t->unknown + !!t->other;
	const struct http_row *row;

	while ((leaf = routes_each(&t->routes, &i)) != ROUTE_OTHER)
		for (row = routes_peek(&t->routes, leaf); row; row = row->next)
			n++;
	return n;
}

void http_tree_each(const struct http_tree *t,
		    void (*fn)(void *arg, struct http_row *row, const struct buf *route,
			       bool replaced),
		    void *arg)
{
	struct buf text = BUF_INIT;
	u32 i = 0, leaf;

	while ((leaf = routes_each(&t->routes, &i)) != ROUTE_OTHER) {
		struct http_row *row;
		bool replaced;

		buf_clear(&text);
		replaced = routes_text(&t->routes, leaf, &text);
		for (row = routes_peek(&t->routes, leaf); row; row = row->next)
			fn(arg, row, &text, replaced);
	}
	if (t->unknown) {
		buf_clear(&text);
		buf_adds(&text, "(unknown)");
		fn(arg, t->unknown, &text, false);
	}
	if (t->other) {
		buf_clear(&text);
		buf_adds(&text, "(other)");
		fn(arg, t->other, &text, false);
	}
	buf_release(&text);
}

void http_tree_route(const struct http_tree *t, struct slice method, struct slice path,
		     struct buf *out)
{
	u32 leaf;

	if (!method.n || !path.n) {
		buf_adds(out, "(unknown)");
		return;
	}
	leaf = routes_find(&t->routes, path);
	if (leaf == ROUTE_OTHER || !routes_peek(&t->routes, leaf))
		buf_adds(out, "(other)");
	else
		routes_text(&t->routes, leaf, out);
}
