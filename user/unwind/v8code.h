/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JavaScript functions of a running V8: what they are called and where they begin. Input: the address of
 * a function's SharedFunctionInfo, and memory of the process, which is hostile and which the garbage
 * collector rearranges meanwhile: each object is taken for what it should be only when its map says so, and
 * at the end the first one is looked at again. Everything is bounded: V8CODE_READS reads of at most
 * V8CODE_READ_MAX bytes, texts of V8CODE_TEXT_MAX bytes; lines are counted in at most V8LINES_SOURCE_MAX
 * of the source.
 */
#ifndef UNWIND_V8CODE_H
#define UNWIND_V8CODE_H

#include "base/buf.h"
#include "base/map.h"
#include "unwind/v8.h"

#define V8CODE_READ_MAX 4096
#define V8CODE_TEXT_MAX 1000
#define V8CODE_READS 128 /* of one function, without its source */
#define V8LINES_SOURCE_MAX (16u << 20)
#define V8LINES_SCRIPTS_MAX 4096
#define V8LINES_ENDS_MAX (8u << 20) /* ends of lines, of all scripts */

/* Exactly n bytes at addr of the process, n <= V8CODE_READ_MAX: 0 or -errno. */
typedef int v8code_read_fn(void *arg, u64 addr, void *buf, size_t n);

/* A function, as two words of it tell it from another one that lies in the same place later. */
struct v8code_id {
	u64 name; /* tagged: String or ScopeInfo, */
	u64 script; /* and Script */
};

struct v8code {
	struct v8code_id id;
	u32 line; /* where it begins; 0 = not known */
	struct buf name; /* printable UTF-8; empty: it has none */
	struct buf file; /* empty: of no script, V8's own, or code from eval() */
	bool native; /* has no script */
};

/* Where the lines of scripts end, as far as somebody asked. Zeroed memory is a valid empty one. */
struct v8lines {
	struct map by_script;
	struct v8lines_script *v;
	u32 n;
	u32 ends; /* of all together */
};

void v8lines_release(struct v8lines *l);

/*
 * addr: tagged, as V8 has it. scope: of the process, tells its scripts from another's. 0; -EINVAL there is no
 * function; -EAGAIN it changed meanwhile; -E2BIG too many reads; errors of read. *ret is to be
 * released in any case.
 */
int v8code_get(const struct v8_layout *l, u64 addr, struct v8lines *lines, u32 scope,
	       v8code_read_fn *read, void *arg, struct v8code *ret);
void v8code_release(struct v8code *c);

/* Whether the function at addr is that one still: 0; -ESTALE; -EINVAL it is none; errors of read. */
int v8code_check(const struct v8_layout *l, u64 addr, const struct v8code_id *id,
		 v8code_read_fn *read, void *arg);

#endif
