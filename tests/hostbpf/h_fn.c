/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transfers seen at the functions of sockets: where the bytes lie is found backwards from where the
 * call left the message's iterator, on kernels of both ages, for each way in which an entry can end.
 * And what happens around it: calls that move nothing, returns that are not shown, processes that
 * are no target, ends.
 */
#include "events.h"
#include "link.h"

#define NENTRIES_MAX 1024

static const struct hp_verdict whole = {
	.capture = HP_CAPTURE_BYTES,
	.turn_max = { HP_PAYLOAD_MAX, HP_PAYLOAD_MAX },
	.more_max = { HP_PAYLOAD_MAX, HP_PAYLOAD_MAX },
	.iov_max = { 64, 64 },
};

static void start(struct link *l, u64 seed, int old)
{
	mach_reset(old);
	mach_profile(0, &whole);
	link_open(l, seed);
}

/* The same on a connection of unix sockets. */
static void start_unix(struct link *l, u64 seed, int old)
{
	mach_reset(old);
	mach_profile(0, &whole);
	memset(l, 0, sizeof(*l));
	l->seed = seed * 0x9e3779b97f4a7c15ULL + 1;
	l->fd = unix_client("/run/a");
	mach_seed();
	/* The other end is in the same process here: nothing of it is wanted. */
	mach_records_clear();
	l->conn_id = mach_state(l->fd)->conn_id;
}

/* True bytes that the next call may move. */
static void put(struct link *l, u32 dir, u32 n)
{
	u8 *p = malloc(n ? n : 1);
	u32 i;

	assert_non_null(p);
	for (i = 0; i < n; i++)
		p[i] = link_random(l, 256);
	link_add(l, dir, p, n);
	free(p);
}

/*
 * A message under way: entries of these lengths, whose buffers hold the next true bytes after the first
 * `before`, which an earlier call used up.
 */
struct message {
	struct mach_iov iov[NENTRIES_MAX];
	u8 *block;
	u32 n;
};

static void message_begin(struct message *m, struct link *l, u32 dir, enum mach_iter kind,
			  const u32 *lens, u32 n, u32 before, int eager)
{
	struct way *w = &l->way[dir];
	u64 total = 0, at = 0, gap = 3; /* between neighbours */
	u8 *truth;
	u32 i;

	assert_true(n <= NENTRIES_MAX);
	for (i = 0; i < n; i++)
		total += lens[i];
	assert_true(w->moved + total - before <= w->n);
	truth = malloc(total ? total : 1);
	m->block = malloc(total + gap * n);
	assert_true(truth && m->block);
	memset(truth, '-', before);
	memcpy(truth + before, w->bytes + w->moved, total - before);
	memset(m->block, '#', total + gap * n);
	for (i = n; i-- > 0;) { /* they lie the other way round */
		total -= lens[i];
		m->iov[i].base = m->block + at;
		m->iov[i].len = lens[i];
		memcpy(m->block + at, truth + total, lens[i]);
		at += lens[i] + gap;
	}
	m->n = n;
	free(truth);
	mach_user(m->block, at);
	mach_iter(kind, m->iov, n, before, eager);
}

static void message_end(struct message *m)
{
	free(m->block);
	mach_user_clear();
}

static enum mach_fn fn_of(const struct link *l, u32 dir)
{
	if (mach_state(l->fd)->family == AF_UNIX)
		return dir == HP_SEND ? FN_UNIX_SENDMSG : FN_UNIX_RECVMSG;
	return dir == HP_SEND ? FN_TCP_SENDMSG : FN_TCP_RECVMSG;
}

/* One call that moves n bytes of the message under way. */
static void moves(struct link *l, u32 dir, u32 n, u32 flags)
{
	enum mach_fn fn = fn_of(l, dir);

	if (dir == HP_RECV)
		mach_arrive(l->fd, n);
	mach_fn_enter(fn, l->fd, n, flags);
	l->way[dir].moved += n;
	mach_fn_leave(fn, l->fd, flags, n);
	link_collect(l);
}

/* A message of one buffer, moved whole. */
static void simple(struct link *l, u32 dir, u32 n, u32 flags)
{
	struct message m;

	put(l, dir, n);
	message_begin(&m, l, dir, MACH_ITER_ONE, &n, 1, 0, 0);
	moves(l, dir, n, flags);
	message_end(&m);
}

static void all_carried(struct link *l)
{
	u32 dir;

	link_end(l);
	for (dir = 0; dir < 2; dir++)
		assert_true(link_carried(&l->way[dir], 0, l->way[dir].moved));
	assert_int_equal(mach_drops(DROP_READ_FAULT), 0);
	assert_int_equal(mach_drops(DROP_UNSEEN), 0);
	assert_int_equal(mach_faults(), 0);
	link_close(l);
}

static void one_buffer(void **state)
{
	const struct ev_data *ev;
	struct link l;
	u32 k;

	(void)state;
	for (k = 0; k < 4; k++) {
		if (k & 2)
			start_unix(&l, k, k & 1);
		else
			start(&l, k, k & 1);
		simple(&l, HP_SEND, 1, 0);
		simple(&l, HP_RECV, 5000, 0);
		put(&l, HP_SEND, 10);
		link_collect(&l);
		all_carried(&l);
	}
	start(&l, 9, 0);
	put(&l, HP_SEND, 4);
	mach_user(l.way[HP_SEND].bytes, 4);
	mach_iter(MACH_ITER_ONE, &(struct mach_iov){ l.way[HP_SEND].bytes, 4 }, 1, 0, 0);
	mach_fn(FN_TCP_SENDMSG, l.fd, 4, 0x40, 4); /* MSG_DONTWAIT */
	ev = nth(EV_DATA, 0);
	assert_int_equal(ev->flags, HP_DATA_NONBLOCK);
	assert_int_equal(ev->enter_ns, 0); /* TCP stamps its segments itself */
	l.way[HP_SEND].moved = 4;
	all_carried(&l);
}

/* Calls of one message: by lengths of its entries, and by how much each call moves. */
static void each_end(void **state)
{
	static const struct {
		u32 n, lens[6], before, calls[4];
	} rows[] = {
		{ 1, { 100 }, 0, { 100 } },
		{ 1, { 100 }, 30, { 70 } }, /* begins inside a buffer */
		{ 1, { 100 }, 30, { 20, 50 } }, /* and ends inside it */
		{ 1, { 100 }, 0, { 1, 98, 1 } },
		{ 3, { 10, 20, 30 }, 0, { 60 } }, /* to the very end */
		{ 3, { 10, 20, 30 }, 0, { 10, 20, 30 } }, /* each an entry */
		{ 3, { 10, 20, 30 }, 0, { 30, 30 } }, /* exactly at an end */
		{ 3, { 10, 20, 30 }, 0, { 15, 45 } }, /* in the middle of one */
		{ 3, { 10, 20, 30 }, 0, { 31, 28, 1 } },
		{ 3, { 10, 20, 30 }, 0, { 12 } }, /* the rest is never moved */
		{ 3, { 10, 20, 30 }, 4, { 6, 5, 15, 30 } },
		{ 3, { 10, 20, 30 }, 9, { 51 } },
		{ 4, { 0, 0, 10, 20 }, 0, { 30 } }, /* empty ones first */
		{ 4, { 0, 10, 0, 20 }, 0, { 10, 20 } }, /* between */
		{ 4, { 0, 10, 0, 20 }, 0, { 5, 25 } },
		{ 4, { 10, 20, 0, 0 }, 0, { 30 } }, /* after */
		{ 6, { 0, 10, 0, 0, 20, 0 }, 0, { 10, 7, 13 } },
		{ 6, { 0, 1, 0, 1, 0, 1 }, 0, { 1, 1, 1 } },
		{ 6, { 5, 0, 0, 0, 0, 5 }, 3, { 2, 5 } },
	};
	struct message m;
	struct link l;
	u32 i, k, c;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		/* old, unix, eager, direction */
		for (k = 0; k < 16; k++) {
			u32 dir = k >> 3;

			if (k & 2)
				start_unix(&l, i, k & 1);
			else
				start(&l, i, k & 1);
			put(&l, dir, 100);
			message_begin(&m, &l, dir, MACH_ITER_MANY, rows[i].lens, rows[i].n,
				      rows[i].before, k >> 2 & 1);
			for (c = 0; c < 4 && rows[i].calls[c]; c++)
				moves(&l, dir, rows[i].calls[c], 0);
			message_end(&m);
			assert_int_equal(l.way[dir].datas, c);
			all_carried(&l);
		}
}

/* A message of more entries than are looked at: the first ones are, and its place is found. */
static void many_entries(void **state)
{
	static const u32 counts[] = { HP_IOV_MAX, HP_IOV_MAX + 1, NENTRIES_MAX };
	static u32 lens[NENTRIES_MAX];
	static struct message m;
	struct link l;
	struct way *w;
	u32 i, old;

	(void)state;
	for (i = 0; i < NENTRIES_MAX; i++)
		lens[i] = 3;
	for (i = 0; i < ARRAY_SIZE(counts); i++)
		for (old = 0; old < 2; old++) {
			start(&l, i, old);
			w = &l.way[HP_SEND];
			put(&l, HP_SEND, 3 * counts[i]);
			message_begin(&m, &l, HP_SEND, MACH_ITER_MANY, lens, counts[i], 0, 0);
			moves(&l, HP_SEND, 3 * counts[i], 0);
			message_end(&m);
			link_end(&l);
			assert_true(link_carried(w, 0, 3 * HP_IOV_MAX));
			assert_int_equal(link_carried(w, 0, w->n), counts[i] == HP_IOV_MAX);
			assert_int_equal(mach_drops(DROP_SEGMENTS), counts[i] != HP_IOV_MAX);
			assert_int_equal(mach_drops(DROP_READ_FAULT), 0);
			/* A later part of it, far from the first entry. */
			if (counts[i] == NENTRIES_MAX) {
				u64 from = w->n;

				put(&l, HP_SEND, 3 * NENTRIES_MAX);
				message_begin(&m, &l, HP_SEND, MACH_ITER_MANY, lens, NENTRIES_MAX,
					      0, 0);
				moves(&l, HP_SEND, 3 * NENTRIES_MAX - 100, 0);
				moves(&l, HP_SEND, 100, 0);
				message_end(&m);
				assert_true(link_carried(w, from + 3 * NENTRIES_MAX - 100, 100));
			}
			link_close(&l);
		}
}

/* An iterator that is not what it was taken for: nothing wrong is carried, and that is counted. */
static void no_place(void **state)
{
	const struct ev_data *ev;
	struct link l;
	u32 old;

	(void)state;
	for (old = 0; old < 2; old++) {
		start(&l, 3, old);
		mach_iter(MACH_ITER_WILD, NULL, 0, 0, 0);
		mach_fn(FN_TCP_SENDMSG, l.fd, 50, 0, 50);
		assert_int_equal(mach_records(), 1);
		ev = nth(EV_DATA, 0);
		assert_int_equal(ev->flags, HP_DATA_OPAQUE | HP_DATA_FAULT);
		assert_int_equal(ev->len, 50);
		assert_int_equal(ev->nsegs, 0);
		assert_int_equal(mach_drops(DROP_READ_FAULT), 1);
		l.way[HP_SEND].moved = 50;
		put(&l, HP_SEND, 50);
		simple(&l, HP_SEND, 20, 0);
		link_end(&l);
		link_close(&l);
	}
}

/* What stays inside the kernel: pages, sendfile's and splice's functions, MSG_TRUNC. */
static void opaque(void **state)
{
	static const struct {
		enum mach_fn fn;
		u32 dir, flags;
	} rows[] = {
		{ FN_TCP_SENDMSG, HP_SEND, 0 },	   { FN_TCP_RECVMSG, HP_RECV, 0 },
		{ FN_TCP_RECVMSG, HP_RECV, 0x20 }, { FN_TCP_SENDPAGE, HP_SEND, 0 },
		{ FN_SPLICE_READ, HP_RECV, 0 },	   { FN_UNIX_SENDMSG, HP_SEND, 0 },
		{ FN_UNIX_RECVMSG, HP_RECV, 0 },   { FN_UNIX_RECVMSG, HP_RECV, 0x20 },
		{ FN_UNIX_SENDPAGE, HP_SEND, 0 },  { FN_SPLICE_READ, HP_RECV, 0 },
	};
	const struct mach_iov iov = { page, sizeof(page) };
	u32 i, old;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(rows); i++)
		for (old = 0; old < 2; old++) {
			const struct ev_data *ev;
			struct link l;

			if (i >= 5)
				start_unix(&l, i, old);
			else
				start(&l, i, old);
			/* Readable memory that has nothing to do with it. */
			mach_user(page, sizeof(page));
			mach_iter(rows[i].flags ? MACH_ITER_MANY : MACH_ITER_PAGES, &iov, 1, 0, 0);
			mach_arrive(l.fd, rows[i].dir == HP_RECV ? 700 : 0);
			mach_fn(rows[i].fn, l.fd, 700, rows[i].flags, 700);
			assert_int_equal(count(EV_DATA), 1);
			ev = nth(EV_DATA, 0);
			assert_int_equal(ev->dir, rows[i].dir);
			assert_int_equal(ev->flags, HP_DATA_OPAQUE);
			assert_int_equal(ev->len, 700);
			assert_int_equal(ev->nsegs, 0);
			l.way[rows[i].dir].moved = 700;
			link_end(&l);
			link_close(&l);
		}
}

/* Looking is no receiving, and the error queue is no part of the stream. */
static void only_looked_at(void **state)
{
	static const u32 flags[] = { 0x2, 0x2000, 0x2002, 0x22 }; /* MSG_PEEK, MSG_ERRQUEUE */
	struct message m;
	struct link l;
	u32 i, k, n = 60;

	(void)state;
	for (k = 0; k < 4; k++) {
		if (k & 2)
			start_unix(&l, k, k & 1);
		else
			start(&l, k, k & 1);
		put(&l, HP_RECV, n);
		for (i = 0; i < ARRAY_SIZE(flags); i++) {
			message_begin(&m, &l, HP_RECV, MACH_ITER_MANY, &n, 1, 0, 0);
			mach_fn(fn_of(&l, HP_RECV), l.fd, n, flags[i], n);
			mach_fn(fn_of(&l, HP_RECV), l.fd, n, flags[i], 0);
			mach_fn(fn_of(&l, HP_RECV), l.fd, n, flags[i], -ECONNRESET);
			message_end(&m);
			assert_int_equal(mach_records(), 0);
		}
		message_begin(&m, &l, HP_RECV, MACH_ITER_MANY, &n, 1, 0, 0);
		moves(&l, HP_RECV, n, 0);
		message_end(&m);
		all_carried(&l);
	}
}

static void ends_and_errors(void **state)
{
	static const long harmless[] = { EAGAIN, EINTR, RESTARTSYS, EFAULT, ENOBUFS, EINVAL };
	struct link l;
	u32 k, i;

	(void)state;
	for (k = 0; k < 2; k++) {
		enum mach_fn recv = k ? FN_UNIX_RECVMSG : FN_TCP_RECVMSG,
			     send = k ? FN_UNIX_SENDMSG : FN_TCP_SENDMSG;

		if (k)
			start_unix(&l, k, 0);
		else
			start(&l, k, 0);
		mach_iter(MACH_ITER_PAGES, NULL, 0, 0, 0);
		for (i = 0; i < ARRAY_SIZE(harmless); i++) {
			mach_fn(recv, l.fd, 10, 0, -harmless[i]);
			mach_fn(send, l.fd, 10, 0, -harmless[i]);
			mach_fn(FN_SPLICE_READ, l.fd, 10, 0, -harmless[i]);
		}
		mach_fn(recv, l.fd, 0, 0, 0); /* no room asked for */
		mach_fn(FN_SPLICE_READ, l.fd, 0, 0, 0);
		mach_fn(send, l.fd, 0, 0, 0);
		assert_int_equal(mach_records(), 0);
		mach_fn(k ? recv : FN_SPLICE_READ, l.fd, 10, 0, 0);
		mach_fn(recv, l.fd, 10, 0, 0);
		assert_int_equal(mach_records(), 1);
		state_is(0, HP_CONN_EOF, 0);
		mach_fn(send, l.fd, 10, 0, k ? -EPIPE : -ECONNRESET);
		mach_fn(send, l.fd, 10, 0, -EPIPE);
		assert_int_equal(mach_records(), 2);
		state_is(1, HP_CONN_ERROR, k ? EPIPE : ECONNRESET);
		link_close(&l);
	}
}

/* Of a call whose return is not shown nobody knows how much it moved, but for TCP's own count. */
static void missed_return(void **state)
{
	struct link l;
	struct way *w;

	(void)state;
	start_unix(&l, 1, 0);
	w = &l.way[HP_SEND];
	simple(&l, HP_SEND, 10, 0);
	mach_iter(MACH_ITER_PAGES, NULL, 0, 0, 0);
	mach_fn_enter(FN_UNIX_SENDMSG, l.fd, 0, 0);
	l.lossy = true;
	put(&l, HP_SEND, 1);
	w->moved++; /* not nothing */
	simple(&l, HP_SEND, 20, 0);
	assert_int_equal(mach_drops(DROP_RETURN_MISSED), 1);
	link_end(&l);
	assert_int_equal(w->nholes, 1);
	assert_int_equal(w->holes[0].pos, 10);
	assert_int_equal(w->holes[0].len, 1);
	assert_true(link_carried(w, 11, 20));
	link_close(&l);

	start(&l, 2, 0);
	w = &l.way[HP_SEND];
	simple(&l, HP_SEND, 10, 0);
	mach_iter(MACH_ITER_PAGES, NULL, 0, 0, 0);
	mach_fn_enter(FN_TCP_SENDMSG, l.fd, 0, 0);
	mach_written(l.fd, 33);
	l.lossy = true;
	put(&l, HP_SEND, 33);
	w->moved += 33;
	simple(&l, HP_SEND, 20, 0);
	assert_int_equal(mach_drops(DROP_RETURN_MISSED), 1);
	link_end(&l);
	assert_int_equal(w->nholes, 1);
	assert_int_equal(w->holes[0].pos, 10);
	assert_int_equal(w->holes[0].len, 33);
	assert_true(link_carried(w, 43, 20));
	assert_int_equal(mach_state(l.fd)->pos[HP_SEND], w->moved);
	/* Another thread's call is under way at the same time: that is none. */
	mach_task(MACH_TGID, MACH_TID + 1);
	mach_iter(MACH_ITER_PAGES, NULL, 0, 0, 0);
	mach_fn_enter(FN_TCP_RECVMSG, l.fd, 10, 0);
	mach_task(MACH_TGID, MACH_TID);
	simple(&l, HP_SEND, 20, 0);
	assert_int_equal(mach_drops(DROP_RETURN_MISSED), 1);
	link_close(&l);
}

/* A return without an entry, a process that is no target, and probes that are not all there yet. */
static void not_ours(void **state)
{
	struct link l;

	(void)state;
	start(&l, 1, 0);
	mach_user(page, sizeof(page));
	mach_iter(MACH_ITER_ONE, &(struct mach_iov){ page, sizeof(page) }, 1, 0, 0);
	mach_fn_leave(FN_TCP_SENDMSG, l.fd, 0, 10);
	mach_task(7, 7);
	mach_fn(FN_TCP_SENDMSG, l.fd, 10, 0, 10);
	mach_fn(FN_TCP_RECVMSG, l.fd, 10, 0, -ECONNRESET);
	mach_task(MACH_TGID, MACH_TID);
	mach_live(0);
	mach_fn(FN_TCP_SENDMSG, l.fd, 10, 0, 10);
	mach_live(1);
	assert_int_equal(mach_records(), 0);
	mach_fn(FN_TCP_SENDMSG, l.fd, 10, 0, 10);
	/* TCP has counted what the three moved. */
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 0))->pos, 30);
	assert_int_equal(mach_drops(DROP_UNSEEN), 1);
	mach_full(1);
	mach_fn_enter(FN_TCP_SENDMSG, l.fd, 10, 0);
	assert_int_equal(mach_drops(DROP_THREAD_TABLE_FULL), 1);
	link_close(&l);
}

/* No slot to build the record in: the bytes are a hole of their size. */
static void no_slot(void **state)
{
	struct link l;
	struct way *w;
	u32 k;

	(void)state;
	for (k = 0; k < 2; k++) {
		if (k)
			start_unix(&l, k, 0);
		else
			start(&l, k, 0);
		w = &l.way[HP_RECV];
		simple(&l, HP_RECV, 10, 0);
		mach_scratch(1);
		simple(&l, HP_RECV, 300, 0);
		mach_scratch(0);
		l.lossy = true;
		simple(&l, HP_RECV, 40, 0);
		assert_int_equal(mach_drops(DROP_SCRATCH_BUSY), 1);
		link_end(&l);
		assert_int_equal(w->nholes, 1);
		assert_int_equal(w->holes[0].pos, 10);
		assert_int_equal(w->holes[0].len, 300);
		assert_true(link_carried(w, 310, 40));
		link_close(&l);
	}
}

/* A send on a unix socket is stamped where it begins; its connection ends with the last reference. */
static void unix_sends(void **state)
{
	const struct ev_conn_close *close;
	const struct ev_data *ev;
	u64 before, after;
	int fd;

	(void)state;
	begin();
	fd = unix_client("/run/a");
	mach_iter(MACH_ITER_ONE, &(struct mach_iov){ page, 100 }, 1, 0, 0);
	/* Lazily known: by its first transfer, which has no stamp then. */
	mach_fn(FN_UNIX_SENDMSG, fd, 100, 0, 10);
	assert_int_equal(count(EV_CONN_OPEN), 1);
	before = mach_clock();
	mach_fn_enter(FN_UNIX_SENDMSG, fd, 100, 0);
	after = mach_clock();
	mach_sleep(5000);
	mach_fn_leave(FN_UNIX_SENDMSG, fd, 0, 90);
	ev = nth(EV_DATA, 1);
	assert_true(ev->enter_ns > before && ev->enter_ns <= after);
	assert_true(ev->hdr.ts_ns >= after + 5000);
	assert_int_equal(ev->pos, 10);
	mach_iter(MACH_ITER_ONE, &(struct mach_iov){ page, 100 }, 1, 0, 0);
	mach_fn(FN_UNIX_RECVMSG, fd, 100, 0, 7);
	assert_int_equal(((struct ev_data *)nth(EV_DATA, 2))->enter_ns, 0);
	mach_task(7, 7); /* whoever lets go of it */
	mach_unix_release(fd);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
	close = nth(EV_CONN_CLOSE, 0);
	assert_int_equal(close->bytes[HP_SEND], 100);
	assert_int_equal(close->bytes[HP_RECV], 7);
	assert_int_equal(close->hdr.tgid, 0);
	assert_int_equal(mach_socks(), 0);
	mach_unix_release(fd);
	assert_int_equal(count(EV_CONN_CLOSE), 1);
}

/* Random entries and calls: every byte is carried, or counted where it is missing. */
static void random_traffic(void **state)
{
	static struct message m;
	static u32 lens[300];
	u32 i, k, c, n, dir, total, before, left, part;
	struct link l;

	(void)state;
	for (i = 0; i < 1500; i++) {
		if (i & 2)
			start_unix(&l, 100 + i, i & 1);
		else
			start(&l, 100 + i, i & 1);
		for (k = 0; k < 8; k++) {
			enum mach_iter kind = MACH_ITER_MANY;

			dir = link_random(&l, 2);
			n = 1 + link_random(&l, link_random(&l, 8) ? 12 : HP_IOV_MAX);
			total = 0;
			for (c = 0; c < n; c++) {
				lens[c] = link_random(&l, 3) ? link_random(&l, 120) : 0;
				total += lens[c];
			}
			if (!total)
				total = lens[n - 1] = 1;
			before = lens[0] ? link_random(&l, lens[0]) : 0;
			left = total - before;
			if (n == 1)
				kind = MACH_ITER_ONE;
			put(&l, dir, left);
			message_begin(&m, &l, dir, kind, lens, n, before, link_random(&l, 2));
			while (left) {
				part = link_random(&l, 3) ? 1 + link_random(&l, left) : left;
				moves(&l, dir, part, 0);
				left -= part;
			}
			message_end(&m);
		}
		assert_int_equal(mach_drops(DROP_SEGMENTS), 0);
		all_carried(&l);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_buffer),	   cmocka_unit_test(each_end),
		cmocka_unit_test(many_entries),	   cmocka_unit_test(no_place),
		cmocka_unit_test(opaque),	   cmocka_unit_test(only_looked_at),
		cmocka_unit_test(ends_and_errors), cmocka_unit_test(missed_return),
		cmocka_unit_test(not_ours),	   cmocka_unit_test(no_slot),
		cmocka_unit_test(unix_sends),	   cmocka_unit_test(random_traffic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
