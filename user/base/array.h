/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room at the end of an array that grows by doubling, up to a bound. The array is the caller's: a pointer
 * to its first element (NULL at first), how many are in it and how many there is room for; it frees it.
 */
#ifndef BASE_ARRAY_H
#define BASE_ARRAY_H

#include "base/types.h"

#define ARRAY_FIRST 64 /* elements that the first allocation has room for, if max allows */

/*
 * Makes room for element n of at most max. array: address of the pointer to the first element, which may
 * move; size: of an element. False: n == max or no memory, and nothing has changed.
 */
bool array_room(void *array, u32 n, u32 *cap, u32 max, size_t size);

#endif
