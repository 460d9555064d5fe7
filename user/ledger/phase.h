/* SPDX-License-Identifier: Apache-2.0 */
/* The phases of a request, see phase.def. */
#ifndef LEDGER_PHASE_H
#define LEDGER_PHASE_H

enum phase {
#define PHASE(name, key, text) PHASE_##name,
#include "ledger/phase.def"
#undef PHASE
	PHASES,
};

const char *phase_key(enum phase p); /* "loop_wait" */
const char *phase_text(enum phase p); /* "waiting for the event loop, which others held" */

#endif
