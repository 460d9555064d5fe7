/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyword table: a word of a text in, its id and flags out.
 *
 * Words are found by hash of their first eight bytes and length; the slots are filled once at
 * program start from sql_words.def, so that nothing but the list of words has to be kept up.
 */
#include "proto/sql_lex.h"

#define SLOTS_BITS 10

static const struct {
	char text[24];
	u8 n;
	u8 flags;
} words[] = {
#define WORD(id, text, flags) [W_##id] = { text, sizeof(text) - 1, flags },
#include "proto/sql_words.def"
#undef WORD
};

_Static_assert(W_COUNT < 256, "ids of words fit into a byte");

static struct {
	u64 low;
	u8 n;
	u8 id; /* 0 = free */
} slots[1 << SLOTS_BITS];

static inline size_t slot_of(u64 low, size_t n)
{
	return (size_t)((low + n) * 0x9e3779b97f4a7c15ULL >> (64 - SLOTS_BITS));
}

static __attribute__((constructor)) void fill_slots(void)
{
	size_t id, i;

	for (id = 1; id < W_COUNT; id++) {
		u64 low = sql_load8((const u8 *)words[id].text);

		for (i = slot_of(low, words[id].n); slots[i].id;)
			i = (i + 1) % ARRAY_SIZE(slots);
		slots[i].low = low;
		slots[i].n = words[id].n;
		slots[i].id = (u8)id;
	}
}

enum sql_word sql_word_find(const struct sql_token *t, unsigned int *ret_flags)
{
	size_t i;

	for (i = slot_of(t->low, t->n); slots[i].id; i = (i + 1) % ARRAY_SIZE(slots)) {
		const u8 *text = (const u8 *)words[slots[i].id].text;

		if (slots[i].low != t->low || slots[i].n != t->n)
			continue;
		if (t->n > 8 && sql_lower8(t->p + 8, t->n - 8) != sql_load8(text + 8))
			continue;
		if (t->n > 16 && sql_lower8(t->p + 16, t->n - 16) != sql_load8(text + 16))
			continue;
		*ret_flags = words[slots[i].id].flags;
		return (enum sql_word)slots[i].id;
	}
	*ret_flags = 0;
	return W_NONE;
}
