/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Protocol buffers, written field by field into a buffer. A message inside a message:
 *
 *   size_t msg = pb_open(out, 3);
 *   pb_u64(out, 1, id);
 *   pb_close(out, msg);
 *
 * Lengths are as short as they can be; fields whose value is the default (0, "") are left out, as the
 * encoding has it. Memory that runs out shows in out->oom, as with every buf.
 */
#ifndef OUT_PROTOBUF_H
#define OUT_PROTOBUF_H

#include "base/buf.h"

void pb_varint(struct buf *out, u64 v);
void pb_u64(struct buf *out, u32 field, u64 v); /* (u)int32, (u)int64, enum, bool */
void pb_always(struct buf *out, u32 field,
	       u64 v); /* written when 0 too: oneof, and proto2's presence */
void pb_bytes(struct buf *out, u32 field, struct slice s); /* string, bytes; empty ones too */
void pb_packed(struct buf *out, u32 field, const u64 *v, size_t n);
size_t pb_open(struct buf *out, u32 field);
void pb_close(struct buf *out, size_t opened);

#endif
