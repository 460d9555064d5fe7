/* SPDX-License-Identifier: Apache-2.0 */
/* See capture.h. Written by the analyst, after masking. */
#include "decode/capture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

#define CAPTURE_BUF_BYTES (256 * 1024)
#define CAPTURE_MINOR 0

/* Room for the records that close a window: two of WINDOW, two of COST, a LOSS, some notes. */
#define CAPTURE_CLOSING_BYTES 4096

/* Kinds whose number grows with traffic: the first to be left out. */
static bool is_bulk(u32 kind)
{
	return kind == EV_DATA || kind == EV_CONT || kind == EV_SAMPLE || kind == EV_WAIT ||
	       kind == EV_TASK || kind == EV_STEP || kind == EV_SITE || kind == EV_CONN_OPEN ||
	       kind == EV_CONN_STATE || kind == EV_CONN_CLOSE;
}

static bool fits(const struct capture *c, const struct ev_hdr *rec)
{
	u64 most = c->max_bytes;

	if (rec->kind == EV_WINDOW || rec->kind == EV_COST)
		return true;
	if (c->closing && (rec->kind == EV_LOSS || rec->kind == EV_NOTE))
		return c->bytes + rec->size <= most;
	most -= MIN(most, CAPTURE_CLOSING_BYTES);
	if (is_bulk(rec->kind)) {
		most -= most / 8;
		return !c->full && c->bytes + rec->size <= most;
	}
	return c->bytes + rec->size <= most;
}

static void flush(struct capture *c)
{
	if (!c->err && c->n)
		c->err = fd_write_all(c->fd, c->buf, c->n);
	c->n = 0;
}

static void put(struct capture *c, const void *p, size_t n)
{
	if (c->err)
		return;
	if (c->n + n > CAPTURE_BUF_BYTES)
		flush(c);
	memcpy(c->buf + c->n, p, n);
	c->n += n;
	c->bytes += n;
}

int capture_create(struct capture *c, int dirfd, const char *name, u64 max_bytes, u32 flags)
{
	struct capture_header h = {
		.magic = CAPTURE_MAGIC,
		.major = HP_ABI_VERSION,
		.minor = CAPTURE_MINOR,
		.header_bytes = sizeof(h),
		.flags = flags,
		.version = HOSTPROF_VERSION,
	};

	memset(c, 0, sizeof(*c));
	c->max_bytes = max_bytes;
	c->buf = malloc(CAPTURE_BUF_BYTES);
	if (!c->buf)
		return -ENOMEM;
	c->fd = openat(dirfd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (c->fd < 0) {
		int err = -errno;

		free(c->buf);
		c->buf = NULL;
		return err;
	}
	put(c, &h, sizeof(h));
	return 0;
}

void capture_write(struct capture *c, const struct ev_hdr *rec)
{
	/* The collector tells its cost once, when the window is over. */
	c->closing |= rec->kind == EV_COST;
	if (!fits(c, rec)) {
		c->full |= is_bulk(rec->kind);
		c->left_out++;
		return;
	}
	put(c, rec, rec->size);
}

int capture_close(struct capture *c)
{
	if (!c->buf)
		return c->err;
	flush(c);
	if (close(c->fd) && !c->err)
		c->err = -errno;
	free(c->buf);
	c->buf = NULL;
	c->fd = -1;
	return c->err;
}

int capture_read_header(int fd, struct capture_header *ret)
{
	u8 skip[256];
	size_t left;
	int err;

	err = fd_read_all(fd, ret, sizeof(*ret));
	if (err)
		return err == -EPIPE ? -ENODATA : err;
	if (memcmp(ret->magic, CAPTURE_MAGIC, sizeof(ret->magic)))
		return -EINVAL;
	ret->version[sizeof(ret->version) - 1] = '\0';
	if (ret->major != HP_ABI_VERSION)
		return -EPROTONOSUPPORT;
	if (ret->header_bytes < sizeof(*ret) || ret->header_bytes > 4096)
		return -EINVAL;
	for (left = ret->header_bytes - sizeof(*ret); left;) {
		size_t n = left < sizeof(skip) ? left : sizeof(skip);

		err = fd_read_all(fd, skip, n);
		if (err)
			return err == -EPIPE ? -ENODATA : err;
		left -= n;
	}
	return 0;
}
