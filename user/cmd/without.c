/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --without FEATURE, second half: the words against the feature table.
 *
 * Input: what the option collected, lists separated by commas. Output: features forced off for this process, or one line with
 * all the words there are. Apart from the option rows, which know nothing of the kernel and are
 * tested without it.
 */
#include "cmd/without.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/exit.h"
#include "base/log.h"
#include "load/feat.h"

static bool apply_word(const char *word, int *ret_status)
{
	_release_(buf) struct buf keys = BUF_INIT;

	if (!feat_force_off(word))
		return true;
	feat_keys(&keys);
	log_err("--without: '%.40s' is no feature; choose from %s", word, keys.p ? keys.p : "");
	*ret_status = EXIT_USAGE;
	return false;
}

bool without_apply(const struct without *w, int *ret_status)
{
	u32 i;

	for (i = 0; i < w->n; i++) {
		_free_ char *copy = strdup(w->keys[i]);
		char *word, *rest = copy;

		if (!copy) {
			log_err("out of memory");
			*ret_status = EXIT_FAILED;
			return false;
		}
		while ((word = strsep(&rest, ",")))
			if (!apply_word(word, ret_status))
				return false;
	}
	return true;
}
