/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capabilities of this process, as sets: bit N is capability N of linux/capability.h (see
 * capabilities(7)). For messages that name what is missing, and for giving up what is not needed.
 */
#ifndef BASE_CAPS_H
#define BASE_CAPS_H

#include <linux/capability.h>

#include "base/types.h"

struct buf;

#define CAP_BIT(name) (1ULL << CAP_##name)

u64 caps_effective(void); /* 0 also when it cannot be found out */
/* What of `wanted` somebody with `have` lacks: CAP_SYS_ADMIN includes those that were split from it. */
u64 caps_lacking(u64 have, u64 wanted);
void caps_name(u64 set, struct buf *out); /* "CAP_BPF and CAP_PERFMON" */

/*
 * Gives up all capabilities for good, if the process is not root: then they came with the file or
 * from a parent, and were given for measuring. Root keeps them; files of others are its daily work.
 * 0 or -errno.
 */
int caps_drop(void);

#endif
