/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Relocated reads as plain ones: the layout is that of vmlinux.h itself. A chain reads each pointer
 * through the checked kernel read, so that a wild one gives zeros as it does in the kernel.
 */
#ifndef SHIM_BPF_CORE_READ_H
#define SHIM_BPF_CORE_READ_H

/* struct tcp_sock has no struct sock inside in the trimmed header: it lives beside it. */
void *mach_tcp_of(const void *sk);
/* Iterators differ by kernel: each shape of one has a place of its own. */
void *mach_iter_of(const void *it, int what);
#define shim_at(p)                                                                                 \
	_Generic((p), struct tcp_sock *                                                            \
		 : mach_tcp_of(p), struct iov_iter___bits *                                        \
		 : mach_iter_of(p, 0), struct iov_iter___kind *                                    \
		 : mach_iter_of(p, 1), struct iov_iter___iov *                                     \
		 : mach_iter_of(p, 2), struct iov_iter___iov2 *                                    \
		 : mach_iter_of(p, 2), struct iov_iter___ubuf *                                    \
		 : mach_iter_of(p, 3), default                                                     \
		 : (const void *)(p))
#define shim_field(p, f)                                                                           \
	({                                                                                         \
		typeof(((typeof(p))0)->f) shim_v;                                                  \
		mach_read_kernel((void *)&shim_v, sizeof(shim_v),                                  \
				 (const char *)shim_at(p) + __builtin_offsetof(typeof(*(p)), f));  \
		shim_v;                                                                            \
	})
#define shim_1(p, a) shim_field(p, a)
#define shim_2(p, a, b) shim_field(shim_field(p, a), b)
#define shim_3(p, a, b, c) shim_field(shim_field(shim_field(p, a), b), c)
#define shim_pick(p1, p2, p3, name, ...) name
#define BPF_CORE_READ(p, ...) shim_pick(__VA_ARGS__, shim_3, shim_2, shim_1)(p, __VA_ARGS__)
#define BPF_CORE_READ_INTO(dst, p, f)                                                              \
	mach_read_kernel(dst, sizeof(*(dst)),                                                      \
			 (const char *)(p) + __builtin_offsetof(typeof(*(p)), f))
/* Structures that only exist for relocation say nothing of the place: the machine knows it. */
void *mach_ref_of(const void *file);
#define __builtin_preserve_access_index(x)                                                         \
	_Generic((x), file_ref___hp *                                                              \
		 : mach_ref_of(x), atomic_long___hp *                                              \
		 : mach_ref_of(x), default                                                         \
		 : (x))
/* The kind of an iterator as bits is the only field that old kernels alone have. */
#define bpf_core_field_exists(f) _Generic(&(f), unsigned int * : !mach_has_func(0), default : 1)
#define bpf_core_enum_value(type, val) (mach_has_func(0) ? (int)(val) : 4)
#define bpf_core_type_id_kernel(type) 0
#define bpf_core_type_size(type) sizeof(type)
#define bpf_core_field_offset(f) ((__u64) & (f))
#define bpf_core_enum_value_exists(type, val) mach_has_func(val)

#endif
