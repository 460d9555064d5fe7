/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/target on processes that this test starts: every way to name them, every reason to refuse
 * one, the family below them. The load stage is compiled into this test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "load/procinfo.c"
#include "load/snapshot.c"
#include "load/target.c"

/* A shell whose own name is unique, with one child; both end when the shell is killed. */
struct family {
	pid_t parent, child;
	u16 port;
	char script[64];
};

static int listen_anywhere(u16 *ret_port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &len), 0);
	*ret_port = ntohs(sa.sin_port);
	return fd;
}

/* The shell knows its child's number before the child has called exec. */
static void wait_for_exec(pid_t pid)
{
	char path[32], cmdline[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", pid);
	do {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		n = read(fd, cmdline, sizeof(cmdline));
		close(fd);
		sched_yield();
	} while (n < 5 || memcmp(cmdline, "sleep", 5));
}

static void family_start(struct family *f)
{
	char line[16] = "";
	int out[2], fd, sock;

	snprintf(f->script, sizeof(f->script), "/tmp/hp-u-target-%d.sh", getpid());
	fd = open(f->script, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	assert_int_equal(fd_write_all(fd, "sleep 60 & echo $!; wait\n", 25), 0);
	close(fd);
	assert_int_equal(pipe(out), 0);
	sock = listen_anywhere(&f->port);
	f->parent = fork();
	if (!f->parent) {
		dup2(out[1], 1);
		close(out[0]);
		close(out[1]);
		execl("/bin/sh", "sh", f->script, NULL);
		_exit(127);
	}
	close(sock); /* the shell and its child hold it now */
	close(out[1]);
	assert_true(read(out[0], line, sizeof(line) - 1) > 0);
	close(out[0]);
	f->child = (pid_t)strtol(line, NULL, 10);
	assert_true(f->child > 0);
	wait_for_exec(f->child);
}

static void family_stop(struct family *f)
{
	kill(f->parent, SIGKILL);
	waitpid(f->parent, NULL, 0);
	kill(f->child, SIGKILL);
	unlink(f->script);
}

static void check_family(const struct target_sel *sel, const struct family *f, bool with_child)
{
	struct target_error err = { 0 };
	struct targets t;

	if (targets_find(&t, sel, &err))
		fail_msg("%s", err.text);
	assert_int_equal(t.ntargets, 1);
	assert_int_equal(t.n, with_child ? 2 : 1);
	assert_int_equal(t.v[0].pid, f->parent);
	assert_int_equal(t.v[0].root_pid, f->parent);
	assert_int_equal(t.v[0].ppid, getpid());
	if (with_child) {
		assert_int_equal(t.v[1].pid, f->child);
		assert_int_equal(t.v[1].root_pid, f->parent);
		assert_int_equal(t.v[1].target, 0);
		assert_string_equal(t.v[1].cmdline, "sleep 60");
		assert_string_equal(t.v[1].runtime, "native");
	}
	targets_release(&t);
}

static void t_ways_to_name(void **state)
{
	struct target_sel sel = { .npids = 1, .children = true };
	struct family f;
	char name[32];
	u32 pids[2];

	(void)state;
	family_start(&f);
	pids[0] = (u32)f.parent;
	sel.pids = pids;
	check_family(&sel, &f, true);
	sel.children = false;
	check_family(&sel, &f, false);
	/* Parent and child named: one target, whatever the order. */
	sel.npids = 2;
	pids[0] = (u32)f.child;
	pids[1] = (u32)f.parent;
	check_family(&sel, &f, true);

	/* Both hold the listening socket: the topmost is the root. */
	sel = (struct target_sel){ .port = f.port, .children = true };
	check_family(&sel, &f, true);
	sel.children = false;
	check_family(&sel, &f, true);

	snprintf(name, sizeof(name), "hp-u-target-%d*", getpid());
	sel = (struct target_sel){ .name = name };
	check_family(&sel, &f, false);
	family_stop(&f);
}

static void t_described(void **state)
{
	u64 now_ms = clock_unix_ns() / NSEC_PER_MSEC;
	_release_(buf) struct buf rec = BUF_INIT;
	struct target_proc p;
	struct ev_target ev;
	struct family f;
	char want[96];

	(void)state;
	family_start(&f);
	assert_int_equal(target_describe((u32)f.parent, &p), 0);
	snprintf(want, sizeof(want), "sh %s", f.script);
	assert_string_equal(p.cmdline, want);
	assert_true(slice_starts(slice_str(p.exe), SLICE("/")));
	/* Ticks of 10 ms, and the wall clock may be slewed meanwhile. */
	assert_in_range(p.started_unix_ms, now_ms - 1000, now_ms + 5000);
	assert_false(p.other_pid_ns || p.other_mnt_ns || p.other_net_ns);
	assert_true(p.pid_ns && p.mnt_ns && p.net_ns);
	assert_int_equal(p.inner_pid, p.pid);
	p.target = 7;
	target_record(&p, 99, &rec);
	assert_true(rec.n >= sizeof(ev));
	memcpy(&ev, rec.p, sizeof(ev));
	assert_int_equal(ev.hdr.kind, EV_TARGET);
	assert_int_equal(ev.hdr.size, rec.n);
	assert_int_equal(rec.n % 8, 0);
	assert_int_equal(ev.hdr.target, 7);
	assert_int_equal(ev.hdr.ts_ns, 99);
	assert_int_equal(ev.cmdline_len, strlen(want));
	assert_memory_equal(rec.p + sizeof(ev), want, strlen(want));
	assert_true(sizeof(ev) + ev.cmdline_len + ev.exe_len + ev.runtime_len + ev.service_len <=
		    rec.n);
	target_proc_release(&p);
	family_stop(&f);
	assert_int_equal(target_describe((u32)f.parent, &p), -ESRCH);
}

static u32 other_tid;
static int gate[2];

static void *publish_tid(void *arg)
{
	char c;

	other_tid = (u32)syscall(SYS_gettid);
	assert_int_equal(write(gate[1], "x", 1), 1);
	while (!read(gate[0], &c, 0) && other_tid)
		usleep(1000);
	return arg;
}

static void refused(u32 pid, enum exit_status status, const char *says)
{
	struct target_sel sel = { .pids = &pid, .npids = 1 };
	struct target_error err = { 0 };
	struct targets t;

	assert_true(targets_find(&t, &sel, &err) < 0);
	if (err.status != status || !strstr(err.text, says) || !strstr(err.text, "; "))
		fail_msg("%u: %d '%s', wanted %d '%s'", pid, err.status, err.text, status, says);
}

static void t_refused(void **state)
{
	pthread_t thread;
	siginfo_t si;
	pid_t zombie;
	char c;

	(void)state;
	refused(0x7ffffff0, EXIT_NO_TARGET, "no process 2147483632");
	refused((u32)getpid(), EXIT_USAGE, "hostprof itself");
	zombie = fork();
	if (!zombie)
		_exit(0);
	waitid(P_PID, (id_t)zombie, &si, WEXITED | WNOWAIT);
	refused((u32)zombie, EXIT_NO_TARGET, "has ended and only waits for its parent");
	waitpid(zombie, NULL, 0);
	refused((u32)zombie, EXIT_NO_TARGET, "no process");

	assert_int_equal(pipe(gate), 0);
	assert_int_equal(pthread_create(&thread, NULL, publish_tid, NULL), 0);
	assert_int_equal(read(gate[0], &c, 1), 1);
	refused(other_tid, EXIT_NO_TARGET, "is a thread of process");
	other_tid = 0;
	pthread_join(thread, NULL);
	close(gate[0]);
	close(gate[1]);
}

static void t_nothing_found(void **state)
{
	struct target_sel sel = { .name = "no-such-name-*" };
	struct target_error err = { 0 };
	struct targets t;
	u16 port;
	int fd;

	(void)state;
	assert_int_equal(targets_find(&t, &sel, &err), -ESRCH);
	assert_int_equal(err.status, EXIT_NO_TARGET);
	assert_non_null(strstr(err.text, "'no-such-name-*'"));
	fd = listen_anywhere(&port);
	close(fd);
	sel = (struct target_sel){ .port = port };
	assert_int_equal(targets_find(&t, &sel, &err), -ESRCH);
	assert_non_null(strstr(err.text, "nothing listens on TCP port"));
	sel = (struct target_sel){ .cgroup = "no/such/cgroup" };
	assert_int_equal(targets_find(&t, &sel, &err), -ESRCH);
	assert_non_null(strstr(err.text, "no cgroup"));
}

/* A directory tree with cgroup.procs files stands in for the real one. */
static void t_cgroup(void **state)
{
	char dir[] = "/tmp/hp-u-cgroup-XXXXXX", path[64], sub[48];
	struct target_sel sel = { .cgroup = dir };
	struct family f;
	FILE *file;

	(void)state;
	assert_non_null(mkdtemp(dir));
	family_start(&f);
	snprintf(sub, sizeof(sub), "%s/inner", dir);
	assert_int_equal(mkdir(sub, 0700), 0);
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	file = fopen(path, "w");
	fprintf(file, "%d\n0\n2147483632\n", f.parent);
	fclose(file);
	check_family(&sel, &f, false);
	snprintf(path, sizeof(path), "%s/cgroup.procs", sub);
	file = fopen(path, "w");
	fprintf(file, "%d\n", f.child);
	fclose(file);
	check_family(&sel, &f, true);
	family_stop(&f);
	unlink(path);
	rmdir(sub);
	snprintf(path, sizeof(path), "%s/cgroup.procs", dir);
	unlink(path);
	rmdir(dir);
}

static void named(u32 ntargets, u32 n, char *cmdline, const char *want)
{
	struct target_proc v[8] = { 0 };
	struct targets t = { .v = v, .n = n, .ntargets = ntargets };
	_release_(buf) struct buf b = BUF_INIT;
	u32 i;

	/* The processes below stand behind the first root. */
	for (i = 0; i < n; i++) {
		v[i].pid = 10 + i;
		v[i].root_pid = i <= n - ntargets ? 10 : 10 + i;
		v[i].cmdline = cmdline;
		v[i].service = (char *)"service";
	}
	targets_name(&t, &b);
	assert_string_equal(b.p, want);
}

static void t_named(void **state)
{
	char line[200], want[300];

	(void)state;
	named(1, 1, (char *)"./shop", "10 (./shop)");
	named(1, 1, (char *)"", "10 (service)");
	named(1, 2, (char *)"a b", "10 (a b) and 1 process below it");
	named(1, 4, (char *)"a", "10 (a) and 3 processes below it");
	named(2, 2, (char *)"a", "10 (a), 11 (a)");
	named(3, 3, (char *)"a", "10 (a), 11 (a), 12 (a)");
	named(5, 5, (char *)"a", "10 (a), 11 (a), 12 (a), 2 more");
	named(2, 5, (char *)"a", "10 (a), 14 (a) and 3 processes below them");
	/* Cut at 120 bytes, and not inside a letter. */
	memset(line, 'x', sizeof(line));
	memcpy(line + 119, "\xc3\xa4", 2);
	line[199] = '\0';
	snprintf(want, sizeof(want), "10 (%.119s…)", line);
	named(1, 1, line, want);
	line[120] = '\0';
	line[119] = 'x';
	snprintf(want, sizeof(want), "10 (%s)", line);
	named(1, 1, line, want);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_ways_to_name), cmocka_unit_test(t_described),
		cmocka_unit_test(t_refused),	  cmocka_unit_test(t_nothing_found),
		cmocka_unit_test(t_cgroup),	  cmocka_unit_test(t_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
