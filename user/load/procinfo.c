/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The description of one process: who it is, since when, what runs it, in which namespaces.
 *
 * Input: a pid. Output: struct target_proc, and the EV_TARGET record made of it. Everything comes
 * from /proc/PID as our own procfs shows it, so a target in a container is described like any
 * other; its files are opened through /proc/PID/exe and map_files, never by its own paths.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/elffacts.h"
#include "base/file.h"
#include "base/procparse.h"
#include "hp/events.h"
#include "load/procdir.h"
#include "load/target.h"

#define CMDLINE_MAX 4096
#define TEXT_MAX 1024 /* bytes of a name in a record */

int procdir_open(u32 pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? (errno == ENOENT ? -ESRCH : -errno) : fd;
}

u32 procdir_live(u32 pid)
{
	_close_ int dir = procdir_open(pid);
	_close_ int fd = -1;
	struct proc_stat st;
	struct dirent *e;
	u32 live = pid;
	DIR *d;

	if (dir < 0 || procdir_stat(dir, &st) || st.state != 'Z')
		return pid;
	fd = openat(dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return pid;
	take_fd(fd); /* closed with the stream */
	while (live == pid && (e = readdir(d))) {
		_close_ int task = *e->d_name == '.' ? -1
						     : openat(dirfd(d), e->d_name,
							      O_PATH | O_DIRECTORY | O_CLOEXEC);

		if (task >= 0 && !procdir_stat(task, &st) && st.state != 'Z' && st.state != 'X')
			live = st.pid;
	}
	closedir(d);
	return live;
}

int procdir_read(int dir, const char *name, struct buf *out, size_t max)
{
	int err;

	buf_clear(out);
	err = file_read_at(dir, name, out, max);
	if (err == -EFBIG) /* what is beyond the bound is not needed */
		err = 0;
	if (!err && !out->p)
		err = buf_reserve(out, 0); /* an empty file is "" and not NULL */
	return err == -ENOENT ? -ESRCH : err;
}

int procdir_stat(int dir, struct proc_stat *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	int err = procdir_read(dir, "stat", &b, 4096);

	return err ? err : proc_parse_stat(buf_slice(&b), ret);
}

int procdir_link(int dir, const char *name, char *ret, size_t n)
{
	ssize_t len = readlinkat(dir, name, ret, n - 1);

	if (len < 0)
		return -errno;
	ret[len] = '\0';
	return 0;
}

/* The inode number of a namespace; 0 when it may not be seen. */
static u32 ns_inode(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, 0) ? 0 : (u32)st.st_ino;
}

static bool ns_differs(u32 theirs, const char *self_path)
{
	u32 ours = ns_inode(AT_FDCWD, self_path);

	return theirs && ours && theirs != ours;
}

static u64 started_unix_ms(u64 start_ticks)
{
	struct timespec boot;
	u64 since_boot_ms = start_ticks * 1000 / (u64)sysconf(_SC_CLK_TCK), now_ms, boot_ms;

	clock_gettime(CLOCK_BOOTTIME, &boot);
	now_ms = clock_unix_ns() / NSEC_PER_MSEC;
	boot_ms = (u64)boot.tv_sec * 1000 + (u64)boot.tv_nsec / NSEC_PER_MSEC;
	return now_ms - boot_ms + since_boot_ms;
}

/* A library tells more than the executable: uWSGI with libpython is Python to its users. */
static bool runtime_from_maps(int dir, char *ret, size_t n)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line, last = { 0 };
	struct proc_map m;

	if (procdir_read(dir, "maps", &b, PROCDIR_MAPS_MAX))
		return false;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line)) {
		if (proc_parse_map(line, &m) || !m.path.n || *m.path.p != '/' ||
		    slice_eq(m.path, last))
			continue;
		last = m.path;
		m.path = proc_basename(m.path);
		/* Only libraries here: any file may be called "node". */
		if (slice_starts(m.path, SLICE("lib")) && proc_runtime_of(m.path, ret, n))
			return true;
	}
	return false;
}

static void find_runtime(int dir, struct target_proc *p)
{
	_close_ int exe = -1;
	struct elf_facts facts = { 0 };
	char *ret = p->runtime;
	size_t n = sizeof(p->runtime);
	bool by_name;

	/* A name without its version ("python3") is only the second best answer. */
	by_name = proc_runtime_of(proc_basename(slice_str(p->exe)), ret, n);
	if (by_name && (strchr(ret, ' ') || strcmp(ret, "python")))
		return;
	if (runtime_from_maps(dir, ret, n))
		return;
	exe = openat(dir, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (exe >= 0)
		elf_facts_read(exe, &facts);
	if (facts.python_hex)
		snprintf(ret, n, "python %u.%u", facts.python_hex >> 24,
			 facts.python_hex >> 16 & 0xff);
	else if (!by_name)
		snprintf(ret, n, "%s", facts.go ? "go" : facts.machine ? "native" : "unknown");
}

/* NULs between arguments become spaces, the last ones go. */
static char *printable_cmdline(struct slice raw)
{
	char *s = malloc(raw.n + 1);
	size_t i;

	if (!s)
		return NULL;
	while (raw.n && !raw.p[raw.n - 1])
		raw.n--;
	for (i = 0; i < raw.n; i++)
		s[i] = raw.p[i] ? raw.p[i] : ' ';
	s[raw.n] = '\0';
	return s;
}

static int fill_names(int dir, const struct proc_stat *st, struct target_proc *ret)
{
	_release_(buf) struct buf cmdline = BUF_INIT;
	_release_(buf) struct buf cgroup = BUF_INIT;
	char exe[PATH_MAX];
	struct slice service;

	if (procdir_read(dir, "cmdline", &cmdline, CMDLINE_MAX))
		buf_clear(&cmdline);
	if (procdir_read(dir, "cgroup", &cgroup, 64 << 10))
		buf_clear(&cgroup);
	if (procdir_link(dir, "exe", exe, sizeof(exe)))
		exe[0] = '\0';
	service = proc_service_name(buf_slice(&cgroup), slice_str(exe), buf_slice(&cmdline));
	ret->exe = strdup(exe);
	ret->cmdline = printable_cmdline(buf_slice(&cmdline));
	ret->service = service.n ? strndup(service.p, service.n) : strdup(st->comm);
	return ret->exe && ret->cmdline && ret->service ? 0 : -ENOMEM;
}

/* dir: of a thread that has them. */
static void fill_namespaces(int dir, int leader, struct target_proc *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice ids;

	ret->pid_ns = ns_inode(dir, "ns/pid");
	ret->mnt_ns = ns_inode(dir, "ns/mnt");
	ret->net_ns = ns_inode(dir, "ns/net");
	ret->other_pid_ns = ns_differs(ret->pid_ns, "/proc/self/ns/pid");
	ret->other_mnt_ns = ns_differs(ret->mnt_ns, "/proc/self/ns/mnt");
	ret->other_net_ns = ns_differs(ret->net_ns, "/proc/self/ns/net");
	ret->inner_pid = ret->pid;
	/* "NSpid: 4242 7": one number a namespace, ours first, its own last. */
	if (!procdir_read(leader, "status", &b, 64 << 10) &&
	    !proc_field(buf_slice(&b), "NSpid", &ids)) {
		size_t i = ids.n;
		u64 v = 0;

		while (i && ids.p[i - 1] >= '0' && ids.p[i - 1] <= '9')
			i--;
		for (; i < ids.n; i++)
			v = v * 10 + (u64)(ids.p[i] - '0');
		if (v && v <= UINT32_MAX)
			ret->inner_pid = (u32)v;
	}
}

int target_describe(u32 pid, struct target_proc *ret)
{
	_close_ int dir = procdir_open(pid);
	_close_ int live = -1;
	struct proc_stat st;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (dir < 0)
		return dir;
	err = procdir_stat(dir, &st);
	if (err)
		return err;
	ret->pid = pid;
	ret->ppid = st.ppid;
	ret->root_pid = pid;
	ret->started_unix_ms = started_unix_ms(st.start_ticks);
	live = procdir_open(procdir_live(pid));
	if (live < 0)
		return live;
	err = fill_names(live, &st, ret);
	if (err) {
		target_proc_release(ret);
		return err;
	}
	fill_namespaces(live, dir, ret);
	find_runtime(live, ret);
	return 0;
}

void target_proc_release(struct target_proc *p)
{
	free(p->cmdline);
	free(p->exe);
	free(p->service);
	memset(p, 0, sizeof(*p));
}

static struct slice record_text(const char *s, size_t max)
{
	return slice_of(s, s ? MIN(strlen(s), max) : 0);
}

void target_record(const struct target_proc *p, u64 ts_ns, struct buf *out)
{
	static const char zeros[8];
	struct slice cmdline = record_text(p->cmdline, CMDLINE_MAX);
	struct slice exe = record_text(p->exe, TEXT_MAX * 4);
	struct slice runtime = record_text(p->runtime, TEXT_MAX);
	struct slice service = record_text(p->service, TEXT_MAX);
	struct ev_target ev = {
		.hdr = { .kind = EV_TARGET, .target = p->target, .tgid = p->pid, .ts_ns = ts_ns },
		.started_unix_ms = p->started_unix_ms,
		.root_tgid = p->root_pid,
		.cmdline_len = (u16)cmdline.n,
		.exe_len = (u16)exe.n,
		.runtime_len = (u16)runtime.n,
		.service_len = (u16)service.n,
	};
	size_t n = sizeof(ev) + cmdline.n + exe.n + runtime.n + service.n;

	ev.hdr.size = (u32)((n + 7) & ~(size_t)7);
	buf_add(out, &ev, sizeof(ev));
	buf_add_slice(out, cmdline);
	buf_add_slice(out, exe);
	buf_add_slice(out, runtime);
	buf_add_slice(out, service);
	buf_add(out, zeros, ev.hdr.size - n);
}
