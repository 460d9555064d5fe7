/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel's type information says of its functions: are they there, and what do they take? */
#ifndef LOAD_KFUNCS_H
#define LOAD_KFUNCS_H

#include "base/types.h"

struct btf;

struct btf *kernel_btf(void); /* NULL with errno set; owned here */
/* Has the kernel such a function, with so many arguments? 0 = any. */
bool kfunc_known(const char *name, u32 nargs);
int kfunc_id(const char *name); /* of its type, -ENOENT */
int kfunc_nargs(const char *name); /* -ENOENT */
void kfuncs_release(void); /* the table is read again when it is needed again */

#endif
