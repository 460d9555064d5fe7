/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Both rungs of the transfers, of which one is loaded: system calls, and functions of sockets. They are
 * one object because they share functions that the verifier looks at once, and because libbpf's linker
 * refuses a kernel function (bpf_rdonly_cast) that two objects name.
 */
#define TYPED_READS
#include "probes/syscall.bpf.h"
#include "probes/sockfn.bpf.h"

const volatile bool cfg_typed_reads = false;
__u32 entries;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
