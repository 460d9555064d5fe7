/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyword table: a word of a text in, its id and flags out.
 *
 * Words are found by hash of their first eight bytes and length; the slots are filled once at
 * program start from sql_words.def, so that nothing but the list of words has to be kept up.
 */
#include "proto/sql_lex.h"

#define SLOTS_BITS 10

static struct word {
	u8 text[24];
	u8 n;
	u8 flags;
	u64 low; /* as in struct sql_token */
	u64 low2;
} words[] = {
#define WORD(id, text, flags) [W_##id] = { text, sizeof(text) - 1, flags, 0, 0 },
#include "proto/sql_words.def"
#undef WORD
};

_Static_assert(W_COUNT < 256, "ids of words fit into a byte");

static u8 slots[1 << SLOTS_BITS]; /* ids, 0 = free */

static inline size_t slot_of(u64 low, size_t n)
{
	return (size_t)((low + n) * 0x9e3779b97f4a7c15ULL >> (64 - SLOTS_BITS));
}

static __attribute__((constructor)) void fill_slots(void)
{
	size_t id, i;

	for (id = 1; id < W_COUNT; id++) {
		struct word *w = &words[id];

		w->low = sql_load8(w->text);
		w->low2 = sql_load8(w->text + 8);
		for (i = slot_of(w->low, w->n); slots[i];)
			i = (i + 1) % ARRAY_SIZE(slots);
		slots[i] = (u8)id;
	}
}

enum sql_word sql_word_find(const struct sql_token *t, unsigned int *ret_flags)
{
	size_t i;

	for (i = slot_of(t->low, t->n); slots[i]; i = (i + 1) % ARRAY_SIZE(slots)) {
		const struct word *w = &words[slots[i]];

		if (w->low != t->low || w->n != t->n || w->low2 != t->low2)
			continue;
		if (t->n > 16 && sql_lower8(t->p + 16, t->n - 16) != sql_load8(w->text + 16))
			continue;
		*ret_flags = w->flags;
		return (enum sql_word)slots[i];
	}
	*ret_flags = 0;
	return W_NONE;
}
