/* SPDX-License-Identifier: Apache-2.0 */
/* See array.h. */
#include "base/array.h"

#include <stdlib.h>

bool array_room(void *array, u32 n, u32 *cap, u32 max, size_t size)
{
	void **p = array, *bigger;
	u32 want;

	if (n < *cap)
		return true;
	if (n >= max)
		return false;
	want = *cap ? *cap : ARRAY_FIRST / 2;
	want = want > max / 2 ? max : 2 * want;
	bigger = reallocarray(*p, want, size);
	if (!bigger)
		return false;
	*p = bigger;
	*cap = want;
	return true;
}
