/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of protocols: what the session stage tries on a new connection, in this order. A new
 * protocol is one file and one row.
 */
#include "proto/proto.h"

const struct proto *const protos[] = {
	&proto_http1,
	&proto_pgsql,
	NULL,
};
