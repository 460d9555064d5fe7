/* SPDX-License-Identifier: Apache-2.0 */
/* See image.h. */
#include <errno.h>
#include <fcntl.h>
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "image.h"

#define LINES_MAX 65536U
#define LINE_BYTES (8 * IMAGE_LINE_WORDS)
#define MAPS_MAX 64U
#define FILL 0x5a
#define SNAPSHOTS_MAX 1024U
#define RAW_MAX (64U << 20)
#define MAGIC 0x31677568 /* "hug1" */

struct uwimage_head {
	u32 magic;
	u32 raw; /* bytes of what follows, before it was compressed */
};

struct uwimage_counts {
	u32 maps, pages, rules, snapshots;
	u32 npages; /* of all maps, with those that have no rows here */
	u32 nrows;
	u32 python; /* bytes of a struct py_runtime that follows these, or 0 */
	u32 pad0;
};

struct page_head {
	u32 page;
	u32 n; /* rows that follow */
};

struct line_head {
	u64 at;
	u64 known; /* mask; its words follow */
};

struct stack_head {
	u32 n; /* frames that follow */
	u32 stop;
};

void uwimage_memory_init(struct uwimage_memory *m, uwk_read_fn *fetch, void *arg)
{
	*m = (struct uwimage_memory){ .fetch = fetch, .arg = arg };
	map_init(&m->of, LINES_MAX);
}

void uwimage_memory_clear(struct uwimage_memory *m)
{
	map_clear(&m->of);
	m->n = 0;
}

void uwimage_memory_release(struct uwimage_memory *m)
{
	map_release(&m->of);
	free(m->lines);
}

static struct uwimage_line *line_add(struct uwimage_memory *m, u64 at)
{
	u32 cap = m->cap ? 2 * m->cap : 256;
	struct uwimage_line *p;

	if (m->n == m->cap) {
		p = realloc(m->lines, cap * sizeof(*p));
		if (!p)
			return NULL;
		m->lines = p;
		m->cap = cap;
	}
	if (map_put(&m->of, at, m->n))
		return NULL;
	m->lines[m->n] = (struct uwimage_line){ .at = at };
	return &m->lines[m->n++];
}

static struct uwimage_line *line_of(struct uwimage_memory *m, u64 at)
{
	const u64 *i = map_find(&m->of, at);
	struct uwimage_line *line;

	if (i)
		return &m->lines[*i];
	if (!m->fetch)
		return NULL;
	line = line_add(m, at);
	if (line && !m->fetch(m->arg, at, line->word, LINE_BYTES))
		line->known = 0xff;
	return line;
}

static int read_lines(struct uwimage_memory *m, u64 at, u8 *dst, u32 n, bool ask)
{
	u64 words[IMAGE_LINE_WORDS];

	while (n) {
		u32 off = at % LINE_BYTES, take = MIN(LINE_BYTES - off, n), i;
		struct uwimage_line *line = line_of(m, at - off);

		if (!line && !m->filled)
			return -EFAULT;
		memset(words, FILL, sizeof(words));
		for (i = off / 8; i <= (off + take - 1) / 8; i++) {
			bool known = line && line->known & 1U << i;

			if (!known && !m->filled)
				return -EFAULT;
			if (known)
				words[i] = line->word[i];
			if (known && ask)
				line->asked |= (u8)(1U << i);
		}
		memcpy(dst, (const u8 *)words + off, take);
		at += take;
		dst += take;
		n -= take;
	}
	return 0;
}

int uwimage_memory_read(void *memory, __u64 at, void *dst, __u32 n)
{
	return read_lines(memory, at, dst, n, true);
}

int uwimage_memory_peek(void *memory, __u64 at, void *dst, __u32 n)
{
	return read_lines(memory, at, dst, n, false);
}

static bool same_map(const struct uw_map *a, const struct uw_map *b)
{
	return a->start == b->start && a->end == b->end && a->kind == b->kind;
}

static int by_start(const void *a, const void *b)
{
	const struct uw_map *x = a, *y = b;

	return (x->start > y->start) - (x->start < y->start);
}

/* The mapping, and the page of its table, that a frame was looked up in. */
static void use_frame(struct uwimage *img, const struct uwk_arrays *a, const struct uw_proc *proc,
		      const struct ev_frame *f)
{
	u64 pc = f->addr - !(f->extra & HP_FRAME_EXACT), page;
	const struct uw_map *m = a->maps + proc->first;
	u32 i;

	for (i = 0; i < proc->n && !(pc >= m->start && pc < m->end); i++)
		m++;
	if (i == proc->n)
		return;
	page = (pc - m->bias) >> UW_PAGE_SHIFT;
	if (m->kind == UW_MAP_TABLE && page < m->npages)
		img->used[m->page + page] = 1;
	for (i = 0; i < img->proc.n && !same_map(m, &img->arrays.maps[i]); i++)
		;
	if (i < img->proc.n || i == MAPS_MAX)
		return;
	img->arrays.maps[img->proc.n++] = *m;
	qsort(img->arrays.maps, img->proc.n, sizeof(*m), by_start);
}

int uwimage_add(struct uwimage *img, const struct uwk_arrays *arrays, const struct uw_proc *proc,
		struct uwimage_snapshot *s)
{
	struct uwimage_snapshot *p;
	u32 i;

	if (!img->used) {
		img->used = calloc(arrays->npages, 1);
		img->arrays.maps = calloc(MAPS_MAX, sizeof(*img->arrays.maps));
	}
	p = realloc(img->snapshots, (img->n + 1) * sizeof(*p));
	if (p)
		img->snapshots = p;
	if (!p || !img->used || !img->arrays.maps || img->n == SNAPSHOTS_MAX)
		return -ENOMEM;
	for (i = 0; i < s->native.n; i++)
		use_frame(img, arrays, proc, &s->native.frames[i]);
	if (s->mixed.n) {
		img->proc.python = 1;
		img->arrays.python = arrays->python;
	}
	img->snapshots[img->n++] = *s;
	s->memory = (struct uwimage_memory){ 0 };
	return 0;
}

/* Rules are numbered anew, by first use. */
static u16 uwimage_rule(u16 *number, u16 *list, u32 *n, u16 rule)
{
	if (!number[rule]) {
		list[*n] = rule;
		number[rule] = (u16)++ * n;
	}
	return (u16)(number[rule] - 1);
}

static void add_stack(struct buf *out, const struct uwk_stack *s)
{
	const struct stack_head head = { s->n, s->stop };

	buf_add(out, &head, sizeof(head));
	buf_add(out, s->frames, s->n * sizeof(s->frames[0]));
}

static void add_snapshot(struct buf *out, const struct uwimage_snapshot *s)
{
	u32 i, j, lines = 0;

	for (i = 0; i < s->memory.n; i++)
		lines += s->memory.lines[i].asked != 0;
	buf_add(out, s->regs, sizeof(s->regs));
	buf_add(out, &s->agreed, sizeof(s->agreed));
	buf_add(out, &lines, sizeof(lines));
	for (i = 0; i < s->memory.n; i++) {
		const struct uwimage_line *line = &s->memory.lines[i];
		const struct line_head head = { line->at, line->asked };

		if (!line->asked)
			continue;
		buf_add(out, &head, sizeof(head));
		for (j = 0; j < IMAGE_LINE_WORDS; j++)
			if (line->asked & 1U << j)
				buf_add(out, &line->word[j], sizeof(line->word[j]));
	}
	add_stack(out, &s->native);
	add_stack(out, &s->mixed);
}

static void add_pages(const struct uwimage *img, const struct uwk_arrays *a, struct buf *out,
		      struct uwimage_counts *counts, u16 *number, u16 *list)
{
	u32 i, p, r, base = 0;

	for (i = 0; i < img->proc.n; base += img->arrays.maps[i++].npages)
		for (p = 0; p < img->arrays.maps[i].npages; p++) {
			const u32 at = img->arrays.maps[i].page + p;
			const struct page_head head = { base + p, a->pages[at].n };

			if (!img->used[at] || !head.n)
				continue;
			buf_add(out, &head, sizeof(head));
			for (r = 0; r < head.n; r++) {
				struct uw_row row = a->rows[a->pages[at].first + r];

				row.rule = uwimage_rule(number, list, &counts->rules, row.rule);
				buf_add(out, &row, sizeof(row));
			}
			counts->pages++;
			counts->nrows += head.n;
		}
	counts->npages = base;
}

static int write_xz(const struct buf *raw, const char *path)
{
	struct uwimage_head head = { MAGIC, (u32)raw->n };
	size_t room = lzma_stream_buffer_bound(raw->n), n = 0;
	_free_ u8 *out = malloc(room);
	_close_ int fd = -1;
	int err;

	if (!out || raw->oom || raw->n > RAW_MAX)
		return -ENOMEM;
	if (lzma_easy_buffer_encode(9 | LZMA_PRESET_EXTREME, LZMA_CHECK_CRC32, NULL,
				    (const u8 *)raw->p, raw->n, out, &n, room) != LZMA_OK)
		return -ENOMEM;
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	err = fd_write_all(fd, &head, sizeof(head));
	return err ? err : fd_write_all(fd, out, n);
}

int uwimage_write(const struct uwimage *img, const struct uwk_arrays *arrays, const char *path)
{
	_release_(buf) struct buf pages = BUF_INIT, raw = BUF_INIT;
	_free_ u16 *number = calloc(UW_RULES_MAX, sizeof(*number));
	_free_ u16 *list = calloc(UW_RULES_MAX, sizeof(*list));
	struct uwimage_counts counts = { .maps = img->proc.n,
					 .snapshots = img->n,
					 .python =
						 img->proc.python ? sizeof(struct py_runtime) : 0 };
	u32 i, base = 0;

	if (!number || !list)
		return -ENOMEM;
	uwimage_rule(number, list, &counts.rules, UW_RULE_NONE);
	add_pages(img, arrays, &pages, &counts, number, list);
	buf_add(&raw, &counts, sizeof(counts));
	buf_add(&raw, &img->arrays.python, counts.python);
	for (i = 0; i < img->proc.n; i++) {
		struct uw_map m = img->arrays.maps[i];

		m.page = base;
		base += m.npages;
		buf_add(&raw, &m, sizeof(m));
	}
	buf_add(&raw, pages.p, pages.n);
	for (i = 0; i < counts.rules; i++)
		buf_add(&raw, &arrays->rules[list[i]], sizeof(struct uw_rule));
	for (i = 0; i < img->n; i++)
		add_snapshot(&raw, &img->snapshots[i]);
	if (pages.oom)
		return -ENOMEM;
	return write_xz(&raw, path);
}

struct cursor {
	const u8 *p, *end;
};

static bool take(struct cursor *c, void *dst, size_t n)
{
	if ((size_t)(c->end - c->p) < n)
		return false;
	memcpy(dst, c->p, n);
	c->p += n;
	return true;
}

static bool take_stack(struct cursor *c, struct uwk_stack *s)
{
	struct stack_head head;

	if (!take(c, &head, sizeof(head)) || head.n > ARRAY_SIZE(s->frames))
		return false;
	s->n = head.n;
	s->stop = (u8)head.stop;
	return take(c, s->frames, head.n * sizeof(s->frames[0]));
}

static bool take_snapshot(struct cursor *c, struct uwimage_snapshot *s)
{
	struct line_head head;
	u32 lines, j;

	uwimage_memory_init(&s->memory, NULL, NULL);
	if (!take(c, s->regs, sizeof(s->regs)) || !take(c, &s->agreed, sizeof(s->agreed)) ||
	    !take(c, &lines, sizeof(lines)))
		return false;
	while (lines--) {
		struct uwimage_line *line =
			take(c, &head, sizeof(head)) ? line_add(&s->memory, head.at) : NULL;

		if (!line)
			return false;
		line->known = (u8)head.known;
		for (j = 0; j < IMAGE_LINE_WORDS; j++)
			if (line->known & 1U << j && !take(c, &line->word[j], 8))
				return false;
	}
	return take_stack(c, &s->native) && take_stack(c, &s->mixed);
}

static bool take_tables(struct cursor *c, struct uwimage *img, const struct uwimage_counts *counts)
{
	struct uwk_arrays *a = &img->arrays;
	u32 i, row = 0;

	*a = (struct uwk_arrays){
		.rules = calloc(counts->rules, sizeof(*a->rules)),
		/* Rows lie in whole leaves. */
		.nrows = (counts->nrows / UW_LEAF_ROWS + 1) * UW_LEAF_ROWS,
		.pages = calloc(counts->npages + 1, sizeof(*a->pages)),
		.maps = calloc(counts->maps + 1, sizeof(*a->maps)),
		.nrules = counts->rules,
		.npages = counts->npages,
		.nmaps = counts->maps,
	};
	a->rows = calloc(a->nrows, sizeof(*a->rows));
	if (!a->rules || !a->rows || !a->pages || !a->maps ||
	    !take(c, &a->python, counts->python) ||
	    !take(c, a->maps, counts->maps * sizeof(*a->maps)))
		return false;
	for (i = 0; i < counts->pages; i++) {
		struct page_head head;

		if (!take(c, &head, sizeof(head)) || head.page >= a->npages ||
		    head.n > a->nrows - row)
			return false;
		a->pages[head.page] = (struct uw_page){ .first = row, .n = head.n };
		if (!take(c, a->rows + row, head.n * sizeof(*a->rows)))
			return false;
		row += head.n;
	}
	return take(c, a->rules, counts->rules * sizeof(*a->rules));
}

static bool take_image(struct cursor *c, struct uwimage *img)
{
	struct uwimage_counts counts;

	if (!take(c, &counts, sizeof(counts)) || counts.maps > MAPS_MAX ||
	    counts.snapshots > SNAPSHOTS_MAX || counts.npages > 1U << 20 ||
	    counts.nrows > 1U << 20 || !counts.rules || counts.rules > UW_RULES_MAX)
		return false;
	/* Recorded with another layout: to be recorded again. */
	if (counts.python && counts.python != sizeof(struct py_runtime))
		return false;
	img->proc = (struct uw_proc){ .n = counts.maps, .python = counts.python != 0 };
	if (!take_tables(c, img, &counts))
		return false;
	img->snapshots = calloc(counts.snapshots, sizeof(*img->snapshots));
	for (; img->snapshots && img->n < counts.snapshots; img->n++)
		if (!take_snapshot(c, &img->snapshots[img->n])) {
			img->n++; /* what there is of it is released */
			return false;
		}
	return img->snapshots && c->p == c->end;
}

int uwimage_read(struct uwimage *ret, const char *path)
{
	_release_(buf) struct buf file = BUF_INIT;
	size_t in = sizeof(struct uwimage_head), out = 0;
	u64 limit = 256U << 20;
	_free_ u8 *raw = NULL;
	struct uwimage_head head;
	struct cursor c;
	int err = file_read(path, &file, RAW_MAX);

	*ret = (struct uwimage){ 0 };
	if (err)
		return err;
	if (file.n < sizeof(head))
		return -EINVAL;
	memcpy(&head, file.p, sizeof(head));
	if (head.magic != MAGIC || head.raw > RAW_MAX)
		return -EINVAL;
	raw = malloc(head.raw);
	if (!raw)
		return -ENOMEM;
	if (lzma_stream_buffer_decode(&limit, 0, NULL, (const u8 *)file.p, &in, file.n, raw, &out,
				      head.raw) != LZMA_OK ||
	    out != head.raw)
		return -EINVAL;
	c = (struct cursor){ raw, raw + out };
	return take_image(&c, ret) ? 0 : -EINVAL;
}

void uwimage_release(struct uwimage *img)
{
	u32 i;

	for (i = 0; i < img->n; i++)
		uwimage_memory_release(&img->snapshots[i].memory);
	free(img->snapshots);
	free(img->used);
	free(img->arrays.rules);
	free(img->arrays.rows);
	free(img->arrays.pages);
	free(img->arrays.maps);
}
