# SPDX-License-Identifier: Apache-2.0
"""Known call paths, one after the other: `python_paths.py SECONDS FILE [again]`.

leaf() spins and says where it was called from, as the interpreter has it: a line of JSON in FILE, innermost
frame first, [name, file, line] each. Waits for a line on standard input before it begins. "again" is
what the program is called with when it has executed itself anew.
"""

import asyncio
import ctypes
import functools
import json
import os
import re
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

SECONDS, OUT = float(sys.argv[1]), sys.argv[2]
DEEP = 300


def path(frame):
    rows = []
    while frame is not None:
        code = frame.f_code
        rows.append([code.co_qualname, code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return rows


def say(rows):
    with open(OUT, "a") as f:
        f.write(json.dumps(rows) + "\n")


def spin(until):
    x = 0
    while time.monotonic() < until:
        x += sum((1, 2, 3))
    return x


def leaf(*_):
    say(path(sys._getframe(1)))
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        sum((1, 2, 3))
    return 1


def deep(n):
    return deep(n - 1) if n else spin(time.monotonic() + SECONDS)


def by_sorted():
    return sorted([1], key=leaf)


def by_partial():
    return functools.partial(functools.partial(leaf, 1), 2)()


def by_regex():
    return re.sub("b", lambda m: "x" * leaf(), "abc")


def by_map():
    return list(map(lambda x: leaf(), [1]))


def by_qsort():
    """From the C library through ctypes."""
    kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    called = []

    def compare(a, b):
        if not called:
            called.append(leaf())
        return 0

    numbers = (ctypes.c_int * 2)(2, 1)
    ctypes.CDLL(None).qsort(numbers, 2, 4, kind(compare))


def numbers():
    yield leaf()


def by_generator():
    for x in numbers():
        return x


def by_sum():
    return sum(x for x in numbers())


async def innermost():
    await asyncio.sleep(0)
    leaf()


async def middle():
    await innermost()


async def items():
    yield leaf()


async def tasks():
    await asyncio.create_task(middle())
    async for _ in items():
        pass


def by_asyncio():
    asyncio.run(tasks())


class Wait:
    def __await__(self):
        yield


async def waits():
    try:
        await Wait()
    except KeyError:
        leaf()


async def waits_outside():
    await waits()


def by_throw():
    """What is thrown goes down the awaits past the interpreter's loop."""
    coroutine = waits_outside()
    coroutine.send(None)
    try:
        coroutine.throw(KeyError())
    except StopIteration:
        pass


def by_thread():
    thread = threading.Thread(target=leaf)
    thread.start()
    thread.join()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(leaf).result()


def by_fork():
    if not os.fork():
        leaf()
        os._exit(0)
    os.wait()


OTHER = """
import json, sys, time
def path(frame):
    rows = []
    while frame is not None:
        code = frame.f_code
        rows.append([code.co_qualname, code.co_filename, frame.f_lineno])
        frame = frame.f_back
    return rows
def leaf():
    with open(%r, "a") as f:
        f.write(json.dumps(path(sys._getframe(1)) + %r) + "\\n")
    until = time.monotonic() + %r
    while time.monotonic() < until:
        sum((1, 2, 3))
def inside():
    leaf()
inside()
"""


def by_interpreter():
    """The frames of another interpreter stand on those of the one that called it."""
    import _xxsubinterpreters as interpreters
    number = interpreters.create()
    outer = path(sys._getframe())
    outer[0][2] += 2
    interpreters.run_string(number, OTHER % (OUT, outer, SECONDS))
    interpreters.destroy(number)


def main():
    print("ready", flush=True)
    sys.stdin.readline()
    for how in (by_sorted, by_partial, by_regex, by_map, by_qsort, by_generator, by_sum, by_asyncio,
                by_throw, by_thread, by_fork, by_interpreter):
        how()
    deep(DEEP)
    if len(sys.argv) == 3:
        os.execv(sys.executable, [sys.executable, *sys.argv, "again"])


if len(sys.argv) == 3:
    main()
else:
    by_sorted()
    by_asyncio()
