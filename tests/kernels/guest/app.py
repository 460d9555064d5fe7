# SPDX-License-Identifier: Apache-2.0
"""The application of the end-to-end case: plain ASGI over asyncpg, light enough for emulation.

GET /item/N asks two queries and writes once, /missing is 404, /fail is 500 after a statement that
fails, /fresh drops the pool so that the next request connects anew, anything else is 200.
"""

import asyncpg

URL = "postgresql://postgres@127.0.0.1:5432/app"
pool = None


async def connected():
    global pool
    if pool is None:
        pool = await asyncpg.create_pool(URL, min_size=2, max_size=2)
    return pool


async def item(number):
    async with (await connected()).acquire() as conn:
        name = await conn.fetchval("SELECT name FROM items WHERE id = $1", number)
        near = await conn.fetch("SELECT id, name FROM items WHERE id BETWEEN $1 AND $2", number,
                                number + 9)
        await conn.execute("UPDATE items SET seen = seen + 1 WHERE id = $1", number)
    return 200, f"{name} {len(near)}\n"


async def fail():
    async with (await connected()).acquire() as conn:
        try:
            await conn.fetchval("SELECT nothing FROM items")
        except asyncpg.UndefinedColumnError:
            return 500, "failed\n"
    return 200, "odd\n"


async def answer(path):
    global pool
    if path.startswith("/item/"):
        return await item(int(path[6:]))
    if path == "/fail":
        return await fail()
    if path == "/fresh" and pool is not None:
        await pool.close()
        pool = None
    return (404, "no\n") if path == "/missing" else (200, "ok\n")


async def app(scope, receive, send):
    if scope["type"] != "http":
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": message["type"] + ".complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    status, text = await answer(scope["path"])
    body = text.encode()
    await send({"type": "http.response.start", "status": status,
                "headers": [(b"content-length", str(len(body)).encode())]})
    await send({"type": "http.response.body", "body": body})
