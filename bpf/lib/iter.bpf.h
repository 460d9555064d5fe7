/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where the bytes of a message lie that has just been sent or received: backwards from where its
 * iterator stands now. User buffers are read later, from there; pages of the kernel's own are not.
 */
#ifndef BPF_ITER_H
#define BPF_ITER_H

#include "lib/xfer.bpf.h"

#define IOV_BACK_MAX 1024 /* UIO_MAXIOV */
#define IOV_BACK_STEPS 32

struct iov_iter___bits { /* up to 5.13: a bit a kind, the lowest is the direction */
	unsigned int type;
} __attribute__((preserve_access_index));

struct iov_iter___kind { /* 8cd54c1c8480 "iov_iter: separate direction from flavour" (5.14) */
	__u8 iter_type;
} __attribute__((preserve_access_index));

struct iov_iter___iov { /* up to 6.3 */
	const struct iovec *iov;
} __attribute__((preserve_access_index));

struct iov_iter___iov2 { /* de4f5fed3f23 "iov_iter: add iter_iovec() helper" (6.4) */
	const struct iovec *__iov;
} __attribute__((preserve_access_index));

struct iov_iter___ubuf { /* fcb14cb1bdac "new iov_iter flavour - ITER_UBUF" (6.0) */
	void *ubuf;
} __attribute__((preserve_access_index));

enum iter_type {
	ITER_IOVEC___hp,
	ITER_UBUF___hp,
};

enum iter_where {
	ITER_IN_KERNEL, /* pages: nothing to read */
	ITER_ONE, /* one user buffer */
	ITER_MANY, /* an array in kernel memory of user buffers */
};

#define iter_read(typed, type, it, field)                                                          \
	((typed) ? ((type *)(it))->field : BPF_CORE_READ((type *)(it), field))

static __always_inline enum iter_where iter_kind(struct iov_iter *it, bool typed)
{
	__u32 kind;

	if (bpf_core_field_exists(((struct iov_iter___bits *)0)->type)) {
		kind = iter_read(typed, struct iov_iter___bits, it, type);
		return kind & bpf_core_enum_value(enum iter_type, ITER_IOVEC___hp) ? ITER_MANY
										   : ITER_IN_KERNEL;
	}
	kind = iter_read(typed, struct iov_iter___kind, it, iter_type);
	if (bpf_core_enum_value_exists(enum iter_type, ITER_UBUF___hp) &&
	    kind == bpf_core_enum_value(enum iter_type, ITER_UBUF___hp))
		return ITER_ONE;
	return kind == bpf_core_enum_value(enum iter_type, ITER_IOVEC___hp) ? ITER_MANY
									    : ITER_IN_KERNEL;
}

/* Pointers are read as numbers: typed ones cannot be reckoned with. */
static __always_inline __u64 iter_iov(struct iov_iter *it)
{
	if (bpf_core_field_exists(((struct iov_iter___iov2 *)0)->__iov))
		return (__u64)BPF_CORE_READ((struct iov_iter___iov2 *)it, __iov);
	return (__u64)BPF_CORE_READ((struct iov_iter___iov *)it, iov);
}

/* One entry further back; true when the transfer began in it. */
static __always_inline bool iov_back_step(__u32 i, struct scratch *s)
{
	__u64 len = 0, at = s->x.iov - sizeof(struct iovec);

	if (bpf_probe_read_kernel(&len, sizeof(len), &((struct iovec *)at)->iov_len))
		return true;
	s->x.iov = at;
	s->x.iov_n++;
	s->x.iov_skip += len;
	return s->x.iov_skip >= s->x.total;
}

LOOP_SLOT(iov_back, iov_back_step, IOV_BACK_STEPS)

/*
 * Fills base, or iov, for the last s->x.total bytes that the iterator has passed. An iterator that ended
 * an entry stands at the next one; entries without bytes count like others.
 */
static __always_inline void iter_find(__u32 slot, struct scratch *s, struct msghdr *msg, bool typed,
				      __u32 moved)
{
	struct iov_iter *it = &msg->msg_iter;
	enum iter_where where = iter_kind(it, typed);
	__u64 off;

	if (where == ITER_IN_KERNEL) {
		s->x.flags |= HP_DATA_OPAQUE;
		return;
	}
	off = iter_read(typed, struct iov_iter, it, iov_offset);
	if (where == ITER_ONE) {
		s->x.base = (__u64)BPF_CORE_READ((struct iov_iter___ubuf *)it, ubuf) + off - moved;
		return;
	}
	s->x.iov = iter_iov(it);
	s->x.iov_kernel = 1;
	s->x.iov_n = off != 0;
	s->x.iov_skip = off;
	if (off < moved)
		LOOP_SLOT_RUN(iov_back, slot, IOV_BACK_MAX, IOV_BACK_MAX, IOV_BACK_STEPS);
	if (s->x.iov_skip < moved) {
		/* Not where it was taken for. */
		s->x.flags |= HP_DATA_OPAQUE | HP_DATA_FAULT;
		s->x.iov = 0;
		drop(DROP_READ_FAULT);
		return;
	}
	s->x.iov_skip -= moved;
}

#endif
