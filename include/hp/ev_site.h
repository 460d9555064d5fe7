/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * Where in the program bytes were sent: the innermost frames of a thread that sends on a connection it
 * opened. Of a sample of the sends: of each process, the first SITE_CERTAIN that begin alike are taken, and of
 * the others one in SITE_EVERY, drawn at random. Each record says how many sends it stands for, so sums of
 * weights are unbiased whatever was taken for sure.
 *
 * A record is joined to the call whose first byte it sent by the position in the stream, not by time. What
 * uvloop is given it sends later, from its loop: there the record is made when it is given the bytes.
 */
#ifndef HP_EV_SITE_H
#define HP_EV_SITE_H

#define HP_SITE_FRAMES 40 /* the innermost ones; SQLAlchemy alone puts 12 in front of the caller */
#define SITE_CERTAIN 16
#define SITE_EVERY 16 /* a power of two */
#define SITE_CERTAIN_MAX 1000 /* taken for sure in a second, on each processor */
#define SITE_HEAD 101 /* bytes that sends are told apart by: five of a header, and 12 words */

/* nframes struct ev_frame follow, innermost first. It comes before the record of the transfer. */
struct ev_site {
	struct ev_hdr hdr;
	__u64 conn_id;
	__u64 pos; /* stream position of the first byte */
	__u32 len; /* calls that begin in so many bytes are of this place; 0: one that begins at pos */
	__u32 weight; /* sends that it stands for */
	__u16 nframes;
	__u8 stop; /* enum uw_stop: UW_STOP_DEPTH, UW_STOP_PYTHON, or UW_STOP_END */
	__u8 pad0[5];
};

#endif
