/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for the person at the terminal: one line each on standard error, "hostprof: …".
 * Only user/cmd and user/daemon call log_err/log_warn/log_info; library stages return errors and at
 * most log_debug. errno is preserved.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "base/types.h"

enum log_level {
	LOG_ERR,
	LOG_WARN,
	LOG_INFO,
	LOG_DEBUG
};

void log_set_level(enum log_level max);
void log_at(enum log_level level, const char *fmt, ...) PRINTF(2, 3);

#define log_err(...) log_at(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_at(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_at(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_DEBUG, __VA_ARGS__)

#endif
