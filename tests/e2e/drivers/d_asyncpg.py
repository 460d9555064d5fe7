# SPDX-License-Identifier: Apache-2.0
"""asyncpg: prepared statements, pools with their reset query, executemany, COPY, cursors, errors."""

import asyncio
import io
import sys

from common import Run, wait_go

BY_ID = "SELECT id, name FROM users WHERE id = $1"


async def work(url, run):
    import asyncpg

    pool = await asyncpg.create_pool(url, min_size=2, max_size=4)
    async with pool.acquire() as conn:
        for n in range(200):
            with run.watch(BY_ID):
                await conn.fetch(BY_ID, 1 + n)
        rows = await conn.fetch("SELECT * FROM posts ORDER BY id LIMIT 1500")
        assert len(rows) == 1500
        assert len(await conn.fetch("SELECT * FROM users WHERE id = ANY($1::int[])", [1, 2, 3])) == 3
        for n in range(5):
            await conn.fetchrow("SELECT count(*) FROM posts WHERE user_id = $1", n)
        await conn.fetchval("SELECT id FROM users WHERE id IN (1, 2, 3, -4) LIMIT 1")

        await conn.executemany("INSERT INTO events (kind, amount) VALUES ($1, $2)",
                               [("many", n) for n in range(1000)])
        async with conn.transaction():
            await conn.execute("UPDATE events SET amount = amount + 1 WHERE kind = 'many'")
            async with conn.transaction():
                await conn.execute("INSERT INTO events (kind, note) VALUES ('x', NULL), ('y', 'z')")
        await conn.execute("DELETE FROM events WHERE kind = 'x'; SELECT 1; SELECT 2, 'two'")

        with run.fails("23505"):
            await conn.execute("INSERT INTO users VALUES ($1, $2, $3)", 1, "a@b", "n")
        with run.fails("42P01"):
            await conn.fetch("SELECT * FROM no_such_table")
        for n in range(7):
            with run.fails("22012"):
                await conn.fetchval("SELECT 1 / ($1::int - $1::int)", n)
        tx = conn.transaction()
        await tx.start()
        with run.fails("42601"):
            await conn.execute("SELEKT 1")
        with run.fails("25P02"):
            await conn.execute("SELECT 7 AS in_failed_transaction")
        await tx.rollback()

        await conn.copy_records_to_table(
            "events", records=[("copied", n, None) for n in range(3000)],
            columns=["kind", "amount", "note"])
        sink = io.BytesIO()
        await conn.copy_from_query("SELECT id, title FROM posts WHERE id <= 1200", output=sink)
        assert sink.getvalue().count(b"\n") == 1200
        await conn.execute("LISTEN news")
        await conn.execute("NOTIFY news, 'x'")
        await conn.execute("DO $$ BEGIN RAISE NOTICE 'one notice'; END $$")
        await conn.execute("SET application_name = 'driver test'")
        await conn.fetchval("SHOW application_name")
        stmt = await conn.prepare("SELECT title FROM posts WHERE id = $1")
        for n in range(20):
            await stmt.fetchval(n + 1)

    async def one(n):
        async with pool.acquire() as c:
            return await c.fetchval("SELECT name FROM users WHERE id = $1", n + 1)

    await asyncio.gather(*(one(n) for n in range(60)))
    await pool.close()


def main():
    run = Run(lambda e: getattr(e, "sqlstate", None))
    wait_go()
    asyncio.run(work(sys.argv[1], run))
    run.report()


main()
