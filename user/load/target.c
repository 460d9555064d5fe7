/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which processes are the targets.
 *
 * Input: process ids, a port, a name or a cgroup. Output: the processes of each target, described.
 * One snapshot of /proc (pid, parent, state) is taken; each kind of selection marks processes in
 * it, and the marked ones without a marked ancestor become the roots. So a server whose workers
 * share its listening socket is one target, and two servers of one name are two.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "base/cleanup.h"
#include "base/elffacts.h"
#include "base/map.h"
#include "load/procdir.h"
#include "load/snapshot.h"
#include "load/target.h"

#define DEPTH_MAX 256 /* ancestors looked at: the snapshot is not atomic and may hold a loop */

static int refuse(struct target_error *err, enum exit_status status, int code, const char *fmt, ...)
	PRINTF(4, 5);

static int refuse(struct target_error *err, enum exit_status status, int code, const char *fmt, ...)
{
	va_list ap;

	err->status = status;
	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return code;
}

static int refuse_gone(struct target_error *err, u32 pid)
{
	return refuse(err, EXIT_NO_TARGET, -ESRCH,
		      "no process %u; 'ps -e' lists what runs, --name and --port find it for you",
		      pid);
}

/* What helps against a refusal; "run with sudo" is no help to who has done it. */
static const char *rights_fix(void)
{
	return geteuid()
		       ? "run with sudo, or with CAP_SYS_PTRACE"
		       : "root lacks CAP_SYS_PTRACE for it here: run hostprof on the host, or in a "
			 "container with --pid=host --cap-add=SYS_PTRACE";
}

/* /proc/TID exists for every thread, though it is not listed. */
static int check_thread(int dir, u32 pid, struct target_error *err)
{
	_release_(buf) struct buf b = BUF_INIT;
	u64 tgid;

	if (procdir_read(dir, "status", &b, 64 << 10) ||
	    proc_field_u64(buf_slice(&b), "Tgid", &tgid) || tgid == pid)
		return 0;
	return refuse(err, EXIT_NO_TARGET, -ESRCH, "%u is a thread of process %llu; give %llu", pid,
		      (unsigned long long)tgid, (unsigned long long)tgid);
}

static int check_exe(int dir, u32 pid, const char *comm, struct target_error *err)
{
	_close_ int exe = openat(dir, "exe", O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct elf_facts facts;

	if (exe < 0 && (errno == EACCES || errno == EPERM))
		return refuse(err, EXIT_PRIVILEGE, -EPERM, "process %u (%s) %s; %s", pid, comm,
			      geteuid() ? "belongs to another user"
					: "may not be looked into, though this is root",
			      rights_fix());
	if (exe < 0) /* gone, or on a file system that is: nothing to say against it */
		return 0;
	if (elf_facts_read(exe, &facts) == -ENOTSUP && !facts.is_64)
		return refuse(err, EXIT_PRIVILEGE, -ENOTSUP,
			      "process %u (%s) is a 32-bit program, which hostprof cannot read; "
			      "profile a 64-bit build of it",
			      pid, comm);
	return 0;
}

int target_check(u32 pid, struct target_error *err)
{
	_close_ int dir = procdir_open(pid);
	struct proc_stat st;
	int res;

	if (dir < 0)
		return refuse_gone(err, pid);
	if (pid == (u32)getpid())
		return refuse(err, EXIT_USAGE, -EINVAL,
			      "process %u is hostprof itself; give another process", pid);
	res = check_thread(dir, pid, err);
	if (res)
		return res;
	if (procdir_stat(dir, &st))
		return refuse_gone(err, pid);
	if (st.flags & PROC_PF_KTHREAD)
		return refuse(err, EXIT_PRIVILEGE, -ENOTSUP,
			      "process %u (%s) is a kernel thread, which serves no requests of its "
			      "own; give a user process",
			      pid, st.comm);
	/* A main thread may end before the others: that process still runs. */
	if ((st.state == 'Z' || st.state == 'X') && st.threads <= 1)
		return refuse(err, EXIT_NO_TARGET, -ESRCH,
			      "process %u (%s) has ended and only waits for its parent %u; give a "
			      "running process",
			      pid, st.comm, st.ppid);
	return check_exe(dir, pid, st.comm, err);
}

static int mark_pids(struct snapshot *s, const struct target_sel *sel, struct target_error *err)
{
	u32 i;
	int res;

	for (i = 0; i < sel->npids; i++) {
		struct snap_proc *p;

		res = target_check(sel->pids[i], err);
		if (res)
			return res;
		p = snapshot_find(s, sel->pids[i]);
		if (!p)
			return refuse_gone(err, sel->pids[i]);
		p->marked = true;
	}
	return 0;
}

/* Found processes are not named one by one: those that cannot be profiled are passed over. */
static int drop_unfit(struct snapshot *s, struct target_error *err)
{
	int last = 0;
	u32 i, left = 0;

	for (i = 0; i < s->n; i++) {
		int res;

		if (!s->v[i].marked)
			continue;
		res = target_check(s->v[i].pid, err);
		s->v[i].marked = !res;
		left += !res;
		last = res ? res : last;
	}
	return left ? 0 : last;
}

static int mark(struct snapshot *s, const struct target_sel *sel, struct target_error *err)
{
	int found;

	if (sel->npids)
		return mark_pids(s, sel, err);
	if (sel->port) {
		found = snapshot_mark_port(s, (u16)sel->port);
		if (found == -EACCES)
			return refuse(
				err, EXIT_PRIVILEGE, -EPERM,
				"TCP port %u is listened on, but by a process that this user may "
				"not look into; %s",
				sel->port, rights_fix());
		if (!found)
			return refuse(err, EXIT_NO_TARGET, -ESRCH,
				      "nothing listens on TCP port %u; 'ss -ltnp' lists what does",
				      sel->port);
	} else if (sel->name) {
		found = snapshot_mark_name(s, sel->name);
		if (!found)
			return refuse(
				err, EXIT_NO_TARGET, -ESRCH,
				"no process is called '%.80s'; 'ps -e' lists names, and * matches "
				"any letters",
				sel->name);
	} else {
		found = snapshot_mark_cgroup(s, sel->cgroup);
		if (found == -ENOENT)
			return refuse(err, EXIT_NO_TARGET, -ESRCH,
				      "no cgroup '%.120s'; give a directory below /sys/fs/cgroup",
				      sel->cgroup);
		if (!found)
			return refuse(
				err, EXIT_NO_TARGET, -ESRCH,
				"cgroup '%.120s' holds no process; 'systemd-cgls' shows where they "
				"are",
				sel->cgroup);
	}
	if (found < 0)
		return refuse(err, EXIT_FAILED, found, "cannot look for targets: %s",
			      strerror(-found));
	return drop_unfit(s, err);
}

/* The topmost marked process among p and its ancestors; NULL when none is. */
static const struct snap_proc *root_of(const struct snapshot *s, const struct snap_proc *p)
{
	const struct snap_proc *root = NULL;
	int depth;

	for (depth = 0; p && depth < DEPTH_MAX; depth++) {
		if (p->marked)
			root = p;
		if (p->ppid <= 1 && root)
			break;
		p = snapshot_find(s, p->ppid);
	}
	return root;
}

/* hostprof and its analyst may stand between: a shell was named, and hostprof runs in it. */
static bool is_ours(const struct snapshot *s, const struct snap_proc *p,
		    const struct snap_proc *root)
{
	u32 self = (u32)getpid();
	int depth;

	for (depth = 0; p && p != root && depth < DEPTH_MAX; depth++) {
		if (p->pid == self)
			return true;
		p = snapshot_find(s, p->ppid);
	}
	return false;
}

static int add_proc(struct targets *t, u32 pid, u32 root_pid, u16 target)
{
	int err;

	if (t->n == TARGET_PROCS_MAX) {
		t->left_out++;
		return 0;
	}
	err = target_describe(pid, &t->v[t->n]);
	if (err == -ENOMEM)
		return err;
	if (err) /* gone since the snapshot */
		return pid == root_pid ? -ESRCH : 0;
	t->v[t->n].root_pid = root_pid;
	t->v[t->n].target = target;
	t->n++;
	return 0;
}

/* Roots get their numbers in the order they were named in, found ones by pid. */
static int add_target(struct targets *t, const struct snapshot *s, u32 root_pid, bool children)
{
	u16 target = (u16)t->ntargets;
	u32 i;
	int err;

	err = add_proc(t, root_pid, root_pid, target);
	if (err == -ESRCH)
		return 0;
	for (i = 0; !err && i < s->n; i++) {
		const struct snap_proc *p = &s->v[i], *root;

		if (p->pid == root_pid || (p->flags & PROC_PF_KTHREAD) || (!children && !p->marked))
			continue;
		root = root_of(s, p);
		if (root && root->pid == root_pid && p->state != 'Z' && p->state != 'X' &&
		    !is_ours(s, p, root))
			err = add_proc(t, p->pid, root_pid, target);
	}
	t->ntargets++;
	return err;
}

static int collect(struct targets *t, const struct snapshot *s, const struct target_sel *sel)
{
	u32 i, n = sel->npids ? sel->npids : s->n;
	int err = 0;

	for (i = 0; !err && i < n && t->ntargets <= UINT16_MAX; i++) {
		const struct snap_proc *p = sel->npids ? snapshot_find(s, sel->pids[i]) : &s->v[i];

		if (p && p->marked && root_of(s, p) == p)
			err = add_target(t, s, p->pid, sel->children);
	}
	return err;
}

int targets_find(struct targets *ret, const struct target_sel *sel, struct target_error *err)
{
	_release_(snapshot) struct snapshot s = { 0 };
	int res;

	memset(ret, 0, sizeof(*ret));
	res = snapshot_take(&s);
	if (res)
		return refuse(err, EXIT_FAILED, res, "cannot list processes: %s; is /proc mounted?",
			      strerror(-res));
	res = mark(&s, sel, err);
	if (res)
		return res;
	ret->v = calloc(TARGET_PROCS_MAX, sizeof(*ret->v));
	res = ret->v ? collect(ret, &s, sel) : -ENOMEM;
	if (!res && !ret->n) {
		targets_release(ret);
		return refuse(err, EXIT_NO_TARGET, -ESRCH,
			      "the target ended before it was attached to; start it again");
	}
	if (res) {
		targets_release(ret);
		return refuse(err, EXIT_FAILED, res, "cannot describe the targets: %s",
			      strerror(-res));
	}
	return 0;
}

/* Its command line in at most max bytes and whole letters; a process without one has a name. */
static void add_cmdline(const struct target_proc *p, size_t max, struct buf *out)
{
	struct slice s = slice_str(*p->cmdline ? p->cmdline : p->service);
	size_t n = s.n;

	if (n > max)
		for (n = max; n && ((unsigned char)s.p[n] & 0xc0) == 0x80; n--)
			;
	buf_addf(out, "%u (", p->pid);
	buf_add_slice(out, slice_of(s.p, n));
	buf_adds(out, n < s.n ? "…)" : ")");
}

void targets_name(const struct targets *t, struct buf *out)
{
	u32 i, named = 0, below = t->n - t->ntargets;

	for (i = 0; i < t->n && named < TARGETS_NAMED; i++) {
		if (t->v[i].pid != t->v[i].root_pid)
			continue;
		if (named++)
			buf_adds(out, ", ");
		add_cmdline(&t->v[i], t->ntargets > 1 ? 60 : 120, out);
	}
	if (t->ntargets > named)
		buf_addf(out, ", %u more", t->ntargets - named);
	if (below)
		buf_addf(out, " and %u process%s below %s", below, below == 1 ? "" : "es",
			 t->ntargets > 1 ? "them" : "it");
}

void targets_release(struct targets *t)
{
	u32 i;

	for (i = 0; i < t->n; i++)
		target_proc_release(&t->v[i]);
	free(t->v);
	memset(t, 0, sizeof(*t));
}
