# SPDX-License-Identifier: Apache-2.0
"""What an interpreter says of itself: one line of JSON.

Where the functions are that hostprof hooks (file and offset), by the types' own slots; and at which offsets
a thread state has its context, a task its coroutine and context, a coroutine its code, a frame its first
local variable, a code object their names, a future the context of its callback and the list of the others; where
plain objects have their attributes (enum py_attrs), and which of an executor's future leads to who awaits it.
"""

import asyncio
import contextvars
import ctypes
import concurrent.futures.thread
import inspect
import json
import os
import sys

import _asyncio  # last: asyncio does without it when it is being imported already

TYPE_INIT = 296  # PyTypeObject.tp_init
METHOD_DEF = 40  # PyMethodDescrObject.d_method
METHOD_FUNC = 8  # PyMethodDef.ml_meth
FRAME = 24  # PyFrameObject.f_frame
DEBUG_BYTES = 1024  # more than _Py_DebugOffsets has, which 3.13 and later begin _PyRuntime with


def word(at):
    return ctypes.c_uint64.from_address(at).value


def peek(at):
    """Of an address that may be none."""
    try:
        return int.from_bytes(os.pread(memory, 8, at), "little") if at < 1 << 47 else 0
    except OSError:
        return 0


def locals_at(first, second):
    frame = sys._getframe()
    at = id(frame) if sys.version_info < (3, 11) else word(id(frame) + FRAME)
    found = []
    for n in range(0, 480, 8):  # no comprehension: it would make cells of these variables
        if peek(at + n) & ~3 == id(first) and peek(at + n + 8) & ~3 == id(second):
            found.append(n)
    return found


def names_at(code):
    want = [id(tuple), len(code.co_varnames), *map(id, code.co_varnames)]
    where = [8, 16, *range(found["tuple_items"][0], 400, 8)]
    return [n for n in range(16, 200, 8)
            if all(peek(peek(id(code) + n) + at) == w for at, w in zip(where, want))]


def place(func):
    """[file, offset] of an address."""
    with open("/proc/self/maps") as f:
        for line in f:
            span, _, off, _, _, *path = line.split()
            start, end = (int(x, 16) for x in span.split("-"))
            if start <= func < end:
                return [path[0], func - start + int(off, 16)]


def offsets(at, size, value):
    return [n for n in range(0, size, 8) if word(at + n) == value]


def attrs_by(at):
    """Of an object: the address of its first attribute's value, by enum py_attrs."""
    marked, inside = peek(at - 24), peek(at + 16) >> 24 & 255 and at + 24
    return {1: peek(peek(at + 16) + 40), 2: peek(at - 32), 3: marked & 1 and marked + 1,
            4: inside, 5: inside}


def chained():
    """An executor's future that asyncio waits for, and the function that it calls when it is done."""
    future = concurrent.futures.Future()
    asyncio.wrap_future(future)
    return future, future._done_callbacks[0]


memory = os.open("/proc/self/mem", os.O_RDONLY)
pair = (object(), object())
state_of = ctypes.pythonapi.PyThreadState_Get
state_of.restype = ctypes.c_void_p
context = contextvars.copy_context()
runtime = ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime")
found = {"hex": sys.hexversion,
         "debug": ctypes.string_at(ctypes.addressof(runtime), DEBUG_BYTES).hex(),
         "ts_context": context.run(lambda: offsets(state_of(), 256, id(context)))}


async def main():
    task = asyncio.current_task()
    coro = task.get_coro()
    size = _asyncio.Task.__basicsize__
    found["task_coro"] = offsets(id(task), size, id(coro))
    found["task_context"] = offsets(id(task), size, word(state_of() + found["ts_context"][0]))
    future = asyncio.get_running_loop().create_future()
    future.add_done_callback(print, context=context)
    found["future_context"] = offsets(id(future), 128, id(context))
    future.add_done_callback(print, context=context)
    found["future_callbacks"] = [
        n for n in range(0, 128, 8)
        if peek(peek(peek(word(id(future) + n) + 24)) + found["tuple_items"][0] + 8) == id(context)]
    source, callback = chained()
    names = list(inspect.signature(concurrent.futures.thread._WorkItem).parameters)
    item = concurrent.futures.thread._WorkItem(*[source] * len(names))
    found["attrs"] = [how for how, at in attrs_by(id(item)).items() if peek(at) == id(source) and
                      peek(attrs_by(id(source))[how] + (8 if how == 5 else 40)) ==
                      id(source._done_callbacks)]
    found["func_closure"] = offsets(id(callback), 128, id(callback.__closure__))
    found["closure_awaited"] = [callback.__code__.co_freevars.index("destination")]
    found["coro_code"] = offsets(id(coro), 160, id(coro.cr_code))


found["tuple_items"] = offsets(id(pair), 64, id(pair[0]))
found["f_locals"] = locals_at(object(), object())
found["code_locals"] = names_at(locals_at.__code__)
asyncio.run(main())
found["task"] = place(word(id(_asyncio.Task) + TYPE_INIT))
try:
    import uvloop.loop
except ImportError:
    pass
else:
    for name in "write", "writelines":
        method = uvloop.loop.UVStream.__dict__[name]
        found[name] = place(word(word(id(method) + METHOD_DEF) + METHOD_FUNC))
print(json.dumps(found))
