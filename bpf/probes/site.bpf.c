/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Where in the program a call was issued (hp/ev_site.h):
 *
 *   site_drawn()    asked at each transfer that sends on a connection which the target opened
 *   site_written()  asked when uvloop is given bytes for one, since it sends them outside of any task
 *   site_take()     for those that one of the two says not 0 to
 *
 * Each looks at how the bytes begin and decides whether this one is taken; that is all that most sends
 * cost. Python's frames are read from the thread state without the native stack: which native frame
 * runs which is of no interest here, and 40 frames take as long as 4 of a native walk.
 */
#include "lib/site.bpf.h"
#include "unwind/python.bpf.h"

/* How often sends of a process began so. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, __u32);
} m_site_heads SEC(".maps");

struct site_second {
	__u64 until_ns;
	__u64 taken;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct site_second);
} m_site_seconds SEC(".maps");

/* PyMemoryViewObject: view.buf, view.len; PyBytesObject: ob_sval, ob_size. The same since 3.8. */
#define MEMORYVIEW_BUF 56
#define MEMORYVIEW_LEN 72
#define BYTES_VALUE 32
#define VAR_SIZE 16

#define HEAD_AT 3 /* of w->words: so that what comes behind a header of five bytes begins a word */
#define HEAD_WORDS ((HEAD_AT + SITE_HEAD) / 8)

/* Digits are 0 (as are six other characters), eight bytes at a time. low: 0x0f, or 0 to leave them as they are. */
static __always_inline __u64 without_digits(__u64 w, __u64 low)
{
	__u64 other = (w & 0xf0f0f0f0f0f0f0f0ULL) ^ 0x3030303030303030ULL;
	__u64 digit = (other - 0x0101010101010101ULL) & ~other & 0x8080808080808080ULL;

	return w & ~((digit >> 7) * low);
}

static __always_inline __u64 hash_add(__u64 h, __u64 word)
{
	h = (h ^ word) * 0x9e3779b97f4a7c15ULL;
	return h ^ h >> 32;
}

/*
 * A number for what the message is. Of text the digits do not count, nor the length in front of it: values are
 * written into statements and paths. PostgreSQL's Parse has no values, so its length tells apart what
 * begins alike; of Bind the statement's name counts, and what comes behind it are values.
 */
static __always_inline __u64 head_hash(const struct uw_walk *w, __u32 tgid)
{
	__u64 first = w->words[0] >> 8 * HEAD_AT, h;
	__u8 type = (__u8)first;
	bool framed = type >= 'A' && type <= 'Z' && !(first >> 8 & 0xff);
	__u64 low = framed && type == 'P' ? 0 : 0x0f;
	__u32 i;

	if (!framed)
		first = without_digits(first, 0x0f);
	else if (type != 'P')
		first = type;
	h = hash_add(first, tgid);
	if (framed && type == 'B')
		return hash_add(hash_add(hash_add(h, w->words[1]), w->words[2]),
				(__u32)w->words[3]);
#pragma clang loop unroll(disable)
	for (i = 1; i < HEAD_WORDS; i++)
		h = hash_add(h, without_digits(w->words[i], low));
	return h;
}

/* The first bytes into w->words. False: they cannot be read. */
static __always_inline bool head_read(struct uw_walk *w, __u64 at, __u64 len)
{
	__u32 n = len < SITE_HEAD ? (__u32)len : SITE_HEAD;

	__builtin_memset(w->words, 0, HEAD_AT + SITE_HEAD);
	barrier_var(n);
	if (!n || n > SITE_HEAD)
		return false;
	return !bpf_probe_read_user((__u8 *)w->words + HEAD_AT, n, (const void *)at);
}

static __always_inline bool second_has_room(void)
{
	__u32 key = 0;
	struct site_second *s = bpf_map_lookup_elem(&m_site_seconds, &key);
	__u64 now = bpf_ktime_get_ns();

	if (!s)
		return false;
	if (now >= s->until_ns) {
		s->until_ns = now + 1000000000ULL;
		s->taken = 0;
	}
	return s->taken++ < SITE_CERTAIN_MAX;
}

/*
 * A send under examination, in the walk's memory for a record, in front of that: the functions without `static`
 * take a slot's number alone, so that each is verified once, and none has much on a stack that is nearly full.
 */
struct site {
	__u64 conn_id;
	__u64 pos;
	__u64 at; /* where the bytes are */
	__u64 head; /* how many of them are looked at */
	__u64 hash;
	__u32 len;
	__u32 target;
	__u32 weight;
	__u32 one;
};

static __always_inline struct site *site_of(struct uw_walk *w)
{
	_Static_assert(sizeof(struct site) + sizeof(struct ev_site) <= sizeof(w->head), "no room");
	return (struct site *)w->head;
}

/*
 * Is the send taken? It stands for s->weight. What is taken for sure is so by what came before it alone, and all
 * others have the same chance.
 */
static __always_inline bool site_draw(struct uw_walk *w, bool first)
{
	struct site *s = site_of(w);
	__u32 *seen;

	if (!head_read(w, s->at, s->head))
		return 0;
	s->weight = SITE_EVERY;
	if (!first)
		return !(bpf_get_prandom_u32() & (SITE_EVERY - 1));
	s->hash = head_hash(w, current_ids() >> 32);
	seen = bpf_map_lookup_elem(&m_site_heads, &s->hash);
	if ((seen && *seen >= SITE_CERTAIN) || !second_has_room())
		return !(bpf_get_prandom_u32() & (SITE_EVERY - 1));
	s->weight = 1;
	s->one = 1;
	if (seen)
		(*seen)++;
	else
		bpf_map_update_elem(&m_site_heads, &s->hash, &s->one, BPF_ANY);
	return 1;
}

/* Some frames; not 0: these are all. */
__weak __noinline int site_some_frames(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	const struct py_runtime *rt;
	__u32 i;

	if (!w)
		return 1;
	rt = py_runtime_of(w);
	if (!rt)
		return 1;
	for (i = 0; i < PY_FRAME_STEPS; i++)
		if (py_frame(w, rt) && w->py.end != PY_END_MARK)
			return 1;
	return 0;
}

/* The current thread's Python frames, through all native frames of the interpreter. */
static __always_inline bool site_frames(__u32 slot, struct uw_walk *w)
{
	const struct py_runtime *rt = py_runtime_of(w);
	__u64 at;
	__u32 i;

	if (!rt)
		return false;
	walk_begin(w);
	py_thread_find(slot, w, rt, true);
	if (!w->py.nstates)
		return false;
	at = py_word(w->py.states[0] + rt->off.ts_frame);
	if (at && rt->off.flags & PY_CFRAME)
		at = py_word(at + rt->off.cframe_frame);
	w->py.frame = at;
	w->py.want = 0;
	w->py.end = PY_END_NONE;
	w->nuser = UW_FRAMES_MAX - HP_SITE_FRAMES;
	/* Twice as many: native frames' ends are steps, too. */
	for (i = 0; i < 2 * HP_SITE_FRAMES; i += PY_FRAME_STEPS)
		if (site_some_frames(slot))
			break;
	w->stop = w->py.end == PY_END_TOP      ? UW_STOP_END
		  : w->py.end == PY_END_BROKEN ? UW_STOP_PYTHON
					       : UW_STOP_DEPTH;
	return *(volatile __u32 *)&w->nframes != 0;
}

__weak __noinline int site_emit(__u32 slot)
{
	struct uw_walk *w = walk_of(slot);
	__u64 ids = current_ids(), size; /* 5.10 follows bounds of whole registers only */
	const struct site *s;
	struct ev_site *ev;

	if (!w)
		return 0;
	s = site_of(w);
	size = walk_record_size(w, struct ev_site);
	barrier_var(size);
	if (!size || size > sizeof(*ev) + STACK_FRAMES * sizeof(struct ev_frame))
		return 0;
	ev = walk_record(w, struct ev_site);
	__builtin_memset(ev, 0, sizeof(*ev));
	ev->hdr.size = size;
	ev->hdr.kind = EV_SITE;
	ev->hdr.target = s->target;
	ev->hdr.tgid = ids >> 32;
	ev->hdr.tid = (__u32)ids;
	ev->hdr.ts_ns = bpf_ktime_get_ns();
	ev->conn_id = s->conn_id;
	ev->pos = s->pos;
	ev->len = s->len;
	ev->weight = s->weight;
	ev->nframes = w->nframes;
	ev->stop = w->stop;
	if (bpf_ringbuf_output(&m_events, ev, size, BPF_RB_NO_WAKEUP))
		drop(DROP_RING_FULL);
	return 0;
}

/* NULL: the current process is not one whose frames can be read. */
static __always_inline struct uw_walk *site_begin(__u32 slot)
{
	__u32 tgid = current_ids() >> 32;
	const struct uw_proc *proc = bpf_map_lookup_elem(&m_uw_procs, &tgid);
	struct uw_walk *w = walk_of(slot);

	if (!w || !proc || !proc->python)
		return NULL;
	w->proc.python = proc->python;
	return w;
}

/*
 * len bytes are sent, the first of which has that position and lies at `at`. what: the target's number, above it
 * how many of them lie there, and SITE_FIRST when they begin a turn; what goes on with one is left to the lot.
 * Not 0: site_take() comes next.
 */
int site_drawn(__u64 conn_id, __u64 pos, __u64 at, __u32 len, __u32 what)
{
	struct uw_walk *w = site_begin(walk_slot(WALK_UPROBE));
	struct site *s;

	if (!w)
		return 0;
	s = site_of(w);
	s->conn_id = conn_id;
	s->pos = pos;
	s->at = at;
	s->head = what >> 16 & 0xff;
	s->len = len;
	s->target = what & 0xffff;
	return site_draw(w, what & SITE_FIRST);
}

/* The same of the object `buf` that uvloop is given, to be sent from that position on. */
int site_written(__u64 conn_id, __u64 pos, __u64 buf, __u32 target)
{
	struct uw_walk *w = site_begin(walk_slot(WALK_UPROBE));
	struct site *s;

	if (!w)
		return 0;
	s = site_of(w);
	s->conn_id = conn_id;
	s->pos = pos;
	s->at = py_word(buf + MEMORYVIEW_BUF);
	s->head = py_word(buf + MEMORYVIEW_LEN);
	s->len = 0;
	s->target = target;
	/* Bytes where a view has its address are no address. */
	if (!head_read(w, s->at, s->head)) {
		s->at = buf + BYTES_VALUE;
		s->head = py_word(buf + VAR_SIZE);
	}
	return site_draw(w, true);
}

int site_take(void)
{
	__u32 slot = walk_slot(WALK_UPROBE);
	struct uw_walk *w = walk_of(slot);

	if (w && site_frames(slot, w))
		site_emit(slot);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
