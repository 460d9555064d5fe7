/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks into one process the way attaching will: memory, program file, libraries, sockets.
 *
 * Input: a pid. Output: struct inspection. Every part may fail by itself, for lack of rights or
 * because the process ends meanwhile; each failure is kept beside its part, since telling them
 * apart is what doctor is for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/map.h"
#include "load/inspect.h"
#include "load/procdir.h"
#include "load/snapshot.h"

#define SOCKETS_MAX (1u << 20)
#define NET_TEXT_MAX (256u << 20)

/* One byte of the first mapping that the process itself may read. */
static int try_memory(u32 pid, u64 addr)
{
	char byte;
	struct iovec to = { &byte, 1 }, from = { (void *)(uintptr_t)addr, 1 };

	return process_vm_readv((pid_t)pid, &to, 1, &from, 1, 0) == 1 ? 0
	       : errno						      ? -errno
								      : -EFAULT;
}

static void add_tls(struct inspection *ret, const char *name)
{
	size_t n = strlen(ret->tls);

	if (!strstr(ret->tls, name))
		snprintf(ret->tls + n, sizeof(ret->tls) - n, "%s%s", n ? ", " : "", name);
}

static void look_at_maps(int dir, u32 pid, struct inspection *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	bool tried = false;
	struct proc_map m;
	int err;

	err = procdir_read(dir, "maps", &b, PROCDIR_MAPS_MAX);
	if (err) {
		ret->memory_err = err;
		return;
	}
	ret->memory_err = -ENODATA;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line)) {
		const char *tls;

		if (proc_parse_map(line, &m))
			continue;
		if (!tried && m.read) {
			ret->memory_err = try_memory(pid, m.start);
			tried = true;
		}
		ret->io_uring |= proc_is_io_uring(m.path);
		tls = proc_tls_library(proc_basename(m.path));
		if (tls)
			add_tls(ret, tls);
	}
}

/* Inodes of all sockets it holds, and whether a ring is among its descriptors. */
static int list_fds(int dir, struct map *inodes, bool *io_uring)
{
	_close_ int fd = openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *e;
	char link[64];
	u64 inode;
	DIR *d;

	if (fd < 0)
		return -errno;
	d = fdopendir(fd);
	if (!d)
		return -errno;
	fd = -1;
	while ((e = readdir(d))) {
		if (procdir_link(dirfd(d), e->d_name, link, sizeof(link)))
			continue;
		*io_uring |= proc_is_io_uring(slice_str(link));
		if (!proc_parse_socket_link(slice_str(link), &inode))
			map_put(inodes, inode, 1);
	}
	closedir(d);
	return 0;
}

static void add_port(struct inspection *ret, u16 port)
{
	u32 i, k;

	for (i = 0; i < ret->nports && ret->ports[i] < port; i++)
		;
	if ((i < ret->nports && ret->ports[i] == port) || ret->nports == INSPECT_PORTS_MAX)
		return;
	for (k = ret->nports++; k > i; k--)
		ret->ports[k] = ret->ports[k - 1];
	ret->ports[i] = port;
}

static void look_at_tcp(int dir, const char *file, const struct map *inodes, struct inspection *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	struct proc_tcp tcp;

	if (procdir_read(dir, file, &b, NET_TEXT_MAX))
		return;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line)) {
		if (proc_parse_tcp(line, &tcp) || !tcp.inode || !map_find(inodes, tcp.inode))
			continue;
		if (tcp.state == PROC_TCP_LISTEN)
			add_port(ret, tcp.local_port);
		ret->tcp_open += tcp.state == PROC_TCP_ESTABLISHED;
	}
}

static void look_at_unix(int dir, const struct map *inodes, struct inspection *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	struct proc_unix un;

	if (procdir_read(dir, "net/unix", &b, NET_TEXT_MAX))
		return;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line)) {
		if (proc_parse_unix(line, &un) || !map_find(inodes, un.inode))
			continue;
		ret->unix_listening += un.listening;
		ret->unix_open += un.connected;
	}
}

static u32 count_below(const struct snapshot *s, u32 pid)
{
	u32 n = 0, i;

	for (i = 0; i < s->n; i++) {
		const struct snap_proc *p = &s->v[i];
		int depth;

		for (depth = 0; p && p->ppid > 1 && p->ppid != pid && depth < 256; depth++)
			p = snapshot_find(s, p->ppid);
		n += p && p->ppid == pid && s->v[i].pid != pid && s->v[i].pid != (u32)getpid();
	}
	return n;
}

int inspect(u32 pid, struct inspection *ret)
{
	_release_(snapshot) struct snapshot s = { 0 };
	_close_ int dir = procdir_open(pid);
	_close_ int exe = -1;
	struct map inodes;
	int err;

	memset(ret, 0, sizeof(*ret));
	if (dir < 0)
		return dir;
	err = target_describe(pid, &ret->proc);
	if (err)
		return err;
	look_at_maps(dir, pid, ret);
	exe = openat(dir, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	ret->exe_err = exe < 0 ? -errno : elf_facts_read(exe, &ret->exe);
	map_init(&inodes, SOCKETS_MAX);
	ret->fds_err = list_fds(dir, &inodes, &ret->io_uring);
	if (!ret->fds_err && inodes.n) {
		look_at_tcp(dir, "net/tcp", &inodes, ret);
		look_at_tcp(dir, "net/tcp6", &inodes, ret);
		look_at_unix(dir, &inodes, ret);
	}
	map_release(&inodes);
	if (!snapshot_take(&s))
		ret->children = count_below(&s, pid);
	return 0;
}

void inspection_release(struct inspection *i)
{
	target_proc_release(&i->proc);
}
