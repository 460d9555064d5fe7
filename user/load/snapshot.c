/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The processes of the host, and how a port, a name or a cgroup leads to some of them.
 *
 * Input: /proc and cgroup file systems. Output: marks in the snapshot. A listening socket is found
 * by its inode: network namespaces list inodes by port (one process of each is asked), file tables
 * list inodes by process. So the owner is found whatever namespaces it and hostprof are in.
 */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "load/procdir.h"
#include "load/snapshot.h"

#define LISTENERS_MAX 4096
#define NETNS_MAX 4096
#define NET_TCP_CHUNK 4096
#define CGROUP_DEPTH_MAX 32
#define MOUNTS_TEXT_MAX (4u << 20)

static void cleanup_closedir(DIR **d)
{
	if (*d)
		closedir(*d);
}
#define _closedir_ __attribute__((cleanup(cleanup_closedir)))

static int cmp_pid(const void *a, const void *b)
{
	u32 x = ((const struct snap_proc *)a)->pid, y = ((const struct snap_proc *)b)->pid;

	return x < y ? -1 : x > y;
}

static int snapshot_add(struct snapshot *s, u32 pid)
{
	_close_ int dir = procdir_open(pid);
	struct snap_proc *v;
	struct proc_stat st;

	if (dir < 0 || procdir_stat(dir, &st))
		return 0; /* gone meanwhile */
	if (s->n == s->cap) {
		u32 cap = s->cap ? s->cap * 2 : 256;

		v = cap <= SNAPSHOT_PROCS_MAX ? realloc(s->v, cap * sizeof(*v)) : NULL;
		if (!v)
			return -ENOMEM;
		s->v = v;
		s->cap = cap;
	}
	v = &s->v[s->n++];
	*v = (struct snap_proc){
		.pid = pid, .ppid = st.ppid, .flags = st.flags, .state = st.state
	};
	memcpy(v->comm, st.comm, sizeof(v->comm));
	return 0;
}

int snapshot_take(struct snapshot *ret)
{
	_closedir_ DIR *d = opendir("/proc");
	struct dirent *e;
	int err = 0;
	u32 i;

	memset(ret, 0, sizeof(*ret));
	if (!d)
		return -errno;
	while (!err && (e = readdir(d)))
		if (isdigit((unsigned char)e->d_name[0]))
			err = snapshot_add(ret, (u32)strtoul(e->d_name, NULL, 10));
	if (!err && !ret->n)
		err = -ENOENT;
	if (!err)
		qsort(ret->v, ret->n, sizeof(*ret->v), cmp_pid);
	map_init(&ret->by_pid, SNAPSHOT_PROCS_MAX);
	for (i = 0; !err && i < ret->n; i++)
		err = map_put(&ret->by_pid, ret->v[i].pid, i);
	if (err)
		snapshot_release(ret);
	return err;
}

void snapshot_release(struct snapshot *s)
{
	map_release(&s->by_pid);
	free(s->v);
	memset(s, 0, sizeof(*s));
}

struct snap_proc *snapshot_find(const struct snapshot *s, u32 pid)
{
	const u64 *i = map_find(&s->by_pid, pid);

	return i ? &s->v[*i] : NULL;
}

static bool mark_one(struct snap_proc *p)
{
	if (p->pid == (u32)getpid() || (p->flags & PROC_PF_KTHREAD) || p->marked)
		return false;
	p->marked = true;
	return true;
}

/*
 * Inodes of the sockets that listen on port, in the network namespace of this process. The kernel
 * lists listeners first, so the reading ends before a busy host's connections begin.
 */
static void add_listeners(int dir, const char *file, u16 port, struct map *inodes)
{
	_close_ int fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	_release_(buf) struct buf b = BUF_INIT;
	struct proc_tcp tcp;
	ssize_t n;

	while (fd >= 0 && !buf_reserve(&b, NET_TCP_CHUNK)) {
		n = read(fd, b.p + b.n, NET_TCP_CHUNK);
		if (n <= 0)
			return;
		b.n += (size_t)n;
		for (;;) {
			char *end = memchr(b.p, '\n', b.n);
			size_t len = end ? (size_t)(end - b.p) : 0;

			if (!end)
				break;
			if (!proc_parse_tcp(slice_of(b.p, len), &tcp)) {
				if (tcp.state != PROC_TCP_LISTEN)
					return;
				if (tcp.local_port == port)
					map_put(inodes, tcp.inode, 1);
			}
			buf_drop_front(&b, len + 1);
		}
		if (b.n > NET_TCP_CHUNK) /* no such long line exists */
			return;
	}
}

static void find_listeners(const struct snapshot *s, u16 port, struct map *inodes)
{
	struct map seen;
	u32 i;

	map_init(&seen, NETNS_MAX);
	for (i = 0; i < s->n; i++) {
		_close_ int dir = -1;
		struct stat st;

		if (s->v[i].flags & PROC_PF_KTHREAD)
			continue;
		dir = procdir_open(s->v[i].pid);
		if (dir < 0)
			continue;
		/* A namespace that may not be seen: its sockets' owners may not either. */
		if (fstatat(dir, "ns/net", &st, 0) || map_find(&seen, st.st_ino) ||
		    map_put(&seen, st.st_ino, 1))
			continue;
		add_listeners(dir, "net/tcp", port, inodes);
		add_listeners(dir, "net/tcp6", port, inodes);
	}
	map_release(&seen);
}

/* 1 = holds one of the sockets, 0 = does not, -errno. */
static int holds_socket(u32 pid, const struct map *inodes)
{
	_closedir_ DIR *d = NULL;
	struct dirent *e;
	char path[32], link[64];
	u64 inode;

	snprintf(path, sizeof(path), "/proc/%u/fd", pid);
	d = opendir(path);
	if (!d)
		return -errno;
	while ((e = readdir(d)))
		if (!procdir_link(dirfd(d), e->d_name, link, sizeof(link)) &&
		    !proc_parse_socket_link(slice_str(link), &inode) && map_find(inodes, inode))
			return 1;
	return 0;
}

int snapshot_mark_port(struct snapshot *s, u16 port)
{
	struct map inodes;
	bool hidden = false;
	int found = 0;
	size_t listeners;
	u32 i;

	map_init(&inodes, LISTENERS_MAX);
	find_listeners(s, port, &inodes);
	listeners = inodes.n;
	for (i = 0; listeners && i < s->n; i++) {
		int res = holds_socket(s->v[i].pid, &inodes);

		hidden |= res == -EACCES || res == -EPERM;
		if (res == 1)
			found += mark_one(&s->v[i]);
	}
	map_release(&inodes);
	return listeners && !found && hidden ? -EACCES : found;
}

int snapshot_mark_name(struct snapshot *s, const char *glob)
{
	_release_(buf) struct buf cmdline = BUF_INIT;
	int found = 0;
	u32 i;

	for (i = 0; i < s->n; i++) {
		_close_ int dir = procdir_open(s->v[i].pid);
		char exe[PATH_MAX];

		if (dir < 0)
			continue;
		if (procdir_read(dir, "cmdline", &cmdline, 4096))
			buf_clear(&cmdline);
		if (procdir_link(dir, "exe", exe, sizeof(exe)))
			exe[0] = '\0';
		if (proc_name_matches(glob, s->v[i].comm, slice_str(exe), buf_slice(&cmdline)))
			found += mark_one(&s->v[i]);
	}
	return found;
}

static int mark_cgroup_dir(struct snapshot *s, int parent, const char *name, int depth)
{
	/* The path that the user gave may be a link (cpu → cpu,cpuacct); below it there are none. */
	_close_ int fd =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | (depth ? O_NOFOLLOW : 0));
	_closedir_ DIR *d = NULL;
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	struct dirent *e;
	int found = 0;

	if (fd < 0 || depth > CGROUP_DEPTH_MAX)
		return 0;
	/* A threaded cgroup refuses the read; its processes are listed by the domain above it. */
	if (!file_read_at(fd, "cgroup.procs", &b, 16u << 20)) {
		text = buf_slice(&b);
		while (proc_next_line(&text, &line)) {
			struct snap_proc *p =
				line.n ? snapshot_find(s, (u32)strtoul(line.p, NULL, 10)) : NULL;

			found += p && mark_one(p);
		}
	}
	d = fdopendir(fd);
	if (!d)
		return found;
	take_fd(fd); /* closed with the stream */
	while ((e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			found += mark_cgroup_dir(s, dirfd(d), e->d_name, depth + 1);
	return found;
}

/* 0 also when there is no such cgroup; *exists is set when there is. */
static int mark_cgroup_below(struct snapshot *s, struct slice base, const char *path, bool *exists)
{
	_release_(buf) struct buf dir = BUF_INIT;
	_release_(buf) struct buf procs = BUF_INIT;

	buf_add_slice(&dir, base);
	buf_addf(&dir, "%s%s", base.n ? "/" : "", path);
	buf_addf(&procs, "%s/cgroup.procs", dir.p ? dir.p : "");
	if (dir.oom || procs.oom)
		return -ENOMEM;
	if (faccessat(AT_FDCWD, procs.p, F_OK, AT_EACCESS))
		return 0;
	*exists = true;
	return mark_cgroup_dir(s, AT_FDCWD, dir.p, 0);
}

static struct slice take_word(struct slice *line)
{
	struct slice word = *line;

	word.n = 0;
	while (word.n < line->n && word.p[word.n] != ' ')
		word.n++;
	line->p += word.n + (word.n < line->n);
	line->n -= word.n + (word.n < line->n);
	return word;
}

/*
 * A path below the mount is what /proc/PID/cgroup and container tools print. With version 1 it may
 * exist in one hierarchy and not in the others, or hold nobody there: the first that holds somebody.
 */
static int mark_cgroup_mounts(struct snapshot *s, struct slice type, const char *path, bool *exists)
{
	_release_(buf) struct buf mounts = BUF_INIT;
	struct slice text, line, dir;
	int found = 0;

	/* "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid…" */
	if (file_read("/proc/self/mounts", &mounts, MOUNTS_TEXT_MAX))
		return 0;
	text = buf_slice(&mounts);
	while (!found && proc_next_line(&text, &line)) {
		take_word(&line);
		dir = take_word(&line);
		if (slice_eq(take_word(&line), type))
			found = mark_cgroup_below(s, dir, path, exists);
	}
	return found;
}

int snapshot_mark_cgroup(struct snapshot *s, const char *path)
{
	bool exists = false;
	int found = mark_cgroup_below(s, SLICE(""), path, &exists);

	if (!found)
		found = mark_cgroup_mounts(s, SLICE("cgroup2"), path, &exists);
	if (!found)
		found = mark_cgroup_mounts(s, SLICE("cgroup"), path, &exists);
	/* "memory/shop": the hierarchy named too. */
	if (!found)
		found = mark_cgroup_below(s, SLICE("/sys/fs/cgroup"), path, &exists);
	return found || exists ? found : -ENOENT;
}
