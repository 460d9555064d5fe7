/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Everything between two heads: bodies by length and by chunks, holes, and the way back into step.
 *
 * Input: runs and holes of one side in any state that is not inside a head. Output: message ends and
 * begins, told to the queue. All body bytes are masked; chunk sizes stay, their extensions do not.
 *
 * Bodies are mostly not carried. With a known length a hole is skipped to the byte, inside a chunk
 * too. Otherwise framing is lost (HTTP1_SEEK), and two signs end the message: a last chunk as the
 * last bytes of a transfer, or a message head as the first bytes of one. Both are matched byte by
 * byte; only bytes that fit the literal looked for stay readable (CR, LF, '0'; prefixes of known
 * methods; "HTTP/1.d ddd"), so masked bytes lead through the same states as the original ones.
 */
#include <string.h>

#include "proto/http1.h"

/* What ends a chunked body; seen from the end of the last chunk's data. */
static const char last_chunk[] = "\r\n0\r\n\r\n";
#define LAST_CHUNK_LEN (sizeof(last_chunk) - 1)
/* Longest proper border of each prefix of it. */
static const u8 last_chunk_fail[LAST_CHUNK_LEN + 1] = { 0, 0, 0, 0, 1, 2, 1, 2 };

/*
 * Out of step, only these count as the start of a request: any other token could be private data at
 * the start of a body. In step every token is a method. The registered ones, and PURGE.
 */
static const char *const known_methods[] = {
	"ACL",
	"BASELINE-CONTROL",
	"BIND",
	"CHECKIN",
	"CHECKOUT",
	"CONNECT",
	"COPY",
	"DELETE",
	"GET",
	"HEAD",
	"LABEL",
	"LINK",
	"LOCK",
	"MERGE",
	"MKACTIVITY",
	"MKCALENDAR",
	"MKCOL",
	"MKREDIRECTREF",
	"MKWORKSPACE",
	"MOVE",
	"OPTIONS",
	"ORDERPATCH",
	"PATCH",
	"POST",
	"PROPFIND",
	"PROPPATCH",
	"PURGE",
	"PUT",
	"QUERY",
	"REBIND",
	"REPORT",
	"SEARCH",
	"TRACE",
	"UNBIND",
	"UNCHECKOUT",
	"UNLINK",
	"UNLOCK",
	"UPDATE",
	"UPDATEREDIRECTREF",
	"VERSION-CONTROL",
};

bool http1_known_method(const char *p, size_t n, bool whole)
{
	size_t i, len;

	for (i = 0; i < ARRAY_SIZE(known_methods); i++) {
		len = strlen(known_methods[i]);
		if ((whole ? n == len : n <= len) && !memcmp(p, known_methods[i], n))
			return true;
	}
	return false;
}

void http1_message_end(struct http1_feed *f, u64 ns)
{
	if (f->s->side == PROTO_CLIENT)
		http1_req_end(f->st, f->ctx);
	else
		http1_resp_end(f->st, f->ctx, ns);
}

void http1_seek(struct http1_side *s, bool chunks)
{
	s->state = HTTP1_SEEK;
	s->chunks = chunks;
	s->chunks_lost = false;
	s->soft = false;
	s->matching = false;
	s->tail = 0;
}

static void match_start(struct http1_feed *f)
{
	struct http1_side *s = f->s;

	s->matching = true;
	s->matched_method = false;
	s->name_len = 0;
	s->lit = 0;
	s->code = 0;
	s->tail = 2; /* the last chunk is often a send of its own */
	s->seek_prev_ns = s->last_ns;
	s->match_run = http1_run_of(f);
}

void http1_transfer_start(struct http1_feed *f)
{
	struct http1_side *s = f->s;

	s->head_here = false;
	/* One that began before goes on: a head may be cut anywhere. */
	if (!s->matching && (s->state == HTTP1_SEEK || (s->state == HTTP1_LENGTH && s->soft)))
		match_start(f);
}

/* 1: this was the last byte of it; 0: so far so good; -1: it is something else. */
static int match_response(struct http1_side *s, u8 b)
{
	static const char lit[] = "HTTP/1.d ddd";

	if (lit[s->lit] != 'd') {
		if (b != (u8)lit[s->lit])
			return -1;
	} else {
		if (b < '0' || b > '9' || (s->lit == 9 && b == '0'))
			return -1;
		if (s->lit == 7)
			s->minor = b - '0';
		else
			s->code = (u16)(s->lit == 9 ? b - '0' : s->code * 10 + (b - '0'));
	}
	return ++s->lit == sizeof(lit) - 1;
}

/* 1: everything before this byte was method and blank, and it can begin a target. */
static int match_request(struct http1_side *s, u8 b)
{
	if (s->matched_method) {
		if (b == '/' || b == '*' || b == 'h' || b == 'H')
			return 1;
		/* Its target can begin with anything, the mask of what it cannot begin with too. */
		return s->name_len == 7 && !memcmp(s->name, "CONNECT", 7) ? 1 : -1;
	}
	if (b == ' ' && http1_known_method(s->name, s->name_len, true)) {
		s->matched_method = true;
		s->lit++;
		return 0;
	}
	if (s->name_len == HTTP1_METHOD_MAX)
		return -1;
	s->name[s->name_len] = (char)b;
	if (!http1_known_method(s->name, s->name_len + 1u, false))
		return -1;
	s->name_len++;
	s->lit++;
	return 0;
}

/* The bytes held back for a match were body after all. */
static void match_fail(struct http1_feed *f, bool again)
{
	struct http1_side *s = f->s;

	s->matching = false;
	http1_count_n(f, s->lit);
	if (s->lit)
		s->tail = 0;
	if (s->state == HTTP1_IDLE) {
		http1_seek(s, false);
	} else if (s->state == HTTP1_LENGTH) {
		s->rem -= MIN(s->rem, s->lit);
		if (!s->rem)
			http1_message_end(f, f->in->ts_ns);
	}
	if (again && s->state != HTTP1_IDLE)
		match_start(f);
}

static void match_done(struct http1_feed *f)
{
	struct http1_side *s = f->s;
	struct http1_req *e;
	u64 n = s->lit;

	s->matching = false;
	if (s->side == PROTO_SERVER) {
		http1_resp_begin(f);
		http1_count_n(f, n);
		http1_head_start(s);
		s->state = HTTP1_REASON;
		e = http1_resp_cur(f->st);
		if (s->code >= 200 || s->code == 101)
			e->status = s->code;
		if (f->st->orphan_open)
			e->minor = s->minor;
	} else {
		http1_req_begin(f, &s->match_run, true);
		http1_count_n(f, n);
		http1_head_start(s);
		http1_method_done(f, s->name_len);
	}
}

static u8 *match(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	bool held = s->lit > 0;
	int r = 0;

	/* The usual case in fewer steps: the loop below would come to the same. */
	if (!held && s->side == PROTO_SERVER && end - p >= 12 && !memcmp(p, "HTTP/1.1 200", 12)) {
		s->lit = 12;
		s->minor = 1;
		s->code = 200;
		p += 12;
		r = 1;
	}
	while (p < end && !r) {
		if (s->side == PROTO_SERVER) {
			r = match_response(s, *p);
			p += r >= 0;
		} else {
			r = match_request(s, *p);
			p += !r;
		}
	}
	f->mark = p;
	if (r < 0)
		match_fail(f, held && f->in->start && p == f->in->data);
	else if (r > 0)
		match_done(f);
	return p;
}

/* In step, between messages. */
u8 *http1_idle(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	struct http1_run run;

	if (!s->matching) {
		while (p < end && (*p == '\r' || *p == '\n'))
			p++;
		f->mark = p;
		if (p == end)
			return p;
		if (s->side == PROTO_CLIENT) {
			run = http1_run_of(f);
			run.pos += (u64)(p - f->in->data);
			http1_req_begin(f, &run, f->in->start && p == f->in->data);
			http1_head_start(s);
			s->name_len = 0;
			s->state = HTTP1_METHOD;
			return p;
		}
		match_start(f);
	}
	return match(f, p, end);
}

static u8 *seek(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	u8 *q;

	if (s->matching)
		return match(f, p, end);
	if (s->side == PROTO_SERVER && f->st->attach_open) {
		s->match_run = http1_run_of(f);
		http1_orphan_begin(f->st, &s->match_run, SPAN_AT_ATTACH);
		s->cur = true;
		s->chunks = true;
	}
	if (!s->chunks) {
		http1_mask(f->ctx, p, (size_t)(end - p));
		return end;
	}
	for (; p < end; p++) {
		if (!s->tail) {
			q = memchr(p, '\r', (size_t)(end - p));
			http1_mask(f->ctx, p, (size_t)((q ? q : end) - p));
			if (!q)
				return end;
			p = q;
		}
		while (s->tail && (s->tail == LAST_CHUNK_LEN || *p != last_chunk[s->tail]))
			s->tail = last_chunk_fail[s->tail];
		if (*p == last_chunk[s->tail])
			s->tail++;
		else
			http1_mask(f->ctx, p, 1);
	}
	if (f->in->end && s->tail == LAST_CHUNK_LEN && s->cur) {
		http1_count(f, end);
		http1_message_end(f, f->in->ts_ns);
	}
	return end;
}

static void chunks_broken(struct http1_side *s)
{
	http1_seek(s, true);
	s->chunks_lost = true;
}

static int hex_digit(u8 b)
{
	if (b >= '0' && b <= '9')
		return b - '0';
	b |= 0x20;
	return b >= 'a' && b <= 'f' ? b - 'a' + 10 : -1;
}

static u8 *chunk_size(struct http1_feed *f, u8 *p)
{
	struct http1_side *s = f->s;
	int d = hex_digit(*p);

	if (d >= 0 && s->size_digits < 15) {
		s->rem = s->rem * 16 + (u64)d;
		s->size_digits++;
		return p + 1;
	}
	if (s->size_digits && *p == '\n') {
		s->state = s->rem ? HTTP1_CHUNK_DATA : HTTP1_FIELD;
		s->trailer = !s->rem;
		return p + 1;
	}
	if (s->size_digits && (*p == ';' || *p == ' ' || *p == '\t' || *p == '\r')) {
		s->state = HTTP1_CHUNK_EXT;
		return p + 1;
	}
	chunks_broken(s);
	/* A server that refused the upload may get the next request instead of it. */
	if (f->in->start && p == f->in->data)
		match_start(f);
	return p;
}

static u8 *chunk_ext(struct http1_feed *f, u8 *p, u8 *end)
{
	for (; p < end && *p != '\n'; p++)
		if (*p != '\r')
			http1_mask(f->ctx, p, 1);
	if (p == end)
		return p;
	f->s->state = f->s->rem ? HTTP1_CHUNK_DATA : HTTP1_FIELD;
	f->s->trailer = !f->s->rem;
	return p + 1;
}

static u8 *body_data(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	size_t n = MIN((u64)(end - p), s->rem);

	if (s->matching)
		return match(f, p, end);
	http1_mask(f->ctx, p, n);
	p += n;
	s->rem -= n;
	if (s->rem)
		return p;
	if (s->state == HTTP1_CHUNK_DATA) {
		s->state = HTTP1_CHUNK_CR;
	} else {
		http1_count(f, p);
		http1_message_end(f, f->in->ts_ns);
	}
	return p;
}

u8 *http1_body(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;

	s->body_seen = true;
	switch (s->state) {
	case HTTP1_LENGTH:
	case HTTP1_CHUNK_DATA:
		return body_data(f, p, end);
	case HTTP1_CHUNK_SIZE:
		return chunk_size(f, p);
	case HTTP1_CHUNK_EXT:
		return chunk_ext(f, p, end);
	case HTTP1_CHUNK_CR:
		s->state = HTTP1_CHUNK_LF;
		return *p == '\r' ? p + 1 : p;
	case HTTP1_CHUNK_LF:
		if (*p != '\n') {
			chunks_broken(s);
			return p;
		}
		s->state = HTTP1_CHUNK_SIZE;
		s->size_digits = 0;
		s->rem = 0;
		return p + 1;
	default:
		return seek(f, p, end);
	}
}

/* A hole where a message was due to begin: at least one did. */
static void hole_idle(struct http1_feed *f)
{
	struct http1_side *s = f->s;
	struct http1_req *e;

	if (f->in->lost) {
		http1_seek(s, false);
		return;
	}
	s->match_run = http1_run_of(f);
	if (s->side == PROTO_CLIENT) {
		http1_req_begin(f, &s->match_run, true);
		e = http1_req_cur(f->st);
		if (e)
			e->head_done = true;
	} else {
		s->seek_prev_ns = s->last_ns;
		http1_resp_begin(f);
		e = http1_resp_cur(f->st);
	}
	if (e)
		e->flags |= SPAN_GAP;
	http1_raise_pipelined(f->st, f->ctx);
	http1_seek(s, true);
}

static void hole_head(struct http1_feed *f)
{
	struct http1_side *s = f->s;
	struct http1_req *e = http1_req_cur(f->st);

	if (s->trailer) {
		chunks_broken(s);
		return;
	}
	if (s->side == PROTO_CLIENT && e)
		e->head_done = true;
	if (!f->in->lost)
		http1_raise_head(f);
	http1_seek(s, true);
}

/* Data and its line end have known lengths, a size line has not. */
static void hole_chunk(struct http1_side *s, u64 n)
{
	u64 end = s->state == HTTP1_CHUNK_LF ? 1 : 2;

	if (n < s->rem) {
		s->rem -= n;
		return;
	}
	n -= s->rem;
	s->rem = 0;
	if (n > end) {
		chunks_broken(s);
	} else if (n == end) {
		s->state = HTTP1_CHUNK_SIZE;
		s->size_digits = 0;
	} else if (end - n == 1) {
		s->state = HTTP1_CHUNK_LF;
	} else {
		s->state = HTTP1_CHUNK_CR;
	}
}

static void hole_seek(struct http1_feed *f)
{
	struct http1_side *s = f->s;

	if (s->side == PROTO_SERVER && f->st->attach_open) {
		s->match_run = http1_run_of(f);
		http1_orphan_begin(f->st, &s->match_run, SPAN_AT_ATTACH);
		s->cur = true;
		s->chunks = true;
	}
}

void http1_hole(struct http1_feed *f)
{
	struct http1_side *s = f->s;
	struct http1_req *e =
		s->side == PROTO_CLIENT ? http1_req_cur(f->st) : http1_resp_cur(f->st);
	u64 k, n = f->in->len;

	if (s->matching && s->side == PROTO_SERVER &&
	    (s->lit >= 7 || (s->lit && s->state == HTTP1_IDLE))) {
		match_done(f); /* the status is in the hole */
		e = http1_resp_cur(f->st);
	} else if (s->matching) {
		match_fail(f, false);
	}
	if (f->in->lost && e)
		e->flags |= SPAN_GAP;
	while (n) {
		k = n;
		if (s->state == HTTP1_LENGTH) {
			k = MIN(n, s->rem);
			s->rem -= k;
			s->body_seen = true;
		} else if (s->state == HTTP1_IDLE) {
			hole_idle(f);
			continue;
		} else if (s->state >= HTTP1_CHUNK_DATA && s->state <= HTTP1_CHUNK_LF) {
			hole_chunk(s, n);
		} else if (s->state == HTTP1_SEEK) {
			hole_seek(f);
		} else if (s->state > HTTP1_LENGTH) {
			chunks_broken(s);
		} else {
			hole_head(f);
		}
		http1_count_n(f, k);
		n -= k;
		if (s->state == HTTP1_LENGTH && !s->rem)
			http1_message_end(f, f->in->ts_ns);
	}
	s->tail = 2; /* the last chunk may be all that was carried behind it */
	if (f->in->lost && s->state == HTTP1_SEEK) {
		http1_lost(f->st);
		s->lost = true;
	}
}
