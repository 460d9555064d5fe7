/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resources and mappings of the targets, from procfs, while they are measured.
 *
 * Input: pids as they come and go. Output: struct ev_resource a target and second, struct ev_mapping
 * for each executable mapping. CPU time is the process's own CPU clock, which counts in nanoseconds
 * and includes threads that ended; stat's ticks of 10 ms are the fallback. Context switches exist
 * for single threads only and cost 12 µs each, so they are read in turns between the ends of a
 * window and remembered, also for threads that ended.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "base/array.h"
#include "base/cleanup.h"
#include "base/elffacts.h"
#include "base/file.h"
#include "base/map.h"
#include "load/procdir.h"
#include "load/procfs.h"

#define TASKS_PER_SAMPLE 16
#define STATUS_MAX 8192
#define VDSO_MAX (64 * 1024)

struct task {
	u32 tid;
	u32 sample; /* number of the sample that saw it last */
	u64 voluntary;
	u64 involuntary;
};

struct proc {
	u32 pid;
	u16 target;
	bool kept; /* stat, io and tasks stay open */
	int dir;
	int stat;
	int io;
	DIR *task_dir;
	struct task *tasks;
	u32 ntasks;
	u32 tasks_cap;
	u32 turn; /* where the next sample goes on reading threads */
	u64 ended_voluntary; /* of threads that ended, when they were looked at last */
	u64 ended_involuntary;
	u64 used_voluntary; /* the same as the kernel tells: also of those that nobody looked at */
	u64 used_involuntary;
	bool gone; /* it has ended, and its last account has not come yet */
	struct ev_resource last;
};

/* What processes that ended had used. */
struct ended {
	u16 target;
	struct ev_resource totals;
};

struct procfs {
	struct proc *v;
	u32 n;
	u32 cap;
	struct ended *ended;
	u32 nended;
	u32 fds_kept;
	u32 sample;
	u64 tick_ns;
	u64 page;
	struct buf text;
};

int procfs_new(struct procfs **ret)
{
	struct procfs *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->tick_ns = NSEC_PER_SEC / (u64)sysconf(_SC_CLK_TCK);
	p->page = (u64)sysconf(_SC_PAGESIZE);
	*ret = p;
	return 0;
}

static void proc_close(struct procfs *p, struct proc *x)
{
	if (x->kept)
		p->fds_kept -= 3;
	x->kept = false;
	if (x->task_dir)
		closedir(x->task_dir);
	x->task_dir = NULL;
	cleanup_close(&x->stat);
	cleanup_close(&x->io);
	cleanup_close(&x->dir);
	free(x->tasks);
	x->stat = x->io = x->dir = -1;
	x->tasks = NULL;
	x->ntasks = x->tasks_cap = 0;
}

void procfs_free(struct procfs *p)
{
	u32 i;

	if (!p)
		return;
	for (i = 0; i < p->n; i++)
		proc_close(p, &p->v[i]);
	free(p->v);
	free(p->ended);
	buf_release(&p->text);
	free(p);
}

static DIR *open_task_dir(const struct proc *x)
{
	_close_ int fd = openat(x->dir, "task", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (d)
		fd = -1;
	return d;
}

/* Reads a small file whole, by the descriptor that is kept or by name. */
static int read_small(struct procfs *p, int dir, int kept, const char *name)
{
	ssize_t n;

	if (kept < 0)
		return procdir_read(dir, name, &p->text, STATUS_MAX);
	buf_clear(&p->text);
	if (buf_reserve(&p->text, STATUS_MAX))
		return -ENOMEM;
	do
		n = pread(kept, p->text.p, STATUS_MAX, 0);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	p->text.n = (size_t)n;
	p->text.p[n] = '\0';
	return 0;
}

/* -ESRCH when it has ended, though its parent has not asked for it yet. */
static int read_stat(struct procfs *p, const struct proc *x, struct proc_stat *ret)
{
	int err = read_small(p, x->dir, x->stat, "stat");

	if (!err)
		err = proc_parse_stat(buf_slice(&p->text), ret);
	if (err)
		return err;
	return (ret->state == 'Z' || ret->state == 'X') && ret->threads <= 1 ? -ESRCH : 0;
}

static void add_totals(struct ev_resource *to, const struct ev_resource *from)
{
	to->cpu_total_ns += from->cpu_total_ns;
	to->minor_faults_total += from->minor_faults_total;
	to->major_faults_total += from->major_faults_total;
	to->voluntary_switches_total += from->voluntary_switches_total;
	to->involuntary_switches_total += from->involuntary_switches_total;
	to->read_bytes_total += from->read_bytes_total;
	to->write_bytes_total += from->write_bytes_total;
}

static struct ended *ended_of(struct procfs *p, u16 target)
{
	struct ended *e;
	u32 i;

	for (i = 0; i < p->nended; i++)
		if (p->ended[i].target == target)
			return &p->ended[i];
	e = realloc(p->ended, (p->nended + 1) * sizeof(*e));
	if (!e)
		return NULL;
	p->ended = e;
	e += p->nended++;
	*e = (struct ended){ .target = target };
	return e;
}

static void drop_at(struct procfs *p, u32 i)
{
	struct ended *e = ended_of(p, p->v[i].target);

	if (e)
		add_totals(&e->totals, &p->v[i].last);
	proc_close(p, &p->v[i]);
	p->v[i] = p->v[--p->n];
}

int procfs_add(struct procfs *p, u32 pid, u16 target)
{
	struct proc_stat st;
	struct proc *x;
	int err;
	u32 i;

	for (i = 0; i < p->n; i++)
		if (p->v[i].pid == pid) {
			if (!p->v[i].gone)
				return -EEXIST;
			drop_at(p, i); /* its number came round */
			break;
		}
	for (i = 0; i < p->n && p->n == PROCFS_PROCS_MAX; i++)
		if (p->v[i].gone)
			drop_at(p, i);
	if (p->n == PROCFS_PROCS_MAX)
		return -ENOSPC;
	if (!array_room(&p->v, p->n, &p->cap, PROCFS_PROCS_MAX, sizeof(*p->v)))
		return -ENOMEM;
	x = &p->v[p->n];
	*x = (struct proc){ .pid = pid, .target = target, .stat = -1, .io = -1 };
	x->dir = procdir_open(pid);
	if (x->dir < 0)
		return x->dir;
	err = read_stat(p, x, &st);
	if (err) {
		proc_close(p, x);
		return err;
	}
	if (p->fds_kept + 3 <= PROCFS_FDS_KEPT) {
		x->kept = true;
		x->stat = openat(x->dir, "stat", O_RDONLY | O_CLOEXEC);
		x->io = openat(x->dir, "io", O_RDONLY | O_CLOEXEC);
		x->task_dir = open_task_dir(x);
		p->fds_kept += 3;
	}
	p->n++;
	return 0;
}

u16 procfs_target(const struct procfs *p, u32 pid)
{
	u32 i;

	for (i = 0; p && i < p->n; i++)
		if (p->v[i].pid == pid)
			return p->v[i].target;
	return 0;
}

void procfs_remove(struct procfs *p, u32 pid)
{
	u32 i;

	for (i = 0; i < p->n; i++) {
		if (p->v[i].pid == pid) {
			drop_at(p, i);
			return;
		}
	}
}

static void keep_most(__u64 *v, __u64 than)
{
	*v = MAX(*v, than);
}

static void process_used(struct ev_resource *r, const struct ev_used *ev)
{
	keep_most(&r->cpu_total_ns, ev->cpu_ns);
	keep_most(&r->minor_faults_total, ev->minor_faults);
	keep_most(&r->major_faults_total, ev->major_faults);
	keep_most(&r->read_bytes_total, ev->read_bytes);
	keep_most(&r->write_bytes_total, ev->write_bytes);
	keep_most(&r->voluntary_switches_total, ev->voluntary_switches);
	keep_most(&r->involuntary_switches_total, ev->involuntary_switches);
}

void procfs_used(struct procfs *p, const struct ev_used *ev)
{
	struct ev_resource r = { 0 };
	struct ended *e;
	u32 i;

	for (i = 0; i < p->n && p->v[i].pid != ev->hdr.tgid; i++)
		;
	if (i < p->n && !ev->whole) {
		p->v[i].used_voluntary += ev->voluntary_switches;
		p->v[i].used_involuntary += ev->involuntary_switches;
	} else if (i < p->n) {
		process_used(&p->v[i].last, ev);
		drop_at(p, i);
	} else if (ev->whole) {
		/* It was there between two looks. */
		process_used(&r, ev);
		e = ended_of(p, ev->hdr.target);
		if (e)
			add_totals(&e->totals, &r);
	}
}

/* The kernel lists threads in one order, so the search begins behind the last hit. */
static struct task *task_of(struct proc *x, u32 tid, u32 *hint)
{
	struct task *t;
	u32 i;

	for (i = 0; i < x->ntasks; i++) {
		u32 at = (*hint + i) % x->ntasks;

		if (x->tasks[at].tid == tid) {
			*hint = at + 1;
			return &x->tasks[at];
		}
	}
	if (!array_room(&x->tasks, x->ntasks, &x->tasks_cap, PROCFS_TASKS_MAX, sizeof(*x->tasks)))
		return NULL;
	t = &x->tasks[x->ntasks++];
	*t = (struct task){ .tid = tid };
	return t;
}

static void read_task(struct procfs *p, struct proc *x, struct task *t)
{
	char name[40];
	u64 v;

	snprintf(name, sizeof(name), "task/%u/status", t->tid);
	if (procdir_read(x->dir, name, &p->text, STATUS_MAX))
		return;
	if (!proc_field_u64(buf_slice(&p->text), "voluntary_ctxt_switches", &v))
		t->voluntary = v;
	if (!proc_field_u64(buf_slice(&p->text), "nonvoluntary_ctxt_switches", &v))
		t->involuntary = v;
}

static void list_tasks(struct procfs *p, struct proc *x)
{
	DIR *d = x->task_dir ? x->task_dir : open_task_dir(x);
	struct dirent *e;
	struct task *t;
	u32 i, hint = 0;

	if (!d)
		return;
	rewinddir(d);
	while ((e = readdir(d))) {
		if (e->d_name[0] < '0' || e->d_name[0] > '9')
			continue;
		t = task_of(x, (u32)strtoul(e->d_name, NULL, 10), &hint);
		if (t)
			t->sample = p->sample;
	}
	if (d != x->task_dir)
		closedir(d);
	for (i = 0; i < x->ntasks;) {
		t = &x->tasks[i];
		if (t->sample == p->sample) {
			i++;
			continue;
		}
		x->ended_voluntary += t->voluntary;
		x->ended_involuntary += t->involuntary;
		*t = x->tasks[--x->ntasks];
	}
}

static void sample_switches(struct procfs *p, struct proc *x, bool whole, struct ev_resource *r)
{
	u32 i, n;

	list_tasks(p, x);
	n = whole ? x->ntasks : MIN(x->ntasks, TASKS_PER_SAMPLE);
	for (i = 0; i < n; i++, x->turn++)
		read_task(p, x, &x->tasks[x->turn % x->ntasks]);
	r->voluntary_switches_total = MAX(x->ended_voluntary, x->used_voluntary);
	r->involuntary_switches_total = MAX(x->ended_involuntary, x->used_involuntary);
	for (i = 0; i < x->ntasks; i++) {
		r->voluntary_switches_total += x->tasks[i].voluntary;
		r->involuntary_switches_total += x->tasks[i].involuntary;
	}
	/* A thread leaves the list some moments before the kernel tells what it had used. */
	keep_most(&r->voluntary_switches_total, x->last.voluntary_switches_total);
	keep_most(&r->involuntary_switches_total, x->last.involuntary_switches_total);
}

/* Linux 6.2 put the number of open descriptors into the directory's size; before, they are listed. */
static u32 count_fds(const struct proc *x)
{
	_close_ int fd = -1;
	struct dirent *e;
	struct stat st;
	u32 n = 0;
	DIR *d;

	if (fstatat(x->dir, "fd", &st, 0))
		return 0;
	if (st.st_size > 0)
		return (u32)st.st_size;
	fd = openat(x->dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d)
		return 0;
	fd = -1;
	while ((e = readdir(d)))
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static u64 timespec_ns(const struct timespec *t)
{
	return (u64)t->tv_sec * NSEC_PER_SEC + (u64)t->tv_nsec;
}

/*
 * The clock is read by number; that stat can still be read afterwards, through a descriptor that
 * pins the process, proves that the number was still its own.
 */
static int sample_proc(struct procfs *p, struct proc *x, bool whole, struct ev_resource *r)
{
	struct timespec cpu = { 0 };
	struct proc_stat st;
	u64 in = 0, out = 0;
	clockid_t clock;
	bool has_clock;
	int err;

	memset(r, 0, sizeof(*r));
	has_clock = !clock_getcpuclockid((pid_t)x->pid, &clock) && !clock_gettime(clock, &cpu);
	err = read_stat(p, x, &st);
	if (err == -ESRCH && has_clock) /* Its clock still stands at its last word. */
		x->last.cpu_total_ns = MAX(x->last.cpu_total_ns, timespec_ns(&cpu));
	if (err)
		return err;
	r->rss_bytes = st.rss_pages * p->page;
	r->vms_bytes = st.vms_bytes;
	r->cpu_total_ns = has_clock ? (u64)cpu.tv_sec * NSEC_PER_SEC + (u64)cpu.tv_nsec
				    : (st.user_ticks + st.system_ticks) * p->tick_ns;
	r->minor_faults_total = st.minor_faults;
	r->major_faults_total = st.major_faults;
	r->threads = st.threads;
	r->fds = count_fds(x);
	r->processes = 1;
	if (!read_small(p, x->dir, x->io, "io") &&
	    !proc_field_u64(buf_slice(&p->text), "read_bytes", &in) &&
	    !proc_field_u64(buf_slice(&p->text), "write_bytes", &out)) {
		r->read_bytes_total = in;
		r->write_bytes_total = out;
		r->io_known = 1;
	}
	sample_switches(p, x, whole, r);
	return 0;
}

int procfs_sample(struct procfs *p, u16 target, bool whole, struct ev_resource *ret)
{
	struct ev_resource one;
	u32 i;

	memset(ret, 0, sizeof(*ret));
	ret->hdr = (struct ev_hdr){ .size = sizeof(*ret),
				    .kind = EV_RESOURCE,
				    .target = target,
				    .ts_ns = clock_mono_ns() };
	p->sample++;
	for (i = 0; i < p->n;) {
		struct proc *x = &p->v[i];

		if (x->target != target) {
			i++;
			continue;
		}
		/* Its account is closed when its parent has asked for it, whenever that is. */
		if (x->gone || sample_proc(p, x, whole, &one)) {
			x->gone = true;
			proc_close(p, x);
			add_totals(ret, &x->last);
			i++;
			continue;
		}
		x->last = one;
		add_totals(ret, &one);
		ret->rss_bytes += one.rss_bytes;
		ret->vms_bytes += one.vms_bytes;
		ret->threads += one.threads;
		ret->fds += one.fds;
		ret->io_known = ret->processes ? ret->io_known && one.io_known : one.io_known;
		ret->processes++;
		i++;
	}
	for (i = 0; i < p->nended; i++)
		if (p->ended[i].target == target)
			add_totals(ret, &p->ended[i].totals);
	return ret->processes ? 0 : -ESRCH;
}

/* Regular files only: opening a device that somebody mapped could do anything. */
static int reopen_regular(int path_fd, u64 inode)
{
	char path[32];
	struct stat st;
	int fd;

	if (fstat(path_fd, &st) || !S_ISREG(st.st_mode) || (inode && st.st_ino != inode))
		return -ENOENT;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", path_fd);
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

/* Nobody is to read other memory of a process by calling it that. */
static bool is_vdso(int dir, u64 start, u64 end)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	struct proc_map m;

	if (procdir_read(dir, "maps", &b, PROCDIR_MAPS_MAX))
		return false;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line))
		if (!proc_parse_map(line, &m) && slice_eq(m.path, SLICE("[vdso]")))
			return m.start == start && m.end == end;
	return false;
}

static int copy_vdso(u32 pid, u64 start, u64 end)
{
	_close_ int dir = procdir_open(pid);
	_close_ int mem = -1;
	_close_ int copy = -1;
	u8 page[4096];
	u64 at;

	if (dir < 0)
		return dir;
	if (start >= end || end - start > VDSO_MAX)
		return -EFBIG;
	if (!is_vdso(dir, start, end))
		return -ENOENT;
	mem = openat(dir, "mem", O_RDONLY | O_CLOEXEC);
	copy = mem < 0 ? -1 : memfd_create("vdso", MFD_CLOEXEC);
	if (copy < 0)
		return -errno;
	for (at = start; at < end; at += sizeof(page))
		if (pread(mem, page, sizeof(page), (off_t)at) != (ssize_t)sizeof(page) ||
		    write(copy, page, sizeof(page)) != (ssize_t)sizeof(page))
			return -EIO;
	return take_fd(copy);
}

static int open_mapping(u32 pid, u64 start, u64 end, struct slice path, u64 inode)
{
	_release_(buf) struct buf b = BUF_INIT;
	_close_ int by_range = -1;
	_close_ int by_path = -1;

	if (slice_eq(path, SLICE("[vdso]")))
		return copy_vdso(pid, start, end);
	if (!path.n || *path.p != '/')
		return -ENOENT;
	buf_addf(&b, "/proc/%u/map_files/%llx-%llx", pid, (unsigned long long)start,
		 (unsigned long long)end);
	if (b.oom)
		return -ENOMEM;
	by_range = open(b.p, O_PATH | O_CLOEXEC);
	if (by_range >= 0)
		return reopen_regular(by_range, 0);
	buf_clear(&b);
	buf_addf(&b, "/proc/%u/root%.*s", pid, (int)MIN(path.n, (size_t)PATH_MAX), path.p);
	if (b.oom)
		return -ENOMEM;
	by_path = open(b.p, O_PATH | O_CLOEXEC);
	if (by_path < 0)
		return -errno;
	/* The path may lead to another file by now; the inode number says. */
	return reopen_regular(by_path, inode);
}

int procfs_open_mapping(u32 pid, u64 start, u64 end, struct slice path, u64 inode)
{
	int fd = open_mapping(pid, start, end, path, inode);
	u32 live = fd < 0 ? procdir_live(pid) : pid;

	return live == pid ? fd : open_mapping(live, start, end, path, inode);
}

int procfs_mapping(u32 pid, u16 target, u64 start, u64 end, u64 off, u64 inode, struct slice path,
		   procfs_mapping_fn *fn, void *arg)
{
	_close_ int fd = -1;
	struct ev_mapping ev = { 0 };

	path.n = MIN(path.n, (size_t)PATH_MAX);
	fd = procfs_open_mapping(pid, start, end, path, inode);
	if (fd >= 0)
		elf_build_id(fd, ev.build_id, &ev.build_id_len);
	ev.hdr = (struct ev_hdr){ .size = (u32)((sizeof(ev) + path.n + 7) & ~(size_t)7),
				  .kind = EV_MAPPING,
				  .target = target,
				  .tgid = pid,
				  .ts_ns = clock_mono_ns() };
	ev.start = start;
	ev.end = end;
	ev.file_off = off;
	ev.inode = (u32)inode;
	ev.path_len = (u16)path.n;
	return fn(arg, &ev, path);
}

int procfs_exec_mappings(u32 pid, u16 target, procfs_mapping_fn *fn, void *arg)
{
	_close_ int dir = procdir_open(procdir_live(pid));
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	struct proc_map m;
	int err;

	if (dir < 0)
		return dir;
	err = procdir_read(dir, "maps", &b, PROCDIR_MAPS_MAX);
	if (err)
		return err;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line)) {
		if (proc_parse_map(line, &m) || !m.exec)
			continue;
		err = procfs_mapping(pid, target, m.start, m.end, m.file_off, m.inode, m.path, fn,
				     arg);
		if (err)
			return err;
	}
	return 0;
}

static bool maps_hold_ring(int dir)
{
	_release_(buf) struct buf b = BUF_INIT;
	struct slice text, line;
	struct proc_map m;

	if (procdir_read(dir, "maps", &b, PROCDIR_MAPS_MAX))
		return false;
	text = buf_slice(&b);
	while (proc_next_line(&text, &line))
		if (!proc_parse_map(line, &m) && proc_is_io_uring(m.path))
			return true;
	return false;
}

bool procfs_uses_io_uring(u32 pid)
{
	_close_ int dir = procdir_open(pid);
	_close_ int fd = dir < 0 ? -1 : openat(dir, "fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool found = false;
	char link[64];

	if (d) {
		take_fd(fd); /* closed with the stream */
		while (!found && (e = readdir(d)))
			found = !procdir_link(dirfd(d), e->d_name, link, sizeof(link)) &&
				proc_is_io_uring(slice_str(link));
		closedir(d);
	}
	return found || (dir >= 0 && maps_hold_ring(dir));
}

u32 procfs_find_io_uring(const struct procfs *p)
{
	u32 i;

	for (i = 0; i < p->n; i++)
		if (!p->v[i].gone && procfs_uses_io_uring(p->v[i].pid))
			return p->v[i].pid;
	return 0;
}
