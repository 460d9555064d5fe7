/* SPDX-License-Identifier: Apache-2.0 */
/* Kernel function names, read once from /proc/kallsyms when first asked. Inside the sym stage only. */
#ifndef SYM_KALLSYMS_H
#define SYM_KALLSYMS_H

#include "base/slice.h"

struct ksym {
	u32 start; /* from base */
	u32 len;
	u32 name; /* offset in text */
	u32 module; /* offset in text; 0 = the kernel itself */
};

struct kallsyms {
	u64 base;
	struct ksym *syms; /* sorted, disjoint */
	u32 n;
	char *text;
	u32 text_len;
	bool cut; /* over a bound */
};

/* -EPERM when every address reads as zero, -ENOENT when there is no text symbol. */
int kallsyms_load(struct kallsyms *ret, int fd);
void kallsyms_release(struct kallsyms *k);
size_t kallsyms_bytes(const struct kallsyms *k);
/* NULL when no function is there. */
const struct ksym *kallsyms_find(const struct kallsyms *k, u64 addr);

#endif
