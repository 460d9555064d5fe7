/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names, files and lines of JavaScript functions out of a heap that is built here word by word: every shape of
 * scopes and strings, lines as V8 counts them, objects that change while they are read, damage. And
 * what becomes of the frames of samples.
 *
 * With UPDATE_GOLDEN=1 the heaps go to tests/fuzz/corpus/v8code, with the function's place in front.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "hp/events.h"
#include "unwind/v8names.h"
#include "v8_heap.h"

/*
 * What a binary with V8 in it exports: this one does, in the order of the list, one after the other. Zeros lie
 * in memory that the file does not have.
 */
#define CONSTANTS(X)                                                                               \
	X(off_fp_function, -16)                                                                    \
	X(class_Map__instance_type__Object, 12)                                                    \
	X(class_JSFunction__shared__Object, 24)                                                    \
	X(class_SharedFunctionInfo__name_or_scope_info__Object, 16)                                \
	X(class_SharedFunctionInfo__script_or_debug_info__Object, 32)                              \
	X(class_Script__name__Object, 16)                                                          \
	X(class_Script__source__Object, 8)                                                         \
	X(class_Script__type__Object, 48)                                                          \
	X(class_String__length__Object, 12)                                                        \
	X(class_SeqOneByteString__chars__Object, 16)                                               \
	X(class_SeqTwoByteString__chars__Object, 16)                                               \
	X(class_ConsString__first__Object, 16)                                                     \
	X(class_ConsString__second__Object, 24)                                                    \
	X(class_SlicedString__parent__Object, 16)                                                  \
	X(class_SlicedString__offset__Object, 24)                                                  \
	X(class_ThinString__actual__Object, 16)                                                    \
	X(class_ExternalString__resource__Object, 16)                                              \
	X(scopeinfo_idx_ncontextlocals, 2)                                                         \
	X(scopeinfo_idx_first_vars, 3)                                                             \
	X(type_SharedFunctionInfo__SHARED_FUNCTION_INFO_TYPE, 262)                                 \
	X(type_ScopeInfo__SCOPE_INFO_TYPE, 261)                                                    \
	X(type_Script__SCRIPT_TYPE, 167)                                                           \
	X(type_Oddball__ODDBALL_TYPE, 131)                                                         \
	X(type_Map__MAP_TYPE, 255)                                                                 \
	X(FirstNonstringType, 128)                                                                 \
	X(StringRepresentationMask, 7)                                                             \
	X(SeqStringTag, 0)                                                                         \
	X(ConsStringTag, 1)                                                                        \
	X(ExternalStringTag, 2)                                                                    \
	X(SlicedStringTag, 3)                                                                      \
	X(ThinStringTag, 5)                                                                        \
	X(StringEncodingMask, 8)                                                                   \
	X(OneByteStringTag, 8)                                                                     \
	X(SmiShiftSize, 31)                                                                        \
	X(off_fp_context_or_frame_type, -8)                                                        \
	X(class_HeapObject__map__Object, 0)                                                        \
	X(HeapObjectTag, 1)                                                                        \
	X(HeapObjectTagMask, 3)                                                                    \
	X(SmiTag, 0)                                                                               \
	X(SmiTagMask, 1)                                                                           \
	X(SmiValueShift, 1)

#define EXPORT(name, value) int v8dbg_##name = value;
CONSTANTS(EXPORT)

/* This program as its own layout. copy: its bytes, to be changed. */
static int read_own(u8 *copy, size_t n, struct v8_layout *ret)
{
	struct elf_src src = { .fd = -1, .mem = copy, .size = n };
	struct elf e;

	assert_int_equal(elf_open(&e, &src), 0);
	return v8_file_read(&e, ret);
}

static void t_layout(void **state)
{
	struct v8_layout l;
	_release_(buf) struct buf own = BUF_INIT;
	static const char renamed[] = "v8dbg_class_Script__name__Object";
	u8 *p;

	(void)state;
	assert_int_equal(file_read("/proc/self/exe", &own, 256u << 20), 0);
	assert_int_equal(read_own((u8 *)own.p, own.n, &l), 0);
	assert_memory_equal(&l, &heap_layout, sizeof(l));
	/* One that is missing: not as the reader knows it. None at all: no V8. */
	p = memmem(own.p, own.n, renamed, sizeof(renamed));
	while (p) {
		p[8] = 'X';
		p = memmem(own.p, own.n, renamed, sizeof(renamed));
	}
	assert_int_equal(read_own((u8 *)own.p, own.n, &l), -ENOTSUP);
	while ((p = memmem(own.p, own.n, "v8dbg_", 6)))
		p[0] = 'X';
	assert_int_equal(read_own((u8 *)own.p, own.n, &l), -ENOENT);
}

static void keep(const struct heap *h, u64 function)
{
	static int number;
	u64 off = function - HEAP_AT;
	char path[96];
	FILE *f;

	if (!getenv("UPDATE_GOLDEN") || h->n > 4096)
		return;
	snprintf(path, sizeof(path), "tests/fuzz/corpus/v8code/heap_%02d", number++);
	f = fopen(path, "w");
	assert_non_null(f);
	assert_int_equal(fwrite(&off, 1, 4, f), 4);
	assert_int_equal(fwrite(h->p, 1, h->n, f), h->n);
	fclose(f);
}

static int look(struct heap *h, u64 function, struct v8code *ret)
{
	struct v8lines lines = { 0 };
	int err;

	h->reads = 0;
	err = v8code_get(&heap_layout, function, &lines, 1, heap_read, h, ret);
	v8lines_release(&lines);
	return err;
}

static void assert_code(struct heap *h, u64 function, const char *name, const char *file, u32 line)
{
	struct v8code c;

	keep(h, function);
	assert_int_equal(look(h, function, &c), 0);
	assert_string_equal(c.name.n ? c.name.p : "", name);
	assert_string_equal(c.file.n ? c.file.p : "", file);
	assert_int_equal(c.line, line);
	v8code_release(&c);
}

static u64 some_script(struct heap *h)
{
	return heap_script(h, heap_text(h, "/srv/app.js"),
			   heap_text(h, "one\ntwo\r\nthree\rfour\n\n\nseven"), 0);
}

static void t_scopes(void **state)
{
	struct heap h;
	u64 script, outer, function, name, hole, empty;

	(void)state;
	heap_init(&h);
	script = some_script(&h);
	outer = heap_scope(&h, 0, NULL, 0);
	name = heap_text(&h, "known");
	empty = heap_text(&h, "");
	hole = h.undefined;
#define SCOPE(vars, ...)                                                                           \
	({                                                                                         \
		const u64 words_[] = { __VA_ARGS__ };                                              \
		heap_shared(&h, heap_scope(&h, vars, words_, ARRAY_SIZE(words_)), script);         \
	})
#define N smi_of
	assert_code(&h, SCOPE(0, name, N(-1), N(5), N(9), outer), "known", "/srv/app.js", 2);
	/* An inferred name besides, which does not count; its place is empty. */
	assert_code(&h, SCOPE(0, name, N(2), empty, N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(0, name, N(-1), hole, N(5), N(9), outer), "known", "/srv/app.js", 2);
	/* Without a name of its own: the inferred one, or none. */
	assert_code(&h, SCOPE(0, empty, N(-1), name, N(0), N(9), outer), "known", "/srv/app.js", 1);
	assert_code(&h, SCOPE(0, name, N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(0, empty, N(5), N(9), outer), "", "/srv/app.js", 2);
	assert_code(&h, SCOPE(0, N(0), N(-1), hole, N(5), N(9), outer), "", "/srv/app.js", 2);
	/* Behind variables, many variables, the number of a module's ones, a class variable. */
	assert_code(&h, SCOPE(3, name, N(-1), N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(74, name, N(-1), N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(75, name, N(-1), N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(300, name, N(-1), N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(2, N(1), name, N(5), N(9), outer), "known", "/srv/app.js", 2);
	assert_code(&h, SCOPE(2, N(1), name, N(-1), hole, N(5), N(9), outer), "known",
		    "/srv/app.js", 2);
	/* What follows is not taken for it: a scope's own list, or with none around it another object. */
	assert_code(&h, SCOPE(0, name, N(-1), N(5), N(9), outer, N(13), N(14), outer), "known",
		    "/srv/app.js", 2);
	function = SCOPE(0, name, N(-1), N(5), N(9));
	assert_code(&h, function, "known", "/srv/app.js", 2);
	function = SCOPE(0, name, N(-1), N(5), N(9), hole, N(13), N(14));
	assert_code(&h, function, "known", "/srv/app.js", 2);
	/* No place: the name is there. A number where a scope or a name should be: no name. */
	assert_code(&h, SCOPE(0, name, N(-1), N(9), N(5), outer), "known", "/srv/app.js", 0);
	assert_code(&h, heap_shared(&h, N(0), script), "", "/srv/app.js", 0);
	assert_code(&h, heap_shared(&h, name, script), "known", "/srv/app.js", 0);
	/* At the very end of memory. */
	heap_init(&h);
	script = some_script(&h);
	outer = heap_scope(&h, 0, NULL, 0);
	name = heap_text(&h, "known");
	function = heap_shared(&h, 0, script);
	heap_set(&h, function, 16, heap_scope(&h, 0, (u64[]){ name, N(-1), N(5), N(9), outer }, 5));
	assert_code(&h, function, "known", "/srv/app.js", 2);
}

static void t_not_one(void **state)
{
	struct heap h;
	struct v8code c;
	u64 script, good, scope;

	(void)state;
	heap_init(&h);
	script = some_script(&h);
	good = heap_function(&h, "f", script, 0);
	scope = heap_scope(&h, 0, NULL, 0);
	assert_int_equal(look(&h, good, &c), 0);
	v8code_release(&c);
#define REFUSED(function)                                                                          \
	do {                                                                                       \
		assert_int_not_equal(look(&h, function, &c), 0);                                   \
		v8code_release(&c);                                                                \
	} while (0)
	REFUSED(0);
	REFUSED(good - 1); /* not tagged */
	REFUSED(good + 2); /* a weak reference */
	REFUSED(smi_of(3));
	REFUSED(0xfff1);
	REFUSED(0x7fffffffffff0001);
	REFUSED(script);
	REFUSED(h.meta);
	REFUSED(heap_shared(&h, script, script)); /* a name that is none */
	REFUSED(heap_shared(&h, h.undefined, script));
	REFUSED(heap_shared(&h, scope, scope)); /* a script that is none */
	REFUSED(heap_shared(&h, scope, smi_of(1)));
	/* V8's own functions have no script. */
	assert_int_equal(look(&h, heap_shared(&h, heap_text(&h, "map"), h.undefined), &c), 0);
	assert_true(c.native);
	v8code_release(&c);
}

static void t_strings(void **state)
{
	static const u16 wide[] = { 0x51fd, 0x6570, 0xd83d, 0xde00, 0xd800, 'x' };
	struct heap h;
	char text[2000];
	u64 script, a, b, chars;
	u32 i;

	(void)state;
	heap_init(&h);
	script = some_script(&h);
#define NAMED(string, name) assert_code(&h, heap_shared(&h, string, script), name, "/srv/app.js", 0)
	NAMED(heap_string(&h, STRING_ONE_BYTE, "d\xe9j\xe0\x1b[2J", 8), "d\xc3\xa9j\xc3\xa0.[2J");
	NAMED(heap_string(&h, STRING_TWO_BYTE, wide, 6),
	      "\xe5\x87\xbd\xe6\x95\xb0\xf0\x9f\x98\x80.x");
	a = heap_text(&h, "first");
	b = heap_text(&h, "Second");
	NAMED(heap_string_of(&h, STRING_CONS, 11, a, b), "firstSecond");
	NAMED(heap_string_of(&h, STRING_CONS, 5, a, heap_text(&h, "")), "first");
	NAMED(heap_string_of(&h, STRING_THIN, 5, a, 0), "first");
	NAMED(heap_string_of(&h, STRING_SLICED, 3, b, smi_of(1)), "eco");
	NAMED(heap_string_of(&h, STRING_SLICED, 3, heap_string_of(&h, STRING_THIN, 6, b, 0),
			     smi_of(3)),
	      "ond");
	/* The characters of an external one are somewhere else; behind its resource it says where. */
	chars = b - 1 + 16;
	NAMED(heap_string_of(&h, STRING_EXTERNAL, 6, 0x1234, chars), "Second");
	/* Long ones: names by their beginning, files by their end. */
	for (i = 0; i < sizeof(text); i++)
		text[i] = (char)('a' + i % 26);
	a = heap_string(&h, STRING_ONE_BYTE, text, sizeof(text));
	memcpy(text + V8CODE_TEXT_MAX, "...", 4);
	NAMED(a, text);
	for (i = 0; i < V8CODE_TEXT_MAX; i++)
		text[i + 3] = (char)('a' + (i + V8CODE_TEXT_MAX) % 26);
	memcpy(text, "...", 3);
	text[V8CODE_TEXT_MAX] = 0;
	assert_code(&h, heap_function(&h, "f", heap_script(&h, a, h.undefined, 0), 0), "f", text,
		    0);
	/* Trees that are their own parts. */
	a = heap_string_of(&h, STRING_CONS, 9, b, b);
	heap_set(&h, a, 24, a);
	{
		struct v8code c;

		REFUSED(heap_shared(&h, a, script));
		heap_set(&h, a, 16, a);
		REFUSED(heap_shared(&h, a, script));
		a = heap_string_of(&h, STRING_THIN, 9, 0, 0);
		heap_set(&h, a, 16, a);
		REFUSED(heap_shared(&h, a, script));
		REFUSED(heap_shared(&h, heap_string_of(&h, STRING_SLICED, 3, b, smi_of(-1)),
				    script));
	}
}

static u32 line_at(struct heap *h, u64 script, s32 at)
{
	struct v8code c;
	u32 line;

	assert_int_equal(look(h, heap_function(h, "f", script, at), &c), 0);
	line = c.line;
	v8code_release(&c);
	return line;
}

static void t_lines(void **state)
{
	/* Places in it and the lines they are in: the end of a line belongs to it. */
	static const char text[] = "ab\ncd\r\nef\rgh\n\rij";
	static const u8 lines[] = { 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 6, 6 };
	static const u16 wide[] = { 'a', 0x2028, 'b', 0x2029, 'c', '\n', 'd' };
	static const u8 wide_lines[] = { 1, 1, 2, 2, 3, 3, 4 };
	static char big[20000];
	struct v8lines cache = { 0 };
	struct heap h;
	struct v8code c;
	u64 script;
	u32 i, first;

	(void)state;
	heap_init(&h);
	script = heap_script(&h, heap_text(&h, "a.js"), heap_text(&h, text), 0);
	for (i = 0; i < ARRAY_SIZE(lines); i++)
		assert_int_equal(line_at(&h, script, (s32)i), lines[i]);
	assert_int_equal(line_at(&h, script, sizeof(text) - 1), 0); /* behind its end */
	script = heap_script(&h, heap_text(&h, "a.js"),
			     heap_string(&h, STRING_TWO_BYTE, wide, ARRAY_SIZE(wide)), 0);
	for (i = 0; i < ARRAY_SIZE(wide); i++)
		assert_int_equal(line_at(&h, script, (s32)i), wide_lines[i]);
	/* A script that is a part of a text begins in a later line. */
	script = heap_script(&h, heap_text(&h, "a.js"), heap_text(&h, text), 41);
	assert_int_equal(line_at(&h, script, 4), 43);
	/* Ends of lines where two reads meet, and each part of the source is read once. */
	heap_init(&h);
	memset(big, 'x', sizeof(big));
	for (i = 100; i < sizeof(big); i += 100)
		big[i] = '\n';
	memcpy(big + V8CODE_READ_MAX - 1, "\r\n\r", 3);
	script = heap_script(&h, heap_text(&h, "a.js"),
			     heap_string(&h, STRING_ONE_BYTE, big, sizeof(big)), 0);
	assert_int_equal(line_at(&h, script, 4001), 41);
	assert_int_equal(line_at(&h, script, 4094), 41);
	assert_int_equal(line_at(&h, script, 4095), 41);
	assert_int_equal(line_at(&h, script, 4096), 41);
	assert_int_equal(line_at(&h, script, 4097), 42);
	assert_int_equal(line_at(&h, script, 4098), 43);
	assert_int_equal(line_at(&h, script, 19999), 202);
	h.reads = 0;
	assert_int_equal(v8code_get(&heap_layout, heap_function(&h, "f", script, 19000), &cache, 1,
				    heap_read, &h, &c),
			 0);
	assert_int_equal(c.line, 192);
	v8code_release(&c);
	first = h.reads;
	assert_int_equal(v8code_get(&heap_layout, heap_function(&h, "f", script, 18000), &cache, 1,
				    heap_read, &h, &c),
			 0);
	assert_int_equal(c.line, 182);
	v8code_release(&c);
	assert_int_equal(h.reads - first, first - 5);
	v8lines_release(&cache);
}

static void t_changes(void **state)
{
	struct v8lines lines = { 0 };
	struct v8code_id id;
	struct heap h;
	struct v8code c;
	u64 script, function, other;
	u32 total, i, again = 0;

	(void)state;
	heap_init(&h);
	script = some_script(&h);
	function = heap_function(&h, "before", script, 0);
	other = heap_scope(&h, 0,
			   (u64[]){ heap_text(&h, "after"), smi_of(-1), smi_of(5), smi_of(6),
				    heap_scope(&h, 0, NULL, 0) },
			   5);
	assert_int_equal(look(&h, function, &c), 0);
	id = c.id;
	v8code_release(&c);
	total = h.reads;
	assert_int_equal(v8code_check(&heap_layout, function, &id, heap_read, &h), 0);
	h.change = function + 16;
	h.change_to = other;
	for (i = 1; i <= total; i++) {
		u64 was;
		int err;

		memcpy(&was, h.p + (function - 1 - HEAP_AT) + 16, 8);
		h.change_at = i;
		err = look(&h, function, &c);
		if (err) {
			assert_int_equal(err, -EAGAIN);
			again++;
		} else { /* before it was looked at */
			assert_string_equal(c.name.p, "after");
			assert_int_equal(c.line, 2);
		}
		v8code_release(&c);
		heap_set(&h, function, 16, was);
	}
	assert_int_equal(again, total - 1);
	h.change_at = 0;
	heap_set(&h, function, 16, other);
	assert_int_equal(v8code_check(&heap_layout, function, &id, heap_read, &h), -ESTALE);
	v8lines_release(&lines);
}

/* Every word of the heap replaced, by every kind of wrong word. */
static void t_damage(void **state)
{
	const u64 wrong[] = { 0,
			      1,
			      UINT64_MAX,
			      smi_of(-1),
			      smi_of(INT32_MAX),
			      HEAP_AT + 1,
			      HEAP_AT + HEAP_BYTES - 7 };
	struct heap h;
	struct v8code c;
	u64 function, was;
	u32 i, j;

	(void)state;
	heap_init(&h);
	function = heap_function(&h, "f", some_script(&h), 5);
	for (i = 0; i + 8 <= h.n; i += 8)
		for (j = 0; j < ARRAY_SIZE(wrong); j++) {
			memcpy(&was, h.p + i, 8);
			memcpy(h.p + i, &wrong[j], 8);
			h.reads = 0;
			look(&h, function, &c);
			assert_true(h.reads <= V8CODE_READS + 8);
			v8code_release(&c);
			memcpy(h.p + i, &was, 8);
		}
}

struct records {
	struct heap *heap;
	u32 n;
	char text[8][64];
	u64 id[8];
};

static int names_read(void *arg, u32 tgid, u64 addr, void *buf, size_t n)
{
	struct records *r = arg;

	return tgid == 7 ? heap_read(r->heap, addr, buf, n) : -ESRCH;
}

static void names_put(void *arg, struct ev_code *ev)
{
	struct records *r = arg;
	const char *p = (const char *)(ev + 1);

	assert_true(r->n < ARRAY_SIZE(r->text));
	assert_int_equal(ev->hdr.kind, EV_CODE);
	assert_int_equal(ev->kind, HP_FRAME_METHOD);
	assert_true(ev->hdr.size % 8 == 0 &&
		    ev->hdr.size >= sizeof(*ev) + ev->name_len + ev->file_len);
	snprintf(r->text[r->n], sizeof(r->text[0]), "%.*s %.*s:%u", ev->name_len, p, ev->file_len,
		 p + ev->name_len, ev->line);
	r->id[r->n++] = ev->addr;
}

static void t_frames(void **state)
{
	static const struct v8names_ops ops = { .read = names_read, .put = names_put };
	struct ev_frame f[4];
	struct v8names_stats stats;
	struct heap h;
	struct records r = { .heap = &h };
	struct v8names *names;
	u64 script, a, b, native;
	u32 reads;

	(void)state;
	heap_init(&h);
	script = some_script(&h);
	a = heap_function(&h, "a", script, 0);
	b = heap_function(&h, "", script, 5);
	native = heap_shared(&h, heap_text(&h, "map"), h.undefined);
	assert_int_equal(v8names_new(&names, &ops, &r), 0);
#define FRAMES()                                                                                   \
	do {                                                                                       \
		f[0] = (struct ev_frame){ .kind = HP_FRAME_METHOD, .addr = a };                    \
		f[1] = (struct ev_frame){ .kind = HP_FRAME_NATIVE, .addr = b };                    \
		f[2] = (struct ev_frame){ .kind = HP_FRAME_METHOD, .addr = b };                    \
		f[3] = (struct ev_frame){ .kind = HP_FRAME_METHOD, .addr = native };               \
	} while (0)
	/* Of a process that has no V8: another runtime's, and nobody else's business. */
	FRAMES();
	v8names_sample(names, 7, f, 4, NSEC_PER_SEC);
	assert_int_equal(f[0].addr, a);
	v8names_process(names, 7, &heap_layout);
	v8names_sample(names, 7, f, 4, NSEC_PER_SEC);
	assert_int_equal(r.n, 2);
	assert_string_equal(r.text[0], "a /srv/app.js:1");
	assert_string_equal(r.text[1], "(anonymous) /srv/app.js:2");
	assert_int_equal(f[0].addr, r.id[0]);
	assert_int_equal(f[1].addr, b);
	assert_int_equal(f[2].addr, r.id[1]);
	assert_int_equal(f[3].addr, 0);
	/* The longer it was the same, the longer it is not looked at. */
	FRAMES();
	reads = h.reads;
	v8names_sample(names, 7, f, 4, NSEC_PER_SEC + 1);
	assert_int_equal(f[0].addr, r.id[0]);
	assert_int_equal(h.reads, reads + 2);
	FRAMES();
	v8names_sample(names, 7, f, 4, 9 * NSEC_PER_SEC);
	reads = h.reads;
	FRAMES();
	v8names_sample(names, 7, f, 3, 9 * NSEC_PER_SEC + NSEC_PER_SEC / 2);
	assert_int_equal(h.reads, reads);
	assert_int_equal(r.n, 2);
	/* Another function in the same place, and the first one in another: no record is made twice. */
	heap_set(&h, a, 16, heap_text(&h, "other"));
	FRAMES();
	f[3].addr = heap_function(&h, "a", script, 0);
	v8names_sample(names, 7, f, 4, 20 * NSEC_PER_SEC);
	assert_int_equal(r.n, 3);
	assert_string_equal(r.text[2], "other /srv/app.js:0");
	assert_int_equal(f[0].addr, r.id[2]);
	assert_int_equal(f[3].addr, r.id[0]);
	/* Whatever stands there. */
	FRAMES();
	f[0].addr = 0x123456789;
	f[2].addr = UINT64_MAX;
	v8names_sample(names, 7, f, 3, 20 * NSEC_PER_SEC);
	assert_int_equal(f[0].addr, 0);
	assert_int_equal(f[2].addr, 0);
	v8names_get_stats(names, &stats);
	assert_int_equal(stats.named, 3);
	assert_int_equal(stats.failed + stats.refused, 0);
	v8names_forget(names, 7);
	FRAMES();
	v8names_sample(names, 7, f, 4, 21 * NSEC_PER_SEC);
	assert_int_equal(f[0].addr, a);
	v8names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_layout),  cmocka_unit_test(t_scopes),
		cmocka_unit_test(t_not_one), cmocka_unit_test(t_strings),
		cmocka_unit_test(t_lines),   cmocka_unit_test(t_changes),
		cmocka_unit_test(t_damage),  cmocka_unit_test(t_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
