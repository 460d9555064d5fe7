/* SPDX-License-Identifier: Apache-2.0 */
/* See jvmnames.h. Method → ConstMethod → ConstantPool → Symbol; ConstantPool → Klass → Symbol. */
#include "unwind/jvmnames.h"

#include <errno.h>
#include <string.h>

#define POOL_MAX 65536
#define LINES_MAX 65536 /* of a method; numbers of lines have 16 bits */
#define HAS_LINES 1 /* ConstMethod::_has_linenumber_table */
#define SCOPES_BYTES_MAX (16 << 20)
#define PC_DESC_BYTES 16 /* offset of the code, of the scope; of objects; flags */
#define BCI_ENTRY UINT32_MAX
#define BCI_NONE (UINT32_MAX - 1)

static u64 word(struct jvm_mem *m, u64 at)
{
	u64 v = 0;

	return at && !jvm_mem_get(m, at, &v, sizeof(v)) ? v : 0;
}

static u16 half(struct jvm_mem *m, u64 at)
{
	u16 v = 0;

	return at && !jvm_mem_get(m, at, &v, sizeof(v)) ? v : 0;
}

/* Its length, 0 = there is none. */
static size_t symbol_text(const struct jvm_layout *l, struct jvm_mem *m, u64 symbol, char *text,
			  size_t size)
{
	size_t n = symbol ? half(m, symbol + l->at[JVM_SYMBOL_LENGTH]) : 0;

	n = MIN(n, size - 1);
	if (!n || jvm_mem_get(m, symbol + l->at[JVM_SYMBOL_BODY], text, n) || memchr(text, 0, n))
		n = 0;
	text[n] = '\0';
	return n;
}

static u64 pool_symbol(const struct jvm_layout *l, struct jvm_mem *m, u64 pool, u32 i)
{
	s32 length = 0;

	if (!i || !pool || jvm_mem_get(m, pool + l->at[JVM_POOL_LENGTH], &length, sizeof(length)) ||
	    length <= 0 || length > POOL_MAX || i >= (u32)length)
		return 0;
	return word(m, pool + l->size[JVM_SIZE_POOL] + i * sizeof(u64));
}

static bool method_name(const struct jvm_layout *l, struct jvm_mem *m, u64 method, char *text,
			size_t size)
{
	u64 constant = word(m, method + l->at[JVM_METHOD_CONST]), pool, holder;
	char *p;
	size_t n;

	if (!method || !constant)
		return false;
	pool = word(m, constant + l->at[JVM_CONST_POOL]);
	holder = pool ? word(m, pool + l->at[JVM_POOL_HOLDER]) : 0;
	if (!holder)
		return false;
	n = symbol_text(l, m, word(m, holder + l->at[JVM_KLASS_NAME]), text,
			MIN(size, (size_t)JVM_CLASS_TEXT));
	if (!n)
		return false;
	for (p = text; *p; p++)
		if (*p == '/')
			*p = '.';
	/* A hidden class has its address behind its name; HotSpot shows it with a slash. */
	p = strstr(text, "+0x");
	if (p)
		*p = '/';
	p = text + n;
	*p++ = '.';
	n = (size_t)(p - text);
	return symbol_text(l, m, pool_symbol(l, m, pool, half(m, constant + l->at[JVM_CONST_NAME])),
			   p, size - n) > 0;
}

/* UNSIGNED5 of share/code/compressedStream.hpp: up to five bytes of base 64, the last one below 192. */
static int number(struct jvm_mem *m, u64 *at, u32 *ret)
{
	u32 i;
	u8 b;

	*ret = 0;
	for (i = 0; i < 5; i++) {
		if (jvm_mem_get(m, (*at)++, &b, 1))
			return -EFAULT;
		*ret += (u32)b << 6 * i;
		if (b < 192)
			break;
	}
	return 0;
}

static int signed_number(struct jvm_mem *m, u64 *at, s32 *ret)
{
	u32 v;
	int err = number(m, at, &v);

	*ret = (s32)((v >> 1) ^ -(v & 1));
	return err;
}

/* The line of a bytecode, by CompressedLineNumberReadStream: pairs of steps, small ones in a byte. 0: none. */
static u32 line_of(const struct jvm_layout *l, struct jvm_mem *m, u64 constant, u32 bci)
{
	u64 at =
		constant + l->size[JVM_SIZE_CONST] + half(m, constant + l->at[JVM_CONST_CODE_SIZE]);
	u32 i, best = 0, line = 0, found = 0, pc = 0;
	s32 step_pc, step_line;
	u8 b;

	if (!(half(m, constant + l->at[JVM_CONST_FLAGS]) & HAS_LINES))
		return 0;
	for (i = 0; i < LINES_MAX; i++) {
		if (jvm_mem_get(m, at++, &b, 1) || !b)
			break;
		step_pc = b >> 3;
		step_line = b & 7;
		if (b == 0xff &&
		    (signed_number(m, &at, &step_pc) || signed_number(m, &at, &step_line)))
			break;
		pc += (u32)step_pc;
		line += (u32)step_line;
		if (pc <= bci && pc >= best) {
			best = pc;
			found = line;
		}
	}
	return found <= LINES_MAX ? found : 0;
}

/* The file, and the line unless bci is BCI_NONE or none of the method's. */
static void place(const struct jvm_layout *l, struct jvm_mem *m, u64 constant, u32 bci,
		  struct jvm_method_text *ret)
{
	u64 pool = constant ? word(m, constant + l->at[JVM_CONST_POOL]) : 0;
	u16 size = constant ? half(m, constant + l->at[JVM_CONST_CODE_SIZE]) : 0;

	if (!pool)
		return;
	symbol_text(l, m, pool_symbol(l, m, pool, half(m, pool + l->at[JVM_POOL_FILE])), ret->file,
		    sizeof(ret->file));
	/* Before the first bytecode is in the first line, too. */
	if (bci == BCI_NONE || (bci != BCI_ENTRY && bci >= size))
		return;
	ret->line = line_of(l, m, constant, bci == BCI_ENTRY ? 0 : bci);
}

bool jvm_blob_name(const struct jvm_layout *l, struct jvm_mem *m, const struct jvm_blob *b,
		   char *text, size_t size)
{
	if (b->method)
		return method_name(l, m, b->method, text, size);
	return !jvm_mem_text(m, b->name, text, size) && *text;
}

bool jvm_method_text(const struct jvm_layout *l, struct jvm_mem *m, u64 method, u32 bcp,
		     struct jvm_method_text *ret)
{
	u32 codes;
	u64 constant;

	memset(ret, 0, sizeof(*ret));
	if (!method_name(l, m, method, ret->name, sizeof(ret->name)))
		return false;
	constant = word(m, method + l->at[JVM_METHOD_CONST]);
	codes = (u32)constant + l->size[JVM_SIZE_CONST];
	if (l->lines)
		place(l, m, constant, bcp ? bcp - codes : BCI_NONE, ret);
	return true;
}

/* The first description of a place at or behind the offset; of those there are two at least, marks of the ends. */
static bool find_scope(const struct jvm_layout *l, struct jvm_mem *m, const struct jvm_blob *b,
		       s32 off, s32 *ret)
{
	s32 from = 0, to = 0, pc;
	u32 lo = 0, hi;
	u64 pcs;

	if (jvm_mem_get(m, b->at + l->at[JVM_SCOPES_PCS], &from, 4) ||
	    jvm_mem_get(m, b->at + l->at[JVM_SCOPES_PCS_END], &to, 4) || from <= 0 || to <= from ||
	    to - from > SCOPES_BYTES_MAX)
		return false;
	pcs = b->at + (u32)from;
	hi = (u32)(to - from) / PC_DESC_BYTES;
	while (lo < hi) {
		u32 mid = lo + (hi - lo) / 2;

		if (jvm_mem_get(m, pcs + (u64)mid * PC_DESC_BYTES, &pc, 4))
			return false;
		if (pc < off)
			lo = mid + 1;
		else
			hi = mid;
	}
	return !jvm_mem_get(m, pcs + (u64)lo * PC_DESC_BYTES, &pc, 4) &&
	       pc < (s32)(b->end - b->begin) &&
	       !jvm_mem_get(m, pcs + (u64)lo * PC_DESC_BYTES + 4, ret, 4) && *ret > 0;
}

u32 jvm_scopes(const struct jvm_layout *l, struct jvm_mem *m, const struct jvm_blob *b, u64 addr,
	       struct jvm_method_text *ret, u32 max)
{
	u64 data, at, method, constant;
	s32 scope, metadata = 0;
	u32 n = 0, next, which, bci;

	if (!l->lines || !b->method || addr < b->begin || addr >= b->end ||
	    !find_scope(l, m, b, (s32)(addr - b->begin), &scope) ||
	    jvm_mem_get(m, b->at + l->at[JVM_METADATA], &metadata, 4) || metadata <= 0)
		return 0;
	data = word(m, b->at + l->at[JVM_SCOPES_DATA]);
	for (next = (u32)scope; data && next && next <= SCOPES_BYTES_MAX; n++) {
		at = data + next;
		if (n == max || number(m, &at, &next) || number(m, &at, &which) ||
		    number(m, &at, &bci) || !which || which > POOL_MAX)
			return 0;
		method = word(m, b->at + (u32)metadata + (which - 1) * sizeof(u64));
		memset(&ret[n], 0, sizeof(ret[n]));
		if (!method || !method_name(l, m, method, ret[n].name, sizeof(ret[n].name)))
			return 0;
		constant = word(m, method + l->at[JVM_METHOD_CONST]);
		place(l, m, constant, bci - 1, &ret[n]); /* -1 is before the first bytecode */
	}
	return n;
}
