/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Recognising PostgreSQL messages: which types there are, whether bytes can be a chain of them, and
 * detect(), which decides on a connection.
 *
 * A chain check looks only at what pgsql_scan.c leaves readable, so it answers the same on masked
 * bytes. Masked bytes are 'x', which is no type of either side.
 */
#include "proto/pgsql.h"

#define LEN_MAX 0x3fffffffU /* the server refuses more */
#define NAMED_MAX (64 * 1024)
#define CHAIN_LEN_MAX 0x03ffffffU /* more is not believed of a guess: keeps all text out */
#define SEARCH_MAX 4096 /* bytes at the end of a run that are searched for a chain */

static const struct pg_type client_types[128] = {
	['B'] = { PG_SCAN_BIND, 12, LEN_MAX, 2 * PG_NAME_MAX + 66 },
	['C'] = { PG_SCAN_NAMED, 6, NAMED_MAX, PG_NAME_MAX + 2 },
	['D'] = { PG_SCAN_NAMED, 6, NAMED_MAX, PG_NAME_MAX + 2 },
	['E'] = { PG_SCAN_EXECUTE, 9, NAMED_MAX, PG_NAME_MAX + 1 },
	['F'] = { PG_SCAN_KEEP4, 14, LEN_MAX, 4 },
	['H'] = { PG_SCAN_ALL, 4, 4, 0 },
	['P'] = { PG_SCAN_PARSE, 8, LEN_MAX, PG_TEXT_MAX + PG_NAME_MAX + 2 },
	['Q'] = { PG_SCAN_QUERY, 5, LEN_MAX, PG_TEXT_MAX + 1 },
	['S'] = { PG_SCAN_ALL, 4, 4, 0 },
	['X'] = { PG_SCAN_ALL, 4, 4, 0 },
	['c'] = { PG_SCAN_ALL, 4, 4, 0 },
	['d'] = { PG_SCAN_ALL, 4, LEN_MAX, 0 },
	['f'] = { PG_SCAN_ALL, 5, NAMED_MAX, 0 },
	['p'] = { PG_SCAN_ALL, 4, NAMED_MAX, 0 },
};

static const struct pg_type server_types[128] = {
	['1'] = { PG_SCAN_ALL, 4, 4, 0 },	    ['2'] = { PG_SCAN_ALL, 4, 4, 0 },
	['3'] = { PG_SCAN_ALL, 4, 4, 0 },	    ['A'] = { PG_SCAN_ALL, 10, NAMED_MAX, 0 },
	['C'] = { PG_SCAN_TAG, 5, 1024, 128 },	    ['D'] = { PG_SCAN_KEEP2, 6, LEN_MAX, 0 },
	['E'] = { PG_SCAN_FIELDS, 5, LEN_MAX, 0 },  ['G'] = { PG_SCAN_ALL, 7, NAMED_MAX, 0 },
	['H'] = { PG_SCAN_ALL, 7, NAMED_MAX, 0 },   ['I'] = { PG_SCAN_ALL, 4, 4, 0 },
	['K'] = { PG_SCAN_ALL, 12, 264, 0 },	    ['N'] = { PG_SCAN_FIELDS, 5, LEN_MAX, 0 },
	['R'] = { PG_SCAN_KEEP4, 8, NAMED_MAX, 4 }, ['S'] = { PG_SCAN_PARAM, 6, NAMED_MAX, 0 },
	['T'] = { PG_SCAN_KEEP2, 6, LEN_MAX, 0 },   ['V'] = { PG_SCAN_ALL, 8, LEN_MAX, 0 },
	['W'] = { PG_SCAN_ALL, 7, NAMED_MAX, 0 },   ['Z'] = { PG_SCAN_KEEP4, 5, 5, 1 },
	['c'] = { PG_SCAN_ALL, 4, 4, 0 },	    ['d'] = { PG_SCAN_ALL, 4, LEN_MAX, 0 },
	['n'] = { PG_SCAN_ALL, 4, 4, 0 },	    ['s'] = { PG_SCAN_ALL, 4, 4, 0 },
	['t'] = { PG_SCAN_ALL, 6, LEN_MAX, 0 },	    ['v'] = { PG_SCAN_ALL, 12, NAMED_MAX, 0 },
};

const struct pg_type *pg_type(enum proto_side side, u8 type)
{
	const struct pg_type *t;

	if (type >= 128)
		return NULL;
	t = side == PROTO_CLIENT ? &client_types[type] : &server_types[type];
	return t->how ? t : NULL;
}

/* Can the first bytes of a frame be what they are? n may be less than a header. */
static bool header_ok(enum proto_side side, const u8 *p, size_t n, u64 *ret_size)
{
	const struct pg_type *t = pg_type(side, p[0]);
	u32 len;

	if (!t)
		return false;
	*ret_size = 0;
	if (n < PG_HDR)
		return n < 2 || p[1] <= CHAIN_LEN_MAX >> 24;
	len = pg_be32(p + 1);
	*ret_size = 1 + (u64)len;
	return len >= t->min && len <= MIN(t->max, CHAIN_LEN_MAX);
}

static bool upper(u8 c)
{
	return c >= 'A' && c <= 'Z';
}

/* A whole frame, looked into. *strong: its shape leaves no doubt. */
static bool body_ok(enum proto_side side, const u8 *p, size_t size, bool *strong)
{
	const u8 *body = p + PG_HDR;
	size_t n = size - PG_HDR;
	const u8 *nul;

	*strong = false;
	if (side == PROTO_CLIENT) {
		switch (p[0]) {
		case 'Q':
			nul = memchr(body, 0, n);
			if (nul != body + n - 1)
				return false;
			*strong = n > 4;
			return true;
		case 'P':
		case 'B':
			nul = memchr(body, 0, n);
			if (!nul)
				return false;
			nul = memchr(nul + 1, 0, n - (size_t)(nul + 1 - body));
			return nul != NULL;
		case 'E':
			nul = memchr(body, 0, n);
			return nul && nul + 5 == body + n;
		case 'C':
		case 'D':
			nul = memchr(body, 0, n);
			return (body[0] == 'S' || body[0] == 'P') && nul == body + n - 1;
		}
		return true;
	}
	switch (p[0]) {
	case 'Z':
		*strong = true;
		return body[0] == 'I' || body[0] == 'T' || body[0] == 'E';
	case 'C':
		nul = memchr(body, 0, n);
		*strong = n > 4;
		return nul == body + n - 1 && upper(body[0]);
	}
	return true;
}

bool pg_chain(enum proto_side side, const u8 *p, size_t n, struct pg_chain *ret_chain)
{
	struct pg_chain c = { 0 };
	size_t at = 0;

	while (at < n) {
		bool strong;
		u64 size;

		if (!header_ok(side, p + at, n - at, &size))
			return false;
		if (!size || size > n - at)
			break;
		if (!body_ok(side, p + at, size, &strong))
			return false;
		c.frames++;
		c.strong |= strong;
		at += size;
	}
	c.exact = n && at == n;
	*ret_chain = c;
	return n > 0;
}

static bool ends_turn(enum proto_side side, u8 type)
{
	return side == PROTO_CLIENT ? type == 'S' || type == 'Q' || type == 'H' : type == 'Z';
}

size_t pg_chain_search(enum proto_side side, const u8 *p, size_t n)
{
	size_t base = n > SEARCH_MAX ? n - SEARCH_MAX : 0, best = n, i;
	u8 ok[SEARCH_MAX / 8 + 1] = { 0 };

	/* From the back: a frame is good when the one behind it is, so each byte is looked at once. */
	for (i = n; i-- > base;) {
		u64 size;
		size_t next;
		bool strong;

		if (!header_ok(side, p + i, n - i, &size) || !size || size > n - i)
			continue;
		next = i + size;
		if (next == n ? !ends_turn(side, p[i])
			      : !(ok[(next - base) >> 3] >> ((next - base) & 7) & 1))
			continue;
		if (!body_ok(side, p + i, size, &strong))
			continue;
		ok[(i - base) >> 3] |= 1 << ((i - base) & 7);
		best = i;
	}
	return best;
}

/* Bytes 6 and 7: a small minor version, or 3.9999, which libpq sends to test servers. */
static bool minor_ok(u8 c, size_t at)
{
	return at == 6 ? c == 0 || c == 9999 >> 8 : c <= 9 || c == (9999 & 255);
}

int pg_startup_match(const u8 *p, size_t n)
{
	static const u32 codes[] = { PG_CODE_V3, PG_CODE_CANCEL, PG_CODE_SSL, PG_CODE_GSS };
	u32 len = 0, code;
	size_t i, k;

	for (i = 0; i < n && i < 4; i++)
		len |= (u32)p[i] << (24 - 8 * i);
	/* The bytes not yet there count as the largest they could be. */
	if (len > PG_STARTUP_MAX || (n >= 4 && len < 8))
		return -1;
	for (i = 0; i < ARRAY_SIZE(codes); i++) {
		for (k = 4; k < n && k < 8; k++) {
			u8 want = codes[i] >> (24 - 8 * (k - 4));

			if (i == 0 && k >= 6 ? !minor_ok(p[k], k) : p[k] != want)
				break;
		}
		if (k < n && k < 8)
			continue;
		if (n < 8)
			return 0;
		code = pg_be32(p + 4);
		if (code == PG_CODE_SSL || code == PG_CODE_GSS)
			return len == 8 ? 1 : -1;
		if (code == PG_CODE_CANCEL)
			return len >= 13 && len <= 268 ? 1 : -1;
		if (len < 9)
			return -1;
		if (n < 9)
			return 0;
		/* A parameter name, or none at all: tells it from a Kafka request of that number. */
		return (p[8] >= 'a' && p[8] <= 'z') || p[8] == '_' || len == 9 ? 1 : -1;
	}
	return -1;
}

static bool on_postgres_address(const struct proto_ctx *ctx)
{
	return ctx->peer_port == 5432 || ctx->local_port == 5432 ||
	       (ctx->path && strstr(ctx->path, ".s.PGSQL."));
}

/* First bytes of what else speaks on any port: TLS, HTTP, Redis. */
static bool foreign(const u8 *p, size_t n)
{
	static const char *const words[] = { "HTTP/",	"GET ",	    "POST ",  "PUT ",  "HEAD ",
					     "DELETE ", "OPTIONS ", "PATCH ", "PRI *", "SSH-" };
	size_t i;

	if (n >= 2 && p[0] >= 0x14 && p[0] <= 0x17 && p[1] == 3)
		return true;
	if (n >= 4 && strchr("+-:$*", p[0]) && memchr(p, '\r', MIN(n, (size_t)64)))
		return true;
	for (i = 0; i < ARRAY_SIZE(words); i++)
		if (n >= strlen(words[i]) && memcmp(p, words[i], strlen(words[i])) == 0)
			return true;
	return false;
}

/* A Query that fills its transfer, of which only the start is at hand. */
static bool whole_query(enum proto_side side, const u8 *p, size_t n, size_t total)
{
	return side == PROTO_CLIENT && n >= PG_HDR && p[0] == 'Q' && 1 + pg_be32(p + 1) == total;
}

/*
 * In mid-stream a chain of two frames, or a Query, CommandComplete or ReadyForQuery of the right
 * length, is enough anywhere. Less is believed only where PostgreSQL is expected: there even bytes
 * from the middle of a row are, because the parser finds the next start by itself and masks
 * everything until then.
 */
enum proto_match pg_detect(const struct proto_ctx *ctx, enum proto_side side, const u8 *data,
			   size_t n, size_t total)
{
	struct pg_chain c;
	bool hint = on_postgres_address(ctx);

	if (!n)
		return PROTO_MORE;
	if (side == PROTO_CLIENT) {
		int m = pg_startup_match(data, n);

		if (m > 0)
			return PROTO_YES;
		if (m == 0)
			return PROTO_MORE;
	}
	if (!ctx->mid_stream)
		return PROTO_NO;
	if (pg_chain(side, data, n, &c)) {
		if (hint || c.frames >= 3)
			return PROTO_YES;
		if (c.exact || n < total)
			return c.frames >= 2 || c.strong || whole_query(side, data, n, total)
				       ? PROTO_YES
				       : PROTO_NO;
		return c.frames >= 2 && c.strong ? PROTO_YES : PROTO_NO;
	}
	return hint && !foreign(data, n) ? PROTO_YES : PROTO_NO;
}
