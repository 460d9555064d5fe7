/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/procfs on processes that this test starts: figures against what the kernel tells the
 * process itself (getrusage), totals that survive their process, mappings against dl_iterate_phdr's
 * view. The load stage is not part of the library, so its files are compiled into this test.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <linux/io_uring.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include "load/procfs.c"
#include "load/procinfo.c"

static u64 timeval_ns(struct timeval t)
{
	return (u64)t.tv_sec * NSEC_PER_SEC + (u64)t.tv_usec * NSEC_PER_USEC;
}

static void burn_ms(u64 ms)
{
	struct timespec t;
	u64 end;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	end = timespec_ns(&t) + ms * NSEC_PER_MSEC;
	while (timespec_ns(&t) < end)
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
}

static void t_own_figures(void **state)
{
	struct procfs *p;
	struct ev_resource a, b;
	struct rusage before, after;
	enum {
		TOUCH = 32 << 20,
		OPEN = 20
	};
	int fds[OPEN], i;
	char *mem;

	(void)state;
	assert_int_equal(procfs_new(&p), 0);
	assert_int_equal(procfs_add(p, (u32)getpid(), 3), 0);
	assert_int_equal(procfs_add(p, (u32)getpid(), 3), -EEXIST);
	assert_int_equal(procfs_sample(p, 3, true, &a), 0);
	getrusage(RUSAGE_SELF, &before);
	mem = mmap(NULL, TOUCH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_true(mem != MAP_FAILED);
	madvise(mem, TOUCH, MADV_NOHUGEPAGE);
	memset(mem, 1, TOUCH);
	for (i = 0; i < OPEN; i++)
		fds[i] = open("/dev/null", O_RDONLY);
	for (i = 0; i < 50; i++)
		usleep(100);
	burn_ms(50);
	getrusage(RUSAGE_SELF, &after);
	assert_int_equal(procfs_sample(p, 3, true, &b), 0);

	assert_int_equal(b.hdr.kind, EV_RESOURCE);
	assert_int_equal(b.hdr.size, sizeof(b));
	assert_int_equal(b.hdr.target, 3);
	assert_true(b.hdr.ts_ns > a.hdr.ts_ns);
	assert_int_equal(b.processes, 1);
	assert_int_equal(b.fds, a.fds + OPEN);
	/* The kernel batches its page counts by CPU: 4 MiB of slack on 32. */
	assert_in_range(b.rss_bytes - a.rss_bytes, TOUCH - (4 << 20), TOUCH + (4 << 20));
	assert_in_range(b.vms_bytes - a.vms_bytes, TOUCH, TOUCH + (16 << 20));
	assert_true(b.minor_faults_total - a.minor_faults_total >=
		    (u64)(after.ru_minflt - before.ru_minflt));
	assert_true(b.voluntary_switches_total - a.voluntary_switches_total >=
		    (u64)(after.ru_nvcsw - before.ru_nvcsw));
	/* Sampled outside the two calls, so never less; more only by the sampling itself. */
	{
		u64 want = timeval_ns(after.ru_utime) + timeval_ns(after.ru_stime) -
			   timeval_ns(before.ru_utime) - timeval_ns(before.ru_stime);
		u64 got = b.cpu_total_ns - a.cpu_total_ns;

		assert_true(want >= 50 * NSEC_PER_MSEC);
		assert_in_range(got, want - 10 * NSEC_PER_USEC, want + 20 * NSEC_PER_MSEC);
	}
	for (i = 0; i < OPEN; i++)
		close(fds[i]);
	munmap(mem, TOUCH);
	procfs_free(p);
}

static int go[2];

static void *sleeper(void *arg)
{
	char c;
	int i;

	for (i = 0; i < 10; i++)
		usleep(100);
	while (read(go[0], &c, 1) < 0)
		;
	return arg;
}

/* More threads than one sample reads: in turns all are reached; those that end stay counted. */
static void t_threads(void **state)
{
	enum {
		N = 3 * TASKS_PER_SAMPLE
	};
	struct ev_resource r, last = { 0 };
	pthread_t t[N];
	struct procfs *p;
	int i;

	(void)state;
	assert_int_equal(pipe(go), 0);
	for (i = 0; i < N; i++)
		assert_int_equal(pthread_create(&t[i], NULL, sleeper, NULL), 0);
	usleep(100000);
	assert_int_equal(procfs_new(&p), 0);
	assert_int_equal(procfs_add(p, (u32)getpid(), 0), 0);
	for (i = 0; i < 4; i++) {
		assert_int_equal(procfs_sample(p, 0, false, &r), 0);
		assert_true(r.threads >= N);
		assert_true(r.voluntary_switches_total >= last.voluntary_switches_total);
		last = r;
	}
	assert_true(last.voluntary_switches_total >= 10 * N);
	assert_int_equal(write(go[1], "0123456789012345678901234567890123456789012345678", N), N);
	for (i = 0; i < N; i++)
		pthread_join(t[i], NULL);
	assert_int_equal(procfs_sample(p, 0, true, &r), 0);
	assert_true(r.threads < N);
	assert_true(r.voluntary_switches_total >= last.voluntary_switches_total);
	procfs_free(p);
	close(go[0]);
	close(go[1]);
}

static pid_t start_child(void)
{
	pid_t pid = fork();

	if (!pid) {
		burn_ms(30);
		raise(SIGSTOP);
		_exit(0);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, NULL, WUNTRACED), pid);
	return pid;
}

static void t_vanishing(void **state)
{
	pid_t a = start_child(), b = start_child();
	struct ev_resource r, end;
	struct procfs *p;

	(void)state;
	assert_int_equal(procfs_new(&p), 0);
	assert_int_equal(procfs_add(p, (u32)a, 1), 0);
	assert_int_equal(procfs_add(p, (u32)b, 1), 0);
	assert_int_equal(procfs_sample(p, 1, true, &r), 0);
	assert_int_equal(r.processes, 2);
	assert_true(r.cpu_total_ns >= 60 * NSEC_PER_MSEC);
	assert_int_equal(procfs_sample(p, 2, true, &end), -ESRCH);
	assert_int_equal(end.cpu_total_ns, 0);

	kill(a, SIGKILL);
	waitpid(a, NULL, 0);
	assert_int_equal(procfs_sample(p, 1, true, &end), 0);
	assert_int_equal(end.processes, 1);
	assert_true(end.cpu_total_ns >= r.cpu_total_ns);
	assert_true(end.minor_faults_total >= r.minor_faults_total);
	/* A zombie is over as well, though its directory is still there. */
	kill(b, SIGKILL);
	{
		siginfo_t si;

		assert_int_equal(waitid(P_PID, (id_t)b, &si, WEXITED | WNOWAIT), 0);
	}
	assert_int_equal(procfs_sample(p, 1, true, &end), -ESRCH);
	assert_int_equal(end.processes, 0);
	assert_int_equal(end.threads, 0);
	assert_true(end.cpu_total_ns >= r.cpu_total_ns);
	assert_int_equal(procfs_add(p, (u32)a, 1), -ESRCH);
	waitpid(b, NULL, 0);
	procfs_free(p);
}

static struct ev_used used_by(pid_t pid, u32 tid, u64 cpu_ns, u64 switches)
{
	return (struct ev_used){
		.hdr = { sizeof(struct ev_used), EV_USED, 1, (u32)pid, tid, 0 },
		.cpu_ns = cpu_ns,
		.voluntary_switches = switches,
		.whole = tid == (u32)pid,
	};
}

/* The kernel's last account of a task: of one that was seen, once and not on top of what was seen. */
static void t_used(void **state)
{
	const u64 last_ns = 500 * NSEC_PER_MSEC;
	pid_t a = start_child(), b = start_child(), none = 0x7ffffffe;
	struct ev_used ev;
	struct ev_resource before, r;
	struct procfs *p;

	(void)state;
	assert_int_equal(procfs_new(&p), 0);
	assert_int_equal(procfs_add(p, (u32)a, 1), 0);
	assert_int_equal(procfs_add(p, (u32)b, 1), 0);
	assert_int_equal(procfs_sample(p, 1, true, &before), 0);
	ev = used_by(a, 0x7ffffff0, 0, 1000);
	procfs_used(p, &ev);
	assert_int_equal(procfs_sample(p, 1, true, &r), 0);
	assert_int_equal(r.voluntary_switches_total, before.voluntary_switches_total + 1000);

	kill(a, SIGKILL);
	waitpid(a, NULL, 0);
	assert_int_equal(procfs_sample(p, 1, true, &r), 0);
	assert_int_equal(r.voluntary_switches_total, before.voluntary_switches_total + 1000);
	ev = used_by(a, (u32)a, last_ns, 3000);
	procfs_used(p, &ev);
	assert_int_equal(procfs_sample(p, 1, true, &r), 0);
	assert_int_equal(r.processes, 1);
	assert_in_range(r.cpu_total_ns, last_ns + 30 * NSEC_PER_MSEC,
			last_ns + before.cpu_total_ns - 30 * NSEC_PER_MSEC);
	assert_in_range(r.voluntary_switches_total, 3000, 3000 + before.voluntary_switches_total);

	/* Between two looks: it was never added. */
	ev = used_by(none, (u32)none, NSEC_PER_SEC, 7);
	procfs_used(p, &ev);
	before = r;
	assert_int_equal(procfs_sample(p, 1, true, &r), 0);
	assert_int_equal(r.cpu_total_ns, before.cpu_total_ns + NSEC_PER_SEC);
	assert_int_equal(r.voluntary_switches_total, before.voluntary_switches_total + 7);
	kill(b, SIGKILL);
	waitpid(b, NULL, 0);
	procfs_free(p);
}

struct walk {
	pid_t pid;
	int self, libc, records, ids;
};

static int on_mapping(void *arg, const struct ev_mapping *m, struct slice path)
{
	u64 here = (u64)(uintptr_t)on_mapping;
	struct walk *w = arg;

	w->records++;
	w->ids += m->build_id_len == 20;
	assert_int_equal(m->hdr.kind, EV_MAPPING);
	assert_int_equal(m->hdr.tgid, w->pid);
	assert_int_equal(m->hdr.target, 5);
	assert_int_equal(m->hdr.size % 8, 0);
	assert_true(m->hdr.size >= sizeof(*m) + path.n && m->path_len == path.n);
	assert_true(m->start < m->end);
	if (here >= m->start && here < m->end) {
		assert_true(slice_ends(path, SLICE("/u_procfs")));
		w->self++;
	}
	if (slice_ends(path, SLICE("/libc.so.6"))) {
		assert_true(m->build_id_len > 0);
		w->libc++;
	}
	return 0;
}

static int stop_at_once(void *arg, const struct ev_mapping *m, struct slice path)
{
	(void)m;
	(void)path;
	++*(int *)arg;
	return -E2BIG;
}

static void t_mappings(void **state)
{
	struct walk w = { .pid = getpid() };
	int calls = 0;

	(void)state;
	assert_int_equal(procfs_exec_mappings((u32)getpid(), 5, on_mapping, &w), 0);
	assert_int_equal(w.self, 1);
	assert_int_equal(w.libc, 1);
	assert_true(w.records > 4 && w.ids > 2);
	assert_int_equal(procfs_exec_mappings((u32)getpid(), 5, stop_at_once, &calls), -E2BIG);
	assert_int_equal(calls, 1);
	assert_int_equal(procfs_exec_mappings(0x7fffffff, 5, stop_at_once, &calls), -ESRCH);
}

static void *wait_for_end(void *arg)
{
	char c;

	(void)!read(*(int *)arg, &c, 1);
	_exit(0);
}

/* Its first thread has ended before another one: the process has all that it had. */
static void t_first_thread_gone(void **state)
{
	struct target_proc self, p;
	struct walk w = { 0 };
	struct proc_stat st = { 0 };
	int fds[2], dir;
	pthread_t thread;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[1]);
		if (pthread_create(&thread, NULL, wait_for_end, fds))
			_exit(1);
		syscall(SYS_exit, 0);
	}
	w.pid = pid;
	dir = procdir_open((u32)pid);
	while (!procdir_stat(dir, &st) && st.state != 'Z')
		sched_yield();
	assert_int_equal(st.state, 'Z');
	assert_int_not_equal(procdir_live((u32)pid), pid);
	assert_int_equal(procfs_exec_mappings((u32)pid, 5, on_mapping, &w), 0);
	assert_int_equal(w.self, 1);
	assert_int_equal(w.libc, 1);
	assert_true(w.ids > 2); /* the files can be opened */
	assert_int_equal(target_describe((u32)getpid(), &self), 0);
	assert_int_equal(target_describe((u32)pid, &p), 0);
	assert_string_equal(p.exe, self.exe);
	assert_string_equal(p.cmdline, self.cmdline);
	assert_int_equal(p.inner_pid, pid);
	assert_int_equal(p.mnt_ns, self.mnt_ns);
	target_proc_release(&self);
	target_proc_release(&p);
	close(dir);
	close(fds[1]);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	close(fds[0]);
	/* Now it is nobody's any more. */
	assert_int_equal(procdir_live((u32)pid), pid);
	assert_int_equal(procfs_exec_mappings((u32)pid, 5, on_mapping, &w), -ESRCH);
}

/* A ring is found by its descriptor, by its mapping when that is closed, and not without either. */
static void t_io_uring(void **state)
{
	struct io_uring_params params = { 0 };
	struct procfs *all;
	u32 self = (u32)getpid();
	size_t size;
	void *p;
	int fd;

	(void)state;
	assert_false(procfs_uses_io_uring(self));
	assert_false(procfs_uses_io_uring(0x7fffffff));
	fd = (int)syscall(SYS_io_uring_setup, 4, &params);
	if (fd < 0) /* switched off, or not in this kernel: then nobody has one */
		return;
	assert_true(procfs_uses_io_uring(self));
	assert_int_equal(procfs_new(&all), 0);
	assert_int_equal(procfs_find_io_uring(all), 0);
	assert_int_equal(procfs_add(all, self, 0), 0);
	assert_int_equal(procfs_find_io_uring(all), self);
	procfs_free(all);
	size = params.sq_off.array + params.sq_entries * sizeof(u32);
	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, IORING_OFF_SQ_RING);
	assert_true(p != MAP_FAILED);
	close(fd);
	assert_true(procfs_uses_io_uring(self));
	munmap(p, size);
	assert_false(procfs_uses_io_uring(self));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_own_figures), cmocka_unit_test(t_threads),
		cmocka_unit_test(t_vanishing),	 cmocka_unit_test(t_used),
		cmocka_unit_test(t_mappings),	 cmocka_unit_test(t_first_thread_gone),
		cmocka_unit_test(t_io_uring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
