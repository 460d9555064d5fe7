/* SPDX-License-Identifier: Apache-2.0 */
/* decode/channel: requests of the right length only, answers with a descriptor, a peer that is gone. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "decode/channel.h"

static u32 open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	u32 n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n;
}

static void t_channel(void **state)
{
	struct chan_request req = { .type = CHAN_VERDICT, .conn_id = 7 }, got;
	u8 big[sizeof(req) + 8] = { 0 };
	size_t n;
	int fds[2];

	(void)state;
	assert_int_equal(chan_pair(fds), 0);
	assert_int_equal(fcntl(fds[0], F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(chan_receive(fds[0], &got), 0);
	req.verdict.turn_max[1] = 99;
	memset(req.path, 'p', sizeof(req.path));
	assert_int_equal(chan_send(fds[1], &req), 0);
	req.conn_id = 8;
	assert_int_equal(chan_send(fds[1], &req), 0);
	assert_int_equal(chan_receive(fds[0], &got), 1);
	assert_int_equal(got.conn_id, 7);
	assert_int_equal(got.verdict.turn_max[1], 99);
	assert_int_equal(strlen(got.path), sizeof(got.path) - 1);
	assert_int_equal(chan_receive(fds[0], &got), 1);
	assert_int_equal(got.conn_id, 8);
	assert_int_equal(chan_receive(fds[0], &got), 0);

	/* Of any other length it is no request, and the next one is still read. */
	for (n = 1; n <= sizeof(big); n += n < 16 || n > sizeof(req) - 16 ? 1 : 37) {
		assert_int_equal(send(fds[1], big, n, 0), n);
		assert_int_equal(chan_receive(fds[0], &got), n == sizeof(req) ? 1 : -EBADMSG);
	}
	assert_int_equal(chan_receive(fds[0], &got), 0);
	assert_int_equal(chan_send(fds[1], &req), 0);
	close(fds[1]);
	assert_int_equal(chan_receive(fds[0], &got), 1);
	assert_int_equal(chan_receive(fds[0], &got), -EPIPE);
	assert_int_equal(chan_send(fds[0], &req), -EPIPE);
	assert_int_equal(chan_answer(fds[0], -ENOENT), -EPIPE);
	close(fds[0]);
	assert_int_equal(chan_receive(fds[0], &got), -EBADF);
}

/* The collector's answer to one request, in a process of its own. */
static int answered(int (*answer)(int fd), bool leave)
{
	struct chan_request req = { .type = CHAN_OPEN_KALLSYMS };
	int fds[2], err, status;
	pid_t pid;

	assert_int_equal(chan_pair(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(fds[1]);
		while (!leave && !(err = chan_receive(fds[0], &req)))
			usleep(1000);
		_exit(leave ? 0 : err != 1 || answer(fds[0]));
	}
	close(fds[0]);
	if (leave)
		assert_int_equal(waitpid(pid, &status, 0), pid);
	err = chan_call(fds[1], &req);
	if (!leave)
		assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	close(fds[1]);
	return err;
}

static int answer_file(int fd)
{
	_close_ int file = memfd_create("answer", MFD_CLOEXEC);

	return write(file, "file", 4) != 4 || lseek(file, 0, SEEK_SET) || chan_answer(fd, file);
}

static int answer_error(int fd)
{
	return chan_answer(fd, -EACCES);
}

static int answer_nothing(int fd)
{
	return close(fd);
}

static int send_with_file(int fd, const void *p, size_t n)
{
	union {
		struct cmsghdr hdr;
		char space[CMSG_SPACE(sizeof(int))];
	} control = { .hdr = { .cmsg_level = SOL_SOCKET,
			       .cmsg_type = SCM_RIGHTS,
			       .cmsg_len = CMSG_LEN(sizeof(int)) } };
	struct iovec iov = { (void *)p, n };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	int file = open("/dev/null", O_RDONLY);

	memcpy(CMSG_DATA(&control.hdr), &file, sizeof(file));
	return sendmsg(fd, &msg, 0) < 0;
}

static int answer_short(int fd)
{
	return send_with_file(fd, "ab", 2);
}

static int answer_error_with_file(int fd)
{
	s32 result = -EACCES;

	return send_with_file(fd, &result, sizeof(result));
}

static int answer_positive(int fd)
{
	s32 result = 5;

	return send_with_file(fd, &result, sizeof(result));
}

static int answer_no_file(int fd)
{
	s32 result = 0;

	return send(fd, &result, sizeof(result), 0) < 0;
}

static void t_channel_call(void **state)
{
	char text[64] = "";
	u32 before;
	int fd;

	(void)state;
	fd = answered(answer_file, false);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	assert_int_equal(read(fd, text, sizeof(text) - 1), 4);
	assert_string_equal(text, "file");
	close(fd);

	before = open_fds();
	assert_int_equal(answered(answer_error, false), -EACCES);
	assert_int_equal(answered(answer_nothing, false), -EPIPE);
	assert_int_equal(answered(answer_short, false), -EPROTO);
	assert_int_equal(answered(answer_positive, false), -EPROTO);
	assert_int_equal(answered(answer_no_file, false), -EPROTO);
	assert_int_equal(answered(answer_error_with_file, false), -EACCES);
	assert_int_equal(answered(answer_file, true), -EPIPE);
	/* Descriptors that came with a wrong answer are closed. */
	assert_int_equal(open_fds(), before);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(t_channel),
		cmocka_unit_test(t_channel_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
