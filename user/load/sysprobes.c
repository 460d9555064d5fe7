/* SPDX-License-Identifier: Apache-2.0 */
/* See sysprobes.h. The rows are the calls of the table in bpf/probes/syscall.bpf.h. */
#include "load/sysprobes.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define ENTER "sys_enter_"

static const struct {
	const char *name;
	enum sysprobe_group group;
} rows[] = {
	{ "sys_exit_connect", SYSPROBES_CALLS },
	{ "sys_enter_connect", SYSPROBES_CALLS },
	{ "sys_exit_accept", SYSPROBES_CALLS },
	{ "sys_exit_shutdown", SYSPROBES_CALLS },
	{ "sys_exit_accept4", SYSPROBES_CALLS },
	{ "sys_exit_read", SYSPROBES_TRANSFERS },
	{ "sys_exit_write", SYSPROBES_TRANSFERS },
	{ "sys_exit_readv", SYSPROBES_TRANSFERS },
	{ "sys_exit_writev", SYSPROBES_TRANSFERS },
	{ "sys_exit_sendfile64", SYSPROBES_TRANSFERS },
	{ "sys_exit_sendto", SYSPROBES_TRANSFERS },
	{ "sys_exit_recvfrom", SYSPROBES_TRANSFERS },
	{ "sys_exit_sendmsg", SYSPROBES_TRANSFERS },
	{ "sys_exit_recvmsg", SYSPROBES_TRANSFERS },
	{ "sys_exit_splice", SYSPROBES_TRANSFERS },
	{ "sys_exit_recvmmsg", SYSPROBES_TRANSFERS },
	{ "sys_exit_sendmmsg", SYSPROBES_TRANSFERS },
	{ "sys_exit_preadv2", SYSPROBES_TRANSFERS },
	{ "sys_exit_pwritev2", SYSPROBES_TRANSFERS },
	{ "sys_enter_write", SYSPROBES_UNIX },
	{ "sys_enter_close", SYSPROBES_UNIX },
	{ "sys_enter_writev", SYSPROBES_UNIX },
	{ "sys_enter_sendfile64", SYSPROBES_UNIX },
	{ "sys_enter_sendto", SYSPROBES_UNIX },
	{ "sys_enter_sendmsg", SYSPROBES_UNIX },
	{ "sys_enter_splice", SYSPROBES_UNIX },
	{ "sys_enter_sendmmsg", SYSPROBES_UNIX },
	{ "sys_enter_pwritev2", SYSPROBES_UNIX },
};
_Static_assert(ARRAY_SIZE(rows) <= SYSPROBES_MAX, "room for every row");

static const char *const tracefs_dirs[] = { "/sys/kernel/tracing", "/sys/kernel/debug/tracing" };

static int read_from(const char *dir, struct sysprobe_ids *ret)
{
	size_t i, found = 0;
	int missing = -ENOENT;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		_release_(buf) struct buf text = BUF_INIT;
		char path[128];
		int err;

		ret->id[i] = -1;
		snprintf(path, sizeof(path), "%s/events/syscalls/%s/id", dir, rows[i].name);
		err = file_read(path, &text, 32);
		if (err == -EACCES)
			missing = err;
		if (err || !text.n)
			continue;
		ret->id[i] = strtol(text.p, NULL, 10);
		found += ret->id[i] > 0;
	}
	return found ? 0 : missing;
}

/* In the child: its own mount namespace, gone with it. */
static int read_privately(struct sysprobe_ids *ret)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	if (mount("tracefs", tracefs_dirs[0], "tracefs", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL))
		return -errno;
	return read_from(tracefs_dirs[0], ret);
}

int sysprobe_ids_read(struct sysprobe_ids *ret)
{
	int fds[2], err, missing = -ENOENT;
	pid_t pid;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(tracefs_dirs); i++) {
		err = read_from(tracefs_dirs[i], ret);
		if (!err)
			return 0;
		if (err == -EACCES)
			missing = err;
	}
	if (pipe2(fds, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		err = -errno;
		close(fds[0]);
		close(fds[1]);
		return err;
	}
	if (!pid) {
		if (!read_privately(ret))
			fd_write_all(fds[1], ret, sizeof(*ret));
		_exit(0);
	}
	close(fds[1]);
	err = fd_read_all(fds[0], ret, sizeof(*ret));
	close(fds[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return err ? missing : 0;
}

static struct bpf_link *attach_one(struct bpf_program *prog, s32 id)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_TRACEPOINT,
		.config = id,
		.sample_period = 1,
	};
	struct bpf_link *link;
	int fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);

	if (fd < 0)
		return NULL;
	/* On success the link owns the descriptor. */
	link = bpf_program__attach_perf_event(prog, fd);
	if (!link) {
		int saved = errno;

		close(fd);
		errno = saved;
	}
	return link;
}

int sysprobes_attach(struct sysprobes *s, const struct sysprobe_ids *ids, enum sysprobe_group group,
		     struct bpf_program *enter, struct bpf_program *exit_prog)
{
	u32 had = s->n;
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		bool is_enter = !strncmp(rows[i].name, ENTER, sizeof(ENTER) - 1);
		struct bpf_link *link;

		if (ids->id[i] <= 0 || rows[i].group != group)
			continue;
		link = attach_one(is_enter ? enter : exit_prog, ids->id[i]);
		if (!link) {
			int err = -errno;

			while (s->n > had)
				bpf_link__destroy(s->links[--s->n]);
			return err;
		}
		s->links[s->n++] = link;
	}
	return s->n > had ? 0 : -ENOENT;
}

void sysprobes_detach(struct sysprobes *s)
{
	u32 i;

	for (i = 0; i < s->n; i++)
		bpf_link__destroy(s->links[i]);
	s->n = 0;
}
