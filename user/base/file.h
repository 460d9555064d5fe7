/* SPDX-License-Identifier: Apache-2.0 */
/* Whole-file helpers with bounds. All return 0 or -errno unless said otherwise. */
#ifndef BASE_FILE_H
#define BASE_FILE_H

#include "base/buf.h"

/* Appends at most max bytes of the file to out; -EFBIG when there is more. Works on procfs. */
int file_read(const char *path, struct buf *out, size_t max);
int file_read_at(int dirfd, const char *path, struct buf *out, size_t max);
/* All of n bytes, through EINTR and short writes. */
int fd_write_all(int fd, const void *p, size_t n);
int fd_read_all(int fd, void *p, size_t n); /* -EPIPE when it ends early */
u64 clock_mono_ns(void);
u64 clock_unix_ns(void);
/* "500ms" "30s" "5m" "2h", a bare number is seconds; *ret_ns; -EINVAL on anything else. */
int parse_duration(const char *s, u64 *ret_ns);
/* "64MiB" "10k" "512"; *ret_bytes; -EINVAL on anything else. */
int parse_bytes(const char *s, u64 *ret_bytes);

#endif
