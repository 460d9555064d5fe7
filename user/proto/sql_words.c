/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyword table: a word of a text in, its id and flags out.
 *
 * Words are grouped by first letter (sql_words.def) and compared eight bytes at a time. That is half
 * a dozen comparisons for a word that looks like a keyword and none for most identifiers, which
 * is all the speed that is needed and asks for no generated table.
 */
#include <endian.h>
#include <string.h>
#include "proto/sql_lex.h"

static const struct {
	char text[24];
	u8 n;
	u8 flags;
} words[] = {
#define WORD(id, text, flags) [W_##id] = { text, sizeof(text) - 1, flags },
#define LETTER(c)
#include "proto/sql_words.def"
#undef WORD
#undef LETTER
};

static const u8 first_of[27] = {
#define WORD(id, text, flags)
#define LETTER(c) W_FIRST_##c,
#include "proto/sql_words.def"
	W_COUNT
};

_Static_assert(W_COUNT < 256, "ids of words fit into a byte");

static u64 load(const void *p, size_t n)
{
	u64 v = 0;

	memcpy(&v, p, n);
	return v;
}

/* Upper-case ASCII to lower case in all eight bytes; bytes from 0x80 stay. */
static u64 lower(u64 v)
{
	u64 low7 = v & 0x7f7f7f7f7f7f7f7fULL;
	u64 from_a = low7 + 0x3f3f3f3f3f3f3f3fULL, past_z = low7 + 0x2525252525252525ULL;

	return v | ((from_a & ~past_z & ~v & 0x8080808080808080ULL) >> 2);
}

u64 sql_lower8(const u8 *p, size_t n)
{
	u64 v;

	/* Two loads that may overlap: a copy of variable length costs a call. */
	if (n >= 8) {
		v = load(p, 8);
	} else if (n >= 4) {
		v = le64toh(load(p, 4)) | le64toh(load(p + n - 4, 4)) << (8 * (n - 4));
		v = htole64(v);
	} else if (n >= 2) {
		v = le64toh(load(p, 2)) | le64toh(load(p + n - 2, 2)) << (8 * (n - 2));
		v = htole64(v);
	} else {
		v = n ? load(p, 1) : 0;
	}
	return lower(le64toh(v));
}

enum sql_word sql_word_find(const u8 *p, size_t n, u64 low, unsigned int *ret_flags)
{
	unsigned int letter = (unsigned int)(low & 0xff) - 'a', i;

	*ret_flags = 0;
	if (letter >= 26)
		return W_NONE;
	for (i = first_of[letter]; i < first_of[letter + 1]; i++) {
		const char *text = words[i].text;

		if (words[i].n != n || le64toh(load(text, 8)) != low)
			continue;
		if (n > 8 && sql_lower8(p + 8, n - 8) != le64toh(load(text + 8, 8)))
			continue;
		if (n > 16 && sql_lower8(p + 16, n - 16) != le64toh(load(text + 16, 8)))
			continue;
		*ret_flags = words[i].flags;
		return (enum sql_word)i;
	}
	return W_NONE;
}
