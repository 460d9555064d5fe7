/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/* CPU sample records and what naming their addresses needs. */
#ifndef HP_EV_CPU_H
#define HP_EV_CPU_H

enum hp_frame_kind {
	HP_FRAME_KERNEL = 1,
	HP_FRAME_NATIVE = 2,
	HP_FRAME_PYTHON = 3,
	/*
	 * No frame of its own, but what the native frame in front of it runs: the address of an object
	 * of the runtime (HotSpot's Method, V8's SharedFunctionInfo; in captures what the analyst made of it).
	 * Named, it stands in that frame's place.
	 */
	HP_FRAME_METHOD = 4,
};

enum hp_unwind {
	HP_UNWIND_FP = 1, /* user frames by frame pointers alone */
	HP_UNWIND_TABLES = 2, /* by call frame information, and what hp/unwind.h says */
};

enum hp_frame_extra { /* of native frames */
	HP_FRAME_EXACT = 1, /* where the thread stood; without: a return address */
};

/* One frame: an address, or for an interpreter what names it. Innermost first. */
struct ev_frame {
	__u64 addr; /* kernel or user address; interpreter: code object */
	/* Interpreter: instruction index; method: what its rule says; native, by tables: enum hp_frame_extra. */
	__u32 extra;
	__u8 kind; /* enum hp_frame_kind */
	__u8 check[3]; /* interpreter: of the code object, so that a reused address is noticed */
};

/* nframes struct ev_frame follow: kernel frames, then user frames, each innermost first. */
struct ev_sample {
	struct ev_hdr hdr;
	__u32 cpu;
	__u16 nframes;
	__u8 unwind; /* enum hp_unwind */
	__u8 stop; /* enum uw_stop: why the user part ended; by frame pointers 0 or UW_STOP_DEPTH */
	char comm[HP_COMM_LEN];
};

/* An executable mapping of a target process. The path (path_len bytes) follows. */
struct ev_mapping {
	struct ev_hdr hdr;
	__u64 start;
	__u64 end;
	__u64 file_off;
	__u32 inode;
	__u16 path_len;
	__u8 build_id_len;
	__u8 pad0;
	__u8 build_id[20];
	__u32 pad1;
};

/*
 * A name found by the analyst for addresses [start, end) of a process (tgid 0: of the kernel).
 * name_len bytes of the symbol, then module_len bytes of the module's base name follow.
 * Symbols come before the records that end the window, so a replay names as the live run did.
 */
struct ev_symbol {
	struct ev_hdr hdr;
	__u64 start;
	__u64 end;
	__u16 name_len;
	__u16 module_len;
	__u32 pad0;
};

#define HP_LINES_MAX 32

/*
 * Where the source has one address of a process. n struct ev_line follow: functions that were inlined
 * there, innermost first, at last the function itself, which has no name here but that of its symbol. Then
 * their texts, each name and file in that order, back to back.
 */
struct ev_lines {
	struct ev_hdr hdr;
	__u64 addr; /* as the symbol is looked up: inside the call where it is a return address */
	__u32 n;
	__u32 pad0;
};

struct ev_line {
	__u32 line; /* 0 = not known */
	__u16 name_len;
	__u16 file_len;
};

/*
 * What an interpreter's frames with this code object and instruction, or this method, are called. name_len
 * bytes of the function's name, then file_len bytes of its file's follow; without a name it is the
 * interpreter's own and is not shown, and a method is not.
 */
struct ev_code {
	struct ev_hdr hdr;
	__u64 addr; /* these three as in struct ev_frame */
	__u32 extra;
	__u32 check;
	__u32 line; /* 0 = none */
	__u32 first_line; /* of the function */
	__u16 name_len;
	__u16 file_len;
	__u32 kind; /* enum hp_frame_kind; 0: HP_FRAME_PYTHON */
};

#endif
