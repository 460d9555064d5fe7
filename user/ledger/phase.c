/* SPDX-License-Identifier: Apache-2.0 */
/* See phase.h. */
#include "ledger/phase.h"

static const struct {
	const char *key;
	const char *text;
} phases[PHASES] = {
#define PHASE(name, key, text) { key, text },
#include "ledger/phase.def"
#undef PHASE
};

const char *phase_key(enum phase p)
{
	return phases[p].key;
}

const char *phase_text(enum phase p)
{
	return phases[p].text;
}
