/* SPDX-License-Identifier: Apache-2.0 */
/* Linker names as people write them. Inside the sym stage only. */
#ifndef SYM_DEMANGLE_H
#define SYM_DEMANGLE_H

#include "base/slice.h"

/*
 * C++ and Rust names without parameter lists, return types and hashes; other names as they are.
 * Compiler suffixes stay (".cold", ".isra.0") except ".llvm.N", which changes with every build;
 * symbol versions go. Writes at most cap bytes, control characters replaced, "..." where it was
 * cut, NUL behind; cap > 16. Returns the length.
 */
size_t demangle(const char *name, char *to, size_t cap);

/* Copies s printably under the same rules. */
size_t printable(struct slice s, char *to, size_t cap);

#endif
