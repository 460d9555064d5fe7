/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Request lines and the end of heads.
 *
 * Input: runs of a side that is inside a head. Output: method and path of the request in the queue,
 * and how the body is framed. Nothing is looked back at: each byte is kept or masked by what stood
 * before it, so cuts do not matter. Kept are the line's structure, method, path and version.
 *
 * One mask has to look back: a path segment with '@' is masked from its first byte. Where a
 * transfer is cut between the two, the part before the cut was given out already and stays.
 */
#include <string.h>

#include "proto/http1.h"

const u8 http1_token[256] = {
	['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,	    ['&'] = 1,	       ['\''] = 1,
	['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,	    ['^'] = 1,	       ['_'] = 1,
	['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

/* Bytes of a path that need a look. */
static const u8 path_stop[256] = {
	['\n'] = 1, ['\r'] = 1, [' '] = 1, ['/'] = 1, ['?'] = 1,
	['#'] = 1,  [';'] = 1,	['='] = 1, ['@'] = 1, ['%'] = 1,
};

void http1_head_start(struct http1_side *s)
{
	s->kind = HTTP1_K_MASK;
	s->value_len = 0;
	s->value_over = false;
	s->trailer = false;
	s->cl_seen = false;
	s->cl_bad = false;
	s->te_seen = false;
	s->te_chunked = false;
	s->body_seen = false;
	s->soft = false;
}

/*
 * No request line of HTTP/1.x: everything up to the next one is masked. The byte that showed it must
 * do so again when the masked bytes are parsed, and an 'x' might not.
 */
static u8 *bad_line(struct http1_feed *f, u8 *p)
{
	struct http1_req *e = http1_req_cur(f->st);

	if (e)
		e->bad = true;
	http1_seek(f->s, false);
	if (*p != '\r' && *p != '\n' && !f->ctx->show_literals)
		*p = '?';
	return p + 1;
}

void http1_method_done(struct http1_feed *f, size_t n)
{
	struct http1_side *s = f->s;
	struct http1_req *e = http1_req_cur(f->st);

	http1_text_add(f, HTTP1_P_METHOD, s->name, n);
	s->state = HTTP1_TARGET;
	if (!e)
		return;
	e->is_head = n == 4 && !memcmp(s->name, "HEAD", 4);
	e->is_connect = n == 7 && !memcmp(s->name, "CONNECT", 7);
}

static u8 *method(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;

	while (p < end && http1_token[*p] && s->name_len < HTTP1_METHOD_MAX)
		s->name[s->name_len++] = (char)*p++;
	if (p == end)
		return p;
	if (*p != ' ' || !s->name_len)
		return bad_line(f, p);
	http1_method_done(f, s->name_len);
	return p + 1;
}

static u8 *target(struct http1_feed *f, u8 *p)
{
	struct http1_side *s = f->s;
	struct http1_req *e = http1_req_cur(f->st);

	s->seg_masked = false;
	s->pct = 0;
	s->lit = 0;
	s->https = false;
	if (*p == ' ')
		return p + 1;
	if (*p == '\r' || *p == '\n')
		return bad_line(f, p);
	if (*p == '*') {
		http1_text_add(f, HTTP1_P_PATH, "*", 1);
		s->state = HTTP1_QUERY;
		return p + 1;
	}
	if (*p == '/' || (e && e->is_connect))
		s->state = HTTP1_PATH;
	else
		s->state = HTTP1_SCHEME;
	return p;
}

/* Only "http://" and "https://" stay readable; any other form is masked whole. */
static u8 *scheme(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	const char *want;

	for (; p < end; p++) {
		if (s->lit == 4 && !s->https && http1_lower(*p) == 's') {
			s->https = true;
			continue;
		}
		want = "http://";
		if (http1_lower(*p) != (u8)want[s->lit]) {
			s->state = HTTP1_QUERY;
			return p;
		}
		if (++s->lit == 7) {
			s->state = HTTP1_AUTHORITY;
			return p + 1;
		}
	}
	return p;
}

/* May hold a password, and Host says the rest: masked whole. */
static u8 *authority(struct http1_feed *f, u8 *p, u8 *end)
{
	while (p < end && *p != '/' && *p != '?' && *p != '#' && *p != ' ' && *p != '\r' &&
	       *p != '\n')
		http1_mask(f->ctx, p++, 1);
	if (p == end)
		return p;
	if (*p == '/') {
		f->s->state = HTTP1_PATH;
		return p;
	}
	http1_text_add(f, HTTP1_P_PATH, "/", 1);
	f->s->state = HTTP1_QUERY;
	return *p == '?' || *p == '#' ? p + 1 : p;
}

static u8 *path(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;
	u8 *from = p, *seg = p;
	bool whole;
	u8 b;

	for (; p < end; p++) {
		if (!s->pct && !s->seg_masked)
			while (p < end && !path_stop[*p])
				p++;
		if (p == end)
			break;
		b = *p;
		whole = b == '@';
		if (s->pct && b == (u8) "%40"[s->pct])
			whole = ++s->pct == 3;
		else
			s->pct = b == '%';
		if (b == '/') {
			s->seg_masked = false;
			seg = p + 1;
		} else if (b == '?' || b == '#' || b == ' ' || b == '\r' || b == '\n') {
			break;
		} else if (whole) {
			http1_mask(f->ctx, seg, (size_t)(p + 1 - seg));
			s->seg_masked = true;
			s->pct = 0;
		} else if (s->seg_masked) {
			http1_mask(f->ctx, p, 1);
		} else if (b == ';' || b == '=') {
			s->seg_masked = true;
		}
	}
	http1_text_add(f, HTTP1_P_PATH, from, (size_t)(p - from));
	if (p == end)
		return p;
	s->state = HTTP1_QUERY;
	return *p == '?' || *p == '#' ? p + 1 : p;
}

/* " HTTP/1.1" and CR LF, if all of it is here. */
static u8 *whole_version(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_req *e = http1_req_cur(f->st);

	if (end - p < 11 || memcmp(p + 1, "HTTP/1.", 7) || p[8] < '0' || p[8] > '9' ||
	    p[9] != '\r' || p[10] != '\n')
		return NULL;
	if (e) {
		e->minor = p[8] - '0';
		e->line_done = true;
	}
	f->s->state = HTTP1_FIELD;
	return p + 11;
}

/* Masks up to the blank that ends the target. */
static u8 *query(struct http1_feed *f, u8 *p, u8 *end)
{
	u8 *q;

	while (p < end && *p != ' ' && *p != '\r' && *p != '\n')
		http1_mask(f->ctx, p++, 1);
	if (p == end)
		return p;
	if (*p != ' ')
		return bad_line(f, p);
	q = whole_version(f, p, end);
	if (q)
		return q;
	f->s->state = HTTP1_VERSION;
	f->s->lit = 0;
	return p + 1;
}

static u8 *version(struct http1_feed *f, u8 *p, u8 *end)
{
	static const char lit[] = "HTTP/1.";
	struct http1_side *s = f->s;
	struct http1_req *e;

	for (; p < end && s->lit < 7; p++) {
		if (*p == ' ' && !s->lit)
			continue;
		if (*p != (u8)lit[s->lit])
			return bad_line(f, p);
		s->lit++;
	}
	if (p == end)
		return p;
	if (*p < '0' || *p > '9')
		return bad_line(f, p);
	e = http1_req_cur(f->st);
	if (e)
		e->minor = *p - '0';
	s->state = HTTP1_LINE_END;
	return p + 1;
}

static u8 *line_end(struct http1_feed *f, u8 *p)
{
	struct http1_req *e = http1_req_cur(f->st);

	if (http1_is_blank(*p) || *p == '\r')
		return p + 1;
	if (*p != '\n')
		return bad_line(f, p);
	if (e)
		e->line_done = true;
	f->s->state = HTTP1_FIELD;
	return p + 1;
}

/* Chunked wins over a length, and two lengths are none. */
static void body_start(struct http1_feed *f, bool body_if_unsaid)
{
	struct http1_side *s = f->s;

	if (s->te_seen && s->te_chunked) {
		s->state = HTTP1_CHUNK_SIZE;
		s->size_digits = 0;
		s->rem = 0;
	} else if (s->te_seen || s->cl_bad || (!s->cl_seen && body_if_unsaid)) {
		http1_seek(s, false);
	} else if (s->cl_seen && s->length) {
		s->state = HTTP1_LENGTH;
		s->rem = s->length;
	} else {
		http1_message_end(f, f->in->ts_ns);
	}
}

static void request_head_end(struct http1_feed *f)
{
	struct http1_req *e = http1_req_cur(f->st);

	if (e)
		e->head_done = true;
	body_start(f, false);
}

static void response_head_end(struct http1_feed *f)
{
	struct http1 *st = f->st;
	struct http1_side *s = f->s, *c = &st->side[PROTO_CLIENT];
	struct http1_req *e = http1_resp_cur(st);
	bool guess = st->orphan_open || e->bad; /* may be an answer to HEAD */

	if (s->code == 101 || (e->is_connect && s->code / 100 == 2)) {
		http1_upgraded(f);
		return;
	}
	if (s->code < 200) {
		if (e->interim < 255)
			e->interim++;
		if (s->code == 100)
			e->expect = false;
		s->cur = false;
		s->state = HTTP1_IDLE;
		return;
	}
	/* Refused before the body was asked for: the client need not send it. */
	if (e->expect && e == http1_req_cur(st) && c->state == HTTP1_LENGTH && !c->body_seen)
		c->soft = true;
	if (e->is_head || s->code == 204 || s->code == 304) {
		http1_message_end(f, f->in->ts_ns);
		return;
	}
	body_start(f, true);
	s->soft = guess && s->state == HTTP1_LENGTH;
}

/* p is behind the empty line. */
u8 *http1_head_end(struct http1_feed *f, u8 *p)
{
	http1_count(f, p);
	if (f->s->trailer)
		http1_message_end(f, f->in->ts_ns);
	else if (f->s->side == PROTO_CLIENT)
		request_head_end(f);
	else
		response_head_end(f);
	return p;
}

u8 *http1_head(struct http1_feed *f, u8 *p, u8 *end)
{
	struct http1_side *s = f->s;

	switch (s->state) {
	case HTTP1_METHOD:
		return method(f, p, end);
	case HTTP1_TARGET:
		return target(f, p);
	case HTTP1_SCHEME:
		return scheme(f, p, end);
	case HTTP1_AUTHORITY:
		return authority(f, p, end);
	case HTTP1_PATH:
		return path(f, p, end);
	case HTTP1_QUERY:
		return query(f, p, end);
	case HTTP1_VERSION:
		return version(f, p, end);
	case HTTP1_LINE_END:
		return line_end(f, p);
	case HTTP1_REASON:
		if (*p == ' ')
			return p + 1;
		s->state = HTTP1_NOISE;
		return p;
	default:
		return http1_field(f, p, end);
	}
}
