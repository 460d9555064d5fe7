/* SPDX-License-Identifier: Apache-2.0 */
/* See answers.h. Nothing here trusts a request: each is checked by what it leads to. */
#include "load/answers.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "decode/channel.h"
#include "load/load.h"
#include "load/procdir.h"
#include "load/procfs.h"
#include "load/unwinder.h"

static int open_debug(const struct chan_request *req)
{
	static const char root[] = "/usr/lib/debug/";
	char path[sizeof(req->path) + 32];
	int fd;

	if (strncmp(req->path, root, sizeof(root) - 1) || strstr(req->path, ".."))
		return -EINVAL;
	snprintf(path, sizeof(path), "/proc/%u/root%s", req->tgid, req->path);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd < 0)
		fd = open(req->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Of a target's memory only, and all that was asked for or nothing. */
static void serve_memory(const struct answers *a, const struct chan_request *req)
{
	u8 buf[CHAN_READ_MAX];
	u64 n = req->end - req->start;
	struct iovec to = { buf, n }, from = { (void *)req->start, n };
	ssize_t got;

	if (!n || n > sizeof(buf)) {
		chan_answer_number(a->chan_fd, -EINVAL);
		return;
	}
	if (!a->unwinder || !unwinder_knows(a->unwinder, req->tgid)) {
		chan_answer_number(a->chan_fd, -ESRCH);
		return;
	}
	got = process_vm_readv((pid_t)req->tgid, &to, 1, &from, 1, 0);
	if (got < 0 && errno == ESRCH)
		got = process_vm_readv((pid_t)procdir_live(req->tgid), &to, 1, &from, 1, 0);
	if (got == (ssize_t)n)
		chan_answer_bytes(a->chan_fd, buf, n);
	else
		chan_answer_number(a->chan_fd, got < 0 ? -errno : -EFAULT);
}

/* Takes the descriptor. False: the request is another one. */
static bool serve_unwind(const struct answers *a, const struct chan_request *req, int file)
{
	_close_ int owned = file;
	int number = -EINVAL;

	if (req->type == CHAN_READ_MEMORY) {
		serve_memory(a, req);
		return true;
	}
	if (req->type != CHAN_UNWIND_TABLE && req->type != CHAN_UNWIND_MAP &&
	    req->type != CHAN_PYTHON && req->type != CHAN_CODE)
		return false;
	if (!a->unwinder)
		number = -EOPNOTSUPP;
	else if (req->type == CHAN_UNWIND_MAP)
		number = unwinder_bind(a->unwinder, req);
	else if (req->type == CHAN_CODE)
		number = unwinder_code(a->unwinder, req);
	else if (req->type == CHAN_PYTHON)
		number = unwinder_python(a->unwinder, req);
	else if (owned >= 0)
		number = unwinder_table(a->unwinder, owned);
	chan_answer_number(a->chan_fd, number);
	return true;
}

/* Where nothing is hooked the ladder has said so; and a process may end meanwhile. */
static void note_hook(struct answers *a, u32 tgid, int err)
{
	if (!err || err == -EOPNOTSUPP || (kill((pid_t)tgid, 0) && errno == ESRCH))
		return;
	a->unhooked++;
	a->hook_err = err;
}

static void hook_python(struct answers *a, const struct chan_request *req)
{
	_close_ int fd = procfs_open_mapping(req->tgid, req->start, req->end, slice_str(req->path),
					     req->inode);
	u32 i;

	for (i = 0; i < PY_SITES; i++)
		if (req->sites[i])
			note_hook(a, req->tgid,
				  fd < 0 ? fd
					 : probes_hook_python(a->probes, req->tgid, fd, i,
							      req->sites[i]));
}

/* Where the worker functions are not known, what the threads do stays unbound; the rest is as it was. */
static void tell_worker(struct answers *a, const struct chan_request *req)
{
	note_hook(a, req->tgid,
		  probes_python_worker(a->probes, req->tgid, req->start, req->bias, req->flags));
}

bool answers_note(const struct answers *a, char *text, size_t size)
{
	if (!a->unhooked)
		return false;
	snprintf(
		text, size,
		"%u function%s of Python could not be hooked (%s): calls of these processes' tasks "
		"and threads may be bound to no request",
		a->unhooked, a->unhooked == 1 ? "" : "s", strerror(-a->hook_err));
	return true;
}

int answers_serve(struct answers *a)
{
	struct chan_request req;
	int err, fd, file;

	while ((err = chan_receive_file(a->chan_fd, &req, &file)) == 1) {
		if (serve_unwind(a, &req, file))
			continue;
		switch (req.type) {
		case CHAN_VERDICT:
			probes_verdict(a->probes, req.conn_id, &req.verdict);
			continue;
		case CHAN_PROBE:
			hook_python(a, &req);
			continue;
		case CHAN_PY_WORKER:
			tell_worker(a, &req);
			continue;
		case CHAN_OPEN_MAPPING:
			fd = procfs_open_mapping(req.tgid, req.start, req.end, slice_str(req.path),
						 req.inode);
			break;
		case CHAN_OPEN_KALLSYMS:
			fd = open("/proc/kallsyms", O_RDONLY | O_CLOEXEC);
			if (fd < 0)
				fd = -errno;
			break;
		case CHAN_OPEN_DEBUG:
			fd = open_debug(&req);
			break;
		case CHAN_OPEN_PERF_MAP:
			fd = procfs_open_perf_map(req.tgid);
			break;
		default:
			fd = -EINVAL;
		}
		chan_answer(a->chan_fd, fd);
		if (fd >= 0)
			close(fd);
	}
	return err == -EBADMSG ? 0 : err;
}
