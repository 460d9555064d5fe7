/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The socket table: from a file descriptor to the kernel's socket, and from that to the connection.
 *
 * The key is the struct sock address, never the descriptor: descriptors are reused, duplicated and
 * inherited. An entry ends when TCP reports the socket closed, or when its last descriptor is
 * closed; a struct sock that was reused without either shows by its struct socket.
 */
#ifndef BPF_SOCK_H
#define BPF_SOCK_H

#include "lib/maps.bpf.h"
#include "lib/read.bpf.h"
#include "lib/fixes.bpf.h"

extern __u64 verdict_epoch; /* user space adds one whenever it writes m_verdicts */
/*
 * Set when every probe is attached. Before, receives may be seen and the sends between them not, and
 * answers would be taken for those of other requests.
 */
extern __u32 live;

/*
 * Counts of table entries by a hash of their key: tells for nearly every other socket of the host,
 * from one cached load, that it is not in the table. Two connections may share a count.
 */
#define SOCK_FILTER_SLOTS 8192
extern __u32 sock_filter[SOCK_FILTER_SLOTS];

static __always_inline __u32 *sock_filter_slot(struct sock *sk)
{
	/* A struct sock is over 1 KiB long and 64-byte aligned. */
	__u64 h = ((__u64)sk >> 6) * 0x9e3779b97f4a7c15ULL;

	return &sock_filter[(h >> 40) & (SOCK_FILTER_SLOTS - 1)];
}

static __always_inline bool sock_maybe(struct sock *sk)
{
	return *sock_filter_slot(sk) != 0;
}

struct sock_ref {
	struct sock *sk;
	struct socket *socket;
	struct file *file;
};

/* The descriptor table of the current task: typed loads where the task comes typed (5.11+). */
static __always_inline struct file **fd_table(__u32 *ret_max)
{
	struct task_struct *task;
	struct fdtable *fdt;

	if (cfg_task_btf) {
		task = bpf_get_current_task_btf();
		fdt = task->files->fdt;
		*ret_max = fdt->max_fds;
		return fdt->fd;
	}
	task = (void *)bpf_get_current_task();
	fdt = BPF_CORE_READ(task, files, fdt);
	*ret_max = BPF_CORE_READ(fdt, max_fds);
	return BPF_CORE_READ(fdt, fd);
}

/* fd → socket of the current task; false when it is none. typed: see lib/read.bpf.h. */
static __always_inline bool sock_of_fd_by(__u32 fd, struct sock_ref *ret, bool typed)
{
	struct file **fds, *file;
	struct socket *socket;
	__u32 max;

	fds = fd_table(&max);
	if (fd >= NFDBITS_MAX || fd >= max)
		return false;
	file = (void *)read_word(typed, fds + fd);
	if (!file)
		return false;
	/* A file that is no socket has no struct socket that points back at it. */
	socket = read_ptr(typed, struct file, file, private_data);
	if (!socket)
		return false;
	if (read_ptr(typed, struct socket, socket, file) != file)
		return false;
	ret->sk = read_ptr(typed, struct socket, socket, sk);
	ret->socket = socket;
	ret->file = file;
	return ret->sk != NULL;
}

static __always_inline bool sock_of_fd(__u32 fd, struct sock_ref *ret)
{
	return sock_of_fd_by(fd, ret, false);
}

static __always_inline struct sock_state *sock_find(struct sock *sk)
{
	__u64 key = (__u64)sk;

	return bpf_map_lookup_elem(&m_socks, &key);
}

static __always_inline void sock_forget(struct sock *sk, __u64 conn_id)
{
	__u64 key = (__u64)sk;

	bpf_map_delete_elem(&m_verdicts, &conn_id);
	if (!bpf_map_delete_elem(&m_socks, &key))
		__sync_fetch_and_sub(sock_filter_slot(sk), 1);
}

static __always_inline __u64 conn_id_new(__u64 now)
{
	return (now << 6) | (bpf_get_smp_processor_id() & 63);
}

static __always_inline void read_unix_name(struct sock *sk, char *path)
{
	struct unix_address *addr = BPF_CORE_READ((struct unix_sock *)sk, addr);
	__u32 len;

	if (!addr)
		return;
	len = BPF_CORE_READ(addr, len);
	if (len <= 2)
		return;
	len -= 2; /* sun_family */
	if (len > HP_PATH_MAX)
		len = HP_PATH_MAX;
	bpf_probe_read_kernel(path, len, __builtin_preserve_access_index(&addr->name[0].sun_path));
	if (!path[0])
		path[0] = '@';
}

static __always_inline __u16 bswap16(__u16 v)
{
	return (__u16)(v << 8 | v >> 8);
}

static __always_inline __u32 sock_netns(struct sock *sk)
{
	return BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
}

static __always_inline __u16 *listen_find(struct sock *sk)
{
	struct listen_key key = {};

	key.netns = sock_netns(sk);
	key.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	return bpf_map_lookup_elem(&m_listen, &key);
}

/* Is there something in a unix socket's receive queue? */
static __always_inline bool unix_unread(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_receive_queue.qlen) != 0;
}

/* The number of the socket's inode: never the same again, unlike the memory it lives in. */
static __always_inline __u32 socket_inode(struct socket *socket)
{
	return socket ? (__u32)BPF_CORE_READ(socket, file, f_inode, i_ino) : 0;
}

/*
 * Is the entry that of this socket? TCP tells when a struct sock ends. Nobody does for a unix socket
 * that ended with its process, and the next one often gets both of its structures.
 */
static __always_inline bool sock_same(const struct sock_state *ss, const struct sock_ref *ref)
{
	struct file *file = ref->file;

	if (ss->socket != (__u64)ref->socket)
		return false;
	return ss->family != AF_UNIX || ss->inode == (__u32)BPF_CORE_READ(file, f_inode, i_ino);
}

/*
 * What lies unread in a TCP socket that becomes known only now came no later than TCP last looked at the
 * clock for it; its delayed ACK, milliseconds later, looks too. tcp_clock_cache: d3edd06ea8ea (4.20).
 */
static __always_inline void sock_seed_arrival(struct sock_state *ss, struct sock *sk)
{
	struct tcp_sock *tp = (void *)sk;
	__u64 clock_ns;

	ss->taken_seq = BPF_CORE_READ(tp, copied_seq);
	ss->sent_seq = BPF_CORE_READ(tp, write_seq);
	ss->arrival_seq = BPF_CORE_READ(tp, rcv_nxt);
	clock_ns = BPF_CORE_READ(tp, tcp_clock_cache);
	if (ss->arrival_seq == ss->taken_seq || clock_ns > ss->open_ns)
		return;
	ss->arrival_ns = clock_ns;
	ss->arrival_last_ns = clock_ns;
}

/*
 * Does the peer wait for an answer? Of what went over the socket so far TCP knows how much, and when last, in
 * ticks of some milliseconds. In the same tick: snd_wl1 is where the last segment began that had news; an
 * acknowledgement of the answer begins where the data ends, a request before it. bytes_sent: ba113c3aa79a (4.19).
 */
static __always_inline bool sock_owes(struct sock *sk)
{
	struct inet_connection_sock *icsk = (void *)sk;
	struct tcp_sock *tp = (void *)sk;
	__s32 later;

	if (!BPF_CORE_READ(tp, bytes_received))
		return false;
	if (!BPF_CORE_READ(tp, bytes_sent))
		return true;
	later = BPF_CORE_READ(icsk, icsk_ack.lrcvtime) - BPF_CORE_READ(tp, lsndtime);
	if (later)
		return later > 0;
	return BPF_CORE_READ(tp, snd_una) == BPF_CORE_READ(tp, write_seq) &&
	       BPF_CORE_READ(tp, snd_wl1) != BPF_CORE_READ(tp, rcv_nxt);
}

/* Who is who on a unix connection: the end with a name serves. A socketpair has none: DEAF. */
static __always_inline __u32 unix_role(struct sock *sk, __u8 origin, __u8 *flags)
{
	struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);

	if (BPF_CORE_READ((struct unix_sock *)sk, addr))
		return HP_ROLE_SERVER;
	if (peer && BPF_CORE_READ((struct unix_sock *)peer, addr))
		return HP_ROLE_CLIENT;
	if (origin != HP_ORIGIN_CONNECT)
		*flags |= SOCK_DEAF; /* the process talks to itself */
	return HP_ROLE_UNKNOWN;
}

/* A new entry is filled where it lies: on the stack it would take most of the 512 bytes there are. */
static const struct sock_state sock_fresh;

/*
 * Adds a connection. Returns its state, or NULL when it is not one hostprof follows (no stream) or
 * the table is full.
 */
static __noinline struct sock_state *sock_track(struct sock *sk, struct socket *socket, __u32 role,
						__u32 origin_target)
{
	__u16 family = BPF_CORE_READ(sk, __sk_common.skc_family);
	struct sock_state *ss;
	__u64 key = (__u64)sk;

	if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return NULL;
	if (family != AF_INET && family != AF_INET6 && family != AF_UNIX)
		return NULL;
	if (!bpf_map_update_elem(&m_socks, &key, &sock_fresh, BPF_NOEXIST)) {
		__sync_fetch_and_add(sock_filter_slot(sk), 1);
	} else if (bpf_map_update_elem(&m_socks, &key, &sock_fresh, BPF_EXIST)) {
		/* Not a stale entry: no room. */
		drop(DROP_SOCK_TABLE_FULL);
		return NULL;
	}
	ss = bpf_map_lookup_elem(&m_socks, &key);
	if (!ss)
		return NULL;
	ss->open_ns = bpf_ktime_get_ns();
	ss->conn_id = conn_id_new(ss->open_ns);
	ss->socket = (__u64)socket;
	ss->inode = socket_inode(socket);
	ss->family = family;
	ss->origin = origin_target >> 16;
	ss->target = origin_target & 0xffff;
	ss->flags = live ? SOCK_NEW_TURN : SOCK_NEW_TURN | SOCK_EARLY;
	if (role == HP_ROLE_UNKNOWN) {
		if (family == AF_UNIX)
			role = unix_role(sk, ss->origin, &ss->flags);
		else
			role = listen_find(sk) ? HP_ROLE_SERVER : HP_ROLE_CLIENT;
	}
	ss->role = role;
	if (family != AF_UNIX)
		sock_seed_arrival(ss, sk);
	return ss;
}

static __always_inline void ev_hdr_set(struct ev_hdr *hdr, __u32 size, __u16 kind, __u16 target,
				       __u64 pid_tgid, __u64 ts_ns)
{
	hdr->size = size;
	hdr->kind = kind;
	hdr->target = target;
	hdr->tgid = pid_tgid >> 32;
	hdr->tid = (__u32)pid_tgid;
	hdr->ts_ns = ts_ns;
}

/* Sends CONN_OPEN with the addresses the socket has now. */
static __noinline int sock_announce(struct sock *sk, struct sock_state *ss, __u64 pid_tgid,
				    __u64 ts_ns)
{
	struct ev_conn_open *ev;

	if (!ss || !sk)
		return 0;
	ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);
	if (!ev) {
		drop(DROP_RING_FULL);
		return 0;
	}
	/* Only now: without room the next transfer tries again. */
	ss->flags |= SOCK_ANNOUNCED;
	__builtin_memset(ev, 0, sizeof(*ev));
	ev_hdr_set(&ev->hdr, sizeof(*ev), EV_CONN_OPEN, ss->target, pid_tgid, ts_ns);
	ev->conn_id = ss->conn_id;
	ev->established_ns = ss->established_ns;
	ev->role = ss->role;
	ev->origin = ss->origin;
	ev->family = ss->family;
	ev->sock_type = SOCK_STREAM;
	ev->netns = sock_netns(sk);
	ev->inode = ss->inode;
	if (ss->family == AF_UNIX) {
		struct sock *peer = BPF_CORE_READ((struct unix_sock *)sk, peer);

		read_unix_name(sk, ev->path);
		if (!ev->path[0] && peer)
			read_unix_name(peer, ev->path);
	} else {
		ev->owes = ss->origin == HP_ORIGIN_SEED && sock_owes(sk);
		ev->local_port = BPF_CORE_READ(sk, __sk_common.skc_num);
		ev->peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
		ev->peer_port = bswap16(ev->peer_port ? ev->peer_port : ss->peer_port);
		if (ss->family == AF_INET) {
			BPF_CORE_READ_INTO((__u32 *)ev->local_addr, sk, __sk_common.skc_rcv_saddr);
			BPF_CORE_READ_INTO((__u32 *)ev->peer_addr, sk, __sk_common.skc_daddr);
		} else {
			BPF_CORE_READ_INTO(&ev->local_addr, sk,
					   __sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8);
			BPF_CORE_READ_INTO(&ev->peer_addr, sk,
					   __sk_common.skc_v6_daddr.in6_u.u6_addr8);
		}
	}
	/* Sends on unix sockets need their entry: user space attaches that probe when one shows up. */
	bpf_ringbuf_submit(ev, ss->family == AF_UNIX ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}

static __always_inline void emit_conn_state(struct sock_state *ss, __u64 pid_tgid, __u64 ts_ns,
					    __u8 what, __s32 err, __u16 local_port)
{
	struct ev_conn_state *ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);

	if (!ev) {
		drop(DROP_RING_FULL);
		return;
	}
	ev_hdr_set(&ev->hdr, sizeof(*ev), EV_CONN_STATE, ss->target, pid_tgid, ts_ns);
	ev->conn_id = ss->conn_id;
	ev->what = what;
	ev->pad0 = 0;
	ev->local_port = local_port;
	ev->err = err;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

/* Sends what was held back, so that the stream is complete up to here. */
static __always_inline void cont_flush(struct sock_state *ss)
{
	struct cont_state *c = &ss->cont;
	struct ev_cont *ev;

	if (!c->calls)
		return;
	ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);
	if (!ev) {
		drop(DROP_RING_FULL);
		c->calls = 0;
		return;
	}
	ev_hdr_set(&ev->hdr, sizeof(*ev), EV_CONT, ss->target, (__u64)c->tgid << 32 | c->tid,
		   c->last_ns);
	ev->conn_id = ss->conn_id;
	ev->pos = c->pos;
	ev->len = c->len;
	ev->first_ns = c->first_ns;
	ev->enter_ns = c->enter_ns;
	ev->wire_ns = c->wire_ns;
	ev->calls = c->calls;
	ev->frames = c->frames;
	ev->dir = c->dir;
	ev->tail_len = c->tail_len;
	ev->flags = c->flags;
	ev->pad0 = 0;
	ev->last_len = c->last_len;
	__builtin_memcpy(ev->tail, c->tail, sizeof(ev->tail));
	c->calls = 0;
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

static __always_inline void emit_conn_close(struct sock_state *ss, __u64 pid_tgid, __u64 ts_ns)
{
	struct ev_conn_close *ev = bpf_ringbuf_reserve(&m_events, sizeof(*ev), 0);

	if (!ev) {
		drop(DROP_RING_FULL);
		return;
	}
	ev_hdr_set(&ev->hdr, sizeof(*ev), EV_CONN_CLOSE, ss->target, pid_tgid, ts_ns);
	ev->conn_id = ss->conn_id;
	ev->bytes[0] = ss->pos[0];
	ev->bytes[1] = ss->pos[1];
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
}

/* More than the one number that an end of the stream takes: bytes that nobody was seen to move. */
static __always_inline void sock_unseen(struct sock *sk, const struct sock_state *ss)
{
	struct tcp_sock *tp = (void *)sk;

	/* Before the handshake is done the numbers are not those of the stream. */
	if (!live || ss->family == AF_UNIX || ss->flags & SOCK_EARLY ||
	    (ss->origin == HP_ORIGIN_CONNECT && !ss->established_ns))
		return;
	if ((__s32)(BPF_CORE_READ(tp, copied_seq) - ss->taken_seq) > 1)
		drop(DROP_UNSEEN);
	if ((__s32)(BPF_CORE_READ(tp, write_seq) - ss->sent_seq) > 1)
		drop(DROP_UNSEEN);
}

/* The connection is over: what is held back goes out, then its end, then it is forgotten. */
static __always_inline void sock_end(struct sock *sk, struct sock_state *ss, __u64 pid_tgid,
				     __u64 now)
{
	if (ss->flags & SOCK_ANNOUNCED) {
		sock_unseen(sk, ss);
		cont_flush(ss);
		emit_conn_close(ss, pid_tgid, now);
	}
	sock_forget(sk, ss->conn_id);
}

/* A transfer found the end of what the peer sent (err 0), or failed. Each is said once. */
static __always_inline void sock_trouble(struct sock_state *ss, __u32 err, __u64 pid_tgid,
					 __u64 now)
{
	__u8 flag = err ? SOCK_ERROR_SENT : SOCK_EOF_SENT;

	if (!(ss->flags & SOCK_ANNOUNCED) || ss->flags & flag)
		return;
	ss->flags |= flag;
	cont_flush(ss);
	emit_conn_state(ss, pid_tgid, now, err ? HP_CONN_ERROR : HP_CONN_EOF, err, 0);
}

/* The connection of a descriptor, when this process is known to have used it before. */
static __always_inline struct sock_state *sock_known(struct sock_ref *ref, __u32 tgid)
{
	struct sock_state *ss = sock_find(ref->sk);

	if (!ss || ss->tgid != tgid || !sock_same(ss, ref) ||
	    (ss->flags & (SOCK_ANNOUNCED | SOCK_DEAF)) != SOCK_ANNOUNCED)
		return NULL;
	return ss;
}

/* The connection of a descriptor used by a target's syscall; added when it is new here. */
static __always_inline struct sock_state *sock_get(struct sock_ref *ref, __u16 target,
						   __u64 pid_tgid, __u64 now)
{
	struct sock *sk = ref->sk;
	struct sock_state *ss = sock_find(sk);

	if (ss && ss->socket && !sock_same(ss, ref)) {
		sock_end(sk, ss, pid_tgid, now);
		ss = NULL;
	}
	if (!ss) {
		if (BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
			return NULL;
		ss = sock_track(sk, ref->socket, HP_ROLE_UNKNOWN,
				(__u32)HP_ORIGIN_LAZY << 16 | target);
		if (!ss)
			return NULL;
	}
	if (!ss->socket) {
		ss->socket = (__u64)ref->socket;
		ss->inode = socket_inode(ref->socket);
	}
	if (ss->flags & SOCK_DEAF)
		return NULL;
	if (!(ss->flags & SOCK_ANNOUNCED))
		sock_announce(sk, ss, pid_tgid, now);
	return ss;
}

#endif
