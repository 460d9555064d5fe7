/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See kallsyms.h. The file has no sizes: a function reaches to the next symbol of any kind, which
 * is what the kernel itself assumes. Data symbols therefore count as ends and are forgotten after.
 * Before a jump to another module the end is not known; there a function gets at most TAIL_MAX.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "sym/kallsyms.h"

#define LINES_MAX (1u << 20)
#define TEXT_MAX (32u << 20)
#define MODULES_MAX 1024
#define LINE_MAX_BYTES 1024
#define CHUNK (64 * 1024)
#define TAIL_MAX (16 * 1024)
#define NO_NAME UINT32_MAX
#define KERNEL_HALF (1ULL << 63)

struct raw {
	u64 addr;
	u32 name; /* NO_NAME: data, only an end */
	u32 module;
};

struct reader {
	struct raw *raw;
	size_t n, cap;
	char *text;
	size_t ntext, cap_text;
	u32 modules[MODULES_MAX];
	u32 nmodules;
	u64 lines;
	bool hidden; /* only zeros so far */
	bool cut;
};

static int add_text(struct reader *rd, struct slice s, u32 *ret)
{
	if (rd->ntext + s.n + 1 > TEXT_MAX)
		return -EFBIG;
	if (rd->ntext + s.n + 1 > rd->cap_text) {
		size_t cap = MAX(rd->cap_text * 2, (size_t)1 << 20);
		char *q = realloc(rd->text, cap);

		if (!q)
			return -ENOMEM;
		rd->text = q;
		rd->cap_text = cap;
	}
	*ret = (u32)rd->ntext;
	if (s.n)
		memcpy(rd->text + rd->ntext, s.p, s.n);
	rd->text[rd->ntext + s.n] = 0;
	rd->ntext += s.n + 1;
	return 0;
}

static bool text_is(const struct reader *rd, u32 at, struct slice s)
{
	return strlen(rd->text + at) == s.n && !memcmp(rd->text + at, s.p, s.n);
}

/* Lines of one module stand together, so the last one is nearly always right. */
static int add_module(struct reader *rd, struct slice name, u32 *ret)
{
	u32 i;
	int r;

	*ret = 0;
	if (!name.n)
		return 0;
	for (i = rd->nmodules; i > 0; i--) {
		if (text_is(rd, rd->modules[i - 1], name)) {
			*ret = rd->modules[i - 1];
			return 0;
		}
	}
	if (rd->nmodules == MODULES_MAX)
		return -EFBIG;
	r = add_text(rd, name, ret);
	if (r == 0)
		rd->modules[rd->nmodules++] = *ret;
	return r;
}

static struct slice take_word(struct slice *line)
{
	struct slice word;
	size_t i = 0;

	*line = slice_trim(*line);
	while (i < line->n && line->p[i] != ' ' && line->p[i] != '\t')
		i++;
	word = slice_of(line->p, i);
	line->p += i;
	line->n -= i;
	return word;
}

static bool parse_hex(struct slice s, u64 *ret)
{
	u64 v = 0;
	size_t i;

	if (!s.n || s.n > 16)
		return false;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c >= '0' && c <= '9')
			v = v << 4 | (u64)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v = v << 4 | (u64)(c - 'a' + 10);
		else
			return false;
	}
	*ret = v;
	return true;
}

/* "ffffffffc0200000 t name\t[module]" */
static int add_line(struct reader *rd, struct slice line)
{
	struct slice addr = take_word(&line), type = take_word(&line), name = take_word(&line);
	struct slice module = take_word(&line);
	struct raw add = { .name = NO_NAME };
	int r;

	if (!parse_hex(addr, &add.addr) || type.n != 1 || !name.n)
		return 0;
	rd->lines++;
	if (add.addr)
		rd->hidden = false;
	if (add.addr < KERNEL_HALF)
		return 0;
	if (rd->n == LINES_MAX)
		return -EFBIG;
	if (strchr("tTwW", *type.p)) {
		r = add_text(rd, name, &add.name);
		if (r == 0)
			r = add_module(rd, module, &add.module);
		if (r < 0)
			return r;
	}
	if (rd->n == rd->cap) {
		size_t cap = rd->cap ? rd->cap * 2 : 64 * 1024;
		struct raw *q = realloc(rd->raw, cap * sizeof(*q));

		if (!q)
			return -ENOMEM;
		rd->raw = q;
		rd->cap = cap;
	}
	rd->raw[rd->n++] = add;
	return 0;
}

static int read_lines(struct reader *rd, int fd)
{
	_free_ char *buf = malloc(CHUNK);
	size_t n = 0;
	int r;

	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t got = read(fd, buf + n, CHUNK - n);
		size_t at = 0;
		char *nl;

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		n += (size_t)got;
		while ((nl = memchr(buf + at, '\n', n - at))) {
			r = add_line(rd, slice_of(buf + at, (size_t)(nl - buf) - at));
			if (r == -EFBIG) {
				rd->cut = true;
				return 0;
			}
			if (r < 0)
				return r;
			at = (size_t)(nl - buf) + 1;
		}
		n -= at;
		memmove(buf, buf + at, n);
		if (!got)
			return 0;
		/* No symbol has such a name. What is left of the line is no line either. */
		if (n > LINE_MAX_BYTES)
			n = 0;
	}
}

static int cmp_raw(const void *pa, const void *pb)
{
	const struct raw *a = pa, *b = pb;

	if (a->addr != b->addr)
		return a->addr < b->addr ? -1 : 1;
	return (a->name > b->name) - (a->name < b->name);
}

/* Fewest leading underscores, then the shortest, then byte order; data loses against code. */
static bool better(const struct reader *rd, u32 x, u32 y)
{
	const char *a = rd->text + x, *b = rd->text + y;
	size_t ua = strspn(a, "_"), ub = strspn(b, "_"), la = strlen(a), lb = strlen(b);

	if (ua != ub)
		return ua < ub;
	if (la != lb)
		return la < lb;
	return strcmp(a, b) < 0;
}

/* One entry an address, then ends from what follows. */
static int finish(struct reader *rd, struct kallsyms *k)
{
	size_t i, n = 0;

	qsort(rd->raw, rd->n, sizeof(*rd->raw), cmp_raw);
	for (i = 0; i < rd->n; i++) {
		struct raw *r = &rd->raw[i], *kept = n ? &rd->raw[n - 1] : NULL;

		if (!kept || kept->addr != r->addr)
			rd->raw[n++] = *r;
		else if (r->name != NO_NAME && better(rd, r->name, kept->name))
			*kept = *r;
	}
	rd->n = n;
	for (i = 0; i < n && rd->raw[i].name == NO_NAME; i++)
		;
	if (i == n)
		return -ENOENT;
	k->base = rd->raw[i].addr;
	k->syms = malloc((n - i) * sizeof(*k->syms));
	if (!k->syms)
		return -ENOMEM;
	for (; i < n; i++) {
		const struct raw *r = &rd->raw[i], *next = i + 1 < n ? r + 1 : NULL;
		u64 rel = r->addr - k->base;
		u64 len = next ? next->addr - r->addr : TAIL_MAX;

		if (r->name == NO_NAME)
			continue;
		if (rel > UINT32_MAX) {
			rd->cut = true;
			break;
		}
		if (!next || (next->name != NO_NAME && next->module != r->module))
			len = MIN(len, (u64)TAIL_MAX);
		k->syms[k->n++] = (struct ksym){
			.start = (u32)rel,
			.len = (u32)MIN(len, (u64)UINT32_MAX),
			.name = r->name,
			.module = r->module,
		};
	}
	return 0;
}

int kallsyms_load(struct kallsyms *ret, int fd)
{
	struct reader rd = { .hidden = true };
	struct kallsyms k = { 0 };
	u32 none;
	int r;

	r = add_text(&rd, slice_of("", 0), &none);
	if (r == 0)
		r = read_lines(&rd, fd);
	if (r == 0 && rd.hidden && rd.lines)
		r = -EPERM;
	if (r == 0 && !rd.n)
		r = -ENOENT;
	if (r == 0)
		r = finish(&rd, &k);
	free(rd.raw);
	if (r < 0) {
		free(rd.text);
		kallsyms_release(&k);
		return r;
	}
	k.text = realloc(rd.text, rd.ntext);
	if (!k.text)
		k.text = rd.text;
	k.text_len = (u32)rd.ntext;
	k.cut = rd.cut;
	*ret = k;
	return 0;
}

void kallsyms_release(struct kallsyms *k)
{
	free(k->syms);
	free(k->text);
	*k = (struct kallsyms){ 0 };
}

size_t kallsyms_bytes(const struct kallsyms *k)
{
	return k->n * sizeof(*k->syms) + k->text_len;
}

const struct ksym *kallsyms_find(const struct kallsyms *k, u64 addr)
{
	u64 rel = addr - k->base;
	u32 lo = 0, hi = k->n;

	if (addr < k->base)
		return NULL;
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (k->syms[mid].start <= rel)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (!lo || rel - k->syms[lo - 1].start >= k->syms[lo - 1].len)
		return NULL;
	return &k->syms[lo - 1];
}
