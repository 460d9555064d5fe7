/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SQL texts of a connection: what statement names and portals mean.
 *
 * A text is one counted object; the name map, portals, the queue and the call that waits for its
 * transaction state hold references. Objects come in sizes of a power of two, and freed ones are
 * kept, so a client that prepares anew for every call costs no allocation. Past a cap the
 * longest-unused names are forgotten; they come back as "<prepared NAME>".
 *
 * The maps follow what the client sends, not what the server confirms, because a pipeline uses a
 * statement before its ParseComplete. pg_stmt_undo() takes back what the server then refused.
 */
#include <stdlib.h>
#include "proto/pgsql.h"

static size_t class_size(u32 class)
{
	return (size_t)128 << class;
}

void pg_stmts_init(struct pgsql *pg)
{
	map_init(&pg->names, PG_STMTS_MAX);
}

struct slice pg_stmt_sql(const struct pg_stmt *s)
{
	return s ? slice_of(s->data + s->name_len, s->sql_len) : SLICE("");
}

static struct slice stmt_name(const struct pg_stmt *s)
{
	return slice_of(s->data, s->name_len);
}

static struct slice clip_name(struct slice name)
{
	name.n = MIN(name.n, (size_t)PG_NAME_MAX);
	return name;
}

u64 pg_name_hash(struct slice name)
{
	name = clip_name(name);
	return hash_bytes(name.p, name.n, 0);
}

static void drop(struct pgsql *pg, enum hp_drop why)
{
	pg->ctx->sink->drop(pg->ctx->sink->arg, why);
}

static void free_cached(struct pgsql *pg)
{
	struct pg_stmt *s;
	u32 i;

	for (i = 0; i < PG_CLASSES; i++) {
		while ((s = pg->freed[i])) {
			pg->freed[i] = s->older;
			free(s);
			pg->arena -= class_size(i);
			pg->cached -= class_size(i);
		}
	}
}

struct pg_stmt *pg_stmt_get(struct pg_stmt *s)
{
	if (s)
		s->refs++;
	return s;
}

void pg_stmt_put(struct pgsql *pg, struct pg_stmt *s)
{
	size_t size;

	if (!s || --s->refs)
		return;
	size = class_size(s->class);
	if (pg->cached + size > PG_CACHED_MAX) {
		pg->arena -= size;
		free(s);
		return;
	}
	pg->cached += size;
	s->older = pg->freed[s->class];
	pg->freed[s->class] = s;
}

static void lru_del(struct pgsql *pg, struct pg_stmt *s)
{
	*(s->newer ? &s->newer->older : &pg->newest) = s->older;
	*(s->older ? &s->older->newer : &pg->oldest) = s->newer;
	s->newer = s->older = NULL;
}

static void lru_add(struct pgsql *pg, struct pg_stmt *s)
{
	s->older = pg->newest;
	*(s->older ? &s->older->newer : &pg->oldest) = s;
	pg->newest = s;
}

/* Takes the name off its statement. The map's reference goes to the caller. */
static void unmap(struct pgsql *pg, struct pg_stmt *s)
{
	map_del(&pg->names, s->name_hash);
	lru_del(pg, s);
	s->flags &= ~PG_STMT_MAPPED;
}

static bool forget_oldest(struct pgsql *pg)
{
	struct pg_stmt *s = pg->oldest;

	if (!s)
		return false;
	unmap(pg, s);
	pg_stmt_put(pg, s);
	return true;
}

struct pg_stmt *pg_stmt_new(struct pgsql *pg, struct slice name, struct slice sql, u8 flags)
{
	struct pg_stmt *s;
	size_t need, size;
	u32 class = 0;

	name = clip_name(name);
	if (sql.n > PG_TEXT_MAX) {
		sql.n = PG_TEXT_MAX;
		flags |= PG_STMT_TRUNCATED;
		drop(pg, DROP_MESSAGE_TOO_LONG);
	}
	need = sizeof(*s) + name.n + sql.n;
	while (class_size(class) < need)
		class ++;
	size = class_size(class);
	s = pg->freed[class];
	if (s) {
		pg->freed[class] = s->older;
		pg->cached -= size;
	} else {
		if (pg->arena + size > PG_ARENA_MAX)
			free_cached(pg);
		while (pg->arena + size > PG_ARENA_MAX && forget_oldest(pg))
			free_cached(pg);
		s = pg->arena + size > PG_ARENA_MAX ? NULL : malloc(size);
		if (!s) {
			drop(pg, DROP_MEMORY);
			return NULL;
		}
		pg->arena += size;
	}
	memset(s, 0, sizeof(*s));
	s->class = class;
	s->refs = 1;
	s->flags = flags;
	s->name_len = name.n;
	s->sql_len = sql.n;
	if (name.n)
		memcpy(s->data, name.p, name.n);
	if (sql.n)
		memcpy(s->data + name.n, sql.p, sql.n);
	return s;
}

static struct pg_stmt *map_lookup(struct pgsql *pg, struct slice name, u64 hash)
{
	u64 *v = map_find(&pg->names, hash);
	struct pg_stmt *s;

	if (!v)
		return NULL;
	s = (struct pg_stmt *)(uintptr_t)*v;
	return slice_eq(stmt_name(s), name) ? s : NULL;
}

/* The map takes over the caller's reference to s. False: it is full of names in use. */
static bool map_add(struct pgsql *pg, struct pg_stmt *s)
{
	u64 *v = map_find(&pg->names, s->name_hash);
	int err;

	if (v) {
		struct pg_stmt *other = (struct pg_stmt *)(uintptr_t)*v;

		unmap(pg, other);
		pg_stmt_put(pg, other);
	}
	while ((err = map_put(&pg->names, s->name_hash, (u64)(uintptr_t)s)) && forget_oldest(pg))
		;
	if (err) {
		drop(pg, DROP_MEMORY);
		return false;
	}
	lru_add(pg, s);
	s->flags |= PG_STMT_MAPPED;
	return true;
}

/* Takes the reference: what the unnamed statement means now. */
static void set_unnamed(struct pgsql *pg, struct pg_stmt *s)
{
	pg_stmt_put(pg, pg->unnamed);
	pg->unnamed = s;
}

struct pg_stmt *pg_stmt_define(struct pgsql *pg, struct slice name, struct slice sql,
			       bool truncated, struct pg_stmt **ret_old)
{
	u64 sql_hash = hash_bytes(sql.p, MIN(sql.n, (size_t)PG_TEXT_MAX), 0), hash;
	u8 flags = truncated ? PG_STMT_TRUNCATED : 0;
	struct pg_stmt *s, *old;

	*ret_old = NULL;
	name = clip_name(name);
	if (!name.n) {
		s = pg->unnamed;
		/* The same text again, as in executemany without names: one object for all. */
		if (s && s->sql_hash == sql_hash && slice_eq(pg_stmt_sql(s), sql) &&
		    s->flags == flags)
			return s;
		s = pg_stmt_new(pg, name, sql, flags);
		if (s)
			s->sql_hash = sql_hash;
		set_unnamed(pg, s);
		return s;
	}
	hash = hash_bytes(name.p, name.n, 0);
	old = map_lookup(pg, name, hash);
	if (old) {
		unmap(pg, old);
		*ret_old = old;
	}
	s = pg_stmt_new(pg, name, sql, flags);
	if (!s)
		return NULL;
	s->sql_hash = sql_hash;
	s->name_hash = hash;
	if (map_add(pg, s))
		return s;
	pg_stmt_put(pg, s);
	return NULL;
}

void pg_stmt_undo(struct pgsql *pg, struct pg_stmt *s, struct pg_stmt *old)
{
	if (s && s == pg->unnamed) {
		set_unnamed(pg, NULL);
		return;
	}
	if (s && (s->flags & PG_STMT_MAPPED)) {
		unmap(pg, s);
		pg_stmt_put(pg, s);
	} else if (s && old && map_find(&pg->names, old->name_hash)) {
		return; /* redefined since */
	}
	if (old && !(old->flags & PG_STMT_MAPPED) && old->name_len &&
	    !map_find(&pg->names, old->name_hash)) {
		pg_stmt_get(old);
		if (!map_add(pg, old))
			pg_stmt_put(pg, old);
	}
}

struct pg_stmt *pg_stmt_find(struct pgsql *pg, struct slice name)
{
	char text[PG_NAME_MAX + 16];
	struct pg_stmt *s;
	size_t n = 0;
	u64 hash;

	name = clip_name(name);
	if (!name.n) {
		if (!pg->unnamed)
			pg->unnamed = pg_stmt_new(pg, name, SLICE("<prepared>"), PG_STMT_UNKNOWN);
		return pg->unnamed;
	}
	hash = hash_bytes(name.p, name.n, 0);
	s = map_lookup(pg, name, hash);
	if (s) {
		lru_del(pg, s);
		lru_add(pg, s);
		return s;
	}
	memcpy(text, "<prepared ", 10);
	n = 10;
	memcpy(text + n, name.p, name.n);
	n += name.n;
	text[n++] = '>';
	s = pg_stmt_new(pg, name, slice_of(text, n), PG_STMT_UNKNOWN);
	if (!s)
		return NULL;
	s->name_hash = hash;
	s->sql_hash = hash_bytes(text, n, 0);
	if (map_add(pg, s))
		return s;
	pg_stmt_put(pg, s);
	return NULL;
}

struct pg_stmt *pg_stmt_forget(struct pgsql *pg, struct slice name)
{
	struct pg_stmt *s;

	name = clip_name(name);
	if (!name.n) {
		s = pg->unnamed;
		pg->unnamed = NULL;
		return s;
	}
	s = map_lookup(pg, name, hash_bytes(name.p, name.n, 0));
	if (s)
		unmap(pg, s);
	return s;
}

void pg_stmts_forget_all(struct pgsql *pg)
{
	while (forget_oldest(pg))
		;
	set_unnamed(pg, NULL);
}

static void portal_clear(struct pgsql *pg, struct pg_portal *po)
{
	pg_stmt_put(pg, po->stmt);
	memset(po, 0, sizeof(*po));
}

void pg_stmts_lost(struct pgsql *pg)
{
	set_unnamed(pg, NULL);
	portal_clear(pg, &pg->portal);
	pg_portals_close_named(pg);
}

struct pg_portal *pg_portal_find(struct pgsql *pg, u64 hash)
{
	u32 i;

	if (hash == pg_name_hash(SLICE("")))
		return pg->portal.live ? &pg->portal : NULL;
	for (i = 0; pg->portals && i < PG_PORTALS_MAX; i++) {
		struct pg_portal *po = &pg->portals[i];

		if (po->live && po->hash == hash) {
			po->used = ++pg->clock;
			return po;
		}
	}
	return NULL;
}

struct pg_portal *pg_portal_bind(struct pgsql *pg, struct slice name, struct pg_stmt *s)
{
	struct pg_portal *po = &pg->portal;
	u64 hash = pg_name_hash(name);
	u32 i;

	if (name.n) {
		if (!pg->portals)
			pg->portals = calloc(PG_PORTALS_MAX, sizeof(*pg->portals));
		if (!pg->portals) {
			drop(pg, DROP_MEMORY);
			return NULL;
		}
		po = pg_portal_find(pg, hash);
		for (i = 0; !po && i < PG_PORTALS_MAX; i++)
			if (!pg->portals[i].live)
				po = &pg->portals[i];
		if (!po) {
			po = &pg->portals[0];
			for (i = 1; i < PG_PORTALS_MAX; i++)
				if (pg->portals[i].used < po->used)
					po = &pg->portals[i];
		}
	}
	pg_stmt_get(s);
	pg_stmt_put(pg, po->stmt);
	po->stmt = s;
	po->hash = hash;
	po->used = ++pg->clock;
	po->live = true;
	po->suspended = false;
	return po;
}

void pg_portal_close(struct pgsql *pg, u64 hash)
{
	struct pg_portal *po = pg_portal_find(pg, hash);

	if (po)
		portal_clear(pg, po);
}

void pg_portals_close_named(struct pgsql *pg)
{
	u32 i;

	for (i = 0; pg->portals && i < PG_PORTALS_MAX; i++)
		if (pg->portals[i].live)
			portal_clear(pg, &pg->portals[i]);
}

/* Next word or quoted name of s, folded as the server does; white space and comments are passed. */
static bool next_word(struct slice *s, char *out, size_t size)
{
	size_t n = 0, i = 0, depth;

	for (;;) {
		while (i < s->n && strchr(" \t\r\n\f\v", s->p[i]) && s->p[i])
			i++;
		if (i + 1 < s->n && s->p[i] == '-' && s->p[i + 1] == '-') {
			while (i < s->n && s->p[i] != '\n')
				i++;
		} else if (i + 1 < s->n && s->p[i] == '/' && s->p[i + 1] == '*') {
			for (depth = 1, i += 2; depth && i < s->n; i++) {
				if (i + 1 < s->n && s->p[i] == '*' && s->p[i + 1] == '/')
					depth--, i++;
				else if (i + 1 < s->n && s->p[i] == '/' && s->p[i + 1] == '*')
					depth++, i++;
			}
		} else {
			break;
		}
	}
	if (i >= s->n)
		return false;
	if (s->p[i] == '"') {
		for (i++; i < s->n; i++) {
			if (s->p[i] == '"' && !(i + 1 < s->n && s->p[i + 1] == '"')) {
				i++;
				break;
			}
			i += s->p[i] == '"';
			if (n + 1 < size)
				out[n++] = s->p[i];
		}
	} else if (s->p[i] == '(') {
		for (depth = 0; i < s->n; i++) {
			depth += s->p[i] == '(';
			depth -= s->p[i] == ')';
			if (!depth) {
				i++;
				break;
			}
		}
		out[n++] = '(';
	} else {
		while (i < s->n && !strchr(" \t\r\n\f\v;(\"", s->p[i])) {
			char c = s->p[i++];

			if (n + 1 < size)
				out[n++] = c >= 'A' && c <= 'Z' ? c | 0x20 : c;
		}
		if (!n)
			return false;
	}
	out[n] = 0;
	s->p += i;
	s->n -= i;
	return true;
}

void pg_stmt_effect(struct pgsql *pg, struct slice tag, struct slice sql)
{
	char word[PG_NAME_MAX + 1], name[PG_NAME_MAX + 1];
	struct pg_stmt *old = NULL;

	if (slice_eq(tag, SLICE("DISCARD ALL")) || slice_eq(tag, SLICE("DEALLOCATE ALL"))) {
		pg_stmts_forget_all(pg);
		return;
	}
	if (slice_eq(tag, SLICE("DEALLOCATE"))) {
		if (!next_word(&sql, word, sizeof(word)) || strcmp(word, "deallocate") != 0 ||
		    !next_word(&sql, name, sizeof(name)))
			return;
		/* DEALLOCATE [PREPARE] name */
		if (strcmp(name, "prepare") == 0 && next_word(&sql, word, sizeof(word)))
			memcpy(name, word, sizeof(name));
		if (name[0])
			pg_stmt_put(pg, pg_stmt_forget(pg, slice_str(name)));
		return;
	}
	if (!slice_eq(tag, SLICE("PREPARE")))
		return;
	if (!next_word(&sql, word, sizeof(word)) || strcmp(word, "prepare") != 0 ||
	    !next_word(&sql, name, sizeof(name)) || !name[0])
		return;
	/* PREPARE name [(types)] AS statement */
	if (!next_word(&sql, word, sizeof(word)))
		return;
	if (strcmp(word, "(") == 0 && !next_word(&sql, word, sizeof(word)))
		return;
	if (strcmp(word, "as") != 0)
		return;
	while (sql.n && strchr(" \t\r\n", *sql.p) && *sql.p) {
		sql.p++;
		sql.n--;
	}
	pg_stmt_define(pg, slice_str(name), sql, false, &old);
	pg_stmt_put(pg, old);
}

void pg_stmts_release(struct pgsql *pg)
{
	pg_stmts_forget_all(pg);
	portal_clear(pg, &pg->portal);
	pg_portals_close_named(pg);
	free(pg->portals);
	pg->portals = NULL;
	free_cached(pg);
	map_release(&pg->names);
}
