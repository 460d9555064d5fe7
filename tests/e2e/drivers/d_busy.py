# SPDX-License-Identifier: Apache-2.0
"""asyncpg on an event loop that computes while the answer waits in the socket.

Each call is sent, then the loop is busy for 60 ms before it can read. Argument: the database's URL.
"""

import asyncio
import sys
import time

import asyncpg
from common import Run, wait_go

BUSY_NS = 60_000_000
SQL = "SELECT count(*) FROM users"


async def main(run):
    conn = await asyncpg.connect(sys.argv[1])
    await conn.fetchval(SQL)  # prepares it
    for _ in range(30):
        with run.watch(SQL):
            call = asyncio.ensure_future(conn.fetchval(SQL))
            await asyncio.sleep(0)  # its bytes go out
            end = time.perf_counter_ns() + BUSY_NS
            while time.perf_counter_ns() < end:
                pass
            await call
    await conn.close()


wait_go()
run = Run(lambda e: e.sqlstate)
asyncio.run(main(run))
run.report()
