/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths into routes while they stream by. One struct routes for each namespace (the server side
 * of a target, or one peer that it calls). The rules stand in segment.c and route.c.
 */
#ifndef AGG_ROUTE_H
#define AGG_ROUTE_H

#include "base/buf.h"
#include "base/map.h"
#include "base/slice.h"

#define ROUTE_SEG_MAX 64 /* bytes of a segment that may stay literal */
#define ROUTE_SCRATCH (ROUTE_SEG_MAX + 8)
#define ROUTE_DEPTH_MAX 16 /* segments that are told apart */
#define ROUTE_FANOUT 40 /* default for routes_init() */
#define ROUTE_OTHER UINT32_MAX

struct route_node;

struct routes {
	struct route_node *nodes;
	u32 n;
	u32 cap;
	u32 max;
	u32 free; /* list of folded nodes to use again */
	u32 fanout;
	struct map children; /* hash of (parent, segment) -> node */
	/* Moves everything that *from has into *to. Called when paths fold into one. */
	void (*merge)(void *arg, void **to, void **from);
	void *arg;
};

/* What one path segment looks like. */
enum route_class {
	ROUTE_LITERAL = 0, /* also "item-{id}": the text with its variable part replaced */
	ROUTE_ID, /* {id} */
	ROUTE_UUID,
	ROUTE_HASH,
	ROUTE_TOKEN,
	ROUTE_DATE,
	ROUTE_EMAIL,
	ROUTE_TEXT, /* {text}: too long for a word */
	ROUTE_NAME, /* {name}: too many different ones */
	ROUTE_UNMATCHED, /* {unmatched}: nothing but 404 */
	ROUTE_REST, /* {rest}: deeper than ROUTE_DEPTH_MAX */
};

const char *route_class_text(enum route_class c); /* "{id}"; "" for literals */
/*
 * The segment that rest begins with, up to a '/' or the end; returns its length. *ret_text: the
 * segment with variable parts replaced, in rest, scratch or constant; empty when nothing is left
 * of it.
 */
size_t route_segment(struct slice rest, char scratch[ROUTE_SCRATCH], enum route_class *ret,
		     struct slice *ret_text);

int routes_init(struct routes *r, u32 fanout, u32 max_nodes,
		void (*merge)(void *arg, void **to, void **from), void *arg);
void routes_release(struct routes *r); /* the data pointers are the caller's to free before */
/*
 * The leaf that path belongs to: a handle for routes_data() until the next routes_add() or
 * routes_squeeze(), or ROUTE_OTHER when there is no room. missing: it was answered 404 or not at
 * all.
 */
u32 routes_add(struct routes *r, struct slice path, bool missing);
/* The same without adding anything; ROUTE_OTHER when it was never added. */
u32 routes_find(const struct routes *r, struct slice path);
void **routes_data(struct routes *r, u32 leaf);
void *routes_peek(const struct routes *r, u32 leaf);
/* Folds with half the fan-out from now on. False when there is nothing left to gain. */
bool routes_squeeze(struct routes *r);
/* Appends the leaf's text. Returns whether any part of it was replaced. */
bool routes_text(const struct routes *r, u32 leaf, struct buf *out);
/* Every leaf with data, unordered: for (i = 0; (l = routes_each(r, &i)) != ROUTE_OTHER;) */
u32 routes_each(const struct routes *r, u32 *i);

#endif
