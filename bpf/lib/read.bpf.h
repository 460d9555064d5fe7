/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads of kernel structures on the way of every transfer. Where the kernel lets a program say what an
 * address points to (bpf_rdonly_cast: a35b9af4ec2c, 6.2), each is one load that gives zero for a wild
 * address; elsewhere it is a call that copies. One request of nginx: 3.7 µs with calls, 3.2 with loads.
 *
 * Only the file that defines TYPED_READS before it includes this has them: libbpf's linker refuses a
 * kernel function that two objects name (1.1 does).
 */
#ifndef BPF_READ_H
#define BPF_READ_H

#include "lib/hp.bpf.h"

#ifdef TYPED_READS
extern const volatile bool cfg_typed_reads; /* set before load, by the presence of that function */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;
#define typed_ptr(type, ptr) ((type *)bpf_rdonly_cast((ptr), bpf_core_type_id_kernel(type)))
#else
#define cfg_typed_reads false
#define typed_ptr(type, ptr) ((type *)(ptr))
#endif

#define kernel_read(type, ptr, field)                                                              \
	({                                                                                         \
		const void *kr_p = (ptr);                                                          \
		typeof(((type *)0)->field) kr_v;                                                   \
		if (cfg_typed_reads)                                                               \
			kr_v = typed_ptr(type, kr_p)->field;                                       \
		else                                                                               \
			kr_v = BPF_CORE_READ((type *)kr_p, field);                                 \
		kr_v;                                                                              \
	})

/*
 * The word at an address: struct timespec64 is the kernel's name for one. Pointers are read so, because
 * a typed one can neither be compared with another address nor be hashed.
 */
static __always_inline __u64 kernel_read_word(const void *at)
{
	__u64 word = 0;

	if (cfg_typed_reads)
		return typed_ptr(struct timespec64, at)->tv_sec;
	bpf_probe_read_kernel(&word, sizeof(word), at);
	return word;
}

#define kernel_read_ptr(type, ptr, field)                                                          \
	((typeof(((type *)0)->field))kernel_read_word((const char *)(ptr) +                        \
						      bpf_core_field_offset(((type *)0)->field)))

#endif
