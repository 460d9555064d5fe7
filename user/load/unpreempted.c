/* SPDX-License-Identifier: Apache-2.0 */
/* See unpreempted.h. */
#include "load/unpreempted.h"

#include <sched.h>

struct unpreempted unpreempted_begin(bool wanted)
{
	struct sched_param first = { .sched_priority = 1 };
	int policy = wanted ? sched_getscheduler(0) : -1;

	if (policy < 0 || (policy & ~SCHED_RESET_ON_FORK) != SCHED_OTHER ||
	    sched_setscheduler(0, SCHED_FIFO | (policy & SCHED_RESET_ON_FORK), &first))
		policy = -1;
	return (struct unpreempted){ .policy = policy };
}

void unpreempted_release(struct unpreempted *u)
{
	const struct sched_param none = { 0 };

	if (u->policy >= 0)
		sched_setscheduler(0, u->policy, &none);
}
