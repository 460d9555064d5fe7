/* SPDX-License-Identifier: Apache-2.0 */
/* See jvmrows.h. Encodings are those of HotSpot's assembler, which always takes the same. */
#include "unwind/jvmrows.h"

#include <string.h>

#define BARRIER_MAX 40 /* bytes of a barrier at a method's entry */
#define COMPARE_MAX 2048 /* bytes of a comparison of strings */
#define PROLOGUE_MAX 24 /* of a stub */
#define STUB_ALIGN 32 /* CodeEntryAlignment, or a divisor of it */

/* Slots of an interpreter's frame, from rbp (frame_x86.hpp). */
enum {
	SENDER_SP = -8,
	METHOD = -24,
	BCP = -64,
};

struct scan {
	const struct jvm_piece *c;
	struct jvm_row *rows;
	u32 n, max;
	bool enters; /* rbp is set, too */
};

static void put(struct scan *s, u32 at, enum jvm_shape shape)
{
	if (at >= s->c->n)
		return;
	while (s->n && s->rows[s->n - 1].at >= at)
		s->n--;
	if (s->n && s->rows[s->n - 1].shape == shape)
		return;
	if (s->n < s->max)
		s->rows[s->n++] = (struct jvm_row){ .at = at, .shape = shape };
}

static bool is(const struct scan *s, u32 at, const char *bytes, u32 n)
{
	return at <= s->c->n && n <= s->c->n - at && !memcmp(s->c->p + at, bytes, n);
}

#define IS(s, at, bytes) is(s, at, bytes, sizeof(bytes) - 1)

/* The length of an instruction that moves rsp by n, 0 = it is another one: 83 ib or 81 id, then `reg`. */
static u32 moves_rsp(const struct scan *s, u32 at, u8 reg, u32 n)
{
	const u8 *p = s->c->p + at;
	u32 value;

	if (at + 4 > s->c->n || p[0] != 0x48 || p[2] != reg)
		return 0;
	if (p[1] == 0x83)
		return p[3] < 0x80 && p[3] == n ? 4 : 0;
	if (p[1] != 0x81 || at + 7 > s->c->n)
		return 0;
	memcpy(&value, p + 3, sizeof(value));
	return value == n ? 7 : 0;
}

/* sub $n,%rsp */
static u32 sub_rsp(const struct scan *s, u32 at, u32 n)
{
	return moves_rsp(s, at, 0xec, n);
}

/* push %rbp, mov %rsp,%rbp: the length. */
static u32 enters(const struct scan *s, u32 at)
{
	return IS(s, at, "\x55\x48\x8b\xec") || IS(s, at, "\x55\x48\x89\xe5") ? 4 : 0;
}

/* What may stand between the frame's end and the return: the look for a safepoint. */
static u32 polls(const struct scan *s, u32 at)
{
	/* cmp off(%r15),%rsp; ja: from 16 on. */
	if (IS(s, at, "\x49\x3b\x67") && IS(s, at + 4, "\x0f\x87"))
		return 10;
	if (IS(s, at, "\x49\x3b\xa7") && IS(s, at + 7, "\x0f\x87"))
		return 13;
	/* test %eax,page(%rip); mov off(%r15),%r10, test %eax,(%r10): before. */
	if (IS(s, at, "\x85\x05"))
		return 6;
	if (IS(s, at, "\x4d\x8b\x97") && IS(s, at + 7, "\x41\x85\x02"))
		return 10;
	return 0;
}

/* The length of an instruction that leaves the method, 0 = it does not. */
static u32 leaves(const struct scan *s, u32 at)
{
	if (IS(s, at, "\xc3"))
		return 1;
	if (IS(s, at, "\xc5\xf8\x77\xc3")) /* vzeroupper */
		return 4;
	if (IS(s, at, "\xe9"))
		return 5;
	if (IS(s, at, "\xff\xe0") || IS(s, at, "\xff\xe1") || IS(s, at, "\xff\xe3"))
		return 2;
	return IS(s, at, "\x41\xff\xe2") ? 3 : 0;
}

/*
 * The frame's end: rows for it when there is one at `at`, whose length is returned. What comes behind is
 * in the frame again.
 */
static u32 epilogue(struct scan *s, u32 at)
{
	u32 move = s->c->frame > 16 ? moves_rsp(s, at, 0xc4, s->c->frame - 16) : 0, pop, end, n;

	/* leave; ret: any other jump behind that byte is as likely to be behind a register's number. */
	if (s->enters && IS(s, at, "\xc9\xc3")) {
		put(s, at + 1, JVM_ENTRY);
		end = at + 2;
	} else {
		if ((s->c->frame > 16 && !move) || !IS(s, at + move, "\x5d"))
			return 0;
		pop = at + move;
		end = pop + 1 + polls(s, pop + 1);
		n = leaves(s, end);
		if (!n)
			return 0;
		put(s, pop, JVM_PUSHED);
		put(s, pop + 1, JVM_ENTRY);
		end += n;
	}
	put(s, end, JVM_FRAME);
	return end - at;
}

/* sub $moved+8,%rsp; mov %rbp,moved(%rsp) */
static u32 saving_prologue(struct scan *s, u32 end, u32 moved)
{
	static const struct {
		u32 n;
		char bytes[5];
	} moves[] = { { 4, "\x48\x89\x2c\x24" },
		      { 5, "\x48\x89\x6c\x24" },
		      { 8, "\x48\x89\xac\x24" } };
	u32 i, sub;

	for (i = 0; i < ARRAY_SIZE(moves); i++) {
		u32 n = moves[i].n;

		if (end < n || !is(s, end - n, moves[i].bytes, 4))
			continue;
		for (sub = 7; sub >= 4; sub -= 3) {
			if (end < n + sub || sub_rsp(s, end - n - sub, moved + 8) != sub)
				continue;
			put(s, end - n, JVM_MOVED);
			put(s, end, JVM_FRAME);
			return n + sub;
		}
	}
	return 0;
}

/* The prologue that ends at `end`: 0, or the number of its bytes and rows for it. */
static u32 prologue(struct scan *s, u32 end)
{
	u32 moved = s->c->frame - 16, sub, n = saving_prologue(s, end, moved);

	if (n)
		return n;

	/* push %rbp [mov %rsp,%rbp] [sub] */
	for (sub = 7; moved && sub >= 4; sub -= 3)
		if (end >= sub && sub_rsp(s, end - sub, moved) == sub)
			break;
	if (!moved || sub < 4)
		sub = 0;
	if (sub || !moved) {
		n = end >= sub + 4 && enters(s, end - sub - 4) ? 4 : 1;
		if (end < sub + n || !IS(s, end - sub - n, "\x55"))
			return 0;
		s->enters = n == 4;
		put(s, end - sub - n + 1, JVM_PUSHED);
		put(s, end, JVM_FRAME);
		return sub + n;
	}
	return 0;
}

/* Where interpreted code comes in in the middle of a loop, a method has its prologue once more. */
static u32 second_prologue(struct scan *s, u32 at)
{
	u32 n = s->c->frame > 16 && IS(s, at, "\x55") ? sub_rsp(s, at + 1, s->c->frame - 16) : 0;

	if (!n)
		return 0;
	put(s, at, JVM_ENTRY);
	put(s, at + 1, JVM_PUSHED);
	put(s, at + 1 + n, JVM_FRAME);
	return 1 + n;
}

/* lea poll(%rip),%r10; mov %r10,off(%r15); jmp: for a poll at a return, where the frame has gone. */
static u32 poll_stub(struct scan *s, u32 at)
{
	if (!IS(s, at, "\x4c\x8d\x15") || !IS(s, at + 7, "\x4d\x89\x97") || !IS(s, at + 14, "\xe9"))
		return 0;
	put(s, at, JVM_ENTRY);
	put(s, at + 19, JVM_FRAME);
	return 19;
}

/*
 * The comparison of strings (MacroAssembler::string_compare) keeps a word below the frame for its whole
 * length: sub %edx,%ecx; push %rcx; cmovle %eax,%edx … pop %rax; [sar %eax;] jmp behind; pop %rcx.
 */
static u32 compares(struct scan *s, u32 at)
{
	u32 end, shift = 0;

	if (!IS(s, at, "\x2b\xca\x51\x0f\x4e\xd0"))
		return 0;
	for (end = at + 6; end < at + COMPARE_MAX; end++) {
		shift = IS(s, end + 1, "\xd1\xf8") ? 2 : 0;
		if (IS(s, end, "\x58") && IS(s, end + 1 + shift, "\xeb\x01\x59"))
			break;
	}
	if (end == at + COMPARE_MAX)
		return 0;
	put(s, at + 3, JVM_FRAME_8);
	put(s, end + 1, JVM_FRAME);
	end += 3 + shift;
	put(s, end, JVM_FRAME_8);
	put(s, end + 1, JVM_FRAME);
	return end + 1 - at;
}

/* False: it has no prologue of a method. */
static bool scan_method(struct scan *s)
{
	const struct jvm_piece *c = s->c;
	u32 at = MIN(c->complete, c->n), back, n;

	/* Stubs of the compiler begin with it, and nobody says where it ends. */
	if (!c->complete) {
		for (at = 1; at <= PROLOGUE_MAX && (enters(s, 0) || !prologue(s, at)); at++)
			;
		if (at > PROLOGUE_MAX)
			return false;
	}
	put(s, 0, JVM_ENTRY);
	/* From 20 on the collector's barrier comes behind it, and belongs to what is not complete. */
	for (back = 0; back <= BARRIER_MAX && back < at; back++)
		if ((!back || c->frame > 16) && prologue(s, at - back))
			break;
	if (back > BARRIER_MAX || back >= at)
		put(s, at, JVM_FRAME); /* patched: the method is not to be entered any more */
	while (at < c->n) {
		n = epilogue(s, at);
		if (!n)
			n = second_prologue(s, at);
		if (!n)
			n = poll_stub(s, at);
		if (!n)
			n = compares(s, at);
		at += MAX(n, 1U);
	}
	return true;
}

/* Is there nothing but padding up to the next place where a stub can begin? */
static bool pads(const struct scan *s, u32 at)
{
	static const char nops[] = "\x90\x66\x0f\x1f\x40\x44\x80\x84\xf4\xcc"; /* and 0 */

	for (; (s->c->addr + at) % STUB_ALIGN; at++)
		if (at >= s->c->n || !memchr(nops, s->c->p[at], sizeof(nops)))
			return false;
	return true;
}

static void scan_stubs(struct scan *s)
{
	const struct jvm_piece *c = s->c;
	bool inside = false;
	u32 at = 0, n;

	put(s, 0, JVM_ENTRY);
	while (at < c->n) {
		n = enters(s, at);
		if (n) {
			put(s, at, JVM_ENTRY);
			put(s, at + 1, JVM_PUSHED);
			put(s, at + n, JVM_RBP);
			inside = true;
			at += n;
			continue;
		}
		n = inside && (IS(s, at, "\xc9") || IS(s, at, "\x5d")) ? leaves(s, at + 1) : 0;
		if (!n) {
			at++;
			continue;
		}
		put(s, at + 1, JVM_ENTRY);
		at += 1 + n;
		/* More of this stub, with its frame, unless another begins. */
		inside = !pads(s, at);
		if (inside)
			put(s, at, JVM_RBP);
	}
}

u32 jvm_rows(const struct jvm_piece *c, struct jvm_row *rows, u32 max)
{
	struct scan s = { .c = c, .rows = rows, .max = max };

	if (!c->n || !max)
		return 0;
	if (c->interpreter)
		put(&s, 0, JVM_INTERPRETER);
	else if (c->frame < 16 || c->frame > JVM_FRAME_MAX || !scan_method(&s))
		scan_stubs(&s);
	return s.n;
}

struct uw_rule jvm_rule(enum jvm_shape shape, u32 frame)
{
	struct uw_rule r = { .cfa = UW_CFA_RSP, .rbp = UW_RBP_CFA, .rbp_off = -16 };

	switch (shape) {
	case JVM_ENTRY:
		return (struct uw_rule){ .cfa = UW_CFA_RSP, .cfa_off = 8 };
	case JVM_MOVED:
		return (struct uw_rule){ .cfa = UW_CFA_RSP, .cfa_off = (s32)frame };
	case JVM_PUSHED:
		r.cfa_off = 16;
		return r;
	case JVM_FRAME:
		r.cfa_off = (s32)frame;
		return r;
	case JVM_FRAME_8:
		r.cfa_off = (s32)frame + 8;
		return r;
	case JVM_RBP:
		r.cfa = UW_CFA_RBP;
		r.cfa_off = 16;
		return r;
	case JVM_INTERPRETER:
		return (struct uw_rule){
			.cfa = UW_CFA_FP, .cfa_off = METHOD, .cfa_add = SENDER_SP, .rbp_off = BCP
		};
	default:
		return (struct uw_rule){ 0 };
	}
}
