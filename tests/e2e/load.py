# SPDX-License-Identifier: Apache-2.0
"""Load for the tests: N keep-alive connections, a unique id in every path, its own record of each.

A process of its own (the tests' interpreter must stay free): load.py HOST PORT OUT with options. It
prints `ready` once every connection is open, `warm` after the first 100 answers, runs until a line
or the end of standard input, then writes one line per request to OUT:
id method path status sent_ns done_ns (CLOCK_MONOTONIC; status 0 = no answer), and prints `done`.
"""

import argparse
import asyncio
import socket
import random
import sys
import time

import uvloop

MIX = (
    ("GET", "/async/{id}", 34),
    ("GET", "/sync/{id}", 20),
    ("GET", "/txn/{id}", 12),
    ("GET", "/missing/{id}", 10),
    ("GET", "/boom/{id}", 8),
    ("GET", "/crash/{id}", 2),
    ("POST", "/echo/{id}", 7),
    ("GET", "/big/{id}", 2),
    ("GET", "/stream/{id}", 2),
    ("HEAD", "/head/{id}", 2),
    ("DELETE", "/gone/{id}", 1),
)


class Client(asyncio.Protocol):
    """One connection: a request, its answer, a pause, again."""

    def __init__(self, load):
        self.load = load
        self.buf = bytearray()
        self.current = None
        self.transport = None

    def connection_made(self, transport):
        self.transport = transport
        self.load.opened(self)

    def send(self):
        if self.transport is None or self.load.stopping:
            return
        method, path, body = self.load.next_request()
        name = f"{self.load.prefix}{self.load.count}"
        path = path.replace("{id}", name)
        self.load.count += 1
        head = f"{method} {path}?q=1 HTTP/1.1\r\nHost: test\r\nUser-Agent: load\r\n"
        if body == "chunked":
            data = (head + "Transfer-Encoding: chunked\r\n\r\n").encode()
            data += b"7\r\nchunk 1\r\n" * 3 + b"0\r\n\r\n"
        elif body:
            data = (head + f"Content-Length: {body}\r\n\r\n").encode() + b"b" * body
        else:
            data = (head + "\r\n").encode()
        self.current = [name, method, path, 0, time.monotonic_ns(), 0]
        self.transport.write(data)

    def data_received(self, data):
        self.buf += data
        done, status, close = answer(self.buf, self.current[1] == "HEAD")
        if done:
            del self.buf[:done]
            # After /crash/ the server hangs up without saying so.
            hangs_up = self.current[2].startswith("/crash/")
            self.finish(status)
            if close or hangs_up:
                self.transport.close()
            else:
                self.load.after(self)

    def finish(self, status):
        self.current[3] = status
        self.current[5] = time.monotonic_ns()
        self.load.record(self.current)
        self.current = None

    def connection_lost(self, exc):
        self.transport = None
        if self.current:
            self.finish(0)
        self.load.lost()


def answer(buf, no_body):
    """(bytes of the whole answer or 0, status, closes) of what has come so far."""
    end = buf.find(b"\r\n\r\n")
    if end < 0:
        return 0, 0, False
    head = bytes(buf[:end]).lower()
    end += 4
    status = int(head[9:12])
    close = b"connection: close" in head
    if no_body or status in (204, 304):
        return end, status, close
    at = head.find(b"content-length:")
    if at >= 0:
        size = int(head[at + 15:].split(b"\r\n")[0])
        return (end + size, status, close) if len(buf) >= end + size else (0, 0, False)
    if b"transfer-encoding: chunked" in head:
        last = buf.find(b"\r\n0\r\n\r\n", end - 2)
        return (last + 7, status, close) if last >= 0 else (0, 0, False)
    return end, status, close


class Load:
    def __init__(self, args):
        self.args = args
        self.prefix = args.prefix
        self.count = 10_000  # always as many digits: a route must not change its shape on the way
        self.rows = []
        self.stopping = False
        self.ready = 0
        self.in_flight = 0
        self.finished = asyncio.Event()
        mix = [(*x.split(":", 1), 1) for x in args.route] or MIX
        self.routes = [(m, p) for m, p, _ in mix]
        self.weights = [w for _, _, w in mix]
        self.random = random.Random(args.seed)

    def next_request(self):
        method, path = self.random.choices(self.routes, self.weights)[0]
        body = self.random.choice([0, 10, 3000, 70000, "chunked"]) if method == "POST" else 0
        self.in_flight += 1
        return method, path, body

    def opened(self, client):
        self.ready += 1
        if self.ready == self.args.connections:
            print("ready", flush=True)
        self.after(client)

    def after(self, client):
        if self.args.think_ms:
            pause = self.random.uniform(0, 2 * self.args.think_ms) / 1000
            asyncio.get_running_loop().call_later(pause, client.send)
        else:
            client.send()

    def record(self, row):
        self.rows.append(row)
        self.in_flight -= 1
        if len(self.rows) == 100:
            print("warm", flush=True)
        if self.stopping and not self.in_flight:
            self.finished.set()

    def lost(self):
        """The server hung up: another connection takes its place."""
        if not self.stopping:
            self.reconnects.add(asyncio.ensure_future(self.reconnect()))

    async def reconnect(self):
        try:
            await self.connect()
        except OSError:
            pass  # the server has ended: the test that ends it expects no more answers

    async def connect(self):
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        # Room for a whole answer: else its last packet waits for this client to read, long after
        # the server's write returned, and packets no longer tell when that was.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        await loop.sock_connect(sock, (self.args.host, self.args.port))
        await loop.create_connection(lambda: Client(self), sock=sock)

    async def run(self):
        self.reconnects = set()
        for _ in range(self.args.connections):
            await self.connect()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.readline)
        self.stopping = True
        if self.in_flight:
            try:
                await asyncio.wait_for(self.finished.wait(), 20)
            except asyncio.TimeoutError:
                print(f"{self.in_flight} answers did not come", file=sys.stderr, flush=True)
        with open(self.args.out, "w") as f:
            for row in self.rows:
                f.write(" ".join(map(str, row)) + "\n")
        print("done", flush=True)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("host")
    ap.add_argument("port", type=int)
    ap.add_argument("out")
    ap.add_argument("--connections", type=int, default=64)
    ap.add_argument("--think-ms", type=float, default=0)
    ap.add_argument("--prefix", default="q")
    ap.add_argument("--seed", type=int, default=1)
    ap.add_argument("--route", action="append", default=[], help="METHOD:/path/{id}")
    args = ap.parse_args()
    uvloop.install()

    async def go():
        await Load(args).run()

    asyncio.run(go())


if __name__ == "__main__":
    main()
