# SPDX-License-Identifier: Apache-2.0
"""Threads that want Python's lock, each with a clock of its own; any CPython from 3.8 on.

gil.py SECONDS waits for a line on standard input. Then two threads compute, so that one of them always
waits for the lock, and one waits for a lock of its own, which is none of Python's. Prints a line of JSON
a thread: what went by without it being on a processor. Leaves on another line.
"""

import json
import sys
import threading
import time

SECONDS = float(sys.argv[1])
INTERVAL = 0.002
held = threading.Lock()
rows = []


def compute(end):
    n = 0
    while time.perf_counter() < end:
        n += sum(range(200))
    return n


def measured(name, what, *args):
    wall, on = time.perf_counter(), time.thread_time()
    what(*args)
    off = time.perf_counter() - wall - (time.thread_time() - on)
    rows.append({"name": name, "tid": threading.get_native_id(), "off_s": off,
                 "wall_s": time.perf_counter() - wall})


def main():
    sys.setswitchinterval(INTERVAL)
    print("ready", flush=True)
    sys.stdin.readline()
    held.acquire()
    end = time.perf_counter() + SECONDS
    threads = [threading.Thread(target=measured, args=("compute", compute, end)) for _ in range(2)]
    threads.append(threading.Thread(target=measured, args=("lock", held.acquire)))
    for t in threads:
        t.start()
    threads[0].join()
    threads[1].join()
    held.release()
    threads[2].join()
    for row in rows:
        print(json.dumps(row), flush=True)
    sys.stdin.readline()


main()
