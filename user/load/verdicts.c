/* SPDX-License-Identifier: Apache-2.0 */
/* See verdicts.h. Called by the collector for every verdict that the analyst sends. */
#include "load/verdicts.h"

#include <errno.h>
#include <string.h>

/*
 * No verdict yet: enough for any protocol to be recognised and its first exchange to be parsed. The
 * programs stop carrying after a budget per direction, so a fast transfer cannot flood the ring.
 */
const struct hp_verdict verdict_default = {
	.capture = HP_CAPTURE_DEFAULT,
	.turn_max = { HP_PAYLOAD_MAX, HP_PAYLOAD_MAX },
	.more_max = { HP_HEAD_MAX, HP_HEAD_MAX },
	.iov_max = { 1024, 1024 },
	/* An HTTP answer behind another one (103, 200): too late for the budget, too early for a verdict. */
	.start_len = { 7, 7 },
	.start = { "HTTP/1.", "HTTP/1." },
};

void verdicts_init(struct verdicts *t)
{
	memset(t, 0, sizeof(*t));
	t->rows[0] = verdict_default;
	t->n = 1;
}

int verdicts_intern(struct verdicts *t, const struct hp_verdict *v, u32 *ret_num, bool *ret_fresh)
{
	u32 i;

	for (i = 0; i < t->n; i++) {
		if (memcmp(&t->rows[i], v, sizeof(*v)) == 0) {
			*ret_num = i;
			*ret_fresh = false;
			return 0;
		}
	}
	if (t->n == VERDICTS_MAX)
		return -ENOSPC;
	t->rows[t->n] = *v;
	*ret_num = t->n++;
	*ret_fresh = true;
	return 0;
}
