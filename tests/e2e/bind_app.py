# SPDX-License-Identifier: Apache-2.0
"""The application under test for whose call is whose: every query is written down by the request that made it.

Statements are told apart by their text; on shutdown HP_CALLS gets a line of JSON for each request:
[id, [[statement, start, end], ...]] in CLOCK_MONOTONIC ns. Nothing here knows of the profiler.
"""

import asyncio
import contextlib
import json
import os
import time

import asyncpg
import psycopg2.pool
from fastapi import BackgroundTasks, FastAPI
from fastapi.responses import StreamingResponse
from starlette.middleware.base import BaseHTTPMiddleware

app = FastAPI()
calls = {}
pool = None
sync_pool = None


async def passes_on(request, call_next):
    return await call_next(request)


if os.environ.get("HP_MIDDLEWARE"):
    app.add_middleware(BaseHTTPMiddleware, dispatch=passes_on)


@app.on_event("startup")
async def startup():
    global pool, sync_pool
    # Each statement is sent with its text.
    pool = await asyncpg.create_pool(os.environ["HP_PG_URL"], min_size=8, max_size=8,
                                     statement_cache_size=0)
    sync_pool = psycopg2.pool.ThreadedConnectionPool(8, 60, os.environ["HP_PG_DSN"])
    asyncio.get_running_loop().create_task(works_alone())


@app.on_event("shutdown")
async def shutdown():
    with open(os.environ["HP_CALLS"], "w") as f:
        for row in calls.items():
            f.write(json.dumps(row) + "\n")


@contextlib.contextmanager
def noted(id, statement):
    start = time.monotonic_ns()
    try:
        yield
    finally:
        calls.setdefault(id, []).append((statement, start, time.monotonic_ns()))


async def query(id, n):
    statement = f"SELECT relname AS q{n} FROM pg_class WHERE oid = $1"
    with noted(id, n):
        await pool.fetch(statement, 1259)


async def works_alone():
    """No request's work."""
    while True:
        await query("alone", 90)
        await asyncio.sleep(0.01)


@app.get("/one/{id}")
async def one(id: str):
    await query(id, 11)


@app.get("/many/{id}")
async def many(id: str):
    for n in range(21, 26):
        await query(id, n)


@app.get("/gather/{id}")
async def gather(id: str):
    await asyncio.gather(*(query(id, n) for n in (31, 32, 33)))
    await query(id, 34)


@app.get("/child/{id}")
async def child(id: str):
    task = asyncio.create_task(query(id, 41))
    await asyncio.sleep(0.005)
    await asyncio.wait_for(query(id, 42), 10)
    await task


@app.get("/stream/{id}")
async def stream(id: str):
    async def parts():
        await query(id, 51)
        yield b"one"
        await query(id, 52)
        yield b"two"

    return StreamingResponse(parts())


@app.get("/after/{id}")
async def after(id: str, tasks: BackgroundTasks):
    tasks.add_task(query, id, 61)


def sync_query(id, n):
    conn = sync_pool.getconn()
    try:
        with noted(id, n), conn.cursor() as cur:
            cur.execute(f"SELECT relname AS q{n} FROM pg_class WHERE oid = %s", (1259,))
        conn.rollback()
    finally:
        sync_pool.putconn(conn)


@app.get("/thread/{id}")
def thread(id: str):
    sync_query(id, 71)


@app.get("/to_thread/{id}")
async def to_thread(id: str):
    await asyncio.gather(*(asyncio.to_thread(sync_query, id, n) for n in (72, 73)))


@app.get("/executor/{id}")
async def executor(id: str):
    await asyncio.get_running_loop().run_in_executor(None, sync_query, id, 74)


@app.get("/none/{id}")
async def none(id: str):
    await asyncio.sleep(0.002)


@app.get("/ready")
async def ready():
    return {"pid": os.getpid()}
