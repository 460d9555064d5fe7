/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See demangle.h. The demangler is libiberty's, in the variant that hands out pieces: a short
 * hostile name can stand for gigabytes, so the output is counted and left by longjmp() when it is
 * full. That variant keeps its state on the stack, so nothing is lost by leaving it (but for one
 * small buffer while a Rust name in punycode is printed). Its own recursion limit stays on.
 */
#include <ctype.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <libiberty/demangle.h>
#undef ARRAY_SIZE /* libiberty has its own */
#include "sym/demangle.h"

#define MANGLED_MAX 1024

struct sink {
	char *to;
	size_t n;
	size_t cap;
	jmp_buf full;
};

static void sink_add(const char *s, size_t n, void *arg)
{
	struct sink *k = arg;
	size_t take = MIN(n, k->cap - k->n);

	if (take)
		memcpy(k->to + k->n, s, take);
	k->n += take;
	if (take < n)
		longjmp(k->full, 1);
}

/* True when to holds a demangled name, whole or cut; *ret_n is cap + 1 when it was cut. */
static bool run(const char *mangled, char *to, size_t cap, size_t *ret_n)
{
	struct sink k = { .to = to, .cap = cap };
	int ok;

	if (setjmp(k.full)) {
		*ret_n = cap + 1;
		return true;
	}
	ok = rust_demangle_callback(mangled, DMGL_NO_OPTS, sink_add, &k);
	if (!ok) {
		k.n = 0;
		ok = cplus_demangle_v3_callback(mangled, DMGL_NO_OPTS, sink_add, &k);
	}
	*ret_n = k.n;
	return ok && k.n;
}

size_t printable(struct slice s, char *to, size_t cap)
{
	size_t i, n = MIN(s.n, cap - 1);

	if (n)
		memmove(to, s.p, n);
	if (n < s.n) {
		n -= 3;
		while (n && ((unsigned char)to[n] & 0xc0) == 0x80)
			n--;
		memcpy(to + n, "...", 3);
		n += 3;
	}
	for (i = 0; i < n; i++)
		if ((unsigned char)to[i] < 0x20 || to[i] == 0x7f)
			to[i] = '?';
	to[n] = 0;
	return n;
}

static bool is_mangled(const char *s)
{
	return !strncmp(s, "_Z", 2) || !strncmp(s, "_R", 2) || !strncmp(s, "__Z", 3);
}

/* Length of name without symbol version and ".llvm.N". */
static size_t core_len(const char *name, size_t n)
{
	const char *p = n > 1 ? memchr(name + 1, '@', n - 1) : NULL;

	if (p && strncmp(p, "@plt", 5) != 0)
		n = (size_t)(p - name);
	p = memmem(name, n, ".llvm.", 6);
	return p && p > name ? (size_t)(p - name) : n;
}

/*
 * Where the mangled part ends; the demangler would drop what follows, or refuse it. A C++ or Rust
 * v0 name has no dot inside, an old Rust name has, but ends in "17h", 16 digits, "E".
 */
static size_t mangled_len(const char *name, size_t n)
{
	const char *p = name, *end = name + n;
	size_t i;

	while ((p = memmem(p, (size_t)(end - p), "17h", 3)) && end - p >= 20) {
		for (i = 3; i < 19 && isxdigit((unsigned char)p[i]); i++)
			;
		if (i == 19 && p[19] == 'E')
			return (size_t)(p + 20 - name);
		p += 3;
	}
	for (i = 0; i < n && name[i] != '.' && name[i] != '@'; i++)
		;
	return i;
}

size_t demangle(const char *name, char *to, size_t cap)
{
	char core[MANGLED_MAX + 1];
	size_t len = core_len(name, strlen(name)), head, n;

	if (!is_mangled(name) || len > MANGLED_MAX)
		return printable(slice_of(name, len), to, cap);
	head = mangled_len(name, len);
	memcpy(core, name, head);
	core[head] = 0;
	if (!run(core, to, cap - 1, &n))
		return printable(slice_of(name, len), to, cap);
	if (n < cap) {
		size_t take = MIN(len - head, cap - 1 - n);

		memcpy(to + n, name + head, take);
		n += take;
		if (take < len - head)
			n = cap;
	}
	return printable(slice_of(to, n), to, cap);
}
