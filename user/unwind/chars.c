/* SPDX-License-Identifier: Apache-2.0 */
/* See chars.h. */
#include "unwind/chars.h"

/* What would move a terminal's cursor or turn text round: C0, DEL, C1, marks of direction. */
static bool is_printable(u32 c)
{
	return !(c < ' ' || (c >= 0x7f && c < 0xa0) || (c >= 0xd800 && c < 0xe000) ||
		 (c >= 0x200b && c <= 0x200f) || (c >= 0x2028 && c <= 0x202e) ||
		 (c >= 0x2066 && c <= 0x2069) || c == 0xfeff || c > 0x10ffff);
}

void chars_add(struct buf *out, u32 c)
{
	if (!is_printable(c))
		c = '.';
	if (c < 0x80) {
		buf_addch(out, (char)c);
		return;
	}
	if (c < 0x800) {
		buf_addch(out, (char)(0xc0 | c >> 6));
	} else {
		if (c < 0x10000) {
			buf_addch(out, (char)(0xe0 | c >> 12));
		} else {
			buf_addch(out, (char)(0xf0 | c >> 18));
			buf_addch(out, (char)(0x80 | (c >> 12 & 0x3f)));
		}
		buf_addch(out, (char)(0x80 | (c >> 6 & 0x3f)));
	}
	buf_addch(out, (char)(0x80 | (c & 0x3f)));
}
