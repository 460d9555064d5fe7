/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call tracepoints, one for each call that can move bytes on a socket. A program on these
 * runs for those calls only; the raw sys_enter/sys_exit pair runs it for every call on the host,
 * which on nginx was 25 program runs a request against 5.
 */
#ifndef LOAD_SYSPROBES_H
#define LOAD_SYSPROBES_H

#include "base/types.h"

struct bpf_program;
struct bpf_link;

#define SYSPROBES_MAX 48

struct sysprobes {
	struct bpf_link *links[SYSPROBES_MAX];
	u32 n;
};

/*
 * Numbers of the tracepoints. Where tracefs is not mounted, a short-lived child mounts it in a mount
 * namespace of its own and reads them there: nothing changes for anyone else. 0, -ENOENT when the
 * kernel has no system call tracepoints, -EACCES when tracefs cannot be read, -errno.
 */
struct sysprobe_ids {
	s32 id[SYSPROBES_MAX]; /* by row of the table in sysprobes.c; -1 = no such tracepoint */
};
int sysprobe_ids_read(struct sysprobe_ids *ret);

enum sysprobe_group {
	SYSPROBES_CALLS, /* accept, connect, shutdown */
	SYSPROBES_TRANSFERS, /* exits of everything that moves bytes */
	/*
	 * Entries of sends and closes: only needed for unix sockets, since TCP tells itself when a
	 * segment left and when a socket closed.
	 */
	SYSPROBES_UNIX,
};

/* Attaches a group, adding to what is attached already. On failure nothing more is attached. */
int sysprobes_attach(struct sysprobes *s, const struct sysprobe_ids *ids, enum sysprobe_group group,
		     struct bpf_program *enter, struct bpf_program *exit_prog);
void sysprobes_detach(struct sysprobes *s);

#endif
