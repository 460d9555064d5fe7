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
#include "hp/python.h"

enum chan_type {
	CHAN_VERDICT = 1, /* conn_id, verdict */
	CHAN_OPEN_MAPPING, /* tgid, start, end, path, inode: the mapped file, read-only */
	CHAN_OPEN_KALLSYMS,
	CHAN_OPEN_DEBUG, /* tgid, path below /usr/lib/debug/ */
	/* With a descriptor: an image of unwind tables (hp/unwind.h). Answered with its number. */
	CHAN_UNWIND_TABLE,
	/*
	 * tgid, start, end, inode, table (0: by frame pointers), bias, flags, word: how a mapping is walked.
	 * Answered with 1; -ENOENT: the mapping has gone, or the table has.
	 */
	CHAN_UNWIND_MAP,
	/* tgid, python: the interpreter that the process runs. Answered with 1. */
	CHAN_PYTHON,
	CHAN_OPEN_PERF_MAP, /* tgid: what the process wrote of its generated code */
	/* tgid, start, end: so many bytes of a target's memory, at most CHAN_READ_MAX. */
	CHAN_READ_MEMORY,
	/*
	 * tgid, start, end, path, inode: a mapped file; sites: offsets in it of functions that Python's
	 * work changes hands in, 0 = none. No answer.
	 */
	CHAN_PROBE,
	/* tgid, word, through: what frames of code that has no file say of themselves. Answered with 1. */
	CHAN_CODE,
	CHAN_PY_WORKER, /* tgid, start (code), bias (local), flags (kind): struct py_worker. No answer. */
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
	s8 word; /* see struct uw_map */
	u64 sites[PY_SITES];
	u8 through; /* likewise */
	union {
		char path[512]; /* NUL-terminated */
		struct py_runtime python;
	};
};

#define CHAN_READ_MAX 4096

/* A socket pair; fds[0] is the collector's end. 0 or -errno. */
int chan_pair(int fds[2]);
/* Analyst: sends; 0 or -errno. */
int chan_send(int fd, const struct chan_request *req);
/* Analyst: sends and waits for the answer: a descriptor or -errno. */
int chan_call(int fd, const struct chan_request *req);
/* Analyst: sends with a descriptor (-1: none) and waits for the answer: a number > 0 or -errno. */
int chan_ask(int fd, const struct chan_request *req, int file);
/* Analyst: n bytes at addr of a target's memory, all of them: 0 or -errno. */
int chan_read(int fd, u32 tgid, u64 addr, void *buf, size_t n);
/* Collector: 1 and *ret, 0 nothing there now, -EPIPE the analyst is gone, -EBADMSG not a request. */
int chan_receive(int fd, struct chan_request *ret);
/* The same, with the descriptor that came along, -1 = none; the caller closes it. */
int chan_receive_file(int fd, struct chan_request *ret, int *ret_file);
/* Collector: answers with file (not closed) or, when it is negative, with that errno. */
int chan_answer(int fd, int file);
/* Collector: answers with a number > 0 or -errno. */
int chan_answer_number(int fd, int number);
/* Collector: answers with n bytes. */
int chan_answer_bytes(int fd, const void *p, size_t n);

#endif
