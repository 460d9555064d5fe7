/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --without FEATURE, second half: the words against the feature table.
 *
 * Input: what the option collected. Output: features forced off for this process, or one line with
 * all the words there are. Apart from the option rows, which know nothing of the kernel and are
 * tested without it.
 */
#include "cmd/without.h"

#include "base/cleanup.h"
#include "base/exit.h"
#include "base/log.h"
#include "load/feat.h"

bool without_apply(const struct without *w, int *ret_status)
{
	_release_(buf) struct buf keys = BUF_INIT;
	u32 i;

	for (i = 0; i < w->n; i++) {
		if (!feat_force_off(w->keys[i]))
			continue;
		feat_keys(&keys);
		log_err("--without: '%.40s' is no feature; choose from %s", w->keys[i],
			keys.p ? keys.p : "");
		*ret_status = EXIT_USAGE;
		return false;
	}
	return true;
}
