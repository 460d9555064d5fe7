/* SPDX-License-Identifier: Apache-2.0 */
/* Programs as functions with their real arguments; see bpf_helpers.h beside this file. */
#ifndef SHIM_BPF_TRACING_H
#define SHIM_BPF_TRACING_H

#define BPF_PROG(name, ...) name(__VA_ARGS__)

/* Of a kernel function's call, on x86-64. */
#define PT_REGS_PARM1(ctx) ((ctx)->di)
#define PT_REGS_PARM2(ctx) ((ctx)->si)
#define PT_REGS_PARM3(ctx) ((ctx)->dx)
#define PT_REGS_PARM4(ctx) ((ctx)->cx)
#define PT_REGS_PARM5(ctx) ((ctx)->r8)
#define PT_REGS_RC(ctx) ((ctx)->ax)

#endif
