/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk of user stacks over stopped threads of real processes and over garbage, and the tables that it
 * goes by as user/load keeps them. With process ids as arguments: prints the stacks of their threads, for
 * comparison with another unwinder (tests/e2e/test_unwind.py).
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/cleanup.h"
#include "load/procfs.h"
#include "uwworld.h"

#define SEC(n) ((u64)(n)*NSEC_PER_SEC)

static char where[4096]; /* directory of this program */

static void world_init(struct uwworld *w, u32 rows, u32 pages, u32 maps)
{
	assert_int_equal(uwworld_init(w, rows, pages, maps), 0);
}

/* Stops a thread, walks its stack and lets it go on (or stay, when it was stopped before). */
static void walk_thread(struct uwworld *w, pid_t tid, struct uwk_stack *ret)
{
	struct user_regs_struct regs;

	assert_int_equal(uwworld_stop(tid, &regs), 0);
	uwworld_walk(w, &regs, false, ret);
	uwworld_go(tid);
}

static bool is_prefix(const char *path, const char *names)
{
	size_t n = strlen(names);

	return n && !strncmp(path, names, n) && (path[n] == ' ' || !path[n]);
}

/* Of the program's own functions, outermost first. */
static void names_of(struct uwworld *w, const struct uwk_stack *s, const char *path, char *out,
		     size_t size)
{
	struct sym_name name;
	u32 i = s->n;
	char word[128];

	*out = '\0';
	while (i-- > 0) {
		const struct ev_frame *f = &s->frames[i];

		sym_resolve(w->sym, w->pid, f->addr - !(f->extra & HP_FRAME_EXACT), &name);
		if (slice_ends(name.name, SLICE(".cold")))
			name.name.n -= 5;
		snprintf(word, sizeof(word), "%s%.*s", *out ? " " : "", (int)name.name.n,
			 name.name.p);
		if (strstr(path, *out ? word + 1 : word))
			strncat(out, word, size - strlen(out) - 1);
	}
}

static void remove_word(char *text, const char *word)
{
	char *p = strstr(text, word);

	if (p)
		memmove(p, p + strlen(word), strlen(p + strlen(word)) + 1);
}

/* 0 when it is none. */
static int number(const char *text)
{
	return (int)strtol(text, NULL, 10);
}

static pid_t thread_of(pid_t pid, bool second)
{
	char path[64];
	struct dirent *e;
	pid_t tid = pid;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d)))
		if (second && number(e->d_name) > 0 && number(e->d_name) != pid)
			tid = number(e->d_name);
	closedir(d);
	return tid;
}

/* A known call path (tests/workloads/callpath.cc), at many moments of its run. */
static void snapshots(const char *program, const char *kind)
{
	const struct timespec pause = { .tv_nsec = 3 * NSEC_PER_MSEC };
	char file[4200], path[1024], names[2048];
	struct uwworld w;
	struct uwk_stack s;
	int fds[2], i, deepest = 0;
	FILE *said;
	pid_t pid, tid;

	snprintf(file, sizeof(file), "%s/%s", where, program);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		dup2(fds[1], 1);
		execl(file, program, kind, NULL);
		_exit(127);
	}
	close(fds[1]);
	said = fdopen(fds[0], "r");
	assert_non_null(fgets(path, sizeof(path), said));
	path[strcspn(path, "\n")] = '\0';
	remove_word(path, "__restore_rt ");
	nanosleep(&pause, NULL);
	assert_int_equal(uwworld_learn(&w, (u32)pid), 0);
	tid = thread_of(pid, !strcmp(kind, "thread"));
	for (i = 0; i < 100; i++) {
		nanosleep(&pause, NULL);
		walk_thread(&w, tid, &s);
		names_of(&w, &s, path, names, sizeof(names));
		if (s.stop != UW_STOP_END || !is_prefix(path, names))
			fail_msg("%s %s: stop %u: %s", program, kind, s.stop, names);
		deepest += !strcmp(path, names);
	}
	assert_true(deepest > 80);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	fclose(said);
	uwworld_release(&w);
}

static void t_snapshots(void **state)
{
	static const char *const kinds[] = { "deep", "trap", "throw", "calls", "thread" };
	u32 i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(kinds); i++) {
		snapshots("callpath-pie", kinds[i]);
		snapshots("callpath-static", kinds[i]);
	}
}

static u64 rnd(u64 *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x;
}

struct garbage {
	u64 seed;
	u64 lo, hi; /* there is memory between */
};

static int read_garbage(void *arg, __u64 at, void *dst, __u32 n)
{
	struct garbage *g = arg;
	u64 *out = dst;
	u32 i;

	if (at < g->lo || at + n > g->hi)
		return -EFAULT;
	for (i = 0; i < n / 8; i++)
		switch (rnd(&g->seed) % 4) {
		case 0:
			out[i] = rnd(&g->seed);
			break;
		case 1:
			out[i] = at + rnd(&g->seed) % 512; /* a stack address */
			break;
		default:
			out[i] = 0x400000 + rnd(&g->seed) % 0x20000; /* code */
		}
	return 0;
}

/* Whatever rules, rows, mappings and memory say: the walk ends, for a reason, with frames that it has. */
static void t_garbage(void **state)
{
	struct garbage g = { .seed = 88172645463325252ULL,
			     .lo = 0x7f0000000000,
			     .hi = 0x7f0000100000 };
	u32 stops[UW_STOP_MAX] = { 0 };
	struct uwk_stack s;
	unsigned long regs[UWK_REGS];
	struct uwworld w;
	u32 i, j;

	(void)state;
	world_init(&w, 8 * UW_LEAF_ROWS, 64, 64);
	for (i = 0; i < 200000; i++) {
		for (j = 0; j < 4; j++) {
			struct uw_rule *r = &w.arrays.rules[rnd(&g.seed) % 64];
			u64 x = rnd(&g.seed);

			*r = (struct uw_rule){ .cfa = (u8)(x % 14),
					       .rbp = (u8)(x >> 8 & 7),
					       .ra = (u8)(x >> 16 & 3) == 1,
					       .reg = (u8)(x >> 24),
					       .cfa_off = (s32)(x >> 32) >> (x >> 4 & 31),
					       .cfa_add = (s32)(rnd(&g.seed) & 0xff) - 0x80,
					       .rbp_off = (s32)(x >> 20 & 0xff) - 0x80 };
			w.arrays.rows[rnd(&g.seed) % w.arrays.nrows] = (struct uw_row){
				.at = (u16)rnd(&g.seed),
				.rule = (u16)(rnd(&g.seed) % (x & 1 ? 64 : UW_RULES_MAX))
			};
			w.arrays.pages[rnd(&g.seed) % w.arrays.npages] = (struct uw_page){
				.first = (u32)(rnd(&g.seed) % (w.arrays.nrows + 9)),
				.n = (u32)(rnd(&g.seed) % 5000)
			};
			w.arrays.maps[rnd(&g.seed) % w.arrays.nmaps] = (struct uw_map){
				.start = 0x400000 + (rnd(&g.seed) % 16 << 12),
				.end = 0x400000 + (rnd(&g.seed) % 40 << 12),
				.bias = x & 2 ? 0x400000 : rnd(&g.seed),
				.page = (u32)(rnd(&g.seed) % 70),
				.npages = (u32)(rnd(&g.seed) % 70),
				.kind = (u8)(rnd(&g.seed) % 5),
				.word = (s8)rnd(&g.seed),
			};
		}
		for (j = 0; j < 21; j++)
			regs[j] = g.lo + rnd(&g.seed) % 0x100000;
		regs[15] = i & 1 ? -1UL : 7;
		regs[16] = 0x400000 + rnd(&g.seed) % 0x20000;
		regs[17] = 0x33;
		w.proc =
			(struct uw_proc){ .first = i % 3 ? 0 : i, .n = i % 5 ? w.arrays.nmaps : i };
		uwk_walk(&w.arrays, &w.proc, regs, read_garbage, &g, &s);
		assert_true(s.n >= 1 && s.n <= UW_FRAMES_MAX);
		assert_true(s.stop > UW_STOP_NONE && s.stop < UW_STOP_MAX);
		assert_int_equal(s.frames[0].addr, regs[16]);
		stops[s.stop]++;
	}
	/* Each way to end was met, but depth: that is t_bounds. */
	for (i = UW_STOP_END; i < UW_STOP_MAX; i++)
		if (i != UW_STOP_PYTHON && !stops[i])
			fail_msg("no walk ended with %u", i);
	uwworld_release(&w);
}

/* An endless chain of frames is cut; a 32-bit program is left alone. */
static int read_endless(void *arg, __u64 at, void *dst, __u32 n)
{
	u64 *out = dst;
	u32 i;

	(void)arg;
	assert_int_equal(n % 8, 0);
	for (i = 0; i < n / 8; i++, at += 8)
		out[i] = at & 8 ? 0x400123 : at + 16;
	return 0;
}

static void t_bounds(void **state)
{
	unsigned long regs[UWK_REGS] = { [4] = 0x7f0000000000,
					 [15] = -1UL,
					 [16] = 0x400100,
					 [17] = 0x33,
					 [19] = 0x7f0000000000 - 8 };
	struct uwk_stack s;
	struct uwworld w;

	(void)state;
	world_init(&w, UW_LEAF_ROWS, 16, 16);
	w.arrays.maps[0] = (struct uw_map){ .start = 0x400000, .end = 0x401000, .kind = UW_MAP_FP };
	w.proc.n = 1;
	uwk_walk(&w.arrays, &w.proc, regs, read_endless, NULL, &s);
	assert_int_equal(s.stop, UW_STOP_DEPTH);
	assert_int_equal(s.n, UW_FRAMES_MAX);
	assert_int_equal(s.frames[0].extra, HP_FRAME_EXACT);
	assert_int_equal(s.frames[1].extra, 0);
	assert_int_equal(s.frames[UW_FRAMES_MAX - 1].addr, 0x400123);
	w.arrays.maps[0].kind = UW_MAP_PENDING;
	regs[4] = 0;
	uwk_walk(&w.arrays, &w.proc, regs, read_endless, NULL, &s);
	assert_int_equal(s.stop, UW_STOP_PENDING);
	assert_int_equal(s.n, 1);
	regs[17] = 0x23;
	uwk_walk(&w.arrays, &w.proc, regs, read_endless, NULL, &s);
	assert_int_equal(s.n, 0);
	assert_int_equal(s.stop, UW_STOP_NONE);
	uwworld_release(&w);
}

#define STACK_AT 0x7f0000000000ULL
#define STACK_WORDS 512

static int read_stack(void *arg, __u64 at, void *dst, __u32 n)
{
	if (at < STACK_AT || at + n > STACK_AT + STACK_WORDS * 8)
		return -EFAULT;
	memcpy(dst, (u8 *)arg + (at - STACK_AT), n);
	return 0;
}

static void assert_frame(const struct uwk_stack *s, u32 i, u8 kind, u64 addr, u32 extra)
{
	assert_true(i < s->n);
	assert_int_equal(s->frames[i].kind, kind);
	assert_int_equal(s->frames[i].addr, addr);
	assert_int_equal(s->frames[i].extra, extra);
}

/*
 * An interpreter's frame says what it runs, and where its caller's stack pointer is: here it was moved for
 * arguments by a compiled caller, whose frame is found by it alone. That one's caller is in a mapping
 * without a table, whose frames say what they run, too.
 */
static void t_methods(void **state)
{
	unsigned long regs[UWK_REGS] = { [4] = STACK_AT + 100 * 8,
					 [15] = -1UL,
					 [16] = 0x400010,
					 [17] = 0x33,
					 [19] = STACK_AT + 90 * 8 };
	u64 stack[STACK_WORDS] = {
		[92] = 0x12345678abcdULL, /* where in the method: its low half counts */
		[97] = 0xaaa0, /* the method */
		[99] = STACK_AT + 120 * 8, /* the caller's stack pointer */
		[100] = STACK_AT + 200 * 8, /* the caller's rbp, which it does not use */
		[101] = 0x400803,
		/* The compiled frame [120, 130): no frame pointer but a saved rbp. */
		[128] = STACK_AT + 140 * 8,
		[129] = 0x500020,
		[138] = 0xbbb0,
		[140] = 0,
		[141] = 0x400900,
	};
	struct uwk_stack s;
	struct uwworld w;
	u32 i;

	(void)state;
	world_init(&w, UW_LEAF_ROWS, 16, 16);
	w.arrays.maps[0] = (struct uw_map){ .start = 0x400000,
					    .end = 0x401000,
					    .bias = 0x400000,
					    .npages = 1,
					    .kind = UW_MAP_TABLE };
	w.arrays.maps[1] = (struct uw_map){
		.start = 0x500000, .end = 0x501000, .kind = UW_MAP_FP, .word = -2
	};
	w.proc.n = 2;
	w.arrays.pages[0] = (struct uw_page){ .n = 3 };
	w.arrays.rows[0] = (struct uw_row){ .at = 0, .rule = 1 };
	w.arrays.rows[1] = (struct uw_row){ .at = 0x800, .rule = 2 };
	w.arrays.rows[2] = (struct uw_row){ .at = 0x8f0, .rule = 3 };
	w.arrays.rules[1] =
		(struct uw_rule){ .cfa = UW_CFA_FP, .cfa_off = -24, .cfa_add = -8, .rbp_off = -64 };
	w.arrays.rules[2] = (struct uw_rule){
		.cfa = UW_CFA_RSP, .cfa_off = 80, .rbp = UW_RBP_CFA, .rbp_off = -16
	};
	w.arrays.rules[3] = (struct uw_rule){ .cfa = UW_CFA_END };
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.stop, UW_STOP_END);
	assert_int_equal(s.n, 6);
	assert_frame(&s, 0, HP_FRAME_NATIVE, 0x400010, HP_FRAME_EXACT);
	assert_frame(&s, 1, HP_FRAME_METHOD, 0xaaa0, 0x5678abcd);
	assert_frame(&s, 2, HP_FRAME_NATIVE, 0x400803, 0);
	assert_frame(&s, 3, HP_FRAME_NATIVE, 0x500020, 0);
	assert_frame(&s, 4, HP_FRAME_METHOD, 0xbbb0, 0);
	assert_frame(&s, 5, HP_FRAME_NATIVE, 0x400900, 0);
	/* A stack pointer that is not further out is none: then it is the frame pointer that tells. */
	stack[99] = STACK_AT + 101 * 8;
	stack[110] = STACK_AT + 140 * 8;
	stack[111] = 0x500030;
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.stop, UW_STOP_END);
	assert_frame(&s, 3, HP_FRAME_NATIVE, 0x500030, 0);
	/* Neither method nor stack pointer can be read: the frames are walked as others are. */
	w.arrays.rules[1] =
		(struct uw_rule){ .cfa = UW_CFA_FP, .cfa_off = -8000, .cfa_add = 80000 };
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.stop, UW_STOP_END);
	assert_int_equal(s.n, 5);
	assert_frame(&s, 1, HP_FRAME_NATIVE, 0x400803, 0);
	assert_frame(&s, 2, HP_FRAME_NATIVE, 0x500030, 0);
	/* They do not count as frames: a walk has room for as many, and one for each. */
	w.arrays.rules[1] = (struct uw_rule){ .cfa = UW_CFA_FP, .cfa_off = 8 };
	regs[4] = STACK_AT;
	regs[19] = STACK_AT;
	for (i = 0; i < STACK_WORDS; i += 2) {
		stack[i] = STACK_AT + (i + 2) * 8;
		stack[i + 1] = 0x400020;
	}
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.stop, UW_STOP_DEPTH);
	assert_int_equal(s.n, UW_ENTRIES_MAX);
	assert_frame(&s, UW_ENTRIES_MAX - 1, HP_FRAME_METHOD, 0x400020, 0);
	uwworld_release(&w);
}

/* V8's frames lead to a function through an object in the heap, when they are frames of functions. */
static void t_through(void **state)
{
	unsigned long regs[UWK_REGS] = { [4] = STACK_AT + 20 * 8,
					 [15] = -1UL,
					 [16] = 0x500010,
					 [17] = 0x33,
					 [19] = STACK_AT + 10 * 8 };
	u64 stack[STACK_WORDS] = {
		[18] = STACK_AT + 100 * 8 + 1, /* the function, */
		[19] = STACK_AT + 110 * 8 + 1, /* and its context */
		[20] = STACK_AT + 30 * 8,
		[21] = 0x400020,
		[28] = STACK_AT + 101 * 8 + 1,
		[29] = STACK_AT + 110 * 8 + 1,
		[30] = 0,
		[31] = 0x400900,
		[103] = 0xaaa1,
		[104] = 0xbbb1,
	};
	struct uwk_stack s;
	struct uwworld w;

	(void)state;
	world_init(&w, UW_LEAF_ROWS, 16, 16);
	w.arrays.maps[0] = (struct uw_map){ .start = 0x400000,
					    .end = 0x401000,
					    .bias = 0x400000,
					    .npages = 1,
					    .kind = UW_MAP_TABLE };
	w.arrays.maps[1] = (struct uw_map){
		.start = 0x500000, .end = 0x501000, .kind = UW_MAP_FP, .word = -2, .through = 3
	};
	w.proc.n = 2;
	w.arrays.pages[0] = (struct uw_page){ .n = 2 };
	w.arrays.rows[0] = (struct uw_row){ .at = 0, .rule = 1 };
	w.arrays.rows[1] = (struct uw_row){ .at = 0x8f0, .rule = 2 };
	w.arrays.rules[1] = (struct uw_rule){ .cfa = UW_CFA_FP, .cfa_off = -16, .reg = 3 };
	w.arrays.rules[2] = (struct uw_rule){ .cfa = UW_CFA_END };
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.stop, UW_STOP_END);
	assert_int_equal(s.n, 5);
	assert_frame(&s, 0, HP_FRAME_NATIVE, 0x500010, HP_FRAME_EXACT);
	assert_frame(&s, 1, HP_FRAME_METHOD, 0xaaa1, 0);
	assert_frame(&s, 2, HP_FRAME_NATIVE, 0x400020, 0);
	assert_frame(&s, 3, HP_FRAME_METHOD, 0xbbb1, 0);
	/* A frame of other code has a number for a context; and what is no pointer leads nowhere. */
	stack[19] = 22ULL << 32;
	stack[28] = 42ULL << 32;
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.n, 3);
	assert_frame(&s, 1, HP_FRAME_NATIVE, 0x400020, 0);
	/* Nor does one to memory that is none, or to an object without that field. */
	stack[19] = STACK_AT + 110 * 8 + 1;
	stack[18] = 0x10001;
	stack[28] = STACK_AT + 120 * 8 + 1;
	uwk_walk(&w.arrays, &w.proc, regs, read_stack, stack, &s);
	assert_int_equal(s.n, 3);
	assert_int_equal(s.stop, UW_STOP_END);
	uwworld_release(&w);
}

static struct unwind_mapping mapping(u64 start, u64 end, u64 off, u64 inode)
{
	return (struct unwind_mapping){ .start = start,
					.end = end,
					.off = off,
					.inode = inode,
					.kind = inode ? UW_MAP_PENDING : UW_MAP_FP };
}

static const struct uw_map *shown(const struct uwworld *w, u32 i)
{
	return &w->arrays.maps[w->proc.first + i];
}

/* Mappings replace what they overlap; the programs get whole new lists, in places that rested. */
static void t_mappings(void **state)
{
	struct unwind_mapping m;
	struct uwworld w;
	u32 first;

	(void)state;
	world_init(&w, UW_LEAF_ROWS, 16, 48);
	m = mapping(0x1000, 0x9000, 0, 5);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(1)), 0);
	assert_int_equal(w.puts, 0);
	unwind_procs_publish(&w.procs, SEC(1), false);
	assert_int_equal(w.puts, 1);
	first = w.proc.first;
	assert_int_equal(unwind_procs_pending(&w.procs), 1);
	/* A part of what is known changes nothing. */
	m = mapping(0x3000, 0x4000, 0x2000, 5);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(1)), 0);
	unwind_procs_publish(&w.procs, SEC(2), false);
	assert_int_equal(w.puts, 1);
	/* Another file in the middle. */
	m = mapping(0x3000, 0x4000, 0, 6);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(2)), 0);
	unwind_procs_publish(&w.procs, SEC(2), false);
	assert_int_equal(w.puts, 2);
	assert_int_equal(w.proc.n, 3);
	assert_int_not_equal(w.proc.first, first);
	assert_int_equal(shown(&w, 0)->end, 0x3000);
	assert_int_equal(shown(&w, 1)->start, 0x3000);
	assert_int_equal(shown(&w, 2)->start, 0x4000);
	assert_int_equal(shown(&w, 2)->end, 0x9000);
	/* Over all of it; again at once: the third place is free, then none is until one has rested. */
	m = mapping(0x0, 0x10000, 0, 0);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(2)), 0);
	unwind_procs_publish(&w.procs, SEC(2), true);
	assert_int_equal(w.puts, 3);
	assert_int_equal(w.proc.n, 1);
	assert_int_equal(shown(&w, 0)->kind, UW_MAP_FP);
	m = mapping(0x20000, 0x30000, 0, 9);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(2)), 0);
	unwind_procs_publish(&w.procs, SEC(2), true);
	assert_int_equal(w.puts, 3);
	unwind_procs_publish(&w.procs, SEC(3), true);
	assert_int_equal(w.puts, 4);
	assert_int_equal(w.proc.n, 2);
	/* Absurd ones are refused. */
	m = mapping(0x30000, 0x30000, 0, 9);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(3)), -EINVAL);
	m = mapping(0x30000, 0x40000, 0, 9);
	m.table = 3;
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(3)), -EINVAL);
	m.kind = UW_MAP_TABLE;
	assert_int_equal(unwind_procs_bind(&w.procs, 7, &m, SEC(3)), -ESTALE);
	m.word = -2;
	assert_int_equal(unwind_procs_bind(&w.procs, 7, &m, SEC(3)), -EINVAL);
	m.word = 0;
	m.kind = UW_MAP_PENDING;
	assert_int_equal(unwind_procs_bind(&w.procs, 7, &m, SEC(3)), -EINVAL);
	assert_int_equal(unwind_procs_bind(&w.procs, 8, &m, SEC(3)), -EINVAL);
	uwworld_release(&w);
}

/* A child shares its parent's list until one of them changes; exec and exit forget. */
static void t_processes(void **state)
{
	struct unwind_mapping m = mapping(0x1000, 0x9000, 0, 5);
	struct uwworld w;
	u32 first, epoch;

	(void)state;
	world_init(&w, UW_LEAF_ROWS, 16, 256);
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(1)), 0);
	unwind_procs_publish(&w.procs, SEC(1), true);
	first = w.proc.first;
	epoch = w.proc.epoch;
	unwind_procs_fork(&w.procs, 7, 8, SEC(1));
	assert_true(unwind_procs_known(&w.procs, 8));
	assert_int_equal(w.proc.first, first);
	assert_int_equal(w.puts, 2);
	/* Bound for one is bound for both, in one place. */
	m.kind = UW_MAP_FP;
	assert_int_equal(unwind_procs_bind(&w.procs, 7, &m, SEC(2)), 0);
	assert_int_equal(unwind_procs_pending(&w.procs), 0);
	unwind_procs_publish(&w.procs, SEC(2), true);
	assert_int_equal(w.puts, 4);
	assert_int_not_equal(w.proc.first, first);
	assert_true(w.proc.epoch >= epoch);
	/* The child maps something: the parent's list stays. */
	first = w.proc.first;
	m = mapping(0xa000, 0xb000, 0, 6);
	assert_int_equal(unwind_procs_map(&w.procs, 8, &m, SEC(3)), 0);
	unwind_procs_publish(&w.procs, SEC(3), true);
	assert_int_equal(w.puts, 5);
	assert_int_equal(w.proc.n, 2);
	assert_int_not_equal(w.proc.first, first);
	assert_int_equal(w.arrays.maps[first].end, 0x9000);
	unwind_procs_forget(&w.procs, 7, SEC(3));
	assert_int_equal(w.deleted, 1);
	assert_false(unwind_procs_known(&w.procs, 7));
	assert_true(unwind_procs_known(&w.procs, 8));
	unwind_procs_fork(&w.procs, 7, 9, SEC(3)); /* of nobody */
	assert_false(unwind_procs_known(&w.procs, 9));
	uwworld_release(&w);
}

/* A child that has ended could not show its file: its parent goes on by the table. */
static void t_table_stays(void **state)
{
	struct unwind_mapping m = mapping(0x1000, 0x9000, 0, 5);
	struct uwworld w;

	(void)state;
	world_init(&w, UW_LEAF_ROWS, 16, 256);
	w.tables.v[0] = (struct unwind_table){ .id = 3 };
	assert_int_equal(unwind_procs_map(&w.procs, 7, &m, SEC(1)), 0);
	m.kind = UW_MAP_TABLE;
	m.table = 3;
	assert_int_equal(unwind_procs_bind(&w.procs, 7, &m, SEC(1)), 0);
	unwind_procs_fork(&w.procs, 7, 8, SEC(1));
	m.kind = UW_MAP_FP;
	m.table = 0;
	assert_int_equal(unwind_procs_bind(&w.procs, 8, &m, SEC(2)), 0);
	unwind_procs_publish(&w.procs, SEC(2), true);
	assert_int_equal(w.proc.n, 1);
	assert_int_equal(shown(&w, 0)->kind, UW_MAP_TABLE);
	unwind_procs_forget(&w.procs, 8, SEC(2));
	assert_int_equal(unwind_procs_bind(&w.procs, 8, &m, SEC(2)), -ENOENT);
	uwworld_release(&w);
}

/* The collector copies the vdso, and no other memory by that name. */
static void t_vdso(void **state)
{
	_fclose_ FILE *f = fopen("/proc/self/maps", "re");
	unsigned long start = 0, end = 0;
	char line[512], magic[4] = "";
	int fd;

	(void)state;
	assert_non_null(f);
	while (fgets(line, sizeof(line), f) && !strstr(line, "[vdso]"))
		;
	assert_int_equal(sscanf(line, "%lx-%lx", &start, &end), 2);
	fd = procfs_open_mapping((u32)getpid(), start, end, SLICE("[vdso]"), 0);
	assert_true(fd >= 0);
	assert_int_equal(pread(fd, magic, 4, 0), 4);
	assert_memory_equal(magic, "\177ELF", 4);
	close(fd);
	assert_int_equal(procfs_open_mapping((u32)getpid(), start - 4096, end, SLICE("[vdso]"), 0),
			 -ENOENT);
	start = (unsigned long)magic & ~4095UL;
	assert_int_equal(
		procfs_open_mapping((u32)getpid(), start, start + 4096, SLICE("[vdso]"), 0),
		-ENOENT);
}

static void print_process(pid_t pid)
{
	struct uwk_stack s;
	struct uwworld w;
	char path[64];
	struct dirent *e;
	DIR *d;
	u32 i;

	assert_int_equal(uwworld_learn(&w, (u32)pid), 0);
	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	assert_non_null(d);
	while ((e = readdir(d))) {
		if (number(e->d_name) <= 0)
			continue;
		walk_thread(&w, number(e->d_name), &s);
		printf("%s %u", e->d_name, s.stop);
		for (i = 0; i < s.n; i++)
			printf(" %llx", (unsigned long long)s.frames[i].addr);
		printf("\n");
	}
	closedir(d);
	uwworld_release(&w);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_snapshots), cmocka_unit_test(t_garbage),
		cmocka_unit_test(t_bounds),    cmocka_unit_test(t_mappings),
		cmocka_unit_test(t_processes), cmocka_unit_test(t_table_stays),
		cmocka_unit_test(t_vdso),      cmocka_unit_test(t_methods),
		cmocka_unit_test(t_through),
	};
	int i;

	for (i = 1; i < argc; i++)
		print_process(number(argv[i]));
	if (argc > 1)
		return 0;
	snprintf(where, sizeof(where), "%s", dirname(argv[0]));
	return cmocka_run_group_tests_name("h_unwind", tests, NULL, NULL);
}
