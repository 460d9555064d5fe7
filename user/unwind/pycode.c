/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See pycode.h. Layouts: Include/cpython/{code,unicodeobject,bytesobject}.h. Line tables:
 * Objects/lnotab_notes.txt of 3.9 and 3.10, Objects/locations.md (3.11 on: "Locations table").
 */
#include <errno.h>
#include <string.h>

#include "base/cleanup.h"
#include "unwind/chars.h"
#include "unwind/pycode.h"

#define STR_BYTES 128 /* of a str object at first: header and a short text */
#define LINE_MAX 0x7fffffff
#define PYCODE_LOCALS_MAX 32 /* names that are looked at */
#define PY_TUPLE_SIZE 16 /* PyVarObject.ob_size */

struct reader {
	pycode_read_fn *read;
	void *arg;
	u32 left; /* reads */
};

static int get(struct reader *r, u64 addr, void *buf, size_t n)
{
	if (!r->left)
		return -E2BIG;
	r->left--;
	return addr ? r->read(r->arg, addr, buf, n) : -EINVAL;
}

static u64 get_u64(const u8 *p)
{
	u64 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static u32 get_u32(const u8 *p)
{
	u32 v;

	memcpy(&v, p, sizeof(v));
	return v;
}

/* n characters of 1, 2 or 4 bytes, the last ones when that is more than a text may have. */
static void add_chars(struct buf *out, const u8 *p, size_t n, u32 width)
{
	size_t i;

	for (i = 0; i < n && out->n < PYCODE_TEXT_MAX; i++, p += width)
		chars_add(out, width == 1   ? p[0]
			       : width == 2 ? (u32)(p[0] | p[1] << 8)
					    : get_u32(p));
}

/* The text of a str object. tail: of a long one the end says more, as of a path. */
static int read_str(struct reader *r, const struct py_layout *l, u64 addr, bool tail,
		    struct buf *out)
{
	u8 head[STR_BYTES], text[PYCODE_READ_MAX];
	u64 length, at, skip;
	u32 state, width;
	size_t from, n, have = sizeof(head);
	bool ascii;
	int err;

	err = get(r, addr, head, have);
	if (err) {
		/* A short one, and what lies behind it is no memory. */
		have = PY_OBJECT_HEAD;
		err = get(r, addr, head, have);
	}
	if (err)
		return err;
	length = get_u64(head + l->str_length);
	state = get_u32(head + l->str_state) >> l->str_kind_shift;
	width = state & 7;
	ascii = state & 16;
	/* Names and paths are made by the compiler or unmarshalled: always compact. */
	if (!(state & 8) || (width != 1 && width != 2 && width != 4) || (ascii && width != 1) ||
	    length > 1 << 20)
		return -EINVAL;
	from = ascii ? l->str_ascii : l->str_compact;
	n = (size_t)MIN(length, (u64)PYCODE_TEXT_MAX);
	skip = tail ? length - n : 0;
	if (skip)
		buf_adds(out, "...");
	if (from + length * width <= have) {
		add_chars(out, head + from, n, width);
		return 0;
	}
	at = addr + from + skip * width;
	err = get(r, at, text, n * width);
	if (err)
		return err;
	add_chars(out, text, n, width);
	if (n < length && !tail)
		buf_adds(out, "...");
	return 0;
}

static int read_bytes(struct reader *r, const struct py_layout *l, u64 addr, struct buf *out)
{
	u64 size = 0, at = addr + l->bytes_data;
	int err = addr ? get(r, addr + l->bytes_size, &size, sizeof(size)) : -EINVAL;

	if (err)
		return err;
	if (size > PYCODE_LINES_MAX)
		return -E2BIG;
	if (buf_reserve(out, size))
		return -ENOMEM;
	while (size) {
		u8 part[PYCODE_READ_MAX];
		size_t n = (size_t)MIN(size, (u64)sizeof(part));

		err = get(r, at, part, n);
		if (err) {
			buf_clear(out);
			return err;
		}
		buf_add(out, part, n);
		at += n;
		size -= n;
	}
	return out->oom ? -ENOMEM : 0;
}

int pycode_get(const struct py_layout *l, u64 addr, pycode_read_fn *read, void *arg,
	       struct pycode *ret)
{
	struct reader r = { .read = read, .arg = arg, .left = PYCODE_READS };
	const struct py_offsets *off = &l->off;
	u64 name, file;
	u8 code[PY_CODE_NAMES];
	int err;

	memset(ret, 0, sizeof(*ret));
	err = get(&r, addr, code, sizeof(code));
	if (err)
		return err;
	ret->kind = l->lines;
	ret->first_line = get_u32(code + off->code_firstline);
	ret->check = py_check(get_u32(code + off->code_argcount), get_u32(code + off->code_kwonly),
			      get_u32(code + off->code_flags), ret->first_line);
	name = l->code_qualname ? get_u64(code + l->code_qualname) : 0;
	if (!name)
		name = get_u64(code + l->code_name);
	file = get_u64(code + l->code_filename);
	/* The shim that returns from __init__: without any texts up to 3.13, one for both after that. */
	if ((!name && !file) || (name == file && !ret->first_line)) {
		ret->hidden = true;
		return 0;
	}
	err = read_str(&r, l, name, false, &ret->name);
	if (!err)
		err = read_str(&r, l, file, true, &ret->file);
	if (!err)
		err = read_bytes(&r, l, get_u64(code + l->code_lines), &ret->lines);
	return err;
}

int pycode_local(const struct py_layout *l, u64 addr, pycode_read_fn *read, void *arg,
		 const char *name)
{
	struct reader r = { .read = read, .arg = arg, .left = PYCODE_READS };
	u64 names = 0, n = 0, items[PYCODE_LOCALS_MAX];
	_release_(buf) struct buf text = BUF_INIT;
	u32 i;
	int err;

	err = l->code_locals ? get(&r, addr + l->code_locals, &names, sizeof(names)) : -ENOENT;
	if (!err)
		err = get(&r, names + PY_TUPLE_SIZE, &n, sizeof(n));
	n = MIN(n, (u64)PYCODE_LOCALS_MAX);
	if (!err && n)
		err = get(&r, names + l->off.tuple_items, items, n * sizeof(*items));
	for (i = 0; !err && i < n; i++) {
		buf_clear(&text);
		err = read_str(&r, l, items[i], false, &text);
		if (!err && slice_eq(buf_slice(&text), slice_str(name)))
			return (int)i;
	}
	return err ? err : -ENOENT;
}

void pycode_release(struct pycode *c)
{
	buf_release(&c->name);
	buf_release(&c->file);
	buf_release(&c->lines);
}

static u32 as_line(s64 line)
{
	return line > 0 && line <= LINE_MAX ? (u32)line : 0;
}

/* Pairs: so many bytes of instructions further, so many lines further; the first that is past wins. */
static u32 line_lnotab(const struct pycode *c, u64 at)
{
	const u8 *p = (const u8 *)c->lines.p;
	s64 line = c->first_line;
	u64 addr = 0;
	size_t i;

	for (i = 0; i + 1 < c->lines.n; i += 2) {
		addr += p[i];
		if (addr > at)
			break;
		line += (int8_t)p[i + 1];
	}
	return as_line(line);
}

/* Pairs: a run of so many bytes, of the line so many further; -128 and the run has no line. */
static u32 line_pairs(const struct pycode *c, u64 at)
{
	const u8 *p = (const u8 *)c->lines.p;
	s64 line = c->first_line;
	u64 end = 0;
	size_t i;

	for (i = 0; i + 1 < c->lines.n; i += 2) {
		int delta = (int8_t)p[i + 1];

		end += p[i];
		if (delta != -128)
			line += delta;
		if (end > at)
			return delta == -128 ? 0 : as_line(line);
	}
	return as_line(c->first_line);
}

/* 6 bits a byte, low ones first; bit 6 says that more follow. */
static u64 varint(const u8 *p, size_t n, size_t *at)
{
	u64 v = 0;
	u32 shift = 0;

	while (*at < n) {
		u8 b = p[(*at)++];

		if (shift < 60)
			v |= (u64)(b & 0x3f) << shift;
		shift += 6;
		if (!(b & 0x40))
			break;
	}
	return v;
}

/* Entries: 1, code of four bits, units of the run less one; what follows depends on the code. */
static u32 line_varint(const struct pycode *c, u32 index)
{
	enum {
		SHORT_LAST = 9,
		ONE_LINE = 10,
		NO_COLUMNS = 13,
		LONG = 14,
		NONE = 15
	};
	const u8 *p = (const u8 *)c->lines.p;
	size_t at = 0, n = c->lines.n;
	s64 line = c->first_line;
	u64 end = 0;

	while (at < n) {
		u8 head = p[at++], code = head >> 3 & 15;

		if (code == NO_COLUMNS || code == LONG) {
			u64 v = varint(p, n, &at);

			if (v >> 1 > LINE_MAX)
				return 0;
			line += v & 1 ? -(s64)(v >> 1) : (s64)(v >> 1);
		} else if (code >= ONE_LINE && code < NO_COLUMNS) {
			line += code - ONE_LINE;
		}
		/* Columns follow, in bytes without the top bit. */
		while (at < n && !(p[at] & 0x80))
			at++;
		end += (head & 7) + 1;
		if (end > index)
			return code == NONE ? 0 : as_line(line);
	}
	return as_line(c->first_line);
}

u32 pycode_line(const struct pycode *c, u32 index)
{
	if (index == PY_INDEX_NONE || !c->lines.n)
		return as_line(c->first_line);
	switch (c->kind) {
	case PY_LINES_LNOTAB:
		return line_lnotab(c, index * 2ULL);
	case PY_LINES_PAIRS:
		return line_pairs(c, index * 2ULL);
	}
	return line_varint(c, index);
}
