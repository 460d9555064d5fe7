/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PostgreSQL messages by hand, and scenarios: what both sides send, and the spans that have to come
 * out of it in whatever cuts the bytes arrive.
 */
#ifndef TEST_PGSQL_BUILD_H
#define TEST_PGSQL_BUILD_H

#include "pgsql_trace.h"

static struct buf wire; /* messages since the last transfer */
static enum cut wire_cut;
static u32 wire_seed;

/* Appends a message: s string, i 32 bits, h 16 bits, c byte, r pointer and length. */
static inline void put(char type, const char *spec, ...)
{
	size_t at = wire.n + (type ? 1 : 0);
	va_list ap;
	u32 v, len;

	if (type)
		buf_addch(&wire, type);
	buf_add(&wire, "\0\0\0\0", 4);
	va_start(ap, spec);
	for (; *spec; spec++) {
		const char *s;

		switch (*spec) {
		case 's':
			s = va_arg(ap, const char *);
			buf_add(&wire, s, strlen(s) + 1);
			break;
		case 'i':
			v = va_arg(ap, u32);
			buf_addch(&wire, (char)(v >> 24));
			buf_addch(&wire, (char)(v >> 16));
			buf_addch(&wire, (char)(v >> 8));
			buf_addch(&wire, (char)v);
			break;
		case 'h':
			v = va_arg(ap, u32);
			buf_addch(&wire, (char)(v >> 8));
			buf_addch(&wire, (char)v);
			break;
		case 'c':
			buf_addch(&wire, (char)va_arg(ap, int));
			break;
		case 'r':
			s = va_arg(ap, const char *);
			buf_add(&wire, s, va_arg(ap, size_t));
			break;
		default:
			abort();
		}
	}
	va_end(ap);
	len = wire.n - at;
	wire.p[at] = (char)(len >> 24);
	wire.p[at + 1] = (char)(len >> 16);
	wire.p[at + 2] = (char)(len >> 8);
	wire.p[at + 3] = (char)len;
}

static inline void query(const char *sql)
{
	put('Q', "s", sql);
}

static inline void parse(const char *name, const char *sql)
{
	put('P', "ssh", name, sql, 0);
}

static inline void bind_value(const char *portal, const char *name, const char *value)
{
	put('B', "sshhirh", portal, name, 0, 1, (u32)strlen(value), value, strlen(value), 0);
}

static inline void bind_msg(const char *name)
{
	bind_value("", name, "value");
}

static inline void describe(char kind, const char *name)
{
	put('D', "cs", kind, name);
}

static inline void execute(const char *portal, u32 max)
{
	put('E', "si", portal, max);
}

static inline void close_name(char kind, const char *name)
{
	put('C', "cs", kind, name);
}

static inline void sync_msg(void)
{
	put('S', "");
}

static inline void flush_msg(void)
{
	put('H', "");
}

/* Bind, Execute, Sync. */
static inline void call(const char *name)
{
	bind_msg(name);
	execute("", 0);
	sync_msg();
}

static inline void row(const char *value)
{
	put('D', "hir", 1, (u32)strlen(value), value, strlen(value));
}

static inline void columns(void)
{
	put('T', "hsihihih", 1, "column", 0, 0, 23, 4, 0xffffffff, 0);
}

static inline void complete(const char *tag)
{
	put('C', "s", tag);
}

static inline void ready(char txn)
{
	put('Z', "c", txn);
}

static inline void bound(void)
{
	put('2', "");
}

static inline void failure(const char *severity, const char *code)
{
	put('E', "cscscscsc", 'S', severity, 'V', severity, 'C', code, 'M', "it says: secret", 0);
}

static inline void wire_transfer(struct pgt *t, enum proto_side side)
{
	t->clock += 1000;
	pgt_cut(t, side, (u8 *)wire.p, wire.n, true, true, wire_cut, &wire_seed);
	buf_clear(&wire);
}

static inline void client(struct pgt *t)
{
	wire_transfer(t, PROTO_CLIENT);
}

static inline void server(struct pgt *t)
{
	wire_transfer(t, PROTO_SERVER);
}

/* The messages as a run inside a transfer. */
static inline void run(struct pgt *t, enum proto_side side, bool start, bool end)
{
	t->clock += start ? 1000 : 0;
	pgt_run(t, side, wire.p, wire.n, start, end);
	buf_clear(&wire);
}

/* Trust login of ann to shop. */
static inline void login(struct pgt *t)
{
	put(0, "issssc", 0x30000, "user", "ann", "database", "shop", 0);
	client(t);
	put('R', "i", 0);
	put('S', "ss", "server_version", "15.5");
	put('S', "ss", "TimeZone", "Secret/Town");
	put('K', "ii", 4242, 0x5ec2e7);
	ready('I');
	server(t);
	buf_clear(&t->out);
}

struct scenario {
	const char *name;
	void (*run)(struct pgt *t);
	const char *want;
	u32 flags; /* enum trace_flags; 0: logs in first */
	bool times;
	bool bare; /* no login, no finish */
	bool whole; /* alignment is looked for in runs: no other cuts */
};

/* True when the scenario gives what it should in every cut; says what differs. */
static inline bool scenario_ok(const struct scenario *s)
{
	bool ok = true;
	u32 i;

	for (i = 0; ok && i < (s->whole ? 1 : 12); i++) {
		struct pgt t;

		wire_cut = i == 0 ? CUT_WHOLE : i == 1 ? CUT_BYTES : CUT_RANDOM;
		wire_seed = i;
		buf_clear(&wire);
		pgt_open(&t, s->flags);
		if (!s->bare && !(s->flags & TRACE_MID_STREAM))
			login(&t);
		t.with_times = s->times;
		s->run(&t);
		if (!s->bare)
			pgt_finish(&t, s->flags & TRACE_CLOSED);
		if (!slice_eq(buf_slice(&t.out), slice_str(s->want))) {
			fprintf(stderr, "%s, cut %u, want:\n%sgot:\n%.*s", s->name, i, s->want,
				(int)t.out.n, t.out.p ? t.out.p : "");
			ok = false;
		}
		pgt_close(&t);
	}
	buf_release(&wire);
	return ok;
}

#endif
