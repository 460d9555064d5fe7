/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Paths into routes, online: a tree of segments that folds where it becomes too wide.
 *
 * 1. A segment that looks like a value (segment.c) is replaced at once: /posts/42 is /posts/{id}.
 * 2. Other segments stay as they are, however rare, until a node has more than `fanout` (40) of
 *    them. Then, first, those that were never answered but by 404 fold with all that is below them
 *    into one row, {unmatched}; from then on a new segment answered 404 goes there, while new ones
 *    answered otherwise still get a row of their own. Scanners do not push out real paths.
 * 3. If there are still too many, the segments fold into {name}, and what is below them is merged.
 *    Kept are those with at least 50 requests and one in twenty of their node's. From then on a new
 *    segment is {name}.
 * 4. When the rows of a namespace run out, the fan-out is halved (down to 4) and the tree folded
 *    again; what still has no room then is counted under "(other)".
 * 5. A final slash makes another route. Empty segments are dropped. What is deeper than 16 segments
 *    is {rest}.
 *
 * Folding merges what was already counted, so no request is lost or counted twice. The order of
 * requests alone decides, so a replay gives the same routes.
 */
#include <errno.h>
#include <stdlib.h>
#include "agg/route.h"
#include "base/array.h"

#define NONE UINT32_MAX
#define FANOUT_MIN 4
#define KEEP_HITS 50
#define KEEP_SHARE 20
#define PATH_SCAN_MAX 8192

enum {
	ROOT = 0, /* paths that begin with '/' */
	ROOT_BARE = 1, /* "*", "host:port" */
	ROOTS = 2,
};

struct route_node {
	/* what every request touches, in one cache line */
	char *text;
	u64 hits;
	u64 found; /* of hits: not answered 404 */
	void *data[2]; /* paths that end here, without and with a final slash */
	u32 parent;
	u8 text_n;
	u8 class; /* enum route_class */
	bool used;
	bool folded; /* rule 3 */
	bool has_unmatched; /* rule 2 */
	bool replaced; /* text is not what the path had */
	u32 next; /* sibling; in a free node: next free one */
	u32 child;
	u32 literals; /* children of class ROUTE_LITERAL */
	u64 key; /* in routes.children */
};

static void routes_fold(struct routes *r, u32 at);

/*
 * Cheap, since the map mixes its keys. Texts of up to 8 bytes with one length and parent have
 * different keys, so those need no second look.
 */
static u64 child_key(u32 parent, enum route_class c, struct slice text)
{
	u64 h = (u64)parent << 8 | c, word = 0;

	if (c != ROUTE_LITERAL)
		return h;
	if (text.n > sizeof(word))
		return hash_bytes(text.p, text.n, h);
	memcpy(&word, text.p, text.n);
	return (word + text.n) * 0x9e3779b97f4a7c15ULL + h * 0xbf58476d1ce4e5b9ULL;
}

static bool child_is(const struct route_node *n, u32 at, enum route_class c, struct slice text)
{
	return n->parent == at && n->class == c &&
	       (c != ROUTE_LITERAL || (n->text_n == text.n && (text.n <= sizeof(u64) ||
							       !memcmp(n->text, text.p, text.n))));
}

static u32 child_find(const struct routes *r, u32 at, enum route_class c, struct slice text)
{
	const u64 *hit = map_find(&r->children, child_key(at, c, text));
	u32 i;

	if (!hit)
		return NONE;
	if (child_is(&r->nodes[*hit], at, c, text))
		return (u32)*hit;
	/* Keys of other children may collide, if somebody tries hard. */
	for (i = r->nodes[at].child; i != NONE; i = r->nodes[i].next)
		if (r->nodes[i].class == c &&
		    slice_eq(slice_of(r->nodes[i].text, r->nodes[i].text_n), text))
			return i;
	return NONE;
}

static void child_link(struct routes *r, u32 parent, u32 i)
{
	struct route_node *p = &r->nodes[parent], *n = &r->nodes[i];

	n->parent = parent;
	n->next = p->child;
	p->child = i;
	p->literals += n->class == ROUTE_LITERAL;
	p->folded |= n->class == ROUTE_NAME;
	p->has_unmatched |= n->class == ROUTE_UNMATCHED;
	n->key = child_key(parent, n->class, slice_of(n->text, n->text_n));
}

static void child_unlink(struct routes *r, u32 i)
{
	struct route_node *n = &r->nodes[i];
	u32 *link = &r->nodes[n->parent].child;
	const u64 *hit;

	while (*link != i)
		link = &r->nodes[*link].next;
	*link = n->next;
	r->nodes[n->parent].literals -= n->class == ROUTE_LITERAL;
	hit = map_find(&r->children, n->key);
	if (hit && *hit == i)
		map_del(&r->children, n->key);
}

static u32 node_new(struct routes *r, bool force)
{
	u32 i = r->free;

	if (i != NONE) {
		r->free = r->nodes[i].next;
	} else {
		if ((r->n >= r->max && !force) ||
		    !array_room(&r->nodes, r->n, &r->cap, UINT32_MAX, sizeof(*r->nodes)))
			return NONE;
		i = r->n++;
	}
	memset(&r->nodes[i], 0, sizeof(r->nodes[i]));
	r->nodes[i].child = NONE;
	r->nodes[i].used = true;
	return i;
}

static void node_free(struct routes *r, u32 i)
{
	struct route_node *n = &r->nodes[i];

	free(n->text);
	memset(n, 0, sizeof(*n));
	n->next = r->free;
	r->free = i;
}

/* force: for folding, which frees more nodes than it makes. */
static u32 child_new(struct routes *r, u32 at, enum route_class c, struct slice text, bool force)
{
	char *copy = malloc(text.n + 1);
	u32 i;

	if (!copy)
		return NONE;
	i = node_new(r, force);
	if (i == NONE) {
		free(copy);
		return NONE;
	}
	memcpy(copy, text.p, text.n);
	copy[text.n] = '\0';
	r->nodes[i].text = copy;
	r->nodes[i].text_n = (u8)text.n;
	r->nodes[i].class = c;
	r->nodes[i].replaced = c != ROUTE_LITERAL || memchr(text.p, '{', text.n);
	child_link(r, at, i);
	if (!map_find(&r->children, r->nodes[i].key) && map_put(&r->children, r->nodes[i].key, i)) {
		child_unlink(r, i);
		node_free(r, i);
		return NONE;
	}
	return i;
}

static u32 child_class(struct routes *r, u32 at, enum route_class c, bool force)
{
	struct slice text = slice_str(route_class_text(c));
	u32 i = child_find(r, at, c, text);

	return i != NONE ? i : child_new(r, at, c, text, force);
}

/* Everything at and below from (already unlinked) becomes data of to. */
static void node_drain(struct routes *r, u32 to, u32 from)
{
	int s;

	for (s = 0; s < 2; s++)
		if (r->nodes[from].data[s])
			r->merge(r->arg, &r->nodes[to].data[0], &r->nodes[from].data[s]);
	r->nodes[to].hits += r->nodes[from].hits;
	r->nodes[to].found += r->nodes[from].found;
	while (r->nodes[from].child != NONE) {
		u32 c = r->nodes[from].child;

		child_unlink(r, c);
		node_drain(r, to, c);
	}
	node_free(r, from);
}

/* from (already unlinked) and its children become one with to and to's children. */
static void node_absorb(struct routes *r, u32 to, u32 from)
{
	int s;

	for (s = 0; s < 2; s++)
		if (r->nodes[from].data[s])
			r->merge(r->arg, &r->nodes[to].data[s], &r->nodes[from].data[s]);
	r->nodes[to].hits += r->nodes[from].hits;
	r->nodes[to].found += r->nodes[from].found;
	while (r->nodes[from].child != NONE) {
		u32 c = r->nodes[from].child, same;
		const struct route_node *n = &r->nodes[c];
		enum route_class class = n->class;

		same = child_find(r, to, class, slice_of(n->text, n->text_n));
		child_unlink(r, c);
		if (same == NONE && class == ROUTE_LITERAL) {
			if (r->nodes[to].folded) {
				same = child_class(r, to, ROUTE_NAME, true);
			} else if (!r->nodes[c].found && r->nodes[to].has_unmatched) {
				same = child_class(r, to, ROUTE_UNMATCHED, true);
				if (same != NONE) {
					node_drain(r, same, c);
					continue;
				}
			}
		}
		if (same != NONE) {
			node_absorb(r, same, c);
			continue;
		}
		child_link(r, to, c);
		/* One was deleted just now, so there is room. */
		if (!map_find(&r->children, r->nodes[c].key))
			map_put(&r->children, r->nodes[c].key, c);
	}
	node_free(r, from);
	if (r->nodes[to].literals > r->fanout)
		routes_fold(r, to);
}

static bool node_keeps(const struct routes *r, u32 at, u32 i)
{
	const struct route_node *n = &r->nodes[i];

	return n->class != ROUTE_LITERAL ||
	       (n->hits >= KEEP_HITS && n->hits * KEEP_SHARE >= r->nodes[at].hits);
}

/* Folds the literal children of at: only the 404 ones into {unmatched}, or all into {name}. */
static void fold_children(struct routes *r, u32 at, enum route_class into)
{
	u32 to = child_class(r, at, into, true), i, next;

	if (to == NONE)
		return;
	for (i = r->nodes[at].child; i != NONE; i = next) {
		next = r->nodes[i].next;
		if (node_keeps(r, at, i) || (into == ROUTE_UNMATCHED && r->nodes[i].found))
			continue;
		child_unlink(r, i);
		if (into == ROUTE_UNMATCHED)
			node_drain(r, to, i);
		else
			node_absorb(r, to, i);
	}
}

static void routes_fold(struct routes *r, u32 at)
{
	bool only_404 = false;
	u32 i;

	for (i = r->nodes[at].child; i != NONE && !only_404; i = r->nodes[i].next)
		only_404 = !r->nodes[i].found && !node_keeps(r, at, i);
	if (only_404)
		fold_children(r, at, ROUTE_UNMATCHED);
	if (r->nodes[at].literals > r->fanout)
		fold_children(r, at, ROUTE_NAME);
}

int routes_init(struct routes *r, u32 fanout, u32 max_nodes,
		void (*merge)(void *arg, void **to, void **from), void *arg)
{
	u32 i;

	memset(r, 0, sizeof(*r));
	r->fanout = MAX(fanout, FANOUT_MIN);
	r->max = max_nodes;
	r->free = NONE;
	r->merge = merge;
	r->arg = arg;
	map_init(&r->children, SIZE_MAX);
	for (i = 0; i < ROOTS; i++)
		if (node_new(r, true) == NONE) {
			routes_release(r);
			return -ENOMEM;
		}
	return 0;
}

void routes_release(struct routes *r)
{
	u32 i;

	for (i = 0; i < r->n; i++)
		free(r->nodes[i].text);
	free(r->nodes);
	map_release(&r->children);
	memset(r, 0, sizeof(*r));
}

/* A path taken apart, one segment at a time. */
struct walk {
	const char *p;
	const char *end;
	u32 depth;
	enum route_class class;
	struct slice text;
	char scratch[ROUTE_SCRATCH];
};

static u32 walk_start(struct walk *w, struct slice path)
{
	w->p = path.p;
	w->end = path.p + MIN(path.n, PATH_SCAN_MAX);
	w->depth = 0;
	return path.n && path.p[0] != '/' ? ROOT_BARE : ROOT;
}

/* The next segment of which anything is left. */
static bool walk_next(struct walk *w)
{
	do {
		while (w->p < w->end && *w->p == '/')
			w->p++;
		if (w->p == w->end)
			return false;
		w->p += route_segment(slice_of(w->p, (size_t)(w->end - w->p)), w->scratch,
				      &w->class, &w->text);
	} while (!w->text.n);
	w->depth++;
	return true;
}

/* The roots have one leaf only. */
static u32 leaf_of(u32 at, const struct walk *w)
{
	return at * 2 + (at >= ROOTS && w->end[-1] == '/');
}

static u32 child_literal(struct routes *r, u32 at, struct slice text, bool missing)
{
	u32 i = child_find(r, at, ROUTE_LITERAL, text);

	if (i != NONE)
		return i;
	if (r->nodes[at].folded)
		return child_class(r, at, ROUTE_NAME, false);
	if (missing && r->nodes[at].has_unmatched)
		return child_class(r, at, ROUTE_UNMATCHED, false);
	i = child_new(r, at, ROUTE_LITERAL, text, false);
	if (i == NONE || r->nodes[at].literals <= r->fanout)
		return i;
	r->nodes[i].found = !missing; /* so that folding knows; counted again by the caller */
	routes_fold(r, at);
	i = child_find(r, at, ROUTE_LITERAL, text);
	if (i != NONE) {
		r->nodes[i].found = 0;
		return i;
	}
	return child_class(r, at, r->nodes[at].folded ? ROUTE_NAME : ROUTE_UNMATCHED, true);
}

u32 routes_add(struct routes *r, struct slice path, bool missing)
{
	struct walk w;
	u32 at = walk_start(&w, path);

	r->nodes[at].hits++;
	r->nodes[at].found += !missing;
	while (walk_next(&w)) {
		if (w.depth > ROUTE_DEPTH_MAX) {
			at = child_class(r, at, ROUTE_REST, false);
			return at == NONE ? ROUTE_OTHER : at * 2;
		}
		if (w.class == ROUTE_LITERAL) {
			at = child_literal(r, at, w.text, missing);
		} else {
			u32 i = child_find(r, at, w.class, w.text);

			at = i != NONE ? i : child_new(r, at, w.class, w.text, false);
		}
		if (at == NONE)
			return ROUTE_OTHER;
		r->nodes[at].hits++;
		r->nodes[at].found += !missing;
		if (r->nodes[at].class == ROUTE_UNMATCHED)
			return at * 2;
	}
	return leaf_of(at, &w);
}

u32 routes_find(const struct routes *r, struct slice path)
{
	struct walk w;
	u32 at = walk_start(&w, path), i;

	while (walk_next(&w)) {
		if (w.depth > ROUTE_DEPTH_MAX) {
			at = child_find(r, at, ROUTE_REST, SLICE("{rest}"));
			return at == NONE ? ROUTE_OTHER : at * 2;
		}
		i = child_find(r, at, w.class, w.text);
		if (i == NONE && w.class == ROUTE_LITERAL)
			i = child_find(r, at, ROUTE_NAME, SLICE("{name}"));
		if (i == NONE && w.class == ROUTE_LITERAL) {
			i = child_find(r, at, ROUTE_UNMATCHED, SLICE("{unmatched}"));
			return i == NONE ? ROUTE_OTHER : i * 2;
		}
		if (i == NONE)
			return ROUTE_OTHER;
		at = i;
	}
	return leaf_of(at, &w);
}

void **routes_data(struct routes *r, u32 leaf)
{
	return &r->nodes[leaf / 2].data[leaf & 1];
}

void *routes_peek(const struct routes *r, u32 leaf)
{
	return r->nodes[leaf / 2].data[leaf & 1];
}

bool routes_squeeze(struct routes *r)
{
	u32 i;

	if (r->fanout <= FANOUT_MIN)
		return false;
	r->fanout = MAX(r->fanout / 2, FANOUT_MIN);
	for (i = 0; i < r->n; i++)
		if (r->nodes[i].used && r->nodes[i].literals > r->fanout)
			routes_fold(r, i);
	return true;
}

bool routes_text(const struct routes *r, u32 leaf, struct buf *out)
{
	u32 up[ROUTE_DEPTH_MAX + 2], n = 0, i = leaf / 2;
	bool replaced = false;

	for (; i >= ROOTS && n < ARRAY_SIZE(up); i = r->nodes[i].parent)
		up[n++] = i;
	if (!n)
		buf_adds(out, "/");
	while (n--) {
		const struct route_node *node = &r->nodes[up[n]];

		if (i != ROOT_BARE || node->parent != ROOT_BARE)
			buf_adds(out, "/");
		buf_add(out, node->text, node->text_n);
		replaced |= node->replaced;
	}
	if (leaf & 1)
		buf_adds(out, "/");
	return replaced;
}

u32 routes_each(const struct routes *r, u32 *i)
{
	for (; *i < r->n * 2; (*i)++)
		if (r->nodes[*i / 2].used && routes_peek(r, *i))
			return (*i)++;
	return ROUTE_OTHER;
}
