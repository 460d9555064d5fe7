/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a JSON file of the report is described: rows of keys with a type, nested by pointer. schema.c
 * turns them into JSON Schema; the unit test holds the writers against them, key by key.
 */
#ifndef OUT_SCHEMA_H
#define OUT_SCHEMA_H

#include "base/types.h"

enum schema_type {
	S_INT = 1,
	S_NUM,
	S_STR,
	S_BOOL,
	S_OBJ, /* sub: its keys */
	S_MAP, /* object with any keys; sub: one row, the values' type */
	S_ARR, /* sub: one row without a key, the items' type */
	S_TYPE = 0x0f,
	S_NULL = 0x10, /* or null */
};

struct schema {
	const char *key; /* NULL ends a list of keys (S_OBJ) */
	u8 type; /* enum schema_type */
	const struct schema *sub;
	const char *text; /* description; NULL: the key says it */
	const char *const *values; /* S_STR: NULL-terminated list of all values */
};

struct schema_doc {
	const char *name; /* in --schema */
	const char *title;
	const struct schema *root; /* keys of the document */
};

extern const struct schema schema_summary[];

#endif
