/* SPDX-License-Identifier: Apache-2.0 */
/* See channel.h. */
#include "decode/channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int chan_pair(int fds[2])
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) ? -errno : 0;
}

#define CONTROL_BYTES CMSG_SPACE(sizeof(int))

union control {
	struct cmsghdr hdr;
	char space[CONTROL_BYTES];
};

static void put_file(struct msghdr *msg, union control *control, int file)
{
	struct cmsghdr *c;

	memset(control, 0, sizeof(*control));
	msg->msg_control = control;
	msg->msg_controllen = sizeof(*control);
	c = CMSG_FIRSTHDR(msg);
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &file, sizeof(file));
}

static int get_file(struct msghdr *msg)
{
	struct cmsghdr *c = CMSG_FIRSTHDR(msg);
	int file = -1;

	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof(int)))
		memcpy(&file, CMSG_DATA(c), sizeof(file));
	return file;
}

static int send_all(int fd, const void *p, size_t size, int file, int flags)
{
	union control control;
	struct iovec iov = { (void *)p, size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t n;

	if (file >= 0)
		put_file(&msg, &control, file);
	do {
		n = sendmsg(fd, &msg, MSG_NOSIGNAL | flags);
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

int chan_send(int fd, const struct chan_request *req)
{
	return send_all(fd, req, sizeof(*req), -1, 0);
}

/* 0 and the result that was sent, with the descriptor that came along. */
static int await(int fd, s32 *ret_result, int *ret_file)
{
	union control control;
	struct iovec iov = { ret_result, sizeof(*ret_result) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t n;

	do {
		n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	*ret_file = get_file(&msg);
	return n == sizeof(*ret_result) ? 0 : n ? -EPROTO : -EPIPE;
}

int chan_call(int fd, const struct chan_request *req)
{
	s32 result = 0;
	int file = -1, err = chan_send(fd, req);

	if (err)
		return err;
	err = await(fd, &result, &file);
	if (!err && !result)
		return file >= 0 ? file : -EPROTO;
	if (file >= 0)
		close(file);
	return err ? err : result < 0 ? result : -EPROTO;
}

int chan_ask(int fd, const struct chan_request *req, int file)
{
	s32 result = 0;
	int got = -1, err = send_all(fd, req, sizeof(*req), file, 0);

	if (err)
		return err;
	err = await(fd, &result, &got);
	if (got >= 0) {
		close(got);
		return -EPROTO;
	}
	return err ? err : result ? result : -EPROTO;
}

int chan_receive_file(int fd, struct chan_request *ret, int *ret_file)
{
	union control control;
	struct iovec iov = { ret, sizeof(*ret) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = ret_file ? &control : NULL,
		.msg_controllen = ret_file ? sizeof(control) : 0,
	};
	ssize_t n;
	int err = 0;

	if (ret_file)
		*ret_file = -1;
	do {
		/* MSG_TRUNC: the datagram's own length, so that a longer one does not pass. */
		n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_TRUNC | MSG_CMSG_CLOEXEC);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == ECONNRESET ? -EPIPE : -errno;
	if (ret_file)
		*ret_file = get_file(&msg);
	if (n != sizeof(*ret))
		err = n ? -EBADMSG : -EPIPE;
	if (err && ret_file && *ret_file >= 0) {
		close(*ret_file);
		*ret_file = -1;
	}
	ret->path[sizeof(ret->path) - 1] = '\0';
	return err ? err : 1;
}

int chan_receive(int fd, struct chan_request *ret)
{
	return chan_receive_file(fd, ret, NULL);
}

int chan_answer(int fd, int file)
{
	s32 result = file < 0 ? file : 0;

	return send_all(fd, &result, sizeof(result), file, MSG_DONTWAIT);
}

int chan_answer_number(int fd, int number)
{
	s32 result = number ? number : -EPROTO;

	return send_all(fd, &result, sizeof(result), -1, MSG_DONTWAIT);
}

int chan_read(int fd, u32 tgid, u64 addr, void *buf, size_t n)
{
	const struct chan_request req = {
		.type = CHAN_READ_MEMORY,
		.tgid = tgid,
		.start = addr,
		.end = addr + n,
	};
	s32 result = 0;
	struct iovec iov[] = { { &result, sizeof(result) }, { buf, n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };
	ssize_t got;
	int err;

	if (!n || n > CHAN_READ_MAX || req.end < addr)
		return -EINVAL;
	err = chan_send(fd, &req);
	if (err)
		return err;
	do {
		got = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	} while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	if (got < (ssize_t)sizeof(result))
		return got ? -EPROTO : -EPIPE;
	if (result < 0)
		return result;
	return (size_t)got == sizeof(result) + n ? 0 : -EPROTO;
}

int chan_answer_bytes(int fd, const void *p, size_t n)
{
	s32 result = 0;
	struct iovec iov[] = { { &result, sizeof(result) }, { (void *)p, n } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = ARRAY_SIZE(iov) };

	return sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 ? -errno : 0;
}
