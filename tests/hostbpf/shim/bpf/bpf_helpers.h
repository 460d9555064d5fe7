/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libbpf's header when the kernel side is compiled as an ordinary program: sections
 * vanish, maps become descriptors of plain memory, helpers become calls into ../../machine.c. Found
 * before the system's own by the order of -I.
 */
#ifndef SHIM_BPF_HELPERS_H
#define SHIM_BPF_HELPERS_H

#define SEC(name)
#define __ksym
#define __weak
#define __noinline __attribute__((noinline))
#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define __uint(name, val) int(*name)[val]
#define __type(name, val) typeof(val) *name

void *mach_map_lookup(void *map, __u32 type, __u32 max, __u32 key_size, __u32 val_size,
		      const void *key);
long mach_map_update(void *map, __u32 type, __u32 max, __u32 key_size, __u32 val_size,
		     const void *key, const void *val, __u64 flags);
long mach_map_delete(void *map, __u32 key_size, const void *key);
long mach_read_user(void *dst, __u32 n, const void *src);
long mach_read_kernel(void *dst, __u32 n, const void *src);
void *mach_ring_reserve(__u64 size);
void mach_ring_submit(void *rec);
long mach_ring_output(const void *rec, __u64 size);
__u64 mach_now(void);
__u64 mach_pid_tgid(void);
__u32 mach_cpu(void);
void *mach_task_now(void);
void *mach_regs_now(void);
int mach_has_func(__u32 func);

#define shim_max(m) (sizeof(*(m)->max_entries) / sizeof(int))
#define shim_map_type(m) (sizeof(*(m)->type) / sizeof(int))
#define bpf_map_lookup_elem(m, k)                                                                  \
	mach_map_lookup(m, shim_map_type(m), shim_max(m), sizeof(*(m)->key), sizeof(*(m)->value), k)
#define bpf_map_update_elem(m, k, v, flags)                                                        \
	mach_map_update(m, shim_map_type(m), shim_max(m), sizeof(*(m)->key), sizeof(*(m)->value),  \
			k, v, flags)
#define bpf_map_delete_elem(m, k) mach_map_delete(m, sizeof(*(m)->key), k)
#define bpf_probe_read_user(dst, n, src) mach_read_user(dst, n, src)
#define bpf_probe_read_kernel(dst, n, src) mach_read_kernel(dst, n, src)
#define bpf_ringbuf_reserve(m, size, flags) mach_ring_reserve(size)
#define bpf_ringbuf_submit(rec, flags) mach_ring_submit(rec)
#define bpf_ringbuf_output(m, rec, size, flags) mach_ring_output(rec, size)
#define bpf_ktime_get_ns() mach_now()
#define bpf_get_current_pid_tgid() mach_pid_tgid()
#define bpf_get_smp_processor_id() mach_cpu()
#define bpf_get_current_task() ((__u64)mach_task_now())
#define bpf_get_current_task_btf() ((struct task_struct *)mach_task_now())
#define bpf_task_pt_regs(task) ((void)(task), (long)mach_regs_now())
#define kernel_call(nr) ((void)0)
#define bpf_get_prandom_u32() 1
#define bpf_get_current_comm(dst, n) __builtin_memset(dst, 'c', n)

#endif
