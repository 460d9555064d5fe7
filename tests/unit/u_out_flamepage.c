/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flame page's file, unpacked again: columns give back the trees, names are text, and the policy in
 * its head names its own script. What the page does with it is tests/pages' business.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include "base/cleanup.h"
#include "out/flamepage.h"
#include "out/frames.h"

static const struct agg_node small[] = {
	{ .text = "all", .total = 10, .self = 1 },
	{ .text = "app", .depth = 1, .total = 9 },
	{ .text = "main", .depth = 2, .parent = 1, .kind = HP_FRAME_NATIVE, .total = 9, .self = 2 },
	{ .text = "main", .depth = 3, .parent = 2, .kind = HP_FRAME_PYTHON, .total = 3, .self = 3 },
	{ .text = "read_[k]",
	  .depth = 3,
	  .parent = 2,
	  .kind = HP_FRAME_KERNEL,
	  .total = 4,
	  .self = 4 },
};

static const struct agg_node other[] = {
	{ .text = "all", .total = 300 },
	{ .text = "app", .depth = 1, .total = 200 },
	{ .text = "idle",
	  .depth = 2,
	  .parent = 1,
	  .kind = HP_FRAME_NATIVE,
	  .total = 200,
	  .self = 200 },
	{ .text = "z", .depth = 1, .total = 100, .self = 100 },
};

struct page {
	struct buf html;
	cJSON *meta;
	u8 *data;
	const u8 *part[6];
	size_t size[6];
	u32 frames;
};

static void page_release(struct page *p)
{
	buf_release(&p->html);
	cJSON_Delete(p->meta);
	free(p->data);
}

/* Text of the element that begins with `tag`. */
static struct slice element(const struct buf *b, const char *tag, const char *end)
{
	char *from = strstr(b->p, tag), *to;

	assert_non_null(from);
	from += strlen(tag);
	to = strstr(from, end);
	assert_non_null(to);
	return slice_of(from, (size_t)(to - from));
}

static size_t unbase64(struct slice s, u8 *out)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t i, n = 0;
	u32 v = 0, bits = 0;

	for (i = 0; i < s.n && s.p[i] != '='; i++) {
		const char *at = strchr(digits, s.p[i]);

		assert_non_null(at);
		v = v << 6 | (u32)(at - digits);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (u8)(v >> bits);
		}
	}
	return n;
}

static void unpack(struct page *p)
{
	struct slice meta =
		element(&p->html, "<script type=\"application/json\" id=\"meta\">", "</script>");
	struct slice b64 = element(
		&p->html, "<script type=\"application/octet-stream\" id=\"data\">", "</script>");
	_free_ u8 *packed = malloc(b64.n + 1);
	z_stream z = { 0 };
	size_t all = 0;
	cJSON *bytes;
	int i;

	p->meta = cJSON_ParseWithLength(meta.p, meta.n);
	assert_non_null(p->meta);
	bytes = cJSON_GetObjectItem(p->meta, "bytes");
	for (i = 0; i < cJSON_GetArraySize(bytes); i++) {
		p->size[i] = (size_t)cJSON_GetArrayItem(bytes, i)->valuedouble;
		all += p->size[i];
	}
	p->data = malloc(all + 1);
	assert_non_null(packed);
	assert_non_null(p->data);
	z.avail_in = (uInt)unbase64(b64, packed);
	z.next_in = packed;
	z.next_out = p->data;
	z.avail_out = (uInt)all + 1;
	assert_int_equal(inflateInit2(&z, -MAX_WBITS), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	assert_int_equal(z.total_out, all);
	inflateEnd(&z);
	for (i = 0, all = 0; i < 6; all += p->size[i++])
		p->part[i] = p->data + all;
	p->frames = (u32)cJSON_GetObjectItem(p->meta, "frames")->valuedouble;
}

static u64 varint(struct page *p, int column)
{
	u64 v = 0;
	unsigned shift = 0;

	for (;; shift += 7) {
		u8 b;

		assert_true(p->size[column]-- > 0);
		b = *p->part[column]++;
		v |= (u64)(b & 127) << shift;
		if (!(b & 128))
			return v;
	}
}

static void write_page(struct page *p, const struct agg_node *nodes, u32 n,
		       const struct flamepage_profile *before)
{
	const struct flamepage page = {
		.title = "CPU <of> & x",
		.detail = "10 samples",
		.unit = "samples",
		.unit_ns = 1e9 / 99,
		.profile = { .nodes = nodes, .n = n, .seconds = 2.5, .requests = 7 },
		.before = before,
	};

	assert_int_equal(flamepage_html(&page, &p->html), 0);
	unpack(p);
}

/* "text kind depth own[,own]" a line, and every column is used up. */
static void same_tree(struct page *p, int sides, const char *want)
{
	struct slice names = slice_of(p->part[0], p->size[0]);
	_release_(buf) struct buf got = BUF_INIT;
	u32 i, k, depth = 0;

	for (i = 0; i < p->frames; i++) {
		u64 name = varint(p, 2);
		size_t from = 0, to;

		for (k = 0; k < name; from++)
			k += names.p[from] == '\n';
		for (to = from; to < names.n && names.p[to] != '\n'; to++)
			;
		depth = i ? depth + 1 - (u32)varint(p, 3) : (u32)varint(p, 3);
		buf_addf(&got, "%.*s %s %u ", (int)(to - from), names.p + from,
			 frame_looks[p->part[1][name] & 15].label, depth);
		buf_addf(&got, "%llu", (unsigned long long)varint(p, 4));
		if (sides == 2)
			buf_addf(&got, ",%llu", (unsigned long long)varint(p, 5));
		buf_addch(&got, '\n');
	}
	assert_string_equal(got.p, want);
	for (i = 2; i < 6; i++)
		assert_int_equal(p->size[i], 0);
}

static void one_profile(void **state)
{
	_release_(page) struct page p = { 0 };
	cJSON *side;

	(void)state;
	write_page(&p, small, ARRAY_SIZE(small), NULL);
	same_tree(&p, 1,
		  "all other 0 1\n"
		  "app other 1 0\n"
		  "main native 2 2\n"
		  "main python 3 3\n"
		  "read_[k] kernel 3 4\n");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(p.meta, "sides")), 1);
	side = cJSON_GetArrayItem(cJSON_GetObjectItem(p.meta, "sides"), 0);
	assert_true(cJSON_GetObjectItem(side, "seconds")->valuedouble == 2.5);
	assert_int_equal(cJSON_GetObjectItem(side, "requests")->valueint, 7);
	assert_non_null(strstr(p.html.p, "<h1 id=\"title\">CPU &lt;of&gt; &amp; x</h1>"));
}

static void two_profiles(void **state)
{
	_release_(page) struct page p = { 0 };
	struct flamepage_profile before = { .nodes = other, .n = ARRAY_SIZE(other) };

	(void)state;
	write_page(&p, small, ARRAY_SIZE(small), &before);
	same_tree(&p, 2,
		  "all other 0 0,1\n"
		  "app other 1 0,0\n"
		  "idle native 2 200,0\n"
		  "main native 2 0,2\n"
		  "main python 3 0,3\n"
		  "read_[k] kernel 3 0,4\n"
		  "z other 1 100,0\n");
}

static void empty_profile(void **state)
{
	_release_(page) struct page p = { 0 };

	(void)state;
	write_page(&p, NULL, 0, NULL);
	same_tree(&p, 1, "all other 0 0\n");
}

/* Weights of microseconds pass 32 bits. */
static void heavy_weights(void **state)
{
	_release_(page) struct page p = { 0 };
	struct agg_node nodes[] = {
		{ .text = "all", .total = 1ULL << 52 },
		{ .text = "t", .depth = 1, .total = (1ULL << 52) - 127 },
	};

	(void)state;
	write_page(&p, nodes, 2, NULL);
	same_tree(&p, 1, "all other 0 127\nt other 1 4503599627370369\n");
}

static void hostile_names(void **state)
{
	static const char evil[] = "</script><script>alert(1)</script>\n\x1b[2J\xff\xe2\x80\xae";
	struct agg_node nodes[] = {
		{ .text = "all", .total = 1 },
		{ .text = evil, .depth = 1, .total = 1, .self = 1, .kind = 77 },
	};
	_release_(page) struct page p = { 0 };

	(void)state;
	write_page(&p, nodes, 2, NULL);
	same_tree(&p, 1, "all other 0 0\n</script><script>alert(1)</script>..[2J.. other 1 1\n");
	assert_null(strstr(p.html.p, "alert"));
	assert_null(memchr(p.html.p, '\x1b', p.html.n));
}

/* What is no tree is refused, not drawn. */
static void broken_trees(void **state)
{
	struct agg_node n[3];
	_release_(buf) struct buf b = BUF_INIT;
	const struct agg_node good[3] = { { .text = "all", .total = 2 },
					  { .text = "a", .depth = 1, .total = 2 },
					  { .text = "b", .depth = 2, .parent = 1, .total = 1 } };
	const struct flamepage page = {
		.title = "", .detail = "", .unit = "", .profile = { .nodes = n, .n = 3 }
	};

	(void)state;
	memcpy(n, good, sizeof(n));
	assert_int_equal(flamepage_html(&page, &b), 0);
	n[2].depth = 3;
	assert_int_equal(flamepage_html(&page, &b), -EINVAL);
	memcpy(n, good, sizeof(n));
	n[2].parent = 0;
	assert_int_equal(flamepage_html(&page, &b), -EINVAL);
	memcpy(n, good, sizeof(n));
	n[2].depth = 1;
	n[2].parent = 0;
	n[2].total = 2;
	/* Two callees heavier than their caller. */
	assert_int_equal(flamepage_html(&page, &b), -EINVAL);
}

/* The script that stands in the page is the one that the policy allows: by sha256sum, not by our own. */
static void policy_names_the_script(void **state)
{
	_release_(page) struct page p = { 0 };
	struct slice policy, js;
	char line[128] = "", command[] = "/tmp/hp-flamepage-XXXXXX", run[160];
	_release_(buf) struct buf want = BUF_INIT;
	u8 hash[64];
	size_t n, i;
	FILE *f;
	int fd;

	(void)state;
	write_page(&p, small, ARRAY_SIZE(small), NULL);
	policy = element(&p.html, "script-src 'sha256-", "'");
	js = element(&p.html, "</script>\n<script>", "</script>");
	fd = mkstemp(command);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, js.p, js.n), js.n);
	close(fd);
	snprintf(run, sizeof(run), "sha256sum %s", command);
	f = popen(run, "r");
	assert_non_null(f);
	assert_non_null(fgets(line, sizeof(line), f));
	pclose(f);
	unlink(command);
	n = unbase64(policy, hash);
	for (i = 0; i < n; i++)
		buf_addf(&want, "%02x", hash[i]);
	assert_int_equal(n, 32);
	assert_memory_equal(line, want.p, 64);
	assert_non_null(strstr(p.html.p, "default-src 'none'; script-src 'sha256-"));
	assert_null(strstr(p.html.p, "unsafe-inline"));
}

static void frame_texts(void **state)
{
	static const struct {
		const char *text;
		u8 kind;
		const char *function, *file;
		u32 line;
	} cases[] = {
		{ "serve (app/main.py:31)", HP_FRAME_PYTHON, "serve", "app/main.py", 31 },
		{ "A.<locals>.f (x (1).py:7)", HP_FRAME_PYTHON, "A.<locals>.f", "x (1).py", 7 },
		{ "serve (app.py)", HP_FRAME_PYTHON, "serve", "app.py", 0 },
		{ "serve (app.py:)", HP_FRAME_PYTHON, "serve", "app.py:", 0 },
		{ "f (a.py:99999999999)", HP_FRAME_PYTHON, "f", "a.py:99999999999", 0 },
		{ "f (:1)", HP_FRAME_PYTHON, "f", ":1", 0 },
		{ "serve ()", HP_FRAME_PYTHON, "serve ()", "", 0 },
		{ "(x)", HP_FRAME_PYTHON, "(x)", "", 0 },
		{ "f(int) (a.c:3)", HP_FRAME_NATIVE, "f(int) (a.c:3)", "", 0 },
		{ "", HP_FRAME_PYTHON, "", "", 0 },
	};
	u32 i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		struct agg_node node = { .text = cases[i].text, .kind = cases[i].kind };
		struct frame_text got;

		frame_text_parse(&node, &got);
		assert_true(slice_eq(got.function, slice_str(cases[i].function)));
		assert_true(slice_eq(got.file, slice_str(cases[i].file)));
		assert_int_equal(got.line, cases[i].line);
	}
}

static void frame_classes(void **state)
{
	struct agg_node n = { .text = "f", .kind = HP_FRAME_NATIVE };

	(void)state;
	assert_int_equal(frame_class(&n), FRAME_NATIVE);
	n.unnamed = true;
	assert_int_equal(frame_class(&n), FRAME_UNNAMED);
	n.text = "[jit]";
	assert_int_equal(frame_class(&n), FRAME_JIT);
	n.text = "interned";
	n.jit = true;
	assert_int_equal(frame_class(&n), FRAME_JIT);
	n.kind = HP_FRAME_KERNEL;
	assert_int_equal(frame_class(&n), FRAME_KERNEL);
	n.kind = 200;
	assert_int_equal(frame_class(&n), FRAME_OTHER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_profile),
		cmocka_unit_test(two_profiles),
		cmocka_unit_test(empty_profile),
		cmocka_unit_test(heavy_weights),
		cmocka_unit_test(hostile_names),
		cmocka_unit_test(broken_trees),
		cmocka_unit_test(policy_names_the_script),
		cmocka_unit_test(frame_texts),
		cmocka_unit_test(frame_classes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
