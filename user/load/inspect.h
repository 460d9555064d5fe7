/* SPDX-License-Identifier: Apache-2.0 */
/* A closer look at one process than attaching needs: what doctor tells about a target. */
#ifndef LOAD_INSPECT_H
#define LOAD_INSPECT_H

#include "base/elffacts.h"
#include "load/target.h"

#define INSPECT_PORTS_MAX 32

struct inspection {
	struct target_proc proc;
	int memory_err; /* reading its memory: 0 or -errno */
	int exe_err; /* reading its program file */
	struct elf_facts exe; /* valid when exe_err is 0 */
	char tls[64]; /* TLS libraries it has mapped, "" = none */
	bool io_uring; /* it has one, whatever for */
	int fds_err; /* listing its descriptors; the fields below are valid when 0 */
	u16 ports[INSPECT_PORTS_MAX]; /* TCP ports it listens on, ascending */
	u32 nports;
	u32 unix_listening;
	u32 tcp_open; /* established connections */
	u32 unix_open;
	u32 children; /* processes below it */
};

/* 0, or -ESRCH when it is gone, -ENOMEM. */
int inspect(u32 pid, struct inspection *ret);
void inspection_release(struct inspection *i);

#endif
