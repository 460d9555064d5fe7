/* SPDX-License-Identifier: Apache-2.0 */
/* The profiles of a report, for who compares two of them; the files of one are rows of outs.c. */
#ifndef OUT_PROFILES_H
#define OUT_PROFILES_H

#include "agg/agg.h"
#include "base/buf.h"

enum profile_kind {
	PROFILE_CPU,
	PROFILE_WAITS,
	PROFILE_WAKERS,
	PROFILE_KINDS,
};

bool profile_recorded(const struct agg *agg, enum profile_kind kind);

/*
 * A flame page of what is more, less, new and gone in `after`. 0, -ENOMEM, -EINVAL (no tree), or -EDOM:
 * samples of the two do not stand for the same time.
 */
int profile_compare(const struct agg *before, const struct agg *after, enum profile_kind kind,
		    struct buf *out);

#endif
