/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Streaming JSON writer into a buf. Commas, indentation (two spaces) and escaping are its job; bytes
 * that are not UTF-8 become U+FFFD. Keys are NULL inside arrays. Numbers print with the shortest
 * decimal that is exact to 1e-6 and never as NaN or infinity (null instead), so output is the same
 * on every machine. `pretty` = false writes one line (ndjson). No newline after the last brace: the
 * caller adds it. More than 30 levels set out->oom.
 */
#ifndef BASE_JSON_H
#define BASE_JSON_H

#include "base/buf.h"

struct json {
	struct buf *out;
	bool pretty;
	u8 depth;
	bool first[32]; /* nothing written yet on this level */
};

void json_init(struct json *j, struct buf *out, bool pretty);
void json_obj(struct json *j, const char *key);
void json_end_obj(struct json *j);
void json_arr(struct json *j, const char *key);
void json_end_arr(struct json *j);
void json_str(struct json *j, const char *key, struct slice s);
void json_cstr(struct json *j, const char *key, const char *s); /* NULL writes null */
void json_u64(struct json *j, const char *key, u64 v);
void json_s64(struct json *j, const char *key, s64 v);
void json_num(struct json *j, const char *key, double v); /* at most 6 decimals */
void json_bool(struct json *j, const char *key, bool v);
void json_null(struct json *j, const char *key);
void json_ms(struct json *j, const char *key, double ns); /* nanoseconds as milliseconds */

#endif
