/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the record stream from a descriptor: the socket from the collector, or a capture file.
 *
 * The spine: everything behind it behaves the same whichever it is. Records come in place from one
 * buffer, may be written to (masking does), and are valid until the next call.
 */
#ifndef DECODE_STREAM_H
#define DECODE_STREAM_H

#include "base/types.h"
#include "hp/events.h"

#define STREAM_BUF_BYTES (512 * 1024)

struct stream {
	int fd; /* not owned */
	u8 *buf;
	size_t n; /* bytes in buf */
	size_t off; /* of the next record */
	u64 records;
	u64 bad; /* records that failed their checks and were skipped */
	bool eof;
};

int stream_init(struct stream *s, int fd); /* 0 or -ENOMEM */
void stream_release(struct stream *s);

/*
 * 1 and *ret: the next record. 0: the stream ended between records. -EAGAIN: nothing there now (a
 * non-blocking descriptor). -ENODATA: it ended inside a record. -EPROTO: the bytes are no records
 * from here on. Other -errno: reading failed.
 */
int stream_next(struct stream *s, struct ev_hdr **ret);
/* Would stream_next() answer at once? */
bool stream_ready(const struct stream *s);

#endif
