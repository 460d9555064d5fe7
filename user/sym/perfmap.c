/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See perfmap.h. New lines are laid over what is known, the later line winning: a sweep over the starts
 * with a heap of the lines that cover the place, so that no order of lines costs more than sorting them.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "sym/demangle.h"
#include "sym/perfmap.h"

#define WINDOW (64 * 1024)
#define LINE_MAX_BYTES 2048 /* of a line that is read for its name */
#define BATCH (64u << 10) /* lines that are laid over at once */

void perfmap_init(struct perfmap *m)
{
	*m = (struct perfmap){ .fd = -1 };
}

static void forget(struct perfmap *m)
{
	free(m->entries);
	m->entries = NULL;
	m->n = 0;
	m->off = 0;
	m->skip = false;
	m->cut = false;
	m->last = (struct perfmap_entry){ 0 };
}

void perfmap_release(struct perfmap *m)
{
	forget(m);
	if (m->fd >= 0)
		close(m->fd);
	m->fd = -1;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A hexadecimal number and the space behind it; Java writes 0x before it, the others do not. */
static bool take_number(struct slice *s, u64 *ret)
{
	u64 v = 0;
	size_t i, n;

	if (slice_starts(*s, SLICE("0x")))
		*s = slice_of(s->p + 2, s->n - 2);
	for (i = 0; i < s->n && i < 16 && digit(s->p[i]) >= 0; i++)
		v = v << 4 | (u64)digit(s->p[i]);
	if (!i || i >= s->n || s->p[i] != ' ')
		return false;
	n = i + 1;
	*s = slice_of(s->p + n, s->n - n);
	*ret = v;
	return true;
}

/* A line without its end; name: what is left of it. False: it is no entry. */
static bool parse_line(struct slice line, struct perfmap_entry *ret, struct slice *ret_name)
{
	u64 start, size;

	if (!take_number(&line, &start) || !take_number(&line, &size) || !size || !line.n ||
	    size > UINT64_MAX - start)
		return false;
	ret->start = start;
	ret->end = start + size;
	*ret_name = line;
	return true;
}

static int cmp_start(const void *pa, const void *pb)
{
	const struct perfmap_entry *a = pa, *b = pb;

	return (a->start > b->start) - (a->start < b->start);
}

/* A heap of indices into v, the latest line on top. */
struct heap {
	const struct perfmap_entry *v;
	u32 *at;
	u32 n;
};

static bool later(const struct heap *h, u32 a, u32 b)
{
	return h->v[h->at[a]].off > h->v[h->at[b]].off;
}

static void swap(struct heap *h, u32 a, u32 b)
{
	u32 t = h->at[a];

	h->at[a] = h->at[b];
	h->at[b] = t;
}

static void heap_push(struct heap *h, u32 i)
{
	u32 c = h->n++;

	h->at[c] = i;
	for (; c && later(h, c, (c - 1) / 2); c = (c - 1) / 2)
		swap(h, c, (c - 1) / 2);
}

static void heap_pop(struct heap *h)
{
	u32 i = 0;

	h->at[0] = h->at[--h->n];
	for (;;) {
		u32 best = i, c = 2 * i + 1;

		if (c < h->n && later(h, c, best))
			best = c;
		if (c + 1 < h->n && later(h, c + 1, best))
			best = c + 1;
		if (best == i)
			return;
		swap(h, i, best);
		i = best;
	}
}

static void emit(struct perfmap_entry *out, u32 *n, u64 from, u64 to, u64 off)
{
	if (*n && out[*n - 1].end == from && out[*n - 1].off == off)
		out[*n - 1].end = to;
	else
		out[(*n)++] = (struct perfmap_entry){ .start = from, .end = to, .off = off };
}

/* v[0, n) by start → disjoint runs of the line that came last. Room for 2n of them. */
static u32 flatten(const struct perfmap_entry *v, u32 n, u32 *room, struct perfmap_entry *out)
{
	struct heap h = { .v = v, .at = room };
	u32 i, nout = 0;
	u64 pos = 0;

	for (i = 0; i <= n; i++) {
		u64 next = i < n ? v[i].start : UINT64_MAX;

		while (h.n && pos < next) {
			const struct perfmap_entry *top = &v[h.at[0]];
			u64 to = MIN(top->end, next);

			if (to > pos) {
				emit(out, &nout, pos, to, top->off);
				pos = to;
			}
			if (top->end <= pos)
				heap_pop(&h);
		}
		pos = next;
		if (i < n)
			heap_push(&h, i);
	}
	return nout;
}

static int cmp_off(const void *pa, const void *pb)
{
	u64 a = *(const u64 *)pa, b = *(const u64 *)pb;

	return (a > b) - (a < b);
}

/* Keeps the newest ones. */
static int drop_oldest(struct perfmap *m, struct perfmap_entry *v, u32 *n)
{
	_free_ u64 *offs = NULL;
	u32 i, kept = 0;
	u64 least;

	if (*n <= PERFMAP_ENTRIES_MAX)
		return 0;
	offs = malloc(*n * sizeof(*offs));
	if (!offs)
		return -ENOMEM;
	for (i = 0; i < *n; i++)
		offs[i] = v[i].off;
	qsort(offs, *n, sizeof(*offs), cmp_off);
	/* Half of the room, so that this is done seldom. */
	least = offs[*n - PERFMAP_ENTRIES_MAX / 2];
	for (i = 0; i < *n; i++)
		if (v[i].off >= least)
			v[kept++] = v[i];
	/* A line in many pieces has one place. */
	*n = MIN(kept, PERFMAP_ENTRIES_MAX);
	m->cut = true;
	return 0;
}

/* Lays add[0, n) over what is known; add gets sorted. */
static int lay_over(struct perfmap *m, struct perfmap_entry *add, u32 n)
{
	_free_ struct perfmap_entry *all = NULL, *out = NULL;
	_free_ u32 *room = NULL;
	u32 total = m->n + n, i = 0, j = 0, k;
	struct perfmap_entry *fit;
	int err;

	if (!n)
		return 0;
	qsort(add, n, sizeof(*add), cmp_start);
	all = malloc(total * sizeof(*all));
	out = malloc(2 * (size_t)total * sizeof(*out));
	room = malloc(total * sizeof(*room));
	if (!all || !out || !room)
		return -ENOMEM;
	for (k = 0; k < total; k++)
		all[k] = j == n || (i < m->n && m->entries[i].start <= add[j].start)
				 ? m->entries[i++]
				 : add[j++];
	k = flatten(all, total, room, out);
	err = drop_oldest(m, out, &k);
	if (err)
		return err;
	fit = realloc(out, MAX(k, 1U) * sizeof(*fit));
	free(m->entries);
	m->entries = fit ? fit : out;
	out = NULL;
	m->n = k;
	return 0;
}

static ssize_t read_at(int fd, void *buf, size_t n, u64 off)
{
	ssize_t got;

	do {
		got = pread(fd, buf, n, (off_t)off);
	} while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

struct batch {
	struct perfmap_entry v[BATCH];
	u32 n;
	char window[WINDOW];
};

/* Whole lines of the window; how many bytes they are. */
static size_t take_lines(struct perfmap *m, struct batch *b, size_t n)
{
	const char *p = b->window, *end = p + n, *nl;

	while (b->n < BATCH && (nl = memchr(p, '\n', (size_t)(end - p)))) {
		struct perfmap_entry *e = &b->v[b->n];
		struct slice name;

		if (!m->skip && parse_line(slice_of(p, (size_t)(nl - p)), e, &name)) {
			e->off = m->off + (u64)(p - b->window);
			m->last = *e;
			b->n++;
		}
		m->skip = false;
		p = nl + 1;
	}
	return (size_t)(p - b->window);
}

static int read_on(struct perfmap *m, u64 size)
{
	_free_ struct batch *b = malloc(sizeof(*b));
	int err = 0;

	if (!b)
		return -ENOMEM;
	b->n = 0;
	if (size - m->off > PERFMAP_READ_MAX) {
		m->off = size - PERFMAP_READ_MAX;
		m->skip = true;
		m->cut = true;
	}
	/* Not past the size of now, so that a file which grows fast does not hold us. */
	while (!err && m->off < size) {
		size_t want = (size_t)MIN(size - m->off, (u64)WINDOW), used;
		ssize_t got = read_at(m->fd, b->window, want, m->off);

		if (got <= 0)
			return got ? (int)got : lay_over(m, b->v, b->n);
		used = take_lines(m, b, (size_t)got);
		if (!used && b->n < BATCH) {
			if (got < WINDOW)
				break; /* the line's end is not written yet */
			m->skip = true;
			used = (size_t)got;
		}
		m->off += used;
		if (b->n == BATCH) {
			err = lay_over(m, b->v, b->n);
			b->n = 0;
		}
	}
	return err ? err : lay_over(m, b->v, b->n);
}

/* The entry whose line begins at off. */
static bool line_at(const struct perfmap *m, u64 off, char *buf, size_t cap,
		    struct perfmap_entry *ret, struct slice *ret_name)
{
	ssize_t n = m->fd < 0 ? -1 : read_at(m->fd, buf, cap, off);
	const char *nl;

	if (n <= 0)
		return false;
	nl = memchr(buf, '\n', (size_t)n);
	return parse_line(slice_of(buf, nl ? (size_t)(nl - buf) : (size_t)n), ret, ret_name);
}

/* Whether it is the file that was read so far, with more behind it. */
static bool goes_on(const struct perfmap *m, const struct stat *st)
{
	char line[64];
	struct perfmap_entry e;
	struct slice name;

	if (m->dev != st->st_dev || m->ino != st->st_ino || (u64)st->st_size < m->off)
		return false;
	return !m->last.end || (line_at(m, m->last.off, line, sizeof(line), &e, &name) &&
				e.start == m->last.start && e.end == m->last.end);
}

int perfmap_update(struct perfmap *m, int fd)
{
	struct stat st;
	int err;

	if (m->fd >= 0)
		close(m->fd);
	m->fd = fd;
	if (fd < 0) {
		forget(m);
		return 0;
	}
	err = fstat(fd, &st) ? -errno : S_ISREG(st.st_mode) && st.st_size >= 0 ? 0 : -EINVAL;
	if (err || !goes_on(m, &st))
		forget(m);
	if (err)
		return err;
	m->dev = st.st_dev;
	m->ino = st.st_ino;
	err = read_on(m, (u64)st.st_size);
	if (err)
		forget(m);
	return err;
}

const struct perfmap_entry *perfmap_find(const struct perfmap *m, u64 addr, u64 *ret_lo,
					 u64 *ret_hi)
{
	u32 lo = 0, hi = m->n;

	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (m->entries[mid].end <= addr)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo < m->n && m->entries[lo].start <= addr) {
		*ret_lo = m->entries[lo].start;
		*ret_hi = m->entries[lo].end;
		return &m->entries[lo];
	}
	*ret_lo = lo ? m->entries[lo - 1].end : 0;
	*ret_hi = lo < m->n ? m->entries[lo].start : UINT64_MAX;
	return NULL;
}

size_t perfmap_name(const struct perfmap *m, const struct perfmap_entry *e, char *to, size_t cap)
{
	char line[LINE_MAX_BYTES];
	struct perfmap_entry at;
	struct slice name;

	if (!line_at(m, e->off, line, sizeof(line), &at, &name) || at.start > e->start ||
	    at.end < e->end)
		return 0;
	while (name.n && (name.p[name.n - 1] == '\r' || name.p[name.n - 1] == ' '))
		name.n--;
	return name.n ? printable(name, to, cap) : 0;
}
