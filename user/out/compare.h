/* SPDX-License-Identifier: Apache-2.0 */
/* What differs between two reports, as text. */
#ifndef OUT_COMPARE_H
#define OUT_COMPARE_H

#include "agg/agg.h"
#include "base/buf.h"

/* Of the profiles that both have; nothing when there is none. 0 or -ENOMEM. */
int compare_text(const struct agg *before, const struct agg *after, struct buf *out);

#endif
