/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opens the list of generated code that a process wrote to /tmp/perf-PID.map, for the analyst.
 *
 * /tmp belongs to everybody: the file's name is no proof of who wrote it, and may be a link to a file
 * that only we can read. So it is opened inside the process's own root without following links out of it
 * (openat2, Linux 5.6), and what comes out must be a regular file with no second name that belongs to
 * root, to us (which is all that perf takes), or to the user that the process runs as.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/procparse.h"
#include "load/procdir.h"
#include "load/procfs.h"
#include "load/target.h"

#define STATUS_MAX (64u << 10)
#define IDS 4 /* real, effective, saved, of the file system */

/* The numbers of a line of status; how many there are, at most max. */
static u32 numbers(struct slice text, const char *key, u64 *ret, u32 max)
{
	struct slice s;
	u32 n = 0;
	size_t i = 0;

	if (proc_field(text, key, &s))
		return 0;
	while (i < s.n && n < max) {
		u64 v = 0;
		size_t from;

		while (i < s.n && (s.p[i] < '0' || s.p[i] > '9'))
			i++;
		for (from = i; i < s.n && i - from < 10 && s.p[i] >= '0' && s.p[i] <= '9'; i++)
			v = v * 10 + (u64)(s.p[i] - '0');
		if (i > from)
			ret[n++] = v;
	}
	return n;
}

static bool owner_ok(struct slice status, u64 uid)
{
	u64 ids[IDS];
	u32 i, n = numbers(status, "Uid", ids, IDS);

	if (!uid || uid == geteuid())
		return true;
	for (i = 0; i < n; i++)
		if (ids[i] == uid)
			return true;
	return false;
}

int procfs_open_perf_map(u32 pid)
{
	_close_ int dir = procdir_open(pid);
	_close_ int root = dir < 0 ? -1 : openat(dir, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);
	_release_(buf) struct buf status = BUF_INIT;
	struct open_how how = {
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY,
		.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
	};
	u64 pids[32]; /* of nested namespaces, ours first; the kernel allows 32 levels */
	char name[64];
	struct stat st;
	_close_ int fd = -1;
	u32 n;
	int err;

	if (dir < 0)
		return dir;
	if (root < 0)
		return -errno;
	err = procdir_read(dir, "status", &status, STATUS_MAX);
	if (err)
		return err;
	n = numbers(buf_slice(&status), "NSpid", pids, ARRAY_SIZE(pids));
	snprintf(name, sizeof(name), "tmp/perf-%llu.map",
		 (unsigned long long)(n ? pids[n - 1] : pid));
	fd = (int)syscall(SYS_openat2, root, name, &how, sizeof(how));
	if (fd < 0 || fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode) || st.st_nlink != 1 || !owner_ok(buf_slice(&status), st.st_uid))
		return -EPERM;
	return take_fd(fd);
}
