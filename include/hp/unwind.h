/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Unwind tables: what user space makes of a file's call frame information, and how the programs find
 * the row of an address. The analyst builds a table a file (user/unwind/), the collector copies it
 * into the maps, the programs look up rows (bpf/unwind/).
 *
 *   address → uw_proc of the process → uw_map (sorted, searched) → page → rows of that page (searched)
 *           → rule
 *
 * A table covers the executable segments of one file, from the page of the lowest address to that of the
 * highest. Each page of UW_PAGE_BYTES has its rows, sorted by offset; the first row of a page has
 * offset 0, so no search leaves its page. A row holds until the next one. Addresses that no call frame
 * information covers have the rule UW_RULE_NONE.
 *
 * Image of a table, as it travels in a sealed memfd and lies in the cache on disk: struct uw_image,
 * pages[npages], rows[nrows] (padded to 8 bytes), rules[nrules]. Everything in it is checked before use:
 * unwind_image_check() of user/unwind/tableimage.h is that check.
 */
#ifndef HP_UNWIND_H
#define HP_UNWIND_H

#define UW_PAGE_SHIFT 12
#define UW_PAGE_BYTES (1u << UW_PAGE_SHIFT)
#define UW_PAGE_ROWS_MAX 4096 /* more than one row a byte there cannot be */
#define UW_PAGE_STEPS 13 /* of a binary search in them */
#define UW_RULES_MAX 16384 /* of all tables together; numbers fit 16 bits */

/* Bounds of one image: 35 MiB at most. The largest file met (rustc, 154 MB) has 708 rules. */
#define UW_IMAGE_PAGES_MAX (1u << 18) /* 1 GiB of code */
#define UW_IMAGE_ROWS_MAX (1u << 23)
#define UW_IMAGE_RULES_MAX 4096

/* Where the frame's CFA (the caller's stack pointer) comes from. */
enum uw_cfa {
	UW_CFA_NONE = 0, /* no information: the walk cannot go on by tables */
	UW_CFA_END, /* the return address is undefined: the outermost frame */
	UW_CFA_RSP, /* rsp + cfa_off */
	UW_CFA_RBP, /* rbp + cfa_off */
	UW_CFA_RSP_DEREF, /* *(rsp + cfa_off) + cfa_add */
	UW_CFA_RBP_DEREF, /* *(rbp + cfa_off) + cfa_add */
	UW_CFA_PLT, /* rsp + 8, and 8 more from offset cfa_off of a 16-byte entry on */
	UW_CFA_REG, /* register reg + cfa_off: only in the innermost frame */
	UW_CFA_SIGNAL, /* all registers from the ucontext at rsp + cfa_off */
	/*
	 * Frame pointer step: rbp + 16, whatever code this is. Of an interpreter's frames the other
	 * fields say more; each is 0 where it does not: cfa_add: the caller's stack pointer is
	 * *(rbp + cfa_add), where that is further out (the interpreter had moved it for arguments);
	 * cfa_off: *(rbp + cfa_off) is what the frame runs, an entry of kind HP_FRAME_METHOD; rbp_off:
	 * the low half of *(rbp + rbp_off) is that entry's `extra`; reg: not that word itself is it, but
	 * word number reg of the object that it is a tagged pointer to, if the word above it (the
	 * context) is one, too. (V8: JSFunctions move, and what is known of them does not so soon.)
	 */
	UW_CFA_FP,
	/*
	 * rsp + cfa_off, but the outermost frame when rax is 0; innermost frame only. It is the few
	 * bytes between the syscall instruction of clone() and the new thread's first instruction:
	 * glibc ends the call frame information there, because parent and child both run them and the
	 * child's stack is new. A thread that waits in clone(CLONE_VFORK) (posix_spawn) waits right
	 * there. The kernel gives the child rax = 0 (copy_thread()); in the parent rax is -ENOSYS
	 * during the call, and a thread id or an error after it.
	 */
	UW_CFA_CLONE,
	UW_CFA_FP_END, /* as UW_CFA_FP, and the outermost frame when rbp is 0 */
	/*
	 * Code that a compiler may have put there since the table was made: what its heap says of it
	 * (struct uw_heap). The mapping's bias is the heap's first address.
	 */
	UW_CFA_HEAP,
};

/* Where the caller's rbp is. */
enum uw_rbp {
	UW_RBP_SAME = 0,
	UW_RBP_CFA, /* *(cfa + rbp_off) */
	UW_RBP_RBP, /* *(rbp + rbp_off) */
	UW_RBP_UNKNOWN, /* lost: frames that need it end the walk */
};

/* Where the return address is. */
enum uw_ra {
	UW_RA_CFA = 0, /* *(cfa - 8) */
	UW_RA_REG, /* in register reg: only in the innermost frame */
};

struct uw_rule {
	__u8 cfa; /* enum uw_cfa */
	__u8 rbp; /* enum uw_rbp */
	__u8 ra; /* enum uw_ra */
	__u8 reg; /* DWARF number, of the CFA's or of the return address' register; never two */
	__s32 cfa_off;
	__s32 cfa_add;
	__s32 rbp_off;
};

/*
 * Where HotSpot's heap of generated code says what piece an address is in, and how large that piece's
 * frame is: in a rule's place from cfa_off on, and reg is log2 of a segment's bytes. A segment's own byte in
 * the map says how many segments further down the piece's first one is, or a nearer one.
 */
struct uw_heap {
	__u32 segments[2]; /* address of the map of segments, lower half first */
	__u8 block; /* bytes / 8 in front of what describes a piece; from there: */
	__u8 frame; /* offset / 4 of the frame's words, */
	__u8 complete; /* offset / 4 of the code's offset from which on the frame is, */
	__u8 code; /* offset / 8 of the code's address */
};

#define UW_HEAP_FREE 0xff
#define UW_HEAP_HOPS 64 /* from a segment to its piece's first: of some 32 KiB each */
#define UW_HEAP_FRAME_MAX (1u << 17) /* words */

enum uw_rule_fixed {
	UW_RULE_NONE = 0, /* rules[0] of every table: { UW_CFA_NONE } */
};

struct uw_row {
	__u16 at; /* offset in its page */
	__u16 rule; /* in an image: of its own rules; in the maps: of all */
};

/* Rows of one page. */
struct uw_page {
	__u32 first;
	__u32 n; /* 0: nothing known there, as UW_RULE_NONE */
};

#define UW_IMAGE_MAGIC 0x31777568 /* "huw1" */

struct uw_image {
	__u32 magic;
	__u32 nrules;
	__u32 npages;
	__u32 nrows;
	__u64 vaddr; /* of the first page, in the file's own addresses */
	__u8 build_id[20];
	__u8 build_id_len;
	__u8 pad0[3];
};

/* Rows lie in the map in leaves, because an array map rounds each value up to 8 bytes. */
#define UW_LEAF_ROWS 512
struct uw_leaf {
	struct uw_row rows[UW_LEAF_ROWS];
};

enum uw_map_kind {
	UW_MAP_TABLE = 1,
	UW_MAP_FP, /* no table, and frame pointers are what there is: JIT, Go */
	UW_MAP_PENDING, /* its table is not there yet: frame pointers meanwhile, and said so */
};

enum uw_map_flags {
	UW_MAP_PYTHON = 1, /* the interpreter loop is in it: see struct uw_proc */
};

/* An executable mapping of a process. */
struct uw_map {
	__u64 start;
	__u64 end;
	__u64 bias; /* address - bias = offset from the table's first page */
	__u32 page; /* the table's first page in m_uw_pages */
	__u32 npages;
	__u8 kind; /* enum uw_map_kind */
	__u8 flags; /* enum uw_map_flags */
	__s8 word; /* 0, or of UW_MAP_FP: *(rbp + 8 * word) is what the frame runs, as in UW_CFA_FP */
	__u8 through; /* as reg there */
	__u8 pad0[4];
};

#define UW_FRAMES_MAX 256 /* user frames of one walk, */
#define UW_ENTRIES_MAX (2 * UW_FRAMES_MAX) /* and each may say besides what it runs */

#define UW_MAPS_MAX 4096 /* of one process */
#define UW_MAPS_STEPS 13

/* A process: its mappings are maps [first, first + n) of m_uw_maps. Replaced as a whole. */
struct uw_proc {
	__u32 first;
	__u32 n;
	__u32 epoch; /* grows with every change, of any process: no two rows have the same */
	__u32 python; /* key into m_py_runtimes; 0 = no Python in it */
};

/* Why a walk of the user stack ended. Everything but UW_STOP_END is an incomplete stack. */
enum uw_stop {
	UW_STOP_NONE = 0, /* no user part: a kernel thread, or one that is ending */
	UW_STOP_DEPTH, /* more frames than a record holds */
	UW_STOP_END, /* the outermost frame was reached */
	UW_STOP_NO_MAPPING, /* the address is in no executable mapping that is known */
	UW_STOP_NO_ROW, /* no call frame information there */
	UW_STOP_PENDING, /* its mapping is known, its table not yet */
	UW_STOP_READ, /* stack memory that could not be read */
	UW_STOP_STUCK, /* the next frame would not be further out */
	UW_STOP_REGISTER, /* the rule needs a register that is lost */
	UW_STOP_PYTHON, /* Python frames ended in memory that is none */
	UW_STOP_FP, /* a walk by frame pointers alone ended: nobody can say whether it was whole */
	UW_STOP_MAX
};

#endif
