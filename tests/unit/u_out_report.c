/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reports of a sample of known content: golden files for people's formats, schema and key checks
 * for JSON, hostile texts in all of them. `UPDATE_GOLDEN=1 u_out_report` writes the golden files anew.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <cjson/cJSON.h>
#include "base/cleanup.h"
#include "base/file.h"
#include "out/fmt.h"
#include "out/outs.h"
#include "out_sample.h"

#define GOLDEN "tests/unit/golden/"

typedef int (*write_fn)(const struct agg *agg, struct buf *out, const struct out_opts *opts);

/* The last two are no text. */
static const write_fn writers[] = { out_summary,	out_markdown,  out_text,
				    out_cpu_folded,	out_cpu_svg,   out_cpu_html,
				    out_cpu_speedscope, out_cpu_pprof, out_timeline };
static const struct out_opts plain = { .dir = "out",
				       .formats = OUT_BIT(OUT_MD) | OUT_BIT(OUT_JSON) |
						  OUT_BIT(OUT_SVG),
				       .capture = true };

static void agg_release(struct agg **agg)
{
	agg_free(*agg);
}

static void written(write_fn fn, const struct agg *agg, const struct out_opts *opts, struct buf *b)
{
	buf_clear(b);
	assert_int_equal(fn(agg, b, opts), 0);
	assert_true(b->n > 0);
}

static void same_as_golden(const struct buf *b, const char *file)
{
	_release_(buf) struct buf want = BUF_INIT;

	if (getenv("UPDATE_GOLDEN")) {
		FILE *f = fopen(file, "w");

		assert_non_null(f);
		assert_int_equal(fwrite(b->p, 1, b->n, f), b->n);
		fclose(f);
	}
	assert_int_equal(file_read(file, &want, 16 << 20), 0);
	if (want.n != b->n || memcmp(want.p, b->p, b->n) != 0)
		print_message("%s differs; now it is:\n%.*s\n", file, (int)MIN(b->n, 20000), b->p);
	assert_int_equal(want.n, b->n);
	assert_memory_equal(want.p, b->p, b->n);
}

static void golden_files(void **state)
{
	static const struct {
		write_fn fn;
		const char *file;
	} rows[] = {
		{ out_summary, GOLDEN "summary.json" },
		{ out_markdown, GOLDEN "PERFORMANCE_REPORT.md" },
		{ out_text, GOLDEN "text.txt" },
		{ out_cpu_folded, GOLDEN "cpu.folded" },
	};
	_release_(agg) struct agg *agg = sample_agg(false);
	_release_(buf) struct buf b = BUF_INIT;
	size_t i;

	(void)state;
	assert_non_null(agg);
	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		written(rows[i].fn, agg, &plain, &b);
		same_as_golden(&b, rows[i].file);
	}
}

static void schema_golden(void **state)
{
	_release_(buf) struct buf b = BUF_INIT;

	(void)state;
	assert_int_equal(schema_write("summary", &b), 0);
	same_as_golden(&b, GOLDEN "summary.schema.json");
	assert_true(schema_write("nothing", &b) < 0);
}

static void same_input_same_bytes(void **state)
{
	size_t i, hostile;

	(void)state;
	for (hostile = 0; hostile < 2; hostile++) {
		_release_(agg) struct agg *one = sample_agg(hostile), *two = sample_agg(hostile);
		_release_(buf) struct buf a = BUF_INIT;
		_release_(buf) struct buf b = BUF_INIT;

		for (i = 0; i < ARRAY_SIZE(writers); i++) {
			written(writers[i], one, &plain, &a);
			written(writers[i], two, &plain, &b);
			assert_int_equal(a.n, b.n);
			assert_memory_equal(a.p, b.p, a.n);
		}
	}
}

static bool type_is(const cJSON *v, const char *type)
{
	if (!strcmp(type, "null"))
		return cJSON_IsNull(v);
	if (!strcmp(type, "integer"))
		return cJSON_IsNumber(v) && v->valuedouble == (double)(long long)v->valuedouble;
	if (!strcmp(type, "number"))
		return cJSON_IsNumber(v);
	if (!strcmp(type, "string"))
		return cJSON_IsString(v);
	if (!strcmp(type, "boolean"))
		return cJSON_IsBool(v);
	if (!strcmp(type, "array"))
		return cJSON_IsArray(v);
	assert_string_equal(type, "object");
	return cJSON_IsObject(v);
}

/* Stricter than JSON Schema: a key that the schema does not describe fails too. */
static void holds(const cJSON *v, const cJSON *schema, const char *where)
{
	const cJSON *type = cJSON_GetObjectItem(schema, "type"), *t, *e;
	const cJSON *props = cJSON_GetObjectItem(schema, "properties");
	const cJSON *values = cJSON_GetObjectItem(schema, "enum");
	bool ok = false;

	assert_non_null(type);
	if (cJSON_IsArray(type)) {
		cJSON_ArrayForEach(t, type) ok |= type_is(v, t->valuestring);
	} else {
		ok = type_is(v, type->valuestring);
	}
	if (!ok)
		fail_msg("%s: wrong type", where);
	if (values && !cJSON_IsNull(v)) {
		ok = false;
		cJSON_ArrayForEach(e, values) ok |=
			cJSON_IsString(e) && !strcmp(e->valuestring, v->valuestring);
		if (!ok)
			fail_msg("%s: %s is no listed value", where, v->valuestring);
	}
	if (cJSON_IsArray(v) && cJSON_GetObjectItem(schema, "items"))
		cJSON_ArrayForEach(e, v) holds(e, cJSON_GetObjectItem(schema, "items"), where);
	if (!cJSON_IsObject(v))
		return;
	if (!props) {
		cJSON_ArrayForEach(e, v)
			holds(e, cJSON_GetObjectItem(schema, "additionalProperties"), e->string);
		return;
	}
	cJSON_ArrayForEach(e, props) if (!cJSON_GetObjectItemCaseSensitive(v, e->string))
		fail_msg("%s: key %s is missing", where, e->string);
	cJSON_ArrayForEach(e, v)
	{
		const cJSON *p = cJSON_GetObjectItemCaseSensitive(props, e->string);

		if (!p)
			fail_msg("%s: key %s is not in the schema", where, e->string);
		holds(e, p, e->string);
	}
}

static cJSON *summary_of(const struct agg *agg)
{
	_release_(buf) struct buf b = BUF_INIT;
	_release_(buf) struct buf s = BUF_INIT;
	cJSON *json, *schema;

	written(out_summary, agg, &plain, &b);
	assert_int_equal(schema_write("summary", &s), 0);
	json = cJSON_ParseWithLength(b.p, b.n);
	schema = cJSON_ParseWithLength(s.p, s.n);
	assert_non_null(json);
	assert_non_null(schema);
	holds(json, schema, "summary");
	cJSON_Delete(schema);
	return json;
}

static const cJSON *at(const cJSON *json, const char *key)
{
	const cJSON *v = cJSON_GetObjectItemCaseSensitive(json, key);

	if (!v)
		fail_msg("no key %s", key);
	return v;
}

static void summary_says_what_was_fed(void **state)
{
	_release_(agg) struct agg *agg = sample_agg(false);
	cJSON *json = summary_of(agg);
	const cJSON *e = cJSON_GetArrayItem(at(json, "endpoints"), 0), *q, *x;

	(void)state;
	assert_int_equal(at(json, "schema_version")->valueint, 1);
	assert_int_equal(cJSON_GetArraySize(at(json, "targets")), 1);
	assert_string_equal(at(cJSON_GetArrayItem(at(json, "targets"), 0), "exe")->valuestring,
			    "/usr/bin/python3.11");
	assert_float_equal(at(at(json, "window"), "duration_s")->valuedouble, 10, 1e-9);
	assert_int_equal(cJSON_GetArraySize(at(at(json, "window"), "blocks")), SAMPLE_SECONDS);

	assert_int_equal(cJSON_GetArraySize(at(json, "endpoints")), 3);
	assert_string_equal(at(e, "route")->valuestring, "/items");
	assert_int_equal(at(e, "count")->valueint, 400);
	assert_float_equal(at(e, "rate_per_s")->valuedouble, 40, 1e-6);
	assert_int_equal(at(at(e, "status"), "200")->valueint, 400);
	assert_int_equal(at(at(e, "partial"), "at_attach")->valueint, 1);
	assert_int_equal(at(at(e, "partial"), "at_detach")->valueint, 1);
	assert_float_equal(at(at(e, "latency_ms"), "mean")->valuedouble, 4.25, 1e-6);
	assert_float_equal(at(at(e, "latency_ms"), "max")->valuedouble, 6.5, 1e-6);
	assert_float_equal(at(at(e, "latency_ms"), "p50")->valuedouble, 4.0, 0.04 + 0.5);
	assert_true(cJSON_IsNull(at(e, "ledger_ms")));
	x = cJSON_GetArrayItem(at(json, "endpoints"), 1);
	assert_string_equal(at(x, "method")->valuestring, "POST");
	assert_int_equal(at(x, "errors")->valueint, 4);
	assert_int_equal(at(at(x, "status"), "500")->valueint, 4);

	q = cJSON_GetArrayItem(at(json, "queries"), 0);
	assert_string_equal(at(q, "operation")->valuestring, "SELECT");
	assert_string_equal(at(q, "database")->valuestring, "shop");
	assert_int_equal(at(q, "count")->valueint, 400);
	assert_int_equal(at(q, "rows")->valueint, 400);
	q = cJSON_GetArrayItem(at(json, "queries"), 1);
	assert_int_equal(at(at(q, "error_codes"), "23505")->valueint, 1);

	x = cJSON_GetArrayItem(at(json, "external"), 0);
	assert_string_equal(at(x, "route")->valuestring, "/rates");
	assert_int_equal(at(x, "errors")->valueint, 1);
	assert_int_equal(at(at(json, "cpu"), "samples")->valueint, 300);
	assert_string_equal(
		at(cJSON_GetArrayItem(at(at(json, "cpu"), "top"), 0), "frame")->valuestring,
		"json_dumps");
	assert_float_equal(at(at(at(json, "resources"), "cpu_ratio"), "mean")->valuedouble, 0.6,
			   1e-6);
	assert_int_equal(at(at(at(json, "resources"), "io_bytes"), "write")->valueint, 40960);
	assert_int_equal(at(at(json, "trust"), "lost_events")->valueint, 7);
	assert_int_equal(at(at(at(json, "trust"), "lost"), "ring_full")->valueint, 7);
	assert_float_equal(at(at(at(json, "trust"), "overhead"), "target_ratio")->valuedouble,
			   0.002, 1e-9);
	cJSON_Delete(json);
}

/* The key as a word of its own, not as part of another or of a path. */
static bool names_key(const char *note, const char *key)
{
	const char *p;

	if (strncmp(note, "not recorded: ", 14) != 0)
		return false;
	for (p = note; (p = strstr(p, key)); p++)
		if (p[-1] == ' ' && (!p[strlen(key)] || strchr(" ,(", p[strlen(key)])))
			return true;
	return false;
}

/* A part that is null has a note that names it. */
static void null_parts_have_notes(void **state)
{
	_release_(agg) struct agg *agg = sample_empty(false);
	cJSON *json = summary_of(agg);
	const cJSON *part, *note;

	(void)state;
	cJSON_ArrayForEach(part, json)
	{
		bool named = false;

		if (!cJSON_IsNull(part))
			continue;
		cJSON_ArrayForEach(note, at(at(json, "trust"), "notes")) named |=
			names_key(note->valuestring, part->string);
		if (!named)
			fail_msg("%s is null without a note", part->string);
	}
	assert_true(cJSON_IsNull(at(json, "resources")));
	assert_int_equal(cJSON_GetArraySize(at(json, "endpoints")), 0);
	cJSON_Delete(json);
}

/* No raw control byte, escape sequence or broken UTF-8 in any of the files. */
static void hostile_texts(void **state)
{
	_release_(agg) struct agg *agg = sample_agg(true);
	_release_(buf) struct buf b = BUF_INIT;
	size_t i, k, off;
	u32 cp;

	(void)state;
	assert_non_null(agg);
	for (i = 0; i < ARRAY_SIZE(writers) - 2; i++) {
		written(writers[i], agg, &plain, &b);
		for (k = 0; k < b.n; k++)
			assert_false(((u8)b.p[k] < 0x20 && b.p[k] != '\n' && b.p[k] != '\t') ||
				     b.p[k] == 0x7f);
		for (off = 0; off < b.n;) {
			size_t next = text_next(buf_slice(&b), off, &cp);
			bool invalid = next == off + 1 && (u8)b.p[off] >= 0x80;

			assert_false(invalid);
			/* JSON carries names as they are; what people read has nothing that hides. */
			if (cp == '.' && next > off + 1)
				assert_ptr_equal(writers[i], out_summary);
			off = next;
		}
	}
	cJSON_Delete(summary_of(agg));
}

/* Every table line has the columns of its table's first, whatever the cells hold. */
static void markdown_tables_stay_tables(void **state)
{
	_release_(agg) struct agg *agg = sample_agg(true);
	_release_(buf) struct buf b = BUF_INIT;
	char *line, *save;
	u32 columns = 0, lines = 0;

	(void)state;
	written(out_markdown, agg, &plain, &b);
	for (line = strtok_r(b.p, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		u32 bars = 0;
		bool code = false;
		char *p;

		/* Foreign text that would be markup stands in code spans only. */
		for (p = line; *p; p++) {
			code ^= *p == '`' && (p == line || p[-1] != '\\');
			assert_true(code || strncmp(p, "<script", 7) != 0);
		}
		assert_false(code);
		if (*line != '|') {
			columns = 0;
			continue;
		}
		for (p = line; *p; p++)
			bars += *p == '|' && (p == line || p[-1] != '\\');
		if (columns)
			assert_int_equal(bars, columns);
		columns = bars;
		lines++;
	}
	assert_true(lines > 20);
}

static u32 text_lines(const struct agg *agg, unsigned width, bool color, struct buf *b)
{
	struct out_opts opts = plain;
	size_t off = 0;
	u32 lines = 0, cells = 0, cp;

	opts.width = width;
	opts.color = color;
	written(out_text, agg, &opts, b);
	while (off < b->n && !color) {
		if (b->p[off] == '\n') {
			assert_true(cells <= width);
			cells = 0;
			lines++;
			off++;
			continue;
		}
		off = text_next(buf_slice(b), off, &cp);
		cells += text_cells(cp);
	}
	return lines;
}

static void terminal_fits(void **state)
{
	static const unsigned widths[] = { 40, 60, 80, 120, 200 };
	_release_(buf) struct buf b = BUF_INIT;
	size_t i, hostile;

	(void)state;
	for (hostile = 0; hostile < 2; hostile++) {
		_release_(agg) struct agg *agg = sample_agg(hostile);

		for (i = 0; i < ARRAY_SIZE(widths); i++)
			assert_in_range(text_lines(agg, widths[i], false, &b), 8, 12);
		assert_null(strchr(b.p, '\x1b'));
		text_lines(agg, 80, true, &b);
		assert_non_null(strstr(b.p, "\x1b[0m"));
		assert_null(strstr(b.p, "\x1b[31m|"));
	}
}

static struct agg *encrypted_agg(const char *peer)
{
	struct sample s = { 0 };
	u64 id;

	if (agg_new(&s.agg, NULL))
		return NULL;
	sample_target(&s);
	sample_window(&s, HP_WINDOW_START, SAMPLE_START);
	for (id = 1; id <= 3; id++)
		sample_conn(&s, id, HP_ROLE_CLIENT, CONN_ENCRYPTED, "postgresql", peer, "", true);
	sample_window(&s, HP_WINDOW_END, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	agg_finish(s.agg);
	return s.agg;
}

static void encrypted_database_comes_first(void **state)
{
	_release_(agg) struct agg *local = encrypted_agg("127.0.0.1:5432");
	_release_(agg) struct agg *remote = encrypted_agg("10.1.2.3:5432");
	_release_(buf) struct buf b = BUF_INIT;

	(void)state;
	written(out_text, local, &plain, &b);
	assert_ptr_equal(strstr(b.p, "HIDDEN   3 connections to PostgreSQL 127.0.0.1:5432 are "),
			 b.p);
	assert_non_null(strstr(b.p, "to see them, connect through its unix socket or with "
				    "sslmode=disable\n"));
	written(out_text, remote, &plain, &b);
	assert_non_null(strstr(b.p, "sslmode=disable where the network is trusted\n"));
	written(out_markdown, local, &plain, &b);
	assert_non_null(strstr(b.p, "- **PostgreSQL to 127.0.0.1:5432 encrypts 3 connections"));
}

/* A server that was warm at attach: statements without text, missing pages, an idle row. */
static struct agg *warm_agg(void)
{
	struct sample s = { 0 };
	struct db_call call = { .conn_id = 2,
				.start_ns = SAMPLE_START + NSEC_PER_SEC,
				.end_ns = SAMPLE_START + 4 * NSEC_PER_SEC,
				.sql = SLICE("<prepared __asyncpg_stmt_5__>"),
				.kind = DB_EXECUTE,
				.tgid = SAMPLE_TGID,
				.first_in_trip = true,
				.trips = 1,
				.flags = SPAN_UNKNOWN_TEXT };
	struct db_event login = { .conn_id = 5,
				  .ts_ns = SAMPLE_START + NSEC_PER_MSEC,
				  .user = SLICE("app"),
				  .database = SLICE("shop"),
				  .what = DB_EVENT_LOGIN };
	u32 i;

	if (agg_new(&s.agg, NULL))
		return NULL;
	sample_target(&s);
	sample_window(&s, HP_WINDOW_START, SAMPLE_START);
	sample_conns(&s, false);
	sample_conn(&s, 5, HP_ROLE_CLIENT, CONN_PARSED, "postgresql", "/run/postgresql/.s.PGSQL",
		    "", false);
	agg_db_event(s.agg, &login);
	for (i = 0; i < 1500; i++)
		agg_db(s.agg, &call);
	sample_db(&s, 2, "SELECT 1", 9, 10, 500000, 1, "");
	for (i = 0; i < 700; i++)
		sample_http(&s, 1, HP_ROLE_SERVER, "GET", i < 610 ? "/items" : "/nothing",
			    i < 610 ? 200 : 404, 20 + i, 2, 0);
	sample_http(&s, 1, HP_ROLE_SERVER, "", "", 200, 0, 5, SPAN_AT_ATTACH);
	sample_http(&s, 3, HP_ROLE_CLIENT, "GET", "/rates", 200, 20, 30, 0);
	sample_http(&s, 3, HP_ROLE_CLIENT, "", "", 0, 9990, 5, SPAN_AT_DETACH);
	sample_conns(&s, true);
	sample_window(&s, HP_WINDOW_STOP, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	sample_window(&s, HP_WINDOW_END, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	assert_int_equal(agg_finish(s.agg), 0);
	return s.agg;
}

static void warm_server(void **state)
{
	_release_(agg) struct agg *agg = warm_agg();
	_release_(buf) struct buf b = BUF_INIT;

	(void)state;
	written(out_text, agg, &plain, &b);
	assert_non_null(strstr(b.p, "\n4xx      90 of 700 requests (12.9 %): GET /nothing ×90\n"));
	assert_non_null(strstr(b.p, "\ndatabase 1,501 calls in 1,501 round trips, "));
	assert_non_null(strstr(b.p, "\nNO TEXT  90.0 % of it prepared before attach; "));
	assert_null(strstr(b.p, "(unknown)"));
	written(out_markdown, agg, &plain, &b);
	assert_non_null(strstr(b.p, "- 90 % of database time (1,500 calls) is in statements "
				    "prepared before attach, whose text was not seen"));
	assert_non_null(strstr(b.p, "| `GET /items` | 610 |"));
	assert_non_null(strstr(b.p, "| 200 ×610 | 0 |"));
	assert_non_null(strstr(b.p, "| 404 ×90 | 0 |"));
	assert_non_null(strstr(b.p, "| `postgresql (login not seen) at /run/postgresql/.s.PGSQL` "
				    "| 1 |"));
	assert_non_null(strstr(b.p, "- 1,501 calls on connections opened before attach are counted "
				    "under "));
	assert_non_null(strstr(b.p, "\n- Not recorded: which request issued an external call"));
	assert_null(strstr(b.p, "(unknown)"));
	assert_null(strstr(b.p, "more in summary.json"));
	written(out_summary, agg, &plain, &b);
	assert_non_null(strstr(b.p, "\"90 % of database time (1,500 calls) is in "));
	assert_non_null(strstr(b.p, "\"route\": \"(unknown)\""));
}

/* The most frequent codes, ascending; the rest is counted, not dropped. */
static void many_status_codes(void **state)
{
	static const u16 codes[] = { 200, 204, 301, 404, 409, 503 };
	static const u32 times[] = { 1, 3, 9, 2, 3, 7 };
	struct sample s = { 0 };
	_release_(buf) struct buf b = BUF_INIT;
	u32 i, k;

	(void)state;
	assert_int_equal(agg_new(&s.agg, NULL), 0);
	sample_target(&s);
	sample_window(&s, HP_WINDOW_START, SAMPLE_START);
	sample_conns(&s, false);
	for (i = 0; i < ARRAY_SIZE(codes); i++)
		for (k = 0; k < times[i]; k++)
			sample_http(&s, 1, HP_ROLE_SERVER, "GET", "/many", codes[i], 20 + k, 2, 0);
	sample_window(&s, HP_WINDOW_END, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	assert_int_equal(agg_finish(s.agg), 0);
	written(out_markdown, s.agg, &plain, &b);
	assert_non_null(strstr(b.p, "| 204 ×3, 301 ×9, 409 ×3, 503 ×7, others ×3 | 7 | 0 |"));
	written(out_text, s.agg, &plain, &b);
	assert_non_null(strstr(b.p, "4xx      5 of 25 requests (20.0 %): GET /many ×5\n"));
	agg_free(s.agg);
}

/* Figures stand in columns; a name is cut in its middle, and only where there is no room. */
static void terminal_columns(void **state)
{
	_release_(agg) struct agg *agg = sample_agg(false);
	_release_(buf) struct buf b = BUF_INIT;

	(void)state;
	text_lines(agg, 200, false, &b);
	assert_non_null(strstr(
		b.p, "\nslowest  GET /slow     p50 480 ms   p95 480 ms   ×1   15.1 % of time"
		     "\nby p95   POST /orders  p50 49.2 ms  p95 57.7 ms  ×20  31.2 % of time\n"));
	assert_non_null(strstr(b.p, "SELECT id, name FROM items WHERE id = ?  "));
	assert_non_null(strstr(b.p, "  1 error  0 timeouts\n"));
	text_lines(agg, 50, false, &b);
	assert_non_null(strstr(b.p, "\nslowest  GET …ow  p95 480 ms   ×1   15.1 % of time\n"));
	assert_non_null(strstr(b.p, "total 280 ms  (98.9 %)\n"));
}

static void empty_and_cut_windows(void **state)
{
	_release_(agg) struct agg *empty = sample_empty(false), *cut = sample_empty(true);
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json;

	(void)state;
	written(out_text, empty, &plain, &b);
	assert_non_null(strstr(b.p, "none in 10.0 s"));
	written(out_markdown, empty, &plain, &b);
	assert_non_null(strstr(b.p, "No request was timed."));
	assert_null(strstr(b.p, "nan"));
	written(out_markdown, cut, &plain, &b);
	assert_non_null(strstr(b.p, "The capture was cut"));
	written(out_text, cut, &plain, &b);
	assert_int_equal(strncmp(b.p, "WARNING  the capture was cut", 28), 0);
	json = summary_of(cut);
	assert_true(cJSON_IsFalse(at(at(json, "window"), "complete")));
	cJSON_Delete(json);
}

static void feed_config(struct sample *s, const char *text)
{
	size_t n = strlen(text);
	struct ev_config *c = sample_record(EV_CONFIG, sizeof(*c), n, SAMPLE_START);

	c->len = (u32)n;
	memcpy(c + 1, text, n);
	sample_feed(s, c);
}

/* Only a window and what the CONFIG record says; refused adds calls to a closed port. */
static struct agg *config_agg(const char *config, u32 refused)
{
	struct sample s = { 0 };
	u32 i;

	if (agg_new(&s.agg, NULL))
		return NULL;
	sample_target(&s);
	sample_window(&s, HP_WINDOW_START, SAMPLE_START);
	feed_config(&s, config);
	for (i = 0; i < refused; i++) {
		struct conn_info info = { .conn_id = 100 + i,
					  .role = HP_ROLE_CLIENT,
					  .family = AF_INET,
					  .tgid = SAMPLE_TGID,
					  .open_ns = SAMPLE_START + NSEC_PER_SEC,
					  .close_ns = SAMPLE_START + NSEC_PER_SEC,
					  .origin = HP_ORIGIN_CONNECT,
					  .proto = "",
					  .reason = "",
					  .peer = SLICE("127.0.0.1:38499"),
					  .err = ECONNREFUSED,
					  .ended = true };

		agg_conn(s.agg, &info);
	}
	sample_window(&s, HP_WINDOW_END, SAMPLE_START + SAMPLE_SECONDS * NSEC_PER_SEC);
	assert_int_equal(agg_finish(s.agg), 0);
	return s.agg;
}

/* What nobody measured is not zero: null, and words where figures would be. */
static void unmeasured_is_not_none(void **state)
{
	static const char *const keys[] = { "endpoints", "queries", "connections", "external" };
	_release_(agg) struct agg *agg =
		config_agg("probe.transfers=none|0||bytes sent and received on sockets\n"
			   "unmeasured.sockets=there is no way to see transfers\n",
			   0);
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json = summary_of(agg);
	size_t i;

	(void)state;
	for (i = 0; i < ARRAY_SIZE(keys); i++)
		assert_true(cJSON_IsNull(at(json, keys[i])));
	assert_true(cJSON_IsNull(at(at(json, "trust"), "connections")));
	cJSON_Delete(json);
	written(out_text, agg, &plain, &b);
	assert_ptr_equal(strstr(b.p, "NOT SEEN requests, queries, outgoing calls: there is no way "
				     "to see transfers\n"),
			 b.p);
	assert_non_null(strstr(b.p, "\nrequests not measured (10.0 s)\n"));
	assert_non_null(strstr(b.p, "\nerrors   not measured\n"));
	assert_null(strstr(b.p, "none in"));
	assert_non_null(strstr(b.p, "\nprobes   lower rung: transfers none\n"));
	assert_null(strstr(b.p, "no event lost"));
	written(out_markdown, agg, &plain, &b);
	assert_non_null(strstr(b.p, "- **Requests, queries and outgoing calls are not measured: "
				    "there is no way to see transfers.**\n"));
	assert_null(strstr(b.p, "0 requests"));
	assert_null(strstr(b.p, "No request was timed"));
	/* No line is wider than the terminal, however long the reason. */
	text_lines(agg, 40, false, &b);
	assert_non_null(strstr(b.p, "NOT SEEN requests, queries, outgoing\n"
				    "         calls: there is no way to see\n"
				    "         transfers\n"));
}

static void switched_off_is_not_none(void **state)
{
	_release_(agg) struct agg *http = config_agg("option.http=0\noption.db=1\n", 0);
	_release_(agg) struct agg *db = config_agg("option.http=1\noption.db=0\n", 0);
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json = summary_of(http);

	(void)state;
	assert_true(cJSON_IsNull(at(json, "endpoints")));
	assert_true(cJSON_IsArray(at(json, "queries")));
	cJSON_Delete(json);
	json = summary_of(db);
	assert_true(cJSON_IsNull(at(json, "queries")));
	assert_true(cJSON_IsNull(at(json, "connections")));
	assert_true(cJSON_IsArray(at(json, "endpoints")));
	cJSON_Delete(json);
	written(out_text, http, &plain, &b);
	assert_non_null(strstr(b.p, "not seen requests: switched off by --no-http\n"));
	written(out_text, db, &plain, &b);
	assert_non_null(strstr(b.p, "not seen queries: switched off by --no-db\n"));
}

/* How it was measured stands in every report. */
static void probes_and_rungs(void **state)
{
	_release_(agg) struct agg *agg =
		config_agg("probe.transfers=raw|5|every system call of the host|bytes on sockets\n"
			   "probe.calls=raw|0|every system call of the host|accept, connect\n"
			   "probe.cpu=off|0||CPU samples\n"
			   "option.without=fentry\noption.without=kprobe\n",
			   0);
	_release_(buf) struct buf b = BUF_INIT;
	cJSON *json = summary_of(agg);
	const cJSON *trust = at(json, "trust"), *p = cJSON_GetArrayItem(at(trust, "probes"), 0);

	(void)state;
	assert_int_equal(cJSON_GetArraySize(at(trust, "probes")), 3);
	assert_string_equal(at(p, "rung")->valuestring, "raw");
	assert_string_equal(at(p, "name")->valuestring, "every system call of the host");
	assert_true(cJSON_IsFalse(at(p, "best")));
	p = cJSON_GetArrayItem(at(trust, "probes"), 1);
	assert_true(cJSON_IsTrue(at(p, "best")));
	assert_int_equal(cJSON_GetArraySize(at(trust, "without")), 2);
	cJSON_Delete(json);
	written(out_text, agg, &plain, &b);
	assert_non_null(strstr(b.p, "\nprobes   lower rung: transfers raw\n"));
	written(out_markdown, agg, &plain, &b);
	assert_non_null(strstr(b.p, "| bytes on sockets | `raw` | every system call of the host | "
				    "yes |\n"));
	assert_non_null(strstr(b.p, "\nSwitched off by `--without`: `fentry`, `kprobe`.\n"));
	assert_non_null(strstr(b.p, "run for every process of the host"));
}

static void refused_calls_are_errors(void **state)
{
	_release_(agg) struct agg *agg = config_agg("option.http=1\n", 22);
	_release_(buf) struct buf b = BUF_INIT;

	(void)state;
	written(out_text, agg, &plain, &b);
	assert_non_null(strstr(b.p, "\nerrors   22 outgoing calls failed\n"));
	assert_non_null(
		strstr(b.p, "\nexternal tcp 127.0.0.1:38499  ×22  22 errors  0 timeouts\n"));
	written(out_markdown, agg, &plain, &b);
	assert_non_null(strstr(b.p, "- 22 outgoing calls failed, most to 127.0.0.1:38499 (22).\n"));
}

static void format_lists(void **state)
{
	struct slice bad;
	u32 mask = 0;

	(void)state;
	assert_int_equal(outs_parse_formats("md,json", &mask, &bad), 0);
	assert_int_equal(mask, OUT_BIT(OUT_MD) | OUT_BIT(OUT_JSON));
	assert_true(outs_parse_formats("md,pdf", &mask, &bad) < 0);
	assert_true(slice_eq(bad, SLICE("pdf")));
	assert_true(outs_parse_formats("", &mask, &bad) < 0);
	assert_true(outs_parse_formats("md,", &mask, &bad) < 0);
	assert_int_equal(outs_default_formats() & OUT_BIT(OUT_NDJSON), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(golden_files),
		cmocka_unit_test(schema_golden),
		cmocka_unit_test(same_input_same_bytes),
		cmocka_unit_test(summary_says_what_was_fed),
		cmocka_unit_test(null_parts_have_notes),
		cmocka_unit_test(hostile_texts),
		cmocka_unit_test(markdown_tables_stay_tables),
		cmocka_unit_test(terminal_fits),
		cmocka_unit_test(encrypted_database_comes_first),
		cmocka_unit_test(warm_server),
		cmocka_unit_test(many_status_codes),
		cmocka_unit_test(terminal_columns),
		cmocka_unit_test(empty_and_cut_windows),
		cmocka_unit_test(unmeasured_is_not_none),
		cmocka_unit_test(switched_off_is_not_none),
		cmocka_unit_test(probes_and_rungs),
		cmocka_unit_test(refused_calls_are_errors),
		cmocka_unit_test(format_lists),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
