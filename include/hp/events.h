/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/* All record kinds and drop reasons in one include; see events.def and drops.def. */
#ifndef HP_EVENTS_H
#define HP_EVENTS_H

#include "abi.h"
#include "ev_net.h"
#include "unwind.h"
#include "ev_cpu.h"
#include "ev_wait.h"
#include "ev_proc.h"
#include "ev_task.h"
#include "ev_site.h"

enum ev_kind {
#define EV(name, num, type, var) EV_##name = num,
#include "events.def"
#undef EV
	EV_KIND_MAX = 64,
};

enum hp_drop {
#define DROP(name, key, text) DROP_##name,
#include "drops.def"
#undef DROP
	DROP_MAX,
};

#define EV_ASSERT_ALIGNED(type)                                                                    \
	_Static_assert(sizeof(struct type) % 8 == 0, #type " is padded to 8")
#define EV(name, num, type, var) EV_ASSERT_ALIGNED(type);
#include "events.def"
#undef EV

#endif
