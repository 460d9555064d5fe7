/* SPDX-License-Identifier: Apache-2.0 */
/* --without FEATURE: what attach and doctor do with the words that it was given. */
#ifndef CMD_WITHOUT_H
#define CMD_WITHOUT_H

#include "cmd/common_opts.h"

/* Forces the features off, before anything is probed. False: over with *ret_status, an error logged. */
bool without_apply(const struct without *w, int *ret_status);

#endif
