/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How generated code of HotSpot is unwound: one piece of it (a compiled method, a stub, the interpreter)
 * into rows. Compiled methods keep no frame pointer, but all have one of a few prologues and epilogues
 * (x86: MacroAssembler::verified_entry, C1_MacroAssembler::build_frame and remove_frame), and the virtual
 * machine says how large the frame is and where it is complete. Stubs and the wrappers of native methods
 * set rbp.
 *
 * The bytes are hostile. A pattern counts only with the frame's own size in it, so what merely looks like
 * one is rare, and costs the few instructions that it covers.
 */
#ifndef UNWIND_JVMROWS_H
#define UNWIND_JVMROWS_H

#include "base/types.h"
#include "hp/unwind.h"

#define JVM_ROWS_MAX 65536 /* of one piece of code */
#define JVM_FRAME_MAX (1u << 20)

enum jvm_shape {
	JVM_NOTHING, /* nothing is known: there is no code */
	JVM_ENTRY, /* no frame: the return address is at rsp */
	JVM_PUSHED, /* and the caller's rbp above it */
	JVM_MOVED, /* rsp has been moved by the frame's size, rbp is the caller's */
	JVM_FRAME, /* the whole frame, from rsp; the caller's rbp beside the return address */
	JVM_FRAME_8, /* and a word below it */
	JVM_RBP, /* the same from rbp */
	JVM_INTERPRETER, /* a frame of the interpreter */
	JVM_SHAPES,
};

struct jvm_row {
	u32 at; /* in the code, rising */
	u32 shape; /* enum jvm_shape */
};

struct jvm_piece {
	u64 addr; /* of the first byte */
	const u8 *p;
	u32 n;
	u32 frame; /* bytes with return address and saved rbp; 0 = not known */
	u32 complete; /* offset from which on the frame is; 0 = not known */
	bool interpreter;
};

/* Makes at most `max` rows, the first of them at 0. How many; 0: there is no code. */
u32 jvm_rows(const struct jvm_piece *c, struct jvm_row *rows, u32 max);
/* The rule; frame counts where the shape has one. */
struct uw_rule jvm_rule(enum jvm_shape shape, u32 frame);

#endif
