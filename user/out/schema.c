/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the JSON Schema (draft 2020-12) of a report file from its rows. Every listed key is
 * required; keys that are not listed are allowed, because adding keys is no new schema_version.
 */
#include "out/schema.h"

#include <errno.h>
#include "base/json.h"
#include "out/outs.h"

static const struct schema_doc docs[] = {
	{ "summary", "hostprof summary.json, schema_version 1", schema_summary },
};

static void put_keys(struct json *j, const struct schema *keys);

static void put_type(struct json *j, const struct schema *s)
{
	static const char *const names[] = {
		[S_INT] = "integer", [S_NUM] = "number", [S_STR] = "string", [S_BOOL] = "boolean",
		[S_OBJ] = "object",  [S_MAP] = "object", [S_ARR] = "array"
	};
	u8 type = s->type & S_TYPE;
	u32 i;

	if (s->type & S_NULL) {
		json_arr(j, "type");
		json_cstr(j, NULL, names[type]);
		json_cstr(j, NULL, "null");
		json_end_arr(j);
	} else {
		json_cstr(j, "type", names[type]);
	}
	if (s->text)
		json_cstr(j, "description", s->text);
	if (s->values) {
		json_arr(j, "enum");
		for (i = 0; s->values[i]; i++)
			json_cstr(j, NULL, s->values[i]);
		if (s->type & S_NULL)
			json_null(j, NULL);
		json_end_arr(j);
	}
	if (!s->sub)
		return;
	if (type == S_OBJ) {
		put_keys(j, s->sub);
	} else {
		json_obj(j, type == S_ARR ? "items" : "additionalProperties");
		put_type(j, s->sub);
		json_end_obj(j);
	}
}

static void put_keys(struct json *j, const struct schema *keys)
{
	const struct schema *s;

	json_arr(j, "required");
	for (s = keys; s->key; s++)
		json_cstr(j, NULL, s->key);
	json_end_arr(j);
	json_obj(j, "properties");
	for (s = keys; s->key; s++) {
		json_obj(j, s->key);
		put_type(j, s);
		json_end_obj(j);
	}
	json_end_obj(j);
}

int schema_write(const char *name, struct buf *out)
{
	struct json j;
	u32 i;

	for (i = 0; i < ARRAY_SIZE(docs); i++)
		if (!strcmp(docs[i].name, name))
			break;
	if (i == ARRAY_SIZE(docs))
		return -ENOENT;
	json_init(&j, out, true);
	json_obj(&j, NULL);
	json_cstr(&j, "$schema", "https://json-schema.org/draft/2020-12/schema");
	json_cstr(&j, "title", docs[i].title);
	json_cstr(&j, "type", "object");
	put_keys(&j, docs[i].root);
	json_end_obj(&j);
	buf_addch(out, '\n');
	return out->oom ? -ENOMEM : 0;
}

void schema_names(struct buf *out)
{
	u32 i;

	for (i = 0; i < ARRAY_SIZE(docs); i++)
		buf_addf(out, "%s%s", i ? ", " : "", docs[i].name);
}
