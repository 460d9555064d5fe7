/* SPDX-License-Identifier: Apache-2.0 */
/* Programs as functions with their real arguments; see bpf_helpers.h beside this file. */
#ifndef SHIM_BPF_TRACING_H
#define SHIM_BPF_TRACING_H

#define BPF_PROG(name, ...) name(__VA_ARGS__)

#endif
