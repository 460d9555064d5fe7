/* SPDX-License-Identifier: Apache-2.0 */
/*
 * doctor, second part: capabilities, PID namespace and the sysctls that hold programs back.
 *
 * Input: /proc. Output: checks of the group "privileges".
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/caps.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "cmd/doctor.h"
#include "load/feat.h"

static int read_number(const char *path, long *ret)
{
	_release_(buf) struct buf b = BUF_INIT;
	int err = file_read(path, &b, 64);
	char *end;

	if (err)
		return err;
	*ret = strtol(b.p ? b.p : "", &end, 10);
	return b.p && end != b.p ? 0 : -EINVAL;
}

#define INIT_PID_NS 0xEFFFFFFCU /* PROC_PID_INIT_INO: fixed since namespaces have inodes */

static const struct cap_row {
	int nr;
	const char *name;
	const char *why;
	enum verdict missing;
} cap_rows[] = {
	{ CAP_BPF, "CAP_BPF", "load BPF programs", FAIL },
	{ CAP_PERFMON, "CAP_PERFMON", "let them see the whole host", FAIL },
	{ CAP_SYS_PTRACE, "CAP_SYS_PTRACE", "look into processes of other users", FAIL },
	{ CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH",
	  "read program files of other users, and tracefs", WARN },
	{ CAP_CHECKPOINT_RESTORE, "CAP_CHECKPOINT_RESTORE",
	  "name functions of files that were replaced since", WARN },
	{ CAP_SYSLOG, "CAP_SYSLOG", "name kernel functions", WARN },
};

static void check_caps(struct doctor *d)
{
	size_t i;

	d->caps = caps_effective();
	for (i = 0; i < ARRAY_SIZE(cap_rows); i++) {
		const struct cap_row *row = &cap_rows[i];
		bool there = !caps_lacking(d->caps, 1ULL << row->nr);
		struct check *c =
			doctor_add(d, "privileges", row->name, row->name, there ? OK : row->missing,
				   SUDO ", or give the file hostprof the capability with setcap: "
					"then all who may execute it measure whatever they like");

		DETAIL(c, "%sto %s", there ? "" : "missing; needed ", row->why);
	}
}

static void check_pid_ns(struct doctor *d)
{
	struct stat st;
	char self[32] = "";
	ssize_t n = readlink("/proc/self", self, sizeof(self) - 1);
	bool alike, works;
	struct check *c;
	char fix[256] = "run hostprof on the host, or in a container with --pid=host";

	if (stat("/proc/self/ns/pid", &st) || n <= 0 || strtol(self, NULL, 10) != getpid()) {
		c = doctor_add(d, "privileges", "procfs", "process numbers", FAIL,
			       "mount a procfs of this PID namespace at /proc");
		DETAIL(c, "/proc shows another PID namespace than hostprof's own");
		return;
	}
	alike = st.st_ino == INIT_PID_NS;
	works = alike || feat_has(FEAT_ITER_TASK_FILE);
	if (!works && feat_is_off(feat_blame(FEAT_ITER_TASK_FILE)))
		feat_fix(FEAT_ITER_TASK_FILE, fix, sizeof(fix));
	c = doctor_add(d, "privileges", "pid_namespace", "process numbers", works ? OK : FAIL, fix);
	if (alike)
		DETAIL(c, "hostprof and kernel count processes alike");
	else if (c->verdict == OK)
		DETAIL(c,
		       "hostprof runs in a PID namespace of its own and sees the processes in it");
	else
		DETAIL(c,
		       "hostprof runs in a PID namespace of its own: the kernel's numbers differ");
}

static void check_sysctls(struct doctor *d)
{
	struct check *c;
	long v;

	if (!read_number("/proc/sys/kernel/unprivileged_bpf_disabled", &v)) {
		int err = feat_probe(FEAT_BPF);
		bool refused = v && (err == -EPERM || err == -EACCES);

		c = doctor_add(d, "privileges", "unprivileged_bpf_disabled",
			       "kernel.unprivileged_bpf_disabled", refused ? WARN : OK, SUDO);
		DETAIL(c, "%ld: %s", v,
		       v ? "BPF for privileged processes only"
			 : "BPF for everybody, within limits");
	}
	if (!read_number("/proc/sys/kernel/perf_event_paranoid", &v)) {
		int err = feat_probe(FEAT_PERF_PROG);
		bool refused = err == -EPERM || err == -EACCES;

		c = doctor_add(d, "privileges", "perf_event_paranoid", "kernel.perf_event_paranoid",
			       refused ? WARN : OK, SUDO ", or use --no-cpu");
		/* Above 2 is no value of the kernel's own: distributions patch it in. */
		DETAIL(c, "%ld: %s", v,
		       !refused ? "does not hold this process back"
		       : v > 2	? "no perf events without CAP_SYS_ADMIN"
				: "no CPU sampling of the whole host without CAP_PERFMON");
	}
	if (!read_number("/proc/sys/kernel/yama/ptrace_scope", &v)) {
		bool refused = v >= 3 || (v > 0 && caps_lacking(d->caps, CAP_BIT(SYS_PTRACE)));

		c = doctor_add(d, "privileges", "ptrace_scope", "kernel.yama.ptrace_scope",
			       refused ? WARN : OK,
			       v >= 3 ? "it can only be lowered by a reboot" : SUDO);
		DETAIL(c, "%ld: %s", v,
		       refused ? "memory of other processes cannot be read"
			       : "does not hold this process back");
	}
}

void doctor_rights(struct doctor *d)
{
	check_caps(d);
	check_pid_ns(d);
	check_sysctls(d);
}
