/* SPDX-License-Identifier: Apache-2.0 */
/* See requests.h. Fed by the analyst with the same spans as the aggregates. */
#include "out/requests.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "out/ledger.h"

#define ROWS_BUF_BYTES (256 * 1024)
#define TEXT_MAX 1024

/* A kept row; method and path follow. */
struct row {
	u64 conn_id;
	u64 start_ns;
	u64 read_ns;
	u64 first_ns;
	u64 end_ns;
	u64 request_bytes;
	u64 response_bytes;
	u32 number; /* of struct bind_request */
	u32 serial; /* of its ledger */
	u32 flags;
	u32 tid;
	u32 tgid;
	u16 status;
	u16 target;
	u16 method_len;
	u16 path_len;
};

static const struct {
	u32 flag;
	const char *name;
} flag_names[] = {
	{ SPAN_AT_ATTACH, "at_attach" }, { SPAN_AT_DETACH, "at_detach" },
	{ SPAN_ABORTED, "aborted" },	 { SPAN_GAP, "gap" },
	{ SPAN_UPGRADED, "upgraded" },	 { SPAN_NO_ARRIVAL, "no_arrival" },
};

int requests_begin(struct requests *r, int dirfd)
{
	memset(r, 0, sizeof(*r));
	r->fd = openat(dirfd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (r->fd < 0)
		return -errno;
	r->buf = malloc(ROWS_BUF_BYTES);
	return r->buf ? 0 : -ENOMEM;
}

void requests_release(struct requests *r)
{
	if (r->fd >= 0)
		close(r->fd);
	r->fd = -1;
	free(r->buf);
	r->buf = NULL;
}

static void flush_rows(struct requests *r)
{
	if (!r->err && r->n)
		r->err = fd_write_all(r->fd, r->buf, r->n);
	r->n = 0;
}

static void put(struct requests *r, const void *p, size_t n)
{
	memcpy(r->buf + r->n, p, n);
	r->n += n;
}

void requests_add(struct requests *r, const struct http_exchange *x, u32 number, u32 serial)
{
	struct row row = {
		.conn_id = x->conn_id,
		.start_ns = x->start_ns,
		.read_ns = x->read_ns,
		.first_ns = x->first_ns,
		.end_ns = x->end_ns,
		.request_bytes = x->request_bytes,
		.response_bytes = x->response_bytes,
		.number = number,
		.serial = serial,
		.flags = x->flags,
		.tid = x->tid,
		.tgid = x->tgid,
		.status = x->status,
		.target = x->target,
		.method_len = MIN(x->method.n, TEXT_MAX),
		.path_len = MIN(x->path.n, TEXT_MAX),
	};

	if (!r->buf || r->err)
		return;
	if (r->n + sizeof(row) + 2 * TEXT_MAX > ROWS_BUF_BYTES)
		flush_rows(r);
	put(r, &row, sizeof(row));
	put(r, x->method.p, row.method_len);
	put(r, x->path.p, row.path_len);
}

static void write_calls(struct json *j, const struct bind_call *calls, u32 n)
{
	static const char *const kinds[BIND_KINDS] = { "none", "task", "thread" };
	u32 i;

	json_arr(j, "calls");
	for (i = 0; i < n; i++) {
		const struct bind_call *c = &calls[i];
		const struct agg_query *q = c->query;

		json_obj(j, NULL);
		json_cstr(j, "query", q ? q->fingerprint : "");
		json_u64(j, "start_ns", c->start_ns);
		if (c->partial)
			json_null(j, "latency_ms");
		else
			json_ms(j, "latency_ms",
				c->end_ns > c->start_ns ? (double)(c->end_ns - c->start_ns) : 0);
		json_cstr(j, "bound_by", kinds[c->kind]);
		json_end_obj(j);
	}
	json_end_arr(j);
}

static void write_row(struct buf *out, const struct agg *agg, const struct bind *bind,
		      const struct row *row, struct slice method, struct slice path,
		      struct slice route)
{
	const struct bind_call *calls;
	u64 phase_ns[PHASES];
	struct json j;
	u32 n;
	char hex[24];

	json_init(&j, out, false);
	json_obj(&j, NULL);
	json_u64(&j, "target", row->target);
	json_str(&j, "method", method);
	json_str(&j, "path", path);
	json_str(&j, "route", route);
	json_u64(&j, "status", row->status);
	json_u64(&j, "start_ns", row->start_ns);
	json_u64(&j, "read_ns", row->read_ns);
	json_u64(&j, "first_ns", row->first_ns);
	json_u64(&j, "end_ns", row->end_ns);
	if (span_timed(row->flags) && row->end_ns >= row->start_ns)
		json_ms(&j, "latency_ms", (double)(row->end_ns - row->start_ns));
	else
		json_null(&j, "latency_ms");
	json_u64(&j, "request_bytes", row->request_bytes);
	json_u64(&j, "response_bytes", row->response_bytes);
	snprintf(hex, sizeof(hex), "%llx", (unsigned long long)row->conn_id);
	json_cstr(&j, "conn", hex); /* past 2^53, so no number */
	json_arr(&j, "flags");
	for (size_t i = 0; i < ARRAY_SIZE(flag_names); i++)
		if (row->flags & flag_names[i].flag)
			json_cstr(&j, NULL, flag_names[i].name);
	json_end_arr(&j);
	json_u64(&j, "pid", row->tgid);
	json_u64(&j, "tid", row->tid);
	calls = bind_calls_of(bind, row->number, &n);
	write_calls(&j, calls, n);
	if (agg_ledger_of(agg, row->serial, phase_ns))
		phases_json(&j, "ledger_ms", phase_ns);
	else
		json_null(&j, "ledger_ms");
	json_end_obj(&j);
	buf_addch(out, '\n');
}

int requests_end(struct requests *r, const struct agg *agg, const struct bind *bind, int dirfd,
		 const char *file)
{
	_release_(buf) struct buf out = BUF_INIT, route = BUF_INIT;
	_fclose_ FILE *rows = NULL;
	_close_ int fd = -1;
	char text[2 * TEXT_MAX];
	struct row row;

	if (!r->buf)
		return 0;
	flush_rows(r);
	if (r->err)
		return r->err;
	if (lseek(r->fd, 0, SEEK_SET) < 0)
		return -errno;
	rows = fdopen(r->fd, "r");
	if (!rows)
		return -errno;
	r->fd = -1;
	fd = openat(dirfd, file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	while (fread(&row, sizeof(row), 1, rows) == 1) {
		struct slice method = { text, row.method_len };
		struct slice path = { text + row.method_len, row.path_len };
		size_t n = (size_t)row.method_len + row.path_len;

		if (n > sizeof(text) || fread(text, 1, n, rows) != n)
			return -EIO;
		buf_clear(&route);
		agg_route_of(agg, row.target, method, path, &route);
		write_row(&out, agg, bind, &row, method, path, buf_slice(&route));
		if (out.n > ROWS_BUF_BYTES) {
			if (out.oom)
				return -ENOMEM;
			r->err = fd_write_all(fd, out.p, out.n);
			if (r->err)
				return r->err;
			buf_clear(&out);
		}
	}
	if (out.oom)
		return -ENOMEM;
	r->err = out.n ? fd_write_all(fd, out.p, out.n) : 0;
	return r->err;
}
