/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where in the program something is sent, for the programs that see it sent: probes/site.bpf.c. */
#ifndef BPF_SITE_H
#define BPF_SITE_H

#include "lib/hp.bpf.h"

int site_drawn(__u64 conn_id, __u64 pos, __u64 at, __u32 len, __u32 what);
int site_written(__u64 conn_id, __u64 pos, __u64 buf, __u32 target);
int site_take(void);

#endif
