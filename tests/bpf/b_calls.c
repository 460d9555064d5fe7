/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Each system call that moves bytes, on each kind of socket, an exact number of times: the records
 * have every byte once, at its position, with its content.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include "load/kfuncs.h"

#define TIMES 7
#define CHUNK 1200

enum call {
	CALL_PLAIN,
	CALL_VEC,
	CALL_TO_FROM,
	CALL_MSG,
	CALL_MMSG,
	CALL_V2,
	CALLS,
};

/* Shared with the child: what it did. */
static struct plan {
	u64 bytes[2]; /* 0: client to server */
	u64 sends[2];
	u64 recvs[2];
	u64 inside[2]; /* transfers without readable bytes at the sender */
	u64 inside_recv[2];
} * plan;

static int family;
static int ends[2]; /* client, server */
static u64 sent[2], got[2];

static void vec(struct iovec *iov, u8 *buf, size_t n)
{
	iov[0] = (struct iovec){ buf, 3 }; /* inside any header */
	iov[1] = (struct iovec){ buf + 3, n / 2 };
	iov[2] = (struct iovec){ buf + 3 + n / 2, n - 3 - n / 2 };
}

static void send_by(u32 dir, enum call how)
{
	struct mmsghdr mm[3] = { 0 };
	struct msghdr msg = { 0 };
	struct iovec iov[3];
	int fd = ends[dir];
	u8 buf[CHUNK];
	ssize_t n = -1;
	u32 i;

	lab_fill(buf, sizeof(buf), &sent[dir]);
	vec(iov, buf, sizeof(buf));
	plan->sends[dir]++;
	plan->bytes[dir] += sizeof(buf);
	msg.msg_iov = iov;
	msg.msg_iovlen = 3;
	switch (how) {
	case CALL_PLAIN:
		n = write(fd, buf, sizeof(buf));
		break;
	case CALL_VEC:
		n = writev(fd, iov, 3);
		break;
	case CALL_TO_FROM:
		n = sendto(fd, buf, sizeof(buf), 0, NULL, 0);
		break;
	case CALL_MSG:
		n = sendmsg(fd, &msg, 0);
		break;
	case CALL_MMSG:
		for (i = 0; i < 3; i++) {
			mm[i].msg_hdr.msg_iov = &iov[i];
			mm[i].msg_hdr.msg_iovlen = 1;
		}
		MUST(sendmmsg(fd, mm, 3, 0) == 3);
		plan->sends[dir] += 2;
		return;
	default:
		n = pwritev2(fd, iov, 3, -1, 0);
	}
	MUST(n == sizeof(buf));
}

/* Loopback delivers a little later than the send returns, now and then. */
static void all_there(int fd)
{
	int n = 0;

	for (u32 i = 0; i < 5000 && n < CHUNK; i++) {
		MUST(ioctl(fd, FIONREAD, &n) == 0);
		if (n < CHUNK)
			usleep(1000);
	}
	MUST(n == CHUNK);
}

static void recv_by(u32 dir, enum call how)
{
	struct mmsghdr mm[2] = { 0 };
	struct msghdr msg = { 0 };
	struct iovec iov[3];
	int fd = ends[!dir];
	u8 buf[CHUNK], want[CHUNK];
	ssize_t n = -1;

	vec(iov, buf, sizeof(buf));
	msg.msg_iov = iov;
	msg.msg_iovlen = 3;
	all_there(fd);
	plan->recvs[dir]++;
	switch (how) {
	case CALL_PLAIN:
		n = read(fd, buf, sizeof(buf));
		break;
	case CALL_VEC:
		n = readv(fd, iov, 3);
		break;
	case CALL_TO_FROM:
		n = recvfrom(fd, buf, sizeof(buf), 0, NULL, NULL);
		break;
	case CALL_MSG:
		n = recvmsg(fd, &msg, 0);
		break;
	case CALL_MMSG:
		iov[0].iov_len = 500;
		iov[1] = (struct iovec){ buf + 500, sizeof(buf) - 500 };
		mm[0].msg_hdr.msg_iov = &iov[0];
		mm[0].msg_hdr.msg_iovlen = 1;
		mm[1].msg_hdr.msg_iov = &iov[1];
		mm[1].msg_hdr.msg_iovlen = 1;
		MUST(recvmmsg(fd, mm, 2, 0, NULL) == 2);
		plan->recvs[dir]++;
		n = mm[0].msg_len + mm[1].msg_len;
		break;
	default:
		n = preadv2(fd, iov, 3, -1, 0);
	}
	MUST(n == sizeof(buf));
	lab_fill(want, sizeof(want), &got[dir]);
	MUST(!memcmp(buf, want, sizeof(buf)));
}

static void every_call(void)
{
	u32 dir, i, s, r;

	ends[0] = lab_pair(family, &ends[1]);
	for (i = 0; i < TIMES; i++)
		for (s = 0; s < CALLS; s++)
			for (dir = 0; dir < 2; dir++) {
				r = (s + i) % CALLS;
				send_by(dir, s);
				/* A unix receive by vector ends at the sender's next message. */
				if (family == AF_UNIX && s == CALL_MMSG && r == CALL_MMSG)
					r = CALL_PLAIN;
				recv_by(dir, r);
			}
	close(ends[0]);
	close(ends[1]);
}

/* File to socket, pipe to socket, socket to pipe. */
static void inside(void)
{
	u8 buf[CHUNK];
	int pipes[2], file, i;
	loff_t off;
	off_t at;

	ends[0] = lab_pair(family, &ends[1]);
	MUST(pipe(pipes) == 0);
	file = memfd_create("lab", 0);
	for (i = 0; i < TIMES; i++) {
		lab_fill(buf, sizeof(buf), &sent[0]);
		off = i * sizeof(buf);
		MUST(pwrite(file, buf, sizeof(buf), off) == sizeof(buf));
		at = off;
		MUST(sendfile(ends[0], file, &at, sizeof(buf)) == sizeof(buf));
		recv_by(0, CALL_PLAIN);
		lab_fill(buf, sizeof(buf), &sent[0]);
		MUST(write(pipes[1], buf, sizeof(buf)) == sizeof(buf));
		MUST(splice(pipes[0], NULL, ends[0], NULL, sizeof(buf), 0) == sizeof(buf));
		recv_by(0, CALL_TO_FROM);
		send_by(0, CALL_PLAIN);
		all_there(ends[1]);
		MUST(splice(ends[1], NULL, pipes[1], NULL, sizeof(buf), 0) == sizeof(buf));
		MUST(read(pipes[0], buf, sizeof(buf)) == sizeof(buf));
		got[0] += sizeof(buf);
		plan->bytes[0] += 2 * sizeof(buf);
		plan->sends[0] += 2;
		plan->inside[0] += 2;
		plan->recvs[0]++;
		plan->inside_recv[0]++;
	}
	close(ends[0]);
	close(ends[1]);
}

/* paged: sendfile comes as a transfer a page; 0: as one. */
static void end_is(const struct seen *s, u32 in, u32 out, bool paged)
{
	u64 more = 0;

	assert_non_null(s);
	if (paged && s->opaque[HP_SEND] > plan->inside[out])
		more = s->opaque[HP_SEND] - plan->inside[out];
	assert_int_equal(s->moved[HP_RECV], plan->bytes[in]);
	assert_int_equal(s->moved[HP_SEND], plan->bytes[out]);
	assert_int_equal(s->transfers[HP_RECV], plan->recvs[in]);
	assert_int_equal(s->transfers[HP_SEND], plan->sends[out] + more);
	assert_int_equal(s->opaque[HP_SEND], plan->inside[out] + more);
	assert_int_equal(s->opaque[HP_RECV], plan->inside_recv[in]);
	assert_int_equal(s->carried[HP_SEND], plan->bytes[out] - plan->inside[out] * CHUNK);
	assert_int_equal(s->carried[HP_RECV], plan->bytes[in] - plan->inside_recv[in] * CHUNK);
	assert_int_equal(s->closes, 1);
	assert_int_equal(s->close_bytes[HP_RECV], plan->bytes[in]);
	assert_int_equal(s->close_bytes[HP_SEND], plan->bytes[out]);
	assert_int_equal(s->errors, 0);
	/* Each receive tells when its first byte came. */
	if (s->open.family != AF_UNIX)
		assert_int_equal(s->wire[HP_SEND], s->transfers[HP_SEND]);
	else
		/* sendpage's entry is not taken: what it moves is timed by its end. */
		assert_int_equal(s->entered[HP_SEND],
				 s->transfers[HP_SEND] - (paged ? s->opaque[HP_SEND] : 0));
}

static void on_family(int fam, lab_fn *act)
{
	struct lab lab = { 0 };
	const struct seen *server, *client;
	bool paged;

	memset(plan, 0, sizeof(*plan));
	memset(sent, 0, sizeof(sent));
	memset(got, 0, sizeof(got));
	family = fam;
	lab_run(&lab, &(struct lab_opts){ .act = act });
	lab_no_drops(&lab);
	assert_int_equal(lab.n, 2);
	server = lab_conn(&lab, HP_ROLE_SERVER, fam, 0);
	client = lab_conn(&lab, HP_ROLE_CLIENT, fam, 0);
	/* Until sendpage went (6.5). */
	paged = lab_on_functions(&lab) && kfunc_known("tcp_sendpage", 0);
	end_is(client, 1, 0, paged);
	end_is(server, 0, 1, paged);
	assert_int_equal(client->open.origin, HP_ORIGIN_CONNECT);
	assert_int_equal(server->open.origin, HP_ORIGIN_ACCEPT);
	assert_true(client->open.established_ns >= client->open.hdr.ts_ns);
	if (fam != AF_UNIX) {
		assert_int_equal(client->open.peer_port, server->open.local_port);
		assert_int_equal(client->open.local_port, server->open.peer_port);
		assert_true(server->open.established_ns > 0);
		assert_true(server->open.established_ns <= server->open.hdr.ts_ns);
		assert_memory_equal(client->open.local_addr, server->open.peer_addr, 16);
		assert_memory_equal(client->open.peer_addr, server->open.local_addr, 16);
		assert_memory_equal(client->open.peer_addr,
				    fam == AF_INET ? "\x7f\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0"
						   : "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1",
				    16);
	} else {
		assert_memory_equal(client->open.path, "@hp-lab-", 8);
		assert_memory_equal(client->open.path, server->open.path, HP_PATH_MAX);
	}
	assert_int_equal(client->open.netns, server->open.netns);
	lab_free(&lab);
}

static void tcp4(void **state)
{
	(void)state;
	on_family(AF_INET, every_call);
}

static void tcp6(void **state)
{
	(void)state;
	on_family(AF_INET6, every_call);
}

static void unix_stream(void **state)
{
	(void)state;
	on_family(AF_UNIX, every_call);
}

static void inside_tcp(void **state)
{
	(void)state;
	on_family(AF_INET, inside);
}

static void inside_unix(void **state)
{
	(void)state;
	on_family(AF_UNIX, inside);
}

/* Calls that move nothing: looking, failing, waiting in vain, asking for nothing. */
static void nothing_moves(void)
{
	const struct timeval soon = { .tv_usec = 1000 };
	u8 buf[CHUNK];

	ends[0] = lab_pair(AF_INET, &ends[1]);
	send_by(0, CALL_PLAIN);
	all_there(ends[1]);
	for (int i = 0; i < TIMES; i++) {
		MUST(recv(ends[1], buf, 100, MSG_PEEK) == 100);
		MUST(recv(ends[0], buf, 100, MSG_DONTWAIT) < 0 && errno == EAGAIN);
		MUST(read(ends[1], buf, 0) == 0);
		MUST(write(ends[0], buf, 0) == 0);
		MUST(recv(ends[1], NULL, 100, MSG_DONTWAIT) < 0 && errno == EFAULT);
		MUST(recv(ends[1], buf, 10, MSG_ERRQUEUE) < 0);
	}
	setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
	MUST(read(ends[0], buf, 10) < 0 && errno == EAGAIN);
	recv_by(0, CALL_PLAIN);
	send_by(1, CALL_PLAIN);
	recv_by(1, CALL_PLAIN);
}

static void no_transfer(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	memset(plan, 0, sizeof(*plan));
	lab_run(&lab, &(struct lab_opts){ .act = nothing_moves, .keep = true });
	for (u8 role = HP_ROLE_SERVER; role <= HP_ROLE_CLIENT; role++) {
		s = lab_conn(&lab, role, AF_INET, 0);
		assert_non_null(s);
		for (u32 dir = 0; dir < 2; dir++) {
			assert_int_equal(s->moved[dir], CHUNK);
			assert_int_equal(s->transfers[dir], 1);
			assert_int_equal(s->close_bytes[dir], CHUNK);
		}
		assert_int_equal(s->eof + s->errors + s->shut + s->closes, 0);
		assert_true(s->still);
	}
	lab_no_drops(&lab);
	lab_free(&lab);
}

/* 64 KiB and more at once, drained in small and in large pieces; what is not carried is counted. */
static void large(void)
{
	static u8 buf[300000];
	u64 left, n;
	u32 i;

	ends[0] = lab_pair(AF_INET, &ends[1]);
	i = 4 << 20;
	setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &i, sizeof(i));
	MUST(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
	for (i = 0; i < 20; i++) {
		left = i % 2 ? 65536 : sizeof(buf);
		lab_fill(buf, left, &sent[0]);
		for (u64 at = 0; at < left; at += n) {
			ssize_t wrote = write(ends[0], buf + at, left - at);

			n = wrote > 0 ? wrote : 0;
			MUST(wrote > 0 || errno == EAGAIN);
			plan->bytes[0] += n;
			plan->sends[0] += wrote > 0;
			for (u64 got_n = 0; got_n < n;) {
				static u8 in[300000];
				ssize_t r = recv(ends[1], in, i % 3 ? sizeof(in) : 7000, 0);

				MUST(r > 0);
				got_n += r;
				plan->recvs[0]++;
			}
		}
	}
}

static void large_transfers(void **state)
{
	struct lab lab = { 0 };
	const struct seen *s;

	(void)state;
	memset(plan, 0, sizeof(*plan));
	memset(sent, 0, sizeof(sent));
	lab_run(&lab, &(struct lab_opts){ .act = large, .keep = true });
	s = lab_conn(&lab, HP_ROLE_CLIENT, AF_INET, 0);
	assert_non_null(s);
	assert_int_equal(s->moved[HP_SEND], plan->bytes[0]);
	assert_int_equal(s->transfers[HP_SEND], plan->sends[0]);
	s = lab_conn(&lab, HP_ROLE_SERVER, AF_INET, 0);
	assert_int_equal(s->moved[HP_RECV], plan->bytes[0]);
	assert_int_equal(s->transfers[HP_RECV], plan->recvs[0]);
	assert_in_range(s->carried[HP_RECV], 1000, plan->bytes[0] - 1);
	lab_no_drops(&lab);
	lab_free(&lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcp4),
		cmocka_unit_test(tcp6),
		cmocka_unit_test(unix_stream),
		cmocka_unit_test(inside_tcp),
		cmocka_unit_test(inside_unix),
		cmocka_unit_test(no_transfer),
		cmocka_unit_test(large_transfers),
	};

	plan = mmap(NULL, sizeof(*plan), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plan == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
