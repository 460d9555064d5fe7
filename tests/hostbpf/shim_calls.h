/* SPDX-License-Identifier: Apache-2.0 */
/* The helpers that shim/bpf/bpf_helpers.h calls, declared for the side that has them: machine.c. */
#ifndef HOSTBPF_SHIM_CALLS_H
#define HOSTBPF_SHIM_CALLS_H

#include "base/types.h"

void *mach_map_lookup(void *map, u32 type, u32 max, u32 key_size, u32 val_size, const void *key);
long mach_map_update(void *map, u32 type, u32 max, u32 key_size, u32 val_size, const void *key,
		     const void *val, __u64 flags);
long mach_map_delete(void *map, u32 key_size, const void *key);
u32 mach_map_count(void *map);
long mach_read_user(void *dst, u32 n, const void *src);
void *mach_ring_reserve(__u64 size);
void mach_ring_submit(void *rec);
long mach_ring_output(const void *rec, __u64 size);
__u64 mach_now(void);
__u64 mach_pid_tgid(void);
u32 mach_cpu(void);
int mach_has_func(u32 func);

#endif
