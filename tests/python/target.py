# SPDX-License-Identifier: Apache-2.0
"""Runs under any CPython from 3.8 on: many threads in many kinds of calls, and says where they are.

snap() takes sys._current_frames() of all threads while it holds the GIL, so that none of them can move,
stops the whole process, and after it was continued prints what it had seen as one line of JSON:
{thread: [[name, file, line], ...]}, innermost first. The reader walks the stopped process meanwhile.
"""

import asyncio
import concurrent.futures
import functools
import json
import os
import random
import re
import signal
import sys
import threading
import time

QUALNAME = sys.version_info >= (3, 11)
done = threading.Event()
left = int(sys.argv[1])
rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 1)
taking = threading.Lock()


def describe(frame):
    rows = []
    while frame is not None:
        code = frame.f_code
        rows.append([code.co_qualname if QUALNAME else code.co_name, code.co_filename,
                     frame.f_lineno])
        frame = frame.f_back
    return rows


def snap():
    global left
    if done.is_set() or not taking.acquire(False):
        return
    # Every line below is this thread's; the others do not run: nothing here lets go of the GIL.
    threads = {}
    for ident, frame in sys._current_frames().items():
        threads[ident] = (frame, describe(frame))
    here = sys._getframe()
    mine = [threading.get_ident(), here.f_code,
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)]
    line = here.f_lineno - 1
    rows = {}
    for ident, (frame, seen) in threads.items():
        if ident == mine[0]:
            seen[0][2] = line
        rows[ident] = seen
    print(json.dumps(rows), flush=True)
    left -= 1
    if left <= 0:
        done.set()
    taking.release()


class Sorter:
    def __init__(self, depth):
        self.depth = depth

    def key(self, value):
        if value == 3:
            snap()
        return -value

    def run(self):
        if self.depth:
            return Sorter(self.depth - 1).run()
        return sorted(range(5), key=self.key)

    @property
    def prop(self):
        return self.run()

    @staticmethod
    def substitute(match):
        snap()
        return match.group(0).upper()

    def __call__(self, a, b):
        if b == 2:
            self.run()
        return a + b


def numbers(n):
    """A generator that is resumed by Python and by C."""
    for i in range(n):
        if i == n // 2:
            snap()
        yield (
            i
            + 1
        )


def delegating(n):
    yield from numbers(n)
    yield from (x for x in numbers(n))


async def leaf(n):
    await asyncio.sleep(0)
    snap()
    return n


async def middle(n):
    if n:
        return await middle(n - 1)
    async with Context() as c:
        return await leaf(c)


class Context:
    async def __aenter__(self):
        snap()
        return 1

    async def __aexit__(self, *exc):
        return False


async def agen(n):
    for i in range(n):
        yield await leaf(i)


async def coroutines(n):
    await asyncio.gather(*(middle(i % 5) for i in range(n)))
    return [x async for x in agen(2)]


def raising(n):
    try:
        if n:
            raising(n - 1)
        else:
            raise ValueError(n)
    except ValueError:
        snap()
        raise
    finally:
        len("x")


def recursive(n, f):
    return f() if n == 0 else recursive(n - 1, f)


def wait_here(event):
    event.wait()


def sleep_here():
    while not done.is_set():
        time.sleep(0.5)


def closure(n):
    def inner(x):
        snap()
        return [n for _ in range(2)]
    return inner


def with_é_name():
    snap()


def actions():
    s = Sorter(rng.randrange(4))
    return [
        s.run,
        lambda: s.prop,
        lambda: re.sub("b", Sorter.substitute, "abc"),
        lambda: functools.reduce(s, [1, 2, 3]),
        lambda: list(map(closure(1), [1])),
        lambda: list(numbers(5)),
        lambda: sum(delegating(4)),
        lambda: asyncio.run(coroutines(3)),
        lambda: recursive(rng.randrange(60), snap),
        lambda: recursive(20, s.run),
        lambda: exec(compile("\n\nsnap()\n", "<made up>", "exec")),
        lambda: {k: snap() for k in "a"},
        lambda: functools.partial(functools.partial(s.key), 3)(),
        with_é_name,
        lambda: max([3, 3], key=s.key),
        lambda: any(snap() or x for x in (0, 1)),
    ]


def one():
    try:
        rng.choice(actions())()
    except ValueError:
        pass


def failing():
    try:
        raising(3)
    except ValueError:
        pass


def worker():
    while not done.is_set():
        one()
        failing()


def churn():
    """Threads that are born and end."""
    while not done.is_set():
        t = threading.Thread(target=one)
        t.start()
        t.join()


def main():
    # A thread gives up the GIL where it blocks, and nowhere else: not inside snap().
    sys.setswitchinterval(1000)
    threads = [threading.Thread(target=wait_here, args=(done,)) for _ in range(4)]
    threads += [threading.Thread(target=sleep_here) for _ in range(2)]
    threads += [threading.Thread(target=worker) for _ in range(4)]
    threads.append(threading.Thread(target=churn))
    for t in threads:
        t.start()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        while not done.is_set():
            list(pool.map(lambda _: one(), range(3)))
            one()
    for t in threads:
        t.join()


print("ready", flush=True)
main()
