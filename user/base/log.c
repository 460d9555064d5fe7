/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for the person at the terminal.
 *
 * Input: a level and a format. Output: one "hostprof: …" line on standard error in one write, so
 * that lines of the collector and the analyst never mix. Control bytes (a message may quote a
 * process name or a path of the target) are replaced, so that nothing reaches the terminal as an
 * escape sequence and a message stays one line.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/file.h"
#include "base/log.h"

static enum log_level log_max = LOG_INFO;

void log_set_level(enum log_level max)
{
	log_max = max;
}

void log_at(enum log_level level, const char *fmt, ...)
{
	static const char prefix[] = "hostprof: ";
	char line[2048];
	int saved = errno;
	size_t n = sizeof(prefix) - 1, i;
	va_list ap;
	int len;

	if (level > log_max)
		return;
	memcpy(line, prefix, n);
	errno = saved; /* %m */
	va_start(ap, fmt);
	len = vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	if (len > 0)
		n = MIN(n + (size_t)len, sizeof(line) - 1);
	for (i = 0; i < n; i++)
		if ((unsigned char)line[i] < 0x20 || line[i] == 0x7f)
			line[i] = '?';
	line[n] = '\n';
	fd_write_all(STDERR_FILENO, line, n + 1);
	errno = saved;
}
