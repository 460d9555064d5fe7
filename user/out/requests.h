/* SPDX-License-Identifier: Apache-2.0 */
/*
 * requests.ndjson: one line for every served request. Routes are only known when the window is over,
 * so exchanges are kept in a nameless temporary file meanwhile; memory stays constant.
 */
#ifndef OUT_REQUESTS_H
#define OUT_REQUESTS_H

#include "agg/agg.h"
#include "bind/bind.h"

struct requests {
	int fd; /* nameless file of packed rows; -1 = off */
	u8 *buf;
	size_t n;
	int err; /* first error */
};

/* dirfd: where the temporary file lives and the result will. */
int requests_begin(struct requests *r, int dirfd);
/* number: what bind_request() gave it; serial: what agg_ledger_of() knows it by. */
void requests_add(struct requests *r, const struct http_exchange *x, u32 number, u32 serial);
/* Writes file into dirfd, with the routes of the finished aggregates. 0 or the first error. */
int requests_end(struct requests *r, const struct agg *agg, const struct bind *bind, int dirfd,
		 const char *file);
void requests_release(struct requests *r);

#endif
