/* SPDX-License-Identifier: Apache-2.0 */
/* A capture that the user names, for the commands that read one. */
#ifndef CMD_CAPTUREFILE_H
#define CMD_CAPTUREFILE_H

#include "cmd/analyst.h"

/*
 * Opens a capture, or the one in a report directory, reads its header and sets what it says in ret:
 * stream_fd (the caller's to close) and what was recorded. 0 or -errno, which was logged.
 */
int capturefile_open(const char *path, struct analyst_opts *ret);

#endif
