/* SPDX-License-Identifier: Apache-2.0 */
/* See lab.h. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include "lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "decode/record.h"
#include "load/feat.h"
#include "load/probes.h"

static struct sockaddr_storage bound; /* of the latest listener */
static socklen_t bound_len;

void lab_die(const char *what, const char *file, int line)
{
	fprintf(stderr, "child: %s:%d: %s: %s\n", file, line, what, strerror(errno));
	_exit(1);
}

void lab_fill(void *p, size_t n, u64 *pos)
{
	u8 *out = p;

	while (n--)
		*out++ = lab_byte((*pos)++);
}

int lab_listen(int family)
{
	static u32 names;
	struct sockaddr_in6 *in6 = (void *)&bound;
	struct sockaddr_in *in = (void *)&bound;
	struct sockaddr_un *un = (void *)&bound;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	memset(&bound, 0, sizeof(bound));
	bound.ss_family = family;
	if (family == AF_UNIX) {
		bound_len = offsetof(struct sockaddr_un, sun_path) + 1 +
			    snprintf(un->sun_path + 1, sizeof(un->sun_path) - 1, "hp-lab-%d-%u",
				     getpid(), ++names);
	} else if (family == AF_INET6) {
		in6->sin6_addr = in6addr_loopback;
		bound_len = sizeof(*in6);
	} else {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		bound_len = sizeof(*in);
	}
	MUST(bind(fd, (struct sockaddr *)&bound, bound_len) == 0);
	MUST(listen(fd, 1024) == 0);
	if (family != AF_UNIX)
		MUST(getsockname(fd, (struct sockaddr *)&bound, &bound_len) == 0);
	return fd;
}

int lab_connect(int family)
{
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	MUST(fd >= 0);
	MUST(connect(fd, (struct sockaddr *)&bound, bound_len) == 0);
	return fd;
}

int lab_pair(int family, int *ret_served)
{
	int lfd = lab_listen(family), fd = lab_connect(family);

	*ret_served = accept(lfd, NULL, NULL);
	MUST(*ret_served >= 0);
	close(lfd);
	return fd;
}

u16 lab_port(void)
{
	return ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

const char *lab_name(void)
{
	return ((struct sockaddr_un *)&bound)->sun_path + 1;
}

static struct seen *seen_of(struct lab *lab, u64 conn_id)
{
	u32 i;

	for (i = lab->n; i--;)
		if (lab->conns[i].open.conn_id == conn_id)
			return &lab->conns[i];
	fail_msg("a record of a connection that was not announced");
	return NULL;
}

static void on_open(struct lab *lab, const struct ev_conn_open *ev)
{
	struct seen *s;
	u32 i;

	for (i = 0; i < lab->n; i++)
		assert_int_not_equal(lab->conns[i].open.conn_id, ev->conn_id);
	assert_true(lab->n < LAB_CONNS_MAX);
	s = &lab->conns[lab->n++];
	s->open = *ev;
	s->opens = 1;
}

static void advance(const struct lab *lab, struct seen *s, u32 dir, u64 pos, u64 len)
{
	if (lab->holes && pos > s->moved[dir]) {
		s->holes[dir] += pos - s->moved[dir];
		s->moved[dir] = pos;
	}
	if (pos != s->moved[dir])
		fail_msg("position %llu, not %llu", (unsigned long long)pos,
			 (unsigned long long)s->moved[dir]);
	s->moved[dir] += len;
}

static void carried(const struct lab *lab, struct seen *s, u32 dir, u64 pos, const u8 *p, u64 n)
{
	bool unchecked = lab->unchecked || (lab->holes && s->open.family == AF_UNIX);
	u64 i;

	s->carried[dir] += n;
	for (i = 0; i < n && !unchecked; i++)
		if (p[i] != lab_byte(pos + i))
			fail_msg("other bytes at %llu", (unsigned long long)(pos + i));
}

static void on_data(struct lab *lab, struct ev_data *ev)
{
	struct seen *s = seen_of(lab, ev->conn_id);
	size_t at = 0;
	u32 i;

	advance(lab, s, ev->dir, ev->pos, ev->len);
	s->transfers[ev->dir]++;
	s->wire[ev->dir] += ev->wire_ns != 0;
	s->entered[ev->dir] += ev->enter_ns != 0;
	s->opaque[ev->dir] += ev->flags & HP_DATA_OPAQUE ? 1 : 0;
	assert_false(ev->flags & HP_DATA_FAULT);
	assert_true(!ev->enter_ns || ev->enter_ns <= ev->hdr.ts_ns);
	assert_true(!ev->wire_ns || ev->dir == HP_SEND || ev->wire_ns <= ev->hdr.ts_ns);
	for (i = 0; i < ev->nsegs; i++) {
		u8 *bytes;
		struct ev_seg *seg = record_seg(ev, &at, &bytes);

		carried(lab, s, ev->dir, ev->pos + seg->off, bytes, seg->len);
	}
}

static void on_cont(struct lab *lab, const struct ev_cont *ev)
{
	struct seen *s = seen_of(lab, ev->conn_id);

	advance(lab, s, ev->dir, ev->pos, ev->len);
	s->transfers[ev->dir] += ev->calls;
	carried(lab, s, ev->dir, ev->pos + ev->len - ev->tail_len, ev->tail, ev->tail_len);
}

static void on_state(struct lab *lab, const struct ev_conn_state *ev)
{
	struct seen *s = seen_of(lab, ev->conn_id);

	assert_int_equal(s->closes, 0);
	switch (ev->what) {
	case HP_CONN_ESTABLISHED:
		s->established++;
		break;
	case HP_CONN_FAILED:
		s->failed++;
		s->err = ev->err;
		break;
	case HP_CONN_EOF:
		s->eof++;
		break;
	case HP_CONN_SHUT_WR:
		s->shut++;
		break;
	case HP_CONN_ERROR:
		s->errors++;
		s->err = ev->err;
		break;
	default:
		fail_msg("unknown state %u", ev->what);
	}
}

static void note_target(struct lab *lab, u32 tgid)
{
	u32 i;

	for (i = 0; i < lab->ntargets; i++)
		if (lab->targets[i] == tgid)
			return;
	if (tgid && lab->ntargets < ARRAY_SIZE(lab->targets))
		lab->targets[lab->ntargets++] = tgid;
}

static int on_record(void *arg, const void *p, size_t size)
{
	struct lab *lab = arg;
	struct ev_hdr *rec = malloc(size); /* exact: reads past it are found */
	size_t whole;
	struct seen *s;

	assert_non_null(rec);
	memcpy(rec, p, size);
	assert_int_equal(record_check(rec, size, &whole), 0);
	assert_true(whole <= size);
	note_target(lab, rec->tgid);
	if (lab->opts->record)
		lab->opts->record(lab->opts->arg, rec);
	switch (rec->kind) {
	case EV_CONN_OPEN:
		on_open(lab, (struct ev_conn_open *)rec);
		break;
	case EV_CONN_STATE:
		on_state(lab, (struct ev_conn_state *)rec);
		break;
	case EV_CONN_CLOSE:
		s = seen_of(lab, ((struct ev_conn_close *)rec)->conn_id);
		s->closes++;
		memcpy(s->close_bytes, ((struct ev_conn_close *)rec)->bytes,
		       sizeof(s->close_bytes));
		break;
	case EV_CONN_BYTES:
		s = seen_of(lab, ((struct ev_conn_close *)rec)->conn_id);
		s->still = true;
		memcpy(s->close_bytes, ((struct ev_conn_close *)rec)->bytes,
		       sizeof(s->close_bytes));
		break;
	case EV_DATA:
		on_data(lab, (struct ev_data *)rec);
		break;
	case EV_CONT:
		on_cont(lab, (struct ev_cont *)rec);
		break;
	case EV_PROC:
		lab->procs[((struct ev_proc *)rec)->what & 3]++;
		break;
	}
	free(rec);
	return 0;
}

static void step(int fd)
{
	char c;

	MUST(read(fd, &c, 1) == 1);
}

static void child_main(const struct lab_opts *opts, int in, int out)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	signal(SIGPIPE, SIG_IGN);
	if (opts->before)
		opts->before();
	MUST(write(out, "r", 1) == 1);
	step(in);
	opts->act();
	MUST(write(out, "d", 1) == 1);
	step(in);
	_exit(0);
}

static void drain(struct lab *lab)
{
	assert_true(probes_drain(lab->p, on_record, lab) >= 0);
}

/* Waits for the child's word, or its end, and keeps the ring empty meanwhile. */
static void await(struct lab *lab, int fd)
{
	const struct timespec wait = { .tv_nsec = 2000000 };
	ssize_t n = -1;
	char c;
	u32 i;

	for (i = 0; i < 10000; i++) {
		n = recv(fd, &c, 1, MSG_DONTWAIT);
		if (n >= 0 || errno != EAGAIN)
			break;
		if (lab->p)
			drain(lab);
		nanosleep(&wait, NULL);
	}
	if (n != 1)
		fail_msg("the child gave up");
}

/* HOSTPROF_WITHOUT=fentry,kprobe: the same tests on another rung. */
static void force_rung(void)
{
	static bool done;
	const char *list = done ? NULL : getenv("HOSTPROF_WITHOUT");
	_free_ char *copy = list ? strdup(list) : NULL;
	char *key, *rest = copy;

	done = true;
	while (rest && (key = strsep(&rest, ",")))
		if (*key && feat_force_off(key))
			fail_msg("HOSTPROF_WITHOUT: no feature '%s'", key);
}

void lab_run(struct lab *lab, const struct lab_opts *opts)
{
	const struct probes_opts popts = { .net = !opts->waits,
					   .waits = opts->waits || opts->steps,
					   .follow_children = !opts->no_children };
	bool unchecked = lab->unchecked, holes = lab->holes;
	struct probes_error err;
	int to[2], from[2], status;
	struct timespec now;
	pid_t pid;

	force_rung();
	memset(lab, 0, sizeof(*lab));
	lab->opts = opts;
	lab->unchecked = unchecked;
	lab->holes = holes;
	lab->conns = calloc(LAB_CONNS_MAX, sizeof(*lab->conns));
	assert_non_null(lab->conns);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, to), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, from), 0);
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		close(to[1]);
		close(from[0]);
		child_main(opts, to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	await(lab, from[0]);
	if (probes_open(&lab->p, &popts, &err))
		fail_msg("%s; %s", err.text, err.fix);
	assert_int_equal(probes_add_target(lab->p, pid, 0), 0);
	assert_int_equal(probes_seed_listeners(lab->p), 0);
	if (probes_attach(lab->p, &err))
		fail_msg("%s; %s", err.text, err.fix);
	if (!opts->no_unix && !opts->waits)
		assert_int_equal(probes_want_unix(lab->p), 0);
	assert_int_equal(probes_seed(lab->p), 0);
	assert_int_equal(probes_waits(lab->p, true, HP_WAIT_BASE, on_record, lab), 0);
	assert_int_equal(write(to[1], "g", 1), 1);
	await(lab, from[0]);
	if (!opts->keep) {
		assert_int_equal(write(to[1], "q", 1), 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	drain(lab);
	assert_int_equal(probes_waits(lab->p, true, 0, on_record, lab), 0);
	clock_gettime(CLOCK_MONOTONIC, &now);
	probes_detach(lab->p);
	drain(lab);
	assert_int_equal(
		probes_flush_conts(lab->p, on_record, lab, now.tv_sec * NSEC_PER_SEC + now.tv_nsec),
		0);
	probes_drops(lab->p, lab->drops);
	if (opts->keep) {
		assert_int_equal(write(to[1], "q", 1), 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	close(to[1]);
	close(from[0]);
}

void lab_free(struct lab *lab)
{
	probes_free(lab->p);
	free(lab->conns);
	lab->p = NULL;
	lab->conns = NULL;
}

struct seen *lab_conn(struct lab *lab, u8 role, u16 family, u32 n)
{
	u32 i;

	for (i = 0; i < lab->n; i++) {
		const struct ev_conn_open *ev = &lab->conns[i].open;

		if (ev->role == role && (!family || ev->family == family) && !n--)
			return &lab->conns[i];
	}
	return NULL;
}

bool lab_on_functions(const struct lab *lab)
{
	const struct rung *r = ladder_rung(probes_ladder(lab->p), PROBE_TRANSFERS);

	return r && !r->no_rings;
}

u32 lab_count(const struct lab *lab, u8 role)
{
	u32 i, n = 0;

	for (i = 0; i < lab->n; i++)
		n += lab->conns[i].open.role == role;
	return n;
}

void lab_no_drops(const struct lab *lab)
{
	u32 i;

	for (i = 0; i < DROP_MAX; i++)
		if (lab->drops[i])
			fail_msg("drop reason %u: %llu", i, (unsigned long long)lab->drops[i]);
}
