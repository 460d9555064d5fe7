# SPDX-License-Identifier: Apache-2.0
"""The application under test: async asyncpg and sync psycopg2 routes, errors, bodies, streams.

Each handler runs inside its own stopwatch, kept by the id in the path; on shutdown all readings
(id, start, end in CLOCK_MONOTONIC ns) go to the file named by HP_CLOCKS. Nothing here knows of the
profiler.
"""

import asyncio
import contextlib
import functools
import os
import time

import asyncpg
import psycopg2
import psycopg2.pool
from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response, StreamingResponse

app = FastAPI()
clocks = []
pool = None
sync_pool = None


@app.on_event("startup")
async def startup():
    global pool, sync_pool
    pool = await asyncpg.create_pool(os.environ["HP_PG_URL"], min_size=6, max_size=6)
    sync_pool = psycopg2.pool.ThreadedConnectionPool(8, 60, os.environ["HP_PG_DSN"])


@app.on_event("shutdown")
async def shutdown():
    path = os.environ.get("HP_CLOCKS")
    if path:
        with open(f"{path}.{os.getpid()}", "w") as f:
            for name, start, end in clocks:
                f.write(f"{name} {start} {end}\n")
    await pool.close()
    sync_pool.closeall()


@contextlib.contextmanager
def stopwatch(name):
    start = time.monotonic_ns()
    try:
        yield
    finally:
        clocks.append((name, start, time.monotonic_ns()))


@contextlib.contextmanager
def sync_connection():
    conn = sync_pool.getconn()
    try:
        yield conn
        conn.commit()
    finally:
        sync_pool.putconn(conn)


def timed(handler):
    """Puts an async handler inside the stopwatch of its id."""

    @functools.wraps(handler)
    async def wrapper(*args, id, **kwargs):
        with stopwatch(id):
            return await handler(*args, id=id, **kwargs)

    return wrapper


@app.get("/async/{id}")
@timed
async def one_row(id: str):
    row = await pool.fetchrow("SELECT id, name FROM users WHERE id = $1", 1 + hash(id) % 500)
    return {"id": id, "name": row["name"]}


@app.get("/txn/{id}")
@timed
async def transaction(id: str):
    async with pool.acquire() as conn:
        async with conn.transaction():
            await conn.execute("INSERT INTO events (kind, amount) VALUES ($1, $2)", "txn", 3)
            rows = await conn.fetch("SELECT id, title FROM posts WHERE user_id = $1", 7)
    return {"id": id, "posts": len(rows)}


@app.get("/sync/{id}")
def sync_route(id: str):
    with stopwatch(id), sync_connection() as conn, conn.cursor() as cur:
        cur.execute("SELECT title FROM posts WHERE user_id = %s", (11,))
        return {"id": id, "titles": [r[0] for r in cur.fetchall()]}


@app.get("/missing/{id}")
@timed
async def missing(id: str):
    raise HTTPException(404, "no such thing")


@app.get("/boom/{id}")
@timed
async def boom(id: str):
    raise HTTPException(500, "told to fail")


@app.get("/crash/{id}")
@timed
async def crash(id: str):
    raise RuntimeError("an error that nobody handles: the server answers 500 and hangs up")


@app.post("/echo/{id}")
@timed
async def echo(id: str, request: Request):
    body = await request.body()
    return PlainTextResponse(str(len(body)))


@app.get("/big/{id}")
@timed
async def big(id: str):
    return PlainTextResponse("x" * 65536)


@app.get("/stream/{id}")
@timed
async def stream(id: str):
    async def parts():
        for n in range(5):
            yield b"part %d\n" % n * 100
            await asyncio.sleep(0)

    return StreamingResponse(parts(), media_type="text/plain")


@app.head("/head/{id}")
@timed
async def head(id: str):
    return Response(headers={"content-length": "1234"})


@app.delete("/gone/{id}", status_code=204)
@timed
async def gone(id: str):
    return Response(status_code=204)


@app.get("/sleep/{id}")
@timed
async def sleep(id: str, ms: int = 100):
    await asyncio.sleep(ms / 1000)
    return {"id": id}


@app.get("/ready")
async def ready():
    return {"pid": os.getpid()}
