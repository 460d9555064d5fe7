/* SPDX-License-Identifier: Apache-2.0 */
/* See stream.h. */
#include "decode/stream.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "decode/record.h"

int stream_init(struct stream *s, int fd)
{
	memset(s, 0, sizeof(*s));
	s->fd = fd;
	s->buf = aligned_alloc(64, STREAM_BUF_BYTES);
	return s->buf ? 0 : -ENOMEM;
}

void stream_release(struct stream *s)
{
	free(s->buf);
	s->buf = NULL;
}

/* 1: some bytes came, 0: end, or -errno. */
static int fill(struct stream *s)
{
	ssize_t got;

	if (s->eof)
		return 0;
	/* Sizes are multiples of 8, so records stay aligned when they move to the front. */
	if (s->off && STREAM_BUF_BYTES - s->n < HP_RECORD_MAX) {
		memmove(s->buf, s->buf + s->off, s->n - s->off);
		s->n -= s->off;
		s->off = 0;
	}
	do {
		got = read(s->fd, s->buf + s->n, STREAM_BUF_BYTES - s->n);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (!got) {
		s->eof = true;
		return 0;
	}
	s->n += got;
	return 1;
}

int stream_next(struct stream *s, struct ev_hdr **ret)
{
	size_t size = 0;
	int err;

	for (;;) {
		err = record_check(s->buf + s->off, s->n - s->off, &size);
		if (!err) {
			*ret = (struct ev_hdr *)(s->buf + s->off);
			s->off += size;
			s->records++;
			return 1;
		}
		if (err == -EBADMSG) {
			s->off += size;
			s->bad++;
			continue;
		}
		if (err != -EAGAIN)
			return err;
		if (s->off == s->n)
			s->off = s->n = 0;
		err = fill(s);
		if (err < 0)
			return err;
		if (!err)
			return s->off == s->n ? 0 : -ENODATA;
	}
}

bool stream_ready(const struct stream *s)
{
	struct pollfd fd = { .fd = s->fd, .events = POLLIN };
	size_t size;

	if (s->eof || record_check(s->buf + s->off, s->n - s->off, &size) != -EAGAIN)
		return true;
	return poll(&fd, 1, 0) != 0;
}
