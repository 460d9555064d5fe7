/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The back channel: typed, bounded requests from the analyst to the collector, one datagram each
 * over a SOCK_SEQPACKET pair. VERDICT has no answer; the others are answered in order with an error
 * number or, on success, a descriptor or a number. This is all that the process which parses hostile bytes can
 * ask of the privileged one.
 */
#ifndef DECODE_CHANNEL_H
#define DECODE_CHANNEL_H

#include "base/types.h"
#include "hp/events.h"

enum chan_type {
	CHAN_VERDICT = 1, /* conn_id, verdict */
	CHAN_OPEN_MAPPING, /* tgid, start, end, path, inode: the mapped file, read-only */
	CHAN_OPEN_KALLSYMS,
	CHAN_OPEN_DEBUG, /* tgid, path below /usr/lib/debug/ */
	/* With a descriptor: an image of unwind tables (hp/unwind.h). Answered with its number. */
	CHAN_UNWIND_TABLE,
	/*
	 * tgid, start, end, inode, table (0: by frame pointers), bias, flags: how a mapping is walked.
	 * Answered with 1; -ENOENT: the mapping has gone, or the table has.
	 */
	CHAN_UNWIND_MAP,
};

struct chan_request {
	u32 type; /* enum chan_type */
	u32 tgid;
	u64 conn_id;
	u64 start;
	u64 end;
	struct hp_verdict verdict;
	u64 inode;
	u64 bias; /* see struct uw_map */
	u32 table;
	u32 flags; /* enum uw_map_flags */
	char path[512]; /* NUL-terminated */
};

/* A socket pair; fds[0] is the collector's end. 0 or -errno. */
int chan_pair(int fds[2]);
/* Analyst: sends; 0 or -errno. */
int chan_send(int fd, const struct chan_request *req);
/* Analyst: sends and waits for the answer: a descriptor or -errno. */
int chan_call(int fd, const struct chan_request *req);
/* Analyst: sends with a descriptor (-1: none) and waits for the answer: a number > 0 or -errno. */
int chan_ask(int fd, const struct chan_request *req, int file);
/* Collector: 1 and *ret, 0 nothing there now, -EPIPE the analyst is gone, -EBADMSG not a request. */
int chan_receive(int fd, struct chan_request *ret);
/* The same, with the descriptor that came along, -1 = none; the caller closes it. */
int chan_receive_file(int fd, struct chan_request *ret, int *ret_file);
/* Collector: answers with file (not closed) or, when it is negative, with that errno. */
int chan_answer(int fd, int file);
/* Collector: answers with a number > 0 or -errno. */
int chan_answer_number(int fd, int number);

#endif
