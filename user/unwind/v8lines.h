/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of scripts, counted in their source as V8 does (ECMAScript's line terminators). What was read of
 * a source once is kept as the ends of its lines, so a bundle of megabytes is read once and not for each
 * of its functions. Inside the unwind stage only.
 */
#ifndef UNWIND_V8LINES_H
#define UNWIND_V8LINES_H

#include "unwind/v8code.h"

/* Characters in one piece in memory. */
struct v8chars {
	u64 at;
	u32 n;
	u32 width; /* 1 or 2 bytes */
};

/*
 * The line (from 0) of character pos of a script, known by a key that is another one for another
 * source. -EINVAL pos is outside, -E2BIG further on than is read, -ENOMEM, errors of read.
 */
int v8lines_at(struct v8lines *l, u64 key, const struct v8chars *source, u32 pos,
	       v8code_read_fn *read, void *arg);

#endif
