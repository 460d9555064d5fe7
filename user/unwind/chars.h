/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of runtimes, which keep them as Latin-1, UTF-16 or UTF-32, as printable UTF-8. */
#ifndef UNWIND_CHARS_H
#define UNWIND_CHARS_H

#include "base/buf.h"

/* One character; what would move a terminal's cursor or turn text round becomes a dot. */
void chars_add(struct buf *out, u32 c);

#endif
