/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading under one /proc/PID directory. The descriptor pins the process: once it is gone, reads
 * give -ESRCH even when its number was given to another. Inside the load stage and doctor only.
 */
#ifndef LOAD_PROCDIR_H
#define LOAD_PROCDIR_H

#include "base/buf.h"
#include "base/procparse.h"

#define PROCDIR_MAPS_MAX (16u << 20)

int procdir_open(u32 pid); /* descriptor or -ESRCH, -errno */
/*
 * A thread that has the process's memory and files: its first one, which the process is called by, unless that
 * has ended before others. /proc has everything of a process by the number of each of its threads.
 */
u32 procdir_live(u32 pid);
/* Replaces what is in out; at most max bytes, the rest is cut off. -ESRCH when it is gone. */
int procdir_read(int dir, const char *name, struct buf *out, size_t max);
int procdir_stat(int dir, struct proc_stat *ret);
int procdir_link(int dir, const char *name, char *ret, size_t n);

#endif
