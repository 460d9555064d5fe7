/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A server whose sockets see io_uring only: accept, receive, send and close are ring operations, and
 * no system call but io_uring_enter touches them. What it counted is the reference of the tests.
 *
 *   uring_http [options] PORT|/PATH        port 0 takes a free one, a path is a unix socket
 *     --echo            sends back what comes, instead of HTTP
 *     --ops KIND        send (RECV, SEND), msg (RECVMSG, SENDMSG of three parts), rwv (READV, WRITEV
 *                       of three parts), rw (READ, WRITE), fixed (READ_FIXED, WRITE_FIXED), zc (SEND_ZC)
 *     --multishot       accepts and receives by one request each, into provided buffers
 *     --direct          connections are registered files without a descriptor
 *     --sqpoll          a thread of the kernel's submits
 *     --async           worker threads of the kernel's do it all
 *
 * HTTP: /bytes/N… is answered with N bytes, everything else with 404; keep-alive, pipelining, and
 * request bodies of a Content-Length are understood. Prints "ready PID PORT" and, on SIGTERM, one
 * line of JSON. A kernel without what an option needs: exit status 77 and what is missing.
 */
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNS_MAX 128
#define IN_MAX 16384
#define OUT_MAX 65536
#define ENTRIES 512
#define PROVIDED 256 /* buffers of multishot receives, a power of two */
#define PROVIDED_BYTES 4096
#define GROUP 1
#define PARTS 3
#define BODY_MAX (1ULL << 30)
#define EXIT_MISSING 77

enum op {
	OP_ACCEPT,
	OP_RECV,
	OP_SEND,
	OP_CANCEL,
	OP_CLOSE,
	OP_SIGNAL,
};

enum ops_kind {
	OPS_SEND,
	OPS_MSG,
	OPS_RWV,
	OPS_RW,
	OPS_FIXED,
	OPS_ZC,
};

static const char *const ops_names[] = { "send", "msg", "rwv", "rw", "fixed", "zc" };

struct conn {
	int fd; /* or the number of the registered file; -1 = free */
	uint32_t in_n;
	uint32_t out_n; /* of the piece being sent */
	uint32_t out_at;
	uint64_t skip; /* bytes of the request's body still to come */
	uint64_t left; /* bytes of the answer's body not in a piece yet */
	uint64_t body_at;
	uint32_t notices; /* zero-copy sends whose bytes the kernel still holds */
	bool receiving;
	bool sending;
	bool asked; /* a head is there and its answer in out; first comes the request's body */
	bool answering;
	bool last; /* close after this answer */
	bool ending;
	bool closing;
	struct iovec in_iov[PARTS], out_iov[PARTS];
	struct msghdr in_msg, out_msg;
	uint8_t *in, *out;
};

struct server {
	struct io_uring ring;
	struct conn conns[CONNS_MAX];
	uint8_t *arena; /* in and out of all connections */
	struct io_uring_buf_ring *provided;
	uint8_t *provided_bytes;
	int listener, signals;
	enum ops_kind ops;
	bool echo, multishot, direct, sqpoll, async;
	uint64_t accepted, closed, requests, refused, bytes_in, bytes_out, recvs, sends;
};

static void die(const char *what, int err)
{
	fprintf(stderr, "uring_http: %s: %s\n", what, strerror(err));
	exit(1);
}

static void missing(const char *what)
{
	fprintf(stderr, "uring_http: this kernel has no %s\n", what);
	exit(EXIT_MISSING);
}

static struct io_uring_sqe *sqe_get(struct server *s)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&s->ring);

	while (!sqe) {
		io_uring_submit(&s->ring);
		sqe = io_uring_get_sqe(&s->ring);
	}
	return sqe;
}

static void sqe_tag(struct server *s, struct io_uring_sqe *sqe, enum op op, const struct conn *c)
{
	uint64_t i = c ? (uint64_t)(c - s->conns) : 0;

	io_uring_sqe_set_data64(sqe, i << 8 | op);
	if (c && s->direct && op != OP_CANCEL && op != OP_CLOSE)
		sqe->flags |= IOSQE_FIXED_FILE;
	if (s->async && op != OP_CANCEL)
		sqe->flags |= IOSQE_ASYNC;
}

static void arm_accept(struct server *s)
{
	struct io_uring_sqe *sqe = sqe_get(s);

	io_uring_prep_accept(sqe, s->listener, NULL, NULL, s->direct ? 0 : SOCK_CLOEXEC);
	if (s->multishot)
		sqe->ioprio |= IORING_ACCEPT_MULTISHOT;
	if (s->direct)
		sqe->file_index = IORING_FILE_INDEX_ALLOC;
	sqe_tag(s, sqe, OP_ACCEPT, NULL);
}

/* Three parts, the first inside any header: what has to be put together again. */
static void split(struct iovec *iov, uint8_t *p, uint32_t n)
{
	uint32_t a = n > 3 ? 3 : n, b = (n - a) / 2;

	iov[0] = (struct iovec){ p, a };
	iov[1] = (struct iovec){ p + a, b };
	iov[2] = (struct iovec){ p + a + b, n - a - b };
}

static void arm_recv(struct server *s, struct conn *c)
{
	struct io_uring_sqe *sqe;
	uint8_t *p = c->in + c->in_n;
	uint32_t room = IN_MAX - c->in_n;

	if (c->receiving || c->ending || !room)
		return;
	sqe = sqe_get(s);
	c->receiving = true;
	if (s->multishot) {
		io_uring_prep_recv_multishot(sqe, c->fd, NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
	} else if (s->ops == OPS_MSG) {
		split(c->in_iov, p, room);
		c->in_msg = (struct msghdr){ .msg_iov = c->in_iov, .msg_iovlen = PARTS };
		io_uring_prep_recvmsg(sqe, c->fd, &c->in_msg, 0);
	} else if (s->ops == OPS_RWV) {
		split(c->in_iov, p, room);
		io_uring_prep_readv(sqe, c->fd, c->in_iov, PARTS, 0);
	} else if (s->ops == OPS_RW) {
		io_uring_prep_read(sqe, c->fd, p, room, 0);
	} else if (s->ops == OPS_FIXED) {
		io_uring_prep_read_fixed(sqe, c->fd, p, room, 0, 0);
	} else {
		io_uring_prep_recv(sqe, c->fd, p, room, 0);
	}
	sqe_tag(s, sqe, OP_RECV, c);
}

static void arm_send(struct server *s, struct conn *c)
{
	struct io_uring_sqe *sqe = sqe_get(s);
	uint8_t *p = c->out + c->out_at;
	uint32_t n = c->out_n - c->out_at;

	c->sending = true;
	split(c->out_iov, p, n);
	c->out_msg = (struct msghdr){ .msg_iov = c->out_iov, .msg_iovlen = PARTS };
	if (s->ops == OPS_MSG)
		io_uring_prep_sendmsg(sqe, c->fd, &c->out_msg, MSG_NOSIGNAL);
	else if (s->ops == OPS_RWV)
		io_uring_prep_writev(sqe, c->fd, c->out_iov, PARTS, 0);
	else if (s->ops == OPS_RW)
		io_uring_prep_write(sqe, c->fd, p, n, 0);
	else if (s->ops == OPS_FIXED)
		io_uring_prep_write_fixed(sqe, c->fd, p, n, 0, 0);
	else if (s->ops == OPS_ZC)
		io_uring_prep_send_zc(sqe, c->fd, p, n, MSG_NOSIGNAL, 0);
	else
		io_uring_prep_send(sqe, c->fd, p, n, MSG_NOSIGNAL);
	sqe_tag(s, sqe, OP_SEND, c);
}

/* The connection ends when nothing of it is under way any more. */
static void conn_end(struct server *s, struct conn *c)
{
	struct io_uring_sqe *sqe;

	if (!c->ending && c->receiving) {
		sqe = sqe_get(s);
		io_uring_prep_cancel64(sqe, (uint64_t)(c - s->conns) << 8 | OP_RECV, 0);
		sqe_tag(s, sqe, OP_CANCEL, c);
	}
	c->ending = true;
	if (c->receiving || c->sending || c->notices || c->closing)
		return;
	c->closing = true;
	sqe = sqe_get(s);
	if (s->direct)
		io_uring_prep_close_direct(sqe, (unsigned int)c->fd);
	else
		io_uring_prep_close(sqe, c->fd);
	sqe_tag(s, sqe, OP_CLOSE, c);
}

static void conn_refuse(struct server *s, struct conn *c)
{
	s->refused++;
	conn_end(s, c);
}

/* The next piece of the answer's body behind what is in out already. */
static void fill_piece(struct conn *c)
{
	while (c->left && c->out_n < OUT_MAX) {
		c->out[c->out_n++] = (uint8_t)('a' + c->body_at++ % 26);
		c->left--;
	}
}

static void drop_in(struct conn *c, uint32_t n)
{
	memmove(c->in, c->in + n, c->in_n - n);
	c->in_n -= n;
}

/* Value of a header field in a head that ends with an empty line; NULL = not there. */
static const char *field(const char *head, const char *name)
{
	size_t n = strlen(name);
	const char *p;

	for (p = strstr(head, "\r\n"); p && p[2] != '\r'; p = strstr(p + 2, "\r\n"))
		if (!strncasecmp(p + 2, name, n) && p[2 + n] == ':')
			return p + 3 + n + strspn(p + 3 + n, " ");
	return NULL;
}

/* Takes a head off the front of in: its answer's first piece. */
static void take_head(struct server *s, struct conn *c, uint32_t size)
{
	char head[IN_MAX + 1];
	const char *length, *how, *path;
	uint64_t n = 0;
	bool found;

	memcpy(head, c->in, size);
	head[size] = '\0';
	drop_in(c, size);
	length = field(head, "content-length");
	how = field(head, "connection");
	path = strchr(head, ' ');
	found = path && !strncmp(path, " /bytes/", 8);
	if (found)
		n = strtoull(path + 8, NULL, 10);
	if (n > BODY_MAX)
		found = false;
	s->refused += !found;
	c->skip = length ? strtoull(length, NULL, 10) : 0;
	c->last = how && !strncasecmp(how, "close", 5);
	c->body_at = 0;
	c->left = found ? n : 0;
	c->out_n =
		(uint32_t)snprintf((char *)c->out, OUT_MAX,
				   "HTTP/1.1 %s\r\nServer: uring\r\nContent-Length: %llu\r\n\r\n",
				   found ? "200 OK" : "404 Not Found", (unsigned long long)c->left);
	c->out_at = 0;
	c->asked = true;
	fill_piece(c);
}

static void serve_http(struct server *s, struct conn *c)
{
	const uint8_t *end;
	uint32_t n;

	if (!c->asked) {
		end = memmem(c->in, c->in_n, "\r\n\r\n", 4);
		if (end)
			take_head(s, c, (uint32_t)(end + 4 - c->in));
		else if (c->in_n == IN_MAX)
			conn_refuse(s, c);
	}
	n = c->skip < c->in_n ? (uint32_t)c->skip : c->in_n;
	if (c->asked && n)
		drop_in(c, n);
	if (c->asked)
		c->skip -= n;
	if (!c->asked || c->skip) {
		arm_recv(s, c);
		return;
	}
	c->asked = false;
	c->answering = true;
	arm_send(s, c);
}

/* Goes on with what was received, one answer at a time. */
static void serve(struct server *s, struct conn *c)
{
	if (c->ending || c->answering)
		return;
	if (!s->echo) {
		serve_http(s, c);
		return;
	}
	if (c->in_n) {
		memcpy(c->out, c->in, c->in_n);
		c->out_n = c->in_n;
		c->out_at = 0;
		drop_in(c, c->in_n);
		c->answering = true;
		arm_send(s, c);
	}
	arm_recv(s, c);
}

static void on_sent(struct server *s, struct conn *c)
{
	if (c->sending || c->notices)
		return;
	if (c->ending) {
		conn_end(s, c);
		return;
	}
	if (c->out_at < c->out_n) {
		arm_send(s, c);
		return;
	}
	c->out_n = c->out_at = 0;
	fill_piece(c);
	if (c->out_n) {
		arm_send(s, c);
		return;
	}
	c->answering = false;
	s->requests++;
	if (c->last)
		conn_end(s, c);
	else
		serve(s, c);
}

static void give_back(struct server *s, uint16_t id)
{
	io_uring_buf_ring_add(s->provided, s->provided_bytes + (size_t)id * PROVIDED_BYTES,
			      PROVIDED_BYTES, id, io_uring_buf_ring_mask(PROVIDED), 0);
	io_uring_buf_ring_advance(s->provided, 1);
}

static void on_recv(struct server *s, struct conn *c, const struct io_uring_cqe *cqe)
{
	uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
	int n = cqe->res;

	c->receiving = cqe->flags & IORING_CQE_F_MORE;
	if (n > 0) {
		s->recvs++;
		s->bytes_in += (uint64_t)n;
	}
	if (s->multishot && cqe->flags & IORING_CQE_F_BUFFER) {
		if (n > 0 && (uint32_t)n <= IN_MAX - c->in_n)
			memcpy(c->in + c->in_n, s->provided_bytes + (size_t)id * PROVIDED_BYTES,
			       (size_t)n);
		else if (n > 0) /* nothing holds a multishot sender back */
			n = -EOVERFLOW;
		give_back(s, id);
	}
	if (n == -ENOBUFS || n == -EINTR || n == -EAGAIN) {
		arm_recv(s, c);
		return;
	}
	if (n <= 0) {
		if (n < 0 && n != -ECANCELED && n != -ECONNRESET)
			conn_refuse(s, c);
		else
			conn_end(s, c);
		return;
	}
	c->in_n += (uint32_t)n;
	if (s->multishot)
		arm_recv(s, c);
	serve(s, c);
}

static void on_send(struct server *s, struct conn *c, const struct io_uring_cqe *cqe)
{
	if (cqe->flags & IORING_CQE_F_NOTIF) {
		c->notices--;
		on_sent(s, c);
		return;
	}
	c->notices += cqe->flags & IORING_CQE_F_MORE ? 1 : 0;
	c->sending = false;
	if (cqe->res > 0) {
		s->sends++;
		s->bytes_out += (uint64_t)cqe->res;
		c->out_at += (uint32_t)cqe->res;
	} else if (cqe->res != -EINTR && cqe->res != -EAGAIN) {
		conn_end(s, c);
		return;
	}
	on_sent(s, c);
}

static void on_accept(struct server *s, const struct io_uring_cqe *cqe)
{
	struct conn *c = s->conns;
	uint8_t *in, *out;

	if (!(cqe->flags & IORING_CQE_F_MORE))
		arm_accept(s);
	if (cqe->res < 0) {
		if (cqe->res == -EINVAL || cqe->res == -EOPNOTSUPP)
			die("accept", -cqe->res);
		return;
	}
	while (c < s->conns + CONNS_MAX && c->fd >= 0)
		c++;
	if (c == s->conns + CONNS_MAX)
		die("more connections than it has room for", ENOSPC);
	in = c->in;
	out = c->out;
	memset(c, 0, sizeof(*c));
	c->in = in;
	c->out = out;
	c->fd = cqe->res;
	s->accepted++;
	arm_recv(s, c);
}

/* False: the end. */
static bool dispatch(struct server *s, const struct io_uring_cqe *cqe)
{
	struct conn *c = &s->conns[cqe->user_data >> 8];

	switch ((enum op)(cqe->user_data & 0xff)) {
	case OP_ACCEPT:
		on_accept(s, cqe);
		break;
	case OP_RECV:
		on_recv(s, c, cqe);
		break;
	case OP_SEND:
		on_send(s, c, cqe);
		break;
	case OP_CLOSE:
		if (cqe->res)
			die("close", -cqe->res);
		c->fd = -1;
		s->closed++;
		break;
	case OP_CANCEL:
		break;
	case OP_SIGNAL:
		return false;
	}
	return true;
}

static void check_kernel(const struct server *s)
{
	struct io_uring_probe *probe = io_uring_get_probe();

	if (!probe)
		missing("io_uring that it lets this process use");
	if (s->multishot && !io_uring_opcode_supported(probe, IORING_OP_SEND_ZC))
		missing("multishot receives (6.0)"); /* they came with zero-copy sends */
	if (s->direct && !io_uring_opcode_supported(probe, IORING_OP_SOCKET))
		missing("registered files that accept() fills (5.19)");
	if (s->ops == OPS_ZC && !io_uring_opcode_supported(probe, IORING_OP_SEND_ZC))
		missing("zero-copy sends by io_uring (6.0)");
	io_uring_free_probe(probe);
}

static void set_up_ring(struct server *s)
{
	struct io_uring_params params = { .flags = s->sqpoll ? IORING_SETUP_SQPOLL : 0,
					  .sq_thread_idle = 50 };
	struct iovec all;
	int err, i;

	check_kernel(s);
	err = io_uring_queue_init_params(ENTRIES, &s->ring, &params);
	if (err == -ENOSYS || err == -EPERM)
		missing("io_uring that it lets this process use");
	if (err)
		die("io_uring_queue_init", -err);
	if (s->sqpoll && !(params.features & IORING_FEAT_SQPOLL_NONFIXED))
		missing("submission threads without registered files (5.11)");
	all.iov_len = (size_t)CONNS_MAX * (IN_MAX + OUT_MAX);
	s->arena = all.iov_base = aligned_alloc(4096, all.iov_len);
	if (!s->arena)
		die("memory", ENOMEM);
	for (i = 0; i < CONNS_MAX; i++) {
		s->conns[i].fd = -1;
		s->conns[i].in = s->arena + (size_t)i * (IN_MAX + OUT_MAX);
		s->conns[i].out = s->conns[i].in + IN_MAX;
	}
	if (s->ops == OPS_FIXED) {
		err = io_uring_register_buffers(&s->ring, &all, 1);
		if (err)
			die("io_uring_register_buffers", -err);
	}
	if (s->direct) {
		err = io_uring_register_files_sparse(&s->ring, CONNS_MAX);
		if (err)
			die("io_uring_register_files_sparse", -err);
	}
}

static void set_up_provided(struct server *s)
{
	struct io_uring_buf_reg reg = { .ring_entries = PROVIDED, .bgid = GROUP };
	int err, i;

	s->provided = aligned_alloc(4096, PROVIDED * sizeof(struct io_uring_buf));
	s->provided_bytes = malloc((size_t)PROVIDED * PROVIDED_BYTES);
	if (!s->provided || !s->provided_bytes)
		die("memory", ENOMEM);
	reg.ring_addr = (uint64_t)(uintptr_t)s->provided;
	err = io_uring_register_buf_ring(&s->ring, &reg, 0);
	if (err)
		die("io_uring_register_buf_ring", -err);
	io_uring_buf_ring_init(s->provided);
	for (i = 0; i < PROVIDED; i++)
		give_back(s, (uint16_t)i);
}

/* The port, 0 for a unix socket. */
static int set_up_listener(struct server *s, const char *where)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				  .sin_port = htons((uint16_t)strtoul(where, NULL, 10)) };
	bool path = *where == '/';
	socklen_t n = path ? sizeof(un) : sizeof(in);
	struct sockaddr *addr = path ? (struct sockaddr *)&un : (struct sockaddr *)&in;
	int one = 1;

	snprintf(un.sun_path, sizeof(un.sun_path), "%s", where);
	s->listener = socket(path ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (s->listener < 0)
		die("socket", errno);
	setsockopt(s->listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (path)
		unlink(where);
	if (bind(s->listener, addr, n) || listen(s->listener, 128))
		die(where, errno);
	if (!path && getsockname(s->listener, addr, &n))
		die("getsockname", errno);
	return path ? 0 : ntohs(in.sin_port);
}

static void watch_signals(struct server *s)
{
	struct io_uring_sqe *sqe = sqe_get(s);
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signals = signalfd(-1, &set, SFD_CLOEXEC);
	if (s->signals < 0)
		die("signalfd", errno);
	io_uring_prep_poll_add(sqe, s->signals, POLLIN);
	io_uring_sqe_set_data64(sqe, OP_SIGNAL);
}

static const char *parse(struct server *s, int argc, char **argv)
{
	const char *where = NULL;
	int i;
	unsigned int k;

	for (i = 1; i < argc; i++) {
		if (!strcmp(argv[i], "--echo"))
			s->echo = true;
		else if (!strcmp(argv[i], "--multishot"))
			s->multishot = true;
		else if (!strcmp(argv[i], "--direct"))
			s->direct = true;
		else if (!strcmp(argv[i], "--sqpoll"))
			s->sqpoll = true;
		else if (!strcmp(argv[i], "--async"))
			s->async = true;
		else if (!strcmp(argv[i], "--ops") && i + 1 < argc) {
			i++;
			for (k = 0; k < sizeof(ops_names) / sizeof(*ops_names); k++)
				if (!strcmp(argv[i], ops_names[k]))
					break;
			if (k == sizeof(ops_names) / sizeof(*ops_names))
				return NULL;
			s->ops = (enum ops_kind)k;
		} else if (*argv[i] == '-' || where) {
			return NULL;
		} else {
			where = argv[i];
		}
	}
	return where;
}

int main(int argc, char **argv)
{
	static struct server s;
	const char *where = parse(&s, argc, argv);
	struct io_uring_cqe *cqe;
	bool on = true;
	int port, err;

	if (!where) {
		fprintf(stderr, "usage: uring_http [--echo] [--ops send|msg|rwv|rw|fixed|zc] "
				"[--multishot] [--direct] [--sqpoll] [--async] PORT|/PATH\n");
		return 2;
	}
	signal(SIGPIPE, SIG_IGN); /* writes to a closed connection */
	set_up_ring(&s);
	if (s.multishot)
		set_up_provided(&s);
	port = set_up_listener(&s, where);
	watch_signals(&s);
	arm_accept(&s);
	io_uring_submit(&s.ring);
	printf("ready %d %d\n", getpid(), port);
	fflush(stdout);
	while (on) {
		err = io_uring_submit_and_wait(&s.ring, 1);
		if (err < 0 && err != -EINTR)
			die("io_uring_enter", -err);
		while (on && !io_uring_peek_cqe(&s.ring, &cqe)) {
			struct io_uring_cqe copy = *cqe;

			io_uring_cqe_seen(&s.ring, cqe);
			on = dispatch(&s, &copy);
		}
	}
	printf("{\"requests\": %llu, \"refused\": %llu, \"bytes_in\": %llu, \"bytes_out\": %llu, "
	       "\"recvs\": %llu, \"sends\": %llu, \"accepted\": %llu, \"closed\": %llu}\n",
	       (unsigned long long)s.requests, (unsigned long long)s.refused,
	       (unsigned long long)s.bytes_in, (unsigned long long)s.bytes_out,
	       (unsigned long long)s.recvs, (unsigned long long)s.sends,
	       (unsigned long long)s.accepted, (unsigned long long)s.closed);
	return 0;
}
