/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sampled stacks as call trees of addresses, and the names that turn them into trees of functions. One
 * tree for what ran, one for what waited, one for who woke that; threads, addresses and names are the same
 * for all.
 */
#ifndef AGG_STACKS_H
#define AGG_STACKS_H

#include "agg/agg.h"
#include "base/map.h"
#include "base/strpool.h"

#define STACK_FRAMES_MAX 200000
#define STACK_SYMBOLS_MAX 200000
#define STACK_MAPPINGS_MAX 65536
#define STACK_TEXT_MAX (32u << 20)
#define STACK_TOP_MAX 200
#define STACK_PROCESSES_MAX 65536
#define STACK_DEPTH_MAX (HP_STACK_MAX + UW_ENTRIES_MAX) /* kernel and user frames */
#define STACK_TREE_DEPTH_MAX (2 * STACK_DEPTH_MAX) /* and as many that were inlined */
#define STACK_LINES_MAX (4 * STACK_FRAMES_MAX)

struct stack_frame {
	u64 addr; /* threads: id of the name in texts; processes: 0 */
	u32 tgid; /* 0 = of the kernel, and of threads' names and notes */
	u32 extra; /* Python and methods: instruction, and check of the code object */
	u32 check;
	u32 name; /* Python and methods: "function (file:line)" in texts, 0 = not known */
	u32 func; /* the same without the line */
	u8 kind; /* enum hp_frame_kind, 0 = a process, a thread's name or a note */
	bool hidden; /* Python: the interpreter's own; processes: the only one */
	bool library; /* Python: of its own library, or of an installed package */
	bool listed; /* given to the caller of agg_unnamed(); processes: with a root of its own */
	bool lined; /* and of agg_unlined() */
	u8 nlines;
	u32 lines; /* the first one in struct stacks */
};

/* A function of an address, and where in the source: as in struct ev_line. */
struct stack_line {
	u32 name; /* in texts, 0 = as the symbol says */
	u32 place; /* " (file:line)" in texts, 0 = not known */
};

struct stack_node {
	u32 parent;
	u32 frame;
	u32 by_name; /* samples that are whole when names say so: nobody else does */
	u64 self; /* weight of all samples */
};

struct stack_symbol {
	u64 start;
	u64 end;
	u32 tgid;
	u32 seq;
	u32 name;
	bool unnamed; /* the symboliser only knew the file */
	bool jit; /* named by the runtime that made the code */
};

struct stack_mapping {
	struct agg_addr at; /* addr unused, path interned */
	u32 seq;
};

/* Open addressing over indices of another array; 0 = free, so entries are index + 1. */
struct stack_index {
	u32 *slots;
	u32 cap;
	u32 n;
};

struct stack_tree {
	struct stack_node *nodes; /* nodes[0]: the root */
	u32 nnodes, nodes_cap, nodes_max;
	struct stack_index node_of;
	u64 samples;
	u64 weight; /* of all samples */
	u64 truncated;
	/* made by stacks_finish() */
	struct agg_node *out;
	u32 nout;
	struct agg_top *top;
	u32 ntop;
	struct agg_stack_trust trust;
	struct map reasons; /* of waits: node and reason → weight */
	struct agg_place *places;
	u32 nplaces;
	u32 *named; /* of waits and sites: by node of addresses the one in out */
};

/* A stack on its way into a tree. */
struct stack_sample {
	u32 tgid;
	u32 tid; /* 0 = without its process: the thread stands below the root */
	const char *comm; /* HP_COMM_LEN bytes */
	const char
		*groups[2]; /* nodes below the thread's name, as if they had called; NULL = none */
	const struct ev_frame *frames; /* innermost first */
	u32 nframes;
	bool truncated;
	u8 unwind; /* enum hp_unwind */
	u8 stop; /* enum uw_stop */
	u64 weight;
};

#define STACK_TRUNCATED "(truncated)" /* stands for the callers that are missing */
#define STACK_IDLE "(idle)" /* a group that the top list leaves out */

struct stacks {
	struct strpool texts;
	struct stack_frame *frames;
	u32 nframes, frames_cap;
	struct stack_index frame_of;
	struct stack_line *lines;
	u32 nlines, lines_cap;
	struct stack_symbol *symbols;
	u32 nsymbols, symbols_cap;
	bool symbols_sorted;
	struct stack_mapping *mappings;
	u32 nmappings, mappings_cap;
	bool mappings_sorted;
	u64 symbols_refused;
	struct stack_tree cpu; /* weights are samples */
	struct agg_moment
		*moments; /* of its samples; node is in cpu.nodes, after the end in cpu.out */
	u32 nmoments, moments_cap;
	u64 moments_more;
	struct stack_tree waits; /* weights are microseconds */
	struct map processes; /* pid → name in texts */
	u32 only_pid; /* after the end: the one process of all stacks, 0 = several */
	bool one_process; /* several are drawn as one */
	struct stack_tree sites; /* where calls were issued; weights are sends that were sampled */
	struct stack_tree wakers; /* likewise: thread, reason, waker, the waker's own frames */
};

int stacks_init(struct stacks *s, u32 max_nodes);
void stacks_release(struct stacks *s);
/* A thread's name, at most 15 bytes, without what separates frames in folded stacks; in `out`, or a text. */
struct slice stacks_comm(const char comm[HP_COMM_LEN], char out[HP_COMM_LEN]);
/* A process's name. In processes.c, as the next one, which names the processes' frames. */
void stacks_process(struct stacks *s, u32 tgid, const char comm[HP_COMM_LEN], bool is_main);
int processes_finish(struct stacks *s);
/* Returns the sample's node. */
u32 stacks_add(struct stacks *s, struct stack_tree *t, const struct stack_sample *in);
/* Keeps when and where a sample of the CPU tree was taken. */
void stacks_moment(struct stacks *s, const struct agg_moment *m);
void stacks_symbol(struct stacks *s, const struct ev_symbol *rec);
void stacks_code(struct stacks *s, const struct ev_code *rec);
void stacks_mapping(struct stacks *s, const struct ev_mapping *rec);
void stacks_lines(struct stacks *s, const struct ev_lines *rec);
size_t stacks_unlined(struct stacks *s, void (*fn)(void *arg, const struct agg_addr *a), void *arg);
/* What a wait was for; in places.c, as the next one. */
void places_add(struct stack_tree *t, u32 node, u8 reason, u64 weight);
/* After t->named is there. 0 or -ENOMEM. */
int places_finish(struct stack_tree *t);
/*
 * Of a stack by name the frame that says most about the application, of equal ones the innermost; the thread's
 * name when it has none.
 */
const struct agg_node *places_best(const struct agg_node *nodes, const struct agg_node *leaf);
void stacks_ask_again(struct stacks *s);
size_t stacks_unnamed(struct stacks *s, void (*fn)(void *arg, const struct agg_addr *a), void *arg);
/* Sorts symbols and mappings if needed; the lookups below want that. */
void stacks_sort(struct stacks *s);
const struct stack_symbol *stacks_symbol_at(const struct stacks *s, u32 tgid, u64 addr);
const struct stack_mapping *stacks_mapping_at(const struct stacks *s, u32 tgid, u64 addr);
/* Was another file mapped there before? Frames are kept by address: those of both have one name. */
bool stacks_remapped(const struct stacks *s, u32 tgid, u64 addr);
/* The trees by name, their top lists and counts; in stacktree.c. Trees without samples stay empty. */
int stacks_finish(struct stacks *s);

#endif
