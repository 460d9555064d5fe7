/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the socket table share: a machine under the verdict that applies before any
 * other, descriptors of the usual kinds, and the records as they came.
 */
#ifndef HOSTBPF_EVENTS_H
#define HOSTBPF_EVENTS_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include "base/types.h"
#include "load/verdicts.h"
#include "machine.h"

enum tcp_state {
	ESTABLISHED = 1,
	SYN_SENT = 2,
	SYN_RECV = 3,
	FIN_WAIT1 = 4,
	CLOSED = 7,
	LISTEN = 10
};

#define O_NONBLOCK_BIT 04000
#define RESTARTSYS 512

static u8 page[4096];

static inline void begin(void)
{
	mach_reset(0);
	mach_profile(0, &verdict_default);
	mach_user(page, sizeof(page));
}

static inline u32 count(u16 kind)
{
	u32 i, n = 0;

	for (i = 0; i < mach_records(); i++)
		n += mach_record(i)->kind == kind;
	return n;
}

/* The nth record of that kind, from 0. */
static inline void *nth(u16 kind, u32 n)
{
	u32 i;

	for (i = 0; i < mach_records(); i++)
		if (mach_record(i)->kind == kind && !n--)
			return mach_record(i);
	fail_msg("no such record");
	return NULL;
}

static inline void send_bytes(int fd, u32 n)
{
	mach_call(NR_WRITE, n, fd, (u64)page, n, 0);
}

static inline void recv_bytes(int fd, u32 n)
{
	mach_arrive(fd, n);
	mach_taken(fd, n);
	mach_call(NR_READ, n, fd, (u64)page, sizeof(page), 0);
}

static inline int tcp_pair(void)
{
	int fd = mach_socket(AF_INET, ESTABLISHED);

	mach_addr(fd, 40000, 5432);
	return fd;
}

static inline int unix_client(const char *name)
{
	int fd = mach_socket(AF_UNIX, ESTABLISHED), peer = mach_socket(AF_UNIX, ESTABLISHED);

	mach_bind_name(peer, name, strlen(name) + 1);
	mach_peer(fd, peer);
	return fd;
}

static inline void state_is(u32 n, u8 what, s32 err)
{
	const struct ev_conn_state *ev = nth(EV_CONN_STATE, n);

	assert_int_equal(ev->what, what);
	assert_int_equal(ev->err, err);
}

static inline void tcp_close(int fd, u8 state)
{
	mach_release(fd);
	mach_shut(fd, 3);
	mach_tcp_state(fd, ESTABLISHED, state);
}

#endif
