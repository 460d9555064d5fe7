/* SPDX-License-Identifier: Apache-2.0 */
/* Exit statuses of every command. Scripts rely on them: numbers never change. */
#ifndef BASE_EXIT_H
#define BASE_EXIT_H

enum exit_status {
	EXIT_OK = 0,
	EXIT_FAILED = 1,
	EXIT_USAGE = 2,
	EXIT_THRESHOLD = 3, /* a --fail-on expression or a regression */
	EXIT_NO_TARGET = 4, /* no such target, or it was gone before anything was seen */
	EXIT_PRIVILEGE = 5, /* privilege or kernel feature missing */
	EXIT_INCONCLUSIVE = 6,
	EXIT_ABORTED = 130, /* second Ctrl-C */
};

#endif
