# SPDX-License-Identifier: Apache-2.0
"""A web server on asyncio alone, for interpreters without packages: web.py PORT. Works and waits:
coroutines, generators, callbacks from C, exceptions, a thread pool, files.
"""

import asyncio
import hashlib
import json
import os
import re
import sys
import threading
import time
import zlib


def fails(n):
    if n == 0:
        raise ValueError("known")
    return fails(n - 1) + 1


def recovers(n):
    try:
        return fails(n)
    except ValueError as e:
        return str(e)


def rows(n):
    for i in range(n):
        yield {"id": i * 7919 % 1009, "name": f"row {i}"}


def packs(text):
    with open("/proc/self/stat") as f:
        text += f.read()
    time.sleep(0.001)
    return len(zlib.compress(text.encode(), 6)), hashlib.sha256(text.encode()).hexdigest()


async def inner(depth, text):
    if depth:
        return await inner(depth - 1, text)
    await asyncio.sleep(0)
    return await asyncio.get_running_loop().run_in_executor(None, packs, text)


async def work():
    found = sorted(rows(60), key=lambda r: r["id"])
    text = re.sub(r"row (\d+)", lambda m: "line " + str(int(m[1]) * 2), json.dumps(found))
    packed = await asyncio.gather(inner(4, text), inner(8, text))
    return json.dumps({"packed": packed, "said": recovers(10), "n": sum(x["id"] for x in found)})


async def serve(reader, writer):
    while await reader.readline():
        while (await reader.readline()).strip():
            pass
        body = (await work()).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
        await writer.drain()
    writer.close()


def background():
    while True:
        time.sleep(0.003)
        recovers(20)


async def main():
    threading.Thread(target=background, daemon=True).start()
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]))
    print("ready", os.getpid(), flush=True)
    await server.serve_forever()


asyncio.run(main())
