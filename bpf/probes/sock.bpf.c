/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What happens to sockets outside system calls: data arriving, handshakes, ends. Runs in softirq
 * context, so the filter is the socket table, not the current process.
 */
#include "lib/sock.bpf.h"

const volatile __u32 cfg_ncpus = 1;
const volatile bool cfg_follow_children = true;
const volatile bool cfg_task_btf = false;
const volatile bool cfg_self_timed = false;
const volatile bool cfg_in_one_piece = false;
const volatile __u32 cfg_pid_ns_inum = 0;
__u32 pid_ns_level;
__u64 verdict_epoch;
__u32 live;
__u32 sock_filter[SOCK_FILTER_SLOTS];

static __always_inline void arrival_stamp(struct sock_state *ss)
{
	__u64 now = bpf_ktime_get_ns();

	if (!ss->arrival_ns)
		ss->arrival_ns = now;
	ss->arrival_last_ns = now;
}

/* Data has been queued on a socket. */
static __always_inline int data_ready(struct sock *sk)
{
	struct sock_state *ss;
	__u32 seq;

	if (!sock_maybe(sk))
		return 0;
	ss = sock_find(sk);
	if (!ss)
		return 0;
	/*
	 * The data is queued before this is called, and a reader on another processor may have taken
	 * it by now: once its call is over, a stamp would stay until the next request and make that one
	 * begin here.
	 */
	if (ss->family == AF_UNIX) {
		if (!unix_unread(sk))
			return 0;
	} else {
		if (!live) /* reads are not followed yet */
			ss->taken_seq = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
		seq = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
		if (seq == ss->taken_seq)
			return 0;
		ss->arrival_seq = seq;
	}
	arrival_stamp(ss);
	return 0;
}

/* Raw, not typed: the address is only a key, and arithmetic on typed pointers is refused. */
SEC("raw_tp/sk_data_ready")
int BPF_PROG(sk_data_ready, struct sock *sk)
{
	return WHOLE(data_ready(sk));
}

/* Before that tracepoint (6.3): the function that nearly every stream socket has for it. */
SEC("fentry/sock_def_readable")
int sock_readable_fentry(__u64 *ctx)
{
	struct sock *sk = 0;

	/* As a number: see above. */
	bpf_probe_read_kernel(&sk, sizeof(sk), ctx);
	return WHOLE(data_ready(sk));
}

SEC("kprobe")
int sock_readable_kprobe(struct pt_regs *ctx)
{
	return WHOLE(data_ready((struct sock *)PT_REGS_PARM1(ctx)));
}

/*
 * Without any of them: TCP looks at a segment on an established connection. It is not queued yet; one
 * that leaves a hole before it cannot be read, and is counted when the hole is filled.
 */
static __always_inline int segment(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_skb_cb *cb;
	struct sock_state *ss;
	__u32 seq, end_seq, next;

	if (!sock_maybe(sk))
		return 0;
	ss = sock_find(sk);
	if (!ss)
		return 0;
	cb = (void *)skb + bpf_core_field_offset(((struct sk_buff *)0)->cb);
	seq = BPF_CORE_READ(cb, seq);
	end_seq = BPF_CORE_READ(cb, end_seq);
	next = BPF_CORE_READ((struct tcp_sock *)sk, rcv_nxt);
	if (end_seq == seq || (__s32)(seq - next) > 0 || (__s32)(end_seq - next) <= 0)
		return 0;
	if (!live)
		ss->taken_seq = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
	ss->arrival_seq = end_seq;
	arrival_stamp(ss);
	return 0;
}

SEC("raw_tp/tcp_probe")
int BPF_PROG(tcp_segment, struct sock *sk, struct sk_buff *skb)
{
	return WHOLE(segment(sk, skb));
}

/* Does a descriptor still lead to it? Not while the last one is being closed. */
static __always_inline bool sock_held(struct sock *sk)
{
	struct file *file = BPF_CORE_READ(sk, sk_socket, file);

	return file && file_holders(file) > 0;
}

/* The end of a socket that no descriptor leads to any more, in whatever context that is. */
static __noinline int sock_gone(struct sock *sk, struct sock_state *ss)
{
	__u64 pid_tgid = current_ids(), now = bpf_ktime_get_ns();
	__u32 err;

	if (!sk || !ss)
		return 0;
	if (!target_of(pid_tgid >> 32))
		pid_tgid = 0;
	err = BPF_CORE_READ(sk, sk_err);
	if (err)
		sock_trouble(ss, err, pid_tgid, now); /* no call has taken it */
	sock_end(sk, ss, pid_tgid, now);
	return 0;
}

static __always_inline int state_changed(struct sock *sk, int oldstate, int newstate)
{
	struct sock_state *ss;
	__u64 now, pid_tgid;
	__u16 *target;
	__u32 err;

	if (newstate == TCP_LISTEN) {
		pid_tgid = current_ids();
		struct target_state *ts = target_of(pid_tgid >> 32);
		struct listen_key key = {};

		if (!ts)
			return 0;
		key.netns = sock_netns(sk);
		key.port = BPF_CORE_READ(sk, __sk_common.skc_num);
		bpf_map_update_elem(&m_listen, &key, &ts->target, BPF_ANY);
		return 0;
	}
	ss = sock_maybe(sk) ? sock_find(sk) : NULL;
	if (newstate == TCP_ESTABLISHED) {
		now = bpf_ktime_get_ns();
		if (oldstate == TCP_SYN_RECV) {
			/* TCP Fast Open: accepted, and perhaps read, before the handshake was over. */
			if (ss && ss->socket && (__u64)BPF_CORE_READ(sk, sk_socket) == ss->socket) {
				ss->established_ns = now;
				return 0;
			}
			target = listen_find(sk);
			if (!target)
				return 0;
			ss = sock_track(sk, NULL, HP_ROLE_SERVER,
					(__u32)HP_ORIGIN_ACCEPT << 16 | *target);
			if (ss)
				ss->established_ns = now;
			return 0;
		}
		if (!ss)
			return 0;
		ss->established_ns = now;
		ss->taken_seq = BPF_CORE_READ((struct tcp_sock *)sk, copied_seq);
		ss->sent_seq = BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
		if (ss->flags & SOCK_ANNOUNCED)
			emit_conn_state(ss, 0, now, HP_CONN_ESTABLISHED, 0,
					BPF_CORE_READ(sk, __sk_common.skc_num));
		return 0;
	}
	if (!ss)
		return 0;
	if (newstate == TCP_SYN_SENT) {
		ss->peer_port = BPF_CORE_READ(sk, __sk_common.skc_dport);
		return 0;
	}
	/*
	 * The last descriptor is closed: tcp_close() sets both shutdown bits before it leaves the
	 * established states. shutdown(SHUT_WR) sets one.
	 */
	if ((newstate == TCP_FIN_WAIT1 || newstate == TCP_LAST_ACK) &&
	    BPF_CORE_READ(sk, sk_shutdown) == SHUTDOWN_BOTH && !sock_held(sk)) {
		sock_end(sk, ss, current_ids(), bpf_ktime_get_ns());
		return 0;
	}
	if (newstate != TCP_CLOSE)
		return 0;
	if (oldstate == TCP_SYN_SENT) {
		/* Not announced: connect() has not returned, it reports the failure itself. */
		if (!(ss->flags & SOCK_ANNOUNCED))
			return 0;
		now = bpf_ktime_get_ns();
		err = BPF_CORE_READ(sk, sk_err);
		/* Without one the process gave up waiting and closed it. */
		if (err)
			emit_conn_state(ss, 0, now, HP_CONN_FAILED, err, 0);
		sock_end(sk, ss, 0, now);
		return 0;
	}
	/* Reset by the peer, say: what came before it can still be read. See tcp_destroy_sock. */
	if (!sock_held(sk))
		sock_gone(sk, ss);
	return 0;
}

SEC("raw_tp/inet_sock_set_state")
int BPF_PROG(inet_sock_set_state, struct sock *sk, int oldstate, int newstate)
{
	return WHOLE(state_changed(sk, oldstate, newstate));
}

static __always_inline int destroyed(struct sock *sk)
{
	struct sock_state *ss = sock_maybe(sk) ? sock_find(sk) : NULL;

	return ss ? sock_gone(sk, ss) : 0;
}

/* The end of a socket that was closed for TCP before its last descriptor was. */
SEC("raw_tp/tcp_destroy_sock")
int BPF_PROG(tcp_destroy_sock, struct sock *sk)
{
	return WHOLE(destroyed(sk));
}

#define ACCEPT_QUEUE_MAX 4096
#define QUEUE_STEPS 16

/* The list may change meanwhile: what is not a connection of ours is passed over. */
static __always_inline struct request_sock *queued_step(struct request_sock *req, __u32 target)
{
	struct sock *sk = BPF_CORE_READ(req, sk);

	if (sk && BPF_CORE_READ(sk, __sk_common.skc_state) == TCP_ESTABLISHED && listen_find(sk) &&
	    !sock_find(sk))
		sock_track(sk, NULL, HP_ROLE_SERVER, (__u32)HP_ORIGIN_ACCEPT << 16 | target);
	return BPF_CORE_READ(req, dl_next);
}

/* From one element of the list to a later one, 0 at its end. In pieces: see LOOP_SLOT. */
__noinline __u64 queued(__u64 at, __u32 target)
{
	struct request_sock *req = (void *)at;
	__u32 i;

	for (i = 0; i < QUEUE_STEPS && req; i++)
		req = queued_step(req, target);
	return (__u64)req;
}

/* Connections that wait for accept() have no descriptor: without this their data would be seen late. */
static __always_inline void seed_queue(struct sock *listener, __u16 target)
{
	struct inet_connection_sock *icsk = (void *)listener;
	__u64 at = (__u64)BPF_CORE_READ(icsk, icsk_accept_queue.rskq_accept_head);
	__u32 i;

	for (i = 0; i < ACCEPT_QUEUE_MAX && at; i += QUEUE_STEPS)
		at = queued(at, target);
}

/*
 * Connections open before attach: walks the descriptors of all targets. First pass: listeners, so
 * that the second can tell served connections from called ones.
 */
__u32 seed_pass;
__u64 seed_count;

SEC("iter/task_file")
int seed_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file, *back;
	struct target_state *target;
	struct socket *socket;
	struct sock_state *ss;
	struct sock *sk;
	__u64 pid_tgid;
	__u32 tgid;
	__u8 state;

	if (!task || !file)
		return 0;
	if (cfg_pid_ns_inum && !pid_ns_level)
		pid_ns_level = BPF_CORE_READ((struct task_struct *)bpf_get_current_task(),
					     thread_pid, level);
	tgid = task_ids(task) >> 32;
	target = target_of(tgid);
	if (!target)
		return 0;
	socket = BPF_CORE_READ(file, private_data);
	if (!socket)
		return 0;
	back = BPF_CORE_READ(socket, file);
	if (back != file)
		return 0;
	sk = BPF_CORE_READ(socket, sk);
	if (!sk || BPF_CORE_READ(sk, sk_type) != SOCK_STREAM)
		return 0;
	state = BPF_CORE_READ(sk, __sk_common.skc_state);
	pid_tgid = (__u64)tgid << 32 | tgid;
	if (state == TCP_LISTEN) {
		struct listen_key key = {};

		if (BPF_CORE_READ(sk, __sk_common.skc_family) == AF_UNIX)
			return 0;
		if (seed_pass) {
			seed_queue(sk, target->target);
			return 0;
		}
		key.netns = sock_netns(sk);
		key.port = BPF_CORE_READ(sk, __sk_common.skc_num);
		bpf_map_update_elem(&m_listen, &key, &target->target, BPF_ANY);
		return 0;
	}
	if (!seed_pass || state != TCP_ESTABLISHED || sock_find(sk))
		return 0;
	ss = sock_track(sk, socket, HP_ROLE_UNKNOWN, (__u32)HP_ORIGIN_SEED << 16 | target->target);
	if (!ss || ss->flags & SOCK_DEAF)
		return 0;
	seed_count++;
	sock_announce(sk, ss, pid_tgid, ss->open_ns);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
