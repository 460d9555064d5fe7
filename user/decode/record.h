/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks records against include/hp/events.def. What passes can be read through its struct without
 * further length checks; what does not is dropped and counted, never half-used.
 */
#ifndef DECODE_RECORD_H
#define DECODE_RECORD_H

#include "base/slice.h"
#include "base/types.h"
#include "hp/events.h"

/* "DATA" …, NULL when no such kind exists. */
const char *record_name(u32 kind);

/*
 * p[0..n): does a whole record begin here? 0 and *ret_size: yes. -EAGAIN: more bytes are needed.
 * -EBADMSG and *ret_size: not a valid record, skip that many bytes. -EPROTO: the size field itself is
 * nonsense, nothing after this point can be trusted.
 */
int record_check(const void *p, size_t n, size_t *ret_size);

/* Walks the carried runs of a checked DATA record. Start with *off = 0; NULL at the end. */
struct ev_seg *record_seg(struct ev_data *ev, size_t *off, u8 **ret_bytes);

#endif
