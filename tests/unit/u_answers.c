/* SPDX-License-Identifier: Apache-2.0 */
/*
 * load/answers: functions that could not be hooked are counted and told, unless nothing was to be hooked
 * or the process is gone. The file is compiled into this test, which plays the probes below it.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/wait.h>
#include "load/answers.c"

static int hook_err; /* what the probes answer */
static int open_err;
static u32 hooked;

int probes_hook_python(struct probes *p, u32 tgid, int fd, u32 site, u64 off)
{
	(void)p;
	(void)tgid;
	(void)site;
	assert_true(fd >= 0 && off);
	hooked++;
	return hook_err;
}

int probes_python_worker(struct probes *p, u32 tgid, u64 code, u64 local, u32 kind)
{
	(void)p;
	(void)tgid;
	(void)code;
	(void)local;
	(void)kind;
	hooked++;
	return hook_err;
}

int procfs_open_mapping(u32 pid, u64 start, u64 end, struct slice path, u64 inode)
{
	(void)pid;
	(void)start;
	(void)end;
	(void)path;
	(void)inode;
	return open_err ? open_err : open("/dev/null", O_RDONLY | O_CLOEXEC);
}

/* Not asked for here. */
int procfs_open_perf_map(u32 pid)
{
	(void)pid;
	return -ENOENT;
}

int probes_verdict(struct probes *p, u64 conn_id, const struct hp_verdict *v)
{
	(void)p;
	(void)conn_id;
	(void)v;
	return 0;
}

bool unwinder_knows(const struct unwinder *u, u32 tgid)
{
	(void)u;
	(void)tgid;
	return false;
}

int unwinder_table(struct unwinder *u, int fd)
{
	(void)u;
	(void)fd;
	return -EINVAL;
}

int unwinder_bind(struct unwinder *u, const struct chan_request *req)
{
	(void)u;
	(void)req;
	return -EINVAL;
}

int unwinder_code(struct unwinder *u, const struct chan_request *req)
{
	return unwinder_bind(u, req);
}

int unwinder_python(struct unwinder *u, const struct chan_request *req)
{
	return unwinder_bind(u, req);
}

/* Asks for both functions of a process and a worker function of it. */
static void ask(struct answers *a, u32 tgid)
{
	struct chan_request req = { .type = CHAN_PROBE, .tgid = tgid, .path = "/usr/lib/x.so" };
	int fds[2];

	hooked = 0;
	assert_int_equal(chan_pair(fds), 0);
	req.sites[PY_SITE_TASK] = 0x1000;
	req.sites[PY_SITE_WRITE] = 0x2000;
	assert_int_equal(chan_send(fds[1], &req), 0);
	req = (struct chan_request){ .type = CHAN_PY_WORKER, .tgid = tgid, .start = 1 };
	assert_int_equal(chan_send(fds[1], &req), 0);
	a->chan_fd = fds[0];
	assert_int_equal(answers_serve(a), 0);
	close(fds[0]);
	close(fds[1]);
}

static void t_hooked(void **state)
{
	struct answers a = { 0 };
	char text[256];

	(void)state;
	hook_err = open_err = 0;
	ask(&a, (u32)getpid());
	assert_int_equal(hooked, 3);
	assert_false(answers_note(&a, text, sizeof(text)));
}

static void t_refused(void **state)
{
	struct answers a = { 0 };
	char text[256];

	(void)state;
	hook_err = -E2BIG;
	open_err = 0;
	ask(&a, (u32)getpid());
	assert_int_equal(hooked, 3);
	assert_true(answers_note(&a, text, sizeof(text)));
	assert_string_equal(text, "3 functions of Python could not be hooked (Argument list too "
				  "long): calls of these processes' tasks and threads may be bound "
				  "to no request");
}

static void t_no_file(void **state)
{
	struct answers a = { 0 };
	char text[256];

	(void)state;
	hook_err = 0;
	open_err = -EACCES;
	ask(&a, (u32)getpid());
	assert_int_equal(hooked, 1);
	assert_int_equal(a.unhooked, 2);
	a.unhooked = 1;
	assert_true(answers_note(&a, text, sizeof(text)));
	assert_string_equal(text, "1 function of Python could not be hooked (Permission denied): "
				  "calls of these processes' tasks and threads may be bound to no "
				  "request");
}

/* What the ladder lacks is said already; and who has ended asks for nothing any more. */
static void t_nothing_to_say(void **state)
{
	struct answers a = { 0 };
	pid_t gone = fork();

	(void)state;
	if (!gone)
		_exit(0);
	assert_int_equal(waitpid(gone, NULL, 0), gone);
	hook_err = -ESRCH;
	open_err = 0;
	ask(&a, (u32)gone);
	hook_err = 0;
	open_err = -ENOENT;
	ask(&a, (u32)gone);
	hook_err = -EOPNOTSUPP;
	open_err = 0;
	ask(&a, (u32)getpid());
	assert_int_equal(a.unhooked, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_hooked),
		cmocka_unit_test(t_refused),
		cmocka_unit_test(t_no_file),
		cmocka_unit_test(t_nothing_to_say),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
