/* SPDX-License-Identifier: Apache-2.0 */
#include "out/protobuf.h"

#include <string.h>

#define WIRE_VARINT 0
#define WIRE_BYTES 2

void pb_varint(struct buf *out, u64 v)
{
	for (; v >= 0x80; v >>= 7)
		buf_addch(out, (char)(v | 0x80));
	buf_addch(out, (char)v);
}

void pb_always(struct buf *out, u32 field, u64 v)
{
	pb_varint(out, (u64)field << 3 | WIRE_VARINT);
	pb_varint(out, v);
}

void pb_u64(struct buf *out, u32 field, u64 v)
{
	if (v)
		pb_always(out, field, v);
}

void pb_bytes(struct buf *out, u32 field, struct slice s)
{
	pb_varint(out, (u64)field << 3 | WIRE_BYTES);
	pb_varint(out, s.n);
	buf_add_slice(out, s);
}

void pb_packed(struct buf *out, u32 field, const u64 *v, size_t n)
{
	size_t msg = pb_open(out, field), i;

	for (i = 0; i < n; i++)
		pb_varint(out, v[i]);
	pb_close(out, msg);
}

size_t pb_open(struct buf *out, u32 field)
{
	pb_varint(out, (u64)field << 3 | WIRE_BYTES);
	return out->n;
}

/* The length goes before what is there already, so that moves up by the length's own size. */
void pb_close(struct buf *out, size_t opened)
{
	size_t n = out->n - opened, at = out->n;

	pb_varint(out, n);
	if (!out->oom && n) {
		char length[10];
		size_t size = out->n - at;

		memcpy(length, out->p + at, size);
		memmove(out->p + opened + size, out->p + opened, n);
		memcpy(out->p + opened, length, size);
	}
}
