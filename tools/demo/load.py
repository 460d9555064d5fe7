# SPDX-License-Identifier: Apache-2.0
"""Load for the demo: keep-alive connections that ask, pause and ask again: load.py PORT CONNECTIONS.

Runs until it is ended; prints `ready` after the first answers.
"""

import asyncio
import random
import sys

ROUTES = (
    (30, "GET", "/customers/{n}"),
    (8, "GET", "/customers/{n}/orders"),
    (6, "GET", "/search?q={n}"),
    (12, "GET", "/reports/Bergen"),
    (8, "GET", "/price-list/40"),
    (6, "GET", "/quote/{n}"),
    (10, "POST", "/orders"),
    (14, "GET", "/health"),
    (3, "GET", "/customers/99{n}"),
    (2, "GET", "/legacy/{n}"),
)
WEIGHTS = [r[0] for r in ROUTES]


def request(number):
    _, method, path = random.choices(ROUTES, WEIGHTS)[0]
    path = path.replace("{n}", str(1 + number % 900))
    body = ""
    if method == "POST":
        body = f'{{"customer_id": {1 + number % 1000}, "product_id": {1 + number % 500}}}'
    return (f"{method} {path} HTTP/1.1\r\nHost: demo\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


async def client(port, number, answers):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while True:
        writer.write(request(number))
        head = await reader.readuntil(b"\r\n\r\n")
        length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        answers.append(number)
        if len(answers) == 50:
            print("ready", flush=True)
        number += 1
        await asyncio.sleep(random.uniform(0.01, 0.06))


async def main():
    port, connections = int(sys.argv[1]), int(sys.argv[2])
    answers = []
    await asyncio.gather(*(client(port, n * 37, answers) for n in range(connections)))


asyncio.run(main())
