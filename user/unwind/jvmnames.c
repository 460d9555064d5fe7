/* SPDX-License-Identifier: Apache-2.0 */
/* See jvmnames.h. Method → ConstMethod → ConstantPool → Symbol; ConstantPool → Klass → Symbol. */
#include "unwind/jvmnames.h"

#include <stdio.h>
#include <string.h>

#define POOL_MAX 65536

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
	*p++ = '.';
	n = (size_t)(p - text);
	return symbol_text(l, m, pool_symbol(l, m, pool, half(m, constant + l->at[JVM_CONST_NAME])),
			   p, size - n) > 0;
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
	(void)bcp;
	memset(ret, 0, sizeof(*ret));
	return method_name(l, m, method, ret->name, sizeof(ret->name));
}
