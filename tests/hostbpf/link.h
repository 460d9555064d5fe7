/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection of the tests: what truly went over it, moved by system calls in pieces, against
 * what the records say of it.
 *
 * link_collect() takes the machine's records and asserts what must hold for any traffic: each passes
 * record_check(), positions follow each other without overlap or hole, carried bytes are the true
 * ones. What a test then asks is which bytes were carried, and what was counted in the holes.
 */
#ifndef HOSTBPF_LINK_H
#define HOSTBPF_LINK_H

#include "base/types.h"
#include "machine.h"

struct hole {
	u64 pos;
	u64 len;
	u32 frames;
};

struct way { /* one direction */
	u8 *bytes; /* the truth */
	u64 n;
	u64 room;
	u64 moved; /* of them, by system calls so far */
	u64 seen; /* position that the records have come to */
	u8 *carried; /* 1: a record brought this byte */
	struct hole *holes; /* neighbours merged */
	u32 nholes;
	u32 holes_room;
	u32 datas; /* records */
	u32 conts;
	u64 calls; /* transfers that CONT records stand for */
};

struct link {
	int fd;
	u64 conn_id;
	u64 seed;
	struct way way[2];
	u32 opens;
	u32 closes;
	u64 close_bytes[2];
	bool lossy; /* records may be missing */
};

u32 link_random(struct link *l, u32 below);
/* A connected TCP socket known to the probes, and its link. */
void link_open(struct link *l, u64 seed);
void link_close(struct link *l);
void link_add(struct link *l, u32 dir, const void *p, size_t n);
/* The next n true bytes are moved by one call: nr of enum mach_nr. niov > 1: cut into so many. */
void link_move(struct link *l, u32 dir, u32 n, long nr, u32 niov);
void link_collect(struct link *l);
/* What the machine held back, too; then every byte moved must be accounted for. */
void link_end(struct link *l);
bool link_carried(const struct way *w, u64 pos, u64 len); /* all of it */
u64 link_frames(const struct way *w);

#endif
