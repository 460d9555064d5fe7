/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: a capture, from its bytes to every report.
 *
 * Input: a capture file. It goes the way of `hostprof report`: header, record stream, sessions,
 * aggregates, all outputs, into buffers. The masked records are then a second capture, as the live
 * run writes it, and that one goes the same way.
 *
 * Checked beyond memory safety: both make the same reports, byte for byte; the second masking
 * changes nothing; literals stay when shown; memory stays in proportion to the records, and all of
 * it is given back.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "agg/agg.h"
#include "base/file.h"
#include "decode/capture.h"
#include "decode/record.h"
#include "decode/stream.h"
#include "ledger/ledger.h"
#include "out/outs.h"
#include "out/requests.h"
#include "session/session.h"

#define INPUT_MAX (1 << 20)
#define MEMORY_FIXED (24u << 20) /* tables at their first size, and the outputs */
#define MEMORY_PER_RECORD (64u << 10)

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* There under AddressSanitizer only. */
size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated(void)
{
	return __sanitizer_get_current_allocated_bytes ? __sanitizer_get_current_allocated_bytes()
						       : 0;
}

struct replay {
	struct agg *agg;
	struct session *session;
	struct requests requests;
	struct bind bind;
	struct ledger ledger;
	u32 served;
	struct buf left; /* the records as masking left them */
	struct buf reports;
	u64 start_ns;
	u64 stop_ns;
	u64 last_ns;
	u64 records;
	bool started;
};

static bool clip(const struct replay *r, u64 start_ns, u64 end_ns, u32 *flags)
{
	if (!r->started || (end_ns && end_ns < r->start_ns))
		return false;
	if (start_ns && start_ns < r->start_ns)
		*flags |= SPAN_AT_ATTACH;
	return true;
}

static void on_http(void *arg, const struct http_exchange *x)
{
	struct http_exchange clipped = *x;
	struct replay *r = arg;
	u32 row;

	if (!clip(r, x->start_ns, x->end_ns, &clipped.flags))
		return;
	row = agg_http(r->agg, &clipped);
	if (x->role != HP_ROLE_SERVER) {
		ledger_external(&r->ledger, &clipped);
		return;
	}
	requests_add(&r->requests, &clipped, bind_request(&r->bind, &clipped, row), ++r->served);
	ledger_request(&r->ledger, &clipped, row, r->served);
}

static void on_db(void *arg, const struct db_call *c)
{
	struct db_call clipped = *c;
	struct replay *r = arg;

	if (!clip(r, c->start_ns, c->end_ns, &clipped.flags))
		return;
	bind_call(&r->bind, &clipped, agg_db(r->agg, &clipped));
	ledger_db(&r->ledger, &clipped);
}

static void on_split(void *arg, const struct ledger_split *s)
{
	u64 sum = 0;
	u32 p;

	for (p = 0; p < PHASES; p++)
		sum += s->phase_ns[p];
	CHECK(sum == s->latency_ns);
	agg_ledger(((struct replay *)arg)->agg, s);
}

static void on_db_event(void *arg, const struct db_event *e)
{
	agg_db_event(((struct replay *)arg)->agg, e);
}

static void on_conn(void *arg, const struct conn_info *c)
{
	agg_conn(((struct replay *)arg)->agg, c);
}

static void on_drop(void *arg, enum hp_drop why, u64 n)
{
	agg_drop(((struct replay *)arg)->agg, why, n);
}

static void on_verdict(void *arg, u64 conn_id, const struct hp_verdict *v)
{
	(void)arg;
	(void)conn_id;
	CHECK(v->capture <= HP_CAPTURE_IGNORE);
}

static void on_record(struct replay *r, struct ev_hdr *rec)
{
	r->records++;
	r->last_ns = MAX(r->last_ns, rec->ts_ns);
	if (rec->kind == EV_WINDOW) {
		const struct ev_window *ev = (const struct ev_window *)rec;

		if (ev->what == HP_WINDOW_START) {
			r->started = true;
			r->start_ns = rec->ts_ns;
		} else if (ev->what == HP_WINDOW_STOP) {
			r->stop_ns = rec->ts_ns;
		}
	}
	ledger_record(&r->ledger, rec);
	session_record(r->session, rec);
	if (rec->kind == EV_TASK)
		bind_task(&r->bind, (struct ev_task *)rec);
	agg_record(r->agg, rec);
	buf_add(&r->left, rec, rec->size);
}

static void report(struct replay *r, int dirfd)
{
	static const struct out_opts plain = { .dir = "out" },
				     fancy = { .width = 60, .color = true };
	struct buf requests = BUF_INIT;
	const struct bind_call *calls;
	struct agg_live live;
	u32 i, k, n;

	agg_live(r->agg, &live);
	session_finish(r->session, r->stop_ns ? r->stop_ns : r->last_ns);
	ledger_finish(&r->ledger);
	bind_finish(&r->bind);
	for (i = 0; i < r->bind.nrequests; i++) {
		calls = bind_calls_of(&r->bind, i + 1, &n);
		agg_bound_request(r->agg, r->bind.requests[i].row, r->bind.requests[i].end_ns,
				  r->bind.requests[i].partial);
		for (k = 0; k < n; k++)
			agg_bound_call(r->agg, calls[k].query, calls[k].start_ns, calls[k].end_ns,
				       calls[k].trips);
	}
	CHECK(!agg_finish(r->agg));
	for (i = 0; i < OUT_FORMATS; i++)
		if (outputs[i].write)
			CHECK(!outputs[i].write(r->agg, &r->reports, &plain));
	CHECK(!out_text(r->agg, &r->reports, &plain));
	CHECK(!out_text(r->agg, &r->reports, &fancy));
	CHECK(!requests_end(&r->requests, r->agg, &r->bind, dirfd, "requests"));
	CHECK(!file_read_at(dirfd, "requests", &requests, 64 << 20));
	CHECK(!unlinkat(dirfd, "requests", 0));
	buf_add(&r->reports, requests.p, requests.n);
	buf_release(&requests);
	CHECK(!r->reports.oom && !r->left.oom);
}

/* A capture's records. False: the header is no capture's. */
static bool replay(struct replay *r, int dirfd, const void *p, size_t n, struct capture_header *h)
{
	const struct session_sink sink = {
		.arg = r,
		.http = on_http,
		.db = on_db,
		.db_event = on_db_event,
		.conn = on_conn,
		.drop = on_drop,
		.verdict = on_verdict,
	};
	struct session_opts so = { 0 };
	struct stream stream;
	struct ev_hdr *rec;
	int fd = memfd_create("capture", MFD_CLOEXEC), err;

	memset(r, 0, sizeof(*r));
	CHECK(fd >= 0 && !fd_write_all(fd, p, n) && !lseek(fd, 0, SEEK_SET));
	err = capture_read_header(fd, h);
	if (err) {
		CHECK(err == -EINVAL || err == -ENODATA || err == -EPROTONOSUPPORT);
		close(fd);
		return false;
	}
	so.show_literals = h->flags & CAPTURE_LITERALS;
	so.no_http = h->flags & CAPTURE_NO_HTTP;
	so.no_db = h->flags & CAPTURE_NO_DB;
	CHECK(!stream_init(&stream, fd) && !agg_new(&r->agg, NULL));
	bind_init(&r->bind);
	CHECK(!ledger_init(&r->ledger, &r->bind.lineage, &r->bind.loops, on_split, r));
	CHECK(!session_new(&r->session, &so, &sink) && !requests_begin(&r->requests, dirfd));
	while ((err = stream_next(&stream, &rec)) == 1)
		on_record(r, rec);
	CHECK(err == 0 || err == -ENODATA || err == -EPROTO);
	stream_release(&stream);
	close(fd);
	report(r, dirfd);
	return true;
}

static void replay_release(struct replay *r)
{
	session_free(r->session);
	agg_free(r->agg);
	requests_release(&r->requests);
	ledger_release(&r->ledger);
	bind_release(&r->bind);
	buf_release(&r->left);
	buf_release(&r->reports);
}

static bool same(const struct buf *a, const struct buf *b, const char *what)
{
	size_t i = 0;

	if (a->n == b->n && (!a->n || !memcmp(a->p, b->p, a->n)))
		return true;
	while (i < a->n && i < b->n && a->p[i] == b->p[i])
		i++;
	fprintf(stderr, "%s differ at byte %zu of %zu and %zu\n", what, i, a->n, b->n);
	if (!strcmp(what, "reports"))
		fprintf(stderr, "live:\n%.*s\nreplay:\n%.*s\n", (int)MIN(a->n - MIN(i, 300), 600),
			a->p + MIN(i - MIN(i, 300), a->n), (int)MIN(b->n - MIN(i, 300), 600),
			b->p + MIN(i - MIN(i, 300), b->n));
	return false;
}

/* Where requests.ndjson goes. */
static char scratch[] = "/tmp/hp-fuzz-XXXXXX";

static void scratch_remove(void)
{
	rmdir(scratch);
}

static int scratch_dir(void)
{
	static int fd = -1;

	if (fd >= 0)
		return fd;
	CHECK(mkdtemp(scratch));
	atexit(scratch_remove);
	fd = open(scratch, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	CHECK(fd >= 0);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static bool warm;
	struct capture_header header, again_header;
	struct replay first, again;
	struct buf capture = BUF_INIT;
	int dirfd = scratch_dir();
	size_t before = allocated(), peak;

	if (n > INPUT_MAX || !replay(&first, dirfd, data, n, &header))
		return 0;
	peak = allocated() - before;
	CHECK(peak <= MEMORY_FIXED + first.records * MEMORY_PER_RECORD + n);

	header.header_bytes = sizeof(header);
	buf_add(&capture, &header, sizeof(header));
	buf_add(&capture, first.left.p, first.left.n);
	CHECK(replay(&again, dirfd, capture.p, capture.n, &again_header));
	CHECK(again.records == first.records);
	CHECK(same(&first.left, &again.left, "records"));
	CHECK(same(&first.reports, &again.reports, "reports"));

	replay_release(&first);
	replay_release(&again);
	buf_release(&capture);
	/* The first run also makes what the C library keeps for itself. */
	CHECK(allocated() == before || !warm);
	warm = true;
	return 0;
}
