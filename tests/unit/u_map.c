/* SPDX-License-Identifier: Apache-2.0 */
/* base/map: against a plain array as model, the bound, deletion while walking, the byte hash. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/map.h"

#define KEYS 512

static u64 rnd(u64 *s)
{
	*s += 0x9e3779b97f4a7c15ULL;
	return hash_u64(*s);
}

/* Few keys and many operations: runs form, wrap round the end and are torn by deletions. */
static void t_model(void **state)
{
	u64 model[KEYS], seed = 1;
	bool in[KEYS] = { false };
	struct map m;
	size_t n = 0;
	int op;

	(void)state;
	map_init(&m, KEYS);
	for (op = 0; op < 200000; op++) {
		u64 r = rnd(&seed), k = r % KEYS, v = r >> 32;
		/* Spread some keys over all 64 bits, 0 included. */
		u64 key = k & 1 ? k : k * 0x123456789abcdefULL, *got;

		if ((r >> 16) % 3) {
			assert_int_equal(map_put(&m, key, v), 0);
			n += !in[k];
			in[k] = true;
			model[k] = v;
		} else {
			assert_int_equal(map_del(&m, key), in[k]);
			n -= in[k];
			in[k] = false;
		}
		assert_int_equal(m.n, n);
		got = map_find(&m, key);
		assert_int_equal(got != NULL, in[k]);
		if (got)
			assert_int_equal(*got, model[k]);
	}
	for (op = 0; op < KEYS; op++) {
		u64 key = op & 1 ? (u64)op : (u64)op * 0x123456789abcdefULL;

		assert_int_equal(map_find(&m, key) != NULL, in[op]);
	}
	map_release(&m);
}

static void t_bound(void **state)
{
	struct map m;
	u64 i;

	(void)state;
	map_init(&m, 100);
	assert_null(map_find(&m, 0));
	assert_false(map_del(&m, 0));
	for (i = 0; i < 100; i++)
		assert_int_equal(map_put(&m, i, i), 0);
	assert_int_equal(map_put(&m, 100, 1), -ENOSPC);
	assert_int_equal(map_put(&m, 99, 7), 0);
	assert_int_equal(*map_find(&m, 99), 7);
	assert_true(map_del(&m, 0));
	assert_int_equal(map_put(&m, 100, 1), 0);
	map_clear(&m);
	assert_int_equal(m.n, 0);
	assert_null(map_find(&m, 99));
	map_release(&m);
	map_init(&m, 0);
	assert_int_equal(map_put(&m, 1, 1), -ENOSPC);
	map_release(&m);
}

/* Every entry is given once, also when each second one is deleted at the moment it is given. */
static void t_walk(void **state)
{
	u64 seed;

	(void)state;
	for (seed = 1; seed < 300; seed++) {
		size_t want = seed % 90, i, seen = 0, left;
		u64 s = seed, sum = 0, got = 0;
		struct map_slot *slot;
		struct map m;

		map_init(&m, 1000);
		for (i = 0; i < want; i++) {
			u64 k = rnd(&s);

			assert_int_equal(map_put(&m, k, 1), 0);
			sum += k;
		}
		for (i = 0; (slot = map_each(&m, &i));) {
			u64 key = slot->key;

			got += key;
			seen++;
			if (seen & 1)
				assert_true(map_del(&m, key));
		}
		assert_int_equal(seen, want);
		assert_int_equal(got, sum);
		left = 0;
		for (i = 0; map_each(&m, &i);)
			left++;
		assert_int_equal(left, want / 2);
		assert_int_equal(m.n, left);
		map_release(&m);
	}
}

/* Ids in reports are made of it: these values may never change. */
static void t_hash_stable(void **state)
{
	(void)state;
	assert_int_equal(hash_bytes("", 0, 0), 0x5380e3545c4f0aeaULL);
	assert_int_equal(hash_bytes("a", 1, 0), 0xc9d272c2d022b9e9ULL);
	assert_int_equal(hash_bytes("GET /posts/{id}", 15, 7), 0xe2e625f3e28d68b0ULL);
}

static int cmp_u64(const void *a, const void *b)
{
	u64 x = *(const u64 *)a, y = *(const u64 *)b;

	return x < y ? -1 : x > y;
}

/* One flipped input bit flips each output bit about half the time; no collisions in 2^17 texts. */
static void t_hash_good(void **state)
{
	enum {
		N = 1 << 17,
		TRIALS = 400
	};
	static unsigned flips[64];
	u64 *h = malloc(N * sizeof(*h)), seed = 5;
	char text[64];
	int i, j, bit;

	(void)state;
	assert_non_null(h);
	for (i = 0; i < N; i++)
		h[i] = hash_bytes(text, (size_t)snprintf(text, sizeof(text), "q%d", i), 0);
	qsort(h, N, sizeof(*h), cmp_u64);
	for (i = 1; i < N; i++)
		assert_true(h[i] != h[i - 1]);
	free(h);
	for (i = 0; i < TRIALS; i++) {
		unsigned char in[24];
		size_t n = 1 + rnd(&seed) % sizeof(in);
		u64 a, d;

		for (j = 0; j < (int)n; j++)
			in[j] = (unsigned char)rnd(&seed);
		a = hash_bytes(in, n, 0);
		bit = (int)(rnd(&seed) % (n * 8));
		in[bit / 8] ^= (unsigned char)(1 << bit % 8);
		d = a ^ hash_bytes(in, n, 0);
		for (j = 0; j < 64; j++)
			flips[j] += d >> j & 1;
	}
	/* 200 expected, standard deviation 10. */
	for (j = 0; j < 64; j++)
		assert_in_range(flips[j], 150, 250);
	/* Length counts: zero bytes are not nothing. */
	assert_true(hash_bytes("\0\0", 1, 0) != hash_bytes("\0\0", 2, 0));
	assert_true(hash_bytes("x", 1, 0) != hash_bytes("x", 1, 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_model),     cmocka_unit_test(t_bound),
		cmocka_unit_test(t_walk),      cmocka_unit_test(t_hash_stable),
		cmocka_unit_test(t_hash_good),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
