/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Whose work the current thread does, for every program that asks: probes/pytask.bpf.c answers for
 * Python, and 0 otherwise. The answer takes the scratch memory of a walk (lib/stack.bpf.h).
 */
#ifndef BPF_TOKEN_H
#define BPF_TOKEN_H

#include "lib/hp.bpf.h"

/* Programs that may come in the middle of one another: each has scratch memory of its own on every CPU. */
enum walk_use {
	WALK_ONCPU,
	WALK_OFFCPU,
	WALK_WAKER,
	WALK_UPROBE, /* and transfers, for a token */
	WALK_SWITCH,
	WALK_USES,
};

enum py_look {
	PY_LOOK_ONLY, /* in an interrupt: no table is written to, whose lock may be held right there */
	PY_LOOK_KNOWN, /* a thread that is not known is not searched for */
	PY_LOOK_SEARCH, /* ... is: 75 ns for each thread of the interpreter */
};

/* use: enum walk_use; look: enum py_look. */
int py_token(__u32 use, __u32 tgid, __u32 look);

#endif
