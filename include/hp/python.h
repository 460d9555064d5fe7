/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) OR Apache-2.0 */
/*
 * CPython frames: what user space tells the programs about an interpreter, and how the walk of a
 * native stack asks for its frames.
 *
 *   analyst (user/unwind/python.c): mapped file → struct py_runtime → back channel → m_py_runtimes
 *   program (bpf/unwind/python.bpf.h): thread pointer → PyThreadState → frames → struct ev_frame
 *
 * All of a struct py_runtime but what the programs learn comes from the interpreter's file, nothing
 * from the process, so it is right from the first instruction on and the same in every process that has
 * the file at the same place. Facts are from CPython's headers: Include/cpython/pystate.h, Include/internal/pycore_frame.h,
 * pycore_interp.h, pycore_runtime.h of each version, and the _Py_DebugOffsets of 3.13 and later.
 *
 * A thread is known by its thread pointer: PyThread_get_thread_ident() is pthread_self(), which on
 * x86-64 with glibc and musl is the fs base, also where native_thread_id is missing (3.10 and older) or
 * counted in another PID namespace. The programs look through the interpreters' lists of threads
 * themselves and keep what they find in m_py_threads (see there), checking thread_id at each use.
 */
#ifndef HP_PYTHON_H
#define HP_PYTHON_H

#define PY_RUNTIMES_MAX 256 /* numbers 1 to 255; 0 = no Python */
#define PY_LOOPS 2 /* hot and cold part of the interpreter loop */
/*
 * struct _gil_runtime_state with glibc: its two conditions and two mutexes, which threads that want the
 * GIL or were asked to give it away wait on, lie in the first so many bytes.
 */
#define PY_GIL_BYTES 208
#define PY_GILS_MAX 16 /* interpreters of a process whose locks are looked at */
/* Fields that the programs look at lie in the first so many bytes of frame, code, PyThreadState. */
#define PY_FRAME_BYTES 128
#define PY_CODE_BYTES 128
#define PY_THREAD_BYTES 256

enum py_flags {
	PY_CFRAME =
		1, /* off.ts_frame leads to a _PyCFrame on the C stack, not to a frame (3.11, 3.12) */
	PY_ONE_A_LOOP =
		2, /* each frame has a native frame of the loop of its own (3.10 and older) */
	PY_SHIM = 4, /* owner >= shim_owner: no Python frame, the end of a native one's (3.12 on) */
	PY_LASTI = 8, /* off.f_instr is a number (3.10 and older) and not an address */
	PY_LASTI_BYTES = 16, /* ... of bytes (3.9 and older) and not of code units */
	PY_TAGGED = 32, /* the low two bits of off.f_code are not the address's (3.14) */
	PY_GIL_OWN = 64, /* each interpreter leads to its own lock (3.12 on) */
};

/* Offsets of fields in bytes. */
struct py_offsets {
	__u32 rt_interps; /* _PyRuntime: first interpreter */
	__u32 interp_next;
	__u32 interp_threads; /* first thread state */
	__u32 gil; /* _PyRuntime: the lock; PY_GIL_OWN: of an interpreter, its address; 0 = not known */
	__u16 ts_prev;
	__u16 ts_next;
	__u16 ts_thread_id;
	__u16 ts_frame; /* frame, current_frame or cframe */
	__u16 ts_bytes; /* how much of each is read: what lies behind may be no memory any more */
	__u16 f_bytes;
	__u16 code_bytes;
	__u16 cframe_frame; /* PY_CFRAME: in _PyCFrame */
	__u16 cframe_prev; /* the _PyCFrame of the loop's next native frame */
	__u16 f_code;
	__u16 f_prev;
	__u16 f_instr;
	__u16 f_owner;
	__u16 code_argcount;
	__u16 code_kwonly;
	__u16 code_flags;
	__u16 code_firstline;
	__u16 code_instrs; /* co_code_adaptive: what f_instr counts from */
	__u16 ob_type; /* of any object, so of code objects */
	/* Whose work it is: see hp/ev_task.h. 0: not known of this version. */
	__u16 ts_context; /* PyThreadState.context */
	__u16 task_coro; /* of _asyncio.Task */
	__u16 task_context;
	__u16 coro_code;
	__u16 f_locals; /* in a frame: the first local variable */
	__u16 tuple_items; /* of a tuple: the first one */
	__u16 flags; /* enum py_flags */
	__u16 func_closure; /* of a function */
	__u8 shim_owner;
	__u8 attrs; /* enum py_attrs */
};

/*
 * Where an object of a plain class has the values of its attributes, in the order in which __init__ sets
 * them: Objects/dictobject.c and Include/internal/pycore_object.h of each version. Only of such as have no
 * dictionary made for them: others are refused.
 */
enum py_attrs {
	PY_ATTRS_UNKNOWN = 0,
	PY_ATTRS_DICT = 1, /* in its dictionary's own array (3.10 and older) */
	PY_ATTRS_BEFORE = 2, /* four words before it there is their address (3.11) */
	PY_ATTRS_MARKED = 3, /* three words before it, less one (3.12) */
	PY_ATTRS_INSIDE = 4, /* behind its head (3.13) */
	PY_ATTRS_SORTED = 5, /* ... in the order of their names, those that __init__ sets (3.14) */
};

struct py_range {
	__u64 start;
	__u64 end;
};

/* An interpreter at its place in memory. */
struct py_runtime {
	__u64 runtime; /* &_PyRuntime */
	struct py_range loop[PY_LOOPS]; /* of _PyEval_EvalFrameDefault; 0, 0 = none */
	struct py_offsets off;
	/*
	 * Learned by the programs from frames that were right in every respect, 0 = not yet: what type
	 * the frames' code is of, and how far below the end of the loop's native frame its mark lies, the
	 * _PyCFrame (3.11, 3.12) or the shim, which the compiler has put in one place for all.
	 */
	__u64 code_type;
	__u32 mark_down;
	__u32 pad0;
};

/* Functions of extension modules that are hooked. */
enum py_site {
	PY_SITE_TASK, /* _asyncio: Task.__init__(self, coro, ...): a task begins */
	PY_SITE_WRITE, /* uvloop: UVStream.write(self, buf) */
	PY_SITE_WRITELINES, /* uvloop: UVStream.writelines(self, bufs) */
	PY_SITES,
};

/*
 * A function that worker threads run and whose local variable leads to the future of what they do. The task
 * that waits for that future is whose work it is.
 */
struct py_worker_key {
	__u64 code; /* 0: the process has such functions */
	__u32 tgid;
	__u32 pad0;
};

enum py_worker_kind {
	PY_WORKER_FUTURE, /* it is the future: anyio's WorkerThread.run */
	/*
	 * A _WorkItem of concurrent.futures: its first attribute is a future of that module, whose first
	 * callback is asyncio's _call_set_state with the future that is awaited (asyncio.to_thread,
	 * run_in_executor).
	 */
	PY_WORKER_ITEM,
};

struct py_worker {
	__u32 local; /* offset of the variable in the frame */
	__u32 kind; /* enum py_worker_kind */
};

#define PY_WORKERS_MAX 1024
#define PY_WORKER_LOCAL_MAX 1024
#define PY_FUTURE_CONTEXT 32 /* _asyncio.Future: the context of its first callback, */
#define PY_FUTURE_CALLBACKS 40 /* and the list of the others, each a tuple with its context */
#define PY_LIST_ITEMS 24 /* list.ob_item */
#define PY_CELL_VALUE 16
#define PY_ITEM_FUTURE 0 /* attributes of _WorkItem, and of concurrent.futures.Future */
#define PY_DONE_CALLBACKS(attrs) ((attrs) == PY_ATTRS_SORTED ? 1 : 5)
#define PY_CLOSURE_AWAITED 2 /* _call_set_state: _set_state, dest_loop, destination, source_loop */
/* uvloop: UVHandle._handle, whose data is the object again; libuv 1.x: uv_stream_t.io_watcher.fd */
#define UV_STREAM_HANDLE 24
#define UV_STREAM_FD 184

#define PY_INDEX_NONE                                                                              \
	0xffffffffU /* ev_frame.extra: no instruction has run yet, or it is not known */
#define PY_INDEX_MAX (1U << 24)

/* Of a code object, so that another one at the same address is noticed. 24 bits. */
static inline __u32 py_check(__u32 argcount, __u32 kwonly, __u32 flags, __u32 firstline)
{
	__u32 h = firstline * 0x9e3779b1U ^ flags * 0x85ebca6bU ^
		  (argcount << 8 ^ kwonly) * 0xc2b2ae35U;

	return (h ^ h >> 15) & 0xffffff;
}

#define PY_STATES_MAX 4 /* thread states of one thread: one for each interpreter it is in */

#define PY_SEARCH_MAX 1024 /* thread states looked at in one search */

/*
 * Threads found before: an array hashed by hand, with two places for each, so that no lock is taken
 * in an interrupt. A row may be torn or stale: it is believed when the thread state has this thread_id
 * and its list still leads to it (freed ones keep their thread_id, and threads reuse stacks).
 */
#define PY_THREADS_SLOTS 8192

struct py_thread {
	__u64 thread; /* thread pointer */
	__u64 tstate;
	__u32 tgid;
	__u32 head; /* low half of the interpreter that was the newest, and the only one, then */
};

/* Why the frames of one native frame ended. */
enum py_end {
	PY_END_NONE = 0,
	PY_END_TOP, /* the next frame is the one that was wanted, or none */
	PY_END_MARK, /* a shim, or one frame is all there is to a native one */
	PY_END_BROKEN, /* not a frame, or its code is none */
	PY_END_ROOM,
};

/* Where a walk is in the Python frames; part of the walk's scratch memory. */
struct py_walk {
	__u8 begun; /* cleared when a walk begins */
	__u8 lost; /* frames are missing: memory that was none, or the thread was not found */
	__u8 nstates; /* thread states found; 0: no frames, or no more */
	__u8 state; /* the next one of them */
	__u8 exact; /* the thread stood in the loop itself, maybe while it made or left a frame */
	__u8 end; /* enum py_end */
	__u8 pad0[2];
	__u64 thread; /* thread pointer */
	__u64 frame; /* the next frame, 0 = this thread state has no more */
	__u64 cframe; /* of the loop's native frame that is expected next; 0 = of another state */
	__u64 prev; /* the _PyCFrame behind that */
	__u64 want; /* and its frame: where the frames of this native one have to end */
	__u64 want_prev;
	__u64 type; /* of the last frame's code */
	__u64 shim; /* where the shim was that ended a native frame's */
	__u64 states[PY_STATES_MAX];
	__u64 head; /* of the search: the interpreter when there is but one, otherwise 0 */
	__u64 interp; /* the next interpreter */
	__u64 tstate; /* the next thread state in this one */
	__u64 buf[PY_THREAD_BYTES / 8];
};

#endif
