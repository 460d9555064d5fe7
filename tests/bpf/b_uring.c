/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers by io_uring, of each kind, on each kind of socket, an exact number of times.
 *
 * With a probe on the sockets' own functions (fentry or kprobe) the records have every byte once, at
 * its position, as for system calls. With probes on system calls alone nothing of them is there: no
 * connection that only the ring knows, not one byte on the others. In between there is nothing.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "load/feat.h"

#define TIMES 7
#define CHUNK 1200
#define PIECE 512 /* of a provided buffer: a chunk takes three */
#define PIECES 8
#define GROUP 1

enum how {
	HOW_SEND, /* SEND, RECV */
	HOW_MSG, /* SENDMSG, RECVMSG of three parts */
	HOW_VEC, /* WRITEV, READV of three parts */
	HOW_RW, /* WRITE, READ */
	HOW_FIXED, /* WRITE_FIXED, READ_FIXED: registered memory, whose addresses the socket never sees */
	HOW_ZC, /* SEND_ZC, RECV */
	HOW_MULTI, /* SEND, one RECV for all into provided buffers */
	HOW_MIXED, /* in turns with system calls */
};

struct uring_case {
	int family;
	enum how how;
	bool by_ring; /* accept, connect and close too */
	bool before; /* open when the probes came */
	bool waits; /* the receive is there before the data: it goes on when they come */
	u8 sqe_flags; /* IOSQE_ASYNC: by the kernel's worker threads */
	u32 setup; /* IORING_SETUP_SQPOLL: submitted by a thread of the kernel's */
};

/* Shared with the child: what it did, a row a case. */
struct plan {
	u64 bytes[2]; /* 0: client to server */
	u64 sends[2];
	u64 recvs[2];
	u64 called[2]; /* bytes that went through system calls */
	u64 calls[2];
	u64 inode[2]; /* client, server */
	const char *lacks; /* what this kernel would need; NULL: the case was run */
};

enum tag {
	TAG_SEND,
	TAG_RECV,
	TAG_ACCEPT,
	TAG_CONNECT,
	TAG_CLOSE,
	TAG_CANCEL,
	TAGS,
};

#define ROW(fam, kind, ...)                                                                        \
	{                                                                                          \
		.family = fam, .how = kind, ##__VA_ARGS__                                          \
	}

static const struct uring_case cases[] = {
	ROW(AF_INET, HOW_SEND, .by_ring = true, .before = true), /* the first, see open_before() */
	ROW(AF_INET, HOW_SEND, .by_ring = true),
	ROW(AF_INET6, HOW_SEND, .by_ring = true),
	ROW(AF_UNIX, HOW_SEND, .by_ring = true),
	ROW(AF_INET, HOW_SEND, .by_ring = true, .waits = true),
	ROW(AF_UNIX, HOW_SEND, .by_ring = true, .waits = true),
	ROW(AF_INET, HOW_SEND),
	ROW(AF_UNIX, HOW_SEND),
	ROW(AF_INET, HOW_MSG),
	ROW(AF_UNIX, HOW_MSG, .waits = true),
	ROW(AF_INET6, HOW_VEC, .waits = true),
	ROW(AF_UNIX, HOW_VEC),
	ROW(AF_INET, HOW_RW),
	ROW(AF_UNIX, HOW_RW, .waits = true),
	ROW(AF_INET, HOW_FIXED),
	ROW(AF_UNIX, HOW_FIXED),
	ROW(AF_INET, HOW_ZC),
	ROW(AF_INET, HOW_MULTI),
	ROW(AF_UNIX, HOW_MULTI),
	ROW(AF_INET, HOW_MIXED),
	ROW(AF_UNIX, HOW_MIXED, .waits = true),
	ROW(AF_INET, HOW_SEND, .sqe_flags = IOSQE_ASYNC, .waits = true),
	ROW(AF_UNIX, HOW_MSG, .sqe_flags = IOSQE_ASYNC),
	ROW(AF_INET, HOW_SEND, .by_ring = true, .sqe_flags = IOSQE_ASYNC),
	ROW(AF_INET, HOW_SEND, .by_ring = true, .setup = IORING_SETUP_SQPOLL),
	ROW(AF_UNIX, HOW_VEC, .waits = true, .setup = IORING_SETUP_SQPOLL),
};

static struct lab windows[2]; /* the cases with HOW_MIXED have their own */
static struct plan *plans, *plan;
static const struct uring_case *now;
static struct io_uring ring;
static int ends[2]; /* client, server */
static u64 sent[2], got[2];
static u8 *memory; /* of both buffers, registered for HOW_FIXED */
static struct iovec iov[2][3];
static struct msghdr msg[2];
static struct {
	bool done;
	int res;
} results[TAGS];
/* HOW_MULTI */
static struct io_uring_buf_ring *provided;
static u8 *pieces;
static u32 multi_n; /* bytes in the receive buffer */

/* In the order of the ladder: tracepoints of system calls go before kprobes. */
static bool on_sockets(void)
{
	return feat_has(FEAT_FENTRY) || (!feat_has(FEAT_TRACEPOINT) && feat_has(FEAT_KPROBE));
}

static u8 *buffer(enum tag tag)
{
	return memory + (tag == TAG_RECV ? 4096 : 0);
}

static struct io_uring_sqe *sqe_get(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	MUST(sqe);
	return sqe;
}

static void submit(struct io_uring_sqe *sqe, enum tag tag)
{
	results[tag].done = false;
	io_uring_sqe_set_data64(sqe, tag);
	sqe->flags |= now->sqe_flags;
	MUST(io_uring_submit(&ring) >= 0);
}

static void provide(u16 id)
{
	io_uring_buf_ring_add(provided, pieces + (size_t)id * PIECE, PIECE, id,
			      io_uring_buf_ring_mask(PIECES), 0);
	io_uring_buf_ring_advance(provided, 1);
}

static void take_piece(const struct io_uring_cqe *cqe)
{
	u16 id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;

	MUST(cqe->res > 0 && cqe->flags & IORING_CQE_F_MORE && multi_n + cqe->res <= CHUNK);
	memcpy(buffer(TAG_RECV) + multi_n, pieces + (size_t)id * PIECE, cqe->res);
	multi_n += cqe->res;
	provide(id);
}

/* Takes completions until the one that is asked for has come. */
static int result(enum tag tag)
{
	struct io_uring_cqe *cqe;

	while (!results[tag].done) {
		enum tag of;

		MUST(io_uring_wait_cqe(&ring, &cqe) == 0);
		of = io_uring_cqe_get_data64(cqe);
		MUST(of < TAGS);
		if (now->how == HOW_MULTI && of == TAG_RECV && cqe->res > 0) {
			take_piece(cqe);
			plan->recvs[0]++;
			results[of].done = multi_n == CHUNK;
			results[of].res = multi_n;
		} else if (!(cqe->flags & IORING_CQE_F_NOTIF)) { /* memory of a zero-copy send */
			results[of].done = true;
			results[of].res = cqe->res;
		}
		io_uring_cqe_seen(&ring, cqe);
	}
	return results[tag].res;
}

static void parts(enum tag tag)
{
	struct iovec *v = iov[tag];
	u8 *p = buffer(tag);

	v[0] = (struct iovec){ p, 3 }; /* inside any header */
	v[1] = (struct iovec){ p + 3, CHUNK / 2 };
	v[2] = (struct iovec){ p + 3 + CHUNK / 2, CHUNK - 3 - CHUNK / 2 };
	msg[tag] = (struct msghdr){ .msg_iov = v, .msg_iovlen = 3 };
}

static void submit_send(int fd)
{
	struct io_uring_sqe *sqe = sqe_get();
	u8 *p = buffer(TAG_SEND);

	parts(TAG_SEND);
	switch (now->how) {
	case HOW_MSG:
		io_uring_prep_sendmsg(sqe, fd, &msg[TAG_SEND], 0);
		break;
	case HOW_VEC:
		io_uring_prep_writev(sqe, fd, iov[TAG_SEND], 3, 0);
		break;
	case HOW_RW:
		io_uring_prep_write(sqe, fd, p, CHUNK, 0);
		break;
	case HOW_FIXED:
		io_uring_prep_write_fixed(sqe, fd, p, CHUNK, 0, 0);
		break;
	case HOW_ZC:
		io_uring_prep_send_zc(sqe, fd, p, CHUNK, 0, 0);
		break;
	default:
		io_uring_prep_send(sqe, fd, p, CHUNK, 0);
	}
	submit(sqe, TAG_SEND);
}

static void submit_recv(int fd)
{
	struct io_uring_sqe *sqe = sqe_get();
	u8 *p = buffer(TAG_RECV);

	parts(TAG_RECV);
	switch (now->how) {
	case HOW_MSG:
		io_uring_prep_recvmsg(sqe, fd, &msg[TAG_RECV], 0);
		break;
	case HOW_VEC:
		io_uring_prep_readv(sqe, fd, iov[TAG_RECV], 3, 0);
		break;
	case HOW_RW:
		io_uring_prep_read(sqe, fd, p, CHUNK, 0);
		break;
	case HOW_FIXED:
		io_uring_prep_read_fixed(sqe, fd, p, CHUNK, 0, 0);
		break;
	default:
		io_uring_prep_recv(sqe, fd, p, CHUNK, 0);
	}
	submit(sqe, TAG_RECV);
}

static void check_chunk(u32 dir)
{
	u8 want[CHUNK];

	lab_fill(want, sizeof(want), &got[dir]);
	MUST(!memcmp(buffer(TAG_RECV), want, sizeof(want)));
	memset(buffer(TAG_RECV), 0, CHUNK);
}

/* One chunk from one end to the other. */
static void move(u32 dir)
{
	bool multi = now->how == HOW_MULTI;

	lab_fill(buffer(TAG_SEND), CHUNK, &sent[dir]);
	plan->bytes[dir] += CHUNK;
	plan->sends[dir]++;
	plan->recvs[dir] += !multi;
	multi_n = 0;
	results[TAG_RECV].done = false;
	if (now->waits && !multi)
		submit_recv(ends[!dir]);
	submit_send(ends[dir]);
	MUST(result(TAG_SEND) == CHUNK);
	if (!now->waits && !multi)
		submit_recv(ends[!dir]);
	MUST(result(TAG_RECV) == CHUNK);
	check_chunk(dir);
}

static void move_by_calls(u32 dir)
{
	lab_fill(buffer(TAG_SEND), CHUNK, &sent[dir]);
	MUST(send(ends[dir], buffer(TAG_SEND), CHUNK, 0) == CHUNK);
	MUST(recv(ends[!dir], buffer(TAG_RECV), CHUNK, MSG_WAITALL) == CHUNK);
	plan->bytes[dir] += CHUNK;
	plan->sends[dir]++;
	plan->recvs[dir]++;
	plan->called[dir] += CHUNK;
	plan->calls[dir]++;
	check_chunk(dir);
}

static void set_up(void)
{
	struct io_uring_params params = { .flags = now->setup, .sq_thread_idle = 20 };
	struct io_uring_buf_reg reg = { .ring_entries = PIECES, .bgid = GROUP };
	struct iovec all = { .iov_len = 8192 };
	u16 i;

	MUST(io_uring_queue_init_params(8, &ring, &params) == 0);
	all.iov_base = memory = aligned_alloc(4096, all.iov_len);
	MUST(memory);
	if (now->how == HOW_FIXED)
		MUST(io_uring_register_buffers(&ring, &all, 1) == 0);
	if (now->how != HOW_MULTI)
		return;
	provided = aligned_alloc(4096, 4096);
	pieces = malloc(PIECES * PIECE);
	MUST(provided && pieces);
	reg.ring_addr = (uintptr_t)provided;
	MUST(io_uring_register_buf_ring(&ring, &reg, 0) == 0);
	io_uring_buf_ring_init(provided);
	for (i = 0; i < PIECES; i++)
		provide(i);
}

/* Both ends by the ring: the accept waits, then the connect comes. */
static void pair_by_ring(void)
{
	struct sockaddr_storage addr;
	struct io_uring_sqe *sqe;
	socklen_t n = sizeof(addr);
	int lfd = lab_listen(now->family);

	MUST(getsockname(lfd, (struct sockaddr *)&addr, &n) == 0);
	ends[0] = socket(now->family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	MUST(ends[0] >= 0);
	sqe = sqe_get();
	io_uring_prep_accept(sqe, lfd, NULL, NULL, SOCK_CLOEXEC);
	submit(sqe, TAG_ACCEPT);
	sqe = sqe_get();
	io_uring_prep_connect(sqe, ends[0], (struct sockaddr *)&addr, n);
	submit(sqe, TAG_CONNECT);
	MUST(result(TAG_CONNECT) == 0);
	ends[1] = result(TAG_ACCEPT);
	MUST(ends[1] >= 0);
	close(lfd);
}

static void close_by_ring(int fd)
{
	struct io_uring_sqe *sqe = sqe_get();

	io_uring_prep_close(sqe, fd);
	submit(sqe, TAG_CLOSE);
	MUST(result(TAG_CLOSE) == 0);
}

static void remember(void)
{
	struct stat st;

	for (u32 i = 0; i < 2; i++) {
		MUST(fstat(ends[i], &st) == 0);
		plan->inode[i] = st.st_ino;
	}
}

static void stop_receiving(void)
{
	struct io_uring_sqe *sqe = sqe_get();

	io_uring_prep_cancel64(sqe, TAG_RECV, 0);
	results[TAG_RECV].done = false;
	submit(sqe, TAG_CANCEL);
	MUST(result(TAG_RECV) == -ECANCELED);
}

static void act_one(void)
{
	struct io_uring_sqe *sqe;
	u32 i, dir, dirs = now->how == HOW_MULTI ? 1 : 2;

	set_up();
	if (now->by_ring && !now->before)
		pair_by_ring();
	else if (!now->before)
		ends[0] = lab_pair(now->family, &ends[1]);
	remember();
	if (now->how == HOW_MULTI) {
		sqe = sqe_get();
		io_uring_prep_recv_multishot(sqe, ends[1], NULL, 0, 0);
		sqe->flags |= IOSQE_BUFFER_SELECT;
		sqe->buf_group = GROUP;
		submit(sqe, TAG_RECV);
	}
	for (i = 0; i < TIMES; i++)
		for (dir = 0; dir < dirs; dir++) {
			if (now->how == HOW_MIXED)
				move_by_calls(dir);
			move(dir);
		}
	if (now->how == HOW_MULTI)
		stop_receiving();
	for (i = 0; i < 2; i++) {
		if (now->by_ring)
			close_by_ring(ends[i]);
		else
			close(ends[i]);
	}
	io_uring_queue_exit(&ring);
}

/* NULL when this kernel can do it. */
static const char *lacks(const struct uring_case *c)
{
	struct io_uring_probe *probe = io_uring_get_probe();
	bool v60;

	if (!probe)
		return "io_uring that it lets this process use";
	v60 = io_uring_opcode_supported(probe, IORING_OP_SEND_ZC);
	io_uring_free_probe(probe);
	if (c->how == HOW_ZC && !v60)
		return "zero-copy sends by io_uring (6.0)";
	if (c->how == HOW_MULTI && !v60) /* they came together */
		return "multishot receives (6.0)";
	return NULL;
}

static void act_all(bool mixed)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		now = &cases[i];
		plan = &plans[i];
		if ((now->how == HOW_MIXED) != mixed)
			continue;
		plan->lacks = lacks(now);
		memset(sent, 0, sizeof(sent));
		memset(got, 0, sizeof(got));
		if (!plan->lacks)
			act_one();
	}
}

static void act_pure(void)
{
	act_all(false);
}

static void act_mixed(void)
{
	act_all(true);
}

/* For the first case: what a server looks like that is attached to while it runs. */
static void open_before(void)
{
	ends[0] = lab_pair(AF_INET, &ends[1]);
}

static int run_all(void **state)
{
	(void)state;
	lab_run(&windows[0], &(struct lab_opts){ .before = open_before, .act = act_pure });
	windows[1].holes = !on_sockets();
	lab_run(&windows[1], &(struct lab_opts){ .act = act_mixed });
	print_message("# probes on %s\n", on_sockets() ? "functions of sockets" : "system calls");
	return 0;
}

static int free_all(void **state)
{
	(void)state;
	lab_free(&windows[0]);
	lab_free(&windows[1]);
	return 0;
}

static void end_is(const struct seen *s, u32 in, u32 out)
{
	bool seen = on_sockets();
	const u64 *bytes = seen ? plan->bytes : plan->called;
	u64 opaque = now->how == HOW_FIXED && seen ? TIMES : 0;

	assert_non_null(s);
	assert_int_equal(s->moved[HP_RECV] - s->holes[HP_RECV], bytes[in]);
	assert_int_equal(s->moved[HP_SEND] - s->holes[HP_SEND], bytes[out]);
	/* Calls and ring take turns: what the ring moved before a call is missing there, and known to be. */
	if (now->how == HOW_MIXED && !seen && s->open.family != AF_UNIX)
		assert_true(s->holes[HP_RECV] + s->holes[HP_SEND] >= CHUNK);
	else
		assert_int_equal(s->holes[HP_RECV] + s->holes[HP_SEND], 0);
	assert_int_equal(s->transfers[HP_RECV], seen ? plan->recvs[in] : plan->calls[in]);
	assert_int_equal(s->transfers[HP_SEND], seen ? plan->sends[out] : plan->calls[out]);
	assert_int_equal(s->opaque[HP_RECV], opaque);
	assert_int_equal(s->opaque[HP_SEND], opaque);
	assert_int_equal(s->carried[HP_RECV], opaque ? 0 : bytes[in]);
	assert_int_equal(s->carried[HP_SEND], opaque ? 0 : bytes[out]);
	/* Closed by the ring, a unix socket ends unsaid; its bytes are counted at the window's end. */
	assert_true(s->closes == 1 ||
		    (s->still && now->by_ring && s->open.family == AF_UNIX && !s->closes));
	assert_int_equal(s->close_bytes[HP_RECV], bytes[in] + s->holes[HP_RECV]);
	assert_int_equal(s->close_bytes[HP_SEND], bytes[out] + s->holes[HP_SEND]);
	assert_int_equal(s->errors + s->failed, 0);
}

static const struct seen *seen_by(const struct lab *lab, u64 inode)
{
	for (u32 i = 0; i < lab->n; i++)
		if (lab->conns[i].open.inode == inode)
			return &lab->conns[i];
	return NULL;
}

static bool visible(const struct uring_case *c)
{
	return on_sockets() || !c->by_ring || c->before;
}

static void run_case(void **state)
{
	const struct seen *client, *server;
	const struct lab *lab;

	now = *state;
	plan = &plans[now - cases];
	lab = &windows[now->how == HOW_MIXED];
	if (plan->lacks) {
		print_message("this kernel has no %s\n", plan->lacks);
		skip();
	}
	assert_int_equal(plan->bytes[0], TIMES * CHUNK * (now->how == HOW_MIXED ? 2 : 1));
	client = seen_by(lab, plan->inode[0]);
	server = seen_by(lab, plan->inode[1]);
	if (!visible(now)) {
		assert_null(client);
		assert_null(server);
		return;
	}
	end_is(client, 1, 0);
	end_is(server, 0, 1);
	/* The listener of those that were open is closed by then: both look like a client's. */
	assert_int_equal(client->open.role, HP_ROLE_CLIENT);
	assert_int_equal(server->open.role, now->before ? HP_ROLE_CLIENT : HP_ROLE_SERVER);
}

/* No connection and no event but those of the cases, and none lost. */
static void nothing_else(void **state)
{
	u32 want[2] = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		if (!plans[i].lacks && visible(&cases[i]))
			want[cases[i].how == HOW_MIXED] += 2;
	for (u32 i = 0; i < 2; i++) {
		assert_int_equal(windows[i].n, want[i]);
		/* What the ring moved on sockets that are known is missed, and known to be. */
		assert_true(on_sockets() ? !windows[i].drops[DROP_UNSEEN]
					 : windows[i].drops[DROP_UNSEEN] >= 4);
		windows[i].drops[DROP_UNSEEN] = 0;
		lab_no_drops(&windows[i]);
	}
}

int main(void)
{
	static const char *const hows[] = { "send",  "msg", "vec",   "rw",
					    "fixed", "zc",  "multi", "mixed" };
	struct CMUnitTest tests[ARRAY_SIZE(cases) + 1] = { 0 };
	char names[ARRAY_SIZE(cases)][64];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct uring_case *c = &cases[i];

		snprintf(names[i], sizeof(names[i]), "%s_%s%s%s%s%s%s",
			 c->family == AF_UNIX	? "unix"
			 : c->family == AF_INET ? "tcp4"
						: "tcp6",
			 hows[c->how], c->by_ring ? "_by_ring" : "", c->before ? "_open" : "",
			 c->waits ? "_waits" : "", c->sqe_flags ? "_async" : "",
			 c->setup ? "_sqpoll" : "");
		tests[i] = (struct CMUnitTest){ .name = names[i],
						.test_func = run_case,
						.initial_state = (void *)&cases[i] };
	}
	tests[i] = (struct CMUnitTest)cmocka_unit_test(nothing_else);
	plans = mmap(NULL, sizeof(*plans) * ARRAY_SIZE(cases), PROT_READ | PROT_WRITE,
		     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (plans == MAP_FAILED)
		return 1;
	return cmocka_run_group_tests(tests, run_all, free_all);
}
