/* SPDX-License-Identifier: Apache-2.0 */
/* The flame graph: what is drawn, what is left out, and that foreign names stay text. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <cjson/cJSON.h>
#include "base/cleanup.h"
#include "out/flame.h"

static const struct flame_head head = { "CPU <of> x", "3 samples", "samples" };

static const struct agg_node small[] = {
	{ .text = "all", .total = 10 },
	{ .text = "uvicorn", .parent = 0, .depth = 1, .total = 10 },
	{ .text = "main", .parent = 1, .depth = 2, .kind = HP_FRAME_PYTHON, .total = 6, .self = 2 },
	{ .text = "sys_read_[k]",
	  .parent = 2,
	  .depth = 3,
	  .kind = HP_FRAME_KERNEL,
	  .total = 4,
	  .self = 4 },
	{ .text = "main", .parent = 1, .depth = 2, .kind = HP_FRAME_NATIVE, .total = 4, .self = 4 },
};

static u32 occurrences(const struct buf *b, const char *what)
{
	u32 n = 0;
	const char *p;

	for (p = b->p; (p = strstr(p, what)); p += strlen(what))
		n++;
	return n;
}

/* The embedded tree; the caller deletes it. */
static cJSON *tree_of(const struct buf *b)
{
	const char *start = strstr(b->p, "id=\"hp-data\">"), *end;
	cJSON *json;

	assert_non_null(start);
	start += strlen("id=\"hp-data\">");
	end = strstr(start, "</script>");
	assert_non_null(end);
	json = cJSON_ParseWithLength(start, (size_t)(end - start));
	assert_non_null(json);
	return json;
}

static void draws_all_of_a_small_tree(void **state)
{
	static const int nodes[] = { 0, 10, 0, 1, 10, 1, 2, 6, 2, 3, 4, 3, 4, 4, 2 };
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json, *list;
	size_t i;

	(void)state;
	assert_int_equal(flame_svg(small, ARRAY_SIZE(small), &head, &b), 0);
	assert_int_equal(occurrences(&b, "<rect class=\"back wide\""), 2);
	/* Root, and the kernel frame at its place: 4 of 10 samples from the left edge. */
	assert_non_null(strstr(b.p, "<title>all · 10 samples, 100 %</title><rect x=\"0.0\""));
	assert_non_null(strstr(b.p, "<title>sys_read_[k] · 4 samples, 40.0 %</title>"
				    "<rect x=\"0.0\" y=\"117\" width=\"479.6\""));
	/* The second "main" begins where the first ends. */
	assert_non_null(strstr(b.p, "<title>main · 4 samples, 40.0 %</title>"
				    "<rect x=\"720.0\" y=\"100\" width=\"479.6\""));
	assert_non_null(strstr(b.p, "CPU &lt;of&gt; x"));

	json = tree_of(&b);
	list = cJSON_GetObjectItem(json, "nodes");
	assert_int_equal(cJSON_GetArraySize(list), ARRAY_SIZE(nodes));
	for (i = 0; i < ARRAY_SIZE(nodes); i++)
		assert_int_equal(cJSON_GetArrayItem(list, (int)i)->valueint, nodes[i]);
	/* Equal texts of different kinds stay two names. */
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "names")), 5);
	assert_int_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "kinds"), 2)->valuestring[0],
			 'p');
	assert_int_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "kinds"), 4)->valuestring[0],
			 'n');
	cJSON_Delete(json);
}

static void empty_profile(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(flame_svg(NULL, 0, &head, &b), 0);
	assert_non_null(strstr(b.p, "\"nodes\":[0,0,0]"));
	assert_non_null(strstr(b.p, "</svg>"));
}

static void hostile_names(void **state)
{
	static const char evil[] = "</script><script>alert(1)</script>]]>&\"'\\\x1b[2J\xff\n";
	struct agg_node nodes[] = {
		{ .text = "all", .total = 1 },
		{ .text = evil, .depth = 1, .total = 1, .self = 1, .kind = 77 },
	};
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json;

	(void)state;
	assert_int_equal(flame_svg(nodes, 2, &head, &b), 0);
	assert_int_equal(occurrences(&b, "<script>alert"), 0);
	assert_int_equal(occurrences(&b, "</script>"), 2);
	assert_int_equal(occurrences(&b, "]]>"), 1);
	assert_null(strchr(b.p, '\x1b'));
	assert_null(memchr(b.p, 0xff, b.n));
	json = tree_of(&b);
	assert_string_equal(cJSON_GetArrayItem(cJSON_GetObjectItem(json, "names"), 1)->valuestring,
			    "</script><script>alert(1)</script>]]>&\"'\\.[2J..");
	cJSON_Delete(json);
}

/* What is no tree is refused, not drawn. */
static void broken_trees(void **state)
{
	struct agg_node n[3];
	_release_(buf) struct buf b = BUF_INIT;
	const struct agg_node good[3] = { { .text = "all", .total = 2 },
					  { .text = "a", .depth = 1, .total = 2 },
					  { .text = "b", .depth = 2, .parent = 1, .total = 1 } };

	(void)state;
	memcpy(n, good, sizeof(n));
	assert_int_equal(flame_svg(n, 3, &head, &b), 0);
	n[2].depth = 3;
	assert_int_equal(flame_svg(n, 3, &head, &b), -EINVAL);
	memcpy(n, good, sizeof(n));
	n[2].depth = 0;
	assert_int_equal(flame_svg(n, 3, &head, &b), -EINVAL);
	memcpy(n, good, sizeof(n));
	n[2].parent = 2;
	assert_int_equal(flame_svg(n, 3, &head, &b), -EINVAL);
	memcpy(n, good, sizeof(n));
	n[2].total = 3;
	assert_int_equal(flame_svg(n, 3, &head, &b), -EINVAL);
}

/* A chain of a light and a heavy child at every depth, width leaves below each. */
static struct agg_node *big_tree(u32 n, u32 width, char (*names)[16])
{
	struct agg_node *nodes = calloc(n, sizeof(*nodes));
	u32 i;

	assert_non_null(nodes);
	for (i = 0; i < n; i++) {
		u32 leaf = i % width;

		snprintf(names[i], sizeof(names[i]), "f%u", i);
		nodes[i] = (struct agg_node){ .text = names[i], .kind = HP_FRAME_NATIVE };
		if (!i)
			continue;
		nodes[i].depth = leaf ? 2 : 1;
		nodes[i].parent = leaf ? i - leaf : 0;
		nodes[i].self = leaf ? 1 + i % 3 : 0;
	}
	nodes[0].depth = 0;
	for (i = 1; i < width && i < n; i++) {
		nodes[i].depth = 1;
		nodes[i].parent = 0;
	}
	for (i = n - 1; i; i--) {
		nodes[i].total += nodes[i].self;
		nodes[nodes[i].parent].total += nodes[i].total;
	}
	return nodes;
}

static void million_frames(void **state)
{
	enum {
		N = 1000 * 1000
	};
	char(*names)[16] = malloc(N * sizeof(*names));
	struct agg_node *nodes = big_tree(N, 1000, names);
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json;
	int kept;

	(void)state;
	assert_int_equal(flame_svg(nodes, N, &head, &b), 0);
	assert_true(b.n < 8 * 1024 * 1024);
	assert_true(occurrences(&b, "<g class=") <= FLAME_DRAWN_MAX);
	assert_non_null(strstr(b.p, "frames under"));
	json = tree_of(&b);
	kept = cJSON_GetArraySize(cJSON_GetObjectItem(json, "nodes")) / 3;
	assert_in_range(kept, 2, FLAME_KEPT_MAX);
	cJSON_Delete(json);
	free(nodes);
	free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(draws_all_of_a_small_tree),
		cmocka_unit_test(empty_profile),
		cmocka_unit_test(hostile_names),
		cmocka_unit_test(broken_trees),
		cmocka_unit_test(million_frames),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
