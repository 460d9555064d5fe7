/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reads of kernel structures on the way of every transfer. Where the kernel lets a program say what an
 * address points to (bpf_rdonly_cast: a35b9af4ec2c, 6.2), each is one load that gives zero for a wild
 * address; elsewhere it is a call that copies. One request of nginx: 3.7 µs with calls, 3.2 with loads.
 *
 * typed is a constant of the program: kernels from 5.13 to 5.15 refuse a program that so much as names a
 * kernel function they have not, so only one rung's program does, and has another rung below it. And
 * only the file that defines TYPED_READS before it includes this: libbpf's linker refuses a kernel
 * function that two objects name (1.1 does).
 */
#ifndef BPF_READ_H
#define BPF_READ_H

#include "lib/hp.bpf.h"

#ifdef TYPED_READS
extern const volatile bool cfg_typed_reads; /* set before load, by the presence of that function */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;
#define word_cast(at)                                                                              \
	((struct timespec64 *)bpf_rdonly_cast((at), bpf_core_type_id_kernel(struct timespec64)))
#else
#define cfg_typed_reads false
#define word_cast(at) ((struct timespec64 *)(at))
#endif

/*
 * The word at an address: struct timespec64 is the kernel's name for one. Pointers are read so, because
 * a typed one can neither be compared with another address nor be hashed.
 */
static __always_inline __u64 read_word(bool typed, const void *at)
{
	__u64 word = 0;

	if (typed && cfg_typed_reads)
		return word_cast(at)->tv_sec;
	bpf_probe_read_kernel(&word, sizeof(word), at);
	return word;
}

#define read_ptr(typed, type, ptr, field)                                                          \
	((typeof(((type *)0)->field))read_word(                                                    \
		typed, (const char *)(ptr) + bpf_core_field_offset(((type *)0)->field)))

#endif
