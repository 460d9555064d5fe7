/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for libbpf's header where the walk of user stacks is compiled as ordinary code
 * (load/stillwalk.c): nothing is relocated, structures are those of the trimmed vmlinux.h.
 */
#ifndef NATIVE_BPF_CORE_READ_H
#define NATIVE_BPF_CORE_READ_H

#define native_1(p, a) ((p)->a)
#define native_2(p, a, b) ((p)->a->b)
#define native_3(p, a, b, c) ((p)->a->b->c)
#define native_pick(p1, p2, p3, name, ...) name
#define BPF_CORE_READ(p, ...) native_pick(__VA_ARGS__, native_3, native_2, native_1)(p, __VA_ARGS__)
#define bpf_core_type_size(type) sizeof(type)
#define bpf_core_field_offset(f) ((__u64) & (f))

#endif
