/* SPDX-License-Identifier: Apache-2.0 */
/* See capturefile.h. */
#include "cmd/capturefile.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "decode/capture.h"

static void open_error(const char *path, int err)
{
	if (err == -EACCES && geteuid())
		log_err("cannot open '%s': %s; a report belongs to who ran attach, to root without "
			"sudo: use sudo, or 'sudo chown -R \"$USER\" DIR' its directory",
			path, strerror(-err));
	else
		log_err("cannot open '%s': %s", path, strerror(-err));
}

/* A capture, or a directory that holds one. A descriptor or -errno. */
static int open_capture(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY | O_CLOEXEC), inner;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st) || !S_ISDIR(st.st_mode))
		return fd;
	inner = openat(fd, OUT_CAPTURE_FILE, O_RDONLY | O_CLOEXEC);
	if (inner < 0)
		inner = -errno;
	close(fd);
	return inner;
}

static void header_error(const char *path, int err, const struct capture_header *h)
{
	switch (err) {
	case -EINVAL:
		log_err("'%s' is no hostprof capture", path);
		break;
	case -ENODATA:
		log_err("'%s' is too short to be a hostprof capture", path);
		break;
	case -EPROTONOSUPPORT:
		log_err("'%s' was written by hostprof %s in format %u; this one reads format %u",
			path, h->version, h->major, HP_ABI_VERSION);
		break;
	default:
		log_err("cannot read '%s': %s", path, strerror(-err));
	}
}

int capturefile_open(const char *path, struct analyst_opts *ret)
{
	struct capture_header header = { 0 };
	_close_ int fd = open_capture(path);
	int err;

	if (fd < 0) {
		open_error(path, fd);
		return fd;
	}
	err = capture_read_header(fd, &header);
	if (err) {
		header_error(path, err, &header);
		return err;
	}
	ret->show_literals = header.flags & CAPTURE_LITERALS;
	ret->no_http = header.flags & CAPTURE_NO_HTTP;
	ret->no_db = header.flags & CAPTURE_NO_DB;
	ret->stream_fd = take_fd(fd);
	return 0;
}
