# SPDX-License-Identifier: Apache-2.0
"""The application under test for where a request's time goes: each route spends a known amount on one thing.

What it spent is measured by its own clocks; on shutdown HP_CALLS gets a line of JSON for each request:
[id, {phase: ms}]. Nothing here knows of the profiler.
"""

import asyncio
import json
import os
import threading
import time

import asyncpg
from fastapi import FastAPI

app = FastAPI()
spent = {}
pool = None
held = threading.Lock()


@app.on_event("startup")
async def startup():
    global pool
    pool = await asyncpg.create_pool(os.environ["HP_PG_URL"], min_size=8, max_size=8,
                                     statement_cache_size=0)


@app.on_event("shutdown")
async def shutdown():
    with open(os.environ["HP_CALLS"], "w") as f:
        for row in spent.items():
            f.write(json.dumps(row) + "\n")


def burn(seconds):
    """CPU time of this thread, not time that passes."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


def note(id, phase, ns):
    row = spent.setdefault(id, {})
    row[phase] = row.get(phase, 0) + ns / 1e6


async def asks(id, seconds):
    start = time.monotonic_ns()
    await pool.fetch("SELECT pg_sleep($1)", seconds)
    note(id, "db", time.monotonic_ns() - start)


@app.get("/cpu/{id}")
async def cpu(id: str):
    start = time.thread_time_ns()
    burn(0.008)
    note(id, "cpu", time.thread_time_ns() - start)


@app.get("/db/{id}")
async def db(id: str):
    await asks(id, 0.02)


@app.get("/both/{id}")
async def both(id: str):
    start = time.monotonic_ns()
    await asyncio.gather(asks(id + "-", 0.02), asks(id + "-", 0.03))
    note(id, "db", time.monotonic_ns() - start)


@app.get("/wait/{id}")
async def wait(id: str):
    """A call that waits and that the event loop waits with."""
    start = time.monotonic_ns()
    time.sleep(0.006)
    note(id, "sleep", time.monotonic_ns() - start)


@app.get("/worker/{id}")
def worker(id: str):
    start = time.monotonic_ns()
    time.sleep(0.01)
    note(id, "sleep", time.monotonic_ns() - start)
    with_lock(id)


def with_lock(id):
    start = time.monotonic_ns()
    with held:
        start, waited = time.monotonic_ns(), time.monotonic_ns() - start
        note(id, "lock", waited)
        time.sleep(0.004)
        note(id, "sleep", time.monotonic_ns() - start)


@app.get("/ready")
async def ready():
    return {"pid": os.getpid()}
