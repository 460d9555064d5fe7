/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Routes from paths: what one segment is taken for, when a node folds, and that folding neither
 * loses nor doubles a request. Every leaf's data counts the requests that reached it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "agg/route.h"

static void assert_segment(const char *seg, const char *want)
{
	char scratch[ROUTE_SCRATCH];
	enum route_class c;
	struct slice got;

	assert_int_equal(route_segment(slice_str(seg), scratch, &c, &got), strlen(seg));
	if (!slice_eq(got, slice_str(want)))
		fail_msg("%s: got %.*s, want %s", seg, (int)got.n, got.p, want);
}

static void test_segments_that_are_values(void **state)
{
	static const char *const rows[][2] = {
		{ "1", "{id}" },
		{ "00042", "{id}" },
		{ "-7", "{id}" },
		{ "12.5", "{id}" },
		{ "10.0.0.1", "{id}" },
		{ "48.8566,2.3522", "{id}" },
		{ "2024-05-01", "{date}" },
		{ "2024-05", "{date}" },
		{ "2024-05-01T10:00:00Z", "{date}" },
		{ "2024-05-01T10:00:00.123+02:00", "{date}" },
		{ "3f2504e0-4f89-11d3-9a0c-0305e82c3301", "{uuid}" },
		{ "3F2504E0-4F89-11D3-9A0C-0305E82C3301", "{uuid}" },
		{ "9a0c0305", "{hash}" },
		{ "d41d8cd98f00b204e9800998ecf8427e", "{hash}" },
		{ "abcdefabcdefabcd", "{hash}" },
		{ "01ARZ3NDEKTSV4RRFFQ69G5FAV", "{token}" },
		{ "kJ3x9QzLmP0aTn4bVwYcRs", "{token}" },
		{ "cjld2cjxh0000qzrmn831i7rn", "{token}" },
		{ "ada@example.org", "{email}" },
		{ "x00@example.org", "{email}" },
		{ "item-123", "item-{id}" },
		{ "user_42", "user_{id}" },
		{ "user1042", "user{id}" },
		{ "INV2024001", "INV{id}" },
		{ "12-my-first-post", "{id}-{name}" },
		{ "my-first-post-12345", "{name}-{id}" },
		{ "42.json", "{id}.json" },
		{ "3f2504e0-4f89-11d3-9a0c-0305e82c3301.png", "{uuid}.png" },
		{ "main.8f3a2b1c.js", "main.{hash}.js" },
		{ "index-BX3kd92a.js", "index-{hash}.js" },
		{ "42:cancel", "{id}:cancel" },
		{ "42;jsessionid=ABCDEF", "{id}" },
	};
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		assert_segment(rows[i][0], rows[i][1]);
}

static void test_segments_that_are_words(void **state)
{
	static const char *const words[] = {
		"posts",
		"v1",
		"v2.1",
		"v10",
		"v1.0.2",
		"v1beta2",
		"v-1",
		"oauth2",
		"sha256",
		"s3",
		"web3",
		"base64",
		"favicon.ico",
		".env",
		"index.html",
		"robots.txt",
		"jquery-3.6.0.min.js",
		"deadbeef",
		"facade",
		"decade",
		"getUserByIdAndName2",
		"oauth2-callback-v2",
		"en-US",
		"report-2024-summary",
		"3d-models",
		"a",
		"@vite",
		"well-known",
		"*",
		"new",
		"X",
	};
	char scratch[ROUTE_SCRATCH];
	enum route_class c;
	struct slice got;
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(words); i++) {
		assert_segment(words[i], words[i]);
		route_segment(slice_str(words[i]), scratch, &c, &got);
		assert_int_equal(c, ROUTE_LITERAL);
	}
	assert_segment("a\tb\x01\xff", "a.b..");
	assert_segment("{id}", ".id.");
	assert_segment("main;v=1", "main");
	assert_segment(";v=1", "");
}

static void test_long_segments_are_cut_down(void **state)
{
	char seg[400];

	(void)state;
	memset(seg, 'a', sizeof(seg) - 1);
	seg[0] = 'z';
	seg[sizeof(seg) - 1] = '\0';
	assert_segment(seg, "{text}");
	seg[ROUTE_SEG_MAX] = '\0';
	assert_segment(seg, seg);
	memset(seg, 0xff, ROUTE_SEG_MAX);
	assert_segment(seg, "................................................................");
}

/* ---- the tree ---- */

struct fixture {
	struct routes r;
	u64 merges;
};

static void merge_counts(void *arg, void **to, void **from)
{
	struct fixture *f = arg;

	f->merges++;
	*to = (void *)((uintptr_t)*to + (uintptr_t)*from);
	*from = NULL;
}

static void setup(struct fixture *f, u32 fanout, u32 max)
{
	f->merges = 0;
	assert_int_equal(routes_init(&f->r, fanout, max, merge_counts, f), 0);
}

/* One request; true when it found a place. */
static bool hit(struct fixture *f, const char *path, int status)
{
	u32 leaf = routes_add(&f->r, slice_str(path), status == 404);
	void **data;

	if (leaf == ROUTE_OTHER)
		return false;
	data = routes_data(&f->r, leaf);
	*data = (void *)((uintptr_t)*data + 1);
	return true;
}

static u64 count_of(const struct fixture *f, const char *route)
{
	struct buf text = BUF_INIT;
	u64 n = 0;
	u32 i = 0, leaf;

	while ((leaf = routes_each(&f->r, &i)) != ROUTE_OTHER) {
		buf_clear(&text);
		routes_text(&f->r, leaf, &text);
		if (slice_eq(buf_slice(&text), slice_str(route)))
			n += (uintptr_t)routes_peek(&f->r, leaf);
	}
	buf_release(&text);
	return n;
}

static u64 total(const struct fixture *f, u32 *ret_rows)
{
	u64 n = 0;
	u32 i = 0, leaf;

	*ret_rows = 0;
	while ((leaf = routes_each(&f->r, &i)) != ROUTE_OTHER) {
		n += (uintptr_t)routes_peek(&f->r, leaf);
		++*ret_rows;
	}
	return n;
}

static void assert_route(const struct fixture *f, const char *path, const char *want, bool replaced)
{
	u32 leaf = routes_find(&f->r, slice_str(path));
	struct buf text = BUF_INIT;

	assert_int_not_equal(leaf, ROUTE_OTHER);
	assert_int_equal(routes_text(&f->r, leaf, &text), replaced);
	assert_string_equal(text.p, want);
	buf_release(&text);
}

static void test_paths_become_routes(void **state)
{
	struct fixture f;
	u32 rows, i;

	(void)state;
	setup(&f, 40, 1000);
	assert_true(hit(&f, "/", 200));
	assert_true(hit(&f, "", 200));
	assert_true(hit(&f, "/posts", 200));
	assert_true(hit(&f, "/posts/", 307));
	assert_true(hit(&f, "//posts", 200));
	for (i = 0; i < 100; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/posts/%u/comments/%u", i, i * 7);
		assert_true(hit(&f, path, 200));
	}
	assert_true(hit(&f, "*", 200));
	assert_true(hit(&f, "example.org:443", 200));
	assert_int_equal(count_of(&f, "/"), 2);
	assert_int_equal(count_of(&f, "/posts"), 2);
	assert_int_equal(count_of(&f, "/posts/"), 1);
	assert_int_equal(count_of(&f, "/posts/{id}/comments/{id}"), 100);
	assert_int_equal(count_of(&f, "*"), 1);
	assert_int_equal(count_of(&f, "example.org:443"), 1);
	assert_int_equal(total(&f, &rows), 107);
	assert_int_equal(rows, 6);
	assert_route(&f, "/posts/77/comments/1", "/posts/{id}/comments/{id}", true);
	assert_route(&f, "/posts", "/posts", false);
	assert_int_equal(routes_find(&f.r, slice_str("/nothing")), ROUTE_OTHER);
	assert_int_equal(f.merges, 0);
	routes_release(&f.r);
}

/* Rare static paths stay; a user name in the path does not make a row for each user. */
static void test_wide_nodes_fold(void **state)
{
	struct fixture f;
	char path[64];
	u32 rows, i;

	(void)state;
	setup(&f, 40, 10000);
	assert_true(hit(&f, "/users/me/settings", 200));
	assert_true(hit(&f, "/rare/static/path", 200));
	for (i = 0; i < 1000; i++) {
		snprintf(path, sizeof(path), "/users/%c%c%c/profile", 'a' + i % 26,
			 'a' + i / 26 % 26, 'a' + i / 676);
		assert_true(hit(&f, path, 200));
		if (i % 3 == 0) {
			snprintf(path, sizeof(path), "/users/%c%c%c", 'a' + i % 26,
				 'a' + i / 26 % 26, 'a' + i / 676);
			assert_true(hit(&f, path, 200));
		}
	}
	assert_int_equal(count_of(&f, "/users/{name}/profile"), 1000);
	assert_int_equal(count_of(&f, "/users/{name}"), 334);
	assert_int_equal(count_of(&f, "/users/{name}/settings"), 1);
	assert_int_equal(count_of(&f, "/rare/static/path"), 1);
	assert_int_equal(total(&f, &rows), 1336);
	assert_int_equal(rows, 4);
	assert_route(&f, "/users/abc/profile", "/users/{name}/profile", true);
	routes_release(&f.r);
}

/* What is asked for often keeps its name when its neighbours fold. */
static void test_frequent_segments_stay(void **state)
{
	struct fixture f;
	char path[64];
	u32 i;

	(void)state;
	setup(&f, 40, 10000);
	for (i = 0; i < 200; i++)
		assert_true(hit(&f, "/articles/search", 200));
	for (i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "/articles/%c%c-story", 'a' + i % 26, 'a' + i / 26);
		assert_true(hit(&f, path, 200));
	}
	assert_int_equal(count_of(&f, "/articles/search"), 200);
	assert_int_equal(count_of(&f, "/articles/{name}"), 300);
	routes_release(&f.r);
}

/* What was counted before a fold above still speaks for a segment in a later fold below. */
static void test_folded_hits_still_count(void **state)
{
	struct fixture f;
	char path[64];
	u32 i;

	(void)state;
	setup(&f, 40, 10000);
	for (i = 0; i < 70; i++) {
		snprintf(path, sizeof(path), "/u/x%c%c/search", 'a' + i % 26, 'a' + i / 26);
		assert_true(hit(&f, path, 200));
	}
	for (i = 0; i < 300; i++) {
		snprintf(path, sizeof(path), "/u/xaa/%c%c", 'a' + i % 26, 'a' + i / 26);
		assert_true(hit(&f, path, 200));
	}
	assert_int_equal(count_of(&f, "/u/{name}/search"), 70);
	assert_int_equal(count_of(&f, "/u/{name}/{name}"), 300);
	routes_release(&f.r);
}

/* A scanner's paths fold into one row, and real paths seen later still get theirs. */
static void test_scanners_do_not_pollute(void **state)
{
	struct fixture f;
	char path[64];
	u32 rows, i;

	(void)state;
	setup(&f, 40, 10000);
	assert_true(hit(&f, "/health", 200));
	for (i = 0; i < 5000; i++) {
		snprintf(path, sizeof(path), "/%c%c%c/admin/%c.php", 'a' + i % 26,
			 'a' + i / 26 % 26, 'a' + i / 676, 'a' + i % 26);
		assert_true(hit(&f, path, 404));
	}
	for (i = 0; i < 30; i++) {
		snprintf(path, sizeof(path), "/page%c", 'a' + i % 26);
		assert_true(hit(&f, path, 200));
	}
	assert_int_equal(count_of(&f, "/{unmatched}"), 5000);
	assert_int_equal(count_of(&f, "/health"), 1);
	assert_int_equal(count_of(&f, "/pagea"), 2);
	assert_int_equal(total(&f, &rows), 5031);
	assert_int_equal(rows, 28);
	routes_release(&f.r);
}

static void test_few_missing_paths_stay(void **state)
{
	struct fixture f;

	(void)state;
	setup(&f, 40, 10000);
	assert_true(hit(&f, "/favicon.ico", 404));
	assert_true(hit(&f, "/missing", 404));
	assert_int_equal(count_of(&f, "/favicon.ico"), 1);
	assert_int_equal(count_of(&f, "/missing"), 1);
	routes_release(&f.r);
}

static void test_depth_is_bounded(void **state)
{
	struct fixture f;
	char path[4096];
	size_t i;

	(void)state;
	setup(&f, 40, 1000);
	for (i = 0; i + 2 < sizeof(path); i += 2)
		memcpy(path + i, "/d", 2);
	path[i] = '\0';
	assert_true(hit(&f, path, 200));
	assert_int_equal(count_of(&f, "/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/d/{rest}"), 1);
	assert_true(f.r.n <= ROUTE_DEPTH_MAX + 3);
	routes_release(&f.r);
}

/* Squeezing makes room by folding sooner, and adds up what it folds. */
static void test_squeeze(void **state)
{
	struct fixture f;
	char path[64];
	u32 rows, i, n = 0;

	(void)state;
	setup(&f, 40, 10000);
	for (i = 0; i < 30 * 30; i++) {
		snprintf(path, sizeof(path), "/t%c%c/r%c%c", 'a' + i % 30 % 26, 'a' + i % 30 / 26,
			 'a' + i / 30 % 26, 'a' + i / 30 / 26);
		assert_true(hit(&f, path, 200));
		n++;
	}
	assert_int_equal(total(&f, &rows), n);
	assert_int_equal(rows, 900);
	assert_true(routes_squeeze(&f.r));
	assert_int_equal(total(&f, &rows), n);
	assert_int_equal(rows, 1);
	assert_int_equal(count_of(&f, "/{name}/{name}"), n);
	while (routes_squeeze(&f.r))
		;
	assert_int_equal(f.r.fanout, 4);
	routes_release(&f.r);
}

static u32 rnd(u64 *seed)
{
	*seed = hash_u64(*seed + 0x9e3779b97f4a7c15ULL);
	return (u32)*seed;
}

static void random_run(u64 seed, struct buf *out, bool check)
{
	static const char alphabet[] = "/abAB01-_.:;@%{}\xff\x01 /";
	struct fixture f;
	u64 placed = 0;
	u32 i, j, rows;

	setup(&f, 4 + rnd(&seed) % 20, 20 + rnd(&seed) % 300);
	for (i = 0; i < 3000; i++) {
		char path[80];
		u32 n = rnd(&seed) % (sizeof(path) - 1);

		for (j = 0; j < n; j++)
			path[j] = rnd(&seed) % 3 ? alphabet[rnd(&seed) % (sizeof(alphabet) - 1)]
						 : '/';
		path[n] = '\0';
		placed += hit(&f, path, rnd(&seed) % 3 ? 200 : 404);
		if (rnd(&seed) % 500 == 0)
			routes_squeeze(&f.r);
	}
	if (check) {
		assert_int_equal(total(&f, &rows), placed);
		assert_true(f.r.n <= f.r.max + 2 * ROUTE_DEPTH_MAX);
	}
	i = 0;
	while ((j = routes_each(&f.r, &i)) != ROUTE_OTHER) {
		routes_text(&f.r, j, out);
		buf_addf(out, " %lu\n", (unsigned long)(uintptr_t)routes_peek(&f.r, j));
	}
	routes_release(&f.r);
}

/* Any bytes in any order: nothing lost or doubled, caps hold, and the same input gives the same. */
static void test_random_paths(void **state)
{
	u64 seed;

	(void)state;
	for (seed = 1; seed <= 40; seed++) {
		struct buf a = BUF_INIT, b = BUF_INIT;

		random_run(seed, &a, true);
		random_run(seed, &b, false);
		assert_true(a.n > 0);
		assert_true(slice_eq(buf_slice(&a), buf_slice(&b)));
		buf_release(&a);
		buf_release(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_segments_that_are_values),
		cmocka_unit_test(test_segments_that_are_words),
		cmocka_unit_test(test_long_segments_are_cut_down),
		cmocka_unit_test(test_paths_become_routes),
		cmocka_unit_test(test_wide_nodes_fold),
		cmocka_unit_test(test_frequent_segments_stay),
		cmocka_unit_test(test_folded_hits_still_count),
		cmocka_unit_test(test_scanners_do_not_pollute),
		cmocka_unit_test(test_few_missing_paths_stay),
		cmocka_unit_test(test_depth_is_bounded),
		cmocka_unit_test(test_squeeze),
		cmocka_unit_test(test_random_paths),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
