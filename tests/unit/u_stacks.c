/* SPDX-License-Identifier: Apache-2.0 */
/* Samples into the call tree by name: naming, merging, order, caps, folded lines, the top list. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "agg/core.h"

#define K HP_FRAME_KERNEL
#define U HP_FRAME_NATIVE

static struct agg *agg_at_99(const struct agg_opts *opts)
{
	struct ev_window start = { .hdr = { sizeof(start), EV_WINDOW, 0, 0, 0, 1000 },
				   .what = HP_WINDOW_START,
				   .sample_hz = 99 };
	struct agg *a;

	assert_int_equal(agg_new(&a, opts), 0);
	agg_record(a, &start.hdr);
	return a;
}

static void sample_of(struct agg *a, u32 tgid, u32 tid, const char *comm, const struct ev_frame *f,
		      u32 n, bool truncated)
{
	static union {
		struct ev_sample rec;
		u8 mem[HP_RECORD_MAX];
	} u;

	memset(&u.rec, 0, sizeof(u.rec));
	u.rec.hdr.kind = EV_SAMPLE;
	u.rec.hdr.tgid = tgid;
	u.rec.hdr.tid = tid;
	u.rec.hdr.ts_ns = 2000;
	u.rec.nframes = (u16)n;
	u.rec.stop = truncated ? UW_STOP_DEPTH : UW_STOP_NONE;
	snprintf(u.rec.comm, sizeof(u.rec.comm), "%s", comm);
	memcpy(u.mem + sizeof(u.rec), f, n * sizeof(*f));
	agg_record(a, &u.rec.hdr);
}

/* Of no process: the thread stands below the root. */
static void sample(struct agg *a, u32 tgid, const char *comm, const struct ev_frame *f, u32 n,
		   bool truncated)
{
	sample_of(a, tgid, 0, comm, f, n, truncated);
}

static void symbol(struct agg *a, u32 tgid, u64 start, u64 end, const char *name,
		   const char *module)
{
	static union {
		struct ev_symbol rec;
		u8 mem[4096];
	} u;

	memset(&u, 0, sizeof(u));
	u.rec.hdr.kind = EV_SYMBOL;
	u.rec.hdr.tgid = tgid;
	u.rec.start = start;
	u.rec.end = end;
	u.rec.name_len = (u16)strlen(name);
	u.rec.module_len = (u16)strlen(module);
	memcpy(u.mem + sizeof(u.rec), name, strlen(name));
	memcpy(u.mem + sizeof(u.rec) + strlen(name), module, strlen(module));
	agg_record(a, &u.rec.hdr);
}

static void mapping(struct agg *a, u32 tgid, u64 start, u64 end, u64 off, const char *path)
{
	static union {
		struct ev_mapping rec;
		u8 mem[4096];
	} u;

	memset(&u, 0, sizeof(u));
	u.rec.hdr.kind = EV_MAPPING;
	u.rec.hdr.tgid = tgid;
	u.rec.start = start;
	u.rec.end = end;
	u.rec.file_off = off;
	u.rec.inode = 7;
	u.rec.path_len = (u16)strlen(path);
	memcpy(u.mem + sizeof(u.rec), path, strlen(path));
	agg_record(a, &u.rec.hdr);
}

/* Every folded line, one after the other. */
static void folded(const struct agg *a, struct buf *out)
{
	struct buf line = BUF_INIT;
	u32 pos = 0;
	u64 n;

	buf_clear(out);
	buf_adds(out, "");
	while (agg_folded_next(a, &pos, &line, &n)) {
		buf_add_slice(out, buf_slice(&line));
		buf_addf(out, " %lu\n", (unsigned long)n);
	}
	buf_release(&line);
}

#define F(address, k)                                                                              \
	{                                                                                          \
		.addr = (address), .kind = (k)                                                     \
	}

/* Several have roots of their own, but for those of hardly any weight; one alone has none. */
static void test_processes(void **state)
{
	const struct ev_frame one[] = { F(0x1005, U) };
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;
	u32 i;

	(void)state;
	for (i = 0; i < 200; i++)
		sample_of(a, 10, 11, "pool", one, 1, false);
	sample_of(a, 10, 10, "web;1", one, 1, false);
	for (i = 0; i < 4; i++)
		sample_of(a, 20, 20, "web;1", one, 1, false);
	sample_of(a, 30, 30, "web;1", one, 1, false);
	sample_of(a, 40, 40, "web;1", one, 1, false);
	symbol(a, 10, 0x1000, 0x2000, "work", "web");
	symbol(a, 20, 0x1000, 0x2000, "work", "web");
	symbol(a, 30, 0x1000, 0x2000, "work", "web");
	symbol(a, 40, 0x1000, 0x2000, "work", "web");
	assert_int_equal(agg_finish(a), 0);
	folded(a, &text);
	assert_string_equal(text.p, "web:1 (10);pool;work 200\nweb:1 (10);web:1;work 1\n"
				    "web:1 (20);web:1;work 4\nweb:1 (others);web:1;work 2\n");
	assert_true(agg_report(a)->cpu.nodes[1].process);
	assert_int_equal(agg_report(a)->cpu.nodes[1].pid, 10);
	assert_int_equal(agg_report(a)->cpu.nodes[0].pid, 0);
	agg_free(a);

	a = agg_at_99(NULL);
	sample_of(a, 10, 11, "pool", one, 1, false);
	sample_of(a, 10, 10, "web", one, 1, false);
	symbol(a, 10, 0x1000, 0x2000, "work", "web");
	assert_int_equal(agg_finish(a), 0);
	folded(a, &text);
	assert_string_equal(text.p, "pool;work 1\nweb;work 1\n");
	assert_int_equal(agg_report(a)->cpu.nodes[0].pid, 10);
	agg_free(a);
	buf_release(&text);
}

static void test_names_and_merging(void **state)
{
	/* Two processes run the same program at different addresses. */
	const struct ev_frame one[] = { F(0xffff100, K), F(0xffff200, K), F(0x1005, U),
					F(0x1100, U), F(0x1205, U) };
	const struct ev_frame two[] = { F(0x51010, U), F(0x51105, U), F(0x51210, U) };
	const struct ev_frame leaf[] = { F(0x1100, U), F(0x1205, U) };
	struct agg *a = agg_at_99(NULL);
	const struct agg_report *r;
	struct buf text = BUF_INIT;
	u32 i;

	(void)state;
	for (i = 0; i < 3; i++)
		sample(a, 10, "web", one, 5, false);
	sample(a, 20, "web", two, 3, false);
	sample(a, 10, "web", leaf, 2, false);
	symbol(a, 0, 0xffff100, 0xffff180, "vfs_read", "[kernel]");
	symbol(a, 0, 0xffff180, 0xffff280, "do_syscall_64", "[kernel]");
	symbol(a, 10, 0x1000, 0x1010, "read;it", "libc.so.6");
	/* A return address one past the end of its function: the call was the last instruction. */
	symbol(a, 10, 0x1010, 0x1100, "handle", "web");
	symbol(a, 10, 0x1100, 0x1110, "next_function", "web");
	symbol(a, 10, 0x1200, 0x1300, "_start", "web");
	symbol(a, 20, 0x51000, 0x51100, "read;it", "libc.so.6");
	symbol(a, 20, 0x51100, 0x51200, "handle", "web");
	symbol(a, 20, 0x51200, 0x51300, "_start", "web");
	assert_int_equal(agg_finish(a), 0);
	r = agg_report(a);
	folded(a, &text);
	assert_string_equal(text.p, "web;_start;handle;read:it 1\n"
				    "web;_start;handle;read:it;do_syscall_64_[k];vfs_read_[k] 3\n"
				    "web;_start;next_function 1\n");
	assert_int_equal(r->cpu.samples, 5);
	assert_true(r->cpu.on_cpu_s > 0.0505 && r->cpu.on_cpu_s < 0.0506);
	assert_int_equal(r->trust.stacks.total, 5);
	assert_int_equal(r->trust.stacks.complete, 5);
	assert_int_equal(r->trust.stacks.truncated, 0);
	assert_int_equal(r->trust.stacks.unnamed_frames, 0);
	/* Nodes: depth first, siblings in order of text. */
	assert_int_equal(r->cpu.nnodes, 8);
	assert_string_equal(r->cpu.nodes[0].text, "all");
	assert_int_equal(r->cpu.nodes[0].total, 5);
	assert_string_equal(r->cpu.nodes[1].text, "web");
	assert_int_equal(r->cpu.nodes[1].depth, 1);
	assert_int_equal(r->cpu.nodes[1].kind, 0);
	assert_string_equal(r->cpu.nodes[4].text, "read:it");
	assert_int_equal(r->cpu.nodes[4].self, 1);
	assert_int_equal(r->cpu.nodes[4].total, 4);
	assert_int_equal(r->cpu.nodes[4].parent, 3);
	/* Top: by self, then total, then text. */
	assert_int_equal(r->cpu.ntop, 6);
	assert_string_equal(r->cpu.top[0].text, "vfs_read_[k]");
	assert_int_equal(r->cpu.top[0].self, 3);
	assert_true(r->cpu.top[0].self_ratio == 0.6);
	assert_string_equal(r->cpu.top[1].text, "read:it");
	assert_true(r->cpu.top[1].total_ratio == 0.8);
	assert_string_equal(r->cpu.top[2].text, "next_function");
	assert_string_equal(r->cpu.top[3].text, "_start");
	assert_int_equal(r->cpu.top[3].self, 0);
	assert_int_equal(r->cpu.top[3].total, 5);
	buf_release(&text);
	agg_free(a);
}

/* A walk that goes astray in code without names is one frame; named recursion stays as it is. */
static void test_unnamed_runs(void **state)
{
	const struct ev_frame f[] = { F(0x10, U), F(0x20, U), F(0x1010, U), F(0x1010, U),
				      F(0x30, U), F(0x40, U), F(0x50, U) };
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;
	const struct agg_report *r;

	(void)state;
	symbol(a, 10, 0x1000, 0x1100, "f", "x");
	sample(a, 10, "web", f, 7, true);
	sample(a, 10, "web", f + 1, 6, true);
	sample(a, 10, "web", f + 4, 3, true);
	assert_int_equal(agg_finish(a), 0);
	folded(a, &text);
	assert_string_equal(text.p, "web;(truncated);[unknown] 1\n"
				    "web;(truncated);[unknown];f;f;[unknown] 2\n");
	r = agg_report(a);
	assert_int_equal(r->cpu.samples, 3);
	assert_int_equal(r->trust.stacks.truncated, 3);
	assert_true(r->trust.stacks.joined >= 3);
	buf_release(&text);
	agg_free(a);
}

static void test_unnamed(void **state)
{
	const struct ev_frame f[] = { F(0xffff100, K), F(0x7010, U), F(0x7f11, U),
				      F(0x8001, U),    F(0x9001, U), F(0xa001, U) };
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;

	(void)state;
	mapping(a, 10, 0x7000, 0x7800, 0x2000, "/usr/lib/libx;y.so.1 (deleted)");
	mapping(a, 10, 0x8000, 0x8800, 0, "//anon");
	mapping(a, 10, 0x9000, 0x9800, 0, "[vdso]");
	mapping(a, 11, 0xa000, 0xa800, 0, "/other/process");
	sample(a, 10, "web", f, 6, false);
	symbol(a, 10, 0x7f00, 0x8000, "libx.so.1@0x7f00", "libx.so.1");
	assert_int_equal(agg_finish(a), 0);
	folded(a, &text);
	assert_string_equal(text.p,
			    "web;[unknown];[vdso];[jit];libx.so.1@0x7f00;libx:y.so.1+0x2010;"
			    "[unknown]_[k] 1\n");
	assert_int_equal(agg_report(a)->trust.stacks.unnamed_frames, 6);
	assert_int_equal(agg_report(a)->trust.stacks.complete, 0);
	buf_release(&text);
	agg_free(a);
}

static void lines(struct agg *a, u32 tgid, u64 addr, u32 n, const char *const names[],
		  const char *const files[], const u32 numbers[])
{
	static union {
		struct ev_lines rec;
		u8 mem[8192];
	} u;
	struct ev_line *line = (struct ev_line *)(&u.rec + 1);
	char *p = (char *)(line + n);
	u32 i;

	memset(&u, 0, sizeof(u));
	u.rec.hdr.kind = EV_LINES;
	u.rec.hdr.tgid = tgid;
	u.rec.addr = addr;
	u.rec.n = n;
	for (i = 0; i < n; i++) {
		line[i] = (struct ev_line){ .line = numbers[i],
					    .name_len = (u16)strlen(names[i]),
					    .file_len = (u16)strlen(files[i]) };
		p = stpcpy(stpcpy(p, names[i]), files[i]);
	}
	agg_record(a, &u.rec.hdr);
}

/* Inlined functions are frames of their own; functions are the same whatever the line. */
static void test_lines(void **state)
{
	const struct ev_frame one[] = { F(0x1010, U), F(0x2011, U), F(0x3011, U) };
	const struct ev_frame two[] = { F(0x1020, U), F(0x2011, U), F(0x3011, U) };
	static const char *const names[] = { "inner;x", "outer", "" };
	static const char *const files[] = { "/src/lib/in.h", "", "/src/app/f.c" };
	static const char *const none[] = { "" }, *const start[] = { "/x/start.S" };
	static const u32 numbers[] = { 7, 0, 30 }, zero[] = { 0 };
	const struct agg_report *r;
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;
	u32 i, leaf = 0;

	(void)state;
	sample(a, 10, "web", one, 3, false);
	sample(a, 10, "web", two, 3, false);
	symbol(a, 10, 0x1000, 0x1100, "leaf", "app");
	symbol(a, 10, 0x2000, 0x2100, "f", "app");
	symbol(a, 10, 0x3000, 0x3100, "_start", "app");
	lines(a, 10, 0x2010, 3, names, files, numbers);
	lines(a, 10, 0x3010, 1, none, start, zero);
	lines(a, 10, 0x1020, 1, none, files, numbers);
	assert_int_equal(agg_finish(a), 0);
	folded(a, &text);
	assert_string_equal(text.p,
			    "web;_start (x/start.S);f (app/f.c:30);outer;inner:x (lib/in.h:7);"
			    "leaf 1\n"
			    "web;_start (x/start.S);f (app/f.c:30);outer;inner:x (lib/in.h:7);"
			    "leaf (lib/in.h:7) 1\n");
	r = agg_report(a);
	assert_int_equal(r->trust.stacks.complete, 2);
	assert_int_equal(r->trust.stacks.frames, 4);
	for (i = 0; i < r->cpu.ntop; i++)
		if (!strcmp(r->cpu.top[i].text, "leaf")) {
			assert_int_equal(r->cpu.top[i].self, 2);
			leaf++;
		}
	assert_int_equal(leaf, 1);
	buf_release(&text);
	agg_free(a);
}

/* Each frame of the deepest stack with as many inlined functions as there can be. */
static void test_lines_too_deep(void **state)
{
	static struct ev_frame f[UW_FRAMES_MAX];
	const char *names[HP_LINES_MAX], *files[HP_LINES_MAX];
	static char letters[HP_LINES_MAX][2];
	static const u32 numbers[HP_LINES_MAX];
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;
	u32 i;

	(void)state;
	for (i = 0; i < HP_LINES_MAX; i++) {
		letters[i][0] = i + 1 < HP_LINES_MAX ? (char)('A' + i) : 0;
		names[i] = letters[i];
		files[i] = "";
	}
	for (i = 0; i < ARRAY_SIZE(f); i++)
		f[i] = (struct ev_frame){ .addr = 0x1000 + 16 * i, .kind = U };
	sample(a, 10, "web", f, ARRAY_SIZE(f), false);
	symbol(a, 10, 0x1000, 0x3000, "f", "app");
	for (i = 0; i < ARRAY_SIZE(f); i++)
		lines(a, 10, f[i].addr - (i > 0), HP_LINES_MAX, names, files, numbers);
	assert_int_equal(agg_finish(a), 0);
	folded(a, &text);
	assert_true(text.n > 1000);
	/* Root, thread, each frame, and as many inlined ones as a way may have. */
	assert_int_equal(agg_report(a)->cpu.nnodes,
			 2 + UW_FRAMES_MAX + HP_STACK_MAX + UW_ENTRIES_MAX);
	assert_int_equal(agg_report(a)->cpu.nodes[agg_report(a)->cpu.nnodes - 1].self, 1);
	buf_release(&text);
	agg_free(a);
}

struct listed {
	struct agg *a;
	struct agg_addr got[16];
	u32 n;
};

static void list_addr(void *arg, const struct agg_addr *addr)
{
	struct listed *l = arg;

	assert_true(l->n < ARRAY_SIZE(l->got));
	l->got[l->n++] = *addr;
	/* Feeding names back while being called. */
	symbol(l->a, addr->tgid, addr->addr, addr->addr + 1, "named", "m");
}

static void test_listing_what_wants_a_name(void **state)
{
	const struct ev_frame f[] = { F(0xffff100, K), F(0x7010, U), F(0x7f11, U), F(0x5001, U) };
	struct listed l = { 0 };

	(void)state;
	l.a = agg_at_99(NULL);
	mapping(l.a, 10, 0x7000, 0x8000, 0x100, "/lib/old.so");
	mapping(l.a, 10, 0x7000, 0x8000, 0x200, "/lib/new.so");
	symbol(l.a, 10, 0x5000, 0x5001, "known", "m");
	sample(l.a, 10, "web", f, 4, false);
	assert_int_equal(agg_unnamed(l.a, list_addr, &l), 3);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.got[0].kind, K);
	assert_int_equal(l.got[0].tgid, 0);
	assert_int_equal(l.got[0].addr, 0xffff100);
	assert_false(l.got[0].mapped);
	assert_int_equal(l.got[1].addr, 0x7010); /* where the system call was entered */
	assert_true(l.got[1].mapped);
	assert_string_equal(l.got[1].path, "/lib/new.so");
	assert_int_equal(l.got[1].file_off, 0x200);
	assert_int_equal(l.got[1].inode, 7);
	assert_int_equal(l.got[2].addr, 0x7f10); /* a call site */
	/* Each is listed once; a new one only. */
	sample(l.a, 10, "web", f, 4, false);
	assert_int_equal(agg_unnamed(l.a, list_addr, &l), 0);
	sample(l.a, 11, "web", f + 1, 1, false);
	assert_int_equal(agg_unnamed(l.a, list_addr, &l), 1);
	assert_int_equal(l.got[3].tgid, 11);
	assert_int_equal(agg_finish(l.a), 0);
	assert_int_equal(agg_report(l.a)->trust.stacks.unnamed_frames, 0);
	agg_free(l.a);
}

static void test_recursion_counts_once(void **state)
{
	const struct ev_frame f[] = { F(0x100, U), F(0x105, U), F(0x205, U), F(0x105, U),
				      F(0x305, U) };
	struct agg *a = agg_at_99(NULL);
	const struct agg_cpu *cpu;
	u32 i;

	(void)state;
	symbol(a, 1, 0x100, 0x200, "walk", "m");
	symbol(a, 1, 0x200, 0x300, "visit", "m");
	symbol(a, 1, 0x300, 0x400, "main", "m");
	for (i = 0; i < 10; i++)
		sample(a, 1, "web", f, 5, false);
	assert_int_equal(agg_finish(a), 0);
	cpu = &agg_report(a)->cpu;
	assert_int_equal(cpu->ntop, 3);
	assert_string_equal(cpu->top[0].text, "walk");
	assert_int_equal(cpu->top[0].self, 10);
	assert_int_equal(cpu->top[0].total, 10);
	assert_true(cpu->top[0].total_ratio == 1.0);
	assert_int_equal(cpu->top[1].total, 10);
	assert_int_equal(cpu->top[2].total, 10);
	agg_free(a);
}

static void test_truncated_and_too_deep(void **state)
{
	static struct ev_frame deep[5000];
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;
	u32 i;

	(void)state;
	symbol(a, 1, 0x100, 0x200, "f", "m");
	for (i = 0; i < ARRAY_SIZE(deep); i++)
		deep[i] = (struct ev_frame)F(0x150, U);
	sample(a, 1, "web", deep, 2, true);
	sample(a, 1, "a;b\x01", deep, 1, false);
	sample(a, 1, "", deep, ARRAY_SIZE(deep), false);
	sample(a, 1, "idle", deep, 0, false);
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(agg_report(a)->trust.stacks.total, 4);
	assert_int_equal(agg_report(a)->trust.stacks.truncated, 2);
	folded(a, &text);
	assert_true(slice_starts(buf_slice(&text), SLICE("[unknown];(truncated);f;f;")));
	assert_non_null(strstr(text.p, "\na:b.;f 1\nidle 1\nweb;(truncated);f;f 1\n"));
	buf_release(&text);
	agg_free(a);
}

static u32 rnd(u64 *seed)
{
	*seed = hash_u64(*seed + 0x9e3779b97f4a7c15ULL);
	return (u32)*seed;
}

/* The order of samples and of symbols does not change the tree. */
static void random_run(u64 seed, bool backwards, struct buf *out)
{
	struct agg *a = agg_at_99(NULL);
	const struct agg_cpu *cpu;
	u64 self = 0;
	u32 i, j, k;

	for (i = 0; i < 300; i++) {
		struct ev_frame f[20];
		u64 x;
		char comm[8];

		k = backwards ? 299 - i : i;
		x = hash_u64(seed * 1000 + k);
		snprintf(comm, sizeof(comm), "t%u", rnd(&x) % 3);
		for (j = 0; j < 20; j++)
			f[j] = (struct ev_frame)F(0x1001 + rnd(&x) % 40 * 16, U);
		sample(a, 1 + rnd(&x) % 2, comm, f, 1 + rnd(&x) % 20, rnd(&x) % 9 == 0);
	}
	for (i = 0; i < 40; i++) {
		char name[16];

		k = backwards ? 39 - i : i;
		snprintf(name, sizeof(name), "fn%u", k * 7 % 13);
		if (k % 5)
			symbol(a, 1, 0x1000 + k * 16, 0x1010 + k * 16, name, "m");
		if (k % 7)
			symbol(a, 2, 0x1000 + k * 16, 0x1010 + k * 16, name, "m");
	}
	mapping(a, 1, 0x1000, 0x2000, 0, "/bin/m");
	assert_int_equal(agg_finish(a), 0);
	cpu = &agg_report(a)->cpu;
	assert_int_equal(cpu->nodes[0].total, 300);
	for (i = 0; i < cpu->nnodes; i++) {
		u64 below = 0;

		self += cpu->nodes[i].self;
		for (j = i + 1; j < cpu->nnodes && cpu->nodes[j].depth > cpu->nodes[i].depth; j++)
			if (cpu->nodes[j].parent == i)
				below += cpu->nodes[j].total;
		assert_int_equal(cpu->nodes[i].self + below, cpu->nodes[i].total);
	}
	assert_int_equal(self, 300);
	folded(a, out);
	for (i = 0; i < cpu->ntop; i++)
		buf_addf(out, "%s %lu %lu\n", cpu->top[i].text, (unsigned long)cpu->top[i].self,
			 (unsigned long)cpu->top[i].total);
	agg_free(a);
}

static void test_order_of_input_is_nothing(void **state)
{
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 10; seed++) {
		struct buf a = BUF_INIT, b = BUF_INIT;

		random_run(seed, false, &a);
		random_run(seed, true, &b);
		assert_true(a.n > 1000);
		assert_string_equal(a.p, b.p);
		buf_release(&a);
		buf_release(&b);
	}
}

/* Past the cap no sample is lost and the tree does not grow. */
static void test_cap(void **state)
{
	struct agg_opts opts = { .max_stack_nodes = 100 };
	struct agg *a = agg_at_99(&opts);
	struct buf line = BUF_INIT;
	u64 seed = 1, n, sum = 0;
	u32 i, j, pos = 0;

	(void)state;
	for (i = 0; i < 2000; i++) {
		struct ev_frame f[10];
		char comm[16];

		for (j = 0; j < 10; j++)
			f[j] = (struct ev_frame)F(rnd(&seed), U);
		snprintf(comm, sizeof(comm), "%u", i);
		sample(a, 1, comm, f, 10, false);
	}
	assert_true(a->stacks.cpu.nnodes <= 100 + 64);
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(agg_report(a)->cpu.nodes[0].total, 2000);
	assert_true(agg_report(a)->trust.stacks.truncated >= 1980);
	while (agg_folded_next(a, &pos, &line, &n))
		sum += n;
	assert_int_equal(sum, 2000);
	buf_release(&line);
	agg_free(a);
}

static void code(struct agg *a, u32 tgid, u64 addr, u32 extra, u32 kind, const char *name,
		 const char *file, u32 line)
{
	static union {
		struct ev_code rec;
		u8 mem[4096];
	} u;

	memset(&u, 0, sizeof(u));
	u.rec.hdr.kind = EV_CODE;
	u.rec.hdr.tgid = tgid;
	u.rec.addr = addr;
	u.rec.extra = extra;
	u.rec.kind = kind;
	u.rec.line = line;
	u.rec.name_len = (u16)strlen(name);
	u.rec.file_len = (u16)strlen(file);
	memcpy(u.mem + sizeof(u.rec), name, strlen(name));
	memcpy(u.mem + sizeof(u.rec) + strlen(name), file, strlen(file));
	agg_record(a, &u.rec.hdr);
}

/* What a frame runs stands in its place once it has a name; without one the frame stays. */
static void test_methods(void **state)
{
	const struct ev_frame named[] = { F(0x5010, U), F(0xaaa0, HP_FRAME_METHOD), F(0x5020, U),
					  F(0xbbb0, HP_FRAME_METHOD), F(0x1205, U) };
	const struct ev_frame lines[] = { F(0x5010, U),
					  { .addr = 0xccc0, .extra = 7, .kind = HP_FRAME_METHOD },
					  F(0x1205, U) };
	const struct ev_frame alone[] = { F(0xaaa0, HP_FRAME_METHOD), F(0xffff101, K),
					  F(0xbbb0, HP_FRAME_METHOD), F(0x1205, U) };
	struct agg *a = agg_at_99(NULL);
	const struct agg_report *r;
	struct buf text = BUF_INIT;

	(void)state;
	code(a, 10, 0xaaa0, 0, HP_FRAME_METHOD, "shop.Orders.sum", "", 0);
	code(a, 10, 0xbbb0, 0, 0, "python", "a.py", 1); /* of another kind */
	code(a, 10, 0xccc0, 7, HP_FRAME_METHOD, "run", "a/b/C.java", 31);
	sample(a, 10, "web", named, 5, false);
	sample(a, 10, "web", lines, 3, false);
	/* None of a native frame's. */
	sample(a, 10, "web", alone, 4, false);
	symbol(a, 0, 0xffff100, 0xffff180, "vfs_read", "[kernel]");
	symbol(a, 10, 0x1200, 0x1300, "_start", "web");
	mapping(a, 10, 0x5000, 0x6000, 0, "");
	assert_int_equal(agg_finish(a), 0);
	r = agg_report(a);
	folded(a, &text);
	assert_string_equal(text.p, "web;_start;[jit];shop.Orders.sum 1\n"
				    "web;_start;run (b/C.java:31) 1\n"
				    "web;_start;vfs_read_[k] 1\n");
	/* _start, vfs_read, two methods, and the code that nobody has named. */
	assert_int_equal(r->trust.stacks.frames, 5);
	assert_int_equal(r->trust.stacks.unnamed_frames, 1);
	assert_int_equal(r->trust.stacks.complete, 3);
	assert_true(r->trust.stacks.jit_ratio > 0.33 && r->trust.stacks.jit_ratio < 0.34);
	buf_release(&text);
	agg_free(a);
}

/* A library in the place of another, one that was mapped in two parts, and code of no file. */
static void test_one_file_after_another(void **state)
{
	const struct ev_frame old[] = { F(0x1005, U), F(0x9005, U) };
	const struct ev_frame parts[] = { F(0x5805, U) };
	const struct ev_frame code[] = { F(0x7005, U) };
	struct agg *a = agg_at_99(NULL);

	(void)state;
	mapping(a, 10, 0x1000, 0x3000, 0x1000, "/usr/lib/one.so");
	mapping(a, 10, 0x5000, 0x6000, 0x1000, "/usr/lib/parts.so");
	mapping(a, 10, 0x7000, 0x8000, 0x1000, "");
	mapping(a, 10, 0x9000, 0xa000, 0x1000, "/usr/bin/web");
	sample(a, 10, "web", old, 2, false);
	sample(a, 10, "web", parts, 1, false);
	sample(a, 10, "web", code, 1, false);
	mapping(a, 10, 0x1000, 0x2000, 0x2000, "/usr/lib/two.so");
	mapping(a, 10, 0x5800, 0x6000, 0x1800, "/usr/lib/parts.so");
	mapping(a, 10, 0x7000, 0x8000, 0x1000, "/usr/lib/three.so");
	mapping(a, 11, 0x9000, 0xa000, 0x4000, "/usr/bin/other");
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(agg_report(a)->trust.stacks.frames, 4);
	assert_int_equal(agg_report(a)->trust.stacks.remapped, 1);
	agg_free(a);
}

static void test_nothing_sampled(void **state)
{
	struct agg *a = agg_at_99(NULL);
	struct buf text = BUF_INIT;

	(void)state;
	assert_int_equal(agg_finish(a), 0);
	assert_int_equal(agg_report(a)->cpu.samples, 0);
	assert_int_equal(agg_report(a)->cpu.nnodes, 0);
	folded(a, &text);
	assert_int_equal(text.n, 0);
	buf_release(&text);
	agg_free(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names_and_merging),
		cmocka_unit_test(test_unnamed),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_lines_too_deep),
		cmocka_unit_test(test_unnamed_runs),
		cmocka_unit_test(test_listing_what_wants_a_name),
		cmocka_unit_test(test_recursion_counts_once),
		cmocka_unit_test(test_truncated_and_too_deep),
		cmocka_unit_test(test_order_of_input_is_nothing),
		cmocka_unit_test(test_cap),
		cmocka_unit_test(test_processes),
		cmocka_unit_test(test_nothing_sampled),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_one_file_after_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
