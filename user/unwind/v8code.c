/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See v8code.h. Objects: V8's src/objects/{shared-function-info,scope-info,script,string}.tq; offsets and
 * types from the binary. Of a ScopeInfo only its beginning is told by them; behind the variables come, each
 * when there is one: a class variable, the function's name and a number, its inferred name, then
 * where it starts and ends, then the ScopeInfo around it. So these are found by what they are.
 */
#include <errno.h>
#include <string.h>
#include "unwind/chars.h"
#include "unwind/v8lines.h"

#define DEPTH_MAX 4 /* of strings that consist of others */
#define SHARED_MAX 256 /* bytes of a SharedFunctionInfo that are looked at */
#define SCOPE_HEAD 17 /* words up to the first variable, */
#define SCOPE_TAIL 10 /* and behind the last one */
#define SCOPE_NAMES_INLINE 75 /* variables from which on their names are in a table */
#define SCOPE_VARS_MAX 4096
#define SMI_TAG 1 /* of heap objects */

struct reader {
	const struct v8_layout *l;
	v8code_read_fn *read;
	void *arg;
	u32 left; /* reads */
};

static int get(struct reader *r, u64 addr, void *buf, size_t n)
{
	if (!r->left)
		return -E2BIG;
	r->left--;
	return r->read(r->arg, addr, buf, n);
}

static bool is_pointer(u64 v)
{
	return (v & 3) == SMI_TAG && v >= 1 << 16 && v < 1ULL << 47;
}

static bool is_smi(u64 v)
{
	return !(v & SMI_TAG);
}

static s64 smi(const struct reader *r, u64 v)
{
	return (s64)v >> r->l->smi_shift;
}

/* A field of an object. */
static int get_word(struct reader *r, u64 object, s32 field, u64 *ret)
{
	if (!is_pointer(object))
		return -EINVAL;
	return get(r, object - SMI_TAG + (u64)field, ret, sizeof(*ret));
}

static int type_by_map(struct reader *r, u64 map, u16 *ret)
{
	if (!is_pointer(map))
		return -EINVAL;
	return get(r, map - SMI_TAG + (u64)r->l->map_type, ret, sizeof(*ret));
}

static int type_of(struct reader *r, u64 object, u16 *ret)
{
	u64 map;
	int err = get_word(r, object, 0, &map);

	return err ? err : type_by_map(r, map, ret);
}

static bool is_string(const struct reader *r, u16 type)
{
	return type < r->l->first_nonstring;
}

static int string_head(struct reader *r, u64 object, u16 *ret_type, u32 *ret_n)
{
	int err = type_of(r, object, ret_type);

	if (err)
		return err;
	if (!is_string(r, *ret_type))
		return -EINVAL;
	return get(r, object - SMI_TAG + (u64)r->l->string_length, ret_n, sizeof(*ret_n));
}

/* Where the characters of one that is no tree are. 1: it is one, of object *ret_first and *ret_second. */
static int string_flat(struct reader *r, u64 object, struct v8chars *ret, u64 *ret_first,
		       u64 *ret_second)
{
	const struct v8_layout *l = r->l;
	u32 depth, n, skip = 0, length = UINT32_MAX;
	u16 type, second;
	u64 w = 0;
	int err;

	for (depth = 0; depth < DEPTH_MAX; depth++) {
		u32 shape;

		err = string_head(r, object, &type, &n);
		if (err)
			return err;
		length = MIN(length, n);
		shape = type & (u32)l->shape_mask;
		if (shape == (u32)l->shape_thin) {
			err = get_word(r, object, l->thin_actual, &object);
		} else if (shape == (u32)l->shape_sliced) {
			err = get_word(r, object, l->sliced_offset, &w);
			if (!err && (!is_smi(w) || smi(r, w) < 0 || smi(r, w) > INT32_MAX - skip))
				return -EINVAL;
			skip += (u32)smi(r, w);
			if (!err)
				err = get_word(r, object, l->sliced_parent, &object);
		} else if (shape == (u32)l->shape_cons) {
			err = get_word(r, object, l->cons_second, ret_second);
			if (!err)
				err = get_word(r, object, l->cons_first, ret_first);
			if (!err)
				err = string_head(r, *ret_second, &second, &n);
			/* One that was flattened has all of it in the first part. */
			if (err || n)
				return err ? err : 1;
			object = *ret_first;
		} else {
			break;
		}
		if (err)
			return err;
	}
	*ret = (struct v8chars){ .n = length };
	ret->width = (type & (u32)l->one_byte_mask) == (u32)l->one_byte ? 1 : 2;
	if ((type & (u32)l->shape_mask) == (u32)l->shape_seq) {
		ret->at = object - SMI_TAG +
			  (u64)(ret->width == 1 ? l->one_byte_chars : l->two_byte_chars);
	} else if ((type & (u32)l->shape_mask) == (u32)l->shape_external) {
		err = get_word(r, object, l->external_resource + V8_WORD, &ret->at);
		if (err)
			return err;
	} else {
		return -EINVAL;
	}
	ret->at += (u64)skip * ret->width;
	return 0;
}

static u32 char_at(const u8 *p, u32 width)
{
	return width == 1 ? p[0] : (u32)(p[0] | p[1] << 8);
}

static void add_chars(struct buf *out, const u8 *p, u32 n, u32 width)
{
	u32 i;

	for (i = 0; i < n && out->n < V8CODE_TEXT_MAX; i++) {
		u32 c = char_at(p + i * width, width);

		if (c >= 0xd800 && c < 0xdc00 && i + 1 < n) {
			u32 low = char_at(p + (i + 1) * width, width);

			if (low >= 0xdc00 && low < 0xe000) {
				c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
				i++;
			}
		}
		chars_add(out, c);
	}
}

/* tail: of a long one the end says more, as of a path. */
static int add_string(struct reader *r, u64 object, bool tail, struct buf *out, u32 depth)
{
	u8 text[2 * V8CODE_TEXT_MAX];
	u64 first = 0, second = 0;
	struct v8chars s;
	u32 n;
	int err = string_flat(r, object, &s, &first, &second);

	if (err < 0)
		return err;
	if (err) {
		if (!depth)
			return -E2BIG;
		err = add_string(r, first, tail, out, depth - 1);
		return err ? err : add_string(r, second, tail, out, depth - 1);
	}
	n = MIN(s.n, (u32)V8CODE_TEXT_MAX);
	if (!n)
		return 0;
	if (tail && s.n > n) {
		buf_adds(out, "...");
		s.at += (u64)(s.n - n) * s.width;
	}
	err = get(r, s.at, text, (size_t)n * s.width);
	if (err)
		return err;
	add_chars(out, text, n, s.width);
	if (!tail && s.n > n)
		buf_adds(out, "...");
	return 0;
}

/*
 * Whether the words at t are where a function starts and ends and, behind that, the scope around it, or the
 * next object's map where none is.
 */
static bool is_place(struct reader *r, const u64 *t)
{
	u16 type;

	if (!is_smi(t[0]) || !is_smi(t[1]) || smi(r, t[0]) < 0 || smi(r, t[1]) < smi(r, t[0]) ||
	    !is_pointer(t[2]) || type_of(r, t[2], &type))
		return false;
	return type == r->l->type_scope || type == r->l->type_oddball || type == r->l->type_map;
}

/* The name, and where the function starts; -1 = not found. */
static int read_scope(struct reader *r, u64 scope, struct buf *name, s64 *ret_start)
{
	const struct v8_layout *l = r->l;
	u64 head[SCOPE_HEAD], t[SCOPE_TAIL];
	u32 i, n = SCOPE_TAIL, at, place;
	s64 vars;
	u16 type;
	int err = get(r, scope - SMI_TAG, head, ((u32)l->scope_vars + 1) * sizeof(*head));

	*ret_start = -1;
	if (err)
		return err;
	vars = smi(r, head[l->scope_locals + 1]);
	if (!is_smi(head[l->scope_locals + 1]) || vars < 0 || vars > SCOPE_VARS_MAX)
		return -EINVAL;
	at = (u32)l->scope_vars + 1 +
	     (u32)(vars < SCOPE_NAMES_INLINE ? 2 * vars
					     : 1 + vars); /* of each: name, and what it is */
	/* It may end before, and so may the memory. */
	while ((err = get(r, scope - SMI_TAG + at * sizeof(*t), t, n * sizeof(*t))) && n > 1)
		n--;
	if (err)
		return err;
	place = n;
	for (i = 0; i + 2 < n && place == n; i++)
		if (is_place(r, &t[i])) {
			*ret_start = smi(r, t[i]);
			place = i;
		}
	for (i = 0; i < place && !name->n; i++)
		if (is_pointer(t[i]) && !type_of(r, t[i], &type) && is_string(r, type)) {
			err = add_string(r, t[i], false, name, DEPTH_MAX);
			if (err)
				return err;
		}
	return 0;
}

static int read_line(struct reader *r, struct v8lines *lines, u32 scope, u64 script, s64 start,
		     u32 *ret)
{
	const struct v8_layout *l = r->l;
	u64 source, again, offset = 0, first, second;
	struct v8chars chars;
	u64 key[4];
	int err = get_word(r, script, l->script_source, &source), line;

	if (err || start < 0 || start > INT32_MAX)
		return err;
	/* Code that is compiled out of a larger text, as by vm.Script, says where that begins. */
	if (l->script_type == l->script_name + 4 * V8_WORD)
		err = get_word(r, script, l->script_name + V8_WORD, &offset);
	if (!err)
		err = string_flat(r, source, &chars, &first, &second);
	if (err) /* without a source, or one that is a tree: not what functions are made of */
		return err == -EINVAL || err > 0 ? 0 : err;
	memset(key, 0, sizeof(key));
	key[0] = scope;
	key[1] = script;
	key[2] = chars.at;
	key[3] = (u64)chars.n << 32 | chars.width;
	line = v8lines_at(lines, hash_bytes(key, sizeof(key), 1), &chars, (u32)start, r->read,
			  r->arg);
	if (line < 0)
		return line == -ENOMEM ? line : 0;
	err = get_word(r, script, l->script_source, &again);
	if (err || again != source)
		return err ? err : -EAGAIN;
	if (is_smi(offset) && smi(r, offset) > 0 && smi(r, offset) < INT32_MAX / 2)
		line += (int)smi(r, offset);
	*ret = (u32)line + 1;
	return 0;
}

/* The function's own words; *ret_type of what it is. */
static int read_shared(struct reader *r, u64 addr, u64 *ret_map, struct v8code_id *ret)
{
	const struct v8_layout *l = r->l;
	u8 p[SHARED_MAX];
	size_t n = (size_t)MAX(l->shared_name, l->shared_script) + V8_WORD;
	int err;

	if (!is_pointer(addr) || n > sizeof(p))
		return -EINVAL;
	err = get(r, addr - SMI_TAG, p, n);
	if (err)
		return err;
	memcpy(ret_map, p, sizeof(*ret_map));
	memcpy(&ret->name, p + l->shared_name, sizeof(ret->name));
	memcpy(&ret->script, p + l->shared_script, sizeof(ret->script));
	return 0;
}

int v8code_check(const struct v8_layout *l, u64 addr, const struct v8code_id *id,
		 v8code_read_fn *read, void *arg)
{
	struct reader r = { .l = l, .read = read, .arg = arg, .left = 1 };
	struct v8code_id now;
	u64 map;
	int err = read_shared(&r, addr, &map, &now);

	if (err)
		return err;
	return now.name == id->name && now.script == id->script ? 0 : -ESTALE;
}

int v8code_get(const struct v8_layout *l, u64 addr, struct v8lines *lines, u32 scope,
	       v8code_read_fn *read, void *arg, struct v8code *ret)
{
	struct reader r = { .l = l, .read = read, .arg = arg, .left = V8CODE_READS };
	s64 start = -1;
	u64 map, file;
	u16 type;
	int err;

	memset(ret, 0, sizeof(*ret));
	err = read_shared(&r, addr, &map, &ret->id);
	if (!err)
		err = type_by_map(&r, map, &type);
	if (err)
		return err;
	if (type != l->type_shared)
		return -EINVAL;
	/* Without a name it is a number; V8's own functions have a name and no script. */
	if (!is_smi(ret->id.name)) {
		err = type_of(&r, ret->id.name, &type);
		if (!err && type == l->type_scope)
			err = read_scope(&r, ret->id.name, &ret->name, &start);
		else if (!err)
			err = add_string(&r, ret->id.name, false, &ret->name, DEPTH_MAX);
	}
	if (!err)
		err = type_of(&r, ret->id.script, &type);
	if (err)
		return err;
	if (type == l->type_script) {
		err = get_word(&r, ret->id.script, l->script_name, &file);
		if (!err && !is_smi(file))
			err = type_of(&r, file, &type);
		if (!err && !is_smi(file) && is_string(&r, type))
			err = add_string(&r, file, true, &ret->file, DEPTH_MAX);
		if (!err)
			err = read_line(&r, lines, scope, ret->id.script, start, &ret->line);
	} else if (type == l->type_oddball) {
		ret->native = true;
	} else {
		return -EINVAL;
	}
	if (err)
		return err;
	if (ret->name.oom || ret->file.oom)
		return -ENOMEM;
	err = v8code_check(l, addr, &ret->id, read, arg);
	return err == -ESTALE ? -EAGAIN : err;
}

void v8code_release(struct v8code *c)
{
	buf_release(&c->name);
	buf_release(&c->file);
}
