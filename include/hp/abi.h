/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * The record header and the limits that both sides of the ring buffer agree on.
 *
 * Flow: bpf/ writes records that begin with struct ev_hdr into one ring buffer; the collector
 * (user/load, user/decode) copies them unchanged into the stream to the analyst and adds records of
 * its own; the analyst masks them and writes them to a capture. All three use the same layout, so
 * HP_ABI_VERSION is also the capture's major version.
 *
 * Layout rules: little endian, natural alignment, explicit padding, every record padded to 8 bytes.
 * Include types before this header: vmlinux.h in bpf/, <linux/types.h> in user/.
 */
#ifndef HP_ABI_H
#define HP_ABI_H

#define HP_ABI_VERSION 1

#define HP_RECORD_MAX (96 * 1024) /* bytes of the largest record, header included */
#define HP_PAYLOAD_MAX (64 * 1024) /* bytes of one syscall's data that a record may carry */
#define HP_HEAD_MAX (16 * 1024) /* bytes of an HTTP head that are worth carrying */
#define HP_TAIL_MAX 64 /* bytes kept from the end of a transfer that is not carried whole */
#define HP_SEGS_MAX 256 /* runs of carried bytes in one record */
#define HP_IOV_MAX 128 /* iovec entries looked at in one syscall */
#define HP_STACK_MAX 127 /* frames of one kernel or user stack */
#define HP_COMM_LEN 16
#define HP_PATH_MAX 108 /* sun_path */

/* Direction of bytes on a socket, seen from the target process. */
enum hp_dir {
	HP_RECV = 0,
	HP_SEND = 1,
};

/* Who connected: decides whether the target serves or calls on this connection. */
enum hp_role {
	HP_ROLE_UNKNOWN = 0,
	HP_ROLE_SERVER = 1, /* the target accepted it */
	HP_ROLE_CLIENT = 2, /* the target connected it */
};

/* Every record begins with this. */
struct ev_hdr {
	__u32 size; /* bytes of the whole record, header included, multiple of 8 */
	__u16 kind; /* enum ev_kind */
	__u16 target; /* index of the target, 0 = first named on the command line */
	__u32 tgid; /* process id in the PID namespace that hostprof runs in; 0 = none */
	__u32 tid;
	__u64 ts_ns; /* CLOCK_MONOTONIC */
};
_Static_assert(sizeof(struct ev_hdr) == 24, "struct ev_hdr is an ABI");

#endif
