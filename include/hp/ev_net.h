/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Socket records. A connection is named by conn_id, given out once by the kernel side and never
 * reused; the socket's address stays in the kernel. Each direction has a byte position that starts
 * at 0 with the first byte seen, so user space can rebuild the stream and see what is missing.
 */
#ifndef HP_EV_NET_H
#define HP_EV_NET_H

/* How hostprof learned of the connection. */
enum hp_origin {
	HP_ORIGIN_ACCEPT = 1, /* saw accept() return it */
	HP_ORIGIN_CONNECT = 2, /* saw connect() */
	HP_ORIGIN_SEED = 3, /* open before attach, found by walking the file table */
	HP_ORIGIN_LAZY = 4, /* open before attach or passed in, found at its first transfer */
};

struct ev_conn_open {
	struct ev_hdr hdr; /* ts_ns: accept() return, connect() entry, or when found */
	__u64 conn_id;
	__u64 established_ns; /* handshake done; 0 = not seen */
	__u8 role; /* enum hp_role */
	__u8 origin; /* enum hp_origin */
	__u8 listening; /* 1: a listening socket, no transfers will follow */
	__u8 owes; /* 1: found so, what came last came from the peer, and nothing was sent since */
	__u16 family; /* AF_INET, AF_INET6, AF_UNIX */
	__u16 sock_type; /* SOCK_STREAM, … */
	__u16 local_port; /* host order */
	__u16 peer_port;
	__u32 netns; /* inode number of the network namespace */
	__u8 local_addr[16]; /* IPv4 in the first four bytes */
	__u8 peer_addr[16];
	char path[HP_PATH_MAX]; /* AF_UNIX: the bound name of either end; '@' first = abstract */
	__u32 inode;
};

enum hp_conn_what {
	HP_CONN_ESTABLISHED = 1, /* connect() finished: ts_ns is when */
	HP_CONN_FAILED = 2, /* connect() failed: err */
	HP_CONN_EOF = 3, /* recv returned 0: the peer closed its half */
	HP_CONN_SHUT_WR = 4, /* the target closed its sending half */
	HP_CONN_ERROR = 5, /* a transfer failed with err (ECONNRESET, EPIPE, …) */
	HP_CONN_UNREAD = 6, /* at the window's end: what came at ts_ns lies there unread */
};

struct ev_conn_state {
	struct ev_hdr hdr;
	__u64 conn_id;
	__u8 what; /* enum hp_conn_what */
	__u8 pad0;
	__u16 local_port; /* ESTABLISHED: the port that connect() chose */
	__s32 err; /* positive errno */
};

/* CONN_CLOSE, and CONN_BYTES for connections that are still open when the window ends. */
struct ev_conn_close {
	struct ev_hdr hdr; /* ts_ns: the last close() of it, or the socket's end */
	__u64 conn_id;
	__u64 bytes[2]; /* final position per enum hp_dir */
};

/* A run of carried bytes inside the transfer. Its bytes follow it, padded to 8. */
struct ev_seg {
	__u32 off; /* from the transfer's first byte */
	__u32 len;
	__u32 frames_before; /* whole skipped frames (rows) in the hole before this run */
	__u32 pad0;
};

enum hp_data_flags {
	HP_DATA_FAULT = 1, /* some of the buffer could not be read */
	HP_DATA_OPAQUE = 2, /* moved inside the kernel (sendfile, splice): no bytes to read */
	HP_DATA_NONBLOCK = 4, /* sends: the call could not have slept */
};

/*
 * One transfer: what one syscall (one message of sendmmsg) moved. nsegs runs follow, each a struct
 * ev_seg and its bytes, ascending and without overlap. Holes between runs and after the last are
 * bytes that were moved but not carried; frames_after counts the frames skipped after the last run.
 */
struct ev_data {
	struct ev_hdr hdr; /* ts_ns: syscall exit */
	__u64 conn_id;
	__u64 pos; /* stream position of the transfer's first byte */
	__u64 enter_ns; /* syscall entry for sends; 0 = not taken */
	/*
	 * Receives: when the first byte became readable; on connections that the target opened, the last.
	 * Sends: when TCP passed its latest segment on. 0 = not seen.
	 */
	__u64 wire_ns;
	__u32 len; /* bytes moved */
	__u32 frames_after;
	__u16 nsegs;
	__u8 dir; /* enum hp_dir */
	__u8 flags; /* enum hp_data_flags */
	__u32 token; /* sends: whose work it is, see hp/ev_task.h; 0 = not known */
};

/* Several transfers of one direction of which nothing but the last bytes is worth carrying. */
struct ev_cont {
	struct ev_hdr hdr; /* ts_ns: exit of the last of them */
	__u64 conn_id;
	__u64 pos;
	__u64 len; /* bytes, tail included */
	__u64 first_ns; /* exit of the first of them */
	__u64 enter_ns; /* entry of the last of them; 0 = not taken */
	__u64 wire_ns; /* as in struct ev_data, of the last of them */
	__u32 calls;
	__u32 frames; /* whole frames (rows) skipped */
	__u8 dir;
	__u8 tail_len; /* bytes of tail[], the last bytes of the run */
	__u8 flags; /* enum hp_data_flags of the last of them */
	__u8 pad0;
	__u32 last_len; /* bytes of the last of them */
	__u8 tail[HP_TAIL_MAX];
};

enum hp_capture {
	HP_CAPTURE_DEFAULT = 0, /* no verdict yet: whole up to a budget, then heads only */
	HP_CAPTURE_BYTES = 1, /* by limits below */
	HP_CAPTURE_COUNT = 2, /* byte counts only, in CONT records */
	HP_CAPTURE_IGNORE = 3, /* nothing until it closes */
};

/*
 * Frames with a one-byte type and a four-byte big-endian length that counts itself (PostgreSQL);
 * layout given as data so that a new protocol needs no kernel change.
 */
struct hp_frames {
	__u8 on; /* 0: no frames in this direction */
	__u8 type_off;
	__u8 len_off;
	__u8 len_size; /* 1, 2, 3 or 4 bytes */
	__u8 little_endian;
	__u8 hdr_len; /* bytes before the length's own count starts: total = hdr_len + length */
	__u8 pad0[2];
	__u32 whole_max; /* transfers up to this are carried whole without a walk */
	__u32 body_max; /* bytes carried of a frame that is neither skipped nor head-only */
	__u32 head_only_max; /* bytes carried of a head-only frame */
	__u8 end_len; /* a transfer whose last bytes match end ends a turn: the next is aligned */
	__u8 pad1[7];
	__u8 end[8];
	__u8 end_mask[8];
	__u32 skip[8]; /* bitmap of types that are only counted */
	__u32 head_only[8]; /* bitmap of types of which only the start is carried */
};

/* The analyst's answer for a connection: how much of each direction to carry. */
struct hp_verdict {
	__u8 capture; /* enum hp_capture */
	__u8 pad0[3];
	__u32 turn_max[2]; /* bytes of the first transfer after the direction turned */
	__u32 more_max[2]; /* bytes of the following ones; longer ones become CONT */
	__u32 iov_max[2]; /* bytes from each iovec entry after the first */
	__u8 start_len[2]; /* a transfer that begins with start[] counts as the first of a turn */
	__u8 pad1[6];
	__u8 start[2][8];
	struct hp_frames frames[2];
};

#endif
