/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The capture file: a header, then masked records exactly as the stream has them.
 *
 * A whole capture ends with a WINDOW record of kind HP_WINDOW_END. One without was cut short (disk,
 * kill) and still reports what is whole. The file never grows past max_bytes: records that grow with
 * traffic are left out first, all of them from there on, then those that grow with time; the few
 * that close the window always go in.
 */
#ifndef DECODE_CAPTURE_H
#define DECODE_CAPTURE_H

#include "base/types.h"
#include "hp/events.h"

#define CAPTURE_MAGIC "HPCAP\r\n\x1a"

struct capture_header {
	char magic[8];
	u16 major; /* HP_ABI_VERSION: records of another major version cannot be read */
	u16 minor;
	u32 header_bytes; /* the first record begins here */
	u32 flags; /* enum capture_flags */
	u32 pad0;
	char version[32]; /* of the hostprof that wrote it; NUL-padded */
	u8 pad1[8];
};
_Static_assert(sizeof(struct capture_header) == 64, "the capture header is a file format");

enum capture_flags {
	CAPTURE_LITERALS = 1, /* nothing was masked (--show-literals) */
	CAPTURE_NO_HTTP = 2, /* not parsed: a replay does not either */
	CAPTURE_NO_DB = 4,
};

struct capture {
	int fd; /* owned */
	u8 *buf;
	size_t n;
	u64 bytes; /* written or buffered */
	u64 max_bytes;
	u64 left_out; /* records not written for max_bytes */
	bool full; /* no more bulk */
	bool closing; /* the window is over: what comes now is told once */
	int err; /* first write error, -errno: nothing is written after it */
};

/* Creates name in dirfd (0600, must not exist) and writes the header. */
int capture_create(struct capture *c, int dirfd, const char *name, u64 max_bytes, u32 flags);
/* A checked, masked record. Errors are kept in c->err. */
void capture_write(struct capture *c, const struct ev_hdr *rec);
/* Flushes and closes; 0 or the first error. */
int capture_close(struct capture *c);

/*
 * Reads and checks the header from fd. 0; -ENODATA too short, -EINVAL not a capture,
 * -EPROTONOSUPPORT another version (then *ret is filled).
 */
int capture_read_header(int fd, struct capture_header *ret);

#endif
